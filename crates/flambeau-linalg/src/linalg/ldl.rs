//! `L @ D @ L.T` factors of symmetric and Hermitian indefinite matrices.

use super::{LinalgElement, View, check};
use crate::gemm::GemmElement;
use flambeau_core::{Result, ensure};
use num_traits::Float;

/// Bunch-Kaufman factors (Math. Comp. 31, 1977) of the lower triangle of the n x n `a`, in place, in the storage of
/// LAPACK's `sytrf`/`hetrf`: `D` of 1 x 1 and 2 x 2 blocks on the diagonal, `L` below it.
///
/// A positive pivot `p` at `k` means that rows `k` and `p - 1` were exchanged; two equal negative ones mark a 2 x 2 block.
/// Returns the first index (from 1) of a zero block, or 0.
pub fn ldl_factor<T: LinalgElement>(
    n: usize,
    a: &mut [T],
    hermitian: bool,
    pivots: &mut [i32],
) -> Result<i32> {
    check("ldl_factor", a.len(), n, n)?;
    ensure!(pivots.len() == n, "ldl_factor: expected {n} pivots");
    let hermitian = hermitian && T::COMPLEX;
    let flip = |x: T| if hermitian { x.conj() } else { x };
    let a = View::row_major(a, n, n);
    let real = |value: f64| num_traits::NumCast::from(value).unwrap_or(T::R::ONE);
    let alpha: T::R = real((1.0 + 17f64.sqrt()) / 8.0);
    let mut info = 0;
    let mut k = 0;
    while k < n {
        let size = |i: usize| if hermitian { Float::abs(a.get(i, i).re()) } else { a.get(i, i).abs1() };
        let diagonal = size(k);
        let (mut row, mut largest) = (k, T::R::ZERO);
        for i in k + 1..n {
            if a.get(i, k).abs1() > largest {
                (row, largest) = (i, a.get(i, k).abs1());
            }
        }
        let (mut pivot, mut step) = (k, 1);
        if diagonal == T::R::ZERO && largest == T::R::ZERO || Float::is_nan(diagonal) {
            if info == 0 {
                info = k as i32 + 1;
            }
            pivots[k] = k as i32 + 1;
            k += 1;
            continue;
        }
        if diagonal < alpha * largest {
            let mut other = T::R::ZERO;
            for j in (k..n).filter(|&j| j != row) {
                let x = if j < row { a.get(row, j) } else { a.get(j, row) };
                other = Float::max(other, x.abs1());
            }
            if diagonal < alpha * largest * (largest / other) {
                pivot = row;
                if size(row) < alpha * other {
                    step = 2;
                }
            }
        }
        let kk = k + step - 1;
        if pivot != kk {
            exchange(a, kk, pivot, flip);
            if step == 2 {
                let x = a.get(kk, k);
                a.set(kk, k, a.get(pivot, k));
                a.set(pivot, k, x);
            }
        }
        if hermitian {
            for i in k..k + step {
                a.set(i, i, T::from_real(a.get(i, i).re()));
            }
        }
        if step == 1 {
            let inverse = T::ONE.divide(a.get(k, k));
            for j in k + 1..n {
                let x = flip(a.get(j, k) * inverse);
                for i in j..n {
                    a.set(i, j, a.get(i, j) - a.get(i, k) * x);
                }
            }
            (k + 1..n).for_each(|i| a.set(i, k, a.get(i, k) * inverse));
            pivots[k] = pivot as i32 + 1;
        } else {
            for j in k + 2..n {
                let (x, y) = (a.get(j, k), a.get(j, k + 1));
                let [wk, wk1] = solve_block(a, k, hermitian, [flip(x), flip(y)]);
                let (wk, wk1) = (flip(wk), flip(wk1));
                for i in j..n {
                    // Rows below still hold the old columns; row j is replaced last.
                    let update = a.get(i, k) * flip(wk) + a.get(i, k + 1) * flip(wk1);
                    a.set(i, j, a.get(i, j) - update);
                }
                a.set(j, k, wk);
                a.set(j, k + 1, wk1);
            }
            pivots[k] = -(pivot as i32 + 1);
            pivots[k + 1] = pivots[k];
        }
        if hermitian {
            (k + step..n).for_each(|i| a.set(i, i, T::from_real(a.get(i, i).re())));
        }
        k += step;
    }
    Ok(info)
}

