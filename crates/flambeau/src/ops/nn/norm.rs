//! Normalisation: batch, instance, layer, group, root mean square.

use crate::Tensor;
use crate::autograd::GradMode;
use crate::generated::functions as f;
use crate::ops::support::copy_data;
use crate::ops::{reduce, shape};
use flambeau_core::{Dims, Result, bail, show};
use smallvec::smallvec;

/// `(x - mean) / sqrt(var + eps)` over `dims`, with the statistics.
fn standardised(x: &Tensor, dims: &[i64], eps: f64) -> Result<(Tensor, Tensor, Tensor)> {
    let mean = reduce::mean_dim(x, Some(dims), true, None)?;
    let centred = f::sub(x, &mean, 1i64.into())?;
    let var = reduce::mean_dim(&f::mul(&centred, &centred)?, Some(dims), true, None)?;
    let scale = f::rsqrt(&f::add_scalar(&var, eps.into(), 1i64.into())?)?;
    Ok((f::mul(&centred, &scale)?, mean, var))
}

fn affine(x: Tensor, weight: Option<&Tensor>, bias: Option<&Tensor>, sizes: &[i64]) -> Result<Tensor> {
    let mut x = x;
    if let Some(w) = weight {
        x = f::mul(&x, &shape::reshape(w, sizes)?)?;
    }
    if let Some(b) = bias {
        x = f::add(&x, &shape::reshape(b, sizes)?, 1i64.into())?;
    }
    Ok(x)
}

fn check_channels(t: Option<&Tensor>, channels: i64, name: &str) -> Result<()> {
    if let Some(t) = t
        && t.numel() as i64 != channels
    {
        bail!("{name} should contain {channels} elements not {}", t.numel());
    }
    Ok(())
}

/// `running = (1 - momentum) * running + momentum * value`, without history.
fn update(running: &Tensor, value: &Tensor, momentum: f64) -> Result<()> {
    let _guard = GradMode::no_grad();
    let sizes = running.sizes();
    let value = shape::to_dtype(&shape::reshape(&value.alias(), &sizes)?, running.dtype())?;
    let kept = f::mul_scalar(&running.alias(), (1.0 - momentum).into())?;
    let fresh = f::add(&kept, &f::mul_scalar(&value, momentum.into())?, 1i64.into())?;
    copy_data(running, &fresh)?;
    running.bump_version();
    Ok(())
}

/// Batch normalisation of `(n, c, …)` (Ioffe and Szegedy, 2015).
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
    let sizes = input.sizes();
    if sizes.len() < 2 {
        bail!("batch_norm: expected an input of at least 2 dimensions, got {}", show(&sizes));
    }
    let channels = sizes[1];
    for (t, name) in
        [(running_mean, "running_mean"), (running_var, "running_var"), (weight, "weight"), (bias, "bias")]
    {
        check_channels(t, channels, name)?;
    }
    let mut per_channel: Dims = smallvec![1; sizes.len()];
    per_channel[1] = channels;
    if training {
        let dims: Dims = (0..sizes.len() as i64).filter(|&d| d != 1).collect();
        let n: i64 = sizes.iter().product::<i64>() / channels.max(1);
        let (x, mean, var) = standardised(input, &dims, eps)?;
        if let Some(running) = running_mean {
            update(running, &mean, momentum)?;
        }
        if let Some(running) = running_var {
            let unbiased = f::mul_scalar(&var.alias(), (n as f64 / (n - 1).max(1) as f64).into())?;
            update(running, &unbiased, momentum)?;
        }
        return affine(x, weight, bias, &per_channel);
    }
    let (Some(mean), Some(var)) = (running_mean, running_var) else {
        bail!("Expected running_mean and running_var to be defined when training=False");
    };
    let mean = shape::reshape(mean, &per_channel)?;
    let scale = f::rsqrt(&f::add_scalar(&shape::reshape(var, &per_channel)?, eps.into(), 1i64.into())?)?;
    affine(f::mul(&f::sub(input, &mean, 1i64.into())?, &scale)?, weight, bias, &per_channel)
}

/// Instance normalisation: batch normalisation of each sample by itself (Ulyanov et al., 2016).
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
    let sizes = input.sizes();
    if sizes.len() < 2 {
        bail!("instance_norm: expected an input of at least 2 dimensions, got {}", show(&sizes));
    }
    if !use_input_stats {
        return batch_norm(
            input,
            weight,
            bias,
            running_mean,
            running_var,
            false,
            momentum,
            eps,
            cudnn_enabled,
        );
    }
    let channels = sizes[1];
    check_channels(weight, channels, "weight")?;
    check_channels(bias, channels, "bias")?;
    let dims: Dims = (2..sizes.len() as i64).collect();
    let mut per_channel: Dims = smallvec![1; sizes.len()];
    per_channel[1] = channels;
    let (x, mean, var) = standardised(input, &dims, eps)?;
    let n: i64 = sizes.iter().skip(2).product();
    if let Some(running) = running_mean {
        update(running, &reduce::mean_dim(&mean.alias(), Some(&[0]), false, None)?, momentum)?;
    }
    if let Some(running) = running_var {
        let unbiased = f::mul_scalar(&var.alias(), (n as f64 / (n - 1).max(1) as f64).into())?;
        update(running, &reduce::mean_dim(&unbiased, Some(&[0]), false, None)?, momentum)?;
    }
    affine(x, weight, bias, &per_channel)
}

