//! Convolutions of one to three spatial dimensions on contiguous channels-first slices.
//!
//! Input is (batch, c_in, spatial…), weight (c_out, c_in / groups, kernel…), output (batch, c_out, spatial…). 1 x 1
//! kernels multiply the input itself; others of real numbers multiply shifted images (`sliding.rs`). What that does not pay
//! for, complex numbers and integers are computed by unrolling blocks of the input into columns and one matrix product a
//! block, few output channels over one input channel tap by tap. A transposed convolution is the input gradient of a plain one.

mod columns;
mod image;
mod kernels;
mod pairs;
mod plane;
mod sliding;

pub use kernels::{add_bias, forward, grad_bias, grad_input, grad_weight};

use crate::gemm::size_product;
use flambeau_core::{Result, ensure};

/// Elements of columns for one output row beyond which kernels slide instead.
const LARGEST_LINE: usize = 1 << 25;

/// Output channels from which on it pays to make columns of a single input channel.
const FEW: usize = 4;

/// Sizes of a convolution; missing leading spatial dimensions are of size 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvShape {
    pub batch: usize,
    pub c_in: usize,
    pub c_out: usize,
    pub groups: usize,
    /// Number of spatial dimensions that the caller gave.
    pub dims: usize,
    pub input: [usize; 3],
    pub kernel: [usize; 3],
    pub output: [usize; 3],
    pub stride: [usize; 3],
    pub padding: [usize; 3],
    pub dilation: [usize; 3],
}

fn spatial(values: &[usize], fill: usize) -> [usize; 3] {
    let mut all = [fill; 3];
    all[3 - values.len()..].copy_from_slice(values);
    all
}

fn join(values: impl Iterator<Item = usize>) -> String {
    values.map(|x| x.to_string()).collect::<Vec<_>>().join(" x ")
}

impl ConvShape {
    /// A plain convolution; each slice has one element for each of the 1 to 3 spatial dimensions.
    ///
    /// Errors, with PyTorch's texts, for zero strides or dilations, channels that the groups don't divide, and a
    /// kernel larger than the padded input.
    pub fn new(
        batch: usize,
        c_in: usize,
        c_out: usize,
        groups: usize,
        input: &[usize],
        kernel: &[usize],
        stride: &[usize],
        padding: &[usize],
        dilation: &[usize],
    ) -> Result<ConvShape> {
        let mut shape = Self::common(batch, c_in, c_out, groups, input, kernel, stride, padding, dilation)?;
        let size = |d: usize| -> Option<(usize, usize)> {
            let padded = shape.input[d].checked_add(shape.padding[d].checked_mul(2)?)?;
            let reach = shape.dilation[d].checked_mul(shape.kernel[d].checked_sub(1)?)?.checked_add(1)?;
            Some((padded, reach))
        };
        let first = 3 - shape.dims;
        let mut too_small = false;
        let mut output = [1; 3];
        for d in first..3 {
            let Some((padded, reach)) = size(d) else {
                flambeau_core::bail!("convolution: sizes overflow or kernel of size 0");
            };
            too_small |= padded < reach;
            output[d] = padded.saturating_sub(reach) / shape.stride[d] + 1;
        }
        ensure!(
            !too_small,
            "Calculated padded input size per channel: ({}). Kernel size: ({}). Kernel size can't be greater than actual input size",
            join((first..3).map(|d| shape.input[d] + 2 * shape.padding[d])),
            join((first..3).map(|d| shape.dilation[d] * (shape.kernel[d] - 1) + 1))
        );
        shape.output = output;
        shape.check_sizes()?;
        Ok(shape)
    }

    /// The convolution whose input gradient is the transposed convolution of these sizes.
    ///
    /// `c_in`, `c_out` and `input` are the transposed one's; in the result `input`, `c_in` and `output`, `c_out` have
    /// changed places, so that `result.input` is the output size. The transposed forward is [`grad_input`], its input
    /// gradient is [`forward`], and its weight gradient is [`grad_weight`] with output gradient and input exchanged.
    pub fn transposed(
        batch: usize,
        c_in: usize,
        c_out: usize,
        groups: usize,
        input: &[usize],
        kernel: &[usize],
        stride: &[usize],
        padding: &[usize],
        output_padding: &[usize],
        dilation: &[usize],
    ) -> Result<ConvShape> {
        let mut shape = Self::common(batch, c_out, c_in, groups, input, kernel, stride, padding, dilation)?;
        shape.output = shape.input;
        let extra = spatial(output_padding, 0);
        for d in 3 - shape.dims..3 {
            let size = || -> Option<usize> {
                let steps = shape.output[d].checked_sub(1)?.checked_mul(shape.stride[d])?;
                let reach = shape.dilation[d].checked_mul(shape.kernel[d].checked_sub(1)?)?;
                let total = steps.checked_add(reach)?.checked_add(extra[d])?.checked_add(1)?;
                total.checked_sub(shape.padding[d].checked_mul(2)?).filter(|&size| size > 0)
            };
            let Some(size) = size() else {
                flambeau_core::bail!(
                    "Given input size per channel: ({}). Calculated output size per channel is too small",
                    join(input.iter().copied())
                );
            };
            shape.input[d] = size;
            ensure!(
                extra[d] < shape.stride[d].max(shape.dilation[d]),
                "output padding must be smaller than either stride or dilation, but got output_padding: {:?} stride: {:?} dilation: {:?}",
                output_padding,
                stride,
                dilation
            );
        }
        shape.check_sizes()?;
        Ok(shape)
    }

