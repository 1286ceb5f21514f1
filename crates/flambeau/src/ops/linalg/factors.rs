//! LU and QR factors, exponentials and powers.

use super::batch::{Buffer, Source, worked_on};
use super::linalg_solve_triangular as triangular;
use super::{
    add, adjoint, batch_sizes, check_float, check_matrix, check_square, conj, elements, eye, linalg_inv, sub,
    with,
};
use crate::Tensor;
use crate::autograd::{Save, needs_grad, record};
use crate::generated::functions as f;
use crate::ops::matmul::matmul;
use crate::ops::reduce::{sum, unsupported_gradient};
use crate::ops::tile::tril;
use crate::ops::{common_device, convert, join, matmul as products, shape};
use flambeau_core::{DType, Result, bail, show};
use flambeau_cpu::linalg as kernels;
use smallvec::smallvec;

fn check_mode(mode: &str) -> Result<kernels::QrMode> {
    Ok(match mode {
        "reduced" => kernels::QrMode::Reduced,
        "complete" => kernels::QrMode::Complete,
        "r" => kernels::QrMode::R,
        _ => bail!(
            "qr received unrecognized mode '{mode}' but expected one of 'reduced' (default), 'r', or 'complete'"
        ),
    })
}

/// The gradient for matrices with at least as many rows as columns.
fn qr_tall(gq: &Tensor, gr: &Tensor, q: &Tensor, r: &Tensor) -> Result<Tensor> {
    let m = sub(&matmul(r, &adjoint(gr)?)?, &matmul(&adjoint(gq)?, q)?)?;
    let strict = tril(&m, -1)?;
    let diagonal = shape::diagonal(&m, 0, -2, -1)?;
    let diagonal =
        if m.is_complex() { shape::to_dtype(&convert::real(&diagonal)?, m.dtype())? } else { diagonal };
    let even = add(&add(&strict, &adjoint(&strict)?)?, &shape::diag_embed(&diagonal, 0, -2, -1)?)?;
    let right = add(gq, &matmul(q, &even)?)?;
    // X @ R.mH = right
    triangular(&adjoint(r)?, &right, false, false, false)
}

/// `torch.linalg.qr`: `Q` with orthonormal columns and upper triangular `R`, `A = Q @ R`.
#[allow(non_snake_case)]
pub fn linalg_qr(A: &Tensor, mode: &str) -> Result<(Tensor, Tensor)> {
    let name = "linalg.qr";
    let (m, n) = check_matrix(A, name, "A")?;
    check_float(A, name, false)?;
    let kind = check_mode(mode)?;
    let batch = batch_sizes(A);
    let (dtype, device, k) = (A.dtype(), A.device(), m.min(n));
    let inner = if kind == kernels::QrMode::Complete { m } else { k };
    let absent = kind == kernels::QrMode::R;
    let (q, r) = elements!(dtype, "linalg_qr_cpu", T => {
        let from = Source::<T>::of(A)?;
        let q_sizes = if absent { with(&[], &[0]) } else { with(&batch, &[m, inner]) };
        let q_len = if absent { 0 } else { m * inner };
        let mut q = Buffer::<T>::zeros(&q_sizes, dtype, device)?;
        let mut r = Buffer::<T>::zeros(&with(&batch, &[inner, n]), dtype, device)?;
        if !r.is_meta() {
            for i in 0..worked_on(&batch, q_len + inner * n) {
                kernels::qr(m, n, from.at(i, m * n), kind, q.at_mut(i, q_len), r.at_mut(i, inner * n))?;
            }
        }
        (q.tensor(), r.tensor())
    });
    record(&[&q, &r], "LinalgQrBackward0", &[A], &[Save::Output(0), Save::Output(1)], move |ctx| {
        if absent {
            bail!(
                "The derivative of linalg.qr depends on Q, which is not computed when mode='r'. Please use linalg.qr(A, mode='reduced') if you are going to require gradients."
            );
        }
        if inner > k {
            bail!("The QR decomposition is not differentiable when mode='complete' and nrows > ncols");
        }
        let (q, r) = (ctx.saved(0)?, ctx.saved(1)?);
        let (gq, gr) = (ctx.grad_or_zeros(0)?, ctx.grad_or_zeros(1)?);
        if m >= n {
            return Ok(smallvec![Some(qr_tall(&gq, &gr, &q, &r)?)]);
        }
        // A = Q @ [R1, R2]: the first m columns determine Q, the others are Q @ R2.
        let (first, rest) = (m as i64, (n - m) as i64);
        let (gr1, gr2) = (shape::narrow(&gr, -1, 0, first)?, shape::narrow(&gr, -1, first, rest)?);
        let (r1, r2) = (shape::narrow(&r, -1, 0, first)?, shape::narrow(&r, -1, first, rest)?);
        let y = matmul(&q, &r2)?;
        let gq = add(&gq, &matmul(&y, &adjoint(&gr2)?)?)?;
        let left = qr_tall(&gq, &gr1, &q, &r1)?;
        Ok(smallvec![Some(join::cat(&[left, matmul(&q, &gr2)?], -1)?)])
    })?;
    Ok((q, r))
}

