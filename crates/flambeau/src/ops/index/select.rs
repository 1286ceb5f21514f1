//! Whole slices by a vector of indices: `index_select`, `index_add`, `index_copy`, `index_fill`.

use super::{as_slice, index_values, outside, walk_along};
use crate::Tensor;
use crate::autograd::{Save, needs_grad, record};
use crate::ops::shape;
use crate::ops::support::change;
use flambeau_core::{Array, DType, Dims, Result, Scalar, bail, show, wrap_dim};
use flambeau_cpu::index::{Fold, Walk, fold, put, take};
use smallvec::{SmallVec, smallvec};

/// The walk over slices named by a vector of indices: `plain` has them in the order of the vector.
pub(super) fn slices(plain: &Array, indexed: &Array, d: usize, values: &Array) -> Walk {
    let mut strides: Dims = SmallVec::from_elem(0, plain.dim());
    if let Some(stride) = strides.get_mut(d) {
        *stride = 1;
    }
    walk_along(&plain.sizes, plain, indexed, d, values, strides)
}

/// `torch.index_select`
pub fn index_select(self_: &Tensor, dim: i64, index: &Tensor) -> Result<Tensor> {
    if self_.is_sparse() {
        return crate::ops::sparse::index_select(self_, dim, index);
    }
    let a = self_.array();
    let d = wrap_dim(dim, a.dim())?;
    if index.dim() > 1 {
        bail!(Index, "index_select(): Index is supposed to be a vector");
    }
    if !matches!(index.dtype(), DType::Int64 | DType::Int32) {
        bail!("index_select(): Expected dtype int32 or int64 for index");
    }
    let n = index.numel() as i64;
    if a.dim() == 0 && n != 1 {
        bail!("index_select(): Index to scalar can have only 1 value, got {n} value(s)");
    }
    let values = index_values(index)?;
    if outside(&values, 0, a.sizes.get(d).copied().unwrap_or(1)).is_some() {
        bail!(Index, "index out of range in self");
    }
    let mut sizes = a.sizes.clone();
    if let Some(size) = sizes.get_mut(d) {
        *size = n;
    }
    let out = Tensor::empty_raw(&sizes, a.dtype, a.device())?;
    if !a.device().is_meta() {
        // SAFETY: indices were checked; the output is fresh, of the walk's sizes.
        unsafe { take(&slices(&out.array(), &a, d, &values)) };
    }
    let from = a.sizes;
    record(&[&out], "IndexSelectBackward0", &[self_], &[Save::Input(index)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        let (dtype, device) = (grad.dtype(), grad.device());
        let zeros = Tensor::zeros_raw(&from, dtype, device)?;
        let index = ctx.saved(0)?;
        let add = if needs_grad(&[grad]) { index_add } else { index_add_ };
        Ok(smallvec![Some(add(&zeros, dim, &index, grad, 1i64.into())?)])
    })?;
    Ok(out)
}

/// `alpha * source` added to the slices that `index` names, of a copy or of the tensor's `own` memory.
fn slices_added(
    self_: &Tensor,
    dim: i64,
    index: &Tensor,
    source: &Tensor,
    alpha: Scalar,
    own: bool,
) -> Result<Tensor> {
    let (a, s) = (self_.array(), source.array());
    let d = wrap_dim(dim, a.dim())?;
    if index.dim() > 1 {
        bail!(
            Index,
            "index_add_(): Index is supposed to be a vector, but got dim: {} with type: {} and size: {}",
            index.dim(),
            index.dtype().cpp_name(),
            show(&index.sizes())
        );
    }
    if !matches!(index.dtype(), DType::Int64 | DType::Int32) {
        bail!("index_add_(): Expected dtype int32/int64 for index but got: {}", index.dtype().cpp_name());
    }
    if a.dtype != s.dtype {
        bail!(
            "index_add_(): self ({}) and source ({}) must have the same scalar type",
            a.dtype.cpp_name(),
            s.dtype.cpp_name()
        );
    }
    if s.dim() > 0 || a.dim() > 0 {
        let rest = |x: &Array| -> Dims { (0..x.dim()).filter(|&i| i != d).map(|i| x.sizes[i]).collect() };
        if s.dim() != a.dim() && !(s.dim() == 0 && a.dim() <= 1) && !(a.dim() == 0 && s.dim() <= 1)
            || rest(&a) != rest(&s)
            || a.dim() == 0 && s.numel() != 1
        {
            bail!(
                "source tensor shape must match self tensor shape, excluding the specified dimension. Got self.shape = {} source.shape = {}",
                show(&a.sizes),
                show(&s.sizes)
            );
        }
    }
    let n = index.numel() as i64;
    let have = s.sizes.get(d).copied().unwrap_or(1);
    if n != have {
        bail!(
            "index_add_(): Number of indices ({n}) should be equal to source.size(dim): ({have}), for dim: {dim}"
        );
    }
    if alpha.is_float() && a.dtype.is_integral_or_bool() && a.dtype != DType::Bool {
        bail!("For integral input tensors, argument alpha must not be a floating point number.");
    }
    let values = index_values(index)?;
    let size = a.sizes.get(d).copied().unwrap_or(1);
    if let Some(bad) = outside(&values, 0, size) {
        bail!("index {bad} is out of bounds for dimension {d} with size {size}");
    }
    let factor = if alpha.is(1) || a.device().is_meta() {
        Tensor::from_array(s.clone())
    } else {
        let _guard = crate::autograd::GradMode::no_grad();
        crate::ops::scale(&Tensor::from_array(s.clone()), alpha)?
    };
    let out = if own { self_.alias() } else { shape::clone_dense(self_)? };
    if !a.device().is_meta() {
        let plain = flat_scalar(&factor.array(), a.dim());
        // SAFETY: indices were checked, and `plain` has the sizes of the slices.
        unsafe { fold(&slices(&plain, &out.array(), d, &values), Fold::Add) };
    }
    Ok(out)
}

