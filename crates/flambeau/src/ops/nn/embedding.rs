//! Rows of a table by index.

use crate::Tensor;
use crate::autograd::{GradMode, Save, check_inplace, needs_grad, record};
use crate::generated::functions as f;
use crate::ops::dense::Dense;
use crate::ops::support::copy_data;
use crate::ops::{index, reduce, shape};
use flambeau_core::{DType, Result, bail};
use smallvec::smallvec;

/// Fails unless the indices are whole numbers of 32 or 64 bits.
pub(super) fn check_indices(indices: &Tensor, function: &str) -> Result<()> {
    if !matches!(indices.dtype(), DType::Int64 | DType::Int32) {
        bail!(
            "Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; but got torch.{}Tensor instead (while checking arguments for {function})",
            indices.dtype().cpp_name()
        );
    }
    Ok(())
}

fn check_range(indices: &Tensor, rows: i64) -> Result<()> {
    if !indices.is_meta() && Dense::<i64>::of(indices)?.iter().any(|&i| i < 0 || i >= rows) {
        bail!(Index, "index out of range in self");
    }
    Ok(())
}

/// `torch.embedding`: rows `weight[indices]`; the row `padding_idx` receives no gradient.
pub fn embedding(
    weight: &Tensor,
    indices: &Tensor,
    padding_idx: i64,
    scale_grad_by_freq: bool,
    sparse: bool,
) -> Result<Tensor> {
    if weight.dim() != 2 {
        bail!("'weight' must be 2-D");
    }
    check_indices(indices, "embedding")?;
    check_range(indices, weight.sizes()[0])?;
    let mut sizes = indices.sizes();
    sizes.push(weight.sizes()[1]);
    let flat = shape::reshape(&indices.alias(), &[-1])?;
    let out = {
        let _guard = GradMode::no_grad();
        shape::reshape(&index::index_select(weight, 0, &flat)?, &sizes)?
    };
    let out = Tensor::from_array(out.array());
    let table = weight.sizes();
    record(&[&out], "EmbeddingBackward0", &[weight], &[Save::Input(&flat)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        let (dtype, device) = (grad.dtype(), grad.device());
        let flat = ctx.saved(0)?;
        let mut rows = shape::reshape(grad, &[-1, table[1]])?;
        if sparse && !flat.is_meta() {
            if scale_grad_by_freq {
                bail!("embedding_backward: scale_grad_by_freq not supported with sparse gradients");
            }
            let list = Dense::<i64>::of(&flat)?;
            let kept: Vec<i64> =
                (0..list.len()).filter(|&k| list[k] != padding_idx).map(|k| k as i64).collect();
            let named: Vec<i64> = kept.iter().map(|&k| list[k as usize]).collect();
            if kept.len() < list.len() {
                rows = index::index_select(&rows, 0, &Tensor::from_slice(&kept, &[kept.len() as i64])?)?;
            }
            let indices = Tensor::from_slice(&named, &[1, named.len() as i64])?;
            return Ok(smallvec![Some(crate::ops::sparse::gradient(&indices, &rows, &table)?)]);
        }
        if !flat.is_meta() {
            let list = Dense::<i64>::of(&flat)?;
            if scale_grad_by_freq || list.contains(&padding_idx) {
                let mut counts = std::collections::HashMap::new();
                for i in list.iter() {
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
                let factor = Tensor::from_slice(&factor, &[factor.len() as i64, 1])?;
                rows = f::mul(&rows, &shape::to_dtype(&factor, dtype)?)?;
            }
        }
        let zeros = Tensor::zeros_raw(&table, dtype, device)?;
        let add = if needs_grad(&[&rows]) { index::index_add } else { index::index_add_ };
        Ok(smallvec![Some(add(&zeros, 0, &flat, &rows, 1i64.into())?)])
    })?;
    Ok(out)
}

/// Scales rows that `indices` names down to norm `max_norm` where theirs is larger, in place.
pub fn embedding_renorm_(self_: &Tensor, indices: &Tensor, max_norm: f64, norm_type: f64) -> Result<Tensor> {
    if self_.dim() != 2 {
        bail!("'self' must be 2-D");
    }
    check_indices(indices, "embedding_renorm_")?;
    check_inplace(self_, false)?;
    check_range(indices, self_.sizes()[0])?;
    let _guard = GradMode::no_grad();
    let table = self_.alias();
    let mut list = indices.to_vec::<i64>()?;
    list.sort_unstable();
    list.dedup();
    let list = Tensor::from_slice(&list, &[list.len() as i64])?;
    let rows = index::index_select(&table, 0, &list)?;
    let norms = reduce::linalg_vector_norm(&rows, norm_type.into(), Some(&[1]), true, None)?;
    let large = f::gt_scalar(&norms, max_norm.into())?;
    let scale = f::add_scalar(&norms, 1e-7.into(), 1i64.into())?;
    let scale = f::mul_scalar(&f::reciprocal(&scale)?, max_norm.into())?;
    let rows = f::mul(&rows, &f::where_scalar_other(&large, &scale, 1i64.into())?)?;
    for (at, &row) in Dense::<i64>::of(&list)?.iter().enumerate() {
        copy_data(&shape::select(&table, 0, row)?, &shape::select(&rows, 0, at as i64)?)?;
    }
    self_.bump_version();
    Ok(self_.clone())
}
