//! Connectionist temporal classification.

use crate::Tensor;
use crate::autograd::{GradMode, Save, record};
use crate::generated::functions as f;
use crate::ops::dense::{Dense, computed, computed_pair};
use crate::ops::{reduce, shape};
use flambeau_core::{DType, Result, Scalar, bail};
use flambeau_cpu::ctc::{self, CtcTargets};
use smallvec::smallvec;

/// Checks everything and reads the targets.
fn targets(
    log_probs: &Tensor,
    targets: &Tensor,
    input_lengths: &[i64],
    target_lengths: &[i64],
    blank: i64,
) -> Result<CtcTargets> {
    let during = "(while checking arguments for ctc_loss_allocate_outputs)";
    let (sizes, given) = (log_probs.sizes(), targets.sizes());
    if sizes.len() != 3 {
        bail!(
            "Expected 3-dimensional tensor, but got {}-dimensional tensor for argument #1 'log_probs' {during}",
            sizes.len()
        );
    }
    if !(1..=2).contains(&given.len()) {
        bail!(
            "Expected 1 to 2 dimensions, but got {}-dimensional tensor for argument #2 'targets' {during}",
            given.len()
        );
    }
    let [time, batch, classes] = [sizes[0], sizes[1], sizes[2]];
    if !(0..classes).contains(&blank) {
        bail!("blank must be in label range");
    }
    if input_lengths.len() as i64 != batch {
        bail!("input_lengths must be of size batch_size");
    }
    if target_lengths.len() as i64 != batch {
        bail!("target_lengths must be of size batch_size");
    }
    for (name, lengths) in [("input_lengths", input_lengths), ("target_lengths", target_lengths)] {
        if let Some(bad) = lengths.iter().find(|&&n| n < 0) {
            bail!("Expected {name} to have value at least 0, but got value {bad} {during}");
        }
    }
    if let Some(long) = input_lengths.iter().find(|&&n| n > time) {
        bail!("Expected input_lengths to have value at most {time}, but got value {long} {during}");
    }
    let longest = target_lengths.iter().copied().max().unwrap_or(0);
    let starts: Vec<i64> = if given.len() == 1 {
        let mut sum = 0i64;
        let mut starts = Vec::new();
        for &length in target_lengths {
            starts.push(sum);
            sum = sum.saturating_add(length);
        }
        if given[0] != sum {
            bail!(
                "Expected tensor to have size {sum} at dimension 0, but got size {} for argument #2 'targets' {during}",
                given[0]
            );
        }
        starts
    } else {
        if given[0] != batch {
            bail!(
                "Expected tensor to have size {batch} at dimension 0, but got size {} for argument #2 'targets' {during}",
                given[0]
            );
        }
        if given[1] < longest {
            bail!(
                "Expected tensor to have size at least {longest} at dimension 1, but got size {} for argument #2 'targets' {during}",
                given[1]
            );
        }
        (0..batch).map(|b| b * given[1]).collect()
    };
    if !matches!(log_probs.dtype(), DType::Float32 | DType::Float64) {
        bail!(NotImplemented, "\"ctc_loss_cpu\" not implemented for '{}'", log_probs.dtype().cpp_name());
    }
    let counts = |list: &[i64]| list.iter().map(|&n| n as usize).collect();
    Ok(CtcTargets {
        labels: targets.to_vec::<i64>()?,
        starts: counts(&starts),
        lengths: counts(target_lengths),
        times: counts(input_lengths),
        blank: blank as usize,
    })
}

