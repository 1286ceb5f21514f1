//! Pooling over one to three spatial dimensions.
//!
//! Every backward is a linear operator that is recorded with its own adjoint: averages and their adjoints, and the
//! pair that reads and adds at the positions of maxima.

use crate::Tensor;
use crate::autograd::{GradMode, Save, record};
use crate::ops::{reduce, shape};
use flambeau_core::{DType, Dims, Element, Result, bail, show};
use flambeau_cpu::pool::{self, PoolElement, PoolShape};
use smallvec::smallvec;

/// Runs the body with `T` the type that a real dtype is pooled in.
macro_rules! pooled {
    ($dtype:expr, $T:ident => $body:expr) => {
        match $dtype.compute() {
            DType::Float32 => {
                type $T = f32;
                $body
            }
            DType::Float64 => {
                type $T = f64;
                $body
            }
            _ => {
                type $T = i64;
                $body
            }
        }
    };
}

const COUNT: [&str; 4] = ["zero", "one", "two", "three"];

fn unsigned(values: &[i64]) -> Result<Vec<usize>> {
    values
        .iter()
        .map(|&x| match usize::try_from(x) {
            Ok(x) => Ok(x),
            Err(_) => bail!("pooling: negative size {x}"),
        })
        .collect()
}

/// The values that a kernel writes, as a tensor of dtype `dtype`.
fn computed<T: PoolElement + Element>(
    sizes: &[i64],
    dtype: DType,
    run: impl FnOnce(&mut [T]) -> Result<()>,
) -> Result<Tensor> {
    let mut out = vec![T::ZERO; product(sizes)?];
    run(&mut out)?;
    shape::to_dtype(&Tensor::from_slice(&out, sizes)?, dtype)
}

fn product(sizes: &[i64]) -> Result<usize> {
    let total = sizes.iter().try_fold(1usize, |n, &x| n.checked_mul(usize::try_from(x).ok()?));
    match total.filter(|&n| n <= isize::MAX as usize / 16) {
        Some(n) => Ok(n),
        None => bail!("pooling: an output of sizes {} is too large", show(sizes)),
    }
}

fn check_dtype(name: &str, dtype: DType, allowed: impl Fn(DType) -> bool) -> Result<()> {
    if !allowed(dtype) {
        bail!(NotImplemented, "\"{name}\" not implemented for '{}'", dtype.cpp_name());
    }
    Ok(())
}

/// The sizes before the last `dims`, followed by `spatial`.
fn with_spatial(sizes: &[i64], dims: usize, spatial: &[usize]) -> Dims {
    sizes[..sizes.len() - dims].iter().copied().chain(spatial.iter().map(|&x| x as i64)).collect()
}

fn planes(sizes: &[i64], dims: usize) -> usize {
    sizes[..sizes.len() - dims].iter().product::<i64>() as usize
}

// Positions of maxima

fn selection_name(dims: usize) -> &'static str {
    if dims == 2 { "MaxPool2DWithIndicesBackwardBackward0" } else { "MaxPool3DWithIndicesBackwardBackward0" }
}

/// Adds each element of `grad` to zeros of `sizes` at its index into the plane.
fn scatter(grad: &Tensor, indices: &Tensor, sizes: &[i64], dims: usize) -> Result<Tensor> {
    let dtype = grad.dtype();
    let out = if grad.is_meta() {
        Tensor::empty_raw(sizes, dtype, grad.device())?
    } else {
        let _guard = GradMode::no_grad();
        let (planes, plane) = (planes(sizes, dims), product(&sizes[sizes.len() - dims..])?);
        let windows = product(&grad.sizes()[sizes.len() - dims..])?;
        let places = indices.to_vec::<i64>()?;
        pooled!(dtype, T => {
            let from = grad.to_vec::<T>()?;
            computed::<T>(sizes, dtype, |out| pool::max_pool_backward(planes, plane, windows, &from, &places, out))?
        })
    };
    record(&[&out], selection_name(dims), &[grad], &[Save::Input(indices)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        Ok(smallvec![Some(take(grad, &ctx.saved(0)?, dims)?)])
    })?;
    Ok(out)
}

