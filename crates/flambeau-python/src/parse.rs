//! The one argument parser: Python arguments against the parameters of an operator's overloads.

use crate::object;
use crate::types::{self, type_name};
use flambeau::schema::{Arg, Default, IntList, Kind, OpDef, Overload, Param};
use flambeau::{Scalar, Tensor};
use pyo3::exceptions::{PyOverflowError, PyRuntimeError, PyTypeError};
use pyo3::ffi::{self, PyObject};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyComplex, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};
use smallvec::SmallVec;

/// Arguments as the interpreter passes them.
pub struct Given<'py> {
    pub py: Python<'py>,
    pub positional: &'py [*mut PyObject],
    /// Keyword names and values.
    pub keywords: SmallVec<[(Bound<'py, PyAny>, *mut PyObject); 4]>,
}

/// A successful parse.
pub struct Parsed<'py> {
    pub overload: &'static Overload,
    pub args: SmallVec<[Arg<'py>; 8]>,
    pub out: SmallVec<[Tensor; 2]>,
    /// The object given as `out`, which is what the call returns.
    pub out_object: Option<*mut PyObject>,
}

/// Why an overload does not take the arguments.
enum Refusal {
    Message(String),
    /// An exception to raise whatever the other overloads say.
    Raise(PyErr),
}

impl From<PyErr> for Refusal {
    fn from(e: PyErr) -> Self {
        Refusal::Raise(e)
    }
}

type Attempt<T> = Result<T, Refusal>;

fn refuse<T>(text: impl Into<String>) -> Attempt<T> {
    Err(Refusal::Message(text.into()))
}

impl<'py> Given<'py> {
    fn bound(&self, object: *mut PyObject) -> Bound<'py, PyAny> {
        // SAFETY: arguments live as long as the call.
        unsafe { Bound::from_borrowed_ptr(self.py, object) }
    }
    fn keyword(&self, name: &str) -> Option<*mut PyObject> {
        self.keywords.iter().find(|(k, _)| is_named(k, name)).map(|(_, v)| *v)
    }
}

fn is_named(key: &Bound<'_, PyAny>, name: &str) -> bool {
    key.cast::<PyString>().is_ok_and(|k| k.to_str().is_ok_and(|k| k == name))
}

/// Finds the overload that takes the arguments. `method` means that the first argument is `self`;
/// `place` selects among overloads that are restricted to some places.
pub fn parse<'py>(
    op: &'static OpDef,
    name: &str,
    place: &str,
    method: bool,
    given: &Given<'py>,
) -> PyResult<Parsed<'py>> {
    let mut messages: SmallVec<[(usize, String); 4]> = SmallVec::new();
    let candidates =
        op.overloads.iter().enumerate().filter(|(_, o)| o.only.is_empty() || o.only.contains(&place));
    let inplace = name.ends_with('_') && op.name != name;
    for numbers in [false, true] {
        for (i, overload) in candidates.clone() {
            if inplace && !overload.inplace {
                continue;
            }
            if numbers && !overload.numbers {
                continue;
            }
            match attempt(overload, name, method, given, numbers) {
                Ok(parsed) => return Ok(parsed),
                Err(Refusal::Raise(error)) => return Err(error),
                Err(Refusal::Message(text)) => {
                    if !numbers {
                        messages.push((i, text));
                    }
                }
            }
        }
    }
    Err(explain(op, name, method, given, &messages))
}

