//! Distinct elements, and membership.

use crate::Tensor;
use crate::ops::index::index_select;
use crate::ops::reduce::unsupported_gradient;
use crate::ops::shape;
use crate::ops::sort::{elements, elements_mut, sortable};
use crate::schema::Ret;
use flambeau_core::{DType, Result, Scalar, bail, bf16, f16, wrap_dim};
use flambeau_cpu::sort::{self, SortElement};
use smallvec::SmallVec;

/// Values, inverse and counts as the flags ask: the values alone, or a tuple.
fn results(values: Tensor, inverse: Option<Tensor>, counts: Option<Tensor>) -> Ret {
    if inverse.is_none() && counts.is_none() {
        return Ret::Tensor(values);
    }
    let list: SmallVec<[Tensor; 4]> = std::iter::once(values).chain(inverse).chain(counts).collect();
    Ret::Tuple(list)
}

fn check_dtype(dtype: DType) -> Result<()> {
    if dtype.is_complex() {
        bail!(NotImplemented, "\"unique\" not implemented for '{}'", dtype.cpp_name());
    }
    Ok(())
}

/// Distinct elements of all, sorted or in runs.
fn of_all(self_: &Tensor, consecutive: bool) -> Result<[Tensor; 3]> {
    let a = self_.array();
    check_dtype(a.dtype)?;
    if a.device().is_meta() {
        bail!(NotImplemented, "unique: the result's size depends on data, which meta tensors have not");
    }
    let dense = shape::dense(&self_.alias())?;
    sortable!(a.dtype, T => {
        // SAFETY: a dense tensor that nobody writes to meanwhile.
        let input: &[T] = unsafe { elements(&dense) };
        let found = if consecutive { sort::unique_consecutive(input) } else { sort::unique(input) };
        let n = found.values.len() as i64;
        let values = Tensor::empty_raw(&[n], a.dtype, a.device())?;
        // SAFETY: a fresh dense tensor of n elements.
        unsafe { elements_mut::<T>(&values) }.copy_from_slice(&found.values);
        Ok([values, Tensor::from_slice(&found.inverse, &a.sizes)?, Tensor::from_slice(&found.counts, &[n])?])
    })
}

/// Distinct slices along a dimension.
fn of_slices(self_: &Tensor, dim: i64, consecutive: bool) -> Result<[Tensor; 3]> {
    let a = self_.array();
    if a.dim() == 0 {
        bail!(Index, "Dimension specified as {dim} but tensor has no dimensions");
    }
    let d = wrap_dim(dim, a.dim())?;
    check_dtype(a.dtype)?;
    if a.device().is_meta() {
        bail!(NotImplemented, "unique: the result's size depends on data, which meta tensors have not");
    }
    let n = a.sizes[d] as usize;
    if a.sizes.iter().enumerate().any(|(i, &s)| s == 0 && i != d) {
        bail!("There are 0 sized dimensions, and they aren't selected, so unique cannot be applied");
    }
    // One row for each slice: the dimension first, which is the dimension last of the transposed rest.
    let mut order: Vec<i64> = (0..a.dim() as i64).collect();
    order.insert(0, d as i64);
    order.remove(d + 1);
    let rows = shape::clone_dense(&shape::permute(&self_.alias(), &order)?)?;
    let width = rows.numel().checked_div(n).unwrap_or(0);
    let found = sortable!(a.dtype, T => {
        // SAFETY: a dense tensor that nobody writes to meanwhile.
        let input: &[T] = unsafe { elements(&rows) };
        if consecutive {
            sort::unique_consecutive_rows(input, n, width)?
        } else {
            sort::unique_rows(input, n, width)?
        }
    });
    let first: Vec<i64> = found.first.iter().map(|&i| i as i64).collect();
    let count = first.len() as i64;
    let values = index_select(&self_.alias(), d as i64, &Tensor::from_slice(&first, &[count])?)?;
    Ok([
        values,
        Tensor::from_slice(&found.inverse, &[n as i64])?,
        Tensor::from_slice(&found.counts, &[count])?,
    ])
}

