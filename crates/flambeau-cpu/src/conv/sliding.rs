//! Convolutions as products of the weights and shifted images.
//!
//! Each image is copied once, with its padding and split by the phases of the stride. What one tap of the kernel sees of a
//! channel, for all output positions one after the other, is then a run of consecutive numbers: a line of the right operand,
//! which [`Rows::multiply`] finds by its offset. Positions between the rows of the output are computed too and left out.
//! The gradient by the input is the same over the output gradient, for each phase of the input by itself; the one by the
//! weight takes images with channels last, where a line is what a row of taps sees of all channels for one position.

use super::ConvShape;
use super::image::{Image, SLACK, volume};
use super::pairs;
use super::plane::{self, Plane, Products};
use crate::gemm::{Base, GemmElement, Lines, Rows};
use flambeau_core::parallel::parallel;
use flambeau_core::{Result, Room};
use std::sync::Mutex;

/// Elements of packed weights that go over an image before the next ones: they stay in the second-level cache.
const WEIGHTS: usize = 1 << 16;
/// Output positions whose products are added up at once in the gradient by the weight.
const POSITIONS: usize = 1024;
/// Taps and channels from which on they fill enough lanes of the gradient by the weight.
const COLUMNS: usize = 4;
/// Pairs of input and output channels of a group up to which the gradient by the weight is made of single sums.
const PAIRS: usize = 4;
/// How many of the images so many weights go over before the next weights: one, where all weights stay in the cache.
fn together(weights: usize, images: usize) -> usize {
    if weights <= WEIGHTS { 1 } else { images }
}

/// Multiplications that are worth a thread.
const GRAIN: usize = 1 << 22;
/// Most phases of the stride.
const PHASES: usize = 1024;

/// A run of output positions that one tile computes.
pub(super) struct Panel {
    /// The first position in the image's phases.
    pub at: usize,
    pub columns: usize,
    /// Which of the columns are output positions.
    pub keep: u64,
    /// Output positions before it.
    pub done: usize,
}

/// The runs that cover `count` positions of phases of `len`, none longer than `width`.
pub(super) fn panels(count: [usize; 3], len: [usize; 3], width: usize) -> Vec<Panel> {
    let mut panels: Vec<Panel> = Vec::new();
    let mut done = 0;
    for z in 0..count[0] {
        for y in 0..count[1] {
            let start = (z * len[1] + y) * len[2];
            let mut x = 0;
            while x < count[2] {
                let at = start + x;
                let fresh = match panels.last() {
                    Some(last) => at >= last.at + width,
                    None => true,
                };
                if fresh {
                    panels.push(Panel { at, columns: 0, keep: 0, done });
                }
                let Some(last) = panels.last_mut() else { break };
                let first = at - last.at;
                let run = (width - first).min(count[2] - x);
                last.keep |= ((1u64 << run) - 1) << first;
                last.columns = first + run;
                done += run;
                x += run;
            }
        }
    }
    panels
}

/// The taps of the kernel, as the offset of each along all dimensions.
fn taps(s: &ConvShape) -> Vec<[usize; 3]> {
    let [depth, height, width] = s.kernel;
    let mut all = Vec::with_capacity(s.kernel_plane());
    for z in 0..depth {
        for y in 0..height {
            for x in 0..width {
                all.push([z * s.dilation[0], y * s.dilation[1], x * s.dilation[2]]);
            }
        }
    }
    all
}

/// How the output's windows see an image by phases: the phases that any tap sees, and for each tap the phase's number and
/// the shift in it.
pub(super) struct Windows {
    pub len: [usize; 3],
    pub origins: Vec<[isize; 3]>,
    pub seen: Vec<(usize, [usize; 3])>,
}

impl Windows {
    /// None where this way does not pay: an image is much larger than what it is a copy of, or most of its positions are not the
    /// output's.
    pub(super) fn new(s: &ConvShape) -> Option<Windows> {
        let [a, b, c] = s.stride;
        let number = a.checked_mul(b)?.checked_mul(c).filter(|&number| number <= PHASES)?;
        let (mut len, mut phases, mut seen) = (s.output, Vec::new(), Vec::new());
        let mut numbers = vec![None; number];
        for tap in taps(s) {
            let phase = [0, 1, 2].map(|d| tap[d] % s.stride[d]);
            let shift = [0, 1, 2].map(|d| tap[d] / s.stride[d]);
            let number = *numbers[(phase[0] * b + phase[1]) * c + phase[2]].get_or_insert_with(|| {
                phases.push(phase);
                phases.len() - 1
            });
            for d in 0..3 {
                len[d] = len[d].max(s.output[d] + shift[d]);
            }
            seen.push((number, shift));
        }
        let pays = len[2] <= 2 * s.output[2] + 64 && fits(s, len, phases.len());
        let origin = |p: &[usize; 3]| [0, 1, 2].map(|d| p[d] as isize - s.padding[d] as isize);
        pays.then(|| Windows { len, origins: phases.iter().map(origin).collect(), seen })
    }

