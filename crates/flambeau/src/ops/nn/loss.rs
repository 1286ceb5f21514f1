//! Losses. `reduction` is PyTorch's code: 0 none, 1 mean, 2 sum.

use super::{fused, named};
use crate::Tensor;
use crate::generated::functions as f;
use crate::ops::dense::Dense;
use crate::ops::{index, reduce, shape, softmax};
use flambeau_core::{DType, Dims, Result, Scalar, bail, show};
use flambeau_cpu::index::within;
use smallvec::smallvec;

/// Reduces an elementwise loss.
pub(super) fn reduced(loss: &Tensor, reduction: i64) -> Result<Tensor> {
    match reduction {
        0 => Ok(loss.clone()),
        1 => reduce::mean(loss, None),
        2 => reduce::sum(loss, None),
        other => bail!(Value, "{other} is not a valid value for reduction"),
    }
}

/// `(input - target)^2`
pub fn mse_loss(self_: &Tensor, target: &Tensor, reduction: i64) -> Result<Tensor> {
    named(reduced(&f::_mse_loss(self_, target)?, reduction)?, "MseLossBackward0")
}

/// `|input - target|`
pub fn l1_loss(self_: &Tensor, target: &Tensor, reduction: i64) -> Result<Tensor> {
    reduced(&f::abs(&f::sub(self_, target, 1i64.into())?)?, reduction)
}

/// Quadratic below `beta`, linear above (Girshick, 2015).
pub fn smooth_l1_loss(self_: &Tensor, target: &Tensor, reduction: i64, beta: f64) -> Result<Tensor> {
    if beta < 0.0 {
        bail!("smooth_l1_loss does not support negative values for beta.");
    }
    if beta == 0.0 {
        return l1_loss(self_, target, reduction);
    }
    named(reduced(&f::_smooth_l1_loss(self_, target, beta)?, reduction)?, "SmoothL1LossBackward0")
}

/// Quadratic below `delta`, linear above (Huber, 1964).
pub fn huber_loss(self_: &Tensor, target: &Tensor, reduction: i64, delta: f64) -> Result<Tensor> {
    if delta <= 0.0 {
        bail!("huber_loss does not support non-positive values for delta.");
    }
    named(reduced(&f::_huber_loss(self_, target, delta)?, reduction)?, "HuberLossBackward0")
}

/// Cross-entropy of probabilities against targets in [0, 1].
pub fn binary_cross_entropy(
    self_: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    reduction: i64,
) -> Result<Tensor> {
    if self_.sizes() != target.sizes() {
        bail!(
            Value,
            "Using a target size (torch.Size({})) that is different to the input size (torch.Size({})) is deprecated. Please ensure they have the same size.",
            show(&target.sizes()),
            show(&self_.sizes())
        );
    }
    if !self_.is_meta() && self_.numel() > 0 {
        let outside = match self_.dtype() {
            DType::Float64 => Dense::<f64>::of(self_)?.iter().any(|v| !(0.0..=1.0).contains(v)),
            _ => Dense::<f32>::of(self_)?.iter().any(|v| !(0.0..=1.0).contains(v)),
        };
        if outside {
            bail!("all elements of input should be between 0 and 1");
        }
    }
    let mut loss = f::_binary_cross_entropy(self_, target)?;
    if let Some(w) = weight {
        loss = f::mul(&loss, w)?;
    }
    named(reduced(&loss, reduction)?, "BinaryCrossEntropyBackward0")
}

/// Cross-entropy of logits against targets in [0, 1].
pub fn binary_cross_entropy_with_logits(
    self_: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    pos_weight: Option<&Tensor>,
    reduction: i64,
) -> Result<Tensor> {
    let mut loss = match pos_weight {
        Some(p) => f::_binary_cross_entropy_with_logits_pos_weight(self_, target, p)?,
        None => f::_binary_cross_entropy_with_logits(self_, target)?,
    };
    if let Some(w) = weight {
        loss = f::mul(&loss, w)?;
    }
    named(reduced(&loss, reduction)?, "BinaryCrossEntropyWithLogitsBackward0")
}

