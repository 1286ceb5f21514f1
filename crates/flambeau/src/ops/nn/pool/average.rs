//! Average pooling.

use super::windows::{Windows, axes, output_sizes};
use super::{as_image, check_dtype, check_line, from_image, one_int, pooled};
use crate::Tensor;
use crate::autograd::record;
use crate::ops::shape;
use flambeau_core::{DType, Result, bail, show};
use flambeau_cpu::pool;
use smallvec::smallvec;

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
        self.windows.check()?;
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

    fn twice(&self) -> &'static str {
        if self.dims == 2 { "AvgPool2DBackwardBackward0" } else { "AvgPool3DBackwardBackward0" }
    }

    fn forward(&self, input: &Tensor) -> Result<Tensor> {
        let sizes = input.sizes();
        let s = self.windows.shape(&sizes)?;
        let to = output_sizes(&s, &sizes, self.dims);
        let (include, divisor) = (self.count_include_pad, self.divisor);
        let out = pooled!(input => &to, |x, out| pool::avg_pool(&s, &x, include, divisor, out));
        let out = if self.dims == 2 { shape::in_format_of(out, &[input])? } else { out };
        let this = self.clone();
        let name = if self.dims == 2 { "AvgPool2DBackward0" } else { "AvgPool3DBackward0" };
        record(&[&out], name, &[input], &[], move |ctx| {
            let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
            ctx.connected(this.twice(), smallvec![Some(this.backward(grad, &sizes)?)])
        })?;
        Ok(out)
    }

    /// The adjoint of `forward` for inputs of `sizes`.
    fn backward(&self, grad: &Tensor, sizes: &[i64]) -> Result<Tensor> {
        let s = self.windows.shape(sizes)?;
        let (include, divisor) = (self.count_include_pad, self.divisor);
        let out = pooled!(grad => sizes, |x, out| pool::avg_pool_backward(&s, &x, include, divisor, out));
        let this = self.clone();
        record(&[&out], self.twice(), &[grad], &[], move |ctx| {
            let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
            Ok(smallvec![Some(this.forward(grad)?)])
        })?;
        Ok(out)
    }
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
