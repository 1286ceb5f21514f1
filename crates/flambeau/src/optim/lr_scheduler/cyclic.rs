//! Schedules in cycles.

use super::super::optimizer::Groups;
use super::super::settings::Setting;
use super::{At, Schedule, Scheduler, number};
use crate::Result;
use crate::io::Value;
use flambeau_core::bail;
use std::f64::consts::PI;

/// Sets the momentum of a group, or the first decay rate of Adam and its like.
fn set_momentum(groups: &mut dyn Groups, group: usize, momentum: f64) -> Result<()> {
    if groups.get(group, "momentum").is_some() {
        return groups.set(group, "momentum", momentum.into());
    }
    let second = match groups.get(group, "betas") {
        Some(betas) => betas.at(1).map_or(Ok(0.0), Value::as_f64)?,
        None => bail!(Value, "optimizer must support momentum or beta1 with `cycle_momentum` option enabled"),
    };
    groups.set(group, "betas", (momentum, second).into())
}

/// How high the cycles of a [`CyclicLR`] are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CycleMode {
    #[default]
    Triangular,
    /// Each half as high as the one before.
    Triangular2,
    /// By `gamma` to the power of the iteration.
    ExpRange,
}
impl Setting for CycleMode {
    fn to_value(&self) -> Value {
        match self {
            CycleMode::Triangular => "triangular",
            CycleMode::Triangular2 => "triangular2",
            CycleMode::ExpRange => "exp_range",
        }
        .into()
    }
    fn set_from(&mut self, value: &Value) -> Result<()> {
        *self = match value.as_str()? {
            "triangular" => CycleMode::Triangular,
            "triangular2" => CycleMode::Triangular2,
            "exp_range" => CycleMode::ExpRange,
            _ => bail!(Value, "mode is invalid and scale_fn is None"),
        };
        Ok(())
    }
}

/// Settings of [`CyclicLR`].
#[derive(Clone, Copy, Debug)]
pub struct CyclicOptions {
    pub step_size_up: f64,
    /// By default as long as the way up.
    pub step_size_down: Option<f64>,
    pub mode: CycleMode,
    pub gamma: f64,
    /// Whether the momentum goes the other way round.
    pub cycle_momentum: bool,
    pub base_momentum: f64,
    pub max_momentum: f64,
}
impl Default for CyclicOptions {
    fn default() -> Self {
        CyclicOptions {
            step_size_up: 2000.0,
            step_size_down: None,
            mode: CycleMode::Triangular,
            gamma: 1.0,
            cycle_momentum: true,
            base_momentum: 0.8,
            max_momentum: 0.9,
        }
    }
}

