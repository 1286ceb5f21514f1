//! Gradients of distances between all pairs of rows, without an array of all differences.

use crate::gemm::size_product;
use crate::wide::{Body, wide};
use flambeau_core::parallel::each;
use flambeau_core::{Element, Result, ensure};
use num_traits::Float;

/// Pairs whose differences are computed side by side.
const COLUMNS: usize = 64;
/// Differences that are worth a thread.
const GRAIN: usize = 1 << 15;

/// The orders that are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    One,
    Two,
}

/// Sizes of points: a batch of `rows[0]` and `rows[1]` points of `width` numbers.
#[derive(Clone, Copy, Debug)]
pub struct Pairs {
    pub batch: usize,
    pub rows: [usize; 2],
    pub width: usize,
}

/// The gradients by both arrays of points (batch, rows, width), from the distances and their gradients (batch, rows of the
/// first, rows of the second). All of both is written. At distance zero the gradient is zero. Fails where the buffers don't
/// match the sizes.
pub fn distances_backward<T: Float + Element>(
    pairs: &Pairs,
    order: Order,
    [grad, distances]: [&[T]; 2],
    points: [&[T]; 2],
    [to_left, to_right]: [&mut [T]; 2],
) -> Result<()> {
    let Pairs { batch, rows: [n, m], width } = *pairs;
    let (left, right) = (size_product(&[batch, n, width])?, size_product(&[batch, m, width])?);
    let all = size_product(&[batch, n, m])?;
    let fits = [grad.len(), distances.len()] == [all; 2]
        && [points[0].len(), to_left.len()] == [left; 2]
        && [points[1].len(), to_right.len()] == [right; 2];
    ensure!(fits, "distances: buffers don't match the sizes");
    to_left.fill(T::zero());
    to_right.fill(T::zero());
    if all == 0 || width == 0 {
        return Ok(());
    }
    let parts = to_left.chunks_mut(n * width).zip(to_right.chunks_mut(m * width));
    each(parts.enumerate(), GRAIN.div_ceil(n * m), |(i, (to_left, to_right))| {
        let pairs = i * n * m..(i + 1) * n * m;
        let tiles = m.div_ceil(COLUMNS);
        let mut part = Part {
            order,
            sizes: [n, m, width],
            grad: &grad[pairs.clone()],
            distances: &distances[pairs],
            left: &points[0][i * n * width..][..n * width],
            tiles: vec![[T::zero(); COLUMNS]; tiles * width],
            sums: vec![[T::zero(); COLUMNS]; tiles * width],
            to_left,
        };
        let right = &points[1][i * m * width..][..m * width];
        // What fills the last tile up repeats the last row, so that it brings no numbers of its own.
        for j in 0..tiles * COLUMNS {
            let row = &right[j.min(m - 1) * width..][..width];
            for (column, &x) in part.tiles[j / COLUMNS * width..].iter_mut().zip(row) {
                column[j % COLUMNS] = x;
            }
        }
        let sums = wide(part);
        for (j, row) in to_right.chunks_exact_mut(width).enumerate() {
            for (x, sums) in row.iter_mut().zip(&sums[j / COLUMNS * width..]) {
                *x = sums[j % COLUMNS];
            }
        }
        Ok(())
    })
}

/// One batch entry; the second points and their gradients lie in tiles of `COLUMNS` rows, number by number.
struct Part<'a, T> {
    order: Order,
    sizes: [usize; 3],
    grad: &'a [T],
    distances: &'a [T],
    left: &'a [T],
    tiles: Vec<[T; COLUMNS]>,
    sums: Vec<[T; COLUMNS]>,
    to_left: &'a mut [T],
}

