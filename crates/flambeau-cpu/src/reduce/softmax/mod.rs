//! Softmax, log-softmax, and the logarithm of a sum of exponentials along a dimension. One of the modules with
//! unsafe code.

mod lines;
#[cfg(test)]
mod tests;

use super::cut::pieces;
use crate::gemm::GemmElement;
use crate::lanes::{LANES, lanes_again, lanes_of_pairs, merged, sums};
use crate::pointwise::{Compute, Operand};
use crate::vector::Elementary;
use crate::wide::{Body, wide};
use flambeau_core::{Result, bail, dispatch};
use lines::{Lines, Way, fill_line, line, read, write};

/// Lines that are worked on together where they lie side by side.
const WIDTH: usize = 64;
/// Exponentials that are added up at once, of one line or of several.
const TILE: usize = 1024;
/// Lines of up to so many elements are worked on side by side where there are a few of them.
const SHORT: usize = LANES;
const FEW: usize = 8;

/// Real compute types with their exponential.
trait Real:
    Compute
    + GemmElement
    + super::Arith
    + PartialOrd
    + std::ops::Add<Output = Self>
    + std::ops::Sub<Output = Self>
    + crate::vector::Vector
{
    const LOWEST: Self;
    fn inverse(self) -> Self;
}
macro_rules! real {
    ($($t:ty),*) => { $(impl Real for $t {
        const LOWEST: $t = <$t>::NEG_INFINITY;
        #[inline(always)]
        fn inverse(self) -> $t {
            1.0 / self
        }
    })* };
}
real!(f32, f64);

macro_rules! real_dispatch {
    ($dtype:expr, $T:ident => $body:expr) => {
        dispatch!(real $dtype, $T => $body, else bail!(NotImplemented, "softmax serves real floating-point types"))
    };
}

/// Folds each of `width` lines that lie side by side in `buffer`.
#[inline(always)]
fn fold<T: Copy>(buffer: &[T], width: usize, start: T, totals: &mut [T], f: impl Fn(T, T) -> T) {
    if width == WIDTH {
        // In registers: half of them, as loops over all do not stay there.
        for half in [0, WIDTH / 2] {
            let mut all = [start; WIDTH / 2];
            for row in buffer.as_chunks::<WIDTH>().0 {
                for l in 0..WIDTH / 2 {
                    all[l] = f(all[l], row[half + l]);
                }
            }
            totals[half..][..WIDTH / 2].copy_from_slice(&all);
        }
        return;
    }
    totals.fill(start);
    for row in buffer.chunks_exact(width) {
        for (total, &x) in totals.iter_mut().zip(row) {
            *total = f(*total, x);
        }
    }
}

/// What becomes of each element of `from` and the number that belongs to its line.
#[inline(always)]
fn update<T: Copy>(out: &mut [T], from: &[T], width: usize, by: &[T], f: impl Fn(T, T) -> T) {
    if let (WIDTH, Some(by)) = (width, by.first_chunk::<WIDTH>()) {
        for (out, from) in out.as_chunks_mut::<WIDTH>().0.iter_mut().zip(from.as_chunks::<WIDTH>().0) {
            for l in 0..WIDTH {
                out[l] = f(from[l], by[l]);
            }
        }
        return;
    }
    for (out, from) in out.chunks_exact_mut(width).zip(from.chunks_exact(width)) {
        out.iter_mut().zip(from).zip(by).for_each(|((out, &x), &by)| *out = f(x, by));
    }
}

/// The sums of short lines that lie side by side in `buffer`, added up as [`sum`] does one of them; the elements are lost.
#[inline(always)]
fn halve<T: Real>(buffer: &mut [T], width: usize, totals: &mut [T]) {
    let (mut rows, mut half) = (buffer.len() / width, SHORT / 2);
    while half > 0 {
        if rows > half {
            let (low, high) = buffer[..rows * width].split_at_mut(half * width);
            low.iter_mut().zip(high).for_each(|(a, &mut b)| *a = *a + b);
            rows = half;
        }
        half /= 2;
    }
    totals.iter_mut().zip(&*buffer).for_each(|(total, &x)| *total = T::default() + x);
}

