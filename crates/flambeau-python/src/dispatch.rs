//! Operators as Python callables: one object type whose instances know their declaration. An instance serves as
//! a function of a module and, with the method-descriptor protocol, as a method of Tensor. One of the modules
//! with unsafe code.

use crate::class::{self, Class};
use crate::errors::owned_ptr;
use crate::errors::{IntoPy, guard};
use crate::object;
use crate::parse::{self, Candidate, Given, Parsed};
use crate::profile;
use crate::types;
use flambeau::schema::{Call, Kind, OpDef, Overload, Ret, Target};
use pyo3::ffi::{self, PyObject, PyTypeObject};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};

/// An operator as a Python object.
#[repr(C)]
pub struct OpFunction {
    ob_base: PyObject,
    vectorcall: ffi::vectorcallfunc,
    op: &'static OpDef,
    /// The name under which it is called, `add_` for the in-place form.
    name: &'static str,
    place: &'static str,
    inplace: bool,
    method: bool,
    /// Whether a parameter is a list of tensors.
    lists: bool,
    /// The overloads that it may mean: those of its place, and for an in-place form those that have one.
    candidates: &'static [Candidate],
    /// Attributes that programs set.
    dict: *mut PyObject,
}

/// Whether operators say that they are torch's: under the launcher, so that pickles name what PyTorch has too.
static TORCH_NAMES: AtomicBool = AtomicBool::new(false);

/// Makes operators say that they are torch's.
#[pyfunction]
pub fn _use_torch_names() {
    TORCH_NAMES.store(true, Ordering::Relaxed);
}

static TYPE: OnceLock<usize> = OnceLock::new();

/// Makes the type of operator functions.
pub fn create_type(py: Python<'_>) -> PyResult<Py<PyAny>> {
    let class = Class::new(c"flambeau._C.Operator", size_of::<OpFunction>())
        .flags(ffi::Py_TPFLAGS_HAVE_VECTORCALL | ffi::Py_TPFLAGS_METHOD_DESCRIPTOR)
        .members(vec![
            class::member(c"__vectorcalloffset__", std::mem::offset_of!(OpFunction, vectorcall)),
            class::member(c"__dictoffset__", std::mem::offset_of!(OpFunction, dict)),
        ])
        .properties(vec![
            class::property(c"__name__", get_name, None),
            class::property(c"__qualname__", get_qualname, None),
            class::property(c"__doc__", get_doc, None),
            class::property(c"__module__", get_module, None),
            class::property(c"__text_signature__", get_signature, None),
        ])
        .methods(vec![class::plain(c"__reduce__", reduce, c"What it is pickled as.")])
        .slots([
            (ffi::Py_tp_call, ffi::PyVectorcall_Call as *mut c_void),
            (ffi::Py_tp_descr_get, descr_get as *mut c_void),
            (ffi::Py_tp_repr, repr as *mut c_void),
        ]);
    // SAFETY: the functions are those of their slots and of this layout.
    let class = unsafe { class.create(py, std::ptr::null_mut()) }?;
    let _ = TYPE.set(class.as_ptr() as usize);
    Ok(class.unbind())
}

/// The callable of an operator under a name; `place` is where it stands (`torch`, `Tensor`, `linalg`, …).
pub fn function(
    py: Python<'_>,
    op: &'static OpDef,
    name: &'static str,
    place: &'static str,
) -> PyResult<Py<PyAny>> {
    let class = TYPE.get().copied().unwrap_or(0) as *mut PyTypeObject;
    let inplace = name.ends_with('_') && op.name != name;
    let candidates: Vec<&'static Overload> = op
        .overloads
        .iter()
        .filter(|o| (o.only.is_empty() || o.only.contains(&place)) && (o.inplace || !inplace))
        .collect();
    // SAFETY: a generic allocation of our type is filled before anyone sees it. The objects are never freed:
    // modules and classes keep them.
    unsafe {
        let object = ffi::PyType_GenericAlloc(class, 0).cast::<OpFunction>();
        if object.is_null() {
            return Err(PyErr::fetch(py));
        }
        (*object).vectorcall = vectorcall;
        (*object).op = op;
        (*object).name = name;
        (*object).place = place;
        (*object).inplace = inplace && !op.name.ends_with('_');
        (*object).method = place == "Tensor";
        let takes_list =
            |o: &&Overload| o.params.iter().any(|p| matches!(p.kind, Kind::Tensors | Kind::OptTensors));
        (*object).lists = candidates.iter().any(takes_list);
        let method = place == "Tensor";
        (*object).candidates = Vec::leak(candidates.iter().map(|o| Candidate::new(o, method)).collect());
        Ok(owned_ptr(py, object.cast()))
    }
}

