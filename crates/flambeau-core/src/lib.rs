//! What an array is: element types, scalars, sizes and signed strides, devices, storage, promotion, errors.
//! Knows nothing of tensors or gradients.

mod array;
mod blocks;
mod device;
mod dtype;
mod error;
pub mod halves;
mod memory;
pub mod parallel;
mod scalar;
mod shared;
mod storage;

pub use array::{
    Array, Dims, broadcast_shapes, check_sizes, contiguous_strides, count, dims_of, numel, required_bytes,
    show, strides_for, wrap_dim,
};
pub use device::{Device, DeviceType, Layout, MemoryFormat};
pub use dtype::{C32, C64, Category, DType, Element};
pub use error::{Error, ErrorKind, Result};
pub use half::{bf16, f16};
pub use memory::{Room, buffer, check_memory, settle};
pub use scalar::{Number, Scalar};
pub use shared::{Shared, WeakShared};
pub use storage::{Init, Lease, Loan, Storage};
