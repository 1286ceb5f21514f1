//! Ranges: `arange`, `linspace`, `logspace`, to the last bit as PyTorch computes them on a CPU with AVX2.

use super::{finish, resolve};
use crate::Tensor;
use crate::schema::TensorOptions;
use flambeau_core::parallel::each;
use flambeau_core::{
    Array, C32, C64, DType, Device, Init, Number, Result, Scalar, bail, bf16, dispatch, f16,
};
use flambeau_cpu::range::{from_both_ends, multiples};

/// Elements that are worth a thread.
const GRAIN: usize = 1 << 15;

/// `torch.arange(end)`
pub fn arange(end: Scalar, options: &TensorOptions) -> Result<Tensor> {
    arange_start_step(Scalar::Int(0), end, Scalar::Int(1), options)
}

/// `torch.arange(start, end)`
pub fn arange_start(start: Scalar, end: Scalar, options: &TensorOptions) -> Result<Tensor> {
    arange_start_step(start, end, Scalar::Int(1), options)
}

/// `torch.arange(start, end, step)`: of integers `int64` unless a dtype is given.
pub fn arange_start_step(
    start: Scalar,
    end: Scalar,
    step: Scalar,
    options: &TensorOptions,
) -> Result<Tensor> {
    let integral = [start, end, step].iter().all(|s| s.is_integral_or_bool());
    let (dtype, device) = resolve(options, integral.then_some(DType::Int64))?;
    if [start, end, step].iter().any(|s| matches!(s, Scalar::Complex(c) if c.im != 0.0)) {
        bail!("value cannot be converted to type double without overflow");
    }
    if dtype == DType::Bool || dtype.is_complex() {
        bail!(NotImplemented, "\"arange_cpu\" not implemented for '{}'", dtype.cpp_name());
    }
    let (a, b, by) = (start.to_f64(), end.to_f64(), step.to_f64());
    if by == 0.0 || by.is_nan() {
        bail!("step must be nonzero");
    }
    if !a.is_finite() || !b.is_finite() {
        bail!("unsupported range: {} -> {}", plain(a), plain(b));
    }
    if (by > 0.0 && b < a) || (by < 0.0 && b > a) {
        bail!("upper bound and lower bound inconsistent with step sign");
    }
    let count = if integral {
        let (a, b, by) = (start.to_i64() as i128, end.to_i64() as i128, step.to_i64() as i128);
        ((b - a + by - by.signum()) / by) as f64
    } else {
        ((b - a) / by).ceil()
    };
    if !(0.0..9.2e18).contains(&count) {
        bail!("invalid size, possible overflow?");
    }
    let count = count as i64;
    let mut out = Array::empty(&[count], dtype, device, Init::Uninit)?;
    if !device.is_meta() && count > 0 {
        let n = count as usize;
        match dtype {
            DType::Float64 => multiples::<_, f64, 4>(elements(&mut out, n), a, by, |v| v, |v| v)?,
            DType::Float32 => {
                multiples::<_, f64, 8>(elements(&mut out, n), a, by, |v| v as f32, |v: f32| v as f64)?
            }
            DType::Float16 => {
                let (a, by) = (a as f32, by as f32);
                multiples::<_, f32, 16>(elements(&mut out, n), a, by, f16::from_f32, f32::from)?
            }
            DType::BFloat16 => {
                let (a, by) = (a as f32, by as f32);
                multiples::<_, f32, 16>(elements(&mut out, n), a, by, bf16::from_f32, f32::from)?
            }
            _ => {
                let (first, by) = (start.to_i64(), step.to_i64());
                dispatch!(storage dtype, T => {
                    each(elements::<T>(&mut out, n).chunks_mut(GRAIN).enumerate(), 1, |(k, list)| {
                        let mut value = first.wrapping_add(by.wrapping_mul((k * GRAIN) as i64));
                        for v in list {
                            *v = <T as Number>::from_scalar(Scalar::Int(value));
                            value = value.wrapping_add(by);
                        }
                        Ok(())
                    })?
                })
            }
        }
    }
    finish(Tensor::from_array(out), options)
}

/// A number as C++ streams print it, in messages.
fn plain(v: f64) -> String {
    if v.is_nan() {
        "nan".into()
    } else if v.is_infinite() {
        if v < 0.0 { "-inf".into() } else { "inf".into() }
    } else {
        v.to_string()
    }
}

/// The `n` elements of a fresh row-major array.
fn elements<T>(a: &mut Array, n: usize) -> &mut [T] {
    assert!(a.is_contiguous() && a.numel() == n && a.dtype.size() == size_of::<T>());
    // SAFETY: as many elements of this size in a row, of an array that nobody else has seen.
    unsafe { std::slice::from_raw_parts_mut(a.data_ptr().cast::<T>(), n) }
}

