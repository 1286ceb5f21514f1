//! A copy of a tensor with a part replaced: `select_scatter` and its kind.

use crate::Tensor;
use crate::autograd::{GradMode, record};
use crate::ops::shape::{as_strided, clone, diagonal, select, slice, zeros_of};
use crate::ops::support::copy_data;
use flambeau_core::{Dims, MemoryFormat, Result, bail, show};
use smallvec::smallvec;

/// A copy of `self` in which `src` stands where `view` looks; differentiable.
fn scatter_view<F>(self_: &Tensor, src: &Tensor, name: &'static str, view: F) -> Result<Tensor>
where
    F: Fn(&Tensor) -> Result<Tensor> + Clone + Send + Sync + 'static,
{
    let out = {
        let _guard = GradMode::no_grad();
        let out = clone(self_, None)?;
        let part = view(&Tensor::from_array(out.array()))?;
        let (slice, source) = (part.sizes(), src.sizes());
        if slice != source {
            bail!(
                "expected src to have a size equal to the slice of self. src size = {}, slice size = {}",
                show(&source),
                show(&slice)
            );
        }
        copy_data(&part, src)?;
        out
    };
    record(&[&out], name, &[self_, src], &[], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None, None]) };
        let mut grads: crate::autograd::Grads = smallvec![None, None];
        if ctx.needs(0) {
            let hole = zeros_of(&view(&grad.alias())?)?;
            grads[0] = Some(scatter_view(grad, &hole, name, view.clone())?);
        }
        if ctx.needs(1) {
            grads[1] = Some(clone(&view(grad)?, Some(MemoryFormat::Contiguous))?);
        }
        Ok(grads)
    })?;
    Ok(out)
}

/// `torch.select_scatter`
pub fn select_scatter(self_: &Tensor, src: &Tensor, dim: i64, index: i64) -> Result<Tensor> {
    scatter_view(self_, src, "SelectScatterBackward0", move |t| select(t, dim, index))
}

/// `torch.slice_scatter`
pub fn slice_scatter(
    self_: &Tensor,
    src: &Tensor,
    dim: i64,
    start: Option<i64>,
    end: Option<i64>,
    step: i64,
) -> Result<Tensor> {
    scatter_view(self_, src, "SliceScatterBackward0", move |t| slice(t, dim, start, end, step))
}

/// `torch.diagonal_scatter`
pub fn diagonal_scatter(self_: &Tensor, src: &Tensor, offset: i64, dim1: i64, dim2: i64) -> Result<Tensor> {
    scatter_view(self_, src, "DiagonalScatterBackward0", move |t| diagonal(t, offset, dim1, dim2))
}

/// `torch.as_strided_scatter`: the window is cut from a row-major copy if `self` is not dense.
pub fn as_strided_scatter(
    self_: &Tensor,
    src: &Tensor,
    size: &[i64],
    stride: &[i64],
    storage_offset: Option<i64>,
) -> Result<Tensor> {
    let a = self_.array();
    let whole =
        if a.is_non_overlapping_and_dense() { a.strides.clone() } else { super::preserved_strides(&a) };
    let (sizes, size, stride) = (a.sizes, Dims::from_slice(size), Dims::from_slice(stride));
    let offset = storage_offset.unwrap_or(a.offset);
    scatter_view(self_, src, "AsStridedScatterBackward0", move |t| {
        // Gradients may come in another layout.
        let t = if t.strides() == whole && t.storage_offset() == 0 {
            t.clone()
        } else {
            super::to_geometry(t, &sizes, &whole)?
        };
        as_strided(&t, &size, &stride, Some(offset))
    })
}
