//! Scaled dot-product attention by blocks of queries, without the matrix of all weights, and its gradients.
//! (Dao et al., 2022, for the backward from the logarithms of the sums.)

use crate::gemm::{GemmElement, gemm, size_product};
use crate::pointwise::Compute;
use crate::reduce::{exp_in_place, exp_kernel};
use crate::wide::wide;
use flambeau_core::buffer;
use flambeau_core::{Result, ensure};
use num_traits::Float;

/// Queries that are worked on together.
const BLOCK: usize = 64;

/// Elements that attention is computed in; halves as `f32`.
pub trait Real: Float + Compute + GemmElement {}
impl Real for f32 {}
impl Real for f64 {}

/// Sizes: queries (batch, targets, width), keys (batch, sources, width), values (batch, sources, depth).
#[derive(Clone, Debug)]
pub struct Attention {
    pub batch: usize,
    pub targets: usize,
    pub sources: usize,
    pub width: usize,
    pub depth: usize,
    pub scale: f64,
    /// Whether a query sees only the keys up to its own place.
    pub causal: bool,
    /// Where each entry's (targets, sources) matrix starts in the mask; empty without a mask.
    pub mask_starts: Vec<usize>,
}

fn number<F: Float>(x: f64) -> F {
    F::from(x).unwrap_or_else(F::nan)
}

impl Attention {
    fn check(&self, query: usize, key: usize, value: usize, out: usize, mask: usize) -> Result<()> {
        let (n, t, s) = (self.batch, self.targets, self.sources);
        let last = self.mask_starts.iter().max();
        let reach = size_product(&[t, s])?;
        let fits = query == size_product(&[n, t, self.width])?
            && key == size_product(&[n, s, self.width])?
            && value == size_product(&[n, s, self.depth])?
            && out == size_product(&[n, t, self.depth])?
            && (self.mask_starts.is_empty() || self.mask_starts.len() == n)
            && last.is_none_or(|&start| start.checked_add(reach).is_some_and(|end| end <= mask));
        ensure!(fits, "attention: buffers don't match the sizes");
        Ok(())
    }

    /// Calls `visit(entry, first query, queries, keys that any of them sees)` for each block.
    fn blocks(&self, mut visit: impl FnMut(usize, usize, usize, usize) -> Result<()>) -> Result<()> {
        for b in 0..self.batch {
            for first in (0..self.targets).step_by(BLOCK) {
                let rows = BLOCK.min(self.targets - first);
                let keys = if self.causal { self.sources.min(first + rows) } else { self.sources };
                visit(b, first, rows, keys)?;
            }
        }
        Ok(())
    }

    /// Writes the masked scores of a block, row after row of `keys`.
    fn scores<T: Real>(
        &self,
        [b, first, rows, keys]: [usize; 4],
        query: &[T],
        key: &[T],
        mask: &[T],
        scores: &mut [T],
    ) -> Result<()> {
        let e = self.width;
        let query = &query[(b * self.targets + first) * e..][..rows * e];
        let key = &key[b * self.sources * e..][..keys * e];
        gemm(rows, keys, e, number(self.scale), query, e, 1, key, 1, e, T::ZERO, scores, keys, 1)?;
        for (i, row) in scores.chunks_exact_mut(keys.max(1)).take(rows).enumerate() {
            if let Some(start) = self.mask_starts.get(b) {
                let mask = &mask[start + (first + i) * self.sources..][..keys];
                row.iter_mut().zip(mask).for_each(|(x, &m)| *x = *x + m);
            }
            if self.causal && first + i + 1 < keys {
                row[first + i + 1..].fill(T::neg_infinity());
            }
        }
        Ok(())
    }
}

#[inline(always)]
fn largest<T: Float>(row: &[T]) -> T {
    let mut lanes = [T::neg_infinity(); 8];
    let chunks = row.chunks_exact(8);
    let mut top = chunks.remainder().iter().fold(T::neg_infinity(), |m, &x| if x > m { x } else { m });
    for chunk in chunks {
        lanes.iter_mut().zip(chunk).for_each(|(m, &x)| *m = if x > *m { x } else { *m });
    }
    for lane in lanes {
        top = if lane > top { lane } else { top };
    }
    top
}

