//! The operator table: an adaptor from parsed arguments to the typed function for each overload, and their list.

use super::pointwise::float;
use super::{HEADER, constant, definition, ident, options_at};
use crate::decl::Entry;
use crate::signature::{Default, Kind, Param, Returns};
use std::collections::BTreeMap;
use std::fmt::Write;

/// `overloads/FAMILY.rs`
pub fn overloads(entries: &[&Entry]) -> String {
    let mut body = String::new();
    for entry in entries.iter().filter(|e| !e.internal) {
        let name = constant(entry);
        let adaptor = ident(&entry.function);
        let _ = write!(body, "pub fn {adaptor}(c: &Call) -> Result<Ret> {{\n{}\n}}\n", adaptor_body(entry));
        let fields = match &entry.signature.returns {
            Returns::Tensors { fields, .. } | Returns::WithList { fields } => format!("{fields:?}"),
            _ => "[]".into(),
        };
        let params: Vec<String> = entry.signature.params.iter().map(param).collect();
        let _ = write!(
            body,
            "pub const {name}: Overload = Overload {{\n    name: {:?},\n    params: &[{}],\n    inplace: {},\n    \
             out: {},\n    numbers: {},\n    fields: &{fields},\n    only: &[],\n    call: {adaptor},\n    \
             pointwise: {},\n    sparse: {},\n}};\n\n",
            entry.signature.overload,
            params.join(", "),
            entry.inplace,
            if entry.out { entry.signature.returns.outs() } else { 0 },
            entry.numbers,
            definition(entry).map_or("None".into(), |def| format!("Some(&defs::{def})")),
            entry.sparse,
        );
    }
    let mut text = HEADER.to_string();
    let uses = [("defs::", "use crate::generated::defs;\n"), ("", "use crate::generated::{")];
    if body.contains(uses[0].0) {
        text.push_str(uses[0].1);
    }
    let mut helpers: Vec<&str> = vec!["kw", "kw_opt", "opt", "req"];
    helpers.retain(|h| body.contains(&format!(" {h}(")) || body.contains(&format!("[{h}(")));
    if !helpers.is_empty() {
        let _ = writeln!(text, "use crate::generated::{{{}}};", helpers.join(", "));
    }
    let mut names: Vec<&str> = vec!["Call", "Default", "Kind", "Overload", "Ret", "Target"];
    names.retain(|n| body.contains(&format!("{n}::")) || ["Call", "Overload", "Ret"].contains(n));
    let _ = writeln!(text, "use crate::schema::{{{}}};", names.join(", "));
    if body.contains("MemoryFormat::") {
        text.push_str("use crate::MemoryFormat;\n");
    }
    text.push_str("use crate::Result;\n\n");
    text + &body
}

/// What an overload does with a call.
fn adaptor_body(entry: &Entry) -> String {
    let mut text = String::new();
    if let Some(def) = definition(entry) {
        if let Some(i) = entry.signature.params.iter().position(|p| p.name == "inplace") {
            let _ = writeln!(
                text,
                "    if c.bool({i})? {{\n        return crate::pointwise::call(&defs::{def}, &Call {{ args: c.args, \
                 target: Target::InPlace }});\n    }}"
            );
        }
        let _ = write!(text, "    crate::pointwise::call(&defs::{def}, c)");
        return text;
    }
    let module = entry.module.as_deref().unwrap_or_default().replace('.', "::");
    let params = &entry.signature.params;
    let mut args = Vec::new();
    let mut i = 0;
    while i < params.len() {
        if options_at(params, i) {
            args.push(format!("&c.options({i})?"));
            i += crate::signature::OPTIONS.len();
        } else {
            args.push(format!("c.{}({i})?", accessor(params[i].kind)));
            i += 1;
        }
    }
    let call = format!("crate::ops::{module}::{}({})", ident(&entry.function), args.join(", "));
    let inner = match entry.signature.returns {
        Returns::Nothing => format!("{{ {call}?; Ok(Ret::None) }}"),
        Returns::Value("crate::schema::Ret") => call,
        _ => format!("Ok(Ret::from({call}?))"),
    };
    let operands = params.iter().filter_map(|p| match p.kind {
        Kind::Tensor | Kind::OptTensor => Some(1),
        Kind::Tensors | Kind::OptTensors => Some(2),
        _ => None,
    });
    if operands.sum::<usize>() > 1 && !entry.mixed {
        text.push_str("    crate::ops::check_devices(c)?;\n");
    }
    let options = (0..params.len()).find(|&i| options_at(params, i));
    if let (Some(i), true) = (options, entry.out) {
        // The dtype and device of a factory's result are those of `out`.
        let _ = write!(text, "    crate::ops::deliver_factory(c, {i}, |c| {inner})");
    } else if entry.out_exact || entry.out_disjoint || entry.out_apart {
        let exact = entry.out_exact;
        let overlap = match (entry.out_disjoint, entry.out_apart) {
            (_, true) => "None",
            (true, false) => "Same",
            (false, false) => "Any",
        };
        let overlap = format!("crate::ops::Overlap::{overlap}");
        let _ = write!(text, "    crate::ops::deliver_strictly(c, {exact}, {overlap}, |c| {inner})");
    } else if entry.inplace || entry.out {
        let _ = write!(text, "    crate::ops::deliver(c, |c| {inner})");
    } else {
        let _ = write!(text, "    {inner}");
    }
    text
}

