//! Functions of sixteen `f32` or eight `f64` at once. One of the modules with unsafe code.

use super::exp::{SIXTEENTHS_MAGIC, SIXTEENTHS_MAGIC_SINGLE};
use super::lane::{Double, DoubleFunction, Function, Lane};
use std::arch::x86_64::*;

/// Sixteen numbers.
#[derive(Clone, Copy)]
struct Sixteen(__m512);

/// Eight numbers.
#[derive(Clone, Copy)]
struct Eight(__m512d);

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
        $name:ident, $t:ident, $magic:expr, $set:ident, $add:ident, $sub:ident, $mul:ident, $div:ident, $fma:ident, $abs:ident, $and:ident,
        $andnot:ident, $or:ident, $max:ident, $min:ident, $less:ident, $blend:ident, $scale:ident, $exponent:ident,
        $significand:ident, $integer:ident, $float:ident, $shift:ident, $pick:expr,
        $root:expr, $special:ident, $all:ident
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
                $name($root(self.0))
            }
            #[inline(always)]
            fn fused(self, b: Self, c: Self) -> Self {
                $name(on!($fma(self.0, b.0, c.0)))
            }
            #[inline(always)]
            fn magnitude(self) -> Self {
                $name(on!($abs(self.0)))
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
            fn or_any_below(self, _: $t) -> Self {
                // The last step leaves out what is replaced.
                self
            }
            #[inline(always)]
            fn or_from(self, z: Self, limit: $t, large: Self) -> Self {
                let small = on!($less::<_CMP_LT_OQ>(z.0, $set(limit)));
                $name(on!($blend(small, large.0, self.0)))
            }
            #[inline(always)]
            fn pick(self, table: &[$t; 16]) -> Self {
                $name($pick(self.0, table))
            }
            #[inline(always)]
            fn scaled(self, k: Self) -> Self {
                let n = k.minus(Self::of($magic));
                $name(on!($scale(self.0, n.0)))
            }
            #[inline(always)]
            fn split(self) -> (Self, Self) {
                let significand = on!($significand::<_MM_MANT_NORM_1_2, _MM_MANT_SIGN_ZERO>(self.0));
                ($name(on!($exponent(self.0))), $name(significand))
            }
            #[inline(always)]
            fn pick_by_bits<const SHIFT: u32>(self, table: &[$t; 16]) -> Self {
                let top = on!($float($shift($integer(self.0), _mm_cvtsi32_si128(SHIFT as i32))));
                $name($pick(top, table))
            }
            #[inline(always)]
            fn or_no_logarithm(self, y: Self) -> Self {
                // By kind of number, from the lowest four bits on: quiet and signalling NaN (3: NaN), zero (4: negative
                // infinity), one (0: as it is), both infinities (3, and 5: infinity), negative and positive numbers.
                const RESULTS: i64 = 0x0353_0433;
                $name(on!($special::<0>(y.0, self.0, $all(RESULTS as _))))
            }
        }
    };
}
lane!(
    Sixteen,
    f32,
    SIXTEENTHS_MAGIC_SINGLE,
    _mm512_set1_ps,
    _mm512_add_ps,
    _mm512_sub_ps,
    _mm512_mul_ps,
    _mm512_div_ps,
    _mm512_fmadd_ps,
    _mm512_abs_ps,
    _mm512_and_ps,
    _mm512_andnot_ps,
    _mm512_or_ps,
    _mm512_max_ps,
    _mm512_min_ps,
    _mm512_cmp_ps_mask,
    _mm512_mask_blend_ps,
    _mm512_scalef_ps,
    _mm512_getexp_ps,
    _mm512_getmant_ps,
    _mm512_castps_si512,
    _mm512_castsi512_ps,
    _mm512_srl_epi32,
    |k, table: &[f32; 16]| on!(_mm512_permutexvar_ps(
        _mm512_castps_si512(k),
        _mm512_loadu_ps(table.as_ptr())
    )),
    root,
    _mm512_fixupimm_ps,
    _mm512_set1_epi32
);
lane!(
    Eight,
    f64,
    SIXTEENTHS_MAGIC,
    _mm512_set1_pd,
    _mm512_add_pd,
    _mm512_sub_pd,
    _mm512_mul_pd,
    _mm512_div_pd,
    _mm512_fmadd_pd,
    _mm512_abs_pd,
    _mm512_and_pd,
    _mm512_andnot_pd,
    _mm512_or_pd,
    _mm512_max_pd,
    _mm512_min_pd,
    _mm512_cmp_pd_mask,
    _mm512_mask_blend_pd,
    _mm512_scalef_pd,
    _mm512_getexp_pd,
    _mm512_getmant_pd,
    _mm512_castpd_si512,
    _mm512_castsi512_pd,
    _mm512_srl_epi64,
    |k, table: &[f64; 16]| on!(_mm512_permutex2var_pd(
        _mm512_loadu_pd(table.as_ptr()),
        _mm512_castpd_si512(k),
        _mm512_loadu_pd(table.as_ptr().add(8))
    )),
    |x| on!(_mm512_sqrt_pd(x)),
    _mm512_fixupimm_pd,
    _mm512_set1_epi64
);

