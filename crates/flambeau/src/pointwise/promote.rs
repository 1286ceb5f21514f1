//! Type promotion between tensors, zero-dim tensors and numbers (PyTorch's three categories).

use super::expr::{PointwiseDef, Promote};
use crate::Tensor;
use flambeau_core::{DType, Scalar, bf16, f16};

/// Accumulates operands of a promotion.
#[derive(Default, Clone, Copy)]
struct Promotion {
    dimensioned: Option<DType>,
    zero_dim: Option<DType>,
    number: Option<DType>,
}

impl Promotion {
    fn add(slot: &mut Option<DType>, dtype: DType) {
        *slot = Some(slot.map_or(dtype, |d| d.promote(dtype)));
    }
    fn tensor(&mut self, t: &Tensor) {
        let (dtype, rank) = (t.dtype(), t.dim());
        if t.is_wrapped_number() {
            // A Python number's own width does not matter, only its kind.
            let default = crate::default_dtype();
            let dtype = match dtype.category() {
                flambeau_core::Category::Float => default,
                flambeau_core::Category::Complex => default.to_complex(),
                _ => dtype,
            };
            Self::add(&mut self.number, dtype);
        } else if rank == 0 {
            Self::add(&mut self.zero_dim, dtype);
        } else {
            Self::add(&mut self.dimensioned, dtype);
        }
    }
    fn result(self) -> DType {
        let combine = |high: Option<DType>, low: Option<DType>| match (high, low) {
            (Some(h), Some(l)) => {
                if l.category() <= h.category() {
                    Some(h)
                } else if l.is_complex() && h.is_floating_point() {
                    // A complex number takes the float's precision.
                    Some(if h == DType::Float64 { DType::Complex128 } else { l.promote(h) })
                } else {
                    Some(h.promote(l))
                }
            }
            (h, l) => h.or(l),
        };
        combine(combine(self.dimensioned, self.zero_dim), self.number).unwrap_or_else(crate::default_dtype)
    }
}

/// The dtype in which tensors and numbers meet.
pub fn common_dtype(tensors: &[&Tensor], scalars: impl Iterator<Item = Scalar>) -> DType {
    let mut p = Promotion::default();
    for t in tensors {
        p.tensor(t);
    }
    for s in scalars {
        Promotion::add(&mut p.number, s.dtype(crate::default_dtype()));
    }
    p.result()
}

/// `torch.result_type`.
pub fn result_type(tensors: &[&Tensor]) -> DType {
    common_dtype(tensors, std::iter::empty())
}

/// The smallest and the largest value of an integer dtype.
pub fn integer_range(dtype: DType) -> (i128, i128) {
    let bits = dtype.size() as u32 * 8;
    if dtype.is_signed() { (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) } else { (0, (1 << bits) - 1) }
}

/// A number as it meets tensors of dtype `compute`: integers wrap to its width (or stop at its limits), and
/// what is compared with half-precision numbers is one itself.
pub(super) fn converted(s: Scalar, compute: DType, def: &PointwiseDef) -> Scalar {
    match compute {
        DType::Float16 if def.promote == Promote::Bool && !s.is_complex() => {
            Scalar::Float(f16::from_f64(s.to_f64()).to_f64())
        }
        DType::BFloat16 if def.promote == Promote::Bool && !s.is_complex() => {
            Scalar::Float(bf16::from_f64(s.to_f64()).to_f64())
        }
        _ if compute.is_integral() && compute.size() < 8 => {
            let value = s.to_i64() as i128;
            let (low, high) = integer_range(compute);
            let span = high - low + 1;
            Scalar::Int(if def.saturate {
                value.clamp(low, high)
            } else {
                (value - low).rem_euclid(span) + low
            } as i64)
        }
        _ => s,
    }
}