/// The sum of what `term` makes of two equally long rows, in eight lanes.
#[inline(always)]
fn total<T: Float>(a: &[T], b: &[T], term: impl Fn(T, T) -> T) -> T {
    let mut lanes = [T::zero(); 8];
    let (left, right) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest = left.remainder().iter().zip(right.remainder());
    let rest = rest.fold(T::zero(), |sum, (&x, &y)| sum + term(x, y));
    for (x, y) in left.zip(right) {
        for i in 0..8 {
            lanes[i] = lanes[i] + term(x[i], y[i]);
        }
    }
    lanes.iter().fold(rest, |sum, &x| sum + x)
}

/// `softmax(scale * query @ key.T + mask) @ value`, and the logarithm of each query's sum of exponentials for
/// [`backward`]. A query that sees no key gets zeros.
pub fn forward<T: Real>(
    s: &Attention,
    [query, key, value, mask]: [&[T]; 4],
    out: &mut [T],
    sums: &mut [T],
) -> Result<()> {
    s.check(query.len(), key.len(), value.len(), out.len(), mask.len())?;
    ensure!(sums.len() == s.batch * s.targets, "attention: buffers don't match the sizes");
    let exp = exp_kernel::<T>()?;
    let mut weights: Vec<T> = buffer(BLOCK.min(s.targets).saturating_mul(s.sources))?;
    out.fill(T::ZERO);
    sums.fill(T::infinity());
    s.blocks(|b, first, rows, keys| {
        if keys == 0 {
            return Ok(());
        }
        let weights = &mut weights[..rows * keys];
        s.scores([b, first, rows, keys], query, key, mask, weights)?;
        for (i, row) in weights.chunks_exact_mut(keys).enumerate() {
            let top = wide(|| {
                let top = largest(row);
                let shift = if top == T::neg_infinity() { T::ZERO } else { top };
                row.iter_mut().for_each(|x| *x = *x - shift);
                top
            });
            exp_in_place(exp, row);
            let sum = wide(|| {
                let sum = total(row, row, |x, _| x);
                let by = if sum == T::ZERO { T::ZERO } else { T::ONE / sum };
                row.iter_mut().for_each(|x| *x = *x * by);
                sum
            });
            if sum != T::ZERO {
                sums[b * s.targets + first + i] = top + sum.ln();
            }
        }
        let value = &value[b * s.sources * s.depth..][..keys * s.depth];
        let out = &mut out[(b * s.targets + first) * s.depth..][..rows * s.depth];
        let d = s.depth;
        gemm(rows, d, keys, T::ONE, weights, keys, 1, value, d, 1, T::ZERO, out, d, 1)
    })
}

