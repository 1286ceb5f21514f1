//! Functions of eight `f32` or four `f64` at once. One of the modules with unsafe code.

use super::exp::{SIXTEENTHS_MAGIC, SIXTEENTHS_MAGIC_SINGLE};
use super::lane::{Double, DoubleFunction, Function, Lane};
use std::arch::x86_64::*;

/// Eight numbers.
#[derive(Clone, Copy)]
struct Eight(__m256);

/// Four numbers.
#[derive(Clone, Copy)]
struct Four(__m256d);

// SAFETY of all that follows: values of these types are made and used inside of [`map`] and [`map_double`] only, whose
// callers know that the processor has the instructions.
macro_rules! on {
    ($e:expr) => {
        // SAFETY: as above; what is loaded are arrays of 16 numbers.
        unsafe { $e }
    };
}

macro_rules! lane {
    (
        $name:ident, $t:ident, $bits:ident, $bias:literal, $width:literal, $magic:expr, $set:ident, $add:ident, $sub:ident, $mul:ident,
        $div:ident, $root:ident, $fma:ident, $and:ident, $andnot:ident, $or:ident, $max:ident, $min:ident, $compare:ident, $blend:ident,
        $integer:ident, $float:ident, $left:ident, $right:ident, $sum:ident, $shift:ident
    ) => {
        impl Lane for $name {
            type Number = $t;
            #[inline(always)]
            fn of(x: $t) -> Self {
                $name(on!($set(x)))
            }
            #[inline(always)]
            fn plus(self, b: Self) -> Self {
                $name(on!($add(self.0, b.0)))
            }
            #[inline(always)]
            fn minus(self, b: Self) -> Self {
                $name(on!($sub(self.0, b.0)))
            }
            #[inline(always)]
            fn times(self, b: Self) -> Self {
                $name(on!($mul(self.0, b.0)))
            }
            #[inline(always)]
            fn over(self, b: Self) -> Self {
                $name(on!($div(self.0, b.0)))
            }
            #[inline(always)]
            fn root(self) -> Self {
                $name(on!($root(self.0)))
            }
            #[inline(always)]
            fn fused(self, b: Self, c: Self) -> Self {
                $name(on!($fma(self.0, b.0, c.0)))
            }
            #[inline(always)]
            fn magnitude(self) -> Self {
                $name(on!($andnot($set(-0.0), self.0)))
            }
            #[inline(always)]
            fn with_sign(self, of: Self) -> Self {
                let sign = Self::of(-0.0);
                $name(on!($or($andnot(sign.0, self.0), $and(sign.0, of.0))))
            }
            #[inline(always)]
            fn at_least(self, low: $t) -> Self {
                // The second operand where one is NaN.
                $name(on!($max($set(low), self.0)))
            }
            #[inline(always)]
            fn at_most(self, high: $t) -> Self {
                $name(on!($min($set(high), self.0)))
            }
            #[inline(always)]
            fn or_any_below(self, limit: $t) -> Self {
                self.unless::<_CMP_LT_OQ>(self, Self::of(limit), Self::of(0.0))
            }
            #[inline(always)]
            fn or_from(self, z: Self, limit: $t, large: Self) -> Self {
                large.unless::<_CMP_LT_OQ>(z, Self::of(limit), self)
            }
            #[inline(always)]
            fn pick(self, table: &[$t; 16]) -> Self {
                $name::entry(on!($integer(self.0)), table)
            }
            #[inline(always)]
            fn scaled(self, k: Self) -> Self {
                // Two powers of two, as for one number.
                const HALF: $bits = $bias / 2 + 1;
                let up = Self::of($t::from_bits(($bias + HALF) << $width));
                let down = Self::of($t::from_bits(($bias - HALF) << $width));
                let magic = Self::of($magic);
                let bias = down.unless::<_CMP_LT_OQ>(k, magic, up);
                let rest = up.unless::<_CMP_LT_OQ>(k, magic, down);
                self.times(k.biased(bias)).times(rest)
            }
            #[inline(always)]
            fn split(self) -> (Self, Self) {
                let least = Self::of($t::MIN_POSITIVE);
                let whole = Self::of($t::from_bits(($bias + $width) << $width));
                let x = self.unless::<_CMP_LT_OQ>(self, least, self.times(whole));
                let exponent = on!($or(whole.0, $float($right::<$width>($integer(x.0)))));
                let bias =
                    Self::of($bias as $t).unless::<_CMP_LT_OQ>(self, least, Self::of(($bias + $width) as $t));
                let fraction = Self::of($t::from_bits((1 << $width) - 1));
                let significand = on!($or($and(x.0, fraction.0), $set(1.0)));
                ($name(exponent).minus(whole).minus(bias), $name(significand))
            }
            #[inline(always)]
            fn pick_by_bits<const SHIFT: u32>(self, table: &[$t; 16]) -> Self {
                $name::entry(on!($shift($integer(self.0), _mm_cvtsi32_si128(SHIFT as i32))), table)
            }
            #[inline(always)]
            fn or_no_logarithm(self, y: Self) -> Self {
                let zero = Self::of(0.0);
                let y = self.unless::<_CMP_LT_OQ>(self, Self::of($t::INFINITY), y);
                let outside = Self::of(-$t::NAN).unless::<_CMP_EQ_OQ>(self, zero, Self::of($t::NEG_INFINITY));
                outside.unless::<_CMP_GT_OQ>(self, zero, y)
            }
        }

        impl $name {
            /// `then` where `a` and `b` compare so, else `self`.
            #[inline(always)]
            fn unless<const COMPARISON: i32>(self, a: Self, b: Self, then: Self) -> Self {
                $name(on!($blend(self.0, then.0, $compare::<COMPARISON>(a.0, b.0))))
            }
            /// `bias * 2^floor(n)` for `self = k` as in [`Lane::scaled`] and a power of two.
            #[inline(always)]
            fn biased(self, bias: Self) -> Self {
                let whole = on!($left::<$width>($right::<4>($integer(self.0))));
                $name(on!($float($sum(whole, $integer(bias.0)))))
            }
        }
    };
}
lane!(
    Eight,
    f32,
    u32,
    127,
    23,
    SIXTEENTHS_MAGIC_SINGLE,
    _mm256_set1_ps,
    _mm256_add_ps,
    _mm256_sub_ps,
    _mm256_mul_ps,
    _mm256_div_ps,
    _mm256_sqrt_ps,
    _mm256_fmadd_ps,
    _mm256_and_ps,
    _mm256_andnot_ps,
    _mm256_or_ps,
    _mm256_max_ps,
    _mm256_min_ps,
    _mm256_cmp_ps,
    _mm256_blendv_ps,
    _mm256_castps_si256,
    _mm256_castsi256_ps,
    _mm256_slli_epi32,
    _mm256_srli_epi32,
    _mm256_add_epi32,
    _mm256_srl_epi32
);
lane!(
    Four,
    f64,
    u64,
    1023,
    52,
    SIXTEENTHS_MAGIC,
    _mm256_set1_pd,
    _mm256_add_pd,
    _mm256_sub_pd,
    _mm256_mul_pd,
    _mm256_div_pd,
    _mm256_sqrt_pd,
    _mm256_fmadd_pd,
    _mm256_and_pd,
    _mm256_andnot_pd,
    _mm256_or_pd,
    _mm256_max_pd,
    _mm256_min_pd,
    _mm256_cmp_pd,
    _mm256_blendv_pd,
    _mm256_castpd_si256,
    _mm256_castsi256_pd,
    _mm256_slli_epi64,
    _mm256_srli_epi64,
    _mm256_add_epi64,
    _mm256_srl_epi64
);

