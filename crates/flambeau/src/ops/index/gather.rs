//! Single elements by an index tensor along one dimension: `gather`, `scatter` and their kin.

use super::{index_values, outside, walk_along};
use crate::Tensor;
use crate::autograd::{Save, needs_grad, record};
use crate::generated::functions as f;
use crate::ops::shape;
use crate::ops::support::change;
use flambeau_core::{Array, DType, Dims, Result, Scalar, bail, show, wrap_dim};
use flambeau_cpu::index::{Fold, Walk, fold, put, take_within};
use smallvec::{SmallVec, smallvec};

/// An index tensor with one dimension where it has none, as PyTorch treats zero-dim tensors here.
fn at_least_1d(mut a: Array) -> Array {
    if a.dim() == 0 {
        (a.sizes, a.strides) = (smallvec![1], smallvec![1]);
    }
    a
}

fn check_index(index: &Tensor, name: &str) -> Result<()> {
    if index.numel() > 0 && !matches!(index.dtype(), DType::Int64 | DType::Int32) {
        bail!("{name}(): Expected dtype int32/int64 for index");
    }
    Ok(())
}

/// Checks indices against the size of the dimension.
fn check_values(values: &Array, d: usize, size: i64) -> Result<()> {
    if let Some(bad) = outside(values, 0, size) {
        bail!("index {bad} is out of bounds for dimension {d} with size {size}");
    }
    Ok(())
}

fn checked_values(index: &Tensor, d: usize, size: i64) -> Result<Array> {
    let values = index_values(index)?;
    check_values(&values, d, size)?;
    Ok(at_least_1d(values))
}

fn walk(plain: &Array, indexed: &Array, d: usize, values: &Array) -> Walk {
    walk_along(&values.sizes, plain, indexed, d, values, values.strides.clone())
}

/// `torch.gather`: `out[i][j] = self[index[i][j]][j]` for the first dimension, and so on.
pub fn gather(self_: &Tensor, dim: i64, index: &Tensor, sparse_grad: bool) -> Result<Tensor> {
    let _ = sparse_grad;
    check_index(index, "gather")?;
    let rank = self_.dim();
    let d = wrap_dim(dim, rank)?;
    let (a, sizes) = (at_least_1d(self_.array()), index.sizes());
    if index.numel() > 0 {
        if sizes.len().max(1) != a.dim() {
            bail!("Index tensor must have the same number of dimensions as input tensor");
        }
        if let Some(k) = (0..sizes.len()).find(|&k| k != d && sizes[k] > a.sizes[k]) {
            bail!(
                "Size does not match at dimension {k} expected index {} to be no larger than self {} apart from dimension {d}",
                show(&sizes),
                show(&a.sizes)
            );
        }
    }
    let values = at_least_1d(index_values(index)?);
    let out = Tensor::empty_raw(&sizes, a.dtype, a.device())?;
    if !a.device().is_meta() && index.numel() > 0 {
        // SAFETY: the dimensions beside the indexed one were checked; the output is fresh, the values row-major.
        let inside = unsafe { take_within(&walk(&at_least_1d(out.array()), &a, d, &values)) };
        if !inside {
            check_values(&values, d, a.sizes[d])?;
        }
    }
    let from = self_.sizes();
    record(&[&out], "GatherBackward0", &[self_], &[Save::Input(index)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        let zeros = Tensor::zeros_raw(&from, grad.dtype(), grad.device())?;
        let index = ctx.saved(0)?;
        let add = if needs_grad(&[grad]) { scatter_add } else { scatter_add_ };
        Ok(smallvec![Some(add(&zeros, dim, &index, grad)?)])
    })?;
    Ok(out)
}

/// What a scatter writes: elements of a tensor, or one number.
pub(super) struct Scatter {
    pub out: Tensor,
    pub walk: Option<Walk>,
    /// Keeps the walk's operands alive.
    _held: (Array, Array),
}

