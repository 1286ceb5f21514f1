//! Counting elements into bins. Has unsafe code.

use crate::Tensor;
use crate::ops::dense::Dense;
use crate::ops::reduce::unsupported_gradient;
use crate::ops::shape;
use crate::ops::sort::{elements, elements_mut};
use flambeau_core::{DType, Result, Scalar, bail};
use flambeau_cpu::sort;

/// `torch.histc`
pub fn histc(self_: &Tensor, bins: i64, min: Scalar, max: Scalar) -> Result<Tensor> {
    let a = self_.array();
    if a.dtype.is_complex() {
        bail!(Type, "aminmax not implemented for {}", a.dtype.cpp_name());
    }
    if bins <= 0 {
        bail!("torch.histogram(): bins must be > 0, but got {bins} for dimension 0");
    }
    if !a.dtype.is_floating_point() {
        bail!(NotImplemented, "\"histogram_cpu\" not implemented for '{}'", a.dtype.cpp_name());
    }
    // Halves are counted in single precision.
    let compute = a.dtype.compute();
    let out = Tensor::zeros_raw(&[bins], compute, a.device())?;
    if !a.device().is_meta() {
        let dense = shape::dense(&shape::to_dtype(&self_.alias(), compute)?)?;
        let (min, max) = (min.to_f64(), max.to_f64());
        // SAFETY: a dense input of the compute type, and a fresh output.
        unsafe {
            if compute == DType::Float32 {
                sort::histc(elements(&dense), min as f32, max as f32, elements_mut(&out))?
            } else {
                sort::histc(elements(&dense), min, max, elements_mut::<f64>(&out))?
            }
        }
    }
    shape::to_dtype(&out, a.dtype)
}

/// `torch.bincount`
pub fn bincount(self_: &Tensor, weights: Option<&Tensor>, minlength: i64) -> Result<Tensor> {
    if minlength < 0 {
        bail!("minlength should be >= 0");
    }
    let a = self_.array();
    if a.dim() == 1 && a.numel() == 0 {
        return Tensor::zeros_raw(&[minlength], DType::Int64, a.device());
    }
    if !a.dtype.is_integral() || matches!(a.dtype, DType::UInt16 | DType::UInt32 | DType::UInt64) {
        bail!(NotImplemented, "\"bincount_cpu\" not implemented for '{}'", a.dtype.cpp_name());
    }
    if a.dim() != 1 {
        bail!("bincount only supports 1-d non-negative integral inputs.");
    }
    if let Some(w) = weights
        && (w.dim() != 1 || w.numel() != a.numel())
    {
        bail!("weights should be 1-d and have the same length as input");
    }
    if a.device().is_meta() {
        bail!(NotImplemented, "bincount: the result's size depends on data, which meta tensors have not");
    }
    let input = Dense::<i64>::of(self_)?;
    let n = sort::bincount_size(&input, minlength as usize)?;
    let Some(weights) = weights else {
        let out = Tensor::zeros_raw(&[n as i64], DType::Int64, a.device())?;
        // SAFETY: a fresh dense tensor.
        sort::bincount(&input, unsafe { elements_mut(&out) })?;
        return Ok(out);
    };
    let dtype = if weights.dtype() == DType::Float32 { DType::Float32 } else { DType::Float64 };
    let out = Tensor::zeros_raw(&[n as i64], dtype, a.device())?;
    // SAFETY: a fresh dense tensor of this type.
    unsafe {
        if dtype == DType::Float32 {
            sort::bincount_weighted(&input, &Dense::<f32>::of(weights)?, elements_mut(&out))?
        } else {
            sort::bincount_weighted(&input, &Dense::<f64>::of(weights)?, elements_mut::<f64>(&out))?
        }
    }
    unsupported_gradient(&[&out], "NotImplemented", &[weights], "bincount")?;
    Ok(out)
}

/// A number as C++ prints it in messages.
fn show(x: f64) -> String {
    if x.is_nan() { "nan".into() } else { format!("{x}") }
}

