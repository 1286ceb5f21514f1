//! Numbers in three parts, in the order in which the matrix unit reads them: loops of AVX-512. One of the modules with unsafe
//! code.

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
                let to = to.add(t * STRIDE + h * SIDE * SIDE);
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
    for r in 0..SIDE {
        let (low, high) = vectors(r);
        let parts = parts.of(low, high);
        for (i, part) in parts.into_iter().enumerate() {
            // SAFETY: a row of a tile.
            unsafe { _mm512_store_si512(to.add(i * APART + r * SIDE).cast(), part) };
        }
    }
    if ALONG == COLUMNS {
        // SAFETY: the tiles that were written.
        (0..3).for_each(|i| unsafe { turn(to.add(i * APART)) });
    }
}

/// Transposes a tile of 16 by 16 pairs.
///
/// # Safety
/// The tile is valid.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2")]
unsafe fn turn(tile: *mut f32) {
    // SAFETY: a row of the tile.
    let row = |i: usize| unsafe { _mm512_load_si512(tile.add(i * SIDE).cast()) };
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
                _mm512_store_si512(tile.add((8 * l + i) * SIDE).cast(), even);
                _mm512_store_si512(tile.add((8 * l + 4 + i) * SIDE).cast(), odd);
            }
        }
    }
}

/// Writes pairs of the elements of `low` and `high` (zeros if it is empty) in three parts, each `part` floats after the one before.
///
/// # Safety
/// As many floats as `low` has are valid in each part, rounded up to whole cache lines; there is AVX-512.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2")]
pub unsafe fn pairs(low: &[f32], high: &[f32], to: *mut f32, part: usize) -> Range {
    let mut parts = Parts { least: _mm512_set1_epi32(-1), most: _mm512_setzero_si512() };
    for i in (0..low.len()).step_by(SIDE) {
        let mask = ((1u32 << SIDE.min(low.len() - i)) - 1) as __mmask16;
        // SAFETY: elements under the mask, and a cache line of each part.
        unsafe {
            let x = _mm512_maskz_loadu_ps(mask, low.as_ptr().add(i));
            let y = match high.is_empty() {
                true => _mm512_setzero_ps(),
                false => _mm512_maskz_loadu_ps(mask, high.as_ptr().add(i)),
            };
            let all = parts.of(x, y);
            for (p, own) in all.into_iter().enumerate() {
                _mm512_storeu_si512(to.add(p * part + i).cast(), own);
            }
        }
    }
    Range { least: _mm512_reduce_min_epu32(parts.least), most: _mm512_reduce_max_epu32(parts.most) }
}

/// Writes those of 32 columns that have a bit in `keep` next to each other, for `rows` rows of a block.
///
/// # Safety
/// The block has so many rows, and so have `to`, `stride` apart, with an element for each bit; there is AVX-512.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx2")]
pub unsafe fn kept(block: *const f32, rows: usize, keep: u32, to: *mut f32, stride: usize) {
    let halves = [keep as __mmask16, (keep >> SIDE) as __mmask16];
    let counts = halves.map(u16::count_ones);
    let masks = counts.map(|count| ((1u32 << count) - 1) as __mmask16);
    for r in 0..rows {
        // SAFETY: a row of both.
        unsafe {
            let (from, to) = (block.add(r * 2 * SIDE), to.add(r * stride));
            let [x, y] =
                [0, 1].map(|h| _mm512_maskz_compress_ps(halves[h], _mm512_loadu_ps(from.add(h * SIDE))));
            _mm512_mask_storeu_ps(to, masks[0], x);
            _mm512_mask_storeu_ps(to.wrapping_add(counts[0] as usize), masks[1], y);
        }
    }
}
