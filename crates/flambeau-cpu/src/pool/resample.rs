//! Upsampling (and downsampling) by nearest, linear and cubic interpolation.

use super::spatial;
use crate::gemm::size_product;
use crate::wide::{Body, wide};
use flambeau_core::buffer;
use flambeau_core::{Element, Result, ensure};
use num_traits::Float;

/// How [`upsample`] interpolates along every dimension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resample {
    Nearest,
    NearestExact,
    Linear,
    /// Keys' kernel with a = -0.75.
    Cubic,
    /// Linear with the kernel widened when shrinking.
    LinearAntialias,
    /// Cubic (a = -0.5) with the kernel widened when shrinking.
    CubicAntialias,
    /// A sinc windowed by a sinc three times as wide, widened when shrinking (Duchon, 1979).
    LanczosAntialias,
}

/// For each output position a few input positions and their weights.
struct Table<F> {
    taps: usize,
    /// Whether weights of zero fill up rows that have fewer taps than others.
    filled: bool,
    positions: Vec<usize>,
    weights: Vec<F>,
}

/// The source of each output position for the two nearest modes.
///
/// `scale` is the scale factor that the caller was given, if the output size did not come first. `double` says whether
/// elements are `f64`: PyTorch computes positions in the precision of the elements. Of `dims` spatial dimensions in all;
/// in two, equal sizes and doubled ones disregard the scale factor.
pub fn nearest_indices(
    dims: usize,
    input: usize,
    output: usize,
    scale: Option<f64>,
    exact: bool,
    double: bool,
) -> Vec<usize> {
    if double {
        nearest::<f64>(dims, input, output, scale, exact)
    } else {
        nearest::<f32>(dims, input, output, scale, exact)
    }
}

/// Conversion that keeps the float's own precision.
fn to<F: Float>(x: f64) -> F {
    F::from(x).unwrap_or_else(F::nan)
}

/// Input steps for one output step.
fn ratio<F: Float>(input: usize, output: usize, scale: Option<f64>) -> F {
    match scale {
        Some(scale) if scale > 0.0 => to(1.0 / scale),
        _ => to::<F>(input as f64) / to(output as f64),
    }
}

fn nearest<F: Float>(
    dims: usize,
    input: usize,
    output: usize,
    scale: Option<f64>,
    exact: bool,
) -> Vec<usize> {
    let step: F = ratio(input, output, scale);
    let last = input.saturating_sub(1);
    let floor = |x: F| (x.to_f32().unwrap_or(0.0).floor().max(0.0) as usize).min(last);
    (0..output)
        .map(|i| {
            let half = to::<F>(0.5);
            if exact {
                let real = step.mul_add(to::<F>(i as f64) + half, -half);
                floor(real + half)
            } else if dims == 2 && output == input {
                i
            } else if dims == 2 && Some(output) == input.checked_mul(2) {
                i / 2
            } else {
                floor(to::<F>(i as f64) * step)
            }
        })
        .collect()
}

/// The cubic convolution weights of the four neighbours at fraction `t` (Keys, 1981).
fn cubic<F: Float>(t: F, a: f64) -> [F; 4] {
    let a = to::<F>(a);
    let (two, three, four, five, eight) =
        (to::<F>(2.0), to::<F>(3.0), to::<F>(4.0), to::<F>(5.0), to::<F>(8.0));
    let near = |x: F| ((a + two) * x - (a + three)) * x * x + F::one();
    let far = |x: F| ((a * x - five * a) * x + eight * a) * x - four * a;
    let rest = F::one() - t;
    [far(t + F::one()), near(t), near(rest), far(rest + F::one())]
}

fn sinc<F: Float>(x: F) -> F {
    let x = x * to(std::f64::consts::PI);
    if x == F::zero() { F::one() } else { x.sin() / x }
}