    pub(super) fn place(&self, at: [usize; 3]) -> usize {
        (at[0] * self.len[1] + at[1]) * self.len[2] + at[2]
    }
}

/// Whether phases of these sizes are not much larger than the input and the output.
fn fits(s: &ConvShape, len: [usize; 3], phases: usize) -> bool {
    let usual = 4 * (s.input_plane() + s.output_plane()) + 1024;
    let plane = len.iter().try_fold(phases, |product, &n| product.checked_mul(n));
    let channels = s.c_in.max(s.c_out) / s.groups;
    plane.is_some_and(|plane| {
        plane <= usual && plane.checked_mul(channels).is_some_and(|n| n < isize::MAX as usize / 64)
    })
}

/// Convolves images with weights; false where this way does not pay, with nothing useful written.
pub(super) fn forward<T: GemmElement>(
    s: &ConvShape,
    input: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    out: &mut [T],
) -> Result<bool> {
    let (outs, ins) = (s.c_out / s.groups, s.c_in / s.groups);
    if T::kernel().is_none() {
        return Ok(false);
    }
    let Some(windows) = Windows::new(s) else { return Ok(false) };
    if let (Some(input), Some(weight), Some(out)) = (T::floats(input), T::floats(weight), T::floats_mut(out))
        && pairs::forward(s, &windows, input, weight, bias.and_then(T::floats), out)?
    {
        return Ok(true);
    }
    let (depth, phases, plane) = (ins * s.kernel_plane(), windows.origins.len(), volume(windows.len));
    let channel = |c: usize| {
        let windows = &windows;
        windows.seen.iter().map(move |&(phase, shift)| (c * phases + phase) * plane + windows.place(shift))
    };
    let places: Vec<usize> = (0..ins).flat_map(channel).collect();
    if plane::pays(outs, depth) {
        let mut image = Image::<T>::new(1, ins, s.input, windows.len, s.stride, windows.origins)?;
        let (from, to) = (ins * s.input_plane(), outs * s.output_plane());
        let (pieces, width) = (&plane::pieces(s.output, windows.len)[..], s.output[2]);
        for (i, out) in out.chunks_exact_mut(to).enumerate() {
            image.fill(0, &input[i * from..][..from]);
            for (o, out) in out.chunks_exact_mut(s.output_plane()).enumerate() {
                let channel = i % s.groups * outs + o;
                let base = bias.map(|bias| bias[channel]);
                let weights = &weight[channel * depth..][..depth];
                let (image, places) = (&image.data[..], &places[..]);
                Plane { image, places, weights, base, pieces, width, out }.compute();
            }
        }
        return Ok(true);
    }
    let lines = Lines::new(places);
    let mut groups = Vec::with_capacity(s.groups);
    for g in 0..s.groups {
        let Some(rows) = Rows::new(outs, depth, &weight[g * outs * depth..][..outs * depth], depth, 1)?
        else {
            return Ok(false);
        };
        groups.push(rows);
    }
    let Some(width) = groups.first().map(Rows::width) else { return Ok(false) };
    let panels = panels(s.output, windows.len, width);
    let images = together(outs * depth, s.batch);
    let image = Image::<T>::new(images, ins, s.input, windows.len, s.stride, windows.origins)?;
    let (each, from, to) = (image.each(), s.input_plane(), s.output_plane());
    let work = s.c_out * to * depth;
    let image_count = image.count;
    let parts = out.chunks_mut(image_count * s.c_out * to).collect();
    on_threads(image, Image::another, image_count, parts, work, |image, part, out| {
        let first = part * image.count;
        let count = image.count.min(s.batch - first);
        for (g, rows) in groups.iter().enumerate() {
            for i in 0..count {
                image.fill(i, &input[((first + i) * s.c_in + g * ins) * from..][..ins * from]);
            }
            let base = bias.map_or(Base::Nothing, |bias| Base::Rows(&bias[g * outs..][..outs]));
            for part in rows.parts(WEIGHTS) {
                for i in 0..count {
                    let out = &mut out[(i * s.c_out + g * outs) * to..][..outs * to];
                    for p in &panels {
                        let (b, out) = (&image.data[i * each + p.at..], &mut out[p.done..]);
                        rows.multiply(part.clone(), b, &lines, p.columns, p.keep, base, out, to)?;
                    }
                }
            }
        }
        Ok(())
    })?;
    Ok(true)
}

