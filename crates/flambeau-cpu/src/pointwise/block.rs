//! Operands whose neighbours lie along the second dimension of a plan (transposed ones): several rows are read at once,
//! so that each cache line is read once. One of the modules with unsafe code.

use super::convert::Convert;
use super::kernels::Compute;
use flambeau_core::{DType, dispatch};

/// Rows that are read at once.
pub(super) const ROWS: usize = 16;
/// The longest rows that are read that way: a block stays in the L2 cache.
const LONGEST: usize = 4096;

/// Whether an operand with these strides along the first two dimensions, of this length along the first, is read by
/// blocks.
pub(super) fn pays(dtype: DType, strides: &[isize], inner: usize) -> bool {
    dtype != DType::Bool
        && strides.len() > 1
        && strides[1] == 1
        && strides[0].unsigned_abs() > 1
        && (32..=LONGEST).contains(&inner)
}

/// Reads `rows` rows of `n` elements: row `j`, element `k` from `j + k * stride`, to `j * n + k`.
///
/// # Safety
/// `from` must be valid for these elements, `to` for `rows * n` writes.
pub(super) unsafe fn read<T: Compute>(
    from: *const u8,
    dtype: DType,
    stride: isize,
    to: *mut T,
    rows: usize,
    n: usize,
) {
    if dtype == T::DTYPE {
        // SAFETY: as promised by the caller.
        return unsafe {
            crate::copy::across(to.cast(), from, stride * size_of::<T>() as isize, [n, rows], size_of::<T>())
        };
    }
    dispatch!(storage dtype, S => {
        let from = from.cast::<S>();
        // A few columns at a time, so that writes fill cache lines.
        for first in (0..n).step_by(16) {
            for j in 0..rows {
                for k in first..n.min(first + 16) {
                    // SAFETY: as promised by the caller.
                    unsafe {
                        let value = from.wrapping_offset(k as isize * stride).add(j).read_unaligned();
                        to.add(j * n + k).write(<T as Convert<S>>::from_storage(value));
                    }
                }
            }
        }
    })
}
