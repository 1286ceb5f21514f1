//! Layers that drop elements while they are trained.

use super::module::{Forward, Module, Training};
use super::repr::Python;
use crate::ops::random;
use crate::{Result, Tensor};
use flambeau_core::bail;

/// One kind a line: its name, how it is printed, its function.
macro_rules! dropouts { ($($(#[$doc:meta])* $name:ident $([$n:ident])? = $text:expr, |$x:ident, $p:ident, $training:ident| $value:expr;)*) => { $(
    $(#[$doc])*
    #[derive(Debug, Module)]
    #[module(name = $text, extra_repr = format!("p={}, inplace=False", self.p.python()))]
    pub struct $name $(<const $n: usize>)? {
        pub p: f64,
        pub training: Training,
    }
    impl $(<const $n: usize>)? $name $(<$n>)? {
        pub fn new(p: f64) -> Result<Self> {
            if !(0.0..=1.0).contains(&p) {
                bail!(Value, "dropout probability has to be between 0 and 1, but got {}", p.python());
            }
            Ok($name { p, training: Training::default() })
        }
    }
    impl $(<const $n: usize>)? Default for $name $(<$n>)? {
        fn default() -> Self {
            $name { p: 0.5, training: Training::default() }
        }
    }
    impl $(<const $n: usize>)? Forward for $name $(<$n>)? {
        fn forward(&self, $x: &Tensor) -> Result<Tensor> {
            let ($p, $training) = (self.p, self.training.get());
            $value
        }
    }
)* } }
dropouts! {
    /// While training, zero for a share `p` of the elements, drawn at random, and the others divided by `1 - p`
    /// (Srivastava et al. 2014).
    Dropout = "Dropout", |x, p, training| random::dropout(x, p, training);
    /// [`Dropout`] of whole channels (Tompson et al. 2015).
    ChannelDropout [N] = format!("Dropout{N}d"), |x, p, training| channels::<N>(x, p, training);
    /// Dropout that keeps mean and variance of normal inputs, for [`SELU`](super::SELU) (Klambauer et al. 2017).
    AlphaDropout = "AlphaDropout", |x, p, training| random::alpha_dropout(x, p, training);
    /// [`AlphaDropout`] of whole channels.
    FeatureAlphaDropout = "FeatureAlphaDropout", |x, p, training| random::feature_alpha_dropout(x, p, training);
}
/// Of the channels of `(N, C, L)` or `(C, L)`.
pub type Dropout1d = ChannelDropout<1>;
/// Of the channels of `(N, C, H, W)`.
pub type Dropout2d = ChannelDropout<2>;
/// Of the channels of `(N, C, D, H, W)` or `(C, D, H, W)`.
pub type Dropout3d = ChannelDropout<3>;

fn channels<const N: usize>(x: &Tensor, p: f64, training: bool) -> Result<Tensor> {
    let rank = x.dim();
    if N == 1 && rank != 2 && rank != 3 {
        bail!(
            "dropout1d: Expected 2D or 3D input, but received a {rank}D input. Note that dropout1d exists to provide channel-wise dropout on inputs with 1 spatial dimension, a channel dimension, and an optional batch dimension (i.e. 2D or 3D inputs)."
        );
    }
    // Of two dimensions PyTorch takes three for a batch.
    if rank == N + 1 && N != 2 {
        return random::feature_dropout(&x.unsqueeze(0)?, p, training)?.squeeze_dim(0);
    }
    random::feature_dropout(x, p, training)
}
