//! Views of all parts: `split`, `chunk`, `unbind` and their variants.

use crate::Tensor;
use crate::autograd::{Context, Creation, as_view, record};
use crate::ops::join::{cat, stack};
use flambeau_core::{Array, DType, Dims, Result, bail, show, wrap_dim};
use smallvec::{SmallVec, smallvec};

/// The views with one node for all of them; `tracked` views see in-place changes of their base.
fn parts<F>(
    self_: &Tensor,
    name: &'static str,
    arrays: Vec<Array>,
    tracked: bool,
    backward: F,
) -> Result<Vec<Tensor>>
where
    F: Fn(&Context) -> Result<Tensor> + Send + Sync + 'static,
{
    let outs: Vec<Tensor> = arrays
        .into_iter()
        .map(|a| if tracked { as_view(self_, a, Creation::Multiple) } else { Tensor::from_array(a) })
        .collect();
    if !outs.is_empty() {
        let refs: SmallVec<[&Tensor; 8]> = outs.iter().collect();
        record(&refs, name, &[self_], &[], move |ctx| Ok(smallvec![Some(backward(ctx)?)]))?;
    }
    Ok(outs)
}

/// Parts of the given sizes along a dimension.
fn split_parts(
    self_: &Tensor,
    name: &'static str,
    d: usize,
    lengths: &[i64],
    tracked: bool,
) -> Result<Vec<Tensor>> {
    let a = self_.array();
    let mut start = 0;
    let arrays = lengths
        .iter()
        .map(|&length| {
            let mut part = a.clone();
            part.advance(d, start)?;
            part.sizes[d] = length;
            start += length;
            Ok(part)
        })
        .collect::<Result<_>>()?;
    let n = lengths.len();
    parts(self_, name, arrays, tracked, move |ctx| {
        let grads: Vec<Tensor> = (0..n).map(|i| ctx.grad_or_zeros(i)).collect::<Result<_>>()?;
        cat(&grads, d as i64)
    })
}

fn equal_lengths(size: i64, split_size: i64) -> Result<Vec<i64>> {
    if split_size < 0 {
        bail!("split expects split_size be non-negative, but got split_size={split_size}");
    }
    if split_size == 0 {
        if size != 0 {
            bail!("split_size can only be 0 if dimension size is 0, but got dimension size of {size}");
        }
        return Ok(vec![0]);
    }
    let count = (size / split_size + (size % split_size != 0) as i64).max(1);
    check_parts(count)?;
    Ok((0..count).map(|i| split_size.min(size - i * split_size)).collect())
}

/// Fails where so many views can't be held.
fn check_parts(count: i64) -> Result<()> {
    const VIEW: usize = 1024;
    flambeau_core::check_memory(count as usize, VIEW)
}

fn splittable(self_: &Tensor, dim: i64) -> Result<(usize, i64)> {
    let sizes = self_.sizes();
    if sizes.is_empty() {
        bail!("split expects at least a 1-dimensional tensor");
    }
    let d = wrap_dim(dim, sizes.len())?;
    Ok((d, sizes[d]))
}

/// `torch.split` into parts of one size (the last may be smaller).
pub fn split(self_: &Tensor, split_size: i64, dim: i64) -> Result<Vec<Tensor>> {
    let (d, size) = splittable(self_, dim)?;
    split_parts(self_, "SplitBackward0", d, &equal_lengths(size, split_size)?, true)
}

fn check_lengths(lengths: &[i64], size: i64, d: usize) -> Result<()> {
    if lengths.iter().any(|&l| l < 0) {
        bail!(
            "split_with_sizes expects split_sizes have only non-negative entries, but got split_sizes={}",
            show(lengths)
        );
    }
    if lengths.iter().try_fold(0i64, |sum, &l| sum.checked_add(l)) != Some(size) {
        bail!(
            "split_with_sizes expects split_sizes to sum exactly to {size} (input tensor's size at dimension {d}), but got split_sizes={}",
            show(lengths)
        );
    }
    Ok(())
}

/// `torch.split` into parts of given sizes.
pub fn split_with_sizes(self_: &Tensor, split_sizes: &[i64], dim: i64) -> Result<Vec<Tensor>> {
    let (d, size) = splittable(self_, dim)?;
    check_lengths(split_sizes, size, d)?;
    split_parts(self_, "SplitWithSizesBackward0", d, split_sizes, true)
}

