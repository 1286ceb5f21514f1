//! Distributions made from one uniform or normal number an element.

use super::error_text::{general, not_implemented};
use super::generator::Generator;
use super::sample::{BATCH, Numbers, fill};
use crate::vector::{Elementary, Vector};
use crate::wide::{Body, wide};
use flambeau_core::{DType, Result, bail};

/// Fills with exponential numbers of rate `lambd`. Errors unless `lambd > 0` and the dtype is floating point.
pub fn exponential_(g: &mut Generator, dtype: DType, out: &mut dyn Numbers, lambd: f64) -> Result<()> {
    if lambd.is_nan() || lambd <= 0.0 {
        bail!("exponential_ expects lambda > 0.0, but found lambda={}", general(lambd));
    }
    if !dtype.is_floating_point() && out.count() > 0 {
        bail!(
            "Exponential distribution is a continuous probability distribution. dtype must be a floating point but \
             you specified {}",
            dtype.cpp_name()
        );
    }
    let scale = -1.0 / lambd;
    fill(out, |_, batch| {
        if dtype == DType::Float64 {
            g.fill_uniform64(batch, |u| scale * (-u).ln_1p());
        } else {
            g.fill_uniform64(batch, |u| u);
            exponential(batch, scale);
        }
    });
    Ok(())
}

/// Relative errors of [`Vector::log`] and a product are smaller.
const ERROR: f64 = 1.0 / (1u64 << 50) as f64;

/// Replaces uniform numbers by exponential ones, which round to the same `f32` as `scale * (-u).ln_1p()`: where a vector
/// function leaves that open, the system's decides.
fn exponential(batch: &mut [f64], scale: f64) {
    struct Scaled<'a>(&'a mut [f64], f64);
    impl Body for Scaled<'_> {
        type Output = bool;
        #[inline(always)]
        fn run(self) -> bool {
            let mut open = false;
            for x in self.0 {
                *x *= self.1;
                open |= is_open(*x);
            }
            open
        }
    }
    let mut uniform = [0.0; BATCH];
    let uniform = &mut uniform[..batch.len()];
    uniform.copy_from_slice(batch);
    // The differences are exact.
    batch.iter_mut().for_each(|u| *u = 1.0 - *u);
    Vector::map_in_place(Elementary::Log, batch);
    if wide(Scaled(batch, scale)) {
        for (o, &u) in batch.iter_mut().zip(&*uniform) {
            if is_open(*o) {
                *o = scale * (-u).ln_1p();
            }
        }
    }
}

/// Whether numbers as near as the error round to different `f32`; also zeros and NaN.
#[inline(always)]
fn is_open(x: f64) -> bool {
    let (low, high) = ((x - x * ERROR) as f32, (x + x * ERROR) as f32);
    !(low == high && x != 0.0)
}

/// Fills with Cauchy numbers. Errors unless `sigma > 0` and the dtype is floating point.
pub fn cauchy_(
    g: &mut Generator,
    dtype: DType,
    out: &mut dyn Numbers,
    median: f64,
    sigma: f64,
) -> Result<()> {
    if sigma.is_nan() || sigma <= 0.0 {
        bail!("cauchy_ expects sigma > 0.0, but found sigma={}", general(sigma));
    }
    if !dtype.is_floating_point() {
        bail!(
            "Cauchy distribution is a continuous probability distribution. dtype must be a floating point but you \
             specified {}",
            dtype.cpp_type()
        );
    }
    fill(out, |_, batch| {
        g.fill_uniform64(batch, |u| sigma.mul_add((std::f64::consts::PI * (u - 0.5)).tan(), median));
    });
    Ok(())
}

/// Fills with the number of trials of probability `p` until the first success (1, 2, …). Errors unless `0 < p < 1`.
pub fn geometric_(g: &mut Generator, dtype: DType, out: &mut dyn Numbers, p: f64) -> Result<()> {
    if !(p > 0.0 && p < 1.0) {
        bail!("geometric_ expects p to be in (0, 1), but got p={}", general(p));
    }
    let served = dtype.is_floating_point() || dtype.is_integral() && !is_wide_unsigned(dtype);
    if !served && out.count() > 0 {
        return Err(not_implemented("geometric_cpu", dtype));
    }
    let log_failure = (-p).ln_1p();
    fill(out, |_, batch| g.fill_uniform64(batch, |u| (u.ln() / log_failure).ceil()));
    Ok(())
}

/// Fills with the exponentials of normal numbers. Errors unless `std > 0` and the dtype is floating point.
pub fn log_normal_(
    g: &mut Generator,
    dtype: DType,
    out: &mut dyn Numbers,
    mean: f64,
    std: f64,
) -> Result<()> {
    if std.is_nan() || std <= 0.0 {
        bail!("log_normal_ expects std > 0.0, but found std={}", general(std));
    }
    if !dtype.is_floating_point() && out.count() > 0 {
        return Err(not_implemented("log_normal_cpu", dtype));
    }
    fill(out, |_, batch| {
        for x in batch {
            *x = g.standard_normal().mul_add(std, mean).exp();
        }
    });
    Ok(())
}

/// The unsigned types that most kernels of PyTorch leave out.
pub(super) fn is_wide_unsigned(dtype: DType) -> bool {
    matches!(dtype, DType::UInt16 | DType::UInt32 | DType::UInt64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_numbers_round_as_by_the_systems_logarithm() {
        let mut g = Generator::new(3);
        for scale in [-1.0, -0.4, -1e-30, -1e300] {
            for _ in 0..400 {
                let mut batch: Vec<f64> = (0..BATCH - 2).map(|_| g.uniform()).collect();
                batch.extend([0.0, 1.0 - f64::EPSILON / 2.0]);
                let right: Vec<u32> =
                    batch.iter().map(|u| ((scale * (-u).ln_1p()) as f32).to_bits()).collect();
                exponential(&mut batch, scale);
                assert!(batch.iter().zip(&right).all(|(&x, &r)| (x as f32).to_bits() == r));
            }
        }
    }
}
