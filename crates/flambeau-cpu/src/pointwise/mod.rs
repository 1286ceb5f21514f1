//! Pointwise kernels: primitive functions over tiles.

mod block;
mod complex;
mod engine;
mod fuse;
mod integer;
mod kernels;
mod prim;
mod real;
mod small;
mod special;
mod stream;
#[cfg(test)]
mod tests;

pub use engine::{Operand, Operation, Program, Source, Step, load, run, store, supports};
pub use kernels::{Compute, Convert, Kernel};
pub use prim::Prim;
pub use small::{Flat, SMALL, run_small};
