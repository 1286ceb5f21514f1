//! What all optimizers share: groups of parameters, the state of each parameter, and their state dict.

use super::settings::Settings;
use crate::autograd::GradMode;
use crate::generated::defs;
use crate::io::StateDict;
use crate::ops::{self, shape};
use crate::pointwise::{ParamValue, run_};
use crate::{DType, Result, Scalar, Tensor};
use flambeau_core::bail;
use std::collections::HashMap;
use std::fmt;

/// Parameters that are updated with the same settings.
#[derive(Clone, Debug)]
pub struct ParamGroup<A> {
    pub params: Vec<Tensor>,
    pub options: A,
}

/// What an optimizer remembers of a parameter.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// How many updates there were, where the algorithm counts them.
    pub step: Option<u64>,
    tensors: Vec<(String, Tensor)>,
}

impl State {
    pub fn get(&self, name: &str) -> Option<Tensor> {
        self.tensors.iter().find(|(n, _)| n == name).map(|(_, tensor)| tensor.clone())
    }
    pub fn insert(&mut self, name: &str, tensor: Tensor) {
        self.tensors.push((name.to_string(), tensor));
    }
    /// The tensor of a name, at first zeros like the parameter.
    pub fn zeros(&mut self, name: &str, parameter: &Tensor) -> Result<Tensor> {
        if let Some(tensor) = self.get(name) {
            return Ok(tensor);
        }
        let tensor = Tensor::zeros_raw(&parameter.sizes(), parameter.dtype(), parameter.device())?;
        self.insert(name, tensor.clone());
        Ok(tensor)
    }
    /// Counts an update; returns how many there were with this one.
    pub fn count(&mut self) -> f64 {
        let step = self.step.unwrap_or(0) + 1;
        self.step = Some(step);
        step as f64
    }
}

/// How a parameter follows from its gradient. The type holds the settings of a group.
pub trait Algorithm: Settings + Copy + Default {
    /// The optimizer's name, for printing.
    const NAME: &'static str;
    fn learning_rate(&mut self) -> &mut f64;
    /// Fails for settings out of range.
    fn check(&self) -> Result<()>;
    /// What is remembered before the first update.
    fn start(&self, _parameter: &Tensor, _state: &mut State) -> Result<()> {
        Ok(())
    }
    /// Updates a parameter in place; nothing is recorded meanwhile.
    fn update(&self, parameter: &Tensor, grad: &Tensor, state: &mut State) -> Result<()>;
}

/// An optimizer: an algorithm over groups of parameters.
#[derive(Debug)]
pub struct Optimizer<A> {
    pub param_groups: Vec<ParamGroup<A>>,
    state: HashMap<usize, State>,
}

impl<A: Algorithm> Optimizer<A> {
    /// With one group of parameters.
    pub fn new<T: std::borrow::Borrow<Tensor>>(
        params: impl IntoIterator<Item = T>,
        options: A,
    ) -> Result<Self> {
        let mut out = Optimizer { param_groups: Vec::new(), state: HashMap::new() };
        out.add_param_group(params, options)?;
        Ok(out)
    }
    /// Adds parameters with settings of their own.
    pub fn add_param_group<T: std::borrow::Borrow<Tensor>>(
        &mut self,
        params: impl IntoIterator<Item = T>,
        options: A,
    ) -> Result<()> {
        options.check()?;
        let params: Vec<Tensor> = params.into_iter().map(|p| p.borrow().clone()).collect();
        if params.is_empty() {
            bail!(Value, "optimizer got an empty parameter list");
        }
        let known = |p: &Tensor| self.param_groups.iter().any(|g| g.params.iter().any(|q| q.is_same(p)));
        for (i, parameter) in params.iter().enumerate() {
            if !(parameter.is_leaf() || crate::autograd::retains_grad(parameter)) {
                bail!(Value, "can't optimize a non-leaf Tensor");
            }
            if known(parameter) || params[..i].iter().any(|p| p.is_same(parameter)) {
                bail!(Value, "some parameters appear in more than one parameter group");
            }
        }
        for parameter in &params {
            let mut state = State::default();
            options.start(parameter, &mut state)?;
            self.state.insert(parameter.id(), state);
        }
        self.param_groups.push(ParamGroup { params, options });
        Ok(())
    }
    /// Updates every parameter that has a gradient.
    pub fn step(&mut self) -> Result<()> {
        let _guard = GradMode::no_grad();
        for group in &self.param_groups {
            for parameter in &group.params {
                if let Some(grad) = parameter.grad() {
                    let state = self.state.entry(parameter.id()).or_default();
                    group.options.update(parameter, &grad, state)?;
                }
            }
        }
        Ok(())
    }
    /// Forgets the gradients of the parameters.
    pub fn zero_grad(&self) {
        for group in &self.param_groups {
            group.params.iter().for_each(|parameter| parameter.set_grad(None));
        }
    }
    /// What is remembered of a parameter.
    pub fn state(&self, parameter: &Tensor) -> Option<&State> {
        self.state.get(&parameter.id())
    }
    fn numbered(&self) -> Vec<Tensor> {
        self.param_groups.iter().flat_map(|group| group.params.iter().cloned()).collect()
    }

