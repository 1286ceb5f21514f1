//! Dense operands on the CPU of which one thread makes do: the common case of programs that work element by element,
//! without the copies of descriptions and the planning that the general way needs. One of the modules with unsafe code.

use super::resolve::Resolved;
use crate::Tensor;
use flambeau_core::{Array, DType, Device, Init, Result, Scalar};
use flambeau_cpu::pointwise::{FLAT, Flat, SMALL, run_flat};
use smallvec::SmallVec;
use std::ops::Deref;
use std::sync::Arc;

/// Computes into a fresh tensor, or into the first operand; none if the general way has to do it, with nothing done
/// yet. Nothing is recorded here.
pub(super) fn run(
    to: &Resolved,
    tensors: &[&Tensor],
    arrays: &[impl Deref<Target = Array>],
    consts: impl FnOnce() -> SmallVec<[Scalar; 4]>,
    inplace: bool,
) -> Result<Option<Tensor>> {
    let Some(mut shape) = arrays.first() else { return Ok(None) };
    for a in &arrays[1..] {
        if a.dim() > shape.dim() {
            shape = a;
        }
    }
    let n = shape.numel();
    if n == 0 || n > FLAT || (to.variant.divides && to.compute.compute() == DType::Int64) {
        return Ok(None);
    }
    // Halves and what replaces an operand have kernels of their own, worth their planning where there are more elements.
    let plain = |a: &Array| a.dtype == to.compute || a.numel() == 1;
    if n > SMALL && (inplace || to.variant.program.steps.is_empty() || !arrays.iter().all(|a| plain(a))) {
        return Ok(None);
    }
    let mut flats: SmallVec<[Flat; 4]> = SmallVec::new();
    for a in arrays {
        // One element stands for all; else the elements are the result's, but for leading sizes of 1.
        let count = a.numel();
        let single = count == 1 && n > 1;
        let dense = count == n && shape.sizes.ends_with(&a.sizes) && a.is_contiguous();
        if !a.device().is_cpu() || !(single || dense) {
            return Ok(None);
        }
        flats.push(Flat { pointer: a.data_ptr(), dtype: a.dtype, single });
    }
    let fresh = if inplace {
        let target = &arrays[0];
        let apart = |(a, flat): (&dyn Deref<Target = Array>, &Flat)| {
            !Arc::ptr_eq(&a.storage, &target.storage)
                || (flat.pointer == flats[0].pointer && flat.dtype == flats[0].dtype && !flat.single)
        };
        let writable = target.sizes == shape.sizes
            && target.dtype == to.result
            && !tensors[0].is_inference()
            && !target.storage.is_read_only()
            && arrays.iter().map(|a| a as &dyn Deref<Target = Array>).zip(&flats).all(apart);
        if !writable {
            return Ok(None);
        }
        None
    } else {
        Some(Array::empty(&shape.sizes, to.result, Device::CPU, Init::Uninit)?)
    };
    let out = match &fresh {
        None => flats[0],
        Some(a) => Flat { pointer: a.data_ptr(), dtype: a.dtype, single: false },
    };
    // SAFETY: every operand is dense (or a single element) and lies within its storage; the output is fresh, or the
    // first operand, which shares its storage with none but the very same views.
    unsafe { run_flat(&to.variant.program, to.compute, n, &out, &flats, &consts())? };
    Ok(Some(match fresh {
        Some(a) => Tensor::from_array(a),
        None => {
            tensors[0].bump_version();
            tensors[0].clone()
        }
    }))
}
