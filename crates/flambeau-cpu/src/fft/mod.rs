//! Discrete Fourier transforms of any length. Lengths with small factors are transformed several lines side by side in
//! vector registers (`lanes.rs`), or as matrices (`square.rs`); rustfft does the others, few short lines, and all without AVX2.
//!
//! Arrays are contiguous with three dimensions (`outer`, n, `inner`), and the middle one is transformed. Transforms are
//! not normalised; results are multiplied by `scale`. `forward` means the exponent `-2 pi i j k / n`.

#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
mod butterfly;
mod kernel;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
mod lanes;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
mod loops;
mod plan;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
mod square;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
mod vector;

pub use plan::FftElement;

use crate::gemm::size_product;
use crate::wide::{Body, wide};
use flambeau_core::{Result, ensure};
use lanes::{Finish, Place};
use num_complex::Complex;
use plan::{pairs, pairs_mut, plan};

/// Lines gathered together when the transformed dimension is not the last.
const LINES: usize = 16;
/// Elements between gathered lines: with lengths that are powers of two they would share few sets of the caches.
const PAD: usize = 8;
/// About how many elements of the last dimension are transformed, then scaled, together by rustfft.
const TOGETHER: usize = 2048;

fn check(have_in: usize, want_in: &[usize], have_out: usize, want_out: &[usize]) -> Result<()> {
    ensure!(
        size_product(want_in)? == have_in && size_product(want_out)? == have_out,
        "fft: buffers don't match the sizes"
    );
    ensure!(want_in[1] > 0 && want_out[1] > 0, "Invalid number of data points (0) specified");
    Ok(())
}

/// Copies `count` neighbouring lines of a slab with rows of `inner` elements, from line `first` on, one after the other.
fn gather<A: Copy>(slab: &[A], inner: usize, first: usize, count: usize, lines: &mut [A], step: usize) {
    wide(Gather { slab, inner, first, count, lines, step })
}

struct Gather<'a, A> {
    slab: &'a [A],
    inner: usize,
    first: usize,
    count: usize,
    lines: &'a mut [A],
    step: usize,
}

impl<A: Copy> Body for Gather<'_, A> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Gather { slab, inner, first, count, lines, step } = self;
        let mut rows = slab.chunks_exact(4 * inner);
        for (i, four) in rows.by_ref().enumerate() {
            for l in 0..count {
                let at = first + l;
                let column = [four[at], four[at + inner], four[at + 2 * inner], four[at + 3 * inner]];
                lines[l * step + 4 * i..][..4].copy_from_slice(&column);
            }
        }
        let done = slab.len() / (4 * inner) * 4;
        for (i, row) in rows.remainder().chunks_exact(inner).enumerate() {
            for l in 0..count {
                lines[l * step + done + i] = row[first + l];
            }
        }
    }
}

/// The way back from [`gather`].
fn scatter<A: Copy>(slab: &mut [A], inner: usize, first: usize, count: usize, lines: &[A], step: usize) {
    for (i, row) in slab.chunks_exact_mut(inner).enumerate() {
        for (l, x) in row[first..first + count].iter_mut().enumerate() {
            *x = lines[l * step + i];
        }
    }
}

/// Lines that are transformed side by side: where they begin, and how many there are.
struct Block {
    from: usize,
    to: usize,
    count: usize,
}

/// Cuts (`outer`, n, `inner`) into blocks of lines for registers of `width` lanes, as long as enough of them are in use.
/// Also returns the first line of `outer` (where `inner` is 1) or else of `inner` that is left over.
fn blocks(
    outer: usize,
    (n_in, n_out): (usize, usize),
    inner: usize,
    width: usize,
) -> (impl Iterator<Item = Block>, usize) {
    let (repeats, lines, least) = if inner == 1 { (1, outer, width / 2) } else { (outer, inner, width / 4) };
    let rest = lines % width;
    let done = if rest < least.max(1) { lines - rest } else { lines };
    let (step_in, step_out) = if inner == 1 { (n_in, n_out) } else { (1, 1) };
    let all = (0..repeats).flat_map(move |o| {
        (0..done).step_by(width).map(move |first| Block {
            from: o * n_in * inner + first * step_in,
            to: o * n_out * inner + first * step_out,
            count: width.min(lines - first),
        })
    });
    (all, done)
}

