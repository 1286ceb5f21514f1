//! Other views of the entries: dimensions exchanged, added, selected and summed, tensors joined.

use super::coalesce::column;
use super::{coalesce, entries, made, zeros};
use crate::Tensor;
use crate::ops::dense::Dense;
use crate::ops::{index, join, reduce, shape};
use flambeau_core::{DType, Dims, Result, Scalar, bail, show, wrap_dim};

/// The rows of an index tensor.
fn rows(indices: &Tensor) -> Result<Vec<Tensor>> {
    (0..indices.sizes()[0]).map(|d| shape::select(indices, 0, d)).collect()
}

/// An index tensor of rows, for `nnz` entries.
fn stacked(rows: &[Tensor], nnz: i64) -> Result<Tensor> {
    match rows {
        [] => Tensor::zeros_raw(&[0, nnz], DType::Int64, flambeau_core::Device::CPU),
        rows => join::stack(rows, 0),
    }
}

/// `permute` by dimensions in range; sparse and dense ones stay apart.
pub(crate) fn permute(t: &Tensor, dims: &[usize]) -> Result<Tensor> {
    let e = entries(t)?;
    let (sizes, count) = (t.sizes(), e.indices.sizes()[0] as usize);
    if dims.iter().take(count).any(|&d| d >= count) {
        bail!("transpose(): a sparse and a dense dimension can't be exchanged");
    }
    let order: Vec<i64> = dims[..count].iter().map(|&d| d as i64).collect();
    let indices = index::index_select(&e.indices, 0, &column(&order)?)?;
    let inner: Dims =
        std::iter::once(0).chain(dims[count..].iter().map(|&d| (d - count + 1) as i64)).collect();
    let to: Dims = dims.iter().map(|&d| sizes[d]).collect();
    let still = order.is_sorted() && e.coalesced;
    made(&indices, &shape::permute(&e.values, &inner)?, &to, still)
}

pub(crate) fn transpose(t: &Tensor, a: i64, b: i64) -> Result<Tensor> {
    let (a, b) = (wrap_dim(a, t.dim())?, wrap_dim(b, t.dim())?);
    let mut dims: Vec<usize> = (0..t.dim()).collect();
    if !dims.is_empty() {
        dims.swap(a, b);
    }
    permute(t, &dims)
}

pub(crate) fn unsqueeze(t: &Tensor, dim: i64) -> Result<Tensor> {
    let d = wrap_dim(dim, t.dim() + 1)?;
    let e = entries(t)?;
    let mut sizes = t.sizes();
    sizes.insert(d, 1);
    let (count, nnz) = (e.indices.sizes()[0] as usize, e.indices.sizes()[1]);
    if d > count {
        return made(&e.indices, &shape::unsqueeze(&e.values, (d - count + 1) as i64)?, &sizes, e.coalesced);
    }
    let mut rows = rows(&e.indices)?;
    rows.insert(d, column(&vec![0; nnz as usize])?);
    made(&stacked(&rows, nnz)?, &e.values, &sizes, e.coalesced)
}

/// Row `at` of a sparse dimension (dense where no sparse dimension is left), or of a dense one.
pub(crate) fn select(t: &Tensor, dim: i64, at: i64) -> Result<Tensor> {
    if t.dim() == 0 {
        bail!(Index, "select() cannot be applied to a 0-dim tensor.");
    }
    let d = wrap_dim(dim, t.dim())?;
    let mut sizes = t.sizes();
    let size = sizes[d];
    if at < -size || at >= size {
        bail!(
            Index,
            "select(): index {at} out of range for tensor of size {} at dimension {d}",
            show(&sizes)
        );
    }
    let at = if at < 0 { at + size } else { at };
    let t = coalesce(t)?;
    let e = entries(&t)?;
    let count = e.indices.sizes()[0] as usize;
    sizes.remove(d);
    if d >= count {
        let values = shape::select(&e.values, (d - count + 1) as i64, at)?;
        return made(&e.indices, &values, &sizes, true);
    }
    let nnz = e.indices.sizes()[1] as usize;
    let list = Dense::<i64>::of(&e.indices)?;
    let kept: Vec<i64> = (0..nnz).filter(|&k| list[d * nnz + k] == at).map(|k| k as i64).collect();
    let kept = column(&kept)?;
    let values = index::index_select(&e.values, 0, &kept)?;
    if count == 1 {
        return reduce::sum_dim(&values, Some(&[0]), false, Some(values.dtype()));
    }
    let mut rows = rows(&index::index_select(&e.indices, 1, &kept)?)?;
    rows.remove(d);
    made(&stacked(&rows, kept.numel() as i64)?, &values, &sizes, true)
}

