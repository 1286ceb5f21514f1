//! Eigenvalues.

use super::batch::{Buffer, Source, place, worked_on};
use super::spectral::gaps;
use super::{
    add, adjoint, batch_sizes, check_square, columns, conj, elements, in_dtype_of, linalg_solve, sub, turned,
    with,
};
use crate::Tensor;
use crate::autograd::{Save, needs_grad, record};
use crate::generated::functions as f;
use crate::ops::matmul::matmul;
use crate::ops::{convert, shape};
use flambeau_core::{Result, bail};
use flambeau_cpu::linalg as kernels;
use kernels::LinalgElement;
use smallvec::smallvec;

/// `torch.linalg.eigh`: eigenvalues (ascending) and eigenvectors (columns) of Hermitian matrices, of which the lower
/// (`L`) or upper (`U`) triangle is read.
#[allow(non_snake_case)]
pub fn linalg_eigh(self_: &Tensor, UPLO: &str) -> Result<(Tensor, Tensor)> {
    hermitian(self_, UPLO, true)
}

/// Eigenvalues and, where asked for, eigenvectors; otherwise nothing for these, and no history.
fn hermitian(self_: &Tensor, uplo: &str, wanted: bool) -> Result<(Tensor, Tensor)> {
    let n = check_square(self_, "linalg.eigh")?;
    let upper = match uplo {
        "L" | "l" => false,
        "U" | "u" => true,
        other => bail!("Expected UPLO argument to be 'L' or 'U', but got {other}"),
    };
    let batch = batch_sizes(self_);
    let (dtype, device) = (self_.dtype(), self_.device());
    let (values, vectors) = elements!(dtype, "linalg_eigh_cpu", T => {
        let from = Source::<T>::of(self_)?;
        let mut values =
            Buffer::<<T as LinalgElement>::R>::zeros(&with(&batch, &[n]), dtype.to_real(), device)?;
        let sizes = if wanted { self_.sizes() } else { with(&[], &[0]) };
        let mut vectors = Buffer::<T>::zeros(&sizes, dtype, device)?;
        if !values.is_meta() {
            for i in 0..worked_on(&batch, n) {
                let a = from.at(i, n * n);
                let to = wanted.then(|| vectors.at_mut(i, n * n));
                let info = kernels::eigh(n, a, upper, values.at_mut(i, n), to)?;
                if info != 0 {
                    bail!(
                        LinAlg,
                        "linalg.eigh: {}The algorithm failed to converge because the input matrix is ill-conditioned or has too many repeated eigenvalues (error code: {info}).",
                        place(&batch, i)
                    );
                }
            }
        }
        (values.tensor(), vectors.tensor())
    });
    // Vectors come in rows, and are columns with the strides that LAPACK's have.
    let vectors = if wanted { turned(&vectors) } else { vectors };
    if !wanted {
        return Ok((values, vectors));
    }
    let save = [Save::Output(0), Save::Output(1)];
    record(&[&values, &vectors], "LinalgEighBackward0", &[self_], &save, |ctx| {
        let (l, v) = (ctx.saved(0)?, ctx.saved(1)?);
        let vh = adjoint(&v)?;
        let mut inner: Option<Tensor> = None;
        if let Some(grad) = ctx.grad(1) {
            inner = Some(f::mul(&matmul(&vh, grad)?, &in_dtype_of(&gaps(&l)?, &v)?)?);
        }
        if let Some(grad) = ctx.grad(0) {
            let t = shape::diag_embed(&in_dtype_of(grad, &v)?, 0, -2, -1)?;
            inner = Some(match inner {
                Some(sum) => add(&sum, &t)?,
                None => t,
            });
        }
        Ok(smallvec![match inner {
            Some(inner) => Some(matmul(&matmul(&v, &inner)?, &vh)?),
            None => None,
        }])
    })?;
    Ok((values, vectors))
}

/// `torch.linalg.eigvalsh`: eigenvalues of Hermitian matrices, ascending.
#[allow(non_snake_case)]
pub fn linalg_eigvalsh(self_: &Tensor, UPLO: &str) -> Result<Tensor> {
    Ok(hermitian(self_, UPLO, needs_grad(&[self_]))?.0)
}

/// `torch.linalg.eig`: complex eigenvalues and eigenvectors (columns of norm 1) of square matrices.
pub fn linalg_eig(self_: &Tensor) -> Result<(Tensor, Tensor)> {
    general(self_, true)
}

/// Eigenvalues and, where asked for, eigenvectors; otherwise nothing for these, and no history.
fn general(self_: &Tensor, wanted: bool) -> Result<(Tensor, Tensor)> {
    let n = check_square(self_, "linalg.eig")?;
    let (dtype, device) = (self_.dtype(), self_.device());
    if !dtype.is_differentiable() {
        bail!("Unknown Complex ScalarType for {}", dtype.cpp_name());
    }
    let batch = batch_sizes(self_);
    let complex = dtype.to_complex();
    let (values, vectors) = elements!(dtype, "linalg_eig_out_cpu", T => {
        type C = num_complex::Complex<<T as LinalgElement>::R>;
        let from = Source::<T>::of(self_)?;
        let mut values = Buffer::<C>::zeros(&with(&batch, &[n]), complex, device)?;
        let sizes = if wanted { self_.sizes() } else { with(&[], &[0]) };
        let mut vectors = Buffer::<C>::zeros(&sizes, complex, device)?;
        if !values.is_meta() {
            for i in 0..worked_on(&batch, n) {
                let a = from.at(i, n * n);
                if !a.iter().all(|x| x.finite()) {
                    bail!("torch.linalg.eig: input tensor should not contain infs or NaNs.");
                }
                let to = wanted.then(|| vectors.at_mut(i, n * n));
                let info = kernels::eig(n, a, values.at_mut(i, n), to)?;
                if info != 0 {
                    bail!(
                        LinAlg,
                        "linalg.eig: {}The algorithm failed to converge because the input matrix is ill-conditioned or has too many repeated eigenvalues (error code: {info}).",
                        place(&batch, i)
                    );
                }
            }
        }
        (values.tensor(), vectors.tensor())
    });
    if !wanted {
        return Ok((values, vectors));
    }
    let save = [Save::Output(0), Save::Output(1)];
    record(&[&values, &vectors], "LinalgEigBackward0", &[self_], &save, move |ctx| {
        let (l, v) = (ctx.saved(0)?, ctx.saved(1)?);
        let vh = adjoint(&v)?;
        let mut inner = shape::diag_embed(&ctx.grad_or_zeros(0)?, 0, -2, -1)?;
        if let Some(grad) = ctx.grad(1) {
            let turned = matmul(&vh, grad)?;
            // Vectors have norm 1: what would change their length does not count.
            let length = convert::real(&shape::diagonal(&turned, 0, -2, -1)?)?;
            let rest = sub(&turned, &f::mul(&matmul(&vh, &v)?, &columns(&in_dtype_of(&length, &v)?)?)?)?;
            inner = add(&inner, &f::mul(&rest, &conj(&gaps(&l)?)?)?)?;
        }
        let grad = linalg_solve(&vh, &matmul(&inner, &vh)?, true)?;
        Ok(smallvec![Some(if dtype.is_complex() {
            grad
        } else {
            shape::to_dtype(&convert::real(&grad)?, dtype)?
        })])
    })?;
    Ok((values, vectors))
}

/// `torch.linalg.eigvals`: complex eigenvalues of square matrices.
pub fn linalg_eigvals(self_: &Tensor) -> Result<Tensor> {
    Ok(general(self_, needs_grad(&[self_]))?.0)
}
