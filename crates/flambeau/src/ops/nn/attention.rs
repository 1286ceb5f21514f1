//! Scaled dot-product attention (Vaswani et al., 2017).

use crate::Tensor;
use crate::autograd::{Context, GradMode, Save, grad_enabled, record};
use crate::generated::functions as f;
use crate::ops::dense::{Dense, Matrices, computed, written_pair};
use crate::ops::{creation, random, reduce, shape, softmax};
use flambeau_core::{DType, Dims, Element, Result, Scalar, bail, broadcast_shapes};
use flambeau_cpu::attention::{self, Attention};
use smallvec::smallvec;

fn check(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    attn_mask: Option<&Tensor>,
    dropout_p: f64,
    is_causal: bool,
) -> Result<()> {
    let ranks = [query.dim(), key.dim(), value.dim()];
    let dtypes = [query.dtype(), key.dtype(), value.dtype()];
    if dtypes[1] != dtypes[0] || dtypes[2] != dtypes[0] {
        let [q, k, v] = dtypes.map(DType::cpp_type);
        bail!(
            "Expected query, key, and value to have the same dtype, but got query.dtype: {q} key.dtype: {k} and value.dtype: {v} instead."
        );
    }
    if ranks.iter().any(|&n| n < 2) {
        bail!(
            "Expected query, key, and value to all be  at least 2 dimensional, but got query.dim: {} key.dim: {} and value.dim: {} instead.",
            ranks[0],
            ranks[1],
            ranks[2]
        );
    }
    if let Some(mask) = attn_mask {
        let dtype = mask.dtype();
        if dtype != DType::Bool && dtype != DType::Float32 && dtype != dtypes[0] {
            bail!(
                "Expected attn_mask dtype to be bool or float or to match query dtype, but got attn_mask.dtype: {} and  query.dtype: {} instead.",
                dtype.cpp_type(),
                dtypes[0].cpp_type()
            );
        }
        if mask.dim() < 2 {
            flambeau_core::wrap_dim(-2, mask.dim())?;
        }
        if is_causal {
            bail!("_scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True");
        }
    }
    if !(0.0..=1.0).contains(&dropout_p) {
        bail!("dropout probability has to be between 0 and 1, but got {dropout_p}");
    }
    if !dtypes[0].is_floating_point() {
        bail!(
            NotImplemented,
            "\"softmax_lastdim_kernel_impl\" not implemented for '{}'",
            dtypes[0].cpp_name()
        );
    }
    Ok(())
}

/// The key or value with each head as often as `heads` asks for.
fn repeated(t: &Tensor, heads: i64) -> Result<Tensor> {
    let have = t.size(-3)?;
    if have == 0 || heads % have != 0 {
        bail!("Number of heads in key and value must divide the number of heads in query");
    }
    t.repeat_interleave_self_int(heads / have, Some(-3))
}

/// A mask to add to the scores: true of a boolean one is what takes part.
fn additive(mask: &Tensor, dtype: DType) -> Result<Tensor> {
    if mask.dtype() != DType::Bool {
        return shape::to_dtype(mask, dtype);
    }
    let zeros = Tensor::zeros_raw(&mask.sizes(), dtype, mask.device())?;
    f::masked_fill_scalar(&zeros, &f::logical_not(mask)?, Scalar::Float(f64::NEG_INFINITY))
}

/// The mask of a causal attention.
fn causal_mask(targets: i64, sources: i64, like: &Tensor) -> Result<Tensor> {
    let ones = Tensor::zeros_raw(&[targets, sources], DType::Bool, like.device())?;
    creation::fill_data(&ones, Scalar::Bool(true))?;
    ones.tril(0)
}

/// The weights of all queries, in differentiable operators. A query that sees no key has weights of zero.
fn weights(query: &Tensor, key: &Tensor, mask: Option<&Tensor>, scale: f64) -> Result<Tensor> {
    // The root goes to both factors, which keeps the product in range.
    let root = scale.abs().sqrt();
    let query = f::mul_scalar(query, (if scale < 0.0 { -root } else { root }).into())?;
    let key = f::mul_scalar(&shape::transpose(key, -2, -1)?, root.into())?;
    let mut scores = query.matmul(&key)?;
    if let Some(mask) = mask {
        scores = f::add(&scores, mask, 1i64.into())?;
    }
    let weights = softmax::softmax(&scores, -1, None)?;
    if mask.is_none() {
        return Ok(weights);
    }
    let masked = f::eq_scalar(&scores.alias(), Scalar::Float(f64::NEG_INFINITY))?;
    f::masked_fill_scalar(&weights, &masked.all_dim(-1, true)?, 0i64.into())
}

/// Matrices as the kernel takes them.
fn given<T: Element>(of: &Matrices<T>) -> attention::Matrices<'_, T> {
    attention::Matrices { elements: of.elements(), starts: &of.starts, apart: of.apart }
}