fn attempt<'py>(
    overload: &'static Overload,
    name: &str,
    method: bool,
    given: &Given<'py>,
    numbers: bool,
) -> Attempt<Parsed<'py>> {
    let params = overload.params;
    let positional = given.positional;
    let first = method as usize;
    let slots = params.iter().filter(|p| !p.keyword_only).count();
    // Where an argument stands in `positional`: a method's `self` comes first even if the signature has it later,
    // as in `polygamma(n, self)`.
    let own = if method { params.iter().position(|p| p.name == "self").unwrap_or(0) } else { 0 };
    let place = |i: usize| match i {
        _ if own == 0 || i > own => i,
        _ if i == own => 0,
        _ => i + 1,
    };
    let mut args: SmallVec<[Arg<'py>; 8]> = SmallVec::new();
    let mut used_keywords = 0;
    // `x.view(2, 3)`: the only positional parameter takes all the ints.
    let spread = slots == first + 1
        && positional.len() > first
        && matches!(params.get(first).map(|p| p.kind), Some(Kind::Ints(_) | Kind::OptInts(_)))
        && is_int(&given.bound(positional[first]));
    if positional.len() > slots && !spread {
        return refuse(format!(
            "{name}() takes {} positional argument{} but {} {} given",
            slots - first,
            if slots - first == 1 { "" } else { "s" },
            positional.len() - first,
            if positional.len() - first == 1 { "was" } else { "were" }
        ));
    }
    for (i, param) in params.iter().enumerate() {
        let value = if spread && i == first {
            let mut list = IntList::new();
            for &item in &positional[first..] {
                let item = given.bound(item);
                if !is_int(&item) {
                    return refuse(format!(
                        "{name}(): argument '{}' must be tuple of ints, but found element of type {} at pos {}",
                        param.name,
                        type_name(&item),
                        list.len()
                    ));
                }
                list.push(int_value(&item)?);
            }
            args.push(Arg::Ints(list));
            continue;
        } else if place(i) < positional.len() && !param.keyword_only {
            Some(positional[place(i)])
        } else {
            let found = given
                .keyword(param.name)
                .or_else(|| if param.name == "self" && !method { given.keyword("input") } else { None })
                .or_else(|| numpy_name(param.name).and_then(|n| given.keyword(n)));
            used_keywords += found.is_some() as usize;
            found
        };
        match value {
            None => args.push(default(param, name, i, first)?),
            Some(object) => {
                let bound = given.bound(object);
                if bound.is_none() && param.default == Default::None && !accepts_none(param.kind) {
                    args.push(Arg::None);
                    continue;
                }
                match convert(&bound, object, param, numbers)? {
                    Some(arg) => args.push(arg),
                    None => {
                        let position = if place(i) < positional.len() && !param.keyword_only {
                            format!(" (position {})", place(i) + 1 - first)
                        } else {
                            String::new()
                        };
                        return refuse(format!(
                            "{name}(): argument '{}'{position} must be {}, not {}",
                            python_name(param, method),
                            kind_name(param.kind),
                            describe(&bound, param.kind)
                        ));
                    }
                }
            }
        }
    }
    let mut out: SmallVec<[Tensor; 2]> = SmallVec::new();
    let mut out_object = None;
    if overload.out > 0
        && let Some(object) = given.keyword("out")
    {
        used_keywords += 1;
        let bound = given.bound(object);
        if !bound.is_none() {
            collect_out(&bound, overload, name, &mut out)?;
            out_object = Some(object);
        }
    }
    if used_keywords < given.keywords.len() {
        for (key, _) in &given.keywords {
            let text = key.to_string();
            let known = params.iter().any(|p| p.name == text || numpy_name(p.name) == Some(text.as_str()))
                || (text == "input" && !method && params.first().is_some_and(|p| p.name == "self"))
                || (text == "out" && overload.out > 0);
            let positional_too = params
                .iter()
                .position(|p| p.name == text || (p.name == "self" && text == "input"))
                .is_some_and(|i| place(i) < positional.len());
            if !known || positional_too {
                return refuse(if positional_too {
                    format!("{name}() got multiple values for argument '{text}'")
                } else {
                    format!("{name}() got an unexpected keyword argument '{text}'")
                });
            }
        }
    }
    Ok(Parsed { overload, args, out, out_object })
}