/// Checks a scatter and prepares the walk over a copy of `self`, or over its `own` memory.
pub(super) fn prepare(
    self_: &Tensor,
    dim: i64,
    index: &Tensor,
    src: Result<&Tensor, Scalar>,
    own: bool,
) -> Result<Scatter> {
    check_index(index, "scatter")?;
    let d = wrap_dim(dim, self_.dim())?;
    let a = at_least_1d(self_.array());
    let sizes = index.sizes();
    if let Ok(src) = src
        && src.dtype() != a.dtype
    {
        bail!("scatter(): Expected self.dtype to be equal to src.dtype");
    }
    let empty = index.numel() == 0;
    if !empty {
        if sizes.len().max(1) != a.dim() {
            bail!("Index tensor must have the same number of dimensions as self tensor");
        }
        if let Ok(src) = src
            && src.dim().max(1) != sizes.len().max(1)
        {
            bail!("Index tensor must have the same number of dimensions as src tensor");
        }
        let long = |limit: &[i64], but: Option<usize>| {
            // Zero-dim tensors count as having one dimension of size 1.
            let size = |list: &[i64], k: usize| list.get(k).copied().unwrap_or(1);
            (0..sizes.len().max(1)).any(|k| Some(k) != but && size(&sizes, k) > size(limit, k))
        };
        match src {
            Ok(src) if long(&a.sizes, Some(d)) || long(&src.sizes(), None) => bail!(
                "Expected index {} to be no larger than self {} apart from dimension {d} and to be no larger size than src {}",
                show(&sizes),
                show(&self_.sizes()),
                show(&src.sizes())
            ),
            Err(_) if long(&a.sizes, Some(d)) => bail!(
                "Expected index {} to be no larger than self {} apart from dimension {d}",
                show(&sizes),
                show(&self_.sizes())
            ),
            _ => {}
        }
    }
    let values = checked_values(index, d, a.sizes[d])?;
    let out = if own { self_.alias() } else { shape::clone_dense(self_)? };
    let plain = match src {
        Ok(src) => at_least_1d(src.array()),
        Err(value) => {
            value.check_fits(a.dtype)?;
            let mut one = crate::ops::creation::scalar_array(value, a.dtype)?;
            one.sizes = values.sizes.clone();
            one.strides = SmallVec::from_elem(0, values.dim());
            one
        }
    };
    let walk = (!a.device().is_meta() && !empty).then(|| walk(&plain, &at_least_1d(out.array()), d, &values));
    Ok(Scatter { out, walk, _held: (plain, values) })
}

impl Scatter {
    pub fn put(&self) {
        if let Some(walk) = &self.walk {
            // SAFETY: `prepare` checked indices and sizes; the output is a fresh copy.
            unsafe { put(walk) }
        }
    }
    pub fn fold(&self, how: Fold) {
        if let Some(walk) = &self.walk {
            // SAFETY: as above.
            unsafe { fold(walk, how) }
        }
    }
}

/// `torch.scatter` of a tensor: `self[index[i][j]][j] = src[i][j]` for the first dimension, and so on.
pub fn scatter_src(self_: &Tensor, dim: i64, index: &Tensor, src: &Tensor) -> Result<Tensor> {
    let work = prepare(self_, dim, index, Ok(src), false)?;
    work.put();
    let from = src.sizes();
    record(&[&work.out], "ScatterBackward0", &[self_, src], &[Save::Input(index)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None, None]) };
        let index = ctx.saved(0)?;
        let first = if ctx.needs(0) { Some(scatter_value(grad, dim, &index, 0i64.into())?) } else { None };
        let second = if ctx.needs(1) { Some(source_grad(grad, dim, &index, &from)?) } else { None };
        Ok(smallvec![first, second])
    })?;
    Ok(work.out)
}

