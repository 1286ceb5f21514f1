//! `__torch_function__`: subclasses of Tensor, and other objects, that take over operators. One of the modules with
//! unsafe code.

use crate::object;
use pyo3::ffi::{self, PyObject};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyTypeMethods};
use std::cell::Cell;

thread_local! {
    static DISABLED: Cell<bool> = const { Cell::new(false) };
    /// How many function modes are on.
    static MODES: Cell<usize> = const { Cell::new(0) };
    /// Classes lately found to have no override, such as Parameter, with the version of their attributes.
    static PLAIN_CLASSES: [Cell<(usize, u32)>; 8] = const { [const { Cell::new((0, 0)) }; 8] };
}

/// The entry that a class has among those without an override; none while its attributes have no version.
///
/// # Safety
/// `class` must be a live type.
unsafe fn entry_of(class: *mut ffi::PyTypeObject) -> Option<(usize, u32)> {
    // SAFETY: a live type.
    unsafe {
        let versioned = (*class).tp_flags & ffi::Py_TPFLAGS_VALID_VERSION_TAG != 0;
        versioned.then(|| (class as usize, (*class).tp_version_tag))
    }
}

fn place(entry: (usize, u32)) -> usize {
    (entry.0 >> 5) % 8
}

/// The `__torch_function__` of Tensor and the one that switches the protocol off (Parameter's).
static DEFAULTS: PyOnceLock<(Py<PyAny>, Py<PyAny>)> = PyOnceLock::new();

/// Whether the object might have an override: a cheap test, made for every argument.
///
/// # Safety
/// `object` must be a live Python object.
pub unsafe fn may_override(object: *mut PyObject) -> bool {
    // SAFETY: a live object.
    unsafe {
        let class = ffi::Py_TYPE(object);
        // Built-in types that have no such attribute are sorted out by their flags.
        const PLAIN: u64 = ffi::Py_TPFLAGS_LONG_SUBCLASS
            | ffi::Py_TPFLAGS_LIST_SUBCLASS
            | ffi::Py_TPFLAGS_TUPLE_SUBCLASS
            | ffi::Py_TPFLAGS_UNICODE_SUBCLASS
            | ffi::Py_TPFLAGS_DICT_SUBCLASS;
        if (*class).tp_flags as u64 & PLAIN != 0
            || class == &raw mut ffi::PyFloat_Type
            || object == ffi::Py_None()
            || class == object::tensor_type()
            || (*class).tp_flags as u64 & ffi::Py_TPFLAGS_HEAPTYPE == 0
        {
            return false;
        }
        if DISABLED.get() {
            return false;
        }
        !entry_of(class).is_some_and(|e| PLAIN_CLASSES.with(|c| c[place(e)].get() == e))
    }
}

/// Whether an argument might have an override: a tensor of the class itself has none.
///
/// # Safety
/// `object` must be a live Python object.
#[inline]
pub unsafe fn asks(object: *mut PyObject) -> bool {
    // SAFETY: passed on.
    unsafe { !object::is_exact(object) && may_override(object) }
}

/// Whether a function mode is on, which every operator asks.
#[inline]
pub fn modes() -> bool {
    MODES.get() > 0
}

/// Whether a list or tuple holds an object that might have an override.
///
/// # Safety
/// `object` must be a live Python object.
pub unsafe fn in_list(object: *mut PyObject) -> bool {
    // SAFETY: a live list or tuple, whose elements below its length are live.
    unsafe {
        if ffi::PyList_Check(object) != 0 {
            return (0..ffi::PyList_GET_SIZE(object)).any(|i| asks(ffi::PyList_GET_ITEM(object, i)));
        }
        if ffi::PyTuple_Check(object) != 0 {
            return (0..ffi::PyTuple_GET_SIZE(object)).any(|i| asks(ffi::PyTuple_GET_ITEM(object, i)));
        }
        false
    }
}

fn defaults(py: Python<'_>) -> PyResult<&(Py<PyAny>, Py<PyAny>)> {
    DEFAULTS.get_or_try_init(py, || {
        let module = py.import("flambeau.overrides")?;
        Ok((
            module.getattr("_default_torch_function")?.unbind(),
            module.getattr("_disabled_torch_function")?.unbind(),
        ))
    })
}

/// The override of an object's class, unless it is the inherited default on Tensor itself or switched off.
fn override_of<'py>(object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = object.py();
    let class = object.get_type();
    let Ok(function) = class.getattr(pyo3::intern!(py, "__torch_function__")) else { return Ok(None) };
    let (_, disabled) = defaults(py)?;
    if function.is(disabled) {
        // SAFETY: a live type.
        if let Some(entry) = unsafe { entry_of(class.as_type_ptr()) } {
            PLAIN_CLASSES.with(|c| c[place(entry)].set(entry));
        }
        return Ok(None);
    }
    Ok(Some(function))
}

