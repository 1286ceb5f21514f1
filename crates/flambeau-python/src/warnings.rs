//! Warnings of the core as Python's `UserWarning`s.

use pyo3::exceptions::PyUserWarning;
use pyo3::prelude::*;
use std::cell::{Cell, RefCell};
use std::ffi::CString;

thread_local! {
    /// A warning that the user's filters turned into an error, raised when the call returns.
    static PENDING: RefCell<Option<PyErr>> = const { RefCell::new(None) };
    /// Whether there is one: asked after every call.
    static ANY: Cell<bool> = const { Cell::new(false) };
}

/// Gives a `UserWarning` at the caller's line.
pub fn warn(message: &str) {
    Python::attach(|py| {
        let text = CString::new(message.replace('\0', " ")).unwrap_or_default();
        if let Err(error) = PyErr::warn(py, &py.get_type::<PyUserWarning>(), &text, 1) {
            PENDING.with(|p| *p.borrow_mut() = Some(error));
            ANY.set(true);
        }
    });
}

/// The Python stack, line by line.
pub fn place() -> String {
    Python::attach(|py| -> PyResult<String> {
        let lines: Vec<String> = py.import("traceback")?.call_method0("format_stack")?.extract()?;
        Ok(lines.concat())
    })
    .unwrap_or_default()
}

/// Takes an error that came of a warning.
#[inline]
pub fn pending(_py: Python<'_>) -> Option<PyErr> {
    if !ANY.replace(false) {
        return None;
    }
    PENDING.with(|p| p.borrow_mut().take())
}
