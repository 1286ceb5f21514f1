//! Logarithms and inverse hyperbolic functions of `f64` as sums of two numbers, by
//! `log(a / b) = 2 atanh((a - b) / (a + b))`: what each step loses is carried on, so that results are nearly rounded
//! correctly. Those of `f32` are computed in `f64`.

use super::MAGIC;
use super::exp::{LN_2_HIGH, LN_2_LOW, limit, power};
use super::log::{short, special, split};
use super::polynomial;
use super::series::{LOG_RATIO, LOG_RATIO_SHORT};
use std::f64::consts::{LN_2, LOG2_E, LOG10_2, LOG10_E};

/// What these have beyond their nearest `f64`.
const LOG2_E_REST: f64 = 2.0355273740931033e-17;
const LOG10_E_REST: f64 = 1.098319650216765e-17;
/// The upper bits, so few that products with exponents are exact, and the rest.
const LOG10_2_HIGH: f64 = f64::from_bits(LOG10_2.to_bits() & 0xFFFF_FFFF_0000_0000);
const LOG10_2_LOW: f64 = LOG10_2 - LOG10_2_HIGH - 2.8037281277851704e-18;

/// The sum and what it lost.
#[inline(always)]
pub(super) fn two_sum(a: f64, b: f64) -> (f64, f64) {
    let sum = a + b;
    let part = sum - a;
    (sum, (a - (sum - part)) + (b - part))
}

/// `(num + num_low) / (den + den_low)` as a sum of two.
#[inline(always)]
pub(super) fn quotient(num: f64, num_low: f64, den: f64, den_low: f64) -> (f64, f64) {
    let reciprocal = 1.0 / den;
    let high = num * reciprocal;
    (high, (-high).mul_add(den_low, (-high).mul_add(den, num) + num_low) * reciprocal)
}

/// `2 atanh(s + rest)` as a sum of two.
#[inline(always)]
fn doubled_atanh(s: f64, rest: f64) -> (f64, f64) {
    let u = s * s;
    (2.0 * s, (s * u).mul_add(polynomial(&LOG_RATIO, u), 2.0 * rest))
}

/// `log(1 + f + low)` as a sum of two, between the roots of 1/2 and 2.
#[inline(always)]
fn near_one(f: f64, low: f64) -> (f64, f64) {
    let den = 2.0 + f;
    let (s, rest) = quotient(f, low, den, f - (den - 2.0) + low);
    doubled_atanh(s, rest)
}

/// `k log(2) + high + low`
#[inline(always)]
fn exponent_pair(k: f64, (high, low): (f64, f64)) -> (f64, f64) {
    let whole = k * LN_2_HIGH;
    let sum = whole + high;
    (sum, (high - (sum - whole)) + k.mul_add(LN_2_LOW, low))
}

#[inline(always)]
fn with_exponent(k: f64, log: (f64, f64)) -> f64 {
    let (sum, low) = exponent_pair(k, log);
    sum + low
}

/// [`split`] of any positive number.
#[inline(always)]
fn split_any(x: f64) -> (f64, f64) {
    let tiny = x < f64::MIN_POSITIVE;
    let (k, f) = split(if tiny { x * 4503599627370496.0 } else { x });
    (if tiny { k - 52.0 } else { k }, f)
}

#[inline(always)]
pub(super) fn log2_double(x: f64) -> f64 {
    let (k, f) = split_any(x);
    let (high, low) = near_one(f, 0.0);
    let part = high * LOG2_E;
    let rest = low.mul_add(LOG2_E, high.mul_add(LOG2_E_REST, high.mul_add(LOG2_E, -part)));
    let sum = k + part;
    special(x, sum + ((part - (sum - k)) + rest))
}

#[inline(always)]
pub(super) fn log10_double(x: f64) -> f64 {
    let (k, f) = split_any(x);
    let (high, low) = near_one(f, 0.0);
    let part = high * LOG10_E;
    let rest = low.mul_add(LOG10_E, high.mul_add(LOG10_E_REST, high.mul_add(LOG10_E, -part)));
    let whole = k * LOG10_2_HIGH;
    let sum = whole + part;
    special(x, sum + ((part - (sum - whole)) + k.mul_add(LOG10_2_LOW, rest)))
}

/// The logarithm of a normal number as a sum of two.
#[inline(always)]
pub(super) fn log_plain(x: f64) -> (f64, f64) {
    let (k, f) = split(x);
    let (sum, low) = exponent_pair(k, near_one(f, 0.0));
    let y = sum + low;
    (y, low - (y - sum))
}

