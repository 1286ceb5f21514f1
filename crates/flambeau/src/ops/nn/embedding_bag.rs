//! Sums, means and maxima of bags of rows of a table.

use super::embedding::check_indices;
use crate::Tensor;
use crate::autograd::{GradMode, Save, record};
use crate::generated::functions as f;
use crate::ops::dense::{Dense, computed};
use crate::ops::{index, reduce, shape};
use flambeau_core::{DType, Result, bail};
use flambeau_cpu::bag::{self, Bags};
use smallvec::smallvec;

const SUM: i64 = 0;
const MEAN: i64 = 1;
const MAX: i64 = 2;

/// A device's tensor of whole numbers.
fn column(values: &[i64]) -> Result<Tensor> {
    Tensor::from_slice(values, &[values.len() as i64])
}

fn check(
    weight: &Tensor,
    indices: &Tensor,
    offsets: &Tensor,
    mode: i64,
    factors: Option<&Tensor>,
) -> Result<()> {
    check_indices(indices, "embedding_bag")?;
    if !matches!(offsets.dtype(), DType::Int64 | DType::Int32) {
        bail!(
            "Expected tensor for argument #1 'offsets' to have one of the following scalar types: Long, Int; but got torch.{}Tensor instead (while checking arguments for embedding_bag)",
            offsets.dtype().cpp_name()
        );
    }
    if !weight.is_floating_point() {
        bail!(
            "Expected tensor for argument #1 'weight' to have one of the following scalar types: Half, BFloat16, Float, Double; but got torch.{}Tensor instead (while checking arguments for embedding_bag)",
            weight.dtype().cpp_name()
        );
    }
    if weight.dim() != 2 {
        bail!("weight has to be a 2D Tensor, but got Tensor of dimension {}", weight.dim());
    }
    if !(1..=2).contains(&indices.dim()) {
        bail!("input has to be a 1D or 2D Tensor, but got Tensor of dimension {}", indices.dim());
    }
    if offsets.dim() != 1 {
        bail!("offsets has to be a 1D Tensor, but got Tensor of dimension {}", offsets.dim());
    }
    if !(SUM..=MAX).contains(&mode) {
        bail!("embedding_bag: expected mode to be 0 (sum), 1 (mean) or 2 (max), but got {mode}");
    }
    if let Some(factors) = factors {
        if mode != SUM {
            bail!("embedding_bag: per_sample_weights only supported with mode='sum'");
        }
        if factors.dtype() != weight.dtype() {
            bail!(
                "Expected tensor for argument #1 'weight' to have the same type as tensor for argument #1 'per_sample_weights'; but type torch.{}Tensor does not equal torch.{}Tensor (while checking arguments for embedding_bag)",
                weight.dtype().cpp_name(),
                factors.dtype().cpp_name()
            );
        }
        if factors.dim() != 1 || factors.numel() != indices.numel() {
            bail!("expected per_sample_weights to be 1D and as long as the indices");
        }
    }
    Ok(())
}

/// The bag of each index.
fn bags_of(count: i64, offsets: &[i64], include_last_offset: bool) -> Result<(Vec<i64>, usize)> {
    if include_last_offset && offsets.is_empty() {
        bail!("include_last_offset: number of offset should be at least 1");
    }
    if let Some(&first) = offsets.first()
        && first != 0
    {
        bail!(
            "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from position 0. However, got {first}"
        );
    }
    if let Some(&last) = offsets.last()
        && last > count
    {
        bail!("offsets[-1] can not be greater than input's length({count}) but got offsets[-1] of {last}");
    }
    let number = offsets.len() - include_last_offset as usize;
    let mut bags = vec![0; if number == 0 { 0 } else { count as usize }];
    for (bag, &start) in offsets[..number].iter().enumerate() {
        let end = match offsets.get(bag + 1) {
            // The last offset ends its bag only where it is one more than there are bags.
            Some(&end) => end,
            None => count,
        };
        if start < 0 || end < start || end > count {
            bail!("embedding_bag: offsets must not decrease, but got {start} before {end}");
        }
        bags[start as usize..end as usize].fill(bag as i64);
    }
    let used = if include_last_offset { offsets[offsets.len() - 1] } else { count };
    bags.truncate(used as usize);
    Ok((bags, number))
}

