//! The reducers and their dispatch by dtype. One of the modules with unsafe code.

use super::Arith;
use super::engine::{Reducer, reduce};
use super::plan::Plan;
use super::rows::{Row, rows};
use crate::lanes::{Fold, folded, in_row, lanes_again, merged};
use crate::mask::count_nonzero;
use crate::pointwise::{Compute, Operand, store};
use flambeau_core::{DType, Result, dispatch};
use std::marker::PhantomData;

/// Sum, or mean where a divisor is given; NaN may count as 0.
#[derive(Clone, Copy)]
struct Sum<T> {
    divisor: Option<T>,
    skip_nan: bool,
}

impl<T: Arith + std::ops::Div<Output = T>> Reducer for Sum<T> {
    type In = T;
    type Acc = T;
    type Out = T;
    #[inline(always)]
    fn start(&self) -> T {
        T::default()
    }
    #[inline(always)]
    fn step(&self, acc: T, x: T) -> T {
        if self.skip_nan && x.is_nan() { acc } else { acc.plus(x) }
    }
    #[inline(always)]
    fn merge(&self, a: T, b: T) -> T {
        a.plus(b)
    }
    #[inline(always)]
    fn finish(&self, acc: T, _: usize) -> T {
        match self.divisor {
            Some(n) => acc / n,
            None => acc,
        }
    }
    #[inline(always)]
    fn fold(&self, tile: &[T]) -> T {
        // The test of `skip_nan` stays out of the loop.
        if T::DTYPE == DType::Int64 {
            // Nothing is rounded: compilers choose the lanes.
            let mut sum = T::default();
            for &x in tile {
                sum = sum.plus(x);
            }
            sum
        } else if self.skip_nan {
            super::engine::lanes(self, tile)
        } else {
            super::engine::lanes(&Plain(PhantomData), tile)
        }
    }
}

#[derive(Clone, Copy)]
struct Plain<T>(PhantomData<T>);

impl<T: Arith> Reducer for Plain<T> {
    type In = T;
    type Acc = T;
    type Out = T;
    #[inline(always)]
    fn start(&self) -> T {
        T::default()
    }
    #[inline(always)]
    fn step(&self, acc: T, x: T) -> T {
        acc.plus(x)
    }
    #[inline(always)]
    fn merge(&self, a: T, b: T) -> T {
        a.plus(b)
    }
    #[inline(always)]
    fn finish(&self, acc: T, _: usize) -> T {
        acc
    }
}

/// Sums in the compute type of the output: each element is converted first. With `divisor` (not for integers) the
/// sum is divided by it; with `skip_nan` NaN counts as 0.
///
/// # Safety
/// As for [`reduce`].
pub unsafe fn sum(
    src: &Operand,
    out: &Operand,
    sizes: &[i64],
    mask: &[bool],
    skip_nan: bool,
    divisor: Option<f64>,
) -> Result<()> {
    // SAFETY: passed on from the caller.
    if unsafe { super::cascade::sum(src, out, sizes, mask, skip_nan, divisor) } {
        return Ok(());
    }
    dispatch!(compute out.dtype, T => {
        let divisor = divisor.map(|n| <T as flambeau_core::Number>::from_scalar(n.into()));
        // SAFETY: passed on from the caller.
        unsafe { reduce(&Sum::<T> { divisor, skip_nan }, src, &[out], sizes, mask) }
    });
    Ok(())
}

#[derive(Clone, Copy)]
struct Product<T>(PhantomData<T>);

impl<T: Arith> Fold for Product<T> {
    type In = T;
    type Acc = T;
    const NOTHING: T = T::ONE;
    const START: T = T::ONE;
    #[inline(always)]
    fn step(acc: T, x: T) -> T {
        acc.times(x)
    }
    #[inline(always)]
    fn merge(a: T, b: T) -> T {
        a.times(b)
    }
}

