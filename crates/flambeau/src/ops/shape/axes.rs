//! Views that reorder, drop or add dimensions.

use crate::Tensor;
use crate::autograd::{view_of, view_with};
use crate::ops::convert::conj;
use crate::ops::reduce::reduced_dims;
use crate::ops::shape::reshape;
use flambeau_core::{Array, Dims, Error, Result, bail, show, wrap_dim};
use smallvec::SmallVec;

/// `torch.transpose`
pub fn transpose(self_: &Tensor, dim0: i64, dim1: i64) -> Result<Tensor> {
    if self_.is_sparse() {
        return crate::ops::sparse::transpose(self_, dim0, dim1);
    }
    let mut a = self_.array();
    let (i, j) = (wrap_dim(dim0, a.dim())?, wrap_dim(dim1, a.dim())?);
    if a.dim() > 0 {
        a.sizes.swap(i, j);
        a.strides.swap(i, j);
    }
    view_with(self_, "TransposeBackward0", a, move |_, grad| transpose(grad, dim0, dim1))
}

/// `torch.permute`
pub fn permute(self_: &Tensor, dims: &[i64]) -> Result<Tensor> {
    let a = self_.array();
    if dims.len() != a.dim() {
        bail!(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired ordering of dimensions i.e. input.dim() = {} is not equal to len(dims) = {}",
            a.dim(),
            dims.len()
        );
    }
    let mut order: SmallVec<[usize; 6]> = SmallVec::new();
    for &d in dims {
        let d = wrap_dim(d, a.dim())?;
        if order.contains(&d) {
            bail!("permute(): duplicate dims are not allowed.");
        }
        order.push(d);
    }
    if self_.is_sparse() {
        return crate::ops::sparse::permute(self_, &order);
    }
    let sizes = order.iter().map(|&d| a.sizes[d]).collect();
    let strides = order.iter().map(|&d| a.strides[d]).collect();
    view_of(self_, "PermuteBackward0", sizes, strides, a.offset, move |_, grad| {
        let mut inverse: Dims = SmallVec::from_elem(0, order.len());
        for (i, &d) in order.iter().enumerate() {
            inverse[d] = i as i64;
        }
        permute(grad, &inverse)
    })
}

/// `torch.swapaxes`
pub fn swapaxes(self_: &Tensor, axis0: i64, axis1: i64) -> Result<Tensor> {
    transpose(self_, axis0, axis1)
}

/// `torch.swapdims`
pub fn swapdims(self_: &Tensor, dim0: i64, dim1: i64) -> Result<Tensor> {
    transpose(self_, dim0, dim1)
}

/// `torch.t`: the transpose of a matrix; vectors and zero-dim tensors as they are.
pub fn t(self_: &Tensor) -> Result<Tensor> {
    if self_.is_sparse() && self_.dim() == 2 {
        return crate::ops::sparse::transpose(self_, 0, 1);
    }
    let mut a = self_.array();
    check_t(&a)?;
    if a.dim() == 2 {
        a.sizes.swap(0, 1);
        a.strides.swap(0, 1);
    }
    view_of(self_, "TBackward0", a.sizes, a.strides, a.offset, |_, grad| t(grad))
}

pub(super) fn check_t(a: &Array) -> Result<()> {
    if a.dim() > 2 {
        bail!("t() expects a tensor with <= 2 dimensions, but self is {}D", a.dim());
    }
    Ok(())
}

/// `Tensor.T`: all dimensions in reverse.
pub fn numpy_t(self_: &Tensor) -> Result<Tensor> {
    if self_.is_sparse() && self_.dim() == 2 {
        return crate::ops::sparse::transpose(self_, 0, 1);
    }
    let rank = self_.dim();
    if rank != 2 && rank != 0 {
        crate::warn(
            "The use of `x.T` on tensors of dimension other than 2 to reverse their shape is deprecated and it will throw an error in a future release. Consider `x.mT` to transpose batches of matrices or `x.permute(*torch.arange(x.ndim - 1, -1, -1))` to reverse the dimensions of a tensor.",
        );
    }
    if rank == 0 {
        crate::warn("Tensor.T is deprecated on 0-D tensors. This function is the identity in these cases.");
    }
    let dims: Dims = (0..rank as i64).rev().collect();
    permute(self_, &dims)
}

/// `Tensor.H`: the conjugate transpose of a matrix.
pub fn matrix_h(self_: &Tensor) -> Result<Tensor> {
    match self_.dim() {
        0 => {
            crate::warn("Tensor.H is deprecated on 0-D tensors. Consider using x.conj().");
            conj(self_)
        }
        2 => conj(&transpose(self_, 0, 1)?),
        rank => bail!("tensor.H is only supported on matrices (2-D tensors). Got {rank}-D tensor."),
    }
}

fn matrices(self_: &Tensor, name: &str) -> Result<()> {
    let rank = self_.dim();
    if rank == 1 {
        bail!("tensor.{name} is only supported on matrices or batches of matrices. Got 1-D tensor.");
    }
    if rank == 0 {
        let instead = if name == "mT" {
            "This function is the identity in these cases."
        } else {
            "Consider using x.conj()."
        };
        crate::warn(&format!("Tensor.{name} is deprecated on 0-D tensors. {instead}"));
    }
    Ok(())
}

