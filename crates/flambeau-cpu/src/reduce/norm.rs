//! Vector norms. One of the modules with unsafe code.

use super::cut::{is_whole, pieces};
use super::engine::{Reducer, reduce};
use super::plan::{Kept, Plan, each_kept};
use super::reducers::Extremum;
use crate::pointwise::{Compute, Operand};
use crate::wide::{Body, wide};
use flambeau_core::{C64, DType};
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

/// Euclidean norms of contiguous rows, in their own precision. False where nothing was done: for other types and
/// layouts.
///
/// # Safety
/// As for [`reduce`].
unsafe fn euclidean_rows(src: &Operand, out: &Operand, sizes: &[i64], mask: &[bool]) -> bool {
    if src.dtype != out.dtype {
        return false;
    }
    let Some(plan) = Plan::new(sizes, mask, src, &[out]) else { return true };
    let n = match plan.reduced[..] {
        _ if plan.count == 0 => return false,
        [] if plan.kept.is_empty() => 1,
        [(n, 1)] => n,
        _ => return false,
    };
    let aligned = |o: &Operand| (o.pointer as usize).is_multiple_of(o.dtype.size());
    if !aligned(src) || !aligned(out) {
        return false;
    }
    if !matches!(src.dtype, DType::Float32 | DType::Float64) {
        return false;
    }
    let work = |kept: &[Kept], src: &Operand, out: &Operand| {
        let (from, to) = (src.pointer.cast_const(), out.pointer);
        match src.dtype {
            DType::Float32 => wide(EuclideanRows::<f32, 8> { n, kept, x: from.cast(), out: to.cast() }),
            _ => wide(EuclideanRows::<f64, 4> { n, kept, x: from.cast(), out: to.cast() }),
        }
    };
    if is_whole(sizes) {
        work(&plan.kept, src, out);
        return true;
    }
    let done = pieces(&[src, out], sizes, |d| mask[d], false, &|operands, sizes| {
        if let Some(plan) = Plan::new(sizes, mask, operands[0], &operands[1..]) {
            work(&plan.kept, operands[0], operands[1]);
        }
        Ok(())
    });
    done.is_ok()
}

/// Rows of `n` elements, aligned and valid at each index of `kept`, as are their results.
struct EuclideanRows<'a, T, const W: usize> {
    n: usize,
    kept: &'a [Kept],
    x: *const T,
    out: *mut T,
}

impl<T: num_traits::Float, const W: usize> Body for EuclideanRows<'_, T, W> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        // SAFETY: a row of elements, and its result.
        each_kept(self.kept, |from, to| unsafe {
            let x = std::slice::from_raw_parts(self.x.offset(from), self.n);
            *self.out.offset(to) = euclidean::<T, W>(x);
        });
    }
}

/// The norm of real or complex numbers, accumulated in double precision (the Euclidean one of contiguous rows in
/// its own).
///
/// # Safety
/// As for [`reduce`].
pub unsafe fn norm(src: &Operand, out: &Operand, sizes: &[i64], mask: &[bool], order: Norm) {
    // SAFETY: passed on from the caller.
    if order == Norm::Two && unsafe { euclidean_rows(src, out, sizes, mask) } {
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