/// NaN counts for nothing: what is made of it is NaN, whatever the largest element is.
#[inline(always)]
fn larger<T: Real>(a: T, x: T) -> T {
    if x > a { x } else { a }
}

/// The sums of the exponentials of the elements of lines of `n`, less what is the `high` of each: at most [`TILE`] elements,
/// or one line.
#[inline(always)]
fn exponentials<T: Real>(x: &[T], n: usize, high: &[T], total: &mut [T], tile: &mut [T; TILE]) {
    if x.len() > TILE {
        let mut sums = T::default();
        for part in x.chunks(TILE) {
            let tile = &mut tile[..part.len()];
            less(part, part.len(), high, tile);
            T::map_in_place(Elementary::Exp, tile);
            sums = sums + sum(tile);
        }
        total[0] = sums;
        return;
    }
    let tile = &mut tile[..x.len()];
    less(x, n, high, tile);
    T::map_in_place(Elementary::Exp, tile);
    for (total, line) in total.iter_mut().zip(tile.chunks_exact(n)) {
        *total = sum(line);
    }
}

/// Each element less its line's number.
#[inline(always)]
fn less<T: Real>(x: &[T], n: usize, by: &[T], out: &mut [T]) {
    for ((out, x), &by) in out.chunks_exact_mut(n).zip(x.chunks_exact(n)).zip(by) {
        out.iter_mut().zip(x).for_each(|(o, &x)| *o = x - by);
    }
}

#[inline(always)]
fn sum<T: Real>(x: &[T]) -> T {
    merged(sums(x), |a, b| a + b)
}

#[inline(always)]
fn largest<T: Real>(x: &[T]) -> T {
    merged(lanes_again::<false, _, _>(x, T::LOWEST, larger), larger)
}

/// Numbers of the lines that are worked on together, and room for exponentials.
struct Scratch<T> {
    high: [T; WIDTH],
    total: [T; WIDTH],
    tile: [T; TILE],
}
impl<T: Real> Scratch<T> {
    fn new() -> Self {
        let zero = T::default();
        Scratch { high: [zero; WIDTH], total: [zero; WIDTH], tile: [zero; TILE] }
    }
}

/// The functions of lines of `n` elements, compiled for each level of instructions.
struct Softmax<'a, T> {
    x: &'a [T],
    out: &'a mut [T],
    n: usize,
    scratch: &'a mut Scratch<T>,
    log: bool,
}
impl<T: Real> Body for Softmax<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Softmax { x, out, n, scratch, log } = self;
        let (high, total) = (&mut scratch.high[..x.len() / n], &mut scratch.total[..x.len() / n]);
        for (high, line) in high.iter_mut().zip(x.chunks_exact(n)) {
            *high = largest(line);
        }
        if log {
            exponentials(x, n, high, total, &mut scratch.tile);
            T::map_in_place(Elementary::Log, total);
            for ((out, x), (&high, &total)) in
                out.chunks_exact_mut(n).zip(x.chunks_exact(n)).zip(high.iter().zip(&*total))
            {
                out.iter_mut().zip(x).for_each(|(o, &x)| *o = x - high - total);
            }
        } else {
            less(x, n, high, out);
            T::map_in_place(Elementary::Exp, out);
            for (total, line) in total.iter_mut().zip(out.chunks_exact(n)) {
                *total = sum(line);
            }
            for (out, total) in out.chunks_exact_mut(n).zip(total) {
                let scale = total.inverse();
                out.iter_mut().for_each(|o| *o = o.times(scale));
            }
        }
    }
}

