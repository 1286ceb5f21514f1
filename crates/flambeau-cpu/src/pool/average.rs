//! Average pooling.

use super::rows::{PaddedRows, WIDE, put, taken};
use super::{PoolElement, PoolShape, RowTap, along, along_mut, check};
use crate::wide::{Body, wide};
use flambeau_core::{Result, ensure};

/// The windows of averages by rows of outputs.
struct Averages<'a> {
    s: &'a PoolShape,
    taps: Vec<RowTap>,
    /// For each output of a row the part of its divisor that goes with the last dimension; 0 for an empty window.
    widths: Vec<usize>,
    count_include_pad: bool,
    divisor_override: Option<i64>,
}

impl<'a> Averages<'a> {
    fn new(s: &'a PoolShape, count_include_pad: bool, divisor_override: Option<i64>) -> Self {
        let mut all =
            Averages { s, taps: s.row_taps(), widths: Vec::new(), count_include_pad, divisor_override };
        all.widths = (0..s.output[2]).map(|o| all.along(2, o).1).collect();
        all
    }

    /// Along a dimension the clipped window, and the length that counts for the divisor; 0 for an empty window.
    #[inline(always)]
    fn along(&self, d: usize, o: usize) -> ((usize, usize), usize) {
        let s = self.s;
        let start = o * s.stride[d];
        let end = (start + s.kernel[d]).min(s.input[d] + 2 * s.padding[d]);
        let low = start.max(s.padding[d]).min(s.input[d] + s.padding[d]);
        let high = end.min(s.input[d] + s.padding[d]).max(low);
        let counted = match self.count_include_pad {
            true if high > low => end - start.min(end),
            _ => high - low,
        };
        ((low - s.padding[d], high - low), counted)
    }

    /// For each row of outputs of a plane the clipped windows and the elements that count, along the first two dimensions.
    fn rows(&self) -> Vec<([(usize, usize); 2], usize)> {
        let [depth, height, _] = self.s.output;
        let all = (0..depth).flat_map(|od| (0..height).map(move |oh| (od, oh)));
        all.map(|(od, oh)| {
            let ((d, counted_d), (h, counted_h)) = (self.along(0, od), self.along(1, oh));
            ([d, h], counted_d * counted_h)
        })
        .collect()
    }

    /// The quotient of what belongs to an output; 0 for an empty window.
    #[inline(always)]
    fn divide<T: PoolElement>(&self, x: T, counted: usize) -> T {
        match (counted, self.divisor_override) {
            (0, _) => T::ZERO,
            (_, Some(divisor)) => x.divide(divisor),
            (n, None) => x.divide(n as i64),
        }
    }
}

/// The mean of each window: its sum divided by `divisor_override`, else by the number of elements it covers, padding
/// included (but not what `ceil_mode` adds beyond it) when `count_include_pad`. Dilation must be 1.
pub fn avg_pool<T: PoolElement>(
    s: &PoolShape,
    input: &[T],
    count_include_pad: bool,
    divisor_override: Option<i64>,
    out: &mut [T],
) -> Result<()> {
    check_average(s, divisor_override, input.len(), out.len())?;
    let windows = &Averages::new(s, count_include_pad, divisor_override);
    match PaddedRows::new(s) {
        Some(rows) => wide(InRegisters { windows, rows, input, out }),
        None => wide(Forward { windows, input, out }),
    }
    Ok(())
}

