//! Layers as functions, `torch.nn.functional`.

use crate::ops::{nn, random, softmax as softmax_ops};
use crate::{Result, Tensor, ops};
use flambeau_core::{bail, show};

pub use crate::ops::matmul::linear;
pub use crate::ops::nn::attention::scaled_dot_product_attention;
pub use crate::ops::nn::conv::{
    conv_transpose1d, conv_transpose2d, conv_transpose3d, conv1d, conv2d, conv3d,
};
pub use crate::ops::nn::embedding::embedding;
pub use crate::ops::nn::norm::{batch_norm, group_norm, instance_norm, layer_norm, rms_norm};
pub use crate::ops::nn::pool::{
    adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d, avg_pool1d, avg_pool2d, avg_pool3d,
    max_pool1d, max_pool2d, max_pool3d,
};
pub use crate::ops::pad::pad;
pub use crate::ops::{
    celu, elu, gelu, hardshrink, hardsigmoid, hardswish, hardtanh, leaky_relu, logsigmoid, mish, relu, relu6,
    selu, sigmoid, silu, softplus, softshrink, softsign, tanh, tanhshrink, threshold,
};

/// What becomes of the losses of the elements of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reduction {
    /// They are kept.
    None = 0,
    #[default]
    Mean = 1,
    Sum = 2,
}

/// `exp(x) / sum(exp(x))` along a dimension.
pub fn softmax(input: &Tensor, dim: i64) -> Result<Tensor> {
    softmax_ops::softmax(input, dim, None)
}
/// `exp(-x) / sum(exp(-x))` along a dimension.
pub fn softmin(input: &Tensor, dim: i64) -> Result<Tensor> {
    softmax_ops::softmax(&ops::neg(input)?, dim, None)
}
/// The logarithm of the softmax along a dimension.
pub fn log_softmax(input: &Tensor, dim: i64) -> Result<Tensor> {
    softmax_ops::log_softmax(input, dim, None)
}
/// The first half along a dimension times the sigmoid of the second.
pub fn glu(input: &Tensor, dim: i64) -> Result<Tensor> {
    let size = input.size(dim)?;
    if size % 2 != 0 {
        bail!("Halving dimension must be even, but dimension {dim} is size {size}");
    }
    let half = |start: i64| ops::shape::narrow(input, dim, start, size / 2);
    half(0)?.mul(&sigmoid(&half(size / 2)?)?)
}
/// While `training`, zero for a share `p` of the elements, and the others divided by `1 - p`.
pub fn dropout(input: &Tensor, p: f64, training: bool) -> Result<Tensor> {
    random::dropout(input, p, training)
}

/// Warns where a loss broadcasts, which is seldom meant.
fn expect_same_sizes(input: &Tensor, target: &Tensor) {
    let (a, b) = (input.sizes(), target.sizes());
    if a != b {
        crate::warn(&format!(
            "Using a target size (torch.Size({})) that is different to the input size (torch.Size({})). This will likely lead to incorrect results due to broadcasting. Please ensure they have the same size.",
            show(&b),
            show(&a)
        ));
    }
}

/// The squared difference.
pub fn mse_loss(input: &Tensor, target: &Tensor, reduction: Reduction) -> Result<Tensor> {
    expect_same_sizes(input, target);
    nn::loss::mse_loss(input, target, reduction as i64)
}
/// The absolute difference.
pub fn l1_loss(input: &Tensor, target: &Tensor, reduction: Reduction) -> Result<Tensor> {
    expect_same_sizes(input, target);
    nn::loss::l1_loss(input, target, reduction as i64)
}
/// Half the squared difference over `beta` below `beta`, the absolute difference less `beta / 2` above.
pub fn smooth_l1_loss(input: &Tensor, target: &Tensor, reduction: Reduction, beta: f64) -> Result<Tensor> {
    expect_same_sizes(input, target);
    nn::loss::smooth_l1_loss(input, target, reduction as i64, beta)
}
/// Half the squared difference below `delta`, linear above (Huber 1964).
pub fn huber_loss(input: &Tensor, target: &Tensor, reduction: Reduction, delta: f64) -> Result<Tensor> {
    expect_same_sizes(input, target);
    nn::loss::huber_loss(input, target, reduction as i64, delta)
}
/// The divergence of Kullback and Leibler from log-probabilities; its mean is over all elements.
pub fn kl_div(input: &Tensor, target: &Tensor, reduction: Reduction, log_target: bool) -> Result<Tensor> {
    nn::loss::kl_div(input, target, reduction as i64, log_target)
}
/// The cross entropy of probabilities with targets in [0, 1].
pub fn binary_cross_entropy(
    input: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    reduction: Reduction,
) -> Result<Tensor> {
    nn::loss::binary_cross_entropy(input, target, weight, reduction as i64)
}
/// The cross entropy of logits with targets in [0, 1].
pub fn binary_cross_entropy_with_logits(
    input: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    pos_weight: Option<&Tensor>,
    reduction: Reduction,
) -> Result<Tensor> {
    nn::loss::binary_cross_entropy_with_logits(input, target, weight, pos_weight, reduction as i64)
}
/// The negated log-probability `(N, C, ...)` of the target classes `(N, ...)`.
pub fn nll_loss(
    input: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    ignore_index: i64,
    reduction: Reduction,
) -> Result<Tensor> {
    nn::loss::nll_loss_nd(input, target, weight, reduction as i64, ignore_index)
}
/// The cross entropy of logits `(N, C, ...)` with target classes `(N, ...)` or probabilities `(N, C, ...)`.
///
/// ```
/// use flambeau::nn::functional::{Reduction, cross_entropy};
/// let logits = flambeau::zeros([2, 4], ())?;
/// let loss = cross_entropy(&logits, &flambeau::tensor([1i64, 3])?, None, -100, Reduction::Mean, 0.0)?;
/// assert_eq!(loss.to_string(), "tensor(1.3863)"); // log 4
/// # Ok::<(), flambeau::Error>(())
/// ```
pub fn cross_entropy(
    input: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    ignore_index: i64,
    reduction: Reduction,
    label_smoothing: f64,
) -> Result<Tensor> {
    nn::loss::cross_entropy_loss(input, target, weight, reduction as i64, ignore_index, label_smoothing)
}

