//! `impl Tensor`: a method for each overload whose first parameter is `Tensor self`.

use super::{HEADER, doc_aliases, doc_comment, ident, options_at, rust_returns, rust_type};
use crate::decl::Entry;
use crate::signature::{Default, Kind, Param};
use std::fmt::Write;

/// `methods/FAMILY.rs`
pub fn methods(entries: &[&Entry]) -> Option<String> {
    let mut body = String::new();
    for entry in entries {
        let params = &entry.signature.params;
        let is_method = entry.places.iter().any(|p| p == "Tensor") && !entry.no_method && !entry.internal;
        let takes_self = params.iter().any(|p| p.name == "self" && p.kind == Kind::Tensor);
        if is_method && takes_self {
            body.push_str(&method(entry));
            if entry.inplace {
                body.push_str(&inplace_method(entry));
            }
        }
    }
    if body.is_empty() {
        return None;
    }
    let mut text = HEADER.to_string();
    let types =
        ["DType", "Device", "Generator", "Layout", "MemoryFormat", "Scalar", "Tensor", "TensorOptions"];
    let used = |name: &str| body.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|w| w == name);
    let mut names: Vec<&str> = types[..7].iter().copied().filter(|n| *n == "Tensor" || used(n)).collect();
    names.insert(names.iter().position(|n| *n > "Result").unwrap_or(names.len()), "Result");
    let _ = writeln!(text, "use crate::{{{}}};", names.join(", "));
    let mut schema: Vec<&str> = ["Arg", "IntList", "TensorOptions"].into_iter().filter(|n| used(n)).collect();
    schema.sort_unstable();
    if !schema.is_empty() {
        let _ = writeln!(text, "use crate::schema::{{{}}};", schema.join(", "));
    }
    if used("call_inplace") {
        text.push_str("use crate::generated::{call_inplace, overloads};\n");
    }
    Some(format!("{text}\nimpl Tensor {{\n{}}}\n", body.trim_start_matches('\n')))
}

/// Whether a method takes the parameter (else it uses the default).
fn shown(p: &Param) -> bool {
    !(p.keyword_only && p.default.is_some())
}

fn method(entry: &Entry) -> String {
    let params = &entry.signature.params;
    let (mut list, mut args) = (vec!["&self".to_string()], Vec::new());
    let mut i = 0;
    while i < params.len() {
        let p = &params[i];
        if p.name == "self" {
            args.push("self".to_string());
            i += 1;
            continue;
        }
        let name = ident(&p.name);
        if options_at(params, i) && entry.pointwise.is_none() {
            list.push("options: &TensorOptions".into());
            args.push("options".into());
            i += crate::signature::OPTIONS.len();
            continue;
        }
        i += 1;
        if p.name == "inplace" && entry.pointwise.is_some() {
            continue;
        }
        if shown(p) {
            list.push(format!("{name}: {}", rust_type(p.kind, true)));
            args.push(if p.kind == Kind::Scalar { format!("{name}.into()") } else { name });
        } else {
            args.push(default_value(p));
        }
    }
    let module = match (&entry.pointwise, &entry.module) {
        (None, Some(module)) => format!("ops::{}", module.replace('.', "::")),
        _ => "generated::functions".to_string(),
    };
    let function = ident(&entry.function);
    format!(
        "\n{}{}    pub fn {function}({}) -> Result<{}> {{\n        crate::{module}::{function}({})\n    }}\n",
        doc_comment(&entry.doc, "    "),
        doc_aliases(entry).replace("#[", "    #["),
        list.join(", "),
        rust_returns(&entry.signature.returns),
        args.join(", "),
    )
}

fn inplace_method(entry: &Entry) -> String {
    let (mut list, mut args) = (vec!["&self".to_string()], Vec::new());
    for p in &entry.signature.params {
        let name = ident(&p.name);
        if p.name == "self" {
            args.push("Arg::Tensor(self)".to_string());
        } else if shown(p) && p.name != "inplace" {
            list.push(format!("{name}: {}", rust_type(p.kind, true)));
            args.push(argument(p.kind, &name));
        } else {
            args.push(argument(p.kind, &default_value(p)));
        }
    }
    format!(
        "\n    /// In-place [`Tensor::{0}`]; returns `self`.\n    pub fn {0}_({1}) -> Result<Tensor> {{\n        \
         call_inplace(overloads::{2}::{0}, &[{3}])\n    }}\n",
        ident(&entry.function).trim_end_matches('_'),
        list.join(", "),
        ident(&entry.family),
        args.join(", "),
    )
    .replace(
        &format!("overloads::{}::{},", ident(&entry.family), ident(&entry.function).trim_end_matches('_')),
        &format!("overloads::{}::{},", ident(&entry.family), ident(&entry.function)),
    )
}

