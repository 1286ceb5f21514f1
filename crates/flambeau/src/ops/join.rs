//! Joining tensors: `cat`, `stack`, grids and products of them.

use crate::Tensor;
use crate::autograd::{self, record};
use crate::ops::support::{copy_array, joined};
use crate::ops::{shape, sparse};
use crate::pointwise::{Held, held};
use flambeau_core::parallel::each;
use flambeau_core::{
    Array, Dims, Init, MemoryFormat, Result, bail, contiguous_strides, dims_of, numel, show, strides_for,
    wrap_dim,
};
use smallvec::SmallVec;

/// The strides of a joined tensor: channels-last if all parts are.
fn joined_strides(arrays: &[Held], sizes: &[i64]) -> Result<Dims> {
    let format = MemoryFormat::channels_last(sizes.len());
    match arrays.iter().all(|a| a.is_contiguous_as(format) && !a.is_contiguous()) {
        true => strides_for(sizes, format),
        false => Ok(contiguous_strides(sizes)),
    }
}

fn promoted(refs: &[&Tensor], arrays: &[Held]) -> flambeau_core::DType {
    let first = arrays[0].dtype;
    if arrays.iter().all(|a| a.dtype == first) { first } else { crate::pointwise::result_type(refs) }
}

fn device_of(refs: &[&Tensor], arrays: &[Held]) -> Result<flambeau_core::Device> {
    let first = arrays[0].device();
    if arrays.iter().all(|a| a.device() == first) { Ok(first) } else { crate::ops::common_device(refs) }
}

/// Bytes of a result whose parts are worth several threads, or a sweep.
const LARGE: usize = 1 << 20;

/// Copies each array to its window of the result, as which `place` makes the one before; windows have no element in common.
fn fill(mut window: Array, arrays: &[Held], mut place: impl FnMut(usize, &mut Array)) -> Result<()> {
    let bytes = |a: &Held| a.numel().saturating_mul(window.dtype.size());
    if arrays.len() == 1 || arrays.iter().map(bytes).fold(0, usize::saturating_add) < LARGE {
        return arrays.iter().enumerate().try_for_each(|(i, a)| {
            place(i, &mut window);
            copy_array(&window, a)
        });
    }
    let mut parts: Vec<(Array, &Array)> = Vec::with_capacity(arrays.len());
    for (i, a) in arrays.iter().enumerate() {
        place(i, &mut window);
        parts.push((window.clone(), a));
    }
    each(parts.into_iter(), 1, |(window, a)| copy_array(&window, a))
}

