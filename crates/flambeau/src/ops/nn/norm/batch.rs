//! Batch and instance normalisation.

use super::{Layout, Normal, check_dtypes, compute, moments, per_channel, scales, tensor};
use crate::Tensor;
use crate::autograd::record;
use crate::ops::shape;
use crate::ops::support::copy_data;
use flambeau_core::{DType, Dims, Result, bail, wrap_dim};
use flambeau_cpu::norm::{Groups, Planes};
use smallvec::smallvec;

/// Weight, bias, running mean and running variance.
type Parameters<'a> = [Option<&'a Tensor>; 4];

/// Fails unless each parameter has an element for each channel; `samples` have them in turn.
fn check_channels([weight, bias, mean, var]: Parameters, channels: i64, samples: i64) -> Result<()> {
    for (t, name) in [(mean, "running_mean"), (var, "running_var"), (weight, "weight"), (bias, "bias")] {
        if let Some(t) = t
            && t.numel() as i64 != channels
        {
            let [wanted, found] = [channels, t.numel() as i64].map(|n| samples.saturating_mul(n));
            bail!("{name} should contain {wanted} elements not {found}");
        }
    }
    Ok(())
}

/// `running = (1 - momentum) * running + momentum * value`, without history, in the precision that PyTorch has there;
/// of several samples (instances) the mean of what each would make of it.
fn update(running: Option<&Tensor>, values: &[f64], momentum: f64, fused: bool) -> Result<()> {
    let Some(running) = running.filter(|t| !t.is_meta()) else { return Ok(()) };
    crate::autograd::check_inplace(running, false)?;
    let old = running.to_vec::<f64>()?;
    let (m, keep) = (momentum as f32, (1.0 - momentum) as f32);
    let mixed: Vec<f64> = if running.dtype() == DType::Float64 {
        let step = |k: usize, new: f64| momentum * new + (1.0 - momentum) * old[k];
        average(old.len(), values, step)
    } else {
        let step = |k: usize, new: f64| {
            let (new, kept) = (new as f32, keep * old[k] as f32);
            f64::from(if fused { m.mul_add(new, kept) } else { m * new + kept })
        };
        average(old.len(), values, step)
    };
    copy_data(running, &tensor(&mixed, &running.sizes(), running.dtype())?)?;
    running.bump_version();
    Ok(())
}

/// Means and reciprocal standard deviations of an input's groups, towards which the running ones move.
fn measured(
    groups: Groups,
    input: &Tensor,
    parameters: Parameters,
    [momentum, eps]: [f64; 2],
) -> Result<[Vec<f64>; 2]> {
    let count = (groups.outer * groups.inner) as f64;
    let (mean, var) = moments(groups, input)?;
    let [.., running_mean, running_var] = parameters;
    update(running_mean, &mean, momentum, false)?;
    // Sums of squares and their quotients are rounded to the type of the moments, as in PyTorch.
    let round = |v: f64| if compute(input.dtype()) == DType::Float32 { f64::from(v as f32) } else { v };
    let squares: Vec<f64> = var.iter().map(|v| round(v * count)).collect();
    let quotients = |by: f64| -> Vec<f64> { squares.iter().map(|s| round(s / by)).collect() };
    update(running_var, &quotients(count - 1.0), momentum, true)?;
    Ok([mean, scales(&quotients(count), eps)])
}

const NAMES: [&str; 2] = ["NativeBatchNormBackward0", "NativeBatchNormBackwardBackward0"];

/// For each channel the mean over the samples of `step`.
fn average(channels: usize, values: &[f64], step: impl Fn(usize, f64) -> f64) -> Vec<f64> {
    let samples = values.len().checked_div(channels).unwrap_or(0) as f64;
    (0..channels)
        .map(|k| values.iter().skip(k).step_by(channels).map(|&v| step(k, v)).sum::<f64>() / samples)
        .collect()
}

/// An input without elements, whose parameters get gradients of zero.
fn empty(input: &Tensor, weight: Option<&Tensor>, bias: Option<&Tensor>) -> Result<Tensor> {
    let out = shape::clone_dense(input)?;
    let mut inputs = vec![input];
    inputs.extend(weight);
    inputs.extend(bias);
    let like: Vec<_> =
        inputs.iter().map(|t| t.with_array(|a| (a.sizes.clone(), a.dtype, a.device()))).collect();
    record(&[&out], NAMES[0], &inputs, &[], move |_| {
        like.iter()
            .map(|(sizes, dtype, device)| Tensor::zeros_raw(sizes, *dtype, *device).map(Some))
            .collect()
    })?;
    Ok(out)
}

/// Samples, channels and elements of a plane.
fn three(sizes: &[i64]) -> [usize; 3] {
    [sizes[0], sizes[1], flambeau_core::count(&sizes[2..])].map(|n| n as usize)
}

