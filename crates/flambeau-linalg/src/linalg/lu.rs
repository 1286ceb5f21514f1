//! LU factors with partial pivoting, and what follows from them.

use super::triangular::substitute;
use super::{LinalgElement, Op, View, check, identity, kernels};
use crate::gemm::GemmElement;
use flambeau_core::{Result, ensure};
use num_traits::Float;

/// Up to this many columns the recursion ends in the unblocked kernel.
const UNBLOCKED: usize = 16;

/// LU factors of the m x n matrix `a`, in place: `a = P @ L @ U` with `L` unit lower.
///
/// `pivots` (min(m, n) elements, from 1) and the returned info are those of LAPACK's `getrf`: row `i` was
/// exchanged with row `pivots[i] - 1`, and a positive info is the first column whose pivot is exactly zero.
/// Toledo's recursion (SIAM J. Matrix Anal. 18, 1997).
pub fn lu_factor<T: LinalgElement>(m: usize, n: usize, a: &mut [T], pivots: &mut [i32]) -> Result<i32> {
    check("lu_factor", a.len(), m, n)?;
    ensure!(pivots.len() == m.min(n), "lu_factor: expected {} pivots", m.min(n));
    if pivots.is_empty() {
        return Ok(0);
    }
    Ok(recurse(View::row_major(a, m, n), pivots))
}

fn recurse<T: LinalgElement>(a: View<'_, T>, pivots: &mut [i32]) -> i32 {
    let (m, n) = (a.rows, a.cols);
    let size = m.min(n);
    if size <= UNBLOCKED && n <= 2 * UNBLOCKED {
        return a.lu_unblocked(pivots);
    }
    let left = if size <= UNBLOCKED { size } else { (size / 2).next_multiple_of(8).min(size - 1) };
    let (first, second) = pivots.split_at_mut(left);
    let mut info = recurse(a.block(0, 0, m, left), first);
    let (top, bottom) = (a.block(0, left, left, n - left), a.block(left, left, m - left, n - left));
    let right = a.block(0, left, m, n - left);
    for (i, &p) in first.iter().enumerate() {
        right.swap_rows(i, p as usize - 1);
    }
    substitute(a.block(0, 0, left, left), top, false, true);
    bottom.multiply(-T::ONE, a.block(left, 0, m - left, left), top, T::ONE);
    if !second.is_empty() {
        let later = recurse(bottom, second);
        if info == 0 && later > 0 {
            info = later + left as i32;
        }
        let below = a.block(left, 0, m - left, left);
        for (i, p) in second.iter_mut().enumerate() {
            below.swap_rows(i, *p as usize - 1);
            *p += left as i32;
        }
    }
    info
}

fn check_pivots(name: &str, n: usize, pivots: &[i32]) -> Result<()> {
    ensure!(pivots.len() == n, "{name}: expected {n} pivots, got {}", pivots.len());
    let inside = pivots.iter().all(|&p| p >= 1 && p as usize <= n);
    ensure!(inside, "{name}: pivots must be between 1 and {n}");
    Ok(())
}

/// Solves `op(A) @ X = B` for n x k `b`, in place, from the factors of [`lu_factor`].
///
/// A zero pivot gives infinities and NaN, as in PyTorch. Errors when a pivot is out of range.
pub fn lu_solve<T: LinalgElement>(
    n: usize,
    k: usize,
    lu: &[T],
    pivots: &[i32],
    b: &mut [T],
    op: Op,
) -> Result<()> {
    check("lu_solve", lu.len(), n, n)?;
    check("lu_solve", b.len(), n, k)?;
    check_pivots("torch.linalg.lu_solve", n, pivots)?;
    if n == 0 || k == 0 {
        return Ok(());
    }
    if (n == 2 || n == 3) && op == Op::None {
        // SAFETY: the kernel indexes checked slices.
        unsafe { kernels::solve_tiny(n, k, lu, pivots, b) };
        return Ok(());
    }
    let b = View::row_major(b, n, k);
    if op == Op::None {
        for (i, &p) in pivots.iter().enumerate() {
            b.swap_rows(i, p as usize - 1);
        }
        super::triangular::solve(lu, n, b, false, true, Op::None);
        super::triangular::solve(lu, n, b, true, false, Op::None);
    } else {
        super::triangular::solve(lu, n, b, true, false, op);
        super::triangular::solve(lu, n, b, false, true, op);
        for (i, &p) in pivots.iter().enumerate().rev() {
            b.swap_rows(i, p as usize - 1);
        }
    }
    Ok(())
}

/// Scratch for the factors of matrices too small to deserve an allocation.
fn with_factors<T: LinalgElement, A>(n: usize, a: &[T], run: impl FnOnce(&mut [T], &mut [i32]) -> A) -> A {
    if n <= 4 {
        let (mut lu, mut pivots) = ([T::ZERO; 16], [0; 4]);
        lu[..n * n].copy_from_slice(a);
        run(&mut lu[..n * n], &mut pivots[..n])
    } else {
        run(&mut a.to_vec(), &mut vec![0; n])
    }
}

/// Solves `a @ x = b` for the n x n `a` and n x k `b`, in place. Returns the info of [`lu_factor`].
pub fn solve<T: LinalgElement>(n: usize, k: usize, a: &[T], b: &mut [T]) -> Result<i32> {
    check("solve", a.len(), n, n)?;
    with_factors(n, a, |lu, pivots| {
        let info = lu_factor(n, n, lu, pivots)?;
        if n <= UNBLOCKED || k == 0 {
            lu_solve(n, k, lu, pivots, b, Op::None)?;
            return Ok(info);
        }
        // As `lu_solve`, on the factors themselves.
        check("solve", b.len(), n, k)?;
        let (factors, b) = (View::row_major(lu, n, n), View::row_major(b, n, k));
        for (i, &p) in pivots.iter().enumerate() {
            b.swap_rows(i, p as usize - 1);
        }
        substitute(factors, b, false, true);
        substitute(factors, b, true, false);
        Ok(info)
    })
}

