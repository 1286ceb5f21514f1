//! Views that regroup elements: `view`, `reshape`, `expand`, `flatten`.

use crate::Tensor;
use crate::autograd::{Creation, as_view, record, view_of, view_with};
use crate::ops::shape::clone;
use flambeau_core::{
    Array, DType, Dims, Error, MemoryFormat, Result, bail, contiguous_strides, dims_of, numel, show, wrap_dim,
};
use smallvec::{SmallVec, smallvec};

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

/// `Tensor.expand`; `implicit` marks expansions made by broadcasting and changes nothing.
pub fn expand_implicit(self_: &Tensor, size: &[i64], implicit: bool) -> Result<Tensor> {
    let _ = implicit;
    expand(self_, size)
}

/// Resolves a `-1` among sizes.
pub fn infer_size(size: &[i64], n: i64) -> Result<Dims> {
    let mut out = dims_of(size);
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
    let mut a = self_.array();
    let sizes = infer_size(size, a.numel() as i64)?;
    let Some(strides) = view_strides(&a, &sizes) else {
        bail!(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two contiguous subspaces). Use .reshape(...) instead."
        );
    };
    let from = std::mem::replace(&mut a.sizes, sizes);
    a.strides = strides;
    view_with(self_, "ViewBackward0", a, move |_, grad| reshape(grad, &from))
}

/// `torch.reshape`: a view where possible, else a copy.
pub fn reshape(self_: &Tensor, shape: &[i64]) -> Result<Tensor> {
    let a = self_.array();
    let sizes = infer_size(shape, a.numel() as i64)?;
    if view_strides(&a, &sizes).is_some() {
        return view(self_, &sizes);
    }
    let dense = clone(self_, Some(MemoryFormat::Contiguous))?;
    // The copy belongs to nobody else, so that the result is no view of it.
    let mut array = dense.array();
    array.strides = contiguous_strides(&sizes);
    array.sizes = sizes;
    let out = Tensor::from_array(array);
    let from = a.sizes;
    record(&[&out], "UnsafeViewBackward0", &[&dense], &[], move |ctx| {
        Ok(smallvec![match ctx.grad(0) {
            Some(grad) => Some(reshape(grad, &from)?),
            None => None,
        }])
    })?;
    Ok(out)
}

/// `Tensor.view_as`
pub fn view_as(self_: &Tensor, other: &Tensor) -> Result<Tensor> {
    view(self_, &other.sizes())
}

/// `Tensor.reshape_as`
pub fn reshape_as(self_: &Tensor, other: &Tensor) -> Result<Tensor> {
    reshape(self_, &other.sizes())
}

/// `Tensor.expand_as`
pub fn expand_as(self_: &Tensor, other: &Tensor) -> Result<Tensor> {
    expand(self_, &other.sizes())
}

/// `torch.broadcast_to`
pub fn broadcast_to(self_: &Tensor, size: &[i64]) -> Result<Tensor> {
    expand(self_, size)
}

/// `Tensor.sum_to_size`: sums the dimensions along which `size` would be broadcast to the tensor's shape.
pub fn sum_to_size(self_: &Tensor, size: &[i64]) -> Result<Tensor> {
    let sizes = self_.sizes();
    let fits = size.len() <= sizes.len()
        && size.iter().rev().zip(sizes.iter().rev()).all(|(&to, &from)| to == from || to == 1);
    if !fits {
        bail!("size {{{}}} is not expandable to size {{{}}}.", show(size), show(&sizes));
    }
    if size.is_empty() {
        return crate::ops::reduce::sum(self_, None);
    }
    crate::ops::sum_to_size(self_, size)
}