/// `torch.cat`: tensors one after the other along a dimension. Empty tensors of one dimension are skipped.
pub fn cat(tensors: &[Tensor], dim: i64) -> Result<Tensor> {
    if sparse::in_use() && tensors.iter().any(Tensor::is_sparse) {
        return sparse::cat(tensors, dim);
    }
    if tensors.is_empty() {
        bail!(Value, "torch.cat(): expected a non-empty list of Tensors");
    }
    let mut refs: SmallVec<[&Tensor; 8]> = SmallVec::new();
    for t in tensors {
        refs.push(t);
    }
    let arrays = held(&refs);
    if let Some(i) = arrays.iter().position(|a| a.dim() == 0) {
        bail!("zero-dimensional tensor (at position {i}) cannot be concatenated");
    }
    let skipped = |a: &Array| a.sizes[..] == [0];
    let model: &Array = arrays.iter().find(|a| !skipped(a)).unwrap_or(&arrays[0]);
    let d = wrap_dim(dim, model.dim())?;
    let mut sizes = dims_of(&model.sizes);
    sizes[d] = 0;
    for (i, a) in arrays.iter().enumerate().filter(|(_, a)| !skipped(a)) {
        if a.dim() != model.dim() {
            bail!("Tensors must have same number of dimensions: got {} and {}", model.dim(), a.dim());
        }
        for k in (0..a.dim()).filter(|&k| k != d) {
            if a.sizes[k] != sizes[k] {
                bail!(
                    "Sizes of tensors must match except in dimension {d}. Expected size {} but got size {} for tensor number {i} in the list.",
                    sizes[k],
                    a.sizes[k]
                );
            }
        }
        sizes[d] = match sizes[d].checked_add(a.sizes[d]) {
            Some(sum) => sum,
            None => bail!("numel: integer multiplication overflow"),
        };
    }
    let dtype = promoted(&refs, &arrays);
    let device = device_of(&refs, &arrays)?;
    numel(&sizes)?;
    let lengths = || -> SmallVec<[i64; 8]> {
        arrays.iter().map(|a| if skipped(a) { -1 } else { a.sizes[d] }).collect()
    };
    let out = match joined(&arrays, &sizes, d, dtype)? {
        Some(out) => out,
        None => {
            let strides = joined_strides(&arrays, &sizes)?;
            let out = Tensor::from_array(Array::empty_strided(&sizes, strides, dtype, device, Init::Uninit)?);
            let (mut start, lengths) = (0, lengths());
            fill(out.array(), &arrays, |i, window| {
                window.sizes[d] = lengths[i].max(0);
                window.offset = start * window.strides[d];
                start += window.sizes[d];
            })?;
            out
        }
    };
    if autograd::needs_grad(&refs) && dtype.is_differentiable() {
        let lengths = lengths();
        let dtypes: SmallVec<[flambeau_core::DType; 8]> = arrays.iter().map(|a| a.dtype).collect();
        record(&[&out], "CatBackward0", &refs, &[], move |ctx| {
            let mut grads = autograd::Grads::new();
            let mut start = 0;
            for (i, &length) in lengths.iter().enumerate() {
                let part = match ctx.grad(0) {
                    Some(grad) if ctx.needs(i) && length < 0 => {
                        Some(Tensor::zeros_raw(&[0], dtypes[i], grad.device())?)
                    }
                    Some(grad) if ctx.needs(i) => {
                        Some(shape::to_dtype(&shape::narrow(grad, d as i64, start, length)?, dtypes[i])?)
                    }
                    _ => None,
                };
                start += length.max(0);
                grads.push(part);
            }
            Ok(grads)
        })?;
    }
    Ok(out)
}

/// `torch.concat`
pub fn concat(tensors: &[Tensor], dim: i64) -> Result<Tensor> {
    cat(tensors, dim)
}

/// `torch.stack`: tensors of one shape along a new dimension.
pub fn stack(tensors: &[Tensor], dim: i64) -> Result<Tensor> {
    if sparse::in_use() && tensors.iter().any(Tensor::is_sparse) {
        let raised = tensors.iter().map(|t| shape::unsqueeze(t, dim)).collect::<Result<Vec<_>>>()?;
        return cat(&raised, dim);
    }
    let Some(first) = tensors.first() else { bail!("stack expects a non-empty TensorList") };
    let refs: SmallVec<[&Tensor; 8]> = tensors.iter().collect();
    let sizes = first.sizes();
    let d = wrap_dim(dim, sizes.len() + 1)?;
    for (i, t) in tensors.iter().enumerate().skip(1) {
        let other = t.sizes();
        if other != sizes {
            bail!(
                "stack expects each tensor to be equal size, but got {} at entry 0 and {} at entry {i}",
                show(&sizes),
                show(&other)
            );
        }
    }
    let arrays = held(&refs);
    let dtype = promoted(&refs, &arrays);
    let device = device_of(&refs, &arrays)?;
    let mut whole = sizes.clone();
    whole.insert(d, tensors.len() as i64);
    let out = Tensor::empty_raw(&whole, dtype, device)?;
    let mut whole = out.array();
    whole.sizes.remove(d);
    let stride = whole.strides.remove(d);
    // Without elements, strides may be of any size.
    let filled = if out.numel() == 0 { 0 } else { arrays.len() };
    fill(whole, &arrays[..filled], |i, window| window.offset = i as i64 * stride)?;
    if autograd::needs_grad(&refs) && dtype.is_differentiable() {
        let dtypes: SmallVec<[flambeau_core::DType; 8]> = arrays.iter().map(|a| a.dtype).collect();
        record(&[&out], "StackBackward0", &refs, &[], move |ctx| {
            let mut grads = autograd::Grads::new();
            for (i, &dtype) in dtypes.iter().enumerate() {
                grads.push(match ctx.grad(0) {
                    Some(grad) if ctx.needs(i) => {
                        Some(shape::to_dtype(&shape::select(grad, d as i64, i as i64)?, dtype)?)
                    }
                    _ => None,
                });
            }
            Ok(grads)
        })?;
    }
    Ok(out)
}