/// `log(1 + v + low) + more log(2)`
#[inline(always)]
fn log1p_sum(v: f64, low: f64, more: f64) -> f64 {
    let (u, lost) = two_sum(1.0, v);
    let (k, f) = split(u);
    // Of large numbers nothing that counts is lost.
    let scale = power(MAGIC - limit(k, -60.0, 1000.0));
    let close = v > -0.29 && v < 0.41;
    let (k, f) = if close { (0.0, v) } else { (k, f) };
    let low = if close { low } else { (lost + low) * scale };
    special(u, with_exponent(k + more, near_one(f, low)))
}

#[inline(always)]
pub(super) fn log1p_double(x: f64) -> f64 {
    let y = log1p_sum(x, 0.0, 0.0);
    if x.abs() < 1e-300 { x } else { y }
}

/// From here on `x^2 + 1` and `x^2 - 1` are `x^2`, and squares would overflow in the end.
const LARGE: f64 = (1u64 << 60) as f64;

#[inline(always)]
pub(super) fn asinh_double(x: f64) -> f64 {
    let z = x.abs();
    let large = z > LARGE;
    let square = z * z;
    let part = square / (1.0 + (1.0 + square).sqrt());
    let v = if large { z } else { z + part };
    let low = if large { 0.0 } else { part - (v - z) };
    let y = log1p_sum(v, low, if large { 1.0 } else { 0.0 });
    (if z < 1e-150 { z } else { y }).copysign(x)
}

#[inline(always)]
pub(super) fn acosh_double(x: f64) -> f64 {
    let large = x > LARGE;
    let t = x - 1.0;
    // The root and what it lost; at 1 there is nothing to divide by.
    let square = t * (t + 2.0);
    let root = square.sqrt();
    let v = if large { x } else { root + t };
    let low = if large { 0.0 } else { t - (v - root) };
    let y = log1p_sum(v, low, if large { 1.0 } else { 0.0 });
    if x < 1.0 { f64::NAN } else { y }
}

#[inline(always)]
pub(super) fn atanh_double(x: f64) -> f64 {
    let z = x.abs();
    let (num, num_low) = two_sum(1.0, z);
    let (den, den_low) = two_sum(1.0, -z);
    let (k, _) = split(num / den);
    let scale = power(k + MAGIC);
    let (den, den_low) = (den * scale, den_low * scale);
    let (sum, lost) = two_sum(num, den);
    // The difference of numbers that close is exact.
    let (s, rest) = quotient(num - den, num_low - den_low, sum, lost + (num_low + den_low));
    let y = 0.5 * with_exponent(k, doubled_atanh(s, rest));
    let y = if z < 1.0 { y } else { f64::NAN };
    let y = if z == 1.0 { f64::INFINITY } else { y };
    (if z < 1e-10 { z } else { y }).copysign(x)
}

#[inline(always)]
fn log_short(x: f64) -> f64 {
    let (k, f) = split(x);
    k.mul_add(LN_2, short(f))
}

/// `log2(x)` to 43 bits.
#[inline(always)]
pub(super) fn log2_medium(x: f64) -> f64 {
    let (k, f) = split(x);
    let s = f / (2.0 + f);
    let u = s * s;
    (s * u).mul_add(polynomial(&LOG_RATIO_SHORT, u), 2.0 * s).mul_add(LOG2_E, k)
}

#[inline(always)]
pub(super) fn asinh_single(x: f32) -> f32 {
    let z = x.abs() as f64;
    let square = z * z;
    // The first terms of the power series where the logarithm would cancel.
    let series = square.mul_add(-5.0 / 112.0, 0.075).mul_add(square, -1.0 / 6.0);
    let near = (z * square).mul_add(series, z);
    let far = log_short(z + (1.0 + square).sqrt());
    let y = if z < 0.03125 { near } else { far };
    (if z < f64::INFINITY { y } else { z }).copysign(x as f64) as f32
}

#[inline(always)]
pub(super) fn acosh_single(x: f32) -> f32 {
    let x = x as f64;
    let y = log_short(x + x.mul_add(x, -1.0).sqrt());
    let y = if x < f64::INFINITY { y } else { x };
    (if x < 1.0 { f64::NAN } else { y }) as f32
}

#[inline(always)]
pub(super) fn atanh_single(x: f32) -> f32 {
    let z = x.abs() as f64;
    let square = z * z;
    let series = square.mul_add(1.0 / 7.0, 0.2).mul_add(square, 1.0 / 3.0);
    let near = (z * square).mul_add(series, z);
    let far = 0.5 * log_short((1.0 + z) / (1.0 - z));
    let far = if z < 1.0 { far } else { f64::NAN };
    let far = if z == 1.0 { f64::INFINITY } else { far };
    (if z < 0.03125 { near } else { far }).copysign(x as f64) as f32
}
