//! Pointwise kernels: primitive functions over tiles.

mod block;
mod complex;
mod convert;
mod division;
mod engine;
mod flat;
mod fuse;
mod half_slices;
mod halves;
mod integer;
mod kernels;
mod narrow;
mod own_width;
mod plan;
mod prim;
mod quotients;
mod real;
mod short;
mod special;
#[cfg(test)]
mod tests;
mod transfer;
mod update;

pub use convert::Convert;
pub(crate) use convert::{narrow_bf16, narrow_f16, widen_bf16, widen_f16};
pub use engine::{Operand, Operation, Program, Source, Step, run, supports};
pub use flat::{FLAT, Flat, SMALL, run_flat};
pub use kernels::{Compute, Kernel};
pub(crate) use plan::Plan;
pub use prim::Prim;
pub use transfer::{load, store};
pub use update::Update;
