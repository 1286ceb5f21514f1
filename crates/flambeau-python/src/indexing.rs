//! `x[...]` and `x[...] = value`: Python's index expressions as views and index operators.

use crate::errors::{IntoPy, guard};
use crate::native::{call_ret, native};
use crate::object;
use crate::parse::{int_value, is_int, scalar_of};
use flambeau::ops::{creation, shape, shape as views};
use flambeau::schema::Arg;
use flambeau::{DType, Device, Tensor};
use pyo3::exceptions::{PyIndexError, PyTypeError, PyValueError};
use pyo3::ffi::{PyObject, PySliceObject};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyEllipsis, PyFloat, PyInt, PyList, PySlice, PyTuple};
use smallvec::SmallVec;
use std::ffi::c_int;

/// What an index expression leaves to do after its views were taken: index tensors by dimension.
struct Indexed {
    view: Tensor,
    tensors: Vec<Option<Tensor>>,
}

pub unsafe extern "C" fn subscript(me: *mut PyObject, key: *mut PyObject) -> *mut PyObject {
    guard(std::ptr::null_mut(), || {
        // SAFETY: called by the interpreter on a tensor, with the GIL.
        unsafe {
            let py = Python::assume_attached();
            if !object::is_exact(me) && crate::overrides::may_override(me) {
                let tensor = Bound::from_borrowed_ptr(py, object::tensor_type().cast());
                let f = tensor.getattr("__getitem__")?;
                if let Some(r) = crate::overrides::call(py, &f, &[me, key], std::ptr::null_mut(), &[])? {
                    return Ok(r.into_ptr());
                }
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
            if indexed.tensors.iter().any(Option::is_some) {
                call_ret(
                    native!("index_put_"),
                    &[
                        Arg::Tensor(&indexed.view),
                        Arg::OptTensors(indexed.tensors),
                        Arg::Tensor(&value),
                        Arg::Bool(false),
                    ],
                )?;
            } else {
                // Leading dimensions of size 1 of the value are dropped, as in NumPy.
                let mut sizes = value.sizes();
                let rank = indexed.view.dim();
                while sizes.len() > rank && sizes[0] == 1 {
                    sizes.remove(0);
                }
                let value =
                    if sizes.len() != value.dim() { shape::view(&value, &sizes).py()? } else { value };
                call_ret(
                    native!("copy_"),
                    &[Arg::Tensor(&indexed.view), Arg::Tensor(&value), Arg::Bool(false)],
                )?;
            }
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
    let size = t.with_array(|a| a.sizes[dim as usize]);
    if i < -size || i >= size {
        return Err(PyIndexError::new_err(format!(
            "index {i} is out of bounds for dimension {dim} with size {size}"
        )));
    }
    views::select(t, dim, i).py()
}

/// How many dimensions an index takes.
fn consumed(item: &Bound<'_, PyAny>) -> PyResult<usize> {
    if item.is_none() || item.is_instance_of::<PyEllipsis>() || item.is_instance_of::<PyBool>() {
        return Ok(0);
    }
    if let Some(t) = object::extract(item) {
        return Ok(if matches!(t.dtype(), DType::Bool | DType::UInt8) { t.dim() } else { 1 });
    }
    Ok(1)
}

/// A sequence that is an index of its own (`x[[0, 2]]`), as a tensor.
fn sequence_index(item: &Bound<'_, PyAny>) -> PyResult<Tensor> {
    let t = crate::construct::tensor_of_data(item, None, None)?;
    Ok(if t.numel() == 0 && !t.dtype().is_integral_or_bool() {
        shape::to_dtype(&t, DType::Int64).py()?
    } else {
        t
    })
}

fn apply(t: &Tensor, key: &Bound<'_, PyAny>) -> PyResult<Indexed> {
    let items: SmallVec<[Bound<'_, PyAny>; 4]> = match key.cast::<PyTuple>() {
        Ok(tuple) => tuple.iter().collect(),
        Err(_) => smallvec::smallvec![key.clone()],
    };
    let rank = t.dim();
    let mut taken = 0;
    let mut prepared: SmallVec<[Item; 4]> = SmallVec::new();
    for item in &items {
        prepared.push(prepare(item)?);
        taken += match &prepared[prepared.len() - 1] {
            Item::Tensor(t) if matches!(t.dtype(), DType::Bool | DType::UInt8) => t.dim(),
            Item::Tensor(_) => 1,
            _ => consumed(item)?,
        };
    }
    if taken > rank {
        return Err(PyIndexError::new_err(format!("too many indices for tensor of dimension {rank}")));
    }
    let mut view = t.clone();
    let mut dim = 0usize;
    let mut tensors: Vec<Option<Tensor>> = Vec::new();
    let mut seen_ellipsis = false;
    let place = |tensors: &mut Vec<Option<Tensor>>, dim: usize, t: Tensor| {
        if tensors.len() <= dim {
            tensors.resize(dim + 1, None);
        }
        tensors[dim] = Some(t);
    };
    for item in prepared {
        match item {
            Item::None => {
                view = views::unsqueeze(&view, dim as i64).py()?;
                dim += 1;
            }
            Item::Ellipsis => {
                if !seen_ellipsis {
                    dim += rank - taken;
                    seen_ellipsis = true;
                }
            }
            Item::Int(i) => {
                let size = view.sizes()[dim];
                if i < -size || i >= size {
                    return Err(PyIndexError::new_err(format!(
                        "index {i} is out of bounds for dimension {dim} with size {size}"
                    )));
                }
                view = views::select(&view, dim as i64, i).py()?;
            }
            Item::Slice(start, stop, step) => {
                if step <= 0 {
                    return Err(PyValueError::new_err("step must be greater than zero"));
                }
                let size = view.sizes()[dim];
                let full = start.unwrap_or(0) == 0 && stop.is_none_or(|s| s >= size) && step == 1;
                if !full {
                    view = views::slice(&view, dim as i64, start, stop, step).py()?;
                }
                dim += 1;
            }
            Item::Bool(b) => {
                // A Python bool adds a dimension of size 1 or 0.
                view = views::unsqueeze(&view, dim as i64).py()?;
                let t = Tensor::from_slice(&[b], &[1]).py()?;
                place(&mut tensors, dim, t);
                dim += 1;
            }
            Item::Tensor(t) => {
                let step = if matches!(t.dtype(), DType::Bool | DType::UInt8) { t.dim() } else { 1 };
                if t.dim() == 0 && matches!(t.dtype(), DType::Bool | DType::UInt8) {
                    view = views::unsqueeze(&view, dim as i64).py()?;
                    let b = t.item().py()?.to_bool();
                    let t = Tensor::from_slice(&[b], &[1]).py()?;
                    place(&mut tensors, dim, t);
                    dim += 1;
                    continue;
                }
                if t.device() != Device::CPU && view.device() == Device::CPU {
                    return Err(PyIndexError::new_err(
                        "indices should be on the same device as the indexed tensor",
                    ));
                }
                place(&mut tensors, dim, t);
                dim += step;
            }
        }
    }
    Ok(Indexed { view, tensors })
}

enum Item {
    None,
    Ellipsis,
    Bool(bool),
    Int(i64),
    Slice(Option<i64>, Option<i64>, i64),
    Tensor(Tensor),
}

fn prepare(item: &Bound<'_, PyAny>) -> PyResult<Item> {
    if item.is_none() {
        return Ok(Item::None);
    }
    if item.is_instance_of::<PyEllipsis>() {
        return Ok(Item::Ellipsis);
    }
    if item.is_instance_of::<PyBool>() {
        return Ok(Item::Bool(item.extract()?));
    }
    if let Some(t) = object::extract(item) {
        if t.dim() == 0 && t.dtype().is_integral() && t.dtype() != DType::UInt8 {
            return Ok(Item::Int(t.item().py()?.to_i64()));
        }
        if !t.dtype().is_integral_or_bool() {
            return Err(PyIndexError::new_err(
                "tensors used as indices must be long, int, byte or bool tensors",
            ));
        }
        return Ok(Item::Tensor(t));
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
        return Ok(Item::Slice(part(parts.start)?, part(parts.stop)?, part(parts.step)?.unwrap_or(1)));
    }
    if is_int(item) {
        return Ok(Item::Int(int_value(item)?));
    }
    if item.is_instance_of::<PyList>()
        || item.is_instance_of::<PyTuple>()
        || item.hasattr("__array__")?
        || crate::parse::is_numpy(item)
    {
        let t = sequence_index(item)?;
        if t.dim() == 0 && t.dtype().is_integral() {
            return Ok(Item::Int(t.item().py()?.to_i64()));
        }
        if !t.dtype().is_integral_or_bool() {
            return Err(PyIndexError::new_err(
                "tensors used as indices must be long, int, byte or bool tensors",
            ));
        }
        return Ok(Item::Tensor(t));
    }
    Err(PyIndexError::new_err(format!(
        "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices (got {})",
        crate::types::type_name(item)
    )))
}
