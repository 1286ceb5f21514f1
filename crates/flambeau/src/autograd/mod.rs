//! Reverse-mode differentiation: nodes recorded by operators, and the engine that runs them.
//!
//! ```
//! use flambeau::{autograd, tensor};
//! let a = tensor([1f32])?.requires_grad_(true)?;
//! let b = tensor([2f32])?.requires_grad_(true)?;
//! let l = ((&a + &b) * a.maximum(&b)?).pow_scalar(2)?;
//! assert_eq!(l.to_string(), "tensor([36.], grad_fn=<PowBackward0>)");
//! l.backward()?;
//! assert_eq!(a.grad().unwrap().to_string(), "tensor([24.])");
//! assert_eq!(b.grad().unwrap().to_string(), "tensor([60.])");
//! # Ok::<(), flambeau::Error>(())
//! ```
//!
//! A function with a derivative of its own is recorded with [`record`]:
//!
//! ```
//! use flambeau::autograd::{Save, no_grad, record};
//! use flambeau::{Result, Tensor, tensor};
//!
//! /// The absolute value whose derivative at 0 is 1.
//! fn magnitude(x: &Tensor) -> Result<Tensor> {
//!     let y = no_grad(|| x.abs())?;
//!     record(&[&y], "MagnitudeBackward", &[x], &[Save::Input(x)], |ctx| {
//!         let sign = ctx.saved(0)?.ge_scalar(0)?.float()? * 2.0 - 1.0;
//!         Ok([Some(ctx.grad_or_zeros(0)? * sign)].into_iter().collect())
//!     })?;
//!     Ok(y)
//! }
//! let x = tensor([-2f32, 0., 3.])?.requires_grad_(true)?;
//! magnitude(&x)?.sum()?.backward()?;
//! assert_eq!(x.grad().unwrap().to_string(), "tensor([-1.,  1.,  1.])");
//! # Ok::<(), flambeau::Error>(())
//! ```

mod engine;
pub mod forward;
mod mode;
mod node;
mod record;
#[cfg(test)]
mod tests;
pub(crate) mod view;

pub use engine::{BackwardOptions, run_backward};
pub use mode::{
    GradMode, InferenceMode, anomaly_check_nan, anomaly_enabled, grad_enabled, inference_enabled,
    set_anomaly, set_grad_enabled, set_inference_enabled,
};
pub use node::{
    Backward, Context, Edge, Grads, Hook, HookId, Node, OutputMeta, PostHook, SavedHooks, SavedTensor,
    pop_saved_hooks, push_saved_hooks,
};
pub use record::{
    Save, check_inplace, needs_grad, rebase_history, record, record_inplace, record_node, set_history,
};
pub(crate) use record::{node_with_edges, recorded_edge};
pub use view::{Creation, ViewMeta, as_view, made_by_custom_function, view_of, view_with};

pub use crate::front::{GradOptions, backward, functional, grad, no_grad};

use crate::Tensor;
use flambeau_core::{Result, Shared, WeakShared, dims_of};
use node::Body;
pub(crate) use node::bury_meta;
use std::sync::Arc;

/// What a tensor knows about differentiation, beside whether it requires it, and what few tensors have.
#[derive(Default)]
pub struct AutogradMeta {
    pub grad: Option<Tensor>,
    pub grad_fn: Option<Shared<Node>>,
    pub output_nr: u32,
    pub accumulator: Option<WeakShared<Node>>,
    pub hooks: Vec<(HookId, Hook)>,
    pub post_accumulate: Vec<(HookId, PostHook)>,
    pub retains_grad: bool,
    pub view: Option<ViewMeta>,
    /// The entries of a sparse tensor.
    pub sparse: Option<Arc<crate::ops::sparse::Coo>>,
}

/// The node that adds to the gradient of a leaf; made on first use, shared while anything refers to it.
pub fn accumulator(leaf: &Tensor) -> Shared<Node> {
    leaf.meta_mut(|m| {
        if let Some(node) = m.accumulator.as_ref().and_then(WeakShared::upgrade) {
            return node;
        }
        let (sizes, dtype) = leaf.with_array(|a| (dims_of(&a.sizes), a.dtype));
        let node = Shared::new_with(|| {
            Node::new(
                "torch::autograd::AccumulateGrad".into(),
                Default::default(),
                smallvec::smallvec![OutputMeta { sizes, dtype }],
                Body::Accumulate(leaf.clone()),
                Default::default(),
                // Accumulators run as early as they can.
                u64::MAX,
            )
        });
        m.accumulator = Some(Shared::downgrade(&node));
        node
    })
}

/// Registers a function that sees, and may replace, the gradient of a tensor.
pub fn register_hook(tensor: &Tensor, hook: Hook) -> Result<HookId> {
    if !tensor.requires_grad() {
        flambeau_core::bail!("cannot register a hook on a tensor that doesn't require gradient");
    }
    let id = HookId::next();
    match tensor.grad_fn() {
        Some(node) => node.add_tensor_hook(tensor.output_nr(), id, hook),
        None => tensor.meta_mut(|m| m.hooks.push((id, hook))),
    }
    Ok(id)
}

/// Registers a function called after a leaf's gradient has been accumulated.
pub fn register_post_accumulate_hook(tensor: &Tensor, hook: PostHook) -> Result<HookId> {
    if !tensor.requires_grad() {
        flambeau_core::bail!("cannot register a hook on a tensor that doesn't require gradient");
    }
    if tensor.grad_fn().is_some() {
        flambeau_core::bail!("post accumulate grad hooks cannot be registered on non-leaf tensors");
    }
    let id = HookId::next();
    tensor.meta_mut(|m| m.post_accumulate.push((id, hook)));
    Ok(id)
}

/// Removes a hook registered on the tensor or on its node.
pub fn remove_hook(tensor: &Tensor, id: HookId) {
    if let Some(node) = tensor.grad_fn() {
        node.remove_hook(id);
    }
    if tensor.has_meta() {
        tensor.meta_mut(|m| {
            m.hooks.retain(|(i, _)| *i != id);
            m.post_accumulate.retain(|(i, _)| *i != id);
        });
    }
}

/// Keeps the gradient of a tensor that is not a leaf.
pub fn retain_grad(tensor: &Tensor) -> Result<()> {
    if !tensor.requires_grad() {
        flambeau_core::bail!("can't retain_grad on Tensor that has requires_grad=False");
    }
    let Some(node) = tensor.grad_fn() else { return Ok(()) };
    if tensor.meta(|m| m.retains_grad).unwrap_or(false) {
        return Ok(());
    }
    tensor.meta_mut(|m| m.retains_grad = true);
    node.add_retain_grad(tensor.output_nr(), tensor.downgrade());
    Ok(())
}

/// Whether `retain_grad` was called on it.
pub fn retains_grad(tensor: &Tensor) -> bool {
    tensor.meta(|m| m.retains_grad).unwrap_or(false)
}
