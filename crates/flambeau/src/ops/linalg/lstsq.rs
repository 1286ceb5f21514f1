//! Least squares.

use super::batch::{Buffer, Source, count};
use super::pseudo::pinv_grad;
use super::solve::is_vector;
use super::{add, adjoint, batch_sizes, columns, elements, in_dtype_of, linalg_pinv, sub, with};
use crate::Tensor;
use crate::autograd::{Save, record};
use crate::generated::functions as f;
use crate::ops::matmul::matmul;
use crate::ops::{common_device, shape, sum_to_size};
use flambeau_core::{DType, Result, bail, broadcast_shapes};
use flambeau_cpu::linalg as kernels;
use kernels::{Driver, LinalgElement};
use smallvec::smallvec;

const NAME: &str = "torch.linalg.lstsq";

fn check_driver(driver: Option<&str>) -> Result<Driver> {
    Ok(match driver {
        None | Some("gelsy") => Driver::Gelsy,
        Some("gels") => Driver::Gels,
        Some("gelsd") => Driver::Gelsd,
        Some("gelss") => Driver::Gelss,
        Some(_) => bail!("{NAME}: parameter `driver` should be one of (gels, gelsy, gelsd, gelss)"),
    })
}

fn check_operands(a: &Tensor, b: &Tensor) -> Result<()> {
    if a.dim() < 2 {
        bail!("{NAME}: input must have at least 2 dimensions.");
    }
    if b.dim() < 1 {
        bail!("{NAME}: other must have at least 1 dimension.");
    }
    if a.dtype() != b.dtype() {
        bail!(
            "{NAME}: Expected input and other to have the same dtype, but got input's dtype {} and other's dtype {}",
            a.dtype().cpp_name(),
            b.dtype().cpp_name()
        );
    }
    if a.dim() < b.dim() || a.dim() - b.dim() > 1 {
        bail!(
            "{NAME}: input.dim() must be greater or equal to other.dim() and (input.dim() - other.dim()) <= 1"
        );
    }
    if !a.dtype().is_differentiable() || matches!(a.dtype(), DType::Float16 | DType::BFloat16) {
        bail!("This function doesn't handle types other than float and double");
    }
    common_device(&[a, b]).map(|_| ())
}

/// What `torch.linalg.lstsq` computes for operands of equal batch sizes.
struct Solved {
    solution: Tensor,
    residuals: Tensor,
    rank: Tensor,
    values: Tensor,
}

fn solve(a: &Tensor, b: &Tensor, rcond: Option<f64>, driver: Driver) -> Result<Solved> {
    let batch = batch_sizes(a);
    let (dtype, device) = (a.dtype(), a.device());
    let sizes = a.sizes();
    let (m, n) = (sizes[batch.len()] as usize, sizes[batch.len() + 1] as usize);
    let k = b.sizes()[batch.len() + 1] as usize;
    let real = dtype.to_real();
    let epsilon = if real == DType::Float64 { f64::EPSILON } else { f32::EPSILON as f64 };
    let rcond = rcond.unwrap_or(epsilon * m.max(n) as f64);
    let (ranked, valued) = (driver != Driver::Gels, matches!(driver, Driver::Gelsd | Driver::Gelss));
    let mut rank = Buffer::<i64>::zeros(&batch, DType::Int64, device)?;
    let mut full = m > n && driver != Driver::Gelsy && count(&batch) > 0;
    Ok(elements!(dtype, "linalg_lstsq_cpu", T => {
        type R = <T as LinalgElement>::R;
        let (from, to) = (Source::<T>::of(a)?, Source::<T>::of(b)?);
        let mut solution = Buffer::<T>::zeros(&with(&batch, &[n, k]), dtype, device)?;
        let mut residuals = Buffer::<R>::zeros(&with(&batch, &[k]), real, device)?;
        let mut values = Buffer::<R>::zeros(&with(&batch, &[m.min(n)]), real, device)?;
        if !solution.is_meta() {
            let rcond = R::from_c64(flambeau_core::C64::new(rcond, 0.0));
            for i in 0..count(&batch) {
                let (a, b) = (from.at(i, m * n), to.at(i, m * k));
                if ranked && !a.iter().all(|x| x.finite()) {
                    bail!("{NAME}: Argument 4 has illegal value: the matrix is not finite.");
                }
                let result = kernels::lstsq(m, n, k, a, b, rcond, driver)?;
                solution.at_mut(i, n * k).copy_from_slice(&result.solution);
                rank.slice_mut()[i] = result.rank as i64;
                full &= result.rank == n || driver == Driver::Gels;
                if full && result.residuals.len() == k {
                    residuals.at_mut(i, k).copy_from_slice(&result.residuals);
                } else if full && n == 0 {
                    // Nothing explains the right-hand side.
                    for (j, sum) in residuals.at_mut(i, k).iter_mut().enumerate() {
                        for x in b[j..].iter().step_by(k) {
                            *sum = *sum + x.re() * x.re() + x.im() * x.im();
                        }
                    }
                }
                if valued && result.singular_values.len() == m.min(n) {
                    values.at_mut(i, m.min(n)).copy_from_slice(&result.singular_values);
                }
            }
        }
        let none = |dtype| Tensor::zeros_raw(&[0], dtype, device);
        Solved {
            solution: solution.tensor(),
            residuals: if full { residuals.tensor() } else { none(real)? },
            rank: if ranked { rank.tensor() } else { none(DType::Int64)? },
            values: if valued { values.tensor() } else { none(real)? },
        }
    }))
}