impl<F: Float> Table<F> {
    fn new(
        dims: usize,
        input: usize,
        output: usize,
        mode: Resample,
        align_corners: bool,
        scale: Option<f64>,
    ) -> Self {
        let last = input.saturating_sub(1);
        let (zero, one, half) = (F::zero(), F::one(), to::<F>(0.5));
        if matches!(mode, Resample::Nearest | Resample::NearestExact) {
            let positions = nearest::<F>(dims, input, output, scale, mode == Resample::NearestExact);
            return Table { taps: 1, filled: false, weights: vec![one; output], positions };
        }
        if let Resample::LinearAntialias | Resample::CubicAntialias | Resample::LanczosAntialias = mode {
            return Self::antialias(input, output, mode, align_corners, scale);
        }
        let step: F = if align_corners {
            if output > 1 { to::<F>(last as f64) / to((output - 1) as f64) } else { zero }
        } else {
            ratio(input, output, scale)
        };
        let taps = if mode == Resample::Linear { 2 } else { 4 };
        let mut table = Table { taps, filled: false, positions: Vec::new(), weights: Vec::new() };
        for i in 0..output {
            let place = to::<F>(i as f64);
            let real = if align_corners { step * place } else { step.mul_add(place + half, -half) };
            if mode == Resample::Linear {
                if input == output {
                    table.positions.extend([i, i]);
                    table.weights.extend([one, zero]);
                    continue;
                }
                let real = real.max(zero);
                let first = real.to_usize().unwrap_or(0).min(last);
                let fraction = (real - to(first as f64)).max(zero).min(one);
                table.positions.extend([first, (first + 1).min(last)]);
                table.weights.extend([one - fraction, fraction]);
            } else {
                let floor = real.floor();
                let fraction = (real - floor).max(zero).min(one);
                let first = floor.to_i64().unwrap_or(0);
                let clamp = |k: i64| (first + k).clamp(0, last as i64) as usize;
                table.positions.extend([clamp(-1), clamp(0), clamp(1), clamp(2)]);
                table.weights.extend(cubic(fraction, -0.75));
            }
        }
        table
    }

    fn antialias(
        input: usize,
        output: usize,
        mode: Resample,
        align_corners: bool,
        scale: Option<f64>,
    ) -> Self {
        let (zero, one, half) = (F::zero(), F::one(), to::<F>(0.5));
        let step: F = if align_corners {
            if output > 1 { to::<F>(input.saturating_sub(1) as f64) / to((output - 1) as f64) } else { zero }
        } else {
            ratio(input, output, scale)
        };
        let reach = to::<F>(match mode {
            Resample::LinearAntialias => 1.0,
            Resample::LanczosAntialias => 3.0,
            _ => 2.0,
        });
        let support = if step >= one { reach * step } else { reach };
        let inverse = if step >= one { one / step } else { one };
        let filter = |x: F| {
            let x = x.abs();
            if mode == Resample::LinearAntialias {
                (one - x).max(zero)
            } else if mode == Resample::LanczosAntialias {
                if x < reach { sinc(x) * sinc(x / reach) } else { zero }
            } else if x < one {
                cubic(x, -0.5)[1]
            } else if x < reach {
                cubic(x - one, -0.5)[0]
            } else {
                zero
            }
        };
        let mut rows: Vec<(usize, Vec<F>)> = Vec::with_capacity(output);
        for i in 0..output {
            let center = step * (to::<F>(i as f64) + half);
            let first = (center - support + half).to_i64().unwrap_or(0).max(0) as usize;
            let end = (center + support + half).to_i64().unwrap_or(0).clamp(0, input as i64) as usize;
            let mut weights: Vec<F> = (first..end.max(first))
                .map(|j| filter((to::<F>(j as f64) - center + half) * inverse))
                .collect();
            let sum = weights.iter().fold(zero, |sum, &w| sum + w);
            if sum != zero {
                weights.iter_mut().for_each(|w| *w = *w / sum);
            }
            rows.push((first, weights));
        }
        let taps = rows.iter().map(|row| row.1.len()).max().unwrap_or(0);
        let mut table = Table { taps, filled: true, positions: Vec::new(), weights: Vec::new() };
        for (first, weights) in rows {
            for k in 0..taps {
                table.positions.push((first + k).min(input.saturating_sub(1)));
                table.weights.push(weights.get(k).copied().unwrap_or(zero));
            }
        }
        table
    }

    /// Gives the first of several taps of an output at one position the weights of all.
    fn join(&mut self) {
        for row in (0..self.positions.len()).step_by(self.taps) {
            for k in row..row + self.taps {
                let first = (row..k).find(|&j| self.positions[j] == self.positions[k]);
                if let Some(first) = first {
                    self.weights[first] =
                        self.weights[first] + std::mem::replace(&mut self.weights[k], F::zero());
                }
            }
        }
    }

