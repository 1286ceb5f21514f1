//! Modules that hold modules.

use super::module::{Forward, Member, Module, Parameter};
use super::repr;
use crate::{DType, Result, Tensor};
use std::fmt;
use std::ops::{Deref, DerefMut};

/// Modules one after another, each taking the output of the one before.
///
/// ```
/// use flambeau::nn::{Forward, Linear, Module, Sequential, Sigmoid};
/// let net = Sequential::new().append(Linear::new(2, 3)?).append(Sigmoid);
/// assert_eq!(net.to_string(), "Sequential(
///   (0): Linear(in_features=2, out_features=3, bias=True)
///   (1): Sigmoid()
/// )");
/// assert_eq!(net.state_dict().names().collect::<Vec<_>>(), ["0.weight", "0.bias"]);
/// # Ok::<(), flambeau::Error>(())
/// ```
#[derive(Default)]
pub struct Sequential(Vec<Box<dyn Forward>>);

impl Sequential {
    pub fn new() -> Sequential {
        Sequential::default()
    }
    /// With a module added at the end.
    pub fn append(mut self, module: impl Forward + 'static) -> Sequential {
        self.0.push(Box::new(module));
        self
    }
}
impl Forward for Sequential {
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        self.0.iter().try_fold(input.clone(), |x, module| module.forward(&x))
    }
}

/// A list of modules, registered under their numbers.
#[derive(Debug)]
pub struct ModuleList<M>(Vec<M>);

impl<M> ModuleList<M> {
    pub fn new(modules: impl IntoIterator<Item = M>) -> ModuleList<M> {
        ModuleList(modules.into_iter().collect())
    }
}
impl<M> Default for ModuleList<M> {
    fn default() -> Self {
        ModuleList(Vec::new())
    }
}

/// Modules under names of their own, in the order in which they were added.
#[derive(Debug)]
pub struct ModuleDict<M>(Vec<(String, M)>);

impl<M> ModuleDict<M> {
    pub fn new<S: Into<String>>(modules: impl IntoIterator<Item = (S, M)>) -> ModuleDict<M> {
        let mut out = ModuleDict(Vec::new());
        modules.into_iter().for_each(|(name, module)| out.insert(name, module));
        out
    }
    /// Adds a module, or replaces the one of that name.
    pub fn insert(&mut self, name: impl Into<String>, module: M) {
        let name = name.into();
        match self.0.iter_mut().find(|(n, _)| *n == name) {
            Some((_, old)) => *old = module,
            None => self.0.push((name, module)),
        }
    }
    pub fn get(&self, name: &str) -> Option<&M> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, module)| module)
    }
}

/// A list of parameters, registered under their numbers.
///
/// ```
/// use flambeau::nn::{Module, Parameter, ParameterList};
/// let list = ParameterList::new([Parameter::new(&flambeau::ones([2, 3], ())?)?]);
/// assert_eq!(list.to_string(), "ParameterList(  (0): Parameter containing: [torch.float32 of size 2x3])");
/// assert_eq!(list.state_dict().names().collect::<Vec<_>>(), ["0"]);
/// # Ok::<(), flambeau::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct ParameterList(Vec<Parameter>);
impl ParameterList {
    pub fn new(parameters: impl IntoIterator<Item = Parameter>) -> ParameterList {
        ParameterList(parameters.into_iter().collect())
    }
}

/// Parameters under names of their own, in the order in which they were given.
#[derive(Debug, Default)]
pub struct ParameterDict(Vec<(String, Parameter)>);
impl ParameterDict {
    pub fn new<S: Into<String>>(parameters: impl IntoIterator<Item = (S, Parameter)>) -> ParameterDict {
        ParameterDict(parameters.into_iter().map(|(name, parameter)| (name.into(), parameter)).collect())
    }
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, parameter)| parameter)
    }
}

fn sizes(parameter: &Parameter) -> String {
    parameter.sizes().iter().map(i64::to_string).collect::<Vec<_>>().join("x")
}

impl Module for ParameterList {
    fn class_name(&self) -> String {
        "ParameterList".into()
    }
    fn visit<'a>(&'a self, visitor: &mut dyn FnMut(&str, Member<'a>)) {
        self.0.iter().enumerate().for_each(|(i, p)| visitor(&i.to_string(), Member::Parameter(p)));
    }
    fn extra_repr(&self) -> String {
        let line = |(i, p): (usize, &Parameter)| {
            format!("  ({i}): Parameter containing: [torch.{} of size {}]", p.dtype().name(), sizes(p))
        };
        self.0.iter().enumerate().map(line).collect::<Vec<_>>().join("\n")
    }
}
impl Module for ParameterDict {
    fn class_name(&self) -> String {
        "ParameterDict".into()
    }
    fn visit<'a>(&'a self, visitor: &mut dyn FnMut(&str, Member<'a>)) {
        self.0.iter().for_each(|(name, p)| visitor(name, Member::Parameter(p)));
    }
    fn extra_repr(&self) -> String {
        // PyTorch names the types of old here.
        let kind = |dtype: DType| format!("torch.{}Tensor", dtype.cpp_name());
        let line = |(name, p): &(String, Parameter)| {
            format!("  ({name}): Parameter containing: [{} of size {}]", kind(p.dtype()), sizes(p))
        };
        self.0.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}
impl Deref for ParameterList {
    type Target = Vec<Parameter>;
    fn deref(&self) -> &Vec<Parameter> {
        &self.0
    }
}
impl Deref for ParameterDict {
    type Target = [(String, Parameter)];
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Module for Sequential {
    fn class_name(&self) -> String {
        "Sequential".into()
    }
    fn visit<'a>(&'a self, visitor: &mut dyn FnMut(&str, Member<'a>)) {
        self.0.iter().enumerate().for_each(|(i, m)| visitor(&i.to_string(), Member::Module(m)));
    }
}
impl<M: Module> Module for ModuleList<M> {
    fn class_name(&self) -> String {
        "ModuleList".into()
    }
    fn visit<'a>(&'a self, visitor: &mut dyn FnMut(&str, Member<'a>)) {
        self.0.iter().enumerate().for_each(|(i, m)| visitor(&i.to_string(), Member::Module(m)));
    }
    fn repr(&self) -> String {
        repr::list("ModuleList", &self.0.iter().map(Module::repr).collect::<Vec<_>>())
    }
}
impl<M: Module> Module for ModuleDict<M> {
    fn class_name(&self) -> String {
        "ModuleDict".into()
    }
    fn visit<'a>(&'a self, visitor: &mut dyn FnMut(&str, Member<'a>)) {
        self.0.iter().for_each(|(name, m)| visitor(name, Member::Module(m)));
    }
}

impl Deref for Sequential {
    type Target = Vec<Box<dyn Forward>>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}
impl DerefMut for Sequential {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}
impl<M> Deref for ModuleList<M> {
    type Target = Vec<M>;
    fn deref(&self) -> &Vec<M> {
        &self.0
    }
}
impl<M> DerefMut for ModuleList<M> {
    fn deref_mut(&mut self) -> &mut Vec<M> {
        &mut self.0
    }
}
impl<M> Deref for ModuleDict<M> {
    type Target = [(String, M)];
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl fmt::Display for Sequential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repr())
    }
}
impl fmt::Display for ParameterList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repr())
    }
}
impl fmt::Display for ParameterDict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repr())
    }
}
impl<M: Module> fmt::Display for ModuleList<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repr())
    }
}
impl<M: Module> fmt::Display for ModuleDict<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repr())
    }
}
