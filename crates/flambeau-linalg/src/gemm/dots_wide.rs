//! Products of a few rows and many columns, both contiguous along `k`, in registers of 64 bytes: what a layer makes of a small
//! batch. Nothing is packed. One of the modules with unsafe code.

use super::{GemmElement, Shape, Shared, divided, small};
use crate::prefetch::ahead;
use std::arch::x86_64::*;
use std::ops::Range;

/// The most rows; products of more are worth packing.
pub(super) const FEW: usize = 32;
/// Rows and columns of a tile of dot products.
const TILE: usize = 4;
/// Rows that stay in the first-level cache.
const ROWS: usize = 8;
/// The longest part of a row that is taken at once, in bytes.
const PART: usize = 4096;
/// Bytes of columns that stay in the second-level cache.
const NEAR: usize = 1 << 20;
/// Columns that threads take together.
const UNIT: usize = 64;

/// Rows, `a_rs` apart, and columns of `n` numbers whose dot products are wanted.
pub(super) struct Tile<T> {
    a: *const T,
    a_rs: usize,
    /// Columns; the last ones may be the same.
    columns: [*const T; TILE],
    n: usize,
    /// Where what comes next begins, counted from each column.
    next: usize,
}

/// Numbers that come in registers of 64 bytes.
pub(super) trait Wide: GemmElement {
    /// The dot products of the first `R` rows of a tile.
    ///
    /// # Safety
    /// There is AVX-512; `n` numbers of each of these rows and of each column are valid.
    unsafe fn tile<const R: usize>(tile: &Tile<Self>, out: &mut [[Self; TILE]; TILE]);
}

macro_rules! wide {
    (
        $t:ident, $lanes:literal, $mask:ident, $zero:ident, $load:ident, $some:ident, $fma:ident, $totals:ident
    ) => {
        impl Wide for $t {
            #[inline]
            #[target_feature(enable = "avx512f,avx512vl")]
            unsafe fn tile<const R: usize>(tile: &Tile<$t>, out: &mut [[$t; TILE]; TILE]) {
                let Tile { a, a_rs, columns, n, next } = *tile;
                let mut sums = [[$zero(); TILE]; R];
                let mut p = 0;
                // SAFETY: numbers below `n`.
                unsafe {
                    while p + $lanes <= n {
                        let by = columns.map(|column| {
                            ahead(column.wrapping_add(p + next));
                            $load(column.add(p))
                        });
                        for r in 0..R {
                            let row = $load(a.add(r * a_rs + p));
                            for q in 0..TILE {
                                sums[r][q] = $fma(row, by[q], sums[r][q]);
                            }
                        }
                        p += $lanes;
                    }
                    if p < n {
                        let rest = ((1u32 << (n - p)) - 1) as $mask;
                        let by = columns.map(|column| $some(rest, column.add(p)));
                        for r in 0..R {
                            let row = $some(rest, a.add(r * a_rs + p));
                            for q in 0..TILE {
                                sums[r][q] = $fma(row, by[q], sums[r][q]);
                            }
                        }
                    }
                }
                for r in 0..R {
                    out[r] = $totals(sums[r]);
                }
            }
        }
    };
}
wide!(
    f32,
    16,
    __mmask16,
    _mm512_setzero_ps,
    _mm512_loadu_ps,
    _mm512_maskz_loadu_ps,
    _mm512_fmadd_ps,
    totals_single
);
wide!(
    f64,
    8,
    __mmask8,
    _mm512_setzero_pd,
    _mm512_loadu_pd,
    _mm512_maskz_loadu_pd,
    _mm512_fmadd_pd,
    totals_double
);

/// The sum of each register's lanes.
#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn totals_single(sums: [__m512; TILE]) -> [f32; TILE] {
    let totals = _mm512_maskz_compress_ps(0x1111, super::rows_wide::halves(sums));
    let mut out = [0.0; TILE];
    // SAFETY: room for four numbers.
    unsafe { _mm_storeu_ps(out.as_mut_ptr(), _mm512_castps512_ps128(totals)) };
    out
}

/// As [`totals_single`].
#[inline]
#[target_feature(enable = "avx512f,avx512vl")]
fn totals_double([a, b, c, d]: [__m512d; TILE]) -> [f64; TILE] {
    let four = |a, b| {
        _mm512_add_pd(
            _mm512_shuffle_f64x2::<0b01_00_01_00>(a, b),
            _mm512_shuffle_f64x2::<0b11_10_11_10>(a, b),
        )
    };
    let (ab, cd) = (four(a, b), four(c, d));
    let two = _mm512_add_pd(
        _mm512_shuffle_f64x2::<0b10_00_10_00>(ab, cd),
        _mm512_shuffle_f64x2::<0b11_01_11_01>(ab, cd),
    );
    let one = _mm512_add_pd(two, _mm512_permute_pd::<0b0101_0101>(two));
    let totals = _mm512_maskz_compress_pd(0x55, one);
    let mut out = [0.0; TILE];
    // SAFETY: room for four numbers.
    unsafe { _mm256_storeu_pd(out.as_mut_ptr(), _mm512_castpd512_pd256(totals)) };
    out
}

