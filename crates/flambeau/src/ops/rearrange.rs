//! Rearrangements of images: `pixel_shuffle`, `channel_shuffle`, sliding blocks as columns.

use crate::Tensor;
use crate::autograd::{GradMode, record};
use crate::ops::shape::{narrow, permute, reshape, select};
use crate::ops::support::{copy_data, zeros_like_grad};
use flambeau_core::{Array, DType, Dims, MemoryFormat, Result, bail, numel, show};
use smallvec::smallvec;

fn image(self_: &Tensor, name: &str, what: &str, factor: i64) -> Result<Dims> {
    let sizes = self_.sizes();
    if sizes.len() < 3 {
        bail!(
            "{name} expects input to have at least 3 dimensions, but got input with {} dimension(s)",
            sizes.len()
        );
    }
    if factor <= 0 {
        bail!("{name} expects a positive {what}, but got {factor}");
    }
    Ok(sizes)
}

/// The result in the memory format that the input suggests; differentiable.
fn in_format(out: &Tensor, input: &Tensor) -> Result<Tensor> {
    match input.with_array(|a| a.suggested_format()) {
        MemoryFormat::Contiguous => Ok(out.clone()),
        format => crate::ops::shape::contiguous(out, Some(format)),
    }
}

/// `torch.pixel_shuffle`: (*, C r r, H, W) as (*, C, H r, W r).
pub fn pixel_shuffle(self_: &Tensor, upscale_factor: i64) -> Result<Tensor> {
    let r = upscale_factor;
    let sizes = image(self_, "pixel_shuffle", "upscale_factor", r)?;
    let n = sizes.len();
    let (lead, c, h, w) = (&sizes[..n - 3], sizes[n - 3], sizes[n - 2], sizes[n - 1]);
    let Some(square) = r.checked_mul(r) else {
        bail!("upscale factor is too large, (upscale_factor)^2 overflowed: upscale_factor={r}")
    };
    if c % square != 0 {
        bail!(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, but input.size(-3)={c} is not divisible by {square}"
        );
    }
    let mut split = Dims::from_slice(lead);
    split.extend([c / square, r, r, h, w]);
    let k = lead.len() as i64;
    let mut order: Dims = (0..k).collect();
    order.extend([k, k + 3, k + 1, k + 4, k + 2]);
    let mut out = Dims::from_slice(lead);
    numel(&[h, w, square, c / square])?;
    out.extend([c / square, h * r, w * r]);
    in_format(&reshape(&permute(&reshape(self_, &split)?, &order)?, &out)?, self_)
}

/// `torch.pixel_unshuffle`: (*, C, H r, W r) as (*, C r r, H, W).
pub fn pixel_unshuffle(self_: &Tensor, downscale_factor: i64) -> Result<Tensor> {
    let r = downscale_factor;
    let sizes = image(self_, "pixel_unshuffle", "downscale_factor", r)?;
    let n = sizes.len();
    let (lead, c, h, w) = (&sizes[..n - 3], sizes[n - 3], sizes[n - 2], sizes[n - 1]);
    for (size, what, d) in [(h, "height", -2), (w, "width", -1)] {
        if size % r != 0 {
            bail!(
                "pixel_unshuffle expects {what} to be divisible by downscale_factor, but input.size({d})={size} is not divisible by {r}"
            );
        }
    }
    let mut split = Dims::from_slice(lead);
    split.extend([c, h / r, r, w / r, r]);
    let k = lead.len() as i64;
    let mut order: Dims = (0..k).collect();
    order.extend([k, k + 2, k + 4, k + 1, k + 3]);
    let Some(channels) = r.checked_mul(r).and_then(|s| s.checked_mul(c)) else {
        bail!("numel: integer multiplication overflow")
    };
    let mut out = Dims::from_slice(lead);
    out.extend([channels, h / r, w / r]);
    in_format(&reshape(&permute(&reshape(self_, &split)?, &order)?, &out)?, self_)
}

