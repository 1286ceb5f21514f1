//! Type promotion between tensors, zero-dim tensors and numbers (PyTorch's three categories).

use crate::Tensor;
use flambeau_core::{DType, Scalar};

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
        let (dtype, rank) = t.with_array(|a| (a.dtype, a.dim()));
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
