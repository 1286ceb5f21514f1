//! Exponential functions: `exp(x) = 2^n exp(r)` with `|r| <= log(2) / 2`.

use super::coefficients::{EXP, EXP_SHORT, EXP_TINY, SIXTEENTHS, SIXTEENTHS_REST};
use super::lane::{Double, Single, rest, series, series_double, single};
use super::log_pairs::log2_medium;
use super::{MAGIC, polynomial};
use std::f64::consts::{LN_2, LOG2_E};

/// The upper bits of log(2), so few that its products with exponents are exact, and the rest.
pub(super) const LN_2_HIGH: f64 = f64::from_bits(LN_2.to_bits() & 0xFFFF_FFFF_0000_0000);
pub(super) const LN_2_LOW: f64 = LN_2 - LN_2_HIGH + LN_2_REST;
/// What log(2) has beyond its nearest `f64`.
const LN_2_REST: f64 = 2.3190468138462996e-17;
const ONE: u64 = 1f64.to_bits();

/// `2^n` from `k = n + MAGIC`, for `n` from -1022 to 1023.
#[inline(always)]
pub(super) fn power(k: f64) -> f64 {
    f64::from_bits((k.to_bits() << 52).wrapping_add(ONE))
}

/// Limits to a range; NaN stays.
#[inline(always)]
pub(super) fn limit(x: f64, low: f64, high: f64) -> f64 {
    let x = if x < low { low } else { x };
    if x > high { high } else { x }
}

/// `(s, t)` with `exp(x) = s (1 + t)`, `t` to 31 bits, for `|x| < 700`.
#[inline(always)]
pub(super) fn short_parts(x: f64) -> (f64, f64) {
    let k = x.mul_add(LOG2_E, MAGIC);
    let r = (k - MAGIC).mul_add(-LN_2, x);
    (power(k), r * polynomial(&EXP_SHORT, r))
}

/// As [`exp_single`], whose series has the powers of `log(2)` in it.
#[inline(always)]
pub(super) fn exp2_single<L: Single>(x: L) -> L {
    const SERIES: [f64; 3] = [LN_2 * LN_2 / 2.0, LN_2 * LN_2 * LN_2 / 6.0, LN_2 * LN_2 * LN_2 * LN_2 / 24.0];
    let x = x.at_least(-160.0).at_most(130.0);
    let k = x.plus(L::of(SIXTEENTHS_MAGIC_SINGLE));
    // Exact.
    let r = x.minus(k.minus(L::of(SIXTEENTHS_MAGIC_SINGLE)));
    let linear = r.times(L::of(LN_2_SINGLE));
    let p = r.times(r).fused(series(&SERIES, r), linear);
    let high = k.pick(&POWERS_HIGH);
    high.plus(high.fused(p, k.pick(&POWERS_LOW))).scaled(k)
}

#[inline(always)]
fn exp2_short(x: f64) -> f32 {
    let x = limit(x, -160.0, 130.0);
    let k = x + MAGIC;
    let r = (x - (k - MAGIC)) * LN_2;
    let s = power(k);
    s.mul_add(r * polynomial(&EXP_SHORT, r), s) as f32
}

/// `(k, h, l)` with `exp(x) = 2^n (1 + h + l)`, `k = n + MAGIC`, and `l` much smaller than `h`, for `|x| < 1000`.
#[inline(always)]
pub(super) fn parts(x: f64) -> (f64, f64, f64) {
    let k = x.mul_add(LOG2_E, MAGIC);
    let n = k - MAGIC;
    let high = n.mul_add(-LN_2_HIGH, x);
    let low = n * LN_2_LOW;
    let r = high - low;
    (k, high, (r * r).mul_add(polynomial(&EXP, r), -low))
}

/// As [`MAGIC`], in `f32`.
pub(super) const MAGIC_SINGLE: f32 = 12582912.0;

/// Adding it rounds to sixteenths, whose number the low bits of the sum hold.
pub(super) const SIXTEENTHS_MAGIC_SINGLE: f32 = MAGIC_SINGLE / 16.0;
/// As [`SIXTEENTHS_MAGIC_SINGLE`], for `f64`.
pub(super) const SIXTEENTHS_MAGIC: f64 = MAGIC / 16.0;

