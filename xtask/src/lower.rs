//! From syntax to the node lists of the run-time tables: names are resolved, equal nodes shared, and choices
//! between texts (or None) become separate cases.

use crate::decl::{Piece, Pointwise, categories_of, snake};
use crate::diag::{Result, Span};
use crate::expr::Expr;
use crate::signature::{Kind, Param};
use std::collections::HashMap;

/// A node as in `flambeau::pointwise::expr::Node`.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    Input(u8),
    Param(u8),
    Const(f64),
    ImagConst(f64),
    Unary(String, u16),
    Binary(String, u16, u16),
    Select(u16, u16, u16),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// Parameter index and its text value.
    pub when: Vec<(u8, String)>,
    pub categories: u8,
    pub nodes: Vec<Node>,
}

/// The primitive functions: their names in expressions, in Rust, and how many operands they take.
#[derive(Debug)]
pub struct Prims(HashMap<String, (String, usize)>);

impl Prims {
    /// Reads them from the text of the enum that defines them.
    pub fn read(source: &str) -> Prims {
        let mut map = HashMap::new();
        let body = source.split_once("pub enum Prim {").map_or("", |parts| parts.1);
        let body = body.split_once("\n}").map_or("", |parts| parts.0);
        let mut arity = 1;
        for line in body.lines().map(str::trim) {
            let Some(variant) =
                line.strip_suffix(',').filter(|v| v.chars().all(|c| c.is_ascii_alphanumeric()))
            else {
                continue;
            };
            if variant == "Add" {
                arity = 2;
            }
            map.insert(snake(variant), (variant.to_string(), arity));
        }
        Prims(map)
    }
}

/// Named constants of expressions.
const CONSTANTS: [(&str, f64); 17] = [
    ("PI", std::f64::consts::PI),
    ("E", std::f64::consts::E),
    ("SQRT2", std::f64::consts::SQRT_2),
    ("SQRT1_2", std::f64::consts::FRAC_1_SQRT_2),
    ("LN2", std::f64::consts::LN_2),
    ("LN10", std::f64::consts::LN_10),
    ("LOG2E", std::f64::consts::LOG2_E),
    ("LOG10E", std::f64::consts::LOG10_E),
    ("FRAC_1_PI", std::f64::consts::FRAC_1_PI),
    ("FRAC_PI_2", std::f64::consts::FRAC_PI_2),
    ("FRAC_2_SQRTPI", std::f64::consts::FRAC_2_SQRT_PI),
    // 1 / sqrt(2 pi) and log(sqrt(2 pi))
    ("FRAC_1_SQRT2PI", 0.398_942_280_401_432_7),
    ("LN_SQRT2PI", 0.918_938_533_204_672_8),
    ("LN_PI", 1.144_729_885_849_400_2),
    ("EULER_GAMMA", 0.577_215_664_901_532_9),
    ("INF", f64::INFINITY),
    ("NAN", f64::NAN),
];

/// What the names of one entry's expressions mean.
#[derive(Debug)]
pub struct Scope<'a> {
    pub prims: &'a Prims,
    pub params: &'a [Param],
    /// Whether `grad` and `result` may be used.
    pub gradient: bool,
}

/// Indices of the tensor parameters and of the others (a flag `inplace` counts among neither).
pub fn split_params(params: &[Param]) -> (Vec<u8>, Vec<u8>) {
    let (mut tensors, mut others) = (Vec::new(), Vec::new());
    for (i, p) in params.iter().enumerate() {
        match p.kind {
            Kind::Tensor => tensors.push(i as u8),
            _ if p.name == "inplace" => {}
            _ => others.push(i as u8),
        }
    }
    (tensors, others)
}