/// `Tensor.view` with another dtype: the same bytes, read as other elements.
pub fn view_dtype(self_: &Tensor, dtype: DType) -> Result<Tensor> {
    let mut a = self_.array();
    if a.dtype == dtype {
        return view_of(self_, "AliasBackward0", a.sizes, a.strides, a.offset, |_, grad| Ok(grad.clone()));
    }
    let (old, new) = (a.dtype.size() as i64, dtype.size() as i64);
    let pair = format!("{} as {} (different element sizes)", a.dtype.cpp_name(), dtype.cpp_name());
    if old != new {
        let Some(last) = a.dim().checked_sub(1) else { bail!("self.dim() cannot be 0 to view {pair}") };
        if a.strides[last] != 1 {
            bail!("self.stride(-1) must be 1 to view {pair}, but got {}", a.strides[last]);
        }
        if old > new {
            let ratio = old / new;
            let overflow = || Error::runtime("numel: integer multiplication overflow");
            a.sizes[last] = a.sizes[last].checked_mul(ratio).ok_or_else(overflow)?;
            // Without elements, strides may be of any size.
            a.strides[..last].iter_mut().for_each(|s| *s = s.saturating_mul(ratio));
            a.offset = a.offset.saturating_mul(ratio);
        } else {
            let ratio = new / old;
            if a.sizes[last] % ratio != 0 {
                bail!("self.size(-1) must be divisible by {ratio} to view {pair}, but got {}", a.sizes[last]);
            }
            if a.offset % ratio != 0 {
                bail!(
                    "self.storage_offset() must be divisible by {ratio} to view {pair}, but got {}",
                    a.offset
                );
            }
            if let Some(d) = (0..last).find(|&d| a.strides[d] % ratio != 0) {
                bail!(
                    "self.stride({d}) must be divisible by {ratio} to view {pair}, but got {}",
                    a.strides[d]
                );
            }
            a.sizes[last] /= ratio;
            a.strides[..last].iter_mut().for_each(|s| *s /= ratio);
            a.offset /= ratio;
        }
    }
    a.dtype = dtype;
    // Bits have no gradient.
    let _guard = crate::autograd::GradMode::no_grad();
    Ok(as_view(&self_.alias(), a, Creation::Default))
}

/// `torch.flatten`: joins the dimensions `start_dim..=end_dim`.
pub fn flatten(self_: &Tensor, start_dim: i64, end_dim: i64) -> Result<Tensor> {
    let sizes = self_.sizes();
    let (start, end) = (wrap_dim(start_dim, sizes.len())?, wrap_dim(end_dim, sizes.len())?);
    if start > end {
        bail!("flatten() has invalid args: start_dim cannot come after end_dim");
    }
    if sizes.is_empty() {
        return reshape(self_, &[1]);
    }
    if start == end {
        return Ok(self_.clone());
    }
    let mut shape = Dims::from_slice(&sizes[..start]);
    shape.push(flambeau_core::numel(&sizes[start..=end])?);
    shape.extend_from_slice(&sizes[end + 1..]);
    reshape(self_, &shape)
}

/// `torch.ravel`: a contiguous tensor of one dimension.
pub fn ravel(self_: &Tensor) -> Result<Tensor> {
    view(&super::contiguous(self_, None)?, &[-1])
}

/// `torch.unflatten`: splits a dimension into several.
pub fn unflatten(self_: &Tensor, dim: i64, sizes: &[i64]) -> Result<Tensor> {
    let have = self_.sizes();
    let d = wrap_dim(dim, have.len())?;
    if sizes.is_empty() {
        bail!("unflatten: sizes must be non-empty");
    }
    let size = have.get(d).copied().unwrap_or(1);
    let parts = match infer_size(sizes, size) {
        Ok(parts) => parts,
        Err(e) if e.message().starts_with("shape '") => {
            bail!(
                "unflatten: Provided sizes {} don't multiply up to the size of dim {dim} ({size}) in the input tensor",
                show(sizes)
            )
        }
        Err(e) => bail!("unflatten got an unexpected error:\n{}", e.message()),
    };
    let mut shape = Dims::from_slice(&have[..d]);
    shape.extend_from_slice(&parts);
    shape.extend_from_slice(have.get(d + 1..).unwrap_or(&[]));
    view(self_, &shape)
}
