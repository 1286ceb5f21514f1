//! Storages as Python objects: the base class of `UntypedStorage`.

use crate::errors::IntoPy;
use crate::types::{PyDType, PyDevice};
use crate::{object, types};
use flambeau::{Array, DType, Device, Dims, Tensor};
use flambeau_core::{Init, Shared, Storage};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;

/// Untyped memory that tensors share.
#[pyclass(name = "StorageBase", module = "flambeau._C", subclass, weakref, frozen)]
pub struct PyStorage(Shared<Storage>);

fn identity(storage: &Shared<Storage>) -> usize {
    Shared::as_ptr(storage) as usize
}

/// Identifies the storage of a tensor while it lives.
#[pyfunction]
pub fn _storage_id(t: &Bound<'_, PyAny>) -> PyResult<usize> {
    match object::extract(t) {
        Some(t) => Ok(identity(&t.storage())),
        None => Err(PyTypeError::new_err(format!("expected a Tensor, got {}", types::type_name(t)))),
    }
}

#[pymethods]
impl PyStorage {
    /// The storage of a tensor, a part `(storage, start, nbytes)` of another, or a fresh one (zeros) of some bytes.
    #[new]
    #[pyo3(signature = (source, device=None))]
    fn new(source: &Bound<'_, PyAny>, device: Option<PyDevice>) -> PyResult<Self> {
        if let Some(t) = object::extract(source) {
            return Ok(PyStorage(t.storage()));
        }
        if let Ok((whole, start, nbytes)) = source.extract::<(PyRef<'_, PyStorage>, usize, usize)>() {
            return Ok(PyStorage(whole.0.slice(start, nbytes).py()?));
        }
        let n: i64 = source.extract()?;
        let Ok(nbytes) = usize::try_from(n) else {
            return Err(PyRuntimeError::new_err(format!(
                "[enforce fail at alloc_cpu.cpp:98] ((ptrdiff_t)nbytes) >= 0. alloc_cpu() seems to have been called with negative number: {}",
                n as u64
            )));
        };
        let device = device.map_or(Device::CPU, |d| d.0);
        device.check_available().py()?;
        Ok(PyStorage(Storage::new(nbytes, device, Init::Zero).py()?))
    }
    /// Identifies the storage while it lives.
    #[getter]
    fn _cdata(&self) -> usize {
        identity(&self.0)
    }
    #[getter]
    fn device(&self) -> PyDevice {
        PyDevice(self.0.device())
    }
    /// The number of bytes.
    fn nbytes(&self) -> usize {
        self.0.nbytes()
    }
    /// The address of the first byte; 0 if there is none.
    fn data_ptr(&self) -> usize {
        self.0.as_ptr() as usize
    }
    /// Whether `resize_` may change the number of bytes.
    fn resizable(&self) -> bool {
        self.0.resizable()
    }
    fn is_shared(&self) -> bool {
        self.0.is_shared()
    }
    /// Moves the contents to the memory of a writable buffer that processes share.
    fn _share(&self, buffer: &Bound<'_, PyAny>) -> PyResult<()> {
        crate::buffer::share_storage(&self.0, buffer)
    }
    fn _mark_shared(&self) {
        self.0.mark_shared();
    }
    fn _resize(&self, nbytes: i64) -> PyResult<()> {
        match usize::try_from(nbytes) {
            Ok(n) => self.0.resize(n).py(),
            Err(_) => Err(PyRuntimeError::new_err(format!("negative storage size: {nbytes}"))),
        }
    }
    /// A tensor over the memory. Sizes, strides and offset are checked against the number of bytes; with `grow`, a
    /// storage that is too small is made large enough.
    #[pyo3(signature = (dtype, offset, size, stride, grow=false))]
    fn _tensor(
        &self,
        py: Python<'_>,
        dtype: PyDType,
        offset: i64,
        size: Vec<i64>,
        stride: Vec<i64>,
        grow: bool,
    ) -> PyResult<Py<PyAny>> {
        if size.len() != stride.len() {
            return Err(PyRuntimeError::new_err(format!(
                "mismatch in length of strides and shape: {} and {}",
                flambeau_core::show(&stride),
                flambeau_core::show(&size)
            )));
        }
        flambeau_core::check_sizes(&size).py()?;
        flambeau_core::numel(&size).py()?;
        if stride.iter().any(|&s| s < 0) {
            return Err(PyRuntimeError::new_err(format!(
                "as_strided: Negative strides are not supported at the moment, got strides: {}",
                flambeau_core::show(&stride)
            )));
        }
        if offset < 0 {
            return Err(PyRuntimeError::new_err(format!("Tensor: invalid storage offset {offset}")));
        }
        let need = flambeau_core::required_bytes(&size, &stride, offset, dtype.0.size()).py()?;
        if grow && need > self.0.nbytes() {
            self.0.resize(need).py()?;
        }
        Ok(object::wrap(py, self.window(dtype.0, offset, size, stride)?))
    }
    /// All whole elements of a dtype as a vector.
    fn _elements(&self, py: Python<'_>, dtype: PyDType) -> PyResult<Py<PyAny>> {
        let n = (self.0.nbytes() / dtype.0.size()) as i64;
        Ok(object::wrap(py, self.window(dtype.0, 0, vec![n], vec![1])?))
    }
}

impl PyStorage {
    fn window(&self, dtype: DType, offset: i64, size: Vec<i64>, stride: Vec<i64>) -> PyResult<Tensor> {
        let (sizes, strides) = (Dims::from_vec(size), Dims::from_vec(stride));
        let t = Tensor::from_array(Array { storage: self.0.clone(), dtype, sizes, strides, offset });
        t.check_bounds().py()?;
        Ok(t)
    }
}
