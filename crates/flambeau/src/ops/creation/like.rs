//! Tensors after the model of another: `zeros_like`, `new_zeros` and their kin.

use super::{finish, resolve};
use crate::Tensor;
use crate::ops::shape::format_strides;
use crate::ops::sparse;
use crate::schema::TensorOptions;
use flambeau_core::{Array, Init, Layout, MemoryFormat, Result, Scalar};

/// The options with dtype and device of the model where they say nothing.
fn inherit(self_: &Tensor, options: &TensorOptions) -> TensorOptions {
    let (dtype, device) = (self_.dtype(), self_.visible_device());
    TensorOptions {
        dtype: Some(options.dtype.unwrap_or(dtype)),
        device: Some(options.device.unwrap_or(device)),
        ..*options
    }
}

fn like(
    self_: &Tensor,
    value: Scalar,
    options: &TensorOptions,
    memory_format: Option<MemoryFormat>,
) -> Result<Tensor> {
    let options = inherit(self_, options);
    let (dtype, device) = resolve(&options, None)?;
    value.check_fits(dtype)?;
    if let Some(coo) = self_.coo()
        && options.layout.is_none_or(|layout| layout == Layout::SparseCoo)
    {
        if !value.is(0) {
            return Err(sparse::unknown("fill_.Scalar"));
        }
        return finish(sparse::zeros(&self_.sizes(), coo.indices.sizes()[0] as usize, dtype)?, &options);
    }
    let a = self_.array();
    let strides = format_strides(&a, memory_format)?;
    let zero = value.is(0);
    let init = if zero { Init::Zero } else { Init::Uninit };
    let out = Tensor::from_array(Array::empty_strided(&a.sizes, strides, dtype, device, init)?);
    if !zero {
        super::fill_data(&out, value)?;
    }
    finish(out, &options)
}

/// `torch.zeros_like`
pub fn zeros_like(
    self_: &Tensor,
    options: &TensorOptions,
    memory_format: Option<MemoryFormat>,
) -> Result<Tensor> {
    like(self_, Scalar::Int(0), options, memory_format)
}

/// `torch.ones_like`
pub fn ones_like(
    self_: &Tensor,
    options: &TensorOptions,
    memory_format: Option<MemoryFormat>,
) -> Result<Tensor> {
    like(self_, Scalar::Int(1), options, memory_format)
}

/// `torch.empty_like`; memory is zeroed.
pub fn empty_like(
    self_: &Tensor,
    options: &TensorOptions,
    memory_format: Option<MemoryFormat>,
) -> Result<Tensor> {
    like(self_, Scalar::Int(0), options, memory_format)
}

/// `torch.full_like`
pub fn full_like(
    self_: &Tensor,
    fill_value: Scalar,
    options: &TensorOptions,
    memory_format: Option<MemoryFormat>,
) -> Result<Tensor> {
    like(self_, fill_value, options, memory_format)
}

/// `Tensor.new_zeros`
pub fn new_zeros(self_: &Tensor, size: &[i64], options: &TensorOptions) -> Result<Tensor> {
    super::empty(size, &inherit(self_, options), None)
}

/// `Tensor.new_ones`
pub fn new_ones(self_: &Tensor, size: &[i64], options: &TensorOptions) -> Result<Tensor> {
    super::ones(size, &inherit(self_, options))
}

/// `Tensor.new_full`
pub fn new_full(self_: &Tensor, size: &[i64], fill_value: Scalar, options: &TensorOptions) -> Result<Tensor> {
    super::full(size, fill_value, &inherit(self_, options))
}

/// `Tensor.new_empty`; memory is zeroed.
pub fn new_empty(self_: &Tensor, size: &[i64], options: &TensorOptions) -> Result<Tensor> {
    super::empty(size, &inherit(self_, options), None)
}

/// `Tensor.new_empty_strided`; memory is zeroed.
pub fn new_empty_strided(
    self_: &Tensor,
    size: &[i64],
    stride: &[i64],
    options: &TensorOptions,
) -> Result<Tensor> {
    super::empty_strided(size, stride, &inherit(self_, options))
}
