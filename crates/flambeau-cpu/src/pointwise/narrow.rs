//! Single steps on dense integers of fewer than 64 bits and on bools, in their own width: many more fit a register than of the
//! compute type, and none is converted. What remains of wrapped sums, products and bits is the same. Conversions from and to bool
//! likewise. One of the modules with unsafe code.

use super::engine::{Operation, Program, Source};
use super::flat::Flat;
use super::{Prim, transfer::aligned};
use crate::wide::wide;
use flambeau_core::{DType, Scalar};
use std::slice::{from_raw_parts, from_raw_parts_mut};

/// Elements at a time: copies of an operand that results replace, and numbers that stand for all, stay in the first-level cache.
const BLOCK: usize = 2048;
/// Fewer elements are not worth the copies.
const FEW: usize = 64;

/// A step of two operands, which are the same for one of a single operand.
type Kernel<S, O> = fn(&[S], &[S], &mut [O]);

macro_rules! each {
    (|$a:ident, $b:ident| $value:expr) => {
        |a, b, o| {
            wide(move || {
                for ((o, &$a), &$b) in o.iter_mut().zip(a).zip(b) {
                    *o = $value;
                }
            })
        }
    };
}

/// An integer of fewer than 64 bits.
trait Narrow: Copy + Default + TryFrom<i64> {
    /// The low bits.
    fn cut(number: i64) -> Self;
    /// Whose bits do not depend on the sign: asked of unsigned integers only.
    fn arithmetic(prim: Prim) -> Option<Kernel<Self, Self>>;
    /// Whose results do.
    fn ordered(prim: Prim) -> Option<Kernel<Self, Self>>;
    /// For bools.
    fn comparison(prim: Prim) -> Option<Kernel<Self, u8>>;
    /// The number of a bool.
    fn of_bool() -> Kernel<u8, Self>;
}

/// Limits of numbers by two others.
fn clamp<S: Ord + Copy>(a: &[S], [low, high]: [S; 2], o: &mut [S]) {
    wide(move || {
        for (o, &a) in o.iter_mut().zip(a) {
            *o = a.max(low).min(high);
        }
    })
}

macro_rules! narrow {
    ($t:ident, $sign:expr, $magnitude:expr, |$p:ident| $arithmetic:expr) => {
        impl Narrow for $t {
            fn cut(number: i64) -> $t {
                number as $t
            }
            fn arithmetic($p: Prim) -> Option<Kernel<$t, $t>> {
                $arithmetic
            }
            fn ordered(prim: Prim) -> Option<Kernel<$t, $t>> {
                Some(match prim {
                    Prim::Max => each!(|a, b| a.max(b)),
                    Prim::Min => each!(|a, b| a.min(b)),
                    Prim::Sgn => each!(|a, _b| $sign(a)),
                    Prim::Abs => each!(|a, _b| $magnitude(a)),
                    // By more than there are bits as an endless shift would.
                    Prim::Shr => each!(|a, b| {
                        const LAST: $t = ($t::BITS - 1) as $t;
                        let inside = (0..=LAST).contains(&b);
                        let shifted = a >> if inside { b } else { LAST };
                        if inside || $t::MIN != 0 { shifted } else { 0 }
                    }),
                    _ => return None,
                })
            }
            fn comparison(prim: Prim) -> Option<Kernel<$t, u8>> {
                Some(match prim {
                    Prim::Lt => each!(|a, b| (a < b) as u8),
                    Prim::Le => each!(|a, b| (a <= b) as u8),
                    Prim::Eq => each!(|a, b| (a == b) as u8),
                    Prim::Ne => each!(|a, b| (a != b) as u8),
                    _ => return None,
                })
            }
            fn of_bool() -> Kernel<u8, $t> {
                each!(|a, _b| (a != 0) as $t)
            }
        }
    };
    (unsigned $t:ident) => {
        narrow!($t, |a: $t| (a > 0) as $t, |a: $t| a, |p| Some(match p {
            Prim::Add => each!(|a, b| a.wrapping_add(b)),
            Prim::Sub => each!(|a, b| a.wrapping_sub(b)),
            Prim::Mul => each!(|a, b| a.wrapping_mul(b)),
            Prim::Neg => each!(|a, _b| a.wrapping_neg()),
            Prim::BitAnd => each!(|a, b| a & b),
            Prim::BitOr => each!(|a, b| a | b),
            Prim::BitXor => each!(|a, b| a ^ b),
            Prim::BitNot => each!(|a, _b| !a),
            // The low bits of an endless shift; negative counts are large ones.
            Prim::Shl => each!(|a, b| {
                let inside = (b as u32) < $t::BITS;
                let shifted = a << if inside { b } else { 0 };
                if inside { shifted } else { 0 }
            }),
            _ => return None,
        }));
    };
    (signed $t:ident) => {
        narrow!($t, |a: $t| (a > 0) as $t - (a < 0) as $t, |a: $t| a.wrapping_abs(), |_p| None);
    };
}
narrow!(unsigned u8);
narrow!(unsigned u16);
narrow!(unsigned u32);
narrow!(signed i8);
narrow!(signed i16);
narrow!(signed i32);

