//! Resizing of (N, C, spatial…) by interpolation, and its adjoint.

use crate::Tensor;
use crate::autograd::{GradMode, record};
use crate::ops::dense::{Dense, written};
use crate::ops::shape;
use flambeau_core::{DType, Dims, Result, bail, show};
use flambeau_cpu::pool::{self, Resample};
use smallvec::{SmallVec, smallvec};

type Scales = SmallVec<[Option<f64>; 3]>;

/// One of the operators: how it interpolates, and the names of its gradients and of its kernel in messages.
struct Kind {
    dims: usize,
    mode: Resample,
    backward: &'static str,
    twice: &'static str,
    kernel: &'static str,
    bytes: bool,
}

/// An operator applied: how one dimension after the other is interpolated.
#[derive(Clone)]
struct Resize {
    kind: &'static Kind,
    align_corners: bool,
    scales: Scales,
}

fn unsigned(values: &[i64]) -> Vec<usize> {
    values.iter().map(|&x| usize::try_from(x).unwrap_or(0)).collect()
}

fn planes(sizes: &[i64]) -> usize {
    unsigned(&sizes[..2]).iter().product()
}

impl Resize {
    fn check(&self, input: &Tensor, to: &[i64]) -> Result<Dims> {
        let (sizes, dims) = (input.sizes(), self.kind.dims);
        if to.len() != dims {
            bail!("It is expected output_size equals to {dims}, but got size {}", to.len());
        }
        if sizes.len() != dims + 2 {
            bail!("It is expected input_size equals to {}, but got size {}", dims + 2, sizes.len());
        }
        let spatial = &sizes[2..];
        if spatial.iter().chain(to).any(|&n| n <= 0) {
            let list = |sizes: &[i64]| {
                let axes = ["D", "H", "W"][3 - dims..].iter().zip(sizes);
                axes.map(|(axis, size)| format!("{axis}: {size}")).collect::<Vec<_>>().join(", ")
            };
            let and = if dims == 1 { "and " } else { "" };
            bail!(
                "Input and output sizes should be greater than 0, but got input ({}) {and}output ({})",
                list(spatial),
                list(to)
            );
        }
        if sizes[1] == 0 {
            bail!(
                "Non-empty {}D data tensor expected but got a tensor with sizes {}",
                dims + 2,
                show(&sizes)
            );
        }
        let dtype = input.dtype();
        let bytes = dtype == DType::UInt8 && self.kind.bytes;
        if !dtype.is_floating_point() && !bytes {
            bail!(NotImplemented, "\"{}\" not implemented for '{}'", self.kind.kernel, dtype.cpp_name());
        }
        Ok(sizes[..2].iter().chain(to).copied().collect())
    }

    fn forward(&self, input: &Tensor, to: &[i64]) -> Result<Tensor> {
        let sizes = self.check(input, to)?;
        let (from, dtype) = (input.sizes(), input.dtype());
        let out = if input.is_meta() {
            Tensor::empty_raw(&sizes, dtype, input.device())?
        } else {
            let _guard = GradMode::no_grad();
            let (n, ins, outs) = (planes(&from), unsigned(&from[2..]), unsigned(to));
            let (mode, corners, scales) = (self.kind.mode, self.align_corners, &self.scales[..]);
            let exact = mode == Resample::NearestExact;
            let nearest = exact || mode == Resample::Nearest;
            macro_rules! run {
                ($T:ty, $kernel:path) => {{
                    let x = Dense::<$T>::of(input)?;
                    written::<$T>(&sizes, dtype, |out| match nearest {
                        true => pool::upsample_nearest(n, &ins, &outs, exact, scales, &x, out),
                        false => $kernel(n, &ins, &outs, mode, corners, scales, &x, out),
                    })?
                }};
            }
            match dtype {
                DType::UInt8 => run!(u8, pool::upsample_bytes),
                DType::Float64 => run!(f64, pool::upsample),
                _ => run!(f32, pool::upsample),
            }
        };
        let out = shape::in_format_of(out, &[input])?;
        let this = self.clone();
        record(&[&out], self.kind.backward, &[input], &[], move |ctx| {
            let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
            Ok(smallvec![Some(this.backward(grad, &from)?)])
        })?;
        Ok(out)
    }

    /// The adjoint of `forward` for inputs of `sizes`.
    fn backward(&self, grad: &Tensor, sizes: &[i64]) -> Result<Tensor> {
        let (to, dtype) = (grad.sizes(), grad.dtype());
        let out = if grad.is_meta() {
            Tensor::empty_raw(sizes, dtype, grad.device())?
        } else {
            let _guard = GradMode::no_grad();
            let (n, ins, outs) = (planes(sizes), unsigned(&sizes[2..]), unsigned(&to[2..]));
            let (mode, corners, scales) = (self.kind.mode, self.align_corners, &self.scales[..]);
            macro_rules! run {
                ($T:ty) => {{
                    let g = Dense::<$T>::of(grad)?;
                    written::<$T>(sizes, dtype, |out| {
                        pool::upsample_backward(n, &ins, &outs, mode, corners, scales, &g, out)
                    })?
                }};
            }
            if dtype == DType::Float64 { run!(f64) } else { run!(f32) }
        };
        let this = self.clone();
        record(&[&out], self.kind.twice, &[grad], &[], move |ctx| {
            let Some(grad) = ctx.grad(0) else { return Ok(smallvec![None]) };
            Ok(smallvec![Some(this.forward(grad, &to[2..])?)])
        })?;
        Ok(out)
    }
}

