//! Scalars of linear algebra.

use crate::gemm::GemmElement;
use crate::level::wide;
use faer::traits::ComplexField;
use flambeau_core::{C32, C64};
use num_traits::Float;
use std::ops::{Add, Mul, Neg, Sub};

/// `f32`, `f64`, `Complex<f32>` or `Complex<f64>`.
pub trait LinalgElement:
    GemmElement + ComplexField + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Neg<Output = Self>
{
    /// The real type of the parts.
    type R: Real;
    const COMPLEX: bool;
    fn re(self) -> Self::R;
    fn im(self) -> Self::R;
    /// The imaginary part is dropped by real types.
    fn from_parts(re: Self::R, im: Self::R) -> Self;
    /// The absolute value, without overflow.
    fn modulus(self) -> Self::R;
    /// `|re| + |im|`, which LAPACK compares pivots by.
    fn abs1(self) -> Self::R;
    /// The quotient, without overflow of intermediate values.
    fn divide(self, other: Self) -> Self;
    fn finite(self) -> bool;
    /// The same numbers as those of the real type, where that is what they are.
    fn as_real(numbers: &mut [Self]) -> Option<&mut [Self::R]>;
    fn to_c64(self) -> C64;
    fn from_c64(z: C64) -> Self;
    fn from_real(re: Self::R) -> Self {
        Self::from_parts(re, Self::R::ZERO)
    }
}

/// `f32` or `f64`.
pub trait Real: LinalgElement<R = Self> + num_traits::Float {
    fn of(x: f64) -> Self;
    fn wide(self) -> f64;
}

macro_rules! real {
    ($t:ty) => {
        impl Real for $t {
            #[inline(always)]
            fn of(x: f64) -> $t {
                x as $t
            }
            #[inline(always)]
            fn wide(self) -> f64 {
                self as f64
            }
        }
        impl LinalgElement for $t {
            type R = $t;
            const COMPLEX: bool = false;
            #[inline(always)]
            fn re(self) -> $t {
                self
            }
            #[inline(always)]
            fn im(self) -> $t {
                0.0
            }
            #[inline(always)]
            fn from_parts(re: $t, _im: $t) -> Self {
                re
            }
            #[inline(always)]
            fn modulus(self) -> $t {
                self.abs()
            }
            #[inline(always)]
            fn abs1(self) -> $t {
                self.abs()
            }
            #[inline(always)]
            fn divide(self, other: Self) -> Self {
                self / other
            }
            #[inline(always)]
            fn finite(self) -> bool {
                self.is_finite()
            }
            fn as_real(numbers: &mut [$t]) -> Option<&mut [$t]> {
                Some(numbers)
            }
            fn to_c64(self) -> C64 {
                C64::new(self as f64, 0.0)
            }
            fn from_c64(z: C64) -> Self {
                z.re as $t
            }
        }
    };
}
real!(f32);
real!(f64);

macro_rules! complex {
    ($t:ty, $f:ty) => {
        impl LinalgElement for $t {
            type R = $f;
            const COMPLEX: bool = true;
            #[inline(always)]
            fn re(self) -> $f {
                self.re
            }
            #[inline(always)]
            fn im(self) -> $f {
                self.im
            }
            #[inline(always)]
            fn from_parts(re: $f, im: $f) -> Self {
                <$t>::new(re, im)
            }
            #[inline(always)]
            fn modulus(self) -> $f {
                self.re.hypot(self.im)
            }
            #[inline(always)]
            fn abs1(self) -> $f {
                self.re.abs() + self.im.abs()
            }
            // Smith, "Algorithm 116: Complex division", CACM 1962.
            #[inline]
            fn divide(self, other: Self) -> Self {
                if other.re.abs() >= other.im.abs() {
                    let ratio = other.im / other.re;
                    let scale = other.re + other.im * ratio;
                    <$t>::new((self.re + self.im * ratio) / scale, (self.im - self.re * ratio) / scale)
                } else {
                    let ratio = other.re / other.im;
                    let scale = other.re * ratio + other.im;
                    <$t>::new((self.re * ratio + self.im) / scale, (self.im * ratio - self.re) / scale)
                }
            }
            #[inline(always)]
            fn finite(self) -> bool {
                self.re.is_finite() && self.im.is_finite()
            }
            fn as_real(_numbers: &mut [$t]) -> Option<&mut [$f]> {
                None
            }
            fn to_c64(self) -> C64 {
                C64::new(self.re as f64, self.im as f64)
            }
            fn from_c64(z: C64) -> Self {
                <$t>::new(z.re as $f, z.im as $f)
            }
        }
    };
}
complex!(C32, f32);
complex!(C64, f64);

/// The largest real or imaginary part of numbers, if all are finite.
pub(super) fn largest<T: LinalgElement>(numbers: &[T]) -> Option<T::R> {
    wide(|| survey(numbers))
}

#[inline(always)]
fn survey<T: LinalgElement>(numbers: &[T]) -> Option<T::R> {
    const LANES: usize = 16;
    let (mut largest, mut zeros) = ([T::R::ZERO; LANES], [T::R::ZERO; LANES]);
    let step = |largest: &mut T::R, zeros: &mut T::R, x: T| {
        let (re, im) = (Float::abs(x.re()), Float::abs(x.im()));
        *largest = if re > *largest { re } else { *largest };
        *largest = if im > *largest { im } else { *largest };
        *zeros = *zeros + re * T::R::ZERO + im * T::R::ZERO;
    };
    let chunks = numbers.chunks_exact(LANES);
    for (l, &x) in chunks.remainder().iter().enumerate() {
        step(&mut largest[l], &mut zeros[l], x);
    }
    for chunk in chunks {
        for l in 0..LANES {
            step(&mut largest[l], &mut zeros[l], chunk[l]);
        }
    }
    let sum = zeros.into_iter().fold(T::R::ZERO, |sum, x| sum + x);
    (sum == T::R::ZERO).then(|| largest.into_iter().fold(T::R::ZERO, Float::max))
}

/// The factor that takes the largest element to where squares neither overflow nor vanish, as LAPACK's drivers have it.
pub(super) fn balance<R: Real>(largest: R) -> R {
    let small = (R::min_positive_value() / <R as Float>::epsilon()).sqrt();
    if largest > R::ZERO && largest < small {
        small / largest
    } else if largest > R::ONE / small {
        R::ONE / (small * largest)
    } else {
        R::ONE
    }
}
