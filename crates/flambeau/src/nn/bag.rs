//! Bags of embeddings.

use super::linear::parameter;
use super::module::{Module, Parameter};
use super::{init, repr::Python};
use crate::ops::nn::{embedding, embedding_bag};
use crate::ops::{creation, shape};
use crate::schema::TensorOptions;
use crate::{Result, Tensor};
use flambeau_core::bail;

/// What becomes of the vectors of a bag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BagMode {
    Sum = 0,
    #[default]
    Mean = 1,
    Max = 2,
}

/// Settings of [`EmbeddingBag`].
#[derive(Clone, Copy, Debug, Default)]
pub struct EmbeddingBagOptions {
    pub mode: BagMode,
    /// A vector that counts in no bag.
    pub padding_idx: Option<i64>,
    /// Vectors of a larger norm are shortened to it when they are looked up.
    pub max_norm: Option<f64>,
    /// Divides gradients by how often an index occurs.
    pub scale_grad_by_freq: bool,
    /// Gives the weight sparse gradients; not for maxima.
    pub sparse: bool,
    /// Whether the last offset is the end of the last bag.
    pub include_last_offset: bool,
    pub tensors: TensorOptions,
}

/// Means, sums or maxima of bags of vectors.
///
/// ```
/// use flambeau::nn::{EmbeddingBag, Module};
/// let bag = EmbeddingBag::new(10, 3)?;
/// assert_eq!(bag.to_string(), "EmbeddingBag(10, 3, mode='mean')");
/// let words = flambeau::tensor([1i64, 2, 4, 5])?;
/// let bags = bag.forward(&words, Some(&flambeau::tensor([0i64, 3])?), None)?; // 1, 2, 4 and 5
/// assert_eq!(bags.sizes()[..], [2, 3]);
/// # Ok::<(), flambeau::Error>(())
/// ```
#[derive(Clone, Debug, Module)]
#[module(extra_repr = self.describe())]
pub struct EmbeddingBag {
    pub num_embeddings: i64,
    pub embedding_dim: i64,
    pub weight: Parameter,
    #[module(skip)]
    pub options: EmbeddingBagOptions,
}
impl EmbeddingBag {
    /// Means of vectors drawn from the normal distribution.
    pub fn new(num_embeddings: i64, embedding_dim: i64) -> Result<EmbeddingBag> {
        Self::with(num_embeddings, embedding_dim, EmbeddingBagOptions::default())
    }
    pub fn with(
        num_embeddings: i64,
        embedding_dim: i64,
        mut options: EmbeddingBagOptions,
    ) -> Result<EmbeddingBag> {
        if let Some(i) = &mut options.padding_idx {
            if *i < -num_embeddings || *i >= num_embeddings {
                bail!(Assertion, "padding_idx must be within num_embeddings");
            }
            *i = i.rem_euclid(num_embeddings);
        }
        if options.mode == BagMode::Max && options.scale_grad_by_freq {
            bail!(Value, "max mode does not support scaling the gradient by the frequency");
        }
        if options.mode == BagMode::Max && options.sparse {
            bail!(Value, "max mode does not support sparse weights");
        }
        let weight = parameter(&[num_embeddings, embedding_dim], &options.tensors)?;
        init::normal_(&weight, 0.0, 1.0)?;
        if let Some(i) = options.padding_idx {
            let row = crate::autograd::no_grad(|| shape::select(&weight, 0, i))?;
            init::zeros_(&row)?;
        }
        Ok(EmbeddingBag { num_embeddings, embedding_dim, weight, options })
    }
    fn describe(&self) -> String {
        let o = &self.options;
        let mut text = format!("{}, {}", self.num_embeddings, self.embedding_dim);
        if let Some(norm) = o.max_norm {
            text += &format!(", max_norm={}", norm.python());
        }
        if o.scale_grad_by_freq {
            text += ", scale_grad_by_freq=True";
        }
        let mode = ["sum", "mean", "max"][o.mode as usize];
        text += &format!(", mode={}", mode.python());
        if let Some(i) = o.padding_idx {
            text += &format!(", padding_idx={i}");
        }
        text
    }
    /// The bags are the rows of `input`, or stretches of a vector that begin at `offsets`. The weights, like the input, are
    /// for sums only.
    pub fn forward(
        &self,
        input: &Tensor,
        offsets: Option<&Tensor>,
        per_sample_weights: Option<&Tensor>,
    ) -> Result<Tensor> {
        let o = &self.options;
        if let Some(weights) = per_sample_weights {
            if weights.sizes() != input.sizes() {
                bail!(Value, "per_sample_weights must have the same shape as the input");
            }
            if o.mode != BagMode::Sum {
                bail!(NotImplemented, "per_sample_weights is only supported for mode='sum'");
            }
        }
        let (mut indices, mut weights) = (input.clone(), per_sample_weights.cloned());
        let starts = match (input.dim(), offsets) {
            (2, None) => {
                let (n, width) = (input.numel() as i64, input.sizes()[1]);
                indices = input.reshape(&[-1])?;
                weights = weights.map(|weights| weights.reshape(&[-1])).transpose()?;
                let options = (input.dtype(), input.device()).into();
                creation::arange_start_step(0i64.into(), n.into(), width.max(1).into(), &options)?
            }
            (1, Some(offsets)) if offsets.dim() == 1 => offsets.clone(),
            (2, Some(_)) => bail!(Value, "if input is 2D, then offsets has to be None"),
            (1, _) => bail!(Value, "offsets has to be a 1D Tensor"),
            (rank, _) => bail!(Value, "input has to be 1D or 2D Tensor, but got Tensor of dimension {rank}"),
        };
        if let Some(norm) = o.max_norm {
            crate::autograd::no_grad(|| {
                embedding::embedding_renorm_(&self.weight, &indices, norm, 2.0).map(drop)
            })?;
        }
        let (bags, ..) = embedding_bag::embedding_bag_padding_idx(
            &self.weight,
            &indices,
            &starts,
            o.scale_grad_by_freq,
            o.mode as i64,
            o.sparse,
            weights.as_ref(),
            o.include_last_offset,
            o.padding_idx,
        )?;
        Ok(bags)
    }
}
