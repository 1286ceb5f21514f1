//! Counting into bins.

use crate::grid::Real;
use crate::wide::{Body, wide};
use flambeau_core::{Result, ensure};
use num_traits::Float;

/// Number of bins that [`bincount`] of `input` needs: the largest element plus one, at least `minlength`.
///
/// Errors on a negative element.
pub fn bincount_size(input: &[i64], minlength: usize) -> Result<usize> {
    let (least, largest) = crate::index::bounds(input).unwrap_or((0, -1));
    ensure!(least >= 0, "bincount only supports 1-d non-negative integral inputs.");
    Ok((largest.wrapping_add(1) as u64 as usize).max(minlength))
}

/// Adds to `bins[i]` the number of elements equal to `i`. Errors on an element outside the bins.
pub fn bincount(input: &[i64], bins: &mut [i64]) -> Result<()> {
    ensure!(bincount_size(input, 0)? <= bins.len(), "bincount: an element lies outside the bins");
    // Runs of equal elements would wait for the sums before them, so neighbours count in tables of their own.
    const TABLES: usize = 4;
    if input.len() < 4 * TABLES * bins.len() {
        input.iter().for_each(|&x| bins[x as usize] += 1);
        return Ok(());
    }
    let n = bins.len();
    let mut tables = vec![0u32; TABLES * n];
    for part in input.chunks(u32::MAX as usize) {
        let mut fours = part.chunks_exact(TABLES);
        for four in &mut fours {
            for (k, &x) in four.iter().enumerate() {
                tables[k * n + x as usize] += 1;
            }
        }
        fours.remainder().iter().for_each(|&x| tables[x as usize] += 1);
        for (i, bin) in bins.iter_mut().enumerate() {
            for k in 0..TABLES {
                *bin += i64::from(std::mem::take(&mut tables[k * n + i]));
            }
        }
    }
    Ok(())
}

/// Adds the weight of each element to its bin. Errors on an element outside the bins or another number of weights.
pub fn bincount_weighted<F: Float>(input: &[i64], weights: &[F], bins: &mut [F]) -> Result<()> {
    ensure!(weights.len() == input.len(), "weights should be 1-d and have the same length as input");
    ensure!(bincount_size(input, 0)? <= bins.len(), "bincount: an element lies outside the bins");
    for (&x, &weight) in input.iter().zip(weights) {
        bins[x as usize] = bins[x as usize] + weight;
    }
    Ok(())
}

fn number<F: Float>(x: F) -> String {
    let x = x.to_f64().unwrap_or(f64::NAN);
    // Shorter than the stream format of C++ for long fractions, equal to it for ordinary bounds.
    if x.is_nan() { "nan".into() } else { format!("{x}") }
}

/// Counts `input` in as many equal bins from `min` to `max` as `counts` has; both equal means the range of the
/// data. Elements outside (and NaN) are not counted; `max` itself belongs to the last bin.
///
/// Errors when there are no bins, `max < min`, or the range is not finite.
pub fn histc<F: Real>(input: &[F], min: F, max: F, counts: &mut [F]) -> Result<()> {
    let bins = counts.len();
    ensure!(bins > 0, "torch.histogram(): bins must be > 0, but got 0 for dimension 0");
    let (mut low, mut high) = (min, max);
    if low == high && !input.is_empty() {
        (low, high) = wide(Range(input));
    }
    ensure!(
        low.is_finite() && high.is_finite(),
        "torch.histc: range of [{}, {}] is not finite",
        number(low),
        number(high)
    );
    if low == high {
        (low, high) = (low - F::one(), high + F::one());
    }
    ensure!(low < high, "torch.histc: max must be larger than min");
    counts.fill(F::zero());
    let width = F::from(bins).unwrap_or_else(F::infinity);
    let Ok(last) = i32::try_from(bins - 1) else {
        // More bins than the vectors' places.
        for &x in input.iter().filter(|&&x| x >= low && x <= high) {
            let place = ((x - low) * width / (high - low)).to_usize().unwrap_or(0).min(bins - 1);
            counts[place] = counts[place] + F::one();
        }
        return Ok(());
    };
    let mut places = [0; BLOCK];
    for part in input.chunks(BLOCK) {
        wide(Places { part, low, high, width, last, places: &mut places });
        for &place in &places[..part.len()] {
            // Elements outside have a negative place.
            if let Some(count) = counts.get_mut(place as usize) {
                *count = *count + F::one();
            }
        }
    }
    Ok(())
}

/// Elements whose bins are found together.
const BLOCK: usize = 64;

/// The least and the greatest element, or NaN twice where one of them is; there is at least one.
struct Range<'a, F>(&'a [F]);
impl<F: Real> Body for Range<'_, F> {
    type Output = (F, F);
    #[inline(always)]
    fn run(self) -> (F, F) {
        let first = self.0[0];
        let (mut low, mut high, mut nan) = ([first; 16], [first; 16], [false; 16]);
        let (lines, rest) = self.0.as_chunks::<16>();
        for line in lines {
            let line = *line;
            for l in 0..16 {
                low[l] = if line[l] < low[l] { line[l] } else { low[l] };
                high[l] = if line[l] > high[l] { line[l] } else { high[l] };
                nan[l] |= line[l].is_nan();
            }
        }
        let (mut least, mut most, mut any) = (first, first, false);
        for l in 0..16 {
            (least, most) = (least.min(low[l]), most.max(high[l]));
            any |= nan[l];
        }
        for &x in rest {
            (least, most) = (least.min(x), most.max(x));
            any |= x.is_nan();
        }
        if any | first.is_nan() { (F::nan(), F::nan()) } else { (least, most) }
    }
}

/// The bins of at most `BLOCK` elements; -1 for those outside.
struct Places<'a, F> {
    part: &'a [F],
    low: F,
    high: F,
    width: F,
    last: i32,
    places: &'a mut [i32; BLOCK],
}
impl<F: Real> Body for Places<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Places { part, low, high, width, last, places } = self;
        for (place, &x) in places.iter_mut().zip(part) {
            let at = ((x - low) * width / (high - low)).truncated().max(0).min(last);
            *place = if (x >= low) & (x <= high) { at } else { -1 };
        }
    }
}

/// Adds the weight of each element (1 without weights) to the bin between the ascending `edges` that holds it; the
/// last bin includes its upper edge. Errors when there are fewer than two edges or the lengths don't match.
pub fn histogram<F: Float>(input: &[F], edges: &[F], weights: Option<&[F]>, bins: &mut [F]) -> Result<()> {
    ensure!(
        edges.len() >= 2 && bins.len() == edges.len() - 1,
        "torch.histogramdd(): bins tensor should have at least 2 elements"
    );
    if let Some(weights) = weights {
        ensure!(
            weights.len() == input.len(),
            "torch.histogramdd(): if weight tensor is provided it should have the same shape as the input tensor"
        );
    }
    bins.fill(F::zero());
    let (low, high) = (edges[0], edges[edges.len() - 1]);
    for (i, &x) in input.iter().enumerate() {
        if x >= low && x <= high {
            let place = edges.partition_point(|&edge| edge <= x).clamp(1, bins.len()) - 1;
            bins[place] = bins[place] + weights.map_or(F::one(), |w| w[i]);
        }
    }
    Ok(())
}
