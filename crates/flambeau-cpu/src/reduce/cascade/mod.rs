//! Sums of contiguous rows and columns, in the order in which PyTorch adds them up, so that results are the same to
//! the last bit: sequences of vectors add up in blocks, and blocks in blocks of blocks, which also keeps rounding errors
//! small (N. Higham, "The accuracy of floating point summation", 1993). One of the modules with unsafe code.

mod columns;
#[cfg(test)]
mod tests;

use super::cut::{is_whole, pieces};
use super::plan::{Plan, advance, each_kept};
use crate::pointwise::{Operand, narrow_bf16, narrow_f16, widen_bf16, widen_f16};
use crate::wide::{Body, ahead, wide};
use columns::columns;
use flambeau_core::parallel::each as each_part;
use flambeau_core::{C32, C64, DType, Result, bf16, f16};
use num_complex::Complex;
use num_traits::{Float, Zero};
use smallvec::SmallVec;
use std::ops::Div;

/// Levels of blocks.
const LEVELS: usize = 4;
/// Sequences of vectors that are added up side by side.
const SIDE: usize = 4;

/// How many elements ahead of a sum memory is asked for: more than a page, which processors do not look beyond.
const AHEAD: isize = 1024;
/// Columns that are added up together, so that memory is read in long stretches.
const PANEL: usize = 1024;

/// Elements of a sum, in memory.
trait Source: Copy {
    /// What they are added up in.
    type Sum: Copy + Zero + Send + Sync;
    /// Lanes of a vector of sums.
    const W: usize;
    fn widened(self) -> Self::Sum;
    /// The sum (by 1), or the mean.
    fn narrowed(sum: Self::Sum, by: f64) -> Self;
    /// `N` lanes of the `P * N` elements from `x` on: `P` is 1, or 2 for rows of halves.
    ///
    /// # Safety
    /// So many elements are there.
    #[inline(always)]
    unsafe fn line<const N: usize, const P: usize>(x: *const Self) -> [Self::Sum; N] {
        // SAFETY: elements below `P * N`, by the caller's promise.
        unsafe {
            if P == 1 {
                // A loop: columns of halves are four times as fast as by a function for each lane.
                let mut line = [Self::Sum::zero(); N];
                for (l, sum) in line.iter_mut().enumerate() {
                    *sum = widened_at(x, l);
                }
                return line;
            }
            // Vectors of twice as many halves as lanes: the upper ones are added to the lower ones. (As a loop it takes twice as long.)
            std::array::from_fn(|l| {
                let first = l / Self::W * Self::W * 2 + l % Self::W;
                widened_at(x, first) + widened_at(x, first + Self::W)
            })
        }
    }
}

/// # Safety
/// The element is there.
#[inline(always)]
unsafe fn widened_at<S: Source>(x: *const S, i: usize) -> S::Sum {
    // SAFETY: as promised.
    unsafe { x.add(i).read_unaligned() }.widened()
}

/// A quotient by a real number, as one by the complex number that it is.
fn complex_mean<T: Float>(sum: Complex<T>, by: T) -> Complex<T> {
    crate::math::complex::div(sum, Complex::new(by, T::zero()))
}

macro_rules! source {
    ($($T:ty, $Sum:ty, $real:ty, $divided:path, $w:literal, |$x:ident| $widened:expr, |$sum:ident| $narrowed:expr;)*) => {$(
        impl Source for $T {
            type Sum = $Sum;
            const W: usize = $w;
            #[inline(always)]
            fn widened(self) -> $Sum {
                let $x = self;
                $widened
            }
            #[inline(always)]
            fn narrowed(sum: $Sum, by: f64) -> $T {
                let $sum = if by == 1.0 { sum } else { $divided(sum, by as $real) };
                $narrowed
            }
        }
    )*};
}
source! {
    f32, f32, f32, Div::div, 8, |x| x, |sum| sum;
    f64, f64, f64, Div::div, 4, |x| x, |sum| sum;
    bf16, f32, f32, Div::div, 8, |x| widen_bf16(x), |sum| narrow_bf16(sum);
    f16, f32, f32, Div::div, 8, |x| widen_f16(x), |sum| narrow_f16(sum);
    C32, C32, f32, complex_mean, 4, |x| x, |sum| sum;
    C64, C64, f64, complex_mean, 2, |x| x, |sum| sum;
}

/// An element that counts as zero where it is NaN.
#[derive(Clone, Copy)]
#[repr(transparent)]
struct OrZero<T>(T);

