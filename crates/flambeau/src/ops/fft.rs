//! Discrete Fourier transforms. Every one is made of three along a dimension: of complex numbers, of real numbers to
//! the first half of their spectrum, and of such a half to real numbers. Gradients are transforms in the other direction.

use crate::Tensor;
use crate::autograd::record;
use crate::generated::functions as f;
use crate::ops::linalg::batch::{Buffer, Source};
use crate::ops::shape::narrow;
use crate::ops::tile::roll;
use crate::ops::{convert, creation, join, shape};
use crate::schema::TensorOptions;
use flambeau_core::{DType, Dims, MemoryFormat, Result, bail, wrap_dim};
use flambeau_cpu::fft as kernels;
use num_complex::Complex;
use smallvec::{SmallVec, smallvec};

/// The factor of a transform of `n` points.
fn factor(norm: Option<&str>, n: i64, forward: bool) -> Result<f64> {
    let whole = 1.0 / n as f64;
    Ok(match norm {
        None | Some("backward") => {
            if forward {
                1.0
            } else {
                whole
            }
        }
        Some("forward") => {
            if forward {
                whole
            } else {
                1.0
            }
        }
        Some("ortho") => whole.sqrt(),
        Some(other) => bail!("Invalid normalization mode: \"{other}\""),
    })
}

/// Elements before and after a dimension.
fn around(sizes: &[i64], dim: usize) -> (usize, usize) {
    let count = |part: &[i64]| part.iter().fold(1i64, |n, &size| n.saturating_mul(size)) as usize;
    (count(&sizes[..dim]), count(&sizes[dim + 1..]))
}

/// Runs the body with `$F` as the real element type.
macro_rules! real {
    ($dtype:expr, $F:ident => $body:expr) => {
        if $dtype.to_real() == DType::Float32 {
            type $F = f32;
            $body
        } else {
            type $F = f64;
            $body
        }
    };
}

/// Runs complex transforms along dimensions of a row-major array in its memory, the last dimension first.
fn in_place<F: kernels::FftElement>(
    sizes: &[i64],
    dims: &[usize],
    forward: bool,
    data: &mut [Complex<F>],
) -> Result<()> {
    for &dim in dims {
        let (outer, inner) = around(sizes, dim);
        kernels::c2c_in_place(outer, sizes[dim] as usize, inner, data, forward, F::one())?;
    }
    Ok(())
}

/// Dimensions from the last to the first.
fn descending(dims: &[usize]) -> SmallVec<[usize; 4]> {
    let mut dims = SmallVec::from_slice(dims);
    dims.sort_unstable_by_key(|&dim| std::cmp::Reverse(dim));
    dims
}

/// The complex transform along dimensions, times `scale`.
fn c2c(t: &Tensor, dims: &[usize], forward: bool, scale: f64) -> Result<Tensor> {
    let (sizes, order) = (t.sizes(), descending(dims));
    let Some((&first, rest)) = order.split_first() else { return Ok(t.clone()) };
    let n = sizes[first] as usize;
    let out = real!(t.dtype(), F => {
        let mut to = Buffer::<Complex<F>>::empty(&sizes, t.dtype(), t.device())?;
        if !to.slice().is_empty() {
            let from = Source::<Complex<F>>::of(t)?;
            let ((outer, inner), scale) = (around(&sizes, first), scale as F);
            // Where the last two dimensions are transformed, both are while a matrix is in the cache.
            let rest = match rest {
                [second, rest @ ..] if inner == 1 && *second + 1 == first => {
                    let rows = sizes[*second] as usize;
                    kernels::c2c_matrices(outer / rows, rows, n, from.slice(), to.slice_mut(), forward, scale)?;
                    rest
                }
                _ => {
                    kernels::c2c(outer, n, inner, from.slice(), to.slice_mut(), forward, scale)?;
                    rest
                }
            };
            in_place(&sizes, rest, forward, to.slice_mut())?;
        }
        to.tensor()
    });
    record(&[&out], "FftC2CBackward0", &[t], &[], move |ctx| {
        Ok(smallvec![match ctx.grad(0) {
            Some(grad) => Some(c2c(grad, &order, !forward, scale)?),
            None => None,
        }])
    })?;
    Ok(out)
}

