//! The gamma function's logarithm and its derivatives, and Hurwitz's zeta function.
//!
//! Fits on [1/2, 10], Stirling's series above (DLMF 5.11), reflection below (DLMF 5.5.3, 5.15.6), Euler-Maclaurin for
//! zeta (DLMF 25.11.5). On the negative axis the error is relative to the larger term of the reflection, so that the
//! zeros there are found to absolute accuracy only.

use super::basics::{cos_pi, horner, minus, ratio, sin_pi, two_sum};
use super::coefficients::*;
use std::f64::consts::PI;

/// lgamma(1 + t) for |t| <= 1/2.
#[inline]
pub(super) fn lgamma_1p(t: f64) -> f64 {
    // Subtracted from zero, so that lgamma(1) is not -0.
    0.0 - t * (1.0 - t) * ratio(t, &LGAMMA_1_P, &LGAMMA_1_Q)
}

/// x >= 10: Stirling's remainder, lgamma(x) - (x - 1/2) ln x + x - ln(2π)/2.
#[inline(always)]
pub(super) fn stirling_remainder(x: f64) -> f64 {
    let r = 1.0 / x;
    r * horner(r * r, &STIRLING)
}

#[inline]
fn lgamma_positive(x: f64) -> f64 {
    if x < 0.5 {
        lgamma_1p(x) - x.ln()
    } else if x < 1.5 {
        lgamma_1p(x - 1.0)
    } else if x < 2.5 {
        let t = x - 2.0;
        t * (1.0 + t) * ratio(t, &LGAMMA_2_P, &LGAMMA_2_Q)
    } else if x < 5.0 {
        ratio(x - 3.0, &LGAMMA_3_P, &LGAMMA_3_Q)
    } else if x < 10.0 {
        horner(x - 7.0, &LGAMMA_4)
    } else {
        // ln(2π)/2 - 1/2 makes up for the -1 beside the logarithm.
        const OFFSET: f64 = 0.418_938_533_204_672_7;
        (x - 0.5) * (x.ln() - 1.0) + (OFFSET + stirling_remainder(x))
    }
}

/// The logarithm of |Γ(x)|; +∞ at the poles.
#[inline]
pub fn lgamma(x: f64) -> f64 {
    if x > 0.0 {
        return if x == f64::INFINITY { x } else { lgamma_positive(x) };
    }
    if x.is_nan() {
        return x;
    }
    if x == x.floor() {
        return f64::INFINITY;
    }
    if x >= -0.5 {
        return lgamma_1p(x) - (-x).ln();
    }
    let a = -x;
    (PI / (a * sin_pi(a).abs())).ln() - lgamma_positive(a)
}

/// Γ(x) for 0 < x < 25.
#[inline]
pub(super) fn gamma_positive(x: f64) -> f64 {
    if x < 1.0 {
        // Γ(x) = Γ(x + 2)/(x (x + 1)), x being exact where x + 2 is not.
        return ratio(x, &GAMMA_P, &GAMMA_Q) / (x * (x + 1.0));
    }
    if x < 2.0 {
        return ratio(x - 1.0, &GAMMA_P, &GAMMA_Q) / x;
    }
    let whole = x.floor();
    let t = x - whole;
    let mut product = ratio(t, &GAMMA_P, &GAMMA_Q);
    let mut factor = x;
    while factor >= 3.0 {
        factor -= 1.0;
        product *= factor;
    }
    product
}

/// The logarithm of the multivariate gamma function, p(p-1)/4 ln π + Σ_{j<p} lgamma(a - j/2).
///
/// Each argument must exceed (p-1)/2, which the caller checks.
pub fn multigammaln(a: f64, p: i64) -> f64 {
    const LN_PI: f64 = 1.144_729_885_849_400_2;
    let mut sum = (p as f64) * (p as f64 - 1.0) * 0.25 * LN_PI;
    for j in 0..p.max(0) {
        sum += lgamma(a - 0.5 * j as f64);
    }
    sum
}

/// π cot(πx).
#[inline]
fn pi_cotangent(x: f64) -> f64 {
    PI * cos_pi(x) / sin_pi(x)
}

#[inline]
fn digamma_positive(x: f64) -> f64 {
    if x < 1.0 { digamma_positive_from_one(x + 1.0) - 1.0 / x } else { digamma_positive_from_one(x) }
}

#[inline]
fn digamma_positive_from_one(x: f64) -> f64 {
    if x < 2.0 {
        minus(x, DIGAMMA_ROOT) * ratio(x - 1.5, &DIGAMMA_1_P, &DIGAMMA_1_Q)
    } else if x < 3.25 {
        ratio(x - 2.5, &DIGAMMA_2_P, &DIGAMMA_2_Q)
    } else if x < 5.5 {
        ratio(x - 4.0, &DIGAMMA_3_P, &DIGAMMA_3_Q)
    } else if x < 10.0 {
        ratio(x - 7.0, &DIGAMMA_4_P, &DIGAMMA_4_Q)
    } else {
        let r = 1.0 / x;
        let s = r * r;
        x.ln() - (0.5 * r + s * horner(s, &DIGAMMA_TAIL))
    }
}