/// Calls `body` for all parts of the output, of `count` images that go together, with their numbers and a state of the thread's
/// own, the given one or `another`. `work` is the number of multiplications for one image.
pub(super) fn on_threads<S: Sync + Send, T: Send>(
    state: S,
    another: impl Fn(&S) -> Result<S> + Sync,
    count: usize,
    parts: Vec<&mut [T]>,
    work: usize,
    body: impl Fn(&mut S, usize, &mut [T]) -> Result<()> + Sync,
) -> Result<()> {
    let grain = (GRAIN / count.saturating_mul(work).max(1)).max(1);
    if parts.len() <= grain {
        let mut state = state;
        return parts.into_iter().enumerate().try_for_each(|(part, out)| body(&mut state, part, out));
    }
    let parts: Vec<Mutex<&mut [T]>> = parts.into_iter().map(Mutex::new).collect();
    let done = Mutex::new(Ok(()));
    parallel(parts.len(), grain, |range| {
        let run = || {
            let mut state = another(&state)?;
            // Each part is taken once: nobody waits.
            range.clone().try_for_each(|part| match parts[part].lock() {
                Ok(mut out) => body(&mut state, part, &mut out),
                Err(_) => flambeau_core::bail!("convolution: a thread panicked"),
            })
        };
        if let (Err(error), Ok(mut done)) = (run(), done.lock()) {
            *done = Err(error);
        }
    });
    done.into_inner().unwrap_or_else(|_| flambeau_core::bail!("convolution: a thread panicked"))
}

/// The taps and the positions of one phase of the input along one dimension.
struct Side {
    /// The kernel's places, and the shift of each.
    taps: Vec<(usize, usize)>,
    /// The first position, counted in strides, and the number of them.
    first: usize,
    count: usize,
    /// The first input place.
    start: usize,
}

/// The phases of the input along dimension `d`.
fn sides(s: &ConvShape, d: usize) -> Vec<Side> {
    let (stride, padding) = (s.stride[d], s.padding[d]);
    let side = |phase: usize| {
        let taps = (0..s.kernel[d]).filter(|k| (k * s.dilation[d]) % stride == phase);
        let taps = taps.map(|k| (k, (k * s.dilation[d]) / stride)).collect();
        let first = padding.saturating_sub(phase).div_ceil(stride);
        let count = (s.input[d] + padding).saturating_sub(phase).div_ceil(stride).saturating_sub(first);
        Side { taps, first, count, start: (first * stride + phase).saturating_sub(padding) }
    };
    (0..stride).map(side).filter(|side| side.count > 0).collect()
}

/// One phase of the input: what its elements see of the output gradient.
pub(super) struct Phase {
    /// The kernel's taps, and the place of each in a plane of the output gradient.
    pub seen: Vec<(usize, usize)>,
    /// Positions along each dimension.
    pub counts: [usize; 3],
    /// The first of them in the input.
    pub start: usize,
}

/// The phases of the input in a padded output gradient of size `len`, which begins at `origin`.
struct Phases {
    len: [usize; 3],
    origin: [isize; 3],
    jobs: Vec<Phase>,
    /// Whether some of the input is seen by no tap.
    untouched: bool,
}

