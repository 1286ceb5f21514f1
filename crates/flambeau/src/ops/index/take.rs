//! Elements by their position in the flattened tensor: `take`, `put`; places in sorted sequences.

use super::{as_slice, index_values, outside, walk_along};
use crate::Tensor;
use crate::autograd::{Save, record};
use crate::ops::shape;
use crate::ops::support::zeros_like_grad;
use flambeau_core::{Array, DType, Device, Dims, Element, Init, Result, Scalar, bail, bf16, f16, show};
use flambeau_cpu::index::{Fold, Walk, fold, put as put_elements, take as take_elements};
use smallvec::{SmallVec, smallvec};

/// The walk over positions in a flat array.
fn flat(plain: &Array, indexed: &Array, values: &Array) -> Walk {
    let mut line = indexed.clone();
    (line.sizes, line.strides) = (smallvec![indexed.numel() as i64], smallvec![1]);
    let n = values.numel() as i64;
    let (mut p, mut v) = (plain.clone(), values.clone());
    (p.sizes, p.strides) = (smallvec![n], smallvec![1]);
    (v.sizes, v.strides) = (smallvec![n], smallvec![1]);
    walk_along(&[n], &p, &line, 0, &v, SmallVec::from_elem(1, 1))
}

fn flat_values(index: &Tensor, n: i64, name: &str) -> Result<Array> {
    if index.dtype() != DType::Int64 {
        bail!("{name}(): Expected a long tensor for index, but got {}", index.dtype().cpp_name());
    }
    index_values(index).and_then(|values| match outside(&values, -n, n) {
        Some(bad) => {
            bail!(Index, "out of range: tried to access index {bad} on a tensor of {n} elements.")
        }
        None => Ok(values),
    })
}

/// `torch.take`: the elements at positions in the flattened tensor, in the index's shape.
pub fn take(self_: &Tensor, index: &Tensor) -> Result<Tensor> {
    let n = self_.numel() as i64;
    if n == 0 && index.numel() > 0 && index.dtype() == DType::Int64 {
        bail!(Index, "take(): tried to take from an empty tensor");
    }
    let values = flat_values(index, n, "take")?;
    let source = shape::dense(self_)?.array();
    let out = Tensor::empty_raw(&values.sizes, source.dtype, source.device())?;
    if !source.device().is_meta() && out.numel() > 0 {
        // SAFETY: positions were checked; the output is fresh, of the index's size.
        unsafe { take_elements(&flat(&out.array(), &source, &values)) };
    }
    let sizes = self_.sizes();
    record(&[&out], "TakeBackward0", &[self_], &[Save::Input(index)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        Ok(smallvec![Some(put(&zeros_like_grad(grad, &sizes)?, &ctx.saved(0)?, grad, true)?)])
    })?;
    Ok(out)
}

/// `torch.put`: elements of `source` written (or added) at positions in the flattened tensor.
pub fn put(self_: &Tensor, index: &Tensor, source: &Tensor, accumulate: bool) -> Result<Tensor> {
    if index.dtype() != DType::Int64 {
        bail!("put_(): Expected a long tensor for index, but got {}", index.dtype().cpp_name());
    }
    if self_.dtype() != source.dtype() {
        bail!(
            "put_(): self and source expected to have the same dtype, but got self.dtype = {} and source.dtype = {}",
            self_.dtype().cpp_name(),
            source.dtype().cpp_name()
        );
    }
    if source.numel() != index.numel() {
        bail!(
            Index,
            "put_(): Expected source and index to have the same number of elements, but got source.numel() = {}, index.numel() = {}",
            source.numel(),
            index.numel()
        );
    }
    let values = flat_values(index, self_.numel() as i64, "put_")?;
    let out = shape::clone_dense(self_)?;
    let from = shape::dense(source)?.array();
    if !out.is_meta() && from.numel() > 0 {
        let walk = flat(&from, &out.array(), &values);
        // SAFETY: positions were checked; the output is a fresh copy.
        unsafe { if accumulate { fold(&walk, Fold::Add) } else { put_elements(&walk) } };
    }
    let sizes = source.sizes();
    record(&[&out], "PutBackward0", &[self_, source], &[Save::Input(index)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None, None]) };
        let index = ctx.saved(0)?;
        let first = match (ctx.needs(0), accumulate) {
            (false, _) => None,
            (true, true) => Some(grad.clone()),
            (true, false) => Some(put(grad, &index, &zeros_like_grad(grad, &index.sizes())?, false)?),
        };
        let second = if ctx.needs(1) { Some(shape::reshape(&take(grad, &index)?, &sizes)?) } else { None };
        Ok(smallvec![first, second])
    })?;
    Ok(out)
}

