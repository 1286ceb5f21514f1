//! Declaration files: entries made of a signature and indented attributes.

use crate::diag::{Diag, Result, Span};
use crate::expr::{self, Expr};
use crate::signature::{Kind, Signature};

/// One overload of an operator, as declared.
#[derive(Clone, Debug)]
pub struct Entry {
    pub span: Span,
    /// The file's name without its ending.
    pub family: String,
    /// The Rust module of a non-pointwise operator, below `crate::ops`.
    pub module: Option<String>,
    pub signature: Signature,
    pub places: Vec<String>,
    pub aliases: Vec<String>,
    pub inplace: bool,
    /// Places in which `name_` is a function.
    pub inplace_places: Vec<String>,
    pub out: bool,
    /// Whether `out=` must have the dtype of the result, and must not overlap an operand.
    pub out_exact: bool,
    pub out_disjoint: bool,
    /// Whether `out=` must not even be an operand.
    pub out_apart: bool,
    /// Whether Python numbers may stand for its tensors.
    pub numbers: bool,
    /// Whether operands may be on different devices.
    pub mixed: bool,
    /// Whether sparse tensors may be operands.
    pub sparse: bool,
    /// Whether the Rust method is left out.
    pub no_method: bool,
    pub function: String,
    /// Only a Rust function, not part of the operator table.
    pub internal: bool,
    /// The Rust function whose definition a pointwise overload shares.
    pub same: Option<String>,
    pub doc: String,
    pub pointwise: Option<Pointwise>,
}

/// The part of an entry that describes a pointwise operator.
#[derive(Clone, Debug)]
pub struct Pointwise {
    pub promote: String,
    pub dtypes: u16,
    pub kernel: String,
    pub backward: String,
    /// Names of operands that are conditions and take no part in promotion.
    pub conditions: Vec<String>,
    /// Names of numbers that take part in promotion, as Python numbers do.
    pub numbers: Vec<String>,
    /// Whether such numbers stop at the limits of narrow integer dtypes instead of wrapping.
    pub saturate: bool,
    pub exprs: Vec<Piece>,
    pub grads: Vec<(String, Gradient)>,
    /// False for functions that refuse to be differentiated.
    pub differentiable: bool,
    /// Whether results never require grad.
    pub detached: bool,
    /// Whether products and sums are rounded together.
    pub fused: bool,
    /// A function of `crate::pointwise::checks` that looks at the arguments first.
    pub check: Option<String>,
    /// Dtype categories that are refused with a message of their own: bits, error kind, text.
    pub refusals: Vec<(u8, String, String)>,
}

#[derive(Clone, Debug)]
pub enum Gradient {
    Zero,
    /// Not differentiable; what the message names.
    None(String),
    Pieces(Vec<Piece>),
}

/// An expression for some dtype categories (0: all those without one of their own).
#[derive(Clone, Debug)]
pub struct Piece {
    pub categories: u8,
    pub span: Span,
    pub expr: Expr,
}

pub const CATEGORIES: [(&str, u8); 4] = [("bool", 1), ("int", 2), ("float", 4), ("complex", 8)];

/// In the order of `DType`, with the category of each.
pub const DTYPES: [(&str, &str); 15] = [
    ("uint8", "int"),
    ("int8", "int"),
    ("int16", "int"),
    ("int32", "int"),
    ("int64", "int"),
    ("float16", "float"),
    ("float32", "float"),
    ("float64", "float"),
    ("complex64", "complex"),
    ("complex128", "complex"),
    ("bool", "bool"),
    ("bfloat16", "float"),
    ("uint16", "uint"),
    ("uint32", "uint"),
    ("uint64", "uint"),
];

const PROMOTIONS: [&str; 6] = ["common", "float", "bool", "real", "floatreal", "first"];

