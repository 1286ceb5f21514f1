//! Schedules of learning rates. Call their `step` once an epoch, after the optimizer's.

use super::optimizer::{Algorithm, Optimizer};

/// Multiplies the learning rates by `gamma` every `step_size` epochs.
///
/// ```
/// use flambeau::optim::{SGD, SGDOptions, lr_scheduler::StepLR};
/// let w = flambeau::ones([1], ())?.requires_grad_(true)?;
/// let mut optimizer = SGD::new([&w], SGDOptions { lr: 1.0, ..Default::default() })?;
/// let mut scheduler = StepLR::new(2, 0.5);
/// for _ in 0..4 {
///     optimizer.step()?;
///     scheduler.step(&mut optimizer);
/// }
/// assert_eq!(optimizer.param_groups[0].options.lr, 0.25);
/// # Ok::<(), flambeau::Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct StepLR {
    pub step_size: u64,
    pub gamma: f64,
    pub last_epoch: u64,
}

impl StepLR {
    /// A `step_size` of 0 counts as 1.
    pub fn new(step_size: u64, gamma: f64) -> StepLR {
        StepLR { step_size: step_size.max(1), gamma, last_epoch: 0 }
    }
    /// Goes on to the next epoch.
    pub fn step<A: Algorithm>(&mut self, optimizer: &mut Optimizer<A>) {
        self.last_epoch += 1;
        if self.last_epoch.is_multiple_of(self.step_size.max(1)) {
            for group in &mut optimizer.param_groups {
                *group.options.learning_rate() *= self.gamma;
            }
        }
    }
}
