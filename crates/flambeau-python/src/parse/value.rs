//! Python objects as values: ints, numbers, lists of them, and the argument that an object is for a parameter. One of
//! the modules with unsafe code.

use crate::object;
use crate::types::{self, type_name};
use flambeau::schema::{Arg, IntList, Kind};
use flambeau::{Scalar, Tensor};
use pyo3::Borrowed;
use pyo3::exceptions::{PyOverflowError, PyRuntimeError};
use pyo3::ffi::{self, PyObject};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyComplex, PyFloat, PyInt, PyList, PyTuple};
use std::borrow::Cow;

/// Whether the object counts as an int: int but not bool, or something with `__index__` such as NumPy's ints.
pub fn is_int(object: &Bound<'_, PyAny>) -> bool {
    if object.is_exact_instance_of::<PyInt>() {
        return true;
    }
    if object.is_instance_of::<PyBool>() || object.is_instance_of::<PyFloat>() {
        return false;
    }
    if object.is_instance_of::<PyInt>() {
        return true;
    }
    if let Some(t) = object::extract(object) {
        return t.dim() == 0 && t.dtype().is_integral() && !t.requires_grad();
    }
    // NumPy's arrays have `__index__` too, but only its scalars are ints.
    // SAFETY: a live object.
    unsafe {
        ffi::PyIndex_Check(object.as_ptr()) != 0
            && !is_numpy_bool(object)
            && !(is_numpy(object) && object.hasattr("__len__").unwrap_or(false))
    }
}

/// Whether the object is a tensor with a single integer, of any shape: a number where no tensor can be meant.
fn is_one_integer(object: &Bound<'_, PyAny>) -> bool {
    object::extract(object).is_some_and(|t| t.numel() == 1 && t.dtype().is_integral() && !t.requires_grad())
}

fn is_numpy_bool(object: &Bound<'_, PyAny>) -> bool {
    is_numpy(object) && matches!(type_name(object).as_str(), "bool_" | "bool")
}

/// Whether the object is a NumPy scalar or array, without importing NumPy.
pub fn is_numpy(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: a live object; the name of a type lives as long as the type.
    unsafe {
        let class = ffi::Py_TYPE(object.as_ptr());
        if (*class).tp_flags & ffi::Py_TPFLAGS_HEAPTYPE == 0 {
            // A built-in type has its module in its name.
            let name = std::ffi::CStr::from_ptr((*class).tp_name).to_bytes();
            return name.strip_prefix(b"numpy.").is_some_and(|rest| !rest.contains(&b'.'));
        }
    }
    object.get_type().module().is_ok_and(|m| m.to_str().is_ok_and(|m| m == "numpy"))
}

/// The value of an object that is an `int` and of no subclass, if 64 bits hold it.
///
/// # Safety
/// `object` must be a live object.
#[inline]
pub(super) unsafe fn exact_int(object: *mut PyObject) -> Option<i64> {
    // SAFETY: a live object.
    unsafe {
        if ffi::PyLong_CheckExact(object) == 0 {
            return None;
        }
        let mut overflow = 0;
        let value = ffi::PyLong_AsLongLongAndOverflow(object, &mut overflow);
        (overflow == 0).then_some(value)
    }
}

/// The items of a plain list or tuple; none for other objects.
///
/// # Safety
/// `object` must be a live object; the list must not change while the items are in use.
unsafe fn items<'a>(object: *mut PyObject) -> Option<&'a [*mut PyObject]> {
    // SAFETY: both kinds hold their items one after the other; an empty list has no memory.
    unsafe {
        let (first, n) = if ffi::PyTuple_Check(object) != 0 {
            let first = (&raw const (*object.cast::<ffi::PyTupleObject>()).ob_item).cast::<*mut PyObject>();
            (first, ffi::PyTuple_GET_SIZE(object))
        } else if ffi::PyList_Check(object) != 0 {
            let list = object.cast::<ffi::PyListObject>();
            ((*list).ob_item.cast_const(), ffi::PyList_GET_SIZE(object))
        } else {
            return None;
        };
        Some(if n == 0 { &[] } else { std::slice::from_raw_parts(first, n as usize) })
    }
}