/// `torch.index_add`: `alpha * source` added to the slices that `index` names.
pub fn index_add(self_: &Tensor, dim: i64, index: &Tensor, source: &Tensor, alpha: Scalar) -> Result<Tensor> {
    let out = slices_added(self_, dim, index, source, alpha, false)?;
    let source_sizes = source.sizes();
    record(&[&out], "IndexAddBackward0", &[self_, source], &[Save::Input(index)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None, None]) };
        let second = if ctx.needs(1) {
            let g = index_select(grad, dim, &ctx.saved(0)?)?;
            let g = shape::reshape(&g, &source_sizes)?;
            Some(if alpha.is(1) { g } else { crate::ops::scale(&g, alpha)? })
        } else {
            None
        };
        Ok(smallvec![Some(grad.clone()), second])
    })?;
    Ok(out)
}

/// `Tensor.index_add_`
pub fn index_add_(
    self_: &Tensor,
    dim: i64,
    index: &Tensor,
    source: &Tensor,
    alpha: Scalar,
) -> Result<Tensor> {
    change(self_, &[index, source], |t, own| match own {
        true => slices_added(t, dim, index, source, alpha, true),
        false => index_add(t, dim, index, source, alpha),
    })
}

/// The array with the given rank where one side has one dimension of size 1 and the other none.
fn flat_scalar(a: &Array, rank: usize) -> Array {
    let mut a = a.clone();
    if a.dim() < rank {
        a.sizes = SmallVec::from_elem(1, rank);
        a.strides = SmallVec::from_elem(0, rank);
    } else if a.dim() > rank {
        (a.sizes, a.strides) = (Dims::new(), Dims::new());
    }
    a
}

/// `torch.index_copy`: the slices that `index` names, replaced by those of `source`.
pub fn index_copy(self_: &Tensor, dim: i64, index: &Tensor, source: &Tensor) -> Result<Tensor> {
    let (a, s) = (self_.array(), source.array());
    let d = wrap_dim(dim, a.dim())?;
    if index.dim() >= 2 {
        bail!(Index, "index_copy_(): Index should have dimension 1 or 0 (got {})", index.dim());
    }
    let n = index.numel() as i64;
    if s.dim() == 0 && n != 1 {
        bail!(Index, "index_copy_(): When source is scalar, index should have one element (got {n})");
    }
    if s.dim() != a.dim() && s.dim() != 0 && a.dim() != 0 {
        bail!(
            Index,
            "index_copy_(): When source and destination are not scalars, their dimensionality must match. Source dimensionality ({}), destination dimensionality ({})",
            s.dim(),
            a.dim()
        );
    }
    if index.dtype() != DType::Int64 {
        bail!("index_copy_(): Expected a long tensor for index, but got {}", index.dtype().cpp_name());
    }
    if a.dtype != s.dtype {
        bail!(
            "index_copy_(): self and source expected to have the same dtype, but got (self) {} and (source) {}",
            a.dtype.cpp_name(),
            s.dtype.cpp_name()
        );
    }
    let rest = |x: &Array| -> Dims { (0..x.dim()).filter(|&i| i != d).map(|i| x.sizes[i]).collect() };
    let (to, from) = (rest(&a), rest(&s));
    if to.len() != from.len() && !(s.dim() == 0 && to.is_empty()) && !(a.dim() == 0 && from.is_empty())
        || (to.len() == from.len() && to != from)
    {
        bail!(
            "index_copy_(): Source/destination tensor must have same slice shapes. Destination slice shape: {} at dimension {d} and source slice shape: {} at dimension 0.",
            list(&to),
            list(&from)
        );
    }
    let have = s.sizes.get(d).copied().unwrap_or(1);
    if s.dim() > 0 && n != have {
        bail!(Index, "index_copy_(): Number of indices ({n}) should be equal to source.size(dim) ({have})");
    }
    let values = index_values(index)?;
    let size = a.sizes.get(d).copied().unwrap_or(1);
    if let Some(bad) = outside(&values, 0, size) {
        bail!(Index, "index_copy_(): index {bad} is out of bounds for dimension {d} with size {size}");
    }
    let out = shape::clone_dense(self_)?;
    if !a.device().is_meta() {
        let plain = flat_scalar(&s, a.dim());
        // SAFETY: indices were checked, and `plain` has the sizes of the slices.
        unsafe { put(&slices(&plain, &out.array(), d, &values)) };
    }
    let source_sizes = s.sizes;
    record(&[&out], "IndexCopyBackward0", &[self_, source], &[Save::Input(index)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None, None]) };
        let index = ctx.saved(0)?;
        let first =
            if ctx.needs(0) { Some(index_fill_scalar(grad, dim, &index, 0i64.into())?) } else { None };
        let second = if ctx.needs(1) {
            Some(shape::reshape(&index_select(grad, dim, &index)?, &source_sizes)?)
        } else {
            None
        };
        Ok(smallvec![first, second])
    })?;
    Ok(out)
}