/// `torch.linalg.lstsq`: for each column `b` of the right-hand side the `x` of least norm that minimises the norm of
/// `A @ x - b`; the squared norms of the residuals of tall matrices of full rank (not for `gelsy`), the ranks (not for
/// `gels`) and singular values (`gelsd`, `gelss`). Results that do not apply are empty.
pub fn linalg_lstsq(
    self_: &Tensor,
    b: &Tensor,
    rcond: Option<f64>,
    driver: Option<&str>,
) -> Result<(Tensor, Tensor, Tensor, Tensor)> {
    check_operands(self_, b)?;
    let driver = check_driver(driver)?;
    let vector = is_vector(self_, b);
    let right = if vector { shape::unsqueeze(b, -1)? } else { b.clone() };
    let (x, y) = (self_.sizes(), right.sizes());
    if right.dim() < 2 || x[x.len() - 2] != y[y.len() - 2] {
        bail!("{NAME}: input.size(-2) should match other.size({})", if vector { -1 } else { -2 });
    }
    let batch = broadcast_shapes(&x[..x.len() - 2], &y[..y.len() - 2])?;
    let whole = |sizes: &[i64]| -> flambeau_core::Dims {
        batch.iter().chain(&sizes[sizes.len() - 2..]).copied().collect()
    };
    let (a, right) = (shape::expand(self_, &whole(&x))?, shape::expand(&right, &whole(&y))?);
    let Solved { solution, residuals, rank, values } = solve(&a, &right, rcond, driver)?;
    let save = [Save::Input(&a), Save::Input(&right), Save::Output(0)];
    record(&[&solution, &residuals], "LinalgLstsqBackward0", &[&a, &right], &save, |ctx| {
        let (a, b, x) = (ctx.saved(0)?, ctx.saved(1)?, ctx.saved(2)?);
        let (mut grad_a, mut grad_b) = (None, None);
        let sum = |to: &mut Option<Tensor>, t: Tensor| -> Result<()> {
            *to = Some(match to.take() {
                Some(have) => add(&have, &t)?,
                None => t,
            });
            Ok(())
        };
        if let Some(grad) = ctx.grad(0) {
            // X = pinv(A) @ B
            let p = linalg_pinv(&a, None, None, false)?;
            if ctx.needs(0) {
                sum(&mut grad_a, pinv_grad(&matmul(grad, &adjoint(&b)?)?, &a, &p)?)?;
            }
            if ctx.needs(1) {
                sum(&mut grad_b, matmul(&adjoint(&p)?, grad)?)?;
            }
        }
        if let Some(grad) = ctx.grad(1)
            && grad.numel() > 0
        {
            // The solution moves at right angles to the residual: only A and B themselves count.
            let rest = sub(&matmul(&a, &x)?, &b)?;
            let weighted = f::mul(&rest, &columns(&f::mul_scalar(&in_dtype_of(grad, &a)?, 2i64.into())?)?)?;
            if ctx.needs(0) {
                sum(&mut grad_a, matmul(&weighted, &adjoint(&x)?)?)?;
            }
            if ctx.needs(1) {
                sum(&mut grad_b, f::neg(&weighted)?)?;
            }
        }
        let fit = |t: Option<Tensor>, like: &Tensor| t.map(|t| sum_to_size(&t, &like.sizes())).transpose();
        Ok(smallvec![fit(grad_a, &a)?, fit(grad_b, &b)?])
    })?;
    let solution = if vector { shape::squeeze_dim(&solution, -1)? } else { solution };
    Ok((solution, residuals, rank, values))
}