impl<T: Source<Sum: Float>> Source for OrZero<T> {
    type Sum = T::Sum;
    const W: usize = T::W;
    #[inline(always)]
    fn widened(self) -> T::Sum {
        let v = self.0.widened();
        // Without a branch, which would keep the loop out of vector registers.
        std::hint::select_unpredictable(v.is_nan(), T::Sum::zero(), v)
    }
    #[inline(always)]
    fn narrowed(sum: T::Sum, by: f64) -> Self {
        OrZero(T::narrowed(sum, by))
    }
}

/// The lines of a block, and the number of its levels' digits.
#[inline(always)]
fn block_size(size: usize) -> (usize, usize) {
    let bits = size.max(2).next_power_of_two().trailing_zeros() as usize;
    let power = (bits / LEVELS).max(4);
    (1 << power, power)
}

/// Asks for memory that is read soon.
#[inline(always)]
fn ask<S, const N: usize>(next: *const S) {
    let next: *const u8 = next.cast();
    let mut line = 0;
    while line < size_of::<[S; N]>() {
        ahead(next.wrapping_add(line));
        line += 64;
    }
}

/// `N` sums side by side of lines that begin `gap` elements apart, one after the other.
///
/// # Safety
/// `x` points at that many lines of `P * N` elements.
#[inline(always)]
unsafe fn run<S: Source, const N: usize, const P: usize>(
    x: *const S,
    lines: usize,
    gap: isize,
) -> [S::Sum; N] {
    let mut sums = [S::Sum::zero(); N];
    for i in 0..lines as isize {
        for p in 0..P {
            ask::<S, N>(x.wrapping_offset(i * gap + AHEAD).wrapping_add(p * N));
        }
        // SAFETY: a line by the caller's promise.
        let line = unsafe { S::line::<N, P>(x.offset(i * gap)) };
        for l in 0..N {
            sums[l] = sums[l] + line[l];
        }
    }
    sums
}

/// `N` sums side by side of `size` lines: in blocks, and blocks of blocks. `run(first, lines)` adds lines up one after the
/// other. The sums of the first blocks of blocks may be known.
#[inline(always)]
fn blocks<T: Copy + Zero, const N: usize>(
    size: usize,
    known: &[[T; N]],
    run: impl Fn(usize, usize) -> [T; N],
) -> [T; N] {
    let (step, power) = block_size(size);
    let mut sums = [[T::zero(); N]; LEVELS];
    let (mut i, mut known) = (0, known.iter());
    while i + step <= size {
        let (lines, lowest, mut carry) = match known.next() {
            Some(sum) => (step * step, 2, *sum),
            None => (step, 1, run(i, step)),
        };
        i += lines;
        for (j, level) in sums.iter_mut().enumerate().skip(lowest) {
            for l in 0..N {
                level[l] = level[l] + carry[l];
            }
            if i & ((step - 1) << (j * power)) != 0 || j == LEVELS - 1 {
                break;
            }
            carry = std::mem::replace(level, [T::zero(); N]);
        }
    }
    sums[0] = run(i, size - i);
    let [mut total, rest @ ..] = sums;
    for level in rest {
        for l in 0..N {
            total[l] = total[l] + level[l];
        }
    }
    total
}

/// [`blocks`] of lines that begin `gap` elements apart.
///
/// # Safety
/// `x` points at `size` lines of `P * N` elements.
#[inline(always)]
unsafe fn line_blocks<S: Source, const N: usize, const P: usize>(
    x: *const S,
    size: usize,
    gap: isize,
    known: &[[S::Sum; N]],
) -> [S::Sum; N] {
    // SAFETY: lines below `size`.
    blocks(size, known, |i, lines| unsafe { run::<S, N, P>(x.offset(i as isize * gap), lines, gap) })
}

/// `N` sums that were taken `SIDE` vectors of `W` at a time, the vectors from `first` to `size` that are left over and
/// begin `gap` elements apart, added up; `N = SIDE * W`.
///
/// # Safety
/// `x` points at `size` vectors of `P * W` elements.
#[inline(always)]
unsafe fn gather<S: Source, const N: usize, const W: usize, const P: usize>(
    sums: [S::Sum; N],
    x: *const S,
    first: usize,
    size: usize,
    gap: isize,
) -> [S::Sum; W] {
    let mut total = [S::Sum::zero(); W];
    total.copy_from_slice(&sums[..W]);
    for i in first..size {
        // SAFETY: a vector below `size`.
        let line = unsafe { S::line::<W, P>(x.offset(i as isize * gap)) };
        for l in 0..W {
            total[l] = total[l] + line[l];
        }
    }
    for k in 1..SIDE {
        for l in 0..W {
            total[l] = total[l] + sums[k * W + l];
        }
    }
    total
}

