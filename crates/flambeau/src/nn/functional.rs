//! Layers as functions, `torch.nn.functional`.

use crate::ops::{nn, random, softmax as softmax_ops};
use crate::{Result, Tensor, ops};
use flambeau_core::show;

pub use crate::ops::matmul::linear;
pub use crate::ops::nn::conv::{
    conv_transpose1d, conv_transpose2d, conv_transpose3d, conv1d, conv2d, conv3d,
};
pub use crate::ops::nn::embedding::embedding;
pub use crate::ops::nn::norm::{batch_norm, group_norm, layer_norm};
pub use crate::ops::nn::pool::{
    adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d, avg_pool1d, avg_pool2d, avg_pool3d,
    max_pool1d, max_pool2d, max_pool3d,
};
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
