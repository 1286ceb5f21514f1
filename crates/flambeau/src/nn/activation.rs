//! Activations as modules.

use super::module::{Forward, Module, Parameter, Training};
use super::repr::Python;
use super::{functional as F, init};
use crate::ops::{creation, random};
use crate::{Result, Tensor};

/// One activation a line: its name, its settings with their defaults, how these are printed, and the function.
macro_rules! activations {
    ($(
        $(#[$doc:meta])*
        $name:ident { $($field:ident: $type:ty = $default:expr),* } $format:literal, |$x:ident| $value:expr;
    )*) => { $(
        activations!(@struct $(#[$doc])* $name { $($field: $type = $default),* } $format);
        impl Forward for $name {
            fn forward(&self, $x: &Tensor) -> Result<Tensor> {
                let $name { $($field),* } = *self;
                $value
            }
        }
    )* };
    (@struct $(#[$doc:meta])* $name:ident {} $format:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, Module)]
        pub struct $name;
    };
    (@struct $(#[$doc:meta])* $name:ident { $($field:ident: $type:ty = $default:expr),+ } $format:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Module)]
        #[module(extra_repr = format!($format, $(self.$field.python()),*))]
        pub struct $name { $(pub $field: $type),* }
        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $default),* }
            }
        }
    };
}

activations! {
    /// `max(x, 0)`.
    ReLU {} "", |x| F::relu(x);
    /// `min(max(x, 0), 6)`.
    ReLU6 {} "", |x| F::relu6(x);
    /// `1 / (1 + exp(-x))`.
    Sigmoid {} "", |x| F::sigmoid(x);
    /// The hyperbolic tangent.
    Tanh {} "", |x| F::tanh(x);
    /// `x * sigmoid(x)`.
    SiLU {} "", |x| F::silu(x);
    /// `x * tanh(softplus(x))` (Misra 2019).
    Mish {} "", |x| F::mish(x);
    /// Scaled exponential linear unit (Klambauer et al. 2017).
    SELU {} "", |x| F::selu(x);
    /// `relu6(x + 3) / 6`.
    Hardsigmoid {} "", |x| F::hardsigmoid(x);
    /// `x * relu6(x + 3) / 6` (Howard et al. 2019).
    Hardswish {} "", |x| F::hardswish(x);
    /// `log(sigmoid(x))`.
    LogSigmoid {} "", |x| F::logsigmoid(x);
    /// `x / (1 + |x|)`.
    Softsign {} "", |x| F::softsign(x);
    /// `x - tanh(x)`.
    Tanhshrink {} "", |x| F::tanhshrink(x);
    /// `x` times the normal distribution function of `x` (Hendrycks and Gimpel 2016); `approximate` is "none" or "tanh".
    GELU { approximate: &'static str = "none" } "approximate={}", |x| F::gelu(x, approximate);
    /// `x` where positive, `negative_slope * x` elsewhere.
    LeakyReLU { negative_slope: f64 = 0.01 } "negative_slope={}", |x| F::leaky_relu(x, negative_slope.into());
    /// `x` where positive, `alpha * (exp(x) - 1)` elsewhere (Clevert et al. 2016).
    ELU { alpha: f64 = 1.0 } "alpha={}", |x| F::elu(x, alpha.into());
    /// `max(0, x) + min(0, alpha * (exp(x / alpha) - 1))` (Barron 2017).
    CELU { alpha: f64 = 1.0 } "alpha={}", |x| F::celu(x, alpha.into());
    /// `log(1 + exp(beta * x)) / beta`, and `x` where `beta * x` is above `threshold`.
    Softplus { beta: f64 = 1.0, threshold: f64 = 20.0 } "beta={}, threshold={}", |x| F::softplus(x, beta.into(), threshold.into());
    /// `x` limited to [min_val, max_val].
    Hardtanh { min_val: f64 = -1.0, max_val: f64 = 1.0 } "min_val={}, max_val={}", |x| F::hardtanh(x, min_val.into(), max_val.into());
    /// `x` outside [-lambd, lambd], 0 within.
    Hardshrink { lambd: f64 = 0.5 } "{}", |x| F::hardshrink(x, lambd.into());
    /// `x` moved toward 0 by `lambd`, 0 within [-lambd, lambd].
    Softshrink { lambd: f64 = 0.5 } "{}", |x| F::softshrink(x, lambd.into());
    /// `x` where it exceeds `threshold`, `value` elsewhere.
    Threshold { threshold: f64 = 0.0, value: f64 = 0.0 } "threshold={}, value={}", |x| F::threshold(x, threshold.into(), value.into());
    /// `exp(x) / sum(exp(x))` along a dimension.
    Softmax { dim: i64 = -1 } "dim={}", |x| F::softmax(x, dim);
    /// `exp(-x) / sum(exp(-x))` along a dimension.
    Softmin { dim: i64 = -1 } "dim={}", |x| F::softmin(x, dim);
    /// Half of the channels along a dimension, times the sigmoid of the other half (Dauphin et al. 2017).
    GLU { dim: i64 = -1 } "dim={}", |x| F::glu(x, dim);
    /// The softmax over the channels of `(N, C, H, W)` or `(C, H, W)`.
    Softmax2d {} "", |x| F::softmax(x, -3);
    /// The logarithm of the softmax along a dimension.
    LogSoftmax { dim: i64 = -1 } "dim={}", |x| F::log_softmax(x, dim);
}

impl Softmax {
    pub fn new(dim: i64) -> Softmax {
        Softmax { dim }
    }
}
impl LogSoftmax {
    pub fn new(dim: i64) -> LogSoftmax {
        LogSoftmax { dim }
    }
}

/// `x` where positive, `weight * x` elsewhere, with a learned weight for all channels or for each (He et al. 2015).
#[derive(Clone, Debug, Module)]
#[module(extra_repr = format!("num_parameters={}", self.weight.numel()))]
pub struct PReLU {
    pub weight: Parameter,
}
impl PReLU {
    /// `num_parameters` is 1 or the number of channels; PyTorch starts from 0.25.
    pub fn new(num_parameters: i64, initial: f64) -> Result<PReLU> {
        let weight = creation::empty(&[num_parameters], &().into(), None)?;
        init::constant_(&weight, initial)?;
        Ok(PReLU { weight: Parameter::new(&weight)? })
    }
}
impl Forward for PReLU {
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        input.prelu(&self.weight)
    }
}

/// `x` where positive, `slope * x` elsewhere, with a slope drawn for each element while training and the middle of the
/// range otherwise (Xu et al. 2015).
#[derive(Debug, Module)]
#[module(extra_repr = format!("lower={}, upper={}", self.lower.python(), self.upper.python()))]
pub struct RReLU {
    pub lower: f64,
    pub upper: f64,
    pub training: Training,
}
impl Default for RReLU {
    fn default() -> Self {
        RReLU { lower: 1.0 / 8.0, upper: 1.0 / 3.0, training: Training::default() }
    }
}
impl Forward for RReLU {
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        random::rrelu(input, self.lower.into(), self.upper.into(), self.training.get(), None)
    }
}
