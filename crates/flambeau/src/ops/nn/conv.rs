//! Convolutions over one to three spatial dimensions and their adjoints.
//!
//! All of them are one bilinear operator of input and weight. Its gradients are convolutions again: the input's is the
//! adjoint convolution, the weight's a third bilinear operator whose own gradients are the first two.

use crate::Tensor;
use crate::autograd::{GradMode, Save, record};
use crate::ops::dense::{Dense, computed};
use crate::ops::reduce::{self, conj};
use crate::ops::{common_device, join, shape};
use flambeau_core::{DType, Dims, Result, bail, dispatch, show};
use flambeau_cpu::conv::{self, ConvShape};
use smallvec::smallvec;

/// How a convolution steps; each list has one value for each spatial dimension.
#[derive(Clone, Debug)]
struct Steps {
    stride: Dims,
    padding: Dims,
    dilation: Dims,
    output_padding: Dims,
    groups: i64,
    transposed: bool,
}

fn unsigned(values: &[i64]) -> Result<Vec<usize>> {
    values
        .iter()
        .map(|&x| match usize::try_from(x) {
            Ok(x) => Ok(x),
            Err(_) => bail!("convolution: negative size {x}"),
        })
        .collect()
}

fn join_sizes(sizes: &[i64]) -> String {
    sizes.iter().map(|x| x.to_string()).collect::<Vec<_>>().join(" x ")
}

/// One value for each spatial dimension.
fn per_dimension(values: &[i64], dims: usize, name: &str) -> Result<Dims> {
    match values.len() {
        1 => Ok(smallvec![values[0]; dims]),
        n if n == dims => Ok(values.into()),
        _ => bail!(
            "expected {name} to be a single integer value or a list of {dims} values to match the convolution dimensions, but got {name}={}",
            show(values)
        ),
    }
}

impl Steps {
    /// The kernel's view of sizes that are known to fit: `input` and `weight` as the operator sees them.
    fn shape(&self, input: &[i64], weight: &[i64]) -> Result<ConvShape> {
        let (x, w) = (unsigned(input)?, unsigned(weight)?);
        let (stride, padding) = (unsigned(&self.stride)?, unsigned(&self.padding)?);
        let (dilation, extra) = (unsigned(&self.dilation)?, unsigned(&self.output_padding)?);
        let groups = usize::try_from(self.groups).unwrap_or(0);
        if self.transposed {
            let Some(outs) = w[1].checked_mul(groups) else { bail!("convolution: sizes overflow") };
            ConvShape::transposed(
                x[0],
                x[1],
                outs,
                groups,
                &x[2..],
                &w[2..],
                &stride,
                &padding,
                &extra,
                &dilation,
            )
        } else {
            ConvShape::new(x[0], x[1], w[0], groups, &x[2..], &w[2..], &stride, &padding, &dilation)
        }
    }

    fn output_sizes(&self, s: &ConvShape) -> Dims {
        let (channels, sizes) = if self.transposed { (s.c_in, s.input) } else { (s.c_out, s.output) };
        let batch = [s.batch as i64, channels as i64];
        batch.into_iter().chain(sizes[3 - s.dims..].iter().map(|&x| x as i64)).collect()
    }
}

/// The size of a convolution's output along one dimension if it is transposed, which may be negative.
fn transposed_size(steps: &Steps, d: usize, size: i64, kernel: i64) -> Option<i64> {
    let reach = kernel.checked_sub(1)?.checked_mul(steps.dilation[d])?;
    let far = size.checked_sub(1)?.checked_mul(steps.stride[d])?.checked_add(reach)?.checked_add(1)?;
    far.checked_sub(steps.padding[d].checked_mul(2)?)?.checked_add(steps.output_padding[d])
}

fn check_steps(steps: &Steps) -> Result<()> {
    if steps.padding.iter().any(|&x| x < 0) {
        bail!("negative padding is not supported");
    }
    if steps.output_padding.iter().any(|&x| x < 0) {
        bail!("negative output_padding is not supported");
    }
    if steps.stride.iter().any(|&x| x <= 0) {
        bail!("non-positive stride is not supported");
    }
    if steps.dilation.iter().any(|&x| x <= 0) {
        bail!("dilation should be greater than zero, but got {}", show(&steps.dilation));
    }
    if steps.groups <= 0 {
        bail!("non-positive groups is not supported");
    }
    Ok(())
}

