//! Classes made through the C API, with the tables that describe them, which live as long as the process. One of the
//! modules with unsafe code.

use pyo3::ffi::{self, PyMemberDef, PyMethodDef, PyObject, PyType_Slot};
use pyo3::prelude::*;
use std::ffi::{CStr, c_int, c_ulong, c_void};
use std::ptr::{null, null_mut};

/// What a class is made of.
pub struct Class {
    name: &'static CStr,
    size: usize,
    flags: c_ulong,
    slots: Vec<PyType_Slot>,
}

impl Class {
    /// A class whose objects have `size` bytes, 0 for those of its base.
    pub fn new(name: &'static CStr, size: usize) -> Class {
        Class { name, size, flags: ffi::Py_TPFLAGS_DEFAULT, slots: Vec::new() }
    }

    pub fn flags(mut self, flags: c_ulong) -> Class {
        self.flags |= flags;
        self
    }

    pub fn slots<const N: usize>(mut self, slots: [(c_int, *mut c_void); N]) -> Class {
        self.slots.extend(slots.map(|(slot, pfunc)| PyType_Slot { slot, pfunc }));
        self
    }

    pub fn doc(self, text: &'static CStr) -> Class {
        self.slots([(ffi::Py_tp_doc, text.as_ptr() as *mut c_void)])
    }

    pub fn methods(self, mut table: Vec<PyMethodDef>) -> Class {
        table.push(PyMethodDef::zeroed());
        self.slots([(ffi::Py_tp_methods, table.leak().as_mut_ptr().cast())])
    }

    pub fn members(self, mut table: Vec<PyMemberDef>) -> Class {
        table.push(PyMemberDef::default());
        self.slots([(ffi::Py_tp_members, table.leak().as_mut_ptr().cast())])
    }

    pub fn properties(self, mut table: Vec<ffi::PyGetSetDef>) -> Class {
        table.push(ffi::PyGetSetDef::default());
        self.slots([(ffi::Py_tp_getset, table.leak().as_mut_ptr().cast())])
    }

    /// The class, derived from `base` or, where that is null, from `object`.
    ///
    /// # Safety
    /// Every slot must hold what its number asks for, `size` be that of the layout that these functions expect, and
    /// `base` a live class.
    pub unsafe fn create(mut self, py: Python<'_>, base: *mut PyObject) -> PyResult<Bound<'_, PyAny>> {
        self.slots.push(PyType_Slot { slot: 0, pfunc: null_mut() });
        let mut spec = ffi::PyType_Spec {
            name: self.name.as_ptr(),
            basicsize: self.size as c_int,
            itemsize: 0,
            flags: self.flags as u32,
            slots: self.slots.leak().as_mut_ptr(),
        };
        // SAFETY: the tables live for ever; their contents are as promised by the caller.
        unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyType_FromSpecWithBases(&mut spec, base)) }
    }
}

fn method(name: &'static CStr, f: ffi::PyMethodDefPointer, flags: c_int, doc: &'static CStr) -> PyMethodDef {
    PyMethodDef { ml_name: name.as_ptr(), ml_meth: f, ml_flags: flags, ml_doc: doc.as_ptr() }
}

/// A method without arguments.
pub fn plain(name: &'static CStr, f: ffi::PyCFunction, doc: &'static CStr) -> PyMethodDef {
    method(name, ffi::PyMethodDefPointer { PyCFunction: f }, ffi::METH_NOARGS, doc)
}

/// A method of positional arguments.
pub fn positional(name: &'static CStr, f: ffi::PyCFunctionFast, doc: &'static CStr) -> PyMethodDef {
    method(name, ffi::PyMethodDefPointer { PyCFunctionFast: f }, ffi::METH_FASTCALL, doc)
}

/// A method of arguments by position and by name.
pub fn keywords(name: &'static CStr, f: ffi::PyCFunctionFastWithKeywords, doc: &'static CStr) -> PyMethodDef {
    let flags = ffi::METH_FASTCALL | ffi::METH_KEYWORDS;
    method(name, ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: f }, flags, doc)
}

/// A number of `Py_ssize_t` in the object, such as the places of its dictionary and of its list of weak references.
pub fn member(name: &'static CStr, offset: usize) -> PyMemberDef {
    PyMemberDef {
        name: name.as_ptr(),
        type_code: ffi::Py_T_PYSSIZET,
        offset: offset as ffi::Py_ssize_t,
        flags: ffi::Py_READONLY,
        doc: null(),
    }
}

/// An attribute that a function computes.
pub fn property(name: &'static CStr, get: ffi::getter, set: Option<ffi::setter>) -> ffi::PyGetSetDef {
    ffi::PyGetSetDef { name: name.as_ptr(), get: Some(get), set, doc: null(), closure: null_mut() }
}
