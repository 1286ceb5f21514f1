//! Distributions made from one uniform or normal number an element.

use super::error_text::{general, not_implemented};
use super::generator::Generator;
use super::sample::Sample;
use flambeau_core::{DType, Result, bail};

/// Fills with exponential numbers of rate `lambd`. Errors unless `lambd > 0` and the dtype is floating point.
pub fn exponential_<T: Sample>(g: &mut Generator, dtype: DType, out: &mut [T], lambd: f64) -> Result<()> {
    if lambd.is_nan() || lambd <= 0.0 {
        bail!("exponential_ expects lambda > 0.0, but found lambda={}", general(lambd));
    }
    if !dtype.is_floating_point() && !out.is_empty() {
        bail!(
            "Exponential distribution is a continuous probability distribution. dtype must be a floating point but \
             you specified {}",
            dtype.cpp_name()
        );
    }
    let scale = -1.0 / lambd;
    g.fill_uniform64(out, |u| T::from_f64(scale * (-u).ln_1p()));
    Ok(())
}

/// Fills with Cauchy numbers. Errors unless `sigma > 0` and the dtype is floating point.
pub fn cauchy_<T: Sample>(
    g: &mut Generator,
    dtype: DType,
    out: &mut [T],
    median: f64,
    sigma: f64,
) -> Result<()> {
    if sigma.is_nan() || sigma <= 0.0 {
        bail!("cauchy_ expects sigma > 0.0, but found sigma={}", general(sigma));
    }
    if !dtype.is_floating_point() {
        bail!(
            "Cauchy distribution is a continuous probability distribution. dtype must be a floating point but you \
             specified {}",
            dtype.cpp_type()
        );
    }
    g.fill_uniform64(out, |u| T::from_f64(sigma.mul_add((std::f64::consts::PI * (u - 0.5)).tan(), median)));
    Ok(())
}

/// Fills with the number of trials of probability `p` until the first success (1, 2, …). Errors unless `0 < p < 1`.
pub fn geometric_<T: Sample>(g: &mut Generator, dtype: DType, out: &mut [T], p: f64) -> Result<()> {
    if !(p > 0.0 && p < 1.0) {
        bail!("geometric_ expects p to be in (0, 1), but got p={}", general(p));
    }
    let served = dtype.is_floating_point() || dtype.is_integral() && !is_wide_unsigned(dtype);
    if !served && !out.is_empty() {
        return Err(not_implemented("geometric_cpu", dtype));
    }
    let log_failure = (-p).ln_1p();
    g.fill_uniform64(out, |u| T::from_f64((u.ln() / log_failure).ceil()));
    Ok(())
}

/// Fills with the exponentials of normal numbers. Errors unless `std > 0` and the dtype is floating point.
pub fn log_normal_<T: Sample>(
    g: &mut Generator,
    dtype: DType,
    out: &mut [T],
    mean: f64,
    std: f64,
) -> Result<()> {
    if std.is_nan() || std <= 0.0 {
        bail!("log_normal_ expects std > 0.0, but found std={}", general(std));
    }
    if !dtype.is_floating_point() && !out.is_empty() {
        return Err(not_implemented("log_normal_cpu", dtype));
    }
    for o in out {
        *o = T::from_f64(g.standard_normal().mul_add(std, mean).exp());
    }
    Ok(())
}

/// The unsigned types that most kernels of PyTorch leave out.
pub(super) fn is_wide_unsigned(dtype: DType) -> bool {
    matches!(dtype, DType::UInt16 | DType::UInt32 | DType::UInt64)
}
