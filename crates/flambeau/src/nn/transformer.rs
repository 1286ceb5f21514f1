//! The Transformer (Vaswani et al. 2017): layers, stacks of them, and the whole.

use super::attention::NonDynamicallyQuantizableLinear;
use super::attention::{AttentionMasks, MultiheadAttention, MultiheadAttentionOptions};
use super::container::ModuleList;
use super::dropout::Dropout;
use super::linear::{Linear, LinearOptions};
use super::module::{Forward, Module, Parameter, Training};
use super::norm::{LayerNorm, LayerNormOptions};
use super::{functional as F, init};
use crate::ops::creation;
use crate::schema::TensorOptions;
use crate::{Result, Tensor};
use flambeau_core::bail;

/// The function of a feed-forward network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TransformerActivation {
    #[default]
    ReLU,
    GELU,
}

/// Settings of the Transformer's layers.
#[derive(Clone, Copy, Debug)]
pub struct TransformerLayerOptions {
    /// The width of the feed-forward network.
    pub dim_feedforward: i64,
    pub dropout: f64,
    pub activation: TransformerActivation,
    pub layer_norm_eps: f64,
    /// Whether sequences are `(batch, length, width)` instead of `(length, batch, width)`.
    pub batch_first: bool,
    /// Normalises before attention and network instead of after them.
    pub norm_first: bool,
    pub bias: bool,
    pub tensors: TensorOptions,
}
impl Default for TransformerLayerOptions {
    fn default() -> Self {
        TransformerLayerOptions {
            dim_feedforward: 2048,
            dropout: 0.1,
            activation: TransformerActivation::ReLU,
            layer_norm_eps: 1e-5,
            batch_first: false,
            norm_first: false,
            bias: true,
            tensors: TensorOptions::default(),
        }
    }
}
impl TransformerLayerOptions {
    fn attention(&self, d_model: i64, nhead: i64) -> Result<MultiheadAttention> {
        let &TransformerLayerOptions { dropout, bias, batch_first, tensors, .. } = self;
        let options = MultiheadAttentionOptions { dropout, bias, batch_first, tensors, ..Default::default() };
        MultiheadAttention::with(d_model, nhead, options)
    }
    fn linear(&self, from: i64, to: i64) -> Result<Linear> {
        Linear::with(from, to, LinearOptions { bias: self.bias, tensors: self.tensors })
    }
    fn norm(&self, d_model: i64) -> Result<LayerNorm> {
        let &TransformerLayerOptions { layer_norm_eps: eps, bias, tensors, .. } = self;
        LayerNorm::with([d_model], LayerNormOptions { eps, bias, tensors, elementwise_affine: true })
    }
    fn act(&self, x: &Tensor) -> Result<Tensor> {
        match self.activation {
            TransformerActivation::ReLU => F::relu(x),
            TransformerActivation::GELU => F::gelu(x, "none"),
        }
    }
}

/// A module of the same settings with parameters of its own, which have the same values.
trait Copied: Sized {
    fn copied(&self) -> Result<Self>;
}
impl Copied for Parameter {
    fn copied(&self) -> Result<Self> {
        Parameter::new(&self.detach()?.deep_clone()?)
    }
}
impl Copied for Training {
    fn copied(&self) -> Result<Self> {
        let out = Training::default();
        out.set(self.get());
        Ok(out)
    }
}
impl<T: Copied> Copied for Option<T> {
    fn copied(&self) -> Result<Self> {
        self.as_ref().map(T::copied).transpose()
    }
}
macro_rules! copied { ($($type:ident { $($part:ident),* } { $($setting:ident),* })*) => { $(
    impl Copied for $type {
        fn copied(&self) -> Result<Self> {
            Ok($type { $($part: self.$part.copied()?,)* $($setting: self.$setting.clone(),)* })
        }
    }
)* } }
copied! {
    Linear { weight, bias } { in_features, out_features }
    NonDynamicallyQuantizableLinear { weight, bias } { in_features, out_features }
    LayerNorm { weight, bias } { normalized_shape, options }
    Dropout { training } { p }
    MultiheadAttention {
        in_proj_weight, q_proj_weight, k_proj_weight, v_proj_weight, in_proj_bias, bias_k, bias_v, out_proj, training
    } { embed_dim, num_heads, options }
    TransformerEncoderLayer { self_attn, linear1, dropout, linear2, norm1, norm2, dropout1, dropout2 } { options }
    TransformerDecoderLayer {
        self_attn, multihead_attn, linear1, dropout, linear2, norm1, norm2, norm3, dropout1, dropout2, dropout3
    } { options }
}

