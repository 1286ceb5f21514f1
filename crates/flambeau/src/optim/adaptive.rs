//! Relatives of Adam: NAdam (Dozat 2016), RAdam (Liu et al. 2020), Adamax (Kingma and Ba 2015), Adadelta (Zeiler 2012).

use super::optimizer::{Algorithm, Optimizer, State, add_, addcdiv_, addcmul_, direction, real};
use super::settings::{at_least_zero, betas_in_range, settings};
use crate::ops::shape::copy_;
use crate::{Result, Tensor, ops};
use flambeau_core::bail;

settings! {
    /// Settings of [`NAdam`].
    NAdamOptions {
        lr: f64 = 2e-3,
        betas: (f64, f64) = (0.9, 0.999),
        eps: f64 = 1e-8,
        weight_decay: f64 = 0.0,
        momentum_decay: f64 = 4e-3,
        /// Shrinks the parameters directly, not through the gradient.
        decoupled_weight_decay: bool = false,
        maximize: bool = false,
    }
}
settings! {
    /// Settings of [`RAdam`].
    RAdamOptions {
        lr: f64 = 1e-3,
        betas: (f64, f64) = (0.9, 0.999),
        eps: f64 = 1e-8,
        weight_decay: f64 = 0.0,
        /// Shrinks the parameters directly, not through the gradient.
        decoupled_weight_decay: bool = false,
        maximize: bool = false,
    }
}
settings! {
    /// Settings of [`Adamax`].
    AdamaxOptions {
        lr: f64 = 2e-3,
        betas: (f64, f64) = (0.9, 0.999),
        eps: f64 = 1e-8,
        weight_decay: f64 = 0.0,
        maximize: bool = false,
    }
}
settings! {
    /// Settings of [`Adadelta`].
    AdadeltaOptions {
        lr: f64 = 1.0,
        /// The decay rate of the running means.
        rho: f64 = 0.9,
        eps: f64 = 1e-6,
        weight_decay: f64 = 0.0,
        maximize: bool = false,
    }
}

/// Adam with Nesterov's momentum.
pub type NAdam = Optimizer<NAdamOptions>;
/// Adam that waits until the variance of its steps is known.
pub type RAdam = Optimizer<RAdamOptions>;
/// Adam that divides by a decaying maximum of the gradients.
pub type Adamax = Optimizer<AdamaxOptions>;
/// Steps by the ratio of the running roots of squared updates and squared gradients.
pub type Adadelta = Optimizer<AdadeltaOptions>;

fn check(lr: f64, betas: (f64, f64), eps: f64, weight_decay: f64) -> Result<()> {
    at_least_zero("learning rate", lr)?;
    at_least_zero("epsilon value", eps)?;
    betas_in_range(betas)?;
    at_least_zero("weight_decay value", weight_decay)
}

/// The gradient with weight decay, which if decoupled shrinks the parameter instead.
fn decayed(
    parameter: &Tensor,
    grad: &Tensor,
    maximize: bool,
    (lr, weight_decay, decoupled): (f64, f64, bool),
) -> Result<Tensor> {
    if decoupled && weight_decay != 0.0 {
        parameter.mul_scalar_(1.0 - lr * weight_decay)?;
    }
    real(&direction(grad, parameter, maximize, if decoupled { 0.0 } else { weight_decay })?)
}

/// Moves the running means of a gradient and of its squares.
fn averages(
    state: &mut State,
    parameter: &Tensor,
    grad: &Tensor,
    (beta1, beta2): (f64, f64),
) -> Result<(Tensor, Tensor)> {
    let average = real(&state.zeros("exp_avg", parameter)?)?;
    let square = real(&state.zeros("exp_avg_sq", parameter)?)?;
    average.lerp_scalar_(grad, 1.0 - beta1)?;
    square.mul_scalar_(beta2)?;
    addcmul_(&square, grad, grad, 1.0 - beta2)?;
    Ok((average, square))
}

impl Algorithm for NAdamOptions {
    const NAME: &'static str = "NAdam";
    fn learning_rate(&mut self) -> &mut f64 {
        &mut self.lr
    }
    fn check(&self) -> Result<()> {
        check(self.lr, self.betas, self.eps, self.weight_decay)?;
        at_least_zero("momentum_decay value", self.momentum_decay)
    }
    fn update(&self, parameter: &Tensor, grad: &Tensor, state: &mut State) -> Result<()> {
        let &NAdamOptions { lr, betas, eps, weight_decay, momentum_decay, .. } = self;
        let count = state.count();
        let product = state.scalar("mu_product", 1.0);
        let grad = decayed(parameter, grad, self.maximize, (lr, weight_decay, self.decoupled_weight_decay))?;
        let momentum = |count: f64| betas.0 * (1.0 - 0.5 * 0.96f64.powf(count * momentum_decay));
        let (now, next) = (momentum(count), momentum(count + 1.0));
        product.mul_scalar_(now)?;
        let (average, square) = averages(state, parameter, &grad, betas)?;
        let root = square.div_scalar(1.0 - betas.1.powf(count))?.sqrt()?;
        root.add_scalar_(eps)?;
        let so_far = product.to_f64()?;
        let parameter = real(parameter)?;
        addcdiv_(&parameter, &grad, &root, -lr * (1.0 - now) / (1.0 - so_far))?;
        addcdiv_(&parameter, &average, &root, (-lr * next) / (1.0 - so_far * next))
    }
}