fn list(sizes: &[i64]) -> String {
    sizes.iter().map(i64::to_string).collect::<Vec<_>>().join(" ")
}

fn check_fill(self_: &Tensor, dim: i64, index: &Tensor) -> Result<(Array, usize, Array)> {
    let a = self_.array();
    if index.dtype() != DType::Int64 {
        bail!(Index, "index_fill_(): Expected dtype int64 for index.");
    }
    let d = wrap_dim(dim, a.dim())?;
    if index.dim() > 1 {
        bail!("Index has to be a vector/scalar");
    }
    let values = index_values(index)?;
    let size = a.sizes.get(d).copied().unwrap_or(1);
    if let Some(bad) = outside(&values, -size, size) {
        bail!(Index, "index {bad} is out of bounds for dimension {d} with size {size}");
    }
    Ok((a, d, values))
}

/// Writes one element to the slices of a copy.
fn filled(a: &Array, d: usize, values: &Array, value: &Array) -> Result<Tensor> {
    let out = shape::clone(&Tensor::from_array(a.clone()), None)?;
    if !a.device().is_meta() {
        let mut plain = value.clone();
        plain.sizes = a.sizes.clone();
        if let Some(size) = plain.sizes.get_mut(d) {
            *size = as_slice(values).len() as i64;
        } else if as_slice(values).is_empty() {
            return Ok(out);
        }
        plain.strides = SmallVec::from_elem(0, a.dim());
        // SAFETY: indices were checked; the one value is read at every position.
        unsafe { put(&slices(&plain, &out.array(), d, values)) };
    }
    Ok(out)
}

/// `torch.index_fill` with a number.
pub fn index_fill_scalar(self_: &Tensor, dim: i64, index: &Tensor, value: Scalar) -> Result<Tensor> {
    if value.is_complex() && !self_.is_complex() {
        bail!("index_fill_(): Converting complex Scalar to non-complex type is not supported");
    }
    let (a, d, values) = check_fill(self_, dim, index)?;
    let out = filled(&a, d, &values, &crate::ops::creation::scalar_array(value, a.dtype)?)?;
    record(&[&out], "IndexFillBackward0", &[self_], &[Save::Input(index)], move |ctx| {
        Ok(smallvec![match ctx.grad(0) {
            Some(grad) => Some(index_fill_scalar(grad, dim, &ctx.saved(0)?, 0i64.into())?),
            None => None,
        }])
    })?;
    Ok(out)
}

/// `torch.index_fill` with the value of a zero-dim tensor.
pub fn index_fill_tensor(self_: &Tensor, dim: i64, index: &Tensor, value: &Tensor) -> Result<Tensor> {
    if value.dim() != 0 {
        bail!(
            "index_fill_ only supports a 0-dimensional value tensor, but got tensor with {} dimension(s).",
            value.dim()
        );
    }
    let (a, d, values) = check_fill(self_, dim, index)?;
    if value.is_complex() && !a.dtype.is_complex() {
        bail!("index_fill_(): Converting complex Scalar to non-complex type is not supported");
    }
    let one = shape::to_dtype(&Tensor::from_array(value.array()), a.dtype)?.array();
    let out = filled(&a, d, &values, &one)?;
    let dtype = value.dtype();
    record(&[&out], "IndexFillBackward1", &[self_, value], &[Save::Input(index)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None, None]) };
        let index = ctx.saved(0)?;
        let first =
            if ctx.needs(0) { Some(index_fill_scalar(grad, dim, &index, 0i64.into())?) } else { None };
        let second = if ctx.needs(1) {
            // A slice named twice counts once.
            let size = grad.sizes().get(d).copied().unwrap_or(1);
            let mut list: Vec<i64> = index.to_vec()?;
            list.iter_mut().filter(|i| **i < 0).for_each(|i| *i += size);
            list.sort_unstable();
            list.dedup();
            let once = Tensor::from_slice(&list, &[list.len() as i64])?;
            let sum = crate::ops::reduce::sum(&index_select(grad, dim, &once)?, None)?;
            Some(shape::to_dtype(&sum, dtype)?)
        } else {
            None
        };
        Ok(smallvec![first, second])
    })?;
    Ok(out)
}
