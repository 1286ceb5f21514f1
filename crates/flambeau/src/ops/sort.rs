//! Sorting and selection. Has unsafe code.

use crate::Tensor;
use crate::ops::reduce::{check_ordered, moved_back, moved_last, record_selection};
use crate::ops::shape;
use flambeau_core::{DType, Dims, Result, bail, bf16, f16, wrap_dim};
use flambeau_cpu::sort;

/// Runs the body with the storage type of a dtype that has an order; `bool` as `u8`.
macro_rules! sortable {
    ($dtype:expr, $T:ident => $body:expr) => {
        sortable!(@match $dtype, $T => $body;
            UInt8 | Bool => u8, Int8 => i8, Int16 => i16, Int32 => i32, Int64 => i64, UInt16 => u16, UInt32 => u32,
            UInt64 => u64, Float16 => f16, BFloat16 => bf16, Float32 => f32, Float64 => f64)
    };
    (@match $dtype:expr, $T:ident => $body:expr; $($($d:ident)|+ => $t:ty),+) => {
        match $dtype {
            $($(DType::$d)|+ => {
                type $T = $t;
                $body
            })+
            DType::Complex64 | DType::Complex128 => bail!(NotImplemented, "complex numbers have no order"),
        }
    };
}

pub(crate) use sortable;

/// The elements of a dense tensor. The slice must not outlive the tensor's storage, nor overlap a mutable one.
///
/// # Safety
/// The tensor must be dense, its dtype stored as `T`, and nobody else writing to it.
pub(super) unsafe fn elements<T>(t: &Tensor) -> &[T] {
    let (pointer, n) = t.with_array(|a| (a.data_ptr(), a.numel()));
    if n == 0 {
        return &[];
    }
    // SAFETY: as promised by the caller.
    unsafe { std::slice::from_raw_parts(pointer.cast(), n) }
}

/// The elements of a fresh dense tensor, for writing.
///
/// # Safety
/// As for [`elements`]; nobody else may read it either.
#[allow(clippy::mut_from_ref)]
pub(super) unsafe fn elements_mut<T>(t: &Tensor) -> &mut [T] {
    let (pointer, n) = t.with_array(|a| (a.data_ptr(), a.numel()));
    if n == 0 {
        return &mut [];
    }
    // SAFETY: as promised by the caller.
    unsafe { std::slice::from_raw_parts_mut(pointer.cast(), n) }
}

/// Rows along a dimension: a dense copy with the dimension last, and fresh outputs of `k` elements a row.
struct Rows {
    source: Tensor,
    n: usize,
    values: Tensor,
    indices: Tensor,
    d: usize,
}

impl Rows {
    fn new(self_: &Tensor, d: usize, k: i64) -> Result<Rows> {
        let moved = moved_last(self_, d);
        let source = if moved.is_contiguous() { moved } else { shape::clone_dense(&moved)? };
        let mut sizes = source.sizes();
        let n = sizes.last().copied().unwrap_or(1);
        if let Some(last) = sizes.last_mut() {
            *last = k;
        }
        let (dtype, device) = (source.dtype(), source.device());
        let values = Tensor::empty_raw(&sizes, dtype, device)?;
        let indices = Tensor::empty_raw(&sizes, DType::Int64, device)?;
        Ok(Rows { source, n: n as usize, values, indices, d })
    }
    /// The outputs with the dimension where it was; without it if it is not kept (then it has size 1).
    fn finish(self, keepdim: bool) -> Result<(Tensor, Tensor)> {
        let finish = |t: &Tensor| -> Result<Tensor> {
            let out = moved_back(t, self.d)?;
            if !keepdim && out.dim() > 0 {
                let mut a = out.array();
                a.sizes.remove(self.d);
                a.strides.remove(self.d);
                out.set_array(a);
            }
            Ok(out)
        };
        Ok((finish(&self.values)?, finish(&self.indices)?))
    }
    fn is_meta(&self) -> bool {
        self.source.is_meta()
    }
}

