//! LU factors: their forms, and solutions from them.

use super::batch::{Buffer, Source, count, first_info, place, worked_on};
use super::solve::expand_system;
use super::{add, adjoint, batch_sizes, check_float, check_matrix, check_square, elements, eye, with};
use super::{linalg_solve_triangular as triangular, transpose};
use crate::Tensor;
use crate::autograd::{Save, needs_grad, record};
use crate::ops::matmul::matmul;
use crate::ops::tile::{tril, triu};
use crate::ops::{common_device, join, shape};
use flambeau_core::{DType, Result, bail, show};
use flambeau_cpu::linalg as kernels;
use smallvec::smallvec;

fn check_rank(t: &Tensor, name: &str) -> Result<(usize, usize)> {
    if t.dim() < 2 {
        bail!("{name}: Expected tensor with 2 or more dimensions. Got size: {} instead", show(&t.sizes()));
    }
    check_matrix(t, name, "A")
}

/// The gradient of `A = P @ L @ U` from those of the lower and upper factors in one matrix.
fn factor_grad(grad: &Tensor, lu: &Tensor, pivots: &Tensor) -> Result<Tensor> {
    let (p, l, u) = lu_unpack(lu, pivots, true, true)?;
    let (m, n) = (lu.size(-2)?, lu.size(-1)?);
    let k = m.min(n);
    let part = |t: &Tensor, dim: i64, start: i64, length: i64| shape::narrow(t, dim, start, length);
    let (first_l, first_u) = (part(&l, -2, 0, k)?, part(&u, -1, 0, k)?);
    let corner = part(&part(grad, -2, 0, k)?, -1, 0, k)?;
    // The square blocks L1 and U1: A1 = L1 @ U1 gives U1 and L1, the other rows or columns follow by solutions.
    let mut lower = matmul(&adjoint(&first_l)?, &tril(&corner, -1)?)?;
    let mut upper = matmul(&triu(&corner, 0)?, &adjoint(&first_u)?)?;
    let mut rest = None;
    if m > n {
        let (l2, g2) = (part(&l, -2, k, m - k)?, part(grad, -2, k, m - k)?);
        upper = super::sub(&upper, &matmul(&adjoint(&l2)?, &g2)?)?;
        rest = Some(triangular(&adjoint(&first_u)?, &g2, false, false, false)?);
    } else if n > m {
        let (u2, g2) = (part(&u, -1, k, n - k)?, part(grad, -1, k, n - k)?);
        lower = super::sub(&lower, &matmul(&g2, &adjoint(&u2)?)?)?;
        rest = Some(triangular(&adjoint(&first_l)?, &g2, true, true, true)?);
    }
    let inner = add(&tril(&lower, -1)?, &triu(&upper, 0)?)?;
    let left = triangular(&adjoint(&first_l)?, &inner, true, true, true)?;
    let mut out = triangular(&adjoint(&first_u)?, &left, false, false, false)?;
    if let Some(rest) = rest {
        out = join::cat(&[out, rest], if m > n { -2 } else { -1 })?;
    }
    matmul(&p, &out)
}

fn factored(a: &Tensor, pivot: bool, name: &str) -> Result<(Tensor, Tensor, Tensor)> {
    let (m, n) = check_rank(a, name)?;
    let batch = batch_sizes(a);
    let (device, k) = (a.device(), m.min(n));
    let mut pivots = Buffer::<i32>::zeros(&with(&batch, &[k]), DType::Int32, device)?;
    let mut info = Buffer::<i32>::zeros(&batch, DType::Int32, device)?;
    let lu = elements!(a.dtype(), "lu_cpu", T => {
        if !pivot {
            bail!("linalg.lu_factor: LU without pivoting is not implemented on the CPU");
        }
        let mut to = Buffer::<T>::of(a)?;
        if !to.is_meta() {
            for i in 0..count(&batch) {
                info.slice_mut()[i] =
                    kernels::lu_factor(m, n, to.at_mut(i, m * n), pivots.at_mut(i, k))?;
            }
        }
        to.tensor()
    });
    let pivots = pivots.tensor();
    let kept = pivots.clone();
    record(&[&lu], "LinalgLuFactorExBackward0", &[a], &[Save::Output(0)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        Ok(smallvec![Some(factor_grad(grad, &ctx.saved(0)?, &kept)?)])
    })?;
    Ok((lu, pivots, info.tensor()))
}

fn check_factors(info: &Tensor, name: &str) -> Result<()> {
    if let Some((at, i)) = first_info(info)? {
        bail!(
            "{name}: {}U[{i},{i}] is zero and using it on lu_solve would result in a division by zero. If you still want to perform the factorization, consider calling linalg.lu(A, pivot) or linalg.lu_factor_ex(A, pivot)",
            place(&info.sizes(), at)
        );
    }
    Ok(())
}

