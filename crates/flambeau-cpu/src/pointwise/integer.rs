//! Primitives on 64-bit integers, the compute type of all integers and `bool`. Arithmetic wraps.

use super::Prim;
use super::kernels::{Kernel, binary, unary};
use crate::wide::wide;

fn floor_div(a: i64, b: i64) -> i64 {
    if b == 0 {
        return 0; // Callers reject zero divisors before they compute.
    }
    let (q, r) = (a.wrapping_div(b), a.wrapping_rem(b));
    if r != 0 && (r < 0) != (b < 0) { q - 1 } else { q }
}

fn remainder(a: i64, b: i64) -> i64 {
    if b == 0 {
        return 0;
    }
    let r = a.wrapping_rem(b);
    if r != 0 && (r < 0) != (b < 0) { r + b } else { r }
}

/// A kernel of a quotient or what it leaves, by `small` where all numbers are so small that quotients of `f64` round to
/// the right side, and by `any` otherwise.
macro_rules! quotient {
    ($any:expr, $small:expr) => {
        Kernel::Binary(|a: &[i64], b: &[i64], o: &mut [i64]| {
            let fit = wide(|| {
                let far = a.iter().fold(0, |far, &a| far | beyond(a));
                b.iter().fold(far, |far, &b| far | beyond(b) | (b == 0) as u64) == 0
            });
            if fit {
                return wide(|| {
                    for ((o, &a), &b) in o.iter_mut().zip(a).zip(b) {
                        *o = $small(a, b);
                    }
                });
            }
            for ((o, &a), &b) in o.iter_mut().zip(a).zip(b) {
                *o = $any(a, b);
            }
        })
    };
}

/// Integers between `-2^50` and `2^50` are differences of the bits of floats and those of this one, `1.5 * 2^52`.
const MAGIC: f64 = 6755399441055744.0;

/// Zero for those integers.
#[inline(always)]
fn beyond(a: i64) -> u64 {
    (a.wrapping_add(1 << 50) as u64) >> 51
}

#[inline(always)]
fn float(a: i64) -> f64 {
    f64::from_bits((a as u64).wrapping_add(MAGIC.to_bits())) - MAGIC
}

#[inline(always)]
fn whole(a: f64) -> i64 {
    (a + MAGIC).to_bits().wrapping_sub(MAGIC.to_bits()) as i64
}

// For `|a| < 2^52` a quotient that is no integer is further from the next one than rounding moves it.

#[inline(always)]
fn floor_small(a: i64, b: i64) -> i64 {
    whole((float(a) / float(b)).floor())
}

#[inline(always)]
fn trunc_small(a: i64, b: i64) -> i64 {
    whole((float(a) / float(b)).trunc())
}

/// Exponentiation by squaring; negative exponents give 0 but for bases 1 and -1.
fn pow(mut base: i64, mut exponent: i64) -> i64 {
    if exponent < 0 {
        return match base {
            1 => 1,
            -1 if exponent % 2 == 0 => 1,
            -1 => -1,
            _ => 0,
        };
    }
    let mut result = 1i64;
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = result.wrapping_mul(base);
        }
        exponent >>= 1;
        base = base.wrapping_mul(base);
    }
    result
}

fn gcd(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a as i64
}

