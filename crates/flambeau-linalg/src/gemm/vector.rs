//! Products with vectors: dot, gemv, axpy.

use super::rows::{self, GROUP};
use super::{GemmElement, Shared, check, divided, multiversion};
use crate::prefetch::ahead;
use flambeau_core::parallel::sweep;
use flambeau_core::{Result, ensure};
use std::ops::Range;

/// The longest row that is added up in the order of [`short_row`].
const SHORT: usize = 17;
/// Rows of a column-major matrix accumulated together: of long columns, and of short ones, for which fewer sums are set to zero.
const ROWS: usize = 2048;
const FEW_ROWS: usize = 128;
/// Rows of four columns for which those of the next four are asked for at once.
const PIECE: usize = 64;
/// Bytes ahead that memory is asked for.
const AHEAD: usize = 2048;

fn vector_fits(len: usize, n: usize, inc: usize) -> bool {
    n == 0 || (n - 1).checked_mul(inc).is_some_and(|last| last < len)
}

#[inline(always)]
unsafe fn dot_body<T: GemmElement, const FMA: bool>(
    n: usize,
    x: *const T,
    incx: usize,
    y: *const T,
    incy: usize,
) -> T {
    // SAFETY: the caller vouches for n elements at either stride.
    unsafe {
        if incx != 1 || incy != 1 {
            let mut total = T::ZERO;
            for i in 0..n {
                total = (*x.add(i * incx)).mul_add::<FMA>(*y.add(i * incy), total);
            }
            total
        } else if size_of::<T>() == 4 {
            dot_contiguous::<T, FMA, 8>(n, x, y)
        } else {
            dot_contiguous::<T, FMA, 4>(n, x, y)
        }
    }
}

/// Sums in `G` groups of eight lanes, in the order in which PyTorch's build with MKL adds up on processors with AVX-512: four
/// registers of 64 bytes, of which the first two take what is left, a partial register with zeros.
#[inline(always)]
unsafe fn dot_contiguous<T: GemmElement, const FMA: bool, const G: usize>(
    n: usize,
    x: *const T,
    y: *const T,
) -> T {
    let register = G / 4;
    let mut sums = [[T::ZERO; 8]; G];
    let mut i = 0;
    // SAFETY: i < n, and the blocks that are read end at most there.
    unsafe {
        macro_rules! add {
            ($x:expr, $y:expr, $groups:expr) => {
                for v in 0..$groups {
                    let (x, y) = (&*$x.add(8 * v).cast::<[T; 8]>(), &*$y.add(8 * v).cast::<[T; 8]>());
                    for l in 0..8 {
                        sums[v][l] = x[l].mul_add::<FMA>(y[l], sums[v][l]);
                    }
                }
                i += 8 * $groups;
            };
        }
        while i + 8 * G <= n {
            for line in (0..8 * G * size_of::<T>()).step_by(64) {
                ahead(x.add(i).cast::<u8>().wrapping_add(AHEAD + line));
                ahead(y.add(i).cast::<u8>().wrapping_add(AHEAD + line));
            }
            add!(x.add(i), y.add(i), G);
        }
        if i + 4 * G <= n {
            add!(x.add(i), y.add(i), G / 2);
        }
        if i + 2 * G <= n {
            add!(x.add(i), y.add(i), G / 4);
        }
        if i < n {
            // A copy, so that the sums have constant indices and stay in registers.
            let (mut xs, mut ys) = ([T::ZERO; 16], [T::ZERO; 16]);
            for (l, i) in (i..n).enumerate() {
                (xs[l], ys[l]) = (*x.add(i), *y.add(i));
            }
            add!(xs.as_ptr(), ys.as_ptr(), G / 4);
        }
        debug_assert!(i >= n);
    }
    let mut eight = [[T::ZERO; 8]; 2];
    for v in 0..register {
        for l in 0..8 {
            let [a, b, c, d] = [0, 1, 2, 3].map(|r| sums[r * register + v][l]);
            eight[v][l] = a.add(b).add(c.add(d));
        }
    }
    let [low, high] = eight;
    let four = |l: usize| match register {
        2 => low[l].add(high[l]).add(low[l + 4].add(high[l + 4])),
        _ => low[l].add(low[l + 4]),
    };
    match register {
        2 => four(0).add(four(1)).add(four(2).add(four(3))),
        _ => four(0).add(four(2)).add(four(1).add(four(3))),
    }
}
multiversion! {
    unsafe fn dot_raw<T: GemmElement>(n: usize, x: *const T, incx: usize, y: *const T, incy: usize) -> T = dot_body
}

