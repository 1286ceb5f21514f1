//! What a module is: its registered parameters, buffers and submodules, and what follows from them.

use super::repr;
use crate::io::StateDict;
use crate::ops::{convert, shape};
use crate::{DType, Device, Result, Tensor};
use flambeau_core::{bail, show};
pub use flambeau_derive::Module;
use std::collections::HashSet;
use std::fmt::Write;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};

/// A tensor that a module learns: a leaf that requires a gradient.
#[derive(Clone, Debug)]
pub struct Parameter(Tensor);

impl Parameter {
    /// A parameter over a tensor's memory.
    pub fn new(data: &Tensor) -> Result<Parameter> {
        data.detach()?.requires_grad_(true).map(Parameter)
    }
}
impl Deref for Parameter {
    type Target = Tensor;
    fn deref(&self) -> &Tensor {
        &self.0
    }
}

/// A field that tells a module whether it is being trained; [`Module::train`] and [`Module::eval`] set it.
#[derive(Debug)]
pub struct Training(AtomicBool);

impl Training {
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
    pub fn set(&self, on: bool) {
        self.0.store(on, Ordering::Relaxed);
    }
}
impl Default for Training {
    fn default() -> Self {
        Training(AtomicBool::new(true))
    }
}

/// Something registered in a module.
#[derive(Clone, Copy)]
pub enum Member<'a> {
    Parameter(&'a Parameter),
    Buffer(&'a Tensor),
    Module(&'a dyn Module),
    Training(&'a Training),
}

/// Types that fields of a derived module may have.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be registered in a module",
    note = "mark the field with `#[module(skip)]` if it holds neither parameters nor modules"
)]
pub trait Register {
    /// Shows what it holds to a visitor, under the given name.
    fn register<'a>(&'a self, name: &str, visitor: &mut dyn FnMut(&str, Member<'a>));
}
impl<M: Module> Register for M {
    fn register<'a>(&'a self, name: &str, visitor: &mut dyn FnMut(&str, Member<'a>)) {
        visitor(name, Member::Module(self));
    }
}
impl Register for Parameter {
    fn register<'a>(&'a self, name: &str, visitor: &mut dyn FnMut(&str, Member<'a>)) {
        visitor(name, Member::Parameter(self));
    }
}
impl Register for Tensor {
    fn register<'a>(&'a self, name: &str, visitor: &mut dyn FnMut(&str, Member<'a>)) {
        visitor(name, Member::Buffer(self));
    }
}
impl Register for Training {
    fn register<'a>(&'a self, name: &str, visitor: &mut dyn FnMut(&str, Member<'a>)) {
        visitor(name, Member::Training(self));
    }
}
impl<T: Register> Register for Option<T> {
    fn register<'a>(&'a self, name: &str, visitor: &mut dyn FnMut(&str, Member<'a>)) {
        if let Some(value) = self {
            value.register(name, visitor);
        }
    }
}
/// Settings, which register nothing.
macro_rules! settings { ($($t:ty),*) => { $(
    impl Register for $t {
        fn register<'a>(&'a self, _: &str, _: &mut dyn FnMut(&str, Member<'a>)) {}
    }
)* } }
settings!(bool, u8, u32, u64, usize, i8, i32, i64, f32, f64, char, String, &'static str, DType, Device);

/// A part of a network: parameters, buffers and submodules under names, in order. Derive it:
///
/// ```
/// use flambeau::nn::{Forward, Linear, Module};
/// use flambeau::{Result, Tensor};
///
/// #[derive(Module)]
/// struct Net {
///     hidden: Linear,
///     out: Linear,
/// }
///
/// impl Forward for Net {
///     fn forward(&self, x: &Tensor) -> Result<Tensor> {
///         self.out.forward(&self.hidden.forward(x)?.relu()?)
///     }
/// }
///
/// let net = Net { hidden: Linear::new(4, 8)?, out: Linear::new(8, 3)? };
/// assert_eq!(net.to_string(), "Net(
///   (hidden): Linear(in_features=4, out_features=8, bias=True)
///   (out): Linear(in_features=8, out_features=3, bias=True)
/// )");
/// let names: Vec<String> = net.named_parameters().into_iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["hidden.weight", "hidden.bias", "out.weight", "out.bias"]);
/// let y = net.forward(&flambeau::ones([5, 4], ())?)?;
/// assert_eq!(y.sizes()[..], [5, 3]);
/// # Ok::<(), flambeau::Error>(())
/// ```
///
/// All methods take `&self`: tensors are handles, and changing them needs no exclusive access.
pub trait Module: Send + Sync {
    /// The name of its type, for printing.
    fn class_name(&self) -> String;
    /// Shows what is registered, in order, to a visitor.
    fn visit<'a>(&'a self, visitor: &mut dyn FnMut(&str, Member<'a>));
    /// What is printed beside the submodules.
    fn extra_repr(&self) -> String {
        String::new()
    }
    /// The text that PyTorch prints.
    fn repr(&self) -> String {
        let children =
            self.named_children().into_iter().map(|(name, module)| (name, module.repr())).collect::<Vec<_>>();
        repr::module(&self.class_name(), &self.extra_repr(), &children)
    }

    /// Its submodules by name.
    fn named_children(&self) -> Vec<(String, &dyn Module)> {
        let mut out = Vec::new();
        self.visit(&mut |name, member| {
            if let Member::Module(module) = member {
                out.push((name.to_string(), module));
            }
        });
        out
    }
    /// Its submodules.
    fn children(&self) -> Vec<&dyn Module> {
        self.named_children().into_iter().map(|(_, module)| module).collect()
    }
    /// All modules below it, by path.
    fn named_modules(&self) -> Vec<(String, &dyn Module)> {
        let mut out = Vec::new();
        for (name, child) in self.named_children() {
            out.push((name.clone(), child));
            out.extend(
                child.named_modules().into_iter().map(|(below, module)| (format!("{name}.{below}"), module)),
            );
        }
        out
    }
    /// Every member of it and of the modules below by path: of each module its parameters, its buffers, its submodules.
    fn members(&self) -> Vec<(String, Member<'_>)> {
        let mut own = Vec::new();
        self.visit(&mut |name, member| own.push((name.to_string(), member)));
        own.sort_by_key(|(_, member)| match member {
            Member::Parameter(_) | Member::Training(_) => 0,
            Member::Buffer(_) => 1,
            Member::Module(_) => 2,
        });
        let mut out = Vec::with_capacity(own.len());
        for (name, member) in own {
            match member {
                Member::Module(module) => {
                    out.extend(
                        module
                            .members()
                            .into_iter()
                            .map(|(below, member)| (format!("{name}.{below}"), member)),
                    );
                }
                _ => out.push((name, member)),
            }
        }
        out
    }
    /// Its parameters and those below, by path; one that appears twice is listed once.
    fn named_parameters(&self) -> Vec<(String, Tensor)> {
        distinct(self.members().into_iter().filter_map(|(path, member)| match member {
            Member::Parameter(parameter) => Some((path, Tensor::clone(parameter))),
            _ => None,
        }))
    }
    /// Its parameters and those below.
    fn parameters(&self) -> Vec<Tensor> {
        self.named_parameters().into_iter().map(|(_, parameter)| parameter).collect()
    }
    /// Its buffers and those below, by path.
    fn named_buffers(&self) -> Vec<(String, Tensor)> {
        distinct(self.members().into_iter().filter_map(|(path, member)| match member {
            Member::Buffer(buffer) => Some((path, buffer.clone())),
            _ => None,
        }))
    }
    /// Its buffers and those below.
    fn buffers(&self) -> Vec<Tensor> {
        self.named_buffers().into_iter().map(|(_, buffer)| buffer).collect()
    }

    /// Its parameters and buffers and those below, by path. They share memory with the module.
    fn state_dict(&self) -> StateDict {
        state_tensors(self.members()).map(|(path, tensor)| (path, tensor.alias())).collect()
    }
    /// Copies the tensors of a state dict into the module. The names and shapes must agree; nothing is copied if one does not.
    fn load_state_dict(&self, state: &StateDict) -> Result<()> {
        let missing = self.load_state_dict_partly(state, true)?;
        debug_assert!(missing.is_empty());
        Ok(())
    }
    /// [`Module::load_state_dict`] that, unless `strict`, passes over names which only one side has. Returns these.
    fn load_state_dict_partly(&self, state: &StateDict, strict: bool) -> Result<Vec<String>> {
        load(state_tensors(self.members()).collect(), &self.class_name(), state, strict)
    }

    /// Puts it and the modules below in training mode, or out of it.
    fn train(&self, on: bool) {
        for (_, member) in self.members() {
            if let Member::Training(flag) = member {
                flag.set(on);
            }
        }
    }
    /// `train(false)`.
    fn eval(&self) {
        self.train(false);
    }
    /// Forgets the gradients of all parameters.
    fn zero_grad(&self) {
        for parameter in self.parameters() {
            parameter.set_grad(None);
        }
    }
    /// Tells whether gradients of the parameters are wanted.
    fn requires_grad_(&self, on: bool) -> Result<()> {
        self.parameters().iter().try_for_each(|parameter| parameter.set_requires_grad(on))
    }
    /// Casts floating-point parameters and buffers; the parameters stay the same tensors.
    fn to_dtype(&self, dtype: DType) -> Result<()> {
        if !dtype.is_differentiable() {
            bail!(
                Type,
                "nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={dtype}"
            );
        }
        let cast = |tensor: &Tensor| -> Result<()> {
            if tensor.dtype().is_differentiable() {
                tensor.set_array(convert::to_dtype(&tensor.alias(), dtype, false, false, None)?.array());
            }
            Ok(())
        };
        for (_, tensor) in distinct(state_tensors(self.members())) {
            cast(&tensor)?;
            if let Some(grad) = tensor.grad() {
                cast(&grad)?;
            }
        }
        Ok(())
    }
    /// Calls a function on every module below it, children before their parents.
    fn apply(&self, f: &mut dyn FnMut(&dyn Module)) {
        for child in self.children() {
            child.apply(f);
            f(child);
        }
    }
}

fn state_tensors<'a>(members: Vec<(String, Member<'a>)>) -> impl Iterator<Item = (String, Tensor)> + use<'a> {
    members.into_iter().filter_map(|(path, member)| match member {
        Member::Parameter(parameter) => Some((path, Tensor::clone(parameter))),
        Member::Buffer(buffer) => Some((path, buffer.clone())),
        _ => None,
    })
}

/// Without tensors that appeared before.
fn distinct(tensors: impl Iterator<Item = (String, Tensor)>) -> Vec<(String, Tensor)> {
    let mut seen = HashSet::new();
    tensors.filter(|(_, tensor)| seen.insert(tensor.id())).collect()
}

impl<M: Module + ?Sized> Module for Box<M> {
    fn class_name(&self) -> String {
        (**self).class_name()
    }
    fn visit<'a>(&'a self, visitor: &mut dyn FnMut(&str, Member<'a>)) {
        (**self).visit(visitor);
    }
    fn extra_repr(&self) -> String {
        (**self).extra_repr()
    }
    fn repr(&self) -> String {
        (**self).repr()
    }
}

/// Copies the tensors of a state into those of a module, by name; the names that only one of them has.
fn load(own: Vec<(String, Tensor)>, class: &str, state: &StateDict, strict: bool) -> Result<Vec<String>> {
    let known: HashSet<&str> = own.iter().map(|(name, _)| name.as_str()).collect();
    let quoted = |names: &[&str]| names.iter().map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(", ");
    let missing: Vec<&str> =
        own.iter().map(|(name, _)| name.as_str()).filter(|name| state.get(name).is_none()).collect();
    let unexpected: Vec<&str> = state.names().filter(|name| !known.contains(name)).collect();
    let mut faults = String::new();
    if strict && !unexpected.is_empty() {
        let _ = write!(faults, "\n\tUnexpected key(s) in state_dict: {}. ", quoted(&unexpected));
    }
    if strict && !missing.is_empty() {
        let _ = write!(faults, "\n\tMissing key(s) in state_dict: {}. ", quoted(&missing));
    }
    for (name, tensor) in &own {
        if let Some(given) = state.get(name)
            && given.sizes() != tensor.sizes()
        {
            let _ = write!(
                faults,
                "\n\tsize mismatch for {name}: copying a param with shape torch.Size({}) from checkpoint, the shape in current model is torch.Size({}).",
                show(&given.sizes()),
                show(&tensor.sizes())
            );
        }
    }
    if !faults.is_empty() {
        bail!("Error(s) in loading state_dict for {}:{faults}", class);
    }
    let _guard = crate::autograd::GradMode::no_grad();
    for (name, tensor) in &own {
        if let Some(given) = state.get(name) {
            shape::copy_(tensor, given, false)?;
        }
    }
    Ok(missing.into_iter().chain(unexpected).map(String::from).collect())
}

/// A module with one input and one output.
pub trait Forward: Module {
    fn forward(&self, input: &Tensor) -> Result<Tensor>;
}
impl<M: Forward + ?Sized> Forward for Box<M> {
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        (**self).forward(input)
    }
}
