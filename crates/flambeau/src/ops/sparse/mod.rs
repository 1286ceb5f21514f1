//! Sparse tensors in coordinate form (COO): the indices of some elements and their values; all others are zero.
//!
//! A sparse tensor has sizes and a dtype like any other, but no memory: its array lies on the device `meta`, so that an
//! operator that does not know it computes nothing, and the indices and values hang on the tensor. Indices are
//! `(sparse_dim, nnz)`, values `(nnz, *dense sizes)`; several values at one index add up. Operators that take sparse
//! tensors say `sparse` in their declaration and come here; all others refuse them.
//!
//! Gradients pass through two nodes: [`entries`] takes the values out of a tensor, [`made`] puts values into one.
//! Everything between is done by the ordinary operators on values.

mod arithmetic;
mod coalesce;
mod products;
mod shape;

pub use arithmetic::pointwise;
pub(crate) use arithmetic::{add_into, copied_into};
pub use coalesce::{coalesce, sparse_mask, to_dense, to_sparse};
pub(crate) use products::{addmm, matmul, mm, mv};
pub(crate) use shape::{cat, index_select, norm, permute, select, sum, sum_dim, transpose, unsqueeze};

use crate::Tensor;
use crate::autograd::{Save, record};
use crate::ops::dense::Dense;
use crate::schema::{Arg, Call, Target};
use flambeau_core::{Array, DType, Device, Dims, Init, Result, bail, show};
use smallvec::smallvec;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// What a sparse tensor consists of; neither part has a history.
#[derive(Debug)]
pub struct Coo {
    /// `(sparse_dim, nnz)`, int64
    pub indices: Tensor,
    /// `(nnz, *dense sizes)`
    pub values: Tensor,
    /// Whether indices are sorted and each occurs once.
    pub coalesced: bool,
}

/// Set with the first sparse tensor, so that programs without any do not look for them.
static IN_USE: AtomicBool = AtomicBool::new(false);

/// Whether there has been a sparse tensor.
#[inline]
pub fn in_use() -> bool {
    IN_USE.load(Ordering::Relaxed)
}

pub(crate) fn note_use() {
    IN_USE.store(true, Ordering::Relaxed);
}

/// Whether any of these tensors is sparse.
#[inline]
pub fn any(tensors: &[&Tensor]) -> bool {
    in_use() && tensors.iter().any(|t| t.is_sparse())
}

/// Fails where an operand of a call is sparse: for operators that do not know such tensors.
#[cold]
pub fn refuse(name: &str, overload: &str, call: &Call) -> Result<()> {
    let involved = call.args.iter().any(|arg| match arg {
        Arg::Tensor(t) => t.is_sparse(),
        Arg::Owned(t) => t.is_sparse(),
        Arg::Tensors(list) => list.iter().any(Tensor::is_sparse),
        Arg::OptTensors(list) => list.iter().flatten().any(Tensor::is_sparse),
        _ => false,
    });
    let into = matches!(call.target, Target::Out(list) if list.iter().any(Tensor::is_sparse));
    if involved || into {
        let dot = if overload.is_empty() { "" } else { "." };
        return Err(unknown(&format!("{name}{dot}{overload}")));
    }
    Ok(())
}

/// The error of operators without a form for sparse tensors.
#[cold]
pub(crate) fn unknown(name: &str) -> flambeau_core::Error {
    flambeau_core::Error::not_implemented(format!(
        "Could not run 'aten::{name}' with arguments from the 'SparseCPU' backend: the operator has no form for sparse tensors. Use Tensor.to_dense() first."
    ))
}

/// Fails if the tensor is sparse.
#[inline]
pub fn check_dense(name: &str, t: &Tensor) -> Result<()> {
    if t.is_sparse() { Err(unknown(name)) } else { Ok(()) }
}

impl Tensor {
    /// The number of entries of a sparse tensor.
    pub fn nnz(&self) -> Result<i64> {
        Ok(parts(self, "_nnz")?.values.sizes()[0])
    }
}

/// The parts of a sparse tensor; `name` is what a dense one lacks.
pub(super) fn parts(t: &Tensor, name: &str) -> Result<Arc<Coo>> {
    match t.coo() {
        Some(coo) => Ok(coo),
        None => bail!("{name} expected sparse coordinate tensor layout but got Strided"),
    }
}

