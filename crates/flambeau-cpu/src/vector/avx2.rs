//! Functions of eight numbers at once. One of the modules with unsafe code.

use super::exp::MAGIC_SINGLE;
use super::lane::{Function, Lane};
use std::arch::x86_64::*;

/// Eight numbers.
#[derive(Clone, Copy)]
struct Eight(__m256);

// SAFETY of all that follows: values of this type are made and used inside of [`map`] only, whose callers know that the
// processor has the instructions.
macro_rules! on {
    ($e:expr) => {
        // SAFETY: as above; what is loaded are arrays of 16 numbers.
        unsafe { $e }
    };
}

impl Lane for Eight {
    #[inline(always)]
    fn of(x: f32) -> Self {
        Eight(on!(_mm256_set1_ps(x)))
    }
    #[inline(always)]
    fn plus(self, b: Self) -> Self {
        Eight(on!(_mm256_add_ps(self.0, b.0)))
    }
    #[inline(always)]
    fn minus(self, b: Self) -> Self {
        Eight(on!(_mm256_sub_ps(self.0, b.0)))
    }
    #[inline(always)]
    fn times(self, b: Self) -> Self {
        Eight(on!(_mm256_mul_ps(self.0, b.0)))
    }
    #[inline(always)]
    fn over(self, b: Self) -> Self {
        Eight(on!(_mm256_div_ps(self.0, b.0)))
    }
    #[inline(always)]
    fn fused(self, b: Self, c: Self) -> Self {
        Eight(on!(_mm256_fmadd_ps(self.0, b.0, c.0)))
    }
    #[inline(always)]
    fn magnitude(self) -> Self {
        Eight(on!(_mm256_andnot_ps(_mm256_set1_ps(-0.0), self.0)))
    }
    #[inline(always)]
    fn with_sign(self, of: Self) -> Self {
        let sign = Self::of(-0.0);
        Eight(on!(_mm256_or_ps(_mm256_andnot_ps(sign.0, self.0), _mm256_and_ps(sign.0, of.0))))
    }
    #[inline(always)]
    fn at_least(self, low: f32) -> Self {
        // The second operand where one is NaN.
        Eight(on!(_mm256_max_ps(_mm256_set1_ps(low), self.0)))
    }
    #[inline(always)]
    fn at_most(self, high: f32) -> Self {
        Eight(on!(_mm256_min_ps(_mm256_set1_ps(high), self.0)))
    }
    #[inline(always)]
    fn or_from(self, z: Self, limit: f32, large: Self) -> Self {
        large.unless::<_CMP_LT_OQ>(z, Self::of(limit), self)
    }
    #[inline(always)]
    fn pick(self, table: &[f32; 16]) -> Self {
        Eight::entry(on!(_mm256_castps_si256(self.0)), table)
    }
    #[inline(always)]
    fn scaled(self, k: Self) -> Self {
        // Two powers of two, as for one number.
        let two = |n: u32| Self::of(f32::from_bits((127 + n) << 23));
        let [up, down] = [two(64), two(64u32.wrapping_neg())];
        let magic = Self::of(MAGIC_SINGLE);
        let bias = down.unless::<_CMP_LT_OQ>(k, magic, up);
        let rest = up.unless::<_CMP_LT_OQ>(k, magic, down);
        self.times(k.biased(bias)).times(rest)
    }
    #[inline(always)]
    fn split(self) -> (Self, Self) {
        let least = Self::of(f32::MIN_POSITIVE);
        let x = self.unless::<_CMP_LT_OQ>(self, least, self.times(Self::of(8388608.0)));
        let bits = on!(_mm256_castps_si256(x.0));
        let offset = Self::of(8388608.0);
        let exponent = on!(_mm256_castsi256_ps(_mm256_or_si256(
            _mm256_castps_si256(offset.0),
            _mm256_srli_epi32::<23>(bits)
        )));
        let bias = Self::of(127.0).unless::<_CMP_LT_OQ>(self, least, Self::of(127.0 + 23.0));
        let fraction = on!(_mm256_and_si256(bits, _mm256_set1_epi32(0x007F_FFFF)));
        let one = on!(_mm256_castps_si256(_mm256_set1_ps(1.0)));
        let significand = on!(_mm256_castsi256_ps(_mm256_or_si256(fraction, one)));
        (Eight(exponent).minus(offset).minus(bias), Eight(significand))
    }
    #[inline(always)]
    fn pick_by_bits<const SHIFT: u32>(self, table: &[f32; 16]) -> Self {
        let k = on!(_mm256_srl_epi32(_mm256_castps_si256(self.0), _mm_cvtsi32_si128(SHIFT as i32)));
        Eight::entry(k, table)
    }
    #[inline(always)]
    fn or_no_logarithm(self, y: Self) -> Self {
        let zero = Self::of(0.0);
        let y = self.unless::<_CMP_LT_OQ>(self, Self::of(f32::INFINITY), y);
        let outside = Self::of(f32::NAN).unless::<_CMP_EQ_OQ>(self, zero, Self::of(f32::NEG_INFINITY));
        outside.unless::<_CMP_GT_OQ>(self, zero, y)
    }
}