fn collect_out(
    bound: &Bound<'_, PyAny>,
    overload: &Overload,
    name: &str,
    out: &mut SmallVec<[Tensor; 2]>,
) -> Attempt<()> {
    if let Some(t) = object::extract(bound) {
        if overload.out != 1 {
            return refuse(format!("{name}(): argument 'out' must be tuple of Tensors, not Tensor"));
        }
        out.push(t);
        return Ok(());
    }
    if (bound.is_instance_of::<PyTuple>() || bound.is_instance_of::<PyList>()) && overload.out > 1 {
        for item in bound.try_iter()? {
            match object::extract(&item?) {
                Some(t) => out.push(t),
                None => return refuse(format!("{name}(): argument 'out' must be tuple of Tensors")),
            }
        }
        if overload.out == u8::MAX || out.len() == overload.out as usize {
            return Ok(());
        }
        return refuse(format!(
            "{name}(): expected tuple of {} elements but got {}",
            overload.out,
            out.len()
        ));
    }
    refuse(format!("{name}(): argument 'out' must be Tensor, not {}", type_name(bound)))
}

/// NumPy's names for parameters, which PyTorch takes too.
fn numpy_name(name: &str) -> Option<&'static str> {
    match name {
        "dim" => Some("axis"),
        "keepdim" => Some("keepdims"),
        "self" => Some("x"),
        "other" => Some("x2"),
        _ => None,
    }
}

fn python_name(param: &Param, method: bool) -> &'static str {
    if param.name == "self" && !method { "input" } else { param.name }
}

fn accepts_none(kind: Kind) -> bool {
    matches!(kind, Kind::OptTensors)
}

fn default<'py>(param: &Param, name: &str, i: usize, first: usize) -> Attempt<Arg<'py>> {
    Ok(match param.default {
        Default::Required => {
            return refuse(format!(
                "{name}() missing 1 required positional arguments: \"{}\"",
                python_name(param, first == 1)
            ));
        }
        Default::None => Arg::None,
        Default::Bool(b) => match param.kind {
            Kind::Scalar | Kind::OptScalar => Arg::Scalar(Scalar::Bool(b)),
            _ => Arg::Bool(b),
        },
        Default::Int(v) => match param.kind {
            Kind::Scalar | Kind::OptScalar => Arg::Scalar(Scalar::Int(v)),
            Kind::Float | Kind::OptFloat => Arg::Float(v as f64),
            Kind::Ints(n) | Kind::OptInts(n) => Arg::Ints(smallvec::smallvec![v; (n as usize).max(1)]),
            _ => Arg::Int(v),
        },
        Default::Float(v) => match param.kind {
            Kind::Scalar | Kind::OptScalar => Arg::Scalar(Scalar::Float(v)),
            _ => Arg::Float(v),
        },
        Default::Str(s) => Arg::Str(std::borrow::Cow::Borrowed(s)),
        Default::Ints(list) => Arg::Ints(IntList::from_slice(list)),
        Default::Format(f) => Arg::MemoryFormat(f),
    })
    .inspect(|_| {
        let _ = i;
    })
}

/// Whether the object counts as an int: int but not bool, or something with `__index__` such as NumPy's ints.
pub fn is_int(object: &Bound<'_, PyAny>) -> bool {
    if object.is_exact_instance_of::<PyInt>() {
        return true;
    }
    if object.is_instance_of::<PyBool>() || object.is_instance_of::<PyFloat>() {
        return false;
    }
    if object.is_instance_of::<PyInt>() {
        return true;
    }
    if let Some(t) = object::extract(object) {
        return t.dim() == 0 && t.dtype().is_integral() && !t.requires_grad();
    }
    // NumPy's arrays have `__index__` too, but only its scalars are ints.
    // SAFETY: a live object.
    unsafe {
        ffi::PyIndex_Check(object.as_ptr()) != 0
            && !is_numpy_bool(object)
            && !(is_numpy(object) && object.hasattr("__len__").unwrap_or(false))
    }
}

fn is_numpy_bool(object: &Bound<'_, PyAny>) -> bool {
    matches!(type_name(object).as_str(), "bool_" | "bool") && is_numpy(object)
}

