//! Singular values and eigenvalues.

use super::batch::{Buffer, Source, worked_on};
use super::{
    add, adjoint, batch_sizes, check_float, check_matrix, columns, elements, eye, in_dtype_of, rows, sub,
    turned, with,
};
use crate::Tensor;
use crate::autograd::{Context, Save, record};
use crate::generated::functions as f;
use crate::ops::matmul::matmul;
use crate::ops::{convert, shape};
use flambeau_core::{Result, bail};
use flambeau_cpu::linalg as kernels;
use kernels::LinalgElement;
use smallvec::smallvec;

/// `1 / (x[j] - x[i])`, and 0 on the diagonal.
pub(super) fn gaps(x: &Tensor) -> Result<Tensor> {
    let n = x.size(-1)? as usize;
    let difference = sub(&columns(x)?, &rows(x)?)?;
    let one = eye(n, n, x.dtype(), x)?;
    sub(&f::reciprocal(&add(&difference, &one)?)?, &one)
}

fn skew(x: &Tensor) -> Result<Tensor> {
    sub(x, &adjoint(x)?)
}

/// The gradient of `A = U @ diag(s) @ Vh` with factors of k = min(m, n) columns and rows.
fn svd_backward(
    grads: (Option<Tensor>, Option<&Tensor>, Option<Tensor>),
    u: &Tensor,
    s: &Tensor,
    vh: &Tensor,
) -> Result<Tensor> {
    let (gu, gs, gvh) = grads;
    let (m, n, k) = (u.size(-2)? as usize, vh.size(-1)? as usize, s.size(-1)? as usize);
    let wide = in_dtype_of(s, u)?;
    let mut inner: Option<Tensor> = match gs {
        Some(gs) => Some(shape::diag_embed(&in_dtype_of(gs, u)?, 0, -2, -1)?),
        None => None,
    };
    let include = |inner: &mut Option<Tensor>, t: Tensor| -> Result<()> {
        *inner = Some(match inner.take() {
            Some(sum) => add(&sum, &t)?,
            None => t,
        });
        Ok(())
    };
    let mut outer: Option<Tensor> = None;
    if gu.is_some() || gvh.is_some() {
        let gaps = in_dtype_of(&gaps(&f::mul(s, s)?)?, u)?;
        if let Some(gu) = &gu {
            let turned = matmul(&adjoint(u)?, gu)?;
            let t = f::mul(&f::mul(&skew(&turned)?, &gaps)?, &columns(&wide)?)?;
            include(&mut inner, t)?;
            if u.is_complex() {
                // The common phase of a pair of vectors is free; its part of the gradient goes to U.
                let diagonal = shape::diagonal(&turned, 0, -2, -1)?;
                let phase = convert::imag(&diagonal)?;
                let ratio = f::div(&phase, s)?;
                let zero = f::mul_scalar(&ratio, 0i64.into())?;
                include(
                    &mut inner,
                    shape::diag_embed(&crate::ops::composite::complex(&zero, &ratio)?, 0, -2, -1)?,
                )?;
            }
            if m > k {
                let rest = sub(gu, &matmul(u, &turned)?)?;
                include(&mut outer, matmul(&f::div(&rest, &columns(&wide)?)?, vh)?)?;
            }
        }
        if let Some(gvh) = &gvh {
            let turned = matmul(vh, &adjoint(gvh)?)?;
            let t = f::mul(&rows(&wide)?, &f::mul(&skew(&turned)?, &gaps)?)?;
            include(&mut inner, t)?;
            if n > k {
                let rest = sub(gvh, &matmul(&adjoint(&turned)?, vh)?)?;
                include(&mut outer, matmul(u, &f::div(&rest, &rows(&wide)?)?)?)?;
            }
        }
    }
    if let Some(inner) = inner {
        include(&mut outer, matmul(&matmul(u, &inner)?, vh)?)?;
    }
    match outer {
        Some(out) => Ok(out),
        None => bail!("svd_backward: no gradient"),
    }
}

fn svd_grad(ctx: &Context) -> Result<Tensor> {
    let (u, s, vh) = (ctx.saved(0)?, ctx.saved(1)?, ctx.saved(2)?);
    let k = s.size(-1)?;
    // Further columns of U and rows of Vh of a full decomposition are not determined by the matrix.
    let narrow = |t: Option<&Tensor>, dim: i64| -> Result<Option<Tensor>> {
        t.map(|t| shape::narrow(t, dim, 0, k)).transpose()
    };
    svd_backward(
        (narrow(ctx.grad(0), -1)?, ctx.grad(1), narrow(ctx.grad(2), -2)?),
        &shape::narrow(&u, -1, 0, k)?,
        &s,
        &shape::narrow(&vh, -2, 0, k)?,
    )
}

