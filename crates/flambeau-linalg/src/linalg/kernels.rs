//! Innermost loops, compiled for the vector units of the processor.

use super::LinalgElement;
use crate::gemm::multiversion;
use num_traits::Float;

#[inline(always)]
unsafe fn row_update<T: LinalgElement, const FMA: bool>(n: usize, factor: T, x: *const T, y: *mut T) {
    for j in 0..n {
        // SAFETY: the caller vouches for n elements of each.
        unsafe { *y.add(j) = factor.mul_add::<FMA>(*x.add(j), *y.add(j)) };
    }
}

#[inline(always)]
unsafe fn substitute_body<T: LinalgElement, const FMA: bool>(
    n: usize,
    k: usize,
    a: *const T,
    a_rs: usize,
    a_cs: usize,
    upper: bool,
    unit: bool,
    b: *mut T,
    ldb: usize,
) {
    for step in 0..n {
        let i = if upper { n - 1 - step } else { step };
        // SAFETY: i, j < n; rows of `b` have k elements.
        unsafe {
            let row = b.add(i * ldb);
            for earlier in 0..step {
                let j = if upper { n - 1 - earlier } else { earlier };
                row_update::<T, FMA>(k, -*a.add(i * a_rs + j * a_cs), b.add(j * ldb), row);
            }
            if !unit {
                let diagonal = *a.add(i * (a_rs + a_cs));
                for c in 0..k {
                    *row.add(c) = (*row.add(c)).divide(diagonal);
                }
            }
        }
    }
}
multiversion! {
    /// Forward or backward substitution on the rows of `b`, in place.
    ///
    /// # Safety
    /// `a` must be a valid n x n matrix of the given strides, `b` one of n rows of `k` elements `ldb` apart.
    pub(super) unsafe fn substitute<T: LinalgElement>(
        n: usize, k: usize, a: *const T, a_rs: usize, a_cs: usize, upper: bool, unit: bool, b: *mut T, ldb: usize,
    ) = substitute_body
}

#[inline(always)]
unsafe fn lu_body<T: LinalgElement, const FMA: bool>(
    m: usize,
    n: usize,
    a: *mut T,
    lda: usize,
    pivots: &mut [i32],
) -> i32 {
    let size = m.min(n);
    let safe = <T::R as Float>::min_positive_value();
    let mut info = 0;
    for j in 0..size {
        // SAFETY: i < m and j, c < n throughout.
        unsafe {
            let (mut best, mut largest) = (j, (*a.add(j * lda + j)).abs1());
            for i in j + 1..m {
                let size = (*a.add(i * lda + j)).abs1();
                if size > largest {
                    (best, largest) = (i, size);
                }
            }
            pivots[j] = best as i32 + 1;
            let pivot = *a.add(best * lda + j);
            if pivot == T::ZERO {
                if info == 0 {
                    info = j as i32 + 1;
                }
                continue;
            }
            if best != j {
                for c in 0..n {
                    std::ptr::swap(a.add(j * lda + c), a.add(best * lda + c));
                }
            }
            // The reference multiplies by the reciprocal, except in the last step of up to 4 x 4.
            let divide = (size <= 4 && j + 2 == size) || largest < safe;
            let reciprocal = T::ONE.divide(pivot);
            for i in j + 1..m {
                let row = a.add(i * lda);
                let factor = *row.add(j);
                let factor = if divide { factor.divide(pivot) } else { factor * reciprocal };
                *row.add(j) = factor;
                row_update::<T, FMA>(n - j - 1, -factor, a.add(j * lda + j + 1), row.add(j + 1));
            }
        }
    }
    info
}
multiversion! {
    /// Right-looking LU with partial pivoting, LAPACK's pivots (from 1) and info (the first zero pivot, from 1).
    ///
    /// # Safety
    /// `a` must be valid for m rows of n elements, `lda` apart; `pivots` has min(m, n) elements.
    pub(super) unsafe fn lu<T: LinalgElement>(m: usize, n: usize, a: *mut T, lda: usize, pivots: &mut [i32]) -> i32 = lu_body
}

