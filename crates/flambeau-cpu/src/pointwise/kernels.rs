//! The kernels of the primitives for the five compute types, as functions over slices.

use super::Prim;
use super::convert::Convert;
use super::engine::Operation;
use super::update::{self, Update};
use flambeau_core::{C32, C64, Element, Number, bf16, f16};

/// A kernel over contiguous slices of equal length.
#[derive(Clone, Copy)]
pub enum Kernel<T> {
    Unary(fn(&[T], &mut [T])),
    Binary(fn(&[T], &[T], &mut [T])),
    /// One of the operands may be a single number, which stands for all.
    Arithmetic(fn(&[T], &[T], &mut [T])),
    Ternary(fn(&[T], &[T], &[T], &mut [T])),
    /// Of [`Operation::Clamp`]: the second and the third operand may be single numbers, which stand for all.
    Clamp(fn(&[T], &[T], &[T], &mut [T])),
    /// Of [`Operation::Choose`]: as above.
    Choose(fn(&[T], &[T], &[T], &[T], &mut [T])),
}

/// A type in which kernels compute.
pub trait Compute:
    Element
    + Number
    + Convert<u8>
    + Convert<i8>
    + Convert<i16>
    + Convert<i32>
    + Convert<i64>
    + Convert<u16>
    + Convert<u32>
    + Convert<u64>
    + Convert<f16>
    + Convert<bf16>
    + Convert<f32>
    + Convert<f64>
    + Convert<C32>
    + Convert<C64>
{
    fn kernel(operation: Operation) -> Option<Kernel<Self>>;
    /// The kernel of an operation that replaces an operand, for some.
    fn update(_: Operation) -> Option<Update<Self>> {
        None
    }
    fn is_true(self) -> bool;
}

/// A unary kernel from an element function.
macro_rules! unary {
    ($t:ty, $f:expr) => {
        Kernel::Unary(|a: &[$t], o: &mut [$t]| {
            crate::wide::wide(|| {
                for (o, &a) in o.iter_mut().zip(a) {
                    *o = ($f)(a);
                }
            })
        })
    };
}
macro_rules! binary {
    ($t:ty, $f:expr) => {
        Kernel::Binary(|a: &[$t], b: &[$t], o: &mut [$t]| {
            crate::wide::wide(|| {
                for ((o, &a), &b) in o.iter_mut().zip(a).zip(b) {
                    *o = ($f)(a, b);
                }
            })
        })
    };
}
macro_rules! arithmetic {
    ($t:ty, $f:expr) => {
        Kernel::Arithmetic(|a: &[$t], b: &[$t], o: &mut [$t]| {
            use crate::wide::wide;
            if let [b] = *b {
                wide(move || o.iter_mut().zip(a).for_each(|(o, &a)| *o = ($f)(a, b)))
            } else if let [a] = *a {
                wide(move || o.iter_mut().zip(b).for_each(|(o, &b)| *o = ($f)(a, b)))
            } else {
                wide(move || o.iter_mut().zip(a).zip(b).for_each(|((o, &a), &b)| *o = ($f)(a, b)))
            }
        })
    };
}
pub(super) use {arithmetic, binary, unary};

/// One of two numbers, both of which are read: reads that depend on conditions would keep loops from being vectorised.
#[inline(always)]
fn choice<T>(condition: bool, a: T, b: T) -> T {
    std::hint::select_unpredictable(condition, a, b)
}

macro_rules! select {
    ($t:ty, $zero:expr) => {
        Kernel::Ternary(|c: &[$t], a: &[$t], b: &[$t], o: &mut [$t]| {
            crate::wide::wide(|| {
                for (((o, &c), &a), &b) in o.iter_mut().zip(c).zip(a).zip(b) {
                    *o = choice(c != $zero, a, b);
                }
            })
        })
    };
}

/// A ternary kernel from an element function.
macro_rules! ternary {
    ($t:ty, $f:expr) => {
        Kernel::Ternary(|a: &[$t], b: &[$t], c: &[$t], o: &mut [$t]| {
            // With the instruction where there is one: otherwise `mul_add` is a call.
            crate::wide::wide(|| {
                for (((o, &a), &b), &c) in o.iter_mut().zip(a).zip(b).zip(c) {
                    *o = ($f)(a, b, c);
                }
            })
        })
    };
}

/// Operands that stand for all elements, if one of them is a single number: then both are the same everywhere.
#[inline(always)]
fn numbers<T: Copy>(b: &[T], c: &[T]) -> Option<(T, T)> {
    match (b, c) {
        ([b], [c, ..]) | ([b, ..], [c]) => Some((*b, *c)),
        _ => None,
    }
}

