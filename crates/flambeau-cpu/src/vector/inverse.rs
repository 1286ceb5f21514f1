//! Inverse trigonometric functions. Arguments between the tangents of pi/8 and 3 pi/8 are turned by pi/4, larger ones
//! by pi/2, before the one division.

use super::exp::limit;
use super::log_pairs::{quotient, two_sum};
use super::polynomial;
use super::series::{ASIN, ASIN_SHORT, ATAN, ATAN_SHORT};
use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, PI, SQRT_2};

/// What pi and 3 pi / 4 have beyond their nearest `f64`.
const PI_REST: f64 = 1.2246467991473532e-16;
const THREE_REST: f64 = 9.184850993605148e-17;
const THREE: f64 = 2.356194490192345;

/// Whether an angle is beyond pi / 8 and beyond 3 pi / 8.
#[inline(always)]
fn turn(y: f64, x: f64) -> (bool, bool) {
    (y > (SQRT_2 - 1.0) * x, y > (SQRT_2 + 1.0) * x)
}

/// The angle of a point with coordinates that are not negative, or what it leaves of pi.
#[inline(always)]
fn angle(y: f64, x: f64, opposite: bool) -> f64 {
    let (some, much) = turn(y, x);
    let (sum, sum_low) = two_sum(x, y);
    let (less, less_low) = two_sum(y, -x);
    let num = if much {
        -x
    } else if some {
        less
    } else {
        y
    };
    let den = if much {
        y
    } else if some {
        sum
    } else {
        x
    };
    let between = some && !much;
    let num_low = if between { less_low } else { 0.0 };
    let den_low = if between { sum_low } else { 0.0 };
    let (t, rest) = quotient(num, num_low, den, den_low);
    let u = t * t;
    let tail = (t * u).mul_add(polynomial(&ATAN, u), rest);
    let (t, tail) = if opposite { (-t, -tail) } else { (t, tail) };
    let none = if opposite { PI } else { 0.0 };
    let none_rest = if opposite { PI_REST } else { 0.0 };
    let eighth = if opposite { THREE } else { FRAC_PI_4 };
    let eighth_rest = if opposite { THREE_REST } else { PI_REST / 4.0 };
    let from = if much {
        FRAC_PI_2
    } else if some {
        eighth
    } else {
        none
    };
    let from_rest = if much {
        PI_REST / 2.0
    } else if some {
        eighth_rest
    } else {
        none_rest
    };
    let whole = from + t;
    whole + ((t - (whole - from)) + (tail + from_rest))
}

#[inline(always)]
pub(super) fn atan_double(x: f64) -> f64 {
    // From 1e17 on the result is pi / 2.
    angle(limit(x.abs(), 0.0, 1e17), 1.0, false).copysign(x)
}

/// Coordinates of a point in the same direction, finite and not both zero.
#[inline(always)]
fn finite(y: f64, x: f64) -> (f64, f64) {
    let (far_y, far_x) = (y == f64::INFINITY, x == f64::INFINITY);
    let far = far_y | far_x;
    let one = |b: bool| if b { 1.0 } else { 0.0 };
    let (y, x) = if far { (one(far_y), one(far_x)) } else { (y, x) };
    (y, if (y == 0.0) & (x == 0.0) { 1.0 } else { x })
}

/// The factor that brings the larger one to about 1.
#[inline(always)]
pub(super) fn scale_of(larger: f64) -> f64 {
    let exponent = larger.to_bits() & 0x7FF0_0000_0000_0000;
    let one = 1 << 52;
    f64::from_bits((2047 * one) - if exponent < one { one } else { exponent })
}

#[inline(always)]
pub(super) fn atan2_double(y: f64, x: f64) -> f64 {
    let (a, b) = finite(y.abs(), x.abs());
    let scale = scale_of(if a > b { a } else { b });
    let result = angle(a * scale, b * scale, x.is_sign_negative());
    (if x.is_nan() | y.is_nan() { f64::NAN } else { result }).copysign(y)
}

