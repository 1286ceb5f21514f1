//! Element types and their promotion (PyTorch's lattice).

use half::{bf16, f16};
use num_complex::Complex;
use std::fmt;

/// The element types. The order is PyTorch's `ScalarType` numbering with gaps removed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum DType {
    UInt8,
    Int8,
    Int16,
    Int32,
    Int64,
    Float16,
    Float32,
    Float64,
    Complex64,
    Complex128,
    Bool,
    BFloat16,
    UInt16,
    UInt32,
    UInt64,
}

/// A `complex64` element.
pub type C32 = Complex<f32>;
/// A `complex128` element.
pub type C64 = Complex<f64>;

use DType::*;

/// The three categories that decide promotion between tensors, zero-dim tensors and Python numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Category {
    Bool,
    Integral,
    Float,
    Complex,
}

impl DType {
    pub const ALL: [DType; 15] = [
        UInt8, Int8, Int16, Int32, Int64, Float16, Float32, Float64, Complex64, Complex128, Bool, BFloat16,
        UInt16, UInt32, UInt64,
    ];

    /// Bytes of one element.
    pub const fn size(self) -> usize {
        match self {
            UInt8 | Int8 | Bool => 1,
            Int16 | Float16 | BFloat16 | UInt16 => 2,
            Int32 | Float32 | UInt32 => 4,
            Int64 | Float64 | Complex64 | UInt64 => 8,
            Complex128 => 16,
        }
    }
    /// `float32`, without `torch.`.
    pub const fn name(self) -> &'static str {
        match self {
            UInt8 => "uint8",
            Int8 => "int8",
            Int16 => "int16",
            Int32 => "int32",
            Int64 => "int64",
            Float16 => "float16",
            Float32 => "float32",
            Float64 => "float64",
            Complex64 => "complex64",
            Complex128 => "complex128",
            Bool => "bool",
            BFloat16 => "bfloat16",
            UInt16 => "uint16",
            UInt32 => "uint32",
            UInt64 => "uint64",
        }
    }
    /// The name that PyTorch's C++ messages use: `Float`, `Long`, `ComplexFloat`.
    pub const fn cpp_name(self) -> &'static str {
        match self {
            UInt8 => "Byte",
            Int8 => "Char",
            Int16 => "Short",
            Int32 => "Int",
            Int64 => "Long",
            Float16 => "Half",
            Float32 => "Float",
            Float64 => "Double",
            Complex64 => "ComplexFloat",
            Complex128 => "ComplexDouble",
            Bool => "Bool",
            BFloat16 => "BFloat16",
            UInt16 => "UInt16",
            UInt32 => "UInt32",
            UInt64 => "UInt64",
        }
    }
    /// The C++ spelling of the element type, as compilers print it: `long int`, `c10::Half`.
    pub const fn cpp_type(self) -> &'static str {
        match self {
            UInt8 => "unsigned char",
            Int8 => "signed char",
            Int16 => "short int",
            Int32 => "int",
            Int64 => "long int",
            Float16 => "c10::Half",
            Float32 => "float",
            Float64 => "double",
            Complex64 => "c10::complex<float>",
            Complex128 => "c10::complex<double>",
            Bool => "bool",
            BFloat16 => "c10::BFloat16",
            UInt16 => "short unsigned int",
            UInt32 => "unsigned int",
            UInt64 => "long unsigned int",
        }
    }
    pub const fn category(self) -> Category {
        match self {
            Bool => Category::Bool,
            UInt8 | Int8 | Int16 | Int32 | Int64 | UInt16 | UInt32 | UInt64 => Category::Integral,
            Float16 | Float32 | Float64 | BFloat16 => Category::Float,
            Complex64 | Complex128 => Category::Complex,
        }
    }
    pub const fn is_floating_point(self) -> bool {
        matches!(self, Float16 | Float32 | Float64 | BFloat16)
    }
    pub const fn is_complex(self) -> bool {
        matches!(self, Complex64 | Complex128)
    }
    /// Integers, `bool` not among them.
    pub const fn is_integral(self) -> bool {
        matches!(self.category(), Category::Integral)
    }
    /// Integers and `bool`.
    pub const fn is_integral_or_bool(self) -> bool {
        matches!(self.category(), Category::Integral | Category::Bool)
    }
    pub const fn is_signed(self) -> bool {
        !matches!(self, UInt8 | Bool | UInt16 | UInt32 | UInt64)
    }
    /// Whether a tensor of it may require a gradient.
    pub const fn is_differentiable(self) -> bool {
        self.is_floating_point() || self.is_complex()
    }
    /// The real type of a complex one; other types are their own.
    pub const fn to_real(self) -> DType {
        match self {
            Complex64 => Float32,
            Complex128 => Float64,
            other => other,
        }
    }
    /// The complex type whose parts hold this type.
    pub const fn to_complex(self) -> DType {
        match self {
            Float64 | Complex128 => Complex128,
            _ => Complex64,
        }
    }
    /// The type in which kernels compute: halves in `float32`, all integers and `bool` in `int64`.
    pub const fn compute(self) -> DType {
        match self {
            Float16 | BFloat16 | Float32 => Float32,
            Float64 => Float64,
            Complex64 => Complex64,
            Complex128 => Complex128,
            _ => Int64,
        }
    }
    /// Whether a result of this type may be written to a tensor of type `to` (`result type … can't be cast`).
    pub fn can_cast(self, to: DType) -> bool {
        self.category() <= to.category()
    }

    /// The smallest type that both convert to.
    pub fn promote(self, other: DType) -> DType {
        if self == other {
            return self;
        }
        let (a, b) = (self.category(), other.category());
        if a != b {
            let (high, low) = if a > b { (self, other) } else { (other, self) };
            return match (high, low) {
                // A complex type takes the precision of a float beside it.
                (Complex64, Float64) => Complex128,
                _ => high,
            };
        }
        match a {
            Category::Bool => Bool,
            Category::Complex => Complex128,
            Category::Float => match (self, other) {
                (Float64, _) | (_, Float64) => Float64,
                _ => Float32,
            },
            Category::Integral => {
                let wide = |t: DType| if t.is_signed() { t.size() } else { t.size() + 1 };
                if self.is_signed() == other.is_signed() {
                    return if self.size() >= other.size() { self } else { other };
                }
                match wide(self).max(wide(other)) {
                    0 | 1 => Int8,
                    2 => Int16,
                    3 | 4 => Int32,
                    _ => Int64,
                }
            }
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "torch.{}", self.name())
    }
}
impl fmt::Debug for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A Rust type that is the element of a [`DType`].
pub trait Element: Copy + Send + Sync + Default + PartialEq + fmt::Debug + 'static {
    const DTYPE: DType;
}
macro_rules! elements { ($($t:ty => $d:ident),*) => { $(impl Element for $t { const DTYPE: DType = $d; })* } }
elements!(u8 => UInt8, i8 => Int8, i16 => Int16, i32 => Int32, i64 => Int64, f16 => Float16, f32 => Float32,
          f64 => Float64, C32 => Complex64, C64 => Complex128, bool => Bool, bf16 => BFloat16, u16 => UInt16,
          u32 => UInt32, u64 => UInt64);

