//! The one argument parser: Python arguments against the parameters of an operator's overloads. One of the modules
//! with unsafe code.

mod args;
pub mod deprecated;
mod message;
mod value;

pub use message::text_signature;
pub use value::{int_value, is_int, is_numpy, scalar_of, wrapped_number};

use crate::object;
use crate::types::type_name;
pub use args::Args;
use flambeau::schema::{Arg, Default, IntList, Kind, OpDef, Overload, Param};
use flambeau::{Scalar, Tensor};
use message::{explain, kind_name, python_name};
use pyo3::ffi::{self, PyObject};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use smallvec::SmallVec;

/// Arguments as the interpreter passes them.
pub struct Given<'py> {
    py: Python<'py>,
    positional: &'py [*mut PyObject],
    /// The names of keyword arguments, and their values.
    names: &'py [*mut PyObject],
    values: &'py [*mut PyObject],
}

/// A successful parse.
#[derive(std::default::Default)]
pub struct Parsed<'py> {
    pub args: Args<'py>,
    pub out: SmallVec<[Tensor; 2]>,
    /// The object given as `out`, which is what the call returns.
    pub out_object: Option<*mut PyObject>,
}

/// Why an overload does not take the arguments.
enum Refusal {
    /// The text is only made when it is asked for.
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

/// An overload with what attempts ask of its parameters, under one kind of call.
pub struct Candidate {
    pub overload: &'static Overload,
    /// Parameters that are not given by keyword only.
    slots: usize,
    /// Where a method's `self` stands among the parameters: `polygamma(n, self)`.
    own: usize,
    /// Whether the only positional parameter beside `self` is a list of ints.
    spread: bool,
}

impl Candidate {
    pub fn new(overload: &'static Overload, method: bool) -> Candidate {
        let params = overload.params;
        let slots = params.iter().filter(|p| !p.keyword_only).count();
        let own = match method {
            true => params.iter().position(|p| p.name == "self").unwrap_or(0),
            false => 0,
        };
        let first = method as usize;
        let ints = matches!(params.get(first).map(|p| p.kind), Some(Kind::Ints(_) | Kind::OptInts(_)));
        Candidate { overload, slots, own, spread: slots == first + 1 && ints }
    }
}

/// What an attempt is made with.
#[derive(Clone, Copy)]
struct Manner<'a> {
    /// The name of the function, for messages.
    name: &'a str,
    /// Whether the first argument is `self`.
    method: bool,
    /// Whether Python numbers may stand for tensors.
    numbers: bool,
    /// Whether a refusal needs its text.
    explain: bool,
}

impl Manner<'_> {
    #[cold]
    fn refuse<T>(&self, text: impl FnOnce() -> String) -> Attempt<T> {
        Err(Refusal::Message(if self.explain { text() } else { String::new() }))
    }
}

impl<'py> Given<'py> {
    /// The arguments of a vectorcall.
    ///
    /// # Safety
    /// All objects must live as long as `'py`; `names` must be null or a tuple of as many strings as there are values.
    pub unsafe fn new(
        py: Python<'py>,
        positional: &'py [*mut PyObject],
        names: *mut PyObject,
        values: &'py [*mut PyObject],
    ) -> Given<'py> {
        let names = if values.is_empty() {
            &[]
        } else {
            // SAFETY: a tuple holds its items one after the other.
            unsafe {
                std::slice::from_raw_parts(
                    (&raw const (*names.cast::<ffi::PyTupleObject>()).ob_item).cast(),
                    values.len(),
                )
            }
        };
        Given { py, positional, names, values }
    }
    fn bound(&self, object: *mut PyObject) -> Bound<'py, PyAny> {
        // SAFETY: arguments live as long as the call.
        unsafe { Bound::from_borrowed_ptr(self.py, object) }
    }
    fn keyword(&self, name: &str) -> Option<*mut PyObject> {
        // SAFETY: keyword names live as long as the call.
        let at = self.names.iter().position(|&k| unsafe { value::text(k) } == Some(name))?;
        Some(self.values[at])
    }
    /// The value given by keyword for a parameter, under any of its names.
    fn named(&self, param: &Param, method: bool) -> Option<*mut PyObject> {
        if self.names.is_empty() {
            return None;
        }
        self.keyword(param.name)
            .or_else(|| if param.name == "self" && !method { self.keyword("input") } else { None })
            .or_else(|| numpy_name(param.name).and_then(|n| self.keyword(n)))
    }
}

/// Finds the overload that takes the arguments, which go `into`. `method` means that the first argument is `self`.
pub fn parse<'py>(
    op: &'static OpDef,
    candidates: &[Candidate],
    name: &str,
    method: bool,
    given: &Given<'py>,
    into: &mut Parsed<'py>,
) -> PyResult<&'static Overload> {
    for numbers in [false, true] {
        let manner = Manner { name, method, numbers, explain: false };
        for candidate in candidates {
            if numbers && !candidate.overload.numbers {
                continue;
            }
            match attempt(candidate, manner, given, into) {
                Ok(()) => return Ok(candidate.overload),
                Err(Refusal::Raise(error)) => return Err(error),
                Err(Refusal::Message(_)) => {}
            }
        }
    }
    // Once more, for the texts.
    let manner = Manner { name, method, numbers: false, explain: true };
    let mut messages: SmallVec<[String; 4]> = SmallVec::new();
    for candidate in candidates {
        match attempt(candidate, manner, given, into) {
            Ok(()) => return Ok(candidate.overload),
            Err(Refusal::Raise(error)) => return Err(error),
            Err(Refusal::Message(text)) => messages.push(text),
        }
    }
    Err(explain(op, name, method, given, messages))
}