/// The negative log-likelihood of each entry.
fn likelihoods(log_probs: &Tensor, targets: CtcTargets, zero_infinity: bool) -> Result<Tensor> {
    let (sizes, dtype) = (log_probs.sizes(), log_probs.dtype());
    let [time, batch, classes] = [sizes[0], sizes[1], sizes[2]].map(|n| n as usize);
    let states = targets.states();
    macro_rules! run {
        ($T:ty) => {{
            let _guard = GradMode::no_grad();
            let lp = Dense::<$T>::of(log_probs)?;
            let wide = [sizes[1], sizes[0], states as i64];
            let run = |loss: &mut [$T], alpha: &mut [$T]| {
                ctc::forward(time, batch, classes, &targets, &lp, loss, alpha)
            };
            computed_pair::<$T, $T>([&sizes[1..2], &wide], dtype, run)?
        }};
    }
    let (loss, alpha) = if dtype == DType::Float64 { run!(f64) } else { run!(f32) };
    let saves = [Save::Input(log_probs), Save::Output(0), Save::Input(&alpha)];
    record(&[&loss], "CtcLossBackward0", &[log_probs], &saves, move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        let (log_probs, loss, alpha) = (ctx.saved(0)?, ctx.saved(1)?, ctx.saved(2)?);
        macro_rules! run {
            ($T:ty) => {{
                let _guard = GradMode::no_grad();
                let dense = |t: &Tensor| Dense::<$T>::of(t);
                let (g, lp, l, a) = (dense(grad)?, dense(&log_probs)?, dense(&loss)?, dense(&alpha)?);
                computed::<$T>(&log_probs.sizes(), log_probs.dtype(), |out| {
                    let given: [&[$T]; 4] = [&g, &lp, &l, &a];
                    ctc::backward(time, batch, classes, &targets, zero_infinity, given, out)
                })?
            }};
        }
        let out = if log_probs.dtype() == DType::Float64 { run!(f64) } else { run!(f32) };
        record(&[&out], "NotImplemented", &[grad, &log_probs], &[], |_| {
            bail!("derivative for aten::_ctc_loss_backward is not implemented")
        })?;
        Ok(smallvec![Some(out)])
    })?;
    Ok(loss)
}

/// `torch.ctc_loss`: log-probabilities (T, N, C) or (T, C), targets (N, S) or joined.
pub fn ctc_loss_int_list(
    log_probs: &Tensor,
    targets_: &Tensor,
    input_lengths: &[i64],
    target_lengths: &[i64],
    blank: i64,
    reduction: i64,
    zero_infinity: bool,
) -> Result<Tensor> {
    let batched = log_probs.dim() == 3;
    let log_probs = if batched { log_probs.clone() } else { shape::unsqueeze(log_probs, 1)? };
    if log_probs.numel() == 0 {
        bail!("log_probs tensor must not be empty");
    }
    if log_probs.is_meta() || targets_.is_meta() {
        bail!(NotImplemented, "ctc_loss: lengths and labels have no values on the meta device");
    }
    let targets = targets(&log_probs, targets_, input_lengths, target_lengths, blank)?;
    let mut loss = likelihoods(&log_probs, targets, zero_infinity)?;
    if zero_infinity {
        let infinite = f::eq_scalar(&loss.alias(), Scalar::Float(f64::INFINITY))?;
        loss = f::where_scalar_self(&infinite, 0i64.into(), &loss)?;
    }
    match reduction {
        1 => {
            let lengths: Vec<f64> = target_lengths.iter().map(|&n| n.max(1) as f64).collect();
            let lengths = Tensor::from_slice(&lengths, &[lengths.len() as i64])?;
            let lengths = shape::to_dtype(&lengths, loss.dtype())?;
            reduce::mean(&f::div(&loss, &lengths)?, None)
        }
        2 => reduce::sum(&loss, None),
        _ if batched => Ok(loss),
        _ => shape::squeeze_dim(&loss, 0),
    }
}

/// `torch.ctc_loss` with lengths as tensors.
pub fn ctc_loss_tensor(
    log_probs: &Tensor,
    targets: &Tensor,
    input_lengths: &Tensor,
    target_lengths: &Tensor,
    blank: i64,
    reduction: i64,
    zero_infinity: bool,
) -> Result<Tensor> {
    let list = |t: &Tensor, name: &str| -> Result<Vec<i64>> {
        if !t.dtype().is_integral() {
            bail!("{name} must be integral");
        }
        t.to_vec::<i64>()
    };
    let (inputs, outputs) = (list(input_lengths, "input_lengths")?, list(target_lengths, "target_lengths")?);
    ctc_loss_int_list(log_probs, targets, &inputs, &outputs, blank, reduction, zero_infinity)
}