/// The sum of a contiguous row of `n` elements; that of the first blocks of blocks of its lines may be known.
///
/// # Safety
/// `x` points at that many elements.
#[inline(always)]
unsafe fn row<S: Source, const N: usize, const W: usize, const P: usize>(
    x: *const S,
    n: usize,
    known: &[[S::Sum; N]],
) -> S::Sum {
    let zero = S::Sum::zero();
    // SAFETY: lines and vectors within the row.
    unsafe {
        if n < P * W {
            let sums = line_blocks::<S, SIDE, 1>(x, n / SIDE, SIDE as isize, &[]);
            return gather::<S, SIDE, 1, 1>(sums, x, n / SIDE * SIDE, n, 1)[0];
        }
        let vectors = n / (P * W);
        let sums = line_blocks::<S, N, P>(x, vectors / SIDE, (P * N) as isize, known);
        let lanes = gather::<S, N, W, P>(sums, x, vectors / SIDE * SIDE, vectors, (P * W) as isize);
        let rest = (vectors * P * W..n).fold(zero, |total, i| total + (*x.add(i)).widened());
        lanes.iter().fold(rest, |total, &v| total + v)
    }
}

/// Rows from this length on are added up in parts, which several threads may share.
const LONG: usize = 1 << 16;

/// Rows that are added up side by side where they are short: the last additions of each wait for each other.
const ROWS: usize = 8;

/// Whether rows of `n` elements are for [`short_rows`]: vectors in at most one block.
fn is_short<S: Source, const P: usize>(n: usize) -> bool {
    n >= P * S::W && n / (P * S::W) / SIDE < block_size(0).0
}

/// The sums of contiguous rows of `n` elements that begin `apart` elements apart, as [`row`] adds them up.
///
/// # Safety
/// `x` points at `ROWS` rows of elements, short ones.
#[inline(always)]
unsafe fn short_rows<S: Source, const W: usize, const P: usize>(
    x: *const S,
    n: usize,
    apart: isize,
) -> [S::Sum; ROWS] {
    let zero = S::Sum::zero();
    let vectors = n / (P * W);
    let mut lanes = [[zero; W]; ROWS];
    for (r, lanes) in lanes.iter_mut().enumerate() {
        let row = x.wrapping_offset(r as isize * apart);
        let mut sums = [[zero; W]; SIDE];
        let add = |sums: &mut [S::Sum; W], i: usize| {
            let at = row.wrapping_add(i * P * W);
            ahead(at.wrapping_offset(AHEAD));
            // SAFETY: a vector of the row.
            let line = unsafe { S::line::<W, P>(at) };
            for l in 0..W {
                sums[l] = sums[l] + line[l];
            }
        };
        for i in 0..vectors / SIDE {
            sums.iter_mut().enumerate().for_each(|(k, sums)| add(sums, i * SIDE + k));
        }
        (vectors / SIDE * SIDE..vectors).for_each(|i| add(&mut sums[0], i));
        for l in 0..W {
            lanes[l] = ((sums[0][l] + sums[1][l]) + sums[2][l]) + sums[3][l];
        }
    }
    let mut totals = [zero; ROWS];
    for i in vectors * P * W..n {
        for r in 0..ROWS {
            // SAFETY: an element of the row.
            totals[r] = totals[r] + unsafe { *x.offset(r as isize * apart + i as isize) }.widened();
        }
    }
    for l in 0..W {
        for r in 0..ROWS {
            totals[r] = totals[r] + lanes[r][l];
        }
    }
    totals
}

