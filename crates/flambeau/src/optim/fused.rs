//! Steps in one pass over memory. One of the modules with unsafe code.

use crate::autograd::check_inplace;
use crate::{Result, Tensor};
use flambeau_core::Array;
use flambeau_cpu::optim::{Step, update};
use smallvec::SmallVec;

/// Updates `x` (the parameter, then what is remembered of it) in one pass where all lie in memory alike, as floats of 32
/// or 64 bits. Returns whether it did; otherwise the step is to be composed of operators, with the same result.
pub(super) fn run(step: Step, grad: &Tensor, x: &[&Tensor]) -> Result<bool> {
    let parameter = x[0].array();
    let alike = |a: &Array| {
        a.dtype == parameter.dtype
            && a.device().is_cpu()
            && a.sizes == parameter.sizes
            && a.strides == parameter.strides
            && a.in_bounds()
    };
    let arrays: SmallVec<[Array; 4]> = x.iter().map(|t| t.array()).collect();
    let grad = grad.array();
    let distinct = (0..arrays.len()).all(|i| {
        !arrays[i].overlaps(&grad) && arrays[i + 1..].iter().all(|other| !arrays[i].overlaps(other))
    });
    if !parameter.is_non_overlapping_and_dense()
        || !alike(&grad)
        || !arrays.iter().all(alike)
        || !distinct
        || crate::autograd::grad_enabled()
    {
        return Ok(false);
    }
    for tensor in x {
        check_inplace(tensor, false)?;
    }
    let pointers: SmallVec<[*mut u8; 4]> = arrays.iter().map(Array::data_ptr).collect();
    let n = parameter.numel();
    // SAFETY: all are dense arrays of the same form within their storages, which do not share bytes; `check_inplace` made
    // those of `x` writable.
    let done = n == 0 || unsafe { update(step, parameter.dtype, n, grad.data_ptr(), &pointers) };
    if done {
        x.iter().for_each(|tensor| tensor.bump_version());
    }
    Ok(done)
}