/// `torch.embedding_bag` with `padding_idx`, whose rows do not count: the results, the bag of each index, the number
/// of rows in each bag, and where the maxima were.
pub fn embedding_bag_padding_idx(
    weight: &Tensor,
    indices: &Tensor,
    offsets: &Tensor,
    scale_grad_by_freq: bool,
    mode: i64,
    sparse: bool,
    per_sample_weights: Option<&Tensor>,
    include_last_offset: bool,
    padding_idx: Option<i64>,
) -> Result<(Tensor, Tensor, Tensor, Tensor)> {
    check(weight, indices, offsets, mode, per_sample_weights)?;
    let (height, width) = (weight.sizes()[0], weight.sizes()[1]);
    let padding = match padding_idx {
        Some(p) if p < -height || p >= height => bail!(
            "padding_idx must be within the number of embeddings, -{height} through {}, but got {p}",
            height - 1
        ),
        Some(p) if p < 0 => Some(p + height),
        other => other,
    };
    if weight.is_meta() || indices.is_meta() {
        bail!(NotImplemented, "embedding_bag: indices have no values on the meta device");
    }
    let list = indices.to_vec::<i64>()?;
    let (of_index, number) = bags_of(list.len() as i64, &offsets.to_vec::<i64>()?, include_last_offset)?;
    let mut bags = Bags { counts: vec![0; number], ..Default::default() };
    let mut kept = Vec::new();
    for (at, (&row, &of)) in list.iter().zip(&of_index).enumerate() {
        if row < 0 || row >= height {
            bail!("Index {at} of input takes value {row} which is not in the valid range [0, {height})");
        }
        if padding != Some(row) {
            bags.rows.push(row as usize);
            bags.bags.push(of as usize);
            bags.counts[of as usize] += 1;
            kept.push(at as i64);
        }
    }
    let whole = kept.len() == list.len();
    let factors = match per_sample_weights {
        Some(t) if !whole => Some(index::index_select(t, 0, &column(&kept)?)?),
        other => other.cloned(),
    };
    let counts = column(&bags.counts)?;
    let of_index = column(&of_index)?;
    if mode == MAX {
        let (out, places) = maxima(weight, &bags)?;
        return Ok((out, of_index, counts, places));
    }
    let out = totals(
        weight,
        &bags,
        factors.as_ref(),
        mode == MEAN,
        scale_grad_by_freq,
        sparse,
        [number as i64, width],
    )?;
    if mode == MEAN {
        return Ok((out, of_index, counts.clone(), counts));
    }
    // Sums need none of these; PyTorch returns zeros.
    let none = Tensor::zeros_raw(&[number as i64], DType::Int64, weight.device())?;
    let of_index = if padding_idx.is_some() { of_index } else { column(&[])? };
    Ok((out, of_index, none.clone(), none))
}

/// `torch.embedding_bag`
pub fn embedding_bag(
    weight: &Tensor,
    indices: &Tensor,
    offsets: &Tensor,
    scale_grad_by_freq: bool,
    mode: i64,
    sparse: bool,
    per_sample_weights: Option<&Tensor>,
    include_last_offset: bool,
) -> Result<(Tensor, Tensor, Tensor, Tensor)> {
    embedding_bag_padding_idx(
        weight,
        indices,
        offsets,
        scale_grad_by_freq,
        mode,
        sparse,
        per_sample_weights,
        include_last_offset,
        None,
    )
}

/// The largest rows of each bag by columns, and where they are.
fn maxima(weight: &Tensor, bags: &Bags) -> Result<(Tensor, Tensor)> {
    let sizes = [bags.counts.len() as i64, weight.sizes()[1]];
    let width = sizes[1] as usize;
    macro_rules! run {
        ($T:ty) => {{
            let table = Dense::<$T>::of(weight)?;
            computed::<i64>(&sizes, DType::Int64, |out| bag::largest_rows(width, &table, bags, out))?
        }};
    }
    let places = if weight.dtype() == DType::Float64 { run!(f64) } else { run!(f32) };
    let empty: Vec<bool> = bags.counts.iter().map(|&n| n == 0).collect();
    let out = if weight.numel() == 0 {
        Tensor::zeros_raw(&sizes, weight.dtype(), weight.device())?
    } else {
        index::gather(weight, 0, &places, false)?
    };
    let empty = Tensor::from_slice(&empty, &[sizes[0], 1])?;
    let out = f::masked_fill_scalar(&out, &empty, 0i64.into())?;
    Ok((super::named(out, "EmbeddingBagBackward0")?, places))
}

