//! Sine and cosine: `sin(x) = (-1)^n sin(r)` with `r = x - n pi`, where `n` is a half of an odd number for the cosine.

use super::coefficients::{COS_TINY, COSINES, SIN_SHORT, SIN_TINY, SINES, SINES_REST};
use super::lane::{Double, series_double};
use super::log_pairs::two_sum;
use super::series::TAN;
use super::{MAGIC, horner, polynomial};
use std::f64::consts::{FRAC_1_PI, PI};

/// What pi has beyond its nearest `f64`.
const PI_REST: f64 = 1.2246467991473532e-16;
/// What pi has beyond the sum of this and its nearest `f64`, and then beyond all three.
const PI_SECOND: f64 = PI_REST;
const PI_THIRD: f64 = -2.9947698097183397e-33;

#[inline(always)]
fn flip(y: f64, odd: u64) -> f64 {
    f64::from_bits(y.to_bits() ^ (odd << 63))
}

#[inline(always)]
fn short(x: f64, n: f64) -> f64 {
    let r = n.mul_add(-PI_REST, n.mul_add(-PI, x));
    let u = r * r;
    r * u.mul_add(horner(&SIN_SHORT, u), 1.0)
}

#[inline(always)]
fn sin_short(x: f64) -> f64 {
    let k = x.mul_add(FRAC_1_PI, MAGIC);
    flip(short(x, k - MAGIC), k.to_bits())
}

#[inline(always)]
fn cos_short(x: f64) -> f64 {
    let k = x.mul_add(FRAC_1_PI, -0.5) + MAGIC;
    flip(short(x, k - MAGIC + 0.5), k.to_bits() ^ 1)
}

#[inline(always)]
pub(super) fn sin_single(x: f32) -> f32 {
    sin_short(x as f64) as f32
}

#[inline(always)]
pub(super) fn cos_single(x: f32) -> f32 {
    cos_short(x as f64) as f32
}

#[inline(always)]
pub(super) fn tan_single(x: f32) -> f32 {
    (sin_short(x as f64) / cos_short(x as f64)) as f32
}

static SIXTEENTH_SINES: [f64; 16] = SINES;
static SIXTEENTH_SINES_REST: [f64; 16] = SINES_REST;
static SIXTEENTH_COSINES: [f64; 16] = COSINES;

/// `sin(x + shift pi / 16)`: with `n` the nearest integer to `16 x / pi` and `r` what is left, by the addition theorem for
/// `n + shift` from tables, and for `r`.
#[inline(always)]
fn shifted<L: Double>(x: L, shift: f64) -> L {
    let k = x.fused(L::of(16.0 * FRAC_1_PI), L::of(MAGIC));
    let n = k.minus(L::of(MAGIC));
    // Each step is exact but for what is far below `r`.
    let r = n.fused(L::of(-PI / 16.0), x);
    let r = n.fused(L::of(-PI_SECOND / 16.0), r);
    let r = n.fused(L::of(-PI_THIRD / 16.0), r);
    let square = r.times(r);
    let sine = r.times(square).fused(series_double(&SIN_TINY, square), r);
    let cosine_less_one = square.times(series_double(&COS_TINY, square));
    let k = k.plus(L::of(shift));
    let high = k.pick(&SIXTEENTH_SINES);
    let low = high.fused(cosine_less_one, k.pick(&SIXTEENTH_SINES_REST));
    high.plus(k.pick(&SIXTEENTH_COSINES).fused(sine, low)).turned(k)
}

#[inline(always)]
pub(super) fn sin_double<L: Double>(x: L) -> L {
    // Small ones are their sines; zeros keep their sign.
    x.or_from(x.magnitude(), 1e-8, shifted(x, 0.0))
}

#[inline(always)]
pub(super) fn cos_double<L: Double>(x: L) -> L {
    shifted(x, 8.0)
}

/// The tangent of what multiples of pi / 2 leave, or the opposite of its reciprocal.
#[inline(always)]
pub(super) fn tan_double(x: f64) -> f64 {
    let k = x.mul_add(2.0 * FRAC_1_PI, MAGIC);
    let n = k - MAGIC;
    let first = n.mul_add(-PI / 2.0, x);
    let product = n * (PI_SECOND / 2.0);
    let (r, lost) = two_sum(first, -product);
    let lost = n.mul_add(-PI_THIRD / 2.0, lost - n.mul_add(PI_SECOND / 2.0, -product));
    let square = r * r;
    // The slope carries on what the reduction lost.
    let tangent = (r * square) * polynomial(&TAN, square);
    let slope = (r + tangent) * (r + tangent) + 1.0;
    let low = lost.mul_add(slope, tangent);
    let high = r + low;
    let low = low - (high - r);
    let inverse = -1.0 / high;
    let error = inverse.mul_add(low, inverse.mul_add(high, 1.0));
    let y = if k.to_bits() & 1 == 0 { high } else { inverse.mul_add(error, inverse) };
    if x.abs() < 1e-8 { x } else { y }
}