/// Where lines of `n` elements of `parts` numbers lie.
fn place(count: usize, n: usize, inner: usize, parts: usize) -> Place {
    Place { count, apart: parts * if inner == 1 { n } else { inner }, columns: inner != 1, soon: 0 }
}

/// What follows the first `count` elements.
fn after<A>(list: &[A], count: usize) -> &[A] {
    list.get(count..).unwrap_or(&[])
}

/// [`place`], while memory from `soon` on will be used next: asked for meanwhile, if the first-level cache has room for it.
fn place_with<A>(count: usize, n: usize, inner: usize, parts: usize, soon: &[A]) -> Place {
    let fits = count * n * size_of::<A>() <= NEAR_LINES;
    Place { soon: if fits { soon.as_ptr() as usize } else { 0 }, ..place(count, n, inner, parts) }
}

/// Makes lines of `n_out` elements from lines of `n_in` along the middle dimension. `run` sees one line or several that
/// follow each other. Lines before `start` (as in [`blocks`]) are left out.
fn along<A: Copy + Default, B: Copy + Default>(
    outer: usize,
    (n_in, n_out): (usize, usize),
    inner: usize,
    start: usize,
    together: usize,
    input: &[A],
    output: &mut [B],
    mut run: impl FnMut(&[A], &mut [B]),
) {
    if output.is_empty() || start == if inner == 1 { outer } else { inner } {
        return;
    }
    if inner == 1 {
        let (input, output) = (&input[start * n_in..], &mut output[start * n_out..]);
        let together = (together / n_in.max(n_out)).max(1);
        for (from, to) in input.chunks(together * n_in).zip(output.chunks_mut(together * n_out)) {
            run(from, to);
        }
        return;
    }
    let (step_in, step_out) = (n_in + PAD, n_out + PAD);
    let count = LINES.min(inner - start);
    let (mut from, mut to) = (vec![A::default(); count * step_in], vec![B::default(); count * step_out]);
    for o in 0..outer {
        let slab_in = &input[o * n_in * inner..(o + 1) * n_in * inner];
        let slab_out = &mut output[o * n_out * inner..(o + 1) * n_out * inner];
        for first in (start..inner).step_by(LINES) {
            let count = LINES.min(inner - first);
            gather(slab_in, inner, first, count, &mut from, step_in);
            for (from, to) in from.chunks(step_in).zip(to.chunks_mut(step_out)).take(count) {
                run(&from[..n_in], &mut to[..n_out]);
            }
            scatter(slab_out, inner, first, count, &to, step_out);
        }
    }
}

/// Bytes of lines that are asked for while others are transformed.
const NEAR_LINES: usize = 5 << 13;

/// Elements of matrices whose rows and columns are transformed while they are in the second-level cache.
const NEAR: usize = 1 << 15;

/// Complex to complex along the rows and columns of `batch` matrices.
pub fn c2c_matrices<F: FftElement>(
    batch: usize,
    rows: usize,
    n: usize,
    input: &[Complex<F>],
    output: &mut [Complex<F>],
    forward: bool,
    scale: F,
) -> Result<()> {
    let sizes = [batch, rows, n];
    check(input.len(), &sizes, output.len(), &sizes)?;
    let each = (NEAR / (rows * n)).max(1);
    for (from, to) in input.chunks(each * rows * n).zip(output.chunks_mut(each * rows * n)) {
        let count = to.len() / (rows * n);
        c2c(count * rows, n, 1, from, to, forward, scale)?;
        c2c_in_place(count, rows, n, to, forward, F::one())?;
    }
    Ok(())
}

