//! Adagrad (Duchi et al. 2011).

use super::fused;
use super::optimizer::{Algorithm, Optimizer, State, add_, addcdiv_, addcmul_, direction, real};
use super::settings::{at_least_zero, settings};
use super::sparse_adam::at_entries;
use crate::ops::sparse;
use crate::{Result, Scalar, Tensor, ops};
use flambeau_core::{C64, bail};
use flambeau_cpu::optim::{self as cpu, Step};

settings! {
    /// Settings of [`Adagrad`].
    AdagradOptions {
        lr: f64 = 1e-2,
        lr_decay: f64 = 0.0,
        weight_decay: f64 = 0.0,
        initial_accumulator_value: f64 = 0.0,
        eps: f64 = 1e-10,
        maximize: bool = false,
    }
}

/// Divides the gradient by the root of the sum of all its squares so far.
pub type Adagrad = Optimizer<AdagradOptions>;

impl Algorithm for AdagradOptions {
    const NAME: &'static str = "Adagrad";
    const OTHERS: &'static [(&'static str, Option<bool>)] =
        &[("foreach", None), ("differentiable", Some(false)), ("fused", None)];
    const SPARSE: bool = true;
    fn learning_rate(&mut self) -> &mut f64 {
        &mut self.lr
    }
    fn check(&self) -> Result<()> {
        at_least_zero("learning rate", self.lr)?;
        at_least_zero("lr_decay value", self.lr_decay)?;
        at_least_zero("weight_decay value", self.weight_decay)?;
        at_least_zero("initial_accumulator_value value", self.initial_accumulator_value)?;
        at_least_zero("epsilon value", self.eps)
    }
    fn start(&self, parameter: &Tensor, state: &mut State) -> Result<()> {
        let first = self.initial_accumulator_value;
        let value =
            if parameter.is_complex() { Scalar::Complex(C64::new(first, first)) } else { first.into() };
        let options = (parameter.dtype(), parameter.device()).into();
        state.step = Some(0);
        state.insert("sum", ops::creation::full(&parameter.sizes(), value, &options)?);
        Ok(())
    }
    fn update(&self, parameter: &Tensor, grad: &Tensor, state: &mut State) -> Result<()> {
        let count = state.count();
        let total = state.zeros("sum", parameter)?;
        self.step(count, parameter, grad, &total)
    }
}

impl AdagradOptions {
    /// The step number `count` of a parameter, given the sum of the squares of its gradients.
    pub(crate) fn step(&self, count: f64, parameter: &Tensor, grad: &Tensor, total: &Tensor) -> Result<()> {
        let &AdagradOptions { eps, weight_decay, maximize, .. } = self;
        let rate = self.lr / (1.0 + (count - 1.0) * self.lr_decay);
        if grad.is_sparse() {
            if weight_decay != 0.0 {
                bail!("weight_decay option is not compatible with sparse gradients");
            }
            // The rows with a gradient only; values at the same index have to be added up first.
            let grad = sparse::coalesce(grad)?;
            let values = sparse::raw_values(&grad)?;
            let values = if maximize { values.neg()? } else { values };
            add_(total, &at_entries(&grad, &(&values * &values))?, 1.0)?;
            let root = sparse::raw_values(&sparse::sparse_mask(total, &grad)?)?.sqrt()?.add_scalar(eps)?;
            return add_(parameter, &at_entries(&grad, &(values / root))?, -rate);
        }
        let step = Step::Adagrad(cpu::Adagrad { rate, eps, weight_decay, maximize });
        if fused::run(step, grad, &[parameter, total])? {
            return Ok(());
        }
        let grad = real(&direction(grad, parameter, maximize, weight_decay)?)?;
        let total = real(total)?;
        addcmul_(&total, &grad, &grad, 1.0)?;
        let root = total.sqrt()?;
        root.add_scalar_(eps)?;
        addcdiv_(&real(parameter)?, &grad, &root, -rate)
    }
}
