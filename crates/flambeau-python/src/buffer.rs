//! Python's buffer protocol, both ways: `memoryview(tensor)` and `torch.frombuffer`. One of the modules with unsafe
//! code.

use crate::errors::{IntoPy, guard};
use crate::object;
use flambeau::{Array, DType, Dims, Tensor};
use flambeau_core::{Loan, Storage};
use pyo3::exceptions::{PyBufferError, PyRuntimeError, PyValueError};
use pyo3::ffi::{self, Py_buffer, PyObject};
use pyo3::prelude::*;
use std::ffi::{CStr, c_int};

/// What a view of a tensor's memory keeps alive. It belongs to the view, not to the tensor, which may be made to
/// refer to other memory meanwhile.
struct Exported {
    shape: Vec<ffi::Py_ssize_t>,
    strides: Vec<ffi::Py_ssize_t>,
    _loan: Loan,
}

/// The code of the `struct` module for a dtype.
fn format(dtype: DType) -> Option<&'static CStr> {
    // Where C's long has 8 bytes it is what NumPy calls int64.
    const LONG: bool = size_of::<std::ffi::c_long>() == 8;
    Some(match dtype {
        DType::UInt8 => c"B",
        DType::Int8 => c"b",
        DType::Int16 => c"h",
        DType::Int32 => c"i",
        DType::Int64 => {
            if LONG {
                c"l"
            } else {
                c"q"
            }
        }
        DType::UInt16 => c"H",
        DType::UInt32 => c"I",
        DType::UInt64 => {
            if LONG {
                c"L"
            } else {
                c"Q"
            }
        }
        DType::Float16 => c"e",
        DType::Float32 => c"f",
        DType::Float64 => c"d",
        DType::Complex64 => c"Zf",
        DType::Complex128 => c"Zd",
        DType::Bool => c"?",
        DType::BFloat16 => return None,
    })
}

fn refuse(text: &str) -> PyErr {
    PyBufferError::new_err(text.to_string())
}

/// Lends the memory of a tensor on the CPU that requires no gradient.
pub unsafe extern "C" fn get(object: *mut PyObject, view: *mut Py_buffer, flags: c_int) -> c_int {
    guard(-1, || {
        // SAFETY: called by the interpreter on a tensor, with a view to fill and the GIL.
        unsafe {
            if view.is_null() {
                return Err(refuse("a view is needed"));
            }
            (*view).obj = std::ptr::null_mut();
            let Some(tensor) = object::borrow(object) else { return Err(refuse("expected a Tensor")) };
            if !object::is_exact(object) {
                // The class may give its data another meaning, and says so through `__array__`.
                return Err(refuse("only objects of class Tensor itself lend their memory"));
            }
            if tensor.requires_grad() {
                return Err(refuse("Can't export tensors that require gradient, use tensor.detach()"));
            }
            let a = tensor.array();
            if !a.device().is_cpu() {
                return Err(refuse("only tensors on the CPU lend their memory"));
            }
            let Some(format) = format(a.dtype) else {
                return Err(refuse("the buffer protocol has no code for the elements of this dtype"));
            };
            let asks = |bits: c_int| flags & bits == bits;
            let contiguous = a.is_contiguous();
            let columns = || {
                let mut reversed = a.clone();
                reversed.sizes.reverse();
                reversed.strides.reverse();
                reversed.is_contiguous()
            };
            if (!asks(ffi::PyBUF_STRIDES) || asks(ffi::PyBUF_C_CONTIGUOUS)) && !contiguous {
                return Err(refuse("the tensor is not contiguous"));
            }
            if asks(ffi::PyBUF_F_CONTIGUOUS) && !columns() {
                return Err(refuse("the tensor is not contiguous in Fortran's order"));
            }
            if asks(ffi::PyBUF_ANY_CONTIGUOUS) && !contiguous && !columns() {
                return Err(refuse("the tensor is not contiguous"));
            }
            let read_only = a.storage.is_read_only();
            if read_only && asks(ffi::PyBUF_WRITABLE) {
                return Err(refuse("the tensor's memory is read-only"));
            }
            let item = a.dtype.size() as ffi::Py_ssize_t;
            let mut kept = Box::new(Exported {
                shape: a.sizes.iter().map(|&n| n as ffi::Py_ssize_t).collect(),
                strides: a.strides.iter().map(|&s| s as ffi::Py_ssize_t * item).collect(),
                _loan: a.storage.lend(),
            });
            let rank = a.dim() as c_int;
            (*view).buf = if a.numel() == 0 { c"".as_ptr().cast_mut().cast() } else { a.data_ptr().cast() };
            (*view).len = a.numel() as ffi::Py_ssize_t * item;
            (*view).itemsize = item;
            (*view).readonly = read_only as c_int;
            (*view).ndim = if asks(ffi::PyBUF_ND) { rank } else { 1 };
            (*view).format =
                if asks(ffi::PyBUF_FORMAT) { format.as_ptr().cast_mut() } else { std::ptr::null_mut() };
            let list = |wanted: bool, list: &mut Vec<ffi::Py_ssize_t>| {
                if wanted && rank > 0 { list.as_mut_ptr() } else { std::ptr::null_mut() }
            };
            (*view).shape = list(asks(ffi::PyBUF_ND), &mut kept.shape);
            (*view).strides = list(asks(ffi::PyBUF_STRIDES), &mut kept.strides);
            (*view).suboffsets = std::ptr::null_mut();
            (*view).internal = Box::into_raw(kept).cast();
            ffi::Py_INCREF(object);
            (*view).obj = object;
            Ok(0)
        }
    })
}