#[inline(always)]
fn angle_short(y: f64, x: f64, opposite: bool) -> f64 {
    let (some, much) = turn(y, x);
    let num = if much {
        -x
    } else if some {
        y - x
    } else {
        y
    };
    let den = if much {
        y
    } else if some {
        y + x
    } else {
        x
    };
    let from = if much {
        FRAC_PI_2
    } else if some {
        FRAC_PI_4
    } else {
        0.0
    };
    let t = num / den;
    let u = t * t;
    let result = from + (t * u).mul_add(polynomial(&ATAN_SHORT, u), t);
    if opposite { PI - result } else { result }
}

#[inline(always)]
pub(super) fn atan_single(x: f32) -> f32 {
    let x = x as f64;
    angle_short(x.abs(), 1.0, false).copysign(x) as f32
}

#[inline(always)]
pub(super) fn atan2_single(y: f32, x: f32) -> f32 {
    let (y, x) = (y as f64, x as f64);
    let (a, b) = finite(y.abs(), x.abs());
    let result = angle_short(a, b, x.is_sign_negative());
    (if x.is_nan() | y.is_nan() { f64::NAN } else { result }).copysign(y) as f32
}

/// `(s, asin(s) - s, far)`, of numbers beyond 1/2 of `asin(x) = pi / 2 - 2 asin(s)`.
#[inline(always)]
fn asin_parts<const N: usize>(x: f64, series: &[f64; N]) -> (f64, f64, bool) {
    let z = x.abs();
    let far = z > 0.5;
    let square = if far { (1.0 - z) * 0.5 } else { z * z };
    let s = if far { square.sqrt() } else { z };
    (s, s * square * polynomial(series, square), far)
}

#[inline(always)]
pub(super) fn asin_double(x: f64) -> f64 {
    let (s, tail, far) = asin_parts(x, &ASIN);
    let whole = FRAC_PI_2 - 2.0 * s;
    let rest = (FRAC_PI_2 - whole) - 2.0 * s;
    let large = whole + (rest + tail.mul_add(-2.0, PI_REST / 2.0));
    (if far { large } else { s + tail }).copysign(x)
}

#[inline(always)]
pub(super) fn acos_double(x: f64) -> f64 {
    let (s, tail, far) = asin_parts(x, &ASIN);
    let negative = x < 0.0;
    // Twice the angle beyond 1/2, and beyond -1/2 what it leaves of pi.
    let (s, tail) = if far { (2.0 * s, 2.0 * tail) } else { (s, tail) };
    let from = if far { PI } else { FRAC_PI_2 };
    let from_rest = if far { PI_REST } else { PI_REST / 2.0 };
    let (a, b) = if negative & !far { (s, tail) } else { (-s, -tail) };
    let whole = from + a;
    let other = whole + ((a - (whole - from)) + (b + from_rest));
    if far & !negative { s + tail } else { other }
}

#[inline(always)]
pub(super) fn asin_single(x: f32) -> f32 {
    let (s, tail, far) = asin_parts(x as f64, &ASIN_SHORT);
    let y = s + tail;
    (if far { FRAC_PI_2 - 2.0 * y } else { y }).copysign(x as f64) as f32
}

#[inline(always)]
pub(super) fn acos_single(x: f32) -> f32 {
    let (s, tail, far) = asin_parts(x as f64, &ASIN_SHORT);
    let y = s + tail;
    let negative = x < 0.0;
    let near = FRAC_PI_2 - if negative { -y } else { y };
    let large = if negative { 2.0f64.mul_add(-y, PI) } else { 2.0 * y };
    (if far { large } else { near }) as f32
}

#[inline(always)]
pub(super) fn hypot_single(x: f32, y: f32) -> f32 {
    // Squares of all `f32` and their sums are `f64`.
    let (a, b) = (x as f64, y as f64);
    let far = (x.abs() == f32::INFINITY) | (y.abs() == f32::INFINITY);
    let z = a.mul_add(a, b * b).sqrt();
    (if far { f64::INFINITY } else { z }) as f32
}

#[inline(always)]
pub(super) fn hypot_double(x: f64, y: f64) -> f64 {
    let (a, b) = (x.abs(), y.abs());
    let far = (a == f64::INFINITY) | (b == f64::INFINITY);
    let (a, b) = if b > a { (b, a) } else { (a, b) };
    let scale = scale_of(a);
    let (c, d) = (a * scale, b * scale);
    // Both factors are powers of two.
    let z = c.mul_add(c, d * d).sqrt() / scale;
    if far { f64::INFINITY } else { z }
}
