//! Vector norms and what is made of them.

use super::Geometry;
use super::zero_where;
use crate::Tensor;
use crate::autograd::{Save, record};
use crate::generated::functions as f;
use crate::ops;
use flambeau_core::{DType, Result, Scalar, bail};
use flambeau_cpu::reduce::Norm;
use smallvec::smallvec;

/// The order as PyTorch prints it in messages.
fn show_order(ord: f64) -> String {
    if ord.is_infinite() { (if ord > 0.0 { "inf" } else { "-inf" }).into() } else { format!("{ord}") }
}

fn check_order(ord: Scalar) -> Result<f64> {
    match ord {
        Scalar::Complex(_) => {
            bail!("linalg.vector_norm: Expected a non-complex scalar as the order of norm.")
        }
        ord => Ok(ord.to_f64()),
    }
}

/// `torch.linalg.vector_norm`
pub fn linalg_vector_norm(
    self_: &Tensor,
    ord: Scalar,
    dim: Option<&[i64]>,
    keepdim: bool,
    dtype: Option<DType>,
) -> Result<Tensor> {
    if self_.is_sparse() && dim.is_none() {
        return ops::sparse::norm(self_, ord, dtype);
    }
    let input = self_.array();
    if !input.dtype.is_differentiable() {
        bail!(
            NotImplemented,
            "linalg.vector_norm: Expected a floating point or complex tensor as input. Got {}",
            input.dtype.cpp_name()
        );
    }
    let ord = check_order(ord)?;
    if let Some(dtype) = dtype {
        check_dtype(input.dtype, dtype)?;
    }
    let g = Geometry::new(&input.sizes, dim, keepdim)?;
    if ord < 0.0 || ord == f64::INFINITY {
        if dim.is_none_or(|d| d.is_empty()) && input.numel() == 0 {
            bail!(
                "linalg.vector_norm cannot compute the {} norm on an empty tensor because the operation does not have an identity",
                show_order(ord)
            );
        }
        if let Some(d) = (0..g.mask.len()).find(|&d| g.mask[d] && g.sizes[d] == 0) {
            bail!(
                "linalg.vector_norm cannot compute the {} norm on the dimension {d}because this dimension is empty and the operation does not have an identity",
                show_order(ord)
            );
        }
    }
    let result = dtype.unwrap_or(input.dtype).to_real();
    let out = g.compute(&input, result, |src, to| {
        // SAFETY: operands of the geometry's sizes.
        unsafe { flambeau_cpu::reduce::norm(src, to, &g.sizes, &g.mask, Norm::new(ord)) };
        Ok(())
    })?;
    let save = [Save::Input(self_), Save::Output(0)];
    record(&[&out], "LinalgVectorNormBackward0", &[self_], &save, move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        Ok(smallvec![Some(norm_backward(grad, &ctx.saved(0)?, &ctx.saved(1)?, ord, &g)?)])
    })?;
    Ok(out)
}

fn check_dtype(input: DType, dtype: DType) -> Result<()> {
    if !dtype.is_differentiable() {
        bail!("linalg.vector_norm: dtype should be floating point or complex, but got {}", dtype.cpp_name());
    }
    if input.is_complex() != dtype.is_complex() {
        let kind = if input.is_complex() { "complex" } else { "real" };
        bail!("linalg.vector_norm: dtype should be {kind} for {kind} inputs, but got {}", dtype.cpp_name());
    }
    if input.promote(dtype) != dtype {
        bail!(
            "linalg.vector_norm: the dtype of the input ({}) should be convertible without narrowing to the specified dtype ({})",
            input.cpp_name(),
            dtype.cpp_name()
        );
    }
    Ok(())
}

/// The gradient of a norm; 0 is chosen among the subgradients at 0.
pub(crate) fn norm_backward(
    grad: &Tensor,
    x: &Tensor,
    norm: &Tensor,
    p: f64,
    g: &Geometry,
) -> Result<Tensor> {
    let (grad, norm) = (g.unreduce(grad)?, g.unreduce(norm)?);
    let zero_norm = || f::eq_scalar(&norm.alias(), 0i64.into());
    // Powers of a norm that is masked out must be finite, or zeros times infinities follow in second derivatives.
    let positive = || f::where_scalar_self(&zero_norm()?, 1.0.into(), &norm);
    Ok(match Norm::new(p) {
        Norm::Zero => {
            let (dtype, device) = (x.dtype(), x.device());
            Tensor::zeros_raw(&x.sizes(), dtype, device)?
        }
        Norm::One => f::mul(&f::sgn(x)?, &grad)?,
        Norm::Two => f::mul(&zero_where(&zero_norm()?, &f::div(x, &norm)?)?, &grad)?,
        Norm::Max | Norm::Min => {
            let magnitude = f::abs(&x.alias())?;
            let nan = f::logical_and(&f::isnan(&norm.alias())?, &f::isnan(&magnitude)?)?;
            let mask = f::logical_or(&f::eq(&magnitude, &norm.alias())?, &nan)?;
            let count = super::sum_dim(&mask, Some(&g.dims()), true, None)?;
            f::mul(&f::mul(&f::sgn(x)?, &mask)?, &f::div(&grad, &count)?)?
        }
        Norm::P(p) if p < 2.0 => {
            let scaled = f::mul(&f::sgn(x)?, &f::pow_scalar(&f::abs(x)?, (p - 1.0).into())?)?;
            let scaled =
                if p < 1.0 { zero_where(&f::eq_scalar(&x.alias(), 0i64.into())?, &scaled)? } else { scaled };
            let factor =
                zero_where(&zero_norm()?, &f::mul(&grad, &f::pow_scalar(&positive()?, (1.0 - p).into())?)?)?;
            f::mul(&scaled, &factor)?
        }
        Norm::P(p) => {
            let scaled = f::mul(x, &f::pow_scalar(&f::abs(x)?, (p - 2.0).into())?)?;
            let factor =
                zero_where(&zero_norm()?, &f::div(&grad, &f::pow_scalar(&positive()?, (p - 1.0).into())?)?)?;
            f::mul(&scaled, &factor)?
        }
    })
}

