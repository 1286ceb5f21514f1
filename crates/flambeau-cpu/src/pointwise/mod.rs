//! Pointwise kernels: primitive functions over tiles.

mod prim;

pub use prim::Prim;
