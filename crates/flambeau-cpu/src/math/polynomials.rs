//! Orthogonal polynomials, by their three-term recurrences (DLMF 18.9) or, for Chebyshev's, in closed form (18.5).
//!
//! The degree is a float as in PyTorch: it is truncated, and a negative, NaN or unrepresentable degree gives 0. Where the
//! recurrence overflows the value is NaN, as in PyTorch.

/// Beyond this degree the recurrences would take seconds for one value; the result is NaN there.
const LONGEST: i64 = 1 << 26;
/// Above this degree Chebyshev polynomials outside [-1, 1] use hyperbolic functions.
const CLOSED_FORM: i64 = 1 << 12;
/// The largest degree of a Hermite polynomial that doubles can hold.
const HERMITE_LIMIT: i64 = 512;

/// The truncated degree, or None where the polynomial counts as zero.
#[inline]
fn degree(n: f64) -> Option<i64> {
    // Comparisons with NaN are false.
    if n > -1.0 && n < 9_223_372_036_854_775_808.0 { Some(n as i64) } else { None }
}

/// p_{k+1} = a(k) p_k - b(k) p_{k-1} up to degree n.
#[inline(always)]
fn recurrence(n: i64, first: f64, step: impl Fn(f64, f64, f64) -> f64) -> f64 {
    if n == 0 {
        return 1.0;
    }
    let (mut before, mut current) = (1.0, first);
    for k in 1..n {
        (before, current) = (current, step(k as f64, current, before));
        if current.is_nan() {
            break;
        }
    }
    current
}

/// The four kinds of Chebyshev polynomials.
#[derive(Clone, Copy)]
enum Kind {
    T,
    U,
    V,
    W,
}

impl Kind {
    fn first(self, x: f64) -> f64 {
        match self {
            Kind::T => x,
            Kind::U => x + x,
            Kind::V => x + x - 1.0,
            Kind::W => x + x + 1.0,
        }
    }
    /// The value at x = 1; at x = -1 the kinds V and W change places and signs alternate.
    fn at_one(self, n: i64) -> f64 {
        match self {
            Kind::T | Kind::V => 1.0,
            Kind::U => n as f64 + 1.0,
            Kind::W => 2.0 * n as f64 + 1.0,
        }
    }
    fn mirrored(self) -> Kind {
        match self {
            Kind::V => Kind::W,
            Kind::W => Kind::V,
            same => same,
        }
    }
    /// From trigonometric (|x| < 1) or hyperbolic (x > 1) functions of the angle.
    fn closed(self, n: f64, angle: f64, sin: fn(f64) -> f64, cos: fn(f64) -> f64) -> f64 {
        match self {
            Kind::T => cos(n * angle),
            Kind::U => sin((n + 1.0) * angle) / sin(angle),
            Kind::V => cos((n + 0.5) * angle) / cos(0.5 * angle),
            Kind::W => sin((n + 0.5) * angle) / sin(0.5 * angle),
        }
    }
}

fn chebyshev(kind: Kind, x: f64, n: f64) -> f64 {
    let Some(n) = degree(n) else { return 0.0 };
    let parity = if n % 2 == 0 { 1.0 } else { -1.0 };
    if x == 1.0 {
        return kind.at_one(n);
    }
    if x == -1.0 {
        return parity * kind.mirrored().at_one(n);
    }
    if n > 8 && x.abs() < 1.0 {
        return kind.closed(n as f64, x.acos(), f64::sin, f64::cos);
    }
    if n > CLOSED_FORM && x.is_finite() {
        let (kind, sign) = if x < 0.0 { (kind.mirrored(), parity) } else { (kind, 1.0) };
        let more = x.abs() - 1.0;
        let angle = (more + (more * (x.abs() + 1.0)).sqrt()).ln_1p();
        let value = sign * kind.closed(n as f64, angle, f64::sinh, f64::cosh);
        return if value.is_finite() { value } else { f64::NAN };
    }
    recurrence(n, kind.first(x), |_, current, before| (x + x) * current - before)
}

/// The Chebyshev polynomial of the first kind T_n(x).
pub fn chebyshev_polynomial_t(x: f64, n: f64) -> f64 {
    chebyshev(Kind::T, x, n)
}

/// The Chebyshev polynomial of the second kind U_n(x).
pub fn chebyshev_polynomial_u(x: f64, n: f64) -> f64 {
    chebyshev(Kind::U, x, n)
}

/// The Chebyshev polynomial of the third kind V_n(x).
pub fn chebyshev_polynomial_v(x: f64, n: f64) -> f64 {
    chebyshev(Kind::V, x, n)
}

/// The Chebyshev polynomial of the fourth kind W_n(x).
pub fn chebyshev_polynomial_w(x: f64, n: f64) -> f64 {
    chebyshev(Kind::W, x, n)
}

/// T_n(2x - 1).
pub fn shifted_chebyshev_polynomial_t(x: f64, n: f64) -> f64 {
    chebyshev(Kind::T, x + x - 1.0, n)
}

/// U_n(2x - 1).
pub fn shifted_chebyshev_polynomial_u(x: f64, n: f64) -> f64 {
    chebyshev(Kind::U, x + x - 1.0, n)
}

/// V_n(2x - 1).
pub fn shifted_chebyshev_polynomial_v(x: f64, n: f64) -> f64 {
    chebyshev(Kind::V, x + x - 1.0, n)
}

/// W_n(2x - 1).
pub fn shifted_chebyshev_polynomial_w(x: f64, n: f64) -> f64 {
    chebyshev(Kind::W, x + x - 1.0, n)
}

/// The physicist's Hermite polynomial H_n(x); NaN for n > 512.
pub fn hermite_polynomial_h(x: f64, n: f64) -> f64 {
    match degree(n) {
        None => 0.0,
        Some(n) if n > HERMITE_LIMIT => f64::NAN,
        Some(n) => recurrence(n, x + x, |k, current, before| (x + x) * current - 2.0 * k * before),
    }
}

/// The probabilist's Hermite polynomial He_n(x); NaN for n > 512.
pub fn hermite_polynomial_he(x: f64, n: f64) -> f64 {
    match degree(n) {
        None => 0.0,
        Some(n) if n > HERMITE_LIMIT => f64::NAN,
        Some(n) => recurrence(n, x, |k, current, before| x * current - k * before),
    }
}

/// The Laguerre polynomial L_n(x); NaN for n > 2^26, unless x is 0.
pub fn laguerre_polynomial_l(x: f64, n: f64) -> f64 {
    match degree(n) {
        None => 0.0,
        Some(_) if x == 0.0 => 1.0,
        Some(n) if n > LONGEST => f64::NAN,
        Some(n) => recurrence(n, 1.0 - x, |k, current, before| {
            ((k + k + 1.0 - x) * current - k * before) / (k + 1.0)
        }),
    }
}

/// The Legendre polynomial P_n(x); NaN for n > 2^26, unless |x| is 1.
pub fn legendre_polynomial_p(x: f64, n: f64) -> f64 {
    match degree(n) {
        None => 0.0,
        Some(_) if x == 1.0 => 1.0,
        Some(n) if x == -1.0 => {
            if n % 2 == 0 {
                1.0
            } else {
                -1.0
            }
        }
        Some(n) if n > LONGEST => f64::NAN,
        Some(n) => {
            recurrence(n, x, |k, current, before| ((k + k + 1.0) * x * current - k * before) / (k + 1.0))
        }
    }
}
