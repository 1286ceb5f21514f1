//! Airy's function Ai (DLMF 9.7, 9.8).

use super::basics::{horner, minus, ratio, two_product};
use super::coefficients::*;
use super::erf::FRAC_1_SQRT_PI;
use std::f64::consts::FRAC_1_SQRT_2;

/// (2/3) x^(3/2) as a sum of two doubles: its rounding would be magnified by its size.
#[inline]
fn zeta(x: f64) -> (f64, f64) {
    let root = x.sqrt();
    // x = root² + rest, so that the square root is root + rest/(2 root).
    let rest = (-root).mul_add(root, x) / (2.0 * root);
    let (high, low) = two_product(x, root);
    let low = low + x * rest;
    let (third, error) = two_product(high, 2.0 / 3.0);
    // 2/3 as a double is 3.7e-17 short.
    (third, error + (2.0 / 3.0) * low + high * 3.700_743_415_417_188e-17)
}

/// The Airy function Ai; NaN at ±∞ and where the phase overflows, as in PyTorch.
pub fn airy_ai(x: f64) -> f64 {
    if x >= 2.0 {
        if x > 110.0 {
            return if x == f64::INFINITY { f64::NAN } else { 0.0 };
        }
        let (high, low) = zeta(x);
        let scaled = ratio(1.0 / high, &AIRY_FAR_P, &AIRY_FAR_Q) / x.sqrt().sqrt();
        // Half the exponent twice, lest an intermediate result be subnormal.
        let half = (-0.5 * high).exp();
        half * (1.0 - low) * scaled * half
    } else if x >= 0.0 {
        ratio(x - 1.0, &AIRY_1_P, &AIRY_1_Q)
    } else if x >= -1.5 {
        horner(x + 0.75, &AIRY_2)
    } else if x >= -3.2 {
        minus(x, AIRY_ZERO_1) * horner(x + 2.25, &AIRY_3)
    } else if x >= -4.8 {
        minus(x, AIRY_ZERO_2) * horner(x + 4.0, &AIRY_4)
    } else {
        let (high, low) = zeta(-x);
        let (sine, cosine) = high.sin_cos();
        // The sum formulas: far out the second part is no small angle any more.
        let (s, c) = if low.is_finite() { low.sin_cos() } else { (0.0, 1.0) };
        let (sine, cosine) = (sine * c + cosine * s, cosine * c - sine * s);
        let r = 1.0 / high;
        let s = r * r;
        let p = ratio(s, &AIRY_COS_P, &AIRY_COS_Q);
        let q = r * ratio(s, &AIRY_SIN_P, &AIRY_SIN_Q);
        // The phase is ζ - π/4.
        let scale = FRAC_1_SQRT_PI * FRAC_1_SQRT_2 / (-x).sqrt().sqrt();
        scale * (p * (cosine + sine) + q * (sine - cosine))
    }
}
