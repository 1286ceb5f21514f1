//! Largest and smallest elements.

use super::{Geometry, check_nonempty, check_ordered, lines::put_along};
use crate::Tensor;
use crate::autograd::{Grads, Save, record};
use crate::generated::functions as f;
use crate::ops::{operand, shape};
use flambeau_core::{DType, Result, bail, wrap_dim};
use flambeau_cpu::reduce::{extreme_with_index, minmax};
use smallvec::smallvec;

/// Where elements equal the result, as a mask that shares gradients among ties.
fn ties(x: &Tensor, result: &Tensor, with_nan: bool) -> Result<Tensor> {
    let equal = f::eq(&x.alias(), &result.alias())?;
    if !with_nan {
        return Ok(equal);
    }
    let nan = f::logical_and(&f::isnan(&x.alias())?, &f::isnan(&result.alias())?)?;
    f::logical_or(&equal, &nan)
}

/// The gradient divided evenly among the places of the result.
fn share(grad: &Tensor, x: &Tensor, result: &Tensor, g: &Geometry, with_nan: bool) -> Result<Tensor> {
    let mask = ties(x, &g.unreduce(result)?, with_nan)?;
    let count = super::sum_dim(&mask, Some(&g.dims()), true, None)?;
    f::mul(&f::div(&g.unreduce(grad)?, &count)?, &mask)
}

fn extremum(
    name: &'static str,
    self_: &Tensor,
    g: Geometry,
    largest: bool,
    with_nan: bool,
) -> Result<Tensor> {
    let input = self_.array();
    let out = g.compute(&input, input.dtype, |src, to| {
        let (min, max) = if largest { (None, Some(to)) } else { (Some(to), None) };
        // SAFETY: operands of the geometry's sizes.
        unsafe { minmax(src, min, max, &g.sizes, &g.mask) }
    })?;
    record(&[&out], name, &[self_], &[Save::Input(self_), Save::Output(0)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        Ok(smallvec![Some(share(grad, &ctx.saved(0)?, &ctx.saved(1)?, &g, with_nan)?)])
    })?;
    Ok(out)
}

fn check_all(name: &str, self_: &Tensor) -> Result<()> {
    if self_.numel() == 0 {
        bail!(
            "{name}(): Expected reduction dim to be specified for input.numel() == 0. Specify the reduction dim with the 'dim' argument."
        );
    }
    Ok(())
}

fn extremum_dims(self_: &Tensor, dim: &[i64], keepdim: bool, largest: bool) -> Result<Tensor> {
    let name = if largest { "amax" } else { "amin" };
    let g = Geometry::new(&self_.sizes(), Some(dim), keepdim)?;
    if dim.is_empty() {
        check_all(name, self_)?;
    }
    check_nonempty(&g, name, "():")?;
    check_ordered(self_.dtype(), if largest { "max_values_cpu" } else { "min_values_cpu" })?;
    extremum(if largest { "AmaxBackward0" } else { "AminBackward0" }, self_, g, largest, false)
}

/// `torch.amax`
pub fn amax(self_: &Tensor, dim: &[i64], keepdim: bool) -> Result<Tensor> {
    extremum_dims(self_, dim, keepdim, true)
}

/// `torch.amin`
pub fn amin(self_: &Tensor, dim: &[i64], keepdim: bool) -> Result<Tensor> {
    extremum_dims(self_, dim, keepdim, false)
}

/// `torch.max` of all elements.
pub fn max(self_: &Tensor) -> Result<Tensor> {
    check_all("max", self_)?;
    check_ordered(self_.dtype(), "max_all")?;
    extremum("MaxBackward1", self_, Geometry::new(&self_.sizes(), None, false)?, true, true)
}

/// `torch.min` of all elements.
pub fn min(self_: &Tensor) -> Result<Tensor> {
    check_all("min", self_)?;
    check_ordered(self_.dtype(), "min_all")?;
    extremum("MinBackward1", self_, Geometry::new(&self_.sizes(), None, false)?, false, true)
}

/// `torch.aminmax`
pub fn aminmax(self_: &Tensor, dim: Option<i64>, keepdim: bool) -> Result<(Tensor, Tensor)> {
    let input = self_.array();
    if input.dtype.is_complex() {
        bail!(Type, "aminmax not implemented for {}", input.dtype.cpp_name());
    }
    let g = Geometry::new(&input.sizes, dim.as_ref().map(std::slice::from_ref), keepdim)?;
    if dim.is_none() && input.numel() == 0 {
        bail!("aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity.");
    }
    check_nonempty(&g, "aminmax", ":")?;
    check_ordered(input.dtype, "aminmax_cpu")?;
    let ((min, to_min), (max, to_max)) = (g.output(input.dtype, &input)?, g.output(input.dtype, &input)?);
    if !input.device().is_meta() {
        // SAFETY: operands of the geometry's sizes.
        unsafe { minmax(&operand(&input), Some(&to_min), Some(&to_max), &g.sizes, &g.mask)? };
    }
    record(
        &[&min, &max],
        "AminmaxBackward0",
        &[self_],
        &[Save::Input(self_), Save::Output(0), Save::Output(1)],
        move |ctx| {
            let x = ctx.saved(0)?;
            let mut total: Option<Tensor> = None;
            for i in 0..2 {
                if let Some(grad) = ctx.grad(i) {
                    let part = share(grad, &x, &ctx.saved(1 + i)?, &g, false)?;
                    total = Some(match total {
                        Some(t) => f::add(&t, &part, 1i64.into())?,
                        None => part,
                    });
                }
            }
            Ok(smallvec![total])
        },
    )?;
    Ok((min, max))
}

