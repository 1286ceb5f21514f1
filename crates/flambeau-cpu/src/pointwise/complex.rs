//! Primitives on complex numbers.

use super::Prim;
use super::kernels::{Kernel, binary, unary};
use flambeau_core::{C32, C64};

macro_rules! complex_kernels {
    ($name:ident, $t:ident) => {
        pub(super) fn $name(p: Prim) -> Option<Kernel<$t>> {
            use Prim::*;
            let _ = ();
            Some(match p {
                Neg => unary!($t, |a: $t| -a),
                Conj => unary!($t, |a: $t| a.conj()),
                Real => unary!($t, |a: $t| $t::new(a.re, 0.0)),
                Imag => unary!($t, |a: $t| $t::new(a.im, 0.0)),
                Abs => unary!($t, |a: $t| $t::new(a.re.hypot(a.im), 0.0)),
                Angle => unary!($t, |a: $t| $t::new(a.im.atan2(a.re), 0.0)),
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
                Mul => binary!($t, |a: $t, b: $t| a * b),
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
complex_kernels!(kernel_c32, C32);
complex_kernels!(kernel_c64, C64);