/// `torch.qr`: as [`linalg_qr`], all columns of `Q` unless `some`.
pub fn qr(self_: &Tensor, some: bool) -> Result<(Tensor, Tensor)> {
    linalg_qr(self_, if some { "reduced" } else { "complete" })
}

/// `torch.linalg.matrix_exp`: the exponentials of square matrices.
pub fn linalg_matrix_exp(self_: &Tensor) -> Result<Tensor> {
    let name = "linalg.matrix_exp";
    check_float(self_, name, true)?;
    let n = check_square(self_, name)?;
    if n == 1 {
        return f::exp(self_);
    }
    let batch = batch_sizes(self_);
    // Squarings lose digits, so they are done in double precision.
    let wide = if self_.is_complex() { DType::Complex128 } else { DType::Float64 };
    let input = shape::to_dtype(&self_.alias(), wide)?;
    let out = elements!(wide, "matrix_exp", T => {
        let from = Source::<T>::of(&input)?;
        let mut to = Buffer::<T>::zeros(&self_.sizes(), wide, self_.device())?;
        if !to.is_meta() {
            for i in 0..worked_on(&batch, n * n) {
                kernels::matrix_exp(n, from.at(i, n * n), to.at_mut(i, n * n))?;
            }
        }
        to.tensor()
    });
    let out = shape::to_dtype(&out, self_.dtype())?;
    record(&[&out], "LinalgMatrixExpBackward0", &[self_], &[Save::Input(self_)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        // The upper right block of exp([[A.mH, G], [0, A.mH]]) (Mathias, "A chain rule for matrix functions", 1996).
        let a = adjoint(&ctx.saved(0)?)?;
        let zero = Tensor::zeros_raw(&a.sizes(), a.dtype(), a.device())?;
        let upper = join::cat(&[a.clone(), grad.clone()], -1)?;
        let lower = join::cat(&[zero, a], -1)?;
        let whole = linalg_matrix_exp(&join::cat(&[upper, lower], -2)?)?;
        let n = n as i64;
        Ok(smallvec![Some(shape::narrow(&shape::narrow(&whole, -2, 0, n)?, -1, n, n)?)])
    })?;
    Ok(out)
}

/// `torch.matrix_exp`: as [`linalg_matrix_exp`].
pub fn matrix_exp(self_: &Tensor) -> Result<Tensor> {
    linalg_matrix_exp(self_)
}

/// `torch.linalg.matrix_power`: repeated products; negative powers are those of the inverse.
pub fn linalg_matrix_power(self_: &Tensor, n: i64) -> Result<Tensor> {
    if n >= 0 {
        return products::matrix_power(self_, n);
    }
    check_square(self_, "linalg.matrix_power")?;
    let Some(n) = n.checked_neg() else { bail!("linalg.matrix_power: n is out of range") };
    products::matrix_power(&linalg_inv(self_)?, n)
}

/// `torch.matrix_power`: as [`linalg_matrix_power`].
pub fn matrix_power(self_: &Tensor, n: i64) -> Result<Tensor> {
    linalg_matrix_power(self_, n)
}

