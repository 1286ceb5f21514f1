//! Comparisons with values recorded by `tests/fixtures/math/record.py`, and properties that need no record.

use super::*;
use half::{bf16, f16};
use num_complex::Complex;
use std::collections::HashMap;

const REFERENCE: &str = include_str!("../../tests/fixtures/math/reference.txt");
const TORCH: &str = include_str!("../../tests/fixtures/math/torch.txt");

type Unary = fn(f64) -> f64;
type Binary = fn(f64, f64) -> f64;
type C = Complex<f64>;

fn parse(words: &[&str]) -> Vec<f64> {
    words.iter().map(|word| word.parse().unwrap_or_else(|_| panic!("not a number: {word}"))).collect()
}

fn unary() -> HashMap<&'static str, Unary> {
    macro_rules! table { ($($name:ident)*) => { [$((stringify!($name), $name as Unary)),*] } }
    let mut all: HashMap<_, _> = table!(
        lgamma digamma trigamma erf erfc erfcx erfinv erfcinv ndtr ndtri log_ndtr i0 i0e i1 i1e bessel_j0 bessel_j1
        bessel_y0 bessel_y1 spherical_bessel_j0 modified_bessel_i0 modified_bessel_i1 modified_bessel_k0
        modified_bessel_k1 scaled_modified_bessel_k0 scaled_modified_bessel_k1 airy_ai entr sinc
    )
    .into_iter()
    .collect();
    all.insert("logit", |x| logit(x, None));
    all.insert("polygamma1", |x| polygamma(1, x));
    all.insert("polygamma2", |x| polygamma(2, x));
    all.insert("polygamma3", |x| polygamma(3, x));
    all
}

fn binary() -> HashMap<&'static str, Binary> {
    macro_rules! table { ($($name:ident)*) => { [$((stringify!($name), $name as Binary)),*] } }
    let mut all: HashMap<_, _> = table!(
        zeta igamma igammac xlogy xlog1py logaddexp logaddexp2 hypot copysign heaviside fmod remainder floor_divide
        trunc_divide nextafter ldexp standard_gamma_grad chebyshev_polynomial_t chebyshev_polynomial_u
        chebyshev_polynomial_v chebyshev_polynomial_w shifted_chebyshev_polynomial_t shifted_chebyshev_polynomial_u
        shifted_chebyshev_polynomial_v shifted_chebyshev_polynomial_w hermite_polynomial_h hermite_polynomial_he
        laguerre_polynomial_l legendre_polynomial_p
    )
    .into_iter()
    .collect();
    all.insert("gammainc", igamma);
    all.insert("gammaincc", igammac);
    all.insert("polygamma", |n, x| polygamma(n as i64, x));
    all
}

fn complex_unary() -> HashMap<&'static str, fn(C) -> C> {
    macro_rules! table { ($($name:ident)*) => { [$((stringify!($name), complex::$name as fn(C) -> C)),*] } }
    table!(
        exp expm1 log log1p log2 log10 sqrt rsqrt sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh sigmoid
        reciprocal sgn
    )
    .into_iter()
    .collect()
}

/// The error in units in the last place of the larger of |want| and `floor`.
fn ulps(got: f64, want: f64, floor: f64) -> f64 {
    if got == want || (got.is_nan() && want.is_nan()) {
        return 0.0;
    }
    let size = want.abs().max(floor);
    (got - want).abs() / (size.nextafter(f64::INFINITY) - size)
}

/// Units in the last place allowed, and the size below which only the absolute error counts.
fn allowance(name: &str, arguments: &[f64]) -> (f64, f64) {
    let x = arguments[0];
    match name {
        "bessel_j0" | "bessel_j1" | "bessel_y0" | "bessel_y1" if x.abs() > 8.0 => {
            (8.0, x.abs().sqrt().recip())
        }
        "airy_ai" if x < -4.8 => (8.0, 0.5 / x.abs().powf(0.25)),
        "lgamma" | "digamma" | "trigamma" if x < 0.0 => (8.0, 1.0),
        // Errors of the exponent are magnified in the tails.
        "igamma" | "igammac" => (12.0 + 3.0 * (x + 1.0).sqrt(), 1e-20),
        "polygamma" if arguments[1] < 0.0 => (30.0, 0.0),
        "standard_gamma_grad" | "dirichlet_grad" => (1e5, 1e-8),
        _ => (8.0, 0.0),
    }
}