/// Reads a file. Every entry with an error is reported, so that one run shows them all.
pub fn parse_file(file: &str, family: &str, text: &str, errors: &mut Vec<Diag>) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut module = None;
    // Lines of the entry being read: (line number, text).
    let mut block: Vec<(usize, &str)> = Vec::new();
    let mut finish = |block: &mut Vec<(usize, &str)>, module: &Option<String>| {
        if !block.is_empty() {
            match parse_entry(file, family, module.clone(), block) {
                Ok(entry) => entries.push(entry),
                Err(error) => errors.push(error),
            }
            block.clear();
        }
    };
    let mut outside = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let (line, trimmed) = (line.trim_end(), line.trim());
        if trimmed.starts_with('#') {
            continue;
        }
        if trimmed.is_empty() || line.starts_with([' ', '\t']) {
            if !block.is_empty() {
                block.push((i + 1, line));
            } else if !trimmed.is_empty() {
                outside.push(Diag {
                    file: file.into(),
                    line: i + 1,
                    message: "indented line outside an entry".into(),
                });
            }
            continue;
        }
        finish(&mut block, &module);
        if let Some(header) = trimmed.strip_prefix('[') {
            match header.strip_suffix(']').and_then(|h| h.strip_prefix("module ")) {
                Some(name) => module = Some(name.trim().to_string()),
                None => outside.push(Diag {
                    file: file.into(),
                    line: i + 1,
                    message: "expected `[module name]`".into(),
                }),
            }
        } else {
            block.push((i + 1, line));
        }
    }
    finish(&mut block, &module);
    errors.extend(outside);
    entries
}

/// An attribute: its words before the colon, and its value.
struct Attribute {
    key: Vec<String>,
    value: Span,
}

