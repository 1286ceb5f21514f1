//! Products of `f32` matrices on processors with a unit for products of `bfloat16` matrices (Henry, Tang and Heinecke:
//! Leveraging the bfloat16 artificial intelligence datatype for higher-precision computations, 2019). One of the modules with
//! unsafe code.
//!
//! A number of 24 significant bits is the sum of three of 8, exactly. Of the nine products of such parts the three smallest
//! are left out, which are below 2^-25 of the whole; the unit multiplies exactly, and adds up 16 products before they meet a sum of `f32`, so
//! that errors are those of a sum in `f32`, or less. The unit takes subnormal numbers for zeros: operands with numbers
//! so small that a part or a product might be one are not multiplied here, and neither are numbers so large that a sum might
//! pass the largest one, infinities and NaNs.

use super::amx::{self, ROW, SIDE, THIRDS, TILE, Thirds};
use super::blocked::Scratch;
use super::{Shape, Shared, divided};
use crate::level::{Level, level};
use std::sync::atomic::{AtomicU32, Ordering};

/// Elements of a step in each row, and rows and columns of a block.
const STEP: usize = 32;
const BLOCK: usize = 2 * SIDE;
/// Floats of a step in an operand.
const STRIDE: usize = THIRDS / size_of::<f32>();
/// Products of a block between two visits to its sums.
const DEPTH: usize = 512;
/// Rows and columns of the packed operands.
const ROWS: usize = 256;
const COLUMNS: usize = 1024;

/// Whether products of these sizes are computed by the matrix unit where their numbers allow it.
pub(super) fn pays(s: &Shape) -> bool {
    let Shape { m, n, k, .. } = *s;
    if m.min(n) < BLOCK || level() != Level::Avx512 || !amx::available() {
        return false;
    }
    // Nanoseconds on a Sapphire Rapids: 93 multiplications in one by the tile kernel, 320 by the unit, 3 elements in parts.
    let [x, y, z] = [m, n, k].map(|of| of as f64);
    let [p, q, r] = [m, n, k].map(|of| of.next_multiple_of(BLOCK) as f64);
    x * y * z / 93.0 > 1000.0 + p * q * r / 320.0 + (x + y) * z / 3.0
}

/// Bits of the least magnitude above zero, less one, and of the greatest.
#[derive(Clone, Copy)]
pub(super) struct Range {
    least: u32,
    most: u32,
}
impl Range {
    const NOTHING: Range = Range { least: u32::MAX, most: 0 };
    /// The range of these numbers.
    #[cfg(test)]
    pub(super) fn of(x: &[f32]) -> Range {
        let sizes = x.iter().map(|x| x.abs().to_bits());
        sizes.fold(Range::NOTHING, |all, x| all.and(Range { least: x.wrapping_sub(1), most: x }))
    }
    fn and(self, other: Range) -> Range {
        Range { least: self.least.min(other.least), most: self.most.max(other.most) }
    }
    /// Powers of two at or below the least and the greatest number.
    fn powers(self) -> (i32, i32) {
        let power = |bits: u32| (bits >> 23) as i32 - 127;
        (power(self.least.saturating_add(1)), power(self.most))
    }
    /// Whether products of such numbers, `k` at a time, can be added up in parts: no part of a number or product is subnormal,
    /// and no sum reaches infinity.
    pub(super) fn suits(a: Range, b: Range, k: usize) -> bool {
        let ((a0, a1), (b0, b1)) = (a.powers(), b.powers());
        let sums = (usize::BITS - k.leading_zeros()) as i32;
        a0 >= -102 && b0 >= -102 && a0 + b0 >= -102 && a1.max(b1) < 120 && a1 + b1 + sums < 124
    }
}

/// [`Range`]s of both operands as all threads find them.
struct Seen([AtomicU32; 4]);
impl Seen {
    fn new() -> Seen {
        Seen([u32::MAX, 0, u32::MAX, 0].map(AtomicU32::new))
    }
    fn add(&self, ranges: [Range; 2]) {
        for (i, range) in ranges.into_iter().enumerate() {
            self.0[2 * i].fetch_min(range.least, Ordering::Relaxed);
            self.0[2 * i + 1].fetch_max(range.most, Ordering::Relaxed);
        }
    }
    fn suits(&self, k: usize) -> bool {
        let at = |i: usize| self.0[i].load(Ordering::Relaxed);
        let [a, b] = [0, 2].map(|i| Range { least: at(i), most: at(i + 1) });
        Range::suits(a, b, k)
    }
}

