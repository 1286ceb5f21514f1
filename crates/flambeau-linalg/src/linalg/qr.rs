//! QR by Householder reflections, with LAPACK's signs and storage.

use super::kernels::{axpy, dotc};
use super::{LinalgElement, View, check, transpose};
use crate::gemm::{GemmElement, gemm};
use flambeau_core::{Result, ensure};
use num_traits::Float;

/// Columns reflected together.
const BLOCK: usize = 32;
/// Up to this many elements Q is formed without blocking.
const SMALL: usize = 32 * 32;

/// Which factors [`qr`] returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QrMode {
    /// Q of m x min(m, n), R of min(m, n) x n.
    Reduced,
    /// Q of m x m, R of m x n.
    Complete,
    /// R of min(m, n) x n alone.
    R,
}

/// The Euclidean norm, without overflow or harmful underflow.
pub(super) fn norm<T: LinalgElement>(x: &[T]) -> T::R {
    let squares = dotc(x, x).re();
    let tiny = <T::R as Float>::min_positive_value() / <T::R as Float>::epsilon();
    if Float::is_finite(squares) && squares > tiny {
        return Float::sqrt(squares);
    }
    let largest = x.iter().fold(T::R::ZERO, |m, v| Float::max(m, v.abs1()));
    if largest == T::R::ZERO || !Float::is_finite(largest) {
        // NaN is lost by `max`, not by the sum.
        return if Float::is_nan(squares) { squares } else { largest };
    }
    let scale = T::from_real(largest);
    let sum = x.iter().fold(T::R::ZERO, |sum, v| {
        let v = v.divide(scale);
        sum + v.re() * v.re() + v.im() * v.im()
    });
    largest * Float::sqrt(sum)
}

/// LAPACK's `larfg`: the reflection that maps (`alpha`, `x`) to (`beta`, 0). Leaves `beta` in `alpha` and the
/// reflector, whose first element is 1, in `x`; returns its factor `tau`.
fn reflector<T: LinalgElement>(alpha: &mut T, x: &mut [T]) -> T {
    let rest = norm(x);
    if rest == T::R::ZERO && alpha.im() == T::R::ZERO {
        return T::ZERO;
    }
    let length = |alpha: T, rest: T::R| {
        let size = Float::hypot(Float::hypot(alpha.re(), alpha.im()), rest);
        if alpha.re() >= T::R::ZERO { -size } else { size }
    };
    let mut beta = length(*alpha, rest);
    let tiny = <T::R as Float>::min_positive_value() / <T::R as Float>::epsilon();
    let mut scale = T::R::ONE;
    if Float::abs(beta) < tiny {
        // The norm is so small that 1 / (alpha - beta) may overflow: work on a scaled copy.
        scale = <T::R as Float>::epsilon();
        let up = T::from_real(T::R::ONE / scale);
        x.iter_mut().for_each(|v| *v *= up);
        *alpha *= up;
        beta = length(*alpha, norm(x));
    }
    let tau = T::from_parts((beta - alpha.re()) / beta, -alpha.im() / beta);
    let factor = T::ONE.divide(*alpha - T::from_real(beta));
    x.iter_mut().for_each(|v| *v *= factor);
    *alpha = T::from_real(beta * scale);
    tau
}

/// A product of reflections `I - V @ T @ V.H` of vectors of `rows` elements (Schreiber and Van Loan, 1989).
struct Block<T> {
    rows: usize,
    width: usize,
    /// The vectors, one after the other, and their conjugates.
    v: Vec<T>,
    conjugated: Vec<T>,
    /// The columns of `T`, one after the other.
    t: Vec<T>,
}

impl<T: LinalgElement> Block<T> {
    /// Of the reflectors `start..start + width` in column-major storage of `m` rows.
    fn new(columns: &[T], m: usize, start: usize, width: usize, tau: &[T]) -> Result<Self> {
        let rows = m - start;
        let mut v = vec![T::ZERO; rows * width];
        for (j, v) in v.chunks_exact_mut(rows).enumerate() {
            v[j] = T::ONE;
            let column = &columns[(start + j) * m..(start + j + 1) * m];
            v[j + 1..].copy_from_slice(&column[start + j + 1..]);
        }
        let conjugated = if T::COMPLEX { v.iter().map(|x| x.conj()).collect() } else { Vec::new() };
        let mut products = vec![T::ZERO; width * width];
        let left = if T::COMPLEX { &conjugated } else { &v };
        gemm(width, width, rows, T::ONE, left, rows, 1, &v, 1, rows, T::ZERO, &mut products, width, 1)?;
        let mut t = vec![T::ZERO; width * width];
        for i in 0..width {
            let tau = tau[start + i];
            let (before, column) = t.split_at_mut(i * width);
            for q in 0..i {
                axpy(-tau * products[q * width + i], &before[q * width..=q * width + q], &mut column[..=q]);
            }
            column[i] = tau;
        }
        Ok(Block { rows, width, v, conjugated, t })
    }

