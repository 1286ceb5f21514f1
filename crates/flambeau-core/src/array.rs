//! An array: storage seen through sizes, signed strides and an offset, all in elements.

use crate::{DType, Device, Init, MemoryFormat, Result, Shared, Storage, bail};
use smallvec::SmallVec;

/// Sizes or strides; up to five dimensions without an allocation.
pub type Dims = SmallVec<[i64; 5]>;

/// What a tensor refers to. Cloning shares the storage.
#[derive(Debug)]
pub struct Array {
    pub storage: Shared<Storage>,
    pub dtype: DType,
    pub sizes: Dims,
    pub strides: Dims,
    /// First element, counted from the storage's start.
    pub offset: i64,
}

/// A copy of sizes or strides. Few of them go through registers; a block of any length is a call, and `Dims::clone` goes
/// element by element.
#[inline(always)]
pub fn dims_of(list: &[i64]) -> Dims {
    match *list {
        [] => Dims::new(),
        [a] => Dims::from_buf_and_len([a, 0, 0, 0, 0], 1),
        [a, b] => Dims::from_buf_and_len([a, b, 0, 0, 0], 2),
        [a, b, c] => Dims::from_buf_and_len([a, b, c, 0, 0], 3),
        [a, b, c, d] => Dims::from_buf_and_len([a, b, c, d, 0], 4),
        _ => Dims::from_slice(list),
    }
}

impl Clone for Array {
    #[inline(always)]
    fn clone(&self) -> Array {
        Array {
            storage: self.storage.clone(),
            dtype: self.dtype,
            sizes: dims_of(&self.sizes),
            strides: dims_of(&self.strides),
            offset: self.offset,
        }
    }
}

/// The product of sizes, or an error where it leaves 64 bits (before a size of 0 too: no stride could count it).
pub fn numel(sizes: &[i64]) -> Result<i64> {
    const MOST: i128 = u64::MAX as i128;
    let product = sizes.iter().try_fold(1i128, |n, &size| Some(n * size as i128).filter(|n| n.abs() <= MOST));
    match product.and_then(|n| i64::try_from(n).ok()) {
        Some(n) => Ok(n),
        None => bail!("numel: integer multiplication overflow"),
    }
}

/// The product of sizes that were checked when their tensor was made: part of them may be of any magnitude beside
/// a 0, so the product stops at the largest number.
pub fn count(sizes: &[i64]) -> i64 {
    if sizes.contains(&0) { 0 } else { sizes.iter().fold(1, |n: i64, &size| n.saturating_mul(size)) }
}

/// As many ones.
#[inline]
fn ones(n: usize) -> Dims {
    // An array in place, where `from_elem` pushes one by one.
    if n <= 5 { SmallVec::from_buf_and_len([1; 5], n) } else { SmallVec::from_elem(1, n) }
}

/// Row-major strides; dimensions of size 0 count as 1.
#[inline]
pub fn contiguous_strides(sizes: &[i64]) -> Dims {
    let wide = |size: i64| size.max(1);
    match *sizes {
        [] => return Dims::new(),
        [_] => return dims_of(&[1]),
        [_, b] => return dims_of(&[wide(b), 1]),
        [_, b, c] => return dims_of(&[wide(c).saturating_mul(wide(b)), wide(c), 1]),
        _ => {}
    }
    many_contiguous_strides(sizes)
}

fn many_contiguous_strides(sizes: &[i64]) -> Dims {
    let mut strides = ones(sizes.len());
    for d in (0..sizes.len().saturating_sub(1)).rev() {
        strides[d] = strides[d + 1].saturating_mul(sizes[d + 1].max(1));
    }
    strides
}

/// Strides of a fresh tensor in a memory format; those that leave `i64` are an error.
pub fn strides_for(sizes: &[i64], format: MemoryFormat) -> Result<Dims> {
    let order = match (format, format.order(sizes.len())) {
        (_, Some(order)) => order,
        (MemoryFormat::ChannelsLast, _) => bail!("required rank 4 tensor to use channels_last format"),
        (MemoryFormat::ChannelsLast3d, _) => bail!("required rank 5 tensor to use channels_last_3d format"),
        _ => {
            let strides = contiguous_strides(sizes);
            if sizes.len() > 1 && strides[0] == i64::MAX {
                bail!("Stride calculation overflowed");
            }
            return Ok(strides);
        }
    };
    let mut strides: Dims = SmallVec::from_elem(0, sizes.len());
    let mut stride = 1i64;
    for &d in order {
        strides[d] = stride;
        stride = stride.saturating_mul(sizes[d].max(1));
    }
    Ok(strides)
}

