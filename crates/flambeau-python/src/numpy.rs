//! Memory shared with NumPy, both ways. One of the modules with unsafe code.

use crate::errors::IntoPy;
use crate::errors::owned_ptr;
use crate::object;
use crate::parse::is_numpy;
use crate::types::type_name;
use flambeau::{Array, DType, Dims, Tensor};
use flambeau_core::{Lease, Storage};
use numpy::npyffi::{self, PY_ARRAY_API};
use numpy::{Element as _, PyArrayDescr, PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;
use smallvec::SmallVec;

/// Lets go of a Python object that was kept alive from Rust, with the GIL held.
fn release(object: usize) {
    // SAFETY: asks whether the interpreter still runs; if not, the object is leaked. The object was owned by a lease.
    unsafe {
        if ffi::Py_IsInitialized() != 0 {
            Python::attach(|_| ffi::Py_DECREF(object as *mut ffi::PyObject));
        }
    }
}

/// A tensor over the memory of a NumPy array (or of an array scalar, copied); none for other objects.
pub fn from_array_like(data: &Bound<'_, PyAny>) -> PyResult<Option<Tensor>> {
    if !is_numpy(data) {
        // Subclasses and foreign arrays come through `__array__`, but not tensors or plain sequences.
        if data.hasattr("__array_interface__").unwrap_or(false)
            && !data.is_instance_of::<pyo3::types::PyType>()
        {
            let np = data.py().import("numpy")?;
            let array = np.call_method1("asarray", (data,))?;
            return from_ndarray(&array).map(Some);
        }
        return Ok(None);
    }
    if data.is_instance_of::<pyo3::types::PyType>() || data.is_instance_of::<pyo3::types::PyString>() {
        return Ok(None);
    }
    let array = match data.cast::<PyUntypedArray>() {
        Ok(_) => data.clone(),
        // `np.float32(1.5)` and its like.
        Err(_) if data.hasattr("dtype")? => data.py().import("numpy")?.call_method1("array", (data,))?,
        Err(_) => return Ok(None),
    };
    from_ndarray(&array).map(Some)
}

/// `torch.from_numpy`
#[pyfunction]
pub fn from_numpy(ndarray: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let py = ndarray.py();
    if !ndarray.is_exact_instance_of::<PyUntypedArray>()
        && (ndarray.cast::<PyUntypedArray>().is_err() || !is_numpy(ndarray))
    {
        return Err(PyTypeError::new_err(format!("expected np.ndarray (got {})", type_name(ndarray))));
    }
    let t = from_ndarray(ndarray)?;
    if let Some(error) = crate::warnings::pending(py) {
        return Err(error);
    }
    Ok(object::wrap(py, t))
}

fn from_ndarray(data: &Bound<'_, PyAny>) -> PyResult<Tensor> {
    let array = data.cast::<PyUntypedArray>().map_err(PyErr::from)?;
    let raw = array.as_array_ptr();
    // SAFETY: a live array object with a dtype.
    let (number, order) = unsafe {
        let descr = &(*(*raw).fields.descr).fields;
        (descr.type_num, descr.byteorder as u8)
    };
    let dtype = match native_dtype(number) {
        Some(dtype) => dtype,
        None => crate::construct::numpy_dtype(array.dtype().as_any())?,
    };
    if order == if cfg!(target_endian = "little") { b'>' } else { b'<' } {
        return Err(PyValueError::new_err(
            "given numpy array has byte order different from the native byte order. Conversion between byte orders is currently not supported.",
        ));
    }
    let item = dtype.size() as isize;
    let (mut sizes, mut strides) = (Dims::new(), Dims::new());
    for &n in array.shape() {
        sizes.push(n as i64);
    }
    for &s in array.strides() {
        if s < 0 {
            return Err(PyValueError::new_err(
                "At least one stride in the given numpy array is negative, and tensors with negative strides are not currently supported. (You can probably work around this by making a copy of your array  with array.copy().) ",
            ));
        }
        if s % item != 0 {
            return Err(PyValueError::new_err(
                "given numpy array strides not a multiple of the element byte size. Copy the numpy array to reallocate the memory.",
            ));
        }
        strides.push((s / item) as i64);
    }
    // SAFETY: a live array object.
    let (pointer, flags) = unsafe { ((*raw).fields.data.cast::<u8>(), (*raw).fields.flags) };
    let read_only = flags & npyffi::NPY_ARRAY_WRITEABLE == 0;
    if read_only {
        flambeau::warn_once!(
            "The given NumPy array is not writable, and PyTorch does not support non-writable tensors. This means writing to this tensor will result in undefined behavior. You may want to copy the array to protect its data or make it writable before converting it to a tensor. This type of warning will be suppressed for the rest of this program.",
        );
    }
    let nbytes = flambeau_core::required_bytes(&sizes, &strides, 0, item as usize).py()?;
    let lease = Lease::new(data.clone().into_ptr() as usize, release);
    // SAFETY: the array owns (or keeps alive) memory that covers all of its elements.
    let storage = unsafe { Storage::lent(pointer, nbytes, lease, read_only) };
    Ok(Tensor::from_array(Array { storage, dtype, sizes, strides, offset: 0 }))
}

/// The dtype of one of NumPy's type numbers, as far as those are the same everywhere.
fn native_dtype(number: i32) -> Option<DType> {
    use npyffi::NPY_TYPES as N;
    const TABLE: &[(N, DType)] = &[
        (N::NPY_FLOAT, DType::Float32),
        (N::NPY_DOUBLE, DType::Float64),
        (N::NPY_BOOL, DType::Bool),
        (N::NPY_BYTE, DType::Int8),
        (N::NPY_UBYTE, DType::UInt8),
        (N::NPY_SHORT, DType::Int16),
        (N::NPY_INT, DType::Int32),
        (N::NPY_LONGLONG, DType::Int64),
        (N::NPY_CFLOAT, DType::Complex64),
        (N::NPY_CDOUBLE, DType::Complex128),
    ];
    if number == N::NPY_LONG as i32 && size_of::<std::ffi::c_long>() == 8 {
        return Some(DType::Int64);
    }
    TABLE.iter().find(|(n, _)| *n as i32 == number).map(|t| t.1)
}

fn descr<'py>(py: Python<'py>, dtype: DType) -> PyResult<Bound<'py, PyArrayDescr>> {
    Ok(match dtype {
        DType::UInt8 => u8::get_dtype(py),
        DType::Int8 => i8::get_dtype(py),
        DType::Int16 => i16::get_dtype(py),
        DType::Int32 => i32::get_dtype(py),
        DType::Int64 => i64::get_dtype(py),
        DType::UInt16 => u16::get_dtype(py),
        DType::UInt32 => u32::get_dtype(py),
        DType::UInt64 => u64::get_dtype(py),
        DType::Float32 => f32::get_dtype(py),
        DType::Float64 => f64::get_dtype(py),
        DType::Complex64 => flambeau::C32::get_dtype(py),
        DType::Complex128 => flambeau::C64::get_dtype(py),
        DType::Bool => bool::get_dtype(py),
        DType::Float16 => PyArrayDescr::new(py, "float16")?,
        DType::BFloat16 => return Err(PyTypeError::new_err("Got unsupported ScalarType BFloat16")),
    })
}

