//! Sampling of images and volumes at given positions.
//!
//! Images are (batch, channels, spatial…), positions (batch, points, dims) with the last spatial dimension first and
//! coordinates in [-1, 1]. The weight of a neighbour is a product of one factor for each dimension, so that all
//! derivatives come from the factors' own.

mod block;
mod line;

pub use block::Real;
pub use line::{Interpolation, Padding};

use crate::gemm::size_product;
use crate::wide::wide;
use flambeau_core::parallel::each;
use flambeau_core::{Result, ensure};
use line::Line;
use num_traits::Float;

/// Neighbours that are worth a thread.
const GRAIN: usize = 1 << 15;

/// Sizes and ways of a sampling; missing leading spatial dimensions are of size 1.
#[derive(Clone, Copy, Debug)]
pub struct GridShape {
    pub batch: usize,
    pub channels: usize,
    /// Spatial dimensions that there are: 2 or 3.
    pub dims: usize,
    pub input: [usize; 3],
    /// Positions of one batch entry.
    pub points: usize,
    pub interpolation: Interpolation,
    pub padding: Padding,
    pub align_corners: bool,
}

/// A neighbour of a position: its place in the plane, the derivatives of its weight by each dimension from the
/// last on, and the second ones.
struct Tap<F> {
    at: usize,
    weight: F,
    first: [F; 3],
    second: [[F; 3]; 3],
}

impl GridShape {
    fn plane(&self) -> usize {
        self.input.iter().product()
    }
    /// Fails where the sizes overflow or the buffers do not fit them.
    fn check(&self, input: usize, grid: usize, output: usize) -> Result<()> {
        let [d, h, w] = self.input;
        let fits = input == size_product(&[self.batch, self.channels, d, h, w])?
            && grid == size_product(&[self.batch, self.points, self.dims])?
            && output == size_product(&[self.batch, self.channels, self.points])?;
        ensure!(fits && (2..=3).contains(&self.dims), "grid_sampler: buffers don't match the sizes");
        Ok(())
    }
    /// Whether planes are of a size that tables of places hold.
    fn has_blocks(&self) -> bool {
        (1..=i32::MAX as usize).contains(&self.plane())
    }
    /// Batch entries that are worth a thread.
    fn together(&self) -> usize {
        GRAIN.div_ceil(self.channels.saturating_mul(self.points).saturating_mul(4).max(1))
    }
    /// Calls `visit` for each neighbour inside the image of a position, with derivatives up to an order (zeros beyond).
    fn taps<const ORDER: usize, F: Float>(&self, position: &[F], mut visit: impl FnMut(Tap<F>)) {
        let line = |d: usize| Line::new(position[d], self.input[2 - d], self);
        let (x, y) = (line(0), line(1));
        let z = if self.dims == 3 { line(2) } else { Line::single() };
        for (k, place) in z.places() {
            for (j, row) in y.places() {
                for (i, column) in x.places() {
                    let lines = [(&x, i), (&y, j), (&z, k)];
                    // The product of the factors, each derived so often.
                    let product = |orders: [usize; 3]| {
                        (0..3).fold(F::one(), |p, d| p * lines[d].0.factors[lines[d].1][orders[d]])
                    };
                    let unit = |d: usize| std::array::from_fn(|e| (e == d) as usize);
                    let mut tap = Tap {
                        at: (place * self.input[1] + row) * self.input[2] + column,
                        weight: product([0; 3]),
                        first: [F::zero(); 3],
                        second: [[F::zero(); 3]; 3],
                    };
                    if ORDER > 0 {
                        tap.first = std::array::from_fn(|d| product(unit(d)));
                    }
                    if ORDER > 1 {
                        tap.second = std::array::from_fn(|d| {
                            std::array::from_fn(|e| {
                                let (a, b): ([usize; 3], [usize; 3]) = (unit(d), unit(e));
                                product(std::array::from_fn(|i| a[i] + b[i]))
                            })
                        });
                    }
                    visit(tap);
                }
            }
        }
    }
    fn each_point(&self, mut visit: impl FnMut(usize, usize)) {
        for n in 0..self.batch {
            for p in 0..self.points {
                visit(n, p);
            }
        }
    }
}

/// Samples `input` at `grid`; writes all of `out` (batch, channels, points).
pub fn sample<F: Real>(s: &GridShape, input: &[F], grid: &[F], out: &mut [F]) -> Result<()> {
    s.check(input.len(), grid.len(), out.len())?;
    if out.is_empty() || !s.has_blocks() {
        sample_each(s, input, grid, out);
        return Ok(());
    }
    let parts = out.chunks_mut(s.channels * s.points).enumerate();
    each(parts, s.together(), |(n, out)| {
        let input = &input[n * s.channels * s.plane()..][..s.channels * s.plane()];
        let grid = &grid[n * s.points * s.dims..][..s.points * s.dims];
        wide(block::Forward { s, input, grid, out });
        Ok(())
    })
}

