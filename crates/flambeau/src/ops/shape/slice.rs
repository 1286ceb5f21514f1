//! Views of a part: `select`, `slice`, `narrow`, `diagonal`, `unfold`.

use crate::Tensor;
use crate::autograd::{GradMode, needs_grad, record, view_of, view_with};
use crate::ops::creation::{fill_array, fill_element};
use crate::ops::support::{check_writable, copy_data};
use flambeau_core::{Array, DType, Dims, Result, Scalar, bail, dims_of, show, wrap_dim};
use smallvec::smallvec;

/// The gradient of a view of a part: zeros of the given sizes with `grad` in the place that `view` shows.
/// Differentiable; its own gradient is that view.
pub(crate) fn place<F>(grad: &Tensor, name: &'static str, sizes: &[i64], view: F) -> Result<Tensor>
where
    F: Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static,
{
    let (dtype, device) = (grad.dtype(), grad.device());
    let out = Tensor::zeros_raw(sizes, dtype, device)?;
    {
        let _guard = GradMode::no_grad();
        copy_data(&view(&Tensor::from_array(out.array()))?, grad)?;
    }
    record(&[&out], name, &[grad], &[], move |ctx| {
        Ok(smallvec![match ctx.grad(0) {
            Some(grad) => Some(view(grad)?),
            None => None,
        }])
    })?;
    Ok(out)
}

/// `torch.select`: the slice at an index of a dimension, which disappears.
pub fn select(self_: &Tensor, dim: i64, index: i64) -> Result<Tensor> {
    if self_.is_sparse() {
        return crate::ops::sparse::select(self_, dim, index);
    }
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
            show(&a.sizes)
        );
    }
    let from = dims_of(&a.sizes);
    let at = if index < 0 { index + size } else { index };
    a.advance(d, at)?;
    a.sizes.remove(d);
    a.strides.remove(d);
    view_with(self_, "SelectBackward0", a, move |_, grad| {
        place(grad, "SelectBackwardBackward0", &from, move |t| select(t, d as i64, at))
    })
}

/// `self[index] = value` in the first dimension, where nothing is to be recorded; false, with nothing done, where the
/// general assignment has to do it or to raise an error.
pub fn fill_selected(self_: &Tensor, index: i64, value: Scalar) -> Result<bool> {
    crate::ops::sparse::check_dense("fill_", self_)?;
    if needs_grad(&[self_]) || self_.is_inference() {
        return Ok(false);
    }
    let held = self_.read();
    let size = held.sizes.first().copied().unwrap_or(0);
    if index < -size || index >= size || (value.is_complex() && !held.dtype.is_complex()) {
        return Ok(false);
    }
    if held.dim() == 1 {
        let index = if index < 0 { index + size } else { index };
        let filled = held.storage.make_writable().is_ok() && fill_element(&held, index, value);
        drop(held);
        if filled {
            self_.bump_version();
        }
        return Ok(filled);
    }
    let mut a = held.clone();
    drop(held);
    a.offset += if index < 0 { index + size } else { index } * a.strides[0];
    a.sizes.remove(0);
    a.strides.remove(0);
    if check_writable(&a, &[]).is_err() {
        return Ok(false);
    }
    fill_array(&a, value)?;
    self_.bump_version();
    Ok(true)
}

/// `x[start:end:step]` along a dimension, with Python's rules for bounds.
pub fn slice(self_: &Tensor, dim: i64, start: Option<i64>, end: Option<i64>, step: i64) -> Result<Tensor> {
    if self_.is_sparse() {
        if start.is_none() && end.is_none() && step == 1 {
            return Ok(self_.clone());
        }
        return Err(crate::ops::sparse::unknown("slice.Tensor"));
    }
    let mut a = self_.array();
    if a.dim() == 0 {
        bail!(Index, "slice() cannot be applied to a 0-dim tensor.");
    }
    let d = wrap_dim(dim, a.dim())?;
    if step <= 0 {
        bail!("slice step must be positive");
    }
    let size = a.sizes[d];
    let wrap = |i: i64| if i < 0 { i.saturating_add(size) } else { i };
    let start = wrap(start.unwrap_or(0)).clamp(0, size);
    let end = wrap(end.unwrap_or(i64::MAX)).clamp(start, size);
    let from = Dims::from_slice(&a.sizes);
    let length = end - start;
    a.advance(d, start)?;
    a.sizes[d] = length / step + (length % step != 0) as i64;
    a.strides[d] = a.strides[d].saturating_mul(step);
    view_with(self_, "SliceBackward0", a, move |_, grad| {
        place(grad, "SliceBackwardBackward0", &from, move |t| {
            slice(t, d as i64, Some(start), Some(end), step)
        })
    })
}

