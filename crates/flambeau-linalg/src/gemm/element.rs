//! Arithmetic of the element types of a matrix product.

use super::blocked::{self, Kernel};
use super::{Shape, complex, thirds};
use crate::level::level;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use flambeau_core::{C32, C64, Element};

/// An element of a matrix product: `f32`, `f64`, `Complex<f32>`, `Complex<f64>`, or `i64` with wrapping arithmetic.
///
/// The remaining integers are exact modulo their width when computed in `i64`; halves are computed in `f32`.
pub trait GemmElement: Element {
    const ZERO: Self;
    const ONE: Self;
    /// Whether the arithmetic is exact (and wraps).
    const INTEGER: bool;
    /// A real floating-point number, of four or eight bytes.
    const REAL: bool = false;
    /// Whether this is `f32`.
    const SINGLE: bool = false;
    /// Whether short rows of a matrix are summed in the order of the common BLAS.
    const SHORT_ROWS: bool = false;
    /// These numbers, if they are `f32`.
    fn floats(_: &[Self]) -> Option<&[f32]> {
        None
    }
    /// [`GemmElement::floats`] to write to.
    fn floats_mut(_: &mut [Self]) -> Option<&mut [f32]> {
        None
    }
    fn add(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn conj(self) -> Self;
    /// `self * b + c`, in one rounding for each real product when `FMA` is set.
    fn mul_add<const FMA: bool>(self, b: Self, c: Self) -> Self;
    /// The dot product of `n` contiguous elements, where it has an order of its own.
    ///
    /// # Safety
    /// `n` elements are valid at both addresses.
    unsafe fn dot(_n: usize, _x: *const Self, _y: *const Self) -> Option<Self> {
        None
    }
    /// The most rows of [`Route::Dots`].
    ///
    /// [`Route::Dots`]: super::Route::Dots
    #[doc(hidden)]
    fn few() -> usize {
        super::small::FEW
    }
    /// A product of few rows, both operands contiguous along `k`, in the widest registers; false where there are none.
    ///
    /// # Safety
    /// As for [`GemmElement::large`]; `k` is nonzero.
    #[doc(hidden)]
    #[allow(private_interfaces)]
    unsafe fn dots(
        _: &Shape,
        _alpha: Self,
        _a: *const Self,
        _b: *const Self,
        _beta: Self,
        _c: *mut Self,
    ) -> bool {
        false
    }
    /// The tile kernel of this type, where there is one.
    fn kernel() -> Option<&'static Kernel<Self>> {
        None
    }
    /// The blocked product for matrices beyond the small paths.
    ///
    /// # Safety
    /// Every address that the sizes and strides reach must be valid.
    #[doc(hidden)]
    #[allow(private_interfaces)]
    unsafe fn large(shape: &Shape, alpha: Self, a: *const Self, b: *const Self, beta: Self, c: *mut Self);
    /// [`GemmElement::large`] with a bias for each column, of a result of contiguous rows; false where there is none.
    ///
    /// # Safety
    /// As for [`GemmElement::large`]; as many biases as columns.
    #[doc(hidden)]
    #[allow(private_interfaces)]
    unsafe fn biased(_: &Shape, _a: *const Self, _b: *const Self, _c: *mut Self, _bias: *const Self) -> bool {
        false
    }
}

#[inline(always)]
pub(super) fn fma<F: num_traits::Float, const FMA: bool>(a: F, b: F, c: F) -> F {
    // Without the instruction `mul_add` would be a library call.
    if FMA { a.mul_add(b, c) } else { a * b + c }
}

/// A product by faer.
///
/// # Safety
/// As for [`GemmElement::large`].
unsafe fn by_faer<T: GemmElement + faer::traits::ComplexField>(
    s: &Shape,
    alpha: T,
    a: *const T,
    b: *const T,
    beta: T,
    c: *mut T,
) {
    let accumulate = if beta == T::ZERO {
        Accum::Replace
    } else {
        // SAFETY: passed on from the caller.
        unsafe { s.scale(beta, c) };
        Accum::Add
    };
    // SAFETY: the caller vouches for the addresses, and `c` is reached through one unique pointer.
    unsafe {
        let a = MatRef::from_raw_parts(a, s.m, s.k, s.a_rs as isize, s.a_cs as isize);
        let b = MatRef::from_raw_parts(b, s.k, s.n, s.b_rs as isize, s.b_cs as isize);
        let c = MatMut::from_raw_parts_mut(c, s.m, s.n, s.c_rs as isize, s.c_cs as isize);
        matmul(c, accumulate, a, b, alpha, Par::Seq);
    }
}

/// `c = a @ b` in parts of `f32`, with biases if there are any; false where that does not pay, or not serve these numbers, and
/// for other types.
///
/// # Safety
/// As for [`GemmElement::biased`].
unsafe fn in_thirds<T: GemmElement>(
    s: &Shape,
    a: *const T,
    b: *const T,
    c: *mut T,
    bias: Option<*const T>,
) -> bool {
    let turned = s.c_cs != 1 && s.c_rs == 1 && bias.is_none();
    let (s, a, b) = if turned { (&s.transposed(), b, a) } else { (s, a, b) };
    // SAFETY: passed on; the transposed product reaches the same addresses.
    T::SINGLE
        && s.c_cs == 1
        && thirds::pays(s)
        && unsafe { thirds::multiply(s, a.cast(), b.cast(), bias.map(<*const T>::cast), c.cast()) }
}

