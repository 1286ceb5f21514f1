//! Linear algebra on batches of matrices: checks, loops over the kernels, and gradients by matrix formulas
//! (Giles, "An extended collection of matrix derivative results", 2008; Walter and Lehmann, "Algorithmic
//! differentiation of linear algebra functions", 2010).

pub(crate) mod batch;
mod cholesky;
mod det;
mod eigen;
mod factors;
mod ldl;
mod lstsq;
mod lu;
mod norms;
mod polar;
mod pseudo;
mod solve;
mod spectral;
mod tensors;
mod triangular;

pub use cholesky::{cholesky_inverse, cholesky_removed, cholesky_solve, linalg_cholesky, linalg_cholesky_ex};
pub use det::{det, linalg_det, linalg_slogdet, logdet, slogdet};
pub use eigen::{linalg_eig, linalg_eigh, linalg_eigvals, linalg_eigvalsh};
pub use factors::{
    geqrf, linalg_householder_product, linalg_matrix_exp, linalg_matrix_power, linalg_qr, matrix_exp,
    matrix_power, orgqr, ormqr, qr,
};
pub use ldl::{linalg_ldl_factor, linalg_ldl_factor_ex, linalg_ldl_solve};
pub use lstsq::linalg_lstsq;
pub use lu::{
    _lu_with_info, linalg_lu, linalg_lu_factor, linalg_lu_factor_ex, linalg_lu_solve, lu_solve, lu_unpack,
};
pub use norms::{
    frobenius_norm_dim, linalg_matrix_norm, linalg_matrix_norm_str, linalg_norm, linalg_norm_str,
    norm_except_dim, nuclear_norm, nuclear_norm_dim,
};
pub use polar::{linalg_matrix_sqrth, linalg_polar};
pub use pseudo::{
    cross, linalg_cond, linalg_cond_str, linalg_cross, linalg_matrix_rank, linalg_matrix_rank_tensors,
    linalg_matrix_rank_tol, linalg_matrix_rank_tol_tensor, linalg_pinv, linalg_pinv_rcond,
    linalg_pinv_rcond_tensor, linalg_pinv_tensors, pinverse,
};
pub use solve::{inverse, linalg_inv, linalg_inv_ex, linalg_solve, linalg_solve_ex};
pub use spectral::{linalg_svd, linalg_svdvals, svd};
pub use tensors::{linalg_tensorinv, linalg_tensorsolve, linalg_vander};
pub use triangular::{linalg_solve_triangular, triangular_solve};

use crate::Tensor;
use crate::generated::functions as f;
use crate::ops::{creation, shape};
use flambeau_core::{DType, Dims, Result, bail};
use smallvec::smallvec;

/// Runs the body with `$T` as the element type of the four dtypes that have linear algebra.
macro_rules! elements {
    ($dtype:expr, $kernel:expr, $T:ident => $body:expr) => {
        flambeau_core::dispatch!(linear $dtype, $T => $body, else flambeau_core::bail!(
            NotImplemented,
            "\"{}\" not implemented for '{}'",
            $kernel,
            $dtype.cpp_name()
        ))
    };
}
use elements;

/// Fails unless the dtype is floating point or complex; half precision only passes where `low`.
fn check_float(t: &Tensor, name: &str, low: bool) -> Result<()> {
    let dtype = t.dtype();
    if !dtype.is_differentiable() {
        bail!(
            NotImplemented,
            "{name}: Expected a floating point or complex tensor as input. Got {}",
            dtype.cpp_name()
        );
    }
    if !low && matches!(dtype, DType::Float16 | DType::BFloat16) {
        bail!(NotImplemented, "{name}: Low precision dtypes not supported. Got {}", dtype.cpp_name());
    }
    Ok(())
}

/// Rows and columns of the matrices.
fn check_matrix(t: &Tensor, name: &str, argument: &str) -> Result<(usize, usize)> {
    let sizes = t.sizes();
    let [.., m, n] = sizes[..] else {
        bail!("{name}: The input tensor {argument} must have at least 2 dimensions.");
    };
    Ok((m as usize, n as usize))
}

/// Rows of the matrices, which must be square.
fn check_square(t: &Tensor, name: &str) -> Result<usize> {
    let (m, n) = check_matrix(t, name, "A")?;
    if m != n {
        bail!("{name}: A must be batches of square matrices, but they are {m} by {n} matrices");
    }
    Ok(n)
}

/// The sizes before the last two.
fn batch_sizes(t: &Tensor) -> Dims {
    let sizes = t.sizes();
    Dims::from_slice(&sizes[..sizes.len().max(2) - 2])
}

/// Batch sizes followed by others.
fn with(batch: &[i64], rest: &[usize]) -> Dims {
    batch.iter().copied().chain(rest.iter().map(|&n| n as i64)).collect()
}

/// The conjugate; differentiable.
fn conj(t: &Tensor) -> Result<Tensor> {
    if t.is_complex() { f::conj_physical(t) } else { Ok(t.clone()) }
}

/// The transpose of each matrix; differentiable.
fn transpose(t: &Tensor) -> Result<Tensor> {
    shape::transpose(t, -2, -1)
}

/// The conjugate transpose of each matrix; differentiable.
fn adjoint(t: &Tensor) -> Result<Tensor> {
    conj(&transpose(t)?)
}

/// A real tensor in the dtype of another.
fn in_dtype_of(t: &Tensor, like: &Tensor) -> Result<Tensor> {
    shape::to_dtype(t, like.dtype())
}

fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    f::add(a, b, 1i64.into())
}

fn sub(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    f::sub(a, b, 1i64.into())
}

/// The n x m matrix with ones on the diagonal.
fn eye(n: usize, m: usize, dtype: DType, like: &Tensor) -> Result<Tensor> {
    let out = Tensor::zeros_raw(&[n as i64, m as i64], dtype, like.device())?;
    let mut diagonal = out.array();
    diagonal.strides = smallvec![m as i64 + 1];
    diagonal.sizes = smallvec![n.min(m) as i64];
    creation::fill_data(&Tensor::from_array(diagonal), 1i64.into())?;
    Ok(out)
}

/// A fresh matrix with its last dimensions exchanged, without history.
fn turned(t: &Tensor) -> Tensor {
    let mut a = t.array();
    let n = a.dim();
    a.sizes.swap(n - 2, n - 1);
    a.strides.swap(n - 2, n - 1);
    Tensor::from_array(a)
}

/// A vector's elements as factors of the columns of matrices.
fn columns(vector: &Tensor) -> Result<Tensor> {
    shape::unsqueeze(vector, -2)
}

/// A vector's elements as factors of the rows of matrices.
fn rows(vector: &Tensor) -> Result<Tensor> {
    shape::unsqueeze(vector, -1)
}
