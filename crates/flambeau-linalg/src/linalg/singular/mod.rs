//! Singular values and vectors: faer's reduction to a bidiagonal matrix, which is divided.

mod divide;
mod leaf;

use super::element::{balance, largest};
use super::qr::{factor, reflect, upper};
use super::spectral::{Spectral, scratch};
use super::{LinalgElement, View, check, transpose};
use crate::gemm::GemmElement;
use divide::bidiagonal;
use faer::dyn_stack::{MemStack, StackReq};
use faer::linalg::householder::{
    apply_block_householder_sequence_on_the_left_in_place_scratch,
    apply_block_householder_sequence_on_the_left_in_place_with_conj,
};
use faer::linalg::qr::no_pivoting::factor::recommended_block_size;
use faer::linalg::svd::bidiag::{bidiag_in_place, bidiag_in_place_scratch};
use faer::reborrow::{Reborrow, ReborrowMut};
use faer::{Conj, MatMut, Par};
use flambeau_core::{Result, ensure};

/// Singular vectors of a tall matrix, one after the other: `count` left ones of m numbers, n right ones of n.
#[doc(hidden)]
pub struct Factors<'a, W> {
    pub left: &'a mut [W],
    pub count: usize,
    pub right: &'a mut [W],
}

/// Singular value decomposition `a = U @ diag(s) @ Vh` of the m x n `a`.
///
/// `s` receives min(m, n) values in descending order; `vectors` the k columns of `U`, one after the other, and `Vh`
/// (k' x n), where k and k' are min(m, n), or m and n when `full`. Returns 0, or a positive info when the iteration did
/// not converge or an element is not finite.
pub fn svd<T: Spectral>(
    m: usize,
    n: usize,
    a: &[T],
    full: bool,
    s: &mut [T::R],
    vectors: Option<(&mut [T], &mut [T])>,
) -> Result<i32> {
    check("svd", a.len(), m, n)?;
    let size = m.min(n);
    ensure!(s.len() == size, "svd: expected {size} singular values");
    let (left, right) = if full { (m, n) } else { (size, size) };
    if let Some((u, vh)) = &vectors {
        check("svd", u.len(), m, left)?;
        check("svd", vh.len(), right, n)?;
    }
    let Some(largest) = largest(a) else {
        return Ok(size as i32 + 1);
    };
    if size == 0 {
        if let Some((u, vh)) = vectors {
            u.fill(T::ZERO);
            vh.fill(T::ZERO);
            u.iter_mut().step_by(m + 1).for_each(|x| *x = T::ONE);
            vh.iter_mut().step_by(n + 1).for_each(|x| *x = T::ONE);
        }
        return Ok(0);
    }
    // A wide matrix is decomposed as its transpose, whose columns are its rows.
    let tall = m >= n;
    let (rows, columns) = if tall { (m, n) } else { (n, m) };
    let scale = balance(T::from_real(largest).widen().re());
    let mut work: Vec<T::Wide> = a.iter().map(|x| x.widen()).collect();
    if tall {
        work = transpose(m, n, &work, |x| x);
    }
    let unit = <T::Wide as LinalgElement>::R::ONE;
    if scale != unit {
        let scale = T::Wide::from_real(scale);
        work.iter_mut().for_each(|x| *x *= scale);
    }
    let mut values = vec![<T::Wide as LinalgElement>::R::ZERO; size];
    let count = if tall { left } else { right };
    let wanted = vectors.is_some();
    let mut long = vec![T::Wide::ZERO; if wanted { rows * count } else { 0 }];
    let mut short = vec![T::Wide::ZERO; if wanted { columns * columns } else { 0 }];
    let factors = wanted.then_some(Factors { left: &mut long, count, right: &mut short });
    if !T::svd_of(rows, columns, &mut work, &mut values, factors)? {
        return Ok(size as i32);
    }
    for (s, &value) in s.iter_mut().zip(&values) {
        *s = T::narrow_real(value / scale);
    }
    if let Some((u, vh)) = vectors {
        // Of a tall matrix A = U S V.H, of a wide one A.T = V* S U.T.
        let (plain, conjugated, long_to, short_to) =
            if tall { (&long, &short, u, vh) } else { (&long, &short, vh, u) };
        for (to, &x) in long_to.iter_mut().zip(plain) {
            *to = T::narrow(x);
        }
        for (to, &x) in short_to.iter_mut().zip(conjugated) {
            *to = T::narrow(x.conj());
        }
    }
    Ok(0)
}

/// Whether a matrix has so many rows that its triangular factor is decomposed instead.
fn is_long(m: usize, n: usize) -> bool {
    m > n.saturating_mul(8) / 5
}