/// Divergence of Kullback and Leibler from log-probabilities.
pub fn kl_div(self_: &Tensor, target: &Tensor, reduction: i64, log_target: bool) -> Result<Tensor> {
    reduced(&f::_kl_div(self_, target, log_target)?, reduction)
}

/// `log(1 + exp(-target * input))`
pub fn soft_margin_loss(self_: &Tensor, target: &Tensor, reduction: i64) -> Result<Tensor> {
    named(reduced(&f::_soft_margin_loss(self_, target)?, reduction)?, "SoftMarginLossBackward0")
}

/// `exp(input) - target * input`, or without the exponential; `full` adds Stirling's term.
pub fn poisson_nll_loss(
    input: &Tensor,
    target: &Tensor,
    log_input: bool,
    full: bool,
    eps: f64,
    reduction: i64,
) -> Result<Tensor> {
    let mut loss = if log_input {
        f::sub(&f::exp(input)?, &f::mul(target, input)?, 1i64.into())?
    } else {
        let log = f::log(&f::add_scalar(input, eps.into(), 1i64.into())?)?;
        f::sub(input, &f::mul(target, &log)?, 1i64.into())?
    };
    if full {
        let log = f::log(target)?;
        let stirling = f::sub(&f::mul(target, &log)?, target, 1i64.into())?;
        let two_pi = f::mul_scalar(target, (2.0 * std::f64::consts::PI).into())?;
        let stirling = f::add(&stirling, &f::mul_scalar(&f::log(&two_pi)?, 0.5.into())?, 1i64.into())?;
        let small = f::le_scalar(target, 1i64.into())?;
        let stirling = f::masked_fill_scalar(&stirling, &small, 0i64.into())?;
        loss = f::add(&loss, &stirling, 1i64.into())?;
    }
    reduced(&loss, reduction)
}

/// `input` where the target is 1, `max(0, margin - input)` where it is -1.
pub fn hinge_embedding_loss(self_: &Tensor, target: &Tensor, margin: f64, reduction: i64) -> Result<Tensor> {
    let hinge = f::clamp_min(&f::neg(&f::sub_scalar(self_, margin.into(), 1i64.into())?)?, 0i64.into())?;
    let negative = f::where_scalar_other(&f::ne_scalar(target, 1i64.into())?, &hinge, 0i64.into())?;
    let positive = f::where_scalar_other(&f::ne_scalar(target, (-1i64).into())?, self_, 0i64.into())?;
    reduced(&f::add(&negative, &positive, 1i64.into())?, reduction)
}

/// `max(0, -target * (input1 - input2) + margin)`
pub fn margin_ranking_loss(
    input1: &Tensor,
    input2: &Tensor,
    target: &Tensor,
    margin: f64,
    reduction: i64,
) -> Result<Tensor> {
    let difference = f::mul(&f::neg(target)?, &f::sub(input1, input2, 1i64.into())?)?;
    reduced(&f::clamp_min(&f::add_scalar(&difference, margin.into(), 1i64.into())?, 0i64.into())?, reduction)
}

