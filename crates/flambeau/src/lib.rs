//! PyTorch's programming model in Rust: tensors, operators, autograd, `nn`, `optim`.

pub mod autograd;
mod context;
pub mod generated;
pub mod ops;
pub mod pointwise;
pub mod print;
pub mod random;
pub mod schema;
mod tensor;

pub use context::{WARN, default_device, default_dtype, set_default_device, set_default_dtype, warn};
pub use flambeau_core::{
    Array, C32, C64, Category, DType, Device, DeviceType, Dims, Element, Error, ErrorKind, Layout,
    MemoryFormat, Result, Scalar, bf16, f16,
};
pub use pointwise::ParamValue;
pub use random::Generator;
pub use schema::TensorOptions;
pub use tensor::{HOST_DROP, Tensor, WeakTensor};
