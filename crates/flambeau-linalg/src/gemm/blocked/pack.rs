//! Copies of operands in the order in which the tile kernel reads them.

use crate::gemm::GemmElement;
use crate::level::{Level, level};
#[cfg(target_arch = "x86_64")]
use std::arch::x86_64::*;

/// A part of an operand: `count` rows (or columns) of `depth` elements.
#[derive(Clone, Copy)]
pub struct Part {
    pub count: usize,
    pub depth: usize,
    /// Elements between rows.
    pub apart: usize,
    /// Elements between those of a row.
    pub step: usize,
}

/// Square blocks that are transposed in registers.
pub trait Turn: GemmElement {
    const SIDE: usize;
    /// Transposes a block: `to[p * line + r] = from[r * apart + p]`.
    ///
    /// # Safety
    /// All addresses are valid; the processor has AVX2 where there is a faster way.
    unsafe fn turn(from: *const Self, apart: usize, to: *mut Self, line: usize);
}

impl Turn for f32 {
    const SIDE: usize = 8;
    #[inline(always)]
    unsafe fn turn(from: *const f32, apart: usize, to: *mut f32, line: usize) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: passed on from the caller. Halves of rows r and r + 4 share a register, so that transposing 4 x 4 blocks
        // within the halves is all.
        unsafe {
            for half in 0..2 {
                let row = |r: usize| {
                    let at = from.add(r * apart + 4 * half);
                    let low = _mm256_castps128_ps256(_mm_loadu_ps(at));
                    _mm256_insertf128_ps::<1>(low, _mm_loadu_ps(at.add(4 * apart)))
                };
                let [a, b, c, d] = [row(0), row(1), row(2), row(3)];
                let (x, y) = (_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
                let (z, w) = (_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
                let to = to.add(4 * half * line);
                _mm256_storeu_ps(to, _mm256_shuffle_ps::<0b01_00_01_00>(x, z));
                _mm256_storeu_ps(to.add(line), _mm256_shuffle_ps::<0b11_10_11_10>(x, z));
                _mm256_storeu_ps(to.add(2 * line), _mm256_shuffle_ps::<0b01_00_01_00>(y, w));
                _mm256_storeu_ps(to.add(3 * line), _mm256_shuffle_ps::<0b11_10_11_10>(y, w));
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        // SAFETY: passed on from the caller.
        unsafe {
            plain::<f32, 8>(from, apart, to, line)
        }
    }
}
impl Turn for f64 {
    const SIDE: usize = 4;
    #[inline(always)]
    unsafe fn turn(from: *const f64, apart: usize, to: *mut f64, line: usize) {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: passed on from the caller.
        unsafe {
            for half in 0..2 {
                let row = |r: usize| {
                    let at = from.add(r * apart + 2 * half);
                    let low = _mm256_castpd128_pd256(_mm_loadu_pd(at));
                    _mm256_insertf128_pd::<1>(low, _mm_loadu_pd(at.add(2 * apart)))
                };
                let (a, b) = (row(0), row(1));
                let to = to.add(2 * half * line);
                _mm256_storeu_pd(to, _mm256_unpacklo_pd(a, b));
                _mm256_storeu_pd(to.add(line), _mm256_unpackhi_pd(a, b));
            }
        }
        #[cfg(not(target_arch = "x86_64"))]
        // SAFETY: passed on from the caller.
        unsafe {
            plain::<f64, 4>(from, apart, to, line)
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
unsafe fn plain<T: Copy, const N: usize>(from: *const T, apart: usize, to: *mut T, line: usize) {
    for p in 0..N {
        for r in 0..N {
            // SAFETY: passed on from the caller.
            unsafe { *to.add(p * line + r) = *from.add(r * apart + p) };
        }
    }
}

/// `to[p * line + r] = from[r * apart + p * step]`
#[inline(always)]
unsafe fn elements<T: Copy>(x: &Part, from: *const T, to: *mut T, line: usize) {
    for p in 0..x.depth {
        for r in 0..x.count {
            // SAFETY: the caller vouches for the part and for `depth` lines.
            unsafe { *to.add(p * line + r) = *from.add(r * x.apart + p * x.step) };
        }
    }
}

/// [`elements`] where rows are contiguous.
#[inline(always)]
unsafe fn turned<T: Turn>(x: &Part, from: *const T, to: *mut T, line: usize) {
    let side = T::SIDE;
    if x.count < side {
        // SAFETY: passed on.
        return unsafe { elements(x, from, to, line) };
    }
    let whole = x.depth / side * side;
    let mut r = 0;
    loop {
        for p in (0..whole).step_by(side) {
            // SAFETY: rows r..r + side and elements p..p + side exist.
            unsafe { T::turn(from.add(r * x.apart + p), x.apart, to.add(p * line + r), line) };
        }
        if r + side == x.count {
            break;
        }
        // The last block overlaps the one before.
        r = (r + side).min(x.count - side);
    }
    // SAFETY: what is left of each row.
    unsafe { elements(&Part { depth: x.depth - whole, ..*x }, from.add(whole), to.add(whole * line), line) };
}

/// [`elements`] where elements with the same place in all rows are contiguous.
#[inline(always)]
unsafe fn copied<T: Copy>(x: &Part, from: *const T, to: *mut T, line: usize) {
    // Two overlapping pieces of constant length make any length between theirs and twice theirs.
    #[inline(always)]
    unsafe fn pieces<T: Copy, const N: usize>(x: &Part, from: *const T, to: *mut T, line: usize) {
        for p in 0..x.depth {
            // SAFETY: `count` elements, at least N and at most 2 N.
            unsafe {
                let (from, to) = (from.add(p * x.step), to.add(p * line));
                let end = x.count - N;
                let (a, b) = (*from.cast::<[T; N]>(), *from.add(end).cast::<[T; N]>());
                *to.cast::<[T; N]>() = a;
                *to.add(end).cast::<[T; N]>() = b;
            }
        }
    }
    // SAFETY: passed on; the lengths fit.
    unsafe {
        match x.count {
            16..=32 => pieces::<T, 16>(x, from, to, line),
            8..16 => pieces::<T, 8>(x, from, to, line),
            4..8 => pieces::<T, 4>(x, from, to, line),
            _ => elements(x, from, to, line),
        }
    }
}

#[inline(always)]
unsafe fn body<T: Turn>(x: &Part, from: *const T, to: *mut T, line: usize, zeros: usize) {
    // SAFETY: passed on.
    unsafe {
        if x.apart == 1 {
            copied(x, from, to, line);
        } else if x.step == 1 {
            turned(x, from, to, line);
        } else {
            elements(x, from, to, line);
        }
        if zeros > x.count {
            for p in 0..x.depth {
                for r in x.count..zeros {
                    *to.add(p * line + r) = T::ZERO;
                }
            }
        }
    }
}

/// Writes a part as lines: `to[p * line + r]` is element `p` of row `r`, zero for rows from `count` to `zeros`.
///
/// # Safety
/// The part's elements and `depth` lines of `max(count, zeros)` elements are valid.
pub unsafe fn pack<T: Turn>(x: &Part, from: *const T, to: *mut T, line: usize, zeros: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        unsafe fn wide<T: Turn>(x: &Part, from: *const T, to: *mut T, line: usize, zeros: usize) {
            // SAFETY: passed on.
            unsafe { body(x, from, to, line, zeros) }
        }
        if level() >= Level::Avx2 {
            // SAFETY: detected; the rest is the caller's promise.
            return unsafe { wide(x, from, to, line, zeros) };
        }
        // SAFETY: passed on; without blocks, which need AVX2.
        unsafe {
            if x.apart == 1 {
                copied(x, from, to, line);
            } else {
                elements(x, from, to, line);
            }
            let rest = Part { count: zeros.saturating_sub(x.count), ..*x };
            for p in 0..rest.depth {
                for r in 0..rest.count {
                    *to.add(p * line + x.count + r) = T::ZERO;
                }
            }
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: passed on.
    unsafe {
        body(x, from, to, line, zeros)
    }
}
