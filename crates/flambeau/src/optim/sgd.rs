//! Stochastic gradient descent, optionally with momentum (Sutskever et al. 2013).

use super::fused;
use super::optimizer::{Algorithm, Optimizer, State, add_, direction};
use super::settings::{at_least_zero, settings};
use crate::ops::shape::{clone_dense, copy_};
use crate::{Result, Tensor, ops};
use flambeau_core::bail;
use flambeau_cpu::optim::{Sgd, Step};
use smallvec::SmallVec;

settings! {
    /// Settings of [`SGD`].
    SGDOptions {
        lr: f64 = 1e-3,
        momentum: f64 = 0.0,
        /// How much less than whole a gradient enters the momentum.
        dampening: f64 = 0.0,
        weight_decay: f64 = 0.0,
        /// Looks ahead along the momentum (Nesterov 1983).
        nesterov: bool = false,
        maximize: bool = false,
    }
}

/// `param -= lr * (grad + weight_decay * param)`, or with momentum by a running sum of such gradients.
pub type SGD = Optimizer<SGDOptions>;

impl Algorithm for SGDOptions {
    const NAME: &'static str = "SGD";
    const OTHERS: &'static [(&'static str, Option<bool>)] =
        &[("foreach", None), ("differentiable", Some(false)), ("fused", None)];
    const SPARSE: bool = true;
    fn learning_rate(&mut self) -> &mut f64 {
        &mut self.lr
    }
    fn check(&self) -> Result<()> {
        at_least_zero("learning rate", self.lr)?;
        at_least_zero("momentum value", self.momentum)?;
        at_least_zero("weight_decay value", self.weight_decay)?;
        if self.nesterov && (self.momentum <= 0.0 || self.dampening != 0.0) {
            bail!(Value, "Nesterov momentum requires a momentum and zero dampening");
        }
        Ok(())
    }
    fn update(&self, parameter: &Tensor, grad: &Tensor, state: &mut State) -> Result<()> {
        if self.momentum == 0.0 {
            return self.step(parameter, grad, None, false);
        }
        let (buffer, first) = match state.get("momentum_buffer") {
            Some(buffer) => (buffer, false),
            None if grad.is_sparse() => (crate::ops::shape::clone(&grad.detach()?, None)?, true),
            None => (clone_dense(&grad.detach()?)?, true),
        };
        self.step(parameter, grad, Some(&buffer), first)?;
        if first {
            state.insert("momentum_buffer", buffer);
        }
        Ok(())
    }
}

impl SGDOptions {
    /// A step, with momentum if there is a buffer; the `first` one fills it.
    pub(crate) fn step(
        &self,
        parameter: &Tensor,
        grad: &Tensor,
        buffer: Option<&Tensor>,
        first: bool,
    ) -> Result<()> {
        let &SGDOptions { lr, momentum, dampening, weight_decay, nesterov, maximize } = self;
        let step = Step::Sgd(Sgd { lr, momentum, dampening, weight_decay, nesterov, maximize, first });
        let x: SmallVec<[&Tensor; 4]> = [parameter].into_iter().chain(buffer).collect();
        if !grad.is_sparse() && fused::run(step, grad, &x)? {
            return Ok(());
        }
        let mut grad = direction(grad, parameter, maximize, weight_decay)?;
        if let Some(buffer) = buffer {
            if first {
                copy_(buffer, &grad, false)?;
            } else {
                buffer.mul_scalar_(momentum)?;
                add_(buffer, &grad, 1.0 - dampening)?;
            }
            grad = if nesterov { ops::add(&grad, buffer, momentum.into())? } else { buffer.clone() };
        }
        add_(parameter, &grad, -lr)
    }
}