/// The first half of the transform of real numbers along a dimension, which is transformed along others, times `scale`.
fn r2c(t: &Tensor, dim: usize, others: &[usize], forward: bool, scale: f64) -> Result<Tensor> {
    let (mut sizes, mut order) = (t.sizes(), descending(others));
    let (n, (outer, inner)) = (sizes[dim], around(&sizes, dim));
    sizes[dim] = n / 2 + 1;
    let out = real!(t.dtype(), F => {
        let mut to = Buffer::<Complex<F>>::empty(&sizes, t.dtype().to_complex(), t.device())?;
        if !to.slice().is_empty() {
            let from = Source::<F>::of(t)?;
            let (points, scale) = (n as usize, scale as F);
            let rest = match &order[..] {
                [second, rest @ ..] if inner == 1 && *second + 1 == dim => {
                    let rows = sizes[*second] as usize;
                    let batch = outer / rows;
                    kernels::r2c_matrices(batch, rows, points, from.slice(), to.slice_mut(), forward, scale)?;
                    rest
                }
                rest => {
                    kernels::r2c(outer, points, inner, from.slice(), to.slice_mut(), forward, scale)?;
                    rest
                }
            };
            in_place(&sizes, rest, forward, to.slice_mut())?;
        }
        to.tensor()
    });
    order.push(dim);
    record(&[&out], "FftR2CBackward0", &[t], &[], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        // The other half does not count: its gradient is zero.
        let whole = c2c(&resized(grad, dim, n)?, &order, !forward, scale)?;
        Ok(smallvec![Some(dense(&convert::real(&whole)?)?)])
    })?;
    Ok(out)
}

/// The `n` real numbers along a dimension whose transform has a first half.
fn c2r(t: &Tensor, dim: usize, n: i64, forward: bool, scale: f64) -> Result<Tensor> {
    let mut sizes = t.sizes();
    let (kept, (outer, inner)) = (sizes[dim], around(&sizes, dim));
    sizes[dim] = n;
    let out = real!(t.dtype(), F => {
        let mut to = Buffer::<F>::empty(&sizes, t.dtype().to_real(), t.device())?;
        if !to.slice().is_empty() {
            let from = Source::<Complex<F>>::of(t)?;
            kernels::c2r(outer, n as usize, inner, from.slice(), to.slice_mut(), forward, scale as F)?;
        }
        to.tensor()
    });
    let rest = sizes.len() - dim - 1;
    record(&[&out], "FftC2RBackward0", &[t], &[], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        let half = r2c(grad, dim, &[], !forward, scale)?;
        if half.numel() == 0 {
            return Ok(smallvec![Some(half)]);
        }
        // Coefficients that also stand for their mirror images count twice.
        let twice = |k: i64| if (1..=n - kept).contains(&k) { 2.0 } else { 1.0 };
        let mut shape_: Dims = smallvec![kept];
        shape_.extend(std::iter::repeat_n(1, rest));
        let weights = Tensor::from_slice(&(0..kept).map(twice).collect::<Vec<f64>>(), &shape_)?;
        Ok(smallvec![Some(f::mul(&half, &shape::to_dtype(&weights, grad.dtype())?)?)])
    })?;
    Ok(out)
}

/// The real dtype that a transform is computed in.
fn real_dtype(t: &Tensor) -> Result<DType> {
    let given = t.dtype();
    let dtype = if given.is_differentiable() { given.to_real() } else { crate::default_dtype() };
    if matches!(dtype, DType::Float16 | DType::BFloat16) {
        bail!(NotImplemented, "Unsupported dtype {}", dtype.cpp_name());
    }
    Ok(dtype)
}

/// The input as complex numbers.
fn complex(t: &Tensor) -> Result<Tensor> {
    shape::to_dtype(t, real_dtype(t)?.to_complex())
}

fn check_points(n: i64) -> Result<()> {
    if n < 1 {
        bail!("Invalid number of data points ({n}) specified");
    }
    Ok(())
}

