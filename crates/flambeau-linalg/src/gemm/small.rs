//! Products too small to repay the packing and dispatch of a blocked one.

use super::{GemmElement, Shape, multiversion};
use std::mem::MaybeUninit;

/// Up to this many multiplications: plain loops over the strides, every product rounded.
pub(super) const DIRECT: usize = 64;
/// Up to this many multiplications: columns of `b` packed on the stack.
pub(super) const PACKED: usize = 16 * 16 * 16;
/// Elements of the packed columns.
pub(super) const PANEL: usize = 512;
/// Rows of `c` computed together.
const ROWS: usize = 4;

#[inline(always)]
pub(super) unsafe fn store<T: GemmElement>(at: *mut T, alpha: T, sum: T, beta: T) {
    // SAFETY: the caller passes a valid element of `c`.
    unsafe {
        let product = if alpha == T::ONE { sum } else { alpha.mul(sum) };
        *at = if beta == T::ZERO { product } else { product.add(beta.mul(*at)) };
    }
}

/// One dot product for each element of `c`, one product after the other, each rounded, as PyTorch's build with MKL has it on
/// processors without fused products.
///
/// # Safety
/// Every address that the sizes and strides reach must be valid; `k` nonzero.
pub(super) unsafe fn direct<T: GemmElement>(
    s: &Shape,
    alpha: T,
    a: *const T,
    b: *const T,
    beta: T,
    c: *mut T,
) {
    for i in 0..s.m {
        for j in 0..s.n {
            // SAFETY: i < m, j < n, p < k: inside the operands by the caller's promise.
            unsafe {
                let (row, column) = (a.add(i * s.a_rs), b.add(j * s.b_cs));
                let mut sum = (*row).mul(*column);
                for p in 1..s.k {
                    sum = sum.add((*row.add(p * s.a_cs)).mul(*column.add(p * s.b_rs)));
                }
                store(c.add(i * s.c_rs + j * s.c_cs), alpha, sum, beta);
            }
        }
    }
}

/// Lanes of the widest packed kernel: one cache line.
pub(super) const fn lanes<T>() -> usize {
    match size_of::<T>() {
        0..=4 => 16,
        5..=8 => 8,
        _ => 4,
    }
}

/// Sums of `R` rows of `a` times the panel. Apart from the store, so that only constant indices touch the sums and they
/// stay in registers.
#[inline(always)]
unsafe fn sums<T: GemmElement, const FMA: bool, const R: usize, const L: usize>(
    s: &Shape,
    a: *const T,
    panel: *const [T; L],
) -> [[T; L]; R] {
    let mut sums = [[T::ZERO; L]; R];
    for p in 0..s.k {
        // SAFETY: `a` points at R rows of k elements, the panel holds k lines.
        unsafe {
            let line = &*panel.add(p);
            for r in 0..R {
                let x = *a.add(r * s.a_rs + p * s.a_cs);
                for l in 0..L {
                    sums[r][l] = x.mul_add::<FMA>(line[l], sums[r][l]);
                }
            }
        }
    }
    sums
}

/// `R` rows of `c` for the `width` columns in the panel, which is padded to `L`.
#[inline(always)]
unsafe fn rows<T: GemmElement, const FMA: bool, const R: usize, const L: usize>(
    s: &Shape,
    alpha: T,
    a: *const T,
    panel: *const [T; L],
    beta: T,
    c: *mut T,
    width: usize,
) {
    // SAFETY: `a` and `c` point at R rows, the panel holds k lines; columns stay below `width`.
    unsafe {
        let sums = sums::<T, FMA, R, L>(s, a, panel);
        let plain = s.c_cs == 1 && alpha == T::ONE && beta == T::ZERO;
        for r in 0..R {
            let row = c.add(r * s.c_rs);
            if plain && width == L {
                *row.cast::<[T; L]>() = sums[r];
            } else if plain {
                for l in 0..width {
                    *row.add(l) = sums[r][l];
                }
            } else {
                for l in 0..width {
                    store(row.add(l * s.c_cs), alpha, sums[r][l], beta);
                }
            }
        }
    }
}

/// The `width` columns of `c` from column `j` on, `L` at most.
#[inline(always)]
unsafe fn columns<T: GemmElement, const FMA: bool, const L: usize>(
    s: &Shape,
    alpha: T,
    a: *const T,
    b: *const T,
    beta: T,
    c: *mut T,
    j: usize,
    panel: *mut T,
) {
    let width = L.min(s.n - j);
    // SAFETY: the caller checked k * L <= PANEL; columns j..j + width exist; a panel line is L elements, and an array
    // of T has the alignment of T.
    unsafe {
        for p in 0..s.k {
            let (line, from) = (panel.add(p * L), b.add(p * s.b_rs + j * s.b_cs));
            if width == L && s.b_cs == 1 {
                *line.cast::<[T; L]>() = *from.cast::<[T; L]>();
                continue;
            }
            for l in 0..L {
                *line.add(l) = if l < width { *from.add(l * s.b_cs) } else { T::ZERO };
            }
        }
        let mut i = 0;
        let panel = panel.cast::<[T; L]>().cast_const();
        while i + ROWS <= s.m {
            let (a, c) = (a.add(i * s.a_rs), c.add(i * s.c_rs + j * s.c_cs));
            rows::<T, FMA, ROWS, L>(s, alpha, a, panel, beta, c, width);
            i += ROWS;
        }
        while i < s.m {
            let (a, c) = (a.add(i * s.a_rs), c.add(i * s.c_rs + j * s.c_cs));
            rows::<T, FMA, 1, L>(s, alpha, a, panel, beta, c, width);
            i += 1;
        }
    }
}

