//! Dense linear algebra on contiguous row-major matrices.
//!
//! One matrix a call; the caller loops over batches. Functions return LAPACK's `info` where the numbers decide
//! (0 is success), and an error only for operands of wrong size. Factorizations, solves and QR are blocked
//! algorithms over the crate's `gemm`; symmetric matrices become tridiagonal, and others bidiagonal, by faer, and are
//! then divided; eigenvalues of general matrices come from faer.

mod basis;
mod cholesky;
mod element;
mod exp;
mod kernels;
mod ldl;
mod lstsq;
mod lu;
mod qr;
mod secular;
mod singular;
mod spectral;
mod symmetric;
mod triangular;
mod view;

pub use cholesky::{cholesky, cholesky_inverse, cholesky_solve};
pub use element::LinalgElement;
pub use exp::matrix_exp;
pub use ldl::{ldl_factor, ldl_solve};
pub use lstsq::{Driver, LeastSquares, lstsq};
pub use lu::{det, inv, lu_det, lu_factor, lu_slogdet, lu_solve, lu_unpack, slogdet, solve};
pub use qr::{QrMode, geqrf, householder_product, ormqr, qr};
pub use singular::svd;
pub use spectral::eig;
pub use symmetric::eigh;
pub use triangular::{solve_triangular, solve_triangular_right};

use flambeau_core::{Result, ensure};
use view::View;

/// What is done to a matrix before it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    None,
    Transpose,
    /// Conjugate transpose.
    Adjoint,
}

/// Checks that a buffer holds exactly a `rows` x `cols` matrix.
fn check(name: &str, len: usize, rows: usize, cols: usize) -> Result<()> {
    ensure!(
        rows.checked_mul(cols) == Some(len),
        "{name}: expected a buffer of {rows} x {cols} elements, got {len}"
    );
    ensure!(rows < i32::MAX as usize && cols < i32::MAX as usize, "{name}: the matrix is too large");
    Ok(())
}

/// The n x n identity matrix.
fn identity<T: LinalgElement>(n: usize) -> Vec<T> {
    let mut eye = vec![T::ZERO; n * n];
    eye.iter_mut().step_by(n + 1).for_each(|x| *x = T::ONE);
    eye
}

/// The transpose of a row-major matrix, elementwise through `map`.
fn transpose<T: LinalgElement>(rows: usize, cols: usize, a: &[T], map: impl Fn(T) -> T) -> Vec<T> {
    let mut out = vec![T::ZERO; a.len()];
    const TILE: usize = 16;
    for i0 in (0..rows).step_by(TILE) {
        for j0 in (0..cols).step_by(TILE) {
            for i in i0..rows.min(i0 + TILE) {
                for j in j0..cols.min(j0 + TILE) {
                    out[j * rows + i] = map(a[i * cols + j]);
                }
            }
        }
    }
    out
}

#[cfg(test)]
mod tests;
