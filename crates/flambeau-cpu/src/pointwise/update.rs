//! Last steps that write over an operand: kernels whose result is one of their slices, as slices must not alias.

use super::Prim;
use super::engine::{Operation, Source, Step};
use super::real::{max, min};
use crate::wide::{Body, ahead, wide};

/// A kernel that replaces its first operand; it reads one or both of the others.
pub type Update<T> = fn(&mut [T], [&[T]; 2]);

/// The operands of a step beside the one that its result replaces, if [`kernel`](super::Compute::update) has its form.
pub(super) fn others(step: &Step, own: Source) -> Option<[Source; 2]> {
    use Operation::{Choose, Clamp, MulAdd};
    let [a, b, c, d] = step.args;
    let others = match step.operation {
        Operation::Prim(Prim::Add | Prim::Mul) if b == own => [a, a],
        Operation::Prim(p) if a == own && p.arity() == 2 => [b, b],
        Operation::Prim(p) if a == own && p.arity() == 1 => return Some([own, own]),
        MulAdd if c == own => [a, b],
        Clamp if a == own => [b, c],
        Choose(_) if a == own && d == own => [b, c],
        _ => return None,
    };
    (!others.contains(&own)).then_some(others)
}

/// How far ahead memory is asked for: what is written over has to come from it first.
const AHEAD: usize = 2048;

/// The cache lines of operands, and what is left: a body that is inlined whatever its length.
macro_rules! lines {
    ($t:ty, [$($other:ident),*], |$x:ident, $l:ident| $value:expr) => {{
        struct Lines<'a> {
            own: &'a mut [$t],
            $($other: &'a [$t],)*
        }
        impl Body for Lines<'_> {
            type Output = ();
            #[inline(always)]
            fn run(self) {
                const LINE: usize = 64 / size_of::<$t>();
                let Lines { own, $($other),* } = self;
                let (own, own_rest) = own.as_chunks_mut::<LINE>();
                for (i, own) in own.iter_mut().enumerate() {
                    ahead(own.as_ptr().cast::<u8>().wrapping_add(AHEAD));
                    // By value: memory that might be the same would not be read in vectors.
                    $(
                        ahead($other[i * LINE..].as_ptr().cast::<u8>().wrapping_add(AHEAD));
                        let mut line = [<$t>::default(); LINE];
                        line.copy_from_slice(&$other[i * LINE..(i + 1) * LINE]);
                        let $other = line;
                    )*
                    let mut line = *own;
                    for $l in 0..LINE {
                        let $x = line[$l];
                        line[$l] = $value;
                    }
                    *own = line;
                }
                let done = own.len() * LINE;
                $(let $other = &$other[done..];)*
                for ($l, own) in own_rest.iter_mut().enumerate() {
                    let $x = *own;
                    *own = $value;
                }
            }
        }
        |own, $($other),*| wide(Lines { own, $($other),* })
    }};
}

macro_rules! update {
    ($t:ty, |$x:ident, $a:ident, $b:ident| $value:expr) => {
        Some(|own: &mut [$t], [a, b]: [&[$t]; 2]| {
            let run = lines!($t, [a, b], |$x, l| {
                let ($a, $b) = (a[l], b[l]);
                $value
            });
            run(own, a, b)
        })
    };
    ($t:ty, |$x:ident, $a:ident| $value:expr) => {
        Some(|own: &mut [$t], [a, _]: [&[$t]; 2]| {
            let run = lines!($t, [a], |$x, l| {
                let $a = a[l];
                $value
            });
            run(own, a)
        })
    };
    ($t:ty, |$x:ident| $value:expr) => {
        Some(|own: &mut [$t], _: [&[$t]; 2]| {
            wide(|| {
                for x in own.iter_mut() {
                    let $x = *x;
                    *x = $value;
                }
            })
        })
    };
}

