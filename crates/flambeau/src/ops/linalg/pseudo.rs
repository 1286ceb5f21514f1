//! Pseudo-inverses, ranks, condition numbers and cross products.

use super::batch::Buffer;
use super::{
    add, adjoint, batch_sizes, check_float, check_matrix, check_square, columns, eye, in_dtype_of,
    linalg_eigh, linalg_inv_ex, linalg_matrix_norm, linalg_matrix_norm_str, linalg_svd, linalg_svdvals, rows,
    sub, with,
};
use crate::Tensor;
use crate::autograd::{GradMode, Save, record};
use crate::generated::functions as f;
use crate::ops::creation::scalar_tensor;
use crate::ops::matmul::matmul;
use crate::ops::reduce::{amax, sum_dim};
use crate::ops::tile::roll;
use crate::ops::{common_device, shape, sum_to_size};
use flambeau_core::{DType, Result, Scalar, bail, broadcast_shapes, show, wrap_dim};
use smallvec::smallvec;

/// Bounds below which singular values count as zero, one for each matrix.
#[derive(Clone, Default)]
struct Bounds {
    atol: Option<Tensor>,
    rtol: Option<Tensor>,
}

impl Bounds {
    fn numbers(atol: Option<f64>, rtol: Option<f64>) -> Result<Self> {
        let tensor = |v: Option<f64>| v.map(|v| scalar_tensor(v.into(), DType::Float64)).transpose();
        Ok(Bounds { atol: tensor(atol)?, rtol: tensor(rtol)? })
    }

    fn tensors(name: &str, atol: (Option<&Tensor>, &str), rtol: (Option<&Tensor>, &str)) -> Result<Self> {
        for (t, argument) in [atol, rtol] {
            if let Some(t) = t
                && t.is_complex()
            {
                bail!(
                    "torch.linalg.{name}: {argument} tensor of complex type is not supported. Got {}",
                    t.dtype().cpp_name()
                );
            }
        }
        Ok(Bounds { atol: atol.0.map(Tensor::alias), rtol: rtol.0.map(Tensor::alias) })
    }

    /// Which of the singular values `s` of `t` are above the larger of `atol` and `rtol` times the largest.
    fn counted(&self, t: &Tensor, s: &Tensor) -> Result<Tensor> {
        let (m, n) = check_matrix(t, "linalg.pinv", "A")?;
        let epsilon = if s.dtype() == DType::Float64 { f64::EPSILON } else { f32::EPSILON as f64 };
        let usual = epsilon * m.max(n) as f64;
        let atol = match &self.atol {
            Some(atol) => atol.clone(),
            None => scalar_tensor(0.0.into(), DType::Float64)?,
        };
        let rtol = match &self.rtol {
            Some(rtol) => rtol.clone(),
            None => {
                let usual = scalar_tensor(usual.into(), DType::Float64)?;
                f::where_scalar_self(&f::gt_scalar(&atol, 0i64.into())?, 0.0.into(), &usual)?
            }
        };
        let (atol, rtol) = (rows(&atol)?, rows(&rtol)?);
        let largest = match s.size(-1)? {
            0 => sum_dim(s, Some(&[-1]), true, None)?,
            _ => amax(s, &[-1], true)?,
        };
        f::gt(s, &f::maximum(&atol, &f::mul(&rtol, &largest)?)?)
    }
}

/// The gradient of the pseudo-inverse `p` of `a` (Golub and Pereyra, "The differentiation of pseudo-inverses", 1973).
pub(super) fn pinv_grad(grad: &Tensor, a: &Tensor, p: &Tensor) -> Result<Tensor> {
    let (ph, gh) = (adjoint(p)?, adjoint(grad)?);
    let (m, n) = (a.size(-2)? as usize, a.size(-1)? as usize);
    let left = sub(&eye(m, m, a.dtype(), a)?, &matmul(a, p)?)?;
    let right = sub(&eye(n, n, a.dtype(), a)?, &matmul(p, a)?)?;
    let first = matmul(&matmul(&ph, grad)?, &ph)?;
    let second = matmul(&matmul(&left, &gh)?, &matmul(p, &ph)?)?;
    let third = matmul(&matmul(&ph, p)?, &matmul(&gh, &right)?)?;
    sub(&add(&second, &third)?, &first)
}

