//! Numbers that are not tensors: operator arguments, `item()`, fill values.

use crate::{C32, C64, DType, Result, bail};
use half::{bf16, f16};
use num_complex::Complex as Cplx;

/// A number with its category; the value of a Python `bool`, `int`, `float` or `complex`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    Bool(bool),
    Int(i64),
    /// Only for values above `i64::MAX`.
    UInt(u64),
    Float(f64),
    Complex(C64),
}

use Scalar::*;

impl std::ops::Neg for Scalar {
    type Output = Scalar;
    fn neg(self) -> Scalar {
        match self {
            Bool(b) => Int(-(b as i64)),
            Int(i) => Int(i.wrapping_neg()),
            UInt(i) => Float(-(i as f64)),
            Float(f) => Float(-f),
            Complex(c) => Complex(-c),
        }
    }
}

impl Scalar {
    /// The dtype that a tensor made of it has, given the default dtype.
    pub fn dtype(self, default: DType) -> DType {
        match self {
            Bool(_) => DType::Bool,
            Int(_) => DType::Int64,
            UInt(_) => DType::UInt64,
            Float(_) => default,
            Complex(_) => default.to_complex(),
        }
    }
    pub fn category(self) -> crate::Category {
        match self {
            Bool(_) => crate::Category::Bool,
            Int(_) | UInt(_) => crate::Category::Integral,
            Float(_) => crate::Category::Float,
            Complex(_) => crate::Category::Complex,
        }
    }
    pub fn is_integral_or_bool(self) -> bool {
        matches!(self, Bool(_) | Int(_) | UInt(_))
    }
    /// The real value (of a complex number its real part).
    pub fn to_f64(self) -> f64 {
        match self {
            Bool(b) => b as i64 as f64,
            Int(i) => i as f64,
            UInt(i) => i as f64,
            Float(f) => f,
            Complex(c) => c.re,
        }
    }
    /// The integer value; floats are cut off as C++ does, saturating.
    pub fn to_i64(self) -> i64 {
        match self {
            Bool(b) => b as i64,
            Int(i) => i,
            UInt(i) => i as i64,
            Float(f) => f as i64,
            Complex(c) => c.re as i64,
        }
    }
    pub fn to_complex(self) -> C64 {
        match self {
            Complex(c) => c,
            other => C64::new(other.to_f64(), 0.0),
        }
    }
    pub fn to_bool(self) -> bool {
        match self {
            Bool(b) => b,
            Int(i) => i != 0,
            UInt(i) => i != 0,
            Float(f) => f != 0.0,
            Complex(c) => c != C64::new(0.0, 0.0),
        }
    }
    pub fn is_complex(self) -> bool {
        matches!(self, Complex(_))
    }
    pub fn is_float(self) -> bool {
        matches!(self, Float(_))
    }
    /// Whether the value is exactly the integer `n`.
    pub fn is(self, n: i64) -> bool {
        match self {
            Bool(b) => b as i64 == n,
            Int(i) => i == n,
            UInt(_) => false,
            Float(f) => f == n as f64,
            Complex(c) => c.re == n as f64 && c.im == 0.0,
        }
    }
    /// Fails where PyTorch does: "value cannot be converted to type uint8_t without overflow".
    pub fn check_fits(self, dtype: DType) -> Result<()> {
        let cpp = match dtype {
            DType::UInt8 => "uint8_t",
            DType::Int8 => "int8_t",
            DType::Int16 => "int16_t",
            DType::Int32 => "int",
            DType::Int64 => "int64_t",
            DType::UInt16 => "uint16_t",
            DType::UInt32 => "uint32_t",
            DType::UInt64 => "uint64_t",
            DType::Float16 => "at::Half",
            DType::BFloat16 => "at::BFloat16",
            DType::Float32 => "float",
            DType::Float64 => "double",
            DType::Bool => return Ok(()),
            DType::Complex64 | DType::Complex128 => return Ok(()),
        };
        let fits = match self {
            Complex(c) if c.im != 0.0 => false,
            _ => match dtype {
                DType::Float16 | DType::BFloat16 | DType::Float32 => {
                    let limit = match dtype {
                        DType::Float16 => 65504.0,
                        DType::BFloat16 => f32::from(bf16::MAX) as f64,
                        _ => f32::MAX as f64,
                    };
                    let f = self.to_f64();
                    !f.is_finite() || f.abs() <= limit
                }
                DType::Float64 => true,
                _ => {
                    let bits = dtype.size() as u32 * 8;
                    let (low, high): (i128, i128) = if dtype.is_signed() {
                        (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1)
                    } else {
                        // Negative values are allowed where their two's complement fits, as in PyTorch.
                        (-(1i128 << bits) + 1, (1i128 << bits) - 1)
                    };
                    match self {
                        Bool(_) => true,
                        Int(i) => (low..=high).contains(&(i as i128)),
                        UInt(i) => (low..=high).contains(&(i as i128)),
                        other => {
                            let f = other.to_f64();
                            f.is_finite() && f >= low as f64 && f <= high as f64
                        }
                    }
                }
            },
        };
        if !fits {
            bail!("value cannot be converted to type {cpp} without overflow");
        }
        Ok(())
    }
}

