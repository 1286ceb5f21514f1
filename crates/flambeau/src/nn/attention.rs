//! Attention in several heads (Vaswani et al. 2017).

use super::linear::{Linear, LinearOptions, parameter_if, tensor_of};
use super::module::{Module, Parameter, Training};
use super::{functional as F, init};
use crate::ops::nn::attention::scaled_dot_product_attention;
use crate::ops::{join, matmul, pad, random, shape};
use crate::schema::TensorOptions;
use crate::{DType, Result, Tensor};
use flambeau_core::{bail, show};

/// The linear layer after attention; PyTorch gives it a class of its own.
#[derive(Clone, Debug, Module)]
#[module(extra_repr = self.describe())]
pub struct NonDynamicallyQuantizableLinear {
    pub in_features: i64,
    pub out_features: i64,
    pub weight: Parameter,
    pub bias: Option<Parameter>,
}
impl NonDynamicallyQuantizableLinear {
    fn with(in_features: i64, out_features: i64, options: LinearOptions) -> Result<Self> {
        let Linear { weight, bias, .. } = Linear::with(in_features, out_features, options)?;
        Ok(NonDynamicallyQuantizableLinear { in_features, out_features, weight, bias })
    }
    fn describe(&self) -> String {
        let bias = if self.bias.is_some() { "True" } else { "False" };
        format!("in_features={}, out_features={}, bias={bias}", self.in_features, self.out_features)
    }
}

/// Settings of [`MultiheadAttention`].
#[derive(Clone, Copy, Debug)]
pub struct MultiheadAttentionOptions {
    /// The share of weights that are dropped while training.
    pub dropout: f64,
    pub bias: bool,
    /// Adds a learned key and a learned value to the sequences.
    pub add_bias_kv: bool,
    /// Adds a key and a value of zeros to the sequences.
    pub add_zero_attn: bool,
    /// The widths of keys and values, by default that of the queries.
    pub kdim: Option<i64>,
    pub vdim: Option<i64>,
    /// Whether sequences are `(batch, length, width)` instead of `(length, batch, width)`.
    pub batch_first: bool,
    pub tensors: TensorOptions,
}
impl Default for MultiheadAttentionOptions {
    fn default() -> Self {
        MultiheadAttentionOptions {
            dropout: 0.0,
            bias: true,
            add_bias_kv: false,
            add_zero_attn: false,
            kdim: None,
            vdim: None,
            batch_first: false,
            tensors: TensorOptions::default(),
        }
    }
}

/// What attention looks at beside queries, keys and values.
#[derive(Clone, Copy, Debug)]
pub struct AttentionMasks<'a> {
    /// `(batch, source)`: true, or -inf, for keys that are not looked at.
    pub key_padding_mask: Option<&'a Tensor>,
    /// `(target, source)` or `(batch * heads, target, source)`: true where a query does not look at a key, or numbers to
    /// add to the scores.
    pub attn_mask: Option<&'a Tensor>,
    /// Whether the weights are wanted too.
    pub need_weights: bool,
    /// Whether they are averaged over the heads.
    pub average_attn_weights: bool,
    /// A hint that `attn_mask` is the causal mask.
    pub is_causal: bool,
}
impl Default for AttentionMasks<'_> {
    fn default() -> Self {
        AttentionMasks {
            key_padding_mask: None,
            attn_mask: None,
            need_weights: true,
            average_attn_weights: true,
            is_causal: false,
        }
    }
}

/// Attention of queries over keys and values in parallel heads.
///
/// ```
/// use flambeau::nn::{AttentionMasks, MultiheadAttention, MultiheadAttentionOptions};
/// let options = MultiheadAttentionOptions { batch_first: true, ..Default::default() };
/// let attention = MultiheadAttention::with(8, 2, options)?;
/// let x = flambeau::ones([3, 5, 8], ())?; // three sequences of five
/// let (y, weights) = attention.forward(&x, &x, &x, AttentionMasks::default())?;
/// assert_eq!(y.sizes()[..], [3, 5, 8]);
/// assert_eq!(weights.unwrap().sizes()[..], [3, 5, 5]);
/// # Ok::<(), flambeau::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct MultiheadAttention {
    pub embed_dim: i64,
    pub num_heads: i64,
    #[module(skip)]
    pub options: MultiheadAttentionOptions,
    /// The projections of queries, keys and values one below another, where all have one width.
    pub in_proj_weight: Option<Parameter>,
    pub q_proj_weight: Option<Parameter>,
    pub k_proj_weight: Option<Parameter>,
    pub v_proj_weight: Option<Parameter>,
    pub in_proj_bias: Option<Parameter>,
    pub bias_k: Option<Parameter>,
    pub bias_v: Option<Parameter>,
    pub out_proj: NonDynamicallyQuantizableLinear,
    pub training: Training,
}