/// Sums (divided by `divisor`, without NaN where `skip_nan`) over dimensions that follow each other in memory, into numbers
/// of the same type. False where nothing was done: for other types, and where neither the reduced nor the kept dimensions
/// are contiguous.
///
/// # Safety
/// As for `reduce`.
pub(super) unsafe fn sum(
    src: &Operand,
    out: &Operand,
    sizes: &[i64],
    mask: &[bool],
    skip_nan: bool,
    divisor: Option<f64>,
) -> bool {
    if src.dtype != out.dtype {
        return false;
    }
    // A number in any case: the compiler may divide by it before it knows whether there is one, which takes 40 ns where it
    // happens to be subnormal.
    let divisor = divisor.unwrap_or(1.0);
    // SAFETY: passed on from the caller.
    unsafe {
        if skip_nan {
            return match src.dtype {
                DType::Float32 => each::<OrZero<f32>, 32, 8, 1>(src, out, sizes, mask, divisor),
                DType::Float64 => each::<OrZero<f64>, 16, 4, 1>(src, out, sizes, mask, divisor),
                DType::BFloat16 => each::<OrZero<bf16>, 32, 8, 2>(src, out, sizes, mask, divisor),
                DType::Float16 => each::<OrZero<f16>, 32, 8, 2>(src, out, sizes, mask, divisor),
                _ => false,
            };
        }
        match src.dtype {
            DType::Float32 => each::<f32, 32, 8, 1>(src, out, sizes, mask, divisor),
            DType::Float64 => each::<f64, 16, 4, 1>(src, out, sizes, mask, divisor),
            DType::BFloat16 => each::<bf16, 32, 8, 2>(src, out, sizes, mask, divisor),
            DType::Float16 => each::<f16, 32, 8, 2>(src, out, sizes, mask, divisor),
            DType::Complex64 => each::<C32, 16, 4, 1>(src, out, sizes, mask, divisor),
            DType::Complex128 => each::<C64, 8, 2, 1>(src, out, sizes, mask, divisor),
            _ => false,
        }
    }
}

/// # Safety
/// As for [`sum`], of operands of `S`.
unsafe fn each<S: Source, const N: usize, const W: usize, const P: usize>(
    src: &Operand,
    out: &Operand,
    sizes: &[i64],
    mask: &[bool],
    divisor: f64,
) -> bool {
    let aligned = |o: &Operand| o.pointer.cast::<S>().is_aligned();
    let Some(plan) = Plan::new(sizes, mask, src, &[out]) else { return true };
    let [ref blocks @ .., (n, stride)] = plan.reduced[..] else { return false };
    if plan.count == 0 || !aligned(src) || !aligned(out) {
        return false;
    }
    let (_, from, to) = inner(&plan);
    if stride != 1 && ((from, to) != (1, 1) || !blocks.is_empty()) {
        return false;
    }
    if plan.kept.is_empty() && blocks.is_empty() && stride == 1 && n >= LONG {
        let x = src.pointer.cast::<S>().cast_const();
        let Ok(known) = known::<S, N, W, P>(x, n) else { return false };
        let (results, inner) = (out.pointer.cast::<S>(), inner(&plan));
        wide(Work::<S, N, W, P> { x, n, stride, blocks, results, inner, divisor, known: &known });
        return true;
    }
    let work = |plan: &Plan, src: &Operand, out: &Operand| {
        let [ref blocks @ .., (n, stride)] = plan.reduced[..] else { return };
        let outer = &plan.kept[..plan.kept.len().saturating_sub(1)];
        each_kept(outer, |from, to| {
            let x = src.pointer.cast::<S>().wrapping_offset(from).cast_const();
            let results = out.pointer.cast::<S>().wrapping_offset(to);
            // Rows of `n` elements (or `n` rows), and their results, valid by the caller's promise; the results do not
            // overlap the input.
            let inner = inner(plan);
            wide(Work::<S, N, W, P> { x, n, stride, blocks, results, inner, divisor, known: &[] });
        });
    };
    if is_whole(sizes) {
        work(&plan, src, out);
        return true;
    }
    let done = pieces(&[src, out], sizes, |d| mask[d], false, &|operands, sizes| {
        if let Some(plan) = Plan::new(sizes, mask, operands[0], &operands[1..]) {
            work(&plan, operands[0], operands[1]);
        }
        Ok(())
    });
    done.is_ok()
}

/// The sums of the complete blocks of blocks of a long row's lines, on several threads.
fn known<S: Source, const N: usize, const W: usize, const P: usize>(
    x: *const S,
    n: usize,
) -> Result<Vec<[S::Sum; N]>> {
    let (step, _) = block_size(n / (P * W) / SIDE);
    let lines = step * step;
    let mut sums = vec![[S::Sum::zero(); N]; n / (P * N) / lines];
    let each_thread = (LONG / 2).div_ceil(lines * P * N);
    let row = Row(x);
    each_part(sums.chunks_mut(each_thread).enumerate(), 1, |(i, sums)| {
        let row = &row;
        wide(Squares::<S, N, P> { x: row.0.wrapping_add(i * each_thread * lines * P * N), step, sums });
        Ok(())
    })?;
    Ok(sums)
}

