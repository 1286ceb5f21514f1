//! Cholesky factors of Hermitian positive-definite matrices.

use super::kernels;
use super::{LinalgElement, Op, View, check, identity, transpose, triangular};
use flambeau_core::Result;

/// Rows that are factored together, and rows of the rest that their products are subtracted from at once.
const BLOCK: usize = 64;

/// Cholesky factor of the n x n Hermitian `a`, in place: `a = L @ L.H`, or `a = U.H @ U` when `upper`.
///
/// Only that triangle is read; the other one is zeroed. Returns LAPACK's info: the order of the first leading minor
/// that is not positive-definite, 0 on success.
pub fn cholesky<T: LinalgElement>(n: usize, a: &mut [T], upper: bool) -> Result<i32> {
    check("cholesky", a.len(), n, n)?;
    if upper {
        return Ok(factor(n, a));
    }
    let mut turned = transpose(n, n, a, |x| x.conj());
    let info = factor(n, &mut turned);
    a.copy_from_slice(&transpose(n, n, &turned, |x| x.conj()));
    Ok(info)
}

/// The upper factor by blocks of rows, whose products are then subtracted from the rows below: most of the work is matrix
/// products.
fn factor<T: LinalgElement>(n: usize, a: &mut [T]) -> i32 {
    let mut conjugated = Vec::new();
    let mut info = 0;
    for start in (0..n).step_by(BLOCK) {
        let end = (start + BLOCK).min(n);
        // SAFETY: a holds n rows of n elements.
        info = unsafe { kernels::cholesky_rows(n, start, end, a) };
        if info != 0 {
            break;
        }
        if end < n {
            conjugated.clear();
            for k in start..end {
                conjugated.extend(a[k * n + end..(k + 1) * n].iter().map(|x| x.conj()));
            }
            let left = View::row_major(&mut conjugated, end - start, n - end);
            let all = View::row_major(a, n, n);
            for i in (end..n).step_by(BLOCK) {
                let rows = BLOCK.min(n - i);
                let left = left.block(0, i - end, end - start, rows).transposed();
                let right = all.block(start, i, end - start, n - i);
                all.block(i, i, rows, n - i).multiply(-T::ONE, left, right, T::ONE);
            }
        }
    }
    for i in 0..n {
        a[i * n..i * n + i].fill(T::ZERO);
    }
    info
}

/// Solves `A @ X = B` for n x k `b`, in place, from the factor of [`cholesky`].
pub fn cholesky_solve<T: LinalgElement>(
    n: usize,
    k: usize,
    factor: &[T],
    upper: bool,
    b: &mut [T],
) -> Result<()> {
    check("cholesky_solve", factor.len(), n, n)?;
    check("cholesky_solve", b.len(), n, k)?;
    let b = View::row_major(b, n, k);
    if upper {
        triangular::solve(factor, n, b, true, false, Op::Adjoint);
        triangular::solve(factor, n, b, true, false, Op::None);
    } else {
        triangular::solve(factor, n, b, false, false, Op::None);
        triangular::solve(factor, n, b, false, false, Op::Adjoint);
    }
    Ok(())
}

/// The inverse of `A`, written to `out`, from the factor of [`cholesky`].
pub fn cholesky_inverse<T: LinalgElement>(n: usize, factor: &[T], upper: bool, out: &mut [T]) -> Result<()> {
    check("cholesky_inverse", out.len(), n, n)?;
    out.copy_from_slice(&identity(n));
    cholesky_solve(n, n, factor, upper, out)
}