/// A mask as numbers to add: -inf where it is true.
fn added(mask: &Tensor, name: &str, dtype: DType) -> Result<Tensor> {
    if mask.dtype() == DType::Bool {
        let zeros = Tensor::zeros_raw(&mask.sizes(), dtype, mask.device())?;
        return zeros.masked_fill_scalar(mask, f64::NEG_INFINITY);
    }
    if !mask.is_floating_point() {
        bail!(Assertion, "only bool and floating types of {name} are supported");
    }
    Ok(mask.clone())
}

impl MultiheadAttention {
    /// With biases, for keys and values of the queries' width.
    pub fn new(embed_dim: i64, num_heads: i64) -> Result<Self> {
        Self::with(embed_dim, num_heads, MultiheadAttentionOptions::default())
    }
    pub fn with(embed_dim: i64, num_heads: i64, options: MultiheadAttentionOptions) -> Result<Self> {
        if embed_dim <= 0 || num_heads <= 0 {
            bail!(
                Value,
                "embed_dim and num_heads must be greater than 0, got embed_dim={embed_dim} and num_heads={num_heads} instead"
            );
        }
        if embed_dim % num_heads != 0 {
            bail!(Assertion, "embed_dim must be divisible by num_heads");
        }
        let o = &options;
        let (k, v) = (o.kdim.unwrap_or(embed_dim), o.vdim.unwrap_or(embed_dim));
        let alike = k == embed_dim && v == embed_dim;
        let own = |width: i64| parameter_if(!alike, &[embed_dim, width], &o.tensors);
        let linear = LinearOptions { bias: o.bias, tensors: o.tensors };
        let out = MultiheadAttention {
            embed_dim,
            num_heads,
            options,
            in_proj_weight: parameter_if(alike, &[3 * embed_dim, embed_dim], &o.tensors)?,
            q_proj_weight: own(embed_dim)?,
            k_proj_weight: own(k)?,
            v_proj_weight: own(v)?,
            in_proj_bias: parameter_if(o.bias, &[3 * embed_dim], &o.tensors)?,
            bias_k: parameter_if(o.add_bias_kv, &[1, 1, embed_dim], &o.tensors)?,
            bias_v: parameter_if(o.add_bias_kv, &[1, 1, embed_dim], &o.tensors)?,
            out_proj: NonDynamicallyQuantizableLinear::with(embed_dim, embed_dim, linear)?,
            training: Training::default(),
        };
        for weight in [&out.in_proj_weight, &out.q_proj_weight, &out.k_proj_weight, &out.v_proj_weight] {
            weight.iter().try_for_each(|weight| init::xavier_uniform_(weight, 1.0))?;
        }
        for bias in [&out.in_proj_bias, &out.out_proj.bias] {
            bias.iter().try_for_each(|bias| init::zeros_(bias))?;
        }
        for bias in [&out.bias_k, &out.bias_v] {
            bias.iter().try_for_each(|bias| init::xavier_normal_(bias, 1.0))?;
        }
        Ok(out)
    }