impl<T: Float> Part<'_, T> {
    /// `factor` of a gradient and its distance, `term` of a difference.
    #[inline(always)]
    fn add(&mut self, factor: impl Fn(T, T) -> T, term: impl Fn(T) -> T) {
        let zero = T::zero();
        let [_, m, width] = self.sizes;
        let mut lanes = vec![[zero; COLUMNS]; width];
        let pairs = self.grad.chunks_exact(m).zip(self.distances.chunks_exact(m));
        let points = self.left.chunks_exact(width).zip(self.to_left.chunks_exact_mut(width));
        for ((grad, distances), (point, to)) in pairs.zip(points) {
            lanes.fill([zero; COLUMNS]);
            let tiles = self.tiles.chunks_exact(width).zip(self.sums.chunks_exact_mut(width));
            let pairs = grad.chunks(COLUMNS).zip(distances.chunks(COLUMNS));
            for ((grad, distances), (tile, sums)) in pairs.zip(tiles) {
                let (mut g, mut d) = ([zero; COLUMNS], [zero; COLUMNS]);
                g[..grad.len()].copy_from_slice(grad);
                d[..distances.len()].copy_from_slice(distances);
                let factors: [T; COLUMNS] = std::array::from_fn(|c| factor(g[c], d[c]));
                let along = tile.iter().zip(sums).zip(&mut lanes);
                for (((tile, sums), lane), &a) in along.zip(point) {
                    for c in 0..COLUMNS {
                        let x = factors[c] * term(a - tile[c]);
                        lane[c] = lane[c] + x;
                        sums[c] = sums[c] - x;
                    }
                }
            }
            for (to, lane) in to.iter_mut().zip(&lanes) {
                let mut lane = *lane;
                for half in [32, 16, 8, 4, 2, 1] {
                    for c in 0..half {
                        lane[c] = lane[c] + lane[c + half];
                    }
                }
                *to = lane[0];
            }
        }
    }
}

impl<T: Float> Body for Part<'_, T> {
    /// The gradients by the second points.
    type Output = Vec<[T; COLUMNS]>;
    #[inline(always)]
    fn run(mut self) -> Self::Output {
        let (zero, one) = (T::zero(), T::one());
        match self.order {
            Order::Two => self.add(|g, d| if d == zero { zero * g } else { g / d }, |x| x),
            // Zero and NaN are their own signs.
            Order::One => self.add(
                |g, _| g,
                |x| {
                    if x > zero {
                        one
                    } else if x < zero {
                        -one
                    } else {
                        x
                    }
                },
            ),
        }
        self.sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_pair_by_pair() {
        for (batch, n, m, width) in [(1, 1, 1, 1), (2, 3, 16, 4), (2, 5, 137, 9), (1, 4, 0, 2), (1, 2, 3, 0)]
        {
            let number = |i: usize| (i * 7919 % 1013) as f64 / 300.0 - 1.7;
            let left: Vec<f64> = (0..batch * n * width).map(|i| number(i + 11)).collect();
            let mut right: Vec<f64> = (0..batch * m * width).map(number).collect();
            // A pair at distance zero.
            let same = left.len().min(right.len()).min(width);
            right[..same].copy_from_slice(&left[..same]);
            let grad: Vec<f64> = (0..batch * n * m).map(|i| number(i + 5)).collect();
            for order in [Order::One, Order::Two] {
                let mut distances = vec![0.0; grad.len()];
                let mut wanted = [vec![0.0; left.len()], vec![0.0; right.len()]];
                for at in 0..grad.len() {
                    let (i, j) = (at / m, at / (n * m) * m + at % m);
                    let difference = |k: usize| left[i * width + k] - right[j * width + k];
                    distances[at] = match order {
                        Order::One => (0..width).map(|k| difference(k).abs()).sum(),
                        Order::Two => (0..width).map(|k| difference(k).powi(2)).sum::<f64>().sqrt(),
                    };
                    for k in 0..width {
                        let slope = match order {
                            _ if difference(k) == 0.0 => 0.0,
                            Order::One => difference(k).signum(),
                            Order::Two => difference(k) / distances[at],
                        };
                        wanted[0][i * width + k] += grad[at] * slope;
                        wanted[1][j * width + k] -= grad[at] * slope;
                    }
                }
                let pairs = Pairs { batch, rows: [n, m], width };
                let (mut a, mut b) = (vec![9.0; left.len()], vec![9.0; right.len()]);
                distances_backward(&pairs, order, [&grad, &distances], [&left, &right], [&mut a, &mut b])
                    .unwrap();
                for (x, wanted) in a.iter().chain(&b).zip(wanted.concat()) {
                    assert!((x - wanted).abs() < 1e-12, "{n} {m} {width} {order:?}");
                }
            }
        }
        let pairs = Pairs { batch: 1, rows: [2, 2], width: 1 };
        let short = [0f32; 3];
        let run = distances_backward(
            &pairs,
            Order::Two,
            [&short, &short],
            [&[0.0; 2], &[0.0; 2]],
            [&mut [0.0; 2], &mut [0.0; 2]],
        );
        assert!(run.is_err());
    }
}