/// Fails unless a batched input has as many dimensions as the weight.
fn check_ranks(input: &Tensor, weight: &Tensor) -> Result<()> {
    if input.dim() != weight.dim() {
        bail!(
            "Expected {0}-dimensional input for {0}-dimensional weight{1}, but got {2}-dimensional input of size {3} instead",
            weight.dim(),
            show(&weight.sizes()),
            input.dim(),
            show(&input.sizes())
        );
    }
    Ok(())
}

/// Fails, with PyTorch's texts, where the operands don't fit each other. The input is batched.
fn check(input: &Tensor, weight: &Tensor, bias: Option<&Tensor>, steps: &Steps) -> Result<()> {
    check_steps(steps)?;
    let (x, w, groups) = (input.sizes(), weight.sizes(), steps.groups);
    if w[0] < groups {
        bail!(
            "Given groups={groups}, expected weight to be at least {groups} at dimension 0, but got weight of size {} instead",
            show(&w)
        );
    }
    if w[0] % groups != 0 {
        bail!(
            "Given groups={groups}, expected weight to be divisible by {groups} at dimension 0, but got weight of size [{}] instead",
            show(&w)
        );
    }
    let (given, ins, outs) = if steps.transposed {
        ("transposed=1".to_string(), w[0], w[1].saturating_mul(groups))
    } else {
        (format!("groups={groups}"), w[1].saturating_mul(groups), w[0])
    };
    if x[1] != ins {
        bail!(
            "Given {given}, weight of size {}, expected input{} to have {ins} channels, but got {} channels instead",
            show(&w),
            show(&x),
            x[1]
        );
    }
    if let Some(bias) = bias
        && bias.sizes()[..] != [outs]
    {
        bail!(
            "Given {}weight of size {}, expected bias to be 1-dimensional with {outs} elements, but got bias of size {} instead",
            if steps.transposed { "transposed=1, " } else { "" },
            show(&w),
            show(&bias.sizes())
        );
    }
    if steps.transposed {
        check_output_padding(steps)?;
        let dims = w.len() - 2;
        let sizes: Option<Dims> = (0..dims).map(|d| transposed_size(steps, d, x[d + 2], w[d + 2])).collect();
        let Some(sizes) = sizes else { bail!("convolution: sizes overflow") };
        if sizes.iter().any(|&s| s <= 0) {
            bail!(
                "Given input size per channel: ({}). Calculated output size per channel: ({}). Output size is too small",
                join_sizes(&x[2..]),
                join_sizes(&sizes)
            );
        }
    }
    common_device(&[input, weight])?;
    Ok(())
}

fn check_output_padding(steps: &Steps) -> Result<()> {
    let bad = |d: usize| steps.output_padding[d] >= steps.stride[d].max(steps.dilation[d]);
    if !(0..steps.stride.len()).any(bad) {
        return Ok(());
    }
    let names: &[&str] =
        if steps.stride.len() == 3 { &["depth", "height", "width"] } else { &["height", "width"] };
    let list = |what: &str, values: &[i64], fill: i64| -> String {
        // One dimension is reported as the width of an image of height 1.
        let values = std::iter::repeat_n(&fill, names.len() - values.len()).chain(values);
        names.iter().zip(values).map(|(name, x)| format!("{what}_{name}: {x}")).collect::<Vec<_>>().join(" ")
    };
    bail!(
        "output padding must be smaller than either stride or dilation, but got {} {} {}",
        list("output_padding", &steps.output_padding, 0),
        list("stride", &steps.stride, 1),
        list("dilation", &steps.dilation, 1)
    )
}

fn c_name(dtype: DType) -> String {
    match dtype {
        DType::Float16 => "c10::Half".into(),
        DType::BFloat16 => "c10::BFloat16".into(),
        DType::Complex64 => "c10::complex<float>".into(),
        DType::Complex128 => "c10::complex<double>".into(),
        _ => dtype.cpp_name().to_lowercase(),
    }
}

fn check_dtypes(input: &Tensor, weight: &Tensor, bias: Option<&Tensor>, dims: usize) -> Result<()> {
    let dtype = input.dtype();
    if let Some(bias) = bias
        && bias.dtype() != dtype
    {
        bail!("Input type ({}) and bias type ({}) should be the same", c_name(dtype), c_name(bias.dtype()));
    }
    if weight.dtype() != dtype {
        bail!("expected scalar type {} but found {}", dtype.cpp_name(), weight.dtype().cpp_name());
    }
    if matches!(dtype, DType::Bool | DType::UInt16 | DType::UInt32 | DType::UInt64) {
        let name = if dims == 3 { "slow_conv3d_cpu" } else { "slow_conv2d_cpu" };
        bail!(NotImplemented, "\"{name}\" not implemented for '{}'", dtype.cpp_name());
    }
    Ok(())
}