/// A dense tensor's elements.
fn elements<T: Element>(a: &Array) -> &[T] {
    match a.numel() {
        0 => &[],
        // SAFETY: a row-major array of n elements of this type, alive as long as the borrow.
        n => unsafe { std::slice::from_raw_parts(a.data_ptr().cast::<T>(), n) },
    }
}

/// The side that `side` and `right` agree on.
fn right_side(right: bool, side: Option<&str>) -> Result<bool> {
    match side {
        None => Ok(right),
        Some("right") => Ok(true),
        Some("left") if right => bail!(
            "torch.searchsorted(): side and right can't be set to opposites, got side of left while right was True"
        ),
        Some("left") => Ok(false),
        Some(other) => {
            bail!("torch.searchsorted(): side can only be 'left' or 'right' but got {other}")
        }
    }
}

fn search(
    boundaries: &Tensor,
    values: &Tensor,
    out_int32: bool,
    right: bool,
    sorter: Option<&Tensor>,
) -> Result<Tensor> {
    let dtype = if out_int32 { DType::Int32 } else { DType::Int64 };
    let (b, v) = (boundaries.array(), values.array());
    if b.dtype != v.dtype {
        let common = crate::pointwise::result_type(&[boundaries, values]);
        let (boundaries, values) = (shape::to_dtype(boundaries, common)?, shape::to_dtype(values, common)?);
        return search(&boundaries, &values, out_int32, right, sorter);
    }
    if b.dim() == 0 {
        bail!("torch.searchsorted(): boundaries tensor should have positive dimension, but got 0 dimension");
    }
    if v.dim() == 0 && b.dim() != 1 {
        bail!(
            "torch.searchsorted(): input value can be a scalar only when boundaries tensor dimension is 1, but we got boundaries tensor dim({}) and input value's dim(0) numel(1)",
            b.dim()
        );
    }
    let same_lead = b.dim() == v.dim() && b.dim() > 0 && b.sizes[..b.dim() - 1] == v.sizes[..v.dim() - 1];
    if b.dim() != 1 && !same_lead {
        bail!(
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries tensor and input value tensor must match, but we got boundaries tensor {} and input value tensor {}",
            show(&b.sizes),
            show(&v.sizes)
        );
    }
    if let Some(sorter) = sorter {
        if sorter.sizes() != b.sizes {
            bail!(
                "torch.searchsorted(): boundary and sorter must have the same size, but got boundary tensor {}and got sorter tensor {}",
                show(&b.sizes),
                show(&sorter.sizes())
            );
        }
        if sorter.dtype() != DType::Int64 {
            bail!(
                "torch.searchsorted(): sorter must be a tensor of long dtype but got dtype {}",
                sorter.dtype().cpp_name()
            );
        }
    }
    if out_int32 && b.sizes[b.dim() - 1] >= i32::MAX as i64 {
        bail!(
            "torch.searchsorted(): the size of boundaries' last dimension should be less than {}, but we got {}",
            i32::MAX,
            b.sizes[b.dim() - 1]
        );
    }
    if b.dtype == DType::Bool || b.dtype.is_complex() {
        bail!(NotImplemented, "\"searchsorted_out_cpu\" not implemented for '{}'", b.dtype.cpp_name());
    }
    let (rows, n) = (Dims::from_slice(&v.sizes), b.sizes[b.dim() - 1] as usize);
    let meta = boundaries.is_meta() || values.is_meta() || sorter.is_some_and(|s| s.is_meta());
    let device = if meta { Device::META } else { v.device() };
    let out = Array::empty(&rows, DType::Int64, device, Init::Zero)?;
    if !meta && v.numel() > 0 {
        let (b, v) = (shape::dense(boundaries)?.array(), shape::dense(values)?.array());
        let sorter = sorter.map(|s| shape::dense(s).map(|s| s.array())).transpose()?;
        let sorter = sorter.as_ref().map(as_slice);
        let per_row = if b.dim() == 1 { v.numel() } else { v.sizes[v.dim() - 1] as usize };
        // SAFETY: a fresh row-major array of as many integers as there are values.
        let places = unsafe { std::slice::from_raw_parts_mut(out.data_ptr().cast::<i64>(), v.numel()) };
        macro_rules! by_type {
            ($($dtype:ident => $t:ty),*) => {
                match b.dtype {
                    $(DType::$dtype => {
                        let (b, v) = (elements::<$t>(&b), elements::<$t>(&v));
                        flambeau_cpu::sort::searchsorted(b, n, sorter, v, per_row, right, places)?
                    })*
                    _ => {}
                }
            };
        }
        by_type!(UInt8 => u8, Int8 => i8, Int16 => i16, Int32 => i32, Int64 => i64, UInt16 => u16, UInt32 => u32,
            UInt64 => u64, Float16 => f16, BFloat16 => bf16, Float32 => f32, Float64 => f64);
    }
    shape::to_dtype(&Tensor::from_array(out), dtype)
}

