//! Pooling.

use super::module::{Forward, Module};
use super::repr::Python;
use super::size::Size;
use crate::ops::nn::pool;
use crate::{Result, Tensor};
use flambeau_core::bail;

fn dimensions<T>(n: usize) -> Result<T> {
    bail!("pooling has 1, 2 or 3 dimensions, got {n}")
}

/// Settings of [`MaxPool`]; the stride is by default the kernel's size.
#[derive(Clone, Copy, Debug)]
pub struct MaxPoolOptions<const N: usize> {
    pub stride: Option<Size<N>>,
    pub padding: Size<N>,
    pub dilation: Size<N>,
    pub ceil_mode: bool,
}
impl<const N: usize> Default for MaxPoolOptions<N> {
    fn default() -> Self {
        MaxPoolOptions { stride: None, padding: 0.into(), dilation: 1.into(), ceil_mode: false }
    }
}

/// The maxima of windows over the last `N` dimensions.
///
/// ```
/// use flambeau::nn::{Forward, MaxPool2d};
/// let pool = MaxPool2d::new(2);
/// assert_eq!(pool.to_string(), "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)");
/// let y = pool.forward(&flambeau::arange(0., 16., 1, ())?.view(&[1, 1, 4, 4])?)?;
/// assert_eq!(y.to_string(), "tensor([[[[ 5.,  7.],\n          [13., 15.]]]])");
/// # Ok::<(), flambeau::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Module)]
#[module(name = format!("MaxPool{N}d"), extra_repr = self.describe())]
pub struct MaxPool<const N: usize> {
    #[module(skip)]
    pub kernel_size: Size<N>,
    #[module(skip)]
    pub options: MaxPoolOptions<N>,
}
/// The maxima of windows over `(N, C, L)`.
pub type MaxPool1d = MaxPool<1>;
/// The maxima of windows over `(N, C, H, W)`.
pub type MaxPool2d = MaxPool<2>;
/// The maxima of windows over `(N, C, D, H, W)`.
pub type MaxPool3d = MaxPool<3>;

impl<const N: usize> MaxPool<N> {
    pub fn new(kernel_size: impl Into<Size<N>>) -> Self {
        Self::with(kernel_size, MaxPoolOptions::default())
    }
    pub fn with(kernel_size: impl Into<Size<N>>, options: MaxPoolOptions<N>) -> Self {
        MaxPool { kernel_size: kernel_size.into(), options }
    }
    fn describe(&self) -> String {
        let o = &self.options;
        format!(
            "kernel_size={}, stride={}, padding={}, dilation={}, ceil_mode={}",
            self.kernel_size.python(),
            o.stride.unwrap_or(self.kernel_size).python(),
            o.padding.python(),
            o.dilation.python(),
            o.ceil_mode.python()
        )
    }
}
impl<const N: usize> Forward for MaxPool<N> {
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let o = &self.options;
        let kernel = self.kernel_size.each();
        let (stride, padding) = (o.stride.unwrap_or(self.kernel_size).each(), o.padding.each());
        let pool = match N {
            1 => pool::max_pool1d,
            2 => pool::max_pool2d,
            3 => pool::max_pool3d,
            _ => return dimensions(N),
        };
        pool(input, &kernel, &stride, &padding, &o.dilation.each(), o.ceil_mode)
    }
}

impl<const N: usize> MaxPool<N> {
    /// The maxima and their positions, for [`MaxUnpool`].
    pub fn forward_with_indices(&self, input: &Tensor) -> Result<(Tensor, Tensor)> {
        let o = &self.options;
        let kernel = self.kernel_size.each();
        let (stride, padding) = (o.stride.unwrap_or(self.kernel_size).each(), o.padding.each());
        let pool = match N {
            1 => pool::max_pool1d_with_indices,
            2 => pool::max_pool2d_with_indices,
            3 => pool::max_pool3d_with_indices,
            _ => return dimensions(N),
        };
        pool(input, &kernel, &stride, &padding, &o.dilation.each(), o.ceil_mode)
    }
}

/// Puts pooled values back at the positions where [`MaxPool`] found them, among zeros.
///
/// ```
/// use flambeau::nn::{MaxPool1d, MaxUnpool1d};
/// let x = flambeau::tensor([[[1f32, 4., 3., 2.]]])?;
/// let (largest, places) = MaxPool1d::new(2).forward_with_indices(&x)?;
/// let back = MaxUnpool1d::new(2).forward(&largest, &places, None)?;
/// assert_eq!(back.to_string(), "tensor([[[0., 4., 3., 0.]]])");
/// # Ok::<(), flambeau::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Module)]
#[module(name = format!("MaxUnpool{N}d"), extra_repr = self.describe())]
pub struct MaxUnpool<const N: usize> {
    #[module(skip)]
    pub kernel_size: Size<N>,
    /// By default the kernel's size.
    #[module(skip)]
    pub stride: Option<Size<N>>,
    #[module(skip)]
    pub padding: Size<N>,
}
/// Of `(N, C, L)` or `(C, L)`.
pub type MaxUnpool1d = MaxUnpool<1>;
/// Of `(N, C, H, W)` or `(C, H, W)`.
pub type MaxUnpool2d = MaxUnpool<2>;
/// Of `(N, C, D, H, W)` or `(C, D, H, W)`.
pub type MaxUnpool3d = MaxUnpool<3>;

