//! Integer arithmetic. A zero divisor gives `None`; whatever overflows wraps, as it does in PyTorch.

/// C's remainder, with the sign of `a`.
#[inline]
pub fn fmod_i64(a: i64, b: i64) -> Option<i64> {
    if b == 0 { None } else { Some(a.wrapping_rem(b)) }
}

/// Python's remainder, with the sign of `b`.
#[inline]
pub fn remainder_i64(a: i64, b: i64) -> Option<i64> {
    let rest = fmod_i64(a, b)?;
    Some(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest })
}

/// The quotient rounded down.
#[inline]
pub fn floor_divide_i64(a: i64, b: i64) -> Option<i64> {
    let rest = fmod_i64(a, b)?;
    let quotient = a.wrapping_div(b);
    Some(if rest != 0 && (rest < 0) != (b < 0) { quotient - 1 } else { quotient })
}

/// The quotient rounded toward zero.
#[inline]
pub fn trunc_divide_i64(a: i64, b: i64) -> Option<i64> {
    if b == 0 { None } else { Some(a.wrapping_div(b)) }
}

/// The greatest common divisor, not negative unless |a| or |b| is 2^63.
#[inline]
pub fn gcd_i64(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a.wrapping_abs(), b.wrapping_abs());
    while a != 0 {
        (a, b) = (b.wrapping_rem(a), a);
    }
    b
}

/// The least common multiple, 0 if either is 0.
#[inline]
pub fn lcm_i64(a: i64, b: i64) -> i64 {
    let divisor = gcd_i64(a, b);
    if divisor == 0 { 0 } else { (a / divisor).wrapping_mul(b).wrapping_abs() }
}

/// a to the power b, wrapping. As in PyTorch, a negative exponent gives 0 unless a is 1 or -1.
#[inline]
pub fn pow_i64(a: i64, b: i64) -> i64 {
    if b < 0 {
        return match a {
            1 => 1,
            -1 => {
                if b % 2 == 0 {
                    1
                } else {
                    -1
                }
            }
            _ => 0,
        };
    }
    let (mut result, mut base, mut rest) = (1i64, a, b);
    while rest > 0 {
        if rest & 1 == 1 {
            result = result.wrapping_mul(base);
        }
        base = base.wrapping_mul(base);
        rest >>= 1;
    }
    result
}
