//! The bases of `no_grad` and `enable_grad`: what entering and leaving a `with` block does. Raw type objects: one of
//! the modules with unsafe code.

use crate::class::{self, Class};
use crate::errors::guard;
use flambeau::autograd::set_grad_enabled;
use pyo3::ffi::{self, PyObject, PyTypeObject};
use pyo3::prelude::*;
use std::ffi::{CStr, c_void};

#[repr(C)]
struct Switch {
    ob_base: PyObject,
    /// The mode before the `with` block.
    previous: bool,
}

/// Makes the class that sets the mode to `ON`; the docstring begins with the signature.
pub fn create_type<const ON: bool>(
    py: Python<'_>,
    name: &'static CStr,
    doc: &'static CStr,
) -> PyResult<Py<PyAny>> {
    let class = Class::new(name, size_of::<Switch>())
        .flags(ffi::Py_TPFLAGS_BASETYPE)
        .doc(doc)
        .methods(vec![
            class::plain(c"__enter__", enter::<ON>, c"Sets the mode."),
            class::positional(c"__exit__", exit, c"Sets the mode that was before."),
        ])
        .slots([(ffi::Py_tp_new, new as *mut c_void)]);
    // SAFETY: the functions are those of their slots and of this layout.
    Ok(unsafe { class.create(py, std::ptr::null_mut()) }?.unbind())
}

/// A context manager, or with a function as argument that function decorated.
unsafe extern "C" fn new(
    class: *mut PyTypeObject,
    args: *mut PyObject,
    kwargs: *mut PyObject,
) -> *mut PyObject {
    guard(std::ptr::null_mut(), || {
        // SAFETY: called by the interpreter with a tuple and maybe a dictionary, with the GIL; a generic allocation is
        // zeroed, which is a valid state.
        unsafe {
            let py = Python::assume_attached();
            if ffi::PyTuple_GET_SIZE(args) > 1 || (!kwargs.is_null() && ffi::PyDict_Size(kwargs) > 0) {
                return Err(pyo3::exceptions::PyTypeError::new_err("takes at most one argument, a function"));
            }
            let alloc = (*class).tp_alloc.unwrap_or(ffi::PyType_GenericAlloc);
            let object = Bound::from_owned_ptr_or_err(py, alloc(class, 0))?;
            if ffi::PyTuple_GET_SIZE(args) == 1 && ffi::PyTuple_GET_ITEM(args, 0) != ffi::Py_None() {
                let function = Bound::from_borrowed_ptr(py, ffi::PyTuple_GET_ITEM(args, 0));
                return Ok(object.call1((function,))?.into_ptr());
            }
            Ok(object.into_ptr())
        }
    })
}

fn none() -> *mut PyObject {
    // SAFETY: called with the GIL.
    unsafe {
        let none = ffi::Py_None();
        ffi::Py_INCREF(none);
        none
    }
}

unsafe extern "C" fn enter<const ON: bool>(me: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    // SAFETY: an object of this layout.
    unsafe { (*me.cast::<Switch>()).previous = set_grad_enabled(ON) };
    none()
}

unsafe extern "C" fn exit(me: *mut PyObject, _: *mut *mut PyObject, _: ffi::Py_ssize_t) -> *mut PyObject {
    // SAFETY: an object of this layout.
    set_grad_enabled(unsafe { (*me.cast::<Switch>()).previous });
    none()
}