fn pseudo(a: &Tensor, bounds: &Bounds, hermitian: bool) -> Result<Tensor> {
    check_pinv(a)?;
    if hermitian {
        check_square(a, "linalg.eigh")?;
    }
    let out = if a.numel() == 0 {
        // There may be vastly many matrices without elements.
        let (m, n) = (a.size(-2)? as usize, a.size(-1)? as usize);
        Tensor::empty_raw(&with(&batch_sizes(a), &[n, m]), a.dtype(), a.device())?
    } else {
        let _guard = GradMode::no_grad();
        let a = a.alias();
        let (u, s, vh, size) = if hermitian {
            let (l, v) = linalg_eigh(&a, "L")?;
            let size = f::abs(&l)?;
            let vh = adjoint(&v)?;
            (v, l, vh, size)
        } else {
            let (u, s, vh) = linalg_svd(&a, false, None)?;
            (u, s.clone(), vh, s)
        };
        let keep = bounds.counted(&a, &size)?;
        let inverse = f::where_scalar_other(&keep, &f::reciprocal(&s)?, 0.0.into())?;
        let scaled = f::mul(&adjoint(&vh)?, &columns(&in_dtype_of(&inverse, &a)?)?)?;
        Tensor::from_array(matmul(&scaled, &adjoint(&u)?)?.array())
    };
    record(&[&out], "LinalgPinvBackward0", &[a], &[Save::Input(a), Save::Output(0)], |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        let (a, p) = (ctx.saved(0)?, ctx.saved(1)?);
        Ok(smallvec![Some(sum_to_size(&pinv_grad(grad, &a, &p)?, &a.sizes())?)])
    })?;
    Ok(out)
}

fn check_pinv(t: &Tensor) -> Result<()> {
    if t.dim() < 2 || !t.dtype().is_differentiable() {
        bail!(
            "linalg.pinv({}{{{}}}): expected a tensor with 2 or more dimensions of float, double, cfloat or cdouble types",
            t.dtype().cpp_name(),
            show(&t.sizes())
        );
    }
    check_float(t, "linalg.pinv", false)
}

/// `torch.linalg.pinv`: the Moore-Penrose inverse; singular values up to `max(atol, rtol * largest)` count as zero.
pub fn linalg_pinv(self_: &Tensor, atol: Option<f64>, rtol: Option<f64>, hermitian: bool) -> Result<Tensor> {
    pseudo(self_, &Bounds::numbers(atol, rtol)?, hermitian)
}

/// `torch.linalg.pinv` with bounds for each matrix.
pub fn linalg_pinv_tensors(
    self_: &Tensor,
    atol: Option<&Tensor>,
    rtol: Option<&Tensor>,
    hermitian: bool,
) -> Result<Tensor> {
    pseudo(self_, &Bounds::tensors("pinv", (atol, "atol"), (rtol, "rtol"))?, hermitian)
}

/// `torch.linalg.pinv` with a relative bound.
pub fn linalg_pinv_rcond(self_: &Tensor, rcond: f64, hermitian: bool) -> Result<Tensor> {
    linalg_pinv(self_, Some(0.0), Some(rcond), hermitian)
}

/// `torch.linalg.pinv` with a relative bound for each matrix.
pub fn linalg_pinv_rcond_tensor(self_: &Tensor, rcond: &Tensor, hermitian: bool) -> Result<Tensor> {
    pseudo(self_, &Bounds::tensors("pinv", (None, "atol"), (Some(rcond), "rcond"))?, hermitian)
}

/// `torch.pinverse`
pub fn pinverse(self_: &Tensor, rcond: f64) -> Result<Tensor> {
    linalg_pinv_rcond(self_, rcond, false)
}

fn rank(a: &Tensor, bounds: &Bounds, hermitian: bool) -> Result<Tensor> {
    check_matrix(a, "torch.linalg.matrix_rank", "input")?;
    if !a.dtype().is_differentiable() {
        bail!("This function doesn't handle types other than float and double");
    }
    let a = a.alias();
    let _guard = GradMode::no_grad();
    let s = if hermitian { f::abs(&linalg_eigh(&a, "L")?.0)? } else { linalg_svdvals(&a, None)? };
    sum_dim(&bounds.counted(&a, &s)?, Some(&[-1]), false, None)
}

/// `torch.linalg.matrix_rank`: how many singular values are above `max(atol, rtol * largest)`.
pub fn linalg_matrix_rank(
    self_: &Tensor,
    atol: Option<f64>,
    rtol: Option<f64>,
    hermitian: bool,
) -> Result<Tensor> {
    rank(self_, &Bounds::numbers(atol, rtol)?, hermitian)
}

/// `torch.linalg.matrix_rank` with bounds for each matrix.
pub fn linalg_matrix_rank_tensors(
    input: &Tensor,
    atol: Option<&Tensor>,
    rtol: Option<&Tensor>,
    hermitian: bool,
) -> Result<Tensor> {
    rank(input, &Bounds::tensors("matrix_rank", (atol, "atol"), (rtol, "rtol"))?, hermitian)
}

/// `torch.linalg.matrix_rank` with an absolute bound.
pub fn linalg_matrix_rank_tol(self_: &Tensor, tol: f64, hermitian: bool) -> Result<Tensor> {
    linalg_matrix_rank(self_, Some(tol), Some(0.0), hermitian)
}

