//! Scaled dot-product attention by blocks of queries, without the matrix of all weights, and its gradients.
//! (Dao et al., 2022, for the backward from the logarithms of the sums.)

use crate::gemm::{Columns, GemmElement, gemm, size_product};
use crate::lanes::{lanes, lanes_again, lanes_of_pairs, merged};
use crate::vector::{Elementary, Vector};
use crate::wide::{Body, wide};
use flambeau_core::parallel::each;
use flambeau_core::{Result, Room, ensure};
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

/// A matrix for each entry of the batch, in rows of contiguous elements.
#[derive(Clone, Copy, Debug)]
pub struct Matrices<'a, T> {
    pub elements: &'a [T],
    /// Where each entry's first row begins.
    pub starts: &'a [usize],
    /// Elements from one row to the next.
    pub apart: usize,
}

impl<'a, T> Matrices<'a, T> {
    /// Fails unless there are `batch` matrices of `rows` rows of `width` elements.
    fn check(&self, batch: usize, rows: usize, width: usize) -> Result<()> {
        let own = match rows.checked_sub(1) {
            Some(above) => size_product(&[above, self.apart])?.checked_add(width),
            None => Some(0),
        };
        let last = self.starts.iter().max().map_or(Some(0), |start| start.checked_add(own?));
        let fits = self.starts.len() == batch && last.is_some_and(|last| last <= self.elements.len());
        ensure!(fits, "attention: buffers don't match the sizes");
        Ok(())
    }
    /// Rows of one entry.
    fn rows(&self, b: usize, first: usize, count: usize, width: usize) -> &'a [T] {
        &self.elements[self.starts[b] + first * self.apart..][..(count - 1) * self.apart + width]
    }
}

fn number<F: Float>(x: f64) -> F {
    F::from(x).unwrap_or_else(F::nan)
}

impl Attention {
    fn check<T>(&self, [query, key, value]: [Matrices<T>; 3], out: usize, mask: usize) -> Result<()> {
        let (n, t, s) = (self.batch, self.targets, self.sources);
        query.check(n, t, self.width)?;
        key.check(n, s, self.width)?;
        value.check(n, s, self.depth)?;
        let last = self.mask_starts.iter().max();
        let reach = size_product(&[t, s])?;
        let fits = out == size_product(&[n, t, self.depth])?
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
    fn columns<T: Real>(&self, b: usize, of: Matrices<T>, depth: usize, turned: bool) -> Result<Columns<T>> {
        let (rows, apart) = (of.rows(b, 0, self.sources, depth), of.apart);
        match turned {
            true => Columns::new(BLOCK, depth, self.sources, rows, 1, apart),
            false => Columns::new(BLOCK, self.sources, depth, rows, apart, 1),
        }
    }

    /// Writes the scores of a block with the mask added, row after row of `keys`, those of unseen keys too.
    fn scores<T: Real>(
        &self,
        [b, first, rows, keys]: [usize; 4],
        query: Matrices<T>,
        key: &Columns<T>,
        mask: &[T],
        scores: &mut [T],
    ) -> Result<()> {
        let (e, apart) = (self.width, query.apart);
        let query = query.rows(b, first, rows, e);
        key.product(rows, query, apart, [keys, e], number(self.scale), false, scores, keys)?;
        for (i, row) in scores.chunks_exact_mut(keys.max(1)).take(rows).enumerate() {
            if let Some(start) = self.mask_starts.get(b) {
                let mask = &mask[start + (first + i) * self.sources..][..keys];
                wide(move || row.iter_mut().zip(mask).for_each(|(x, &m)| *x = *x + m));
            }
        }
        Ok(())
    }
}

/// The sum of what `term` makes of two equally long rows.
#[inline(always)]
fn total<T: Real>(a: &[T], b: &[T], term: impl Fn(T, T) -> T) -> T {
    merged(lanes_of_pairs(a, b, T::ZERO, |sum, x, y| sum + term(x, y)), |a, b| a + b)
}

/// Elements of rows whose exponentials are computed together.
const TILE: usize = 2048;

/// Rows of scores for `keys` keys, the first of them that of the query `first`.
struct Rows<'a, T> {
    s: &'a Attention,
    first: usize,
    keys: usize,
    scores: &'a mut [T],
}
impl<T: Real> Rows<'_, T> {
    /// How many rows are worked on together.
    #[inline(always)]
    fn together(&self) -> usize {
        (TILE / self.keys).max(1)
    }
}

