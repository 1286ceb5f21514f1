//! Operators that change a tensor's geometry in place: `t_`, `squeeze_`, `resize_`, `set_`, `detach_`.

use super::axes::{check_t, named_dims, squeezed, unsqueezed};
use crate::Tensor;
use crate::autograd::{self, record_inplace};
use crate::ops::shape::{reshape, transpose};
use flambeau_core::{Array, Dims, MemoryFormat, Result, bail, check_sizes, numel, required_bytes, wrap_dim};
use smallvec::smallvec;

/// Gives the tensor another geometry over the same elements; `backward` maps a gradient of the new geometry
/// to one of the old.
fn change<F>(self_: &Tensor, name: &'static str, array: Array, backward: F) -> Result<Tensor>
where
    F: Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static,
{
    autograd::check_inplace(self_, false)?;
    if self_.view_meta().is_some_and(|v| v.tracks) {
        // The base is as it was; the view's history follows from its new geometry when asked for.
        self_.set_array(array);
        self_.bump_version();
        return Ok(self_.clone());
    }
    let edge = Tensor::from_array(self_.array());
    if let Some(e) = self_.gradient_edge() {
        edge.meta_mut(|m| {
            m.grad_fn = Some(e.node);
            m.output_nr = e.input;
        });
    }
    self_.set_array(array);
    record_inplace(self_, name, &[&edge], &[], move |ctx| {
        Ok(smallvec![match ctx.grad(0) {
            Some(grad) => Some(backward(grad)?),
            None => None,
        }])
    })?;
    Ok(self_.clone())
}

/// `Tensor.t_`
pub fn t_(self_: &Tensor) -> Result<Tensor> {
    let mut a = self_.array();
    check_t(&a)?;
    if a.dim() == 2 {
        a.sizes.swap(0, 1);
        a.strides.swap(0, 1);
    }
    change(self_, "TBackward0", a, super::t)
}

/// `Tensor.transpose_`
pub fn transpose_(self_: &Tensor, dim0: i64, dim1: i64) -> Result<Tensor> {
    let mut a = self_.array();
    let (i, j) = (wrap_dim(dim0, a.dim())?, wrap_dim(dim1, a.dim())?);
    if a.dim() > 0 {
        a.sizes.swap(i, j);
        a.strides.swap(i, j);
    }
    change(self_, "TransposeBackward1", a, move |grad| transpose(grad, dim0, dim1))
}

/// `Tensor.swapaxes_`
pub fn swapaxes_(self_: &Tensor, axis0: i64, axis1: i64) -> Result<Tensor> {
    transpose_(self_, axis0, axis1)
}

/// `Tensor.swapdims_`
pub fn swapdims_(self_: &Tensor, dim0: i64, dim1: i64) -> Result<Tensor> {
    transpose_(self_, dim0, dim1)
}

fn reshaped(self_: &Tensor, name: &'static str, mut a: Array, geometry: (Dims, Dims)) -> Result<Tensor> {
    let from = std::mem::replace(&mut a.sizes, geometry.0);
    a.strides = geometry.1;
    change(self_, name, a, move |grad| reshape(grad, &from))
}

/// `Tensor.squeeze_`
pub fn squeeze_(self_: &Tensor) -> Result<Tensor> {
    let a = self_.array();
    let geometry = squeezed(&a, |_| true);
    reshaped(self_, "SqueezeBackward3", a, geometry)
}

/// `Tensor.squeeze_` of one dimension.
pub fn squeeze_dim_(self_: &Tensor, dim: i64) -> Result<Tensor> {
    let a = self_.array();
    let d = wrap_dim(dim, a.dim())?;
    let geometry = squeezed(&a, |i| i == d);
    reshaped(self_, "SqueezeBackward4", a, geometry)
}

/// `Tensor.squeeze_` of several dimensions.
pub fn squeeze_dims_(self_: &Tensor, dim: &[i64]) -> Result<Tensor> {
    let a = self_.array();
    let mask = named_dims(dim, a.dim())?;
    let geometry = squeezed(&a, |i| mask[i]);
    reshaped(self_, "SqueezeBackward5", a, geometry)
}

/// `Tensor.unsqueeze_`
pub fn unsqueeze_(self_: &Tensor, dim: i64) -> Result<Tensor> {
    let a = self_.array();
    let geometry = unsqueezed(&a, dim)?;
    reshaped(self_, "UnsqueezeBackward1", a, geometry)
}

/// `Tensor.as_strided_`
pub fn as_strided_(
    self_: &Tensor,
    size: &[i64],
    stride: &[i64],
    storage_offset: Option<i64>,
) -> Result<Tensor> {
    let old = self_.array();
    let window = super::as_strided(&Tensor::from_array(old.clone()), size, stride, storage_offset)?.array();
    let view = (window.sizes.clone(), window.strides.clone(), window.offset);
    change(self_, "AsStridedBackward1", window, move |grad| {
        super::as_strided_backward(grad, (&old.sizes, &old.strides, old.offset), (&view.0, &view.1, view.2))
    })
}

/// `Tensor.resize_`: other sizes over the same storage, which grows if it must (new elements are 0).
pub fn resize_(self_: &Tensor, size: &[i64], memory_format: Option<MemoryFormat>) -> Result<Tensor> {
    if self_.requires_grad() {
        bail!("cannot resize variables that require grad");
    }
    if size.iter().any(|&s| s < 0) {
        bail!("numel: integer multiplication overflow");
    }
    numel(size)?;
    let mut a = self_.array();
    let format = match memory_format {
        Some(MemoryFormat::Preserve) => bail!("Unsupported memory format Preserve"),
        other => other.unwrap_or(MemoryFormat::Contiguous),
    };
    if a.sizes[..] == *size && memory_format.is_none() {
        return Ok(self_.clone());
    }
    let strides = flambeau_core::strides_for(size, format)?;
    let need = required_bytes(size, &strides, a.offset, a.dtype.size())?;
    if need > a.storage.nbytes() {
        a.storage.resize(need)?;
    }
    a.sizes = Dims::from_slice(size);
    a.strides = strides;
    self_.set_array(a);
    Ok(self_.clone())
}

/// `Tensor.resize_as_`
pub fn resize_as_(
    self_: &Tensor,
    the_template: &Tensor,
    memory_format: Option<MemoryFormat>,
) -> Result<Tensor> {
    let model = the_template.array();
    if memory_format == Some(MemoryFormat::Preserve) {
        resize_(self_, &model.sizes, None)?;
        let mut a = self_.array();
        let strides = super::preserved_strides(&model);
        let need = required_bytes(&model.sizes, &strides, a.offset, a.dtype.size())?;
        if need > a.storage.nbytes() {
            a.storage.resize(need)?;
        }
        a.strides = strides;
        self_.set_array(a);
        return Ok(self_.clone());
    }
    resize_(self_, &model.sizes, memory_format)
}

/// Makes the tensor refer to another array, checked against its storage.
fn refer(self_: &Tensor, array: Array) -> Result<Tensor> {
    check_sizes(&array.sizes)?;
    numel(&array.sizes)?;
    let (old, new) = (self_.dtype(), array.dtype);
    if old != new {
        bail!("Could not set tensor of type {} to a tensor of type {}", new.cpp_type(), old.cpp_type());
    }
    autograd::check_inplace(self_, false)?;
    self_.set_array(array);
    self_.bump_version();
    Ok(self_.clone())
}

/// `Tensor.set_()`: an empty tensor over no storage.
pub fn set_(self_: &Tensor) -> Result<Tensor> {
    let (dtype, device) = (self_.dtype(), self_.device());
    refer(self_, Tensor::zeros_raw(&[0], dtype, device)?.array())
}

/// `Tensor.set_(source)`: the array of another tensor.
pub fn set_source_tensor_(self_: &Tensor, source: &Tensor) -> Result<Tensor> {
    refer(self_, source.array())
}

/// `Tensor.set_(source, offset, size, stride)`: a window on the storage of another tensor.
pub fn set_source_tensor_storage_offset_(
    self_: &Tensor,
    source: &Tensor,
    storage_offset: i64,
    size: &[i64],
    stride: &[i64],
) -> Result<Tensor> {
    let strides =
        if stride.is_empty() { flambeau_core::contiguous_strides(size) } else { Dims::from_slice(stride) };
    check_sizes(size)?;
    let window =
        super::as_strided(&Tensor::from_array(source.array()), size, &strides, Some(storage_offset))?;
    refer(self_, window.array())
}

/// `Tensor.detach`: the same array without history; in-place changes are seen by both.
pub fn detach(self_: &Tensor) -> Result<Tensor> {
    Ok(self_.alias())
}

/// `Tensor.detach_`: forgets the history.
pub fn detach_(self_: &Tensor) -> Result<Tensor> {
    if self_.view_meta().is_some_and(|v| v.tracks) {
        bail!(
            "Can't detach views in-place. Use detach() instead. If you are using DistributedDataParallel (DDP) for training, and gradient_as_bucket_view is set as True, gradients are views of DDP buckets, and hence detach_() cannot be called on these gradients. To fix this error, please refer to the Optimizer.zero_grad() function in torch/optim/optimizer.py as the solution."
        );
    }
    if self_.has_meta() {
        let old = self_.meta_mut(|m| {
            m.output_nr = 0;
            m.grad_fn.take()
        });
        drop(old); // outside the lock
    }
    self_.set_leaf_requires_grad(false);
    Ok(self_.clone())
}

/// `Tensor.alias`: a view of everything.
pub fn alias(self_: &Tensor) -> Result<Tensor> {
    if self_.is_sparse() {
        return crate::ops::sparse::cloned(self_);
    }
    autograd::view_with(self_, "AliasBackward0", self_.array(), |_, grad| Ok(grad.clone()))
}