/// The size of a storage that an array of these sizes and strides needs, in bytes.
pub fn required_bytes(sizes: &[i64], strides: &[i64], offset: i64, itemsize: usize) -> Result<usize> {
    let overflow = || {
        crate::Error::runtime(format!(
            "Storage size calculation overflowed with sizes={} and strides={}",
            show(sizes),
            show(strides)
        ))
    };
    if sizes.contains(&0) {
        return Ok(0);
    }
    let mut last = offset;
    for (&size, &stride) in sizes.iter().zip(strides) {
        last = (size - 1).checked_mul(stride).and_then(|s| last.checked_add(s)).ok_or_else(overflow)?;
    }
    let elements = last.checked_add(1).and_then(|n| usize::try_from(n).ok()).ok_or_else(overflow)?;
    elements.checked_mul(itemsize).filter(|&n| n <= isize::MAX as usize).ok_or_else(overflow)
}

impl Array {
    /// The real (0) or imaginary (1) parts of complex numbers, in the same memory.
    pub fn component(&self, which: i64) -> Array {
        let mut a = self.clone();
        a.dtype = a.dtype.to_real();
        a.offset = 2 * a.offset + which;
        // Strides along dimensions without elements may be of any size.
        a.strides.iter_mut().for_each(|s| *s = s.saturating_mul(2));
        a
    }

    /// Complex numbers as pairs of real ones along a last dimension, in the same memory.
    pub fn as_pairs(&self) -> Array {
        let mut a = self.component(0);
        a.sizes.push(2);
        a.strides.push(1);
        a
    }

    /// A fresh row-major array.
    pub fn empty(sizes: &[i64], dtype: DType, device: Device, init: Init) -> Result<Array> {
        // Sizes in one pass; what is empty or does not fit is left to the checks below.
        let mut strides = ones(sizes.len());
        let (mut n, mut plain) = (1i64, true);
        for (&size, stride) in sizes.iter().zip(strides.iter_mut()).rev() {
            *stride = n;
            match n.checked_mul(size) {
                Some(product) if size > 0 => n = product,
                _ => {
                    plain = false;
                    break;
                }
            }
        }
        if let Some(bytes) = n.checked_mul(dtype.size() as i64).filter(|_| plain) {
            let storage = Storage::new(bytes as usize, device, init)?;
            return Ok(Array { storage, dtype, sizes: Dims::from_slice(sizes), strides, offset: 0 });
        }
        check_sizes(sizes)?;
        let bytes = numel(sizes).ok().and_then(|n| n.checked_mul(dtype.size() as i64));
        if bytes.is_none() {
            bail!("Storage size calculation overflowed with sizes={}", show(sizes));
        }
        Self::empty_strided(sizes, strides_for(sizes, MemoryFormat::Contiguous)?, dtype, device, init)
    }

    /// A fresh array of the given strides, which must not be negative.
    pub fn empty_strided(
        sizes: &[i64],
        strides: Dims,
        dtype: DType,
        device: Device,
        init: Init,
    ) -> Result<Array> {
        numel(sizes)?;
        let storage = Storage::new(required_bytes(sizes, &strides, 0, dtype.size())?, device, init)?;
        Ok(Array { storage, dtype, sizes: Dims::from_slice(sizes), strides, offset: 0 })
    }

