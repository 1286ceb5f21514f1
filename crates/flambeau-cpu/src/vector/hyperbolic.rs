//! Functions of `exp(x) - 1` and of `1 + exp(x)`.

use super::coefficients::TANH_SINGLE;
use super::exp::{exp_double, exp_single, limit, parts, parts_single, power, short_parts};
use super::lane::Lane;

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

/// `(n + n_low) / (d + d_low)`, for small second parts.
#[inline(always)]
fn quotient<L: Lane>(n: L, n_low: L, d: L, d_low: L) -> L {
    let inverse = L::of(1.0).over(d);
    let minus = L::of(0.0).minus(n.times(inverse));
    let rest = minus.fused(d_low, minus.fused(d, n).plus(n_low));
    rest.fused(inverse, L::of(0.0).minus(minus))
}

#[inline(always)]
pub(super) fn tanh_single<L: Lane>(x: L) -> L {
    let z = x.magnitude().at_most(10.0);
    let (k, high, rest) = parts_single(z.plus(z));
    let s = k.power();
    // e = exp(2 |x|) - 1 = (s high - 1) + s rest
    let (whole, part) = (s.fused(high, L::of(-1.0)), s.times(rest));
    let e = whole.plus(part);
    let e_low = part.minus(e.minus(whole));
    let two = L::of(2.0);
    let d = e.plus(two);
    let twos = d.minus(e);
    let d_low = two.minus(twos).plus(e.minus(d.minus(twos))).plus(e_low);
    // What cancels for small numbers.
    let square = z.times(z);
    let mut tail = L::of(TANH_SINGLE[TANH_SINGLE.len() - 1] as f32);
    for &c in TANH_SINGLE.iter().rev().skip(1) {
        tail = tail.fused(square, L::of(c as f32));
    }
    let small = square.times(z).fused(tail, z);
    small.or_from(z, 0.625, quotient(e, e_low, d, d_low)).with_sign(x)
}

/// As PyTorch computes it, 0 where `exp(-x)` overflows: within two units in the last place elsewhere.
#[inline(always)]
pub(super) fn sigmoid_single<L: Lane>(x: L) -> L {
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
pub(super) fn sigmoid_double(x: f64) -> f64 {
    1.0 / (1.0 + exp_double(-x))
}