impl Phases {
    /// None where this way does not pay.
    fn new(s: &ConvShape) -> Option<Phases> {
        if s.stride.iter().zip(s.input).any(|(&stride, size)| stride > size.max(8)) {
            return None;
        }
        let all = [0, 1, 2].map(|d| sides(s, d));
        let most = [0, 1, 2].map(|d| ((s.kernel[d] - 1) * s.dilation[d]) / s.stride[d]);
        let least = [0, 1, 2].map(|d| all[d].iter().map(|x| x.first).min().unwrap_or(0));
        let reach = |d: usize| all[d].iter().map(|x| x.first - least[d] + x.count).max().unwrap_or(0);
        let len = [0, 1, 2].map(|d| reach(d) + most[d]);
        let counts = [0, 1, 2].map(|d| all[d].iter().map(|x| x.count).max().unwrap_or(0));
        if volume(counts) == 0 || len[2] > 2 * counts[2] + 64 || !fits(s, len, 1) {
            return None;
        }
        let (mut jobs, mut untouched) = (Vec::new(), false);
        for z in &all[0] {
            for y in &all[1] {
                for x in &all[2] {
                    let sides = [z, y, x];
                    let at = |d: usize, t: usize| most[d] - t + sides[d].first - least[d];
                    let mut seen = Vec::new();
                    for &(kz, tz) in &z.taps {
                        for &(ky, ty) in &y.taps {
                            for &(kx, tx) in &x.taps {
                                let place = (at(0, tz) * len[1] + at(1, ty)) * len[2] + at(2, tx);
                                seen.push(((kz * s.kernel[1] + ky) * s.kernel[2] + kx, place));
                            }
                        }
                    }
                    if seen.is_empty() {
                        untouched = true;
                        continue;
                    }
                    let start = (z.start * s.input[1] + y.start) * s.input[2] + x.start;
                    jobs.push(Phase { seen, counts: sides.map(|side| side.count), start });
                }
            }
        }
        let origin = [0, 1, 2].map(|d| least[d] as isize - most[d] as isize);
        Some(Phases { len, origin, jobs, untouched })
    }
}

/// The gradient by the input, or a transposed convolution; false where this way does not pay, with nothing useful written.
pub(super) fn grad_input<T: GemmElement>(
    s: &ConvShape,
    grad: &[T],
    weight: &[T],
    out: &mut [T],
) -> Result<bool> {
    let (outs, ins) = (s.c_out / s.groups, s.c_in / s.groups);
    if T::kernel().is_none() {
        return Ok(false);
    }
    let Some(Phases { len, origin, jobs: phases, untouched }) = Phases::new(s) else { return Ok(false) };
    if untouched {
        out.fill(T::ZERO);
    }
    if let (Some(grad), Some(weight), Some(out)) = (T::floats(grad), T::floats(weight), T::floats_mut(out))
        && pairs::grad_input(s, (len, origin), &phases, grad, weight, out)?
    {
        return Ok(true);
    }
    let plane = volume(len);
    let images = together(ins * outs * s.kernel_plane(), s.batch);
    let mut image = Image::<T>::new(images, outs, s.output, len, [1; 3], vec![origin])?;
    let (spread, depth) = (s.stride != [1; 3], ins * s.kernel_plane());
    let mut jobs = Vec::new();
    for Phase { seen, counts, start } in &phases {
        let places: Vec<usize> =
            (0..outs).flat_map(|c| seen.iter().map(move |&(_, place)| c * plane + place)).collect();
        let turned = |g: usize| {
            let mut turned: Vec<T> = Vec::with_capacity(ins * places.len());
            for i in 0..ins {
                for o in 0..outs {
                    let from = &weight[(g * outs + o) * depth + i * s.kernel_plane()..];
                    turned.extend(seen.iter().map(|&(tap, _)| from[tap]));
                }
            }
            turned
        };
        if !spread && plane::pays(ins, places.len()) {
            let weights: Vec<Vec<T>> = (0..s.groups).map(turned).collect();
            let (from, to) = (outs * s.output_plane(), ins * s.input_plane());
            let (pieces, width) = (&plane::pieces(s.input, len)[..], s.input[2]);
            for (i, out) in out.chunks_exact_mut(to).enumerate() {
                image.fill(0, &grad[i * from..][..from]);
                let weights = weights[i % s.groups].chunks_exact(places.len());
                for (weights, out) in weights.zip(out.chunks_exact_mut(s.input_plane())) {
                    let (image, places, base) = (&image.data[..], &places[..], None);
                    Plane { image, places, weights, base, pieces, width, out }.compute();
                }
            }
            return Ok(true);
        }
        let lines = Lines::new(places.clone());
        let mut groups = Vec::with_capacity(s.groups);
        for g in 0..s.groups {
            let turned = turned(g);
            let Some(rows) = Rows::new(ins, lines.count(), &turned, lines.count(), 1)? else {
                return Ok(false);
            };
            groups.push(rows);
        }
        let Some(width) = groups.first().map(Rows::width) else { return Ok(false) };
        let panels = panels(*counts, len, width);
        jobs.push((lines, groups, panels, *start, [counts[1], counts[2]]));
    }
    let (each_image, input, from) = (image.each(), s.input_plane(), s.output_plane());
    let image_count = image.count;
    let parts = out.chunks_mut(image_count * s.c_in * input).collect();
    on_threads(
        image,
        Image::another,
        image_count,
        parts,
        s.c_in * input * outs * s.kernel_plane() / volume(s.stride),
        |image, part, out| {
            let mut apart = Room::<T>::new(if spread { ins * SLACK } else { 0 })?;
            let first = part * image.count;
            let count = image.count.min(s.batch - first);
            for g in 0..s.groups {
                for i in 0..count {
                    image.fill(i, &grad[((first + i) * s.c_out + g * outs) * from..][..outs * from]);
                }
                for (lines, groups, panels, start, [rows_each, each]) in &jobs {
                    let rows = &groups[g];
                    if !spread {
                        for part in rows.parts(WEIGHTS) {
                            for i in 0..count {
                                let out = &mut out[(i * s.c_in + g * ins) * input..][..ins * input];
                                for p in panels {
                                    let (b, to) = (&image.data[i * each_image + p.at..], &mut out[p.done..]);
                                    let base = Base::Nothing;
                                    rows.multiply(
                                        part.clone(),
                                        b,
                                        lines,
                                        p.columns,
                                        p.keep,
                                        base,
                                        to,
                                        input,
                                    )?;
                                }
                            }
                        }
                        continue;
                    }
                    for (i, p) in (0..count).flat_map(|i| panels.iter().map(move |p| (i, p))) {
                        let out = &mut out[(i * s.c_in + g * ins) * input..][..ins * input];
                        let tiles = rows.parts(usize::MAX).next().unwrap_or(0..0);
                        let b = &image.data[i * each_image + p.at..];
                        rows.multiply(tiles, b, lines, p.columns, p.keep, Base::Nothing, &mut apart, SLACK)?;
                        // Runs of the panel's positions that lie in one row of the input.
                        let (mut at, kept) = (p.done, p.keep.count_ones() as usize);
                        while at < p.done + kept {
                            let (row, column) = (at / each, at % each);
                            let run = (each - column).min(p.done + kept - at);
                            let (depth, height) = (row / rows_each, row % rows_each);
                            let row = (depth * s.stride[0] * s.input[1] + height * s.stride[1]) * s.input[2];
                            let to = start + row + column * s.stride[2];
                            for (channel, from) in apart.chunks_exact(SLACK).enumerate().take(ins) {
                                let to = out[channel * input + to..].iter_mut().step_by(s.stride[2]);
                                to.zip(&from[at - p.done..][..run]).for_each(|(to, &from)| *to = from);
                            }
                            at += run;
                        }
                    }
                }
            }
            Ok(())
        },
    )?;
    Ok(true)
}

