//! Pooling and resampling over one to three spatial dimensions of contiguous slices.
//!
//! Tensors are `planes` (batch times channels) of one spatial volume each; missing leading dimensions are of size 1.

mod adaptive;
mod average;
mod fractional;
mod max;
mod resample;
mod rows;

pub use adaptive::{
    adaptive_avg_pool, adaptive_avg_pool_backward, adaptive_max_pool, adaptive_max_pool_backward,
};
pub use average::{avg_pool, avg_pool_backward};
pub use fractional::fractional_max_pool;
pub use max::{max_pool, max_pool_backward, max_unpool, max_unpool_backward};
pub use resample::{
    Resample, nearest_indices, upsample, upsample_backward, upsample_bytes, upsample_nearest,
};

use crate::gemm::size_product;
use flambeau_core::{Element, Result, ensure};

/// Elements that can be pooled: the compute types. Halves are pooled as `f32`, other integers as `i64`.
pub trait PoolElement: Element + PartialOrd {
    const ZERO: Self;
    /// Less than or equal to every element.
    const LOWEST: Self;
    fn is_nan(self) -> bool;
    fn add(self, other: Self) -> Self;
    /// The quotient by a whole number; integers round towards zero.
    fn divide(self, by: i64) -> Self;
}
macro_rules! float {
    ($($t:ty),*) => { $(impl PoolElement for $t {
        const ZERO: Self = 0.0;
        const LOWEST: Self = <$t>::NEG_INFINITY;
        #[inline(always)]
        fn is_nan(self) -> bool {
            <$t>::is_nan(self)
        }
        #[inline(always)]
        fn add(self, other: Self) -> Self {
            self + other
        }
        #[inline(always)]
        fn divide(self, by: i64) -> Self {
            self / by as $t
        }
    })* };
}
float!(f32, f64);
impl PoolElement for i64 {
    const ZERO: Self = 0;
    const LOWEST: Self = i64::MIN;
    #[inline(always)]
    fn is_nan(self) -> bool {
        false
    }
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
    #[inline(always)]
    fn divide(self, by: i64) -> Self {
        self.checked_div(by).unwrap_or(0)
    }
}

/// Three sizes from 1 to 3 given ones.
pub(crate) fn spatial(values: &[usize], fill: usize) -> Result<[usize; 3]> {
    ensure!((1..=3).contains(&values.len()), "pooling: expected 1 to 3 spatial dimensions");
    let mut all = [fill; 3];
    all[3 - values.len()..].copy_from_slice(values);
    Ok(all)
}

/// Sizes of a pooling with windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolShape {
    pub planes: usize,
    pub input: [usize; 3],
    pub output: [usize; 3],
    pub kernel: [usize; 3],
    pub stride: [usize; 3],
    pub padding: [usize; 3],
    pub dilation: [usize; 3],
}

impl PoolShape {
    /// Each slice has one element for each spatial dimension. Errors, with PyTorch's texts, for zero strides, kernels
    /// or dilations, padding beyond half the kernel, and outputs without elements.
    pub fn new(
        planes: usize,
        input: &[usize],
        kernel: &[usize],
        stride: &[usize],
        padding: &[usize],
        dilation: &[usize],
        ceil_mode: bool,
    ) -> Result<PoolShape> {
        let same = [kernel, stride, padding, dilation].iter().all(|x| x.len() == input.len());
        ensure!(same, "pooling: expected as many sizes as spatial dimensions");
        let mut shape = PoolShape {
            planes,
            input: spatial(input, 1)?,
            output: [1; 3],
            kernel: spatial(kernel, 1)?,
            stride: spatial(stride, 1)?,
            padding: spatial(padding, 0)?,
            dilation: spatial(dilation, 1)?,
        };
        ensure!(kernel.iter().all(|&x| x > 0), "kernel size should be greater than zero");
        ensure!(stride.iter().all(|&x| x > 0), "stride should not be zero");
        ensure!(dilation.iter().all(|&x| x > 0), "dilation should be greater than zero");
        for d in 3 - input.len()..3 {
            let (kernel, padding, dilation) = (shape.kernel[d], shape.padding[d], shape.dilation[d]);
            let reach = size_product(&[kernel - 1, dilation])?;
            ensure!(
                padding <= reach.div_ceil(2),
                "pad should be at most half of effective kernel size, but got pad={padding}, kernel_size={kernel} and dilation={dilation}"
            );
            shape.output[d] =
                output_size(shape.input[d], kernel, shape.stride[d], padding, dilation, ceil_mode)?;
        }
        ensure!(
            shape.output.iter().all(|&x| x > 0),
            "Given input size: {}. Calculated output size: {}. Output size is too small",
            describe(planes, input),
            describe(planes, &shape.output[3 - input.len()..])
        );
        size_product(&[planes, shape.input[0], shape.input[1], shape.input[2]])?;
        size_product(&[planes, shape.output[0], shape.output[1], shape.output[2]])?;
        Ok(shape)
    }

    /// The window of output `o` along `d`: the first position (before clipping, possibly negative) and the
    /// positions inside the input that it takes.
    #[inline(always)]
    fn taps(&self, d: usize, o: usize) -> Taps {
        let (dilation, padding) = (self.dilation[d], self.padding[d]);
        let at = o * self.stride[d];
        // The first tap inside the input, and the number of taps up to its end.
        let skipped = padding.saturating_sub(at).div_ceil(dilation);
        let first = at + skipped * dilation - padding;
        let room = self.input[d].saturating_sub(first).div_ceil(dilation);
        Taps { first, count: room.min(self.kernel[d].saturating_sub(skipped)), step: dilation }
    }

