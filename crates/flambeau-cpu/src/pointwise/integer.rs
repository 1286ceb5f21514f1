//! Primitives on 64-bit integers, the compute type of all integers and `bool`. Arithmetic wraps.

use super::Prim;
use super::kernels::{Kernel, binary, unary};

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
        Sgn => unary!(i64, |a: i64| a.signum()),
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
        Div => binary!(i64, |a: i64, b: i64| if b == 0 { 0 } else { a.wrapping_div(b) }),
        FloorDiv => binary!(i64, floor_div),
        Fmod => binary!(i64, |a: i64, b: i64| if b == 0 { 0 } else { a.wrapping_rem(b) }),
        Remainder => binary!(i64, remainder),
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