macro_rules! real_updates {
    ($name:ident, $t:ident) => {
        pub(super) fn $name(operation: Operation) -> Option<Update<$t>> {
            use Operation::{Choose, Clamp, MulAdd, Prim as P};
            match operation {
                P(Prim::Neg) => update!($t, |x| -x),
                P(Prim::Add) => update!($t, |x, a| x + a),
                P(Prim::Sub) => update!($t, |x, a| x - a),
                P(Prim::Mul) => update!($t, |x, a| x * a),
                P(Prim::Div) => update!($t, |x, a| x / a),
                P(Prim::Max) => update!($t, |x, a| max(x, a)),
                P(Prim::Min) => update!($t, |x, a| min(x, a)),
                MulAdd => update!($t, |x, a, b| a.mul_add(b, x)),
                Clamp => update!($t, |x, a, b| min(max(x, a), b)),
                Choose(Prim::Lt) => update!($t, |x, a, b| std::hint::select_unpredictable(x < a, b, x)),
                Choose(Prim::Le) => update!($t, |x, a, b| std::hint::select_unpredictable(x <= a, b, x)),
                _ => None,
            }
        }
    };
}
real_updates!(update_f32, f32);
real_updates!(update_f64, f64);

pub(super) fn update_i64(operation: Operation) -> Option<Update<i64>> {
    match operation {
        Operation::Prim(Prim::Add) => update!(i64, |x, a| x.wrapping_add(a)),
        Operation::Prim(Prim::Sub) => update!(i64, |x, a| x.wrapping_sub(a)),
        Operation::Prim(Prim::Mul) => update!(i64, |x, a| x.wrapping_mul(a)),
        Operation::MulAdd => update!(i64, |x, a, b| a.wrapping_mul(b).wrapping_add(x)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::pointwise::{Operand, Operation, Prim, Program, Source, Step, run};
    use flambeau_core::{DType, Element, Scalar};

    fn operand<T: Element>(data: &mut [T]) -> Operand {
        Operand { pointer: data.as_mut_ptr().cast(), dtype: T::DTYPE, strides: [1].into_iter().collect() }
    }

    #[allow(clippy::eq_op)]
    fn check<T: Element + PartialEq>(make: impl Fn(usize) -> T) {
        use Operation::{Choose, Clamp, MulAdd, Prim as P};
        let (x, y, c, r) = (Source::Input(0), Source::Input(1), Source::Const(0), Source::Register(0));
        let mut last = vec![];
        for p in [Prim::Add, Prim::Sub, Prim::Mul, Prim::Div, Prim::Max, Prim::Min] {
            last.extend([[x, y], [y, x], [x, c], [c, x], [x, x], [x, r]].map(|[a, b]| (P(p), [a, b, b, b])));
        }
        last.push((P(Prim::Neg), [x, x, x, x]));
        last.extend([[y, c, x], [x, c, y], [c, x, x]].map(|[a, b, c]| (MulAdd, [a, b, c, c])));
        last.extend([[x, y, c], [y, x, c]].map(|[a, b, d]| (Clamp, [a, b, d, d])));
        for p in [Prim::Lt, Prim::Le, Prim::Eq] {
            last.extend([[x, c, y, x], [x, c, x, y], [c, x, y, x]].map(|args| (Choose(p), args)));
        }
        for (operation, args) in last {
            // An earlier step reads the same operand.
            let first = Step { operation: P(Prim::Mul), args: [x, y, y, y], to: 0 };
            let steps = vec![first, Step { operation, args, to: 1 }];
            let program = Program { steps, result: Source::Register(1), registers: 2, consts: 1 };
            let n = 5003;
            let mut a: Vec<T> = (0..n).map(&make).collect();
            let mut b: Vec<T> = (0..n).map(|i| make(i * 7 + 3)).collect();
            let mut fresh = a.clone();
            let dtype = if T::DTYPE.is_floating_point() { T::DTYPE } else { DType::Int64 };
            let (input, other, to) = (operand(&mut a), operand(&mut b), operand(&mut fresh));
            let one = [Scalar::Int(1)];
            // SAFETY: operands of n numbers; the output is the first one, or apart.
            unsafe {
                run(&program, dtype, &[n as i64], &to, &[input.clone(), other.clone()], &one).unwrap();
                run(&program, dtype, &[n as i64], &input, &[input.clone(), other], &one).unwrap();
            }
            let same = |(a, b): (&T, &T)| a == b || (a != a && b != b);
            assert!(a.iter().zip(&fresh).all(same), "{operation:?} {args:?} {}", T::DTYPE);
        }
    }

    #[test]
    fn in_place_gives_the_same() {
        check(|i| (i % 97) as f32 - 48.0);
        check(|i| (i % 97) as f64 * 0.25 - 12.0);
        check(|i| (i % 97) as i64 - 120);
        check(|i| (i % 97) as i32 - 120);
    }
}