/// Sum of the products of `n` elements of `x` and `y`, `incx` and `incy` apart; no element is conjugated.
pub fn dot<T: GemmElement>(n: usize, x: &[T], incx: usize, y: &[T], incy: usize) -> Result<T> {
    ensure!(
        vector_fits(x.len(), n, incx) && vector_fits(y.len(), n, incy),
        "dot: an operand is out of bounds for its storage"
    );
    if incx == 1
        && incy == 1
        // SAFETY: both vectors were checked.
        && let Some(total) = unsafe { T::dot(n, x.as_ptr(), y.as_ptr()) }
    {
        return Ok(total);
    }
    // SAFETY: both vectors were checked.
    Ok(unsafe { dot_raw(n, x.as_ptr(), incx, y.as_ptr(), incy) })
}

/// `y += alpha * x` for `n` elements, `incx` and `incy` apart.
pub fn axpy<T: GemmElement>(
    n: usize,
    alpha: T,
    x: &[T],
    incx: usize,
    y: &mut [T],
    incy: usize,
) -> Result<()> {
    ensure!(
        vector_fits(x.len(), n, incx) && vector_fits(y.len(), n, incy),
        "axpy: an operand is out of bounds for its storage"
    );
    if incx == 1 && incy == 1 {
        for (y, &x) in y[..n].iter_mut().zip(&x[..n]) {
            *y = alpha.mul(x).add(*y);
        }
    } else {
        for i in 0..n {
            y[i * incy] = alpha.mul(x[i * incx]).add(y[i * incy]);
        }
    }
    Ok(())
}

/// The dot product of at most `SHORT` elements, every product rounded, in the order in which PyTorch's build with MKL adds
/// them up on processors without fused products: the first ones one after the other, the others in four lanes, which are
/// added up by halves. `grouped` is said of rows that are taken four at a time, which keep the lanes to the end.
///
/// # Safety
/// `n` elements at either stride are valid, `n` nonzero.
#[inline(always)]
unsafe fn short_row<T: GemmElement>(
    n: usize,
    x: *const T,
    incx: usize,
    y: *const T,
    incy: usize,
    grouped: bool,
) -> T {
    // SAFETY: i < n.
    let product = |i: usize| unsafe { (*x.add(i * incx)).mul(*y.add(i * incy)) };
    let (head, end) = match n {
        _ if grouped => ((n - 1) % 4 + 1, n),
        12.. => (4, 12),
        _ => (n, n),
    };
    let mut total = (1..head).fold(product(0), |total, i| total.add(product(i)));
    if head < end {
        let mut lanes = [total.add(product(head)), product(head + 1), product(head + 2), product(head + 3)];
        for i in (head + 4..end).step_by(4) {
            for (l, lane) in lanes.iter_mut().enumerate() {
                *lane = lane.add(product(i + l));
            }
        }
        total = lanes[0].add(lanes[2]).add(lanes[1].add(lanes[3]));
    }
    (end..n).fold(total, |total, i| total.add(product(i)))
}

/// `y = alpha * a @ x + beta * y` for `a` of m x n. `y` is not read when `beta` is zero.
pub fn gemv<T: GemmElement>(
    m: usize,
    n: usize,
    alpha: T,
    a: &[T],
    a_rs: usize,
    a_cs: usize,
    x: &[T],
    incx: usize,
    beta: T,
    y: &mut [T],
    incy: usize,
) -> Result<()> {
    check("gemv", a.len(), m, a_rs, n, a_cs)?;
    ensure!(
        vector_fits(x.len(), n, incx) && vector_fits(y.len(), m, incy),
        "gemv: a vector is out of bounds for its storage"
    );
    // SAFETY: all three operands were checked.
    unsafe {
        gemv_raw(m, n, alpha, a.as_ptr(), a_rs, a_cs, x.as_ptr(), incx, beta, y.as_mut_ptr(), incy, false)
    };
    Ok(())
}