#[inline(always)]
unsafe fn packed_body<T: GemmElement, const FMA: bool>(
    s: &Shape,
    alpha: T,
    a: *const T,
    b: *const T,
    beta: T,
    c: *mut T,
) {
    let mut storage = [const { MaybeUninit::<T>::uninit() }; PANEL];
    let panel = storage.as_mut_ptr().cast::<T>();
    let widest = lanes::<T>();
    let mut j = 0;
    while j < s.n {
        let rest = s.n - j;
        // SAFETY: passed on from the caller.
        unsafe {
            if widest >= 16 && rest >= 16 {
                columns::<T, FMA, 16>(s, alpha, a, b, beta, c, j, panel);
                j += 16;
            } else if widest >= 8 && rest >= 8 {
                columns::<T, FMA, 8>(s, alpha, a, b, beta, c, j, panel);
                j += 8;
            } else {
                columns::<T, FMA, 4>(s, alpha, a, b, beta, c, j, panel);
                j += 4;
            }
        }
    }
}
multiversion! {
    /// Blocks of rows of `c`, as many columns at a time as fill a cache line, from packed columns of `b`.
    ///
    /// # Safety
    /// Every address that the sizes and strides reach must be valid; `k * lanes::<T>() <= PANEL`.
    pub(super) unsafe fn packed<T: GemmElement>(s: &Shape, alpha: T, a: *const T, b: *const T, beta: T, c: *mut T) = packed_body
}

/// Most rows of `a` for [`dots`].
pub(super) const FEW: usize = 8;

/// Lanes of the dot products of [`dots`].
const WIDE: usize = 8;

/// Sums of eight lanes each of the products of `R` rows and one column, and how far they reach.
#[inline(always)]
unsafe fn lane_sums<T: GemmElement, const FMA: bool, const R: usize>(
    s: &Shape,
    a: *const T,
    column: *const T,
) -> ([[T; WIDE]; R], usize) {
    let mut sums = [[T::ZERO; WIDE]; R];
    let mut p = 0;
    while p + WIDE <= s.k {
        // SAFETY: `a` points at R rows of k contiguous elements, `column` at k.
        unsafe {
            let line = &*column.add(p).cast::<[T; WIDE]>();
            for r in 0..R {
                let x = &*a.add(r * s.a_rs + p).cast::<[T; WIDE]>();
                for l in 0..WIDE {
                    sums[r][l] = x[l].mul_add::<FMA>(line[l], sums[r][l]);
                }
            }
        }
        p += WIDE;
    }
    (sums, p)
}

/// The sum of eight lanes, in pairs. A call, not inlined: the accumulators must reach memory as whole vectors, or LLVM
/// shapes the loop before it after this tree, with narrow vectors.
#[inline(never)]
pub(crate) fn total<T: GemmElement>(x: &[T; 8]) -> T {
    let [a, b, c, d] = [x[0].add(x[4]), x[1].add(x[5]), x[2].add(x[6]), x[3].add(x[7])];
    a.add(c).add(b.add(d))
}

#[inline(always)]
unsafe fn dot_rows<T: GemmElement, const FMA: bool, const R: usize>(
    s: &Shape,
    alpha: T,
    a: *const T,
    column: *const T,
    beta: T,
    c: *mut T,
) {
    // SAFETY: `a` points at R rows of k contiguous elements, `column` at k, `c` at R elements a row stride apart.
    unsafe {
        let (sums, done) = lane_sums::<T, FMA, R>(s, a, column);
        for r in 0..R {
            let mut sum = total(&sums[r]);
            for q in done..s.k {
                sum = (*a.add(r * s.a_rs + q)).mul_add::<FMA>(*column.add(q), sum);
            }
            store(c.add(r * s.c_rs), alpha, sum, beta);
        }
    }
}

#[inline(always)]
unsafe fn dots_body<T: GemmElement, const FMA: bool>(
    s: &Shape,
    alpha: T,
    a: *const T,
    b: *const T,
    beta: T,
    c: *mut T,
) {
    for j in 0..s.n {
        // SAFETY: column j and rows i.. exist.
        unsafe {
            let (column, c) = (b.add(j * s.b_cs), c.add(j * s.c_cs));
            let mut i = 0;
            while i < s.m {
                let (a, c) = (a.add(i * s.a_rs), c.add(i * s.c_rs));
                i += match s.m - i {
                    1 => {
                        dot_rows::<T, FMA, 1>(s, alpha, a, column, beta, c);
                        1
                    }
                    2 | 3 => {
                        dot_rows::<T, FMA, 2>(s, alpha, a, column, beta, c);
                        2
                    }
                    _ => {
                        dot_rows::<T, FMA, 4>(s, alpha, a, column, beta, c);
                        4
                    }
                };
            }
        }
    }
}
multiversion! {
    /// A few rows times many columns, both contiguous along `k`, as a layer sees a small batch: reads `b` once.
    ///
    /// # Safety
    /// Every address that the sizes and strides reach must be valid; `a_cs` and `b_rs` are 1.
    pub(super) unsafe fn dots<T: GemmElement>(s: &Shape, alpha: T, a: *const T, b: *const T, beta: T, c: *mut T) = dots_body
}
