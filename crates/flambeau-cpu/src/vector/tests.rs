//! Functions of `f32` against the system's of `f64` over all of their range, on every level of this processor; those of
//! `f64` against the system's, which are within one unit in the last place.

use super::{Elementary, Vector};
use crate::wide::{Body, Level, highest, wide_at};

fn levels() -> impl Iterator<Item = Level> {
    [Level::Baseline, Level::Avx2, Level::Avx512].into_iter().filter(|&l| l <= highest())
}

macro_rules! apply {
    ($t:ident, $f:ident, $level:expr, $x:expr) => {{
        struct Each<'a>(&'a [$t], &'a mut [$t]);
        impl Body for Each<'_> {
            type Output = ();
            #[inline(always)]
            fn run(self) {
                for (o, &a) in self.1.iter_mut().zip(self.0) {
                    *o = <$t as Vector>::$f(a);
                }
            }
        }
        let mut result = vec![0 as $t; $x.len()];
        wide_at($level, Each($x, &mut result));
        result
    }};
}

/// The distance of `got` from `exact` in units in the last place of an `f32`.
fn ulps(got: f32, exact: f64) -> f64 {
    if exact.is_nan() || got.is_nan() {
        return if exact.is_nan() && got.is_nan() { 0.0 } else { f64::INFINITY };
    }
    if got == exact as f32 {
        // Zeros have their sign.
        return if got == 0.0 && got.is_sign_negative() != exact.is_sign_negative() {
            f64::INFINITY
        } else {
            0.0
        };
    }
    let exponent = exact.abs().max(f32::MIN_POSITIVE as f64).log2().floor() as i32;
    (got as f64 - exact).abs() / 2f64.powi(exponent - 23)
}

/// Numbers of every exponent and both signs, with infinities, NaN and zeros.
fn sweep() -> Vec<f32> {
    let strided = (0..u32::MAX / 65521).map(|i| f32::from_bits(i * 65521));
    let special =
        [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 1.0, -1.0, f32::MIN_POSITIVE, 1e-45];
    strided.chain(special).chain((-4000..4000).map(|i| i as f32 * 0.0271)).collect()
}

macro_rules! single {
    ($($name:ident: $f:ident, $bound:expr, $limit:expr, $exact:expr;)*) => { $(
        #[test]
        fn $name() {
            let x = sweep();
            let exact: fn(f64) -> f64 = $exact;
            let mut first: Option<Vec<f32>> = None;
            for level in levels() {
                let y = apply!(f32, $f, level, &x);
                for (&x, &y) in x.iter().zip(&y) {
                    let error = ulps(y, exact(x as f64));
                    assert!(x.abs() > $limit || error <= $bound, "{level:?} {x:e}: {y:e}, {error} ulp");
                }
                let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
                assert!(first.get_or_insert_with(|| y.clone()).iter().zip(&y).all(same), "{level:?} differs");
            }
        }
    )* };
}
const ALL: f32 = f32::INFINITY;
const ALL_DOUBLE: f64 = f64::INFINITY;
single! {
    exp: exp, 0.65, ALL, f64::exp;
    exp2: exp2, 0.6, ALL, f64::exp2;
    expm1: expm1, 0.6, ALL, f64::exp_m1;
    log: log, 0.75, ALL, f64::ln;
    log2: log2, 0.6, ALL, f64::log2;
    log10: log10, 0.6, ALL, f64::log10;
    log1p: log1p, 0.6, ALL, f64::ln_1p;
    sin: sin, 0.6, f32::PERIODIC, f64::sin;
    cos: cos, 0.6, f32::PERIODIC, f64::cos;
    tan: tan, 0.6, f32::PERIODIC, f64::tan;
    sinh: sinh, 0.6, ALL, f64::sinh;
    cosh: cosh, 0.6, ALL, f64::cosh;
    tanh: tanh, 0.95, ALL, f64::tanh;
    sigmoid: sigmoid, 2.0, 87.0, |x| 1.0 / (1.0 + (-x).exp());
    erf: erf, 0.85, ALL, crate::math::erf;
}

