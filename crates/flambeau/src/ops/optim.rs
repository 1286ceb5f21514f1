//! What Python's optimizers call: steps over lists of parameters. Rust's own optimizers share the steps (`optim/`).

use super::check_writable;
use crate::autograd::check_inplace;
use crate::optim::{AdagradOptions, AdamOptions, RMSpropOptions, SGDOptions};
use crate::{Result, Tensor};
use flambeau_core::{Array, DType, Scalar, bail};
use smallvec::SmallVec;

/// Fails, before anything is written, unless every list (and every optional one that there is) has an item for each
/// parameter, of its sizes and dtype, and all but the gradients (the first list) can be written to.
fn check<const N: usize, const M: usize>(
    function: &str,
    params: &[Tensor],
    lists: [&[Tensor]; N],
    optional: [Option<&[Tensor]>; M],
) -> Result<()> {
    let lists: SmallVec<[&[Tensor]; 4]> = lists.into_iter().chain(optional.into_iter().flatten()).collect();
    for list in &lists {
        if list.len() != params.len() {
            bail!("{function}: expected lists of {} tensors, got one of {}", params.len(), list.len());
        }
    }
    for (i, parameter) in params.iter().enumerate() {
        let all: SmallVec<[Array; 5]> =
            std::iter::once(parameter).chain(lists.iter().map(|list| &list[i])).map(Tensor::array).collect();
        let first = &all[0];
        if !first.dtype.is_differentiable() {
            bail!(NotImplemented, "{function}: not implemented for '{}'", first.dtype.cpp_name());
        }
        for other in &all[1..] {
            if other.sizes != first.sizes || other.dtype != first.dtype || other.device() != first.device() {
                bail!(
                    "{function}: a parameter, its gradient and its state must have the same sizes, dtype and device"
                );
            }
        }
        check_inplace(parameter, false)?;
        check_writable(first, &all[1..])?;
        for (at, list) in lists.iter().enumerate().skip(1) {
            check_inplace(&list[i], false)?;
            check_writable(&all[at + 1], &all[..=at])?;
        }
    }
    Ok(())
}

/// Fails unless each tensor can be changed in place by a number or a tensor of dtype `by`.
fn check_changes(tensors: &[Tensor], by: Option<&Tensor>, number: Option<Scalar>) -> Result<()> {
    for tensor in tensors {
        check_inplace(tensor, false)?;
        let array = tensor.array();
        check_writable(&array, &by.map(Tensor::array).into_iter().collect::<SmallVec<[Array; 1]>>())?;
        let complex = by.is_some_and(Tensor::is_complex) || matches!(number, Some(Scalar::Complex(_)));
        let real = by.is_some_and(Tensor::is_floating_point) || matches!(number, Some(Scalar::Float(_)));
        let fits = match array.dtype {
            _ if complex => array.dtype.is_complex(),
            _ if real => array.dtype.is_differentiable(),
            dtype => dtype != DType::Bool || matches!(number, Some(Scalar::Bool(_))),
        };
        if !fits || by.is_some_and(|by| by.device() != array.device()) {
            bail!("result type can't be cast to the desired output type {}", array.dtype.cpp_name());
        }
    }
    Ok(())
}

/// The numbers of steps.
fn counts(function: &str, params: &[Tensor], steps: &[Tensor]) -> Result<Vec<f64>> {
    if steps.len() != params.len() {
        bail!("{function}: expected lists of {} tensors, got one of {}", params.len(), steps.len());
    }
    steps.iter().map(Tensor::to_f64).collect()
}

/// Divides the gradients by the scale that they were computed with. Returns whether the step is to be left out, as a
/// gradient was not finite.
fn unscale(grads: &[Tensor], grad_scale: Option<&Tensor>, found_inf: Option<&Tensor>) -> Result<bool> {
    if let Some(found) = found_inf
        && found.to_f64()? == 1.0
    {
        return Ok(true);
    }
    if let Some(scale) = grad_scale {
        if scale.numel() != 1 {
            bail!("expected a scale of one element, got {}", scale.numel());
        }
        check_changes(grads, Some(scale), None)?;
        for grad in grads {
            grad.div_(scale)?;
        }
    }
    Ok(false)
}

/// `torch._fused_sgd_`
pub fn _fused_sgd(
    params: &[Tensor],
    grads: &[Tensor],
    momentum_buffer_list: &[Tensor],
    weight_decay: f64,
    momentum: f64,
    lr: f64,
    dampening: f64,
    nesterov: bool,
    maximize: bool,
    is_first_step: bool,
    grad_scale: Option<&Tensor>,
    found_inf: Option<&Tensor>,
) -> Result<()> {
    let buffers = (momentum != 0.0).then_some(momentum_buffer_list);
    check("_fused_sgd_", params, [grads], [buffers])?;
    if unscale(grads, grad_scale, found_inf)? {
        return Ok(());
    }
    let options = SGDOptions { lr, momentum, dampening, weight_decay, nesterov, maximize };
    for (i, (parameter, grad)) in params.iter().zip(grads).enumerate() {
        options.step(parameter, grad, buffers.map(|list| &list[i]), is_first_step)?;
    }
    Ok(())
}

