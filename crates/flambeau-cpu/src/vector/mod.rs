//! Elementary functions for loops over slices: each is one branch-free function of a number that the compiler
//! vectorises inside `wide`; some are faster by whole slices (`slices.rs`). Functions of `f32` are computed in `f64` and rounded once,
//! or as sums of two `f32` where that is faster. Every multiplication that feeds
//! an addition is an explicit `mul_add`, so that all machines give the same bits.
//!
//! Range reductions follow W. J. Cody and W. Waite, Software Manual for the Elementary Functions (1980); compensated
//! sums T. J. Dekker, A floating-point technique for extending the available precision (1971). Polynomials come from
//! `tests/fixtures/math/fit_vector.py` and `fit_series.py`.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod coefficients;
mod erf;
mod erf_pieces;
mod erfc;
mod exp;
mod hyperbolic;
mod inverse;
mod lane;
mod log;
mod log_pairs;
mod series;
mod slices;
#[cfg(test)]
mod tests;
mod trigonometric;

/// Adding and subtracting it rounds a number below `2^51` to an integer; the low bits of the sum hold that integer.
const MAGIC: f64 = 6755399441055744.0;

/// A short polynomial by Horner's rule, the constant term first.
#[inline(always)]
fn horner<const N: usize>(coefficients: &[f64; N], x: f64) -> f64 {
    let mut y = coefficients[N - 1];
    for i in (0..N - 1).rev() {
        y = y.mul_add(x, coefficients[i]);
    }
    y
}

macro_rules! polynomial {
    ($name:ident, $t:ident) => {
        /// A polynomial, the constant term first: Horner's rule for even and for odd powers, which depend less on each
        /// other than one chain.
        #[inline(always)]
        fn $name<const N: usize>(coefficients: &[f64; N], x: $t) -> $t {
            let square = x * x;
            let mut y = [coefficients[N - 1] as $t, coefficients[N - 2] as $t];
            for i in (0..N - 2).rev() {
                y = [y[1], y[0].mul_add(square, coefficients[i] as $t)];
            }
            y[0].mul_add(x, y[1])
        }
    };
}
polynomial!(polynomial, f64);

pub(crate) use exp::pow_single;
pub use slices::Elementary;

/// Functions that vectorise; NaN gives NaN. In units in the last place of the correct result, those of `f32` are
/// within 1 and those of `f64` within 2.
pub trait Vector: Sized + Copy {
    /// Beyond it [`Vector::sin`], [`Vector::cos`] and [`Vector::tan`] are not accurate.
    const PERIODIC: Self;
    fn exp(self) -> Self;
    fn exp2(self) -> Self;
    fn expm1(self) -> Self;
    fn log(self) -> Self;
    fn log2(self) -> Self;
    fn log10(self) -> Self;
    fn log1p(self) -> Self;
    fn sin(self) -> Self;
    fn cos(self) -> Self;
    fn tan(self) -> Self;
    fn sinh(self) -> Self;
    fn cosh(self) -> Self;
    fn tanh(self) -> Self;
    fn sqrt(self) -> Self;
    /// `1 / (1 + exp(-x))`
    fn sigmoid(self) -> Self;
    fn erf(self) -> Self;
    fn asin(self) -> Self;
    fn acos(self) -> Self;
    fn atan(self) -> Self;
    /// The angle of a point whose ordinate this is.
    fn atan2(self, x: Self) -> Self;
    fn asinh(self) -> Self;
    fn acosh(self) -> Self;
    fn atanh(self) -> Self;
    fn erfc(self) -> Self;
    fn erfinv(self) -> Self;
    /// `sqrt(x^2 + y^2)` without overflow on the way.
    fn hypot(self, other: Self) -> Self;
    /// `x / 2 * (1 + erf(x / sqrt(2)))`; not accurate where that nearly cancels.
    fn gelu(self) -> Self;
    /// The function of each element of `x`, in `out`: faster than a loop, with the bits of the one of its name (`erf` of
    /// `f64` within two units in the last place of it).
    fn map(f: Elementary, x: &[Self], out: &mut [Self]);
    /// [`Vector::map`] in place.
    fn map_in_place(f: Elementary, x: &mut [Self]);
}

