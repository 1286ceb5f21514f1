//! Elements of any dtype and stride to and from slices of a compute type. One of the modules with unsafe code.

use super::convert::Convert;
use super::half_slices;
use super::kernels::Compute;
use crate::wide::wide;
use flambeau_core::{DType, dispatch};

/// Whether the address is one of a `T`; memory of other libraries may be anywhere.
#[inline]
pub(super) fn aligned<T>(pointer: *const u8) -> bool {
    (pointer as usize).is_multiple_of(align_of::<T>())
}

/// Writes a value `n` times.
///
/// # Safety
/// `to` must be valid for `n` writes.
#[inline]
pub(super) unsafe fn fill<T: Compute>(to: *mut T, n: usize, value: T) {
    // SAFETY: as promised by the caller.
    wide(move || (0..n).for_each(|i| unsafe { to.add(i).write(value) }));
}

// What the loops below capture is moved into them: they could not be vectorised if it might change as they write.

/// Reads `n` elements of any dtype as compute type `T`.
///
/// # Safety
/// `from` must be valid for `n` elements at the stride, `to` for `n` writes.
pub unsafe fn load<T: Compute>(from: *const u8, dtype: DType, stride: isize, to: *mut T, n: usize) {
    if dtype == T::DTYPE {
        let size = size_of::<T>();
        // SAFETY: as promised by the caller.
        return unsafe { crate::copy::line(to.cast(), from, stride * size as isize, n, size) };
    }
    if stride == 0 && n > 1 {
        // SAFETY: as promised by the caller; the first element is loaded before it is read.
        return unsafe {
            load(from, dtype, 1, to, 1);
            fill(to, n, to.read());
        };
    }
    if dtype == DType::Bool {
        // Memory of others may have any byte for true.
        // SAFETY: as promised by the caller.
        let byte = move |i: isize| unsafe { (from.wrapping_offset(i).read() != 0) as u8 };
        // SAFETY: as promised by the caller.
        let put = move |i: usize, v: u8| unsafe { to.add(i).write(<T as Convert<u8>>::from_storage(v)) };
        if stride == 1 {
            wide(move || (0..n).for_each(|i| put(i, byte(i as isize))));
        } else {
            (0..n).for_each(|i| put(i, byte(i as isize * stride)));
        }
        return;
    }
    if dtype == DType::Float16 && T::DTYPE == DType::Float32 && stride == 1 {
        // SAFETY: as promised by the caller; `T` is `f32`.
        return unsafe { half_slices::widen(from.cast(), to.cast(), n) };
    }
    dispatch!(storage dtype, S => {
        let from = from.cast::<S>();
        // SAFETY: as promised by the caller.
        unsafe {
            if stride == 1 {
                wide(move || for i in 0..n { to.add(i).write(<T as Convert<S>>::from_storage(from.add(i).read_unaligned())) })
            } else {
                for i in 0..n { to.add(i).write(<T as Convert<S>>::from_storage(from.wrapping_offset(i as isize * stride).read_unaligned())) }
            }
        }
    })
}

/// Writes `n` results of compute type `T` as any dtype (`bool` as `x != 0`).
///
/// # Safety
/// `to` must be valid for `n` writes at the stride, `from` for `n` reads.
pub unsafe fn store<T: Compute>(from: *const T, to: *mut u8, dtype: DType, stride: isize, n: usize) {
    if dtype == T::DTYPE && stride == 1 {
        // SAFETY: as promised by the caller.
        return unsafe { std::ptr::copy(from.cast(), to, n * size_of::<T>()) };
    }
    if dtype == DType::Bool {
        // SAFETY: as promised by the caller.
        unsafe {
            if stride == 1 {
                wide(move || (0..n).for_each(|i| to.add(i).write(T::is_true(from.add(i).read()) as u8)));
            } else {
                for i in 0..n {
                    to.wrapping_offset(i as isize * stride).write(T::is_true(from.add(i).read()) as u8)
                }
            }
        }
        return;
    }
    if dtype == DType::Float16 && T::DTYPE == DType::Float32 && stride == 1 {
        // SAFETY: as promised by the caller; `T` is `f32`.
        return unsafe { half_slices::narrow(from.cast(), to.cast(), n) };
    }
    if dtype == DType::BFloat16 && T::DTYPE == DType::Float32 && stride == 1 {
        // SAFETY: as promised by the caller; `T` is `f32`.
        return unsafe { half_slices::narrow_brain(from.cast(), to.cast(), n) };
    }
    dispatch!(storage dtype, S => {
        let to = to.cast::<S>();
        // SAFETY: as promised by the caller.
        unsafe {
            if stride == 1 {
                wide(move || for i in 0..n { to.add(i).write_unaligned(<T as Convert<S>>::into_storage(from.add(i).read())) })
            } else {
                for i in 0..n { to.wrapping_offset(i as isize * stride).write_unaligned(<T as Convert<S>>::into_storage(from.add(i).read())) }
            }
        }
    })
}
