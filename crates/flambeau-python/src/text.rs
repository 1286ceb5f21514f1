//! `repr(tensor)`.

use crate::errors::{IntoPy, guard};
use crate::object;
use flambeau::print::{self, Info, Item, Values};
use flambeau::{Array, DType, Tensor};
use pyo3::ffi::PyObject;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// Elements of an array by index.
struct Elements(Array);

impl Values for Elements {
    fn shape(&self) -> &[i64] {
        &self.0.sizes
    }
    fn dtype(&self) -> DType {
        self.0.dtype
    }
    fn get(&self, index: &[i64]) -> Item {
        let mut one = self.0.clone();
        one.offset += index.iter().zip(&one.strides).map(|(&i, &s)| i * s).sum::<i64>();
        one.sizes.clear();
        one.strides.clear();
        let dtype = one.dtype;
        match Tensor::from_array(one).item() {
            Ok(flambeau::Scalar::Bool(b)) => Item::Bool(b),
            Ok(flambeau::Scalar::Int(i)) if dtype == DType::UInt64 => Item::UInt(i as u64),
            Ok(flambeau::Scalar::Int(i)) => Item::Int(i),
            Ok(flambeau::Scalar::UInt(i)) => Item::UInt(i),
            Ok(flambeau::Scalar::Float(f)) => Item::Float(f),
            Ok(flambeau::Scalar::Complex(c)) => Item::Complex(c.re, c.im),
            Err(_) => Item::Float(f64::NAN),
        }
    }
}

/// The text of a tensor; `prefix` is `tensor` or a subclass's name.
pub fn text(t: &Tensor, prefix: &str) -> PyResult<String> {
    let a = t.array();
    let (sizes, dtype, meta) = (a.sizes.clone(), a.dtype, a.device().is_meta());
    let values = Elements(a);
    let device = if meta { Some("meta".to_string()) } else { None };
    let grad_fn = t.grad_fn();
    let name = grad_fn.as_ref().map(|f| f.name().rsplit("::").next().unwrap_or("").to_string());
    let info = Info {
        prefix,
        device: device.as_deref(),
        default_dtype: flambeau::default_dtype(),
        requires_grad: t.requires_grad() && name.is_none(),
        grad_fn: name.as_deref(),
        ..Info::new(&sizes, dtype)
    };
    Ok(print::format_tensor(if meta { None } else { Some(&values) }, &info))
}

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
        let text = if plain { text(&t, "tensor")? } else { text(&t, &bound.get_type().name()?.to_string())? };
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