/// `torch.channel_shuffle`
pub fn channel_shuffle(self_: &Tensor, groups: i64) -> Result<Tensor> {
    let sizes = self_.sizes();
    if sizes.len() <= 2 {
        bail!("channel_shuffle expects input with > 2 dims, but got input with sizes {}", show(&sizes));
    }
    let channels = sizes[1];
    if groups <= 0 {
        bail!("Number of groups to divide channels in must be positive. Value of groups:{groups}");
    }
    if channels % groups != 0 {
        bail!("Number of channels must be divisible by groups. Got {channels} channels and {groups} groups.");
    }
    let mut split: Dims = smallvec![sizes[0], groups, channels / groups];
    split.extend_from_slice(&sizes[2..]);
    let swapped = crate::ops::shape::transpose(&reshape(self_, &split)?, 1, 2)?;
    in_format(&reshape(&swapped, &sizes)?, self_)
}

/// The geometry of sliding blocks.
#[derive(Clone, Copy)]
struct Blocks {
    image: [i64; 2],
    kernel: [i64; 2],
    dilation: [i64; 2],
    padding: [i64; 2],
    stride: [i64; 2],
    /// Number of blocks in each direction.
    count: [i64; 2],
}

fn pair(list: &[i64], name: &str) -> Result<[i64; 2]> {
    match list {
        [one] => Ok([*one, *one]),
        [h, w] => Ok([*h, *w]),
        _ => bail!("It is expected {name} equals to 2, but got size {}", list.len()),
    }
}

impl Blocks {
    fn new(
        image: [i64; 2],
        kernel_size: &[i64],
        dilation: &[i64],
        padding: &[i64],
        stride: &[i64],
    ) -> Result<Blocks> {
        let (kernel, dilation) = (pair(kernel_size, "kernel_size")?, pair(dilation, "dilation")?);
        let (padding, stride) = (pair(padding, "padding")?, pair(stride, "stride")?);
        let positive = |v: [i64; 2], what: &str, short: &str| -> Result<()> {
            if v[0] <= 0 || v[1] <= 0 {
                bail!(
                    "{what} should be greater than zero, but got {short}_height: {} {short}_width: {}",
                    v[0],
                    v[1]
                );
            }
            Ok(())
        };
        positive(kernel, "kernel size", "kernel")?;
        positive(dilation, "dilation", "dilation")?;
        positive(stride, "stride", "stride")?;
        if padding.iter().any(|&p| p < 0) {
            bail!(
                "padding should be non-negative, but got pad_height: {} pad_width: {}",
                padding[0],
                padding[1]
            );
        }
        let mut count = [0; 2];
        for i in 0..2 {
            let room =
                image[i] as i128 + 2 * padding[i] as i128 - dilation[i] as i128 * (kernel[i] as i128 - 1) - 1;
            count[i] = match i64::try_from(room.div_euclid(stride[i] as i128) + 1) {
                Ok(n) => n,
                Err(_) => bail!("numel: integer multiplication overflow"),
            };
        }
        Ok(Blocks { image, kernel, dilation, padding, stride, count })
    }

    /// The sizes of an image with its padding.
    fn padded(&self) -> Result<[i64; 2]> {
        let mut out = self.image;
        for i in 0..2 {
            out[i] = match self.padding[i].checked_mul(2).and_then(|p| p.checked_add(self.image[i])) {
                Some(n) => n,
                None => bail!("numel: integer multiplication overflow"),
            };
        }
        Ok(out)
    }

    /// The blocks (N, C, kh, kw, bh, bw) as a window on padded images (N, C, H, W).
    fn window(&self, padded: &Array) -> Array {
        let mut a = padded.clone();
        let (sh, sw) = (a.strides[2], a.strides[3]);
        a.sizes = Dims::from_slice(&[
            a.sizes[0],
            a.sizes[1],
            self.kernel[0],
            self.kernel[1],
            self.count[0],
            self.count[1],
        ]);
        a.strides = Dims::from_slice(&[
            a.strides[0],
            a.strides[1],
            sh * self.dilation[0],
            sw * self.dilation[1],
            sh * self.stride[0],
            sw * self.stride[1],
        ]);
        a
    }
}

fn check_dtype(t: &Tensor, kernel: &str, bools: bool) -> Result<()> {
    let dtype = t.dtype();
    if dtype.is_integral() || (dtype == DType::Bool && !bools) {
        bail!(NotImplemented, "\"{kernel}\" not implemented for '{}'", dtype.cpp_name());
    }
    Ok(())
}