impl<T: Arith> Reducer for Product<T> {
    type In = T;
    type Acc = T;
    type Out = T;
    #[inline(always)]
    fn start(&self) -> T {
        T::ONE
    }
    #[inline(always)]
    fn step(&self, acc: T, x: T) -> T {
        acc.times(x)
    }
    #[inline(always)]
    fn merge(&self, a: T, b: T) -> T {
        a.times(b)
    }
    #[inline(always)]
    fn finish(&self, acc: T, _: usize) -> T {
        acc
    }
    #[inline(always)]
    fn fold(&self, tile: &[T]) -> T {
        // Errors grow by a unit with each factor, whatever the order: no blocks are needed.
        folded::<Product<T>>(tile)
    }
}

/// The product of contiguous numbers in the order of PyTorch's vectors: `4 * W` products side by side, then the rest.
#[derive(Clone, Copy)]
struct ProductRow<T>(PhantomData<T>);

macro_rules! product_row {
    ($($T:ty, $w:literal;)*) => { $(impl Row for ProductRow<$T> {
        type In = $T;
        type Acc = $T;
        type Out = $T;
        #[inline(always)]
        fn part(&self, x: &[$T]) -> $T {
            const W: usize = $w;
            let (lines, rest) = x.as_chunks::<{ 4 * W }>();
            let mut total = 1.0;
            if !lines.is_empty() {
                let mut acc = [1.0; 4 * W];
                for line in lines {
                    let line = *line;
                    for l in 0..4 * W {
                        acc[l] *= line[l];
                    }
                }
                let acc = in_row(acc);
                let lanes: [$T; W] = std::array::from_fn(|l| {
                    (acc[l] * acc[W + l]) * (acc[2 * W + l] * acc[3 * W + l])
                });
                for v in lanes {
                    total *= v;
                }
            }
            for &v in rest {
                total *= v;
            }
            total
        }
        #[inline(always)]
        fn merge(&self, a: $T, b: $T) -> $T {
            a * b
        }
        #[inline(always)]
        fn finish(&self, acc: $T) -> $T {
            acc
        }
    })* };
}
product_row! {
    f32, 8;
    f64, 4;
}

/// Multiplies in the compute type of the output.
///
/// # Safety
/// As for [`reduce`].
pub unsafe fn prod(src: &Operand, out: &Operand, sizes: &[i64], mask: &[bool]) {
    // SAFETY: passed on from the caller.
    let done = unsafe {
        match out.dtype {
            DType::Float32 => rows(&ProductRow::<f32>(PhantomData), src, out, sizes, mask),
            DType::Float64 => rows(&ProductRow::<f64>(PhantomData), src, out, sizes, mask),
            _ => false,
        }
    };
    if done {
        return;
    }
    // SAFETY: passed on from the caller.
    dispatch!(compute out.dtype, T => unsafe { reduce(&Product::<T>(PhantomData), src, &[out], sizes, mask) })
}

/// Types with an order; NaN is both the least and the greatest.
pub trait Extremum: Arith + PartialOrd {
    const LOWEST: Self;
    const HIGHEST: Self;
    #[inline(always)]
    fn larger(self, x: Self) -> Self {
        // Without a branch, which would keep the loop out of vector registers.
        if (x > self) | x.is_nan() { x } else { self }
    }
    #[inline(always)]
    fn smaller(self, x: Self) -> Self {
        if (x < self) | x.is_nan() { x } else { self }
    }
}
impl Extremum for f32 {
    const LOWEST: f32 = f32::NEG_INFINITY;
    const HIGHEST: f32 = f32::INFINITY;
}
impl Extremum for f64 {
    const LOWEST: f64 = f64::NEG_INFINITY;
    const HIGHEST: f64 = f64::INFINITY;
}
impl Extremum for i64 {
    const LOWEST: i64 = i64::MIN;
    const HIGHEST: i64 = i64::MAX;
}

/// Minimum (output 0) and maximum (output 1), or one of them alone.
#[derive(Clone, Copy)]
struct MinMax<T>(PhantomData<T>);
#[derive(Clone, Copy)]
struct Max<T>(PhantomData<T>);
#[derive(Clone, Copy)]
struct Min<T>(PhantomData<T>);