/// What a [`CyclicLR`] goes by.
#[derive(Clone, Debug)]
pub struct Cycle {
    base_lr: f64,
    max_lrs: Vec<f64>,
    total_size: f64,
    step_ratio: f64,
    mode: CycleMode,
    gamma: f64,
    cycle_momentum: bool,
    use_beta1: bool,
    base_momentums: Vec<f64>,
    max_momentums: Vec<f64>,
}
/// Goes up and down between two rates (Smith 2017), and the momentum the other way round.
pub type CyclicLR = Scheduler<Cycle>;
impl Scheduler<Cycle> {
    /// For an optimizer, whose learning rates become `base_lr`.
    pub fn new(
        optimizer: &mut dyn Groups,
        base_lr: f64,
        max_lr: f64,
        options: CyclicOptions,
    ) -> Result<Self> {
        let (up, down) = (options.step_size_up, options.step_size_down.unwrap_or(options.step_size_up));
        if up <= 0.0 || down < 0.0 {
            bail!(Value, "the steps of a cycle must be positive");
        }
        let n = optimizer.count();
        let cycle = Cycle {
            base_lr,
            max_lrs: vec![max_lr; n],
            total_size: up + down,
            step_ratio: up / (up + down),
            mode: options.mode,
            gamma: options.gamma,
            cycle_momentum: options.cycle_momentum,
            use_beta1: optimizer.get(0, "momentum").is_none(),
            base_momentums: vec![options.base_momentum; n],
            max_momentums: vec![options.max_momentum; n],
        };
        Scheduler::make(optimizer, cycle)
    }
}
impl Schedule for Cycle {
    fn list(&mut self) -> Vec<(&'static str, &mut dyn Setting)> {
        let mut list: Vec<(&'static str, &mut dyn Setting)> = vec![
            ("max_lrs", &mut self.max_lrs),
            ("total_size", &mut self.total_size),
            ("step_ratio", &mut self.step_ratio),
            ("mode", &mut self.mode),
            ("gamma", &mut self.gamma),
        ];
        if self.cycle_momentum {
            list.push(("use_beta1", &mut self.use_beta1));
            list.push(("base_momentums", &mut self.base_momentums));
            list.push(("max_momentums", &mut self.max_momentums));
        }
        list.push(("cycle_momentum", &mut self.cycle_momentum));
        list
    }
    fn constants(&self) -> Vec<(&'static str, Value)> {
        let mode = if self.mode == CycleMode::ExpRange { "iterations" } else { "cycle" };
        vec![("_scale_fn_custom", Value::None), ("scale_mode", mode.into())]
    }
    fn start(&mut self, groups: &mut dyn Groups) -> Result<Option<Vec<f64>>> {
        for i in 0..groups.count() {
            groups.set(i, "lr", self.base_lr.into())?;
            if self.cycle_momentum {
                set_momentum(groups, i, self.max_momentums[i])?;
                groups.set(i, "max_momentum", self.max_momentums[i].into())?;
                groups.set(i, "base_momentum", self.base_momentums[i].into())?;
            }
        }
        Ok(Some(vec![self.base_lr; groups.count()]))
    }
    fn rates(&mut self, at: &mut At) -> Result<Vec<f64>> {
        let cycle = (1.0 + at.epoch as f64 / self.total_size).floor();
        let x = 1.0 + at.epoch as f64 / self.total_size - cycle;
        let height =
            if x <= self.step_ratio { x / self.step_ratio } else { (x - 1.0) / (self.step_ratio - 1.0) };
        let scale = match self.mode {
            CycleMode::Triangular => 1.0,
            CycleMode::Triangular2 => 1.0 / 2f64.powf(cycle - 1.0),
            CycleMode::ExpRange => self.gamma.powf(at.epoch as f64),
        };
        if self.cycle_momentum {
            let momenta = self.base_momentums.iter().zip(&self.max_momentums);
            for (i, (low, high)) in momenta.enumerate() {
                set_momentum(at.groups, i, high - (high - low) * height * scale)?;
            }
        }
        let limits = at.base_lrs.iter().zip(&self.max_lrs);
        Ok(limits.map(|(low, high)| low + (high - low) * height * scale).collect())
    }
}

/// What a [`CosineAnnealingWarmRestarts`] goes by: the length of the first cycle, by how much each is longer than the one
/// before, the lowest rate, and where it is.
#[derive(Clone, Debug)]
pub struct WarmRestarts {
    pub t_0: i64,
    pub t_mult: i64,
    pub eta_min: f64,
    t_i: i64,
    t_cur: i64,
}
/// Goes along a cosine to `eta_min` in `t_0` epochs, then starts again, each time `t_mult` times as long.
pub type CosineAnnealingWarmRestarts = Scheduler<WarmRestarts>;
impl Scheduler<WarmRestarts> {
    /// For an optimizer; `t_mult` is 1 for cycles of equal length.
    pub fn new(optimizer: &mut dyn Groups, t_0: i64, t_mult: i64, eta_min: f64) -> Result<Self> {
        if t_0 <= 0 {
            bail!(Value, "Expected positive integer T_0, but got {t_0}");
        }
        if t_mult < 1 {
            bail!(Value, "Expected integer T_mult >= 1, but got {t_mult}");
        }
        Scheduler::make(optimizer, WarmRestarts { t_0, t_mult, eta_min, t_i: t_0, t_cur: -1 })
    }
}
impl Schedule for WarmRestarts {
    fn list(&mut self) -> Vec<(&'static str, &mut dyn Setting)> {
        vec![
            ("T_0", &mut self.t_0),
            ("T_mult", &mut self.t_mult),
            ("eta_min", &mut self.eta_min),
            ("T_i", &mut self.t_i),
            ("T_cur", &mut self.t_cur),
        ]
    }
    fn rates(&mut self, at: &mut At) -> Result<Vec<f64>> {
        if at.epoch == 0 {
            (self.t_i, self.t_cur) = (self.t_0, 0);
        } else if !at.told {
            self.t_cur += 1;
            if self.t_cur >= self.t_i {
                self.t_cur -= self.t_i;
                self.t_i = self.t_i.saturating_mul(self.t_mult);
            }
        }
        let height = (1.0 + (PI * self.t_cur as f64 / self.t_i as f64).cos()) / 2.0;
        at.of_base(|rate| self.eta_min + (rate - self.eta_min) * height)
    }
}

