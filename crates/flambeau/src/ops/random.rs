//! Random numbers: fills in place, fresh tensors, draws from distributions, dropout.

use crate::autograd::{self, GradMode, Save, record};
use crate::generated::functions as f;
use crate::ops::creation::resolve;
use crate::ops::shape;
use crate::ops::support::{copy_array, copy_data};
use crate::schema::TensorOptions;
use crate::{Generator, Tensor};
use flambeau_core::{Array, DType, Dims, Init, MemoryFormat, Result, Scalar, bail, dispatch, show};
use flambeau_cpu::random as cpu;
use smallvec::{SmallVec, smallvec};

fn with<R>(generator: Option<&Generator>, f: impl FnOnce(&mut cpu::Generator) -> R) -> R {
    match generator {
        Some(g) => g.with(f),
        None => Generator::default_generator().with(f),
    }
}

/// A dense tensor whose memory order is that of `t`: what fills draw into.
fn memory_ordered(t: &Tensor) -> Result<Tensor> {
    let a = t.array();
    let mut order: SmallVec<[usize; 6]> = (0..a.dim()).collect();
    order.sort_by_key(|&d| (std::cmp::Reverse(a.strides[d]), d));
    let mut strides: Dims = SmallVec::from_elem(1, a.dim());
    let mut stride = 1;
    for &d in order.iter().rev() {
        strides[d] = stride;
        stride = a.sizes[d].max(1).saturating_mul(stride);
    }
    Ok(Tensor::from_array(Array::empty_strided(&a.sizes, strides, a.dtype, a.device(), Init::Zero)?))
}

/// Elements of a dense tensor as a slice of their type.
macro_rules! elements {
    ($t:expr, $S:ty) => {{
        let a = $t.array();
        // SAFETY: a dense array of this element type, kept alive by the caller.
        unsafe {
            if a.numel() == 0 {
                std::slice::from_raw_parts_mut(std::ptr::NonNull::<$S>::dangling().as_ptr(), 0)
            } else {
                std::slice::from_raw_parts_mut(a.data_ptr().cast::<$S>(), a.numel())
            }
        }
    }};
}

/// Draws the elements of a dense tensor, in the order of its memory.
fn draw(
    t: &Array,
    generator: Option<&Generator>,
    make: &mut dyn FnMut(&mut cpu::Generator, &mut dyn cpu::Numbers) -> Result<()>,
) -> Result<()> {
    dispatch!(storage t.dtype, S => {
        let mut nothing: [S; 0] = [];
        let mut slice: &mut [S] = if t.numel() == 0 { &mut nothing } else {
            // SAFETY: a dense array of this element type, fresh or the one that is being written.
            unsafe { std::slice::from_raw_parts_mut(t.data_ptr().cast::<S>(), t.numel()) }
        };
        with(generator, |g| make(g, &mut slice))
    })
}

/// Replaces the elements of `t` by random numbers, made in the order of its memory.
fn fill(
    t: &Tensor,
    generator: Option<&Generator>,
    mut make: impl FnMut(&mut cpu::Generator, &mut dyn cpu::Numbers) -> Result<()>,
) -> Result<Tensor> {
    autograd::check_inplace(t, false)?;
    crate::ops::check_writable(&t.array(), &[])?;
    if !t.is_meta() {
        // Straight into the tensor's memory where that is one block of its elements.
        let own = t.array();
        let direct = own.is_contiguous() && (own.data_ptr() as usize).is_multiple_of(own.dtype.size());
        let a = if direct { own } else { memory_ordered(t)?.array() };
        draw(&a, generator, &mut make)?;
        if !direct {
            copy_array(&t.array(), &a)?;
        }
    }
    zero_gradient(t)
}

/// After a fill the old value does not matter: its gradient is zero.
fn zero_gradient(t: &Tensor) -> Result<Tensor> {
    autograd::record_inplace(t, "FillRandomBackward0", &[t], &[], |ctx| {
        Ok(smallvec![match ctx.grad(0) {
            Some(g) => Some(f::mul_scalar(g, 0i64.into())?),
            None => None,
        }])
    })?;
    Ok(t.clone())
}

