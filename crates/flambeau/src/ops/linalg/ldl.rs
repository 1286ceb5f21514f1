//! `L @ D @ L.mH` factors of symmetric and Hermitian matrices.

use super::batch::{Buffer, Source, count, first_info, place, worked_on};
use super::{batch_sizes, check_float, check_square, elements, with};
use crate::Tensor;
use crate::ops::reduce::unsupported_gradient;
use crate::ops::{common_device, shape};
use flambeau_core::{DType, Result, bail, broadcast_shapes, show};
use flambeau_cpu::linalg as kernels;

fn factored(a: &Tensor, hermitian: bool, check_errors: bool, name: &str) -> Result<(Tensor, Tensor, Tensor)> {
    let checked = "torch.linalg.ldl_factor_ex";
    let n = check_square(a, checked)?;
    check_float(a, checked, true)?;
    let batch = batch_sizes(a);
    let device = a.device();
    let mut pivots = Buffer::<i32>::zeros(&with(&batch, &[n]), DType::Int32, device)?;
    let mut info = Buffer::<i32>::zeros(&batch, DType::Int32, device)?;
    let ld = elements!(a.dtype(), "ldl_factor_kernel_cpu", T => {
        let mut to = Buffer::<T>::of(a)?;
        if !to.is_meta() {
            for i in 0..count(&batch) {
                let matrix = to.at_mut(i, n * n);
                // The kernel works on the lower triangle; nothing stands above it.
                for row in 0..n {
                    matrix[row * n + row + 1..(row + 1) * n].fill(T::default());
                }
                info.slice_mut()[i] = kernels::ldl_factor(n, matrix, hermitian, pivots.at_mut(i, n))?;
            }
        }
        to.tensor()
    });
    unsupported_gradient(&[&ld], "LinalgLdlFactorExBackward0", &[a], "linalg_ldl_factor_ex")?;
    let info = info.tensor();
    if check_errors && let Some((at, i)) = first_info(&info)? {
        bail!("{name}: {}D[{i},{i}] is zero and the factors are singular.", place(&batch, at));
    }
    Ok((ld, pivots.tensor(), info))
}

/// `torch.linalg.ldl_factor`: LAPACK's Bunch-Kaufman factors of the lower triangle of symmetric (or `hermitian`)
/// matrices, and pivots. Fails where a block of `D` is zero.
pub fn linalg_ldl_factor(self_: &Tensor, hermitian: bool) -> Result<(Tensor, Tensor)> {
    let (ld, pivots, _) = factored(self_, hermitian, true, "torch.linalg.ldl_factor")?;
    Ok((ld, pivots))
}

/// `torch.linalg.ldl_factor_ex`: as [`linalg_ldl_factor`], with the place of the first zero block (0 if there is none).
pub fn linalg_ldl_factor_ex(
    self_: &Tensor,
    hermitian: bool,
    check_errors: bool,
) -> Result<(Tensor, Tensor, Tensor)> {
    factored(self_, hermitian, check_errors, "torch.linalg.ldl_factor_ex")
}

/// `torch.linalg.ldl_solve`: the solution of `A @ X = B` from the factors of `A`.
#[allow(non_snake_case)]
pub fn linalg_ldl_solve(LD: &Tensor, pivots: &Tensor, B: &Tensor, hermitian: bool) -> Result<Tensor> {
    let name = "torch.linalg.ldl_solve";
    let n = check_square(LD, name)?;
    check_float(LD, name, true)?;
    let (a, b) = (LD.sizes(), B.sizes());
    let [.., rows, k] = b[..] else {
        flambeau_core::wrap_dim(-2, b.len())?;
        bail!("{name}: B must have at least 2 dimensions");
    };
    if rows != n as i64 {
        bail!(
            "Incompatible matrix sizes for {name}: each A matrix is {n} by {n} but each b matrix is {rows} by {k}"
        );
    }
    if LD.dtype() != B.dtype() {
        bail!(
            "Expected b and A to have the same dtype, but found b of type {} and A of type {} instead.",
            B.dtype().cpp_name(),
            LD.dtype().cpp_name()
        );
    }
    if pivots.sizes()[..] != a[..a.len() - 1] {
        bail!(
            "{name}: Expected LD.shape[:-1] and pivots.shape to be the same, but got pivots with shape {} instead",
            show(&pivots.sizes())
        );
    }
    if !pivots.dtype().is_integral_or_bool() || pivots.dtype() == DType::Bool {
        bail!("{name}: Expected pivots to be integers. Got {}", pivots.dtype().cpp_name());
    }
    common_device(&[LD, pivots, B])?;
    let batch = broadcast_shapes(&a[..a.len() - 2], &b[..b.len() - 2])?;
    let (k, dtype) = (k as usize, B.dtype());
    let ld = shape::expand(LD, &with(&batch, &[n, n]))?;
    let turns = shape::expand(&shape::to_dtype(pivots, DType::Int32)?, &with(&batch, &[n]))?;
    let right = shape::expand(B, &with(&batch, &[n, k]))?;
    let out = elements!(dtype, "ldl_solve_kernel_cpu", T => {
        let (mut from, turns) = (Buffer::<T>::of(&ld)?, Source::<i32>::of(&turns)?);
        let mut to = Buffer::<T>::of(&right)?;
        if !to.is_meta() {
            for i in 0..worked_on(&batch, n * k) {
                let matrix = from.at_mut(i, n * n);
                kernels::ldl_solve(n, k, matrix, turns.at(i, n), hermitian, to.at_mut(i, n * k))?;
            }
        }
        to.tensor()
    });
    unsupported_gradient(&[&out], "LinalgLdlSolveBackward0", &[LD, B], "linalg_ldl_solve")?;
    Ok(out)
}