/// How a [`OneCycleLR`] goes from one rate to another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Anneal {
    #[default]
    Cos,
    Linear,
}
impl Setting for Anneal {
    fn to_value(&self) -> Value {
        if *self == Anneal::Cos { "cos" } else { "linear" }.into()
    }
    fn set_from(&mut self, value: &Value) -> Result<()> {
        *self = match value.as_str()? {
            "cos" => Anneal::Cos,
            "linear" => Anneal::Linear,
            other => {
                bail!(Value, "anneal_strategy must be one of 'cos' or 'linear', instead got {other}")
            }
        };
        Ok(())
    }
}
impl Anneal {
    fn between(self, start: f64, end: f64, share: f64) -> f64 {
        match self {
            Anneal::Cos => end + (start - end) / 2.0 * ((PI * share).cos() + 1.0),
            Anneal::Linear => (end - start) * share + start,
        }
    }
}

/// Settings of [`OneCycleLR`].
#[derive(Clone, Copy, Debug)]
pub struct OneCycleOptions {
    /// The share of the steps on which the rate rises.
    pub pct_start: f64,
    pub anneal_strategy: Anneal,
    /// Whether the momentum goes the other way round.
    pub cycle_momentum: bool,
    pub base_momentum: f64,
    pub max_momentum: f64,
    /// By how much the first rate is below the highest.
    pub div_factor: f64,
    /// By how much the last rate is below the first.
    pub final_div_factor: f64,
    /// Whether the rate falls as it rose, then further.
    pub three_phase: bool,
}
impl Default for OneCycleOptions {
    fn default() -> Self {
        OneCycleOptions {
            pct_start: 0.3,
            anneal_strategy: Anneal::Cos,
            cycle_momentum: true,
            base_momentum: 0.85,
            max_momentum: 0.95,
            div_factor: 25.0,
            final_div_factor: 1e4,
            three_phase: false,
        }
    }
}

/// A part of the cycle: where it ends, and the names that groups have for its rates and momenta.
#[derive(Clone, Debug)]
struct Phase {
    end_step: f64,
    names: [String; 4],
}
#[derive(Clone, Debug)]
struct Phases(Vec<Phase>);
const PHASE_NAMES: [&str; 4] = ["start_lr", "end_lr", "start_momentum", "end_momentum"];
impl Setting for Phases {
    fn to_value(&self) -> Value {
        let phase = |p: &Phase| {
            let names = PHASE_NAMES.into_iter().zip(&p.names).map(|(k, v)| (k, v.as_str().into()));
            Value::dict([("end_step", p.end_step.into())].into_iter().chain(names))
        };
        Value::List(self.0.iter().map(phase).collect())
    }
    fn set_from(&mut self, value: &Value) -> Result<()> {
        let mut out = Vec::new();
        for phase in value.items()? {
            let part = |name: &str| match phase.get(name) {
                Some(value) => Ok(value),
                None => bail!(Key, "a phase of the cycle has no {name}"),
            };
            let mut names: [String; 4] = Default::default();
            for (name, key) in names.iter_mut().zip(PHASE_NAMES) {
                *name = part(key)?.as_str()?.to_string();
            }
            out.push(Phase { end_step: part("end_step")?.as_f64()?, names });
        }
        if out.is_empty() {
            bail!(Value, "a cycle without phases");
        }
        self.0 = out;
        Ok(())
    }
}