fn attempt<'py>(
    &Candidate { overload, slots, own, spread }: &Candidate,
    manner: Manner,
    given: &Given<'py>,
    into: &mut Parsed<'py>,
) -> Attempt<()> {
    let Manner { name, method, numbers, .. } = manner;
    let params = overload.params;
    let positional = given.positional;
    let first = method as usize;
    let place = |i: usize| match i {
        _ if own == 0 || i > own => i,
        _ if i == own => 0,
        _ => i + 1,
    };
    into.args.clear();
    let mut used_keywords = 0;
    // `x.view(2, 3)`: the only positional parameter takes all the ints.
    let spread = spread && positional.len() > first && {
        let object = positional[first];
        // SAFETY: arguments live as long as the call.
        let exact = unsafe { ffi::PyLong_CheckExact(object) != 0 };
        exact || is_int(&given.bound(object))
    };
    if positional.len() > slots && !spread {
        return manner.refuse(|| {
            format!(
                "{name}() takes {} positional argument{} but {} {} given",
                slots - first,
                if slots - first == 1 { "" } else { "s" },
                positional.len() - first,
                if positional.len() - first == 1 { "was" } else { "were" }
            )
        });
    }
    for (i, param) in params.iter().enumerate() {
        let given_here = !param.keyword_only && place(i) < positional.len();
        if spread && i == first {
            into.args.put(Arg::Ints(IntList::new()));
            if let Some(Arg::Ints(list)) = into.args.last_mut() {
                spread_ints(given, &positional[first..], param, manner, list)?;
            }
            continue;
        }
        let object = if given_here {
            positional[place(i)]
        } else {
            match given.named(param, method) {
                Some(object) => {
                    used_keywords += 1;
                    object
                }
                None => {
                    // Most parameters are options that nobody gives.
                    if param.default == Default::None {
                        into.args.put(Arg::None);
                    } else {
                        default(param, manner, &mut into.args)?;
                    }
                    continue;
                }
            }
        };
        // The commonest arguments first.
        // SAFETY: arguments live as long as the call.
        unsafe {
            match param.kind {
                Kind::Tensor => {
                    if let Some(t) = object::borrow(object) {
                        into.args.put(Arg::Tensor(t));
                        continue;
                    }
                }
                Kind::Scalar if ffi::PyFloat_CheckExact(object) != 0 => {
                    into.args.put(Arg::Scalar(Scalar::Float(ffi::PyFloat_AS_DOUBLE(object))));
                    continue;
                }
                Kind::Int | Kind::OptInt => {
                    if let Some(v) = value::exact_int(object) {
                        into.args.put(Arg::Int(v));
                        continue;
                    }
                }
                Kind::Bool | Kind::OptBool if object == ffi::Py_True() || object == ffi::Py_False() => {
                    into.args.put(Arg::Bool(object == ffi::Py_True()));
                    continue;
                }
                Kind::Tensors => {
                    into.args.put(Arg::Tensors(Vec::new()));
                    if let Some(Arg::Tensors(list)) = into.args.last_mut()
                        && value::exact_tensors(object, list)
                    {
                        continue;
                    }
                    into.args.pop();
                }
                Kind::Ints(_) | Kind::OptInts(_) => {
                    into.args.put(Arg::Ints(IntList::new()));
                    if let Some(Arg::Ints(list)) = into.args.last_mut()
                        && value::exact_ints(object, list)
                    {
                        continue;
                    }
                    into.args.pop();
                }
                Kind::Scalar => {
                    if let Some(v) = value::exact_int(object) {
                        into.args.put(Arg::Scalar(Scalar::Int(v)));
                        continue;
                    }
                }
                Kind::Float | Kind::OptFloat if ffi::PyFloat_CheckExact(object) != 0 => {
                    into.args.put(Arg::Float(ffi::PyFloat_AS_DOUBLE(object)));
                    continue;
                }
                Kind::Float | Kind::OptFloat => {
                    if let Some(v) = value::exact_int(object) {
                        into.args.put(Arg::Float(v as f64));
                        continue;
                    }
                }
                _ => {}
            }
            // An option that is given as None.
            if object == ffi::Py_None() && param.default == Default::None && param.kind != Kind::OptTensors {
                into.args.put(Arg::None);
                continue;
            }
        }
        // SAFETY: arguments live as long as the call.
        match unsafe { value::convert(given.py, object, param.kind, numbers)? } {
            Some(arg) => into.args.put(arg),
            None => {
                let bound = given.bound(object);
                if bound.is_none() && param.default == Default::None && param.kind != Kind::OptTensors {
                    into.args.put(Arg::None);
                    continue;
                }
                return manner.refuse(|| {
                    let position = if given_here {
                        format!(" (position {})", place(i) + 1 - first)
                    } else {
                        String::new()
                    };
                    format!(
                        "{name}(): argument '{}'{position} must be {}, not {}",
                        python_name(param, method),
                        kind_name(param.kind),
                        type_name(&bound)
                    )
                });
            }
        }
    }
    into.out.clear();
    into.out_object = None;
    if given.names.is_empty() {
        return Ok(());
    }
    if overload.out > 0
        && let Some(object) = given.keyword("out")
    {
        used_keywords += 1;
        let bound = given.bound(object);
        if !bound.is_none() {
            collect_out(&bound, overload, manner, &mut into.out)?;
            into.out_object = Some(object);
        }
    }
    if used_keywords < given.names.len() {
        for &key in given.names {
            let text = given.bound(key).to_string();
            let known = params.iter().any(|p| p.name == text || numpy_name(p.name) == Some(text.as_str()))
                || (text == "input" && !method && params.first().is_some_and(|p| p.name == "self"))
                || (text == "out" && overload.out > 0);
            let positional_too = params
                .iter()
                .position(|p| p.name == text || (p.name == "self" && text == "input"))
                .is_some_and(|i| place(i) < positional.len());
            if !known || positional_too {
                return manner.refuse(|| {
                    if positional_too {
                        format!("{name}() got multiple values for argument '{text}'")
                    } else {
                        format!("{name}() got an unexpected keyword argument '{text}'")
                    }
                });
            }
        }
    }
    Ok(())
}

