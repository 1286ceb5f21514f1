//! A copy of a tensor with a part replaced: `select_scatter` and its kind.

use crate::Tensor;
use crate::autograd::{GradMode, record};
use crate::ops::shape::{as_strided, clone, diagonal, select, slice, zeros_of};
use crate::ops::support::{copy_array, copy_data};
use flambeau_core::{Array, Dims, MemoryFormat, Result, bail, show};
use smallvec::smallvec;

fn plain(t: &Tensor) -> Result<Tensor> {
    clone(t, None)
}

/// A `copy` of `self` in which `src` stands where `view` looks; differentiable.
fn scatter_view<C, V>(self_: &Tensor, src: &Tensor, name: &'static str, copy: C, view: V) -> Result<Tensor>
where
    C: Fn(&Tensor) -> Result<Tensor> + Clone + Send + Sync + 'static,
    V: Fn(&Tensor) -> Result<Tensor> + Clone + Send + Sync + 'static,
{
    let out = {
        let _guard = GradMode::no_grad();
        let out = copy(self_)?;
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
            grads[0] = Some(scatter_view(grad, &hole, name, copy.clone(), view.clone())?);
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
    scatter_view(self_, src, "SelectScatterBackward0", plain, move |t| select(t, dim, index))
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
    scatter_view(self_, src, "SliceScatterBackward0", plain, move |t| slice(t, dim, start, end, step))
}

/// `torch.diagonal_scatter`
pub fn diagonal_scatter(self_: &Tensor, src: &Tensor, offset: i64, dim1: i64, dim2: i64) -> Result<Tensor> {
    scatter_view(self_, src, "DiagonalScatterBackward0", plain, move |t| diagonal(t, offset, dim1, dim2))
}

/// Where the elements of a tensor lie: sizes, strides, offset, and how many elements its storage has.
#[derive(Clone)]
struct Geometry {
    sizes: Dims,
    strides: Dims,
    offset: i64,
    length: i64,
}

impl Geometry {
    /// That of `a`, or of a dense copy where elements of `a` share memory.
    fn of(a: &Array) -> Result<Geometry> {
        let (strides, offset, length) = match a.may_overlap_itself() {
            true => (super::preserved_strides(a), 0, a.numel()),
            false => (a.strides.clone(), a.offset, a.storage.nbytes() / a.dtype.size()),
        };
        Ok(Geometry { sizes: a.sizes.clone(), strides, offset, length: length as i64 })
    }

    fn is_that_of(&self, a: &Array) -> bool {
        a.sizes == self.sizes
            && a.strides == self.strides
            && a.offset == self.offset
            && a.storage.nbytes() >= self.length as usize * a.dtype.size()
    }

    /// A copy of `t` in this geometry, without history: with all of its storage if it is laid out so already,
    /// otherwise among zeros.
    fn copy(&self, t: &Tensor) -> Result<Tensor> {
        let a = t.array();
        let flat = Tensor::zeros_raw(&[self.length], a.dtype, a.device())?.array();
        let window = Array {
            sizes: self.sizes.clone(),
            strides: self.strides.clone(),
            offset: self.offset,
            ..flat.clone()
        };
        if self.is_that_of(&a) {
            let all = Array { sizes: flat.sizes.clone(), strides: flat.strides.clone(), offset: 0, ..a };
            copy_array(&flat, &all)?;
        } else {
            copy_array(&window, &a)?;
        }
        Ok(Tensor::from_array(window))
    }

    /// `t` in this geometry; differentiable.
    fn lay_out(&self, t: &Tensor) -> Result<Tensor> {
        if t.with_array(|a| self.is_that_of(a)) {
            return Ok(t.clone());
        }
        let out = self.copy(t)?;
        record(&[&out], "CloneBackward0", &[t], &[], |ctx| Ok(smallvec![ctx.grad(0).cloned()]))?;
        Ok(out)
    }
}

/// `torch.as_strided_scatter`: the window is cut from a copy of all the memory of `self`, or from a dense copy of
/// `self` if its own elements share memory.
pub fn as_strided_scatter(
    self_: &Tensor,
    src: &Tensor,
    size: &[i64],
    stride: &[i64],
    storage_offset: Option<i64>,
) -> Result<Tensor> {
    let geometry = Geometry::of(&self_.array())?;
    let (size, stride) = (Dims::from_slice(size), Dims::from_slice(stride));
    let offset = storage_offset.unwrap_or(geometry.offset);
    let layout = geometry.clone();
    scatter_view(
        self_,
        src,
        "AsStridedScatterBackward0",
        move |t| layout.copy(t),
        // Gradients may come in another layout.
        move |t| as_strided(&geometry.lay_out(t)?, &size, &stride, Some(offset)),
    )
}