fn float_name(dtype: DType) -> &'static str {
    match dtype {
        DType::Float64 => "double",
        DType::Float32 => "float",
        other => other.cpp_name(),
    }
}

/// `count + 1` edges from `low` to `high`, in the precision of `dtype`.
fn linear_edges(low: f64, high: f64, count: i64, dtype: DType) -> Vec<f64> {
    let n = count as usize;
    // Counted from the nearer end, as `linspace` does, so that both ends are exact.
    let edge = |i: usize| match dtype {
        DType::Float32 => {
            let step = (high as f32 - low as f32) / n as f32;
            (if i < n.div_ceil(2) {
                low as f32 + step * i as f32
            } else {
                high as f32 - step * (n - i) as f32
            }) as f64
        }
        _ => {
            let step = (high - low) / n as f64;
            if i < n.div_ceil(2) { low + step * i as f64 } else { high - step * (n - i) as f64 }
        }
    };
    (0..=n).map(edge).collect()
}

/// Counts rows of `d` coordinates into the product of bins between edges, which must be ascending.
fn count(
    input: &Tensor,
    d: usize,
    edges: &[Vec<f64>],
    weight: Option<&Tensor>,
    density: bool,
) -> Result<Tensor> {
    let sizes: Vec<i64> = edges.iter().map(|e| e.len() as i64 - 1).collect();
    let out = Tensor::zeros_raw(&sizes, DType::Float64, input.device())?;
    let points = input.to_vec::<f64>()?;
    let weights = weight.map(|w| w.to_vec::<f64>()).transpose()?;
    // SAFETY: a fresh dense tensor of this type.
    let bins: &mut [f64] = unsafe { elements_mut(&out) };
    for (row, point) in points.chunks_exact(d.max(1)).enumerate() {
        let mut place = Some(0usize);
        for (&x, edges) in point.iter().zip(edges) {
            let last = edges.len() - 1;
            place = place.filter(|_| x >= edges[0] && x <= edges[last]).map(|p| {
                let bin = edges.partition_point(|&e| e <= x).clamp(1, last) - 1;
                p * last + bin
            });
        }
        if let Some(place) = place {
            bins[place] += weights.as_ref().map_or(1.0, |w| w[row]);
        }
    }
    if density {
        let mass: f64 = bins.iter().sum();
        for (place, bin) in bins.iter_mut().enumerate() {
            let (mut rest, mut volume) = (place, 1.0);
            for edges in edges.iter().rev() {
                let i = rest % (edges.len() - 1);
                rest /= edges.len() - 1;
                volume *= edges[i + 1] - edges[i];
            }
            *bin /= mass * volume;
        }
    }
    shape::to_dtype(&out, input.dtype())
}

/// The checks that all forms share; gives the number of coordinates.
fn check(input: &Tensor, bins: usize, weight: Option<&Tensor>) -> Result<usize> {
    let sizes = input.sizes();
    let d = match sizes.last() {
        Some(_) if sizes.len() < 2 => {
            bail!("torch.histogramdd: input tensor should have at least 2 dimensions")
        }
        Some(&d) => d as usize,
        None => bail!(Index, "Dimension specified as -1 but tensor has no dimensions"),
    };
    if bins != d {
        bail!("histogramdd: The size of bins must be equal to the innermost dimension of the input.");
    }
    let dtype = input.dtype();
    if let Some(w) = weight {
        if w.dtype() != dtype {
            bail!(
                "torch.histogramdd: if weight tensor is provided, input tensor and weight tensor should have the same dtype, but got input({}), and weight({})",
                float_name(dtype),
                float_name(w.dtype())
            );
        }
        if w.sizes()[..] != sizes[..sizes.len() - 1] {
            bail!(
                "torch.histogramdd: if weight tensor is provided it should have the same shape as the input tensor excluding its innermost dimension, but got input with shape {} and weight with shape {}",
                flambeau_core::show(&sizes),
                flambeau_core::show(&w.sizes())
            );
        }
    }
    if input.is_meta() {
        bail!(NotImplemented, "histogramdd: no kernel for meta tensors");
    }
    Ok(d)
}

