//! Distances between vectors, and normalisation.

use crate::Tensor;
use crate::autograd::{Save, grad_enabled, record};
use crate::generated::functions as f;
use crate::ops::dense::{Dense, written_all};
use crate::ops::index::{index_add, index_select};
use crate::ops::reduce::{Geometry, linalg_vector_norm, norm_backward, sum_dim};
use crate::ops::{self, operand, shape};
use flambeau_core::{DType, Dims, Result, bail, broadcast_shapes};
use flambeau_cpu::reduce::{Norm, Order, Pairs, distances, distances_backward};
use smallvec::smallvec;

/// `nn.functional.normalize`: divided by the norm, which counts as `eps` at least.
pub fn normalize(input: &Tensor, p: f64, dim: &[i64], eps: f64) -> Result<Tensor> {
    let norm = linalg_vector_norm(input, p.into(), Some(dim), true, None)?;
    f::div(input, &f::clamp_min(&norm, eps.into())?)
}

/// `nn.functional.cosine_similarity`
pub fn cosine_similarity(x1: &Tensor, x2: &Tensor, dim: i64, eps: f64) -> Result<Tensor> {
    let dtype = crate::pointwise::result_type(&[x1, x2]);
    if !dtype.is_differentiable() {
        bail!("expected common dtype to be floating point, yet common dtype is {}", dtype.cpp_name());
    }
    let sizes = broadcast_shapes(&x1.sizes(), &x2.sizes())?;
    let unit = |x: &Tensor| -> Result<Tensor> {
        let x = shape::expand(&shape::to_dtype(x, dtype)?, &sizes)?;
        let norm = linalg_vector_norm(&x, 2i64.into(), Some(&[dim]), true, None)?;
        f::div(&x, &f::clamp_min(&norm, eps.into())?)
    };
    sum_dim(&f::mul(&unit(x1)?, &unit(x2)?)?, Some(&[dim]), false, None)
}

/// `nn.functional.pairwise_distance`: the norm of `x1 - x2 + eps` along the last dimension.
pub fn pairwise_distance(x1: &Tensor, x2: &Tensor, p: f64, eps: f64, keepdim: bool) -> Result<Tensor> {
    let rank = x1.dim().max(x2.dim()) as i64;
    let difference = f::sub(x1, x2, 1i64.into())?;
    let difference = f::add_scalar(&difference, eps.into(), 1i64.into())?;
    linalg_vector_norm(&difference, p.into(), Some(&[rank.max(1) - 1]), keepdim, None)
}

/// The batch sizes of points, expanded to a common shape.
fn batches(x: &Tensor, batch: &[i64]) -> Result<Tensor> {
    let sizes = x.sizes();
    let rank = sizes.len();
    let full: Dims = batch.iter().copied().chain([sizes[rank - 2], sizes[rank - 1]]).collect();
    shape::expand(x, &full)
}

/// `torch.cdist`: distances between all pairs of rows, batch by batch.
pub fn cdist(x1: &Tensor, x2: &Tensor, p: f64, compute_mode: Option<&str>) -> Result<Tensor> {
    const MODES: [&str; 3] =
        ["use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist"];
    if let Some(mode) = compute_mode
        && !MODES.contains(&mode)
    {
        bail!(Value, "{mode} is not a valid value for compute_mode");
    }
    for (x, name) in [(x1, "X1"), (x2, "X2")] {
        if !x.is_floating_point() {
            bail!("cdist only supports floating-point dtypes, {name} got: {}", x.dtype().cpp_name());
        }
        if x.dim() < 2 {
            bail!("cdist only supports at least 2D tensors, {name} got: {}D", x.dim());
        }
    }
    let (s1, s2) = (x1.sizes(), x2.sizes());
    let (n1, n2) = (s1.len(), s2.len());
    if s1[n1 - 1] != s2[n2 - 1] {
        bail!("X1 and X2 must have the same number of columns. X1: {} X2: {}", s1[n1 - 1], s2[n2 - 1]);
    }
    if p < 0.0 || p.is_nan() {
        bail!("cdist only supports non-negative p values");
    }
    if !matches!(x1.dtype(), DType::Float32 | DType::Float64) {
        bail!(NotImplemented, "\"cdist\" not implemented for '{}'", x1.dtype().cpp_name());
    }
    if x1.dtype() != x2.dtype() {
        bail!("expected scalar type {} but found {}", x1.dtype().cpp_name(), x2.dtype().cpp_name());
    }
    let device = ops::common_device(&[x1, x2])?;
    let batch = broadcast_shapes(&s1[..n1 - 2], &s2[..n2 - 2])?;
    let mut sizes = batch.clone();
    sizes.extend([s1[n1 - 2], s2[n2 - 2]]);
    let out = Tensor::empty_raw(&sizes, x1.dtype(), device)?;
    if !device.is_meta() && out.numel() > 0 {
        let (a, b) = (batches(&x1.alias(), &batch)?.array(), batches(&x2.alias(), &batch)?.array());
        // SAFETY: both have the batch's sizes before their rows and columns, the output is fresh.
        unsafe {
            distances(&operand(&a), &operand(&b), &operand(&out.array()), &sizes, s1[n1 - 1], Norm::new(p))?
        };
    }
    record(
        &[&out],
        "CdistBackward0",
        &[x1, x2],
        &[Save::Input(x1), Save::Input(x2), Save::Output(0)],
        move |ctx| {
            let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None, None]) };
            let (x1, x2, result) = (ctx.saved(0)?, ctx.saved(1)?, ctx.saved(2)?);
            if let Some([left, right]) = cdist_backward(grad, &x1, &x2, &result, p)? {
                return Ok(smallvec![
                    Some(left).filter(|_| ctx.needs(0)),
                    Some(right).filter(|_| ctx.needs(1))
                ]);
            }
            let between = |t: &Tensor, d: usize| {
                let mut sizes = t.sizes();
                sizes.insert(d, 1);
                shape::view(t, &sizes)
            };
            let (n1, n2) = (x1.dim(), x2.dim());
            let difference = f::sub(&between(&x1, n1 - 1)?, &between(&x2, n2 - 2)?, 1i64.into())?;
            let g = Geometry::new(&difference.sizes(), Some(&[-1]), false)?;
            let grad = norm_backward(grad, &difference, &result, p, &g)?;
            let one = |needed: bool, dim: i64, sizes: &[i64], negate: bool| -> Result<Option<Tensor>> {
                if !needed {
                    return Ok(None);
                }
                let total = sum_dim(&grad, Some(&[dim]), false, None)?;
                let total = ops::sum_to_size(&total, sizes)?;
                Ok(Some(if negate { f::neg(&total)? } else { total }))
            };
            Ok(smallvec![
                one(ctx.needs(0), -2, &x1.sizes(), false)?,
                one(ctx.needs(1), -3, &x2.sizes(), true)?
            ])
        },
    )?;
    Ok(out)
}

