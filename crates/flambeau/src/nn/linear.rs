//! Linear layers, embeddings, and modules that only reshape.

use super::module::{Forward, Module, Parameter};
use super::repr::Python;
use super::{functional as F, init};
use crate::ops::{creation, nn, shape};
use crate::schema::TensorOptions;
use crate::{Result, Tensor};
use flambeau_core::bail;

/// A parameter with undefined contents, which an initialiser fills.
pub(super) fn parameter(size: &[i64], options: &TensorOptions) -> Result<Parameter> {
    Parameter::new(&creation::empty(size, options, None)?)
}
/// The same, unless it is left out.
pub(super) fn parameter_if(on: bool, size: &[i64], options: &TensorOptions) -> Result<Option<Parameter>> {
    on.then(|| parameter(size, options)).transpose()
}
pub(super) fn tensor_of(parameter: &Option<Parameter>) -> Option<&Tensor> {
    parameter.as_deref()
}

/// `input @ weight.T + bias`, for inputs `(..., in_features)`; `weight` is `(out_features, in_features)`.
#[derive(Clone, Debug, Module)]
#[module(extra_repr = self.describe())]
pub struct Linear {
    pub in_features: i64,
    pub out_features: i64,
    pub weight: Parameter,
    pub bias: Option<Parameter>,
}

/// Settings of [`Linear`].
#[derive(Clone, Copy, Debug)]
pub struct LinearOptions {
    pub bias: bool,
    /// Dtype and device of the parameters.
    pub tensors: TensorOptions,
}
impl Default for LinearOptions {
    fn default() -> Self {
        LinearOptions { bias: true, tensors: TensorOptions::default() }
    }
}

impl Linear {
    /// With a bias; weight and bias are drawn from [-1, 1) / sqrt(in_features).
    pub fn new(in_features: i64, out_features: i64) -> Result<Linear> {
        Self::with(in_features, out_features, LinearOptions::default())
    }
    pub fn with(in_features: i64, out_features: i64, options: LinearOptions) -> Result<Linear> {
        let weight = parameter(&[out_features, in_features], &options.tensors)?;
        let bias = parameter_if(options.bias, &[out_features], &options.tensors)?;
        init::layer(&weight, tensor_of(&bias))?;
        Ok(Linear { in_features, out_features, weight, bias })
    }
    fn describe(&self) -> String {
        format!(
            "in_features={}, out_features={}, bias={}",
            self.in_features,
            self.out_features,
            self.bias.is_some().python()
        )
    }
}
impl Forward for Linear {
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        F::linear(input, &self.weight, tensor_of(&self.bias))
    }
}

/// Its input.
#[derive(Clone, Copy, Debug, Default, Module)]
pub struct Identity;
impl Forward for Identity {
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        Ok(input.clone())
    }
}

/// The dimensions from `start_dim` to `end_dim` as one, by default all but the first.
#[derive(Clone, Copy, Debug, Module)]
#[module(extra_repr = format!("start_dim={}, end_dim={}", self.start_dim, self.end_dim))]
pub struct Flatten {
    pub start_dim: i64,
    pub end_dim: i64,
}
impl Default for Flatten {
    fn default() -> Self {
        Flatten { start_dim: 1, end_dim: -1 }
    }
}
impl Forward for Flatten {
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        input.flatten(self.start_dim, self.end_dim)
    }
}

/// One dimension as several.
#[derive(Clone, Debug, Module)]
#[module(extra_repr = format!("dim={}, unflattened_size={}", self.dim, self.unflattened_size[..].python()))]
pub struct Unflatten {
    pub dim: i64,
    #[module(skip)]
    pub unflattened_size: Vec<i64>,
}
impl Forward for Unflatten {
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        input.unflatten(self.dim, &self.unflattened_size)
    }
}

/// Vectors `(..., embedding_dim)` by indices `(...)`.
#[derive(Clone, Debug, Module)]
#[module(extra_repr = self.describe())]
pub struct Embedding {
    pub num_embeddings: i64,
    pub embedding_dim: i64,
    pub weight: Parameter,
    #[module(skip)]
    pub options: EmbeddingOptions,
}

/// Settings of [`Embedding`].
#[derive(Clone, Copy, Debug, Default)]
pub struct EmbeddingOptions {
    /// A vector that is zero at first and gets no gradient.
    pub padding_idx: Option<i64>,
    /// Vectors of a larger norm are shortened to it when they are looked up.
    pub max_norm: Option<f64>,
    /// Divides gradients by how often an index occurs.
    pub scale_grad_by_freq: bool,
    /// Gives the weight sparse gradients, for [`SparseAdam`](crate::optim::SparseAdam), `SGD` and `Adagrad`.
    pub sparse: bool,
    pub tensors: TensorOptions,
}