/// For each index the element of `x`'s plane there: the adjoint of [`scatter`].
fn take(x: &Tensor, indices: &Tensor, dims: usize) -> Result<Tensor> {
    let (dtype, sizes, from) = (x.dtype(), indices.sizes(), x.sizes());
    let out = if x.is_meta() {
        Tensor::empty_raw(&sizes, dtype, x.device())?
    } else {
        let _guard = GradMode::no_grad();
        let (planes, windows) = (planes(&sizes, dims), product(&sizes[sizes.len() - dims..])?);
        let spatial = unsigned(&from[from.len() - dims..])?;
        let places = indices.to_vec::<i64>()?;
        pooled!(dtype, T => {
            let values = x.to_vec::<T>()?;
            computed::<T>(&sizes, dtype, |out| {
                pool::max_unpool_backward(planes, windows, &spatial, &values, &places, out)
            })?
        })
    };
    record(&[&out], selection_name(dims), &[x], &[Save::Input(indices)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        Ok(smallvec![Some(scatter(grad, &ctx.saved(0)?, &from, dims)?)])
    })?;
    Ok(out)
}

/// Records the maxima at `indices` of `input`.
fn record_maxima(
    values: &Tensor,
    indices: &Tensor,
    input: &Tensor,
    dims: usize,
    name: &'static str,
) -> Result<()> {
    let sizes = input.sizes();
    record(&[values], name, &[input], &[Save::Input(indices)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        Ok(smallvec![Some(scatter(grad, &ctx.saved(0)?, &sizes, dims)?)])
    })
}

// Windows

/// The windows of a pooling as they were asked for, one value for each spatial dimension.
#[derive(Clone)]
struct Windows {
    kernel: Dims,
    stride: Dims,
    padding: Dims,
    dilation: Dims,
    ceil_mode: bool,
}

impl Windows {
    fn new(
        name: &str,
        dims: usize,
        kernel: &[i64],
        stride: &[i64],
        padding: &[i64],
        dilation: &[i64],
        ceil_mode: bool,
    ) -> Result<Windows> {
        let fit = |values: &[i64], text: &str| -> Result<Dims> {
            match values.len() {
                1 => Ok(smallvec![values[0]; dims]),
                n if n == dims => Ok(values.into()),
                _ => bail!("{name}: {text}, or a tuple of {} ints", COUNT[dims]),
            }
        };
        let either = if name == "avg_pool3d" { "must be" } else { "must either be" };
        let kernel = fit(kernel, &format!("kernel_size {either} a single int"))?;
        let stride = match stride {
            [] => kernel.clone(),
            _ => fit(stride, "stride must either be omitted, a single int").map_err(|e| {
                // The three-dimensional average words it its own way.
                match name {
                    "avg_pool3d" => flambeau_core::Error::runtime(
                        "avg_pool3d: stride must be omitted, a single int, or a tuple of three ints",
                    ),
                    _ => e,
                }
            })?,
        };
        let padding = fit(padding, &format!("padding {either} a single int"))?;
        let dilation = fit(dilation, "dilation must be either a single int")?;
        Ok(Windows { kernel, stride, padding, dilation, ceil_mode })
    }

    /// The kernel's shape for an input of these sizes; errors name the channels, not the planes.
    fn shape(&self, sizes: &[i64]) -> Result<PoolShape> {
        let dims = self.kernel.len();
        if self.stride.contains(&0) {
            bail!("stride should not be zero");
        }
        if self.kernel.iter().any(|&k| k <= 0) {
            bail!("kernel size should be greater than zero, but got {}", axes("k", &self.kernel));
        }
        if self.stride.iter().any(|&s| s <= 0) {
            bail!("stride should be greater than zero, but got {}", axes("d", &self.stride));
        }
        if self.dilation.iter().any(|&d| d <= 0) {
            bail!("dilation should be greater than zero, but got {}", axes("dilation", &self.dilation));
        }
        if let Some(bad) = self.padding.iter().find(|&&p| p < 0) {
            bail!("pad must be non-negative, but got pad: {bad}");
        }
        let spatial = unsigned(&sizes[sizes.len() - dims..])?;
        let [kernel, stride, padding, dilation] =
            [&self.kernel, &self.stride, &self.padding, &self.dilation].map(|v| unsigned(v));
        let (kernel, stride, padding, dilation) = (kernel?, stride?, padding?, dilation?);
        let make =
            |planes| PoolShape::new(planes, &spatial, &kernel, &stride, &padding, &dilation, self.ceil_mode);
        make(sizes[sizes.len() - dims - 1] as usize)?;
        make(planes(sizes, dims))
    }
}

