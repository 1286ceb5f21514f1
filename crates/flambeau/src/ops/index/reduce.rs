//! Scattering with a reduction of what meets in one place: `scatter_reduce`, `index_reduce`.

use super::gather::{prepare, scatter_value, source_grad};
use super::scatter_add;
use crate::Tensor;
use crate::autograd::{Context, GradMode, Grads, Save, record};
use crate::generated::functions as f;
use crate::ops::shape;
use flambeau_core::{DType, Dims, Result, Scalar, bail, wrap_dim};
use flambeau_cpu::index::Fold;
use smallvec::{SmallVec, smallvec};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Reduction {
    Sum,
    Prod,
    Mean,
    Max,
    Min,
}

/// The value that changes nothing.
fn neutral(how: Reduction, dtype: DType) -> Scalar {
    let extreme = |high: bool| -> Scalar {
        if dtype.is_floating_point() {
            return Scalar::Float(if high { f64::INFINITY } else { f64::NEG_INFINITY });
        }
        match (dtype, high) {
            (DType::Bool, _) => Scalar::Bool(high),
            (DType::UInt64, true) => Scalar::UInt(u64::MAX),
            (_, false) if !dtype.is_signed() => Scalar::Int(0),
            (_, true) if !dtype.is_signed() => Scalar::Int((1i64 << (dtype.size() * 8)) - 1),
            (_, high) => {
                let top = i64::MAX >> (64 - dtype.size() * 8);
                Scalar::Int(if high { top } else { -top - 1 })
            }
        }
    };
    match how {
        Reduction::Sum | Reduction::Mean => Scalar::Int(0),
        Reduction::Prod => Scalar::Int(1),
        Reduction::Max => extreme(false),
        Reduction::Min => extreme(true),
    }
}

fn compute(
    self_: &Tensor,
    dim: i64,
    index: &Tensor,
    src: &Tensor,
    how: Reduction,
    include_self: bool,
) -> Result<Tensor> {
    let _guard = GradMode::no_grad();
    let base = if include_self {
        self_.clone()
    } else {
        prepare(self_, dim, index, Ok(src), false)?; // for its checks
        scatter_value(self_, dim, index, neutral(how, self_.dtype()))?
    };
    let work = prepare(&base, dim, index, Ok(src), false)?;
    work.fold(match how {
        Reduction::Sum | Reduction::Mean => Fold::Add,
        Reduction::Prod => Fold::Mul,
        Reduction::Max => Fold::Max,
        Reduction::Min => Fold::Min,
    });
    if how != Reduction::Mean {
        return Ok(work.out);
    }
    let counts = counts(&work.out, dim, index, src, include_self)?;
    if work.out.dtype().is_integral_or_bool() {
        f::floor_divide(&work.out, &counts)
    } else {
        f::div(&work.out, &counts)
    }
}

/// How many values each place holds, at least 1.
fn counts(like: &Tensor, dim: i64, index: &Tensor, src: &Tensor, include_self: bool) -> Result<Tensor> {
    let (sizes, dtype, device) = like.with_array(|a| (a.sizes.clone(), a.dtype, a.device()));
    let start = Tensor::zeros_raw(&sizes, dtype, device)?;
    if include_self {
        crate::ops::creation::fill_data(&start, Scalar::Int(1))?;
    }
    let one = Tensor::zeros_raw(&src.sizes(), dtype, device)?;
    crate::ops::creation::fill_data(&one, Scalar::Int(1))?;
    let counts = scatter_add(&start, dim, index, &one)?;
    f::masked_fill_scalar(&counts, &f::eq_scalar(&counts, Scalar::Int(0))?, Scalar::Int(1))
}

/// The gradients of self and source; saved are self, source, index and result.
fn backward(ctx: &Context, dim: i64, how: Reduction, include_self: bool) -> Result<Grads> {
    let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None, None]) };
    let (self_, src, index, result) = (ctx.saved(0)?, ctx.saved(1)?, ctx.saved(2)?, ctx.saved(3)?);
    let from = src.sizes();
    let picked = |t: &Tensor| source_grad(t, dim, &index, &from);
    let zero = Scalar::Int(0);
    let (first, second) = match how {
        Reduction::Sum => (grad.clone(), picked(grad)?),
        Reduction::Mean => {
            let counts = {
                let _guard = GradMode::no_grad();
                counts(&self_, dim, &index, &src, include_self)?
            };
            let part = f::div(grad, &counts)?;
            let source = picked(&part)?;
            (part, source)
        }
        Reduction::Prod => {
            // Where self is 0 the product of the others is needed, which the result does not hold.
            let hole = f::eq_scalar(&self_, zero)?;
            let filled = f::masked_fill_scalar(&self_, &hole, Scalar::Int(1))?;
            let others =
                scatter_reduce_as(&filled, dim, &index, &src, how, include_self, "ScatterReduceBackward0")?;
            let first = f::div(&f::mul(grad, &others)?, &filled)?;
            // A single 0 among the sources of a place: the product of the others; several: 0.
            let holes = f::eq_scalar(&src, zero)?;
            let zeros = Tensor::zeros_raw(&self_.sizes(), self_.dtype(), self_.device())?;
            let number =
                picked(&scatter_add(&zeros, dim, &index, &shape::to_dtype(&holes, self_.dtype())?)?)?;
            let single = f::logical_and(&holes, &f::eq_scalar(&number, Scalar::Int(1))?)?;
            let filled = f::masked_fill_scalar(&src, &single, Scalar::Int(1))?;
            let others =
                scatter_reduce_as(&self_, dim, &index, &filled, how, include_self, "ScatterReduceBackward0")?;
            let alone = picked(&f::mul(grad, &others)?)?;
            let divisor = f::masked_fill_scalar(&src, &holes, Scalar::Int(1))?;
            let shared = f::div(&picked(&f::mul(grad, &result)?)?, &divisor)?;
            (first, f::where_(&single, &alone, &shared)?)
        }
        Reduction::Max | Reduction::Min => {
            // Equal extremes share the gradient.
            let mine = shape::to_dtype(&f::eq(&self_, &result)?, self_.dtype())?;
            let theirs = shape::to_dtype(&f::eq(&src, &picked(&result)?)?, self_.dtype())?;
            let number = scatter_add(&mine, dim, &index, &theirs)?;
            let part = f::div(grad, &number)?;
            (f::mul(&mine, &part)?, f::mul(&theirs, &picked(&part)?)?)
        }
    };
    let first = if include_self { first } else { scatter_value(&first, dim, &index, zero)? };
    Ok(smallvec![ctx.needs(0).then_some(first), ctx.needs(1).then_some(second)])
}

