//! Other dtypes and devices, complex numbers and their parts, questions about a tensor.

use crate::Tensor;
use crate::autograd::{Creation, as_view, record};
use crate::ops::shape;
use flambeau_core::{DType, Device, MemoryFormat, Result, Scalar, bail};
use smallvec::smallvec;

/// `Tensor.to` in all its forms: the tensor itself where nothing changes and no copy is asked for.
fn to(
    self_: &Tensor,
    device: Option<Device>,
    dtype: Option<DType>,
    copy: bool,
    memory_format: Option<MemoryFormat>,
) -> Result<Tensor> {
    let (home, from) = (self_.visible_device(), self_.dtype());
    let device = device.unwrap_or(home);
    device.check_available()?;
    let same_format = match memory_format {
        None | Some(MemoryFormat::Preserve) => true,
        Some(format) => self_.with_array(|a| a.suggested_format() == format),
    };
    let dtype = dtype.unwrap_or(from);
    if !copy && dtype == from && device.kind == home.kind && same_format {
        return Ok(self_.clone());
    }
    if from.is_complex() && !dtype.is_complex() && dtype != DType::Bool {
        shape::warn_complex();
    }
    shape::to_copy(self_, Some(dtype), Some(device), memory_format)
}

/// `Tensor.to(device, dtype)`
pub fn to_device(
    self_: &Tensor,
    device: Option<Device>,
    dtype: Option<DType>,
    non_blocking: bool,
    copy: bool,
    memory_format: Option<MemoryFormat>,
) -> Result<Tensor> {
    let _ = non_blocking;
    to(self_, device, dtype, copy, memory_format)
}

/// `Tensor.to(dtype)`
pub fn to_dtype(
    self_: &Tensor,
    dtype: DType,
    non_blocking: bool,
    copy: bool,
    memory_format: Option<MemoryFormat>,
) -> Result<Tensor> {
    let _ = non_blocking;
    to(self_, None, Some(dtype), copy, memory_format)
}

/// `Tensor.to(other)`: the dtype and device of another tensor.
pub fn to_other(
    self_: &Tensor,
    other: &Tensor,
    non_blocking: bool,
    copy: bool,
    memory_format: Option<MemoryFormat>,
) -> Result<Tensor> {
    let _ = non_blocking;
    let (device, dtype) = (other.device(), other.dtype());
    to(self_, Some(device), Some(dtype), copy, memory_format)
}

/// `torch._to_copy`: always a copy.
pub fn to_copy(
    self_: &Tensor,
    options: &crate::schema::TensorOptions,
    non_blocking: bool,
    memory_format: Option<MemoryFormat>,
) -> Result<Tensor> {
    let _ = non_blocking;
    shape::to_copy(self_, options.dtype, options.device, memory_format)
}

/// `Tensor.type_as`
pub fn type_as(self_: &Tensor, other: &Tensor) -> Result<Tensor> {
    to_other(self_, other, false, false, None)
}

macro_rules! conversions {
    ($($name:ident => $dtype:ident),* $(,)?) => { $(
        /// The tensor in the dtype that the name says.
        pub fn $name(self_: &Tensor, memory_format: Option<MemoryFormat>) -> Result<Tensor> {
            to(self_, None, Some(DType::$dtype), false, memory_format)
        }
    )* };
}
conversions!(
    float => Float32, double => Float64, half => Float16, bfloat16 => BFloat16, int => Int32, long => Int64,
    short => Int16, char => Int8, byte => UInt8, bool => Bool, cfloat => Complex64, cdouble => Complex128,
);

// complex numbers

/// `torch.conj`: conjugated at once; real tensors as they are.
pub fn conj(self_: &Tensor) -> Result<Tensor> {
    if self_.is_complex() { crate::generated::functions::conj_physical(self_) } else { Ok(self_.clone()) }
}

/// `torch.resolve_conj`: nothing is ever left to resolve.
pub fn resolve_conj(self_: &Tensor) -> Result<Tensor> {
    Ok(self_.clone())
}

/// `torch.resolve_neg`: nothing is ever left to resolve.
pub fn resolve_neg(self_: &Tensor) -> Result<Tensor> {
    Ok(self_.clone())
}

/// Whether a conjugation is pending: never.
pub fn is_conj(self_: &Tensor) -> Result<bool> {
    let _ = self_;
    Ok(false)
}

/// Whether a negation is pending: never.
pub fn is_neg(self_: &Tensor) -> Result<bool> {
    let _ = self_;
    Ok(false)
}

/// `torch.view_as_real`: real and imaginary parts as a last dimension of size 2.
pub fn view_as_real(self_: &Tensor) -> Result<Tensor> {
    if !self_.is_complex() {
        bail!(Type, "view_as_real is only supported for complex tensors");
    }
    let a = self_.array().as_pairs();
    flambeau_core::numel(&a.sizes)?;
    let out = as_view(self_, a, Creation::Default);
    record(&[&out], "ViewAsRealBackward0", &[self_], &[], |ctx| {
        Ok(smallvec![match ctx.grad(0) {
            Some(grad) => Some(view_as_complex(&shape::contiguous(grad, None)?)?),
            None => None,
        }])
    })?;
    Ok(out)
}

