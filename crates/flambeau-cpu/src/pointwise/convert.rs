//! Conversions between storage and compute types. One of the modules with unsafe code.

pub(crate) use flambeau_core::halves::{narrow_bf16, widen_bf16};
use flambeau_core::{C32, C64, bf16, f16};

/// Conversion from a storage type to a compute type and back, as C++ `static_cast` does it.
pub trait Convert<S> {
    fn from_storage(s: S) -> Self;
    fn into_storage(self) -> S;
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
    let fits = v > -2147483649.0 && v < 2147483648.0;
    // SAFETY: in range; the checked conversion would not be vectorised.
    let n = unsafe { (if fits { v } else { 0.0 }).to_int_unchecked::<i32>() };
    if fits { n } else { i32::MIN }
}

/// A float as a 64-bit integer as processors convert it: the least integer where it does not fit.
#[inline(always)]
fn cut64(v: f64) -> i64 {
    let fits = (-9223372036854775808.0..9223372036854775808.0).contains(&v);
    // SAFETY: as above.
    let n = unsafe { (if fits { v } else { 0.0 }).to_int_unchecked::<i64>() };
    if fits { n } else { i64::MIN }
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
            f16 => |s: f16| widen_f16(s) as $c, |v: $c| narrow_f16(v as f32);
            bf16 => |s: bf16| widen_bf16(s) as $c, |v: $c| narrow_bf16(v as f32);
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
    f16 => |s: f16| widen_f16(s) as i64, |v| narrow_f16(v as f32);
    bf16 => |s: bf16| widen_bf16(s) as i64, |v| narrow_bf16(v as f32);
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
            f16 => |s: f16| $c::new(widen_f16(s) as $r, 0.0), |v: $c| narrow_f16(v.re as f32);
            bf16 => |s: bf16| $c::new(widen_bf16(s) as $r, 0.0), |v: $c| narrow_bf16(v.re as f32);
            f32 => |s| $c::new(s as $r, 0.0), |v: $c| v.re as f32;
            f64 => |s| $c::new(s as $r, 0.0), |v: $c| v.re as f64;
            C32 => |s: C32| $c::new(s.re as $r, s.im as $r), |v: $c| C32::new(v.re as f32, v.im as f32);
            C64 => |s: C64| $c::new(s.re as $r, s.im as $r), |v: $c| C64::new(v.re as f64, v.im as f64);
        );
    };
}
convert_complex!(C32, f32);
convert_complex!(C64, f64);

// Halves by arithmetic on their bits, which is vectorised where single conversions would be calls.

#[inline(always)]
pub(crate) fn widen_f16(v: f16) -> f32 {
    let bits = v.to_bits() as u32;
    let magnitude = (bits & 0x7fff) << 13;
    // The exponent's offset by an exact product, which also makes subnormal numbers normal.
    let finite = (f32::from_bits(magnitude) * f32::from_bits((127 + 112) << 23)).to_bits();
    let quiet = if magnitude > 0x7c00 << 13 { 0x40_0000 } else { 0 };
    let all = if magnitude < 0x7c00 << 13 { finite } else { magnitude | 0x7f80_0000 | quiet };
    f32::from_bits(all | (bits & 0x8000) << 16)
}

/// To the nearest, ties to even; NaN becomes quiet.
#[inline(always)]
pub(crate) fn narrow_f16(v: f32) -> f16 {
    let bits = v.to_bits();
    let magnitude = bits & 0x7fff_ffff;
    // Below 2^-14 halves are multiples of 2^-24, as floats from 1/2 to 1 are.
    let small = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
    let normal = magnitude.wrapping_add(0xfff + (magnitude >> 13 & 1)).wrapping_sub(112 << 23) >> 13;
    let finite = if magnitude < 113 << 23 { small } else { normal };
    let limited = if v.abs() >= 65520.0 { 0x7c00 } else { finite };
    let all = if v.is_nan() { 0x7e00 | (magnitude >> 13 & 0x3ff) } else { limited };
    f16::from_bits((all | (bits >> 16 & 0x8000)) as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves() {
        for bits in 0..=u16::MAX {
            let (h, b) = (f16::from_bits(bits), bf16::from_bits(bits));
            assert_eq!(widen_f16(h).to_bits(), h.to_f32().to_bits(), "{bits:x}");
            assert_eq!(widen_bf16(b).to_bits(), (bits as u32) << 16);
        }
        for bits in (0..=u32::MAX / 97).map(|i| i * 97).chain((0..1 << 20).map(|i| i << 12)) {
            let v = f32::from_bits(bits);
            assert_eq!(narrow_f16(v).to_bits(), f16::from_f32(v).to_bits(), "{v:e}");
            assert_eq!(narrow_bf16(v).to_bits(), bf16::from_f32(v).to_bits(), "{v:e}");
        }
    }

    #[test]
    fn integers() {
        for (v, short, long) in [
            (1.9, 1, 1),
            (-1.9, -1, -1),
            (f64::NAN, i32::MIN, i64::MIN),
            (2147483647.5, i32::MAX, 2147483647),
            (-2147483648.5, i32::MIN, -2147483648),
            (3e9, i32::MIN, 3_000_000_000),
            (-1e19, i32::MIN, i64::MIN),
            (9223372036854775808.0, i32::MIN, i64::MIN),
            (-9223372036854775808.0, i32::MIN, i64::MIN),
            (f64::INFINITY, i32::MIN, i64::MIN),
        ] {
            assert_eq!((cut32(v), cut64(v)), (short, long), "{v}");
        }
    }
}
