//! Python objects for dtypes, devices, layouts and memory formats.

use crate::errors::IntoPy;
use flambeau::{DType, Device, Layout, MemoryFormat};
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};

/// `flambeau.dtype`
#[pyclass(name = "dtype", module = "flambeau", frozen, eq, hash, from_py_object)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PyDType(pub DType);

#[pymethods]
impl PyDType {
    fn __repr__(&self) -> String {
        format!("torch.{}", self.0.name())
    }
    fn __reduce__(&self) -> &'static str {
        self.0.name()
    }
    #[getter]
    fn is_floating_point(&self) -> bool {
        self.0.is_floating_point()
    }
    #[getter]
    fn is_complex(&self) -> bool {
        self.0.is_complex()
    }
    #[getter]
    fn is_signed(&self) -> bool {
        self.0.is_signed()
    }
    #[getter]
    fn itemsize(&self) -> usize {
        self.0.size()
    }
    // Python methods take their object by reference.
    #[allow(clippy::wrong_self_convention)]
    /// The real dtype of a complex one; other dtypes are their own.
    fn to_real(&self, py: Python<'_>) -> Py<PyAny> {
        dtype_object(py, self.0.to_real())
    }
    #[allow(clippy::wrong_self_convention)]
    /// The complex dtype whose parts have this dtype.
    fn to_complex(&self, py: Python<'_>) -> Py<PyAny> {
        dtype_object(py, self.0.to_complex())
    }
    fn __copy__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }
    fn __deepcopy__<'a>(slf: PyRef<'a, Self>, _memo: &Bound<'a, PyAny>) -> PyRef<'a, Self> {
        slf
    }
}

static DTYPES: PyOnceLock<Vec<Py<PyAny>>> = PyOnceLock::new();

/// The one object of a dtype.
pub fn dtype_object(py: Python<'_>, dtype: DType) -> Py<PyAny> {
    let all = DTYPES.get_or_init(py, || {
        DType::ALL
            .iter()
            .map(|&d| Py::new(py, PyDType(d)).map(|o| o.into_any()))
            .collect::<PyResult<Vec<_>>>()
            .unwrap_or_default()
    });
    match all.get(dtype as usize) {
        Some(object) => object.clone_ref(py),
        None => py.None(),
    }
}

/// The dtype that a Python object names: a dtype, or `float`, `int`, `bool`, `complex`.
pub fn dtype_of(object: &Bound<'_, PyAny>) -> Option<DType> {
    if let Ok(d) = object.cast::<PyDType>() {
        return Some(d.get().0);
    }
    if let Ok(class) = object.cast::<PyType>() {
        let py = object.py();
        if class.is(py.get_type::<pyo3::types::PyFloat>()) {
            return Some(DType::Float64);
        } else if class.is(py.get_type::<pyo3::types::PyBool>()) {
            return Some(DType::Bool);
        } else if class.is(py.get_type::<pyo3::types::PyInt>()) {
            return Some(DType::Int64);
        } else if class.is(py.get_type::<pyo3::types::PyComplex>()) {
            return Some(DType::Complex128);
        }
    }
    None
}

/// `flambeau.device`
#[pyclass(name = "device", module = "flambeau", frozen, eq, hash, from_py_object)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PyDevice(pub Device);

#[pymethods]
impl PyDevice {
    #[new]
    #[pyo3(signature = (r#type, index=None))]
    fn new(r#type: &Bound<'_, PyAny>, index: Option<i64>) -> PyResult<Self> {
        let mut device = device_of(r#type)?.ok_or_else(|| {
            PyTypeError::new_err(format!(
                "device(): argument 'type' (position 1) must be str, not {}",
                type_name(r#type)
            ))
        })?;
        if let Some(index) = index {
            if device.index.is_some() {
                return Err(PyRuntimeError::new_err(format!(
                    "type (string) must not include an index because index was passed explicitly: {device}"
                )));
            }
            if !(0..128).contains(&index) {
                return Err(PyRuntimeError::new_err("Device index must not be negative"));
            }
            device.index = Some(index as u8);
        }
        Ok(PyDevice(device))
    }
    #[getter]
    fn r#type(&self) -> &'static str {
        self.0.type_name()
    }
    #[getter]
    fn index(&self) -> Option<u8> {
        self.0.index
    }
    fn __repr__(&self) -> String {
        match self.0.index {
            None => format!("device(type='{}')", self.0.type_name()),
            Some(i) => format!("device(type='{}', index={i})", self.0.type_name()),
        }
    }
    fn __str__(&self) -> String {
        self.0.to_string()
    }
    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let class = py.get_type::<PyDevice>();
        let device = slf.get().0;
        let args = match device.index {
            Some(i) => PyTuple::new(
                py,
                [device.type_name().into_pyobject(py)?.into_any(), i.into_pyobject(py)?.into_any()],
            )?,
            None => PyTuple::new(py, [device.type_name()])?,
        };
        PyTuple::new(py, [class.into_any(), args.into_any()])
    }
    fn __enter__(slf: Py<Self>, py: Python<'_>) -> Py<Self> {
        DEVICE_STACK.with(|s| s.borrow_mut().push(flambeau::default_device()));
        flambeau::set_default_device(slf.bind(py).get().0);
        slf
    }
    #[pyo3(signature = (*_args))]
    fn __exit__(&self, _args: &Bound<'_, PyTuple>) {
        if let Some(previous) = DEVICE_STACK.with(|s| s.borrow_mut().pop()) {
            flambeau::set_default_device(previous);
        }
    }
}

