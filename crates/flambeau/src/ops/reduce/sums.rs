//! Sums and means.

use super::Geometry;
use crate::Tensor;
use crate::autograd::{Save, record};
use crate::generated::functions as f;
use crate::ops::shape;
use flambeau_core::{DType, Result, bail};
use smallvec::smallvec;

/// The dtype of a sum or product: integers add up in `int64`.
pub(super) fn sum_dtype(input: DType, dtype: Option<DType>) -> DType {
    dtype.unwrap_or(if input.is_integral_or_bool() { DType::Int64 } else { input })
}

/// `torch.sum` over all elements.
pub fn sum(self_: &Tensor, dtype: Option<DType>) -> Result<Tensor> {
    if self_.is_sparse() {
        return crate::ops::sparse::sum(self_, dtype);
    }
    sum_as("SumBackward0", self_, None, false, dtype)
}

/// `torch.sum` over dimensions (all of them if `dim` is none or empty).
pub fn sum_dim(self_: &Tensor, dim: Option<&[i64]>, keepdim: bool, dtype: Option<DType>) -> Result<Tensor> {
    if self_.is_sparse() {
        return crate::ops::sparse::sum_dim(self_, dim, keepdim, dtype);
    }
    sum_as("SumBackward1", self_, dim, keepdim, dtype)
}

fn sum_as(
    name: &'static str,
    self_: &Tensor,
    dim: Option<&[i64]>,
    keepdim: bool,
    dtype: Option<DType>,
) -> Result<Tensor> {
    if dtype == Some(DType::Bool) && self_.dtype() != DType::Bool {
        // Fractions are true, though they are cut off on the way to an integer.
        return sum_as(name, &shape::to_dtype(self_, DType::Bool)?, dim, keepdim, dtype);
    }
    let input = self_.array();
    let g = Geometry::new(&input.sizes, dim, keepdim)?;
    let result = sum_dtype(input.dtype, dtype);
    // SAFETY: operands of the geometry's sizes.
    let out = g.compute(&input, result, |src, to| unsafe {
        flambeau_cpu::reduce::sum(src, to, &g.sizes, &g.mask, false, None)
    })?;
    record(&[&out], name, &[self_], &[], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        Ok(smallvec![Some(g.expand(grad)?)])
    })?;
    Ok(out)
}

/// `torch.nansum`: NaN counts as 0.
pub fn nansum(self_: &Tensor, dim: Option<&[i64]>, keepdim: bool, dtype: Option<DType>) -> Result<Tensor> {
    let input = self_.array();
    if input.dtype.is_complex() {
        bail!(NotImplemented, "nansum on CPU does not support complex inputs");
    }
    if input.dtype.is_integral_or_bool() {
        return sum_as("SumBackward1", self_, dim, keepdim, dtype);
    }
    let g = Geometry::new(&input.sizes, dim, keepdim)?;
    let result = dtype.unwrap_or(input.dtype);
    // SAFETY: operands of the geometry's sizes.
    let out = g.compute(&input, result, |src, to| unsafe {
        flambeau_cpu::reduce::sum(src, to, &g.sizes, &g.mask, true, None)
    })?;
    record(&[&out], "NansumBackward0", &[self_], &[Save::Input(self_)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        let numbers = f::logical_not(&f::isnan(&ctx.saved(0)?)?)?;
        Ok(smallvec![Some(f::mul(&g.expand(grad)?, &numbers)?)])
    })?;
    Ok(out)
}

/// The dtype of a mean.
fn mean_dtype(input: DType, dtype: Option<DType>) -> Result<DType> {
    let result = dtype.unwrap_or(input);
    if !result.is_differentiable() {
        let which = if dtype.is_some() { "Optional" } else { "Input" };
        bail!(
            NotImplemented,
            "mean(): could not infer output dtype. {which} dtype must be either a floating point or complex dtype. Got: {}",
            result.cpp_name()
        );
    }
    Ok(result)
}

/// `torch.mean` over all elements.
pub fn mean(self_: &Tensor, dtype: Option<DType>) -> Result<Tensor> {
    mean_as("MeanBackward0", self_, None, false, dtype)
}

/// `torch.mean` over dimensions.
pub fn mean_dim(self_: &Tensor, dim: Option<&[i64]>, keepdim: bool, dtype: Option<DType>) -> Result<Tensor> {
    mean_as("MeanBackward1", self_, dim, keepdim, dtype)
}

fn mean_as(
    name: &'static str,
    self_: &Tensor,
    dim: Option<&[i64]>,
    keepdim: bool,
    dtype: Option<DType>,
) -> Result<Tensor> {
    let input = self_.array();
    let result = mean_dtype(input.dtype, dtype)?;
    let g = Geometry::new(&input.sizes, dim, keepdim)?;
    let n = g.count();
    // SAFETY: operands of the geometry's sizes.
    let out = g.compute(&input, result, |src, to| unsafe {
        flambeau_cpu::reduce::sum(src, to, &g.sizes, &g.mask, false, Some(n as f64))
    })?;
    record(&[&out], name, &[self_], &[], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        // Divided before it is expanded: one division for each result.
        let grad = f::div_scalar(grad, n.into())?;
        Ok(smallvec![Some(g.expand(&grad)?)])
    })?;
    Ok(out)
}

/// `torch.nanmean`: the mean of the elements that are not NaN.
pub fn nanmean(self_: &Tensor, dim: Option<&[i64]>, keepdim: bool, dtype: Option<DType>) -> Result<Tensor> {
    if !self_.dtype().is_differentiable() {
        bail!(
            NotImplemented,
            "nanmean(): expected input to have floating point or complex dtype but got {}",
            self_.dtype().cpp_name()
        );
    }
    let numbers = f::logical_not(&f::isnan(&self_.alias())?)?;
    let count = sum_dim(&numbers, dim, keepdim, None)?;
    f::div(&nansum(self_, dim, keepdim, dtype)?, &count)
}