/// [`gemv`] where columns are contiguous: rows are accumulated together. `store` takes a row and its sum.
///
/// # Safety
/// Every address that the sizes and strides reach must be valid.
#[inline(always)]
unsafe fn columns<T: GemmElement, const FMA: bool, const ROWS: usize>(
    m: usize,
    n: usize,
    a: *const T,
    a_cs: usize,
    x: *const T,
    incx: usize,
    store: impl Fn(usize, T),
) {
    let mut i0 = 0;
    while i0 < m {
        let rows = ROWS.min(m - i0);
        let mut sums = [T::ZERO; ROWS];
        let mut p = 0;
        // SAFETY: rows i0..i0+rows and columns p..p+4 (or p) exist.
        unsafe {
            while p + 4 <= n {
                let column = a.add(i0 + p * a_cs);
                let (x0, x1) = (*x.add(p * incx), *x.add((p + 1) * incx));
                let (x2, x3) = (*x.add((p + 2) * incx), *x.add((p + 3) * incx));
                for (piece, sums) in sums[..rows].chunks_mut(PIECE).enumerate() {
                    let column = column.add(piece * PIECE);
                    for line in (0..PIECE).step_by(64 / size_of::<T>().min(64)) {
                        for p in 4..8 {
                            ahead(column.wrapping_add(line + p * a_cs));
                        }
                    }
                    for (l, sum) in sums.iter_mut().enumerate() {
                        let mut s = (*column.add(l)).mul_add::<FMA>(x0, *sum);
                        s = (*column.add(l + a_cs)).mul_add::<FMA>(x1, s);
                        s = (*column.add(l + 2 * a_cs)).mul_add::<FMA>(x2, s);
                        *sum = (*column.add(l + 3 * a_cs)).mul_add::<FMA>(x3, s);
                    }
                }
                p += 4;
            }
            while p < n {
                let (column, x0) = (a.add(i0 + p * a_cs), *x.add(p * incx));
                for (l, sum) in sums[..rows].iter_mut().enumerate() {
                    *sum = (*column.add(l)).mul_add::<FMA>(x0, *sum);
                }
                p += 1;
            }
        }
        for (l, &sum) in sums[..rows].iter().enumerate() {
            store(i0 + l, sum);
        }
        i0 += rows;
    }
}