    /// An array without dimensions at the beginning of a storage, for [`Array::lay_out`].
    #[inline(always)]
    pub fn scalar(storage: Shared<Storage>, dtype: DType) -> Array {
        Array { storage, dtype, sizes: Dims::new(), strides: Dims::new(), offset: 0 }
    }
    /// Gives an array other dimensions and another offset: through registers, as reading what was just written in pieces as
    /// a block makes processors wait.
    #[inline(always)]
    pub fn take_geometry(&mut self, sizes: &[i64], strides: &[i64], offset: i64) {
        self.offset = offset;
        self.sizes = dims_of(sizes);
        self.strides = dims_of(strides);
    }
    /// Gives an array sizes and row-major strides; their product must have been checked.
    #[inline]
    pub fn lay_out(&mut self, sizes: &[i64]) {
        self.sizes = dims_of(sizes);
        self.strides = contiguous_strides(sizes);
    }
    /// The number of elements, and whether they follow each other in row-major order without gaps.
    #[inline]
    pub fn extent(&self) -> (usize, bool) {
        let (mut n, mut dense) = (1i64, true);
        for (&size, &stride) in self.sizes.iter().zip(&self.strides).rev() {
            dense &= size == 1 || stride == n;
            n = n.saturating_mul(size);
        }
        (n as usize, dense | (n == 0))
    }
    #[inline]
    pub fn numel(&self) -> usize {
        count(&self.sizes) as usize
    }
    #[inline]
    pub fn dim(&self) -> usize {
        self.sizes.len()
    }
    #[inline]
    pub fn device(&self) -> Device {
        self.storage.device()
    }
    /// Moves the first element by `steps` along a dimension, of which nothing may be left to see.
    pub fn advance(&mut self, dim: usize, steps: i64) -> Result<()> {
        match steps.checked_mul(self.strides[dim]).and_then(|way| way.checked_add(self.offset)) {
            Some(offset) => self.offset = offset,
            None => bail!("Tensor: invalid storage offset"),
        }
        Ok(())
    }
    /// Pointer to the first element (dangling for empty arrays).
    #[inline]
    pub fn data_ptr(&self) -> *mut u8 {
        // Without elements, the offset may be beyond any memory.
        self.storage.as_ptr().wrapping_offset((self.offset as isize).wrapping_mul(self.dtype.size() as isize))
    }
    /// Whether elements follow each other in row-major order without gaps.
    #[inline]
    pub fn is_contiguous(&self) -> bool {
        if self.sizes.contains(&0) {
            return true;
        }
        let mut expected = 1i64;
        for (&size, &stride) in self.sizes.iter().zip(&self.strides).rev() {
            if size != 1 {
                if stride != expected {
                    return false;
                }
                expected *= size;
            }
        }
        true
    }
    /// Whether it is contiguous in the given memory format.
    pub fn is_contiguous_as(&self, format: MemoryFormat) -> bool {
        if matches!(format, MemoryFormat::Contiguous | MemoryFormat::Preserve) {
            return self.is_contiguous();
        }
        let Some(order) = format.order(self.dim()) else { return false };
        if self.sizes.contains(&0) {
            return true;
        }
        let mut expected = 1;
        for &d in order {
            if self.sizes[d] != 1 {
                if self.strides[d] != expected {
                    return false;
                }
                expected *= self.sizes[d];
            }
        }
        true
    }
    /// The memory format that the strides suggest to operators on images: channels-last if they grow that way, also with
    /// gaps between them; `Contiguous` where both formats fit.
    pub fn suggested_format(&self) -> MemoryFormat {
        let format = MemoryFormat::channels_last(self.dim());
        let Some(order) = format.order(self.dim()) else { return format };
        if self.strides[1] == 0 {
            return MemoryFormat::Contiguous;
        }
        let mut least = 0;
        for &d in order {
            let (size, stride) = (self.sizes[d], self.strides[d]);
            // In front of channels that are as far apart as samples, there are no planes.
            if size == 0 || stride < least || (d == 0 && least == self.strides[1]) {
                return MemoryFormat::Contiguous;
            }
            least = if size > 1 { stride.saturating_mul(size) } else { stride };
        }
        format
    }
    /// Whether the elements fill one stretch of memory without gaps or overlaps, in any order of dimensions.
    pub fn is_non_overlapping_and_dense(&self) -> bool {
        if self.sizes.contains(&0) {
            return true;
        }
        let mut dims: SmallVec<[(i64, i64); 5]> = self
            .strides
            .iter()
            .copied()
            .zip(self.sizes.iter().copied())
            .filter(|&(_, size)| size != 1)
            .collect();
        dims.sort_unstable();
        let mut expected = 1;
        for (stride, size) in dims {
            if stride != expected {
                return false;
            }
            expected *= size;
        }
        true
    }
    /// Whether two index tuples may name the same element.
    pub fn may_overlap_itself(&self) -> bool {
        let mut dims: SmallVec<[(i64, i64); 5]> = self
            .strides
            .iter()
            .map(|s| s.abs())
            .zip(self.sizes.iter().copied())
            .filter(|&(_, size)| size > 1)
            .collect();
        if self.sizes.contains(&0) {
            return false;
        }
        dims.sort_unstable();
        let mut reach = 0i64;
        for (stride, size) in dims {
            if stride <= reach {
                return true;
            }
            reach = reach.saturating_add(stride.saturating_mul(size - 1));
        }
        false
    }
    /// The lowest and one past the highest byte that it touches, from the storage's start.
    pub fn byte_range(&self) -> (i64, i64) {
        if self.numel() == 0 {
            return (0, 0);
        }
        let (mut low, mut high) = (self.offset, self.offset);
        for (&size, &stride) in self.sizes.iter().zip(&self.strides) {
            let reach = (size - 1).saturating_mul(stride);
            if reach < 0 { low = low.saturating_add(reach) } else { high = high.saturating_add(reach) }
        }
        let item = self.dtype.size() as i64;
        (low.saturating_mul(item), high.saturating_add(1).saturating_mul(item))
    }
    /// Whether every element lies within the storage.
    pub fn in_bounds(&self) -> bool {
        let (low, high) = self.byte_range();
        low >= 0 && high as u64 <= self.storage.nbytes() as u64
    }
    /// Whether the two share any byte range of one storage.
    pub fn overlaps(&self, other: &Array) -> bool {
        if self.numel() == 0 || other.numel() == 0 || self.device().is_meta() {
            return false;
        }
        let address = |a: &Array| {
            let (low, high) = a.byte_range();
            let base = a.storage.as_ptr() as i64;
            (base + low, base + high)
        };
        let ((a, b), (c, d)) = (address(self), address(other));
        a < d && c < b
    }
    /// Whether the two name the same elements in the same order.
    pub fn same_view(&self, other: &Array) -> bool {
        self.data_ptr() == other.data_ptr()
            && self.dtype == other.dtype
            && self.sizes == other.sizes
            && (self.strides == other.strides || (self.is_contiguous() && other.is_contiguous()))
    }
}