/// The slices of a dimension that `list` names, in its order.
pub(crate) fn index_select(t: &Tensor, dim: i64, list: &Tensor) -> Result<Tensor> {
    let d = wrap_dim(dim, t.dim())?;
    if list.dim() > 1 || !matches!(list.dtype(), DType::Int64 | DType::Int32) {
        bail!("index_select(): index must be a vector of int32 or int64 numbers");
    }
    let mut sizes = t.sizes();
    let t = coalesce(t)?;
    let e = entries(&t)?;
    let count = e.indices.sizes()[0] as usize;
    let wanted = list.to_vec::<i64>()?;
    if let Some(bad) = wanted.iter().find(|&&i| i < -sizes[d] || i >= sizes[d]) {
        bail!(
            Index,
            "index_select(): index contains {bad} that is out of range for tensor of size {} at dimension {d}",
            show(&sizes)
        );
    }
    let wanted: Vec<i64> = wanted.into_iter().map(|i| if i < 0 { i + sizes[d] } else { i }).collect();
    sizes[d] = wanted.len() as i64;
    if d >= count {
        let values = index::index_select(&e.values, (d - count + 1) as i64, &column(&wanted)?)?;
        return made(&e.indices, &values, &sizes, true);
    }
    let nnz = e.indices.sizes()[1] as usize;
    let indices = Dense::<i64>::of(&e.indices)?;
    // The entries of each slice, so that a slice that is named often is not searched for often.
    let mut of: std::collections::HashMap<i64, Vec<i64>> = std::collections::HashMap::new();
    for k in 0..nnz {
        of.entry(indices[d * nnz + k]).or_default().push(k as i64);
    }
    let (mut kept, mut to) = (Vec::new(), Vec::new());
    for (place, slice) in wanted.iter().enumerate() {
        for &k in of.get(slice).into_iter().flatten() {
            kept.push(k);
            to.push(place as i64);
        }
    }
    let kept = column(&kept)?;
    let mut rows = rows(&index::index_select(&e.indices, 1, &kept)?)?;
    rows[d] = column(&to)?;
    let values = index::index_select(&e.values, 0, &kept)?;
    made(&stacked(&rows, to.len() as i64)?, &values, &sizes, d == 0 && wanted.is_sorted_by(|a, b| a < b))
}

/// The sum of all elements: a dense number.
pub(crate) fn sum(t: &Tensor, dtype: Option<DType>) -> Result<Tensor> {
    reduce::sum(&entries(t)?.values, dtype)
}

