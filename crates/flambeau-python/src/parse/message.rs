//! The texts of the parser: signatures, and why arguments do not fit.

use super::Given;
use crate::types::type_name;
use flambeau::schema::{Default, Kind, OpDef, Overload, Param};
use pyo3::exceptions::PyTypeError;
use pyo3::ffi::PyObject;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};
use smallvec::SmallVec;

pub(super) fn python_name(param: &Param, method: bool) -> &'static str {
    if param.name == "self" && !method { "input" } else { param.name }
}

pub(super) fn kind_name(kind: Kind) -> &'static str {
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

/// The `__text_signature__` of an operator: that of its first overload made for the place, or for all places.
pub fn text_signature(op: &OpDef, place: &str) -> String {
    let method = place == "Tensor";
    let own = op.overloads.iter().find(|o| o.only.contains(&place));
    let Some(overload) =
        own.or_else(|| op.overloads.iter().find(|o| o.only.is_empty())).or(op.overloads.first())
    else {
        return "()".into();
    };
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
    if overload.out > 0 && !method && place != "nn.functional" {
        if !star {
            parts.push("*".into());
        }
        parts.push("out=None".into());
    }
    format!("({})", parts.join(", "))
}

/// The exception for arguments that no overload takes: the reason if there is one candidate, else all signatures.
pub(super) fn explain(
    op: &OpDef,
    name: &str,
    method: bool,
    given: &Given<'_>,
    mut messages: SmallVec<[String; 4]>,
) -> PyErr {
    if messages.len() == 1
        && let Some(message) = messages.pop()
    {
        return PyTypeError::new_err(message);
    }
    let shown = |&object: &*mut PyObject| type_name_or_tuple(&given.bound(object));
    let mut types: Vec<String> = given.positional.iter().skip(method as usize).map(shown).collect();
    for (&key, value) in given.names.iter().zip(given.values) {
        types.push(format!("{}={}", given.bound(key), shown(value)));
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
