//! Primitives on `f32` and `f64`.

use super::Prim;
use super::division;
use super::kernels::{Kernel, arithmetic, binary, unary};
use super::quotients;
use crate::vector::{Elementary, Vector};
use crate::wide::{Body, wide};

/// A loop over a function of [`Vector`] as a [`Body`].
macro_rules! each {
    ($t:ident, $f:ident, $a:expr, $o:expr) => {{
        struct Each<'a>(&'a [$t], &'a mut [$t]);
        impl Body for Each<'_> {
            type Output = ();
            #[inline(always)]
            fn run(self) {
                for (o, &a) in self.1.iter_mut().zip(self.0) {
                    *o = <$t as Vector>::$f(a);
                }
            }
        }
        wide(Each($a, $o))
    }};
}

/// A unary kernel from a function of [`Vector`].
macro_rules! vector {
    ($t:ident, $f:ident) => {
        Kernel::Unary(|a: &[$t], o: &mut [$t]| each!($t, $f, a, o))
    };
}

/// A binary kernel from a function of [`Vector`].
macro_rules! vector_binary {
    ($t:ident, $f:ident) => {
        Kernel::Binary(|a: &[$t], b: &[$t], o: &mut [$t]| {
            struct Each<'a>(&'a [$t], &'a [$t], &'a mut [$t]);
            impl Body for Each<'_> {
                type Output = ();
                #[inline(always)]
                fn run(self) {
                    for ((o, &a), &b) in self.2.iter_mut().zip(self.0).zip(self.1) {
                        *o = <$t as Vector>::$f(a, b);
                    }
                }
            }
            wide(Each(a, b, o))
        })
    };
}

/// A unary kernel from a function that comes by slices.
macro_rules! slices {
    ($t:ident, $f:ident) => {
        Kernel::Unary(|a: &[$t], o: &mut [$t]| <$t as Vector>::map(Elementary::$f, a, o))
    };
}

/// A unary kernel from a periodic function, the system's for numbers whose reduction needs more bits.
macro_rules! periodic {
    ($t:ident, $f:ident) => {
        periodic!($t, $f, |a: &[$t], o: &mut [$t]| each!($t, $f, a, o))
    };
    ($t:ident, $f:ident, $near:expr) => {
        Kernel::Unary(|a: &[$t], o: &mut [$t]| {
            // In parts that are looked through while they are in the cache.
            for (a, o) in a.chunks(PART).zip(o.chunks_mut(PART)) {
                $near(a, o);
                if wide(|| a.iter().fold(false, |far, x| far | (x.abs() > <$t as Vector>::PERIODIC))) {
                    for (o, &a) in o.iter_mut().zip(a) {
                        if a.abs() > <$t as Vector>::PERIODIC {
                            *o = a.$f();
                        }
                    }
                }
            }
        })
    };
}

/// Elements of periodic functions at a time.
const PART: usize = 4096;

#[inline(always)]
#[allow(clippy::eq_op)]
fn is_nan<T: PartialOrd + Copy>(a: T) -> bool {
    a != a
}

/// The larger one; NaN wins.
#[inline(always)]
pub(super) fn max<T: PartialOrd + Copy>(a: T, b: T) -> T {
    if a > b || is_nan(a) { a } else { b }
}

/// The smaller one; NaN wins.
#[inline(always)]
pub(super) fn min<T: PartialOrd + Copy>(a: T, b: T) -> T {
    if a < b || is_nan(a) { a } else { b }
}

