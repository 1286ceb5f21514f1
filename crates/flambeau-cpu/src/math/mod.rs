//! Scalar mathematical functions, the primitives of the pointwise operators.
//!
//! Pure functions of `f64` (callers take `f(x as f64) as f32` for the narrower types), correct to a few units in the
//! last place unless their documentation says otherwise, with PyTorch's values at poles, zeros, infinities and NaN.
//! Complex functions are in [`complex`].

mod airy;
mod basics;
mod bessel;
mod bessel_modified;
#[rustfmt::skip]
#[allow(clippy::approx_constant)]
mod coefficients;
pub mod complex;
mod elementary;
mod erf;
mod float_bits;
mod gamma;
mod gamma_grad;
mod igamma;
mod integer;
mod polynomials;
mod rounding;
#[cfg(test)]
mod tests;

pub use airy::airy_ai;
pub use bessel::{bessel_j0, bessel_j1, bessel_y0, bessel_y1, spherical_bessel_j0};
pub use bessel_modified::{
    i0, i0e, i1, i1e, modified_bessel_i0, modified_bessel_i1, modified_bessel_k0, modified_bessel_k1,
    scaled_modified_bessel_k0, scaled_modified_bessel_k1,
};
pub use elementary::{
    copysign, entr, expm1, heaviside, hypot, log1p, logaddexp, logaddexp2, logit, sinc, sinc_f32, xlog1py,
    xlogy,
};
pub use erf::{erf, erfc, erfcinv, erfcx, erfinv, log_ndtr, ndtr, ndtri};
pub use float_bits::{NextAfter, frexp, ldexp, nextafter};
pub use gamma::{digamma, lgamma, multigammaln, polygamma, trigamma, zeta};
pub use gamma_grad::{dirichlet_grad, standard_gamma_grad};
pub use igamma::{igamma, igammac};
pub use integer::{floor_divide_i64, fmod_i64, gcd_i64, lcm_i64, pow_i64, remainder_i64, trunc_divide_i64};
pub use polynomials::{
    chebyshev_polynomial_t, chebyshev_polynomial_u, chebyshev_polynomial_v, chebyshev_polynomial_w,
    hermite_polynomial_h, hermite_polynomial_he, laguerre_polynomial_l, legendre_polynomial_p,
    shifted_chebyshev_polynomial_t, shifted_chebyshev_polynomial_u, shifted_chebyshev_polynomial_v,
    shifted_chebyshev_polynomial_w,
};
pub use rounding::{Rounding, floor_divide, fmod, remainder, round_decimals, round_half_even, trunc_divide};