    /// For each tap along the last dimension that lies inside the input for some outputs of a row: these outputs, and
    /// where the first of them takes it.
    fn row_taps(&self) -> Vec<RowTap> {
        let [.., output] = self.output;
        let ([.., stride], [.., padding], [.., dilation]) = (self.stride, self.padding, self.dilation);
        let [.., width] = self.input;
        let least =
            padding.saturating_sub(output.saturating_sub(1).saturating_mul(stride)).div_ceil(dilation);
        let most = self.kernel[2].min((width + padding).div_ceil(dilation));
        let tap = |k: usize| {
            // Output o takes position `o * stride + at - padding`.
            let at = k * dilation;
            let first = padding.saturating_sub(at).div_ceil(stride);
            let end = (width + padding).saturating_sub(at).div_ceil(stride).min(output);
            (first < end).then(|| RowTap { outputs: first..end, start: first * stride + at - padding })
        };
        (least..most).filter_map(tap).collect()
    }

    pub fn input_plane(&self) -> usize {
        self.input.iter().product()
    }
    pub fn output_plane(&self) -> usize {
        self.output.iter().product()
    }
}

#[derive(Clone, Copy)]
struct Taps {
    first: usize,
    count: usize,
    step: usize,
}

#[derive(Clone, Debug)]
struct RowTap {
    outputs: std::ops::Range<usize>,
    start: usize,
}

/// Calls `visit` with each of the results (in two slices) and the element of `row` that it takes: from `start` on in
/// steps of `stride`. Frequent steps are constants for the compiler.
#[inline(always)]
fn along<T: Copy, A, B>(
    (a, b): (&mut [A], &mut [B]),
    row: &[T],
    start: usize,
    stride: usize,
    mut visit: impl FnMut(&mut A, &mut B, T),
) {
    let (Some((last_a, a)), Some((last_b, b))) = (a.split_last_mut(), b.split_last_mut()) else { return };
    let end = start + a.len() * stride;
    let results = a.iter_mut().zip(b);
    match stride {
        1 => results.zip(&row[start..end]).for_each(|((a, b), &x)| visit(a, b, x)),
        2 => {
            let pairs = row[start..end].as_chunks::<2>().0;
            results.zip(pairs).for_each(|((a, b), x)| visit(a, b, x[0]));
        }
        _ => results.zip(row[start..end].iter().step_by(stride)).for_each(|((a, b), &x)| visit(a, b, x)),
    }
    visit(last_a, last_b, row[end]);
}

/// [`along`] the other way: `visit` gets elements of the row to change.
#[inline(always)]
fn along_mut<T, R: Copy>(
    results: &[R],
    row: &mut [T],
    start: usize,
    stride: usize,
    mut visit: impl FnMut(&mut T, R),
) {
    let Some((&last, most)) = results.split_last() else { return };
    let end = start + most.len() * stride;
    match stride {
        1 => row[start..end].iter_mut().zip(most).for_each(|(x, &r)| visit(x, r)),
        2 => {
            let pairs = row[start..end].as_chunks_mut::<2>().0;
            pairs.iter_mut().zip(most).for_each(|(x, &r)| visit(&mut x[0], r));
        }
        _ => row[start..end].iter_mut().step_by(stride).zip(most).for_each(|(x, &r)| visit(x, r)),
    }
    visit(&mut row[end], last);
}

fn describe(planes: usize, sizes: &[usize]) -> String {
    let all: Vec<String> = std::iter::once(&planes).chain(sizes).map(|x| x.to_string()).collect();
    format!("({})", all.join("x"))
}

/// The number of windows along one dimension; with `ceil_mode` also a last one that begins inside the input or its
/// left padding but reaches beyond the right one. 0 when not even one window fits.
pub fn output_size(
    input: usize,
    kernel: usize,
    stride: usize,
    padding: usize,
    dilation: usize,
    ceil_mode: bool,
) -> Result<usize> {
    let sizes = || -> Option<(usize, usize)> {
        let padded = input.checked_add(padding.checked_mul(2)?)?;
        let reach = kernel.checked_sub(1)?.checked_mul(dilation)?.checked_add(1)?;
        padded.checked_add(stride).and_then(|x| x.checked_add(reach)).filter(|&x| x < isize::MAX as usize)?;
        Some((padded, reach))
    };
    let Some((padded, reach)) = sizes() else {
        flambeau_core::bail!("pooling: sizes overflow");
    };
    let room = padded as isize - reach as isize + if ceil_mode { stride as isize - 1 } else { 0 };
    let mut output = room.div_euclid(stride as isize) + 1;
    if ceil_mode && output > 0 && (output as usize - 1) * stride >= input + padding {
        output -= 1;
    }
    Ok(output.max(0) as usize)
}

/// Checks the lengths of buffers.
fn check(what: &str, sizes: &[(usize, usize)]) -> Result<()> {
    for &(have, want) in sizes {
        ensure!(have == want, "{what}: expected a buffer of {want} elements, got {have}");
    }
    Ok(())
}

#[cfg(test)]
mod tests;
