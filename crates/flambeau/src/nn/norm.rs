//! Normalisation over the batch, over the last dimensions and over groups of channels.

use super::linear::{parameter_if, tensor_of};
use super::module::{Forward, Module, Parameter, Training};
use super::repr::Python;
use super::{functional as F, init};
use crate::ops::creation;
use crate::schema::TensorOptions;
use crate::{DType, Result, Tensor};
use flambeau_core::{bail, show};

/// Scale 1 and shift 0, unless they are left out.
fn affine(
    on: bool,
    bias: bool,
    size: &[i64],
    tensors: &TensorOptions,
) -> Result<(Option<Parameter>, Option<Parameter>)> {
    let weight = parameter_if(on, size, tensors)?;
    let bias = parameter_if(on && bias, size, tensors)?;
    if let Some(weight) = &weight {
        init::ones_(weight)?;
    }
    if let Some(bias) = &bias {
        init::zeros_(bias)?;
    }
    Ok((weight, bias))
}

/// Settings of [`BatchNorm`].
#[derive(Clone, Copy, Debug)]
pub struct BatchNormOptions {
    pub eps: f64,
    /// The weight of a batch in the running statistics; none for their plain mean.
    pub momentum: Option<f64>,
    pub affine: bool,
    pub track_running_stats: bool,
    pub tensors: TensorOptions,
}
impl Default for BatchNormOptions {
    fn default() -> Self {
        BatchNormOptions {
            eps: 1e-5,
            momentum: Some(0.1),
            affine: true,
            track_running_stats: true,
            tensors: TensorOptions::default(),
        }
    }
}

impl BatchNormOptions {
    fn describe(&self, num_features: i64, bias: bool) -> String {
        format!(
            "{num_features}, eps={}, momentum={}, affine={}, bias={}, track_running_stats={}",
            self.eps.python(),
            self.momentum.python(),
            self.affine.python(),
            bias.python(),
            self.track_running_stats.python()
        )
    }
}

/// Normalises the channels of `(batch, channels, ...)`: while training by the batch's mean and variance, which also
/// update the running ones, otherwise by the latter (Ioffe and Szegedy 2015).
///
/// ```
/// use flambeau::nn::{BatchNorm1d, Forward, Module};
/// let norm = BatchNorm1d::new(2)?;
/// let y = norm.forward(&flambeau::tensor([[1f32, 5.], [3., 9.]])?)?;
/// assert_eq!(y.detach()?.to_string(), "tensor([[-1.0000, -1.0000],\n        [ 1.0000,  1.0000]])");
/// assert_eq!(norm.state_dict()["running_mean"].to_string(), "tensor([0.2000, 0.7000])");
/// # Ok::<(), flambeau::Error>(())
/// ```
#[derive(Debug, Module)]
#[module(name = format!("BatchNorm{N}d"), extra_repr = self.options.describe(self.num_features, self.bias.is_some()))]
pub struct BatchNorm<const N: usize> {
    pub num_features: i64,
    #[module(skip)]
    pub options: BatchNormOptions,
    pub weight: Option<Parameter>,
    pub bias: Option<Parameter>,
    pub running_mean: Option<Tensor>,
    pub running_var: Option<Tensor>,
    pub num_batches_tracked: Option<Tensor>,
    pub training: Training,
}
/// Of `(N, C)` or `(N, C, L)`.
pub type BatchNorm1d = BatchNorm<1>;
/// Of `(N, C, H, W)`.
pub type BatchNorm2d = BatchNorm<2>;
/// Of `(N, C, D, H, W)`.
pub type BatchNorm3d = BatchNorm<3>;