/// `c = a @ b`, with a `bias` for each column if there is one; false, and anything in `c`, where the numbers do not allow it.
///
/// # Safety
/// Every address that the sizes and strides reach must be valid; [`pays`] was true; columns of `c` are next to each other.
pub(super) unsafe fn multiply(
    s: &Shape,
    a: *const f32,
    b: *const f32,
    bias: Option<*const f32>,
    c: *mut f32,
) -> bool {
    let by_rows = s.m >= s.n;
    let (count, other) = if by_rows { (s.m, s.n) } else { (s.n, s.m) };
    let (a, b, c) = (Shared(a), Shared(b), Shared(c));
    let bias = bias.map(Shared);
    let seen = Seen::new();
    divided(count.div_ceil(BLOCK), BLOCK * other * s.k / 2, |units| {
        let first = units.start * BLOCK;
        let count = (units.end * BLOCK).min(count) - first;
        let (rows, columns) = if by_rows { (first, 0) } else { (0, first) };
        let part = if by_rows { Shape { m: count, ..*s } } else { Shape { n: count, ..*s } };
        // SAFETY: parts have no element of `c` in common; the rest is passed on.
        unsafe {
            let a = a.get().wrapping_add(rows * s.a_rs);
            let b = b.get().wrapping_add(columns * s.b_cs);
            let c = c.get().add(rows * s.c_rs + columns);
            let bias = bias.as_ref().map(|bias| bias.get().add(columns));
            seen.add(amx::with_tiles(|| serial(&part, a, b, bias, c, amx::add_thirds)));
        }
    });
    seen.suits(s.k)
}

/// [`multiply`] of a part on this thread, with [`amx::add_thirds`] or what stands in for it.
///
/// # Safety
/// As for [`multiply`], and `add` callable.
pub(super) unsafe fn serial(
    s: &Shape,
    a: *const f32,
    b: *const f32,
    bias: Option<*const f32>,
    c: *mut f32,
    add: unsafe fn(&Thirds),
) -> [Range; 2] {
    let most = |count: usize, most: usize| count.min(most).div_ceil(BLOCK);
    let steps = s.k.min(DEPTH).div_ceil(STEP);
    let (left, right) = (most(s.m, ROWS) * steps * STRIDE, most(s.n, COLUMNS) * steps * STRIDE);
    let mut ranges = [Range::NOTHING; 2];
    Scratch::with(left + right + BLOCK * BLOCK + TILE / size_of::<f32>(), |memory: *mut f32| {
        let (left, right, side) = (memory, memory.wrapping_add(left), memory.wrapping_add(left + right));
        let places: [usize; DEPTH / STEP] = std::array::from_fn(|step| step * THIRDS);
        for n0 in (0..s.n).step_by(COLUMNS) {
            let n = COLUMNS.min(s.n - n0);
            for k0 in (0..s.k).step_by(DEPTH) {
                let k = DEPTH.min(s.k - k0);
                let steps = k.div_ceil(STEP);
                for m0 in (0..s.m).step_by(ROWS) {
                    let m = ROWS.min(s.m - m0);
                    // SAFETY: the pieces lie in the memory; the rest is a part of what the caller vouches for.
                    unsafe {
                        if m0 == 0 {
                            for j in (0..n).step_by(BLOCK) {
                                let from = b.wrapping_add(k0 * s.b_rs + (n0 + j) * s.b_cs);
                                let to = right.add(j / BLOCK * steps * STRIDE);
                                let part = Lines { count: BLOCK.min(n - j), apart: s.b_cs, k, step: s.b_rs };
                                ranges[1] = ranges[1].and(split::<true>(&part, from, to));
                            }
                        }
                        for i in (0..m).step_by(BLOCK) {
                            let from = a.wrapping_add((m0 + i) * s.a_rs + k0 * s.a_cs);
                            let to = left.add(i / BLOCK * steps * STRIDE);
                            let part = Lines { count: BLOCK.min(m - i), apart: s.a_rs, k, step: s.a_cs };
                            ranges[0] = ranges[0].and(split::<false>(&part, from, to));
                        }
                        for j in (0..n).step_by(BLOCK) {
                            for i in (0..m).step_by(BLOCK) {
                                let at = |i: usize, j: usize| c.wrapping_add((m0 + i) * s.c_rs + n0 + j);
                                let c = at(i, j);
                                let next = if i + BLOCK < m { at(i + BLOCK, j) } else { at(0, j + BLOCK) };
                                let (wide, high) = (BLOCK.min(n - j), BLOCK.min(m - i));
                                let whole = wide == BLOCK && high == BLOCK;
                                let line = size_of::<f32>();
                                let (base, base_row) = match (k0 > 0, bias) {
                                    (true, _) if whole => (c.cast_const(), s.c_rs * line),
                                    (false, Some(bias)) if wide == BLOCK => (bias.add(n0 + j), 0),
                                    (false, None) => (std::ptr::null(), 0),
                                    (old, bias) => {
                                        for r in 0..high {
                                            let from = match (old, bias) {
                                                (false, Some(bias)) => bias.add(n0 + j),
                                                _ => c.add(r * s.c_rs).cast_const(),
                                            };
                                            std::ptr::copy_nonoverlapping(from, side.add(r * BLOCK), wide);
                                        }
                                        (side.cast_const(), BLOCK * line)
                                    }
                                };
                                add(&Thirds {
                                    a: left.add(i / BLOCK * steps * STRIDE).cast(),
                                    b: right.add(j / BLOCK * steps * STRIDE).cast(),
                                    b_row: 2 * ROW,
                                    b_part: 2 * TILE,
                                    steps: &places[..steps],
                                    base,
                                    base_row,
                                    sums: if whole { c } else { side },
                                    sums_row: if whole { s.c_rs * line } else { BLOCK * line },
                                    spare: side.add(BLOCK * BLOCK),
                                    soon: next,
                                });
                                for r in 0..if whole { 0 } else { high } {
                                    std::ptr::copy_nonoverlapping(
                                        side.add(r * BLOCK),
                                        c.add(r * s.c_rs),
                                        wide,
                                    );
                                }
                            }
                        }
                    }
                }
            }
        }
    });
    ranges
}

