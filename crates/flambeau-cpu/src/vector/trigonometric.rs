//! Sine and cosine: `sin(x) = (-1)^n sin(r)` with `r = x - n pi`, where `n` is a half of an odd number for the cosine.

use super::coefficients::{SIN, SIN_SHORT};
use super::{MAGIC, horner, polynomial};
use std::f64::consts::{FRAC_1_PI, PI};

/// What pi has beyond its nearest `f64`.
const PI_REST: f64 = 1.2246467991473532e-16;
/// Pi in pieces whose products with integers below 2^20 are exact, but for the last.
const PI_1: f64 = f64::from_bits(PI.to_bits() & 0xFFFF_FFFF_0000_0000);
const PI_2: f64 = f64::from_bits((PI - PI_1 + PI_REST).to_bits() & 0xFFFF_FFFF_0000_0000);
const PI_3: f64 = PI - PI_1 - PI_2 + PI_REST;

/// [`SIN`] without its first coefficient.
const SIN_REST: [f64; SIN.len() - 1] = {
    let mut rest = [0.0; SIN.len() - 1];
    let mut i = 0;
    while i < rest.len() {
        rest[i] = SIN[i + 1];
        i += 1;
    }
    rest
};

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

#[inline(always)]
fn long(x: f64, n: f64) -> f64 {
    let first = n.mul_add(-PI_1, x);
    let second = n * PI_2;
    let high = first - second;
    let low = n.mul_add(-PI_3, (first - high) - second);
    let r = high + low;
    let low = (high - r) + low;
    let square = r * r;
    let cube = r * square;
    // What these two lost, times the polynomial, which is near its first coefficient.
    let lost = r.mul_add(square, -cube) + r * r.mul_add(r, -square);
    // r - r^3/6 as a sum of two numbers, then the small terms.
    let third = cube * SIN[0];
    let third_low = cube.mul_add(SIN[0], -third) + lost.mul_add(SIN[0], low);
    let sum = r + third;
    let rest = third - (sum - r) + third_low;
    sum + (cube * square).mul_add(polynomial(&SIN_REST, square), rest)
}

#[inline(always)]
pub(super) fn sin_double(x: f64) -> f64 {
    let k = x.mul_add(FRAC_1_PI, MAGIC);
    let y = flip(long(x, k - MAGIC), k.to_bits());
    if x == 0.0 { x } else { y }
}

#[inline(always)]
pub(super) fn cos_double(x: f64) -> f64 {
    let k = x.mul_add(FRAC_1_PI, -0.5) + MAGIC;
    flip(long(x, k - MAGIC + 0.5), k.to_bits() ^ 1)
}
