//! L-BFGS (Liu and Nocedal 1989), with an optional line search for the strong Wolfe conditions.

use super::optimizer::Groups;
use super::settings::at_least_zero;
use crate::autograd::GradMode;
use crate::io::Value;
use crate::ops::{join, shape};
use crate::{Result, Tensor};
use flambeau_core::bail;
use std::borrow::Borrow;
use std::collections::VecDeque;

/// Settings of [`LBFGS`].
#[derive(Clone, Copy, Debug)]
pub struct LBFGSOptions {
    pub lr: f64,
    /// How many iterations a step has at most, and how many evaluations: by default a quarter more.
    pub max_iter: usize,
    pub max_eval: Option<usize>,
    /// The largest gradient and the smallest change at which a step ends.
    pub tolerance_grad: f64,
    pub tolerance_change: f64,
    pub history_size: usize,
    /// Whether steps along a direction are searched for ("strong_wolfe") instead of being `lr` long.
    pub strong_wolfe: bool,
}
impl Default for LBFGSOptions {
    fn default() -> Self {
        LBFGSOptions {
            lr: 1.0,
            max_iter: 20,
            max_eval: None,
            tolerance_grad: 1e-7,
            tolerance_change: 1e-9,
            history_size: 100,
            strong_wolfe: false,
        }
    }
}

/// Newton's method with the curvature estimated from the last steps.
///
/// ```
/// use flambeau::optim::{LBFGS, LBFGSOptions};
/// let w = flambeau::tensor([5f64, -3.])?.requires_grad_(true)?;
/// let mut optimizer = LBFGS::new([&w], LBFGSOptions { strong_wolfe: true, ..Default::default() })?;
/// for _ in 0..3 {
///     optimizer.step(|| {
///         let loss = (&w * &w).sum()?;
///         loss.backward()?;
///         Ok(loss)
///     })?;
/// }
/// assert!(w.detach()?.abs()?.max()?.to_f64()? < 1e-6);
/// # Ok::<(), flambeau::Error>(())
/// ```
#[derive(Debug)]
pub struct LBFGS {
    pub params: Vec<Tensor>,
    pub options: LBFGSOptions,
    /// How many evaluations and iterations there were.
    pub func_evals: usize,
    pub n_iter: usize,
    direction: Option<Tensor>,
    t: f64,
    history: VecDeque<Pair>,
    scale: f64,
    previous: Option<Tensor>,
    initial_lr: Option<f64>,
}

/// A change of the gradient, the step that made it, and one over their product.
#[derive(Debug)]
struct Pair {
    change: Tensor,
    step: Tensor,
    ro: f64,
}

/// A point along the direction: how far, the loss and gradient there, and the gradient's component along it.
#[derive(Clone)]
struct Point {
    t: f64,
    loss: f64,
    grad: Tensor,
    slope: f64,
}

fn dot(a: &Tensor, b: &Tensor) -> Result<f64> {
    a.dot(b)?.to_f64()
}
fn largest(x: &Tensor) -> Result<f64> {
    x.abs()?.max()?.to_f64()
}

impl LBFGS {
    /// All parameters form one group.
    pub fn new<T: Borrow<Tensor>>(
        params: impl IntoIterator<Item = T>,
        options: LBFGSOptions,
    ) -> Result<LBFGS> {
        at_least_zero("learning rate", options.lr)?;
        let params: Vec<Tensor> = params.into_iter().map(|p| p.borrow().clone()).collect();
        if params.is_empty() {
            bail!(Value, "optimizer got an empty parameter list");
        }
        if params.iter().any(Tensor::is_complex) {
            bail!(NotImplemented, "LBFGS of complex parameters");
        }
        Ok(LBFGS {
            params,
            options,
            func_evals: 0,
            n_iter: 0,
            direction: None,
            t: options.lr,
            history: VecDeque::new(),
            scale: 1.0,
            previous: None,
            initial_lr: None,
        })
    }
    /// Forgets the gradients of the parameters.
    pub fn zero_grad(&self) {
        self.params.iter().for_each(|parameter| parameter.set_grad(None));
    }

