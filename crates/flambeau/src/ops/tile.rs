//! Copies in another arrangement: `repeat`, `tile`, `roll`, `flip`, `rot90`, triangles.

use crate::Tensor;
use crate::autograd::record;
use crate::ops::shape;
use crate::ops::support::copy_data;
use flambeau_core::{
    Array, DType, Dims, Error, Init, MemoryFormat, Result, bail, check_sizes, numel, show, wrap_dim,
};
use smallvec::{SmallVec, smallvec};

/// `Tensor.repeat`: copies side by side, `repeats[d]` of them along each dimension.
pub fn repeat(self_: &Tensor, repeats: &[i64]) -> Result<Tensor> {
    let a = self_.array();
    let Some(lead) = repeats.len().checked_sub(a.dim()) else {
        bail!("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor");
    };
    // Each dimension as (copies, elements).
    let mut sizes = Dims::new();
    let (mut pairs, mut from) = (Dims::new(), Dims::new());
    for (d, &count) in repeats.iter().enumerate() {
        let (size, stride) = if d < lead { (1, 0) } else { (a.sizes[d - lead], a.strides[d - lead]) };
        match size.checked_mul(count) {
            Some(total) => sizes.push(total),
            None => bail!("numel: integer multiplication overflow"),
        }
        pairs.extend_from_slice(&[count, size]);
        from.extend_from_slice(&[0, stride]);
    }
    check_sizes(&sizes)?;
    let out = Tensor::empty_raw(&sizes, a.dtype, a.device())?;
    if out.numel() > 0 {
        let mut to = out.array();
        to.strides =
            (0..repeats.len()).flat_map(|d| [to.strides[d] * pairs[2 * d + 1], to.strides[d]]).collect();
        to.sizes = pairs.clone();
        let source = Array { sizes: pairs.clone(), strides: from, ..a.clone() };
        copy_data(&Tensor::from_array(to), &Tensor::from_array(source))?;
    }
    let original = a.sizes;
    record(&[&out], "RepeatBackward0", &[self_], &[], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        if pairs.contains(&0) {
            return Ok(smallvec![Some(Tensor::zeros_raw(&original, grad.dtype(), grad.device())?)]);
        }
        let dims: Dims = (0..pairs.len() as i64).step_by(2).collect();
        let parts = shape::reshape(grad, &pairs)?;
        let sum = if dims.is_empty() {
            parts
        } else {
            crate::ops::reduce::sum_dim(&parts, Some(&dims), false, None)?
        };
        Ok(smallvec![Some(shape::reshape(&sum, &original)?)])
    })?;
    Ok(out)
}

/// `torch.tile`: as `repeat`, with missing leading counts taken as 1.
pub fn tile(self_: &Tensor, dims: &[i64]) -> Result<Tensor> {
    let missing = self_.dim().saturating_sub(dims.len());
    let mut repeats: Dims = SmallVec::from_elem(1, missing);
    repeats.extend_from_slice(dims);
    repeat(self_, &repeats)
}

/// `torch.repeat_interleave` of positions: position `i` as often as `repeats[i]` says.
pub fn repeat_interleave(repeats: &Tensor, output_size: Option<i64>) -> Result<Tensor> {
    if repeats.dim() != 1 {
        bail!("repeat_interleave only accept 1D vector as repeat");
    }
    if !matches!(repeats.dtype(), DType::Int64 | DType::Int32) {
        bail!(
            NotImplemented,
            "\"repeat_interleave_cpu\" not implemented for '{}'",
            repeats.dtype().cpp_name()
        );
    }
    let counts = repeats.to_vec::<i64>()?;
    if counts.iter().any(|&c| c < 0) {
        bail!("repeats can not be negative");
    }
    let overflow = || Error::runtime("numel: integer multiplication overflow");
    let total = counts.iter().try_fold(0i64, |sum, &c| sum.checked_add(c)).ok_or_else(overflow)?;
    if output_size.is_some_and(|n| n != total) {
        bail!("allocated size does not match required size");
    }
    let out = Array::empty(&[total], DType::Int64, flambeau_core::Device::CPU, Init::Zero)?;
    if total > 0 {
        // SAFETY: a fresh array of `total` integers.
        let mut rest =
            unsafe { std::slice::from_raw_parts_mut(out.data_ptr().cast::<i64>(), total as usize) };
        for (i, &count) in counts.iter().enumerate() {
            let (here, after) = rest.split_at_mut(count as usize);
            here.fill(i as i64);
            rest = after;
        }
    }
    let out = Tensor::from_array(out);
    if repeats.dtype() == DType::Int32 { shape::to_dtype(&out, DType::Int32) } else { Ok(out) }
}

