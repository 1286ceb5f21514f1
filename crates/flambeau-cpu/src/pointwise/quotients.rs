//! Quotients by one number: products with its reciprocal, corrected twice. Processors divide 16 `f32` in the time of 20 fused
//! instructions.
//!
//! With `r` the rounded reciprocal, `q = a r` is at most two units off. The remainder `a - q b` is known but for its last bit, so
//! that `q` and its share of it are within one unit; the remainder of that is exact, and what it corrects rounded correctly
//! (Markstein, "Computation of elementary functions on the IBM RISC System/6000 processor", IBM J. Res. Dev. 34, 1990),
//! where nothing leaves the exponents' range. Numbers for which it might are divided.

use crate::wide::{Body, Level, level, wide};

/// Numbers at a time: those that have to be divided are found while they are in the cache.
const PART: usize = 512;

macro_rules! quotients {
    ($name:ident, $t:ident, $bits:ident, $bias:literal, $width:literal, $reach:literal, $divisor:literal) => {
        /// Writes `a / b`. False where nothing was done.
        pub(super) fn $name(a: &[$t], b: $t, o: &mut [$t]) -> bool {
            /// Quotients by products; whether all of them are right.
            struct Products<'a>(&'a [$t], $t, &'a mut [$t]);
            impl Body for Products<'_> {
                type Output = bool;
                #[inline(always)]
                fn run(self) -> bool {
                    const LEAST: $bits = ($bias - $reach) << $width;
                    const COUNT: $bits = (2 * $reach) << $width;
                    let Products(a, b, o) = self;
                    let (r, mut right) = (1.0 / b, true);
                    for (o, &a) in o.iter_mut().zip(a) {
                        let size = a.abs().to_bits();
                        right &= (size.wrapping_sub(LEAST) < COUNT) | (size == 0);
                        let first = a * r;
                        let second = (-b).mul_add(first, a).mul_add(r, first);
                        let third = (-b).mul_add(second, a).mul_add(r, second);
                        // Sums of zeros would lose the sign.
                        *o = std::hint::select_unpredictable(size == 0, first, third);
                    }
                    right
                }
            }
            let exponent = (b.to_bits() >> $width) & (2 * $bias + 1);
            if level() < Level::Avx2 || a.len() < 16 || exponent.abs_diff($bias) >= $divisor {
                return false;
            }
            for (a, o) in a.chunks(PART).zip(o.chunks_mut(PART)) {
                if !wide(Products(a, b, &mut *o)) {
                    wide(move || o.iter_mut().zip(a).for_each(|(o, &a)| *o = a / b));
                }
            }
            true
        }
    };
}
quotients!(quotients_f32, f32, u32, 127, 23, 60, 30);
quotients!(quotients_f64, f64, u64, 1023, 52, 500, 300);

#[cfg(test)]
mod tests {
    use super::*;

    macro_rules! check {
        ($name:ident, $t:ident, $bits:ident, $of:expr) => {
            let mut state = 1u64;
            let mut next = || {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                state >> 11
            };
            let significand = |v: u64| -> $t { $of(v) };
            let mut divisors: Vec<$t> = vec![
                3.0,
                -7.0,
                6.0,
                255.0,
                0.1,
                1.0 - <$t>::EPSILON / 2.0,
                1.0 + <$t>::EPSILON,
                2.0,
                2e-9,
                5e8,
            ];
            divisors.extend((0..200).map(|_| significand(next()) * 2.5));
            let special = [0.0, -0.0, 1e-44, -1e30, <$t>::INFINITY, <$t>::NAN, <$t>::MAX, <$t>::MIN_POSITIVE];
            for b in divisors {
                for some in [&special[..], &special[..2], &[]] {
                    let mut a: Vec<$t> =
                        (0..4000).map(|i| significand(next()) * [1.0, -3.5, 1e6, 1e-7][i % 4]).collect();
                    // Multiples and their neighbours.
                    a.extend((0..500).map(|i| b * i as $t));
                    a.extend((1..500).map(|i| <$t>::from_bits((b * i as $t).to_bits() - 1)));
                    a.extend_from_slice(some);
                    let mut o = vec![0.0; a.len()];
                    if !$name(&a, b, &mut o) {
                        assert!(level() < Level::Avx2);
                        return;
                    }
                    for (&a, &q) in a.iter().zip(&o) {
                        let right = a / b;
                        assert!(
                            q.to_bits() == right.to_bits() || q.is_nan() && right.is_nan(),
                            "{a:e} {b:e} {q:e}"
                        );
                    }
                }
            }
        };
    }

    #[test]
    fn quotients_are_rounded_correctly() {
        check!(quotients_f32, f32, u32, |v: u64| f32::from_bits(127 << 23 | (v & 0x7f_ffff) as u32));
        check!(quotients_f64, f64, u64, |v: u64| f64::from_bits(1023 << 52 | v >> 1));
    }

    #[test]
    fn all_significands_by_some_numbers() {
        for b in [3.0f32, 6.0, 255.0, 1.1, 1.9999999, 0.7] {
            let (mut a, mut o) = (vec![0.0; 1 << 16], vec![0.0; 1 << 16]);
            for block in 0..1u32 << 7 {
                a.iter_mut()
                    .enumerate()
                    .for_each(|(i, a)| *a = f32::from_bits(127 << 23 | block << 16 | i as u32));
                if quotients_f32(&a, b, &mut o) {
                    assert!(a.iter().zip(&o).all(|(&a, &q)| q == a / b), "{b}");
                }
            }
        }
    }
}