fn parse_entry(file: &str, family: &str, module: Option<String>, block: &[(usize, &str)]) -> Result<Entry> {
    // The signature goes on over lines that are indented until a `->` has been seen.
    let mut text = block[0].1.to_string();
    let mut used = 1;
    while !text.contains("->") && used < block.len() {
        text.push('\n');
        text.push_str(block[used].1);
        used += 1;
    }
    let span = Span { file: file.into(), line: block[0].0, text };
    let signature = Signature::parse(&span)?;
    let mut entry = Entry {
        family: family.into(),
        module,
        places: vec!["torch".into(), "Tensor".into()],
        aliases: Vec::new(),
        inplace: false,
        inplace_places: Vec::new(),
        out: false,
        out_exact: false,
        out_disjoint: false,
        out_apart: false,
        numbers: false,
        mixed: false,
        sparse: false,
        no_method: false,
        function: default_function(&signature),
        internal: false,
        same: None,
        doc: String::new(),
        pointwise: None,
        span,
        signature,
    };
    let mut pointwise = Pointwise {
        promote: "common".into(),
        dtypes: parse_dtypes(&Span { file: file.into(), line: 0, text: "all".into() })?,
        kernel: format!("{}_cpu", entry.signature.name),
        backward: format!("{}Backward0", camel(&entry.signature.name)),
        conditions: Vec::new(),
        numbers: Vec::new(),
        saturate: false,
        exprs: Vec::new(),
        grads: Vec::new(),
        differentiable: true,
        detached: false,
        fused: false,
        check: None,
        refusals: Vec::new(),
    };
    // Attributes that only pointwise operators have, to complain where there is no expression.
    let mut only_pointwise: Option<Span> = None;
    for attribute in attributes(file, &block[used..])? {
        let Attribute { key, value } = attribute;
        let words: Vec<&str> = key.iter().map(String::as_str).collect();
        match words[0] {
            "promote" | "dtypes" | "kernel" | "grad" | "nograd" | "condition" | "number" | "backward"
            | "check" | "refuse" | "detached" | "fused" | "saturate" => {
                only_pointwise.get_or_insert(value.clone());
            }
            _ => {}
        }
        match words[..] {
            ["in"] => entry.places = list(&value)?,
            ["alias"] => {
                entry.aliases = list(&value)?;
                if let Some(bad) = entry.aliases.iter().find(|a| !a.contains('.')) {
                    return value.error(format!("alias `{bad}` needs its place, such as `torch.{bad}`"));
                }
            }
            ["inplace"] => {
                entry.inplace = true;
                entry.inplace_places = if value.text.is_empty() { Vec::new() } else { list(&value)? };
            }
            ["out"] => {
                entry.out = true;
                for word in value.text.split(',').map(str::trim).filter(|w| !w.is_empty()) {
                    match word {
                        "exact" => entry.out_exact = true,
                        "disjoint" => entry.out_disjoint = true,
                        "apart" => entry.out_apart = true,
                        _ => return value.error(format!("unknown kind of out `{word}`")),
                    }
                }
            }
            ["numbers"] => entry.numbers = true,
            ["mixed"] => entry.mixed = true,
            ["sparse"] => entry.sparse = true,
            ["nomethod"] => entry.no_method = true,
            ["nograd"] => pointwise.differentiable = false,
            ["fn"] => entry.function = one_word(&value)?,
            ["internal"] => entry.internal = true,
            ["detached"] => pointwise.detached = true,
            ["fused"] => pointwise.fused = true,
            ["saturate"] => pointwise.saturate = true,
            ["same"] => entry.same = Some(one_word(&value)?),
            ["check"] => pointwise.check = Some(one_word(&value)?),
            ["refuse", ref words @ ..] => {
                let (kind, categories) = match words {
                    [categories @ .., kind] if kind.ends_with("Error") => {
                        (kind.trim_end_matches("Error"), categories)
                    }
                    _ => ("NotImplemented", words),
                };
                let bits = category_bits(categories, &value)?;
                let text = value.text.replace('\n', " ");
                pointwise.refusals.push((bits, kind.to_string(), text));
            }
            ["doc"] => entry.doc = value.text.clone(),
            ["kernel"] => pointwise.kernel = one_word(&value)?,
            ["backward"] => pointwise.backward = one_word(&value)?,
            ["condition"] => pointwise.conditions = list(&value)?,
            ["number"] => pointwise.numbers = list(&value)?,
            ["promote"] => {
                pointwise.promote = one_word(&value)?;
                if !PROMOTIONS.contains(&pointwise.promote.as_str()) {
                    return value.error(format!("unknown promotion `{}`", pointwise.promote));
                }
            }
            ["dtypes"] => pointwise.dtypes = parse_dtypes(&value)?,
            ["expr", ref categories @ ..] => pointwise.exprs.push(piece(categories, value)?),
            ["grad", name, ref categories @ ..] => {
                let known = entry.signature.params.iter().any(|p| p.name == name && p.kind == Kind::Tensor);
                if !known {
                    return value
                        .error(format!("`{name}` is no tensor parameter of `{}`", entry.signature.name));
                }
                let gradient = match value.text.trim() {
                    "zero" => Gradient::Zero,
                    text if text == "none" || text.starts_with("none ") => {
                        Gradient::None(text.trim_start_matches("none").trim().to_string())
                    }
                    _ => {
                        let piece = piece(categories, value)?;
                        if let Some((_, Gradient::Pieces(list))) =
                            pointwise.grads.iter_mut().find(|g| g.0 == name)
                        {
                            list.push(piece);
                            continue;
                        }
                        Gradient::Pieces(vec![piece])
                    }
                };
                pointwise.grads.push((name.to_string(), gradient));
            }
            _ => return value.error(format!("unknown attribute `{}`", key.join(" "))),
        }
    }
    if !pointwise.exprs.is_empty() {
        if entry.signature.returns.tensors() != 1 {
            return entry.span.error("a pointwise operator returns one Tensor");
        }
        entry.pointwise = Some(pointwise);
    } else if entry.same.is_some() {
        // Nothing of its own.
    } else if let Some(span) = only_pointwise {
        return span.error("this attribute belongs to pointwise operators, but there is no `expr`");
    } else if entry.module.is_none() {
        return entry.span.error("neither an `expr` nor a `[module …]` for it");
    }
    if entry.out && entry.signature.returns.outs() == 0 {
        return entry.span.error("`out` needs tensor results");
    }
    if entry.inplace && !entry.signature.params.iter().any(|p| p.name == "self" && p.kind == Kind::Tensor) {
        return entry.span.error("`inplace` needs a parameter `Tensor self`");
    }
    Ok(entry)
}

