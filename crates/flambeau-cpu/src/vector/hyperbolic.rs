//! Functions of `exp(x) - 1` and of `1 + exp(x)`.

use super::coefficients::{TANH_MIDDLES, TANH_PIECES};
use super::exp::{exp_double, exp_single, limit, parts, power, short_parts};
use super::lane::{Double, Single, piece, pieces, single};
use super::polynomial;
use super::series::SINH;

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

/// Polynomials between 1/4 and 12, found by two bits of numbers; where 3/16 would be, what `tanh(z)` is less than `z` up to 1/4.
static PIECES: [[f32; 16]; 9] = pieces(&TANH_PIECES);
static MIDDLES: [f32; 16] = single(&TANH_MIDDLES);

#[inline(always)]
pub(super) fn tanh_single<L: Single>(x: L) -> L {
    // From 9.02 on the result is 1.
    let z = x.magnitude().at_most(9.5);
    let place = z.at_least(0.1875);
    let t = z.minus(place.pick_by_bits::<22>(&MIDDLES));
    let (first, tail) = piece::<22, _, _>(place, t, &PIECES);
    z.or_from(z, 0.25, first).plus(tail).with_sign(x)
}

/// As PyTorch computes it, 0 where `exp(-x)` overflows: within two units in the last place elsewhere.
#[inline(always)]
pub(super) fn sigmoid_single<L: Single>(x: L) -> L {
    let one = L::of(1.0);
    one.over(one.plus(exp_single(L::of(0.0).minus(x))))
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
pub(super) fn sigmoid_double<L: Double>(x: L) -> L {
    let one = L::of(1.0);
    one.over(one.plus(exp_double(L::of(0.0).minus(x))))
}

/// `exp(x)` as a sum of two, times `2^-shift`.
#[inline(always)]
fn exp_pair(x: f64, shift: f64) -> (f64, f64) {
    let (k, h, l) = parts(x);
    let s = power(k - shift);
    let part = s * h;
    let sum = s + part;
    (sum, s.mul_add(l, part - (sum - s)))
}

#[inline(always)]
pub(super) fn expm1_double(x: f64) -> f64 {
    let (k, h, l) = parts(limit(x, -50.0, 710.0));
    // Half of it, as the power may be just too large.
    let s = power(k - 1.0);
    let (whole, part) = (s - 0.5, s * h);
    let sum = whole + part;
    let y = 2.0 * (sum + s.mul_add(l, part - (sum - whole)));
    if x.abs() < 1e-17 { x } else { y }
}

#[inline(always)]
pub(super) fn sinh_double(x: f64) -> f64 {
    let z = limit(x.abs(), 0.0, 710.5);
    let square = z * z;
    let near = (z * square).mul_add(polynomial(&SINH, square), z);
    let (high, low) = exp_pair(z, 2.0);
    let far = 2.0 * (high + (low - 0.0625 / (high + low)));
    (if z < 1.0 { near } else { far }).copysign(x)
}

#[inline(always)]
pub(super) fn cosh_double(x: f64) -> f64 {
    let (high, low) = exp_pair(limit(x.abs(), 0.0, 710.5), 2.0);
    2.0 * (high + (low + 0.0625 / (high + low)))
}
