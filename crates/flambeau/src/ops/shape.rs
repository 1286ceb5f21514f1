//! Views and copies: other geometries of the same elements.

use crate::Tensor;
use crate::autograd::{record, view_of};
use crate::ops::support::copy_data;
use flambeau_core::{
    Array, DType, Dims, Init, MemoryFormat, Result, bail, contiguous_strides, numel, show, wrap_dim,
};
use smallvec::{SmallVec, smallvec};

// copies without history

/// A row-major copy of the elements, without history.
pub fn clone_dense(t: &Tensor) -> Result<Tensor> {
    let a = t.array();
    let out = Tensor::empty_raw(&a.sizes, a.dtype, a.device())?;
    copy_data(&out, t)?;
    Ok(out)
}

/// A copy with the strides of `model` where they are dense.
pub(crate) fn clone_like(t: &Tensor, model: &Tensor) -> Result<Tensor> {
    let strides = model.with_array(|m| m.is_non_overlapping_and_dense().then(|| m.strides.clone()));
    if t.requires_grad() {
        return clone(t, None);
    }
    match strides {
        Some(strides) => clone_with_strides(t, strides),
        None => clone_dense(t),
    }
}

fn clone_with_strides(t: &Tensor, strides: Dims) -> Result<Tensor> {
    let a = t.array();
    let out = Tensor::from_array(Array::empty_strided(&a.sizes, strides, a.dtype, a.device(), Init::Uninit)?);
    copy_data(&out, t)?;
    Ok(out)
}

/// A copy whose geometry is that of a base: needed where windows are cut by stride.
pub(crate) fn clone_with_geometry(t: &Tensor, sizes: &[i64], strides: &[i64]) -> Result<Tensor> {
    let (dtype, device) = t.with_array(|a| (a.dtype, a.device()));
    let out = Tensor::from_array(Array::empty_strided(
        sizes,
        Dims::from_slice(strides),
        dtype,
        device,
        Init::Zero,
    )?);
    let source = expand_raw(t, sizes)?;
    copy_data(&out, &source)?;
    Ok(out)
}

/// A window on a tensor's storage, without history.
pub(crate) fn as_strided_window(t: &Tensor, sizes: &[i64], strides: &[i64], offset: i64) -> Result<Tensor> {
    let mut a = t.array();
    (a.sizes, a.strides) = (Dims::from_slice(sizes), Dims::from_slice(strides));
    a.offset += offset;
    if !a.in_bounds() {
        bail!("a window lies outside of its storage");
    }
    Ok(t.alias_as(a))
}

/// A copy of `whole` with a window replaced (by zeros if there is nothing to put there).
pub(crate) fn replace_window(
    whole: &Tensor,
    sizes: &[i64],
    strides: &[i64],
    offset: i64,
    with: Option<&Tensor>,
) -> Result<Tensor> {
    let (base_sizes, base_strides) = whole.with_array(|a| (a.sizes.clone(), a.strides.clone()));
    let out = clone_with_geometry(&whole.alias(), &base_sizes, &base_strides)?;
    let window = as_strided_window(&out, sizes, strides, offset)?;
    match with {
        Some(value) => copy_data(&window, value)?,
        None => crate::ops::creation::fill_data(&window, 0i64.into())?,
    }
    Ok(out)
}

/// Changes the sizes of a tensor in place, growing its storage if need be. Contents beyond are undefined (zero).
pub fn resize_raw(t: &Tensor, sizes: &[i64]) -> Result<()> {
    flambeau_core::check_sizes(sizes)?;
    numel(sizes)?;
    let mut a = t.array();
    let strides = contiguous_strides(sizes);
    let need = flambeau_core::required_bytes(sizes, &strides, a.offset, a.dtype.size())?;
    if need > a.storage.nbytes() {
        a.storage.resize(need)?;
    }
    a.sizes = Dims::from_slice(sizes);
    a.strides = strides;
    t.set_array(a);
    Ok(())
}

fn expand_raw(t: &Tensor, sizes: &[i64]) -> Result<Tensor> {
    let mut a = t.array();
    a.strides = crate::pointwise::expanded_strides(&a, sizes);
    a.sizes = Dims::from_slice(sizes);
    Ok(t.alias_as(a))
}

// differentiable

