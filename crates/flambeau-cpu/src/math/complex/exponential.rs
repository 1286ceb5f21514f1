//! Exponentials, logarithms, roots and powers.

use super::super::basics::{two_product, two_sum};
use super::{C64, c, div, mul, reciprocal};
use std::f64::consts::{LN_2, LN_10, LOG2_E, LOG10_E};

/// scale · e^x · (cos y + i sin y) for finite arguments, though e^x alone may overflow.
#[inline]
pub(super) fn exp_polar(scale: f64, x: f64, y: f64) -> C64 {
    let (sine, cosine) = y.sin_cos();
    if x.abs() < 700.0 {
        let size = scale * x.exp();
        return c(size * cosine, size * sine);
    }
    let half = (0.5 * x).exp();
    c(half * (scale * cosine) * half, half * (scale * sine) * half)
}

/// e^z.
#[inline]
pub fn exp(z: C64) -> C64 {
    if z.im == 0.0 {
        return c(z.re.exp(), z.im);
    }
    if z.re.is_finite() && z.im.is_finite() {
        return exp_polar(1.0, z.re, z.im);
    }
    if z.re == f64::NEG_INFINITY {
        if z.im.is_finite() {
            let (sine, cosine) = z.im.sin_cos();
            return c(0.0 * cosine, 0.0 * sine);
        }
        return c(0.0, 0f64.copysign(z.im));
    }
    if z.re == f64::INFINITY {
        if z.im.is_finite() {
            let (sine, cosine) = z.im.sin_cos();
            return c(f64::INFINITY.copysign(cosine), f64::INFINITY.copysign(sine));
        }
        return c(f64::INFINITY, f64::NAN);
    }
    c(f64::NAN, f64::NAN)
}

/// e^z - 1, accurate near zero in each part except where the real part's two terms cancel.
#[inline]
pub fn expm1(z: C64) -> C64 {
    if z.re.abs() >= 700.0 && z.re.is_finite() && z.im.is_finite() {
        let w = exp_polar(1.0, z.re, z.im);
        return c(w.re - 1.0, w.im);
    }
    let half = (0.5 * z.im).sin();
    let (sine, cosine) = z.im.sin_cos();
    c(z.re.exp_m1() * cosine - 2.0 * (half * half), z.re.exp() * sine)
}

/// a² + b² - 1, as if in twice the precision; the larger of the two lies in (0.6, 1.5).
#[inline]
fn squares_minus_one(a: f64, b: f64) -> f64 {
    let (first, first_low) = two_product(a, a);
    let (second, second_low) = two_product(b, b);
    let (first, first_rest) = two_sum(first, -1.0);
    let (sum, sum_low) = two_sum(first, second);
    sum + (sum_low + (first_rest + (first_low + second_low)))
}

/// The logarithm `far` of |z|, through |z|² - 1 close to the unit circle; `unit` is `far` of e.
#[inline]
fn log_abs(x: f64, y: f64, unit: f64, far: fn(f64) -> f64) -> f64 {
    let (a, b) = (x.abs(), y.abs());
    let (large, small) = if a > b { (a, b) } else { (b, a) };
    if large > 0.6 && large < 1.5 && small < 1.5 {
        let excess = squares_minus_one(large, small);
        if excess > -0.5 && excess < 1.0 {
            return 0.5 * unit * excess.ln_1p();
        }
    }
    if large > 1e300 && large < f64::INFINITY {
        // |z| might overflow.
        return far((0.25 * a).hypot(0.25 * b)) + 2.0 * LN_2 * unit;
    }
    if large < 1e-290 && large > 0.0 {
        // |z| might be subnormal.
        const SCALE: f64 = 18_014_398_509_481_984.0;
        return far((SCALE * a).hypot(SCALE * b)) - 54.0 * LN_2 * unit;
    }
    far(a.hypot(b))
}

/// The principal natural logarithm.
#[inline]
pub fn log(z: C64) -> C64 {
    c(log_abs(z.re, z.im, 1.0, f64::ln), z.im.atan2(z.re))
}

/// The principal logarithm to base 2.
#[inline]
pub fn log2(z: C64) -> C64 {
    c(log_abs(z.re, z.im, LOG2_E, f64::log2), z.im.atan2(z.re) / LN_2)
}

/// The principal logarithm to base 10.
#[inline]
pub fn log10(z: C64) -> C64 {
    c(log_abs(z.re, z.im, LOG10_E, f64::log10), z.im.atan2(z.re) / LN_10)
}

