//! Initialisers: they fill a tensor in place, unseen by autograd, with PyTorch's draws from the default generator.

use crate::autograd::no_grad;
use crate::ops::{creation, linalg, random};
use crate::{Result, Tensor};
use flambeau_core::bail;

/// The function that follows a layer, for [`calculate_gain`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Nonlinearity {
    /// None, or one that keeps the scale: linear layers, convolutions, `sigmoid`.
    Linear,
    Tanh,
    ReLU,
    /// With its slope for negative numbers.
    LeakyReLU(f64),
    SELU,
}

/// The factor by which weights before a nonlinearity are scaled.
///
/// ```
/// use flambeau::nn::init::{Nonlinearity, calculate_gain};
/// assert_eq!(calculate_gain(Nonlinearity::ReLU), 2f64.sqrt());
/// ```
pub fn calculate_gain(nonlinearity: Nonlinearity) -> f64 {
    match nonlinearity {
        Nonlinearity::Linear => 1.0,
        Nonlinearity::Tanh => 5.0 / 3.0,
        Nonlinearity::ReLU => 2f64.sqrt(),
        Nonlinearity::LeakyReLU(slope) => (2.0 / (1.0 + slope * slope)).sqrt(),
        Nonlinearity::SELU => 3.0 / 4.0,
    }
}

/// Which of a weight's two numbers of connections keeps its scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FanMode {
    /// Scales of the forward pass.
    #[default]
    FanIn,
    /// Scales of the backward pass.
    FanOut,
}

/// How many inputs reach each output of a layer with this weight, and how many outputs each input.
pub fn calculate_fan_in_and_fan_out(tensor: &Tensor) -> Result<(f64, f64)> {
    let sizes = tensor.sizes();
    if sizes.len() < 2 {
        bail!(Value, "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions");
    }
    let receptive: i64 = sizes[2..].iter().product();
    Ok(((sizes[1] * receptive) as f64, (sizes[0] * receptive) as f64))
}

/// Draws from [a, b).
pub fn uniform_(tensor: &Tensor, a: f64, b: f64) -> Result<()> {
    no_grad(|| random::uniform_(tensor, a, b, None)).map(drop)
}
/// Draws from the normal distribution.
pub fn normal_(tensor: &Tensor, mean: f64, std: f64) -> Result<()> {
    no_grad(|| random::normal_(tensor, mean, std, None)).map(drop)
}
/// Fills with a value.
pub fn constant_(tensor: &Tensor, value: f64) -> Result<()> {
    no_grad(|| creation_fill(tensor, value))
}
/// Fills with ones.
pub fn ones_(tensor: &Tensor) -> Result<()> {
    constant_(tensor, 1.0)
}
/// Fills with zeros.
pub fn zeros_(tensor: &Tensor) -> Result<()> {
    constant_(tensor, 0.0)
}
fn creation_fill(tensor: &Tensor, value: f64) -> Result<()> {
    crate::ops::shape::fill_scalar_(tensor, value.into()).map(drop)
}

/// Makes a matrix the identity, as far as its shape allows.
pub fn eye_(tensor: &Tensor) -> Result<()> {
    let sizes = tensor.sizes();
    if sizes.len() != 2 {
        bail!(Value, "Only tensors with 2 dimensions are supported");
    }
    let eye = creation::eye_m(sizes[0], sizes[1], &(tensor.dtype(), tensor.device()).into())?;
    no_grad(|| crate::ops::shape::copy_(tensor, &eye, false)).map(drop)
}