/// `torch.clone`
pub fn clone(self_: &Tensor, memory_format: Option<MemoryFormat>) -> Result<Tensor> {
    let a = self_.array();
    let strides = match memory_format.unwrap_or(MemoryFormat::Preserve) {
        MemoryFormat::Preserve if a.is_non_overlapping_and_dense() => a.strides.clone(),
        MemoryFormat::Preserve => {
            match crate::pointwise::result_strides(&a.sizes, std::slice::from_ref(&a)) {
                Some(strides) => strides,
                None => contiguous_strides(&a.sizes),
            }
        }
        format => flambeau_core::strides_for(&a.sizes, format)?,
    };
    let out = clone_with_strides(&self_.alias(), strides)?;
    record(&[&out], "CloneBackward0", &[self_], &[], |ctx| Ok(smallvec![ctx.grad(0).cloned()]))?;
    Ok(out)
}

/// `Tensor.contiguous`
pub fn contiguous(self_: &Tensor, memory_format: MemoryFormat) -> Result<Tensor> {
    if self_.with_array(|a| a.is_contiguous_as(memory_format)) {
        return Ok(self_.clone());
    }
    clone(self_, Some(memory_format))
}

/// The same values in another dtype; differentiable.
pub fn to_dtype(self_: &Tensor, dtype: DType) -> Result<Tensor> {
    let a = self_.array();
    if a.dtype == dtype {
        return Ok(self_.clone());
    }
    let strides =
        if a.is_non_overlapping_and_dense() { a.strides.clone() } else { contiguous_strides(&a.sizes) };
    let out = Tensor::from_array(Array::empty_strided(&a.sizes, strides, dtype, a.device(), Init::Uninit)?);
    copy_data(&out, &self_.alias())?;
    let from = a.dtype;
    record(&[&out], "ToCopyBackward0", &[self_], &[], move |ctx| {
        Ok(smallvec![match ctx.grad(0) {
            Some(grad) => Some(to_dtype(grad, from)?),
            None => None,
        }])
    })?;
    Ok(out)
}

/// `Tensor.expand`
pub fn expand(self_: &Tensor, size: &[i64]) -> Result<Tensor> {
    let a = self_.array();
    let rank = size.len();
    if rank < a.dim() {
        bail!(
            "expand(torch.{}Tensor{{{}}}, size={}): the number of sizes provided ({rank}) must be greater or equal to the number of dimensions in the tensor ({})",
            a.dtype.cpp_name(),
            show(&a.sizes),
            show(size),
            a.dim()
        );
    }
    let lead = rank - a.dim();
    let (mut sizes, mut strides) = (Dims::new(), Dims::new());
    for (d, &want) in size.iter().enumerate() {
        if d < lead {
            if want < 0 {
                bail!(
                    "The expanded size of the tensor ({want}) isn't allowed in a leading, non-existing dimension {d}"
                );
            }
            sizes.push(want);
            strides.push(0);
            continue;
        }
        let (have, stride) = (a.sizes[d - lead], a.strides[d - lead]);
        if want == -1 || want == have {
            sizes.push(have);
            strides.push(stride);
        } else if have == 1 && want >= 0 {
            sizes.push(want);
            strides.push(0);
        } else {
            bail!(
                "The expanded size of the tensor ({want}) must match the existing size ({have}) at non-singleton dimension {d}.  Target sizes: {}.  Tensor sizes: {}",
                show(size),
                show(&a.sizes)
            );
        }
    }
    numel(&sizes)?;
    let from = a.sizes.clone();
    view_of(self_, "ExpandBackward0", sizes, strides, a.offset, move |_, grad| {
        crate::ops::sum_to_size(grad, &from)
    })
}

/// Resolves a `-1` among sizes.
pub fn infer_size(size: &[i64], n: i64) -> Result<Dims> {
    let mut out = Dims::from_slice(size);
    let mut known = 1i64;
    let mut unknown = None;
    for (d, &s) in size.iter().enumerate() {
        if s == -1 {
            if unknown.is_some() {
                bail!("only one dimension can be inferred");
            }
            unknown = Some(d);
        } else if s < 0 {
            bail!("invalid shape dimension {s} at index {d} of shape {}", show(size));
        } else {
            known = known
                .checked_mul(s)
                .ok_or_else(|| flambeau_core::Error::runtime("numel: integer multiplication overflow"))?;
        }
    }
    let invalid =
        || flambeau_core::Error::runtime(format!("shape '{}' is invalid for input of size {n}", show(size)));
    match unknown {
        Some(d) => {
            if known == 0 {
                if n == 0 {
                    bail!(
                        "cannot reshape tensor of 0 elements into shape {} because the unspecified dimension size -1 can be any value and is ambiguous",
                        show(size)
                    );
                }
                return Err(invalid());
            }
            if n % known != 0 {
                return Err(invalid());
            }
            out[d] = n / known;
        }
        None if known != n => return Err(invalid()),
        None => {}
    }
    Ok(out)
}