pub fn uniform_(self_: &Tensor, from: f64, to: f64, generator: Option<&Generator>) -> Result<Tensor> {
    let dtype = self_.dtype();
    cpu::check_uniform_bounds(dtype, from, to)?;
    fill(self_, generator, |g, out| cpu::uniform_(g, dtype, out, from, to))
}

pub fn normal_(self_: &Tensor, mean: f64, std: f64, generator: Option<&Generator>) -> Result<Tensor> {
    let dtype = self_.dtype();
    cpu::check_normal_std(std)?;
    let serial = !self_.is_contiguous();
    let make = if serial { cpu::normal_serial_ } else { cpu::normal_ };
    fill(self_, generator, |g, out| make(g, dtype, out, mean, std))
}

pub fn random_(self_: &Tensor, generator: Option<&Generator>) -> Result<Tensor> {
    let dtype = self_.dtype();
    fill(self_, generator, |g, out| cpu::random_(g, dtype, out))
}

pub fn random_to(self_: &Tensor, to: i64, generator: Option<&Generator>) -> Result<Tensor> {
    random_from(self_, 0, Some(to), generator)
}

pub fn random_from(
    self_: &Tensor,
    from: i64,
    to: Option<i64>,
    generator: Option<&Generator>,
) -> Result<Tensor> {
    let bounds = cpu::random_bounds(self_.dtype(), from, to)?;
    for text in &bounds.warnings {
        crate::warn(text);
    }
    fill(self_, generator, |g, out| {
        cpu::random_from_to(g, out, &bounds);
        Ok(())
    })
}

pub fn bernoulli_(self_: &Tensor, p: f64, generator: Option<&Generator>) -> Result<Tensor> {
    let dtype = self_.dtype();
    fill(self_, generator, |g, out| cpu::bernoulli_(g, dtype, out, p))
}

pub fn bernoulli_tensor_(self_: &Tensor, p: &Tensor, generator: Option<&Generator>) -> Result<Tensor> {
    let sizes = self_.sizes();
    let expanded = shape::expand(&p.alias(), &sizes)?;
    let p_dtype = p.dtype();
    // In the order of the memory that is filled.
    let (from, to) = (expanded.array(), self_.array());
    let placed = from.is_contiguous()
        && to.is_contiguous()
        && (from.data_ptr() as usize).is_multiple_of(p_dtype.size())
        && !from.overlaps(&to);
    let probabilities = if placed {
        expanded
    } else {
        let like = memory_ordered(self_)?;
        let fresh = Array::empty_strided(&sizes, like.strides(), p_dtype, p.device(), Init::Uninit)?;
        let fresh = Tensor::from_array(fresh);
        copy_data(&fresh, &expanded)?;
        fresh
    };
    let dtype = self_.dtype();
    let pa = probabilities.array();
    fill(self_, generator, |g, out| {
        dispatch!(storage p_dtype, P => {
            let empty: [P; 0] = [];
            // SAFETY: a dense array of this element type.
            let p: &[P] = if pa.numel() == 0 { &empty } else { unsafe { std::slice::from_raw_parts(pa.data_ptr().cast::<P>(), pa.numel()) } };
            cpu::bernoulli_tensor_(g, dtype, out, p_dtype, &p)
        })
    })
}

pub fn bernoulli(self_: &Tensor, generator: Option<&Generator>) -> Result<Tensor> {
    let out = Tensor::empty_raw(&self_.sizes(), self_.dtype(), self_.device())?;
    bernoulli_tensor_(&out, self_, generator)?;
    record_zero(&out, self_, "BernoulliBackward0")
}