/// Any convolution of a batched input; the operands were checked.
fn convolve(input: &Tensor, weight: &Tensor, bias: Option<&Tensor>, steps: &Steps) -> Result<Tensor> {
    let s = steps.shape(&input.sizes(), &weight.sizes())?;
    let (sizes, dtype) = (steps.output_sizes(&s), input.dtype());
    let transposed = steps.transposed;
    let out = if input.is_meta() {
        Tensor::empty_raw(&sizes, dtype, input.device())?
    } else {
        let _guard = GradMode::no_grad();
        dispatch!(compute dtype, T => {
            let (x, w) = (Dense::<T>::of(input)?, Dense::<T>::of(weight)?);
            let b = bias.map(Dense::<T>::of).transpose()?;
            computed::<T>(&sizes, dtype, |out| {
                if transposed {
                    conv::grad_input(&s, &x, &w, out)?;
                    b.as_ref().map_or(Ok(()), |b| conv::add_bias(b, s.input_plane(), out))
                } else {
                    conv::forward(&s, &x, &w, b.as_deref(), out)
                }
            })?
        })
    };
    // Volumes of double precision have no channels-last kernels in PyTorch.
    let out = if sizes.len() == 5 && dtype == DType::Float64 {
        out
    } else {
        shape::in_format_of(out, &[input, weight])?
    };
    let mut inputs = vec![input, weight];
    inputs.extend(bias);
    let (steps, biased) = (steps.clone(), bias.is_some());
    let saves = [Save::Input(input), Save::Input(weight)];
    record(&[&out], "ConvolutionBackward0", &inputs, &saves, move |ctx| {
        let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None; 2 + biased as usize]) };
        let (x, w) = (ctx.saved(0)?, ctx.saved(1)?);
        let mut grads = smallvec![None, None];
        if ctx.needs(0) {
            grads[0] = Some(input_gradient(grad, &conj(&w)?, &x.sizes(), &steps)?);
        }
        if ctx.needs(1) {
            grads[1] = Some(weight_gradient(grad, &conj(&x)?, &w.sizes(), &steps)?);
        }
        if biased {
            let others: Dims = (0..grad.dim() as i64).filter(|&d| d != 1).collect();
            grads.push(match ctx.needs(2) {
                true => Some(reduce::sum_dim(grad, Some(&others), false, None)?),
                false => None,
            });
        }
        ctx.connected("ConvolutionBackwardBackward0", grads)
    })?;
    Ok(out)
}

/// The adjoint of a convolution in its input, of sizes `sizes`.
fn input_gradient(grad: &Tensor, weight: &Tensor, sizes: &[i64], steps: &Steps) -> Result<Tensor> {
    let dims = sizes.len() - 2;
    let mut adjoint = Steps { transposed: !steps.transposed, ..steps.clone() };
    adjoint.output_padding = smallvec![0; dims];
    if steps.transposed {
        let mut out = convolve(grad, weight, None, &adjoint)?;
        // With an output padding beyond the stride there are windows that no input element has made.
        for d in 2..sizes.len() {
            if out.sizes()[d] > sizes[d] {
                out = shape::narrow(&out, d as i64, 0, sizes[d])?;
            }
        }
        return Ok(out);
    }
    let (g, w) = (grad.sizes(), weight.sizes());
    for d in 0..dims {
        let Some(least) = transposed_size(&adjoint, d, g[d + 2], w[d + 2]) else {
            bail!("convolution: sizes overflow")
        };
        adjoint.output_padding[d] = sizes[d + 2] - least;
    }
    if g.iter().chain(sizes).any(|&n| n == 0) {
        // Nothing to add up; the transposed convolution of such sizes is not defined.
        return Tensor::zeros_raw(sizes, grad.dtype(), grad.device());
    }
    convolve(grad, weight, None, &adjoint)
}