fn check_float(dtype: DType) -> Result<()> {
    if !matches!(dtype, DType::Float32 | DType::Float64) {
        bail!(NotImplemented, "\"histogramdd\" not implemented for '{}'", dtype.cpp_name());
    }
    Ok(())
}

/// Edges of equal bins in each dimension, over the given range or that of the data.
fn equal_edges(input: &Tensor, bins: &[i64], range: Option<&[f64]>) -> Result<Vec<Vec<f64>>> {
    let d = bins.len();
    for (i, &b) in bins.iter().enumerate() {
        if b <= 0 {
            bail!("torch.histogram(): bins must be > 0, but got {b} for dimension {i}");
        }
    }
    check_float(input.dtype())?;
    let mut ranges = vec![(0.0, 1.0); d];
    match range {
        Some(r) => {
            if r.len() != 2 * d {
                bail!(
                    "torch.histogramdd: for a {d}-dimensional histogram range should have {} elements, but got {}",
                    2 * d,
                    r.len()
                );
            }
            ranges = r.chunks_exact(2).map(|r| (r[0], r[1])).collect();
        }
        None if input.numel() > 0 => {
            ranges = vec![(f64::INFINITY, f64::NEG_INFINITY); d];
            for point in input.to_vec::<f64>()?.chunks_exact(d) {
                for (range, &x) in ranges.iter_mut().zip(point) {
                    // NaN stays, to be complained about.
                    let nan = x.is_nan() || range.0.is_nan();
                    *range = if nan { (f64::NAN, f64::NAN) } else { (range.0.min(x), range.1.max(x)) };
                }
            }
        }
        None => {}
    }
    let mut edges = Vec::new();
    for (i, &(mut low, mut high)) in ranges.iter().enumerate() {
        if !low.is_finite() || !high.is_finite() {
            bail!("torch.histogramdd: dimension {i}'s range [{}, {}] is not finite", show(low), show(high));
        }
        if low > high {
            bail!(
                "torch.histogramdd: min should not exceed max, but got min {} max {} for dimension {i}",
                show(low),
                show(high)
            );
        }
        if low == high {
            (low, high) = (low - 0.5, high + 0.5);
        }
        flambeau_core::check_memory(bins[i] as usize, 2 * size_of::<f64>())?;
        edges.push(linear_edges(low, high, bins[i], input.dtype()));
    }
    Ok(edges)
}

fn edge_tensors(edges: &[Vec<f64>], dtype: DType) -> Result<Vec<Tensor>> {
    edges.iter().map(|e| shape::to_dtype(&Tensor::from_slice(e, &[e.len() as i64])?, dtype)).collect()
}

fn with_equal_bins(
    input: &Tensor,
    bins: &[i64],
    range: Option<&[f64]>,
    weight: Option<&Tensor>,
    density: bool,
) -> Result<(Tensor, Vec<Tensor>)> {
    let d = check(input, bins.len(), weight)?;
    let edges = equal_edges(input, bins, range)?;
    Ok((count(input, d, &edges, weight, density)?, edge_tensors(&edges, input.dtype())?))
}