fn check_normalized(input: &Tensor, normalized_shape: &[i64], op: &str) -> Result<Dims> {
    let sizes = input.sizes();
    let n = normalized_shape.len();
    if n == 0 {
        bail!(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, but got normalized_shape = {}",
            show(normalized_shape)
        );
    }
    if sizes.len() < n || sizes[sizes.len() - n..] != *normalized_shape {
        let mut shown = String::from("[*");
        for s in normalized_shape {
            shown.push_str(&format!(", {s}"));
        }
        let _ = op;
        bail!(
            "Given normalized_shape={}, expected input with shape {shown}], but got input of size{}",
            show(normalized_shape),
            show(&sizes)
        );
    }
    Ok((sizes.len() - n..sizes.len()).map(|d| d as i64).collect())
}

/// Layer normalisation over the last dimensions (Ba et al., 2016).
pub fn layer_norm(
    input: &Tensor,
    normalized_shape: &[i64],
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
    cudnn_enable: bool,
) -> Result<Tensor> {
    let _ = cudnn_enable;
    let dims = check_normalized(input, normalized_shape, "layer_norm")?;
    for (t, name) in [(weight, "weight"), (bias, "bias")] {
        if let Some(t) = t
            && t.sizes()[..] != *normalized_shape
        {
            bail!(
                "Expected {name} to be of same shape as normalized_shape, but got {name} of shape {} and normalized_shape = {}",
                show(&t.sizes()),
                show(normalized_shape)
            );
        }
    }
    let (x, _, _) = standardised(input, &dims, eps)?;
    affine(x, weight, bias, normalized_shape)
}

/// Normalisation by the root mean square over the last dimensions (Zhang and Sennrich, 2019).
pub fn rms_norm(
    input: &Tensor,
    normalized_shape: &[i64],
    weight: Option<&Tensor>,
    eps: Option<f64>,
) -> Result<Tensor> {
    let dims = check_normalized(input, normalized_shape, "rms_norm")?;
    let eps = eps.unwrap_or(match input.dtype() {
        flambeau_core::DType::Float64 | flambeau_core::DType::Complex128 => f64::EPSILON,
        _ => f32::EPSILON as f64,
    });
    let square = reduce::mean_dim(&f::mul(input, input)?, Some(&dims), true, None)?;
    let x = f::mul(input, &f::rsqrt(&f::add_scalar(&square, eps.into(), 1i64.into())?)?)?;
    affine(x, weight, None, normalized_shape)
}

/// Group normalisation of `(n, c, …)` (Wu and He, 2018).
pub fn group_norm(
    input: &Tensor,
    num_groups: i64,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
    cudnn_enabled: bool,
) -> Result<Tensor> {
    let _ = cudnn_enabled;
    let sizes = input.sizes();
    if sizes.len() < 2 {
        bail!("Expected at least 2 dimensions for input tensor but received {}", sizes.len());
    }
    let (n, channels) = (sizes[0], sizes[1]);
    if num_groups <= 0 {
        bail!("Expected num groups to be greater than 0, got {num_groups}");
    }
    if channels % num_groups != 0 {
        bail!(
            "Expected number of channels in input to be divisible by num_groups, but got input of shape {} and num_groups={num_groups}",
            show(&sizes)
        );
    }
    for (t, name) in [(weight, "weight"), (bias, "bias")] {
        if let Some(t) = t
            && (t.dim() != 1 || t.numel() as i64 != channels)
        {
            bail!(
                "Expected {name} to be a vector of size equal to the number of channels in input, but got {name} of shape {} and input of shape {}",
                show(&t.sizes()),
                show(&sizes)
            );
        }
    }
    let rest: i64 = sizes.iter().skip(2).product();
    let grouped = shape::reshape(input, &[n, num_groups, channels / num_groups * rest])?;
    let (x, _, _) = standardised(&grouped, &[2], eps)?;
    let x = shape::reshape(&x, &sizes)?;
    let mut per_channel: Dims = smallvec![1; sizes.len()];
    per_channel[1] = channels;
    affine(x, weight, bias, &per_channel)
}