fn adam(
    function: &str,
    decoupled: bool,
    options: AdamOptions,
    params: &[Tensor],
    grads: &[Tensor],
    [averages, squares, largest, steps]: [&[Tensor]; 4],
    scaling: [Option<&Tensor>; 2],
) -> Result<()> {
    let largest = options.amsgrad.then_some(largest);
    check(function, params, [grads, averages, squares], [largest])?;
    let counts = counts(function, params, steps)?;
    if unscale(grads, scaling[0], scaling[1])? {
        return Ok(());
    }
    for (i, (parameter, grad)) in params.iter().zip(grads).enumerate() {
        let largest = largest.map(|list| &list[i]);
        options.step(decoupled, counts[i], parameter, grad, &averages[i], &squares[i], largest)?;
    }
    Ok(())
}

macro_rules! adam {
    ($name:ident, $decoupled:literal) => {
        #[doc = concat!("`torch.", stringify!($name), "_`")]
        pub fn $name(
            params: &[Tensor],
            grads: &[Tensor],
            exp_avgs: &[Tensor],
            exp_avg_sqs: &[Tensor],
            max_exp_avg_sqs: &[Tensor],
            state_steps: &[Tensor],
            lr: f64,
            beta1: f64,
            beta2: f64,
            weight_decay: f64,
            eps: f64,
            amsgrad: bool,
            maximize: bool,
            grad_scale: Option<&Tensor>,
            found_inf: Option<&Tensor>,
        ) -> Result<()> {
            let options = AdamOptions { lr, betas: (beta1, beta2), eps, weight_decay, amsgrad, maximize };
            let state = [exp_avgs, exp_avg_sqs, max_exp_avg_sqs, state_steps];
            adam(
                concat!(stringify!($name), "_"),
                $decoupled,
                options,
                params,
                grads,
                state,
                [grad_scale, found_inf],
            )
        }
    };
}
adam!(_fused_adam, false);
adam!(_fused_adamw, true);

/// `torch._fused_adagrad_`
pub fn _fused_adagrad(
    params: &[Tensor],
    grads: &[Tensor],
    state_sums: &[Tensor],
    state_steps: &[Tensor],
    lr: f64,
    lr_decay: f64,
    weight_decay: f64,
    eps: f64,
    maximize: bool,
    grad_scale: Option<&Tensor>,
    found_inf: Option<&Tensor>,
) -> Result<()> {
    check("_fused_adagrad_", params, [grads, state_sums], [])?;
    let counts = counts("_fused_adagrad_", params, state_steps)?;
    if unscale(grads, grad_scale, found_inf)? {
        return Ok(());
    }
    let options =
        AdagradOptions { lr, lr_decay, weight_decay, initial_accumulator_value: 0.0, eps, maximize };
    for (i, (parameter, grad)) in params.iter().zip(grads).enumerate() {
        options.step(counts[i], parameter, grad, &state_sums[i])?;
    }
    Ok(())
}

/// A step of RMSprop, in the form of the others.
pub fn _fused_rmsprop(
    params: &[Tensor],
    grads: &[Tensor],
    square_avgs: &[Tensor],
    grad_avgs: &[Tensor],
    momentum_buffer_list: &[Tensor],
    lr: f64,
    alpha: f64,
    eps: f64,
    weight_decay: f64,
    momentum: f64,
    centered: bool,
    maximize: bool,
) -> Result<()> {
    let means = centered.then_some(grad_avgs);
    let buffers = (momentum > 0.0).then_some(momentum_buffer_list);
    check("_fused_rmsprop_", params, [grads, square_avgs], [means, buffers])?;
    let options = RMSpropOptions { lr, momentum, alpha, eps, centered, weight_decay, maximize };
    for (i, (parameter, grad)) in params.iter().zip(grads).enumerate() {
        let (mean, buffer) = (means.map(|list| &list[i]), buffers.map(|list| &list[i]));
        options.step(parameter, grad, &square_avgs[i], mean, buffer)?;
    }
    Ok(())
}

/// `torch._foreach_add_` of a number.
pub fn _foreach_add_scalar(tensors: &[Tensor], scalar: Scalar) -> Result<()> {
    check_changes(tensors, None, Some(scalar))?;
    for tensor in tensors {
        tensor.add_scalar_(scalar)?;
    }
    Ok(())
}

/// `torch._foreach_mul_` of a tensor of one element.
pub fn _foreach_mul(tensors: &[Tensor], other: &Tensor) -> Result<()> {
    if other.dim() != 0 || other.numel() != 1 {
        bail!(
            "scalar tensor expected to be 0 dim but it has {} dimensions and {} elements.",
            other.dim(),
            other.numel()
        );
    }
    check_changes(tensors, Some(other), None)?;
    for tensor in tensors {
        tensor.mul_(other)?;
    }
    Ok(())
}

/// `torch._foreach_norm`
pub fn _foreach_norm_scalar(tensors: &[Tensor], ord: Scalar, dtype: Option<DType>) -> Result<Vec<Tensor>> {
    tensors.iter().map(|t| crate::ops::reduce::linalg_vector_norm(t, ord, None, false, dtype)).collect()
}
