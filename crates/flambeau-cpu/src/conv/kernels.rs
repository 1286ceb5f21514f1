//! Convolution and its gradients.

use super::ConvShape;
use super::columns::{col2im, im2col};
use super::sliding;
use crate::gemm::{GemmElement, axpy, dot, gemm};
use flambeau_core::Room;
use flambeau_core::{Result, ensure};
use std::ops::Range;

/// Elements of a block of columns: about what the second-level cache holds beside the weights.
const BLOCK: usize = 1 << 17;

fn check(name: &str, have: usize, want: usize) -> Result<()> {
    ensure!(have == want, "convolution: expected {want} elements of {name}, got {have}");
    Ok(())
}

/// Ranges of output rows whose columns make one block.
fn blocks(s: &ConvShape) -> impl Iterator<Item = Range<usize>> + use<> {
    let all = s.output[0] * s.output[1];
    let line = (s.c_in / s.groups) * s.kernel_plane() * s.output[2];
    let rows = (BLOCK / line.max(1)).max(1);
    (0..all).step_by(rows).map(move |start| start..(start + rows).min(all))
}

/// Scratch for one block of columns.
fn scratch<T: GemmElement>(s: &ConvShape) -> Result<Room<T>> {
    let rows = blocks(s).next().map_or(0, |rows| rows.len());
    Room::new((s.c_in / s.groups) * s.kernel_plane() * rows * s.output[2])
}

/// Sizes of one group: output channels, input channels, lines of its columns.
struct Group {
    outs: usize,
    ins: usize,
    lines: usize,
}

impl ConvShape {
    fn group(&self) -> Group {
        let ins = self.c_in / self.groups;
        Group { outs: self.c_out / self.groups, ins, lines: ins * self.kernel_plane() }
    }
}

/// Adds `bias[c]` to every element of channel `c`; `out` is (batch, channels, plane).
pub fn add_bias<T: GemmElement>(bias: &[T], plane: usize, out: &mut [T]) -> Result<()> {
    ensure!(
        bias.is_empty() || plane == 0 || out.len().is_multiple_of(bias.len() * plane),
        "convolution: bias does not match the output"
    );
    if plane == 0 || bias.is_empty() {
        return Ok(());
    }
    for (plane, &b) in out.chunks_exact_mut(plane).zip(bias.iter().cycle()) {
        plane.iter_mut().for_each(|x| *x = x.add(b));
    }
    Ok(())
}

/// Convolves `input` with `weight`, adds `bias` if there is one, and writes all of `out`.
pub fn forward<T: GemmElement>(
    s: &ConvShape,
    input: &[T],
    weight: &[T],
    bias: Option<&[T]>,
    out: &mut [T],
) -> Result<()> {
    check("the input", input.len(), s.input_len())?;
    check("the weight", weight.len(), s.weight_len())?;
    check("the output", out.len(), s.output_len())?;
    let (plane, image) = (s.output_plane(), s.input_plane());
    if let Some(bias) = bias {
        check("the bias", bias.len(), s.c_out)?;
    }
    if out.is_empty() {
        return Ok(());
    }
    if s.c_in > 0 && !s.pointwise() && sliding::forward(s, input, weight, bias, out)? {
        return Ok(());
    }
    if let Some(bias) = bias.filter(|_| s.c_in == 0 || !s.direct()) {
        for (plane, &b) in out.chunks_exact_mut(plane.max(1)).zip(bias.iter().cycle()) {
            plane.fill(b);
        }
    } else if s.c_in == 0 || (s.direct()) {
        // The matrix products write every element without reading it.
        out.fill(T::ZERO);
    }
    if s.c_in == 0 {
        return Ok(());
    }
    let Group { outs, ins, lines } = s.group();
    if s.direct() {
        let taps = s.kernel_plane();
        for (i, out) in out.chunks_exact_mut(plane).enumerate() {
            let (n, c) = (i / s.c_out, i % s.c_out);
            for k in 0..ins {
                let from = &input[(n * s.c_in + c / outs * ins + k) * image..][..image];
                slide(s, from, &weight[c * lines + k * taps..][..taps], out)?;
            }
            if let Some(bias) = bias {
                add_bias(&bias[c..][..1], plane, out)?;
            }
        }
        return Ok(());
    }
    // The output starts as the bias, so every product is accumulated, except that beta = 0 saves reading zeros.
    let beta = if bias.is_some() { T::ONE } else { T::ZERO };
    let mut columns = if s.pointwise() { Room::default() } else { scratch::<T>(s)? };
    for n in 0..s.batch {
        for g in 0..s.groups {
            let weight = &weight[g * outs * lines..(g + 1) * outs * lines];
            let from = &input[(n * s.c_in + g * ins) * image..][..ins * image];
            let out = &mut out[(n * s.c_out + g * outs) * plane..][..outs * plane];
            if s.pointwise() {
                gemm(outs, plane, ins, T::ONE, weight, lines, 1, from, image, 1, beta, out, plane, 1)?;
                continue;
            }
            for rows in blocks(s) {
                let wide = rows.len() * s.output[2];
                im2col(s, ins, from, rows.clone(), &mut columns);
                let out = &mut out[rows.start * s.output[2]..];
                gemm(outs, wide, lines, T::ONE, weight, lines, 1, &columns, wide, 1, beta, out, plane, 1)?;
            }
        }
    }
    Ok(())
}

