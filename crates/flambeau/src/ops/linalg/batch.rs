//! Dense copies of batches of matrices as slices.

use crate::Tensor;
use crate::ops::shape::{clone_dense, dense};
use flambeau_core::{DType, Device, Result, bail};
use std::marker::PhantomData;

/// A row-major tensor to read, with its elements as a slice.
pub(crate) struct Source<T> {
    tensor: Tensor,
    elements: PhantomData<T>,
}

impl<T: Copy> Source<T> {
    /// The tensor itself if it is row-major, otherwise a copy.
    pub fn of(tensor: &Tensor) -> Result<Self> {
        check_size::<T>(tensor)?;
        Ok(Source { tensor: dense(tensor)?, elements: PhantomData })
    }
    pub fn slice(&self) -> &[T] {
        elements(&self.tensor)
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

fn elements<T>(tensor: &Tensor) -> &[T] {
    let len = if tensor.is_meta() { 0 } else { tensor.numel() };
    if len == 0 {
        return &[];
    }
    // SAFETY: a row-major tensor of len elements of the size of T.
    unsafe { std::slice::from_raw_parts(tensor.array().data_ptr().cast::<T>(), len) }
}

/// A fresh row-major tensor that nothing else refers to yet, with its elements as a slice.
pub(crate) struct Buffer<T> {
    tensor: Tensor,
    elements: PhantomData<T>,
}

impl<T: Copy> Buffer<T> {
    fn wrap(tensor: Tensor) -> Result<Self> {
        check_size::<T>(&tensor)?;
        Ok(Buffer { tensor, elements: PhantomData })
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
    fn len(&self) -> usize {
        if self.tensor.is_meta() { 0 } else { self.tensor.numel() }
    }
    pub fn slice(&self) -> &[T] {
        elements(&self.tensor)
    }
    pub fn slice_mut(&mut self) -> &mut [T] {
        let len = self.len();
        if len == 0 {
            return &mut [];
        }
        // SAFETY: a fresh row-major tensor of len elements of the size of T, which only this buffer refers to.
        unsafe { std::slice::from_raw_parts_mut(self.tensor.array().data_ptr().cast::<T>(), len) }
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