thread_local! {
    static DEVICE_STACK: std::cell::RefCell<Vec<Device>> = const { std::cell::RefCell::new(Vec::new()) };
}

/// The device that a Python object names: a device, a string, an index. `None` for other objects.
pub fn device_of(object: &Bound<'_, PyAny>) -> PyResult<Option<Device>> {
    if let Ok(d) = object.cast::<PyDevice>() {
        return Ok(Some(d.get().0));
    }
    if let Ok(text) = object.extract::<&str>() {
        return Device::parse(text).py().map(Some);
    }
    if !object.is_instance_of::<pyo3::types::PyBool>()
        && let Ok(index) = object.extract::<i64>()
    {
        if index < 0 {
            return Err(PyRuntimeError::new_err("Device index must not be negative"));
        }
        // An index names an accelerator; without one PyTorch says the same.
        return Ok(Some(Device { kind: flambeau::DeviceType::Cuda, index: u8::try_from(index).ok() }));
    }
    Ok(None)
}

/// The name of an object's class, as messages have it.
pub fn type_name(object: &Bound<'_, PyAny>) -> String {
    object.get_type().name().map(|n| n.to_string()).unwrap_or_default()
}

macro_rules! enum_object {
    ($py:ident, $name:literal, $core:ident, $all:ident, $of:ident, $object:ident, [$($v:ident => $text:literal),*]) => {
        #[pyclass(name = $name, module = "flambeau", frozen, eq, hash, from_py_object)]
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $py(pub $core);
        #[pymethods]
        impl $py {
            fn __repr__(&self) -> String {
                format!("torch.{}", self.__reduce__())
            }
            fn __reduce__(&self) -> &'static str {
                match self.0 { $($core::$v => $text),* }
            }
        }
        static $all: PyOnceLock<Vec<(&'static str, $core, Py<PyAny>)>> = PyOnceLock::new();
        /// The one object of a value.
        pub fn $object(py: Python<'_>, value: $core) -> Py<PyAny> {
            all_of(&$all, py, || vec![$(($text, $core::$v)),*], |v| Py::new(py, $py(v)).map(|o| o.into_any()))
                .iter().find(|(_, v, _)| *v == value).map_or_else(|| py.None(), |(_, _, o)| o.clone_ref(py))
        }
        /// The value of an object, if it is one.
        pub fn $of(object: &Bound<'_, PyAny>) -> Option<$core> {
            object.cast::<$py>().ok().map(|o| o.get().0)
        }
        impl $py {
            /// All objects by name, for the module.
            pub fn all(py: Python<'_>) -> Vec<(&'static str, Py<PyAny>)> {
                $( let _ = $object(py, $core::$v); )*
                vec![$(($text, $object(py, $core::$v))),*]
            }
        }
    };
}

fn all_of<'a, T: Copy>(
    slot: &'a PyOnceLock<Vec<(&'static str, T, Py<PyAny>)>>,
    py: Python<'a>,
    values: impl FnOnce() -> Vec<(&'static str, T)>,
    make: impl Fn(T) -> PyResult<Py<PyAny>>,
) -> &'a [(&'static str, T, Py<PyAny>)] {
    slot.get_or_init(py, || {
        values().into_iter().filter_map(|(name, v)| make(v).ok().map(|o| (name, v, o))).collect()
    })
}

enum_object!(PyLayout, "layout", Layout, LAYOUTS, layout_of, layout_object, [
    Strided => "strided", SparseCoo => "sparse_coo", SparseCsr => "sparse_csr", SparseCsc => "sparse_csc",
    SparseBsr => "sparse_bsr", SparseBsc => "sparse_bsc", Mkldnn => "_mkldnn", Jagged => "jagged"]);
enum_object!(PyMemoryFormat, "memory_format", MemoryFormat, FORMATS, format_of, format_object, [
    Contiguous => "contiguous_format", Preserve => "preserve_format", ChannelsLast => "channels_last",
    ChannelsLast3d => "channels_last_3d"]);

/// `finfo` and `iinfo` facts: (bits, eps, max, min, tiny, resolution) of a float dtype.
#[pyfunction]
pub fn _finfo(py: Python<'_>, dtype: PyDType) -> PyResult<Bound<'_, PyDict>> {
    let d = PyDict::new(py);
    let (bits, eps, max, tiny, smallest_normal, resolution) = match dtype.0.to_real() {
        DType::Float16 => (16, 2f64.powi(-10), 65504.0, 2f64.powi(-14), 2f64.powi(-14), 1e-3),
        DType::BFloat16 => {
            let max = f32::from_bits(0x7f7f_0000) as f64;
            (16, 2f64.powi(-7), max, 2f64.powi(-126), 2f64.powi(-126), 1e-2)
        }
        DType::Float32 => (
            32,
            f32::EPSILON as f64,
            f32::MAX as f64,
            f32::MIN_POSITIVE as f64,
            f32::MIN_POSITIVE as f64,
            1e-6,
        ),
        DType::Float64 => (64, f64::EPSILON, f64::MAX, f64::MIN_POSITIVE, f64::MIN_POSITIVE, 1e-15),
        _ => {
            return Err(PyTypeError::new_err(
                "torch.finfo() requires a floating point input type. Use torch.iinfo to handle 'torch.finfo'",
            ));
        }
    };
    d.set_item("bits", bits)?;
    d.set_item("eps", eps)?;
    d.set_item("max", max)?;
    d.set_item("min", -max)?;
    d.set_item("tiny", tiny)?;
    d.set_item("smallest_normal", smallest_normal)?;
    d.set_item("resolution", resolution)?;
    d.set_item("dtype", dtype.0.to_real().name())?;
    Ok(d)
}
