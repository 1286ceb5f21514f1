//! Poisson numbers.

use super::error_text::not_implemented;
use super::generator::Generator;
use super::sample::{Numbers, fill};
use flambeau_core::{DType, Result, bail, ensure};

/// Writes a Poisson number of rate `rate[i]` to `out[i]`. Errors, with `out` unchanged, for a negative or NaN rate, a
/// dtype that is not floating point, or lengths that differ.
pub fn poisson(g: &mut Generator, dtype: DType, rate: &[f64], out: &mut dyn Numbers) -> Result<()> {
    if !dtype.is_floating_point() {
        return Err(not_implemented("poisson_cpu", dtype));
    }
    ensure!(rate.len() == out.count(), "poisson: {} rates for {} elements", rate.len(), out.count());
    if rate.iter().any(|&r| r.is_nan() || r < 0.0) {
        bail!("invalid Poisson rate, expected rate to be non-negative");
    }
    fill(out, |at, batch| {
        for (o, &r) in batch.iter_mut().zip(&rate[at..]) {
            *o = sample(g, r);
        }
    });
    Ok(())
}

fn sample(g: &mut Generator, rate: f64) -> f64 {
    if rate == 0.0 || rate == f64::INFINITY {
        rate
    } else if rate >= 10.0 {
        transformed_rejection(g, rate)
    } else {
        by_multiplication(g, rate)
    }
}

/// Counts uniforms until their product falls below e^-rate (Knuth).
fn by_multiplication(g: &mut Generator, rate: f64) -> f64 {
    let limit = (-rate).exp();
    let (mut count, mut product) = (0u64, 1.0);
    loop {
        product *= g.uniform();
        if product <= limit {
            return count as f64;
        }
        count += 1;
    }
}

/// Algorithm PTRS of W. Hörmann, The transformed rejection method for generating Poisson random variables,
/// Insurance: Mathematics and Economics 12 (1993).
fn transformed_rejection(g: &mut Generator, rate: f64) -> f64 {
    let (root, log_rate) = (rate.sqrt(), rate.ln());
    let b = 0.931 + 2.53 * root;
    let a = -0.059 + 0.02483 * b;
    let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
    let v_r = 0.9277 - 3.6224 / (b - 2.0);
    loop {
        let u = g.uniform() - 0.5;
        let v = g.uniform();
        let us = 0.5 - u.abs();
        let k = ((2.0 * a / us + b) * u + rate + 0.43).floor();
        if us >= 0.07 && v <= v_r {
            return k;
        }
        if k < 0.0 || us < 0.013 && v > us {
            continue;
        }
        let accept = v.ln() + inverse_alpha.ln() - (a / (us * us) + b).ln();
        if accept <= -rate + k * log_rate - ln_factorial(k) {
            return k;
        }
    }
}

/// ln k! of a whole number: exact products to 20!, Stirling's series beyond.
fn ln_factorial(k: f64) -> f64 {
    if k <= 20.0 {
        return ((2..=k as u64).product::<u64>() as f64).ln();
    }
    let n = k + 1.0;
    let inverse = 1.0 / n;
    let square = inverse * inverse;
    let series = inverse * (1.0 / 12.0 - square * (1.0 / 360.0 - square * (1.0 / 1260.0 - square / 1680.0)));
    (n - 0.5) * n.ln() - n + 0.5 * (2.0 * std::f64::consts::PI).ln() + series
}

#[cfg(test)]
mod tests {
    #[test]
    fn log_factorials() {
        let mut exact = 0.0;
        for k in 1..2000 {
            exact += (k as f64).ln();
            assert!((super::ln_factorial(k as f64) - exact).abs() <= 1e-13 * exact.max(1.0), "{k}");
        }
        assert_eq!(super::ln_factorial(0.0), 0.0);
    }
}
