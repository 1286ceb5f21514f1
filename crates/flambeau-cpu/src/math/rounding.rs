//! Rounding, remainders and division with rounding, for the float types and `i64`.

/// The operations of this file, which PyTorch computes in the type itself: going through `f64` would round otherwise.
pub trait Rounding: Copy {
    /// The nearest integer, ties to even.
    fn round_half_even(self) -> Self;
    /// `torch.round(decimals=)`: scaled by a power of ten, rounded, and scaled back, each step rounded to the type.
    fn round_decimals(self, decimals: i64) -> Self;
    /// C's remainder, with the sign of the dividend; NaN for a zero divisor.
    fn fmod(self, divisor: Self) -> Self;
    /// Python's remainder, with the sign of the divisor; NaN for a zero divisor.
    fn remainder(self, divisor: Self) -> Self;
    /// The quotient rounded down, consistent with [`Rounding::remainder`]; the plain quotient for a zero divisor.
    fn floor_divide(self, divisor: Self) -> Self;
    /// The quotient rounded toward zero.
    fn trunc_divide(self, divisor: Self) -> Self;
}

macro_rules! rounding {
    ($t:ty) => {
        impl Rounding for $t {
            #[inline]
            fn round_half_even(self) -> Self {
                self.round_ties_even()
            }
            #[inline]
            fn round_decimals(self, decimals: i64) -> Self {
                if decimals == 0 {
                    return self.round_ties_even();
                }
                let scale = 10f64.powi(decimals.unsigned_abs().min(400) as i32) as $t;
                if decimals > 0 {
                    (self * scale).round_ties_even() / scale
                } else {
                    (self / scale).round_ties_even() * scale
                }
            }
            #[inline]
            fn fmod(self, divisor: Self) -> Self {
                self % divisor
            }
            #[inline]
            fn remainder(self, divisor: Self) -> Self {
                let rest = self % divisor;
                if rest != 0.0 && (rest < 0.0) != (divisor < 0.0) { rest + divisor } else { rest }
            }
            #[inline]
            fn floor_divide(self, divisor: Self) -> Self {
                if divisor == 0.0 {
                    return self / divisor;
                }
                let rest = self % divisor;
                let mut quotient = (self - rest) / divisor;
                if rest != 0.0 && (rest < 0.0) != (divisor < 0.0) {
                    quotient -= 1.0;
                }
                if quotient == 0.0 {
                    return (0.0 as $t).copysign(self / divisor);
                }
                // The division above may have fallen short of the integer that it is.
                let floor = quotient.floor();
                if quotient - floor > 0.5 { floor + 1.0 } else { floor }
            }
            #[inline]
            fn trunc_divide(self, divisor: Self) -> Self {
                (self / divisor).trunc()
            }
        }
    };
}
rounding!(f32);
rounding!(f64);

/// The nearest integer, ties to even.
#[inline]
pub fn round_half_even<T: Rounding>(x: T) -> T {
    x.round_half_even()
}

/// `torch.round(x, decimals=)`; halves are rounded through `f32`.
#[inline]
pub fn round_decimals<T: Rounding>(x: T, decimals: i64) -> T {
    x.round_decimals(decimals)
}

/// C's remainder, with the sign of `a`.
#[inline]
pub fn fmod<T: Rounding>(a: T, b: T) -> T {
    a.fmod(b)
}

/// Python's remainder, with the sign of `b`.
#[inline]
pub fn remainder<T: Rounding>(a: T, b: T) -> T {
    a.remainder(b)
}

/// The quotient rounded down.
#[inline]
pub fn floor_divide<T: Rounding>(a: T, b: T) -> T {
    a.floor_divide(b)
}

/// The quotient rounded toward zero.
#[inline]
pub fn trunc_divide<T: Rounding>(a: T, b: T) -> T {
    a.trunc_divide(b)
}