    /// Interpolates the middle one of three dimensions.
    fn apply(&self, outer: usize, input: usize, inner: usize, from: &[F], out: &mut [F]) {
        let output = out.len() / (outer * inner).max(1);
        if inner == 1 && !self.filled && matches!(self.taps, 2 | 4) {
            return wide(Lines { table: self, input: input.max(1), output: output.max(1), from, out });
        }
        if inner == 1 {
            let lines = from.chunks_exact(input.max(1)).zip(out.chunks_exact_mut(output.max(1)));
            for (from, out) in lines.take(outer) {
                let taps = self.positions.chunks_exact(self.taps).zip(self.weights.chunks_exact(self.taps));
                for (y, (positions, weights)) in out.iter_mut().zip(taps) {
                    *y = from[positions[0]] * weights[0];
                    for (&p, &w) in positions[1..].iter().zip(&weights[1..]) {
                        if w != F::zero() || !self.filled {
                            *y = *y + from[p] * w;
                        }
                    }
                }
            }
            return;
        }
        for o in 0..outer {
            let from = &from[o * input * inner..(o + 1) * input * inner];
            for i in 0..output {
                let taps = i * self.taps..(i + 1) * self.taps;
                let (positions, weights) = (&self.positions[taps.clone()], &self.weights[taps]);
                let out = &mut out[(o * output + i) * inner..][..inner];
                for (k, (&p, &w)) in positions.iter().zip(weights).enumerate() {
                    let row = &from[p * inner..(p + 1) * inner];
                    if self.taps == 1 {
                        out.copy_from_slice(row);
                    } else if k == 0 {
                        out.iter_mut().zip(row).for_each(|(y, &x)| *y = x * w);
                    } else if w != F::zero() || !self.filled {
                        out.iter_mut().zip(row).for_each(|(y, &x)| *y = *y + x * w);
                    }
                }
            }
        }
    }

    /// The transpose of [`Table::apply`].
    fn apply_transposed(&self, outer: usize, input: usize, inner: usize, grad: &[F], out: &mut [F]) {
        let output = grad.len() / (outer * inner).max(1);
        out.fill(F::zero());
        if inner == 1 {
            let lines = grad.chunks_exact(output.max(1)).zip(out.chunks_exact_mut(input.max(1)));
            for (grad, out) in lines.take(outer) {
                let taps = self.positions.chunks_exact(self.taps).zip(self.weights.chunks_exact(self.taps));
                for (&g, (positions, weights)) in grad.iter().zip(taps) {
                    for (&p, &w) in positions.iter().zip(weights) {
                        if w != F::zero() {
                            out[p] = out[p] + g * w;
                        }
                    }
                }
            }
            return;
        }
        for o in 0..outer {
            let out = &mut out[o * input * inner..(o + 1) * input * inner];
            for i in 0..output {
                let grad = &grad[(o * output + i) * inner..][..inner];
                for k in i * self.taps..(i + 1) * self.taps {
                    let (p, w) = (self.positions[k], self.weights[k]);
                    if w == F::zero() {
                        continue;
                    }
                    let row = &mut out[p * inner..(p + 1) * inner];
                    row.iter_mut().zip(grad).for_each(|(y, &g)| *y = *y + g * w);
                }
            }
        }
    }
}

/// [`Table::apply`] along lines of `input` elements to ones of `output`, several at a time: places and weights are looked up
/// once for all of them.
struct Lines<'a, F> {
    table: &'a Table<F>,
    input: usize,
    output: usize,
    from: &'a [F],
    out: &'a mut [F],
}

impl<F: Float> Body for Lines<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        const SIDE: usize = 4;
        let Lines { table, input, output, from, out } = self;
        let whole = out.len() / output / SIDE * SIDE;
        let (from, last) = from.split_at(whole * input);
        let (out, last_out) = out.split_at_mut(whole * output);
        for (from, out) in from.chunks_exact(SIDE * input).zip(out.chunks_exact_mut(SIDE * output)) {
            match table.taps {
                2 => resampled::<SIDE, 2, F>(table, input, output, from, out),
                _ => resampled::<SIDE, 4, F>(table, input, output, from, out),
            }
        }
        for (from, out) in last.chunks_exact(input).zip(last_out.chunks_exact_mut(output)) {
            match table.taps {
                2 => resampled::<1, 2, F>(table, input, output, from, out),
                _ => resampled::<1, 4, F>(table, input, output, from, out),
            }
        }
    }
}

