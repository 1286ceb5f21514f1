//! The nodes of pointwise operators: what they save, and the derivative programs that they run.

use super::resolve::Resolved;
use super::variant::Variant;
use super::{Dest, Params, execute, flat, held};
use crate::Tensor;
use crate::autograd::{self, Context, Edge, Grads, Node, Save};
use flambeau_core::{DType, Result, Scalar, Shared};
use smallvec::SmallVec;
use std::borrow::Cow;

/// What a node has to save (operands by number, `inputs + 1` for the result), and where its gradients go.
pub(super) struct Plan {
    pub saves: SmallVec<[u8; 4]>,
    edges: SmallVec<[Option<Edge>; 2]>,
}

impl Plan {
    pub fn new(variant: &'static Variant, tensors: &[&Tensor]) -> Plan {
        let mut plan = Plan { saves: SmallVec::new(), edges: SmallVec::new() };
        for (i, t) in tensors.iter().enumerate() {
            let edge = autograd::recorded_edge(t);
            if edge.is_some()
                && let Ok(Some(d)) = variant.derivative(i)
            {
                for &u in &d.uses {
                    if u as usize != variant.inputs && !plan.saves.contains(&u) {
                        plan.saves.push(u);
                    }
                }
            }
            plan.edges.push(edge);
        }
        plan
    }

    /// The node of an operation whose operands, as the formulas need them, are `saved`.
    pub fn node(
        self,
        to: &Resolved,
        name: &'static str,
        saved: &[&Tensor],
        out: &Tensor,
        params: Params,
    ) -> Result<Shared<Node>> {
        let Resolved { variant, compute, .. } = *to;
        let mut saves: SmallVec<[Save; 4]> = SmallVec::new();
        for &i in &self.saves {
            saves.push(if i as usize > variant.inputs {
                Save::Output(0)
            } else {
                Save::Input(saved[i as usize])
            });
        }
        let formula = Box::new(backward(variant, self.saves, params, compute));
        autograd::node_with_edges(&[out], Cow::Borrowed(name), self.edges, &saves, formula)
    }
}

fn backward(
    variant: &'static Variant,
    saves: SmallVec<[u8; 4]>,
    params: Params,
    compute: DType,
) -> impl Fn(&Context) -> Result<Grads> + Send + Sync + 'static {
    move |ctx| {
        let mut out: Grads = SmallVec::new();
        for i in 0..variant.inputs {
            let grad = match ctx.grad(0) {
                Some(grad) if ctx.needs(i) => grad,
                _ => {
                    out.push(None);
                    continue;
                }
            };
            let derivative = match variant.derivative(i) {
                Err(error) => return Err(error),
                Ok(None) => {
                    let meta = ctx.node().next_edges()[i].as_ref();
                    out.push(match meta.and_then(|e| e.node.outputs().get(e.input as usize)) {
                        Some(meta) => Some(Tensor::zeros_raw(&meta.sizes, meta.dtype, grad.device())?),
                        None => None,
                    });
                    continue;
                }
                Ok(Some(d)) => d,
            };
            if derivative.identity {
                out.push(Some(grad.clone()));
                continue;
            }
            let mut operands: SmallVec<[Tensor; 4]> = SmallVec::new();
            for &u in &derivative.uses {
                operands.push(if u as usize == variant.inputs {
                    grad.clone()
                } else {
                    let slot = saves.iter().position(|&s| s == u).unwrap_or(usize::MAX);
                    ctx.saved(slot)?
                });
            }
            let operands: SmallVec<[&Tensor; 4]> = operands.iter().collect();
            out.push(Some(differentiated(&derivative.variant, &operands, &params, compute)?));
        }
        Ok(out)
    }
}

/// Runs a derivative expression, which is differentiable in its turn.
fn differentiated(
    variant: &'static Variant,
    operands: &[&Tensor],
    params: &[Scalar],
    compute: DType,
) -> Result<Tensor> {
    let to = Resolved { variant, compute, result: compute };
    let record = autograd::needs_grad(operands) && compute.is_differentiable();
    if !record {
        let consts = |out: &mut _| variant.fill(out, |i| params.get(i).copied());
        if let Some(out) = flat::run(&to, operands, &held(operands), consts, false)? {
            return Ok(out);
        }
    }
    // Named after what most of PyTorch's formulas end with.
    let params = Params::from_slice(params);
    execute(&to, "MulBackward0", operands, params, record, Dest::Fresh, "pointwise")
}
