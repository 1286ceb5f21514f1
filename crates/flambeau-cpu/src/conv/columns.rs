//! Unrolling of windows into columns, and its transpose.

use super::ConvShape;
use crate::gemm::GemmElement;

/// A run of one output row at one kernel tap: where its valid part starts, ends, and reads from.
pub(super) struct Run {
    pub low: usize,
    pub high: usize,
    /// Input position of output position `low`.
    pub from: usize,
}

impl ConvShape {
    /// Input coordinate along `d` of output coordinate `o` at tap `k`, if inside the input.
    #[inline(always)]
    pub(super) fn coordinate(&self, d: usize, o: usize, k: usize) -> Option<usize> {
        let at = (o * self.stride[d] + k * self.dilation[d]).checked_sub(self.padding[d])?;
        (at < self.input[d]).then_some(at)
    }

    /// The output columns whose input column at tap `k` lies inside the input.
    #[inline(always)]
    pub(super) fn run(&self, k: usize) -> Run {
        let (stride, shift) = (self.stride[2], k * self.dilation[2]);
        let low = self.padding[2].saturating_sub(shift).div_ceil(stride).min(self.output[2]);
        // The largest output column o with o * stride + shift - padding < input.
        let room = (self.input[2] + self.padding[2]).saturating_sub(shift);
        let high = room.div_ceil(stride).min(self.output[2]).max(low);
        Run { low, high, from: (low * stride + shift).saturating_sub(self.padding[2]) }
    }

    /// Calls `visit(tap, depth, row)` for each row of the unrolled matrix of `channels` channels with the kernel
    /// coordinates of its tap.
    fn taps(&self, channels: usize, mut visit: impl FnMut(usize, usize, [usize; 3])) {
        let [kd, kh, kw] = self.kernel;
        let mut line = 0;
        for c in 0..channels {
            for z in 0..kd {
                for y in 0..kh {
                    for x in 0..kw {
                        visit(line, c, [z, y, x]);
                        line += 1;
                    }
                }
            }
        }
    }
}

/// Writes the windows of output rows `rows` (of the `output[0] * output[1]` rows) of `channels` planes of one image
/// to `columns`: one line for each channel and tap, one column for each output position.
pub(super) fn im2col<T: GemmElement>(
    s: &ConvShape,
    channels: usize,
    image: &[T],
    rows: std::ops::Range<usize>,
    columns: &mut [T],
) {
    let (plane, width, wide) = (s.input_plane(), s.output[2], rows.len() * s.output[2]);
    s.taps(channels, |line, c, [z, y, x]| {
        let run = s.run(x);
        let line = &mut columns[line * wide..(line + 1) * wide];
        for (out, r) in line.chunks_exact_mut(width).zip(rows.clone()) {
            let (depth, row) = (r / s.output[1], r % s.output[1]);
            let (Some(d), Some(h)) = (s.coordinate(0, depth, z), s.coordinate(1, row, y)) else {
                out.fill(T::ZERO);
                continue;
            };
            let source = &image[c * plane + (d * s.input[1] + h) * s.input[2]..][..s.input[2]];
            out[..run.low].fill(T::ZERO);
            out[run.high..].fill(T::ZERO);
            let valid = &mut out[run.low..run.high];
            if valid.is_empty() {
                continue;
            }
            if s.stride[2] == 1 {
                valid.copy_from_slice(&source[run.from..run.from + valid.len()]);
            } else {
                for (o, x) in valid.iter_mut().zip(source[run.from..].iter().step_by(s.stride[2])) {
                    *o = *x;
                }
            }
        }
    });
}

/// Adds columns back to the image they came from: the transpose of [`im2col`].
pub(super) fn col2im<T: GemmElement>(
    s: &ConvShape,
    channels: usize,
    columns: &[T],
    rows: std::ops::Range<usize>,
    image: &mut [T],
) {
    let (plane, width, wide) = (s.input_plane(), s.output[2], rows.len() * s.output[2]);
    s.taps(channels, |line, c, [z, y, x]| {
        let run = s.run(x);
        let line = &columns[line * wide..(line + 1) * wide];
        for (from, r) in line.chunks_exact(width).zip(rows.clone()) {
            let (depth, row) = (r / s.output[1], r % s.output[1]);
            let (Some(d), Some(h)) = (s.coordinate(0, depth, z), s.coordinate(1, row, y)) else { continue };
            let target = &mut image[c * plane + (d * s.input[1] + h) * s.input[2]..][..s.input[2]];
            let valid = &from[run.low..run.high];
            if valid.is_empty() {
                continue;
            }
            let target = target[run.from..].iter_mut().step_by(s.stride[2]);
            for (t, &x) in target.zip(valid) {
                *t = t.add(x);
            }
        }
    });
}
