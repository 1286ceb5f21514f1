//! Functions of `exp(x) - 1` and of `1 + exp(x)`.

use super::exp::{exp_double, exp_single, limit, parts, parts_single, power, power_single, short_parts};

/// `exp(x) - 1` to 30 bits, for `|x| < 700`.
#[inline(always)]
fn expm1_short(x: f64) -> f64 {
    let (s, t) = short_parts(x);
    s.mul_add(t, s - 1.0)
}

#[inline(always)]
pub(super) fn expm1_single(x: f32) -> f32 {
    let y = expm1_short(limit(x as f64, -110.0, 90.0)) as f32;
    if x == 0.0 { x } else { y }
}

#[inline(always)]
pub(super) fn sinh_single(x: f32) -> f32 {
    let z = limit(x as f64, -100.0, 100.0).abs();
    let e = expm1_short(z);
    ((e + e / (e + 1.0)) * 0.5).copysign(x as f64) as f32
}

#[inline(always)]
pub(super) fn cosh_single(x: f32) -> f32 {
    let e = expm1_short(limit(x as f64, -100.0, 100.0).abs()) + 1.0;
    ((e + 1.0 / e) * 0.5) as f32
}

/// `(n + n_low) / (d + d_low)` in `f32`, for small second parts.
#[inline(always)]
fn quotient(n: f32, n_low: f32, d: f32, d_low: f32) -> f32 {
    let inverse = 1.0 / d;
    let q = n * inverse;
    let rest = (-q).mul_add(d_low, (-q).mul_add(d, n) + n_low);
    rest.mul_add(inverse, q)
}

/// `a + b` and what it lost, for `|a| >= |b|` or zero `a`.
#[inline(always)]
fn sum(a: f32, b: f32) -> (f32, f32) {
    let s = a + b;
    (s, b - (s - a))
}

#[inline(always)]
pub(super) fn tanh_single(x: f32) -> f32 {
    let z = x.abs();
    let (k, h, l) = parts_single(2.0 * if z > 10.0 { 10.0 } else { z });
    let s = power_single(k);
    // e = exp(2 |x|) - 1 = (s - 1) + s h + s l
    let (e, rest) = sum(s - 1.0, s * h);
    let (e, e_low) = sum(e, s.mul_add(l, rest));
    let d = e + 2.0;
    let part = d - 2.0;
    let d_low = (2.0 - (d - part)) + (e - part) + e_low;
    quotient(e, e_low, d, d_low).copysign(x)
}

/// As PyTorch computes it, 0 where `exp(-x)` overflows: within two units in the last place elsewhere.
#[inline(always)]
pub(super) fn sigmoid_single(x: f32) -> f32 {
    1.0 / (1.0 + exp_single(-x))
}

#[inline(always)]
pub(super) fn tanh_double(x: f64) -> f64 {
    let (k, h, l) = parts(2.0 * limit(x.abs(), 0.0, 22.0));
    let s = power(k);
    // exp(2 |x|) - 1 = (s - 1) + s h + s l
    let (whole, part) = (s - 1.0, s * h);
    let sum = whole + part;
    let rest = part - (sum - whole);
    let e = sum + s.mul_add(l, rest);
    (e / (e + 2.0)).copysign(x)
}

/// As [`sigmoid_single`].
#[inline(always)]
pub(super) fn sigmoid_double(x: f64) -> f64 {
    1.0 / (1.0 + exp_double(-x))
}
