//! RMSprop (Hinton's lecture 6e of 2012; centred as in Graves 2013).

use super::fused;
use super::optimizer::{Algorithm, Optimizer, State, add_, addcdiv_, addcmul_, direction, real};
use super::settings::{at_least_zero, settings};
use crate::{Result, Tensor, ops};
use flambeau_cpu::optim::{RmsProp, Step};
use smallvec::SmallVec;

settings! {
    /// Settings of [`RMSprop`].
    RMSpropOptions {
        lr: f64 = 1e-2,
        momentum: f64 = 0.0,
        /// The decay rate of the running mean of squares.
        alpha: f64 = 0.99,
        eps: f64 = 1e-8,
        /// Divides by the standard deviation instead of the root mean square.
        centered: bool = false,
        weight_decay: f64 = 0.0,
        maximize: bool = false,
    }
}

/// Divides the gradient by the root of a running mean of its squares.
pub type RMSprop = Optimizer<RMSpropOptions>;

impl Algorithm for RMSpropOptions {
    const NAME: &'static str = "RMSprop";
    fn learning_rate(&mut self) -> &mut f64 {
        &mut self.lr
    }
    fn check(&self) -> Result<()> {
        at_least_zero("learning rate", self.lr)?;
        at_least_zero("epsilon value", self.eps)?;
        at_least_zero("momentum value", self.momentum)?;
        at_least_zero("weight_decay value", self.weight_decay)?;
        at_least_zero("alpha value", self.alpha)
    }
    fn update(&self, parameter: &Tensor, grad: &Tensor, state: &mut State) -> Result<()> {
        state.count();
        let square = state.zeros("square_avg", parameter)?;
        let mean = if self.centered { Some(state.zeros("grad_avg", parameter)?) } else { None };
        let buffer =
            if self.momentum > 0.0 { Some(state.zeros("momentum_buffer", parameter)?) } else { None };
        self.step(parameter, grad, &square, mean.as_ref(), buffer.as_ref())
    }
}

impl RMSpropOptions {
    /// A step, given what is remembered of the parameter: centred if there is a mean, with momentum if there is a buffer.
    pub(crate) fn step(
        &self,
        parameter: &Tensor,
        grad: &Tensor,
        square: &Tensor,
        mean: Option<&Tensor>,
        buffer: Option<&Tensor>,
    ) -> Result<()> {
        let &RMSpropOptions { lr, momentum, alpha, eps, weight_decay, maximize, .. } = self;
        let step = Step::RmsProp(RmsProp { lr, momentum, alpha, eps, weight_decay, maximize });
        let x: SmallVec<[&Tensor; 4]> = [parameter, square].into_iter().chain(buffer).collect();
        if mean.is_none() && fused::run(step, grad, &x)? {
            return Ok(());
        }
        let grad = real(&direction(grad, parameter, maximize, weight_decay)?)?;
        let square = real(square)?;
        square.mul_scalar_(alpha)?;
        addcmul_(&square, &grad, &grad, 1.0 - alpha)?;
        let root = match mean {
            Some(mean) => {
                let mean = real(mean)?;
                mean.lerp_scalar_(&grad, 1.0 - alpha)?;
                ops::addcmul(&square, &mean, &mean, (-1i64).into())?.sqrt()?
            }
            None => square.sqrt()?,
        };
        root.add_scalar_(eps)?;
        let parameter = real(parameter)?;
        let Some(buffer) = buffer else { return addcdiv_(&parameter, &grad, &root, -lr) };
        let buffer = real(buffer)?;
        buffer.mul_scalar_(momentum)?;
        addcdiv_(&buffer, &grad, &root, 1.0)?;
        add_(&parameter, &buffer, -lr)
    }
}