/// The result with what was saved: means and reciprocal standard deviations of the batch.
fn batch(
    input: &Tensor,
    parameters: Parameters,
    training: bool,
    momentum: f64,
    eps: f64,
) -> Result<(Tensor, [Vec<f64>; 2])> {
    let [weight, bias, running_mean, running_var] = parameters;
    let sizes = input.sizes();
    let channels = sizes.get(1).copied().unwrap_or(0);
    if running_mean.is_some() != running_var.is_some() && training {
        bail!(Value, "running_mean and running_var must either both be None or neither be None");
    }
    if !training && running_mean.is_none() {
        bail!(Value, "running_mean must be defined in evaluation mode");
    }
    check_channels(parameters, channels, 1)?;
    if !training && running_var.is_none() {
        bail!("running_var must be defined in evaluation mode");
    }
    if input.numel() == 0 {
        return Ok((empty(input, weight, bias)?, Default::default()));
    }
    wrap_dim(1, sizes.len())?;
    check_dtypes("batch_norm", input, &parameters)?;
    let [n, c, inner] = three(&sizes);
    let moments = match (training, running_mean, running_var) {
        (false, Some(mean), Some(var)) if !mean.is_meta() && !var.is_meta() => {
            [mean.to_vec::<f64>()?, scales(&var.to_vec::<f64>()?, eps)]
        }
        (false, ..) => Default::default(),
        _ => measured(Groups { outer: n, stats: c, inner }, input, parameters, [momentum, eps])?,
    };
    let dims: Dims = (0..sizes.len() as i64).filter(|&d| d != 1).collect();
    let saved = if training { moments.clone() } else { Default::default() };
    let planes = Planes {
        channels: c,
        inner,
        planes: if input.is_meta() { 0 } else { n * c },
        sharing: 1,
        stats: c,
        count: training.then_some(n * inner),
    };
    let normal = Normal {
        formatted: true,
        layout: Layout::Planes(planes),
        moments,
        own: None,
        view: training.then(|| (sizes.clone(), dims)),
        affine: per_channel(sizes.len(), channels),
        eps,
        names: NAMES,
    };
    Ok((normal.apply(input, weight, bias, None)?.0, saved))
}

/// `torch.batch_norm`: normalisation of each channel of `(n, c, …)` over the batch (Ioffe and Szegedy, 2015).
pub fn batch_norm(
    input: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    running_mean: Option<&Tensor>,
    running_var: Option<&Tensor>,
    training: bool,
    momentum: f64,
    eps: f64,
    cudnn_enabled: bool,
) -> Result<Tensor> {
    let _ = cudnn_enabled;
    let parameters = [weight, bias, running_mean, running_var];
    Ok(batch(input, parameters, training, momentum, eps)?.0)
}

/// `torch.native_batch_norm`: with the means and reciprocal standard deviations of the batch while training.
pub fn native_batch_norm(
    input: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    running_mean: Option<&Tensor>,
    running_var: Option<&Tensor>,
    training: bool,
    momentum: f64,
    eps: f64,
) -> Result<(Tensor, Tensor, Tensor)> {
    let parameters = [weight, bias, running_mean, running_var];
    let (out, saved) = batch(input, parameters, training, momentum, eps)?;
    let dtype = parameters.into_iter().flatten().next().map_or(input.dtype(), Tensor::dtype);
    let channels = input.sizes().get(1).copied().filter(|_| training).unwrap_or(0);
    let [mean, scale] = saved.map(|list| {
        let size = if input.is_meta() { channels } else { list.len() as i64 };
        super::saved(&list, &[size], dtype, input)
    });
    Ok((out, mean?, scale?))
}

/// `torch.instance_norm`: each channel of each sample by itself (Ulyanov et al., 2016).
pub fn instance_norm(
    input: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    running_mean: Option<&Tensor>,
    running_var: Option<&Tensor>,
    use_input_stats: bool,
    momentum: f64,
    eps: f64,
    cudnn_enabled: bool,
) -> Result<Tensor> {
    let _ = cudnn_enabled;
    let (sizes, parameters) = (input.sizes(), [weight, bias, running_mean, running_var]);
    wrap_dim(1, sizes.len())?;
    if !use_input_stats {
        if running_mean.is_none() || running_var.is_none() {
            bail!("Expected running_mean and running_var to be defined when use_input_stats is false");
        }
        return Ok(batch(input, parameters, false, momentum, eps)?.0);
    }
    let channels = sizes[1];
    check_channels(parameters, channels, sizes[0])?;
    if input.numel() == 0 {
        return empty(input, weight, bias);
    }
    check_dtypes("batch_norm", input, &parameters)?;
    let [n, c, inner] = three(&sizes);
    let moments = measured(Groups { outer: 1, stats: n * c, inner }, input, parameters, [momentum, eps])?;
    let planes = if input.is_meta() { 0 } else { n * c };
    let planes = Planes { channels: c, inner, planes, sharing: 1, stats: n * c, count: Some(inner) };
    let normal = Normal {
        formatted: false,
        layout: Layout::Planes(planes),
        moments,
        own: None,
        view: Some((smallvec![(n * c) as i64, inner as i64], smallvec![1])),
        affine: per_channel(sizes.len(), channels),
        eps,
        names: NAMES,
    };
    Ok(normal.apply(input, weight, bias, None)?.0)
}
