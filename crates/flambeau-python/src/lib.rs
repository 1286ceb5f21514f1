//! The extension module `flambeau._C`.

// `_C` is the name of PyTorch's extension module.
#![allow(non_snake_case)]

mod autograd;
mod buffer;
mod class;
mod construct;
mod declarations;
mod dispatch;
mod dlpack;
mod errors;
mod gc;
mod grad_mode;
mod indexing;
mod lists;
mod methods;
mod native;
mod number;
mod numpy;
mod object;
mod overrides;
mod parse;
mod profile;
mod properties;
mod random;
mod safetensors;
mod size;
mod storage;
mod text;
mod threads;
mod types;
mod warnings;

use errors::IntoPy;
use pyo3::prelude::*;
use pyo3::types::PyDict;

#[pyfunction]
fn get_default_dtype(py: Python<'_>) -> Py<PyAny> {
    types::dtype_object(py, flambeau::default_dtype())
}
#[pyfunction]
fn set_default_dtype(d: types::PyDType) -> PyResult<()> {
    flambeau::set_default_dtype(d.0).py()
}
#[pyfunction]
fn get_default_device(py: Python<'_>) -> PyResult<Py<PyAny>> {
    Ok(Py::new(py, types::PyDevice(flambeau::default_device()))?.into_any())
}
#[pyfunction]
fn _set_default_device(device: types::PyDevice) {
    flambeau::set_default_device(device.0);
}
#[pyfunction]
fn _register(py: Python<'_>, linalg_error: Py<PyAny>) {
    errors::set_linalg_error(py, linalg_error);
}
/// The operators of a place (`torch`, `nn.functional`, `linalg`, …) by name.
#[pyfunction]
fn _functions(py: Python<'_>, place: &str) -> PyResult<Py<PyDict>> {
    match dispatch::places().into_iter().find(|p| *p == place) {
        Some(place) => dispatch::functions_of(py, place),
        None => Ok(PyDict::new(py).unbind()),
    }
}
#[pyfunction]
fn _return_type(name: &str) -> PyResult<Py<PyAny>> {
    for op in flambeau::generated::OPS {
        if op.name.trim_start_matches('_') == name
            && let Some(o) = op.overloads.iter().find(|o| !o.fields.is_empty())
        {
            let class = dispatch::return_type(op.name.trim_start_matches('_'), o.fields);
            // SAFETY: the class lives for ever.
            return Python::attach(|py| Ok(unsafe { Bound::from_borrowed_ptr(py, class.cast()) }.unbind()));
        }
    }
    Err(pyo3::exceptions::PyAttributeError::new_err(format!(
        "module 'flambeau.return_types' has no attribute '{name}'"
    )))
}
#[pyfunction]
fn _return_type_names() -> Vec<&'static str> {
    flambeau::generated::OPS
        .iter()
        .filter(|op| op.overloads.iter().any(|o| !o.fields.is_empty()))
        .map(|op| op.name.trim_start_matches('_'))
        .collect()
}
/// The names of all operators of the table.
#[pyfunction]
fn _operator_names() -> Vec<&'static str> {
    flambeau::generated::OPS.iter().map(|op| op.name).collect()
}

/// `torch.result_type(tensor1, tensor2)`
#[pyfunction]
fn result_type(
    py: Python<'_>,
    tensor1: &Bound<'_, PyAny>,
    tensor2: &Bound<'_, PyAny>,
) -> PyResult<Py<PyAny>> {
    let mut list = Vec::new();
    for t in [tensor1, tensor2] {
        list.push(match object::extract(t) {
            Some(t) => t,
            None => match parse::scalar_of(t)? {
                Some(s) => parse::wrapped_number(s)?,
                None => {
                    return Err(pyo3::exceptions::PyTypeError::new_err(format!(
                        "result_type(): argument must be Tensor or Number, not {}",
                        types::type_name(t)
                    )));
                }
            },
        });
    }
    Ok(types::dtype_object(py, flambeau::pointwise::result_type(&[&list[0], &list[1]])))
}
#[pyfunction]
fn promote_types(py: Python<'_>, type1: types::PyDType, type2: types::PyDType) -> Py<PyAny> {
    types::dtype_object(py, type1.0.promote(type2.0))
}
#[pyfunction]
fn can_cast(from_: types::PyDType, to: types::PyDType) -> bool {
    from_.0.can_cast(to.0)
}

/// Notes an in-place change that was made behind the tensor's back.
#[pyfunction]
fn _increment_version(t: &Bound<'_, PyAny>) -> PyResult<()> {
    match object::extract(t) {
        Some(t) => {
            t.bump_version();
            Ok(())
        }
        None => Err(pyo3::exceptions::PyTypeError::new_err("expected a Tensor")),
    }
}

fn tensor_of(t: &Bound<'_, PyAny>) -> PyResult<flambeau::Tensor> {
    object::extract(t).ok_or_else(|| pyo3::exceptions::PyTypeError::new_err("expected a Tensor"))
}