/// What a [`OneCycleLR`] goes by.
#[derive(Clone, Debug)]
pub struct OneCycle {
    pub total_steps: i64,
    anneal: Anneal,
    phases: Phases,
    cycle_momentum: bool,
    use_beta1: bool,
    start: (f64, OneCycleOptions),
}
/// One cycle over all steps (Smith and Topin 2018): up from a fraction of `max_lr`, then down to far below that.
pub type OneCycleLR = Scheduler<OneCycle>;
impl Scheduler<OneCycle> {
    /// For an optimizer, of which `total_steps` steps will be taken.
    pub fn new(
        optimizer: &mut dyn Groups,
        max_lr: f64,
        total_steps: i64,
        options: OneCycleOptions,
    ) -> Result<Self> {
        if total_steps <= 0 {
            bail!(Value, "Expected positive integer total_steps, but got {total_steps}");
        }
        let share = options.pct_start;
        if !(0.0..=1.0).contains(&share) {
            let share = crate::print::python_float(share);
            bail!(Value, "Expected float between 0 and 1 pct_start, but got {share}");
        }
        let phase = |end_step: f64, names: [&str; 4]| Phase { end_step, names: names.map(String::from) };
        let (top, last) = (share * total_steps as f64 - 1.0, (total_steps - 1) as f64);
        let mut phases = vec![phase(top, ["initial_lr", "max_lr", "max_momentum", "base_momentum"])];
        if options.three_phase {
            let end = 2.0 * share * total_steps as f64 - 2.0;
            phases.push(phase(end, ["max_lr", "initial_lr", "base_momentum", "max_momentum"]));
            phases.push(phase(last, ["initial_lr", "min_lr", "max_momentum", "max_momentum"]));
        } else {
            phases.push(phase(last, ["max_lr", "min_lr", "base_momentum", "max_momentum"]));
        }
        let cycle = OneCycle {
            total_steps,
            anneal: options.anneal_strategy,
            phases: Phases(phases),
            cycle_momentum: options.cycle_momentum,
            use_beta1: optimizer.get(0, "momentum").is_none(),
            start: (max_lr, options),
        };
        Scheduler::make(optimizer, cycle)
    }
}
impl Schedule for OneCycle {
    fn list(&mut self) -> Vec<(&'static str, &mut dyn Setting)> {
        let mut list: Vec<(&'static str, &mut dyn Setting)> = vec![
            ("total_steps", &mut self.total_steps),
            ("_schedule_phases", &mut self.phases),
            ("_anneal_func_type", &mut self.anneal),
        ];
        if self.cycle_momentum {
            list.push(("use_beta1", &mut self.use_beta1));
        }
        list.push(("cycle_momentum", &mut self.cycle_momentum));
        list
    }
    fn start(&mut self, groups: &mut dyn Groups) -> Result<Option<Vec<f64>>> {
        let (max_lr, o) = self.start;
        for i in 0..groups.count() {
            let initial = max_lr / o.div_factor;
            groups.set(i, "initial_lr", initial.into())?;
            groups.set(i, "max_lr", max_lr.into())?;
            groups.set(i, "min_lr", (initial / o.final_div_factor).into())?;
            if self.cycle_momentum {
                set_momentum(groups, i, o.max_momentum)?;
                groups.set(i, "max_momentum", o.max_momentum.into())?;
                groups.set(i, "base_momentum", o.base_momentum.into())?;
            }
        }
        Ok(None)
    }
    fn rates(&mut self, at: &mut At) -> Result<Vec<f64>> {
        if at.epoch > self.total_steps {
            bail!(
                Value,
                "Tried to step {} times. The specified number of total steps is {}",
                at.epoch,
                self.total_steps
            );
        }
        let step = at.epoch as f64;
        let phases = &self.phases.0;
        let place = phases.iter().position(|p| step <= p.end_step).unwrap_or(phases.len() - 1);
        let before = if place == 0 { 0.0 } else { phases[place - 1].end_step };
        let [start, end, from, to] = &phases[place].names;
        let share = (step - before) / (phases[place].end_step - before);
        let mut rates = Vec::new();
        for i in 0..at.groups.count() {
            let mut between = |a: &str, b: &str| -> Result<f64> {
                Ok(self.anneal.between(number(at.groups, i, a)?, number(at.groups, i, b)?, share))
            };
            rates.push(between(start, end)?);
            if self.cycle_momentum {
                let momentum = between(from, to)?;
                set_momentum(at.groups, i, momentum)?;
            }
        }
        Ok(rates)
    }
}
