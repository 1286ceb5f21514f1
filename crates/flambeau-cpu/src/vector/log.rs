//! Logarithms: `log(x) = k log(2) + log(m)` with `m` between the roots of 1/2 and 2.

use super::coefficients::{LOG, LOG_OF_RECIPROCALS, LOG_SHORT};
use super::exp::{LN_2_HIGH, LN_2_LOW};
use super::lane::{Single, rest, single};
use super::polynomial;
use std::f64::consts::{FRAC_1_SQRT_2, LN_2, LOG2_E, LOG10_2, LOG10_E};

/// `(k, m - 1)` of a positive normal number.
#[inline(always)]
fn split(x: f64) -> (f64, f64) {
    let bits = x.to_bits();
    let shifted = bits.wrapping_sub(FRAC_1_SQRT_2.to_bits());
    // The exponent as a number, through the bits of one in [2^52, 2^53): processors convert few integers.
    const OFFSET: f64 = 4503599627370496.0 + 2048.0;
    let exponent = f64::from_bits(0x4330_0000_0000_0000 | ((shifted ^ (1 << 63)) >> 52)) - OFFSET;
    let m = f64::from_bits(bits.wrapping_sub(shifted & (0xFFF << 52)));
    (exponent, m - 1.0)
}

/// `y` unless `x` is zero, negative, infinite or NaN.
#[inline(always)]
fn special(x: f64, y: f64) -> f64 {
    let y = if x < f64::INFINITY { y } else { x };
    let outside = if x == 0.0 { f64::NEG_INFINITY } else { f64::NAN };
    if x > 0.0 { y } else { outside }
}

#[inline(always)]
fn short(f: f64) -> f64 {
    f * polynomial(&LOG_SHORT, f)
}

/// Reciprocals of the middles of sixteenths of `[1, 2)`, so short that `m c - 1` is exact. From 3/2 on they are meant for
/// `m / 2`, so that there is nothing to cancel on either side of 1.
static RECIPROCALS: [f32; 16] = single(&[
    1.0,
    29.0 / 32.0,
    28.0 / 32.0,
    26.0 / 32.0,
    25.0 / 32.0,
    24.0 / 32.0,
    23.0 / 32.0,
    22.0 / 32.0,
    21.0 / 32.0,
    20.0 / 32.0,
    19.0 / 32.0,
    19.0 / 32.0,
    18.0 / 32.0,
    17.0 / 32.0,
    17.0 / 32.0,
    0.5,
]);
/// `-log(c)` of [`RECIPROCALS`], less `log(2)` in the upper half: rounded to 16 binary places, and what is left.
const LOGARITHMS: [f32; 16] = {
    // Adding and subtracting it rounds a small number so.
    const ROUNDER: f64 = 103079215104.0;
    let mut out = [0.0; 16];
    let mut j = 0;
    while j < 16 {
        out[j] = ((LOG_OF_RECIPROCALS[j] + ROUNDER) - ROUNDER) as f32;
        j += 1;
    }
    out
};
static LOGARITHMS_HIGH: [f32; 16] = LOGARITHMS;
static LOGARITHMS_LOW: [f32; 16] = rest(&LOG_OF_RECIPROCALS, &LOGARITHMS);
static HALVED: [f32; 16] = [0., 0., 0., 0., 0., 0., 0., 0., 1., 1., 1., 1., 1., 1., 1., 1.];

/// The upper bits of log(2), so few that its products with exponents are exact, and the rest.
const LN_2_HIGH_SINGLE: f32 = f32::from_bits((LN_2 as f32).to_bits() & 0xFFFF_FF00);
const LN_2_LOW_SINGLE: f32 = (LN_2 - LN_2_HIGH_SINGLE as f64) as f32;

/// In `f32`: the largest terms are summed exactly (P. T. P. Tang, "Table-driven implementation of the logarithm function in
/// IEEE floating-point arithmetic", 1990).
#[inline(always)]
pub(super) fn log_single<L: Single>(x: L) -> L {
    let (exponent, m) = x.split();
    let k = exponent.plus(m.pick_by_bits::<19>(&HALVED));
    let f = m.fused(m.pick_by_bits::<19>(&RECIPROCALS), L::of(-1.0));
    let whole = k.fused(L::of(LN_2_HIGH_SINGLE), m.pick_by_bits::<19>(&LOGARITHMS_HIGH));
    let sum = whole.plus(f);
    let lost = f.minus(sum.minus(whole));
    let square = f.times(f);
    let series = L::of(1.0 / 7.0).fused(f, L::of(-1.0 / 6.0)).fused(f, L::of(0.2)).fused(f, L::of(-0.25));
    let series = series.fused(f, L::of(1.0 / 3.0));
    let low = k.fused(L::of(LN_2_LOW_SINGLE), m.pick_by_bits::<19>(&LOGARITHMS_LOW));
    let tail = square.fused(L::of(-0.5), square.times(f).fused(series, low));
    x.or_no_logarithm(sum.plus(lost.plus(tail)))
}

#[inline(always)]
pub(super) fn log2_single(x: f32) -> f32 {
    let x = x as f64;
    let (k, f) = split(x);
    special(x, short(f).mul_add(LOG2_E, k)) as f32
}

#[inline(always)]
pub(super) fn log10_single(x: f32) -> f32 {
    let x = x as f64;
    let (k, f) = split(x);
    special(x, k.mul_add(LOG10_2, short(f) * LOG10_E)) as f32
}

#[inline(always)]
pub(super) fn log1p_single(v: f32) -> f32 {
    let x = v as f64;
    let u = 1.0 + x;
    let (k, f) = split(u);
    // What the sum lost counts where the logarithm is small.
    let lost = if u < 2.0 { x - (u - 1.0) } else { 0.0 };
    let y = special(u, k.mul_add(LN_2, short(f) + lost)) as f32;
    if v == 0.0 { v } else { y }
}

#[inline(always)]
pub(super) fn log_double(x: f64) -> f64 {
    let tiny = x < f64::MIN_POSITIVE;
    let (k, f) = split(if tiny { x * 18014398509481984.0 } else { x });
    let k = if tiny { k - 54.0 } else { k };
    // With s = f / (2 + f): log(1 + f) = 2 s + s z LOG(z) = f - f^2/2 + s (f^2/2 + z LOG(z)), z = s^2.
    let s = f / (2.0 + f);
    let z = s * s;
    let half = 0.5 * f * f;
    let tail = s.mul_add(z.mul_add(polynomial(&LOG, z), half), k * LN_2_LOW);
    special(x, k * LN_2_HIGH - ((half - tail) - f))
}
