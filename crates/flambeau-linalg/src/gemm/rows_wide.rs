//! Sums of the products of rows with a vector in registers of 64 bytes, with the bits of [`super::rows`]. One of the modules
//! with unsafe code.

use super::rows::{GROUP, NEAR};
use crate::prefetch::ahead;
use std::arch::x86_64::*;

/// Numbers of a register.
const L: usize = 16;
/// Bytes ahead that memory is asked for.
const AHEAD: usize = 1024;

/// The first `n` lanes.
fn first(n: usize) -> __mmask16 {
    (1u32 << n).wrapping_sub(1) as __mmask16
}

/// Adds up the lanes of each register, halves at a time; a quarter of the result for each, all four of its lanes alike.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) fn halves([a, b, c, d]: [__m512; GROUP]) -> __m512 {
    let eight = |a, b| {
        _mm512_add_ps(
            _mm512_shuffle_f32x4::<0b01_00_01_00>(a, b),
            _mm512_shuffle_f32x4::<0b11_10_11_10>(a, b),
        )
    };
    let (ab, cd) = (eight(a, b), eight(c, d));
    let four = _mm512_add_ps(
        _mm512_shuffle_f32x4::<0b10_00_10_00>(ab, cd),
        _mm512_shuffle_f32x4::<0b11_01_11_01>(ab, cd),
    );
    let two = _mm512_add_ps(four, _mm512_permute_ps::<0b01_00_11_10>(four));
    _mm512_add_ps(two, _mm512_permute_ps::<0b10_11_00_01>(two))
}

/// The sums of [`GROUP`] rows of `n` numbers, `step` apart.
///
/// # Safety
/// `n` elements of every row and of `x` are valid, `n` nonzero; there is AVX-512.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn group(n: usize, a: *const f32, step: usize, x: *const f32) -> [f32; GROUP] {
    // Short rows that do not follow each other end before what is far ahead of them is needed.
    let next = step * size_of::<f32>();
    let distance = if step != n && next <= NEAR { next } else { AHEAD };
    // Lines begin with the second element.
    let whole = (n - 1) / L;
    let end = 1 + whole * L;
    let mut sums = [_mm512_setzero_ps(); GROUP];
    // SAFETY: elements below `end`, which is at most `n`.
    unsafe {
        // One row after the other: processors look ahead in one stretch of memory only, and begin the next row meanwhile.
        for (r, sum) in sums.iter_mut().enumerate() {
            let row = a.add(r * step);
            let product = _mm512_set1_ps(*row * *x);
            if whole == 0 {
                *sum = _mm512_maskz_mov_ps(1, product);
                continue;
            }
            // They are taken from the first element on instead, as rows mostly begin with a cache line: until the end, the last
            // lane is in front of the others.
            let but_first = !1;
            let (head, by) = (_mm512_maskz_loadu_ps(but_first, row), _mm512_maskz_loadu_ps(but_first, x));
            let mut lanes = _mm512_fmadd_ps(head, by, _mm512_maskz_mov_ps(2, product));
            for k in 1..whole {
                let line = row.add(k * L);
                ahead(line.cast::<u8>().wrapping_add(distance));
                lanes = _mm512_fmadd_ps(_mm512_loadu_ps(line), _mm512_loadu_ps(x.add(k * L)), lanes);
            }
            let (tail, by) =
                (_mm512_maskz_loadu_ps(1, row.add(end - 1)), _mm512_maskz_loadu_ps(1, x.add(end - 1)));
            lanes = _mm512_mask3_fmadd_ps(tail, by, lanes, 1);
            let lanes = _mm512_castps_si512(lanes);
            *sum = _mm512_castsi512_ps(_mm512_alignr_epi32::<1>(lanes, lanes));
        }
        if end < n {
            // What is left makes a line that begins with the sum of the others.
            if whole > 0 {
                let s = halves(sums);
                sums = [
                    _mm512_maskz_mov_ps(1, s),
                    _mm512_maskz_shuffle_f32x4::<0b01_01_01_01>(1, s, s),
                    _mm512_maskz_shuffle_f32x4::<0b10_10_10_10>(1, s, s),
                    _mm512_maskz_shuffle_f32x4::<0b11_11_11_11>(1, s, s),
                ];
            }
            let rest = first(n - end);
            let by = _mm512_maskz_loadu_ps(rest, x.add(end));
            for (r, sum) in sums.iter_mut().enumerate() {
                let line = _mm512_maskz_loadu_ps(rest, a.add(r * step + end));
                *sum = _mm512_mask3_fmadd_ps(line, by, *sum, rest);
            }
        }
        let totals = _mm512_maskz_compress_ps(0x1111, halves(sums));
        let mut out = [0.0; GROUP];
        _mm_storeu_ps(out.as_mut_ptr(), _mm512_castps512_ps128(totals));
        out
    }
}