/// Whether one of the objects has an override that must be asked, or a mode is on.
#[pyfunction]
pub fn _has_torch_function(relevant_args: &Bound<'_, PyAny>) -> PyResult<bool> {
    if modes() {
        return Ok(true);
    }
    for object in relevant_args.try_iter()? {
        let object = object?;
        // SAFETY: a live object.
        if unsafe { asks(object.as_ptr()) } && override_of(&object)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What overrides made of a call.
pub enum Answer {
    /// There are none.
    None,
    Result(Py<PyAny>),
    /// All of them answered NotImplemented: who was asked.
    Refused(String),
}

/// Calls the first override that does not answer NotImplemented. `None` if there is none at all.
pub fn call<'py>(
    py: Python<'py>,
    function: &Bound<'py, PyAny>,
    positional: &[*mut PyObject],
    kwnames: *mut PyObject,
    values: &[*mut PyObject],
) -> PyResult<Option<Py<PyAny>>> {
    match ask(py, function, positional, kwnames, values)? {
        Answer::None => Ok(None),
        Answer::Result(result) => Ok(Some(result)),
        Answer::Refused(asked) => {
            let name = |key: &str| function.getattr(key).map(|n| n.to_string()).unwrap_or_default();
            let name =
                Some(name("__qualname__")).filter(|n| n.starts_with("Tensor.")).unwrap_or(name("__name__"));
            Err(pyo3::exceptions::PyTypeError::new_err(format!(
                "Multiple dispatch failed for 'torch.{name}'; all __torch_function__ handlers returned NotImplemented:\n\n\
                 {asked}\nFor more information, try re-running with TORCH_LOGS=not_implemented"
            )))
        }
    }
}

/// As [`call`], for a method of Tensor that the interpreter reaches through a slot of the type.
pub fn call_method(py: Python<'_>, name: &str, given: &[*mut PyObject]) -> PyResult<Option<Py<PyAny>>> {
    // SAFETY: the type lives as long as the module.
    let tensor = unsafe { Bound::from_borrowed_ptr(py, object::tensor_type().cast()) };
    call(py, &tensor.getattr(name)?, given, std::ptr::null_mut(), &[])
}

/// Asks the innermost mode, then the overrides of arguments and of elements of lists, subclasses before their bases.
pub fn ask<'py>(
    py: Python<'py>,
    function: &Bound<'py, PyAny>,
    positional: &[*mut PyObject],
    kwnames: *mut PyObject,
    values: &[*mut PyObject],
) -> PyResult<Answer> {
    // SAFETY: arguments live as long as the call.
    let bind = |o: &*mut PyObject| unsafe { Bound::from_borrowed_ptr(py, *o) };
    let mut found: Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)> = Vec::new();
    let mut all: Vec<Bound<'py, PyAny>> = Vec::new();
    for object in positional.iter().chain(values).map(bind) {
        // SAFETY: a live object.
        match unsafe { in_list(object.as_ptr()) } {
            true => all.extend(object.try_iter()?.collect::<PyResult<Vec<_>>>()?),
            false => all.push(object),
        }
    }
    for object in all {
        let class = object.get_type().into_any();
        if found.iter().any(|(c, _)| c.is(&class)) {
            continue;
        }
        // SAFETY: a live object.
        if unsafe { may_override(object.as_ptr()) }
            && let Some(f) = override_of(&object)?
        {
            // Subclasses come before their bases.
            let at = found
                .iter()
                .position(|(c, _)| {
                    class.cast::<pyo3::types::PyType>().is_ok_and(|a| {
                        c.cast::<pyo3::types::PyType>().is_ok_and(|b| a.is_subclass(b).unwrap_or(false))
                    })
                })
                .unwrap_or(found.len());
            found.insert(at, (class, f));
        }
    }
    if found.is_empty() && !modes() {
        return Ok(Answer::None);
    }
    let types = PyTuple::new(py, found.iter().map(|(c, _)| c.clone()))?;
    let args = PyTuple::new(py, positional.iter().map(bind))?;
    let kwargs = PyDict::new(py);
    if !kwnames.is_null() {
        // SAFETY: the interpreter passes a tuple of strings.
        let names = unsafe { Bound::from_borrowed_ptr(py, kwnames) };
        for (name, value) in names.try_iter()?.zip(values) {
            kwargs.set_item(name?, bind(value))?;
        }
    }
    let mut asked = String::new();
    if modes() {
        let module = py.import("flambeau.overrides")?;
        let (result, mode): (Bound<'py, PyAny>, String) =
            module.call_method1("_ask_mode", (function, &types, &args, &kwargs))?.extract()?;
        if !result.is(py.NotImplemented()) {
            return Ok(Answer::Result(result.unbind()));
        }
        asked += &format!("  - mode object {mode}\n");
    }
    for (class, f) in &found {
        let result = f.call1((function, &types, &args, &kwargs))?;
        if !result.is(py.NotImplemented()) {
            return Ok(Answer::Result(result.unbind()));
        }
        asked += &format!("  - tensor subclass {}\n", class.repr()?);
    }
    Ok(Answer::Refused(asked))
}
/// Says how many function modes are on in this thread.
#[pyfunction]
pub fn _set_function_modes(count: usize) {
    MODES.set(count);
}

/// Switches the protocol off or on in this thread; returns whether it was off.
#[pyfunction]
pub fn _set_torch_function_disabled(on: bool) -> bool {
    DISABLED.replace(on)
}

/// Whether the protocol is off in this thread.
#[pyfunction]
pub fn _torch_function_disabled() -> bool {
    DISABLED.get()
}