#[inline(always)]
unsafe fn tiny_body<T: LinalgElement, const FMA: bool>(
    n: usize,
    k: usize,
    lu: &[T],
    pivots: &[i32],
    b: &mut [T],
) {
    let at = |i: usize, j: usize| lu[i * n + j];
    let mut columns = 0;
    while columns < k {
        // MKL takes the right-hand sides in pairs, by reciprocals; an odd one is divided (but for 2 x 2).
        let pair = columns + 1 < k;
        let by_reciprocal = pair || n == 2;
        let finish = |x: T, diagonal: T| {
            if by_reciprocal { x * T::ONE.divide(diagonal) } else { x.divide(diagonal) }
        };
        for c in columns..columns + 1 + pair as usize {
            let mut x = [T::ZERO; 3];
            for i in 0..n {
                x[i] = b[i * k + c];
            }
            for i in 0..n {
                x.swap(i, pivots[i] as usize - 1);
            }
            x[1] = (-at(1, 0)).mul_add::<FMA>(x[0], x[1]);
            if n == 3 {
                x[2] = x[2] - at(2, 0).mul_add::<FMA>(x[0], at(2, 1) * x[1]);
                x[2] = finish(x[2], at(2, 2));
                x[1] = (-at(1, 2)).mul_add::<FMA>(x[2], x[1]);
                x[1] = finish(x[1], at(1, 1));
                x[0] = x[0] - at(0, 2).mul_add::<FMA>(x[2], at(0, 1) * x[1]);
            } else {
                x[1] = finish(x[1], at(1, 1));
                x[0] = (-at(0, 1)).mul_add::<FMA>(x[1], x[0]);
            }
            x[0] = finish(x[0], at(0, 0));
            for i in 0..n {
                b[i * k + c] = x[i];
            }
        }
        columns += 1 + pair as usize;
    }
}
multiversion! {
    /// Solves with the LU factors of a 2 x 2 or 3 x 3 matrix, in the rounding order of MKL's small solver.
    ///
    /// # Safety
    /// None beyond the types: all accesses are checked.
    pub(super) unsafe fn solve_tiny<T: LinalgElement>(n: usize, k: usize, lu: &[T], pivots: &[i32], b: &mut [T]) = tiny_body
}

#[inline(always)]
unsafe fn dotc_body<T: LinalgElement, const FMA: bool>(x: &[T], y: &[T]) -> T {
    const LANES: usize = 16;
    let mut sums = [T::ZERO; LANES];
    let mut total = T::ZERO;
    let (xs, ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    for (&x, &y) in xs.remainder().iter().zip(ys.remainder()) {
        total = x.conj().mul_add::<FMA>(y, total);
    }
    for (x, y) in xs.zip(ys) {
        for l in 0..LANES {
            sums[l] = x[l].conj().mul_add::<FMA>(y[l], sums[l]);
        }
    }
    let mut half = LANES / 2;
    while half > 0 {
        for l in 0..half {
            sums[l] = sums[l] + sums[l + half];
        }
        half /= 2;
    }
    total + sums[0]
}
multiversion! {
    unsafe fn dotc_raw<T: LinalgElement>(x: &[T], y: &[T]) -> T = dotc_body
}
/// `sum(conj(x) * y)` of vectors of one length.
pub(super) fn dotc<T: LinalgElement>(x: &[T], y: &[T]) -> T {
    assert_eq!(x.len(), y.len());
    // SAFETY: the body works on checked slices.
    unsafe { dotc_raw(x, y) }
}

#[inline(always)]
unsafe fn axpy_body<T: LinalgElement, const FMA: bool>(factor: T, x: &[T], y: &mut [T]) {
    for (y, &x) in y.iter_mut().zip(x) {
        *y = factor.mul_add::<FMA>(x, *y);
    }
}
multiversion! {
    unsafe fn axpy_raw<T: LinalgElement>(factor: T, x: &[T], y: &mut [T]) = axpy_body
}
/// `y += factor * x`.
pub(super) fn axpy<T: LinalgElement>(factor: T, x: &[T], y: &mut [T]) {
    // SAFETY: the body works on checked slices.
    unsafe { axpy_raw(factor, x, y) }
}
