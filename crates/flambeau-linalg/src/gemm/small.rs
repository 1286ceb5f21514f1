//! Products too small to repay the packing and dispatch of a blocked one.

use super::{GemmElement, Shape, multiversion};
use std::mem::MaybeUninit;

/// Up to this many multiplications: plain loops over the strides.
pub(super) const DIRECT: usize = 100;
/// Up to this many multiplications: `b` packed on the stack.
pub(super) const PACKED: usize = 12 * 12 * 12;
/// Elements of the packed copy of `b`.
pub(super) const PANEL: usize = 512;
/// Columns computed together.
const LANES: usize = 8;

#[inline(always)]
unsafe fn store<T: GemmElement>(at: *mut T, alpha: T, sum: T, beta: T) {
    // SAFETY: the caller passes a valid element of `c`.
    unsafe {
        let product = if alpha == T::ONE { sum } else { alpha.mul(sum) };
        *at = if beta == T::ZERO { product } else { product.add(beta.mul(*at)) };
    }
}

#[inline(always)]
unsafe fn direct_body<T: GemmElement, const FMA: bool>(
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
                    sum = (*row.add(p * s.a_cs)).mul_add::<FMA>(*column.add(p * s.b_rs), sum);
                }
                store(c.add(i * s.c_rs + j * s.c_cs), alpha, sum, beta);
            }
        }
    }
}
multiversion! {
    /// One dot product for each element of `c`.
    ///
    /// # Safety
    /// Every address that the sizes and strides reach must be valid; `k` nonzero.
    pub(super) unsafe fn direct<T: GemmElement>(s: &Shape, alpha: T, a: *const T, b: *const T, beta: T, c: *mut T) = direct_body
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
    let mut panel = [const { MaybeUninit::<T>::uninit() }; PANEL];
    let (b, b_rs) = if s.b_cs == 1 {
        (b, s.b_rs)
    } else {
        for p in 0..s.k {
            for j in 0..s.n {
                // SAFETY: inside `b`; the caller checked k * n <= PANEL.
                unsafe { panel.get_unchecked_mut(p * s.n + j).write(*b.add(p * s.b_rs + j * s.b_cs)) };
            }
        }
        (panel.as_ptr().cast::<T>(), s.n)
    };
    for i in 0..s.m {
        let mut j = 0;
        while j < s.n {
            let width = LANES.min(s.n - j);
            let mut sums = [T::ZERO; LANES];
            // SAFETY: columns j..j+width exist; the full-width loop reads LANES of them only when width == LANES.
            unsafe {
                let row = a.add(i * s.a_rs);
                if width == LANES {
                    for p in 0..s.k {
                        let (x, line) = (*row.add(p * s.a_cs), b.add(p * b_rs + j));
                        for l in 0..LANES {
                            sums[l] = x.mul_add::<FMA>(*line.add(l), sums[l]);
                        }
                    }
                } else {
                    for p in 0..s.k {
                        let (x, line) = (*row.add(p * s.a_cs), b.add(p * b_rs + j));
                        for l in 0..width {
                            sums[l] = x.mul_add::<FMA>(*line.add(l), sums[l]);
                        }
                    }
                }
                for l in 0..width {
                    store(c.add(i * s.c_rs + (j + l) * s.c_cs), alpha, sums[l], beta);
                }
            }
            j += width;
        }
    }
}
multiversion! {
    /// Rows of `c`, eight columns at a time, from a contiguous copy of `b` of at most `PANEL` elements.
    ///
    /// # Safety
    /// Every address that the sizes and strides reach must be valid; `k * n <= PANEL`.
    pub(super) unsafe fn packed<T: GemmElement>(s: &Shape, alpha: T, a: *const T, b: *const T, beta: T, c: *mut T) = packed_body
}
