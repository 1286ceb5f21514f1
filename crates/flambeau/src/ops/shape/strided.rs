//! Windows by stride: `as_strided` and its gradient.

use crate::Tensor;
use crate::autograd::view_of;
use crate::ops::shape::{expand, reshape};
use flambeau_core::{Array, DType, Dims, Result, bail, numel, required_bytes, show};
use smallvec::SmallVec;

/// `torch.as_strided`
pub fn as_strided(
    self_: &Tensor,
    size: &[i64],
    stride: &[i64],
    storage_offset: Option<i64>,
) -> Result<Tensor> {
    let a = self_.array();
    let offset = storage_offset.unwrap_or(a.offset);
    if size.len() != stride.len() {
        bail!("mismatch in length of strides and shape");
    }
    if stride.iter().any(|&s| s < 0) {
        bail!("as_strided: Negative strides are not supported at the moment, got strides: {}", show(stride));
    }
    if offset < 0 {
        bail!("Tensor: invalid storage offset {offset}");
    }
    if size.iter().any(|&s| s < 0) {
        bail!("Storage size calculation overflowed with sizes={} and strides={}", show(size), show(stride));
    }
    numel(size)?;
    let need = required_bytes(size, stride, offset, a.dtype.size())?;
    if need > a.storage.nbytes() {
        bail!(
            "setStorage: sizes {}, strides {}, storage offset {offset}, and itemsize {} requiring a storage size of {need} are out of bounds for storage of size {}",
            show(size),
            show(stride),
            a.dtype.size(),
            a.storage.nbytes()
        );
    }
    let base = (a.sizes.clone(), a.strides.clone(), a.offset);
    let view = (Dims::from_slice(size), Dims::from_slice(stride), offset);
    view_of(self_, "AsStridedBackward0", view.0.clone(), view.1.clone(), offset, move |_, grad| {
        as_strided_backward(grad, (&base.0, &base.1, base.2), (&view.0, &view.1, view.2))
    })
}

/// The gradient of `as_strided`: what each element of the input receives from all places of the view that
/// show it. Both geometries are `(sizes, strides, offset)` over one storage. Elements that the input itself
/// shows more than once share the gradient, as if each were its own.
pub fn as_strided_backward(
    grad: &Tensor,
    input: (&[i64], &[i64], i64),
    view: (&[i64], &[i64], i64),
) -> Result<Tensor> {
    let reach = |g: (&[i64], &[i64], i64)| -> i64 {
        if g.0.contains(&0) {
            g.2
        } else {
            g.2 + g.0.iter().zip(g.1).map(|(&n, &s)| (n - 1) * s).sum::<i64>() + 1
        }
    };
    let first = input.2.min(view.2);
    let length = (reach(input).max(reach(view)) - first).max(0);
    let (dtype, device) = (grad.dtype(), grad.device());
    let flat = Tensor::zeros_raw(&[length], dtype, device)?;
    let grad_sizes = grad.sizes();
    let index = |sizes: &[i64], strides: &[i64], offset: i64| -> Result<Tensor> {
        let positions = Tensor::zeros_raw(sizes, DType::Int64, flambeau_core::Device::CPU)?;
        let n = positions.numel();
        let mut at: Dims = SmallVec::from_elem(0, sizes.len());
        let mut list = Vec::with_capacity(n);
        for _ in 0..n {
            list.push(offset + at.iter().zip(strides).map(|(&i, &s)| i * s).sum::<i64>());
            for d in (0..sizes.len()).rev() {
                at[d] += 1;
                if at[d] < sizes[d] {
                    break;
                }
                at[d] = 0;
            }
        }
        Tensor::from_slice(&list, &[n as i64])
    };
    let positions = index(&grad_sizes, view.1, view.2 - first)?;
    let values = reshape(grad, &[-1])?;
    let mut flat = crate::ops::index::index_add(&flat, 0, &positions, &values, 1i64.into())?;
    let overlaps = Array {
        storage: grad.storage(),
        dtype,
        sizes: Dims::from_slice(input.0),
        strides: Dims::from_slice(input.1),
        offset: 0,
    }
    .may_overlap_itself();
    let back = index(input.0, input.1, input.2 - first)?;
    if overlaps {
        let counts = Tensor::zeros_raw(&[length], dtype, device)?;
        let ones = crate::ops::creation::scalar_tensor(1i64.into(), dtype)?;
        let ones = expand(&ones, &[back.numel() as i64])?;
        let counts = crate::ops::index::index_add(&counts, 0, &back, &ones, 1i64.into())?;
        flat = crate::generated::functions::div(&flat, &counts)?;
    }
    reshape(&crate::ops::index::index_select(&flat, 0, &back)?, input.0)
}
