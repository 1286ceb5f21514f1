//! PyTorch's programming model in Rust: tensors, operators, autograd, `nn`, `optim`, with PyTorch's names and numbers.
//!
//! ```
//! use flambeau::nn::{self, Forward, Linear, Loss, Module};
//! use flambeau::optim::{Adam, AdamOptions};
//! use flambeau::{Result, Tensor, manual_seed, rand};
//!
//! #[derive(Module)]
//! struct Net {
//!     hidden: Linear,
//!     out: Linear,
//! }
//!
//! impl Forward for Net {
//!     fn forward(&self, x: &Tensor) -> Result<Tensor> {
//!         self.out.forward(&self.hidden.forward(x)?.tanh()?)
//!     }
//! }
//!
//! fn main() -> Result<()> {
//!     manual_seed(0); // the weights and numbers that PyTorch draws
//!     let net = Net { hidden: Linear::new(1, 16)?, out: Linear::new(16, 1)? };
//!     let x = rand([64, 1], ())? * 6.0 - 3.0;
//!     let y = x.sin()?;
//!     let mut optimizer = Adam::new(net.parameters(), AdamOptions { lr: 0.03, ..Default::default() })?;
//!     for _ in 0..200 {
//!         optimizer.zero_grad();
//!         let loss = nn::MSELoss::default().forward(&net.forward(&x)?, &y)?;
//!         loss.backward()?;
//!         optimizer.step()?;
//!     }
//!     assert!((net.forward(&x)? - y).abs()?.mean()?.to_f64()? < 0.05);
//!     Ok(())
//! }
//! ```
//!
//! A [`Tensor`] is a handle: cloning it names the same tensor, [`Tensor::deep_clone`] copies. Operators are methods that return
//! [`Result`], with PyTorch's messages; `&a + &b` and its like panic instead. All of them are also functions, with every
//! argument that they have in Python, in [`ops`]. [`nn`], [`optim`], [`autograd`], [`linalg`], [`io`] and [`utils`] hold the rest; the programs
//! in `examples/` show them together.

// Derived code names the crate by its name, also in here.
extern crate self as flambeau;

pub mod autograd;
mod context;
mod front;
pub mod generated;
pub mod io;
pub mod linalg;
pub mod nn;
pub mod ops;
pub mod optim;
pub mod pointwise;
pub mod print;
pub mod profile;
pub mod random;
pub mod schema;
mod tensor;
pub mod utils;

pub use context::{WARN, WHERE, default_device, default_dtype, set_default_device, set_default_dtype, warn};
pub use flambeau_core::{
    Array, C32, C64, Category, DType, Device, DeviceType, Dims, Element, Error, ErrorKind, Layout,
    MemoryFormat, Result, Scalar, Shared, Storage, WeakShared, bf16, f16, parallel,
};
pub use front::{
    Index, IndexExpr, Slice, TensorData, arange, eye, full, index_assign, index_views, linspace, ones, rand,
    randint, randn, randperm, tensor, zeros,
};
pub use pointwise::ParamValue;
pub use random::{Generator, manual_seed};
pub use schema::TensorOptions;
pub use tensor::{HOST_DROP, Tensor, WeakTensor};

/// The program in the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
