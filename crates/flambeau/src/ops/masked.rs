//! Reductions that leave masked elements out: `torch.masked`.

use crate::Tensor;
use crate::generated::functions as f;
use crate::ops::reduce::{self, Geometry};
use crate::ops::{creation, cumulative, index, shape, softmax, sort};
use flambeau_core::{DType, Dims, Result, Scalar, bail};

/// A mask as `bool`, of the input's shape; all true if there is none.
fn mask_of(input: &Tensor, mask: Option<&Tensor>) -> Result<Option<Tensor>> {
    let Some(mask) = mask else { return Ok(None) };
    let mask = shape::to_dtype(&mask.alias(), DType::Bool)?;
    let sizes = input.sizes();
    // A mask of more dimensions would reduce to another shape.
    if mask.dim() > sizes.len() {
        bail!("_input_mask expected broadcastable mask (got mask dimensionality higher than of the input)");
    }
    Ok(Some(shape::expand(&mask, &sizes)?))
}

/// The input with an identity where it is masked out.
fn filled(input: &Tensor, mask: Option<&Tensor>, identity: Scalar) -> Result<Tensor> {
    match mask_of(input, mask)? {
        Some(mask) => f::where_(&mask, input, &creation::scalar_tensor(identity, input.dtype())?),
        None => Ok(input.clone()),
    }
}

fn converted(input: &Tensor, dtype: Option<DType>) -> Result<Tensor> {
    match dtype {
        Some(dtype) => shape::to_dtype(input, dtype),
        None => Ok(input.clone()),
    }
}

fn summed_dtype(input: &Tensor, dtype: Option<DType>) -> DType {
    let own = input.dtype();
    dtype.unwrap_or(if own.is_integral_or_bool() { DType::Int64 } else { own })
}

/// Least or greatest value of a dtype.
fn bound(op: &str, dtype: DType, least: bool) -> Result<Scalar> {
    Ok(match dtype {
        dtype if dtype.is_floating_point() => (if least { f64::NEG_INFINITY } else { f64::INFINITY }).into(),
        DType::Bool => bail!(NotImplemented, "identity of {op} on torch.bool input"),
        dtype if dtype.is_complex() => bail!(NotImplemented, "identity of {op} on {dtype} input"),
        DType::UInt64 if !least => Scalar::UInt(u64::MAX),
        dtype => {
            let bits = 8 * dtype.size() as u32;
            let (low, high) = if dtype.is_signed() {
                (i64::MIN >> (64 - bits), i64::MAX >> (64 - bits))
            } else {
                (0, (u64::MAX >> (64 - bits)) as i64)
            };
            Scalar::Int(if least { low } else { high })
        }
    })
}

/// `masked.sum`
pub fn sum(
    input: &Tensor,
    dim: Option<&[i64]>,
    keepdim: Option<bool>,
    dtype: Option<DType>,
    mask: Option<&Tensor>,
) -> Result<Tensor> {
    let x = filled(&shape::to_dtype(input, summed_dtype(input, dtype))?, mask, Scalar::Int(0))?;
    reduce::sum_dim(&x, dim, keepdim.unwrap_or(false), Some(x.dtype()))
}

/// `masked.prod`
pub fn prod(
    input: &Tensor,
    dim: Option<&[i64]>,
    keepdim: Option<bool>,
    dtype: Option<DType>,
    mask: Option<&Tensor>,
) -> Result<Tensor> {
    let mut x = filled(&shape::to_dtype(input, summed_dtype(input, dtype))?, mask, Scalar::Int(1))?;
    let g = Geometry::new(&x.sizes(), dim, true)?;
    for d in g.dims() {
        x = reduce::prod_dim_int(&x, d, true, Some(x.dtype()))?;
    }
    shape::view(&x, &Geometry { keepdim: keepdim.unwrap_or(false), ..g }.result())
}

macro_rules! extremum {
    ($name:ident, $arg:ident, $op:literal, $arg_op:literal, $least:literal) => {
        /// The extreme of the elements that are not masked out.
        pub fn $name(
            input: &Tensor,
            dim: Option<&[i64]>,
            keepdim: Option<bool>,
            dtype: Option<DType>,
            mask: Option<&Tensor>,
        ) -> Result<Tensor> {
            let x = converted(input, dtype)?;
            let x = filled(&x, mask, bound($op, x.dtype(), $least)?)?;
            reduce::$name(&x, dim.unwrap_or(&[]), keepdim.unwrap_or(false))
        }
        /// The position of the extreme of the elements that are not masked out.
        pub fn $arg(
            input: &Tensor,
            dim: Option<i64>,
            keepdim: Option<bool>,
            dtype: Option<DType>,
            mask: Option<&Tensor>,
        ) -> Result<Tensor> {
            let x = filled(&input.alias(), mask, bound($arg_op, input.dtype(), $least)?)?;
            let at = reduce::$arg(&x, dim, keepdim.unwrap_or(false))?;
            // The reference converts positions to the input's dtype.
            shape::to_dtype(&at, dtype.unwrap_or(input.dtype()))
        }
    };
}
extremum!(amax, argmax, "amax", "argmax", true);
extremum!(amin, argmin, "amin", "argmin", false);