/// `torch.repeat_interleave` with counts in a tensor.
pub fn repeat_interleave_self_tensor(
    self_: &Tensor,
    repeats: &Tensor,
    dim: Option<i64>,
    output_size: Option<i64>,
) -> Result<Tensor> {
    let (input, dim) = match dim {
        Some(dim) => (self_.clone(), dim),
        None => (shape::flatten(self_, 0, -1)?, 0),
    };
    let d = wrap_dim(dim, input.dim())?;
    let size = input.sizes().get(d).copied().unwrap_or(1);
    let counts = match repeats.dim() {
        0 => shape::expand(&shape::reshape(repeats, &[1])?, &[size])?,
        1 if repeats.numel() == 1 => shape::expand(repeats, &[size])?,
        1 if repeats.numel() as i64 == size => repeats.clone(),
        1 => bail!(
            "repeats must have the same size as input along dim, but got repeats.size(0) = {} and input.size({d}) = {size}",
            repeats.numel()
        ),
        _ => bail!("repeats must be 0-dim or 1-dim tensor"),
    };
    let index = repeat_interleave(&counts, output_size)?;
    crate::ops::index::index_select(&input, d as i64, &index)
}

/// `torch.repeat_interleave` with one count for all.
pub fn repeat_interleave_self_int(
    self_: &Tensor,
    repeats: i64,
    dim: Option<i64>,
    output_size: Option<i64>,
) -> Result<Tensor> {
    let (input, dim) = match dim {
        Some(dim) => (self_.clone(), dim),
        None => (shape::flatten(self_, 0, -1)?, 0),
    };
    let input = if input.dim() == 0 { shape::reshape(&input, &[1])? } else { input };
    let d = wrap_dim(dim, input.dim())?;
    if repeats < 0 {
        bail!("Repeats must be non-negative");
    }
    let mut sizes = input.sizes();
    let Some(total) = sizes[d].checked_mul(repeats) else { bail!("numel: integer multiplication overflow") };
    if let Some(given) = output_size.filter(|&n| n != total) {
        bail!("repeat_interleave: Invalid output_size, expected {total} but got {given}");
    }
    let wide = shape::unsqueeze(&input, d as i64 + 1)?;
    let mut expanded = sizes.clone();
    expanded.insert(d + 1, repeats);
    let copies = shape::clone(&shape::expand(&wide, &expanded)?, Some(MemoryFormat::Contiguous))?;
    sizes[d] = total;
    shape::view(&copies, &sizes)
}