/// The one place where a dtype becomes a Rust type: `dispatch!(storage dtype, T => body)` runs the body with `T` the
/// storage type (`bool` is dispatched as `u8`, whose bytes are 0 or 1), `compute` with the type that the dtype is
/// computed in. `ordered` is `compute` for types with an order, `real` for real floating-point numbers, `linear` takes
/// the dtype itself where linear algebra has it; these three run another body for all other dtypes.
#[macro_export]
macro_rules! dispatch {
    (@arms $dtype:expr, $T:ident => $body:expr, { $($variant:pat => $type:ty),* }, $rest:pat => $other:expr) => {
        match $dtype {
            $($variant => {
                type $T = $type;
                $body
            })*
            $rest => $other,
        }
    };
    (compute $dtype:expr, $T:ident => $body:expr) => {
        $crate::dispatch!(@arms $dtype.compute(), $T => $body, {
            $crate::DType::Float32 => f32,
            $crate::DType::Float64 => f64,
            $crate::DType::Complex64 => $crate::C32,
            $crate::DType::Complex128 => $crate::C64
        }, _ => {
            type $T = i64;
            $body
        })
    };
    (ordered $dtype:expr, $T:ident => $body:expr, else $other:expr) => {
        $crate::dispatch!(@arms $dtype.compute(), $T => $body, {
            $crate::DType::Float32 => f32,
            $crate::DType::Float64 => f64,
            $crate::DType::Int64 => i64
        }, _ => $other)
    };
    (real $dtype:expr, $T:ident => $body:expr, else $other:expr) => {
        $crate::dispatch!(@arms $dtype.compute(), $T => $body, {
            $crate::DType::Float32 => f32,
            $crate::DType::Float64 => f64
        }, _ => $other)
    };
    (linear $dtype:expr, $T:ident => $body:expr, else $other:expr) => {
        $crate::dispatch!(@arms $dtype, $T => $body, {
            $crate::DType::Float32 => f32,
            $crate::DType::Float64 => f64,
            $crate::DType::Complex64 => $crate::C32,
            $crate::DType::Complex128 => $crate::C64
        }, _ => $other)
    };
    (storage $dtype:expr, $T:ident => $body:expr) => {
        $crate::dispatch!(@arms $dtype, $T => $body, {
            $crate::DType::Bool => u8,
            $crate::DType::Int8 => i8,
            $crate::DType::Int16 => i16,
            $crate::DType::Int32 => i32,
            $crate::DType::Int64 => i64,
            $crate::DType::Float16 => $crate::f16,
            $crate::DType::BFloat16 => $crate::bf16,
            $crate::DType::Float32 => f32,
            $crate::DType::Float64 => f64,
            $crate::DType::Complex64 => $crate::C32,
            $crate::DType::Complex128 => $crate::C64,
            $crate::DType::UInt16 => u16,
            $crate::DType::UInt32 => u32,
            $crate::DType::UInt64 => u64
        }, $crate::DType::UInt8 => {
            type $T = u8;
            $body
        })
    };
}
