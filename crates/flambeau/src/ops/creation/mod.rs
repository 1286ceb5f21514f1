//! Tensors from nothing: sizes, fill values, ranges, data.

mod data;
mod factory;
mod like;
mod range;

pub use data::*;
pub use factory::*;
pub use like::*;
pub use range::*;
