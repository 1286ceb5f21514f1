//! Products of integer matrices, in wrapping arithmetic.

use super::{GemmElement, Shape, multiversion};

/// Depth and width of a packed block of `b` (32 KB of i64).
const DEPTH: usize = 64;
const WIDTH: usize = 64;

#[inline(always)]
unsafe fn body<T: GemmElement, const FMA: bool>(
    s: &Shape,
    alpha: T,
    a: *const T,
    b: *const T,
    beta: T,
    c: *mut T,
) {
    let mut block = [T::ZERO; DEPTH * WIDTH];
    for j0 in (0..s.n).step_by(WIDTH) {
        let width = WIDTH.min(s.n - j0);
        for p0 in (0..s.k).step_by(DEPTH) {
            let depth = DEPTH.min(s.k - p0);
            for p in 0..depth {
                for j in 0..width {
                    // SAFETY: p0 + p < k and j0 + j < n.
                    block[p * WIDTH + j] = unsafe { *b.add((p0 + p) * s.b_rs + (j0 + j) * s.b_cs) };
                }
            }
            for i in 0..s.m {
                let mut sums = [T::ZERO; WIDTH];
                for p in 0..depth {
                    // SAFETY: i < m and p0 + p < k.
                    let x = unsafe { *a.add(i * s.a_rs + (p0 + p) * s.a_cs) };
                    for (sum, &y) in sums.iter_mut().zip(&block[p * WIDTH..(p + 1) * WIDTH]) {
                        *sum = x.mul_add::<FMA>(y, *sum);
                    }
                }
                for j in 0..width {
                    // SAFETY: i < m and j0 + j < n.
                    unsafe {
                        let at = c.add(i * s.c_rs + (j0 + j) * s.c_cs);
                        let product = alpha.mul(sums[j]);
                        *at = if p0 > 0 {
                            (*at).add(product)
                        } else if beta == T::ZERO {
                            product
                        } else {
                            product.add(beta.mul(*at))
                        };
                    }
                }
            }
        }
    }
}
multiversion! {
    /// `c = alpha * a @ b + beta * c` in blocks.
    ///
    /// # Safety
    /// Every address that the sizes and strides reach must be valid.
    pub(super) unsafe fn multiply<T: GemmElement>(s: &Shape, alpha: T, a: *const T, b: *const T, beta: T, c: *mut T) = body
}
