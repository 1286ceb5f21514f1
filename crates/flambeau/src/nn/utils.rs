//! What training loops do with parameters and gradients, `torch.nn.utils`.

pub use super::packed::{
    PackedSequence, pack_padded_sequence, pack_sequence, pad_packed_sequence, unpack_sequence, unpad_sequence,
};
use crate::autograd::no_grad;
use crate::ops::{join, pad, reduce, shape};
use crate::{Result, Tensor, tensor};
use flambeau_core::bail;
use std::borrow::Borrow;

fn gradients<T: Borrow<Tensor>>(parameters: impl IntoIterator<Item = T>) -> Vec<Tensor> {
    parameters.into_iter().filter_map(|p| p.borrow().grad()).collect()
}

/// The norm of all tensors seen as one vector.
pub fn get_total_norm(tensors: &[Tensor], norm_type: f64) -> Result<Tensor> {
    if tensors.is_empty() {
        return tensor(0f32);
    }
    let norm = |t: &Tensor| reduce::linalg_vector_norm(t, norm_type.into(), None, false, None);
    no_grad(|| {
        let norms: Vec<Tensor> = tensors.iter().map(norm).collect::<Result<_>>()?;
        norm(&join::stack(&norms, 0)?)
    })
}

/// Scales the gradients down, if need be, to a total norm of `max_norm`; returns the norm that they had.
///
/// ```
/// use flambeau::nn::utils::clip_grad_norm_;
/// let w = flambeau::tensor([1f32, 1.])?.requires_grad_(true)?;
/// (&w * &flambeau::tensor([3f32, 4.])?).sum()?.backward()?;
/// assert_eq!(clip_grad_norm_([&w], 1.0, 2.0)?.to_f64()?, 5.0);
/// assert_eq!(w.grad().unwrap().to_string(), "tensor([0.6000, 0.8000])");
/// # Ok::<(), flambeau::Error>(())
/// ```
pub fn clip_grad_norm_<T: Borrow<Tensor>>(
    parameters: impl IntoIterator<Item = T>,
    max_norm: f64,
    norm_type: f64,
) -> Result<Tensor> {
    let grads = gradients(parameters);
    let total = get_total_norm(&grads, norm_type)?;
    no_grad(|| {
        let factor = total.add_scalar(1e-6)?.reciprocal()?.mul_scalar(max_norm)?.clamp_max(1.0)?;
        grads.iter().try_for_each(|grad| grad.mul_(&factor).map(drop))
    })?;
    Ok(total)
}

/// Limits every element of the gradients to [-clip_value, clip_value].
pub fn clip_grad_value_<T: Borrow<Tensor>>(
    parameters: impl IntoIterator<Item = T>,
    clip_value: f64,
) -> Result<()> {
    no_grad(|| {
        gradients(parameters)
            .iter()
            .try_for_each(|grad| grad.clamp_(Some((-clip_value).into()), Some(clip_value.into())).map(drop))
    })
}

/// The parameters one after another as one vector.
pub fn parameters_to_vector<T: Borrow<Tensor>>(parameters: impl IntoIterator<Item = T>) -> Result<Tensor> {
    let parts: Vec<Tensor> =
        parameters.into_iter().map(|p| p.borrow().reshape(&[-1])).collect::<Result<_>>()?;
    join::cat(&parts, 0)
}

/// Copies the parts of a vector into the parameters; fails unless it has as many elements as they have.
pub fn vector_to_parameters<T: Borrow<Tensor>>(
    vector: &Tensor,
    parameters: impl IntoIterator<Item = T>,
) -> Result<()> {
    let parameters: Vec<Tensor> = parameters.into_iter().map(|p| p.borrow().clone()).collect();
    let total: usize = parameters.iter().map(Tensor::numel).sum();
    if vector.dim() != 1 || vector.numel() != total {
        bail!(Value, "expected a vector of {total} elements, got {:?}", vector.sizes());
    }
    no_grad(|| {
        let mut place = 0;
        for parameter in &parameters {
            let n = parameter.numel() as i64;
            let part = shape::narrow(vector, 0, place, n)?.view(&parameter.sizes())?;
            shape::copy_(parameter, &part, false)?;
            place += n;
        }
        Ok(())
    })
}

/// Sequences `(length, ...)` of any lengths as one tensor `(longest, count, ...)`, or `(count, longest, ...)` with
/// `batch_first`, filled up with a value.
///
/// ```
/// use flambeau::nn::utils::pad_sequence;
/// let sequences = [flambeau::tensor([1i64, 2, 3])?, flambeau::tensor([4i64])?];
/// assert_eq!(pad_sequence(&sequences, true, 0.0)?.to_string(), "tensor([[1, 2, 3],\n        [4, 0, 0]])");
/// # Ok::<(), flambeau::Error>(())
/// ```
pub fn pad_sequence(sequences: &[Tensor], batch_first: bool, padding_value: f64) -> Result<Tensor> {
    if sequences.is_empty() {
        bail!("received an empty list of sequences");
    }
    let mut longest = 0;
    for sequence in sequences {
        longest = longest.max(sequence.size(0)?);
    }
    let fill = |sequence: &Tensor| {
        let mut amounts = vec![0; 2 * sequence.dim()];
        if let Some(after) = amounts.last_mut() {
            *after = longest - sequence.size(0)?;
        }
        pad::pad(sequence, &amounts, "constant", Some(padding_value))
    };
    let padded: Vec<Tensor> = sequences.iter().map(fill).collect::<Result<_>>()?;
    join::stack(&padded, if batch_first { 0 } else { 1 })
}