/// `c = alpha * a @ b + beta * c`, on several threads if it is large.
///
/// # Safety
/// Every address that the sizes and strides reach must be valid; `a_cs` and `b_rs` are 1, `k` is nonzero; there is AVX-512.
pub(super) unsafe fn multiply<T: Wide>(s: &Shape, alpha: T, a: *const T, b: *const T, beta: T, c: *mut T) {
    let [a, b, c] = [a, b, c.cast_const()].map(Shared);
    let units = s.n.div_ceil(UNIT);
    divided(units, s.m * s.k * UNIT, |range| {
        let (first, end) = (range.start * UNIT, s.n.min(range.end * UNIT));
        let parts = s.k.div_ceil(PART / size_of::<T>());
        // Whole cache lines, but for the last part.
        let length = s.k.div_ceil(parts).next_multiple_of(64 / size_of::<T>());
        let near = (NEAR / (length * size_of::<T>())).next_multiple_of(TILE);
        for start in (0..s.k).step_by(length) {
            let n = length.min(s.k - start);
            let beta = if start == 0 { beta } else { T::ONE };
            for j0 in (first..end).step_by(near) {
                for i0 in (0..s.m).step_by(ROWS) {
                    let columns = j0..end.min(j0 + near);
                    let rows = i0..s.m.min(i0 + ROWS);
                    // SAFETY: rows and columns of the matrices; threads have no columns in common.
                    unsafe {
                        let (a, b) = (a.get().add(start), b.get().add(start));
                        block(s, n, rows, columns, alpha, a, b, beta, c.get().cast_mut())
                    };
                }
            }
        }
    });
}

/// Some rows and columns of the result.
///
/// # Safety
/// As for [`multiply`].
#[target_feature(enable = "avx512f,avx512vl")]
unsafe fn block<T: Wide>(
    s: &Shape,
    n: usize,
    rows: Range<usize>,
    columns: Range<usize>,
    alpha: T,
    a: *const T,
    b: *const T,
    beta: T,
    c: *mut T,
) {
    for j in columns.clone().step_by(TILE) {
        let width = TILE.min(columns.end - j);
        let tile = |i: usize| Tile {
            a: a.wrapping_add(i * s.a_rs),
            a_rs: s.a_rs,
            columns: std::array::from_fn(|q| b.wrapping_add((j + q.min(width - 1)) * s.b_cs)),
            n,
            next: TILE * s.b_cs,
        };
        let mut i = rows.start;
        while i < rows.end {
            let mut out = [[T::ZERO; TILE]; TILE];
            // SAFETY: passed on from the caller; elements of the result.
            unsafe {
                let count = match rows.end - i {
                    1 => {
                        T::tile::<1>(&tile(i), &mut out);
                        1
                    }
                    2 => {
                        T::tile::<2>(&tile(i), &mut out);
                        2
                    }
                    3 => {
                        T::tile::<3>(&tile(i), &mut out);
                        3
                    }
                    _ => {
                        T::tile::<4>(&tile(i), &mut out);
                        4
                    }
                };
                for (r, row) in out[..count].iter().enumerate() {
                    let to = c.add((i + r) * s.c_rs + j * s.c_cs);
                    for (q, &sum) in row[..width].iter().enumerate() {
                        small::store(to.add(q * s.c_cs), alpha, sum, beta);
                    }
                }
                i += count;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::{Level, highest};

    #[test]
    fn dot_products_of_any_size() {
        if highest() < Level::Avx512 {
            return;
        }
        for (m, n, k) in [(1, 1, 1), (2, 5, 7), (3, 66, 16), (4, 131, 33), (9, 4, 1500), (13, 9, 2100)] {
            let a: Vec<f64> = (0..m * k).map(|i| (i * 7919 % 17) as f64 - 8.0).collect();
            let b: Vec<f64> = (0..n * k).map(|i| (i * 31 % 13) as f64 - 6.0).collect();
            let right = |i: usize, j: usize| (0..k).map(|p| a[i * k + p] * b[j * k + p]).sum::<f64>();
            for (c_rs, c_cs) in [(n, 1), (1, m)] {
                let s = Shape { m, n, k, a_rs: k, a_cs: 1, b_rs: 1, b_cs: k, c_rs, c_cs };
                let mut c = vec![1.0; m * n];
                // SAFETY: matrices of these sizes; AVX-512 is there.
                unsafe { multiply(&s, 2.0, a.as_ptr(), b.as_ptr(), 3.0, c.as_mut_ptr()) };
                let [x, y] = [&a, &b].map(|list| list.iter().map(|&v| v as f32).collect::<Vec<_>>());
                let mut single = vec![f32::NAN; m * n];
                // SAFETY: as above.
                unsafe { multiply(&s, 1.0, x.as_ptr(), y.as_ptr(), 0.0, single.as_mut_ptr()) };
                for i in 0..m {
                    for j in 0..n {
                        let at = i * c_rs + j * c_cs;
                        assert_eq!(c[at], 2.0 * right(i, j) + 3.0, "{m} {n} {k} {i} {j}");
                        assert_eq!(f64::from(single[at]), right(i, j), "{m} {n} {k} {i} {j}");
                    }
                }
            }
        }
    }
}
