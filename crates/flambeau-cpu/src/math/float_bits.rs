//! Functions that look into the representation of a float.

use half::{bf16, f16};

/// The next representable number after `self` in the direction of another.
pub trait NextAfter: Copy {
    /// `toward` itself when the two are equal; NaN if either is NaN; ±∞ beyond the largest number.
    fn nextafter(self, toward: Self) -> Self;
}

macro_rules! next_after {
    ($t:ty, $bits:ty, $zero:expr) => {
        impl NextAfter for $t {
            #[inline]
            fn nextafter(self, toward: Self) -> Self {
                if self.is_nan() {
                    return self;
                }
                if toward.is_nan() || self == toward {
                    return toward;
                }
                let bits = self.to_bits();
                if self == $zero {
                    // The smallest subnormal number with the sign of the direction.
                    let sign: $bits = 1 << (<$bits>::BITS - 1);
                    return <$t>::from_bits((toward.to_bits() & sign) | 1);
                }
                // Moving away from zero is counting up, whatever the sign.
                let outward = (self < toward) == (self > $zero);
                <$t>::from_bits(if outward { bits + 1 } else { bits - 1 })
            }
        }
    };
}
next_after!(f32, u32, 0.0);
next_after!(f64, u64, 0.0);
next_after!(f16, u16, f16::ZERO);
next_after!(bf16, u16, bf16::ZERO);

/// The next representable number after `a` in the direction of `b`.
#[inline]
pub fn nextafter<T: NextAfter>(a: T, b: T) -> T {
    a.nextafter(b)
}

/// x = mantissa · 2^exponent with 1/2 <= |mantissa| < 1; zero, ±∞ and NaN come back with exponent 0.
#[inline]
pub fn frexp(x: f64) -> (f64, i32) {
    if x == 0.0 || !x.is_finite() {
        return (x, 0);
    }
    // Subnormal numbers are brought into the normal range first.
    let (x, offset) = if x.abs() < f64::MIN_POSITIVE { (x * 18_014_398_509_481_984.0, 54) } else { (x, 0) };
    let bits = x.to_bits();
    let exponent = ((bits >> 52) & 0x7ff) as i32 - 1022;
    (f64::from_bits((bits & !(0x7ff << 52)) | (1022 << 52)), exponent - offset)
}

/// x · 2^exponent, the power being computed first: it may overflow where the product would not, as in PyTorch.
#[inline]
pub fn ldexp(x: f64, exponent: f64) -> f64 {
    x * exponent.exp2()
}
