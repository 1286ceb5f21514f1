//! The windows of a pooling and what may be asked of them.

use super::{COUNT, planes, unsigned, with_spatial};
use flambeau_core::{Dims, Result, bail};
use flambeau_cpu::pool::PoolShape;
use smallvec::smallvec;

/// The windows of a pooling as they were asked for, one value for each spatial dimension.
#[derive(Clone)]
pub(super) struct Windows {
    pub(super) kernel: Dims,
    pub(super) stride: Dims,
    pub(super) padding: Dims,
    dilation: Dims,
    ceil_mode: bool,
}

impl Windows {
    pub(super) fn new(
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

    /// Fails where the windows make no sense for any input.
    pub(super) fn check(&self) -> Result<()> {
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
        for ((&k, &p), &d) in self.kernel.iter().zip(&self.padding).zip(&self.dilation) {
            let Some(reach) = (k - 1).checked_mul(d).and_then(|r| r.checked_add(1)) else {
                bail!("effective kernel size overflows, but got kernel_size={k} and dilation={d}");
            };
            if p > reach / 2 {
                bail!(
                    "pad should be at most half of effective kernel size, but got pad={p}, kernel_size={k} and dilation={d}"
                );
            }
        }
        Ok(())
    }

    /// The kernel's shape for an input of these sizes; errors name the channels, not the planes.
    pub(super) fn shape(&self, sizes: &[i64]) -> Result<PoolShape> {
        self.check()?;
        let dims = self.kernel.len();
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

pub(super) fn axes(prefix: &str, values: &[i64]) -> String {
    let names = &["T", "H", "W"][3 - values.len().min(3)..];
    names.iter().zip(values).map(|(n, v)| format!("{prefix}{n}: {v}")).collect::<Vec<_>>().join(" ")
}

pub(super) fn output_sizes(s: &PoolShape, sizes: &[i64], dims: usize) -> Dims {
    with_spatial(sizes, dims, &s.output[3 - dims..])
}
