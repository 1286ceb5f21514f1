//! Pairs of steps that are one: a comparison and the choice that it makes, a limit from below and one from above; where an
//! operator asks for it also a product and the sum that it goes into, with one rounding as in PyTorch's kernels.

use super::engine::{Operation, Program, Source, Step};
use super::prim::Prim;

impl Program {
    /// Joins each product with the sum (or the difference) right after it.
    pub fn fuse(&mut self) {
        let mut at = 0;
        while at + 1 < self.steps.len() {
            // The last step may take over the product's register, which its operands never are.
            let last = at + 2 == self.steps.len() && self.result == Source::Register(self.steps[at + 1].to);
            match joined(&self.steps[at], &self.steps[at + 1], last) {
                Some(step) if last => {
                    self.result = Source::Register(step.to);
                    self.steps.truncate(at);
                    self.steps.push(step);
                }
                Some(step) if !self.uses(at + 2, step.to, self.steps[at].to) => {
                    self.steps[at] = step;
                    self.steps.remove(at + 1);
                }
                _ => at += 1,
            }
        }
    }

    /// Whether a register is read from step `from` on, before it is written again; `to` was written just now.
    fn uses(&self, from: usize, to: u8, register: u8) -> bool {
        if to == register {
            return false;
        }
        for step in &self.steps[from..] {
            if step.operands().contains(&Source::Register(register)) {
                return true;
            }
            if step.to == register {
                return false;
            }
        }
        self.result == Source::Register(register)
    }
}

impl Program {
    /// Joins steps of real numbers that one kernel does in one pass, with the same results.
    pub fn join(&mut self) {
        let mut at = 0;
        while at < self.steps.len() {
            let joined = self.pair(at);
            if let Some((first, step)) = joined {
                self.steps[at] = step;
                self.steps.remove(first);
            } else {
                at += 1;
            }
        }
    }

    /// The step that does what step `at` and an earlier one do, and where the earlier one is.
    fn pair(&self, at: usize) -> Option<(usize, Step)> {
        use Operation::{Choose, Clamp, Select};
        let step = self.steps[at];
        let Source::Register(made) = step.args[0] else { return None };
        let first = self.steps[..at].iter().rposition(|s| s.to == made)?;
        let earlier = self.steps[first];
        let [a, b, ..] = earlier.args;
        let [_, c, d, _] = step.args;
        let (operation, args) = match (earlier.operation, step.operation) {
            (Operation::Prim(p @ (Prim::Lt | Prim::Le | Prim::Eq)), Select) => (Choose(p), [a, b, c, d]),
            (Operation::Prim(Prim::Gt), Select) => (Choose(Prim::Lt), [b, a, c, d]),
            (Operation::Prim(Prim::Ge), Select) => (Choose(Prim::Le), [b, a, c, d]),
            (Operation::Prim(Prim::Ne), Select) => (Choose(Prim::Eq), [a, b, d, c]),
            (Operation::Prim(Prim::Max), Operation::Prim(Prim::Min)) => (Clamp, [a, b, c, c]),
            _ => return None,
        };
        let joined = Step { operation, args, to: step.to };
        let between = &self.steps[first + 1..at];
        // Nothing else reads what the earlier step made, and its operands are still there.
        let read = between.iter().any(|s| s.operands().contains(&step.args[0]))
            || step.operands()[1..].contains(&step.args[0])
            || self.uses(at + 1, step.to, made);
        let kept = |s: &Source| !between.iter().any(|b| *s == Source::Register(b.to));
        // A result must not be written over what is being read; that of the program has a place of its own.
        let last = at + 1 == self.steps.len() && self.result == Source::Register(step.to);
        let clear = last || !joined.operands().contains(&Source::Register(step.to));
        (!read && earlier.operands().iter().all(kept) && clear).then_some((first, joined))
    }
}

impl Step {
    /// The operands that its operation reads.
    fn operands(&self) -> &[Source] {
        &self.args[..self.operation.arity()]
    }
}