/// How [`interpolate`] resizes: to a `size` or by a `scale_factor`, each one number for all dimensions or one for each.
#[derive(Clone, Debug)]
pub struct InterpolateOptions {
    pub size: Option<Vec<i64>>,
    pub scale_factor: Option<Vec<f64>>,
    /// "nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear" or "area".
    pub mode: &'static str,
    /// Whether the elements at the corners keep their places, where positions are interpolated.
    pub align_corners: bool,
    /// Whether bilinear and bicubic resizing to a smaller size averages over what an element covers.
    pub antialias: bool,
}
impl Default for InterpolateOptions {
    fn default() -> Self {
        let mode = "nearest";
        InterpolateOptions { size: None, scale_factor: None, mode, align_corners: false, antialias: false }
    }
}

/// Resizes `(N, C, ...)` to a size or by a factor.
///
/// ```
/// use flambeau::nn::functional::{InterpolateOptions, interpolate};
/// let x = flambeau::tensor([[[1f32, 3.]]])?;
/// let options = InterpolateOptions { size: Some(vec![3]), mode: "linear", align_corners: true, ..Default::default() };
/// assert_eq!(interpolate(&x, &options)?.to_string(), "tensor([[[1., 2., 3.]]])");
/// # Ok::<(), flambeau::Error>(())
/// ```
pub fn interpolate(input: &Tensor, options: &InterpolateOptions) -> Result<Tensor> {
    use nn::{pool, upsample as up};
    let rank = input.dim();
    let dims = rank.saturating_sub(2);
    let (corners, mode) = (options.align_corners, options.mode);
    if corners && !["linear", "bilinear", "bicubic", "trilinear"].contains(&mode) {
        bail!(
            Value,
            "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear"
        );
    }
    if options.antialias && !["bilinear", "bicubic"].contains(&mode) {
        bail!(Value, "Anti-alias option is restricted to bilinear and bicubic modes");
    }
    fn each<T: Copy>(list: &[T], dims: usize) -> Result<Vec<T>> {
        match list {
            [one] => Ok(vec![*one; dims]),
            many if many.len() == dims => Ok(many.to_vec()),
            many => bail!(
                Value,
                "Input and output must have the same number of spatial dimensions, but got {dims} and {}",
                many.len()
            ),
        }
    }
    let (mut size, mut scales) = match (&options.size, &options.scale_factor) {
        (Some(size), None) => (Some(each(size, dims)?), None),
        (None, Some(scales)) => (None, Some(each(scales, dims)?)),
        (None, None) => bail!(Value, "either size or scale_factor should be defined"),
        _ => bail!(Value, "only one of size or scale_factor should be defined"),
    };
    if mode == "area"
        && let Some(scales) = scales.take()
    {
        let sizes = input.sizes();
        size = Some(sizes[2..].iter().zip(scales).map(|(&n, scale)| (n as f64 * scale) as i64).collect());
    }
    let (size, scales) = (size.as_deref(), scales.as_deref());
    match (mode, rank) {
        ("nearest", 3) => up::upsample_nearest1d_vec(input, size, scales),
        ("nearest", 4) => up::upsample_nearest2d_vec(input, size, scales),
        ("nearest", 5) => up::upsample_nearest3d_vec(input, size, scales),
        ("nearest-exact", 3) => up::upsample_nearest_exact1d_vec(input, size, scales),
        ("nearest-exact", 4) => up::upsample_nearest_exact2d_vec(input, size, scales),
        ("nearest-exact", 5) => up::upsample_nearest_exact3d_vec(input, size, scales),
        ("area", 3) => pool::adaptive_avg_pool1d(input, size.unwrap_or_default()),
        ("area", 4) => pool::adaptive_avg_pool2d(input, size.unwrap_or_default()),
        ("area", 5) => pool::adaptive_avg_pool3d(input, size.unwrap_or_default()),
        ("linear", 3) => up::upsample_linear1d_vec(input, size, corners, scales),
        ("bilinear", 4) if options.antialias => up::upsample_bilinear2d_aa_vec(input, size, corners, scales),
        ("bilinear", 4) => up::upsample_bilinear2d_vec(input, size, corners, scales),
        ("bicubic", 4) if options.antialias => up::upsample_bicubic2d_aa_vec(input, size, corners, scales),
        ("bicubic", 4) => up::upsample_bicubic2d_vec(input, size, corners, scales),
        ("trilinear", 5) => up::upsample_trilinear3d_vec(input, size, corners, scales),
        _ => bail!(NotImplemented, "Got {rank}D input, which the mode {mode:?} does not resize"),
    }
}