/// The inverse of the n x n `a`, written to `out`. Returns the info of [`lu_factor`].
pub fn inv<T: LinalgElement>(n: usize, a: &[T], out: &mut [T]) -> Result<i32> {
    check("inv", a.len(), n, n)?;
    check("inv", out.len(), n, n)?;
    if n > 2 * UNBLOCKED {
        let (mut lu, mut pivots) = (a.to_vec(), vec![0; n]);
        let info = lu_factor(n, n, &mut lu, &mut pivots)?;
        out.fill(T::ZERO);
        out.iter_mut().step_by(n + 1).for_each(|x| *x = T::ONE);
        let (factors, inverse) = (View::row_major(&mut lu, n, n), View::row_major(out, n, n));
        invert_lower(factors, inverse);
        substitute(factors, inverse, true, false);
        // The exchanges of rows are those of the inverse's columns, the last one first.
        let columns = permuted(&pivots);
        let mut copy = vec![T::ZERO; n];
        for row in out.chunks_exact_mut(n) {
            copy.copy_from_slice(row);
            for (&x, &to) in copy.iter().zip(&columns) {
                row[to] = x;
            }
        }
        return Ok(info);
    }
    if n <= 4 {
        out.fill(T::ZERO);
        out.iter_mut().step_by(n + 1).for_each(|x| *x = T::ONE);
    } else {
        out.copy_from_slice(&identity(n));
    }
    solve(n, n, a, out)
}

/// The inverse of the unit lower triangle of `factors`, into `out`, which holds the identity.
fn invert_lower<T: LinalgElement>(factors: View<'_, T>, out: View<'_, T>) {
    let n = factors.rows;
    if n <= 2 * UNBLOCKED {
        return substitute(factors, out, false, true);
    }
    let half = (n / 2).next_multiple_of(8);
    let rest = n - half;
    let (first, second) = (factors.block(0, 0, half, half), factors.block(half, half, rest, rest));
    let (top, below) = (out.block(0, 0, half, half), out.block(half, 0, rest, half));
    invert_lower(first, top);
    below.multiply(-T::ONE, factors.block(half, 0, rest, half), top, T::ZERO);
    substitute(second, below, false, true);
    invert_lower(second, out.block(half, half, rest, rest));
}

/// Where each row comes from after the exchanges of `pivots`.
fn permuted(pivots: &[i32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..pivots.len()).collect();
    for (i, &p) in pivots.iter().enumerate() {
        order.swap(i, p as usize - 1);
    }
    order
}

/// The determinant from the factors of [`lu_factor`].
pub fn lu_det<T: LinalgElement>(n: usize, lu: &[T], pivots: &[i32]) -> Result<T> {
    check("det", lu.len(), n, n)?;
    let mut product = T::ONE;
    for &x in lu.iter().step_by(n + 1) {
        product *= x;
    }
    let odd = pivots.iter().enumerate().filter(|&(i, &p)| p as usize != i + 1).count() % 2 == 1;
    Ok(if odd { -product } else { product })
}

/// Sign (a number of modulus 1, or 0) and logarithm of the absolute value of the determinant, from the factors.
pub fn lu_slogdet<T: LinalgElement>(n: usize, lu: &[T], pivots: &[i32]) -> Result<(T, T::R)> {
    check("slogdet", lu.len(), n, n)?;
    let (mut sign, mut logarithm) = (T::ONE, T::R::ZERO);
    for &x in lu.iter().step_by(n + 1) {
        let size = x.modulus();
        sign *= if size == T::R::ZERO { T::ZERO } else { x.divide(T::from_real(size)) };
        logarithm += size.ln();
    }
    let odd = pivots.iter().enumerate().filter(|&(i, &p)| p as usize != i + 1).count() % 2 == 1;
    Ok((if odd { -sign } else { sign }, logarithm))
}

/// The determinant of the n x n `a`.
pub fn det<T: LinalgElement>(n: usize, a: &[T]) -> Result<T> {
    check("det", a.len(), n, n)?;
    with_factors(n, a, |lu, pivots| {
        lu_factor(n, n, lu, pivots)?;
        lu_det(n, lu, pivots)
    })
}

/// [`lu_slogdet`] of the n x n `a`.
pub fn slogdet<T: LinalgElement>(n: usize, a: &[T]) -> Result<(T, T::R)> {
    check("slogdet", a.len(), n, n)?;
    with_factors(n, a, |lu, pivots| {
        lu_factor(n, n, lu, pivots)?;
        lu_slogdet(n, lu, pivots)
    })
}

/// The row order of the permutation matrix of `pivots`: `P @ L @ U` has row `order[i]` of `a` from row `i` of
/// `L @ U`, so `P[order[i], i] = 1`. `m` is the number of rows. Errors when a pivot is out of range.
pub fn lu_unpack(m: usize, pivots: &[i32]) -> Result<Vec<usize>> {
    let inside = pivots.iter().all(|&p| p >= 1 && p as usize <= m);
    ensure!(
        inside && pivots.len() <= m,
        "torch.lu_unpack: LU_pivots must be between 1 and LU.size(-2) inclusive.Did you properly pass the result of lu_factor?"
    );
    let mut order: Vec<usize> = (0..m).collect();
    for (i, &p) in pivots.iter().enumerate() {
        order.swap(i, p as usize - 1);
    }
    Ok(order)
}