/// What a stack of encoder layers looks at beside its input.
#[derive(Clone, Copy, Debug, Default)]
pub struct EncoderMasks<'a> {
    /// See [`AttentionMasks::attn_mask`].
    pub mask: Option<&'a Tensor>,
    /// See [`AttentionMasks::key_padding_mask`].
    pub src_key_padding_mask: Option<&'a Tensor>,
    /// A hint that `mask` is the causal one.
    pub is_causal: bool,
}

/// Self-attention and a feed-forward network, each added to its input.
///
/// ```
/// use flambeau::nn::{EncoderMasks, Module, TransformerEncoderLayer, TransformerLayerOptions};
/// use flambeau::nn::generate_square_subsequent_mask;
/// let options = TransformerLayerOptions { dim_feedforward: 16, batch_first: true, ..Default::default() };
/// let layer = TransformerEncoderLayer::with(8, 2, options)?;
/// let causal = generate_square_subsequent_mask(5, ())?;
/// let masks = EncoderMasks { mask: Some(&causal), is_causal: true, ..Default::default() };
/// assert_eq!(layer.forward(&flambeau::ones([3, 5, 8], ())?, masks)?.sizes()[..], [3, 5, 8]);
/// # Ok::<(), flambeau::Error>(())
/// ```
#[derive(Debug, Module)]
pub struct TransformerEncoderLayer {
    pub self_attn: MultiheadAttention,
    pub linear1: Linear,
    pub dropout: Dropout,
    pub linear2: Linear,
    pub norm1: LayerNorm,
    pub norm2: LayerNorm,
    pub dropout1: Dropout,
    pub dropout2: Dropout,
    #[module(skip)]
    pub options: TransformerLayerOptions,
}

fn plus(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    crate::ops::add(x, y, 1i64.into())
}

impl TransformerEncoderLayer {
    pub fn new(d_model: i64, nhead: i64) -> Result<Self> {
        Self::with(d_model, nhead, TransformerLayerOptions::default())
    }
    pub fn with(d_model: i64, nhead: i64, options: TransformerLayerOptions) -> Result<Self> {
        let o = &options;
        Ok(TransformerEncoderLayer {
            self_attn: o.attention(d_model, nhead)?,
            linear1: o.linear(d_model, o.dim_feedforward)?,
            dropout: Dropout::new(o.dropout)?,
            linear2: o.linear(o.dim_feedforward, d_model)?,
            norm1: o.norm(d_model)?,
            norm2: o.norm(d_model)?,
            dropout1: Dropout::new(o.dropout)?,
            dropout2: Dropout::new(o.dropout)?,
            options,
        })
    }
    pub fn forward(&self, src: &Tensor, masks: EncoderMasks) -> Result<Tensor> {
        if self.options.norm_first {
            let x = plus(src, &self.attention(&self.norm1.forward(src)?, masks)?)?;
            return plus(&x, &self.network(&self.norm2.forward(&x)?)?);
        }
        let x = self.norm1.forward(&plus(src, &self.attention(src, masks)?)?)?;
        self.norm2.forward(&plus(&x, &self.network(&x)?)?)
    }
    fn attention(&self, x: &Tensor, masks: EncoderMasks) -> Result<Tensor> {
        let masks = self_masks(masks.mask, masks.src_key_padding_mask, masks.is_causal);
        self.dropout1.forward(&self.self_attn.forward(x, x, x, masks)?.0)
    }
    fn network(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.dropout.forward(&self.options.act(&self.linear1.forward(x)?)?)?;
        self.dropout2.forward(&self.linear2.forward(&x)?)
    }
}

fn self_masks<'a>(
    attn_mask: Option<&'a Tensor>,
    key_padding_mask: Option<&'a Tensor>,
    is_causal: bool,
) -> AttentionMasks<'a> {
    AttentionMasks { attn_mask, key_padding_mask, is_causal, need_weights: false, ..Default::default() }
}