fn record_zero(out: &Tensor, input: &Tensor, name: &'static str) -> Result<Tensor> {
    record(&[out], name, &[input], &[], |ctx| {
        Ok(smallvec![match ctx.grad(0) {
            Some(g) => Some(f::mul_scalar(g, 0i64.into())?),
            None => None,
        }])
    })?;
    Ok(out.clone())
}

pub fn bernoulli_p(self_: &Tensor, p: f64, generator: Option<&Generator>) -> Result<Tensor> {
    let out = Tensor::zeros_raw(&self_.sizes(), self_.dtype(), self_.device())?;
    bernoulli_(&out, p, generator)
}

pub fn exponential_(self_: &Tensor, lambd: f64, generator: Option<&Generator>) -> Result<Tensor> {
    let dtype = self_.dtype();
    fill(self_, generator, |g, out| cpu::exponential_(g, dtype, out, lambd))
}
pub fn cauchy_(self_: &Tensor, median: f64, sigma: f64, generator: Option<&Generator>) -> Result<Tensor> {
    let dtype = self_.dtype();
    fill(self_, generator, |g, out| cpu::cauchy_(g, dtype, out, median, sigma))
}
pub fn geometric_(self_: &Tensor, p: f64, generator: Option<&Generator>) -> Result<Tensor> {
    let dtype = self_.dtype();
    fill(self_, generator, |g, out| cpu::geometric_(g, dtype, out, p))
}
pub fn log_normal_(self_: &Tensor, mean: f64, std: f64, generator: Option<&Generator>) -> Result<Tensor> {
    let dtype = self_.dtype();
    fill(self_, generator, |g, out| cpu::log_normal_(g, dtype, out, mean, std))
}

// fresh tensors

fn fresh(size: &[i64], dtype: Option<DType>, options: &TensorOptions) -> Result<Tensor> {
    let (dtype, device) = resolve(options, dtype)?;
    // Every element is drawn.
    Tensor::empty_raw(size, dtype, device)
}

fn finish(out: Tensor, options: &TensorOptions) -> Result<Tensor> {
    out.set_requires_grad(options.requires_grad)?;
    Ok(out)
}

pub fn rand(size: &[i64], generator: Option<&Generator>, options: &TensorOptions) -> Result<Tensor> {
    finish(uniform_(&fresh(size, None, options)?, 0.0, 1.0, generator)?, options)
}
pub fn randn(size: &[i64], generator: Option<&Generator>, options: &TensorOptions) -> Result<Tensor> {
    finish(normal_(&fresh(size, None, options)?, 0.0, 1.0, generator)?, options)
}
pub fn randint(
    high: i64,
    size: &[i64],
    generator: Option<&Generator>,
    options: &TensorOptions,
) -> Result<Tensor> {
    randint_low(0, high, size, generator, options)
}
pub fn randint_low(
    low: i64,
    high: i64,
    size: &[i64],
    generator: Option<&Generator>,
    options: &TensorOptions,
) -> Result<Tensor> {
    let out = fresh(size, Some(DType::Int64), options)?;
    finish(random_from(&out, low, Some(high), generator)?, options)
}
pub fn randperm(n: i64, generator: Option<&Generator>, options: &TensorOptions) -> Result<Tensor> {
    if n < 0 {
        bail!("Trying to create tensor with negative dimension {n}: [{n}]");
    }
    let out = fresh(&[n], Some(DType::Int64), options)?;
    let dtype = out.dtype();
    let places = if dtype == DType::Int64 {
        out.clone()
    } else {
        fresh(&[n], Some(DType::Int64), &TensorOptions::default())?
    };
    if out.is_meta() {
        return finish(out, options);
    }
    with(generator, |g| cpu::randperm(g, dtype, elements!(places, i64)))?;
    if dtype != DType::Int64 {
        copy_data(&out, &places)?;
    }
    finish(out, options)
}