pub(super) fn kernel(p: Prim) -> Option<Kernel<i64>> {
    use Prim::*;
    Some(match p {
        Neg => unary!(i64, |a: i64| a.wrapping_neg()),
        Abs => unary!(i64, |a: i64| a.wrapping_abs()),
        Sgn => unary!(i64, |a: i64| (a > 0) as i64 - (a < 0) as i64),
        Floor | Ceil | Round | Trunc | Conj | Real => unary!(i64, |a: i64| a),
        Imag => unary!(i64, |_: i64| 0),
        Isnan | Isinf => unary!(i64, |_: i64| 0),
        Isfinite => unary!(i64, |_: i64| 1),
        Signbit => unary!(i64, |a: i64| (a < 0) as i64),
        Not => unary!(i64, |a: i64| (a == 0) as i64),
        BitNot => unary!(i64, |a: i64| !a),
        Add => binary!(i64, |a: i64, b: i64| a.wrapping_add(b)),
        Sub => binary!(i64, |a: i64, b: i64| a.wrapping_sub(b)),
        Mul => binary!(i64, |a: i64, b: i64| a.wrapping_mul(b)),
        // C's division, towards zero.
        Div => quotient!(|a: i64, b: i64| if b == 0 { 0 } else { a.wrapping_div(b) }, trunc_small),
        FloorDiv => quotient!(floor_div, floor_small),
        Fmod => quotient!(|a: i64, b: i64| if b == 0 { 0 } else { a.wrapping_rem(b) }, |a: i64, b: i64| a
            .wrapping_sub(trunc_small(a, b).wrapping_mul(b))),
        Remainder => {
            quotient!(remainder, |a: i64, b: i64| a.wrapping_sub(floor_small(a, b).wrapping_mul(b)))
        }
        Pow => binary!(i64, pow),
        Max | Fmax => binary!(i64, |a: i64, b: i64| a.max(b)),
        Min | Fmin => binary!(i64, |a: i64, b: i64| a.min(b)),
        Lt => binary!(i64, |a, b| (a < b) as i64),
        Le => binary!(i64, |a, b| (a <= b) as i64),
        Gt => binary!(i64, |a, b| (a > b) as i64),
        Ge => binary!(i64, |a, b| (a >= b) as i64),
        Eq => binary!(i64, |a, b| (a == b) as i64),
        Ne => binary!(i64, |a, b| (a != b) as i64),
        And => binary!(i64, |a, b| (a != 0 && b != 0) as i64),
        Or => binary!(i64, |a, b| (a != 0 || b != 0) as i64),
        Xor => binary!(i64, |a, b| ((a != 0) != (b != 0)) as i64),
        BitAnd => binary!(i64, |a, b| a & b),
        BitOr => binary!(i64, |a, b| a | b),
        BitXor => binary!(i64, |a, b| a ^ b),
        // Shifts by the width or more, or by negative counts, give what an endless shift would.
        Shl => binary!(i64, |a: i64, b: i64| if (0..64).contains(&b) { a << b } else { 0 }),
        Shr => binary!(i64, |a: i64, b: i64| if (0..64).contains(&b) {
            a >> b
        } else if a < 0 {
            -1
        } else {
            0
        }),
        Gcd => binary!(i64, gcd),
        Lcm => binary!(i64, |a: i64, b: i64| {
            let g = gcd(a, b);
            if g == 0 { 0 } else { (a.wrapping_div(g)).wrapping_mul(b).wrapping_abs() }
        }),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotients_of_small_and_large_numbers() {
        let edge = (1i64 << 50) - 1;
        let small: Vec<i64> =
            (-40..40).chain([edge, -edge - 1, edge - 1, 1 << 49, (1 << 49) - 1, 999_999_937]).collect();
        let large: Vec<i64> = small.iter().copied().chain([i64::MIN, i64::MAX, edge + 1]).collect();
        for values in [small, large] {
            let pairs = values.iter().flat_map(|&a| values.iter().filter(|&&b| b != 0).map(move |&b| (a, b)));
            let (a, b): (Vec<i64>, Vec<i64>) = pairs.unzip();
            let mut o = vec![0; a.len()];
            let exact: [(Prim, fn(i64, i64) -> i64); 4] = [
                (Prim::Div, |a, b| a.wrapping_div(b)),
                (Prim::FloorDiv, floor_div),
                (Prim::Fmod, |a, b| a.wrapping_rem(b)),
                (Prim::Remainder, remainder),
            ];
            for (p, exact) in exact {
                let Some(Kernel::Binary(f)) = kernel(p) else { panic!("{p:?}") };
                f(&a, &b, &mut o);
                for ((&a, &b), &o) in a.iter().zip(&b).zip(&o) {
                    assert_eq!(o, exact(a, b), "{p:?} {a} {b}");
                }
            }
        }
    }
}
