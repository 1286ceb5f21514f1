//! Attributes of tensors: `x.shape`, `x.grad`, `x.requires_grad`.

use crate::class;
use crate::errors::{IntoPy, guard};
use crate::{autograd, object, types};
use flambeau::Tensor;
use flambeau::ops::shape;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::ffi::{self, PyObject};
use pyo3::prelude::*;
use std::ffi::{CStr, c_int, c_void};

type Get = fn(Python<'_>, &Tensor) -> PyResult<Py<PyAny>>;
type Set = fn(Python<'_>, &Tensor, Option<&Bound<'_, PyAny>>) -> PyResult<()>;

struct Property {
    name: &'static CStr,
    get: Get,
    set: Option<Set>,
}

fn int(py: Python<'_>, v: i64) -> PyResult<Py<PyAny>> {
    Ok(v.into_pyobject(py)?.into_any().unbind())
}
fn boolean(py: Python<'_>, v: bool) -> PyResult<Py<PyAny>> {
    Ok(v.into_pyobject(py)?.to_owned().into_any().unbind())
}
fn optional(py: Python<'_>, t: Option<Tensor>) -> PyResult<Py<PyAny>> {
    Ok(t.map_or_else(|| py.None(), |t| object::wrap(py, t)))
}

fn reversed(t: &Tensor) -> PyResult<Tensor> {
    if t.dim() != 2 && t.dim() != 0 {
        flambeau::warn(
            "The use of `x.T` on tensors of dimension other than 2 to reverse their shape is deprecated and it will throw an error in a future release. Consider `x.mT` to transpose batches of matrices or `x.permute(*torch.arange(x.ndim - 1, -1, -1))` to reverse the dimensions of a tensor.",
        );
    }
    let dims: Vec<i64> = (0..t.dim() as i64).rev().collect();
    shape::permute(t, &dims).py()
}

fn matrix_transposed(t: &Tensor, name: &str) -> PyResult<Tensor> {
    if t.dim() < 2 {
        return Err(PyRuntimeError::new_err(format!(
            "tensor.{name} is only supported on matrices or batches of matrices. Got {}-D tensor.",
            t.dim()
        )));
    }
    shape::transpose(t, -2, -1).py()
}

static PROPERTIES: &[Property] = &[
    Property { name: c"dtype", get: |py, t| Ok(types::dtype_object(py, t.dtype())), set: None },
    Property {
        name: c"device",
        get: |py, t| Ok(Py::new(py, types::PyDevice(t.visible_device()))?.into_any()),
        set: None,
    },
    Property {
        name: c"layout",
        get: |py, t| {
            use flambeau::Layout::{SparseCoo, Strided};
            Ok(types::layout_object(py, if t.is_sparse() { SparseCoo } else { Strided }))
        },
        set: None,
    },
    Property { name: c"ndim", get: |py, t| int(py, t.dim() as i64), set: None },
    Property { name: c"itemsize", get: |py, t| int(py, t.dtype().size() as i64), set: None },
    Property { name: c"nbytes", get: |py, t| int(py, t.numel() as i64 * t.dtype().size() as i64), set: None },
    Property { name: c"T", get: |py, t| Ok(object::wrap(py, reversed(t)?)), set: None },
    Property { name: c"mT", get: |py, t| Ok(object::wrap(py, matrix_transposed(t, "mT")?)), set: None },
    Property {
        name: c"H",
        get: |py, t| {
            if t.dim() != 2 && t.dim() != 0 {
                return Err(PyRuntimeError::new_err(format!(
                    "tensor.H is only supported on matrices (2-D tensors). Got {}-D tensor. For batches of matrices, consider using tensor.mH",
                    t.dim()
                )));
            }
            let out = shape::transpose(t, 0, if t.dim() == 0 { 0 } else { 1 }).py()?;
            Ok(object::wrap(py, conjugate(out)?))
        },
        set: None,
    },
    Property {
        name: c"mH",
        get: |py, t| Ok(object::wrap(py, conjugate(matrix_transposed(t, "mH")?)?)),
        set: None,
    },
    Property {
        name: c"requires_grad",
        get: |py, t| boolean(py, t.requires_grad() && !forward_only(t)),
        set: Some(|_, t, v| match v {
            Some(v) => {
                let Ok(on) = v.extract::<bool>() else {
                    return Err(PyRuntimeError::new_err("requires_grad must be a bool"));
                };
                t.set_requires_grad(on).py()
            }
            None => Err(PyRuntimeError::new_err("requires_grad cannot be deleted")),
        }),
    },
    Property {
        name: c"is_leaf",
        get: |py, t| boolean(py, t.grad_fn().is_none_or(|node| node.is_forward_only())),
        set: None,
    },
    Property {
        name: c"retains_grad",
        get: |py, t| boolean(py, flambeau::autograd::retains_grad(t)),
        set: None,
    },
    Property { name: c"output_nr", get: |py, t| int(py, t.output_nr() as i64), set: None },
    Property { name: c"_version", get: |py, t| version(py, t), set: None },
    Property { name: c"_base", get: |py, t| optional(py, t.base()), set: None },
    Property {
        name: c"grad",
        get: |py, t| {
            if t.requires_grad() && !t.is_leaf() && !flambeau::autograd::retains_grad(t) && t.grad().is_none()
            {
                flambeau::warn(
                    "The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad attribute won't be populated during autograd.backward(). If you indeed want the .grad field to be populated for a non-leaf Tensor, use .retain_grad() on the non-leaf Tensor. If you access the non-leaf Tensor by mistake, make sure you access the leaf Tensor instead. See github.com/pytorch/pytorch/pull/30531 for more information.",
                );
            }
            optional(py, t.grad())
        },
        set: Some(set_grad),
    },
    Property { name: c"_grad", get: |py, t| optional(py, t.grad()), set: Some(set_grad) },
    Property {
        name: c"grad_fn",
        get: |py, t| match t.grad_fn().filter(|n| !n.is_forward_only()) {
            Some(node) => autograd::node_object(py, node),
            None => Ok(py.None()),
        },
        set: None,
    },
    Property {
        name: c"data",
        get: |py, t| Ok(object::wrap(py, t.data())),
        set: Some(|_, t, v| {
            let Some(other) = v.and_then(object::extract) else {
                let kind = v.map_or("nothing".to_string(), types::type_name);
                return Err(PyTypeError::new_err(format!(
                    "Variable data has to be a tensor, but got {kind}"
                )));
            };
            if t.requires_grad() && !other.dtype().is_differentiable() {
                return Err(PyRuntimeError::new_err(
                    "data set to a tensor that requires gradients must be floating point or complex dtype",
                ));
            }
            t.set_data(&other);
            Ok(())
        }),
    },
    Property {
        name: c"is_cuda",
        get: |py, t| boolean(py, t.device().kind == flambeau::DeviceType::Cuda),
        set: None,
    },
    Property { name: c"is_cpu", get: |py, t| boolean(py, t.visible_device().is_cpu()), set: None },
    Property {
        name: c"is_mps",
        get: |py, t| boolean(py, t.device().kind == flambeau::DeviceType::Mps),
        set: None,
    },
    Property { name: c"is_meta", get: |py, t| boolean(py, t.visible_device().is_meta()), set: None },
    Property { name: c"is_sparse", get: |py, t| boolean(py, t.is_sparse()), set: None },
    Property { name: c"is_sparse_csr", get: |py, _| boolean(py, false), set: None },
    Property { name: c"is_quantized", get: |py, _| boolean(py, false), set: None },
    Property { name: c"is_mkldnn", get: |py, _| boolean(py, false), set: None },
    Property { name: c"is_nested", get: |py, _| boolean(py, false), set: None },
    Property { name: c"is_xla", get: |py, _| boolean(py, false), set: None },
    Property { name: c"is_xpu", get: |py, _| boolean(py, false), set: None },
    Property { name: c"is_vulkan", get: |py, _| boolean(py, false), set: None },
    Property { name: c"is_ipu", get: |py, _| boolean(py, false), set: None },
    Property { name: c"name", get: |py, _| Ok(py.None()), set: None },
    Property {
        name: c"real",
        get: |py, t| Ok(object::wrap(py, part(t, "real")?)),
        set: Some(|_, t, v| set_part(t, "real", v)),
    },
    Property {
        name: c"imag",
        get: |py, t| Ok(object::wrap(py, part(t, "imag")?)),
        set: Some(|_, t, v| set_part(t, "imag", v)),
    },
];

fn version(py: Python<'_>, t: &Tensor) -> PyResult<Py<PyAny>> {
    if t.is_inference() {
        return Err(PyRuntimeError::new_err("Inference tensors do not track version counter."));
    }
    int(py, t.version() as i64)
}

fn conjugate(t: Tensor) -> PyResult<Tensor> {
    if t.is_complex() { crate::number::call_unary("conj", &t) } else { Ok(t) }
}

fn part(t: &Tensor, name: &'static str) -> PyResult<Tensor> {
    if name == "real" && !t.is_complex() {
        return shape::alias(t).py().map(|_| t.clone());
    }
    crate::number::call_unary(name, t)
}

fn set_part(t: &Tensor, name: &'static str, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let Some(value) = value else { return Err(PyTypeError::new_err("cannot delete a part of a tensor")) };
    let view = part(t, name)?;
    let py = value.py();
    object::wrap(py, view).bind(py).call_method1("copy_", (value,))?;
    Ok(())
}

fn set_grad(_: Python<'_>, t: &Tensor, v: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let Some(v) = v.filter(|v| !v.is_none()) else {
        t.set_grad(None);
        return Ok(());
    };
    let Some(grad) = object::extract(v) else {
        return Err(PyTypeError::new_err(format!(
            "assigned grad expected to be a Tensor or None but got grad of type {}",
            types::type_name(v)
        )));
    };
    if grad.is_same(t) {
        return Err(PyRuntimeError::new_err("can't assign Variable as its own grad"));
    }
    if grad.dtype() != t.dtype() {
        return Err(PyRuntimeError::new_err(format!(
            "attempting to assign a gradient with dtype '{}' to a tensor with grad_dtype '{}'. The gradient must match the tensor's grad_dtype (defaults to the tensor's dtype). You can set the tensor's grad_dtype attribute with a specific dtype, or None to allow any dtype. Set grad_dtype with caution. Diverging the dtypes of a tensor and its gradient may break downstream systems that assume they match.",
            grad.dtype().cpp_type(),
            t.dtype().cpp_name()
        )));
    }
    if grad.visible_device().kind != t.visible_device().kind {
        return Err(PyRuntimeError::new_err(format!(
            "attempting to assign a gradient with device type '{}' to a tensor with device type '{}'. Please ensure that the gradient and the tensor are on the same device",
            grad.visible_device().type_name(),
            t.visible_device().type_name()
        )));
    }
    if grad.sizes() != t.sizes() {
        return Err(PyRuntimeError::new_err(format!(
            "attempting to assign a gradient of size '{}' to a tensor of size '{}'. Please ensure that the gradient and the tensor are the same size",
            flambeau_core::show(&grad.sizes()),
            flambeau_core::show(&t.sizes())
        )));
    }
    t.set_grad(Some(grad));
    Ok(())
}

