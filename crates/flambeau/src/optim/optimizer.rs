//! What all optimizers share: groups of parameters, the state of each parameter, and their state dict.

use super::settings::Settings;
use crate::autograd::GradMode;
use crate::generated::defs;
use crate::io::Value;
use crate::ops::{self, shape};
use crate::pointwise::{ParamValue, run_};
use crate::{Result, Tensor};
use flambeau_core::bail;
use std::collections::HashMap;
use std::fmt;

/// Parameters that are updated with the same settings.
#[derive(Clone, Debug)]
pub struct ParamGroup<A> {
    pub params: Vec<Tensor>,
    pub options: A,
    /// What else a state dict has of the group: settings that change nothing here, and those of schedulers.
    pub others: Vec<(String, Value)>,
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
    fn to_value(&self) -> Value {
        let step = self.step.map(|step| ("step".into(), scalar(step as f64).into()));
        let tensors = self.tensors.iter().map(|(name, tensor)| (name.as_str().into(), tensor.into()));
        Value::Dict(step.into_iter().chain(tensors).collect())
    }
    fn from_value(saved: &Value, parameter: &Tensor, alike: bool) -> Result<State> {
        let mut state = State::default();
        for (name, value) in saved.entries()? {
            match (name.as_str()?, value) {
                ("step", step) => state.step = Some(step.as_f64()? as u64),
                (name, Value::Tensor(tensor)) => {
                    if alike && tensor.dim() > 0 && tensor.sizes() != parameter.sizes() {
                        bail!(
                            Value,
                            "{name} has sizes {:?}, its parameter {:?}",
                            tensor.sizes(),
                            parameter.sizes()
                        );
                    }
                    // As in PyTorch, what belongs to floating-point parameters has their dtype.
                    let dtype = match tensor.dim() > 0 && parameter.dtype().is_differentiable() {
                        true => parameter.dtype(),
                        false => tensor.dtype(),
                    };
                    let tensor =
                        shape::to_copy(&tensor.alias(), Some(dtype), Some(parameter.device()), None)?;
                    state.insert(name, tensor);
                }
                (_, Value::None) => {}
                (name, number) => state.insert(name, scalar(number.as_f64()?)),
            }
        }
        Ok(state)
    }
    /// The number of a name, a tensor without dimensions.
    pub(super) fn scalar(&mut self, name: &str, start: f64) -> Tensor {
        if let Some(tensor) = self.get(name) {
            return tensor;
        }
        let tensor = scalar(start);
        self.insert(name, tensor.clone());
        tensor
    }
    /// Counts an update; returns how many there were with this one.
    pub fn count(&mut self) -> f64 {
        let step = self.step.unwrap_or(0) + 1;
        self.step = Some(step);
        step as f64
    }
}

/// A number as PyTorch's optimizers remember it.
pub(super) fn scalar(value: f64) -> Tensor {
    Tensor::from_slice(&[value as f32], &[]).expect("one number makes a tensor without dimensions")
}

/// How a parameter follows from its gradient. The type holds the settings of a group.
pub trait Algorithm: Settings + Copy + Default {
    /// The optimizer's name, for printing.
    const NAME: &'static str;
    /// The settings that PyTorch's optimizer has beside those listed, for state dicts.
    const OTHERS: &'static [(&'static str, Option<bool>)] =
        &[("foreach", None), ("capturable", Some(false)), ("differentiable", Some(false))];
    /// Whether what is remembered of a parameter has its shape, numbers apart.
    const LIKE_PARAMETERS: bool = true;
    /// Whether it takes sparse gradients.
    const SPARSE: bool = false;
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

