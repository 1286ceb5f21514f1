//! Normalisation by moments, and its gradients, on contiguous slices. Sums are accumulated in `f64`.

mod channels;
mod measured;

pub use measured::{Affine, normalise_groups};

use crate::gemm::size_product;
use crate::lanes::{LANES, lanes, lanes_of_pairs, merged};
use crate::wide::{Body, ahead, ahead_to_write, wide};
use flambeau_core::parallel::each;
use flambeau_core::{Element, Result, buffer, ensure};
use num_traits::Float;
use std::ops::Range;

/// Elements that are worth a thread.
const GRAIN: usize = 1 << 15;

/// Elements that are normalised; halves as `f32`.
pub trait Real: Float + Element {}
impl Real for f32 {}
impl Real for f64 {}

/// `outer` blocks of `stats` groups of `inner` elements; a group's moments are over all blocks.
#[derive(Clone, Copy, Debug)]
pub struct Groups {
    pub outer: usize,
    pub stats: usize,
    pub inner: usize,
}

/// (samples, channels, elements of a plane), and which moments each plane is normalised by.
#[derive(Clone, Copy, Debug)]
pub struct Planes {
    pub channels: usize,
    pub inner: usize,
    /// How many there are, of all samples.
    pub planes: usize,
    /// Planes next to each other that share moments.
    pub sharing: usize,
    /// How many moments there are before they begin again.
    pub stats: usize,
    /// Elements that share moments; none where the moments were given.
    pub count: Option<usize>,
}

#[inline(always)]
fn number<F: Float>(x: f64) -> F {
    F::from(x).unwrap_or_else(F::nan)
}

#[inline(always)]
fn double<F: Float>(x: F) -> f64 {
    x.to_f64().unwrap_or(f64::NAN)
}

/// The sum of what `term` makes of each element.
#[inline(always)]
fn sum<F: Float>(x: &[F], term: impl Fn(f64) -> f64) -> f64 {
    merged(lanes(x, 0.0, |total, v| total + term(double(v))), |a, b| a + b)
}

/// Elements whose sums are taken in their own type, lane by lane, before they go on in double precision.
const BLOCK: usize = 1024;

/// The sums of `x - shift` and of its square; with `SOON` the cache lines of `results` are asked for, to write, and those of
/// the elements that come after.
#[inline(always)]
fn powers<F: Float, const SOON: bool>(x: &[F], shift: F, results: &[F], after: &[F]) -> (f64, f64) {
    let (mut total, mut total_squares) = (0.0, 0.0);
    for (b, x) in x.chunks(BLOCK).enumerate() {
        let (mut sums, mut squares) = ([F::zero(); LANES], [F::zero(); LANES]);
        let (lines, rest) = x.as_chunks::<LANES>();
        for (i, line) in lines.iter().enumerate() {
            if SOON {
                for at in (0..LANES).step_by(64 / size_of::<F>()) {
                    let at = b * BLOCK + i * LANES + at;
                    ahead_to_write(results.as_ptr().wrapping_add(at));
                    ahead(after.as_ptr().wrapping_add(at));
                }
            }
            let line = *line;
            for l in 0..LANES {
                let d = line[l] - shift;
                sums[l] = sums[l] + d;
                squares[l] = squares[l] + d * d;
            }
        }
        if !rest.is_empty() {
            // In copies: indices that vary would keep the others out of registers.
            let mut tail = (sums, squares);
            for ((sum, square), &v) in tail.0.iter_mut().zip(&mut tail.1).zip(rest) {
                let d = v - shift;
                *sum = *sum + d;
                *square = *square + d * d;
            }
            (sums, squares) = tail;
        }
        total += double(merged(sums, |a, b| a + b));
        total_squares += double(merged(squares, |a, b| a + b));
    }
    (total, total_squares)
}

/// The mean and the variance of the elements of a group. Both from one look at the elements, less a number near their mean
/// (T. Chan, G. Golub and R. LeVeque, "Algorithms for computing the sample variance", 1983). Where that number was not near,
/// or what is added up too large or too small for the type, in double precision. For the rest see [`powers`].
#[inline(always)]
fn quick_moments<F: Float, const SOON: bool>(x: &[F], results: &[F], after: &[F]) -> (f64, f64) {
    let shift = match x.first_chunk::<LANES>() {
        Some(line) => merged(*line, |a, b| a + b) / number(LANES as f64),
        None => x.first().copied().unwrap_or(F::zero()),
    };
    let count = x.len() as f64;
    let (total, squares) = powers::<F, SOON>(x, shift, results, after);
    let mean = total / count;
    let variance = squares / count - mean * mean;
    // Little cancels, and squares were in the range of the type; not said of NaN.
    if mean * mean <= 4.0 * variance && (1e-30..f64::INFINITY).contains(&variance) {
        return (double(shift) + mean, variance);
    }
    mean_and_variance(std::iter::once(x), count)
}

