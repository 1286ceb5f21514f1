//! Functions of sixteen numbers at once. One of the modules with unsafe code.

use super::exp::MAGIC_SINGLE;
use super::lane::{Function, Lane};
use std::arch::x86_64::*;

/// Sixteen numbers.
#[derive(Clone, Copy)]
struct Sixteen(__m512);

// SAFETY of all that follows: values of this type are made and used inside of [`map`] only, whose callers know that the
// processor has the instructions.
macro_rules! on {
    ($e:expr) => {
        // SAFETY: as above; what is loaded are arrays of 16 numbers.
        unsafe { $e }
    };
}

impl Lane for Sixteen {
    #[inline(always)]
    fn of(x: f32) -> Self {
        Sixteen(on!(_mm512_set1_ps(x)))
    }
    #[inline(always)]
    fn plus(self, b: Self) -> Self {
        Sixteen(on!(_mm512_add_ps(self.0, b.0)))
    }
    #[inline(always)]
    fn minus(self, b: Self) -> Self {
        Sixteen(on!(_mm512_sub_ps(self.0, b.0)))
    }
    #[inline(always)]
    fn times(self, b: Self) -> Self {
        Sixteen(on!(_mm512_mul_ps(self.0, b.0)))
    }
    #[inline(always)]
    fn over(self, b: Self) -> Self {
        Sixteen(on!(_mm512_div_ps(self.0, b.0)))
    }
    #[inline(always)]
    fn fused(self, b: Self, c: Self) -> Self {
        Sixteen(on!(_mm512_fmadd_ps(self.0, b.0, c.0)))
    }
    #[inline(always)]
    fn magnitude(self) -> Self {
        Sixteen(on!(_mm512_abs_ps(self.0)))
    }
    #[inline(always)]
    fn with_sign(self, of: Self) -> Self {
        let sign = Self::of(-0.0);
        Sixteen(on!(_mm512_or_ps(_mm512_andnot_ps(sign.0, self.0), _mm512_and_ps(sign.0, of.0))))
    }
    #[inline(always)]
    fn at_least(self, low: f32) -> Self {
        // The second operand where one is NaN.
        Sixteen(on!(_mm512_max_ps(_mm512_set1_ps(low), self.0)))
    }
    #[inline(always)]
    fn at_most(self, high: f32) -> Self {
        Sixteen(on!(_mm512_min_ps(_mm512_set1_ps(high), self.0)))
    }
    #[inline(always)]
    fn or_from(self, z: Self, limit: f32, large: Self) -> Self {
        let small = on!(_mm512_cmp_ps_mask::<_CMP_LT_OQ>(z.0, _mm512_set1_ps(limit)));
        Sixteen(on!(_mm512_mask_blend_ps(small, large.0, self.0)))
    }
    #[inline(always)]
    fn pick(self, table: &[f32; 16]) -> Self {
        let k = on!(_mm512_castps_si512(self.0));
        Sixteen(on!(_mm512_permutexvar_ps(k, _mm512_loadu_ps(table.as_ptr()))))
    }
    #[inline(always)]
    fn scaled(self, k: Self) -> Self {
        let n = k.minus(Self::of(MAGIC_SINGLE)).times(Self::of(1.0 / 16.0));
        Sixteen(on!(_mm512_scalef_ps(self.0, n.0)))
    }
    #[inline(always)]
    fn split(self) -> (Self, Self) {
        let significand = on!(_mm512_getmant_ps::<_MM_MANT_NORM_1_2, _MM_MANT_SIGN_ZERO>(self.0));
        (Sixteen(on!(_mm512_getexp_ps(self.0))), Sixteen(significand))
    }
    #[inline(always)]
    fn pick_by_bits<const SHIFT: u32>(self, table: &[f32; 16]) -> Self {
        let top = on!(_mm512_srli_epi32::<SHIFT>(_mm512_castps_si512(self.0)));
        Sixteen(on!(_mm512_permutexvar_ps(top, _mm512_loadu_ps(table.as_ptr()))))
    }
    #[inline(always)]
    fn or_no_logarithm(self, y: Self) -> Self {
        const FINITE: i32 = _CMP_LT_OQ;
        const POSITIVE: i32 = _CMP_GT_OQ;
        let (zero, infinity) = (Self::of(0.0), Self::of(f32::INFINITY));
        let finite = on!(_mm512_cmp_ps_mask::<FINITE>(self.0, infinity.0));
        let positive = on!(_mm512_cmp_ps_mask::<POSITIVE>(self.0, zero.0));
        let none = on!(_mm512_cmp_ps_mask::<_CMP_EQ_OQ>(self.0, zero.0));
        let y = on!(_mm512_mask_blend_ps(finite, self.0, y.0));
        let (nan, low) = (Self::of(f32::NAN), Self::of(f32::NEG_INFINITY));
        let outside = on!(_mm512_mask_blend_ps(none, nan.0, low.0));
        Sixteen(on!(_mm512_mask_blend_ps(positive, outside, y)))
    }
}

/// Writes the function of each of `n` numbers at `x` to the same place at `out`, which may be `x`.
///
/// # Safety
/// The processor must have the instructions; `n` numbers are readable at `x` and writable at `out`, and both are the
/// same or do not overlap.
#[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,f16c")]
pub unsafe fn map<F: Function>(x: *const f32, out: *mut f32, n: usize) {
    let mut i = 0;
    // SAFETY: numbers below `n`.
    unsafe {
        while i + 16 <= n {
            let y = F::of(Sixteen(_mm512_loadu_ps(x.add(i))));
            _mm512_storeu_ps(out.add(i), y.0);
            i += 16;
        }
        if i < n {
            let rest = ((1u32 << (n - i)) - 1) as __mmask16;
            let y = F::of(Sixteen(_mm512_maskz_loadu_ps(rest, x.add(i))));
            _mm512_mask_storeu_ps(out.add(i), rest, y.0);
        }
    }
}
