//! Copies: clone, contiguous, other dtypes and devices, writing over a tensor.

use crate::Tensor;
use crate::autograd::{self, needs_grad, record, record_inplace};
use crate::ops::support::{check_writable, copy_data, sum_to_size};
use flambeau_core::{
    Array, DType, Device, Dims, Init, MemoryFormat, Result, Scalar, bail, broadcast_shapes,
    contiguous_strides, show, strides_for,
};
use smallvec::smallvec;

/// The strides of a fresh tensor like `a`: the same where it is dense, else row-major in the order of its
/// dimensions by stride.
pub fn preserved_strides(a: &Array) -> Dims {
    if a.is_non_overlapping_and_dense() {
        return a.strides.clone();
    }
    crate::pointwise::result_strides(&a.sizes, std::slice::from_ref(a))
        .unwrap_or_else(|| contiguous_strides(&a.sizes))
}

/// The strides of a copy of `a` in a memory format, by default the preserving one.
pub fn format_strides(a: &Array, format: Option<MemoryFormat>) -> Result<Dims> {
    match format.unwrap_or(MemoryFormat::Preserve) {
        MemoryFormat::Preserve => Ok(preserved_strides(a)),
        format => strides_for(&a.sizes, format),
    }
}

/// `torch.clone`
pub fn clone(self_: &Tensor, memory_format: Option<MemoryFormat>) -> Result<Tensor> {
    if self_.is_sparse() {
        return crate::ops::sparse::cloned(self_);
    }
    let a = self_.array();
    let strides = format_strides(&a, memory_format)?;
    let out = Tensor::from_array(Array::empty_strided(&a.sizes, strides, a.dtype, a.device(), Init::Uninit)?);
    copy_data(&out, self_)?;
    record(&[&out], "CloneBackward0", &[self_], &[], |ctx| Ok(smallvec![ctx.grad(0).cloned()]))?;
    Ok(out)
}

/// `Tensor.contiguous`: the tensor itself if it is contiguous already.
pub fn contiguous(self_: &Tensor, memory_format: Option<MemoryFormat>) -> Result<Tensor> {
    let format = memory_format.unwrap_or(MemoryFormat::Contiguous);
    if self_.with_array(|a| a.is_contiguous_as(format)) {
        return Ok(self_.clone());
    }
    clone(self_, Some(format))
}

/// The same values in another dtype; differentiable.
pub fn to_dtype(self_: &Tensor, dtype: DType) -> Result<Tensor> {
    if self_.dtype() == dtype {
        return Ok(self_.clone());
    }
    to_copy(self_, Some(dtype), None, None)
}

/// A copy in another dtype, on another device, in another memory format.
pub fn to_copy(
    self_: &Tensor,
    dtype: Option<DType>,
    device: Option<Device>,
    memory_format: Option<MemoryFormat>,
) -> Result<Tensor> {
    if self_.is_sparse() {
        if device.is_some_and(|d| !d.is_cpu()) {
            bail!(NotImplemented, "sparse tensors exist on the CPU only");
        }
        return crate::ops::sparse::to_dtype(self_, dtype.unwrap_or(self_.dtype()));
    }
    let a = self_.array();
    let (from, home) = (a.dtype, a.device());
    let (dtype, device) = (dtype.unwrap_or(from), device.unwrap_or(home));
    device.check_available()?;
    if home.is_meta() && !device.is_meta() {
        bail!(NotImplemented, "Cannot copy out of meta tensor; no data!");
    }
    let strides = format_strides(&a, memory_format)?;
    let out = Tensor::from_array(Array::empty_strided(&a.sizes, strides, dtype, device, Init::Uninit)?);
    copy_data(&out, self_)?;
    record(&[&out], "ToCopyBackward0", &[self_], &[], move |ctx| {
        Ok(smallvec![match ctx.grad(0) {
            Some(grad) => Some(to_copy(grad, Some(from), Some(grad.device()), None)?),
            None => None,
        }])
    })?;
    Ok(out)
}

/// Zeros of a tensor's sizes, dtype and device.
pub fn zeros_of(t: &Tensor) -> Result<Tensor> {
    let (sizes, dtype, device) = t.with_array(|a| (a.sizes.clone(), a.dtype, a.device()));
    Tensor::zeros_raw(&sizes, dtype, device)
}