/// [`r2c`] along the rows of `batch` matrices, then complex to complex along their columns.
pub fn r2c_matrices<F: FftElement>(
    batch: usize,
    rows: usize,
    n: usize,
    input: &[F],
    output: &mut [Complex<F>],
    forward: bool,
    scale: F,
) -> Result<()> {
    let half = n / 2 + 1;
    check(input.len(), &[batch, rows, n], output.len(), &[batch, rows, half])?;
    let each = (NEAR / (rows * half)).max(1);
    for (from, to) in input.chunks(each * rows * n).zip(output.chunks_mut(each * rows * half)) {
        let count = to.len() / (rows * half);
        r2c(count * rows, n, 1, from, to, forward, scale)?;
        c2c_in_place(count, rows, half, to, forward, F::one())?;
    }
    Ok(())
}

/// [`along`] for lines that are replaced.
fn along_in_place<A: Copy + Default>(
    outer: usize,
    n: usize,
    inner: usize,
    start: usize,
    data: &mut [A],
    mut run: impl FnMut(&[A], &mut [A]),
) {
    if data.is_empty() || start == if inner == 1 { outer } else { inner } {
        return;
    }
    if inner == 1 {
        let mut from = vec![A::default(); n];
        for line in data[start * n..].chunks_exact_mut(n) {
            from.copy_from_slice(line);
            run(&from, line);
        }
        return;
    }
    let (step, count) = (n + PAD, LINES.min(inner - start));
    let (mut from, mut to) = (vec![A::default(); count * step], vec![A::default(); count * step]);
    for slab in data.chunks_exact_mut(n * inner) {
        for first in (start..inner).step_by(LINES) {
            let count = LINES.min(inner - first);
            gather(slab, inner, first, count, &mut from, step);
            for (from, to) in from.chunks(step).zip(to.chunks_mut(step)).take(count) {
                run(&from[..n], &mut to[..n]);
            }
            scatter(slab, inner, first, count, &to, step);
        }
    }
}

fn multiply<F: FftElement>(data: &mut [Complex<F>], scale: F) {
    if scale != F::one() {
        wide(move || data.iter_mut().for_each(|x| *x = *x * scale));
    }
}

/// Complex to complex.
pub fn c2c<F: FftElement>(
    outer: usize,
    n: usize,
    inner: usize,
    input: &[Complex<F>],
    output: &mut [Complex<F>],
    forward: bool,
    scale: F,
) -> Result<()> {
    let sizes = [outer, n, inner];
    check(input.len(), &sizes, output.len(), &sizes)?;
    let plan = plan::<F>(n, forward, false);
    let mut start = 0;
    if let Some(lanes) = plan.side_by_side(inner) {
        let (blocks, done) = blocks(outer, (n, n), inner, lanes.width());
        start = done;
        lanes.cells(|mut cells| {
            for block in blocks {
                let from = place_with(block.count, n, inner, 2, &output[block.to..]);
                cells.read(&input[block.from..], from, false, !forward);
                cells.run();
                let finish = Finish { re: scale, im: scale, swap: !forward };
                let to = place_with(block.count, n, inner, 2, after(&input[block.from..], block.count * n));
                cells.write(&mut output[block.to..], to, false, finish);
            }
        });
    }
    let mut scratch = plan.scratch();
    let together = if plan.square.is_some() { usize::MAX } else { TOGETHER };
    along(outer, (n, n), inner, start, together, input, output, |from, to| {
        plan.process(from, to, &mut scratch, scale);
    });
    Ok(())
}

/// [`c2c`] of an array in its own memory.
pub fn c2c_in_place<F: FftElement>(
    outer: usize,
    n: usize,
    inner: usize,
    data: &mut [Complex<F>],
    forward: bool,
    scale: F,
) -> Result<()> {
    let sizes = [outer, n, inner];
    check(data.len(), &sizes, data.len(), &sizes)?;
    let plan = plan::<F>(n, forward, false);
    let mut start = 0;
    if let Some(lanes) = plan.side_by_side(inner) {
        let (blocks, done) = blocks(outer, (n, n), inner, lanes.width());
        start = done;
        lanes.cells(|mut cells| {
            for block in blocks {
                let place = place(block.count, n, inner, 2);
                cells.read(&data[block.from..], place, false, !forward);
                cells.run();
                let finish = Finish { re: scale, im: scale, swap: !forward };
                cells.write(&mut data[block.to..], place, false, finish);
            }
        });
    }
    let mut scratch = plan.scratch();
    along_in_place(outer, n, inner, start, data, |from, to| {
        plan.process(from, to, &mut scratch, scale);
    });
    Ok(())
}