/// What is left of the scores that a row sees, by a number; of the others nothing.
#[inline(always)]
fn shifted<T: Real>(row: &mut [T], seen: usize, shift: T) {
    row[seen..].fill(T::neg_infinity());
    for x in row {
        *x = *x - shift;
    }
}

/// A softmax of rows but for the division by their sums: the logarithms of the sums of exponentials, and what the rows are to
/// be multiplied by; infinity and zero for rows that see no key.
struct Softmax<'a, T> {
    rows: Rows<'a, T>,
    sums: &'a mut [T],
    scales: &'a mut [T; BLOCK],
}

impl<T: Real> Body for Softmax<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Softmax { rows, sums, scales } = self;
        let (keys, together) = (rows.keys, rows.together());
        let larger = |m: T, x: T| if x > m { x } else { m };
        let (mut tops, mut logs) = ([T::ZERO; BLOCK], [T::ONE; BLOCK]);
        let parts = rows.scores.chunks_mut(together * keys);
        let numbers = tops.chunks_mut(together).zip(logs.chunks_mut(together));
        for (t, (part, (tops, logs))) in parts.zip(numbers).enumerate() {
            for (i, (row, top)) in part.chunks_exact_mut(keys).zip(tops).enumerate() {
                let seen = rows.s.seen(rows.first + t * together + i, keys);
                row[seen..].fill(T::neg_infinity());
                *top = merged(lanes_again::<false, _, _>(row, T::neg_infinity(), larger), larger);
                shifted(row, seen, if *top == T::neg_infinity() { T::ZERO } else { *top });
            }
            T::map_in_place(Elementary::Exp, part);
            for (row, sum) in part.chunks_exact(keys).zip(logs) {
                *sum = merged(lanes(row, T::ZERO, |sum, x| sum + x), |a, b| a + b);
            }
        }
        for (scale, &sum) in scales.iter_mut().zip(&logs) {
            *scale = if sum == T::ZERO { T::ZERO } else { T::ONE / sum };
        }
        T::map_in_place(Elementary::Log, &mut logs);
        for i in 0..sums.len() {
            sums[i] = if scales[i] == T::ZERO { T::infinity() } else { tops[i] + logs[i] };
        }
    }
}

/// The weights again, from scores and the logarithms of the sums of exponentials.
struct Weights<'a, T> {
    rows: Rows<'a, T>,
    sums: &'a [T],
}
impl<T: Real> Body for Weights<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Weights { rows, sums } = self;
        let (keys, together) = (rows.keys, rows.together());
        for (t, part) in rows.scores.chunks_mut(together * keys).enumerate() {
            for (i, row) in part.chunks_exact_mut(keys).enumerate() {
                let i = t * together + i;
                shifted(row, rows.s.seen(rows.first + i, keys), sums[i]);
            }
            T::map_in_place(Elementary::Exp, part);
        }
    }
}

/// Multiplies each row of `width` elements by a number.
struct Scaled<'a, T> {
    width: usize,
    rows: &'a mut [T],
    by: &'a [T],
}
impl<T: Real> Body for Scaled<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for (row, &by) in self.rows.chunks_exact_mut(self.width.max(1)).zip(self.by) {
            for x in row {
                *x = *x * by;
            }
        }
    }
}

/// The gradients of rows of scores from those of their weights, in place.
struct Slopes<'a, T> {
    rows: Rows<'a, T>,
    depth: usize,
    weights: &'a [T],
    grad: &'a [T],
    /// Elements between rows of the gradient.
    apart: usize,
    out: &'a [T],
}