/// `torch.norm` of a numeric order (2 unless given).
pub fn norm_scalar(
    self_: &Tensor,
    p: Option<Scalar>,
    dim: Option<&[i64]>,
    keepdim: bool,
    dtype: Option<DType>,
) -> Result<Tensor> {
    if self_.is_sparse() && dim.is_none() {
        return ops::sparse::norm(self_, p.unwrap_or(Scalar::Int(2)), dtype);
    }
    linalg_vector_norm(self_, p.unwrap_or(Scalar::Int(2)), dim, keepdim, dtype)
}

/// `torch.norm` of a named order: the Frobenius norm `fro`, or the nuclear norm `nuc` of matrices.
pub fn norm(
    self_: &Tensor,
    p: &str,
    dim: Option<&[i64]>,
    keepdim: bool,
    dtype: Option<DType>,
) -> Result<Tensor> {
    if p == "fro" && dim.is_none_or(|d| d.len() == 1) {
        return linalg_vector_norm(self_, Scalar::Int(2), dim, keepdim, dtype);
    }
    let all: flambeau_core::Dims = (0..self_.dim() as i64).collect();
    ops::linalg::linalg_matrix_norm_str(self_, p, dim.unwrap_or(&all), keepdim, dtype)
}

/// `torch.dist`: the norm of a difference.
pub fn dist(self_: &Tensor, other: &Tensor, p: Scalar) -> Result<Tensor> {
    let (a, b) = (self_.alias(), other.alias());
    let difference = f::sub(&a, &b, 1i64.into())?;
    if !difference.dtype().is_differentiable() {
        bail!(
            NotImplemented,
            "norm(): input dtype should be either floating point or complex. Got {} instead.",
            difference.dtype().cpp_name()
        );
    }
    let out = linalg_vector_norm(&difference, p, None, false, None)?;
    let save = [Save::Input(self_), Save::Input(other), Save::Output(0)];
    record(&[&out], "DistBackward0", &[self_, other], &save, move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None, None]) };
        let (a, b) = (ctx.saved(0)?, ctx.saved(1)?);
        let difference = f::sub(&a, &b, 1i64.into())?;
        let g = Geometry::new(&difference.sizes(), None, false)?;
        let grad = norm_backward(grad, &difference, &ctx.saved(2)?, p.to_f64(), &g)?;
        let second = if ctx.needs(1) { Some(ops::sum_to_size(&f::neg(&grad)?, &b.sizes())?) } else { None };
        Ok(smallvec![Some(ops::sum_to_size(&grad, &a.sizes())?), second])
    })?;
    Ok(out)
}

/// `torch.renorm`: scales each slice along `dim` down to the norm `maxnorm`.
pub fn renorm(self_: &Tensor, p: Scalar, dim: i64, maxnorm: Scalar) -> Result<Tensor> {
    if p.is_complex() {
        bail!("renorm: p must be real-valued");
    }
    if p.to_f64() <= 0.0 {
        bail!("renorm: non-positive-norm not supported");
    }
    if maxnorm.is_complex() {
        bail!("renorm: maxnorm must be real-valued");
    }
    let limit = maxnorm.to_f64();
    if limit < 0.0 {
        bail!("renorm: expected maxnorm to be >= 0 but got {limit}");
    }
    let rank = self_.dim();
    if rank < 2 {
        bail!("renorm: input needs at least 2 dimensions, got {rank} dimensions");
    }
    let d = flambeau_core::wrap_dim(dim, rank)?;
    let dims: flambeau_core::Dims = (0..rank).filter(|&i| i != d).map(|i| i as i64).collect();
    // Halves are scaled by factors of single precision.
    let wide = match self_.dtype() {
        DType::Float16 | DType::BFloat16 => Some(DType::Float32),
        _ => None,
    };
    let norm = linalg_vector_norm(self_, p, Some(&dims), true, wide)?;
    // The small addend keeps the result within the limit in spite of rounding.
    let factor =
        f::mul_scalar(&f::reciprocal(&f::add_scalar(&norm, 1e-7.into(), 1i64.into())?)?, limit.into())?;
    let one = ops::creation::scalar_tensor(1i64.into(), factor.dtype())?;
    let factor = f::where_(&f::gt_scalar(&norm.alias(), maxnorm)?, &factor, &one)?;
    let scaled = f::mul(self_, &factor)?;
    ops::shape::to_dtype(&scaled, self_.dtype())
}