/// Strides under which the elements of `a` have the sizes `to` without a copy, if there are any.
pub fn view_strides(a: &Array, to: &[i64]) -> Option<Dims> {
    if a.numel() == 0 {
        return Some(contiguous_strides(to));
    }
    let mut strides: Dims = SmallVec::from_elem(1, to.len());
    let mut target = to.len() as isize - 1;
    let mut chunk_stride = a.strides.last().copied().unwrap_or(1);
    let (mut have, mut want) = (1i64, 1i64);
    for d in (0..a.dim()).rev() {
        have *= a.sizes[d];
        let chunk_ends = d == 0 || (a.sizes[d - 1] != 1 && a.strides[d - 1] != have * chunk_stride);
        if chunk_ends {
            while target >= 0 && (want < have || to[target as usize] == 1) {
                strides[target as usize] = want * chunk_stride;
                want *= to[target as usize];
                target -= 1;
            }
            if want != have {
                return None;
            }
            if d > 0 {
                chunk_stride = a.strides[d - 1];
                (have, want) = (1, 1);
            }
        }
    }
    if target != -1 && a.dim() > 0 { None } else { Some(strides) }
}

/// `Tensor.view`
pub fn view(self_: &Tensor, size: &[i64]) -> Result<Tensor> {
    let a = self_.array();
    let sizes = infer_size(size, a.numel() as i64)?;
    let Some(strides) = view_strides(&a, &sizes) else {
        bail!(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        );
    };
    let from = a.sizes.clone();
    view_of(self_, "ViewBackward0", sizes, strides, a.offset, move |_, grad| reshape(grad, &from))
}

/// `torch.reshape`: a view where possible, else a copy.
pub fn reshape(self_: &Tensor, shape: &[i64]) -> Result<Tensor> {
    let a = self_.array();
    let sizes = infer_size(shape, a.numel() as i64)?;
    if view_strides(&a, &sizes).is_some() {
        return view(self_, &sizes);
    }
    let dense = clone(self_, Some(MemoryFormat::Contiguous))?;
    let from = a.sizes.clone();
    let strides = contiguous_strides(&sizes);
    view_of(&dense, "UnsafeViewBackward0", sizes, strides, 0, move |_, grad| reshape(grad, &from))
}

/// `torch.transpose`
pub fn transpose(self_: &Tensor, dim0: i64, dim1: i64) -> Result<Tensor> {
    let mut a = self_.array();
    let (i, j) = (wrap_dim(dim0, a.dim())?, wrap_dim(dim1, a.dim())?);
    if a.dim() > 0 {
        a.sizes.swap(i, j);
        a.strides.swap(i, j);
    }
    view_of(self_, "TransposeBackward0", a.sizes, a.strides, a.offset, move |_, grad| {
        transpose(grad, dim0, dim1)
    })
}

/// `torch.permute`
pub fn permute(self_: &Tensor, dims: &[i64]) -> Result<Tensor> {
    let a = self_.array();
    if dims.len() != a.dim() {
        bail!(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired ordering of dimensions i.e. input.dim() = {} is not equal to len(dims) = {}",
            a.dim(),
            dims.len()
        );
    }
    let mut order: SmallVec<[usize; 6]> = SmallVec::new();
    for &d in dims {
        let d = wrap_dim(d, a.dim())?;
        if order.contains(&d) {
            bail!("permute(): duplicate dims are not allowed.");
        }
        order.push(d);
    }
    let sizes = order.iter().map(|&d| a.sizes[d]).collect();
    let strides = order.iter().map(|&d| a.strides[d]).collect();
    view_of(self_, "PermuteBackward0", sizes, strides, a.offset, move |_, grad| {
        let mut inverse: Dims = SmallVec::from_elem(0, order.len());
        for (i, &d) in order.iter().enumerate() {
            inverse[d] = i as i64;
        }
        permute(grad, &inverse)
    })
}