/// Real to complex: the first n / 2 + 1 of the n coefficients, the others being their conjugates. `output` is
/// (`outer`, n / 2 + 1, `inner`).
pub fn r2c<F: FftElement>(
    outer: usize,
    n: usize,
    inner: usize,
    input: &[F],
    output: &mut [Complex<F>],
    forward: bool,
    scale: F,
) -> Result<()> {
    let half = n / 2 + 1;
    check(input.len(), &[outer, n, inner], output.len(), &[outer, half, inner])?;
    let plan = plan::<F>(n, true, n.is_multiple_of(2));
    let mut start = 0;
    if let (true, Some(lanes)) = (plan.halved, plan.side_by_side(inner)) {
        let (blocks, done) = blocks(outer, (n, half), inner, lanes.width());
        start = done;
        let factor = scale / (F::one() + F::one());
        let finish = Finish { re: factor, im: if forward { factor } else { -factor }, swap: false };
        lanes.cells(|mut cells| {
            for block in blocks {
                let from = place_with(block.count, n, inner, 1, &output[block.to..]);
                cells.read_real(&input[block.from..], from);
                cells.run();
                cells.part(&plan.twiddles);
                let next = after(&input[block.from..], block.count * n);
                let to = place_with(block.count, half, inner, 2, next);
                cells.write(&mut output[block.to..], to, true, finish);
            }
        });
    }
    let mut scratch = plan.scratch();
    let mut work = vec![Complex::default(); if plan.halved { 0 } else { 2 * n }];
    along(outer, (n, half), inner, start, TOGETHER, input, output, |from, to| {
        for (line, to) in from.chunks_exact(n).zip(to.chunks_exact_mut(half)) {
            if plan.halved {
                // Even and odd elements are the real and imaginary parts of one line of half the length.
                let m = n / 2;
                if let Some(square) = &plan.square {
                    let factor = scale / (F::one() + F::one());
                    plan.process(pairs(line), &mut to[..m], &mut scratch, factor);
                    square.part(to, &plan.twiddles);
                    if !forward {
                        to.iter_mut().for_each(|z| *z = z.conj());
                    }
                    continue;
                }
                plan.process(pairs(line), &mut to[..m], &mut scratch, F::one());
                wide(Part { line: to, twiddles: &plan.twiddles });
            } else {
                let (complex, whole) = work.split_at_mut(n);
                complex.iter_mut().zip(line).for_each(|(z, &x)| *z = Complex::new(x, F::zero()));
                plan.fft.process_immutable_with_scratch(complex, whole, &mut scratch);
                to.copy_from_slice(&whole[..half]);
            }
            if !forward {
                to.iter_mut().for_each(|z| *z = z.conj());
            }
            multiply(to, scale);
        }
    });
    Ok(())
}

/// The coefficients of 2 m real numbers from those of m complex ones, of which they are the real and imaginary parts;
/// `line` has m + 1 elements, the last of them unused.
struct Part<'a, F> {
    line: &'a mut [Complex<F>],
    twiddles: &'a [Complex<F>],
}

impl<F: FftElement> Body for Part<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        part(self.line, self.twiddles)
    }
}

#[inline(always)]
fn part<F: FftElement>(line: &mut [Complex<F>], twiddles: &[Complex<F>]) {
    let m = line.len() - 1;
    let first = line[0];
    line[0] = Complex::new(first.re + first.im, F::zero());
    line[m] = Complex::new(first.re - first.im, F::zero());
    let half = F::one() / (F::one() + F::one());
    // Elements 1 ..= p go with m - 1, m - 2, ...; for even m one is left in the middle.
    let p = m.div_ceil(2) - 1;
    let (low, high) = line.split_at_mut(p + 1);
    let mirrored = high[m - 2 * p - 1..][..p].iter_mut().rev();
    for ((x, y), &turn) in low[1..].iter_mut().zip(mirrored).zip(&twiddles[1..]) {
        let (a, b) = (*x, y.conj());
        let even = (a + b) * half;
        let difference = (a - b) * half;
        // The odd part is difference / i, turned by the twiddle factor.
        let odd = Complex::new(difference.im, -difference.re) * turn;
        *x = even + odd;
        *y = (even - odd).conj();
    }
    if m.is_multiple_of(2) {
        line[m / 2] = line[m / 2].conj();
    }
}