/// The mean and the variance of `count` elements in blocks, in double precision, so that means have PyTorch's bits. Of `f32`,
/// both from one look at the elements, less one of them: what cancels is less than what `count` elements can differ by.
#[inline(always)]
fn mean_and_variance<'a, F: Float + 'a>(
    blocks: impl Iterator<Item = &'a [F]> + Clone,
    count: f64,
) -> (f64, f64) {
    if size_of::<F>() == 4 {
        let first = blocks.clone().find_map(|x| x.first()).map_or(0.0, |&x| double(x));
        let shift = if first.is_finite() { first } else { 0.0 };
        let (mut total, mut squares) = (0.0, 0.0);
        for x in blocks {
            let zero = (0.0, 0.0);
            let lanes = lanes(x, zero, |(sum, square), v| {
                let d = double(v) - shift;
                (sum + d, square + d * d)
            });
            let (sum, square) = merged(lanes, |a, b| (a.0 + b.0, a.1 + b.1));
            total += sum;
            squares += square;
        }
        let mean = total / count;
        // Rounding must not make it negative; NaN and infinite elements leave no number.
        return (shift + mean, ((squares - total * mean) / count).max(0.0) + 0.0 * squares);
    }
    let mut total = 0.0;
    for x in blocks.clone() {
        total += sum(x, |v| v);
    }
    let middle = total / count;
    let mut squares = 0.0;
    for x in blocks {
        squares += sum(x, |v| (v - middle) * (v - middle));
    }
    (middle, squares / count)
}

/// The sums of `g` and of `g (x - shift)`.
#[inline(always)]
fn dots<F: Float>(g: &[F], x: &[F], shift: f64) -> (f64, f64) {
    let rounded = number::<F>(shift);
    let (mut plain, mut moved) = (0.0, 0.0);
    for (g, x) in g.chunks(BLOCK).zip(x.chunks(BLOCK)) {
        let zero = (F::zero(), F::zero());
        let lanes = lanes_of_pairs(g, x, zero, |(plain, moved), g, x| (plain + g, moved + g * (x - rounded)));
        let (p, m) = merged(lanes, |a, b| (a.0 + b.0, a.1 + b.1));
        plain += double(p);
        moved += double(m);
    }
    // What the rounding of the shift takes away.
    (plain, moved - (shift - double(rounded)) * plain)
}

struct Dots<'a, F>(&'a [F], &'a [F], f64);
impl<F: Real> Body for Dots<'_, F> {
    type Output = (f64, f64);
    #[inline(always)]
    fn run(self) -> (f64, f64) {
        dots(self.0, self.1, self.2)
    }
}

/// Rows that are added up in the type of the elements, as PyTorch does, before sums go on in double precision.
const ROWS: usize = 1024;

/// For each group of one element a row the sum over the rows, of squared distances if there are `means`.
struct ColumnSums<'a, F> {
    x: &'a [F],
    means: Option<&'a [F]>,
    sums: &'a mut [f64],
}
impl<F: Real> Body for ColumnSums<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let ColumnSums { x, means, sums } = self;
        let width = sums.len();
        let mut part = vec![F::zero(); width];
        for rows in x.chunks(ROWS * width.max(1)) {
            part.fill(F::zero());
            for row in rows.chunks_exact(width.max(1)) {
                match means {
                    Some(means) => {
                        let (means, row) = (&means[..part.len()], &row[..part.len()]);
                        for k in 0..part.len() {
                            part[k] = (row[k] - means[k]).mul_add(row[k] - means[k], part[k]);
                        }
                    }
                    None => update(&mut part, row, |sum, v| sum + v),
                }
            }
            for (sum, &v) in sums.iter_mut().zip(&part) {
                *sum += double(v);
            }
        }
    }
}

