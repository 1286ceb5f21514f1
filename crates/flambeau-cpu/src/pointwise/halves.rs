//! Arithmetic on dense halves without tiles: each number is widened, computed with and rounded within registers, or chosen as it
//! stands. One of the modules with unsafe code.

use super::convert::{narrow_bf16, widen_bf16};
use super::engine::{Operation, Program, Source};
use super::flat::Flat;
use super::{Prim, half_slices, transfer::aligned};
use crate::wide::wide;
use flambeau_core::{DType, Number, Scalar, bf16, f16};
use std::hint::select_unpredictable;

/// Elements of `float16` that are computed with at a time.
const BLOCK: usize = 512;

/// Runs a program of one sum, difference, product, quotient, change of the sign, or choice by a number (of `bfloat16`), of
/// operands none of which is single. False where nothing was done: for other programs and operands, and where results replace
/// an input.
///
/// # Safety
/// As for [`run_flat`](super::run_flat).
pub(super) unsafe fn run_flat(
    program: &Program,
    n: usize,
    out: &Flat,
    inputs: &[Flat],
    consts: &[Scalar],
) -> bool {
    let ([step], Source::Register(_)) = (&program.steps[..], program.result) else { return false };
    let (operation, Source::Input(a)) = (step.operation, step.args[0]) else { return false };
    let b = match (operation, step.args) {
        (Operation::Prim(prim), _) if prim.arity() == 1 => a,
        (Operation::Prim(prim), [_, Source::Input(b), ..]) if prim.arity() == 2 => b,
        (Operation::Choose(_), [_, Source::Const(_), Source::Const(_), Source::Input(b)]) => b,
        (Operation::Clamp, [_, Source::Const(_), Source::Const(_), _]) => a,
        _ => return false,
    };
    // The second and the third operand where they are numbers.
    let number = |i: usize| match step.args[i] {
        Source::Const(c) => consts.get(c as usize).map_or(f32::NAN, |&c| f32::from_scalar(c)),
        _ => f32::NAN,
    };
    let (low, high) = (number(1), number(2));
    let (low_half, high_half) = (narrow_bf16(low), narrow_bf16(high));
    let fits = |o: &Flat| o.dtype == out.dtype && !o.single && aligned::<u16>(o.pointer);
    if !fits(out) || !inputs.iter().all(|i| fits(i) && i.pointer != out.pointer) {
        return false;
    }
    let (a, b) = (inputs[a as usize].pointer.cast_const(), inputs[b as usize].pointer.cast_const());
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
    macro_rules! choose {
        ($compare:tt) => {
            each!(bf16, |x, y| select_unpredictable(widen_bf16(x) $compare low, high_half, y))
        };
    }
    const SIGN: u16 = 0x8000;
    use Operation::{Choose, Clamp, Prim as P};
    match operation {
        _ if !matches!(out.dtype, DType::BFloat16 | DType::Float16) => return false,
        P(Prim::Add) => arithmetic!(+),
        P(Prim::Sub) => arithmetic!(-),
        P(Prim::Mul) => arithmetic!(*),
        P(Prim::Div) => arithmetic!(/),
        P(Prim::Neg) => each!(u16, |x, _y| x ^ SIGN),
        P(Prim::Abs) => each!(u16, |x, _y| x & !SIGN),
        P(Prim::Copysign) => each!(u16, |x, y| x & !SIGN | y & SIGN),
        _ if out.dtype == DType::Float16 || low.is_nan() || high.is_nan() => return false,
        Choose(Prim::Lt) => choose!(<),
        Choose(Prim::Le) => choose!(<=),
        Clamp => each!(bf16, |x, _y| {
            let number = widen_bf16(x);
            let below = number <= low;
            let limited = select_unpredictable(below, low, number);
            select_unpredictable(limited >= high, high_half, select_unpredictable(below, low_half, x))
        }),
        _ => return false,
    }
    true
}
