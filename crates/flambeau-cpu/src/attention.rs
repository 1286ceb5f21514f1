//! Scaled dot-product attention by blocks of queries, without the matrix of all weights, and its gradients.
//! (Dao et al., 2022, for the backward from the logarithms of the sums.)

use crate::gemm::{Columns, GemmElement, gemm, size_product};
use crate::vector::{Elementary, Vector};
use crate::wide::{Body, wide};
use flambeau_core::parallel::each;
use flambeau_core::{Result, buffer, ensure};
use num_traits::Float;

/// Queries that are worked on together: few, as a causal attention computes the scores of a block for all keys that its last
/// query sees.
const BLOCK: usize = 32;
/// Queries that the gradients are made of together: more, as their products add up over the queries.
const BACK: usize = 64;

/// Multiplications that are worth a thread.
const GRAIN: usize = 1 << 20;

/// Elements that attention is computed in; halves as `f32`.
pub trait Real: Float + Vector + GemmElement {}
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

    /// The blocks of queries: `(first query, queries, keys that any of them sees)`.
    fn blocks(&self, most: usize) -> impl Iterator<Item = (usize, usize, usize)> + use<> {
        let (targets, sources, causal) = (self.targets, self.sources, self.causal);
        (0..targets).step_by(most).map(move |first| {
            let rows = most.min(targets - first);
            (first, rows, if causal { sources.min(first + rows) } else { sources })
        })
    }

    /// How many entries of the batch are worth a thread.
    fn grain(&self) -> usize {
        let work = self.targets.saturating_mul(self.sources).saturating_mul(self.width + self.depth);
        (GRAIN / work.max(1)).max(1)
    }

    /// How many of `keys` keys a query sees.
    fn seen(&self, query: usize, keys: usize) -> usize {
        if self.causal { keys.min(query + 1) } else { keys }
    }

    /// The keys (or values) of one entry as columns of `depth` elements, turned or not, for blocks of queries.
    fn columns<T: Real>(&self, b: usize, of: &[T], depth: usize, turned: bool) -> Result<Columns<T>> {
        let of = &of[b * self.sources * depth..][..self.sources * depth];
        match turned {
            true => Columns::new(BLOCK, depth, self.sources, of, 1, depth),
            false => Columns::new(BLOCK, self.sources, depth, of, depth, 1),
        }
    }

    /// Writes the scores of a block with the mask added, row after row of `keys`, those of unseen keys too.
    fn scores<T: Real>(
        &self,
        [b, first, rows, keys]: [usize; 4],
        query: &[T],
        key: &Columns<T>,
        mask: &[T],
        scores: &mut [T],
    ) -> Result<()> {
        let e = self.width;
        let query = &query[(b * self.targets + first) * e..][..rows * e];
        key.product(rows, query, e, [keys, e], number(self.scale), false, scores, keys)?;
        for (i, row) in scores.chunks_exact_mut(keys.max(1)).take(rows).enumerate() {
            if let Some(start) = self.mask_starts.get(b) {
                let mask = &mask[start + (first + i) * self.sources..][..keys];
                wide(move || row.iter_mut().zip(mask).for_each(|(x, &m)| *x = *x + m));
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

/// The largest number of a row.
struct Largest<'a, T>(&'a [T]);

impl<T: Real> Body for Largest<'_, T> {
    type Output = T;
    #[inline(always)]
    fn run(self) -> T {
        largest(self.0)
    }
}

/// `exp(x - shift)` over a row, in place; returns the sum.
struct Exponentials<'a, T> {
    row: &'a mut [T],
    shift: T,
}

impl<T: Real> Body for Exponentials<'_, T> {
    type Output = T;
    #[inline(always)]
    fn run(self) -> T {
        let (row, shift) = (self.row, self.shift);
        for x in row.iter_mut() {
            *x = *x - shift;
        }
        T::map_in_place(Elementary::Exp, row);
        total(row, row, |x, _| x)
    }
}

/// The gradient of a row of scores from that of its weights, in place.
struct Slopes<'a, T> {
    slopes: &'a mut [T],
    weights: &'a [T],
    grad: &'a [T],
    out: &'a [T],
}

