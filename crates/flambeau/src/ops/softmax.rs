//! Softmax and its relatives.

use crate::Tensor;
use crate::autograd::{Save, grad_enabled, record};
use crate::generated::functions as f;
use crate::ops::reduce::{self, Geometry};
use crate::ops::{operand, shape};
use flambeau_core::{DType, Result, bail, wrap_dim};
use flambeau_cpu::reduce as kernels;
use smallvec::smallvec;

fn normalise(self_: &Tensor, dim: i64, dtype: Option<DType>, log: bool) -> Result<Tensor> {
    let x = match dtype {
        Some(dtype) => shape::to_dtype(self_, dtype)?,
        None => self_.clone(),
    };
    let a = x.array();
    let d = wrap_dim(dim, a.dim())?;
    if !a.dtype.is_floating_point() {
        // The kernels of the last dimension have names of their own.
        let last = if d > 0 && d + 1 == a.dim() { "lastdim_" } else { "" };
        let kernel = format!("{}softmax_{last}kernel_impl", if log { "log_" } else { "" });
        bail!(NotImplemented, "\"{kernel}\" not implemented for '{}'", a.dtype.cpp_name());
    }
    let out = Tensor::empty_raw(&a.sizes, a.dtype, a.device())?;
    if !a.device().is_meta() {
        // SAFETY: a fresh output of the input's sizes.
        unsafe { kernels::softmax(&operand(&a), &operand(&out.array()), &a.sizes, d, log)? };
    }
    let name = if log { "LogSoftmaxBackward0" } else { "SoftmaxBackward0" };
    record(&[&out], name, &[&x], &[Save::Output(0)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        Ok(smallvec![Some(softmax_backward(grad, &ctx.saved(0)?, dim, log)?)])
    })?;
    Ok(out)
}

/// The gradient, fused where it is not differentiated itself.
fn softmax_backward(grad: &Tensor, result: &Tensor, dim: i64, log: bool) -> Result<Tensor> {
    if !(grad_enabled() && (grad.requires_grad() || result.requires_grad())) && grad.dtype() == result.dtype()
    {
        let (g, y) = (grad.array(), result.array());
        let out = Tensor::empty_raw(&y.sizes, y.dtype, y.device())?;
        if !y.device().is_meta() {
            let d = wrap_dim(dim, y.dim())?;
            let to = operand(&out.array());
            // SAFETY: a fresh output; gradient and result have the same sizes.
            unsafe { kernels::softmax_backward(&operand(&g), &operand(&y), &to, &y.sizes, d, log)? };
        }
        return Ok(out);
    }
    if log {
        let total = reduce::sum_dim(grad, Some(&[dim]), true, None)?;
        return f::sub(grad, &f::mul(&f::exp(result)?, &total)?, 1i64.into());
    }
    let weighted = f::mul(grad, result)?;
    let total = reduce::sum_dim(&weighted, Some(&[dim]), true, None)?;
    f::sub(&weighted, &f::mul(result, &total)?, 1i64.into())
}

/// `torch.softmax`
pub fn softmax(self_: &Tensor, dim: i64, dtype: Option<DType>) -> Result<Tensor> {
    normalise(self_, dim, dtype, false)
}

/// `torch.log_softmax`
pub fn log_softmax(self_: &Tensor, dim: i64, dtype: Option<DType>) -> Result<Tensor> {
    normalise(self_, dim, dtype, true)
}

/// The dimension that `nn.functional` takes when none is given.
fn implicit_dim(name: &str, self_: &Tensor, dim: Option<i64>) -> i64 {
    dim.unwrap_or_else(|| {
        crate::warn(&format!(
            "Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument."
        ));
        if matches!(self_.dim(), 0 | 1 | 3) { 0 } else { 1 }
    })
}

/// `nn.functional.softmax`
pub fn softmax_functional(
    input: &Tensor,
    dim: Option<i64>,
    _stacklevel: i64,
    dtype: Option<DType>,
) -> Result<Tensor> {
    softmax(input, implicit_dim("softmax", input, dim), dtype)
}

/// `nn.functional.log_softmax`
pub fn log_softmax_functional(
    input: &Tensor,
    dim: Option<i64>,
    _stacklevel: i64,
    dtype: Option<DType>,
) -> Result<Tensor> {
    log_softmax(input, implicit_dim("log_softmax", input, dim), dtype)
}

/// `nn.functional.softmin`: softmax of the negated input.
pub fn softmin(input: &Tensor, dim: Option<i64>, _stacklevel: i64, dtype: Option<DType>) -> Result<Tensor> {
    let dim = implicit_dim("softmin", input, dim);
    softmax(&f::neg(input)?, dim, dtype)
}

/// `torch.logsumexp`
pub fn logsumexp(self_: &Tensor, dim: &[i64], keepdim: bool) -> Result<Tensor> {
    let x = if self_.dtype().is_integral_or_bool() {
        shape::to_dtype(self_, crate::default_dtype())?
    } else {
        self_.clone()
    };
    let g = Geometry::new(&x.sizes(), Some(dim), keepdim)?;
    let dims = g.dims();
    let raw = x.alias();
    let out = if let (&[d], true) = (&dims[..], raw.numel() > 0 && raw.is_floating_point()) {
        let a = raw.array();
        // SAFETY: operands of the geometry's sizes.
        g.compute(&a, a.dtype, |src, to| unsafe { kernels::logsumexp(src, to, &g.sizes, d as usize) })?
    } else if raw.numel() == 0 {
        f::log(&reduce::sum_dim(&f::exp(&raw)?, Some(&dims), keepdim, None)?)?
    } else {
        let magnitude = if raw.is_complex() { raw.alias_as(raw.array().component(0)) } else { raw.clone() };
        let high = reduce::amax(&magnitude, &dims, true)?;
        // An infinite maximum would make NaN of a difference.
        let high = reduce::zero_where(&f::isinf(&high)?, &high)?;
        let total = reduce::sum_dim(&f::exp(&f::sub(&raw, &high, 1i64.into())?)?, Some(&dims), true, None)?;
        let sum = f::add(&f::log(&total)?, &high, 1i64.into())?;
        shape::view(&sum, &g.result())?
    };
    record(&[&out], "LogsumexpBackward0", &[&x], &[Save::Input(&x), Save::Output(0)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        let (x, result) = (ctx.saved(0)?, g.unreduce(&ctx.saved(1)?)?);
        let weight = reduce::conj(&f::exp(&f::sub(&x, &result, 1i64.into())?)?)?;
        Ok(smallvec![Some(f::mul(&g.unreduce(grad)?, &weight)?)])
    })?;
    Ok(out)
}
