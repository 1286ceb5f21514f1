//! Normalisation: batch, instance, layer, group, root mean square.
//!
//! Forward and backward are kernels; a backward that is differentiated itself is composed of operators.

mod batch;
mod group;
mod layer;

pub use batch::{batch_norm, instance_norm, native_batch_norm};
pub use group::{group_norm, native_group_norm};
pub use layer::{layer_norm, native_layer_norm, rms_norm};

use crate::Tensor;
use crate::autograd::{Context, GradMode, Grads, Save, grad_enabled, record};
use crate::generated::functions as f;
use crate::ops::dense::{Dense, written};
use crate::ops::{reduce, shape, sum_to_size};
use flambeau_core::{DType, Dims, Result, bail};
use flambeau_cpu::norm::{self, Affine, Planes, Real};
use smallvec::smallvec;
use std::sync::Arc;

/// What weight and bias go with.
enum Layout {
    /// One element for each channel of planes.
    Planes(Planes),
    /// One element for each of a row of this width.
    Rows(usize),
}

/// A normalisation of one input: its kernel, and how it is composed of operators.
struct Normal {
    layout: Layout,
    /// Means and reciprocal standard deviations; none before groups of `own` elements are measured.
    moments: [Vec<f64>; 2],
    /// Elements of groups that lie one after the other and are normalised by their own moments.
    own: Option<usize>,
    /// Sizes of the input in which `dims` are the dimensions of the moments; none where these were given.
    view: Option<(Dims, Dims)>,
    /// Sizes of weight and bias that broadcast with the input.
    affine: Dims,
    eps: f64,
    names: [&'static str; 2],
    /// Whether the result has the memory format of the input.
    formatted: bool,
}

/// The type that a normalisation of `dtype` computes in.
fn compute(dtype: DType) -> DType {
    if dtype == DType::Float64 { dtype } else { DType::Float32 }
}

fn scales(variances: &[f64], eps: f64) -> Vec<f64> {
    variances.iter().map(|v| 1.0 / (v + eps).sqrt()).collect()
}

/// Numbers as a tensor.
fn tensor(values: &[f64], sizes: &[i64], dtype: DType) -> Result<Tensor> {
    shape::to_dtype(&Tensor::from_slice(values, sizes)?, dtype)
}

/// Fails unless the input is of a floating-point dtype and the parameters of the same, or all of `float32` beside an
/// input of half precision.
fn check_dtypes(kernel: &str, input: &Tensor, parameters: &[Option<&Tensor>]) -> Result<()> {
    let dtype = input.dtype();
    if !dtype.is_floating_point() {
        bail!(NotImplemented, "\"{kernel}\" not implemented for '{}'", dtype.cpp_name());
    }
    let mut all = parameters.iter().flatten().map(|t| t.dtype()).peekable();
    let Some(&first) = all.peek() else { return Ok(()) };
    if all.clone().all(|d| d == dtype) {
        return Ok(());
    }
    if first != DType::Float32 || all.any(|d| d != DType::Float32) {
        bail!("mixed dtype (CPU): expect parameter to have scalar type of Float");
    }
    if !matches!(dtype, DType::Float16 | DType::BFloat16) {
        bail!("mixed dtype (CPU): all inputs must share same datatype.");
    }
    Ok(())
}

/// What is saved of measured groups: its sizes and dtype, and whether it is an output of the operation.
struct Kept {
    sizes: Dims,
    dtype: DType,
    output: bool,
}

impl Normal {
    fn forward<F: Real>(&mut self, input: &Tensor, affine: [Option<&Tensor>; 2]) -> Result<Tensor> {
        let _guard = GradMode::no_grad();
        let x = Dense::<F>::of(input)?;
        let [w, b] = affine.map(|t| t.map(Dense::<F>::of).transpose());
        let (w, b) = (w?, b?);
        let affine = [w.as_deref(), b.as_deref()];
        written::<F>(&input.sizes(), input.dtype(), |out| {
            let with = match (&self.layout, self.own) {
                (Layout::Planes(s), None) => {
                    let moments = [&self.moments[0][..], &self.moments[1]];
                    return norm::normalise_planes(s, &x, moments, affine, out);
                }
                (Layout::Planes(s), _) => Affine::Channels { channels: s.channels, inner: s.inner },
                (Layout::Rows(_), _) => Affine::Elements,
            };
            self.moments = match self.own {
                Some(size) if size > 0 => norm::normalise_groups(size, with, self.eps, &x, affine, out)?,
                // Rows without elements.
                _ => {
                    let rows = self.view.as_ref().map_or(0, |(sizes, _)| sizes[0] as usize);
                    [vec![f64::NAN; rows], vec![f64::NAN; rows]]
                }
            };
            Ok(())
        })
    }