/// Copies of an encoder layer one after another, and a last normalisation.
#[derive(Debug, Module)]
pub struct TransformerEncoder {
    pub layers: ModuleList<TransformerEncoderLayer>,
    pub norm: Option<LayerNorm>,
}
impl TransformerEncoder {
    /// All layers begin with the weights of the one given.
    pub fn new(
        encoder_layer: &TransformerEncoderLayer,
        num_layers: usize,
        norm: Option<LayerNorm>,
    ) -> Result<Self> {
        let layers: Vec<_> = (0..num_layers).map(|_| encoder_layer.copied()).collect::<Result<_>>()?;
        Ok(TransformerEncoder { layers: ModuleList::new(layers), norm })
    }
    pub fn forward(&self, src: &Tensor, masks: EncoderMasks) -> Result<Tensor> {
        let x = self.layers.iter().try_fold(src.clone(), |x, layer| layer.forward(&x, masks))?;
        self.norm.as_ref().map_or(Ok(x.clone()), |norm| norm.forward(&x))
    }
}

/// What a stack of decoder layers looks at beside its inputs.
#[derive(Clone, Copy, Debug, Default)]
pub struct DecoderMasks<'a> {
    pub tgt_mask: Option<&'a Tensor>,
    pub memory_mask: Option<&'a Tensor>,
    pub tgt_key_padding_mask: Option<&'a Tensor>,
    pub memory_key_padding_mask: Option<&'a Tensor>,
    /// Hints that the masks are causal.
    pub tgt_is_causal: bool,
    pub memory_is_causal: bool,
}

/// Self-attention, attention over the encoder's output, and a feed-forward network, each added to its input.
#[derive(Debug, Module)]
pub struct TransformerDecoderLayer {
    pub self_attn: MultiheadAttention,
    pub multihead_attn: MultiheadAttention,
    pub linear1: Linear,
    pub dropout: Dropout,
    pub linear2: Linear,
    pub norm1: LayerNorm,
    pub norm2: LayerNorm,
    pub norm3: LayerNorm,
    pub dropout1: Dropout,
    pub dropout2: Dropout,
    pub dropout3: Dropout,
    #[module(skip)]
    pub options: TransformerLayerOptions,
}
impl TransformerDecoderLayer {
    pub fn new(d_model: i64, nhead: i64) -> Result<Self> {
        Self::with(d_model, nhead, TransformerLayerOptions::default())
    }
    pub fn with(d_model: i64, nhead: i64, options: TransformerLayerOptions) -> Result<Self> {
        let o = &options;
        Ok(TransformerDecoderLayer {
            self_attn: o.attention(d_model, nhead)?,
            multihead_attn: o.attention(d_model, nhead)?,
            linear1: o.linear(d_model, o.dim_feedforward)?,
            dropout: Dropout::new(o.dropout)?,
            linear2: o.linear(o.dim_feedforward, d_model)?,
            norm1: o.norm(d_model)?,
            norm2: o.norm(d_model)?,
            norm3: o.norm(d_model)?,
            dropout1: Dropout::new(o.dropout)?,
            dropout2: Dropout::new(o.dropout)?,
            dropout3: Dropout::new(o.dropout)?,
            options,
        })
    }
    /// `memory` is the encoder's output.
    pub fn forward(&self, tgt: &Tensor, memory: &Tensor, masks: DecoderMasks) -> Result<Tensor> {
        if self.options.norm_first {
            let x = plus(tgt, &self.own(&self.norm1.forward(tgt)?, masks)?)?;
            let x = plus(&x, &self.over(&self.norm2.forward(&x)?, memory, masks)?)?;
            return plus(&x, &self.network(&self.norm3.forward(&x)?)?);
        }
        let x = self.norm1.forward(&plus(tgt, &self.own(tgt, masks)?)?)?;
        let x = self.norm2.forward(&plus(&x, &self.over(&x, memory, masks)?)?)?;
        self.norm3.forward(&plus(&x, &self.network(&x)?)?)
    }
    fn own(&self, x: &Tensor, m: DecoderMasks) -> Result<Tensor> {
        let masks = self_masks(m.tgt_mask, m.tgt_key_padding_mask, m.tgt_is_causal);
        self.dropout1.forward(&self.self_attn.forward(x, x, x, masks)?.0)
    }
    fn over(&self, x: &Tensor, memory: &Tensor, m: DecoderMasks) -> Result<Tensor> {
        let masks = self_masks(m.memory_mask, m.memory_key_padding_mask, m.memory_is_causal);
        self.dropout2.forward(&self.multihead_attn.forward(x, memory, memory, masks)?.0)
    }
    fn network(&self, x: &Tensor) -> Result<Tensor> {
        let x = self.dropout.forward(&self.options.act(&self.linear1.forward(x)?)?)?;
        self.dropout3.forward(&self.linear2.forward(&x)?)
    }
}