impl<const N: usize> MaxUnpool<N> {
    pub fn new(kernel_size: impl Into<Size<N>>) -> Self {
        MaxUnpool { kernel_size: kernel_size.into(), stride: None, padding: 0.into() }
    }
    fn describe(&self) -> String {
        let stride = self.stride.unwrap_or(self.kernel_size);
        let text = |size: Size<N>| size.each()[..].python();
        format!(
            "kernel_size={}, stride={}, padding={}",
            text(self.kernel_size),
            text(stride),
            text(self.padding)
        )
    }
    /// `output_size` tells which of the possible sizes is meant, by default the smallest.
    pub fn forward(&self, input: &Tensor, indices: &Tensor, output_size: Option<[i64; N]>) -> Result<Tensor> {
        let rank = input.dim();
        if rank != N + 1 && rank != N + 2 {
            bail!("expected an input of {} or {} dimensions, got {rank}", N + 1, N + 2);
        }
        let (kernel, padding) = (self.kernel_size.each(), self.padding.each());
        let stride = self.stride.unwrap_or(self.kernel_size).each();
        let sizes = input.sizes();
        let least: [i64; N] =
            std::array::from_fn(|i| (sizes[rank - N + i] - 1) * stride[i] + kernel[i] - 2 * padding[i]);
        let to = output_size.unwrap_or(least);
        for i in 0..N {
            let (low, high) = (least[i] - stride[i], least[i] + stride[i]);
            if !(low < to[i] && to[i] < high) {
                bail!(
                    Value,
                    "invalid output_size {} (dim {i} must be between {low} and {high})",
                    to[..].python()
                );
            }
        }
        match N {
            1 => {
                let planes = [input.unsqueeze(-1)?, indices.unsqueeze(-1)?];
                pool::max_unpool2d(&planes[0], &planes[1], &[to[0], 1])?.squeeze_dim(-1)
            }
            2 => pool::max_unpool2d(input, indices, &to),
            3 => pool::max_unpool3d(input, indices, &to, &stride, &padding),
            _ => dimensions(N),
        }
    }
}

/// Settings of [`AvgPool`]; the stride is by default the kernel's size.
#[derive(Clone, Copy, Debug)]
pub struct AvgPoolOptions<const N: usize> {
    pub stride: Option<Size<N>>,
    pub padding: Size<N>,
    pub ceil_mode: bool,
    /// Whether padding counts in the means.
    pub count_include_pad: bool,
}
impl<const N: usize> Default for AvgPoolOptions<N> {
    fn default() -> Self {
        AvgPoolOptions { stride: None, padding: 0.into(), ceil_mode: false, count_include_pad: true }
    }
}

/// The means of windows over the last `N` dimensions.
#[derive(Clone, Copy, Debug, Module)]
#[module(name = format!("AvgPool{N}d"), extra_repr = self.describe())]
pub struct AvgPool<const N: usize> {
    #[module(skip)]
    pub kernel_size: Size<N>,
    #[module(skip)]
    pub options: AvgPoolOptions<N>,
}
/// The means of windows over `(N, C, L)`.
pub type AvgPool1d = AvgPool<1>;
/// The means of windows over `(N, C, H, W)`.
pub type AvgPool2d = AvgPool<2>;
/// The means of windows over `(N, C, D, H, W)`.
pub type AvgPool3d = AvgPool<3>;

impl<const N: usize> AvgPool<N> {
    pub fn new(kernel_size: impl Into<Size<N>>) -> Self {
        Self::with(kernel_size, AvgPoolOptions::default())
    }
    pub fn with(kernel_size: impl Into<Size<N>>, options: AvgPoolOptions<N>) -> Self {
        AvgPool { kernel_size: kernel_size.into(), options }
    }
    fn describe(&self) -> String {
        let stride = self.options.stride.unwrap_or(self.kernel_size);
        // PyTorch keeps the sizes of one dimension as tuples.
        let text = |size: Size<N>| if N == 1 { size.each()[..].python() } else { size.python() };
        format!(
            "kernel_size={}, stride={}, padding={}",
            text(self.kernel_size),
            text(stride),
            text(self.options.padding)
        )
    }
}
impl<const N: usize> Forward for AvgPool<N> {
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let o = &self.options;
        let kernel = self.kernel_size.each();
        let (stride, padding) = (o.stride.unwrap_or(self.kernel_size).each(), o.padding.each());
        let (ceil, count) = (o.ceil_mode, o.count_include_pad);
        match N {
            1 => pool::avg_pool1d(input, &kernel, &stride, &padding, ceil, count),
            2 => pool::avg_pool2d(input, &kernel, &stride, &padding, ceil, count, None),
            3 => pool::avg_pool3d(input, &kernel, &stride, &padding, ceil, count, None),
            _ => dimensions(N),
        }
    }
}

