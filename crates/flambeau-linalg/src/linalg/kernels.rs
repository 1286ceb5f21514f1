//! Innermost loops, compiled for the vector units of the processor.

use super::LinalgElement;
use crate::gemm::{multiversion, total};
use num_traits::Float;

#[inline(always)]
unsafe fn row_update<T: LinalgElement, const FMA: bool>(n: usize, factor: T, x: *const T, y: *mut T) {
    for j in 0..n {
        // SAFETY: the caller vouches for n elements of each.
        unsafe { *y.add(j) = factor.mul_add::<FMA>(*x.add(j), *y.add(j)) };
    }
}

/// Largest system of [`substitute`].
pub(super) const SUBSTITUTED: usize = 24;

#[inline(always)]
unsafe fn substitute_columns<T: LinalgElement, const FMA: bool, const L: usize>(
    n: usize,
    width: usize,
    a: *const T,
    a_rs: usize,
    a_cs: usize,
    upper: bool,
    unit: bool,
    b: *mut T,
    ldb: usize,
) {
    let mut solved = [[T::ZERO; L]; SUBSTITUTED];
    for step in 0..n {
        let i = if upper { n - 1 - step } else { step };
        let mut x = [T::ZERO; L];
        // SAFETY: i, j < n; rows of `b` have `width` elements here.
        unsafe {
            let row = b.add(i * ldb);
            for c in 0..width {
                x[c] = *row.add(c);
            }
            // A copy that only constant indices touch stays in registers.
            let mut sum = x;
            for (earlier, y) in solved.iter().enumerate().take(step) {
                let j = if upper { n - 1 - earlier } else { earlier };
                let factor = -*a.add(i * a_rs + j * a_cs);
                for l in 0..L {
                    sum[l] = factor.mul_add::<FMA>(y[l], sum[l]);
                }
            }
            if !unit {
                let diagonal = *a.add(i * (a_rs + a_cs));
                for l in 0..L {
                    sum[l] = sum[l].divide(diagonal);
                }
            }
            x = sum;
            for c in 0..width {
                *row.add(c) = x[c];
            }
        }
        solved[step] = x;
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
    let mut c = 0;
    while c < k {
        // SAFETY: the columns c..c + width exist.
        unsafe {
            let b = b.add(c);
            match k - c {
                1 => {
                    substitute_columns::<T, FMA, 1>(n, 1, a, a_rs, a_cs, upper, unit, b, ldb);
                    c += 1;
                }
                rest @ 2..=8 => {
                    substitute_columns::<T, FMA, 8>(n, rest, a, a_rs, a_cs, upper, unit, b, ldb);
                    c += rest;
                }
                rest => {
                    let width = rest.min(16);
                    substitute_columns::<T, FMA, 16>(n, width, a, a_rs, a_cs, upper, unit, b, ldb);
                    c += width;
                }
            }
        }
    }
}
multiversion! {
    /// Forward or backward substitution on the rows of `b`, in place, for `n <= SUBSTITUTED`.
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
/// Rows from which [`lu`] works on columns.
const TALL: usize = 32;

/// [`lu_body`] on a copy in columns: pivots are looked for, and columns updated, in long vectors, and the rows of matrices
/// whose sizes are powers of two do not compete for few sets of the cache.
#[inline(always)]
unsafe fn lu_columns_body<T: LinalgElement, const FMA: bool>(
    m: usize,
    n: usize,
    a: *mut T,
    lda: usize,
    pivots: &mut [i32],
) -> i32 {
    let size = m.min(n);
    let safe = <T::R as Float>::min_positive_value();
    let step = m.next_multiple_of(16) + 16;
    let mut copy = vec![T::ZERO; n * step];
    for i in 0..m {
        for (c, column) in copy.chunks_exact_mut(step).enumerate() {
            // SAFETY: i < m and c < n.
            column[i] = unsafe { *a.add(i * lda + c) };
        }
    }
    let mut info = 0;
    for j in 0..size {
        let (left, right) = copy.split_at_mut((j + 1) * step);
        let column = &mut left[j * step..j * step + m];
        let (best, largest) = largest(column, j);
        pivots[j] = best as i32 + 1;
        let pivot = column[best];
        if pivot == T::ZERO {
            if info == 0 {
                info = j as i32 + 1;
            }
            continue;
        }
        let divide = (size <= 4 && j + 2 == size) || largest < safe;
        let reciprocal = T::ONE.divide(pivot);
        column.swap(j, best);
        let factors = &mut column[j + 1..];
        if divide {
            factors.iter_mut().for_each(|x| *x = x.divide(pivot));
        } else {
            factors.iter_mut().for_each(|x| *x *= reciprocal);
        }
        for other in right.chunks_exact_mut(step) {
            other.swap(j, best);
            let upper = other[j];
            for (y, &factor) in other[j + 1..m].iter_mut().zip(factors.iter()) {
                *y = (-factor).mul_add::<FMA>(upper, *y);
            }
        }
        if best != j {
            left[..j * step].chunks_exact_mut(step).for_each(|earlier| earlier.swap(j, best));
        }
    }
    for i in 0..m {
        for (c, column) in copy.chunks_exact(step).enumerate() {
            // SAFETY: as above.
            unsafe { *a.add(i * lda + c) = column[i] };
        }
    }
    info
}

/// The first of the largest elements from `j` on, and its size; `j` where its element is not a number.
#[inline(always)]
fn largest<T: LinalgElement>(column: &[T], j: usize) -> (usize, T::R) {
    let first = column[j].abs1();
    if Float::is_nan(first) {
        return (j, first);
    }
    let rest = &column[j + 1..];
    let mut lanes = [first; 16];
    let whole = rest.chunks_exact(16);
    let tail = whole.remainder();
    for x in whole {
        for l in 0..16 {
            let size = x[l].abs1();
            lanes[l] = if size > lanes[l] { size } else { lanes[l] };
        }
    }
    let all = lanes.into_iter().chain(tail.iter().map(|x| x.abs1()));
    let largest = all.fold(first, |most, size| if size > most { size } else { most });
    let at = column[j..].iter().position(|x| x.abs1() == largest).unwrap_or(0);
    (j + at, largest)
}
multiversion! {
    /// Right-looking LU with partial pivoting of a few columns, LAPACK's pivots (from 1) and info (the first zero pivot,
    /// from 1).
    ///
    /// # Safety
    /// `a` must be valid for m rows of n elements, `lda` apart; `pivots` has min(m, n) elements.
    pub(super) unsafe fn lu<T: LinalgElement>(m: usize, n: usize, a: *mut T, lda: usize, pivots: &mut [i32]) -> i32 = lu_either
}

#[inline(always)]
unsafe fn lu_either<T: LinalgElement, const FMA: bool>(
    m: usize,
    n: usize,
    a: *mut T,
    lda: usize,
    pivots: &mut [i32],
) -> i32 {
    // SAFETY: passed on.
    unsafe {
        match m >= TALL {
            true => lu_columns_body::<T, FMA>(m, n, a, lda, pivots),
            false => lu_body::<T, FMA>(m, n, a, lda, pivots),
        }
    }
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
                x[2] -= at(2, 0).mul_add::<FMA>(x[0], at(2, 1) * x[1]);
                x[2] = finish(x[2], at(2, 2));
                x[1] = (-at(1, 2)).mul_add::<FMA>(x[2], x[1]);
                x[1] = finish(x[1], at(1, 1));
                x[0] -= at(0, 2).mul_add::<FMA>(x[2], at(0, 1) * x[1]);
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
    let (xs, ys) = (x.chunks_exact(16), y.chunks_exact(16));
    let mut rest = T::ZERO;
    for (&x, &y) in xs.remainder().iter().zip(ys.remainder()) {
        rest = x.conj().mul_add::<FMA>(y, rest);
    }
    let (mut low, mut high) = ([T::ZERO; 8], [T::ZERO; 8]);
    for (x, y) in xs.zip(ys) {
        for l in 0..8 {
            low[l] = x[l].conj().mul_add::<FMA>(y[l], low[l]);
            high[l] = x[l + 8].conj().mul_add::<FMA>(y[l + 8], high[l]);
        }
    }
    for l in 0..8 {
        low[l] += high[l];
    }
    rest + total(&low)
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

/// Rows `start..end` of the upper factor, each less what the ones before it in the block add to it.
///
/// # Safety
/// `a` holds `n` rows of `n` elements, and `end` is at most `n`.
#[inline(always)]
unsafe fn cholesky_lanes<T: LinalgElement, const FMA: bool, const L: usize>(
    n: usize,
    start: usize,
    end: usize,
    a: &mut [T],
) -> i32 {
    let a = a.as_mut_ptr();
    for j in start..end {
        // SAFETY: rows below `end`; whole vectors end at most at column n, others are read one by one.
        unsafe {
            let row = a.add(j * n);
            // From the vector that holds the diagonal on: what lies before it in memory is never read as a number.
            let mut c = j / L * L;
            macro_rules! vectors {
                ($count:literal) => {
                    while c + $count * L <= n {
                        let mut sums = [[T::ZERO; L]; $count];
                        for v in 0..$count {
                            sums[v] = *row.add(c + v * L).cast::<[T; L]>();
                        }
                        for k in start..j {
                            let line = a.add(k * n);
                            let factor = -(*line.add(j)).conj();
                            for v in 0..$count {
                                let x = &*line.add(c + v * L).cast::<[T; L]>();
                                for l in 0..L {
                                    sums[v][l] = factor.mul_add::<FMA>(x[l], sums[v][l]);
                                }
                            }
                        }
                        for v in 0..$count {
                            *row.add(c + v * L).cast::<[T; L]>() = sums[v];
                        }
                        c += $count * L;
                    }
                };
            }
            vectors!(4);
            vectors!(1);
            for c in c.max(j)..n {
                let mut sum = *row.add(c);
                for k in start..j {
                    let line = a.add(k * n);
                    sum = (-(*line.add(j)).conj()).mul_add::<FMA>(*line.add(c), sum);
                }
                *row.add(c) = sum;
            }
            let pivot = (*row.add(j)).re();
            if pivot.is_nan() || pivot <= <T::R as crate::gemm::GemmElement>::ZERO {
                return j as i32 + 1;
            }
            let root = Float::sqrt(pivot);
            let inverse = T::from_real(<T::R as crate::gemm::GemmElement>::ONE / root);
            *row.add(j) = T::from_real(root);
            for c in j + 1..n {
                *row.add(c) = *row.add(c) * inverse;
            }
        }
    }
    0
}

#[inline(always)]
unsafe fn cholesky_body<T: LinalgElement, const FMA: bool>(
    n: usize,
    start: usize,
    end: usize,
    a: &mut [T],
) -> i32 {
    assert!(end <= n && n.checked_mul(n).is_some_and(|size| size <= a.len()));
    // SAFETY: checked here.
    unsafe {
        match size_of::<T>() {
            4 => cholesky_lanes::<T, FMA, 16>(n, start, end, a),
            8 => cholesky_lanes::<T, FMA, 8>(n, start, end, a),
            _ => cholesky_lanes::<T, FMA, 4>(n, start, end, a),
        }
    }
}
multiversion! {
    /// Factors rows `start..end` of the n x n `a` from their diagonal on, after the products of the rows before them were
    /// subtracted; the triangle below is overwritten with anything. Returns the info of a Cholesky factorization.
    ///
    /// # Safety
    /// None beyond the types: sizes are checked.
    pub(super) unsafe fn cholesky_rows<T: LinalgElement>(n: usize, start: usize, end: usize, a: &mut [T]) -> i32 = cholesky_body
}
