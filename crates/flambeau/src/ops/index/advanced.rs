//! `x[indices]` and `x[indices] = y` with index tensors, as NumPy's advanced indexing.

use super::{index_values, outside};
use crate::Tensor;
use crate::autograd::{self, Save, needs_grad, record, record_inplace};
use crate::ops::support::{sum_to_size, zeros_like_grad};
use crate::ops::{operand, shape};
use flambeau_core::{
    Array, DType, Dims, Init, MemoryFormat, Result, bail, broadcast_shapes, contiguous_strides, show,
};
use flambeau_cpu::index::{Fold, Index, Walk, fold, put, take};
use smallvec::{SmallVec, smallvec};

/// Index tensors of integers, one for each dimension that is indexed.
type Expanded = SmallVec<[Option<Tensor>; 4]>;

/// Fails where a tensor with data would be indexed by, or filled with, tensors without.
fn check_devices(a: &Array, indices: &[Option<Tensor>], values: Option<&Tensor>) -> Result<()> {
    let device = a.device();
    if indices.iter().flatten().any(|i| !i.device().is_cpu() && i.device() != device) {
        bail!("indices should be either on cpu or on the same device as the indexed tensor ({device})");
    }
    if let Some(v) = values
        && v.device() != device
        && !(v.dim() == 0 && v.device().is_cpu())
    {
        bail!(
            "Expected all tensors to be on the same device, but found at least two devices, {device} and {}!",
            v.device()
        );
    }
    Ok(())
}

/// Masks become the positions of their true elements, one index tensor for each of their dimensions.
fn expand_masks(sizes: &[i64], indices: &[Option<Tensor>]) -> Result<Expanded> {
    let mut out = Expanded::new();
    for index in indices {
        let Some(index) = index else {
            out.push(None);
            continue;
        };
        match index.dtype() {
            DType::Int64 | DType::Int32 => out.push(Some(index.clone())),
            DType::Bool | DType::UInt8 => {
                if index.dtype() == DType::UInt8 {
                    crate::warn(
                        "indexing with dtype torch.uint8 is now deprecated, please use a dtype torch.bool instead.",
                    );
                }
                let mask = index.sizes();
                for (j, &n) in mask.iter().enumerate() {
                    let at = out.len() + j;
                    if sizes.get(at).is_none_or(|&size| size != n) {
                        if at >= sizes.len() {
                            bail!(Index, "too many indices for tensor of dimension {}", sizes.len());
                        }
                        bail!(
                            Index,
                            "The shape of the mask {} at index {j} does not match the shape of the indexed tensor {} at index {at}",
                            show(&mask),
                            show(sizes)
                        );
                    }
                }
                let places = super::nonzero(&Tensor::from_array(index.array()))?;
                for j in 0..mask.len() as i64 {
                    out.push(Some(shape::contiguous(&shape::select(&places, 1, j)?, None)?));
                }
            }
            _ => bail!(Index, "tensors used as indices must be long, int, byte or bool tensors"),
        }
    }
    if out.len() > sizes.len() {
        bail!(Index, "too many indices for tensor of dimension {}", sizes.len());
    }
    Ok(out)
}

/// The mask, where it is the only index and covers leading dimensions.
fn only_mask<'a>(a: &Array, indices: &'a [Option<Tensor>]) -> Option<&'a Tensor> {
    let [Some(mask)] = indices else { return None };
    let sizes = mask.sizes();
    let fits = mask.dtype() == DType::Bool && !sizes.is_empty() && a.sizes.starts_with(&sizes);
    (fits && a.device().is_cpu() && mask.device().is_cpu()).then_some(mask)
}