fn like(self_: &Tensor, options: &TensorOptions, format: Option<MemoryFormat>) -> Result<Tensor> {
    let mut options = *options;
    options.dtype = options.dtype.or(Some(self_.dtype()));
    options.device = options.device.or(Some(self_.device()));
    let (dtype, device) = resolve(&options, None)?;
    let a = self_.array();
    let strides = shape::format_strides(&a, format)?;
    Ok(Tensor::from_array(Array::empty_strided(&a.sizes, strides, dtype, device, Init::Uninit)?))
}
pub fn rand_like(
    self_: &Tensor,
    generator: Option<&Generator>,
    options: &TensorOptions,
    memory_format: Option<MemoryFormat>,
) -> Result<Tensor> {
    finish(uniform_(&like(self_, options, memory_format)?, 0.0, 1.0, generator)?, options)
}
pub fn randn_like(
    self_: &Tensor,
    generator: Option<&Generator>,
    options: &TensorOptions,
    memory_format: Option<MemoryFormat>,
) -> Result<Tensor> {
    finish(normal_(&like(self_, options, memory_format)?, 0.0, 1.0, generator)?, options)
}
pub fn randint_like(
    self_: &Tensor,
    high: i64,
    generator: Option<&Generator>,
    options: &TensorOptions,
    memory_format: Option<MemoryFormat>,
) -> Result<Tensor> {
    randint_like_low(self_, 0, high, generator, options, memory_format)
}
pub fn randint_like_low(
    self_: &Tensor,
    low: i64,
    high: i64,
    generator: Option<&Generator>,
    options: &TensorOptions,
    memory_format: Option<MemoryFormat>,
) -> Result<Tensor> {
    finish(random_from(&like(self_, options, memory_format)?, low, Some(high), generator)?, options)
}

/// `torch.normal(mean, std)` with tensors or numbers.
pub fn normal_tensor_tensor(mean: &Tensor, std: &Tensor, generator: Option<&Generator>) -> Result<Tensor> {
    check_std(std)?;
    let sizes = flambeau_core::broadcast_shapes(&mean.sizes(), &std.sizes())?;
    let noise = normal_(&Tensor::zeros_raw(&sizes, mean.dtype(), mean.device())?, 0.0, 1.0, generator)?;
    constant(
        {
            let _guard = GradMode::no_grad();
            f::add(&f::mul(&noise, std)?, mean, 1i64.into())?
        },
        "NormalBackward3",
        &[mean, std],
    )
}
pub fn normal_tensor_float(mean: &Tensor, std: f64, generator: Option<&Generator>) -> Result<Tensor> {
    let noise =
        normal_(&Tensor::zeros_raw(&mean.sizes(), mean.dtype(), mean.device())?, 0.0, std, generator)?;
    constant(
        {
            let _guard = GradMode::no_grad();
            f::add(&noise, mean, 1i64.into())?
        },
        "NormalBackward1",
        &[mean],
    )
}
pub fn normal_float_tensor(mean: f64, std: &Tensor, generator: Option<&Generator>) -> Result<Tensor> {
    check_std(std)?;
    let noise = normal_(&Tensor::zeros_raw(&std.sizes(), std.dtype(), std.device())?, 0.0, 1.0, generator)?;
    constant(
        {
            let _guard = GradMode::no_grad();
            f::add_scalar(&f::mul(&noise, std)?, mean.into(), 1i64.into())?
        },
        "NormalBackward2",
        &[std],
    )
}
pub fn normal_float_float(
    mean: f64,
    std: f64,
    size: &[i64],
    generator: Option<&Generator>,
    options: &TensorOptions,
) -> Result<Tensor> {
    finish(normal_(&fresh(size, None, options)?, mean, std, generator)?, options)
}

/// Numbers that count as functions of the parameters they were drawn with, with gradients of zero.
fn constant(out: Tensor, name: &'static str, parameters: &[&Tensor]) -> Result<Tensor> {
    let sizes: Vec<_> = parameters.iter().map(|p| (p.sizes(), p.dtype(), p.device())).collect();
    autograd::record(&[&out], name, parameters, &[], move |_| {
        sizes.iter().map(|(s, dtype, device)| Tensor::zeros_raw(s, *dtype, *device).map(Some)).collect()
    })?;
    Ok(out)
}

