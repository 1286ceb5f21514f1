//! Normalisation over the last dimensions.

use super::{Kept, Layout, Normal, check_dtypes, compute};
use crate::Tensor;
use crate::generated::functions as f;
use crate::ops::{reduce, shape};
use flambeau_core::{DType, Dims, Result, bail, show};
use smallvec::smallvec;

/// Checks the shapes; returns the number of dimensions before the normalised ones.
fn check(input: &Tensor, normalized_shape: &[i64], affine: &[(Option<&Tensor>, &str)]) -> Result<usize> {
    let sizes = input.sizes();
    let n = normalized_shape.len();
    if n == 0 {
        bail!(
            "Expected normalized_shape to be at least 1-dimensional, i.e., containing at least one element, but got normalized_shape = {}",
            show(normalized_shape)
        );
    }
    for (t, name) in affine {
        if let Some(t) = t
            && t.sizes()[..] != *normalized_shape
        {
            bail!(
                "Expected {name} to be of same shape as normalized_shape, but got {name} of shape {} and normalized_shape = {}",
                show(&t.sizes()),
                show(normalized_shape)
            );
        }
    }
    if sizes.len() < n || sizes[sizes.len() - n..] != *normalized_shape {
        let wanted: String = normalized_shape.iter().map(|s| format!(", {s}")).collect();
        bail!(
            "Given normalized_shape={}, expected input with shape [*{wanted}], but got input of size{}",
            show(normalized_shape),
            show(&sizes)
        );
    }
    Ok(sizes.len() - n)
}

/// `torch.native_layer_norm`: with the means and reciprocal standard deviations.
pub fn native_layer_norm(
    input: &Tensor,
    normalized_shape: &[i64],
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
) -> Result<(Tensor, Tensor, Tensor)> {
    let first = check(input, normalized_shape, &[(weight, "weight"), (bias, "bias")])?;
    check_dtypes("LayerNormKernelImpl", input, &[weight, bias])?;
    let sizes = input.sizes();
    let [rows, width] = [&sizes[..first], normalized_shape].map(|s| flambeau_core::count(s) as usize);
    let dtype = [weight, bias].into_iter().flatten().next().map_or(input.dtype(), Tensor::dtype);
    let mut kept: Dims = sizes[..first].into();
    kept.resize(sizes.len(), 1);
    let normal = Normal {
        formatted: false,
        layout: Layout::Rows(width),
        moments: Default::default(),
        own: Some(width),
        view: Some((smallvec![rows as i64, width as i64], smallvec![1])),
        affine: normalized_shape.into(),
        eps,
        names: ["NativeLayerNormBackward0", "NativeLayerNormBackwardBackward0"],
    };
    let kept = Kept { sizes: kept, dtype, output: false };
    match normal.apply(input, weight, bias, Some(kept))? {
        (out, Some([mean, scale])) => Ok((out, mean, scale)),
        _ => bail!("layer_norm kept no moments"),
    }
}

/// `torch.layer_norm` over the last dimensions (Ba et al., 2016).
pub fn layer_norm(
    input: &Tensor,
    normalized_shape: &[i64],
    weight: Option<&Tensor>,
    bias: Option<&Tensor>,
    eps: f64,
    cudnn_enable: bool,
) -> Result<Tensor> {
    let _ = cudnn_enable;
    Ok(native_layer_norm(input, normalized_shape, weight, bias, eps)?.0)
}

/// `torch.rms_norm`: division by the root mean square over the last dimensions (Zhang and Sennrich, 2019).
pub fn rms_norm(
    input: &Tensor,
    normalized_shape: &[i64],
    weight: Option<&Tensor>,
    eps: Option<f64>,
) -> Result<Tensor> {
    let first = check(input, normalized_shape, &[(weight, "weight")])?;
    let dtype = input.dtype();
    if !dtype.is_differentiable() {
        bail!(NotImplemented, "\"rms_norm\" not implemented for '{}'", dtype.cpp_name());
    }
    let dims: Dims = (first as i64..input.dim() as i64).collect();
    let wide = if dtype.is_complex() { dtype } else { compute(dtype) };
    let eps = eps.unwrap_or(match wide {
        DType::Float64 | DType::Complex128 => f64::EPSILON,
        _ => f32::EPSILON as f64,
    });
    let x = shape::to_dtype(input, wide)?;
    let square = reduce::mean_dim(&f::mul(&x, &x)?, Some(&dims), true, None)?;
    let mut out = f::mul(&x, &f::rsqrt(&f::add_scalar(&square, eps.into(), 1i64.into())?)?)?;
    let mut result = dtype;
    if let Some(weight) = weight {
        out = f::mul(&out, weight)?;
        result = dtype.promote(weight.dtype());
    }
    shape::to_dtype(&out, result)
}
