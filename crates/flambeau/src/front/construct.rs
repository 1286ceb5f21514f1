//! Tensors from data and from sizes. The last argument of the latter tells dtype and device: `()` for the defaults,
//! `DType::Float64`, `Device::CPU`, or [`TensorOptions`].

use crate::ops::{creation, random};
use crate::schema::TensorOptions;
use crate::{DType, Device, Result, Scalar, Tensor, bf16, f16};
use flambeau_core::{C32, C64, Element, bail};

impl From<()> for TensorOptions {
    fn from(_: ()) -> Self {
        Self::default()
    }
}
impl From<DType> for TensorOptions {
    fn from(dtype: DType) -> Self {
        TensorOptions { dtype: Some(dtype), ..Self::default() }
    }
}
impl From<Device> for TensorOptions {
    fn from(device: Device) -> Self {
        TensorOptions { device: Some(device), ..Self::default() }
    }
}
impl From<(DType, Device)> for TensorOptions {
    fn from((dtype, device): (DType, Device)) -> Self {
        TensorOptions { dtype: Some(dtype), device: Some(device), ..Self::default() }
    }
}

/// Data that [`tensor`] takes: numbers, and arrays, slices and vectors of data.
pub trait TensorData {
    /// The type of the numbers.
    type Element: Element;
    /// Appends the size of each dimension; of rows of different lengths that of the first.
    fn shape(&self, sizes: &mut Vec<i64>);
    /// Appends the numbers in order; fails where a row's length is not that of the first.
    fn elements(&self, sizes: &[i64], out: &mut Vec<Self::Element>) -> Result<()>;
}

macro_rules! numbers { ($($t:ty),*) => { $(
    impl TensorData for $t {
        type Element = $t;
        fn shape(&self, _: &mut Vec<i64>) {}
        fn elements(&self, _: &[i64], out: &mut Vec<$t>) -> Result<()> {
            out.push(*self);
            Ok(())
        }
    }
)* } }
numbers!(bool, u8, i8, i16, i32, i64, u16, u32, u64, f16, bf16, f32, f64, C32, C64);

impl<D: TensorData> TensorData for [D] {
    type Element = D::Element;
    fn shape(&self, sizes: &mut Vec<i64>) {
        sizes.push(self.len() as i64);
        if let Some(first) = self.first() {
            first.shape(sizes);
        }
    }
    fn elements(&self, sizes: &[i64], out: &mut Vec<D::Element>) -> Result<()> {
        let Some((&expected, rest)) = sizes.split_first() else { return Ok(()) };
        if self.len() as i64 != expected {
            bail!(Value, "expected sequence of length {expected} (got {})", self.len());
        }
        self.iter().try_for_each(|row| row.elements(rest, out))
    }
}
impl<D: TensorData, const N: usize> TensorData for [D; N] {
    type Element = D::Element;
    fn shape(&self, sizes: &mut Vec<i64>) {
        self[..].shape(sizes);
    }
    fn elements(&self, sizes: &[i64], out: &mut Vec<D::Element>) -> Result<()> {
        self[..].elements(sizes, out)
    }
}
impl<D: TensorData> TensorData for Vec<D> {
    type Element = D::Element;
    fn shape(&self, sizes: &mut Vec<i64>) {
        self[..].shape(sizes);
    }
    fn elements(&self, sizes: &[i64], out: &mut Vec<D::Element>) -> Result<()> {
        self[..].elements(sizes, out)
    }
}
impl<D: TensorData + ?Sized> TensorData for &D {
    type Element = D::Element;
    fn shape(&self, sizes: &mut Vec<i64>) {
        (**self).shape(sizes);
    }
    fn elements(&self, sizes: &[i64], out: &mut Vec<D::Element>) -> Result<()> {
        (**self).elements(sizes, out)
    }
}

/// A tensor of a number or of nested arrays. The dtype is that of the numbers: `f32` gives `float32`, `i64` gives `int64`.
///
/// ```
/// let t = flambeau::tensor([[1f32, 2.], [3., 4.]])?;
/// assert_eq!(t.to_string(), "tensor([[1., 2.],\n        [3., 4.]])");
/// assert_eq!(flambeau::tensor(vec![vec![1i64, 2], vec![3]]).unwrap_err().message(), "expected sequence of length 2 (got 1)");
/// # Ok::<(), flambeau::Error>(())
/// ```
pub fn tensor<D: TensorData>(data: D) -> Result<Tensor> {
    let mut sizes = Vec::new();
    data.shape(&mut sizes);
    let mut elements = Vec::new();
    data.elements(&sizes, &mut elements)?;
    Tensor::from_slice(&elements, &sizes)
}