impl<T: Extremum> Reducer for MinMax<T> {
    type In = T;
    type Acc = (T, T);
    type Out = T;
    #[inline(always)]
    fn start(&self) -> (T, T) {
        (T::HIGHEST, T::LOWEST)
    }
    #[inline(always)]
    fn step(&self, acc: (T, T), x: T) -> (T, T) {
        (acc.0.smaller(x), acc.1.larger(x))
    }
    #[inline(always)]
    fn merge(&self, a: (T, T), b: (T, T)) -> (T, T) {
        (a.0.smaller(b.0), a.1.larger(b.1))
    }
    #[inline(always)]
    fn finish(&self, acc: (T, T), output: usize) -> T {
        if output == 0 { acc.0 } else { acc.1 }
    }
}

macro_rules! extremum {
    ($name:ident, $start:ident, $pick:ident) => {
        impl<T: Extremum> Reducer for $name<T> {
            type In = T;
            type Acc = T;
            type Out = T;
            #[inline(always)]
            fn start(&self) -> T {
                T::$start
            }
            #[inline(always)]
            fn step(&self, acc: T, x: T) -> T {
                acc.$pick(x)
            }
            #[inline(always)]
            fn merge(&self, a: T, b: T) -> T {
                a.$pick(b)
            }
            #[inline(always)]
            fn finish(&self, acc: T, _: usize) -> T {
                acc
            }
            #[inline(always)]
            fn fold(&self, tile: &[T]) -> T {
                // Nothing is rounded: no blocks are needed.
                merged(lanes_again::<true, _, _>(tile, T::$start, |acc, x| acc.$pick(x)), |a, b| a.$pick(b))
            }
        }
    };
}
extremum!(Max, LOWEST, larger);
extremum!(Min, HIGHEST, smaller);

macro_rules! ordered {
    ($dtype:expr, $T:ident => $body:expr) => {
        flambeau_core::dispatch!(ordered $dtype, $T => $body, else flambeau_core::bail!(
            NotImplemented,
            "complex numbers have no order"
        ))
    };
}
pub(super) use ordered;

/// Minimum and maximum in one pass, or one of them. NaN wins. Complex types are an error.
///
/// # Safety
/// As for [`reduce`].
pub unsafe fn minmax(
    src: &Operand,
    min: Option<&Operand>,
    max: Option<&Operand>,
    sizes: &[i64],
    mask: &[bool],
) -> Result<()> {
    // SAFETY: passed on from the caller.
    unsafe {
        ordered!(src.dtype, T => match (min, max) {
            (Some(min), Some(max)) => reduce(&MinMax::<T>(PhantomData), src, &[min, max], sizes, mask),
            (Some(min), None) => reduce(&Min::<T>(PhantomData), src, &[min], sizes, mask),
            (None, Some(max)) => reduce(&Max::<T>(PhantomData), src, &[max], sizes, mask),
            (None, None) => {}
        })
    }
    Ok(())
}

/// What is asked of the number of elements that are not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    Any,
    /// All of this many.
    All(i64),
    Count,
}

#[derive(Clone, Copy)]
struct CountTrue<T>(Truth, PhantomData<T>);

impl<T: Compute> Reducer for CountTrue<T> {
    type In = T;
    type Acc = i64;
    type Out = i64;
    #[inline(always)]
    fn start(&self) -> i64 {
        0
    }
    #[inline(always)]
    fn step(&self, acc: i64, x: T) -> i64 {
        acc + x.is_true() as i64
    }
    #[inline(always)]
    fn merge(&self, a: i64, b: i64) -> i64 {
        a + b
    }
    #[inline(always)]
    fn finish(&self, acc: i64, _: usize) -> i64 {
        match self.0 {
            Truth::Any => (acc > 0) as i64,
            Truth::All(n) => (acc == n) as i64,
            Truth::Count => acc,
        }
    }
}

/// [`truth`] of all bytes of a tensor without gaps. False where nothing was done: for other types and layouts.
///
/// # Safety
/// As for [`reduce`].
unsafe fn whole_truth(src: &Operand, out: &Operand, sizes: &[i64], mask: &[bool], what: Truth) -> bool {
    if src.dtype.size() != 1 {
        return false;
    }
    let Some(plan) = Plan::new(sizes, mask, src, &[out]) else { return true };
    let n = match (&plan.kept[..], &plan.reduced[..]) {
        ([], &[(n, 1)]) if plan.count > 0 => n,
        _ => return false,
    };
    // SAFETY: `n` bytes in a row, by the caller's promise.
    let bytes = unsafe { std::slice::from_raw_parts(src.pointer.cast_const(), n) };
    let value = CountTrue::<i64>(what, PhantomData).finish(count_nonzero(bytes) as i64, 0);
    // SAFETY: there is one result.
    unsafe { store(&value, out.pointer, out.dtype, 1, 1) };
    true
}