impl Algorithm for RAdamOptions {
    const NAME: &'static str = "RAdam";
    fn learning_rate(&mut self) -> &mut f64 {
        &mut self.lr
    }
    fn check(&self) -> Result<()> {
        check(self.lr, self.betas, self.eps, self.weight_decay)
    }
    fn update(&self, parameter: &Tensor, grad: &Tensor, state: &mut State) -> Result<()> {
        let &RAdamOptions { lr, betas: (beta1, beta2), eps, weight_decay, .. } = self;
        let count = state.count();
        let grad = decayed(parameter, grad, self.maximize, (lr, weight_decay, self.decoupled_weight_decay))?;
        let (average, square) = averages(state, parameter, &grad, self.betas)?;
        let correction = 1.0 - beta2.powf(count);
        let mean = average.div_scalar(1.0 - beta1.powf(count))?.mul_scalar(lr)?;
        // The lengths of the simple moving averages that have the variance of beta2's: in the long run, and now.
        let longest = 2.0 / (1.0 - beta2) - 1.0;
        let length = longest - 2.0 * count * beta2.powf(count) / correction;
        let parameter = real(parameter)?;
        if length <= 5.0 {
            return add_(&parameter, &mean, -1.0);
        }
        let rectified =
            ((length - 4.0) * (length - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * length)).sqrt();
        let root = square.sqrt()?;
        root.add_scalar_(eps)?;
        let adaptive = root.reciprocal()?.mul_scalar(correction.sqrt())?;
        add_(&parameter, &mean.mul(&adaptive)?.mul_scalar(rectified)?, -1.0)
    }
}

impl Algorithm for AdamaxOptions {
    const NAME: &'static str = "Adamax";
    fn learning_rate(&mut self) -> &mut f64 {
        &mut self.lr
    }
    fn check(&self) -> Result<()> {
        check(self.lr, self.betas, self.eps, self.weight_decay)
    }
    fn update(&self, parameter: &Tensor, grad: &Tensor, state: &mut State) -> Result<()> {
        let &AdamaxOptions { lr, betas: (beta1, beta2), eps, weight_decay, maximize } = self;
        let count = state.count();
        let grad = real(&direction(grad, parameter, maximize, weight_decay)?)?;
        let average = real(&state.zeros("exp_avg", parameter)?)?;
        let largest = real(&state.zeros("exp_inf", parameter)?)?;
        average.lerp_scalar_(&grad, 1.0 - beta1)?;
        let size = grad.abs()?.add_scalar(eps)?;
        copy_(&largest, &largest.mul_scalar(beta2)?.maximum(&size)?, false)?;
        addcdiv_(&real(parameter)?, &average, &largest, -(lr / (1.0 - beta1.powf(count))))
    }
}

impl Algorithm for AdadeltaOptions {
    const NAME: &'static str = "Adadelta";
    fn learning_rate(&mut self) -> &mut f64 {
        &mut self.lr
    }
    fn check(&self) -> Result<()> {
        at_least_zero("learning rate", self.lr)?;
        if !(0.0..=1.0).contains(&self.rho) {
            bail!(Value, "Invalid rho value: {}", crate::print::python_float(self.rho));
        }
        at_least_zero("epsilon value", self.eps)?;
        at_least_zero("weight_decay value", self.weight_decay)
    }
    fn update(&self, parameter: &Tensor, grad: &Tensor, state: &mut State) -> Result<()> {
        let &AdadeltaOptions { lr, rho, eps, weight_decay, maximize } = self;
        state.count();
        let grad = real(&direction(grad, parameter, maximize, weight_decay)?)?;
        let square = real(&state.zeros("square_avg", parameter)?)?;
        let deltas = real(&state.zeros("acc_delta", parameter)?)?;
        square.mul_scalar_(rho)?;
        addcmul_(&square, &grad, &grad, 1.0 - rho)?;
        let root = square.add_scalar(eps)?.sqrt()?;
        let delta = ops::div(&deltas.add_scalar(eps)?.sqrt()?, &root)?.mul(&grad)?;
        deltas.mul_scalar_(rho)?;
        addcmul_(&deltas, &delta, &delta, 1.0 - rho)?;
        add_(&real(parameter)?, &delta, -lr)
    }
}
