//! `flambeau.Generator`.

use crate::errors::IntoPy;
use crate::object;
use crate::types::{PyDevice, type_name};
use flambeau::{DType, Device, Generator, Tensor};
use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;

/// A source of random numbers.
#[pyclass(name = "Generator", module = "flambeau._C", subclass, frozen)]
pub struct PyGenerator(pub Generator);

/// A seed given as a Python int: negative ones count from 2^64.
pub fn seed_of(seed: &Bound<'_, PyAny>) -> PyResult<u64> {
    let seed = if seed.hasattr("__index__")? {
        seed.call_method0("__index__")?
    } else {
        seed.call_method0("__int__")?
    };
    if let Ok(v) = seed.extract::<u64>() {
        return Ok(v);
    }
    match seed.extract::<i64>() {
        Ok(v) => Ok(v as u64),
        Err(_) => Err(PyValueError::new_err("Overflow when unpacking long long")),
    }
}

#[pymethods]
impl PyGenerator {
    #[new]
    #[pyo3(signature = (device=None))]
    fn new(device: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        if let Some(d) = device {
            let d = crate::types::device_of(d)?.ok_or_else(|| {
                PyTypeError::new_err(format!("device must be torch.device, not {}", type_name(d)))
            })?;
            if !d.is_cpu() {
                d.check_available().py()?;
                return Err(PyRuntimeError::new_err(format!(
                    "Device type {d} is not supported for torch.Generator() api."
                )));
            }
        }
        Ok(PyGenerator(Generator::new(67_280_421_310_721)))
    }
    /// Sets the seed; returns the generator.
    fn manual_seed<'py>(slf: Bound<'py, Self>, seed: &Bound<'_, PyAny>) -> PyResult<Bound<'py, Self>> {
        slf.get().0.manual_seed(seed_of(seed)?);
        Ok(slf)
    }
    /// Seeds from the operating system; returns the seed.
    fn seed(&self) -> u64 {
        self.0.seed()
    }
    fn initial_seed(&self) -> u64 {
        self.0.initial_seed()
    }
    /// The state as a tensor of bytes.
    fn get_state(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let state = self.0.get_state();
        Ok(object::wrap(py, Tensor::from_slice(&state, &[state.len() as i64]).py()?))
    }
    fn set_state<'py>(slf: Bound<'py, Self>, new_state: &Bound<'_, PyAny>) -> PyResult<Bound<'py, Self>> {
        let Some(t) = object::extract(new_state) else {
            return Err(PyTypeError::new_err(format!(
                "expected a torch.ByteTensor, but got {}",
                type_name(new_state)
            )));
        };
        if t.dtype() != DType::UInt8 {
            return Err(PyTypeError::new_err("RNG state must be a torch.ByteTensor"));
        }
        slf.get().0.set_state(&t.to_vec::<u8>().py()?).py()?;
        Ok(slf)
    }
    /// A copy with a state of its own.
    fn clone_state(&self) -> Self {
        PyGenerator(self.0.fork())
    }
    #[getter]
    fn device(&self) -> PyDevice {
        PyDevice(Device::CPU)
    }
}

/// The default generator.
#[pyfunction]
pub fn _default_generator() -> PyGenerator {
    PyGenerator(Generator::default_generator())
}

/// The generator of an object, if it is one.
pub fn generator_of<'a>(object: &Bound<'_, PyAny>) -> Option<&'a Generator> {
    let g = object.cast::<PyGenerator>().ok()?;
    // SAFETY: the argument keeps its object alive during the call that borrows it, and the object is frozen.
    Some(unsafe { &*(&g.get().0 as *const Generator) })
}