/// Groups indented lines into attributes; more-indented lines continue the one above.
fn attributes(file: &str, lines: &[(usize, &str)]) -> Result<Vec<Attribute>> {
    let mut found: Vec<Attribute> = Vec::new();
    let mut indent = None;
    for &(number, line) in lines {
        let span = |text: &str| Span { file: file.into(), line: number, text: text.into() };
        let text = line.trim();
        let depth = line.len() - line.trim_start().len();
        let base = *indent.get_or_insert(depth);
        if text.is_empty() || depth > base {
            if let Some(last) = found.last_mut() {
                last.value.text.push('\n');
                last.value.text.push_str(text);
            }
            continue;
        }
        if depth < base {
            return span(text).error("indented less than the attributes above it");
        }
        let key = text.split_once(':').filter(|(key, _)| {
            key.chars().all(|c| c.is_ascii_alphanumeric() || "_, ".contains(c)) && !key.trim().is_empty()
        });
        match key {
            Some((key, value)) => {
                let words = key.split([' ', ',']).filter(|w| !w.is_empty()).map(str::to_string).collect();
                found.push(Attribute { key: words, value: span(value.trim()) });
            }
            None => {
                for flag in text.split(',') {
                    if ![
                        "inplace", "out", "numbers", "nograd", "detached", "fused", "internal", "mixed",
                        "nomethod", "saturate", "sparse",
                    ]
                    .contains(&flag.trim())
                    {
                        return span(text).error(format!("unknown flag `{}`", flag.trim()));
                    }
                    let mut value = span(flag.trim());
                    value.text.clear();
                    found.push(Attribute { key: vec![flag.trim().to_string()], value });
                }
            }
        }
    }
    for attribute in &mut found {
        let trimmed = attribute.value.text.trim_end().len();
        attribute.value.text.truncate(trimmed);
    }
    Ok(found)
}

fn piece(categories: &[&str], span: Span) -> Result<Piece> {
    Ok(Piece { categories: category_bits(categories, &span)?, expr: expr::parse(&span)?, span })
}

fn category_bits(categories: &[&str], span: &Span) -> Result<u8> {
    let mut bits = 0;
    for word in categories {
        match CATEGORIES.iter().find(|c| c.0 == *word) {
            Some(category) => bits |= category.1,
            None => return span.error(format!("unknown dtype category `{word}`")),
        }
    }
    Ok(bits)
}

fn list(value: &Span) -> Result<Vec<String>> {
    let items: Vec<String> =
        value.text.split([',', '\n']).map(|s| s.trim().to_string()).filter(|s| !s.is_empty()).collect();
    if items.is_empty() {
        return value.error("expected a list");
    }
    if let Some(bad) = items.iter().find(|s| s.contains(char::is_whitespace)) {
        return value.error(format!("`{bad}` is not one name"));
    }
    Ok(items)
}

fn one_word(value: &Span) -> Result<String> {
    match value.text.split_whitespace().collect::<Vec<_>>()[..] {
        [word] => Ok(word.to_string()),
        _ => value.error(format!("expected one word, found {:?}", value.text)),
    }
}

fn parse_dtypes(value: &Span) -> Result<u16> {
    let mut bits = 0u16;
    for word in list(value)? {
        let (minus, word) = match word.strip_prefix('-') {
            Some(word) => (true, word),
            None => (false, word.as_str()),
        };
        let set = DTYPES.iter().enumerate().filter(|(_, (name, category))| match word {
            "all" => *category != "uint",
            "half" => ["float16", "bfloat16"].contains(name),
            _ => word == *name || word == *category,
        });
        let set = set.fold(0, |bits, (i, _)| bits | 1 << i);
        if set == 0 {
            return value.error(format!("unknown dtype `{word}`"));
        }
        bits = if minus { bits & !set } else { bits | set };
    }
    Ok(bits)
}

/// The categories of a set of dtypes.
pub fn categories_of(dtypes: u16) -> u8 {
    let mut bits = 0;
    for (i, (_, category)) in DTYPES.iter().enumerate() {
        if dtypes >> i & 1 == 1 {
            let category = if *category == "uint" { "int" } else { category };
            bits |= CATEGORIES.iter().find(|c| c.0 == category).map_or(0, |c| c.1);
        }
    }
    bits
}

fn default_function(signature: &Signature) -> String {
    let mut name = signature.name.trim_end_matches('_').to_string();
    let inplace = signature.name.ends_with('_') && !signature.name.starts_with('_');
    if !signature.overload.is_empty() && !["Tensor", "self", "default"].contains(&signature.overload.as_str())
    {
        name = format!("{name}_{}", snake(&signature.overload));
    }
    if inplace { name + "_" } else { name }
}

/// `dim_IntList` to `dim_int_list`.
pub fn snake(name: &str) -> String {
    let mut text = String::new();
    let mut last = '_';
    for c in name.chars() {
        if c.is_ascii_uppercase() && last != '_' && !last.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(c.to_ascii_lowercase());
        last = c;
    }
    text
}

