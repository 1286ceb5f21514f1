//! What functions of `f32` are written in: one number, which compilers vectorise in loops, or a register full of them
//! (`avx512.rs`, `avx2.rs`), where instructions are used that compilers do not choose. All give the same bits.

use super::exp::MAGIC_SINGLE;

/// Numbers that go through a function side by side.
pub(super) trait Lane: Copy {
    fn of(x: f32) -> Self;
    fn plus(self, b: Self) -> Self;
    fn minus(self, b: Self) -> Self;
    fn times(self, b: Self) -> Self;
    fn over(self, b: Self) -> Self;
    /// `self * b + c`, rounded once.
    fn fused(self, b: Self, c: Self) -> Self;
    fn magnitude(self) -> Self;
    fn with_sign(self, of: Self) -> Self;
    /// The greater one of both; NaN stays.
    fn at_least(self, low: f32) -> Self;
    /// The smaller one of both; NaN stays.
    fn at_most(self, high: f32) -> Self;
    /// `self` where `z` is below the limit, else `large`.
    fn or_from(self, z: Self, limit: f32, large: Self) -> Self;
    /// The element that the low four bits of `k = n + MAGIC_SINGLE` number.
    fn pick(self, table: &[f32; 16]) -> Self;
    /// `self * 2^floor(n / 16)` rounded once, for `k = n + MAGIC_SINGLE` and powers from -190 to 190.
    fn scaled(self, k: Self) -> Self;
    /// Exponent and significand in `[1, 2)` of a positive number.
    fn split(self) -> (Self, Self);
    /// The element that four bits number, from `SHIFT` on: 19 for the highest ones of significands, 22 for the highest one and
    /// three of the exponent.
    fn pick_by_bits<const SHIFT: u32>(self, table: &[f32; 16]) -> Self;
    /// `y`, or the logarithm where `self` is not a positive finite number.
    fn or_no_logarithm(self, y: Self) -> Self;
}

impl Lane for f32 {
    #[inline(always)]
    fn of(x: f32) -> f32 {
        x
    }
    #[inline(always)]
    fn plus(self, b: f32) -> f32 {
        self + b
    }
    #[inline(always)]
    fn minus(self, b: f32) -> f32 {
        self - b
    }
    #[inline(always)]
    fn times(self, b: f32) -> f32 {
        self * b
    }
    #[inline(always)]
    fn over(self, b: f32) -> f32 {
        self / b
    }
    #[inline(always)]
    fn fused(self, b: f32, c: f32) -> f32 {
        self.mul_add(b, c)
    }
    #[inline(always)]
    fn magnitude(self) -> f32 {
        self.abs()
    }
    #[inline(always)]
    fn with_sign(self, of: f32) -> f32 {
        self.copysign(of)
    }
    #[inline(always)]
    fn at_least(self, low: f32) -> f32 {
        if self < low { low } else { self }
    }
    #[inline(always)]
    fn at_most(self, high: f32) -> f32 {
        if self > high { high } else { self }
    }
    #[inline(always)]
    fn or_from(self, z: f32, limit: f32, large: f32) -> f32 {
        if z < limit { self } else { large }
    }
    #[inline(always)]
    fn pick(self, table: &[f32; 16]) -> f32 {
        table[(self.to_bits() & 15) as usize]
    }
    #[inline(always)]
    fn scaled(self, k: f32) -> f32 {
        // Two powers of two: the first product is exact.
        const SHIFT: f32 = 18446744073709551616.0;
        let small = k < MAGIC_SINGLE;
        let bias: u32 = if small { (127 + 64) << 23 } else { (127 - 64) << 23 };
        let first = f32::from_bits((k.to_bits() >> 4 << 23).wrapping_add(bias));
        self * first * if small { 1.0 / SHIFT } else { SHIFT }
    }
    #[inline(always)]
    fn split(self) -> (f32, f32) {
        let tiny = self < f32::MIN_POSITIVE;
        let bits = (if tiny { self * 8388608.0 } else { self }).to_bits();
        // The exponent as a number, through the bits of one in [2^23, 2^24).
        let exponent = f32::from_bits(0x4B00_0000 | bits >> 23) - 8388608.0;
        let exponent = exponent - if tiny { 127.0 + 23.0 } else { 127.0 };
        (exponent, f32::from_bits(bits & 0x007F_FFFF | 1f32.to_bits()))
    }
    #[inline(always)]
    fn pick_by_bits<const SHIFT: u32>(self, table: &[f32; 16]) -> f32 {
        table[(self.to_bits() >> SHIFT & 15) as usize]
    }
    #[inline(always)]
    fn or_no_logarithm(self, y: f32) -> f32 {
        let y = if self < f32::INFINITY { y } else { self };
        let outside = if self == 0.0 { f32::NEG_INFINITY } else { f32::NAN };
        if self > 0.0 { y } else { outside }
    }
}

/// A function of one number.
pub(super) trait Function {
    fn of<L: Lane>(x: L) -> L;
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

/// The polynomial that `pick` chooses of each row of [`pieces`], pairs of terms at a time.
#[inline(always)]
pub(super) fn piece<L: Lane, const M: usize>(
    t: L,
    rows: &[[f32; 16]; M],
    pick: impl Fn(&[f32; 16]) -> L,
) -> L {
    let (degree, square) = (M - 2, t.times(t));
    let pair = |k: usize| t.fused(pick(&rows[k + 1]), pick(&rows[k]));
    let (mut q, mut k) =
        if degree % 2 == 1 { (pick(&rows[degree]), degree) } else { (pair(degree - 1), degree - 1) };
    while k > 1 {
        k -= 2;
        q = square.fused(q, pair(k));
    }
    pick(&rows[0]).plus(t.fused(q, pick(&rows[degree + 1])))
}

/// A polynomial by Horner's rule, the constant term first.
#[inline(always)]
pub(super) fn series<L: Lane, const N: usize>(coefficients: &[f64; N], x: L) -> L {
    let mut y = L::of(coefficients[N - 1] as f32);
    for i in (0..N - 1).rev() {
        y = y.fused(x, L::of(coefficients[i] as f32));
    }
    y
}