fn check_steps(steps: i64) -> Result<()> {
    if steps < 0 {
        bail!("number of steps must be non-negative");
    }
    Ok(())
}

fn space_dtype(name: &str, start: Scalar, end: Scalar, options: &TensorOptions) -> Result<DType> {
    let default = crate::default_dtype();
    if start.is_complex() || end.is_complex() {
        let inferred = default.to_complex();
        if let Some(dtype) = options.dtype.filter(|d| !d.is_complex()) {
            bail!(
                "torch.{name}(): inferred dtype {} can't be safely cast to passed dtype {}",
                if inferred == DType::Complex128 { "c10::complex<double>" } else { "c10::complex<float>" },
                dtype.cpp_name()
            );
        }
        return Ok(options.dtype.unwrap_or(inferred));
    }
    Ok(options.dtype.unwrap_or(default))
}

/// `torch.linspace`: `steps` numbers in equal steps, both ends included.
pub fn linspace(start: Scalar, end: Scalar, steps: i64, options: &TensorOptions) -> Result<Tensor> {
    check_steps(steps)?;
    let dtype = space_dtype("linspace", start, end, options)?;
    let (dtype, device) = resolve(options, Some(dtype))?;
    if dtype == DType::Bool {
        bail!(NotImplemented, "\"linspace_cpu\" not implemented for 'Bool'");
    }
    let mut out = Array::empty(&[steps], dtype, device, Init::Uninit)?;
    if steps == 1 {
        super::fill_data(&Tensor::from_array(out.clone()), start)?;
    } else if steps > 0 && !device.is_meta() {
        let n = steps as usize;
        macro_rules! fused {
            ($t:ty) => {{
                let (a, b) = (<$t as Number>::from_scalar(start), <$t as Number>::from_scalar(end));
                let step = (b - a) / (n - 1) as $t;
                from_both_ends(elements::<$t>(&mut out, n), |i, end| {
                    if end { (-step).mul_add(i as i64 as $t, b) } else { step.mul_add(i as i64 as $t, a) }
                })?
            }};
        }
        macro_rules! halves {
            ($t:ty) => {{
                let (a, b) = (
                    f32::from(<$t as Number>::from_scalar(start)),
                    f32::from(<$t as Number>::from_scalar(end)),
                );
                let step = (b - a) / (n - 1) as f32;
                from_both_ends(elements::<$t>(&mut out, n), |i, end| {
                    <$t>::from_f32(if end { b - step * i as f32 } else { a + step * i as f32 })
                })?
            }};
        }
        macro_rules! complex {
            ($t:ty, $r:ty) => {{
                let (a, b) = (<$t as Number>::from_scalar(start), <$t as Number>::from_scalar(end));
                let step = (b - a) / (n - 1) as $r;
                from_both_ends(elements::<$t>(&mut out, n), |i, end| {
                    if end { b - step * i as $r } else { a + step * i as $r }
                })?
            }};
        }
        match dtype {
            DType::Float32 => fused!(f32),
            DType::Float64 => fused!(f64),
            DType::Float16 => halves!(f16),
            DType::BFloat16 => halves!(bf16),
            DType::Complex64 => complex!(C32, f32),
            DType::Complex128 => complex!(C64, f64),
            _ => dispatch!(storage dtype, T => {
                let value = |s: Scalar| Number::to_scalar(<T as Number>::from_scalar(s)).to_f64();
                let (a, b) = (value(start), value(end));
                let step = (b - a) / (n - 1) as f64;
                from_both_ends(elements::<T>(&mut out, n), |i, end| {
                    let v = if end { b - step * i as f64 } else { a + step * i as f64 };
                    <T as Number>::from_scalar(Scalar::Float(v))
                })?
            }),
        }
    }
    finish(Tensor::from_array(out), options)
}