unsafe extern "C" fn vectorcall(
    callable: *mut PyObject,
    args: *const *mut PyObject,
    nargsf: usize,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    guard(std::ptr::null_mut(), || {
        // SAFETY: the interpreter passes valid arguments and holds the GIL.
        unsafe {
            let py = Python::assume_attached();
            let me = &*callable.cast::<OpFunction>();
            let n = ffi::PyVectorcall_NARGS(nargsf) as usize;
            let keyword_count = if kwnames.is_null() { 0 } else { ffi::PyTuple_GET_SIZE(kwnames) as usize };
            let all: &[*mut PyObject] = if n + keyword_count == 0 {
                &[]
            } else {
                std::slice::from_raw_parts(args, n + keyword_count)
            };
            let (positional, values) = all.split_at(n);
            if me.method && (n == 0 || !object::is_tensor(positional[0])) {
                return Err(pyo3::exceptions::PyTypeError::new_err(format!(
                    "descriptor '{}' for 'torch._C.TensorBase' objects doesn't apply to a '{}' object",
                    me.name,
                    positional.first().map_or("missing".to_string(), |&o| {
                        types::type_name(&Bound::from_borrowed_ptr(py, o))
                    })
                )));
            }
            let lists = me.lists;
            let may = |&o: &*mut PyObject| crate::overrides::asks(o) || lists && crate::overrides::in_list(o);
            let overrides = crate::overrides::modes() || all.iter().any(may);
            if overrides {
                let me = Bound::from_borrowed_ptr(py, callable);
                if let Some(result) = crate::overrides::call(py, &me, positional, kwnames, values)? {
                    return Ok(result.into_ptr());
                }
            }
            call(py, me, &Given::new(py, positional, kwnames, values))
        }
    })
}

/// Parses, runs and returns a new reference.
fn call(py: Python<'_>, me: &OpFunction, given: &Given<'_>) -> PyResult<*mut PyObject> {
    let mut parsed = Parsed::default();
    let overload = match parse::parse(me.op, me.candidates, me.name, me.method, given, &mut parsed) {
        Ok(overload) => overload,
        Err(error) => match parse::deprecated::rewrite(me.name, me.method, given) {
            Some(rewritten) => return call(py, me, &rewritten.given()),
            None => return Err(error),
        },
    };
    let target = if me.inplace {
        Target::InPlace
    } else if parsed.out.is_empty() {
        Target::Fresh
    } else {
        Target::Out(&parsed.out)
    };
    let result = {
        let args = parsed.args.as_slice();
        let _span = profile::called(overload, args, &target);
        match overload.run(me.op.name, &Call { args, target }) {
            // The commonest result is taken out where it is.
            Ok(Ret::Tensor(t)) if parsed.out_object.is_none() => {
                return match crate::warnings::pending(py) {
                    Some(error) => Err(error),
                    // SAFETY: the GIL is held.
                    None => Ok(unsafe { object::wrap_raw(t) }),
                };
            }
            result => result.py()?,
        }
    };
    if let Some(error) = crate::warnings::pending(py) {
        return Err(error);
    }
    if let Some(out) = parsed.out_object
        && overload.out == 1
    {
        // SAFETY: the argument is alive; a new reference to it is returned.
        unsafe { ffi::Py_INCREF(out) };
        return Ok(out);
    }
    if let Ret::Tensor(t) = result {
        // SAFETY: the GIL is held.
        return Ok(unsafe { object::wrap_raw(t) });
    }
    Ok(ret_to_py(py, result, me.op, overload.fields)?.into_ptr())
}

/// The Python value of a result.
pub fn ret_to_py(
    py: Python<'_>,
    ret: Ret,
    op: &'static OpDef,
    fields: &'static [&'static str],
) -> PyResult<Py<PyAny>> {
    Ok(match ret {
        Ret::Tensor(t) => object::wrap(py, t),
        Ret::None => py.None(),
        Ret::Tuple(list) => {
            let items: Vec<Py<PyAny>> = list.into_iter().map(|t| object::wrap(py, t)).collect();
            if fields.is_empty() {
                PyTuple::new(py, items)?.into_any().unbind()
            } else {
                named_tuple(py, op.name, fields, items)?
            }
        }
        Ret::Tensors(list) => {
            let items: Vec<Py<PyAny>> = list.into_iter().map(|t| object::wrap(py, t)).collect();
            PyTuple::new(py, items)?.into_any().unbind()
        }
        Ret::WithList(t, list) => {
            let list = list.into_iter().map(|t| object::wrap(py, t)).collect::<Vec<_>>();
            let list = PyTuple::new(py, list)?.into_any().unbind();
            named_tuple(py, op.name, fields, vec![object::wrap(py, t), list])?
        }
        Ret::Bool(b) => b.into_pyobject(py)?.to_owned().into_any().unbind(),
        Ret::Int(i) => i.into_pyobject(py)?.into_any().unbind(),
        Ret::Float(f) => f.into_pyobject(py)?.into_any().unbind(),
        Ret::Scalar(s) => scalar_to_py(py, s)?,
        Ret::Complex(c) => scalar_to_py(py, flambeau::Scalar::Complex(c))?,
        Ret::Ints(list) => PyTuple::new(py, list)?.into_any().unbind(),
        Ret::DType(d) => types::dtype_object(py, d),
    })
}

