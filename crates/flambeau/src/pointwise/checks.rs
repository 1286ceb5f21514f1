//! Checks that declarations name with `check:`. Each sees the tensor operands, the other parameters and the
//! dtype in which the tensors and numbers meet, before anything runs.

use super::ParamValue;
use crate::Tensor;
use flambeau_core::{DType, Result, Scalar, bail};

/// The parameter as a number, if it is one.
fn number(params: &[ParamValue], i: usize) -> Option<Scalar> {
    match params.get(i) {
        Some(ParamValue::Scalar(s)) => Some(*s),
        _ => None,
    }
}

/// `alpha`, the last parameter of add and sub: no float for integers, no bool but for bools.
pub fn alpha(_: &[&Tensor], params: &[ParamValue], common: DType) -> Result<()> {
    let Some(alpha) = number(params, params.len() - 1) else { return Ok(()) };
    if matches!(alpha, Scalar::Int(1)) {
        return Ok(());
    }
    if matches!(alpha, Scalar::Bool(_)) && common != DType::Bool {
        bail!("Boolean alpha only supported for Boolean results.");
    }
    if !alpha.is_integral_or_bool() && common.is_integral_or_bool() {
        bail!("For integral input tensors, argument alpha must not be a floating point number.");
    }
    if alpha.is_complex() && !common.is_complex() {
        bail!("For non-complex input tensors, argument alpha must not be a complex number.");
    }
    Ok(())
}

/// Bools can't be subtracted.
pub fn subtraction(tensors: &[&Tensor], params: &[ParamValue], common: DType) -> Result<()> {
    // Of the scalar overloads the other operand is the first of two parameters.
    let number = params.len() == 2 && matches!(params[0], ParamValue::Scalar(Scalar::Bool(_)));
    let bools = tensors.iter().filter(|t| t.dtype() == DType::Bool).count() + number as usize;
    if bools == 2 {
        bail!(
            NotImplemented,
            "Subtraction, the `-` operator, with two bool tensors is not supported. Use the `^` or `logical_xor()` operator instead."
        );
    } else if bools == 1 {
        bail!(
            NotImplemented,
            "Subtraction, the `-` operator, with a bool tensor is not supported. If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."
        );
    }
    alpha(tensors, params, common)
}

/// Powers of integers have exponents that are not negative.
pub fn integer_power(_: &[&Tensor], params: &[ParamValue], common: DType) -> Result<()> {
    let Some(exponent) = number(params, 0).filter(|_| common.is_integral_or_bool()) else { return Ok(()) };
    if exponent.to_i64() < 0 {
        bail!("Integers to negative integer powers are not allowed.");
    }
    exponent.check_fits(common)
}

/// clamp needs a limit, and each within the range of an integer dtype where it matters.
pub fn clamp(_: &[&Tensor], params: &[ParamValue], common: DType) -> Result<()> {
    if params.iter().all(|p| *p == ParamValue::None) {
        bail!("torch.clamp: At least one of 'min' or 'max' must not be None");
    }
    clamp_limit(number(params, 0), "min", common)?;
    clamp_limit(number(params, 1), "max", common)
}

/// The limit of clamp_min.
pub fn clamp_min(_: &[&Tensor], params: &[ParamValue], common: DType) -> Result<()> {
    clamp_limit(number(params, 0), "min", common)
}

/// The limit of clamp_max.
pub fn clamp_max(_: &[&Tensor], params: &[ParamValue], common: DType) -> Result<()> {
    clamp_limit(number(params, 0), "max", common)
}

fn clamp_limit(limit: Option<Scalar>, which: &str, common: DType) -> Result<()> {
    let Some(limit) = limit else { return Ok(()) };
    if common.is_floating_point() {
        return limit.check_fits(common).map_err(|e| e.map_message(|text| text.replace("at::", "c10::")));
    }
    if common.is_integral() {
        let (low, high) = super::promote::integer_range(common);
        let value = limit.to_i64() as i128;
        if if which == "min" { value > high } else { value < low } {
            let (value, dtype) = (six_digits(value as f64), common.cpp_name());
            bail!("Clamp {which} value {value} is outside the representable range of {dtype}");
        }
    }
    Ok(())
}

/// addcdiv does not divide integers.
pub fn addcdiv(tensors: &[&Tensor], _: &[ParamValue], _: DType) -> Result<()> {
    if tensors[1..].iter().all(|t| t.dtype().is_integral_or_bool()) {
        bail!(
            "Integer division with addcdiv is no longer supported, and in a future  release addcdiv will perform a true division of tensor1 and tensor2. The historic addcdiv behavior can be implemented as (input + value * torch.trunc(tensor1 / tensor2)).to(input.dtype) for integer inputs and as (input + value * tensor1 / tensor2) for float inputs. The future addcdiv behavior is just the latter implementation: (input + value * tensor1 / tensor2), for all dtypes."
        );
    }
    Ok(())
}

/// lerp does not promote.
pub fn lerp(tensors: &[&Tensor], _: &[ParamValue], _: DType) -> Result<()> {
    let expected = tensors[0].dtype();
    for (t, name) in tensors[1..].iter().zip(["end", "weight"]) {
        if t.dtype() != expected {
            let (expected, got) = (expected.cpp_type(), t.dtype().cpp_type());
            bail!("expected dtype {expected} for `{name}` but got dtype {got}");
        }
    }
    Ok(())
}

