//! Differences and integrals of sampled functions.

use crate::Tensor;
use crate::generated::functions as f;
use crate::ops::cumulative::cumsum;
use crate::ops::join::cat;
use crate::ops::reduce::{reduced_dims, sum_dim};
use crate::ops::shape::{self, slice};
use flambeau_core::{DType, Dims, Result, Scalar, bail, wrap_dim};

/// Size of a dimension of a tensor that must have dimensions.
fn size_of(t: &Tensor, dim: i64) -> Result<(usize, i64)> {
    let sizes = t.sizes();
    if sizes.is_empty() {
        bail!(Index, "Dimension specified as {dim} but tensor has no dimensions");
    }
    let d = wrap_dim(dim, sizes.len())?;
    Ok((d, sizes[d]))
}

/// All but the first, and all but the last along a dimension.
fn neighbours(t: &Tensor, d: usize) -> Result<(Tensor, Tensor)> {
    let n = t.sizes()[d];
    let later = slice(t, d as i64, Some(1), None, 1)?;
    let earlier = slice(t, d as i64, Some(0), Some((n - 1).max(0)), 1)?;
    Ok((later, earlier))
}

/// The checks on samples and a constant step.
fn check_samples(op: &str, y: &Tensor, dx: Option<Scalar>) -> Result<()> {
    if y.dtype() == DType::Bool {
        bail!(NotImplemented, "{op}: received a bool input for `y`, but bool is not supported");
    }
    if matches!(dx, Some(Scalar::Bool(_) | Scalar::Complex(_))) {
        bail!("{op}: Currently, we only support dx as a real number.");
    }
    Ok(())
}

/// The samples' places brought to a shape that broadcasts with them.
fn places(op: &str, y: &Tensor, x: &Tensor, d: usize, n: i64) -> Result<Tensor> {
    if x.dtype() == DType::Bool {
        bail!(NotImplemented, "{op}: received a bool input for `x`, but bool is not supported");
    }
    let rank = y.dim();
    if x.dim() == 1 {
        if x.sizes()[0] != n {
            bail!("{op}: There must be one `x` value for each sample point");
        }
        let sizes: Dims = (0..rank).map(|i| if i == d { n } else { 1 }).collect();
        return shape::view(x, &sizes).or_else(|_| shape::reshape(x, &sizes));
    }
    if x.dim() < rank {
        let lead = rank - x.dim();
        let sizes: Dims = std::iter::repeat_n(1, lead).chain(x.sizes()).collect();
        return shape::reshape(x, &sizes);
    }
    Ok(x.clone())
}

/// The areas between neighbouring samples, doubled.
fn double_areas(op: &str, y: &Tensor, x: &Tensor, dim: i64) -> Result<Tensor> {
    check_samples(op, y, None)?;
    let (d, n) = size_of(y, dim)?;
    let x = places(op, y, x, d, n)?;
    // Places of more dimensions than the samples count theirs from the end too.
    let dx = {
        let (later, earlier) = neighbours(&x, x.dim() - y.dim() + d)?;
        f::sub(&later, &earlier, 1i64.into())?
    };
    let (later, earlier) = neighbours(y, d)?;
    f::mul(&dx, &f::add(&later, &earlier, 1i64.into())?)
}

/// `torch.trapezoid` with the places of the samples.
pub fn trapezoid_x(y: &Tensor, x: &Tensor, dim: i64) -> Result<Tensor> {
    let areas = double_areas("trapezoid", y, x, dim)?;
    let from_end = wrap_dim(dim, y.dim())? as i64 - y.dim() as i64;
    f::div_scalar(&sum_dim(&areas, Some(&[from_end]), false, None)?, 2i64.into())
}

/// `torch.trapezoid` with a constant step.
pub fn trapezoid_dx(y: &Tensor, dx: Scalar, dim: i64) -> Result<Tensor> {
    check_samples("trapezoid", y, Some(dx))?;
    let (d, n) = size_of(y, dim)?;
    if n == 0 {
        let mut sizes = y.sizes();
        sizes.remove(d);
        return Tensor::zeros_raw(&sizes, y.dtype(), y.device());
    }
    let ends = f::add(&shape::select(y, d as i64, 0)?, &shape::select(y, d as i64, -1)?, 1i64.into())?;
    let total = sum_dim(y, Some(&[d as i64]), false, None)?;
    f::mul_scalar(&f::sub(&total, &f::mul_scalar(&ends, 0.5.into())?, 1i64.into())?, dx)
}