macro_rules! real {
    ($t:ty, $kernel:ident) => {
        impl GemmElement for $t {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const INTEGER: bool = false;
            const REAL: bool = true;
            const SINGLE: bool = size_of::<$t>() == 4;
            const SHORT_ROWS: bool = Self::SINGLE;
            fn floats(x: &[Self]) -> Option<&[f32]> {
                // SAFETY: the same type.
                let same = || unsafe { std::slice::from_raw_parts(x.as_ptr().cast(), x.len()) };
                Self::SINGLE.then(same)
            }
            fn floats_mut(x: &mut [Self]) -> Option<&mut [f32]> {
                // SAFETY: the same type.
                let same = || unsafe { std::slice::from_raw_parts_mut(x.as_mut_ptr().cast(), x.len()) };
                Self::SINGLE.then(same)
            }
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                self + other
            }
            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                self * other
            }
            #[inline(always)]
            fn conj(self) -> Self {
                self
            }
            #[inline(always)]
            fn mul_add<const FMA: bool>(self, b: Self, c: Self) -> Self {
                fma::<$t, FMA>(self, b, c)
            }
            fn few() -> usize {
                #[cfg(target_arch = "x86_64")]
                if level() == crate::level::Level::Avx512 {
                    return super::dots_wide::FEW;
                }
                super::small::FEW
            }
            #[allow(private_interfaces)]
            unsafe fn dots(
                s: &Shape,
                alpha: Self,
                a: *const Self,
                b: *const Self,
                beta: Self,
                c: *mut Self,
            ) -> bool {
                #[cfg(target_arch = "x86_64")]
                if level() == crate::level::Level::Avx512 {
                    // SAFETY: passed on; there is AVX-512.
                    unsafe { super::dots_wide::multiply(s, alpha, a, b, beta, c) };
                    return true;
                }
                false
            }
            fn kernel() -> Option<&'static Kernel<$t>> {
                Some(blocked::$kernel(level()))
            }
            #[allow(private_interfaces)]
            unsafe fn large(
                s: &Shape,
                alpha: Self,
                a: *const Self,
                b: *const Self,
                beta: Self,
                c: *mut Self,
            ) {
                // SAFETY: passed on.
                unsafe {
                    if alpha == Self::ONE && beta == Self::ZERO && in_thirds(s, a, b, c, None) {
                        return;
                    }
                    blocked::multiply(blocked::$kernel(level()), s, alpha, a, b, beta, c, None)
                }
            }
            #[allow(private_interfaces)]
            unsafe fn biased(
                s: &Shape,
                a: *const Self,
                b: *const Self,
                c: *mut Self,
                bias: *const Self,
            ) -> bool {
                let kernel = blocked::$kernel(level());
                // SAFETY: passed on.
                unsafe {
                    if !in_thirds(s, a, b, c, Some(bias)) {
                        blocked::multiply(kernel, s, Self::ONE, a, b, Self::ZERO, c, Some(bias))
                    }
                };
                true
            }
        }
    };
}
real!(f32, single);
real!(f64, double);

macro_rules! complex {
    ($t:ty, $f:ty) => {
        impl GemmElement for $t {
            const ZERO: Self = <$t>::new(0.0, 0.0);
            const ONE: Self = <$t>::new(1.0, 0.0);
            const INTEGER: bool = false;
            #[inline(always)]
            fn add(self, other: Self) -> Self {
                self + other
            }
            #[inline(always)]
            fn mul(self, other: Self) -> Self {
                self * other
            }
            #[inline(always)]
            fn conj(self) -> Self {
                <$t>::new(self.re, -self.im)
            }
            #[inline(always)]
            fn mul_add<const FMA: bool>(self, b: Self, c: Self) -> Self {
                let re = fma::<$f, FMA>(self.re, b.re, fma::<$f, FMA>(-self.im, b.im, c.re));
                let im = fma::<$f, FMA>(self.re, b.im, fma::<$f, FMA>(self.im, b.re, c.im));
                <$t>::new(re, im)
            }
            unsafe fn dot(n: usize, x: *const Self, y: *const Self) -> Option<Self> {
                // SAFETY: passed on.
                Some(unsafe { complex::dot(n, x, y) })
            }
            #[allow(private_interfaces)]
            unsafe fn large(
                s: &Shape,
                alpha: Self,
                a: *const Self,
                b: *const Self,
                beta: Self,
                c: *mut Self,
            ) {
                // SAFETY: passed on.
                unsafe { by_faer(s, alpha, a, b, beta, c) }
            }
        }
    };
}
complex!(C32, f32);
complex!(C64, f64);

impl GemmElement for i64 {
    const ZERO: Self = 0;
    const ONE: Self = 1;
    const INTEGER: bool = true;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.wrapping_mul(other)
    }
    #[inline(always)]
    fn conj(self) -> Self {
        self
    }
    #[inline(always)]
    fn mul_add<const FMA: bool>(self, b: Self, c: Self) -> Self {
        self.wrapping_mul(b).wrapping_add(c)
    }
    #[allow(private_interfaces)]
    unsafe fn large(s: &Shape, alpha: Self, a: *const Self, b: *const Self, beta: Self, c: *mut Self) {
        // SAFETY: passed on.
        unsafe { super::integer::multiply(s, alpha, a, b, beta, c) }
    }
}
