//! Eigenvalues and vectors of symmetric and Hermitian matrices: faer's reduction to a tridiagonal one, which is divided.

mod divide;
mod leaf;

use super::element::{balance, largest};
use super::spectral::{Spectral, scratch};
use super::{LinalgElement, check};
use crate::gemm::GemmElement;
use divide::tridiagonal;
use faer::dyn_stack::{MemStack, StackReq};
use faer::linalg::evd::tridiag::{tridiag_in_place, tridiag_in_place_scratch};
use faer::linalg::householder::{
    apply_block_householder_sequence_on_the_left_in_place_scratch,
    apply_block_householder_sequence_on_the_left_in_place_with_conj,
};
use faer::linalg::qr::no_pivoting::factor::recommended_block_size;
use faer::reborrow::{Reborrow, ReborrowMut};
use faer::{Conj, MatMut, Par};
use flambeau_core::{Result, ensure};
use num_traits::Float;

/// Eigenvalues (ascending) and, in the rows of `vectors`, orthonormal eigenvectors of the n x n Hermitian `a`, of which
/// the upper or lower triangle is read. Returns 0, or a positive info when the iteration did not converge or an element
/// is not finite.
pub fn eigh<T: Spectral>(
    n: usize,
    a: &[T],
    upper: bool,
    values: &mut [T::R],
    vectors: Option<&mut [T]>,
) -> Result<i32> {
    check("eigh", a.len(), n, n)?;
    ensure!(values.len() == n, "eigh: expected {n} eigenvalues");
    if let Some(v) = &vectors {
        check("eigh", v.len(), n, n)?;
    }
    let triangle = |i: usize| if upper { i * n + i..(i + 1) * n } else { i * n..i * n + i + 1 };
    if n == 0 {
        return Ok(0);
    }
    let Some(largest) = (0..n).try_fold(T::R::ZERO, |m, i| Some(m.max(largest(&a[triangle(i)])?))) else {
        return Ok(n as i32 + 1);
    };
    let largest = T::from_real(largest).widen().re();
    // The lower triangle of a column-major matrix is what faer reads.
    let mut lower = vec![T::Wide::ZERO; n * n];
    if upper {
        for i in 0..n {
            for (to, x) in lower[triangle(i)].iter_mut().zip(&a[triangle(i)]) {
                *to = x.widen().conj();
            }
        }
    } else {
        const TILE: usize = 16;
        for i0 in (0..n).step_by(TILE) {
            for j0 in (0..=i0).step_by(TILE) {
                for i in i0..n.min(i0 + TILE) {
                    for j in j0..(j0 + TILE).min(i + 1) {
                        lower[j * n + i] = a[i * n + j].widen();
                    }
                }
            }
        }
    }
    // The imaginary part of the diagonal counts as zero.
    for x in lower.iter_mut().step_by(n + 1) {
        *x = T::Wide::from_real(x.re());
    }
    let mut found = vec![<T::Wide as LinalgElement>::R::ZERO; n];
    let mut rows = vec![T::Wide::ZERO; if vectors.is_some() { n * n } else { 0 }];
    if !T::eigh_of(n, &mut lower, balance(largest), &mut found, vectors.is_some().then_some(&mut rows[..]))? {
        return Ok(n as i32);
    }
    for (to, &x) in values.iter_mut().zip(&found) {
        *to = T::narrow_real(x);
    }
    for (to, &x) in vectors.into_iter().flatten().zip(&rows) {
        *to = T::narrow(x);
    }
    Ok(0)
}

/// [`eigh`] of the lower triangle of a column-major matrix of finite numbers, which is lost, by way of its multiple.
pub(super) fn decompose<W: LinalgElement>(
    n: usize,
    a: &mut [W],
    scale: W::R,
    values: &mut [W::R],
    vectors: Option<&mut [W]>,
) -> Result<bool> {
    if scale != W::R::ONE {
        a.iter_mut().for_each(|x| *x *= W::from_real(scale));
    }
    let block = recommended_block_size::<W>(n, n);
    let mut reflectors = vec![W::ZERO; block * (n - 1)];
    let mut buffer = scratch(StackReq::any_of(&[
        tridiag_in_place_scratch::<W>(n, Par::Seq, Default::default()),
        apply_block_householder_sequence_on_the_left_in_place_scratch::<W>(n - 1, block, n),
    ]))?;
    let stack = MemStack::new(&mut buffer);
    let mut reduced = MatMut::from_column_major_slice_mut(a, n, n);
    let mut reflectors = MatMut::from_column_major_slice_mut(&mut reflectors, block, n - 1);
    tridiag_in_place(reduced.rb_mut(), reflectors.rb_mut(), Par::Seq, stack, Default::default());
    let reduced = reduced.rb();

    let below = |i: usize| reduced[(i + 1, i)];
    values.iter_mut().enumerate().for_each(|(i, d)| *d = reduced[(i, i)].re());
    let mut beside: Vec<W::R> =
        (0..n - 1).map(|i| if W::COMPLEX { below(i).modulus() } else { below(i).re() }).collect();
    let Some(vectors) = vectors else {
        let converged = tridiagonal(values, &mut beside, None)?;
        values.iter_mut().for_each(|x| *x /= scale);
        return Ok(converged);
    };
    let converged = match W::as_real(vectors) {
        Some(rows) => tridiagonal(values, &mut beside, Some(rows))?,
        None => {
            let mut rows = vec![W::R::ZERO; n * n];
            let converged = tridiagonal(values, &mut beside, Some(&mut rows))?;
            // Rows and columns turned by these are real.
            let mut phase = W::ONE;
            for i in 0..n {
                for j in 0..n {
                    vectors[j * n + i] = phase * W::from_real(rows[j * n + i]);
                }
                let next = if i + 1 < n { below(i) * phase } else { W::ZERO };
                phase = if next == W::ZERO { W::ONE } else { next.divide(W::from_real(next.modulus())) };
            }
            converged
        }
    };
    values.iter_mut().for_each(|x| *x /= scale);
    if !converged {
        return Ok(false);
    }
    apply_block_householder_sequence_on_the_left_in_place_with_conj(
        reduced.submatrix(1, 0, n - 1, n - 1),
        reflectors.rb(),
        Conj::No,
        MatMut::from_column_major_slice_mut(vectors, n, n).subrows_mut(1, n - 1),
        Par::Seq,
        stack,
    );
    Ok(true)
}

#[cfg(test)]
mod tests;
