//! Layers, losses and the modules that hold them.
//!
//! ```
//! use flambeau::nn::{CrossEntropyLoss, Forward, Linear, Loss, Module, ReLU, Sequential};
//!
//! flambeau::manual_seed(0);
//! let net = Sequential::new().append(Linear::new(4, 8)?).append(ReLU).append(Linear::new(8, 3)?);
//! println!("{net}");
//! let x = flambeau::randn([5, 4], ())?;
//! let loss = CrossEntropyLoss::default().forward(&net.forward(&x)?, &flambeau::tensor([0i64, 2, 1, 1, 0])?)?;
//! loss.backward()?;
//! assert!(net.parameters().iter().all(|p| p.grad().is_some()));
//! # Ok::<(), flambeau::Error>(())
//! ```
//!
//! Layers with many settings have `new` for what must be given and `with` for all of it. Weights are drawn as
//! PyTorch draws them: after the same [`manual_seed`](crate::manual_seed) they are the same.

mod activation;
mod container;
mod conv;
pub mod functional;
pub mod init;
mod linear;
mod loss;
mod module;
mod norm;
mod pooling;
mod repr;
mod size;

pub use activation::*;
pub use container::{ModuleDict, ModuleList, Sequential};
pub use conv::{Conv, Conv1d, Conv2d, Conv3d, ConvOptions, Padding, PaddingMode};
pub use linear::{Dropout, Embedding, EmbeddingOptions, Flatten, Identity, Linear, LinearOptions, Unflatten};
pub use loss::*;
pub use module::{Forward, Member, Module, Parameter, Register, Training};
pub use norm::{
    BatchNorm, BatchNorm1d, BatchNorm2d, BatchNorm3d, BatchNormOptions, GroupNorm, LayerNorm,
    LayerNormOptions,
};
pub use pooling::{
    AdaptiveAvgPool, AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveMaxPool, AdaptiveMaxPool1d,
    AdaptiveMaxPool2d, AvgPool, AvgPool1d, AvgPool2d, AvgPoolOptions, MaxPool, MaxPool1d, MaxPool2d,
    MaxPoolOptions,
};
pub use size::Size;