fn check_std(std: &Tensor) -> Result<()> {
    if std.is_complex() {
        bail!("normal expects standard deviation to be non-complex");
    }
    if !std.is_meta() && std.to_vec::<f64>()?.iter().any(|&v| v < 0.0) {
        bail!("normal expects all elements of std >= 0.0");
    }
    Ok(())
}

/// The parameters of a distribution in order. Complex ones are not read, as every distribution refuses their dtype, and
/// those without memory can't be.
fn parameters(t: &Tensor) -> Result<Vec<f64>> {
    if t.is_complex() || t.is_meta() { Ok(Vec::new()) } else { t.to_vec() }
}

pub fn poisson(self_: &Tensor, generator: Option<&Generator>) -> Result<Tensor> {
    let rate = parameters(self_)?;
    let out = Tensor::zeros_raw(&self_.sizes(), self_.dtype(), self_.device())?;
    let dtype = self_.dtype();
    if !out.is_meta() {
        draw(&out.array(), generator, &mut |g, out| cpu::poisson(g, dtype, &rate, out))?;
    }
    record_zero(&out, self_, "PoissonBackward0")
}

pub fn binomial(count: &Tensor, prob: &Tensor, generator: Option<&Generator>) -> Result<Tensor> {
    let sizes = flambeau_core::broadcast_shapes(&count.sizes(), &prob.sizes())?;
    if count.dtype() != prob.dtype() {
        bail!(
            "binomial: count and prob must have the same dtype, got {} and {}",
            count.dtype().cpp_name(),
            prob.dtype().cpp_name()
        );
    }
    let n = parameters(&shape::expand(&count.alias(), &sizes)?)?;
    let p = parameters(&shape::expand(&prob.alias(), &sizes)?)?;
    let out = Tensor::zeros_raw(&sizes, count.dtype(), count.device())?;
    let dtype = count.dtype();
    if !out.is_meta() {
        draw(&out.array(), generator, &mut |g, out| cpu::binomial(g, dtype, &n, &p, out))?;
    }
    Ok(out)
}

pub fn multinomial(
    self_: &Tensor,
    num_samples: i64,
    replacement: bool,
    generator: Option<&Generator>,
) -> Result<Tensor> {
    let sizes = self_.sizes();
    let dims: SmallVec<[usize; 4]> = sizes.iter().map(|&s| s as usize).collect();
    let dtype = self_.dtype();
    cpu::check_multinomial(dtype, &dims, num_samples, replacement)?;
    let (rows, categories) = if dims.len() == 1 { (1, dims[0]) } else { (dims[0], dims[1]) };
    let mut shape_out = Dims::from_slice(&sizes[..sizes.len() - 1]);
    shape_out.push(num_samples);
    let weights = parameters(self_)?;
    let out = Tensor::zeros_raw(&shape_out, DType::Int64, self_.device())?;
    if !out.is_meta() {
        let places = elements!(out, i64);
        with(generator, |g| {
            cpu::multinomial(g, dtype, &weights, rows, categories, num_samples, replacement, places)
        })?;
    }
    Ok(out)
}

/// Gamma numbers of the given shapes and scale 1, with implicit gradients (Figurnov et al., 2018).
pub fn standard_gamma(self_: &Tensor, generator: Option<&Generator>) -> Result<Tensor> {
    let alpha = parameters(self_)?;
    let out = Tensor::zeros_raw(&self_.sizes(), self_.dtype(), self_.device())?;
    let dtype = self_.dtype();
    if !out.is_meta() {
        draw(&out.array(), generator, &mut |g, out| cpu::standard_gamma(g, dtype, &alpha, out))?;
    }
    record(&[&out], "StandardGammaBackward0", &[self_], &[Save::Input(self_), Save::Output(0)], |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        Ok(smallvec![Some(f::mul(
            grad,
            &standard_gamma_grad(&ctx.saved(0)?.alias(), &ctx.saved(1)?.alias())?
        )?)])
    })?;
    Ok(out)
}