fn axes(prefix: &str, values: &[i64]) -> String {
    let names = &["T", "H", "W"][3 - values.len().min(3)..];
    names.iter().zip(values).map(|(n, v)| format!("{prefix}{n}: {v}")).collect::<Vec<_>>().join(" ")
}

fn output_sizes(s: &PoolShape, sizes: &[i64], dims: usize) -> Dims {
    with_spatial(sizes, dims, &s.output[3 - dims..])
}

/// The largest elements of windows and their positions in the plane.
fn maxima(name: &str, dims: usize, input: &Tensor, windows: &Windows) -> Result<(Tensor, Tensor)> {
    let (sizes, dtype) = (input.sizes(), input.dtype());
    if sizes.len() != dims + 1 && sizes.len() != dims + 2 {
        bail!("non-empty {}D or {}D (batch mode) tensor expected for input", dims + 1, dims + 2);
    }
    let s = windows.shape(&sizes)?;
    let first = sizes.len() - dims - 1;
    if let Some(empty) = (first..sizes.len()).find(|&d| sizes[d] == 0) {
        if dims == 2 {
            bail!(
                "Expected 3D or 4D (batch mode) tensor with optional 0 dim batch size for input, but got:{}",
                show(&sizes)
            );
        }
        bail!(
            "max_pool3d_with_indices_out_cpu_template(): Expected input to have non-zero size for non-batch dimensions, but input has sizes {} with dimension {empty} being empty",
            show(&sizes)
        );
    }
    check_dtype(name, dtype, |d| !d.is_complex() && !unpoolable(d))?;
    let to = output_sizes(&s, &sizes, dims);
    let (values, indices) = if input.is_meta() {
        (
            Tensor::empty_raw(&to, dtype, input.device())?,
            Tensor::empty_raw(&to, DType::Int64, input.device())?,
        )
    } else {
        let _guard = GradMode::no_grad();
        let mut places = vec![0i64; product(&to)?];
        let values = pooled!(dtype, T => {
            let from = input.to_vec::<T>()?;
            computed::<T>(&to, dtype, |out| pool::max_pool(&s, &from, out, Some(&mut places)))?
        });
        (values, Tensor::from_slice(&places, &to)?)
    };
    let name = if dims == 2 { "MaxPool2DWithIndicesBackward0" } else { "MaxPool3DWithIndicesBackward0" };
    record_maxima(&values, &indices, input, dims, name)?;
    Ok((values, indices))
}

fn unpoolable(dtype: DType) -> bool {
    matches!(dtype, DType::Bool | DType::UInt16 | DType::UInt32 | DType::UInt64)
}

/// A pooling of one dimension as one of images of height 1.
fn as_image<R>(input: &Tensor, pool: impl FnOnce(&Tensor) -> Result<R>) -> Result<R> {
    pool(&shape::unsqueeze(input, -2)?)
}

fn from_image(out: &Tensor) -> Result<Tensor> {
    shape::squeeze_dim(out, -2)
}

