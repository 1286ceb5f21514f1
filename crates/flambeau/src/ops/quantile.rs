//! Quantiles.

use crate::Tensor;
use crate::generated::functions as f;
use crate::ops::{creation, index, reduce, shape, sort};
use flambeau_core::{DType, Dims, Result, bail, wrap_dim};

const INTERPOLATIONS: [&str; 5] = ["linear", "lower", "higher", "midpoint", "nearest"];

struct Request<'a> {
    op: &'static str,
    dim: Option<i64>,
    keepdim: bool,
    interpolation: &'a str,
    ignore_nan: bool,
}

fn check(self_: &Tensor, q: &Tensor, r: &Request) -> Result<()> {
    let op = r.op;
    if self_.numel() == 0 {
        bail!("{op}() input tensor must be non-empty");
    }
    if q.dim() > 1 {
        bail!("{op}() q must be a scalar or 1D tensor");
    }
    if !matches!(self_.dtype(), DType::Float32 | DType::Float64) {
        bail!("{op}() input tensor must be either float or double dtype");
    }
    if self_.dtype() != q.dtype() {
        bail!("{op}() q tensor must be same dtype as the input tensor");
    }
    if self_.device() != q.device() {
        bail!("{op}() q tensor must be on the same device as the input tensor");
    }
    if !INTERPOLATIONS.contains(&r.interpolation) {
        bail!(
            "{op}() interpolation must be one of linear, lower, higher, midpoint or nearest, but got {}",
            r.interpolation
        );
    }
    Ok(())
}

fn compute(self_: &Tensor, q: &Tensor, r: &Request) -> Result<Tensor> {
    check(self_, q, r)?;
    let sizes = self_.sizes();
    let rank = sizes.len();
    let d = match r.dim {
        Some(dim) => Some(wrap_dim(dim, rank)?),
        None => None,
    };
    if !q.is_meta() && q.to_vec::<f64>()?.iter().any(|v| !(0.0..=1.0).contains(v)) {
        bail!("{}() q values must be in the range [0, 1]", r.op);
    }
    // The dimension goes last, and the elements along it in order.
    let moved = match d {
        Some(d) if rank > 0 => shape::transpose(self_, d as i64, -1)?,
        _ => shape::reshape(self_, &[-1])?,
    };
    let n = moved.sizes().last().copied().unwrap_or(1);
    let sorted = sort::sort(&moved, -1, false)?.0;
    let mut line_sizes = moved.sizes();
    if let Some(last) = line_sizes.last_mut() {
        *last = 1;
    }
    let count = q.numel() as i64;
    // Rank of each quantile in each line.
    let q_line = shape::reshape(q, &[count])?;
    let nan = f::isnan(&sorted.alias())?;
    let ranks = if r.ignore_nan {
        let numbers = reduce::sum_dim(&f::logical_not(&nan)?, Some(&[-1]), true, None)?;
        let last = f::sub_scalar(&shape::to_dtype(&numbers, q.dtype())?, 1i64.into(), 1i64.into())?;
        let last = f::maximum(&last, &creation::scalar_tensor(0i64.into(), q.dtype())?)?;
        f::mul(&q_line, &last)?
    } else {
        // NaN stands last; a line that has one gets it for every quantile.
        let ranks = f::mul_scalar(&q_line, (n - 1).into())?;
        let last = creation::scalar_tensor((n - 1).into(), q.dtype())?;
        f::where_(&reduce::any_dim(&nan, -1, true)?, &last, &ranks)?
    };
    let at =
        |ranks: &Tensor| index::gather(&sorted, -1, &shape::to_dtype(&ranks.alias(), DType::Int64)?, false);
    let ranks = match r.interpolation {
        "lower" => f::floor(&ranks)?,
        "higher" => f::ceil(&ranks)?,
        "nearest" => f::round(&ranks)?,
        _ => ranks,
    };
    let mut out = at(&ranks)?;
    if matches!(r.interpolation, "linear" | "midpoint") {
        let below = f::floor(&ranks)?;
        let weights = if r.interpolation == "midpoint" {
            creation::scalar_tensor(0.5.into(), q.dtype())?
        } else {
            f::sub(&ranks, &below, 1i64.into())?
        };
        out = f::lerp(&out, &at(&f::ceil(&ranks)?)?, &weights)?;
    }
    // The quantiles go to the front, the reduced dimension away or to size 1.
    let mut result = Dims::new();
    if q.dim() > 0 {
        result.push(count);
    }
    let kept =
        reduce::Geometry::new(&sizes, d.map(|d| d as i64).as_ref().map(std::slice::from_ref), r.keepdim)?;
    result.extend(kept.result());
    let lead = out.dim() as i64 - 1;
    let order: Dims = std::iter::once(lead).chain(0..lead).collect();
    let mut out = shape::permute(&out, &order)?;
    if let Some(d) = d
        && rank > 0
    {
        // The last dimension still stands where `d` was.
        let mut full = out.sizes();
        full.push(1);
        out = shape::view(&out, &full)?;
        out = shape::transpose(&out, d as i64 + 1, -1)?;
    }
    shape::reshape(&out, &result)
}

/// `torch.quantile`
pub fn quantile(
    self_: &Tensor,
    q: &Tensor,
    dim: Option<i64>,
    keepdim: bool,
    interpolation: &str,
) -> Result<Tensor> {
    compute(self_, q, &Request { op: "quantile", dim, keepdim, interpolation, ignore_nan: false })
}

/// `torch.nanquantile`: NaN is left out.
pub fn nanquantile(
    self_: &Tensor,
    q: &Tensor,
    dim: Option<i64>,
    keepdim: bool,
    interpolation: &str,
) -> Result<Tensor> {
    compute(self_, q, &Request { op: "nanquantile", dim, keepdim, interpolation, ignore_nan: true })
}

fn single(op: &str, self_: &Tensor, q: f64) -> Result<Tensor> {
    if !(0.0..=1.0).contains(&q) {
        bail!("{op}() q must be in the range [0, 1] but got {q}");
    }
    let dtype = if self_.dtype() == DType::Float64 { DType::Float64 } else { DType::Float32 };
    creation::scalar_tensor(q.into(), dtype)
}

/// `torch.quantile` of one number.
pub fn quantile_scalar(
    self_: &Tensor,
    q: f64,
    dim: Option<i64>,
    keepdim: bool,
    interpolation: &str,
) -> Result<Tensor> {
    quantile(self_, &single("quantile", self_, q)?, dim, keepdim, interpolation)
}

/// `torch.nanquantile` of one number.
pub fn nanquantile_scalar(
    self_: &Tensor,
    q: f64,
    dim: Option<i64>,
    keepdim: bool,
    interpolation: &str,
) -> Result<Tensor> {
    nanquantile(self_, &single("nanquantile", self_, q)?, dim, keepdim, interpolation)
}
