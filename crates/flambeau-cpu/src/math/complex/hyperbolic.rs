//! Hyperbolic and circular functions; the circular ones are the hyperbolic ones of iz.

use super::exponential::exp_polar;
use super::{C64, c, over_i, times_i};

/// The hyperbolic sine.
#[inline]
pub fn sinh(z: C64) -> C64 {
    let (x, y) = (z.re, z.im);
    if y == 0.0 {
        return c(x.sinh(), y);
    }
    if !y.is_finite() {
        if x == 0.0 {
            return c(x, f64::NAN);
        }
        return c(if x.is_infinite() { f64::INFINITY } else { f64::NAN }, f64::NAN);
    }
    if x.abs() >= 700.0 && x.is_finite() {
        let w = exp_polar(0.5, x.abs(), y);
        return c(w.re * 1f64.copysign(x), w.im);
    }
    let (sine, cosine) = y.sin_cos();
    c(x.sinh() * cosine, x.cosh() * sine)
}

/// The hyperbolic cosine.
#[inline]
pub fn cosh(z: C64) -> C64 {
    let (x, y) = (z.re, z.im);
    if y == 0.0 {
        return c(x.cosh(), if x.is_nan() { y } else { y * 1f64.copysign(x) });
    }
    if !y.is_finite() {
        if x == 0.0 {
            return c(f64::NAN, 0.0);
        }
        return c(if x.is_infinite() { f64::INFINITY } else { f64::NAN }, f64::NAN);
    }
    if x.abs() >= 700.0 && x.is_finite() {
        let w = exp_polar(0.5, x.abs(), y);
        return c(w.re, w.im * 1f64.copysign(x));
    }
    let (sine, cosine) = y.sin_cos();
    c(x.cosh() * cosine, x.sinh() * sine)
}

/// The hyperbolic tangent, by Kahan's formula ("Branch Cuts for Complex Elementary Functions", 1987).
#[inline]
pub fn tanh(z: C64) -> C64 {
    let (x, y) = (z.re, z.im);
    if x.is_infinite() {
        let tail = if y.is_finite() {
            let (sine, cosine) = y.sin_cos();
            0.0 * (sine * cosine)
        } else {
            0f64.copysign(y)
        };
        return c(1f64.copysign(x), tail);
    }
    if y == 0.0 {
        return c(x.tanh(), y);
    }
    if !y.is_finite() {
        return c(if x == 0.0 { x } else { f64::NAN }, f64::NAN);
    }
    if x.abs() > 22.0 {
        let (sine, cosine) = y.sin_cos();
        return c(1f64.copysign(x), 4.0 * (sine * cosine) * (-2.0 * x.abs()).exp());
    }
    let tangent = y.tan();
    let beta = 1.0 + tangent * tangent;
    let s = x.sinh();
    let denominator = 1.0 + beta * (s * s);
    c(beta * x.cosh() * s / denominator, tangent / denominator)
}

/// The sine.
#[inline]
pub fn sin(z: C64) -> C64 {
    over_i(sinh(times_i(z)))
}

/// The cosine.
#[inline]
pub fn cos(z: C64) -> C64 {
    cosh(times_i(z))
}

/// The tangent.
#[inline]
pub fn tan(z: C64) -> C64 {
    over_i(tanh(times_i(z)))
}
