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
    exp2: exp2, 0.7, ALL, f64::exp2;
    expm1: expm1, 0.6, ALL, f64::exp_m1;
    log: log, 0.75, ALL, f64::ln;
    log2: log2, 0.8, ALL, f64::log2;
    log10: log10, 0.8, ALL, f64::log10;
    log1p: log1p, 0.6, ALL, f64::ln_1p;
    sin: sin, 0.6, f32::PERIODIC, f64::sin;
    cos: cos, 0.6, f32::PERIODIC, f64::cos;
    tan: tan, 0.6, f32::PERIODIC, f64::tan;
    sinh: sinh, 0.6, ALL, f64::sinh;
    cosh: cosh, 0.6, ALL, f64::cosh;
    tanh: tanh, 0.95, ALL, f64::tanh;
    sigmoid: sigmoid, 2.0, 87.0, |x| 1.0 / (1.0 + (-x).exp());
    erf: erf, 0.85, ALL, crate::math::erf;
    asin: asin, 0.51, ALL, f64::asin;
    acos: acos, 0.51, ALL, f64::acos;
    atan: atan, 0.51, ALL, f64::atan;
    asinh: asinh, 0.52, ALL, f64::asinh;
    acosh: acosh, 0.52, ALL, f64::acosh;
    atanh: atanh, 0.52, ALL, f64::atanh;
    erfc: erfc, 0.51, ALL, crate::math::erfc;
    erfinv: erfinv, 0.51, ALL, crate::math::erfinv;
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
/// More exact than the standard library's.
fn exact_asinh(x: f64) -> f64 {
    let z = x.abs();
    let y =
        if z > 1e150 { z.ln() + std::f64::consts::LN_2 } else { (z + z * z / (1.0 + z.hypot(1.0))).ln_1p() };
    y.copysign(x)
}
fn exact_acosh(x: f64) -> f64 {
    let t = x - 1.0;
    match x {
        1e150.. => x.ln() + std::f64::consts::LN_2,
        1.0.. => (t + (t * (t + 2.0)).sqrt()).ln_1p(),
        _ => f64::NAN,
    }
}
fn exact_atanh(x: f64) -> f64 {
    let z = x.abs();
    // An exact quotient near zero.
    let y = if z < 0.5 { 2.0 * z + 2.0 * z * z / (1.0 - z) } else { 2.0 * z / (1.0 - z) };
    (0.5 * y.ln_1p()).copysign(x)
}

