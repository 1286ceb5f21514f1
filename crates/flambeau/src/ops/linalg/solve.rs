//! Inverses and solutions of linear systems.

use super::batch::{Buffer, Source, count, first_info, place};
use super::{adjoint, batch_sizes, check_float, check_square, elements, transpose, with};
use crate::Tensor;
use crate::autograd::{Save, record};
use crate::generated::functions as f;
use crate::ops::matmul::matmul;
use crate::ops::{common_device, shape};
use flambeau_core::{DType, Result, bail, broadcast_shapes};
use flambeau_cpu::linalg as kernels;
use smallvec::smallvec;

fn check_inverse(info: &Tensor, name: &str) -> Result<()> {
    if let Some((at, info_)) = first_info(info)? {
        bail!(
            LinAlg,
            "{name}: {}The diagonal element {info_} is zero, the inversion could not be completed because the input matrix is singular.",
            place(&info.sizes(), at)
        );
    }
    Ok(())
}

fn inv_named(a: &Tensor, name: &str) -> Result<(Tensor, Tensor)> {
    let n = check_square(a, name)?;
    check_float(a, name, false)?;
    let batch = batch_sizes(a);
    let mut info = Buffer::<i32>::zeros(&batch, DType::Int32, a.device())?;
    let out = elements!(a.dtype(), "linalg_inv_cpu", T => {
        let from = Source::<T>::of(a)?;
        let mut to = Buffer::<T>::zeros(&a.sizes(), a.dtype(), a.device())?;
        if !to.is_meta() {
            for i in 0..count(&batch) {
                info.slice_mut()[i] = kernels::inv(n, from.at(i, n * n), to.at_mut(i, n * n))?;
            }
        }
        to.tensor()
    });
    record(&[&out], "LinalgInvExBackward0", &[a], &[Save::Output(0)], |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        let x = adjoint(&ctx.saved(0)?)?;
        Ok(smallvec![Some(f::neg(&matmul(&x, &matmul(grad, &x)?)?)?)])
    })?;
    Ok((out, info.tensor()))
}

/// `torch.linalg.inv_ex`: the inverses, and LAPACK's info for each matrix.
#[allow(non_snake_case)]
pub fn linalg_inv_ex(A: &Tensor, check_errors: bool) -> Result<(Tensor, Tensor)> {
    let (out, info) = inv_named(A, "linalg.inv")?;
    if check_errors {
        check_inverse(&info, "linalg.inv_ex")?;
    }
    Ok((out, info))
}

/// `torch.linalg.inv`: the inverses of square matrices `(*, n, n)`. Fails for singular ones.
#[allow(non_snake_case)]
pub fn linalg_inv(A: &Tensor) -> Result<Tensor> {
    let (out, info) = inv_named(A, "linalg.inv")?;
    check_inverse(&info, "linalg.inv")?;
    Ok(out)
}

/// `torch.inverse`: as [`linalg_inv`].
pub fn inverse(self_: &Tensor) -> Result<Tensor> {
    linalg_inv(self_)
}

/// Solutions for equal batch sizes of `a` (square) and `b` (of matrices), with infos.
fn solve_matrices(a: &Tensor, b: &Tensor) -> Result<(Tensor, Tensor)> {
    let batch = batch_sizes(a);
    let n = a.sizes()[batch.len()] as usize;
    let k = b.sizes()[batch.len() + 1] as usize;
    let mut info = Buffer::<i32>::zeros(&batch, DType::Int32, a.device())?;
    let out = elements!(a.dtype(), "linalg_solve_cpu", T => {
        let (from, mut to) = (Source::<T>::of(a)?, Buffer::<T>::of(b)?);
        if !to.is_meta() {
            for i in 0..count(&batch) {
                info.slice_mut()[i] = kernels::solve(n, k, from.at(i, n * n), to.at_mut(i, n * k))?;
            }
        }
        to.tensor()
    });
    record(&[&out], "LinalgSolveExBackward0", &[a, b], &[Save::Input(a), Save::Output(0)], |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None, None]) };
        let grad_b = solve_matrices(&adjoint(&ctx.saved(0)?)?, grad)?.0;
        let grad_a = match ctx.needs(0) {
            true => Some(f::neg(&matmul(&grad_b, &adjoint(&ctx.saved(1)?)?)?)?),
            false => None,
        };
        Ok(smallvec![grad_a, ctx.needs(1).then_some(grad_b)])
    })?;
    Ok((out, info.tensor()))
}