/// [`svd`] of a column-major matrix of finite numbers, which is lost, with at least as many rows as columns.
pub(super) fn decompose<W: LinalgElement>(
    m: usize,
    n: usize,
    a: &mut [W],
    values: &mut [W::R],
    factors: Option<Factors<'_, W>>,
) -> Result<bool> {
    if !is_long(m, n) {
        return reduce(m, n, a, values, factors);
    }
    let mut tau = vec![W::ZERO; n];
    factor(a, m, n, &mut tau)?;
    let mut rows = vec![W::ZERO; n * n];
    upper(a, m, n, n, &mut rows);
    let mut square = transpose(n, n, &rows, |x| x);
    let Some(Factors { left, count, right }) = factors else {
        return reduce(n, n, &mut square, values, None);
    };
    let mut inner = rows;
    let parts = Factors { left: &mut inner, count: n, right };
    if !reduce(n, n, &mut square, values, Some(parts))? {
        return Ok(false);
    }
    spread(left, m, &inner, n);
    reflect(a, m, n, &tau, View::new(left, m, count, 1, m), false, false)?;
    Ok(true)
}

/// Vectors of n numbers become the first ones of m numbers; those behind them are of the other directions.
fn spread<W: LinalgElement>(to: &mut [W], m: usize, from: &[W], n: usize) {
    for (j, to) in to.chunks_exact_mut(m).enumerate() {
        to.fill(W::ZERO);
        if j < n {
            to[..n].copy_from_slice(&from[j * n..(j + 1) * n]);
        } else {
            to[j] = W::ONE;
        }
    }
}

/// [`decompose`] by way of a bidiagonal matrix.
fn reduce<W: LinalgElement>(
    m: usize,
    n: usize,
    a: &mut [W],
    values: &mut [W::R],
    factors: Option<Factors<'_, W>>,
) -> Result<bool> {
    let block = recommended_block_size::<W>(m, n);
    let (mut left, mut right) = (vec![W::ZERO; block * n], vec![W::ZERO; block * (n - 1)]);
    let count = factors.as_ref().map_or(0, |factors| factors.count);
    let mut buffer = scratch(StackReq::any_of(&[
        bidiag_in_place_scratch::<W>(m, n, Par::Seq, Default::default()),
        apply_block_householder_sequence_on_the_left_in_place_scratch::<W>(m, block, count),
        apply_block_householder_sequence_on_the_left_in_place_scratch::<W>(n - 1, block, n),
    ]))?;
    let stack = MemStack::new(&mut buffer);
    let mut reduced = MatMut::from_column_major_slice_mut(a, m, n);
    let mut left = MatMut::from_column_major_slice_mut(&mut left, block, n);
    let mut right = MatMut::from_column_major_slice_mut(&mut right, block, n - 1);
    bidiag_in_place(reduced.rb_mut(), left.rb_mut(), right.rb_mut(), Par::Seq, stack, Default::default());

    // Rows and columns turned by these phases are real.
    let mut phases = vec![(W::ONE, W::ONE); n];
    let mut above = vec![W::R::ZERO; n - 1];
    let turn = |x: W| if x == W::ZERO { W::ONE } else { x.divide(W::from_real(x.modulus())) };
    for i in 0..n {
        let own = reduced.rb()[(i, i)];
        let next = if i + 1 < n { reduced.rb()[(i, i + 1)] } else { W::ZERO };
        if W::COMPLEX {
            phases[i].0 = turn(own * phases[i].1);
            values[i] = own.modulus();
            if i + 1 < n {
                phases[i + 1].1 = phases[i].0 * turn(next).conj();
                above[i] = next.modulus();
            }
        } else {
            values[i] = own.re();
            if i + 1 < n {
                above[i] = next.re();
            }
        }
    }
    let Some(Factors { left: u, right: v, .. }) = factors else {
        return bidiagonal(values, &above, None);
    };
    let mut rows = vec![W::R::ZERO; if W::COMPLEX { n * n } else { 0 }];
    let mut inner = vec![W::ZERO; n * n];
    let converged = match (W::as_real(&mut inner), W::as_real(v)) {
        (Some(u), Some(v)) => bidiagonal(values, &above, Some((u, v)))?,
        _ => {
            let mut others = vec![W::R::ZERO; n * n];
            let converged = bidiagonal(values, &above, Some((&mut rows, &mut others)))?;
            for (at, (&x, &y)) in rows.iter().zip(&others).enumerate() {
                let (left, right) = phases[at % n];
                inner[at] = left * W::from_real(x);
                v[at] = right * W::from_real(y);
            }
            converged
        }
    };
    if !converged {
        return Ok(false);
    }
    spread(u, m, &inner, n);
    apply_block_householder_sequence_on_the_left_in_place_with_conj(
        reduced.rb(),
        left.rb(),
        Conj::No,
        MatMut::from_column_major_slice_mut(u, m, count),
        Par::Seq,
        stack,
    );
    // faer finds reflectors below the diagonal.
    for j in 1..n {
        for i in 0..j {
            let x = reduced.rb()[(i, j)];
            reduced.rb_mut()[(j, i)] = x;
        }
    }
    apply_block_householder_sequence_on_the_left_in_place_with_conj(
        reduced.rb().submatrix(1, 0, n - 1, n - 1),
        right.rb(),
        Conj::Yes,
        MatMut::from_column_major_slice_mut(v, n, n).subrows_mut(1, n - 1),
        Par::Seq,
        stack,
    );
    Ok(true)
}

#[cfg(test)]
mod tests;