    /// Multiplies `c` (of `rows` rows) from the left by the product, or by its conjugate transpose.
    fn apply(&mut self, c: View<'_, T>, adjoint: bool) {
        let (rows, width, cols) = (self.rows, self.width, c.cols);
        let mut first = vec![T::ZERO; width * cols];
        let mut second = vec![T::ZERO; width * cols];
        let (first, second) =
            (View::row_major(&mut first, width, cols), View::row_major(&mut second, width, cols));
        if T::COMPLEX {
            first.multiply(T::ONE, View::new(&mut self.conjugated, width, rows, rows, 1), c, T::ZERO);
        } else {
            first.multiply(T::ONE, View::new(&mut self.v, width, rows, rows, 1), c, T::ZERO);
        }
        if adjoint {
            let mut conjugated: Vec<T> = self.t.iter().map(|x| x.conj()).collect();
            second.multiply(T::ONE, View::row_major(&mut conjugated, width, width), first, T::ZERO);
        } else {
            let t = View::row_major(&mut self.t, width, width).transposed();
            second.multiply(T::ONE, t, first, T::ZERO);
        }
        c.multiply(-T::ONE, View::new(&mut self.v, rows, width, 1, rows), second, T::ONE);
    }
}

/// Factors `n` columns of `m` elements in place, the first `tau.len()` of which (at most `m`) have reflectors.
pub(super) fn factor<T: LinalgElement>(columns: &mut [T], m: usize, n: usize, tau: &mut [T]) -> Result<()> {
    let size = tau.len();
    for start in (0..size).step_by(BLOCK) {
        let width = BLOCK.min(size - start);
        // The last block of a small matrix takes the remaining columns along.
        let panel = if n <= BLOCK { n } else { start + width };
        for j in start..start + width {
            let (left, right) = columns.split_at_mut((j + 1) * m);
            let column = &mut left[j * m + j..];
            let (alpha, rest) = column.split_at_mut(1);
            tau[j] = reflector(&mut alpha[0], rest);
            if tau[j] != T::ZERO {
                for other in right.chunks_exact_mut(m).take(panel - j - 1) {
                    let other = &mut other[j..];
                    let product = (other[0] + dotc(rest, &other[1..])) * tau[j].conj();
                    other[0] -= product;
                    axpy(-product, rest, &mut other[1..]);
                }
            }
        }
        if panel < n {
            let mut block = Block::new(columns, m, start, width, tau)?;
            let all = View::new(columns, m, n, 1, m);
            block.apply(all.block(start, panel, m - start, n - panel), true);
        }
    }
    Ok(())
}

/// The upper triangle of the factored columns, `rows` x `cols`, zero below its diagonal.
pub(super) fn upper<T: LinalgElement>(columns: &[T], m: usize, rows: usize, cols: usize, r: &mut [T]) {
    const TILE: usize = 16;
    r.fill(T::ZERO);
    for i0 in (0..rows).step_by(TILE) {
        for j0 in (i0..cols).step_by(TILE) {
            for i in i0..rows.min(i0 + TILE) {
                for j in j0.max(i)..cols.min(j0 + TILE) {
                    r[i * cols + j] = columns[j * m + i];
                }
            }
        }
    }
}

/// Multiplies `c` from the left by the product of the first `k` reflectors, or by its conjugate transpose.
/// With `triangular`, `c` starts as the identity, and reflector `j` leaves its first `j` columns alone.
pub(super) fn reflect<T: LinalgElement>(
    columns: &[T],
    m: usize,
    k: usize,
    tau: &[T],
    c: View<'_, T>,
    adjoint: bool,
    triangular: bool,
) -> Result<()> {
    let mut starts: Vec<usize> = (0..k).step_by(BLOCK).collect();
    if !adjoint {
        starts.reverse();
    }
    for start in starts {
        let mut block = Block::new(columns, m, start, BLOCK.min(k - start), tau)?;
        let from = if triangular { start } else { 0 };
        block.apply(c.block(start, from, m - start, c.cols - from), adjoint);
    }
    Ok(())
}

