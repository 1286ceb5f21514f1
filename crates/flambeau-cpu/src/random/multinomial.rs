//! Draws of categories by weight.

use super::generator::Generator;
use super::sample::rounded;
use crate::sort::topk;
use flambeau_core::{DType, Result, bail, ensure};
use std::cmp::Ordering;

/// The checks of `multinomial` on everything but the weights; `sizes` is the shape of the weights. Errors unless it has
/// 1 or 2 dimensions, the dtype is floating point, `0 < n_sample`, at most the number of categories without
/// replacement, and there are at most 2^24 categories.
pub fn check_multinomial(dtype: DType, sizes: &[usize], n_sample: i64, replacement: bool) -> Result<()> {
    let categories = match sizes {
        [n] | [_, n] => *n,
        _ => bail!("prob_dist must be 1 or 2 dim"),
    };
    ensure!(
        dtype.is_floating_point(),
        "multinomial only supports floating-point dtypes for input, got: {}",
        dtype.cpp_name()
    );
    ensure!(n_sample > 0, "cannot sample n_sample <= 0 samples");
    ensure!(
        replacement || n_sample as u64 <= categories as u64,
        "cannot sample n_sample > prob_dist.size(-1) samples without replacement"
    );
    ensure!(categories <= 1 << 24, "number of categories cannot exceed 2^24");
    Ok(())
}

/// Writes `n_sample` categories for each row of `rows * categories` weights to `out`, rows of `n_sample`. Errors as
/// [`check_multinomial`] does, for weights that are negative, infinite or NaN, for rows without a positive weight, and
/// for lengths that don't fit.
///
/// A single draw, and draws without replacement, divide the weights by exponential numbers (drawn for all rows first)
/// and take the largest quotients in falling order; other draws search the cumulative weights.
pub fn multinomial(
    g: &mut Generator,
    dtype: DType,
    weights: &[f64],
    rows: usize,
    categories: usize,
    n_sample: i64,
    replacement: bool,
    out: &mut [i64],
) -> Result<()> {
    check_multinomial(dtype, &[rows, categories], n_sample, replacement)?;
    let n = n_sample as usize;
    ensure!(
        Some(weights.len()) == rows.checked_mul(categories) && Some(out.len()) == rows.checked_mul(n),
        "multinomial: {} weights and {} results for {rows} rows of {categories} categories",
        weights.len(),
        out.len()
    );
    if rows == 0 {
        return Ok(());
    }
    if !replacement || n == 1 {
        race(g, dtype, weights, categories, n, out)
    } else if dtype == DType::Float64 {
        search(g, dtype, weights, categories, n, out, |sum, w| sum + w)
    } else {
        search(g, dtype, weights, categories, n, out, |sum, w| (sum as f32 + w as f32) as f64)
    }
}

fn race(
    g: &mut Generator,
    dtype: DType,
    weights: &[f64],
    categories: usize,
    n: usize,
    out: &mut [i64],
) -> Result<()> {
    if categories == 0 {
        bail!("aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity.");
    }
    if !weights.iter().all(|w| (0.0..f64::INFINITY).contains(w)) {
        bail!("probability tensor contains either `inf`, `nan` or element < 0");
    }
    if weights.chunks(categories).any(|row| row.iter().all(|w| *w == 0.0)) {
        bail!("invalid multinomial distribution (sum of probabilities <= 0)");
    }
    // Held in f64, but rounded to the dtype: where quotients tie, `topk` decides.
    let mut quotients = vec![0.0; weights.len()];
    g.fill_uniform64(&mut quotients, |u| rounded(dtype, -(-u).ln_1p()));
    for (q, w) in quotients.iter_mut().zip(weights) {
        *q = rounded(dtype, w / *q);
    }
    if n > 1 {
        let mut values = vec![0.0; out.len()];
        return topk(&quotients, categories, n, true, true, &mut values, out);
    }
    for (row, best) in quotients.chunks(categories).zip(out) {
        // The first of the largest; a NaN (0/0) is above all.
        let mut at = 0;
        for (i, q) in row.iter().enumerate() {
            if *q > row[at] || q.is_nan() && !row[at].is_nan() {
                at = i;
            }
        }
        *best = at as i64;
    }
    Ok(())
}

fn search(
    g: &mut Generator,
    dtype: DType,
    weights: &[f64],
    categories: usize,
    n: usize,
    out: &mut [i64],
    add: impl Fn(f64, f64) -> f64,
) -> Result<()> {
    if categories == 0 {
        bail!("invalid multinomial distribution (sum of probabilities <= 0)");
    }
    // Every row is checked before the first draw.
    for row in weights.chunks(categories) {
        let mut sum = 0.0;
        for &w in row {
            if w < 0.0 {
                bail!("invalid multinomial distribution (encountering probability entry < 0)");
            }
            if !w.is_finite() {
                bail!("invalid multinomial distribution (encountering probability entry = infinity or NaN)");
            }
            sum = add(sum, w);
        }
        if sum <= 0.0 {
            bail!("invalid multinomial distribution (sum of probabilities <= 0)");
        }
    }
    let single = dtype != DType::Float64;
    let mut cumulative = vec![0.0; categories.min(weights.len())];
    for (row, out) in weights.chunks(categories).zip(out.chunks_mut(n)) {
        let mut sum = 0.0;
        for (c, w) in cumulative.iter_mut().zip(row) {
            sum = add(sum, *w);
            *c = sum;
        }
        for c in &mut cumulative {
            *c /= sum;
            if single {
                *c = *c as f32 as f64;
            }
        }
        cumulative[categories - 1] = 1.0;
        g.fill_uniform64(out, |u| {
            cumulative.partition_point(|c| c.partial_cmp(&u) == Some(Ordering::Less)) as i64
        });
    }
    Ok(())
}
