//! Inverse circular and hyperbolic functions: arcsine and arccosine after Hull, Fairgrieve and Tang (ACM TOMS 23, 1997),
//! arctangent after Kahan (1987).

use super::{C64, c, over_i, times_i};
use std::f64::consts::{FRAC_PI_2, FRAC_PI_4, LN_2, PI};

/// For a point of the first quadrant: the real part of its arcsine, that of its arccosine, and the imaginary part of
/// the former, which is that of the latter but for the sign.
#[inline]
fn quadrant(x: f64, y: f64) -> (f64, f64, f64) {
    if x > 1e150 || y > 1e150 {
        // The squares would overflow, and ln(2|z|) is all that counts.
        let log = 2.0 * LN_2 + (0.5 * x).hypot(0.5 * y).ln();
        return (x.atan2(y), y.atan2(x), log);
    }
    let away = (x - 1.0).abs();
    if away == 0.0 && y < 1e-150 {
        let root = y.sqrt();
        return (FRAC_PI_2 - root, root, root);
    }
    if y <= f64::EPSILON * 0.5 * away {
        // The squares of y could underflow.
        if x < 1.0 {
            return (x.asin(), x.acos(), y / ((1.0 + x) * (1.0 - x)).sqrt());
        }
        let root = ((x - 1.0) * (x + 1.0)).sqrt();
        return (FRAC_PI_2, y / root, ((x - 1.0) + root).ln_1p());
    }
    let (above, below) = (x + 1.0, x - 1.0);
    let (r, s) = (above.hypot(y), below.hypot(y));
    let a = 0.5 * (r + s);
    let b = x / a;
    let (sine_part, cosine_part) = if b <= 0.6417 {
        (b.asin(), b.acos())
    } else {
        // √(a² - x²), without cancellation.
        let sum = a + x;
        let side = if x <= 1.0 {
            (0.5 * sum * (y * y / (r + above) + (s - below))).sqrt()
        } else {
            y * (0.5 * (sum / (r + above) + sum / (s + below))).sqrt()
        };
        ((x / side).atan(), (side / x).atan())
    };
    let log = if a <= 1.5 {
        let excess = if x < 1.0 {
            0.5 * (y * y / (r + above) + y * y / (s - below))
        } else {
            0.5 * (y * y / (r + above) + (s + below))
        };
        (excess + (excess * (a + 1.0)).sqrt()).ln_1p()
    } else {
        (a + (a * a - 1.0).sqrt()).ln()
    };
    (sine_part, cosine_part, log)
}

/// The arc hyperbolic sine.
#[inline]
pub fn asinh(z: C64) -> C64 {
    let (x, y) = (z.re, z.im);
    if x.is_finite() && y.is_finite() {
        // asinh(x + iy) = i asin(y - ix), mirrored into the first quadrant.
        let (angle, _, log) = quadrant(y.abs(), x.abs());
        return c(log.copysign(x), angle.copysign(y));
    }
    if x.is_infinite() {
        let angle = if y.is_nan() {
            f64::NAN
        } else if y.is_infinite() {
            FRAC_PI_4
        } else {
            0.0
        };
        return c(x, angle.copysign(y));
    }
    if y.is_infinite() {
        return if x.is_nan() {
            c(f64::INFINITY, f64::NAN)
        } else {
            c(f64::INFINITY.copysign(x), FRAC_PI_2.copysign(y))
        };
    }
    c(f64::NAN, if y == 0.0 { y } else { f64::NAN })
}

/// The arcsine.
#[inline]
pub fn asin(z: C64) -> C64 {
    over_i(asinh(times_i(z)))
}

/// The arccosine, real part in [0, π].
#[inline]
pub fn acos(z: C64) -> C64 {
    let (x, y) = (z.re, z.im);
    if x.is_finite() && y.is_finite() {
        let (_, angle, log) = quadrant(x.abs(), y.abs());
        // Adding zero leaves no -0, as in PyTorch.
        return c(if x.is_sign_negative() { PI - angle } else { angle }, log.copysign(-y) + 0.0);
    }
    let infinite = f64::INFINITY.copysign(-y);
    if x.is_infinite() {
        if y.is_nan() {
            return c(f64::NAN, f64::INFINITY);
        }
        let angle = if y.is_infinite() { FRAC_PI_4 } else { 0.0 };
        return c(if x < 0.0 { PI - angle } else { angle }, infinite);
    }
    if y.is_infinite() {
        return c(if x.is_nan() { f64::NAN } else { FRAC_PI_2 }, infinite);
    }
    c(if x == 0.0 { FRAC_PI_2 } else { f64::NAN }, f64::NAN)
}

/// The arc hyperbolic cosine, real part not negative.
#[inline]
pub fn acosh(z: C64) -> C64 {
    let w = acos(z);
    // One of ±i times the arccosine.
    if z.im.is_nan() && z.re.is_infinite() { c(w.im.abs(), w.re) } else { c(w.im.abs(), w.re.copysign(z.im)) }
}

/// The arc hyperbolic tangent.
#[inline]
pub fn atanh(z: C64) -> C64 {
    let (x, y) = (z.re.abs(), z.im.abs());
    let (real, imaginary) = if x.is_infinite() || y.is_infinite() {
        (0.0, if y.is_nan() { f64::NAN } else { FRAC_PI_2 })
    } else if x.is_nan() || y.is_nan() {
        (if x == 0.0 { 0.0 } else { f64::NAN }, f64::NAN)
    } else if x > 1e8 || y > 1e8 {
        // The real part of 1/z, scaled so that squares stay in range.
        let size = x.max(y);
        let (u, v) = (x / size, y / size);
        (u / (u * u + v * v) / size, FRAC_PI_2)
    } else if x == 1.0 {
        if y == 0.0 {
            (f64::INFINITY, 0.0)
        } else {
            (0.5 * (2f64.hypot(y) / y).ln(), 0.5 * (FRAC_PI_2 + (0.5 * y).atan()))
        }
    } else {
        let away = 1.0 - x;
        let real = 0.25 * (4.0 * x / (away * away + y * y)).ln_1p();
        (real, 0.5 * (2.0 * y).atan2(away * (1.0 + x) - y * y))
    };
    c(real.copysign(z.re), imaginary.copysign(z.im))
}

/// The arctangent.
#[inline]
pub fn atan(z: C64) -> C64 {
    over_i(atanh(times_i(z)))
}
