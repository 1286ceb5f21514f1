//! Tensors as slices for kernels: inputs in place where they lie in one stretch, results written where they stay.

use crate::Tensor;
use crate::ops::support::copy_data;
use flambeau_core::{Array, DType, Device, Element, Result, bail};
use smallvec::SmallVec;
use std::marker::PhantomData;
use std::ops::Deref;

/// The elements of a tensor in row-major order as a slice of `T`: the tensor's own memory where it has that form,
/// else a converted copy.
pub(crate) struct Dense<T> {
    array: Array,
    elements: PhantomData<T>,
}

impl<T: Element> Dense<T> {
    pub fn of(t: &Tensor) -> Result<Self> {
        let a = t.array();
        if a.device().is_meta() {
            bail!(NotImplemented, "Cannot copy out of meta tensor; no data!");
        }
        let aligned = (a.data_ptr() as usize).is_multiple_of(align_of::<T>());
        let array = if a.dtype == T::DTYPE && a.is_contiguous() && aligned && a.in_bounds() {
            a
        } else {
            let copy = Tensor::empty_raw(&a.sizes, T::DTYPE, Device::CPU)?;
            copy_data(&copy, &Tensor::from_array(a))?;
            copy.array()
        };
        Ok(Dense { array, elements: PhantomData })
    }
}

impl<T: Element> Deref for Dense<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        let len = self.array.numel();
        if len == 0 {
            return &[];
        }
        // SAFETY: a row-major array of `len` aligned elements of this type in its storage, which it keeps alive.
        // Kernels write to fresh memory only, so that nothing changes it while the slice is in use.
        unsafe { std::slice::from_raw_parts(self.array.data_ptr().cast::<T>(), len) }
    }
}

/// A fresh tensor of dtype `dtype` whose elements `run` computes as a slice of `T`; they start as zeros.
pub(crate) fn computed<T: Element>(
    sizes: &[i64],
    dtype: DType,
    run: impl FnOnce(&mut [T]) -> Result<()>,
) -> Result<Tensor> {
    let [out] = computed_all([sizes], dtype, |[elements]| run(elements))?;
    Ok(out)
}

/// Several fresh tensors that one kernel computes, each as [`computed`].
pub(crate) fn computed_all<T: Element, const N: usize>(
    sizes: [&[i64]; N],
    dtype: DType,
    run: impl FnOnce([&mut [T]; N]) -> Result<()>,
) -> Result<[Tensor; N]> {
    made(sizes, dtype, Tensor::zeros_raw, run)
}

/// As [`computed`], for kernels that write each element: what they start as is arbitrary.
pub(crate) fn written<T: Element>(
    sizes: &[i64],
    dtype: DType,
    run: impl FnOnce(&mut [T]) -> Result<()>,
) -> Result<Tensor> {
    let [out] = written_all([sizes], dtype, |[elements]| run(elements))?;
    Ok(out)
}

/// As [`computed_all`], for kernels that write each element.
pub(crate) fn written_all<T: Element, const N: usize>(
    sizes: [&[i64]; N],
    dtype: DType,
    run: impl FnOnce([&mut [T]; N]) -> Result<()>,
) -> Result<[Tensor; N]> {
    made(sizes, dtype, arbitrary, run)
}

/// A fresh tensor of arbitrary elements.
fn arbitrary(sizes: &[i64], dtype: DType, device: Device) -> Result<Tensor> {
    let out = Tensor::empty_raw(sizes, dtype, device)?;
    let (pointer, nbytes) = (out.array().data_ptr(), out.numel() * dtype.size());
    // SAFETY: the memory of a fresh row-major array.
    unsafe {
        if cfg!(debug_assertions) {
            // So that tests notice elements that are never written: NaN, or -1.
            std::ptr::write_bytes(pointer, 0xFF, nbytes);
        } else {
            flambeau_core::settle(pointer, nbytes);
        }
    }
    Ok(out)
}

/// What makes a tensor of the sizes for a kernel to write.
type Fresh = fn(&[i64], DType, Device) -> Result<Tensor>;

fn made<T: Element, const N: usize>(
    sizes: [&[i64]; N],
    dtype: DType,
    fresh: Fresh,
    run: impl FnOnce([&mut [T]; N]) -> Result<()>,
) -> Result<[Tensor; N]> {
    let mut out: SmallVec<[Tensor; 5]> = SmallVec::new();
    for sizes in sizes {
        out.push(fresh(sizes, T::DTYPE, Device::CPU)?);
    }
    let places = fresh_places(&out);
    run(std::array::from_fn(|i| match places[i] {
        (_, 0) => &mut [][..],
        // SAFETY: a fresh row-major array of `len` elements of this type, which nothing else refers to.
        (place, len) => unsafe { std::slice::from_raw_parts_mut(place.cast::<T>(), len) },
    }))?;
    if dtype != T::DTYPE {
        out.iter_mut().try_for_each(|out| convert(out, dtype))?;
    }
    let mut out = out.into_iter();
    Ok(std::array::from_fn(|_| match out.next() {
        Some(out) => out,
        None => unreachable!("as many tensors as sizes"),
    }))
}

// What does not depend on the kernel is compiled once.

/// Where the elements of fresh tensors lie, and how many they are.
fn fresh_places(tensors: &[Tensor]) -> SmallVec<[(*mut u8, usize); 5]> {
    tensors.iter().map(|t| (t.array().data_ptr(), t.numel())).collect()
}

fn convert(t: &mut Tensor, dtype: DType) -> Result<()> {
    let converted = Tensor::empty_raw(&t.sizes(), dtype, Device::CPU)?;
    copy_data(&converted, t)?;
    *t = converted;
    Ok(())
}

/// Two fresh tensors that one kernel computes, each as [`computed`]; the second one's dtype is that of its elements.
pub(crate) fn computed_pair<A: Element, B: Element>(
    sizes: [&[i64]; 2],
    dtype: DType,
    run: impl FnOnce(&mut [A], &mut [B]) -> Result<()>,
) -> Result<(Tensor, Tensor)> {
    pair(sizes, dtype, Tensor::zeros_raw, run)
}

/// As [`computed_pair`], for kernels that write each element.
pub(crate) fn written_pair<A: Element, B: Element>(
    sizes: [&[i64]; 2],
    dtype: DType,
    run: impl FnOnce(&mut [A], &mut [B]) -> Result<()>,
) -> Result<(Tensor, Tensor)> {
    pair(sizes, dtype, arbitrary, run)
}

fn pair<A: Element, B: Element>(
    sizes: [&[i64]; 2],
    dtype: DType,
    fresh: Fresh,
    run: impl FnOnce(&mut [A], &mut [B]) -> Result<()>,
) -> Result<(Tensor, Tensor)> {
    let mut second = None;
    let [first] = made::<A, 1>([sizes[0]], dtype, fresh, |[a]| {
        second = Some(made::<B, 1>([sizes[1]], B::DTYPE, fresh, |[b]| run(a, b))?);
        Ok(())
    })?;
    match second {
        Some([second]) => Ok((first, second)),
        None => bail!("a kernel without a second result"),
    }
}