    /// The settings as `param_groups.G.NAME`, and what is remembered of each parameter as `state.I.NAME`, parameters being
    /// numbered in order. The tensors share memory with the optimizer's.
    pub fn state_dict(&self) -> Result<StateDict> {
        let mut out = StateDict::new();
        let mut first = 0;
        for (g, group) in self.param_groups.iter().enumerate() {
            let mut options = group.options;
            for (name, setting) in options.list() {
                out.insert(format!("param_groups.{g}.{name}"), setting.to_tensor()?);
            }
            let numbers: Vec<i64> = (first..first + group.params.len() as i64).collect();
            first += numbers.len() as i64;
            out.insert(
                format!("param_groups.{g}.params"),
                Tensor::from_slice(&numbers, &[numbers.len() as i64])?,
            );
        }
        for (i, parameter) in self.numbered().iter().enumerate() {
            let Some(state) = self.state.get(&parameter.id()) else { continue };
            if let Some(step) = state.step {
                let step = ops::creation::scalar_tensor(Scalar::Int(step as i64), DType::Float32)?;
                out.insert(format!("state.{i}.step"), step);
            }
            for (name, tensor) in &state.tensors {
                out.insert(format!("state.{i}.{name}"), tensor.clone());
            }
        }
        Ok(out)
    }

    /// Takes over what [`Optimizer::state_dict`] gave; nothing changes if it does not fit the parameters.
    pub fn load_state_dict(&mut self, saved: &StateDict) -> Result<()> {
        let mut groups = self.param_groups.clone();
        if saved.get(&format!("param_groups.{}.params", groups.len())).is_some() {
            bail!(Value, "loaded state dict has a different number of parameter groups");
        }
        for (g, group) in groups.iter_mut().enumerate() {
            let Some(numbers) = saved.get(&format!("param_groups.{g}.params")) else {
                bail!(Value, "loaded state dict has a different number of parameter groups");
            };
            if numbers.numel() != group.params.len() {
                bail!(
                    Value,
                    "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"
                );
            }
            for (name, setting) in group.options.list() {
                if let Some(tensor) = saved.get(&format!("param_groups.{g}.{name}")) {
                    setting.set_from(tensor)?;
                }
            }
            group.options.check()?;
        }
        let mut states = HashMap::new();
        for (i, parameter) in self.numbered().iter().enumerate() {
            let mut state = State::default();
            for (name, tensor) in saved.below(&format!("state.{i}.")) {
                if name == "step" {
                    state.step = Some(tensor.to_f64()? as u64);
                    continue;
                }
                if tensor.sizes() != parameter.sizes() {
                    bail!(
                        Value,
                        "state.{i}.{name} has sizes {:?}, its parameter {:?}",
                        tensor.sizes(),
                        parameter.sizes()
                    );
                }
                let tensor =
                    shape::to_copy(&tensor.alias(), Some(parameter.dtype()), Some(parameter.device()), None)?;
                state.insert(&name, tensor);
            }
            states.insert(parameter.id(), state);
        }
        self.param_groups = groups;
        self.state = states;
        Ok(())
    }
}

impl<A: Algorithm> fmt::Display for Optimizer<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (", A::NAME)?;
        for (g, group) in self.param_groups.iter().enumerate() {
            writeln!(f, "\nParameter Group {g}")?;
            let mut options = group.options;
            let mut settings = options.list();
            settings.sort_by_key(|(name, _)| *name);
            for (name, setting) in settings {
                writeln!(f, "    {name}: {}", setting.text())?;
            }
        }
        f.write_str(")")
    }
}

// Steps that several algorithms have

/// `x += alpha * y`
pub(super) fn add_(x: &Tensor, y: &Tensor, alpha: f64) -> Result<()> {
    run_(&defs::ADD, &[x, y], &[ParamValue::Scalar(alpha.into())]).map(drop)
}
/// `x += value * a * b`
pub(super) fn addcmul_(x: &Tensor, a: &Tensor, b: &Tensor, value: f64) -> Result<()> {
    run_(&defs::ADDCMUL, &[x, a, b], &[ParamValue::Scalar(value.into())]).map(drop)
}
/// `x += value * a / b`
pub(super) fn addcdiv_(x: &Tensor, a: &Tensor, b: &Tensor, value: f64) -> Result<()> {
    run_(&defs::ADDCDIV, &[x, a, b], &[ParamValue::Scalar(value.into())]).map(drop)
}
/// The gradient to descend along: turned round to maximize, and with weight decay.
pub(super) fn direction(
    grad: &Tensor,
    parameter: &Tensor,
    maximize: bool,
    weight_decay: f64,
) -> Result<Tensor> {
    let grad = if maximize { ops::neg(grad)? } else { grad.clone() };
    if weight_decay == 0.0 { Ok(grad) } else { ops::add(&grad, parameter, weight_decay.into()) }
}
/// A complex tensor seen as real pairs.
pub(super) fn real(tensor: &Tensor) -> Result<Tensor> {
    if tensor.is_complex() { ops::convert::view_as_real(tensor) } else { Ok(tensor.clone()) }
}