/// Takes back what `get` lent.
pub unsafe extern "C" fn release(_: *mut PyObject, view: *mut Py_buffer) {
    // SAFETY: called once by the interpreter with a view that `get` filled.
    unsafe {
        let kept = std::mem::replace(&mut (*view).internal, std::ptr::null_mut()).cast::<Exported>();
        if !kept.is_null() {
            drop(Box::from_raw(kept));
        }
    }
}

/// A view of another object's memory, given back when the storage over it goes.
struct Borrowed(Option<Box<Py_buffer>>);
// SAFETY: a view may be given back from any thread that holds the GIL.
unsafe impl Send for Borrowed {}
// SAFETY: the view is only touched when it is given back.
unsafe impl Sync for Borrowed {}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(mut view) = self.0.take() {
            // SAFETY: a view that `PyObject_GetBuffer` filled; it stays lent if the interpreter is gone.
            unsafe {
                if ffi::Py_IsInitialized() != 0 {
                    Python::attach(|_| ffi::PyBuffer_Release(&mut *view));
                } else {
                    std::mem::forget(view);
                }
            }
        }
    }
}

/// The contiguous bytes of an object, writable if they may be.
fn borrow_bytes(object: &Bound<'_, PyAny>) -> PyResult<Borrowed> {
    // SAFETY: a live object; the view is filled before it is used.
    unsafe {
        if ffi::PyObject_CheckBuffer(object.as_ptr()) == 0 {
            return Err(PyValueError::new_err("object does not implement Python buffer protocol."));
        }
        let mut view = Box::new(std::mem::zeroed::<Py_buffer>());
        for flags in [ffi::PyBUF_WRITABLE, ffi::PyBUF_SIMPLE] {
            if ffi::PyObject_GetBuffer(object.as_ptr(), &mut *view, flags) == 0 {
                return Ok(Borrowed(Some(view)));
            }
            ffi::PyErr_Clear();
        }
    }
    Err(PyRuntimeError::new_err(
        "could not retrieve a contiguous buffer from the given object (non-contiguous buffers are not supported)",
    ))
}

/// Moves the contents of a storage to the memory of a writable buffer, which processes share.
pub fn share_storage(storage: &Storage, buffer: &Bound<'_, PyAny>) -> PyResult<()> {
    let view = borrow_bytes(buffer)?;
    let pointer = match view.0.as_ref() {
        Some(v) if v.readonly == 0 && v.len as usize >= storage.nbytes() => v.buf.cast::<u8>(),
        _ => return Err(refuse("the shared memory is read-only or smaller than the storage")),
    };
    // SAFETY: the view covers the bytes until it is given back, and is memory of its own.
    unsafe { storage.share(pointer, Box::new(view)) }.py()
}

/// A vector over the memory of an object: `count` elements (all, if negative) from byte `offset` on.
#[pyfunction]
pub fn _frombuffer(
    buffer: &Bound<'_, PyAny>,
    dtype: crate::types::PyDType,
    count: i64,
    offset: i64,
) -> PyResult<Py<PyAny>> {
    let (py, dtype) = (buffer.py(), dtype.0);
    let view = borrow_bytes(buffer)?;
    let Some((pointer, length, read_only)) =
        view.0.as_ref().map(|v| (v.buf.cast::<u8>(), v.len as i64, v.readonly != 0))
    else {
        return Err(PyRuntimeError::new_err("the buffer is gone"));
    };
    let item = dtype.size() as i64;
    if length == 0 || count == 0 {
        return Err(PyValueError::new_err(format!(
            "both buffer length ({length}) and count ({count}) must not be 0"
        )));
    }
    if offset < 0 || offset >= length {
        return Err(PyValueError::new_err(format!(
            "offset ({offset} bytes) must be non-negative and no greater than buffer length ({length} bytes) minus 1"
        )));
    }
    let left = length - offset;
    if count < 0 && left % item != 0 {
        return Err(PyValueError::new_err(format!(
            "buffer length ({left} bytes) after offset ({offset} bytes) must be a multiple of element size ({item})"
        )));
    }
    let n = if count < 0 { left / item } else { count };
    if n.checked_mul(item).is_none_or(|bytes| bytes > left) {
        return Err(PyValueError::new_err(format!(
            "requested buffer length ({n} * {item} bytes) after offset ({offset} bytes) must not be greater than actual buffer length ({length} bytes)"
        )));
    }
    if read_only {
        flambeau::warn_once!(
            "The given buffer is not writable, and PyTorch does not support non-writable tensors. This means you can write to the underlying (supposedly non-writable) buffer using the tensor. You may want to copy the buffer to protect its data or make it writable before converting it to a tensor. This type of warning will be suppressed for the rest of this program.",
        );
        if let Some(error) = crate::warnings::pending(py) {
            return Err(error);
        }
    }
    let (first, nbytes) = (pointer.wrapping_add(offset as usize), (n * item) as usize);
    let owner = Box::new(view);
    // SAFETY: the view covers these bytes until it is given back.
    let storage = unsafe {
        if read_only {
            Storage::foreign_read_only(first, nbytes, owner)
        } else {
            Storage::foreign(first, nbytes, owner)
        }
    };
    let (sizes, strides) = (Dims::from_slice(&[n]), Dims::from_slice(&[1]));
    let tensor = Tensor::from_array(Array { storage, dtype, sizes, strides, offset: 0 });
    tensor.check_bounds().py()?;
    Ok(object::wrap(py, tensor))
}
