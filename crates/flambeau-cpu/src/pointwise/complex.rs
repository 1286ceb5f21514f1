//! Primitives on complex numbers.

use super::Prim;
use super::kernels::{Kernel, binary, unary};
use crate::math::complex as cm;
use crate::vector::Vector;
use flambeau_core::{C32, C64};
use num_complex::Complex;
use num_traits::Float;

/// Products. The last ones, which leave the vectors of 64 bytes partly empty, are fused, all of them (`ODD`) or an even
/// number, as they are in PyTorch on processors with AVX-512.
#[inline(always)]
fn products<F: Float, const ODD: bool>(a: &[Complex<F>], b: &[Complex<F>], o: &mut [Complex<F>]) {
    let n = o.len();
    for ((o, &a), &b) in o.iter_mut().zip(a).zip(b) {
        *o = a * b;
    }
    let rest = n % (64 / size_of::<Complex<F>>());
    for i in n - rest..if ODD { n } else { n - rest % 2 } {
        let (a, b) = (a[i], b[i]);
        o[i] = Complex::new(a.re.mul_add(b.re, -(a.im * b.im)), a.re.mul_add(b.im, a.im * b.re));
    }
}

macro_rules! complex_kernels {
    ($name:ident, $t:ident, $odd:literal, $via:path, $log10:path) => {
        pub(super) fn $name(p: Prim) -> Option<Kernel<$t>> {
            use Prim::*;
            Some(match p {
                Neg => unary!($t, |a: $t| -a),
                Conj => unary!($t, |a: $t| a.conj()),
                Real => unary!($t, |a: $t| $t::new(a.re, 0.0)),
                Imag => unary!($t, |a: $t| $t::new(a.im, 0.0)),
                Abs => unary!($t, |a: $t| $t::new(a.re.hypot(a.im), 0.0)),
                Angle => unary!($t, |a: $t| $t::new(Vector::atan2(a.im, a.re), 0.0)),
                Isnan => unary!($t, |a: $t| $t::new((a.re.is_nan() || a.im.is_nan()) as i32 as _, 0.0)),
                Isinf => {
                    unary!($t, |a: $t| $t::new((a.re.is_infinite() || a.im.is_infinite()) as i32 as _, 0.0))
                }
                Isfinite => {
                    unary!($t, |a: $t| $t::new((a.re.is_finite() && a.im.is_finite()) as i32 as _, 0.0))
                }
                Not => unary!($t, |a: $t| $t::new((a.re == 0.0 && a.im == 0.0) as i32 as _, 0.0)),
                Add => binary!($t, |a: $t, b: $t| a + b),
                Sub => binary!($t, |a: $t, b: $t| a - b),
                Mul => Kernel::Binary(|a: &[$t], b: &[$t], o: &mut [$t]| {
                    crate::wide::wide(|| products::<_, $odd>(a, b, o))
                }),
                Exp => unary!($t, |a: $t| $via(cm::exp, a)),
                Expm1 => unary!($t, |a: $t| $via(cm::expm1, a)),
                Log => unary!($t, |a: $t| $via(cm::log, a)),
                Log2 => unary!($t, |a: $t| $via(cm::log2, a)),
                Log10 => unary!($t, $log10),
                Log1p => unary!($t, |a: $t| $via(cm::log1p, a)),
                Sqrt => unary!($t, |a: $t| $via(cm::sqrt, a)),
                Rsqrt => unary!($t, |a: $t| $via(cm::rsqrt, a)),
                Sin => unary!($t, |a: $t| $via(cm::sin, a)),
                Cos => unary!($t, |a: $t| $via(cm::cos, a)),
                Tan => unary!($t, |a: $t| $via(cm::tan, a)),
                Asin => unary!($t, |a: $t| $via(cm::asin, a)),
                Acos => unary!($t, |a: $t| $via(cm::acos, a)),
                Atan => unary!($t, |a: $t| $via(cm::atan, a)),
                Sinh => unary!($t, |a: $t| $via(cm::sinh, a)),
                Cosh => unary!($t, |a: $t| $via(cm::cosh, a)),
                Tanh => unary!($t, |a: $t| $via(cm::tanh, a)),
                Asinh => unary!($t, |a: $t| $via(cm::asinh, a)),
                Acosh => unary!($t, |a: $t| $via(cm::acosh, a)),
                Atanh => unary!($t, |a: $t| $via(cm::atanh, a)),
                Sigmoid => unary!($t, |a: $t| $via(cm::sigmoid, a)),
                Exp2 => unary!($t, |a: $t| $via(|z| cm::exp(z * std::f64::consts::LN_2), a)),
                Reciprocal => unary!($t, |a: $t| cm::reciprocal(a)),
                Sgn => unary!($t, |a: $t| cm::sgn(a)),
                Div => binary!($t, |a: $t, b: $t| cm::div(a, b)),
                Pow => binary!($t, |a: $t, b: $t| {
                    let (z, w) = (C64::new(a.re as f64, a.im as f64), C64::new(b.re as f64, b.im as f64));
                    $via(|_| cm::pow(z, w), a)
                }),
                Eq => binary!($t, |a: $t, b: $t| $t::new((a == b) as i32 as _, 0.0)),
                Ne => binary!($t, |a: $t, b: $t| $t::new((a != b) as i32 as _, 0.0)),
                And => binary!($t, |a: $t, b: $t| {
                    let zero = $t::new(0.0, 0.0);
                    $t::new((a != zero && b != zero) as i32 as _, 0.0)
                }),
                Or => binary!($t, |a: $t, b: $t| {
                    let zero = $t::new(0.0, 0.0);
                    $t::new((a != zero || b != zero) as i32 as _, 0.0)
                }),
                Xor => binary!($t, |a: $t, b: $t| {
                    let zero = $t::new(0.0, 0.0);
                    $t::new(((a != zero) != (b != zero)) as i32 as _, 0.0)
                }),
                _ => return None,
            })
        }
    };
}
complex_kernels!(kernel_c32, C32, false, cm::narrow, log10_c32);
complex_kernels!(kernel_c64, C64, true, direct, cm::log10);

/// The quotient of two rounded logarithms, which is what PyTorch gives to the last bit.
fn log10_c32(z: C32) -> C32 {
    cm::narrow(cm::log, z) / std::f32::consts::LN_10
}

fn direct(f: impl Fn(C64) -> C64, z: C64) -> C64 {
    f(z)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which products are fused: of a number with its conjugate, these have an imaginary part of rounding errors.
    #[test]
    fn the_last_products_are_fused() {
        fn fused<F: Float, const ODD: bool>(n: usize) -> Vec<bool> {
            let third = F::one() / (F::one() + F::one() + F::one());
            let z = Complex::new(third, third.sqrt());
            let mut o = vec![Complex::new(F::zero(), F::zero()); n];
            products::<F, ODD>(&vec![z; n], &vec![z.conj(); n], &mut o);
            o.iter().map(|z| z.im != F::zero()).collect()
        }
        let ends = |n: usize, range: std::ops::Range<usize>| -> Vec<bool> {
            (0..n).map(|i| range.contains(&i)).collect()
        };
        for (n, range) in [(1, 0..0), (3, 0..2), (8, 0..0), (13, 8..12), (20, 16..20)] {
            assert_eq!(fused::<f32, false>(n), ends(n, range), "{n}");
        }
        for (n, range) in [(1, 0..1), (4, 0..0), (7, 4..7), (12, 0..0)] {
            assert_eq!(fused::<f64, true>(n), ends(n, range), "{n}");
        }
    }
}
