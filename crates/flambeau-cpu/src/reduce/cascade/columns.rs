//! Sums of adjacent columns. One of the modules with unsafe code.

use super::{LEVELS, PANEL, SIDE, Source, block_size, blocks, gather, line_blocks, run};
use num_traits::Zero;

/// The sums of `out.len()` adjacent columns of `n` rows, `stride` elements apart; `narrow` where they are all there are
/// and fewer than a vector has elements.
///
/// # Safety
/// `x` points at that many rows.
#[inline(always)]
pub(super) unsafe fn columns<S: Source, const N: usize, const W: usize>(
    x: *const S,
    n: usize,
    stride: isize,
    out: &mut [S::Sum],
    narrow: bool,
) {
    let (count, zero) = (out.len(), S::Sum::zero());
    let (step, power) = block_size(n);
    let mut c = 0;
    let mut levels: Vec<S::Sum> = Vec::new();
    while c + N <= count {
        let width = (count - c).min(PANEL) / N * N;
        levels.clear();
        if n >= step {
            levels.resize((LEVELS - 1) * width, zero);
        }
        let mut i = 0;
        while i + step <= n {
            for (g, sums) in levels[..width].as_chunks_mut::<N>().0.iter_mut().enumerate() {
                // SAFETY: rows under `n`, columns under `count`.
                let block = unsafe {
                    run::<S, N, 1>(x.offset(i as isize * stride + (c + g * N) as isize), step, stride)
                };
                for l in 0..N {
                    sums[l] = sums[l] + block[l];
                }
            }
            i += step;
            for j in 1..LEVELS - 1 {
                if i & ((step - 1) << (j * power)) != 0 {
                    break;
                }
                let (below, above) = levels[(j - 1) * width..(j + 1) * width].split_at_mut(width);
                above.iter_mut().zip(below).for_each(|(a, b)| *a = *a + std::mem::replace(b, zero));
            }
        }
        for (g, out) in out[c..c + width].as_chunks_mut::<N>().0.iter_mut().enumerate() {
            // SAFETY: as above.
            let mut total = unsafe {
                run::<S, N, 1>(x.offset(i as isize * stride + (c + g * N) as isize), n - i, stride)
            };
            for level in levels.chunks_exact(width) {
                for l in 0..N {
                    total[l] = total[l] + level[g * N + l];
                }
            }
            *out = total;
        }
        c += width;
    }
    while narrow && c + SIDE <= count {
        // SAFETY: as above.
        out[c..c + SIDE].copy_from_slice(&unsafe { line_blocks::<S, SIDE, 1>(x.add(c), n, stride, &[]) });
        c += SIDE;
    }
    while c < count {
        let left = count - c;
        // A last vector that is not full begins before, with columns that are known already.
        let known = if left < W && count >= W { W - left } else { 0 };
        // SAFETY: `c - known..` and as many columns as the vector has are below `count`.
        unsafe {
            let at = x.add(c - known);
            c += match if count < W { left.min(3) } else { W } {
                1 => put(&mut out[c..], &vectors::<S, 4, 1>(at, n, stride)[known..]),
                2 => put(&mut out[c..], &vectors::<S, 8, 2>(at, n, stride)[known..]),
                3 => put(&mut out[c..], &vectors::<S, 12, 3>(at, n, stride)[known..]),
                _ => put(&mut out[c..], &vectors::<S, N, W>(at, n, stride)[known..]),
            };
        }
    }
}

/// Writes results to the places that begin there, and says how many.
#[inline(always)]
fn put<T: Copy>(out: &mut [T], sums: &[T]) -> usize {
    out[..sums.len()].copy_from_slice(sums);
    sums.len()
}

/// The sums of the columns of `n` vectors of `V` elements `stride` apart, which are added up as the vectors of a row.
///
/// # Safety
/// `x` points at that many vectors.
#[inline(always)]
unsafe fn vectors<S: Source, const N: usize, const V: usize>(
    x: *const S,
    n: usize,
    stride: isize,
) -> [S::Sum; V] {
    let size = n / SIDE;
    // SAFETY: vectors below `n`.
    unsafe {
        let sums = blocks(size, &[], |i, lines| {
            run_apart::<S, N, V>(x.offset((i * SIDE) as isize * stride), lines, stride)
        });
        gather::<S, N, V, 1>(sums, x, size * SIDE, n, stride)
    }
}

/// [`run`] of lines of `SIDE` vectors of `V` elements, which begin `stride` elements apart.
///
/// # Safety
/// `x` points at `SIDE` times that many vectors.
#[inline(always)]
unsafe fn run_apart<S: Source, const N: usize, const V: usize>(
    x: *const S,
    lines: usize,
    stride: isize,
) -> [S::Sum; N] {
    const { assert!(N == SIDE * V) };
    let mut sums = [S::Sum::zero(); N];
    for i in 0..lines as isize {
        for k in 0..SIDE {
            // SAFETY: a vector by the caller's promise.
            let line = unsafe { S::line::<V, 1>(x.offset((i * SIDE as isize + k as isize) * stride)) };
            for l in 0..V {
                sums[k * V + l] = sums[k * V + l] + line[l];
            }
        }
    }
    sums
}