/// Whether `b` holds vectors: it has one dimension, or the batch sizes of `a` and its rows.
pub(super) fn is_vector(a: &Tensor, b: &Tensor) -> bool {
    let (a, b) = (a.sizes(), b.sizes());
    b.len() == 1 || (a.len() == b.len() + 1 && a[..a.len() - 1] == b[..])
}

pub(super) fn check_same(a: &Tensor, b: &Tensor, name: &str) -> Result<()> {
    if a.dtype() != b.dtype() {
        bail!(
            "{name}: Expected A and B to have the same dtype, but found A of type {} and B of type {} instead",
            a.dtype().cpp_name(),
            b.dtype().cpp_name()
        );
    }
    common_device(&[a, b]).map(|_| ())
}

/// Both operands with their batch sizes broadcast, after the check that `a @ x = b` (or `x @ a = b`) fits.
pub(super) fn expand_system(a: &Tensor, b: &Tensor, left: bool, name: &str) -> Result<(Tensor, Tensor)> {
    let (x, y) = (a.sizes(), b.sizes());
    let [.., m, n] = y[..] else {
        bail!("{name}: The input tensor B must have at least 2 dimensions.");
    };
    let size = x[x.len() - 1];
    if size != if left { m } else { n } {
        bail!(
            "{name}: Incompatible shapes of A and B for the equation {} = B ({}x{size} and {m}x{n})",
            if left { "AX" } else { "XA" },
            x[x.len() - 2]
        );
    }
    let batch = broadcast_shapes(&x[..x.len() - 2], &y[..y.len() - 2])?;
    let size = size as usize;
    Ok((
        shape::expand(a, &with(&batch, &[size, size]))?,
        shape::expand(b, &with(&batch, &[m as usize, n as usize]))?,
    ))
}

/// `torch.linalg.solve_ex`: the solution of `A @ X = B` (`X @ A = B` unless `left`), and LAPACK's info.
#[allow(non_snake_case)]
pub fn linalg_solve_ex(A: &Tensor, B: &Tensor, left: bool, check_errors: bool) -> Result<(Tensor, Tensor)> {
    let name = "linalg.solve";
    check_float(A, name, false)?;
    check_square(A, name)?;
    check_same(A, B, name)?;
    let vector = is_vector(A, B);
    let b = if vector { shape::unsqueeze(B, -1)? } else { B.clone() };
    if vector && !left {
        bail!(
            "{name}: Vector broadcasting of the left hand side is not supported for left=False. In this case linalg.solve is equivalent to B / A.squeeze(-1)"
        );
    }
    let (a, b) = expand_system(A, &b, left, name)?;
    let (mut x, info) = if left {
        solve_matrices(&a, &b)?
    } else {
        let (x, info) = solve_matrices(&transpose(&a)?, &transpose(&b)?)?;
        (transpose(&x)?, info)
    };
    if vector {
        x = shape::squeeze_dim(&x, -1)?;
    }
    if check_errors {
        check_solution(&info)?;
    }
    Ok((x, info))
}

fn check_solution(info: &Tensor) -> Result<()> {
    if let Some((at, _)) = first_info(info)? {
        bail!(
            LinAlg,
            "torch.linalg.solve: {}The solver failed because the input matrix is singular.",
            place(&info.sizes(), at)
        );
    }
    Ok(())
}

/// `torch.linalg.solve`: the solution of `A @ X = B` for square `A` `(*, n, n)` and `B` `(*, n, k)` or `(*, n)`.
/// Fails for singular matrices.
#[allow(non_snake_case)]
pub fn linalg_solve(A: &Tensor, B: &Tensor, left: bool) -> Result<Tensor> {
    Ok(linalg_solve_ex(A, B, left, true)?.0)
}
