//! Cholesky factors.

use super::batch::{Buffer, Source, count, first_info, place, worked_on};
use super::{add, adjoint, batch_sizes, check_float, check_square, elements, turned, with};
use crate::Tensor;
use crate::autograd::{Save, record};
use crate::generated::functions as f;
use crate::ops::matmul::matmul;
use crate::ops::tile::tril;
use crate::ops::{common_device, linalg, shape};
use flambeau_core::{DType, Result, bail, broadcast_shapes};
use flambeau_cpu::linalg as kernels;
use smallvec::smallvec;

fn check_factor(info: &Tensor, name: &str) -> Result<()> {
    if let Some((at, order)) = first_info(info)? {
        bail!(
            LinAlg,
            "{name}: {}The factorization could not be completed because the input is not positive-definite (the leading minor of order {order} is not positive-definite).",
            place(&info.sizes(), at)
        );
    }
    Ok(())
}

/// `torch.linalg.cholesky_ex`: the factors, and for each matrix the order of the first minor that is not
/// positive-definite (0 on success).
pub fn linalg_cholesky_ex(self_: &Tensor, upper: bool, check_errors: bool) -> Result<(Tensor, Tensor)> {
    let name = "linalg.cholesky";
    let n = check_square(self_, name)?;
    check_float(self_, name, false)?;
    let batch = batch_sizes(self_);
    let mut info = Buffer::<i32>::zeros(&batch, DType::Int32, self_.device())?;
    let out = elements!(self_.dtype(), "linalg_cholesky_cpu", T => {
        // The lower factor of a matrix is, column by column, what the upper one of its transpose is row by row.
        let mut to = match upper {
            true => Buffer::<T>::of(self_)?,
            false => Buffer::<T>::of(&shape::transpose(&self_.alias(), -2, -1)?)?,
        };
        if !to.is_meta() {
            for i in 0..count(&batch) {
                info.slice_mut()[i] = kernels::cholesky(n, to.at_mut(i, n * n), true)?;
            }
        }
        let out = to.tensor();
        if upper { out } else { turned(&out) }
    });
    record(&[&out], "LinalgCholeskyExBackward0", &[self_], &[Save::Output(0)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        let saved = ctx.saved(0)?;
        // Murray, "Differentiation of the Cholesky decomposition", 2016.
        let (l, grad) = if upper { (adjoint(&saved)?, adjoint(grad)?) } else { (saved, grad.clone()) };
        let lh = adjoint(&l)?;
        let inner = matmul(&lh, &grad)?;
        let strict = tril(&inner, -1)?;
        let halved = f::mul_scalar(&add(&tril(&inner, 0)?, &strict)?, 0.5.into())?;
        let even = f::mul_scalar(&add(&halved, &adjoint(&halved)?)?, 0.5.into())?;
        let right = linalg::linalg_solve_triangular(&lh, &even, true, true, false)?;
        let out = linalg::linalg_solve_triangular(&l, &right, false, false, false)?;
        Ok(smallvec![Some(out)])
    })?;
    let info = info.tensor();
    if check_errors {
        check_factor(&info, name)?;
    }
    Ok((out, info))
}

/// `torch.linalg.cholesky`: `L` with `A = L @ L.mH`, or `U` with `A = U.mH @ U` when `upper`, for Hermitian
/// positive-definite `A` `(*, n, n)`. Fails for others.
pub fn linalg_cholesky(self_: &Tensor, upper: bool) -> Result<Tensor> {
    Ok(linalg_cholesky_ex(self_, upper, true)?.0)
}

/// `torch.cholesky`, which PyTorch has removed.
pub fn cholesky_removed(_self: &Tensor, _upper: bool) -> Result<Tensor> {
    bail!(
        "This function was deprecated since version 1.9 and is now removed. `torch.cholesky` is deprecated in favor of `torch.linalg.cholesky`."
    )
}

/// The gradient of a factor from that of the factored matrix.
fn factor_grad(grad: &Tensor, factor: &Tensor, upper: bool) -> Result<Tensor> {
    let even = add(grad, &adjoint(grad)?)?;
    if upper { matmul(factor, &even) } else { matmul(&even, factor) }
}