fn max_line(
    input: &Tensor,
    kernel: &[i64],
    stride: &[i64],
    padding: &[i64],
    dilation: &[i64],
    ceil_mode: bool,
) -> Result<(Tensor, Tensor)> {
    let sizes = input.sizes();
    let empty = sizes.len() > 1 && sizes[sizes.len() - 2..].contains(&0);
    if !(2..=3).contains(&sizes.len()) || empty {
        bail!(
            "max_pool1d: Expected 2D or 3D (batch mode) tensor with optional 0 dim batch size for input, but got:{}",
            show(&sizes)
        );
    }
    let one = |values: &[i64], name: &str| -> Result<i64> {
        match values {
            [value] => Ok(*value),
            _ => bail!(
                "max_pool1d() {name} must be an int, list of ints or tuple of ints of size 1 but got size {}",
                values.len()
            ),
        }
    };
    let k = one(kernel, "kernel_size")?;
    let s = if stride.is_empty() { k } else { one(stride, "stride")? };
    let (p, d) = (one(padding, "padding")?, one(dilation, "dilation")?);
    for (value, name) in [(k, "kernel_size"), (s, "stride")] {
        if value <= 0 {
            bail!("max_pool1d() {name} must be greater than zero, but got {value}");
        }
    }
    if p < 0 {
        bail!("max_pool1d() padding must be non-negative, but got {p}");
    }
    if p > k / 2 {
        bail!(
            "max_pool1d() padding should be at most half of kernel size, but got padding={p} and kernel_size={k}"
        );
    }
    if d <= 0 {
        bail!("max_pool1d() dilation must be greater than zero, but got {d}");
    }
    let length = sizes[sizes.len() - 1];
    let reach = (k - 1).checked_mul(d).and_then(|r| r.checked_add(1));
    let Some(room) = reach.and_then(|r| p.checked_mul(2)?.checked_add(length)?.checked_sub(r)) else {
        bail!("max_pool1d() sizes overflow");
    };
    if room < 0 && !(ceil_mode && room.saturating_add(s - 1) >= 0) {
        bail!("max_pool1d() Invalid computed output size: {}", room.div_euclid(s) + 1);
    }
    check_dtype("max_pool1d_impl", input.dtype(), |d| d.is_floating_point())?;
    as_image(input, |image| {
        let windows = Windows::new("max_pool2d", 2, &[1, k], &[1, s], &[0, p], &[1, d], ceil_mode)?;
        let (values, indices) = maxima("max_pool2d", 2, image, &windows)?;
        Ok((from_image(&values)?, from_image(&indices)?))
    })
}

/// `torch.max_pool1d`
pub fn max_pool1d(
    self_: &Tensor,
    kernel_size: &[i64],
    stride: &[i64],
    padding: &[i64],
    dilation: &[i64],
    ceil_mode: bool,
) -> Result<Tensor> {
    Ok(max_line(self_, kernel_size, stride, padding, dilation, ceil_mode)?.0)
}
/// `torch.max_pool1d_with_indices`
pub fn max_pool1d_with_indices(
    self_: &Tensor,
    kernel_size: &[i64],
    stride: &[i64],
    padding: &[i64],
    dilation: &[i64],
    ceil_mode: bool,
) -> Result<(Tensor, Tensor)> {
    max_line(self_, kernel_size, stride, padding, dilation, ceil_mode)
}

macro_rules! max_pools {
    ($($dims:literal $name:ident $with_indices:ident;)*) => { $(
        #[doc = concat!("`", stringify!($with_indices), "`: maxima and their positions in the plane.")]
        pub fn $with_indices(
            self_: &Tensor,
            kernel_size: &[i64],
            stride: &[i64],
            padding: &[i64],
            dilation: &[i64],
            ceil_mode: bool,
        ) -> Result<(Tensor, Tensor)> {
            let name = stringify!($name);
            let windows = Windows::new(name, $dims, kernel_size, stride, padding, dilation, ceil_mode)?;
            maxima(name, $dims, self_, &windows)
        }
        #[doc = concat!("`torch.", stringify!($name), "`")]
        pub fn $name(
            self_: &Tensor,
            kernel_size: &[i64],
            stride: &[i64],
            padding: &[i64],
            dilation: &[i64],
            ceil_mode: bool,
        ) -> Result<Tensor> {
            Ok($with_indices(self_, kernel_size, stride, padding, dilation, ceil_mode)?.0)
        }
    )* };
}
max_pools! {
    2 max_pool2d max_pool2d_with_indices;
    3 max_pool3d max_pool3d_with_indices;
}

/// Averages over windows: what divides them, and how many dimensions they have.
#[derive(Clone)]
struct Average {
    dims: usize,
    windows: Windows,
    count_include_pad: bool,
    divisor: Option<i64>,
}

