//! Matrix products on strided slices.
//!
//! An operand is a slice that starts at its first element, with one stride (in elements) for its rows and one for
//! its columns. Strides may be zero or larger than the extent (broadcast, transposed and sliced operands need no
//! copy). Large real products are computed in tiles, complex ones by faer; vectors, tiny matrices and integers have loops
//! of their own. Every element of a result is computed in one fixed order, whatever the number of threads.

mod amx;
mod blocked;
mod complex;
#[cfg(target_arch = "x86_64")]
mod dots_wide;
mod element;
mod halves;
mod integer;
mod rows;
#[cfg(target_arch = "x86_64")]
mod rows_wide;
mod small;
mod thirds;
mod vector;

pub use blocked::{Base, Columns, Kernel, Lines, Rows, turn};
pub use element::GemmElement;
pub use halves::{gemm_bf16, has_bf16};
pub(crate) use small::total;
pub use thirds::{PairLines, PairRows, Piece, pairs_pay};
pub use vector::{axpy, dot, gemv};

use crate::level::{Level, level};
use flambeau_core::parallel::{num_threads, parallel};
use flambeau_core::{Result, ensure};
use std::ops::Range;

/// Product of the sizes, or a RuntimeError when it does not fit into a signed 64-bit integer.
#[allow(dead_code)]
pub fn size_product(sizes: &[usize]) -> Result<usize> {
    let mut product = 1usize;
    for &size in sizes {
        product = match product.checked_mul(size) {
            Some(value) if value <= isize::MAX as usize => value,
            _ => flambeau_core::bail!("numel: integer multiplication overflow"),
        };
    }
    Ok(product)
}

/// Number of elements from the first to the last one that a strided `rows` x `cols` matrix touches.
pub(crate) fn extent(rows: usize, rs: usize, cols: usize, cs: usize) -> Option<usize> {
    if rows == 0 || cols == 0 {
        return Some(0);
    }
    (rows - 1).checked_mul(rs)?.checked_add((cols - 1).checked_mul(cs)?)?.checked_add(1)
}

pub(crate) fn check(name: &str, len: usize, rows: usize, rs: usize, cols: usize, cs: usize) -> Result<()> {
    let fits = extent(rows, rs, cols, cs).is_some_and(|needed| needed <= len);
    ensure!(
        fits,
        "{name}: a {rows}x{cols} matrix with strides ({rs}, {cs}) is out of bounds for storage of size {len}"
    );
    Ok(())
}

/// `c = alpha * a @ b + beta * c` for `a` of m x k, `b` of k x n and `c` of m x n.
///
/// As in BLAS, `c` is not read when `beta` is zero, and `a` and `b` are not read when `alpha` or `k` is zero.
/// Distinct elements of `c` must have distinct addresses. Errors when an operand is too short for its strides.
pub fn gemm<T: GemmElement>(
    m: usize,
    n: usize,
    k: usize,
    alpha: T,
    a: &[T],
    a_rs: usize,
    a_cs: usize,
    b: &[T],
    b_rs: usize,
    b_cs: usize,
    beta: T,
    c: &mut [T],
    c_rs: usize,
    c_cs: usize,
) -> Result<()> {
    let shape = Shape { m, n, k, a_rs, a_cs, b_rs, b_cs, c_rs, c_cs };
    shape.check(a.len(), b.len(), c.len())?;
    if m == 0 || n == 0 {
        return Ok(());
    }
    // SAFETY: every address that the strides reach was checked to lie inside the slices.
    unsafe { shape.multiply(alpha, a.as_ptr(), b.as_ptr(), beta, c.as_mut_ptr()) };
    Ok(())
}

/// `c = a @ b`, every product rounded and added to the sum of those before it: for few numbers.
pub fn gemm_rounded<T: GemmElement>(
    m: usize,
    n: usize,
    k: usize,
    a: &[T],
    a_rs: usize,
    a_cs: usize,
    b: &[T],
    b_rs: usize,
    b_cs: usize,
    c: &mut [T],
) -> Result<()> {
    let shape = Shape { m, n, k, a_rs, a_cs, b_rs, b_cs, c_rs: n, c_cs: 1 };
    shape.check(a.len(), b.len(), c.len())?;
    if k == 0 {
        c[..m * n].fill(T::ZERO);
        return Ok(());
    }
    // SAFETY: every address that the strides reach was checked to lie inside the slices.
    unsafe { small::direct(&shape, T::ONE, a.as_ptr(), b.as_ptr(), T::ZERO, c.as_mut_ptr()) };
    Ok(())
}