impl Eight {
    /// `then` where `a` and `b` compare so, else `self`.
    #[inline(always)]
    fn unless<const COMPARISON: i32>(self, a: Self, b: Self, then: Self) -> Self {
        Eight(on!(_mm256_blendv_ps(self.0, then.0, _mm256_cmp_ps::<COMPARISON>(a.0, b.0))))
    }
    /// The entries that the low four bits of `k` number: of both halves, one of which is chosen by the highest bit.
    #[inline(always)]
    fn entry(k: __m256i, table: &[f32; 16]) -> Self {
        let low = on!(_mm256_permutevar8x32_ps(_mm256_loadu_ps(table.as_ptr()), k));
        let high = on!(_mm256_permutevar8x32_ps(_mm256_loadu_ps(table.as_ptr().add(8)), k));
        let upper = on!(_mm256_castsi256_ps(_mm256_slli_epi32::<28>(k)));
        Eight(on!(_mm256_blendv_ps(low, high, upper)))
    }
    /// `bias * 2^floor(n / 16)` for `self = n + MAGIC_SINGLE` and a power of two.
    #[inline(always)]
    fn biased(self, bias: Self) -> Self {
        let whole = on!(_mm256_slli_epi32::<23>(_mm256_srli_epi32::<4>(_mm256_castps_si256(self.0))));
        Eight(on!(_mm256_castsi256_ps(_mm256_add_epi32(whole, _mm256_castps_si256(bias.0)))))
    }
}

/// Writes the function of each of `n` numbers at `x` to the same place at `out`, which may be `x`.
///
/// # Safety
/// The processor must have the instructions; `n` numbers are readable at `x` and writable at `out`, and both are the
/// same or do not overlap.
#[target_feature(enable = "avx2,fma,f16c")]
pub unsafe fn map<F: Function>(x: *const f32, out: *mut f32, n: usize) {
    let mut i = 0;
    // SAFETY: numbers below `n`.
    unsafe {
        while i + 8 <= n {
            let y = F::of(Eight(_mm256_loadu_ps(x.add(i))));
            _mm256_storeu_ps(out.add(i), y.0);
            i += 8;
        }
        if i < n {
            let mut rest = [0f32; 8];
            std::ptr::copy_nonoverlapping(x.add(i), rest.as_mut_ptr(), n - i);
            let y = F::of(Eight(_mm256_loadu_ps(rest.as_ptr())));
            _mm256_storeu_ps(rest.as_mut_ptr(), y.0);
            std::ptr::copy_nonoverlapping(rest.as_ptr(), out.add(i), n - i);
        }
    }
}