/// Adds the sliding product of one input plane and one kernel to one output plane.
fn slide<T: GemmElement>(s: &ConvShape, input: &[T], kernel: &[T], out: &mut [T]) -> Result<()> {
    each_row(s, |tap, from, to, count| {
        axpy(count, kernel[tap], &input[from..], s.stride[2], &mut out[to..], 1)
    })
}

/// Calls `visit(tap, input position, output position, count)` for each run of output positions in one row that see the
/// input at one tap; successive input positions are a stride apart.
fn each_row(s: &ConvShape, mut visit: impl FnMut(usize, usize, usize, usize) -> Result<()>) -> Result<()> {
    for r in 0..s.output[0] * s.output[1] {
        let (depth, row) = (r / s.output[1], r % s.output[1]);
        let mut tap = 0;
        for z in 0..s.kernel[0] {
            for y in 0..s.kernel[1] {
                let (Some(d), Some(h)) = (s.coordinate(0, depth, z), s.coordinate(1, row, y)) else {
                    tap += s.kernel[2];
                    continue;
                };
                let start = (d * s.input[1] + h) * s.input[2];
                for x in 0..s.kernel[2] {
                    let run = s.run(x);
                    if run.high > run.low {
                        visit(tap, start + run.from, r * s.output[2] + run.low, run.high - run.low)?;
                    }
                    tap += 1;
                }
            }
        }
    }
    Ok(())
}

/// The gradient with respect to the input: writes all of `out` (batch, c_in, input…). It is also the transposed
/// convolution of `grad` (see [`ConvShape::transposed`]).
pub fn grad_input<T: GemmElement>(s: &ConvShape, grad: &[T], weight: &[T], out: &mut [T]) -> Result<()> {
    check("the output gradient", grad.len(), s.output_len())?;
    check("the weight", weight.len(), s.weight_len())?;
    check("the input gradient", out.len(), s.input_len())?;
    let any = !grad.is_empty() && !out.is_empty();
    if any && !s.pointwise() && sliding::grad_input(s, grad, weight, out)? {
        return Ok(());
    }
    out.fill(T::ZERO);
    let (plane, image) = (s.output_plane(), s.input_plane());
    if grad.is_empty() || out.is_empty() {
        return Ok(());
    }
    let Group { outs, ins, lines } = s.group();
    if s.direct() {
        let taps = s.kernel_plane();
        for (i, grad) in grad.chunks_exact(plane).enumerate() {
            let (n, c) = (i / s.c_out, i % s.c_out);
            for k in 0..ins {
                let out = &mut out[(n * s.c_in + c / outs * ins + k) * image..][..image];
                let kernel = &weight[c * lines + k * taps..][..taps];
                each_row(s, |tap, at, from, count| {
                    axpy(count, kernel[tap], &grad[from..], 1, &mut out[at..], s.stride[2])
                })?;
            }
        }
        return Ok(());
    }
    let mut columns = if s.pointwise() { Room::default() } else { scratch::<T>(s)? };
    for n in 0..s.batch {
        for g in 0..s.groups {
            let weight = &weight[g * outs * lines..(g + 1) * outs * lines];
            let grad = &grad[(n * s.c_out + g * outs) * plane..][..outs * plane];
            let out = &mut out[(n * s.c_in + g * ins) * image..][..ins * image];
            if s.pointwise() {
                gemm(ins, plane, outs, T::ONE, weight, 1, lines, grad, plane, 1, T::ZERO, out, image, 1)?;
                continue;
            }
            for rows in blocks(s) {
                let wide = rows.len() * s.output[2];
                let grad = &grad[rows.start * s.output[2]..];
                gemm(
                    lines,
                    wide,
                    outs,
                    T::ONE,
                    weight,
                    1,
                    lines,
                    grad,
                    plane,
                    1,
                    T::ZERO,
                    &mut columns,
                    wide,
                    1,
                )?;
                col2im(s, ins, &columns, rows, out);
            }
        }
    }
    Ok(())
}