/// `N` lines by `TAPS` places for each result.
#[inline(always)]
fn resampled<const N: usize, const TAPS: usize, F: Float>(
    table: &Table<F>,
    input: usize,
    output: usize,
    from: &[F],
    out: &mut [F],
) {
    let lines: [&[F]; N] = std::array::from_fn(|l| &from[l * input..(l + 1) * input]);
    let (places, weights) = (table.positions.as_chunks::<TAPS>().0, table.weights.as_chunks::<TAPS>().0);
    for (i, (places, weights)) in places.iter().zip(weights).enumerate().take(output) {
        for l in 0..N {
            let mut sum = lines[l][places[0]] * weights[0];
            for k in 1..TAPS {
                sum = sum + lines[l][places[k]] * weights[k];
            }
            out[l * output + i] = sum;
        }
    }
}

fn prepare(
    planes: usize,
    input: &[usize],
    output: &[usize],
    scales: &[Option<f64>],
    have_in: usize,
    have_out: usize,
) -> Result<([usize; 3], [usize; 3], [Option<f64>; 3])> {
    let (ins, outs) = (spatial(input, 1)?, spatial(output, 1)?);
    ensure!(
        input.len() == output.len() && scales.len() == input.len(),
        "upsample: expected equal numbers of sizes"
    );
    ensure!(
        ins.iter().chain(&outs).all(|&x| x > 0),
        "Input and output sizes should be greater than 0, but got input {input:?} output {output:?}"
    );
    size_product(&[planes, ins[0].max(outs[0]), ins[1].max(outs[1]), ins[2].max(outs[2])])?;
    let total = |sizes: [usize; 3]| size_product(&[planes, sizes[0], sizes[1], sizes[2]]);
    ensure!(total(ins)? == have_in && total(outs)? == have_out, "upsample: buffers don't match the sizes");
    let mut all = [None; 3];
    all[3 - scales.len()..].copy_from_slice(scales);
    Ok((ins, outs, all))
}

/// Takes `planes` volumes from the first to the second sizes along one dimension after the other, in the order of
/// `dims`, by `apply(dimension, [elements before, after], from, to)`.
fn each_dimension<T: Copy + Default>(
    planes: usize,
    [mut sizes, onto]: [[usize; 3]; 2],
    dims: impl Iterator<Item = usize>,
    mode: Resample,
    from: &[T],
    out: &mut [T],
    apply: impl Fn(usize, [usize; 2], &[T], &mut [T]),
) -> Result<()> {
    if planes == 0 {
        return Ok(());
    }
    let mut steps: Vec<usize> = dims.filter(|&d| sizes[d] != onto[d] || mode != Resample::Linear).collect();
    let Some(last) = steps.pop() else {
        out.copy_from_slice(from);
        return Ok(());
    };
    let around = |sizes: [usize; 3], d: usize| {
        [planes * sizes[..d].iter().product::<usize>(), sizes[d + 1..].iter().product::<usize>()]
    };
    let mut current: Option<Vec<T>> = None;
    for d in steps {
        let [outer, inner] = around(sizes, d);
        let mut next: Vec<T> = buffer(outer * onto[d] * inner)?;
        apply(d, [outer, inner], current.as_deref().unwrap_or(from), &mut next);
        sizes[d] = onto[d];
        current = Some(next);
    }
    apply(last, around(sizes, last), current.as_deref().unwrap_or(from), out);
    Ok(())
}