/// `Tensor.scatter_` of a tensor.
pub fn scatter_src_(self_: &Tensor, dim: i64, index: &Tensor, src: &Tensor) -> Result<Tensor> {
    change(self_, &[index, src], |t, own| {
        if !own {
            return scatter_src(t, dim, index, src);
        }
        let work = prepare(t, dim, index, Ok(src), true)?;
        work.put();
        Ok(work.out)
    })
}

/// The gradient of a scatter's source: what its index gathers, zeros beyond.
pub(super) fn source_grad(grad: &Tensor, dim: i64, index: &Tensor, sizes: &[i64]) -> Result<Tensor> {
    let part = gather(grad, dim, index, false)?;
    let have = part.sizes();
    if have[..] == *sizes {
        return Ok(part);
    }
    if part.numel() == 0 {
        return Tensor::zeros_raw(sizes, grad.dtype(), grad.device());
    }
    shape::place(&part, "SliceBackward0", sizes, move |t| {
        let mut t = t.clone();
        for (k, &n) in have.iter().enumerate() {
            t = shape::narrow(&t, k as i64, 0, n)?;
        }
        Ok(t)
    })
}

/// `torch.scatter` of a number.
pub fn scatter_value(self_: &Tensor, dim: i64, index: &Tensor, value: Scalar) -> Result<Tensor> {
    let work = prepare(self_, dim, index, Err(value), false)?;
    work.put();
    record(&[&work.out], "ScatterBackward1", &[self_], &[Save::Input(index)], move |ctx| {
        Ok(smallvec![match ctx.grad(0) {
            Some(grad) => Some(scatter_value(grad, dim, &ctx.saved(0)?, 0i64.into())?),
            None => None,
        }])
    })?;
    Ok(work.out)
}

/// `Tensor.scatter_` of a number.
pub fn scatter_value_(self_: &Tensor, dim: i64, index: &Tensor, value: Scalar) -> Result<Tensor> {
    change(self_, &[index], |t, own| {
        if !own {
            return scatter_value(t, dim, index, value);
        }
        let work = prepare(t, dim, index, Err(value), true)?;
        work.put();
        Ok(work.out)
    })
}

fn named_fold(reduce: &str) -> Result<Fold> {
    match reduce {
        "add" => Ok(Fold::Add),
        "multiply" => Ok(Fold::Mul),
        _ => bail!("reduce argument must be either add or multiply."),
    }
}

fn no_derivative(name: &'static str) -> impl Fn(&crate::autograd::Context) -> Result<crate::autograd::Grads> {
    move |_| bail!(NotImplemented, "the derivative for '{name}' is not implemented.")
}

/// Scatters with a fold and a tensor of values are on their way out.
fn warn_of_reduce() {
    crate::warn_once!(
        "The reduce argument of torch.scatter with Tensor src is deprecated and will be removed in a future PyTorch release. Use torch.scatter_reduce instead for more reduction options.",
    );
}

/// `torch.scatter(…, reduce=)` of a tensor.
pub fn scatter_reduce_src(
    self_: &Tensor,
    dim: i64,
    index: &Tensor,
    src: &Tensor,
    reduce: &str,
) -> Result<Tensor> {
    let how = named_fold(reduce)?;
    warn_of_reduce();
    let work = prepare(self_, dim, index, Ok(src), false)?;
    work.fold(how);
    record(&[&work.out], "NotImplemented", &[self_, src], &[], no_derivative("scatter.reduce"))?;
    Ok(work.out)
}

/// `torch.scatter(…, reduce=)` of a number.
pub fn scatter_value_reduce(
    self_: &Tensor,
    dim: i64,
    index: &Tensor,
    value: Scalar,
    reduce: &str,
) -> Result<Tensor> {
    let how = named_fold(reduce)?;
    let work = prepare(self_, dim, index, Err(value), false)?;
    work.fold(how);
    record(&[&work.out], "NotImplemented", &[self_], &[], no_derivative("scatter.value_reduce"))?;
    Ok(work.out)
}

