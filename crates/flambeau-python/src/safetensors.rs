//! The bytes of files in the format `safetensors`.

use crate::errors::IntoPy;
use crate::object;
use flambeau::io::{StateDict, safetensors};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use std::collections::BTreeMap;

/// The bytes of a dict of tensors and one of texts.
#[pyfunction]
pub fn _safetensors_save<'py>(
    tensors: &Bound<'py, PyDict>,
    metadata: BTreeMap<String, String>,
) -> PyResult<Bound<'py, PyBytes>> {
    let mut state = StateDict::new();
    for (name, tensor) in tensors.iter() {
        let Ok(name) = name.extract::<String>() else {
            return Err(PyTypeError::new_err(format!(
                "names of tensors must be strings, got {}",
                crate::types::type_name(&name)
            )));
        };
        let Some(tensor) = object::extract(&tensor) else {
            return Err(PyTypeError::new_err(format!(
                "`{name}` must be a Tensor, got {}",
                crate::types::type_name(&tensor)
            )));
        };
        state.insert(name, tensor);
    }
    let metadata: Vec<(&str, &str)> = metadata.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
    Ok(PyBytes::new(tensors.py(), &safetensors::save(&state, &metadata).py()?))
}

/// The dict of tensors that such bytes hold.
#[pyfunction]
pub fn _safetensors_load<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyDict>> {
    let out = PyDict::new(py);
    for (name, tensor) in safetensors::load(data).py()? {
        out.set_item(name, object::wrap(py, tensor))?;
    }
    Ok(out)
}
