//! Hinge losses over classes.

use super::loss::reduced;
use super::named;
use crate::Tensor;
use crate::autograd::{GradMode, Save, record};
use crate::generated::functions as f;
use crate::ops::dense::{Dense, computed};
use crate::ops::{index, reduce, shape};
use flambeau_core::{DType, Result, Scalar, bail, show};
use flambeau_cpu::margin;
use smallvec::smallvec;

/// Checks an input of one sample or several, and gives it two dimensions.
fn samples(input: &Tensor) -> Result<Tensor> {
    let sizes = input.sizes();
    if sizes.len() > 2 || sizes.last() == Some(&0) {
        bail!(
            "Expected non-empty vector or matrix with optional 0-dim batch size, but got: {}",
            show(&sizes)
        );
    }
    match sizes[..] {
        [] => shape::reshape(input, &[1, 1]),
        [_] => shape::unsqueeze(input, 0),
        _ => Ok(input.clone()),
    }
}

fn check_dtypes(kernel: &str, input: &Tensor, target: &Tensor) -> Result<()> {
    if target.dtype() != DType::Int64 {
        bail!("expected scalar type Long but found {}", target.dtype().cpp_name());
    }
    if !matches!(input.dtype(), DType::Float32 | DType::Float64) {
        bail!(NotImplemented, "\"{kernel}\" not implemented for '{}'", input.dtype().cpp_name());
    }
    Ok(())
}

/// The mean over the other classes of `max(0, margin - x[target] + x[other]) ** p`, times the weight of the target.
pub fn multi_margin_loss(
    self_: &Tensor,
    target: &Tensor,
    p: Scalar,
    margin: Scalar,
    weight: Option<&Tensor>,
    reduction: i64,
) -> Result<Tensor> {
    if !p.is(1) && !p.is(2) {
        bail!("only p == 1 and p == 2 supported");
    }
    let x = samples(self_)?;
    let (n, classes) = (x.sizes()[0], x.sizes()[1]);
    let given = target.sizes();
    if given[..] != [n] && !(given.is_empty() && n == 1) {
        bail!(
            "multi_margin_loss: target tensor should be 1-D with size equal to the number of input samples (batch size). Expected target size [{n}], but got {}. Input has shape {}.",
            show(&given),
            show(&self_.sizes())
        );
    }
    if let Some(weight) = weight
        && weight.sizes()[..] != [classes]
    {
        bail!("inconsistent weight size, expected {classes} but got {}", show(&weight.sizes()));
    }
    check_dtypes("multi_margin_loss_cpu_kernel", self_, target)?;
    if let Some(weight) = weight
        && weight.dtype() != self_.dtype()
    {
        bail!("expected scalar type {} but found {}", self_.dtype().cpp_name(), weight.dtype().cpp_name());
    }
    if !target.is_meta() && Dense::<i64>::of(target)?.iter().any(|&c| c < 0 || c >= classes) {
        bail!("target out of range");
    }
    let wanted = shape::reshape(target, &[n, 1])?;
    let gaps = f::sub(&x, &index::gather(&x, 1, &wanted, false)?, 1i64.into())?;
    let mut gaps = f::clamp_min(&f::add_scalar(&gaps, margin, 1i64.into())?, 0i64.into())?;
    if p.is(2) {
        gaps = f::mul(&gaps, &gaps)?;
    }
    if let Some(weight) = weight {
        let weights = index::index_select(weight, 0, &shape::reshape(target, &[n])?)?;
        gaps = f::mul(&gaps, &shape::unsqueeze(&weights, 1)?)?;
    }
    // The target is no other class.
    let gaps = index::scatter_value(&gaps, 1, &wanted, 0i64.into())?;
    let losses = f::div_scalar(&reduce::sum_dim(&gaps, Some(&[1]), false, None)?, classes.into())?;
    let losses = if given.is_empty() { shape::reshape(&losses, &[])? } else { losses };
    named(reduced(&losses, reduction)?, "MultiMarginLossBackward0")
}

/// The sum over target classes and other classes of `max(0, 1 - x[target] + x[other])`, divided by the number of
/// classes. A sample's targets end at the first -1.
pub fn multilabel_margin_loss(self_: &Tensor, target: &Tensor, reduction: i64) -> Result<Tensor> {
    let x = samples(self_)?;
    let (sizes, given) = (self_.sizes(), target.sizes());
    let single = sizes.len() <= 1 && given.len() <= 1 && target.numel() == self_.numel();
    if !single && sizes != given {
        bail!("inconsistent target size: {} for input of size: {}", show(&given), show(&sizes));
    }
    check_dtypes("multilabel_margin_loss_forward_out_frame", self_, target)?;
    let (n, classes) = (x.sizes()[0], x.sizes()[1]);
    if target.is_meta() {
        bail!(NotImplemented, "multilabel_margin_loss: targets have no values on the meta device");
    }
    let labels = Dense::<i64>::of(target)?;
    if labels.iter().any(|&c| c < -1 || c >= classes) {
        bail!("argument #2 'target' is out of range");
    }
    let (dtype, count) = (self_.dtype(), classes as usize);
    macro_rules! run {
        ($T:ty) => {{
            let _guard = GradMode::no_grad();
            let x = Dense::<$T>::of(&x)?;
            computed::<$T>(&[n], dtype, |out| margin::multilabel(count, &x, &labels, out))?
        }};
    }
    let losses = if dtype == DType::Float64 { run!(f64) } else { run!(f32) };
    record(
        &[&losses],
        "MultilabelMarginLossBackward0",
        &[&x],
        &[Save::Input(&x), Save::Input(target)],
        move |ctx| {
            let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
            let (x, target) = (ctx.saved(0)?, ctx.saved(1)?);
            macro_rules! run {
                ($T:ty) => {{
                    let _guard = GradMode::no_grad();
                    let (g, x_) = (Dense::<$T>::of(grad)?, Dense::<$T>::of(&x)?);
                    let labels = Dense::<i64>::of(&target)?;
                    computed::<$T>(&x.sizes(), dtype, |out| {
                        margin::multilabel_backward(count, &g, &x_, &labels, out)
                    })?
                }};
            }
            let out = if dtype == DType::Float64 { run!(f64) } else { run!(f32) };
            record(&[&out], "NotImplemented", &[grad, &x], &[], |_| {
                bail!("derivative for aten::multilabel_margin_loss_backward is not implemented")
            })?;
            Ok(smallvec![Some(out)])
        },
    )?;
    let losses = if sizes.len() <= 1 { shape::reshape(&losses, &[])? } else { losses };
    reduced(&losses, reduction)
}
