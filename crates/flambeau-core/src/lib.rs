//! What an array is: element types, scalars, sizes and signed strides, devices, storage, promotion, errors.
//! Knows nothing of tensors or gradients.

mod dtype;
mod error;

pub use dtype::{C32, C64, Category, DType, Element};
pub use error::{Error, ErrorKind, Result};
pub use half::{bf16, f16};