impl Average {
    fn check(&self, input: &Tensor, name: &str) -> Result<()> {
        let (sizes, dims) = (input.sizes(), self.dims);
        if self.divisor == Some(0) {
            bail!("divisor must be not zero");
        }
        if dims == 2 && sizes.len() < 3 {
            let n = sizes.len().max(1) as i64;
            bail!(
                Index,
                "Dimension out of range (expected to be in range of [{}, {}], but got -3)",
                -n,
                n - 1
            );
        }
        if sizes.len() != dims + 1 && sizes.len() != dims + 2 {
            bail!("non-empty {}D or {}D (batch mode) tensor expected for input", dims + 1, dims + 2);
        }
        if sizes[sizes.len() - dims - 1..].contains(&0) {
            if dims == 2 {
                bail!(
                    "Expected 3D or 4D (batch mode) tensor with optional 0 dim batch size for input, but got:{}",
                    show(&sizes)
                );
            }
            bail!(
                "{name}(): Expected input's non-batch dimensions to have positive length, but input has a shape of {} and non-batch dimension has length zero!",
                show(&sizes)
            );
        }
        let s = self.windows.shape(&sizes);
        if dims == 3 {
            let (k, p) = (&self.windows.kernel, &self.windows.padding);
            let spatial = &sizes[sizes.len() - 3..];
            if k.iter().all(|&k| k > 0) && (0..3).any(|d| spatial[d] + 2 * p[d].max(0) < k[d]) {
                bail!("input image ({}) smaller than kernel size ({})", axes("", spatial), { axes("k", k) });
            }
        }
        s?;
        check_dtype(name, input.dtype(), |d| d.is_floating_point() || d == DType::Int64)
    }

    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let (sizes, dtype) = (input.sizes(), input.dtype());
        let s = self.windows.shape(&sizes)?;
        let to = output_sizes(&s, &sizes, self.dims);
        let out = if input.is_meta() {
            Tensor::empty_raw(&to, dtype, input.device())?
        } else {
            let _guard = GradMode::no_grad();
            pooled!(dtype, T => {
                let from = input.to_vec::<T>()?;
                let (include, divisor) = (self.count_include_pad, self.divisor);
                computed::<T>(&to, dtype, |out| pool::avg_pool(&s, &from, include, divisor, out))?
            })
        };
        let this = self.clone();
        let name = if self.dims == 2 { "AvgPool2DBackward0" } else { "AvgPool3DBackward0" };
        record(&[&out], name, &[input], &[], move |ctx| {
            let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
            Ok(smallvec![Some(this.backward(grad, &sizes)?)])
        })?;
        Ok(out)
    }

    /// The adjoint of `forward` for inputs of `sizes`.
    fn backward(&self, grad: &Tensor, sizes: &[i64]) -> Result<Tensor> {
        let dtype = grad.dtype();
        let s = self.windows.shape(sizes)?;
        let out = if grad.is_meta() {
            Tensor::empty_raw(sizes, dtype, grad.device())?
        } else {
            let _guard = GradMode::no_grad();
            pooled!(dtype, T => {
                let from = grad.to_vec::<T>()?;
                let (include, divisor) = (self.count_include_pad, self.divisor);
                computed::<T>(sizes, dtype, |out| pool::avg_pool_backward(&s, &from, include, divisor, out))?
            })
        };
        let this = self.clone();
        let name = if self.dims == 2 { "AvgPool2DBackwardBackward0" } else { "AvgPool3DBackwardBackward0" };
        record(&[&out], name, &[grad], &[], move |ctx| {
            let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
            Ok(smallvec![Some(this.forward(grad)?)])
        })?;
        Ok(out)
    }
}

fn one_int(name: &str, argument: &str, values: &[i64]) -> Result<i64> {
    match values {
        [value] => Ok(*value),
        _ => bail!("{name}() argument '{argument}' should contain one int (got {})", values.len()),
    }
}

fn check_line(name: &str, input: &Tensor) -> Result<()> {
    if !(2..=3).contains(&input.dim()) {
        bail!(
            "Expected 2 to 3 dimensions, but got {}-dimensional tensor for argument #1 'self' (while checking arguments for {name})",
            input.dim()
        );
    }
    Ok(())
}

