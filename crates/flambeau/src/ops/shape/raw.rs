//! Copies and windows without history: what kernels and backward formulas need underneath.

use crate::Tensor;
use crate::ops::shape::clone;
use crate::ops::support::copy_data;
use flambeau_core::{Array, Dims, Init, MemoryFormat, Result, bail, contiguous_strides, numel, strides_for};

/// A row-major copy of the elements, without history.
pub fn clone_dense(t: &Tensor) -> Result<Tensor> {
    let a = t.array();
    let out = Tensor::empty_raw(&a.sizes, a.dtype, a.device())?;
    copy_data(&out, t)?;
    Ok(out)
}

/// A copy with the strides of `model` where they are dense.
pub(crate) fn clone_like(t: &Tensor, model: &Tensor) -> Result<Tensor> {
    let strides = model.with_array(|m| m.is_non_overlapping_and_dense().then(|| m.strides.clone()));
    if t.requires_grad() {
        return clone(t, None);
    }
    match strides {
        Some(strides) => clone_with_strides(t, strides),
        None => clone_dense(t),
    }
}

fn clone_with_strides(t: &Tensor, strides: Dims) -> Result<Tensor> {
    let a = t.array();
    let out = Tensor::from_array(Array::empty_strided(&a.sizes, strides, a.dtype, a.device(), Init::Uninit)?);
    copy_data(&out, t)?;
    Ok(out)
}

/// A fresh result without history in the memory format that one of the inputs suggests: how operators on images pass
/// channels-last on.
pub(crate) fn in_format_of(out: Tensor, inputs: &[&Tensor]) -> Result<Tensor> {
    let format = MemoryFormat::channels_last(out.dim());
    let suggests = |t: &&Tensor| t.with_array(|a| a.suggested_format()) == format;
    if format == MemoryFormat::Contiguous || !inputs.iter().any(suggests) {
        return Ok(out);
    }
    let strides = strides_for(&out.sizes(), format)?;
    clone_with_strides(&out, strides)
}

/// A fresh result without history, with the strides of a fresh tensor like `model`.
pub(crate) fn in_strides_of(out: Tensor, model: &Tensor) -> Result<Tensor> {
    let strides = model.with_array(super::preserved_strides);
    if out.strides() == strides { Ok(out) } else { clone_with_strides(&out, strides) }
}

/// A copy whose geometry is that of a base: needed where windows are cut by stride.
pub(crate) fn clone_with_geometry(t: &Tensor, sizes: &[i64], strides: &[i64]) -> Result<Tensor> {
    let (dtype, device) = (t.dtype(), t.device());
    let out = Tensor::from_array(Array::empty_strided(
        sizes,
        Dims::from_slice(strides),
        dtype,
        device,
        Init::Zero,
    )?);
    let source = expand_raw(t, sizes)?;
    copy_data(&out, &source)?;
    Ok(out)
}

/// The same values laid out with given strides from the start of a fresh storage; differentiable.
pub fn to_geometry(t: &Tensor, sizes: &[i64], strides: &[i64]) -> Result<Tensor> {
    let out = clone_with_geometry(t, sizes, strides)?;
    crate::autograd::record(&[&out], "CloneBackward0", &[t], &[], |ctx| {
        Ok(smallvec::smallvec![ctx.grad(0).cloned()])
    })?;
    Ok(out)
}

/// What a tensor refers to after `resize_raw`, which would fail where this fails (memory aside). The storage may
/// still be too small for it.
pub fn resized(t: &Tensor, sizes: &[i64]) -> Result<Array> {
    flambeau_core::check_sizes(sizes)?;
    numel(sizes)?;
    let mut a = t.array();
    if a.sizes[..] == *sizes {
        return Ok(a);
    }
    a.sizes = Dims::from_slice(sizes);
    a.strides = contiguous_strides(sizes);
    let need = flambeau_core::required_bytes(sizes, &a.strides, a.offset, a.dtype.size())?;
    if need > a.storage.nbytes() && !a.storage.resizable() {
        bail!("Trying to resize storage that is not resizable");
    }
    Ok(a)
}

/// Changes the sizes of a tensor in place, growing its storage if need be. Contents beyond are undefined (zero).
pub fn resize_raw(t: &Tensor, sizes: &[i64]) -> Result<()> {
    let a = resized(t, sizes)?;
    let need = flambeau_core::required_bytes(sizes, &a.strides, a.offset, a.dtype.size())?;
    if need > a.storage.nbytes() {
        a.storage.resize(need)?;
    }
    t.set_array(a);
    Ok(())
}

fn expand_raw(t: &Tensor, sizes: &[i64]) -> Result<Tensor> {
    let mut a = t.array();
    a.strides = crate::pointwise::expanded_strides(&a, sizes);
    a.sizes = Dims::from_slice(sizes);
    Ok(t.alias_as(a))
}

/// A row-major operand of the tensor's elements: itself if it already is.
pub fn dense(t: &Tensor) -> Result<Tensor> {
    if t.is_contiguous() { Ok(t.clone()) } else { clone_dense(&t.alias()) }
}