/// `torch.linalg.lu_factor_ex`: both factors in one matrix, LAPACK's pivots (from 1), and the place of the first zero
/// on the diagonal of `U` (0 if there is none).
#[allow(non_snake_case)]
pub fn linalg_lu_factor_ex(A: &Tensor, pivot: bool, check_errors: bool) -> Result<(Tensor, Tensor, Tensor)> {
    let (lu, pivots, info) = factored(A, pivot, "torch.lu_factor_ex")?;
    if check_errors {
        check_factors(&info, "torch.linalg.lu_factor_ex")?;
    }
    Ok((lu, pivots, info))
}

/// `torch.linalg.lu_factor`: as [`linalg_lu_factor_ex`]; fails where `U` has a zero on its diagonal.
#[allow(non_snake_case)]
pub fn linalg_lu_factor(A: &Tensor, pivot: bool) -> Result<(Tensor, Tensor)> {
    let (lu, pivots, info) = factored(A, pivot, "torch.lu_factor")?;
    check_factors(&info, "torch.linalg.lu_factor")?;
    Ok((lu, pivots))
}

/// What `torch.lu` calls.
pub fn _lu_with_info(self_: &Tensor, pivot: bool, check_errors: bool) -> Result<(Tensor, Tensor, Tensor)> {
    let _ = check_errors;
    crate::warn(
        "torch.lu is deprecated in favor of torch.linalg.lu_factor / torch.linalg.lu_factor_ex and will be removed in a future PyTorch release.",
    );
    factored(self_, pivot, "torch.lu_factor_ex")
}

/// `torch.linalg.lu`: `A = P @ L @ U` with a permutation `P`, unit lower triangular `L` and upper triangular `U`.
#[allow(non_snake_case)]
pub fn linalg_lu(A: &Tensor, pivot: bool) -> Result<(Tensor, Tensor, Tensor)> {
    let (lu, pivots, _) = factored(A, pivot, "linalg.lu")?;
    lu_unpack(&lu, &pivots, true, true)
}

/// The permutation matrices of pivots.
fn permutation(like: &Tensor, pivots: &Tensor, m: usize) -> Result<Tensor> {
    let batch = batch_sizes(like);
    let (pivots, k) = (Source::<i32>::of(pivots)?, pivots.size(-1)? as usize);
    let (dtype, device) = (like.dtype(), like.device());
    let mut data = Buffer::<u8>::zeros(&with(&batch, &[m, m]), DType::UInt8, device)?;
    if !data.is_meta() {
        for i in 0..worked_on(&batch, m * m) {
            let order = match kernels::lu_unpack(m, pivots.at(i, k)) {
                Ok(order) => order,
                Err(_) => bail!(
                    "pivots passed to lu_unpack must be between 1 and LU.size(-2) inclusive.Did you properly pass the result of lu_factor?"
                ),
            };
            let matrix = data.at_mut(i, m * m);
            for (to, &from) in order.iter().enumerate() {
                matrix[from * m + to] = 1;
            }
        }
    }
    shape::to_dtype(&data.tensor(), dtype)
}

/// `torch.lu_unpack`: `P`, `L` and `U` from both factors in one matrix and pivots; those not asked for are empty.
#[allow(non_snake_case)]
pub fn lu_unpack(
    LU_data: &Tensor,
    LU_pivots: &Tensor,
    unpack_data: bool,
    unpack_pivots: bool,
) -> Result<(Tensor, Tensor, Tensor)> {
    let (m, n) = check_rank(LU_data, "torch.lu_unpack")?;
    if unpack_pivots && LU_pivots.dtype() != DType::Int32 {
        bail!("torch.lu_unpack: LU_pivots is expected to be a contiguous tensor of torch.int32 dtype.");
    }
    let k = m.min(n);
    let batch = batch_sizes(LU_data);
    let (expected, got) = (with(&batch, &[k]), LU_pivots.sizes());
    if unpack_pivots && got != expected {
        bail!(Value, "Expected LU_pivots to have shape {} but got {} instead.", show(&expected), show(&got));
    }
    common_device(&[LU_data, LU_pivots])?;
    let (dtype, device) = (LU_data.dtype(), LU_data.device());
    let empty = || Tensor::zeros_raw(&[0], dtype, device);
    let p = if unpack_pivots { permutation(LU_data, LU_pivots, m)? } else { empty()? };
    if !unpack_data {
        return Ok((p, empty()?, empty()?));
    }
    let (l, u) = {
        let _guard = crate::autograd::GradMode::no_grad();
        let data = LU_data.alias();
        let left = shape::narrow(&data, -1, 0, k as i64)?;
        let l = shape::to_dtype(&add(&tril(&left, -1)?, &eye(m, k, dtype, LU_data)?)?, dtype)?;
        (l, triu(&shape::narrow(&data, -2, 0, k as i64)?, 0)?)
    };
    let (l, u) = (Tensor::from_array(l.array()), Tensor::from_array(u.array()));
    record(&[&l, &u], "LuUnpackBackward0", &[LU_data], &[], move |ctx| {
        let fill = |t: Tensor, dim: i64, length: usize| -> Result<Tensor> {
            let have = t.size(dim)?;
            if have == length as i64 {
                return Ok(t);
            }
            let mut sizes = t.sizes();
            let at = flambeau_core::wrap_dim(dim, sizes.len())?;
            sizes[at] = length as i64 - have;
            join::cat(&[t.clone(), Tensor::zeros_raw(&sizes, t.dtype(), t.device())?], dim)
        };
        let lower = ctx.grad(0).map(|g| fill(tril(g, -1)?, -1, n)).transpose()?;
        let upper = ctx.grad(1).map(|g| fill(triu(g, 0)?, -2, m)).transpose()?;
        Ok(smallvec![match (lower, upper) {
            (Some(l), Some(u)) => Some(add(&l, &u)?),
            (l, u) => l.or(u),
        }])
    })?;
    Ok((p, l, u))
}