/// Windows next to each other in registers.
struct InRegisters<'a, T> {
    windows: &'a Averages<'a>,
    rows: PaddedRows,
    input: &'a [T],
    out: &'a mut [T],
}
impl<T: PoolElement> Body for InRegisters<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        // Strides are constants.
        match self.windows.s.stride[2] {
            1 => self.strided::<1>(),
            2 => self.strided::<2>(),
            3 => self.strided::<3>(),
            _ => self.strided::<4>(),
        }
    }
}
impl<T: PoolElement> InRegisters<'_, T> {
    #[inline(always)]
    fn strided<const STRIDE: usize>(self) {
        let InRegisters { windows, rows, input, out } = self;
        let s = windows.s;
        let (plane, [_, height, _], [.., length]) = (s.input_plane(), s.input, s.output);
        let [.., kernel] = s.kernel;
        let mut widths: Vec<i64> = windows.widths.iter().map(|&w| w as i64).collect();
        widths.resize(length.next_multiple_of(WIDE), 0);
        let (windows_of_rows, mut copy, mut at) = (windows.rows(), Vec::new(), 0);
        for p in 0..s.planes {
            let image = &input[p * plane..];
            let (image, apart) = rows.of(s, image, T::ZERO, &mut copy);
            for &([d, h], counted) in &windows_of_rows {
                for o in (0..length).step_by(WIDE) {
                    let mut sums = [T::ZERO; WIDE];
                    for z in d.0..d.0 + d.1 {
                        for y in h.0..h.0 + h.1 {
                            for k in 0..kernel {
                                let x =
                                    taken::<T, STRIDE>(&image[(z * height + y) * apart + o * STRIDE + k..]);
                                for l in 0..WIDE {
                                    sums[l] = sums[l].add(x[l]);
                                }
                            }
                        }
                    }
                    let widths = &widths[o..o + WIDE];
                    for l in 0..WIDE {
                        let n = counted as i64 * widths[l];
                        let mean = sums[l].divide(windows.divisor_override.unwrap_or(n.max(1)));
                        sums[l] = if n == 0 { T::ZERO } else { mean };
                    }
                    put(&mut out[at + o..], sums, WIDE.min(length - o));
                }
                at += length;
            }
        }
    }
}

struct Forward<'a, T> {
    windows: &'a Averages<'a>,
    input: &'a [T],
    out: &'a mut [T],
}
impl<T: PoolElement> Body for Forward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Forward { windows, input, out } = self;
        let s = windows.s;
        let mut nothing = vec![(); s.output[2]];
        let rows = windows.rows();
        let planes =
            input.chunks_exact(s.input_plane().max(1)).zip(out.chunks_exact_mut(s.output_plane().max(1)));
        for (input, out) in planes {
            for (&([d, h], counted), out) in rows.iter().zip(out.chunks_exact_mut(s.output[2])) {
                out.fill(T::ZERO);
                for z in d.0..d.0 + d.1 {
                    for y in h.0..h.0 + h.1 {
                        let row = &input[(z * s.input[1] + y) * s.input[2]..][..s.input[2]];
                        for tap in &windows.taps {
                            let sums = (&mut out[tap.outputs.clone()], &mut nothing[tap.outputs.clone()]);
                            along(sums, row, tap.start, s.stride[2], |sum, (), x| *sum = sum.add(x));
                        }
                    }
                }
                for (o, &w) in out.iter_mut().zip(&windows.widths) {
                    *o = windows.divide(*o, counted * w);
                }
            }
        }
    }
}

/// The gradient of [`avg_pool`]; all of `out` is written.
pub fn avg_pool_backward<T: PoolElement>(
    s: &PoolShape,
    grad: &[T],
    count_include_pad: bool,
    divisor_override: Option<i64>,
    out: &mut [T],
) -> Result<()> {
    check_average(s, divisor_override, out.len(), grad.len())?;
    out.fill(T::ZERO);
    wide(Backward { windows: &Averages::new(s, count_include_pad, divisor_override), grad, out });
    Ok(())
}

