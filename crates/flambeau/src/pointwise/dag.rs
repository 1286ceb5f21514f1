//! Expressions at run time: hash-consed nodes with simplifying constructors, and their compilation into
//! tile programs.

use super::expr::Node;
use flambeau_core::{C64, Scalar};
use flambeau_cpu::pointwise::{Operation, Prim, Program, Source, Step};
use std::collections::HashMap;

/// Index of a node.
pub type Id = u32;

/// A node of an expression. Constants are kept by their bits so that nodes can be compared.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ex {
    Input(u8),
    Param(u8),
    Const(u64, u64),
    Unary(Prim, Id),
    Binary(Prim, Id, Id),
    Select(Id, Id, Id),
}

/// A set of expressions that share nodes.
#[derive(Clone, Debug, Default)]
pub struct Dag {
    pub nodes: Vec<Ex>,
    known: HashMap<Ex, Id>,
}

impl Dag {
    fn add(&mut self, node: Ex) -> Id {
        if let Some(&id) = self.known.get(&node) {
            return id;
        }
        let id = self.nodes.len() as Id;
        self.nodes.push(node);
        self.known.insert(node, id);
        id
    }
    /// Takes over declared nodes; `substitute` gives values for parameters that are known, `decided` what is known of
    /// choices. Products and quotients of `complex` numbers with one stay: they make NaN of infinities.
    pub fn import(
        &mut self,
        nodes: &[Node],
        substitute: &dyn Fn(u8) -> Option<f64>,
        decided: &dyn Fn(usize) -> Option<bool>,
        complex: bool,
    ) -> Id {
        let mut ids: Vec<Id> = Vec::with_capacity(nodes.len());
        for (at, node) in nodes.iter().enumerate() {
            let id = match *node {
                Node::Input(i) => self.input(i),
                Node::Param(i) => match substitute(i) {
                    Some(value) => self.constant(value),
                    None => self.add(Ex::Param(i)),
                },
                Node::Const(v) => self.constant(v),
                Node::ImagConst(v) => self.add(Ex::Const(0f64.to_bits(), v.to_bits())),
                Node::Unary(p, a) => self.unary(p, ids[a as usize]),
                Node::Binary(p @ (Prim::Mul | Prim::Div), a, b) if complex => {
                    let (a, b) = (ids[a as usize], ids[b as usize]);
                    match (self.value(a), self.value(b)) {
                        (Some(1.0 | -1.0), None) | (None, Some(1.0 | -1.0)) => self.add(Ex::Binary(p, a, b)),
                        _ => self.binary(p, a, b),
                    }
                }
                Node::Binary(p, a, b) => self.binary(p, ids[a as usize], ids[b as usize]),
                Node::Select(c, a, b) => match decided(at) {
                    Some(true) => ids[a as usize],
                    Some(false) => ids[b as usize],
                    None => self.select(ids[c as usize], ids[a as usize], ids[b as usize]),
                },
            };
            ids.push(id);
        }
        ids.last().copied().unwrap_or_default()
    }
    pub fn input(&mut self, i: u8) -> Id {
        self.add(Ex::Input(i))
    }
    pub fn constant(&mut self, v: f64) -> Id {
        self.add(Ex::Const(v.to_bits(), 0f64.to_bits()))
    }
    pub fn imaginary(&mut self) -> Id {
        self.add(Ex::Const(0f64.to_bits(), 1f64.to_bits()))
    }
    /// The value of a real constant.
    pub fn value(&self, id: Id) -> Option<f64> {
        match self.nodes[id as usize] {
            Ex::Const(re, im) if f64::from_bits(im) == 0.0 => Some(f64::from_bits(re)),
            _ => None,
        }
    }
    pub fn unary(&mut self, p: Prim, a: Id) -> Id {
        if let (Prim::Neg, Some(v)) = (p, self.value(a)) {
            return self.constant(-v);
        }
        match (p, self.nodes[a as usize]) {
            (Prim::Neg, Ex::Unary(Prim::Neg, inner)) | (Prim::Conj, Ex::Unary(Prim::Conj, inner)) => inner,
            (Prim::Real, Ex::Unary(Prim::Real | Prim::Abs | Prim::Imag | Prim::Angle, _)) => a,
            (Prim::Conj | Prim::Real, Ex::Const(_, im)) if f64::from_bits(im) == 0.0 => a,
            _ => self.add(Ex::Unary(p, a)),
        }
    }
    pub fn binary(&mut self, p: Prim, a: Id, b: Id) -> Id {
        let (x, y) = (self.value(a), self.value(b));
        match (p, x, y) {
            (Prim::Add, Some(x), Some(y)) => return self.constant(x + y),
            (Prim::Sub, Some(x), Some(y)) => return self.constant(x - y),
            (Prim::Mul, Some(x), Some(y)) => return self.constant(x * y),
            (Prim::Add, Some(0.0), _) => return b,
            (Prim::Add | Prim::Sub, _, Some(0.0)) => return a,
            (Prim::Mul, Some(1.0), _) => return b,
            (Prim::Mul | Prim::Div, _, Some(1.0)) => return a,
            (Prim::Mul, Some(-1.0), _) => return self.unary(Prim::Neg, b),
            (Prim::Mul | Prim::Div, _, Some(-1.0)) => return self.unary(Prim::Neg, a),
            (Prim::Div, Some(1.0), _) => return self.unary(Prim::Reciprocal, b),
            (Prim::Pow, _, Some(y)) => {
                if y == 0.0 {
                    return self.constant(1.0);
                } else if y == 1.0 {
                    return a;
                } else if y == 2.0 {
                    return self.mul(a, a);
                } else if y == 3.0 {
                    let square = self.mul(a, a);
                    return self.mul(square, a);
                } else if y == 0.5 {
                    return self.unary(Prim::Sqrt, a);
                } else if y == -0.5 {
                    return self.unary(Prim::Rsqrt, a);
                } else if y == -1.0 {
                    return self.unary(Prim::Reciprocal, a);
                } else if y == -2.0 {
                    let square = self.mul(a, a);
                    return self.unary(Prim::Reciprocal, square);
                }
            }
            _ => {}
        }
        self.add(Ex::Binary(p, a, b))
    }
    pub fn select(&mut self, c: Id, a: Id, b: Id) -> Id {
        if a == b { a } else { self.add(Ex::Select(c, a, b)) }
    }
    pub fn add_(&mut self, a: Id, b: Id) -> Id {
        self.binary(Prim::Add, a, b)
    }
    pub fn sub(&mut self, a: Id, b: Id) -> Id {
        self.binary(Prim::Sub, a, b)
    }
    pub fn mul(&mut self, a: Id, b: Id) -> Id {
        self.binary(Prim::Mul, a, b)
    }
    pub fn div(&mut self, a: Id, b: Id) -> Id {
        self.binary(Prim::Div, a, b)
    }
    pub fn neg(&mut self, a: Id) -> Id {
        self.unary(Prim::Neg, a)
    }