/// `torch.avg_pool1d`
pub fn avg_pool1d(
    self_: &Tensor,
    kernel_size: &[i64],
    stride: &[i64],
    padding: &[i64],
    ceil_mode: bool,
    count_include_pad: bool,
) -> Result<Tensor> {
    let name = "avg_pool1d";
    let k = one_int(name, "kernel_size", kernel_size)?;
    let s = if stride.is_empty() { k } else { one_int(name, "stride", stride)? };
    let p = one_int(name, "padding", padding)?;
    check_line(name, self_)?;
    from_image(&as_image(self_, |image| {
        avg_pool2d(image, &[1, k], &[1, s], &[0, p], ceil_mode, count_include_pad, None)
    })?)
}

macro_rules! avg_pools {
    ($($dims:literal $name:ident;)*) => { $(
        #[doc = concat!("`torch.nn.functional.", stringify!($name), "`")]
        pub fn $name(
            self_: &Tensor,
            kernel_size: &[i64],
            stride: &[i64],
            padding: &[i64],
            ceil_mode: bool,
            count_include_pad: bool,
            divisor_override: Option<i64>,
        ) -> Result<Tensor> {
            let name = stringify!($name);
            let windows = Windows::new(name, $dims, kernel_size, stride, padding, &[1], ceil_mode)?;
            let average = Average { dims: $dims, windows, count_include_pad, divisor: divisor_override };
            average.check(self_, name)?;
            average.forward(self_)
        }
    )* };
}
avg_pools! {
    2 avg_pool2d;
    3 avg_pool3d;
}

// Adaptive windows

fn check_adaptive(name: &str, dims: usize, input: &Tensor, output: &[i64]) -> Result<Dims> {
    let sizes = input.sizes();
    let colon = if name.contains("max") { ":" } else { "" };
    if sizes.len() != dims + 1 && sizes.len() != dims + 2 {
        bail!("{name}(): Expected {}D or {}D tensor, but got{colon} {}", dims + 1, dims + 2, show(&sizes));
    }
    let output: Dims = match output.len() {
        1 => smallvec![output[0]; dims],
        n if n == dims => output.into(),
        _ => bail!("{name}: output_size must be {dims}"),
    };
    if name.contains("avg") && output.iter().any(|&n| n < 0) {
        let last = if dims == 3 { "," } else { ", " };
        let (head, tail) = output.split_at(dims - 1);
        let head = head.iter().map(|n| n.to_string()).collect::<Vec<_>>().join(", ");
        bail!(
            "{name}: elements of output_size must be greater than or equal to 0 but received {{{head}{last}{}}}",
            tail[0]
        );
    }
    if let Some(empty) = (1..sizes.len()).find(|&d| sizes[d] == 0) {
        bail!(
            "{name}(): Expected input to have non-zero size for non-batch dimensions, but input has sizes {} with dimension {empty} being empty",
            show(&sizes)
        );
    }
    check_dtype(name, input.dtype(), |d| d.is_floating_point())?;
    let to: Dims = sizes[..sizes.len() - dims].iter().chain(&output).copied().collect();
    if output.iter().any(|&n| n < 0) {
        let bad = output.iter().find(|&&n| n < 0).copied().unwrap_or(-1);
        bail!("Trying to create tensor with negative dimension {bad}: {}", show(&to));
    }
    Ok(to)
}

fn adaptive_average(input: &Tensor, to: &[i64], dims: usize) -> Result<Tensor> {
    let (sizes, dtype) = (input.sizes(), input.dtype());
    let out = if input.is_meta() {
        Tensor::empty_raw(to, dtype, input.device())?
    } else {
        let _guard = GradMode::no_grad();
        let first = sizes.len() - dims;
        let (planes, from, onto) =
            (planes(&sizes, dims), unsigned(&sizes[first..])?, unsigned(&to[first..])?);
        pooled!(dtype, T => {
            let values = input.to_vec::<T>()?;
            computed::<T>(to, dtype, |out| pool::adaptive_avg_pool(planes, &from, &onto, &values, out))?
        })
    };
    let name = if dims == 2 { "AdaptiveAvgPool2DBackward0" } else { "AdaptiveAvgPool3DBackward0" };
    record(&[&out], name, &[input], &[], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        Ok(smallvec![Some(adaptive_average_backward(grad, &sizes, dims)?)])
    })?;
    Ok(out)
}

