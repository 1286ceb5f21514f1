//! Reductions.

use crate::Tensor;
use crate::autograd::record;
use crate::ops::{operand, shape};
use flambeau_core::{DType, Dims, Result, bail, wrap_dim};
use smallvec::{SmallVec, smallvec};

/// Which dimensions a `dim` argument names; none or an empty list means all.
pub fn reduced_dims(dim: Option<&[i64]>, rank: usize) -> Result<SmallVec<[bool; 6]>> {
    let mut mask: SmallVec<[bool; 6]> = SmallVec::from_elem(false, rank);
    match dim {
        None | Some([]) => mask.fill(true),
        Some(list) => {
            for &d in list {
                let d = wrap_dim(d, rank)?;
                if rank > 0 {
                    if mask[d] {
                        bail!("dim {d} appears multiple times in the list of dims");
                    }
                    mask[d] = true;
                }
            }
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

/// `torch.sum` over all elements.
pub fn sum(self_: &Tensor, dtype: Option<DType>) -> Result<Tensor> {
    sum_dim(self_, None, false, dtype)
}

/// `torch.sum` over dimensions (all of them if `dim` is none or empty).
pub fn sum_dim(self_: &Tensor, dim: Option<&[i64]>, keepdim: bool, dtype: Option<DType>) -> Result<Tensor> {
    let input = self_.array();
    let mask = reduced_dims(dim, input.dim())?;
    let result = dtype.unwrap_or(if input.dtype.is_integral_or_bool() { DType::Int64 } else { input.dtype });
    let full = reduced_sizes(&input.sizes, &mask, true);
    let kept = reduced_sizes(&input.sizes, &mask, keepdim);
    let out = Tensor::empty_raw(&kept, result, input.device())?;
    if !input.device().is_meta() {
        let mut target = out.array();
        target.strides = flambeau_core::contiguous_strides(&full);
        // SAFETY: the output has one element for each index with reduced dimensions 0.
        unsafe { flambeau_cpu::reduce::sum(&operand(&input), &operand(&target), &input.sizes, &mask)? };
    }
    let (sizes, dtype) = (input.sizes, input.dtype);
    record(
        &[&out],
        if dim.is_some() { "SumBackward1" } else { "SumBackward0" },
        &[self_],
        &[],
        move |ctx| {
            let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
            let grad = if keepdim { grad.clone() } else { shape::view(grad, &full)? };
            let _ = dtype;
            Ok(smallvec![Some(shape::expand(&grad, &sizes)?)])
        },
    )?;
    Ok(out)
}
