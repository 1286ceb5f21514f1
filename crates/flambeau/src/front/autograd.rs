//! Differentiation as programs call it: `loss.backward()`, `autograd::grad`, `autograd::functional`.

use crate::autograd::{BackwardOptions, Edge, GradMode, run_backward};
use crate::ops::creation;
use crate::{Result, Tensor};
use flambeau_core::{bail, show};

/// What becomes of the graph in [`grad`] and [`backward`].
#[derive(Clone, Copy, Debug, Default)]
pub struct GradOptions {
    /// Keeps the graph for another pass.
    pub retain_graph: bool,
    /// Records the pass, so that its results can be differentiated.
    pub create_graph: bool,
}

/// The gradient to start from: the one given, checked, or 1 for a scalar.
fn start(output: &Tensor, grad: Option<&Tensor>) -> Result<(Edge, Tensor)> {
    let Some(edge) = output.gradient_edge() else {
        bail!("element 0 of tensors does not require grad and does not have a grad_fn");
    };
    let Some(grad) = grad else {
        if output.numel() != 1 {
            bail!("grad can be implicitly created only for scalar outputs");
        }
        if !output.is_floating_point() {
            bail!("grad can be implicitly created only for real scalar outputs but got {}", output.dtype());
        }
        let one = creation::full(&output.sizes(), 1i64.into(), &output.dtype().into())?;
        return Ok((edge, one));
    };
    if grad.sizes() != output.sizes() {
        bail!(
            "Mismatch in shape: grad_output[0] has a shape of torch.Size({}) and output[0] has a shape of torch.Size({}).",
            show(&grad.sizes()),
            show(&output.sizes())
        );
    }
    Ok((edge, grad.clone()))
}

/// Adds the gradients of a tensor to `grad` of the leaves that it was computed from. A tensor of more than one element
/// needs the gradient with respect to it.
pub fn backward(output: &Tensor, gradient: Option<&Tensor>, options: GradOptions) -> Result<()> {
    let root = start(output, gradient)?;
    run_backward(&[root], None, engine_options(options)).map(drop)
}

/// The gradients of an output with respect to each input; `None` for an input that it does not depend on.
/// `grad_output` is the gradient with respect to the output, which a scalar does not need.
///
/// ```
/// use flambeau::{autograd, tensor};
/// let x = tensor([3f32])?.requires_grad_(true)?;
/// let keep = autograd::GradOptions { create_graph: true, ..Default::default() };
/// let first = autograd::grad(&(&x * &x * &x), &[&x], None, keep)?[0].clone().unwrap();
/// assert_eq!(first.to_string(), "tensor([27.], grad_fn=<AddBackward0>)");
/// let second = autograd::grad(&first, &[&x], None, Default::default())?[0].clone().unwrap();
/// assert_eq!(second.item()?.to_f64(), 18.0);
/// # Ok::<(), flambeau::Error>(())
/// ```
pub fn grad(
    output: &Tensor,
    inputs: &[&Tensor],
    grad_output: Option<&Tensor>,
    options: GradOptions,
) -> Result<Vec<Option<Tensor>>> {
    let root = start(output, grad_output)?;
    let mut edges = Vec::with_capacity(inputs.len());
    for input in inputs {
        match input.gradient_edge() {
            Some(edge) => edges.push(edge),
            None => bail!("One of the differentiated Tensors does not require grad"),
        }
    }
    run_backward(&[root], Some(&edges), engine_options(options))
}

fn engine_options(options: GradOptions) -> BackwardOptions {
    BackwardOptions {
        keep_graph: options.retain_graph || options.create_graph,
        create_graph: options.create_graph,
        accumulate: false,
    }
}

/// Runs a function whose operations are not recorded.
///
/// ```
/// use flambeau::{autograd, ones};
/// let x = ones([2], ())?.requires_grad_(true)?;
/// assert!(!autograd::no_grad(|| &x * 2.0).requires_grad());
/// # Ok::<(), flambeau::Error>(())
/// ```
pub fn no_grad<R>(f: impl FnOnce() -> R) -> R {
    let _guard = GradMode::no_grad();
    f()
}

impl Tensor {
    /// Adds the gradients of this tensor, which has one element, to [`Tensor::grad`] of its leaves.
    ///
    /// ```
    /// let x = flambeau::tensor([1f32, 2.])?.requires_grad_(true)?;
    /// (&x * &x).sum()?.backward()?;
    /// assert_eq!(x.grad().unwrap().to_string(), "tensor([2., 4.])");
    /// assert!((&x * 2.0).backward().is_err()); // two elements: use autograd::backward with a gradient
    /// # Ok::<(), flambeau::Error>(())
    /// ```
    pub fn backward(&self) -> Result<()> {
        backward(self, None, GradOptions::default())
    }
    /// Sets whether gradients of this leaf are wanted; returns the tensor.
    pub fn requires_grad_(&self, on: bool) -> Result<Tensor> {
        self.set_requires_grad(on)?;
        Ok(self.clone())
    }
    /// Keeps the gradient of a tensor that is not a leaf.
    pub fn retain_grad(&self) -> Result<()> {
        crate::autograd::retain_grad(self)
    }
    /// Forgets the accumulated gradient.
    pub fn zero_grad(&self) {
        self.set_grad(None);
    }
    /// The value of a tensor of one element as `f64`.
    pub fn to_f64(&self) -> Result<f64> {
        self.item().map(|s| s.to_f64())
    }
}