/// The cases of an operator's expressions, over the categories of its dtypes.
pub fn cases(scope: &Scope, pieces: &[Piece], pointwise: &Pointwise, span: &Span) -> Result<Vec<Case>> {
    let mut left = categories_of(pointwise.dtypes);
    let mut cases = Vec::new();
    // Special expressions take their categories first; the general one gets the rest.
    let (special, general): (Vec<_>, Vec<_>) = pieces.iter().partition(|p| p.categories != 0);
    if general.len() > 1 {
        return general[1].span.error("a second expression for the same dtypes");
    }
    for piece in &special {
        // An expression for a category without dtypes would never run.
        if piece.categories & left == 0 {
            return piece.span.error("no dtype is left for this expression");
        }
        lower_cases(scope, piece, piece.categories & left, &mut cases)?;
        left &= !piece.categories;
    }
    match general.first() {
        Some(piece) if left != 0 => lower_cases(scope, piece, left, &mut cases)?,
        Some(piece) => return piece.span.error("no dtype is left for this expression"),
        None if left != 0 => return span.error("some dtypes have no expression"),
        None => {}
    }
    Ok(cases)
}

fn lower_cases(scope: &Scope, piece: &Piece, categories: u8, cases: &mut Vec<Case>) -> Result<()> {
    // Assumptions about text parameters still to be worked off, last first.
    let mut work = vec![Known::default()];
    while let Some(known) = work.pop() {
        let mut lowering =
            Lowering { scope, span: &piece.span, known: &known, nodes: Vec::new(), lets: Vec::new() };
        match lowering.expr(&piece.expr) {
            Ok(root) => {
                let nodes = prune(&lowering.nodes, root);
                cases.push(Case { when: known.equal, categories, nodes });
            }
            Err(Stop::Split(param, value)) => {
                let mut not = known.clone();
                if value == "None" {
                    not.equal.push((param, "Some".into()));
                } else {
                    not.different.push((param, value.clone()));
                }
                let mut yes = known;
                yes.equal.push((param, value));
                work.push(not);
                work.push(yes);
            }
            Err(Stop::Error(message)) => return piece.span.error(message),
        }
    }
    Ok(())
}

/// What is assumed of text (or optional) parameters.
#[derive(Clone, Debug, Default)]
struct Known {
    equal: Vec<(u8, String)>,
    different: Vec<(u8, String)>,
}

impl Known {
    /// Whether `param == value`, if that follows.
    fn holds(&self, param: u8, value: &str) -> Option<bool> {
        if let Some((_, known)) = self.equal.iter().find(|(p, _)| *p == param) {
            return Some(known == value);
        }
        self.different.iter().any(|(p, v)| *p == param && v == value).then_some(false)
    }
}

/// Why lowering did not go through.
enum Stop {
    /// It depends on whether the parameter has this text value.
    Split(u8, String),
    Error(String),
}

impl From<String> for Stop {
    fn from(message: String) -> Stop {
        Stop::Error(message)
    }
}

struct Lowering<'a> {
    scope: &'a Scope<'a>,
    span: &'a Span,
    known: &'a Known,
    nodes: Vec<Node>,
    lets: Vec<(String, u16)>,
}