    /// The projections of queries, keys and values, `(length, batch, embed_dim)`.
    fn project(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<[Tensor; 3]> {
        let thirds = |t: &Parameter| shape::chunk(t, 3, 0);
        let biases = self.in_proj_bias.as_ref().map(thirds).transpose()?;
        let bias = |i: usize| biases.as_ref().map(|list| &list[i]);
        if let Some(weight) = &self.in_proj_weight {
            if q.is_same(k) && k.is_same(v) {
                let all = F::linear(q, weight, tensor_of(&self.in_proj_bias))?;
                let parts = shape::chunk(&all, 3, -1)?;
                let [q, k, v] = [&parts[0], &parts[1], &parts[2]].map(Tensor::contiguous);
                return Ok([q?, k?, v?]);
            }
            let weights = thirds(weight)?;
            return Ok([
                F::linear(q, &weights[0], bias(0))?,
                F::linear(k, &weights[1], bias(1))?,
                F::linear(v, &weights[2], bias(2))?,
            ]);
        }
        match [&self.q_proj_weight, &self.k_proj_weight, &self.v_proj_weight] {
            [Some(wq), Some(wk), Some(wv)] => {
                Ok([F::linear(q, wq, bias(0))?, F::linear(k, wk, bias(1))?, F::linear(v, wv, bias(2))?])
            }
            _ => bail!("attention without projections"),
        }
    }

    /// The output, and the weights `(batch, target, source)` if they are wanted; not averaged they are
    /// `(batch, heads, target, source)`. Sequences may also be `(length, width)`, without a batch.
    pub fn forward(
        &self,
        query: &Tensor,
        key: &Tensor,
        value: &Tensor,
        masks: AttentionMasks,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let rank = query.dim();
        if rank != 2 && rank != 3 {
            bail!(
                Assertion,
                "query should be unbatched 2D or batched 3D tensor but received {rank}-D query tensor"
            );
        }
        if key.dim() != rank || value.dim() != rank {
            bail!(Assertion, "expected `key` and `value` to be {rank}-D like `query`");
        }
        let batched = rank == 3;
        let turn = |x: &Tensor| match (batched, self.options.batch_first) {
            (true, true) => shape::transpose(x, 0, 1),
            (true, false) => Ok(x.clone()),
            (false, _) => shape::unsqueeze(x, 1),
        };
        // Inputs that are one tensor stay one, for which the projection has a shorter way.
        let q = turn(query)?;
        let k = if key.is_same(query) { q.clone() } else { turn(key)? };
        let v = if value.is_same(key) { k.clone() } else { turn(value)? };
        let (output, weights) = self.attend(&q, &k, &v, masks, batched)?;
        let output = match (batched, self.options.batch_first) {
            (true, true) => shape::transpose(&output, 0, 1)?,
            (true, false) => output,
            (false, _) => shape::squeeze_dim(&output, 1)?,
        };
        Ok((output, weights))
    }

    fn attend(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        masks: AttentionMasks,
        batched: bool,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let (heads, width) = (self.num_heads, self.embed_dim / self.num_heads);
        let (target, batch, source) = (q.sizes()[0], q.sizes()[1], k.sizes()[0]);
        if q.sizes()[2] != self.embed_dim {
            bail!(
                Assertion,
                "was expecting embedding dimension of {}, but got {}",
                self.embed_dim,
                q.sizes()[2]
            );
        }
        if k.sizes()[..2] != v.sizes()[..2] || k.sizes()[1] != batch {
            bail!(
                Assertion,
                "key shape {} does not match value shape {}",
                show(&k.sizes()),
                show(&v.sizes())
            );
        }
        let mut causal = masks.is_causal;
        if causal && masks.attn_mask.is_none() {
            bail!("Need attn_mask if specifying the is_causal hint.");
        }
        let padding = masks
            .key_padding_mask
            .map(|mask| {
                let mask = if batched { mask.clone() } else { shape::unsqueeze(mask, 0)? };
                if mask.sizes()[..] != [batch, source] {
                    bail!(
                        Assertion,
                        "Expected key_padded_mask.shape[0] to be {batch}, but got {}",
                        show(&mask.sizes())
                    );
                }
                added(&mask, "key_padding_mask", q.dtype())
            })
            .transpose()?;
        let mut mask = None;
        if !(causal && padding.is_none() && !masks.need_weights) {
            causal = causal && padding.is_none();
            if let Some(given) = masks.attn_mask {
                let given = added(given, "attn_mask", q.dtype())?;
                let expected = [&[target, source][..], &[batch * heads, target, source]];
                if !expected.contains(&&given.sizes()[..]) {
                    let rank = given.dim();
                    let should = if rank == 2 { expected[0] } else { expected[1] };
                    bail!(
                        "The shape of the {rank}D attn_mask is torch.Size({}), but should be {}.",
                        show(&given.sizes()),
                        super::repr::Python::python(should)
                    );
                }
                mask = Some(if given.dim() == 2 { shape::unsqueeze(&given, 0)? } else { given });
            }
        }

        let [q, mut k, mut v] = self.project(q, k, v)?;
        let mut more = 0;
        if let (Some(bias_k), Some(bias_v)) = (&self.bias_k, &self.bias_v) {
            let wide = |bias: &Parameter| shape::expand(bias, &[1, batch, self.embed_dim]);
            k = join::cat(&[k, wide(bias_k)?], 0)?;
            v = join::cat(&[v, wide(bias_v)?], 0)?;
            more += 1;
        }
        let split = |x: &Tensor| -> Result<Tensor> {
            shape::transpose(&x.reshape(&[-1, batch * heads, width])?, 0, 1)
        };
        let q = split(&q)?;
        let (mut k, mut v) = (split(&k)?, split(&v)?);
        if self.options.add_zero_attn {
            let zeros = || Tensor::zeros_raw(&[batch * heads, 1, width], k.dtype(), k.device());
            (k, v) = (join::cat(&[k.clone(), zeros()?], 1)?, join::cat(&[v, zeros()?], 1)?);
            more += 1;
        }
        let source = source + more;
        let widen =
            |mask: Tensor| if more == 0 { Ok(mask) } else { pad::pad(&mask, &[0, more], "constant", None) };
        let mut mask = mask.map(widen).transpose()?;
        if let Some(padding) = padding {
            let padding = widen(padding)?.view(&[batch, 1, 1, source])?;
            let padding = shape::expand(&padding, &[-1, heads, -1, -1])?;
            let padding = padding.reshape(&[batch * heads, 1, source])?;
            mask = Some(match mask {
                Some(mask) => crate::ops::add(&mask, &padding, 1i64.into())?,
                None => padding,
            });
        }

        let p = if self.training.get() { self.options.dropout } else { 0.0 };
        let (joined, weights) = if masks.need_weights {
            let scaled = q.mul_scalar((1.0 / width as f64).sqrt())?;
            let turned = shape::transpose(&k, -2, -1)?;
            let scores = match &mask {
                Some(mask) => matmul::baddbmm(mask, &scaled, &turned, 1i64.into(), 1i64.into())?,
                None => matmul::bmm(&scaled, &turned)?,
            };
            let weights = random::dropout(&F::softmax(&scores, -1)?, p, true)?;
            let output = shape::transpose(&matmul::bmm(&weights, &v)?, 0, 1)?;
            (output.reshape(&[target * batch, self.embed_dim])?, Some(weights))
        } else {
            let mask = mask
                .map(|mask| match mask.sizes()[0] {
                    1 => shape::unsqueeze(&mask, 0),
                    _ => mask.view(&[batch, heads, -1, source]),
                })
                .transpose()?;
            let heads_of = |x: &Tensor, n: i64| x.view(&[batch, heads, n, width]);
            let (q, k, v) = (heads_of(&q, target)?, heads_of(&k, source)?, heads_of(&v, source)?);
            let output = scaled_dot_product_attention(&q, &k, &v, mask.as_ref(), p, causal, None, false)?;
            let output = output.permute(&[2, 0, 1, 3])?;
            (output.reshape(&[target * batch, self.embed_dim])?, None)
        };
        let out = F::linear(&joined, &self.out_proj.weight, tensor_of(&self.out_proj.bias))?;
        let out = out.view(&[target, batch, self.embed_dim])?;
        let Some(weights) = weights else { return Ok((out, None)) };
        let mut weights = weights.view(&[batch, heads, target, source])?;
        if masks.average_attn_weights {
            weights = weights.mean_dim(Some(&[1]), false)?;
        }
        if !batched {
            weights = shape::squeeze_dim(&weights, 0)?;
        }
        Ok((out, Some(weights)))
    }
}
