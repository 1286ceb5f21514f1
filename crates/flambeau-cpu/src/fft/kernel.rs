//! The loops, compiled for each kind of register. One of the modules with unsafe code.

use super::lanes::{Finish, Pass, Place};
#[cfg(target_arch = "x86_64")]
use super::loops;
use crate::wide::Level;
use num_complex::Complex;

/// The loops, compiled for one kind of register.
pub struct Kernel<F> {
    pub(super) lanes: usize,
    pub(super) read: unsafe fn(*mut F, *const F, Place, usize, bool),
    pub(super) read_rows: unsafe fn(*mut F, *const F, Place, usize),
    pub(super) run: unsafe fn(*mut F, &[Pass<F>], usize),
    pub(super) write: unsafe fn(*const F, &[u32], *mut F, Place, usize, Finish<F>),
    pub(super) write_rows: unsafe fn(*const F, &[u32], *mut F, Place, usize, Finish<F>),
    pub(super) part: unsafe fn(*mut F, &[u32], &[Complex<F>], usize),
    pub(super) join: unsafe fn(*mut F, &[Complex<F>], F, usize),
    /// Coefficients of columns, multiplied by twiddle factors and exchanged with the columns.
    pub(super) turn: unsafe fn(*const F, &[u32], *const F, *mut F, usize),
    pub(super) part_line: unsafe fn(*mut F, *const F, usize),
    pub(super) join_line: unsafe fn(*const F, *mut F, *const F, usize),
}

#[cfg(target_arch = "x86_64")]
macro_rules! compiled {
    ($($name:ident: $f:ty, $v:ty, $feature:literal;)*) => { $(
        mod $name {
            use super::*;
            use std::arch::x86_64::*;
            // SAFETY of all: the level was detected, and the callers' promises are passed on.
            #[target_feature(enable = $feature)]
            unsafe fn read(cells: *mut $f, from: *const $f, p: Place, n: usize, swap: bool) {
                // SAFETY: passed on.
                unsafe { loops::read::<$v>(cells, from, p, n, swap) }
            }
            #[target_feature(enable = $feature)]
            unsafe fn read_rows(cells: *mut $f, from: *const $f, p: Place, n: usize) {
                // SAFETY: passed on.
                unsafe { loops::read_rows::<$v>(cells, from, p, n) }
            }
            #[target_feature(enable = $feature)]
            unsafe fn run(cells: *mut $f, passes: &[Pass<$f>], n: usize) {
                // SAFETY: passed on.
                unsafe { loops::run::<$v>(cells, passes, n) }
            }
            #[target_feature(enable = $feature)]
            unsafe fn write(cells: *const $f, order: &[u32], to: *mut $f, p: Place, n: usize, finish: Finish<$f>) {
                // SAFETY: passed on.
                unsafe { loops::write::<$v>(cells, order, to, p, n, finish) }
            }
            #[target_feature(enable = $feature)]
            unsafe fn write_rows(cells: *const $f, order: &[u32], to: *mut $f, p: Place, n: usize, finish: Finish<$f>) {
                // SAFETY: passed on.
                unsafe { loops::write_rows::<$v>(cells, order, to, p, n, finish) }
            }
            #[target_feature(enable = $feature)]
            unsafe fn part(cells: *mut $f, order: &[u32], twiddles: &[Complex<$f>], n: usize) {
                // SAFETY: passed on.
                unsafe { loops::part_of::<$v>(cells, order, twiddles, n) }
            }
            #[target_feature(enable = $feature)]
            unsafe fn join(cells: *mut $f, twiddles: &[Complex<$f>], sign: $f, n: usize) {
                // SAFETY: passed on.
                unsafe { loops::join_to::<$v>(cells, twiddles, sign, n) }
            }
            #[target_feature(enable = $feature)]
            unsafe fn turn(cells: *const $f, order: &[u32], twiddles: *const $f, to: *mut $f, apart: usize) {
                // SAFETY: passed on.
                unsafe { loops::turn::<$v>(cells, order, twiddles, to, apart) }
            }
            #[target_feature(enable = $feature)]
            unsafe fn part_line(line: *mut $f, twiddles: *const $f, n: usize) {
                // SAFETY: passed on.
                unsafe { loops::part_line::<$v>(line, twiddles, n) }
            }
            #[target_feature(enable = $feature)]
            unsafe fn join_line(line: *const $f, work: *mut $f, twiddles: *const $f, n: usize) {
                // SAFETY: passed on.
                unsafe { loops::join_line::<$v>(line, work, twiddles, n) }
            }
            pub(super) static KERNEL: Kernel<$f> = Kernel {
                lanes: size_of::<$v>() / size_of::<$f>(),
                read, read_rows, run, write, write_rows, part, join, turn, part_line, join_line,
            };
        }
    )* };
}
#[cfg(target_arch = "x86_64")]
compiled! {
    single512: f32, __m512, "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma";
    double512: f64, __m512d, "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma";
    single256: f32, __m256, "avx2,fma";
    double256: f64, __m256d, "avx2,fma";
}

/// The loops of a level for `f32`; none without vector instructions that are known here.
pub fn single(level: Level) -> Option<&'static Kernel<f32>> {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => Some(&single512::KERNEL),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => Some(&single256::KERNEL),
        _ => None,
    }
}

/// [`single`] for `f64`.
pub fn double(level: Level) -> Option<&'static Kernel<f64>> {
    match level {
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => Some(&double512::KERNEL),
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => Some(&double256::KERNEL),
        _ => None,
    }
}
