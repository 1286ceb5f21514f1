//! RMSprop (Hinton's lecture 6e of 2012; centred as in Graves 2013).

use super::optimizer::{Algorithm, Optimizer, State, add_, addcdiv_, addcmul_, direction, real};
use super::settings::{at_least_zero, settings};
use crate::{Result, Tensor, ops};

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
        let grad = real(&direction(grad, parameter, self.maximize, self.weight_decay)?)?;
        let square = real(&state.zeros("square_avg", parameter)?)?;
        square.mul_scalar_(self.alpha)?;
        addcmul_(&square, &grad, &grad, 1.0 - self.alpha)?;
        let root = if self.centered {
            let mean = real(&state.zeros("grad_avg", parameter)?)?;
            mean.lerp_scalar_(&grad, 1.0 - self.alpha)?;
            ops::addcmul(&square, &mean, &mean, (-1i64).into())?.sqrt()?
        } else {
            square.sqrt()?
        };
        root.add_scalar_(self.eps)?;
        let parameter_view = real(parameter)?;
        if self.momentum > 0.0 {
            let buffer = real(&state.zeros("momentum_buffer", parameter)?)?;
            buffer.mul_scalar_(self.momentum)?;
            addcdiv_(&buffer, &grad, &root, 1.0)?;
            add_(&parameter_view, &buffer, -self.lr)
        } else {
            addcdiv_(&parameter_view, &grad, &root, -self.lr)
        }
    }
}