/// The gradient by the weight; false where this way does not pay, with nothing useful written.
pub(super) fn grad_weight<T: GemmElement>(
    s: &ConvShape,
    grad: &[T],
    input: &[T],
    out: &mut [T],
) -> Result<bool> {
    let (outs, ins, taps) = (s.c_out / s.groups, s.c_in / s.groups, s.kernel_plane());
    if T::kernel().is_none() {
        return Ok(false);
    }
    if outs * ins <= PAIRS {
        return match Windows::new(s) {
            Some(windows) => single_sums(s, windows, grad, input, out),
            None => Ok(false),
        };
    }
    if let (Some(grad), Some(input), Some(out)) = (T::floats(grad), T::floats(input), T::floats_mut(out))
        && pairs::grad_weight(s, grad, input, out)?
    {
        return Ok(true);
    }
    // Along the last dimension what successive taps see of a position lies next to each other, channels included.
    let across = if s.dilation[2] == 1 { s.kernel[2] } else { 1 };
    let columns = across * ins;
    let len = [0, 1, 2].map(|d| (s.output[d] - 1) * s.stride[d] + (s.kernel[d] - 1) * s.dilation[d] + 1);
    if columns < COLUMNS || !fits(s, len, 1) {
        return Ok(false);
    }
    let place = |at: [usize; 3]| ((at[0] * len[1] + at[1]) * len[2] + at[2]) * ins;
    let mut places = Vec::with_capacity(s.output_plane());
    for z in 0..s.output[0] {
        for y in 0..s.output[1] {
            places
                .extend((0..s.output[2]).map(|x| place([z * s.stride[0], y * s.stride[1], x * s.stride[2]])));
        }
    }
    let starts: Vec<usize> = self::taps(s).into_iter().step_by(across).map(place).collect();
    let chunks = places.chunks(POSITIONS);
    let lines: Vec<(usize, Lines)> =
        chunks.map(|all| (all[0], Lines::new(all.iter().map(|place| place - all[0]).collect()))).collect();
    let origin = s.padding.map(|padding| -(padding as isize));
    let mut image = Image::<T>::new(1, ins, s.input, len, [1; 3], vec![origin])?;
    let mut sums = Room::<T>::new(taps * outs * ins + SLACK)?;
    let Some(mut rows) = Rows::<T>::new(0, 0, &[], 1, 1)? else { return Ok(false) };
    for g in 0..s.groups {
        for n in 0..s.batch {
            image.fill_channels_last(
                &input[(n * s.c_in + g * ins) * s.input_plane()..][..ins * s.input_plane()],
            )?;
            let grad = &grad[(n * s.c_out + g * outs) * s.output_plane()..][..outs * s.output_plane()];
            for (chunk, (first, lines)) in lines.iter().enumerate() {
                rows.fill(outs, lines.count(), &grad[chunk * POSITIONS..], s.output_plane(), 1)?;
                let base = if n == 0 && chunk == 0 { Base::Nothing } else { Base::Result };
                for (job, start) in starts.iter().enumerate() {
                    for c in (0..columns).step_by(rows.width()) {
                        let wide = rows.width().min(columns - c);
                        let b = &image.data[first + start + c..];
                        let to = &mut sums[job * outs * columns + c..];
                        let tiles = rows.parts(usize::MAX).next().unwrap_or(0..0);
                        rows.multiply(tiles, b, lines, wide, u64::MAX, base, to, columns)?;
                    }
                }
            }
        }
        let out = &mut out[g * outs * ins * taps..][..outs * ins * taps];
        for (pair, out) in out.chunks_exact_mut(taps).enumerate() {
            let (o, c) = (pair / ins, pair % ins);
            for (tap, x) in out.iter_mut().enumerate() {
                let (job, step) = (tap / across, tap % across);
                *x = sums[(job * outs + o) * columns + step * ins + c];
            }
        }
    }
    Ok(true)
}