/// The gradient with respect to the weight: writes all of `out` (c_out, c_in / groups, kernel…).
pub fn grad_weight<T: GemmElement>(s: &ConvShape, grad: &[T], input: &[T], out: &mut [T]) -> Result<()> {
    check("the output gradient", grad.len(), s.output_len())?;
    check("the input", input.len(), s.input_len())?;
    check("the weight gradient", out.len(), s.weight_len())?;
    let any = !grad.is_empty() && !input.is_empty();
    if any && !s.pointwise() && sliding::grad_weight(s, grad, input, out)? {
        return Ok(());
    }
    out.fill(T::ZERO);
    let (plane, image) = (s.output_plane(), s.input_plane());
    if grad.is_empty() || input.is_empty() {
        return Ok(());
    }
    let Group { outs, ins, lines } = s.group();
    if s.direct() {
        let taps = s.kernel_plane();
        for (i, grad) in grad.chunks_exact(plane).enumerate() {
            let (n, c) = (i / s.c_out, i % s.c_out);
            for k in 0..ins {
                let from = &input[(n * s.c_in + c / outs * ins + k) * image..][..image];
                let kernel = &mut out[c * lines + k * taps..][..taps];
                each_row(s, |tap, at, to, count| {
                    kernel[tap] = kernel[tap].add(dot(count, &from[at..], s.stride[2], &grad[to..], 1)?);
                    Ok(())
                })?;
            }
        }
        return Ok(());
    }
    let mut columns = if s.pointwise() { Room::default() } else { scratch::<T>(s)? };
    for n in 0..s.batch {
        for g in 0..s.groups {
            let grad = &grad[(n * s.c_out + g * outs) * plane..][..outs * plane];
            let from = &input[(n * s.c_in + g * ins) * image..][..ins * image];
            let out = &mut out[g * outs * lines..(g + 1) * outs * lines];
            if s.pointwise() {
                gemm(outs, ins, plane, T::ONE, grad, plane, 1, from, 1, image, T::ONE, out, lines, 1)?;
                continue;
            }
            for rows in blocks(s) {
                let wide = rows.len() * s.output[2];
                im2col(s, ins, from, rows.clone(), &mut columns);
                let grad = &grad[rows.start * s.output[2]..];
                gemm(outs, lines, wide, T::ONE, grad, plane, 1, &columns, 1, wide, T::ONE, out, lines, 1)?;
            }
        }
    }
    Ok(())
}

/// The gradient with respect to the bias: sums of each output channel, written to `out` (c_out elements).
pub fn grad_bias<T: GemmElement>(s: &ConvShape, grad: &[T], out: &mut [T]) -> Result<()> {
    check("the output gradient", grad.len(), s.output_len())?;
    check("the bias gradient", out.len(), s.c_out)?;
    out.fill(T::ZERO);
    let plane = s.output_plane();
    if grad.is_empty() {
        return Ok(());
    }
    for (i, plane) in grad.chunks_exact(plane).enumerate() {
        let sum = dot(plane.len(), plane, 1, &[T::ONE], 0)?;
        out[i % s.c_out] = out[i % s.c_out].add(sum);
    }
    Ok(())
}
