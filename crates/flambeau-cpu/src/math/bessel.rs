//! Bessel functions of orders zero and one, of the first and second kind, and the spherical j0.
//!
//! Below 8 each interval has its zero divided out of a fit, so that the values near the zero keep their digits (the plan
//! of Hart et al., Computer Approximations, 1968); above, the amplitude and phase of Hankel's expansion
//! (DLMF 10.17) are fitted, and zeros are found to absolute accuracy.

use super::basics::{horner, minus, ratio};
use super::coefficients::*;
use super::erf::FRAC_1_SQRT_PI;
use std::f64::consts::FRAC_2_PI;

/// cos x + sin x and sin x - cos x.
#[inline(always)]
fn rotated(x: f64) -> (f64, f64) {
    let (sine, cosine) = x.sin_cos();
    (cosine + sine, sine - cosine)
}

/// P and Q of Hankel's expansion for order zero, over √(πx).
#[inline(always)]
fn hankel_0(x: f64) -> (f64, f64) {
    let s = (8.0 / x) * (8.0 / x);
    let scale = FRAC_1_SQRT_PI / x.sqrt();
    let p = ratio(s, &JY0_FAR_COS_P, &JY0_FAR_COS_Q);
    let q = ratio(s, &JY0_FAR_SIN_P, &JY0_FAR_SIN_Q) / x;
    (scale * p, scale * q)
}

#[inline(always)]
fn hankel_1(x: f64) -> (f64, f64) {
    let s = (8.0 / x) * (8.0 / x);
    let scale = FRAC_1_SQRT_PI / x.sqrt();
    let p = ratio(s, &JY1_FAR_COS_P, &JY1_FAR_COS_Q);
    let q = ratio(s, &JY1_FAR_SIN_P, &JY1_FAR_SIN_Q) / x;
    (scale * p, scale * q)
}

/// The Bessel function J0; NaN at ±∞, as in PyTorch.
#[inline]
pub fn bessel_j0(x: f64) -> f64 {
    let x = x.abs();
    if x <= 1.2 {
        1.0 + (x * x) * horner(x * x, &J0_SMALL)
    } else if x <= 4.0 {
        minus(x, J0_ZERO_1) * (x + J0_ZERO_1.0) * ratio(x * x, &J0_1_P, &J0_1_Q)
    } else if x <= 8.0 {
        minus(x, J0_ZERO_2) * ratio(x - 6.0, &J0_2_P, &J0_2_Q)
    } else {
        let (sum, difference) = rotated(x);
        let (p, q) = hankel_0(x);
        p * sum - q * difference
    }
}

/// The Bessel function J1; NaN at ±∞.
#[inline]
pub fn bessel_j1(x: f64) -> f64 {
    let a = x.abs();
    let value = if a <= 4.0 {
        // The order keeps a subnormal x from losing bits to the division by two within the fit.
        return x * (minus(a, J1_ZERO_1) * (a + J1_ZERO_1.0) * ratio(a * a, &J1_1_P, &J1_1_Q));
    } else if a <= 8.0 {
        minus(a, J1_ZERO_2) * ratio(a - 6.0, &J1_2_P, &J1_2_Q)
    } else {
        let (sum, difference) = rotated(a);
        let (p, q) = hankel_1(a);
        p * difference + q * sum
    };
    if x < 0.0 { -value } else { value }
}

/// ln(x/z), accurate also where x is near z.
#[inline(always)]
fn log_over(x: f64, z: (f64, f64)) -> f64 {
    let away = minus(x, z);
    if away.abs() < 0.5 * z.0 { (away / z.0).ln_1p() } else { x.ln() - z.0.ln() }
}

/// The Bessel function Y0: -∞ at zero, NaN for negative numbers and at ∞.
#[inline]
pub fn bessel_y0(x: f64) -> f64 {
    if x <= 3.0 {
        if x <= 0.0 {
            return if x == 0.0 { f64::NEG_INFINITY } else { f64::NAN };
        }
        let regular = minus(x, Y0_ZERO_1) * (x + Y0_ZERO_1.0) * ratio(x * x, &Y0_1_P, &Y0_1_Q);
        FRAC_2_PI * log_over(x, Y0_ZERO_1) * bessel_j0(x) + regular
    } else if x <= 5.5 {
        minus(x, Y0_ZERO_2) * ratio(x - 4.0, &Y0_2_P, &Y0_2_Q)
    } else if x <= 8.0 {
        minus(x, Y0_ZERO_3) * ratio(x - 7.0, &Y0_3_P, &Y0_3_Q)
    } else {
        let (sum, difference) = rotated(x);
        let (p, q) = hankel_0(x);
        p * difference + q * sum
    }
}

/// The Bessel function Y1: -∞ at zero, NaN for negative numbers and at ∞.
#[inline]
pub fn bessel_y1(x: f64) -> f64 {
    if x <= 4.0 {
        if x <= 0.0 {
            return if x == 0.0 { f64::NEG_INFINITY } else { f64::NAN };
        }
        let regular = minus(x, Y1_ZERO_1) * (x + Y1_ZERO_1.0) * ratio(x * x, &Y1_1_P, &Y1_1_Q) / x;
        FRAC_2_PI * log_over(x, Y1_ZERO_1) * bessel_j1(x) + regular
    } else if x <= 8.0 {
        minus(x, Y1_ZERO_2) * ratio(x - 6.0, &Y1_2_P, &Y1_2_Q)
    } else {
        let (sum, difference) = rotated(x);
        let (p, q) = hankel_1(x);
        q * difference - p * sum
    }
}

/// The spherical Bessel function j0(x) = sin(x)/x; zero at ±∞.
#[inline]
pub fn spherical_bessel_j0(x: f64) -> f64 {
    if x.is_infinite() {
        0.0
    } else if x == 0.0 {
        1.0
    } else {
        x.sin() / x
    }
}
