//! Adam for sparse gradients, of which only the rows with a gradient change, their running means included.

use super::optimizer::{Algorithm, Optimizer, State, add_};
use super::settings::{at_least_zero, betas_in_range, settings};
use crate::ops::sparse;
use crate::{Result, Tensor};
use flambeau_core::bail;

settings! {
    /// Settings of [`SparseAdam`].
    SparseAdamOptions {
        lr: f64 = 1e-3,
        /// Decay rates of the running means of gradients and of their squares.
        betas: (f64, f64) = (0.9, 0.999),
        eps: f64 = 1e-8,
        maximize: bool = false,
    }
}

/// Adam for gradients such as those of [`Embedding`](crate::nn::Embedding) with `sparse`.
///
/// ```
/// use flambeau::nn::{Embedding, EmbeddingOptions, Forward, Module};
/// use flambeau::optim::{SparseAdam, SparseAdamOptions};
/// let table = Embedding::with(5, 2, EmbeddingOptions { sparse: true, ..Default::default() })?;
/// let mut optimizer = SparseAdam::new(table.parameters(), SparseAdamOptions::default())?;
/// let before = &table.weight.detach()? + 0.0;
/// table.forward(&flambeau::tensor([3i64, 1])?)?.sum()?.backward()?;
/// optimizer.step()?;
/// let changed = (table.weight.detach()? - &before).abs()?.sum_dim(Some(&[1]), false)?.gt_scalar(0)?;
/// assert_eq!(changed.to_vec::<bool>()?, [false, true, false, true, false]);
/// # Ok::<(), flambeau::Error>(())
/// ```
pub type SparseAdam = Optimizer<SparseAdamOptions>;

/// A tensor with these values at the indices of a coalesced gradient.
pub(super) fn at_entries(grad: &Tensor, values: &Tensor) -> Result<Tensor> {
    sparse::sparse_coo_tensor(&sparse::raw_indices(grad)?, values, Some(&grad.sizes()), true)
}

impl Algorithm for SparseAdamOptions {
    const NAME: &'static str = "SparseAdam";
    const OTHERS: &'static [(&'static str, Option<bool>)] = &[];
    const SPARSE: bool = true;
    fn learning_rate(&mut self) -> &mut f64 {
        &mut self.lr
    }
    fn check(&self) -> Result<()> {
        at_least_zero("learning rate", self.lr)?;
        at_least_zero("epsilon value", self.eps)?;
        betas_in_range(self.betas)
    }
    fn update(&self, parameter: &Tensor, grad: &Tensor, state: &mut State) -> Result<()> {
        if !grad.is_sparse() {
            bail!("SparseAdam does not support dense gradients, please consider Adam instead");
        }
        // The update is not linear: values at the same index have to be added up first.
        let grad = sparse::coalesce(grad)?;
        let values = sparse::raw_values(&grad)?;
        let values = if self.maximize { values.neg()? } else { values };
        let count = state.count();
        let (average, square) = (state.zeros("exp_avg", parameter)?, state.zeros("exp_avg_sq", parameter)?);
        if values.numel() == 0 {
            return Ok(());
        }
        let (beta1, beta2) = self.betas;
        let old = sparse::raw_values(&sparse::sparse_mask(&average, &grad)?)?;
        let old_square = sparse::raw_values(&sparse::sparse_mask(&square, &grad)?)?;
        let change = (&values - &old).mul_scalar(1.0 - beta1)?;
        let change_square = (&(&values * &values) - &old_square).mul_scalar(1.0 - beta2)?;
        add_(&average, &at_entries(&grad, &change)?, 1.0)?;
        add_(&square, &at_entries(&grad, &change_square)?, 1.0)?;
        let mean = &change + &old;
        let root = (&change_square + &old_square).sqrt()?.add_scalar(self.eps)?;
        let rate = self.lr * (1.0 - beta2.powf(count)).sqrt() / (1.0 - beta1.powf(count));
        add_(parameter, &at_entries(&grad, &(mean / root).mul_scalar(-rate)?)?, 1.0)
    }
}
