//! Pointwise operators on sparse tensors: functions that keep zeros, scaling, sums and products.

use super::coalesce::{added, at, keys};
use super::{any, coalesce, entries, made, parts, unknown, with_values};
use crate::Tensor;
use crate::autograd::{self, GradMode, grad_enabled};
use crate::generated::functions as f;
use crate::ops::{copy_data, index, shape};
use crate::pointwise::{ParamValue, PointwiseDef, run};
use flambeau_core::{Result, Scalar, bail, show};

/// Functions of one operand that are zero at zero, which PyTorch has for sparse tensors.
const KEEP_ZERO: &str = " abs asin asinh atan atanh ceil conj_physical deg2rad erf erfinv expm1 floor frac isinf isnan \
    isneginf isposinf log1p neg positive rad2deg relu round sgn sign signbit sin sinh sqrt square tan tanh trunc ";

/// A pointwise operator with a sparse operand; in place it changes the first.
#[cold]
pub fn pointwise(
    def: &'static PointwiseDef,
    tensors: &[&Tensor],
    params: &[ParamValue],
    inplace: bool,
) -> Result<Tensor> {
    let fresh = || -> Result<Tensor> {
        let number = |i: usize| match params.get(i) {
            Some(ParamValue::Scalar(s)) => *s,
            _ => 1i64.into(),
        };
        match (def.name, tensors) {
            ("add", [a, b]) => sum(a, b, number(0)),
            ("sub", [a, b]) => sum(a, b, negated(number(0))),
            ("mul", [a, b]) => product(a, b),
            ("div", [a, b]) if a.is_sparse() && b.dim() == 0 && !b.is_sparse() => {
                with_values(a, |v| f::div(v, b))
            }
            ("div", [a, b]) if a.is_sparse() => bail!(
                "Sparse division requires a scalar or zero-dim dense tensor divisor (got shape {} for divisor)",
                show(&b.sizes())
            ),
            ("mul" | "div" | "pow" | "floor_divide", [a]) => {
                with_values(&coalesce(a)?, |v| run(def, &[v], params))
            }
            ("neg", [a]) => with_values(a, |v| run(def, &[v], params)),
            (name, [a]) if KEEP_ZERO.contains(&format!(" {name} ")) => {
                with_values(&coalesce(a)?, |v| run(def, &[v], params))
            }
            (name, _) => Err(unknown(name)),
        }
    };
    if !inplace {
        return fresh();
    }
    let target = tensors[0];
    if !target.is_sparse() && !matches!((def.name, tensors.len()), ("add" | "sub", 2)) {
        return Err(unknown(&format!("{}_", def.name)));
    }
    let tracked = grad_enabled() && tensors.iter().any(|t| t.requires_grad());
    if tracked && (target.is_leaf() && target.requires_grad()) {
        bail!("a leaf Variable that requires grad is being used in an in-place operation.");
    }
    if tracked {
        bail!(
            "in-place {} with sparse operands is not supported where gradients are recorded; use the form that returns a new tensor",
            def.name
        );
    }
    let _guard = GradMode::no_grad();
    let result = fresh()?;
    if result.sizes() != target.sizes() {
        bail!(
            "output with shape {} doesn't match the broadcast shape {}",
            show(&target.sizes()),
            show(&result.sizes())
        );
    }
    crate::ops::check_castable(result.dtype(), target.dtype())?;
    copied_into(target, &result)?;
    Ok(target.clone())
}

/// Writes `source` over `target`, both sparse or both dense.
pub(crate) fn copied_into(target: &Tensor, source: &Tensor) -> Result<()> {
    match (target.is_sparse(), source.is_sparse()) {
        (false, false) => {
            autograd::check_inplace(target, false)?;
            crate::ops::check_writable(&target.array(), &[])?;
            copy_data(target, source)?;
        }
        (true, true) => {
            let source = match source.dtype() == target.dtype() {
                true => source.clone(),
                false => super::to_dtype(source, target.dtype())?,
            };
            let coo = parts(&source, "copy_")?;
            target.set_coo(super::Coo {
                indices: coo.indices.clone(),
                values: coo.values.clone(),
                coalesced: coo.coalesced,
            });
        }
        _ => bail!(
            "copy_() between dense and sparse Tensors is not implemented! Found self type = torch.{}Tensor and src type = torch.{}Tensor",
            layout(target),
            layout(source)
        ),
    }
    target.bump_version();
    Ok(())
}