/// `torch.sort`: a stable sort with the positions that the elements came from. NaN is the greatest.
pub fn sort(self_: &Tensor, dim: i64, descending: bool) -> Result<(Tensor, Tensor)> {
    let d = wrap_dim(dim, self_.dim())?;
    let dtype = self_.dtype();
    if dtype.is_complex() {
        bail!(Type, " Sort does not support complex dtypes on CPU");
    }
    let k = self_.sizes().get(d).copied().unwrap_or(1);
    let rows = Rows::new(self_, d, k)?;
    if !rows.is_meta() {
        // SAFETY: a dense source and fresh dense outputs.
        sortable!(dtype, T => unsafe {
            sort::sort_rows::<T>(
                elements(&rows.source), rows.n, descending, elements_mut(&rows.values), elements_mut(&rows.indices),
            )?
        });
    }
    let (values, indices) = rows.finish(true)?;
    let like_input = |t: Tensor| -> Result<Tensor> {
        match self_.is_contiguous() {
            true => Ok(t),
            false => shape::in_strides_of(t, self_),
        }
    };
    let (values, indices) = (like_input(values)?, like_input(indices)?);
    record_selection("SortBackward0", self_, &values, &indices, dim, true)?;
    Ok((values, indices))
}

/// `torch.sort` with the choice of stability; the sort is stable in any case.
pub fn sort_stable(
    self_: &Tensor,
    _stable: Option<bool>,
    dim: i64,
    descending: bool,
) -> Result<(Tensor, Tensor)> {
    sort(self_, dim, descending)
}

/// `torch.argsort`
pub fn argsort(self_: &Tensor, dim: i64, descending: bool) -> Result<Tensor> {
    Ok(sort(&self_.alias(), dim, descending)?.1)
}

/// `torch.argsort` with the choice of stability.
pub fn argsort_stable(self_: &Tensor, _stable: bool, dim: i64, descending: bool) -> Result<Tensor> {
    argsort(self_, dim, descending)
}

/// `torch.msort`: sorted along the first dimension.
pub fn msort(self_: &Tensor) -> Result<Tensor> {
    Ok(sort(self_, 0, false)?.0)
}

/// `torch.topk`
pub fn topk(self_: &Tensor, k: i64, dim: i64, largest: bool, sorted: bool) -> Result<(Tensor, Tensor)> {
    let dtype = self_.dtype();
    if dtype.is_complex() {
        bail!(Type, " topk does not support complex dtypes on CPU");
    }
    if dtype == DType::Bool {
        bail!(NotImplemented, "topk does not support bool dtypes on CPU");
    }
    let d = wrap_dim(dim, self_.dim())?;
    let n = self_.sizes().get(d).copied().unwrap_or(1);
    if k < 0 || k > n {
        bail!("selected index k out of range");
    }
    check_ordered(dtype, "topk_cpu")?;
    // A zero-dim tensor has one element, whatever `k` says.
    let k = if self_.dim() == 0 { 1 } else { k };
    let rows = Rows::new(self_, d, k)?;
    if !rows.is_meta() {
        // SAFETY: a dense source and fresh dense outputs.
        sortable!(dtype, T => unsafe {
            sort::topk::<T>(
                elements(&rows.source), rows.n, k as usize, largest, sorted, elements_mut(&rows.values),
                elements_mut(&rows.indices),
            )?
        });
    }
    let (values, indices) = rows.finish(true)?;
    record_selection("TopkBackward0", self_, &values, &indices, dim, true)?;
    Ok((values, indices))
}

/// A selection of one element a row.
fn select(
    self_: &Tensor,
    dim: i64,
    keepdim: bool,
    op: &str,
    node: &'static str,
    check: impl FnOnce(i64, usize) -> Result<()>,
    kernel: impl FnOnce(&Rows) -> Result<()>,
) -> Result<(Tensor, Tensor)> {
    let d = wrap_dim(dim, self_.dim())?;
    let n = self_.sizes().get(d).copied().unwrap_or(1);
    if n == 0 {
        bail!(Index, "{op}(): Expected reduction dim {d} to have non-zero size.");
    }
    check(n, d)?;
    let rows = Rows::new(self_, d, 1)?;
    if !rows.is_meta() && rows.source.numel() > 0 {
        kernel(&rows)?;
    }
    let (values, indices) = rows.finish(keepdim)?;
    record_selection(node, self_, &values, &indices, dim, keepdim)?;
    Ok((values, indices))
}

