//! Selecting and placing elements along a dimension by positions: what selections need of `gather` and
//! `scatter_add`, on indices that are known to be in range. Has unsafe code.

use crate::Tensor;
use crate::autograd::{Save, record};
use crate::ops::shape::{self, dense};
use crate::ops::support::copy_data;
use flambeau_core::{DType, Result, Scalar, dispatch, wrap_dim};
use flambeau_cpu::pointwise::Convert;
use flambeau_cpu::reduce::Arith;
use smallvec::smallvec;

/// Number of elements before, of, and after a dimension.
fn split(sizes: &[i64], d: usize) -> (usize, usize, usize) {
    let product = |s: &[i64]| flambeau_core::count(s) as usize;
    if sizes.is_empty() {
        (1, 1, 1)
    } else {
        (product(&sizes[..d]), sizes[d] as usize, product(&sizes[d + 1..]))
    }
}

/// The elements at `indices` along `dim`; `indices` has the sizes of `t` but along `dim`.
pub(crate) fn take_along(t: &Tensor, dim: i64, indices: &Tensor) -> Result<Tensor> {
    let a = t.array();
    let d = wrap_dim(dim, a.dim())?;
    let out = Tensor::empty_raw(&indices.sizes(), a.dtype, a.device())?;
    let (outer, n, inner) = split(&a.sizes, d);
    if !a.device().is_meta() && out.numel() > 0 {
        let m = split(&indices.sizes(), d).1;
        let (from, index, to) = (dense(&t.alias())?.array(), dense(&indices.alias())?.array(), out.array());
        dispatch!(storage a.dtype, S => {
            let (from, to) = (from.data_ptr().cast::<S>(), to.data_ptr().cast::<S>());
            let index = index.data_ptr().cast::<i64>();
            for o in 0..outer {
                for j in 0..m {
                    for i in 0..inner {
                        let at = (o * m + j) * inner + i;
                        // SAFETY: dense arrays of these sizes; positions were checked or made by a selection.
                        unsafe {
                            let k = (index.add(at).read() as usize).min(n - 1);
                            to.add(at).write(from.add((o * n + k) * inner + i).read());
                        }
                    }
                }
            }
        });
    }
    record(&[&out], "GatherBackward0", &[t], &[Save::Input(indices)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        Ok(smallvec![Some(put_along(grad, dim, &ctx.saved(0)?, n as i64)?)])
    })?;
    Ok(out)
}

/// Zeros of size `n` along `dim`, to which each value is added at its position; `indices` has the sizes of `values`.
pub(crate) fn put_along(values: &Tensor, dim: i64, indices: &Tensor, n: i64) -> Result<Tensor> {
    let a = values.array();
    let d = wrap_dim(dim, a.dim())?;
    let mut sizes = a.sizes.clone();
    if !sizes.is_empty() {
        sizes[d] = n;
    }
    let out = Tensor::zeros_raw(&sizes, a.dtype, a.device())?;
    let (outer, n, inner) = split(&sizes, d);
    if !a.device().is_meta() && a.numel() > 0 {
        let m = split(&a.sizes, d).1;
        let (from, index, to) =
            (dense(&values.alias())?.array(), dense(&indices.alias())?.array(), out.array());
        debug_assert_eq!(index.dtype, DType::Int64);
        dispatch!(compute a.dtype, C => dispatch!(storage a.dtype, S => {
            let (from, to) = (from.data_ptr().cast::<S>(), to.data_ptr().cast::<S>());
            let index = index.data_ptr().cast::<i64>();
            for o in 0..outer {
                for j in 0..m {
                    for i in 0..inner {
                        let at = (o * m + j) * inner + i;
                        // SAFETY: dense arrays of these sizes; positions were checked or made by a selection.
                        unsafe {
                            let k = (index.add(at).read() as usize).min(n - 1);
                            let place = to.add((o * n + k) * inner + i);
                            let x = <C as Convert<S>>::from_storage(from.add(at).read());
                            let y = <C as Convert<S>>::from_storage(place.read());
                            place.write(<C as Convert<S>>::into_storage(Arith::plus(y, x)));
                        }
                    }
                }
            }
        }));
    }
    record(&[&out], "ScatterAddBackward0", &[values], &[Save::Input(indices)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        Ok(smallvec![Some(take_along(grad, dim, &ctx.saved(0)?)?)])
    })?;
    Ok(out)
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
