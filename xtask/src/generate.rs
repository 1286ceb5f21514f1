//! Reads the declarations and prints everything made of them.

use crate::decl::{Entry, parse_file};
use crate::diag::Diag;
use crate::emit::{HEADER, constant, docs, ident, methods, pointwise, stubs, tables};
use crate::lower::Prims;
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::path::{Path, PathBuf};

const OPS: &str = "crates/flambeau/ops";
const PRIMS: &str = "crates/flambeau-cpu/src/pointwise/prim.rs";
/// The folder of generated Rust; nothing else lives in it.
pub const RUST: &str = "crates/flambeau/src/generated";

/// Generated files by their path.
pub type Files = BTreeMap<PathBuf, String>;

/// Reads all declarations below the workspace root.
pub fn read(root: &Path) -> Result<Vec<Entry>, Vec<Diag>> {
    let mut names: Vec<PathBuf> = std::fs::read_dir(root.join(OPS))
        .map(|dir| dir.filter_map(|e| e.ok().map(|e| e.path())).collect())
        .unwrap_or_default();
    names.retain(|p| p.extension().is_some_and(|e| e == "ops"));
    names.sort();
    let (mut entries, mut errors) = (Vec::new(), Vec::new());
    for path in names {
        let family = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
        match std::fs::read_to_string(&path) {
            Ok(text) => entries.extend(parse_file(&shown, &family, &text, &mut errors)),
            Err(error) => errors.push(Diag { file: shown, line: 0, message: error.to_string() }),
        }
    }
    check_names(&entries, &mut errors);
    check_shared(&entries, &mut errors);
    if errors.is_empty() { Ok(entries) } else { Err(errors) }
}

/// Two overloads of one name, or two Rust functions of one name, can't be told apart.
fn check_names(entries: &[Entry], errors: &mut Vec<Diag>) {
    let mut overloads: HashMap<(&str, &str), &Entry> = HashMap::new();
    let mut functions: HashMap<(&str, String), &Entry> = HashMap::new();
    for entry in entries {
        let key = (entry.signature.name.as_str(), entry.signature.overload.as_str());
        if let Some(other) = overloads.insert(key, entry) {
            let place = format!("{}:{}", other.span.file, other.span.line);
            let name = format!("{}.{}", key.0, key.1);
            errors.push(
                entry
                    .span
                    .diag(0, format!("`{}` is declared at {place} already", name.trim_end_matches('.'))),
            );
            continue;
        }
        // Pointwise functions share one namespace, the others have one for each family of constants.
        let space = if entry.pointwise.is_some() { "" } else { entry.family.as_str() };
        if let Some(other) = functions.insert((space, constant(entry)), entry) {
            let place = format!("{}:{}", other.span.file, other.span.line);
            errors.push(
                entry.span.diag(0, format!("its function `{}` is that of {place} too", entry.function)),
            );
        }
    }
}

/// A shared definition must be there, with the same parameters (but for the flag `inplace`).
fn check_shared(entries: &[Entry], errors: &mut Vec<Diag>) {
    for entry in entries {
        let Some(function) = &entry.same else { continue };
        let shape = |e: &Entry| -> Vec<_> {
            e.signature
                .params
                .iter()
                .filter(|p| p.name != "inplace")
                .map(|p| (p.name.clone(), p.kind))
                .collect()
        };
        match entries.iter().find(|e| e.pointwise.is_some() && e.function == *function) {
            Some(other) if shape(other) == shape(entry) => {}
            Some(_) => {
                errors.push(entry.span.diag(0, format!("its parameters differ from those of `{function}`")))
            }
            None => errors.push(entry.span.diag(0, format!("there is no pointwise function `{function}`"))),
        }
    }
}

/// All generated files.
pub fn generate(root: &Path) -> Result<Files, Vec<Diag>> {
    let entries = read(root)?;
    let prims = Prims::read(&std::fs::read_to_string(root.join(PRIMS)).unwrap_or_default());
    let mut errors = Vec::new();
    let mut families: BTreeMap<&str, Vec<&Entry>> = BTreeMap::new();
    for entry in &entries {
        families.entry(&entry.family).or_default().push(entry);
    }
    let mut files = Files::new();
    let mut modules: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    let mut put = |kind: &'static str, family: &str, text: String| {
        modules.entry(kind).or_default().push(ident(family));
        files.insert(Path::new(RUST).join(kind).join(format!("{family}.rs")), text);
    };
    for (family, list) in &families {
        if list.iter().any(|e| e.pointwise.is_some()) {
            put("defs", family, pointwise::definitions(list, &prims, &mut errors));
            put("functions", family, pointwise::functions(list));
        }
        if list.iter().any(|e| !e.internal) {
            put("overloads", family, tables::overloads(list));
        }
        if let Some(text) = methods::methods(list) {
            put("methods", family, text);
        }
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    let descriptions = [
        ("defs", "Definitions of the pointwise operators.", true),
        ("functions", "Typed functions of the pointwise operators.", true),
        ("methods", "Methods of `Tensor`.", false),
        ("overloads", "For each overload its signature and the adaptor from parsed arguments.", false),
    ];
    for (kind, description, reexport) in descriptions {
        let mut text = format!("//! {description}\n{HEADER}");
        for family in modules.get(kind).into_iter().flatten() {
            let _ = writeln!(text, "{}mod {family};", if kind == "overloads" { "pub " } else { "" });
        }
        for family in modules.get(kind).into_iter().flatten().filter(|_| reexport) {
            let _ = write!(text, "\npub use {family}::*;");
        }
        files.insert(Path::new(RUST).join(kind).join("mod.rs"), text + "\n");
    }
    let operators = tables::operators(&entries);
    files.insert(Path::new(RUST).join("table.rs"), tables::table(&operators));
    files.insert("docs/operators.md".into(), docs::page(&operators));
    files.insert("python/flambeau/_C.pyi".into(), stubs::extension(&operators));
    for (module, text) in stubs::modules(&operators) {
        files.insert(format!("python/flambeau/{module}.pyi").into(), text);
    }
    files.insert(Path::new(RUST).join("mod.rs"), format!("//! Made from `ops/*.ops`.\n{HEADER}{MODULE}"));
    Ok(files)
}

/// The fixed part of the generated module.
const MODULE: &str = r#"pub mod defs;
pub mod functions;
mod methods;
pub mod overloads;
mod table;

pub use table::OPS;

use crate::schema::{Arg, Call, Default, Kind, Param, Ret, Target};
use crate::{Result, Tensor};

/// A required parameter.
const fn req(name: &'static str, kind: Kind) -> Param {
    Param { name, kind, default: Default::Required, keyword_only: false }
}

/// A parameter with a default.
const fn opt(name: &'static str, kind: Kind, default: Default) -> Param {
    Param { name, kind, default, keyword_only: false }
}

/// A required keyword-only parameter.
const fn kw(name: &'static str, kind: Kind) -> Param {
    Param { name, kind, default: Default::Required, keyword_only: true }
}

/// A keyword-only parameter with a default.
const fn kw_opt(name: &'static str, kind: Kind, default: Default) -> Param {
    Param { name, kind, default, keyword_only: true }
}

/// Calls an overload's adaptor so that it writes to its first argument.
fn call_inplace(adaptor: fn(&Call) -> Result<Ret>, args: &[Arg]) -> Result<Tensor> {
    match adaptor(&Call { args, target: Target::InPlace })? {
        Ret::Tensor(tensor) => Ok(tensor),
        other => flambeau_core::bail!("expected one tensor from an in-place operator, got {other:?}"),
    }
}
"#;