/// Exchanges rows and columns `p < q` of the trailing matrix whose lower triangle is stored, from row `p` on.
fn exchange<T: LinalgElement>(a: View<'_, T>, p: usize, q: usize, flip: impl Fn(T) -> T) {
    let swap = |i: usize, j: usize, r: usize, s: usize| {
        let x = a.get(i, j);
        a.set(i, j, a.get(r, s));
        a.set(r, s, x);
    };
    (q + 1..a.rows).for_each(|i| swap(i, p, i, q));
    for i in p + 1..q {
        let x = flip(a.get(i, p));
        a.set(i, p, flip(a.get(q, i)));
        a.set(q, i, x);
    }
    a.set(q, p, flip(a.get(q, p)));
    swap(p, p, q, q);
}

/// Solves with the 2 x 2 block of `D` at `k`.
fn solve_block<T: LinalgElement>(a: View<'_, T>, k: usize, hermitian: bool, b: [T; 2]) -> [T; 2] {
    let low = a.get(k + 1, k);
    let high = if hermitian { low.conj() } else { low };
    let (first, second) = (a.get(k, k).divide(high), a.get(k + 1, k + 1).divide(low));
    let scale = first * second - T::ONE;
    let (x, y) = (b[0].divide(high), b[1].divide(low));
    [(second * x - y).divide(scale), (first * y - x).divide(scale)]
}

/// Solves `A @ X = B` for n x k `b`, in place, from the factors of [`ldl_factor`]. Errors when a pivot is out of range.
pub fn ldl_solve<T: LinalgElement>(
    n: usize,
    k: usize,
    ld: &mut [T],
    pivots: &[i32],
    hermitian: bool,
    b: &mut [T],
) -> Result<()> {
    check("ldl_solve", ld.len(), n, n)?;
    check("ldl_solve", b.len(), n, k)?;
    let mut i = 0;
    while i < pivots.len() {
        let p = pivots[i];
        let pair = p < 0;
        let fits = p != 0 && p.unsigned_abs() as usize <= n && (!pair || pivots.get(i + 1) == Some(&p));
        ensure!(fits, "torch.linalg.ldl_solve: invalid pivots");
        i += 1 + pair as usize;
    }
    ensure!(pivots.len() == n, "torch.linalg.ldl_solve: invalid pivots");
    let hermitian = hermitian && T::COMPLEX;
    let flip = |x: T| if hermitian { x.conj() } else { x };
    let (a, b) = (View::row_major(ld, n, n), View::row_major(b, n, k));
    let mut i = 0;
    while i < n {
        let target = pivots[i].unsigned_abs() as usize - 1;
        let step = if pivots[i] < 0 { 2 } else { 1 };
        b.swap_rows(i + step - 1, target);
        for r in i + step..n {
            for c in 0..k {
                let sum = (i..i + step).fold(b.get(r, c), |sum, p| sum - a.get(r, p) * b.get(p, c));
                b.set(r, c, sum);
            }
        }
        for c in 0..k {
            if step == 1 {
                b.set(i, c, b.get(i, c).divide(a.get(i, i)));
            } else {
                let x = solve_block(a, i, hermitian, [b.get(i, c), b.get(i + 1, c)]);
                b.set(i, c, x[0]);
                b.set(i + 1, c, x[1]);
            }
        }
        i += step;
    }
    while i > 0 {
        let step = if pivots[i - 1] < 0 { 2 } else { 1 };
        let target = pivots[i - 1].unsigned_abs() as usize - 1;
        for p in i - step..i {
            for c in 0..k {
                let sum = (i..n).fold(b.get(p, c), |sum, r| sum - flip(a.get(r, p)) * b.get(r, c));
                b.set(p, c, sum);
            }
        }
        b.swap_rows(i - 1, target);
        i -= step;
    }
    Ok(())
}
