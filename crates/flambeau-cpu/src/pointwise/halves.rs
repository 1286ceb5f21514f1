//! Arithmetic on dense halves without tiles: each number is widened, computed with and rounded within registers. One of the
//! modules with unsafe code.

use super::convert::{narrow_bf16, narrow_f16, widen_bf16, widen_f16};
use super::engine::{Operand, Operation, Program, Source};
use super::plan::Plan;
use super::{Prim, transfer::aligned};
use crate::wide::wide;
use flambeau_core::{DType, bf16, f16};

/// Runs a program of one sum, difference, product or quotient of two inputs whose elements, like the results, lie one after the
/// other. False where nothing was done: for other programs and operands, and where results replace an input.
///
/// # Safety
/// As for [`run`](super::run), for the plan's sizes and strides.
pub(super) unsafe fn run(program: &Program, plan: &Plan, out: &Operand, inputs: &[Operand]) -> bool {
    let ([step], Source::Register(_)) = (&program.steps[..], program.result) else { return false };
    let (Operation::Prim(prim), [Source::Input(a), Source::Input(b), ..]) = (step.operation, step.args)
    else {
        return false;
    };
    let dense = plan.sizes.len() == 1 && plan.strides.iter().all(|strides| strides[0] == 1);
    let fits = |o: &Operand| o.dtype == out.dtype && aligned::<u16>(o.pointer);
    if !dense || !fits(out) || !inputs.iter().all(|i| fits(i) && i.pointer != out.pointer) {
        return false;
    }
    let (a, b) = (inputs[a as usize].pointer.cast_const(), inputs[b as usize].pointer.cast_const());
    let n = plan.sizes[0];
    macro_rules! run {
        ($t:ty, $widen:ident, $narrow:ident, $op:tt) => {{
            let (a, b, out) = (a.cast::<$t>(), b.cast::<$t>(), out.pointer.cast::<$t>());
            wide(move || {
                for i in 0..n {
                    // SAFETY: elements that the caller vouches for.
                    unsafe { out.add(i).write($narrow($widen(a.add(i).read()) $op $widen(b.add(i).read()))) }
                }
            })
        }};
    }
    macro_rules! each {
        ($op:tt) => {
            match out.dtype {
                DType::BFloat16 => run!(bf16, widen_bf16, narrow_bf16, $op),
                DType::Float16 => run!(f16, widen_f16, narrow_f16, $op),
                _ => return false,
            }
        };
    }
    match prim {
        Prim::Add => each!(+),
        Prim::Sub => each!(-),
        Prim::Mul => each!(*),
        Prim::Div => each!(/),
        _ => return false,
    }
    true
}
