//! What the error function leaves of 1, and its inverse.
//!
//! The tail is `exp(-z^2)` times a smooth function of `(z - a) / (z + a)` (M. M. Shepherd and J. G. Laframboise, "Chebyshev
//! approximation of (1 + 2x) exp(x^2) erfc x", 1981). The inverse is `x` times a function of `log(1 - x^2)` (M. B. Giles,
//! "Approximating the erfinv function", 2011).

use super::coefficients::ERF;
use super::exp::{limit, parts, scaled, short_parts};
use super::log::{short, split};
use super::log_pairs::{log_plain, two_sum};
use super::polynomial;
use super::series::{
    ERFC_LONG, ERFC_LONG_REST, ERFC_SHORT, ERFINV, ERFINV_END, ERFINV_END_REST, ERFINV_FAR, ERFINV_FAR_REST,
    ERFINV_REST, ERFINV_SHORT, ERFINV_SHORT_FAR,
};
use std::f64::consts::LN_2;

#[inline(always)]
pub(super) fn erfc_single(x: f32) -> f32 {
    // From 10.06 on the result is 0.
    let z = limit(x.abs() as f64, 0.0, 10.4);
    let (s, t) = short_parts(-(z * z));
    let r = 1.0 / (z + 2.0);
    let q = s * (polynomial(&ERFC_SHORT, (z - 2.0) * r) * r);
    let y = q.mul_add(t, q);
    (if x < 0.0 { 2.0 - y } else { y }) as f32
}

#[inline(always)]
pub(super) fn erfc_double(x: f64) -> f64 {
    let square = x * x;
    let less = 1.0 - x;
    // `1 - erf(x)`, and what the first difference lost.
    let near = less + (-x).mul_add(polynomial(&ERF, square), (1.0 - less) - x);
    let z = limit(x.abs(), 0.5, 28.0);
    let square = z * z;
    let (k, h, l) = parts(-square);
    let den = z + 3.0;
    let r = 1.0 / den;
    let t = (z - 3.0) * r;
    let (q, q_low) = polynomial_pair(&ERFC_LONG, &ERFC_LONG_REST, t, (-t).mul_add(den, z - 3.0) * r);
    let scale = q * r;
    let scale_low = q_low.mul_add(r, q.mul_add(r, -scale));
    // What the square, the sum and the reciprocal lost, as a factor.
    let lost = (-r).mul_add(z - (den - 3.0), (-r).mul_add(den, 1.0)) - z.mul_add(z, -square);
    let e = h + l;
    let low = scale.mul_add(lost, scale_low);
    let far = scaled(scale + scale.mul_add(e, low.mul_add(e, low)), k);
    let far = if x < 0.0 { 2.0 - far } else { far };
    if x.abs() < 0.75 { near } else { far }
}

#[inline(always)]
pub(super) fn erfinv_single(x: f32) -> f32 {
    let x = x as f64;
    let (k, f) = split(x.mul_add(-x, 1.0));
    let w = -k.mul_add(LN_2, short(f));
    let near = polynomial(&ERFINV_SHORT, w - 2.5);
    let far = polynomial(&ERFINV_SHORT_FAR, w.sqrt() - 3.1875);
    outside(x, x * if w < 5.0 { near } else { far }) as f32
}

#[inline(always)]
pub(super) fn erfinv_double(x: f64) -> f64 {
    let (w, w_low) = log_plain(x.mul_add(-x, 1.0));
    let (w, w_low) = (-w, -w_low);
    let root = w.sqrt();
    let root_low = ((-root).mul_add(root, w) + w_low) / (2.0 * root);
    let near = polynomial_pair(&ERFINV, &ERFINV_REST, w, w_low);
    let far = polynomial_pair(&ERFINV_FAR, &ERFINV_FAR_REST, root - 2.75, root_low);
    let end = polynomial_pair(&ERFINV_END, &ERFINV_END_REST, root - 4.875, root_low);
    let far = if w < 13.0 { far } else { end };
    let (y, low) = if w < 3.5 { near } else { far };
    outside(x, x.mul_add(y, x * low).copysign(x))
}

/// A polynomial as a sum of two; `low` is what the variable lost, for which a secant is enough.
#[inline(always)]
fn polynomial_pair<const N: usize>(coefficients: &[f64; N], rest: &[f64; 2], t: f64, low: f64) -> (f64, f64) {
    // Horner's rule: sums of even and of odd powers would be larger than both.
    let mut slope = coefficients[N - 1];
    for i in (1..N - 1).rev() {
        slope = slope.mul_add(t, coefficients[i]);
    }
    let part = t * slope;
    let (sum, lost) = two_sum(coefficients[0], part);
    let low = low.mul_add(slope, t.mul_add(slope, -part));
    (sum, low + t.mul_add(rest[1], rest[0]) + lost)
}

/// `y` between -1 and 1.
#[inline(always)]
fn outside(x: f64, y: f64) -> f64 {
    let z = x.abs();
    let y = if z < 1.0 { y } else { f64::NAN };
    if z == 1.0 { f64::INFINITY.copysign(x) } else { y }
}