/// Values and positions of the extremes along a dimension.
fn along(self_: &Tensor, dim: i64, keepdim: bool, largest: bool) -> Result<(Tensor, Tensor)> {
    let (op, name, kernel) = match largest {
        true => ("max", "MaxBackward0", "max_cpu"),
        false => ("min", "MinBackward0", "min_cpu"),
    };
    let input = self_.array();
    let d = wrap_dim(dim, input.dim())?;
    let g = Geometry::new(&input.sizes, Some(&[dim]), keepdim)?;
    if input.dtype.is_complex() {
        bail!(Type, "{op}(): does not support complex input");
    }
    check_nonempty(&g, op, "():")?;
    check_ordered(input.dtype, kernel)?;
    let (values, to_values) = g.output(input.dtype, &input)?;
    let (indices, to_indices) = g.output(DType::Int64, &input)?;
    if !input.device().is_meta() {
        // SAFETY: operands of the geometry's sizes; the reduced dimension has elements.
        unsafe {
            extreme_with_index(&operand(&input), Some(&to_values), &to_indices, &g.sizes, d, largest)?;
        }
    }
    record_selection(name, self_, &values, &indices, dim, keepdim)?;
    Ok((values, indices))
}

/// Records values that were selected along a dimension: each hands its gradient to the element that it was.
pub(crate) fn record_selection(
    name: &'static str,
    self_: &Tensor,
    values: &Tensor,
    indices: &Tensor,
    dim: i64,
    keepdim: bool,
) -> Result<()> {
    let sizes = self_.sizes();
    record(&[values], name, &[self_], &[Save::Input(indices)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        let indices = ctx.saved(0)?;
        let d = wrap_dim(dim, sizes.len())?;
        let (grad, indices) = if keepdim || sizes.is_empty() {
            (grad.clone(), indices)
        } else {
            (unsqueeze(grad, d)?, unsqueeze(&indices, d)?)
        };
        let out: Grads =
            smallvec![Some(put_along(&grad, dim, &indices, sizes.get(d).copied().unwrap_or(1))?)];
        Ok(out)
    })
}

fn unsqueeze(t: &Tensor, d: usize) -> Result<Tensor> {
    let mut sizes = t.sizes();
    sizes.insert(d, 1);
    shape::view(t, &sizes)
}

/// `torch.max` along a dimension.
pub fn max_dim(self_: &Tensor, dim: i64, keepdim: bool) -> Result<(Tensor, Tensor)> {
    along(self_, dim, keepdim, true)
}

/// `torch.min` along a dimension.
pub fn min_dim(self_: &Tensor, dim: i64, keepdim: bool) -> Result<(Tensor, Tensor)> {
    along(self_, dim, keepdim, false)
}

fn position(self_: &Tensor, dim: Option<i64>, keepdim: bool, largest: bool) -> Result<Tensor> {
    let op = if largest { "argmax" } else { "argmin" };
    let input = self_.array();
    let g = Geometry::new(&input.sizes, dim.as_ref().map(std::slice::from_ref), keepdim)?;
    match dim {
        Some(_) => check_nonempty(&g, op, "():")?,
        None if input.numel() == 0 => {
            bail!(Index, "{op}(): Expected reduction dim to be specified for input.numel() == 0.")
        }
        None => {}
    }
    if input.dtype.is_complex() {
        bail!(Type, "{op}(): does not support complex input");
    }
    if input.dtype == DType::Bool {
        bail!(NotImplemented, "{op}(): does not support bool input");
    }
    check_ordered(input.dtype, if largest { "argmax_cpu" } else { "argmin_cpu" })?;
    let (out, mut to) = g.output(DType::Int64, &input)?;
    if !input.device().is_meta() {
        let (array, d) = match dim {
            Some(dim) => (input, wrap_dim(dim, g.sizes.len())?),
            None => {
                to.strides = smallvec![1];
                (shape::reshape(&self_.alias(), &[-1])?.array(), 0)
            }
        };
        // SAFETY: operands of these sizes; the reduced dimension has elements.
        unsafe { extreme_with_index(&operand(&array), None, &to, &array.sizes, d, largest)? };
    }
    Ok(out)
}

/// `torch.argmax`: the first position of the largest element, counted over all elements without `dim`.
pub fn argmax(self_: &Tensor, dim: Option<i64>, keepdim: bool) -> Result<Tensor> {
    position(self_, dim, keepdim, true)
}

/// `torch.argmin`
pub fn argmin(self_: &Tensor, dim: Option<i64>, keepdim: bool) -> Result<Tensor> {
    position(self_, dim, keepdim, false)
}
