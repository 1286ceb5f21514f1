//! `flambeau.Size`, the tuple of ints that a shape is. Raw type object: one of the modules with unsafe code.

use crate::class::{self, Class};
use crate::errors::{guard, owned_ptr};
use crate::types::type_name;
use pyo3::exceptions::PyTypeError;
use pyo3::ffi::{self, PyObject, PyTypeObject};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::ffi::c_void;
use std::sync::OnceLock;

static TYPE: OnceLock<usize> = OnceLock::new();

fn size_type() -> *mut PyTypeObject {
    TYPE.get().copied().unwrap_or(0) as *mut PyTypeObject
}

/// Makes the type object.
pub fn create_type(py: Python<'_>) -> PyResult<Py<PyAny>> {
    let class = Class::new(c"flambeau.Size", 0)
        .flags(ffi::Py_TPFLAGS_BASETYPE)
        .doc(c"The shape of a tensor: a tuple of ints.")
        .methods(vec![
            class::plain(
                c"numel",
                numel,
                c"numel($self, /)\n--\n\nThe number of elements of a tensor of this size.",
            ),
            class::plain(c"__reduce__", reduce, c"What it is pickled as."),
        ])
        .slots([
            (ffi::Py_tp_new, new as *mut c_void),
            (ffi::Py_tp_repr, repr as *mut c_void),
            (ffi::Py_mp_subscript, subscript as *mut c_void),
            (ffi::Py_nb_add, add as *mut c_void),
            (ffi::Py_sq_repeat, repeat as *mut c_void),
        ]);
    // SAFETY: the functions are those of their slots, the layout is that of the base, a live type.
    let class = unsafe { class.create(py, (&raw mut ffi::PyTuple_Type).cast()) }?;
    let _ = TYPE.set(class.as_ptr() as usize);
    Ok(class.unbind())
}

/// A fresh `Size`, or object of a subclass, whose items `item` gives as new references.
///
/// # Safety
/// `class` must be `Size` or a subclass; the GIL must be held.
unsafe fn make(
    py: Python<'_>,
    class: *mut PyTypeObject,
    n: usize,
    mut item: impl FnMut(usize) -> *mut PyObject,
) -> PyResult<*mut PyObject> {
    // SAFETY: a fresh tuple of n slots is filled before anyone sees it.
    unsafe {
        let alloc = (*class).tp_alloc.unwrap_or(ffi::PyType_GenericAlloc);
        let object = alloc(class, n as ffi::Py_ssize_t);
        if object.is_null() {
            return Err(PyErr::fetch(py));
        }
        for i in 0..n {
            ffi::PyTuple_SET_ITEM(object, i as ffi::Py_ssize_t, item(i));
        }
        Ok(object)
    }
}

/// A `Size` of the given sizes.
pub fn object(py: Python<'_>, sizes: &[i64]) -> PyResult<Py<PyAny>> {
    // SAFETY: the class was made with the module; ints are new references.
    unsafe {
        let object = make(py, size_type(), sizes.len(), |i| ffi::PyLong_FromLongLong(sizes[i]))?;
        Ok(owned_ptr(py, object))
    }
}

/// A `Size` of the items of a tuple.
///
/// # Safety
/// `tuple` must be a live tuple; the GIL must be held.
unsafe fn from_tuple(py: Python<'_>, tuple: *mut PyObject) -> PyResult<*mut PyObject> {
    // SAFETY: as promised; every item gets a reference of its own.
    unsafe {
        make(py, size_type(), ffi::PyTuple_GET_SIZE(tuple) as usize, |i| {
            let item = ffi::PyTuple_GET_ITEM(tuple, i as ffi::Py_ssize_t);
            ffi::Py_INCREF(item);
            item
        })
    }
}

/// What a function of the C API returned, as a tuple that becomes a `Size`.
///
/// # Safety
/// `tuple` must be null with an exception set, or a new reference to a tuple; the GIL must be held.
unsafe fn sized(py: Python<'_>, tuple: *mut PyObject) -> PyResult<*mut PyObject> {
    // SAFETY: as promised.
    unsafe {
        let tuple = Bound::from_owned_ptr_or_err(py, tuple)?;
        from_tuple(py, tuple.as_ptr())
    }
}

