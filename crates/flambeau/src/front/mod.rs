//! What programs in Rust are written with: constructors, operators such as `&a + &b`, indexing, differentiation.

mod arithmetic;
mod autograd;
mod construct;
mod index;

pub use autograd::{GradOptions, backward, functional, grad, no_grad};
pub use construct::{
    TensorData, arange, eye, full, linspace, ones, rand, randint, randn, randperm, tensor, zeros,
};
pub use index::{Index, IndexExpr, Slice, index_assign, index_views};
