//! Gamma and Dirichlet numbers.

use super::error_text::not_implemented;
use super::generator::Generator;
use super::sample::{Numbers, fill, rounded};
use flambeau_core::{DType, Result, ensure};

/// Writes a gamma number of shape `alpha[i]` and scale 1 to `out[i]`, at least the smallest normal number of the dtype.
/// Errors for dtypes other than `float32` and `float64`, and lengths that differ.
pub fn standard_gamma(g: &mut Generator, dtype: DType, alpha: &[f64], out: &mut dyn Numbers) -> Result<()> {
    if !matches!(dtype, DType::Float32 | DType::Float64) {
        return Err(not_implemented("gamma_cpu", dtype));
    }
    ensure!(
        alpha.len() == out.count(),
        "_standard_gamma: {} shapes for {} elements",
        alpha.len(),
        out.count()
    );
    let mut scales = Scales::default();
    fill(out, |at, batch| {
        for (o, &a) in batch.iter_mut().zip(&alpha[at..]) {
            // A NaN counts as less.
            *o = tiny(dtype).max(sample(g, a, &mut scales, |x| rounded(dtype, x)));
        }
    });
    Ok(())
}

/// Writes points of the simplex, drawn from Dirichlet distributions of concentrations `alpha`: rows of `width` elements.
/// Errors for dtypes other than `float32` and `float64`, and lengths that don't fit.
pub fn dirichlet(
    g: &mut Generator,
    dtype: DType,
    alpha: &[f64],
    width: usize,
    out: &mut dyn Numbers,
) -> Result<()> {
    if !matches!(dtype, DType::Float32 | DType::Float64) {
        return Err(not_implemented("dirichlet", dtype));
    }
    ensure!(
        alpha.len() == out.count() && (alpha.is_empty() || width > 0 && alpha.len().is_multiple_of(width)),
        "_sample_dirichlet: {} concentrations in rows of {width} for {} elements",
        alpha.len(),
        out.count()
    );
    let below_one =
        if dtype == DType::Float64 { 1.0 - f64::EPSILON / 2.0 } else { 1.0 - f32::EPSILON as f64 / 2.0 };
    let mut row = vec![0.0; width.min(alpha.len())];
    let mut scales = Scales::default();
    for (i, alpha) in alpha.chunks(width.max(1)).enumerate() {
        for (r, a) in row.iter_mut().zip(alpha) {
            // The numbers are made, clamped and added in f64 for either dtype.
            *r = f64::MIN_POSITIVE.max(sample(g, *a, &mut scales, |x| x));
        }
        let sum = cascade_sum(&row);
        for r in &mut row {
            *r = rounded(dtype, *r / sum).max(tiny(dtype)).min(below_one);
        }
        out.set(i * width, &row);
    }
    Ok(())
}

fn tiny(dtype: DType) -> f64 {
    if dtype == DType::Float64 { f64::MIN_POSITIVE } else { f32::MIN_POSITIVE as f64 }
}

/// What the method needs to know of a shape, kept for the next number, whose shape is often the same.
#[derive(Default)]
struct Scales {
    alpha: f64,
    d: f64,
    c: f64,
}

/// G. Marsaglia and W. W. Tsang, A simple method for generating gamma variables, ACM TOMS 26 (2000); shapes below 1
/// are raised by one and scaled back by a power of a uniform. What depends on the shape alone is computed by `narrow`ing
/// to the dtype of the shape, as in PyTorch.
fn sample(g: &mut Generator, mut alpha: f64, scales: &mut Scales, narrow: impl Fn(f64) -> f64) -> f64 {
    let mut scale = 1.0;
    if alpha < 1.0 {
        if alpha == 0.0 {
            return 0.0;
        }
        scale *= (1.0 - g.uniform()).powf(narrow(1.0 / alpha));
        alpha = narrow(alpha + 1.0);
    }
    if scales.alpha != alpha {
        // The third is one of single precision for both dtypes.
        let d = narrow(alpha - (1.0f32 / 3.0) as f64);
        *scales = Scales { alpha, d, c: 1.0 / (9.0 * d).sqrt() };
    }
    let Scales { d, c, .. } = *scales;
    loop {
        let mut x = g.standard_normal();
        let mut y = 1.0 + c * x;
        while y <= 0.0 {
            x = g.standard_normal();
            y = 1.0 + c * x;
        }
        let v = y * y * y;
        let u = 1.0 - g.uniform();
        let square = x * x;
        if u < 1.0 - 0.0331 * square * square || u.ln() < 0.5 * square + d * (1.0 - v + v.ln()) {
            return scale * d * v;
        }
    }
}

/// The sum in the order of PyTorch's reduction of a contiguous row: four lanes of four accumulators, which cascade
/// into coarser ones so that the error grows with the logarithm of the length.
fn cascade_sum(row: &[f64]) -> f64 {
    const LANES: usize = 4;
    const ROWS: usize = 4;
    const LEVELS: usize = 4;
    type Lanes = [f64; LANES];
    fn add(sum: &mut Lanes, x: &Lanes) {
        sum.iter_mut().zip(x).for_each(|(s, x)| *s += x);
    }
    let (vectors, tail) = row.as_chunks::<LANES>();
    let (groups, rest) = vectors.as_chunks::<ROWS>();
    let log_length = groups.len().next_power_of_two().ilog2() as usize;
    let power = (log_length / LEVELS).max(4);
    let mut sums = [[[0.0; LANES]; ROWS]; LEVELS];
    for (i, group) in groups.iter().enumerate() {
        for (sum, x) in sums[0].iter_mut().zip(group) {
            add(sum, x);
        }
        let done = i + 1;
        if done % (1 << power) != 0 {
            continue;
        }
        for level in 1..LEVELS {
            let finer = std::mem::take(&mut sums[level - 1]);
            for (sum, x) in sums[level].iter_mut().zip(&finer) {
                add(sum, x);
            }
            if done >> (level * power) & ((1 << power) - 1) != 0 {
                break;
            }
        }
    }
    let [mut total, coarser @ ..] = sums;
    for level in &coarser {
        for (sum, x) in total.iter_mut().zip(level) {
            add(sum, x);
        }
    }
    for x in rest {
        add(&mut total[0], x);
    }
    let [mut lanes, others @ ..] = total;
    for other in &others {
        add(&mut lanes, other);
    }
    let sum = tail.iter().fold(0.0, |sum, x| sum + x);
    lanes.iter().fold(sum, |sum, x| sum + x)
}