/// Fails for negative sizes, with PyTorch's text.
pub fn check_sizes(sizes: &[i64]) -> Result<()> {
    if sizes.iter().any(|&s| s < 0) {
        let negative = sizes.iter().find(|&&s| s < 0).unwrap_or(&0);
        bail!("Trying to create tensor with negative dimension {negative}: {}", show(sizes));
    }
    Ok(())
}

/// `[2, 3]`, as sizes appear in messages.
pub fn show(sizes: &[i64]) -> String {
    let mut text = String::from("[");
    for (i, size) in sizes.iter().enumerate() {
        if i > 0 {
            text.push_str(", ");
        }
        text.push_str(&size.to_string());
    }
    text.push(']');
    text
}

/// The shape that both broadcast to.
pub fn broadcast_shapes(a: &[i64], b: &[i64]) -> Result<Dims> {
    let rank = a.len().max(b.len());
    let mut out: Dims = SmallVec::from_elem(1, rank);
    // From the last dimension on, as the message names the first one that does not fit.
    for i in (0..rank).rev() {
        let x = if i + a.len() >= rank { a[i + a.len() - rank] } else { 1 };
        let y = if i + b.len() >= rank { b[i + b.len() - rank] } else { 1 };
        out[i] = if x == y || y == 1 {
            x
        } else if x == 1 {
            y
        } else {
            bail!(
                "The size of tensor a ({x}) must match the size of tensor b ({y}) at non-singleton dimension {i}"
            )
        };
    }
    Ok(out)
}

/// A dimension in `-rank..rank` as an index; rank 0 counts as 1.
pub fn wrap_dim(dim: i64, rank: usize) -> Result<usize> {
    let n = rank.max(1) as i64;
    if dim < -n || dim >= n {
        bail!(
            Index,
            "Dimension out of range (expected to be in range of [{}, {}], but got {dim})",
            -n,
            n - 1
        );
    }
    Ok(if dim < 0 { dim + n } else { dim } as usize)
}
