//! Programs that need no tiles because a single step is done in the width of its operands' type.

use super::engine::{Operand, Program};
use super::flat::Flat;
use super::plan::Plan;
use super::{halves, narrow};
use flambeau_core::{DType, Scalar};
use smallvec::SmallVec;

/// Whether one of the modules for such types may have kernels.
#[inline]
fn may(compute: DType, out: DType) -> bool {
    match compute.compute() {
        DType::Float32 => out.size() == 2,
        DType::Int64 => out.size() < 8,
        _ => false,
    }
}

/// Runs a program on operands that are dense along the only dimension of a plan, or single. False where nothing was done.
///
/// # Safety
/// As for [`run`](super::run), for the plan's sizes and strides.
pub(super) unsafe fn run(
    program: &Program,
    compute: DType,
    plan: &Plan,
    out: &Operand,
    inputs: &[Operand],
    consts: &[Scalar],
) -> bool {
    let dense = |strides: &SmallVec<[isize; 5]>| strides[0] == 1;
    let flat = plan.sizes.len() == 1 && dense(&plan.strides[0]);
    if !may(compute, out.dtype) || !flat || !plan.strides.iter().all(|s| dense(s) || s[0] == 0) {
        return false;
    }
    let operand = |o: &Operand, single: bool| Flat { pointer: o.pointer, dtype: o.dtype, single };
    let inputs: SmallVec<[Flat; 4]> =
        inputs.iter().zip(&plan.strides[1..]).map(|(o, strides)| operand(o, strides[0] == 0)).collect();
    // SAFETY: passed on from the caller.
    unsafe { run_flat(program, compute, plan.sizes[0], &operand(out, false), &inputs, consts) }
}

/// As [`run`], for operands as [`run_flat`](super::run_flat) takes them, of any number of elements.
///
/// # Safety
/// As for [`run_flat`](super::run_flat).
#[inline]
pub(super) unsafe fn run_flat(
    program: &Program,
    compute: DType,
    n: usize,
    out: &Flat,
    inputs: &[Flat],
    consts: &[Scalar],
) -> bool {
    if !may(compute, out.dtype) {
        return false;
    }
    // SAFETY: passed on from the caller.
    unsafe {
        match compute.compute() {
            DType::Float32 => halves::run_flat(program, n, out, inputs, consts),
            _ => narrow::run_flat(program, n, out, inputs, consts),
        }
    }
}