/// The gradient by the weight of few channels: one long sum for each weight and image. Between the rows zeros of the output
/// gradient meet numbers of the image; false where one of those is not finite.
fn single_sums<T: GemmElement>(
    s: &ConvShape,
    windows: Windows,
    grad: &[T],
    input: &[T],
    out: &mut [T],
) -> Result<bool> {
    let (outs, ins, taps) = (s.c_out / s.groups, s.c_in / s.groups, s.kernel_plane());
    let (phases, plane, len) = (windows.origins.len(), volume(windows.len), windows.len);
    let places: Vec<usize> =
        windows.seen.iter().map(|&(phase, shift)| phase * plane + windows.place(shift)).collect();
    let reach = ((s.output[0] - 1) * len[1] + s.output[1] - 1) * len[2] + s.output[2];
    let mut image = Image::<T>::new(1, ins, s.input, len, s.stride, windows.origins)?;
    let mut slopes = Image::<T>::new(1, outs, s.output, len, [1; 3], vec![[0; 3]])?;
    // Lanes of the sums of a group's weights, over all images.
    let mut sums = vec![[T::ZERO; plane::WIDTH]; outs * ins * taps];
    for (g, out) in out.chunks_exact_mut(sums.len()).enumerate() {
        sums.fill([T::ZERO; plane::WIDTH]);
        for n in 0..s.batch {
            image.fill(0, &input[(n * s.c_in + g * ins) * s.input_plane()..][..ins * s.input_plane()]);
            slopes.fill(0, &grad[(n * s.c_out + g * outs) * s.output_plane()..][..outs * s.output_plane()]);
            for (pair, sums) in sums.chunks_exact_mut(taps).enumerate() {
                let (o, i) = (pair / ins, pair % ins);
                let image = &image.data[i * phases * plane..];
                let slopes = &slopes.data[o * plane..][..reach];
                Products { image, places: &places, slopes, sums }.add();
            }
        }
        out.iter_mut().zip(&sums).for_each(|(x, lanes)| *x = plane::total(lanes));
    }
    // Zero times anything else is not zero.
    Ok(out.iter().all(|&x| x.mul(T::ZERO) == T::ZERO))
}