/// The kernel of [`Operation::Clamp`].
macro_rules! clamp {
    ($t:ty, $f:expr) => {
        Kernel::Clamp(|a: &[$t], b: &[$t], c: &[$t], o: &mut [$t]| {
            if let Some((b, c)) = numbers(b, c) {
                return crate::wide::wide(move || {
                    for (o, &a) in o.iter_mut().zip(a) {
                        *o = ($f)(a, b, c);
                    }
                });
            }
            crate::wide::wide(|| {
                for (((o, &a), &b), &c) in o.iter_mut().zip(a).zip(b).zip(c) {
                    *o = ($f)(a, b, c);
                }
            })
        })
    };
}

/// The kernels of [`Operation::Choose`] on numbers in order.
macro_rules! choose {
    ($t:ty, $p:expr, $($prim:ident $compare:tt),*) => {
        match $p {
            $(Prim::$prim => Some(Kernel::Choose(|a: &[$t], b: &[$t], c: &[$t], d: &[$t], o: &mut [$t]| {
                if let Some((b, c)) = numbers(b, c) {
                    return crate::wide::wide(move || {
                        for ((o, &a), &d) in o.iter_mut().zip(a).zip(d) {
                            *o = choice(a $compare b, c, d);
                        }
                    });
                }
                crate::wide::wide(|| {
                    for ((((o, &a), &b), &c), &d) in o.iter_mut().zip(a).zip(b).zip(c).zip(d) {
                        *o = choice(a $compare b, c, d);
                    }
                })
            })),)*
            _ => None,
        }
    };
}

macro_rules! float_compute {
    ($t:ident, $module:ident, $update:ident) => {
        impl Compute for $t {
            fn update(operation: Operation) -> Option<Update<$t>> {
                update::$update(operation)
            }
            fn kernel(operation: Operation) -> Option<Kernel<$t>> {
                match operation {
                    Operation::Select => Some(select!($t, 0.0)),
                    Operation::MulAdd => Some(ternary!($t, |a: $t, b: $t, c: $t| a.mul_add(b, c))),
                    Operation::MulSub => Some(ternary!($t, |a: $t, b: $t, c: $t| (-a).mul_add(b, c))),
                    Operation::Choose(p) => choose!($t, p, Lt <, Le <=, Eq ==),
                    Operation::Clamp => {
                        Some(clamp!($t, |a: $t, b: $t, c: $t| super::real::min(super::real::max(a, b), c)))
                    }
                    Operation::Prim(p) => super::real::$module(p),
                }
            }
            #[inline(always)]
            fn is_true(self) -> bool {
                self != 0.0
            }
        }
    };
}
float_compute!(f32, kernel_f32, update_f32);
float_compute!(f64, kernel_f64, update_f64);

impl Compute for i64 {
    fn update(operation: Operation) -> Option<Update<i64>> {
        update::update_i64(operation)
    }
    fn kernel(operation: Operation) -> Option<Kernel<i64>> {
        match operation {
            Operation::Select => Some(select!(i64, 0)),
            Operation::MulAdd => {
                Some(ternary!(i64, |a: i64, b: i64, c: i64| a.wrapping_mul(b).wrapping_add(c)))
            }
            Operation::MulSub => {
                Some(ternary!(i64, |a: i64, b: i64, c: i64| c.wrapping_sub(a.wrapping_mul(b))))
            }
            Operation::Choose(p) => choose!(i64, p, Lt <, Le <=, Eq ==),
            Operation::Clamp => Some(clamp!(i64, |a: i64, b: i64, c: i64| a.max(b).min(c))),
            Operation::Prim(p) => super::integer::kernel(p),
        }
    }
    #[inline(always)]
    fn is_true(self) -> bool {
        self != 0
    }
}

macro_rules! complex_compute {
    ($t:ident, $module:ident) => {
        impl Compute for $t {
            fn kernel(operation: Operation) -> Option<Kernel<$t>> {
                match operation {
                    Operation::Select => Some(select!($t, $t::new(0.0, 0.0))),
                    Operation::MulAdd => Some(ternary!($t, |a: $t, b: $t, c: $t| a * b + c)),
                    Operation::MulSub => Some(ternary!($t, |a: $t, b: $t, c: $t| c - a * b)),
                    Operation::Choose(_) | Operation::Clamp => None,
                    Operation::Prim(p) => super::complex::$module(p),
                }
            }
            #[inline(always)]
            fn is_true(self) -> bool {
                self.re != 0.0 || self.im != 0.0
            }
        }
    };
}
complex_compute!(C32, kernel_c32);
complex_compute!(C64, kernel_c64);
