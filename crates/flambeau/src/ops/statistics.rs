//! Covariance and correlation.

use crate::Tensor;
use crate::generated::functions as f;
use crate::ops::matmul::mm;
use crate::ops::reduce::{all, conj, sum, sum_dim};
use crate::ops::{convert, index, shape};
use flambeau_core::{DType, Dims, Result, Scalar, bail};

/// The checks on weights of observations; gives them as a vector.
fn weights(w: &Tensor, name: &str, integral: bool, n: i64) -> Result<()> {
    if w.dim() > 1 {
        bail!(
            "cov(): expected {name} to have one or fewer dimensions but got {name} with {} dimensions",
            w.dim()
        );
    }
    let dtype = w.dtype();
    if integral && !dtype.is_integral() {
        bail!("cov(): expected {name} to have integral dtype but got {name} with {} dtype", dtype.cpp_name());
    }
    if !integral && !dtype.is_floating_point() {
        bail!(
            "cov(): expected {name} to have floating point dtype but got {name} with {} dtype",
            dtype.cpp_name()
        );
    }
    if w.numel() as i64 != n {
        bail!(
            "cov(): expected {name} to have the same numel as there are observations in the input but got {} != {n}",
            w.numel()
        );
    }
    if n > 0 && !w.is_meta() && !all(&f::ge_scalar(&w.alias(), 0i64.into())?)?.item()?.to_bool() {
        bail!("cov(): {name} cannot be negative");
    }
    Ok(())
}

/// `torch.cov`: rows are variables, columns observations.
pub fn cov(
    self_: &Tensor,
    correction: i64,
    fweights: Option<&Tensor>,
    aweights: Option<&Tensor>,
) -> Result<Tensor> {
    if self_.dim() > 2 {
        bail!(
            "cov(): expected input to have two or fewer dimensions but got an input with {} dimensions",
            self_.dim()
        );
    }
    if self_.dtype() == DType::Bool {
        bail!(NotImplemented, "cov(): bool dtype is not supported for input");
    }
    let x = if self_.dim() < 2 { shape::reshape(self_, &[1, self_.numel() as i64])? } else { self_.clone() };
    let n = x.sizes()[1];
    if let Some(w) = fweights {
        weights(w, "fweights", true, n)?;
    }
    if let Some(w) = aweights {
        weights(w, "aweights", false, n)?;
    }
    let w = match (fweights, aweights) {
        (Some(a), Some(b)) => Some(f::mul(a, b)?),
        (a, b) => a.or(b).cloned(),
    };
    let total = match &w {
        Some(w) => sum(w, None)?,
        None => crate::ops::creation::scalar_tensor(n.into(), DType::Int64)?,
    };
    if w.is_some() && !total.is_meta() && total.item()?.is(0) {
        bail!("cov(): weights sum to zero, can't be normalized");
    }
    let weigh = |t: &Tensor| -> Result<Tensor> {
        match &w {
            Some(w) => f::mul(t, w),
            None => Ok(t.clone()),
        }
    };
    let mean = f::div(&sum_dim(&weigh(&x)?, Some(&[1]), true, None)?, &total)?;
    let mut divisor = match (&w, aweights) {
        (Some(w), Some(a)) if correction != 0 => {
            let spread = f::div(&sum(&f::mul(w, a)?, None)?, &total)?;
            f::sub(&total, &f::mul_scalar(&spread, correction.into())?, 1i64.into())?
        }
        _ => f::sub_scalar(&total, correction.into(), 1i64.into())?,
    };
    if !divisor.is_meta() && divisor.item()?.to_f64() <= 0.0 {
        crate::warn(
            "cov(): degrees of freedom is <= 0. Correction should be strictly less than the number of observations.",
        );
        divisor = f::mul_scalar(&divisor, 0i64.into())?;
    }
    let centered = f::sub(&x, &mean, 1i64.into())?;
    let product = mm(&centered, &conj(&shape::transpose(&weigh(&centered)?, 0, 1)?)?)?;
    let out = f::div(&product, &divisor)?;
    let sizes: Dims = out.sizes().iter().copied().filter(|&s| s != 1).collect();
    shape::view(&out, &sizes)
}

/// `torch.corrcoef`: the covariance of variables of unit variance.
pub fn corrcoef(self_: &Tensor) -> Result<Tensor> {
    if self_.dim() > 2 {
        bail!(
            "corrcoef(): expected input to have two or fewer dimensions but got an input with {} dimensions",
            self_.dim()
        );
    }
    let c = cov(self_, 1, None, None)?;
    if c.dim() == 0 {
        return f::div(&c, &c);
    }
    // The roots of the diagonal, as a column.
    let n = c.sizes()[0];
    let diagonal: Vec<i64> = (0..n).collect();
    let variances = index::gather(&c, 1, &Tensor::from_slice(&diagonal, &[n, 1])?, false)?;
    let variances = if c.is_complex() { convert::real(&variances)? } else { variances };
    let deviations = f::sqrt(&variances)?;
    let c = f::div(&f::div(&c, &deviations)?, &shape::transpose(&deviations, 0, 1)?)?;
    let limit = |t: &Tensor| f::clamp(t, Some(Scalar::Int(-1)), Some(Scalar::Int(1)));
    if c.is_complex() {
        let (re, im) = (convert::real(&c)?, convert::imag(&c)?);
        return crate::ops::composite::complex(&limit(&re)?, &limit(&im)?);
    }
    limit(&c)
}
