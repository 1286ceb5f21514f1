//! Padding: constant, reflecting, replicating, circular. Has unsafe code.

use crate::Tensor;
use crate::autograd::record;
use crate::ops::dense::{Dense, computed};
use crate::ops::shape;
use crate::ops::support::copy_data;
use flambeau_core::{
    Array, C32, C64, DType, Device, Dims, Init, MemoryFormat, Result, Scalar, bail, bf16, f16, numel, show,
    strides_for,
};
use flambeau_cpu::pad::Plan;
use smallvec::{SmallVec, smallvec};
use std::sync::Arc;

/// `torch.constant_pad_nd`: pairs of amounts from the last dimension on; negative ones crop.
pub fn constant_pad_nd(self_: &Tensor, pad: &[i64], value: Scalar) -> Result<Tensor> {
    let a = self_.array();
    if !pad.len().is_multiple_of(2) {
        bail!("Length of pad must be even but instead it equals {}", pad.len());
    }
    if pad.len() > 2 * a.dim() {
        bail!(
            "Length of pad should be no more than twice the number of dimensions of the input. Pad length is {}while the input has {}dimensions.",
            pad.len(),
            a.dim()
        );
    }
    value.check_fits(a.dtype)?;
    // What is left of the input, and where it goes.
    let (mut from, mut sizes) = (a.clone(), a.sizes.clone());
    let mut start: Dims = SmallVec::from_elem(0, a.dim());
    for (i, pair) in pad.chunks_exact(2).enumerate() {
        let d = a.dim() - 1 - i;
        let (before, after) = (pair[0], pair[1]);
        let cropped = before.min(0) as i128 + after.min(0) as i128 + a.sizes[d] as i128;
        if cropped < 0 {
            bail!("narrow(): length must be non-negative.");
        }
        from.offset += (-before).max(0).min(a.sizes[d]) * a.strides[d];
        from.sizes[d] = cropped as i64;
        start[d] = before.max(0);
        let size = cropped + before.max(0) as i128 + after.max(0) as i128;
        sizes[d] = match i64::try_from(size) {
            Ok(size) => size,
            Err(_) => bail!("numel: integer multiplication overflow"),
        };
    }
    numel(&sizes)?;
    let out = Tensor::from_array(match a.is_contiguous() || a.dim() != 4 {
        true => Array::empty(&sizes, a.dtype, a.device(), Init::Uninit)?,
        false => {
            let format = match a.is_contiguous_as(MemoryFormat::ChannelsLast) {
                true => MemoryFormat::ChannelsLast,
                false => MemoryFormat::Contiguous,
            };
            let strides = strides_for(&sizes, format)?;
            Array::empty_strided(&sizes, strides, a.dtype, a.device(), Init::Uninit)?
        }
    });
    crate::ops::creation::fill_data(&out, value)?;
    let mut window = out.array();
    window.offset += start.iter().zip(&window.strides).map(|(&i, &s)| i * s).sum::<i64>();
    window.sizes = from.sizes.clone();
    copy_data(&Tensor::from_array(window), &Tensor::from_array(from))?;
    let back: Dims = pad.iter().map(|p| -p).collect();
    record(&[&out], "ConstantPadNdBackward0", &[self_], &[], move |ctx| {
        Ok(smallvec![match ctx.grad(0) {
            Some(grad) => Some(constant_pad_nd(grad, &back, Scalar::Int(0))?),
            None => None,
        }])
    })?;
    Ok(out)
}

/// For each dimension of the output the place in the input that each index reads; none where it is the same.
type Maps = SmallVec<[Option<Arc<[i64]>>; 5]>;

fn map(length: i64, place: impl Fn(i64) -> i64) -> Result<Option<Arc<[i64]>>> {
    flambeau_core::check_memory(length.max(0) as usize, size_of::<i64>())?;
    Ok(Some((0..length).map(place).collect()))
}

fn mapped_sizes(sizes: &[i64], maps: &Maps) -> Dims {
    sizes.iter().zip(maps).map(|(&n, m)| m.as_ref().map_or(n, |m| m.len() as i64)).collect()
}

/// How dense arrays of `sizes` are read through the maps, whose dimensions lie in memory in this order.
fn plan<'a>(sizes: &[i64], maps: &'a Maps, order: impl Iterator<Item = usize>) -> Result<Plan<'a>> {
    let mut dims: SmallVec<[usize; 5]> = SmallVec::new();
    let mut places: SmallVec<[Option<&[i64]>; 5]> = SmallVec::new();
    for d in order {
        dims.push(sizes[d] as usize);
        places.push(maps[d].as_deref());
    }
    Plan::new(&dims, &places)
}