/// Resamples `planes` volumes from the spatial sizes `input` to `output`, one dimension after the other, the last one
/// first. `scales` holds, for each dimension, the scale factor if the caller gave one (and did not ask to recompute
/// it). `f32` or `f64`; halves are resampled as `f32`.
pub fn upsample<F: Float + Element>(
    planes: usize,
    input: &[usize],
    output: &[usize],
    mode: Resample,
    align_corners: bool,
    scales: &[Option<f64>],
    from: &[F],
    out: &mut [F],
) -> Result<()> {
    let (ins, outs, scales) = prepare(planes, input, output, scales, from.len(), out.len())?;
    let dims = (3 - input.len()..3).rev();
    each_dimension(planes, [ins, outs], dims, mode, from, out, |d, [outer, inner], from, to| {
        Table::<F>::new(input.len(), ins[d], outs[d], mode, align_corners, scales[d])
            .apply(outer, ins[d], inner, from, to)
    })
}

/// The gradient of [`upsample`]: `grad` has the output's size, `out` the input's; all of `out` is written.
pub fn upsample_backward<F: Float + Element>(
    planes: usize,
    input: &[usize],
    output: &[usize],
    mode: Resample,
    align_corners: bool,
    scales: &[Option<f64>],
    grad: &[F],
    out: &mut [F],
) -> Result<()> {
    let (ins, outs, scales) = prepare(planes, input, output, scales, out.len(), grad.len())?;
    let dims = 3 - input.len()..3;
    each_dimension(planes, [outs, ins], dims, mode, grad, out, |d, [outer, inner], from, to| {
        Table::<F>::new(input.len(), ins[d], outs[d], mode, align_corners, scales[d])
            .apply_transposed(outer, ins[d], inner, from, to)
    })
}

/// Nearest resampling of any element type; as [`upsample`] with `Nearest`, or `NearestExact` when `exact`.
pub fn upsample_nearest<T: Element>(
    planes: usize,
    input: &[usize],
    output: &[usize],
    exact: bool,
    scales: &[Option<f64>],
    from: &[T],
    out: &mut [T],
) -> Result<()> {
    let (ins, outs, scales) = prepare(planes, input, output, scales, from.len(), out.len())?;
    if planes == 0 {
        return Ok(());
    }
    let double = size_of::<T>() == 8 && T::DTYPE.is_floating_point();
    let [d, h, w] =
        std::array::from_fn(|i| nearest_indices(input.len(), ins[i], outs[i], scales[i], exact, double));
    let mut places = out.iter_mut();
    for p in 0..planes {
        for &z in &d {
            for &y in &h {
                let row = &from[((p * ins[0] + z) * ins[1] + y) * ins[2]..][..ins[2]];
                for (&x, place) in w.iter().zip(places.by_ref()) {
                    *place = row[x];
                }
            }
        }
    }
    Ok(())
}

/// [`upsample`] of bytes by the modes that weigh: weights are rounded to 16 bits with as many binary places as fit,
/// and every dimension's result to a byte, as image libraries do (the scheme of Pillow).
pub fn upsample_bytes(
    planes: usize,
    input: &[usize],
    output: &[usize],
    mode: Resample,
    align_corners: bool,
    scales: &[Option<f64>],
    from: &[u8],
    out: &mut [u8],
) -> Result<()> {
    let (ins, outs, scales) = prepare(planes, input, output, scales, from.len(), out.len())?;
    let dims = (3 - input.len()..3).rev();
    each_dimension(planes, [ins, outs], dims, mode, from, out, |d, [_, inner], from, to| {
        let mut table = Table::<f64>::new(input.len(), ins[d], outs[d], mode, align_corners, scales[d]);
        table.join();
        let largest = table.weights.iter().copied().fold(0.0, f64::max);
        let places = (0..22).find(|p| 0.5 + largest * f64::from(1 << (p + 1)) >= f64::from(1 << 15));
        let places = places.unwrap_or(22);
        let weights: Vec<i32> =
            table.weights.iter().map(|w| (w * f64::from(1 << places)).round() as i32).collect();
        for (line, to) in to.chunks_exact_mut(inner.max(1)).enumerate() {
            let (o, i) = (line / outs[d], line % outs[d]);
            let taps = i * table.taps..(i + 1) * table.taps;
            for (c, y) in to.iter_mut().enumerate() {
                let mut sum = (1i32 << places) >> 1;
                for (&p, &w) in table.positions[taps.clone()].iter().zip(&weights[taps.clone()]) {
                    sum = sum.wrapping_add(w.wrapping_mul(i32::from(from[(o * ins[d] + p) * inner + c])));
                }
                *y = (sum >> places).clamp(0, 255) as u8;
            }
        }
    })
}