/// `c = a @ b + bias` for `a` of m x k, `b` of k x n, a bias for each column and `c` of m x n with contiguous rows, one after
/// the other. In large products the bias is added to the first part of a sum, in others to the sum.
pub fn gemm_biased<T: GemmElement>(
    m: usize,
    n: usize,
    k: usize,
    a: &[T],
    a_rs: usize,
    a_cs: usize,
    b: &[T],
    b_rs: usize,
    b_cs: usize,
    bias: &[T],
    c: &mut [T],
) -> Result<()> {
    let shape = Shape { m, n, k, a_rs, a_cs, b_rs, b_cs, c_rs: n, c_cs: 1 };
    shape.check(a.len(), b.len(), c.len())?;
    ensure!(bias.len() == n, "gemm: {} biases for {n} columns", bias.len());
    if m == 0 || n == 0 {
        return Ok(());
    }
    // SAFETY: every address that the strides reach was checked to lie inside the slices.
    unsafe {
        let (a, b, to) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
        if shape.is_large::<T>() && T::biased(&shape, a, b, to, bias.as_ptr()) {
            return Ok(());
        }
        shape.multiply(T::ONE, a, b, T::ZERO, to);
    }
    for row in c[..m * n].chunks_exact_mut(n) {
        for (c, &bias) in row.iter_mut().zip(bias) {
            *c = c.add(bias);
        }
    }
    Ok(())
}

/// `batch` independent products: matrix `i` of an operand starts `i * batch_stride` elements after the first.
///
/// A batch stride of zero shares one matrix among all (not allowed for `c`).
pub fn gemm_batched<T: GemmElement>(
    batch: usize,
    m: usize,
    n: usize,
    k: usize,
    alpha: T,
    a: &[T],
    a_bs: usize,
    a_rs: usize,
    a_cs: usize,
    b: &[T],
    b_bs: usize,
    b_rs: usize,
    b_cs: usize,
    beta: T,
    c: &mut [T],
    c_bs: usize,
    c_rs: usize,
    c_cs: usize,
) -> Result<()> {
    if batch == 0 || m == 0 || n == 0 {
        return Ok(());
    }
    let fits = |len: usize, rows, bs: usize, rs, cols, cs| {
        let one = extent(rows, rs, cols, cs)?;
        let last = (batch - 1).checked_mul(bs)?;
        Some(one == 0 || last.checked_add(one)? <= len)
    };
    let ok = fits(c.len(), m, c_bs, c_rs, n, c_cs) == Some(true)
        && fits(a.len(), m, a_bs, a_rs, k, a_cs) == Some(true)
        && fits(b.len(), k, b_bs, b_rs, n, b_cs) == Some(true);
    ensure!(ok, "gemm_batched: an operand is out of bounds for its storage");
    let shape = Shape { m, n, k, a_rs, a_cs, b_rs, b_cs, c_rs, c_cs };
    let c = Shared(c.as_mut_ptr());
    let each = |range: Range<usize>| {
        for i in range {
            // SAFETY: `fits` checked the last element of the last matrix. Offsets of operands without elements are
            // not dereferenced, and `wrapping_add` may leave the slice. Matrices of `c` have no element in common.
            unsafe {
                shape.multiply(
                    alpha,
                    a.as_ptr().wrapping_add(i.wrapping_mul(a_bs)),
                    b.as_ptr().wrapping_add(i.wrapping_mul(b_bs)),
                    beta,
                    c.get().add(i * c_bs),
                )
            };
        }
    };
    let work = m.saturating_mul(n).saturating_mul(k).max(1);
    // Few large products are divided themselves.
    let few = batch < num_threads() && work >= 2 * GRAIN;
    match c_bs > 0 && batch > 1 && !few {
        true => parallel(batch, (GRAIN / work).max(1), each),
        false => each(0..batch),
    }
    Ok(())
}

/// Multiplications that are worth a thread.
const GRAIN: usize = 1 << 22;