impl<T: Real> Body for Slopes<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Slopes { rows: Rows { s, first, keys, scores }, depth, weights, grad, apart, out } = self;
        let pairs = scores.chunks_exact_mut(keys).zip(weights.chunks_exact(keys));
        for (i, (slopes, weights)) in pairs.enumerate() {
            let mean = total(&grad[i * apart..][..depth], &out[i * depth..][..depth], |g, y| g * y);
            let (slopes, hidden) = slopes.split_at_mut(s.seen(first + i, keys));
            hidden.fill(T::ZERO);
            for (x, &w) in slopes.iter_mut().zip(weights) {
                *x = w * (*x - mean);
            }
        }
    }
}

/// `softmax(scale * query @ key.T + mask) @ value`, and the logarithm of each query's sum of exponentials for
/// [`backward`]. A query that sees no key gets zeros.
pub fn forward<T: Real>(
    s: &Attention,
    [query, key, value]: [Matrices<T>; 3],
    mask: &[T],
    out: &mut [T],
    sums: &mut [T],
) -> Result<()> {
    s.check([query, key, value], out.len(), mask.len())?;
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
        let mut weights = Room::<T>::new(BLOCK.min(s.targets).saturating_mul(s.sources))?;
        let (key, value) = (s.columns(b, key, s.width, true)?, s.columns(b, value, s.depth, false)?);
        for (first, rows, keys) in s.blocks(BLOCK) {
            let weights = &mut weights[..rows * keys];
            s.scores([b, first, rows, keys], query, &key, mask, weights)?;
            let out = &mut out[first * s.depth..][..rows * s.depth];
            let mut scales = [T::ZERO; BLOCK];
            let sums = &mut sums[first..first + rows];
            let block = Rows { s, first, keys, scores: &mut *weights };
            wide(Softmax { rows: block, sums, scales: &mut scales });
            value.product(rows, weights, keys, [s.depth, keys], T::ONE, false, out, s.depth)?;
            // Dividing the results is less work than dividing the weights.
            wide(Scaled { width: s.depth, rows: out, by: &scales });
        }
        Ok(())
    })
}