// Results differ by whole units: at most two here, and more where the comparison has larger errors of its own.
double! {
    exp_double: exp, 1.0, ALL_DOUBLE, f64::exp;
    log_double: log, 1.0, ALL_DOUBLE, f64::ln;
    sin_double: sin, 2.0, f64::PERIODIC, f64::sin;
    cos_double: cos, 2.0, f64::PERIODIC, f64::cos;
    tanh_double: tanh, 3.0, ALL_DOUBLE, f64::tanh;
    sigmoid_double: sigmoid, 4.0, 708.0, |x| if x < 0.0 { x.exp() / (1.0 + x.exp()) } else { 1.0 / (1.0 + (-x).exp()) };
    erf_double: erf, 2.0, ALL_DOUBLE, crate::math::erf;
    exp2_double: exp2, 1.0, ALL_DOUBLE, f64::exp2;
    expm1_double: expm1, 2.0, ALL_DOUBLE, f64::exp_m1;
    log2_double: log2, 1.0, ALL_DOUBLE, f64::log2;
    log10_double: log10, 2.0, ALL_DOUBLE, f64::log10;
    log1p_double: log1p, 1.0, ALL_DOUBLE, f64::ln_1p;
    tan_double: tan, 2.0, f64::PERIODIC, f64::tan;
    sinh_double: sinh, 2.0, ALL_DOUBLE, f64::sinh;
    cosh_double: cosh, 2.0, ALL_DOUBLE, f64::cosh;
    asin_double: asin, 1.0, ALL_DOUBLE, f64::asin;
    acos_double: acos, 1.0, ALL_DOUBLE, f64::acos;
    atan_double: atan, 1.0, ALL_DOUBLE, f64::atan;
    asinh_double: asinh, 3.0, ALL_DOUBLE, exact_asinh;
    acosh_double: acosh, 4.0, ALL_DOUBLE, exact_acosh;
    atanh_double: atanh, 3.0, ALL_DOUBLE, exact_atanh;
    erfc_double: erfc, 8.0, ALL_DOUBLE, crate::math::erfc;
    erfinv_double: erfinv, 4.0, ALL_DOUBLE, crate::math::erfinv;
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
        check!(exp2, Exp2);
        check!(gelu, Gelu);
        check!(log, Log);
        check!(log10, Log10);
        check!(log2, Log2);
        check!(sigmoid, Sigmoid);
        check!(tanh, Tanh);
        check!(exp, Exp, y, f64, map_double);
        check!(sigmoid, Sigmoid, y, f64, map_double);
        check!(sin, Sin, y, f64, map_double);
        check!(sqrt, Sqrt, y, f64, map_double);
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

/// Angles and distances of points, among them those on the axes, at infinity and without coordinates.
#[test]
fn points() {
    let special = [0.0, -0.0, 1.0, -1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 5e-324, -1e-310, 3e-45];
    let numbers = || special.into_iter().chain([1e308, -1.7e308, 2.5, -2.4142135, 0.41421356, 1e-300]);
    let mut points: Vec<(f64, f64)> = numbers().flat_map(|y| numbers().map(move |x| (y, x))).collect();
    points.extend(
        (0..20000).map(|i| ((i as f64).sin() * 3.0, (i as f64 * 1.7).cos() * 0.01 * (i % 900) as f64)),
    );
    for (y, x) in points {
        let near = |got: f64, right: f64| {
            let unit = f64::from_bits(right.abs().to_bits() + 1) - right.abs();
            got == right && got.is_sign_negative() == right.is_sign_negative()
                || got.is_nan() && right.is_nan()
                || (got - right).abs() <= unit
        };
        assert!(near(Vector::atan2(y, x), f64::atan2(y, x)), "{y:e} {x:e} {:e}", Vector::atan2(y, x));
        assert!(near(Vector::hypot(y, x), f64::hypot(y, x)), "{y:e} {x:e} {:e}", Vector::hypot(y, x));
        let (y, x) = (y as f32, x as f32);
        assert!(ulps(Vector::atan2(y, x), f64::atan2(y as f64, x as f64)) <= 0.51, "{y:e} {x:e}");
        assert!(ulps(Vector::hypot(y, x), f64::hypot(y as f64, x as f64)) <= 0.51, "{y:e} {x:e}");
    }
}

/// Logarithms of powers of their bases.
#[test]
fn powers_of_bases() {
    for n in -1074..1024 {
        let x = f64::from_bits(if n < -1022 { 1 << (n + 1074) } else { ((n + 1023) as u64) << 52 });
        assert_eq!(Vector::log2(x), n as f64);
        assert_eq!(Vector::exp2(n as f64), x);
    }
    for n in 0..23 {
        assert_eq!(Vector::log10(10f64.powi(n)), n as f64);
    }
    for n in -149..128 {
        let x = f32::from_bits(if n < -126 { 1 << (n + 149) } else { ((n + 127) as u32) << 23 });
        assert_eq!(Vector::log2(x), n as f32);
        assert_eq!(Vector::exp2(n as f32), x);
    }
    for n in -37..39 {
        assert_eq!(Vector::log10(10f64.powi(n) as f32), n as f32);
    }
}

/// Functions whose comparisons above are not exact enough, by numbers of 60 digits.
#[test]
fn exact_values() {
    let near = |name: &str, x: f64, got: f64, right: f64| {
        let unit = f64::from_bits(right.abs().to_bits() + 1) - right.abs();
        assert!((got - right).abs() <= 2.0 * unit, "{name} {x:e}: {got:e} {right:e}");
    };
    for (x, right) in [
        (-3.7, 1.9999998328489421),
        (-0.6, 1.6038560908479258),
        (0.3, 0.6713732405408726),
        (0.74, 0.2953219221452542),
        (0.76, 0.28246324719440913),
        (0.8219899252646468, 0.24504488777740244),
        (1.3, 0.06599205505934755),
        (2.2, 0.0018628462979818898),
        (5.1, 5.49382021755532e-13),
        (11.7, 1.7025329069808723e-61),
        (18.068584952624384, 5.1060482532258874e-144),
        (22.29005312378716, 4.2188927414994794e-218),
        (26.36048742270357, 3.545296163655424e-304),
    ] {
        near("erfc", x, Vector::erfc(x), right);
    }
    for (x, right) in [
        (1e-9, 8.86226925452758e-10),
        (-0.2543000124201234, -0.22932494058258568),
        (0.5, 0.4769362762044699),
        (0.77, 0.8487818883709608),
        (0.9, 1.1630871536766743),
        (-0.98, -1.6449763571331868),
        (0.985, 1.7199517267412125),
        (0.9995, 2.461266457171732),
        (0.999998, 3.361178562629473),
        (0.9999994658249939, 3.54515942431075),
        (0.99999999999, 4.812924058944833),
        (0.9999999999999999, 5.8635847487551676),
    ] {
        near("erfinv", x, Vector::erfinv(x), right);
    }
    for (x, right) in [
        (1.0000000000016434, 1.8129269820098693e-6),
        (1.00000311, 0.002493992136297758),
        (1.0001, 0.014142017775251545),
        (1.37, 0.8357006094949866),
        (2.0, 1.3169578969248168),
        (9.3, 2.9202584594780787),
        (100000.0, 12.206072645505174),
        (1e19, 44.44226394744681),
        (1e300, 691.4686750787737),
    ] {
        near("acosh", x, Vector::acosh(x), right);
    }
    for (x, right) in [
        (1e-12, 1e-12),
        (0.01, 0.009999833340832888),
        (0.3, 0.29567304756342244),
        (0.7, 0.6526665660823557),
        (1.0138293053986955, 0.8911186524798289),
        (4.4, 2.1874217606869744),
        (10000000.0, 16.811242831518268),
        (1e200, 461.2101657793691),
    ] {
        near("asinh", x, Vector::asinh(x), right);
    }
    for (x, right) in [
        (1e-9, 1e-9),
        (0.1, 0.10033534773107558),
        (0.33, 0.3428282544153939),
        (-0.1690485138521483, -0.17068702392387508),
        (0.7, 0.8673005276940531),
        (0.987825, 2.5477058431020705),
        (0.99999, 6.1030338227611125),
        (0.9999999999999999, 18.714973875118524),
    ] {
        near("atanh", x, Vector::atanh(x), right);
    }
}

/// All significands of two binades, which scaling by powers of 4 leaves alone, and the ends of the range.
#[test]
fn roots_are_rounded_correctly() {
    let (mut x, mut y) = (Vec::new(), vec![0f32; 1 << 16]);
    let ends = [
        0.0,
        -0.0,
        f32::MIN_POSITIVE,
        1e-45,
        1e-38,
        9.9e-31,
        1e-30,
        1.1e-30,
        f32::MAX,
        f32::INFINITY,
        -1.0,
        f32::NAN,
    ];
    for first in (1f32.to_bits()..4f32.to_bits()).step_by(1 << 16) {
        x.clear();
        x.extend((first..first + (1 << 16)).map(f32::from_bits));
        f32::map(Elementary::Sqrt, &x, &mut y);
        assert!(x.iter().zip(&y).all(|(x, y)| x.sqrt().to_bits() == y.to_bits()), "from {}", x[0]);
    }
    for scale in [1.0f32, 1e-3, 3e12] {
        let x: Vec<f32> = ends.iter().map(|x| x * scale).collect();
        f32::map(Elementary::Sqrt, &x, &mut y[..x.len()]);
        for (x, y) in x.iter().zip(&y) {
            assert!(x.sqrt().to_bits() == y.to_bits() || (x.sqrt().is_nan() && y.is_nan()), "{x} {y}");
        }
    }
}
