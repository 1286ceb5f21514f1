//! Tensors from Python data: `torch.tensor`, `torch.as_tensor`, `torch.Tensor(...)`.

use crate::errors::owned_ptr;
use crate::errors::{IntoPy, guard};
use crate::object;
use crate::parse::{int_value, is_int, is_numpy, scalar_of};
use crate::types::{device_of, dtype_of, type_name};
use flambeau::ops::shape;
use flambeau::{Array, DType, Device, Scalar, Tensor};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::ffi::{self, PyObject};
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyComplex, PyDict, PyFloat, PyFloatMethods, PyInt, PyList, PyString,
    PyTuple,
};
use smallvec::SmallVec;

/// Nesting beyond this is refused: no tensor has more dimensions, and recursion stays shallow.
const MAX_DEPTH: usize = 64;

/// Whether `object` is a sequence whose elements are data.
fn is_sequence(object: &Bound<'_, PyAny>) -> bool {
    if object.is_instance_of::<PyList>() || object.is_instance_of::<PyTuple>() {
        return true;
    }
    if object.is_instance_of::<PyString>()
        || object.is_instance_of::<PyBytes>()
        || object.is_instance_of::<PyByteArray>()
    {
        return false;
    }
    // SAFETY: a live object.
    unsafe { ffi::PySequence_Check(object.as_ptr()) != 0 }
}

/// The sizes of nested sequences, from first elements; every level is checked when it is read.
fn infer_sizes(data: &Bound<'_, PyAny>) -> PyResult<SmallVec<[i64; 5]>> {
    let mut sizes = SmallVec::new();
    let mut level = data.clone();
    loop {
        // A tensor among data stands for its only element.
        if object::extract(&level).is_some() {
            return Ok(sizes);
        }
        if !is_sequence(&level) {
            return Ok(sizes);
        }
        let n = level.len()? as i64;
        sizes.push(n);
        if sizes.len() > MAX_DEPTH {
            return Err(PyValueError::new_err(format!("too many dimensions '{}'", type_name(&level))));
        }
        if n == 0 {
            return Ok(sizes);
        }
        let first = level.get_item(0)?;
        if first.is(&level) {
            return Err(PyTypeError::new_err("new(): self-referential lists are incompatible"));
        }
        level = first;
    }
}

/// The dtype that nested data has: bool < int < float < complex.
fn infer_dtype(data: &Bound<'_, PyAny>, depth: usize) -> PyResult<DType> {
    if data.is_exact_instance_of::<PyFloat>() {
        return Ok(flambeau::default_dtype());
    }
    if data.is_instance_of::<PyBool>() {
        return Ok(DType::Bool);
    }
    if data.is_exact_instance_of::<PyInt>() {
        return Ok(DType::Int64);
    }
    if let Some(t) = object::extract(data) {
        return Ok(t.dtype());
    }
    if is_numpy(data) && data.hasattr("dtype")? {
        return numpy_dtype(&data.getattr("dtype")?);
    }
    if data.is_instance_of::<PyFloat>() {
        return Ok(flambeau::default_dtype());
    }
    if data.is_instance_of::<PyInt>() {
        return Ok(DType::Int64);
    }
    if data.is_instance_of::<PyComplex>() {
        return Ok(flambeau::default_dtype().to_complex());
    }
    if data.is_instance_of::<PyString>() {
        return Err(PyValueError::new_err(format!("too many dimensions '{}'", type_name(data))));
    }
    if is_sequence(data) && depth < MAX_DEPTH {
        let mut found: Option<DType> = None;
        for item in data.try_iter()? {
            let d = infer_dtype(&item?, depth + 1)?;
            found = Some(match found {
                None => d,
                Some(f) => f.promote(d),
            });
        }
        return Ok(found.unwrap_or_else(flambeau::default_dtype));
    }
    Err(PyRuntimeError::new_err(format!("Could not infer dtype of {}", type_name(data))))
}