    /// The gradients by input, weight and bias.
    fn backward<F: Real>(
        &self,
        grad: &Tensor,
        input: &Tensor,
        weight: Option<&Tensor>,
    ) -> Result<[Tensor; 3]> {
        let _guard = GradMode::no_grad();
        let (g, x) = (Dense::<F>::of(grad)?, Dense::<F>::of(input)?);
        let w = weight.map(Dense::<F>::of).transpose()?;
        let moments = [&self.moments[0][..], &self.moments[1]];
        let mut sums = [Vec::new(), Vec::new()];
        let by_input = written::<F>(&input.sizes(), input.dtype(), |out| {
            sums = match &self.layout {
                Layout::Planes(s) => {
                    norm::normalise_planes_backward(s, [&g, &x], moments, w.as_deref(), out)?
                }
                Layout::Rows(n) => norm::normalise_rows_backward(*n, [&g, &x], moments, w.as_deref(), out)?,
            };
            Ok(())
        })?;
        let [by_weight, by_bias] = sums;
        let flat = |list: Vec<F>| Tensor::from_slice(&list, &[list.len() as i64]);
        Ok([by_input, flat(by_weight)?, flat(by_bias)?])
    }

    /// [`Normal::backward`] in differentiable operators, with the gradients of the moments if there are any.
    fn composed_backward(
        &self,
        grad: &Tensor,
        input: &Tensor,
        weight: Option<&Tensor>,
        of_moments: [Option<&Tensor>; 2],
    ) -> Result<[Tensor; 3]> {
        let (sizes, dtype) = (input.sizes(), compute(input.dtype()));
        let (x, g) = (shape::to_dtype(input, dtype)?, shape::to_dtype(grad, dtype)?);
        let one = || 1i64.into();
        let weighted = match weight {
            Some(w) => f::mul(&g, &shape::reshape(&shape::to_dtype(w, dtype)?, &self.affine)?)?,
            None => g.clone(),
        };
        let (by_input, normal) = match &self.view {
            None => {
                let given = |i: usize| saved(&self.moments[i], &self.affine, dtype, &x);
                let normal = f::mul(&f::sub(&x, &given(0)?, one())?, &given(1)?)?;
                (f::mul(&weighted, &given(1)?)?, normal)
            }
            Some((view, dims)) => {
                let mean = |t: &Tensor| reduce::mean_dim(t, Some(dims), true, None);
                let (x, g) = (shape::reshape(&x, view)?, shape::reshape(&weighted, view)?);
                let centred = f::sub(&x, &mean(&x)?, one())?;
                let var = mean(&f::mul(&centred, &centred)?)?;
                let scale = f::rsqrt(&f::add_scalar(&var, self.eps.into(), one())?)?;
                let normal = f::mul(&centred, &scale)?;
                let inner = f::sub(&g, &mean(&g)?, one())?;
                let inner = f::sub(&inner, &f::mul(&normal, &mean(&f::mul(&g, &normal)?)?)?, one())?;
                let mut by_input = f::mul(&inner, &scale)?;
                let count: i64 = dims.iter().map(|&d| view[d as usize]).product();
                let share = |t: &Tensor| -> Result<Tensor> {
                    let t = shape::reshape(&shape::to_dtype(t, dtype)?, &scale.sizes())?;
                    f::div_scalar(&t, count.max(1).into())
                };
                if let Some(t) = of_moments[0] {
                    by_input = f::add(&by_input, &share(t)?, one())?;
                }
                if let Some(t) = of_moments[1] {
                    let slope = f::mul(&normal, &f::mul(&scale, &scale)?)?;
                    by_input = f::sub(&by_input, &f::mul(&slope, &share(t)?)?, one())?;
                }
                (shape::reshape(&by_input, &sizes)?, shape::reshape(&normal, &sizes)?)
            }
        };
        let flat = |t: Tensor| shape::reshape(&sum_to_size(&t, &self.affine)?, &[-1]);
        let by_weight = flat(f::mul(&g, &normal)?)?;
        Ok([shape::to_dtype(&by_input, input.dtype())?, by_weight, flat(g)?])
    }