/// `torch.kthvalue`: the `k`-th smallest element along a dimension.
pub fn kthvalue(self_: &Tensor, k: i64, dim: i64, keepdim: bool) -> Result<(Tensor, Tensor)> {
    let dtype = self_.dtype();
    let check = |n: i64, d: usize| {
        if k < 1 || k > n {
            bail!("kthvalue(): selected number k out of range for dimension {d}");
        }
        check_orderable(dtype, "kthvalue_cpu")
    };
    select(self_, dim, keepdim, "kthvalue", "KthvalueBackward0", check, |rows| {
        // SAFETY: a dense source and fresh dense outputs.
        sortable!(dtype, T => unsafe {
            sort::kthvalue::<T>(
                elements(&rows.source), rows.n, k as usize, elements_mut(&rows.values), elements_mut(&rows.indices),
            )
        })
    })
}

/// As [`check_ordered`], without `bool`.
fn check_orderable(dtype: DType, kernel: &str) -> Result<()> {
    if dtype == DType::Bool {
        bail!(NotImplemented, "\"{kernel}\" not implemented for 'Bool'");
    }
    check_ordered(dtype, kernel)
}

/// `torch.mode`: the most frequent element along a dimension, and one of its positions.
pub fn mode(self_: &Tensor, dim: i64, keepdim: bool) -> Result<(Tensor, Tensor)> {
    let dtype = self_.dtype();
    let check = |_: i64, _: usize| check_ordered(dtype, "mode_cpu");
    select(self_, dim, keepdim, "mode", "ModeBackward0", check, |rows| {
        // SAFETY: a dense source and fresh dense outputs.
        sortable!(dtype, T => unsafe {
            sort::mode::<T>(
                elements(&rows.source), rows.n, elements_mut(&rows.values), elements_mut(&rows.indices),
            )
        })
    })
}

fn median_along(self_: &Tensor, dim: i64, keepdim: bool, ignore_nan: bool) -> Result<(Tensor, Tensor)> {
    let dtype = self_.dtype();
    let node = if ignore_nan { "NanmedianBackward1" } else { "MedianBackward1" };
    let check = |_: i64, _: usize| check_orderable(dtype, "median_cpu");
    select(self_, dim, keepdim, "median", node, check, |rows| {
        // SAFETY: a dense source and fresh dense outputs.
        sortable!(dtype, T => unsafe {
            sort::median::<T>(
                elements(&rows.source), rows.n, ignore_nan, elements_mut(&rows.values), elements_mut(&rows.indices),
            )
        })
    })
}

/// `torch.median` along a dimension: the lower one of two.
pub fn median_dim(self_: &Tensor, dim: i64, keepdim: bool) -> Result<(Tensor, Tensor)> {
    median_along(self_, dim, keepdim, false)
}

/// `torch.nanmedian` along a dimension: the median of the elements that are not NaN.
pub fn nanmedian_dim(self_: &Tensor, dim: i64, keepdim: bool) -> Result<(Tensor, Tensor)> {
    median_along(self_, dim, keepdim, true)
}

fn median_all(self_: &Tensor, ignore_nan: bool) -> Result<Tensor> {
    let a = self_.array();
    check_orderable(a.dtype, "median_cpu")?;
    if a.numel() == 0 {
        // The median of nothing is NaN, of integers what a conversion of NaN gives.
        let value = match a.dtype {
            DType::Int64 => i64::MIN.into(),
            DType::Int32 => i32::MIN.into(),
            dtype if dtype.is_integral() => 0i64.into(),
            _ => f64::NAN.into(),
        };
        let out = Tensor::empty_raw(&[], a.dtype, a.device())?;
        crate::ops::creation::fill_data(&out, value)?;
        return Ok(out);
    }
    let flat = shape::reshape(&self_.alias(), &[-1])?;
    let (out, index) = median_along(&flat, 0, false, ignore_nan)?;
    let sizes: Dims = a.sizes.clone();
    let node = if ignore_nan { "NanmedianBackward0" } else { "MedianBackward0" };
    crate::autograd::record(&[&out], node, &[self_], &[crate::autograd::Save::Input(&index)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec::smallvec![None]) };
        let n = flambeau_core::count(&sizes);
        let flat = crate::ops::reduce::put_along(
            &shape::view(grad, &[1])?,
            0,
            &shape::view(&ctx.saved(0)?, &[1])?,
            n,
        )?;
        Ok(smallvec::smallvec![Some(shape::view(&flat, &sizes)?)])
    })?;
    Ok(out)
}

/// `torch.median` of all elements; its gradient goes to one of them.
pub fn median(self_: &Tensor) -> Result<Tensor> {
    median_all(self_, false)
}

/// `torch.nanmedian` of all elements.
pub fn nanmedian(self_: &Tensor) -> Result<Tensor> {
    median_all(self_, true)
}
