//! Elementary functions of whole slices: loops over [`Vector`]'s, or kernels that hold tables in registers where the
//! processor can. One of the modules with unsafe code.

use super::Vector;
use crate::wide::{Body, level, wide};

/// Functions that come by slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elementary {
    Cos,
    Erf,
    Exp,
    Exp2,
    Gelu,
    Log,
    Log10,
    Log2,
    Sigmoid,
    Sin,
    Sqrt,
    Tanh,
}

macro_rules! choose {
    ($f:expr, $case:ident) => {
        match $f {
            Elementary::Cos => $case!(cos),
            Elementary::Erf => $case!(erf),
            Elementary::Exp => $case!(exp),
            Elementary::Exp2 => $case!(exp2),
            Elementary::Gelu => $case!(gelu),
            Elementary::Log => $case!(log),
            Elementary::Log10 => $case!(log10),
            Elementary::Log2 => $case!(log2),
            Elementary::Sigmoid => $case!(sigmoid),
            Elementary::Sin => $case!(sin),
            Elementary::Sqrt => $case!(sqrt),
            Elementary::Tanh => $case!(tanh),
        }
    };
}

struct Each<'a, T>(Elementary, &'a [T], &'a mut [T]);
impl<T: Vector> Body for Each<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        macro_rules! case {
            ($f:ident) => {
                for (y, &x) in self.2.iter_mut().zip(self.1) {
                    *y = x.$f();
                }
            };
        }
        choose!(self.0, case)
    }
}

struct InPlace<'a, T>(Elementary, &'a mut [T]);
impl<T: Vector> Body for InPlace<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        macro_rules! case {
            ($f:ident) => {
                for x in self.1 {
                    *x = x.$f();
                }
            };
        }
        choose!(self.0, case)
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod registers {
    use super::super::lane::{Double, DoubleFunction, Function, Lane, Single};
    use super::super::{avx2, avx512, erf, exp, hyperbolic, log, trigonometric};
    use super::Elementary;
    use crate::wide::Level;
    use erf::{erf_by_pieces, erf_single, gelu_single};
    use exp::{exp_double, exp_single, exp2_single};
    use hyperbolic::{sigmoid_double, sigmoid_single, tanh_single};
    use log::{log_double, log_single, log2_single, log10_single};
    use trigonometric::{cos_double, sin_double};

    #[inline(always)]
    fn root<L: Lane>(x: L) -> L {
        x.root()
    }

    macro_rules! registers {
        ($map:ident, $t:ident, $function:ident, $lane:ident, $($name:ident: $f:ident $(at $least:ident)?),*) => {
            /// False for a function or at a level without such instructions.
            ///
            /// # Safety
            /// As for [`avx512::map`]; the level must be one of this processor.
            pub unsafe fn $map(level: Level, f: Elementary, x: *const $t, out: *mut $t, n: usize) -> bool {
                if level == Level::Baseline {
                    return false;
                }
                match f {
                    $(Elementary::$name $(if level >= Level::$least)? => {
                        struct $name;
                        impl $function for $name {
                            #[inline(always)]
                            fn of<L: $lane>(x: L) -> L {
                                $f(x)
                            }
                        }
                        // SAFETY: passed on from the caller; the level's instructions are there.
                        unsafe {
                            match level {
                                Level::Avx512 => avx512::$map::<$name>(x, out, n),
                                _ => avx2::$map::<$name>(x, out, n),
                            }
                        }
                    })*
                    _ => return false,
                }
                true
            }
        };
    }
    registers!(map, f32, Function, Single, Erf: erf_single, Exp: exp_single, Exp2: exp2_single, Gelu: gelu_single, Log: log_single,
        Log10: log10_single, Log2: log2_single,
        Sigmoid: sigmoid_single, Sqrt: root at Avx512, Tanh: tanh_single);
    registers!(map_double, f64, DoubleFunction, Double, Cos: cos_double, Erf: erf_by_pieces at Avx512, Exp: exp_double,
        Log: log_double, Sigmoid: sigmoid_double, Sin: sin_double, Sqrt: root);
}

macro_rules! slices {
    ($map:ident, $in_place:ident, $t:ident, $registers:ident) => {
        pub(super) fn $map(f: Elementary, x: &[$t], out: &mut [$t]) {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: both slices have so many numbers; they do not overlap.
            if unsafe {
                registers::$registers(level(), f, x.as_ptr(), out.as_mut_ptr(), x.len().min(out.len()))
            } {
                return;
            }
            wide(Each(f, x, out))
        }

        pub(super) fn $in_place(f: Elementary, x: &mut [$t]) {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: so many numbers at one place.
            if unsafe { registers::$registers(level(), f, x.as_ptr(), x.as_mut_ptr(), x.len()) } {
                return;
            }
            wide(InPlace(f, x))
        }
    };
}
slices!(map_single, map_single_in_place, f32, map);
slices!(map_double, map_double_in_place, f64, map_double);