/// The mean and the (biased) variance of each group.
pub fn moments<F: Real>(s: Groups, x: &[F]) -> Result<(Vec<f64>, Vec<f64>)> {
    ensure!(x.len() == size_product(&[s.outer, s.stats, s.inner])?, "norm: sizes don't match");
    let count = (s.outer * s.inner) as f64;
    let mut moments = (buffer(s.stats)?, buffer(s.stats)?);
    if s.inner == 1 {
        // Rows of groups: all groups at once, a row after the other.
        wide(ColumnSums { x, means: None, sums: &mut moments.0 });
        moments.0.iter_mut().for_each(|m| *m = double(number::<F>(*m / count)));
        let means: Vec<F> = moments.0.iter().map(|&m| number(m)).collect();
        wide(ColumnSums { x, means: Some(&means), sums: &mut moments.1 });
        moments.1.iter_mut().for_each(|v| *v /= count);
        return Ok(moments);
    }
    if s.outer == 1 && s.inner > 0 {
        // Groups one after the other.
        let rows = GRAIN.div_ceil(s.inner);
        let lists = moments.0.chunks_mut(rows).zip(moments.1.chunks_mut(rows));
        each(x.chunks(rows * s.inner).zip(lists), 1, |(x, (mean, variance))| {
            wide(Moments { s: Groups { stats: mean.len(), ..s }, x, mean, variance });
            Ok(())
        })?;
        return Ok(moments);
    }
    wide(Moments { s, x, mean: &mut moments.0, variance: &mut moments.1 });
    Ok(moments)
}

/// The moments of groups of blocks.
struct Moments<'a, F> {
    s: Groups,
    x: &'a [F],
    mean: &'a mut [f64],
    variance: &'a mut [f64],
}
impl<F: Real> Body for Moments<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Moments { s, x, mean, variance } = self;
        let count = (s.outer * s.inner) as f64;
        for (k, (mean, variance)) in mean.iter_mut().zip(variance).enumerate() {
            let block = |o: usize| &x[(o * s.stats + k) * s.inner..][..s.inner];
            (*mean, *variance) = mean_and_variance((0..s.outer).map(block), count);
        }
    }
}

impl Planes {
    fn check(&self, mean: &[f64], scale: &[f64], buffers: &[usize]) -> Result<()> {
        let total = size_product(&[self.planes, self.inner])?;
        let fits = buffers.iter().all(|&n| n == total)
            && [mean.len(), scale.len()] == [self.stats; 2]
            && (self.planes == 0 || self.channels.min(self.sharing).min(self.stats) > 0);
        ensure!(fits, "norm: sizes don't match");
        Ok(())
    }
    /// For planes their numbers, channels and moments.
    fn each(&self, planes: Range<usize>) -> impl DoubleEndedIterator<Item = (usize, usize, usize)> {
        planes.map(|p| (p, p % self.channels, p / self.sharing % self.stats))
    }
    /// The fewest planes next to each other that share no moments with others.
    fn together(&self) -> usize {
        if self.stats.checked_mul(self.sharing) == Some(self.planes) { self.sharing } else { self.planes }
    }
}

fn at<F: Float>(list: Option<&[F]>, c: usize, default: f64) -> f64 {
    list.map_or(default, |list| double(list[c]))
}

/// `(x - mean) * scale * weight + bias` by planes; weight and bias have one element for each channel.
pub fn normalise_planes<F: Real>(
    s: &Planes,
    x: &[F],
    [mean, scale]: [&[f64]; 2],
    [weight, bias]: [Option<&[F]>; 2],
    out: &mut [F],
) -> Result<()> {
    s.check(mean, scale, &[x.len(), out.len()])?;
    let fits = [weight, bias].into_iter().flatten().all(|list| list.len() == s.channels);
    ensure!(fits, "norm: sizes don't match");
    if channels::serves(s) {
        return channels::normalise(s, x, [mean, scale], [weight, bias], out);
    }
    if s.inner > 0 {
        let planes = GRAIN.div_ceil(s.inner);
        let blocks = x.chunks(planes * s.inner).zip(out.chunks_mut(planes * s.inner));
        return each(blocks.enumerate(), 1, |(i, (x, out))| {
            let (moments, affine) = ([mean, scale], [weight, bias]);
            wide(ByPlanes { s, first: i * planes, x, moments, affine, out });
            Ok(())
        });
    }
    Ok(())
}