/// The gradients of [`forward`] by query, key and value, given its results. All of the three is written.
pub fn backward<T: Real>(
    s: &Attention,
    [query, key, value, mask]: [&[T]; 4],
    [grad, out, sums]: [&[T]; 3],
    [by_query, by_key, by_value]: [&mut [T]; 3],
) -> Result<()> {
    s.check(query.len(), key.len(), value.len(), out.len(), mask.len())?;
    s.check(by_query.len(), by_key.len(), by_value.len(), grad.len(), mask.len())?;
    ensure!(sums.len() == s.batch * s.targets, "attention: buffers don't match the sizes");
    let exp = exp_kernel::<T>()?;
    let mut weights: Vec<T> = buffer(BLOCK.min(s.targets).saturating_mul(s.sources))?;
    let mut slopes: Vec<T> = buffer(weights.len())?;
    let scale = number::<T>(s.scale);
    let (e, d) = (s.width, s.depth);
    for buffer in [&mut *by_query, &mut *by_key, &mut *by_value] {
        buffer.fill(T::ZERO);
    }
    s.blocks(|b, first, rows, keys| {
        if keys == 0 {
            return Ok(());
        }
        let (weights, slopes) = (&mut weights[..rows * keys], &mut slopes[..rows * keys]);
        s.scores([b, first, rows, keys], query, key, mask, weights)?;
        let at = b * s.targets + first;
        for (row, &sum) in weights.chunks_exact_mut(keys).zip(&sums[at..]) {
            wide(|| row.iter_mut().for_each(|x| *x = *x - sum));
            exp_in_place(exp, row);
        }
        let grad = &grad[at * d..][..rows * d];
        let keyed = |width: usize| b * s.sources * width..(b * s.sources + keys) * width;
        gemm(keys, d, rows, T::ONE, weights, 1, keys, grad, d, 1, T::ONE, &mut by_value[keyed(d)], d, 1)?;
        gemm(rows, keys, d, T::ONE, grad, d, 1, &value[keyed(d)], 1, d, T::ZERO, slopes, keys, 1)?;
        let rowwise = slopes.chunks_exact_mut(keys).zip(weights.chunks_exact(keys));
        for ((slopes, weights), i) in rowwise.zip(0..) {
            let (grad, out) = (&grad[i * d..][..d], &out[(at + i) * d..][..d]);
            wide(|| {
                let mean = total(grad, out, |g, y| g * y);
                slopes.iter_mut().zip(weights).for_each(|(x, &w)| *x = w * (*x - mean));
            });
        }
        let query = &query[at * e..][..rows * e];
        let by_query = &mut by_query[at * e..][..rows * e];
        gemm(rows, e, keys, scale, slopes, keys, 1, &key[keyed(e)], e, 1, T::ZERO, by_query, e, 1)?;
        gemm(keys, e, rows, scale, slopes, 1, keys, query, e, 1, T::ONE, &mut by_key[keyed(e)], e, 1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(count: usize, step: usize) -> Vec<f64> {
        (0..count).map(|i| ((i * step + 3) % 97) as f64 / 48.0 - 1.0).collect()
    }

    /// Gradients against differences, with more queries than one block and a mask.
    #[test]
    fn gradients() {
        for causal in [false, true] {
            let s = Attention {
                batch: 2,
                targets: 70,
                sources: 67,
                width: 3,
                depth: 2,
                scale: 0.8,
                causal,
                mask_starts: if causal { vec![] } else { vec![0, 0] },
            };
            let (q, k, v) = (numbers(420, 31), numbers(402, 17), numbers(268, 7));
            let mut mask = numbers(70 * 67, 13);
            mask[..67].fill(f64::NEG_INFINITY);
            let grad = numbers(280, 5);
            let value = |q: &[f64], k: &[f64], v: &[f64]| {
                let (mut out, mut sums) = (vec![9.0; 280], vec![9.0; 140]);
                forward(&s, [q, k, v, &mask], &mut out, &mut sums).unwrap();
                let total = out.iter().zip(&grad).map(|(y, g)| y * g).sum::<f64>();
                (total, out, sums)
            };
            let (_, out, sums) = value(&q, &k, &v);
            if !causal {
                assert_eq!(out[..2], [0.0, 0.0]);
            }
            let (mut gq, mut gk, mut gv) = (vec![9.0; 420], vec![9.0; 402], vec![9.0; 268]);
            let to: [&mut [f64]; 3] = [&mut gq, &mut gk, &mut gv];
            backward(&s, [&q, &k, &v, &mask], [&grad, &out, &sums], to).unwrap();
            let moved = |which: usize, i: usize| {
                let total = |by: f64| {
                    let mut all = [q.clone(), k.clone(), v.clone()];
                    all[which][i] += by;
                    value(&all[0], &all[1], &all[2]).0
                };
                (total(1e-5) - total(-1e-5)) / 2e-5
            };
            for i in [0, 5, 100, 219, 260] {
                for (which, have) in [gq[i], gk[i], gv[i]].into_iter().enumerate() {
                    assert!((moved(which, i) - have).abs() < 1e-7, "{causal} {which} {i}");
                }
            }
        }
    }
}
