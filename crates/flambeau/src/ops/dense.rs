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
    let mut out: SmallVec<[Tensor; 5]> = SmallVec::new();
    for sizes in sizes {
        out.push(Tensor::zeros_raw(sizes, T::DTYPE, Device::CPU)?);
    }
    run(std::array::from_fn(|i| match out[i].numel() {
        0 => &mut [][..],
        // SAFETY: a fresh row-major array of `len` elements of this type, which nothing else refers to.
        len => unsafe { std::slice::from_raw_parts_mut(out[i].array().data_ptr().cast::<T>(), len) },
    }))?;
    if dtype != T::DTYPE {
        for (out, sizes) in out.iter_mut().zip(sizes) {
            let converted = Tensor::empty_raw(sizes, dtype, Device::CPU)?;
            copy_data(&converted, out)?;
            *out = converted;
        }
    }
    Ok(std::array::from_fn(|i| out[i].clone()))
}

/// Two fresh tensors that one kernel computes; the second one's dtype is that of its elements.
pub(crate) fn computed_pair<A: Element, B: Element>(
    sizes: [&[i64]; 2],
    dtype: DType,
    run: impl FnOnce(&mut [A], &mut [B]) -> Result<()>,
) -> Result<(Tensor, Tensor)> {
    let mut second = None;
    let first = computed::<A>(sizes[0], dtype, |a| {
        second = Some(computed::<B>(sizes[1], B::DTYPE, |b| run(a, b))?);
        Ok(())
    })?;
    match second {
        Some(second) => Ok((first, second)),
        None => bail!("a kernel without a second result"),
    }
}