unsafe extern "C" fn new(
    class: *mut PyTypeObject,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> *mut PyObject {
    guard(std::ptr::null_mut(), || {
        // SAFETY: called by the interpreter with a tuple and maybe a dictionary, with the GIL.
        unsafe {
            let py = Python::assume_attached();
            let args = Bound::from_borrowed_ptr(py, args).cast_into::<PyTuple>()?;
            if args.len() > 1
                || (!kwargs.is_null() && !Bound::from_borrowed_ptr(py, kwargs).cast::<PyDict>()?.is_empty())
            {
                return Err(PyTypeError::new_err("Size() takes at most one argument, an iterable of ints"));
            }
            let mut items: Vec<Py<PyAny>> = Vec::new();
            if let Ok(iterable) = args.get_item(0) {
                for (i, item) in iterable.try_iter()?.enumerate() {
                    let item = item?;
                    let Ok(index) = item.call_method0("__index__") else {
                        return Err(PyTypeError::new_err(format!(
                            "torch.Size() takes an iterable of 'int' (item {i} is '{}')",
                            type_name(&item)
                        )));
                    };
                    items.push(index.unbind());
                }
            }
            let mut items = items.into_iter();
            make(py, class, items.len(), |_| items.next().map_or(std::ptr::null_mut(), |o| o.into_ptr()))
        }
    })
}

unsafe extern "C" fn repr(me: *mut PyObject) -> *mut PyObject {
    guard(std::ptr::null_mut(), || {
        // SAFETY: called by the interpreter on a tuple.
        let me = unsafe { Bound::from_borrowed_ptr(Python::assume_attached(), me).cast_into::<PyTuple>()? };
        let items: Vec<String> = me.iter().map(|i| i.to_string()).collect();
        let text = format!("torch.Size([{}])", items.join(", "));
        Ok(pyo3::types::PyString::new(me.py(), &text).into_any().into_ptr())
    })
}

unsafe extern "C" fn subscript(me: *mut PyObject, key: *mut PyObject) -> *mut PyObject {
    guard(std::ptr::null_mut(), || {
        // SAFETY: called by the interpreter on a tuple, whose own slot does the work.
        unsafe {
            let py = Python::assume_attached();
            let mapping = ffi::PyTuple_Type.tp_as_mapping;
            let Some(own) = (*mapping).mp_subscript else { return Err(PyTypeError::new_err("no items")) };
            let item = own(me, key);
            if !item.is_null() && ffi::PySlice_Check(key) != 0 {
                return sized(py, item);
            }
            if item.is_null() { Err(PyErr::fetch(py)) } else { Ok(item) }
        }
    })
}

unsafe extern "C" fn add(a: *mut PyObject, b: *mut PyObject) -> *mut PyObject {
    guard(std::ptr::null_mut(), || {
        // SAFETY: called by the interpreter, with a `Size` on one side.
        unsafe {
            if ffi::PyTuple_Check(a) == 0 || ffi::PyTuple_Check(b) == 0 {
                let object = ffi::Py_NotImplemented();
                ffi::Py_INCREF(object);
                return Ok(object);
            }
            let (n, m) = (ffi::PyTuple_GET_SIZE(a) as usize, ffi::PyTuple_GET_SIZE(b) as usize);
            make(Python::assume_attached(), size_type(), n + m, |i| {
                let item = if i < n {
                    ffi::PyTuple_GET_ITEM(a, i as ffi::Py_ssize_t)
                } else {
                    ffi::PyTuple_GET_ITEM(b, (i - n) as ffi::Py_ssize_t)
                };
                ffi::Py_INCREF(item);
                item
            })
        }
    })
}

unsafe extern "C" fn repeat(me: *mut PyObject, times: ffi::Py_ssize_t) -> *mut PyObject {
    guard(std::ptr::null_mut(), || {
        // SAFETY: called by the interpreter on a tuple, whose own slot does the work.
        unsafe {
            let py = Python::assume_attached();
            let sequence = ffi::PyTuple_Type.tp_as_sequence;
            let Some(own) = (*sequence).sq_repeat else { return Err(PyTypeError::new_err("no repetition")) };
            sized(py, own(me, times))
        }
    })
}

unsafe extern "C" fn numel(me: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    guard(std::ptr::null_mut(), || {
        // SAFETY: called by the interpreter on a tuple.
        let me = unsafe { Bound::from_borrowed_ptr(Python::assume_attached(), me).cast_into::<PyTuple>()? };
        // In Python's ints, which don't overflow.
        let mut n = 1i64.into_pyobject(me.py())?.into_any();
        for item in me.iter() {
            n = n.mul(item)?;
        }
        Ok(n.into_ptr())
    })
}

unsafe extern "C" fn reduce(me: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    guard(std::ptr::null_mut(), || {
        // SAFETY: called by the interpreter on a tuple.
        let me = unsafe { Bound::from_borrowed_ptr(Python::assume_attached(), me).cast_into::<PyTuple>()? };
        let py = me.py();
        let plain = PyTuple::new(py, me.iter())?;
        let args = PyTuple::new(py, [plain])?;
        Ok(PyTuple::new(py, [me.get_type().into_any(), args.into_any()])?.into_any().into_ptr())
    })
}