/// Conversion between element types as C++ `static_cast` does it (floats to integers saturate, never undefined).
pub trait Number: crate::Element {
    fn from_scalar(s: Scalar) -> Self;
    fn to_scalar(self) -> Scalar;
}
macro_rules! ints { ($($t:ty),*) => { $(impl Number for $t {
    #[inline] fn from_scalar(s: Scalar) -> Self {
        match s { UInt(i) => i as $t, Int(i) => i as $t, Bool(b) => b as $t, other => other.to_f64() as i64 as $t }
    }
    #[inline] fn to_scalar(self) -> Scalar { Int(self as i64) }
})* } }
ints!(u8, i8, i16, i32, i64, u16, u32);
impl Number for u64 {
    fn from_scalar(s: Scalar) -> Self {
        match s {
            UInt(i) => i,
            Int(i) => i as u64,
            Bool(b) => b as u64,
            other => {
                let f = other.to_f64();
                if f < 0.0 { f as i64 as u64 } else { f as u64 }
            }
        }
    }
    fn to_scalar(self) -> Scalar {
        i64::try_from(self).map_or(UInt(self), Int)
    }
}
macro_rules! floats { ($($t:ty: $from:expr, $to:expr);*) => { $(impl Number for $t {
    #[inline] fn from_scalar(s: Scalar) -> Self { $from(s.to_f64()) }
    #[inline] fn to_scalar(self) -> Scalar { Float($to(self)) }
})* } }
floats!(f16: f16::from_f64, f64::from; bf16: bf16::from_f64, f64::from; f32: |v| v as f32, f64::from; f64: |v| v, |v| v);
impl Number for C32 {
    fn from_scalar(s: Scalar) -> Self {
        let c = s.to_complex();
        C32::new(c.re as f32, c.im as f32)
    }
    fn to_scalar(self) -> Scalar {
        Complex(C64::new(self.re as f64, self.im as f64))
    }
}
impl Number for C64 {
    fn from_scalar(s: Scalar) -> Self {
        s.to_complex()
    }
    fn to_scalar(self) -> Scalar {
        Complex(self)
    }
}
impl Number for bool {
    fn from_scalar(s: Scalar) -> Self {
        s.to_bool()
    }
    fn to_scalar(self) -> Scalar {
        Bool(self)
    }
}

macro_rules! into_scalar { ($($t:ty => $v:expr),*) => { $(impl From<$t> for Scalar { fn from(v: $t) -> Scalar { $v(v) } })* } }
into_scalar!(bool => Bool, i64 => Int, i32 => |v| Int(v as i64), usize => |v| Int(v as i64), f64 => Float,
             f32 => |v| Float(v as f64), C64 => Complex, C32 => |v: C32| Complex(Cplx::new(v.re as f64, v.im as f64)));
