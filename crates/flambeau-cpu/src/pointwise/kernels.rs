//! The kernels of the primitives for the five compute types, as functions over slices.

use super::engine::Operation;
use flambeau_core::{C32, C64, Element, Number, bf16, f16};

/// A kernel over contiguous slices of equal length.
#[derive(Clone, Copy)]
pub enum Kernel<T> {
    Unary(fn(&[T], &mut [T])),
    Binary(fn(&[T], &[T], &mut [T])),
    Ternary(fn(&[T], &[T], &[T], &mut [T])),
}

/// Conversion from a storage type to a compute type and back, as C++ `static_cast` does it.
pub trait Convert<S> {
    fn from_storage(s: S) -> Self;
    fn into_storage(self) -> S;
}

/// A type in which kernels compute.
pub trait Compute:
    Element
    + Number
    + Convert<u8>
    + Convert<i8>
    + Convert<i16>
    + Convert<i32>
    + Convert<i64>
    + Convert<u16>
    + Convert<u32>
    + Convert<u64>
    + Convert<f16>
    + Convert<bf16>
    + Convert<f32>
    + Convert<f64>
    + Convert<C32>
    + Convert<C64>
{
    fn kernel(operation: Operation) -> Option<Kernel<Self>>;
    fn is_true(self) -> bool;
}

macro_rules! convert {
    ($c:ty: $($s:ty => $load:expr, $store:expr;)*) => { $(impl Convert<$s> for $c {
        #[inline(always)] fn from_storage(s: $s) -> $c { $load(s) }
        #[inline(always)] fn into_storage(self) -> $s { $store(self) }
    })* };
}
/// A float as a 32-bit integer as processors convert it: the least integer where it does not fit.
#[inline(always)]
fn cut32(v: f64) -> i32 {
    if v > -2147483649.0 && v < 2147483648.0 { v as i32 } else { i32::MIN }
}

/// A float as a 64-bit integer as processors convert it: the least integer where it does not fit.
#[inline(always)]
fn cut64(v: f64) -> i64 {
    if v < 9223372036854775808.0 { v as i64 } else { i64::MIN }
}

macro_rules! convert_real {
    ($c:ty) => {
        convert!($c:
            u8 => |s| s as $c, |v: $c| cut32(v as f64) as u8;
            i8 => |s| s as $c, |v: $c| cut32(v as f64) as i8;
            i16 => |s| s as $c, |v: $c| cut32(v as f64) as i16;
            i32 => |s| s as $c, |v: $c| cut32(v as f64);
            i64 => |s| s as $c, |v: $c| cut64(v as f64);
            u16 => |s| s as $c, |v: $c| cut32(v as f64) as u16;
            u32 => |s| s as $c, |v: $c| cut64(v as f64) as u32;
            u64 => |s| s as $c, |v: $c| if v < (0 as $c) { v as i64 as u64 } else { v as u64 };
            f16 => |s: f16| f32::from(s) as $c, |v: $c| f16::from_f32(v as f32);
            bf16 => |s: bf16| f32::from(s) as $c, |v: $c| bf16::from_f32(v as f32);
            f32 => |s| s as $c, |v: $c| v as f32;
            f64 => |s| s as $c, |v: $c| v as f64;
            C32 => |s: C32| s.re as $c, |v: $c| C32::new(v as f32, 0.0);
            C64 => |s: C64| s.re as $c, |v: $c| C64::new(v as f64, 0.0);
        );
    };
}
convert_real!(f32);
convert_real!(f64);
convert!(i64:
    u8 => |s| s as i64, |v| v as u8;
    i8 => |s| s as i64, |v| v as i8;
    i16 => |s| s as i64, |v| v as i16;
    i32 => |s| s as i64, |v| v as i32;
    i64 => |s| s, |v| v;
    u16 => |s| s as i64, |v| v as u16;
    u32 => |s| s as i64, |v| v as u32;
    u64 => |s| s as i64, |v| v as u64;
    f16 => |s: f16| f32::from(s) as i64, |v| f16::from_f32(v as f32);
    bf16 => |s: bf16| f32::from(s) as i64, |v| bf16::from_f32(v as f32);
    f32 => |s| s as i64, |v| v as f32;
    f64 => |s| s as i64, |v| v as f64;
    C32 => |s: C32| s.re as i64, |v| C32::new(v as f32, 0.0);
    C64 => |s: C64| s.re as i64, |v| C64::new(v as f64, 0.0);
);
macro_rules! convert_complex {
    ($c:ident, $r:ty) => {
        convert!($c:
            u8 => |s| $c::new(s as $r, 0.0), |v: $c| cut32(v.re as f64) as u8;
            i8 => |s| $c::new(s as $r, 0.0), |v: $c| cut32(v.re as f64) as i8;
            i16 => |s| $c::new(s as $r, 0.0), |v: $c| cut32(v.re as f64) as i16;
            i32 => |s| $c::new(s as $r, 0.0), |v: $c| cut32(v.re as f64);
            i64 => |s| $c::new(s as $r, 0.0), |v: $c| cut64(v.re as f64);
            u16 => |s| $c::new(s as $r, 0.0), |v: $c| cut32(v.re as f64) as u16;
            u32 => |s| $c::new(s as $r, 0.0), |v: $c| cut64(v.re as f64) as u32;
            u64 => |s| $c::new(s as $r, 0.0), |v: $c| v.re as i64 as u64;
            f16 => |s: f16| $c::new(f32::from(s) as $r, 0.0), |v: $c| f16::from_f32(v.re as f32);
            bf16 => |s: bf16| $c::new(f32::from(s) as $r, 0.0), |v: $c| bf16::from_f32(v.re as f32);
            f32 => |s| $c::new(s as $r, 0.0), |v: $c| v.re as f32;
            f64 => |s| $c::new(s as $r, 0.0), |v: $c| v.re as f64;
            C32 => |s: C32| $c::new(s.re as $r, s.im as $r), |v: $c| C32::new(v.re as f32, v.im as f32);
            C64 => |s: C64| $c::new(s.re as $r, s.im as $r), |v: $c| C64::new(v.re as f64, v.im as f64);
        );
    };
}
convert_complex!(C32, f32);
convert_complex!(C64, f64);