/// QR factors of the m x n `a`, in place, as LAPACK's `geqrf`: R in the upper triangle, the reflectors below it, and
/// their factors in `tau` (min(m, n) elements).
pub fn geqrf<T: LinalgElement>(m: usize, n: usize, a: &mut [T], tau: &mut [T]) -> Result<()> {
    check("geqrf", a.len(), m, n)?;
    ensure!(tau.len() == m.min(n), "geqrf: expected {} elements of tau", m.min(n));
    let mut columns = transpose(m, n, a, |x| x);
    factor(&mut columns, m, n, tau)?;
    a.copy_from_slice(&transpose(n, m, &columns, |x| x));
    Ok(())
}

/// The first `n` columns of the product of the reflectors in the m x n `a` (`tau.len() <= n <= m` of them), as
/// LAPACK's `orgqr`, written to `out` (m x n).
pub fn householder_product<T: LinalgElement>(
    m: usize,
    n: usize,
    a: &[T],
    tau: &[T],
    out: &mut [T],
) -> Result<()> {
    check("householder_product", a.len(), m, n)?;
    check("householder_product", out.len(), m, n)?;
    ensure!(
        tau.len() <= n && n <= m,
        "torch.linalg.householder_product: input.shape[-1] must be greater than or equal to tau.shape[-1]"
    );
    let columns = transpose(m, n, a, |x| x);
    form_q(&columns, m, n, tau, out)
}

fn form_q<T: LinalgElement>(columns: &[T], m: usize, n: usize, tau: &[T], out: &mut [T]) -> Result<()> {
    if m * n <= SMALL {
        // One reflector after the other, on contiguous columns.
        let mut q = vec![T::ZERO; m * n];
        (0..m.min(n)).for_each(|i| q[i * m + i] = T::ONE);
        for (j, &tau) in tau.iter().enumerate().rev().filter(|(_, tau)| **tau != T::ZERO) {
            let rest = &columns[j * m + j + 1..(j + 1) * m];
            for column in q.chunks_exact_mut(m).skip(j) {
                let column = &mut column[j..];
                let product = (column[0] + dotc(rest, &column[1..])) * tau;
                column[0] -= product;
                axpy(-product, rest, &mut column[1..]);
            }
        }
        out.copy_from_slice(&transpose(n, m, &q, |x| x));
        return Ok(());
    }
    out.fill(T::ZERO);
    (0..m.min(n)).for_each(|i| out[i * n + i] = T::ONE);
    reflect(columns, m, tau.len(), tau, View::row_major(out, m, n), false, true)
}

/// Multiplies the p x q `c`, in place, by the product `Q` of the reflectors in the m x k `a` (or `op(Q)`), from the
/// left (`m = p`) or from the right (`m = q`), as LAPACK's `ormqr`.
pub fn ormqr<T: LinalgElement>(
    m: usize,
    k: usize,
    a: &[T],
    tau: &[T],
    p: usize,
    q: usize,
    c: &mut [T],
    left: bool,
    adjoint: bool,
) -> Result<()> {
    check("ormqr", a.len(), m, k)?;
    check("ormqr", c.len(), p, q)?;
    ensure!(m == if left { p } else { q }, "torch.ormqr: other.shape must be equal to input.shape[-2]");
    ensure!(
        tau.len() <= k && k <= m,
        "torch.ormqr: other.shape must be greater than or equal to tau.shape[-1]"
    );
    let columns = transpose(m, k, a, |x| x);
    if left {
        reflect(&columns, m, tau.len(), tau, View::row_major(c, p, q), adjoint, false)?;
    } else {
        // C @ Q is the conjugate transpose of Q.H @ C.H.
        let mut flipped = transpose(p, q, c, |x| x.conj());
        reflect(&columns, m, tau.len(), tau, View::row_major(&mut flipped, q, p), !adjoint, false)?;
        c.copy_from_slice(&transpose(q, p, &flipped, |x| x.conj()));
    }
    Ok(())
}

/// QR factors of the m x n `a`: `q` and `r` as [`QrMode`] says (`q` empty for `R`). Returns nothing but errors of
/// size; any matrix has factors.
pub fn qr<T: LinalgElement>(
    m: usize,
    n: usize,
    a: &[T],
    mode: QrMode,
    q: &mut [T],
    r: &mut [T],
) -> Result<()> {
    check("qr", a.len(), m, n)?;
    let size = m.min(n);
    let inner = if mode == QrMode::Complete { m } else { size };
    check("qr", r.len(), inner, n)?;
    check("qr", q.len(), if mode == QrMode::R { 0 } else { m }, inner)?;
    let mut columns = transpose(m, n, a, |x| x);
    let mut tau = vec![T::ZERO; size];
    factor(&mut columns, m, n, &mut tau)?;
    upper(&columns, m, inner, n, r);
    if mode != QrMode::R && inner > 0 {
        form_q(&columns, m, inner, &tau, q)?;
    }
    Ok(())
}
