//! Compiled forms of a declared operator: one for each alternative of its expression, and the derivatives of
//! each, made when first needed and kept.

use super::dag::{Constant, Dag, Ex, Id};
use super::derive::derivative;
use super::expr::{Case, Node, PointwiseDef};
use flambeau_core::{DType, Error, Result, Scalar};
use flambeau_cpu::pointwise::{Operation, Prim, Program};
use parking_lot::RwLock;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::sync::{LazyLock, OnceLock};

/// A parameter that is not a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ParamValue<'a> {
    None,
    Scalar(Scalar),
    Str(&'a str),
}

/// An expression ready to run.
#[derive(Debug)]
pub struct Variant {
    pub dag: Dag,
    pub root: Id,
    pub program: Program,
    pub consts: Vec<Constant>,
    pub inputs: usize,
    pub complex: bool,
    /// Whether a step divides, which integers refuse where the divisor is zero.
    pub divides: bool,
    /// Whether the values of parameters decided what is computed, so that it may not serve other ones.
    pub decided: bool,
    declared: Option<&'static PointwiseDef>,
    derivatives: Vec<OnceLock<Result<Option<Derivative>>>>,
}

/// The numbers of a program. In place without overlays: what was just written is read at once.
pub struct Consts {
    few: [Scalar; 4],
    len: usize,
    /// All of them, where they are more.
    many: Vec<Scalar>,
}

impl Consts {
    #[inline]
    pub fn new() -> Consts {
        Consts { few: [Scalar::Int(0); 4], len: 0, many: Vec::new() }
    }
    #[inline]
    fn push(&mut self, value: Scalar) {
        if self.len < 4 {
            self.few[self.len] = value;
        } else {
            if self.len == 4 {
                self.many.extend(self.few);
            }
            self.many.push(value);
        }
        self.len += 1;
    }
}

impl std::ops::Deref for Consts {
    type Target = [Scalar];
    #[inline]
    fn deref(&self) -> &[Scalar] {
        if self.len <= 4 { &self.few[..self.len] } else { &self.many }
    }
}

/// The gradient expression with respect to one input.
#[derive(Debug)]
pub struct Derivative {
    pub variant: Variant,
    /// Its operands: an input of the operator, or `inputs` for the output gradient, `inputs + 1` for the result.
    pub uses: SmallVec<[u8; 4]>,
    /// The gradient is the output gradient itself.
    pub identity: bool,
}

#[derive(PartialEq, Eq, Hash)]
struct Key {
    def: usize,
    case: u8,
    complex: bool,
    /// Parameters that are small numbers are built in: `1*x` needs no product.
    fixed: SmallVec<[Option<i8>; 4]>,
    decided: Decided,
}

/// As few as the declarations and their parameters allow, and needed for ever: they are never freed.
static VARIANTS: LazyLock<RwLock<HashMap<Key, &'static Variant>>> = LazyLock::new(Default::default);

/// The bit of a dtype's category, as in [`Case`].
pub fn category_bit(dtype: DType) -> u8 {
    match dtype.category() {
        flambeau_core::Category::Bool => 1,
        flambeau_core::Category::Integral => 2,
        flambeau_core::Category::Float => 4,
        flambeau_core::Category::Complex => 8,
    }
}

/// What parameters alone decide: the choices among the first 32 nodes, as bits, and which way they go.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
struct Decided {
    known: u32,
    first: u32,
}

impl Decided {
    fn of(self, node: usize) -> Option<bool> {
        (node < 32 && self.known >> node & 1 == 1).then(|| self.first >> node & 1 == 1)
    }
}

/// The choices whose conditions compare parameters with constants: only one side of them has to be computed.
#[inline]
fn decide(nodes: &[Node], params: &[ParamValue], dtype: DType) -> Decided {
    let mut decided = Decided::default();
    for (at, node) in nodes.iter().enumerate().take(32) {
        if let Node::Select(condition, ..) = *node
            && let Some(first) = condition_of(nodes, condition, params, dtype)
        {
            decided.known |= 1 << at;
            decided.first |= (first as u32) << at;
        }
    }
    decided
}

