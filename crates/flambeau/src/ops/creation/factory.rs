//! `zeros`, `full`, `eye` and other tensors of given sizes.

use crate::Tensor;
use crate::ops::dense::written;
use crate::schema::TensorOptions;
use flambeau_core::{
    Array, DType, Device, Dims, Init, Layout, MemoryFormat, Result, Scalar, bail, check_sizes, strides_for,
};
use smallvec::SmallVec;

/// Checks the options that every factory takes, and gives dtype and device.
pub fn resolve(options: &TensorOptions, dtype: Option<DType>) -> Result<(DType, Device)> {
    if let Some(layout) = options.layout
        && layout != Layout::Strided
    {
        bail!(NotImplemented, "only the strided layout is supported, got {layout:?}");
    }
    let device = options.device.unwrap_or_else(crate::default_device);
    device.check_available()?;
    let dtype = options.dtype.or(dtype).unwrap_or_else(crate::default_dtype);
    if options.requires_grad && !dtype.is_differentiable() {
        bail!("Only Tensors of floating point and complex dtype can require gradients");
    }
    Ok((dtype, device))
}

/// Sets what the options say of gradients.
pub fn finish(out: Tensor, options: &TensorOptions) -> Result<Tensor> {
    if options.requires_grad {
        out.set_requires_grad(true)?;
    }
    Ok(out)
}

/// `torch.zeros`
pub fn zeros(size: &[i64], options: &TensorOptions) -> Result<Tensor> {
    let (dtype, device) = resolve(options, None)?;
    if size.iter().any(|&s| s < 0) {
        bail!("zeros: Dimension size must be non-negative.");
    }
    finish(Tensor::zeros_raw(size, dtype, device)?, options)
}

/// `torch.ones`
pub fn ones(size: &[i64], options: &TensorOptions) -> Result<Tensor> {
    full_as(size, Scalar::Int(1), resolve(options, None)?.0, options)
}

/// `torch.full`; the dtype follows the value unless given.
pub fn full(size: &[i64], fill_value: Scalar, options: &TensorOptions) -> Result<Tensor> {
    let dtype = options.dtype.unwrap_or(fill_value.dtype(crate::default_dtype()));
    full_as(size, fill_value, dtype, options)
}

pub(super) fn full_as(size: &[i64], value: Scalar, dtype: DType, options: &TensorOptions) -> Result<Tensor> {
    let (dtype, device) = resolve(options, Some(dtype))?;
    check_sizes(size)?;
    value.check_fits(dtype)?;
    let out = Tensor::empty_raw(size, dtype, device)?;
    super::fill_data(&out, value)?;
    finish(out, options)
}

/// `torch.empty`. Memory is zeroed: uninitialised bytes of another tensor are never shown.
pub fn empty(size: &[i64], options: &TensorOptions, memory_format: Option<MemoryFormat>) -> Result<Tensor> {
    let (dtype, device) = resolve(options, None)?;
    check_sizes(size)?;
    let strides = match memory_format {
        Some(MemoryFormat::Preserve) => bail!("Unsupported memory format Preserve"),
        format => strides_for(size, format.unwrap_or(MemoryFormat::Contiguous))?,
    };
    finish(Tensor::from_array(Array::empty_strided(size, strides, dtype, device, Init::Zero)?), options)
}

/// `torch.empty_strided`
pub fn empty_strided(size: &[i64], stride: &[i64], options: &TensorOptions) -> Result<Tensor> {
    let (dtype, device) = resolve(options, None)?;
    finish(strided(size, stride, dtype, device)?, options)
}

pub(super) fn strided(size: &[i64], stride: &[i64], dtype: DType, device: Device) -> Result<Tensor> {
    check_sizes(size)?;
    if size.len() != stride.len() {
        bail!(
            "dimensionality of sizes ({}) must match dimensionality of strides ({})",
            size.len(),
            stride.len()
        );
    }
    if stride.iter().any(|&s| s < 0) {
        bail!(
            "Storage size calculation overflowed with sizes={} and strides={}",
            flambeau_core::show(size),
            flambeau_core::show(stride)
        );
    }
    Ok(Tensor::from_array(Array::empty_strided(size, Dims::from_slice(stride), dtype, device, Init::Zero)?))
}