/// The adjoint of a convolution in its weight, of sizes `sizes`: bilinear in `grad` and `input`.
fn weight_gradient(grad: &Tensor, input: &Tensor, sizes: &[i64], steps: &Steps) -> Result<Tensor> {
    let (s, dtype) = (steps.shape(&input.sizes(), sizes)?, input.dtype());
    let out = if grad.is_meta() {
        Tensor::empty_raw(sizes, dtype, grad.device())?
    } else {
        let _guard = GradMode::no_grad();
        let (outer, inner) = if steps.transposed { (input, grad) } else { (grad, input) };
        dispatch!(compute dtype, T => {
            let (g, x) = (Dense::<T>::of(outer)?, Dense::<T>::of(inner)?);
            computed::<T>(sizes, dtype, |out| conv::grad_weight(&s, &g, &x, out))?
        })
    };
    let steps = steps.clone();
    let saves = [Save::Input(grad), Save::Input(input)];
    record(&[&out], "ConvolutionBackwardBackward0", &[grad, input], &saves, move |ctx| {
        let Some(weight) = ctx.grad(0) else { return Ok(smallvec![None, None]) };
        let (grad, input) = (ctx.saved(0)?, ctx.saved(1)?);
        let mut grads = smallvec![None, None];
        if ctx.needs(0) {
            grads[0] = Some(convolve(&conj(&input)?, weight, None, &steps)?);
        }
        if ctx.needs(1) {
            grads[1] = Some(input_gradient(&conj(&grad)?, weight, &input.sizes(), &steps)?);
        }
        Ok(grads)
    })?;
    Ok(out)
}

