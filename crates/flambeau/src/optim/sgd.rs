//! Stochastic gradient descent, optionally with momentum (Sutskever et al. 2013).

use super::optimizer::{Algorithm, Optimizer, State, add_, direction};
use super::settings::{at_least_zero, settings};
use crate::ops::shape::clone_dense;
use crate::{Result, Tensor, ops};
use flambeau_core::bail;

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
        let mut grad = direction(grad, parameter, self.maximize, self.weight_decay)?;
        if self.momentum != 0.0 {
            let buffer = match state.get("momentum_buffer") {
                Some(buffer) => {
                    buffer.mul_scalar_(self.momentum)?;
                    add_(&buffer, &grad, 1.0 - self.dampening)?;
                    buffer
                }
                None => {
                    let buffer = clone_dense(&grad.detach()?)?;
                    state.insert("momentum_buffer", buffer.clone());
                    buffer
                }
            };
            grad = if self.nesterov { ops::add(&grad, &buffer, self.momentum.into())? } else { buffer };
        }
        add_(parameter, &grad, -self.lr)
    }
}