/// The dtype of a NumPy dtype object.
pub fn numpy_dtype(dtype: &Bound<'_, PyAny>) -> PyResult<DType> {
    let kind: String = dtype.getattr("name")?.extract()?;
    DType::ALL.iter().copied().find(|d| d.name() == kind).ok_or_else(|| {
        let shown = if kind.starts_with("str") || kind.starts_with("bytes") || kind == "object" || kind == "void" {
            format!("numpy.{}", match kind.as_str() {
                "object" => "object_".to_string(),
                other => format!("{}_", other.trim_end_matches(char::is_numeric)),
            })
        } else {
            format!("numpy.{kind}")
        };
        PyTypeError::new_err(format!(
            "can't convert np.ndarray of type {shown}. The only supported types are: float64, float32, float16, complex64, complex128, int64, int32, int16, int8, uint64, uint32, uint16, uint8, and bool."
        ))
    })
}

/// Reads nested data of known sizes into `out`.
fn read(
    data: &Bound<'_, PyAny>,
    sizes: &[i64],
    dim: usize,
    dtype: DType,
    out: &mut Vec<Scalar>,
) -> PyResult<()> {
    if let Some(t) = object::extract(data) {
        if t.numel() != 1 || dim != sizes.len() {
            return Err(PyValueError::new_err("only one element tensors can be converted to Python scalars"));
        }
        if t.requires_grad() {
            flambeau::warn(
                "Converting a tensor with requires_grad=True to a scalar may lead to unexpected behavior.\nConsider using tensor.detach() first.",
            );
        }
        out.push(t.item().py()?);
        return Ok(());
    }
    if dim == sizes.len() {
        if is_sequence(data) && !is_numpy(data) {
            return Err(match dtype {
                DType::Bool | DType::Int64 | DType::Int32 | DType::Int16 | DType::Int8 | DType::UInt8 => {
                    PyTypeError::new_err(format!(
                        "'{}' object cannot be interpreted as an integer",
                        type_name(data)
                    ))
                }
                _ => PyTypeError::new_err(format!("must be real number, not {}", type_name(data))),
            });
        }
        return match scalar_of(data)? {
            Some(Scalar::Complex(c)) if !dtype.is_complex() => {
                let _ = c;
                Err(PyTypeError::new_err(if dtype.is_floating_point() {
                    "must be real number, not complex".to_string()
                } else {
                    "can't convert complex to int".to_string()
                }))
            }
            Some(s) => {
                out.push(s);
                Ok(())
            }
            None => Err(PyTypeError::new_err(format!("new(): invalid data type '{}'", type_name(data)))),
        };
    }
    if !is_sequence(data) {
        return Err(PyTypeError::new_err("not a sequence"));
    }
    let n = data.len()? as i64;
    if n != sizes[dim] {
        return Err(PyValueError::new_err(format!(
            "expected sequence of length {} at dim {dim} (got {n})",
            sizes[dim]
        )));
    }
    if let Ok(list) = data.cast::<PyList>() {
        for item in list.iter() {
            read(&item, sizes, dim + 1, dtype, out)?;
        }
    } else {
        for item in data.try_iter()? {
            read(&item?, sizes, dim + 1, dtype, out)?;
        }
    }
    Ok(())
}

