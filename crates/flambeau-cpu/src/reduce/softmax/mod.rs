//! Softmax, log-softmax, and the logarithm of a sum of exponentials along a dimension. One of the modules with
//! unsafe code.

#[cfg(test)]
mod tests;

use super::cut::pieces;
use super::plan::advance;
use crate::lanes::{lanes, lanes_of_pairs, merged};
use crate::pointwise::{Compute, Operand, load, store};
use crate::vector::Elementary;
use crate::wide::{Body, wide};
use flambeau_core::{Result, bail, dispatch};
use smallvec::SmallVec;

/// Lines that are worked on together where they lie side by side.
const WIDTH: usize = 64;
/// Exponentials that are added up at once.
const TILE: usize = 512;

/// Real compute types with their exponential.
trait Real:
    Compute
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

/// The lines along one dimension, several side by side where another dimension has a smaller stride.
struct Lines {
    n: usize,
    /// For each operand: stride along the line, stride between lines of a group.
    strides: SmallVec<[(isize, isize); 3]>,
    count: usize,
    outer: SmallVec<[(usize, SmallVec<[isize; 3]>); 4]>,
}

impl Lines {
    fn new(operands: &[&Operand], sizes: &[i64], dim: usize) -> Lines {
        let n = sizes.get(dim).map_or(1, |&n| n as usize);
        let along = |o: &Operand| o.strides.get(dim).map_or(0, |&s| s as isize);
        let others: SmallVec<[usize; 6]> = (0..sizes.len()).filter(|&d| d != dim && sizes[d] != 1).collect();
        let beside = others.iter().copied().min_by_key(|&d| operands[0].strides[d].unsigned_abs());
        let beside = beside
            .filter(|&d| operands[0].strides[d].unsigned_abs() < along(operands[0]).unsigned_abs() as u64);
        let step = |o: &Operand| beside.map_or(0, |d| o.strides[d] as isize);
        Lines {
            n,
            strides: operands.iter().map(|o| (along(o), step(o))).collect(),
            count: beside.map_or(1, |d| sizes[d] as usize),
            outer: others
                .into_iter()
                .filter(|&d| Some(d) != beside)
                .map(|d| (sizes[d] as usize, operands.iter().map(|o| o.strides[d] as isize).collect()))
                .collect(),
        }
    }

    /// Calls `work(offsets, width)` for each group of at most `WIDTH` lines, with the element offset of its first
    /// line in each operand.
    fn each(&self, mut work: impl FnMut(&[isize], usize)) {
        let mut index: SmallVec<[usize; 4]> = SmallVec::from_elem(0, self.outer.len());
        loop {
            let mut first = 0;
            while first < self.count {
                let width = (self.count - first).min(WIDTH);
                let offsets: SmallVec<[isize; 3]> = (0..self.strides.len())
                    .map(|i| {
                        let outer: isize =
                            self.outer.iter().zip(&index).map(|(d, &j)| d.1[i] * j as isize).sum();
                        outer + first as isize * self.strides[i].1
                    })
                    .collect();
                work(&offsets, width);
                first += width;
            }
            if !advance(&mut index, self.outer.iter().map(|d| d.0)) {
                return;
            }
        }
    }
}

fn place(o: &Operand, offset: isize) -> *mut u8 {
    o.pointer.wrapping_offset(offset * o.dtype.size() as isize)
}

/// Reads `width` lines of `n` into `buffer`: one line contiguously, or several with the lines side by side.
///
/// # Safety
/// The lines must be readable, the buffer hold `n * width` elements.
unsafe fn read<T: Compute>(
    o: &Operand,
    offset: isize,
    (along, step): (isize, isize),
    n: usize,
    width: usize,
    buffer: &mut [T],
) {
    // SAFETY: as promised by the caller.
    unsafe {
        if width == 1 {
            load(place(o, offset), o.dtype, along, buffer.as_mut_ptr(), n);
        } else {
            for (k, row) in buffer.chunks_exact_mut(width).enumerate().take(n) {
                load(place(o, offset + k as isize * along), o.dtype, step, row.as_mut_ptr(), width);
            }
        }
    }
}