/// `1 - cos` where the target is 1, `max(0, cos - margin)` where it is -1.
pub fn cosine_embedding_loss(
    input1: &Tensor,
    input2: &Tensor,
    target: &Tensor,
    margin: f64,
    reduction: i64,
) -> Result<Tensor> {
    let rank = target.dim();
    if rank > 1 {
        bail!("0D or 1D target tensor expected, multi-target not supported");
    }
    if input1.dim() != rank + 1 || input2.dim() != rank + 1 {
        let (name, tensors) = if rank == 1 { ("1D", "2D") } else { ("0D", "1D") };
        bail!(
            "{name} target tensor expects {tensors} input tensors, but found inputs with sizes {} and {}.",
            show(&input1.sizes()),
            show(&input2.sizes())
        );
    }
    let dim = [rank as i64];
    let eps = 1e-12;
    let inner = reduce::sum_dim(&f::mul(input1, input2)?, Some(&dim), false, None)?;
    let square = |t: &Tensor| -> Result<Tensor> {
        f::add_scalar(&reduce::sum_dim(&f::mul(t, t)?, Some(&dim), false, None)?, eps.into(), 1i64.into())
    };
    let cos = f::div(&inner, &f::sqrt(&f::mul(&square(input1)?, &square(input2)?)?)?)?;
    let positive = f::neg(&f::sub_scalar(&cos, 1i64.into(), 1i64.into())?)?;
    let negative = f::clamp_min(&f::sub_scalar(&cos, margin.into(), 1i64.into())?, 0i64.into())?;
    let positive = f::where_scalar_other(&f::eq_scalar(target, 1i64.into())?, &positive, 0i64.into())?;
    let negative = f::where_scalar_other(&f::eq_scalar(target, (-1i64).into())?, &negative, 0i64.into())?;
    reduced(&f::add(&positive, &negative, 1i64.into())?, reduction)
}

/// The dimension of classes of an input of log-probabilities.
fn class_dim(input: &Tensor) -> i64 {
    if input.dim() <= 1 { 0 } else { 1 }
}

/// The targets, if some are ignored.
fn check_targets(input: &Tensor, target: &Tensor, ignore_index: i64) -> Result<Option<Dense<i64>>> {
    let (a, t) = (input.sizes(), target.sizes());
    if a.len() == 1 {
        if t.len() > 1 {
            bail!("0D or 1D target tensor expected, multi-target not supported");
        }
        if t.len() == 1 && t[0] != 1 {
            bail!(Value, "For 1D input, 1D target must have size 1, but got target size: {}", t[0]);
        }
    } else {
        let mut expected = a.clone();
        expected.remove(1);
        if a[0] != t.first().copied().unwrap_or(-1) {
            bail!(
                Value,
                "Expected input batch_size ({}) to match target batch_size ({}).",
                a[0],
                t.first().copied().unwrap_or(0)
            );
        }
        if expected != t {
            if a.len() == 2 {
                bail!("0D or 1D target tensor expected, multi-target not supported");
            }
            bail!("Expected target size {}, got {}", show(&expected), show(&t));
        }
    }
    if !matches!(target.dtype(), DType::Int64 | DType::UInt8) {
        bail!("expected target dtype to be Long or Byte, but got {}", target.dtype().cpp_name());
    }
    let classes = a[class_dim(input) as usize];
    if target.is_meta() {
        return Ok(None);
    }
    let list = Dense::<i64>::of(target)?;
    let ignores = (0..classes).contains(&ignore_index) && list.contains(&ignore_index);
    if within(&list, 0, classes) && !ignores {
        return Ok(None);
    }
    if let Some(bad) = list.iter().find(|&&c| c != ignore_index && (c < 0 || c >= classes)) {
        bail!(Index, "Target {bad} is out of bounds.");
    }
    Ok(Some(list))
}