    /// Copies the expression `root` to another dag, renaming inputs.
    pub fn extract(&self, root: Id, rename: &dyn Fn(u8) -> u8) -> (Dag, Id) {
        let mut out = Dag::default();
        let mut ids: HashMap<Id, Id> = HashMap::new();
        for id in self.reachable(root) {
            let new = match self.nodes[id as usize] {
                Ex::Input(i) => out.add(Ex::Input(rename(i))),
                Ex::Unary(p, a) => out.add(Ex::Unary(p, ids[&a])),
                Ex::Binary(p, a, b) => out.add(Ex::Binary(p, ids[&a], ids[&b])),
                Ex::Select(c, a, b) => out.add(Ex::Select(ids[&c], ids[&a], ids[&b])),
                other => out.add(other),
            };
            ids.insert(id, new);
        }
        (out, ids[&root])
    }

    /// The nodes that `root` needs, operands first.
    pub fn reachable(&self, root: Id) -> Vec<Id> {
        let mut needed = vec![false; self.nodes.len()];
        needed[root as usize] = true;
        for id in (0..=root as usize).rev() {
            if !needed[id] {
                continue;
            }
            match self.nodes[id] {
                Ex::Unary(_, a) => needed[a as usize] = true,
                Ex::Binary(_, a, b) => {
                    needed[a as usize] = true;
                    needed[b as usize] = true;
                }
                Ex::Select(c, a, b) => {
                    needed[c as usize] = true;
                    needed[a as usize] = true;
                    needed[b as usize] = true;
                }
                _ => {}
            }
        }
        (0..=root).filter(|&id| needed[id as usize]).collect()
    }
    /// The inputs that `root` reads, ascending.
    pub fn inputs(&self, root: Id) -> Vec<u8> {
        let mut inputs: Vec<u8> = self
            .reachable(root)
            .into_iter()
            .filter_map(|id| match self.nodes[id as usize] {
                Ex::Input(i) => Some(i),
                _ => None,
            })
            .collect();
        inputs.sort_unstable();
        inputs
    }