/// The adjoint of the adaptive average of inputs of `sizes`.
fn adaptive_average_backward(grad: &Tensor, sizes: &[i64], dims: usize) -> Result<Tensor> {
    let (to, dtype) = (grad.sizes(), grad.dtype());
    let out = if grad.is_meta() {
        Tensor::empty_raw(sizes, dtype, grad.device())?
    } else {
        let _guard = GradMode::no_grad();
        let first = sizes.len() - dims;
        let (planes, from, onto) = (planes(sizes, dims), unsigned(&sizes[first..])?, unsigned(&to[first..])?);
        pooled!(dtype, T => {
            let values = grad.to_vec::<T>()?;
            computed::<T>(sizes, dtype, |out| {
                pool::adaptive_avg_pool_backward(planes, &from, &onto, &values, out)
            })?
        })
    };
    let name =
        if dims == 2 { "AdaptiveAvgPool2DBackwardBackward0" } else { "AdaptiveAvgPool3DBackwardBackward0" };
    record(&[&out], name, &[grad], &[], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        Ok(smallvec![Some(adaptive_average(grad, &to, dims)?)])
    })?;
    Ok(out)
}

fn adaptive_maxima(name: &str, dims: usize, input: &Tensor, output: &[i64]) -> Result<(Tensor, Tensor)> {
    let to = check_adaptive(name, dims, input, output)?;
    let (sizes, dtype) = (input.sizes(), input.dtype());
    let (values, indices) = if input.is_meta() {
        (
            Tensor::empty_raw(&to, dtype, input.device())?,
            Tensor::empty_raw(&to, DType::Int64, input.device())?,
        )
    } else {
        let _guard = GradMode::no_grad();
        let first = sizes.len() - dims;
        let (planes, from, onto) =
            (planes(&sizes, dims), unsigned(&sizes[first..])?, unsigned(&to[first..])?);
        let mut places = vec![0i64; product(&to)?];
        let values = pooled!(dtype, T => {
            let x = input.to_vec::<T>()?;
            computed::<T>(&to, dtype, |out| pool::adaptive_max_pool(planes, &from, &onto, &x, out, &mut places))?
        });
        (values, Tensor::from_slice(&places, &to)?)
    };
    let name = if dims == 2 { "AdaptiveMaxPool2DBackward0" } else { "AdaptiveMaxPool3DBackward0" };
    record_maxima(&values, &indices, input, dims, name)?;
    Ok((values, indices))
}

/// `torch.adaptive_avg_pool1d`
pub fn adaptive_avg_pool1d(self_: &Tensor, output_size: &[i64]) -> Result<Tensor> {
    let n = one_int("adaptive_avg_pool1d", "output_size", output_size)?;
    check_line("adaptive_avg_pool1d", self_)?;
    from_image(&as_image(self_, |image| adaptive_avg_pool2d(image, &[1, n]))?)
}
/// `torch.adaptive_max_pool1d`: maxima and their positions.
pub fn adaptive_max_pool1d(self_: &Tensor, output_size: &[i64]) -> Result<(Tensor, Tensor)> {
    let n = one_int("adaptive_max_pool1d", "output_size", output_size)?;
    check_line("adaptive_max_pool1d", self_)?;
    let (values, indices) = as_image(self_, |image| adaptive_max_pool2d(image, &[1, n]))?;
    Ok((from_image(&values)?, from_image(&indices)?))
}

