//! Triangular systems.

use super::batch::{Buffer, Source, worked_on};
use super::solve::{check_same, expand_system};
use super::{adjoint, batch_sizes, check_float, check_square, elements, transpose};
use crate::Tensor;
use crate::autograd::{Save, record};
use crate::generated::functions as f;
use crate::ops::matmul::matmul;
use crate::ops::shape;
use crate::ops::tile::{tril, triu};
use flambeau_core::{Result, bail};
use flambeau_cpu::linalg as kernels;
use smallvec::smallvec;

fn solve_matrices(a: &Tensor, b: &Tensor, upper: bool, unit: bool) -> Result<Tensor> {
    let batch = batch_sizes(a);
    let n = a.sizes()[batch.len()] as usize;
    let k = b.sizes()[batch.len() + 1] as usize;
    let out = elements!(a.dtype(), "triangular_solve_cpu", T => {
        let (from, mut to) = (Source::<T>::of(a)?, Buffer::<T>::of(b)?);
        if !to.is_meta() {
            for i in 0..worked_on(&batch, n * k) {
                let (a, b) = (from.at(i, n * n), to.at_mut(i, n * k));
                kernels::solve_triangular(n, k, a, upper, unit, kernels::Op::None, b)?;
            }
        }
        to.tensor()
    });
    let save = [Save::Input(a), Save::Output(0)];
    record(&[&out], "LinalgSolveTriangularBackward0", &[a, b], &save, move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None, None]) };
        let grad_b = solve_matrices(&adjoint(&ctx.saved(0)?)?, grad, !upper, unit)?;
        let grad_a = match ctx.needs(0) {
            true => {
                let whole = f::neg(&matmul(&grad_b, &adjoint(&ctx.saved(1)?)?)?)?;
                Some(if upper { triu(&whole, unit as i64)? } else { tril(&whole, -(unit as i64))? })
            }
            false => None,
        };
        Ok(smallvec![grad_a, ctx.needs(1).then_some(grad_b)])
    })?;
    Ok(out)
}

/// `torch.linalg.solve_triangular`: the solution of `A @ X = B` (`X @ A = B` unless `left`) for triangular `A`
/// `(*, n, n)`, of which only one triangle is read. A zero on the diagonal gives infinities and NaN.
#[allow(non_snake_case)]
pub fn linalg_solve_triangular(
    self_: &Tensor,
    B: &Tensor,
    upper: bool,
    left: bool,
    unitriangular: bool,
) -> Result<Tensor> {
    let name = "linalg.solve_triangular";
    check_same(self_, B, name)?;
    check_square(self_, name)?;
    check_float(self_, name, true)?;
    let (a, b) = expand_system(self_, B, left, name)?;
    if left {
        return solve_matrices(&a, &b, upper, unitriangular);
    }
    transpose(&solve_matrices(&transpose(&a)?, &transpose(&b)?, !upper, unitriangular)?)
}

/// `torch.triangular_solve`: the solution of `A @ X = b` (`A.T @ X = b` when `transpose`), and a copy of `A`.
#[allow(non_snake_case)]
pub fn triangular_solve(
    self_: &Tensor,
    A: &Tensor,
    upper: bool,
    transpose_: bool,
    unitriangular: bool,
) -> Result<(Tensor, Tensor)> {
    for (t, name) in [(self_, "b"), (A, "A")] {
        if t.dim() < 2 {
            bail!(
                "torch.triangular_solve: Expected {name} to have at least 2 dimensions, but it has {} dimensions instead",
                t.dim()
            );
        }
    }
    check_same(A, self_, "triangular_solve")?;
    check_square(A, "triangular_solve")?;
    let (a, b) = expand_system(A, self_, true, "triangular_solve")?;
    let x = if transpose_ {
        solve_matrices(&transpose(&a)?, &b, !upper, unitriangular)?
    } else {
        solve_matrices(&a, &b, upper, unitriangular)?
    };
    Ok((x, shape::clone(&a, Some(flambeau_core::MemoryFormat::Contiguous))?))
}