/// A comparison of real numbers as kernels make it, if it depends on parameters and constants alone.
fn condition_of(nodes: &[Node], condition: u16, params: &[ParamValue], dtype: DType) -> Option<bool> {
    let value = |node: u16| {
        let number = |node: u16| {
            let exact = match nodes[node as usize] {
                Node::Const(v) => v,
                Node::Param(i) => match params.get(i as usize)? {
                    ParamValue::Scalar(s) if !s.is_complex() => s.to_f64(),
                    _ => return None,
                },
                _ => return None,
            };
            match dtype.compute() {
                DType::Float32 => Some(f64::from(exact as f32)),
                DType::Float64 => Some(exact),
                _ => None,
            }
        };
        match nodes[node as usize] {
            Node::Unary(Prim::Abs, a) => number(a).map(f64::abs),
            _ => number(node),
        }
    };
    let Node::Binary(p, a, b) = nodes[condition as usize] else { return None };
    let (a, b) = (value(a)?, value(b)?);
    match p {
        Prim::Lt => Some(a < b),
        Prim::Le => Some(a <= b),
        Prim::Gt => Some(a > b),
        Prim::Ge => Some(a >= b),
        _ => None,
    }
}

/// The alternative that serves these parameters and this computation dtype.
fn choose(cases: &'static [Case], params: &[ParamValue], dtype: DType) -> Option<usize> {
    cases.iter().position(|case| {
        case.categories & category_bit(dtype) != 0
            && case.when.iter().all(|&(i, text)| match params.get(i as usize) {
                Some(ParamValue::Str(s)) => *s == text,
                Some(ParamValue::None) => text == "None",
                Some(ParamValue::Scalar(Scalar::Bool(b))) => text == if *b { "True" } else { "False" },
                Some(ParamValue::Scalar(_)) => text == "Some",
                None => false,
            })
    })
}

/// The code of a parameter that is built in, which is twice the number: small integers, and halves that exponents
/// are (that of a power's derivative is one less).
pub(super) fn fixed(param: &ParamValue) -> Option<i8> {
    match param {
        ParamValue::Scalar(Scalar::Int(i)) => (-3..=4).contains(i).then(|| 2 * *i as i8),
        ParamValue::Scalar(Scalar::Float(f)) => {
            // A conversion that does not fit gives a number that is not the same.
            let twice = (2.0 * f) as i8;
            let built_in = (-6..=8).contains(&twice) && (twice % 2 == 0 || (-1..=3).contains(&twice));
            (built_in && f64::from(twice) == 2.0 * f).then_some(twice)
        }
        ParamValue::Scalar(s) if !s.is_complex() => (-3..=4).find(|&n| s.is(n)).map(|n| 2 * n as i8),
        _ => None,
    }
}