/// A NumPy array over the memory of a tensor.
#[pyfunction]
#[pyo3(signature = (t, force=false))]
pub fn _to_numpy(t: &Bound<'_, PyAny>, force: bool) -> PyResult<Py<PyAny>> {
    let py = t.py();
    // SAFETY: a live object, which the caller holds.
    let Some(tensor) = (unsafe { object::borrow(t.as_ptr()) }) else {
        return Err(PyTypeError::new_err(format!("expected a Tensor, got {}", type_name(t))));
    };
    if tensor.is_sparse() {
        return Err(PyTypeError::new_err(
            "can't convert Sparse layout tensor to numpy. Use Tensor.to_dense() first.",
        ));
    }
    if tensor.is_meta() {
        return Err(PyTypeError::new_err(
            "can't convert meta device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first.",
        ));
    }
    if flambeau::autograd::grad_enabled() && tensor.requires_grad() && !force {
        return Err(PyRuntimeError::new_err(
            "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.",
        ));
    }
    let descr = descr(py, tensor.dtype())?;
    // The array keeps an object of its own alive: the tensor may be resized or freed.
    let base = tensor.alias();
    let item = base.dtype().size();
    let (mut dims, mut strides) =
        (SmallVec::<[npyffi::npy_intp; 5]>::new(), SmallVec::<[npyffi::npy_intp; 5]>::new());
    let (pointer, read_only) = base.with_array(|a| {
        a.storage.export();
        for (&size, &stride) in a.sizes.iter().zip(&a.strides) {
            dims.push(size as npyffi::npy_intp);
            strides.push((stride as isize).saturating_mul(item as isize));
        }
        let pointer = if a.numel() == 0 { std::ptr::null_mut() } else { a.data_ptr() };
        (pointer, a.storage.is_read_only())
    });
    let base = object::wrap(py, base);
    // SAFETY: dimensions and strides describe elements within the storage, which `base` keeps alive; a null
    // pointer makes NumPy allocate, which is right for empty arrays only.
    unsafe {
        let class = npyffi::get_type_object(py, npyffi::NpyTypes::PyArray_Type);
        let object = PY_ARRAY_API.PyArray_NewFromDescr(
            py,
            class,
            descr.into_dtype_ptr(),
            dims.len() as i32,
            dims.as_mut_ptr(),
            if pointer.is_null() { std::ptr::null_mut() } else { strides.as_mut_ptr() },
            pointer.cast(),
            if read_only { 0 } else { npyffi::NPY_ARRAY_WRITEABLE },
            std::ptr::null_mut(),
        );
        if object.is_null() {
            return Err(PyErr::fetch(py));
        }
        let array = owned_ptr(py, object);
        if !pointer.is_null() && PY_ARRAY_API.PyArray_SetBaseObject(py, object.cast(), base.into_ptr()) != 0 {
            return Err(PyErr::fetch(py));
        }
        Ok(array)
    }
}
