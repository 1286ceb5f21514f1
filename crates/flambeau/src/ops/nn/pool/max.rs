//! Maximum pooling.

use super::positions::record_maxima;
use super::windows::{Windows, output_sizes};
use super::{as_image, check_dtype, from_image, in_format, pooled};
use crate::Tensor;
use crate::autograd::needs_grad;
use crate::ops::shape;
use flambeau_core::{DType, Dims, Result, bail, show};
use flambeau_cpu::pool::{self, PoolShape};

/// The windows of a checked input, and the result's sizes.
fn checked(name: &str, dims: usize, input: &Tensor, windows: &Windows) -> Result<(PoolShape, Dims)> {
    let (sizes, dtype) = (input.sizes(), input.dtype());
    if sizes.len() != dims + 1 && sizes.len() != dims + 2 {
        bail!("non-empty {}D or {}D (batch mode) tensor expected for input", dims + 1, dims + 2);
    }
    windows.check()?;
    let first = sizes.len() - dims - 1;
    if let Some(empty) = (first..sizes.len()).find(|&d| sizes[d] == 0) {
        if dims == 2 {
            bail!(
                "Expected 3D or 4D (batch mode) tensor with optional 0 dim batch size for input, but got:{}",
                show(&sizes)
            );
        }
        bail!(
            "max_pool3d_with_indices_out_cpu_template(): Expected input to have non-zero size for non-batch dimensions, but input has sizes {} with dimension {empty} being empty",
            show(&sizes)
        );
    }
    let s = windows.shape(&sizes)?;
    check_dtype(name, dtype, |d| !d.is_complex() && !unpoolable(d))?;
    let to = output_sizes(&s, &sizes, dims);
    Ok((s, to))
}

/// The largest elements of windows and their positions in the plane.
fn maxima(name: &str, dims: usize, input: &Tensor, windows: &Windows) -> Result<(Tensor, Tensor)> {
    let (s, to) = checked(name, dims, input, windows)?;
    let found = pooled!(input => (&to, indices), |x, out, places| pool::max_pool(&s, &x, out, Some(places)));
    let name = if dims == 2 { "MaxPool2DWithIndicesBackward0" } else { "MaxPool3DWithIndicesBackward0" };
    record_maxima(in_format(found, input)?, input, dims, name)
}

/// The largest elements of windows, without positions where no gradient needs them.
fn highest(name: &str, dims: usize, input: &Tensor, windows: &Windows) -> Result<Tensor> {
    if needs_grad(&[input]) {
        return Ok(maxima(name, dims, input, windows)?.0);
    }
    let (s, to) = checked(name, dims, input, windows)?;
    let found = pooled!(input => &to, |x, out| pool::max_pool(&s, &x, out, None));
    shape::in_format_of(found, &[input])
}

fn unpoolable(dtype: DType) -> bool {
    matches!(dtype, DType::Bool | DType::UInt16 | DType::UInt32 | DType::UInt64)
}

/// The windows of a line, as those of an image of one row.
fn line_windows(
    self_: &Tensor,
    kernel_size: &[i64],
    stride: &[i64],
    padding: &[i64],
    dilation: &[i64],
    ceil_mode: bool,
) -> Result<Windows> {
    let sizes = self_.sizes();
    let empty = sizes.len() > 1 && sizes[sizes.len() - 2..].contains(&0);
    if !(2..=3).contains(&sizes.len()) || empty {
        bail!(
            "max_pool1d: Expected 2D or 3D (batch mode) tensor with optional 0 dim batch size for input, but got:{}",
            show(&sizes)
        );
    }
    let one = |values: &[i64], name: &str| -> Result<i64> {
        match values {
            [value] => Ok(*value),
            _ => bail!(
                "max_pool1d() {name} must be an int, list of ints or tuple of ints of size 1 but got size {}",
                values.len()
            ),
        }
    };
    let k = one(kernel_size, "kernel_size")?;
    let s = if stride.is_empty() { k } else { one(stride, "stride")? };
    let (p, d) = (one(padding, "padding")?, one(dilation, "dilation")?);
    for (value, name) in [(k, "kernel_size"), (s, "stride")] {
        if value <= 0 {
            bail!("max_pool1d() {name} must be greater than zero, but got {value}");
        }
    }
    if d <= 0 {
        bail!("max_pool1d() dilation must be greater than zero, but got {d}");
    }
    let windows = Windows::new("max_pool2d", 2, &[1, k], &[1, s], &[0, p], &[1, d], ceil_mode)?;
    windows.check()?;
    let length = sizes[sizes.len() - 1];
    let reach = (k - 1).checked_mul(d).and_then(|r| r.checked_add(1));
    let Some(room) = reach.and_then(|r| p.checked_mul(2)?.checked_add(length)?.checked_sub(r)) else {
        bail!("max_pool1d() sizes overflow");
    };
    if room < 0 && !(ceil_mode && room.saturating_add(s - 1) >= 0) {
        bail!("max_pool1d() Invalid computed output size: {}", room.div_euclid(s) + 1);
    }
    check_dtype("max_pool1d_impl", self_.dtype(), |d| d.is_floating_point())?;
    Ok(windows)
}

/// `torch.max_pool1d_with_indices`: maxima and their positions in the line.
pub fn max_pool1d_with_indices(
    self_: &Tensor,
    kernel_size: &[i64],
    stride: &[i64],
    padding: &[i64],
    dilation: &[i64],
    ceil_mode: bool,
) -> Result<(Tensor, Tensor)> {
    let windows = line_windows(self_, kernel_size, stride, padding, dilation, ceil_mode)?;
    as_image(self_, |image| {
        let (values, indices) = maxima("max_pool2d", 2, image, &windows)?;
        Ok((from_image(&values)?, from_image(&indices)?))
    })
}

/// `torch.max_pool1d`
pub fn max_pool1d(
    self_: &Tensor,
    kernel_size: &[i64],
    stride: &[i64],
    padding: &[i64],
    dilation: &[i64],
    ceil_mode: bool,
) -> Result<Tensor> {
    let windows = line_windows(self_, kernel_size, stride, padding, dilation, ceil_mode)?;
    as_image(self_, |image| from_image(&highest("max_pool2d", 2, image, &windows)?))
}

macro_rules! images {
    ($($dims:literal $name:ident $with_indices:ident;)*) => { $(
        #[doc = concat!("`", stringify!($with_indices), "`: maxima and their positions in the plane.")]
        pub fn $with_indices(
            self_: &Tensor,
            kernel_size: &[i64],
            stride: &[i64],
            padding: &[i64],
            dilation: &[i64],
            ceil_mode: bool,
        ) -> Result<(Tensor, Tensor)> {
            let name = stringify!($name);
            let windows = Windows::new(name, $dims, kernel_size, stride, padding, dilation, ceil_mode)?;
            maxima(name, $dims, self_, &windows)
        }

        #[doc = concat!("`torch.", stringify!($name), "`")]
        pub fn $name(
            self_: &Tensor,
            kernel_size: &[i64],
            stride: &[i64],
            padding: &[i64],
            dilation: &[i64],
            ceil_mode: bool,
        ) -> Result<Tensor> {
            let name = stringify!($name);
            let windows = Windows::new(name, $dims, kernel_size, stride, padding, dilation, ceil_mode)?;
            highest(name, $dims, self_, &windows)
        }
    )* };
}
images! {
    2 max_pool2d max_pool2d_with_indices;
    3 max_pool3d max_pool3d_with_indices;
}
