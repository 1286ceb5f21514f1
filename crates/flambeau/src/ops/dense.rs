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

/// The matrices of a tensor's last two dimensions, in rows of contiguous elements: in its own memory where they have that form,
/// else in a converted copy.
pub(crate) struct Matrices<T> {
    dense: Dense<T>,
    /// Elements from the first to the last.
    reach: usize,
    pub starts: Vec<usize>,
    pub apart: usize,
}

impl<T: Element> Matrices<T> {
    pub fn of(t: &Tensor) -> Result<Self> {
        let a = t.array();
        if let Some((starts, apart, reach)) = rows_in_place(&a, T::DTYPE, align_of::<T>()) {
            return Ok(Matrices { dense: Dense { array: a, elements: PhantomData }, reach, starts, apart });
        }
        let dense = Dense::of(t)?;
        let sizes = &dense.array.sizes;
        let matrix = sizes[sizes.len() - 2..].iter().product::<i64>() as usize;
        let (apart, reach) = (sizes[sizes.len() - 1] as usize, dense.array.numel());
        let count = flambeau_core::count(&sizes[..sizes.len() - 2]) as usize;
        let starts = (0..count).map(|i| i * matrix).collect();
        Ok(Matrices { dense, reach, starts, apart })
    }
    pub fn elements(&self) -> &[T] {
        if self.reach == 0 {
            return &[];
        }
        // SAFETY: aligned elements of this type in the storage, which the array keeps alive, from the first to the last; strides are
        // not negative. Nothing changes them while the slice is in use, as for `Dense`.
        unsafe { std::slice::from_raw_parts(self.dense.array.data_ptr().cast::<T>(), self.reach) }
    }
}

/// Where matrices begin, how far apart their rows are, and all that they reach; none where rows are not contiguous elements of the
/// dtype.
fn rows_in_place(a: &Array, dtype: DType, align: usize) -> Option<(Vec<usize>, usize, usize)> {
    let rank = a.sizes.len();
    let serves = a.dtype == dtype
        && !a.device().is_meta()
        && rank >= 2
        && a.strides[rank - 1] == 1
        && a.strides.iter().all(|&s| s >= 0)
        && a.numel() > 0
        && (a.data_ptr() as usize).is_multiple_of(align)
        && a.in_bounds();
    if !serves {
        return None;
    }
    let reach = a.sizes.iter().zip(&a.strides).map(|(n, s)| (n - 1) * s).sum::<i64>() + 1;
    let mut starts = vec![0];
    for d in 0..rank - 2 {
        let places = |start: usize| (0..a.sizes[d]).map(move |i| start + (i * a.strides[d]) as usize);
        starts = starts.into_iter().flat_map(places).collect();
    }
    Some((starts, a.strides[rank - 2] as usize, reach as usize))
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
