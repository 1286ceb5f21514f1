//! Whether any or all elements are nonzero, and how many.

use super::{Geometry, named_dims};
use crate::Tensor;
use flambeau_core::{DType, Result};
use flambeau_cpu::reduce::{Truth, truth};
use smallvec::SmallVec;

fn reduce(self_: &Tensor, g: &Geometry, what: Truth) -> Result<Tensor> {
    let input = self_.array();
    let dtype = match what {
        Truth::Count => DType::Int64,
        _ if input.dtype == DType::UInt8 => DType::UInt8,
        _ => DType::Bool,
    };
    g.compute(&input, dtype, |src, to| {
        // SAFETY: operands of the geometry's sizes.
        unsafe { truth(src, to, &g.sizes, &g.mask, what) };
        Ok(())
    })
}

/// Without a list all dimensions are reduced, with an empty one none.
fn geometry(self_: &Tensor, dim: Option<&[i64]>, keepdim: bool) -> Result<Geometry> {
    let sizes = self_.sizes();
    let mask = match dim {
        None => SmallVec::from_elem(true, sizes.len()),
        Some(list) => named_dims(list, sizes.len())?,
    };
    Ok(Geometry::of_mask(&sizes, mask, keepdim))
}

/// `torch.any` of all elements.
pub fn any(self_: &Tensor) -> Result<Tensor> {
    any_dims(self_, None, false)
}
/// `torch.any` along a dimension.
pub fn any_dim(self_: &Tensor, dim: i64, keepdim: bool) -> Result<Tensor> {
    any_dims(self_, Some(&[dim]), keepdim)
}
/// `torch.any` over dimensions.
pub fn any_dims(self_: &Tensor, dim: Option<&[i64]>, keepdim: bool) -> Result<Tensor> {
    reduce(self_, &geometry(self_, dim, keepdim)?, Truth::Any)
}
/// `torch.all` of all elements.
pub fn all(self_: &Tensor) -> Result<Tensor> {
    all_dims(self_, None, false)
}
/// `torch.all` along a dimension.
pub fn all_dim(self_: &Tensor, dim: i64, keepdim: bool) -> Result<Tensor> {
    all_dims(self_, Some(&[dim]), keepdim)
}
/// `torch.all` over dimensions.
pub fn all_dims(self_: &Tensor, dim: Option<&[i64]>, keepdim: bool) -> Result<Tensor> {
    let g = geometry(self_, dim, keepdim)?;
    let n = g.count();
    reduce(self_, &g, Truth::All(n))
}
/// `torch.count_nonzero` of all elements or along one dimension.
pub fn count_nonzero(self_: &Tensor, dim: Option<i64>) -> Result<Tensor> {
    count_nonzero_dim_int_list(self_, dim.as_slice())
}
/// `torch.count_nonzero` over dimensions; an empty list means all.
pub fn count_nonzero_dim_int_list(self_: &Tensor, dim: &[i64]) -> Result<Tensor> {
    reduce(self_, &Geometry::new(&self_.sizes(), Some(dim), false)?, Truth::Count)
}