/// The Python number of a scalar.
pub fn scalar_to_py(py: Python<'_>, s: flambeau::Scalar) -> PyResult<Py<PyAny>> {
    use flambeau::Scalar::*;
    Ok(match s {
        Bool(b) => b.into_pyobject(py)?.to_owned().into_any().unbind(),
        Int(i) => i.into_pyobject(py)?.into_any().unbind(),
        UInt(i) => i.into_pyobject(py)?.into_any().unbind(),
        Float(f) => f.into_pyobject(py)?.into_any().unbind(),
        Complex(c) => pyo3::types::PyComplex::from_doubles(py, c.re, c.im).into_any().unbind(),
    })
}

static RETURN_TYPES: Mutex<Option<HashMap<String, usize>>> = Mutex::new(None);

/// The class `torch.return_types.NAME`, made on first use.
pub fn return_type(name: &'static str, fields: &'static [&'static str]) -> *mut PyTypeObject {
    let mut guard = RETURN_TYPES.lock().unwrap_or_else(|e| e.into_inner());
    let map = guard.get_or_insert_with(HashMap::new);
    let address = map.entry(name.to_string()).or_insert_with(|| {
        let text =
            |s: String| Box::leak(std::ffi::CString::new(s).unwrap_or_default().into_boxed_c_str()).as_ptr();
        let mut list: Vec<ffi::PyStructSequence_Field> = fields
            .iter()
            .map(|f| ffi::PyStructSequence_Field { name: text(f.to_string()), doc: std::ptr::null() })
            .collect();
        list.push(ffi::PyStructSequence_Field { name: std::ptr::null(), doc: std::ptr::null() });
        let mut desc = ffi::PyStructSequence_Desc {
            name: text(format!("torch.return_types.{name}")),
            doc: std::ptr::null(),
            fields: Box::leak(list.into_boxed_slice()).as_mut_ptr(),
            n_in_sequence: fields.len() as c_int,
        };
        // SAFETY: the description lives for ever; the new type is ours to adjust.
        unsafe {
            let class = ffi::PyStructSequence_NewType(&mut desc);
            if !class.is_null() {
                (*class).tp_repr = Some(named_repr);
            }
            class as usize
        }
    });
    *address as *mut PyTypeObject
}

fn named_tuple(
    py: Python<'_>,
    name: &'static str,
    fields: &'static [&'static str],
    items: Vec<Py<PyAny>>,
) -> PyResult<Py<PyAny>> {
    let name = name.trim_start_matches('_');
    let class = return_type(name, fields);
    // SAFETY: a fresh struct sequence is filled before anyone sees it.
    unsafe {
        let object = ffi::PyStructSequence_New(class);
        if object.is_null() {
            return Err(PyErr::fetch(py));
        }
        for (i, item) in items.into_iter().enumerate() {
            ffi::PyStructSequence_SetItem(object, i as ffi::Py_ssize_t, item.into_ptr());
        }
        Ok(owned_ptr(py, object))
    }
}

unsafe extern "C" fn named_repr(object: *mut PyObject) -> *mut PyObject {
    guard(std::ptr::null_mut(), || {
        // SAFETY: called by the interpreter on a struct sequence.
        let (py, bound) = unsafe {
            let py = Python::assume_attached();
            (py, Bound::from_borrowed_ptr(py, object))
        };
        let class = bound.get_type();
        let module: String = class.getattr("__module__")?.extract()?;
        let mut text = format!("{module}.{}(\n", class.name()?);
        let names: Vec<String> = class.getattr("__match_args__")?.extract()?;
        let mut lines = Vec::new();
        for name in names {
            lines.push(format!("{name}={}", bound.getattr(name.as_str())?.repr()?));
        }
        text.push_str(&lines.join(",\n"));
        text.push(')');
        Ok(PyString::new(py, &text).into_any().into_ptr())
    })
}