impl<const N: usize> BatchNorm<N> {
    pub fn new(num_features: i64) -> Result<Self> {
        Self::with(num_features, BatchNormOptions::default())
    }
    pub fn with(num_features: i64, options: BatchNormOptions) -> Result<Self> {
        let (weight, bias) = affine(options.affine, true, &[num_features], &options.tensors)?;
        let tracked = options.track_running_stats;
        let counter = TensorOptions { dtype: Some(DType::Int64), ..options.tensors };
        Ok(BatchNorm {
            num_features,
            options,
            weight,
            bias,
            running_mean: tracked.then(|| creation::zeros(&[num_features], &options.tensors)).transpose()?,
            running_var: tracked.then(|| creation::ones(&[num_features], &options.tensors)).transpose()?,
            num_batches_tracked: tracked.then(|| creation::zeros(&[], &counter)).transpose()?,
            training: Training::default(),
        })
    }
}
impl<const N: usize> Forward for BatchNorm<N> {
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let rank = input.dim();
        if rank != N + 2 && !(N == 1 && rank == 2) {
            let expected = if N == 1 { "2D or 3D".to_string() } else { format!("{}D", N + 2) };
            bail!(Value, "expected {expected} input (got {rank}D input)");
        }
        let training = self.training.get();
        let mut factor = self.options.momentum.unwrap_or(0.0);
        let use_batch = training || self.running_mean.is_none();
        if use_batch {
            let sizes = input.sizes();
            if sizes[0] * sizes[2..].iter().product::<i64>() == 1 {
                bail!(
                    Value,
                    "Expected more than 1 value per channel when training, got input size torch.Size({})",
                    show(&sizes)
                );
            }
        }
        if training && let Some(count) = &self.num_batches_tracked {
            count.add_scalar_(1)?;
            if self.options.momentum.is_none() {
                factor = 1.0 / count.to_f64()?;
            }
        }
        F::batch_norm(
            input,
            tensor_of(&self.weight),
            tensor_of(&self.bias),
            self.running_mean.as_ref(),
            self.running_var.as_ref(),
            use_batch,
            factor,
            self.options.eps,
            true,
        )
    }
}

/// Settings of [`LayerNorm`].
#[derive(Clone, Copy, Debug)]
pub struct LayerNormOptions {
    pub eps: f64,
    pub elementwise_affine: bool,
    pub bias: bool,
    pub tensors: TensorOptions,
}
impl Default for LayerNormOptions {
    fn default() -> Self {
        LayerNormOptions {
            eps: 1e-5,
            elementwise_affine: true,
            bias: true,
            tensors: TensorOptions::default(),
        }
    }
}

/// Normalises each sample over its last dimensions, whose shape is `normalized_shape` (Ba et al. 2016).
#[derive(Clone, Debug, Module)]
#[module(extra_repr = self.describe())]
pub struct LayerNorm {
    #[module(skip)]
    pub normalized_shape: Vec<i64>,
    #[module(skip)]
    pub options: LayerNormOptions,
    pub weight: Option<Parameter>,
    pub bias: Option<Parameter>,
}
impl LayerNorm {
    pub fn new(normalized_shape: impl AsRef<[i64]>) -> Result<LayerNorm> {
        Self::with(normalized_shape, LayerNormOptions::default())
    }
    pub fn with(normalized_shape: impl AsRef<[i64]>, options: LayerNormOptions) -> Result<LayerNorm> {
        let shape = normalized_shape.as_ref();
        let (weight, bias) = affine(options.elementwise_affine, options.bias, shape, &options.tensors)?;
        Ok(LayerNorm { normalized_shape: shape.to_vec(), options, weight, bias })
    }
    fn describe(&self) -> String {
        format!(
            "{}, eps={}, elementwise_affine={}, bias={}",
            self.normalized_shape[..].python(),
            self.options.eps.python(),
            self.options.elementwise_affine.python(),
            self.bias.is_some().python()
        )
    }
}
impl Forward for LayerNorm {
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let (weight, bias) = (tensor_of(&self.weight), tensor_of(&self.bias));
        F::layer_norm(input, &self.normalized_shape, weight, bias, self.options.eps, true)
    }
}

