//! Rows of a table by index.

use crate::Tensor;
use crate::autograd::{Save, record};
use crate::ops::support::copy_data;
use crate::ops::{index, shape};
use flambeau_core::{DType, Result, bail};
use smallvec::smallvec;

/// `torch.embedding`: rows `weight[indices]`; the row `padding_idx` receives no gradient.
pub fn embedding(
    weight: &Tensor,
    indices: &Tensor,
    padding_idx: i64,
    scale_grad_by_freq: bool,
    sparse: bool,
) -> Result<Tensor> {
    let _ = sparse;
    if weight.dim() != 2 {
        bail!("'weight' must be 2-D");
    }
    if !matches!(indices.dtype(), DType::Int64 | DType::Int32) {
        bail!(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got torch.{}Tensor instead (while checking arguments for embedding)",
            indices.dtype().cpp_name()
        );
    }
    let rows = weight.sizes()[0];
    let list = if indices.is_meta() { Vec::new() } else { indices.to_vec::<i64>()? };
    if list.iter().any(|&i| i < 0 || i >= rows) {
        bail!(Index, "index out of range in self");
    }
    let mut sizes = indices.sizes();
    sizes.push(weight.sizes()[1]);
    let flat = shape::reshape(&indices.alias(), &[-1])?;
    let out = {
        let _guard = crate::autograd::GradMode::no_grad();
        shape::reshape(&index::index_select(weight, 0, &flat)?, &sizes)?
    };
    let out = Tensor::from_array(out.array());
    let table = weight.sizes();
    record(&[&out], "EmbeddingBackward0", &[weight], &[Save::Input(&flat)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        let (dtype, device) = grad.with_array(|a| (a.dtype, a.device()));
        let flat = ctx.saved(0)?;
        let mut rows = shape::reshape(grad, &[-1, table[1]])?;
        let list = flat.to_vec::<i64>()?;
        if scale_grad_by_freq || list.contains(&padding_idx) {
            let mut counts = std::collections::HashMap::new();
            for i in &list {
                *counts.entry(*i).or_insert(0i64) += 1;
            }
            let factor: Vec<f64> = list
                .iter()
                .map(|i| match *i {
                    i if i == padding_idx => 0.0,
                    i if scale_grad_by_freq => 1.0 / counts[&i] as f64,
                    _ => 1.0,
                })
                .collect();
            let factor = shape::to_dtype(&Tensor::from_slice(&factor, &[factor.len() as i64, 1])?, dtype)?;
            rows = crate::generated::functions::mul(&rows, &factor)?;
        }
        let zeros = Tensor::zeros_raw(&table, dtype, device)?;
        Ok(smallvec![Some(index::index_add(&zeros, 0, &flat, &rows, 1i64.into())?)])
    })?;
    Ok(out)
}

/// Scales rows that `indices` names down to norm `max_norm` where theirs is larger, in place.
pub fn embedding_renorm_(self_: &Tensor, indices: &Tensor, max_norm: f64, norm_type: f64) -> Result<Tensor> {
    if self_.dim() != 2 {
        bail!("'self' must be 2-D");
    }
    crate::autograd::check_inplace(self_, false)?;
    let (rows, width) = (self_.sizes()[0], self_.sizes()[1] as usize);
    let mut list = indices.to_vec::<i64>()?;
    if list.iter().any(|&i| i < 0 || i >= rows) {
        bail!(Index, "index out of range in self");
    }
    list.sort_unstable();
    list.dedup();
    let mut values = self_.to_vec::<f64>()?;
    for i in list {
        let row = &mut values[i as usize * width..(i as usize + 1) * width];
        let norm = if norm_type.is_infinite() {
            row.iter().fold(0f64, |m, v| m.max(v.abs()))
        } else {
            row.iter().map(|v| v.abs().powf(norm_type)).sum::<f64>().powf(1.0 / norm_type)
        };
        if norm > max_norm {
            let scale = max_norm / (norm + 1e-7);
            row.iter_mut().for_each(|v| *v *= scale);
        }
    }
    copy_data(self_, &shape::to_dtype(&Tensor::from_slice(&values, &self_.sizes())?, self_.dtype())?)?;
    self_.bump_version();
    Ok(self_.clone())
}
