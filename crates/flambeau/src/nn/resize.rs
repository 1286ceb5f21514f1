//! Layers that resize and rearrange images, and distances.

use super::functional as F;
use super::functional::InterpolateOptions;
use super::module::{Forward, Module};
use super::repr::Python;
use super::size::Size;
use crate::ops::{distance, rearrange};
use crate::{Result, Tensor};

/// Resizes `(N, C, ...)` to a size or by a factor.
///
/// ```
/// use flambeau::nn::{Forward, Upsample};
/// let twice = Upsample::scale(2.0);
/// assert_eq!(twice.to_string(), "Upsample(scale_factor=2.0, mode='nearest')");
/// let x = flambeau::tensor([[[1f32, 2.]]])?;
/// assert_eq!(twice.forward(&x)?.to_string(), "tensor([[[1., 1., 2., 2.]]])");
/// # Ok::<(), flambeau::Error>(())
/// ```
#[derive(Clone, Debug, Module)]
#[module(extra_repr = self.describe())]
pub struct Upsample {
    #[module(skip)]
    pub options: InterpolateOptions,
}
impl Upsample {
    /// By one factor along all dimensions, with mode "nearest".
    pub fn scale(factor: f64) -> Upsample {
        Upsample::with(InterpolateOptions { scale_factor: Some(vec![factor]), ..Default::default() })
    }
    pub fn with(options: InterpolateOptions) -> Upsample {
        Upsample { options }
    }
    fn describe(&self) -> String {
        let o = &self.options;
        let list = |texts: Vec<String>| match &texts[..] {
            [one] => one.clone(),
            many => format!("({})", many.join(", ")),
        };
        let extent = match (&o.scale_factor, &o.size) {
            (Some(scale), _) => format!("scale_factor={}", list(scale.iter().map(Python::python).collect())),
            (None, Some(size)) => format!("size={}", list(size.iter().map(Python::python).collect())),
            (None, None) => "size=None".into(),
        };
        format!("{extent}, mode={}", o.mode.python())
    }
}
impl Forward for Upsample {
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        F::interpolate(input, &self.options)
    }
}

/// One rearrangement a line: its name, its number, its function.
macro_rules! rearrangements { ($($(#[$doc:meta])* $name:ident $field:ident $function:path;)*) => { $(
    $(#[$doc])*
    #[derive(Clone, Copy, Debug, Module)]
    #[module(extra_repr = format!(concat!(stringify!($field), "={}"), self.$field))]
    pub struct $name {
        pub $field: i64,
    }
    impl $name {
        pub fn new($field: i64) -> $name {
            $name { $field }
        }
    }
    impl Forward for $name {
        fn forward(&self, input: &Tensor) -> Result<Tensor> {
            $function(input, self.$field)
        }
    }
)* } }
rearrangements! {
    /// Channels as pixels: `(N, C r^2, H, W)` to `(N, C, H r, W r)` (Shi et al. 2016).
    PixelShuffle upscale_factor rearrange::pixel_shuffle;
    /// Pixels as channels, the inverse of [`PixelShuffle`].
    PixelUnshuffle downscale_factor rearrange::pixel_unshuffle;
    /// Deals the channels to groups in turn.
    ChannelShuffle groups rearrange::channel_shuffle;
}

/// Sliding windows of `(N, C, H, W)` as columns `(N, C * kernel, windows)`.
#[derive(Clone, Copy, Debug, Module)]
#[module(extra_repr = format!("kernel_size={}, dilation={}, padding={}, stride={}", self.kernel_size.python(), self.dilation.python(), self.padding.python(), self.stride.python()))]
pub struct Unfold {
    #[module(skip)]
    pub kernel_size: Size<2>,
    #[module(skip)]
    pub dilation: Size<2>,
    #[module(skip)]
    pub padding: Size<2>,
    #[module(skip)]
    pub stride: Size<2>,
}
impl Unfold {
    /// In steps of 1, without padding.
    pub fn new(kernel_size: impl Into<Size<2>>) -> Unfold {
        Unfold { kernel_size: kernel_size.into(), dilation: 1.into(), padding: 0.into(), stride: 1.into() }
    }
}
impl Forward for Unfold {
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let [k, d, p, s] = [self.kernel_size, self.dilation, self.padding, self.stride].map(Size::each);
        rearrange::im2col(input, &k, &d, &p, &s)
    }
}

/// The sum of columns `(N, C * kernel, windows)` in the places of their windows, `(N, C, H, W)`.
#[derive(Clone, Copy, Debug, Module)]
#[module(extra_repr = format!("output_size={}, kernel_size={}, dilation={}, padding={}, stride={}", self.output_size.python(), self.windows.kernel_size.python(), self.windows.dilation.python(), self.windows.padding.python(), self.windows.stride.python()))]
pub struct Fold {
    #[module(skip)]
    pub output_size: Size<2>,
    #[module(skip)]
    pub windows: Unfold,
}
impl Fold {
    pub fn new(output_size: impl Into<Size<2>>, windows: Unfold) -> Fold {
        Fold { output_size: output_size.into(), windows }
    }
}
impl Forward for Fold {
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let w = &self.windows;
        let [k, d, p, s] = [w.kernel_size, w.dilation, w.padding, w.stride].map(Size::each);
        rearrange::col2im(input, &self.output_size.each(), &k, &d, &p, &s)
    }
}

/// The cosine of the angle between vectors along a dimension.
#[derive(Clone, Copy, Debug, Module)]
pub struct CosineSimilarity {
    pub dim: i64,
    pub eps: f64,
}
impl Default for CosineSimilarity {
    fn default() -> Self {
        CosineSimilarity { dim: 1, eps: 1e-8 }
    }
}
impl CosineSimilarity {
    pub fn forward(&self, x1: &Tensor, x2: &Tensor) -> Result<Tensor> {
        distance::cosine_similarity(x1, x2, self.dim, self.eps)
    }
}

/// The `p`-norm of the difference of vectors along the last dimension.
#[derive(Clone, Copy, Debug, Module)]
pub struct PairwiseDistance {
    pub p: f64,
    pub eps: f64,
    pub keepdim: bool,
}
impl Default for PairwiseDistance {
    fn default() -> Self {
        PairwiseDistance { p: 2.0, eps: 1e-6, keepdim: false }
    }
}
impl PairwiseDistance {
    pub fn forward(&self, x1: &Tensor, x2: &Tensor) -> Result<Tensor> {
        distance::pairwise_distance(x1, x2, self.p, self.eps, self.keepdim)
    }
}