/// `Tensor.scatter_(…, reduce=)`
pub fn scatter_reduce_src_(
    self_: &Tensor,
    dim: i64,
    index: &Tensor,
    src: &Tensor,
    reduce: &str,
) -> Result<Tensor> {
    change(self_, &[index, src], |t, own| {
        if !own {
            return scatter_reduce_src(t, dim, index, src, reduce);
        }
        let how = named_fold(reduce)?;
        warn_of_reduce();
        let work = prepare(t, dim, index, Ok(src), true)?;
        work.fold(how);
        Ok(work.out)
    })
}

/// `Tensor.scatter_(…, reduce=)`
pub fn scatter_value_reduce_(
    self_: &Tensor,
    dim: i64,
    index: &Tensor,
    value: Scalar,
    reduce: &str,
) -> Result<Tensor> {
    change(self_, &[index], |t, own| {
        if !own {
            return scatter_value_reduce(t, dim, index, value, reduce);
        }
        let how = named_fold(reduce)?;
        let work = prepare(t, dim, index, Err(value), true)?;
        work.fold(how);
        Ok(work.out)
    })
}

/// `torch.scatter_add`: sums what goes to one place.
pub fn scatter_add(self_: &Tensor, dim: i64, index: &Tensor, src: &Tensor) -> Result<Tensor> {
    let work = prepare(self_, dim, index, Ok(src), false)?;
    work.fold(Fold::Add);
    let from = src.sizes();
    record(&[&work.out], "ScatterAddBackward0", &[self_, src], &[Save::Input(index)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None, None]) };
        let second = if ctx.needs(1) { Some(source_grad(grad, dim, &ctx.saved(0)?, &from)?) } else { None };
        Ok(smallvec![Some(grad.clone()), second])
    })?;
    Ok(work.out)
}

/// `Tensor.scatter_add_`
pub fn scatter_add_(self_: &Tensor, dim: i64, index: &Tensor, src: &Tensor) -> Result<Tensor> {
    change(self_, &[index, src], |t, own| {
        if !own {
            return scatter_add(t, dim, index, src);
        }
        let work = prepare(t, dim, index, Ok(src), true)?;
        work.fold(Fold::Add);
        Ok(work.out)
    })
}

/// `torch.take_along_dim`: `gather` with broadcasting, of positions modulo the dimension's size; without `dim` of the
/// flattened tensors, and of positions as they are.
pub fn take_along_dim(self_: &Tensor, indices: &Tensor, dim: Option<i64>) -> Result<Tensor> {
    if indices.dtype() != DType::Int64 {
        bail!(
            "torch.take_along_dim(): dtype of indices should be Long but got {}",
            indices.dtype().cpp_name()
        );
    }
    let Some(dim) = dim else {
        return gather(&shape::reshape(self_, &[-1])?, 0, &shape::reshape(indices, &[-1])?, false);
    };
    let (a, b) = (self_.sizes(), indices.sizes());
    if a.len() != b.len() {
        bail!(
            "torch.take_along_dim(): input and indices should have the same number of dimensions, but got {} dimensions for input, and {} dimensions for indices",
            a.len(),
            b.len()
        );
    }
    let d = wrap_dim(dim, a.len())?;
    if a.is_empty() {
        bail!(Index, "Dimension specified as {dim} but tensor has no dimensions");
    }
    let (mut left, mut right): (Dims, Dims) = (a.clone(), b.clone());
    left[d] = b[d];
    right[d] = a[d];
    // Before they are expanded: each once.
    let indices = f::remainder_scalar(indices, a[d].into())?;
    let index = shape::expand(&indices, &flambeau_core::broadcast_shapes(&left, &b)?)?;
    let input = shape::expand(self_, &flambeau_core::broadcast_shapes(&right, &a)?)?;
    gather(&input, d as i64, &index, false)
}
