//! Small differentiable helpers of gradient formulas.

use crate::Tensor;
use crate::generated::functions as f;
use crate::ops::creation::scalar_tensor;
use flambeau_core::Result;

/// `t` with zeros where the mask holds; differentiable.
pub(crate) fn zero_where(mask: &Tensor, t: &Tensor) -> Result<Tensor> {
    f::where_(mask, &scalar_tensor(0i64.into(), t.dtype())?, t)
}

/// The conjugate of a complex tensor, else the tensor itself.
pub(crate) fn conj(t: &Tensor) -> Result<Tensor> {
    if t.is_complex() { f::conj_physical(t) } else { Ok(t.clone()) }
}

/// Whether any element is zero.
pub(crate) fn has_zero(t: &Tensor) -> Result<bool> {
    Ok(!super::all(&t.alias())?.item()?.to_bool())
}

/// Records outputs that have history but no derivative: asking for it is an error.
pub(crate) fn unsupported_gradient(
    outputs: &[&Tensor],
    node: &'static str,
    inputs: &[&Tensor],
    op: &'static str,
) -> Result<()> {
    crate::autograd::record(outputs, node, inputs, &[], move |_| {
        flambeau_core::bail!(NotImplemented, "the derivative for '{op}' is not implemented.")
    })
}
