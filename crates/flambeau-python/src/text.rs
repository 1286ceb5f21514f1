//! `repr(tensor)`.

use crate::errors::{IntoPy, guard};
use crate::object;
use flambeau::print::{self, tensor_text};
use pyo3::ffi::PyObject;
use pyo3::prelude::*;
use pyo3::types::PyString;

pub unsafe extern "C" fn repr(object: *mut PyObject) -> *mut PyObject {
    guard(std::ptr::null_mut(), || {
        // SAFETY: called by the interpreter on a tensor, with the GIL.
        let (py, bound) = unsafe {
            let py = Python::assume_attached();
            (py, Bound::from_borrowed_ptr(py, object))
        };
        let Some(t) = object::extract(&bound) else {
            return Ok(PyString::new(py, "<invalid tensor>").into_any().into_ptr());
        };
        // SAFETY: a live object.
        let exact = unsafe { object::is_exact(object) };
        // Classes that switch the override protocol off (Parameter) print as plain tensors.
        let plain = exact
            || bound
                .get_type()
                .getattr("__torch_function__")
                .and_then(|f| f.getattr("__name__"))
                .is_ok_and(|n| n.to_string() == "_disabled_torch_function_impl");
        let text = if plain {
            tensor_text(&t, "tensor")
        } else {
            tensor_text(&t, &bound.get_type().name()?.to_string())
        };
        Ok(PyString::new(py, &text).into_any().into_ptr())
    })
}

/// `torch.set_printoptions`
#[pyfunction]
#[pyo3(signature = (precision=None, threshold=None, edgeitems=None, linewidth=None, profile=None, sci_mode=None))]
pub fn set_printoptions(
    precision: Option<usize>,
    threshold: Option<f64>,
    edgeitems: Option<usize>,
    linewidth: Option<usize>,
    profile: Option<&str>,
    sci_mode: Option<bool>,
) -> PyResult<()> {
    print::set_printoptions(&print::SetPrintOptions {
        precision,
        threshold,
        edgeitems,
        linewidth,
        profile: profile.and_then(print::Profile::from_name),
        sci_mode,
    })
    .py()
}

/// The print options as a tuple: precision, threshold, edgeitems, linewidth, sci_mode.
#[pyfunction]
pub fn _printoptions() -> (usize, f64, usize, usize, Option<bool>) {
    let o = print::options();
    (o.precision, o.threshold, o.edgeitems, o.linewidth, o.sci_mode)
}