struct Backward<'a, T> {
    windows: &'a Averages<'a>,
    grad: &'a [T],
    out: &'a mut [T],
}
impl<T: PoolElement> Body for Backward<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Backward { windows, grad, out } = self;
        let s = windows.s;
        let mut shares = vec![T::ZERO; s.output[2]];
        let rows = windows.rows();
        let planes =
            out.chunks_exact_mut(s.input_plane().max(1)).zip(grad.chunks_exact(s.output_plane().max(1)));
        for (out, grad) in planes {
            for (&([d, h], counted), grad) in rows.iter().zip(grad.chunks_exact(s.output[2])) {
                for ((share, &g), &w) in shares.iter_mut().zip(grad).zip(&windows.widths) {
                    *share = windows.divide(g, counted * w);
                }
                for z in d.0..d.0 + d.1 {
                    for y in h.0..h.0 + h.1 {
                        let row = &mut out[(z * s.input[1] + y) * s.input[2]..][..s.input[2]];
                        // The last tap first: shares of an element then come in the order of the outputs.
                        for tap in windows.taps.iter().rev() {
                            let shares = &shares[tap.outputs.clone()];
                            along_mut(shares, row, tap.start, s.stride[2], |x, share| *x = x.add(share));
                        }
                    }
                }
            }
        }
    }
}

fn check_average(s: &PoolShape, divisor: Option<i64>, input: usize, output: usize) -> Result<()> {
    ensure!(divisor != Some(0), "divisor must be not zero");
    ensure!(s.dilation == [1; 3], "avg_pool: dilation is not supported");
    check("avg_pool", &[(input, s.planes * s.input_plane()), (output, s.planes * s.output_plane())])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Means and their gradients, window by window.
    #[test]
    fn as_defined() {
        for (input, kernel, stride, padding) in [
            ([4, 9, 28], [1, 2, 2], [1, 2, 2], [0; 3]),
            ([1, 7, 33], [1, 3, 3], [1, 1, 1], [0, 1, 1]),
            ([3, 8, 20], [2, 3, 5], [2, 3, 3], [1, 1, 2]),
            ([1, 5, 6], [1, 5, 9], [1, 1, 2], [0, 2, 4]),
        ] {
            for (ceil, include, divisor) in
                [(false, false, None), (false, true, Some(3)), (true, false, Some(3)), (true, true, None)]
            {
                let s = PoolShape::new(2, &input, &kernel, &stride, &padding, &[1; 3], ceil).unwrap();
                let (n, m) = (2 * s.input_plane(), 2 * s.output_plane());
                let x: Vec<f32> = (0..n).map(|i| (i * 7919 % 23) as f32 / 7.0).collect();
                let g: Vec<f32> = (0..m).map(|i| (i * 7919 % 29) as f32 / 7.0).collect();
                let (mut out, mut back) = (vec![9f32; m], vec![9f32; n]);
                avg_pool(&s, &x, include, divisor, &mut out).unwrap();
                avg_pool_backward(&s, &g, include, divisor, &mut back).unwrap();
                let (mut means, mut shares) = (vec![0f32; m], vec![0f32; n]);
                for at in 0..m {
                    let (p, at_plane) = (at / s.output_plane(), at % s.output_plane());
                    let [_, height, width] = s.output;
                    let o = [at_plane / width / height, at_plane / width % height, at_plane % width];
                    let start: [usize; 3] = std::array::from_fn(|d| o[d] * s.stride[d]);
                    let end: [usize; 3] =
                        std::array::from_fn(|d| (start[d] + s.kernel[d]).min(s.input[d] + 2 * s.padding[d]));
                    let inside = |d: usize| {
                        (start[d]..end[d])
                            .filter_map(move |i| i.checked_sub(s.padding[d]).filter(|&i| i < s.input[d]))
                    };
                    let counted: usize =
                        (0..3).map(|d| if include { end[d] - start[d] } else { inside(d).count() }).product();
                    let by = divisor.unwrap_or(counted as i64) as f32;
                    let mut sum = 0f32;
                    for z in inside(0) {
                        for y in inside(1) {
                            for c in inside(2) {
                                let i = p * s.input_plane() + (z * s.input[1] + y) * s.input[2] + c;
                                sum += x[i];
                                shares[i] += g[at] / by;
                            }
                        }
                    }
                    means[at] = sum / by;
                }
                assert_eq!((out, back), (means, shares), "{s:?}");
            }
        }
    }
}