/// The elements of a dense array that a mask of its shape selects; none where it is indexed in another way.
fn selected(a: &Array, indices: &[Option<Tensor>]) -> Result<Option<Tensor>> {
    let Some(mask) = only_mask(a, indices).filter(|m| m.dim() == a.dim() && a.is_contiguous()) else {
        return Ok(None);
    };
    let mask = super::masked::truth(mask)?;
    let bytes = super::masked::bytes(&mask);
    let count = flambeau_cpu::mask::count_nonzero(bytes);
    let out = Tensor::empty_raw(&[count as i64], a.dtype, a.device())?;
    if count > 0 {
        let to = out.with_array(|a| a.data_ptr());
        // SAFETY: a dense array of the mask's sizes, and a fresh one of as many elements as it selects.
        unsafe { flambeau_cpu::mask::select(bytes, a.dtype.size(), a.data_ptr(), to) };
    }
    Ok(Some(out))
}

/// The mask of the elements to fill, where one number is assigned to what a mask selects.
fn filled_mask(a: &Array, indices: &[Option<Tensor>], values: &Tensor) -> Option<Tensor> {
    let mask = only_mask(a, indices)?;
    let plain = values.dim() == 0 && values.dtype() == a.dtype && values.device().is_cpu();
    let apart = |t: &Tensor| t.with_array(|t| !t.overlaps(a));
    let single = a.sizes.iter().zip(&a.strides).all(|(&size, &stride)| size <= 1 || stride != 0);
    if !plain || !single || !apart(mask) || !apart(values) {
        return None;
    }
    let mut sizes = mask.sizes();
    sizes.resize(a.dim(), 1);
    shape::reshape(&mask.alias(), &sizes).ok()
}

/// An indexing operation with everything checked.
struct Plan {
    /// Sizes of the result.
    sizes: Dims,
    /// Strides of the indexed array over them, 0 where index tensors decide.
    strides: Dims,
    indices: SmallVec<[(Array, Dims, i64, i64); 2]>,
}

impl Plan {
    fn new(a: &Array, indices: &Expanded) -> Result<Plan> {
        let used: SmallVec<[(usize, &Tensor); 4]> =
            indices.iter().enumerate().filter_map(|(d, i)| i.as_ref().map(|i| (d, i))).collect();
        let mut common = Dims::new();
        for (_, index) in &used {
            common = match broadcast_shapes(&common, &index.sizes()) {
                Ok(sizes) => sizes,
                Err(_) => {
                    let shapes: Vec<String> = used.iter().map(|(_, i)| show(&i.sizes())).collect();
                    bail!(
                        Index,
                        "shape mismatch: indexing tensors could not be broadcast together with shapes {}",
                        shapes.join(", ")
                    )
                }
            };
        }
        let dims: SmallVec<[usize; 4]> = used.iter().map(|u| u.0).collect();
        let adjacent = dims.windows(2).all(|w| w[1] == w[0] + 1);
        let at = if adjacent { dims.first().copied().unwrap_or(0) } else { 0 };
        let rest = (0..a.dim()).filter(|d| !dims.contains(d));
        let (mut sizes, mut strides): (Dims, Dims) = rest.map(|d| (a.sizes[d], a.strides[d])).unzip();
        sizes.insert_many(at, common.iter().copied());
        strides.insert_many(at, common.iter().map(|_| 0));
        flambeau_core::numel(&sizes)?;
        let mut plan = Plan { sizes, strides, indices: SmallVec::new() };
        let empty = plan.sizes.contains(&0);
        for (d, index) in used {
            let values = index_values(index)?;
            let size = a.sizes[d];
            if let Some(bad) = outside(&values, -size, size)
                && !(empty && common.contains(&0))
            {
                bail!(Index, "index {bad} is out of bounds for dimension {d} with size {size}");
            }
            let mut over: Dims = SmallVec::from_elem(0, plan.sizes.len());
            let expanded = crate::pointwise::expanded_strides(&values, &common);
            over[at..at + common.len()].copy_from_slice(&expanded);
            plan.indices.push((values, over, size, a.strides[d]));
        }
        Ok(plan)
    }