/// `torch.narrow`: `length` elements of a dimension from `start` on.
pub fn narrow(self_: &Tensor, dim: i64, start: i64, length: i64) -> Result<Tensor> {
    let sizes = self_.sizes();
    if sizes.is_empty() {
        bail!("narrow() cannot be applied to a 0-dim tensor.");
    }
    if length < 0 {
        bail!("narrow(): length must be non-negative.");
    }
    let size = sizes[wrap_dim(dim, sizes.len())?];
    if start < -size || start > size {
        bail!(Index, "start out of range (expected to be in range of [{}, {size}], but got {start})", -size);
    }
    let start = if start < 0 { start + size } else { start };
    if length > size - start {
        bail!("start ({start}) + length ({length}) exceeds dimension size ({size}).");
    }
    slice(self_, dim, Some(start), Some(start + length), 1)
}

/// `torch.narrow` with the start given by a zero-dim tensor of integers.
pub fn narrow_tensor(self_: &Tensor, dim: i64, start: &Tensor, length: i64) -> Result<Tensor> {
    if start.dim() != 0 || !start.dtype().is_integral() {
        bail!("start must be an 0-dim integral Tensor.");
    }
    narrow(self_, dim, start.item()?.to_i64(), length)
}

/// The geometry of a diagonal, which becomes the last dimension.
pub(super) fn diagonal_geometry(a: &Array, offset: i64, dim1: i64, dim2: i64) -> Result<(Dims, Dims, i64)> {
    let (i, j) = (wrap_dim(dim1, a.dim())?, wrap_dim(dim2, a.dim())?);
    if i == j {
        bail!("diagonal dimensions cannot be identical {dim1}, {dim2}");
    }
    let (n, m) = (a.sizes[i], a.sizes[j]);
    let length = if offset >= 0 {
        n.min(m.saturating_sub(offset)).max(0)
    } else {
        n.saturating_add(offset).min(m).max(0)
    };
    let mut from = a.clone();
    if length > 0 {
        from.advance(if offset >= 0 { j } else { i }, offset.saturating_abs())?;
    }
    let start = from.offset;
    let keep =
        |list: &[i64]| -> Dims { (0..a.dim()).filter(|&d| d != i && d != j).map(|d| list[d]).collect() };
    let (mut sizes, mut strides) = (keep(&a.sizes), keep(&a.strides));
    sizes.push(length);
    strides.push(a.strides[i].saturating_add(a.strides[j]));
    Ok((sizes, strides, start))
}

/// `torch.diagonal`: the elements whose indices in the two dimensions differ by `offset`.
pub fn diagonal(self_: &Tensor, offset: i64, dim1: i64, dim2: i64) -> Result<Tensor> {
    let a = self_.array();
    let (sizes, strides, start) = diagonal_geometry(&a, offset, dim1, dim2)?;
    let from = a.sizes;
    view_of(self_, "DiagonalBackward0", sizes, strides, start, move |_, grad| {
        place(grad, "DiagonalBackwardBackward0", &from, move |t| diagonal(t, offset, dim1, dim2))
    })
}

/// `Tensor.unfold`: windows of `size` elements, `step` apart, along a dimension; the last dimension of the
/// result runs within a window.
pub fn unfold(self_: &Tensor, dimension: i64, size: i64, step: i64) -> Result<Tensor> {
    let mut a = self_.array();
    let d = wrap_dim(dimension, a.dim())?;
    let have = a.sizes.get(d).copied().unwrap_or(1);
    if size < 0 {
        bail!("size is {size} but must be >= 0");
    }
    if size > have {
        bail!("maximum size for tensor at dimension {d} is {have} but size is {size}");
    }
    if step <= 0 {
        bail!("step is {step} but must be > 0");
    }
    let from = a.sizes.clone();
    if a.dim() == 0 {
        (a.sizes, a.strides) = (smallvec![size], smallvec![1]);
    } else {
        let stride = a.strides[d];
        a.sizes[d] = (have - size) / step + 1;
        a.strides[d] = stride.saturating_mul(step);
        a.sizes.push(size);
        a.strides.push(stride);
    }
    view_of(self_, "UnfoldBackward0", a.sizes, a.strides, a.offset, move |_, grad| {
        unfold_backward(grad, &from, d as i64, size, step)
    })
}

