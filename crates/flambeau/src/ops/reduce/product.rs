//! Products.

use super::{Geometry, conj, has_zero, sums::sum_dtype};
use crate::Tensor;
use crate::autograd::{Save, grad_enabled, record};
use crate::generated::functions as f;
use crate::ops::{cumulative, shape};
use flambeau_core::{DType, Result};
use smallvec::smallvec;

/// `torch.prod` over all elements.
pub fn prod(self_: &Tensor, dtype: Option<DType>) -> Result<Tensor> {
    product("ProdBackward0", self_, None, false, dtype)
}

/// `torch.prod` over one dimension.
pub fn prod_dim_int(self_: &Tensor, dim: i64, keepdim: bool, dtype: Option<DType>) -> Result<Tensor> {
    product("ProdBackward1", self_, Some(dim), keepdim, dtype)
}

fn product(
    name: &'static str,
    self_: &Tensor,
    dim: Option<i64>,
    keepdim: bool,
    dtype: Option<DType>,
) -> Result<Tensor> {
    if dtype == Some(DType::Bool) && self_.dtype() != DType::Bool {
        return product(name, &shape::to_dtype(self_, DType::Bool)?, dim, keepdim, dtype);
    }
    let input = self_.array();
    let g = Geometry::new(&input.sizes, dim.as_ref().map(std::slice::from_ref), keepdim)?;
    // SAFETY: operands of the geometry's sizes.
    let out = g.compute(&input, sum_dtype(input.dtype, dtype), |src, to| unsafe {
        flambeau_cpu::reduce::prod(src, to, &g.sizes, &g.mask);
        Ok(())
    })?;
    record(&[&out], name, &[self_], &[Save::Input(self_), Save::Output(0)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        let (x, result) = (ctx.saved(0)?, ctx.saved(1)?);
        let x = shape::to_dtype(&x, result.dtype())?;
        let grad = g.unreduce(grad)?;
        let has_zero = !x.is_meta() && has_zero(&x)?;
        if !has_zero {
            let over = f::div(&f::mul(&grad, &conj(&g.unreduce(&result)?)?)?, &conj(&x)?)?;
            return Ok(smallvec![Some(over)]);
        }
        // The product of all the others, which a zero doesn't make impossible: of those before and those after.
        let line = if dim.is_none() { shape::reshape(&x, &[-1])? } else { x.clone() };
        let d = dim.unwrap_or(0);
        let others = if grad_enabled() {
            cumulative::others_product(&line, d)?
        } else {
            let _guard = crate::autograd::GradMode::no_grad();
            cumulative::others_product(&line, d)?
        };
        let others = shape::reshape(&others, &g.sizes)?;
        Ok(smallvec![Some(f::mul(&grad, &conj(&others)?)?)])
    })?;
    Ok(out)
}