/// Elements that threads read.
struct Row<S>(*const S);
// SAFETY: nobody writes to them meanwhile.
unsafe impl<S> Sync for Row<S> {}

/// The sums of blocks of `step` blocks of `step` lines, from those at `x` on, which are readable.
struct Squares<'a, S: Source, const N: usize, const P: usize> {
    x: *const S,
    step: usize,
    sums: &'a mut [[S::Sum; N]],
}

impl<S: Source, const N: usize, const P: usize> Body for Squares<'_, S, N, P> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let gap = P * N;
        let blocks = (0..self.sums.len() * self.step).map(|i| self.x.wrapping_add(i * self.step * gap));
        for (k, x) in blocks.enumerate() {
            // SAFETY: a block of lines.
            let block = unsafe { run::<S, N, P>(x, self.step, gap as isize) };
            let sums = &mut self.sums[k / self.step];
            for l in 0..N {
                sums[l] = sums[l] + block[l];
            }
        }
    }
}

/// The kept dimension that one call works on: its size, its stride, that of the results.
fn inner(plan: &Plan) -> (usize, isize, isize) {
    plan.kept.last().map_or((1, 0, 1), |last| (last.size, last.stride, last.out[0]))
}

/// Sums over `n` elements `stride` apart (of rows also over `blocks` of them: sizes and strides), for each index of one
/// kept dimension: elements and results are valid, and not the same.
struct Work<'a, S: Source, const N: usize, const W: usize, const P: usize> {
    x: *const S,
    n: usize,
    stride: isize,
    blocks: &'a [(usize, isize)],
    results: *mut S,
    inner: (usize, isize, isize),
    divisor: f64,
    /// What is known of the only row: see [`row`].
    known: &'a [[S::Sum; N]],
}

impl<S: Source, const N: usize, const W: usize, const P: usize> Body for Work<'_, S, N, W, P> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let (count, from, to) = self.inner;
        let narrowed = |total: S::Sum| S::narrowed(total, self.divisor);
        if self.stride != 1 {
            for first in (0..count).step_by(PANEL) {
                let mut sums = [S::Sum::zero(); PANEL];
                let sums = &mut sums[..PANEL.min(count - first)];
                // SAFETY: results of adjacent columns follow each other.
                unsafe {
                    columns::<S, N, W>(self.x.add(first), self.n, self.stride, sums, count < P * W);
                    let results = std::slice::from_raw_parts_mut(self.results.add(first), sums.len());
                    results.iter_mut().zip(sums).for_each(|(result, sum)| *result = narrowed(*sum));
                }
            }
            return;
        }
        let mut index: SmallVec<[usize; 4]> = SmallVec::from_elem(0, self.blocks.len());
        let grouped = if is_short::<S, P>(self.n) { count / ROWS * ROWS } else { 0 };
        for i in (0..grouped as isize).step_by(ROWS) {
            let mut totals = [S::Sum::zero(); ROWS];
            loop {
                let at: isize = self.blocks.iter().zip(&index).map(|(b, &i)| b.1 * i as isize).sum();
                // SAFETY: rows of elements.
                let sums = unsafe { short_rows::<S, W, P>(self.x.offset(i * from + at), self.n, from) };
                totals.iter_mut().zip(sums).for_each(|(total, sum)| *total = *total + sum);
                if !advance(&mut index, self.blocks.iter().map(|b| b.0)) {
                    break;
                }
            }
            for (r, total) in totals.into_iter().enumerate() {
                // SAFETY: the row's result.
                unsafe { *self.results.offset((i + r as isize) * to) = narrowed(total) };
            }
        }
        for i in grouped as isize..count as isize {
            let mut total = S::Sum::zero();
            loop {
                let at: isize = self.blocks.iter().zip(&index).map(|(b, &i)| b.1 * i as isize).sum();
                // SAFETY: a row of elements.
                total =
                    total + unsafe { row::<S, N, W, P>(self.x.offset(i * from + at), self.n, self.known) };
                if !advance(&mut index, self.blocks.iter().map(|b| b.0)) {
                    break;
                }
            }
            // SAFETY: the row's result.
            unsafe { *self.results.offset(i * to) = narrowed(total) };
        }
    }
}