struct Backward<'a, T> {
    grad: &'a [T],
    result: &'a [T],
    out: &'a mut [T],
    n: usize,
    log: bool,
}
impl<T: Real> Body for Backward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Backward { grad, result, out, n, log } = self;
        if log {
            T::map(Elementary::Exp, result, out);
        }
        for ((grad, result), out) in
            grad.chunks_exact(n).zip(result.chunks_exact(n)).zip(out.chunks_exact_mut(n))
        {
            if log {
                let total = sum(grad);
                out.iter_mut().zip(grad).for_each(|(o, &g)| *o = g - o.times(total));
            } else {
                let total = lanes_of_pairs(grad, result, T::default(), |a, g, y| a + g.times(y));
                let total = merged(total, |a, b| a + b);
                let pairs = grad.iter().zip(result);
                out.iter_mut().zip(pairs).for_each(|(o, (&g, &y))| *o = (g - total).times(y));
            }
        }
    }
}

struct LogSumExp<'a, T>(&'a [T], usize, &'a mut Scratch<T>);
impl<T: Real> Body for LogSumExp<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let LogSumExp(x, n, scratch) = self;
        let (high, total) = (&mut scratch.high[..x.len() / n], &mut scratch.total[..x.len() / n]);
        for (high, line) in high.iter_mut().zip(x.chunks_exact(n)) {
            *high = finite(largest(line));
        }
        exponentials(x, n, high, total, &mut scratch.tile);
        T::map_in_place(Elementary::Log, total);
        total.iter_mut().zip(high).for_each(|(total, high)| *total = *total + *high);
    }
}

/// 0 in place of infinities, of which a difference would be NaN.
#[inline(always)]
fn finite<T: Real>(high: T) -> T {
    let infinite = high == T::LOWEST || high == T::default() - T::LOWEST;
    if infinite { T::default() } else { high }
}

/// Lines side by side, as rows of `width` elements; the maxima; the exponentials, and their sums.
struct Group<'a, T> {
    buffer: &'a mut [T],
    room: &'a mut [T],
    width: usize,
    /// Whether sums are those of lines by themselves.
    short: bool,
    high: &'a mut [T],
    total: &'a mut [T],
}
impl<'a, T: Real> Group<'a, T> {
    fn new(
        buffer: &'a mut [T],
        room: &'a mut [T],
        width: usize,
        way: Way,
        scratch: &'a mut Scratch<T>,
    ) -> Self {
        let (high, total) = (&mut scratch.high[..width], &mut scratch.total[..width]);
        Group { buffer, room, width, short: way == Way::Short, high, total }
    }
    #[inline(always)]
    fn maxima(&mut self) {
        fold(self.buffer, self.width, T::LOWEST, self.high, larger);
    }
    #[inline(always)]
    fn exponentials(&mut self) {
        update(self.room, self.buffer, self.width, self.high, |x, high| x - high);
        T::map_in_place(Elementary::Exp, self.room);
    }
    /// The sums of what is in the room, which is lost where lines are short.
    #[inline(always)]
    fn sums(&mut self) {
        if self.short {
            halve(self.room, self.width, self.total);
        } else {
            fold(self.room, self.width, T::default(), self.total, |a, x| a + x);
        }
    }
}

struct GroupSoftmax<'a, T>(Group<'a, T>, bool);
impl<T: Real> Body for GroupSoftmax<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let GroupSoftmax(mut group, log) = self;
        group.maxima();
        group.exponentials();
        if log {
            group.sums();
            T::map_in_place(Elementary::Log, group.total);
            let rows = group.buffer.chunks_exact_mut(group.width);
            for row in rows {
                let limits = group.high.iter().zip(group.total.iter());
                row.iter_mut().zip(limits).for_each(|(x, (&high, &total))| *x = *x - high - total);
            }
        } else {
            if group.short {
                group.buffer.copy_from_slice(group.room);
            }
            group.sums();
            group.total.iter_mut().for_each(|t| *t = t.inverse());
            if group.short {
                for row in group.buffer.chunks_exact_mut(group.width) {
                    row.iter_mut().zip(group.total.iter()).for_each(|(x, &scale)| *x = x.times(scale));
                }
            } else {
                update(group.buffer, group.room, group.width, group.total, |x, scale| x.times(scale));
            }
        }
    }
}