/// Cut or padded with zeros to `n` points along a dimension.
fn resized(t: &Tensor, dim: usize, n: i64) -> Result<Tensor> {
    let mut sizes = t.sizes();
    let have = sizes[dim];
    if n <= have {
        return if n == have { Ok(t.clone()) } else { narrow(t, dim as i64, 0, n) };
    }
    sizes[dim] = n - have;
    let zeros = Tensor::zeros_raw(&sizes, t.dtype(), t.device())?;
    join::cat(&[t.clone(), zeros], dim as i64)
}

pub(super) fn transform(
    t: &Tensor,
    n: Option<i64>,
    dim: usize,
    norm: Option<&str>,
    forward: bool,
) -> Result<Tensor> {
    let n = n.unwrap_or(t.sizes()[dim]);
    check_points(n)?;
    let scale = factor(norm, n, forward)?;
    c2c(&resized(&complex(t)?, dim, n)?, &[dim], forward, scale)
}

fn check_real(name: &str, t: &Tensor) -> Result<()> {
    if t.is_complex() {
        bail!(Type, "{name} expects a real input tensor, but got {}", t.dtype().cpp_name());
    }
    Ok(())
}

/// The first half of the transform of real numbers.
pub(super) fn half(
    name: &str,
    t: &Tensor,
    n: Option<i64>,
    dim: usize,
    norm: Option<&str>,
    forward: bool,
) -> Result<Tensor> {
    check_real(name, t)?;
    let n = n.unwrap_or(t.sizes()[dim]);
    check_points(n)?;
    let scale = factor(norm, n, forward)?;
    r2c(&resized(&shape::to_dtype(t, real_dtype(t)?)?, dim, n)?, dim, &[], forward, scale)
}

/// The real transform whose input is half of a symmetric spectrum.
pub(super) fn from_half(
    t: &Tensor,
    n: Option<i64>,
    dim: usize,
    norm: Option<&str>,
    forward: bool,
) -> Result<Tensor> {
    let n = n.unwrap_or(2 * (t.sizes()[dim] - 1));
    check_points(n)?;
    let scale = factor(norm, n, forward)?;
    c2r(&resized(&complex(t)?, dim, n / 2 + 1)?, dim, n, forward, scale)
}

/// A copy without gaps.
fn dense(t: &Tensor) -> Result<Tensor> {
    shape::clone(t, Some(MemoryFormat::Contiguous))
}

/// The dimension of a single transform, whose dtype is checked first.
fn along(t: &Tensor, dim: i64) -> Result<usize> {
    real_dtype(t)?;
    at(t, dim)
}

fn at(t: &Tensor, dim: i64) -> Result<usize> {
    if t.dim() == 0 {
        bail!(Index, "Dimension specified as {dim} but tensor has no dimensions");
    }
    wrap_dim(dim, t.dim())
}

/// `torch.fft.fft`
pub fn fft_fft(self_: &Tensor, n: Option<i64>, dim: i64, norm: Option<&str>) -> Result<Tensor> {
    transform(self_, n, along(self_, dim)?, norm, true)
}

/// `torch.fft.ifft`
pub fn fft_ifft(self_: &Tensor, n: Option<i64>, dim: i64, norm: Option<&str>) -> Result<Tensor> {
    transform(self_, n, along(self_, dim)?, norm, false)
}

/// `torch.fft.rfft`
pub fn fft_rfft(self_: &Tensor, n: Option<i64>, dim: i64, norm: Option<&str>) -> Result<Tensor> {
    half("rfft", self_, n, along(self_, dim)?, norm, true)
}

/// `torch.fft.irfft`
pub fn fft_irfft(self_: &Tensor, n: Option<i64>, dim: i64, norm: Option<&str>) -> Result<Tensor> {
    from_half(self_, n, along(self_, dim)?, norm, false)
}

/// `torch.fft.hfft`
pub fn fft_hfft(self_: &Tensor, n: Option<i64>, dim: i64, norm: Option<&str>) -> Result<Tensor> {
    from_half(self_, n, along(self_, dim)?, norm, true)
}

/// `torch.fft.ihfft`
pub fn fft_ihfft(self_: &Tensor, n: Option<i64>, dim: i64, norm: Option<&str>) -> Result<Tensor> {
    half("ihfft", self_, n, along(self_, dim)?, norm, false)
}

