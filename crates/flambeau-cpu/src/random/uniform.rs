//! Uniform reals.

use super::error_text::{general, not_implemented};
use super::fused::{scale_add_f32, scale_add_f64};
use super::generator::{Generator, unit_f32};
use super::sample::{Numbers, Reals, Sample};
use flambeau_core::{DType, Result, bail, bf16, f16};

/// The largest finite number of a float type.
pub(super) fn max_finite(dtype: DType) -> f64 {
    match dtype {
        DType::Float16 => f16::MAX.to_f64(),
        DType::BFloat16 => bf16::MAX.to_f64(),
        DType::Float32 => f32::MAX as f64,
        _ => f64::MAX,
    }
}

/// The argument checks of `uniform_`. Errors if the dtype is integral, a bound is outside the dtype's range or NaN,
/// `from > to`, or the width of the interval overflows the dtype.
pub fn check_uniform_bounds(dtype: DType, from: f64, to: f64) -> Result<()> {
    let real = dtype.to_real();
    if !real.is_floating_point() {
        return Err(not_implemented("check_uniform_bounds", dtype));
    }
    let max = max_finite(real);
    for (name, bound) in [("from", from), ("to", to)] {
        if !(-max..=max).contains(&bound) {
            bail!("{name} is out of bounds for {}", real.cpp_type());
        }
    }
    if from > to {
        bail!(
            "uniform_ expects to return a [from, to) range, but found from={} > to={}",
            general(from),
            general(to)
        );
    }
    if to - from > max {
        bail!(
            "uniform_ expects to-from <= std::numeric_limits<{}>::max(), but found to={} and from={} which result in \
             to-from to exceed the limit",
            real.cpp_name(),
            general(to),
            general(from)
        );
    }
    Ok(())
}

/// Fills with uniform numbers of [from, to). One word an element, two for `float64`; complex elements draw their
/// real part first. Errors as [`check_uniform_bounds`] does.
pub fn uniform_(g: &mut Generator, dtype: DType, out: &mut dyn Numbers, from: f64, to: f64) -> Result<()> {
    check_uniform_bounds(dtype, from, to)?;
    let unit = from == 0.0 && to == 1.0;
    match out.reals() {
        Reals::F32(out) if unit => g.fill32(out, unit_f32),
        Reals::F64(out) if unit => g.fill_uniform64(out, |u| u),
        Reals::F32(out) => {
            let (from, to) = (from as f32, to as f32);
            stretch_f32(g, out, from, to, |x| if x == to { from } else { x });
        }
        Reals::F64(out) => stretch_f64(g, out, from, to),
        Reals::F16(out) => stretch_half(g, out, from, to),
        Reals::BF16(out) => stretch_half(g, out, from, to),
        Reals::None => return Err(not_implemented("check_uniform_bounds", dtype)),
    }
    Ok(())
}

/// Numbers stretched at a time.
const BATCH: usize = 512;

fn stretch_f32<T>(g: &mut Generator, out: &mut [T], from: f32, to: f32, make: impl Fn(f32) -> T) {
    let mut batch = [0.0; BATCH];
    for chunk in out.chunks_mut(BATCH) {
        let batch = &mut batch[..chunk.len()];
        g.fill32(batch, unit_f32);
        scale_add_f32(batch, to - from, from);
        for (o, &x) in chunk.iter_mut().zip(&*batch) {
            *o = make(x);
        }
    }
}

/// Halves stretch in `float32`, between bounds that are not rounded to the half type.
fn stretch_half<T: Sample>(g: &mut Generator, out: &mut [T], from: f64, to: f64) {
    let (low, high) = (T::from_f64(from), T::from_f64(to));
    stretch_f32(g, out, from as f32, to as f32, |x| {
        let x = T::from_f64(x as f64);
        if x == high { low } else { x }
    });
}

fn stretch_f64(g: &mut Generator, out: &mut [f64], from: f64, to: f64) {
    for chunk in out.chunks_mut(BATCH) {
        g.fill_uniform64(chunk, |u| u);
        scale_add_f64(chunk, to - from, from);
        for x in chunk {
            *x = if *x == to { from } else { *x };
        }
    }
}
