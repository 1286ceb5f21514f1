//! Symbolic reverse-mode differentiation of pointwise expressions. The derivative is an expression again,
//! so it is run fused and can be differentiated without end. For complex numbers gradients follow PyTorch's
//! convention: the conjugate Wirtinger derivative (Kreutz-Delgado, "The complex gradient operator", 2009).

use super::dag::{Dag, Ex, Id};
use flambeau_cpu::pointwise::Prim;
use std::f64::consts::{FRAC_2_SQRT_PI, LN_2, LN_10, PI};

/// The gradient of `root` with respect to input `wrt` as an expression; `grad` names the gradient of `root`.
/// `Ok(None)` where it is zero everywhere, `Err` where a function in it has no derivative.
pub fn derivative(dag: &mut Dag, root: Id, wrt: u8, grad: Id, complex: bool) -> Result<Option<Id>, String> {
    // A function in pieces has a derivative in pieces. Choosing among the derivatives, instead of passing a
    // chosen gradient into both pieces, keeps the NaN of a piece that does not apply out of the result.
    if let Ex::Select(condition, a, b) = dag.nodes[root as usize] {
        let da = derivative(dag, a, wrt, grad, complex)?;
        let db = derivative(dag, b, wrt, grad, complex)?;
        if da.is_none() && db.is_none() {
            return Ok(None);
        }
        let zero = dag.constant(0.0);
        return Ok(Some(dag.select(condition, da.unwrap_or(zero), db.unwrap_or(zero))));
    }
    let order = dag.reachable(root);
    let mut adjoints: Vec<Option<Id>> = vec![None; root as usize + 1];
    adjoints[root as usize] = Some(grad);
    let mut total = None;
    let depends = dependents(dag, &order, wrt, root);
    for &id in order.iter().rev() {
        let Some(adjoint) = adjoints[id as usize] else { continue };
        let mut rule = Rule { dag, complex, adjoint, adjoints: &mut adjoints, depends: &depends };
        match rule.dag.nodes[id as usize] {
            Ex::Input(i) if i == wrt => total = Some(adjoint),
            Ex::Input(_) | Ex::Param(_) | Ex::Const(..) => {}
            Ex::Unary(p, a) => rule.unary(p, id, a)?,
            Ex::Binary(p, a, b) => rule.binary(p, id, a, b)?,
            Ex::Select(c, a, b) => {
                let zero = rule.dag.constant(0.0);
                if rule.wants(a) {
                    let part = rule.dag.select(c, adjoint, zero);
                    rule.give(a, part);
                }
                if rule.wants(b) {
                    let part = rule.dag.select(c, zero, adjoint);
                    rule.give(b, part);
                }
            }
        }
    }
    Ok(total)
}

fn dependents(dag: &Dag, order: &[Id], wrt: u8, root: Id) -> Vec<bool> {
    let mut depends = vec![false; root as usize + 1];
    for &id in order {
        depends[id as usize] = match dag.nodes[id as usize] {
            Ex::Input(i) => i == wrt,
            Ex::Param(_) | Ex::Const(..) => false,
            Ex::Unary(_, a) => depends[a as usize],
            Ex::Binary(_, a, b) => depends[a as usize] || depends[b as usize],
            Ex::Select(_, a, b) => depends[a as usize] || depends[b as usize],
        };
    }
    depends
}

struct Rule<'a> {
    dag: &'a mut Dag,
    complex: bool,
    adjoint: Id,
    adjoints: &'a mut [Option<Id>],
    depends: &'a [bool],
}

