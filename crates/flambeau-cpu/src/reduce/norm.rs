//! Vector norms. One of the modules with unsafe code.

use super::engine::{Reducer, reduce};
use super::reducers::Extremum;
use super::rows::{Row, rows};
use crate::lanes::{Fold, folded};
use crate::pointwise::{Compute, Operand, narrow_bf16, widen_bf16};
use flambeau_core::{C64, DType, bf16};
use std::marker::PhantomData;

/// A vector norm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Norm {
    /// Number of nonzero elements.
    Zero,
    /// Sum of magnitudes.
    One,
    /// Root of the sum of squares.
    Two,
    /// Largest magnitude.
    Max,
    /// Least magnitude.
    Min,
    /// `sum(|x|^p)^(1/p)`
    P(f64),
}

impl Norm {
    /// The norm of order `p`.
    pub fn new(p: f64) -> Norm {
        match p {
            0.0 => Norm::Zero,
            1.0 => Norm::One,
            2.0 => Norm::Two,
            f64::INFINITY => Norm::Max,
            f64::NEG_INFINITY => Norm::Min,
            p => Norm::P(p),
        }
    }
}

/// Magnitudes in double precision.
trait Magnitude: Compute {
    fn magnitude(self) -> f64;
    fn square(self) -> f64;
}
impl Magnitude for f64 {
    #[inline(always)]
    fn magnitude(self) -> f64 {
        self.abs()
    }
    #[inline(always)]
    fn square(self) -> f64 {
        self * self
    }
}
impl Magnitude for C64 {
    #[inline(always)]
    fn magnitude(self) -> f64 {
        self.norm()
    }
    #[inline(always)]
    fn square(self) -> f64 {
        self.re * self.re + self.im * self.im
    }
}

/// One reducer for each norm: the magnitude's contribution, how contributions meet, and the result.
macro_rules! norm_reducer {
    ($name:ident($p:ident), $start:expr, |$x:ident| $term:expr, |$a:ident, $b:ident| $merge:expr, |$t:ident| $finish:expr) => {
        #[derive(Clone, Copy)]
        struct $name<T>(f64, PhantomData<T>);
        impl<T: Magnitude> Reducer for $name<T> {
            type In = T;
            type Acc = f64;
            type Out = f64;
            #[inline(always)]
            fn start(&self) -> f64 {
                $start
            }
            #[inline(always)]
            fn step(&self, $a: f64, $x: T) -> f64 {
                let $p = self.0;
                let _ = $p;
                let $b = $term;
                $merge
            }
            #[inline(always)]
            fn merge(&self, $a: f64, $b: f64) -> f64 {
                $merge
            }
            #[inline(always)]
            fn finish(&self, $t: f64, _: usize) -> f64 {
                let $p = self.0;
                let _ = $p;
                $finish
            }
        }
    };
}
norm_reducer!(Norm0(p), 0.0, |x| x.is_true() as i64 as f64, |a, b| a + b, |t| t);
norm_reducer!(Norm1(p), 0.0, |x| x.magnitude(), |a, b| a + b, |t| t);
norm_reducer!(Norm2(p), 0.0, |x| x.square(), |a, b| a + b, |t| t.sqrt());
norm_reducer!(NormP(p), 0.0, |x| x.magnitude().powf(p), |a, b| a + b, |t| t.powf(1.0 / p));
norm_reducer!(NormMax(p), 0.0, |x| x.magnitude(), |a, b| a.larger(b), |t| t);
norm_reducer!(NormMin(p), f64::INFINITY, |x| x.magnitude(), |a, b| a.smaller(b), |t| t);

/// The Euclidean norm of contiguous numbers, in the order of PyTorch's vectors: `W` sums of squares, added up one by
/// one, then the rest, whose last products are not rounded.
#[inline(always)]
fn euclidean<T: num_traits::Float, const W: usize>(x: &[T]) -> T {
    let mut sums = [T::zero(); W];
    let mut lines = x.chunks_exact(W);
    for line in &mut lines {
        for (sum, &v) in sums.iter_mut().zip(line) {
            *sum = v * v + *sum;
        }
    }
    let mut total = sums[1..].iter().fold(sums[0], |total, &sum| total + sum);
    let mut rest = lines.remainder();
    if let (true, Some((four, last))) = (W == 8, rest.split_at_checked(4)) {
        total = four.iter().fold(total, |total, &v| total + v * v);
        rest = last;
    }
    rest.iter().fold(total, |total, &v| v.mul_add(v, total)).sqrt()
}