/// The reverse of [`read`].
///
/// # Safety
/// As for [`read`], with writable lines.
unsafe fn write<T: Compute>(
    o: &Operand,
    offset: isize,
    (along, step): (isize, isize),
    n: usize,
    width: usize,
    buffer: &[T],
) {
    // SAFETY: as promised by the caller.
    unsafe {
        if width == 1 {
            store(buffer.as_ptr(), place(o, offset), o.dtype, along, n);
        } else {
            for (k, row) in buffer.chunks_exact(width).enumerate().take(n) {
                store(row.as_ptr(), place(o, offset + k as isize * along), o.dtype, step, width);
            }
        }
    }
}

/// One line of an operand as a slice: its own memory where the elements follow each other, else what is read into
/// `buffer`.
///
/// # Safety
/// The line must be readable, and nothing write to it while the slice is in use; the buffer holds `n` elements.
unsafe fn line<'a, T: Compute>(
    o: &Operand,
    offset: isize,
    strides: (isize, isize),
    n: usize,
    buffer: &'a mut [T],
) -> &'a [T] {
    // SAFETY: as promised by the caller.
    unsafe {
        match own(o, offset, strides) {
            Some(first) => std::slice::from_raw_parts(first, n),
            None => {
                read(o, offset, strides, n, 1, buffer);
                buffer
            }
        }
    }
}

/// Where a line lies whose elements follow each other in memory and are of type `T`.
fn own<T: Compute>(o: &Operand, offset: isize, strides: (isize, isize)) -> Option<*mut T> {
    let first = place(o, offset).cast::<T>();
    (o.dtype == T::DTYPE && strides.0 == 1 && first.is_aligned()).then_some(first)
}

/// Gives `work` the line of `out` to write: its own memory where elements follow each other, else a buffer.
///
/// # Safety
/// The line must be writable, and nothing else refer to it meanwhile; the buffer holds `n` elements.
unsafe fn fill_line<T: Compute>(
    o: &Operand,
    offset: isize,
    strides: (isize, isize),
    n: usize,
    buffer: &mut [T],
    work: impl FnOnce(&mut [T]),
) {
    // SAFETY: as promised by the caller.
    unsafe {
        match own(o, offset, strides) {
            Some(first) => work(std::slice::from_raw_parts_mut(first, n)),
            None => {
                work(buffer);
                write(o, offset, strides, n, 1, buffer);
            }
        }
    }
}

/// Folds each of `width` lines that lie side by side in `buffer`.
#[inline(always)]
fn fold<T: Copy>(buffer: &[T], width: usize, start: T, totals: &mut [T], f: impl Fn(T, T) -> T) {
    let totals = &mut totals[..width];
    totals.fill(start);
    for row in buffer.chunks_exact(width) {
        for (total, &x) in totals.iter_mut().zip(row) {
            *total = f(*total, x);
        }
    }
}

/// Changes each element by the number that belongs to its line.
#[inline(always)]
fn update<T: Copy>(buffer: &mut [T], width: usize, by: &[T], f: impl Fn(T, T) -> T) {
    for row in buffer.chunks_exact_mut(width) {
        for (x, &by) in row.iter_mut().zip(by) {
            *x = f(*x, by);
        }
    }
}

#[inline(always)]
fn larger<T: Real>(a: T, x: T) -> T {
    if x > a || super::Arith::is_nan(x) { x } else { a }
}

/// The sum of the exponentials of a line's elements less `high`.
#[inline(always)]
fn exponentials<T: Real>(x: &[T], high: T, tile: &mut [T; TILE]) -> T {
    let mut total = T::default();
    for part in x.chunks(TILE) {
        let tile = &mut tile[..part.len()];
        tile.iter_mut().zip(part).for_each(|(e, &x)| *e = x - high);
        T::map_in_place(Elementary::Exp, tile);
        total = total + sum(tile);
    }
    total
}