    /// The tile program of `root`, and how its constants come about.
    pub fn compile(&self, root: Id) -> (Program, Vec<Constant>) {
        let order = self.reachable(root);
        let mut last_use: HashMap<Id, usize> = HashMap::new();
        for (at, &id) in order.iter().enumerate() {
            let mut touch = |x: Id| {
                last_use.insert(x, at);
            };
            match self.nodes[id as usize] {
                Ex::Unary(_, a) => touch(a),
                Ex::Binary(_, a, b) => {
                    touch(a);
                    touch(b);
                }
                Ex::Select(c, a, b) => {
                    touch(c);
                    touch(a);
                    touch(b);
                }
                _ => {}
            }
        }
        let mut place: HashMap<Id, Source> = HashMap::new();
        let mut consts: Vec<Constant> = Vec::new();
        let mut free: Vec<u8> = Vec::new();
        let mut registers = 0usize;
        let mut steps = Vec::new();
        for (at, &id) in order.iter().enumerate() {
            let node = self.nodes[id as usize];
            let args: &[Id] = match &node {
                Ex::Unary(_, a) => &[*a],
                Ex::Binary(_, a, b) => &[*a, *b],
                Ex::Select(c, a, b) => &[*c, *a, *b],
                _ => &[],
            };
            let operation = match node {
                Ex::Input(i) => {
                    place.insert(id, Source::Input(i));
                    continue;
                }
                Ex::Param(i) => {
                    place.insert(id, Source::Const(consts.len() as u8));
                    consts.push(Constant::Param(i));
                    continue;
                }
                Ex::Const(re, im) => {
                    place.insert(id, Source::Const(consts.len() as u8));
                    let (re, im) = (f64::from_bits(re), f64::from_bits(im));
                    consts.push(Constant::Value(if im == 0.0 {
                        Scalar::Float(re)
                    } else {
                        Scalar::Complex(C64::new(re, im))
                    }));
                    continue;
                }
                Ex::Unary(p, _) | Ex::Binary(p, _, _) => Operation::Prim(p),
                Ex::Select(..) => Operation::Select,
            };
            // The result's register is taken before the operands' are given back: they must differ.
            let to = free.pop().unwrap_or_else(|| {
                registers += 1;
                (registers - 1) as u8
            });
            let mut sources = [Source::Register(0); 4];
            for (slot, arg) in sources.iter_mut().zip(args) {
                *slot = place[arg];
            }
            steps.push(Step { operation, args: sources, to });
            place.insert(id, Source::Register(to));
            let mut dead: Vec<Id> = args.iter().copied().filter(|a| last_use.get(a) == Some(&at)).collect();
            dead.sort_unstable();
            dead.dedup();
            for a in dead {
                if let Some(Source::Register(r)) = place.get(&a) {
                    free.push(*r);
                }
            }
        }
        let program = Program { steps, result: place[&root], registers, consts: consts.len() };
        (program, consts)
    }
}

/// A constant operand of a program.
#[derive(Clone, Copy, Debug)]
pub enum Constant {
    Value(Scalar),
    /// The call's i-th parameter.
    Param(u8),
}
