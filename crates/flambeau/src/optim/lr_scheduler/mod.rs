//! Schedules of learning rates. Make one for an optimizer, then call its `step` once an epoch, after the optimizer's.
//!
//! ```
//! use flambeau::optim::{SGD, SGDOptions};
//! use flambeau::optim::lr_scheduler::{ExponentialLR, LRScheduler, LinearLR, SequentialLR};
//! let w = flambeau::ones([1], ())?.requires_grad_(true)?;
//! let mut optimizer = SGD::new([&w], SGDOptions { lr: 1.0, ..Default::default() })?;
//! let warmup = LinearLR::new(&mut optimizer, 0.5, 1.0, 2)?;
//! let decay = ExponentialLR::new(&mut optimizer, 0.5)?;
//! let mut scheduler = SequentialLR::new(&mut optimizer, vec![Box::new(warmup), Box::new(decay)], vec![2])?;
//! let mut rates = Vec::new();
//! for _ in 0..5 {
//!     rates.push(optimizer.param_groups[0].options.lr);
//!     optimizer.step()?;
//!     scheduler.step(&mut optimizer)?;
//! }
//! assert_eq!(rates, [0.5, 0.75, 1.0, 0.5, 0.25]);
//! # Ok::<(), flambeau::Error>(())
//! ```

mod composed;
mod cyclic;
mod plateau;
mod simple;

pub use composed::{ChainedScheduler, SequentialLR};
pub use cyclic::{
    Anneal, CosineAnnealingWarmRestarts, Cycle, CycleMode, CyclicLR, CyclicOptions, OneCycle, OneCycleLR,
    OneCycleOptions, WarmRestarts,
};
pub use plateau::{PlateauOptions, ReduceLROnPlateau};
pub use simple::{
    Constant, ConstantLR, CosineAnnealing, CosineAnnealingLR, Exponential, ExponentialLR, Lambda, LambdaLR,
    Linear, LinearLR, MultiStep, MultiStepLR, Multiplicative, MultiplicativeLR, Polynomial, PolynomialLR,
    Step, StepLR,
};

use super::optimizer::Groups;
use super::settings::Setting;
use crate::Result;
use crate::io::Value;
use flambeau_core::bail;

/// What all schedules can do.
pub trait LRScheduler: Send {
    /// Goes on to the next epoch.
    fn step(&mut self, optimizer: &mut dyn Groups) -> Result<()>;
    /// The learning rates that were set last, one for each group.
    fn get_last_lr(&self) -> &[f64];
    /// What PyTorch's schedule of the same name has in its state dict.
    fn state_dict(&mut self) -> Value;
    /// Takes over what [`LRScheduler::state_dict`] or PyTorch's schedule of the same name gave.
    fn load_state_dict(&mut self, state: &Value) -> Result<()>;
    #[doc(hidden)]
    fn undo(&mut self);
    #[doc(hidden)]
    fn begin(&mut self, optimizer: &mut dyn Groups) -> Result<()>;
    #[doc(hidden)]
    fn restart(&mut self, optimizer: &mut dyn Groups) -> Result<()>;
}

/// What a schedule goes by.
pub struct At<'a> {
    pub groups: &'a mut dyn Groups,
    pub epoch: i64,
    /// Whether the schedule is being made.
    pub initial: bool,
    /// Whether it is told to go to the epoch, instead of coming from the one before.
    pub told: bool,
    /// The learning rates to begin with.
    pub base_lrs: &'a [f64],
}

pub(super) fn number(groups: &mut dyn Groups, group: usize, name: &str) -> Result<f64> {
    match groups.get(group, name) {
        Some(value) => value.as_f64(),
        None => bail!(Key, "the optimizer's groups have no {name}"),
    }
}
pub(super) fn rates(groups: &mut dyn Groups) -> Result<Vec<f64>> {
    (0..groups.count()).map(|i| number(groups, i, "lr")).collect()
}

impl At<'_> {
    /// The current learning rates times a factor.
    fn scaled(&mut self, factor: f64) -> Result<Vec<f64>> {
        Ok(rates(self.groups)?.into_iter().map(|rate| rate * factor).collect())
    }
    fn unchanged(&mut self) -> Result<Vec<f64>> {
        rates(self.groups)
    }
    fn of_base(&self, f: impl Fn(f64) -> f64) -> Result<Vec<f64>> {
        Ok(self.base_lrs.iter().map(|&rate| f(rate)).collect())
    }
}