/// A tensor of these parts, without checks and without history.
pub(super) fn bare(indices: &Tensor, values: &Tensor, sizes: &[i64], coalesced: bool) -> Result<Tensor> {
    let out = Tensor::from_array(Array::empty(sizes, values.dtype(), Device::META, Init::Uninit)?);
    let coalesced = coalesced || indices.sizes()[1] < 2;
    out.set_coo(Coo { indices: indices.alias(), values: values.alias(), coalesced });
    Ok(out)
}

/// A tensor of parts that are known to fit; gradients go to `values`.
pub(super) fn made(indices: &Tensor, values: &Tensor, sizes: &[i64], coalesced: bool) -> Result<Tensor> {
    let out = bare(indices, values, sizes, coalesced)?;
    let saved = [Save::Input(indices)];
    record(&[&out], "SparseCooTensorWithDimsAndTensorsBackward0", &[values], &saved, |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        Ok(smallvec![Some(coalesce::at(grad, &ctx.saved(0)?)?)])
    })?;
    Ok(out)
}

/// The gradient of rows of a table: these rows at these indices, which may repeat.
pub(crate) fn gradient(indices: &Tensor, rows: &Tensor, sizes: &[i64]) -> Result<Tensor> {
    made(indices, rows, sizes, false)
}

/// The entries of a tensor for an operator: those of the coalesced tensor where they are to be differentiated, since a
/// gradient belongs to an index, not to one of several entries with it.
pub(super) struct Entries {
    pub indices: Tensor,
    /// With a history if the tensor has one.
    pub values: Tensor,
    pub coalesced: bool,
}

pub(super) fn entries(t: &Tensor) -> Result<Entries> {
    let merged;
    let t = if t.requires_grad() && !parts(t, "entries")?.coalesced {
        merged = coalesce(t)?;
        &merged
    } else {
        t
    };
    let coo = parts(t, "entries")?;
    let (values, sizes) = (coo.values.alias(), t.sizes());
    record(&[&values], "ValuesBackward0", &[t], &[Save::Input(&coo.indices)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        Ok(smallvec![Some(made(&ctx.saved(0)?, grad, &sizes, true)?)])
    })?;
    Ok(Entries { indices: coo.indices.clone(), values, coalesced: coo.coalesced })
}

/// The sizes that hold every index and value.
fn inferred(indices: &Tensor, values: &Tensor) -> Result<Dims> {
    let (rows, nnz) = (indices.sizes()[0] as usize, indices.sizes()[1] as usize);
    let list = Dense::<i64>::of(indices)?;
    let mut sizes = Dims::new();
    for row in 0..rows {
        let mut largest = -1;
        for &i in &list[row * nnz..(row + 1) * nnz] {
            if i < 0 {
                bail!("found negative index {i} for dim {row}");
            }
            largest = largest.max(i);
        }
        sizes.push(largest.saturating_add(1));
    }
    sizes.extend_from_slice(&values.sizes()[1..]);
    Ok(sizes)
}

/// `torch.sparse_coo_tensor`: of indices `(sparse_dim, nnz)` and values `(nnz, *dense sizes)`; without `size` the least
/// that holds them. Indices outside of the sizes fail (PyTorch looks only with `check_invariants=True`).
pub fn sparse_coo_tensor(
    indices: &Tensor,
    values: &Tensor,
    size: Option<&[i64]>,
    is_coalesced: bool,
) -> Result<Tensor> {
    if indices.dim() != 2 {
        bail!("indices must be sparse_dim x nnz, but got: {}", show(&indices.sizes()));
    }
    if any(&[indices, values]) || indices.is_meta() || values.is_meta() {
        bail!("expected indices and values to be dense tensors on the CPU");
    }
    if values.dim() == 0 {
        bail!(
            "values must have at least one dimension, the number of entries, but got a tensor without dimensions"
        );
    }
    let indices = crate::ops::shape::to_dtype(&indices.alias(), DType::Int64)?;
    let (rows, nnz) = (indices.sizes()[0], indices.sizes()[1]);
    if values.sizes()[0] != nnz {
        bail!(
            "indices and values must have same nnz, but got nnz from indices: {nnz}, nnz from values: {}",
            values.sizes()[0]
        );
    }
    let least = inferred(&indices, values)?;
    let Some(size) = size else { return made(&indices, values, &least, is_coalesced) };
    let dense = values.dim() as i64 - 1;
    if size.len() as i64 != rows + dense {
        bail!(
            "'len(size) == sparse_dim + dense_dim' is not satisfied: len(size) = {}, sparse_dim = {rows}, dense_dim = {dense}",
            size.len()
        );
    }
    for (d, (&have, &need)) in size.iter().zip(&least).enumerate() {
        if have < 0 {
            bail!("numel: invalid size {have} of dimension {d}");
        }
        if d < rows as usize && need > have {
            bail!(
                "size is inconsistent with indices: for dim {d}, size is {have} but found index {}",
                need - 1
            );
        }
        if d >= rows as usize && need != have {
            let mut expected: Dims = smallvec![nnz];
            expected.extend_from_slice(&size[rows as usize..]);
            bail!("values has incorrect size, expected {}, got {}", show(&expected), show(&values.sizes()));
        }
    }
    if is_coalesced && !coalesce::is_sorted(&indices, size)? {
        bail!("is_coalesced was given for indices that are not sorted, or not unique");
    }
    made(&indices, values, size, is_coalesced)
}