/// Appends the tensors of a list or tuple; false, with none of them in `into`, where there is anything else in it.
///
/// # Safety
/// `object` must be a live object.
pub(super) unsafe fn exact_tensors(object: *mut PyObject, into: &mut Vec<Tensor>) -> bool {
    // SAFETY: the items live as long as the list, which nothing here changes.
    unsafe {
        let Some(items) = items(object) else { return false };
        for &item in items {
            match object::borrow(item) {
                Some(t) => into.push(t.clone()),
                None => {
                    into.clear();
                    return false;
                }
            }
        }
        true
    }
}

/// Appends the ints of a list or tuple; false where there is anything else in it.
///
/// # Safety
/// `object` must be a live object.
pub(super) unsafe fn exact_ints(object: *mut PyObject, into: &mut IntList) -> bool {
    // SAFETY: the items live as long as the list, which nothing here changes.
    unsafe {
        let Some(items) = items(object) else { return false };
        for &item in items {
            match exact_int(item) {
                Some(v) => into.push(v),
                None => return false,
            }
        }
        true
    }
}

/// The value of something that `is_int` accepts.
pub fn int_value(object: &Bound<'_, PyAny>) -> PyResult<i64> {
    if !object.is_exact_instance_of::<PyInt>()
        && let Some(t) = object::extract(object)
    {
        return t.item().map(|s| s.to_i64()).map_err(crate::errors::to_py);
    }
    match object.extract::<i64>() {
        Ok(v) => Ok(v),
        Err(e) if e.is_instance_of::<PyOverflowError>(object.py()) => {
            Err(PyRuntimeError::new_err("Overflow when unpacking long long"))
        }
        Err(e) => Err(e),
    }
}

/// The number that an object stands for: Python and NumPy numbers, zero-dim tensors.
pub fn scalar_of(object: &Bound<'_, PyAny>) -> PyResult<Option<Scalar>> {
    if object.is_exact_instance_of::<PyFloat>() {
        return Ok(Some(Scalar::Float(object.extract()?)));
    }
    if object.is_instance_of::<PyBool>() {
        return Ok(Some(Scalar::Bool(object.extract()?)));
    }
    if object.is_instance_of::<PyInt>() {
        return Ok(Some(match object.extract::<i64>() {
            Ok(v) => Scalar::Int(v),
            Err(_) => match object.extract::<u64>() {
                Ok(v) => Scalar::UInt(v),
                Err(_) => return Err(PyRuntimeError::new_err("Overflow when unpacking long long")),
            },
        }));
    }
    if object.is_instance_of::<PyFloat>() {
        return Ok(Some(Scalar::Float(object.extract()?)));
    }
    if object.is_instance_of::<PyComplex>() {
        let c = object.cast::<PyComplex>().map_err(PyErr::from)?;
        return Ok(Some(Scalar::Complex(flambeau::C64::new(
            pyo3::types::PyComplexMethods::real(c),
            pyo3::types::PyComplexMethods::imag(c),
        ))));
    }
    if let Some(t) = object::extract(object) {
        if t.dim() == 0 && !t.requires_grad() && !t.is_meta() {
            return t.item().map(Some).map_err(crate::errors::to_py);
        }
        return Ok(None);
    }
    if is_numpy(object) && object.hasattr("dtype")? && !object.hasattr("__len__").unwrap_or(true) {
        return scalar_of(&object.call_method0("item")?);
    }
    Ok(None)
}

