//! Products whose only use is a sum become one step with one rounding, as PyTorch's kernels of such operators have it.

use super::engine::{Operation, Program, Source, Step};
use super::prim::Prim;

impl Program {
    /// Joins each product with the sum (or the difference) right after it.
    pub fn fuse(&mut self) {
        let mut at = 0;
        while at + 1 < self.steps.len() {
            match joined(&self.steps[at], &self.steps[at + 1]) {
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

fn joined(product: &Step, sum: &Step) -> Option<Step> {
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
    // A result must not be written over what is being read.
    let clear = !args.contains(&Source::Register(sum.to));
    clear.then_some(Step { operation, args, to: sum.to })
}