/// `torch.view_as_complex`: pairs in the last dimension as complex numbers.
pub fn view_as_complex(self_: &Tensor) -> Result<Tensor> {
    let mut a = self_.array();
    match a.dtype {
        DType::Float32 | DType::Float64 => {}
        DType::Float16 => {
            bail!(NotImplemented, "view_as_complex of float16 gives complex32, which is not supported")
        }
        other => bail!(
            NotImplemented,
            "view_as_complex is only supported for half, float and double tensors, but got a tensor of scalar type: {}",
            other.cpp_name()
        ),
    }
    let (Some(size), Some(stride)) = (a.sizes.pop(), a.strides.pop()) else {
        bail!("Input tensor must have one or more dimensions");
    };
    if size != 2 {
        bail!("Tensor must have a last dimension of size 2");
    }
    if stride != 1 {
        bail!("Tensor must have a last dimension with stride 1");
    }
    if a.strides.iter().any(|s| s % 2 != 0) {
        bail!("Tensor must have a stride divisible by 2 for all but last dimension");
    }
    if a.offset % 2 != 0 {
        bail!("Tensor must have a storage_offset divisible by 2");
    }
    a.strides.iter_mut().for_each(|s| *s /= 2);
    a.offset /= 2;
    a.dtype = a.dtype.to_complex();
    let out = as_view(self_, a, Creation::Default);
    record(&[&out], "ViewAsComplexBackward0", &[self_], &[], |ctx| {
        Ok(smallvec![match ctx.grad(0) {
            Some(grad) => Some(view_as_real(grad)?),
            None => None,
        }])
    })?;
    Ok(out)
}

/// `torch.real`: a view of the real parts; real tensors as they are.
pub fn real(self_: &Tensor) -> Result<Tensor> {
    if self_.is_complex() { shape::select(&view_as_real(self_)?, -1, 0) } else { Ok(self_.clone()) }
}

/// `torch.imag`: a view of the imaginary parts.
pub fn imag(self_: &Tensor) -> Result<Tensor> {
    if !self_.is_complex() {
        bail!(Type, "imag is not implemented for tensors with non-complex dtypes.");
    }
    shape::select(&view_as_real(self_)?, -1, 1)
}

// questions

/// `torch.numel`
pub fn numel(self_: &Tensor) -> Result<i64> {
    Ok(self_.numel() as i64)
}
/// `torch.is_complex`
pub fn is_complex(self_: &Tensor) -> Result<bool> {
    Ok(self_.dtype().is_complex())
}
/// `torch.is_floating_point`
pub fn is_floating_point(self_: &Tensor) -> Result<bool> {
    Ok(self_.dtype().is_floating_point())
}
/// `torch.is_signed`
pub fn is_signed(self_: &Tensor) -> Result<bool> {
    Ok(self_.dtype().is_signed())
}
/// `torch.is_same_size`
pub fn is_same_size(self_: &Tensor, other: &Tensor) -> Result<bool> {
    Ok(self_.sizes() == other.sizes())
}
/// `torch.is_nonzero`: the truth value of a tensor of one element.
pub fn is_nonzero(self_: &Tensor) -> Result<bool> {
    match self_.numel() {
        0 => bail!("Boolean value of Tensor with no values is ambiguous"),
        1 => Ok(self_.item()?.to_bool()),
        _ => bail!("Boolean value of Tensor with more than one value is ambiguous"),
    }
}
/// `Tensor.item`
pub fn item(self_: &Tensor) -> Result<Scalar> {
    self_.item()
}

/// `torch.equal`: whether both have the same sizes and equal elements.
pub fn equal(self_: &Tensor, other: &Tensor) -> Result<bool> {
    crate::ops::common_device(&[self_, other])?;
    if self_.sizes() != other.sizes() {
        return Ok(false);
    }
    let same = crate::generated::functions::eq(&self_.alias(), &other.alias())?;
    all_true(&same)
}

/// Whether every element of a tensor of bools is true.
fn all_true(t: &Tensor) -> Result<bool> {
    let a = shape::dense(t)?.array();
    if a.device().is_meta() {
        bail!(NotImplemented, "cannot look at the data of a meta tensor");
    }
    let n = a.numel();
    // SAFETY: a dense array of n bools.
    Ok(n == 0 || unsafe { std::slice::from_raw_parts(a.data_ptr(), n) }.iter().all(|&v| v != 0))
}

// dtypes

/// `torch.result_type` of two tensors.
pub fn result_type(tensor: &Tensor, other: &Tensor) -> Result<DType> {
    Ok(crate::pointwise::result_type(&[tensor, other]))
}
/// `torch.result_type` of a tensor and a number.
pub fn result_type_scalar(tensor: &Tensor, other: Scalar) -> Result<DType> {
    Ok(crate::pointwise::common_dtype(&[tensor], std::iter::once(other)))
}
/// `torch.result_type` of a number and a tensor.
pub fn result_type_scalar_tensor(scalar: Scalar, tensor: &Tensor) -> Result<DType> {
    result_type_scalar(tensor, scalar)
}
/// `torch.result_type` of two numbers.
pub fn result_type_scalar_scalar(scalar1: Scalar, scalar2: Scalar) -> Result<DType> {
    Ok(crate::pointwise::common_dtype(&[], [scalar1, scalar2].into_iter()))
}
/// `torch.can_cast`
pub fn can_cast(from_: DType, to: DType) -> Result<bool> {
    Ok(from_.can_cast(to))
}
/// `torch.promote_types`
pub fn promote_types(type1: DType, type2: DType) -> Result<DType> {
    Ok(type1.promote(type2))
}