/// A fresh tensor of Python data (numbers, nested sequences, arrays, tensors).
pub fn tensor_of_data(
    data: &Bound<'_, PyAny>,
    dtype: Option<DType>,
    device: Option<Device>,
) -> PyResult<Tensor> {
    let device = device.unwrap_or_else(flambeau::default_device);
    device.check_available().py()?;
    if let Some(t) = object::extract(data) {
        let t = t.alias();
        let out = shape::to_dtype(&t, dtype.unwrap_or(t.dtype())).py()?;
        return to_device(if out.is_same(&t) { shape::clone_dense(&t).py()? } else { out }, device);
    }
    if let Some(t) = plain_list(data, dtype)? {
        return to_device(t, device);
    }
    if let Some(t) = crate::numpy::from_array_like(data)? {
        let out = shape::clone_dense(&t).py()?;
        return to_device(shape::to_dtype(&out, dtype.unwrap_or(out.dtype())).py()?, device);
    }
    if data.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err(format!("new(): invalid data type '{}'", type_name(data))));
    }
    if let Ok(list) = data.cast::<pyo3::types::PyList>()
        && list.len() > 1
        && list.iter().all(|item| is_numpy(&item) && item.hasattr("__len__").unwrap_or(false))
    {
        flambeau::warn_once!(
            "Creating a tensor from a list of numpy.ndarrays is extremely slow. Please consider converting the list to a single numpy.ndarray with numpy.array() before converting to a tensor.",
        );
    }
    let sizes = infer_sizes(data)?;
    let dtype = match dtype {
        Some(d) => d,
        None => infer_dtype(data, 0)?,
    };
    flambeau_core::check_sizes(&sizes).py()?;
    let n = flambeau_core::numel(&sizes).py()?;
    let mut values: Vec<Scalar> = Vec::new();
    read(data, &sizes, 0, dtype, &mut values)?;
    if values.len() as i64 != n {
        return Err(PyValueError::new_err("data changed while it was read"));
    }
    to_device(from_scalars(&values, &sizes, dtype)?, device)
}

/// A tensor of a float, or of a list of floats, the commonest data; none for anything else.
fn plain_list(data: &Bound<'_, PyAny>, dtype: Option<DType>) -> PyResult<Option<Tensor>> {
    let dtype = dtype.unwrap_or_else(flambeau::default_dtype);
    if !matches!(dtype, DType::Float32 | DType::Float64) {
        return Ok(None);
    }
    if let Ok(f) = data.cast_exact::<PyFloat>() {
        return flambeau::ops::creation::scalar_tensor(Scalar::Float(f.value()), dtype).py().map(Some);
    }
    let Ok(list) = data.cast_exact::<PyList>() else { return Ok(None) };
    let mut values: SmallVec<[Scalar; 16]> = SmallVec::new();
    for item in list.iter() {
        match item.cast_exact::<PyFloat>() {
            Ok(f) => values.push(Scalar::Float(f.value())),
            Err(_) => return Ok(None),
        }
    }
    if values.is_empty() {
        return Ok(None);
    }
    from_scalars(&values, &[values.len() as i64], dtype).map(Some)
}

fn to_device(t: Tensor, device: Device) -> PyResult<Tensor> {
    if device.is_meta() {
        return Tensor::empty_raw(&t.sizes(), t.dtype(), device).py();
    }
    Ok(t)
}

/// A row-major tensor of numbers; integers that do not fit are an error, as in PyTorch.
pub fn from_scalars(values: &[Scalar], sizes: &[i64], dtype: DType) -> PyResult<Tensor> {
    if dtype.is_integral() {
        for v in values {
            match v {
                Scalar::Float(f) if f.is_nan() || f.is_infinite() => {
                    return Err(if f.is_nan() {
                        PyValueError::new_err("cannot convert float NaN to integer")
                    } else {
                        pyo3::exceptions::PyOverflowError::new_err("cannot convert float infinity to integer")
                    });
                }
                _ => v.check_fits(dtype).py()?,
            }
        }
    }
    let a = Array::empty(sizes, dtype, Device::CPU, flambeau_core::Init::Uninit).py()?;
    flambeau_core::dispatch!(storage dtype, T => {
        let to = a.data_ptr().cast::<T>();
        for (i, &v) in values.iter().enumerate() {
            let v = if dtype == DType::Bool { Scalar::Int(v.to_bool() as i64) } else { v };
            // SAFETY: a fresh array of `values.len()` elements.
            unsafe { to.add(i).write(flambeau_core::Number::from_scalar(v)) };
        }
    });
    Ok(Tensor::from_array(a))
}

