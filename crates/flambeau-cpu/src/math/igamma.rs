//! The regularised incomplete gamma functions P(a, x) and Q(a, x).
//!
//! Four methods, each where it converges fast: Temme's uniform expansion near x = a for large a (DLMF 8.12), the series of
//! P (8.11.4), the series of Q for small x, and Legendre's continued fraction of Q (8.9.2). In the far tails the
//! relative error grows with the size of the logarithm of the result.

use super::basics::two_sum;
use super::coefficients::*;
use super::erf::erfcx;
use super::gamma::{gamma_positive, lgamma, lgamma_1p, stirling_remainder};
use std::f64::consts::TAU;

const EPSILON: f64 = 1.1e-16;

/// ln(1 + x) - x, without cancellation.
pub(super) fn ln_1p_minus(x: f64) -> f64 {
    if !(-0.45..=0.45).contains(&x) {
        return x.ln_1p() - x;
    }
    // With r = x/(2 + x): ln(1 + x) = 2 atanh(r) = 2r + 2r^3/3 + 2r^5/5 + …, and 2r - x = -x r.
    let r = x / (2.0 + x);
    let s = r * r;
    let (mut sum, mut power, mut k) = (0.0, 2.0 * r * s, 3.0);
    loop {
        let term = power / k;
        sum += term;
        if term.abs() <= EPSILON * 0.1 * sum.abs() {
            break;
        }
        power *= s;
        k += 2.0;
    }
    sum - x * r
}

/// mu = x/a - 1 and ln(1 + mu) - mu, the rounding of mu being made up for in the latter.
fn divergence(a: f64, x: f64) -> (f64, f64) {
    let (difference, lost) = two_sum(x, -a);
    let mu = difference / a;
    if mu < -0.5 {
        return (mu, (x / a).ln() - mu);
    }
    let rest = ((-mu).mul_add(a, difference) + lost) / a;
    (mu, ln_1p_minus(mu) - rest * (mu / (1.0 + mu)))
}

/// The density-like factor x^a e^-x / Γ(a + 1).
fn prefix(a: f64, x: f64) -> f64 {
    if a < 20.0 {
        let gamma = if a <= 0.5 { lgamma_1p(a).exp() } else { gamma_positive(a) * a };
        let power = x.powf(a) / gamma;
        if x > 1e4 {
            return 0.0;
        }
        if x < 700.0 {
            return power * (-x).exp();
        }
        let half = (-0.5 * x).exp();
        return half * power * half;
    }
    let exponent = a * divergence(a, x).1 - stirling_remainder(a);
    exponent.exp() / (TAU * a).sqrt()
}

/// P by its power series, best for x < a + 1.
fn series(a: f64, x: f64) -> f64 {
    let factor = prefix(a, x);
    if factor == 0.0 {
        return 0.0;
    }
    let (mut sum, mut term, mut r) = (1.0, 1.0, a);
    for _ in 0..2000 {
        r += 1.0;
        term *= x / r;
        sum += term;
        if term <= EPSILON * sum {
            break;
        }
    }
    factor * sum
}

/// Q by its power series, best for small x and a below one: 1 - x^a/Γ(1+a) and the series' other terms.
fn complement_series(a: f64, x: f64) -> f64 {
    let (mut sum, mut power) = (0.0, 1.0);
    let mut n = 1.0;
    for _ in 0..2000 {
        power *= -x / n;
        let term = power / (a + n);
        sum += term;
        if term.abs() <= EPSILON * f64::abs(sum) {
            break;
        }
        n += 1.0;
    }
    let log = a * x.ln() - if a <= 0.5 { lgamma_1p(a) } else { lgamma(a + 1.0) };
    -log.exp_m1() - log.exp() * a * sum
}

/// Q by Legendre's continued fraction, summed by Steed's method; best for x > a + 1.
fn fraction(a: f64, x: f64) -> f64 {
    let factor = prefix(a, x) * a;
    if factor == 0.0 {
        return 0.0;
    }
    let mut b = x + 1.0 - a;
    let mut d = 1.0 / b;
    let (mut sum, mut step) = (d, d);
    let mut n = 1.0;
    for _ in 0..5000 {
        b += 2.0;
        d = 1.0 / (b - n * (n - a) * d);
        step *= b * d - 1.0;
        sum += step;
        if step.abs() <= EPSILON * sum {
            break;
        }
        n += 1.0;
    }
    factor * sum
}

/// (P, Q) by Temme's expansion, for a >= 20 and x near a.
fn temme(a: f64, x: f64) -> (f64, f64) {
    let (mu, log) = divergence(a, x);
    let half = -log;
    let eta = (2.0 * half).sqrt().copysign(mu);
    let (mut sum, mut scale) = (0.0, 1.0);
    for row in TEMME {
        let mut value = 0.0;
        for c in row.iter().rev() {
            value = value * eta + c;
        }
        let term = value * scale;
        sum += term;
        scale /= a;
        if scale < 1e-18 {
            break;
        }
    }
    // Both tails share the factor exp(-a eta²/2).
    let gauss = (-a * half).exp();
    let remainder = gauss * sum / (TAU * a).sqrt();
    let y = eta.abs() * (0.5 * a).sqrt();
    let tail = 0.5 * gauss * erfcx(y);
    if eta >= 0.0 {
        (1.0 - (tail + remainder), tail + remainder)
    } else {
        (tail - remainder, 1.0 - (tail - remainder))
    }
}

/// The values shared by P and Q outside the open quadrant, as P; None inside it.
fn boundary(a: f64, x: f64) -> Option<f64> {
    if x < 0.0 || a < 0.0 {
        Some(f64::NAN)
    } else if a == 0.0 {
        Some(if x > 0.0 { 1.0 } else { f64::NAN })
    } else if x == 0.0 {
        Some(0.0)
    } else if a == f64::INFINITY {
        Some(if x == f64::INFINITY { f64::NAN } else { 0.0 })
    } else if x == f64::INFINITY {
        Some(1.0)
    } else if a.is_nan() || x.is_nan() {
        Some(f64::NAN)
    } else {
        None
    }
}

/// (P, Q) for positive finite arguments.
fn both(a: f64, x: f64) -> (f64, f64) {
    if a >= 20.0 && (x - a).abs() < 0.3 * a {
        return temme(a, x);
    }
    if x <= 1.1 {
        let by_series = if x <= 0.5 { -0.4 / x.ln() < a } else { 1.1 * x < a + 0.3 };
        if by_series {
            let p = series(a, x);
            return (p, 1.0 - p);
        }
        let q = complement_series(a, x);
        return (1.0 - q, q);
    }
    if x < a {
        let p = series(a, x);
        (p, 1.0 - p)
    } else {
        let q = fraction(a, x);
        (1.0 - q, q)
    }
}

/// The regularised lower incomplete gamma function; NaN for a negative argument and at (0, 0).
pub fn igamma(a: f64, x: f64) -> f64 {
    boundary(a, x).unwrap_or_else(|| both(a, x).0)
}

/// The regularised upper incomplete gamma function, 1 - [`igamma`].
pub fn igammac(a: f64, x: f64) -> f64 {
    match boundary(a, x) {
        Some(p) => 1.0 - p,
        None => both(a, x).1,
    }
}
