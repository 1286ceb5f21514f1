//! The bases of `no_grad` and `enable_grad`: what entering and leaving a `with` block does. Raw type objects: one of
//! the modules with unsafe code.

use crate::errors::guard;
use flambeau::autograd::set_grad_enabled;
use pyo3::ffi::{self, PyObject, PyTypeObject};
use pyo3::prelude::*;
use std::ffi::{CStr, c_int, c_void};

#[repr(C)]
struct Switch {
    ob_base: PyObject,
    /// The mode before the `with` block.
    previous: bool,
}

/// Makes the class that sets the mode to `ON`.
pub fn create_type<const ON: bool>(py: Python<'_>, name: &'static CStr) -> PyResult<Py<PyAny>> {
    let methods: &'static mut [ffi::PyMethodDef; 3] = Box::leak(Box::new([
        ffi::PyMethodDef {
            ml_name: c"__enter__".as_ptr(),
            ml_meth: ffi::PyMethodDefPointer { PyCFunction: enter::<ON> },
            ml_flags: ffi::METH_NOARGS,
            ml_doc: std::ptr::null(),
        },
        ffi::PyMethodDef {
            ml_name: c"__exit__".as_ptr(),
            ml_meth: ffi::PyMethodDefPointer { PyCFunctionFast: exit },
            ml_flags: ffi::METH_FASTCALL,
            ml_doc: std::ptr::null(),
        },
        ffi::PyMethodDef::zeroed(),
    ]));
    let slot = |slot: c_int, f: *mut c_void| ffi::PyType_Slot { slot, pfunc: f };
    let slots: &'static mut [ffi::PyType_Slot] = Box::leak(Box::new([
        slot(ffi::Py_tp_new, new as *mut c_void),
        slot(ffi::Py_tp_methods, methods.as_mut_ptr().cast()),
        slot(ffi::Py_tp_doc, c"Sets the grad mode for a `with` block.".as_ptr() as *mut c_void),
        slot(0, std::ptr::null_mut()),
    ]));
    let mut spec = ffi::PyType_Spec {
        name: name.as_ptr(),
        basicsize: size_of::<Switch>() as c_int,
        itemsize: 0,
        flags: (ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_BASETYPE) as u32,
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: the spec and everything it points to live for ever.
    let class = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyType_FromSpec(&mut spec))? };
    Ok(class.unbind())
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