fn check_driver(driver: Option<&str>) -> Result<()> {
    if driver.is_some() {
        bail!(
            "torch.linalg.svd: keyword argument `driver=` is only supported on CUDA inputs with cuSOLVER backend."
        );
    }
    Ok(())
}

fn check_convergence(info: i32, batch: &[i64], at: usize, finite: bool) -> Result<()> {
    if info == 0 {
        return Ok(());
    }
    let place = super::batch::place(batch, at);
    if !finite {
        bail!(
            LinAlg,
            "linalg.svd: {place}The algorithm failed to converge because the input matrix contained non-finite values."
        );
    }
    bail!(
        LinAlg,
        "linalg.svd: {place}The algorithm failed to converge because the input matrix is ill-conditioned or has too many repeated singular values (error code: {info})."
    )
}

/// `torch.linalg.svd`: `U` `(*, m, k)`, `S` `(*, min(m, n))` in descending order and `Vh` `(*, k, n)` with
/// `A = U @ diag(S) @ Vh`; all columns of `U` and rows of `Vh` when `full_matrices`.
#[allow(non_snake_case)]
pub fn linalg_svd(A: &Tensor, full_matrices: bool, driver: Option<&str>) -> Result<(Tensor, Tensor, Tensor)> {
    let name = "linalg.svd";
    check_float(A, name, false)?;
    let (m, n) = check_matrix(A, name, "A")?;
    check_driver(driver)?;
    let batch = batch_sizes(A);
    let (size, dtype, device) = (m.min(n), A.dtype(), A.device());
    let (left, right) = if full_matrices { (m, n) } else { (size, size) };
    let (u, s, vh) = elements!(dtype, "linalg_svd_cpu", T => {
        let from = Source::<T>::of(A)?;
        let mut u = Buffer::<T>::zeros(&with(&batch, &[left, m]), dtype, device)?;
        let mut s = Buffer::<<T as LinalgElement>::R>::zeros(&with(&batch, &[size]), dtype.to_real(), device)?;
        let mut vh = Buffer::<T>::zeros(&with(&batch, &[right, n]), dtype, device)?;
        if !u.is_meta() {
            for i in 0..worked_on(&batch, m * left + size + right * n) {
                let a = from.at(i, m * n);
                let vectors = Some((u.at_mut(i, m * left), vh.at_mut(i, right * n)));
                let info = kernels::svd(m, n, a, full_matrices, s.at_mut(i, size), vectors)?;
                check_convergence(info, &batch, i, a.iter().all(|x| x.finite()))?;
            }
        }
        // The columns of U come one after the other, as LAPACK has them.
        (turned(&u.tensor()), s.tensor(), vh.tensor())
    });
    let save = [Save::Output(0), Save::Output(1), Save::Output(2)];
    record(&[&u, &s, &vh], "LinalgSvdBackward0", &[A], &save, |ctx| Ok(smallvec![Some(svd_grad(ctx)?)]))?;
    Ok((u, s, vh))
}

/// `torch.linalg.svdvals`: singular values in descending order.
#[allow(non_snake_case)]
pub fn linalg_svdvals(A: &Tensor, driver: Option<&str>) -> Result<Tensor> {
    if crate::autograd::needs_grad(&[A]) {
        return Ok(linalg_svd(A, false, driver)?.1);
    }
    let name = "linalg.svd";
    check_float(A, name, false)?;
    let (m, n) = check_matrix(A, name, "A")?;
    check_driver(driver)?;
    let batch = batch_sizes(A);
    let (size, dtype) = (m.min(n), A.dtype());
    Ok(elements!(dtype, "linalg_svd_cpu", T => {
        let from = Source::<T>::of(A)?;
        let sizes = with(&batch, &[size]);
        let mut s = Buffer::<<T as LinalgElement>::R>::zeros(&sizes, dtype.to_real(), A.device())?;
        if !s.is_meta() {
            for i in 0..worked_on(&batch, size) {
                let a = from.at(i, m * n);
                let info = kernels::svd(m, n, a, false, s.at_mut(i, size), None)?;
                check_convergence(info, &batch, i, a.iter().all(|x| x.finite()))?;
            }
        }
        s.tensor()
    }))
}

/// `torch.svd`: `U`, `S`, `V` with `A = U @ diag(S) @ V.mH`; zeros for the vectors unless `compute_uv`.
pub fn svd(self_: &Tensor, some: bool, compute_uv: bool) -> Result<(Tensor, Tensor, Tensor)> {
    if compute_uv {
        let (u, s, vh) = linalg_svd(self_, !some, None)?;
        return Ok((u, s, adjoint(&vh)?));
    }
    let s = linalg_svdvals(self_, None)?;
    let (m, n) = check_matrix(self_, "linalg.svd", "A")?;
    let batch = batch_sizes(self_);
    let zeros = |k: usize| Tensor::zeros_raw(&with(&batch, &[k, k]), self_.dtype(), self_.device());
    Ok((zeros(m)?, s, zeros(n)?))
}
