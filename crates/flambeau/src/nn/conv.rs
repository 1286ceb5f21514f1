//! Convolutions (cross-correlations, as everywhere in deep learning) and their transposes.

use super::linear::{parameter, parameter_if, tensor_of};
use super::module::{Forward, Module, Parameter};
use super::size::Size;
use super::{functional as F, init, repr::Python};
use crate::ops::{nn::conv as ops, pad};
use crate::schema::TensorOptions;
use crate::{Result, Tensor};
use flambeau_core::bail;

/// How much a convolution's input is padded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding<const N: usize> {
    /// On both sides of each dimension.
    Sides(Size<N>),
    /// Not at all.
    Valid,
    /// So that the output has the input's size.
    Same,
}
impl<const N: usize> From<i64> for Padding<N> {
    fn from(n: i64) -> Self {
        Padding::Sides(n.into())
    }
}
impl<const N: usize> From<[i64; N]> for Padding<N> {
    fn from(list: [i64; N]) -> Self {
        Padding::Sides(list.into())
    }
}

/// What the padding consists of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PaddingMode {
    #[default]
    Zeros,
    Reflect,
    Replicate,
    Circular,
}
impl PaddingMode {
    fn name(self) -> &'static str {
        match self {
            PaddingMode::Zeros => "zeros",
            PaddingMode::Reflect => "reflect",
            PaddingMode::Replicate => "replicate",
            PaddingMode::Circular => "circular",
        }
    }
}

/// Settings of a convolution.
#[derive(Clone, Copy, Debug)]
pub struct ConvOptions<const N: usize> {
    pub stride: Size<N>,
    pub padding: Padding<N>,
    pub dilation: Size<N>,
    pub groups: i64,
    pub bias: bool,
    pub padding_mode: PaddingMode,
    pub tensors: TensorOptions,
}
impl<const N: usize> Default for ConvOptions<N> {
    fn default() -> Self {
        ConvOptions {
            stride: 1.into(),
            padding: 0.into(),
            dilation: 1.into(),
            groups: 1,
            bias: true,
            padding_mode: PaddingMode::Zeros,
            tensors: TensorOptions::default(),
        }
    }
}

/// Convolution over the last `N` dimensions of `(batch, channels, ...)` or `(channels, ...)`; `weight` is
/// `(out_channels, in_channels / groups, kernel...)`.
///
/// ```
/// use flambeau::nn::{Conv2d, ConvOptions, Forward};
/// let conv = Conv2d::with(3, 8, 3, ConvOptions { padding: 1.into(), ..Default::default() })?;
/// assert_eq!(conv.to_string(), "Conv2d(3, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))");
/// assert_eq!(conv.forward(&flambeau::ones([2, 3, 5, 5], ())?)?.sizes()[..], [2, 8, 5, 5]);
/// # Ok::<(), flambeau::Error>(())
/// ```
#[derive(Clone, Debug, Module)]
#[module(name = format!("Conv{N}d"), extra_repr = self.describe())]
pub struct Conv<const N: usize> {
    pub in_channels: i64,
    pub out_channels: i64,
    #[module(skip)]
    pub kernel_size: [i64; N],
    #[module(skip)]
    pub options: ConvOptions<N>,
    pub weight: Parameter,
    pub bias: Option<Parameter>,
}
/// Convolution of `(N, C, L)` or `(C, L)`.
pub type Conv1d = Conv<1>;
/// Convolution of `(N, C, H, W)` or `(C, H, W)`.
pub type Conv2d = Conv<2>;
/// Convolution of `(N, C, D, H, W)` or `(C, D, H, W)`.
pub type Conv3d = Conv<3>;