impl Rule<'_> {
    fn wants(&self, id: Id) -> bool {
        self.depends[id as usize]
    }
    fn give(&mut self, to: Id, part: Id) {
        self.adjoints[to as usize] = Some(match self.adjoints[to as usize] {
            None => part,
            Some(sum) => self.dag.add_(sum, part),
        });
    }
    fn conj(&mut self, id: Id) -> Id {
        if self.complex { self.dag.unary(Prim::Conj, id) } else { id }
    }
    /// Adds `adjoint * conj(derivative)`.
    fn holomorphic(&mut self, to: Id, derivative: Id) {
        let d = self.conj(derivative);
        let part = self.dag.mul(self.adjoint, d);
        self.give(to, part);
    }
    /// The same, but `value + slope * x` at x = 0, where the formula has no value.
    fn holomorphic_but_at_zero(&mut self, to: Id, value: f64, slope: f64, derivative: Id) {
        let zero = self.c(0.0);
        let at_zero = self.dag.binary(Prim::Eq, to, zero);
        let mut exact = self.scaled(value, self.adjoint);
        if slope != 0.0 {
            let x = self.conj(to);
            let line = self.scaled(slope, x);
            let part = self.dag.mul(self.adjoint, line);
            exact = self.dag.add_(exact, part);
        }
        let d = self.conj(derivative);
        let part = self.dag.mul(self.adjoint, d);
        let part = self.dag.select(at_zero, exact, part);
        self.give(to, part);
    }
    fn c(&mut self, v: f64) -> Id {
        self.dag.constant(v)
    }
    fn one_minus(&mut self, a: Id) -> Id {
        let one = self.c(1.0);
        self.dag.sub(one, a)
    }
    fn square(&mut self, a: Id) -> Id {
        self.dag.mul(a, a)
    }
    fn scaled(&mut self, factor: f64, a: Id) -> Id {
        let f = self.c(factor);
        self.dag.mul(f, a)
    }
    fn un(&mut self, p: Prim, a: Id) -> Id {
        self.dag.unary(p, a)
    }

    fn unary(&mut self, p: Prim, u: Id, a: Id) -> Result<(), String> {
        use Prim::*;
        if !self.wants(a) {
            return Ok(());
        }
        let adj = self.adjoint;
        let d = match p {
            Neg => {
                let part = self.dag.neg(adj);
                self.give(a, part);
                return Ok(());
            }
            Conj => {
                let part = self.conj(adj);
                self.give(a, part);
                return Ok(());
            }
            Real => {
                let part = if self.complex { self.un(Real, adj) } else { adj };
                self.give(a, part);
                return Ok(());
            }
            Imag => {
                if self.complex {
                    let g = self.un(Real, adj);
                    let i = self.dag.imaginary();
                    let part = self.dag.mul(g, i);
                    self.give(a, part);
                }
                return Ok(());
            }
            Abs => {
                let g = if self.complex { self.un(Real, adj) } else { adj };
                let s = self.un(Sgn, a);
                let part = self.dag.mul(g, s);
                self.give(a, part);
                return Ok(());
            }
            Angle => {
                if self.complex {
                    // d atan2(y, x) = (-y dx + x dy) / |z|^2
                    let g = self.un(Real, adj);
                    let i = self.dag.imaginary();
                    let iz = self.dag.mul(i, a);
                    let r = self.un(Abs, a);
                    let r2 = self.square(r);
                    let q = self.dag.div(iz, r2);
                    let zero = self.c(0.0);
                    let at_zero = self.dag.binary(Eq, a, zero);
                    let q = self.dag.select(at_zero, zero, q);
                    let part = self.dag.mul(g, q);
                    self.give(a, part);
                }
                return Ok(());
            }
            Sgn => {
                if self.complex {
                    // (g - s Re(conj(s) g)) / |z|
                    let sc = self.conj(u);
                    let inner = self.dag.mul(sc, adj);
                    let re = self.un(Real, inner);
                    let along = self.dag.mul(u, re);
                    let across = self.dag.sub(adj, along);
                    let r = self.un(Abs, a);
                    let q = self.dag.div(across, r);
                    let zero = self.c(0.0);
                    let at_zero = self.dag.binary(Eq, a, zero);
                    let part = self.dag.select(at_zero, zero, q);
                    self.give(a, part);
                }
                return Ok(());
            }
            Floor | Ceil | Round | Trunc | Isnan | Isinf | Isfinite | Signbit | Not | BitNot => return Ok(()),
            Exp => u,
            Exp2 => self.scaled(LN_2, u),
            Expm1 => {
                let one = self.c(1.0);
                self.dag.add_(u, one)
            }
            Log => self.un(Reciprocal, a),
            Log2 => {
                let t = self.scaled(LN_2, a);
                self.un(Reciprocal, t)
            }
            Log10 => {
                let t = self.scaled(LN_10, a);
                self.un(Reciprocal, t)
            }
            Log1p => {
                let one = self.c(1.0);
                let t = self.dag.add_(a, one);
                self.un(Reciprocal, t)
            }
            Sqrt => {
                let t = self.scaled(2.0, u);
                self.un(Reciprocal, t)
            }
            Rsqrt => {
                let cube = {
                    let s = self.square(u);
                    self.dag.mul(s, u)
                };
                self.scaled(-0.5, cube)
            }
            Reciprocal => {
                let s = self.square(u);
                self.dag.neg(s)
            }
            Sin => self.un(Cos, a),
            Cos => {
                let s = self.un(Sin, a);
                self.dag.neg(s)
            }
            Tan => {
                let (s, one) = (self.square(u), self.c(1.0));
                self.dag.add_(one, s)
            }
            Asin | Acos => {
                let s = self.square(a);
                let t = self.one_minus(s);
                let r = self.un(Rsqrt, t);
                if p == Asin { r } else { self.dag.neg(r) }
            }
            Atan => {
                let (s, one) = (self.square(a), self.c(1.0));
                let t = self.dag.add_(s, one);
                self.un(Reciprocal, t)
            }
            Sinh => self.un(Cosh, a),
            Cosh => self.un(Sinh, a),
            Tanh => {
                let s = self.square(u);
                self.one_minus(s)
            }
            Asinh => {
                let (s, one) = (self.square(a), self.c(1.0));
                let t = self.dag.add_(s, one);
                self.un(Rsqrt, t)
            }
            Acosh => {
                let one = self.c(1.0);
                let (minus, plus) = (self.dag.sub(a, one), self.dag.add_(a, one));
                if self.complex {
                    let (x, y) = (self.un(Rsqrt, minus), self.un(Rsqrt, plus));
                    self.dag.mul(x, y)
                } else {
                    let s = self.square(a);
                    let t = self.dag.sub(s, one);
                    self.un(Rsqrt, t)
                }
            }
            Atanh => {
                let s = self.square(a);
                let t = self.one_minus(s);
                self.un(Reciprocal, t)
            }
            Sigmoid => {
                let t = self.one_minus(u);
                self.dag.mul(u, t)
            }
            Gelu => {
                // The distribution function, and x times the density.
                let one = self.c(1.0);
                let t = self.scaled(std::f64::consts::FRAC_1_SQRT_2, a);
                let erf = self.un(Erf, t);
                let sum = self.dag.add_(one, erf);
                let below = self.scaled(0.5, sum);
                let square = self.square(t);
                let n = self.dag.neg(square);
                let e = self.un(Exp, n);
                let density = self.scaled(FRAC_2_SQRT_PI * std::f64::consts::FRAC_1_SQRT_2 * 0.5, e);
                let rest = self.dag.mul(a, density);
                self.dag.add_(below, rest)
            }
            Sinc => {
                // (cos(pi x) - sinc(x)) / x
                let t = self.scaled(PI, a);
                let c = self.un(Cos, t);
                let n = self.dag.sub(c, u);
                let q = self.dag.div(n, a);
                self.holomorphic_but_at_zero(a, 0.0, -PI * PI / 3.0, q);
                return Ok(());
            }
            Erf | Erfc => {
                let s = self.square(a);
                let n = self.dag.neg(s);
                let e = self.un(Exp, n);
                self.scaled(if p == Erf { FRAC_2_SQRT_PI } else { -FRAC_2_SQRT_PI }, e)
            }
            Erfinv => {
                let s = self.square(u);
                let e = self.un(Exp, s);
                self.scaled(PI.sqrt() / 2.0, e)
            }
            Erfcx => {
                let t = self.dag.mul(a, u);
                let t = self.scaled(2.0, t);
                let k = self.c(FRAC_2_SQRT_PI);
                self.dag.sub(t, k)
            }
            Lgamma => self.un(Digamma, a),
            Digamma => self.un(Trigamma, a),
            Trigamma => {
                let two = self.c(2.0);
                self.dag.binary(Polygamma, two, a)
            }
            I0 => self.un(I1, a),
            I0e => {
                let (s, e) = (self.un(Sgn, a), self.un(I1e, a));
                let t = self.dag.mul(s, u);
                self.dag.sub(e, t)
            }
            I1 | I1e | BesselJ1 => {
                let base = match p {
                    I1 => I0,
                    I1e => I0e,
                    _ => BesselJ0,
                };
                let base = self.un(base, a);
                let q = self.dag.div(u, a);
                let mut d = self.dag.sub(base, q);
                if p == I1e {
                    let s = self.un(Sgn, a);
                    let t = self.dag.mul(s, u);
                    d = self.dag.sub(d, t);
                }
                self.holomorphic_but_at_zero(a, 0.5, 0.0, d);
                return Ok(());
            }
            BesselJ0 | BesselY0 | ModifiedBesselK0 => {
                let next = match p {
                    BesselJ0 => BesselJ1,
                    BesselY0 => BesselY1,
                    _ => ModifiedBesselK1,
                };
                let d = self.un(next, a);
                self.dag.neg(d)
            }
            BesselY1 | ModifiedBesselK1 => {
                let base = self.un(if p == BesselY1 { BesselY0 } else { ModifiedBesselK0 }, a);
                let q = self.dag.div(u, a);
                if p == BesselY1 {
                    self.dag.sub(base, q)
                } else {
                    let sum = self.dag.add_(base, q);
                    self.dag.neg(sum)
                }
            }
            Ndtr => {
                let s = self.square(a);
                let h = self.scaled(-0.5, s);
                let e = self.un(Exp, h);
                self.scaled((2.0 * PI).sqrt().recip(), e)
            }
            Ndtri => {
                let s = self.square(u);
                let h = self.scaled(0.5, s);
                let e = self.un(Exp, h);
                self.scaled((2.0 * PI).sqrt(), e)
            }
            LogNdtr => {
                let t = self.scaled(-std::f64::consts::FRAC_1_SQRT_2, a);
                let e = self.un(Erfcx, t);
                let k = self.c((2.0 / PI).sqrt());
                self.dag.div(k, e)
            }
            _ => return Err(format!("{p:?}")),
        };
        self.holomorphic(a, d);
        Ok(())
    }

    fn binary(&mut self, p: Prim, u: Id, a: Id, b: Id) -> Result<(), String> {
        use Prim::*;
        let adj = self.adjoint;
        let (wa, wb) = (self.wants(a), self.wants(b));
        match p {
            Add | Sub => {
                if wa {
                    self.give(a, adj);
                }
                if wb {
                    let part = if p == Add { adj } else { self.dag.neg(adj) };
                    self.give(b, part);
                }
            }
            Mul => {
                if wa {
                    self.holomorphic(a, b);
                }
                if wb {
                    self.holomorphic(b, a);
                }
            }
            Div => {
                let bc = self.conj(b);
                let q = self.dag.div(adj, bc);
                if wa {
                    self.give(a, q);
                }
                if wb {
                    let uc = self.conj(u);
                    let t = self.dag.mul(q, uc);
                    let part = self.dag.neg(t);
                    self.give(b, part);
                }
            }
            Pow => {
                let zero = self.c(0.0);
                if wa {
                    let one = self.c(1.0);
                    let less = self.dag.sub(b, one);
                    let power = self.dag.binary(Pow, a, less);
                    let d = self.dag.mul(b, power);
                    let d = self.conj(d);
                    let part = self.dag.mul(adj, d);
                    // 0 * 0**-1 would be NaN.
                    let part = if self.dag.value(b).is_some_and(|v| v != 0.0) {
                        part
                    } else {
                        let flat = self.dag.binary(Eq, b, zero);
                        self.dag.select(flat, zero, part)
                    };
                    self.give(a, part);
                }
                if wb {
                    let log = self.un(Log, a);
                    let d = self.dag.mul(u, log);
                    let d = self.conj(d);
                    let part = self.dag.mul(adj, d);
                    let at_zero = self.dag.binary(Eq, a, zero);
                    let real_b = if self.complex { self.un(Real, b) } else { b };
                    let condition = if self.complex {
                        // Complex numbers have no order; the real part decides.
                        let s = self.un(Abs, real_b);
                        let nonneg = self.dag.binary(Eq, s, real_b);
                        self.dag.binary(And, at_zero, nonneg)
                    } else {
                        let nonneg = self.dag.binary(Ge, b, zero);
                        self.dag.binary(And, at_zero, nonneg)
                    };
                    let part = self.dag.select(condition, zero, part);
                    self.give(b, part);
                }
            }
            Atan2 => {
                let (aa, bb) = (self.square(a), self.square(b));
                let r2 = self.dag.add_(aa, bb);
                let k = self.dag.div(adj, r2);
                if wa {
                    let part = self.dag.mul(k, b);
                    self.give(a, part);
                }
                if wb {
                    let t = self.dag.mul(k, a);
                    let part = self.dag.neg(t);
                    self.give(b, part);
                }
            }
            Fmod | Remainder => {
                if wa {
                    self.give(a, adj);
                }
                if wb {
                    let q = if p == Fmod {
                        let q = self.dag.div(a, b);
                        self.un(Trunc, q)
                    } else {
                        self.dag.binary(FloorDiv, a, b)
                    };
                    let t = self.dag.mul(adj, q);
                    let part = self.dag.neg(t);
                    self.give(b, part);
                }
            }
            Max | Min => {
                // Ties share the gradient; both operands get it where one is NaN.
                let less = if p == Max { Lt } else { Gt };
                let (half, zero) = (self.scaled(0.5, adj), self.c(0.0));
                let tie = self.dag.binary(Eq, a, b);
                for (x, y, wanted) in [(a, b, wa), (b, a, wb)] {
                    if wanted {
                        let loses = self.dag.binary(less, x, y);
                        let part = self.dag.select(loses, zero, adj);
                        let part = self.dag.select(tie, half, part);
                        self.give(x, part);
                    }
                }
            }
            Fmax | Fmin => {
                // Ties share the gradient; where one is NaN the other gets it.
                let wins = if p == Fmax { Gt } else { Lt };
                let (half, zero) = (self.scaled(0.5, adj), self.c(0.0));
                let tie = self.dag.binary(Eq, a, b);
                let nan = self.un(Isnan, b);
                let first = self.dag.binary(wins, a, b);
                let first = self.dag.binary(Or, first, nan);
                for (x, yes, no, wanted) in [(a, adj, zero, wa), (b, zero, adj, wb)] {
                    if wanted {
                        let part = self.dag.select(first, yes, no);
                        let part = self.dag.select(tie, half, part);
                        self.give(x, part);
                    }
                }
            }
            Hypot => {
                for (to, wanted) in [(a, wa), (b, wb)] {
                    if wanted {
                        let q = self.dag.div(to, u);
                        let part = self.dag.mul(adj, q);
                        self.give(to, part);
                    }
                }
            }
            Copysign if wa => {
                let q = self.dag.div(u, a);
                let zero = self.c(0.0);
                let at_zero = self.dag.binary(Eq, a, zero);
                let q = self.dag.select(at_zero, zero, q);
                let part = self.dag.mul(adj, q);
                self.give(a, part);
            }
            Polygamma => {
                if wa {
                    return Err("polygamma".into());
                }
                if wb {
                    let one = self.c(1.0);
                    let n = self.dag.add_(a, one);
                    let d = self.dag.binary(Polygamma, n, b);
                    self.holomorphic(b, d);
                }
            }
            Zeta => {
                if wa {
                    return Err("zeta".into());
                }
                if wb {
                    let one = self.c(1.0);
                    let s = self.dag.add_(a, one);
                    let z = self.dag.binary(Zeta, s, b);
                    let t = self.dag.mul(a, z);
                    let d = self.dag.neg(t);
                    self.holomorphic(b, d);
                }
            }
            Igamma | Igammac => {
                if wa {
                    return Err(format!("{p:?}").to_lowercase());
                }
                if wb {
                    // x^(a-1) e^-x / gamma(a)
                    let one = self.c(1.0);
                    let am = self.dag.sub(a, one);
                    let log = self.un(Log, b);
                    let t = self.dag.mul(am, log);
                    let t = self.dag.sub(t, b);
                    let lg = self.un(Lgamma, a);
                    let t = self.dag.sub(t, lg);
                    let e = self.un(Exp, t);
                    let d = if p == Igamma { e } else { self.dag.neg(e) };
                    self.holomorphic(b, d);
                }
            }
            FloorDiv | Lt | Le | Gt | Ge | Eq | Ne | And | Or | Xor | BitAnd | BitOr | BitXor | Gcd | Lcm => {
            }
            _ if wa || wb => return Err(format!("{p:?}").to_lowercase()),
            _ => {}
        }
        Ok(())
    }
}
