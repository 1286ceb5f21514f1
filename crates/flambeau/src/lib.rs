//! PyTorch's programming model in Rust: tensors, operators, autograd, `nn`, `optim`.

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
pub mod random;
pub mod schema;
mod tensor;

pub use context::{WARN, default_device, default_dtype, set_default_device, set_default_dtype, warn};
pub use flambeau_core::{
    Array, C32, C64, Category, DType, Device, DeviceType, Dims, Element, Error, ErrorKind, Layout,
    MemoryFormat, Result, Scalar, bf16, f16,
};
pub use front::{
    Index, IndexExpr, Slice, TensorData, arange, eye, full, index_assign, index_views, linspace, ones, rand,
    randint, randn, randperm, tensor, zeros,
};
pub use pointwise::ParamValue;
pub use random::{Generator, manual_seed};
pub use schema::TensorOptions;
pub use tensor::{HOST_DROP, Tensor, WeakTensor};