/// `torch.trapz` with the places of the samples.
pub fn trapz_x(y: &Tensor, x: &Tensor, dim: i64) -> Result<Tensor> {
    trapezoid_x(y, x, dim)
}

/// `torch.trapz` with a constant step.
pub fn trapz_dx(y: &Tensor, dx: f64, dim: i64) -> Result<Tensor> {
    trapezoid_dx(y, dx.into(), dim)
}

/// `torch.cumulative_trapezoid` with the places of the samples.
pub fn cumulative_trapezoid_x(y: &Tensor, x: &Tensor, dim: i64) -> Result<Tensor> {
    let areas = double_areas("cumulative_trapezoid", y, x, dim)?;
    let from_end = wrap_dim(dim, y.dim())? as i64 - y.dim() as i64;
    f::div_scalar(&cumsum(&areas, from_end, None)?, 2i64.into())
}

/// `torch.cumulative_trapezoid` with a constant step.
pub fn cumulative_trapezoid_dx(y: &Tensor, dx: Scalar, dim: i64) -> Result<Tensor> {
    check_samples("cumulative_trapezoid", y, Some(dx))?;
    let (d, _) = size_of(y, dim)?;
    let (later, earlier) = neighbours(y, d)?;
    let half = match dx {
        Scalar::Float(v) => v / 2.0,
        other => other.to_f64() / 2.0,
    };
    cumsum(&f::mul_scalar(&f::add(&later, &earlier, 1i64.into())?, half.into())?, d as i64, None)
}

/// `torch.diff`: the `n`-th differences, after putting tensors before and behind.
pub fn diff(
    self_: &Tensor,
    n: i64,
    dim: i64,
    prepend: Option<&Tensor>,
    append: Option<&Tensor>,
) -> Result<Tensor> {
    if self_.dim() == 0 {
        bail!("diff expects input to be at least one-dimensional");
    }
    if n < 0 {
        bail!("order must be non-negative but got {n}");
    }
    let d = wrap_dim(dim, self_.dim())?;
    if n == 0 {
        // Nothing is put before or behind then.
        return shape::clone(self_, None);
    }
    let sizes = self_.sizes();
    for other in [prepend, append].into_iter().flatten() {
        if other.dim() != self_.dim() {
            bail!("diff expects prepend or append to be the same dimension as input");
        }
        for (i, (&a, &b)) in sizes.iter().zip(&other.sizes()).enumerate() {
            if a != b && i != d {
                bail!(
                    "diff expects the shape of tensor to prepend or append to match that of input except along the differencing dimension; input.size({i}) = {a}, but got tensor.size({i}) = {b}"
                );
            }
        }
    }
    let parts: Vec<Tensor> = [prepend, Some(self_), append].into_iter().flatten().cloned().collect();
    let mut out = if parts.len() > 1 { cat(&parts, d as i64)? } else { self_.clone() };
    if out.numel() == 0 {
        // Sizes beside a zero may be vast.
        return shape::clone(&shape::narrow(&out, d as i64, 0, (out.sizes()[d] - n).max(0))?, None);
    }
    for _ in 0..n.min(out.sizes()[d]) {
        let (later, earlier) = neighbours(&out, d)?;
        out = if out.dtype() == DType::Bool {
            f::logical_xor(&later, &earlier)?
        } else {
            f::sub(&later, &earlier, 1i64.into())?
        };
    }
    Ok(out)
}

/// Steps of a dimension's samples: a constant, or the places.
enum Spacing<'a> {
    Constant(Scalar),
    Places(&'a Tensor),
}

