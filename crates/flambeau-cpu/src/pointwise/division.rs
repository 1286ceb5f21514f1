//! Remainders, and powers of `f32`: loops that vectorise, and the system's functions for the numbers that need them.

use crate::math::Rounding;
use crate::vector::pow_single;
use crate::wide::{Body, wide};

/// Numbers at a time: those that need more are found while they are in the cache.
const PART: usize = 1024;

/// A function over slices from one that gives NaN where another one is needed, and that one.
macro_rules! mostly {
    ($name:ident, $t:ident, $fast:expr, $exact:expr) => {
        pub(super) fn $name(a: &[$t], b: &[$t], o: &mut [$t]) {
            struct Part<'a>(&'a [$t], &'a [$t], &'a mut [$t]);
            impl Body for Part<'_> {
                type Output = bool;
                #[inline(always)]
                fn run(self) -> bool {
                    let mut all = true;
                    for ((o, &a), &b) in self.2.iter_mut().zip(self.0).zip(self.1) {
                        let y: $t = $fast(a, b);
                        *o = y;
                        all &= !y.is_nan();
                    }
                    all
                }
            }
            for ((a, b), o) in a.chunks(PART).zip(b.chunks(PART)).zip(o.chunks_mut(PART)) {
                if !wide(Part(a, b, &mut *o)) {
                    for ((o, &a), &b) in o.iter_mut().zip(a).zip(b) {
                        if o.is_nan() {
                            *o = $exact(a, b);
                        }
                    }
                }
            }
        }
    };
}

macro_rules! division {
    ($t:ident, $limit:expr, $fast:ident, $fmod:ident, $remainder:ident, $floor_divide:ident) => {
        /// `a % b`, if the quotient is so small that its rounding makes a difference of at most one.
        #[inline(always)]
        fn $fast(a: $t, b: $t) -> $t {
            let quotient = a / b;
            let whole = quotient.trunc();
            // Exact, as no bit of it is below the lowest of both.
            let r = (-whole).mul_add(b, a);
            let r = if (r < 0.0) != (a < 0.0) && r != 0.0 { r + b.copysign(a) } else { r };
            let r = if whole == 0.0 { a } else { r };
            if quotient.abs() < $limit { r.copysign(a) } else { $t::NAN }
        }
        mostly!($fmod, $t, $fast, |a: $t, b: $t| a % b);
        mostly!(
            $remainder,
            $t,
            |a: $t, b: $t| {
                let r = $fast(a, b);
                if r != 0.0 && (r < 0.0) != (b < 0.0) { r + b } else { r }
            },
            Rounding::remainder
        );
        mostly!(
            $floor_divide,
            $t,
            |a: $t, b: $t| {
                let r = $fast(a, b);
                let q = (a - r) / b;
                let q = if r != 0.0 && (b < 0.0) != (r < 0.0) { q - 1.0 } else { q };
                let floor = q.floor();
                let floor = if q - floor > 0.5 { floor + 1.0 } else { floor };
                if q != 0.0 { floor } else { (0.0 as $t).copysign(a / b) }
            },
            Rounding::floor_divide
        );
    };
}
division!(f32, 4194304.0, fmod_f32_fast, fmod_f32, remainder_f32, floor_divide_f32);
division!(f64, 2251799813685248.0, fmod_f64_fast, fmod_f64, remainder_f64, floor_divide_f64);

mostly!(pow_f32, f32, pow_single, f32::powf);

pub(super) fn pow_f64(a: &[f64], b: &[f64], o: &mut [f64]) {
    for ((o, &a), &b) in o.iter_mut().zip(a).zip(b) {
        *o = a.powf(b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits<T: Copy, const N: usize>(special: [T; N], count: u64, of: impl Fn(u64) -> T) -> Vec<(T, T)> {
        let mut pairs: Vec<(T, T)> = special.iter().flat_map(|&a| special.map(|b| (a, b))).collect();
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            of(state >> 11)
        };
        pairs.extend((0..count).map(|_| (next(), next())));
        pairs
    }

    macro_rules! check {
        ($t:ident, $special:expr, $of:expr, $fmod:ident, $remainder:ident, $floor_divide:ident) => {
            let (a, b): (Vec<$t>, Vec<$t>) = bits($special, 40000, $of).into_iter().unzip();
            let mut out = vec![0 as $t; a.len()];
            let functions: [(fn(&[$t], &[$t], &mut [$t]), fn($t, $t) -> $t); 3] = [
                ($fmod, |a, b| a % b),
                ($remainder, Rounding::remainder),
                ($floor_divide, Rounding::floor_divide),
            ];
            for (k, (fast, exact)) in functions.into_iter().enumerate() {
                fast(&a, &b, &mut out);
                for ((&a, &b), &y) in a.iter().zip(&b).zip(&out) {
                    let right = exact(a, b);
                    assert!(
                        y.to_bits() == right.to_bits() || y.is_nan() && right.is_nan(),
                        "{k} {a:e} {b:e} {y:e}"
                    );
                }
            }
        };
    }

    #[test]
    fn remainders_are_exact() {
        let special =
            [0.0, -0.0, 1.0, -1.0, 3.0, 0.1, -0.7, 1e-45, -2e-39, 3e38, 1e9, f32::INFINITY, f32::NAN];
        let mixed = |v: u64| (v as i64 % 2000001 - 1000000) as f64 * 1e-4 * [1.0, 0.01, 3e-7][v as usize % 3];
        check!(f32, special, |v| mixed(v) as f32, fmod_f32, remainder_f32, floor_divide_f32);
        check!(f32, special, |v| (v % 100) as f32 * 0.1, fmod_f32, remainder_f32, floor_divide_f32);
        check!(f32, special, |v| f32::from_bits(v as u32), fmod_f32, remainder_f32, floor_divide_f32);
        let special =
            [0.0, -0.0, 1.0, -1.0, 3.0, 0.1, -0.7, 5e-324, -2e-310, 1e308, 1e17, f64::INFINITY, f64::NAN];
        check!(f64, special, mixed, fmod_f64, remainder_f64, floor_divide_f64);
        check!(f64, special, |v| (v % 100) as f64 * 0.1, fmod_f64, remainder_f64, floor_divide_f64);
    }

    #[test]
    fn powers() {
        let special =
            [0.0, -0.0, 1.0, -1.0, 3.0, 0.5, -2.5, 1e-45, 3e38, f32::INFINITY, f32::NEG_INFINITY, f32::NAN];
        let mut pairs = bits(special, 20000, |v| f32::from_bits(v as u32));
        pairs.extend(bits(special, 60000, |v| (v % 100000) as f32 * 3.1e-4));
        // Near 1, where large powers are finite.
        pairs.extend((0..4000).map(|i| (1.0 + i as f32 * 1.2e-7, 1e3 + i as f32)));
        let (a, b): (Vec<f32>, Vec<f32>) = pairs.into_iter().unzip();
        let mut out = vec![0.0; a.len()];
        pow_f32(&a, &b, &mut out);
        for ((&a, &b), &y) in a.iter().zip(&b).zip(&out) {
            let right = (a as f64).powf(b as f64);
            let unit = (right.abs() * 2f64.powi(-23)).max(1e-45);
            let near = (y as f64 - right).abs() <= 0.6 * unit || y == right as f32;
            assert!(near || y.is_nan() && right.is_nan(), "{a:e} {b:e} {y:e} {right:e}");
        }
    }
}