    fn common(
        batch: usize,
        c_in: usize,
        c_out: usize,
        groups: usize,
        input: &[usize],
        kernel: &[usize],
        stride: &[usize],
        padding: &[usize],
        dilation: &[usize],
    ) -> Result<ConvShape> {
        let dims = input.len();
        let same = [kernel, stride, padding, dilation].iter().all(|x| x.len() == dims);
        ensure!(
            (1..=3).contains(&dims) && same,
            "convolution: expected 1 to 3 spatial dimensions everywhere"
        );
        ensure!(stride.iter().all(|&x| x > 0), "non-positive stride is not supported");
        ensure!(dilation.iter().all(|&x| x > 0), "dilation should be greater than zero");
        ensure!(groups > 0, "non-positive groups is not supported");
        ensure!(kernel.iter().all(|&x| x > 0), "kernel size should be greater than zero");
        ensure!(
            c_in.is_multiple_of(groups) && c_out.is_multiple_of(groups),
            "convolution: {c_in} and {c_out} channels are not divisible by {groups} groups"
        );
        Ok(ConvShape {
            batch,
            c_in,
            c_out,
            groups,
            dims,
            input: spatial(input, 1),
            kernel: spatial(kernel, 1),
            output: [1; 3],
            stride: spatial(stride, 1),
            padding: spatial(padding, 0),
            dilation: spatial(dilation, 1),
        })
    }

    /// After this every product of sizes that the kernels form fits.
    fn check_sizes(&self) -> Result<()> {
        let [i, k, o] = [&self.input, &self.kernel, &self.output];
        size_product(&[self.batch, self.c_in, i[0], i[1], i[2]])?;
        size_product(&[self.batch, self.c_out, o[0], o[1], o[2]])?;
        size_product(&[self.c_out, self.c_in, k[0], k[1], k[2]])?;
        size_product(&[self.c_in, k[0], k[1], k[2], o[2]])?;
        for d in 0..3 {
            // Positions are computed in isize.
            let reach = size_product(&[self.output[d], self.stride[d]])?;
            let window = size_product(&[self.kernel[d], self.dilation[d]])?;
            let largest = reach.checked_add(window).and_then(|x| x.checked_add(self.padding[d]));
            ensure!(largest.is_some_and(|x| x < isize::MAX as usize), "convolution: sizes overflow");
        }
        Ok(())
    }

    /// Elements of one input channel.
    pub fn input_plane(&self) -> usize {
        self.input.iter().product()
    }
    /// Elements of one output channel.
    pub fn output_plane(&self) -> usize {
        self.output.iter().product()
    }
    /// Elements of one channel of a kernel.
    pub fn kernel_plane(&self) -> usize {
        self.kernel.iter().product()
    }
    pub fn input_len(&self) -> usize {
        self.batch * self.c_in * self.input_plane()
    }
    pub fn output_len(&self) -> usize {
        self.batch * self.c_out * self.output_plane()
    }
    pub fn weight_len(&self) -> usize {
        self.c_out * (self.c_in / self.groups) * self.kernel_plane()
    }
    /// Whether the columns of the input are the input itself.
    fn pointwise(&self) -> bool {
        self.kernel == [1; 3] && self.stride == [1; 3] && self.padding == [0; 3]
    }
    /// Whether kernels slide over the input without columns: each input channel is seen by itself and by few output
    /// channels, or the columns of one row would be too many.
    fn direct(&self) -> bool {
        let line = (self.c_in / self.groups) * self.kernel_plane() * self.output[2];
        !self.pointwise()
            && (self.c_in == self.groups && self.c_out < FEW * self.groups || line > LARGEST_LINE)
    }
}

#[cfg(test)]
mod tests;
