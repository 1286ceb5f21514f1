//! Building blocks of the other files: polynomials, exact reductions, squares in an exponent.

use std::f64::consts::PI;

/// A polynomial by Horner's rule, lowest power first.
#[inline(always)]
pub(super) fn horner<const N: usize>(x: f64, coefficients: &[f64; N]) -> f64 {
    let mut sum = coefficients[N - 1];
    for i in (0..N - 1).rev() {
        sum = sum * x + coefficients[i];
    }
    sum
}

/// The quotient of two polynomials.
#[inline(always)]
pub(super) fn ratio<const N: usize, const M: usize>(x: f64, above: &[f64; N], below: &[f64; M]) -> f64 {
    horner(x, above) / horner(x, below)
}

/// `x` minus a constant held as a sum of two doubles: accurate where the difference nearly vanishes.
#[inline(always)]
pub(super) fn minus(x: f64, (high, low): (f64, f64)) -> f64 {
    (x - high) - low
}

/// The product as an unevaluated sum of two doubles.
#[inline(always)]
pub(super) fn two_product(a: f64, b: f64) -> (f64, f64) {
    let product = a * b;
    (product, a.mul_add(b, -product))
}

/// The sum as an unevaluated sum of two doubles (Knuth).
#[inline(always)]
pub(super) fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let part = sum - a;
    (sum, (a - (sum - part)) + (b - part))
}

/// `exp(scale * x * x)` for a power of two `scale` of either sign, |x| < 40 or an overflowing result.
///
/// The rounding of x² would be magnified by x², so x is split: its upper half squares exactly.
#[inline]
pub(super) fn exp_square(scale: f64, x: f64) -> f64 {
    let high = f64::from_bits(x.to_bits() & !0x07ff_ffff);
    let rest = scale * ((x - high) * (x + high));
    (scale * (high * high)).exp() * (1.0 + rest * (1.0 + rest * (0.5 + rest * (1.0 / 6.0))))
}

/// The distance of x to the nearest even integer, in [-1, 1], exactly.
#[inline(always)]
fn modulo_two(x: f64) -> f64 {
    x - 2.0 * (0.5 * x).round_ties_even()
}

/// sin(πx), zero at every integer.
#[inline]
pub(super) fn sin_pi(x: f64) -> f64 {
    let mut r = modulo_two(x);
    if r.abs() > 0.5 {
        r = 1f64.copysign(r) - r;
    }
    if r.abs() <= 0.25 { (PI * r).sin() } else { (PI * (0.5 - r.abs())).cos().copysign(r) }
}

/// cos(πx), zero at every half integer.
#[inline]
pub(super) fn cos_pi(x: f64) -> f64 {
    let r = modulo_two(x).abs();
    let (r, sign) = if r > 0.5 { (1.0 - r, -1.0) } else { (r, 1.0) };
    sign * if r <= 0.25 { (PI * r).cos() } else { (PI * (0.5 - r)).sin() }
}