/// The compiled form of `def` for a call; none if no alternative serves it.
pub fn variant(def: &'static PointwiseDef, params: &[ParamValue], dtype: DType) -> Option<&'static Variant> {
    let case = choose(def.cases, params, dtype)?;
    let nodes = def.cases[case].nodes;
    let key = Key {
        def: def as *const PointwiseDef as usize,
        case: case as u8,
        complex: dtype.is_complex(),
        fixed: params.iter().map(fixed).collect(),
        decided: if params.is_empty() { Decided::default() } else { decide(nodes, params, dtype) },
    };
    if let Some(v) = VARIANTS.read().get(&key) {
        return Some(*v);
    }
    let mut dag = Dag::default();
    let root = dag.import(nodes, &|i| substitute(&key.fixed, i), &|at| key.decided.of(at), key.complex);
    let mut fresh = Variant::new(dag, root, def.tensors.len(), key.complex, Some(def));
    fresh.decided = key.decided.known != 0;
    // `grad` overrides are resolved here, where the parameters are known.
    for over in def.overrides {
        let slot = &fresh.derivatives[over.input as usize];
        let result = if over.zero {
            Ok(None)
        } else {
            match choose(over.cases, params, dtype) {
                None => Err(Error::not_implemented(format!(
                    "the derivative for '{}' is not implemented.",
                    if over.refused.is_empty() { def.name } else { over.refused }
                ))),
                Some(c) => {
                    let mut dag = Dag::default();
                    let root =
                        dag.import(over.cases[c].nodes, &|i| substitute(&key.fixed, i), &|_| None, false);
                    Ok(Some(Derivative::new(&dag, root, fresh.inputs, key.complex)))
                }
            }
        };
        let _ = slot.set(result);
    }
    Some(*VARIANTS.write().entry(key).or_insert_with(|| Box::leak(Box::new(fresh))))
}

fn substitute(fixed: &[Option<i8>], i: u8) -> Option<f64> {
    fixed.get(i as usize).copied().flatten().map(|twice| f64::from(twice) / 2.0)
}

impl Variant {
    fn new(
        dag: Dag,
        root: Id,
        inputs: usize,
        complex: bool,
        declared: Option<&'static PointwiseDef>,
    ) -> Variant {
        let (mut program, consts) = dag.compile(root);
        if declared.is_some_and(|d| d.fused) {
            program.fuse();
        }
        if !complex {
            program.join();
        }
        let derivatives = (0..inputs).map(|_| OnceLock::new()).collect();
        let divides = program.steps.iter().any(|s| {
            matches!(s.operation, Operation::Prim(Prim::Div | Prim::FloorDiv | Prim::Fmod | Prim::Remainder))
        });
        Variant {
            dag,
            root,
            program,
            consts,
            inputs,
            complex,
            divides,
            decided: false,
            declared,
            derivatives,
        }
    }
    /// The gradient expression with respect to input `i`: none if zero, an error if there is no derivative.
    pub fn derivative(&self, i: usize) -> Result<Option<&Derivative>> {
        let made = self.derivatives[i].get_or_init(|| {
            let missing =
                |name: &str| Error::runtime(format!("derivative for aten::{name} is not implemented"));
            if let Some(def) = self.declared.filter(|d| !d.differentiable) {
                return Err(missing(def.name));
            }
            let mut dag = self.dag.clone();
            let grad = dag.input(self.inputs as u8);
            let root =
                derivative(&mut dag, self.root, i as u8, grad, self.complex).map_err(|p| missing(&p))?;
            Ok(root.map(|root| {
                // What equals the forward result is read from it instead of being computed again.
                let (dag, root) = share_result(&dag, root, self.root, self.inputs as u8 + 1);
                Derivative::new(&dag, root, self.inputs, self.complex)
            }))
        });
        match made {
            Ok(d) => Ok(d.as_ref()),
            Err(e) => Err(e.clone()),
        }
    }
    /// The constants of a call, whose parameters `value` gives.
    #[inline]
    pub fn constants(&self, value: impl Fn(usize) -> Option<Scalar>) -> Consts {
        let mut out = Consts::new();
        self.fill(&mut out, value);
        out
    }
    /// As [`Variant::constants`], in their place.
    #[inline]
    pub fn fill(&self, out: &mut Consts, value: impl Fn(usize) -> Option<Scalar>) {
        for c in &self.consts {
            out.push(match c {
                Constant::Value(v) => *v,
                Constant::Param(i) => value(*i as usize).unwrap_or(Scalar::Int(0)),
            });
        }
    }
}

/// Replaces the forward expression by an input that holds its value, unless it is a mere operand, or one of the operators
/// whose results PyTorch does not save either: programs may change these in place.
fn share_result(dag: &Dag, root: Id, forward: Id, result: u8) -> (Dag, Id) {
    let apart = matches!(
        dag.nodes[forward as usize],
        Ex::Input(_)
            | Ex::Param(_)
            | Ex::Const(..)
            | Ex::Binary(Prim::Div, ..)
            | Ex::Unary(Prim::Sinc | Prim::Erfinv, _)
    );
    if apart || root == forward {
        return dag.extract(root, &|i| i);
    }
    let mut changed = dag.clone();
    if changed.reachable(root).contains(&forward) {
        changed.nodes[forward as usize] = Ex::Input(result);
    }
    changed.extract(root, &|i| i)
}

impl Derivative {
    fn new(dag: &Dag, root: Id, inputs: usize, complex: bool) -> Derivative {
        let uses: SmallVec<[u8; 4]> = dag.inputs(root).into_iter().collect();
        let (dag, root) = dag.extract(root, &|i| uses.iter().position(|&u| u == i).unwrap_or_default() as u8);
        let identity = matches!(dag.nodes[root as usize], Ex::Input(_)) && uses[..] == [inputs as u8];
        let variant = Variant::new(dag, root, uses.len(), complex, None);
        Derivative { variant, uses, identity }
    }
}
