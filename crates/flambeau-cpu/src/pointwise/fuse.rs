//! Products whose only use is a sum become one step with one rounding, as PyTorch's kernels of such operators have it.

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

impl Step {
    /// The operands that its operation reads.
    fn operands(&self) -> &[Source] {
        match self.operation {
            Operation::Prim(p) => &self.args[..p.arity()],
            Operation::Select | Operation::MulAdd | Operation::MulSub => &self.args,
        }
    }
}

fn joined(product: &Step, sum: &Step, last: bool) -> Option<Step> {
    let made = Source::Register(product.to);
    let (Operation::Prim(Prim::Mul), Operation::Prim(p)) = (product.operation, sum.operation) else {
        return None;
    };
    let [a, b, _] = product.args;
    let (operation, c) = match (p, sum.args) {
        (Prim::Add, [x, y, _]) if x == made && y != made => (Operation::MulAdd, y),
        (Prim::Add, [x, y, _]) if y == made && x != made => (Operation::MulAdd, x),
        (Prim::Sub, [x, y, _]) if y == made && x != made => (Operation::MulSub, x),
        _ => return None,
    };
    let args = [a, b, c];
    if last {
        return Some(Step { operation, args, to: product.to });
    }
    // A result must not be written over what is being read.
    let clear = !args.contains(&Source::Register(sum.to));
    clear.then_some(Step { operation, args, to: sum.to })
}
