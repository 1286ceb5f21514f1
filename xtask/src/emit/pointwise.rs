//! Definitions of pointwise operators and their typed functions.

use super::{HEADER, constant, doc_aliases, doc_comment, ident, rust_type};
use crate::decl::{Entry, Gradient, Pointwise};
use crate::diag::{Diag, Result};
use crate::lower::{Case, Node, Prims, Scope, cases, split_params};
use crate::signature::Kind;
use std::collections::BTreeSet;
use std::fmt::Write;

/// `defs/FAMILY.rs`
pub fn definitions(entries: &[&Entry], prims: &Prims, errors: &mut Vec<Diag>) -> String {
    let mut body = String::new();
    let mut used = BTreeSet::new();
    for entry in entries {
        let Some(pointwise) = &entry.pointwise else { continue };
        match definition(entry, pointwise, prims, &mut used) {
            Ok(text) => body.push_str(&text),
            Err(error) => errors.push(error),
        }
    }
    let mut text = HEADER.to_string();
    text.push_str("use crate::pointwise::expr::{Case, Override, PointwiseDef, Promote};\n");
    let nodes: Vec<&str> = used.iter().map(String::as_str).collect();
    let _ = writeln!(text, "use crate::pointwise::expr::Node::{{{}}};", nodes.join(", "));
    if body.contains("P::") {
        text.push_str("use crate::pointwise::expr::Prim as P;\n");
    }
    if !body.contains("Override {") {
        text = text.replace("Override, ", "");
    }
    if body.contains("ErrorKind::") {
        text.push_str("use crate::ErrorKind;\n");
    }
    if body.contains("checks::") {
        text.push_str("use crate::pointwise::checks;\n");
    }
    text + "\n" + &body
}

fn definition(
    entry: &Entry,
    pointwise: &Pointwise,
    prims: &Prims,
    used: &mut BTreeSet<String>,
) -> Result<String> {
    let params = &entry.signature.params;
    if let Some(odd) = params.iter().find(|p| {
        !matches!(
            p.kind,
            Kind::Tensor
                | Kind::Scalar
                | Kind::OptScalar
                | Kind::Int
                | Kind::OptInt
                | Kind::Float
                | Kind::OptFloat
                | Kind::Bool
                | Kind::Str
                | Kind::OptStr
        )
    }) {
        return entry
            .span
            .error(format!("parameter `{}` has a type that pointwise operators can't have", odd.name));
    }
    let (tensors, others) = split_params(params);
    let scope = Scope { prims, params, gradient: false };
    let forward = cases(&scope, &pointwise.exprs, pointwise, &entry.span)?;
    let mut overrides = String::new();
    let scope = Scope { gradient: true, ..scope };
    for (name, gradient) in &pointwise.grads {
        let parameter = params.iter().position(|p| p.name == *name).unwrap_or(0);
        let input = tensors.iter().position(|t| *t as usize == parameter).unwrap_or(0);
        let (list, zero) = match gradient {
            Gradient::Zero | Gradient::None(_) => (String::new(), matches!(gradient, Gradient::Zero)),
            Gradient::Pieces(pieces) => {
                (print_cases(&cases(&scope, pieces, pointwise, &entry.span)?, used), false)
            }
        };
        let refused = if let Gradient::None(what) = gradient { what.as_str() } else { "" };
        let _ = write!(
            overrides,
            "\n        Override {{ input: {input}, zero: {zero}, refused: {refused:?}, cases: &[{list}] }},"
        );
    }
    let promote = match pointwise.promote.as_str() {
        "floatreal" => "FloatReal".to_string(),
        other => crate::decl::camel(other),
    };
    let mut text = String::new();
    for piece in &pointwise.exprs {
        let _ = writeln!(text, "/// `{}`", piece.span.text.replace('\n', " "));
    }
    let mut field = |name: &str, value: String| {
        let _ = write!(text, "\n    {name}: {value},");
    };
    field("name", format!("{:?}", entry.signature.name));
    field("backward_name", format!("{:?}", pointwise.backward));
    field("kernel_name", format!("{:?}", pointwise.kernel));
    field("tensors", format!("&{tensors:?}"));
    field("params", format!("&{others:?}"));
    field("promote", format!("Promote::{promote}"));
    field("dtypes", format!("{:#x}", pointwise.dtypes));
    // The rest is printed where it differs from the plain case.
    if !pointwise.numbers.is_empty() {
        field("promoting", format!("&{:?}", positions(entry, &pointwise.numbers, &others)?));
    }
    if pointwise.saturate {
        field("saturate", "true".into());
    }
    if !pointwise.conditions.is_empty() {
        field("conditions", format!("&{:?}", positions(entry, &pointwise.conditions, &tensors)?));
    }
    if !pointwise.refusals.is_empty() {
        let list: String = (pointwise.refusals.iter())
            .map(|(bits, kind, text)| format!("\n        ({bits}, ErrorKind::{kind}, {text:?}),"))
            .collect();
        field("refusals", format!("&[{list}\n    ]"));
    }
    if let Some(name) = &pointwise.check {
        field("check", format!("Some(checks::{name})"));
    }
    field("cases", format!("&[{}]", print_cases(&forward, used)));
    if !overrides.is_empty() {
        field("overrides", format!("&[{overrides}\n    ]"));
    }
    if !pointwise.differentiable {
        field("differentiable", "false".into());
    }
    if pointwise.fused {
        field("fused", "true".into());
    }
    if pointwise.detached {
        field("detached", "true".into());
    }
    let (docs, fields) = text.split_once("\n\n").unwrap_or(("", &text));
    Ok(format!(
        "{docs}\n#[rustfmt::skip]\npub static {}: PointwiseDef = PointwiseDef {{\n{fields}\n    ..PointwiseDef::PLAIN\n}};\n\n",
        constant(entry),
    ))
}