fn solve_matrices(b: &Tensor, factor: &Tensor, upper: bool) -> Result<Tensor> {
    let batch = batch_sizes(b);
    let (n, k) = (b.sizes()[batch.len()] as usize, b.sizes()[batch.len() + 1] as usize);
    let out = elements!(b.dtype(), "cholesky_solve_cpu", T => {
        let (from, mut to) = (Source::<T>::of(factor)?, Buffer::<T>::of(b)?);
        if !to.is_meta() {
            for i in 0..worked_on(&batch, n * k) {
                kernels::cholesky_solve(n, k, from.at(i, n * n), upper, to.at_mut(i, n * k))?;
            }
        }
        to.tensor()
    });
    let save = [Save::Input(factor), Save::Output(0)];
    record(&[&out], "CholeskySolveBackward0", &[b, factor], &save, move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None, None]) };
        let (factor, x) = (ctx.saved(0)?, ctx.saved(1)?);
        let grad_b = solve_matrices(grad, &factor, upper)?;
        let grad_factor = match ctx.needs(1) {
            true => {
                let whole = f::neg(&matmul(&grad_b, &adjoint(&x)?)?)?;
                Some(factor_grad(&whole, &factor, upper)?)
            }
            false => None,
        };
        Ok(smallvec![ctx.needs(0).then_some(grad_b), grad_factor])
    })?;
    Ok(out)
}

/// `torch.cholesky_solve`: the solution of `A @ X = B` from the Cholesky factor of `A`.
pub fn cholesky_solve(self_: &Tensor, input2: &Tensor, upper: bool) -> Result<Tensor> {
    let (b, a) = (self_.sizes(), input2.sizes());
    for (name, sizes) in [("b", &b), ("u", &a)] {
        if sizes.len() < 2 {
            bail!("{name} should have at least 2 dimensions, but has {} dimensions instead", sizes.len());
        }
    }
    let (m, k) = (b[b.len() - 2], b[b.len() - 1]);
    let (p, q) = (a[a.len() - 2], a[a.len() - 1]);
    if p != q {
        bail!("A must be batches of square matrices, but they are {p} by {q} matrices");
    }
    if p != m {
        bail!(
            "Incompatible matrix sizes for cholesky_solve: each A matrix is {p} by {q} but each b matrix is {m} by {k}"
        );
    }
    common_device(&[self_, input2])?;
    if self_.dtype() != input2.dtype() {
        bail!(
            "Expected b and A to have the same dtype, but found b of type {} and A of type {} instead",
            self_.dtype().cpp_name(),
            input2.dtype().cpp_name()
        );
    }
    let batch = broadcast_shapes(&b[..b.len() - 2], &a[..a.len() - 2])?;
    solve_matrices(
        &shape::expand(self_, &with(&batch, &[m as usize, k as usize]))?,
        &shape::expand(input2, &with(&batch, &[p as usize, q as usize]))?,
        upper,
    )
}

/// `torch.cholesky_inverse`: the inverse of `A` from its Cholesky factor.
pub fn cholesky_inverse(self_: &Tensor, upper: bool) -> Result<Tensor> {
    let n = check_square(self_, "cholesky_inverse")?;
    let batch = batch_sizes(self_);
    let out = elements!(self_.dtype(), "cholesky_inverse_out_cpu", T => {
        let from = Source::<T>::of(self_)?;
        let mut to = Buffer::<T>::zeros(&self_.sizes(), self_.dtype(), self_.device())?;
        if !to.is_meta() {
            for i in 0..worked_on(&batch, n * n) {
                kernels::cholesky_inverse(n, from.at(i, n * n), upper, to.at_mut(i, n * n))?;
            }
        }
        to.tensor()
    });
    let save = [Save::Input(self_), Save::Output(0)];
    record(&[&out], "CholeskyInverseBackward0", &[self_], &save, move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        let (factor, x) = (adjoint(&ctx.saved(0)?)?, ctx.saved(1)?);
        let even = f::neg(&add(grad, &adjoint(grad)?)?)?;
        // The product of the inverse and its factor is the inverse of the factor's adjoint.
        Ok(smallvec![Some(if upper {
            linalg::linalg_solve_triangular(&factor, &matmul(&even, &x)?, false, true, false)?
        } else {
            linalg::linalg_solve_triangular(&factor, &matmul(&x, &even)?, true, false, false)?
        })])
    })?;
    Ok(out)
}