/// The gradient of `unfold`: the windows added where they came from.
pub fn unfold_backward(grad: &Tensor, sizes: &[i64], dim: i64, size: i64, step: i64) -> Result<Tensor> {
    let (dtype, device) = (grad.dtype(), grad.device());
    let out = Tensor::zeros_raw(sizes, dtype, device)?;
    {
        let _guard = GradMode::no_grad();
        let target = Tensor::from_array(out.array());
        if sizes.is_empty() {
            if size > 0 {
                copy_data(&target, &select(grad, 0, 0)?)?;
            }
        } else {
            let windows = grad.size(dim)?;
            let few = windows < size;
            // The last window first: elements are added up in one order, whichever way there are fewer sums.
            for k in (0..if few { windows } else { 0 }).rev() {
                let to = super::movedim(
                    &slice(&target, dim, Some(k * step), Some(k * step + size), 1)?,
                    &[dim],
                    &[-1],
                )?;
                crate::ops::grad_add_(&to, &select(grad, dim, k)?)?;
            }
            for k in 0..if few { 0 } else { size } {
                // The k-th elements of all windows lie `step` apart and meet nowhere.
                let reach = if windows > 0 { k + (windows - 1) * step + 1 } else { k };
                let to = slice(&target, dim, Some(k), Some(reach), step)?;
                crate::ops::grad_add_(&to, &select(grad, -1, k)?)?;
            }
        }
    }
    record(&[&out], "UnfoldBackwardBackward0", &[grad], &[], move |ctx| {
        Ok(smallvec![match ctx.grad(0) {
            Some(grad) => Some(unfold(grad, dim, size, step)?),
            None => None,
        }])
    })?;
    Ok(out)
}

/// `torch.trace`: the sum of a matrix's diagonal.
pub fn trace(self_: &Tensor) -> Result<Tensor> {
    let sizes = self_.sizes();
    if sizes.len() != 2 {
        bail!("trace: expected a matrix, but got tensor with dim {}", sizes.len());
    }
    if self_.dtype() == DType::Bool {
        bail!(NotImplemented, "\"trace\" not implemented for 'Bool'");
    }
    let out = {
        let _guard = GradMode::no_grad();
        crate::ops::reduce::sum(&diagonal(&Tensor::from_array(self_.array()), 0, 0, 1)?, None)?
    };
    record(&[&out], "TraceBackward0", &[self_], &[], move |ctx| {
        Ok(smallvec![match ctx.grad(0) {
            Some(grad) => {
                let n = sizes[0].min(sizes[1]);
                let line = super::expand(grad, &[n])?;
                Some(place(&line, "TraceBackwardBackward0", &sizes, |t| diagonal(t, 0, 0, 1))?)
            }
            None => None,
        }])
    })?;
    Ok(out)
}

/// `torch.diag_embed`: matrices that have the last dimension on a diagonal and zeros elsewhere.
pub fn diag_embed(self_: &Tensor, offset: i64, dim1: i64, dim2: i64) -> Result<Tensor> {
    let sizes = self_.sizes();
    let rank = sizes.len() + 1;
    let (i, j) = (wrap_dim(dim1, rank)?, wrap_dim(dim2, rank)?);
    if i == j {
        bail!("diagonal dimensions cannot be identical {dim1}, {dim2}");
    }
    let Some((&last, rest)) = sizes.split_last() else {
        // As PyTorch: a zero-dim tensor has no last dimension.
        bail!(Index, "Dimension specified as -1 but tensor has no dimensions");
    };
    let Some(n) = offset.checked_abs().and_then(|o| o.checked_add(last)) else {
        bail!("numel: integer multiplication overflow");
    };
    let mut shape = Dims::from_slice(rest);
    for d in [i.min(j), i.max(j)] {
        shape.insert(d.min(shape.len()), n);
    }
    let (i, j) = (i as i64, j as i64);
    place(self_, "DiagEmbedBackward0", &shape, move |t| diagonal(t, offset, i, j))
}

/// `torch.diag`: the diagonal of a matrix, or the matrix with a vector on its diagonal.
pub fn diag(self_: &Tensor, diagonal_: i64) -> Result<Tensor> {
    match self_.dim() {
        1 => diag_embed(self_, diagonal_, 0, 1),
        2 => super::clone(&diagonal(self_, diagonal_, 0, 1)?, None),
        rank => bail!("diag(): Supports 1D or 2D tensors. Got {rank}D"),
    }
}

/// `torch.diagflat`: the matrix with all elements on its diagonal.
pub fn diagflat(self_: &Tensor, offset: i64) -> Result<Tensor> {
    diag_embed(&super::reshape(self_, &[-1])?, offset, 0, 1)
}

/// The last dimensions' diagonal; `torch.linalg.diagonal`.
#[allow(non_snake_case)]
pub fn linalg_diagonal(A: &Tensor, offset: i64, dim1: i64, dim2: i64) -> Result<Tensor> {
    diagonal(A, offset, dim1, dim2)
}
