//! Convolutions of `f32` by the processor's matrix unit, where there is one: the sums of `sliding.rs`, in steps of one tap and 32
//! channels. Images lie in memory as pairs of channels, so that what a tap sees of 16 pairs is read where it is; in the gradient
//! by the weight as pairs of positions, with the channels of one next to each other.

use super::ConvShape;
use super::image::{Image, volume};
use super::sliding::{Panel, Phase, Windows, on_threads, panels};
use crate::gemm::{Base, PairLines, PairRows, Piece, pairs_pay, turn};
use flambeau_core::{Result, Room};
use std::sync::atomic::{AtomicBool, Ordering};

/// Channels, or positions, of a step; columns of a piece.
const STEP: usize = PairLines::STEP;
/// Elements of an image beyond which its parts do not stay in the second-level cache.
const ELEMENTS: usize = 1 << 18;
/// Positions whose products are added up at once in the gradient by the weight.
const POSITIONS: usize = 1024;
/// Bytes of packed rows that go over an image before the next ones.
const WEIGHTS: usize = 1 << 18;

/// The first channels of the lines of pairs of so many channels.
fn lows(channels: usize) -> impl Iterator<Item = usize> {
    let half = STEP / 2;
    (0..channels.div_ceil(STEP) * half).map(move |line| line / half * STEP + line % half)
}

/// The channels of an image as planes, and these as lines of pairs.
struct Source {
    image: Image<f32>,
    pairs: PairLines,
    channels: usize,
}

impl Source {
    /// None where there is no unit.
    fn new(
        channels: usize,
        size: [usize; 3],
        len: [usize; 3],
        step: [usize; 3],
        origins: Vec<[isize; 3]>,
    ) -> Result<Option<Source>> {
        let image = Image::new(1, channels, size, len, step, origins)?;
        let pairs = PairLines::new(lows(channels).count(), image.each() / channels.max(1))?;
        Ok(pairs.map(|pairs| Source { image, pairs, channels }))
    }

    fn another(&self) -> Result<Source> {
        let (image, channels) = (self.image.another()?, self.channels);
        match PairLines::new(lows(channels).count(), image.each() / channels.max(1))? {
            Some(pairs) => Ok(Source { image, pairs, channels }),
            None => flambeau_core::bail!("convolution: no unit for products of pairs"),
        }
    }

    fn fill(&mut self, source: &[f32]) -> Result<()> {
        self.image.fill(0, source);
        self.pairs.restart();
        let plane = self.image.each() / self.channels.max(1);
        let channel = |c: usize| match c < self.channels {
            true => &self.image.data[c * plane..][..plane],
            false => &[],
        };
        for (line, low) in lows(self.channels).enumerate() {
            self.pairs.fill(line, channel(low), channel(low + STEP / 2))?;
        }
        Ok(())
    }
}

/// Sums over channels and taps for some positions of the result.
struct Job {
    /// For each group.
    rows: Vec<PairRows>,
    places: Vec<usize>,
    pieces: Vec<Piece>,
    /// Positions along each dimension, and the first one's place, if they are not all of the result.
    apart: Option<([usize; 3], usize)>,
}

impl Job {
    /// For taps that see a line of a channel at `seen`; `weight(group, row, channel, tap)` are the rows.
    fn new(
        source: &Source,
        groups: usize,
        rows: usize,
        seen: &[usize],
        weight: impl Fn(usize, usize, usize, usize) -> f32,
        panels: Vec<Panel>,
    ) -> Result<Option<Job>> {
        let blocks = source.channels.div_ceil(STEP);
        let pitch = source.pairs.pitch();
        let places = (0..blocks).flat_map(|b| seen.iter().map(move |place| b * STEP / 2 * pitch + place));
        let places: Vec<usize> = places.collect();
        let depth = places.len() * STEP;
        let mut all = Vec::with_capacity(groups);
        let mut packed = Room::<f32>::new(rows * depth)?;
        for g in 0..groups {
            for (row, packed) in packed.chunks_exact_mut(depth.max(1)).enumerate() {
                for (step, packed) in packed.chunks_exact_mut(STEP).enumerate() {
                    let (block, tap) = (step / seen.len(), step % seen.len());
                    let channels = block * STEP..source.channels.min((block + 1) * STEP);
                    packed.iter_mut().zip(channels).for_each(|(x, c)| *x = weight(g, row, c, tap));
                }
            }
            let Some(rows) = PairRows::new(rows, depth, &packed, depth, 1)? else { return Ok(None) };
            all.push(rows);
        }
        let piece = |p: Panel| Piece { at: p.at, keep: p.keep as u32, done: p.done };
        let pieces = panels.into_iter().map(piece).collect();
        Ok(Some(Job { rows: all, places, pieces, apart: None }))
    }
}

/// Whether one image's sums for these panels are computed by the unit.
fn pays(channels: usize, rows: usize, taps: usize, panels: &[Panel], elements: usize) -> bool {
    let sizes = (rows, panels.len() * STEP, channels * taps);
    elements <= ELEMENTS && pairs_pay(sizes, channels.div_ceil(STEP) * taps, elements)
}