    /// A fresh result: its dimensions are in the order of the indexed array's where that is channels-last.
    fn fresh(&self, a: &Array) -> Result<Tensor> {
        if a.suggested_format() == MemoryFormat::Contiguous {
            return Tensor::empty_raw(&self.sizes, a.dtype, a.device());
        }
        let over = |array: &Array, strides: &Dims| {
            let (sizes, strides) = (self.sizes.clone(), strides.clone());
            Array { sizes, strides, ..array.clone() }
        };
        let operands: SmallVec<[Array; 4]> = std::iter::once(over(a, &self.strides))
            .chain(self.indices.iter().map(|(values, strides, ..)| over(values, strides)))
            .collect();
        let strides = crate::pointwise::result_strides(&self.sizes, &operands)
            .unwrap_or_else(|| contiguous_strides(&self.sizes));
        let out = Array::empty_strided(&self.sizes, strides, a.dtype, a.device(), Init::Uninit)?;
        Ok(Tensor::from_array(out))
    }

    /// The walk over the result's positions; `plain` has the result's sizes.
    fn walk(&self, plain: &Array, indexed: &Array) -> Walk {
        let mut to = operand(indexed);
        to.strides = self.strides.clone();
        let indices = self.indices.iter().map(|(values, strides, size, stride)| Index {
            values: values.data_ptr().cast::<i64>().cast_const(),
            strides: strides.clone(),
            size: *size,
            stride: *stride,
        });
        Walk { sizes: self.sizes.clone(), plain: operand(plain), indexed: to, indices: indices.collect() }
    }
}

fn saves(indices: &Expanded) -> SmallVec<[Save<'_>; 4]> {
    indices.iter().map(|i| Save::Opt(i.as_ref())).collect()
}

fn saved(ctx: &autograd::Context, n: usize) -> Result<Vec<Option<Tensor>>> {
    (0..n).map(|i| ctx.saved_opt(i)).collect()
}

/// `x[indices]`: the elements that broadcast index tensors name; `None` takes a whole dimension. The index
/// tensors' shape stands where they do, or first if they are not side by side.
pub fn index(self_: &Tensor, indices: &[Option<Tensor>]) -> Result<Tensor> {
    let a = self_.array();
    check_devices(&a, indices, None)?;
    if !needs_grad(&[self_])
        && let Some(out) = selected(&a, indices)?
    {
        return Ok(out);
    }
    let expanded = expand_masks(&a.sizes, indices)?;
    let plan = Plan::new(&a, &expanded)?;
    let out = plan.fresh(&a)?;
    if !a.device().is_meta() && out.numel() > 0 {
        // SAFETY: indices were checked; the output is fresh, of the walk's sizes.
        unsafe { take(&plan.walk(&out.array(), &a)) };
    }
    if needs_grad(&[self_]) {
        let (from, n) = (a.sizes, expanded.len());
        record(&[&out], "IndexBackward0", &[self_], &saves(&expanded), move |ctx| {
            let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
            let zeros = Tensor::zeros_raw(&from, grad.dtype(), grad.device())?;
            let add = if needs_grad(&[grad]) { index_put } else { index_put_ };
            Ok(smallvec![Some(add(&zeros, &saved(ctx, n)?, grad, true)?)])
        })?;
    }
    Ok(out)
}

/// The values with the shape of the indexing result.
fn broadcast_values(a: &Array, values: &Tensor, sizes: &[i64]) -> Result<Array> {
    let mut v = values.array();
    if v.dtype != a.dtype {
        bail!(
            "Index put requires the source and destination dtypes match, got {} for the destination and {} for the source.",
            a.dtype.cpp_name(),
            v.dtype.cpp_name()
        );
    }
    if broadcast_shapes(sizes, &v.sizes).ok().as_deref() != Some(sizes) {
        bail!(
            "shape mismatch: value tensor of shape {} cannot be broadcast to indexing result of shape {}",
            show(&v.sizes),
            show(sizes)
        );
    }
    v.strides = crate::pointwise::expanded_strides(&v, sizes);
    v.sizes = Dims::from_slice(sizes);
    Ok(v)
}

