//! Determinants.

use super::batch::{Buffer, Source, count};
use super::{
    adjoint, batch_sizes, check_float, check_square, columns, conj, elements, eye, in_dtype_of, rows,
};
use super::{linalg_inv_ex, spectral};
use crate::Tensor;
use crate::autograd::{Save, record};
use crate::generated::functions as f;
use crate::ops::matmul::matmul;
use crate::ops::{any_zero, convert, reduce};
use flambeau_core::{DType, Result, bail};
use flambeau_cpu::linalg as kernels;
use smallvec::smallvec;

fn check_lu(a: &Tensor, name: &str) -> Result<usize> {
    check_float(a, name, true)?;
    let n = check_square(a, name)?;
    if matches!(a.dtype(), DType::Float16 | DType::BFloat16) {
        bail!(NotImplemented, "\"lu_cpu\" not implemented for '{}'", a.dtype().cpp_name());
    }
    Ok(n)
}

/// The conjugated cofactors of each matrix, from its singular values: also right where the matrix is singular.
fn cofactors(a: &Tensor) -> Result<Tensor> {
    let n = check_square(a, "linalg.det")?;
    let (u, s, vh) = spectral::linalg_svd(a, false, None)?;
    let others = columns(&s)?;
    let mask = eye(n, n, DType::Bool, a)?;
    let others = f::where_scalar_self(&mask, 1.0.into(), &others)?;
    let others = in_dtype_of(&reduce::prod_dim_int(&others, -1, false, None)?, a)?;
    let turn = f::mul(&linalg_det(&u)?, &linalg_det(&vh)?)?;
    let core = matmul(&f::mul(&u, &columns(&others)?)?, &vh)?;
    f::mul(&core, &rows(&rows(&conj(&turn)?)?)?)
}

/// `torch.linalg.det`: the determinants of square matrices `(*, n, n)`.
#[allow(non_snake_case)]
pub fn linalg_det(A: &Tensor) -> Result<Tensor> {
    let n = check_lu(A, "linalg.det")?;
    let batch = batch_sizes(A);
    let out = elements!(A.dtype(), "lu_cpu", T => {
        let from = Source::<T>::of(A)?;
        let mut to = Buffer::<T>::zeros(&batch, A.dtype(), A.device())?;
        if !to.is_meta() {
            for i in 0..count(&batch) {
                to.slice_mut()[i] = kernels::det(n, from.at(i, n * n))?;
            }
        }
        to.tensor()
    });
    record(&[&out], "LinalgDetBackward0", &[A], &[Save::Input(A), Save::Output(0)], |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        let (a, det) = (ctx.saved(0)?, ctx.saved(1)?);
        let nonzero = f::ne_scalar(&det.alias(), 0i64.into())?;
        if any_zero(&nonzero.array())? {
            return Ok(smallvec![Some(f::mul(&rows(&rows(grad)?)?, &cofactors(&a)?)?)]);
        }
        let factor = f::mul(grad, &conj(&det)?)?;
        let inverse = adjoint(&linalg_inv_ex(&a, false)?.0)?;
        Ok(smallvec![Some(f::mul(&rows(&rows(&factor)?)?, &inverse)?)])
    })?;
    Ok(out)
}

/// `torch.det`: as [`linalg_det`].
pub fn det(self_: &Tensor) -> Result<Tensor> {
    linalg_det(self_)
}

fn slogdet_named(a: &Tensor, name: &str) -> Result<(Tensor, Tensor)> {
    let n = check_lu(a, name)?;
    let batch = batch_sizes(a);
    let (sign, logarithm) = elements!(a.dtype(), "lu_cpu", T => {
        let from = Source::<T>::of(a)?;
        let mut sign = Buffer::<T>::zeros(&batch, a.dtype(), a.device())?;
        let mut logarithm =
            Buffer::<<T as kernels::LinalgElement>::R>::zeros(&batch, a.dtype().to_real(), a.device())?;
        if !sign.is_meta() {
            for i in 0..count(&batch) {
                let (s, l) = kernels::slogdet(n, from.at(i, n * n))?;
                (sign.slice_mut()[i], logarithm.slice_mut()[i]) = (s, l);
            }
        }
        (sign.tensor(), logarithm.tensor())
    });
    let save = [Save::Input(a), Save::Output(0)];
    record(&[&sign, &logarithm], "LinalgSlogdetBackward0", &[a], &save, |ctx| {
        let (a, sign) = (ctx.saved(0)?, ctx.saved(1)?);
        let mut weight = ctx.grad_or_zeros(1)?;
        if a.is_complex() {
            // The phase turns with the imaginary part of the logarithm of the determinant.
            let turn = f::mul(&conj(&ctx.grad_or_zeros(0)?)?, &sign)?;
            weight = crate::ops::composite::complex(&weight, &f::neg(&convert::imag(&turn)?)?)?;
        }
        let inverse = adjoint(&linalg_inv_ex(&a, false)?.0)?;
        Ok(smallvec![Some(f::mul(&rows(&rows(&weight)?)?, &inverse)?)])
    })?;
    Ok((sign, logarithm))
}

/// `torch.linalg.slogdet`: sign (of modulus 1, or 0) and logarithm of the absolute value of the determinants.
#[allow(non_snake_case)]
pub fn linalg_slogdet(A: &Tensor) -> Result<(Tensor, Tensor)> {
    slogdet_named(A, "linalg.slogdet")
}

/// `torch.slogdet`: as [`linalg_slogdet`].
pub fn slogdet(self_: &Tensor) -> Result<(Tensor, Tensor)> {
    linalg_slogdet(self_)
}

/// `torch.logdet`: the logarithms of the determinants; NaN where a real one is negative.
pub fn logdet(self_: &Tensor) -> Result<Tensor> {
    let (sign, logarithm) = slogdet_named(self_, "logdet")?;
    if self_.is_complex() {
        return f::add(&f::log(&sign)?, &logarithm, 1i64.into());
    }
    let negative = f::eq_scalar(&sign, (-1i64).into())?;
    f::where_scalar_self(&negative, f64::NAN.into(), &logarithm)
}
