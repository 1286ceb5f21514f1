//! Warnings of the core as Python's `UserWarning`s.

use pyo3::exceptions::PyUserWarning;
use pyo3::prelude::*;
use std::cell::RefCell;
use std::ffi::CString;

thread_local! {
    /// A warning that the user's filters turned into an error, raised when the call returns.
    static PENDING: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Gives a `UserWarning` at the caller's line.
pub fn warn(message: &str) {
    Python::attach(|py| {
        let text = CString::new(message.replace('\0', " ")).unwrap_or_default();
        if let Err(error) = PyErr::warn(py, &py.get_type::<PyUserWarning>(), &text, 1) {
            PENDING.with(|p| *p.borrow_mut() = Some(error));
        }
    });
}

/// Takes an error that came of a warning.
pub fn pending(_py: Python<'_>) -> Option<PyErr> {
    PENDING.with(|p| p.borrow_mut().take())
}