/// `torch.logspace`: powers of `base` with exponents in equal steps, both ends included.
pub fn logspace(
    start: Scalar,
    end: Scalar,
    steps: i64,
    base: f64,
    options: &TensorOptions,
) -> Result<Tensor> {
    check_steps(steps)?;
    let dtype = space_dtype("logspace", start, end, options)?;
    let (dtype, device) = resolve(options, Some(dtype))?;
    if dtype == DType::Bool {
        bail!(NotImplemented, "\"logspace_cpu\" not implemented for 'Bool'");
    }
    let mut out = Array::empty(&[steps], dtype, device, Init::Uninit)?;
    if device.is_meta() || steps == 0 {
        return finish(Tensor::from_array(out), options);
    }
    let n = steps as usize;
    let parts = (n.max(2) - 1) as f64;
    dispatch!(storage dtype, T => {
        let value = |s: Scalar| Number::to_scalar(<T as Number>::from_scalar(s));
        let (a, b) = (value(start), value(end));
        // SAFETY: a fresh row-major array of n elements of this dtype.
        let list = elements::<T>(&mut out, n);
        if dtype.is_complex() {
            let (a, b) = (a.to_complex(), b.to_complex());
            let step = (b - a) / parts;
            let power = |x: C64| <T as Number>::from_scalar(Scalar::Complex((x * C64::new(base, 0.0).ln()).exp()));
            from_both_ends(list, |i, end| power(if end && n > 1 { b - step * i as f64 } else { a + step * i as f64 }))?;
        } else {
            let (a, b) = (a.to_f64(), b.to_f64());
            // Integers step in single precision.
            let step = if dtype.is_integral() { ((b - a) as f32 / parts as f32) as f64 } else { (b - a) / parts };
            let exponent = |i: usize, end: bool| if end && n > 1 { b - step * i as f64 } else { a + step * i as f64 };
            from_both_ends(list, |i, end| {
                let x = exponent(i, end);
                let x = if dtype.is_integral() { x as f32 as f64 } else { x };
                <T as Number>::from_scalar(Scalar::Float(base.powf(x)))
            })?;
        }
    });
    finish(Tensor::from_array(out), options)
}

/// The value of a zero-dim tensor given as an end of a range.
fn zero_dim(
    name: &str,
    what: &str,
    start: Option<&Tensor>,
    end: Option<&Tensor>,
) -> Result<(Scalar, Scalar)> {
    for (t, side) in [(start, "start"), (end, "end")] {
        if let Some(t) = t
            && t.dim() != 0
        {
            bail!("{name} only supports 0-dimensional {what}, but got {side} with {} dimension(s).", t.dim());
        }
    }
    let item = |t: Option<&Tensor>| t.map_or(Ok(Scalar::Int(0)), |t| t.item());
    Ok((item(start)?, item(end)?))
}

const BOTH: &str = "start and end tensors";

/// `torch.linspace` between zero-dim tensors.
pub fn linspace_tensor_tensor(
    start: &Tensor,
    end: &Tensor,
    steps: i64,
    options: &TensorOptions,
) -> Result<Tensor> {
    let (a, b) = zero_dim("linspace", BOTH, Some(start), Some(end))?;
    linspace(a, b, steps, options)
}
/// `torch.linspace` from a zero-dim tensor to a number.
pub fn linspace_tensor_scalar(
    start: &Tensor,
    end: Scalar,
    steps: i64,
    options: &TensorOptions,
) -> Result<Tensor> {
    let (a, _) = zero_dim("linspace", BOTH, Some(start), None)?;
    linspace(a, end, steps, options)
}
/// `torch.linspace` from a number to a zero-dim tensor.
pub fn linspace_scalar_tensor(
    start: Scalar,
    end: &Tensor,
    steps: i64,
    options: &TensorOptions,
) -> Result<Tensor> {
    let (_, b) = zero_dim("linspace", BOTH, None, Some(end))?;
    linspace(start, b, steps, options)
}
/// `torch.logspace` between zero-dim tensors.
pub fn logspace_tensor_tensor(
    start: &Tensor,
    end: &Tensor,
    steps: i64,
    base: f64,
    options: &TensorOptions,
) -> Result<Tensor> {
    let (a, b) = zero_dim("logspace", BOTH, Some(start), Some(end))?;
    logspace(a, b, steps, base, options)
}
/// `torch.logspace` from a zero-dim tensor to a number.
pub fn logspace_tensor_scalar(
    start: &Tensor,
    end: Scalar,
    steps: i64,
    base: f64,
    options: &TensorOptions,
) -> Result<Tensor> {
    let (a, _) = zero_dim("logspace", BOTH, Some(start), None)?;
    logspace(a, end, steps, base, options)
}
/// `torch.logspace` from a number to a zero-dim tensor.
pub fn logspace_scalar_tensor(
    start: Scalar,
    end: &Tensor,
    steps: i64,
    base: f64,
    options: &TensorOptions,
) -> Result<Tensor> {
    let (_, b) = zero_dim("logspace", BOTH, None, Some(end))?;
    logspace(start, b, steps, base, options)
}

/// `Array` of positions `0..n` on the CPU.
pub fn positions(n: i64) -> Result<Tensor> {
    let mut a = Array::empty(&[n], DType::Int64, Device::CPU, Init::Uninit)?;
    let list = if n > 0 { elements::<i64>(&mut a, n as usize) } else { &mut [] };
    list.iter_mut().enumerate().for_each(|(i, v)| *v = i as i64);
    Ok(Tensor::from_array(a))
}
