//! Losses as modules: they compare an input with a target.

use super::functional::{self as F, Reduction};
use super::module::Module;
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
}
