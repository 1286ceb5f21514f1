//! Cholesky factors of Hermitian positive-definite matrices.

use super::kernels;
use super::{LinalgElement, Op, View, check, identity, transpose, triangular};
use flambeau_core::Result;
use std::ops::Range;

const BLOCK: usize = 64;

/// Cholesky factor of the n x n Hermitian `a`, in place: `a = L @ L.H`, or `a = U.H @ U` when `upper`.
///
/// Only that triangle is read; the other one is zeroed. Returns LAPACK's info: the order of the first leading minor
/// that is not positive-definite, 0 on success.
pub fn cholesky<T: LinalgElement>(n: usize, a: &mut [T], upper: bool) -> Result<i32> {
    check("cholesky", a.len(), n, n)?;
    if upper {
        let mut lower = transpose(n, n, a, |x| x.conj());
        let info = factor(n, &mut lower);
        a.copy_from_slice(&transpose(n, n, &lower, |x| x.conj()));
        Ok(info)
    } else {
        Ok(factor(n, a))
    }
}

/// Left-looking by blocks of columns, and by panels within a block, so that most of the work is matrix products.
fn factor<T: LinalgElement>(n: usize, a: &mut [T]) -> i32 {
    for i in 0..n {
        a[i * n + i + 1..(i + 1) * n].fill(T::ZERO);
    }
    let mut conjugated = Vec::new();
    for block in (0..n).step_by(BLOCK) {
        let end = (block + BLOCK).min(n);
        subtract(n, a, 0..block, block..end, &mut conjugated);
        for start in (block..end).step_by(kernels::PANEL) {
            let stop = (start + kernels::PANEL).min(end);
            subtract(n, a, block..start, start..stop, &mut conjugated);
            // SAFETY: the kernel indexes checked slices.
            let info = unsafe { kernels::cholesky_panel(n, start, stop - start, a) };
            if info != 0 {
                return info;
            }
        }
    }
    0
}

/// Subtracts from columns `to`, from their diagonal on, the product of the factored columns `from` and the adjoint of
/// their rows `to`.
fn subtract<T: LinalgElement>(
    n: usize,
    a: &mut [T],
    from: Range<usize>,
    to: Range<usize>,
    conjugated: &mut Vec<T>,
) {
    if from.is_empty() {
        return;
    }
    conjugated.clear();
    for i in to.clone() {
        conjugated.extend(a[i * n + from.start..i * n + from.end].iter().map(|x| x.conj()));
    }
    let right = View::row_major(conjugated, to.len(), from.len()).transposed();
    let all = View::row_major(a, n, n);
    let below = all.block(to.start, from.start, n - to.start, from.len());
    all.block(to.start, to.start, n - to.start, to.len()).multiply(-T::ONE, below, right, T::ONE);
    // The product also touched the strict upper triangle of the diagonal block.
    for i in to.clone() {
        a[i * n + i + 1..i * n + to.end].fill(T::ZERO);
    }
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