impl Lowering<'_> {
    fn add(&mut self, node: Node) -> u16 {
        if let Some(i) = self.nodes.iter().position(|n| same(n, &node)) {
            return i as u16;
        }
        self.nodes.push(node);
        (self.nodes.len() - 1) as u16
    }

    fn expr(&mut self, expr: &Expr) -> Result<u16, Stop> {
        Ok(match expr {
            Expr::Number(v) => self.add(Node::Const(*v)),
            Expr::Name(name) => self.name(name)?,
            Expr::Text(text) => {
                return Err(format!("text {text:?} can only be compared with a parameter").into());
            }
            Expr::None => return Err("None can only be compared with a parameter".to_string().into()),
            Expr::Unary(operator, a) => {
                let a = self.expr(a)?;
                match (*operator, &self.nodes[a as usize]) {
                    ("-", Node::Const(v)) => {
                        let v = -v;
                        self.add(Node::Const(v))
                    }
                    ("-", _) => self.add(Node::Unary("Neg".into(), a)),
                    _ => self.add(Node::Unary("Not".into(), a)),
                }
            }
            Expr::Binary(operator, a, b) => {
                if !matches!(*operator, "&&" | "||") && self.choice(expr)?.is_some() {
                    return Err("such a comparison can only be the condition of `?`".to_string().into());
                }
                let (a, b) = (self.expr(a)?, self.expr(b)?);
                self.binary(operator, a, b)
            }
            Expr::Select(condition, yes, no) => {
                if let Some(holds) = self.choice(condition)? {
                    return self.expr(if holds { yes } else { no });
                }
                let (c, a, b) = (self.expr(condition)?, self.expr(yes)?, self.expr(no)?);
                self.add(Node::Select(c, a, b))
            }
            Expr::Call(name, args) => {
                let Some((variant, arity)) = self.scope.prims.0.get(name).cloned() else {
                    return Err(format!("unknown function `{name}`").into());
                };
                if arity != args.len() {
                    return Err(format!("`{name}` takes {arity} operands, not {}", args.len()).into());
                }
                let mut operands = Vec::new();
                for arg in args {
                    operands.push(self.expr(arg)?);
                }
                match operands[..] {
                    [a] => self.add(Node::Unary(variant, a)),
                    [a, b] => self.add(Node::Binary(variant, a, b)),
                    _ => return Err(format!("`{name}` has an unknown number of operands").into()),
                }
            }
            Expr::Let(name, value, rest) => {
                let value = self.expr(value)?;
                self.lets.push((name.clone(), value));
                let rest = self.expr(rest);
                self.lets.pop();
                rest?
            }
        })
    }

    fn binary(&mut self, operator: &str, a: u16, b: u16) -> u16 {
        // Arithmetic of constants is done here, so that `2*PI` is one number.
        if let (Node::Const(x), Node::Const(y)) = (&self.nodes[a as usize], &self.nodes[b as usize]) {
            let folded = match operator {
                "+" => Some(x + y),
                "-" => Some(x - y),
                "*" => Some(x * y),
                "/" => Some(x / y),
                _ => None,
            };
            if let Some(value) = folded {
                return self.add(Node::Const(value));
            }
        }
        if let ("*", Node::Const(x), Node::ImagConst(y)) =
            (operator, &self.nodes[a as usize], &self.nodes[b as usize])
        {
            let value = x * y;
            return self.add(Node::ImagConst(value));
        }
        let prim = match operator {
            "+" => "Add",
            "-" => "Sub",
            "*" => "Mul",
            "/" => "Div",
            "<" => "Lt",
            "<=" => "Le",
            ">" => "Gt",
            ">=" => "Ge",
            "==" => "Eq",
            "!=" => "Ne",
            "&&" => "And",
            _ => "Or",
        };
        self.add(Node::Binary(prim.into(), a, b))
    }

    fn name(&mut self, name: &str) -> Result<u16, Stop> {
        if let Some((_, node)) = self.lets.iter().rev().find(|(n, _)| n == name) {
            return Ok(*node);
        }
        let (tensors, others) = split_params(self.scope.params);
        if let Some(i) = self.param(name) {
            let param = &self.scope.params[i as usize];
            if let Some(input) = tensors.iter().position(|t| *t == i) {
                return Ok(self.add(Node::Input(input as u8)));
            }
            return match (param.kind, others.iter().position(|t| *t == i)) {
                (Kind::Scalar | Kind::Int | Kind::Float | Kind::Bool, Some(index)) => {
                    Ok(self.add(Node::Param(index as u8)))
                }
                (Kind::OptScalar | Kind::OptInt | Kind::OptFloat, Some(index)) => {
                    match self.known.holds(index as u8, "None") {
                        Some(false) => Ok(self.add(Node::Param(index as u8))),
                        Some(true) => Err(format!("`{name}` is None here").into()),
                        None => Err(format!("`{name}` may be None here; test it first").into()),
                    }
                }
                _ => Err(format!("parameter `{name}` is not a number").into()),
            };
        }
        if self.scope.gradient && (name == "grad" || name == "result") {
            let index = tensors.len() + usize::from(name == "result");
            return Ok(self.add(Node::Input(index as u8)));
        }
        if name == "I" {
            return Ok(self.add(Node::ImagConst(1.0)));
        }
        match CONSTANTS.iter().find(|c| c.0 == name) {
            Some((_, value)) => Ok(self.add(Node::Const(*value))),
            None => Err(format!("unknown name `{name}` in `{}`", self.span.text).into()),
        }
    }

    fn param(&self, name: &str) -> Option<u8> {
        self.scope.params.iter().position(|p| p.name == name).map(|i| i as u8)
    }

    /// For comparisons of a parameter with a text or None: whether they hold. None for other conditions.
    fn choice(&mut self, condition: &Expr) -> Result<Option<bool>, Stop> {
        match condition {
            Expr::Unary("!", inner) => Ok(self.choice(inner)?.map(|holds| !holds)),
            Expr::Name(name) => {
                let (_, others) = split_params(self.scope.params);
                let flag = self.param(name).filter(|i| self.scope.params[*i as usize].kind == Kind::Bool);
                let Some(index) = flag.and_then(|i| others.iter().position(|o| *o == i)) else {
                    return Ok(None);
                };
                match self.known.holds(index as u8, "True") {
                    Some(holds) => Ok(Some(holds)),
                    None => Err(Stop::Split(index as u8, "True".into())),
                }
            }
            Expr::Binary(operator @ ("&&" | "||"), a, b) => {
                let (Some(x), Some(y)) = (self.choice(a)?, self.choice(b)?) else { return Ok(None) };
                Ok(Some(if *operator == "&&" { x && y } else { x || y }))
            }
            Expr::Binary(operator @ ("==" | "!="), a, b) => {
                let (Expr::Name(name), value) = (&**a, &**b) else { return Ok(None) };
                let value = match value {
                    Expr::Text(text) => text.clone(),
                    Expr::None => "None".to_string(),
                    _ => return Ok(None),
                };
                let (_, others) = split_params(self.scope.params);
                let index = self.param(name).and_then(|i| others.iter().position(|o| *o == i));
                let Some(index) = index else { return Err(format!("unknown parameter `{name}`").into()) };
                match self.known.holds(index as u8, &value) {
                    Some(holds) => Ok(Some(holds == (*operator == "=="))),
                    None => Err(Stop::Split(index as u8, value)),
                }
            }
            _ => Ok(None),
        }
    }
}

