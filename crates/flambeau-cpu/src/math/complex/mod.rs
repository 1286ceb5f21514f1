//! Functions of complex numbers with the special values of C99's Annex G, as PyTorch gives them on the CPU.
//!
//! All are written for `Complex<f64>`; a `Complex<f32>` goes through [`narrow`]. Multiplication and division are
//! generic, since PyTorch computes them in the type itself.

mod exponential;
mod hyperbolic;
mod inverse;

pub use exponential::{exp, expm1, log, log1p, log2, log10, pow, pow_scalar, rsqrt, sigmoid, sqrt};
pub use hyperbolic::{cos, cosh, sin, sinh, tan, tanh};
pub use inverse::{acos, acosh, asin, asinh, atan, atanh};

use num_complex::Complex;
use num_traits::Float;

pub(super) type C64 = Complex<f64>;

#[inline(always)]
pub(super) const fn c(re: f64, im: f64) -> C64 {
    Complex { re, im }
}

/// A function of `Complex<f64>`, applied to a `Complex<f32>`.
#[inline]
pub fn narrow(f: impl Fn(C64) -> C64, z: Complex<f32>) -> Complex<f32> {
    let w = f(c(z.re as f64, z.im as f64));
    Complex { re: w.re as f32, im: w.im as f32 }
}

/// The product by its definition, without recovering infinities from NaN.
#[inline(always)]
pub fn mul<T: Float>(a: Complex<T>, b: Complex<T>) -> Complex<T> {
    Complex { re: a.re * b.re - a.im * b.im, im: a.re * b.im + a.im * b.re }
}

/// The quotient by Smith's method (CACM 5, 1962), which neither overflows nor underflows in between; a zero divisor
/// divides each part by zero.
#[inline]
pub fn div<T: Float>(a: Complex<T>, b: Complex<T>) -> Complex<T> {
    if b.re.abs() >= b.im.abs() {
        if b.re.is_zero() && b.im.is_zero() {
            return Complex { re: a.re / b.re.abs(), im: a.im / b.im.abs() };
        }
        let ratio = b.im / b.re;
        let scale = T::one() / (b.re + b.im * ratio);
        Complex { re: (a.re + a.im * ratio) * scale, im: (a.im - a.re * ratio) * scale }
    } else {
        let ratio = b.re / b.im;
        let scale = T::one() / (b.re * ratio + b.im);
        Complex { re: (a.re * ratio + a.im) * scale, im: (a.im * ratio - a.re) * scale }
    }
}

/// 1/z.
#[inline]
pub fn reciprocal<T: Float>(z: Complex<T>) -> Complex<T> {
    div(Complex { re: T::one(), im: T::zero() }, z)
}

/// |z|, without overflow in between; ∞ if either part is infinite.
#[inline]
pub fn abs<T: Float>(z: Complex<T>) -> T {
    z.re.hypot(z.im)
}

/// The argument of z in [-π, π].
#[inline]
pub fn angle<T: Float>(z: Complex<T>) -> T {
    z.im.atan2(z.re)
}

/// `torch.angle` of a real number: π for negative numbers, 0 for the others, NaN for NaN.
#[inline]
pub fn angle_real(x: f64) -> f64 {
    if x < 0.0 {
        std::f64::consts::PI
    } else if x.is_nan() {
        x
    } else {
        0.0
    }
}

/// z/|z|, 0 at zero.
#[inline]
pub fn sgn<T: Float>(z: Complex<T>) -> Complex<T> {
    let size = abs(z);
    if size.is_zero() {
        Complex { re: T::zero(), im: T::zero() }
    } else {
        Complex { re: z.re / size, im: z.im / size }
    }
}

/// i z.
#[inline(always)]
fn times_i(z: C64) -> C64 {
    c(-z.im, z.re)
}

/// -i z.
#[inline(always)]
fn over_i(z: C64) -> C64 {
    c(z.im, -z.re)
}