/// Solutions for equal batch sizes.
fn solve_factored(lu: &Tensor, pivots: &Tensor, b: &Tensor, adjointed: bool) -> Result<Tensor> {
    if needs_grad(&[lu, b]) {
        let (p, l, u) = lu_unpack(lu, pivots, true, true)?;
        return if adjointed {
            let x = triangular(&adjoint(&u)?, b, false, true, false)?;
            matmul(&p, &triangular(&adjoint(&l)?, &x, true, true, true)?)
        } else {
            let x = triangular(&l, &matmul(&transpose(&p)?, b)?, false, true, true)?;
            triangular(&u, &x, true, true, false)
        };
    }
    let batch = batch_sizes(lu);
    let (n, k) = (b.sizes()[batch.len()] as usize, b.sizes()[batch.len() + 1] as usize);
    let op = if adjointed { kernels::Op::Adjoint } else { kernels::Op::None };
    Ok(elements!(b.dtype(), "linalg.lu_solve_cpu", T => {
        let (from, turns, mut to) = (Source::<T>::of(lu)?, Source::<i32>::of(pivots)?, Buffer::<T>::of(b)?);
        if !to.is_meta() {
            for i in 0..worked_on(&batch, n * k) {
                let (lu, pivots) = (from.at(i, n * n), turns.at(i, n));
                if pivots.iter().any(|&p| p < 1 || p as usize > n) {
                    bail!(
                        "Pivots given to lu_solve must all be smaller or equal to LU.size(-2). Did you properly pass the result of lu_factor?"
                    );
                }
                kernels::lu_solve(n, k, lu, pivots, to.at_mut(i, n * k), op)?;
            }
        }
        to.tensor()
    }))
}

/// `torch.linalg.lu_solve`: the solution of `A @ X = B` (`X @ A = B` unless `left`; with the conjugate transpose of
/// `A` if `adjoint`) from what [`linalg_lu_factor`] gives.
#[allow(non_snake_case)]
pub fn linalg_lu_solve(
    LU: &Tensor,
    pivots: &Tensor,
    B: &Tensor,
    left: bool,
    adjoint_: bool,
) -> Result<Tensor> {
    let name = "linalg.lu_solve";
    check_float(LU, "torch.linalg.lu_solve", true)?;
    if LU.dtype() != B.dtype() {
        bail!(
            "{name}: Expected LU and B to have the same dtype, but found LU of type {} and B of type {} instead",
            LU.dtype().cpp_name(),
            B.dtype().cpp_name()
        );
    }
    if pivots.dtype() != DType::Int32 {
        bail!("{name}: pivots should be a Tensor of scalar type torch.int32");
    }
    let n = check_square(LU, "torch.linalg.lu_solve")?;
    check_matrix(B, name, "B")?;
    if pivots.sizes().last() != Some(&(n as i64)) {
        bail!("{name}: Number of pivots per batch should be same as the dimension of the matrix");
    }
    let sizes = LU.sizes();
    if pivots.sizes()[..] != sizes[..sizes.len() - 1] {
        bail!(
            "{name}: Expected LU.shape[:-1] and pivots.shape to be the same, but got pivots with shape {} instead",
            show(&pivots.sizes())
        );
    }
    common_device(&[LU, pivots, B])?;
    let (lu, b) = expand_system(LU, B, left, name)?;
    let pivots = shape::expand(pivots, &with(&batch_sizes(&lu), &[n]))?;
    if left {
        return solve_factored(&lu, &pivots, &b, adjoint_);
    }
    // X @ A = B is A.mH @ X.mH = B.mH.
    adjoint(&solve_factored(&lu, &pivots, &adjoint(&b)?, !adjoint_)?)
}

/// `torch.lu_solve`: the solution of `A @ X = self` from the LU factors of `A`.
#[allow(non_snake_case)]
pub fn lu_solve(self_: &Tensor, LU_data: &Tensor, LU_pivots: &Tensor) -> Result<Tensor> {
    crate::warn(
        "torch.lu_solve is deprecated in favor of torch.linalg.lu_solve, whose arguments stand in another order.",
    );
    linalg_lu_solve(LU_data, LU_pivots, self_, true, false)
}
