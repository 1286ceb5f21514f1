//! Numbers in equal steps.

use crate::wide::{Body, wide};
use flambeau_core::Result;
use flambeau_core::parallel::each;
use num_traits::Float;

/// Elements that are worth a thread.
const GRAIN: usize = 1 << 15;

/// `start + i * step` in the type `F`, whose results `round` makes elements of. PyTorch computes whole pairs of vectors of
/// `LANES` elements from their first element, which is rounded to the element type, and the rest one by one.
pub fn multiples<T: Copy + Send, F: Float + Sync, const LANES: usize>(
    out: &mut [T],
    start: F,
    step: F,
    round: impl Fn(F) -> T + Copy + Sync,
    widen: impl Fn(T) -> F + Copy + Sync,
) -> Result<()> {
    let whole = out.len() / (2 * LANES) * (2 * LANES);
    let (vectors, rest) = out.split_at_mut(whole);
    each(vectors.chunks_mut(GRAIN).enumerate(), 1, |(k, out)| {
        wide(Vectors::<'_, T, F, _, _, LANES> { out, first: k * GRAIN, start, step, round, widen });
        Ok(())
    })?;
    rest.iter_mut().enumerate().for_each(|(i, v)| *v = round(step.mul_add(number(whole + i), start)));
    Ok(())
}

#[inline(always)]
fn number<F: Float>(i: usize) -> F {
    F::from(i as i64).unwrap_or_else(F::nan)
}

/// Whole vectors of [`multiples`], from the element `first` on.
struct Vectors<'a, T, F, R, W, const LANES: usize> {
    out: &'a mut [T],
    first: usize,
    start: F,
    step: F,
    round: R,
    widen: W,
}
impl<T: Copy, F: Float, R: Fn(F) -> T, W: Fn(T) -> F, const LANES: usize> Body
    for Vectors<'_, T, F, R, W, LANES>
{
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Vectors { out, first, start, step, round, widen } = self;
        for (k, vector) in out.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            let base = widen(round(step.mul_add(number(first + k * LANES), start)));
            for (j, v) in vector.iter_mut().enumerate() {
                *v = round(step.mul_add(number(j), base));
            }
        }
    }
}

/// Writes both halves of a range, each counted from its own end: `at(i, from_end)`.
pub fn from_both_ends<T: Send>(out: &mut [T], at: impl Fn(usize, bool) -> T + Copy + Sync) -> Result<()> {
    let n = out.len();
    let (low, high) = out.split_at_mut(n / 2);
    each(low.chunks_mut(GRAIN).enumerate(), 1, |(k, out)| {
        wide(Side::<'_, T, _, false> { out, first: k * GRAIN, last: n - 1, at });
        Ok(())
    })?;
    each(high.chunks_mut(GRAIN).enumerate(), 1, |(k, out)| {
        wide(Side::<'_, T, _, true> { out, first: n / 2 + k * GRAIN, last: n - 1, at });
        Ok(())
    })
}

/// Elements from the `first` one on of one half of a range.
struct Side<'a, T, A, const END: bool> {
    out: &'a mut [T],
    first: usize,
    last: usize,
    at: A,
}
impl<T, A: Fn(usize, bool) -> T, const END: bool> Body for Side<'_, T, A, END> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Side { out, first, last, at } = self;
        for (i, v) in out.iter_mut().enumerate() {
            *v = if END { at(last - first - i, true) } else { at(first + i, false) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_the_whole() {
        for n in [0usize, 1, 2, 15, 16, 17, 1000, 100_001] {
            let mut out = vec![0f32; n];
            multiples::<_, f64, 8>(&mut out, 0.5, 0.25, |v| v as f32, |v| v as f64).unwrap();
            assert!(out.iter().enumerate().all(|(i, &v)| v == (0.5 + 0.25 * i as f64) as f32));
            let mut sides = vec![(0, false); n];
            from_both_ends(&mut sides, |i, end| (i, end)).unwrap();
            let expected = |i: usize| if i < n / 2 { (i, false) } else { (n - 1 - i, true) };
            assert!(sides.iter().enumerate().all(|(i, &v)| v == expected(i)));
        }
    }
}
