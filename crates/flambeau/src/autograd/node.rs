//! Graph nodes, the tensors that they save, and hooks.

mod anomaly;
mod yard;

pub(crate) use yard::bury_meta;

use crate::{Tensor, WeakTensor};
use flambeau_core::{DType, Dims, Result, Shared, bail};
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::any::Any;
use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Gradients of a node's inputs; `None` where there is none.
pub type Grads = SmallVec<[Option<Tensor>; 2]>;

/// The backward formula of a node.
pub type Backward = Box<dyn Fn(&Context) -> Result<Grads> + Send + Sync>;

/// Sees a gradient and may replace it.
pub type Hook = Arc<dyn Fn(&Tensor) -> Result<Option<Tensor>> + Send + Sync>;
/// Sees the tensor after an event.
pub type PostHook = Arc<dyn Fn(&Tensor) -> Result<()> + Send + Sync>;
/// Sees the gradients of all outputs before a node runs and may replace them.
pub type NodePreHook = Arc<dyn Fn(&[Option<Tensor>]) -> Result<Option<Grads>> + Send + Sync>;
/// Sees the gradients of inputs and outputs after a node ran and may replace the former.
pub type NodePostHook =
    Arc<dyn Fn(&[Option<Tensor>], &[Option<Tensor>]) -> Result<Option<Grads>> + Send + Sync>;

/// Identifies a registered hook.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct HookId(pub u64);

