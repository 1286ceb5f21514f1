//! Discrete Fourier transforms. Every one is made of the complex transform along a dimension, whose gradient is
//! the transform in the other direction; real input counts as complex, and half spectra are completed by symmetry.

use crate::Tensor;
use crate::autograd::record;
use crate::generated::functions as f;
use crate::ops::shape::{clone_dense, narrow};
use crate::ops::tile::{flip, roll};
use crate::ops::{convert, join, shape};
use flambeau_core::{C32, C64, DType, Dims, MemoryFormat, Result, bail, wrap_dim};
use smallvec::smallvec;

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

/// The complex transform along a dimension.
fn c2c(t: &Tensor, dim: usize, forward: bool, scale: f64) -> Result<Tensor> {
    let sizes = t.sizes();
    let n = sizes[dim] as usize;
    let outer = sizes[..dim].iter().product::<i64>() as usize;
    let inner = sizes[dim + 1..].iter().product::<i64>() as usize;
    let out = clone_dense(&t.alias())?;
    if !out.is_meta() && out.numel() > 0 {
        let (to, len) = (out.array(), out.numel());
        // SAFETY: a fresh row-major array of len elements of the named type.
        unsafe {
            if t.dtype() == DType::Complex64 {
                let data = std::slice::from_raw_parts_mut(to.data_ptr().cast::<C32>(), len);
                flambeau_cpu::fft::c2c::<f32>(outer, n, inner, data, forward, scale as f32)?;
            } else {
                let data = std::slice::from_raw_parts_mut(to.data_ptr().cast::<C64>(), len);
                flambeau_cpu::fft::c2c::<f64>(outer, n, inner, data, forward, scale)?;
            }
        }
    }
    record(&[&out], "FftC2CBackward0", &[t], &[], move |ctx| {
        Ok(smallvec![match ctx.grad(0) {
            Some(grad) => Some(c2c(grad, dim, !forward, scale)?),
            None => None,
        }])
    })?;
    Ok(out)
}