/// `Tensor._indices`: the indices as they are.
pub fn raw_indices(self_: &Tensor) -> Result<Tensor> {
    Ok(parts(self_, "_indices")?.indices.alias())
}

/// `Tensor._values`: the values as they are, without history.
pub fn raw_values(self_: &Tensor) -> Result<Tensor> {
    Ok(parts(self_, "_values")?.values.alias())
}

/// `Tensor.indices`: the indices of a coalesced tensor.
pub fn indices(self_: &Tensor) -> Result<Tensor> {
    let coo = parts(self_, "indices")?;
    if !coo.coalesced {
        bail!("Cannot get indices on an uncoalesced tensor, please call .coalesce() first");
    }
    Ok(coo.indices.alias())
}

/// `Tensor.values`: the values of a coalesced tensor; differentiable.
pub fn values(self_: &Tensor) -> Result<Tensor> {
    match self_.coo() {
        None => bail!("values expected sparse tensor layout but got Strided"),
        Some(coo) if !coo.coalesced => {
            bail!("Cannot get values on an uncoalesced tensor, please call .coalesce() first")
        }
        Some(_) => Ok(entries(self_)?.values),
    }
}

/// `Tensor.is_coalesced`
pub fn is_coalesced(self_: &Tensor) -> Result<bool> {
    Ok(parts(self_, "is_coalesced")?.coalesced)
}

/// `Tensor._nnz`: the number of entries.
pub fn nnz(self_: &Tensor) -> Result<i64> {
    self_.nnz()
}

/// `Tensor.sparse_dim`: the number of dimensions that indices name.
pub fn sparse_dim(self_: &Tensor) -> Result<i64> {
    Ok(self_.coo().map_or(0, |coo| coo.indices.sizes()[0]))
}

/// `Tensor.dense_dim`: the number of dimensions of each value.
pub fn dense_dim(self_: &Tensor) -> Result<i64> {
    Ok(self_.coo().map_or(self_.dim() as i64, |coo| coo.values.dim() as i64 - 1))
}

/// Without entries.
pub(crate) fn zeros(sizes: &[i64], sparse_dim: usize, dtype: DType) -> Result<Tensor> {
    let indices = Tensor::zeros_raw(&[sparse_dim as i64, 0], DType::Int64, Device::CPU)?;
    let mut shape: Dims = smallvec![0];
    shape.extend_from_slice(&sizes[sparse_dim.min(sizes.len())..]);
    bare(&indices, &Tensor::zeros_raw(&shape, dtype, Device::CPU)?, sizes, true)
}

/// The same entries with other values of the same number.
pub(super) fn with_values(t: &Tensor, change: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let e = entries(t)?;
    made(&e.indices, &change(&e.values)?, &t.sizes(), e.coalesced)
}

/// A copy with memory of its own.
pub(crate) fn cloned(t: &Tensor) -> Result<Tensor> {
    with_values(t, |values| crate::ops::shape::clone(values, None))
}

/// In another dtype.
pub(crate) fn to_dtype(t: &Tensor, dtype: DType) -> Result<Tensor> {
    with_values(t, |values| crate::ops::shape::to_copy(values, Some(dtype), None, None))
}
