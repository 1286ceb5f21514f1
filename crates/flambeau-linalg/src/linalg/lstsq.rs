//! Least squares.

use super::spectral::Spectral;
use super::triangular::substitute;
use super::{LinalgElement, Op, QrMode, View, check, geqrf, ormqr, qr, svd, transpose};
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
    /// Squared norms of the k columns of `a @ x - b`, for m > n and full rank; otherwise empty.
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
    if m > n && result.rank == n {
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

/// Whether a matrix with triangular factor `r` surely has full rank at `rcond`, by an estimate of its condition.
fn well_conditioned<T: LinalgElement>(n: usize, r: &mut [T], rcond: T::R) -> bool {
    let size = <T::R as NumCast>::from(n).unwrap_or_else(<T::R as Float>::infinity);
    if r.iter().step_by(n + 1).any(|x| *x == T::ZERO) {
        return false;
    }
    let norm = (0..n).fold(T::R::ZERO, |most, j| {
        let column = (0..=j).fold(T::R::ZERO, |sum, i| sum + r[i * n + j].modulus());
        Float::max(most, column)
    });
    let inverse = inverse_norm(n, r);
    let three = T::R::ONE + T::R::ONE + T::R::ONE;
    // The estimate is a lower bound of the 1-norm condition, rarely off by 3, and that is within n of the 2-norm's.
    let condition = norm * inverse * three * size;
    Float::is_finite(condition) && condition * rcond < T::R::ONE
}

/// Hager's estimate of the 1-norm of the inverse of an upper triangle (SIAM J. Sci. Stat. Comput. 5, 1984).
fn inverse_norm<T: LinalgElement>(n: usize, r: &mut [T]) -> T::R {
    let start = T::R::ONE / <T::R as NumCast>::from(n).unwrap_or(T::R::ONE);
    let mut x = vec![T::from_real(start); n];
    let mut best = T::R::ZERO;
    let mut conjugated: Vec<T> = r.iter().map(|v| v.conj()).collect();
    for _ in 0..5 {
        substitute(View::row_major(r, n, n), View::new(&mut x, n, 1, 1, 1), true, false);
        let norm = x.iter().fold(T::R::ZERO, |sum, v| sum + v.modulus());
        if Float::is_nan(norm) {
            return norm;
        }
        if norm <= best {
            break;
        }
        best = norm;
        for v in &mut x {
            let size = v.modulus();
            *v = if size == T::R::ZERO { T::ONE } else { v.divide(T::from_real(size)) };
        }
        let adjoint = View::row_major(&mut conjugated, n, n).transposed();
        substitute(adjoint, View::new(&mut x, n, 1, 1, 1), false, false);
        let mut at = 0;
        for (i, v) in x.iter().enumerate() {
            if v.modulus() > x[at].modulus() {
                at = i;
            }
        }
        x.fill(T::ZERO);
        x[at] = T::ONE;
    }
    best
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
    let mut factors = if tall { a.to_vec() } else { transpose(m, n, a, |x| x.conj()) };
    let mut tau = vec![T::ZERO; size];
    geqrf(rows, size, &mut factors, &mut tau)?;
    let mut r: Vec<T> = factors[..size * size].to_vec();
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
        let mut c = b.to_vec();
        ormqr(rows, size, &factors, &tau, m, k, &mut c, true, true)?;
        c.truncate(n * k);
        super::solve_triangular(n, k, &r, true, false, Op::None, &mut c)?;
        result.solution = c;
    } else {
        // a = R.H @ Q.H, so x = Q @ (R.H)^-1 @ b.
        let mut c = b.to_vec();
        super::solve_triangular(m, k, &r, true, false, Op::Adjoint, &mut c)?;
        c.resize(n * k, T::ZERO);
        ormqr(rows, size, &factors, &tau, n, k, &mut c, true, false)?;
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
    matmul(size, k, rows, &transpose(rows, size, &u, |x| x.conj()), b, &mut c)?;
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