/// Losses of single elements, reduced.
fn reduced(loss: Tensor, reduction: Reduction) -> Result<Tensor> {
    match reduction {
        Reduction::None => Ok(loss),
        Reduction::Mean => loss.mean(),
        Reduction::Sum => loss.sum(),
    }
}

/// The mean over classes of the cross entropy of logits `(N, C)` with targets 0 and 1.
pub fn multilabel_soft_margin_loss(
    input: &Tensor,
    target: &Tensor,
    weight: Option<&Tensor>,
    reduction: Reduction,
) -> Result<Tensor> {
    let positive = target.mul(&logsigmoid(input)?)?;
    let negative =
        ops::rsub_scalar(target, 1i64.into(), 1i64.into())?.mul(&logsigmoid(&ops::neg(input)?)?)?;
    let mut loss = ops::neg(&ops::add(&positive, &negative, 1i64.into())?)?;
    if let Some(weight) = weight {
        loss = loss.mul(weight)?;
    }
    let classes = input.size(-1)?;
    reduced(loss.sum_dim(Some(&[-1]), false)?.div_scalar(classes)?, reduction)
}

/// `max(0, |anchor - positive| - |anchor - negative| + margin)`; the settings are margin, order of the norm, what is
/// added to differences, and whether the distance of positive and negative counts too.
pub fn triplet_margin_loss(
    anchor: &Tensor,
    positive: &Tensor,
    negative: &Tensor,
    (margin, p, eps, swap): (f64, f64, f64, bool),
    reduction: Reduction,
) -> Result<Tensor> {
    if margin <= 0.0 {
        bail!(Value, "margin must be greater than 0, got {}", crate::print::python_float(margin));
    }
    if anchor.dim() != positive.dim() || anchor.dim() != negative.dim() {
        bail!(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: anchor {}D, positive {}D, and negative {}D inputs",
            anchor.dim(),
            positive.dim(),
            negative.dim()
        );
    }
    let distance = |a: &Tensor, b: &Tensor| ops::distance::pairwise_distance(a, b, p, eps, false);
    let near = distance(anchor, positive)?;
    let mut far = distance(anchor, negative)?;
    if swap {
        far = far.minimum(&distance(positive, negative)?)?;
    }
    let loss = ops::sub(&near.add_scalar(margin)?, &far, 1i64.into())?;
    reduced(loss.clamp_min(0)?, reduction)
}

/// The negated log-likelihood of targets under normal distributions with means `input` and variances `var`, at least
/// `eps`; `full` adds the constant.
pub fn gaussian_nll_loss(
    input: &Tensor,
    target: &Tensor,
    var: &Tensor,
    full: bool,
    eps: f64,
    reduction: Reduction,
) -> Result<Tensor> {
    if var.lt_scalar(0)?.any()?.item()?.to_bool() {
        bail!(Value, "var has negative entry/entries");
    }
    let (wide, given) = (input.sizes(), var.sizes());
    let mut var = var.clone();
    if given != wide {
        let fits = given.len() == wide.len() && given.iter().zip(&wide).all(|(&v, &n)| v == 1 || v == n);
        if wide.split_last().is_some_and(|(_, rest)| given[..] == *rest) {
            var = var.unsqueeze(-1)?; // one variance for all outputs of a sample
        } else if !fits {
            bail!(Value, "var is of incorrect size");
        }
    }
    let var = var.deep_clone()?;
    crate::autograd::no_grad(|| var.clamp_min_(eps))?;
    let square = ops::sub(input, target, 1i64.into())?.pow_scalar(2)?;
    let mut loss = ops::add(&var.log()?, &square.div(&var)?, 1i64.into())?.mul_scalar(0.5)?;
    if full {
        loss = loss.add_scalar(0.5 * (2.0 * std::f64::consts::PI).ln())?;
    }
    reduced(loss, reduction)
}