/// log(1 + z), accurate near zero.
#[inline]
pub fn log1p(z: C64) -> C64 {
    let (x, y) = (z.re, z.im);
    if x.is_nan() || y.is_nan() {
        return c(f64::NAN, f64::NAN);
    }
    if x == 0.0 && y == 0.0 {
        return z;
    }
    if y.is_infinite() && (1.0 + x) - 1.0 != x {
        // PyTorch divides by the rounded difference here, and gets NaN.
        return c(f64::NAN, f64::NAN);
    }
    let imaginary = y.atan2(1.0 + x);
    if x.abs() < 2.0 && y.abs() < 2.0 {
        // |1 + z|² - 1 = 2x + x² + y².
        let (x2, x2_low) = two_product(x, x);
        let (y2, y2_low) = two_product(y, y);
        let (sum, low) = two_sum(2.0 * x, x2);
        let (sum, low_again) = two_sum(sum, y2);
        let excess = sum + (low + low_again + (x2_low + y2_low));
        if excess > -0.5 {
            return c(0.5 * excess.ln_1p(), imaginary);
        }
    }
    c(log_abs(1.0 + x, y, 1.0, f64::ln), imaginary)
}

/// The principal square root.
#[inline]
pub fn sqrt(z: C64) -> C64 {
    let (x, y) = (z.re, z.im);
    if x == 0.0 && y == 0.0 {
        return c(0.0, y);
    }
    if y.is_infinite() {
        return c(f64::INFINITY, y);
    }
    if x.is_infinite() {
        // The vanishing part is NaN with y, and a zero otherwise.
        let nothing = if y.is_nan() { y } else { 0.0 };
        return if x > 0.0 { c(x, nothing.copysign(y)) } else { c(nothing, f64::INFINITY.copysign(y)) };
    }
    let size = x.abs().max(y.abs());
    // Scaled by powers of four where |z| or its digits would be lost.
    let (scale, back) = if size > 1e300 {
        (0.0625, 4.0)
    } else if size < 1e-290 {
        (2f64.powi(108), 2f64.powi(-54))
    } else {
        (1.0, 1.0)
    };
    let (a, b) = (scale * x.abs(), scale * y);
    let root = (0.5 * (a + a.hypot(b))).sqrt();
    let other = b / (2.0 * root);
    if x >= 0.0 { c(back * root, back * other) } else { c(back * other.abs(), (back * root).copysign(y)) }
}

/// 1/√z.
#[inline]
pub fn rsqrt(z: C64) -> C64 {
    reciprocal(sqrt(z))
}

/// The product with infinities recovered from NaN, after C99's Annex G.
fn mul_recovering(z: C64, w: C64) -> C64 {
    let product = mul(z, w);
    if !(product.re.is_nan() && product.im.is_nan()) {
        return product;
    }
    let infinite = |v: C64| v.re.is_infinite() || v.im.is_infinite();
    let boxed = |v: C64| {
        let unit = |part: f64| (if part.is_infinite() { 1f64 } else { 0.0 }).copysign(part);
        c(unit(v.re), unit(v.im))
    };
    let without_nan = |v: C64| {
        let plain = |part: f64| if part.is_nan() { 0f64.copysign(part) } else { part };
        c(plain(v.re), plain(v.im))
    };
    let (mut a, mut b) = (z, w);
    let mut recover = false;
    if infinite(a) {
        (a, b, recover) = (boxed(a), without_nan(b), true);
    }
    if infinite(b) {
        (a, b, recover) = (without_nan(a), boxed(b), true);
    }
    let overflowed = [z.re * w.re, z.im * w.im, z.re * w.im, z.im * w.re].into_iter().any(f64::is_infinite);
    if !recover && overflowed {
        (a, b, recover) = (without_nan(a), without_nan(b), true);
    }
    if !recover {
        return product;
    }
    let finite = mul(a, b);
    c(f64::INFINITY * finite.re, f64::INFINITY * finite.im)
}

/// e^(w log z), with whatever that gives at 0 and ∞.
#[inline]
pub fn pow(z: C64, w: C64) -> C64 {
    exp(mul_recovering(w, log(z)))
}

/// [`pow`] for one exponent applied to many numbers: 0, 1, 2, 3, ±1/2, -1 and -2 are computed by roots and products.
#[inline]
pub fn pow_scalar(z: C64, w: C64) -> C64 {
    if w.im != 0.0 {
        return pow(z, w);
    }
    match w.re {
        0.0 => c(1.0, 0.0),
        1.0 => z,
        2.0 => mul(z, z),
        3.0 => mul(mul(z, z), z),
        0.5 => sqrt(z),
        -0.5 => rsqrt(z),
        -1.0 => reciprocal(z),
        -2.0 => reciprocal(mul(z, z)),
        _ => pow(z, w),
    }
}

/// The logistic function 1/(1 + e^-z).
#[inline]
pub fn sigmoid(z: C64) -> C64 {
    let w = exp(-z);
    div(c(1.0, 0.0), c(1.0 + w.re, w.im))
}