impl HookId {
    pub fn next() -> HookId {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        HookId(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// Where a gradient goes: an input slot (an output of the forward function) of a node.
#[derive(Clone, Debug)]
pub struct Edge {
    pub node: Shared<Node>,
    pub input: u32,
}

/// Shape and dtype of an output of the forward function, against which gradients are checked.
#[derive(Clone, Debug)]
pub struct OutputMeta {
    pub sizes: Dims,
    pub dtype: DType,
}

pub(crate) enum Body {
    /// Adds to a leaf's `grad`.
    Accumulate(Tensor),
    Apply(Backward),
    /// Carries the tangent of a dual tensor; its gradient goes on to the primal.
    Dual(Tensor),
}

#[derive(Default)]
struct Hooks {
    tensor: Vec<(u32, HookId, Hook)>,
    retain: Vec<(u32, WeakTensor)>,
    pre: Vec<(HookId, NodePreHook)>,
    post: Vec<(HookId, NodePostHook)>,
    /// Where the operation was recorded, under anomaly detection.
    recorded_at: Option<String>,
}

/// A recorded operation.
pub struct Node {
    name: Cow<'static, str>,
    sequence: u64,
    edges: SmallVec<[Option<Edge>; 2]>,
    outputs: SmallVec<[OutputMeta; 1]>,
    body: Body,
    /// Whether a dual tensor is among its sources, and whether nothing else is.
    tangent: (bool, bool),
    saved: Mutex<SmallVec<[SavedTensor; 2]>>,
    released: AtomicBool,
    hooks: Mutex<Option<Box<Hooks>>>,
    /// Whether there have been any: asked without the lock.
    hooked: AtomicBool,
    /// A host object that stands for the node (`ctx` of a Python function).
    host: Mutex<Option<Arc<dyn Any + Send + Sync>>>,
}

thread_local! {
    static SEQUENCE: Cell<u64> = const { Cell::new(0) };
}

/// The next sequence number of this thread; later operations have higher ones.
pub(crate) fn next_sequence() -> u64 {
    SEQUENCE.with(|s| s.replace(s.get() + 1))
}

impl Node {
    #[inline(always)]
    pub(crate) fn new(
        name: Cow<'static, str>,
        edges: SmallVec<[Option<Edge>; 2]>,
        outputs: SmallVec<[OutputMeta; 1]>,
        body: Body,
        saved: SmallVec<[SavedTensor; 2]>,
        sequence: u64,
    ) -> Node {
        let sources = || edges.iter().flatten();
        let dual = matches!(body, Body::Dual(_));
        let has_tangent = dual || sources().any(|e| e.node.tangent.0);
        let alone = has_tangent && (!super::grad_enabled() || sources().all(|e| e.node.tangent.1));
        Node {
            name,
            sequence,
            edges,
            outputs,
            body,
            tangent: (has_tangent, alone),
            saved: Mutex::new(saved),
            released: AtomicBool::new(false),
            hooks: Mutex::new(None),
            hooked: AtomicBool::new(false),
            host: Mutex::new(None),
        }
    }
    /// `AddBackward0`
    pub fn name(&self) -> &str {
        &self.name
    }
    pub fn sequence(&self) -> u64 {
        self.sequence
    }
    /// Where the gradients of the inputs go.
    pub fn next_edges(&self) -> &[Option<Edge>] {
        &self.edges
    }
    pub fn outputs(&self) -> &[OutputMeta] {
        &self.outputs
    }
    /// The leaf of an accumulator.
    pub fn variable(&self) -> Option<&Tensor> {
        match &self.body {
            Body::Accumulate(leaf) => Some(leaf),
            Body::Apply(_) | Body::Dual(_) => None,
        }
    }
    /// Whether its value was computed from a dual tensor.
    pub(crate) fn has_tangent(&self) -> bool {
        self.tangent.0
    }
    /// Whether it is recorded for the sake of forward derivatives only, so that its outputs do not count as
    /// requiring a gradient.
    pub fn is_forward_only(&self) -> bool {
        self.tangent.1
    }
    pub(crate) fn body(&self) -> &Body {
        &self.body
    }
    /// An address that identifies the node while it lives.
    pub fn id(&self) -> usize {
        std::ptr::from_ref(self) as usize
    }
    pub fn host(&self) -> Option<Arc<dyn Any + Send + Sync>> {
        self.host.lock().clone()
    }
    pub fn set_host(&self, object: Option<Arc<dyn Any + Send + Sync>>) {
        *self.host.lock() = object;
    }
    /// How many tensors it saves.
    pub fn saved_len(&self) -> usize {
        self.saved.lock().len()
    }
    /// The i-th saved tensor, if the graph is still there and it was not changed meanwhile.
    pub fn saved(node: &Shared<Self>, i: usize) -> Result<Tensor> {
        node.check_released()?;
        let saved = {
            let guard = node.saved.lock();
            match guard.get(i) {
                Some(saved) => saved.clone(),
                None => bail!("node {} has no saved tensor {i}", node.name),
            }
        };
        saved.unpack(node)
    }
    /// The i-th saved tensor, none if it was saved as absent.
    pub fn saved_opt(node: &Shared<Self>, i: usize) -> Result<Option<Tensor>> {
        node.check_released()?;
        let saved = node.saved.lock().get(i).cloned();
        match saved {
            Some(saved) if !saved.is_nothing() => saved.unpack(node).map(Some),
            _ => Ok(None),
        }
    }
    /// Frees what the node saved; running it again fails if it saved anything.
    pub fn release(&self) {
        let saved = std::mem::take(&mut *self.saved.lock());
        if !saved.is_empty() {
            self.released.store(true, Ordering::Relaxed);
        }
    }
    /// Marks the node as released although it saved nothing here (its state is with the host).
    pub fn mark_released(&self) {
        self.released.store(true, Ordering::Relaxed);
    }
    pub fn is_released(&self) -> bool {
        self.released.load(Ordering::Relaxed)
    }
    pub(crate) fn check_released(&self) -> Result<()> {
        if self.is_released() {
            bail!(
                "Trying to backward through the graph a second time (or directly access saved tensors after they have already been freed). Saved intermediate values of the graph are freed when you call .backward() or autograd.grad(). Specify retain_graph=True if you need to backward through the graph a second time or if you need to access saved tensors after calling backward."
            );
        }
        Ok(())
    }

    // hooks

    fn hooks_mut<R>(&self, f: impl FnOnce(&mut Hooks) -> R) -> R {
        self.hooked.store(true, Ordering::Release);
        f(self.hooks.lock().get_or_insert_with(Box::default))
    }
    pub(crate) fn add_tensor_hook(&self, output: u32, id: HookId, hook: Hook) {
        self.hooks_mut(|h| h.tensor.push((output, id, hook)));
    }
    pub(crate) fn add_retain_grad(&self, output: u32, tensor: WeakTensor) {
        self.hooks_mut(|h| h.retain.push((output, tensor)));
    }
    /// Runs before the node, on the gradients of all its outputs.
    pub fn register_prehook(&self, hook: NodePreHook) -> HookId {
        let id = HookId::next();
        self.hooks_mut(|h| h.pre.push((id, hook)));
        id
    }
    /// Runs after the node.
    pub fn register_hook(&self, hook: NodePostHook) -> HookId {
        let id = HookId::next();
        self.hooks_mut(|h| h.post.push((id, hook)));
        id
    }
    pub fn remove_hook(&self, id: HookId) {
        let mut guard = self.hooks.lock();
        if let Some(h) = guard.as_deref_mut() {
            h.tensor.retain(|(_, i, _)| *i != id);
            h.pre.retain(|(i, _)| *i != id);
            h.post.retain(|(i, _)| *i != id);
        }
    }
    /// Applies tensor hooks, node pre-hooks and `retain_grad`, in PyTorch's order.
    pub(crate) fn run_pre_hooks(&self, grads: &mut [Option<Tensor>]) -> Result<()> {
        if !self.hooked.load(Ordering::Acquire) {
            return Ok(());
        }
        let (tensor, retain, pre) = match self.hooks.lock().as_deref() {
            None => return Ok(()),
            Some(h) => (h.tensor.clone(), h.retain.clone(), h.pre.clone()),
        };
        for (output, _, hook) in tensor {
            if let Some(slot) = grads.get_mut(output as usize)
                && let Some(grad) = slot.as_ref()
                && let Some(changed) = hook(grad)?
            {
                *slot = Some(changed);
            }
        }
        for (_, hook) in pre {
            if let Some(changed) = hook(grads)? {
                if changed.len() != grads.len() {
                    bail!(
                        "hook for {} returned {} values, expected {}",
                        self.name,
                        changed.len(),
                        grads.len()
                    );
                }
                for (slot, grad) in grads.iter_mut().zip(changed) {
                    *slot = grad;
                }
            }
        }
        for (output, tensor) in retain {
            if let (Some(tensor), Some(Some(grad))) = (tensor.upgrade(), grads.get(output as usize)) {
                super::engine::accumulate(&tensor, grad, false)?;
            }
        }
        Ok(())
    }
    pub(crate) fn run_post_hooks(&self, inputs: &mut Grads, outputs: &[Option<Tensor>]) -> Result<()> {
        if !self.hooked.load(Ordering::Acquire) {
            return Ok(());
        }
        let post = match self.hooks.lock().as_deref() {
            None => return Ok(()),
            Some(h) => h.post.clone(),
        };
        for (_, hook) in post {
            if let Some(changed) = hook(inputs, outputs)? {
                *inputs = changed;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{}>", self.name)
    }
}

// saved tensors

/// Functions that replace what is saved, `torch.autograd.graph.saved_tensors_hooks`.
#[derive(Clone)]
pub struct SavedHooks {
    pub pack: Arc<dyn Fn(&Tensor) -> Result<Arc<dyn Any + Send + Sync>> + Send + Sync>,
    pub unpack: Arc<dyn Fn(&Arc<dyn Any + Send + Sync>) -> Result<Tensor> + Send + Sync>,
}

thread_local! {
    static SAVED_HOOKS: RefCell<Vec<SavedHooks>> = const { RefCell::new(Vec::new()) };
}

/// Makes every tensor saved from now on pass through the hooks.
pub fn push_saved_hooks(hooks: SavedHooks) {
    SAVED_HOOKS.with(|h| h.borrow_mut().push(hooks));
}
/// Undoes the last `push_saved_hooks`; false if there was none.
pub fn pop_saved_hooks() -> bool {
    SAVED_HOOKS.with(|h| h.borrow_mut().pop().is_some())
}

/// `Exp` of `ExpBackward0`.
fn short(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches("Backward")
}

/// An alias whose gradient goes along `edge`: to a node, or as a leaf to the accumulator of another leaf.
fn with_history(tensor: &Tensor, edge: Edge) -> Tensor {
    let out = tensor.alias();
    if edge.node.variable().is_some() {
        out.set_leaf_requires_grad(true);
        out.meta_mut(|m| m.accumulator = Some(Shared::downgrade(&edge.node)));
    } else {
        out.meta_mut(|m| {
            m.grad_fn = Some(edge.node);
            m.output_nr = edge.input;
        });
    }
    out
}

/// A tensor kept for the backward pass.
#[derive(Clone)]
pub struct SavedTensor {
    kept: Kept,
    version: u64,
    /// Set for an output of the node that saves it: kept without its history, which would be a cycle.
    output: Option<u32>,
}

#[derive(Clone)]
enum Kept {
    Nothing,
    Tensor(Tensor),
    /// What the hooks made of it, and the history of an input, which they do not see.
    Packed(Box<(Arc<dyn Any + Send + Sync>, SavedHooks, Option<Edge>)>),
}

impl SavedTensor {
    /// Keeps an input, with its history.
    pub fn input(tensor: &Tensor) -> Result<SavedTensor> {
        Self::keep(tensor, tensor, None)
    }
    /// Keeps output `nr` of the node.
    pub fn output(tensor: &Tensor, nr: u32) -> Result<SavedTensor> {
        Self::keep(tensor, &tensor.alias(), Some(nr))
    }
    /// An absent optional tensor.
    pub fn nothing() -> SavedTensor {
        SavedTensor { kept: Kept::Nothing, version: 0, output: None }
    }
    fn keep(original: &Tensor, kept: &Tensor, output: Option<u32>) -> Result<SavedTensor> {
        if original.is_inference() && !super::inference_enabled() {
            bail!(
                "Inference tensors cannot be saved for backward. Please do not use Tensors created in inference mode in computation tracked by autograd. To work around this, you can make a clone to get a normal tensor and use it in autograd, or use `torch.no_grad()` instead of `torch.inference_mode()`."
            );
        }
        let hooks = SAVED_HOOKS.with(|h| h.borrow().last().cloned());
        let kept = match hooks {
            None => Kept::Tensor(kept.clone()),
            Some(hooks) => {
                let _guard = super::GradMode::no_grad();
                let packed = (hooks.pack)(&original.alias())?;
                let edge = if output.is_some() { None } else { original.gradient_edge() };
                Kept::Packed(Box::new((packed, hooks, edge)))
            }
        };
        Ok(SavedTensor { kept, version: original.version(), output })
    }
    /// The tensor itself, with its history restored.
    pub fn unpack(&self, node: &Shared<Node>) -> Result<Tensor> {
        let tensor = match &self.kept {
            Kept::Nothing => bail!("an absent tensor was read in the backward pass of {}", node.name),
            Kept::Packed(kept) => {
                let (packed, hooks, edge) = &**kept;
                let unpacked = (hooks.unpack)(packed)?;
                let edge = match self.output {
                    Some(nr) => Some(Edge { node: node.clone(), input: nr }),
                    None => edge.clone(),
                };
                return Ok(match edge {
                    Some(edge) => with_history(&unpacked, edge),
                    None => unpacked,
                });
            }
            Kept::Tensor(tensor) => tensor,
        };
        let version = tensor.version();
        if version != self.version {
            let (kind, sizes) = tensor.with_array(|a| (a.dtype, flambeau_core::show(&a.sizes)));
            let grad_fn = match self.output {
                Some(nr) => format!(", which is output {nr} of {},", short(&node.name)),
                None => match tensor.grad_fn() {
                    Some(f) => format!(", which is output {} of {},", tensor.output_nr(), short(f.name())),
                    None => String::new(),
                },
            };
            let hint = if super::anomaly_enabled() {
                "Hint: the backtrace further above shows the operation that failed to compute its gradient. The variable in question was changed in there or anywhere later. Good luck!"
            } else {
                "Hint: enable anomaly detection to find the operation that failed to compute its gradient, with torch.autograd.set_detect_anomaly(True, check_nan=False)."
            };
            bail!(
                "one of the variables needed for gradient computation has been modified by an inplace operation: [torch.{}Tensor {sizes}]{grad_fn} is at version {version}; expected version {} instead. {hint}",
                kind.cpp_name(),
                self.version
            );
        }
        match self.output {
            None => Ok(tensor.clone()),
            Some(nr) => Ok(with_history(tensor, Edge { node: node.clone(), input: nr })),
        }
    }
    pub fn is_nothing(&self) -> bool {
        matches!(self.kept, Kept::Nothing)
    }
}

/// What a backward formula sees.
pub struct Context<'a> {
    pub(crate) node: &'a Shared<Node>,
    pub(crate) grads: &'a [Option<Tensor>],
    pub(crate) needs: &'a [bool],
    pub(crate) saved: SmallVec<[SavedTensor; 2]>,
}

impl Context<'_> {
    /// The gradient of output `i`; the engine runs a node with at least one of them.
    pub fn grad(&self, i: usize) -> Option<&Tensor> {
        self.grads.get(i).and_then(|g| g.as_ref())
    }
    /// The gradient of output `i`, zeros where it has none.
    pub fn grad_or_zeros(&self, i: usize) -> Result<Tensor> {
        match self.grad(i) {
            Some(grad) => Ok(grad.clone()),
            None => {
                let meta = &self.node.outputs[i];
                let device =
                    self.grads.iter().flatten().next().map_or(flambeau_core::Device::CPU, |g| g.device());
                Tensor::zeros_raw(&meta.sizes, meta.dtype, device)
            }
        }
    }
    /// Whether the gradient of input `i` is wanted.
    pub fn needs(&self, i: usize) -> bool {
        self.needs.get(i).copied().unwrap_or(false)
    }
    /// The i-th saved tensor.
    pub fn saved(&self, i: usize) -> Result<Tensor> {
        match self.saved.get(i) {
            Some(saved) => saved.unpack(self.node),
            None => self.node.check_released().and_then(|_| bail!("no saved tensor {i}")),
        }
    }
    /// The i-th saved tensor, none if it was saved as absent.
    pub fn saved_opt(&self, i: usize) -> Result<Option<Tensor>> {
        match self.saved.get(i) {
            Some(saved) if saved.is_nothing() => Ok(None),
            _ => self.saved(i).map(Some),
        }
    }
    /// The same gradients, each with the inputs of this node as parents where it has no history of its own. PyTorch's
    /// fused backward operators take the inputs of the forward ones, so that under `create_graph` what they return
    /// requires a gradient even where its derivative is zero.
    pub fn connected(&self, name: &'static str, mut grads: super::Grads) -> Result<super::Grads> {
        if !super::grad_enabled() || self.node.edges.iter().all(Option::is_none) {
            return Ok(grads);
        }
        for grad in grads.iter_mut().flatten().filter(|grad| !grad.requires_grad()) {
            let out = grad.alias();
            let count = self.node.edges.len();
            let nothing = Box::new(move |_: &Context| Ok(smallvec::smallvec![None; count]));
            let edges = self.node.edges.clone();
            let node = super::record::node_with_edges(&[&out], name.into(), edges, &[], nothing)?;
            super::record::set_history(&[&out], &node);
            *grad = out;
        }
        Ok(grads)
    }
    pub fn node(&self) -> &Shared<Node> {
        self.node
    }
    pub fn grads(&self) -> &[Option<Tensor>] {
        self.grads
    }
    pub fn needs_all(&self) -> &[bool] {
        self.needs
    }
}
impl Node {
    pub(crate) fn context<'a>(
        node: &'a Shared<Self>,
        grads: &'a [Option<Tensor>],
        needs: &'a [bool],
    ) -> Result<Context<'a>> {
        node.check_released()?;
        Ok(Context { node, grads, needs, saved: node.saved.lock().clone() })
    }
}
