//! Errors of the core as Python exceptions, and back.

use flambeau_core::{Error, ErrorKind};
use pyo3::exceptions::*;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use std::sync::Arc;

static LINALG: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The class `flambeau.linalg.LinAlgError`, registered by the package.
pub fn set_linalg_error(py: Python<'_>, class: Py<PyAny>) {
    let _ = LINALG.set(py, class);
}

/// The exception of an error.
#[cold]
pub fn to_py(error: Error) -> PyErr {
    let text = error.message().to_string();
    match error.kind() {
        ErrorKind::Runtime => PyRuntimeError::new_err(text),
        ErrorKind::Value => PyValueError::new_err(text),
        ErrorKind::Type => PyTypeError::new_err(text),
        ErrorKind::Index => PyIndexError::new_err(text),
        ErrorKind::NotImplemented => PyNotImplementedError::new_err(text),
        ErrorKind::Key => PyKeyError::new_err(text),
        ErrorKind::Attribute => PyAttributeError::new_err(text),
        ErrorKind::Assertion => PyAssertionError::new_err(text),
        ErrorKind::Overflow => PyOverflowError::new_err(text),
        ErrorKind::Memory => PyMemoryError::new_err(text),
        ErrorKind::Buffer => PyBufferError::new_err(text),
        ErrorKind::ZeroDivision => PyRuntimeError::new_err(text),
        ErrorKind::LinAlg => Python::attach(|py| match LINALG.get(py) {
            Some(class) => match class.bind(py).call1((text.clone(),)) {
                Ok(value) => PyErr::from_value(value),
                Err(error) => error,
            },
            None => PyRuntimeError::new_err(text),
        }),
        ErrorKind::Foreign => match error.payload().and_then(|p| p.clone().downcast::<PyErr>().ok()) {
            Some(inner) => Python::attach(|py| inner.clone_ref(py)),
            None => PyRuntimeError::new_err(text),
        },
    }
}

/// Carries a Python exception through Rust code.
#[cold]
pub fn from_py(error: PyErr) -> Error {
    Error::foreign(error.to_string(), Arc::new(error))
}

/// `?` for results of the core in functions that return `PyResult`.
pub trait IntoPy<T> {
    fn py(self) -> PyResult<T>;
}
impl<T> IntoPy<T> for flambeau_core::Result<T> {
    #[inline]
    fn py(self) -> PyResult<T> {
        self.map_err(to_py)
    }
}

/// Runs a function called by the interpreter: a panic becomes an exception, never an abort.
#[inline]
pub fn guard<T>(failed: T, f: impl FnOnce() -> PyResult<T>) -> T {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)) {
        Ok(Ok(value)) => value,
        Ok(Err(error)) => {
            Python::attach(|py| error.restore(py));
            failed
        }
        Err(payload) => {
            let text = payload
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| payload.downcast_ref::<&str>().map(|s| s.to_string()))
                .unwrap_or_default();
            Python::attach(|py| {
                PyRuntimeError::new_err(format!("internal error (please report it): {text}")).restore(py)
            });
            failed
        }
    }
}

/// Takes over a new reference from the C API.
///
/// # Safety
/// `object` must be a new reference to a live object, with the GIL held.
pub unsafe fn owned_ptr(py: Python<'_>, object: *mut pyo3::ffi::PyObject) -> Py<PyAny> {
    // SAFETY: as promised by the caller.
    unsafe { Bound::from_owned_ptr(py, object).unbind() }
}