/// Negative log-likelihood of classes `(n)`, `(n, d1, …)` under log-probabilities `(n, c)`, `(n, c, d1, …)`.
pub fn nll_loss_nd(
    self_: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    reduction: i64,
    ignore_index: i64,
) -> Result<Tensor> {
    if self_.dim() == 0 {
        bail!("input tensor should be 1D or 2D");
    }
    let ignoring = check_targets(self_, target, ignore_index)?;
    let dim = class_dim(self_);
    let classes = self_.sizes()[dim as usize];
    if let Some(w) = weight
        && (w.dim() != 1 || w.sizes()[0] != classes)
    {
        bail!(
            "weight tensor should be defined either for all {classes} classes or no classes but got weight tensor of shape: {}",
            show(&w.sizes())
        );
    }
    let dtype = self_.dtype();
    if !dtype.is_floating_point() {
        bail!(NotImplemented, "\"nll_loss_out_frame\" not implemented for '{}'", dtype.cpp_name());
    }
    if let Some(w) = weight
        && w.dtype() != dtype
    {
        bail!("expected scalar type {} but found {}", dtype.cpp_name(), w.dtype().cpp_name());
    }
    // Halves are added up in single precision.
    let single = |t: &Tensor| match dtype {
        DType::Float64 => Ok(t.clone()),
        _ => shape::to_dtype(t, DType::Float32),
    };
    let weight = weight.map(single).transpose()?;
    let out =
        likelihood(&single(self_)?, target, ignoring.as_deref(), weight.as_ref(), reduction, ignore_index)?;
    let out = shape::to_dtype(&out, dtype)?;
    let names = match self_.dim() > 2 {
        true => ["NllLoss2DBackward0", "NllLoss2DBackwardBackward0"],
        false => ["NllLossBackward0", "NllLossBackwardBackward0"],
    };
    fused(out, names)
}

/// The negative log-likelihood of checked targets, whose values are `ignoring` if some are ignored.
fn likelihood(
    self_: &Tensor,
    target: &Tensor,
    ignoring: Option<&[i64]>,
    weight: Option<&Tensor>,
    reduction: i64,
    ignore_index: i64,
) -> Result<Tensor> {
    let dim = class_dim(self_);
    let sizes = target.sizes();
    let safe_target = match ignoring {
        Some(list) => {
            let safe: Vec<i64> = list.iter().map(|&c| if c == ignore_index { 0 } else { c }).collect();
            Tensor::from_slice(&safe, &sizes)?
        }
        None => shape::to_dtype(target, DType::Int64)?,
    };
    let column = if self_.dim() == 1 {
        shape::reshape(&safe_target, &[1])?
    } else {
        shape::unsqueeze(&safe_target, 1)?
    };
    let picked = index::gather(self_, dim, &column, false)?;
    let picked = shape::reshape(&picked, &sizes)?;
    let mut factor: Option<Tensor> = None;
    if let Some(w) = weight {
        let w = index::index_select(&w.alias(), 0, &shape::reshape(&safe_target, &[-1])?)?;
        factor = Some(shape::reshape(&w, &sizes)?);
    }
    if let Some(list) = ignoring {
        let keep: Vec<bool> = list.iter().map(|&c| c != ignore_index).collect();
        let keep = Tensor::from_slice(&keep, &sizes)?;
        factor = Some(match factor {
            Some(w) => f::mul(&w, &keep)?,
            None => shape::to_dtype(&keep, self_.dtype())?,
        });
    }
    let mut loss = f::neg(&picked)?;
    if let Some(factor) = &factor {
        loss = f::mul(&loss, factor)?;
        if let Some(list) = ignoring {
            // An ignored infinite loss does not count either.
            let drop: Vec<bool> = list.iter().map(|&c| c == ignore_index).collect();
            loss = f::masked_fill_scalar(&loss, &Tensor::from_slice(&drop, &sizes)?, 0i64.into())?;
        }
    }
    let out = match (reduction, &factor) {
        (1, Some(factor)) => f::div(&reduce::sum(&loss, None)?, &reduce::sum(factor, None)?)?,
        _ => reduced(&loss, reduction)?,
    };
    Ok(out)
}