#[pyfunction]
fn _strides(t: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    Ok(pyo3::types::PyTuple::new(t.py(), tensor_of(t)?.strides())?.into_any().unbind())
}
#[pyfunction]
fn _is_contiguous(t: &Bound<'_, PyAny>, format: types::PyMemoryFormat) -> PyResult<bool> {
    if format.0 == flambeau::MemoryFormat::Preserve {
        return Err(pyo3::exceptions::PyRuntimeError::new_err(
            "preserve memory format is unsupported by the contiguous operator",
        ));
    }
    Ok(tensor_of(t)?.with_array(|a| a.is_contiguous_as(format.0)))
}

#[pymodule]
fn _C(m: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = m.py();
    let _ = flambeau::WARN.set(warnings::warn);
    let _ = flambeau::WHERE.set(warnings::place);
    let tensor = object::create_type(py)?;
    dispatch::create_type(py)?;
    let methods = dispatch::functions_of(py, "Tensor")?;
    for (name, function) in methods.bind(py).iter() {
        // Attributes such as `mT` and `real` are functions in the operator table, properties of tensors.
        if properties::names().chain(methods::names()).any(|p| name.to_string() == p) {
            continue;
        }
        tensor.bind(py).setattr(name.cast::<pyo3::types::PyString>()?, function)?;
    }
    m.add("Tensor", tensor)?;
    m.add("Size", size::create_type(py)?)?;
    for d in flambeau::DType::ALL {
        m.add(d.name(), types::dtype_object(py, d))?;
    }
    for (name, object) in types::PyLayout::all(py).into_iter().chain(types::PyMemoryFormat::all(py)) {
        m.add(name, object)?;
    }
    m.add_class::<types::PyDType>()?;
    m.add_class::<types::PyDevice>()?;
    m.add_class::<types::PyLayout>()?;
    m.add_class::<types::PyMemoryFormat>()?;
    m.add_class::<random::PyGenerator>()?;
    m.add_class::<storage::PyStorage>()?;
    m.add_class::<autograd::PyNode>()?;
    m.add_class::<autograd::PyWeakNode>()?;
    let doc = c"_NoGrad()\n--\n\nSwitches recording off.";
    m.add("_NoGrad", grad_mode::create_type::<false>(py, c"flambeau._C._NoGrad", doc)?)?;
    let doc = c"_EnableGrad(orig_func=None)\n--\n\nSwitches recording on.";
    m.add("_EnableGrad", grad_mode::create_type::<true>(py, c"flambeau._C._EnableGrad", doc)?)?;
    macro_rules! functions { ($($f:path),* $(,)?) => { $(m.add_function(wrap_pyfunction!($f, m)?)?;)* } }
    functions!(
        get_default_dtype,
        set_default_dtype,
        get_default_device,
        _set_default_device,
        _register,
        _functions,
        _return_type,
        _return_type_names,
        _operator_names,
        declarations::_declarations,
        result_type,
        promote_types,
        can_cast,
        _increment_version,
        types::_finfo,
        random::_default_generator,
        construct::tensor,
        construct::as_tensor,
        construct::_legacy_new,
        construct::_make_subclass,
        _strides,
        _is_contiguous,
        construct::_as_subclass,
        methods::_mark_hooked,
        methods::_module_parameters,
        methods::_module_call,
        methods::_module_getattr,
        buffer::_frombuffer,
        dlpack::_to_dlpack,
        dlpack::_from_dlpack,
        storage::_storage_id,
        numpy::from_numpy,
        numpy::_to_numpy,
        safetensors::_safetensors_save,
        safetensors::_safetensors_load,
        text::set_printoptions,
        text::_printoptions,
        dispatch::_use_torch_names,
        overrides::_set_function_modes,
        overrides::_has_torch_function,
        overrides::_set_torch_function_disabled,
        overrides::_torch_function_disabled,
        autograd::_enter_dual_level,
        autograd::_exit_dual_level,
        autograd::_make_dual,
        autograd::_tangent,
        autograd::is_grad_enabled,
        autograd::_set_grad_enabled,
        autograd::is_inference_mode_enabled,
        autograd::_set_inference_mode,
        autograd::_set_anomaly_enabled,
        autograd::_is_anomaly_enabled,
        autograd::_is_anomaly_check_nan_enabled,
        threads::_set_num_threads,
        threads::_get_num_threads,
        profile::_profiler_start,
        profile::_profiler_stop,
        profile::_profiler_enabled,
        profile::_profiler_now,
        profile::_profiler_record,
        autograd::_run_backward,
        autograd::_backward,
        methods::_type_lookup,
        autograd::_register_tensor_hook,
        autograd::_register_post_accumulate_hook,
        autograd::_remove_tensor_hook,
        autograd::_retain_grad,
        autograd::_gradient_edge,
        autograd::_push_saved_tensors_hooks,
        autograd::_pop_saved_tensors_hooks,
        autograd::_record_function,
        autograd::_saved_of,
    );
    Ok(())
}