/// The sums or means of bags.
fn totals(
    weight: &Tensor,
    bags: &Bags,
    factors: Option<&Tensor>,
    mean: bool,
    scale_grad_by_freq: bool,
    sparse: bool,
    sizes: [i64; 2],
) -> Result<Tensor> {
    let (dtype, table_sizes) = (weight.dtype(), weight.sizes());
    macro_rules! run {
        ($T:ty) => {{
            let table = Dense::<$T>::of(weight)?;
            let factors = factors.map(Dense::<$T>::of).transpose()?;
            computed::<$T>(&sizes, dtype, |out| {
                bag::sum_rows(sizes[1] as usize, &table, bags, factors.as_deref(), mean, out)
            })?
        }};
    }
    let out = {
        let _guard = GradMode::no_grad();
        if dtype == DType::Float64 { run!(f64) } else { run!(f32) }
    };
    let whole = |list: &[usize]| column(&list.iter().map(|&n| n as i64).collect::<Vec<_>>());
    let (rows, of_row) = (whole(&bags.rows)?, whole(&bags.bags)?);
    // What each row's share of its bag's gradient is, beside its factor.
    let mut shares = vec![1.0; bags.rows.len()];
    if mean {
        shares.iter_mut().zip(&bags.bags).for_each(|(s, &b)| *s /= bags.counts[b] as f64);
    }
    if scale_grad_by_freq {
        let mut times: Vec<u32> = flambeau_core::buffer(table_sizes[0] as usize)?;
        bags.rows.iter().for_each(|&r| times[r] += 1);
        shares.iter_mut().zip(&bags.rows).for_each(|(s, &r)| *s /= f64::from(times[r]));
    }
    let plain = !mean && !scale_grad_by_freq;
    let shares = shape::to_dtype(&Tensor::from_slice(&shares, &[shares.len() as i64, 1])?, dtype)?;
    let mut inputs = vec![weight];
    inputs.extend(factors);
    let saves = [
        Save::Input(&rows),
        Save::Input(&of_row),
        Save::Input(&shares),
        Save::Opt(factors),
        Save::Opt(factors.map(|_| weight)),
    ];
    let weighted = factors.is_some();
    record(&[&out], "EmbeddingBagBackward0", &inputs, &saves, move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None; 1 + weighted as usize]) };
        let (rows, of_row) = (ctx.saved(0)?, ctx.saved(1)?);
        let each = index::index_select(grad, 0, &of_row)?;
        let mut grads = smallvec![None];
        if ctx.needs(0) {
            let mut each = each.clone();
            if !plain {
                each = f::mul(&each, &ctx.saved(2)?)?;
            }
            if weighted {
                each = f::mul(&each, &shape::unsqueeze(&ctx.saved(3)?, 1)?)?;
            }
            if sparse {
                let indices = shape::unsqueeze(&rows, 0)?;
                grads[0] = Some(crate::ops::sparse::gradient(&indices, &each, &table_sizes)?);
            } else {
                let zeros = Tensor::zeros_raw(&table_sizes, grad.dtype(), grad.device())?;
                grads[0] = Some(index::index_add(&zeros, 0, &rows, &each, 1i64.into())?);
            }
        }
        if weighted {
            grads.push(match ctx.needs(1) {
                true => {
                    let vectors = index::index_select(&ctx.saved(4)?, 0, &rows)?;
                    Some(reduce::sum_dim(&f::mul(&each, &vectors)?, Some(&[1]), false, None)?)
                }
                false => None,
            });
        }
        Ok(grads)
    })?;
    Ok(out)
}