/// The input read through maps, all of whose values lie within it; in its memory format if `formatted`.
fn pad_through(self_: &Tensor, maps: Maps, names: [&'static str; 2], formatted: bool) -> Result<Tensor> {
    let a = self_.array();
    let (rank, sizes, to) = (a.dim(), a.sizes.clone(), mapped_sizes(&a.sizes, &maps));
    let format = MemoryFormat::channels_last(rank);
    // Channels that lie behind all the other dimensions stay there.
    let last = formatted && a.suggested_format() == format && format != MemoryFormat::Contiguous;
    let last = last && a.is_contiguous_as(format) && !a.device().is_meta();
    let out = if last {
        let strides = strides_for(&to, format)?;
        Tensor::from_array(Array::empty_strided(&to, strides, a.dtype, a.device(), Init::Uninit)?)
    } else {
        Tensor::empty_raw(&to, a.dtype, a.device())?
    };
    if !a.device().is_meta() && out.numel() > 0 {
        let dense = (last || a.is_contiguous()) && a.in_bounds();
        let a = if dense { a } else { shape::clone_dense(self_)?.array() };
        let plan = match last {
            true => plan(&sizes, &maps, [0].into_iter().chain(2..rank).chain([1]))?,
            false => plan(&sizes, &maps, 0..rank)?,
        };
        let (item, target) = (a.dtype.size(), out.array());
        // SAFETY: dense arrays of so many elements, the second of which is fresh.
        let (from, to) = unsafe {
            (
                std::slice::from_raw_parts(a.data_ptr().cast_const(), a.numel() * item),
                std::slice::from_raw_parts_mut(target.data_ptr(), target.numel() * item),
            )
        };
        plan.take(item, from, to)?;
    }
    let out = if formatted && !last { shape::in_format_of(out, &[self_])? } else { out };
    record(&[&out], names[0], &[self_], &[], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        let grad = pad_through_backward(grad, &sizes, maps.clone(), names)?;
        ctx.connected(names[1], smallvec![Some(grad)])
    })?;
    Ok(out)
}

/// The gradient of `pad_through`: what was read several times is added up.
fn pad_through_backward(
    grad: &Tensor,
    sizes: &[i64],
    maps: Maps,
    names: [&'static str; 2],
) -> Result<Tensor> {
    let out = if grad.is_meta() {
        Tensor::zeros_raw(sizes, grad.dtype(), grad.device())?
    } else {
        let plan = plan(sizes, &maps, 0..sizes.len())?;
        macro_rules! add {
            ($T:ty) => {{
                let from = Dense::<$T>::of(grad)?;
                computed::<$T>(sizes, grad.dtype(), |to| plan.add(&from, to))?
            }};
        }
        match grad.dtype() {
            DType::Float64 => add!(f64),
            DType::Float16 => add!(f16),
            DType::BFloat16 => add!(bf16),
            DType::Complex64 => add!(C32),
            DType::Complex128 => add!(C64),
            _ => add!(f32),
        }
    };
    record(&[&out], names[1], &[grad], &[], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        Ok(smallvec![Some(pad_through(grad, maps.clone(), names, false)?)])
    })?;
    Ok(out)
}

/// Checks an input of `dims` padded dimensions, and gives the padded sizes.
fn check(self_: &Tensor, padding: &[i64], dims: usize, kernel: &str) -> Result<Dims> {
    let sizes = self_.sizes();
    if padding.len() != 2 * dims {
        bail!("padding size is expected to be {}, but got: {}", 2 * dims, padding.len());
    }
    let rank = sizes.len();
    let spatial = if rank == dims + 2 { 1 } else { 0 };
    if (rank != dims + 1 && rank != dims + 2) || sizes[spatial..].contains(&0) {
        bail!(
            "Expected {}D or {}D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, but got: {}",
            dims + 1,
            dims + 2,
            show(&sizes)
        );
    }
    if self_.dtype() == DType::Bool {
        bail!(NotImplemented, "\"{kernel}{dims}d\" not implemented for 'Bool'");
    }
    Ok(sizes)
}

fn too_small(sizes: &[i64], padded: &[i64], dims: usize) -> Result<()> {
    let rank = sizes.len();
    if padded[rank - dims..].iter().all(|&n| n >= 1) {
        return Ok(());
    }
    let names = &["D", "H", "W"][3 - dims..];
    let list = |s: &[i64]| -> String {
        let parts: Vec<String> = names.iter().zip(s).map(|(n, v)| format!("{n}: {v}")).collect();
        parts.join(", ")
    };
    let calculated: Vec<String> =
        names.iter().zip(&padded[rank - dims..]).map(|(n, v)| format!("{n}: {v}")).collect();
    bail!("input ({}) is too small. Calculated output {}", list(&sizes[rank - dims..]), calculated.join(" "))
}