impl Vector for f32 {
    const PERIODIC: f32 = 1e9;
    #[inline(always)]
    fn exp(self) -> f32 {
        exp::exp_single(self)
    }
    #[inline(always)]
    fn exp2(self) -> f32 {
        exp::exp2_single(self)
    }
    #[inline(always)]
    fn expm1(self) -> f32 {
        hyperbolic::expm1_single(self)
    }
    #[inline(always)]
    fn log(self) -> f32 {
        log::log_single(self)
    }
    #[inline(always)]
    fn log2(self) -> f32 {
        log::log2_single(self)
    }
    #[inline(always)]
    fn log10(self) -> f32 {
        log::log10_single(self)
    }
    #[inline(always)]
    fn log1p(self) -> f32 {
        log::log1p_single(self)
    }
    #[inline(always)]
    fn sin(self) -> f32 {
        trigonometric::sin_single(self)
    }
    #[inline(always)]
    fn cos(self) -> f32 {
        trigonometric::cos_single(self)
    }
    #[inline(always)]
    fn tan(self) -> f32 {
        trigonometric::tan_single(self)
    }
    #[inline(always)]
    fn sinh(self) -> f32 {
        hyperbolic::sinh_single(self)
    }
    #[inline(always)]
    fn cosh(self) -> f32 {
        hyperbolic::cosh_single(self)
    }
    #[inline(always)]
    fn sqrt(self) -> f32 {
        f32::sqrt(self)
    }
    #[inline(always)]
    fn tanh(self) -> f32 {
        hyperbolic::tanh_single(self)
    }
    #[inline(always)]
    fn sigmoid(self) -> f32 {
        hyperbolic::sigmoid_single(self)
    }
    #[inline(always)]
    fn erf(self) -> f32 {
        erf::erf_single(self)
    }
    #[inline(always)]
    fn gelu(self) -> f32 {
        erf::gelu_single(self)
    }
    #[inline(always)]
    fn asin(self) -> f32 {
        inverse::asin_single(self)
    }
    #[inline(always)]
    fn acos(self) -> f32 {
        inverse::acos_single(self)
    }
    #[inline(always)]
    fn atan(self) -> f32 {
        inverse::atan_single(self)
    }
    #[inline(always)]
    fn atan2(self, x: f32) -> f32 {
        inverse::atan2_single(self, x)
    }
    #[inline(always)]
    fn asinh(self) -> f32 {
        log_pairs::asinh_single(self)
    }
    #[inline(always)]
    fn acosh(self) -> f32 {
        log_pairs::acosh_single(self)
    }
    #[inline(always)]
    fn atanh(self) -> f32 {
        log_pairs::atanh_single(self)
    }
    #[inline(always)]
    fn erfc(self) -> f32 {
        erfc::erfc_single(self)
    }
    #[inline(always)]
    fn erfinv(self) -> f32 {
        erfc::erfinv_single(self)
    }
    #[inline(always)]
    fn hypot(self, other: f32) -> f32 {
        inverse::hypot_single(self, other)
    }
    fn map(f: Elementary, x: &[f32], out: &mut [f32]) {
        slices::map_single(f, x, out)
    }
    fn map_in_place(f: Elementary, x: &mut [f32]) {
        slices::map_single_in_place(f, x)
    }
}

impl Vector for f64 {
    const PERIODIC: f64 = 1e6;
    #[inline(always)]
    fn exp(self) -> f64 {
        exp::exp_double(self)
    }
    #[inline(always)]
    fn exp2(self) -> f64 {
        exp::exp2_double(self)
    }
    #[inline(always)]
    fn expm1(self) -> f64 {
        hyperbolic::expm1_double(self)
    }
    #[inline(always)]
    fn log(self) -> f64 {
        log::log_double(self)
    }
    #[inline(always)]
    fn log2(self) -> f64 {
        log_pairs::log2_double(self)
    }
    #[inline(always)]
    fn log10(self) -> f64 {
        log_pairs::log10_double(self)
    }
    #[inline(always)]
    fn log1p(self) -> f64 {
        log_pairs::log1p_double(self)
    }
    #[inline(always)]
    fn sin(self) -> f64 {
        trigonometric::sin_double(self)
    }
    #[inline(always)]
    fn cos(self) -> f64 {
        trigonometric::cos_double(self)
    }
    #[inline(always)]
    fn tan(self) -> f64 {
        trigonometric::tan_double(self)
    }
    #[inline(always)]
    fn sinh(self) -> f64 {
        hyperbolic::sinh_double(self)
    }
    #[inline(always)]
    fn cosh(self) -> f64 {
        hyperbolic::cosh_double(self)
    }
    #[inline(always)]
    fn sqrt(self) -> f64 {
        f64::sqrt(self)
    }
    #[inline(always)]
    fn tanh(self) -> f64 {
        hyperbolic::tanh_double(self)
    }
    #[inline(always)]
    fn sigmoid(self) -> f64 {
        hyperbolic::sigmoid_double(self)
    }
    #[inline(always)]
    fn erf(self) -> f64 {
        erf::erf_double(self)
    }
    #[inline(always)]
    fn gelu(self) -> f64 {
        0.5 * self * (1.0 + erf::erf_double(self * std::f64::consts::FRAC_1_SQRT_2))
    }
    #[inline(always)]
    fn asin(self) -> f64 {
        inverse::asin_double(self)
    }
    #[inline(always)]
    fn acos(self) -> f64 {
        inverse::acos_double(self)
    }
    #[inline(always)]
    fn atan(self) -> f64 {
        inverse::atan_double(self)
    }
    #[inline(always)]
    fn atan2(self, x: f64) -> f64 {
        inverse::atan2_double(self, x)
    }
    #[inline(always)]
    fn asinh(self) -> f64 {
        log_pairs::asinh_double(self)
    }
    #[inline(always)]
    fn acosh(self) -> f64 {
        log_pairs::acosh_double(self)
    }
    #[inline(always)]
    fn atanh(self) -> f64 {
        log_pairs::atanh_double(self)
    }
    #[inline(always)]
    fn erfc(self) -> f64 {
        erfc::erfc_double(self)
    }
    #[inline(always)]
    fn erfinv(self) -> f64 {
        erfc::erfinv_double(self)
    }
    #[inline(always)]
    fn hypot(self, other: f64) -> f64 {
        inverse::hypot_double(self, other)
    }
    fn map(f: Elementary, x: &[f64], out: &mut [f64]) {
        slices::map_double(f, x, out)
    }
    fn map_in_place(f: Elementary, x: &mut [f64]) {
        slices::map_double_in_place(f, x)
    }
}
