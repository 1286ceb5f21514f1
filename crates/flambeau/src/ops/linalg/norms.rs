//! Norms of matrices.

use super::{check_float, check_matrix, linalg_svdvals};
use crate::Tensor;
use crate::ops::reduce::{amax, amin, linalg_vector_norm, sum_dim};
use crate::ops::shape;
use flambeau_core::{DType, Dims, Result, Scalar, bail, show, wrap_dim};

fn order(ord: Scalar) -> Result<f64> {
    match ord {
        Scalar::Complex(_) => {
            bail!("linalg.matrix_norm: Expected a non-complex scalar as the order of norm.")
        }
        Scalar::Bool(b) => Ok(b as i64 as f64),
        Scalar::Int(i) => Ok(i as f64),
        Scalar::UInt(i) => Ok(i as f64),
        Scalar::Float(v) => Ok(v),
    }
}

fn plain(dims: &[i64]) -> String {
    dims.iter().map(|d| d.to_string()).collect::<Vec<_>>().join(" ")
}

/// The dimensions of the matrices, and the input in the dtype that is asked for.
fn prepare(t: &Tensor, dim: &[i64], dtype: Option<DType>, low: bool) -> Result<(Tensor, usize, usize)> {
    let name = "linalg.matrix_norm";
    check_matrix(t, name, "A")?;
    check_float(t, name, low)?;
    let [p, q] = dim[..] else { bail!("{name}: dim must be a 2-tuple. Got {}", plain(dim)) };
    let (i, j) = (wrap_dim(p, t.dim())?, wrap_dim(q, t.dim())?);
    if i == j {
        bail!("{name}: dims must be different. Got ({p}, {q})");
    }
    let t = match dtype {
        Some(dtype) if !dtype.is_differentiable() => {
            bail!("{name}: dtype should be floating point or complex, but got {}", dtype.cpp_name())
        }
        Some(dtype) => shape::to_dtype(t, dtype)?,
        None => t.clone(),
    };
    Ok((t, i, j))
}

/// Singular values of the matrices in two dimensions, in a last one.
fn values(t: &Tensor, i: usize, j: usize) -> Result<Tensor> {
    let mut order: Dims = (0..t.dim()).filter(|&d| d != i && d != j).map(|d| d as i64).collect();
    order.extend([i as i64, j as i64]);
    linalg_svdvals(&shape::permute(t, &order)?, None)
}

/// Puts two dimensions of size 1 back where `keepdim`.
fn keep(out: Tensor, i: usize, j: usize, keepdim: bool) -> Result<Tensor> {
    if !keepdim {
        return Ok(out);
    }
    let (first, second) = (i.min(j) as i64, i.max(j) as i64);
    shape::unsqueeze(&shape::unsqueeze(&out, first)?, second)
}

/// `torch.linalg.matrix_norm` of a numeric order: 1, -1, 2, -2, infinity or minus infinity.
pub fn linalg_matrix_norm(
    self_: &Tensor,
    ord: Scalar,
    dim: &[i64],
    keepdim: bool,
    dtype: Option<DType>,
) -> Result<Tensor> {
    let p = order(ord)?;
    let size = p.abs();
    let spectral = size == 2.0;
    let (t, i, j) = prepare(self_, dim, dtype, !spectral)?;
    if !(spectral || size == 1.0 || size == f64::INFINITY) {
        bail!("linalg.matrix_norm: Order {p} not supported.");
    }
    let extreme = |t: &Tensor, d: i64, keepdim: bool| -> Result<Tensor> {
        if p > 0.0 && t.sizes()[wrap_dim(d, t.dim())?] == 0 {
            // The largest of no absolute values.
            return sum_dim(t, Some(&[d]), keepdim, None);
        }
        if p > 0.0 { amax(t, &[d], keepdim) } else { amin(t, &[d], keepdim) }
    };
    if spectral {
        return keep(extreme(&values(&t, i, j)?, -1, false)?, i, j, keepdim);
    }
    let (summed, other) = if size == 1.0 { (i as i64, j as i64) } else { (j as i64, i as i64) };
    let sums = linalg_vector_norm(&t, 1i64.into(), Some(&[summed]), true, None)?;
    let out = extreme(&sums, other, true)?;
    if keepdim { Ok(out) } else { shape::squeeze_dims(&out, &[i as i64, j as i64]) }
}