/// Cross-entropy of logits against class indices or class probabilities.
pub fn cross_entropy_loss(
    self_: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    reduction: i64,
    ignore_index: i64,
    label_smoothing: f64,
) -> Result<Tensor> {
    if !(0.0..=1.0).contains(&label_smoothing) {
        bail!("label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}");
    }
    if self_.dim() == 0 {
        bail!("cross_entropy_loss(): expected an input of at least 1 dimension");
    }
    let dim = class_dim(self_);
    let log = softmax::log_softmax(self_, dim, None)?;
    if self_.sizes() == target.sizes() {
        if !target.is_floating_point() {
            bail!(
                "Expected floating point type for target with class probabilities, got {}",
                target.dtype().cpp_name()
            );
        }
        if ignore_index >= 0 {
            bail!("ignore_index is not supported for floating point target");
        }
        return probabilities(&log, target, weight, reduction, label_smoothing, dim);
    }
    let nll = nll_loss_nd(&log, target, weight, reduction, ignore_index)?;
    if label_smoothing == 0.0 {
        return Ok(nll);
    }
    let classes = self_.sizes()[dim as usize] as f64;
    let list = target.to_vec::<i64>()?;
    let sizes = target.sizes();
    let mut spread = match weight {
        Some(w) => {
            let mut s: Dims = smallvec![1; self_.dim()];
            s[dim as usize] = w.sizes()[0];
            reduce::sum_dim(&f::mul(&log, &shape::reshape(w, &s)?)?, Some(&[dim]), false, None)?
        }
        None => reduce::sum_dim(&log, Some(&[dim]), false, None)?,
    };
    spread = shape::reshape(&f::neg(&spread)?, &sizes)?;
    let drop: Vec<bool> = list.iter().map(|&c| c == ignore_index).collect();
    let dropped = drop.iter().filter(|&&d| d).count();
    if dropped > 0 {
        spread = f::masked_fill_scalar(&spread, &Tensor::from_slice(&drop, &sizes)?, 0i64.into())?;
    }
    let smooth = match (reduction, weight) {
        (0, _) => spread,
        (2, _) => reduce::sum(&spread, None)?,
        (_, Some(w)) => {
            let kept: Vec<i64> = list.iter().copied().filter(|&c| c != ignore_index).collect();
            let kept = Tensor::from_slice(&kept, &[kept.len() as i64])?;
            let total = reduce::sum(&index::index_select(&w.alias(), 0, &kept)?, None)?;
            f::div(&reduce::sum(&spread, None)?, &total)?
        }
        (_, None) => f::div_scalar(&reduce::sum(&spread, None)?, Scalar::Int((list.len() - dropped) as i64))?,
    };
    let a = f::mul_scalar(&nll, (1.0 - label_smoothing).into())?;
    let b = f::mul_scalar(&smooth, (label_smoothing / classes).into())?;
    f::add(&a, &b, 1i64.into())
}

fn probabilities(
    log: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    reduction: i64,
    label_smoothing: f64,
    dim: i64,
) -> Result<Tensor> {
    let sizes = log.sizes();
    let classes = sizes[dim as usize];
    let mut target = target.clone();
    if label_smoothing > 0.0 {
        target = f::mul_scalar(&target, (1.0 - label_smoothing).into())?;
        target = f::add_scalar(&target, (label_smoothing / classes as f64).into(), 1i64.into())?;
    }
    let mut product = f::mul(log, &target)?;
    if let Some(w) = weight {
        if w.dim() != 1 || w.sizes()[0] != classes {
            bail!(
                "cross_entropy: weight tensor should be defined either for all {classes} classes or no classes but got weight tensor of shape: {}",
                show(&w.sizes())
            );
        }
        let mut s: Dims = smallvec![1; sizes.len()];
        s[dim as usize] = classes;
        product = f::mul(&product, &shape::reshape(w, &s)?)?;
    }
    let out = match reduction {
        0 => f::neg(&reduce::sum_dim(&product, Some(&[dim]), false, None)?)?,
        2 => f::neg(&reduce::sum(&product, None)?)?,
        _ => {
            let rows: i64 = flambeau_core::count(&sizes) / classes.max(1);
            f::neg(&f::div_scalar(&reduce::sum(&product, None)?, Scalar::Int(rows))?)?
        }
    };
    Ok(out)
}
