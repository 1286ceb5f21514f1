//! Elements by index: selection, gathering, scattering, masks, and `x[indices]`.

mod advanced;
mod gather;
mod masked;
mod reduce;
mod select;
mod take;

pub use advanced::*;
pub use gather::*;
pub use masked::*;
pub use reduce::*;
pub use select::*;
pub use take::*;

use crate::Tensor;
use crate::ops::{operand, shape};
use flambeau_core::{Array, DType, Dims, Result};
use flambeau_cpu::index::{Index, Walk};
use smallvec::SmallVec;

/// The values of an index tensor as row-major 64-bit integers.
fn index_values(index: &Tensor) -> Result<Array> {
    let wide = shape::to_dtype(&Tensor::from_array(index.array()), DType::Int64)?;
    Ok(shape::dense(&wide)?.array())
}

/// A dense array's integers.
fn as_slice(values: &Array) -> &[i64] {
    let n = values.numel();
    if n == 0 || values.device().is_meta() {
        return &[];
    }
    // SAFETY: a row-major array of n 64-bit integers, alive as long as the borrow.
    unsafe { std::slice::from_raw_parts(values.data_ptr().cast::<i64>(), n) }
}

/// The first value outside of `low..high`, if there is one.
fn outside(values: &Array, low: i64, high: i64) -> Option<i64> {
    let list = as_slice(values);
    if flambeau_cpu::index::within(list, low, high) {
        return None;
    }
    list.iter().copied().find(|&v| v < low || v >= high)
}

/// A walk in which one dimension of `indexed` follows an index array given over the walk's sizes.
fn walk_along(
    sizes: &[i64],
    plain: &Array,
    indexed: &Array,
    d: usize,
    values: &Array,
    strides: Dims,
) -> Walk {
    let mut to = operand(indexed);
    let (size, stride) = match indexed.sizes.get(d) {
        Some(&size) => (size, std::mem::replace(&mut to.strides[d], 0)),
        None => (1, 0),
    };
    Walk {
        sizes: SmallVec::from_slice(sizes),
        plain: operand(plain),
        indexed: to,
        indices: SmallVec::from_iter([Index {
            values: values.data_ptr().cast::<i64>().cast_const(),
            strides,
            size,
            stride,
        }]),
    }
}
