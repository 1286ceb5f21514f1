//! Signatures in PyTorch's schema grammar: `sum.dim_IntList(Tensor self, int[1]? dim, *, ScalarType? dtype=None) -> Tensor`.

use crate::diag::{Result, Span};
use crate::lex::{Token, Tokens};

#[derive(Clone, Debug, PartialEq)]
pub struct Signature {
    pub name: String,
    pub overload: String,
    pub params: Vec<Param>,
    pub returns: Returns,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    pub name: String,
    pub kind: Kind,
    pub default: Option<Default>,
    pub keyword_only: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Tensor,
    OptTensor,
    Tensors,
    OptTensors,
    Scalar,
    OptScalar,
    Scalars,
    Int,
    OptInt,
    Ints(u8),
    OptInts(u8),
    Float,
    OptFloat,
    Floats,
    OptFloats,
    Bool,
    OptBool,
    Bools,
    Str,
    OptStr,
    DType,
    OptDType,
    OptDevice,
    OptLayout,
    OptMemoryFormat,
    OptGenerator,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Default {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    Ints(Vec<i64>),
    /// `contiguous_format` and the like, without the suffix.
    Format(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Returns {
    Nothing,
    /// One tensor or several; the names are those of a named tuple, if any.
    Tensors {
        count: u8,
        fields: Vec<String>,
    },
    TensorList,
    /// `(Tensor hist, Tensor[] bin_edges)`: the second of two named results is a list.
    WithList {
        fields: Vec<String>,
    },
    /// `bool`, `int`, `float`, `Scalar`, `ScalarType`, `int[]`
    Value(&'static str),
}

impl Returns {
    /// Number of tensors that `out=` takes; 255 stands for a list of any length.
    pub fn outs(&self) -> u8 {
        if *self == Returns::TensorList { u8::MAX } else { self.tensors() }
    }
    pub fn tensors(&self) -> u8 {
        if let Returns::Tensors { count, .. } = self { *count } else { 0 }
    }
}

/// The members of `TensorOptions options`, in order.
pub const OPTIONS: [(&str, Kind, Default); 5] = [
    ("dtype", Kind::OptDType, Default::None),
    ("layout", Kind::OptLayout, Default::None),
    ("device", Kind::OptDevice, Default::None),
    ("pin_memory", Kind::OptBool, Default::Bool(false)),
    ("requires_grad", Kind::OptBool, Default::Bool(false)),
];

impl Signature {
    pub fn parse(span: &Span) -> Result<Signature> {
        let mut t = Tokens::new(span)?;
        let name = t.ident("an operator's name")?;
        let overload = if t.eat(".") { t.ident("an overload's name")? } else { String::new() };
        t.expect("(")?;
        let mut params: Vec<Param> = Vec::new();
        let mut keyword_only = false;
        while !t.eat(")") {
            if !params.is_empty() || keyword_only {
                t.expect(",")?;
            }
            if t.eat("*") {
                keyword_only = true;
                continue;
            }
            let type_name = t.ident("a type")?;
            if type_name == "TensorOptions" {
                t.ident("`options`")?;
                params.extend(OPTIONS.iter().map(|(name, kind, default)| Param {
                    name: name.to_string(),
                    kind: *kind,
                    default: Some(default.clone()),
                    keyword_only: true,
                }));
                continue;
            }
            let kind = parse_kind(&mut t, &type_name)?;
            let name = t.ident("a parameter's name")?;
            if params.iter().any(|p| p.name == name) {
                return Err(t.error(format!("parameter `{name}` appears twice")));
            }
            let default = if t.eat("=") { Some(parse_default(&mut t, kind)?) } else { None };
            if default.is_none() && !keyword_only && params.iter().any(|p| p.default.is_some()) {
                return Err(
                    t.error(format!("parameter `{name}` needs a default, as those before it have one"))
                );
            }
            params.push(Param { name, kind, default, keyword_only });
        }
        t.expect("->")?;
        let returns = parse_returns(&mut t)?;
        t.end()?;
        Ok(Signature { name, overload, params, returns })
    }
}

fn parse_kind(t: &mut Tokens, name: &str) -> Result<Kind> {
    // An alias annotation such as `(a!)` says what the function's text says already.
    if name == "Tensor" && t.eat("(") {
        t.ident("an alias name")?;
        t.eat("!");
        t.expect(")")?;
    }
    let inner_opt = t.eat("?");
    let mut list = None;
    if t.eat("[") {
        list = Some(match t.advance() {
            Some(Token::Punct("]")) => 0,
            Some(Token::Number(n)) => {
                t.expect("]")?;
                n.parse::<u8>().map_err(|_| t.error(format!("bad list length {n}")))?
            }
            _ => return Err(t.error("expected `]` or a length")),
        });
    }
    let opt = if list.is_some() { t.eat("?") } else { inner_opt };
    let kind = match (name, list, inner_opt, opt) {
        ("Tensor", None, _, false) => Kind::Tensor,
        ("Tensor", None, _, true) => Kind::OptTensor,
        ("Tensor", Some(_), false, false) => Kind::Tensors,
        ("Tensor", Some(_), true, false) => Kind::OptTensors,
        ("Scalar", None, _, false) => Kind::Scalar,
        ("Scalar", None, _, true) => Kind::OptScalar,
        ("Scalar", Some(_), false, false) => Kind::Scalars,
        ("int", None, _, false) => Kind::Int,
        ("int", None, _, true) => Kind::OptInt,
        ("int", Some(n), false, false) => Kind::Ints(n),
        ("int", Some(n), false, true) => Kind::OptInts(n),
        ("float", None, _, false) => Kind::Float,
        ("float", None, _, true) => Kind::OptFloat,
        ("float", Some(_), false, false) => Kind::Floats,
        ("float", Some(_), false, true) => Kind::OptFloats,
        ("bool", None, _, false) => Kind::Bool,
        ("bool", None, _, true) => Kind::OptBool,
        ("bool", Some(_), false, false) => Kind::Bools,
        ("str", None, _, false) => Kind::Str,
        ("str", None, _, true) => Kind::OptStr,
        ("ScalarType", None, _, false) => Kind::DType,
        ("ScalarType", None, _, true) => Kind::OptDType,
        ("Device", None, _, true) => Kind::OptDevice,
        ("Layout", None, _, true) => Kind::OptLayout,
        ("MemoryFormat", None, _, true) => Kind::OptMemoryFormat,
        ("Generator", None, _, true) => Kind::OptGenerator,
        _ => return Err(t.error(format!("unknown type `{name}` (or not of this shape)"))),
    };
    Ok(kind)
}

fn parse_default(t: &mut Tokens, kind: Kind) -> Result<Default> {
    let negative = t.eat("-");
    let value = match t.advance() {
        Some(Token::Number(n)) => {
            let sign = if negative { -1.0 } else { 1.0 };
            if let Ok(v) = n.parse::<i64>() {
                if matches!(kind, Kind::Float | Kind::OptFloat) {
                    return Ok(Default::Float(sign * v as f64));
                }
                return Ok(Default::Int(if negative { -v } else { v }));
            }
            return n
                .parse::<f64>()
                .map(|v| Default::Float(sign * v))
                .map_err(|_| t.error(format!("bad number `{n}`")));
        }
        Some(Token::Str(s)) => Default::Str(s),
        Some(Token::Ident(s)) => match s.as_str() {
            "None" => Default::None,
            "True" => Default::Bool(true),
            "False" => Default::Bool(false),
            "inf" => Default::Float(if negative { f64::NEG_INFINITY } else { f64::INFINITY }),
            _ => {
                let s = if s == "torch" && t.eat(".") { t.ident("a memory format")? } else { s };
                match s.strip_suffix("_format") {
                    Some(format @ ("contiguous" | "preserve")) => Default::Format(format.to_string()),
                    _ => return Err(t.error(format!("unknown default `{s}`"))),
                }
            }
        },
        Some(Token::Punct("[")) => {
            let mut list = Vec::new();
            while !t.eat("]") {
                if !list.is_empty() {
                    t.expect(",")?;
                }
                let negative = t.eat("-");
                match t.advance() {
                    Some(Token::Number(n)) => {
                        let v: i64 = n.parse().map_err(|_| t.error(format!("bad integer `{n}`")))?;
                        list.push(if negative { -v } else { v });
                    }
                    _ => return Err(t.error("expected an integer")),
                }
            }
            Default::Ints(list)
        }
        _ => return Err(t.error("expected a default value")),
    };
    let fits = match (&value, kind) {
        (Default::None, _) => {
            !matches!(kind, Kind::Tensor | Kind::Int | Kind::Bool | Kind::Float | Kind::Scalar)
        }
        (Default::Bool(_), _) => matches!(kind, Kind::Bool | Kind::OptBool | Kind::Scalar | Kind::OptScalar),
        (Default::Str(_), _) => matches!(kind, Kind::Str | Kind::OptStr),
        (Default::Ints(_), _) => {
            matches!(kind, Kind::Ints(_) | Kind::OptInts(_) | Kind::Bools | Kind::Floats)
        }
        (Default::Format(_), _) => matches!(kind, Kind::OptMemoryFormat),
        _ => true,
    };
    if fits { Ok(value) } else { Err(t.error("the default does not fit the type")) }
}

fn parse_returns(t: &mut Tokens) -> Result<Returns> {
    if t.eat("(") {
        let (mut count, mut fields, mut list) = (0, Vec::new(), false);
        while !t.eat(")") {
            if count > 0 {
                t.expect(",")?;
            }
            if t.ident("`Tensor`")? != "Tensor" {
                return Err(t.error("only tensors can be returned in a tuple"));
            }
            count += 1;
            if t.eat("[") {
                t.expect("]")?;
                list = true;
            }
            if let Some(Token::Ident(_)) = t.peek() {
                fields.push(t.ident("a field name")?);
            }
        }
        if !fields.is_empty() && fields.len() != count as usize {
            return Err(t.error("either all results have names or none"));
        }
        if list {
            if count != 2 || fields.len() != 2 {
                return Err(t.error("a list is returned alone, or as the second of two named results"));
            }
            return Ok(Returns::WithList { fields });
        }
        return Ok(if count == 0 { Returns::Nothing } else { Returns::Tensors { count, fields } });
    }
    let name = t.ident("a result type")?;
    if name == "Tensor" && t.eat("(") {
        t.ident("an alias name")?;
        t.eat("!");
        t.expect(")")?;
    }
    let list = t.eat("[");
    if list {
        t.expect("]")?;
    }
    Ok(match (name.as_str(), list) {
        ("Tensor", false) => Returns::Tensors { count: 1, fields: Vec::new() },
        ("Tensor", true) => Returns::TensorList,
        ("int", true) => Returns::Value("Vec<i64>"),
        ("bool", false) => Returns::Value("bool"),
        ("int", false) => Returns::Value("i64"),
        ("float", false) => Returns::Value("f64"),
        ("Scalar", false) => Returns::Value("Scalar"),
        ("ScalarType", false) => Returns::Value("DType"),
        // A tensor or a tuple, depending on arguments.
        ("Any", false) => Returns::Value("crate::schema::Ret"),
        _ => return Err(t.error(format!("unknown result type `{name}`"))),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Signature> {
        Signature::parse(&Span { file: "f.ops".into(), line: 3, text: text.into() })
    }

    #[test]
    fn reads_a_schema() {
        let s = parse("sum.dim_IntList(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor")
            .unwrap();
        assert_eq!((s.name.as_str(), s.overload.as_str()), ("sum", "dim_IntList"));
        let kinds: Vec<Kind> = s.params.iter().map(|p| p.kind).collect();
        assert_eq!(kinds, [Kind::Tensor, Kind::OptInts(1), Kind::Bool, Kind::OptDType]);
        assert_eq!(s.params[2].default, Some(Default::Bool(false)));
        assert!(s.params[3].keyword_only && !s.params[2].keyword_only);
        assert_eq!(s.returns.tensors(), 1);
    }

    #[test]
    fn reads_defaults_and_tuples() {
        let s = parse(
            "f(Tensor?[] a, float b=-1e-5, Scalar c=2, int[2] d=[0,-1], str e='x') -> (Tensor u, Tensor v)",
        )
        .unwrap();
        assert_eq!(s.params[0].kind, Kind::OptTensors);
        assert_eq!(s.params[1].default, Some(Default::Float(-1e-5)));
        assert_eq!(s.params[2].default, Some(Default::Int(2)));
        assert_eq!(s.params[3].default, Some(Default::Ints(vec![0, -1])));
        assert_eq!(s.returns, Returns::Tensors { count: 2, fields: vec!["u".into(), "v".into()] });
    }

    #[test]
    fn expands_options() {
        let s = parse("zeros(int[] size, *, TensorOptions options) -> Tensor").unwrap();
        let names: Vec<&str> = s.params.iter().map(|p| p.name.as_str()).collect();
        assert_eq!(names, ["size", "dtype", "layout", "device", "pin_memory", "requires_grad"]);
        assert!(s.params[1..].iter().all(|p| p.keyword_only));
    }

    #[test]
    fn complains_with_the_line() {
        for (text, message) in [
            ("f(Tensr x) -> Tensor", "f.ops:3: unknown type `Tensr` (or not of this shape)"),
            ("f(Tensor x)", "f.ops:3: expected `->`, found the end"),
            (
                "f(int a=1, int b) -> Tensor",
                "f.ops:3: parameter `b` needs a default, as those before it have one",
            ),
            ("f(int a, int a) -> Tensor", "f.ops:3: parameter `a` appears twice"),
            ("f(int a=None) -> Tensor", "f.ops:3: the default does not fit the type"),
            ("f() -> Tensor x", "f.ops:3: expected the end, found `x`"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), message);
        }
    }
}
