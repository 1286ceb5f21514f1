//! Runs a graph backward: nodes in the order of a ready queue, without recursion.

use super::node::Body;
use super::{Edge, GradMode, Grads, Node};
use crate::Tensor;
use crate::profile::{self, Kind};
use flambeau_core::{Result, Shared, bail};
use smallvec::SmallVec;
use std::collections::{BinaryHeap, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

/// How a backward pass is run.
#[derive(Clone, Copy, Debug, Default)]
pub struct BackwardOptions {
    pub keep_graph: bool,
    pub create_graph: bool,
    /// With `inputs`: whether to add to their `grad` instead of returning gradients.
    pub accumulate: bool,
}

/// Node addresses hash well enough as they are.
#[derive(Default)]
struct AddressHasher(u64);
impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for &b in bytes {
            self.0 = (self.0.rotate_left(5) ^ b as u64).wrapping_mul(0x517c_c1b7_2722_0a95);
        }
    }
    fn write_usize(&mut self, n: usize) {
        self.0 = (n as u64 >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
type NodeMap<V> = HashMap<usize, V, BuildHasherDefault<AddressHasher>>;

/// Ready nodes: the latest recorded first.
struct Ready(Shared<Node>);
impl PartialEq for Ready {
    fn eq(&self, other: &Self) -> bool {
        self.0.sequence() == other.0.sequence()
    }
}
impl Eq for Ready {}
impl PartialOrd for Ready {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Ready {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.sequence().cmp(&other.0.sequence())
    }
}

#[derive(Default)]
struct State {
    /// How many edges into the node have not delivered yet.
    pending: u32,
    buffer: Grads,
    queued: bool,
    /// Whether it leads to a wanted input (only with `inputs`).
    wanted: bool,
    /// `(slot, index into the results)` of gradients to hand out.
    captures: SmallVec<[(u32, usize); 1]>,
}

/// Differentiates `roots` with the given output gradients. Without `inputs` gradients are accumulated in the
/// leaves; with `inputs` they are returned (`None` where unreachable), or accumulated in just these.
pub fn run_backward(
    roots: &[(Edge, Tensor)],
    inputs: Option<&[Edge]>,
    options: BackwardOptions,
) -> Result<Vec<Option<Tensor>>> {
    let mut states: NodeMap<State> = NodeMap::default();
    let mut results: Vec<Option<Tensor>> = vec![None; inputs.map_or(0, |i| i.len())];

    // Count how many gradients each node waits for, and remember the order of discovery.
    let mut order: Vec<Shared<Node>> = Vec::new();
    let mut stack: Vec<Shared<Node>> = Vec::new();
    for (edge, _) in roots {
        if let std::collections::hash_map::Entry::Vacant(entry) = states.entry(edge.node.id()) {
            entry.insert(State::default());
            stack.push(edge.node.clone());
        }
    }
    while let Some(node) = stack.pop() {
        for edge in node.next_edges().iter().flatten() {
            let state = states.entry(edge.node.id()).or_insert_with(|| {
                stack.push(edge.node.clone());
                State::default()
            });
            state.pending += 1;
        }
        if inputs.is_some() {
            order.push(node);
        }
    }
    if let Some(inputs) = inputs {
        for (i, edge) in inputs.iter().enumerate() {
            if let Some(state) = states.get_mut(&edge.node.id()) {
                state.captures.push((edge.input, i));
                state.wanted = true;
            }
        }
        mark_wanted(&order, &mut states);
    }

    let _guard = GradMode::set(options.create_graph);
    let mut ready: BinaryHeap<Ready> = BinaryHeap::new();
    for (edge, grad) in roots {
        let grad = validate(&edge.node, edge.input, grad.clone(), None)?;
        deliver(&mut states, &edge.node, edge.input, grad)?;
    }
    for (edge, _) in roots {
        let state = states.entry(edge.node.id()).or_default();
        if state.pending == 0 && !state.queued {
            state.queued = true;
            ready.push(Ready(edge.node.clone()));
        }
    }
    while let Some(Ready(node)) = ready.pop() {
        let (mut buffer, captures, wanted) = match states.get_mut(&node.id()) {
            Some(state) => {
                (std::mem::take(&mut state.buffer), std::mem::take(&mut state.captures), state.wanted)
            }
            None => continue,
        };
        buffer.resize(node.outputs().len().max(buffer.len()), None);
        let has_grad = buffer.iter().any(|g| g.is_some());
        let execute = inputs.is_none() || wanted;
        if has_grad && execute {
            if let Body::Accumulate(leaf) = node.body() {
                run_leaf_hooks(leaf, &mut buffer)?;
            }
            node.run_pre_hooks(&mut buffer)?;
        }
        for (slot, result) in captures.iter().copied() {
            let grad = buffer.get(slot as usize).cloned().flatten();
            if options.accumulate
                && let (Some(grad), Some(leaf)) = (&grad, node.variable())
            {
                accumulate_leaf(leaf, grad, options.create_graph)?;
            }
            results[result] = grad;
        }
        let mut outputs: Grads = Grads::new();
        if has_grad {
            match node.body() {
                Body::Accumulate(leaf) => {
                    if inputs.is_none()
                        && let Some(grad) = buffer[0].as_ref()
                    {
                        accumulate_leaf(leaf, grad, options.create_graph)?;
                    }
                }
                Body::Apply(_) | Body::Dual(_) => {
                    let needs: SmallVec<[bool; 4]> = node
                        .next_edges()
                        .iter()
                        .map(|e| {
                            e.as_ref().is_some_and(|e| {
                                inputs.is_none() || states.get(&e.node.id()).is_some_and(|s| s.wanted)
                            })
                        })
                        .collect();
                    if needs.contains(&true) {
                        let run = || -> Result<Grads> {
                            let mut outputs = call_node(&node, &buffer, &needs)?;
                            node.run_post_hooks(&mut outputs, &buffer)?;
                            if super::anomaly_enabled() && super::anomaly_check_nan() {
                                check_nan(&node, &outputs)?;
                            }
                            Ok(outputs)
                        };
                        outputs = run().inspect_err(|_| {
                            if super::anomaly_enabled() {
                                node.tell_place();
                            }
                        })?;
                    }
                    if !options.keep_graph && (inputs.is_none() || needs.contains(&true)) {
                        node.release();
                    }
                }
            }
        }
        drop(buffer);
        for (i, edge) in node.next_edges().iter().enumerate() {
            let Some(edge) = edge else { continue };
            if let Some(grad) = outputs.get_mut(i).and_then(Option::take) {
                let wanted = inputs.is_none() || states.get(&edge.node.id()).is_some_and(|s| s.wanted);
                if wanted {
                    let grad = validate(&edge.node, edge.input, grad, Some((&node, i)))?;
                    deliver(&mut states, &edge.node, edge.input, grad)?;
                }
            }
            if let Some(state) = states.get_mut(&edge.node.id()) {
                state.pending -= 1;
                if state.pending == 0 && !state.queued {
                    state.queued = true;
                    ready.push(Ready(edge.node.clone()));
                }
            }
        }
    }
    Ok(results)
}

/// Marks every node from which a wanted one can be reached.
fn mark_wanted(order: &[Shared<Node>], states: &mut NodeMap<State>) {
    // `order` lists parents before some of their children only; iterate over reverse edges instead.
    let mut parents: NodeMap<SmallVec<[usize; 2]>> = NodeMap::default();
    for node in order {
        for edge in node.next_edges().iter().flatten() {
            parents.entry(edge.node.id()).or_default().push(node.id());
        }
    }
    let mut stack: Vec<usize> = states.iter().filter(|(_, s)| s.wanted).map(|(id, _)| *id).collect();
    while let Some(id) = stack.pop() {
        for &parent in parents.get(&id).map_or(&[][..], |p| &p[..]) {
            if let Some(state) = states.get_mut(&parent)
                && !state.wanted
            {
                state.wanted = true;
                stack.push(parent);
            }
        }
    }
}

/// Adds a gradient to what a node has received.
fn deliver(states: &mut NodeMap<State>, node: &Shared<Node>, slot: u32, grad: Tensor) -> Result<()> {
    let state = states.entry(node.id()).or_default();
    let slot = slot as usize;
    if state.buffer.len() <= slot {
        state.buffer.resize(slot + 1, None);
    }
    state.buffer[slot] = Some(match state.buffer[slot].take() {
        None => grad,
        Some(sum) => crate::ops::grad_add(&sum, &grad)?,
    });
    Ok(())
}

/// Runs a node's formula on gradients of its outputs.
pub(crate) fn call_node(node: &Shared<Node>, grads: &[Option<Tensor>], needs: &[bool]) -> Result<Grads> {
    match node.body() {
        Body::Apply(backward) => {
            let _span = profile::span(Kind::Backward, || {
                let shapes = grads.iter().flatten().map(|g| g.sizes()).collect();
                (format!("autograd::engine::evaluate_function: {}", node.name()).into(), shapes)
            });
            let ctx = Node::context(node, grads, needs)?;
            backward(&ctx)
        }
        Body::Dual(_) => Ok(grads.iter().cloned().collect()),
        Body::Accumulate(_) => bail!("an accumulator has no formula"),
    }
}

/// Brings a gradient to the shape and dtype that its receiver expects.
fn validate(
    receiver: &Shared<Node>,
    slot: u32,
    grad: Tensor,
    sender: Option<(&Shared<Node>, usize)>,
) -> Result<Tensor> {
    let Some(meta) = receiver.outputs().get(slot as usize) else { return Ok(grad) };
    let (same_shape, same_dtype) = grad.with_array(|a| (a.sizes == meta.sizes, a.dtype == meta.dtype));
    let mut grad = grad;
    if !same_shape {
        let sizes = grad.sizes();
        let expandable = flambeau_core::broadcast_shapes(&sizes, &meta.sizes).is_ok_and(|s| s == sizes);
        if !expandable {
            let (name, index) = sender.map_or(("root".to_string(), 0), |(n, i)| (n.name().to_string(), i));
            bail!(
                "Function {name} returned an invalid gradient at index {index} - got {} but expected shape compatible with {}",
                flambeau_core::show(&sizes),
                flambeau_core::show(&meta.sizes)
            );
        }
        grad = crate::ops::sum_to_size(&grad, &meta.sizes)?;
    }
    if !same_dtype {
        grad = crate::ops::convert_grad(&grad, meta.dtype)?;
    }
    Ok(grad)
}

fn run_leaf_hooks(leaf: &Tensor, buffer: &mut Grads) -> Result<()> {
    let hooks = leaf.meta(|m| m.hooks.clone()).unwrap_or_default();
    for (_, hook) in hooks {
        if let Some(grad) = buffer[0].as_ref()
            && let Some(changed) = hook(grad)?
        {
            buffer[0] = Some(changed);
        }
    }
    Ok(())
}

fn accumulate_leaf(leaf: &Tensor, grad: &Tensor, create_graph: bool) -> Result<()> {
    accumulate(leaf, grad, create_graph)?;
    let hooks = leaf.meta(|m| m.post_accumulate.clone()).unwrap_or_default();
    for (_, hook) in hooks {
        hook(leaf)?;
    }
    Ok(())
}

/// Adds to `tensor.grad`, in place where nothing else can tell.
pub(crate) fn accumulate(tensor: &Tensor, grad: &Tensor, create_graph: bool) -> Result<()> {
    if grad.is_sparse() || tensor.grad().is_some_and(|sum| sum.is_sparse()) {
        let total = match tensor.grad() {
            Some(sum) => crate::ops::grad_add(&sum, grad)?,
            None => grad.clone(),
        };
        tensor.set_grad(Some(if create_graph { total } else { total.data() }));
        return Ok(());
    }
    match tensor.grad() {
        None => {
            // A gradient that others hold, or that is a broadcast view, gets memory of its own.
            let stored = if create_graph {
                if grad.requires_grad() {
                    crate::ops::shape::clone_like(grad, tensor)?
                } else {
                    crate::ops::shape::clone_like(&grad.alias(), tensor)?
                }
            } else {
                let alone =
                    grad.use_count() <= 1 && grad.with_array(|a| Shared::strong_count(&a.storage) == 1);
                let same_layout = grad.with_array(|g| {
                    tensor.with_array(|t| g.strides == t.strides && g.is_non_overlapping_and_dense())
                });
                if alone && same_layout {
                    grad.data()
                } else {
                    crate::ops::shape::clone_like(&grad.alias(), tensor)?
                }
            };
            tensor.set_grad(Some(stored));
        }
        Some(sum) if create_graph => {
            let total = crate::ops::grad_add(&sum, grad)?;
            tensor.set_grad(Some(total));
        }
        Some(sum) => {
            let _guard = GradMode::no_grad();
            crate::ops::grad_add_(&sum, grad)?;
        }
    }
    Ok(())
}

fn check_nan(node: &Shared<Node>, outputs: &Grads) -> Result<()> {
    let _guard = GradMode::no_grad();
    for (i, grad) in outputs.iter().enumerate() {
        if let Some(grad) = grad
            && crate::ops::any_nan(grad)?
        {
            bail!("Function '{}' returned nan values in its {i}th output.", node.name());
        }
    }
    Ok(())
}