/// What the kernel and its gradient share.
#[derive(Clone)]
struct Fused {
    sizes: Attention,
    scale: f64,
}

impl Fused {
    fn backward(&self, ctx: &Context) -> Result<crate::autograd::Grads> {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None; 3]) };
        let [query, key, value] = [ctx.saved(0)?, ctx.saved(1)?, ctx.saved(2)?];
        let mask = ctx.saved_opt(3)?;
        if grad.is_meta()
            || (grad_enabled() && [grad, &query, &key, &value].iter().any(|t| t.requires_grad()))
        {
            return self.composed_backward(grad, [&query, &key, &value], mask.as_ref());
        }
        let (out, sums, dtype) = (ctx.saved(4)?, ctx.saved(5)?, query.dtype());
        macro_rules! run {
            ($T:ty) => {{
                let _guard = GradMode::no_grad();
                let dense = |t: &Tensor| Dense::<$T>::of(t);
                let matrices = |t: &Tensor| Matrices::<$T>::of(t);
                let (q, k, v, g) = (matrices(&query)?, matrices(&key)?, matrices(&value)?, matrices(grad)?);
                let of = [given(&q), given(&k), given(&v), given(&g)];
                let mask = mask.as_ref().map(dense).transpose()?;
                let mask = mask.as_deref().unwrap_or(&[]);
                let (y, sums) = (dense(&out)?, dense(&sums)?);
                let (mut by_key, mut by_value) = (None, None);
                let by_query = computed::<$T>(&query.sizes(), dtype, |a| {
                    by_key = Some(computed::<$T>(&key.sizes(), dtype, |b| {
                        by_value = Some(computed::<$T>(&value.sizes(), dtype, |c| {
                            attention::backward(&self.sizes, of, mask, [&y, &sums], [a, b, c])
                        })?);
                        Ok(())
                    })?);
                    Ok(())
                })?;
                Ok(smallvec![Some(by_query), by_key, by_value])
            }};
        }
        if dtype == DType::Float64 { run!(f64) } else { run!(f32) }
    }

    fn composed_backward(
        &self,
        grad: &Tensor,
        [query, key, value]: [&Tensor; 3],
        mask: Option<&Tensor>,
    ) -> Result<crate::autograd::Grads> {
        let s = &self.sizes;
        let causal = match s.causal {
            true => Some(causal_mask(s.targets as i64, s.sources as i64, query)?),
            false => None,
        };
        let mask = causal.as_ref().or(mask).map(|m| additive(m, query.dtype())).transpose()?;
        let mask = match mask {
            Some(mask) => Some(shape::expand(&mask, &{
                let mut sizes: Dims = query.sizes();
                let last = sizes.len() - 1;
                sizes[last] = s.sources as i64;
                sizes
            })?),
            None => None,
        };
        let weights = weights(query, key, mask.as_ref(), self.scale)?;
        let turned = |t: &Tensor| shape::transpose(t, -2, -1);
        let by_value = turned(&weights)?.matmul(grad)?;
        let slopes = grad.matmul(&turned(value)?)?;
        let mean = reduce::sum_dim(&f::mul(&slopes, &weights)?, Some(&[-1]), true, None)?;
        let slopes = f::mul(&weights, &f::sub(&slopes, &mean, 1i64.into())?)?;
        let slopes = f::mul_scalar(&slopes, self.scale.into())?;
        let by_query = slopes.matmul(key)?;
        let by_key = turned(&slopes)?.matmul(query)?;
        Ok(smallvec![Some(by_query), Some(by_key), Some(by_value)])
    }
}