impl<const N: usize> Conv<N> {
    /// Without padding, in steps of 1.
    pub fn new(in_channels: i64, out_channels: i64, kernel_size: impl Into<Size<N>>) -> Result<Conv<N>> {
        Self::with(in_channels, out_channels, kernel_size, ConvOptions::default())
    }
    pub fn with(
        in_channels: i64,
        out_channels: i64,
        kernel_size: impl Into<Size<N>>,
        options: ConvOptions<N>,
    ) -> Result<Conv<N>> {
        let groups = options.groups;
        if groups <= 0 {
            bail!(Value, "groups must be a positive integer");
        }
        if in_channels % groups != 0 {
            bail!(Value, "in_channels must be divisible by groups");
        }
        if out_channels % groups != 0 {
            bail!(Value, "out_channels must be divisible by groups");
        }
        if options.padding == Padding::Same && options.stride.each() != [1; N] {
            bail!(Value, "padding='same' is not supported for strided convolutions");
        }
        let kernel_size = kernel_size.into().each();
        let sizes: Vec<i64> = [out_channels, in_channels / groups].into_iter().chain(kernel_size).collect();
        let weight = parameter(&sizes, &options.tensors)?;
        let bias = parameter_if(options.bias, &[out_channels], &options.tensors)?;
        init::layer(&weight, tensor_of(&bias))?;
        Ok(Conv { in_channels, out_channels, kernel_size, options, weight, bias })
    }

    /// The padding before and after each dimension.
    fn sides(&self) -> [(i64, i64); N] {
        let dilation = self.options.dilation.each();
        std::array::from_fn(|i| match self.options.padding {
            Padding::Sides(size) => (size.each()[i], size.each()[i]),
            Padding::Valid => (0, 0),
            Padding::Same => {
                let total = dilation[i] * (self.kernel_size[i] - 1);
                (total / 2, total - total / 2)
            }
        })
    }

    fn describe(&self) -> String {
        let o = &self.options;
        let (stride, dilation) = (o.stride.each(), o.dilation.each());
        let mut text = format!(
            "{}, {}, kernel_size={}, stride={}",
            self.in_channels,
            self.out_channels,
            self.kernel_size[..].python(),
            stride[..].python()
        );
        match o.padding {
            Padding::Sides(size) if size.each() != [0; N] => {
                text += &format!(", padding={}", size.each()[..].python())
            }
            Padding::Sides(_) => {}
            Padding::Valid => text += ", padding=valid",
            Padding::Same => text += ", padding=same",
        }
        if dilation != [1; N] {
            text += &format!(", dilation={}", dilation[..].python());
        }
        if o.groups != 1 {
            text += &format!(", groups={}", o.groups);
        }
        if self.bias.is_none() {
            text += ", bias=False";
        }
        if o.padding_mode != PaddingMode::Zeros {
            text += &format!(", padding_mode={}", o.padding_mode.name());
        }
        text
    }
}

impl<const N: usize> Forward for Conv<N> {
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let o = &self.options;
        let (weight, bias) = (&*self.weight, tensor_of(&self.bias));
        let (stride, dilation) = (o.stride.each(), o.dilation.each());
        let sides = self.sides();
        let plain = match N {
            1 => F::conv1d,
            2 => F::conv2d,
            3 => F::conv3d,
            _ => bail!("convolutions have 1, 2 or 3 dimensions, got {N}"),
        };
        if o.padding_mode != PaddingMode::Zeros {
            let amounts: Vec<i64> = sides.iter().rev().flat_map(|&(before, after)| [before, after]).collect();
            let padded = pad::pad(input, &amounts, o.padding_mode.name(), None)?;
            return plain(&padded, weight, bias, &stride, &[0; N], &dilation, o.groups);
        }
        if o.padding == Padding::Same {
            let same = match N {
                1 => ops::conv1d_padding,
                2 => ops::conv2d_padding,
                _ => ops::conv3d_padding,
            };
            return same(input, weight, bias, &stride, "same", &dilation, o.groups);
        }
        let padding = sides.map(|(before, _)| before);
        plain(input, weight, bias, &stride, &padding, &dilation, o.groups)
    }
}

/// Settings of a transposed convolution.
#[derive(Clone, Copy, Debug)]
pub struct ConvTransposeOptions<const N: usize> {
    pub stride: Size<N>,
    pub padding: Size<N>,
    /// What is added to one side of the output.
    pub output_padding: Size<N>,
    pub dilation: Size<N>,
    pub groups: i64,
    pub bias: bool,
    pub tensors: TensorOptions,
}
impl<const N: usize> Default for ConvTransposeOptions<N> {
    fn default() -> Self {
        ConvTransposeOptions {
            stride: 1.into(),
            padding: 0.into(),
            output_padding: 0.into(),
            dilation: 1.into(),
            groups: 1,
            bias: true,
            tensors: TensorOptions::default(),
        }
    }
}