/// Whether the object is a NumPy scalar or array, without importing NumPy.
pub fn is_numpy(object: &Bound<'_, PyAny>) -> bool {
    object.get_type().module().is_ok_and(|m| m.to_str().is_ok_and(|m| m == "numpy"))
}

/// The value of something that `is_int` accepts.
pub fn int_value(object: &Bound<'_, PyAny>) -> PyResult<i64> {
    if let Some(t) = object::extract(object) {
        return t.item().map(|s| s.to_i64()).map_err(crate::errors::to_py);
    }
    match object.extract::<i64>() {
        Ok(v) => Ok(v),
        Err(e) if e.is_instance_of::<PyOverflowError>(object.py()) => {
            Err(PyRuntimeError::new_err("Overflow when unpacking long long"))
        }
        Err(e) => Err(e),
    }
}

/// The number that an object stands for: Python and NumPy numbers, zero-dim tensors.
pub fn scalar_of(object: &Bound<'_, PyAny>) -> PyResult<Option<Scalar>> {
    if object.is_exact_instance_of::<PyFloat>() {
        return Ok(Some(Scalar::Float(object.extract()?)));
    }
    if object.is_instance_of::<PyBool>() {
        return Ok(Some(Scalar::Bool(object.extract()?)));
    }
    if object.is_instance_of::<PyInt>() {
        return Ok(Some(match object.extract::<i64>() {
            Ok(v) => Scalar::Int(v),
            Err(_) => match object.extract::<u64>() {
                Ok(v) => Scalar::UInt(v),
                Err(_) => return Err(PyRuntimeError::new_err("Overflow when unpacking long long")),
            },
        }));
    }
    if object.is_instance_of::<PyFloat>() {
        return Ok(Some(Scalar::Float(object.extract()?)));
    }
    if object.is_instance_of::<PyComplex>() {
        let c = object.cast::<PyComplex>().map_err(PyErr::from)?;
        return Ok(Some(Scalar::Complex(flambeau::C64::new(
            pyo3::types::PyComplexMethods::real(c),
            pyo3::types::PyComplexMethods::imag(c),
        ))));
    }
    if let Some(t) = object::extract(object) {
        if t.dim() == 0 && !t.requires_grad() && !t.is_meta() {
            return t.item().map(Some).map_err(crate::errors::to_py);
        }
        return Ok(None);
    }
    if is_numpy(object) && object.hasattr("dtype")? && !object.hasattr("__len__").unwrap_or(true) {
        return scalar_of(&object.call_method0("item")?);
    }
    Ok(None)
}

/// A list of ints from a tuple, list or `Size`.
fn ints_of(object: &Bound<'_, PyAny>) -> PyResult<Option<IntList>> {
    let mut out = IntList::new();
    if let Ok(tuple) = object.cast::<PyTuple>() {
        for item in tuple.iter_borrowed() {
            if !is_int(&item) {
                return Ok(None);
            }
            out.push(int_value(&item)?);
        }
        return Ok(Some(out));
    }
    if let Ok(list) = object.cast::<PyList>() {
        for item in list.iter() {
            if !is_int(&item) {
                return Ok(None);
            }
            out.push(int_value(&item)?);
        }
        return Ok(Some(out));
    }
    Ok(None)
}

/// A list of tensors from a tuple or list.
pub fn tensors_of(object: &Bound<'_, PyAny>) -> PyResult<Option<Vec<Tensor>>> {
    if !object.is_instance_of::<PyTuple>() && !object.is_instance_of::<PyList>() {
        return Ok(None);
    }
    let mut out = Vec::new();
    for item in object.try_iter()? {
        match object::extract(&item?) {
            Some(t) => out.push(t),
            None => return Ok(None),
        }
    }
    Ok(Some(out))
}

/// A tensor that stands for a Python number.
pub fn wrapped_number(value: Scalar) -> PyResult<Tensor> {
    let dtype = match value {
        Scalar::Float(_) => flambeau::DType::Float64,
        Scalar::Complex(_) => flambeau::DType::Complex128,
        other => other.dtype(flambeau::DType::Float64),
    };
    flambeau::ops::creation::scalar_tensor(value, dtype)
        .map(Tensor::wrap_number)
        .map_err(crate::errors::to_py)
}