/// `torch.unique`
pub fn unique(
    input: &Tensor,
    _sorted: bool,
    return_inverse: bool,
    return_counts: bool,
    dim: Option<i64>,
) -> Result<Ret> {
    let (node, [values, inverse, counts]) = match dim {
        None => ("Unique2Backward0", of_all(input, false)?),
        Some(dim) => ("UniqueDimBackward0", of_slices(input, dim, false)?),
    };
    let what = if dim.is_some() { "unique_dim" } else { "_unique2" };
    unsupported_gradient(&[&values], node, &[input], what)?;
    Ok(results(values, return_inverse.then_some(inverse), return_counts.then_some(counts)))
}

/// `torch.unique_consecutive`
pub fn unique_consecutive(
    input: &Tensor,
    return_inverse: bool,
    return_counts: bool,
    dim: Option<i64>,
) -> Result<Ret> {
    let [values, inverse, counts] = match dim {
        None => of_all(input, true)?,
        Some(dim) => of_slices(input, dim, true)?,
    };
    unsupported_gradient(&[&values], "UniqueConsecutiveBackward0", &[input], "unique_consecutive")?;
    Ok(results(values, return_inverse.then_some(inverse), return_counts.then_some(counts)))
}

fn membership(elements_: &Tensor, test: &Tensor, invert: bool) -> Result<Tensor> {
    for t in [elements_, test] {
        let dtype = t.dtype();
        if dtype == DType::Bool || dtype.is_complex() {
            bail!(NotImplemented, "Unsupported input type encountered for isin(): {}", dtype.cpp_name());
        }
    }
    let device = crate::ops::common_device(&[elements_, test])?;
    let dtype = crate::pointwise::result_type(&[elements_, test]);
    if matches!(dtype, DType::UInt16 | DType::UInt32 | DType::UInt64) {
        bail!(NotImplemented, "\"isin_default_cpu\" not implemented for '{}'", dtype.cpp_name());
    }
    let out = Tensor::empty_raw(&elements_.sizes(), DType::Bool, device)?;
    if device.is_meta() {
        return Ok(out);
    }
    let convert = |t: &Tensor| shape::dense(&shape::to_dtype(&t.alias(), dtype)?);
    let (elements_, test) = (convert(elements_)?, convert(test)?);
    sortable!(dtype, T => {
        // SAFETY: dense tensors that nobody writes to meanwhile, and a fresh output.
        let (input, test, out) =
            unsafe { (elements::<T>(&elements_), elements::<T>(&test), elements_mut::<u8>(&out)) };
        // NaN equals nothing.
        let mut keys: Vec<u64> = test.iter().filter(|x| !SortElement::is_nan(**x)).map(|x| x.key()).collect();
        keys.sort_unstable();
        keys.dedup();
        for (found, x) in out.iter_mut().zip(input) {
            let member = !SortElement::is_nan(*x) && keys.binary_search(&x.key()).is_ok();
            *found = (member != invert) as u8;
        }
    });
    Ok(out)
}

/// `torch.isin`
pub fn isin(elements: &Tensor, test_elements: &Tensor, _assume_unique: bool, invert: bool) -> Result<Tensor> {
    membership(elements, test_elements, invert)
}

/// A number as an operand that promotes as numbers do.
fn number(value: Scalar) -> Result<Tensor> {
    let dtype = value.dtype(crate::default_dtype());
    Ok(crate::ops::creation::scalar_tensor(value, dtype)?.wrap_number())
}

/// `torch.isin` with a number to look for.
pub fn isin_tensor_scalar(
    elements: &Tensor,
    test_element: Scalar,
    _assume_unique: bool,
    invert: bool,
) -> Result<Tensor> {
    membership(elements, &number(test_element)?, invert)
}

/// `torch.isin` of a number.
pub fn isin_scalar_tensor(
    element: Scalar,
    test_elements: &Tensor,
    _assume_unique: bool,
    invert: bool,
) -> Result<Tensor> {
    membership(&number(element)?, test_elements, invert)
}
