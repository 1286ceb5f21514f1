//! Arithmetic on dense halves without tiles: each number is widened, computed with and rounded within registers. One of the
//! modules with unsafe code.

use super::convert::{narrow_bf16, widen_bf16};
use super::engine::{Operand, Operation, Program, Source};
use super::plan::Plan;
use super::{Prim, half_slices, transfer::aligned};
use crate::wide::wide;
use flambeau_core::{DType, bf16, f16};

/// Elements of `float16` that are computed with at a time.
const BLOCK: usize = 512;

/// Runs a program of one sum, difference, product, quotient, or change of the sign, whose operands' elements, like the results,
/// lie one after the other. False where nothing was done: for other programs and operands, and where results replace an input.
///
/// # Safety
/// As for [`run`](super::run), for the plan's sizes and strides.
pub(super) unsafe fn run(program: &Program, plan: &Plan, out: &Operand, inputs: &[Operand]) -> bool {
    let ([step], Source::Register(_)) = (&program.steps[..], program.result) else { return false };
    let (Operation::Prim(prim), Source::Input(a)) = (step.operation, step.args[0]) else { return false };
    let b = match (prim.arity(), step.args[1]) {
        (1, _) => a,
        (2, Source::Input(b)) => b,
        _ => return false,
    };
    let dense = plan.sizes.len() == 1 && plan.strides.iter().all(|strides| strides[0] == 1);
    let fits = |o: &Operand| o.dtype == out.dtype && aligned::<u16>(o.pointer);
    if !dense || !fits(out) || !inputs.iter().all(|i| fits(i) && i.pointer != out.pointer) {
        return false;
    }
    let (a, b) = (inputs[a as usize].pointer.cast_const(), inputs[b as usize].pointer.cast_const());
    let n = plan.sizes[0];
    macro_rules! each {
        ($t:ty, |$x:ident, $y:ident| $value:expr) => {{
            let (a, b, out) = (a.cast::<$t>(), b.cast::<$t>(), out.pointer.cast::<$t>());
            wide(move || {
                for i in 0..n {
                    // SAFETY: elements that the caller vouches for.
                    unsafe {
                        let ($x, $y) = (a.add(i).read(), b.add(i).read());
                        out.add(i).write($value);
                    }
                }
            })
        }};
    }
    macro_rules! arithmetic {
        ($op:tt) => {
            match out.dtype {
                DType::BFloat16 => each!(bf16, |x, y| narrow_bf16(widen_bf16(x) $op widen_bf16(y))),
                DType::Float16 => {
                    let (a, b, out) = (a.cast::<f16>(), b.cast::<f16>(), out.pointer.cast::<f16>());
                    let (mut x, mut y) = ([0f32; BLOCK], [0f32; BLOCK]);
                    for first in (0..n).step_by(BLOCK) {
                        let m = BLOCK.min(n - first);
                        // SAFETY: elements that the caller vouches for; blocks have room for them.
                        unsafe {
                            half_slices::widen(a.add(first), x.as_mut_ptr(), m);
                            half_slices::widen(b.add(first), y.as_mut_ptr(), m);
                            let (x, y) = (&mut x, &y);
                            wide(move || x.iter_mut().zip(y).for_each(|(x, &y)| {
                                let number = *x;
                                *x = number $op y;
                            }));
                        }
                        // SAFETY: as above.
                        unsafe { half_slices::narrow(x.as_ptr(), out.add(first), m) };
                    }
                }
                _ => return false,
            }
        };
    }
    const SIGN: u16 = 0x8000;
    match prim {
        _ if !matches!(out.dtype, DType::BFloat16 | DType::Float16) => return false,
        Prim::Add => arithmetic!(+),
        Prim::Sub => arithmetic!(-),
        Prim::Mul => arithmetic!(*),
        Prim::Div => arithmetic!(/),
        Prim::Neg => each!(u16, |x, _y| x ^ SIGN),
        Prim::Abs => each!(u16, |x, _y| x & !SIGN),
        Prim::Copysign => each!(u16, |x, y| x & !SIGN | y & SIGN),
        _ => return false,
    }
    true
}
