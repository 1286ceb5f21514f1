//! Elementwise operators that choose among pointwise ones, or look at the bits of numbers.

use crate::Tensor;
use crate::autograd::{Save, record};
use crate::generated::functions as f;
use crate::ops::shape::to_dtype;
use crate::pointwise::result_type;
use flambeau_core::{Array, DType, Dims, Init, Result, Scalar, bail, bf16, broadcast_shapes, f16};
use smallvec::smallvec;

#[cold]
fn bad_rounding<T>(mode: &str) -> Result<T> {
    bail!("div expected rounding_mode to be one of None, 'trunc', or 'floor' but found '{mode}'")
}

/// `torch.div` with `rounding_mode`.
pub fn div_mode(self_: &Tensor, other: &Tensor, rounding_mode: Option<&str>) -> Result<Tensor> {
    match rounding_mode {
        None => f::div(self_, other),
        Some("trunc") => f::_div_trunc(self_, other),
        Some("floor") => f::_div_floor(self_, other),
        Some(mode) => bad_rounding(mode),
    }
}

/// `torch.div` by a number with `rounding_mode`.
pub fn div_scalar_mode(self_: &Tensor, other: Scalar, rounding_mode: Option<&str>) -> Result<Tensor> {
    match rounding_mode {
        None => f::div_scalar(self_, other),
        Some("trunc") => f::_div_trunc_scalar(self_, other),
        Some("floor") => f::_div_floor_scalar(self_, other),
        Some(mode) => bad_rounding(mode),
    }
}

/// `torch.clamp` with tensors as limits.
pub fn clamp_tensor(self_: &Tensor, min: Option<&Tensor>, max: Option<&Tensor>) -> Result<Tensor> {
    match (min, max) {
        (Some(min), Some(max)) => f::_clamp_both(self_, min, max),
        (Some(min), None) => f::_clamp_lower(self_, min),
        (None, Some(max)) => f::_clamp_upper(self_, max),
        (None, None) => bail!("torch.clamp: At least one of 'min' or 'max' must not be None"),
    }
}

/// `torch.square`
pub fn square(self_: &Tensor) -> Result<Tensor> {
    f::pow_scalar(self_, Scalar::Int(2))
}

/// The largest finite number of a float dtype.
fn float_max(dtype: DType) -> f64 {
    match dtype {
        DType::Float16 => f16::MAX.to_f64(),
        DType::BFloat16 => bf16::MAX.to_f64(),
        DType::Float32 | DType::Complex64 => f32::MAX as f64,
        _ => f64::MAX,
    }
}

/// `torch.nan_to_num`; of complex numbers both parts are replaced.
pub fn nan_to_num(
    self_: &Tensor,
    nan: Option<f64>,
    posinf: Option<f64>,
    neginf: Option<f64>,
) -> Result<Tensor> {
    let dtype = self_.dtype();
    if dtype.is_integral_or_bool() {
        return crate::ops::shape::clone(self_, None);
    }
    let max = float_max(dtype);
    let nan = Scalar::Float(nan.unwrap_or(0.0));
    let posinf = Scalar::Float(posinf.unwrap_or(max));
    let neginf = Scalar::Float(neginf.unwrap_or(-max));
    if !dtype.is_complex() {
        return f::_nan_to_num(self_, nan, posinf, neginf);
    }
    let part = |which| self_.alias_as(self_.array().component(which));
    let re = f::_nan_to_num(&part(0), nan, posinf, neginf)?;
    let im = f::_nan_to_num(&part(1), nan, posinf, neginf)?;
    let out = complex(&re, &im)?;
    record(&[&out], "NanToNumBackward0", &[self_], &[Save::Input(self_)], |ctx| {
        Ok(smallvec![match ctx.grad(0) {
            Some(grad) => Some(f::mul(grad, &f::isfinite(&ctx.saved(0)?)?)?),
            None => None,
        }])
    })?;
    Ok(out)
}

/// The double precision dtype in which `float_power` computes.
fn double(complex: bool) -> DType {
    if complex { DType::Complex128 } else { DType::Float64 }
}

/// `torch.float_power`
pub fn float_power(self_: &Tensor, exponent: &Tensor) -> Result<Tensor> {
    let dtype = double(self_.is_complex() || exponent.is_complex());
    f::pow(&to_dtype(self_, dtype)?, &to_dtype(exponent, dtype)?)
}