/// Jacobians and Hessians of functions of one tensor.
pub mod functional {
    use super::{GradOptions, creation, grad};
    use crate::autograd::GradMode;
    use crate::ops::join::stack;
    use crate::{Result, Tensor};
    use flambeau_core::bail;

    /// The input as a leaf of its own, or with `create_graph` as an alias with the input's history.
    fn leaf(input: &Tensor, create_graph: bool) -> Result<Tensor> {
        if create_graph && input.requires_grad() {
            return crate::ops::shape::view_as(input, input);
        }
        input.detach()?.requires_grad_(true)
    }

    fn rows(output: &Tensor, input: &Tensor, create_graph: bool) -> Result<Tensor> {
        let n = output.numel() as i64;
        let (out_sizes, in_sizes) = (output.sizes(), input.sizes());
        let mut list = Vec::with_capacity(n as usize);
        let zeros = || creation::zeros(&in_sizes, &(output.dtype(), output.device()).into());
        if !output.requires_grad() {
            list = (0..n).map(|_| zeros()).collect::<Result<_>>()?;
        } else {
            let flat = output.reshape(&[-1])?;
            for i in 0..n {
                let options = GradOptions { retain_graph: true, create_graph };
                let row = grad(&flat.select(0, i)?, &[input], None, options)?.swap_remove(0);
                list.push(match row {
                    Some(row) => row,
                    None => zeros()?,
                });
            }
        }
        let sizes: Vec<i64> = out_sizes.iter().chain(&in_sizes).copied().collect();
        if list.is_empty() {
            return creation::zeros(&sizes, &(output.dtype(), output.device()).into());
        }
        stack(&list, 0)?.reshape(&sizes)
    }

    /// The Jacobian of a function at a point: of shape `output.sizes() + input.sizes()`.
    ///
    /// ```
    /// use flambeau::{autograd::functional::jacobian, tensor};
    /// let j = jacobian(|x| x.pow_scalar(2), &tensor([1f32, 2.])?)?;
    /// assert_eq!(j.to_string(), "tensor([[2., 0.],\n        [0., 4.]])");
    /// # Ok::<(), flambeau::Error>(())
    /// ```
    pub fn jacobian(f: impl Fn(&Tensor) -> Result<Tensor>, input: &Tensor) -> Result<Tensor> {
        let _guard = GradMode::set(true);
        let input = leaf(input, false)?;
        rows(&f(&input)?, &input, false)?.detach()
    }

    /// The matrix of second derivatives of a function with one value, of shape `input.sizes()` twice.
    ///
    /// ```
    /// use flambeau::{autograd::functional::hessian, tensor};
    /// let h = hessian(|x| x.pow_scalar(3)?.sum(), &tensor([1f32, 2.])?)?;
    /// assert_eq!(h.to_string(), "tensor([[ 6.,  0.],\n        [ 0., 12.]])");
    /// # Ok::<(), flambeau::Error>(())
    /// ```
    pub fn hessian(f: impl Fn(&Tensor) -> Result<Tensor>, input: &Tensor) -> Result<Tensor> {
        let _guard = GradMode::set(true);
        let input = leaf(input, false)?;
        let output = f(&input)?;
        if output.numel() != 1 {
            bail!("The Tensor returned by the function given to hessian should contain a single element");
        }
        let first = rows(&output.reshape(&[])?, &input, true)?;
        rows(&first, &input, false)?.detach()
    }

    /// The value of a function and the product of a vector with its Jacobian.
    pub fn vjp(
        f: impl Fn(&Tensor) -> Result<Tensor>,
        input: &Tensor,
        v: &Tensor,
    ) -> Result<(Tensor, Tensor)> {
        let _guard = GradMode::set(true);
        let input = leaf(input, false)?;
        let output = f(&input)?;
        let product = match output.requires_grad() {
            true => grad(&output, &[&input], Some(v), GradOptions::default())?.swap_remove(0),
            false => None,
        };
        let zeros = || creation::zeros(&input.sizes(), &(input.dtype(), input.device()).into());
        Ok((output.detach()?, product.map_or_else(zeros, Ok)?))
    }
}
