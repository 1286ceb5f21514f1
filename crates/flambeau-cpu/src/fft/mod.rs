//! Discrete Fourier transforms of any length, by rustfft.
//!
//! Arrays are contiguous with three dimensions (`outer`, n, `inner`), and the middle one is transformed. Transforms are
//! not normalised; results are multiplied by `scale`. `forward` means the exponent `-2 pi i j k / n`.

mod plan;

pub use plan::FftElement;

use crate::gemm::size_product;
use flambeau_core::{Result, ensure};
use num_complex::Complex;
use plan::{Plan, plan};

/// Lines gathered together when the transformed dimension is not the last.
const LINES: usize = 16;

fn check(have_in: usize, want_in: &[usize], have_out: usize, want_out: &[usize]) -> Result<()> {
    ensure!(
        size_product(want_in)? == have_in && size_product(want_out)? == have_out,
        "fft: buffers don't match the sizes"
    );
    ensure!(want_in[1] > 0 && want_out[1] > 0, "Invalid number of data points (0) specified");
    Ok(())
}

/// Visits the lines of an (`outer`, _, `inner`) array in groups: `run(o, first, count)` stands for lines
/// `first..first + count` of slab `o`.
fn groups(outer: usize, inner: usize, mut run: impl FnMut(usize, usize, usize)) {
    for o in 0..outer {
        for first in (0..inner).step_by(LINES) {
            run(o, first, LINES.min(inner - first));
        }
    }
}

/// Complex to complex, in place.
pub fn c2c<F: FftElement>(
    outer: usize,
    n: usize,
    inner: usize,
    data: &mut [Complex<F>],
    forward: bool,
    scale: F,
) -> Result<()> {
    let sizes = [outer, n, inner];
    check(data.len(), &sizes, data.len(), &sizes)?;
    if data.is_empty() {
        return Ok(());
    }
    let plan = plan::<F>(n, forward, false);
    let mut scratch = plan.scratch();
    if inner == 1 {
        plan.fft.process_with_scratch(data, &mut scratch);
        multiply(data, scale);
        return Ok(());
    }
    let mut lines = vec![Complex::default(); LINES.min(inner) * n];
    groups(outer, inner, |o, first, count| {
        let slab = &mut data[o * n * inner..(o + 1) * n * inner];
        let lines = &mut lines[..count * n];
        for (i, row) in slab.chunks_exact(inner).enumerate() {
            for (l, &x) in row[first..first + count].iter().enumerate() {
                lines[l * n + i] = x;
            }
        }
        plan.fft.process_with_scratch(lines, &mut scratch);
        for (i, row) in slab.chunks_exact_mut(inner).enumerate() {
            for (l, x) in row[first..first + count].iter_mut().enumerate() {
                *x = lines[l * n + i] * scale;
            }
        }
    });
    Ok(())
}

fn multiply<F: FftElement>(data: &mut [Complex<F>], scale: F) {
    if scale != F::one() {
        data.iter_mut().for_each(|x| *x = *x * scale);
    }
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
    if input.is_empty() {
        return Ok(());
    }
    let plan = plan::<F>(n, true, n.is_multiple_of(2));
    let mut scratch = plan.scratch();
    let mut line = vec![F::zero(); n];
    let mut work = vec![Complex::default(); n.max(half)];
    for o in 0..outer {
        for l in 0..inner {
            let from = &input[o * n * inner + l..];
            let line: &[F] = if inner == 1 {
                &from[..n]
            } else {
                line.iter_mut().zip(from.iter().step_by(inner)).for_each(|(x, &y)| *x = y);
                &line
            };
            forward_real(&plan, line, &mut work, &mut scratch);
            let to = output[o * half * inner + l..].iter_mut().step_by(inner);
            for (y, &x) in to.zip(&work[..half]) {
                *y = if forward { x * scale } else { x.conj() * scale };
            }
        }
    }
    Ok(())
}

/// Leaves the first n / 2 + 1 coefficients of a real line in `work`.
fn forward_real<F: FftElement>(
    plan: &Plan<F>,
    line: &[F],
    work: &mut [Complex<F>],
    scratch: &mut [Complex<F>],
) {
    let n = line.len();
    if !plan.halved {
        work[..n].iter_mut().zip(line).for_each(|(z, &x)| *z = Complex::new(x, F::zero()));
        plan.fft.process_with_scratch(&mut work[..n], scratch);
        return;
    }
    // Even and odd elements are the real and imaginary parts of one line of half the length.
    let m = n / 2;
    work[..m].iter_mut().zip(line.chunks_exact(2)).for_each(|(z, pair)| *z = Complex::new(pair[0], pair[1]));
    plan.fft.process_with_scratch(&mut work[..m], scratch);
    let first = work[0];
    work[0] = Complex::new(first.re + first.im, F::zero());
    work[m] = Complex::new(first.re - first.im, F::zero());
    let half = F::one() / (F::one() + F::one());
    for k in 1..m.div_ceil(2) {
        let (a, b) = (work[k], work[m - k].conj());
        let even = (a + b) * half;
        let difference = (a - b) * half;
        // The odd part is difference / i, turned by the twiddle factor.
        let odd = Complex::new(difference.im, -difference.re) * plan.twiddles[k];
        work[k] = even + odd;
        work[m - k] = (even - odd).conj();
    }
    if m.is_multiple_of(2) && m > 0 {
        work[m / 2] = work[m / 2].conj();
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
    if output.is_empty() {
        return Ok(());
    }
    let plan = plan::<F>(n, false, n.is_multiple_of(2));
    let mut scratch = plan.scratch();
    let mut line = vec![Complex::default(); half];
    let mut work = vec![Complex::default(); n];
    let zero = F::zero();
    for o in 0..outer {
        for l in 0..inner {
            let from = input[o * half * inner + l..].iter().step_by(inner);
            line.iter_mut().zip(from).for_each(|(x, &y)| *x = if forward { y.conj() } else { y });
            line[0].im = zero;
            let to = &mut output[o * n * inner + l..];
            if plan.halved {
                line[half - 1].im = zero;
                let m = n / 2;
                for k in 0..m {
                    let (a, b) = (line[k], line[m - k].conj());
                    let odd = (a - b) * plan.twiddles[k];
                    work[k] = a + b + Complex::new(-odd.im, odd.re);
                }
                plan.fft.process_with_scratch(&mut work[..m], &mut scratch);
                for (j, z) in work[..m].iter().enumerate() {
                    to[2 * j * inner] = z.re * scale;
                    to[(2 * j + 1) * inner] = z.im * scale;
                }
            } else {
                work[..half].copy_from_slice(&line);
                for k in half..n {
                    work[k] = line[n - k].conj();
                }
                plan.fft.process_with_scratch(&mut work[..n], &mut scratch);
                for (y, z) in to.iter_mut().step_by(inner).zip(&work) {
                    *y = z.re * scale;
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