/// Writes values to the elements of an array that a plan names.
fn write(a: &Array, plan: &Plan, values: &Array, accumulate: bool) {
    if a.device().is_meta() || values.device().is_meta() || values.numel() == 0 {
        return;
    }
    let walk = plan.walk(values, a);
    // SAFETY: indices and sizes were checked, and the values lie elsewhere.
    unsafe { if accumulate { fold(&walk, Fold::Add) } else { put(&walk) } }
}

fn put_backward(
    ctx: &autograd::Context,
    n: usize,
    sizes: &[i64],
    accumulate: bool,
) -> Result<autograd::Grads> {
    let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None, None]) };
    let indices = saved(ctx, n)?;
    let first = match (ctx.needs(0), accumulate) {
        (false, _) => None,
        (true, true) => Some(grad.clone()),
        (true, false) => Some(index_put(grad, &indices, &zeros_like_grad(grad, &[])?, false)?),
    };
    let second = if ctx.needs(1) { Some(sum_to_size(&index(grad, &indices)?, sizes)?) } else { None };
    Ok(smallvec![first, second])
}

/// `torch.index_put`: a copy with values written to (or, with `accumulate`, added to) the elements that
/// `self[indices]` names.
pub fn index_put(
    self_: &Tensor,
    indices: &[Option<Tensor>],
    values: &Tensor,
    accumulate: bool,
) -> Result<Tensor> {
    let a = self_.array();
    check_devices(&a, indices, Some(values))?;
    let expanded = expand_masks(&a.sizes, indices)?;
    let plan = Plan::new(&a, &expanded)?;
    let v = broadcast_values(&a, values, &plan.sizes)?;
    let out = shape::clone_dense(self_)?;
    let to = out.array();
    // The copy is row-major, whatever the original was.
    let plan = if to.strides == a.strides { plan } else { Plan::new(&to, &expanded)? };
    write(&to, &plan, &v, accumulate);
    let (sizes, n) = (values.sizes(), expanded.len());
    record(&[&out], "IndexPutBackward0", &[self_, values], &saves(&expanded), move |ctx| {
        put_backward(ctx, n, &sizes, accumulate)
    })?;
    Ok(out)
}

/// `Tensor.index_put_` and `x[indices] = values`.
pub fn index_put_(
    self_: &Tensor,
    indices: &[Option<Tensor>],
    values: &Tensor,
    accumulate: bool,
) -> Result<Tensor> {
    let a = self_.array();
    check_devices(&a, indices, Some(values))?;
    if !accumulate
        && !needs_grad(&[self_, values])
        && let Some(mask) = filled_mask(&a, indices, values)
    {
        return self_.masked_fill_(&mask, values);
    }
    let expanded = expand_masks(&a.sizes, indices)?;
    if expanded.iter().flatten().any(|i| i.with_array(|i| i.overlaps(&a))) {
        // Indices that change while they are followed may lead anywhere.
        bail!(
            "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single memory location. Please clone() the tensor before performing the operation."
        );
    }
    let plan = Plan::new(&a, &expanded)?;
    let mut v = broadcast_values(&a, values, &plan.sizes)?;
    autograd::check_inplace(self_, needs_grad(&[values]))?;
    if a.sizes.iter().zip(&a.strides).any(|(&size, &stride)| size > 1 && stride == 0) {
        crate::warn(
            "Use of index_put_ on expanded tensors is deprecated. Please clone() the tensor before performing this operation. This also applies to advanced indexing e.g. tensor[indices] = tensor",
        );
    }
    if a.overlaps(&v) {
        v = shape::clone_dense(&Tensor::from_array(v))?.array();
    }
    write(&a, &plan, &v, accumulate);
    let (sizes, n) = (values.sizes(), expanded.len());
    record_inplace(self_, "IndexPutBackward0", &[self_, values], &saves(&expanded), move |ctx| {
        put_backward(ctx, n, &sizes, accumulate)
    })?;
    Ok(self_.clone())
}