impl Embedding {
    /// Vectors drawn from the normal distribution.
    pub fn new(num_embeddings: i64, embedding_dim: i64) -> Result<Embedding> {
        Self::with(num_embeddings, embedding_dim, EmbeddingOptions::default())
    }
    pub fn with(num_embeddings: i64, embedding_dim: i64, mut options: EmbeddingOptions) -> Result<Embedding> {
        if let Some(i) = &mut options.padding_idx {
            if *i < -num_embeddings || *i >= num_embeddings {
                bail!(Assertion, "Padding_idx must be within num_embeddings");
            }
            *i = i.rem_euclid(num_embeddings);
        }
        let weight = parameter(&[num_embeddings, embedding_dim], &options.tensors)?;
        init::normal_(&weight, 0.0, 1.0)?;
        if let Some(i) = options.padding_idx {
            let row = crate::autograd::no_grad(|| shape::select(&weight, 0, i))?;
            init::zeros_(&row)?;
        }
        Ok(Embedding { num_embeddings, embedding_dim, weight, options })
    }
    /// Of given vectors `(num_embeddings, embedding_dim)`, which share the tensor's memory; frozen ones are not learned.
    pub fn from_pretrained(embeddings: &Tensor, freeze: bool) -> Result<Embedding> {
        let [num_embeddings, embedding_dim] = embeddings.sizes()[..] else {
            bail!(Assertion, "Embeddings parameter is expected to be 2-dimensional");
        };
        let weight = Parameter::new(embeddings)?;
        weight.set_requires_grad(!freeze)?;
        Ok(Embedding { num_embeddings, embedding_dim, weight, options: EmbeddingOptions::default() })
    }
    fn describe(&self) -> String {
        let mut text = format!("{}, {}", self.num_embeddings, self.embedding_dim);
        if let Some(i) = self.options.padding_idx {
            text += &format!(", padding_idx={i}");
        }
        if let Some(norm) = self.options.max_norm {
            text += &format!(", max_norm={}", norm.python());
        }
        if self.options.scale_grad_by_freq {
            text += ", scale_grad_by_freq=True";
        }
        if self.options.sparse {
            text += ", sparse=True";
        }
        text
    }
}
impl Forward for Embedding {
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let EmbeddingOptions { padding_idx, max_norm, scale_grad_by_freq, sparse, .. } = self.options;
        if let Some(norm) = max_norm {
            crate::autograd::no_grad(|| nn::embedding::embedding_renorm_(&self.weight, input, norm, 2.0))?;
        }
        nn::embedding::embedding(&self.weight, input, padding_idx.unwrap_or(-1), scale_grad_by_freq, sparse)
    }
}

/// `x1 weight x2 + bias` for each output, with `weight` `(out_features, in1_features, in2_features)`.
#[derive(Clone, Debug, Module)]
#[module(extra_repr = format!("in1_features={}, in2_features={}, out_features={}, bias={}", self.in1_features, self.in2_features, self.out_features, self.bias.is_some().python()))]
pub struct Bilinear {
    pub in1_features: i64,
    pub in2_features: i64,
    pub out_features: i64,
    pub weight: Parameter,
    pub bias: Option<Parameter>,
}
impl Bilinear {
    /// With a bias; weight and bias are drawn from [-1, 1) / sqrt(in1_features).
    pub fn new(in1_features: i64, in2_features: i64, out_features: i64) -> Result<Bilinear> {
        Self::with(in1_features, in2_features, out_features, LinearOptions::default())
    }
    pub fn with(
        in1_features: i64,
        in2_features: i64,
        out_features: i64,
        options: LinearOptions,
    ) -> Result<Bilinear> {
        if in1_features <= 0 {
            bail!(Value, "in1_features must be > 0, but got {in1_features}");
        }
        let weight = parameter(&[out_features, in1_features, in2_features], &options.tensors)?;
        let bias = parameter_if(options.bias, &[out_features], &options.tensors)?;
        let bound = 1.0 / (in1_features as f64).sqrt();
        init::uniform_(&weight, -bound, bound)?;
        bias.iter().try_for_each(|bias| init::uniform_(bias, -bound, bound))?;
        Ok(Bilinear { in1_features, in2_features, out_features, weight, bias })
    }
    pub fn forward(&self, input1: &Tensor, input2: &Tensor) -> Result<Tensor> {
        crate::ops::matmul::bilinear(input1, input2, &self.weight, tensor_of(&self.bias))
    }
}
