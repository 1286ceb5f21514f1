//! The pair of operators behind maxima: reading and adding at positions in planes.

use super::unpool::unpool;
use super::{planes, pooled, product, unsigned};
use crate::Tensor;
use crate::autograd::{Save, forward, record};
use crate::ops::dense::Dense;
use flambeau_core::Result;
use flambeau_cpu::pool;
use smallvec::smallvec;

fn selection_name(dims: usize) -> &'static str {
    if dims == 2 { "MaxPool2DWithIndicesBackwardBackward0" } else { "MaxPool3DWithIndicesBackwardBackward0" }
}

/// Adds each element of `grad` to zeros of `sizes` at its index into the plane.
fn scatter(grad: &Tensor, indices: &Tensor, sizes: &[i64], dims: usize) -> Result<Tensor> {
    let out = pooled!(grad => sizes, |x, out| {
        let (planes, plane) = (planes(sizes, dims), product(&sizes[sizes.len() - dims..])?);
        let windows = product(&grad.sizes()[sizes.len() - dims..])?;
        pool::max_pool_backward(planes, plane, windows, &x, &Dense::<i64>::of(indices)?, out)
    });
    record(&[&out], selection_name(dims), &[grad], &[Save::Input(indices)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        Ok(smallvec![Some(take(grad, &ctx.saved(0)?, dims, Origin::Pool)?)])
    })?;
    Ok(out)
}

/// What has [`take`] as its gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A selection of maxima.
    Pool,
    /// [`super::unpool::unpool`], which puts elements into places. Of several for one place the last stays, while
    /// each gets the gradient of the place; so it is not the transpose of its gradient, and is its own forward
    /// derivative.
    Unpool,
}

/// For each index the element of `x`'s plane there: the adjoint of [`scatter`].
pub(super) fn take(x: &Tensor, indices: &Tensor, dims: usize, origin: Origin) -> Result<Tensor> {
    let (sizes, from) = (indices.sizes(), x.sizes());
    let out = pooled!(x => &sizes, |values, out| {
        let (planes, windows) = (planes(&sizes, dims), product(&sizes[sizes.len() - dims..])?);
        let spatial = unsigned(&from[from.len() - dims..])?;
        pool::max_unpool_backward(planes, windows, &spatial, &values, &Dense::<i64>::of(indices)?, out)
    });
    record(&[&out], selection_name(dims), &[x], &[Save::Input(indices)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        let indices = ctx.saved(0)?;
        if origin == Origin::Unpool && forward::active() {
            return Ok(smallvec![Some(unpool(grad, &indices, &from[from.len() - dims..], dims)?)]);
        }
        Ok(smallvec![Some(scatter(grad, &indices, &from, dims)?)])
    })?;
    Ok(out)
}

/// Records maxima of `input` and passes them on with their positions.
pub(super) fn record_maxima(
    (values, indices): (Tensor, Tensor),
    input: &Tensor,
    dims: usize,
    name: &'static str,
) -> Result<(Tensor, Tensor)> {
    let sizes = input.sizes();
    record(&[&values], name, &[input], &[Save::Input(&indices)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        ctx.connected(selection_name(dims), smallvec![Some(scatter(grad, &ctx.saved(0)?, &sizes, dims)?)])
    })?;
    Ok((values, indices))
}