/// Glorot and Bengio 2010, uniform: bound `gain * sqrt(6 / (fan_in + fan_out))`.
pub fn xavier_uniform_(tensor: &Tensor, gain: f64) -> Result<()> {
    let (fan_in, fan_out) = calculate_fan_in_and_fan_out(tensor)?;
    let bound = 3f64.sqrt() * (gain * (2.0 / (fan_in + fan_out)).sqrt());
    uniform_(tensor, -bound, bound)
}
/// Glorot and Bengio 2010, normal: standard deviation `gain * sqrt(2 / (fan_in + fan_out))`.
pub fn xavier_normal_(tensor: &Tensor, gain: f64) -> Result<()> {
    let (fan_in, fan_out) = calculate_fan_in_and_fan_out(tensor)?;
    normal_(tensor, 0.0, gain * (2.0 / (fan_in + fan_out)).sqrt())
}

/// The standard deviation of He et al. 2015; none for a tensor without elements.
fn kaiming_std(tensor: &Tensor, mode: FanMode, nonlinearity: Nonlinearity) -> Result<Option<f64>> {
    if tensor.sizes().contains(&0) {
        crate::warn("Initializing zero-element tensors is a no-op");
        return Ok(None);
    }
    let (fan_in, fan_out) = calculate_fan_in_and_fan_out(tensor)?;
    let fan = if mode == FanMode::FanIn { fan_in } else { fan_out };
    Ok(Some(calculate_gain(nonlinearity) / fan.sqrt()))
}
/// He et al. 2015, uniform: bound `gain * sqrt(3 / fan)`.
pub fn kaiming_uniform_(tensor: &Tensor, mode: FanMode, nonlinearity: Nonlinearity) -> Result<()> {
    let Some(std) = kaiming_std(tensor, mode, nonlinearity)? else { return Ok(()) };
    let bound = 3f64.sqrt() * std;
    uniform_(tensor, -bound, bound)
}
/// He et al. 2015, normal: standard deviation `gain / sqrt(fan)`.
pub fn kaiming_normal_(tensor: &Tensor, mode: FanMode, nonlinearity: Nonlinearity) -> Result<()> {
    let Some(std) = kaiming_std(tensor, mode, nonlinearity)? else { return Ok(()) };
    normal_(tensor, 0.0, std)
}

/// A matrix with orthonormal rows or columns, whichever are fewer, times `gain` (Saxe et al. 2013).
pub fn orthogonal_(tensor: &Tensor, gain: f64) -> Result<()> {
    let sizes = tensor.sizes();
    if sizes.len() < 2 {
        bail!(Value, "Only tensors with 2 or more dimensions are supported");
    }
    if tensor.numel() == 0 {
        return Ok(());
    }
    no_grad(|| {
        let (rows, columns) = (sizes[0], tensor.numel() as i64 / sizes[0]);
        let drawn = creation::empty(&[rows, columns], &(tensor.dtype(), tensor.device()).into(), None)?;
        random::normal_(&drawn, 0.0, 1.0, None)?;
        let tall = if rows < columns { drawn.t()? } else { drawn };
        let (q, r) = linalg::qr(&tall, true)?;
        // The factorisation is unique, and q uniformly distributed, once r's diagonal is positive.
        let q = q.mul(&r.diagonal(0, 0, 1)?.sign()?)?;
        let q = if rows < columns { q.t()? } else { q };
        crate::ops::shape::copy_(tensor, &q.reshape(&sizes)?, false)?;
        tensor.mul_scalar_(gain).map(drop)
    })
}

/// The draws of most layers: the weight by [`kaiming_uniform_`] with slope sqrt(5), which is from [-1, 1) / sqrt(fan_in),
/// and the bias from the same interval.
pub(super) fn layer(weight: &Tensor, bias: Option<&Tensor>) -> Result<()> {
    kaiming_uniform_(weight, FanMode::FanIn, Nonlinearity::LeakyReLU(5f64.sqrt()))?;
    let Some(bias) = bias else { return Ok(()) };
    let (fan_in, _) = calculate_fan_in_and_fan_out(weight)?;
    let bound = if fan_in > 0.0 { 1.0 / fan_in.sqrt() } else { 0.0 };
    uniform_(bias, -bound, bound)
}
