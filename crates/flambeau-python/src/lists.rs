//! Lists of a tensor's numbers: `tolist`. One of the modules with unsafe code.

use crate::errors::IntoPy;
use flambeau::ops::shape;
use flambeau::{Array, DType, Tensor};
use pyo3::ffi;
use pyo3::prelude::*;
use std::mem::MaybeUninit;

/// `Tensor.tolist`: nested lists of numbers, or a number.
pub fn list_of(py: Python<'_>, t: &Tensor) -> PyResult<Py<PyAny>> {
    // A short line is copied, so that its description is looked at once: making the list may run the garbage collector,
    // hence anything.
    const SHORT: i64 = 32;
    let mut copy = [MaybeUninit::<u128>::uninit(); SHORT as usize];
    let start = copy.as_mut_ptr().cast::<u8>();
    let dtype = t.dtype();
    let (rank, length, same) = t.with_array(|a| {
        let length = a.sizes.first().copied().unwrap_or(0);
        if a.dim() == 1 && length <= SHORT && a.device().is_cpu() && a.dtype == dtype {
            let step = (a.strides[0] as usize).wrapping_mul(dtype.size());
            // SAFETY: the elements lie within the array, and the copy has as many places of 16 bytes.
            unsafe {
                let (from, n) = (a.data_ptr(), length as usize);
                match dtype.size() {
                    1 => gather::<u8>(from, step, n, start),
                    2 => gather::<u16>(from, step, n, start),
                    4 => gather::<u32>(from, step, n, start),
                    8 => gather::<u64>(from, step, n, start),
                    _ => gather::<u128>(from, step, n, start),
                }
            }
        }
        (a.dim(), length, a.dtype == dtype)
    });
    if t.is_meta() {
        return Err(pyo3::exceptions::PyNotImplementedError::new_err(
            "Cannot copy out of meta tensor; no data!",
        ));
    }
    if rank == 0 {
        return crate::dispatch::scalar_to_py(py, t.item().py()?);
    }
    if rank == 1 && length <= SHORT && same {
        let list = empty_list(py, length)?;
        // SAFETY: a list of that length, and so many elements in the copy.
        unsafe { fill_list(&list, dtype, length as usize, start, dtype.size())? };
        return Ok(list.unbind());
    }
    // A copy, as above.
    let a = shape::clone_dense(&t.alias()).py()?.array();
    level(py, &a, a.data_ptr(), 0)
}

/// Copies `n` elements that are `step` bytes apart.
///
/// # Safety
/// There must be so many of them, of the size of `T`, and room for them.
unsafe fn gather<T>(from: *const u8, step: usize, n: usize, to: *mut u8) {
    for i in 0..n {
        // SAFETY: as promised by the caller; foreign memory may be unaligned.
        unsafe {
            let element = from.wrapping_add(i.wrapping_mul(step)).cast::<T>().read_unaligned();
            to.cast::<T>().add(i).write_unaligned(element);
        }
    }
}

/// A list that is about to be filled.
fn empty_list(py: Python<'_>, n: i64) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: a new reference; slots that are not filled are null, which dropping the list allows for.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyList_New(n as ffi::Py_ssize_t)) }
}

/// The list of a dimension's elements, from `start` on, of an array that nobody else knows of.
fn level(py: Python<'_>, a: &Array, start: *const u8, dim: usize) -> PyResult<Py<PyAny>> {
    let list = empty_list(py, a.sizes[dim])?;
    let step = (a.strides[dim] as usize).wrapping_mul(a.dtype.size());
    if dim + 1 == a.dim() {
        // SAFETY: elements lie within the array.
        unsafe { fill_list(&list, a.dtype, a.sizes[dim] as usize, start, step)? };
        return Ok(list.unbind());
    }
    for i in 0..a.sizes[dim] as usize {
        let item = level(py, a, start.wrapping_add(i.wrapping_mul(step)), dim + 1)?.into_ptr();
        // SAFETY: the slot is within the list and takes over the reference.
        unsafe { ffi::PyList_SET_ITEM(list.as_ptr(), i as ffi::Py_ssize_t, item) };
    }
    Ok(list.unbind())
}

/// Fills a list with numbers that are `step` bytes apart.
///
/// # Safety
/// The list must be a fresh one of length `n`; so many elements from `start` on must be valid.
unsafe fn fill_list(
    list: &Bound<'_, PyAny>,
    dtype: DType,
    n: usize,
    start: *const u8,
    step: usize,
) -> PyResult<()> {
    for i in 0..n {
        let place = start.wrapping_add(i.wrapping_mul(step));
        // SAFETY: as promised by the caller; foreign memory may be unaligned.
        unsafe {
            let item = match dtype {
                DType::Float32 => ffi::PyFloat_FromDouble(place.cast::<f32>().read_unaligned() as f64),
                DType::Float64 => ffi::PyFloat_FromDouble(place.cast::<f64>().read_unaligned()),
                DType::Int64 => ffi::PyLong_FromLongLong(place.cast::<i64>().read_unaligned()),
                dtype => {
                    let value = flambeau::ops::creation::read_element(place, dtype);
                    crate::dispatch::scalar_to_py(list.py(), value)?.into_ptr()
                }
            };
            if item.is_null() {
                return Err(PyErr::fetch(list.py()));
            }
            ffi::PyList_SET_ITEM(list.as_ptr(), i as ffi::Py_ssize_t, item);
        }
    }
    Ok(())
}