fn at_least(tensors: &[Tensor], name: &str, rank: usize) -> Result<Vec<Tensor>> {
    if tensors.is_empty() {
        bail!("{name} expects a non-empty TensorList");
    }
    let f = match rank {
        1 => atleast_1d,
        2 => atleast_2d,
        _ => atleast_3d,
    };
    tensors.iter().map(f).collect()
}

/// `torch.hstack`: side by side; vectors end to end.
pub fn hstack(tensors: &[Tensor]) -> Result<Tensor> {
    let parts = at_least(tensors, "hstack", 1)?;
    cat(&parts, if parts[0].dim() == 1 { 0 } else { 1 })
}

/// `torch.vstack`: one below the other.
pub fn vstack(tensors: &[Tensor]) -> Result<Tensor> {
    cat(&at_least(tensors, "vstack", 2)?, 0)
}

/// `torch.dstack`: along the third dimension.
pub fn dstack(tensors: &[Tensor]) -> Result<Tensor> {
    cat(&at_least(tensors, "dstack", 3)?, 2)
}

/// `torch.column_stack`: vectors as columns, matrices side by side.
pub fn column_stack(tensors: &[Tensor]) -> Result<Tensor> {
    if tensors.is_empty() {
        bail!("column_stack expects a non-empty TensorList");
    }
    let columns: Vec<Tensor> = tensors
        .iter()
        .map(|t| if t.dim() <= 1 { shape::reshape(t, &[t.numel() as i64, 1]) } else { Ok(t.clone()) })
        .collect::<Result<_>>()?;
    hstack(&columns)
}

/// `torch.block_diag`: a matrix with the given ones along its diagonal.
pub fn block_diag(tensors: &[Tensor]) -> Result<Tensor> {
    let refs: SmallVec<[&Tensor; 8]> = tensors.iter().collect();
    let mut shapes: Vec<(i64, i64)> = Vec::new();
    let (mut rows, mut columns) = (0i64, 0i64);
    for (i, t) in tensors.iter().enumerate() {
        let (r, c) = match t.sizes()[..] {
            [] => (1, 1),
            [n] => (1, n),
            [n, m] => (n, m),
            ref sizes => bail!(
                "torch.block_diag: Input tensors must have 2 or fewer dimensions. Input {i} has {} dimensions",
                sizes.len()
            ),
        };
        shapes.push((r, c));
        (rows, columns) = match (rows.checked_add(r), columns.checked_add(c)) {
            (Some(rows), Some(columns)) => (rows, columns),
            _ => bail!("numel: integer multiplication overflow"),
        };
    }
    if tensors.is_empty() {
        return Tensor::zeros_raw(&[1, 0], crate::default_dtype(), crate::default_device());
    }
    let arrays = held(&refs);
    let dtype = promoted(&refs, &arrays);
    let device = device_of(&refs, &arrays)?;
    let out = Tensor::zeros_raw(&[rows, columns], dtype, device)?;
    let mut window = out.array();
    for (a, &(r, c)) in arrays.iter().zip(&shapes) {
        window.sizes = Dims::from_slice(&[r, c]);
        copy_array(&window, a)?;
        window.offset += r * columns + c;
    }
    if autograd::needs_grad(&refs) && dtype.is_differentiable() {
        let metas: Vec<(Dims, flambeau_core::DType)> =
            tensors.iter().map(|t| (t.sizes(), t.dtype())).collect();
        record(&[&out], "BlockDiagBackward0", &refs, &[], move |ctx| {
            let mut grads = autograd::Grads::new();
            let (mut row, mut column) = (0, 0);
            for (i, &(r, c)) in shapes.iter().enumerate() {
                grads.push(match ctx.grad(0) {
                    Some(grad) if ctx.needs(i) => {
                        let block = shape::narrow(&shape::narrow(grad, 0, row, r)?, 1, column, c)?;
                        Some(shape::to_dtype(&shape::reshape(&block, &metas[i].0)?, metas[i].1)?)
                    }
                    _ => None,
                });
                row += r;
                column += c;
            }
            Ok(grads)
        })?;
    }
    Ok(out)
}