/// A pointer that threads share, for elements that they don't.
#[derive(Clone, Copy)]
struct Shared<P>(P);
// SAFETY: who dereferences the pointer vouches for it.
unsafe impl<P> Send for Shared<P> {}
// SAFETY: as above.
unsafe impl<P> Sync for Shared<P> {}
impl<P: Copy> Shared<P> {
    fn get(&self) -> P {
        self.0
    }
}

/// Calls `body` with ranges of `units` units of work of so many multiplications each: a range for each thread, where that is
/// worth it. What is computed for a unit must not depend on its range.
fn divided(units: usize, work: usize, body: impl Fn(Range<usize>) + Sync) {
    let total = units.saturating_mul(work);
    if total < 2 * GRAIN {
        return body(0..units);
    }
    parallel(units, units.div_ceil(num_threads().min(total / GRAIN).max(1)), body)
}

/// Row-major product of contiguous matrices: `a` m x k, `b` k x n, `c` m x n, overwritten.
pub fn matmul<T: GemmElement>(m: usize, n: usize, k: usize, a: &[T], b: &[T], c: &mut [T]) -> Result<()> {
    gemm(m, n, k, T::ONE, a, k.max(1), 1, b, n.max(1), 1, T::ZERO, c, n.max(1), 1)
}

/// Sizes and strides of one product.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub m: usize,
    pub n: usize,
    pub k: usize,
    pub a_rs: usize,
    pub a_cs: usize,
    pub b_rs: usize,
    pub b_cs: usize,
    pub c_rs: usize,
    pub c_cs: usize,
}

/// The ways to compute a product; `turned` ones as the transposed product.
#[derive(Clone, Copy)]
enum Route {
    Column,
    Row,
    Direct,
    Packed { turned: bool },
    Integer,
    Dots { turned: bool },
    Large,
}

impl Shape {
    /// The transposed product: `c.T = b.T @ a.T`.
    fn transposed(self) -> Shape {
        Shape {
            m: self.n,
            n: self.m,
            k: self.k,
            a_rs: self.b_cs,
            a_cs: self.b_rs,
            b_rs: self.a_cs,
            b_cs: self.a_rs,
            c_rs: self.c_cs,
            c_cs: self.c_rs,
        }
    }

    /// Fails where the shape reaches out of slices of these lengths.
    #[inline]
    fn check(&self, a: usize, b: usize, c: usize) -> Result<()> {
        check("gemm", c, self.m, self.c_rs, self.n, self.c_cs)?;
        check("gemm", a, self.m, self.a_rs, self.k, self.a_cs)?;
        check("gemm", b, self.k, self.b_rs, self.n, self.b_cs)
    }

    /// How a product of nonzero sizes is computed.
    fn route<T: GemmElement>(&self) -> Route {
        let Shape { m, n, k, .. } = *self;
        // Sizes are bounded by the element counts of slices, so a saturated product is just "large".
        let work = m.saturating_mul(n).saturating_mul(k);
        if n == 1 {
            Route::Column
        } else if m == 1 {
            Route::Row
        } else if work <= small::DIRECT {
            Route::Direct
        } else if work <= small::PACKED && k * small::lanes::<T>() <= small::PANEL {
            // Columns of the result are the lanes: prefer them contiguous.
            Route::Packed { turned: !(self.c_cs <= self.c_rs || n > m) }
        } else if T::INTEGER {
            Route::Integer
        } else if self.a_cs == 1 && self.b_rs == 1 && m.min(n) <= T::few() {
            Route::Dots { turned: m > n }
        } else {
            Route::Large
        }
    }

    /// Whether [`Shape::multiply`] computes tiles.
    fn is_large<T: GemmElement>(&self) -> bool {
        self.k > 0 && matches!(self.route::<T>(), Route::Large)
    }