/// Up to 32 lines of `k` elements of an operand.
struct Lines {
    count: usize,
    apart: usize,
    k: usize,
    step: usize,
}

/// Writes the three parts of the elements of up to 32 lines for the unit, zero where there are none: lines of `a` are rows of
/// tiles, those of `b` (where they are `COLUMNS`) columns of them. Elements `p` and `p + 16` of a step are neighbours in both.
///
/// # Safety
/// The elements and the steps' tiles are valid; there is AVX-512.
unsafe fn split<const COLUMNS: bool>(x: &Lines, from: *const f32, to: *mut f32) -> Range {
    // SAFETY: passed on.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        match x.apart == 1 && x.step != 1 {
            true => vectors::split::<false, COLUMNS>(x, from, to),
            false => vectors::split::<true, COLUMNS>(x, from, to),
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (x, from, to);
        Range::NOTHING
    }
}

#[cfg(target_arch = "x86_64")]
mod vectors {
    use super::{Lines, Range, SIDE, STEP, STRIDE};
    use std::arch::x86_64::*;

    /// Floats between a step's parts.
    const APART: usize = 2 * SIDE * SIDE;

    /// Pairs of elements from two vectors, one pair for each place, of each of the three parts.
    struct Parts {
        least: __m512i,
        most: __m512i,
    }
    impl Parts {
        /// A number's three parts, in the upper halves of 32 bits.
        #[inline]
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2")]
        fn one(&mut self, x: __m512) -> [__m512i; 3] {
            let size = _mm512_and_si512(_mm512_castps_si512(x), _mm512_set1_epi32(i32::MAX));
            self.most = _mm512_max_epu32(self.most, size);
            self.least = _mm512_min_epu32(self.least, _mm512_sub_epi32(size, _mm512_set1_epi32(1)));
            let (half, upper) = (_mm512_set1_epi32(0x8000), _mm512_set1_epi32(!0xffff));
            let cut = |x: __m512| {
                let bits = _mm512_add_epi32(_mm512_castps_si512(x), half);
                _mm512_castsi512_ps(_mm512_and_si512(bits, upper))
            };
            let first = cut(x);
            let rest = _mm512_sub_ps(x, first);
            let second = cut(rest);
            [first, second, _mm512_sub_ps(rest, second)].map(|x| _mm512_castps_si512(x))
        }

        #[inline]
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2")]
        fn of(&mut self, low: __m512, high: __m512) -> [__m512i; 3] {
            let (low, high, upper) = (self.one(low), self.one(high), _mm512_set1_epi32(!0xffff));
            // a | (b & c)
            let both =
                |i: usize| _mm512_ternarylogic_epi32::<0xf8>(_mm512_srli_epi32::<16>(low[i]), high[i], upper);
            [both(0), both(1), both(2)]
        }
    }