/// Positions of the named parameters within a list of parameter indices.
fn positions(entry: &Entry, names: &[String], among: &[u8]) -> Result<Vec<usize>> {
    let mut found = Vec::new();
    for name in names {
        match among.iter().position(|i| entry.signature.params[*i as usize].name == *name) {
            Some(i) => found.push(i),
            None => return entry.span.error(format!("`{name}` is no parameter of the right kind")),
        }
    }
    Ok(found)
}

fn print_cases(cases: &[Case], used: &mut BTreeSet<String>) -> String {
    let mut text = String::new();
    for case in cases {
        let when: Vec<String> = case.when.iter().map(|(i, value)| format!("({i}, {value:?})")).collect();
        let _ = write!(
            text,
            "\n        Case {{ when: &[{}], categories: {}, nodes: &[",
            when.join(", "),
            case.categories
        );
        let mut column = usize::MAX;
        for node in &case.nodes {
            let node = print_node(node, used);
            if column.saturating_add(node.len()) > 100 {
                text.push_str("\n           ");
                column = 11;
            }
            let _ = write!(text, " {node},");
            column += node.len() + 2;
        }
        text.push_str("\n        ] },");
    }
    if !cases.is_empty() {
        text.push_str("\n    ");
    }
    text
}

fn print_node(node: &Node, used: &mut BTreeSet<String>) -> String {
    let (variant, rest) = match node {
        Node::Input(i) => ("Input", i.to_string()),
        Node::Param(i) => ("Param", i.to_string()),
        Node::Const(v) => ("Const", float(*v)),
        Node::ImagConst(v) => ("ImagConst", float(*v)),
        Node::Unary(p, a) => ("Unary", format!("P::{p}, {a}")),
        Node::Binary(p, a, b) => ("Binary", format!("P::{p}, {a}, {b}")),
        Node::Select(c, a, b) => ("Select", format!("{c}, {a}, {b}")),
    };
    used.insert(variant.to_string());
    format!("{variant}({rest})")
}

/// A Rust literal. Digits that name a known constant would alarm a linter, so those are printed by name.
pub fn float(v: f64) -> String {
    use std::f64::consts as c;
    let named = [
        (c::PI, "PI"),
        (c::E, "E"),
        (c::SQRT_2, "SQRT_2"),
        (c::FRAC_1_SQRT_2, "FRAC_1_SQRT_2"),
        (c::LN_2, "LN_2"),
        (c::LN_10, "LN_10"),
        (c::LOG2_E, "LOG2_E"),
        (c::LOG10_E, "LOG10_E"),
        (c::FRAC_1_PI, "FRAC_1_PI"),
        (c::FRAC_2_PI, "FRAC_2_PI"),
        (c::FRAC_PI_2, "FRAC_PI_2"),
        (c::FRAC_2_SQRT_PI, "FRAC_2_SQRT_PI"),
    ];
    if v.is_nan() {
        "f64::NAN".into()
    } else if v.is_infinite() {
        if v > 0.0 { "f64::INFINITY".into() } else { "f64::NEG_INFINITY".into() }
    } else if let Some((_, name)) = named.iter().find(|n| n.0 == v.abs()) {
        format!("{}std::f64::consts::{name}", if v < 0.0 { "-" } else { "" })
    } else {
        format!("{v:?}")
    }
}

/// `functions/FAMILY.rs`: `gelu(self_, approximate)` and so on.
pub fn functions(entries: &[&Entry]) -> String {
    let mut text = HEADER.to_string();
    text.push_str("use crate::generated::defs;\nuse crate::pointwise::{ParamValue, run};\nuse crate::{Result, Tensor};\n");
    let mut body = String::new();
    for entry in entries {
        if entry.pointwise.is_none() {
            continue;
        }
        let params: Vec<_> = entry.signature.params.iter().filter(|p| p.name != "inplace").collect();
        let (mut list, mut tensors, mut values) = (Vec::new(), Vec::new(), Vec::new());
        for p in &params {
            let name = ident(&p.name);
            list.push(format!("{name}: {}", rust_type(p.kind, false)));
            match p.kind {
                Kind::Tensor => tensors.push(name),
                Kind::Scalar => values.push(format!("ParamValue::Scalar({name})")),
                Kind::OptScalar => {
                    values.push(format!("{name}.map_or(ParamValue::None, ParamValue::Scalar)"))
                }
                Kind::Str => values.push(format!("ParamValue::Str({name})")),
                Kind::OptStr => values.push(format!("{name}.map_or(ParamValue::None, ParamValue::Str)")),
                Kind::OptInt | Kind::OptFloat => {
                    values.push(format!("{name}.map_or(ParamValue::None, |v| ParamValue::Scalar(v.into()))"))
                }
                _ => values.push(format!("ParamValue::Scalar({name}.into())")),
            }
        }
        let _ = write!(
            body,
            "\n{}{}pub fn {}({}) -> Result<Tensor> {{\n    run(&defs::{}, &[{}], &[{}])\n}}\n",
            doc_comment(&entry.doc, ""),
            doc_aliases(entry),
            ident(&entry.function),
            list.join(", "),
            constant(entry),
            tensors.join(", "),
            values.join(", "),
        );
    }
    if body.contains("Scalar,") || body.contains("Scalar)") || body.contains("Option<Scalar>") {
        text = text.replace("use crate::{Result, Tensor};\n", "use crate::{Result, Scalar, Tensor};\n");
    }
    if !body.contains("ParamValue") {
        text = text.replace("{ParamValue, run}", "run");
    }
    text + &body
}