/// Equality that tells 0 from -0 and NaN equal to itself.
fn same(a: &Node, b: &Node) -> bool {
    match (a, b) {
        (Node::Const(x), Node::Const(y)) | (Node::ImagConst(x), Node::ImagConst(y)) => {
            x.to_bits() == y.to_bits()
        }
        _ => a == b,
    }
}

/// Drops nodes that the root does not need (left over from folding) and puts the root last.
fn prune(nodes: &[Node], root: u16) -> Vec<Node> {
    let mut needed = vec![false; nodes.len()];
    needed[root as usize] = true;
    for i in (0..=root as usize).rev() {
        if needed[i] {
            match nodes[i] {
                Node::Unary(_, a) => needed[a as usize] = true,
                Node::Binary(_, a, b) => {
                    needed[a as usize] = true;
                    needed[b as usize] = true;
                }
                Node::Select(c, a, b) => {
                    needed[c as usize] = true;
                    needed[a as usize] = true;
                    needed[b as usize] = true;
                }
                _ => {}
            }
        }
    }
    let mut place = vec![0u16; nodes.len()];
    let mut kept = Vec::new();
    for (i, node) in nodes.iter().enumerate() {
        if needed[i] {
            place[i] = kept.len() as u16;
            let at = |j: &u16| place[*j as usize];
            kept.push(match node {
                Node::Unary(p, a) => Node::Unary(p.clone(), at(a)),
                Node::Binary(p, a, b) => Node::Binary(p.clone(), at(a), at(b)),
                Node::Select(c, a, b) => Node::Select(at(c), at(a), at(b)),
                other => other.clone(),
            });
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decl::{Entry, parse_file};

    const SOURCE: &str = "pub enum Prim {\n    Neg,\n    /// doc, with comma,\n    Exp,\n    BesselJ0,\n    Add,\n    Pow,\n}\n";

    fn lower(text: &str) -> std::result::Result<Vec<Case>, String> {
        let mut errors = Vec::new();
        let entries: Vec<Entry> = parse_file("f.ops", "f", text, &mut errors);
        assert!(errors.is_empty(), "{errors:?}");
        let (entry, prims) = (&entries[0], Prims::read(SOURCE));
        let scope = Scope { prims: &prims, params: &entry.signature.params, gradient: false };
        let pointwise = entry.pointwise.as_ref().unwrap();
        cases(&scope, &pointwise.exprs, pointwise, &entry.span).map_err(|e| e.to_string())
    }

    #[test]
    fn reads_primitives() {
        let prims = Prims::read(SOURCE);
        assert_eq!(prims.0["bessel_j0"], ("BesselJ0".to_string(), 1));
        assert_eq!(prims.0["pow"], ("Pow".to_string(), 2));
        assert_eq!(prims.0.len(), 5);
    }

    #[test]
    fn shares_nodes_and_folds() {
        let cases = lower("f(Tensor self) -> Tensor\n  expr: exp(self*(2*3)) + exp(self*6)\n").unwrap();
        use Node::*;
        let nodes = [
            Input(0),
            Const(6.0),
            Binary("Mul".into(), 0, 1),
            Unary("Exp".into(), 2),
            Binary("Add".into(), 3, 3),
        ];
        assert_eq!(cases, [Case { when: vec![], categories: 15, nodes: nodes.to_vec() }]);
    }

    #[test]
    fn splits_texts_and_none() {
        let cases = lower(
            "f(Tensor self, Scalar? a, str m) -> Tensor\n  expr int: self\n  expr: m == \"x\" ? 1 : a != None ? a : 0\n",
        )
        .unwrap();
        let when: Vec<_> = cases.iter().map(|c| (c.when.clone(), c.categories, c.nodes.clone())).collect();
        assert_eq!(when[0], (vec![], 2, vec![Node::Input(0)]));
        assert_eq!(when[1], (vec![(1, "x".into())], 13, vec![Node::Const(1.0)]));
        assert_eq!(when[2], (vec![(0, "None".into())], 13, vec![Node::Const(0.0)]));
        assert_eq!(when[3], (vec![(0, "Some".into())], 13, vec![Node::Param(0)]));
    }

    #[test]
    fn errors() {
        for (text, message) in [
            ("exq(self)", "f.ops:2: unknown function `exq`"),
            ("pow(self)", "f.ops:2: `pow` takes 2 operands, not 1"),
            ("selv", "f.ops:2: unknown name `selv` in `selv`"),
            ("a", "f.ops:2: `a` may be None here; test it first"),
            ("grad", "f.ops:2: unknown name `grad` in `grad`"),
            ("self == \"x\" ? 1 : 2", "f.ops:2: unknown parameter `self`"),
        ] {
            let text = format!("f(Tensor self, Scalar? a) -> Tensor\n  expr: {text}\n");
            assert_eq!(lower(&text).unwrap_err(), message);
        }
        let text = "f(Tensor self) -> Tensor\n  dtypes: float, bool\n  expr float: self\n";
        assert_eq!(lower(text).unwrap_err(), "f.ops:1: some dtypes have no expression");
    }
}