/// The default of a parameter as a Rust expression of its type.
fn default_value(p: &Param) -> String {
    let optional = rust_type(p.kind, false).starts_with("Option<");
    let wrap = |text: String| if optional { format!("Some({text})") } else { text };
    match p.default.as_ref().unwrap_or(&Default::None) {
        Default::None => "None".into(),
        Default::Bool(v) if matches!(p.kind, Kind::Scalar | Kind::OptScalar) => {
            wrap(format!("Scalar::Bool({v})"))
        }
        Default::Int(v) if matches!(p.kind, Kind::Scalar | Kind::OptScalar) => {
            wrap(format!("Scalar::Int({v})"))
        }
        Default::Float(v) if matches!(p.kind, Kind::Scalar | Kind::OptScalar) => {
            wrap(format!("Scalar::Float({})", super::pointwise::float(*v)))
        }
        Default::Bool(v) => wrap(v.to_string()),
        Default::Int(v) if matches!(p.kind, Kind::Ints(_) | Kind::OptInts(_)) => wrap(format!("&[{v}]")),
        Default::Int(v) => wrap(v.to_string()),
        Default::Float(v) => wrap(super::pointwise::float(*v)),
        Default::Str(v) => wrap(format!("{v:?}")),
        Default::Ints(v) => wrap(format!("&{v:?}")),
        Default::Format(v) => wrap(format!("MemoryFormat::{}", crate::decl::camel(v))),
    }
}

/// An `Arg` made of a value of the parameter's Rust type.
fn argument(kind: Kind, value: &str) -> String {
    let (variant, make) = match kind {
        Kind::Tensor | Kind::OptTensor => ("Tensor", "{}"),
        Kind::Tensors => ("Tensors", "{}.to_vec()"),
        Kind::OptTensors => ("OptTensors", "{}.to_vec()"),
        Kind::Scalar if value.starts_with("Scalar::") => ("Scalar", "{}"),
        Kind::Scalar => ("Scalar", "{}.into()"),
        Kind::OptScalar => ("Scalar", "{}"),
        Kind::Scalars => ("Scalars", "{}.to_vec()"),
        Kind::Int | Kind::OptInt => ("Int", "{}"),
        Kind::Ints(_) | Kind::OptInts(_) => ("Ints", "IntList::from_slice({})"),
        Kind::Float | Kind::OptFloat => ("Float", "{}"),
        Kind::Floats | Kind::OptFloats => ("Floats", "{}.to_vec()"),
        Kind::Bool | Kind::OptBool => ("Bool", "{}"),
        Kind::Bools => ("Bools", "{}.to_vec()"),
        Kind::Str | Kind::OptStr => ("Str", "{}.into()"),
        Kind::DType | Kind::OptDType => ("DType", "{}"),
        Kind::OptDevice => ("Device", "{}"),
        Kind::OptLayout => ("Layout", "{}"),
        Kind::OptMemoryFormat => ("MemoryFormat", "{}"),
        Kind::OptGenerator => ("Generator", "{}"),
    };
    let optional = rust_type(kind, false).starts_with("Option<");
    if optional && value == "None" {
        return "Arg::None".into();
    }
    match value.strip_prefix("Some(").and_then(|v| v.strip_suffix(')')) {
        Some(inner) if optional => format!("Arg::{variant}({})", make.replace("{}", inner)),
        _ if optional && make == "{}" => format!("{value}.map_or(Arg::None, Arg::{variant})"),
        _ if optional => {
            format!("{value}.map_or(Arg::None, |v| Arg::{variant}({}))", make.replace("{}", "v"))
        }
        _ => format!("Arg::{variant}({})", make.replace("{}", value)),
    }
}
