//! Group normalisation.

use super::{Kept, Layout, Normal, check_dtypes, per_channel};
use crate::Tensor;
use crate::ops::shape;
use flambeau_core::{Dims, Result, bail, show, wrap_dim};
use flambeau_cpu::norm::Planes;
use smallvec::smallvec;

fn check(input: &Tensor, channels: i64, groups: i64, affine: [Option<&Tensor>; 2]) -> Result<()> {
    let sizes = input.sizes();
    if groups <= 0 {
        bail!("Expected num groups to be greater than 0, got {groups}");
    }
    if channels <= 0 {
        bail!("Expected number of channels to be greater than 0, got {channels}");
    }
    if channels % groups != 0 {
        bail!(
            "Expected number of channels in input to be divisible by num_groups, but got input of shape {} and num_groups={groups}",
            show(&sizes)
        );
    }
    for (t, name) in affine.into_iter().zip(["weight", "bias"]) {
        if let Some(t) = t
            && (t.dim() != 1 || t.numel() as i64 != channels)
        {
            bail!(
                "Expected {name} to be a vector of size equal to the number of channels in input, but got {name} of shape {} and input of shape {}",
                show(&t.sizes()),
                show(&sizes)
            );
        }
    }
    check_dtypes("GroupNormKernelImpl", input, &affine)
}

/// The result with the means and reciprocal standard deviations of the groups.
fn grouped(
    input: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    [n, channels, inner]: [i64; 3],
    groups: i64,
    eps: f64,
) -> Result<(Tensor, Tensor, Tensor)> {
    check(input, channels, groups, [weight, bias])?;
    if inner <= 0 {
        bail!("Expected HxW to be greater than 0, got {inner}");
    }
    let sizes = input.sizes();
    let wanted = flambeau_core::numel(&[n, channels, inner])?;
    if wanted != input.numel() as i64 || sizes.len() < 2 || n < 0 {
        bail!("shape '{}' is invalid for input of size {}", show(&[n, channels, inner]), input.numel());
    }
    let each = channels / groups;
    let dtype = [weight, bias].into_iter().flatten().next().map_or(input.dtype(), Tensor::dtype);
    let kept = Kept { sizes: smallvec![n, groups], dtype, output: true };
    let count = if input.is_meta() { 0 } else { (n * channels) as usize };
    let view: Dims = smallvec![n * groups, each * inner];
    // The result has the sizes that were asked for, whatever the input's are.
    let affine =
        if sizes[1] == channels { per_channel(sizes.len(), channels) } else { smallvec![1, channels, 1] };
    let flat = sizes[1] != channels;
    let normal = Normal {
        formatted: true,
        layout: Layout::Planes(Planes {
            channels: channels as usize,
            inner: inner as usize,
            planes: count,
            sharing: each as usize,
            stats: (n * groups) as usize,
            count: Some((each * inner) as usize),
        }),
        moments: Default::default(),
        own: Some((each * inner) as usize),
        view: Some((view, smallvec![1])),
        affine,
        eps,
        names: ["NativeGroupNormBackward0", "NativeGroupNormBackwardBackward0"],
    };
    let input = if flat { shape::reshape(input, &[n, channels, inner])? } else { input.clone() };
    let (out, Some([mean, scale])) = normal.apply(&input, weight, bias, Some(kept))? else {
        bail!("group_norm kept no moments")
    };
    Ok((if flat { shape::reshape(&out, &sizes)? } else { out }, mean, scale))
}

/// `torch.group_norm`: normalisation of groups of channels of each sample of `(n, c, …)` (Wu and He, 2018).
pub fn group_norm(
    input: &Tensor,
    num_groups: i64,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
    cudnn_enabled: bool,
) -> Result<Tensor> {
    let _ = cudnn_enabled;
    let sizes = input.sizes();
    wrap_dim(1, sizes.len())?;
    let three = [sizes[0], sizes[1], flambeau_core::count(&sizes[2..])];
    Ok(grouped(input, weight, bias, three, num_groups, eps)?.0)
}

/// `torch.native_group_norm`: of an input of `n * c * hxw` elements, with the groups' means and reciprocal standard
/// deviations.
pub fn native_group_norm(
    input: &Tensor,
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    n: i64,
    c: i64,
    hxw: i64,
    group: i64,
    eps: f64,
) -> Result<(Tensor, Tensor, Tensor)> {
    grouped(input, weight, bias, [n, c, hxw], group, eps)
}
