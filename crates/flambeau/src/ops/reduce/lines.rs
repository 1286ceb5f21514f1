//! Elements along a dimension by position, and dimensions moved so that they come last.

use crate::Tensor;
use crate::autograd::record;
use crate::ops::support::copy_data;
use crate::ops::{index, shape};
use flambeau_core::{Result, Scalar, wrap_dim};
use smallvec::smallvec;

/// Zeros of size `n` along `dim`, to which each value is added at its position; `indices` has the sizes of `values`.
pub(crate) fn put_along(values: &Tensor, dim: i64, indices: &Tensor, n: i64) -> Result<Tensor> {
    let mut sizes = values.sizes();
    if !sizes.is_empty() {
        let d = wrap_dim(dim, sizes.len())?;
        sizes[d] = n;
    }
    let zeros = Tensor::zeros_raw(&sizes, values.dtype(), values.device())?;
    index::scatter_add(&zeros, dim, indices, values)
}

/// A view with dimension `d` moved last, without history.
pub(crate) fn moved_last(t: &Tensor, d: usize) -> Tensor {
    let mut a = t.array();
    if !a.sizes.is_empty() {
        let (size, stride) = (a.sizes.remove(d), a.strides.remove(d));
        a.sizes.push(size);
        a.strides.push(stride);
    }
    t.alias_as(a)
}

/// The reverse of [`moved_last`], as a fresh row-major tensor.
pub(crate) fn moved_back(t: &Tensor, d: usize) -> Result<Tensor> {
    let mut a = t.array();
    if d + 1 >= a.sizes.len() {
        return Ok(t.clone());
    }
    if let (Some(size), Some(stride)) = (a.sizes.pop(), a.strides.pop()) {
        a.sizes.insert(d, size);
        a.strides.insert(d, stride);
    }
    shape::clone_dense(&t.alias_as(a))
}

/// The elements moved one place along `dim` (towards the end if `forward`), with `fill` in the free place.
pub(crate) fn shifted(t: &Tensor, dim: i64, forward: bool, fill: Scalar) -> Result<Tensor> {
    let a = t.array();
    let d = wrap_dim(dim, a.dim())?;
    let out = Tensor::empty_raw(&a.sizes, a.dtype, a.device())?;
    crate::ops::creation::fill_data(&out, fill)?;
    let n = a.sizes.get(d).copied().unwrap_or(1);
    if n > 1 {
        let window = |t: &Tensor, late: bool| {
            let mut a = t.array();
            a.sizes[d] = n - 1;
            a.offset += if late { a.strides[d] } else { 0 };
            t.alias_as(a)
        };
        copy_data(&window(&out, forward), &window(&t.alias(), !forward))?;
    }
    record(&[&out], "RollBackward0", &[t], &[], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        Ok(smallvec![Some(shifted(grad, dim, !forward, Scalar::Int(0))?)])
    })?;
    Ok(out)
}
