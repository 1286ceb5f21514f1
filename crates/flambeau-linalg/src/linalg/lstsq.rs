//! Least squares.

use super::element::Real;
use super::kernels::dotc;
use super::qr::{factor, reflect, upper};
use super::spectral::Spectral;
use super::triangular::substitute;
use super::{LinalgElement, Op, QrMode, View, check, qr, svd, transpose};
use crate::gemm::{GemmElement, matmul};
use flambeau_core::{Result, ensure};
use num_traits::{Float, NumCast};

/// LAPACK's drivers of least squares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// QR; the matrix must have full rank.
    Gels,
    /// Any rank; QR where the factor is well-conditioned, otherwise singular values.
    Gelsy,
    /// Singular values, which are returned.
    Gelsd,
    /// As `Gelsd`.
    Gelss,
}

/// Result of [`lstsq`].
#[derive(Debug, Clone)]
pub struct LeastSquares<T: LinalgElement> {
    /// The n x k solution of least norm.
    pub solution: Vec<T>,
    /// Squared norms of the k columns of `a @ x - b`, for m > n and full rank, but not for `Gelsy`; otherwise empty.
    pub residuals: Vec<T::R>,
    /// The number of singular values above `rcond` times the largest; min(m, n) for `Gels`.
    pub rank: usize,
    /// For `Gelsd` and `Gelss`, in descending order.
    pub singular_values: Vec<T::R>,
    /// Positive when the factorization failed: a zero on the diagonal of `R` (`Gels`), or no convergence.
    pub info: i32,
}

/// Minimises the norm of `a @ x - b` for each column of the m x k `b`; of all solutions the one of least norm.
pub fn lstsq<T: Spectral>(
    m: usize,
    n: usize,
    k: usize,
    a: &[T],
    b: &[T],
    rcond: T::R,
    driver: Driver,
) -> Result<LeastSquares<T>> {
    check("lstsq", a.len(), m, n)?;
    check("lstsq", b.len(), m, k)?;
    let mut result = LeastSquares {
        solution: vec![T::ZERO; crate::gemm::size_product(&[n, k])?],
        residuals: Vec::new(),
        rank: 0,
        singular_values: Vec::new(),
        info: 0,
    };
    if m == 0 || n == 0 {
        return Ok(result);
    }
    match driver {
        Driver::Gels => by_qr(m, n, k, a, b, None, &mut result)?,
        Driver::Gelsy if by_qr(m, n, k, a, b, Some(rcond), &mut result)? => true,
        _ => by_svd(m, n, k, a, b, rcond, driver != Driver::Gelsy, &mut result)?,
    };
    // LAPACK's `gelsy` gives no residuals.
    if m > n && result.rank == n && driver != Driver::Gelsy {
        let mut difference = b.to_vec();
        crate::gemm::gemm(
            m,
            k,
            n,
            T::ONE,
            a,
            n,
            1,
            &result.solution,
            k,
            1,
            -T::ONE,
            &mut difference,
            k.max(1),
            1,
        )?;
        result.residuals = (0..k)
            .map(|j| {
                difference[j..]
                    .iter()
                    .step_by(k)
                    .fold(T::R::ZERO, |sum, x| sum + x.re() * x.re() + x.im() * x.im())
            })
            .collect();
    }
    Ok(result)
}

/// Iterations of [`extreme`]: starting vectors are nearly sure to lead within a few per cent, and after the first ones
/// within the factor (of a square) below: its probability is `0.8 n^(1/2) factor^(-iterations/2)`, 10^-7 at n = 100
/// (Dixon, "Estimating extremal eigenvalues and condition numbers of matrices", SIAM J. Numer. Anal. 20, 1983).
const ITERATIONS: usize = 10;
const FIRST: usize = 4;
const FACTOR: f64 = 1e4;

/// Whether a matrix with the upper triangular factor `r` has full rank at `rcond`, with a margin for the estimates of
/// its largest and smallest singular value. Where it has not, singular values decide.
fn well_conditioned<T: LinalgElement>(n: usize, r: &mut [T], rcond: T::R) -> bool {
    if r.iter().step_by(n + 1).any(|x| *x == T::ZERO) {
        return false;
    }
    let two = T::R::ONE + T::R::ONE;
    // Both are squares of singular values.
    let passes = |largest: T::R, inverse: T::R| {
        let condition = Float::sqrt(largest) * Float::sqrt(inverse);
        Float::is_finite(condition) && condition * rcond * two < T::R::ONE
    };
    // The sum of all squares is a bound of the largest one.
    let squares = dotc(r, r).re();
    let mut conjugated: Vec<T> = if T::COMPLEX { r.iter().map(|v| v.conj()).collect() } else { Vec::new() };
    let inverse = extreme(
        n,
        |x| {
            let left = if T::COMPLEX { &mut conjugated[..] } else { &mut *r };
            let first = View::row_major(left, n, n).transposed();
            substitute(first, View::new(x, n, 1, 1, 1), false, false);
            substitute(View::row_major(r, n, n), View::new(x, n, 1, 1, 1), true, false);
        },
        |value| passes(squares, value * T::R::of(FACTOR)),
    );
    if passes(squares, inverse) {
        return true;
    }
    let mut product = vec![T::ZERO; n];
    let largest = extreme(
        n,
        |x| {
            product.fill(T::ZERO);
            for i in 0..n {
                let row = &r[i * n + i..(i + 1) * n];
                let sum = row.iter().zip(&x[i..]).fold(T::ZERO, |sum, (&a, &b)| sum + a * b);
                for (product, &a) in product[i..].iter_mut().zip(row) {
                    *product += a.conj() * sum;
                }
            }
            x.copy_from_slice(&product);
        },
        |_| false,
    );
    passes(largest, inverse)
}

