//! Triangular systems.

use super::kernels::SUBSTITUTED;
use super::{LinalgElement, Op, View, check};
use flambeau_core::Result;

/// Solves `triangle @ x = b` in place; `b` must have contiguous rows. Systems too large for the kernel are halved
/// around a matrix product.
pub(super) fn substitute<T: LinalgElement>(triangle: View<'_, T>, b: View<'_, T>, upper: bool, unit: bool) {
    let n = b.rows;
    if n <= SUBSTITUTED {
        return b.substitute(triangle, upper, unit);
    }
    let half = (n / 2).next_multiple_of(8).min(n - 1);
    let (top, bottom) = (b.block(0, 0, half, b.cols), b.block(half, 0, n - half, b.cols));
    let first = triangle.block(0, 0, half, half);
    let second = triangle.block(half, half, n - half, n - half);
    if upper {
        substitute(second, bottom, upper, unit);
        top.multiply(-T::ONE, triangle.block(0, half, half, n - half), bottom, T::ONE);
        substitute(first, top, upper, unit);
    } else {
        substitute(first, top, upper, unit);
        bottom.multiply(-T::ONE, triangle.block(half, 0, n - half, half), top, T::ONE);
        substitute(second, bottom, upper, unit);
    }
}

/// Solves `op(a) @ x = b` in place for a triangle of the row-major n x n `a`; `b` must have contiguous rows.
pub(super) fn solve<T: LinalgElement>(a: &[T], n: usize, b: View<'_, T>, upper: bool, unit: bool, op: Op) {
    // The kernels take mutable views; a triangle that is only read is copied once, conjugated where asked.
    let mut copy: Vec<T>;
    let mut small = [T::ZERO; 64];
    let copy: &mut [T] = if n <= 8 {
        small[..n * n].copy_from_slice(a);
        &mut small[..n * n]
    } else {
        copy = a.to_vec();
        &mut copy
    };
    if op == Op::Adjoint && T::COMPLEX {
        copy.iter_mut().for_each(|x| *x = x.conj());
    }
    let view = View::row_major(copy, n, n);
    if op == Op::None {
        substitute(view, b, upper, unit);
    } else {
        substitute(view.transposed(), b, !upper, unit);
    }
}

/// Solves `op(a) @ x = b` in place for n x k `b`.
///
/// Only the upper (or lower) triangle of the n x n `a` is read, and not its diagonal when `unit`. A zero on the
/// diagonal gives infinities and NaN.
pub fn solve_triangular<T: LinalgElement>(
    n: usize,
    k: usize,
    a: &[T],
    upper: bool,
    unit: bool,
    op: Op,
    b: &mut [T],
) -> Result<()> {
    check("solve_triangular", a.len(), n, n)?;
    check("solve_triangular", b.len(), n, k)?;
    solve(a, n, View::row_major(b, n, k), upper, unit, op);
    Ok(())
}

/// Solves `x @ op(a) = b` in place for m x n `b`; as [`solve_triangular`].
pub fn solve_triangular_right<T: LinalgElement>(
    m: usize,
    n: usize,
    a: &[T],
    upper: bool,
    unit: bool,
    op: Op,
    b: &mut [T],
) -> Result<()> {
    check("solve_triangular", a.len(), n, n)?;
    check("solve_triangular", b.len(), m, n)?;
    // x @ op(a) = b means op(a).T @ x.T = b.T.
    let mut transposed = super::transpose(m, n, b, |x| x);
    let view = View::row_major(&mut transposed, n, m);
    match op {
        Op::None => solve(a, n, view, upper, unit, Op::Transpose),
        Op::Transpose => solve(a, n, view, upper, unit, Op::None),
        Op::Adjoint => {
            let conjugated: Vec<T> = a.iter().map(|x| x.conj()).collect();
            solve(&conjugated, n, view, upper, unit, Op::None);
        }
    }
    b.copy_from_slice(&super::transpose(n, m, &transposed, |x| x));
    Ok(())
}
