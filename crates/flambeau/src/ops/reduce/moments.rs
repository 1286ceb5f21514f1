//! Variances and standard deviations.

use super::Geometry;
use crate::Tensor;
use crate::autograd::{Save, record};
use crate::generated::functions as f;
use crate::ops::operand;
use flambeau_core::{Array, Result, Scalar, bail};
use flambeau_cpu::reduce;
use smallvec::smallvec;

/// Variance (its root if asked) without history, and the mean if wanted.
fn compute(
    input: &Array,
    g: &Geometry,
    correction: f64,
    root: bool,
    with_mean: bool,
) -> Result<(Tensor, Option<Tensor>)> {
    let real = input.dtype.to_real();
    let (out, to) = g.output(real, input)?;
    let mean = if with_mean { Some(g.output(input.dtype, input)?) } else { None };
    if input.device().is_meta() {
        return Ok((out, mean.map(|m| m.0)));
    }
    // SAFETY: operands of the geometry's sizes.
    unsafe {
        if input.dtype.is_complex() {
            // The variance of a complex number is that of its parts together.
            let (second, to_second) = g.output(real, input)?;
            reduce::moments(&operand(&input.component(0)), &to, None, &g.sizes, &g.mask, correction, false);
            reduce::moments(
                &operand(&input.component(1)),
                &to_second,
                None,
                &g.sizes,
                &g.mask,
                correction,
                false,
            );
            let total = f::add(&out, &second, 1i64.into())?;
            let mean = match mean {
                Some((mean, to_mean)) => {
                    let n = g.count() as f64;
                    reduce::sum(&operand(input), &to_mean, &g.sizes, &g.mask, false, Some(n))?;
                    Some(mean)
                }
                None => None,
            };
            return Ok((if root { f::sqrt(&total)? } else { total }, mean));
        }
        let to_mean = mean.as_ref().map(|m| &m.1);
        reduce::moments(&operand(input), &to, to_mean, &g.sizes, &g.mask, correction, root);
    }
    Ok((out, mean.map(|m| m.0)))
}

/// The gradient of the variance.
fn var_backward(grad: &Tensor, x: &Tensor, g: &Geometry, correction: f64) -> Result<Tensor> {
    let n = g.count() as f64;
    let factor = 2.0 / (n - correction).max(0.0);
    let mean = super::mean_dim(x, Some(&g.dims()), true, None)?;
    let mean = if g.dims().is_empty() { x.clone() } else { mean };
    let centered = f::sub(x, &mean, 1i64.into())?;
    f::mul(&f::mul_scalar(&g.unreduce(grad)?, factor.into())?, &centered)
}

/// The gradient of the standard deviation turned into one of the variance; 0 where the deviation is 0.
fn std_to_var(grad: &Tensor, result: &Tensor) -> Result<Tensor> {
    let grad = f::div(grad, &f::mul_scalar(result, 2i64.into())?)?;
    let zero = f::eq_scalar(&result.alias(), 0i64.into())?;
    super::zero_where(&zero, &grad)
}

struct Call<'a> {
    names: [&'static str; 2],
    dim: Option<&'a [i64]>,
    correction: Option<Scalar>,
    keepdim: bool,
    root: bool,
    with_mean: bool,
}

