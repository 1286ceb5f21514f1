//! Schedules that are a function of the epoch.

use super::super::optimizer::Groups;
use super::super::settings::Setting;
use super::{At, Schedule, Scheduler, rates};
use crate::Result;
use crate::io::Value;
use flambeau_core::bail;
use std::f64::consts::PI;
use std::fmt;

/// A struct of settings that are numbers, and how a scheduler of them is made.
macro_rules! schedule {
    ($(#[$doc:meta])* $name:ident = $settings:ident { $($(#[$note:meta])* $field:ident $key:literal: $type:ty),* } $(check |$me:ident| $check:expr)?) => {
        #[doc = concat!("Settings of [`", stringify!($name), "`].")]
        #[derive(Clone, Debug)]
        pub struct $settings { $($(#[$note])* pub $field: $type),* }
        $(#[$doc])*
        pub type $name = Scheduler<$settings>;
        impl Scheduler<$settings> {
            /// For an optimizer, whose learning rates become those of epoch 0.
            pub fn new(optimizer: &mut dyn Groups, $($field: $type),*) -> Result<Self> {
                let schedule = $settings { $($field),* };
                $({
                    let $me = &schedule;
                    $check;
                })?
                Scheduler::make(optimizer, schedule)
            }
        }
        impl $settings {
            fn settings(&mut self) -> Vec<(&'static str, &mut dyn Setting)> {
                vec![$(($key, &mut self.$field as &mut dyn Setting)),*]
            }
        }
    };
}

schedule! {
    /// Multiplies by `gamma` every `step_size` epochs.
    ///
    /// ```
    /// use flambeau::optim::{SGD, SGDOptions, lr_scheduler::StepLR};
    /// let w = flambeau::ones([1], ())?.requires_grad_(true)?;
    /// let mut optimizer = SGD::new([&w], SGDOptions { lr: 1.0, ..Default::default() })?;
    /// let mut scheduler = StepLR::new(&mut optimizer, 2, 0.5)?;
    /// for _ in 0..4 {
    ///     optimizer.step()?;
    ///     scheduler.step(&mut optimizer)?;
    /// }
    /// assert_eq!(optimizer.param_groups[0].options.lr, 0.25);
    /// # Ok::<(), flambeau::Error>(())
    /// ```
    StepLR = Step { step_size "step_size": i64, gamma "gamma": f64 }
    check |me| if me.step_size <= 0 {
        bail!(Value, "step_size must be positive, got {}", me.step_size);
    }
}
impl Schedule for Step {
    fn list(&mut self) -> Vec<(&'static str, &mut dyn Setting)> {
        self.settings()
    }
    fn rates(&mut self, at: &mut At) -> Result<Vec<f64>> {
        if at.epoch == 0 || at.epoch % self.step_size.max(1) != 0 {
            return at.unchanged();
        }
        at.scaled(self.gamma)
    }
    fn told(&mut self, at: &mut At) -> Result<Vec<f64>> {
        let factor = self.gamma.powf((at.epoch / self.step_size.max(1)) as f64);
        at.of_base(|rate| rate * factor)
    }
}

/// The epochs at which a [`MultiStepLR`] changes, in order.
#[derive(Clone, Debug)]
pub struct Milestones(Vec<i64>);
impl Setting for Milestones {
    /// How often each epoch is among them.
    fn to_value(&self) -> Value {
        let mut counts: Vec<(i64, i64)> = Vec::new();
        for &epoch in &self.0 {
            match counts.last_mut() {
                Some((last, count)) if *last == epoch => *count += 1,
                _ => counts.push((epoch, 1)),
            }
        }
        Value::Dict(counts.into_iter().map(|(epoch, count)| (epoch.into(), count.into())).collect())
    }
    fn set_from(&mut self, value: &Value) -> Result<()> {
        let mut out = Vec::new();
        for (epoch, count) in value.entries()? {
            let count = count.as_i64()?;
            if !(0..=1000).contains(&count) {
                bail!(Value, "a milestone cannot occur {count} times");
            }
            out.extend(std::iter::repeat_n(epoch.as_i64()?, count as usize));
        }
        out.sort();
        self.0 = out;
        Ok(())
    }
}

/// Settings of [`MultiStepLR`].
#[derive(Clone, Debug)]
pub struct MultiStep {
    pub milestones: Milestones,
    pub gamma: f64,
}
/// Multiplies by `gamma` at each of the milestones.
pub type MultiStepLR = Scheduler<MultiStep>;
impl Scheduler<MultiStep> {
    /// For an optimizer, whose learning rates become those of epoch 0.
    pub fn new(optimizer: &mut dyn Groups, milestones: &[i64], gamma: f64) -> Result<Self> {
        let mut milestones = milestones.to_vec();
        milestones.sort();
        Scheduler::make(optimizer, MultiStep { milestones: Milestones(milestones), gamma })
    }
}
impl Schedule for MultiStep {
    fn list(&mut self) -> Vec<(&'static str, &mut dyn Setting)> {
        vec![("milestones", &mut self.milestones), ("gamma", &mut self.gamma)]
    }
    fn rates(&mut self, at: &mut At) -> Result<Vec<f64>> {
        let times = self.milestones.0.iter().filter(|&&epoch| epoch == at.epoch).count();
        if times == 0 { at.unchanged() } else { at.scaled(self.gamma.powf(times as f64)) }
    }
    fn told(&mut self, at: &mut At) -> Result<Vec<f64>> {
        let passed = self.milestones.0.iter().filter(|&&epoch| epoch <= at.epoch).count();
        let factor = self.gamma.powf(passed as f64);
        at.of_base(|rate| rate * factor)
    }
}

schedule! {
    /// Multiplies by `factor` until epoch `total_iters`.
    ConstantLR = Constant { factor "factor": f64, total_iters "total_iters": i64 }
    check |me| if !(0.0..=1.0).contains(&me.factor) {
        bail!(Value, "Constant multiplicative factor expected to be between 0 and 1.");
    }
}
impl Schedule for Constant {
    fn list(&mut self) -> Vec<(&'static str, &mut dyn Setting)> {
        self.settings()
    }
    fn rates(&mut self, at: &mut At) -> Result<Vec<f64>> {
        match at.epoch {
            0 => at.scaled(self.factor),
            epoch if epoch == self.total_iters => at.scaled(1.0 / self.factor),
            _ => at.unchanged(),
        }
    }
    fn told(&mut self, at: &mut At) -> Result<Vec<f64>> {
        let factor = if at.epoch >= self.total_iters { 1.0 } else { self.factor };
        at.of_base(|rate| rate * factor)
    }
}

schedule! {
    /// Multiplies by a factor that goes linearly from `start_factor` to `end_factor` over `total_iters` epochs.
    LinearLR = Linear { start_factor "start_factor": f64, end_factor "end_factor": f64, total_iters "total_iters": i64 }
    check |me| {
        if me.start_factor > 1.0 || me.start_factor <= 0.0 {
            bail!(Value, "Starting multiplicative factor expected to be greater than 0 and less or equal to 1.");
        }
        if !(0.0..=1.0).contains(&me.end_factor) {
            bail!(Value, "Ending multiplicative factor expected to be between 0 and 1.");
        }
    }
}
impl Schedule for Linear {
    fn list(&mut self) -> Vec<(&'static str, &mut dyn Setting)> {
        self.settings()
    }
    fn rates(&mut self, at: &mut At) -> Result<Vec<f64>> {
        if at.epoch == 0 {
            return at.scaled(self.start_factor);
        }
        if at.initial || at.epoch > self.total_iters {
            return at.unchanged();
        }
        let rise = self.end_factor - self.start_factor;
        let before = self.total_iters as f64 * self.start_factor + (at.epoch - 1) as f64 * rise;
        at.scaled(1.0 + rise / before)
    }
    fn told(&mut self, at: &mut At) -> Result<Vec<f64>> {
        let rise = self.end_factor - self.start_factor;
        let share = at.epoch.min(self.total_iters) as f64;
        let factor = self.start_factor + rise * share / self.total_iters as f64;
        at.of_base(|rate| rate * factor)
    }
}

schedule! {
    /// Multiplies by `gamma` every epoch.
    ExponentialLR = Exponential { gamma "gamma": f64 }
}
impl Schedule for Exponential {
    fn list(&mut self) -> Vec<(&'static str, &mut dyn Setting)> {
        self.settings()
    }
    fn rates(&mut self, at: &mut At) -> Result<Vec<f64>> {
        if at.initial { at.unchanged() } else { at.scaled(self.gamma) }
    }
    fn told(&mut self, at: &mut At) -> Result<Vec<f64>> {
        let factor = self.gamma.powf(at.epoch as f64);
        at.of_base(|rate| rate * factor)
    }
}

schedule! {
    /// Multiplies by `(1 - epoch / total_iters) ^ power`.
    PolynomialLR = Polynomial { total_iters "total_iters": i64, power "power": f64 }
}
impl Schedule for Polynomial {
    fn list(&mut self) -> Vec<(&'static str, &mut dyn Setting)> {
        self.settings()
    }
    fn rates(&mut self, at: &mut At) -> Result<Vec<f64>> {
        if at.initial || at.epoch > self.total_iters {
            return at.unchanged();
        }
        let left = |epoch: i64| 1.0 - epoch as f64 / self.total_iters as f64;
        at.scaled((left(at.epoch) / left(at.epoch - 1)).powf(self.power))
    }
    fn told(&mut self, at: &mut At) -> Result<Vec<f64>> {
        let left = 1.0 - at.epoch.min(self.total_iters) as f64 / self.total_iters as f64;
        let factor = left.powf(self.power);
        at.of_base(|rate| rate * factor)
    }
}

schedule! {
    /// Goes along a cosine from the initial rate to `eta_min` in `t_max` epochs, and back (Loshchilov and Hutter 2017).
    CosineAnnealingLR = CosineAnnealing { t_max "T_max": i64, eta_min "eta_min": f64 }
    check |me| if me.t_max <= 0 {
        bail!(Value, "T_max must be positive, got {}", me.t_max);
    }
}
impl Schedule for CosineAnnealing {
    fn list(&mut self) -> Vec<(&'static str, &mut dyn Setting)> {
        self.settings()
    }
    fn rates(&mut self, at: &mut At) -> Result<Vec<f64>> {
        if at.initial {
            return at.unchanged();
        }
        let (t, low) = (self.t_max.max(1), self.eta_min);
        let now = rates(at.groups)?;
        if (at.epoch - 1 - t) % (2 * t) == 0 {
            // The rate before was eta_min, from which no ratio leads away.
            let rise = (1.0 - (PI / t as f64).cos()) / 2.0;
            return Ok(at.base_lrs.iter().zip(now).map(|(base, rate)| rate + (base - low) * rise).collect());
        }
        let height = |epoch: i64| 1.0 + (PI * epoch as f64 / t as f64).cos();
        let ratio = height(at.epoch) / height(at.epoch - 1);
        Ok(now.into_iter().map(|rate| ratio * (rate - low) + low).collect())
    }
    fn told(&mut self, at: &mut At) -> Result<Vec<f64>> {
        let height = (1.0 + (PI * at.epoch as f64 / self.t_max.max(1) as f64).cos()) / 2.0;
        at.of_base(|rate| self.eta_min + (rate - self.eta_min) * height)
    }
}

type Function = Box<dyn Fn(i64) -> f64 + Send>;

/// The two schedules by a function of the epoch.
macro_rules! by_function { ($($(#[$doc:meta])* $name:ident = $settings:ident |$at:ident, $factor:ident| $value:expr;)*) => { $(
    #[doc = concat!("The function of a [`", stringify!($name), "`]; state dicts do not have it.")]
    pub struct $settings(Function);
    $(#[$doc])*
    pub type $name = Scheduler<$settings>;
    impl Scheduler<$settings> {
        /// For an optimizer, whose learning rates become those of epoch 0.
        pub fn new(optimizer: &mut dyn Groups, lr_lambda: impl Fn(i64) -> f64 + Send + 'static) -> Result<Self> {
            Scheduler::make(optimizer, $settings(Box::new(lr_lambda)))
        }
    }
    impl Schedule for $settings {
        fn list(&mut self) -> Vec<(&'static str, &mut dyn Setting)> {
            Vec::new()
        }
        fn rates(&mut self, $at: &mut At) -> Result<Vec<f64>> {
            let $factor = |epoch: i64| (self.0)(epoch);
            $value
        }
        fn constants(&self) -> Vec<(&'static str, Value)> {
            vec![("lr_lambdas", Value::List(vec![Value::None]))]
        }
    }
    impl fmt::Debug for $settings {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(stringify!($settings))
        }
    }
)* } }
by_function! {
    /// The initial learning rates times a function of the epoch.
    LambdaLR = Lambda |at, factor| {
        let factor = factor(at.epoch);
        at.of_base(|rate| rate * factor)
    };
    /// The learning rates of the epoch before times a function of the epoch.
    MultiplicativeLR = Multiplicative |at, factor| if at.initial { at.unchanged() } else { at.scaled(factor(at.epoch)) };
}