fn accessor(kind: Kind) -> &'static str {
    match kind {
        Kind::Tensor => "tensor",
        Kind::OptTensor => "opt_tensor",
        Kind::Tensors => "tensors",
        Kind::OptTensors => "opt_tensors",
        Kind::Scalar => "scalar",
        Kind::OptScalar => "opt_scalar",
        Kind::Scalars => "scalars",
        Kind::Int => "int",
        Kind::OptInt => "opt_int",
        Kind::Ints(_) => "ints",
        Kind::OptInts(_) => "opt_ints",
        Kind::Float => "float",
        Kind::OptFloat => "opt_float",
        Kind::Floats => "floats",
        Kind::OptFloats => "opt_floats",
        Kind::Bool => "bool",
        Kind::OptBool => "opt_bool",
        Kind::Bools => "bools",
        Kind::Str => "str",
        Kind::OptStr => "opt_str",
        Kind::DType => "dtype",
        Kind::OptDType => "opt_dtype",
        Kind::OptDevice => "opt_device",
        Kind::OptLayout => "opt_layout",
        Kind::OptMemoryFormat => "opt_memory_format",
        Kind::OptGenerator => "opt_generator",
    }
}

fn param(p: &Param) -> String {
    let kind = format!("Kind::{:?}", p.kind);
    match (&p.default, p.keyword_only) {
        (None, false) => format!("req({:?}, {kind})", p.name),
        (None, true) => format!("kw({:?}, {kind})", p.name),
        (Some(d), false) => format!("opt({:?}, {kind}, {})", p.name, default(d)),
        (Some(d), true) => format!("kw_opt({:?}, {kind}, {})", p.name, default(d)),
    }
}

fn default(d: &Default) -> String {
    match d {
        Default::None => "Default::None".into(),
        Default::Bool(v) => format!("Default::Bool({v})"),
        Default::Int(v) => format!("Default::Int({v})"),
        Default::Float(v) => format!("Default::Float({})", float(*v)),
        Default::Str(v) => format!("Default::Str({v:?})"),
        Default::Ints(v) => format!("Default::Ints(&{v:?})"),
        Default::Format(v) => format!("Default::Format(MemoryFormat::{})", crate::decl::camel(v)),
    }
}

/// An operator: the overloads of one name, over all files.
#[derive(Debug)]
pub struct Operator<'a> {
    pub name: &'a str,
    pub places: Vec<String>,
    pub aliases: Vec<String>,
    pub overloads: Vec<&'a Entry>,
    pub doc: &'a str,
}

/// Groups entries by name, sorted.
pub fn operators<'a>(entries: &'a [Entry]) -> Vec<Operator<'a>> {
    let mut groups: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in entries.iter().filter(|e| !e.internal) {
        groups.entry(&entry.signature.name).or_default().push(entry);
    }
    let mut list = Vec::new();
    for (name, overloads) in groups {
        let (mut places, mut aliases): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        for entry in &overloads {
            places.extend(entry.places.iter().filter(|p| !p.is_empty()).cloned());
            aliases.extend(entry.aliases.iter().cloned());
            // Functions such as `torch.exp_`, and those of the aliases in the same places.
            for place in &entry.inplace_places {
                aliases.push(format!("{place}.{name}_"));
                let same =
                    entry.aliases.iter().filter(|a| a.rsplit_once('.').is_some_and(|(p, _)| p == place));
                aliases.extend(same.map(|a| format!("{a}_")));
            }
        }
        if overloads.iter().any(|e| e.inplace) {
            let methods: Vec<String> =
                aliases.iter().filter(|a| a.starts_with("Tensor.") && !a.ends_with('_')).cloned().collect();
            aliases.extend(methods.into_iter().map(|a| a + "_"));
        }
        for list in [&mut places, &mut aliases] {
            let mut seen = std::collections::HashSet::new();
            list.retain(|item| seen.insert(item.clone()));
        }
        let doc = overloads.iter().map(|e| e.doc.as_str()).find(|d| !d.is_empty()).unwrap_or("");
        list.push(Operator { name, places, aliases, overloads, doc });
    }
    list
}

/// `table.rs`
pub fn table(operators: &[Operator]) -> String {
    let mut text = HEADER.to_string();
    text.push_str("use super::overloads::*;\nuse crate::schema::{OpDef, Overload};\n\n");
    text.push_str("/// Every operator, sorted by name.\npub static OPS: &[OpDef] = &[\n");
    for op in operators {
        let overloads: Vec<String> = op
            .overloads
            .iter()
            .map(|e| {
                let path = format!("{}::{}", ident(&e.family), constant(e));
                let mut own = e.places.clone();
                own.sort();
                let mut all = op.places.clone();
                all.sort();
                if own == all { path } else { format!("Overload {{ only: &{:?}, ..{path} }}", e.places) }
            })
            .collect();
        let _ = write!(
            text,
            "    OpDef {{\n        name: {:?},\n        places: &{:?},\n        aliases: &{:?},\n        \
             overloads: &[{}],\n        doc: {:?},\n    }},\n",
            op.name,
            op.places,
            op.aliases,
            overloads.join(", "),
            op.doc
        );
    }
    text.push_str("];\n");
    if !text.contains("Overload {") {
        text = text.replace("{OpDef, Overload}", "OpDef");
    }
    text
}