/// Settings of [`GroupNorm`].
#[derive(Clone, Copy, Debug)]
pub struct GroupNormOptions {
    pub eps: f64,
    pub affine: bool,
    pub bias: bool,
    pub tensors: TensorOptions,
}
impl Default for GroupNormOptions {
    fn default() -> Self {
        GroupNormOptions { eps: 1e-5, affine: true, bias: true, tensors: TensorOptions::default() }
    }
}

/// Normalises groups of channels of each sample (Wu and He 2018).
#[derive(Clone, Debug, Module)]
#[module(extra_repr = self.describe())]
pub struct GroupNorm {
    pub num_groups: i64,
    pub num_channels: i64,
    #[module(skip)]
    pub options: GroupNormOptions,
    pub weight: Option<Parameter>,
    pub bias: Option<Parameter>,
}
impl GroupNorm {
    pub fn new(num_groups: i64, num_channels: i64) -> Result<GroupNorm> {
        Self::with(num_groups, num_channels, GroupNormOptions::default())
    }
    pub fn with(num_groups: i64, num_channels: i64, options: GroupNormOptions) -> Result<GroupNorm> {
        if num_groups <= 0 || num_channels % num_groups != 0 {
            bail!(Value, "num_channels ({num_channels}) must be divisible by num_groups ({num_groups})");
        }
        let (weight, bias) = affine(options.affine, options.bias, &[num_channels], &options.tensors)?;
        Ok(GroupNorm { num_groups, num_channels, options, weight, bias })
    }
    fn describe(&self) -> String {
        format!(
            "{}, {}, eps={}, affine={}, bias={}",
            self.num_groups,
            self.num_channels,
            self.options.eps.python(),
            self.options.affine.python(),
            self.bias.is_some().python()
        )
    }
}
impl Forward for GroupNorm {
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let (weight, bias) = (tensor_of(&self.weight), tensor_of(&self.bias));
        F::group_norm(input, self.num_groups, weight, bias, self.options.eps, true)
    }
}

/// Settings of [`RMSNorm`].
#[derive(Clone, Copy, Debug)]
pub struct RMSNormOptions {
    /// By default the smallest step from 1 of the input's dtype.
    pub eps: Option<f64>,
    pub elementwise_affine: bool,
    pub tensors: TensorOptions,
}
impl Default for RMSNormOptions {
    fn default() -> Self {
        RMSNormOptions { eps: None, elementwise_affine: true, tensors: TensorOptions::default() }
    }
}

/// Divides each sample by its root mean square over the last dimensions (Zhang and Sennrich 2019).
#[derive(Clone, Debug, Module)]
#[module(extra_repr = format!("{}, eps={}, elementwise_affine={}", self.normalized_shape[..].python(), self.options.eps.python(), self.options.elementwise_affine.python()))]
pub struct RMSNorm {
    #[module(skip)]
    pub normalized_shape: Vec<i64>,
    #[module(skip)]
    pub options: RMSNormOptions,
    pub weight: Option<Parameter>,
}
impl RMSNorm {
    pub fn new(normalized_shape: impl AsRef<[i64]>) -> Result<RMSNorm> {
        Self::with(normalized_shape, RMSNormOptions::default())
    }
    pub fn with(normalized_shape: impl AsRef<[i64]>, options: RMSNormOptions) -> Result<RMSNorm> {
        let shape = normalized_shape.as_ref();
        let (weight, _) = affine(options.elementwise_affine, false, shape, &options.tensors)?;
        Ok(RMSNorm { normalized_shape: shape.to_vec(), options, weight })
    }
}
impl Forward for RMSNorm {
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        F::rms_norm(input, &self.normalized_shape, tensor_of(&self.weight), self.options.eps)
    }
}

