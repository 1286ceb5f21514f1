//! Copies between strided arrays, with conversion. One of the modules with unsafe code.

use crate::pointwise::{Operand, Program, Source, run};
use flambeau_core::{DType, Result};

/// Copies `src` to `dst` for every index of `sizes`, converting as C++ `static_cast` does.
///
/// # Safety
/// Both operands must be valid at every index of `sizes`, `dst` for writing; they must not overlap except
/// where they are the same view.
pub unsafe fn copy(dst: &Operand, src: &Operand, sizes: &[i64]) -> Result<()> {
    // Through the source's compute type, which holds every value of it; one dtype copies its bits.
    let (mut dst, mut src) = (dst.clone(), src.clone());
    if dst.dtype == src.dtype {
        let bits = match dst.dtype.size() {
            1 => DType::UInt8,
            2 => DType::Int16,
            4 => DType::Int32,
            8 => DType::Int64,
            _ => DType::Complex128,
        };
        (dst.dtype, src.dtype) = (bits, bits);
        if is_dense(&dst.strides, sizes) && is_dense(&src.strides, sizes) {
            let n = flambeau_core::count(sizes) as usize * bits.size();
            // SAFETY: both are row-major blocks of n bytes; memmove allows the same view.
            unsafe { std::ptr::copy(src.pointer, dst.pointer, n) };
            return Ok(());
        }
    }
    let program = Program { steps: Vec::new(), result: Source::Input(0), registers: 0, consts: 0 };
    let compute = src.dtype.compute();
    // SAFETY: passed on from the caller.
    unsafe { run(&program, compute, sizes, &dst, &[src], &[]) }
}

fn is_dense(strides: &[i64], sizes: &[i64]) -> bool {
    let mut expected = 1;
    for (&size, &stride) in sizes.iter().zip(strides).rev() {
        if size == 0 {
            return true;
        }
        if size != 1 && stride != expected {
            return false;
        }
        expected *= size;
    }
    true
}