/// The input as complex numbers.
fn complex(t: &Tensor) -> Result<Tensor> {
    let dtype = match t.dtype() {
        d @ (DType::Complex64 | DType::Complex128) => d,
        DType::Float64 => DType::Complex128,
        DType::Float32 => DType::Complex64,
        d @ (DType::Float16 | DType::BFloat16) => bail!(NotImplemented, "Unsupported dtype {}", d.cpp_name()),
        _ => crate::context::default_dtype().to_complex(),
    };
    shape::to_dtype(t, dtype)
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

fn transform(t: &Tensor, n: Option<i64>, dim: usize, norm: Option<&str>, forward: bool) -> Result<Tensor> {
    let n = n.unwrap_or(t.sizes()[dim]);
    check_points(n)?;
    let scale = factor(norm, n, forward)?;
    c2c(&resized(&complex(t)?, dim, n)?, dim, forward, scale)
}

/// The first half of the transform of real numbers.
fn half(
    name: &str,
    t: &Tensor,
    n: Option<i64>,
    dim: usize,
    norm: Option<&str>,
    forward: bool,
) -> Result<Tensor> {
    if t.is_complex() {
        bail!(Type, "{name} expects a real input tensor, but got {}", t.dtype().cpp_name());
    }
    let whole = transform(t, n, dim, norm, forward)?;
    let n = whole.sizes()[dim];
    dense(&narrow(&whole, dim as i64, 0, n / 2 + 1)?)
}

/// The real transform whose input is half of a symmetric spectrum.
fn from_half(t: &Tensor, n: Option<i64>, dim: usize, norm: Option<&str>, forward: bool) -> Result<Tensor> {
    let n = n.unwrap_or(2 * (t.sizes()[dim] - 1));
    check_points(n)?;
    let scale = factor(norm, n, forward)?;
    let (d, kept) = (dim as i64, n / 2 + 1);
    let first = resized(&complex(t)?, dim, kept)?;
    let whole = if n > kept {
        let mirrored = flip(&narrow(&first, d, 1, n - kept)?, &[d])?;
        join::cat(&[first, f::conj_physical(&mirrored)?], d)?
    } else {
        narrow(&first, d, 0, n)?
    };
    dense(&convert::real(&c2c(&whole, dim, forward, scale)?)?)
}

/// A copy without gaps.
fn dense(t: &Tensor) -> Result<Tensor> {
    shape::clone(t, Some(MemoryFormat::Contiguous))
}

fn at(t: &Tensor, dim: i64) -> Result<usize> {
    if t.dim() == 0 {
        bail!(Index, "Dimension specified as {dim} but tensor has no dimensions");
    }
    wrap_dim(dim, t.dim())
}

/// `torch.fft.fft`
pub fn fft_fft(self_: &Tensor, n: Option<i64>, dim: i64, norm: Option<&str>) -> Result<Tensor> {
    transform(self_, n, at(self_, dim)?, norm, true)
}

/// `torch.fft.ifft`
pub fn fft_ifft(self_: &Tensor, n: Option<i64>, dim: i64, norm: Option<&str>) -> Result<Tensor> {
    transform(self_, n, at(self_, dim)?, norm, false)
}

/// `torch.fft.rfft`
pub fn fft_rfft(self_: &Tensor, n: Option<i64>, dim: i64, norm: Option<&str>) -> Result<Tensor> {
    half("rfft", self_, n, at(self_, dim)?, norm, true)
}

/// `torch.fft.irfft`
pub fn fft_irfft(self_: &Tensor, n: Option<i64>, dim: i64, norm: Option<&str>) -> Result<Tensor> {
    from_half(self_, n, at(self_, dim)?, norm, false)
}

/// `torch.fft.hfft`
pub fn fft_hfft(self_: &Tensor, n: Option<i64>, dim: i64, norm: Option<&str>) -> Result<Tensor> {
    from_half(self_, n, at(self_, dim)?, norm, true)
}

/// `torch.fft.ihfft`
pub fn fft_ihfft(self_: &Tensor, n: Option<i64>, dim: i64, norm: Option<&str>) -> Result<Tensor> {
    half("ihfft", self_, n, at(self_, dim)?, norm, false)
}

/// The dimensions of a transform and the points of each, where given.
fn plan(t: &Tensor, s: Option<&[i64]>, dim: Option<&[i64]>) -> Result<Vec<(usize, Option<i64>)>> {
    let rank = t.dim();
    if let (Some(s), Some(dim)) = (s, dim)
        && s.len() != dim.len()
    {
        bail!("When given, dim and shape arguments must have the same length");
    }
    let dims: Vec<usize> = match (dim, s) {
        (Some(dim), _) => dim.iter().map(|&d| at(t, d)).collect::<Result<_>>()?,
        (None, Some(s)) if s.len() > rank => {
            bail!("Got shape with {} values but input tensor only has {rank} dimensions.", s.len())
        }
        (None, Some(s)) => (rank - s.len()..rank).collect(),
        (None, None) => (0..rank).collect(),
    };
    if (1..dims.len()).any(|i| dims[..i].contains(&dims[i])) {
        bail!("FFT dims must be unique");
    }
    let points = |i: usize| s.map(|s| s[i]).filter(|&n| n != -1);
    Ok(dims.into_iter().enumerate().map(|(i, d)| (d, points(i))).collect())
}

fn over(t: &Tensor, plan: &[(usize, Option<i64>)], norm: Option<&str>, forward: bool) -> Result<Tensor> {
    let mut out = complex(t)?;
    for &(dim, n) in plan {
        out = transform(&out, n, dim, norm, forward)?;
    }
    Ok(out)
}

/// `torch.fft.fftn`
pub fn fft_fftn(
    self_: &Tensor,
    s: Option<&[i64]>,
    dim: Option<&[i64]>,
    norm: Option<&str>,
) -> Result<Tensor> {
    over(self_, &plan(self_, s, dim)?, norm, true)
}

/// `torch.fft.ifftn`
pub fn fft_ifftn(
    self_: &Tensor,
    s: Option<&[i64]>,
    dim: Option<&[i64]>,
    norm: Option<&str>,
) -> Result<Tensor> {
    over(self_, &plan(self_, s, dim)?, norm, false)
}

/// `torch.fft.rfftn`: of the last dimension half the transform.
pub fn fft_rfftn(
    self_: &Tensor,
    s: Option<&[i64]>,
    dim: Option<&[i64]>,
    norm: Option<&str>,
) -> Result<Tensor> {
    let plan = plan(self_, s, dim)?;
    let Some((&(last, n), rest)) = plan.split_last() else {
        bail!("rfftn must transform at least one axis");
    };
    over(&half("rfftn", self_, n, last, norm, true)?, rest, norm, true)
}

/// `torch.fft.irfftn`: the real inverse of [`fft_rfftn`].
pub fn fft_irfftn(
    self_: &Tensor,
    s: Option<&[i64]>,
    dim: Option<&[i64]>,
    norm: Option<&str>,
) -> Result<Tensor> {
    let plan = plan(self_, s, dim)?;
    let Some((&(last, n), rest)) = plan.split_last() else {
        bail!("irfftn must transform at least one axis");
    };
    from_half(&over(self_, rest, norm, false)?, n, last, norm, false)
}

/// `torch.fft.hfftn`
pub fn fft_hfftn(
    self_: &Tensor,
    s: Option<&[i64]>,
    dim: Option<&[i64]>,
    norm: Option<&str>,
) -> Result<Tensor> {
    let plan = plan(self_, s, dim)?;
    let Some((&(last, n), rest)) = plan.split_last() else {
        bail!("hfftn must transform at least one axis");
    };
    from_half(&over(self_, rest, norm, true)?, n, last, norm, true)
}

/// `torch.fft.ihfftn`
pub fn fft_ihfftn(
    self_: &Tensor,
    s: Option<&[i64]>,
    dim: Option<&[i64]>,
    norm: Option<&str>,
) -> Result<Tensor> {
    let plan = plan(self_, s, dim)?;
    let Some((&(last, n), rest)) = plan.split_last() else {
        bail!("ihfftn must transform at least one axis");
    };
    over(&half("ihfftn", self_, n, last, norm, false)?, rest, norm, false)
}

macro_rules! planar {
    ($($name:ident => $full:ident),*) => {
        $(
            /// The transform over two dimensions.
            pub fn $name(self_: &Tensor, s: Option<&[i64]>, dim: &[i64], norm: Option<&str>) -> Result<Tensor> {
                $full(self_, s, Some(dim), norm)
            }
        )*
    };
}
planar!(fft_fft2 => fft_fftn, fft_ifft2 => fft_ifftn, fft_rfft2 => fft_rfftn, fft_irfft2 => fft_irfftn,
        fft_hfft2 => fft_hfftn, fft_ihfft2 => fft_ihfftn);

fn shifted(t: &Tensor, dim: Option<&[i64]>, back: bool) -> Result<Tensor> {
    let dims: Dims = match dim {
        Some(dim) => Dims::from_slice(dim),
        None => (0..t.dim() as i64).collect(),
    };
    if dims.is_empty() {
        return shape::clone(t, None);
    }
    let mut shifts = Dims::new();
    for &d in &dims {
        let n = t.size(d)?;
        shifts.push(if back { (n + 1) / 2 } else { n / 2 });
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
