//! Running sums, products, extremes and the like along a dimension. One of the modules with unsafe code.

mod direct;

use super::cut::pieces;
use super::plan::advance;
use super::reducers::ordered;
use super::{Arith, Extremum};
use crate::pointwise::{Compute, Operand, load, store};
use crate::wide::wide;
use direct::direct;
use flambeau_core::{C64, DType, Result};
use smallvec::SmallVec;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

const TILE: usize = 256;

/// What runs along the dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scan {
    Sum,
    Prod,
    LogSumExp,
    /// The largest so far, with the position of its last occurrence.
    Max,
    Min,
}

trait Scanner: Copy {
    type In: Compute;
    type Acc: Copy;
    type Out: Compute;
    /// The accumulator before the first element.
    fn start(&self) -> Self::Acc;
    /// Takes element `k`.
    fn step(&self, acc: Self::Acc, x: Self::In, k: i64) -> Self::Acc;
    fn value(&self, acc: Self::Acc) -> Self::Out;
    fn index(&self, _: Self::Acc) -> i64 {
        0
    }
    /// Takes consecutive elements (without positions); `coarse` where results are rounded so much that the last bits
    /// of accumulators don't matter.
    #[inline(always)]
    fn line(
        &self,
        mut acc: Self::Acc,
        x: &[Self::In],
        out: &mut [MaybeUninit<Self::Out>],
        _: bool,
    ) -> Self::Acc {
        for (out, &x) in out.iter_mut().zip(x) {
            acc = self.step(acc, x, 0);
            out.write(self.value(acc));
        }
        acc
    }
}

#[derive(Clone, Copy)]
struct Sum<T>(PhantomData<T>);
#[derive(Clone, Copy)]
struct Prod<T>(PhantomData<T>);