/// The derivative of lgamma: ∓∞ at ±0, NaN at the negative integers.
#[inline]
pub fn digamma(x: f64) -> f64 {
    if x > 0.0 {
        digamma_positive(x)
    } else if x == 0.0 {
        f64::INFINITY.copysign(-x)
    } else if x == x.floor() || x.is_nan() {
        f64::NAN
    } else {
        digamma_positive_from_one(1.0 - x) - pi_cotangent(x)
    }
}

#[inline]
fn trigamma_from_one(x: f64) -> f64 {
    if x < 2.25 {
        ratio(x - 1.5, &TRIGAMMA_1_P, &TRIGAMMA_1_Q)
    } else if x < 5.0 {
        ratio(x - 3.5, &TRIGAMMA_2_P, &TRIGAMMA_2_Q)
    } else if x < 10.0 {
        ratio(x - 7.0, &TRIGAMMA_3_P, &TRIGAMMA_3_Q)
    } else {
        let r = 1.0 / x;
        let s = r * r;
        r + (0.5 * s + r * s * horner(s, &TRIGAMMA_TAIL))
    }
}

/// The second derivative of lgamma: +∞ at 0.
///
/// At the negative integers this gives the huge finite values of (π/sin(πx))² in plain arithmetic, as PyTorch does.
#[inline]
pub fn trigamma(x: f64) -> f64 {
    if x >= 1.0 {
        return trigamma_from_one(x);
    }
    if x >= 0.0 {
        return trigamma_from_one(1.0 + x) + 1.0 / (x * x);
    }
    let sine = if x == x.floor() { (PI * x).sin() } else { sin_pi(x) };
    let part = PI / sine;
    part * part - trigamma_from_one(1.0 - x)
}

/// The n-th derivative of digamma, (-1)^(n+1) n! ζ(n+1, x); NaN for a negative n, which the caller refuses.
pub fn polygamma(n: i64, x: f64) -> f64 {
    match n {
        ..0 => f64::NAN,
        0 => digamma(x),
        1 => trigamma(x),
        _ => {
            let factorial = FACTORIAL.get(n as usize).copied().unwrap_or(f64::INFINITY);
            let sign = if n % 2 == 0 { -1.0 } else { 1.0 };
            sign * factorial * zeta((n as f64) + 1.0, x)
        }
    }
}

/// Hurwitz's zeta function Σ_{k>=0} (q + k)^-x.
///
/// As in PyTorch: +∞ for x = 1, NaN for x < 1, +∞ at q = 0, -1, …, and for other negative q NaN unless x is an integer.
pub fn zeta(x: f64, q: f64) -> f64 {
    if x == 1.0 {
        return f64::INFINITY;
    }
    if x < 1.0 {
        return f64::NAN;
    }
    if q <= 0.0 {
        if q == q.floor() || x == f64::INFINITY {
            return f64::INFINITY;
        }
        return if x == x.floor() { hurwitz_negative(x, q) } else { f64::NAN };
    }
    if x.is_nan() || q.is_nan() || q == f64::INFINITY {
        return f64::NAN;
    }
    if x == f64::INFINITY {
        return if q < 1.0 {
            f64::INFINITY
        } else if q == 1.0 {
            1.0
        } else {
            f64::NAN
        };
    }
    hurwitz(x, q)
}

/// Terms up to a point, then Euler-Maclaurin.
fn hurwitz(s: f64, q: f64) -> f64 {
    let enough = 10.0 + 0.5 * s;
    let (mut sum, mut low) = (0.0, 0.0);
    let mut k = 0.0;
    let mut b = q;
    while b < enough {
        // q + k is rounded, and the power magnifies that s times.
        let error = (q - b) + k;
        let term = b.powf(-s) * (1.0 - s * (error / b));
        let (high, rest) = two_sum(sum, term);
        sum = high;
        low += rest;
        if term * (b / (s - 1.0) + 0.5) <= sum * 1e-17 || sum == f64::INFINITY {
            return sum;
        }
        k += 1.0;
        b = q + k;
    }
    let error = (q - b) + k;
    let power = b.powf(-s) * (1.0 - s * (error / b));
    // Far out the power underflows before its product with b does.
    let tail = if power < 1e-290 { b.powf(1.0 - s) / (s - 1.0) } else { power * (b / (s - 1.0)) };
    let mut factor = s / b;
    let r = 1.0 / (b * b);
    let mut correction = 0.0;
    let mut j = 1.0;
    for c in BERNOULLI {
        let term = factor * c;
        correction += term;
        if term.abs() < 1e-18 {
            break;
        }
        factor *= (s + j) * (s + j + 1.0) * r;
        j += 2.0;
    }
    sum + (tail + (0.5 * power + (power * correction + low)))
}

/// Negative q, not an integer, and an integer exponent: the terms below zero are those of two positive series.
fn hurwitz_negative(s: f64, q: f64) -> f64 {
    let above = q.ceil() - q;
    let below = 1.0 - above;
    // An exponent beyond 2^53 is even.
    let sign = if s % 2.0 == 0.0 { 1.0 } else { -1.0 };
    // The terms are taken in pairs, since for an odd exponent they cancel midway between two integers.
    let first = below.powf(-s) + sign * above.powf(-s);
    let others = hurwitz(s, below + 1.0) + sign * hurwitz(s, above + 1.0);
    first + (others - sign * hurwitz(s, 1.0 - q))
}
