//! The operators. Pointwise ones are generated from their declarations; every other one is a function here:
//! its checks, its kernel call, and its gradient in terms of differentiable operators.

pub mod calculus;
pub mod composite;
pub mod convert;
pub mod creation;
pub mod cumulative;
pub(crate) mod dense;
pub mod distance;
pub mod fft;
pub mod histogram;
pub mod index;
pub mod join;
pub mod linalg;
pub mod masked;
pub mod matmul;
pub mod nn;
pub mod optim;
pub mod pad;
pub mod quantile;
pub mod random;
pub mod rearrange;
pub mod reduce;
pub mod shape;
pub mod softmax;
pub mod sort;
pub mod sparse;
pub mod statistics;
pub mod stft;
mod support;
pub mod tile;
pub mod unique;

pub use crate::generated::functions::*;
pub use support::{
    Overlap, any_nan, any_zero, check_castable, check_devices, check_writable, common_device, convert_grad,
    copy_array, copy_data, deliver, deliver_factory, deliver_strictly, grad_add, grad_add_, operand,
    prepare_out, scale, sum_to_size,
};