/// A unary kernel from an element function.
macro_rules! unary {
    ($t:ty, $f:expr) => {
        Kernel::Unary(|a: &[$t], o: &mut [$t]| {
            crate::wide::wide(|| {
                for (o, &a) in o.iter_mut().zip(a) {
                    *o = ($f)(a);
                }
            })
        })
    };
}
macro_rules! binary {
    ($t:ty, $f:expr) => {
        Kernel::Binary(|a: &[$t], b: &[$t], o: &mut [$t]| {
            crate::wide::wide(|| {
                for ((o, &a), &b) in o.iter_mut().zip(a).zip(b) {
                    *o = ($f)(a, b);
                }
            })
        })
    };
}
pub(super) use {binary, unary};

macro_rules! select {
    ($t:ty, $zero:expr) => {
        Kernel::Ternary(|c: &[$t], a: &[$t], b: &[$t], o: &mut [$t]| {
            crate::wide::wide(|| {
                for (((o, &c), &a), &b) in o.iter_mut().zip(c).zip(a).zip(b) {
                    *o = if c != $zero { a } else { b };
                }
            })
        })
    };
}

/// A ternary kernel from an element function.
macro_rules! ternary {
    ($t:ty, $f:expr) => {
        Kernel::Ternary(|a: &[$t], b: &[$t], c: &[$t], o: &mut [$t]| {
            // With the instruction where there is one: otherwise `mul_add` is a call.
            crate::wide::wide(|| {
                for (((o, &a), &b), &c) in o.iter_mut().zip(a).zip(b).zip(c) {
                    *o = ($f)(a, b, c);
                }
            })
        })
    };
}

macro_rules! float_compute {
    ($t:ident, $module:ident) => {
        impl Compute for $t {
            fn kernel(operation: Operation) -> Option<Kernel<$t>> {
                match operation {
                    Operation::Select => Some(select!($t, 0.0)),
                    Operation::MulAdd => Some(ternary!($t, |a: $t, b: $t, c: $t| a.mul_add(b, c))),
                    Operation::MulSub => Some(ternary!($t, |a: $t, b: $t, c: $t| (-a).mul_add(b, c))),
                    Operation::Prim(p) => super::real::$module(p),
                }
            }
            #[inline(always)]
            fn is_true(self) -> bool {
                self != 0.0
            }
        }
    };
}
float_compute!(f32, kernel_f32);
float_compute!(f64, kernel_f64);

impl Compute for i64 {
    fn kernel(operation: Operation) -> Option<Kernel<i64>> {
        match operation {
            Operation::Select => Some(select!(i64, 0)),
            Operation::MulAdd => {
                Some(ternary!(i64, |a: i64, b: i64, c: i64| a.wrapping_mul(b).wrapping_add(c)))
            }
            Operation::MulSub => {
                Some(ternary!(i64, |a: i64, b: i64, c: i64| c.wrapping_sub(a.wrapping_mul(b))))
            }
            Operation::Prim(p) => super::integer::kernel(p),
        }
    }
    #[inline(always)]
    fn is_true(self) -> bool {
        self != 0
    }
}

macro_rules! complex_compute {
    ($t:ident, $module:ident) => {
        impl Compute for $t {
            fn kernel(operation: Operation) -> Option<Kernel<$t>> {
                match operation {
                    Operation::Select => Some(select!($t, $t::new(0.0, 0.0))),
                    Operation::MulAdd => Some(ternary!($t, |a: $t, b: $t, c: $t| a * b + c)),
                    Operation::MulSub => Some(ternary!($t, |a: $t, b: $t, c: $t| c - a * b)),
                    Operation::Prim(p) => super::complex::$module(p),
                }
            }
            #[inline(always)]
            fn is_true(self) -> bool {
                self.re != 0.0 || self.im != 0.0
            }
        }
    };
}
complex_compute!(C32, kernel_c32);
complex_compute!(C64, kernel_c64);