/// `torch.broadcast_tensors`: all expanded to one shape.
pub fn broadcast_tensors(tensors: &[Tensor]) -> Result<Vec<Tensor>> {
    let sizes = common_shape(tensors)?;
    tensors.iter().map(|t| shape::expand(t, &sizes)).collect()
}

/// The shape that all tensors broadcast to.
pub fn common_shape(tensors: &[Tensor]) -> Result<Dims> {
    let mut sizes = Dims::new();
    for t in tensors {
        sizes = flambeau_core::broadcast_shapes(&sizes, &t.sizes())?;
    }
    Ok(sizes)
}

/// `torch.atleast_1d`
pub fn atleast_1d(self_: &Tensor) -> Result<Tensor> {
    if self_.dim() == 0 { shape::reshape(self_, &[1]) } else { Ok(self_.clone()) }
}

/// `torch.atleast_2d`: vectors become rows.
pub fn atleast_2d(self_: &Tensor) -> Result<Tensor> {
    match self_.dim() {
        0 => shape::reshape(self_, &[1, 1]),
        1 => shape::unsqueeze(self_, 0),
        _ => Ok(self_.clone()),
    }
}

/// `torch.atleast_3d`: vectors lie along the second dimension, matrices in the first two.
pub fn atleast_3d(self_: &Tensor) -> Result<Tensor> {
    match self_.dim() {
        0 => shape::reshape(self_, &[1, 1, 1]),
        1 => shape::unsqueeze(&shape::unsqueeze(self_, 0)?, -1),
        2 => shape::unsqueeze(self_, -1),
        _ => Ok(self_.clone()),
    }
}

/// `torch.atleast_1d` of several tensors.
pub fn atleast_1d_sequence(tensors: &[Tensor]) -> Result<Vec<Tensor>> {
    tensors.iter().map(atleast_1d).collect()
}
/// `torch.atleast_2d` of several tensors.
pub fn atleast_2d_sequence(tensors: &[Tensor]) -> Result<Vec<Tensor>> {
    tensors.iter().map(atleast_2d).collect()
}
/// `torch.atleast_3d` of several tensors.
pub fn atleast_3d_sequence(tensors: &[Tensor]) -> Result<Vec<Tensor>> {
    tensors.iter().map(atleast_3d).collect()
}

/// `torch.meshgrid` in the order `ij`, with PyTorch's warning about the missing argument.
pub fn meshgrid(tensors: &[Tensor]) -> Result<Vec<Tensor>> {
    crate::warn("torch.meshgrid: in an upcoming release, it will be required to pass the indexing argument.");
    grids(tensors)
}

fn grids(tensors: &[Tensor]) -> Result<Vec<Tensor>> {
    let Some(first) = tensors.first() else { bail!("meshgrid expects a non-empty TensorList") };
    let mut sizes = Dims::new();
    for t in tensors {
        match t.sizes()[..] {
            [] => sizes.push(1),
            [n] => sizes.push(n),
            _ => bail!(
                "torch.meshgrid: Expected 0D or 1D tensor in the tensor list but got: {}",
                show(&t.sizes())
            ),
        }
        if t.dtype() != first.dtype() {
            bail!("meshgrid expects all tensors to have the same dtype");
        }
        if t.device() != first.device() {
            bail!("meshgrid expects all tensors to have the same device");
        }
    }
    tensors
        .iter()
        .enumerate()
        .map(|(i, t)| {
            let mut line: Dims = SmallVec::from_elem(1, sizes.len());
            line[i] = sizes[i];
            shape::expand(&shape::view(t, &line)?, &sizes)
        })
        .collect()
}