macro_rules! double {
    ($($name:ident: $f:ident, $bound:expr, $limit:expr, $exact:expr;)*) => { $(
        #[test]
        fn $name() {
            let mut x: Vec<f64> = (-60000..60000).map(|i| i as f64 * 0.013171).collect();
            x.extend((-20000..20000).map(|i| i as f64 * 0.00031417));
            x.extend((0..600).flat_map(|i| [10f64.powi(i - 300), -(10f64.powi(i - 300)), 10f64.powi(i - 310)]));
            x.extend([0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1e6, -1e6, 709.78, -745.1, -709.0]);
            let exact: fn(f64) -> f64 = $exact;
            let mut first: Option<Vec<f64>> = None;
            for level in levels() {
                let y = apply!(f64, $f, level, &x);
                for (&x, &y) in x.iter().zip(&y) {
                    let right = exact(x);
                    if right.is_nan() && y.is_nan() || right.to_bits() == y.to_bits() {
                        continue;
                    }
                    let unit = f64::from_bits(right.abs().to_bits() + 1) - right.abs();
                    let error = (y - right).abs() / unit;
                    assert!(x.abs() > $limit || error <= $bound, "{level:?} {x:e}: {y:e}, {right:e}");
                }
                let same = |(a, b): (&f64, &f64)| a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan();
                assert!(first.get_or_insert_with(|| y.clone()).iter().zip(&y).all(same), "{level:?} differs");
            }
        }
    )* };
}
// Results differ by whole units: at most two here, and three where the comparison has larger errors of its own.
double! {
    exp_double: exp, 1.0, ALL_DOUBLE, f64::exp;
    log_double: log, 1.0, ALL_DOUBLE, f64::ln;
    sin_double: sin, 2.0, f64::PERIODIC, f64::sin;
    cos_double: cos, 2.0, f64::PERIODIC, f64::cos;
    tanh_double: tanh, 3.0, ALL_DOUBLE, f64::tanh;
    sigmoid_double: sigmoid, 4.0, 708.0, |x| if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) };
    erf_double: erf, 2.0, ALL_DOUBLE, crate::math::erf;
}

/// As exact as the definition is in `f32`, which cancels for negative numbers.
#[test]
fn gelu_is_near_its_definition() {
    let x: Vec<f32> = sweep().into_iter().filter(|x| x.is_finite()).collect();
    let wide: Vec<f64> = x.iter().map(|&v| v as f64).collect();
    let exact = |x: f64| 0.5 * x * (1.0 + crate::math::erf(x * std::f64::consts::FRAC_1_SQRT_2));
    let mut first: Option<Vec<f32>> = None;
    for level in levels() {
        let y = apply!(f32, gelu, level, &x);
        for (&x, &y) in x.iter().zip(&y) {
            let error = (y as f64 - exact(x as f64)).abs();
            assert!(error <= 1e-7 * x.abs() as f64 + 1e-45, "{level:?} {x:e} {y:e} {error:e}");
            assert!(x < 0.0 || ulps(y, exact(x as f64)) < 1.6, "{level:?} {x:e} {y:e}");
        }
        let same = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits();
        assert!(first.get_or_insert_with(|| y.clone()).iter().zip(&y).all(same), "{level:?} differs");
        for (&x, y) in wide.iter().zip(apply!(f64, gelu, level, &wide)) {
            let right = 0.5 * x * (1.0 + Vector::erf(x * std::f64::consts::FRAC_1_SQRT_2));
            assert!(y.to_bits() == right.to_bits() || y.is_nan() && right.is_nan(), "{level:?} {x:e}");
        }
    }
    assert!(Vector::gelu(f32::NAN).is_nan() && Vector::gelu(f32::INFINITY) == f32::INFINITY);
}

/// Whole slices have the bits of single numbers, whatever their lengths, also in place.
#[test]
fn slices_are_elements() {
    let x = sweep();
    let wide: Vec<f64> = x.iter().map(|&v| v as f64).collect();
    macro_rules! check {
        ($t:ident, $x:expr, $f:ident, $name:ident) => {
            for n in [0, 1, 15, 16, 17, 100, $x.len()] {
                let x = &$x[$x.len() - n..];
                let mut out = vec![0 as $t; n];
                Vector::map(Elementary::$name, x, &mut out);
                let mut same = x.to_vec();
                Vector::map_in_place(Elementary::$name, &mut same);
                for (&x, (&y, &z)) in x.iter().zip(out.iter().zip(&same)) {
                    let right = Vector::$f(x);
                    for y in [y, z] {
                        assert!(
                            y.to_bits() == right.to_bits() || y.is_nan() && right.is_nan(),
                            "{n} {x:e} {y:e} {right:e}"
                        );
                    }
                }
            }
        };
    }
    check!(f32, x, erf, Erf);
    check!(f32, x, gelu, Gelu);
    check!(f32, x, exp, Exp);
    check!(f32, x, log, Log);
    check!(f32, x, sigmoid, Sigmoid);
    check!(f32, x, tanh, Tanh);
    check!(f64, wide, gelu, Gelu);
    check!(f64, wide, exp, Exp);
    check!(f64, wide, log, Log);
    check!(f64, wide, sigmoid, Sigmoid);
    check!(f64, wide, tanh, Tanh);
    check!(f64, wide, sin, Sin);
    check!(f64, wide, cos, Cos);
}