/// Attention of equal batch dimensions by the kernel.
fn fused(
    [query, key, value]: [&Tensor; 3],
    mask: Option<&Tensor>,
    is_causal: bool,
    scale: f64,
) -> Result<Tensor> {
    let (sizes, dtype) = (query.sizes(), query.dtype());
    let rank = sizes.len();
    let last = |t: &Tensor, from_end: usize| t.sizes()[rank - from_end] as usize;
    let (targets, sources) = (last(query, 2), last(key, 2));
    let batch = flambeau_core::count(&sizes[..rank - 2]) as usize;
    let mut mask_starts = Vec::new();
    let mask = match mask {
        None => None,
        Some(mask) => {
            // The mask's own batch dimensions are not copied out.
            let m = mask.sizes();
            let mut full: Dims = m[..m.len() - 2].into();
            full.extend([targets as i64, sources as i64]);
            let mask = shape::expand(&additive(mask, dtype)?, &full)?;
            let entry = targets * sources;
            for b in 0..batch {
                let (mut rest, mut place, mut step) = (b, 0, 1);
                for d in (0..rank - 2).rev() {
                    let index = rest % sizes[d] as usize;
                    rest /= sizes[d] as usize;
                    let own = (d + full.len()).checked_sub(rank).map_or(1, |d| full[d] as usize);
                    place += if own == 1 { 0 } else { index * step };
                    step *= own;
                }
                mask_starts.push(place * entry);
            }
            Some(mask)
        }
    };
    let s = Attention {
        batch,
        targets,
        sources,
        width: last(query, 1),
        depth: last(value, 1),
        scale,
        causal: is_causal,
        mask_starts,
    };
    let mut to: Dims = sizes[..rank - 1].into();
    to.push(s.depth as i64);
    let (out, sums) = {
        macro_rules! run {
            ($T:ty) => {{
                let _guard = GradMode::no_grad();
                let dense = |t: &Tensor| Dense::<$T>::of(t);
                let matrices = |t: &Tensor| Matrices::<$T>::of(t);
                let (q, k, v) = (matrices(query)?, matrices(key)?, matrices(value)?);
                let mask = mask.as_ref().map(dense).transpose()?;
                let mask = mask.as_deref().unwrap_or(&[]);
                let wide = [batch as i64, targets as i64];
                let run = |out: &mut [$T], sums: &mut [$T]| {
                    attention::forward(&s, [given(&q), given(&k), given(&v)], mask, out, sums)
                };
                written_pair::<$T, $T>([&to, &wide], dtype, run)?
            }};
        }
        if dtype == DType::Float64 { run!(f64) } else { run!(f32) }
    };
    let name = "ScaledDotProductFlashAttentionForCpuBackward0";
    let saves = [
        Save::Input(query),
        Save::Input(key),
        Save::Input(value),
        Save::Opt(mask.as_ref()),
        Save::Output(0),
        Save::Input(&sums),
    ];
    let this = Fused { sizes: s, scale };
    record(&[&out], name, &[query, key, value], &saves, move |ctx| this.backward(ctx))?;
    Ok(out)
}

/// `softmax(scale * query @ key.mT + mask) @ value` over the last two dimensions; `scale` is `1 / sqrt(width)` by
/// default. A boolean mask says what takes part, another one is added.
pub fn scaled_dot_product_attention(
    query: &Tensor,
    key: &Tensor,
    value: &Tensor,
    attn_mask: Option<&Tensor>,
    dropout_p: f64,
    is_causal: bool,
    scale: Option<f64>,
    enable_gqa: bool,
) -> Result<Tensor> {
    check(query, key, value, attn_mask, dropout_p, is_causal)?;
    let (mut key, mut value) = (key.clone(), value.clone());
    if enable_gqa && query.dim() > 2 {
        let heads = query.size(-3)?;
        (key, value) = (repeated(&key, heads)?, repeated(&value, heads)?);
    }
    let width = query.size(-1)?;
    let scale = scale.unwrap_or(1.0 / (width as f64).sqrt());
    let [q, k, v] = [query.sizes(), key.sizes(), value.sizes()];
    let batch = broadcast_shapes(&q[..q.len() - 2], &k[..k.len() - 2])?;
    let batch = broadcast_shapes(&batch, &v[..v.len() - 2])?;
    let fits = k[k.len() - 1] == width && v[v.len() - 2] == k[k.len() - 2];
    let plain = match attn_mask {
        None => true,
        // A mask with dimensions of its own makes the batch larger.
        Some(mask) => {
            let m = mask.sizes();
            let lead = &m[..m.len() - 2];
            let (rows, columns) = (m[m.len() - 2], m[m.len() - 1]);
            !mask.requires_grad()
                && broadcast_shapes(&batch, lead).is_ok_and(|all| all == batch)
                && (rows == 1 || rows == q[q.len() - 2])
                && (columns == 1 || columns == k[k.len() - 2])
        }
    };
    if fits && plain && dropout_p == 0.0 && scale.is_finite() && !query.is_meta() {
        let expanded = |t: &Tensor, sizes: &[i64]| {
            let all: Dims = batch.iter().chain(&sizes[sizes.len() - 2..]).copied().collect();
            shape::expand(t, &all)
        };
        let (query, key, value) = (expanded(query, &q)?, expanded(&key, &k)?, expanded(&value, &v)?);
        return fused([&query, &key, &value], attn_mask, is_causal, scale);
    }
    let causal = match is_causal {
        true => Some(causal_mask(q[q.len() - 2], k[k.len() - 2], query)?),
        false => None,
    };
    let mask = causal.as_ref().or(attn_mask).map(|m| additive(m, query.dtype())).transpose()?;
    let mut weights = weights(query, &key, mask.as_ref(), scale)?;
    if dropout_p > 0.0 {
        weights = random::dropout(&weights, dropout_p, true)?;
    }
    weights.matmul(&value)
}