/// The jobs of all images: `from` has `source.channels` channels for each group of each image, `out` `rows` planes of `size`;
/// places apart in the result are `stride` apart. False, with anything in `out`, where the numbers do not allow it.
fn correlate(
    s: &ConvShape,
    source: Source,
    jobs: &[Job],
    from: &[f32],
    bias: Option<&[f32]>,
    out: &mut [f32],
    (rows, size): (usize, [usize; 3]),
) -> Result<bool> {
    let (plane, each) = (volume(size), from.len() / (s.batch * s.groups).max(1));
    let work = s.groups * rows * s.output_plane() * (s.c_in / s.groups) * s.kernel_plane() / 2;
    let unsuited = AtomicBool::new(false);
    let parts: Vec<&mut [f32]> = out.chunks_mut((s.groups * rows * plane).max(1)).collect();
    let apart_len = STEP * jobs.iter().filter_map(|job| job.apart).map(|x| volume(x.0)).max().unwrap_or(0);
    on_threads(source, Source::another, 1, parts, work, |source, image, out| {
        let mut apart = Room::<f32>::new(apart_len)?;
        for g in 0..s.groups {
            source.fill(&from[(image * s.groups + g) * each..][..each])?;
            let out = &mut out[g * rows * plane..][..rows * plane];
            for job in jobs {
                let own = &job.rows[g];
                if unsuited.load(Ordering::Relaxed) || !own.suits(&source.pairs) {
                    unsuited.store(true, Ordering::Relaxed);
                    return Ok(());
                }
                let (blocks, steps) = own.sizes();
                let (pairs, places) = (&source.pairs, &job.places);
                let Some((counts, start)) = job.apart else {
                    // Rows of a few blocks stay near while they go over some pieces.
                    let near = (WEIGHTS / (steps * STEP * STEP * 6).max(1)).max(1);
                    let pieces = if blocks <= near { 16 } else { job.pieces.len().max(1) };
                    for pieces in job.pieces.chunks(pieces) {
                        for block in 0..blocks {
                            let first = block * STEP;
                            let base =
                                bias.map_or(Base::Nothing, |bias| Base::Rows(&bias[g * rows + first..]));
                            let out = &mut out[first * plane..];
                            own.multiply(block, pairs, places, pieces, base, out, plane)?;
                        }
                    }
                    continue;
                };
                let kept = volume(counts);
                for block in 0..blocks {
                    own.multiply(block, pairs, places, &job.pieces, Base::Nothing, &mut apart, kept)?;
                    let planes = out[block * STEP * plane..].chunks_exact_mut(plane);
                    for (from, to) in apart.chunks_exact(kept.max(1)).zip(planes) {
                        for (row, from) in from.chunks_exact(counts[2].max(1)).enumerate() {
                            let (depth, height) = (row / counts[1], row % counts[1]);
                            let row = (depth * s.stride[0] * size[1] + height * s.stride[1]) * size[2];
                            let to = to[start + row..].iter_mut().step_by(s.stride[2]);
                            to.zip(from).for_each(|(to, &from)| *to = from);
                        }
                    }
                }
            }
        }
        Ok(())
    })?;
    Ok(!unsuited.into_inner())
}

/// A convolution; false, with anything in `out`, where this does not pay or the numbers do not allow it.
pub(super) fn forward(
    s: &ConvShape,
    windows: &Windows,
    input: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    out: &mut [f32],
) -> Result<bool> {
    let (outs, ins, taps) = (s.c_out / s.groups, s.c_in / s.groups, s.kernel_plane());
    let panels = panels(s.output, windows.len, STEP);
    let plane = volume(windows.len);
    if !pays(ins, outs, taps, &panels, ins * windows.origins.len() * plane) {
        return Ok(false);
    }
    let Some(source) = Source::new(ins, s.input, windows.len, s.stride, windows.origins.clone())? else {
        return Ok(false);
    };
    let seen: Vec<usize> =
        windows.seen.iter().map(|&(phase, shift)| phase * plane + windows.place(shift)).collect();
    let rows = |g: usize, row: usize, c: usize, tap: usize| weight[((g * outs + row) * ins + c) * taps + tap];
    let Some(job) = Job::new(&source, s.groups, outs, &seen, rows, panels)? else { return Ok(false) };
    correlate(s, source, &[job], input, bias, out, (outs, s.output))
}