unsafe extern "C" fn descr_get(
    me: *mut PyObject,
    object: *mut PyObject,
    _class: *mut PyObject,
) -> *mut PyObject {
    // SAFETY: called by the interpreter with live objects.
    unsafe {
        let place = (*me.cast::<OpFunction>()).place;
        if object.is_null() || place != "Tensor" {
            ffi::Py_INCREF(me);
            return me;
        }
        PyMethod_New(me, object)
    }
}

fn text(value: &str) -> *mut PyObject {
    // SAFETY: a valid UTF-8 string of known length, with the GIL held by the calling interpreter.
    unsafe { ffi::PyUnicode_FromStringAndSize(value.as_ptr().cast(), value.len() as ffi::Py_ssize_t) }
}

unsafe extern "C" fn get_name(me: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    // SAFETY: an operator function.
    text(unsafe { (*me.cast::<OpFunction>()).name })
}
unsafe extern "C" fn get_qualname(me: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    // SAFETY: an operator function.
    let me = unsafe { &*me.cast::<OpFunction>() };
    if me.place == "Tensor" { text(&format!("Tensor.{}", me.name)) } else { text(me.name) }
}
unsafe extern "C" fn get_doc(me: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    // SAFETY: an operator function.
    text(unsafe { (*me.cast::<OpFunction>()).op.doc })
}
unsafe extern "C" fn get_module(me: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    // SAFETY: an operator function.
    let me = unsafe { &*me.cast::<OpFunction>() };
    let root = if TORCH_NAMES.load(Ordering::Relaxed) { "torch" } else { "flambeau" };
    match me.place {
        "torch" | "Tensor" => text(root),
        other => text(&format!("{root}.{other}")),
    }
}
unsafe extern "C" fn get_signature(me: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    // SAFETY: an operator function.
    let me = unsafe { &*me.cast::<OpFunction>() };
    text(&parse::text_signature(me.op, me.place))
}
unsafe extern "C" fn repr(me: *mut PyObject) -> *mut PyObject {
    // SAFETY: an operator function.
    let me = unsafe { &*me.cast::<OpFunction>() };
    if me.place == "Tensor" {
        text(&format!("<method '{}' of 'torch._C.TensorBase' objects>", me.name))
    } else {
        text(&format!("<built-in method {} of type object>", me.name))
    }
}
unsafe extern "C" fn reduce(me: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
    guard(std::ptr::null_mut(), || {
        // SAFETY: an operator function, the GIL is held.
        let (py, me) = unsafe { (Python::assume_attached(), &*me.cast::<OpFunction>()) };
        if me.place != "Tensor" {
            // A global of its module.
            return Ok(PyString::new(py, me.name).into_any().unbind().into_ptr());
        }
        let owner = py.import("flambeau")?.getattr("Tensor")?;
        let getattr = py.import("builtins")?.getattr("getattr")?;
        let args = PyTuple::new(py, [owner, PyString::new(py, me.name).into_any()])?;
        Ok(PyTuple::new(py, [getattr, args.into_any()])?.into_any().into_ptr())
    })
}

/// All operators of a place as a dictionary of callables.
pub fn functions_of(py: Python<'_>, place: &'static str) -> PyResult<Py<PyDict>> {
    let out = PyDict::new(py);
    for op in flambeau::generated::OPS {
        if op.places.contains(&place) {
            out.set_item(op.name, function(py, op, op.name, place)?)?;
        }
        for alias in op.aliases {
            if let Some((at, name)) = alias.rsplit_once('.')
                && at == place
            {
                out.set_item(name, function(py, op, name, place)?)?;
            }
        }
        if place == "Tensor" && op.overloads.iter().any(|o| o.inplace) {
            let mut names = Vec::new();
            if op.places.contains(&"Tensor") {
                names.push(op.name);
            }
            for alias in op.aliases {
                if let Some(name) = alias.strip_prefix("Tensor.")
                    && !name.ends_with('_')
                {
                    names.push(name);
                }
            }
            for name in names {
                let inplace: &'static str = Box::leak(format!("{name}_").into_boxed_str());
                out.set_item(inplace, function(py, op, inplace, place)?)?;
            }
        }
    }
    Ok(out.unbind())
}

/// Every place that operators name.
pub fn places() -> Vec<&'static str> {
    let mut places: Vec<&'static str> = Vec::new();
    for op in flambeau::generated::OPS {
        let aliases = op.aliases.iter().filter_map(|a| a.rsplit_once('.').map(|(p, _)| p));
        for place in op.places.iter().copied().chain(aliases) {
            if !places.contains(&place) {
                places.push(place);
            }
        }
    }
    places
}

unsafe extern "C" {
    /// CPython's bound methods; public there, but not in the bindings.
    fn PyMethod_New(function: *mut PyObject, object: *mut PyObject) -> *mut PyObject;
}