/// The ints of `x.view(2, 3)`, which go `into` a list.
fn spread_ints(
    given: &Given<'_>,
    items: &[*mut PyObject],
    param: &Param,
    manner: Manner,
    into: &mut IntList,
) -> Attempt<()> {
    for &item in items {
        // SAFETY: arguments live as long as the call.
        if let Some(v) = unsafe { value::exact_int(item) } {
            into.push(v);
            continue;
        }
        let item = given.bound(item);
        if !is_int(&item) {
            return manner.refuse(|| {
                format!(
                    "{}(): argument '{}' must be tuple of ints, but found element of type {} at pos {}",
                    manner.name,
                    param.name,
                    type_name(&item),
                    into.len()
                )
            });
        }
        into.push(int_value(&item)?);
    }
    Ok(())
}

fn collect_out(
    bound: &Bound<'_, PyAny>,
    overload: &Overload,
    manner: Manner,
    out: &mut SmallVec<[Tensor; 2]>,
) -> Attempt<()> {
    let name = manner.name;
    if let Some(t) = object::extract(bound) {
        if overload.out != 1 {
            return manner
                .refuse(|| format!("{name}(): argument 'out' must be tuple of Tensors, not Tensor"));
        }
        out.push(t);
        return Ok(());
    }
    if (bound.is_instance_of::<PyTuple>() || bound.is_instance_of::<PyList>()) && overload.out > 1 {
        for item in bound.try_iter()? {
            match object::extract(&item?) {
                Some(t) => out.push(t),
                None => {
                    return manner.refuse(|| format!("{name}(): argument 'out' must be tuple of Tensors"));
                }
            }
        }
        if overload.out == u8::MAX || out.len() == overload.out as usize {
            return Ok(());
        }
        return manner.refuse(|| {
            format!("{name}(): expected tuple of {} elements but got {}", overload.out, out.len())
        });
    }
    manner.refuse(|| format!("{name}(): argument 'out' must be Tensor, not {}", type_name(bound)))
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

/// Appends the value of a parameter that is not given.
#[inline]
fn default(param: &Param, manner: Manner, into: &mut Args) -> Attempt<()> {
    let number = matches!(param.kind, Kind::Scalar | Kind::OptScalar);
    match param.default {
        Default::Required => {
            return manner.refuse(|| {
                format!(
                    "{}() missing 1 required positional arguments: \"{}\"",
                    manner.name,
                    python_name(param, manner.method)
                )
            });
        }
        Default::None => into.put(Arg::None),
        Default::Bool(b) if number => into.put(Arg::Scalar(Scalar::Bool(b))),
        Default::Bool(b) => into.put(Arg::Bool(b)),
        Default::Int(v) if number => into.put(Arg::Scalar(Scalar::Int(v))),
        Default::Int(v) => match param.kind {
            Kind::Float | Kind::OptFloat => into.put(Arg::Float(v as f64)),
            Kind::Ints(n) | Kind::OptInts(n) => {
                into.put(Arg::Ints(smallvec::smallvec![v; (n as usize).max(1)]))
            }
            _ => into.put(Arg::Int(v)),
        },
        Default::Float(v) if number => into.put(Arg::Scalar(Scalar::Float(v))),
        Default::Float(v) => into.put(Arg::Float(v)),
        Default::Str(s) => into.put(Arg::Str(std::borrow::Cow::Borrowed(s))),
        Default::Ints(list) => into.put(Arg::Ints(IntList::from_slice(list))),
        Default::Format(f) => into.put(Arg::MemoryFormat(f)),
    }
    Ok(())
}
