//! Entries by index: merging, looking up, and the ways to and from dense tensors.

use super::{Coo, bare, cloned, entries, made, parts};
use crate::Tensor;
use crate::autograd::{GradMode, record};
use crate::ops::dense::Dense;
use crate::ops::{index, shape};
use flambeau_core::{DType, Device, Dims, Result, bail, show};
use smallvec::smallvec;

/// The row-major position of each index among the sparse dimensions, and the number of positions.
pub(super) fn keys(indices: &Tensor, sizes: &[i64]) -> Result<(Vec<i64>, i64)> {
    let (rows, nnz) = (indices.sizes()[0] as usize, indices.sizes()[1] as usize);
    let list = Dense::<i64>::of(indices)?;
    let mut keys = vec![0i64; nnz];
    let mut count = 1i64;
    for (row, &size) in sizes.iter().take(rows).enumerate() {
        let Some(product) = count.checked_mul(size) else {
            bail!("the sparse dimensions of {} have too many positions", show(sizes));
        };
        count = product;
        for (key, i) in keys.iter_mut().zip(&list[row * nnz..(row + 1) * nnz]) {
            *key = *key * size + i;
        }
    }
    Ok((keys, count))
}

/// A vector of whole numbers.
pub(super) fn column(list: &[i64]) -> Result<Tensor> {
    Tensor::from_slice(list, &[list.len() as i64])
}

/// Whether indices are in order and none occurs twice.
pub(super) fn is_sorted(indices: &Tensor, sizes: &[i64]) -> Result<bool> {
    Ok(keys(indices, sizes)?.0.is_sorted_by(|a, b| a < b))
}

/// The order in which `list` is sorted, equal numbers as they come.
fn order(list: &[i64]) -> Vec<i64> {
    let mut order: Vec<i64> = (0..list.len() as i64).collect();
    order.sort_by_key(|&i| list[i as usize]);
    order
}

/// Entries with the same index added up, in order of their indices: `(indices, values)`.
fn merged(indices: &Tensor, values: &Tensor, sizes: &[i64]) -> Result<(Tensor, Tensor)> {
    let (keys, _) = keys(indices, sizes)?;
    let order = order(&keys);
    let (mut first, mut to): (Vec<i64>, Vec<i64>) = (Vec::new(), Vec::new());
    let mut last = None;
    for &at in &order {
        let key = keys[at as usize];
        if last != Some(key) {
            last = Some(key);
            first.push(at);
        }
        to.push(first.len() as i64 - 1);
    }
    let indices = index::index_select(indices, 1, &column(&first)?)?;
    let ordered = index::index_select(values, 0, &column(&order)?)?;
    if first.len() == order.len() {
        return Ok((indices, ordered));
    }
    let mut shape = ordered.sizes();
    shape[0] = first.len() as i64;
    // Each first value is copied, not added to zero, which would lose the sign of a negative zero.
    let sums = Tensor::zeros_raw(&shape, ordered.dtype(), Device::CPU)?;
    Ok((indices, index::index_add(&sums, 0, &column(&to)?, &ordered, 1i64.into())?))
}

/// `Tensor.coalesce`: the entries in order of their indices, those with the same index added up.
pub fn coalesce(self_: &Tensor) -> Result<Tensor> {
    let coo = parts(self_, "coalesce")?;
    if coo.coalesced {
        return Ok(self_.clone());
    }
    let sizes = self_.sizes();
    let (indices, values) = {
        let _guard = GradMode::no_grad();
        merged(&coo.indices, &coo.values, &sizes)?
    };
    let out = bare(&indices, &values, &sizes, true)?;
    record(&[&out], "CoalesceBackward0", &[self_], &[], |ctx| Ok(smallvec![ctx.grad(0).cloned()]))?;
    Ok(out)
}

/// The elements of a tensor of any layout at `indices`, in their order; differentiable.
pub(super) fn at(t: &Tensor, indices: &Tensor) -> Result<Tensor> {
    let sizes = t.sizes();
    let rows = indices.sizes()[0] as usize;
    let Some(coo) = t.coo() else {
        let (keys, count) = keys(indices, &sizes)?;
        let mut flat: Dims = smallvec![count];
        flat.extend_from_slice(&sizes[rows..]);
        return index::index_select(&shape::reshape(t, &flat)?, 0, &column(&keys)?);
    };
    if coo.indices.sizes()[0] as usize != rows {
        return at(&dense(t, None)?, indices);
    }
    let same = coo.indices.with_array(|a| indices.with_array(|b| a.same_view(b)));
    if same && (coo.coalesced || !t.requires_grad()) && is_unique(&coo, &sizes)? {
        return Ok(entries(t)?.values);
    }
    let t = coalesce(t)?;
    let e = entries(&t)?;
    let (have, _) = keys(&e.indices, &sizes)?;
    let (wanted, _) = keys(indices, &sizes)?;
    // What is not there is the zero after the last value.
    let places: Vec<i64> =
        wanted.iter().map(|key| have.binary_search(key).unwrap_or(have.len()) as i64).collect();
    let mut one = e.values.sizes();
    one[0] = 1;
    let zero = Tensor::zeros_raw(&one, e.values.dtype(), Device::CPU)?;
    index::index_select(&crate::ops::join::cat(&[e.values, zero], 0)?, 0, &column(&places)?)
}