/// The derivative along one dimension: central differences, at the ends of first or second order.
fn derivative(x: &Tensor, d: usize, spacing: &Spacing, edge_order: i64) -> Result<Tensor> {
    let n = x.sizes()[d];
    let part =
        |t: &Tensor, d: usize, from: i64, count: i64| slice(t, d as i64, Some(from), Some(from + count), 1);
    let at = |from: i64, count: i64| part(x, d, from, count);
    let sub = |a: &Tensor, b: &Tensor| f::sub(a, b, 1i64.into());
    let combine = |terms: [(&Tensor, &Tensor); 3]| -> Result<Tensor> {
        let [(a, x), (b, y), (c, z)] = terms;
        let sum = f::add(&f::mul(a, x)?, &f::mul(b, y)?, 1i64.into())?;
        f::add(&sum, &f::mul(c, z)?, 1i64.into())
    };
    let (first, inner, last) = match spacing {
        Spacing::Constant(h) => {
            let over = |t: &Tensor, factor: i64| match h {
                Scalar::Complex(c) => f::div_scalar(t, (*c * factor as f64).into()),
                h => f::div_scalar(t, (h.to_f64() * factor as f64).into()),
            };
            let weigh = |[a, b, c]: [i64; 3], start: i64| -> Result<Tensor> {
                let scaled = |w: i64, i: i64| f::mul_scalar(&at(start + i, 1)?, (w as f64 / 2.0).into());
                let sum = f::add(&scaled(a, 0)?, &scaled(b, 1)?, 1i64.into())?;
                over(&f::add(&sum, &scaled(c, 2)?, 1i64.into())?, 1)
            };
            let inner = over(&sub(&at(2, n - 2)?, &at(0, n - 2)?)?, 2)?;
            if edge_order == 1 {
                (
                    over(&sub(&at(1, 1)?, &at(0, 1)?)?, 1)?,
                    inner,
                    over(&sub(&at(n - 1, 1)?, &at(n - 2, 1)?)?, 1)?,
                )
            } else {
                (weigh([-3, 4, -1], 0)?, inner, weigh([1, -4, 3], n - 3)?)
            }
        }
        Spacing::Places(places) => {
            let sizes: Dims = (0..x.dim()).map(|i| if i == d { n } else { 1 }).collect();
            let places = shape::reshape(places, &sizes)?;
            let (later, earlier) = neighbours(&places, d)?;
            let steps = sub(&later, &earlier)?;
            let step = |from: i64, count: i64| part(&steps, d, from, count);
            // Weights of the quadratic through three places: at its middle, start and end.
            let (h, k) = (step(0, n - 2)?, step(1, n - 2)?);
            let both = f::add(&h, &k, 1i64.into())?;
            let a = f::neg(&f::div(&k, &f::mul(&h, &both)?)?)?;
            let b = f::div(&sub(&k, &h)?, &f::mul(&h, &k)?)?;
            let c = f::div(&h, &f::mul(&k, &both)?)?;
            let inner = combine([(&a, &at(0, n - 2)?), (&b, &at(1, n - 2)?), (&c, &at(2, n - 2)?)])?;
            if edge_order == 1 {
                let slope = |i: i64| f::div(&sub(&at(i + 1, 1)?, &at(i, 1)?)?, &step(i, 1)?);
                (slope(0)?, inner, slope(n - 2)?)
            } else {
                let end = |i: i64, forward: bool| -> Result<Tensor> {
                    // Seen from the end, `h` is the nearer step.
                    let (h, k) =
                        if forward { (step(i, 1)?, step(i + 1, 1)?) } else { (step(i + 1, 1)?, step(i, 1)?) };
                    let both = f::add(&h, &k, 1i64.into())?;
                    let near = f::div(&f::add(&both, &h, 1i64.into())?, &f::mul(&h, &both)?)?;
                    let middle = f::div(&both, &f::mul(&h, &k)?)?;
                    let far = f::div(&h, &f::mul(&k, &both)?)?;
                    if forward {
                        combine([
                            (&f::neg(&near)?, &at(i, 1)?),
                            (&middle, &at(i + 1, 1)?),
                            (&f::neg(&far)?, &at(i + 2, 1)?),
                        ])
                    } else {
                        combine([
                            (&far, &at(i, 1)?),
                            (&f::neg(&middle)?, &at(i + 1, 1)?),
                            (&near, &at(i + 2, 1)?),
                        ])
                    }
                };
                (end(0, true)?, inner, end(n - 3, false)?)
            }
        }
    };
    cat(&[first, inner, last], d as i64)
}