fn run(self_: &Tensor, call: Call) -> Result<(Tensor, Option<Tensor>)> {
    let Call { names: [op, node], dim, correction, keepdim, root, with_mean } = call;
    let input = self_.array();
    if !input.dtype.is_differentiable() {
        bail!(NotImplemented, "{op} only support floating point and complex dtypes");
    }
    let correction = correction.map_or(1.0, Scalar::to_f64);
    let g = Geometry::new(&input.sizes, dim, keepdim)?;
    if g.count() as f64 <= correction {
        let op = node.trim_end_matches("Backward0").to_ascii_lowercase().replace("mean", "_mean");
        crate::warn(&format!(
            "{op}(): degrees of freedom is <= 0. Correction should be strictly less than the reduction factor (input numel divided by output numel)."
        ));
    }
    let (out, mean) = compute(&input, &g, correction, root, with_mean)?;
    let outputs: smallvec::SmallVec<[&Tensor; 2]> = std::iter::once(&out).chain(&mean).collect();
    record(&outputs, node, &[self_], &[Save::Input(self_), Save::Output(0)], move |ctx| {
        let x = ctx.saved(0)?;
        let mut total = None;
        if let Some(grad) = ctx.grad(0) {
            let grad = if root { std_to_var(grad, &ctx.saved(1)?)? } else { grad.clone() };
            total = Some(var_backward(&grad, &x, &g, correction)?);
        }
        if let Some(grad) = ctx.grad(1) {
            let part = g.expand(&f::div_scalar(grad, g.count().into())?)?;
            total = Some(match total {
                Some(t) => f::add(&t, &part, 1i64.into())?,
                None => part,
            });
        }
        Ok(smallvec![total])
    })?;
    drop(outputs);
    Ok((out, mean))
}

fn unbiased_correction(unbiased: bool) -> Option<Scalar> {
    Some(Scalar::Int(unbiased as i64))
}

macro_rules! one_result {
    ($plain:ident, $dim:ident, $correction:ident, $node:literal, $root:literal) => {
        /// Over all elements.
        pub fn $plain(self_: &Tensor, unbiased: bool) -> Result<Tensor> {
            $correction(self_, None, unbiased_correction(unbiased), false)
        }
        /// Over dimensions, divided by `n - 1` where `unbiased`.
        pub fn $dim(self_: &Tensor, dim: Option<&[i64]>, unbiased: bool, keepdim: bool) -> Result<Tensor> {
            $correction(self_, dim, unbiased_correction(unbiased), keepdim)
        }
        /// Over dimensions, divided by `n - correction` (1 unless given).
        pub fn $correction(
            self_: &Tensor,
            dim: Option<&[i64]>,
            correction: Option<Scalar>,
            keepdim: bool,
        ) -> Result<Tensor> {
            let names = ["std and var", $node];
            Ok(run(self_, Call { names, dim, correction, keepdim, root: $root, with_mean: false })?.0)
        }
    };
}
one_result!(var, var_dim, var_correction, "VarBackward0", false);
one_result!(std, std_dim, std_correction, "StdBackward0", true);

macro_rules! with_mean {
    ($plain:ident, $dim:ident, $correction:ident, $op:literal, $node:literal, $root:literal) => {
        /// Over all elements, with the mean.
        pub fn $plain(self_: &Tensor, unbiased: bool) -> Result<(Tensor, Tensor)> {
            $correction(self_, None, unbiased_correction(unbiased), false)
        }
        /// Over dimensions, divided by `n - 1` where `unbiased`, with the mean.
        pub fn $dim(
            self_: &Tensor,
            dim: Option<&[i64]>,
            unbiased: bool,
            keepdim: bool,
        ) -> Result<(Tensor, Tensor)> {
            $correction(self_, dim, unbiased_correction(unbiased), keepdim)
        }
        /// Over dimensions, divided by `n - correction` (1 unless given), with the mean.
        pub fn $correction(
            self_: &Tensor,
            dim: Option<&[i64]>,
            correction: Option<Scalar>,
            keepdim: bool,
        ) -> Result<(Tensor, Tensor)> {
            let names = [$op, $node];
            match run(self_, Call { names, dim, correction, keepdim, root: $root, with_mean: true })? {
                (out, Some(mean)) => Ok((out, mean)),
                _ => bail!("{} gave no mean", $op),
            }
        }
    };
}
with_mean!(var_mean, var_mean_dim, var_mean_correction, "var_mean", "VarMeanBackward0", false);
with_mean!(std_mean, std_mean_dim, std_mean_correction, "std_mean", "StdMeanBackward0", true);
