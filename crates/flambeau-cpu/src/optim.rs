//! Steps of optimizers in one pass over a parameter, its gradient and what is remembered of it. One of the modules with
//! unsafe code.
//!
//! A rule says what happens to one element. Each rounds as the tensor operators do that it stands for, so that a step
//! has the same bits either way.

use crate::wide::{Body, wide};
use flambeau_core::DType;
use flambeau_core::parallel::sweep;
use num_traits::Float;

/// The update of one element: from its gradient, the parameter `x[0]` and `N - 1` remembered numbers.
trait Rule<T, const N: usize>: Copy {
    fn step(self, grad: T, x: [T; N]) -> [T; N];
}

/// What the gradient goes through before a rule sees it.
#[derive(Clone, Copy, Debug)]
struct Direction<T> {
    ascend: bool,
    decay: T,
}

impl<T: Float> Direction<T> {
    #[inline(always)]
    fn of(self, grad: T, parameter: T) -> T {
        let grad = if self.ascend { -grad } else { grad };
        if self.decay == T::zero() { grad } else { parameter.mul_add(self.decay, grad) }
    }
}

/// `x += weight * (end - x)`, from the nearer end.
#[inline(always)]
fn lerp<T: Float>(x: T, end: T, weight: T) -> T {
    let half = T::one() / (T::one() + T::one());
    if weight.abs() < half {
        weight.mul_add(end - x, x)
    } else {
        (-(end - x)).mul_add(T::one() - weight, end)
    }
}

/// Stochastic gradient descent with momentum. Settings as in `torch.optim.SGD`.
#[derive(Clone, Copy, Debug)]
pub struct Sgd {
    pub lr: f64,
    pub momentum: f64,
    pub dampening: f64,
    pub weight_decay: f64,
    pub nesterov: bool,
    pub maximize: bool,
    /// Whether the momentum starts as the gradient.
    pub first: bool,
}

#[derive(Clone, Copy)]
struct SgdRule<T> {
    direction: Direction<T>,
    minus_lr: T,
    momentum: T,
    weight: T,
    nesterov: bool,
    first: bool,
}

impl<T: Float> Rule<T, 1> for SgdRule<T> {
    #[inline(always)]
    fn step(self, grad: T, [p]: [T; 1]) -> [T; 1] {
        [self.direction.of(grad, p).mul_add(self.minus_lr, p)]
    }
}
impl<T: Float> Rule<T, 2> for SgdRule<T> {
    #[inline(always)]
    fn step(self, grad: T, [p, buffer]: [T; 2]) -> [T; 2] {
        let grad = self.direction.of(grad, p);
        let buffer = if self.first { grad } else { grad.mul_add(self.weight, buffer * self.momentum) };
        let grad = if self.nesterov { buffer.mul_add(self.momentum, grad) } else { buffer };
        [grad.mul_add(self.minus_lr, p), buffer]
    }
}

/// Adam (Kingma and Ba 2015). Settings as in `torch.optim.Adam`.
#[derive(Clone, Copy, Debug)]
pub struct Adam {
    pub lr: f64,
    pub betas: (f64, f64),
    pub eps: f64,
    pub weight_decay: f64,
    /// Whether the decay shrinks the parameter directly (Loshchilov and Hutter 2019).
    pub decoupled: bool,
    pub maximize: bool,
    /// How many steps there are with this one.
    pub count: f64,
}

#[derive(Clone, Copy)]
struct AdamRule<T> {
    direction: Direction<T>,
    shrink: T,
    weight1: T,
    beta2: T,
    weight2: T,
    correction2_root: T,
    eps: T,
    minus_rate: T,
}

impl<T: Float> AdamRule<T> {
    #[inline(always)]
    fn moments(self, grad: T, p: T, mean: T, square: T) -> (T, T, T) {
        let grad = self.direction.of(grad, p);
        let square = (self.weight2 * grad).mul_add(grad, square * self.beta2);
        (p * self.shrink, lerp(mean, grad, self.weight1), square)
    }
    #[inline(always)]
    fn moved(self, p: T, mean: T, second: T) -> T {
        let denominator = second.sqrt() / self.correction2_root + self.eps;
        p + self.minus_rate * mean / denominator
    }
}
impl<T: Float> Rule<T, 3> for AdamRule<T> {
    #[inline(always)]
    fn step(self, grad: T, [p, mean, square]: [T; 3]) -> [T; 3] {
        let (p, mean, square) = self.moments(grad, p, mean, square);
        [self.moved(p, mean, square), mean, square]
    }
}
impl<T: Float> Rule<T, 4> for AdamRule<T> {
    #[inline(always)]
    fn step(self, grad: T, [p, mean, square, largest]: [T; 4]) -> [T; 4] {
        let (p, mean, square) = self.moments(grad, p, mean, square);
        // NaN wins, as in `torch.maximum`.
        let largest = if largest > square || largest.is_nan() { largest } else { square };
        [self.moved(p, mean, largest), mean, square, largest]
    }
}