    fn flat_grad(&self) -> Result<Tensor> {
        let part = |p: &Tensor| match p.grad() {
            Some(grad) => grad.detach()?.reshape(&[-1]),
            None => Tensor::zeros_raw(&[p.numel() as i64], p.dtype(), p.device()),
        };
        let parts: Vec<Tensor> = self.params.iter().map(part).collect::<Result<_>>()?;
        join::cat(&parts, 0)
    }
    fn evaluate(&mut self, closure: &mut dyn FnMut() -> Result<Tensor>) -> Result<(f64, Tensor)> {
        self.zero_grad();
        let loss = {
            let _guard = GradMode::set(true);
            closure()?.to_f64()?
        };
        self.func_evals += 1;
        Ok((loss, self.flat_grad()?))
    }
    fn shift(&self, t: f64, direction: &Tensor) -> Result<()> {
        let mut place = 0;
        for parameter in &self.params {
            let n = parameter.numel() as i64;
            let part = shape::narrow(direction, 0, place, n)?.view(&parameter.sizes())?;
            super::optimizer::add_(parameter, &part, t)?;
            place += n;
        }
        Ok(())
    }

    /// Goes on until the tolerances or the limits are reached. The closure computes the loss and its gradients, which are
    /// forgotten before each call. Returns the loss that it began with.
    pub fn step(&mut self, mut closure: impl FnMut() -> Result<Tensor>) -> Result<f64> {
        self.run(&mut closure)
    }
    fn run(&mut self, closure: &mut dyn FnMut() -> Result<Tensor>) -> Result<f64> {
        let _guard = GradMode::no_grad();
        let o = self.options;
        let max_eval = o.max_eval.unwrap_or(o.max_iter * 5 / 4);
        let (first, mut grad) = self.evaluate(closure)?;
        let mut loss = first;
        let mut evaluations = 1;
        if largest(&grad)? <= o.tolerance_grad {
            return Ok(first);
        }
        for iteration in 1..=o.max_iter {
            self.n_iter += 1;
            let d = self.next_direction(&grad)?;
            let before = loss;
            self.t =
                if self.n_iter == 1 { (1.0 / grad.abs()?.sum()?.to_f64()?).min(1.0) * o.lr } else { o.lr };
            let slope = dot(&grad, &d)?;
            if slope > -o.tolerance_change {
                break;
            }
            if o.strong_wolfe {
                let start = Point { t: 0.0, loss, grad: grad.clone(), slope };
                let left = max_eval.saturating_sub(evaluations);
                let (point, used) = self.search(closure, &d, start, left)?;
                (loss, grad, self.t) = (point.loss, point.grad, point.t);
                self.shift(self.t, &d)?;
                evaluations += used;
            } else {
                self.shift(self.t, &d)?;
                if iteration != o.max_iter {
                    // The gradient after the last move is left to the next step, which begins with it.
                    (loss, grad) = self.evaluate(closure)?;
                    evaluations += 1;
                }
            }
            if evaluations >= max_eval
                || largest(&grad)? <= o.tolerance_grad
                || largest(&d)? * self.t.abs() <= o.tolerance_change
                || (loss - before).abs() < o.tolerance_change
            {
                break;
            }
        }
        Ok(first)
    }

    /// Takes in the last step, whose result is the gradient, and works out the next direction.
    fn next_direction(&mut self, grad: &Tensor) -> Result<Tensor> {
        if let (Some(direction), Some(previous)) = (&self.direction, &self.previous) {
            let change = grad - previous;
            let step = direction.mul_scalar(self.t)?;
            let curvature = dot(&change, &step)?;
            if curvature > 1e-10 {
                self.scale = curvature / dot(&change, &change)?;
                if self.history.len() >= self.options.history_size {
                    self.history.pop_front();
                }
                self.history.push_back(Pair { change, step, ro: 1.0 / curvature });
            }
        }
        // The estimate of the inverse Hessian times the negated gradient (Nocedal 1980).
        let mut d = -grad;
        let mut alphas = vec![0.0; self.history.len()];
        for (alpha, pair) in alphas.iter_mut().zip(&self.history).rev() {
            *alpha = dot(&pair.step, &d)? * pair.ro;
            super::optimizer::add_(&d, &pair.change, -*alpha)?;
        }
        d = d.mul_scalar(self.scale)?;
        for (alpha, pair) in alphas.iter().zip(&self.history) {
            let beta = dot(&pair.change, &d)? * pair.ro;
            super::optimizer::add_(&d, &pair.step, alpha - beta)?;
        }
        self.previous = Some(grad.deep_clone()?);
        self.direction = Some(d.clone());
        Ok(d)
    }