    /// The normalised input, and means and reciprocal standard deviations if they are kept.
    fn apply(
        mut self,
        input: &Tensor,
        weight: Option<&Tensor>,
        bias: Option<&Tensor>,
        kept: Option<Kept>,
    ) -> Result<(Tensor, Option<[Tensor; 2]>)> {
        let out = if input.is_meta() {
            Tensor::empty_raw(&input.sizes(), input.dtype(), input.device())?
        } else if compute(input.dtype()) == DType::Float64 {
            self.forward::<f64>(input, [weight, bias])?
        } else {
            self.forward::<f32>(input, [weight, bias])?
        };
        let out = if self.formatted { shape::in_format_of(out, &[input])? } else { out };
        let output = kept.as_ref().is_some_and(|kept| kept.output);
        let kept = match kept {
            Some(Kept { sizes, dtype, .. }) => {
                let [mean, scale] = [0, 1].map(|i: usize| saved(&self.moments[i], &sizes, dtype, input));
                Some([mean?, scale?])
            }
            None => None,
        };
        let moments = kept.iter().flatten().filter(|_| output);
        let outputs: Vec<&Tensor> = [&out].into_iter().chain(moments).collect();
        let mut inputs = vec![input];
        inputs.extend(weight);
        inputs.extend(bias);
        let described = |t: Option<&Tensor>| t.map(|t| (t.sizes(), t.dtype()));
        let affine = [described(weight), described(bias)];
        let saves = [Save::Input(input), Save::Opt(weight)];
        let this = Arc::new(self);
        record(&outputs, this.clone().names[0], &inputs, &saves, move |ctx| {
            let three = this.gradients(ctx)?;
            let Some(three) = three else { return Ok(smallvec![None; ctx.needs_all().len()]) };
            let mut grads: Grads = smallvec![Some(three[0].clone())];
            for (t, like) in three[1..].iter().zip(&affine) {
                if let Some((sizes, dtype)) = like {
                    grads.push(Some(shape::to_dtype(&shape::reshape(t, sizes)?, *dtype)?));
                }
            }
            ctx.connected(this.names[1], grads)
        })?;
        Ok((out, kept))
    }

    fn gradients(&self, ctx: &Context) -> Result<Option<[Tensor; 3]>> {
        let of_moments = [ctx.grad(1), ctx.grad(2)];
        if ctx.grads().iter().all(Option::is_none) {
            return Ok(None);
        }
        let (grad, input, weight) = (ctx.grad_or_zeros(0)?, ctx.saved(0)?, ctx.saved_opt(1)?);
        let tracked = [Some(&grad), Some(&input), weight.as_ref()];
        let twice = grad_enabled() && tracked.into_iter().flatten().any(|t| t.requires_grad());
        if twice || of_moments.iter().any(Option::is_some) || grad.is_meta() {
            return self.composed_backward(&grad, &input, weight.as_ref(), of_moments).map(Some);
        }
        match compute(input.dtype()) {
            DType::Float64 => self.backward::<f64>(&grad, &input, weight.as_ref()),
            _ => self.backward::<f32>(&grad, &input, weight.as_ref()),
        }
        .map(Some)
    }
}

/// The moments of groups of an input, as means and biased variances.
fn moments(groups: norm::Groups, input: &Tensor) -> Result<(Vec<f64>, Vec<f64>)> {
    if input.is_meta() {
        return Ok(Default::default());
    }
    match compute(input.dtype()) {
        DType::Float64 => norm::moments(groups, &Dense::<f64>::of(input)?),
        _ => norm::moments(groups, &Dense::<f32>::of(input)?),
    }
}

/// Moments as a tensor beside their input.
fn saved(values: &[f64], sizes: &[i64], dtype: DType, input: &Tensor) -> Result<Tensor> {
    match input.is_meta() {
        true => Tensor::empty_raw(sizes, dtype, input.device()),
        false => tensor(values, sizes, dtype),
    }
}

/// Sizes with which one element for each channel broadcasts.
fn per_channel(rank: usize, channels: i64) -> Dims {
    let mut sizes: Dims = smallvec![1; rank];
    sizes[1] = channels;
    sizes
}
