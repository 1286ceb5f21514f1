//! Cholesky factors of Hermitian positive-definite matrices.

use super::kernels::dotc;
use super::{LinalgElement, Op, View, check, identity, transpose, triangular};
use crate::gemm::GemmElement;
use flambeau_core::Result;
use num_traits::Float;

const BLOCK: usize = 48;

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

/// Left-looking by blocks of columns, so that most of the work is one product for each block.
fn factor<T: LinalgElement>(n: usize, a: &mut [T]) -> i32 {
    for i in 0..n {
        a[i * n + i + 1..(i + 1) * n].fill(T::ZERO);
    }
    let mut conjugated = Vec::new();
    for start in (0..n).step_by(BLOCK) {
        let width = BLOCK.min(n - start);
        if start > 0 {
            // The rows of this block, which the update multiplies by from the right.
            conjugated.clear();
            for i in start..start + width {
                conjugated.extend(a[i * n..i * n + start].iter().map(|x| x.conj()));
            }
            let right = View::row_major(&mut conjugated, width, start).transposed();
            let all = View::row_major(a, n, n);
            let below = all.block(start, 0, n - start, start);
            all.block(start, start, n - start, width).multiply(-T::ONE, below, right, T::ONE);
            // The product also touched the strict upper triangle of the diagonal block.
            for i in start..start + width {
                a[i * n + i + 1..i * n + start + width].fill(T::ZERO);
            }
        }
        for i in start..n {
            let (above, row) = a.split_at_mut(i * n);
            for j in start..i.min(start + width) {
                let earlier = &above[j * n + start..j * n + j];
                let sum = dotc(earlier, &row[start..j]);
                row[j] = (row[j] - sum).divide(above[j * n + j]);
            }
            if i < start + width {
                let square = dotc(&row[start..i], &row[start..i]).re();
                let pivot = row[i].re() - square;
                if pivot.is_nan() || pivot <= T::R::ZERO {
                    return i as i32 + 1;
                }
                row[i] = T::from_real(pivot.sqrt());
            }
        }
    }
    0
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