    /// A step that decreases the loss enough and flattens the slope enough (Nocedal and Wright 2006, ch. 3.5), and how
    /// many evaluations it took.
    fn search(
        &mut self,
        closure: &mut dyn FnMut() -> Result<Tensor>,
        d: &Tensor,
        start: Point,
        most: usize,
    ) -> Result<(Point, usize)> {
        let (c1, c2, tolerance) = (1e-4, 0.9, 1e-9);
        let values: Vec<Tensor> =
            self.params.iter().map(|p| p.detach()?.deep_clone()).collect::<Result<_>>()?;
        let first = self.t;
        let mut at = |t: f64| -> Result<Point> {
            self.shift(t, d)?;
            let (loss, grad) = self.evaluate(closure)?;
            for (parameter, value) in self.params.iter().zip(&values) {
                shape::copy_(parameter, value, false)?;
            }
            let slope = dot(&grad, d)?;
            Ok(Point { t, loss, grad, slope })
        };
        let high = |p: &Point| p.loss > start.loss + c1 * p.t * start.slope;
        let flat = |p: &Point| p.slope.abs() <= -c2 * start.slope;
        let longest = largest(d)?;
        let (mut previous, mut point) = (start.clone(), at(first)?);
        let (mut evaluations, mut steps) = (1, 0);
        let mut bracket = vec![start.clone(), point.clone()];
        let mut done = false;
        // First, steps that grow until the interval between the last two is sure to hold what is searched for.
        while steps < most {
            if high(&point) || (steps > 1 && point.loss >= previous.loss) {
                bracket = vec![previous, point];
                break;
            }
            if flat(&point) {
                bracket = vec![point];
                done = true;
                break;
            }
            if point.slope >= 0.0 {
                bracket = vec![previous, point];
                break;
            }
            let bounds = (point.t + 0.01 * (point.t - previous.t), point.t * 10.0);
            let t = interpolated(&previous, &point, Some(bounds));
            previous = point;
            point = at(t)?;
            evaluations += 1;
            steps += 1;
            bracket = vec![start.clone(), point.clone()];
        }
        // Then the interval is narrowed down; `low` is the end with the lower loss.
        let order = |b: &[Point]| if b.len() < 2 || b[0].loss <= b[1].loss { 0 } else { 1 };
        let mut low = order(&bracket);
        let mut stuck = false;
        while !done && steps < most {
            if (bracket[1].t - bracket[0].t).abs() * longest < tolerance {
                break;
            }
            let mut t = interpolated(&bracket[0], &bracket[1], None);
            let (left, right) = (bracket[0].t.min(bracket[1].t), bracket[0].t.max(bracket[1].t));
            let margin = 0.1 * (right - left);
            if (right - t).min(t - left) < margin {
                // Close to an end twice in a row, or on it: moved to the margin, so that the interval shrinks.
                if stuck || t >= right || t <= left {
                    t = if (t - right).abs() < (t - left).abs() { right - margin } else { left + margin };
                    stuck = false;
                } else {
                    stuck = true;
                }
            } else {
                stuck = false;
            }
            let point = at(t)?;
            evaluations += 1;
            steps += 1;
            let other = 1 - low;
            if high(&point) || point.loss >= bracket[low].loss {
                bracket[other] = point;
                low = order(&bracket);
            } else {
                if flat(&point) {
                    done = true;
                } else if point.slope * (bracket[other].t - bracket[low].t) >= 0.0 {
                    bracket[other] = bracket[low].clone();
                }
                bracket[low] = point;
            }
        }
        Ok((bracket.swap_remove(low), evaluations))
    }
}

/// The minimiser within bounds (those of a and b by default) of the cubic through two points.
fn interpolated(a: &Point, b: &Point, bounds: Option<(f64, f64)>) -> f64 {
    let (low, high) = bounds.unwrap_or((a.t.min(b.t), a.t.max(b.t)));
    let d1 = a.slope + b.slope - 3.0 * (a.loss - b.loss) / (a.t - b.t);
    let square = d1 * d1 - a.slope * b.slope;
    if square.is_nan() || square < 0.0 {
        return (low + high) / 2.0;
    }
    let d2 = square.sqrt();
    let t = if a.t <= b.t {
        b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2.0 * d2))
    } else {
        a.t - (a.t - b.t) * ((a.slope + d2 - d1) / (a.slope - b.slope + 2.0 * d2))
    };
    t.max(low).min(high)
}

impl Groups for LBFGS {
    fn count(&self) -> usize {
        1
    }
    fn get(&mut self, _: usize, name: &str) -> Option<Value> {
        match name {
            "lr" => Some(self.options.lr.into()),
            "initial_lr" => self.initial_lr.map(Value::from),
            _ => None,
        }
    }
    fn set(&mut self, _: usize, name: &str, value: Value) -> Result<()> {
        match name {
            "lr" => self.options.lr = value.as_f64()?,
            "initial_lr" => self.initial_lr = Some(value.as_f64()?),
            _ => {}
        }
        Ok(())
    }
}