static POWERS_HIGH: [f32; 16] = single(&SIXTEENTHS);
static POWERS_LOW: [f32; 16] = rest(&SIXTEENTHS, &single(&SIXTEENTHS));
const LN_2_SINGLE: f32 = LN_2 as f32;
const LN_2_SINGLE_REST: f32 = (LN_2 - LN_2_SINGLE as f64) as f32;

/// `(k, high, rest)` with `exp(x) = 2^floor(n) (high + rest)`, `k = n + SIXTEENTHS_MAGIC_SINGLE`, for `|x| < 120`: the sixteenth
/// part of a power of two from a table (P. T. P. Tang, "Table-driven implementation of the exponential function in IEEE
/// floating-point arithmetic", 1989).
#[inline(always)]
pub(super) fn parts_single<L: Single>(x: L) -> (L, L, L) {
    let k = x.fused(L::of(LOG2_E as f32), L::of(SIXTEENTHS_MAGIC_SINGLE));
    let n = k.minus(L::of(SIXTEENTHS_MAGIC_SINGLE));
    let r = n.fused(L::of(-LN_2_SINGLE_REST), n.fused(L::of(-LN_2_SINGLE), x));
    let series = L::of(1.0 / 24.0).fused(r, L::of(1.0 / 6.0)).fused(r, L::of(0.5));
    let p = r.times(r).fused(series, r);
    let high = k.pick(&POWERS_HIGH);
    (k, high, high.fused(p, k.pick(&POWERS_LOW)))
}

#[inline(always)]
pub(super) fn exp_single<L: Single>(x: L) -> L {
    // Below it is zero: a product that leaves the range takes the processor a hundred cycles, and masks are of such numbers.
    let zero = L::of(0.0);
    let (k, high, rest) = parts_single(x.or_any_below(-104.0).at_most(90.0));
    zero.or_from(x, -104.0, high.plus(rest).scaled(k))
}

static POWERS: [f64; 16] = SIXTEENTHS;
static POWERS_REST: [f64; 16] = SIXTEENTHS_REST;

/// As [`exp_single`], in `f64`.
#[inline(always)]
pub(super) fn exp_double<L: Double>(x: L) -> L {
    let (zero, given) = (L::of(0.0), x);
    let x = given.or_any_below(-746.0).at_most(710.0);
    let k = x.fused(L::of(LOG2_E), L::of(SIXTEENTHS_MAGIC));
    let n = k.minus(L::of(SIXTEENTHS_MAGIC));
    let r = n.fused(L::of(-LN_2_REST), n.fused(L::of(-LN_2), x));
    let p = r.times(r).fused(series_double(&EXP_TINY, r), r);
    let high = k.pick(&POWERS);
    zero.or_from(given, -746.0, high.plus(high.fused(p, k.pick(&POWERS_REST))).scaled(k))
}

/// `2^x` by a polynomial alone: the fraction times log(2) is a sum of two.
#[inline(always)]
pub(super) fn exp2_double(x: f64) -> f64 {
    let x = limit(x, -1100.0, 1025.0);
    let k = x + MAGIC;
    let fraction = x - (k - MAGIC);
    let r = fraction * LN_2;
    let low = fraction.mul_add(LN_2_REST, fraction.mul_add(LN_2, -r));
    let tail = (r * r).mul_add(polynomial(&EXP, r), low);
    scaled(1.0 + (r + tail), k)
}

/// `y 2^n` rounded once, from `k = n + MAGIC`, for `n` from -1200 to 1200.
#[inline(always)]
pub(super) fn scaled(y: f64, k: f64) -> f64 {
    const UP: f64 = f64::from_bits((1023 + 200) << 52);
    let small = k < MAGIC;
    let first = power(if small { k + 200.0 } else { k - 200.0 });
    y * first * if small { 1.0 / UP } else { UP }
}

/// `a^b`, or NaN where the result may not be a normal number or is a special case.
#[inline(always)]
pub(crate) fn pow_single(a: f32, b: f32) -> f32 {
    let z = a.abs();
    let x = b as f64 * log2_medium(z as f64);
    let whole = b == b.trunc();
    let odd = whole & (b * 0.5 != (b * 0.5).trunc());
    let y = exp2_short(x);
    let y = if (a < 0.0) & odd { -y } else { y };
    let counts = (z > 0.0) & (z < f32::INFINITY) & (x.abs() < 126.0) & ((a > 0.0) | whole);
    if counts { y } else { f32::NAN }
}
