//! Logarithms: `log(x) = k log(2) + log(m)` with `m` between the roots of 1/2 and 2.

use super::coefficients::{LOG, LOG_SHORT, LOG_SINGLE};
use super::exp::{LN_2_HIGH, LN_2_HIGH_SINGLE, LN_2_LOW, LN_2_LOW_SINGLE};
use super::{polynomial, polynomial_single};
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

/// In `f32`: the largest terms are summed exactly.
#[inline(always)]
pub(super) fn log_single(x: f32) -> f32 {
    let tiny = x < f32::MIN_POSITIVE;
    let bits = (if tiny { x * 8388608.0 } else { x }).to_bits();
    let shifted = bits.wrapping_sub((FRAC_1_SQRT_2 as f32).to_bits());
    let offset = if tiny { 8388608.0 + 256.0 + 23.0 } else { 8388608.0 + 256.0f32 };
    let k = f32::from_bits(0x4B00_0000 | ((shifted ^ (1 << 31)) >> 23)) - offset;
    let f = f32::from_bits(bits.wrapping_sub(shifted & (0x1FF << 23))) - 1.0;
    let square = 0.5 * f * f;
    let whole = k * LN_2_HIGH_SINGLE;
    let sum = whole + f;
    let rest = f - (sum - whole);
    let cubic = (f * f * f).mul_add(polynomial_single(&LOG_SINGLE, f), k * LN_2_LOW_SINGLE);
    let y = sum + (rest - (square - cubic));
    let y = if x < f32::INFINITY { y } else { x };
    let outside = if x == 0.0 { f32::NEG_INFINITY } else { f32::NAN };
    if x > 0.0 { y } else { outside }
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
