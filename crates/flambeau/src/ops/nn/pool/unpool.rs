//! The inverse of maximum pooling.

use super::positions::{Origin, take};
use super::{check_dtype, planes, pooled, product, unsigned, with_spatial};
use crate::Tensor;
use crate::autograd::{Save, record};
use crate::ops::dense::Dense;
use crate::ops::shape;
use flambeau_core::{DType, Result, bail, show};
use flambeau_cpu::pool;
use smallvec::smallvec;

pub(super) fn unpool(self_: &Tensor, indices: &Tensor, output_size: &[i64], dims: usize) -> Result<Tensor> {
    let (sizes, dtype) = (self_.sizes(), self_.dtype());
    if output_size.len() != dims {
        let names =
            if dims == 2 { "two elements (height, width)" } else { "three elements (depth, height, width)" };
        bail!("There should be exactly {names} in output_size, but got {} elements.", output_size.len());
    }
    if indices.dtype() != DType::Int64 {
        bail!("elements in indices should be type int64 but got: {}", indices.dtype().cpp_name());
    }
    if sizes.len() != dims + 1 && sizes.len() != dims + 2 {
        bail!(
            "Input to max_unpooling{dims}d should be a {}d or {}d Tensor, but got a tensor with {} dimensions.",
            dims + 1,
            dims + 2,
            sizes.len()
        );
    }
    if indices.sizes() != sizes {
        bail!(
            "Expected shape of indices to be same as that of the input tensor ({}) but got indices tensor with shape: {}",
            show(&sizes),
            show(&indices.sizes())
        );
    }
    if let Some(empty) = (1..sizes.len()).find(|&d| sizes[d] == 0) {
        bail!(
            "max_unpooling{dims}d_forward_out_cpu(): Expected input to have non-zero size for non-batch dimensions, but got {} with dimension {empty} being empty.",
            show(&sizes)
        );
    }
    check_dtype(&format!("max_unpool{dims}d"), dtype, |d| d.is_floating_point())?;
    let spatial = unsigned(output_size)?;
    let to = with_spatial(&sizes, dims, &spatial);
    let out = pooled!(self_ => &to, |x, out| {
        let (planes, plane) = (planes(&sizes, dims), product(&sizes[sizes.len() - dims..])?);
        pool::max_unpool(planes, plane, &spatial, &x, &Dense::<i64>::of(indices)?, out)
    });
    let out = shape::in_format_of(out, &[self_])?;
    let name = if dims == 2 { "MaxUnpool2DBackward0" } else { "MaxUnpool3DBackward0" };
    record(&[&out], name, &[self_], &[Save::Input(indices)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        Ok(smallvec![Some(take(grad, &ctx.saved(0)?, dims, Origin::Unpool)?)])
    })?;
    Ok(out)
}

/// `torch.nn.functional.max_unpool2d`, given the output size.
pub fn max_unpool2d(self_: &Tensor, indices: &Tensor, output_size: &[i64]) -> Result<Tensor> {
    unpool(self_, indices, output_size, 2)
}

/// `torch.nn.functional.max_unpool3d`, given the output size; `stride` and `padding` are only checked.
pub fn max_unpool3d(
    self_: &Tensor,
    indices: &Tensor,
    output_size: &[i64],
    stride: &[i64],
    padding: &[i64],
) -> Result<Tensor> {
    if stride.len() != 3 {
        bail!(
            "There should be exactly three elements (depth, height, width) in stride, but got: {} elements.",
            stride.len()
        );
    }
    if padding.len() != 3 {
        bail!(
            "There should be exactly three elements (depth, height, width) in padding, but got: {} elements.",
            padding.len()
        );
    }
    if stride.iter().any(|&s| s <= 0) {
        bail!("strides should be greater than zero, but got stride: {}", show(stride));
    }
    unpool(self_, indices, output_size, 3)
}