/// `torch.linalg.householder_product`: the first columns of the product of `I - tau[i] * v[i] @ v[i].mH`, the
/// vectors standing below the diagonal of `input`.
pub fn linalg_householder_product(input: &Tensor, tau: &Tensor) -> Result<Tensor> {
    let name = "torch.linalg.householder_product";
    let (x, t) = (input.sizes(), tau.sizes());
    let [.., m, n] = x[..] else { bail!("{name}: input must have at least 2 dimensions.") };
    if m < n {
        bail!("{name}: input.shape[-2] must be greater than or equal to input.shape[-1]");
    }
    let k = t.last().copied().unwrap_or(0);
    if n < k {
        bail!("{name}: input.shape[-1] must be greater than or equal to tau.shape[-1]");
    }
    if x.len() != t.len() + 1 {
        bail!(
            "{name}: Expected tau to have one dimension less than input, but got tau.ndim equal to {} and input.ndim is equal to {}",
            t.len(),
            x.len()
        );
    }
    if x[..x.len() - 2] != t[..t.len() - 1] {
        bail!(
            "{name}: Expected batch dimensions of tau to be equal to input.shape[:-2], but got {}",
            show(&t[..t.len() - 1])
        );
    }
    if input.dtype() != tau.dtype() {
        bail!(
            "{name}: tau dtype {} does not match input dtype {}",
            tau.dtype().cpp_name(),
            input.dtype().cpp_name()
        );
    }
    let batch = batch_sizes(input);
    if needs_grad(&[input, tau]) {
        let unit = eye(m as usize, n as usize, input.dtype(), input)?;
        return reflect(input, tau, &shape::expand(&unit, &with(&batch, &[m as usize, n as usize]))?, false);
    }
    let (m, n, k) = (m as usize, n as usize, k as usize);
    Ok(elements!(input.dtype(), "orgqr_cpu", T => {
        let (from, scales) = (Source::<T>::of(input)?, Source::<T>::of(tau)?);
        let mut to = Buffer::<T>::zeros(&x, input.dtype(), input.device())?;
        if !to.is_meta() {
            for i in 0..worked_on(&batch, m * n) {
                kernels::householder_product(m, n, from.at(i, m * n), scales.at(i, k), to.at_mut(i, m * n))?;
            }
        }
        to.tensor()
    }))
}

/// The product `Q` (or its conjugate transpose) of the reflections times `other`, one at a time in differentiable
/// operators.
fn reflect(input: &Tensor, tau: &Tensor, other: &Tensor, adjointed: bool) -> Result<Tensor> {
    let (m, k) = (input.size(-2)?, tau.size(-1)?);
    let input = shape::narrow(input, -1, 0, k)?;
    let vectors = add(&tril(&input, -1)?, &eye(m as usize, k as usize, input.dtype(), &input)?)?;
    let scales = if adjointed { conj(tau)? } else { tau.clone() };
    let mut out = other.clone();
    for step in 0..k {
        let i = if adjointed { step } else { k - 1 - step };
        let v = shape::narrow(&vectors, -1, i, 1)?;
        let scale = shape::unsqueeze(&shape::narrow(&scales, -1, i, 1)?, -1)?;
        let part = matmul(&v, &matmul(&adjoint(&v)?, &out)?)?;
        out = sub(&out, &f::mul(&part, &scale)?)?;
    }
    if k == 0 {
        // Nothing depends on the vectors, but all inputs belong to the graph, of any order.
        let nothing = f::mul(&sum(&input, None)?, &sum(tau, None)?)?;
        out = f::mul(&out, &f::add_scalar(&nothing, 1i64.into(), 1i64.into())?)?;
    }
    Ok(out)
}

/// `torch.orgqr`: as [`linalg_householder_product`].
pub fn orgqr(self_: &Tensor, input2: &Tensor) -> Result<Tensor> {
    linalg_householder_product(self_, input2)
}

/// `torch.geqrf`: LAPACK's compact QR factors and the scales of the reflections.
pub fn geqrf(self_: &Tensor) -> Result<(Tensor, Tensor)> {
    let (m, n) = check_matrix(self_, "torch.geqrf", "input")?;
    let batch = batch_sizes(self_);
    let k = m.min(n);
    let (a, tau) = elements!(self_.dtype(), "geqrf_cpu", T => {
        let mut a = Buffer::<T>::of(self_)?;
        let mut tau = Buffer::<T>::zeros(&with(&batch, &[k]), self_.dtype(), self_.device())?;
        if !a.is_meta() {
            for i in 0..worked_on(&batch, m * n) {
                kernels::geqrf(m, n, a.at_mut(i, m * n), tau.at_mut(i, k))?;
            }
        }
        (a.tensor(), tau.tensor())
    });
    unsupported_gradient(&[&a, &tau], "GeqrfBackward0", &[self_], "geqrf")?;
    Ok((a, tau))
}