/// RMSprop (Hinton 2012). Settings as in `torch.optim.RMSprop`, without centring.
#[derive(Clone, Copy, Debug)]
pub struct RmsProp {
    pub lr: f64,
    pub momentum: f64,
    pub alpha: f64,
    pub eps: f64,
    pub weight_decay: f64,
    pub maximize: bool,
}

#[derive(Clone, Copy)]
struct RmsPropRule<T> {
    direction: Direction<T>,
    minus_lr: T,
    momentum: T,
    alpha: T,
    weight: T,
    eps: T,
}

impl<T: Float> RmsPropRule<T> {
    #[inline(always)]
    fn square(self, grad: T, square: T) -> (T, T) {
        let square = (self.weight * grad).mul_add(grad, square * self.alpha);
        (square, square.sqrt() + self.eps)
    }
}
impl<T: Float> Rule<T, 2> for RmsPropRule<T> {
    #[inline(always)]
    fn step(self, grad: T, [p, square]: [T; 2]) -> [T; 2] {
        let grad = self.direction.of(grad, p);
        let (square, root) = self.square(grad, square);
        [p + self.minus_lr * grad / root, square]
    }
}
impl<T: Float> Rule<T, 3> for RmsPropRule<T> {
    #[inline(always)]
    fn step(self, grad: T, [p, square, buffer]: [T; 3]) -> [T; 3] {
        let grad = self.direction.of(grad, p);
        let (square, root) = self.square(grad, square);
        let buffer = buffer * self.momentum + grad / root;
        [buffer.mul_add(self.minus_lr, p), square, buffer]
    }
}

/// Adagrad (Duchi, Hazan and Singer 2011).
#[derive(Clone, Copy, Debug)]
pub struct Adagrad {
    /// The rate of this step.
    pub rate: f64,
    pub eps: f64,
    pub weight_decay: f64,
    pub maximize: bool,
}

#[derive(Clone, Copy)]
struct AdagradRule<T> {
    direction: Direction<T>,
    minus_rate: T,
    eps: T,
}

impl<T: Float> Rule<T, 2> for AdagradRule<T> {
    #[inline(always)]
    fn step(self, grad: T, [p, total]: [T; 2]) -> [T; 2] {
        let grad = self.direction.of(grad, p);
        let total = grad.mul_add(grad, total);
        [p + self.minus_rate * grad / (total.sqrt() + self.eps), total]
    }
}

/// A step of one of the algorithms.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Sgd(Sgd),
    Adam(Adam),
    RmsProp(RmsProp),
    Adagrad(Adagrad),
}

/// A pass over slices, by the number of slices that change: as arguments of their own they are known to be distinct.
struct Pass<'a, T, R, const N: usize> {
    rule: R,
    grad: &'a [T],
    x: [&'a mut [T]; N],
}

macro_rules! pass {
    ($n:literal: $($x:ident)+) => {
        impl<T: Float, R: Rule<T, $n>> Body for Pass<'_, T, R, $n> {
            type Output = ();
            #[inline(always)]
            fn run(self) {
                #[inline(always)]
                fn pass<T: Float, R: Rule<T, $n>>(rule: R, grad: &[T], $($x: &mut [T]),+) {
                    let n = grad.len();
                    $(let $x = &mut $x[..n];)+
                    for i in 0..n {
                        [$($x[i]),+] = rule.step(grad[i], [$($x[i]),+]);
                    }
                }
                let [$($x),+] = self.x;
                pass(self.rule, self.grad, $($x),+)
            }
        }
    };
}
pass!(1: a);
pass!(2: a b);
pass!(3: a b c);
pass!(4: a b c d);

/// Elements that are worth a thread.
const GRAIN: usize = 1 << 15;

/// Whether there is a kernel for the number of arrays that change.
fn has_kernel(step: Step, arrays: usize) -> bool {
    match step {
        Step::Sgd(_) => (1..=2).contains(&arrays),
        Step::Adam(_) => (3..=4).contains(&arrays),
        Step::RmsProp(_) => (2..=3).contains(&arrays),
        Step::Adagrad(_) => arrays == 2,
    }
}