/// Square roots, rounded correctly: one step from an estimate of 14 bits, then the rest of the square is divided among
/// both factors (P. Markstein, "Software division and square root using Goldschmidt's algorithms", 2004). Half the time of
/// the processor's instruction, which numbers go to whose rest would be too small, and those without a root.
#[inline(always)]
fn root(x: __m512) -> __m512 {
    let lowest = MIN_ROOT.to_bits() as i32;
    let range = f32::INFINITY.to_bits() as i32 - lowest;
    on!({
        let from_lowest = _mm512_sub_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(lowest));
        let outside = _mm512_cmpge_epu32_mask(from_lowest, _mm512_set1_epi32(range));
        if outside != 0 {
            return _mm512_sqrt_ps(x);
        }
        let half = _mm512_set1_ps(0.5);
        let estimate = _mm512_rsqrt14_ps(x);
        let (g, h) = (_mm512_mul_ps(x, estimate), _mm512_mul_ps(half, estimate));
        let rest = _mm512_fnmadd_ps(g, h, half);
        let (g, h) = (_mm512_fmadd_ps(g, rest, g), _mm512_fmadd_ps(h, rest, h));
        _mm512_fmadd_ps(_mm512_fnmadd_ps(g, g, x), h, g)
    })
}
/// The smallest number whose square root has a square with a rest that is not subnormal.
const MIN_ROOT: f32 = 1e-30;

impl Double for Eight {
    #[inline(always)]
    fn turned(self, k: Self) -> Self {
        let sign = on!(_mm512_castsi512_pd(_mm512_slli_epi64::<59>(_mm512_castpd_si512(k.0))));
        Eight(on!(_mm512_xor_pd(self.0, _mm512_and_pd(sign, _mm512_set1_pd(-0.0)))))
    }
}

macro_rules! map {
    ($name:ident, $function:ident, $register:ident, $t:ident, $n:literal, $mask:ident, $load:ident, $store:ident, $some:ident, $put:ident) => {
        /// Writes the function of each of `n` numbers at `x` to the same place at `out`, which may be `x`.
        ///
        /// # Safety
        /// The processor must have the instructions; `n` numbers are readable at `x` and writable at `out`, and both are
        /// the same or do not overlap.
        #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,f16c")]
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
                    let rest = ((1u32 << (n - i)) - 1) as $mask;
                    let y = F::of($register($some(rest, x.add(i))));
                    $put(out.add(i), rest, y.0);
                }
            }
        }
    };
}
map!(
    map,
    Function,
    Sixteen,
    f32,
    16,
    __mmask16,
    _mm512_loadu_ps,
    _mm512_storeu_ps,
    _mm512_maskz_loadu_ps,
    _mm512_mask_storeu_ps
);
map!(
    map_double,
    DoubleFunction,
    Eight,
    f64,
    8,
    __mmask8,
    _mm512_loadu_pd,
    _mm512_storeu_pd,
    _mm512_maskz_loadu_pd,
    _mm512_mask_storeu_pd
);