/// `torch.tensor(data, *, dtype=None, device=None, requires_grad=False, pin_memory=False)`
#[pyfunction]
#[pyo3(signature = (data, *, dtype=None, device=None, requires_grad=false, pin_memory=false))]
pub fn tensor<'py>(
    data: &Bound<'py, PyAny>,
    dtype: Option<&Bound<'py, PyAny>>,
    device: Option<&Bound<'py, PyAny>>,
    requires_grad: bool,
    pin_memory: bool,
) -> PyResult<Py<PyAny>> {
    let py = data.py();
    let _ = pin_memory;
    if object::extract(data).is_some() {
        flambeau::warn(
            "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor).",
        );
        if let Some(error) = crate::warnings::pending(py) {
            return Err(error);
        }
    }
    let t = tensor_of_data(data, option_dtype(dtype, "tensor")?, option_device(device)?)?;
    if let Some(error) = crate::warnings::pending(py) {
        return Err(error);
    }
    if requires_grad {
        if !t.dtype().is_differentiable() {
            return Err(PyRuntimeError::new_err(
                "Only Tensors of floating point and complex dtype can require gradients",
            ));
        }
        t.set_requires_grad(true).py()?;
    }
    Ok(object::wrap(py, t))
}

/// `torch.as_tensor(data, dtype=None, device=None)`: shares memory where it can.
#[pyfunction]
#[pyo3(signature = (data, dtype=None, device=None))]
pub fn as_tensor<'py>(
    data: &Bound<'py, PyAny>,
    dtype: Option<&Bound<'py, PyAny>>,
    device: Option<&Bound<'py, PyAny>>,
) -> PyResult<Py<PyAny>> {
    let py = data.py();
    let (dtype, device) = (option_dtype(dtype, "as_tensor")?, option_device(device)?);
    let shared = match object::extract(data) {
        Some(t) => Some(t),
        None => crate::numpy::from_array_like(data)?,
    };
    let t = match shared {
        Some(t) => {
            let t = shape::to_dtype(&t, dtype.unwrap_or(t.dtype())).py()?;
            match device {
                Some(d) => {
                    d.check_available().py()?;
                    if d.kind == t.device().kind { t } else { to_device(t, d)? }
                }
                None => t,
            }
        }
        None => tensor_of_data(data, dtype, device)?,
    };
    Ok(object::wrap(py, t))
}

fn option_dtype(object: Option<&Bound<'_, PyAny>>, op: &str) -> PyResult<Option<DType>> {
    match object {
        Some(o) if !o.is_none() => dtype_of(o).map(Some).ok_or_else(|| {
            PyTypeError::new_err(format!(
                "{op}(): argument 'dtype' must be torch.dtype, not {}",
                type_name(o)
            ))
        }),
        _ => Ok(None),
    }
}

