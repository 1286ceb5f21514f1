//! `view_copy` and its kind: what a view shows, copied.

use crate::Tensor;
use crate::ops::shape;
use flambeau_core::{DType, MemoryFormat, Result};

fn copied(view: Tensor) -> Result<Tensor> {
    shape::clone(&view, Some(MemoryFormat::Contiguous))
}

/// `torch.view_copy`
pub fn view_copy(self_: &Tensor, size: &[i64]) -> Result<Tensor> {
    // Any tensor can be copied in any shape.
    copied(shape::reshape(self_, size)?)
}
/// `torch.view_copy` with a dtype.
pub fn view_copy_dtype(self_: &Tensor, dtype: DType) -> Result<Tensor> {
    copied(shape::view_dtype(self_, dtype)?)
}
/// `torch.expand_copy`
pub fn expand_copy(self_: &Tensor, size: &[i64], implicit: bool) -> Result<Tensor> {
    let _ = implicit;
    copied(shape::expand(self_, size)?)
}
/// `torch.permute_copy`
pub fn permute_copy(self_: &Tensor, dims: &[i64]) -> Result<Tensor> {
    copied(shape::permute(self_, dims)?)
}
/// `torch.diagonal_copy`
pub fn diagonal_copy(self_: &Tensor, offset: i64, dim1: i64, dim2: i64) -> Result<Tensor> {
    copied(shape::diagonal(self_, offset, dim1, dim2)?)
}
/// `torch.select_copy`
pub fn select_copy(self_: &Tensor, dim: i64, index: i64) -> Result<Tensor> {
    copied(shape::select(self_, dim, index)?)
}
/// `torch.slice_copy`
pub fn slice_copy(
    self_: &Tensor,
    dim: i64,
    start: Option<i64>,
    end: Option<i64>,
    step: i64,
) -> Result<Tensor> {
    copied(shape::slice(self_, dim, start, end, step)?)
}
/// `torch.squeeze_copy`
pub fn squeeze_copy(self_: &Tensor) -> Result<Tensor> {
    copied(shape::squeeze(self_)?)
}
/// `torch.squeeze_copy` of one dimension.
pub fn squeeze_copy_dim(self_: &Tensor, dim: i64) -> Result<Tensor> {
    copied(shape::squeeze_dim(self_, dim)?)
}
/// `torch.squeeze_copy` of several dimensions.
pub fn squeeze_copy_dims(self_: &Tensor, dim: &[i64]) -> Result<Tensor> {
    copied(shape::squeeze_dims(self_, dim)?)
}
/// `torch.t_copy`
pub fn t_copy(self_: &Tensor) -> Result<Tensor> {
    copied(shape::t(self_)?)
}
/// `torch.transpose_copy`
pub fn transpose_copy(self_: &Tensor, dim0: i64, dim1: i64) -> Result<Tensor> {
    copied(shape::transpose(self_, dim0, dim1)?)
}
/// `torch.unsqueeze_copy`
pub fn unsqueeze_copy(self_: &Tensor, dim: i64) -> Result<Tensor> {
    copied(shape::unsqueeze(self_, dim)?)
}
/// `torch.unfold_copy`
pub fn unfold_copy(self_: &Tensor, dimension: i64, size: i64, step: i64) -> Result<Tensor> {
    copied(shape::unfold(self_, dimension, size, step)?)
}
/// `torch.narrow_copy`
pub fn narrow_copy(self_: &Tensor, dim: i64, start: i64, length: i64) -> Result<Tensor> {
    copied(shape::narrow(self_, dim, start, length)?)
}
/// `torch.alias_copy`
pub fn alias_copy(self_: &Tensor) -> Result<Tensor> {
    copied(self_.clone())
}
/// `torch.as_strided_copy`
pub fn as_strided_copy(
    self_: &Tensor,
    size: &[i64],
    stride: &[i64],
    storage_offset: Option<i64>,
) -> Result<Tensor> {
    copied(shape::as_strided(self_, size, stride, storage_offset)?)
}
/// `torch.unbind_copy`
pub fn unbind_copy(self_: &Tensor, dim: i64) -> Result<Vec<Tensor>> {
    shape::unbind(self_, dim)?.into_iter().map(copied).collect()
}
/// `torch.split_copy`
pub fn split_copy(self_: &Tensor, split_size: i64, dim: i64) -> Result<Vec<Tensor>> {
    shape::split(self_, split_size, dim)?.into_iter().map(copied).collect()
}
/// `torch.split_with_sizes_copy`
pub fn split_with_sizes_copy(self_: &Tensor, split_sizes: &[i64], dim: i64) -> Result<Vec<Tensor>> {
    shape::split_with_sizes(self_, split_sizes, dim)?.into_iter().map(copied).collect()
}
/// `torch.view_as_real_copy`
pub fn view_as_real_copy(self_: &Tensor) -> Result<Tensor> {
    copied(crate::ops::convert::view_as_real(self_)?)
}
/// `torch.view_as_complex_copy`
pub fn view_as_complex_copy(self_: &Tensor) -> Result<Tensor> {
    copied(crate::ops::convert::view_as_complex(self_)?)
}
/// `torch.detach_copy`
pub fn detach_copy(self_: &Tensor) -> Result<Tensor> {
    copied(self_.alias())
}
