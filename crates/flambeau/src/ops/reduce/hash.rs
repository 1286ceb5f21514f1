//! Hashes of elements.

use super::Geometry;
use crate::Tensor;
use crate::ops::shape;
use flambeau_core::{DType, Result, bail};

/// `torch.hash_tensor`: exclusive or of the bits of each element as `float64` or `int64`.
pub fn hash_tensor(self_: &Tensor, dim: &[i64], keepdim: bool, mode: i64) -> Result<Tensor> {
    if mode != 0 {
        bail!("Unknown hash_tensor mode: {mode}");
    }
    let a = self_.array();
    let g = Geometry::new(&a.sizes, Some(dim), keepdim)?;
    if dim.is_empty() && a.numel() == 0 {
        bail!(
            "hash_tensor: Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' argument."
        );
    }
    if a.dtype.is_complex() || matches!(a.dtype, DType::UInt16 | DType::UInt32 | DType::UInt64) {
        bail!(NotImplemented, "\"xor_sum_cpu\" not implemented for '{}'", a.dtype.cpp_name());
    }
    let sizes = g.result();
    if self_.is_meta() {
        return Tensor::empty_raw(&sizes, DType::UInt64, a.device());
    }
    if g.count() == 0 {
        return Tensor::zeros_raw(&sizes, DType::UInt64, a.device());
    }
    // Reduced dimensions last: each result hashes a run.
    let (kept, reduced): (Vec<i64>, Vec<i64>) = (0..a.dim() as i64).partition(|&d| !g.mask[d as usize]);
    let moved = shape::permute(&self_.alias(), &[kept, reduced].concat())?;
    let bits: Vec<u64> = if a.dtype.is_floating_point() {
        moved.to_vec::<f64>()?.into_iter().map(f64::to_bits).collect()
    } else {
        moved.to_vec::<i64>()?.into_iter().map(i64::cast_unsigned).collect()
    };
    let runs = bits.chunks_exact(g.count() as usize);
    let hashes: Vec<u64> = runs.map(|run| run.iter().fold(0, |hash, b| hash ^ b)).collect();
    Tensor::from_slice(&hashes, &sizes)
}