/// The two kinds of pooling to a given size.
macro_rules! adaptive {
    ($(#[$doc:meta])* $name:ident, $text:literal, $one:ident, $two:ident, $three:ident, |$x:ident, $to:ident| $($n:literal => $f:expr),*) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Module)]
        #[module(name = format!($text, N), extra_repr = format!("output_size={}", self.output_size.python()))]
        pub struct $name<const N: usize> {
            #[module(skip)]
            pub output_size: Size<N>,
        }
        #[doc = concat!("[`", stringify!($name), "`] over `(N, C, L)`.")]
        pub type $one = $name<1>;
        #[doc = concat!("[`", stringify!($name), "`] over `(N, C, H, W)`.")]
        pub type $two = $name<2>;
        #[doc = concat!("[`", stringify!($name), "`] over `(N, C, D, H, W)`.")]
        pub type $three = $name<3>;
        impl<const N: usize> $name<N> {
            pub fn new(output_size: impl Into<Size<N>>) -> Self {
                $name { output_size: output_size.into() }
            }
        }
        impl<const N: usize> Forward for $name<N> {
            fn forward(&self, $x: &Tensor) -> Result<Tensor> {
                let $to = &self.output_size.each();
                match N {
                    $($n => $f,)*
                    _ => dimensions(N),
                }
            }
        }
    };
}
adaptive!(
    /// The means of as many windows as asked for, which cover the last `N` dimensions.
    AdaptiveAvgPool, "AdaptiveAvgPool{}d", AdaptiveAvgPool1d, AdaptiveAvgPool2d, AdaptiveAvgPool3d, |x, to|
    1 => pool::adaptive_avg_pool1d(x, to), 2 => pool::adaptive_avg_pool2d(x, to), 3 => pool::adaptive_avg_pool3d(x, to)
);
adaptive!(
    /// The maxima of as many windows as asked for, which cover the last `N` dimensions.
    AdaptiveMaxPool, "AdaptiveMaxPool{}d", AdaptiveMaxPool1d, AdaptiveMaxPool2d, AdaptiveMaxPool3d, |x, to|
    1 => Ok(pool::adaptive_max_pool1d(x, to)?.0), 2 => Ok(pool::adaptive_max_pool2d(x, to)?.0),
    3 => Ok(pool::adaptive_max_pool3d(x, to)?.0)
);

/// The `p`-norms of windows over the last `N` dimensions.
#[derive(Clone, Copy, Debug, Module)]
#[module(name = format!("LPPool{N}d"), extra_repr = self.describe())]
pub struct LPPool<const N: usize> {
    pub norm_type: f64,
    #[module(skip)]
    pub kernel_size: Size<N>,
    /// By default the kernel's size.
    #[module(skip)]
    pub stride: Option<Size<N>>,
    pub ceil_mode: bool,
}
/// The norms of windows over `(N, C, L)`.
pub type LPPool1d = LPPool<1>;
/// The norms of windows over `(N, C, H, W)`.
pub type LPPool2d = LPPool<2>;
/// The norms of windows over `(N, C, D, H, W)`.
pub type LPPool3d = LPPool<3>;

impl<const N: usize> LPPool<N> {
    pub fn new(norm_type: f64, kernel_size: impl Into<Size<N>>) -> Self {
        LPPool { norm_type, kernel_size: kernel_size.into(), stride: None, ceil_mode: false }
    }
    fn describe(&self) -> String {
        let stride = self.stride.map_or("None".into(), |stride| stride.python());
        let (norm, kernel) = (self.norm_type.python(), self.kernel_size.python());
        format!(
            "norm_type={norm}, kernel_size={kernel}, stride={stride}, ceil_mode={}",
            self.ceil_mode.python()
        )
    }
}
impl<const N: usize> Forward for LPPool<N> {
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let options =
            AvgPoolOptions { stride: self.stride, ceil_mode: self.ceil_mode, ..AvgPoolOptions::default() };
        let means = AvgPool::with(self.kernel_size, options).forward(&input.pow_scalar(self.norm_type)?)?;
        let count: i64 = self.kernel_size.each().iter().product();
        // A negative sum counts as zero.
        means.sign()?.mul(&means.abs()?.relu()?)?.mul_scalar(count)?.pow_scalar(1.0 / self.norm_type)
    }
}
