//! Running sums, products, extremes and logarithms of sums of exponentials.

use crate::Tensor;
use crate::autograd::{Save, grad_enabled, record};
use crate::generated::functions as f;
use crate::ops::reduce::{self, conj, has_zero, record_selection, shifted, zero_where};
use crate::ops::{creation, operand, shape};
use flambeau_core::{DType, Result, Scalar, bail, wrap_dim};
use flambeau_cpu::reduce::{Scan, scan};
use smallvec::smallvec;

/// Runs a scan without history.
fn run(
    what: Scan,
    self_: &Tensor,
    dim: i64,
    dtype: DType,
    reverse: bool,
) -> Result<(Tensor, Option<Tensor>)> {
    let a = self_.array();
    let d = wrap_dim(dim, a.dim())?;
    let out = Tensor::empty_raw(&a.sizes, dtype, a.device())?;
    let indices = match what {
        Scan::Max | Scan::Min => Some(Tensor::empty_raw(&a.sizes, DType::Int64, a.device())?),
        _ => None,
    };
    if !a.device().is_meta() {
        let (to, at) = (operand(&out.array()), indices.as_ref().map(|i| operand(&i.array())));
        // SAFETY: fresh outputs of the input's sizes.
        unsafe { scan(what, &operand(&a), &to, at.as_ref(), &a.sizes, d, reverse)? };
    }
    Ok((out, indices))
}

fn sum_dtype(op: &str, input: DType, dtype: Option<DType>) -> Result<DType> {
    let dtype = dtype.unwrap_or(if input.is_integral_or_bool() { DType::Int64 } else { input });
    if matches!(dtype, DType::Bool | DType::UInt16 | DType::UInt32 | DType::UInt64) {
        bail!(NotImplemented, "\"{op}_out_cpu\" not implemented for '{}'", dtype.cpp_name());
    }
    Ok(dtype)
}

/// `torch.cumsum`
pub fn cumsum(self_: &Tensor, dim: i64, dtype: Option<DType>) -> Result<Tensor> {
    running_sum(self_, dim, sum_dtype("cumsum", self_.dtype(), dtype)?, false)
}

fn running_sum(self_: &Tensor, dim: i64, dtype: DType, reverse: bool) -> Result<Tensor> {
    let (out, _) = run(Scan::Sum, self_, dim, dtype, reverse)?;
    record(&[&out], "CumsumBackward0", &[self_], &[], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        Ok(smallvec![Some(running_sum(grad, dim, grad.dtype(), !reverse)?)])
    })?;
    Ok(out)
}

/// `torch.cumprod`
pub fn cumprod(self_: &Tensor, dim: i64, dtype: Option<DType>) -> Result<Tensor> {
    running_product(self_, dim, sum_dtype("cumprod", self_.dtype(), dtype)?, false)
}

fn running_product(self_: &Tensor, dim: i64, dtype: DType, reverse: bool) -> Result<Tensor> {
    let (out, _) = run(Scan::Prod, self_, dim, dtype, reverse)?;
    record(&[&out], "CumprodBackward0", &[self_], &[Save::Input(self_), Save::Output(0)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        let x = shape::to_dtype(&ctx.saved(0)?, dtype)?;
        Ok(smallvec![Some(product_backward(grad, &x, &ctx.saved(1)?, dim, reverse)?)])
    })?;
    Ok(out)
}

/// The gradient of a running product. An element's derivative is the sum of all products that contain it, divided
/// by it, unless it is zero.
fn product_backward(grad: &Tensor, x: &Tensor, result: &Tensor, dim: i64, reverse: bool) -> Result<Tensor> {
    let dtype = x.dtype();
    let back = |t: &Tensor| running_sum(t, dim, t.dtype(), !reverse);
    let quotient = |result: &Tensor| f::div(&back(&f::mul(grad, &conj(result)?)?)?, &conj(x)?);
    if x.is_meta() || !has_zero(x)? {
        return quotient(result);
    }
    let (one, zeros) = (creation::scalar_tensor(1i64.into(), dtype)?, f::eq_scalar(&x.alias(), 0i64.into())?);
    let count = run(Scan::Sum, &zeros, dim, DType::Int64, reverse)?.0;
    if !grad_enabled() {
        // Up to the first zero of a line the quotient holds; there the products without it count; beyond all are 0.
        let before = f::eq_scalar(&count, 0i64.into())?;
        let first = f::logical_and(&f::eq_scalar(&count, 1i64.into())?, &zeros)?;
        let without = running_product(&f::where_(&first, &one, x)?, dim, dtype, reverse)?;
        let at_first = back(&f::mul(grad, &conj(&without)?)?)?;
        let rest = zero_where(&f::logical_not(&first)?, &at_first)?;
        return f::where_(&before, &quotient(result)?, &rest);
    }
    // The derivative of that would miss what a zero hides, so every element is left out in its turn.
    let positions = {
        let ones = f::eq(&count, &count)?;
        f::sub_scalar(&run(Scan::Sum, &ones, dim, DType::Int64, reverse)?.0, 1i64.into(), 1i64.into())?
    };
    let n = x.sizes().get(wrap_dim(dim, x.dim())?).copied().unwrap_or(1);
    let mut total: Option<Tensor> = None;
    for k in 0..n {
        let here = f::eq_scalar(&positions, k.into())?;
        let products = running_product(&f::where_(&here, &one, x)?, dim, dtype, reverse)?;
        let from_here = f::ge_scalar(&positions, k.into())?;
        let terms = f::mul(&f::mul(grad, &conj(&products)?)?, &from_here)?;
        let part = f::mul(&reduce::sum_dim(&terms, Some(&[dim]), true, None)?, &here)?;
        total = Some(match total {
            Some(t) => f::add(&t, &part, 1i64.into())?,
            None => part,
        });
    }
    match total {
        Some(t) => Ok(t),
        None => Ok(grad.clone()),
    }
}