/// `Tensor.copy_`: writes `src`, broadcast and converted, over the tensor.
pub fn copy_(self_: &Tensor, src: &Tensor, non_blocking: bool) -> Result<Tensor> {
    let _ = non_blocking; // copies on the CPU are done when the call returns
    if self_.is_same(src) {
        return Ok(self_.clone());
    }
    let (to, from) = (self_.array(), src.array());
    if crate::ops::sparse::any(&[self_, src]) {
        if to.sizes != from.sizes || needs_grad(&[self_, src]) {
            bail!("copy_() of sparse tensors needs equal sizes, and gradients are not recorded");
        }
        crate::ops::sparse::copied_into(self_, src)?;
        return Ok(self_.clone());
    }
    if from.sizes != to.sizes {
        let shape = broadcast_shapes(&to.sizes, &from.sizes)?;
        if shape != to.sizes {
            bail!("output with shape {} doesn't match the broadcast shape {}", show(&to.sizes), show(&shape));
        }
    }
    if from.device().is_meta() && !to.device().is_meta() {
        bail!(NotImplemented, "Cannot copy out of meta tensor; no data!");
    }
    autograd::check_inplace(self_, needs_grad(&[src]))?;
    check_writable(&to, std::slice::from_ref(&from))?;
    if from.dtype.is_complex() && !to.dtype.is_complex() {
        warn_complex();
    }
    copy_data(self_, src)?;
    let (sizes, dtype) = (from.sizes, from.dtype);
    record_inplace(self_, "CopyBackwards", &[self_, src], &[], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None, None]) };
        let source = match ctx.needs(1) {
            true => Some(to_dtype(&sum_to_size(grad, &sizes)?, dtype)?),
            false => None,
        };
        Ok(smallvec![if ctx.needs(0) { Some(zeros_of(grad)?) } else { None }, source])
    })?;
    Ok(self_.clone())
}

/// The warning about complex numbers written to real ones.
pub fn warn_complex() {
    crate::warn("Casting complex values to real discards the imaginary part");
}

fn check_value(value: Scalar, dtype: DType) -> Result<()> {
    value.check_fits(dtype)
}

/// `Tensor.fill_` with a number.
pub fn fill_scalar_(self_: &Tensor, value: Scalar) -> Result<Tensor> {
    check_value(value, self_.dtype())?;
    autograd::check_inplace(self_, false)?;
    crate::ops::creation::fill_data(self_, value)?;
    record_inplace(self_, "FillBackward0", &[self_], &[], |ctx| {
        Ok(smallvec![match ctx.grad(0) {
            Some(grad) => Some(zeros_of(grad)?),
            None => None,
        }])
    })?;
    Ok(self_.clone())
}

fn check_fill(value: &Tensor) -> Result<()> {
    if value.dim() > 0 {
        bail!("fill_ only supports 0-dimension value tensor but got tensor with {} dimensions.", value.dim());
    }
    Ok(())
}

/// `Tensor.fill_` with the value of a zero-dim tensor.
pub fn fill_tensor_(self_: &Tensor, value: &Tensor) -> Result<Tensor> {
    check_fill(value)?;
    autograd::check_inplace(self_, needs_grad(&[value]))?;
    let to = self_.array();
    check_writable(&to, &[])?;
    // The value may be an element of the tensor itself.
    copy_data(self_, &super::clone_dense(value)?)?;
    let dtype = value.dtype();
    record_inplace(self_, "FillBackward1", &[self_, value], &[], move |ctx| fill_backward(ctx, dtype))?;
    Ok(self_.clone())
}

fn fill_backward(ctx: &autograd::Context, dtype: DType) -> Result<autograd::Grads> {
    let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None, None]) };
    let value = match ctx.needs(1) {
        true => Some(to_dtype(&sum_to_size(grad, &[])?, dtype)?),
        false => None,
    };
    Ok(smallvec![if ctx.needs(0) { Some(zeros_of(grad)?) } else { None }, value])
}

fn like(t: &Tensor) -> Result<Tensor> {
    let a = t.array();
    Ok(Tensor::from_array(Array::empty_strided(
        &a.sizes,
        preserved_strides(&a),
        a.dtype,
        a.device(),
        Init::Uninit,
    )?))
}

/// `torch.fill` with a number: a tensor like `self` full of it.
pub fn fill_scalar(self_: &Tensor, value: Scalar) -> Result<Tensor> {
    check_value(value, self_.dtype())?;
    let out = like(self_)?;
    crate::ops::creation::fill_data(&out, value)?;
    record(&[&out], "FillBackward0", &[self_], &[], |ctx| {
        Ok(smallvec![match ctx.grad(0) {
            Some(grad) => Some(zeros_of(grad)?),
            None => None,
        }])
    })?;
    Ok(out)
}

/// `torch.fill` with the value of a zero-dim tensor.
pub fn fill_tensor(self_: &Tensor, value: &Tensor) -> Result<Tensor> {
    check_fill(value)?;
    let out = like(self_)?;
    copy_data(&out, value)?;
    let dtype = value.dtype();
    record(&[&out], "FillBackward1", &[self_, value], &[], move |ctx| fill_backward(ctx, dtype))?;
    Ok(out)
}

/// `Tensor.zero_`
pub fn zero_(self_: &Tensor) -> Result<Tensor> {
    if let Some(coo) = self_.coo() {
        let none = crate::ops::sparse::zeros(&self_.sizes(), coo.indices.sizes()[0] as usize, self_.dtype())?;
        autograd::check_inplace(self_, false)?;
        crate::ops::sparse::copied_into(self_, &none)?;
        return Ok(self_.clone());
    }
    // Elements that share memory may all be made the same.
    autograd::check_inplace(self_, false)?;
    crate::ops::creation::fill_data(self_, Scalar::Int(0))?;
    record_inplace(self_, "ZeroBackward0", &[self_], &[], |ctx| {
        Ok(smallvec![match ctx.grad(0) {
            Some(grad) => Some(zeros_of(grad)?),
            None => None,
        }])
    })?;
    Ok(self_.clone())
}