#[inline(always)]
fn sum<T: Real>(x: &[T]) -> T {
    merged(lanes(x, T::default(), |a, x| a + x), |a, b| a + b)
}

#[inline(always)]
fn largest<T: Real>(x: &[T]) -> T {
    merged(lanes(x, T::LOWEST, larger), larger)
}

/// The functions of one line, compiled for each level of instructions.
struct Softmax<'a, T>(&'a [T], &'a mut [T], bool);
impl<T: Real> Body for Softmax<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Softmax(x, out, log) = self;
        let high = largest(x);
        if log {
            let total = exponentials(x, high, &mut [T::default(); TILE]).log();
            out.iter_mut().zip(x).for_each(|(o, &x)| *o = x - high - total);
        } else {
            out.iter_mut().zip(x).for_each(|(o, &x)| *o = x - high);
            T::map_in_place(Elementary::Exp, out);
            let scale = sum(out).inverse();
            out.iter_mut().for_each(|o| *o = o.times(scale));
        }
    }
}

struct Backward<'a, T>([&'a [T]; 2], &'a mut [T], bool);
impl<T: Real> Body for Backward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Backward([grad, result], out, log) = self;
        let three = || grad.iter().zip(result);
        if log {
            let total = sum(grad);
            T::map(Elementary::Exp, result, out);
            out.iter_mut().zip(grad).for_each(|(o, &g)| *o = g - o.times(total));
        } else {
            let total = lanes_of_pairs(grad, result, T::default(), |a, g, y| a + g.times(y));
            let total = merged(total, |a, b| a + b);
            out.iter_mut().zip(three()).for_each(|(o, (&g, &y))| *o = (g - total).times(y));
        }
    }
}

struct LogSumExp<'a, T>(&'a [T]);
impl<T: Real> Body for LogSumExp<'_, T> {
    type Output = T;
    #[inline(always)]
    fn run(self) -> T {
        let high = finite(largest(self.0));
        exponentials(self.0, high, &mut [T::default(); TILE]).log() + high
    }
}

/// 0 in place of infinities, of which a difference would be NaN.
#[inline(always)]
fn finite<T: Real>(high: T) -> T {
    let infinite = high == T::LOWEST || high == T::default() - T::LOWEST;
    if infinite { T::default() } else { high }
}

/// Lines side by side, as rows of `width` elements: the maxima and the sums of exponentials, which take the elements'
/// places.
struct Group<'a, T> {
    buffer: &'a mut [T],
    width: usize,
    high: &'a mut [T],
    total: &'a mut [T],
}
impl<T: Real> Group<'_, T> {
    #[inline(always)]
    fn maxima(&mut self) {
        fold(self.buffer, self.width, T::LOWEST, self.high, larger);
    }
    #[inline(always)]
    fn exponentials(&mut self) {
        update(self.buffer, self.width, self.high, |x, high| x - high);
        T::map_in_place(Elementary::Exp, self.buffer);
        self.sums();
    }
    #[inline(always)]
    fn sums(&mut self) {
        fold(self.buffer, self.width, T::default(), self.total, |a, x| a + x);
    }
}