/// Number of elements that are not masked out, for each result.
fn count(input: &Tensor, dim: Option<&[i64]>, keepdim: bool, mask: Option<&Tensor>) -> Result<Tensor> {
    match mask_of(input, mask)? {
        Some(mask) => reduce::sum_dim(&mask, dim, keepdim, Some(DType::Int64)),
        None => {
            let g = Geometry::new(&input.sizes(), dim, keepdim)?;
            let n = creation::scalar_tensor(g.count().into(), DType::Int64)?;
            shape::expand(&n, &g.result())
        }
    }
}

/// `masked.mean`
pub fn mean(
    input: &Tensor,
    dim: Option<&[i64]>,
    keepdim: Option<bool>,
    dtype: Option<DType>,
    mask: Option<&Tensor>,
) -> Result<Tensor> {
    let result = dtype.unwrap_or(input.dtype());
    if !result.is_differentiable() {
        bail!(
            Value,
            "mean(): Could not infer output dtype. Input dtype must be either a floating point or complex dtype. Got: {result}"
        );
    }
    let keepdim = keepdim.unwrap_or(false);
    if mask.is_none() {
        return reduce::mean_dim(input, dim, keepdim, dtype);
    }
    let x = filled(&shape::to_dtype(input, result)?, mask, Scalar::Int(0))?;
    f::div(&reduce::sum_dim(&x, dim, keepdim, Some(result))?, &count(input, dim, keepdim, mask)?)
}

/// `masked.median`
pub fn median(
    input: &Tensor,
    dim: i64,
    keepdim: bool,
    dtype: Option<DType>,
    mask: Option<&Tensor>,
) -> Result<Tensor> {
    let x = converted(input, dtype)?;
    if x.dtype().is_floating_point() {
        let x = filled(&x, mask, f64::NAN.into())?;
        return Ok(sort::nanmedian_dim(&x, dim, keepdim)?.0);
    }
    match mask_of(&x, mask)? {
        None => Ok(sort::median_dim(&x, dim, keepdim)?.0),
        Some(mask) => {
            if !reduce::all(&reduce::any_dim(&mask, dim, false)?)?.item()?.to_bool() {
                bail!(Value, "masked median expects no fully masked out rows if dtype is not floating point");
            }
            // Doubles hold every integer that is not very large.
            let wide = filled(&shape::to_dtype(&x, DType::Float64)?, Some(&mask), f64::NAN.into())?;
            let at = sort::nanmedian_dim(&wide, dim, true)?.1;
            let picked = index::gather(&x, dim, &at, false)?;
            let g = Geometry::new(&x.sizes(), Some(&[dim]), keepdim)?;
            shape::view(&picked, &g.result())
        }
    }
}

/// `masked.norm`
pub fn norm(
    input: &Tensor,
    ord: Option<f64>,
    dim: Option<&[i64]>,
    keepdim: Option<bool>,
    dtype: Option<DType>,
    mask: Option<&Tensor>,
) -> Result<Tensor> {
    let ord = ord.unwrap_or(2.0);
    let identity = if ord < 0.0 { f64::INFINITY.into() } else { Scalar::Int(0) };
    let x = filled(&converted(input, dtype)?, mask, identity)?;
    reduce::linalg_vector_norm(&x, ord.into(), dim, keepdim.unwrap_or(false), dtype)
}

fn spread(
    input: &Tensor,
    dim: Option<&[i64]>,
    correction: f64,
    keepdim: bool,
    dtype: Option<DType>,
    mask: Option<&Tensor>,
    root: bool,
) -> Result<Tensor> {
    let own = input.dtype();
    let result = dtype.unwrap_or(if own.is_integral_or_bool() { DType::Float32 } else { own });
    if !result.is_differentiable() {
        let op = if root { "std" } else { "var" };
        bail!(
            Value,
            "{op}(): Could not infer output dtype. Optional dtype must be either a floating point or complex dtype. Got: {result}"
        );
    }
    let x = filled(&shape::to_dtype(input, result)?, mask, Scalar::Int(0))?;
    let n = count(input, dim, true, mask)?;
    let mean = f::div(&reduce::sum_dim(&x, dim, true, Some(result))?, &n)?;
    let difference = filled(&f::sub(&x, &mean, 1i64.into())?, mask, Scalar::Int(0))?;
    let squares = f::mul(&difference, &reduce::conj(&difference)?)?;
    let total = reduce::sum_dim(&squares, dim, keepdim, Some(result))?;
    let g = Geometry::new(&x.sizes(), dim, keepdim)?;
    let n = shape::view(&shape::dense(&n)?, &g.result())?;
    let divisor = f::sub_scalar(&shape::to_dtype(&n, result.to_real())?, correction.into(), 1i64.into())?;
    let divisor = f::clamp_min(&divisor, Scalar::Int(0))?;
    let out = f::div(&total, &divisor)?;
    if root { f::sqrt(&out) } else { Ok(out) }
}