macro_rules! arithmetic_scan {
    ($name:ident, $start:expr, $op:ident $(, $line:item)?) => {
        impl<T: Arith> Scanner for $name<T> {
            type In = T;
            type Acc = T;
            type Out = T;
            fn start(&self) -> T {
                $start
            }
            #[inline(always)]
            fn step(&self, acc: T, x: T, _: i64) -> T {
                acc.$op(x)
            }
            #[inline(always)]
            fn value(&self, acc: T) -> T {
                acc
            }
            $(#[inline(always)] $line)?
        }
    };
}
arithmetic_scan!(
    Sum,
    T::default(),
    plus,
    fn line(&self, mut acc: T, x: &[T], out: &mut [MaybeUninit<T>], coarse: bool) -> T {
        let (fours, rest) = x.split_at(if coarse { x.len() / 4 * 4 } else { 0 });
        let (out, last) = out.split_at_mut(fours.len());
        // Sums within four elements don't wait for those before them.
        for (out, x) in out.chunks_exact_mut(4).zip(fours.chunks_exact(4)) {
            let two = x[0].plus(x[1]);
            let three = two.plus(x[2]);
            let four = two.plus(x[2].plus(x[3]));
            out[0].write(acc.plus(x[0]));
            out[1].write(acc.plus(two));
            out[2].write(acc.plus(three));
            acc = acc.plus(four);
            out[3].write(acc);
        }
        for (out, &x) in last.iter_mut().zip(rest) {
            acc = acc.plus(x);
            out.write(acc);
        }
        acc
    }
);
arithmetic_scan!(Prod, T::ONE, times);

/// `log(exp(a) + exp(b))` without overflow.
trait LogAddExp: Compute {
    const NOTHING: Self;
    fn log_add_exp(self, other: Self) -> Self;
}
impl LogAddExp for f64 {
    const NOTHING: f64 = f64::NEG_INFINITY;
    fn log_add_exp(self, x: f64) -> f64 {
        let (low, high) = if self < x { (self, x) } else { (x, self) };
        if low.is_nan() || high.is_nan() {
            return f64::NAN;
        }
        // Equal infinities have no difference.
        if low == high && high.is_infinite() { high } else { high + (low - high).exp().ln_1p() }
    }
}
impl LogAddExp for C64 {
    const NOTHING: C64 = C64 { re: f64::NEG_INFINITY, im: 0.0 };
    fn log_add_exp(self, x: C64) -> C64 {
        let (low, high) = if self.re < x.re { (self, x) } else { (x, self) };
        if [low.re, low.im, high.re, high.im].iter().any(|v| v.is_nan()) {
            return C64::new(f64::NAN, f64::NAN);
        }
        if low.re == f64::NEG_INFINITY {
            return high;
        }
        if high.re == f64::INFINITY {
            // Opposite directions of infinite length have no sum of a definite angle but their own.
            return if low.re == f64::INFINITY { (low.exp() + high.exp()).ln() } else { high };
        }
        let ratio = (low - high).exp();
        // The magnitude through log1p, which keeps small terms.
        let re = 0.5 * (2.0 * ratio.re + ratio.norm_sqr()).ln_1p();
        high + C64::new(re, ratio.im.atan2(1.0 + ratio.re))
    }
}

#[derive(Clone, Copy)]
struct LogSum<T>(PhantomData<T>);
impl<T: LogAddExp> Scanner for LogSum<T> {
    type In = T;
    type Acc = T;
    type Out = T;
    fn start(&self) -> T {
        T::NOTHING
    }
    #[inline(always)]
    fn step(&self, acc: T, x: T, _: i64) -> T {
        acc.log_add_exp(x)
    }
    #[inline(always)]
    fn value(&self, acc: T) -> T {
        acc
    }
}

#[derive(Clone, Copy)]
struct Extreme<T, const MAX: bool>(PhantomData<T>);
impl<T: Extremum, const MAX: bool> Scanner for Extreme<T, MAX> {
    type In = T;
    type Acc = (T, i64);
    type Out = T;
    fn start(&self) -> (T, i64) {
        (if MAX { T::LOWEST } else { T::HIGHEST }, 0)
    }
    #[inline(always)]
    fn step(&self, acc: (T, i64), x: T, k: i64) -> (T, i64) {
        let take = x.is_nan() || (!acc.0.is_nan() && if MAX { x >= acc.0 } else { x <= acc.0 });
        if take { (x, k) } else { acc }
    }
    #[inline(always)]
    fn value(&self, acc: (T, i64)) -> T {
        acc.0
    }
    #[inline(always)]
    fn index(&self, acc: (T, i64)) -> i64 {
        acc.1
    }
}

/// Runs `what` along dimension `dim`: each place of `out` gets the result of the elements up to it. Sums and products
/// of real numbers run in double precision, in 64-bit integers where the output is integral. `indices` (for `Max` and
/// `Min`) get positions. `reverse` runs from the end.
///
/// # Safety
/// All operands must be valid at every index of `sizes`, the outputs for writing; they must not overlap the input.
pub unsafe fn scan(
    what: Scan,
    src: &Operand,
    out: &Operand,
    indices: Option<&Operand>,
    sizes: &[i64],
    dim: usize,
    reverse: bool,
) -> Result<()> {
    if sizes.contains(&0) {
        return Ok(());
    }
    let operands: SmallVec<[&Operand; 3]> = [src, out].into_iter().chain(indices).collect();
    pieces(&operands, sizes, |d| d == dim, true, &|operands, sizes| {
        // SAFETY: a part of what the caller vouches for.
        unsafe { scan_piece(what, operands[0], operands[1], operands.get(2).copied(), sizes, dim, reverse) }
    })
}

/// # Safety
/// As for [`scan`].
unsafe fn scan_piece(
    what: Scan,
    src: &Operand,
    out: &Operand,
    indices: Option<&Operand>,
    sizes: &[i64],
    dim: usize,
    reverse: bool,
) -> Result<()> {
    macro_rules! arithmetic {
        ($name:ident) => {
            match out.dtype.compute() {
                DType::Int64 => run(&$name::<i64>(PhantomData), src, out, None, sizes, dim, reverse),
                DType::Complex64 | DType::Complex128 => {
                    run(&$name::<C64>(PhantomData), src, out, None, sizes, dim, reverse)
                }
                _ => run(&$name::<f64>(PhantomData), src, out, None, sizes, dim, reverse),
            }
        };
    }
    // SAFETY: passed on from the caller.
    unsafe {
        match what {
            Scan::Sum | Scan::Prod if direct(what, src, out, sizes, dim, reverse) => {}
            Scan::Sum => arithmetic!(Sum),
            Scan::Prod => arithmetic!(Prod),
            Scan::LogSumExp if out.dtype.is_complex() => {
                run(&LogSum::<C64>(PhantomData), src, out, None, sizes, dim, reverse)
            }
            Scan::LogSumExp => run(&LogSum::<f64>(PhantomData), src, out, None, sizes, dim, reverse),
            Scan::Max => ordered!(src.dtype, T => {
                run(&Extreme::<T, true>(PhantomData), src, out, indices, sizes, dim, reverse)
            }),
            Scan::Min => ordered!(src.dtype, T => {
                run(&Extreme::<T, false>(PhantomData), src, out, indices, sizes, dim, reverse)
            }),
        }
    }
    Ok(())
}

/// # Safety
/// As for [`scan`].
unsafe fn run<S: Scanner>(
    s: &S,
    src: &Operand,
    out: &Operand,
    indices: Option<&Operand>,
    sizes: &[i64],
    dim: usize,
    reverse: bool,
) {
    let operands: SmallVec<[&Operand; 3]> = [src, out].into_iter().chain(indices).collect();
    let n = sizes.get(dim).map_or(1, |&n| n as usize);
    let strides: SmallVec<[isize; 3]> =
        operands.iter().map(|o| o.strides.get(dim).map_or(0, |&s| s as isize)).collect();
    let others: SmallVec<[usize; 6]> = (0..sizes.len()).filter(|&d| d != dim && sizes[d] != 1).collect();
    // Lines lie side by side along the other dimension of the smallest stride, if that is smaller than `dim`'s.
    let beside = others.iter().copied().min_by_key(|&d| src.strides[d].unsigned_abs());
    let beside =
        beside.filter(|&d| n == 1 || src.strides[d].unsigned_abs() < strides[0].unsigned_abs() as u64);
    let outer: SmallVec<[usize; 6]> = others.into_iter().filter(|&d| Some(d) != beside).collect();
    let (count, steps): (usize, SmallVec<[isize; 3]>) = match beside {
        Some(d) => (sizes[d] as usize, operands.iter().map(|o| o.strides[d] as isize).collect()),
        None => (1, operands.iter().map(|_| 0).collect()),
    };
    let mut index: SmallVec<[usize; 6]> = SmallVec::from_elem(0, outer.len());
    let mut input = [const { MaybeUninit::<S::In>::uninit() }; TILE];
    let mut output = [const { MaybeUninit::<S::Out>::uninit() }; TILE];
    let mut positions = [0i64; TILE];
    let coarse = !matches!(out.dtype, DType::Float64 | DType::Complex128);
    loop {
        let base = |i: usize| -> isize {
            outer.iter().zip(&index).map(|(&d, &j)| operands[i].strides[d] as isize * j as isize).sum()
        };
        let bases: SmallVec<[isize; 3]> = (0..operands.len()).map(base).collect();
        let place = |i: usize, k: usize, c: usize| -> *mut u8 {
            let k = if reverse { n - 1 - k } else { k };
            let at = bases[i] + k as isize * strides[i] + c as isize * steps[i];
            operands[i].pointer.wrapping_offset(at * operands[i].dtype.size() as isize)
        };
        // SAFETY: places lie within the operands; tiles hold TILE elements.
        unsafe {
            if beside.is_some() {
                let mut first = 0;
                while first < count {
                    let width = (count - first).min(TILE);
                    let mut accs: SmallVec<[S::Acc; 16]> = SmallVec::from_elem(s.start(), width);
                    for k in 0..n {
                        load(
                            place(0, k, first),
                            src.dtype,
                            steps[0],
                            input.as_mut_ptr().cast::<S::In>(),
                            width,
                        );
                        let row = std::slice::from_raw_parts(input.as_ptr().cast::<S::In>(), width);
                        let at = if reverse { n - 1 - k } else { k } as i64;
                        let (s, three) = (*s, accs.iter_mut().zip(row).zip(&mut output));
                        wide(move || {
                            three.for_each(|((acc, &x), out)| {
                                *acc = s.step(*acc, x, at);
                                out.write(s.value(*acc));
                            })
                        });
                        store(
                            output.as_ptr().cast::<S::Out>(),
                            place(1, k, first),
                            out.dtype,
                            steps[1],
                            width,
                        );
                        if let Some(indices) = indices {
                            for (position, &acc) in positions.iter_mut().zip(&accs) {
                                *position = s.index(acc);
                            }
                            store(positions.as_ptr(), place(2, k, first), indices.dtype, steps[2], width);
                        }
                    }
                    first += width;
                }
            } else {
                let sign = if reverse { -1 } else { 1 };
                let mut acc = s.start();
                let mut done = 0;
                while done < n {
                    let width = (n - done).min(TILE);
                    let tile = input.as_mut_ptr().cast::<S::In>();
                    load(place(0, done, 0), src.dtype, sign * strides[0], tile, width);
                    let tile = std::slice::from_raw_parts(tile, width);
                    if indices.is_none() {
                        acc = s.line(acc, tile, &mut output[..width], coarse);
                    } else {
                        for (i, &x) in tile.iter().enumerate() {
                            let at = if reverse { n - 1 - done - i } else { done + i } as i64;
                            acc = s.step(acc, x, at);
                            output[i].write(s.value(acc));
                            positions[i] = s.index(acc);
                        }
                    }
                    store(
                        output.as_ptr().cast::<S::Out>(),
                        place(1, done, 0),
                        out.dtype,
                        sign * strides[1],
                        width,
                    );
                    if let Some(indices) = indices {
                        store(positions.as_ptr(), place(2, done, 0), indices.dtype, sign * strides[2], width);
                    }
                    done += width;
                }
            }
        }
        if !advance(&mut index, outer.iter().map(|&d| sizes[d] as usize)) {
            return;
        }
    }
}