struct GroupLogSumExp<'a, T>(Group<'a, T>);
impl<T: Real> Body for GroupLogSumExp<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let mut group = self.0;
        group.maxima();
        group.high.iter_mut().for_each(|h| *h = finite(*h));
        group.exponentials();
        group.sums();
        T::map_in_place(Elementary::Log, group.total);
        group.total.iter_mut().zip(group.high.iter()).for_each(|(t, &h)| *t = *t + h);
    }
}

struct GroupBackward<'a, T>(Group<'a, T>, &'a [T], bool);
impl<T: Real> Body for GroupBackward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let GroupBackward(mut group, results, log) = self;
        let width = group.width;
        if log {
            group.room.copy_from_slice(group.buffer);
        } else {
            let pairs = group.buffer.iter().zip(results);
            group.room.iter_mut().zip(pairs).for_each(|(o, (&g, &y))| *o = g.times(y));
        }
        group.sums();
        for (grads, results) in group.buffer.chunks_exact_mut(width).zip(results.chunks_exact(width)) {
            let pairs = grads.iter_mut().zip(results).zip(group.total.iter());
            match log {
                true => pairs.for_each(|((g, &y), &total)| *g = *g - y.exp().times(total)),
                false => pairs.for_each(|((g, &y), &total)| *g = (*g - total).times(y)),
            }
        }
    }
}

/// `exp(x - max) / sum(exp(x - max))` along `dim`, or its logarithm.
///
/// # Safety
/// Both operands must be valid at every index of `sizes`, `out` for writing; they must not overlap.
pub unsafe fn softmax(src: &Operand, out: &Operand, sizes: &[i64], dim: usize, log: bool) -> Result<()> {
    if sizes.contains(&0) {
        return Ok(());
    }
    // SAFETY: parts of what the caller vouches for.
    let piece = |o: &[&Operand], sizes: &[i64]| unsafe { softmax_piece(o[0], o[1], sizes, dim, log) };
    pieces(&[src, out], sizes, |d| d == dim, true, &piece)
}

/// # Safety
/// As for [`softmax`].
unsafe fn softmax_piece(src: &Operand, out: &Operand, sizes: &[i64], dim: usize, log: bool) -> Result<()> {
    let lines = Lines::new(&[src, out], sizes, dim, false);
    real_dispatch!(out.dtype, T => {
        let size = lines.n * lines.together;
        let (mut buffer, mut room): (Vec<T>, Vec<T>) = (vec![T::default(); size], vec![T::default(); size]);
        let mut scratch = Scratch::<T>::new();
        lines.each(|offsets, width| {
            let size = lines.n * width;
            let (buffer, room, scratch) = (&mut buffer[..size], &mut room[..size], &mut scratch);
            let (n, from, to) = (lines.n, lines.strides[0], lines.strides[1]);
            // SAFETY: the lines lie within the operands; the buffers hold them.
            unsafe {
                if !lines.way.is_side() {
                    let x = line(src, offsets[0], from, size, buffer);
                    let work = |out: &mut [T]| wide(Softmax { x, out, n, scratch, log });
                    fill_line(out, offsets[1], to, size, room, work);
                    return;
                }
                read(src, offsets[0], from, lines.n, width, buffer);
                wide(GroupSoftmax(Group::new(buffer, room, width, lines.way, scratch), log));
                write(out, offsets[1], to, lines.n, width, buffer);
            }
        });
    });
    Ok(())
}

/// `log(sum(exp(x)))` along `dim`; strides of `out` along `dim` don't count.
///
/// # Safety
/// As for [`softmax`].
pub unsafe fn logsumexp(src: &Operand, out: &Operand, sizes: &[i64], dim: usize) -> Result<()> {
    if sizes.contains(&0) {
        return Ok(());
    }
    // SAFETY: parts of what the caller vouches for.
    let piece = |o: &[&Operand], sizes: &[i64]| unsafe { logsumexp_piece(o[0], o[1], sizes, dim) };
    pieces(&[src, out], sizes, |d| d == dim, false, &piece)
}