/// Normalises each channel of each sample (Ulyanov et al. 2016); the settings are those of [`BatchNorm`], by default
/// without scale, shift and running statistics.
#[derive(Debug, Module)]
#[module(name = format!("InstanceNorm{N}d"), extra_repr = self.options.describe(self.num_features, self.bias.is_some()))]
pub struct InstanceNorm<const N: usize> {
    pub num_features: i64,
    #[module(skip)]
    pub options: BatchNormOptions,
    pub weight: Option<Parameter>,
    pub bias: Option<Parameter>,
    pub running_mean: Option<Tensor>,
    pub running_var: Option<Tensor>,
    pub num_batches_tracked: Option<Tensor>,
    pub training: Training,
}
/// Of `(N, C, L)` or `(C, L)`.
pub type InstanceNorm1d = InstanceNorm<1>;
/// Of `(N, C, H, W)` or `(C, H, W)`.
pub type InstanceNorm2d = InstanceNorm<2>;
/// Of `(N, C, D, H, W)` or `(C, D, H, W)`.
pub type InstanceNorm3d = InstanceNorm<3>;

impl<const N: usize> InstanceNorm<N> {
    pub fn new(num_features: i64) -> Result<Self> {
        let options =
            BatchNormOptions { affine: false, track_running_stats: false, ..BatchNormOptions::default() };
        Self::with(num_features, options)
    }
    pub fn with(num_features: i64, options: BatchNormOptions) -> Result<Self> {
        let BatchNorm::<N> { weight, bias, running_mean, running_var, num_batches_tracked, training, .. } =
            BatchNorm::with(num_features, options)?;
        Ok(InstanceNorm {
            num_features,
            options,
            weight,
            bias,
            running_mean,
            running_var,
            num_batches_tracked,
            training,
        })
    }
}
impl<const N: usize> Forward for InstanceNorm<N> {
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let rank = input.dim();
        if rank != N + 1 && rank != N + 2 {
            bail!(Value, "expected {}D or {}D input (got {rank}D input)", N + 1, N + 2);
        }
        let channels = input.sizes()[rank - N - 1];
        if channels != self.num_features && self.options.affine {
            bail!(
                Value,
                "expected input's size at dim={} to match num_features ({}), but got: {channels}.",
                rank - N - 1,
                self.num_features
            );
        }
        let x = if rank == N + 1 { input.unsqueeze(0)? } else { input.clone() };
        let out = F::instance_norm(
            &x,
            tensor_of(&self.weight),
            tensor_of(&self.bias),
            self.running_mean.as_ref(),
            self.running_var.as_ref(),
            self.training.get() || self.running_mean.is_none(),
            self.options.momentum.unwrap_or(0.0),
            self.options.eps,
            true,
        )?;
        if rank == N + 1 { out.squeeze_dim(0) } else { Ok(out) }
    }
}

/// Divides by a power of the mean square over `size` neighbouring channels (Krizhevsky et al. 2012).
#[derive(Clone, Copy, Debug, Module)]
#[module(extra_repr = format!("{}, alpha={}, beta={}, k={}", self.size, self.alpha.python(), self.beta.python(), self.k.python()))]
pub struct LocalResponseNorm {
    pub size: i64,
    pub alpha: f64,
    pub beta: f64,
    pub k: f64,
}
impl LocalResponseNorm {
    pub fn new(size: i64) -> LocalResponseNorm {
        LocalResponseNorm { size, alpha: 1e-4, beta: 0.75, k: 1.0 }
    }
}
impl Forward for LocalResponseNorm {
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let rank = input.dim();
        if rank < 3 {
            bail!(Value, "Expected 3D or higher dimensionality input (got {rank} dimensions)");
        }
        if input.numel() == 0 {
            return Ok(input.clone());
        }
        let (sizes, square) = (input.sizes(), input.square()?);
        // Channels as the rows of planes, over which windows slide.
        let planes = square.reshape(&[sizes[0], 1, sizes[1], -1])?;
        let padded = F::pad(&planes, &[0, 0, self.size / 2, (self.size - 1) / 2], "constant", None)?;
        let mean = F::avg_pool2d(&padded, &[self.size, 1], &[1, 1], &[0, 0], false, true, None)?;
        let mean = mean.reshape(&sizes)?;
        input.div(&mean.mul_scalar(self.alpha)?.add_scalar(self.k)?.pow_scalar(self.beta)?)
    }
}
