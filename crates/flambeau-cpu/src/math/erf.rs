//! The error function, the normal distribution function, and their inverses.
//!
//! One fit of erfcx, in the variable of Shepherd and Laframboise (Math. Comp. 36, 1981), serves every tail; the
//! inverses follow the division into three ranges of Wichura (Applied Statistics 37, AS 241, 1988). The coefficients are
//! our own, see `coefficients.rs`.

use super::basics::{exp_square, horner, ratio};
use super::coefficients::*;
use std::f64::consts::{FRAC_1_SQRT_2, LN_2};

/// 1/√π.
pub(super) const FRAC_1_SQRT_PI: f64 = 0.564_189_583_547_756_3;

/// erf for |x| <= 1.
#[inline(always)]
fn erf_small(x: f64) -> f64 {
    x + x * horner(x * x, &ERF)
}

/// erfcx for x >= 0.
#[inline]
fn erfcx_positive(x: f64) -> f64 {
    if x > 1e8 {
        return FRAC_1_SQRT_PI / x;
    }
    let t = (x - 3.75) / (x + 3.75);
    ratio(t, &ERFCX_P, &ERFCX_Q) / (1.0 + 2.0 * x)
}

/// erfc for x >= 0.5.
#[inline]
fn erfc_tail(x: f64) -> f64 {
    if x > 28.0 { 0.0 } else { exp_square(-1.0, x) * erfcx_positive(x) }
}

/// The error function.
#[inline]
pub fn erf(x: f64) -> f64 {
    let a = x.abs();
    if a <= 1.0 {
        erf_small(x)
    } else if a < 6.0 {
        (1.0 - erfc_tail(a)).copysign(x)
    } else if x.is_nan() {
        x
    } else {
        1f64.copysign(x)
    }
}

/// The complementary error function 1 - erf(x).
#[inline]
pub fn erfc(x: f64) -> f64 {
    if x >= 0.5 {
        erfc_tail(x)
    } else if x >= -1.0 {
        1.0 - erf_small(x)
    } else if x >= -6.0 {
        2.0 - erfc_tail(-x)
    } else if x.is_nan() {
        x
    } else {
        2.0
    }
}

/// The scaled complementary error function exp(x²) erfc(x).
#[inline]
pub fn erfcx(x: f64) -> f64 {
    if x.abs() < 0.5 {
        (x * x).exp() * (1.0 - erf_small(x))
    } else if x > 0.0 {
        erfcx_positive(x)
    } else if x > -27.0 {
        2.0 * exp_square(1.0, x) - erfcx_positive(-x)
    } else if x.is_nan() {
        x
    } else {
        f64::INFINITY
    }
}

/// The normal quantile of p, given as q = p - 1/2 and `tail` = min(p, 1 - p): each is needed where the other is inexact.
#[inline]
fn quantile(q: f64, tail: f64) -> f64 {
    if q.abs() <= 0.425 {
        return q * ratio(0.180625 - q * q, &NDTRI_CENTRE_P, &NDTRI_CENTRE_Q);
    }
    let r = (-tail.ln()).sqrt();
    let size = if r <= 5.0 {
        ratio(r - 1.6, &NDTRI_MIDDLE_P, &NDTRI_MIDDLE_Q)
    } else {
        ratio(r - 5.0, &NDTRI_FAR_P, &NDTRI_FAR_Q)
    };
    size.copysign(q)
}

/// The inverse of [`erf`]; infinite at ±1, NaN beyond.
#[inline]
pub fn erfinv(x: f64) -> f64 {
    let a = x.abs();
    if a < 1.0 {
        if a < 1e-300 {
            // Halving would lose bits of a subnormal number.
            return x * 0.886_226_925_452_758;
        }
        FRAC_1_SQRT_2 * quantile(0.5 * x, 0.5 * (1.0 - a))
    } else if a == 1.0 {
        f64::INFINITY.copysign(x)
    } else {
        f64::NAN
    }
}

/// The inverse of [`erfc`] on [0, 2].
#[inline]
pub fn erfcinv(x: f64) -> f64 {
    if x > 0.0 && x < 2.0 {
        FRAC_1_SQRT_2 * quantile(0.5 * (1.0 - x), 0.5 * if x < 1.0 { x } else { 2.0 - x })
    } else if x == 0.0 {
        f64::INFINITY
    } else if x == 2.0 {
        f64::NEG_INFINITY
    } else {
        f64::NAN
    }
}

/// The upper tail of the standard normal distribution beyond x >= 0.7.
#[inline]
fn normal_tail(x: f64) -> f64 {
    if x > 39.0 { 0.0 } else { 0.5 * exp_square(-0.5, x) * erfcx_positive(x * FRAC_1_SQRT_2) }
}

/// The standard normal distribution function.
#[inline]
pub fn ndtr(x: f64) -> f64 {
    if x.abs() < 0.75 {
        0.5 + 0.5 * erf_small(x * FRAC_1_SQRT_2)
    } else if x > 0.0 {
        1.0 - normal_tail(x)
    } else if x.is_nan() {
        x
    } else {
        normal_tail(-x)
    }
}

/// The inverse of [`ndtr`]: the normal quantile function.
#[inline]
pub fn ndtri(p: f64) -> f64 {
    if p > 0.0 && p < 1.0 {
        quantile(p - 0.5, if p < 0.5 { p } else { 1.0 - p })
    } else if p == 0.0 {
        f64::NEG_INFINITY
    } else if p == 1.0 {
        f64::INFINITY
    } else {
        f64::NAN
    }
}

/// The logarithm of [`ndtr`], without underflow.
#[inline]
pub fn log_ndtr(x: f64) -> f64 {
    if x < -1.0 {
        erfcx_positive(-x * FRAC_1_SQRT_2).ln() - LN_2 - 0.5 * (x * x)
    } else {
        (-ndtr(-x)).ln_1p()
    }
}