/// # Safety
/// As for [`softmax`].
unsafe fn logsumexp_piece(src: &Operand, out: &Operand, sizes: &[i64], dim: usize) -> Result<()> {
    let lines = Lines::new(&[src, out], sizes, dim, true);
    real_dispatch!(out.dtype, T => {
        let size = lines.n * lines.together;
        let (mut buffer, mut room) = (vec![T::default(); size], vec![T::default(); if lines.way.is_side() { size } else { 0 }]);
        let mut scratch = Scratch::<T>::new();
        lines.each(|offsets, width| {
            let buffer = &mut buffer[..lines.n * width];
            let (from, to) = (lines.strides[0], lines.strides[1]);
            // SAFETY: the lines lie within the operands; the buffers hold them.
            unsafe {
                if lines.way.is_side() {
                    read(src, offsets[0], from, lines.n, width, buffer);
                    let room = &mut room[..buffer.len()];
                    wide(GroupLogSumExp(Group::new(buffer, room, width, lines.way, &mut scratch)));
                } else {
                    let x = line(src, offsets[0], from, buffer.len(), buffer);
                    wide(LogSumExp(x, lines.n, &mut scratch));
                }
                write(out, offsets[1], (0, to.1), 1, width, &scratch.total[..width]);
            }
        });
    });
    Ok(())
}

/// The gradient of [`softmax`]: `(g - sum(g * y)) * y`, or `g - exp(y) * sum(g)` for the logarithm, from the
/// gradient and the result `y`.
///
/// # Safety
/// All operands must be valid at every index of `sizes`, `out` for writing; `out` must not overlap the others.
pub unsafe fn softmax_backward(
    grad: &Operand,
    result: &Operand,
    out: &Operand,
    sizes: &[i64],
    dim: usize,
    log: bool,
) -> Result<()> {
    if sizes.contains(&0) {
        return Ok(());
    }
    // SAFETY: parts of what the caller vouches for.
    let piece = |o: &[&Operand], sizes: &[i64]| unsafe { backward_piece(o[0], o[1], o[2], sizes, dim, log) };
    pieces(&[grad, result, out], sizes, |d| d == dim, true, &piece)
}

/// # Safety
/// As for [`softmax_backward`].
unsafe fn backward_piece(
    grad: &Operand,
    result: &Operand,
    out: &Operand,
    sizes: &[i64],
    dim: usize,
    log: bool,
) -> Result<()> {
    let lines = Lines::new(&[grad, result, out], sizes, dim, false);
    real_dispatch!(out.dtype, T => {
        let size = lines.n * lines.together;
        let (mut grads, mut results, mut room) = (vec![T::default(); size], vec![T::default(); size], vec![T::default(); size]);
        let mut scratch = Scratch::<T>::new();
        lines.each(|offsets, width| {
            let size = lines.n * width;
            let (grads, results, room) = (&mut grads[..size], &mut results[..size], &mut room[..size]);
            let (n, from, with, to) = (lines.n, lines.strides[0], lines.strides[1], lines.strides[2]);
            // SAFETY: the lines lie within the operands; the buffers hold them.
            unsafe {
                if !lines.way.is_side() {
                    let grad = line(grad, offsets[0], from, size, grads);
                    let result = line(result, offsets[1], with, size, results);
                    let work = |out: &mut [T]| wide(Backward { grad, result, out, n, log });
                    fill_line(out, offsets[2], to, size, room, work);
                    return;
                }
                read(grad, offsets[0], from, n, width, grads);
                read(result, offsets[1], with, n, width, results);
                wide(GroupBackward(Group::new(grads, room, width, lines.way, &mut scratch), results, log));
                write(out, offsets[2], to, lines.n, width, grads);
            }
        });
    });
    Ok(())
}