/// The dimensions of a transform and the points of each, where given.
type Plan = Vec<(usize, Option<i64>)>;

fn plan(t: &Tensor, s: Option<&[i64]>, dim: Option<&[i64]>) -> Result<Plan> {
    let rank = t.dim();
    let dims: Vec<usize> = match (dim, s) {
        (Some(dim), _) => dim.iter().map(|&d| at(t, d)).collect::<Result<_>>()?,
        (None, Some(s)) if s.len() > rank => {
            bail!("Got shape with {} values but input tensor only has {rank} dimensions.", s.len())
        }
        (None, Some(s)) => (rank - s.len()..rank).collect(),
        (None, None) => (0..rank).collect(),
    };
    if let (Some(s), Some(dim)) = (s, dim)
        && s.len() != dim.len()
    {
        bail!("When given, dim and shape arguments must have the same length");
    }
    if (1..dims.len()).any(|i| dims[..i].contains(&dims[i])) {
        bail!("FFT dims must be unique");
    }
    let points = |i: usize| s.map(|s| s[i]).filter(|&n| n != -1);
    Ok(dims.into_iter().enumerate().map(|(i, d)| (d, points(i))).collect())
}

/// The points of each dimension of a plan, checked.
fn points(t: &Tensor, plan: &[(usize, Option<i64>)], norm: Option<&str>) -> Result<Vec<(usize, i64)>> {
    factor(norm, 1, true)?;
    plan.iter()
        .map(|&(dim, n)| {
            let n = n.unwrap_or(t.sizes()[dim]);
            check_points(n)?;
            Ok((dim, n))
        })
        .collect()
}

/// Cut or padded to a plan's points; its dimensions, and the factor of the transform along them.
fn planned(
    mut t: Tensor,
    plan: &[(usize, i64)],
    norm: Option<&str>,
    forward: bool,
) -> Result<(Tensor, SmallVec<[usize; 4]>, f64)> {
    let mut scale = 1.0;
    for &(dim, n) in plan {
        scale *= factor(norm, n, forward)?;
        t = resized(&t, dim, n)?;
    }
    Ok((t, plan.iter().map(|&(dim, _)| dim).collect(), scale))
}

fn over(t: &Tensor, plan: &[(usize, Option<i64>)], norm: Option<&str>, forward: bool) -> Result<Tensor> {
    let points = points(t, plan, norm)?;
    let (t, dims, scale) = planned(complex(t)?, &points, norm, forward)?;
    c2c(&t, &dims, forward, scale)
}

/// The first half along the last dimension of a plan, transformed along the others.
fn half_over(
    name: &str,
    t: &Tensor,
    s: Option<&[i64]>,
    dim: Option<&[i64]>,
    norm: Option<&str>,
    forward: bool,
) -> Result<Tensor> {
    let (mut all, last) = split(name, t, s, dim)?;
    check_real(name, t)?;
    all.push(last);
    let points = points(t, &all, norm)?;
    let (t, dims, scale) = planned(shape::to_dtype(t, real_dtype(t)?)?, &points, norm, forward)?;
    match dims.split_last() {
        Some((&last, others)) => r2c(&t, last, others, forward, scale),
        None => Ok(t),
    }
}

/// [`plan`] for the transforms of which the last dimension is another kind: that one apart.
fn split(
    name: &str,
    t: &Tensor,
    s: Option<&[i64]>,
    dim: Option<&[i64]>,
) -> Result<(Plan, (usize, Option<i64>))> {
    let mut rest = plan(t, s, dim)?;
    match rest.pop() {
        Some(last) => Ok((rest, last)),
        None => bail!("{name} must transform at least one axis"),
    }
}

