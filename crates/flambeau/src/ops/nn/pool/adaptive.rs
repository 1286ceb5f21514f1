//! Pooling to a given output size.

use super::positions::record_maxima;
use super::{as_image, check_dtype, check_line, from_image, in_format, one_int, planes, pooled, unsigned};
use crate::Tensor;
use crate::autograd::record;
use crate::ops::{reduce, shape};
use flambeau_core::{Dims, MemoryFormat, Result, bail, show, strides_for};
use flambeau_cpu::pool;
use smallvec::smallvec;

fn check_adaptive(name: &str, dims: usize, input: &Tensor, output: &[i64]) -> Result<Dims> {
    let sizes = input.sizes();
    let colon = if name.contains("max") { ":" } else { "" };
    if sizes.len() != dims + 1 && sizes.len() != dims + 2 {
        bail!("{name}(): Expected {}D or {}D tensor, but got{colon} {}", dims + 1, dims + 2, show(&sizes));
    }
    let output: Dims = match output.len() {
        1 => smallvec![output[0]; dims],
        n if n == dims => output.into(),
        _ if name.contains("max") => {
            bail!("{name}(): internal error: output_size.size() must be {dims}")
        }
        _ => bail!("{name}: output_size must be {dims}"),
    };
    if name.contains("avg") && output.iter().any(|&n| n < 0) {
        let last = if dims == 3 { "," } else { ", " };
        let (head, tail) = output.split_at(dims - 1);
        let head = head.iter().map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
        bail!(
            "{name}: elements of output_size must be greater than or equal to 0 but received {{{head}{last}{}}}",
            tail[0]
        );
    }
    if let Some(empty) = (1..sizes.len()).find(|&d| sizes[d] == 0) {
        bail!(
            "{name}(): Expected input to have non-zero size for non-batch dimensions, but input has sizes {} with dimension {empty} being empty",
            show(&sizes)
        );
    }
    check_dtype(name, input.dtype(), |d| d.is_floating_point())?;
    let to: Dims = sizes[..sizes.len() - dims].iter().chain(&output).copied().collect();
    if output.iter().any(|&n| n < 0) {
        let bad = output.iter().find(|&&n| n < 0).copied().unwrap_or(-1);
        bail!("Trying to create tensor with negative dimension {bad}: {}", show(&to));
    }
    Ok(to)
}

/// The number of planes, and the sizes of a plane before and after.
fn spatial(dims: usize, from: &[i64], onto: &[i64]) -> Result<(usize, [Vec<usize>; 2])> {
    let first = from.len() - dims;
    Ok((planes(from, dims), [unsigned(&from[first..])?, unsigned(&onto[first..])?]))
}

fn twice(dims: usize) -> &'static str {
    if dims == 2 { "AdaptiveAvgPool2DBackwardBackward0" } else { "AdaptiveAvgPool3DBackwardBackward0" }
}

fn adaptive_average(input: &Tensor, to: &[i64], dims: usize) -> Result<Tensor> {
    let sizes = input.sizes();
    let out = pooled!(input => to, |x, out| {
        let (planes, [from, onto]) = spatial(dims, &sizes, to)?;
        pool::adaptive_avg_pool(planes, &from, &onto, &x, out)
    });
    let out = if dims == 2 { shape::in_format_of(out, &[input])? } else { out };
    let name = if dims == 2 { "AdaptiveAvgPool2DBackward0" } else { "AdaptiveAvgPool3DBackward0" };
    record(&[&out], name, &[input], &[], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        ctx.connected(twice(dims), smallvec![Some(adaptive_average_backward(grad, &sizes, dims)?)])
    })?;
    Ok(out)
}

/// The adjoint of the adaptive average of inputs of `sizes`.
fn adaptive_average_backward(grad: &Tensor, sizes: &[i64], dims: usize) -> Result<Tensor> {
    let to = grad.sizes();
    let out = pooled!(grad => sizes, |x, out| {
        let (planes, [from, onto]) = spatial(dims, sizes, &to)?;
        pool::adaptive_avg_pool_backward(planes, &from, &onto, &x, out)
    });
    record(&[&out], twice(dims), &[grad], &[], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        Ok(smallvec![Some(adaptive_average(grad, &to, dims)?)])
    })?;
    Ok(out)
}

fn adaptive_maxima(name: &str, dims: usize, input: &Tensor, output: &[i64]) -> Result<(Tensor, Tensor)> {
    let to = check_adaptive(name, dims, input, output)?;
    let found = pooled!(input => (&to, indices), |x, out, places| {
        let (planes, [from, onto]) = spatial(dims, &input.sizes(), &to)?;
        pool::adaptive_max_pool(planes, &from, &onto, &x, out, places)
    });
    let name = if dims == 2 { "AdaptiveMaxPool2DBackward0" } else { "AdaptiveMaxPool3DBackward0" };
    let found = if dims == 2 { in_format(found, input)? } else { found };
    record_maxima(found, input, dims, name)
}

/// `torch.adaptive_avg_pool1d`
pub fn adaptive_avg_pool1d(self_: &Tensor, output_size: &[i64]) -> Result<Tensor> {
    let n = one_int("adaptive_avg_pool1d", "output_size", output_size)?;
    check_line("adaptive_avg_pool1d", self_)?;
    from_image(&as_image(self_, |image| adaptive_avg_pool2d(image, &[1, n]))?)
}
/// `torch.adaptive_max_pool1d`: maxima and their positions.
pub fn adaptive_max_pool1d(self_: &Tensor, output_size: &[i64]) -> Result<(Tensor, Tensor)> {
    let n = one_int("adaptive_max_pool1d", "output_size", output_size)?;
    check_line("adaptive_max_pool1d", self_)?;
    let (values, indices) = as_image(self_, |image| adaptive_max_pool2d(image, &[1, n]))?;
    Ok((from_image(&values)?, from_image(&indices)?))
}

/// Averages of whole planes with the strides of the input's memory format, in the same order in memory.
fn one_each(out: &Tensor, input: &Tensor) -> Result<Tensor> {
    let format = input.with_array(|a| a.suggested_format());
    if format != MemoryFormat::Contiguous {
        let mut a = out.array();
        a.strides = strides_for(&a.sizes, format)?;
        out.set_array(a);
    }
    Ok(out.clone())
}

macro_rules! adaptive_pools {
    ($($dims:literal $average:ident $max:ident;)*) => { $(
        #[doc = concat!("`torch.nn.functional.", stringify!($average), "`")]
        pub fn $average(self_: &Tensor, output_size: &[i64]) -> Result<Tensor> {
            let to = check_adaptive(stringify!($average), $dims, self_, output_size)?;
            if to[to.len() - $dims..].iter().all(|&n| n == 1) {
                let dims: Dims = (-$dims..0i64).collect();
                return one_each(&reduce::mean_dim(self_, Some(&dims), true, None)?, self_);
            }
            adaptive_average(self_, &to, $dims)
        }
        #[doc = concat!("`torch.nn.functional.", stringify!($max), "`: maxima and their positions.")]
        pub fn $max(self_: &Tensor, output_size: &[i64]) -> Result<(Tensor, Tensor)> {
            adaptive_maxima(stringify!($max), $dims, self_, output_size)
        }
    )* };
}
adaptive_pools! {
    2 adaptive_avg_pool2d adaptive_max_pool2d;
    3 adaptive_avg_pool3d adaptive_max_pool3d;
}