fn correction_of(unbiased: Option<bool>, correction: Option<Scalar>) -> Result<f64> {
    match (unbiased, correction) {
        (Some(_), Some(_)) => bail!(Value, "Only one of unbiased and correction may be given"),
        (Some(unbiased), None) => Ok(unbiased as i64 as f64),
        (None, correction) => Ok(correction.map_or(1.0, Scalar::to_f64)),
    }
}

macro_rules! spreads {
    ($($name:ident $root:literal;)*) => { $(
        #[doc = concat!("`masked.", stringify!($name), "`")]
        pub fn $name(
            input: &Tensor,
            dim: Option<&[i64]>,
            unbiased: Option<bool>,
            correction: Option<Scalar>,
            keepdim: Option<bool>,
            dtype: Option<DType>,
            mask: Option<&Tensor>,
        ) -> Result<Tensor> {
            let correction = correction_of(unbiased, correction)?;
            spread(input, dim, correction, keepdim.unwrap_or(false), dtype, mask, $root)
        }
    )* };
}
spreads! {
    var false;
    std true;
}

/// `masked.cumsum`
pub fn cumsum(input: &Tensor, dim: i64, dtype: Option<DType>, mask: Option<&Tensor>) -> Result<Tensor> {
    let x = filled(&shape::to_dtype(input, summed_dtype(input, dtype))?, mask, Scalar::Int(0))?;
    cumulative::cumsum(&x, dim, Some(x.dtype()))
}

/// `masked.cumprod`
pub fn cumprod(input: &Tensor, dim: i64, dtype: Option<DType>, mask: Option<&Tensor>) -> Result<Tensor> {
    let x = filled(&shape::to_dtype(input, summed_dtype(input, dtype))?, mask, Scalar::Int(1))?;
    cumulative::cumprod(&x, dim, Some(x.dtype()))
}

/// `masked.softmax`
pub fn softmax(input: &Tensor, dim: i64, dtype: Option<DType>, mask: Option<&Tensor>) -> Result<Tensor> {
    let x = converted(input, dtype)?;
    softmax::softmax(&filled(&x, mask, bound("amax", x.dtype(), true)?)?, dim, None)
}

/// `masked.log_softmax`
pub fn log_softmax(input: &Tensor, dim: i64, dtype: Option<DType>, mask: Option<&Tensor>) -> Result<Tensor> {
    let x = converted(input, dtype)?;
    softmax::log_softmax(&filled(&x, mask, bound("amax", x.dtype(), true)?)?, dim, None)
}

/// `masked.softmin`
pub fn softmin(input: &Tensor, dim: i64, dtype: Option<DType>, mask: Option<&Tensor>) -> Result<Tensor> {
    let x = converted(input, dtype)?;
    let x = filled(&x, mask, bound("amin", x.dtype(), false)?)?;
    softmax::softmax(&f::neg(&x)?, dim, None)
}

/// `masked.normalize`
pub fn normalize(
    input: &Tensor,
    ord: f64,
    dim: i64,
    eps: f64,
    dtype: Option<DType>,
    mask: Option<&Tensor>,
) -> Result<Tensor> {
    let x = filled(&converted(input, dtype)?, mask, Scalar::Int(0))?;
    let length = norm(input, Some(ord), Some(&[dim]), Some(true), dtype, mask)?;
    f::div(&x, &f::clamp_min(&length, eps.into())?)
}

/// `masked.logaddexp`
pub fn logaddexp(
    input: &Tensor,
    other: &Tensor,
    dtype: Option<DType>,
    input_mask: Option<&Tensor>,
    other_mask: Option<&Tensor>,
) -> Result<Tensor> {
    let side = |t: &Tensor, mask| filled(&converted(t, dtype)?, mask, f64::NEG_INFINITY.into());
    f::logaddexp(&side(input, input_mask)?, &side(other, other_mask)?)
}

/// `masked.logsumexp`
pub fn logsumexp(
    input: &Tensor,
    dim: Option<&[i64]>,
    keepdim: bool,
    dtype: Option<DType>,
    mask: Option<&Tensor>,
) -> Result<Tensor> {
    let x = converted(input, dtype)?;
    let dims: Dims = Geometry::new(&x.sizes(), dim, keepdim)?.dims();
    if x.dtype().is_integral_or_bool() {
        // Masked elements count as the least integer, and the result is cut off to one.
        let x = filled(&x, mask, bound("logsumexp", x.dtype(), true)?)?;
        return shape::to_dtype(&softmax::logsumexp(&x, &dims, keepdim)?, x.dtype());
    }
    softmax::logsumexp(&filled(&x, mask, f64::NEG_INFINITY.into())?, &dims, keepdim)
}