/// The transpose of a convolution over the last `N` dimensions; `weight` is `(in_channels, out_channels / groups, kernel...)`.
///
/// ```
/// use flambeau::nn::{ConvTranspose2d, ConvTransposeOptions, Forward};
/// let options = ConvTransposeOptions { stride: 2.into(), padding: 1.into(), ..Default::default() };
/// let conv = ConvTranspose2d::with(3, 8, 4, options)?;
/// assert_eq!(conv.to_string(), "ConvTranspose2d(3, 8, kernel_size=(4, 4), stride=(2, 2), padding=(1, 1))");
/// assert_eq!(conv.forward(&flambeau::ones([2, 3, 5, 5], ())?)?.sizes()[..], [2, 8, 10, 10]);
/// # Ok::<(), flambeau::Error>(())
/// ```
#[derive(Clone, Debug, Module)]
#[module(name = format!("ConvTranspose{N}d"), extra_repr = self.describe())]
pub struct ConvTranspose<const N: usize> {
    pub in_channels: i64,
    pub out_channels: i64,
    #[module(skip)]
    pub kernel_size: [i64; N],
    #[module(skip)]
    pub options: ConvTransposeOptions<N>,
    pub weight: Parameter,
    pub bias: Option<Parameter>,
}
/// Of `(N, C, L)` or `(C, L)`.
pub type ConvTranspose1d = ConvTranspose<1>;
/// Of `(N, C, H, W)` or `(C, H, W)`.
pub type ConvTranspose2d = ConvTranspose<2>;
/// Of `(N, C, D, H, W)` or `(C, D, H, W)`.
pub type ConvTranspose3d = ConvTranspose<3>;

impl<const N: usize> ConvTranspose<N> {
    /// Without padding, in steps of 1.
    pub fn new(in_channels: i64, out_channels: i64, kernel_size: impl Into<Size<N>>) -> Result<Self> {
        Self::with(in_channels, out_channels, kernel_size, ConvTransposeOptions::default())
    }
    pub fn with(
        in_channels: i64,
        out_channels: i64,
        kernel_size: impl Into<Size<N>>,
        options: ConvTransposeOptions<N>,
    ) -> Result<Self> {
        let groups = options.groups;
        if groups <= 0 {
            bail!(Value, "groups must be a positive integer");
        }
        if in_channels % groups != 0 {
            bail!(Value, "in_channels must be divisible by groups");
        }
        if out_channels % groups != 0 {
            bail!(Value, "out_channels must be divisible by groups");
        }
        let kernel_size = kernel_size.into().each();
        let sizes: Vec<i64> = [in_channels, out_channels / groups].into_iter().chain(kernel_size).collect();
        let weight = parameter(&sizes, &options.tensors)?;
        let bias = parameter_if(options.bias, &[out_channels], &options.tensors)?;
        init::layer(&weight, tensor_of(&bias))?;
        Ok(ConvTranspose { in_channels, out_channels, kernel_size, options, weight, bias })
    }
    fn describe(&self) -> String {
        let o = &self.options;
        let mut text = format!(
            "{}, {}, kernel_size={}, stride={}",
            self.in_channels,
            self.out_channels,
            self.kernel_size[..].python(),
            o.stride.each()[..].python()
        );
        for (name, size, usual) in
            [("padding", o.padding, 0), ("dilation", o.dilation, 1), ("output_padding", o.output_padding, 0)]
        {
            if size.each() != [usual; N] {
                text += &format!(", {name}={}", size.each()[..].python());
            }
        }
        if o.groups != 1 {
            text += &format!(", groups={}", o.groups);
        }
        if self.bias.is_none() {
            text += ", bias=False";
        }
        text
    }
}
impl<const N: usize> Forward for ConvTranspose<N> {
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let o = &self.options;
        let transposed = match N {
            1 => F::conv_transpose1d,
            2 => F::conv_transpose2d,
            3 => F::conv_transpose3d,
            _ => bail!("convolutions have 1, 2 or 3 dimensions, got {N}"),
        };
        let [stride, padding, more, dilation] =
            [o.stride, o.padding, o.output_padding, o.dilation].map(Size::each);
        transposed(input, &self.weight, tensor_of(&self.bias), &stride, &padding, &more, o.groups, &dilation)
    }
}