/// `torch.split` with a list.
pub fn split_sizes(self_: &Tensor, split_size: &[i64], dim: i64) -> Result<Vec<Tensor>> {
    split_with_sizes(self_, split_size, dim)
}

/// `torch.unsafe_split`: the parts may be changed in place, as if they shared nothing.
pub fn unsafe_split(self_: &Tensor, split_size: i64, dim: i64) -> Result<Vec<Tensor>> {
    let (d, size) = splittable(self_, dim)?;
    split_parts(self_, "UnsafeSplitBackward0", d, &equal_lengths(size, split_size)?, false)
}

/// `torch.unsafe_split_with_sizes`
pub fn unsafe_split_with_sizes(self_: &Tensor, split_sizes: &[i64], dim: i64) -> Result<Vec<Tensor>> {
    let (d, size) = splittable(self_, dim)?;
    check_lengths(split_sizes, size, d)?;
    split_parts(self_, "UnsafeSplitWithSizesBackward0", d, split_sizes, false)
}

fn chunk_size(self_: &Tensor, chunks: i64, dim: i64) -> Result<(usize, i64, i64)> {
    let sizes = self_.sizes();
    if sizes.is_empty() {
        bail!("chunk expects at least a 1-dimensional tensor");
    }
    if chunks <= 0 {
        bail!("chunk expects `chunks` to be greater than 0, got: {chunks}");
    }
    let d = wrap_dim(dim, sizes.len())?;
    let size = sizes[d];
    Ok((d, size, size / chunks + (size % chunks != 0) as i64))
}

/// `torch.chunk`: at most `chunks` parts of one size.
pub fn chunk(self_: &Tensor, chunks: i64, dim: i64) -> Result<Vec<Tensor>> {
    let (d, size, split_size) = chunk_size(self_, chunks, dim)?;
    if split_size == 0 {
        // An empty dimension is still given in as many parts.
        check_parts(chunks)?;
        return split_parts(self_, "SplitWithSizesBackward0", d, &vec![0; chunks as usize], true);
    }
    split_parts(self_, "SplitBackward0", d, &equal_lengths(size, split_size)?, true)
}

/// `torch.unsafe_chunk`
pub fn unsafe_chunk(self_: &Tensor, chunks: i64, dim: i64) -> Result<Vec<Tensor>> {
    let (d, size, split_size) = chunk_size(self_, chunks, dim)?;
    if split_size == 0 {
        check_parts(chunks)?;
        return split_parts(self_, "UnsafeSplitWithSizesBackward0", d, &vec![0; chunks as usize], false);
    }
    split_parts(self_, "UnsafeSplitBackward0", d, &equal_lengths(size, split_size)?, false)
}

fn tensor_splittable(self_: &Tensor, dim: i64) -> Result<(i64, i64)> {
    let sizes = self_.sizes();
    if sizes.is_empty() {
        bail!("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims");
    }
    let d = wrap_dim(dim, sizes.len())?;
    Ok((d as i64, sizes[d]))
}

/// `torch.tensor_split` into a number of parts whose sizes differ by at most one.
pub fn tensor_split_sections(self_: &Tensor, sections: i64, dim: i64) -> Result<Vec<Tensor>> {
    let (d, size) = tensor_splittable(self_, dim)?;
    if sections <= 0 {
        bail!("number of sections must be larger than 0, got {sections}");
    }
    check_parts(sections)?;
    let (least, more) = (size / sections, size % sections);
    let mut start = 0;
    (0..sections)
        .map(|i| {
            let end = start + least + (i < more) as i64;
            let part = super::slice(self_, d, Some(start), Some(end), 1);
            start = end;
            part
        })
        .collect()
}

/// `torch.tensor_split` before each of the indices.
pub fn tensor_split_indices(self_: &Tensor, indices: &[i64], dim: i64) -> Result<Vec<Tensor>> {
    let (d, size) = tensor_splittable(self_, dim)?;
    let mut start = 0;
    let mut out = Vec::with_capacity(indices.len() + 1);
    for &end in indices {
        out.push(super::slice(self_, d, Some(start), Some(end), 1)?);
        start = end;
    }
    out.push(super::slice(self_, d, Some(start), Some(size), 1)?);
    Ok(out)
}