/// Planes from the `first` one on less their means, times their scales, by weights and biases of channels.
struct ByPlanes<'a, F> {
    s: &'a Planes,
    first: usize,
    x: &'a [F],
    moments: [&'a [f64]; 2],
    affine: [Option<&'a [F]>; 2],
    out: &'a mut [F],
}
impl<F: Real> Body for ByPlanes<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let ByPlanes { s, first, x, moments: [mean, scale], affine: [weight, bias], out } = self;
        let planes = x.chunks_exact(s.inner).zip(out.chunks_exact_mut(s.inner));
        let (mut c, mut k, mut shared) = (first % s.channels, first / s.sharing % s.stats, first % s.sharing);
        for (x, out) in planes {
            let (m, a) = (number::<F>(mean[k]), number::<F>(scale[k] * at(weight, c, 1.0)));
            let b = number::<F>(at(bias, c, 0.0));
            line(out, [x, x, x], |x, _, _| (x - m) * a + b);
            // Quotients would take as long as a small plane.
            c = if c + 1 == s.channels { 0 } else { c + 1 };
            shared += 1;
            if shared == s.sharing {
                shared = 0;
                k = if k + 1 == s.stats { 0 } else { k + 1 };
            }
        }
    }
}

/// The gradients of [`normalise_planes`], moments included: by `x` (all of `out` is written), by the weight and by the
/// bias.
pub fn normalise_planes_backward<F: Real>(
    s: &Planes,
    [grad, x]: [&[F]; 2],
    [mean, scale]: [&[f64]; 2],
    weight: Option<&[F]>,
    out: &mut [F],
) -> Result<[Vec<F>; 2]> {
    s.check(mean, scale, &[grad.len(), x.len(), out.len()])?;
    ensure!(weight.is_none_or(|w| w.len() == s.channels), "norm: sizes don't match");
    if channels::serves(s) {
        return channels::backward(s, [grad, x], [mean, scale], weight, out);
    }
    let range = |p: usize| p * s.inner..(p + 1) * s.inner;
    let (mut by_weight, mut by_bias) = (buffer(s.channels)?, buffer(s.channels)?);
    // Means over each group of the gradient, and of the gradient times the normalised element.
    let mut means = vec![(0.0, 0.0); mean.len()];
    let count = s.count.map_or(f64::INFINITY, |n| n as f64);
    let together = s.together();
    for start in (0..s.planes).step_by(together.max(1)) {
        let planes = start..start + together;
        for (p, c, k) in s.each(planes.clone()) {
            let (plain, moved) = wide(Dots(&grad[range(p)], &x[range(p)], mean[k]));
            by_weight[c] += moved * scale[k];
            by_bias[c] += plain;
            let w = at(weight, c, 1.0);
            means[k].0 += w * plain;
            means[k].1 += w * moved * scale[k];
        }
        // The last planes are still in the cache.
        for (p, c, k) in s.each(planes).rev() {
            let r = scale[k];
            let (first, second) = (means[k].0 / count, means[k].1 / count);
            // The differences first: what is left of them must not drown in the rounding of large terms.
            let (m, w, r) = (number::<F>(mean[k]), number::<F>(at(weight, c, 1.0)), number::<F>(r));
            let (b, d) = (number::<F>(scale[k] * second), number::<F>(first));
            let pairs = grad[range(p)].iter().zip(&x[range(p)]);
            let three = out[range(p)].iter_mut().zip(pairs);
            wide(move || three.for_each(|(o, (&g, &x))| *o = (g * w - d - (x - m) * b) * r));
        }
    }
    let back = |list: Vec<f64>| list.into_iter().map(number).collect();
    Ok([back(by_weight), back(by_bias)])
}

/// What `f` makes of the elements of three slices, all as long as `out`.
#[inline(always)]
fn line<F: Copy>(out: &mut [F], [a, b, c]: [&[F]; 3], f: impl Fn(F, F, F) -> F) {
    let n = out.len();
    let (a, b, c) = (&a[..n], &b[..n], &c[..n]);
    for i in 0..n {
        out[i] = f(a[i], b[i], c[i]);
    }
}

/// As [`line`], of the old value too.
#[inline(always)]
fn update<F: Copy>(out: &mut [F], a: &[F], f: impl Fn(F, F) -> F) {
    let a = &a[..out.len()];
    for i in 0..out.len() {
        out[i] = f(out[i], a[i]);
    }
}