    /// [`super::split`], of lines whose elements are next to each other (`ALONG`; or whose neighbours nothing is known about),
    /// or elements of lines that are.
    ///
    /// # Safety
    /// As for [`super::split`].
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2")]
    pub unsafe fn split<const ALONG: bool, const COLUMNS: bool>(
        x: &Lines,
        from: *const f32,
        to: *mut f32,
    ) -> Range {
        let mut parts = Parts { least: _mm512_set1_epi32(-1), most: _mm512_setzero_si512() };
        for t in 0..x.k.div_ceil(STEP) {
            let k = STEP.min(x.k - t * STEP);
            for h in 0..2 {
                let count = x.count.saturating_sub(h * SIDE).min(SIDE);
                // SAFETY: elements below `count` and `k`, and the tiles of this step.
                unsafe {
                    let from = from.wrapping_add(t * STEP * x.step + h * SIDE * x.apart);
                    // Rows of a tile after those of the other one, or 32 columns side by side.
                    let to = to.add(t * STRIDE + h * if COLUMNS { SIDE } else { SIDE * SIDE });
                    if count == SIDE && k == STEP && (!ALONG || x.step == 1) {
                        tiles::<COLUMNS, ALONG>(&mut parts, to, |r| match ALONG {
                            true => {
                                let from = from.add(r * x.apart);
                                _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(3 * STEP).cast());
                                _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(3 * STEP + SIDE).cast());
                                (_mm512_loadu_ps(from), _mm512_loadu_ps(from.add(SIDE)))
                            }
                            false => {
                                let at = |p: usize| {
                                    let from = from.add(p * x.step);
                                    _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(2 * SIDE).cast());
                                    _mm512_loadu_ps(from)
                                };
                                (at(r), at(r + SIDE))
                            }
                        });
                        continue;
                    }
                    let mut block = [[0f32; SIDE]; STEP];
                    for r in 0..count {
                        for p in 0..k {
                            block[p][r] = from.add(r * x.apart + p * x.step).read();
                        }
                    }
                    tiles::<COLUMNS, false>(&mut parts, to, |r| {
                        (_mm512_loadu_ps(block[r].as_ptr()), _mm512_loadu_ps(block[r + SIDE].as_ptr()))
                    });
                }
            }
        }
        Range { least: _mm512_reduce_min_epu32(parts.least), most: _mm512_reduce_max_epu32(parts.most) }
    }

    /// The tiles of 16 lines of a step from pairs of vectors, 16 of them: those of the lines (`ALONG`), or of elements of all lines.
    ///
    /// # Safety
    /// The tiles are valid.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2")]
    unsafe fn tiles<const COLUMNS: bool, const ALONG: bool>(
        parts: &mut Parts,
        to: *mut f32,
        vectors: impl Fn(usize) -> (__m512, __m512),
    ) {
        let line = if COLUMNS { 2 * SIDE } else { SIDE };
        for r in 0..SIDE {
            let (low, high) = vectors(r);
            let parts = parts.of(low, high);
            for (i, part) in parts.into_iter().enumerate() {
                // SAFETY: a row of a tile.
                unsafe { _mm512_store_si512(to.add(i * APART + r * line).cast(), part) };
            }
        }
        if ALONG == COLUMNS {
            // SAFETY: the tiles that were written.
            (0..3).for_each(|i| unsafe { turn(to.add(i * APART), line) });
        }
    }

    /// Transposes a tile of 16 by 16 pairs, `line` floats between its rows.
    ///
    /// # Safety
    /// The tile is valid.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2")]
    unsafe fn turn(tile: *mut f32, line: usize) {
        // SAFETY: a row of the tile.
        let row = |i: usize| unsafe { _mm512_load_si512(tile.add(i * line).cast()) };
        // Columns 4 l + i of rows 4 j..4 j + 4, for the quarters l of a register.
        let mut z = [[_mm512_setzero_si512(); 4]; 4];
        for j in 0..4 {
            let [a, b, c, d] = [row(4 * j), row(4 * j + 1), row(4 * j + 2), row(4 * j + 3)];
            let (x, y) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
            let (v, w) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
            z[0][j] = _mm512_unpacklo_epi64(x, v);
            z[1][j] = _mm512_unpackhi_epi64(x, v);
            z[2][j] = _mm512_unpacklo_epi64(y, w);
            z[3][j] = _mm512_unpackhi_epi64(y, w);
        }
        for i in 0..4 {
            let [a, b, c, d] = z[i];
            let ab = [_mm512_shuffle_i32x4::<0x44>(a, b), _mm512_shuffle_i32x4::<0xee>(a, b)];
            let cd = [_mm512_shuffle_i32x4::<0x44>(c, d), _mm512_shuffle_i32x4::<0xee>(c, d)];
            for l in 0..2 {
                let even = _mm512_shuffle_i32x4::<0x88>(ab[l], cd[l]);
                let odd = _mm512_shuffle_i32x4::<0xdd>(ab[l], cd[l]);
                // SAFETY: rows of the tile, all of which were read.
                unsafe {
                    _mm512_store_si512(tile.add((8 * l + i) * line).cast(), even);
                    _mm512_store_si512(tile.add((8 * l + 4 + i) * line).cast(), odd);
                }
            }
        }
    }
}
