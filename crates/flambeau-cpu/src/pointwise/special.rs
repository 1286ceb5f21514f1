//! Primitives whose functions live in `math`, on `f64` and, through it, on `f32`.

use super::Prim;
use super::kernels::{Compute, Kernel};
use crate::math::{self, NextAfter};

/// A real compute type that widens to `f64`.
pub(super) trait Real: Compute + NextAfter {
    fn wide(self) -> f64;
    fn narrow(v: f64) -> Self;
}
impl Real for f32 {
    #[inline(always)]
    fn wide(self) -> f64 {
        self as f64
    }
    #[inline(always)]
    fn narrow(v: f64) -> f32 {
        v as f32
    }
}
impl Real for f64 {
    #[inline(always)]
    fn wide(self) -> f64 {
        self
    }
    #[inline(always)]
    fn narrow(v: f64) -> f64 {
        v
    }
}

macro_rules! one {
    ($f:expr) => {
        Kernel::Unary(|a: &[T], o: &mut [T]| {
            for (o, &a) in o.iter_mut().zip(a) {
                *o = T::narrow($f(a.wide()));
            }
        })
    };
}
macro_rules! two {
    ($f:expr) => {
        Kernel::Binary(|a: &[T], b: &[T], o: &mut [T]| {
            for ((o, &a), &b) in o.iter_mut().zip(a).zip(b) {
                *o = T::narrow($f(a.wide(), b.wide()));
            }
        })
    };
}

pub(super) fn kernel<T: Real>(p: Prim) -> Option<Kernel<T>> {
    use Prim::*;
    Some(match p {
        Sinc => one!(math::sinc),
        Erfcx => one!(math::erfcx),
        Lgamma => one!(math::lgamma),
        Digamma => one!(math::digamma),
        Trigamma => one!(math::trigamma),
        I0 => one!(math::i0),
        I0e => one!(math::i0e),
        I1 => one!(math::i1),
        I1e => one!(math::i1e),
        BesselJ0 => one!(math::bessel_j0),
        BesselJ1 => one!(math::bessel_j1),
        BesselY0 => one!(math::bessel_y0),
        BesselY1 => one!(math::bessel_y1),
        ModifiedBesselK0 => one!(math::modified_bessel_k0),
        ModifiedBesselK1 => one!(math::modified_bessel_k1),
        ScaledModifiedBesselK0 => one!(math::scaled_modified_bessel_k0),
        ScaledModifiedBesselK1 => one!(math::scaled_modified_bessel_k1),
        SphericalBesselJ0 => one!(math::spherical_bessel_j0),
        AiryAi => one!(math::airy_ai),
        Ndtr => one!(math::ndtr),
        Ndtri => one!(math::ndtri),
        LogNdtr => one!(math::log_ndtr),
        Nextafter => Kernel::Binary(|a: &[T], b: &[T], o: &mut [T]| {
            for ((o, &a), &b) in o.iter_mut().zip(a).zip(b) {
                *o = a.nextafter(b);
            }
        }),
        Igamma => two!(math::igamma),
        Igammac => two!(math::igammac),
        Polygamma => two!(|n: f64, x: f64| math::polygamma(n as i64, x)),
        Zeta => two!(math::zeta),
        ChebyshevT => two!(math::chebyshev_polynomial_t),
        ChebyshevU => two!(math::chebyshev_polynomial_u),
        ChebyshevV => two!(math::chebyshev_polynomial_v),
        ChebyshevW => two!(math::chebyshev_polynomial_w),
        ShiftedChebyshevT => two!(math::shifted_chebyshev_polynomial_t),
        ShiftedChebyshevU => two!(math::shifted_chebyshev_polynomial_u),
        ShiftedChebyshevV => two!(math::shifted_chebyshev_polynomial_v),
        ShiftedChebyshevW => two!(math::shifted_chebyshev_polynomial_w),
        HermiteH => two!(math::hermite_polynomial_h),
        HermiteHe => two!(math::hermite_polynomial_he),
        LaguerreL => two!(math::laguerre_polynomial_l),
        LegendreP => two!(math::legendre_polynomial_p),
        _ => return None,
    })
}