unsafe extern "C" fn getter(object: *mut PyObject, closure: *mut c_void) -> *mut PyObject {
    guard(std::ptr::null_mut(), || {
        // SAFETY: called by the interpreter on a tensor; the closure is one of our static properties.
        unsafe {
            let py = Python::assume_attached();
            let property = &*closure.cast::<Property>();
            let Some(t) = object::borrow(object) else {
                return Err(PyTypeError::new_err("expected a Tensor"));
            };
            let value = (property.get)(py, t)?;
            if let Some(error) = crate::warnings::pending(py) {
                return Err(error);
            }
            Ok(value.into_ptr())
        }
    })
}

unsafe extern "C" fn setter(object: *mut PyObject, value: *mut PyObject, closure: *mut c_void) -> c_int {
    guard(-1, || {
        // SAFETY: as above.
        unsafe {
            let py = Python::assume_attached();
            let property = &*closure.cast::<Property>();
            let Some(t) = object::borrow(object) else {
                return Err(PyTypeError::new_err("expected a Tensor"));
            };
            let value = if value.is_null() { None } else { Some(Bound::from_borrowed_ptr(py, value)) };
            if let Some(set) = property.set {
                set(py, t, value.as_ref())?;
            }
            Ok(0)
        }
    })
}

/// The attributes; from then on the collector looks at the object.
unsafe extern "C" fn dictionary(object: *mut PyObject, closure: *mut c_void) -> *mut PyObject {
    // SAFETY: called by the interpreter on a tensor.
    unsafe {
        let dict = ffi::PyObject_GenericGetDict(object, closure);
        if !dict.is_null() && ffi::PyObject_GC_IsTracked(object) == 0 {
            ffi::PyObject_GC_Track(object.cast());
        }
        dict
    }
}

/// The names of all properties.
pub fn names() -> impl Iterator<Item = &'static str> {
    PROPERTIES.iter().map(|p| p.name.to_str().unwrap_or_default()).chain(["shape"])
}

/// The table for the type object.
pub fn table() -> Vec<ffi::PyGetSetDef> {
    let own = PROPERTIES.iter().map(|p| ffi::PyGetSetDef {
        closure: p as *const Property as *mut c_void,
        ..class::property(p.name, getter, p.set.map(|_| setter as ffi::setter))
    });
    own.chain([
        class::property(c"shape", object::shape, None),
        class::property(c"__dict__", dictionary, Some(ffi::PyObject_GenericSetDict)),
    ])
    .collect()
}

/// Whether a tensor has history for the sake of forward derivatives only, which Python does not show.
fn forward_only(t: &Tensor) -> bool {
    t.grad_fn().is_some_and(|node| node.is_forward_only())
}
