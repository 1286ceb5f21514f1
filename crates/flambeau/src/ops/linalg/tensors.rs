//! Inverses and solutions of tensors that stand for matrices, and Vandermonde matrices.

use super::{linalg_inv, linalg_solve};
use crate::Tensor;
use crate::ops::cumulative::cumprod;
use crate::ops::shape;
use crate::ops::{creation, join};
use flambeau_core::{DType, Dims, Result, bail, numel};

/// `torch.linalg.tensorinv`: the inverse of the matrix whose rows are the first `ind` dimensions, as a tensor.
pub fn linalg_tensorinv(self_: &Tensor, ind: i64) -> Result<Tensor> {
    if ind <= 0 {
        bail!("Expected a strictly positive integer for 'ind', but got {ind}");
    }
    let sizes = self_.sizes();
    let Some(at) = usize::try_from(ind).ok().filter(|&at| at <= sizes.len()) else {
        bail!("ArrayRef: invalid slice, N = {ind}; size = {}", sizes.len());
    };
    let (first, second) = sizes.split_at(at);
    let (rows, columns) = (numel(first)? as i64, numel(second)? as i64);
    if rows != columns {
        bail!(
            "Expected self to satisfy the requirement prod(self.shape[ind:]) == prod(self.shape[:ind]), but got {columns} != {rows}"
        );
    }
    let inverse = linalg_inv(&shape::reshape(self_, &[columns, rows])?)?;
    let out: Dims = second.iter().chain(first).copied().collect();
    shape::reshape(&inverse, &out)
}

/// `torch.linalg.tensorsolve`: the `X` with `tensordot(self, X, X.ndim) = other`; the dimensions `dims` of `self` go
/// to its end first.
pub fn linalg_tensorsolve(self_: &Tensor, other: &Tensor, dims: Option<&[i64]>) -> Result<Tensor> {
    let rank = self_.dim();
    let a = match dims {
        Some(dims) => {
            let last: Vec<i64> = (rank as i64 - dims.len() as i64..rank as i64).collect();
            shape::movedim(self_, dims, &last)?
        }
        None => self_.clone(),
    };
    let sizes = a.sizes();
    let Some(right) = sizes.get(other.dim()..) else {
        bail!("Expected self to have at least {} dimensions, but got {rank}", other.dim());
    };
    let (columns, rows) = (numel(right)? as i64, other.numel() as i64);
    if columns != rows {
        bail!(
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == prod(self.shape[:other.ndim]), but got {columns} != {rows}"
        );
    }
    let matrix = shape::reshape(&a, &[rows, columns])?;
    shape::reshape(&linalg_solve(&matrix, &shape::reshape(other, &[-1])?, true)?, right)
}

/// `torch.linalg.vander`: rows of the powers 0 to `N - 1` of the elements of a batch of vectors.
#[allow(non_snake_case)]
pub fn linalg_vander(x: &Tensor, N: Option<i64>) -> Result<Tensor> {
    let dtype = x.dtype();
    if dtype == DType::Bool {
        bail!(
            NotImplemented,
            "linalg.vander supports floating point, complex, and integer tensors, but got {}",
            dtype.cpp_name()
        );
    }
    let x = if x.dim() == 0 { shape::unsqueeze(x, -1)? } else { x.clone() };
    let mut sizes = x.sizes();
    let n = N.unwrap_or(sizes.last().copied().unwrap_or(1));
    if n <= 1 {
        bail!("N must be greater than 1.");
    }
    sizes.push(n - 1);
    numel(&sizes)?;
    let powers = cumprod(&shape::expand(&shape::unsqueeze(&x, -1)?, &sizes)?, -1, None)?;
    let rank = sizes.len();
    sizes[rank - 1] = 1;
    let ones = Tensor::empty_raw(&sizes, powers.dtype(), x.device())?;
    creation::fill_data(&ones, 1i64.into())?;
    join::cat(&[ones, powers], -1)
}