/// `torch.searchsorted`: where in sorted rows values would be inserted.
pub fn searchsorted(
    sorted_sequence: &Tensor,
    self_: &Tensor,
    out_int32: bool,
    right: bool,
    side: Option<&str>,
    sorter: Option<&Tensor>,
) -> Result<Tensor> {
    search(sorted_sequence, self_, out_int32, right_side(right, side)?, sorter)
}

/// `torch.searchsorted` of one number.
pub fn searchsorted_scalar(
    sorted_sequence: &Tensor,
    self_: Scalar,
    out_int32: bool,
    right: bool,
    side: Option<&str>,
    sorter: Option<&Tensor>,
) -> Result<Tensor> {
    let value = crate::ops::creation::scalar_tensor(self_, sorted_sequence.dtype())?;
    search(sorted_sequence, &value, out_int32, right_side(right, side)?, sorter)
}

/// `torch.bucketize`: between which boundaries values lie.
pub fn bucketize(self_: &Tensor, boundaries: &Tensor, out_int32: bool, right: bool) -> Result<Tensor> {
    if boundaries.dim() != 1 {
        bail!("boundaries tensor must be 1 dimension, but got dim({})", boundaries.dim());
    }
    search(boundaries, self_, out_int32, right, None)
}

/// `torch.bucketize` of one number.
pub fn bucketize_scalar(self_: Scalar, boundaries: &Tensor, out_int32: bool, right: bool) -> Result<Tensor> {
    let value = crate::ops::creation::scalar_tensor(self_, boundaries.dtype())?;
    bucketize(&value, boundaries, out_int32, right)
}

/// `torch.nn.functional.one_hot`: a last dimension with 1 at the place of each class.
pub fn one_hot(self_: &Tensor, num_classes: i64) -> Result<Tensor> {
    if self_.dtype() != DType::Int64 {
        bail!("one_hot is only applicable to index tensor of type LongTensor.");
    }
    let values = index_values(self_)?;
    let list = as_slice(&values);
    let mut sizes = self_.sizes();
    if list.is_empty() && num_classes <= 0 {
        bail!("Can not infer total number of classes from empty tensor.");
    }
    let bounds = flambeau_cpu::index::bounds(list);
    let classes = match bounds {
        Some((low, _)) if low < 0 => bail!("Class values must be non-negative."),
        Some((_, high)) if num_classes != -1 => {
            if num_classes < 1 {
                bail!("num_classes should be positive");
            }
            if high >= num_classes {
                bail!("Class values must be smaller than num_classes.");
            }
            num_classes
        }
        Some((_, high)) => match high.checked_add(1) {
            Some(n) => n,
            None => bail!("numel: integer multiplication overflow"),
        },
        None => num_classes,
    };
    sizes.push(classes);
    let out = Array::empty(&sizes, DType::Int64, Device::CPU, Init::Zero)?;
    for (row, &class) in list.iter().enumerate() {
        // SAFETY: a fresh array of a row of `classes` integers for each value, which lies below that.
        unsafe { out.data_ptr().cast::<i64>().add(row * classes as usize + class as usize).write(1) }
    }
    Ok(Tensor::from_array(out))
}
