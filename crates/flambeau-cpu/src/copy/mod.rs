//! Copies between strided arrays, with conversion. One of the modules with unsafe code.

mod strided;
#[cfg(test)]
mod tests;
mod transpose;

use crate::pieces::{along, distinct};
use crate::pointwise::{Operand, Plan, Program, Source, run};
use flambeau_core::parallel::sweep;
use flambeau_core::{DType, Result};

/// Bytes that are worth a thread.
const GRAIN: usize = 1 << 18;
/// Rows that stay together, whose elements may share cache lines.
const UNIT: usize = 64;

/// Copies `src` to `dst` for every index of `sizes`, converting as C++ `static_cast` does.
///
/// # Safety
/// Both operands must be valid at every index of `sizes`, `dst` for writing; they must not overlap except
/// where they are the same view.
pub unsafe fn copy(dst: &Operand, src: &Operand, sizes: &[i64]) -> Result<()> {
    if sizes.contains(&0) {
        return Ok(());
    }
    if dst.dtype == src.dtype {
        if dst.pointer != src.pointer || dst.strides != src.strides {
            // SAFETY: passed on from the caller.
            return unsafe { copy_pieces(dst, src, sizes) };
        }
        return Ok(());
    }
    // Through the source's compute type, which holds every value of it; floats hold those of narrow integers.
    let program = Program { steps: Vec::new(), result: Source::Input(0), registers: 0, consts: 0 };
    let narrow = src.dtype.size() <= 2 && src.dtype.compute() == DType::Int64;
    let real = matches!(dst.dtype.compute(), DType::Float32 | DType::Float64);
    let compute = if narrow && real { dst.dtype.compute() } else { src.dtype.compute() };
    // SAFETY: passed on from the caller.
    unsafe { run(&program, compute, sizes, dst, std::slice::from_ref(src), &[]) }
}

/// Places of bytes that threads share.
struct Bytes(*mut u8, *const u8);
// SAFETY: pieces of a copy write to places of their own and read what nobody writes to.
unsafe impl Sync for Bytes {}

/// Copies `n` adjacent bytes.
///
/// # Safety
/// `from` must be valid for them, `to` for writing them; they may overlap.
pub unsafe fn bytes(to: *mut u8, from: *const u8, n: usize) {
    if n < 2 * GRAIN || to.addr().abs_diff(from.addr()) < n {
        // SAFETY: passed on from the caller.
        return unsafe { std::ptr::copy(from, to, n) };
    }
    let places = Bytes(to, from);
    sweep(n, GRAIN, |range| {
        let Bytes(to, from) = &places;
        // SAFETY: a part of what the caller vouches for; the places do not overlap.
        unsafe { std::ptr::copy_nonoverlapping(from.add(range.start), to.add(range.start), range.len()) }
    });
}

/// Elements as they are, on several threads where there are many.
///
/// # Safety
/// As for [`copy`].
unsafe fn copy_pieces(dst: &Operand, src: &Operand, sizes: &[i64]) -> Result<()> {
    let body = |operands: &[&Operand], sizes: &[i64]| {
        let (dst, src) = (operands[0], operands[1]);
        // SAFETY: a part of what the caller vouches for.
        unsafe {
            strided::copy(&Plan::new(sizes, dst, std::slice::from_ref(src)), dst, src, dst.dtype.size())
        };
        Ok(())
    };
    let total = sizes.iter().fold(dst.dtype.size(), |total, &size| total.saturating_mul(size as usize));
    // The outermost dimension in memory, so that pieces are long stretches of it.
    let outermost = (0..sizes.len()).filter(|&d| sizes[d] > 1).max_by_key(|&d| dst.strides[d].unsigned_abs());
    match outermost {
        Some(dim) if total >= 2 * GRAIN && distinct(dst, sizes, |_| true) => {
            let size = sizes[dim] as usize;
            let unit = if size >= 2 * UNIT { UNIT } else { 1 };
            // SAFETY: the elements of `dst` are distinct.
            unsafe { along(&[dst, src], sizes, dim, unit, (GRAIN / unit).div_ceil(total / size), &body) }
        }
        _ => body(&[dst, src], sizes),
    }
}

/// Copies `n` elements of `size` bytes whose places are `stride` bytes apart to adjacent places.
///
/// # Safety
/// `from` must be valid for these elements, `to` for writing them; they must not overlap.
pub(crate) unsafe fn line(to: *mut u8, from: *const u8, stride: isize, n: usize, size: usize) {
    let plane = strided::Plane { sizes: [n, 1], to: [size as isize, 0], from: [stride, 0] };
    // SAFETY: passed on from the caller.
    unsafe { strided::copy_plane(&plane, to, from, size) }
}

/// Copies `rows` rows of `n` elements of `size` bytes, which lie side by side with `stride` bytes from one element of a
/// row to the next, to adjacent rows.
///
/// # Safety
/// `from` must be valid for these elements, `to` for writing them; they must not overlap.
pub(crate) unsafe fn across(to: *mut u8, from: *const u8, stride: isize, [n, rows]: [usize; 2], size: usize) {
    let unit = size as isize;
    let plane = strided::Plane { sizes: [n, rows], to: [unit, n as isize * unit], from: [stride, unit] };
    // SAFETY: passed on from the caller.
    unsafe { transpose::transpose(&plane, to, from, size) }
}
