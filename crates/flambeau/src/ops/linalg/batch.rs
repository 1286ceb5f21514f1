//! Dense copies of batches of matrices as slices.

use crate::Tensor;
use crate::ops::shape::{clone_dense, dense};
use flambeau_core::{DType, Device, Result, bail};

/// A row-major tensor to read, with its elements as a slice.
pub(crate) struct Source<T> {
    /// Keeps the elements.
    _tensor: Tensor,
    elements: Elements<T>,
}

/// Where a row-major tensor's elements are: to ask the tensor again for each matrix of a batch would take as long as a small
/// matrix does.
#[derive(Clone, Copy)]
struct Elements<T> {
    pointer: *mut T,
    len: usize,
}

impl<T> Elements<T> {
    fn of(tensor: &Tensor) -> Self {
        let len = if tensor.is_meta() { 0 } else { tensor.numel() };
        let pointer = if len == 0 { std::ptr::dangling_mut() } else { tensor.array().data_ptr().cast() };
        Elements { pointer, len }
    }
}

impl<T: Copy> Source<T> {
    /// The tensor itself if it is row-major, otherwise a copy.
    pub fn of(tensor: &Tensor) -> Result<Self> {
        check_size::<T>(tensor)?;
        let tensor = dense(tensor)?;
        Ok(Source { elements: Elements::of(&tensor), _tensor: tensor })
    }
    pub fn slice(&self) -> &[T] {
        // SAFETY: the elements of a row-major tensor that is kept, of the size of T.
        unsafe { std::slice::from_raw_parts(self.elements.pointer, self.elements.len) }
    }
    /// Matrix `i` of `size` elements.
    pub fn at(&self, i: usize, size: usize) -> &[T] {
        &self.slice()[i * size..(i + 1) * size]
    }
}

fn check_size<T>(tensor: &Tensor) -> Result<()> {
    if tensor.dtype().size() != size_of::<T>() {
        bail!("elements of {} do not fit the buffer", tensor.dtype().cpp_name());
    }
    Ok(())
}

/// A fresh row-major tensor that nothing else refers to yet, with its elements as a slice.
pub(crate) struct Buffer<T> {
    tensor: Tensor,
    elements: Elements<T>,
}

impl<T: Copy> Buffer<T> {
    fn wrap(tensor: Tensor) -> Result<Self> {
        check_size::<T>(&tensor)?;
        Ok(Buffer { elements: Elements::of(&tensor), tensor })
    }
    /// A copy of a tensor's elements.
    pub fn of(tensor: &Tensor) -> Result<Self> {
        Self::wrap(clone_dense(&tensor.alias())?)
    }
    /// Undefined contents, all of which the caller overwrites.
    pub fn empty(sizes: &[i64], dtype: DType, device: Device) -> Result<Self> {
        Self::wrap(Tensor::empty_raw(sizes, dtype, device)?)
    }
    /// Zeros.
    pub fn zeros(sizes: &[i64], dtype: DType, device: Device) -> Result<Self> {
        Self::wrap(Tensor::zeros_raw(sizes, dtype, device)?)
    }
    /// Whether there is nothing to compute.
    pub fn is_meta(&self) -> bool {
        self.tensor.is_meta()
    }
    pub fn tensor(self) -> Tensor {
        self.tensor
    }
    pub fn slice(&self) -> &[T] {
        // SAFETY: the elements of a row-major tensor that is kept, of the size of T.
        unsafe { std::slice::from_raw_parts(self.elements.pointer, self.elements.len) }
    }
    pub fn slice_mut(&mut self) -> &mut [T] {
        // SAFETY: as above; the tensor is fresh, and only this buffer refers to it.
        unsafe { std::slice::from_raw_parts_mut(self.elements.pointer, self.elements.len) }
    }
    /// Matrix `i` of `size` elements.
    pub fn at_mut(&mut self, i: usize, size: usize) -> &mut [T] {
        &mut self.slice_mut()[i * size..(i + 1) * size]
    }
}

/// How many matrices there are.
pub(super) fn count(batch: &[i64]) -> usize {
    // A tensor without elements may have sizes whose product is out of range.
    if batch.contains(&0) { 0 } else { batch.iter().fold(1i64, |n, &size| n.saturating_mul(size)) as usize }
}

/// How many matrices there are to work on: none where nothing is `written` for each.
pub(super) fn worked_on(batch: &[i64], written: usize) -> usize {
    if written == 0 { 0 } else { count(batch) }
}

/// The first nonzero info, with its place.
pub(super) fn first_info(info: &Tensor) -> Result<Option<(usize, i32)>> {
    let info = Buffer::<i32>::of(info)?;
    Ok(info.slice().iter().copied().enumerate().find(|&(_, i)| i != 0))
}

/// The place of a failure as messages have it: nothing for a single matrix.
pub(super) fn place(batch: &[i64], at: usize) -> String {
    if batch.is_empty() { String::new() } else { format!("(Batch element {at}): ") }
}