/// `torch.roll`: moves elements along dimensions, those beyond the end coming in at the start.
pub fn roll(self_: &Tensor, shifts: &[i64], dims: &[i64]) -> Result<Tensor> {
    if shifts.is_empty() {
        bail!("`shifts` required");
    }
    if dims.is_empty() && shifts.len() == 1 {
        let flat = roll(&shape::reshape(self_, &[self_.numel() as i64])?, shifts, &[0])?;
        return shape::view(&flat, &self_.sizes());
    }
    if shifts.len() != dims.len() {
        bail!("shifts and dimensions must align. shifts: {}, dims:{}", shifts.len(), dims.len());
    }
    let a = self_.array();
    let rank = a.dim();
    let mut by: Dims = SmallVec::from_elem(0, rank);
    for (&shift, &dim) in shifts.iter().zip(dims) {
        if rank == 0 {
            return Err(flambeau_core::Error::index(format!(
                "Dimension specified as {dim} but tensor has no dimensions"
            )));
        }
        let d = wrap_dim(dim, rank)?;
        if a.sizes[d] > 0 {
            by[d] = (by[d] + shift.rem_euclid(a.sizes[d])) % a.sizes[d];
        }
    }
    let strides = shape::preserved_strides(&a);
    let out = Tensor::from_array(Array::empty_strided(&a.sizes, strides, a.dtype, a.device(), Init::Uninit)?);
    if a.numel() > 0 {
        let (moved, whole) = (by.iter().copied().enumerate().filter(|m| m.1 != 0), out.array());
        let moved: SmallVec<[(usize, i64); 5]> = moved.collect();
        // Each of the 2^k blocks goes to its place.
        for block in 0..1usize << moved.len() {
            let (mut from, mut to) = (a.clone(), whole.clone());
            for (k, &(d, shift)) in moved.iter().enumerate() {
                let rest = a.sizes[d] - shift;
                if block >> k & 1 == 0 {
                    from.sizes[d] = rest;
                    to.offset += shift * to.strides[d];
                } else {
                    from.sizes[d] = shift;
                    from.offset += rest * from.strides[d];
                }
            }
            to.sizes = from.sizes.clone();
            copy_data(&Tensor::from_array(to), &Tensor::from_array(from))?;
        }
    }
    record(&[&out], "RollBackward0", &[self_], &[], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        let (back, dims): (Dims, Dims) = by.iter().enumerate().map(|(d, &s)| (-s, d as i64)).unzip();
        Ok(smallvec![Some(if back.is_empty() { grad.clone() } else { roll(grad, &back, &dims)? })])
    })?;
    Ok(out)
}

/// `torch.flip`: elements in reverse order along dimensions.
pub fn flip(self_: &Tensor, dims: &[i64]) -> Result<Tensor> {
    let a = self_.array();
    let mut mask: SmallVec<[bool; 6]> = SmallVec::from_elem(false, a.dim());
    for &dim in dims {
        let d = wrap_dim(dim, a.dim())?;
        if a.dim() > 0 {
            if mask[d] {
                bail!("dim {d} appears multiple times in the list of dims");
            }
            mask[d] = true;
        }
    }
    let strides = shape::preserved_strides(&a);
    let out = Tensor::from_array(Array::empty_strided(&a.sizes, strides, a.dtype, a.device(), Init::Uninit)?);
    if a.numel() > 0 {
        let mut source = a.clone();
        for d in (0..a.dim()).filter(|&d| mask[d]) {
            source.offset += (a.sizes[d] - 1) * a.strides[d];
            source.strides[d] = -a.strides[d];
        }
        copy_data(&out, &Tensor::from_array(source))?;
    }
    let dims = Dims::from_slice(dims);
    record(&[&out], "FlipBackward0", &[self_], &[], move |ctx| {
        Ok(smallvec![match ctx.grad(0) {
            Some(grad) => Some(flip(grad, &dims)?),
            None => None,
        }])
    })?;
    Ok(out)
}

/// `torch.fliplr`
pub fn fliplr(self_: &Tensor) -> Result<Tensor> {
    if self_.dim() < 2 {
        bail!("Input must be >= 2-d.");
    }
    flip(self_, &[1])
}

/// `torch.flipud`
pub fn flipud(self_: &Tensor) -> Result<Tensor> {
    if self_.dim() < 1 {
        bail!("Input must be >= 1-d.");
    }
    flip(self_, &[0])
}

/// `torch.rot90`: `k` quarter turns in the plane of two dimensions, from the first towards the second.
pub fn rot90(self_: &Tensor, k: i64, dims: &[i64]) -> Result<Tensor> {
    let rank = self_.dim() as i64;
    let [p, q] = dims[..] else { bail!("expected total rotation dims == 2, but got dims = {}", dims.len()) };
    if rank < 2 {
        bail!("expected total dims >= 2, but got total dims = {rank}");
    }
    if p == q || p.abs_diff(q) == rank as u64 {
        bail!("expected rotation dims to be different, but got dim0 = {p} and dim1 = {q}");
    }
    let (i, j) = (wrap_dim(p, rank as usize)? as i64, wrap_dim(q, rank as usize)? as i64);
    match k.rem_euclid(4) {
        1 => shape::transpose(&flip(self_, &[j])?, i, j),
        2 => flip(self_, &[i, j]),
        3 => shape::transpose(&flip(self_, &[i])?, i, j),
        _ => shape::clone(self_, Some(MemoryFormat::Contiguous)),
    }
}

