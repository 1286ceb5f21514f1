//! Data in and out: fill values, slices, numbers.

use crate::Tensor;
use flambeau_core::{Array, DType, Device, Element, Init, Result, Scalar, bail};

/// Writes one value to every element; nothing is recorded and no version bumped.
pub fn fill_data(t: &Tensor, value: Scalar) -> Result<()> {
    fill_array(&t.array(), value)
}

/// As [`fill_data`], for an array.
pub fn fill_array(a: &Array, value: Scalar) -> Result<()> {
    let n = a.numel();
    if a.device().is_meta() || n == 0 {
        return Ok(());
    }
    if n == 1 {
        // SAFETY: one element in bounds.
        unsafe { write_element(a.data_ptr(), a.dtype, value) };
        return Ok(());
    }
    let one = scalar_array(value, a.dtype)?;
    let source = flambeau_cpu::pointwise::Operand {
        pointer: one.data_ptr(),
        dtype: one.dtype,
        strides: smallvec::SmallVec::from_elem(0, a.dim()),
    };
    // SAFETY: the array lies within its storage; the source is a fresh element.
    unsafe { flambeau_cpu::copy::copy(&crate::ops::operand(a), &source, &a.sizes) }
}

/// Writes a number to one element of a one-dimensional array whose storage may be written to; false where there is none.
pub fn fill_element(a: &Array, index: i64, value: Scalar) -> bool {
    let ([size], [stride]) = (&a.sizes[..], &a.strides[..]) else { return false };
    if a.device().is_meta() || !(0..*size).contains(&index) {
        return false;
    }
    let pointer = a.data_ptr().wrapping_offset((index * stride) as isize * a.dtype.size() as isize);
    // SAFETY: an element of the array, which lies within its storage.
    unsafe { write_element(pointer, a.dtype, value) };
    true
}

/// Writes a number as an element, converted.
///
/// # Safety
/// `pointer` must be valid for writing an element of the dtype; it need not be aligned.
unsafe fn write_element(pointer: *mut u8, dtype: flambeau_core::DType, value: Scalar) {
    let value = if dtype == flambeau_core::DType::Bool { Scalar::Int(value.to_bool() as i64) } else { value };
    flambeau_core::dispatch!(storage dtype, T => {
        let v: T = flambeau_core::Number::from_scalar(value);
        // SAFETY: as promised by the caller.
        unsafe { pointer.cast::<T>().write_unaligned(v) }
    })
}

/// A zero-dim array of a number.
pub fn scalar_array(value: Scalar, dtype: flambeau_core::DType) -> Result<Array> {
    let a = Array::empty(&[], dtype, Device::CPU, Init::Uninit)?;
    // SAFETY: a fresh array of one element.
    unsafe { write_element(a.data_ptr(), dtype, value) };
    Ok(a)
}

/// A zero-dim tensor of a number.
pub fn scalar_tensor(value: Scalar, dtype: flambeau_core::DType) -> Result<Tensor> {
    Ok(Tensor::from_array(scalar_array(value, dtype)?))
}

/// The number that an element is.
///
/// # Safety
/// `pointer` must be valid for an element of the dtype; it need not be aligned.
pub unsafe fn read_element(pointer: *const u8, dtype: flambeau_core::DType) -> Scalar {
    // SAFETY: as promised by the caller.
    unsafe {
        if dtype == flambeau_core::DType::Bool {
            return Scalar::Bool(pointer.read() != 0);
        }
        flambeau_core::dispatch!(storage dtype, T => flambeau_core::Number::to_scalar(pointer.cast::<T>().read_unaligned()))
    }
}

impl Tensor {
    /// A row-major tensor of a slice's elements.
    ///
    /// ```
    /// let t = flambeau::Tensor::from_slice(&[1.0f32, 2.0, 3.0, 4.0], &[2, 2]).unwrap();
    /// assert_eq!(t.sizes()[..], [2, 2]);
    /// ```
    pub fn from_slice<T: Element>(data: &[T], sizes: &[i64]) -> Result<Tensor> {
        let a = Array::empty(sizes, T::DTYPE, Device::CPU, Init::Uninit)?;
        if a.numel() != data.len() {
            bail!("shape {} is invalid for input of size {}", flambeau_core::show(sizes), data.len());
        }
        // SAFETY: a fresh array of exactly these elements.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), a.data_ptr().cast::<T>(), data.len()) };
        Ok(Tensor::from_array(a))
    }
    /// The elements in row-major order, converted.
    pub fn to_vec<T: Element>(&self) -> Result<Vec<T>> {
        if self.is_meta() {
            bail!(NotImplemented, "Cannot copy out of meta tensor; no data!");
        }
        let t =
            crate::ops::shape::clone_dense(&crate::ops::shape::to_dtype(&self.alias(), T::DTYPE)?)?.array();
        let n = t.numel();
        let mut out: Vec<T> = vec![T::default(); n];
        if T::DTYPE == flambeau_core::DType::Bool {
            // Memory of others may have any byte where a `bool` has 0 or 1.
            for i in 0..n {
                // SAFETY: a fresh array of n bytes.
                unsafe { t.data_ptr().add(i).write((t.data_ptr().add(i).read() != 0) as u8) };
            }
        }
        // SAFETY: a dense array of n elements of this type.
        unsafe { std::ptr::copy_nonoverlapping(t.data_ptr().cast::<T>(), out.as_mut_ptr(), n) };
        Ok(out)
    }
    /// The bytes of the elements in row-major order.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        if self.is_meta() {
            bail!(NotImplemented, "Cannot copy out of meta tensor; no data!");
        }
        let a = crate::ops::shape::clone_dense(&self.alias())?.array();
        let mut out = vec![0u8; a.numel() * a.dtype.size()];
        if !out.is_empty() {
            // SAFETY: a fresh row-major array of this many bytes.
            unsafe { std::ptr::copy_nonoverlapping(a.data_ptr(), out.as_mut_ptr(), out.len()) };
        }
        Ok(out)
    }
    /// A tensor of bytes as [`Tensor::to_bytes`] gives them; fails where their number does not fit the sizes.
    pub fn from_bytes(bytes: &[u8], dtype: DType, sizes: &[i64]) -> Result<Tensor> {
        let count = sizes.iter().try_fold(dtype.size(), |n, &s| n.checked_mul(usize::try_from(s).ok()?));
        if count != Some(bytes.len()) {
            bail!(Value, "{} bytes do not fit sizes {} of {dtype}", bytes.len(), flambeau_core::show(sizes));
        }
        if dtype == DType::Bool && bytes.iter().any(|&b| b > 1) {
            bail!(Value, "the bytes of bools must be 0 or 1");
        }
        let a = Array::empty(sizes, dtype, Device::CPU, Init::Uninit)?;
        if !bytes.is_empty() {
            // SAFETY: a fresh array of exactly these bytes; every pattern is a value, those of bools were checked.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), a.data_ptr(), bytes.len()) };
        }
        Ok(Tensor::from_array(a))
    }
    /// The value of a tensor of one element.
    pub fn item(&self) -> Result<Scalar> {
        let a = self.read();
        if a.numel() != 1 {
            bail!("a Tensor with {} elements cannot be converted to Scalar", a.numel());
        }
        if a.device().is_meta() {
            bail!("Tensor.item() cannot be called on meta tensors");
        }
        // SAFETY: one element in bounds.
        Ok(unsafe { read_element(a.data_ptr(), a.dtype) })
    }
}