/// For bools, of which memory of others may have any byte for true.
fn logic(prim: Prim) -> Option<Kernel<u8, u8>> {
    Some(match prim {
        Prim::And | Prim::Min => each!(|a, b| (a != 0) as u8 & (b != 0) as u8),
        Prim::Or | Prim::Max => each!(|a, b| (a != 0) as u8 | (b != 0) as u8),
        Prim::Xor | Prim::Ne => each!(|a, b| (a != 0) as u8 ^ (b != 0) as u8),
        Prim::Eq => each!(|a, b| ((a != 0) as u8 ^ (b != 0) as u8) ^ 1),
        Prim::Not => each!(|a, _b| (a == 0) as u8),
        _ => return None,
    })
}

/// Runs a program of one step on operands of the same type, dense or single, whose results are of that type or bools, or a
/// conversion from or to bool. False where nothing was done: for other programs and operands.
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
    let Some(dtype) = inputs.first().map(|i| i.dtype) else { return false };
    if n < FEW || out.single || inputs.iter().any(|i| i.dtype != dtype) {
        return false;
    }
    let same = out.dtype == dtype;
    // Comparisons in one direction; a conversion to bool is a comparison with zero.
    let (prim, args) = match (&program.steps[..], program.result) {
        ([], input @ Source::Input(0)) if !same => (Prim::Ne, [input, Source::Const(0)]),
        ([step], Source::Register(_)) => {
            let [a, b, c, _] = step.args;
            match step.operation {
                Operation::Prim(Prim::Gt) => (Prim::Lt, [b, a]),
                Operation::Prim(Prim::Ge) => (Prim::Le, [b, a]),
                Operation::Prim(prim) if prim.arity() == 1 => (prim, [a, a]),
                Operation::Prim(prim) => (prim, [a, b]),
                Operation::Clamp => (Prim::Max, [b, c]),
                _ => return false,
            }
        }
        _ => return false,
    };
    let converts = program.steps.is_empty();
    let zero = [Scalar::Int(0)];
    let work = Work { n, out, inputs, consts: if converts { &zero } else { consts }, args };
    let limits = !converts && program.steps[0].operation == Operation::Clamp;
    let ordered = matches!(prim, Prim::Max | Prim::Min | Prim::Sgn | Prim::Abs | Prim::Shr);
    macro_rules! go {
        ($bits:ident, $t:ident) => {
            match (same, ordered) {
                (true, true) if limits => work.clamp::<$t>(program.steps[0].args[0]),
                (true, false) => $bits::arithmetic(prim).is_some_and(|f| work.run(f, prim == Prim::Shl)),
                (true, true) => $t::ordered(prim).is_some_and(|f| work.run(f, true)),
                (false, _) if out.dtype == DType::Bool => {
                    $t::comparison(prim).is_some_and(|f| work.run(f, true))
                }
                _ => false,
            }
        };
    }
    // SAFETY: passed on from the caller.
    unsafe {
        match dtype {
            DType::Bool if converts => match out.dtype.size() {
                1 => work.run(u8::of_bool(), true),
                2 if out.dtype.is_integral() => work.run(u16::of_bool(), true),
                4 if out.dtype.is_integral() => work.run(u32::of_bool(), true),
                _ => false,
            },
            // Constants other than those of bools are equal to none.
            DType::Bool if !same || limits || consts.iter().any(|c| !(c.is(0) || c.is(1))) => false,
            DType::Bool => logic(prim).is_some_and(|f| work.run(f, true)),
            DType::UInt8 => go!(u8, u8),
            DType::Int8 => go!(u8, i8),
            DType::Int16 => go!(u16, i16),
            DType::Int32 => go!(u32, i32),
            DType::UInt16 => go!(u16, u16),
            DType::UInt32 => go!(u32, u32),
            _ => false,
        }
    }
}

