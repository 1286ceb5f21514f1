//! Selecting and scattering by index tensors.

use crate::Tensor;
use crate::autograd::{Save, record};
use crate::ops::shape;
use flambeau_core::{DType, Result, Scalar, bail, dispatch, wrap_dim};
use smallvec::smallvec;

/// The values of a 1-D (or zero-dim) index tensor, checked against a dimension's size.
fn indices(index: &Tensor, size: i64, op: &str) -> Result<Vec<i64>> {
    if index.dim() > 1 {
        bail!(Index, "{op}(): Index is supposed to be a vector");
    }
    if !matches!(index.dtype(), DType::Int64 | DType::Int32) {
        bail!("{op}(): Expected dtype int32/int64 for index");
    }
    let list = index.to_vec::<i64>()?;
    if let Some(&bad) = list.iter().find(|&&i| i < 0 || i >= size) {
        let _ = bad;
        bail!(Index, "index out of range in self");
    }
    Ok(list)
}

/// `torch.index_select`
pub fn index_select(self_: &Tensor, dim: i64, index: &Tensor) -> Result<Tensor> {
    let a = self_.array();
    let d = wrap_dim(dim, a.dim())?;
    let size = a.sizes.get(d).copied().unwrap_or(1);
    let list = indices(index, size, "index_select")?;
    let mut sizes = a.sizes.clone();
    if a.dim() > 0 {
        sizes[d] = list.len() as i64;
    }
    let out = Tensor::empty_raw(&sizes, a.dtype, a.device())?;
    if !a.device().is_meta() && out.numel() > 0 {
        let source = shape::dense(self_)?.array();
        let inner: usize = a.sizes.iter().skip(d + 1).product::<i64>() as usize;
        let outer: usize = a.sizes.iter().take(d).product::<i64>() as usize;
        let bytes = inner * a.dtype.size();
        let target = out.array();
        for o in 0..outer {
            for (j, &i) in list.iter().enumerate() {
                // SAFETY: indices were checked; both are dense arrays of these sizes.
                unsafe {
                    std::ptr::copy_nonoverlapping(
                        source.data_ptr().add((o * size as usize + i as usize) * bytes),
                        target.data_ptr().add((o * list.len() + j) * bytes),
                        bytes,
                    )
                };
            }
        }
    }
    let from = a.sizes.clone();
    record(&[&out], "IndexSelectBackward0", &[self_], &[Save::Input(index)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        let (dtype, device) = grad.with_array(|a| (a.dtype, a.device()));
        let zeros = Tensor::zeros_raw(&from, dtype, device)?;
        Ok(smallvec![Some(index_add(&zeros, dim, &ctx.saved(0)?, grad, 1i64.into())?)])
    })?;
    Ok(out)
}

/// `torch.index_add`
pub fn index_add(self_: &Tensor, dim: i64, index: &Tensor, source: &Tensor, alpha: Scalar) -> Result<Tensor> {
    let a = self_.array();
    let s = source.array();
    let d = wrap_dim(dim, a.dim())?;
    if a.dtype != s.dtype {
        bail!(
            "index_add_(): self ({}) and source ({}) must have the same scalar type",
            a.dtype.cpp_name(),
            s.dtype.cpp_name()
        );
    }
    let size = a.sizes.get(d).copied().unwrap_or(1);
    let list = indices(index, size, "index_add")?;
    let mut expected = a.sizes.clone();
    if a.dim() > 0 {
        expected[d] = list.len() as i64;
    }
    if s.numel() != expected.iter().product::<i64>() as usize {
        bail!(
            "index_add_(): Number of indices ({}) should be equal to source.size(dim): ({}), for dim: {dim}",
            list.len(),
            s.sizes.get(d).copied().unwrap_or(1)
        );
    }
    let out = shape::clone_dense(&self_.alias())?;
    if !a.device().is_meta() && s.numel() > 0 {
        let from = shape::dense(source)?.array();
        let to = out.array();
        let inner: usize = a.sizes.iter().skip(d + 1).product::<i64>() as usize;
        let outer: usize = a.sizes.iter().take(d).product::<i64>() as usize;
        dispatch!(compute a.dtype, C => dispatch!(storage a.dtype, S => {
            use flambeau_cpu::pointwise::{Compute, Convert, Operation, Prim};
            let factor = <C as flambeau_core::Number>::from_scalar(alpha);
            let kernel = |p| match <C as Compute>::kernel(Operation::Prim(p)) {
                Some(flambeau_cpu::pointwise::Kernel::Binary(f)) => f,
                _ => unreachable!("every compute type adds and multiplies"),
            };
            let (mul, add) = (kernel(Prim::Mul), kernel(Prim::Add));
            let plain = alpha.is(1);
            for o in 0..outer {
                for (j, &i) in list.iter().enumerate() {
                    for k in 0..inner {
                        // SAFETY: indices were checked; both are dense arrays of these sizes.
                        unsafe {
                            let x = from.data_ptr().cast::<S>().add((o * list.len() + j) * inner + k);
                            let y = to.data_ptr().cast::<S>().add((o * size as usize + i as usize) * inner + k);
                            let mut v = [<C as Convert<S>>::from_storage(x.read())];
                            if !plain {
                                let w = v;
                                mul(&w, &[factor], &mut v);
                            }
                            let mut sum = v;
                            add(&[<C as Convert<S>>::from_storage(y.read())], &v, &mut sum);
                            y.write(<C as Convert<S>>::into_storage(sum[0]));
                        }
                    }
                }
            }
        }));
    }
    let source_sizes = s.sizes.clone();
    record(&[&out], "IndexAddBackward0", &[self_, source], &[Save::Input(index)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None, None]) };
        let second = if ctx.needs(1) {
            let g = index_select(grad, dim, &ctx.saved(0)?)?;
            let g = shape::reshape(&g, &source_sizes)?;
            Some(if alpha.is(1) { g } else { crate::ops::scale(&g, alpha)? })
        } else {
            None
        };
        Ok(smallvec![Some(grad.clone()), second])
    })?;
    Ok(out)
}