#[test]
fn reference_values() {
    let (unary, binary) = (unary(), binary());
    let mut seen = 0;
    for line in REFERENCE.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let name = words[0];
        if name.starts_with("complex.") {
            continue;
        }
        let numbers = parse(&words[1..]);
        let (arguments, want) = (&numbers[..numbers.len() - 1], numbers[numbers.len() - 1]);
        let got = match *arguments {
            [x] => unary[name](x),
            [a, b] => binary[name](a, b),
            [a, b, c] => dirichlet_grad(a, b, c),
            _ => unreachable!(),
        };
        let (allowed, floor) = allowance(name, arguments);
        let error = ulps(got, want, floor);
        assert!(error <= allowed, "{name}{arguments:?}: {got:e} instead of {want:e}, {error} ulp");
        seen += 1;
    }
    assert!(seen > 1000);
}

#[test]
fn complex_reference_values() {
    let functions = complex_unary();
    for line in REFERENCE.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let Some(name) = words[0].strip_prefix("complex.") else { continue };
        let [x, y, re, im] = parse(&words[1..])[..] else { unreachable!() };
        let got = functions[name](C::new(x, y));
        // Each part, but for the functions whose terms may cancel in one part.
        let floor = if matches!(name, "expm1" | "sigmoid") { re.hypot(im) } else { 0.0 };
        for (got, want) in [(got.re, re), (got.im, im)] {
            let error = ulps(got, want, floor);
            assert!(error <= 12.0, "{name}({x} + {y}i): {got:e} instead of {want:e}, {error} ulp");
        }
    }
}

/// The same up to 1e-8 (PyTorch's own error), NaN for NaN, infinities and the signs of zeros exactly.
fn agrees(got: f64, want: f64) -> bool {
    if got.is_nan() || want.is_nan() {
        return got.is_nan() && want.is_nan();
    }
    if want == 0.0 || got == 0.0 {
        return got.abs() < 1e-14
            && want.abs() < 1e-14
            && (got != want || got.is_sign_negative() == want.is_sign_negative());
    }
    got == want || (got - want).abs() <= 1e-8 * want.abs()
}

#[test]
fn torch_special_values() {
    let (unary, binary, complex_functions) = (unary(), binary(), complex_unary());
    let (mut kind, mut points) = ("", Vec::new());
    let check =
        |what: String, got: f64, want: f64| assert!(agrees(got, want), "{what}: {got:e} instead of {want:e}");
    for line in TORCH.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let name = words[0];
        let mut values = parse(&words[1..]);
        if matches!(name, "real" | "pairs" | "complex") {
            (kind, points) = (name, values);
            continue;
        }
        let grid = || points.iter().flat_map(|&a| points.iter().map(move |&b| (a, b)));
        match kind {
            "real" => {
                assert_eq!(values.len(), points.len());
                for (&x, want) in points.iter().zip(values) {
                    check(format!("{name}({x})"), unary[name](x), want);
                }
            }
            "pairs" => {
                assert_eq!(values.len(), points.len().pow(2));
                for ((a, b), want) in grid().zip(values) {
                    check(format!("{name}({a}, {b})"), binary[name](a, b), want);
                }
            }
            _ => {
                let second = matches!(name, "pow" | "mul" | "div" | "pow_scalar").then(|| {
                    let rest = values.split_off(2);
                    let w = C::new(values[0], values[1]);
                    values = rest;
                    w
                });
                let size = if matches!(name, "angle" | "abs") { 1 } else { 2 };
                assert_eq!(values.len(), size * points.len().pow(2));
                for ((x, y), want) in grid().zip(values.chunks(size)) {
                    let z = C::new(x, y);
                    let what = format!("{name}({x}, {y}) {second:?}");
                    let got = match (name, second) {
                        ("angle", _) => C::new(complex::angle(z), 0.0),
                        ("abs", _) => C::new(complex::abs(z), 0.0),
                        ("pow", Some(w)) => complex::pow(z, w),
                        ("pow_scalar", Some(w)) => complex::pow_scalar(z, w),
                        ("mul", Some(w)) => complex::mul(z, w),
                        ("div", Some(w)) => complex::div(z, w),
                        _ => complex_functions[name](z),
                    };
                    // e^710 overflows before its product with sin(0) in PyTorch's expm1.
                    if name == "expm1" && x == 710.0 && y == 0.0 {
                        continue;
                    }
                    check(format!("real part of {what}"), got.re, want[0]);
                    if size == 2 {
                        check(format!("imaginary part of {what}"), got.im, want[1]);
                    }
                }
            }
        }
    }
}

