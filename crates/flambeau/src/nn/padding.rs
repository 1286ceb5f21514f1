//! Layers that pad the last dimensions.

use super::module::{Forward, Module};
use super::repr::Python;
use crate::ops::pad;
use crate::{Result, Tensor};
use flambeau_core::bail;

/// How much is added on each side of the last dimensions: one number for all, or a pair for each dimension, the last
/// dimension's first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sides {
    All(i64),
    Each(Vec<i64>),
}
impl From<i64> for Sides {
    fn from(n: i64) -> Self {
        Sides::All(n)
    }
}
impl<const M: usize> From<[i64; M]> for Sides {
    fn from(list: [i64; M]) -> Self {
        Sides::Each(list.to_vec())
    }
}
impl Sides {
    /// The pairs of `dims` dimensions.
    fn pairs(self, dims: usize) -> Result<Vec<i64>> {
        match self {
            Sides::All(n) => Ok(vec![n; 2 * dims]),
            Sides::Each(list) if list.len() == 2 * dims => Ok(list),
            Sides::Each(list) => {
                bail!(Value, "padding of {dims} dimensions takes {} numbers, got {}", 2 * dims, list.len())
            }
        }
    }
}

/// One kind of padding a line: its name, how it is printed, its mode, the names for 1 to 3 dimensions.
macro_rules! paddings { ($($(#[$doc:meta])* $name:ident $text:literal $mode:literal $one:ident $two:ident $three:ident;)*) => { $(
    $(#[$doc])*
    #[derive(Clone, Debug, Module)]
    #[module(name = format!($text, N), extra_repr = self.padding[..].python())]
    pub struct $name<const N: usize> {
        #[module(skip)]
        pub padding: Vec<i64>,
    }
    paddings!(@types $name $one $two $three);
    impl<const N: usize> $name<N> {
        pub fn new(padding: impl Into<Sides>) -> Result<Self> {
            Ok($name { padding: padding.into().pairs(N)? })
        }
    }
    impl<const N: usize> Forward for $name<N> {
        fn forward(&self, input: &Tensor) -> Result<Tensor> {
            pad::pad(input, &self.padding, $mode, None)
        }
    }
)* };
    (@types $name:ident $one:ident $two:ident $three:ident) => {
        #[doc = concat!("[`", stringify!($name), "`] of `(N, C, L)` or `(C, L)`.")]
        pub type $one = $name<1>;
        #[doc = concat!("[`", stringify!($name), "`] of `(N, C, H, W)` or `(C, H, W)`.")]
        pub type $two = $name<2>;
        #[doc = concat!("[`", stringify!($name), "`] of `(N, C, D, H, W)` or `(C, D, H, W)`.")]
        pub type $three = $name<3>;
    };
}
paddings! {
    /// Pads with zeros.
    ZeroPad "ZeroPad{}d" "constant" ZeroPad1d ZeroPad2d ZeroPad3d;
    /// Pads with the input reflected at its edges.
    ///
    /// ```
    /// use flambeau::nn::{Forward, ReflectionPad1d};
    /// let pad = ReflectionPad1d::new([2, 1])?;
    /// assert_eq!(pad.to_string(), "ReflectionPad1d((2, 1))");
    /// let x = flambeau::tensor([[[1f32, 2., 3.]]])?;
    /// assert_eq!(pad.forward(&x)?.to_string(), "tensor([[[3., 2., 1., 2., 3., 2.]]])");
    /// # Ok::<(), flambeau::Error>(())
    /// ```
    ReflectionPad "ReflectionPad{}d" "reflect" ReflectionPad1d ReflectionPad2d ReflectionPad3d;
    /// Pads with the elements at the edges.
    ReplicationPad "ReplicationPad{}d" "replicate" ReplicationPad1d ReplicationPad2d ReplicationPad3d;
    /// Pads with the input's other end.
    CircularPad "CircularPad{}d" "circular" CircularPad1d CircularPad2d CircularPad3d;
}

/// Pads with a value.
#[derive(Clone, Debug, Module)]
#[module(name = format!("ConstantPad{N}d"), extra_repr = format!("padding={}, value={}", self.padding[..].python(), self.value.python()))]
pub struct ConstantPad<const N: usize> {
    #[module(skip)]
    pub padding: Vec<i64>,
    pub value: f64,
}
paddings!(@types ConstantPad ConstantPad1d ConstantPad2d ConstantPad3d);
impl<const N: usize> ConstantPad<N> {
    pub fn new(padding: impl Into<Sides>, value: f64) -> Result<Self> {
        Ok(ConstantPad { padding: padding.into().pairs(N)?, value })
    }
}
impl<const N: usize> Forward for ConstantPad<N> {
    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        pad::pad(input, &self.padding, "constant", Some(self.value))
    }
}