/// `torch.float_power` with a number as exponent.
pub fn float_power_scalar(self_: &Tensor, exponent: Scalar) -> Result<Tensor> {
    f::pow_scalar(&to_dtype(self_, double(self_.is_complex() || exponent.is_complex()))?, exponent)
}

/// `torch.float_power` with a number as base.
pub fn scalar_float_power(self_: Scalar, exponent: &Tensor) -> Result<Tensor> {
    f::scalar_pow(self_, &to_dtype(exponent, double(self_.is_complex() || exponent.is_complex()))?)
}

/// `torch.mvlgamma`: the sum of `lgamma(self - j/2)` for j below `p`, and a constant.
pub fn mvlgamma(self_: &Tensor, p: i64) -> Result<Tensor> {
    if self_.dtype() == DType::Bool {
        bail!("The input tensor may not be a boolean tensor.");
    }
    if p < 1 {
        bail!("p has to be greater than or equal to 1");
    }
    // The sum has p terms; beyond this the call would not come back.
    if p > 1 << 16 {
        bail!("mvlgamma: p must be at most 65536, got {p}");
    }
    let constant = (p * (p - 1)) as f64 / 4.0 * std::f64::consts::PI.ln();
    let mut sum = f::lgamma(self_)?;
    for j in 1..p {
        let shifted = f::sub_scalar(self_, Scalar::Float(j as f64 / 2.0), Scalar::Int(1))?;
        sum = f::add(&sum, &f::lgamma(&shifted)?, Scalar::Int(1))?;
    }
    if p == 1 { Ok(sum) } else { f::add_scalar(&sum, Scalar::Float(constant), Scalar::Int(1)) }
}

/// `torch.nextafter`
pub fn nextafter(self_: &Tensor, other: &Tensor) -> Result<Tensor> {
    let dtype = result_type(&[self_, other]);
    if !matches!(dtype, DType::Float16 | DType::BFloat16) {
        return f::_nextafter(self_, other);
    }
    // Both half types count up from zero in sign and magnitude, so their bits can be stepped alike.
    let sizes = broadcast_shapes(&self_.sizes(), &other.sizes())?;
    let values = |t: &Tensor| -> Result<Vec<f64>> {
        crate::ops::shape::expand(&to_dtype(&t.alias(), dtype)?, &sizes)?.to_vec::<f64>()
    };
    let from_bits: fn(u16) -> f64 = if dtype == DType::Float16 {
        |b| f16::from_bits(b).to_f64()
    } else {
        |b| bf16::from_bits(b).to_f64()
    };
    let to_bits: fn(f64) -> u16 = if dtype == DType::Float16 {
        |v| f16::from_f64(v).to_bits()
    } else {
        |v| bf16::from_f64(v).to_bits()
    };
    let step = |a: f64, b: f64| {
        if a.is_nan() || b.is_nan() {
            f64::NAN
        } else if a == b {
            b
        } else if a == 0.0 {
            from_bits(if b > 0.0 { 1 } else { 0x8001 })
        } else {
            let bits = to_bits(a);
            from_bits(if (b > a) == (a > 0.0) { bits + 1 } else { bits - 1 })
        }
    };
    let stepped: Vec<f64> = values(self_)?.into_iter().zip(values(other)?).map(|(a, b)| step(a, b)).collect();
    let out = to_dtype(&Tensor::from_slice(&stepped, &sizes)?, dtype)?;
    record(
        &[&out],
        "NextafterBackward0",
        &[self_, other],
        &[Save::Input(self_), Save::Input(other)],
        |ctx| {
            let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None, None]) };
            let moved = f::ne(&ctx.saved(0)?, &ctx.saved(1)?)?;
            Ok(smallvec![Some(f::mul(grad, &moved)?), Some(f::mul_scalar(grad, Scalar::Int(0))?)])
        },
    )?;
    Ok(out)
}

/// Mantissa and exponent of a number, as C's `frexp`.
fn split_number(v: f64) -> (f64, i32) {
    if v == 0.0 || !v.is_finite() {
        return (v, 0);
    }
    let bits = v.to_bits();
    match (bits >> 52) as i32 & 0x7ff {
        0 => {
            let (m, e) = split_number(v * 2f64.powi(64));
            (m, e - 64)
        }
        e => (f64::from_bits(bits & !(0x7ff << 52) | 0x3fe << 52), e - 1022),
    }
}