/// Euclidean norms of contiguous rows in their own precision, those of `bfloat16` (whose squares are exact there) in
/// `float64`.
#[derive(Clone, Copy)]
struct Euclidean<T>(PhantomData<T>);

macro_rules! euclidean_row {
    ($($T:ty, $w:literal;)*) => { $(impl Row for Euclidean<$T> {
        type In = $T;
        type Acc = $T;
        type Out = $T;
        const WHOLE: bool = true;
        #[inline(always)]
        fn part(&self, x: &[$T]) -> $T {
            euclidean::<$T, $w>(x)
        }
        #[inline(always)]
        fn merge(&self, a: $T, b: $T) -> $T {
            a.hypot(b)
        }
        #[inline(always)]
        fn finish(&self, acc: $T) -> $T {
            acc
        }
    })* };
}
euclidean_row! {
    f32, 8;
    f64, 4;
}

struct Squares;
impl Fold for Squares {
    type In = bf16;
    type Acc = f64;
    const NOTHING: bf16 = bf16::ZERO;
    const START: f64 = 0.0;
    #[inline(always)]
    fn step(acc: f64, x: bf16) -> f64 {
        let x = f64::from(widen_bf16(x));
        acc + x * x
    }
    #[inline(always)]
    fn merge(a: f64, b: f64) -> f64 {
        a + b
    }
}

impl Row for Euclidean<bf16> {
    type In = bf16;
    type Acc = f64;
    type Out = bf16;
    #[inline(always)]
    fn part(&self, x: &[bf16]) -> f64 {
        folded::<Squares>(x)
    }
    #[inline(always)]
    fn merge(&self, a: f64, b: f64) -> f64 {
        a + b
    }
    #[inline(always)]
    fn finish(&self, acc: f64) -> bf16 {
        narrow_bf16(acc.sqrt() as f32)
    }
}

/// The norm of real or complex numbers, accumulated in double precision (the Euclidean one of contiguous rows in
/// its own).
///
/// # Safety
/// As for [`reduce`].
pub unsafe fn norm(src: &Operand, out: &Operand, sizes: &[i64], mask: &[bool], order: Norm) {
    // SAFETY: passed on from the caller.
    let done = order == Norm::Two
        && unsafe {
            match src.dtype {
                DType::Float32 => rows(&Euclidean::<f32>(PhantomData), src, out, sizes, mask),
                DType::Float64 => rows(&Euclidean::<f64>(PhantomData), src, out, sizes, mask),
                DType::BFloat16 => rows(&Euclidean::<bf16>(PhantomData), src, out, sizes, mask),
                _ => false,
            }
        };
    if done {
        return;
    }
    macro_rules! run {
        ($T:ty) => {
            // SAFETY: passed on from the caller.
            unsafe {
                match order {
                    Norm::Zero => reduce(&Norm0::<$T>(0.0, PhantomData), src, &[out], sizes, mask),
                    Norm::One => reduce(&Norm1::<$T>(0.0, PhantomData), src, &[out], sizes, mask),
                    Norm::Two => reduce(&Norm2::<$T>(0.0, PhantomData), src, &[out], sizes, mask),
                    Norm::Max => reduce(&NormMax::<$T>(0.0, PhantomData), src, &[out], sizes, mask),
                    Norm::Min => reduce(&NormMin::<$T>(0.0, PhantomData), src, &[out], sizes, mask),
                    Norm::P(p) => reduce(&NormP::<$T>(p, PhantomData), src, &[out], sizes, mask),
                }
            }
        };
    }
    if src.dtype.is_complex() { run!(C64) } else { run!(f64) }
}