/// The gradient by the input for the given phases of it, in output gradients of size `len` from `origin` on; false, with anything
/// in `out`, where this does not pay or the numbers do not allow it.
pub(super) fn grad_input(
    s: &ConvShape,
    (len, origin): ([usize; 3], [isize; 3]),
    phases: &[Phase],
    grad: &[f32],
    weight: &[f32],
    out: &mut [f32],
) -> Result<bool> {
    let (outs, ins, taps) = (s.c_out / s.groups, s.c_in / s.groups, s.kernel_plane());
    let all: Vec<Vec<Panel>> = phases.iter().map(|phase| panels(phase.counts, len, STEP)).collect();
    let elements = outs * volume(len) / phases.len().max(1);
    let pay = |(phase, panels): (&Phase, &Vec<Panel>)| pays(outs, ins, phase.seen.len(), panels, elements);
    if outs * volume(len) > ELEMENTS || !phases.iter().zip(&all).all(pay) {
        return Ok(false);
    }
    let Some(source) = Source::new(outs, s.output, len, [1; 3], vec![origin])? else { return Ok(false) };
    let mut jobs = Vec::with_capacity(phases.len());
    for (phase, panels) in phases.iter().zip(all) {
        let seen: Vec<usize> = phase.seen.iter().map(|&(_, place)| place).collect();
        let rows = |g: usize, row: usize, c: usize, tap: usize| {
            weight[((g * outs + c) * ins + row) * taps + phase.seen[tap].0]
        };
        let Some(job) = Job::new(&source, s.groups, ins, &seen, rows, panels)? else { return Ok(false) };
        let apart = (s.stride != [1; 3]).then_some((phase.counts, phase.start));
        jobs.push(Job { apart, ..job });
    }
    correlate(s, source, &jobs, grad, None, out, (ins, s.input))
}

/// The gradient by the weight; false, with anything in `out`, where this does not pay or the numbers do not allow it.
pub(super) fn grad_weight(s: &ConvShape, grad: &[f32], input: &[f32], out: &mut [f32]) -> Result<bool> {
    let (outs, ins, taps) = (s.c_out / s.groups, s.c_in / s.groups, s.kernel_plane());
    let Some(windows) = Windows::new(s) else { return Ok(false) };
    let (plane, phases, len) = (volume(windows.len), windows.origins.len(), windows.len);
    // Positions from the first to the last of the output, and lines of a phase: those that any tap sees.
    let reach = ((s.output[0] - 1) * len[1] + s.output[1] - 1) * len[2] + s.output[2];
    let lines = plane + STEP;
    let width = ins.div_ceil(STEP) * STEP;
    let elements = phases * lines * width;
    let sizes = (outs, taps * width, reach * ins / width);
    if elements > ELEMENTS || !pairs_pay(sizes, reach.div_ceil(STEP), 2 * elements + outs * reach) {
        return Ok(false);
    }
    let Some(mut pairs) = PairLines::new(phases * lines, ins)? else { return Ok(false) };
    let pitch = pairs.pitch();
    let mut image = Image::new(1, ins, s.input, len, s.stride, windows.origins.clone())?;
    let mut slopes = Image::new(1, outs, s.output, len, [1; 3], vec![[0; 3]])?;
    let mut last = Room::<f32>::new((plane + STEP / 2) * ins)?;
    let mut sums = Room::<f32>::new(outs * taps * ins)?;
    let Some(mut rows) = PairRows::new(0, 0, &[], 1, 1)? else { return Ok(false) };
    let places: Vec<usize> = (0..POSITIONS / STEP).map(|step| step * STEP * pitch).collect();
    // For each tap and 32 channels of it.
    let pieces: Vec<Piece> = (windows.seen.iter().enumerate())
        .flat_map(|(tap, &(phase, shift))| {
            let at = (phase * lines + windows.place(shift)) * pitch;
            (0..ins).step_by(STEP).map(move |c| {
                let keep = u32::MAX >> (STEP - STEP.min(ins - c));
                Piece { at: at + c, keep, done: tap * ins + c }
            })
        })
        .collect();
    for g in 0..s.groups {
        for n in 0..s.batch {
            image.fill(0, &input[(n * s.c_in + g * ins) * s.input_plane()..][..ins * s.input_plane()]);
            slopes.fill(0, &grad[(n * s.c_out + g * outs) * s.output_plane()..][..outs * s.output_plane()]);
            pairs.restart();
            for phase in 0..phases {
                turn(ins, plane, &image.data[phase * plane..], phases * plane, 1, &mut last, ins)?;
                for line in 0..plane {
                    let (low, high) = (line * ins, (line + STEP / 2) * ins);
                    pairs.fill(phase * lines + line, &last[low..low + ins], &last[high..high + ins])?;
                }
            }
            for first in (0..reach).step_by(POSITIONS) {
                let count = POSITIONS.min(reach - first);
                rows.fill(outs, count, &slopes.data[first..], plane, 1)?;
                if !rows.suits(&pairs) {
                    return Ok(false);
                }
                let base = if n == 0 && first == 0 { Base::Nothing } else { Base::Result };
                let moved: Vec<Piece> =
                    pieces.iter().map(|piece| Piece { at: piece.at + first * pitch, ..*piece }).collect();
                let (blocks, steps) = rows.sizes();
                for block in 0..blocks {
                    let out = &mut sums[block * STEP * taps * ins..];
                    rows.multiply(block, &pairs, &places[..steps], &moved, base, out, taps * ins)?;
                }
            }
        }
        let out = &mut out[g * outs * ins * taps..][..outs * ins * taps];
        for (pair, out) in out.chunks_exact_mut(taps).enumerate() {
            let (o, c) = (pair / ins, pair % ins);
            for (tap, x) in out.iter_mut().enumerate() {
                *x = sums[(o * taps + tap) * ins + c];
            }
        }
    }
    Ok(true)
}
