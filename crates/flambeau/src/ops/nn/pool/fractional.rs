//! Maximum pooling with windows at pseudo-random steps (Graham, 2014).

use super::positions::record_maxima;
use super::{check_dtype, planes, unsigned};
use crate::Tensor;
use crate::autograd::GradMode;
use crate::ops::dense::{Dense, written_pair};
use flambeau_core::{DType, Dims, Result, bail, show};
use flambeau_cpu::pool;
use smallvec::smallvec;

fn check(
    name: &str,
    input: &Tensor,
    kernel_size: &[i64],
    output_size: &[i64],
    random_samples: &Tensor,
) -> Result<[Dims; 2]> {
    let dims = if name == "fractional_max_pool2d" { 2 } else { 3 };
    let sizes = input.sizes();
    let tuple = if dims == 2 { "Ints" } else { "three Ints" };
    let fit = |values: &[i64], what: &str| -> Result<Dims> {
        match values.len() {
            1 => Ok(smallvec![values[0]; dims]),
            n if n == dims => Ok(values.into()),
            _ => bail!("{name}: {what} must either be a single Int or tuple of {tuple}"),
        }
    };
    let (kernel, output) = (fit(kernel_size, "kernel_size")?, fit(output_size, "output_size")?);
    if kernel.iter().any(|&k| k <= 0) {
        let kernel: Vec<String> = kernel.iter().map(|k| k.to_string()).collect();
        bail!("{name}(): kernel size should be greater than zero, but got {}", kernel.join("x"));
    }
    let said = if dims == 2 { name.to_string() } else { format!("{name}_out") };
    if sizes.len() != dims + 1 && sizes.len() != dims + 2 {
        bail!("{said}(): Expected {}D or {}D tensor, but got: {}", dims + 1, dims + 2, show(&sizes));
    }
    if let Some(empty) = (sizes.len() - dims - 1..sizes.len()).find(|&d| sizes[d] == 0) {
        bail!(
            "{said}(): Expected input to have non-zero size for non-batch dimensions, but got{} with dimension {empty} being empty.",
            show(&sizes)
        );
    }
    let names = if dims == 2 { &["height", "width"][..] } else { &["time", "height", "width"] };
    for (d, axis) in names.iter().enumerate() {
        let size = sizes[sizes.len() - dims + d];
        if output[d].checked_add(kernel[d]).is_none_or(|reach| reach - 1 > size) {
            bail!("{said}(): pool {axis} {} too large relative to input {axis} {size}", kernel[d]);
        }
    }
    if let Some(bad) = output.iter().find(|&&n| n < 0) {
        let to: Dims = sizes[..sizes.len() - dims].iter().chain(&output).copied().collect();
        bail!("Trying to create tensor with negative dimension {bad}: {}", show(&to));
    }
    if input.dtype() != random_samples.dtype() {
        bail!("Expect _random_samples to have the same dtype as input");
    }
    let (batch, channels) = match sizes.len() == dims + 2 {
        true => (sizes[0], sizes[1]),
        false => (1, sizes[0]),
    };
    let samples = random_samples.sizes();
    if samples.len() != 3 {
        bail!("Expect _random_samples to have 3 dimensions, got {}", samples.len());
    }
    if samples[0] < batch {
        bail!("Expect _random_samples.size(0) no less then input batch size.");
    }
    if samples[1] != channels {
        bail!("Expect _random_samples.size(1) equals to input channel size.");
    }
    if samples[2] != dims as i64 {
        bail!("Expect _random_samples.size(2) equals to {dims}; got {}.", samples[2]);
    }
    check_dtype(&format!("{name}_out_frame"), input.dtype(), |d| d.is_floating_point())?;
    Ok([kernel, output])
}

fn fractional(
    name: &'static str,
    dims: usize,
    input: &Tensor,
    kernel_size: &[i64],
    output_size: &[i64],
    random_samples: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let [kernel, output] = check(name, input, kernel_size, output_size, random_samples)?;
    let (sizes, dtype) = (input.sizes(), input.dtype());
    let first = sizes.len() - dims;
    let to: Dims = sizes[..first].iter().chain(&output).copied().collect();
    let found = if input.is_meta() {
        (
            Tensor::empty_raw(&to, dtype, input.device())?,
            Tensor::empty_raw(&to, DType::Int64, input.device())?,
        )
    } else {
        let _guard = GradMode::no_grad();
        let (planes, from) = (planes(&sizes, dims), unsigned(&sizes[first..])?);
        let (onto, kernel) = (unsigned(&output)?, unsigned(&kernel)?);
        // In the plane the samples' first one is that of the width, in the volume that of the depth.
        let order: &[usize] = if dims == 2 { &[1, 0] } else { &[0, 1, 2] };
        macro_rules! run {
            ($T:ty) => {{
                let (x, samples) = (Dense::<$T>::of(input)?, Dense::<$T>::of(random_samples)?);
                let samples = &samples[..planes * dims];
                let run = |out: &mut [$T], places: &mut [i64]| {
                    pool::fractional_max_pool(planes, &from, &onto, &kernel, order, samples, &x, out, places)
                };
                written_pair::<$T, i64>([&to, &to], dtype, run)?
            }};
        }
        if dtype == DType::Float64 { run!(f64) } else { run!(f32) }
    };
    let name = if dims == 2 { "FractionalMaxPool2DBackward0" } else { "FractionalMaxPool3DBackward0" };
    record_maxima(found, input, dims, name)
}

/// `fractional_max_pool2d`: maxima and their positions in the plane; `random_samples` is (N, C, 2) in [0, 1).
pub fn fractional_max_pool2d(
    self_: &Tensor,
    kernel_size: &[i64],
    output_size: &[i64],
    random_samples: &Tensor,
) -> Result<(Tensor, Tensor)> {
    fractional("fractional_max_pool2d", 2, self_, kernel_size, output_size, random_samples)
}

/// `fractional_max_pool3d`: maxima and their positions in the volume; `random_samples` is (N, C, 3) in [0, 1).
pub fn fractional_max_pool3d(
    self_: &Tensor,
    kernel_size: &[i64],
    output_size: &[i64],
    random_samples: &Tensor,
) -> Result<(Tensor, Tensor)> {
    fractional("fractional_max_pool3d", 3, self_, kernel_size, output_size, random_samples)
}
