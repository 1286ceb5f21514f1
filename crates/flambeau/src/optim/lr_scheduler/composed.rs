//! Schedules made of others.

use super::super::optimizer::Groups;
use super::super::settings::Setting;
use super::{LRScheduler, number, rates};
use crate::Result;
use crate::io::Value;
use flambeau_core::bail;

fn parts_state(parts: &mut [Box<dyn LRScheduler>]) -> Value {
    Value::List(parts.iter_mut().map(|part| part.state_dict()).collect())
}
fn load_parts(parts: &mut [Box<dyn LRScheduler>], state: &Value) -> Result<Vec<f64>> {
    let saved = state.get("_schedulers").map_or(Ok(&[][..]), Value::items)?;
    if saved.len() != parts.len() {
        bail!(Value, "the state dict has {} schedules, not {}", saved.len(), parts.len());
    }
    parts.iter_mut().zip(saved).try_for_each(|(part, state)| part.load_state_dict(state))?;
    let mut last = Vec::new();
    state.get("_last_lr").map_or(Ok(()), |value| last.set_from(value))?;
    Ok(last)
}

/// Schedules one after another, which change at the milestones.
pub struct SequentialLR {
    schedulers: Vec<Box<dyn LRScheduler>>,
    milestones: Vec<i64>,
    pub last_epoch: i64,
    last_lr: Vec<f64>,
}
impl SequentialLR {
    /// Of schedules that were made for the optimizer; there is one milestone less than schedules.
    pub fn new(
        optimizer: &mut dyn Groups,
        mut schedulers: Vec<Box<dyn LRScheduler>>,
        milestones: Vec<i64>,
    ) -> Result<Self> {
        if schedulers.is_empty() || milestones.len() + 1 != schedulers.len() {
            bail!(
                Value,
                "SequentialLR expects number of schedulers provided to be one more than the number of milestone points, but got number of schedulers {} and the number of milestones to be equal to {}",
                schedulers.len(),
                milestones.len()
            );
        }
        // Making the schedules has taken the first step of each; only the first one's is to stay.
        for i in 0..optimizer.count() {
            let rate = number(optimizer, i, "initial_lr")?;
            optimizer.set(i, "lr", rate.into())?;
        }
        schedulers.iter_mut().for_each(|scheduler| scheduler.undo());
        schedulers[0].begin(optimizer)?;
        let last_lr = rates(optimizer)?;
        Ok(SequentialLR { schedulers, milestones, last_epoch: 0, last_lr })
    }
    /// Goes on to the next epoch. Call it after the optimizer's `step`.
    pub fn step(&mut self, optimizer: &mut dyn Groups) -> Result<()> {
        let epoch = self.last_epoch + 1;
        let place = self.milestones.partition_point(|&milestone| milestone <= epoch);
        let Some(scheduler) = self.schedulers.get_mut(place) else { bail!("a milestone without a schedule") };
        if place > 0 && self.milestones[place - 1] == epoch {
            scheduler.restart(optimizer)?;
        } else {
            scheduler.step(optimizer)?;
        }
        self.last_epoch = epoch;
        self.last_lr = scheduler.get_last_lr().to_vec();
        Ok(())
    }
}
impl LRScheduler for SequentialLR {
    fn step(&mut self, optimizer: &mut dyn Groups) -> Result<()> {
        SequentialLR::step(self, optimizer)
    }
    fn get_last_lr(&self) -> &[f64] {
        &self.last_lr
    }
    fn state_dict(&mut self) -> Value {
        Value::dict([
            ("_milestones", self.milestones.clone().into()),
            ("last_epoch", self.last_epoch.into()),
            ("_last_lr", self.last_lr.clone().into()),
            ("_schedulers", parts_state(&mut self.schedulers)),
        ])
    }
    fn load_state_dict(&mut self, state: &Value) -> Result<()> {
        let (Some(epoch), Some(milestones)) = (state.get("last_epoch"), state.get("_milestones")) else {
            bail!(Key, "the state dict of a SequentialLR has 'last_epoch' and '_milestones'");
        };
        let milestones: Vec<i64> = milestones.items()?.iter().map(Value::as_i64).collect::<Result<_>>()?;
        if milestones.len() != self.milestones.len() {
            bail!(Value, "the state dict has {} milestones, not {}", milestones.len(), self.milestones.len());
        }
        let epoch = epoch.as_i64()?;
        self.last_lr = load_parts(&mut self.schedulers, state)?;
        (self.last_epoch, self.milestones) = (epoch, milestones);
        Ok(())
    }
    fn undo(&mut self) {
        self.schedulers.iter_mut().for_each(|scheduler| scheduler.undo());
    }
    fn begin(&mut self, optimizer: &mut dyn Groups) -> Result<()> {
        SequentialLR::step(self, optimizer)
    }
    fn restart(&mut self, optimizer: &mut dyn Groups) -> Result<()> {
        SequentialLR::step(self, optimizer)
    }
}

/// Schedules that all step together, each changing what the ones before it set.
pub struct ChainedScheduler {
    schedulers: Vec<Box<dyn LRScheduler>>,
    last_lr: Vec<f64>,
}
impl ChainedScheduler {
    /// Of schedules that were made for the optimizer.
    pub fn new(optimizer: &mut dyn Groups, schedulers: Vec<Box<dyn LRScheduler>>) -> Result<Self> {
        if schedulers.is_empty() {
            bail!(
                Value,
                "ChainedScheduler expects at least one scheduler to be chained, but got no scheduler."
            );
        }
        Ok(ChainedScheduler { schedulers, last_lr: rates(optimizer)? })
    }
    /// Goes on to the next epoch. Call it after the optimizer's `step`.
    pub fn step(&mut self, optimizer: &mut dyn Groups) -> Result<()> {
        self.schedulers.iter_mut().try_for_each(|scheduler| scheduler.step(optimizer))?;
        self.last_lr = rates(optimizer)?;
        Ok(())
    }
}
impl LRScheduler for ChainedScheduler {
    fn step(&mut self, optimizer: &mut dyn Groups) -> Result<()> {
        ChainedScheduler::step(self, optimizer)
    }
    fn get_last_lr(&self) -> &[f64] {
        &self.last_lr
    }
    fn state_dict(&mut self) -> Value {
        let parts = parts_state(&mut self.schedulers);
        Value::dict([("_last_lr", self.last_lr.clone().into()), ("_schedulers", parts)])
    }
    fn load_state_dict(&mut self, state: &Value) -> Result<()> {
        self.last_lr = load_parts(&mut self.schedulers, state)?;
        Ok(())
    }
    fn undo(&mut self) {
        self.schedulers.iter_mut().for_each(|scheduler| scheduler.undo());
    }
    fn begin(&mut self, optimizer: &mut dyn Groups) -> Result<()> {
        ChainedScheduler::step(self, optimizer)
    }
    fn restart(&mut self, optimizer: &mut dyn Groups) -> Result<()> {
        self.schedulers.iter_mut().try_for_each(|scheduler| scheduler.restart(optimizer))
    }
}