/// The gradients of `cdist` where they are not differentiated further and its order has a kernel.
fn cdist_backward(
    grad: &Tensor,
    x1: &Tensor,
    x2: &Tensor,
    result: &Tensor,
    p: f64,
) -> Result<Option<[Tensor; 2]>> {
    let order = match Norm::new(p) {
        Norm::One => Order::One,
        Norm::Two => Order::Two,
        _ => return Ok(None),
    };
    let (sizes, dtype) = (result.sizes(), x1.dtype());
    if grad_enabled() || grad.is_meta() || grad.sizes() != sizes || grad.dtype() != dtype {
        return Ok(None);
    }
    let (batch, width) = (&sizes[..sizes.len() - 2], x1.sizes()[x1.dim() - 1]);
    let (left, right) = (batches(x1, batch)?, batches(x2, batch)?);
    let pairs = Pairs {
        batch: flambeau_core::count(batch) as usize,
        rows: [sizes[sizes.len() - 2] as usize, sizes[sizes.len() - 1] as usize],
        width: width as usize,
    };
    macro_rules! run {
        ($T:ty) => {{
            let (grad, result) = (Dense::<$T>::of(grad)?, Dense::<$T>::of(result)?);
            let (a, b) = (Dense::<$T>::of(&left)?, Dense::<$T>::of(&right)?);
            written_all::<$T, 2>([&left.sizes(), &right.sizes()], dtype, |to| {
                distances_backward(&pairs, order, [&grad, &result], [&a, &b], to)
            })?
        }};
    }
    let [a, b] = if dtype == DType::Float64 { run!(f64) } else { run!(f32) };
    Ok(Some([ops::sum_to_size(&a, &x1.sizes())?, ops::sum_to_size(&b, &x2.sizes())?]))
}

/// `nn.functional.pdist`: distances between all pairs of rows, those of the upper triangle of `cdist`.
pub fn pdist(input: &Tensor, p: f64) -> Result<Tensor> {
    let sizes = input.sizes();
    if sizes.len() != 2 {
        bail!("pdist only supports 2D tensors, got: {}D", sizes.len());
    }
    if !input.is_floating_point() {
        bail!("pdist only supports floating-point dtypes");
    }
    if p < 0.0 || p.is_nan() {
        bail!("pdist only supports non-negative p values");
    }
    let n = sizes[0];
    let pairs = match n.checked_mul(n.saturating_sub(1)) {
        Some(twice) => twice / 2,
        None => bail!("numel: integer multiplication overflow"),
    };
    if input.is_meta() {
        return Tensor::empty_raw(&[pairs], input.dtype(), input.device());
    }
    flambeau_core::check_memory(pairs as usize, 2 * size_of::<i64>())?;
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for i in 0..n {
        for j in i + 1..n {
            first.push(i);
            second.push(j);
        }
    }
    let (first, second) = (Tensor::from_slice(&first, &[pairs])?, Tensor::from_slice(&second, &[pairs])?);
    let difference =
        |x: &Tensor| f::sub(&index_select(x, 0, &first)?, &index_select(x, 0, &second)?, 1i64.into());
    let out = linalg_vector_norm(&difference(&input.alias())?, p.into(), Some(&[1]), false, None)?;
    let (i, j) = (first.clone(), second.clone());
    record(&[&out], "PdistBackward0", &[input], &[Save::Input(input), Save::Output(0)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        let x = ctx.saved(0)?;
        let difference = f::sub(&index_select(&x, 0, &i)?, &index_select(&x, 0, &j)?, 1i64.into())?;
        let g = Geometry::new(&difference.sizes(), Some(&[1]), false)?;
        let grad = norm_backward(grad, &difference, &ctx.saved(1)?, p, &g)?;
        let zeros = Tensor::zeros_raw(&x.sizes(), x.dtype(), x.device())?;
        let gained = index_add(&zeros, 0, &i, &grad, 1i64.into())?;
        Ok(smallvec![Some(index_add(&gained, 0, &j, &grad, (-1i64).into())?)])
    })?;
    Ok(out)
}