/// The sum of a row of `n` numbers.
///
/// # Safety
/// `n` elements of both are valid; there is AVX-512.
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn double(n: usize, a: *const f64, x: *const f64) -> f64 {
    const L: usize = 8;
    let (mut sums, mut others) = (_mm512_setzero_pd(), _mm512_setzero_pd());
    let mut i = 0;
    // SAFETY: no line ends behind n.
    unsafe {
        while i + 2 * L <= n {
            let line = a.add(i);
            ahead(line.cast::<u8>().wrapping_add(AHEAD));
            ahead(line.cast::<u8>().wrapping_add(AHEAD + 64));
            sums = _mm512_fmadd_pd(_mm512_loadu_pd(line), _mm512_loadu_pd(x.add(i)), sums);
            others = _mm512_fmadd_pd(_mm512_loadu_pd(line.add(L)), _mm512_loadu_pd(x.add(i + L)), others);
            i += 2 * L;
        }
        sums = _mm512_add_pd(sums, others);
        while i < n {
            let rest = first((n - i).min(L)) as __mmask8;
            let (line, by) = (_mm512_maskz_loadu_pd(rest, a.add(i)), _mm512_maskz_loadu_pd(rest, x.add(i)));
            sums = _mm512_mask3_fmadd_pd(line, by, sums, rest);
            i += L;
        }
    }
    let two = _mm512_add_pd(sums, _mm512_shuffle_f64x2::<0b10_11_00_01>(sums, sums));
    let one = _mm512_add_pd(two, _mm512_permute_pd::<0b0101_0101>(two));
    let high = _mm512_extractf64x4_pd::<1>(one);
    _mm_cvtsd_f64(_mm512_castpd512_pd128(one)) + _mm256_cvtsd_f64(high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::{Level, highest};

    #[test]
    fn the_bits_of_narrow_registers() {
        if highest() < Level::Avx512 {
            return;
        }
        for n in 1..120 {
            for step in [n, n + 5, 5000] {
                let a: Vec<f32> = (0..3 * step + n).map(|i| (i * 7919 % 1009) as f32 / 97.0 - 5.0).collect();
                let x: Vec<f32> = (0..n).map(|i| (i * 31 % 101) as f32 / 7.0 - 7.0).collect();
                // SAFETY: four rows of n numbers; AVX-512 is there.
                let (wide, narrow) = unsafe {
                    let narrow = super::super::rows::group::<f32, true>(n, a.as_ptr(), step, x.as_ptr());
                    (group(n, a.as_ptr(), step, x.as_ptr()), narrow)
                };
                assert_eq!(wide.map(f32::to_bits), narrow.map(f32::to_bits), "{n} {step}");
                let [a, x] =
                    [a, x].map(|list| list.into_iter().map(|v| f64::from(v) / 3.0).collect::<Vec<_>>());
                // SAFETY: n numbers; AVX-512 is there.
                let (wide, narrow) = unsafe {
                    let narrow = super::super::rows::wide::<f64, true>(n, a.as_ptr(), x.as_ptr());
                    (double(n, a.as_ptr(), x.as_ptr()), narrow)
                };
                assert_eq!(wide.to_bits(), narrow.to_bits(), "{n}");
            }
        }
    }
}