/// `torch.as_strided`
pub fn as_strided(
    self_: &Tensor,
    size: &[i64],
    stride: &[i64],
    storage_offset: Option<i64>,
) -> Result<Tensor> {
    let a = self_.array();
    let offset = storage_offset.unwrap_or(a.offset);
    if size.len() != stride.len() {
        bail!("mismatch in length of strides and shape");
    }
    if let Some(&s) = stride.iter().find(|&&s| s < 0) {
        let _ = s;
        bail!("as_strided: Negative strides are not supported at the moment, got strides: {}", show(stride));
    }
    if offset < 0 {
        bail!("Tensor: invalid storage offset {offset}");
    }
    flambeau_core::check_sizes(size)?;
    numel(size)?;
    let need = flambeau_core::required_bytes(size, stride, offset, a.dtype.size())?;
    if need > a.storage.nbytes() {
        bail!(
            "setStorage: sizes {}, strides {}, storage offset {offset}, and itemsize {} requiring a storage size of {need} are out of bounds for storage of size {}",
            show(size),
            show(stride),
            a.dtype.size(),
            a.storage.nbytes()
        );
    }
    let base = (a.sizes.clone(), a.strides.clone(), a.offset);
    let view = (Dims::from_slice(size), Dims::from_slice(stride), offset);
    view_of(self_, "AsStridedBackward0", view.0.clone(), view.1.clone(), offset, move |_, grad| {
        as_strided_backward(grad, (&base.0, &base.1, base.2), (&view.0, &view.1, view.2))
    })
}

/// The gradient of `as_strided`: what each element of the input receives from all places of the view that
/// show it. Both geometries are `(sizes, strides, offset)` over one storage. Elements that the input itself
/// shows more than once share the gradient, as if each were its own.
pub fn as_strided_backward(
    grad: &Tensor,
    input: (&[i64], &[i64], i64),
    view: (&[i64], &[i64], i64),
) -> Result<Tensor> {
    let reach = |g: (&[i64], &[i64], i64)| -> i64 {
        if g.0.contains(&0) {
            g.2
        } else {
            g.2 + g.0.iter().zip(g.1).map(|(&n, &s)| (n - 1) * s).sum::<i64>() + 1
        }
    };
    let first = input.2.min(view.2);
    let length = (reach(input).max(reach(view)) - first).max(0);
    let (dtype, device) = grad.with_array(|a| (a.dtype, a.device()));
    let flat = Tensor::zeros_raw(&[length], dtype, device)?;
    let grad_sizes = grad.sizes();
    let index = |sizes: &[i64], strides: &[i64], offset: i64| -> Result<Tensor> {
        let positions = Tensor::zeros_raw(sizes, DType::Int64, flambeau_core::Device::CPU)?;
        let n = positions.numel();
        let mut at: Dims = SmallVec::from_elem(0, sizes.len());
        let mut list = Vec::with_capacity(n);
        for _ in 0..n {
            list.push(offset + at.iter().zip(strides).map(|(&i, &s)| i * s).sum::<i64>());
            for d in (0..sizes.len()).rev() {
                at[d] += 1;
                if at[d] < sizes[d] {
                    break;
                }
                at[d] = 0;
            }
        }
        Tensor::from_slice(&list, &[n as i64])
    };
    let positions = index(&grad_sizes, view.1, view.2 - first)?;
    let values = reshape(grad, &[-1])?;
    let mut flat = crate::ops::index::index_add(&flat, 0, &positions, &values, 1i64.into())?;
    let overlaps = Array {
        storage: grad.storage(),
        dtype,
        sizes: Dims::from_slice(input.0),
        strides: Dims::from_slice(input.1),
        offset: 0,
    }
    .may_overlap_itself();
    let back = index(input.0, input.1, input.2 - first)?;
    if overlaps {
        let counts = Tensor::zeros_raw(&[length], dtype, device)?;
        let ones = crate::ops::creation::scalar_tensor(1i64.into(), dtype)?;
        let ones = expand(&ones, &[back.numel() as i64])?;
        let counts = crate::ops::index::index_add(&counts, 0, &back, &ones, 1i64.into())?;
        flat = crate::generated::functions::div(&flat, &counts)?;
    }
    reshape(&crate::ops::index::index_select(&flat, 0, &back)?, input.0)
}

/// A row-major operand of the tensor's elements: itself if it already is.
pub fn dense(t: &Tensor) -> Result<Tensor> {
    if t.is_contiguous() { Ok(t.clone()) } else { clone_dense(&t.alias()) }
}