/// The argument of an object for a parameter; none if its type does not fit.
fn convert<'py>(
    object: &Bound<'py, PyAny>,
    raw: *mut PyObject,
    param: &Param,
    numbers: bool,
) -> Attempt<Option<Arg<'py>>> {
    Ok(match param.kind {
        // SAFETY: the argument lives as long as the call.
        Kind::Tensor => match unsafe { object::borrow(raw) } {
            Some(t) => Some(Arg::Tensor(t)),
            None if numbers => match scalar_of(object)? {
                Some(s) => Some(Arg::Owned(wrapped_number(s)?)),
                None => None,
            },
            None => None,
        },
        // SAFETY: as above.
        Kind::OptTensor => match unsafe { object::borrow(raw) } {
            Some(t) => Some(Arg::Tensor(t)),
            None if object.is_none() => Some(Arg::None),
            None => None,
        },
        Kind::Tensors => tensors_of(object)?.map(Arg::Tensors),
        Kind::OptTensors => {
            if !object.is_instance_of::<PyTuple>() && !object.is_instance_of::<PyList>() {
                return Ok(None);
            }
            let mut out = Vec::new();
            for item in object.try_iter().map_err(Refusal::from)? {
                let item = item.map_err(Refusal::from)?;
                match object::extract(&item) {
                    Some(t) => out.push(Some(t)),
                    None if item.is_none() => out.push(None),
                    None => return Ok(None),
                }
            }
            Some(Arg::OptTensors(out))
        }
        Kind::Scalar => scalar_of(object)?.map(Arg::Scalar),
        Kind::OptScalar => {
            if object.is_none() {
                Some(Arg::None)
            } else {
                scalar_of(object)?.map(Arg::Scalar)
            }
        }
        Kind::Scalars => {
            if !object.is_instance_of::<PyTuple>() && !object.is_instance_of::<PyList>() {
                return Ok(None);
            }
            let mut out = Vec::new();
            for item in object.try_iter().map_err(Refusal::from)? {
                match scalar_of(&item.map_err(Refusal::from)?)? {
                    Some(s) => out.push(s),
                    None => return Ok(None),
                }
            }
            Some(Arg::Scalars(out))
        }
        Kind::Int | Kind::OptInt => {
            if object.is_none() && param.kind == Kind::OptInt {
                Some(Arg::None)
            } else if is_int(object) {
                Some(Arg::Int(int_value(object)?))
            } else {
                None
            }
        }
        Kind::Ints(n) | Kind::OptInts(n) => {
            if object.is_none() && matches!(param.kind, Kind::OptInts(_)) {
                Some(Arg::None)
            } else if n > 0 && is_int(object) {
                Some(Arg::Ints(smallvec::smallvec![int_value(object)?; n as usize]))
            } else {
                ints_of(object)?.map(Arg::Ints)
            }
        }
        Kind::Float | Kind::OptFloat => {
            if object.is_none() && param.kind == Kind::OptFloat {
                Some(Arg::None)
            } else {
                match scalar_of(object)? {
                    Some(s) if !s.is_complex() && !matches!(s, Scalar::Bool(_)) => {
                        Some(Arg::Float(s.to_f64()))
                    }
                    _ => None,
                }
            }
        }
        Kind::Floats | Kind::OptFloats => {
            if object.is_none() && param.kind == Kind::OptFloats {
                return Ok(Some(Arg::None));
            }
            if !object.is_instance_of::<PyTuple>() && !object.is_instance_of::<PyList>() {
                return Ok(None);
            }
            let mut out = Vec::new();
            for item in object.try_iter().map_err(Refusal::from)? {
                match scalar_of(&item.map_err(Refusal::from)?)? {
                    Some(s) if !s.is_complex() => out.push(s.to_f64()),
                    _ => return Ok(None),
                }
            }
            Some(Arg::Floats(out))
        }
        Kind::Bool | Kind::OptBool => {
            if object.is_none() && param.kind == Kind::OptBool {
                Some(Arg::None)
            } else if object.is_instance_of::<PyBool>() || is_numpy_bool(object) {
                Some(Arg::Bool(object.is_truthy().map_err(Refusal::from)?))
            } else {
                None
            }
        }
        Kind::Bools => {
            if !object.is_instance_of::<PyTuple>() && !object.is_instance_of::<PyList>() {
                return Ok(None);
            }
            let mut out = Vec::new();
            for item in object.try_iter().map_err(Refusal::from)? {
                out.push(item.and_then(|i| i.extract::<bool>()).map_err(Refusal::from)?);
            }
            Some(Arg::Bools(out))
        }
        Kind::Str | Kind::OptStr => {
            if object.is_none() && param.kind == Kind::OptStr {
                Some(Arg::None)
            } else {
                object.extract::<String>().ok().map(|s| Arg::Str(std::borrow::Cow::Owned(s)))
            }
        }
        Kind::DType | Kind::OptDType => {
            if object.is_none() && param.kind == Kind::OptDType {
                Some(Arg::None)
            } else {
                types::dtype_of(object).map(Arg::DType)
            }
        }
        Kind::OptDevice => {
            if object.is_none() {
                Some(Arg::None)
            } else {
                types::device_of(object)?.map(Arg::Device)
            }
        }
        Kind::OptLayout => {
            if object.is_none() {
                Some(Arg::None)
            } else {
                types::layout_of(object).map(Arg::Layout)
            }
        }
        Kind::OptMemoryFormat => {
            if object.is_none() {
                Some(Arg::None)
            } else {
                types::format_of(object).map(Arg::MemoryFormat)
            }
        }
        Kind::OptGenerator => {
            if object.is_none() {
                Some(Arg::None)
            } else {
                crate::random::generator_of(object).map(Arg::Generator)
            }
        }
    })
}

fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Tensor | Kind::OptTensor => "Tensor",
        Kind::Tensors | Kind::OptTensors => "tuple of Tensors",
        Kind::Scalar | Kind::OptScalar => "Number",
        Kind::Scalars => "tuple of Scalars",
        Kind::Int | Kind::OptInt => "int",
        Kind::Ints(_) | Kind::OptInts(_) => "tuple of ints",
        Kind::Float | Kind::OptFloat => "float",
        Kind::Floats | Kind::OptFloats => "tuple of floats",
        Kind::Bool | Kind::OptBool => "bool",
        Kind::Bools => "tuple of bools",
        Kind::Str | Kind::OptStr => "str",
        Kind::DType | Kind::OptDType => "torch.dtype",
        Kind::OptDevice => "torch.device",
        Kind::OptLayout => "torch.layout",
        Kind::OptMemoryFormat => "torch.memory_format",
        Kind::OptGenerator => "torch.Generator",
    }
}

/// The type of a wrong argument; of a wrong element for lists.
fn describe(object: &Bound<'_, PyAny>, kind: Kind) -> String {
    let _ = kind;
    type_name(object)
}

/// A signature as messages show it: `(Tensor input, Tensor other, *, Number alpha = 1, Tensor out = None)`.
fn signature(overload: &Overload, method: bool) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut star = false;
    for p in overload.params.iter().skip(method as usize) {
        if p.keyword_only && !star {
            parts.push("*".into());
            star = true;
        }
        let default = match p.default {
            Default::Required => String::new(),
            Default::None => " = None".into(),
            Default::Bool(b) => format!(" = {}", if b { "True" } else { "False" }),
            Default::Int(v) => format!(" = {v}"),
            Default::Float(v) => format!(" = {v}"),
            Default::Str(s) => format!(" = \"{s}\""),
            Default::Ints(l) => format!(" = {l:?}"),
            Default::Format(_) => " = torch.preserve_format".into(),
        };
        parts.push(format!("{} {}{default}", kind_name(p.kind), python_name(p, method)));
    }
    if overload.out > 0 && !method {
        if !star {
            parts.push("*".into());
        }
        parts.push(if overload.out == 1 {
            "Tensor out = None".into()
        } else {
            "tuple of Tensors out = None".into()
        });
    }
    format!("({})", parts.join(", "))
}