macro_rules! adaptive_pools {
    ($($dims:literal $average:ident $max:ident;)*) => { $(
        #[doc = concat!("`torch.nn.functional.", stringify!($average), "`")]
        pub fn $average(self_: &Tensor, output_size: &[i64]) -> Result<Tensor> {
            let to = check_adaptive(stringify!($average), $dims, self_, output_size)?;
            if to[to.len() - $dims..].iter().all(|&n| n == 1) {
                let dims: Dims = (-$dims..0i64).collect();
                return reduce::mean_dim(self_, Some(&dims), true, None);
            }
            adaptive_average(self_, &to, $dims)
        }
        #[doc = concat!("`torch.nn.functional.", stringify!($max), "`: maxima and their positions.")]
        pub fn $max(self_: &Tensor, output_size: &[i64]) -> Result<(Tensor, Tensor)> {
            adaptive_maxima(stringify!($max), $dims, self_, output_size)
        }
    )* };
}
adaptive_pools! {
    2 adaptive_avg_pool2d adaptive_max_pool2d;
    3 adaptive_avg_pool3d adaptive_max_pool3d;
}

// Unpooling

fn unpool(self_: &Tensor, indices: &Tensor, output_size: &[i64], dims: usize) -> Result<Tensor> {
    let (sizes, dtype) = (self_.sizes(), self_.dtype());
    if output_size.len() != dims {
        let names =
            if dims == 2 { "two elements (height, width)" } else { "three elements (depth, height, width)" };
        bail!("There should be exactly {names} in output_size, but got {} elements.", output_size.len());
    }
    if indices.dtype() != DType::Int64 {
        bail!("elements in indices should be type int64 but got: {}", indices.dtype().cpp_name());
    }
    if sizes.len() != dims + 1 && sizes.len() != dims + 2 {
        bail!(
            "Input to max_unpooling{dims}d should be a {}d or {}d Tensor, but got a tensor with {} dimensions.",
            dims + 1,
            dims + 2,
            sizes.len()
        );
    }
    if indices.sizes() != sizes {
        bail!(
            "Expected shape of indices to be same as that of the input tensor ({}) but got indices tensor with shape: {}",
            show(&sizes),
            show(&indices.sizes())
        );
    }
    if let Some(empty) = (1..sizes.len()).find(|&d| sizes[d] == 0) {
        bail!(
            "max_unpooling{dims}d_forward_out_cpu(): Expected input to have non-zero size for non-batch dimensions, but got {} with dimension {empty} being empty.",
            show(&sizes)
        );
    }
    check_dtype(&format!("max_unpool{dims}d"), dtype, |d| d.is_floating_point())?;
    let spatial = unsigned(output_size)?;
    let to = with_spatial(&sizes, dims, &spatial);
    let out = if self_.is_meta() {
        Tensor::empty_raw(&to, dtype, self_.device())?
    } else {
        let _guard = GradMode::no_grad();
        let (planes, plane) = (planes(&sizes, dims), product(&sizes[sizes.len() - dims..])?);
        let places = indices.to_vec::<i64>()?;
        pooled!(dtype, T => {
            let from = self_.to_vec::<T>()?;
            computed::<T>(&to, dtype, |out| pool::max_unpool(planes, plane, &spatial, &from, &places, out))?
        })
    };
    let name = if dims == 2 { "MaxUnpool2DBackward0" } else { "MaxUnpool3DBackward0" };
    record(&[&out], name, &[self_], &[Save::Input(indices)], move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
        Ok(smallvec![Some(take(grad, &ctx.saved(0)?, dims)?)])
    })?;
    Ok(out)
}

/// `torch.nn.functional.max_unpool2d`, given the output size.
pub fn max_unpool2d(self_: &Tensor, indices: &Tensor, output_size: &[i64]) -> Result<Tensor> {
    unpool(self_, indices, output_size, 2)
}

/// `torch.nn.functional.max_unpool3d`, given the output size; `stride` and `padding` are only checked.
pub fn max_unpool3d(
    self_: &Tensor,
    indices: &Tensor,
    output_size: &[i64],
    stride: &[i64],
    padding: &[i64],
) -> Result<Tensor> {
    if stride.len() != 3 {
        bail!(
            "There should be exactly three elements (depth, height, width) in stride, but got: {} elements.",
            stride.len()
        );
    }
    if padding.len() != 3 {
        bail!(
            "There should be exactly three elements (depth, height, width) in padding, but got: {} elements.",
            padding.len()
        );
    }
    if stride.iter().any(|&s| s <= 0) {
        bail!("strides should be greater than zero, but got stride: {}", show(stride));
    }
    unpool(self_, indices, output_size, 3)
}
