//! Small real functions that only need a convention at their special values.

use std::f64::consts::{LOG2_E, PI};

/// ln(1 + x).
#[inline]
pub fn log1p(x: f64) -> f64 {
    x.ln_1p()
}

/// exp(x) - 1.
#[inline]
pub fn expm1(x: f64) -> f64 {
    x.exp_m1()
}

/// x ln y, with 0 wherever x is 0 unless y is NaN.
#[inline]
pub fn xlogy(x: f64, y: f64) -> f64 {
    if y.is_nan() {
        f64::NAN
    } else if x == 0.0 {
        0.0
    } else {
        x * y.ln()
    }
}

/// x ln(1 + y), with 0 wherever x is 0 unless y is NaN.
#[inline]
pub fn xlog1py(x: f64, y: f64) -> f64 {
    if y.is_nan() {
        f64::NAN
    } else if x == 0.0 {
        0.0
    } else {
        x * y.ln_1p()
    }
}

/// -x ln x: 0 at zero, -∞ for negative numbers.
#[inline]
pub fn entr(x: f64) -> f64 {
    if x > 0.0 {
        -x * x.ln()
    } else if x == 0.0 {
        0.0
    } else if x.is_nan() {
        x
    } else {
        f64::NEG_INFINITY
    }
}

/// sin(πx)/(πx), 1 at zero. The product πx is rounded, so that integers give tiny numbers and not 0, as in PyTorch.
#[inline]
pub fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let product = PI * x;
    product.sin() / product
}

/// [`sinc`] in single precision, with the rounding of πx that PyTorch has there.
#[inline]
pub fn sinc_f32(x: f32) -> f32 {
    if x == 0.0 {
        return 1.0;
    }
    let product = std::f32::consts::PI * x;
    product.sin() / product
}

/// ln(x/(1 - x)), x first clamped to [eps, 1 - eps] where eps is given and not negative.
#[inline]
pub fn logit(x: f64, eps: Option<f64>) -> f64 {
    let x = match eps {
        Some(eps) if eps >= 0.0 => {
            if x < eps {
                eps
            } else if x > 1.0 - eps {
                1.0 - eps
            } else {
                x
            }
        }
        _ => x,
    };
    if (0.25..=0.75).contains(&x) {
        // 2x - 1 is exact here, while the quotient near 1 would lose the digits of the logarithm near 0.
        ((2.0 * x - 1.0) / (1.0 - x)).ln_1p()
    } else {
        (x / (1.0 - x)).ln()
    }
}

/// ln(e^a + e^b) without overflow.
#[inline]
pub fn logaddexp(a: f64, b: f64) -> f64 {
    if a == b {
        // Covers two equal infinities, whose difference is NaN.
        return a + std::f64::consts::LN_2;
    }
    let top = if a > b { a } else { b };
    top + (-(a - b).abs()).exp().ln_1p()
}

/// log2(2^a + 2^b) without overflow.
#[inline]
pub fn logaddexp2(a: f64, b: f64) -> f64 {
    if a == b {
        return a + 1.0;
    }
    let top = if a > b { a } else { b };
    top + (-(a - b).abs()).exp2().ln_1p() * LOG2_E
}

/// √(a² + b²) without overflow; ∞ if either is infinite.
#[inline]
pub fn hypot(a: f64, b: f64) -> f64 {
    a.hypot(b)
}

/// The size of a with the sign of b, NaN and zeros included.
#[inline]
pub fn copysign(a: f64, b: f64) -> f64 {
    a.copysign(b)
}

/// 0 for negative x, `at_zero` for zero, 1 for positive x; 0 for NaN, as in PyTorch.
#[inline]
pub fn heaviside(x: f64, at_zero: f64) -> f64 {
    if x == 0.0 {
        at_zero
    } else if x > 0.0 {
        1.0
    } else {
        0.0
    }
}