/// `torch.tensor_split` with sections or indices in a tensor.
pub fn tensor_split(self_: &Tensor, tensor_indices_or_sections: &Tensor, dim: i64) -> Result<Vec<Tensor>> {
    let given = tensor_indices_or_sections;
    tensor_splittable(self_, dim)?;
    if given.dtype() != DType::Int64 {
        bail!(
            "tensor_split expected tensor_indices_or_sections to have dtype of long, but got {}",
            given.dtype().cpp_name()
        );
    }
    match given.dim() {
        0 => tensor_split_sections(self_, given.item()?.to_i64(), dim),
        1 => tensor_split_indices(self_, &given.to_vec::<i64>()?, dim),
        rank => bail!(
            "tensor_split expected tensor_indices_or_sections to be a zero-dimensional or one-dimensional tensor, but got a tensor with {rank} dims"
        ),
    }
}

/// The dimension that `hsplit` and its kin split.
fn named_split(self_: &Tensor, name: &str, least: usize, dim: usize) -> Result<i64> {
    let rank = self_.dim();
    if rank < least {
        bail!(
            "torch.{name} requires a tensor with at least {least} dimension, but got a tensor with {rank} dimensions!"
        );
    }
    Ok(dim.min(rank - 1) as i64)
}

fn sections(self_: &Tensor, name: &str, dim: i64, sections: i64) -> Result<Vec<Tensor>> {
    let size = self_.size(dim)?;
    if sections <= 0 || size % sections != 0 {
        bail!(
            "torch.{name} attempted to split along dimension {dim}, but the size of the dimension {size} is not divisible by the split_size {sections}!"
        );
    }
    tensor_split_sections(self_, sections, dim)
}

/// `torch.hsplit` into equal parts.
pub fn hsplit_int(self_: &Tensor, count: i64) -> Result<Vec<Tensor>> {
    sections(self_, "hsplit", named_split(self_, "hsplit", 1, 1)?, count)
}
/// `torch.hsplit` before indices.
pub fn hsplit_array(self_: &Tensor, indices: &[i64]) -> Result<Vec<Tensor>> {
    tensor_split_indices(self_, indices, named_split(self_, "hsplit", 1, 1)?)
}
/// `torch.vsplit` into equal parts.
pub fn vsplit_int(self_: &Tensor, count: i64) -> Result<Vec<Tensor>> {
    sections(self_, "vsplit", named_split(self_, "vsplit", 2, 0)?, count)
}
/// `torch.vsplit` before indices.
pub fn vsplit_array(self_: &Tensor, indices: &[i64]) -> Result<Vec<Tensor>> {
    tensor_split_indices(self_, indices, named_split(self_, "vsplit", 2, 0)?)
}
/// `torch.dsplit` into equal parts.
pub fn dsplit_int(self_: &Tensor, count: i64) -> Result<Vec<Tensor>> {
    sections(self_, "dsplit", named_split(self_, "dsplit", 3, 2)?, count)
}
/// `torch.dsplit` before indices.
pub fn dsplit_array(self_: &Tensor, indices: &[i64]) -> Result<Vec<Tensor>> {
    tensor_split_indices(self_, indices, named_split(self_, "dsplit", 3, 2)?)
}

/// `torch.unbind`: the slices at all indices of a dimension.
pub fn unbind(self_: &Tensor, dim: i64) -> Result<Vec<Tensor>> {
    let a = self_.array();
    if a.dim() == 0 {
        bail!(Index, "Dimension specified as {dim} but tensor has no dimensions");
    }
    let d = wrap_dim(dim, a.dim())?;
    let n = a.sizes[d] as usize;
    check_parts(a.sizes[d])?;
    let (mut sizes, mut strides): (Dims, Dims) = (a.sizes.clone(), a.strides.clone());
    sizes.remove(d);
    strides.remove(d);
    let arrays = (0..n as i64)
        .map(|i| {
            let mut part = a.clone();
            part.advance(d, i)?;
            (part.sizes, part.strides) = (sizes.clone(), strides.clone());
            Ok(part)
        })
        .collect::<Result<_>>()?;
    parts(self_, "UnbindBackward0", arrays, true, move |ctx| {
        let grads: Vec<Tensor> = (0..n).map(|i| ctx.grad_or_zeros(i)).collect::<Result<_>>()?;
        stack(&grads, d as i64)
    })
}