/// `torch.meshgrid` in the order `ij` or `xy`.
pub fn meshgrid_indexing(tensors: &[Tensor], indexing: &str) -> Result<Vec<Tensor>> {
    if tensors.is_empty() {
        bail!("meshgrid expects a non-empty TensorList");
    }
    match indexing {
        "ij" => grids(tensors),
        "xy" if tensors.len() < 2 => grids(tensors),
        "xy" => {
            let mut swapped = tensors.to_vec();
            swapped.swap(0, 1);
            let mut out = grids(&swapped)?;
            out.swap(0, 1);
            Ok(out)
        }
        _ => bail!("torch.meshgrid: indexing must be one of \"xy\" or \"ij\", but received: {indexing}"),
    }
}

fn vector(t: &Tensor) -> Result<()> {
    if t.dim() != 1 {
        bail!("Expect a 1D vector, but got shape {}", show(&t.sizes()));
    }
    Ok(())
}

/// `torch.cartesian_prod`: all tuples of elements, one row each.
pub fn cartesian_prod(tensors: &[Tensor]) -> Result<Tensor> {
    tensors.iter().try_for_each(vector)?;
    if let [only] = tensors {
        return Ok(only.clone());
    }
    let flat: Vec<Tensor> =
        grids(tensors)?.iter().map(|t| shape::flatten(t, 0, -1)).collect::<Result<_>>()?;
    stack(&flat, 1)
}

/// `torch.combinations`: all choices of `r` elements in order, one row each.
pub fn combinations(self_: &Tensor, r: i64, with_replacement: bool) -> Result<Tensor> {
    vector(self_)?;
    if r < 0 {
        bail!("Expect a non-negative number, but got {r}");
    }
    let (dtype, device) = (self_.dtype(), self_.device());
    if r == 0 {
        return Tensor::zeros_raw(&[0], dtype, device);
    }
    let n = self_.numel() as i64;
    // The number of choices bounds the memory before anything is enumerated.
    let pool = if with_replacement { n.checked_add(r - 1) } else { Some(n) };
    let mut count: i64 = if n == 0 { 0 } else { 1 };
    for i in 0..r {
        let Some(pool) = pool else { bail!("numel: integer multiplication overflow") };
        if count == 0 || i >= pool {
            count = 0;
            break;
        }
        let next = (count as i128 * (pool - i) as i128) / (i + 1) as i128;
        count = match i64::try_from(next) {
            Ok(count) => count,
            Err(_) => bail!("numel: integer multiplication overflow"),
        };
    }
    let positions =
        Array::empty(&[count, r], flambeau_core::DType::Int64, flambeau_core::Device::CPU, Init::Uninit)?;
    if count > 0 {
        // SAFETY: a fresh row-major array of count * r integers, all of which are written below.
        let rows = unsafe {
            std::slice::from_raw_parts_mut(positions.data_ptr().cast::<i64>(), (count * r) as usize)
        };
        let mut choice: Vec<i64> = (0..r).map(|i| if with_replacement { 0 } else { i }).collect();
        for row in rows.chunks_exact_mut(r as usize) {
            row.copy_from_slice(&choice);
            // The next choice in lexicographic order.
            let last = |i: usize| if with_replacement { n - 1 } else { n - r + i as i64 };
            if let Some(i) = (0..r as usize).rev().find(|&i| choice[i] < last(i)) {
                choice[i] += 1;
                for j in i + 1..r as usize {
                    choice[j] = choice[j - 1] + !with_replacement as i64;
                }
            }
        }
    }
    let flat = shape::reshape(&Tensor::from_array(positions), &[count * r])?;
    let picked = crate::ops::index::index_select(self_, 0, &flat)?;
    shape::reshape(&picked, &[count, r])
}