/// The spatial output size and the scales, from one of the two.
fn target(
    kind: &Kind,
    input: &Tensor,
    output_size: Option<&[i64]>,
    scale_factors: Option<&[f64]>,
) -> Result<(Dims, Scales)> {
    let sizes = input.sizes();
    let dims = sizes.len().saturating_sub(2);
    let as_many = |n: usize, what: &str| -> Result<()> {
        if n != dims {
            bail!(
                "Expected static_cast<int64_t>({what}->size()) == spatial_dimensions to be true, but got false.  (Could this error message be improved?  If so, please report an enhancement request to PyTorch.)"
            );
        }
        Ok(())
    };
    match (output_size, scale_factors) {
        (Some(to), None) => {
            as_many(to.len(), "output_size")?;
            Ok((to.into(), smallvec![None; kind.dims]))
        }
        (None, Some(scales)) => {
            as_many(scales.len(), "scale_factors")?;
            let to = sizes.iter().skip(2).zip(scales).map(|(&size, &scale)| {
                let length = size as f64 * scale;
                if !length.is_finite() || length.abs() >= 9.2e18 {
                    bail!("value cannot be converted to type int64_t without overflow");
                }
                Ok(length as i64)
            });
            Ok((to.collect::<Result<Dims>>()?, scales.iter().map(|&s| Some(s)).collect()))
        }
        _ => bail!("Must specify exactly one of output_size and scale_factors"),
    }
}

macro_rules! resizes {
    ($($name:ident $vec:ident ($($corners:ident)?) ($($scale:ident)+), $kind:ident = $dims:literal $mode:ident
       $bytes:literal $backward:literal $kernel:literal;)*) => { $(
        const $kind: &Kind = &Kind {
            dims: $dims,
            mode: Resample::$mode,
            backward: concat!($backward, "Backward0"),
            twice: concat!($backward, "BackwardBackward0"),
            kernel: $kernel,
            bytes: $bytes,
        };
        #[doc = concat!("`", stringify!($name), "` to an output size; scales, if given, say how positions are found.")]
        pub fn $name(
            self_: &Tensor,
            output_size: &[i64],
            $($corners: bool,)?
            $($scale: Option<f64>),+
        ) -> Result<Tensor> {
            let align_corners = false $(| $corners)?;
            let output_size: Dims = match output_size {
                [one] => smallvec![*one; $dims],
                sizes => sizes.into(),
            };
            Resize { kind: $kind, align_corners, scales: smallvec![$($scale),+] }.forward(self_, &output_size)
        }
        #[doc = concat!("`", stringify!($name), "` to an output size or by scale factors.")]
        pub fn $vec(
            input: &Tensor,
            output_size: Option<&[i64]>,
            $($corners: bool,)?
            scale_factors: Option<&[f64]>,
        ) -> Result<Tensor> {
            let align_corners = false $(| $corners)?;
            let (to, scales) = target($kind, input, output_size, scale_factors)?;
            Resize { kind: $kind, align_corners, scales }.forward(input, &to)
        }
    )* };
}
resizes! {
    upsample_nearest1d upsample_nearest1d_vec () (scales), NEAREST1 = 1 Nearest true
        "UpsampleNearest1D" "compute_indices_weights_nearest";
    upsample_nearest2d upsample_nearest2d_vec () (scales_h scales_w), NEAREST2 = 2 Nearest true
        "UpsampleNearest2D" "upsample_nearest2d_channels_last";
    upsample_nearest3d upsample_nearest3d_vec () (scales_d scales_h scales_w), NEAREST3 = 3 Nearest true
        "UpsampleNearest3D" "compute_indices_weights_nearest";
    upsample_nearest_exact1d upsample_nearest_exact1d_vec () (scales), EXACT1 = 1 NearestExact true
        "UpsampleNearestExact1D" "compute_indices_weights_nearest";
    upsample_nearest_exact2d upsample_nearest_exact2d_vec () (scales_h scales_w), EXACT2 = 2 NearestExact true
        "UpsampleNearestExact2D" "upsample_nearest2d_channels_last";
    upsample_nearest_exact3d upsample_nearest_exact3d_vec () (scales_d scales_h scales_w), EXACT3 = 3 NearestExact true
        "UpsampleNearestExact3D" "compute_indices_weights_nearest";
    upsample_linear1d upsample_linear1d_vec (align_corners) (scales), LINEAR1 = 1 Linear false
        "UpsampleLinear1D" "compute_indices_weights_linear";
    upsample_bilinear2d upsample_bilinear2d_vec (align_corners) (scales_h scales_w), LINEAR2 = 2 Linear true
        "UpsampleBilinear2D" "upsample_bilinear2d_channels_last";
    upsample_trilinear3d upsample_trilinear3d_vec (align_corners) (scales_d scales_h scales_w), LINEAR3 = 3 Linear false
        "UpsampleTrilinear3D" "compute_indices_weights_linear";
    upsample_bicubic2d upsample_bicubic2d_vec (align_corners) (scales_h scales_w), CUBIC2 = 2 Cubic true
        "UpsampleBicubic2D" "compute_indices_weights_cubic";
    upsample_bilinear2d_aa upsample_bilinear2d_aa_vec (align_corners) (scales_h scales_w), LINEAR2_AA = 2 LinearAntialias true
        "UpsampleBilinear2DAa" "compute_index_ranges_weights";
    upsample_bicubic2d_aa upsample_bicubic2d_aa_vec (align_corners) (scales_h scales_w), CUBIC2_AA = 2 CubicAntialias true
        "UpsampleBicubic2DAa" "compute_index_ranges_weights";
    upsample_lanczos2d_aa upsample_lanczos2d_aa_vec (align_corners) (scales_h scales_w), LANCZOS2_AA = 2 LanczosAntialias true
        "UpsampleLanczos2DAa" "compute_index_ranges_weights";
}