/// The derivative of a gamma draw with respect to its shape.
pub fn standard_gamma_grad(self_: &Tensor, output: &Tensor) -> Result<Tensor> {
    let (a, x) = (self_.to_vec::<f64>()?, output.to_vec::<f64>()?);
    if a.len() != x.len() {
        bail!("_standard_gamma_grad: sizes {} and {} differ", show(&self_.sizes()), show(&output.sizes()));
    }
    let d: Vec<f64> =
        a.iter().zip(&x).map(|(&a, &x)| flambeau_cpu::math::standard_gamma_grad(a, x)).collect();
    shape::to_dtype(&Tensor::from_slice(&d, &self_.sizes())?, self_.dtype())
}

/// Points of the simplex, Dirichlet-distributed along the last dimension.
pub fn sample_dirichlet(self_: &Tensor, generator: Option<&Generator>) -> Result<Tensor> {
    let alpha = parameters(self_)?;
    let sizes = self_.sizes();
    let width = sizes.last().copied().unwrap_or(1) as usize;
    let out = Tensor::zeros_raw(&sizes, self_.dtype(), self_.device())?;
    let dtype = self_.dtype();
    if !out.is_meta() {
        draw(&out.array(), generator, &mut |g, out| cpu::dirichlet(g, dtype, &alpha, width, out))?;
    }
    Ok(out)
}

/// The derivative of a Dirichlet draw with respect to its concentrations.
pub fn dirichlet_grad(x: &Tensor, alpha: &Tensor, total: &Tensor) -> Result<Tensor> {
    let (xs, a, t) = (x.to_vec::<f64>()?, alpha.to_vec::<f64>()?, total.to_vec::<f64>()?);
    if xs.len() != a.len() || xs.len() != t.len() {
        bail!(
            "_dirichlet_grad: sizes {}, {} and {} differ",
            show(&x.sizes()),
            show(&alpha.sizes()),
            show(&total.sizes())
        );
    }
    let d: Vec<f64> =
        xs.iter().zip(&a).zip(&t).map(|((&x, &a), &t)| flambeau_cpu::math::dirichlet_grad(x, a, t)).collect();
    shape::to_dtype(&Tensor::from_slice(&d, &x.sizes())?, x.dtype())
}

// dropout

fn check_p(p: f64, name: &str) -> Result<()> {
    if !(0.0..=1.0).contains(&p) {
        bail!("{name} probability has to be between 0 and 1, but got {p}");
    }
    Ok(())
}

/// Noise with ones of probability `1 - p`, one for each element or for each channel.
fn noise(input: &Tensor, p: f64, feature: bool) -> Result<Tensor> {
    let mut sizes = input.sizes();
    if feature {
        if sizes.len() < 2 {
            bail!("Feature dropout requires at least 2 dimensions in the input");
        }
        sizes.iter_mut().skip(2).for_each(|s| *s = 1);
    }
    let dtype = if input.is_complex() { input.dtype().to_real() } else { input.dtype() };
    let out = if feature {
        Tensor::zeros_raw(&sizes, dtype, input.device())?
    } else {
        like(input, &TensorOptions { dtype: Some(dtype), ..TensorOptions::default() }, None)?
    };
    bernoulli_(&out, 1.0 - p, None)
}

fn dropped(input: &Tensor, p: f64, train: bool, feature: bool) -> Result<Tensor> {
    check_p(p, "dropout")?;
    if p == 0.0 || !train || input.numel() == 0 {
        return Ok(input.clone());
    }
    if p == 1.0 {
        let zeros = Tensor::zeros_raw(&[], input.dtype(), input.device())?;
        return f::mul(input, &zeros);
    }
    let noise = noise(input, p, feature)?;
    let noise = f::div_scalar(&noise, (1.0 - p).into())?;
    f::mul(input, &noise)
}