/// `torch.frexp`
pub fn frexp(self_: &Tensor) -> Result<(Tensor, Tensor)> {
    let dtype = self_.dtype();
    if !dtype.is_floating_point() {
        bail!("torch.frexp() only supports floating-point dtypes");
    }
    let sizes = self_.sizes();
    let parts: Vec<(f64, i32)> = self_.to_vec::<f64>()?.into_iter().map(split_number).collect();
    let mantissas: Vec<f64> = parts.iter().map(|p| p.0).collect();
    let exponents: Vec<i32> = parts.iter().map(|p| p.1).collect();
    let mantissa = to_dtype(&Tensor::from_slice(&mantissas, &sizes)?, dtype)?;
    let exponent = Tensor::from_slice(&exponents, &sizes)?;
    let kept = exponent.clone();
    record(&[&mantissa], "FrexpBackward0", &[self_], &[], move |ctx| {
        Ok(smallvec![match ctx.grad(0) {
            Some(grad) => Some(f::ldexp(grad, &f::neg(&kept)?)?),
            None => None,
        }])
    })?;
    Ok((mantissa, exponent))
}

/// `torch.isclose`
pub fn isclose(self_: &Tensor, other: &Tensor, rtol: f64, atol: f64, equal_nan: bool) -> Result<Tensor> {
    let dtype = self_.dtype();
    if dtype != other.dtype() {
        bail!("{} did not match {}", dtype.cpp_name(), other.dtype().cpp_name());
    }
    if rtol < 0.0 {
        bail!("rtol must be greater than or equal to zero, but got {rtol}");
    }
    if atol < 0.0 {
        bail!("atol must be greater than or equal to zero, but got {atol}");
    }
    let (a, b) = (self_.alias(), other.alias());
    if dtype.is_complex() {
        // A complex number is NaN where a part is, and its distance is the modulus of the difference.
        let one = Scalar::Int(1);
        let equal = f::eq(&a, &b)?;
        let both_nan = f::logical_and(&f::isnan(&a)?, &f::isnan(&b)?)?;
        let allowed =
            f::add_scalar(&f::mul_scalar(&f::abs(&b)?, Scalar::Float(rtol))?, Scalar::Float(atol), one)?;
        let distance = f::abs(&f::sub(&a, &b, one)?)?;
        let near = f::logical_and(&f::isfinite(&distance)?, &f::le(&distance, &allowed)?)?;
        let close = f::logical_or(&equal, &near)?;
        return if equal_nan { f::logical_or(&close, &both_nan) } else { Ok(close) };
    }
    let (a, b) = match dtype.is_integral_or_bool() {
        // Exact for what the tolerances can tell apart.
        true => (to_dtype(&a, DType::Float64)?, to_dtype(&b, DType::Float64)?),
        false => (a, b),
    };
    f::_isclose(&a, &b, rtol, atol, equal_nan)
}

/// `torch.allclose`
pub fn allclose(self_: &Tensor, other: &Tensor, rtol: f64, atol: f64, equal_nan: bool) -> Result<bool> {
    let close = isclose(self_, other, rtol, atol, equal_nan)?;
    Ok(close.to_vec::<bool>()?.into_iter().all(|b| b))
}

/// `torch.positive`
pub fn positive(self_: &Tensor) -> Result<Tensor> {
    if self_.dtype() == DType::Bool {
        bail!(NotImplemented, "The `+` operator, on a bool tensor is not supported.");
    }
    Ok(self_.clone())
}

/// `torch.prelu`
pub fn prelu(self_: &Tensor, weight: &Tensor) -> Result<Tensor> {
    if self_.dtype() != weight.dtype() {
        bail!(
            "prelu: Type promoting not supported. Got {} and {}",
            self_.dtype().cpp_name(),
            weight.dtype().cpp_name()
        );
    }
    let n = weight.numel() as i64;
    if n == 1 && weight.dim() <= 1 {
        // One slope makes no dimension of a number.
        let rank = self_.dim().min(1);
        return f::_prelu_kernel(self_, &crate::ops::shape::reshape(weight, &[1i64; 1][..rank])?);
    }
    if weight.dim() > 1 {
        bail!("prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {}", weight.dim());
    }
    let rank = self_.dim();
    if rank == 0 {
        bail!("Not allow zero-dim input tensor.");
    }
    let channels = if rank > 1 { self_.size(1)? } else { 1 };
    if channels != n {
        bail!(
            "Mismatch of parameter numbers and input channel size. Found parameter numbers = {n} and channel size = {channels}."
        );
    }
    let mut sizes: Dims = smallvec![1; rank];
    if rank > 1 {
        sizes[1] = n;
    }
    f::_prelu_kernel(self_, &crate::ops::shape::view(weight, &sizes)?)
}