/// The gradients of [`normalise_groups`] with [`Affine::Elements`], moments included, as of [`normalise_planes_backward`].
pub fn normalise_rows_backward<F: Real>(
    width: usize,
    [grad, x]: [&[F]; 2],
    [mean, scale]: [&[f64]; 2],
    weight: Option<&[F]>,
    out: &mut [F],
) -> Result<[Vec<F>; 2]> {
    let total = size_product(&[mean.len(), width])?;
    let fits = [grad.len(), x.len(), out.len()].iter().all(|&n| n == total);
    ensure!(
        fits && scale.len() == mean.len() && weight.is_none_or(|w| w.len() == width),
        "norm: sizes don't match"
    );
    let (mut by_weight, mut by_bias) = (buffer(width)?, buffer(width)?);
    if width == 0 {
        return Ok([Vec::new(), Vec::new()]);
    }
    let sums = [&mut by_weight[..], &mut by_bias[..]];
    wide(RowsBackward { width, both: [grad, x], moments: [mean, scale], weight, out, sums });
    let back = |list: Vec<f64>| list.into_iter().map(number).collect();
    Ok([back(by_weight), back(by_bias)])
}

/// Rows whose contributions to the sums over rows are added up before they go there.
const TOGETHER: usize = 4;

/// The gradients of [`Rows`]: by the elements, and the sums over rows.
struct RowsBackward<'a, F> {
    width: usize,
    both: [&'a [F]; 2],
    moments: [&'a [f64]; 2],
    weight: Option<&'a [F]>,
    out: &'a mut [F],
    sums: [&'a mut [f64]; 2],
}
impl<F: Real> Body for RowsBackward<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let RowsBackward { width, both: [grad, x], moments: [mean, scale], weight, out, sums } = self;
        let [by_weight, by_bias] = sums;
        let size = width * TOGETHER;
        let blocks = grad.chunks(size).zip(x.chunks(size)).zip(out.chunks_mut(size));
        let moments = mean.chunks(TOGETHER).zip(scale.chunks(TOGETHER));
        for (((g, x), out), (mean, scale)) in blocks.zip(moments) {
            if let (Ok(mean), Ok(scale)) = (mean.try_into(), scale.try_into()) {
                together(by_weight, by_bias, quarters(g, width), quarters(x, width), mean, scale);
            } else {
                let rows = g.chunks_exact(width).zip(x.chunks_exact(width));
                for ((g, x), (&m, &r)) in rows.zip(mean.iter().zip(scale)) {
                    let sums = by_weight.iter_mut().zip(by_bias.iter_mut());
                    for ((by_weight, by_bias), (&g, &x)) in sums.zip(g.iter().zip(x)) {
                        *by_weight += double(g) * ((double(x) - m) * r);
                        *by_bias += double(g);
                    }
                }
            }
            let rows = g.chunks_exact(width).zip(x.chunks_exact(width)).zip(out.chunks_exact_mut(width));
            for (((g, x), out), (&m, &r)) in rows.zip(mean.iter().zip(scale)) {
                let (plain, moved) = match weight {
                    // The weighted gradients wait in the result's place.
                    Some(weight) => {
                        line(out, [g, weight, g], |g, w, _| g * w);
                        dots(out, x, m)
                    }
                    None => dots(g, x, m),
                };
                let (first, second) = (plain / width as f64, moved * r / width as f64);
                let (m, b, d) = (number::<F>(m), number::<F>(r * second), number::<F>(first));
                let r = number::<F>(r);
                let by = |g: F, x: F| (g - d - (x - m) * b) * r;
                match weight {
                    Some(_) => update(out, x, by),
                    None => line(out, [g, x, x], |g, x, _| by(g, x)),
                }
            }
        }
    }
}

/// Adds what [`TOGETHER`] rows contribute to the gradients by weight and bias, which is added up in the type of the
/// elements.
#[inline(always)]
fn together<F: Real>(
    by_weight: &mut [f64],
    by_bias: &mut [f64],
    g: [&[F]; TOGETHER],
    x: [&[F]; TOGETHER],
    mean: [f64; TOGETHER],
    scale: [f64; TOGETHER],
) {
    let n = by_weight.len();
    let by_bias = &mut by_bias[..n];
    let (g, x) = (g.map(|g| &g[..n]), x.map(|x| &x[..n]));
    let (m, r) = (mean.map(number::<F>), scale.map(number::<F>));
    for i in 0..n {
        let term = |k: usize| g[k][i] * ((x[k][i] - m[k]) * r[k]);
        by_weight[i] += double((term(0) + term(1)) + (term(2) + term(3)));
        by_bias[i] += double((g[0][i] + g[1][i]) + (g[2][i] + g[3][i]));
    }
}

/// Four rows.
#[inline(always)]
fn quarters<F>(x: &[F], width: usize) -> [&[F]; TOGETHER] {
    std::array::from_fn(|k| &x[k * width..][..width])
}

#[cfg(test)]
mod tests;
