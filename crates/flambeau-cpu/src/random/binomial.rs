//! Bernoulli and binomial numbers.

use super::continuous::is_wide_unsigned;
use super::error_text::{general, not_implemented};
use super::generator::{Generator, unit_f32};
use super::sample::{BATCH, Numbers, Parameters, fill};
use flambeau_core::{DType, Result, bail, ensure};

/// Fills with ones of probability `p`, else zeros. Errors unless `0 <= p <= 1`, and for complex and wide unsigned dtypes.
pub fn bernoulli_(g: &mut Generator, dtype: DType, out: &mut dyn Numbers, p: f64) -> Result<()> {
    if !(0.0..=1.0).contains(&p) {
        bail!("bernoulli_ expects p to be in [0, 1], but got p={}", general(p));
    }
    if out.count() == 0 {
        return Ok(());
    }
    if dtype.is_complex() || is_wide_unsigned(dtype) {
        return Err(not_implemented("bernoulli_scalar_cpu_", dtype));
    }
    fill(out, |_, batch| g.fill_uniform64(batch, |u| f64::from(u8::from(u < p))));
    Ok(())
}

/// Fills with ones of probability `p[i]`, else zeros: two words an element for `float64` probabilities, one for
/// narrower ones. Errors, with `out` unchanged, for a probability outside [0, 1], lengths that differ, `p` of a dtype
/// that is not floating point, and outputs that [`bernoulli_`] does not serve.
pub fn bernoulli_tensor_(
    g: &mut Generator,
    dtype: DType,
    out: &mut dyn Numbers,
    p_dtype: DType,
    p: &dyn Parameters,
) -> Result<()> {
    if out.count() == 0 {
        return Ok(());
    }
    if dtype.is_complex() || is_wide_unsigned(dtype) {
        return Err(not_implemented("bernoulli_tensor_cpu_self_", dtype));
    }
    if !p_dtype.is_floating_point() {
        return Err(not_implemented("bernoulli_tensor_cpu_p_", p_dtype));
    }
    ensure!(p.count() == out.count(), "bernoulli_: {} probabilities for {} elements", p.count(), out.count());
    let mut probabilities = [0.0; BATCH];
    let outside = (0..p.count()).step_by(BATCH).any(|at| {
        let probabilities = &mut probabilities[..BATCH.min(p.count() - at)];
        p.get(at, probabilities);
        // Without stopping at the first, so that the loop is vectorised.
        probabilities.iter().fold(false, |outside, p| outside | !(0.0..=1.0).contains(p))
    });
    if outside {
        bail!(
            "Expected p_in >= 0 && p_in <= 1 to be true, but got false.  (Could this error message be improved?  If \
             so, please report an enhancement request to PyTorch.)"
        );
    }
    fill(out, |at, batch| {
        let probabilities = &mut probabilities[..batch.len()];
        p.get(at, probabilities);
        if p_dtype == DType::Float64 {
            g.fill_uniform64(batch, |u| u);
        } else {
            g.fill32(batch, |w| unit_f32(w) as f64);
        }
        for (x, p) in batch.iter_mut().zip(&*probabilities) {
            *x = f64::from(u8::from(*x < *p));
        }
    });
    Ok(())
}

/// Writes the number of successes among `count[i]` trials of probability `prob[i]` to `out[i]`. Errors for dtypes other
/// than `float32` and `float64`, and lengths that differ. A NaN parameter gives NaN.
pub fn binomial(
    g: &mut Generator,
    dtype: DType,
    count: &[f64],
    prob: &[f64],
    out: &mut dyn Numbers,
) -> Result<()> {
    if !dtype.is_floating_point() {
        bail!(Value, "binomial only supports floating-point dtypes for count, got: {}", dtype.cpp_name());
    }
    if !matches!(dtype, DType::Float32 | DType::Float64) {
        return Err(not_implemented("binomial_cpu", dtype));
    }
    ensure!(
        count.len() == out.count() && prob.len() == out.count(),
        "binomial: {} counts and {} probabilities for {} elements",
        count.len(),
        prob.len(),
        out.count()
    );
    fill(out, |at, batch| {
        for ((o, &n), &p) in batch.iter_mut().zip(&count[at..]).zip(&prob[at..]) {
            *o = sample(g, n, p);
        }
    });
    Ok(())
}

fn sample(g: &mut Generator, count: f64, prob: f64) -> f64 {
    if count <= 0.0 || prob <= 0.0 {
        0.0
    } else if prob >= 1.0 || count == f64::INFINITY && prob > 0.0 {
        count
    } else if count.is_nan() || prob.is_nan() {
        f64::NAN
    } else if prob <= 0.5 {
        successes(g, count, prob)
    } else {
        count - successes(g, count, 1.0 - prob)
    }
}

fn successes(g: &mut Generator, count: f64, prob: f64) -> f64 {
    if count * prob >= 10.0 { transformed_rejection(g, count, prob) } else { by_waiting(g, count, prob) }
}

/// Adds up geometric waiting times until they exceed `count`.
fn by_waiting(g: &mut Generator, count: f64, prob: f64) -> f64 {
    let log_failure = (-prob).ln_1p();
    let (mut waited, mut successes) = (0.0, 0u64);
    loop {
        waited += (g.uniform().ln() / log_failure).ceil();
        if waited > count {
            return successes as f64;
        }
        successes += 1;
    }
}

/// Algorithm BTRS of W. Hörmann, The generation of binomial random variates, J. Statist. Comput. Simul. 46 (1993).
fn transformed_rejection(g: &mut Generator, n: f64, p: f64) -> f64 {
    let deviation = (n * p * (1.0 - p)).sqrt();
    let b = 1.15 + 2.53 * deviation;
    let a = -0.0873 + 0.0248 * b + 0.01 * p;
    let c = n * p + 0.5;
    let v_r = 0.92 - 4.2 / b;
    let odds = p / (1.0 - p);
    let alpha = (2.83 + 5.1 / b) * deviation;
    let mode = ((n + 1.0) * p).floor();
    loop {
        let u = g.uniform() - 0.5;
        let v = g.uniform();
        let us = 0.5 - u.abs();
        let k = ((2.0 * a / us + b) * u + c).floor();
        if us >= 0.07 && v <= v_r {
            return k;
        }
        if k < 0.0 || k > n {
            continue;
        }
        let v = (v * alpha / (a / (us * us) + b)).ln();
        let bound = (mode + 0.5) * ((mode + 1.0) / (odds * (n - mode + 1.0))).ln()
            + (n + 1.0) * ((n - mode + 1.0) / (n - k + 1.0)).ln()
            + (k + 0.5) * (odds * (n - k + 1.0) / (k + 1.0)).ln()
            + stirling_tail(mode)
            + stirling_tail(n - mode)
            - stirling_tail(k)
            - stirling_tail(n - k);
        if v <= bound {
            return k;
        }
    }
}

/// What Stirling's formula leaves of ln k!: tabulated to 9, then three terms of its series.
fn stirling_tail(k: f64) -> f64 {
    const TABLE: [f64; 10] = [
        0.0810614667953272,
        0.0413406959554092,
        0.0276779256849983,
        0.02079067210376509,
        0.0166446911898211,
        0.0138761288230707,
        0.0118967099458917,
        0.0104112652619720,
        0.00925546218271273,
        0.00833056343336287,
    ];
    if k <= 9.0 {
        return TABLE[k.max(0.0) as usize];
    }
    let square = (k + 1.0) * (k + 1.0);
    (1.0 / 12.0 - (1.0 / 360.0 - 1.0 / 1260.0 / square) / square) / (k + 1.0)
}