/// `torch.linalg.matrix_norm` of a named order: `fro` or `nuc`, the sum of the singular values.
pub fn linalg_matrix_norm_str(
    self_: &Tensor,
    ord: &str,
    dim: &[i64],
    keepdim: bool,
    dtype: Option<DType>,
) -> Result<Tensor> {
    match ord {
        "fro" => {
            let (_, i, j) = prepare(self_, dim, None, true)?;
            if let Some(dtype) = dtype
                && !dtype.is_differentiable()
            {
                prepare(self_, dim, Some(dtype), true)?;
            }
            linalg_vector_norm(self_, 2i64.into(), Some(&[i as i64, j as i64]), keepdim, dtype)
        }
        "nuc" => {
            let (t, i, j) = prepare(self_, dim, dtype, false)?;
            keep(sum_dim(&values(&t, i, j)?, Some(&[-1]), false, None)?, i, j, keepdim)
        }
        other => {
            check_matrix(self_, "linalg.matrix_norm", "A")?;
            bail!("linalg.matrix_norm: Order {other} not supported.")
        }
    }
}

fn check_dims(t: &Tensor, dim: Option<&[i64]>, ordered: bool) -> Result<()> {
    if let Some(dim) = dim
        && dim.len() != 1
        && dim.len() != 2
    {
        bail!("linalg.norm: If dim is specified, it must be of length 1 or 2. Got {}", show(dim));
    }
    if dim.is_none() && ordered && t.dim() != 1 && t.dim() != 2 {
        bail!(
            "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. Got {}D.",
            t.dim()
        );
    }
    Ok(())
}

/// `torch.linalg.norm`: the 2-norm of all elements where `ord` is not given; otherwise the norm of vectors for one
/// dimension and of matrices for two.
pub fn linalg_norm(
    self_: &Tensor,
    ord: Option<Scalar>,
    dim: Option<&[i64]>,
    keepdim: bool,
    dtype: Option<DType>,
) -> Result<Tensor> {
    check_dims(self_, dim, ord.is_some())?;
    match ord {
        Some(ord) if dim.map_or(self_.dim(), |d| d.len()) == 2 => {
            linalg_matrix_norm(self_, ord, dim.unwrap_or(&[0, 1]), keepdim, dtype)
        }
        _ => linalg_vector_norm(self_, ord.unwrap_or(Scalar::Int(2)), dim, keepdim, dtype),
    }
}

/// `torch.linalg.norm` of a named order, of matrices.
pub fn linalg_norm_str(
    self_: &Tensor,
    ord: &str,
    dim: Option<&[i64]>,
    keepdim: bool,
    dtype: Option<DType>,
) -> Result<Tensor> {
    check_dims(self_, dim, true)?;
    linalg_matrix_norm_str(self_, ord, dim.unwrap_or(&[-2, -1]), keepdim, dtype)
}

/// `torch.nuclear_norm`: the sum of the singular values.
pub fn nuclear_norm(self_: &Tensor, keepdim: bool) -> Result<Tensor> {
    nuclear_norm_dim(self_, &[-2, -1], keepdim)
}

/// `torch.nuclear_norm` over two dimensions.
pub fn nuclear_norm_dim(self_: &Tensor, dim: &[i64], keepdim: bool) -> Result<Tensor> {
    linalg_matrix_norm_str(self_, "nuc", dim, keepdim, None)
}

/// `torch.frobenius_norm`: the 2-norm over at most two dimensions, or over all where none are given.
pub fn frobenius_norm_dim(self_: &Tensor, dim: &[i64], keepdim: bool) -> Result<Tensor> {
    if dim.len() > 2 {
        bail!("Expected at most 2 dimensions, but got {} dimensions instead.", dim.len());
    }
    linalg_vector_norm(self_, 2i64.into(), Some(dim), keepdim, None)
}

/// `torch.norm_except_dim`: the norms of the slices along a dimension; of everything for -1.
pub fn norm_except_dim(v: &Tensor, pow: i64, dim: i64) -> Result<Tensor> {
    if dim == -1 {
        return linalg_vector_norm(v, pow.into(), None, false, None);
    }
    let kept = wrap_dim(dim, v.dim())?;
    let others: Dims = (0..v.dim()).filter(|&d| d != kept).map(|d| d as i64).collect();
    if others.is_empty() {
        return crate::generated::functions::abs(v);
    }
    linalg_vector_norm(v, pow.into(), Some(&others), true, None)
}
