//! Recording operations: what operators call after they computed their result.

use super::node::{Body, next_sequence};
use super::{Context, Edge, Grads, Node, OutputMeta, SavedTensor, grad_enabled};
use crate::Tensor;
use flambeau_core::{Result, Shared, bail, dims_of};
use smallvec::SmallVec;
use std::borrow::Cow;

/// A tensor that the backward formula needs.
pub enum Save<'a> {
    Input(&'a Tensor),
    /// The i-th output.
    Output(usize),
    Opt(Option<&'a Tensor>),
}

/// Whether an operation on these inputs is to be recorded.
#[inline]
pub fn needs_grad(inputs: &[&Tensor]) -> bool {
    if grad_enabled() {
        return inputs.iter().any(|t| t.requires_grad());
    }
    super::forward::active() && inputs.iter().any(|t| t.grad_fn().is_some_and(|n| n.has_tangent()))
}

/// Records an operation: afterwards the outputs (those of a differentiable dtype) have history.
/// `backward` returns a gradient for each input, in order. Does nothing if no input requires a gradient.
pub fn record<F>(
    outputs: &[&Tensor],
    name: &'static str,
    inputs: &[&Tensor],
    save: &[Save],
    backward: F,
) -> Result<()>
where
    F: Fn(&Context) -> Result<Grads> + Send + Sync + 'static,
{
    if !needs_grad(inputs) {
        return Ok(());
    }
    let node = record_node(outputs, name.into(), inputs, save, Box::new(backward))?;
    set_history(outputs, &node);
    Ok(())
}

/// Where the gradient of an input goes that is being recorded: without grad mode only tangents are followed.
#[inline]
pub(crate) fn recorded_edge(input: &Tensor) -> Option<Edge> {
    input.gradient_edge().filter(|edge| grad_enabled() || edge.node.has_tangent())
}

/// Makes the node without attaching it to the outputs.
pub fn record_node(
    outputs: &[&Tensor],
    name: Cow<'static, str>,
    inputs: &[&Tensor],
    save: &[Save],
    backward: super::Backward,
) -> Result<Shared<Node>> {
    let edges = inputs.iter().map(|t| recorded_edge(t)).collect();
    node_with_edges(outputs, name, edges, save, backward)
}

pub(crate) fn node_with_edges(
    outputs: &[&Tensor],
    name: Cow<'static, str>,
    edges: SmallVec<[Option<Edge>; 2]>,
    save: &[Save],
    backward: super::Backward,
) -> Result<Shared<Node>> {
    let mut metas = SmallVec::new();
    for t in outputs {
        metas.push(t.with_array(|a| OutputMeta { sizes: dims_of(&a.sizes), dtype: a.dtype }));
    }
    let mut saved: SmallVec<[SavedTensor; 2]> = SmallVec::new();
    for s in save {
        saved.push(match s {
            Save::Input(t) => SavedTensor::input(t)?,
            Save::Output(i) => SavedTensor::output(outputs[*i], *i as u32)?,
            Save::Opt(Some(t)) => SavedTensor::input(t)?,
            Save::Opt(None) => SavedTensor::nothing(),
        });
    }
    let node =
        Shared::new_with(|| Node::new(name, edges, metas, Body::Apply(backward), saved, next_sequence()));
    node.keep_place();
    Ok(node)
}

/// Attaches fresh outputs to their node.
pub fn set_history(outputs: &[&Tensor], node: &Shared<Node>) {
    for (i, out) in outputs.iter().enumerate() {
        if out.dtype().is_differentiable() {
            out.meta_mut(|m| {
                m.grad_fn = Some(node.clone());
                m.output_nr = i as u32;
            });
        }
    }
}

/// Fails if an in-place change of `tensor` would break the graph. Call before writing.
pub fn check_inplace(tensor: &Tensor, recording: bool) -> Result<()> {
    if tensor.is_inference() && !super::inference_enabled() {
        bail!(
            "Inplace update to inference tensor outside InferenceMode is not allowed.You can make a clone to get a normal tensor before doing inplace update.See https://github.com/pytorch/rfcs/pull/17 for more details."
        );
    }
    if grad_enabled() && (tensor.requires_grad() || recording) {
        if tensor.leaf_requires_grad() && tensor.is_leaf() {
            bail!("a leaf Variable that requires grad is being used in an in-place operation.");
        }
        if let Some(view) = tensor.view_meta() {
            super::view::check_inplace(tensor, &view)?;
        }
    }
    tensor.with_array(|a| a.storage.make_writable())
}

/// After an in-place change: `node` (whose output is the changed tensor) becomes its history, also as
/// seen from the base of a view. Bumping the version is the caller's.
pub fn rebase_history(tensor: &Tensor, node: Shared<Node>) -> Result<()> {
    if let Some(view) = tensor.view_meta() {
        return super::view::rebase(tensor, &view, node);
    }
    tensor.meta_mut(|m| {
        m.grad_fn = Some(node);
        m.output_nr = 0;
        m.retains_grad = false;
    });
    Ok(())
}

/// Records an in-place operation on `tensor`, already computed and written: bumps the version and, if any of
/// `inputs` (which names `tensor` too where its old value matters) needs it, gives the tensor its new history.
pub fn record_inplace<F>(
    tensor: &Tensor,
    name: &'static str,
    inputs: &[&Tensor],
    save: &[Save],
    backward: F,
) -> Result<()>
where
    F: Fn(&Context) -> Result<Grads> + Send + Sync + 'static,
{
    tensor.bump_version();
    if !grad_enabled() {
        return Ok(());
    }
    if needs_grad(inputs) {
        let node = record_node(&[tensor], name.into(), inputs, save, Box::new(backward))?;
        rebase_history(tensor, node)?;
    }
    Ok(())
}