/// Zeros.
///
/// ```
/// use flambeau::DType;
/// assert_eq!(flambeau::zeros([2], ())?.to_string(), "tensor([0., 0.])");
/// assert_eq!(flambeau::zeros([2], DType::Int64)?.to_string(), "tensor([0, 0])");
/// # Ok::<(), flambeau::Error>(())
/// ```
pub fn zeros(size: impl AsRef<[i64]>, options: impl Into<TensorOptions>) -> Result<Tensor> {
    creation::zeros(size.as_ref(), &options.into())
}
/// Ones.
pub fn ones(size: impl AsRef<[i64]>, options: impl Into<TensorOptions>) -> Result<Tensor> {
    creation::ones(size.as_ref(), &options.into())
}
/// One value everywhere.
pub fn full(
    size: impl AsRef<[i64]>,
    value: impl Into<Scalar>,
    options: impl Into<TensorOptions>,
) -> Result<Tensor> {
    creation::full(size.as_ref(), value.into(), &options.into())
}
/// The identity matrix of `n` rows.
pub fn eye(n: i64, options: impl Into<TensorOptions>) -> Result<Tensor> {
    creation::eye(n, &options.into())
}
/// The numbers from `start` up to but not including `end`, `step` apart.
///
/// ```
/// assert_eq!(flambeau::arange(0, 3, 1, ())?.to_string(), "tensor([0, 1, 2])");
/// # Ok::<(), flambeau::Error>(())
/// ```
pub fn arange(
    start: impl Into<Scalar>,
    end: impl Into<Scalar>,
    step: impl Into<Scalar>,
    options: impl Into<TensorOptions>,
) -> Result<Tensor> {
    creation::arange_start_step(start.into(), end.into(), step.into(), &options.into())
}
/// `steps` numbers from `start` to `end` at equal distances.
pub fn linspace(
    start: impl Into<Scalar>,
    end: impl Into<Scalar>,
    steps: i64,
    options: impl Into<TensorOptions>,
) -> Result<Tensor> {
    creation::linspace(start.into(), end.into(), steps, &options.into())
}
/// Numbers uniform in [0, 1), from the default generator.
///
/// ```
/// flambeau::manual_seed(0);
/// assert_eq!(flambeau::rand([2], ())?.to_string(), "tensor([0.4963, 0.7682])"); // as PyTorch draws
/// # Ok::<(), flambeau::Error>(())
/// ```
pub fn rand(size: impl AsRef<[i64]>, options: impl Into<TensorOptions>) -> Result<Tensor> {
    random::rand(size.as_ref(), None, &options.into())
}
/// Normal numbers of mean 0 and variance 1, from the default generator.
pub fn randn(size: impl AsRef<[i64]>, options: impl Into<TensorOptions>) -> Result<Tensor> {
    random::randn(size.as_ref(), None, &options.into())
}
/// Integers uniform in [low, high), from the default generator.
pub fn randint(
    low: i64,
    high: i64,
    size: impl AsRef<[i64]>,
    options: impl Into<TensorOptions>,
) -> Result<Tensor> {
    random::randint_low(low, high, size.as_ref(), None, &options.into())
}
/// The integers below `n` in random order, from the default generator.
pub fn randperm(n: i64, options: impl Into<TensorOptions>) -> Result<Tensor> {
    random::randperm(n, None, &options.into())
}

impl Tensor {
    /// A copy with memory of its own and with history, `torch.clone`. (`clone` copies the handle.)
    ///
    /// ```
    /// let x = flambeau::zeros([2], ())?;
    /// let (same, copy) = (x.clone(), x.deep_clone()?);
    /// x.add_scalar_(1)?;
    /// assert_eq!(same.to_string(), "tensor([1., 1.])");
    /// assert_eq!(copy.to_string(), "tensor([0., 0.])");
    /// # Ok::<(), flambeau::Error>(())
    /// ```
    pub fn deep_clone(&self) -> Result<Tensor> {
        crate::ops::shape::clone(self, None)
    }
}