fn scatter_reduce_as(
    self_: &Tensor,
    dim: i64,
    index: &Tensor,
    src: &Tensor,
    how: Reduction,
    include_self: bool,
    name: &'static str,
) -> Result<Tensor> {
    let out = compute(self_, dim, index, src, how, include_self)?;
    let saves = [Save::Input(self_), Save::Input(src), Save::Input(index), Save::Output(0)];
    record(&[&out], name, &[self_, src], &saves, move |ctx| backward(ctx, dim, how, include_self))?;
    Ok(out)
}

/// `torch.scatter_reduce`: `sum`, `prod`, `mean`, `amax` or `amin` of what goes to one place.
pub fn scatter_reduce(
    self_: &Tensor,
    dim: i64,
    index: &Tensor,
    src: &Tensor,
    reduce: &str,
    include_self: bool,
) -> Result<Tensor> {
    let how = match reduce {
        "sum" => Reduction::Sum,
        "prod" => Reduction::Prod,
        "mean" => Reduction::Mean,
        "amax" => Reduction::Max,
        "amin" => Reduction::Min,
        _ => bail!("reduce argument must be either sum, prod, mean, amax or amin, got {reduce}"),
    };
    let dtype = self_.dtype();
    if dtype.is_complex() || (dtype == DType::Bool && how == Reduction::Mean) {
        bail!(NotImplemented, "\"scatter_reduce\" not implemented for '{}'", dtype.cpp_name());
    }
    scatter_reduce_as(self_, dim, index, src, how, include_self, "ScatterReduceBackward0")
}

/// `torch.index_reduce`: the same for whole slices named by a vector of indices.
pub fn index_reduce(
    self_: &Tensor,
    dim: i64,
    index: &Tensor,
    source: &Tensor,
    reduce: &str,
    include_self: bool,
) -> Result<Tensor> {
    let how = match reduce {
        "prod" => Reduction::Prod,
        "mean" => Reduction::Mean,
        "amax" => Reduction::Max,
        "amin" => Reduction::Min,
        _ => bail!("index_reduce(): Expected reduce to be one of prod, mean, amax or amin but got {reduce}."),
    };
    crate::warn("index_reduce() is in beta and the API may change at any time.");
    let sizes = self_.sizes();
    let d = wrap_dim(dim, sizes.len())?;
    if index.dim() > 1 {
        bail!(Index, "index_reduce_(): Index is supposed to be a vector");
    }
    if !matches!(index.dtype(), DType::Int64 | DType::Int32) {
        bail!("index_reduce_(): Expected dtype int32/int64 for index");
    }
    if self_.dtype() != source.dtype() {
        bail!("index_reduce_(): self and source must have the same scalar type");
    }
    if self_.dtype().is_complex() || self_.dtype() == DType::Bool {
        bail!(NotImplemented, "\"index_func\" not implemented for '{}'", self_.dtype().cpp_name());
    }
    let from = source.sizes();
    let n = index.numel() as i64;
    let have = from.get(d).copied().unwrap_or(1);
    if n != have {
        bail!(
            "index_reduce_(): Number of indices ({n}) should be equal to source.size(dim): ({have}), for dim: {dim}"
        );
    }
    let rest = |s: &[i64]| -> Dims { (0..s.len()).filter(|&i| i != d).map(|i| s[i]).collect() };
    if rest(&from) != rest(&sizes) {
        bail!(
            "source tensor shape must match self tensor shape, excluding the specified dimension. Got self.shape = {} source.shape = {}",
            flambeau_core::show(&sizes),
            flambeau_core::show(&from)
        );
    }
    let mut line: Dims = SmallVec::from_elem(1, from.len());
    if let Some(slot) = line.get_mut(d) {
        *slot = n;
    }
    let spread = shape::expand(&shape::reshape(index, &line)?, &from)?;
    scatter_reduce_as(self_, dim, &spread, source, how, include_self, "IndexReduceBackward0")
}