    /// # Safety
    /// Every address that the sizes and strides reach from `a`, `b` and `c` must be valid; `m` and `n` nonzero.
    pub(crate) unsafe fn multiply<T: GemmElement>(
        self,
        alpha: T,
        a: *const T,
        b: *const T,
        beta: T,
        c: *mut T,
    ) {
        let Shape { m, n, k, .. } = self;
        // SAFETY: passed on from the caller; the transposed product reaches the same addresses.
        unsafe {
            if k == 0 || alpha == T::ZERO {
                return self.scale(beta, c);
            }
            match self.route::<T>() {
                Route::Column => vector::gemv_raw(
                    m, k, alpha, a, self.a_rs, self.a_cs, b, self.b_rs, beta, c, self.c_rs, true,
                ),
                Route::Row => vector::gemv_raw(
                    n, k, alpha, b, self.b_cs, self.b_rs, a, self.a_cs, beta, c, self.c_cs, true,
                ),
                Route::Direct => small::direct(&self, alpha, a, b, beta, c),
                Route::Packed { turned: false } => small::packed(&self, alpha, a, b, beta, c),
                Route::Packed { turned: true } => small::packed(&self.transposed(), alpha, b, a, beta, c),
                Route::Integer => integer::multiply(&self, alpha, a, b, beta, c),
                Route::Dots { turned: true } => self.transposed().dots(alpha, b, a, beta, c),
                Route::Dots { turned: false } => self.dots(alpha, a, b, beta, c),
                Route::Large => T::large(&self, alpha, a, b, beta, c),
            }
        }
    }

    /// A product of few rows.
    ///
    /// # Safety
    /// As for `multiply`; `a_cs` and `b_rs` are 1, `k` is nonzero.
    unsafe fn dots<T: GemmElement>(self, alpha: T, a: *const T, b: *const T, beta: T, c: *mut T) {
        // SAFETY: passed on from the caller.
        unsafe {
            if !T::dots(&self, alpha, a, b, beta, c) {
                small::dots(&self, alpha, a, b, beta, c);
            }
        }
    }

    /// `c *= beta`, without reading `c` when `beta` is zero.
    ///
    /// # Safety
    /// As for `multiply`, for `c` alone.
    pub(crate) unsafe fn scale<T: GemmElement>(&self, beta: T, c: *mut T) {
        if beta == T::ONE {
            return;
        }
        for i in 0..self.m {
            if self.c_cs == 1 && beta != T::ZERO {
                // SAFETY: a row of the matrix.
                scale_row(beta, unsafe { std::slice::from_raw_parts_mut(c.add(i * self.c_rs), self.n) });
                continue;
            }
            for j in 0..self.n {
                // SAFETY: inside the m x n matrix.
                unsafe {
                    let at = c.add(i * self.c_rs + j * self.c_cs);
                    *at = if beta == T::ZERO { T::ZERO } else { beta.mul(*at) };
                }
            }
        }
    }
}

/// Multiplies numbers that are next to each other.
fn scale_row<T: GemmElement>(by: T, row: &mut [T]) {
    #[inline(always)]
    fn body<T: GemmElement>(by: T, row: &mut [T]) {
        row.iter_mut().for_each(|x| *x = by.mul(*x));
    }
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw")]
        fn wide<T: GemmElement>(by: T, row: &mut [T]) {
            body(by, row)
        }
        if level() == Level::Avx512 {
            // SAFETY: detected.
            return unsafe { wide(by, row) };
        }
    }
    body(by, row)
}

/// Runs `$body` compiled for AVX2 and FMA where the processor has them: `fused!((args: types) => body)` defines
/// the two copies. `$FMA` is a constant in scope of the body.
macro_rules! multiversion {
    ($(#[$meta:meta])* $vis:vis unsafe fn $name:ident<$T:ident: $bound:path>($($arg:ident: $ty:ty),* $(,)?) $(-> $ret:ty)? = $body:ident) => {
        $(#[$meta])*
        $vis unsafe fn $name<$T: $bound>($($arg: $ty),*) $(-> $ret)? {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                unsafe fn wide<$T: $bound>($($arg: $ty),*) $(-> $ret)? {
                    // SAFETY: the caller's promise is passed on.
                    unsafe { $body::<$T, true>($($arg),*) }
                }
                if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
                    // SAFETY: the features were detected; the rest is the caller's promise.
                    return unsafe { wide::<$T>($($arg),*) };
                }
            }
            // SAFETY: the caller's promise is passed on.
            unsafe { $body::<$T, { cfg!(target_arch = "aarch64") }>($($arg),*) }
        }
    };
}
pub(crate) use multiversion;

#[cfg(test)]
mod halves_tests;
#[cfg(test)]
mod order_tests;
#[cfg(test)]
pub(crate) mod tests;