/// Copies of a decoder layer one after another, and a last normalisation.
#[derive(Debug, Module)]
pub struct TransformerDecoder {
    pub layers: ModuleList<TransformerDecoderLayer>,
    pub norm: Option<LayerNorm>,
}
impl TransformerDecoder {
    /// All layers begin with the weights of the one given.
    pub fn new(
        decoder_layer: &TransformerDecoderLayer,
        num_layers: usize,
        norm: Option<LayerNorm>,
    ) -> Result<Self> {
        let layers: Vec<_> = (0..num_layers).map(|_| decoder_layer.copied()).collect::<Result<_>>()?;
        Ok(TransformerDecoder { layers: ModuleList::new(layers), norm })
    }
    pub fn forward(&self, tgt: &Tensor, memory: &Tensor, masks: DecoderMasks) -> Result<Tensor> {
        let x = self.layers.iter().try_fold(tgt.clone(), |x, layer| layer.forward(&x, memory, masks))?;
        self.norm.as_ref().map_or(Ok(x.clone()), |norm| norm.forward(&x))
    }
}

/// An encoder of one sequence and a decoder of another, all weights drawn by [`init::xavier_uniform_`].
#[derive(Debug, Module)]
pub struct Transformer {
    pub encoder: TransformerEncoder,
    pub decoder: TransformerDecoder,
    pub d_model: i64,
    pub nhead: i64,
}
impl Transformer {
    /// With as many layers of each kind as told.
    pub fn with(
        d_model: i64,
        nhead: i64,
        num_encoder_layers: usize,
        num_decoder_layers: usize,
        options: TransformerLayerOptions,
    ) -> Result<Self> {
        let layer = TransformerEncoderLayer::with(d_model, nhead, options)?;
        let encoder = TransformerEncoder::new(&layer, num_encoder_layers, Some(options.norm(d_model)?))?;
        let layer = TransformerDecoderLayer::with(d_model, nhead, options)?;
        let decoder = TransformerDecoder::new(&layer, num_decoder_layers, Some(options.norm(d_model)?))?;
        let out = Transformer { encoder, decoder, d_model, nhead };
        for parameter in out.parameters().iter().filter(|p| p.dim() > 1) {
            init::xavier_uniform_(parameter, 1.0)?;
        }
        Ok(out)
    }
    pub fn forward(
        &self,
        src: &Tensor,
        tgt: &Tensor,
        src_masks: EncoderMasks,
        tgt_masks: DecoderMasks,
    ) -> Result<Tensor> {
        if src.size(-1)? != self.d_model || tgt.size(-1)? != self.d_model {
            bail!("the feature number of src and tgt must be equal to d_model");
        }
        let memory = self.encoder.forward(src, src_masks)?;
        self.decoder.forward(tgt, &memory, tgt_masks)
    }
}

/// A mask `(size, size)` to add to scores: -inf above the diagonal, so that no position sees later ones.
///
/// ```
/// let mask = flambeau::nn::generate_square_subsequent_mask(2, ())?;
/// assert_eq!(mask.to_string(), "tensor([[0., -inf],\n        [0., 0.]])");
/// # Ok::<(), flambeau::Error>(())
/// ```
pub fn generate_square_subsequent_mask(size: i64, options: impl Into<TensorOptions>) -> Result<Tensor> {
    creation::full(&[size, size], f64::NEG_INFINITY.into(), &options.into())?.triu(1)
}
