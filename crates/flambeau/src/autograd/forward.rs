//! Forward-mode derivatives from the recorded graph.
//!
//! A dual tensor's history begins at a node that carries its tangent. The tangent of a result is then found by
//! differentiating twice backward: the backward pass is a linear function of the cotangent `w`, and its own
//! derivative with respect to `w`, applied to the tangents, is the Jacobian-vector product. So every operator whose
//! backward formula is differentiable has a forward derivative without a rule of its own.
//! (J. Townsend, "A new trick for calculating Jacobian vector products", 2017.)

use super::node::{Body, next_sequence};
use super::{BackwardOptions, Edge, GradMode, Node, OutputMeta, grad_enabled, run_backward};
use crate::Tensor;
use crate::{TensorOptions, ops};
use flambeau_core::{Error, Result, Shared, bail};
use smallvec::smallvec;
use std::cell::Cell;
use std::collections::HashSet;

thread_local! {
    static LEVELS: Cell<u32> = const { Cell::new(0) };
}

/// Whether dual tensors exist on this thread, whose operations are recorded even without grad mode.
#[inline]
pub(crate) fn active() -> bool {
    LEVELS.get() > 0
}

/// Begins a level of forward differentiation.
pub fn enter_dual_level() -> Result<()> {
    if active() {
        bail!("Nested forward mode AD is not supported at the moment");
    }
    LEVELS.set(1);
    Ok(())
}

/// Ends the level; tangents are gone afterwards.
pub fn exit_dual_level() {
    LEVELS.set(0);
}

/// The same elements as `primal`, with the derivative `tangent` in the direction of interest.
pub fn make_dual(primal: &Tensor, tangent: &Tensor) -> Result<Tensor> {
    let (p, t) = (primal.array(), tangent.array());
    if !p.dtype.is_differentiable() {
        return Err(Error::value(format!(
            "Expected primal to be floating point or complex, but got: {}",
            p.dtype
        )));
    }
    if !t.dtype.is_differentiable() {
        return Err(Error::value(format!(
            "Expected tangent to be floating point or complex, but got: {}",
            t.dtype
        )));
    }
    if p.sizes != t.sizes {
        bail!(
            "Expected tangent to have the same size as the primal, but got {} and {}",
            flambeau_core::show(&t.sizes),
            flambeau_core::show(&p.sizes)
        );
    }
    if p.dtype != t.dtype {
        bail!("Expected tangent to have the same dtype as the primal, but got {} and {}", t.dtype, p.dtype);
    }
    let out = primal.alias();
    let node = Shared::new(Node::new(
        "DualBackward".into(),
        smallvec![if grad_enabled() { primal.gradient_edge() } else { None }],
        smallvec![OutputMeta { sizes: p.sizes, dtype: p.dtype }],
        Body::Dual(tangent.clone()),
        Default::default(),
        next_sequence(),
    ));
    super::set_history(&[&out], &node);
    Ok(out)
}

/// The dual tensors' nodes from which a node's value was computed.
fn dual_nodes(root: &Shared<Node>) -> Vec<Shared<Node>> {
    let mut found = Vec::new();
    let mut seen: HashSet<usize> = HashSet::from([root.id()]);
    let mut stack = vec![root.clone()];
    while let Some(node) = stack.pop() {
        for edge in node.next_edges().iter().flatten() {
            if edge.node.has_tangent() && seen.insert(edge.node.id()) {
                stack.push(edge.node.clone());
            }
        }
        if matches!(node.body(), Body::Dual(_)) {
            found.push(node);
        }
    }
    found
}

/// The derivative of `tensor` in the direction of the tangents that it was computed from, if any.
pub fn tangent(tensor: &Tensor) -> Result<Option<Tensor>> {
    if !active() {
        return Ok(None);
    }
    let Some(edge) = tensor.gradient_edge().filter(|e| e.node.has_tangent()) else { return Ok(None) };
    if let Body::Dual(tangent) = edge.node.body() {
        return Ok(Some(tangent.clone()));
    }
    let record = grad_enabled();
    let _guard = GradMode::set(true);
    let nodes = dual_nodes(&edge.node);
    let a = tensor.array();
    let options = TensorOptions::default();
    let cotangent = ops::creation::ones_like(&tensor.alias(), &options, None)?;
    cotangent.set_requires_grad(true)?;
    let inputs: Vec<Edge> = nodes.iter().map(|node| Edge { node: node.clone(), input: 0 }).collect();
    let options = BackwardOptions { keep_graph: true, create_graph: true, accumulate: false };
    let linear = run_backward(&[(edge, cotangent.clone())], Some(&inputs), options)?;
    let mut roots = Vec::new();
    for (gradient, node) in linear.into_iter().zip(&nodes) {
        let (Some(gradient), Body::Dual(tangent)) = (gradient, node.body()) else { continue };
        match gradient.gradient_edge() {
            Some(edge) => roots.push((edge, tangent.clone())),
            // A backward formula that is not differentiable itself has no linear dependence to show.
            None if ops::reduce::any(&gradient)?.to_vec::<bool>()?.contains(&true) => {
                return Err(Error::not_implemented(format!(
                    "Trying to use forward AD with {} that does not support it because it has not been implemented yet.",
                    tensor.grad_fn().map_or(String::new(), |n| n.name().to_string())
                )));
            }
            None => {}
        }
    }
    let wanted = [cotangent.gradient_edge().expect("it requires a gradient")];
    let result = match roots.is_empty() {
        true => None,
        false => {
            let options = BackwardOptions { keep_graph: true, create_graph: record, accumulate: false };
            run_backward(&roots, Some(&wanted), options)?.pop().flatten()
        }
    };
    match result {
        Some(t) => Ok(Some(t)),
        None => Tensor::zeros_raw(&a.sizes, a.dtype, a.device()).map(Some),
    }
}
