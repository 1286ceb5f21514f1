//! Optimizers with PyTorch's names, settings and numbers.
//!
//! ```
//! use flambeau::optim::{SGD, SGDOptions};
//! let w = flambeau::tensor([1f32, -2.])?.requires_grad_(true)?;
//! let mut optimizer = SGD::new([&w], SGDOptions { lr: 0.1, momentum: 0.8, ..Default::default() })?;
//! for _ in 0..100 {
//!     optimizer.zero_grad();
//!     (&w - 3.0).pow_scalar(2)?.sum()?.backward()?;
//!     optimizer.step()?;
//! }
//! assert!((w.detach()? - 3.0).abs()?.max()?.to_f64()? < 1e-3);
//! # Ok::<(), flambeau::Error>(())
//! ```

mod adagrad;
mod adam;
mod adaptive;
mod fused;
mod lbfgs;
pub mod lr_scheduler;
mod optimizer;
mod others;
mod rmsprop;
mod settings;
mod sgd;
mod sparse_adam;

pub use adagrad::{Adagrad, AdagradOptions};
pub use adam::{Adam, AdamOptions, AdamW, AdamWOptions};
pub use adaptive::{
    Adadelta, AdadeltaOptions, Adamax, AdamaxOptions, NAdam, NAdamOptions, RAdam, RAdamOptions,
};
pub use lbfgs::{LBFGS, LBFGSOptions};
pub use optimizer::{Algorithm, Groups, Optimizer, ParamGroup, State};
pub use others::{
    ASGD, ASGDOptions, Adafactor, AdafactorOptions, Muon, MuonOptions, MuonRate, Rprop, RpropOptions,
};
pub use rmsprop::{RMSprop, RMSpropOptions};
pub use settings::{Setting, Settings};
pub use sgd::{SGD, SGDOptions};
pub use sparse_adam::{SparseAdam, SparseAdamOptions};