/// `Tensor.mT`: the last two dimensions swapped.
pub fn mt(self_: &Tensor) -> Result<Tensor> {
    matrices(self_, "mT")?;
    if self_.dim() == 0 { Ok(self_.clone()) } else { transpose(self_, -2, -1) }
}

/// `Tensor.mH`: the last two dimensions swapped, conjugated.
pub fn mh(self_: &Tensor) -> Result<Tensor> {
    matrices(self_, "mH")?;
    if self_.dim() == 0 { conj(self_) } else { conj(&transpose(self_, -2, -1)?) }
}

/// `torch.adjoint`: the last two dimensions swapped, conjugated.
pub fn adjoint(self_: &Tensor) -> Result<Tensor> {
    matrices(self_, "adjoint()")?;
    if self_.dim() == 0 { conj(self_) } else { conj(&transpose(self_, -2, -1)?) }
}

/// `torch.movedim` of one dimension.
pub fn movedim_int(self_: &Tensor, source: i64, destination: i64) -> Result<Tensor> {
    movedim(self_, &[source], &[destination])
}

/// `torch.movedim`: puts the dimensions `source` at `destination`, the others keep their order.
pub fn movedim(self_: &Tensor, source: &[i64], destination: &[i64]) -> Result<Tensor> {
    if source.len() != destination.len() {
        bail!(
            "movedim: Invalid source or destination dims: source ({} dims) should contain the same number of dims as destination ({} dims)",
            show(source),
            show(destination)
        );
    }
    let rank = self_.dim();
    let wrap = |dims: &[i64], what: &str| -> Result<SmallVec<[usize; 6]>> {
        let mut list = SmallVec::new();
        let mut twice = false;
        for &d in dims {
            let d = wrap_dim(d, rank)?;
            twice |= list.contains(&d);
            list.push(d);
        }
        if twice {
            return Err(Error::runtime(format!("movedim: repeated dim in `{what}` ({})", show(dims))));
        }
        Ok(list)
    };
    let (from, to) = (wrap(source, "source")?, wrap(destination, "destination")?);
    if rank == 0 {
        return permute(self_, &[]);
    }
    let mut order: Dims = SmallVec::from_elem(-1, rank);
    for (&f, &t) in from.iter().zip(&to) {
        order[t] = f as i64;
    }
    let mut rest = (0..rank).filter(|d| !from.contains(d));
    for slot in order.iter_mut().filter(|s| **s < 0) {
        *slot = rest.next().unwrap_or_default() as i64;
    }
    permute(self_, &order)
}

/// The geometry without the dimensions of size 1 that `drop` names.
pub(super) fn squeezed(a: &Array, drop: impl Fn(usize) -> bool) -> (Dims, Dims) {
    (0..a.dim()).filter(|&d| a.sizes[d] != 1 || !drop(d)).map(|d| (a.sizes[d], a.strides[d])).unzip()
}

fn squeeze_view(self_: &Tensor, name: &'static str, drop: impl Fn(usize) -> bool) -> Result<Tensor> {
    let a = self_.array();
    let (sizes, strides) = squeezed(&a, drop);
    let from = a.sizes;
    view_of(self_, name, sizes, strides, a.offset, move |_, grad| reshape(grad, &from))
}

/// `torch.squeeze`: without all dimensions of size 1.
pub fn squeeze(self_: &Tensor) -> Result<Tensor> {
    squeeze_view(self_, "SqueezeBackward0", |_| true)
}

/// `torch.squeeze`: without the dimension if its size is 1.
pub fn squeeze_dim(self_: &Tensor, dim: i64) -> Result<Tensor> {
    let d = wrap_dim(dim, self_.dim())?;
    squeeze_view(self_, "SqueezeBackward1", |i| i == d)
}

/// `torch.squeeze`: without those of the dimensions whose size is 1.
pub fn squeeze_dims(self_: &Tensor, dim: &[i64]) -> Result<Tensor> {
    let mask = named_dims(dim, self_.dim())?;
    squeeze_view(self_, "SqueezeBackward2", |i| mask[i])
}

/// Which dimensions a list names; none of them twice.
pub(super) fn named_dims(dim: &[i64], rank: usize) -> Result<SmallVec<[bool; 6]>> {
    if dim.is_empty() { Ok(SmallVec::from_elem(false, rank)) } else { reduced_dims(Some(dim), rank) }
}

/// The geometry with a dimension of size 1 more.
pub(super) fn unsqueezed(a: &Array, dim: i64) -> Result<(Dims, Dims)> {
    let d = wrap_dim(dim, a.dim() + 1)?;
    let (mut sizes, mut strides) = (a.sizes.clone(), a.strides.clone());
    let stride = if d < a.dim() { a.sizes[d].saturating_mul(a.strides[d]) } else { 1 };
    sizes.insert(d, 1);
    strides.insert(d, stride);
    Ok((sizes, strides))
}

/// `torch.unsqueeze`: a dimension of size 1 more.
pub fn unsqueeze(self_: &Tensor, dim: i64) -> Result<Tensor> {
    if self_.is_sparse() {
        return crate::ops::sparse::unsqueeze(self_, dim);
    }
    let a = self_.array();
    let (sizes, strides) = unsqueezed(&a, dim)?;
    let from = a.sizes;
    view_of(self_, "UnsqueezeBackward0", sizes, strides, a.offset, move |_, grad| reshape(grad, &from))
}
