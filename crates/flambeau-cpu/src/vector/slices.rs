//! Elementary functions of whole slices: loops over [`Vector`]'s, or kernels that hold tables in registers where the
//! processor can. One of the modules with unsafe code.

use super::Vector;
use crate::wide::{Body, level, wide};

/// Functions that come by slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elementary {
    Erf,
    Exp,
    Gelu,
    Log,
    Sigmoid,
    Tanh,
}

macro_rules! choose {
    ($f:expr, $case:ident) => {
        match $f {
            Elementary::Erf => $case!(Erf, erf, erf_single),
            Elementary::Exp => $case!(Exp, exp, exp_single),
            Elementary::Gelu => $case!(Gelu, gelu, gelu_single),
            Elementary::Log => $case!(Log, log, log_single),
            Elementary::Sigmoid => $case!(Sigmoid, sigmoid, sigmoid_single),
            Elementary::Tanh => $case!(Tanh, tanh, tanh_single),
        }
    };
}

struct Each<'a, T>(Elementary, &'a [T], &'a mut [T]);
impl<T: Vector> Body for Each<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        macro_rules! case {
            ($name:ident, $f:ident, $lane:ident) => {
                self.2.iter_mut().zip(self.1).for_each(|(y, &x)| *y = x.$f())
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
            ($name:ident, $f:ident, $lane:ident) => {
                self.1.iter_mut().for_each(|x| *x = x.$f())
            };
        }
        choose!(self.0, case)
    }
}

pub(super) fn map_plain<T: Vector>(f: Elementary, x: &[T], out: &mut [T]) {
    wide(Each(f, x, out))
}

pub(super) fn map_plain_in_place<T: Vector>(f: Elementary, x: &mut [T]) {
    wide(InPlace(f, x))
}

#[cfg(target_arch = "x86_64")]
pub(super) mod registers {
    use super::super::lane::{Function, Lane};
    use super::super::{avx2, avx512, erf, exp, hyperbolic, log};
    use super::Elementary;
    use crate::wide::Level;
    use erf::{erf_single, gelu_single};
    use exp::exp_single;
    use hyperbolic::{sigmoid_single, tanh_single};
    use log::log_single;

    /// False at a level without such instructions.
    ///
    /// # Safety
    /// As for [`avx512::map`]; the level must be one of this processor.
    pub unsafe fn map(level: Level, f: Elementary, x: *const f32, out: *mut f32, n: usize) -> bool {
        if level == Level::Baseline {
            return false;
        }
        macro_rules! case {
            ($name:ident, $f:ident, $lane:ident) => {{
                struct $name;
                impl Function for $name {
                    #[inline(always)]
                    fn of<L: Lane>(x: L) -> L {
                        $lane(x)
                    }
                }
                // SAFETY: passed on from the caller; the level's instructions are there.
                unsafe {
                    match level {
                        Level::Avx512 => avx512::map::<$name>(x, out, n),
                        _ => avx2::map::<$name>(x, out, n),
                    }
                }
            }};
        }
        choose!(f, case);
        true
    }
}

pub(super) fn map_single(f: Elementary, x: &[f32], out: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: both slices have so many numbers; they do not overlap.
    if unsafe { registers::map(level(), f, x.as_ptr(), out.as_mut_ptr(), x.len().min(out.len())) } {
        return;
    }
    map_plain(f, x, out)
}

pub(super) fn map_single_in_place(f: Elementary, x: &mut [f32]) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: so many numbers at one place.
    if unsafe { registers::map(level(), f, x.as_ptr(), x.as_mut_ptr(), x.len()) } {
        return;
    }
    map_plain_in_place(f, x)
}
