//! Products of sparse matrices with dense and sparse ones.

use super::coalesce::column;
use super::{Entries, any, coalesce, entries, made};
use crate::Tensor;
use crate::generated::functions as f;
use crate::ops::dense::Dense;
use crate::ops::{index, shape};
use flambeau_core::{Device, Result, Scalar, bail};

/// The entries of a matrix whose values are numbers.
fn matrix(t: &Tensor) -> Result<Entries> {
    let e = entries(t)?;
    if e.indices.sizes()[0] != 2 {
        bail!("mm: expected a sparse matrix with two sparse dimensions, but got {}", e.indices.sizes()[0]);
    }
    Ok(e)
}

/// A product of matrices of which at least one is sparse; of two sparse ones the product is sparse.
pub(crate) fn mm(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (m, n) = (a.sizes()[0], b.sizes()[1]);
    if a.dtype() != b.dtype() {
        bail!(
            "expected m1 and m2 to have the same dtype, but got: {} != {}",
            a.dtype().cpp_type(),
            b.dtype().cpp_type()
        );
    }
    match (a.is_sparse(), b.is_sparse()) {
        (true, true) => pairs(a, b, m, n),
        (true, false) => {
            let e = matrix(a)?;
            let (rows, columns) = (shape::select(&e.indices, 0, 0)?, shape::select(&e.indices, 0, 1)?);
            let terms = f::mul(&shape::unsqueeze(&e.values, 1)?, &index::index_select(b, 0, &columns)?)?;
            let zeros = Tensor::zeros_raw(&[m, n], terms.dtype(), Device::CPU)?;
            index::index_add(&zeros, 0, &rows, &terms, 1i64.into())
        }
        _ => shape::t(&mm(&super::transpose(b, 0, 1)?, &shape::t(a)?)?),
    }
}

/// The product of two sparse matrices: every entry of `a` with every one in the matching row of `b`.
fn pairs(a: &Tensor, b: &Tensor, m: i64, n: i64) -> Result<Tensor> {
    let (x, y) = (matrix(&coalesce(a)?)?, matrix(&coalesce(b)?)?);
    let (left, right) = (Dense::<i64>::of(&x.indices)?, Dense::<i64>::of(&y.indices)?);
    let (nx, ny) = (left.len() / 2, right.len() / 2);
    let rows = &right[..ny]; // sorted
    let (mut i, mut j, mut to) = (Vec::new(), Vec::new(), (Vec::new(), Vec::new()));
    for at in 0..nx {
        let (row, column) = (left[at], left[nx + at]);
        let start = rows.partition_point(|&r| r < column);
        for (place, _) in rows.iter().enumerate().skip(start).take_while(|(_, r)| **r == column) {
            i.push(at as i64);
            j.push(place as i64);
            to.0.push(row);
            to.1.push(right[ny + place]);
        }
    }
    let count = i.len() as i64;
    to.0.extend_from_slice(&to.1);
    let indices = Tensor::from_slice(&to.0, &[2, count])?;
    let values = f::mul(
        &index::index_select(&x.values, 0, &column(&i)?)?,
        &index::index_select(&y.values, 0, &column(&j)?)?,
    )?;
    coalesce(&made(&indices, &values, &[m, n], false)?)
}

/// A sparse matrix times a vector.
pub(crate) fn mv(a: &Tensor, v: &Tensor) -> Result<Tensor> {
    if v.is_sparse() {
        bail!("mv: the vector must be dense");
    }
    shape::select(&mm(a, &shape::unsqueeze(v, 1)?)?, 1, 0)
}

/// `beta * self + alpha * a @ b` with a sparse matrix.
pub(crate) fn addmm(self_: &Tensor, a: &Tensor, b: &Tensor, beta: Scalar, alpha: Scalar) -> Result<Tensor> {
    let product = crate::ops::matmul::mm(a, b)?;
    let own = if beta.is(1) { self_.clone() } else { f::mul_scalar(self_, beta)? };
    if !any(&[&own, &product]) {
        return f::add(&own, &product, alpha);
    }
    match (own.is_sparse(), product.is_sparse()) {
        (true, false) => f::add(&crate::ops::scale(&product, alpha)?, &own, 1i64.into()),
        _ => f::add(&own, &product, alpha),
    }
}

/// `matmul` by the dimensions of its operands, as far as there are products of sparse ones.
pub(crate) fn matmul(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    use crate::ops::matmul as dense;
    let (left, right) = (a.sizes(), b.sizes());
    match (left.len(), right.len()) {
        (2, 2) => dense::mm(a, b),
        (2, 1) if !b.is_sparse() => dense::mv(a, b),
        (1, 2) if !a.is_sparse() => dense::mv(&super::transpose(b, 0, 1)?, a),
        (3, 3) if left[0] == right[0] => {
            let batch = |t: &Tensor, i: i64| shape::select(t, 0, i);
            let products: Vec<Tensor> =
                (0..left[0]).map(|i| dense::mm(&batch(a, i)?, &batch(b, i)?)).collect::<Result<_>>()?;
            crate::ops::join::stack(&products, 0)
        }
        (x, y) => bail!(
            "matmul: sparse tensors can be multiplied as matrices, got operands of {x} and {y} dimensions"
        ),
    }
}