fn layout(t: &Tensor) -> String {
    format!("{}{}", if t.is_sparse() { "sparse." } else { "" }, t.dtype().cpp_name())
}

fn negated(s: Scalar) -> Scalar {
    match s {
        Scalar::Bool(b) => Scalar::Int(-i64::from(b)),
        Scalar::Int(i) => Scalar::Int(i.wrapping_neg()),
        Scalar::UInt(i) => Scalar::Int((i as i64).wrapping_neg()),
        Scalar::Float(x) => Scalar::Float(-x),
        Scalar::Complex(z) => Scalar::Complex(-z),
    }
}

/// `a + alpha * b`
fn sum(a: &Tensor, b: &Tensor, alpha: Scalar) -> Result<Tensor> {
    let sizes = a.sizes();
    if sizes != b.sizes() {
        bail!(
            "add: expected 'self' and 'other' to have same size, but self has size {} while other has size {} (FYI: dense-sparse addition does not currently support broadcasting)",
            show(&sizes),
            show(&b.sizes())
        );
    }
    let dtype = crate::ops::convert::result_type(&values_of(a), &values_of(b))?;
    if !a.is_sparse() {
        let (a, b) = (shape::to_dtype(a, dtype)?, super::to_dtype(b, dtype)?);
        return added(&a, &b, alpha);
    }
    if !b.is_sparse() {
        bail!("add(sparse, dense) is not supported. Use add(dense, sparse) instead.");
    }
    let (x, y) = (entries(a)?, entries(b)?);
    if x.indices.sizes()[0] != y.indices.sizes()[0] {
        bail!("add: expected 'self' and 'other' to have same number of sparse dimensions");
    }
    let right = if alpha.is(1) { y.values } else { crate::ops::scale(&y.values, alpha)? };
    let indices = crate::ops::join::cat(&[x.indices, y.indices], 1)?;
    let values =
        crate::ops::join::cat(&[shape::to_dtype(&x.values, dtype)?, shape::to_dtype(&right, dtype)?], 0)?;
    let out = made(&indices, &values, &sizes, false)?;
    if x.coalesced && y.coalesced { coalesce(&out) } else { Ok(out) }
}

/// What promotes as a tensor does: its values.
fn values_of(t: &Tensor) -> Tensor {
    t.coo().map_or_else(|| t.alias(), |coo| if t.dim() == 0 { t.alias() } else { coo.values.alias() })
}

/// Elementwise product, with the indices of a sparse operand.
fn product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (sparse, other) = if a.is_sparse() { (a, b) } else { (b, a) };
    if other.dim() == 0 && !other.is_sparse() {
        return with_values(sparse, |v| f::mul(v, other));
    }
    let sizes = sparse.sizes();
    if other.is_sparse() && other.sizes() != sizes {
        bail!("mul operands have incompatible sizes: {} and {}", show(&a.sizes()), show(&b.sizes()));
    }
    if !other.is_sparse() {
        let other = shape::expand(other, &sizes)?;
        let e = entries(sparse)?;
        let values = f::mul(&e.values, &at(&other, &e.indices)?)?;
        return made(&e.indices, &values, &sizes, e.coalesced);
    }
    // The indices that both have.
    let (x, y) = (coalesce(a)?, coalesce(b)?);
    let (x, y) = (entries(&x)?, entries(&y)?);
    if x.indices.sizes()[0] != y.indices.sizes()[0] {
        bail!("mul: operands must have the same number of sparse dimensions");
    }
    let (left, right) = (keys(&x.indices, &sizes)?.0, keys(&y.indices, &sizes)?.0);
    let (mut i, mut j) = (Vec::new(), Vec::new());
    for (at, key) in left.iter().enumerate() {
        if let Ok(place) = right.binary_search(key) {
            i.push(at as i64);
            j.push(place as i64);
        }
    }
    let (i, j) = (super::coalesce::column(&i)?, super::coalesce::column(&j)?);
    let values = f::mul(&index::index_select(&x.values, 0, &i)?, &index::index_select(&y.values, 0, &j)?)?;
    made(&index::index_select(&x.indices, 1, &i)?, &values, &sizes, true)
}

/// Adds one gradient to another of any layouts: a new tensor.
pub(crate) fn add_into(sum_: &Tensor, grad: &Tensor) -> Result<Tensor> {
    debug_assert!(any(&[sum_, grad]));
    if sum_.is_sparse() && !grad.is_sparse() {
        return added(grad, sum_, 1i64.into());
    }
    sum(sum_, grad, 1i64.into())
}