/// What [`run_flat`] was given, and the operands of its step.
struct Work<'a> {
    n: usize,
    out: &'a Flat,
    inputs: &'a [Flat],
    consts: &'a [Scalar],
    args: [Source; 2],
}

impl Work<'_> {
    /// Limits an operand by both arguments where these are constants of the type. False where nothing was done.
    ///
    /// # Safety
    /// As for [`run_flat`], for operands of elements of `S`.
    unsafe fn clamp<S: Narrow + Ord>(&self, operand: Source) -> bool {
        let limit = |s: Source| match s {
            Source::Const(c) => S::try_from(self.consts.get(c as usize)?.to_i64()).ok(),
            _ => None,
        };
        let (Source::Input(i), [Some(low), Some(high)]) = (operand, self.args.map(limit)) else {
            return false;
        };
        let input = &self.inputs[i as usize];
        let (from, to) = (input.pointer.cast::<S>(), self.out.pointer.cast::<S>());
        if input.single || !aligned::<S>(input.pointer) || !aligned::<S>(self.out.pointer) {
            return false;
        }
        if from == to {
            // SAFETY: elements that the caller vouches for.
            let own = unsafe { from_raw_parts_mut(to, self.n) };
            wide(move || {
                for x in own {
                    *x = (*x).max(low).min(high);
                }
            });
            return true;
        }
        // SAFETY: as above; the result overlaps no operand.
        unsafe { clamp(from_raw_parts(from, self.n), [low, high], from_raw_parts_mut(to, self.n)) };
        true
    }

    /// False where nothing was done: where a constant is no number of the type and counts as a `whole` one.
    ///
    /// # Safety
    /// As for [`run_flat`], for operands of elements of the size of `S` and results of the size of `O`.
    unsafe fn run<S: Narrow, O: Copy>(&self, kernel: Kernel<S, O>, whole: bool) -> bool {
        let placed = |p: *const u8| aligned::<S>(p) && aligned::<O>(p);
        if !aligned::<O>(self.out.pointer) || !self.inputs.iter().all(|i| placed(i.pointer)) {
            return false;
        }
        let input = |s: Source| match s {
            Source::Input(i) => Some(&self.inputs[i as usize]),
            _ => None,
        };
        // Numbers that stand for all elements.
        let mut numbers = [None; 2];
        for (number, &source) in numbers.iter_mut().zip(&self.args) {
            *number = match (input(source), source) {
                // SAFETY: the caller vouches for the element.
                (Some(i), _) if i.single => Some(unsafe { i.pointer.cast::<S>().read() }),
                (Some(_), _) => None,
                (None, Source::Const(c)) => {
                    let Some(constant) = self.consts.get(c as usize).map(|c| c.to_i64()) else {
                        return false;
                    };
                    if whole && S::try_from(constant).is_err() {
                        return false;
                    }
                    Some(S::cut(constant))
                }
                _ => return false,
            };
        }
        let replaced = |s: Source| input(s).filter(|i| !i.single && i.pointer == self.out.pointer);
        let mut buffers = [const { Vec::new() }; 2];
        for (k, buffer) in buffers.iter_mut().enumerate() {
            match numbers[k] {
                Some(number) => *buffer = vec![number; self.n.min(BLOCK)],
                None if replaced(self.args[k]).is_some() => *buffer = vec![S::default(); self.n.min(BLOCK)],
                None => {}
            }
        }
        let mut start = 0;
        while start < self.n {
            let m = BLOCK.min(self.n - start);
            for (buffer, &source) in buffers.iter_mut().zip(&self.args) {
                if let Some(i) = replaced(source) {
                    // SAFETY: elements that the caller vouches for, which the result does not replace yet.
                    buffer[..m]
                        .copy_from_slice(unsafe { from_raw_parts(i.pointer.cast::<S>().add(start), m) });
                }
            }
            let operand = |k: usize| match input(self.args[k]) {
                Some(i) if !i.single && i.pointer != self.out.pointer => {
                    // SAFETY: elements that the caller vouches for.
                    unsafe { from_raw_parts(i.pointer.cast::<S>().add(start), m) }
                }
                _ => &buffers[k][..m],
            };
            // SAFETY: the caller vouches for the result's elements, which no operand overlaps.
            let to = unsafe { from_raw_parts_mut(self.out.pointer.cast::<O>().add(start), m) };
            kernel(operand(0), operand(1), to);
            start += m;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pointwise::{Operand, Step, run};

    /// As many numbers, each of which is followed by another one that does not count.
    fn spread(bytes: &[u8], size: usize) -> Vec<u8> {
        bytes.chunks(size).flat_map(|number| [number, number].concat()).collect()
    }

    /// Dense operands, which are computed in their width, and strided ones, which are converted, have the same results.
    #[test]
    fn as_in_64_bits() {
        use Prim::*;
        let (x, y, number) = (Source::Input(0), Source::Input(1), Source::Const(0));
        let arithmetic = [Add, Sub, Mul, Neg, BitAnd, BitOr, BitXor, BitNot, Max, Min, Sgn, Abs, Shl, Shr]
            .map(|p| (p, false));
        let comparisons = [Lt, Le, Gt, Ge, Eq, Ne].map(|p| (p, true));
        let logic = [And, Or, Xor, Not, Eq, Ne, Max, Min].map(|p| (p, true));
        let whole: Vec<_> = arithmetic.into_iter().chain(comparisons).collect();
        let logic = logic.to_vec();
        let n = 5003;
        use DType::{Bool, Int8, Int16, Int32, UInt8, UInt16, UInt32};
        for dtype in [Bool, UInt8, Int8, Int16, Int32, UInt16, UInt32] {
            let size = dtype.size();
            let bytes = |by: u32| -> Vec<u8> {
                let byte = |i: u32| (i.wrapping_mul(by) >> 13) as u8;
                (0..(n * size) as u32).map(|i| if dtype == Bool { byte(i) % 3 } else { byte(i) }).collect()
            };
            let (a, b) = (bytes(2654435761), bytes(2246822519));
            for &(prim, to_bool) in if dtype == Bool { &logic } else { &whole } {
                let to = if to_bool { Bool } else { dtype };
                for args in [[x, y], [y, x], [x, number], [number, x]] {
                    for (constant, place) in [
                        (3, None),
                        (200, None),
                        (-1, None),
                        (70_000, None),
                        (1 << 40, None),
                        (3, Some(0)),
                        (3, Some(1)),
                    ] {
                        let [p, q] = args;
                        let steps =
                            vec![Step { operation: Operation::Prim(prim), args: [p, q, q, q], to: 0 }];
                        let program = Program { steps, result: Source::Register(0), registers: 1, consts: 1 };
                        let consts = [Scalar::Int(constant)];
                        let mut results = [1usize, 2].map(|stride| {
                            let mut operands = [&a, &b].map(|bytes| match stride {
                                1 => bytes.clone(),
                                _ => spread(bytes, size),
                            });
                            let operand = |bytes: &mut Vec<u8>, dtype, stride: usize| Operand {
                                pointer: bytes.as_mut_ptr(),
                                dtype,
                                strides: [stride as i64].into_iter().collect(),
                            };
                            let mut fresh = vec![0u8; n * to.size()];
                            let inputs = [0, 1].map(|k| operand(&mut operands[k], dtype, stride));
                            let in_place = place.filter(|_| to == dtype && stride == 1);
                            let out = in_place
                                .map_or_else(|| operand(&mut fresh, to, 1), |k: usize| inputs[k].clone());
                            // SAFETY: operands of n numbers.
                            unsafe { run(&program, dtype, &[n as i64], &out, &inputs, &consts).unwrap() };
                            in_place.map_or(fresh, |k| operands[k].clone())
                        });
                        let strided = results[1].split_off(0);
                        assert!(results[0] == strided, "{dtype} {prim:?} {args:?} {constant} {place:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn limits_and_conversions() {
        let x = Source::Input(0);
        let step =
            Step { operation: Operation::Clamp, args: [x, Source::Const(0), Source::Const(1), x], to: 0 };
        let clamp = Program { steps: vec![step], result: Source::Register(0), registers: 1, consts: 2 };
        let convert = Program { steps: vec![], result: x, registers: 0, consts: 0 };
        let n = 3001usize;
        let mut a: Vec<i16> = (0..n).map(|i| (i * 7919 % 601) as i16 - 300).collect();
        let mut bools: Vec<u8> = (0..n).map(|i| (i % 3) as u8).collect();
        let flat = |p: *mut u8, dtype| Flat { pointer: p, dtype, single: false };
        let limits = [Scalar::Int(-20), Scalar::Int(100)];
        let (mut shorts, mut ints, mut flags) = (vec![0i16; n], vec![7i32; n], vec![7u8; n]);
        let from = flat(a.as_mut_ptr().cast(), DType::Int16);
        let from_bools = flat(bools.as_mut_ptr(), DType::Bool);
        // SAFETY: operands of n elements each.
        unsafe {
            let to = flat(shorts.as_mut_ptr().cast(), DType::Int16);
            assert!(run_flat(&clamp, n, &to, &[from], &limits));
            assert!(run_flat(&convert, n, &flat(flags.as_mut_ptr(), DType::Bool), &[from], &[]));
            assert!(run_flat(&convert, n, &flat(ints.as_mut_ptr().cast(), DType::Int32), &[from_bools], &[]));
            assert!(shorts.iter().zip(&a).all(|(&y, &x)| y == x.clamp(-20, 100)));
            assert!(flags.iter().zip(&a).all(|(&y, &x)| y == (x != 0) as u8));
            assert!(ints.iter().zip(&bools).all(|(&y, &x)| y == (x != 0) as i32));
            assert!(run_flat(&convert, n, &flat(flags.as_mut_ptr(), DType::UInt8), &[from_bools], &[]));
            assert!(flags.iter().zip(&bools).all(|(&y, &x)| y == (x != 0) as u8));
            assert!(run_flat(&clamp, n, &from, &[from], &limits));
        }
        assert_eq!(a, shorts);
    }

    /// Whether there is a kernel, or the tests above compare nothing.
    #[test]
    fn is_used() {
        let (a, mut out) = ([1i32; 100], [0i32; 100]);
        let flat = |p: *const i32, single| Flat { pointer: p.cast_mut().cast(), dtype: DType::Int32, single };
        let (x, two) = (Source::Input(0), Source::Const(0));
        let steps = vec![super::super::Step {
            operation: Operation::Prim(Prim::Mul),
            args: [x, two, two, two],
            to: 0,
        }];
        let program = Program { steps, result: Source::Register(0), registers: 1, consts: 1 };
        let to = flat(out.as_mut_ptr(), false);
        // SAFETY: a hundred numbers.
        let done = unsafe { run_flat(&program, 100, &to, &[flat(a.as_ptr(), false)], &[Scalar::Int(2)]) };
        assert!(done && out == [2; 100]);
    }
}