impl<T: Real> Body for Slopes<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let mean = total(self.grad, self.out, |g, y| g * y);
        for (x, &w) in self.slopes.iter_mut().zip(self.weights) {
            *x = w * (*x - mean);
        }
    }
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
    out.fill(T::ZERO);
    sums.fill(T::infinity());
    if s.sources == 0 || s.targets == 0 {
        return Ok(());
    }
    // Each entry of the batch by itself; without a depth there is nothing but sums.
    let mut outs = out.chunks_mut((s.targets * s.depth).max(1));
    let parts: Vec<_> =
        sums.chunks_mut(s.targets).map(|sums| (outs.next().unwrap_or_default(), sums)).collect();
    each(parts.into_iter().enumerate(), s.grain(), |(b, (out, sums))| {
        let mut weights: Vec<T> = buffer(BLOCK.min(s.targets).saturating_mul(s.sources))?;
        let (key, value) = (s.columns(b, key, s.width, true)?, s.columns(b, value, s.depth, false)?);
        for (first, rows, keys) in s.blocks(BLOCK) {
            let weights = &mut weights[..rows * keys];
            s.scores([b, first, rows, keys], query, &key, mask, weights)?;
            let out = &mut out[first * s.depth..][..rows * s.depth];
            let mut scales = [T::ZERO; BLOCK];
            for (i, row) in weights.chunks_exact_mut(keys).enumerate() {
                let (row, hidden) = row.split_at_mut(s.seen(first + i, keys));
                hidden.fill(T::ZERO);
                let top = wide(Largest(row));
                let shift = if top == T::neg_infinity() { T::ZERO } else { top };
                let sum = wide(Exponentials { row, shift });
                if sum != T::ZERO {
                    sums[first + i] = top + sum.ln();
                }
                scales[i] = if sum == T::ZERO { T::ZERO } else { T::ONE / sum };
            }
            value.product(rows, weights, keys, [s.depth, keys], T::ONE, false, out, s.depth)?;
            // Dividing the results is less work than dividing the weights.
            for (row, &by) in out.chunks_exact_mut(s.depth.max(1)).zip(&scales) {
                row.iter_mut().for_each(|x| *x = *x * by);
            }
        }
        Ok(())
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
    let scale = number::<T>(s.scale);
    let (e, d) = (s.width, s.depth);
    for buffer in [&mut *by_query, &mut *by_key, &mut *by_value] {
        buffer.fill(T::ZERO);
    }
    if s.sources == 0 || s.targets == 0 {
        return Ok(());
    }
    let mut by_queries = by_query.chunks_mut((s.targets * e).max(1));
    let mut by_keys = by_key.chunks_mut((s.sources * e).max(1));
    let mut by_values = by_value.chunks_mut((s.sources * d).max(1));
    let parts: Vec<[&mut [T]; 3]> = (0..s.batch)
        .map(|_| [&mut by_queries, &mut by_keys, &mut by_values].map(|part| part.next().unwrap_or_default()))
        .collect();
    each(parts.into_iter().enumerate(), s.grain(), |(b, [by_query, by_key, by_value])| {
        let mut weights: Vec<T> = buffer(BACK.min(s.targets).saturating_mul(s.sources))?;
        let mut slopes: Vec<T> = buffer(weights.len())?;
        let (turned, values) = (s.columns(b, key, e, true)?, s.columns(b, value, d, true)?);
        let plain = s.columns(b, key, e, false)?;
        for (first, rows, keys) in s.blocks(BACK) {
            let (weights, slopes) = (&mut weights[..rows * keys], &mut slopes[..rows * keys]);
            s.scores([b, first, rows, keys], query, &turned, mask, weights)?;
            let at = b * s.targets + first;
            for (i, (row, &sum)) in weights.chunks_exact_mut(keys).zip(&sums[at..]).enumerate() {
                let (row, hidden) = row.split_at_mut(s.seen(first + i, keys));
                hidden.fill(T::ZERO);
                wide(Exponentials { row, shift: sum });
            }
            let grad = &grad[at * d..][..rows * d];
            let by_value = &mut by_value[..keys * d];
            gemm(keys, d, rows, T::ONE, weights, 1, keys, grad, d, 1, T::ONE, by_value, d, 1)?;
            values.product(rows, grad, d, [keys, d], T::ONE, false, slopes, keys)?;
            let rowwise = slopes.chunks_exact_mut(keys).zip(weights.chunks_exact(keys));
            for ((slopes, weights), i) in rowwise.zip(0..) {
                let (grad, out) = (&grad[i * d..][..d], &out[(at + i) * d..][..d]);
                let (slopes, hidden) = slopes.split_at_mut(s.seen(first + i, keys));
                hidden.fill(T::ZERO);
                wide(Slopes { slopes, weights, grad, out });
            }
            let query = &query[at * e..][..rows * e];
            let by_query = &mut by_query[first * e..][..rows * e];
            plain.product(rows, slopes, keys, [e, keys], scale, false, by_query, e)?;
            let by_key = &mut by_key[..keys * e];
            gemm(keys, e, rows, scale, slopes, 1, keys, query, e, 1, T::ONE, by_key, e, 1)?;
        }
        Ok(())
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
