//! Logarithms: `log(x) = k log(2) + log(m)` with `m` between the roots of 1/2 and 2.

use super::coefficients::{
    LOG_OF_RECIPROCALS, LOG_OF_RECIPROCALS_HIGH, LOG_OF_RECIPROCALS_REST, LOG_SHORT, LOG_TAIL,
    LOG_TAIL_SINGLE,
};
use super::exp::{LN_2_HIGH, LN_2_LOW};
use super::lane::{Double, Lane, Single, series, series_double, single};
use super::polynomial;
use std::f64::consts::{FRAC_1_SQRT_2, LN_2, LOG2_E, LOG10_2, LOG10_E};

/// `(k, m - 1)` of a positive normal number.
#[inline(always)]
pub(super) fn split(x: f64) -> (f64, f64) {
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
pub(super) fn special(x: f64, y: f64) -> f64 {
    let y = if x < f64::INFINITY { y } else { x };
    let outside = if x == 0.0 { f64::NEG_INFINITY } else { f64::NAN };
    if x > 0.0 { y } else { outside }
}

#[inline(always)]
pub(super) fn short(f: f64) -> f64 {
    f * polynomial(&LOG_SHORT, f)
}

/// What logarithms by table look up by the highest four bits of significands.
struct Tables<T> {
    minus_one: T,
    /// What is added to the exponent: from 3/2 on the others are meant for half the significand, so that there is nothing to
    /// cancel on either side of 1.
    halved: [T; 16],
    /// Reciprocals `c` of the middles of sixteenths of `[1, 2)`, so short that `m c - 1` is exact.
    reciprocals: [T; 16],
    /// `-log(c)`, less `log(2)` in the upper half: so few binary places that sums with multiples of `ln_2_high` are exact.
    high: [T; 16],
    /// What is left of these.
    low: [T; 16],
    /// The upper bits of log(2), so few that its products with exponents are exact.
    ln_2_high: T,
    ln_2_low: T,
}

const HALVED: [f64; 16] = [0., 0., 0., 0., 0., 0., 0., 0., 1., 1., 1., 1., 1., 1., 1., 1.];
const RECIPROCALS: [f64; 16] = [
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
];

/// Tables of logarithms to a base by that of e to it (`factor`) and that of two, a sum of two numbers.
const fn tables(factor: f64, [ln_2_high, ln_2_low]: [f32; 2]) -> Tables<f32> {
    // Adding and subtracting it rounds a small number to 16 binary places.
    const ROUNDER: f64 = 103079215104.0;
    let (mut high, mut low) = ([0.0; 16], [0.0; 16]);
    let mut j = 0;
    while j < 16 {
        let exact = LOG_OF_RECIPROCALS[j] * factor;
        high[j] = ((exact + ROUNDER) - ROUNDER) as f32;
        low[j] = (exact - high[j] as f64) as f32;
        j += 1;
    }
    let (halved, reciprocals) = (single(&HALVED), single(&RECIPROCALS));
    Tables { minus_one: -1.0, halved, reciprocals, high, low, ln_2_high, ln_2_low }
}

/// The upper bits of a number, so few that its products with exponents are exact, and what they leave.
const fn halves(number: f64) -> [f32; 2] {
    let high = f32::from_bits((number as f32).to_bits() & 0xFFFF_FF00);
    [high, (number - high as f64) as f32]
}

static SINGLE: Tables<f32> = tables(1.0, halves(LN_2));
static DOUBLE: Tables<f64> = Tables {
    minus_one: -1.0,
    halved: HALVED,
    reciprocals: RECIPROCALS,
    high: LOG_OF_RECIPROCALS_HIGH,
    low: LOG_OF_RECIPROCALS_REST,
    ln_2_high: LN_2_HIGH,
    ln_2_low: LN_2_LOW,
};

/// A logarithm before its series: `whole + low + log(1 + f)` (P. T. P. Tang, "Table-driven implementation of the logarithm function
/// in IEEE floating-point arithmetic", 1990).
struct Parts<L> {
    /// What is left of the significand, from -1/32 to 1/16.
    f: L,
    /// Exact.
    whole: L,
    low: L,
}

impl<L: Lane> Parts<L> {
    #[inline(always)]
    fn of<const SHIFT: u32>(x: L, tables: &Tables<L::Number>) -> Self {
        let (exponent, m) = x.split();
        let k = exponent.plus(m.pick_by_bits::<SHIFT>(&tables.halved));
        let f = m.fused(m.pick_by_bits::<SHIFT>(&tables.reciprocals), L::of(tables.minus_one));
        let whole = k.fused(L::of(tables.ln_2_high), m.pick_by_bits::<SHIFT>(&tables.high));
        let low = k.fused(L::of(tables.ln_2_low), m.pick_by_bits::<SHIFT>(&tables.low));
        Parts { f, whole, low }
    }
}

/// The largest terms are not summed exactly as in [`log_double`]: at most another quarter of a unit is lost, between 15/16 and
/// 17/16 nothing.
#[inline(always)]
pub(super) fn log_single<L: Single>(x: L) -> L {
    let Parts { f, whole, low } = Parts::of::<19>(x, &SINGLE);
    let tail = f.times(f).fused(series(&LOG_TAIL_SINGLE, f).fused(f, L::of(-0.5)), low);
    x.or_no_logarithm(whole.plus(f.plus(tail)))
}

#[inline(always)]
pub(super) fn log_double<L: Double>(x: L) -> L {
    let Parts { f, whole, low } = Parts::of::<48>(x, &DOUBLE);
    let sum = whole.plus(f);
    let lost = f.minus(sum.minus(whole));
    let square = f.times(f);
    let tail = square.fused(L::of(-0.5), square.times(f).fused(series_double(&LOG_TAIL, f), low));
    x.or_no_logarithm(sum.plus(lost.plus(tail)))
}

/// Tables of logarithms to another base, and the logarithm of e to it: what series are multiplied by.
struct Based {
    tables: Tables<f32>,
    factor: f32,
    factor_rest: f32,
    series: [f64; 4],
}

/// For the base whose logarithm of e is `factor`.
const fn based(factor: f64, two: [f32; 2]) -> Based {
    let mut series = LOG_TAIL_SINGLE;
    let mut k = 0;
    while k < 4 {
        series[k] *= factor;
        k += 1;
    }
    let nearest = factor as f32;
    let factor_rest = (factor - nearest as f64) as f32;
    Based { tables: tables(factor, two), factor: nearest, factor_rest, series }
}

static TWO: Based = based(LOG2_E, [1.0, 0.0]);
static TEN: Based = based(LOG10_E, halves(LOG10_2));

/// As [`log_single`].
#[inline(always)]
fn log_based<L: Single>(x: L, base: &Based) -> L {
    let Parts { f, whole, low } = Parts::of::<19>(x, &base.tables);
    let inner = series(&base.series, f).fused(f, L::of(-0.5 * base.factor));
    let rest = f.times(f).fused(inner, f.fused(L::of(base.factor_rest), low));
    x.or_no_logarithm(whole.plus(f.fused(L::of(base.factor), rest)))
}

#[inline(always)]
pub(super) fn log2_single<L: Single>(x: L) -> L {
    log_based(x, &TWO)
}

#[inline(always)]
pub(super) fn log10_single<L: Single>(x: L) -> L {
    log_based(x, &TEN)
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