/// The error function of slices of `f64`: with AVX-512 by other polynomials than that of single numbers.
#[test]
fn erf_of_slices() {
    let mut x: Vec<f64> = (-60000..60000).map(|i| i as f64 * 0.00011713).collect();
    x.extend((0..300).map(|i| 10f64.powi(i - 310)));
    x.extend([0.0, -0.0, f64::INFINITY, f64::NEG_INFINITY, 5.92, 5.93, 6.0, 1e300]);
    let mut out = vec![0.0; x.len()];
    Vector::map(Elementary::Erf, &x, &mut out);
    for (&x, &y) in x.iter().zip(&out) {
        let right = crate::math::erf(x);
        let unit = f64::from_bits(right.abs().to_bits() + 1) - right.abs();
        assert!((y - right).abs() <= 2.0 * unit && y.is_sign_negative() == x.is_sign_negative(), "{x:e}");
    }
    Vector::map_in_place(Elementary::Erf, &mut x);
    assert_eq!(x, out);
    let mut nan = [f64::NAN; 9];
    Vector::map_in_place(Elementary::Erf, &mut nan);
    assert!(nan.iter().all(|y| y.is_nan()));
}

/// Registers of each width give the bits of single numbers.
#[cfg(target_arch = "x86_64")]
#[test]
fn registers_are_elements() {
    use super::slices::registers::{map, map_double};
    let x = sweep();
    let y: Vec<f64> = x.iter().map(|&v| v as f64 * 1.1).collect();
    for level in levels().filter(|&l| l != Level::Baseline) {
        macro_rules! check {
            ($f:ident, $name:ident) => {
                check!($f, $name, x, f32, map)
            };
            ($f:ident, $name:ident, $x:ident, $t:ident, $map:ident) => {
                let mut out = vec![0 as $t; $x.len()];
                let (from, to) = ($x.as_ptr(), out.as_mut_ptr());
                // SAFETY: as many numbers on both sides; the level is one of this processor.
                let done = unsafe { $map(level, Elementary::$name, from, to, $x.len()) };
                assert!(done);
                for (&x, &y) in $x.iter().zip(&out) {
                    let right = Vector::$f(x);
                    let same = y.to_bits() == right.to_bits() || y.is_nan() && right.is_nan();
                    assert!(same, "{level:?} {x:e} {y:e} {right:e}");
                }
            };
        }
        check!(erf, Erf);
        check!(exp, Exp);
        check!(gelu, Gelu);
        check!(log, Log);
        check!(sigmoid, Sigmoid);
        check!(tanh, Tanh);
        check!(exp, Exp, y, f64, map_double);
        check!(sigmoid, Sigmoid, y, f64, map_double);
        check!(sin, Sin, y, f64, map_double);
        check!(cos, Cos, y, f64, map_double);
    }
}

/// How many results are rounded correctly.
#[test]
fn mostly_rounded_correctly() {
    let x: Vec<f32> = (0..200_000).map(|i| (i * 7919 % 200_003) as f32 * 1e-4 - 10.0).collect();
    let share = |f: Elementary, exact: fn(f64) -> f64, x: &[f32]| {
        let mut out = vec![0f32; x.len()];
        Vector::map(f, x, &mut out);
        let right = x.iter().zip(&out).filter(|&(&x, &y)| y == exact(x as f64) as f32).count();
        right as f64 / x.len() as f64
    };
    assert!(share(Elementary::Exp, f64::exp, &x) > 0.985, "{}", share(Elementary::Exp, f64::exp, &x));
    let positive: Vec<f32> = x.iter().map(|x| x.abs() + 1e-3).collect();
    let log = share(Elementary::Log, f64::ln, &positive);
    assert!(log > 0.95, "{log}");
    let tanh = share(Elementary::Tanh, f64::tanh, &x);
    assert!(tanh > 0.94, "{tanh}");
}