/// The checks of `torch.gradient`, and the derivative along each dimension.
fn gradients(
    x: &Tensor,
    dim: Option<&[i64]>,
    edge_order: i64,
    count: Option<usize>,
    spacing: impl Fn(usize) -> Option<Scalar>,
    places: Option<&[Tensor]>,
) -> Result<Vec<Tensor>> {
    if x.dtype() == DType::UInt8 {
        bail!(NotImplemented, "torch.gradient does not support uint8 input.");
    }
    let sizes = x.sizes();
    let dims: Vec<usize> = match dim {
        Some(list) => {
            reduced_dims(Some(list), sizes.len())?;
            list.iter().map(|&d| wrap_dim(d, sizes.len())).collect::<Result<_>>()?
        }
        None => (0..sizes.len()).collect(),
    };
    if let Some(count) = count {
        match dim {
            Some(list) if count != list.len() => bail!(
                "torch.gradient expected spacing to be unspecified, a scalar or it's spacing and dim arguments to have the same length, but got a spacing argument of length {count} and a dim argument of length {}.",
                list.len()
            ),
            None if count != sizes.len() => bail!(
                "torch.gradient expected spacing to be unspecified, a scalar, or a list of length equal to 'self.dim() = {}', since dim argument was not given, but got a list of length {count}",
                sizes.len()
            ),
            _ => {}
        }
    }
    if !(1..=2).contains(&edge_order) {
        bail!("torch.gradient only supports edge_order=1 and edge_order=2.");
    }
    if dims.iter().any(|&d| sizes.get(d).copied().unwrap_or(1) < edge_order + 1) {
        bail!("torch.gradient expected each dimension size to be at least edge_order+1");
    }
    let mut out = Vec::new();
    for (i, &d) in dims.iter().enumerate() {
        let spacing = match places {
            Some(places) => {
                if places[i].dim() != 1 {
                    bail!(
                        "torch.gradient expected each element of spacing to have one dimension, but got an element with {} dimensions!",
                        places[i].dim()
                    );
                }
                if places[i].numel() as i64 != sizes[d] {
                    bail!(
                        "torch.gradient expected each element of spacing to have as many places as the dimension has elements, but got {} for {}",
                        places[i].numel(),
                        sizes[d]
                    );
                }
                Spacing::Places(&places[i])
            }
            None => Spacing::Constant(spacing(i).unwrap_or(Scalar::Int(1))),
        };
        out.push(derivative(x, d, &spacing, edge_order)?);
    }
    Ok(out)
}

/// `torch.gradient`: one step for one dimension or all.
pub fn gradient_scalarint(
    self_: &Tensor,
    spacing: Option<Scalar>,
    dim: Option<i64>,
    edge_order: i64,
) -> Result<Vec<Tensor>> {
    let dim = dim.as_ref().map(std::slice::from_ref);
    gradients(self_, dim, edge_order, None, |_| spacing, None)
}

/// `torch.gradient`: one step for several dimensions.
pub fn gradient_scalararray(
    self_: &Tensor,
    spacing: Scalar,
    dim: &[i64],
    edge_order: i64,
) -> Result<Vec<Tensor>> {
    gradients(self_, Some(dim), edge_order, None, |_| Some(spacing), None)
}

/// `torch.gradient`: the step 1 for several dimensions.
pub fn gradient_array(self_: &Tensor, dim: &[i64], edge_order: i64) -> Result<Vec<Tensor>> {
    gradients(self_, Some(dim), edge_order, None, |_| None, None)
}

/// `torch.gradient`: a step for each dimension.
pub fn gradient_scalarrayint(
    self_: &Tensor,
    spacing: &[Scalar],
    dim: Option<i64>,
    edge_order: i64,
) -> Result<Vec<Tensor>> {
    let dim = dim.as_ref().map(std::slice::from_ref);
    gradients(self_, dim, edge_order, Some(spacing.len()), |i| Some(spacing[i]), None)
}

/// `torch.gradient`: a step for each of several dimensions.
pub fn gradient_scalarrayarray(
    self_: &Tensor,
    spacing: &[Scalar],
    dim: &[i64],
    edge_order: i64,
) -> Result<Vec<Tensor>> {
    gradients(self_, Some(dim), edge_order, Some(spacing.len()), |i| Some(spacing[i]), None)
}

/// `torch.gradient`: places for each dimension.
pub fn gradient_tensorarrayint(
    self_: &Tensor,
    spacing: &[Tensor],
    dim: Option<i64>,
    edge_order: i64,
) -> Result<Vec<Tensor>> {
    let dim = dim.as_ref().map(std::slice::from_ref);
    gradients(self_, dim, edge_order, Some(spacing.len()), |_| None, Some(spacing))
}

/// `torch.gradient`: places for each of several dimensions.
pub fn gradient_tensorarray(
    self_: &Tensor,
    spacing: &[Tensor],
    dim: &[i64],
    edge_order: i64,
) -> Result<Vec<Tensor>> {
    gradients(self_, Some(dim), edge_order, Some(spacing.len()), |_| None, Some(spacing))
}
