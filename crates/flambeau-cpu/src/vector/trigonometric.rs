//! Sine and cosine: `sin(x) = (-1)^n sin(r)` with `r = x - n pi`, where `n` is a half of an odd number for the cosine.

use super::coefficients::{COS_TINY, COSINES, SIN_SHORT, SIN_TINY, SINES, SINES_REST};
use super::lane::{Double, series_double};
use super::{MAGIC, horner};
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
