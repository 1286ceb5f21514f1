//! Adam (Kingma and Ba 2015), and with decoupled weight decay AdamW (Loshchilov and Hutter 2019).

use super::fused;
use super::optimizer::{Algorithm, Optimizer, State, addcdiv_, addcmul_, direction, real};
use super::settings::{at_least_zero, betas_in_range, settings};
use crate::{Result, Tensor};
use flambeau_cpu::optim::{self as cpu, Step};
use smallvec::SmallVec;

settings! {
    /// Settings of [`Adam`].
    AdamOptions {
        lr: f64 = 1e-3,
        /// Decay rates of the running means of gradients and of their squares.
        betas: (f64, f64) = (0.9, 0.999),
        eps: f64 = 1e-8,
        weight_decay: f64 = 0.0,
        /// Divides by the largest root so far (Reddi et al. 2018).
        amsgrad: bool = false,
        maximize: bool = false,
    }
}
settings! {
    /// Settings of [`AdamW`].
    AdamWOptions {
        lr: f64 = 1e-3,
        /// Decay rates of the running means of gradients and of their squares.
        betas: (f64, f64) = (0.9, 0.999),
        eps: f64 = 1e-8,
        weight_decay: f64 = 1e-2,
        /// Divides by the largest root so far (Reddi et al. 2018).
        amsgrad: bool = false,
        maximize: bool = false,
    }
}

/// Steps along the running mean of the gradients divided by the root of that of their squares.
pub type Adam = Optimizer<AdamOptions>;
/// Adam whose weight decay shrinks the parameters directly, not through the gradient.
pub type AdamW = Optimizer<AdamWOptions>;

impl AdamOptions {
    fn check(&self) -> Result<()> {
        at_least_zero("learning rate", self.lr)?;
        at_least_zero("epsilon value", self.eps)?;
        betas_in_range(self.betas)?;
        at_least_zero("weight_decay value", self.weight_decay)
    }
    fn update(&self, decoupled: bool, parameter: &Tensor, grad: &Tensor, state: &mut State) -> Result<()> {
        let count = state.count();
        let average = state.zeros("exp_avg", parameter)?;
        let square = state.zeros("exp_avg_sq", parameter)?;
        let largest = if self.amsgrad { Some(state.zeros("max_exp_avg_sq", parameter)?) } else { None };
        self.step(decoupled, count, parameter, grad, &average, &square, largest.as_ref())
    }

    /// The step number `count` of a parameter, given what is remembered of it.
    pub(crate) fn step(
        &self,
        decoupled: bool,
        count: f64,
        parameter: &Tensor,
        grad: &Tensor,
        average: &Tensor,
        square: &Tensor,
        largest: Option<&Tensor>,
    ) -> Result<()> {
        let &AdamOptions { lr, betas, eps, weight_decay, maximize, .. } = self;
        let step = Step::Adam(cpu::Adam { lr, betas, eps, weight_decay, decoupled, maximize, count });
        let x: SmallVec<[&Tensor; 4]> = [parameter, average, square].into_iter().chain(largest).collect();
        if fused::run(step, grad, &x)? {
            return Ok(());
        }
        let (beta1, beta2) = betas;
        if decoupled && weight_decay != 0.0 {
            parameter.mul_scalar_(1.0 - lr * weight_decay)?;
        }
        let decay = if decoupled { 0.0 } else { weight_decay };
        let grad = real(&direction(grad, parameter, maximize, decay)?)?;
        let (average, square) = (real(average)?, real(square)?);
        average.lerp_scalar_(&grad, 1.0 - beta1)?;
        square.mul_scalar_(beta2)?;
        addcmul_(&square, &grad, &grad, 1.0 - beta2)?;
        let correction1 = 1.0 - beta1.powf(count);
        let correction2_root = (1.0 - beta2.powf(count)).sqrt();
        let second = match largest {
            Some(largest) => {
                let largest = real(largest)?;
                crate::ops::shape::copy_(&largest, &largest.maximum(&square)?, false)?;
                largest
            }
            None => square,
        };
        let denominator = second.sqrt()?.div_scalar(correction2_root)?;
        denominator.add_scalar_(eps)?;
        addcdiv_(&real(parameter)?, &average, &denominator, -(lr / correction1))
    }
}

impl Algorithm for AdamOptions {
    const NAME: &'static str = "Adam";
    const OTHERS: &'static [(&'static str, Option<bool>)] = &[
        ("foreach", None),
        ("capturable", Some(false)),
        ("differentiable", Some(false)),
        ("fused", None),
        ("decoupled_weight_decay", Some(false)),
    ];
    fn learning_rate(&mut self) -> &mut f64 {
        &mut self.lr
    }
    fn check(&self) -> Result<()> {
        self.check()
    }
    fn update(&self, parameter: &Tensor, grad: &Tensor, state: &mut State) -> Result<()> {
        self.update(false, parameter, grad, state)
    }
}

impl AdamWOptions {
    pub(crate) fn shared(self) -> AdamOptions {
        let AdamWOptions { lr, betas, eps, weight_decay, amsgrad, maximize } = self;
        AdamOptions { lr, betas, eps, weight_decay, amsgrad, maximize }
    }
}
impl Algorithm for AdamWOptions {
    const NAME: &'static str = "AdamW";
    const OTHERS: &'static [(&'static str, Option<bool>)] = &[
        ("foreach", None),
        ("capturable", Some(false)),
        ("differentiable", Some(false)),
        ("fused", None),
        ("decoupled_weight_decay", Some(true)),
    ];
    fn learning_rate(&mut self) -> &mut f64 {
        &mut self.lr
    }
    fn check(&self) -> Result<()> {
        self.shared().check()
    }
    fn update(&self, parameter: &Tensor, grad: &Tensor, state: &mut State) -> Result<()> {
        self.shared().update(true, parameter, grad, state)
    }
}
