//! Elements where a mask is true: `masked_select`, `masked_scatter`, `nonzero`, `where`.

use crate::Tensor;
use crate::autograd::{Save, record};
use crate::ops::shape;
use crate::ops::support::{sum_to_size, zeros_like_grad};
use flambeau_core::{Array, DType, Device, Init, Result, Scalar, bail, broadcast_shapes};
use smallvec::smallvec;

/// The truth values of a tensor's elements in row-major order.
pub(super) fn truth(t: &Tensor) -> Result<Array> {
    if t.is_meta() {
        bail!(NotImplemented, "aten::nonzero: attempted to look at the data of a meta tensor");
    }
    let mask = shape::to_dtype(&Tensor::from_array(t.array()), DType::Bool)?;
    Ok(shape::dense(&mask)?.array())
}

/// The bytes of a dense array of bools.
pub(super) fn bytes(mask: &Array) -> &[u8] {
    match mask.numel() {
        0 => &[],
        // SAFETY: a row-major array of n bytes, alive as long as the borrow.
        n => unsafe { std::slice::from_raw_parts(mask.data_ptr(), n) },
    }
}

/// `torch.nonzero`: the coordinates of the elements that are not zero, one row each.
pub fn nonzero(self_: &Tensor) -> Result<Tensor> {
    let mask = truth(self_)?;
    let rank = mask.dim();
    let count = flambeau_cpu::mask::count_nonzero(bytes(&mask));
    let sizes = [count as i64, rank as i64];
    crate::ops::dense::computed::<i64>(&sizes, DType::Int64, |places| {
        flambeau_cpu::mask::nonzero(bytes(&mask), &mask.sizes, places);
        Ok(())
    })
}

/// `torch.argwhere`
pub fn argwhere(self_: &Tensor) -> Result<Tensor> {
    nonzero(self_)
}

/// `torch.nonzero(…, as_tuple=True)`: one index tensor for each dimension.
pub fn nonzero_numpy(self_: &Tensor) -> Result<Vec<Tensor>> {
    let t = if self_.dim() == 0 { shape::reshape(self_, &[1])? } else { self_.clone() };
    shape::unbind(&nonzero(&t)?, 1)
}

/// `torch.nonzero_static`: the first `size` coordinates, filled up with `fill_value`.
pub fn nonzero_static(self_: &Tensor, size: i64, fill_value: i64) -> Result<Tensor> {
    if size < 0 {
        bail!("nonzero_static: 'size' must be an non-negative integer");
    }
    let found = nonzero(self_)?;
    let rank = self_.dim() as i64;
    let have = found.size(0)?.min(size);
    let out = Tensor::from_array(Array::empty(&[size, rank], DType::Int64, Device::CPU, Init::Zero)?);
    crate::ops::creation::fill_data(&out, Scalar::Int(fill_value))?;
    if have > 0 {
        let (to, from) = (shape::narrow(&out, 0, 0, have)?, shape::narrow(&found, 0, 0, have)?);
        crate::ops::support::copy_data(&to, &from)?;
    }
    Ok(Tensor::from_array(out.array()))
}

/// `torch.where(condition)`: as `nonzero(condition, as_tuple=True)`.
pub fn where_condition(condition: &Tensor) -> Result<Vec<Tensor>> {
    nonzero_numpy(condition)
}

/// A tensor and a mask at their common shape.
fn together(self_: &Tensor, mask: &Tensor) -> Result<(Tensor, Tensor)> {
    let sizes = broadcast_shapes(&self_.sizes(), &mask.sizes())?;
    Ok((shape::expand(self_, &sizes)?, shape::expand(mask, &sizes)?))
}

/// `torch.masked_select`: the elements where the mask is true, in a vector.
pub fn masked_select(self_: &Tensor, mask: &Tensor) -> Result<Tensor> {
    if mask.dtype() != DType::Bool {
        bail!("masked_select: expected BoolTensor for mask");
    }
    let out = {
        let _guard = crate::autograd::GradMode::no_grad();
        let (t, mask) = together(self_, mask)?;
        if t.dim() == 0 {
            let one = shape::reshape(&t, &[1])?;
            super::index(&one, &[Some(shape::reshape(&mask, &[1])?)])?
        } else {
            super::index(&t, &[Some(mask)])?
        }
    };
    let sizes = self_.sizes();
    record(&[&out], "MaskedSelectBackward0", &[self_], &[Save::Input(mask)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        let mask = ctx.saved(0)?;
        let whole = broadcast_shapes(&sizes, &mask.sizes())?;
        let spread = masked_scatter(&zeros_like_grad(grad, &whole)?, &mask, grad)?;
        Ok(smallvec![Some(sum_to_size(&spread, &sizes)?)])
    })?;
    Ok(out)
}

/// `torch.masked_scatter`: the elements of `source` in their order, written where the mask is true.
pub fn masked_scatter(self_: &Tensor, mask: &Tensor, source: &Tensor) -> Result<Tensor> {
    if self_.dtype() != source.dtype() {
        bail!(
            "masked_scatter: expected self and source to have same dtypes but got{} and {}",
            self_.dtype().cpp_name(),
            source.dtype().cpp_name()
        );
    }
    if mask.dtype() != DType::Bool {
        bail!(
            "masked_scatter_ only supports boolean masks, but got mask with dtype {}",
            mask.dtype().cpp_name()
        );
    }
    let (t, m) = together(self_, mask)?;
    let out = shape::clone_dense(&t)?;
    if !t.is_meta() {
        let m = truth(&m)?;
        let needed = flambeau_cpu::mask::count_nonzero(bytes(&m));
        if needed > source.numel() {
            bail!("Number of elements of source < number of ones in mask");
        }
        let (to, from) = (out.array(), shape::dense(source)?.array());
        let item = to.dtype.size();
        for (next, (i, _)) in bytes(&m).iter().enumerate().filter(|(_, b)| **b != 0).enumerate() {
            // SAFETY: both are row-major; i is below numel of the mask's shape, next below that of the source.
            unsafe {
                let element = from.data_ptr().add(next * item);
                std::ptr::copy_nonoverlapping(element, to.data_ptr().add(i * item), item);
            }
        }
    }
    let (sizes, source_sizes) = (self_.sizes(), source.sizes());
    record(&[&out], "MaskedScatterBackward0", &[self_, source], &[Save::Input(mask)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None, None]) };
        let mask = ctx.saved(0)?;
        let first = if ctx.needs(0) {
            let kept = crate::generated::functions::masked_fill_scalar(grad, &mask, Scalar::Int(0))?;
            Some(sum_to_size(&kept, &sizes)?)
        } else {
            None
        };
        let second = if ctx.needs(1) {
            let part = masked_select(grad, &mask)?;
            let total = flambeau_core::count(&source_sizes);
            let rest = zeros_like_grad(grad, &[total - part.numel() as i64])?;
            Some(shape::reshape(&crate::ops::join::cat(&[part, rest], 0)?, &source_sizes)?)
        } else {
            None
        };
        Ok(smallvec![first, second])
    })?;
    Ok(out)
}
