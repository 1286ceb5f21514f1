//! Vector registers of the tile kernels.

/// A vector register of `N` elements. Every method needs the instructions of its type, and valid addresses.
pub(super) trait Lanes: Copy {
    type T: Copy;
    const N: usize;
    unsafe fn splat(x: Self::T) -> Self;
    unsafe fn load(from: *const Self::T) -> Self;
    unsafe fn store(self, to: *mut Self::T);
    unsafe fn mul(self, other: Self) -> Self;
    /// `self * b + c`, in one rounding where the instructions have it.
    unsafe fn mul_add(self, b: Self, c: Self) -> Self;
    /// Stores the elements whose bits are set in `mask`, one after the other. Up to `N` elements are written.
    #[inline(always)]
    unsafe fn compress(self, mask: u32, to: *mut Self::T) {
        let mut all = [std::mem::MaybeUninit::<Self::T>::uninit(); 16];
        let (from, mut rest, mut at) = (all.as_mut_ptr().cast::<Self::T>(), mask, to);
        // SAFETY: a register has at most 16 elements; the bits are below N.
        unsafe {
            self.store(from);
            while rest != 0 {
                *at = *from.add(rest.trailing_zeros() as usize);
                at = at.add(1);
                rest &= rest - 1;
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::Lanes;
    use std::arch::x86_64::*;

    macro_rules! lanes {
        ($v:ident, $t:ident, $n:literal, $splat:ident, $load:ident, $store:ident, $mul:ident, $fma:expr
         $(, $compress:ident, $mask:ident, $masked:ident)?) => {
            impl Lanes for $v {
                type T = $t;
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
                unsafe fn mul(self, other: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $mul(self, other) }
                }
                #[inline(always)]
                unsafe fn mul_add(self, b: Self, c: Self) -> Self {
                    // SAFETY: as above.
                    unsafe { $fma(self, b, c) }
                }
                $(
                    #[inline(always)]
                    unsafe fn compress(self, mask: u32, to: *mut $t) {
                        // SAFETY: as above; as many elements are written as bits are set. A register of its own
                        // and a masked store are faster than the compressing store.
                        unsafe {
                            let count = mask.count_ones();
                            $masked(to, ((1u32 << count) - 1) as $mask, $compress(mask as $mask, self));
                        }
                    }
                )?
            }
        };
    }
    #[inline(always)]
    unsafe fn apart_single(a: __m128, b: __m128, c: __m128) -> __m128 {
        // SAFETY: every x86-64 has SSE2.
        unsafe { _mm_add_ps(_mm_mul_ps(a, b), c) }
    }
    #[inline(always)]
    unsafe fn apart_double(a: __m128d, b: __m128d, c: __m128d) -> __m128d {
        // SAFETY: every x86-64 has SSE2.
        unsafe { _mm_add_pd(_mm_mul_pd(a, b), c) }
    }
    lanes!(
        __m512,
        f32,
        16,
        _mm512_set1_ps,
        _mm512_loadu_ps,
        _mm512_storeu_ps,
        _mm512_mul_ps,
        _mm512_fmadd_ps,
        _mm512_maskz_compress_ps,
        __mmask16,
        _mm512_mask_storeu_ps
    );
    lanes!(
        __m512d,
        f64,
        8,
        _mm512_set1_pd,
        _mm512_loadu_pd,
        _mm512_storeu_pd,
        _mm512_mul_pd,
        _mm512_fmadd_pd,
        _mm512_maskz_compress_pd,
        __mmask8,
        _mm512_mask_storeu_pd
    );
    lanes!(__m256, f32, 8, _mm256_set1_ps, _mm256_loadu_ps, _mm256_storeu_ps, _mm256_mul_ps, _mm256_fmadd_ps);
    lanes!(
        __m256d,
        f64,
        4,
        _mm256_set1_pd,
        _mm256_loadu_pd,
        _mm256_storeu_pd,
        _mm256_mul_pd,
        _mm256_fmadd_pd
    );
    lanes!(__m128, f32, 4, _mm_set1_ps, _mm_loadu_ps, _mm_storeu_ps, _mm_mul_ps, apart_single);
    lanes!(__m128d, f64, 2, _mm_set1_pd, _mm_loadu_pd, _mm_storeu_pd, _mm_mul_pd, apart_double);
}

/// A register of processors that the kernels know nothing about: what the compiler makes of an array.
#[cfg(not(target_arch = "x86_64"))]
mod plain {
    use super::Lanes;

    macro_rules! lanes {
        ($t:ident, $n:literal) => {
            impl Lanes for [$t; $n] {
                type T = $t;
                const N: usize = $n;
                #[inline(always)]
                unsafe fn splat(x: $t) -> Self {
                    [x; $n]
                }
                #[inline(always)]
                unsafe fn load(from: *const $t) -> Self {
                    // SAFETY: a valid address; an array has its elements' alignment.
                    unsafe { *from.cast() }
                }
                #[inline(always)]
                unsafe fn store(self, to: *mut $t) {
                    // SAFETY: as above.
                    unsafe { *to.cast() = self }
                }
                #[inline(always)]
                unsafe fn mul(self, other: Self) -> Self {
                    std::array::from_fn(|i| self[i] * other[i])
                }
                #[inline(always)]
                unsafe fn mul_add(self, b: Self, c: Self) -> Self {
                    match cfg!(target_arch = "aarch64") {
                        true => std::array::from_fn(|i| self[i].mul_add(b[i], c[i])),
                        false => std::array::from_fn(|i| self[i] * b[i] + c[i]),
                    }
                }
            }
        };
    }
    lanes!(f32, 4);
    lanes!(f64, 2);
}