/// The parameter groups of any optimizer, whose settings schedulers change by name.
pub trait Groups {
    /// How many groups there are.
    fn count(&self) -> usize;
    /// A setting, or what else a group has under the name.
    fn get(&mut self, group: usize, name: &str) -> Option<Value>;
    /// Sets or adds it.
    fn set(&mut self, group: usize, name: &str, value: Value) -> Result<()>;
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
        let others = A::OTHERS.iter().map(|(name, on)| (name.to_string(), (*on).into())).collect();
        self.param_groups.push(ParamGroup { params, options, others });
        Ok(())
    }
    /// Updates every parameter that has a gradient.
    pub fn step(&mut self) -> Result<()> {
        let _guard = GradMode::no_grad();
        for group in &self.param_groups {
            for parameter in &group.params {
                if let Some(grad) = parameter.grad() {
                    if grad.is_sparse() && !A::SPARSE {
                        bail!("{} does not support sparse gradients", A::NAME);
                    }
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

    /// The settings of the groups and what is remembered of each parameter, these being numbered in order: PyTorch's
    /// state dict, which its optimizer of the same name loads. The tensors share memory with the optimizer's.
    ///
    /// ```
    /// use flambeau::optim::{SGD, SGDOptions};
    /// let w = flambeau::ones([2], ())?.requires_grad_(true)?;
    /// let mut optimizer = SGD::new([&w], SGDOptions { lr: 0.5, momentum: 0.9, ..Default::default() })?;
    /// w.sum()?.backward()?;
    /// optimizer.step()?;
    /// let state = optimizer.state_dict();
    /// assert_eq!(state["param_groups"][0]["lr"].as_f64()?, 0.5);
    /// assert_eq!(state["state"][0]["momentum_buffer"].as_tensor()?.to_string(), "tensor([1., 1.])");
    /// # Ok::<(), flambeau::Error>(())
    /// ```
    pub fn state_dict(&self) -> Value {
        let mut groups = Vec::new();
        let mut first = 0;
        for group in &self.param_groups {
            let mut options = group.options;
            let mut entries: Vec<(Value, Value)> =
                options.list().into_iter().map(|(name, setting)| (name.into(), setting.to_value())).collect();
            entries.extend(group.others.iter().map(|(name, value)| (name.as_str().into(), value.clone())));
            let numbers: Vec<i64> = (first..first + group.params.len() as i64).collect();
            first += numbers.len() as i64;
            entries.push(("params".into(), numbers.into()));
            groups.push(Value::Dict(entries));
        }
        let mut states = Vec::new();
        for (i, parameter) in (0i64..).zip(&self.numbered()) {
            let Some(state) = self.state.get(&parameter.id()) else { continue };
            if state.step.is_some() || !state.tensors.is_empty() {
                states.push((i.into(), state.to_value()));
            }
        }
        Value::dict([("state", Value::Dict(states)), ("param_groups", Value::List(groups))])
    }

    /// Takes over what [`Optimizer::state_dict`] gave, or PyTorch's optimizer of the same name; nothing changes if it does
    /// not fit the parameters.
    pub fn load_state_dict(&mut self, saved: &Value) -> Result<()> {
        let (Some(saved_groups), Some(saved_states)) = (saved.get("param_groups"), saved.get("state")) else {
            bail!(Key, "the state dict of an optimizer has 'state' and 'param_groups'");
        };
        let mut groups = self.param_groups.clone();
        let saved_groups = saved_groups.items()?;
        if saved_groups.len() != groups.len() {
            bail!(Value, "loaded state dict has a different number of parameter groups");
        }
        // The numbers by which the file knows the parameters, in our order.
        let mut numbers = Vec::new();
        for (group, saved) in groups.iter_mut().zip(saved_groups) {
            let params = saved.get("params").map_or(Ok(&[][..]), Value::items)?;
            if params.len() != group.params.len() {
                bail!(
                    Value,
                    "loaded state dict contains a parameter group that doesn't match the size of optimizer's group"
                );
            }
            for number in params {
                numbers.push(number.as_i64()?);
            }
            let mut options = group.options;
            let mut list = options.list();
            group.others.clear();
            for (name, value) in saved.entries()? {
                let name = name.as_str()?;
                match list.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, setting)) => setting.set_from(value)?,
                    None if name != "params" => group.others.push((name.to_string(), value.clone())),
                    None => {}
                }
            }
            drop(list);
            options.check()?;
            group.options = options;
        }
        let mut states = HashMap::new();
        for (number, parameter) in numbers.into_iter().zip(&self.numbered()) {
            let state = match saved_states.at(number) {
                Some(saved) => State::from_value(saved, parameter, A::LIKE_PARAMETERS)
                    .map_err(|e| e.map_message(|text| format!("state of parameter {number}: {text}")))?,
                None => State::default(),
            };
            states.insert(parameter.id(), state);
        }
        self.param_groups = groups;
        self.state = states;
        Ok(())
    }
}

impl<A: Algorithm> Groups for Optimizer<A> {
    fn count(&self) -> usize {
        self.param_groups.len()
    }
    fn get(&mut self, group: usize, name: &str) -> Option<Value> {
        let group = self.param_groups.get_mut(group)?;
        if let Some((_, setting)) = group.options.list().iter().find(|(known, _)| *known == name) {
            return Some(setting.to_value());
        }
        group.others.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    }
    fn set(&mut self, group: usize, name: &str, value: Value) -> Result<()> {
        let Some(group) = self.param_groups.get_mut(group) else { return Ok(()) };
        if let Some((_, setting)) = group.options.list().iter_mut().find(|(known, _)| *known == name) {
            return setting.set_from(&value);
        }
        match group.others.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => group.others.push((name.to_string(), value)),
        }
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