impl Eight {
    /// The entries that the low four bits of `k` number: of both halves, one of which is chosen by the highest bit.
    #[inline(always)]
    fn entry(k: __m256i, table: &[f32; 16]) -> Self {
        let low = on!(_mm256_permutevar8x32_ps(_mm256_loadu_ps(table.as_ptr()), k));
        let high = on!(_mm256_permutevar8x32_ps(_mm256_loadu_ps(table.as_ptr().add(8)), k));
        let upper = on!(_mm256_castsi256_ps(_mm256_slli_epi32::<28>(k)));
        Eight(on!(_mm256_blendv_ps(low, high, upper)))
    }
}

impl Four {
    /// The entries that the low four bits of `k` number.
    #[inline(always)]
    fn entry(k: __m256i, table: &[f64; 16]) -> Self {
        Four(on!(_mm256_i64gather_pd::<8>(table.as_ptr(), _mm256_and_si256(k, _mm256_set1_epi64x(15)))))
    }
}

impl Double for Four {
    #[inline(always)]
    fn turned(self, k: Self) -> Self {
        let sign = on!(_mm256_slli_epi64::<63>(_mm256_srli_epi64::<4>(_mm256_castpd_si256(k.0))));
        Four(on!(_mm256_xor_pd(self.0, _mm256_castsi256_pd(sign))))
    }
}

macro_rules! map {
    ($name:ident, $function:ident, $register:ident, $t:ident, $n:literal, $load:ident, $store:ident) => {
        /// Writes the function of each of `n` numbers at `x` to the same place at `out`, which may be `x`.
        ///
        /// # Safety
        /// The processor must have the instructions; `n` numbers are readable at `x` and writable at `out`, and both are
        /// the same or do not overlap.
        #[target_feature(enable = "avx2,fma,f16c")]
        pub unsafe fn $name<F: $function>(x: *const $t, out: *mut $t, n: usize) {
            let mut i = 0;
            // SAFETY: numbers below `n`.
            unsafe {
                while i + $n <= n {
                    let y = F::of($register($load(x.add(i))));
                    $store(out.add(i), y.0);
                    i += $n;
                }
                if i < n {
                    let mut rest = [0 as $t; $n];
                    std::ptr::copy_nonoverlapping(x.add(i), rest.as_mut_ptr(), n - i);
                    let y = F::of($register($load(rest.as_ptr())));
                    $store(rest.as_mut_ptr(), y.0);
                    std::ptr::copy_nonoverlapping(rest.as_ptr(), out.add(i), n - i);
                }
            }
        }
    };
}
map!(map, Function, Eight, f32, 8, _mm256_loadu_ps, _mm256_storeu_ps);
map!(map_double, DoubleFunction, Four, f64, 4, _mm256_loadu_pd, _mm256_storeu_pd);