fn triangle(self_: &Tensor, diagonal: i64, upper: bool) -> Result<Tensor> {
    let a = self_.array();
    let [.., rows, columns] = a.sizes[..] else {
        bail!("{}: input tensor must have at least 2 dimensions", if upper { "triu" } else { "tril" });
    };
    let out = shape::clone_dense(self_)?;
    if !a.device().is_meta() && a.numel() > 0 {
        let target = out.array();
        let item = a.dtype.size();
        // SAFETY: a fresh row-major array of numel elements.
        let bytes = unsafe { std::slice::from_raw_parts_mut(target.data_ptr(), a.numel() * item) };
        flambeau_cpu::index::triangle(bytes, item, rows as usize, columns as usize, diagonal, upper);
    }
    record(&[&out], if upper { "TriuBackward0" } else { "TrilBackward0" }, &[self_], &[], move |ctx| {
        Ok(smallvec![match ctx.grad(0) {
            Some(grad) => Some(triangle(grad, diagonal, upper)?),
            None => None,
        }])
    })?;
    Ok(out)
}

/// `torch.tril`: the matrix with zeros above a diagonal.
pub fn tril(self_: &Tensor, diagonal: i64) -> Result<Tensor> {
    triangle(self_, diagonal, false)
}

/// `torch.triu`: the matrix with zeros below a diagonal.
pub fn triu(self_: &Tensor, diagonal: i64) -> Result<Tensor> {
    triangle(self_, diagonal, true)
}

fn vander_dtype(x: &Tensor) -> DType {
    if x.dtype().is_integral_or_bool() { DType::Int64 } else { x.dtype() }
}

/// `torch.vander`: powers of a vector as columns, in falling order unless `increasing`.
#[allow(non_snake_case)]
pub fn vander(x: &Tensor, N: Option<i64>, increasing: bool) -> Result<Tensor> {
    let sizes = x.sizes();
    let [n] = sizes[..] else { bail!("x must be a one-dimensional tensor.") };
    let columns = N.unwrap_or(n);
    if columns < 0 {
        bail!("N must be non-negative.");
    }
    if numel(&[n, columns])? == 0 {
        return Tensor::zeros_raw(&[n, columns], vander_dtype(x), x.device());
    }
    flambeau_core::check_memory(columns as usize, 64.max(n as usize))?;
    let dtype = vander_dtype(x);
    let ones = Tensor::from_array(crate::ops::creation::scalar_array(1i64.into(), dtype)?);
    let ones = shape::expand(&ones, &[n])?;
    let x = shape::to_dtype(x, dtype)?;
    let mut powers: Vec<Tensor> = Vec::new();
    for i in 0..columns {
        powers.push(match powers.last() {
            None => ones.clone(),
            Some(_) if i == 1 => x.clone(),
            Some(last) => crate::generated::functions::mul(last, &x)?,
        });
    }
    let out = super::join::stack(&powers, 1)?;
    if increasing { Ok(out) } else { flip(&out, &[1]) }
}

/// `torch.broadcast_shapes`: the shape that all shapes broadcast to.
pub fn broadcast_shapes(shapes: &[Dims]) -> Result<Dims> {
    let rank = shapes.iter().map(|s| s.len()).max().unwrap_or(0);
    let mut out: Dims = SmallVec::from_elem(1, rank);
    for (i, sizes) in shapes.iter().enumerate() {
        for (k, &size) in sizes.iter().rev().enumerate() {
            if size < 0 {
                bail!(Value, "Attempting to broadcast a dimension with negative length!");
            }
            let slot = rank - 1 - k;
            if size != 1 && size != out[slot] {
                if out[slot] != 1 {
                    let text = show(sizes);
                    let comma = if sizes.len() == 1 { "," } else { "" };
                    bail!(
                        "Attempting to broadcast a dimension of length {size} at {}! Mismatching argument at index {i} had ({}{comma}); but expected shape should be broadcastable to {}",
                        -(k as i64) - 1,
                        text.trim_matches(['[', ']']),
                        show(&out)
                    );
                }
                out[slot] = size;
            }
        }
    }
    Ok(out)
}