#[inline(always)]
unsafe fn gemv_body<T: GemmElement, const FMA: bool>(
    m: usize,
    n: usize,
    alpha: T,
    a: *const T,
    a_rs: usize,
    a_cs: usize,
    x: *const T,
    incx: usize,
    beta: T,
    y: *mut T,
    incy: usize,
    one: bool,
) {
    let store = |i: usize, sum: T| {
        // SAFETY: called with i < m.
        unsafe {
            let at = y.add(i * incy);
            let product = if alpha == T::ONE { sum } else { alpha.mul(sum) };
            *at = if beta == T::ZERO { product } else { product.add(beta.mul(*at)) };
        }
    };
    let short = one && T::SHORT_ROWS && n <= SHORT;
    if a_cs != 1 && a_rs == 1 && m > 1 {
        // SAFETY: passed on from the caller.
        return unsafe {
            match (short, m <= FEW_ROWS) {
                (true, true) => columns::<T, false, FEW_ROWS>(m, n, a, a_cs, x, incx, store),
                (true, false) => columns::<T, false, ROWS>(m, n, a, a_cs, x, incx, store),
                (false, true) => columns::<T, FMA, FEW_ROWS>(m, n, a, a_cs, x, incx, store),
                (false, false) => columns::<T, FMA, ROWS>(m, n, a, a_cs, x, incx, store),
            }
        };
    }
    // A strided vector is gathered once, so that each row is a contiguous dot product.
    let gathered: Vec<T>;
    let (x, incx) = if incx != 1 && a_cs == 1 && n > 1 {
        // SAFETY: p < n.
        gathered = (0..n).map(|p| unsafe { *x.add(p * incx) }).collect();
        (gathered.as_ptr(), 1)
    } else {
        (x, incx)
    };
    let grouped = m / GROUP * GROUP;
    if short && n > 1 {
        for i in 0..m {
            // SAFETY: row i has n elements at stride a_cs.
            store(i, unsafe { short_row::<T>(n, a.add(i * a_rs), a_cs, x, incx, i < grouped) });
        }
        return;
    }
    if !T::REAL || a_cs != 1 || incx != 1 || n == 0 {
        for i in 0..m {
            // SAFETY: row i has n elements at stride a_cs.
            store(i, unsafe { dot_body::<T, FMA>(n, a.add(i * a_rs), a_cs, x, incx) });
        }
    } else if size_of::<T>() == 4 {
        for i in (0..grouped).step_by(GROUP) {
            // SAFETY: rows i..i + GROUP have n contiguous elements, as the vector has.
            let sums = unsafe { rows::quick_group::<T, FMA>(n, a.add(i * a_rs), a_rs, x) };
            sums.into_iter().enumerate().for_each(|(r, sum)| store(i + r, sum));
        }
        for i in grouped..m {
            // SAFETY: as above.
            store(i, unsafe { rows::last::<T, FMA>(n, a.add(i * a_rs), x, i % 2 == 0) });
        }
    } else {
        for i in 0..m {
            // SAFETY: as above.
            store(i, unsafe { rows::quick_wide::<T, FMA>(n, a.add(i * a_rs), x) });
        }
    }
}
multiversion! {
    /// [`gemv_raw`] on this thread.
    ///
    /// # Safety
    /// Every address that the sizes and strides reach must be valid.
    unsafe fn gemv_serial<T: GemmElement>(
        m: usize, n: usize, alpha: T, a: *const T, a_rs: usize, a_cs: usize,
        x: *const T, incx: usize, beta: T, y: *mut T, incy: usize, one: bool,
    ) = gemv_body
}

/// How many multiplications in the caches are worth one whose number comes from memory.
const MEMORY: usize = 8;
/// Elements of a matrix that are worth a thread.
const LARGE: usize = 1 << 17;
/// Rows of a matrix that threads take at least.
const EACH: usize = 64;

/// The unchecked [`gemv`], on several threads if it is large: each takes some rows. `one` says that the vector is the one
/// row or column of a matrix: few numbers then add up as in small products of matrices.
///
/// # Safety
/// Every address that the sizes and strides reach must be valid.
pub(super) unsafe fn gemv_raw<T: GemmElement>(
    m: usize,
    n: usize,
    alpha: T,
    a: *const T,
    a_rs: usize,
    a_cs: usize,
    x: *const T,
    incx: usize,
    beta: T,
    y: *mut T,
    incy: usize,
    one: bool,
) {
    // Few rows and short ones have orders of their own, which depend on their number.
    if n <= SHORT || m < 2 * EACH {
        // SAFETY: passed on.
        return unsafe { gemv_serial(m, n, alpha, a, a_rs, a_cs, x, incx, beta, y, incy, one) };
    }
    let [a, x, y] = [a, x, y.cast_const()].map(Shared);
    let body = |units: Range<usize>| {
        // The last unit takes what is left over.
        let (first, end) = (units.start * EACH, if units.end == m / EACH { m } else { units.end * EACH });
        // SAFETY: rows of the matrix; ranges have none in common.
        unsafe {
            let (a, y) = (a.get().add(first * a_rs), y.get().cast_mut().add(first * incy));
            gemv_serial(end - first, n, alpha, a, a_rs, a_cs, x.get(), incx, beta, y, incy, one)
        }
    };
    // Long rows one after the other are memory that is passed over once; columns are read side by side.
    match a_cs == 1 && m.saturating_mul(n) >= 2 * LARGE {
        true => sweep(m / EACH, (LARGE / (EACH * n)).max(1), body),
        false => divided(m / EACH, EACH * n * MEMORY, body),
    }
}