fn option_device(object: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Device>> {
    match object {
        Some(o) if !o.is_none() => device_of(o)?.map(Some).ok_or_else(|| {
            PyTypeError::new_err(format!("argument 'device' must be torch.device, not {}", type_name(o)))
        }),
        _ => Ok(None),
    }
}

/// `torch.Tensor(...)` and the typed constructors: sizes, a sequence, or another tensor.
pub fn legacy(args: &Bound<'_, PyTuple>, dtype: DType, name: &str) -> PyResult<Tensor> {
    if args.is_empty() {
        return Tensor::zeros_raw(&[0], dtype, Device::CPU).py();
    }
    let first = args.get_item(0)?;
    if args.len() == 1 {
        if let Some(t) = object::extract(&first) {
            if t.dtype() != dtype {
                return Err(PyTypeError::new_err(format!(
                    "expected {name} (got torch.{}Tensor)",
                    t.dtype().cpp_name()
                )));
            }
            return Ok(t.alias());
        }
        if !is_int(&first) {
            let size = first.get_type().name()? == "Size" && first.is_instance_of::<PyTuple>();
            if !size {
                if is_sequence(&first) || is_numpy(&first) {
                    return tensor_of_data(&first, Some(dtype), Some(Device::CPU));
                }
                return Err(PyTypeError::new_err(format!(
                    "new(): data must be a sequence (got {})",
                    type_name(&first)
                )));
            }
            let sizes: Vec<i64> = first.extract()?;
            return Tensor::zeros_raw(&sizes, dtype, Device::CPU).py();
        }
    }
    let mut sizes = Vec::new();
    for item in args.iter() {
        if !is_int(&item) {
            return Err(PyTypeError::new_err(format!(
                "new() received an invalid combination of arguments - got ({}), but expected one of:\n * (*, torch.device device = None)\n * (torch.Storage storage)\n * (Tensor other)\n * (tuple of ints size, *, torch.device device = None)\n * (object data, *, torch.device device = None)\n",
                args.iter().map(|a| type_name(&a)).collect::<Vec<_>>().join(", ")
            )));
        }
        sizes.push(int_value(&item)?);
    }
    Tensor::zeros_raw(&sizes, dtype, Device::CPU).py()
}

/// `Tensor.__new__`
pub unsafe extern "C" fn tensor_new(
    class: *mut ffi::PyTypeObject,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> *mut PyObject {
    guard(std::ptr::null_mut(), || {
        // SAFETY: called by the interpreter with a tuple and maybe a dictionary, with the GIL.
        unsafe {
            let py = Python::assume_attached();
            let args = Bound::from_borrowed_ptr(py, args).cast_into::<PyTuple>()?;
            // Subclasses with an `__init__` of their own may take keywords.
            if !kwargs.is_null() && class == object::tensor_type() {
                let kwargs = Bound::from_borrowed_ptr(py, kwargs).cast_into::<PyDict>()?;
                for (k, _) in kwargs.iter() {
                    let k = k.to_string();
                    if k != "device" && k != "data" && k != "size" {
                        return Err(PyTypeError::new_err(format!(
                            "new() got an unexpected keyword argument '{k}'"
                        )));
                    }
                }
            }
            let t = legacy(&args, flambeau::default_dtype(), "torch.FloatTensor")?;
            Ok(object::wrap_as(class, t))
        }
    })
}

/// The tensor that a typed constructor (`torch.FloatTensor`) makes.
#[pyfunction]
#[pyo3(signature = (dtype, name, args))]
pub fn _legacy_new(
    py: Python<'_>,
    dtype: crate::types::PyDType,
    name: &str,
    args: &Bound<'_, PyTuple>,
) -> PyResult<Py<PyAny>> {
    Ok(object::wrap(py, legacy(args, dtype.0, name)?))
}

/// An object of a subclass over the data of a tensor, without history.
#[pyfunction]
#[pyo3(signature = (cls, data, require_grad=false))]
pub fn _make_subclass(
    cls: &Bound<'_, pyo3::types::PyType>,
    data: &Bound<'_, PyAny>,
    require_grad: bool,
) -> PyResult<Py<PyAny>> {
    let py = cls.py();
    let t = object::extract(data).ok_or_else(|| {
        PyTypeError::new_err(format!(
            "_make_subclass(): argument 'data' must be Tensor, not {}",
            type_name(data)
        ))
    })?;
    let fresh = t.alias();
    if require_grad && !fresh.dtype().is_differentiable() {
        return Err(PyRuntimeError::new_err(
            "Only Tensors of floating point and complex dtype can require gradients",
        ));
    }
    fresh.set_requires_grad(require_grad).py()?;
    // SAFETY: the class was checked by the caller's signature to be a type; a subclass of Tensor is checked here.
    unsafe {
        if ffi::PyType_IsSubtype(cls.as_ptr().cast(), object::tensor_type()) == 0 {
            return Err(PyTypeError::new_err("cls must be a subclass of Tensor"));
        }
        Ok(owned_ptr(py, object::wrap_as(cls.as_ptr().cast(), fresh)))
    }
}

/// An object of a subclass over a tensor, history included.
#[pyfunction]
pub fn _as_subclass(cls: &Bound<'_, pyo3::types::PyType>, data: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let py = cls.py();
    let Some(t) = object::extract(data) else { return Err(PyTypeError::new_err("expected a Tensor")) };
    let fresh = flambeau::ops::shape::alias(&t).py()?;
    // SAFETY: the class is checked to be a subclass of Tensor.
    unsafe {
        if ffi::PyType_IsSubtype(cls.as_ptr().cast(), object::tensor_type()) == 0 {
            return Err(PyTypeError::new_err("cls must be a subclass of Tensor"));
        }
        Ok(owned_ptr(py, object::wrap_as(cls.as_ptr().cast(), fresh)))
    }
}
