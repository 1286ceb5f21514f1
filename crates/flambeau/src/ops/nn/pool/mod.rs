//! Pooling over one to three spatial dimensions.
//!
//! Every backward is a linear operator that is recorded with its own adjoint: averages and their adjoints, and the
//! pair that reads and adds at the positions of maxima.

mod adaptive;
mod average;
mod fractional;
mod max;
mod positions;
mod unpool;
mod windows;

pub use adaptive::*;
pub use average::*;
pub use fractional::*;
pub use max::*;
pub use unpool::*;

use crate::Tensor;
use crate::ops::shape;
use flambeau_core::{DType, Dims, Result, bail, show};

/// What `$run` makes of the elements `$x` of a tensor: a tensor of the given sizes whose elements it writes to `$out`,
/// and with `indices` the positions besides. Meta tensors have sizes only.
macro_rules! pooled {
    ($input:expr => $to:expr, |$x:ident, $out:ident| $run:expr) => {
        pooled!(@run $input, $to, T, to => $crate::Tensor::empty_raw(to, $input.dtype(), $input.device())?, {
            let $x = $crate::ops::dense::Dense::<T>::of($input)?;
            $crate::ops::dense::written::<T>(to, $input.dtype(), |$out| $run)?
        })
    };
    ($input:expr => ($to:expr, indices), |$x:ident, $out:ident, $places:ident| $run:expr) => {
        pooled!(@run $input, $to, T, to => {
            let empty = |dtype| $crate::Tensor::empty_raw(to, dtype, $input.device());
            (empty($input.dtype())?, empty(flambeau_core::DType::Int64)?)
        }, {
            let $x = $crate::ops::dense::Dense::<T>::of($input)?;
            let run = |$out: &mut [T], $places: &mut [i64]| $run;
            $crate::ops::dense::written_pair::<T, i64>([to, to], $input.dtype(), run)?
        })
    };
    (@run $input:expr, $sizes:expr, $T:ident, $to:ident => $meta:expr, $value:expr) => {{
        let $to: &[i64] = $sizes;
        if $input.is_meta() {
            $meta
        } else {
            let _guard = $crate::autograd::GradMode::no_grad();
            let dtype = $input.dtype();
            flambeau_core::dispatch!(ordered dtype, $T => $value, else flambeau_core::bail!(
                NotImplemented,
                "pooling is not implemented for '{}'",
                dtype.cpp_name()
            ))
        }
    }};
}
use pooled;

const COUNT: [&str; 4] = ["zero", "one", "two", "three"];

fn unsigned(values: &[i64]) -> Result<Vec<usize>> {
    values
        .iter()
        .map(|&x| match usize::try_from(x) {
            Ok(x) => Ok(x),
            Err(_) => bail!("pooling: negative size {x}"),
        })
        .collect()
}

fn product(sizes: &[i64]) -> Result<usize> {
    let total = sizes.iter().try_fold(1usize, |n, &x| n.checked_mul(usize::try_from(x).ok()?));
    match total.filter(|&n| n <= isize::MAX as usize / 16) {
        Some(n) => flambeau_core::check_memory(n, 16).map(|()| n),
        None => bail!("pooling: an output of sizes {} is too large", show(sizes)),
    }
}

fn check_dtype(name: &str, dtype: DType, allowed: impl Fn(DType) -> bool) -> Result<()> {
    if !allowed(dtype) {
        bail!(NotImplemented, "\"{name}\" not implemented for '{}'", dtype.cpp_name());
    }
    Ok(())
}

/// The sizes before the last `dims`, followed by `spatial`.
fn with_spatial(sizes: &[i64], dims: usize, spatial: &[usize]) -> Dims {
    sizes[..sizes.len() - dims].iter().copied().chain(spatial.iter().map(|&x| x as i64)).collect()
}

fn planes(sizes: &[i64], dims: usize) -> usize {
    flambeau_core::count(&sizes[..sizes.len() - dims]) as usize
}

/// A pooling of one dimension as one of images of height 1.
fn as_image<R>(input: &Tensor, pool: impl FnOnce(&Tensor) -> Result<R>) -> Result<R> {
    pool(&shape::unsqueeze(input, -2)?)
}

fn from_image(out: &Tensor) -> Result<Tensor> {
    shape::squeeze_dim(out, -2)
}

/// Maxima and their positions in the memory format that the input suggests.
fn in_format((values, indices): (Tensor, Tensor), input: &Tensor) -> Result<(Tensor, Tensor)> {
    Ok((shape::in_format_of(values, &[input])?, shape::in_format_of(indices, &[input])?))
}

fn one_int(name: &str, argument: &str, values: &[i64]) -> Result<i64> {
    match values {
        [value] => Ok(*value),
        _ => bail!("{name}() argument '{argument}' should contain one int (got {})", values.len()),
    }
}

fn check_line(name: &str, input: &Tensor) -> Result<()> {
    if !(2..=3).contains(&input.dim()) {
        bail!(
            "Expected 2 to 3 dimensions, but got {}-dimensional tensor for argument #1 'self' (while checking arguments for {name})",
            input.dim()
        );
    }
    Ok(())
}