/// heaviside does not promote.
pub fn heaviside(tensors: &[&Tensor], _: &[ParamValue], common: DType) -> Result<()> {
    if common.is_complex() {
        bail!(NotImplemented, "heaviside is not yet implemented for complex tensors.");
    }
    if tensors[0].dtype() != tensors[1].dtype() {
        bail!("heaviside is not yet implemented for tensors with different dtypes.");
    }
    Ok(())
}

/// The condition of `where`, its first operand, and its numbers.
pub fn condition(tensors: &[&Tensor], params: &[ParamValue], common: DType) -> Result<()> {
    if common.is_integral() {
        for i in 0..params.len() {
            number(params, i).map_or(Ok(()), |s| s.check_fits(common))?;
        }
    }
    match tensors[0].dtype() {
        DType::Bool => Ok(()),
        DType::UInt8 => {
            crate::warn_once!(
                "where received a uint8 condition tensor. This behavior is deprecated and will be removed in a future version of PyTorch. Use a boolean condition instead.",
            );
            Ok(())
        }
        other => {
            bail!(
                "where expected condition to be a boolean tensor, but got a tensor with dtype {}",
                other.cpp_name()
            )
        }
    }
}

/// `n` of polygamma.
pub fn polygamma(_: &[&Tensor], params: &[ParamValue], _: DType) -> Result<()> {
    if number(params, 0).is_some_and(|n| n.to_i64() < 0) {
        bail!("polygamma(n, x) does not support negative n.");
    }
    Ok(())
}

/// `approximate` of gelu.
pub fn gelu(_: &[&Tensor], params: &[ParamValue], _: DType) -> Result<()> {
    if !matches!(params[0], ParamValue::Str("none" | "tanh")) {
        bail!("approximate argument must be either none or tanh.");
    }
    Ok(())
}

/// The limits of hardtanh.
pub fn hardtanh(_: &[&Tensor], params: &[ParamValue], _: DType) -> Result<()> {
    if let (Some(min), Some(max)) = (number(params, 0), number(params, 1))
        && min.to_f64() > max.to_f64()
    {
        bail!(Value, "min_val cannot be greater than max_val");
    }
    Ok(())
}

/// `alpha` of celu.
pub fn celu(_: &[&Tensor], params: &[ParamValue], _: DType) -> Result<()> {
    if number(params, 0).is_some_and(|a| a.to_f64() == 0.0) {
        bail!("ZeroDivisionError: alpha cannot be 0 for CELU");
    }
    Ok(())
}

/// `lambd` of softshrink.
pub fn softshrink(_: &[&Tensor], params: &[ParamValue], common: DType) -> Result<()> {
    let max = match common {
        DType::Float16 => 65504.0,
        DType::BFloat16 => 3.389_531_389_251_535_5e38,
        DType::Float32 => f32::MAX as f64,
        DType::Float64 => f64::MAX,
        _ => return Ok(()),
    };
    if let Some(lambda) = number(params, 0) {
        let value = lambda.to_f64();
        if !(0.0..=max).contains(&value) {
            let (max, value) = (six_digits(max), six_digits(value));
            bail!(
                "lambda must be in range [0, {max}] for input dtype {}, but found {value}",
                common.cpp_name()
            );
        }
    }
    Ok(())
}

/// A number as C++ streams print it, with six significant digits.
fn six_digits(v: f64) -> String {
    if !v.is_finite() {
        return v.to_string().to_lowercase();
    }
    let scientific = format!("{v:.5e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |s: &str| {
        if s.contains('.') { s.trim_end_matches('0').trim_end_matches('.').to_string() } else { s.into() }
    };
    if (-5..6).contains(&exponent) {
        trim(&format!("{v:.*}", (5 - exponent).max(0) as usize))
    } else {
        format!("{}e{}{:02}", trim(digits), if exponent < 0 { '-' } else { '+' }, exponent.abs())
    }
}

/// `beta` of the smooth L1 loss.
pub fn smooth_l1(_: &[&Tensor], params: &[ParamValue], _: DType) -> Result<()> {
    if number(params, 0).is_some_and(|b| b.to_f64() < 0.0) {
        bail!("smooth_l1_loss does not support negative values for beta.");
    }
    Ok(())
}

/// `delta` of the Huber loss.
pub fn huber(_: &[&Tensor], params: &[ParamValue], _: DType) -> Result<()> {
    if number(params, 0).is_some_and(|d| d.to_f64() <= 0.0) {
        bail!("huber_loss does not support non-positive values for delta.");
    }
    Ok(())
}

/// The mask of masked_fill, its second operand, and the value, which does not promote.
pub fn masked_fill(tensors: &[&Tensor], params: &[ParamValue], _: DType) -> Result<()> {
    let (dtype, mask) = (tensors[0].dtype(), tensors[1].dtype());
    if mask != DType::Bool {
        bail!("masked_fill_ only supports boolean masks, but got mask with dtype {}", mask.cpp_type());
    }
    if let Some(value) = tensors.get(2) {
        if value.dim() > 0 {
            bail!(
                "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with {} dimension(s).",
                value.dim()
            );
        }
        if value.is_complex() && !dtype.is_complex() {
            bail!("value cannot be converted to type {} without overflow", dtype.cpp_type());
        }
    }
    match number(params, 0) {
        Some(value) => value.check_fits(dtype),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::six_digits;

    #[test]
    fn numbers_as_streams_print_them() {
        let cases = [
            (-1.0, "-1"),
            (f32::MAX as f64, "3.40282e+38"),
            (65504.0, "65504"),
            (-0.25, "-0.25"),
            (1e-7, "1e-07"),
        ];
        for (v, text) in cases {
            assert_eq!(six_digits(v), text);
        }
    }
}