/// Sums over dimensions: sparse as long as a sparse dimension is left.
pub(crate) fn sum_dim(
    t: &Tensor,
    dim: Option<&[i64]>,
    keepdim: bool,
    dtype: Option<DType>,
) -> Result<Tensor> {
    let mask = reduce::reduced_dims(dim, t.dim())?;
    let t = coalesce(t)?;
    let e = entries(&t)?;
    let (sizes, count) = (t.sizes(), e.indices.sizes()[0] as usize);
    let inner: Dims = (count..t.dim()).filter(|&d| mask[d]).map(|d| (d - count + 1) as i64).collect();
    let mut values = e.values.clone();
    if !inner.is_empty() {
        values = reduce::sum_dim(&values, Some(&inner), keepdim, dtype)?;
    }
    let to = reduce::reduced_sizes(&sizes, &mask, keepdim);
    if mask[..count].iter().all(|&m| m) {
        let total = reduce::sum_dim(&values, Some(&[0]), false, dtype)?;
        return shape::reshape(&total, &to);
    }
    if let Some(dtype) = dtype {
        values = shape::to_dtype(&values, dtype)?;
    } else if values.dtype().is_integral_or_bool() {
        values = shape::to_dtype(&values, DType::Int64)?;
    }
    let nnz = e.indices.sizes()[1];
    let zero = column(&vec![0; nnz as usize])?;
    let rows: Vec<Tensor> = rows(&e.indices)?
        .into_iter()
        .zip(&mask)
        .filter_map(|(row, &gone)| match (gone, keepdim) {
            (true, true) => Some(zero.clone()),
            (true, false) => None,
            (false, _) => Some(row),
        })
        .collect();
    coalesce(&made(&stacked(&rows, nnz)?, &values, &to, false)?)
}

/// The norm of all elements.
pub(crate) fn norm(t: &Tensor, ord: Scalar, dtype: Option<DType>) -> Result<Tensor> {
    let values = entries(&coalesce(t)?)?.values;
    reduce::linalg_vector_norm(&values, ord, None, false, dtype)
}

/// Sparse tensors one after the other along a dimension.
pub(crate) fn cat(tensors: &[Tensor], dim: i64) -> Result<Tensor> {
    if let Some(dense) = tensors.iter().position(|t| !t.is_sparse()) {
        bail!("Concatenating sparse tensors, but a dense tensor was found at position {dense}.");
    }
    let first = &tensors[0];
    let d = wrap_dim(dim, first.dim())?;
    let count = super::sparse_dim(first)? as usize;
    let dtype = tensors.iter().skip(1).fold(first.dtype(), |a, t| a.promote(t.dtype()));
    let mut sizes = first.sizes();
    for (at, t) in tensors.iter().enumerate().skip(1) {
        let own = t.sizes();
        let fits = own.len() == sizes.len() && (0..own.len()).all(|k| k == d || own[k] == sizes[k]);
        if !fits || super::sparse_dim(t)? as usize != count {
            bail!(
                "All tensors must have the same shape: {} (except in the concatenating dimension), with the same number of sparse dimensions, but found shape: {} at position {at}",
                show(&first.sizes()),
                show(&own)
            );
        }
    }
    let (mut indices, mut values, mut offset) = (Vec::new(), Vec::new(), 0i64);
    for t in tensors {
        let e = entries(t)?;
        let part = shape::to_dtype(&e.values, dtype)?;
        let (nnz, own) = (e.indices.sizes()[1], t.sizes());
        if d < count {
            let mut rows = rows(&e.indices)?;
            rows[d] = crate::generated::functions::add_scalar(&rows[d], offset.into(), 1i64.into())?;
            indices.push(stacked(&rows, nnz)?);
            values.push(part);
        } else {
            // A dense dimension: every entry is as wide as the result, with zeros beside its own part.
            let axis = (d - count + 1) as i64;
            let mut wide = part.sizes();
            wide[axis as usize] = tensors.iter().map(|t| t.sizes()[d]).sum();
            let base = Tensor::zeros_raw(&wide, dtype, flambeau_core::Device::CPU)?;
            let end = offset + own[d];
            values.push(shape::slice_scatter(&base, &part, axis, Some(offset), Some(end), 1)?);
            indices.push(e.indices.clone());
        }
        offset += own[d];
    }
    sizes[d] = offset;
    if indices.is_empty() {
        return zeros(&sizes, count, dtype);
    }
    made(&join::cat(&indices, 1)?, &join::cat(&values, 0)?, &sizes, false)
}
