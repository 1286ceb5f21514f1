//! Losses as modules: they compare an input with a target.

use super::functional::{self as F, Reduction};
use super::module::Module;
use crate::ops::nn::{ctc, loss, margin};
use crate::{Result, Tensor};

/// A module that compares an input with a target.
pub trait Loss: Module {
    fn forward(&self, input: &Tensor, target: &Tensor) -> Result<Tensor>;
}

/// One loss a line: its name, its settings beside the reduction with their defaults, and the function.
macro_rules! losses {
    ($(
        $(#[$doc:meta])*
        $name:ident { $($field:ident: $type:ty = $default:expr),* } |$me:ident, $input:ident, $target:ident| $value:expr;
    )*) => { $(
        $(#[$doc])*
        #[derive(Clone, Debug, Module)]
        pub struct $name {
            #[module(skip)]
            pub reduction: Reduction,
            $(pub $field: $type),*
        }
        impl Default for $name {
            fn default() -> Self {
                $name { reduction: Reduction::Mean, $($field: $default),* }
            }
        }
        impl Loss for $name {
            fn forward(&self, $input: &Tensor, $target: &Tensor) -> Result<Tensor> {
                let $me = self;
                $value
            }
        }
    )* };
}

losses! {
    /// The squared difference.
    MSELoss {} |me, x, y| F::mse_loss(x, y, me.reduction);
    /// The absolute difference.
    L1Loss {} |me, x, y| F::l1_loss(x, y, me.reduction);
    /// Half the squared difference over `beta` below `beta`, the absolute difference less `beta / 2` above.
    SmoothL1Loss { beta: f64 = 1.0 } |me, x, y| F::smooth_l1_loss(x, y, me.reduction, me.beta);
    /// Half the squared difference below `delta`, linear above (Huber 1964).
    HuberLoss { delta: f64 = 1.0 } |me, x, y| F::huber_loss(x, y, me.reduction, me.delta);
    /// The divergence of Kullback and Leibler from log-probabilities.
    KLDivLoss { log_target: bool = false } |me, x, y| F::kl_div(x, y, me.reduction, me.log_target);
    /// The cross entropy of probabilities with targets in [0, 1].
    BCELoss { weight: Option<Tensor> = None } |me, x, y| F::binary_cross_entropy(x, y, me.weight.as_ref(), me.reduction);
    /// The cross entropy of logits with targets in [0, 1].
    BCEWithLogitsLoss { weight: Option<Tensor> = None, pos_weight: Option<Tensor> = None } |me, x, y|
        F::binary_cross_entropy_with_logits(x, y, me.weight.as_ref(), me.pos_weight.as_ref(), me.reduction);
    /// The negated log-probability `(N, C, ...)` of the target classes `(N, ...)`.
    NLLLoss { weight: Option<Tensor> = None, ignore_index: i64 = -100 } |me, x, y|
        F::nll_loss(x, y, me.weight.as_ref(), me.ignore_index, me.reduction);
    /// The cross entropy of logits `(N, C, ...)` with target classes `(N, ...)` or probabilities `(N, C, ...)`.
    CrossEntropyLoss { weight: Option<Tensor> = None, ignore_index: i64 = -100, label_smoothing: f64 = 0.0 } |me, x, y|
        F::cross_entropy(x, y, me.weight.as_ref(), me.ignore_index, me.reduction, me.label_smoothing);
    /// `log(1 + exp(-y x))` for targets of 1 and -1.
    SoftMarginLoss {} |me, x, y| loss::soft_margin_loss(x, y, me.reduction as i64);
    /// `x` where the target is 1, `max(0, margin - x)` where it is -1.
    HingeEmbeddingLoss { margin: f64 = 1.0 } |me, x, y| loss::hinge_embedding_loss(x, y, me.margin, me.reduction as i64);
    /// The negated log-likelihood of counts under a Poisson distribution of rate `x`, or of log-rate `x` with `log_input`.
    PoissonNLLLoss { log_input: bool = true, full: bool = false, eps: f64 = 1e-8 } |me, x, y|
        loss::poisson_nll_loss(x, y, me.log_input, me.full, me.eps, me.reduction as i64);
    /// The hinge loss of every pair of a target class and another; each row of targets ends at its first -1.
    MultiLabelMarginLoss {} |me, x, y| margin::multilabel_margin_loss(x, y, me.reduction as i64);
    /// The mean over classes of the cross entropy of logits `(N, C)` with targets 0 and 1.
    MultiLabelSoftMarginLoss { weight: Option<Tensor> = None } |me, x, y|
        F::multilabel_soft_margin_loss(x, y, me.weight.as_ref(), me.reduction);
    /// The mean over other classes of `max(0, margin - x[target] + x[other]) ^ p`.
    MultiMarginLoss { p: i64 = 1, margin: f64 = 1.0, weight: Option<Tensor> = None } |me, x, y|
        margin::multi_margin_loss(x, y, me.p.into(), me.margin.into(), me.weight.as_ref(), me.reduction as i64);
}

/// A loss of two inputs and a target a line.
macro_rules! paired { ($(
    $(#[$doc:meta])*
    $name:ident { $($field:ident: $type:ty = $default:expr),* } ($a:ident, $b:ident, $c:ident) |$me:ident| $value:expr;
)*) => { $(
    $(#[$doc])*
    #[derive(Clone, Copy, Debug, Module)]
    pub struct $name {
        #[module(skip)]
        pub reduction: Reduction,
        $(pub $field: $type),*
    }
    impl Default for $name {
        fn default() -> Self {
            $name { reduction: Reduction::Mean, $($field: $default),* }
        }
    }
    impl $name {
        pub fn forward(&self, $a: &Tensor, $b: &Tensor, $c: &Tensor) -> Result<Tensor> {
            let $me = self;
            $value
        }
    }
)* } }
paired! {
    /// `max(0, -y (x1 - x2) + margin)`.
    MarginRankingLoss { margin: f64 = 0.0 } (input1, input2, target) |me|
        loss::margin_ranking_loss(input1, input2, target, me.margin, me.reduction as i64);
    /// `1 - cos(x1, x2)` where the target is 1, `max(0, cos(x1, x2) - margin)` where it is -1.
    CosineEmbeddingLoss { margin: f64 = 0.0 } (input1, input2, target) |me|
        loss::cosine_embedding_loss(input1, input2, target, me.margin, me.reduction as i64);
    /// `max(0, |a - p| - |a - n| + margin)` in the `p`-norm; `swap` also looks at the distance of positive and negative
    /// (Balntas et al. 2016).
    TripletMarginLoss { margin: f64 = 1.0, p: f64 = 2.0, eps: f64 = 1e-6, swap: bool = false } (anchor, positive, negative) |me|
        F::triplet_margin_loss(anchor, positive, negative, (me.margin, me.p, me.eps, me.swap), me.reduction);
    /// The negated log-likelihood of targets under normal distributions with means `input` and variances `var`.
    GaussianNLLLoss { full: bool = false, eps: f64 = 1e-6 } (input, target, var) |me|
        F::gaussian_nll_loss(input, target, var, me.full, me.eps, me.reduction);
}

/// Connectionist temporal classification (Graves et al. 2006).
#[derive(Clone, Copy, Debug, Module)]
pub struct CTCLoss {
    pub blank: i64,
    #[module(skip)]
    pub reduction: Reduction,
    /// Whether infinite losses, of targets longer than their inputs, count as zero.
    pub zero_infinity: bool,
}
impl Default for CTCLoss {
    fn default() -> Self {
        CTCLoss { blank: 0, reduction: Reduction::Mean, zero_infinity: false }
    }
}
impl CTCLoss {
    /// The loss of log-probabilities `(time, batch, classes)` and targets `(batch, length)` or all in one vector.
    pub fn forward(
        &self,
        log_probs: &Tensor,
        targets: &Tensor,
        input_lengths: &[i64],
        target_lengths: &[i64],
    ) -> Result<Tensor> {
        let reduction = self.reduction as i64;
        let (blank, zero) = (self.blank, self.zero_infinity);
        ctc::ctc_loss_int_list(log_probs, targets, input_lengths, target_lengths, blank, reduction, zero)
    }
}