#[test]
fn exact_values() {
    assert_eq!(erfcx(0.0), 1.0);
    assert_eq!(bessel_j0(0.0), 1.0);
    assert_eq!(ndtri(0.5), 0.0);
    assert_eq!((lgamma(1.0).to_bits(), lgamma(2.0).to_bits()), (0, 0));
    assert_eq!(digamma(0.0), f64::NEG_INFINITY);
    assert_eq!(digamma(-0.0), f64::INFINITY);
    assert!(digamma(-3.0).is_nan());
    assert_eq!(zeta(2.0, -4.0), f64::INFINITY);
    assert_eq!(polygamma(2, -1.0), f64::NEG_INFINITY);
    assert_eq!(logaddexp(f64::NEG_INFINITY, f64::NEG_INFINITY), f64::NEG_INFINITY);
    assert_eq!(logaddexp2(-1.0, -1.0), 0.0);
    assert_eq!(modified_bessel_k1(5e-324), f64::INFINITY);
    assert_eq!(bessel_y1(5e-324), f64::NEG_INFINITY);
    assert_eq!(sinc_f32(1.0), (std::f32::consts::PI).sin() / std::f32::consts::PI);
}

#[test]
fn extreme_arguments_end() {
    // Each of these would take for ever, or overflow, if a series or recurrence ran its natural course.
    let extremes =
        [0.0, 5e-324, 1e-300, 0.5, 1.0, 1.0 + 1e-15, 2.0, 700.5, 1e8, 1e16, 1e300, f64::INFINITY, f64::NAN];
    for function in binary().values() {
        for a in extremes {
            for b in extremes {
                for (a, b) in [(a, b), (-a, b), (a, -b), (-a, -b)] {
                    // Long recurrences have a test of their own.
                    if b.abs() < 1e9 {
                        function(a, b.min(1e6));
                    }
                }
            }
        }
    }
    for function in unary().values() {
        for a in extremes {
            function(a);
            function(-a);
        }
    }
    assert_eq!(zeta(f64::INFINITY, -0.5), f64::INFINITY);
    assert_eq!(zeta(1e300, 2.0), 0.0);
    assert_eq!(zeta(3.0, 1e250), 0.0);
    assert_eq!(zeta(2.0, 1e250), 1e-250);
    assert_eq!(igamma(2.0, 1e300), 1.0);
    assert_eq!(igamma(1e300, 2.0), 0.0);
    assert_eq!(igammac(1e300, 2.0), 1.0);
    assert_eq!(legendre_polynomial_p(1.0, 1e15), 1.0);
    assert!(legendre_polynomial_p(0.5, 1e15).is_nan());
    assert!(laguerre_polynomial_l(0.5, 1e15).is_nan());
    assert_eq!(laguerre_polynomial_l(0.0, 1e15), 1.0);
    assert_eq!(chebyshev_polynomial_t(0.5, f64::INFINITY), 0.0);
    assert!(hermite_polynomial_h(0.5, 1e15).is_nan());
}

#[test]
fn chebyshev_closed_forms_continue_the_recurrence() {
    for f in [chebyshev_polynomial_t, chebyshev_polynomial_u, chebyshev_polynomial_v, chebyshev_polynomial_w]
    {
        for x in [1.000001, -1.00001] {
            // p(n+1) = 2x p(n) - p(n-1) across the change of method.
            for n in [4095.0, 4096.0, 4097.0, 9000.0] {
                let want = 2.0 * x * f(x, n) - f(x, n - 1.0);
                assert!((f(x, n + 1.0) - want).abs() <= 1e-7 * want.abs(), "{x} {n}");
            }
        }
    }
}

#[test]
fn shifted_polynomials_and_logit() {
    assert_eq!(shifted_chebyshev_polynomial_t(0.75, 3.0), chebyshev_polynomial_t(0.5, 3.0));
    assert_eq!(shifted_chebyshev_polynomial_w(0.75, 3.0), chebyshev_polynomial_w(0.5, 3.0));
    assert_eq!(logit(0.0, Some(0.1)), logit(0.1, None));
    assert_eq!(logit(2.0, Some(0.1)), logit(0.9, None));
    assert_eq!(logit(0.2, Some(-1.0)), logit(0.2, None));
    assert!(logit(f64::NAN, Some(0.1)).is_nan());
}

#[test]
fn rounding_to_decimals() {
    assert_eq!(round_decimals(2.5, 0), 2.0);
    assert_eq!(round_decimals(1.005, 2), 1.0);
    assert_eq!(round_decimals(1.015, 2), 1.01);
    assert_eq!(round_decimals(1.015f32, 2), 1.02);
    assert_eq!(round_decimals(123.456f64, -1), 120.0);
    assert!(round_decimals(2.5f64, 400).is_nan());
    assert_eq!(round_decimals(3.5f32, 38), f32::INFINITY);
    assert!(round_decimals(3.5f32, 39).is_nan());
    assert!(round_decimals(3.5f32, i64::MIN).is_nan());
    assert!(round_decimals(-0.04f64, 1).is_sign_negative());
    assert_eq!(round_half_even(3.5), 4.0);
}