/// The gradients of [`forward`] by query, key and value, given its results. All of the three is written.
pub fn backward<T: Real>(
    s: &Attention,
    [query, key, value, grad]: [Matrices<T>; 4],
    mask: &[T],
    [out, sums]: [&[T]; 2],
    [by_query, by_key, by_value]: [&mut [T]; 3],
) -> Result<()> {
    s.check([query, key, value], out.len(), mask.len())?;
    grad.check(s.batch, s.targets, s.depth)?;
    let own = |x: &[T], rows: usize, width: usize| Ok(x.len() == size_product(&[s.batch, rows, width])?);
    let fits = own(by_query, s.targets, s.width)?
        && own(by_key, s.sources, s.width)?
        && own(by_value, s.sources, s.depth)?;
    ensure!(fits, "attention: buffers don't match the sizes");
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
        let mut weights = Room::<T>::new(BACK.min(s.targets).saturating_mul(s.sources))?;
        let mut slopes = Room::<T>::new(weights.len())?;
        let (turned, values) = (s.columns(b, key, e, true)?, s.columns(b, value, d, true)?);
        let plain = s.columns(b, key, e, false)?;
        for (first, rows, keys) in s.blocks(BACK) {
            let (weights, slopes) = (&mut weights[..rows * keys], &mut slopes[..rows * keys]);
            s.scores([b, first, rows, keys], query, &turned, mask, weights)?;
            let at = b * s.targets + first;
            wide(Weights { rows: Rows { s, first, keys, scores: &mut *weights }, sums: &sums[at..] });
            let (grad, apart) = (grad.rows(b, first, rows, d), grad.apart);
            let by_value = &mut by_value[..keys * d];
            gemm(keys, d, rows, T::ONE, weights, 1, keys, grad, apart, 1, T::ONE, by_value, d, 1)?;
            values.product(rows, grad, apart, [keys, d], T::ONE, false, slopes, keys)?;
            let out = &out[at * d..][..rows * d];
            let block = Rows { s, first, keys, scores: &mut *slopes };
            wide(Slopes { rows: block, depth: d, weights: &*weights, grad, apart, out });
            let (query, apart) = (query.rows(b, first, rows, e), query.apart);
            let by_query = &mut by_query[first * e..][..rows * e];
            plain.product(rows, slopes, keys, [e, keys], scale, false, by_query, e)?;
            let by_key = &mut by_key[..keys * e];
            gemm(keys, e, rows, scale, slopes, 1, keys, query, apart, 1, T::ONE, by_key, e, 1)?;
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
            let starts: [[usize; 2]; 4] = [[0, 210], [0, 201], [0, 134], [0, 140]];
            fn matrices<'a>(elements: &'a [f64], starts: &'a [usize], apart: usize) -> Matrices<'a, f64> {
                Matrices { elements, starts, apart }
            }
            let value = |q: &[f64], k: &[f64], v: &[f64]| {
                let (mut out, mut sums) = (vec![9.0; 280], vec![9.0; 140]);
                let of = [(q, 3), (k, 3), (v, 2)];
                let of = [0, 1, 2].map(|i| matrices(of[i].0, &starts[i], of[i].1));
                forward(&s, of, &mask, &mut out, &mut sums).unwrap();
                let total = out.iter().zip(&grad).map(|(y, g)| y * g).sum::<f64>();
                (total, out, sums)
            };
            let (_, out, sums) = value(&q, &k, &v);
            if !causal {
                assert_eq!(out[..2], [0.0, 0.0]);
            }
            let (mut gq, mut gk, mut gv) = (vec![9.0; 420], vec![9.0; 402], vec![9.0; 268]);
            let to: [&mut [f64]; 3] = [&mut gq, &mut gk, &mut gv];
            let of = [(&q, 3), (&k, 3), (&v, 2), (&grad, 2)];
            let of = [0, 1, 2, 3].map(|i| matrices(of[i].0, &starts[i], of[i].1));
            backward(&s, of, &mask, [&out, &sums], to).unwrap();
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

    /// Matrices whose rows lie apart, and between those of other entries, give the bits of those that follow each other.
    #[test]
    fn matrices_in_place() {
        let (batch, targets, sources, width) = (3, 37, 40, 5);
        let s = Attention {
            batch,
            targets,
            sources,
            width,
            depth: width,
            scale: 0.4,
            causal: true,
            mask_starts: Vec::new(),
        };
        let run = |apart: usize, starts: &[Vec<usize>; 4], of: &[Vec<f64>; 4]| {
            let given = |i: usize| Matrices { elements: &of[i][..], starts: &starts[i], apart };
            let n = batch * targets * width;
            let (mut out, mut sums) = (vec![0.0; n], vec![0.0; batch * targets]);
            forward(&s, [given(0), given(1), given(2)], &[], &mut out, &mut sums).unwrap();
            let mut by =
                [vec![0.0; n], vec![0.0; batch * sources * width], vec![0.0; batch * sources * width]];
            let to = by.each_mut().map(|by| &mut by[..]);
            backward(&s, [0, 1, 2, 3].map(given), &[], [&out, &sums], to).unwrap();
            (out, sums, by)
        };
        let rows = [targets, sources, sources, targets];
        let dense = rows.map(|rows| numbers(batch * rows * width, 31 + rows));
        let follow = rows.map(|rows| (0..batch).map(|b| b * rows * width).collect());
        // One row of each entry after the other.
        let apart = batch * width + 2;
        let mixed = [0, 1, 2, 3].map(|i| {
            let mut mixed = vec![f64::NAN; rows[i] * apart];
            for (r, row) in dense[i].chunks_exact(width).enumerate() {
                mixed[r % rows[i] * apart + r / rows[i] * width..][..width].copy_from_slice(row);
            }
            mixed
        });
        let between = rows.map(|_| (0..batch).map(|b| b * width).collect());
        assert_eq!(run(width, &follow, &dense), run(apart, &between, &mixed));
        let short = Matrices { elements: &dense[0][1..], starts: &follow[0], apart: width };
        assert!(short.check(batch, targets, width).is_err());
    }
}
