//! `x[...]` and `x[...] = value`: Python's index expressions as views and index operators.

use crate::errors::{IntoPy, guard};
use crate::native::{call_ret, native};
use crate::object;
use crate::parse::{int_value, is_int, scalar_of};
use flambeau::ops::{creation, shape, shape as views};
use flambeau::schema::Arg;
use flambeau::{DType, Index, Slice, Tensor, index_assign, index_views};
use pyo3::exceptions::{PyIndexError, PyTypeError};
use pyo3::ffi::{PyObject, PySequence_Check, PySliceObject};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyEllipsis, PyFloat, PyInt, PySlice, PyString, PyTuple};
use smallvec::SmallVec;
use std::ffi::c_int;

/// What an index expression leaves to do after its views were taken: index tensors by dimension.
struct Indexed {
    view: Tensor,
    tensors: Vec<Option<Tensor>>,
}

/// Whether the tensor, the index or what it consists of might have an override, or a mode is on.
///
/// # Safety
/// Both must be live objects.
unsafe fn taken_over(me: *mut PyObject, key: *mut PyObject) -> bool {
    use crate::overrides::{asks, in_list, modes};
    // SAFETY: passed on.
    unsafe { asks(me) || asks(key) || modes() || in_list(key) }
}

pub unsafe extern "C" fn subscript(me: *mut PyObject, key: *mut PyObject) -> *mut PyObject {
    guard(std::ptr::null_mut(), || {
        // SAFETY: called by the interpreter on a tensor, with the GIL.
        unsafe {
            let py = Python::assume_attached();
            if taken_over(me, key)
                && let Some(r) = crate::overrides::call_method(py, "__getitem__", &[me, key])?
            {
                return Ok(r.into_ptr());
            }
            let Some(t) = object::borrow(me) else { return Err(PyTypeError::new_err("not a tensor")) };
            let key = Bound::from_borrowed_ptr(py, key);
            // The commonest index first.
            if is_int(&key) {
                return Ok(object::wrap_raw(select(t, 0, int_value(&key)?)?));
            }
            let indexed = apply(t, &key)?;
            let out = if indexed.tensors.iter().any(Option::is_some) {
                call_ret(native!("index"), &[Arg::Tensor(&indexed.view), Arg::OptTensors(indexed.tensors)])?
            } else if indexed.view.is_same(t) {
                // Every index expression gives a new tensor, be it an alias.
                views::alias(t).py()?
            } else {
                indexed.view
            };
            Ok(object::wrap_raw(out))
        }
    })
}

pub unsafe extern "C" fn assign_subscript(
    me: *mut PyObject,
    key: *mut PyObject,
    value: *mut PyObject,
) -> c_int {
    guard(-1, || {
        // SAFETY: called by the interpreter on a tensor, with the GIL.
        unsafe {
            let py = Python::assume_attached();
            let Some(t) = object::borrow(me) else { return Err(PyTypeError::new_err("not a tensor")) };
            if value.is_null() {
                return Err(PyTypeError::new_err("Tensor does not support deleting items"));
            }
            if (taken_over(me, key) || taken_over(value, value))
                && crate::overrides::call_method(py, "__setitem__", &[me, key, value])?.is_some()
            {
                return Ok(0);
            }
            flambeau::ops::sparse::check_dense("index_put_", t).py()?;
            let key = Bound::from_borrowed_ptr(py, key);
            let value = Bound::from_borrowed_ptr(py, value);
            // One number in one place first.
            if (value.is_exact_instance_of::<PyFloat>() || value.is_exact_instance_of::<PyInt>())
                && is_int(&key)
                && let Some(number) = scalar_of(&value)?
                && shape::fill_selected(t, int_value(&key)?, number).py()?
            {
                return Ok(0);
            }
            let value = match object::extract(&value) {
                Some(v) => v,
                None => match scalar_of(&value)? {
                    Some(s) => {
                        if s.is_complex() && !t.dtype().is_complex() {
                            s.check_fits(t.dtype()).py()?;
                        }
                        creation::scalar_tensor(s, t.dtype()).py()?
                    }
                    None => {
                        return Err(PyTypeError::new_err(format!(
                            "can't assign a {} to a torch.{}Tensor",
                            crate::types::type_name(&value),
                            t.dtype().cpp_name()
                        )));
                    }
                },
            };
            let indexed = if is_int(&key) {
                Indexed { view: select(t, 0, int_value(&key)?)?, tensors: Vec::new() }
            } else {
                apply(t, &key)?
            };
            index_assign(&indexed.view, &indexed.tensors, &value).py()?;
            Ok(0)
        }
    })
}

fn select(t: &Tensor, dim: i64, i: i64) -> PyResult<Tensor> {
    let rank = t.dim();
    if rank == 0 {
        return Err(PyIndexError::new_err(
            "invalid index of a 0-dim tensor. Use `tensor.item()` in Python or `tensor.item<T>()` in C++ to convert a 0-dim tensor to a number",
        ));
    }
    views::select(t, dim, i).map_err(|error| {
        let size = t.with_array(|a| a.sizes.get(dim as usize).copied().unwrap_or(0));
        if i < -size || i >= size {
            return PyIndexError::new_err(format!(
                "index {i} is out of bounds for dimension {dim} with size {size}"
            ));
        }
        crate::errors::to_py(error)
    })
}

