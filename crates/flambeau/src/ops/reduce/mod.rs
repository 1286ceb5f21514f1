//! Reductions.

mod extrema;
mod hash;
mod lines;
mod logical;
mod masks;
mod moments;
mod norms;
mod product;
mod sums;
#[cfg(test)]
mod tests;

pub(crate) use extrema::record_selection;
pub use extrema::{amax, amin, aminmax, argmax, argmin, max, max_dim, min, min_dim};
pub use hash::hash_tensor;
pub(crate) use lines::{moved_back, moved_last, put_along, shifted};
pub use logical::{
    all, all_dim, all_dims, any, any_dim, any_dims, count_nonzero, count_nonzero_dim_int_list,
};
pub(crate) use masks::{conj, has_zero, unsupported_gradient, zero_where};
pub use moments::{
    std, std_correction, std_dim, std_mean, std_mean_correction, std_mean_dim, var, var_correction, var_dim,
    var_mean, var_mean_correction, var_mean_dim,
};
pub(crate) use norms::norm_backward;
pub use norms::{dist, linalg_vector_norm, norm, norm_scalar, renorm};
pub use product::{prod, prod_dim_int};
pub use sums::{mean, mean_dim, nanmean, nansum, sum, sum_dim};

use crate::Tensor;
use crate::ops::{operand, shape};
use flambeau_core::{Array, DType, Dims, Result, bail, contiguous_strides, wrap_dim};
use flambeau_cpu::pointwise::Operand;
use smallvec::SmallVec;

/// Which dimensions a `dim` argument names; none or an empty list means all.
pub fn reduced_dims(dim: Option<&[i64]>, rank: usize) -> Result<SmallVec<[bool; 6]>> {
    match dim {
        None | Some([]) => Ok(SmallVec::from_elem(true, rank)),
        Some(list) => named_dims(list, rank),
    }
}

/// Which dimensions a list names.
fn named_dims(list: &[i64], rank: usize) -> Result<SmallVec<[bool; 6]>> {
    let mut mask: SmallVec<[bool; 6]> = SmallVec::from_elem(false, rank);
    let mut seen: SmallVec<[usize; 6]> = SmallVec::new();
    for &d in list {
        let d = wrap_dim(d, rank)?;
        if seen.contains(&d) {
            bail!("dim {d} appears multiple times in the list of dims");
        }
        seen.push(d);
        if rank > 0 {
            mask[d] = true;
        }
    }
    Ok(mask)
}

/// Sizes after a reduction with `keepdim`, and without.
pub fn reduced_sizes(sizes: &[i64], mask: &[bool], keepdim: bool) -> Dims {
    let mut out = Dims::new();
    for (&size, &reduced) in sizes.iter().zip(mask) {
        if !reduced {
            out.push(size);
        } else if keepdim {
            out.push(1);
        }
    }
    out
}

/// The shape of a reduction: what forward and backward formulas need of it.
#[derive(Clone, Debug)]
pub(crate) struct Geometry {
    pub sizes: Dims,
    pub mask: SmallVec<[bool; 6]>,
    /// Sizes with 1 for each reduced dimension.
    pub full: Dims,
    pub keepdim: bool,
}

impl Geometry {
    pub fn new(sizes: &[i64], dim: Option<&[i64]>, keepdim: bool) -> Result<Geometry> {
        Ok(Self::of_mask(sizes, reduced_dims(dim, sizes.len())?, keepdim))
    }
    pub fn of_mask(sizes: &[i64], mask: SmallVec<[bool; 6]>, keepdim: bool) -> Geometry {
        let full = reduced_sizes(sizes, &mask, true);
        Geometry { sizes: Dims::from_slice(sizes), mask, full, keepdim }
    }
    /// Sizes of the result.
    pub fn result(&self) -> Dims {
        if self.keepdim { self.full.clone() } else { reduced_sizes(&self.sizes, &self.mask, false) }
    }
    /// Number of elements that share a result.
    pub fn count(&self) -> i64 {
        let reduced: Dims = self.sizes.iter().zip(&self.mask).filter(|(_, m)| **m).map(|(&s, _)| s).collect();
        flambeau_core::count(&reduced)
    }
    /// The reduced dimensions as a list.
    pub fn dims(&self) -> Dims {
        (0..self.mask.len()).filter(|&d| self.mask[d]).map(|d| d as i64).collect()
    }
    /// A tensor of the result's shape with the reduced dimensions as ones; differentiable.
    pub fn unreduce(&self, t: &Tensor) -> Result<Tensor> {
        if self.keepdim { Ok(t.clone()) } else { shape::view(t, &self.full) }
    }
    /// A tensor of the result's shape expanded to the input's; differentiable.
    pub fn expand(&self, t: &Tensor) -> Result<Tensor> {
        shape::expand(&self.unreduce(t)?, &self.sizes)
    }
    /// A fresh result, and how kernels see it: with the input's rank.
    pub fn output(&self, dtype: DType, like: &Array) -> Result<(Tensor, Operand)> {
        let (out, pointer) = Tensor::empty_at(&self.result(), dtype, like.device())?;
        let strides = contiguous_strides(&self.full);
        let to = Operand { pointer, dtype, strides };
        Ok((out, to))
    }
    /// Computes a result of `dtype` by a kernel of input and output, which is not called on meta tensors.
    pub fn compute(
        &self,
        input: &Array,
        dtype: DType,
        kernel: impl FnOnce(&Operand, &Operand) -> Result<()>,
    ) -> Result<Tensor> {
        let (out, to) = self.output(dtype, input)?;
        if !input.device().is_meta() {
            kernel(&operand(input), &to)?;
        }
        Ok(out)
    }
}

/// Fails unless every reduced dimension has elements, for reductions without an identity.
fn check_nonempty(g: &Geometry, name: &str, separator: &str) -> Result<()> {
    for (d, (&size, &reduced)) in g.sizes.iter().zip(&g.mask).enumerate() {
        if reduced && size == 0 {
            bail!(Index, "{name}{separator} Expected reduction dim {d} to have non-zero size.");
        }
    }
    Ok(())
}

/// Fails for complex and for unsigned types of more than 8 bits, which ordered reductions don't serve.
pub(crate) fn check_ordered(dtype: DType, kernel: &str) -> Result<()> {
    if dtype.is_complex() || matches!(dtype, DType::UInt16 | DType::UInt32 | DType::UInt64) {
        bail!(NotImplemented, "\"{kernel}\" not implemented for '{}'", dtype.cpp_name());
    }
    Ok(())
}