/// For each element the product of all others along `dim`.
pub(crate) fn others_product(x: &Tensor, dim: i64) -> Result<Tensor> {
    let before = running_product(&shifted(x, dim, true, Scalar::Int(1))?, dim, x.dtype(), false)?;
    let after = running_product(&shifted(x, dim, false, Scalar::Int(1))?, dim, x.dtype(), true)?;
    f::mul(&before, &after)
}

fn running_extreme(self_: &Tensor, dim: i64, what: Scan) -> Result<(Tensor, Tensor)> {
    let (name, kernel) = match what {
        Scan::Max => ("CummaxBackward0", "cummax_cpu"),
        _ => ("CumminBackward0", "cummin_cpu"),
    };
    wrap_dim(dim, self_.dim())?;
    reduce::check_ordered(self_.dtype(), kernel)?;
    match run(what, self_, dim, self_.dtype(), false)? {
        (values, Some(indices)) => {
            record_selection(name, self_, &values, &indices, dim, true)?;
            Ok((values, indices))
        }
        _ => bail!("a running extreme has positions"),
    }
}

/// `torch.cummax`: the largest element so far and its last position.
pub fn cummax(self_: &Tensor, dim: i64) -> Result<(Tensor, Tensor)> {
    running_extreme(self_, dim, Scan::Max)
}

/// `torch.cummin`
pub fn cummin(self_: &Tensor, dim: i64) -> Result<(Tensor, Tensor)> {
    running_extreme(self_, dim, Scan::Min)
}

/// `torch.logcumsumexp`
pub fn logcumsumexp(self_: &Tensor, dim: i64) -> Result<Tensor> {
    wrap_dim(dim, self_.dim())?;
    if !self_.dtype().is_differentiable() {
        bail!(NotImplemented, "\"logcumsumexp_out_cpu\" not implemented for '{}'", self_.dtype().cpp_name());
    }
    running_log(self_, dim, false)
}

fn running_log(self_: &Tensor, dim: i64, reverse: bool) -> Result<Tensor> {
    let (out, _) = run(Scan::LogSumExp, self_, dim, self_.dtype(), reverse)?;
    record(&[&out], "LogcumsumexpBackward0", &[self_], &[Save::Input(self_), Save::Output(0)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        let (x, result) = (ctx.saved(0)?, ctx.saved(1)?);
        // sum over i >= k of grad_i exp(x_k - result_i), in logarithms so that nothing overflows.
        let weighted = |terms: &Tensor| -> Result<Tensor> {
            f::exp(&f::add(&running_log(terms, dim, !reverse)?, &x, 1i64.into())?)
        };
        let over_result = |log_grad: Tensor| f::sub(&log_grad, &result, 1i64.into());
        if grad.is_complex() {
            let terms = over_result(f::log(&conj(grad)?)?)?;
            return Ok(smallvec![Some(conj(&weighted(&terms)?)?)]);
        }
        // Positive and negative gradients apart, as logarithms have no sign. What is left out must not depend on
        // the result, which may be infinite.
        let nothing = creation::scalar_tensor(f64::NEG_INFINITY.into(), grad.dtype())?;
        let positive = f::gt_scalar(&grad.alias(), 0i64.into())?;
        let negative = f::lt_scalar(&grad.alias(), 0i64.into())?;
        let gain = weighted(&f::where_(&positive, &over_result(f::log(grad)?)?, &nothing)?)?;
        let loss = weighted(&f::where_(&negative, &over_result(f::log(&f::neg(grad)?)?)?, &nothing)?)?;
        Ok(smallvec![Some(f::sub(&gain, &loss, 1i64.into())?)])
    })?;
    Ok(out)
}
