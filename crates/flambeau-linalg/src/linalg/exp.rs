//! The matrix exponential.

use super::{LinalgElement, check, identity, solve};
use crate::gemm::{GemmElement, matmul};
use flambeau_core::Result;
use num_traits::{Float, NumCast, ToPrimitive};

/// Degrees of the diagonal Padé approximants and the largest 1-norm for which each is accurate in double and single
/// precision (Higham, SIAM J. Matrix Anal. 26, 2005, tables 2.3 and 5.1).
const DOUBLE: [(usize, f64); 5] = [
    (3, 1.495585217958292e-2),
    (5, 2.53939833006323e-1),
    (7, 9.504178996162932e-1),
    (9, 2.097847961257068),
    (13, 5.371920351148152),
];
const SINGLE: [(usize, f64); 3] = [(3, 4.258730016922831e-1), (5, 1.880152677804762), (7, 3.92572478313866)];

/// The exponential of the n x n `a`, written to `out`, by scaling and squaring. A matrix that is not finite gives NaN.
pub fn matrix_exp<T: LinalgElement>(n: usize, a: &[T], out: &mut [T]) -> Result<()> {
    check("matrix_exp", a.len(), n, n)?;
    check("matrix_exp", out.len(), n, n)?;
    if n == 0 {
        return Ok(());
    }
    let columns = (0..n).map(|j| a[j..].iter().step_by(n).map(|x| x.modulus().to_f64()).sum::<Option<f64>>());
    let Some((degree, squarings)) = plan(columns, size_of::<T::R>() == 4) else {
        out.fill(T::from_real(<T::R as Float>::nan()));
        return Ok(());
    };
    let real = |x: f64| T::from_real(NumCast::from(x).unwrap_or(T::R::ZERO));
    let scale = real(0.5f64.powi(squarings));
    let scaled: Vec<T> = a.iter().map(|&x| x * scale).collect();

    // p(x) = sum c_i x^i; the approximant is p(x) / p(-x), with the odd terms in `u` and the even ones in `v`.
    let coefficients = pade(degree);
    let mut square = vec![T::ZERO; n * n];
    matmul(n, n, n, &scaled, &scaled, &mut square)?;
    let (mut odd, mut even) = (identity::<T>(n), identity::<T>(n));
    odd.iter_mut().for_each(|x| *x *= real(coefficients[1]));
    even.iter_mut().for_each(|x| *x *= real(coefficients[0]));
    let mut power = square.clone();
    let mut next = vec![T::ZERO; n * n];
    for i in 1..=degree / 2 {
        let (o, e) = (real(coefficients[2 * i + 1]), real(coefficients[2 * i]));
        for j in 0..n * n {
            odd[j] += o * power[j];
            even[j] += e * power[j];
        }
        if i < degree / 2 {
            matmul(n, n, n, &power, &square, &mut next)?;
            std::mem::swap(&mut power, &mut next);
        }
    }
    matmul(n, n, n, &scaled, &odd, &mut next)?;
    let denominator: Vec<T> = even.iter().zip(&next).map(|(&v, &u)| v - u).collect();
    for ((out, &v), &u) in out.iter_mut().zip(&even).zip(&next) {
        *out = v + u;
    }
    solve(n, n, &denominator, out)?;
    for _ in 0..squarings {
        matmul(n, n, n, out, out, &mut next)?;
        out.copy_from_slice(&next);
    }
    Ok(())
}

/// Coefficients of the numerator of the [m/m] approximant of exp: `(2m-i)! m! / ((2m)! (m-i)! i!)`.
fn pade(degree: usize) -> Vec<f64> {
    let mut coefficients = vec![1.0];
    for i in 1..=degree {
        let factor = (degree - i + 1) as f64 / ((2 * degree - i + 1) as f64 * i as f64);
        coefficients.push(coefficients[i - 1] * factor);
    }
    coefficients
}

/// Degree of the approximant and number of squarings for a matrix of the given column sums; `None` unless finite.
fn plan(columns: impl Iterator<Item = Option<f64>>, single: bool) -> Option<(usize, i32)> {
    let mut norm = 0.0f64;
    for sum in columns {
        let sum = sum.filter(|sum| sum.is_finite())?;
        norm = norm.max(sum);
    }
    let table: &[(usize, f64)] = if single { &SINGLE } else { &DOUBLE };
    let (last, limit) = table[table.len() - 1];
    let degree = table.iter().find(|&&(_, limit)| norm <= limit).map_or(last, |&(degree, _)| degree);
    let squarings = if norm > limit { (norm / limit).log2().ceil() as i32 } else { 0 };
    Some((degree, squarings))
}