pub fn dropout(input: &Tensor, p: f64, train: bool) -> Result<Tensor> {
    dropped(input, p, train, false)
}
pub fn feature_dropout(input: &Tensor, p: f64, train: bool) -> Result<Tensor> {
    dropped(input, p, train, true)
}

/// Dropout that keeps mean and variance of selu activations (Klambauer et al., 2017).
fn alpha(input: &Tensor, p: f64, train: bool, feature: bool) -> Result<Tensor> {
    check_p(p, "dropout")?;
    if p == 0.0 || !train || input.numel() == 0 {
        return Ok(input.clone());
    }
    if p == 1.0 {
        let zeros = Tensor::zeros_raw(&[], input.dtype(), input.device())?;
        return f::mul(input, &zeros);
    }
    const ALPHA: f64 = 1.758_099_340_847_376_6;
    let a = 1.0 / ((ALPHA * ALPHA * p + 1.0) * (1.0 - p)).sqrt();
    let noise = noise(input, p, feature)?;
    let b = f::add_scalar(&noise, (-1i64).into(), 1i64.into())?;
    let b = f::mul_scalar(&b, (ALPHA * a).into())?;
    let b = f::add_scalar(&b, (ALPHA * a * p).into(), 1i64.into())?;
    let noise = f::mul_scalar(&noise, a.into())?;
    f::add(&f::mul(input, &noise)?, &b, 1i64.into())
}

pub fn alpha_dropout(input: &Tensor, p: f64, train: bool) -> Result<Tensor> {
    alpha(input, p, train, false)
}
pub fn feature_alpha_dropout(input: &Tensor, p: f64, train: bool) -> Result<Tensor> {
    alpha(input, p, train, true)
}

/// Leaky ReLU with random slopes while training (Xu et al., 2015).
pub fn rrelu(
    self_: &Tensor,
    lower: Scalar,
    upper: Scalar,
    training: bool,
    generator: Option<&Generator>,
) -> Result<Tensor> {
    let (low, high) = (lower.to_f64(), upper.to_f64());
    if low > high {
        bail!("Lower bound should be less than or equal to the upper bound");
    }
    if !self_.dtype().is_floating_point() {
        bail!(NotImplemented, "\"rrelu_out_cpu\" not implemented for '{}'", self_.dtype().cpp_name());
    }
    if !training {
        return crate::generated::functions::leaky_relu(self_, ((low + high) / 2.0).into());
    }
    // One number for each element that is not positive, in order; halves are multiplied in single precision.
    let dtype = self_.dtype();
    let single = dtype != DType::Float64;
    let mut values = self_.to_vec::<f64>()?;
    let mut slopes = vec![1.0f64; values.len()];
    let (low, high) = if single { (f64::from(low as f32), f64::from(high as f32)) } else { (low, high) };
    with(generator, |g| {
        for (slope, v) in slopes.iter_mut().zip(&mut values) {
            if *v <= 0.0 {
                *slope = low + (high - low) * g.uniform();
                if single {
                    *slope = f64::from(*slope as f32);
                    *v = f64::from(*v as f32 * *slope as f32);
                } else {
                    *v *= *slope;
                }
            }
        }
    });
    let sizes = self_.sizes();
    let out = shape::to_dtype(&Tensor::from_slice(&values, &sizes)?, dtype)?;
    let slopes = shape::to_dtype(&Tensor::from_slice(&slopes, &sizes)?, dtype)?;
    record(&[&out], "RreluWithNoiseBackward0", &[self_], &[Save::Input(&slopes)], |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        let grad = f::mul(grad, &ctx.saved(0)?)?;
        ctx.connected("RreluWithNoiseBackwardBackward0", smallvec![Some(grad)])
    })?;
    Ok(out)
}