/// `log_sigmoid` to `LogSigmoid`.
pub fn camel(name: &str) -> String {
    let mut text = String::new();
    for word in name.split('_').filter(|w| !w.is_empty()) {
        text.extend(word.chars().take(1).map(|c| c.to_ascii_uppercase()));
        text.push_str(&word[1..]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Vec<Entry>, Vec<String>) {
        let mut errors = Vec::new();
        let entries = parse_file("f.ops", "f", text, &mut errors);
        (entries, errors.iter().map(Diag::to_string).collect())
    }

    #[test]
    fn reads_entries() {
        let (entries, errors) = parse(
            "# comment\ngelu(Tensor self, *, str approximate='none') -> Tensor\n  in: nn.functional\n  out\n  \
             promote: common\n  dtypes: float, -float16\n  expr: approximate == \"none\" ?\n      self : 2*self\n  \
             grad self: grad*2\n  doc: First.\n\n    Second.\n[module reduce]\n\
             max.dim(Tensor self, int dim,\n        bool keepdim=False) -> (Tensor values, Tensor indices)\n  out\n",
        );
        assert_eq!(errors, Vec::<String>::new());
        let gelu = &entries[0];
        let pointwise = gelu.pointwise.as_ref().unwrap();
        assert_eq!(gelu.places, ["nn.functional"]);
        assert_eq!(gelu.doc, "First.\n\nSecond.");
        assert_eq!(pointwise.dtypes, 1 << 6 | 1 << 7 | 1 << 11);
        assert_eq!(pointwise.backward, "GeluBackward0");
        assert_eq!(pointwise.kernel, "gelu_cpu");
        assert_eq!(pointwise.grads.len(), 1);
        let max = &entries[1];
        assert_eq!((max.module.as_deref(), max.function.as_str()), (Some("reduce"), "max_dim"));
        assert!(max.out && max.pointwise.is_none());
    }

    #[test]
    fn complains_with_the_line() {
        for (text, message) in [
            ("  expr: self\n", "f.ops:1: indented line outside an entry"),
            ("[modul x]\n", "f.ops:1: expected `[module name]`"),
            ("f(Tensor self) -> Tensor\n", "f.ops:1: neither an `expr` nor a `[module …]` for it"),
            ("f(Tensor self) -> Tensor\n  inplace, uot\n", "f.ops:2: unknown flag `uot`"),
            ("f(Tensor self) -> Tensor\n  exp: self\n", "f.ops:2: unknown attribute `exp`"),
            (
                "f(Tensor self) -> Tensor\n  in: torch\n expr: self\n",
                "f.ops:3: indented less than the attributes above it",
            ),
            (
                "f(Tensor self) -> Tensor\n  expr: self +\n    * self\n",
                "f.ops:3: expected an operand, found `*`",
            ),
            ("f(Tensor self) -> Tensor\n  expr flot: self\n", "f.ops:2: unknown dtype category `flot`"),
            ("f(Tensor self) -> Tensor\n  dtypes: flot\n", "f.ops:2: unknown dtype `flot`"),
            ("f(Tensor self) -> Tensor\n  grad x: self\n", "f.ops:2: `x` is no tensor parameter of `f`"),
            ("f(Tensor self) -> Tensor\n  promote: up\n", "f.ops:2: unknown promotion `up`"),
            (
                "f(Tensor self) -> Tensor\n  alias: g\n",
                "f.ops:2: alias `g` needs its place, such as `torch.g`",
            ),
            ("[module m]\nf(Tensor self) -> bool\n  out\n", "f.ops:2: `out` needs tensor results"),
            (
                "[module m]\nf(Tensor self) -> Tensor\n  nograd\n",
                "f.ops:3: this attribute belongs to pointwise operators, but there is no `expr`",
            ),
        ] {
            assert_eq!(parse(text).1, [message], "{text}");
        }
    }

    #[test]
    fn reports_every_entry() {
        let (entries, errors) =
            parse("f(x) -> Tensor\ng(y) -> Tensor\nh(Tensor self) -> Tensor\n  expr: self\n");
        assert_eq!((entries.len(), errors.len()), (1, 2));
    }

    #[test]
    fn names() {
        assert_eq!(snake("dim_IntList"), "dim_int_list");
        assert_eq!(snake("Tensor_Scalar"), "tensor_scalar");
        assert_eq!(snake("BesselJ0"), "bessel_j0");
        assert_eq!(camel("log_sigmoid"), "LogSigmoid");
    }
}
