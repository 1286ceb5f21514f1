//! Vector registers of transforms. One of the modules with unsafe code.

/// A vector register of `N` numbers. Every method needs the instructions of its type, and valid addresses.
pub(super) trait Vector: Copy {
    type F: Copy;
    const N: usize;
    unsafe fn splat(x: Self::F) -> Self;
    unsafe fn load(from: *const Self::F) -> Self;
    unsafe fn store(self, to: *mut Self::F);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn sub(self, other: Self) -> Self;
    unsafe fn mul(self, other: Self) -> Self;
    /// `self * b + c` in one rounding.
    unsafe fn fma(self, b: Self, c: Self) -> Self;
    /// `c - self * b` in one rounding.
    unsafe fn fnma(self, b: Self, c: Self) -> Self;
    /// The elements of both in turn: the first half of them and the second.
    unsafe fn zip(self, other: Self) -> (Self, Self);
    /// The way back from [`Vector::zip`].
    unsafe fn unzip(self, other: Self) -> (Self, Self);
    /// The elements in the opposite order.
    unsafe fn reverse(self) -> Self;
}

macro_rules! arithmetic {
    ($t:ident, $n:literal, $splat:ident, $load:ident, $store:ident, $add:ident, $sub:ident, $mul:ident, $fma:ident, $fnma:ident) => {
        type F = $t;
        const N: usize = $n;
        #[inline(always)]
        unsafe fn splat(x: $t) -> Self {
            // SAFETY: the caller has the instructions.
            unsafe { $splat(x) }
        }
        #[inline(always)]
        unsafe fn load(from: *const $t) -> Self {
            // SAFETY: as above, and a valid address.
            unsafe { $load(from) }
        }
        #[inline(always)]
        unsafe fn store(self, to: *mut $t) {
            // SAFETY: as above.
            unsafe { $store(to, self) }
        }
        #[inline(always)]
        unsafe fn add(self, other: Self) -> Self {
            // SAFETY: the caller has the instructions.
            unsafe { $add(self, other) }
        }
        #[inline(always)]
        unsafe fn sub(self, other: Self) -> Self {
            // SAFETY: as above.
            unsafe { $sub(self, other) }
        }
        #[inline(always)]
        unsafe fn mul(self, other: Self) -> Self {
            // SAFETY: as above.
            unsafe { $mul(self, other) }
        }
        #[inline(always)]
        unsafe fn fma(self, b: Self, c: Self) -> Self {
            // SAFETY: as above.
            unsafe { $fma(self, b, c) }
        }
        #[inline(always)]
        unsafe fn fnma(self, b: Self, c: Self) -> Self {
            // SAFETY: as above.
            unsafe { $fnma(self, b, c) }
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Vector;
    use std::arch::x86_64::*;

    /// Shuffles by tables of indices into both operands.
    macro_rules! by_table {
        ($int:ident, $set:ident, $two:ident, $one:ident, [$($low:literal)*], [$($high:literal)*], [$($even:literal)*], [$($odd:literal)*], [$($back:literal)*]) => {
            #[inline(always)]
            unsafe fn zip(self, other: Self) -> (Self, Self) {
                // SAFETY: the caller has the instructions.
                unsafe { ($two(self, $set($($low),*), other), $two(self, $set($($high),*), other)) }
            }
            #[inline(always)]
            unsafe fn unzip(self, other: Self) -> (Self, Self) {
                // SAFETY: as above.
                unsafe { ($two(self, $set($($even),*), other), $two(self, $set($($odd),*), other)) }
            }
            #[inline(always)]
            unsafe fn reverse(self) -> Self {
                // SAFETY: as above.
                unsafe { $one($set($($back),*), self) }
            }
        };
    }
    impl Vector for __m512 {
        arithmetic!(
            f32,
            16,
            _mm512_set1_ps,
            _mm512_loadu_ps,
            _mm512_storeu_ps,
            _mm512_add_ps,
            _mm512_sub_ps,
            _mm512_mul_ps,
            _mm512_fmadd_ps,
            _mm512_fnmadd_ps
        );
        by_table!(i32, _mm512_setr_epi32, _mm512_permutex2var_ps, _mm512_permutexvar_ps,
            [0 16 1 17 2 18 3 19 4 20 5 21 6 22 7 23], [8 24 9 25 10 26 11 27 12 28 13 29 14 30 15 31],
            [0 2 4 6 8 10 12 14 16 18 20 22 24 26 28 30], [1 3 5 7 9 11 13 15 17 19 21 23 25 27 29 31],
            [15 14 13 12 11 10 9 8 7 6 5 4 3 2 1 0]);
    }
    impl Vector for __m512d {
        arithmetic!(
            f64,
            8,
            _mm512_set1_pd,
            _mm512_loadu_pd,
            _mm512_storeu_pd,
            _mm512_add_pd,
            _mm512_sub_pd,
            _mm512_mul_pd,
            _mm512_fmadd_pd,
            _mm512_fnmadd_pd
        );
        by_table!(i64, _mm512_setr_epi64, _mm512_permutex2var_pd, _mm512_permutexvar_pd,
            [0 8 1 9 2 10 3 11], [4 12 5 13 6 14 7 15], [0 2 4 6 8 10 12 14], [1 3 5 7 9 11 13 15],
            [7 6 5 4 3 2 1 0]);
    }
    impl Vector for __m256 {
        arithmetic!(
            f32,
            8,
            _mm256_set1_ps,
            _mm256_loadu_ps,
            _mm256_storeu_ps,
            _mm256_add_ps,
            _mm256_sub_ps,
            _mm256_mul_ps,
            _mm256_fmadd_ps,
            _mm256_fnmadd_ps
        );
        #[inline(always)]
        unsafe fn zip(self, other: Self) -> (Self, Self) {
            // SAFETY: the caller has the instructions.
            unsafe {
                let (low, high) = (_mm256_unpacklo_ps(self, other), _mm256_unpackhi_ps(self, other));
                (_mm256_permute2f128_ps::<0x20>(low, high), _mm256_permute2f128_ps::<0x31>(low, high))
            }
        }
        #[inline(always)]
        unsafe fn unzip(self, other: Self) -> (Self, Self) {
            // SAFETY: as above.
            unsafe {
                let low = _mm256_permute2f128_ps::<0x20>(self, other);
                let high = _mm256_permute2f128_ps::<0x31>(self, other);
                (_mm256_shuffle_ps::<0x88>(low, high), _mm256_shuffle_ps::<0xdd>(low, high))
            }
        }
        #[inline(always)]
        unsafe fn reverse(self) -> Self {
            // SAFETY: as above.
            unsafe { _mm256_permutevar8x32_ps(self, _mm256_setr_epi32(7, 6, 5, 4, 3, 2, 1, 0)) }
        }
    }
    impl Vector for __m256d {
        arithmetic!(
            f64,
            4,
            _mm256_set1_pd,
            _mm256_loadu_pd,
            _mm256_storeu_pd,
            _mm256_add_pd,
            _mm256_sub_pd,
            _mm256_mul_pd,
            _mm256_fmadd_pd,
            _mm256_fnmadd_pd
        );
        #[inline(always)]
        unsafe fn zip(self, other: Self) -> (Self, Self) {
            // SAFETY: the caller has the instructions.
            unsafe {
                let (low, high) = (_mm256_unpacklo_pd(self, other), _mm256_unpackhi_pd(self, other));
                (_mm256_permute2f128_pd::<0x20>(low, high), _mm256_permute2f128_pd::<0x31>(low, high))
            }
        }
        #[inline(always)]
        unsafe fn unzip(self, other: Self) -> (Self, Self) {
            // SAFETY: as above.
            unsafe {
                let low = _mm256_permute2f128_pd::<0x20>(self, other);
                let high = _mm256_permute2f128_pd::<0x31>(self, other);
                (_mm256_unpacklo_pd(low, high), _mm256_unpackhi_pd(low, high))
            }
        }
        #[inline(always)]
        unsafe fn reverse(self) -> Self {
            // SAFETY: as above.
            unsafe { _mm256_permute4x64_pd::<0x1b>(self) }
        }
    }
}
