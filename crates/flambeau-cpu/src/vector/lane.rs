//! What functions are written in: one number, which compilers vectorise in loops, or a register full of them
//! (`avx512.rs`, `avx2.rs`), where instructions are used that compilers do not choose. All give the same bits, but for `erf`
//! of `f64` (see `erf.rs`).

use super::exp::{SIXTEENTHS_MAGIC, SIXTEENTHS_MAGIC_SINGLE};

/// Numbers that go through a function side by side. A number `k = n + MAGIC` holds the integer `n` in its low bits
/// ([`MAGIC`](super::MAGIC), in `f32` [`MAGIC_SINGLE`](super::exp::MAGIC_SINGLE)), and the number of sixteenths of `n` if `MAGIC` is a
/// sixteenth of that.
pub(super) trait Lane: Copy {
    type Number: Copy;
    fn of(x: Self::Number) -> Self;
    fn plus(self, b: Self) -> Self;
    fn minus(self, b: Self) -> Self;
    fn times(self, b: Self) -> Self;
    fn over(self, b: Self) -> Self;
    /// The square root, rounded correctly.
    fn root(self) -> Self;
    /// `self * b + c`, rounded once.
    fn fused(self, b: Self, c: Self) -> Self;
    fn magnitude(self) -> Self;
    fn with_sign(self, of: Self) -> Self;
    /// The greater one of both; NaN stays.
    fn at_least(self, low: Self::Number) -> Self;
    /// The smaller one of both; NaN stays.
    fn at_most(self, high: Self::Number) -> Self;
    /// Anything, where it is below the limit, that takes no longer than other numbers if what becomes of it is replaced.
    fn or_any_below(self, limit: Self::Number) -> Self;
    /// `self` where `z` is below the limit, else `large`.
    fn or_from(self, z: Self, limit: Self::Number, large: Self) -> Self;
    /// The element that the low four bits of `k` number.
    fn pick(self, table: &[Self::Number; 16]) -> Self;
    /// `self * 2^floor(n)` rounded once for `k = n + SIXTEENTHS_MAGIC`, for powers from -190 to 190, of `f64` from -1500 to 1500.
    fn scaled(self, k: Self) -> Self;
    /// Exponent and significand in `[1, 2)` of a positive number.
    fn split(self) -> (Self, Self);
    /// The element that four bits number, from `SHIFT` on: for the highest ones of significands 19, of `f64` 48; for the highest
    /// one and three of the exponent 22.
    fn pick_by_bits<const SHIFT: u32>(self, table: &[Self::Number; 16]) -> Self;
    /// `y`, or the logarithm where `self` is not a positive finite number.
    fn or_no_logarithm(self, y: Self) -> Self;
}

/// Those of `f32`.
pub(super) trait Single: Lane<Number = f32> {}
impl<L: Lane<Number = f32>> Single for L {}

/// Those of `f64`.
pub(super) trait Double: Lane<Number = f64> {
    /// The opposite number where the fifth bit of `k` is set.
    fn turned(self, k: Self) -> Self;
}

macro_rules! number {
    ($t:ident, $bits:ident, $width:literal, $bias:literal, $magic:expr) => {
        impl Lane for $t {
            type Number = $t;
            #[inline(always)]
            fn of(x: $t) -> $t {
                x
            }
            #[inline(always)]
            fn plus(self, b: $t) -> $t {
                self + b
            }
            #[inline(always)]
            fn minus(self, b: $t) -> $t {
                self - b
            }
            #[inline(always)]
            fn times(self, b: $t) -> $t {
                self * b
            }
            #[inline(always)]
            fn over(self, b: $t) -> $t {
                self / b
            }
            #[inline(always)]
            fn root(self) -> $t {
                self.sqrt()
            }
            #[inline(always)]
            fn fused(self, b: $t, c: $t) -> $t {
                self.mul_add(b, c)
            }
            #[inline(always)]
            fn magnitude(self) -> $t {
                self.abs()
            }
            #[inline(always)]
            fn with_sign(self, of: $t) -> $t {
                self.copysign(of)
            }
            #[inline(always)]
            fn at_least(self, low: $t) -> $t {
                if self < low { low } else { self }
            }
            #[inline(always)]
            fn at_most(self, high: $t) -> $t {
                if self > high { high } else { self }
            }
            #[inline(always)]
            fn or_any_below(self, limit: $t) -> $t {
                if self < limit { 0.0 } else { self }
            }
            #[inline(always)]
            fn or_from(self, z: $t, limit: $t, large: $t) -> $t {
                if z < limit { self } else { large }
            }
            #[inline(always)]
            fn pick(self, table: &[$t; 16]) -> $t {
                table[(self.to_bits() & 15) as usize]
            }
            #[inline(always)]
            fn scaled(self, k: $t) -> $t {
                // Two powers of two: the first product is exact.
                const HALF: $bits = $bias / 2 + 1;
                const UP: $t = $t::from_bits(($bias + HALF) << $width);
                let small = k < $magic;
                let bias: $bits = if small { ($bias + HALF) << $width } else { ($bias - HALF) << $width };
                let first = $t::from_bits((k.to_bits() >> 4 << $width).wrapping_add(bias));
                self * first * if small { 1.0 / UP } else { UP }
            }
            #[inline(always)]
            fn split(self) -> ($t, $t) {
                // The exponent as a number, through the bits of one that it is added to: processors convert few integers.
                const WHOLE: $t = $t::from_bits(($bias + $width) << $width);
                let tiny = self < $t::MIN_POSITIVE;
                let bits = (if tiny { self * WHOLE } else { self }).to_bits();
                let exponent = $t::from_bits(WHOLE.to_bits() | bits >> $width) - WHOLE;
                let exponent = exponent - if tiny { ($bias + $width) as $t } else { $bias as $t };
                (exponent, $t::from_bits(bits & ((1 << $width) - 1) | (1.0 as $t).to_bits()))
            }
            #[inline(always)]
            fn pick_by_bits<const SHIFT: u32>(self, table: &[$t; 16]) -> $t {
                table[(self.to_bits() >> SHIFT & 15) as usize]
            }
            #[inline(always)]
            fn or_no_logarithm(self, y: $t) -> $t {
                let y = if self < $t::INFINITY { y } else { self };
                let outside = if self == 0.0 { $t::NEG_INFINITY } else { -$t::NAN };
                if self > 0.0 { y } else { outside }
            }
        }
    };
}
number!(f32, u32, 23, 127, SIXTEENTHS_MAGIC_SINGLE);
number!(f64, u64, 52, 1023, SIXTEENTHS_MAGIC);