struct GroupSoftmax<'a, T>(Group<'a, T>, &'a mut [T], bool);
impl<T: Real> Body for GroupSoftmax<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let GroupSoftmax(mut group, scratch, log) = self;
        let width = group.width;
        group.maxima();
        if log {
            scratch.copy_from_slice(group.buffer);
            group.exponentials();
            group.total.iter_mut().take(width).for_each(|t| *t = t.log());
            let rows = group.buffer.chunks_exact_mut(width).zip(scratch.chunks_exact(width));
            for (row, from) in rows {
                let limits = group.high.iter().zip(group.total.iter());
                let pairs = row.iter_mut().zip(from).zip(limits);
                pairs.for_each(|((o, &x), (&high, &total))| *o = x - high - total);
            }
        } else {
            group.exponentials();
            group.total.iter_mut().take(width).for_each(|t| *t = t.inverse());
            update(group.buffer, width, group.total, |x, scale| x.times(scale));
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
        group.total.iter_mut().zip(group.high.iter()).for_each(|(t, &h)| *t = t.log() + h);
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
            group.sums();
        } else {
            group.total[..width].fill(T::default());
            for (grads, results) in group.buffer.chunks_exact(width).zip(results.chunks_exact(width)) {
                let pairs = grads.iter().zip(results);
                group.total.iter_mut().zip(pairs).for_each(|(t, (&g, &y))| *t = *t + g.times(y));
            }
        }
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
    let lines = Lines::new(&[src, out], sizes, dim);
    real_dispatch!(out.dtype, T => {
        let size = lines.n * lines.count.min(WIDTH);
        let (mut buffer, mut scratch): (Vec<T>, Vec<T>) = (vec![T::default(); size], vec![T::default(); size]);
        let (mut high, mut total) = ([T::default(); WIDTH], [T::default(); WIDTH]);
        lines.each(|offsets, width| {
            let size = lines.n * width;
            let (buffer, scratch) = (&mut buffer[..size], &mut scratch[..size]);
            let (from, to) = (lines.strides[0], lines.strides[1]);
            // SAFETY: the lines lie within the operands; the buffers hold them.
            unsafe {
                if width == 1 {
                    let x = line(src, offsets[0], from, lines.n, buffer);
                    fill_line(out, offsets[1], to, lines.n, scratch, |out| wide(Softmax(x, out, log)));
                    return;
                }
                read(src, offsets[0], from, lines.n, width, buffer);
                let group = Group { buffer, width, high: &mut high, total: &mut total };
                wide(GroupSoftmax(group, scratch, log));
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
    let lines = Lines::new(&[src, out], sizes, dim);
    real_dispatch!(out.dtype, T => {
        let mut buffer: Vec<T> = vec![T::default(); lines.n * lines.count.min(WIDTH)];
        let (mut high, mut total) = ([T::default(); WIDTH], [T::default(); WIDTH]);
        lines.each(|offsets, width| {
            let buffer = &mut buffer[..lines.n * width];
            let (from, to) = (lines.strides[0], lines.strides[1]);
            // SAFETY: the lines lie within the operands; the buffers hold them.
            unsafe {
                if width == 1 {
                    total[0] = wide(LogSumExp(line(src, offsets[0], from, lines.n, buffer)));
                } else {
                    read(src, offsets[0], from, lines.n, width, buffer);
                    wide(GroupLogSumExp(Group { buffer, width, high: &mut high, total: &mut total }));
                }
                write(out, offsets[1], (0, to.1), 1, width, &total[..width]);
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
    let lines = Lines::new(&[grad, result, out], sizes, dim);
    real_dispatch!(out.dtype, T => {
        let size = lines.n * lines.count.min(WIDTH);
        let (mut grads, mut results) = (vec![T::default(); size], vec![T::default(); size]);
        let mut scratch = vec![T::default(); lines.n];
        let (mut high, mut total) = ([T::default(); WIDTH], [T::default(); WIDTH]);
        lines.each(|offsets, width| {
            let size = lines.n * width;
            let (grads, results) = (&mut grads[..size], &mut results[..size]);
            let (from, with, to) = (lines.strides[0], lines.strides[1], lines.strides[2]);
            // SAFETY: the lines lie within the operands; the buffers hold them.
            unsafe {
                if width == 1 {
                    let g = line(grad, offsets[0], from, lines.n, grads);
                    let y = line(result, offsets[1], with, lines.n, results);
                    fill_line(out, offsets[2], to, lines.n, &mut scratch, |out| wide(Backward([g, y], out, log)));
                    return;
                }
                read(grad, offsets[0], from, lines.n, width, grads);
                read(result, offsets[1], with, lines.n, width, results);
                let group = Group { buffer: grads, width, high: &mut high, total: &mut total };
                wide(GroupBackward(group, results, log));
                write(out, offsets[2], to, lines.n, width, grads);
            }
        });
    });
    Ok(())
}