/// The common dtype of two tensors that become parts of complex numbers.
fn check_parts(a: &Tensor, b: &Tensor) -> Result<DType> {
    let (dtype, other) = (a.dtype(), b.dtype());
    let serves = |d: DType| matches!(d, DType::Float32 | DType::Float64);
    if !serves(dtype) || !serves(other) {
        bail!(
            NotImplemented,
            "Expected both inputs to be Half, Float or Double tensors but got {} and {}",
            dtype.cpp_name(),
            other.cpp_name()
        );
    }
    if dtype != other {
        bail!(
            "Expected object of scalar type {} but got scalar type {} for second argument",
            dtype.cpp_name(),
            other.cpp_name()
        );
    }
    Ok(dtype)
}

/// `torch.complex`
pub fn complex(real: &Tensor, imag: &Tensor) -> Result<Tensor> {
    let dtype = check_parts(real, imag)?;
    let sizes = broadcast_shapes(&real.sizes(), &imag.sizes())?;
    let device = crate::ops::common_device(&[real, imag])?;
    let out = Tensor::from_array(Array::empty(&sizes, dtype.to_complex(), device, Init::Uninit)?);
    crate::ops::copy_data(&out.alias_as(out.array().component(0)), &real.alias())?;
    crate::ops::copy_data(&out.alias_as(out.array().component(1)), &imag.alias())?;
    record(&[&out], "ComplexBackward0", &[real, imag], &[], |ctx| {
        Ok(match ctx.grad(0) {
            Some(grad) => smallvec![Some(f::_real_part(grad)?), Some(f::_imag_part(grad)?)],
            None => smallvec![None, None],
        })
    })?;
    Ok(out)
}

/// `torch.polar`
pub fn polar(abs: &Tensor, angle: &Tensor) -> Result<Tensor> {
    check_parts(abs, angle)?;
    complex(&f::mul(abs, &f::cos(angle)?)?, &f::mul(abs, &f::sin(angle)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(t: &Tensor) -> Vec<f64> {
        t.to_vec().unwrap()
    }

    #[test]
    fn rounding_modes() {
        let a = Tensor::from_slice(&[7i64, -7], &[2]).unwrap();
        let b = Tensor::from_slice(&[2i64], &[1]).unwrap();
        assert_eq!(values(&div_mode(&a, &b, None).unwrap()), [3.5, -3.5]);
        assert_eq!(values(&div_mode(&a, &b, Some("trunc")).unwrap()), [3.0, -3.0]);
        assert_eq!(values(&div_mode(&a, &b, Some("floor")).unwrap()), [3.0, -4.0]);
        assert!(div_mode(&a, &b, Some("up")).is_err());
    }

    #[test]
    fn numbers_taken_apart() {
        for (v, parts) in [(8.0, (0.5, 4)), (-0.3, (-0.6, -1)), (0.0, (0.0, 0)), (5e-324, (0.5, -1073))] {
            assert_eq!(split_number(v), parts);
        }
        let t = to_dtype(&Tensor::from_slice(&[1.0f64, 0.0, -1.0], &[3]).unwrap(), DType::BFloat16).unwrap();
        let to = to_dtype(&Tensor::from_slice(&[2.0f64], &[1]).unwrap(), DType::BFloat16).unwrap();
        assert_eq!(values(&nextafter(&t, &to).unwrap()), [1.0078125, 9.183549615799121e-41, -0.99609375]);
    }

    #[test]
    fn complex_parts() {
        let re = Tensor::from_slice(&[1.0f32, f32::NAN], &[2]).unwrap();
        let im = Tensor::from_slice(&[f32::INFINITY, 2.0], &[2]).unwrap();
        let z = nan_to_num(&complex(&re, &im).unwrap(), None, Some(9.0), None).unwrap();
        assert_eq!(values(&f::_real_part(&z).unwrap()), [1.0, 0.0]);
        assert_eq!(values(&f::_imag_part(&z).unwrap()), [9.0, 2.0]);
    }
}
