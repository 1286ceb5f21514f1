//! Dot products of complex numbers, in the order in which PyTorch's build with MKL adds up on processors with AVX-512: the
//! four products of the parts have sums of their own, in four registers of 64 bytes, and meet at the very end.

use super::multiversion;
use crate::gemm::element::fma;
use num_complex::Complex;
use num_traits::Float;

/// Registers whose sums run side by side.
const R: usize = 4;

/// Sums of `x.re * y.re` and `x.im * y.im`, then of `x.re * y.im` and `x.im * y.re`, for lanes of complex numbers.
type Sums<F, const W: usize> = [[[F; 2]; W]; 2];

/// Adds the products of `n <= W` elements to the sums.
///
/// # Safety
/// `n` elements are valid at both addresses.
#[inline(always)]
unsafe fn add<F: Float, const FMA: bool, const W: usize>(
    n: usize,
    x: *const Complex<F>,
    y: *const Complex<F>,
    sums: &mut Sums<F, W>,
) {
    for l in 0..n {
        // SAFETY: the caller vouches for n elements.
        let (x, y) = unsafe { (*x.add(l), *y.add(l)) };
        sums[0][l][0] = fma::<F, FMA>(x.re, y.re, sums[0][l][0]);
        sums[0][l][1] = fma::<F, FMA>(x.im, y.im, sums[0][l][1]);
        sums[1][l][0] = fma::<F, FMA>(x.re, y.im, sums[1][l][0]);
        sums[1][l][1] = fma::<F, FMA>(x.im, y.re, sums[1][l][1]);
    }
}

#[inline(always)]
unsafe fn in_lanes<F: Float, const FMA: bool, const W: usize>(
    n: usize,
    x: *const Complex<F>,
    y: *const Complex<F>,
) -> Complex<F> {
    let mut sums = [[[[F::zero(); 2]; W]; 2]; R];
    let mut i = 0;
    // SAFETY: no register ends behind n.
    unsafe {
        while i + R * W <= n {
            for r in 0..R {
                add::<F, FMA, W>(W, x.add(i + r * W), y.add(i + r * W), &mut sums[r]);
            }
            i += R * W;
        }
        while i < n {
            add::<F, FMA, W>(W.min(n - i), x.add(i), y.add(i), &mut sums[0]);
            i += W;
        }
    }
    let [[rr, ii], [ri, ir]] = [0, 1].map(|kind| {
        let mut lanes = [[F::zero(); 2]; W];
        for l in 0..W {
            lanes[l] = [0, 1].map(|part| {
                let [a, b, c, d] = [0, 1, 2, 3].map(|r: usize| sums[r][kind][l][part]);
                (a + b) + (c + d)
            });
        }
        let mut half = W / 2;
        while half > 0 {
            for l in 0..half {
                lanes[l] = [0, 1].map(|part| lanes[l][part] + lanes[l + half][part]);
            }
            half /= 2;
        }
        lanes[0]
    });
    Complex::new(rr - ii, ri + ir)
}

#[inline(always)]
unsafe fn dot_body<F: Float, const FMA: bool>(
    n: usize,
    x: *const Complex<F>,
    y: *const Complex<F>,
) -> Complex<F> {
    // SAFETY: passed on.
    unsafe {
        match size_of::<F>() {
            4 => in_lanes::<F, FMA, 8>(n, x, y),
            _ => in_lanes::<F, FMA, 4>(n, x, y),
        }
    }
}
multiversion! {
    /// The dot product of `n` complex numbers, none of them conjugated.
    ///
    /// # Safety
    /// `n` elements are valid at both addresses.
    pub(super) unsafe fn dot<F: Float>(n: usize, x: *const Complex<F>, y: *const Complex<F>) -> Complex<F> = dot_body
}