/// [`sample`] position by position.
fn sample_each<F: Real>(s: &GridShape, input: &[F], grid: &[F], out: &mut [F]) {
    let (plane, dims) = (s.plane(), s.dims);
    out.fill(F::zero());
    s.each_point(|n, p| {
        let position = &grid[(n * s.points + p) * dims..][..dims];
        s.taps::<0, F>(position, |tap| {
            for c in n * s.channels..(n + 1) * s.channels {
                let to = &mut out[c * s.points + p];
                *to = *to + input[c * plane + tap.at] * tap.weight;
            }
        });
    });
}

/// The gradients of [`sample`] by the input and by the grid; all of both is written.
pub fn sample_backward<F: Real>(
    s: &GridShape,
    grad: &[F],
    input: &[F],
    grid: &[F],
    grad_input: &mut [F],
    grad_grid: &mut [F],
) -> Result<()> {
    s.check(input.len(), grid.len(), grad.len())?;
    s.check(grad_input.len(), grad_grid.len(), grad.len())?;
    grad_input.fill(F::zero());
    if grad.is_empty() || !s.has_blocks() {
        backward_each(s, [grad, input, grid], grad_input, grad_grid);
        return Ok(());
    }
    let (pixels, places) = (s.channels * s.plane(), s.points * s.dims);
    let parts = grad_input.chunks_mut(pixels).zip(grad_grid.chunks_mut(places)).enumerate();
    each(parts, s.together(), |(n, (grad_input, grad_grid))| {
        let grad = &grad[n * s.channels * s.points..][..s.channels * s.points];
        let (input, grid) = (&input[n * pixels..][..pixels], &grid[n * places..][..places]);
        wide(block::Backward { s, grad, input, grid, grad_input, grad_grid });
        Ok(())
    })
}

/// [`sample_backward`] position by position; `grad_input` starts as zeros.
fn backward_each<F: Real>(
    s: &GridShape,
    [grad, input, grid]: [&[F]; 3],
    grad_input: &mut [F],
    grad_grid: &mut [F],
) {
    let (plane, dims) = (s.plane(), s.dims);
    grad_grid.fill(F::zero());
    s.each_point(|n, p| {
        let start = (n * s.points + p) * dims;
        s.taps::<1, F>(&grid[start..start + dims], |tap| {
            let mut sum = F::zero();
            for c in n * s.channels..(n + 1) * s.channels {
                let (g, at) = (grad[c * s.points + p], c * plane + tap.at);
                grad_input[at] = grad_input[at] + g * tap.weight;
                sum = sum + g * input[at];
            }
            for (to, &slope) in grad_grid[start..start + dims].iter_mut().zip(&tap.first) {
                *to = *to + sum * slope;
            }
        });
    });
}

/// The gradients of [`sample_backward`]'s results, whose own gradients are `of_input` and `of_grid`: by the output's
/// gradient, the input and the grid. All of the three is written.
pub fn sample_backward_backward<F: Real>(
    s: &GridShape,
    [of_input, of_grid]: [&[F]; 2],
    [grad, input, grid]: [&[F]; 3],
    [to_grad, to_input, to_grid]: [&mut [F]; 3],
) -> Result<()> {
    s.check(input.len(), grid.len(), grad.len())?;
    s.check(of_input.len(), of_grid.len(), to_grad.len())?;
    s.check(to_input.len(), to_grid.len(), to_grad.len())?;
    let (plane, dims) = (s.plane(), s.dims);
    for buffer in [&mut *to_grad, &mut *to_input, &mut *to_grid] {
        buffer.fill(F::zero());
    }
    s.each_point(|n, p| {
        let start = (n * s.points + p) * dims;
        let along = &of_grid[start..start + dims];
        s.taps::<2, F>(&grid[start..start + dims], |tap| {
            // The weight's derivative along the grid's cotangent, and that one's by each dimension.
            let slope = |row: &[F; 3]| along.iter().zip(row).fold(F::zero(), |sum, (&a, &w)| sum + a * w);
            let bend = slope(&tap.first);
            let (mut linear, mut curved) = (F::zero(), F::zero());
            for c in n * s.channels..(n + 1) * s.channels {
                let (point, at) = (c * s.points + p, c * plane + tap.at);
                let g = grad[point];
                to_grad[point] = to_grad[point] + of_input[at] * tap.weight + input[at] * bend;
                to_input[at] = to_input[at] + g * bend;
                linear = linear + g * of_input[at];
                curved = curved + g * input[at];
            }
            for (d, to) in to_grid[start..start + dims].iter_mut().enumerate() {
                *to = *to + linear * tap.first[d] + curved * slope(&tap.second[d]);
            }
        });
    });
    Ok(())
}

#[cfg(test)]
mod tests;