/// Goes through the items of a tuple or list; false if `object` is neither, or when an item was refused.
fn each(
    object: &Bound<'_, PyAny>,
    mut take: impl FnMut(&Bound<'_, PyAny>) -> PyResult<bool>,
) -> PyResult<bool> {
    if let Ok(tuple) = object.cast::<PyTuple>() {
        for item in tuple.iter_borrowed() {
            if !take(&item)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    if let Ok(list) = object.cast::<PyList>() {
        for item in list.iter() {
            if !take(&item)? {
                return Ok(false);
            }
        }
        return Ok(true);
    }
    Ok(false)
}

/// A list of ints from a tuple, list or `Size`.
fn ints_of(object: &Bound<'_, PyAny>) -> PyResult<Option<IntList>> {
    let mut out = IntList::new();
    let all = each(object, |item| {
        let fits = is_int(item);
        if fits {
            out.push(int_value(item)?);
        }
        Ok(fits)
    })?;
    Ok(all.then_some(out))
}

/// A list of tensors from a tuple or list.
fn tensors_of(object: &Bound<'_, PyAny>) -> PyResult<Option<Vec<Tensor>>> {
    let mut out = Vec::new();
    let all = each(object, |item| {
        let t = object::extract(item);
        let fits = t.is_some();
        out.extend(t);
        Ok(fits)
    })?;
    Ok(all.then_some(out))
}

/// A list of numbers from a tuple or list.
fn scalars_of(object: &Bound<'_, PyAny>) -> PyResult<Option<Vec<Scalar>>> {
    let mut out = Vec::new();
    let all = each(object, |item| {
        let s = scalar_of(item)?;
        let fits = s.is_some();
        out.extend(s);
        Ok(fits)
    })?;
    Ok(all.then_some(out))
}

/// A tensor that stands for a Python number.
pub fn wrapped_number(value: Scalar) -> PyResult<Tensor> {
    let dtype = match value {
        Scalar::Float(_) => flambeau::DType::Float64,
        Scalar::Complex(_) => flambeau::DType::Complex128,
        other => other.dtype(flambeau::DType::Float64),
    };
    flambeau::ops::creation::scalar_tensor(value, dtype)
        .map(Tensor::wrap_number)
        .map_err(crate::errors::to_py)
}

/// The text of a string object; none for other objects and for lone surrogates.
///
/// # Safety
/// `object` must be a live object, and stay so for `'a`; the GIL must be held.
pub(super) unsafe fn text<'a>(object: *mut PyObject) -> Option<&'a str> {
    // SAFETY: the interpreter keeps the UTF-8 form of a string with the string.
    unsafe {
        if ffi::PyUnicode_Check(object) == 0 {
            return None;
        }
        let mut length: ffi::Py_ssize_t = 0;
        let start = ffi::PyUnicode_AsUTF8AndSize(object, &mut length);
        if start.is_null() {
            ffi::PyErr_Clear();
            return None;
        }
        let bytes = std::slice::from_raw_parts(start.cast::<u8>(), length as usize);
        Some(std::str::from_utf8_unchecked(bytes))
    }
}

/// The argument of an object for a parameter; none if its type does not fit.
///
/// # Safety
/// `raw` must be a live object, and stay so for `'py`.
pub(super) unsafe fn convert<'py>(
    py: Python<'py>,
    raw: *mut PyObject,
    kind: Kind,
    numbers: bool,
) -> PyResult<Option<Arg<'py>>> {
    // SAFETY: as promised by the caller.
    let object = unsafe { &*Borrowed::from_ptr(py, raw) };
    Ok(match kind {
        // SAFETY: as promised by the caller.
        Kind::Tensor => match unsafe { object::borrow(raw) } {
            Some(t) => Some(Arg::Tensor(t)),
            None if numbers => match scalar_of(object)? {
                Some(s) => Some(Arg::Owned(wrapped_number(s)?)),
                None => None,
            },
            None => None,
        },
        // SAFETY: as above.
        Kind::OptTensor => match unsafe { object::borrow(raw) } {
            Some(t) => Some(Arg::Tensor(t)),
            None if object.is_none() => Some(Arg::None),
            None => None,
        },
        Kind::Tensors => tensors_of(object)?.map(Arg::Tensors),
        Kind::OptTensors => {
            let mut out = Vec::new();
            let all = each(object, |item| {
                let t = object::extract(item);
                let fits = t.is_some() || item.is_none();
                out.push(t);
                Ok(fits)
            })?;
            all.then_some(Arg::OptTensors(out))
        }
        Kind::Scalar => scalar_of(object)?.map(Arg::Scalar),
        Kind::OptScalar => {
            if object.is_none() {
                Some(Arg::None)
            } else {
                scalar_of(object)?.map(Arg::Scalar)
            }
        }
        Kind::Scalars => scalars_of(object)?.map(Arg::Scalars),
        Kind::Int | Kind::OptInt => {
            if object.is_none() && kind == Kind::OptInt {
                Some(Arg::None)
            } else if is_int(object) || is_one_integer(object) {
                Some(Arg::Int(int_value(object)?))
            } else {
                None
            }
        }
        Kind::Ints(n) | Kind::OptInts(n) => {
            if object.is_none() && matches!(kind, Kind::OptInts(_)) {
                Some(Arg::None)
            } else if n > 0 && is_int(object) {
                Some(Arg::Ints(smallvec::smallvec![int_value(object)?; n as usize]))
            } else {
                ints_of(object)?.map(Arg::Ints)
            }
        }
        Kind::Float | Kind::OptFloat => {
            if object.is_none() && kind == Kind::OptFloat {
                Some(Arg::None)
            } else {
                match scalar_of(object)? {
                    Some(s) if !s.is_complex() && !matches!(s, Scalar::Bool(_)) => {
                        Some(Arg::Float(s.to_f64()))
                    }
                    _ => None,
                }
            }
        }
        Kind::Floats | Kind::OptFloats => {
            if object.is_none() && kind == Kind::OptFloats {
                return Ok(Some(Arg::None));
            }
            match scalars_of(object)? {
                Some(list) if list.iter().all(|s| !s.is_complex()) => {
                    Some(Arg::Floats(list.iter().map(|s| s.to_f64()).collect()))
                }
                _ => None,
            }
        }
        Kind::Bool | Kind::OptBool => {
            if object.is_none() && kind == Kind::OptBool {
                Some(Arg::None)
            } else if object.is_instance_of::<PyBool>() || is_numpy_bool(object) {
                Some(Arg::Bool(object.is_truthy()?))
            } else {
                None
            }
        }
        Kind::Bools => {
            let mut out = Vec::new();
            let all = each(object, |item| {
                out.push(item.extract::<bool>()?);
                Ok(true)
            })?;
            all.then_some(Arg::Bools(out))
        }
        Kind::Str | Kind::OptStr => {
            if object.is_none() && kind == Kind::OptStr {
                Some(Arg::None)
            } else {
                // SAFETY: as promised by the caller.
                unsafe { text(raw) }.map(|s| Arg::Str(Cow::Borrowed(s)))
            }
        }
        Kind::DType | Kind::OptDType => {
            if object.is_none() && kind == Kind::OptDType {
                Some(Arg::None)
            } else {
                types::dtype_of(object).map(Arg::DType)
            }
        }
        Kind::OptDevice => {
            if object.is_none() {
                Some(Arg::None)
            } else {
                types::device_of(object)?.map(Arg::Device)
            }
        }
        Kind::OptLayout => {
            if object.is_none() {
                Some(Arg::None)
            } else {
                types::layout_of(object).map(Arg::Layout)
            }
        }
        Kind::OptMemoryFormat => {
            if object.is_none() {
                Some(Arg::None)
            } else {
                types::format_of(object).map(Arg::MemoryFormat)
            }
        }
        Kind::OptGenerator => {
            if object.is_none() {
                Some(Arg::None)
            } else {
                crate::random::generator_of(object).map(Arg::Generator)
            }
        }
    })
}