/// `torch.empty_permuted`: dense, with the dimensions in memory in the order `physical_layout`.
pub fn empty_permuted(size: &[i64], physical_layout: &[i64], options: &TensorOptions) -> Result<Tensor> {
    let (dtype, device) = resolve(options, None)?;
    let rank = size.len();
    if physical_layout.len() != rank {
        bail!(
            "Number of dimensions in size does not match the length of the physical_layout; i.e. len(size) = {rank} is not equal to len(physical_layout) = {}",
            physical_layout.len()
        );
    }
    let mut seen: SmallVec<[bool; 6]> = SmallVec::from_elem(false, rank);
    for (i, &d) in physical_layout.iter().enumerate() {
        if d < 0 || d >= rank as i64 {
            bail!(
                "Dimension out of range (expected to be between 0 and {}, but got {d} at index {i}).  NB: negative dims not currently supported; file an issue if you want it.",
                rank as i64 - 1
            );
        }
        if std::mem::replace(&mut seen[d as usize], true) {
            bail!("Duplicate dim not allowed");
        }
    }
    check_sizes(size)?;
    let mut strides: Dims = SmallVec::from_elem(1, rank);
    let mut stride = 1i64;
    for &d in physical_layout.iter().rev() {
        strides[d as usize] = stride;
        stride = stride.saturating_mul(size[d as usize].max(1));
    }
    finish(Tensor::from_array(Array::empty_strided(size, strides, dtype, device, Init::Zero)?), options)
}

/// `torch.scalar_tensor`
pub fn scalar_tensor_options(s: Scalar, options: &TensorOptions) -> Result<Tensor> {
    full_as(&[], s, resolve(options, None)?.0, options)
}

/// `torch.eye`: the square identity matrix.
pub fn eye(n: i64, options: &TensorOptions) -> Result<Tensor> {
    eye_m(n, n, options)
}

/// `torch.eye` with another number of columns.
pub fn eye_m(n: i64, m: i64, options: &TensorOptions) -> Result<Tensor> {
    let (dtype, device) = resolve(options, None)?;
    if n < 0 {
        bail!("n must be greater or equal to 0, got {n}");
    }
    if m < 0 {
        bail!("m must be greater or equal to 0, got {m}");
    }
    let out = Tensor::zeros_raw(&[n, m], dtype, device)?;
    let mut diagonal = out.array();
    diagonal.sizes = Dims::from_slice(&[n.min(m)]);
    diagonal.strides = Dims::from_slice(&[m + 1]);
    super::fill_data(&Tensor::from_array(diagonal), Scalar::Int(1))?;
    finish(out, options)
}

/// How many columns the rows `0..row` have in all, row `i` having `(i + c).clamp(0, col)` of them.
fn ramp(row: i64, col: i64, c: i64) -> i128 {
    let (row, col, c) = (row as i128, col as i128, c as i128);
    let (first, full) = ((1 - c).clamp(0, row), (col - c).clamp(0, row));
    let rising = if full > first { (first + c + full - 1 + c) * (full - first) / 2 } else { 0 };
    rising + (row - full) * col
}

/// The coordinates of the columns that each of the rows `rows` has.
fn triangle_indices(
    name: &str,
    (row, col): (i64, i64),
    options: &TensorOptions,
    count: impl Fn() -> i128,
    rows: impl Fn() -> std::ops::Range<i64>,
    columns: impl Fn(i64) -> std::ops::Range<i64>,
) -> Result<Tensor> {
    let (dtype, device) = resolve(options, Some(DType::Int64))?;
    if row < 0 {
        bail!("row must be non-negative, got{row}");
    }
    if col < 0 {
        bail!("col must be non-negative, got{col}");
    }
    if !matches!(dtype, DType::Int64 | DType::Int32) {
        bail!(NotImplemented, "\"{name}\" not implemented for '{}'", dtype.cpp_name());
    }
    let Ok(count) = i64::try_from(count()) else { bail!("numel: integer multiplication overflow") };
    let out = written::<i64>(&[2, count], dtype, |list| {
        let (mut first, mut second) = list.split_at_mut(list.len() / 2);
        for i in rows() {
            let columns = columns(i);
            let n = usize::try_from(columns.end - columns.start).unwrap_or(0).min(first.len());
            let (row, column);
            (row, first) = first.split_at_mut(n);
            (column, second) = second.split_at_mut(n);
            row.fill(i);
            column.iter_mut().zip(columns).for_each(|(to, j)| *to = j);
        }
        Ok(())
    })?;
    let out = crate::ops::shape::to_copy(&out, Some(dtype), Some(device), None)?;
    finish(out, options)
}

/// `torch.tril_indices`: the coordinates on and below a diagonal, row by row.
pub fn tril_indices(row: i64, col: i64, offset: i64, options: &TensorOptions) -> Result<Tensor> {
    triangle_indices(
        "tril_indices",
        (row, col),
        options,
        || ramp(row, col, offset.saturating_add(1)),
        || 0i64.saturating_sub(offset).clamp(0, row)..row,
        |i| 0..i.saturating_add(offset).saturating_add(1).clamp(0, col),
    )
}

/// `torch.triu_indices`: the coordinates on and above a diagonal, row by row.
pub fn triu_indices(row: i64, col: i64, offset: i64, options: &TensorOptions) -> Result<Tensor> {
    triangle_indices(
        "triu_indices",
        (row, col),
        options,
        || row as i128 * col as i128 - ramp(row, col, offset),
        || 0..col.saturating_sub(offset).clamp(0, row),
        |i| i.saturating_add(offset).clamp(0, col)..col,
    )
}