/// `torch.linalg.matrix_rank` with an absolute bound for each matrix.
pub fn linalg_matrix_rank_tol_tensor(input: &Tensor, tol: &Tensor, hermitian: bool) -> Result<Tensor> {
    let mut bounds = Bounds::tensors("matrix_rank", (Some(tol), "atol"), (None, "rtol"))?;
    bounds.rtol = Some(scalar_tensor(0.0.into(), DType::Float64)?);
    rank(input, &bounds, hermitian)
}

fn check_cond(t: &Tensor) -> Result<()> {
    if t.dim() < 2 {
        bail!("linalg.cond: The input tensor must have at least 2 dimensions.");
    }
    Ok(())
}

/// The norm of square matrices times that of their inverses; infinite for singular ones, 0 for empty ones.
fn condition(t: &Tensor, order: &str, norm: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    if t.numel() == 0 {
        return Tensor::zeros_raw(&batch_sizes(t), t.dtype().to_real(), t.device());
    }
    check_square(t, &format!("linalg.cond(ord={order})"))?;
    let (inverse, info) = linalg_inv_ex(t, false)?;
    let product = f::mul(&norm(t)?, &norm(&inverse)?)?;
    if Buffer::<i32>::of(&info)?.slice().iter().all(|&i| i == 0) {
        return Ok(product);
    }
    f::where_scalar_self(&f::ne_scalar(&info, 0i64.into())?, f64::INFINITY.into(), &product)
}

/// `torch.linalg.cond`: the condition number in a norm (the 2-norm where `p` is not given).
pub fn linalg_cond(self_: &Tensor, p: Option<Scalar>) -> Result<Tensor> {
    check_cond(self_)?;
    let order = p.unwrap_or(Scalar::Int(2));
    let value = match order {
        Scalar::Int(i) => i as f64,
        Scalar::Float(v) => v,
        _ => bail!("linalg.cond got an invalid norm type"),
    };
    if value.abs() == 2.0 {
        let s = linalg_svdvals(self_, None)?;
        let k = s.size(-1)?;
        if k == 0 {
            return sum_dim(&s, Some(&[-1]), false, None);
        }
        let (largest, least) = (shape::select(&s, -1, 0)?, shape::select(&s, -1, k - 1)?);
        return if value < 0.0 { f::div(&least, &largest) } else { f::div(&largest, &least) };
    }
    if value.abs() != 1.0 && !value.is_infinite() {
        bail!("linalg.cond got an invalid norm type: {value}");
    }
    condition(self_, &value.to_string(), |t| linalg_matrix_norm(t, order, &[-2, -1], false, None))
}

/// `torch.linalg.cond` in the norm `fro` or `nuc`.
pub fn linalg_cond_str(self_: &Tensor, p: &str) -> Result<Tensor> {
    check_cond(self_)?;
    if p != "fro" && p != "nuc" {
        bail!(Value, "linalg.cond got an invalid norm type: {p}");
    }
    condition(self_, p, |t| linalg_matrix_norm_str(t, p, &[-2, -1], false, None))
}

/// `torch.linalg.cross`: the cross product along a dimension of size 3.
pub fn linalg_cross(self_: &Tensor, other: &Tensor, dim: i64) -> Result<Tensor> {
    let (a, b) = (self_.sizes(), other.sizes());
    if a.len() != b.len() {
        bail!("linalg.cross: inputs must have the same number of dimensions.");
    }
    let at = wrap_dim(dim, a.len())?;
    if a.is_empty() || a[at] != 3 || b[at] != 3 {
        let size = |s: &[i64]| s.get(at).copied().unwrap_or(1);
        bail!("linalg.cross: inputs dimension {dim} must have length 3. Got {} and {}", size(&a), size(&b));
    }
    common_device(&[self_, other])?;
    let sizes = broadcast_shapes(&a, &b)?;
    let (x, y, d) = (shape::expand(self_, &sizes)?, shape::expand(other, &sizes)?, at as i64);
    let turn = |t: &Tensor, by: i64| roll(t, &[by], &[d]);
    let forward = f::mul(&turn(&x, -1)?, &turn(&y, -2)?)?;
    sub(&forward, &f::mul(&turn(&x, -2)?, &turn(&y, -1)?)?)
}

/// `torch.cross`: as [`linalg_cross`], along the first dimension of size 3 unless given.
pub fn cross(self_: &Tensor, other: &Tensor, dim: Option<i64>) -> Result<Tensor> {
    let dim = match dim {
        Some(dim) => dim,
        None => match self_.sizes().iter().position(|&n| n == 3) {
            Some(d) => {
                crate::warn_once!(
                    "Using torch.cross without specifying the dim arg is deprecated.\nPlease either pass the dim explicitly or simply use torch.linalg.cross.\nThe default value of dim will change to agree with that of linalg.cross in a future release.",
                );
                d as i64
            }
            None => bail!("no dimension of size 3 in input"),
        },
    };
    linalg_cross(self_, other, dim)
}