/// Whether any or all elements are nonzero, or how many. NaN is not zero.
///
/// # Safety
/// As for [`reduce`].
pub unsafe fn truth(src: &Operand, out: &Operand, sizes: &[i64], mask: &[bool], what: Truth) {
    // SAFETY: passed on from the caller.
    if unsafe { whole_truth(src, out, sizes, mask, what) } {
        return;
    }
    // SAFETY: passed on from the caller.
    dispatch!(compute src.dtype, T => unsafe {
        reduce(&CountTrue::<T>(what, PhantomData), src, &[out], sizes, mask)
    })
}

/// Count, mean and sum of squared deviations, in double precision; merged by the formula of Chan, Golub and LeVeque
/// ("Updating formulae and a pairwise algorithm for computing sample variances", 1979).
#[derive(Clone, Copy)]
struct Moments {
    correction: f64,
    root: bool,
}

impl Reducer for Moments {
    type In = f64;
    type Acc = (f64, f64, f64);
    type Out = f64;
    #[inline(always)]
    fn start(&self) -> Self::Acc {
        (0.0, 0.0, 0.0)
    }
    #[inline(always)]
    fn step(&self, (n, mean, m2): Self::Acc, x: f64) -> Self::Acc {
        let n = n + 1.0;
        let delta = x - mean;
        // An infinite mean stays, whatever the order of the numbers.
        let mean = mean + if mean.is_infinite() { x } else { delta / n };
        (n, mean, m2 + delta * (x - mean))
    }
    #[inline(always)]
    fn merge(&self, a: Self::Acc, b: Self::Acc) -> Self::Acc {
        if a.0 == 0.0 {
            return b;
        }
        if b.0 == 0.0 {
            return a;
        }
        let n = a.0 + b.0;
        let delta = b.1 - a.1;
        let mean = a.1 + if a.1.is_infinite() { b.1 } else { delta * (b.0 / n) };
        (n, mean, a.2 + b.2 + delta * delta * (a.0 * b.0 / n))
    }
    #[inline(always)]
    fn finish(&self, (n, mean, m2): Self::Acc, output: usize) -> f64 {
        if output == 1 {
            return if n == 0.0 { f64::NAN } else { mean };
        }
        let variance = m2 / (n - self.correction).max(0.0);
        if self.root { variance.sqrt() } else { variance }
    }
    #[inline(always)]
    fn fold(&self, tile: &[f64]) -> Self::Acc {
        let n = tile.len() as f64;
        let mean = super::engine::lanes(&Plain(PhantomData), tile) / n;
        (n, mean, super::engine::lanes(&Deviation(mean), tile))
    }
}

#[derive(Clone, Copy)]
struct Deviation(f64);

impl Reducer for Deviation {
    type In = f64;
    type Acc = f64;
    type Out = f64;
    #[inline(always)]
    fn start(&self) -> f64 {
        0.0
    }
    #[inline(always)]
    fn step(&self, acc: f64, x: f64) -> f64 {
        acc + (x - self.0) * (x - self.0)
    }
    #[inline(always)]
    fn merge(&self, a: f64, b: f64) -> f64 {
        a + b
    }
    #[inline(always)]
    fn finish(&self, acc: f64, _: usize) -> f64 {
        acc
    }
}

/// Variance (its root where `root`) of real numbers, the sum of squares divided by `n - correction`, and their mean.
///
/// # Safety
/// As for [`reduce`].
pub unsafe fn moments(
    src: &Operand,
    variance: &Operand,
    mean: Option<&Operand>,
    sizes: &[i64],
    mask: &[bool],
    correction: f64,
    root: bool,
) {
    let r = Moments { correction, root };
    // SAFETY: passed on from the caller.
    unsafe {
        match mean {
            Some(mean) => reduce(&r, src, &[variance, mean], sizes, mask),
            None => reduce(&r, src, &[variance], sizes, mask),
        }
    }
}