/// Pads the last dimensions by reading each index at `place(i - before, size)`.
fn by_place(
    self_: &Tensor,
    padding: &[i64],
    sizes: &[i64],
    names: [&'static str; 2],
    place: impl Fn(i64, i64) -> i64,
) -> Result<Tensor> {
    let rank = sizes.len();
    let mut padded = Dims::from_slice(sizes);
    for (i, pair) in padding.chunks_exact(2).enumerate() {
        let total = sizes[rank - 1 - i].checked_add(pair[0]).and_then(|n| n.checked_add(pair[1]));
        let Some(total) = total else { bail!("numel: integer multiplication overflow") };
        padded[rank - 1 - i] = total;
    }
    too_small(sizes, &padded, padding.len() / 2)?;
    flambeau_core::Array::empty(&padded, self_.dtype(), Device::META, Init::Uninit)?;
    let mut maps: Maps = SmallVec::from_elem(None, rank);
    for (i, pair) in padding.chunks_exact(2).enumerate() {
        let d = rank - 1 - i;
        let (before, size) = (pair[0], sizes[d]);
        maps[d] = map(padded[d], |j| place(j - before, size))?;
    }
    pad_through(self_, maps, names, true)
}

fn reflect(self_: &Tensor, padding: &[i64], dims: usize, names: [&'static str; 2]) -> Result<Tensor> {
    let sizes = check(self_, padding, dims, "reflection_pad")?;
    for (i, pair) in padding.chunks_exact(2).enumerate() {
        let d = sizes.len() - 1 - i;
        if pair[0] >= sizes[d] || pair[1] >= sizes[d] {
            bail!(
                "Argument #{}: Padding size should be less than the corresponding input dimension, but got: padding ({}, {}) at dimension {d} of input {}",
                4 + 2 * i,
                pair[0],
                pair[1],
                show(&sizes)
            );
        }
    }
    by_place(self_, padding, &sizes, names, |i, n| (n - 1) - ((n - 1) - i.abs()).abs())
}

fn replicate(self_: &Tensor, padding: &[i64], dims: usize, names: [&'static str; 2]) -> Result<Tensor> {
    let sizes = check(self_, padding, dims, "replication_pad")?;
    by_place(self_, padding, &sizes, names, |i, n| i.clamp(0, n - 1))
}

/// `reflection_pad1d`
pub fn reflection_pad1d(self_: &Tensor, padding: &[i64]) -> Result<Tensor> {
    reflect(self_, padding, 1, ["ReflectionPad1DBackward0", "ReflectionPad1DBackwardBackward0"])
}
/// `reflection_pad2d`
pub fn reflection_pad2d(self_: &Tensor, padding: &[i64]) -> Result<Tensor> {
    reflect(self_, padding, 2, ["ReflectionPad2DBackward0", "ReflectionPad2DBackwardBackward0"])
}
/// `reflection_pad3d`
pub fn reflection_pad3d(self_: &Tensor, padding: &[i64]) -> Result<Tensor> {
    reflect(self_, padding, 3, ["ReflectionPad3DBackward0", "ReflectionPad3DBackwardBackward0"])
}
/// `replication_pad1d`
pub fn replication_pad1d(self_: &Tensor, padding: &[i64]) -> Result<Tensor> {
    replicate(self_, padding, 1, ["ReplicationPad1DBackward0", "ReplicationPad1DBackwardBackward0"])
}
/// `replication_pad2d`
pub fn replication_pad2d(self_: &Tensor, padding: &[i64]) -> Result<Tensor> {
    replicate(self_, padding, 2, ["ReplicationPad2DBackward0", "ReplicationPad2DBackwardBackward0"])
}
/// `replication_pad3d`
pub fn replication_pad3d(self_: &Tensor, padding: &[i64]) -> Result<Tensor> {
    replicate(self_, padding, 3, ["ReplicationPad3DBackward0", "ReplicationPad3DBackwardBackward0"])
}

/// Opposite ends continue each other.
fn circular(self_: &Tensor, padding: &[i64]) -> Result<Tensor> {
    let sizes = self_.sizes();
    let rank = sizes.len();
    let mut maps: Maps = SmallVec::from_elem(None, rank);
    for (i, pair) in padding.chunks_exact(2).enumerate() {
        let d = rank - 1 - i;
        let (before, after, size) = (pair[0], pair[1], sizes[d]);
        if before > size || after > size {
            bail!("Padding value causes wrapping around more than once.");
        }
        // Cropping comes first; what is left wraps around.
        let (first, left) =
            ((-before).max(0), size.saturating_add(before.min(0)).saturating_add(after.min(0)));
        if left < 0 || (left == 0 && (before > 0 || after > 0)) {
            bail!("Negative padding value is resulting in an empty dimension");
        }
        let total = left + before.max(0) + after.max(0);
        maps[d] = map(total, |j| first + (j - before.max(0)).rem_euclid(left))?;
    }
    let names = ["PadCircularBackward0", "PadCircularBackwardBackward0"];
    pad_through(self_, maps, names, false)
}

/// `torch.nn.functional.pad`
pub fn pad(self_: &Tensor, pad: &[i64], mode: &str, value: Option<f64>) -> Result<Tensor> {
    let rank = self_.dim();
    if !pad.len().is_multiple_of(2) {
        bail!("Padding length must be divisible by 2");
    }
    if pad.len() > 2 * rank {
        bail!(
            "Padding length should be less than or equal to two times the input dimension but got padding length {} and input of dimension {rank}",
            pad.len()
        );
    }
    if mode == "constant" {
        return constant_pad_nd(self_, pad, Scalar::Float(value.unwrap_or(0.0)));
    }
    if value.is_some_and(|v| v != 0.0) {
        bail!("Padding mode \"{mode}\" doesn't take in value argument");
    }
    let dims = pad.len() / 2;
    let fits = (1..=3).contains(&dims) && (rank == dims + 1 || rank == dims + 2);
    let unknown = !["reflect", "replicate", "circular"].contains(&mode);
    if unknown && (fits || pad.is_empty()) {
        bail!(NotImplemented, "Unrecognised padding mode {mode}");
    }
    if !fits {
        if unknown {
            bail!(NotImplemented, "Unrecognised padding mode {mode}");
        }
        bail!(
            NotImplemented,
            "Padding size {} is not supported for {rank}D input tensor.\nSupported combinations for non-constant padding:\n  - 2D or 3D input: padding size = 2 (pads last dimension)\n  - 3D or 4D input: padding size = 4 (pads last 2 dimensions)\n  - 4D or 5D input: padding size = 6 (pads last 3 dimensions)",
            pad.len()
        );
    }
    match (mode, dims) {
        ("reflect", 1) => reflection_pad1d(self_, pad),
        ("reflect", 2) => reflection_pad2d(self_, pad),
        ("reflect", _) => reflection_pad3d(self_, pad),
        ("replicate", 1) => replication_pad1d(self_, pad),
        ("replicate", 2) => replication_pad2d(self_, pad),
        ("replicate", _) => replication_pad3d(self_, pad),
        _ => circular(self_, pad),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(mode: &str, pads: &[i64]) -> Vec<f64> {
        let t = Tensor::from_slice(&[1.0, 2.0, 3.0f64], &[1, 3]).unwrap();
        pad(&t, pads, mode, None).unwrap().to_vec().unwrap()
    }

    #[test]
    fn continues_rows() {
        assert_eq!(row("constant", &[1, 2]), [0.0, 1.0, 2.0, 3.0, 0.0, 0.0]);
        assert_eq!(row("constant", &[-1, 1]), [2.0, 3.0, 0.0]);
        assert_eq!(row("reflect", &[2, 1]), [3.0, 2.0, 1.0, 2.0, 3.0, 2.0]);
        assert_eq!(row("replicate", &[2, -1]), [1.0, 1.0, 1.0, 2.0]);
        assert_eq!(row("circular", &[2, 1]), [2.0, 3.0, 1.0, 2.0, 3.0, 1.0]);
        assert_eq!(row("circular", &[2, -1]), [1.0, 2.0, 1.0, 2.0]);
    }

    #[test]
    fn gradient_counts_reads() {
        let t = Tensor::from_slice(&[1.0, 2.0, 3.0f64], &[1, 3]).unwrap();
        t.set_requires_grad(true).unwrap();
        let out = pad(&t, &[2, 1], "reflect", None).unwrap();
        let sum = crate::ops::reduce::sum(&out, None).unwrap();
        let one = Tensor::from_slice(&[1.0f64], &[]).unwrap();
        let root = (sum.gradient_edge().unwrap(), one);
        crate::autograd::run_backward(&[root], None, Default::default()).unwrap();
        assert_eq!(t.grad().unwrap().to_vec::<f64>().unwrap(), [1.0, 3.0, 2.0]);
    }

    #[test]
    fn refuses_amounts() {
        let t = Tensor::from_slice(&[1.0f32, 2.0], &[1, 2]).unwrap();
        for (mode, pads) in [
            ("reflect", vec![2, 0]),
            ("constant", vec![1]),
            ("constant", vec![-2, -1]),
            ("circular", vec![3, 0]),
            ("other", vec![1, 1]),
            ("replicate", vec![i64::MAX, i64::MAX]),
            ("constant", vec![i64::MAX, i64::MAX]),
        ] {
            assert!(pad(&t, &pads, mode, None).is_err(), "{mode} {pads:?}");
        }
        assert_eq!(crate::ops::shape::clone(&t, None).unwrap().to_vec::<f32>().unwrap(), [1.0, 2.0]);
    }
}
