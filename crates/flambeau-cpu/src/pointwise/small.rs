//! Programs over few elements: the tile engine without its planning, for operands that are dense or a single
//! element, as most tensors of loops written in Python are. One of the modules with unsafe code.

use super::engine::{Program, Source, run_steps};
use super::kernels::{Compute, Kernel};
use super::transfer::{aligned, fill, load, store};
use flambeau_core::{DType, Result, Scalar, bail, dispatch};
use smallvec::SmallVec;
use std::mem::MaybeUninit;

/// The most elements that [`run_small`] takes: those of one tile.
pub const SMALL: usize = 512;
/// Elements that fit on the stack.
const STACK: usize = 96;

/// An operand: elements one after the other, or one that stands for all.
#[derive(Clone, Copy, Debug)]
pub struct Flat {
    pub pointer: *mut u8,
    pub dtype: DType,
    pub single: bool,
}

/// Runs `program` in the compute type `compute` over `n` elements, at most [`SMALL`].
///
/// # Safety
/// Every operand must be valid for its `n` elements (or its single one), `out` for writing; `out` must not overlap an
/// input except by naming the same elements in the same order, and not be single unless `n` is 1.
pub unsafe fn run_small(
    program: &Program,
    compute: DType,
    n: usize,
    out: &Flat,
    inputs: &[Flat],
    consts: &[Scalar],
) -> Result<()> {
    if n > SMALL {
        bail!("{n} elements are not few");
    }
    // SAFETY: passed on from the caller.
    dispatch!(compute compute, T => unsafe { run_typed::<T>(program, n, out, inputs, consts) })
}

unsafe fn run_typed<T: Compute>(
    program: &Program,
    n: usize,
    out: &Flat,
    inputs: &[Flat],
    consts: &[Scalar],
) -> Result<()> {
    let mut kernels: SmallVec<[Kernel<T>; 4]> = SmallVec::new();
    for step in &program.steps {
        match T::kernel(step.operation) {
            Some(kernel) => kernels.push(kernel),
            None => bail!("{:?} has no kernel for {}", step.operation, T::DTYPE),
        }
    }
    let slots = inputs.len() + program.consts + program.registers + 1;
    if slots * n <= STACK {
        let mut scratch = [const { MaybeUninit::<T>::uninit() }; STACK];
        // SAFETY: passed on from the caller; the scratch holds `slots` tiles of `n`.
        unsafe { run_tile(program, &kernels, n, out, inputs, consts, scratch.as_mut_ptr().cast()) };
    } else {
        let mut scratch: Vec<MaybeUninit<T>> = Vec::with_capacity(slots * n);
        // SAFETY: as above, with room reserved for all tiles.
        unsafe { run_tile(program, &kernels, n, out, inputs, consts, scratch.as_mut_ptr().cast()) };
    }
    Ok(())
}

/// # Safety
/// As for [`run_small`]; `scratch` has room for a tile of `n` for each input, constant and register, and one more.
unsafe fn run_tile<T: Compute>(
    program: &Program,
    kernels: &[Kernel<T>],
    n: usize,
    out: &Flat,
    inputs: &[Flat],
    consts: &[Scalar],
    scratch: *mut T,
) {
    // SAFETY: slots lie in the scratch.
    let tile = |slot: usize| unsafe { scratch.add(slot * n) };
    let const_base = inputs.len();
    let reg_base = const_base + program.consts;
    let mut sources: SmallVec<[*const T; 4]> = SmallVec::new();
    for (i, input) in inputs.iter().enumerate() {
        if input.dtype == T::DTYPE && (n == 1 || !input.single) && aligned::<T>(input.pointer) {
            sources.push(input.pointer.cast());
        } else {
            // SAFETY: the caller vouches for the operand; the tile has n elements.
            unsafe { load(input.pointer, input.dtype, !input.single as isize, tile(i), n) };
            sources.push(tile(i));
        }
    }
    for (i, value) in consts.iter().enumerate().take(program.consts) {
        // SAFETY: the constant's tile has n elements.
        unsafe { fill(tile(const_base + i), n, T::from_scalar(*value)) };
    }
    let aliased = inputs.iter().any(|i| i.pointer == out.pointer);
    let direct = out.dtype == T::DTYPE && !aliased && aligned::<T>(out.pointer);
    let result = if direct { out.pointer.cast::<T>() } else { tile(reg_base + program.registers) };
    let locate = |s: Source| match s {
        Source::Input(i) => sources[i as usize],
        Source::Const(i) => tile(const_base + i as usize) as *const T,
        Source::Register(i) => tile(reg_base + i as usize) as *const T,
    };
    let register = |r: u8| tile(reg_base + r as usize);
    // SAFETY: operands have n elements; the result's place is a tile of its own or the unaliased output.
    unsafe {
        match program.result_step() {
            Some(last) => {
                run_steps(program, kernels, n, |_| n, locate, register, Some(last), result);
                if !direct {
                    store(result, out.pointer, out.dtype, 1, n);
                }
            }
            None => {
                run_steps(program, kernels, n, |_| n, locate, register, None, result);
                store(locate(program.result), out.pointer, out.dtype, 1, n);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pointwise::{Operation, Prim, Step};

    fn sum() -> Program {
        let args = [Source::Input(0), Source::Input(1), Source::Input(1), Source::Input(1)];
        let steps = vec![Step { operation: Operation::Prim(Prim::Add), args, to: 0 }];
        Program { steps, result: Source::Register(0), registers: 1, consts: 0 }
    }

    fn flat<T: flambeau_core::Element>(data: &mut [T]) -> Flat {
        Flat { pointer: data.as_mut_ptr().cast(), dtype: T::DTYPE, single: data.len() == 1 }
    }

    #[test]
    fn dense_and_single_operands_of_other_dtypes() {
        let (mut a, mut b, mut out) = ([1i32, 2, 3], [0.5f32], [0f64; 3]);
        let (x, y, to) = (flat(&mut a), flat(&mut b), flat(&mut out));
        // SAFETY: three elements each, or a single one.
        unsafe { run_small(&sum(), DType::Float32, 3, &to, &[x, y], &[]).unwrap() };
        assert_eq!(out, [1.5, 2.5, 3.5]);
    }

    #[test]
    fn the_output_may_be_an_input() {
        let mut a: Vec<f32> = (0..400).map(|i| i as f32).collect();
        let x = flat(&mut a);
        // SAFETY: the same elements in the same order.
        unsafe { run_small(&sum(), DType::Float32, 400, &x, &[x, x], &[]).unwrap() };
        assert!(a.iter().enumerate().all(|(i, &v)| v == 2.0 * i as f32));
    }
}