fn with_edges(
    input: &Tensor,
    bins: &[Tensor],
    weight: Option<&Tensor>,
    density: bool,
) -> Result<(Tensor, Vec<Tensor>)> {
    let d = check(input, bins.len(), weight)?;
    let dtype = input.dtype();
    for (i, b) in bins.iter().enumerate() {
        if b.dtype() != dtype {
            bail!(
                "torch.histogramdd: input tensor and bins tensors should have the same dtype, but got input with dtype {} and bins for dimension {i} with dtype {}",
                float_name(dtype),
                float_name(b.dtype())
            );
        }
        if b.dim() != 1 {
            bail!(
                "torch.histogramdd: bins tensor should have one dimension, but got {} dimensions in the bins tensor for dimension {i}",
                b.dim()
            );
        }
        if b.numel() < 2 {
            bail!("torch.histogram(): bins must be > 0, but got {} for dimension {i}", b.numel() as i64 - 1);
        }
    }
    check_float(dtype)?;
    let edges = bins.iter().map(|b| b.to_vec::<f64>()).collect::<Result<Vec<_>>>()?;
    Ok((count(input, d, &edges, weight, density)?, bins.to_vec()))
}

/// The input of a one-dimensional histogram as points of one coordinate.
fn points(self_: &Tensor, weight: Option<&Tensor>) -> Result<(Tensor, Option<Tensor>)> {
    let input = shape::reshape(&self_.alias(), &[self_.numel() as i64, 1])?;
    let weight = weight.map(|w| shape::reshape(&w.alias(), &[w.numel() as i64])).transpose()?;
    Ok((input, weight))
}

fn one(self_: &Tensor, (hist, edges): (Tensor, Vec<Tensor>)) -> Result<(Tensor, Tensor)> {
    let Some(edges) = edges.into_iter().next() else { bail!("a histogram has edges") };
    unsupported_gradient(&[&hist], "NotImplemented", &[self_], "histogram")?;
    Ok((hist, edges))
}

/// `torch.histogram` between given edges.
pub fn histogram_bins_tensor(
    self_: &Tensor,
    bins: &Tensor,
    weight: Option<&Tensor>,
    density: bool,
) -> Result<(Tensor, Tensor)> {
    let (input, weight) = points(self_, weight)?;
    one(self_, with_edges(&input, std::slice::from_ref(bins), weight.as_ref(), density)?)
}

/// `torch.histogram` with equal bins.
pub fn histogram_bin_ct(
    self_: &Tensor,
    bins: i64,
    range: Option<&[f64]>,
    weight: Option<&Tensor>,
    density: bool,
) -> Result<(Tensor, Tensor)> {
    let (input, weight) = points(self_, weight)?;
    one(self_, with_equal_bins(&input, &[bins], range, weight.as_ref(), density)?)
}

fn not_differentiable(self_: &Tensor, result: (Tensor, Vec<Tensor>)) -> Result<(Tensor, Vec<Tensor>)> {
    unsupported_gradient(&[&result.0], "NotImplemented", &[self_], "_histogramdd_from_bin_cts")?;
    Ok(result)
}

/// `torch.histogramdd` with as many equal bins in each dimension.
pub fn histogramdd_int_bins(
    self_: &Tensor,
    bins: i64,
    range: Option<&[f64]>,
    weight: Option<&Tensor>,
    density: bool,
) -> Result<(Tensor, Vec<Tensor>)> {
    let d = self_.sizes().last().copied().unwrap_or(0);
    // Each dimension has edges and a range of its own.
    flambeau_core::check_memory(d as usize, 256)?;
    histogramdd(self_, &vec![bins; d as usize], range, weight, density)
}

/// `torch.histogramdd` with equal bins.
pub fn histogramdd(
    self_: &Tensor,
    bins: &[i64],
    range: Option<&[f64]>,
    weight: Option<&Tensor>,
    density: bool,
) -> Result<(Tensor, Vec<Tensor>)> {
    not_differentiable(self_, with_equal_bins(&self_.alias(), bins, range, weight, density)?)
}

/// `torch.histogramdd` between given edges; the range has no effect.
pub fn histogramdd_tensor_list_bins(
    self_: &Tensor,
    bins: &[Tensor],
    range: Option<&[f64]>,
    weight: Option<&Tensor>,
    density: bool,
) -> Result<(Tensor, Vec<Tensor>)> {
    let _ = range;
    not_differentiable(self_, with_edges(&self_.alias(), bins, weight, density)?)
}