/// Checks the rank of `input`, gives it a batch dimension if it has none, and runs `compute` on it.
fn batched(
    input: &Tensor,
    dims: usize,
    name: &str,
    compute: impl FnOnce(&Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    match input.dim() {
        n if n == dims + 2 => compute(input),
        n if n == dims + 1 => shape::squeeze_dim(&compute(&shape::unsqueeze(input, 0)?)?, 0),
        _ => bail!(
            "Expected {}D (unbatched) or {}D (batched) input to {name}, but got input of size: {}",
            dims + 1,
            dims + 2,
            show(&input.sizes())
        ),
    }
}

/// The number of spatial dimensions of a weight, which the steps have to match.
fn spatial_dims(weight: &Tensor) -> Result<usize> {
    match weight.dim() {
        n @ 3..=5 => Ok(n - 2),
        _ => bail!("weight should have at least three dimensions"),
    }
}

/// `conv1d`, `conv2d`, `conv3d`: the cross-correlation of `(n, c_in, …)` with `(c_out, c_in / groups, kernel…)`.
fn plain(
    name: &str,
    dims: usize,
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: &[i64],
    padding: &[i64],
    dilation: &[i64],
    groups: i64,
) -> Result<Tensor> {
    batched(input, dims, name, |input| {
        let k = spatial_dims(weight)?;
        check_ranks(input, weight)?;
        let steps = Steps {
            stride: per_dimension(stride, k, "stride")?,
            padding: per_dimension(padding, k, "padding")?,
            dilation: per_dimension(dilation, k, "dilation")?,
            output_padding: smallvec![0; k],
            groups,
            transposed: false,
        };
        check(input, weight, bias, &steps)?;
        check_dtypes(input, weight, bias, k)?;
        convolve(input, weight, bias, &steps)
    })
}

/// A convolution with `padding` `'valid'` (none) or `'same'` (the output is as large as the input).
fn padded(
    name: &str,
    dims: usize,
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: &[i64],
    padding: &str,
    dilation: &[i64],
    groups: i64,
) -> Result<Tensor> {
    match padding {
        "valid" => return plain(name, dims, input, weight, bias, stride, &[0], dilation, groups),
        "same" => {}
        _ => bail!("Invalid padding string: '{padding}'"),
    }
    if stride.iter().any(|&s| s != 1) {
        bail!("padding='same' is not supported for strided convolutions");
    }
    let k = spatial_dims(weight)?;
    let (dilation, w) = (per_dimension(dilation, k, "dilation")?, weight.sizes());
    if dilation.iter().any(|&d| d <= 0) {
        bail!("dilation should be greater than zero, but got {}", show(&dilation));
    }
    let totals: Dims = (0..k).map(|d| dilation[d].saturating_mul((w[d + 2] - 1).max(0))).collect();
    let even: Dims = totals.iter().map(|t| t / 2).collect();
    batched(input, dims, name, |input| {
        let mut x = input.clone();
        if input.dim() == w.len() && totals.iter().any(|t| t % 2 != 0) {
            crate::warn(
                "Using padding='same' with even kernel lengths and odd dilation may require a zero-padded copy of the input be created",
            );
            for (d, _) in totals.iter().enumerate().filter(|(_, t)| *t % 2 != 0) {
                let mut sizes = x.sizes();
                sizes[d + 2] = 1;
                let zeros = Tensor::zeros_raw(&sizes, x.dtype(), x.device())?;
                x = join::cat(&[x, zeros], d as i64 + 2)?;
            }
        }
        plain(name, dims, &x, weight, bias, &[1], &even, &dilation, groups)
    })
}

/// `conv_transpose1d` and others: the adjoint of the cross-correlation; weight is `(c_in, c_out / groups, kernel…)`.
fn adjoint(
    name: &str,
    dims: usize,
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    [stride, padding, output_padding, dilation]: [&[i64]; 4],
    groups: i64,
) -> Result<Tensor> {
    batched(input, dims, name, |input| {
        let k = spatial_dims(weight)?;
        check_ranks(input, weight)?;
        let steps = Steps {
            stride: per_dimension(stride, k, "stride")?,
            padding: per_dimension(padding, k, "padding")?,
            dilation: per_dimension(dilation, k, "dilation")?,
            output_padding: per_dimension(output_padding, k, "output_padding")?,
            groups,
            transposed: true,
        };
        check(input, weight, bias, &steps)?;
        check_dtypes(input, weight, bias, k)?;
        convolve(input, weight, bias, &steps)
    })
}

macro_rules! convolutions {
    ($($dims:literal $name:ident($padding:ty) $run:ident;)*) => { $(
        #[doc = concat!("`torch.", stringify!($name), "`")]
        pub fn $name(
            input: &Tensor,
            weight: &Tensor,
            bias: Option<&Tensor>,
            stride: &[i64],
            padding: $padding,
            dilation: &[i64],
            groups: i64,
        ) -> Result<Tensor> {
            $run(stringify!($name), $dims, input, weight, bias, stride, padding, dilation, groups)
        }
    )* };
}
convolutions! {
    1 conv1d(&[i64]) plain;
    2 conv2d(&[i64]) plain;
    3 conv3d(&[i64]) plain;
    1 conv1d_padding(&str) padded;
    2 conv2d_padding(&str) padded;
    3 conv3d_padding(&str) padded;
}

macro_rules! adjoints {
    ($($dims:literal $name:ident;)*) => { $(
        #[doc = concat!("`torch.", stringify!($name), "`")]
        pub fn $name(
            input: &Tensor,
            weight: &Tensor,
            bias: Option<&Tensor>,
            stride: &[i64],
            padding: &[i64],
            output_padding: &[i64],
            groups: i64,
            dilation: &[i64],
        ) -> Result<Tensor> {
            let steps = [stride, padding, output_padding, dilation];
            adjoint(stringify!($name), $dims, input, weight, bias, steps, groups)
        }
    )* };
}
adjoints! {
    1 conv_transpose1d;
    2 conv_transpose2d;
    3 conv_transpose3d;
}

/// `torch.convolution`: any of the convolutions of a batched input.
pub fn convolution(
    input: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    stride: &[i64],
    padding: &[i64],
    dilation: &[i64],
    transposed: bool,
    output_padding: &[i64],
    groups: i64,
) -> Result<Tensor> {
    let dims = spatial_dims(weight)?;
    check_ranks(input, weight)?;
    if transposed {
        return adjoint(
            "convolution",
            dims,
            input,
            weight,
            bias,
            [stride, padding, output_padding, dilation],
            groups,
        );
    }
    plain("convolution", dims, input, weight, bias, stride, padding, dilation, groups)
}

/// `torch.conv_tbc`: the cross-correlation of `(time, batch, c_in)` with `(kernel, c_in, c_out)`.
pub fn conv_tbc(self_: &Tensor, weight: &Tensor, bias: &Tensor, pad: i64) -> Result<Tensor> {
    let (x, w) = (self_.sizes(), weight.sizes());
    if x.len() != 3 {
        bail!("Input must have 3 dims: time, batch, in_channel");
    }
    if w.len() != 3 {
        bail!("Weight tensor must have 3 dims: kernel_width, in_channels, out_channels.");
    }
    if bias.dim() != 1 {
        bail!("Bias must be 1-D");
    }
    if x[2] != w[1] {
        bail!("Input dim 2 (input channels) is not == dim 1 in the weight tensor");
    }
    if bias.sizes()[0] != w[2] {
        bail!("Bias size must equal dim 2 in the weight tensor (output channels).");
    }
    let (lines, kernel) = (shape::permute(self_, &[1, 2, 0])?, shape::permute(weight, &[2, 1, 0])?);
    shape::permute(&conv1d(&lines, &kernel, Some(bias), &[1], &[pad], &[1], 1)?, &[2, 0, 1])
}
