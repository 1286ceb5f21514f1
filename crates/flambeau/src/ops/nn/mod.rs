//! Layers as operators: convolutions, pooling, resizing, losses, normalisation, embedding.

pub mod attention;
pub mod conv;
pub mod ctc;
pub mod embedding;
pub mod embedding_bag;
pub mod grid;
pub mod loss;
pub mod margin;
pub mod norm;
pub mod pool;
pub mod recurrent;
pub mod upsample;

use crate::Tensor;
use crate::autograd::record;
use flambeau_core::Result;
use smallvec::smallvec;

/// The same result under the name that PyTorch's fused operator has in the graph.
fn named(result: Tensor, name: &'static str) -> Result<Tensor> {
    if !result.requires_grad() {
        return Ok(result);
    }
    let out = result.alias();
    record(&[&out], name, &[&result], &[], |ctx| Ok(smallvec![ctx.grad(0).cloned()]))?;
    Ok(out)
}

/// The same result as one node of a fused operator, whose backward operator takes the input too: see
/// [`crate::autograd::Context::connected`].
fn fused(result: Tensor, names: [&'static str; 2]) -> Result<Tensor> {
    if !result.requires_grad() {
        return Ok(result);
    }
    let out = result.alias();
    record(&[&out], names[0], &[&result], &[], move |ctx| {
        ctx.connected(names[1], smallvec![ctx.grad(0).cloned()])
    })?;
    Ok(out)
}
