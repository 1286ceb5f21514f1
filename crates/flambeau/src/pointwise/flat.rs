//! Dense operands on the CPU of which one thread makes do: the common case of programs that work element by element,
//! without the copies of descriptions and the planning that the general way needs. One of the modules with unsafe code.

use super::resolve::Resolved;
use super::variant::Consts;
use crate::Tensor;
use flambeau_core::{Array, DType, Device, Init, Result, Shared};
use flambeau_cpu::pointwise::{FLAT, Flat, SMALL, run_flat};
use std::mem::MaybeUninit;
use std::ops::Deref;

/// The most operands, and sixteens of bytes on the stack.
const MOST: usize = 4;
const SCRATCH: usize = 24;

/// Computes into a fresh tensor, or into the first operand; none if the general way has to do it, with nothing done
/// yet. Nothing is recorded here.
pub(super) fn run(
    to: &Resolved,
    tensors: &[&Tensor],
    arrays: &[impl Deref<Target = Array>],
    consts: impl FnOnce(&mut Consts),
    inplace: bool,
) -> Result<Option<Tensor>> {
    let Some(mut shape) = arrays.first() else { return Ok(None) };
    for a in &arrays[1..] {
        if a.dim() > shape.dim() {
            shape = a;
        }
    }
    let (n, dense_shape) = shape.extent();
    if n == 0 || n > FLAT || (to.variant.divides && to.compute.compute() == DType::Int64) {
        return Ok(None);
    }
    // Halves and what replaces an operand have kernels of their own, worth their planning where there are more elements.
    let plain = |a: &Array| a.dtype == to.compute || a.numel() == 1;
    if n > SMALL && (inplace || to.variant.program.steps.is_empty() || !arrays.iter().all(|a| plain(a))) {
        return Ok(None);
    }
    // An array of its own: a `SmallVec` is read through a pointer that overlays what was just written.
    let mut flats = [Flat { pointer: std::ptr::null_mut(), dtype: DType::Bool, single: false }; MOST];
    let Some(flats) = flats.get_mut(..arrays.len()) else { return Ok(None) };
    for (a, flat) in arrays.iter().zip(flats.iter_mut()) {
        // One element stands for all; else the elements are the result's, but for leading sizes of 1.
        let (count, dense) = if std::ptr::eq(&**a, &**shape) { (n, dense_shape) } else { a.extent() };
        let single = count == 1 && n > 1;
        let dense = dense && count == n && ends_with(&shape.sizes, &a.sizes);
        if !a.device().is_cpu() || !(single || dense) {
            return Ok(None);
        }
        *flat = Flat { pointer: a.data_ptr(), dtype: a.dtype, single };
    }
    let fresh = if inplace {
        let target = &arrays[0];
        let apart = |(a, flat): (&dyn Deref<Target = Array>, &Flat)| {
            !Shared::ptr_eq(&a.storage, &target.storage)
                || (flat.pointer == flats[0].pointer && flat.dtype == flats[0].dtype && !flat.single)
        };
        let writable = target.sizes == shape.sizes
            && target.dtype == to.result
            && !tensors[0].is_inference()
            && !target.storage.is_read_only()
            && arrays.iter().map(|a| a as &dyn Deref<Target = Array>).zip(flats.iter()).all(apart);
        if !writable {
            return Ok(None);
        }
        None
    } else {
        let nbytes = n * to.result.size();
        Some(Tensor::dense(&shape.sizes, nbytes, to.result, Device::CPU, Init::Uninit)?)
    };
    let out = match &fresh {
        None => flats[0],
        Some((_, pointer)) => Flat { pointer: *pointer, dtype: to.result, single: false },
    };
    // Kernels write elements of the compute type, and not to their operands: few elements that go elsewhere take a detour,
    // which is less work than to plan tiles.
    let mut scratch = [MaybeUninit::<u128>::uninit(); SCRATCH];
    let detour = n * to.compute.size() <= size_of_val(&scratch)
        && if inplace { to.result == to.compute } else { to.result == DType::Bool && has_truth(to.compute) };
    let direct = if detour {
        Flat { pointer: scratch.as_mut_ptr().cast(), dtype: to.compute, single: false }
    } else {
        out
    };
    let mut numbers = Consts::new();
    consts(&mut numbers);
    // SAFETY: every operand is dense (or a single element) and lies within its storage; the output is fresh, or memory of
    // our own with room for it, or the first operand, which shares its storage with none but the very same views.
    unsafe { run_flat(&to.variant.program, to.compute, n, &direct, flats, &numbers)? };
    if detour {
        // SAFETY: the scratch was just filled; the output has room for n elements of its dtype.
        unsafe {
            match inplace {
                true => std::ptr::copy_nonoverlapping(direct.pointer, out.pointer, n * to.result.size()),
                false => truth(to.compute, direct.pointer, n, out.pointer),
            }
        }
    }
    Ok(Some(match fresh {
        Some((t, _)) => t,
        None => {
            tensors[0].bump_version();
            tensors[0].clone()
        }
    }))
}

/// Whether `long` ends with `short`; both are short.
#[inline]
fn ends_with(long: &[i64], short: &[i64]) -> bool {
    // A loop: to compare blocks of any length is a call.
    long.len() >= short.len() && long.iter().rev().zip(short.iter().rev()).all(|(a, b)| a == b)
}

/// Whether [`truth`] knows the dtype.
fn has_truth(dtype: DType) -> bool {
    matches!(dtype, DType::Float32 | DType::Float64 | DType::Int64)
}

/// Writes which elements are not zero.
///
/// # Safety
/// `from` must hold `n` elements of a dtype for which there is [`has_truth`], and `to` have room for `n` bytes.
unsafe fn truth(dtype: DType, from: *const u8, n: usize, to: *mut u8) {
    // SAFETY: as promised by the caller.
    unsafe {
        for i in 0..n {
            to.add(i).write(match dtype {
                DType::Float32 => from.cast::<f32>().add(i).read() != 0.0,
                DType::Float64 => from.cast::<f64>().add(i).read() != 0.0,
                _ => from.cast::<i64>().add(i).read() != 0,
            } as u8);
        }
    }
}