fn is_unique(coo: &Coo, sizes: &[i64]) -> Result<bool> {
    Ok(coo.coalesced || {
        let (mut keys, _) = keys(&coo.indices, sizes)?;
        keys.sort_unstable();
        keys.is_sorted_by(|a, b| a < b)
    })
}

/// Adds the entries to a dense tensor of the same sizes: a new tensor.
pub(super) fn added(dense: &Tensor, t: &Tensor, alpha: flambeau_core::Scalar) -> Result<Tensor> {
    let sizes = dense.sizes();
    let e = entries(t)?;
    let (keys, count) = keys(&e.indices, &sizes)?;
    let mut flat: Dims = smallvec![count];
    flat.extend_from_slice(&sizes[e.indices.sizes()[0] as usize..]);
    let sum = index::index_add(&shape::reshape(dense, &flat)?, 0, &column(&keys)?, &e.values, alpha)?;
    shape::reshape(&sum, &sizes)
}

/// With zeros where there is no entry; a dense tensor itself.
pub(super) fn dense(self_: &Tensor, dtype: Option<DType>) -> Result<Tensor> {
    let out = if self_.is_sparse() {
        let zeros = Tensor::zeros_raw(&self_.sizes(), self_.dtype(), Device::CPU)?;
        added(&zeros, self_, 1i64.into())?
    } else {
        self_.clone()
    };
    match dtype {
        Some(dtype) => shape::to_dtype(&out, dtype),
        None => Ok(out),
    }
}

/// `Tensor.to_sparse`: the elements that are not zero, or with `sparse_dim` the slices that are not all zero.
pub fn to_sparse(self_: &Tensor, sparse_dim: Option<i64>) -> Result<Tensor> {
    let rank = self_.dim() as i64;
    if let Some(coo) = self_.coo() {
        if sparse_dim.is_some_and(|d| d != coo.indices.sizes()[0]) {
            bail!(
                "to_sparse: conversion from Sparse to Sparse with sparse_dim argument !=self.sparse_dim() is not supported"
            );
        }
        return cloned(self_);
    }
    let sparse = sparse_dim.unwrap_or(rank);
    if sparse > rank || sparse < 0 || (sparse == 0 && rank > 0) {
        bail!("sparse_dim must be in the range [1, {rank}] but got {sparse}");
    }
    let indices = {
        let _guard = GradMode::no_grad();
        let plain = self_.alias();
        let mask = crate::generated::functions::ne_scalar(&plain, 0i64.into())?;
        let dense: Dims = (sparse..rank).collect();
        let mask =
            if dense.is_empty() { mask } else { crate::ops::reduce::any_dims(&mask, Some(&dense), false)? };
        shape::t(&index::nonzero(&mask)?)?
    };
    let indices = shape::contiguous(&indices, None)?;
    made(&indices, &at(self_, &indices)?, &self_.sizes(), true)
}

/// `Tensor.sparse_mask`: the elements at the indices of `mask`.
pub fn sparse_mask(self_: &Tensor, mask: &Tensor) -> Result<Tensor> {
    let Some(coo) = mask.coo() else { bail!("sparse_mask(): mask must be a sparse tensor") };
    if self_.sizes() != mask.sizes() {
        bail!(
            "sparse_mask(): operands have incompatible sizes; self has size {} but mask has size {}",
            show(&self_.sizes()),
            show(&mask.sizes())
        );
    }
    made(&coo.indices, &at(self_, &coo.indices)?, &self_.sizes(), coo.coalesced)
}

/// `Tensor.to_dense`: with zeros where there is no entry; a dense tensor itself. `masked_grad` says that a gradient is
/// wanted at the entries only, as it always is here.
pub fn to_dense(self_: &Tensor, dtype: Option<DType>, masked_grad: Option<bool>) -> Result<Tensor> {
    let _ = masked_grad;
    dense(self_, dtype)
}
