//! Modified Bessel functions of orders zero and one, plain and exponentially scaled (DLMF 10.25, 10.31, 10.40).

use super::basics::{horner, ratio};
use super::coefficients::*;
use std::f64::consts::LN_2;

/// I0 for |x| <= 8.
#[inline(always)]
fn i0_near(x: f64) -> f64 {
    let y = 0.25 * (x * x);
    1.0 + y * horner(y, &I0)
}

/// I1 for |x| <= 8.
#[inline(always)]
fn i1_near(x: f64) -> f64 {
    0.5 * x * horner(0.25 * (x * x), &I1)
}

/// exp(-x) I_k(x) for x >= 8, from the table of its product with √x.
#[inline(always)]
fn scaled_far<const N: usize, const M: usize>(x: f64, above: &[f64; N], below: &[f64; M]) -> f64 {
    ratio(16.0 / x - 1.0, above, below) / x.sqrt()
}

/// exp(x) y, also where exp(x) alone would overflow or underflow.
#[inline(always)]
fn times_exp(x: f64, y: f64) -> f64 {
    if x.abs() < 700.0 {
        x.exp() * y
    } else {
        let half = (0.5 * x).exp();
        half * y * half
    }
}

/// exp(-|x|) I0(x).
#[inline]
pub fn i0e(x: f64) -> f64 {
    let a = x.abs();
    if a <= 8.0 { (-a).exp() * i0_near(a) } else { scaled_far(a, &I0_FAR_P, &I0_FAR_Q) }
}

/// The modified Bessel function I0; NaN at ±∞, as in PyTorch.
#[inline]
pub fn i0(x: f64) -> f64 {
    let a = x.abs();
    if a <= 8.0 {
        i0_near(a)
    } else if a == f64::INFINITY {
        f64::NAN
    } else {
        times_exp(a, scaled_far(a, &I0_FAR_P, &I0_FAR_Q))
    }
}

/// exp(-|x|) I1(x).
#[inline]
pub fn i1e(x: f64) -> f64 {
    let a = x.abs();
    let value = if a <= 8.0 { (-a).exp() * i1_near(a) } else { scaled_far(a, &I1_FAR_P, &I1_FAR_Q) };
    if x < 0.0 { -value } else { value }
}

/// The modified Bessel function I1; NaN at ±∞, as in PyTorch.
#[inline]
pub fn i1(x: f64) -> f64 {
    let a = x.abs();
    let value = if a <= 8.0 {
        i1_near(a)
    } else if a == f64::INFINITY {
        f64::NAN
    } else {
        times_exp(a, scaled_far(a, &I1_FAR_P, &I1_FAR_Q))
    };
    if x < 0.0 { -value } else { value }
}

/// `torch.special.modified_bessel_i0`, the same as [`i0`].
#[inline]
pub fn modified_bessel_i0(x: f64) -> f64 {
    i0(x)
}

/// `torch.special.modified_bessel_i1`, the same as [`i1`].
#[inline]
pub fn modified_bessel_i1(x: f64) -> f64 {
    i1(x)
}

/// ln(x/2), also where x/2 is not representable.
#[inline(always)]
fn log_half(x: f64) -> f64 {
    x.ln() - LN_2
}

/// K0 for 0 < x <= 1.
#[inline(always)]
fn k0_near(x: f64) -> f64 {
    horner(x * x, &K0) - log_half(x) * i0_near(x)
}

/// K1 for 0 < x <= 1.
#[inline(always)]
fn k1_near(x: f64) -> f64 {
    1.0 / x + (log_half(x) * i1_near(x) + x * horner(x * x, &K1))
}

/// What K does left of the logarithm's domain: +∞ at zero, NaN below and for NaN.
#[inline(always)]
fn outside(x: f64) -> f64 {
    if x == 0.0 { f64::INFINITY } else { f64::NAN }
}

/// exp(x) K0(x).
#[inline]
pub fn scaled_modified_bessel_k0(x: f64) -> f64 {
    if x > 1.0 {
        ratio(1.0 / x, &K0_FAR_P, &K0_FAR_Q) / x.sqrt()
    } else if x > 0.0 {
        x.exp() * k0_near(x)
    } else {
        outside(x)
    }
}

/// exp(x) K1(x).
#[inline]
pub fn scaled_modified_bessel_k1(x: f64) -> f64 {
    if x > 1.0 {
        ratio(1.0 / x, &K1_FAR_P, &K1_FAR_Q) / x.sqrt()
    } else if x > 0.0 {
        x.exp() * k1_near(x)
    } else {
        outside(x)
    }
}

/// The modified Bessel function K0: +∞ at zero, NaN for negative numbers.
#[inline]
pub fn modified_bessel_k0(x: f64) -> f64 {
    if x > 1.0 {
        times_exp(-x, scaled_modified_bessel_k0(x))
    } else if x > 0.0 {
        k0_near(x)
    } else {
        outside(x)
    }
}

/// The modified Bessel function K1: +∞ at zero, NaN for negative numbers.
#[inline]
pub fn modified_bessel_k1(x: f64) -> f64 {
    if x > 1.0 {
        times_exp(-x, scaled_modified_bessel_k1(x))
    } else if x > 0.0 {
        k1_near(x)
    } else {
        outside(x)
    }
}