#[test]
fn floor_divide_agrees_with_remainder() {
    for (a, b) in [(7.0, 2.0), (-7.0, 2.0), (7.0, -2.0), (-7.0, -2.0), (0.1, 0.3), (-1e300, 7.5), (5.5, 0.5)]
    {
        let (quotient, rest) = (floor_divide(a, b), remainder(a, b));
        assert!(ulps(quotient * b + rest, a, 0.0) <= 2.0);
        assert!(rest == 0.0 || (rest < 0.0) == (b < 0.0));
    }
    assert_eq!(floor_divide(-1.0, f64::INFINITY), -1.0);
    assert_eq!(floor_divide(1.0, 0.0), f64::INFINITY);
    assert_eq!(trunc_divide(-7.0, 2.0), -3.0);
}

#[test]
fn integers() {
    for a in [-9, -7, -1, 0, 1, 7, 9, i64::MIN, i64::MAX] {
        for b in [-9, -2, -1, 1, 2, 9, i64::MIN, i64::MAX] {
            let (quotient, rest) = (floor_divide_i64(a, b).unwrap(), remainder_i64(a, b).unwrap());
            assert_eq!(quotient.wrapping_mul(b).wrapping_add(rest), a);
            assert!(rest == 0 || (rest < 0) == (b < 0));
            let (quotient, rest) = (trunc_divide_i64(a, b).unwrap(), fmod_i64(a, b).unwrap());
            assert_eq!(quotient.wrapping_mul(b).wrapping_add(rest), a);
        }
        assert_eq!(floor_divide_i64(a, 0), None);
        assert_eq!(remainder_i64(a, 0), None);
    }
    assert_eq!((gcd_i64(-4, 6), gcd_i64(0, -6), gcd_i64(0, 0)), (2, 6, 0));
    assert_eq!((lcm_i64(-4, 6), lcm_i64(0, 6), lcm_i64(0, 0)), (12, 0, 0));
    // Recorded from PyTorch: the absolute value of -2^63 is itself.
    assert_eq!((gcd_i64(i64::MIN, 6), gcd_i64(i64::MIN, i64::MIN)), (-2, i64::MIN));
    assert_eq!((lcm_i64(i64::MIN, 6), lcm_i64(i64::MIN, i64::MIN)), (i64::MIN, i64::MIN));
    assert_eq!((pow_i64(3, 4), pow_i64(2, -1), pow_i64(-1, -3), pow_i64(0, 0)), (81, 0, -1, 1));
    assert_eq!((pow_i64(2, 64), pow_i64(1, i64::MIN)), (0, 1));
}

#[test]
fn representations() {
    for x in [1.0, -3.0, 5e-324, 1e-310, 1e300, f64::MAX, f64::MIN_POSITIVE] {
        let (mantissa, exponent) = frexp(x);
        assert!((0.5..1.0).contains(&mantissa.abs()));
        let half = exponent / 2;
        assert_eq!(mantissa * 2f64.powi(half) * 2f64.powi(exponent - half), x);
    }
    assert_eq!(frexp(-0.0).0.to_bits(), (-0.0f64).to_bits());
    assert_eq!(frexp(f64::NEG_INFINITY), (f64::NEG_INFINITY, 0));
    assert_eq!(nextafter(0.0, -1.0), -5e-324);
    assert_eq!(nextafter(f64::MAX, f64::INFINITY), f64::INFINITY);
    assert_eq!(nextafter(f64::INFINITY, 0.0), f64::MAX);
    assert_eq!(nextafter(-1.0f32, 2.0), -1.0 + f32::EPSILON / 2.0);
    assert_eq!(nextafter(f16::MAX, f16::INFINITY), f16::INFINITY);
    assert_eq!(nextafter(f16::ONE, f16::from_f32(2.0)).to_f32(), 1.0009766);
    assert_eq!(nextafter(bf16::ONE, bf16::from_f32(2.0)).to_f32(), 1.0078125);
    assert!(nextafter(bf16::ONE, bf16::NAN).is_nan());
    assert_eq!(nextafter(0.0, -0.0f64).to_bits(), (-0.0f64).to_bits());
}

#[test]
fn narrow_complex() {
    let z = complex::narrow(complex::exp, Complex::new(1.0f32, 2.0));
    assert_eq!((z.re, z.im), (-1.1312044f32, 2.4717267f32));
    let q = complex::div(Complex::new(1e30f32, 1e30), Complex::new(1e30, -1e30));
    assert_eq!((q.re, q.im), (0.0, 1.0));
    let want = 0.5 * std::f64::consts::PI.ln() + lgamma(3.0) + lgamma(2.5);
    assert!(ulps(multigammaln(3.0, 2), want, 0.0) <= 2.0);
}
