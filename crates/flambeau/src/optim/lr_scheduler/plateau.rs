//! The schedule that waits for a metric.

use super::super::optimizer::Groups;
use super::super::settings::Setting;
use super::{number, rates};
use crate::Result;
use crate::io::Value;
use flambeau_core::bail;

/// Settings of [`ReduceLROnPlateau`].
#[derive(Clone, Copy, Debug)]
pub struct PlateauOptions {
    /// Whether the metric is to rise instead of to fall.
    pub maximize: bool,
    pub factor: f64,
    /// How many epochs without an improvement are borne.
    pub patience: i64,
    pub threshold: f64,
    /// Whether the threshold is an amount instead of a share of the best metric.
    pub absolute: bool,
    /// How many epochs do not count after a reduction.
    pub cooldown: i64,
    pub min_lr: f64,
    /// Changes of a rate below it are left out.
    pub eps: f64,
}
impl Default for PlateauOptions {
    fn default() -> Self {
        PlateauOptions {
            maximize: false,
            factor: 0.1,
            patience: 10,
            threshold: 1e-4,
            absolute: false,
            cooldown: 0,
            min_lr: 0.0,
            eps: 1e-8,
        }
    }
}

/// Multiplies by `factor` when a metric has not improved for more than `patience` epochs.
///
/// ```
/// use flambeau::optim::lr_scheduler::{PlateauOptions, ReduceLROnPlateau};
/// use flambeau::optim::{SGD, SGDOptions};
/// let w = flambeau::ones([1], ())?.requires_grad_(true)?;
/// let mut optimizer = SGD::new([&w], SGDOptions { lr: 1.0, ..Default::default() })?;
/// let options = PlateauOptions { patience: 1, ..Default::default() };
/// let mut scheduler = ReduceLROnPlateau::new(&mut optimizer, options)?;
/// for loss in [0.5, 0.4, 0.4, 0.4] {
///     scheduler.step(loss, &mut optimizer)?;
/// }
/// assert_eq!(optimizer.param_groups[0].options.lr, 0.1);
/// # Ok::<(), flambeau::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ReduceLROnPlateau {
    pub options: PlateauOptions,
    pub best: f64,
    pub num_bad_epochs: i64,
    pub last_epoch: i64,
    cooldown_counter: i64,
    min_lrs: Vec<f64>,
    last_lr: Vec<f64>,
}

impl ReduceLROnPlateau {
    pub fn new(optimizer: &mut dyn Groups, options: PlateauOptions) -> Result<Self> {
        if options.factor >= 1.0 {
            bail!(Value, "Factor should be < 1.0.");
        }
        Ok(ReduceLROnPlateau {
            options,
            best: Self::worst(&options),
            num_bad_epochs: 0,
            last_epoch: 0,
            cooldown_counter: 0,
            min_lrs: vec![options.min_lr; optimizer.count()],
            last_lr: rates(optimizer)?,
        })
    }
    fn worst(options: &PlateauOptions) -> f64 {
        if options.maximize { f64::NEG_INFINITY } else { f64::INFINITY }
    }
    /// Whether a metric improves on another.
    pub fn is_better(&self, metric: f64, best: f64) -> bool {
        let PlateauOptions { threshold, .. } = self.options;
        match (self.options.maximize, self.options.absolute) {
            (false, false) => metric < best * (1.0 - threshold),
            (false, true) => metric < best - threshold,
            (true, false) => metric > best * (threshold + 1.0),
            (true, true) => metric > best + threshold,
        }
    }
    /// Takes in the metric of an epoch.
    pub fn step(&mut self, metric: f64, optimizer: &mut dyn Groups) -> Result<()> {
        self.last_epoch += 1;
        if self.is_better(metric, self.best) {
            self.best = metric;
            self.num_bad_epochs = 0;
        } else {
            self.num_bad_epochs += 1;
        }
        if self.cooldown_counter > 0 {
            self.cooldown_counter -= 1;
            self.num_bad_epochs = 0;
        }
        if self.num_bad_epochs > self.options.patience {
            for i in 0..optimizer.count() {
                let old = number(optimizer, i, "lr")?;
                let least = self.min_lrs.get(i).copied().unwrap_or(self.options.min_lr);
                let new = (old * self.options.factor).max(least);
                if old - new > self.options.eps {
                    optimizer.set(i, "lr", new.into())?;
                }
            }
            self.cooldown_counter = self.options.cooldown;
            self.num_bad_epochs = 0;
        }
        self.last_lr = rates(optimizer)?;
        Ok(())
    }
    /// The learning rates that were set last, one for each group.
    pub fn get_last_lr(&self) -> &[f64] {
        &self.last_lr
    }
    /// What PyTorch's schedule of the same name has in its state dict.
    pub fn state_dict(&self) -> Value {
        let o = &self.options;
        Value::dict([
            ("factor", o.factor.into()),
            ("default_min_lr", o.min_lr.into()),
            ("min_lrs", self.min_lrs.clone().into()),
            ("patience", o.patience.into()),
            ("cooldown", o.cooldown.into()),
            ("eps", o.eps.into()),
            ("last_epoch", self.last_epoch.into()),
            ("_last_lr", self.last_lr.clone().into()),
            ("mode_worse", Self::worst(o).into()),
            ("mode", if o.maximize { "max" } else { "min" }.into()),
            ("threshold", o.threshold.into()),
            ("threshold_mode", if o.absolute { "abs" } else { "rel" }.into()),
            ("best", self.best.into()),
            ("cooldown_counter", self.cooldown_counter.into()),
            ("num_bad_epochs", self.num_bad_epochs.into()),
        ])
    }
    /// Takes over what [`ReduceLROnPlateau::state_dict`] or PyTorch gave.
    pub fn load_state_dict(&mut self, state: &Value) -> Result<()> {
        let mut new = self.clone();
        let o = &mut new.options;
        for (name, value) in state.entries()? {
            match name.as_str()? {
                "factor" => o.factor.set_from(value)?,
                "default_min_lr" if !value.is_none() => o.min_lr.set_from(value)?,
                "min_lrs" => new.min_lrs.set_from(value)?,
                "patience" => o.patience.set_from(value)?,
                "cooldown" => o.cooldown.set_from(value)?,
                "eps" => o.eps.set_from(value)?,
                "last_epoch" => new.last_epoch.set_from(value)?,
                "_last_lr" => new.last_lr.set_from(value)?,
                "mode" => o.maximize = value.as_str()? == "max",
                "threshold" => o.threshold.set_from(value)?,
                "threshold_mode" => o.absolute = value.as_str()? == "abs",
                "best" => new.best.set_from(value)?,
                "cooldown_counter" => new.cooldown_counter.set_from(value)?,
                "num_bad_epochs" => new.num_bad_epochs.set_from(value)?,
                _ => {}
            }
        }
        *self = new;
        Ok(())
    }
}