/// `im2col`, behind `torch.nn.functional.unfold`: (N, C, H, W) as (N, C kh kw, blocks).
pub fn im2col(
    self_: &Tensor,
    kernel_size: &[i64],
    dilation: &[i64],
    padding: &[i64],
    stride: &[i64],
) -> Result<Tensor> {
    let sizes = self_.sizes();
    let rank = sizes.len();
    if rank < 3 {
        flambeau_core::wrap_dim(2, rank)?;
    }
    let image = [sizes[rank - 2], sizes[rank - 1]];
    let blocks = Blocks::new(image, kernel_size, dilation, padding, stride)?;
    let spatial = if rank == 4 { 1 } else { 0 };
    if !(3..=4).contains(&rank) || sizes[spatial..].contains(&0) {
        bail!(
            "Expected 3D or 4D (batch mode) tensor with possibly 0 batch size and other non-zero dimensions for input, but got: {}",
            show(&sizes)
        );
    }
    if blocks.count[0] < 1 || blocks.count[1] < 1 {
        let two = |v: [i64; 2]| format!("({}, {})", v[0], v[1]);
        bail!(
            "Given input with spatial size {}, kernel_size={}, dilation={}, padding={}, calculated shape of the array of sliding blocks as {}, but its components must be at least one.",
            two(image),
            two(blocks.kernel),
            two(blocks.dilation),
            two(blocks.padding),
            two(blocks.count)
        );
    }
    check_dtype(self_, "im2col_out_cpu", true)?;
    columns(self_, blocks)
}

fn columns(self_: &Tensor, blocks: Blocks) -> Result<Tensor> {
    let sizes = self_.sizes();
    let batched = sizes.len() == 4;
    let out = {
        let _guard = GradMode::no_grad();
        let plain = Tensor::from_array(self_.array());
        let plain = if batched { plain } else { crate::ops::shape::unsqueeze(&plain, 0)? };
        let [ph, pw] = blocks.padding;
        blocks.padded()?;
        let padded = crate::ops::pad::constant_pad_nd(&plain, &[pw, pw, ph, ph], 0i64.into())?;
        let window = blocks.window(&padded.array());
        let rows = numel(&window.sizes[1..4])?;
        let places = numel(&window.sizes[4..])?;
        let out = Tensor::empty_raw(&window.sizes, window.dtype, window.device())?;
        copy_data(&out, &Tensor::from_array(window))?;
        let mut shape: Dims = smallvec![rows, places];
        if batched {
            shape.insert(0, sizes[0]);
        }
        Tensor::from_array(reshape(&out, &shape)?.array())
    };
    record(&[&out], "Im2ColBackward0", &[self_], &[], move |ctx| {
        Ok(smallvec![match ctx.grad(0) {
            Some(grad) => Some(images(grad, blocks)?),
            None => None,
        }])
    })?;
    Ok(out)
}

/// Adds up columns where blocks overlap.
fn images(self_: &Tensor, blocks: Blocks) -> Result<Tensor> {
    let sizes = self_.sizes();
    let batched = sizes.len() == 3;
    let [kh, kw] = blocks.kernel;
    let channels = sizes[sizes.len() - 2] / (kh * kw);
    let batch = if batched { sizes[0] } else { 1 };
    let [h, w] = blocks.padded()?;
    let out = {
        let _guard = GradMode::no_grad();
        let plain = Tensor::from_array(self_.array());
        let [bh, bw] = blocks.count;
        let parts = reshape(&plain, &[batch, channels, kh, kw, bh, bw])?;
        let padded = zeros_like_grad(&plain, &[batch, channels, h, w])?;
        let window = Tensor::from_array(blocks.window(&padded.array()));
        if window.numel() > 0 {
            for i in 0..kh {
                for j in 0..kw {
                    // One element of all blocks: no two of them meet.
                    let at = |t: &Tensor| select(&select(t, 2, i)?, 2, j);
                    crate::ops::grad_add_(&at(&window)?, &at(&parts)?)?;
                }
            }
        }
        let inner = narrow(&padded, 2, blocks.padding[0], blocks.image[0])?;
        let inner = narrow(&inner, 3, blocks.padding[1], blocks.image[1])?;
        let dense = crate::ops::shape::clone_dense(&inner)?;
        if batched { dense } else { Tensor::from_array(select(&dense, 0, 0)?.array()) }
    };
    record(&[&out], "Col2ImBackward0", &[self_], &[], move |ctx| {
        Ok(smallvec![match ctx.grad(0) {
            Some(grad) => Some(columns(grad, blocks)?),
            None => None,
        }])
    })?;
    Ok(out)
}