fn check_reflections(input: &Tensor, tau: &Tensor, other: &Tensor, left: bool) -> Result<()> {
    let name = "torch.ormqr";
    let (x, t, c) = (input.sizes(), tau.sizes(), other.sizes());
    if x.len() < 2 {
        bail!("{name}: input must have at least 2 dimensions.");
    }
    if c.len() < 2 {
        bail!("{name}: other must have at least 2 dimensions.");
    }
    let dim = if left { 2 } else { 1 };
    let (size, last) = (c[c.len() - dim], t.last().copied().unwrap_or(-1));
    if last > size {
        bail!("{name}: other.shape[-{dim}] must be greater than or equal to tau.shape[-1]");
    }
    if size != x[x.len() - 2] {
        bail!("{name}: other.shape[-{dim}] must be equal to input.shape[-2]");
    }
    if last > x[x.len() - 1] {
        bail!("{name}: input.shape[-1] must be greater than or equal to tau.shape[-1]");
    }
    if t.len() + 1 == x.len() && last != size.min(x[x.len() - 1]) {
        bail!("{name}: tau.shape[-1] must be equal to min(other.shape[-{dim}], input.shape[-1])");
    }
    if t.len() + 1 != x.len() {
        bail!(
            "{name}: Expected tau to have one dimension less than input, but got tau.ndim equal to {} and input.ndim is equal to {}",
            t.len(),
            x.len()
        );
    }
    if c.len() != x.len() {
        bail!(
            "{name}: Expected other to have the same number of dimensions as input, but got other.ndim equal to {} and input.ndim is equal to {}",
            c.len(),
            x.len()
        );
    }
    let batch = &x[..x.len() - 2];
    for (argument, sizes) in [("tau", &t[..t.len() - 1]), ("other", &c[..c.len() - 2])] {
        if sizes != batch {
            bail!(
                "{name}: Expected batch dimensions of {argument} to be equal to input.shape[:-2], but got {}",
                show(sizes)
            );
        }
    }
    for (argument, t) in [("tau", tau), ("other", other)] {
        if t.dtype() != input.dtype() {
            bail!(
                "{name}: Expected input and {argument} to have the same dtype, but input has dtype{} and {argument} has dtype {}",
                input.dtype().cpp_name(),
                t.dtype().cpp_name()
            );
        }
    }
    common_device(&[input, tau, other]).map(|_| ())
}

/// `torch.ormqr`: `Q @ C`, or `C @ Q` unless `left`, with the product `Q` of the reflections that `geqrf` gives in
/// `self` and `input2`, or with its conjugate transpose if `transpose`.
pub fn ormqr(
    self_: &Tensor,
    input2: &Tensor,
    input3: &Tensor,
    left: bool,
    transpose: bool,
) -> Result<Tensor> {
    check_reflections(self_, input2, input3, left)?;
    if needs_grad(&[self_, input2, input3]) {
        if left {
            return reflect(self_, input2, input3, transpose);
        }
        // C @ Q is (Q.mH @ C.mH).mH.
        return adjoint(&reflect(self_, input2, &adjoint(input3)?, !transpose)?);
    }
    let batch = batch_sizes(self_);
    let (m, k) = (self_.size(-2)? as usize, input2.size(-1)? as usize);
    let (p, q) = (input3.size(-2)? as usize, input3.size(-1)? as usize);
    let vectors = shape::narrow(&self_.alias(), -1, 0, k as i64)?;
    Ok(elements!(self_.dtype(), "ormqr_cpu", T => {
        let (from, scales) = (Source::<T>::of(&vectors)?, Source::<T>::of(input2)?);
        let mut to = Buffer::<T>::of(input3)?;
        if !to.is_meta() {
            for i in 0..worked_on(&batch, p * q) {
                let (a, tau) = (from.at(i, m * k), scales.at(i, k));
                kernels::ormqr(m, k, a, tau, p, q, to.at_mut(i, p * q), left, transpose)?;
            }
        }
        to.tensor()
    }))
}