/// The largest eigenvalue of a positive definite operator, by powers of it; fewer where the first are `enough`.
fn extreme<T: LinalgElement>(
    n: usize,
    mut operator: impl FnMut(&mut [T]),
    enough: impl Fn(T::R) -> bool,
) -> T::R {
    // Irregular, so as to have a share of every direction.
    let start = |i: usize| 1.0 + ((i as f64 + 1.0) * 0.6180339887498949).fract();
    let mut x: Vec<T> = (0..n)
        .map(|i| {
            let sign = if i * i % 7 < 4 { 1.0 } else { -1.0 };
            T::from_real(<T::R as NumCast>::from(sign * start(i)).unwrap_or(T::R::ONE))
        })
        .collect();
    let mut value = T::R::ZERO;
    for step in 1..=ITERATIONS {
        let norm = Float::sqrt(x.iter().fold(T::R::ZERO, |sum, v| sum + v.re() * v.re() + v.im() * v.im()));
        let scale = T::from_real(T::R::ONE / norm);
        x.iter_mut().for_each(|v| *v *= scale);
        operator(&mut x);
        value = Float::sqrt(x.iter().fold(T::R::ZERO, |sum, v| sum + v.re() * v.re() + v.im() * v.im()));
        if !(Float::is_finite(value) && value > T::R::ZERO) || (step == FIRST && enough(value)) {
            break;
        }
    }
    value
}

/// Solves through QR of `a` (or of its adjoint when it is wide). With `rcond`, gives up and returns false unless the
/// factor is well-conditioned.
fn by_qr<T: LinalgElement>(
    m: usize,
    n: usize,
    k: usize,
    a: &[T],
    b: &[T],
    rcond: Option<T::R>,
    result: &mut LeastSquares<T>,
) -> Result<bool> {
    let (tall, size) = (m >= n, m.min(n));
    let rows = m.max(n);
    // Right-hand sides of tall systems are columns beside those of the matrix, which the reflections change alike.
    let (mut columns, extra) = if tall {
        let mut columns = transpose(m, n, a, |x| x);
        columns.extend(transpose(m, k, b, |x| x));
        (columns, k)
    } else {
        (a.iter().map(|x| x.conj()).collect(), 0)
    };
    let mut tau = vec![T::ZERO; size];
    factor(&mut columns, rows, size + extra, &mut tau)?;
    let mut r = vec![T::ZERO; size * size];
    upper(&columns, rows, size, size, &mut r);
    if let Some(rcond) = rcond
        && !well_conditioned(size, &mut r, rcond)
    {
        return Ok(false);
    }
    result.rank = size;
    if let Some(zero) = r.iter().step_by(size + 1).position(|x| *x == T::ZERO) {
        result.info = zero as i32 + 1;
    }
    if tall {
        for (j, column) in columns[n * m..].chunks_exact(m).enumerate() {
            for (i, &x) in column[..n].iter().enumerate() {
                result.solution[i * k + j] = x;
            }
        }
        super::solve_triangular(n, k, &r, true, false, Op::None, &mut result.solution)?;
    } else {
        // a = R.H @ Q.H, so x = Q @ (R.H)^-1 @ b.
        let mut c = b.to_vec();
        super::solve_triangular(m, k, &r, true, false, Op::Adjoint, &mut c)?;
        c.resize(n * k, T::ZERO);
        reflect(&columns, rows, size, &tau, View::row_major(&mut c, n, k), false, false)?;
        result.solution = c;
    }
    Ok(true)
}

/// Solves through the singular values above `rcond` times the largest.
fn by_svd<T: Spectral>(
    m: usize,
    n: usize,
    k: usize,
    a: &[T],
    b: &[T],
    rcond: T::R,
    keep: bool,
    result: &mut LeastSquares<T>,
) -> Result<bool> {
    let size = m.min(n);
    // A tall matrix is first reduced to its square factor.
    let (mut q, mut r) = (Vec::new(), Vec::new());
    let reduced = m > n;
    if reduced {
        q = vec![T::ZERO; m * n];
        r = vec![T::ZERO; n * n];
        qr(m, n, a, QrMode::Reduced, &mut q, &mut r)?;
    }
    let (rows, matrix) = if reduced { (n, r.as_slice()) } else { (m, a) };
    let mut s = vec![T::R::ZERO; size];
    let (mut u, mut vh) = (vec![T::ZERO; rows * size], vec![T::ZERO; size * n]);
    result.info = svd(rows, n, matrix, false, &mut s, Some((&mut u, &mut vh)))?;
    if result.info != 0 {
        result.solution.fill(T::from_real(<T::R as Float>::nan()));
        return Ok(true);
    }
    let cutoff = if rcond < T::R::ZERO { <T::R as Float>::epsilon() } else { rcond } * s[0];
    result.rank = s.iter().take_while(|&&value| value > cutoff).count();
    let mut projected = vec![T::ZERO; rows * k];
    let b = if reduced {
        let adjoint = transpose(m, n, &q, |x| x.conj());
        matmul(n, k, m, &adjoint, b, &mut projected)?;
        projected.as_slice()
    } else {
        b
    };
    let mut c = vec![T::ZERO; size * k];
    u.iter_mut().for_each(|x| *x = x.conj());
    matmul(size, k, rows, &u, b, &mut c)?;
    for i in 0..size {
        let value = T::from_real(s[i]);
        for x in &mut c[i * k..(i + 1) * k] {
            *x = if i < result.rank { x.divide(value) } else { T::ZERO };
        }
    }
    matmul(n, k, size, &transpose(size, n, &vh, |x| x.conj()), &c, &mut result.solution)?;
    if keep {
        result.singular_values = s;
    }
    ensure!(result.solution.len() == n * k, "lstsq: internal size mismatch");
    Ok(true)
}