fn typed<T: Float>(step: Step, grad: &[T], x: &mut [&mut [T]]) {
    let t = |value: f64| T::from(value).unwrap_or_else(T::nan);
    let direction = |ascend, decay| Direction { ascend, decay: t(decay) };
    macro_rules! run {
        ($rule:expr, $($n:literal),+) => {{
            let rule = $rule;
            match x.len() {
                $($n => {
                    let x = std::array::from_fn::<_, $n, _>(|i| std::mem::take(&mut x[i]));
                    wide(Pass { rule, grad, x });
                })+
                n => unreachable!("a step of {n} arrays"),
            }
        }};
    }
    match step {
        Step::Sgd(s) => run!(
            SgdRule {
                direction: direction(s.maximize, s.weight_decay),
                minus_lr: t(-s.lr),
                momentum: t(s.momentum),
                weight: t(1.0 - s.dampening),
                nesterov: s.nesterov,
                first: s.first,
            },
            1,
            2
        ),
        Step::Adam(s) => run!(
            AdamRule {
                direction: direction(s.maximize, if s.decoupled { 0.0 } else { s.weight_decay }),
                shrink: t(if s.decoupled { 1.0 - s.lr * s.weight_decay } else { 1.0 }),
                weight1: t(1.0 - s.betas.0),
                beta2: t(s.betas.1),
                weight2: t(1.0 - s.betas.1),
                correction2_root: t((1.0 - s.betas.1.powf(s.count)).sqrt()),
                eps: t(s.eps),
                minus_rate: t(-(s.lr / (1.0 - s.betas.0.powf(s.count)))),
            },
            3,
            4
        ),
        Step::RmsProp(s) => run!(
            RmsPropRule {
                direction: direction(s.maximize, s.weight_decay),
                minus_lr: t(-s.lr),
                momentum: t(s.momentum),
                alpha: t(s.alpha),
                weight: t(1.0 - s.alpha),
                eps: t(s.eps),
            },
            2,
            3
        ),
        Step::Adagrad(s) => run!(
            AdagradRule {
                direction: direction(s.maximize, s.weight_decay),
                minus_rate: t(-s.rate),
                eps: t(s.eps),
            },
            2
        ),
    }
}

/// Updates the `n` elements at each of `x` (the parameter, then what is remembered) from the gradient at `grad`. Returns
/// whether there is a kernel for the dtype and the number of arrays; nothing is written otherwise.
///
/// # Safety
/// All must be valid for `n` elements of the dtype, those of `x` for writing, and none may overlap another.
pub unsafe fn update(step: Step, dtype: DType, n: usize, grad: *const u8, x: &[*mut u8]) -> bool {
    macro_rules! typed {
        ($t:ty) => {{
            let aligned = |p: *const u8| (p as usize).is_multiple_of(align_of::<$t>());
            if !aligned(grad) || !x.iter().all(|&p| aligned(p)) || !has_kernel(step, x.len()) {
                return false;
            }
            // As numbers, which threads may share.
            let (grad, x) = (grad as usize, x.iter().map(|&p| p as usize).collect::<Vec<_>>());
            sweep(n, GRAIN, |range| {
                let at = |p: usize| (p as *mut $t).wrapping_add(range.start);
                // SAFETY: as promised by the caller, and aligned; ranges do not overlap.
                let (grad, mut x) = unsafe {
                    let slice = |&p: &usize| std::slice::from_raw_parts_mut(at(p), range.len());
                    (
                        std::slice::from_raw_parts(at(grad), range.len()),
                        x.iter().map(slice).collect::<Vec<_>>(),
                    )
                };
                typed::<$t>(step, grad, &mut x);
            });
            true
        }};
    }
    match dtype {
        DType::Float32 => typed!(f32),
        DType::Float64 => typed!(f64),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_what_its_formula_says() {
        let n = 37;
        let grad: Vec<f64> = (0..n).map(|i| (i as f64 - 18.0) / 7.0).collect();
        let make = || (0..n).map(|i| 1.0 + i as f64 / 3.0).collect::<Vec<f64>>();
        let adam = Adam {
            lr: 0.1,
            betas: (0.9, 0.99),
            eps: 1e-8,
            weight_decay: 0.1,
            decoupled: true,
            maximize: true,
            count: 3.0,
        };
        let (mut p, mut m, mut v) = (make(), make(), make());
        typed(Step::Adam(adam), &grad, &mut [&mut p, &mut m, &mut v]);
        for i in 0..n {
            let (x, g) = (1.0 + i as f64 / 3.0, -grad[i]);
            let mean = 0.9 * x + 0.1 * g;
            let square = 0.99 * x + 0.01 * g * g;
            let root = (square / (1.0 - 0.99f64.powi(3))).sqrt() + 1e-8;
            let want = x * (1.0 - 0.01) - 0.1 / (1.0 - 0.9f64.powi(3)) * mean / root;
            assert!(
                (p[i] - want).abs() < 1e-12 && (m[i] - mean).abs() < 1e-12 && (v[i] - square).abs() < 1e-12
            );
        }
        let sgd = Sgd {
            lr: 0.5,
            momentum: 0.9,
            dampening: 0.0,
            weight_decay: 0.0,
            nesterov: true,
            maximize: false,
            first: false,
        };
        let (mut p, mut b) = (make(), make());
        typed(Step::Sgd(sgd), &grad, &mut [&mut p, &mut b]);
        for i in 0..n {
            let x = 1.0 + i as f64 / 3.0;
            let buffer = 0.9 * x + grad[i];
            assert!(
                (p[i] - (x - 0.5 * (grad[i] + 0.9 * buffer))).abs() < 1e-12 && (b[i] - buffer).abs() < 1e-12
            );
        }
        assert!(has_kernel(Step::Sgd(sgd), 2) && !has_kernel(Step::Sgd(sgd), 3));
    }
}