fn joined(product: &Step, sum: &Step, last: bool) -> Option<Step> {
    let made = Source::Register(product.to);
    let (Operation::Prim(Prim::Mul), Operation::Prim(p)) = (product.operation, sum.operation) else {
        return None;
    };
    let [a, b, ..] = product.args;
    let (operation, c) = match (p, sum.args) {
        (Prim::Add, [x, y, ..]) if x == made && y != made => (Operation::MulAdd, y),
        (Prim::Add, [x, y, ..]) if y == made && x != made => (Operation::MulAdd, x),
        (Prim::Sub, [x, y, ..]) if y == made && x != made => (Operation::MulSub, x),
        _ => return None,
    };
    let args = [a, b, c, c];
    if last {
        return Some(Step { operation, args, to: product.to });
    }
    // A result must not be written over what is being read.
    let clear = !args.contains(&Source::Register(sum.to));
    clear.then_some(Step { operation, args, to: sum.to })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pointwise::{Operand, run};
    use flambeau_core::{DType, Scalar};

    fn step(operation: Operation, args: &[Source], to: u8) -> Step {
        let mut all = [Source::Register(0); 4];
        all[..args.len()].copy_from_slice(args);
        Step { operation, args: all, to }
    }

    /// Results of a program of two inputs and one constant.
    fn results(program: &Program, dtype: DType) -> Vec<u64> {
        let values = [-2.0, -0.0, 0.0, 1.0, 2.5, f64::NAN, f64::INFINITY, 3.0];
        let mut a: Vec<f64> = (0..64).map(|i| values[i / 8]).collect();
        let mut b: Vec<f64> = (0..64).map(|i| values[i % 8]).collect();
        let mut out = vec![0f64; 64];
        let operand = |x: &mut Vec<f64>| Operand {
            pointer: x.as_mut_ptr().cast(),
            dtype: DType::Float64,
            strides: [1].into_iter().collect(),
        };
        let (x, y, to) = (operand(&mut a), operand(&mut b), operand(&mut out));
        // SAFETY: operands of 64 numbers.
        unsafe { run(program, dtype, &[64], &to, &[x, y], &[Scalar::Float(1.0)]).unwrap() };
        out.iter().map(|v| v.to_bits()).collect()
    }

    #[test]
    fn joined_steps_give_the_same() {
        use Operation::Prim as P;
        let (a, b, c) = (Source::Input(0), Source::Input(1), Source::Const(0));
        let r = Source::Register;
        for compare in [Prim::Lt, Prim::Le, Prim::Gt, Prim::Ge, Prim::Eq, Prim::Ne] {
            let chosen = vec![step(P(compare), &[a, b], 0), step(Operation::Select, &[r(0), c, b], 1)];
            // A step between, whose result is chosen.
            let between = vec![
                step(P(compare), &[a, b], 0),
                step(P(Prim::Add), &[a, c], 1),
                step(Operation::Select, &[r(0), r(1), b], 2),
            ];
            // The comparison is read twice.
            let twice = vec![
                step(P(compare), &[a, b], 0),
                step(Operation::Select, &[r(0), a, b], 1),
                step(P(Prim::Add), &[r(0), r(1)], 2),
            ];
            // Its operand is written over before the choice.
            let over = vec![
                step(P(Prim::Mul), &[a, b], 1),
                step(P(compare), &[r(1), b], 0),
                step(P(Prim::Add), &[a, c], 1),
                step(Operation::Select, &[r(0), r(1), b], 2),
            ];
            let limits = vec![step(P(Prim::Max), &[a, b], 0), step(P(Prim::Min), &[r(0), c], 1)];
            for (steps, length) in [(chosen, 1), (between, 2), (twice, 3), (over, 4), (limits, 1)] {
                let result = r(steps[steps.len() - 1].to);
                let plain = Program { steps, result, registers: 3, consts: 1 };
                let mut joined = plain.clone();
                joined.join();
                assert_eq!(joined.steps.len(), length, "{plain:?}");
                for dtype in [DType::Float64, DType::Int64] {
                    assert_eq!(results(&plain, dtype), results(&joined, dtype), "{plain:?} {dtype}");
                }
            }
        }
    }
}