/// A sequence that is an index of its own (`x[[0, 2]]`), as a tensor.
fn sequence_index(item: &Bound<'_, PyAny>) -> PyResult<Tensor> {
    let t = crate::construct::tensor_of_data(item, None, None)?;
    // Numbers of a list are cut to integers; arrays keep their type.
    let cut = t.numel() == 0 || t.dtype().is_floating_point() && !item.hasattr("__array__")?;
    Ok(if cut && !t.dtype().is_integral_or_bool() { shape::to_dtype(&t, DType::Int64).py()? } else { t })
}

/// Lists of at least so many elements are index tensors, whatever they hold.
const LONG: usize = 32;

/// Whether Python's sequence protocol serves it; texts are left out.
fn is_sequence(item: &Bound<'_, PyAny>) -> bool {
    // SAFETY: a check of the type of a live object.
    !item.is_instance_of::<PyString>() && unsafe { PySequence_Check(item.as_ptr()) } == 1
}

/// The indices of a short sequence that stands for a tuple: one with a sequence, a tensor, a slice, `None` or `...` in it.
fn as_tuple<'py>(key: &Bound<'py, PyAny>) -> PyResult<Option<Vec<Bound<'py, PyAny>>>> {
    if !is_sequence(key) || object::extract(key).is_some() || crate::parse::is_numpy(key) {
        return Ok(None);
    }
    let Ok(n) = key.len() else { return Ok(None) };
    if n >= LONG {
        return Ok(None);
    }
    let items: Vec<_> = (0..n).map(|i| key.get_item(i)).collect::<PyResult<_>>()?;
    let means_tuple = items.iter().any(|item| {
        item.is_none()
            || item.is_instance_of::<PyEllipsis>()
            || item.is_instance_of::<PySlice>()
            || is_sequence(item)
            || object::extract(item).is_some()
    });
    if !means_tuple {
        return Ok(None);
    }
    flambeau::warn(
        "Using a non-tuple sequence for multidimensional indexing is deprecated and will be changed in pytorch 2.9; use x[tuple(seq)] instead of x[seq]. In pytorch 2.9 this will be interpreted as tensor index, x[torch.tensor(seq)], which will result either in an error or a different result",
    );
    Ok(Some(items))
}

fn apply(t: &Tensor, key: &Bound<'_, PyAny>) -> PyResult<Indexed> {
    let items: SmallVec<[Index; 4]> = if let Ok(tuple) = key.cast::<PyTuple>() {
        tuple.iter().map(|item| prepare(&item)).collect::<PyResult<_>>()?
    } else if let Some(items) = as_tuple(key)? {
        items.iter().map(prepare).collect::<PyResult<_>>()?
    } else {
        smallvec::smallvec![prepare(key)?]
    };
    let (view, tensors) = index_views(t, &items).py()?;
    Ok(Indexed { view, tensors })
}

fn prepare(item: &Bound<'_, PyAny>) -> PyResult<Index> {
    if item.is_none() {
        return Ok(Index::NewAxis);
    }
    if item.is_instance_of::<PyEllipsis>() {
        return Ok(Index::Ellipsis);
    }
    if item.is_instance_of::<PyBool>() {
        return Ok(Index::Bool(item.extract()?));
    }
    if let Some(t) = object::extract(item) {
        if t.dim() == 0 && t.dtype().is_integral() && t.dtype() != DType::UInt8 {
            return Ok(Index::Int(t.item().py()?.to_i64()));
        }
        if !t.dtype().is_integral_or_bool() {
            return Err(PyIndexError::new_err(
                "tensors used as indices must be long, int, byte or bool tensors",
            ));
        }
        return Ok(Index::Tensor(t));
    }
    if let Ok(slice) = item.cast::<PySlice>() {
        let part = |v: *mut PyObject| -> PyResult<Option<i64>> {
            // SAFETY: a slice keeps its three parts alive.
            let v = unsafe { Bound::from_borrowed_ptr(item.py(), v) };
            if v.is_none() {
                return Ok(None);
            }
            if !is_int(&v) {
                return Err(PyTypeError::new_err(
                    "slice indices must be integers or None or have an __index__ method",
                ));
            }
            match int_value(&v) {
                Ok(i) => Ok(Some(i)),
                // Like Python's own slices, huge bounds are cut to the size.
                Err(_) => Ok(Some(if v.lt(0)? { i64::MIN / 2 } else { i64::MAX / 2 })),
            }
        };
        // SAFETY: the layout of a slice object.
        let parts = unsafe { &*slice.as_ptr().cast::<PySliceObject>() };
        let (start, stop, step) = (part(parts.start)?, part(parts.stop)?, part(parts.step)?.unwrap_or(1));
        return Ok(Index::Slice(Slice { start, stop, step }));
    }
    if is_int(item) {
        return Ok(Index::Int(int_value(item)?));
    }
    if is_sequence(item) || item.hasattr("__array__")? || crate::parse::is_numpy(item) {
        let t = sequence_index(item)?;
        if t.dim() == 0 && t.dtype().is_integral() {
            return Ok(Index::Int(t.item().py()?.to_i64()));
        }
        if !t.dtype().is_integral_or_bool() {
            return Err(PyIndexError::new_err(
                "tensors used as indices must be long, int, byte or bool tensors",
            ));
        }
        return Ok(Index::Tensor(t));
    }
    Err(PyIndexError::new_err(format!(
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got {})",
        crate::types::type_name(item)
    )))
}