/// Complex to real: the n real values whose first n / 2 + 1 coefficients are the lines of `input` (`outer`, n / 2 + 1,
/// `inner`). The imaginary parts of the first, and for even n of the last, coefficient count as zero.
pub fn c2r<F: FftElement>(
    outer: usize,
    n: usize,
    inner: usize,
    input: &[Complex<F>],
    output: &mut [F],
    forward: bool,
    scale: F,
) -> Result<()> {
    let half = n / 2 + 1;
    check(input.len(), &[outer, half, inner], output.len(), &[outer, n, inner])?;
    let plan = plan::<F>(n, false, n.is_multiple_of(2));
    let mut start = 0;
    if let (true, Some(lanes)) = (plan.halved, plan.side_by_side(inner)) {
        let (blocks, done) = blocks(outer, (half, n), inner, lanes.width());
        start = done;
        let sign = if forward { -F::one() } else { F::one() };
        let finish = Finish { re: scale, im: scale, swap: true };
        lanes.cells(|mut cells| {
            for block in blocks {
                let from = place_with(block.count, half, inner, 2, &output[block.to..]);
                cells.read(&input[block.from..], from, true, false);
                cells.join(&plan.twiddles, sign);
                cells.run();
                let next = after(&input[block.from..], block.count * half);
                cells.write_real(&mut output[block.to..], place_with(block.count, n, inner, 1, next), finish);
            }
        });
    }
    let mut scratch = plan.scratch();
    let mut work = vec![Complex::default(); if plan.halved { n / 2 } else { 2 * n }];
    let mut turned = vec![Complex::default(); if forward { half } else { 0 }];
    along(outer, (half, n), inner, start, TOGETHER, input, output, |from, to| {
        for (line, to) in from.chunks_exact(half).zip(to.chunks_exact_mut(n)) {
            let line = if forward {
                turned.iter_mut().zip(line).for_each(|(z, x)| *z = x.conj());
                &turned
            } else {
                line
            };
            if plan.halved {
                match &plan.square {
                    Some(square) => square.join(line, &mut work, &plan.twiddles),
                    None => wide(Join { line, work: &mut work, twiddles: &plan.twiddles }),
                }
                plan.process(&work, pairs_mut(to), &mut scratch, scale);
            } else {
                let (whole, result) = work.split_at_mut(n);
                whole[..half].copy_from_slice(line);
                whole[0].im = F::zero();
                for k in half..n {
                    whole[k] = line[n - k].conj();
                }
                plan.fft.process_immutable_with_scratch(whole, result, &mut scratch);
                to.iter_mut().zip(result).for_each(|(y, z)| *y = z.re * scale);
            }
        }
    });
    Ok(())
}

/// The m complex numbers whose transform has 2 m real numbers as its parts, from the first m + 1 coefficients of these.
struct Join<'a, F> {
    line: &'a [Complex<F>],
    work: &'a mut [Complex<F>],
    twiddles: &'a [Complex<F>],
}

impl<F: FftElement> Body for Join<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        join(self.line, self.work, self.twiddles)
    }
}

#[inline(always)]
fn join<F: FftElement>(line: &[Complex<F>], work: &mut [Complex<F>], twiddles: &[Complex<F>]) {
    let m = work.len();
    let (first, last) = (line[0].re, line[m].re);
    work[0] = Complex::new(first + last, first - last);
    for (((z, &a), b), &turn) in
        work[1..].iter_mut().zip(&line[1..m]).zip(line[1..m].iter().rev()).zip(&twiddles[1..m])
    {
        let b = b.conj();
        let odd = (a - b) * turn;
        *z = a + b + Complex::new(-odd.im, odd.re);
    }
}

#[cfg(test)]
mod tests;