/// The `__text_signature__` of an operator, of its first overload.
pub fn text_signature(op: &OpDef, method: bool) -> String {
    let Some(overload) = op.overloads.first() else { return "()".into() };
    let mut parts: Vec<String> = Vec::new();
    let mut star = false;
    for (i, p) in overload.params.iter().enumerate() {
        if method && i == 0 {
            parts.push("$self".into());
            continue;
        }
        if p.keyword_only && !star {
            parts.push("*".into());
            star = true;
        }
        let default = match p.default {
            Default::Required => String::new(),
            Default::Bool(b) => format!("={}", if b { "True" } else { "False" }),
            Default::Int(v) => format!("={v}"),
            Default::Float(v) if v.is_finite() => format!("={v:?}"),
            Default::Str(s) => format!("='{s}'"),
            Default::Ints(l) => format!("={l:?}"),
            _ => "=None".into(),
        };
        parts.push(format!("{}{default}", python_name(p, method)));
    }
    if overload.out > 0 && !method {
        if !star {
            parts.push("*".into());
        }
        parts.push("out=None".into());
    }
    format!("({})", parts.join(", "))
}

fn explain(op: &OpDef, name: &str, method: bool, given: &Given<'_>, messages: &[(usize, String)]) -> PyErr {
    if let [(_, message)] = messages {
        return PyTypeError::new_err(message.clone());
    }
    let mut types: Vec<String> =
        given.positional.iter().skip(method as usize).map(|&o| type_name_or_tuple(&given.bound(o))).collect();
    for (key, value) in &given.keywords {
        types.push(format!("{key}={}", type_name_or_tuple(&given.bound(*value))));
    }
    let mut text = format!(
        "{name}() received an invalid combination of arguments - got ({}), but expected one of:\n",
        types.join(", ")
    );
    for overload in op.overloads {
        text.push_str(&format!(" * {}\n", signature(overload, method)));
    }
    PyTypeError::new_err(text)
}

fn type_name_or_tuple(object: &Bound<'_, PyAny>) -> String {
    let inner = |items: Vec<String>, open: &str, close: &str| format!("{open}{}{close}", items.join(", "));
    if let Ok(t) = object.cast_exact::<PyTuple>() {
        return format!("tuple of {}", inner(t.iter().take(8).map(|i| type_name(&i)).collect(), "(", ")"));
    }
    if let Ok(l) = object.cast_exact::<PyList>() {
        return format!("list of {}", inner(l.iter().take(8).map(|i| type_name(&i)).collect(), "[", "]"));
    }
    type_name(object)
}

/// Keyword arguments of a vectorcall.
pub fn keywords<'py>(
    py: Python<'py>,
    names: *mut PyObject,
    values: &'py [*mut PyObject],
) -> SmallVec<[(Bound<'py, PyAny>, *mut PyObject); 4]> {
    if names.is_null() {
        return SmallVec::new();
    }
    // SAFETY: the interpreter passes a tuple of strings.
    let names = unsafe { Bound::from_borrowed_ptr(py, names) };
    match names.cast_into::<PyTuple>() {
        Ok(names) => names.iter().zip(values.iter().copied()).collect(),
        Err(_) => SmallVec::new(),
    }
}

/// Keyword arguments of an old-style call.
pub fn keywords_of_dict<'py>(
    dict: Option<&Bound<'py, PyDict>>,
) -> SmallVec<[(Bound<'py, PyAny>, *mut PyObject); 4]> {
    dict.map(|d| d.iter().map(|(k, v)| (k, v.as_ptr())).collect()).unwrap_or_default()
}