macro_rules! real_kernels {
    ($name:ident, $t:ident, $pow:ident, $fmod:ident, $remainder:ident, $floor_divide:ident, $quotients:ident) => {
        pub(super) fn $name(p: Prim) -> Option<Kernel<$t>> {
            use Prim::*;
            Some(match p {
                Neg => unary!($t, |a: $t| -a),
                Abs => unary!($t, |a: $t| a.abs()),
                Sgn => unary!($t, |a: $t| ((a > 0.0) as i32 - (a < 0.0) as i32) as $t),
                Exp => slices!($t, Exp),
                Exp2 => slices!($t, Exp2),
                Expm1 => vector!($t, expm1),
                Log => slices!($t, Log),
                Log2 => slices!($t, Log2),
                Log10 => slices!($t, Log10),
                Log1p => vector!($t, log1p),
                Sqrt => slices!($t, Sqrt),
                Rsqrt => unary!($t, |a: $t| 1.0 / a.sqrt()),
                Reciprocal => unary!($t, |a: $t| 1.0 / a),
                Sin => periodic!($t, sin, |a, o| <$t as Vector>::map(Elementary::Sin, a, o)),
                Cos => periodic!($t, cos, |a, o| <$t as Vector>::map(Elementary::Cos, a, o)),
                Tan => periodic!($t, tan),
                Asin => vector!($t, asin),
                Acos => vector!($t, acos),
                Atan => vector!($t, atan),
                Sinh => vector!($t, sinh),
                Cosh => vector!($t, cosh),
                Tanh => slices!($t, Tanh),
                Asinh => vector!($t, asinh),
                Acosh => vector!($t, acosh),
                Atanh => vector!($t, atanh),
                Sigmoid => slices!($t, Sigmoid),
                Gelu => slices!($t, Gelu),
                Erf => slices!($t, Erf),
                Erfc => vector!($t, erfc),
                Erfinv => vector!($t, erfinv),
                Floor => unary!($t, |a: $t| a.floor()),
                Ceil => unary!($t, |a: $t| a.ceil()),
                Round => unary!($t, |a: $t| a.round_ties_even()),
                Trunc => unary!($t, |a: $t| a.trunc()),
                Conj | Real => unary!($t, |a: $t| a),
                Imag => unary!($t, |_: $t| 0.0),
                Angle => unary!($t, |a: $t| if a.is_nan() {
                    a
                } else if a < 0.0 {
                    std::f64::consts::PI as $t
                } else {
                    0.0
                }),
                Isnan => unary!($t, |a: $t| a.is_nan() as i32 as $t),
                Isinf => unary!($t, |a: $t| a.is_infinite() as i32 as $t),
                Isfinite => unary!($t, |a: $t| a.is_finite() as i32 as $t),
                Signbit => unary!($t, |a: $t| a.is_sign_negative() as i32 as $t),
                Not => unary!($t, |a: $t| (a == 0.0) as i32 as $t),
                Add => arithmetic!($t, |a: $t, b: $t| a + b),
                Sub => arithmetic!($t, |a: $t, b: $t| a - b),
                Mul => arithmetic!($t, |a: $t, b: $t| a * b),
                Div => Kernel::Arithmetic(|a: &[$t], b: &[$t], o: &mut [$t]| {
                    if let [b] = *b
                        && quotients::$quotients(a, b, o)
                    {
                        return;
                    }
                    let Kernel::Arithmetic(divide) = arithmetic!($t, |a: $t, b: $t| a / b) else { return };
                    divide(a, b, o)
                }),
                Pow => Kernel::Binary(division::$pow),
                Atan2 => vector_binary!($t, atan2),
                Fmod => Kernel::Binary(division::$fmod),
                Remainder => Kernel::Binary(division::$remainder),
                FloorDiv => Kernel::Binary(division::$floor_divide),
                Max => binary!($t, max),
                Min => binary!($t, min),
                Fmax => binary!($t, |a: $t, b: $t| a.max(b)),
                Fmin => binary!($t, |a: $t, b: $t| a.min(b)),
                Lt => binary!($t, |a: $t, b: $t| (a < b) as i32 as $t),
                Le => binary!($t, |a: $t, b: $t| (a <= b) as i32 as $t),
                Gt => binary!($t, |a: $t, b: $t| (a > b) as i32 as $t),
                Ge => binary!($t, |a: $t, b: $t| (a >= b) as i32 as $t),
                Eq => binary!($t, |a: $t, b: $t| (a == b) as i32 as $t),
                Ne => binary!($t, |a: $t, b: $t| (a != b) as i32 as $t),
                And => binary!($t, |a: $t, b: $t| (a != 0.0 && b != 0.0) as i32 as $t),
                Or => binary!($t, |a: $t, b: $t| (a != 0.0 || b != 0.0) as i32 as $t),
                Xor => binary!($t, |a: $t, b: $t| ((a != 0.0) != (b != 0.0)) as i32 as $t),
                Hypot => vector_binary!($t, hypot),
                Copysign => binary!($t, |a: $t, b: $t| a.copysign(b)),
                // One operand shifted by powers of two, as PyTorch's float overload does.
                Shl => binary!($t, |a: $t, b: $t| a * b.exp2()),
                Shr => binary!($t, |a: $t, b: $t| a / b.exp2()),
                other => return super::special::kernel::<$t>(other),
            })
        }
    };
}
real_kernels!(kernel_f32, f32, pow_f32, fmod_f32, remainder_f32, floor_divide_f32, quotients_f32);
real_kernels!(kernel_f64, f64, pow_f64, fmod_f64, remainder_f64, floor_divide_f64, quotients_f64);