impl Double for f64 {
    #[inline(always)]
    fn turned(self, k: f64) -> f64 {
        f64::from_bits(self.to_bits() ^ (k.to_bits() >> 4 << 63))
    }
}

/// A function of one `f32`.
pub(super) trait Function {
    fn of<L: Single>(x: L) -> L;
}

/// A function of one `f64`.
pub(super) trait DoubleFunction {
    fn of<L: Double>(x: L) -> L;
}

/// Coefficients as `f32`.
pub(super) const fn single(numbers: &[f64; 16]) -> [f32; 16] {
    let mut out = [0.0; 16];
    let mut j = 0;
    while j < 16 {
        out[j] = numbers[j] as f32;
        j += 1;
    }
    out
}

/// What is left of the numbers beside these, as `f32`.
pub(super) const fn rest(numbers: &[f64; 16], beside: &[f32; 16]) -> [f32; 16] {
    let mut out = [0.0; 16];
    let mut j = 0;
    while j < 16 {
        out[j] = (numbers[j] - beside[j] as f64) as f32;
        j += 1;
    }
    out
}

/// Coefficients of polynomials as `f32`; the last row is what is left of the first.
pub(super) const fn pieces<const N: usize, const M: usize>(grid: &[[f64; 16]; N]) -> [[f32; 16]; M] {
    assert!(M == N + 1);
    let mut out = [[0.0; 16]; M];
    let mut k = 0;
    while k < N {
        out[k] = single(&grid[k]);
        k += 1;
    }
    out[N] = rest(&grid[0], &out[0]);
    out
}

/// The constant term and the sum of the others of the polynomial that bits of `z` choose of each row of [`pieces`], pairs of terms
/// at a time. No closures: they would not be compiled for the registers' instructions.
#[inline(always)]
pub(super) fn piece<const SHIFT: u32, L: Single, const M: usize>(
    z: L,
    t: L,
    rows: &[[f32; 16]; M],
) -> (L, L) {
    let (degree, square) = (M - 2, t.times(t));
    let (mut q, mut k) = (z.pick_by_bits::<SHIFT>(&rows[degree]), degree);
    if degree.is_multiple_of(2) {
        k -= 1;
        q = t.fused(q, z.pick_by_bits::<SHIFT>(&rows[k]));
    }
    while k > 1 {
        k -= 2;
        let (odd, even) = (z.pick_by_bits::<SHIFT>(&rows[k + 1]), z.pick_by_bits::<SHIFT>(&rows[k]));
        q = square.fused(q, t.fused(odd, even));
    }
    let (first, rest) = (z.pick_by_bits::<SHIFT>(&rows[0]), z.pick_by_bits::<SHIFT>(&rows[degree + 1]));
    (first, t.fused(q, rest))
}

/// A polynomial by Horner's rule, the constant term first.
#[inline(always)]
pub(super) fn series<L: Single, const N: usize>(coefficients: &[f64; N], x: L) -> L {
    let mut y = L::of(coefficients[N - 1] as f32);
    for i in (0..N - 1).rev() {
        y = y.fused(x, L::of(coefficients[i] as f32));
    }
    y
}

/// As [`series`].
#[inline(always)]
pub(super) fn series_double<L: Double, const N: usize>(coefficients: &[f64; N], x: L) -> L {
    let mut y = L::of(coefficients[N - 1]);
    for i in (0..N - 1).rev() {
        y = y.fused(x, L::of(coefficients[i]));
    }
    y
}
