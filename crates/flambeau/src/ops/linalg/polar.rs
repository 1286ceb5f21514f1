//! Functions of Hermitian matrices: the polar decomposition and the square root.

use super::{
    add, adjoint, check_float, check_matrix, check_square, columns, in_dtype_of, linalg_eigh, linalg_solve,
    linalg_svd, rows, sub,
};
use crate::Tensor;
use crate::autograd::{GradMode, Save, record};
use crate::generated::functions as f;
use crate::ops::matmul::matmul;
use flambeau_core::{Result, bail};
use smallvec::smallvec;

/// The `Y` with `H @ Y + Y @ H = K` for Hermitian `H` without opposite eigenvalues. It is its own adjoint in `K`,
/// so its gradients are solutions of the same equation.
fn sylvester(h: &Tensor, k: &Tensor) -> Result<Tensor> {
    let out = {
        let _guard = GradMode::no_grad();
        let (l, v) = linalg_eigh(&h.alias(), "L")?;
        let vh = adjoint(&v)?;
        let turned = matmul(&matmul(&vh, &k.alias())?, &v)?;
        let sums = in_dtype_of(&add(&rows(&l)?, &columns(&l)?)?, &v)?;
        Tensor::from_array(matmul(&matmul(&v, &f::div(&turned, &sums)?)?, &vh)?.array())
    };
    record(&[&out], "SylvesterBackward0", &[h, k], &[Save::Input(h), Save::Output(0)], |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None, None]) };
        let (h, y) = (ctx.saved(0)?, ctx.saved(1)?);
        let z = sylvester(&h, grad)?;
        let grad_h = match ctx.needs(0) {
            true => {
                let yh = adjoint(&y)?;
                Some(f::neg(&add(&matmul(&yh, &z)?, &matmul(&z, &yh)?)?)?)
            }
            false => None,
        };
        Ok(smallvec![grad_h, ctx.needs(1).then_some(z)])
    })?;
    Ok(out)
}

/// The Hermitian part.
fn even(t: &Tensor) -> Result<Tensor> {
    f::mul_scalar(&add(t, &adjoint(t)?)?, 0.5.into())
}

/// `torch.linalg.polar`: `A = U @ H` with orthonormal columns of `U` `(*, m, n)` and positive semidefinite `H`, for
/// `m >= n`.
#[allow(non_snake_case)]
pub fn linalg_polar(A: &Tensor) -> Result<(Tensor, Tensor)> {
    let name = "linalg.polar";
    let (m, n) = check_matrix(A, name, "A")?;
    check_float(A, name, false)?;
    if m < n {
        bail!("{name}: input must have at least as many rows as columns, but got {m} by {n} matrices");
    }
    let (u, h) = {
        let _guard = GradMode::no_grad();
        let (w, s, vh) = linalg_svd(&A.alias(), false, None)?;
        let v = adjoint(&vh)?;
        let h = matmul(&f::mul(&v, &columns(&in_dtype_of(&s, A)?)?)?, &vh)?;
        (Tensor::from_array(matmul(&w, &vh)?.array()), Tensor::from_array(h.array()))
    };
    let save = [Save::Output(0), Save::Output(1)];
    record(&[&u, &h], "LinalgPolarBackward0", &[A], &save, |ctx| {
        let (u, h) = (ctx.saved(0)?, ctx.saved(1)?);
        let (gu, gh) = (ctx.grad_or_zeros(0)?, ctx.grad_or_zeros(1)?);
        let turned = matmul(&adjoint(&u)?, &gu)?;
        let y = sylvester(&h, &sub(&turned, &matmul(&gh, &h)?)?)?;
        let inner = add(&sub(&y, &adjoint(&y)?)?, &gh)?;
        let outside = linalg_solve(&h, &sub(&gu, &matmul(&u, &turned)?)?, false)?;
        Ok(smallvec![Some(add(&matmul(&u, &inner)?, &outside)?)])
    })?;
    Ok((u, h))
}

/// `torch.linalg.matrix_sqrth`: the positive definite square roots of positive definite matrices, of which the lower
/// triangles are read. Negative eigenvalues count as zero.
#[allow(non_snake_case)]
pub fn linalg_matrix_sqrth(A: &Tensor) -> Result<Tensor> {
    let name = "linalg.matrix_sqrth";
    check_square(A, name)?;
    check_float(A, name, false)?;
    let out = {
        let _guard = GradMode::no_grad();
        let (l, v) = linalg_eigh(&A.alias(), "L")?;
        let root = in_dtype_of(&f::sqrt(&f::clamp_min(&l, 0i64.into())?)?, &v)?;
        Tensor::from_array(matmul(&f::mul(&v, &columns(&root)?)?, &adjoint(&v)?)?.array())
    };
    record(&[&out], "LinalgMatrixSqrthBackward0", &[A], &[Save::Output(0)], |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        Ok(smallvec![Some(sylvester(&ctx.saved(0)?, &even(grad)?)?)])
    })?;
    Ok(out)
}
