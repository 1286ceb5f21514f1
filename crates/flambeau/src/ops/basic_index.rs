//! The views behind `x[1]`, `x[a:b:c]` and `x[None]`.

use crate::Tensor;
use crate::autograd::{record, view_of};
use crate::ops::shape;
use crate::ops::support::copy_data;
use flambeau_core::{Array, Dims, Result, bail, wrap_dim};
use smallvec::smallvec;

/// `x.select(dim, index)`: one slice, without its dimension.
pub fn select(self_: &Tensor, dim: i64, index: i64) -> Result<Tensor> {
    let mut a = self_.array();
    if a.dim() == 0 {
        bail!(Index, "select() cannot be applied to a 0-dim tensor.");
    }
    let d = wrap_dim(dim, a.dim())?;
    let size = a.sizes[d];
    if index < -size || index >= size {
        bail!(
            Index,
            "select(): index {index} out of range for tensor of size {} at dimension {dim}",
            flambeau_core::show(&a.sizes)
        );
    }
    let index = if index < 0 { index + size } else { index };
    let from = a.sizes.clone();
    a.offset += index * a.strides[d];
    a.sizes.remove(d);
    a.strides.remove(d);
    view_of(self_, "SelectBackward0", a.sizes, a.strides, a.offset, move |_, grad| {
        embed(
            grad,
            &from,
            move |whole| {
                let stride = whole.strides[d];
                whole.offset += index * stride;
                whole.sizes.remove(d);
                whole.strides.remove(d);
            },
            move |g| select(g, d as i64, index),
        )
    })
}

/// `x[start:end:step]` along a dimension; bounds are cut to the size.
pub fn slice(self_: &Tensor, dim: i64, start: Option<i64>, end: Option<i64>, step: i64) -> Result<Tensor> {
    let mut a = self_.array();
    if a.dim() == 0 {
        bail!("slice() cannot be applied to a 0-dim tensor.");
    }
    let d = wrap_dim(dim, a.dim())?;
    if step <= 0 {
        bail!("slice step must be positive");
    }
    let size = a.sizes[d];
    let clip = |v: i64| (if v < 0 { v.saturating_add(size) } else { v }).clamp(0, size);
    let start = clip(start.unwrap_or(0));
    let end = clip(end.unwrap_or(i64::MAX)).max(start);
    let from = a.sizes.clone();
    let length = (end - start + (step - 1).min(i64::MAX - size)) / step;
    a.offset += start * a.strides[d];
    a.sizes[d] = length;
    let stride = a.strides[d];
    a.strides[d] = if length > 1 { stride * step } else { stride.saturating_mul(step) };
    view_of(self_, "SliceBackward0", a.sizes, a.strides, a.offset, move |_, grad| {
        embed(
            grad,
            &from,
            move |whole| {
                let stride = whole.strides[d];
                whole.offset += start * stride;
                whole.sizes[d] = length;
                whole.strides[d] = stride.saturating_mul(step);
            },
            move |g| slice(g, d as i64, Some(start), Some(end), step),
        )
    })
}

/// `x.unsqueeze(dim)`: a dimension of size 1.
pub fn unsqueeze(self_: &Tensor, dim: i64) -> Result<Tensor> {
    let mut a = self_.array();
    let d = wrap_dim(dim, a.dim() + 1)?;
    let stride = if d < a.dim() { a.sizes[d].max(1).saturating_mul(a.strides[d]) } else { 1 };
    a.sizes.insert(d, 1);
    a.strides.insert(d, stride);
    view_of(self_, "UnsqueezeBackward0", a.sizes, a.strides, a.offset, move |_, grad| {
        let mut sizes = grad.sizes();
        sizes.remove(d);
        shape::reshape(grad, &sizes)
    })
}

/// Another tensor over the same elements, a view of this one.
pub fn alias(self_: &Tensor) -> Result<Tensor> {
    let a = self_.array();
    view_of(self_, "AliasBackward0", a.sizes, a.strides, a.offset, |_, grad| Ok(grad.clone()))
}

/// Zeros of the given sizes with `grad` in a window of them; differentiable.
fn embed<W, B>(grad: &Tensor, sizes: &Dims, window: W, back: B) -> Result<Tensor>
where
    W: Fn(&mut Array),
    B: Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static,
{
    let (dtype, device) = grad.with_array(|a| (a.dtype, a.device()));
    let out = Tensor::zeros_raw(sizes, dtype, device)?;
    let mut part = out.array();
    window(&mut part);
    copy_data(&Tensor::from_array(part), grad)?;
    record(&[&out], "EmbedBackward0", &[grad], &[], move |ctx| {
        Ok(smallvec![match ctx.grad(0) {
            Some(g) => Some(back(g)?),
            None => None,
        }])
    })?;
    Ok(out)
}