/// How the learning rates of an epoch follow. The type holds a schedule's settings.
pub trait Schedule: Send {
    /// Every setting by the name that state dicts have for it.
    fn list(&mut self) -> Vec<(&'static str, &mut dyn Setting)>;
    /// What is done to the groups before the first epoch; returns rates to begin with, if they are its own.
    fn start(&mut self, _groups: &mut dyn Groups) -> Result<Option<Vec<f64>>> {
        Ok(None)
    }
    /// The learning rates of an epoch, one for each group.
    fn rates(&mut self, at: &mut At) -> Result<Vec<f64>>;
    /// Those of an epoch that does not follow on another.
    fn told(&mut self, at: &mut At) -> Result<Vec<f64>> {
        self.rates(at)
    }
    /// What else state dicts have.
    fn constants(&self) -> Vec<(&'static str, Value)> {
        Vec::new()
    }
}

/// A schedule of an optimizer's learning rates.
#[derive(Debug)]
pub struct Scheduler<S> {
    pub schedule: S,
    pub base_lrs: Vec<f64>,
    pub last_epoch: i64,
    step_count: i64,
    last_lr: Vec<f64>,
}

impl<S: Schedule> Scheduler<S> {
    /// Takes note of the learning rates to begin with, and sets those of epoch 0.
    fn make(groups: &mut dyn Groups, mut schedule: S) -> Result<Self> {
        let own = schedule.start(groups)?;
        let mut base_lrs = Vec::new();
        for i in 0..groups.count() {
            if groups.get(i, "initial_lr").is_none() {
                let rate = number(groups, i, "lr")?;
                groups.set(i, "initial_lr", rate.into())?;
            }
            base_lrs.push(number(groups, i, "initial_lr")?);
        }
        let base_lrs = own.unwrap_or(base_lrs);
        let mut out = Scheduler { schedule, base_lrs, last_epoch: -1, step_count: 0, last_lr: Vec::new() };
        out.begin(groups)?;
        Ok(out)
    }
    /// Goes on to the next epoch. Call it after the optimizer's `step`.
    pub fn step(&mut self, optimizer: &mut dyn Groups) -> Result<()> {
        self.step_count += 1;
        self.go(optimizer, self.last_epoch + 1, false, false)
    }
    fn go(&mut self, groups: &mut dyn Groups, epoch: i64, initial: bool, told: bool) -> Result<()> {
        let mut at = At { groups, epoch, initial, told, base_lrs: &self.base_lrs };
        let new = if told { self.schedule.told(&mut at)? } else { self.schedule.rates(&mut at)? };
        self.last_epoch = epoch;
        for (i, rate) in new.into_iter().enumerate() {
            groups.set(i, "lr", rate.into())?;
        }
        self.last_lr = rates(groups)?;
        Ok(())
    }
}

impl<S: Schedule> LRScheduler for Scheduler<S> {
    fn step(&mut self, optimizer: &mut dyn Groups) -> Result<()> {
        Scheduler::step(self, optimizer)
    }
    fn get_last_lr(&self) -> &[f64] {
        &self.last_lr
    }
    fn state_dict(&mut self) -> Value {
        let mut state = Value::dict(self.schedule.list().into_iter().map(|(n, s)| (n, s.to_value())));
        let more = [
            ("base_lrs", self.base_lrs.clone().into()),
            ("last_epoch", self.last_epoch.into()),
            ("_step_count", self.step_count.into()),
            ("_is_initial", false.into()),
            ("_get_lr_called_within_step", false.into()),
            ("_last_lr", self.last_lr.clone().into()),
        ];
        if let Value::Dict(entries) = &mut state {
            entries.extend(self.schedule.constants().into_iter().chain(more).map(|(n, v)| (n.into(), v)));
        }
        state
    }
    fn load_state_dict(&mut self, state: &Value) -> Result<()> {
        let list = |name: &str| -> Result<Vec<f64>> {
            let mut out = Vec::new();
            state.get(name).map_or(Ok(()), |value| out.set_from(value))?;
            Ok(out)
        };
        let (Some(epoch), Some(count)) = (state.get("last_epoch"), state.get("_step_count")) else {
            bail!(Key, "the state dict of a schedule has 'last_epoch' and '_step_count'");
        };
        let (epoch, count) = (epoch.as_i64()?, count.as_i64()?);
        let (base, last) = (list("base_lrs")?, list("_last_lr")?);
        for (name, setting) in self.schedule.list() {
            if let Some(value) = state.get(name) {
                setting.set_from(value)?;
            }
        }
        (self.base_lrs, self.last_lr, self.last_epoch, self.step_count) = (base, last, epoch, count);
        Ok(())
    }
    fn undo(&mut self) {
        self.last_epoch -= 1;
    }
    fn begin(&mut self, optimizer: &mut dyn Groups) -> Result<()> {
        self.step_count = 1;
        self.go(optimizer, self.last_epoch + 1, true, false)
    }
    fn restart(&mut self, optimizer: &mut dyn Groups) -> Result<()> {
        self.go(optimizer, 0, false, true)
    }
}