/// Each transform over several dimensions, and the same over two.
macro_rules! several {
    ($($name:literal $over:ident $over_two:ident |$t:ident, $s:ident, $dim:ident, $norm:ident| $value:expr;)*) => { $(
        #[doc = concat!("`torch.fft.", $name, "`")]
        pub fn $over(
            $t: &Tensor,
            $s: Option<&[i64]>,
            $dim: Option<&[i64]>,
            $norm: Option<&str>,
        ) -> Result<Tensor> {
            $value
        }
        #[doc = concat!("`torch.fft.", $name, "` over two dimensions.")]
        pub fn $over_two(t: &Tensor, s: Option<&[i64]>, dim: &[i64], norm: Option<&str>) -> Result<Tensor> {
            $over(t, s, Some(dim), norm)
        }
    )* };
}
several! {
    "fftn" fft_fftn fft_fft2 |t, s, dim, norm| over(t, &plan(t, s, dim)?, norm, true);
    "ifftn" fft_ifftn fft_ifft2 |t, s, dim, norm| over(t, &plan(t, s, dim)?, norm, false);
    "rfftn" fft_rfftn fft_rfft2 |t, s, dim, norm| {
        check_real("rfftn", t)?;
        half_over("rfftn", t, s, dim, norm, true)
    };
    "irfftn" fft_irfftn fft_irfft2 |t, s, dim, norm| {
        let (rest, (last, n)) = split("irfftn", t, s, dim)?;
        from_half(&over(t, &rest, norm, false)?, n, last, norm, false)
    };
    "hfftn" fft_hfftn fft_hfft2 |t, s, dim, norm| {
        let (rest, (last, n)) = split("hfftn", t, s, dim)?;
        from_half(&over(t, &rest, norm, true)?, n, last, norm, true)
    };
    "ihfftn" fft_ihfftn fft_ihfft2 |t, s, dim, norm| {
        half_over("ihfftn", t, s, dim, norm, false)
    };
}

fn shifted(t: &Tensor, dim: Option<&[i64]>, back: bool) -> Result<Tensor> {
    let dims: Dims = match dim {
        Some(dim) => Dims::from_slice(dim),
        None => (0..t.dim() as i64).collect(),
    };
    if dims.is_empty() {
        bail!("`shifts` required");
    }
    let mut shifts = Dims::new();
    for &d in &dims {
        let n = t.size(d)?;
        shifts.push(if back { n - n / 2 } else { n / 2 });
    }
    roll(t, &shifts, &dims)
}

/// `torch.fft.fftshift`: the zero frequency moved to the middle.
pub fn fft_fftshift(self_: &Tensor, dim: Option<&[i64]>) -> Result<Tensor> {
    shifted(self_, dim, false)
}

/// `torch.fft.ifftshift`: the inverse of [`fft_fftshift`].
pub fn fft_ifftshift(self_: &Tensor, dim: Option<&[i64]>) -> Result<Tensor> {
    shifted(self_, dim, true)
}

/// `(start, .., end)` times `1 / (n d)`, in the dtype that a table of frequencies has.
fn frequencies(name: &str, parts: &[(i64, i64)], n: i64, d: f64, options: &TensorOptions) -> Result<Tensor> {
    let dtype = options.dtype.unwrap_or_else(crate::default_dtype);
    if !dtype.is_differentiable() {
        bail!("{name} requires a floating point or complex dtype");
    }
    let plain = TensorOptions { dtype: Some(dtype), requires_grad: false, ..*options };
    let mut list = Vec::new();
    for &(start, end) in parts {
        list.push(creation::arange_start(start.into(), end.into(), &plain)?);
    }
    let whole = if list.len() == 1 { list.swap_remove(0) } else { join::cat(&list, 0)? };
    creation::finish(f::mul_scalar(&whole, (1.0 / (n as f64 * d)).into())?, options)
}

/// `torch.fft.fftfreq`: the frequencies of a transform of `n` points that are `d` apart.
pub fn fft_fftfreq(n: i64, d: f64, options: &TensorOptions) -> Result<Tensor> {
    if n < 0 {
        bail!("Trying to create tensor with negative dimension {n}: [{n}]");
    }
    let half = n / 2;
    frequencies("fftfreq", &[(0, n - half), (-half, 0)], n, d, options)
}

/// `torch.fft.rfftfreq`: the frequencies of the first half of a transform of `n` points that are `d` apart.
pub fn fft_rfftfreq(n: i64, d: f64, options: &TensorOptions) -> Result<Tensor> {
    frequencies("rfftfreq", &[(0, n / 2 + 1)], n, d, options)
}