/// `col2im`, behind `torch.nn.functional.fold`: (N, C kh kw, blocks) as (N, C, *output_size).
pub fn col2im(
    self_: &Tensor,
    output_size: &[i64],
    kernel_size: &[i64],
    dilation: &[i64],
    padding: &[i64],
    stride: &[i64],
) -> Result<Tensor> {
    let image = pair(output_size, "output_size")?;
    let blocks = Blocks::new(image, kernel_size, dilation, padding, stride)?;
    let sizes = self_.sizes();
    let rank = sizes.len();
    let spatial = if rank == 3 { 1 } else { 0 };
    if !(2..=3).contains(&rank) || sizes[spatial..].contains(&0) {
        bail!(
            "Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size and non-zero dimensions for input, but got: {}",
            show(&sizes)
        );
    }
    let (rows, places) = (sizes[rank - 2], sizes[rank - 1]);
    let two = |v: [i64; 2]| format!("({}, {})", v[0], v[1]);
    let [kh, kw] = blocks.kernel;
    if kh.checked_mul(kw).is_none_or(|k| rows % k != 0) {
        bail!(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got input.size(1)={rows} and kernel_size={}.",
            two(blocks.kernel)
        );
    }
    let [bh, bw] = blocks.count;
    if bh.checked_mul(bw) != Some(places) || bh < 1 || bw < 1 {
        bail!(
            "Given output_size={}, kernel_size={}, dilation={}, padding={}, stride={}, expected size of input's dimension 2 to match the calculated number of sliding blocks {bh} * {bw} = {}, but got input.size(2)={places}.",
            two(image),
            two(blocks.kernel),
            two(blocks.dilation),
            two(blocks.padding),
            two(blocks.stride),
            bh.wrapping_mul(bw)
        );
    }
    if image.iter().any(|&n| n < 1) {
        bail!(
            "output_size should be greater than zero, but got output_height: {} output_width: {}",
            image[0],
            image[1]
        );
    }
    check_dtype(self_, "col2im_out_cpu", true)?;
    images(self_, blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_and_back() {
        let t = Tensor::from_slice(&(1..=9).map(f64::from).collect::<Vec<_>>(), &[1, 1, 3, 3]).unwrap();
        let columns = im2col(&t, &[2], &[1], &[0], &[1]).unwrap();
        assert_eq!(columns.sizes()[..], [1, 4, 4]);
        assert_eq!(columns.to_vec::<f64>().unwrap()[..4], [1.0, 2.0, 4.0, 5.0]);
        let back = col2im(&columns, &[3], &[2], &[1], &[0], &[1]).unwrap();
        assert_eq!(back.to_vec::<f64>().unwrap(), [1.0, 4.0, 3.0, 8.0, 20.0, 12.0, 7.0, 16.0, 9.0]);
        assert!(im2col(&t, &[4], &[1], &[0], &[1]).is_err());
        assert!(im2col(&t, &[2], &[i64::MAX], &[i64::MAX], &[1]).is_err());
    }

    #[test]
    fn shuffles() {
        let t = Tensor::from_slice(&[1i64, 2, 3, 4], &[4, 1, 1]).unwrap();
        let big = pixel_shuffle(&t, 2).unwrap();
        assert_eq!((&big.sizes()[..], big.to_vec::<i64>().unwrap()), (&[1, 2, 2][..], vec![1, 2, 3, 4]));
        assert_eq!(pixel_unshuffle(&big, 2).unwrap().to_vec::<i64>().unwrap(), [1, 2, 3, 4]);
        let mixed = channel_shuffle(&reshape(&t, &[1, 4, 1]).unwrap(), 2).unwrap();
        assert_eq!(mixed.to_vec::<i64>().unwrap(), [1, 3, 2, 4]);
        assert!(pixel_shuffle(&t, i64::MAX).is_err());
    }
}
