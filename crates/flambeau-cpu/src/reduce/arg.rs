//! Maxima and minima along a dimension with their positions. One of the modules with unsafe code.

use super::Extremum;
use super::cut::pieces;
use super::plan::{Kept, Plan, advance};
use super::reducers::ordered;
use crate::pointwise::{Operand, load, store};
use crate::wide::wide;
use flambeau_core::Result;
use smallvec::SmallVec;
use std::hint::select_unpredictable;
use std::mem::MaybeUninit;

const TILE: usize = 512;

/// The largest (or smallest) elements along dimension `dim`, which must not be empty, and the first positions where
/// they stand; a NaN is both. Outputs have as many dimensions as `sizes`, their stride along `dim` being ignored.
///
/// # Safety
/// `src` must be valid at every index of `sizes`, the outputs writable at every index with `dim` 0.
pub unsafe fn extreme_with_index(
    src: &Operand,
    values: Option<&Operand>,
    indices: &Operand,
    sizes: &[i64],
    dim: usize,
    largest: bool,
) -> Result<()> {
    // Outputs that have a value come first; without one the indices take its place in the plan.
    let outs: SmallVec<[&Operand; 2]> = values.into_iter().chain([indices]).collect();
    let operands: SmallVec<[&Operand; 3]> = [src].into_iter().chain(outs).collect();
    let mask: SmallVec<[bool; 6]> = (0..sizes.len()).map(|d| d == dim).collect();
    pieces(&operands, sizes, |d| d == dim, false, &|operands, sizes| {
        let (src, outs) = (operands[0], &operands[1..]);
        let Some(plan) = Plan::new(sizes, &mask, src, outs) else { return Ok(()) };
        // SAFETY: a part of what the caller vouches for.
        unsafe {
            match largest {
                true => ordered!(src.dtype, T => run::<T, true>(&plan, src, outs)),
                false => ordered!(src.dtype, T => run::<T, false>(&plan, src, outs)),
            }
        }
        Ok(())
    })
}

/// Whether `x` replaces `best`, which stands before it.
#[inline(always)]
fn beats<T: Extremum, const MAX: bool>(x: T, best: T) -> bool {
    (if MAX { x > best } else { x < best }) || (x.is_nan() && !best.is_nan())
}

/// # Safety
/// As for [`extreme_with_index`].
unsafe fn run<T: Extremum, const MAX: bool>(plan: &Plan, src: &Operand, outs: &[&Operand]) {
    let (n, stride) = plan.reduced.last().copied().unwrap_or((1, 0));
    // Positions of columns are kept in 32 bits, to be as wide as most numbers.
    let columns = plan.columns(1) == Some(1) && !plan.kept.is_empty() && u32::try_from(n).is_ok();
    let inner = plan.kept.last().cloned().unwrap_or(Kept {
        size: 1,
        stride: 0,
        out: outs.iter().map(|_| 0).collect(),
    });
    let outer = &plan.kept[..plan.kept.len().saturating_sub(1)];
    let mut index: SmallVec<[usize; 4]> = SmallVec::from_elem(0, outer.len());
    let item = src.dtype.size() as isize;
    let mut tile = [const { MaybeUninit::<T>::uninit() }; TILE];
    // SAFETY: every access below is to an index that the caller vouches for; tiles hold TILE elements.
    unsafe {
        let fetch = |from: *mut u8, stride: isize, n: usize, tile: *mut T| -> &[T] {
            if src.dtype == T::DTYPE && stride == 1 && from.cast::<T>().is_aligned() {
                std::slice::from_raw_parts(from.cast::<T>(), n)
            } else {
                load(from, src.dtype, stride, tile, n);
                std::slice::from_raw_parts(tile, n)
            }
        };
        loop {
            let base: isize = outer.iter().zip(&index).map(|(k, &i)| k.stride * i as isize).sum();
            let deliver = |first: usize, best: &[T], at: &[i64]| {
                for (i, out) in outs.iter().enumerate() {
                    let row: isize = outer.iter().zip(&index).map(|(k, &j)| k.out[i] * j as isize).sum();
                    let place = row + first as isize * inner.out[i];
                    let to = out.pointer.wrapping_offset(place * out.dtype.size() as isize);
                    if i + 1 == outs.len() {
                        store(at.as_ptr(), to, out.dtype, inner.out[i], at.len());
                    } else {
                        store(best.as_ptr(), to, out.dtype, inner.out[i], best.len());
                    }
                }
            };
            let mut first = 0;
            while first < inner.size {
                let start = src.pointer.wrapping_offset((base + first as isize * inner.stride) * item);
                if columns {
                    let width = (inner.size - first).min(TILE);
                    let mut best: SmallVec<[T; 16]> =
                        SmallVec::from_slice(fetch(start, inner.stride, width, tile.as_mut_ptr().cast()));
                    let mut at: SmallVec<[u32; 16]> = SmallVec::from_elem(0, width);
                    for k in 1..n {
                        let row = start.wrapping_offset(k as isize * stride * item);
                        let row = fetch(row, inner.stride, width, tile.as_mut_ptr().cast());
                        let all = best.iter_mut().zip(&mut at).zip(row);
                        wide(move || {
                            for ((best, at), &x) in all {
                                let take = beats::<T, MAX>(x, *best);
                                *best = select_unpredictable(take, x, *best);
                                *at = select_unpredictable(take, k as u32, *at);
                            }
                        });
                    }
                    let at: SmallVec<[i64; 16]> = at.iter().map(|&at| at as i64).collect();
                    deliver(first, &best, &at);
                    first += width;
                } else {
                    let (best, at) = line::<T, MAX>(n, |done, n| {
                        fetch(
                            start.wrapping_offset(done as isize * stride * item),
                            stride,
                            n,
                            tile.as_mut_ptr().cast(),
                        )
                    });
                    deliver(first, &[best], &[at as i64]);
                    first += 1;
                }
            }
            if !advance(&mut index, outer.iter().map(|k| k.size)) {
                return;
            }
        }
    }
}

/// The extreme of `n` elements that `fetch` brings tile by tile, and its first position.
fn line<'a, T: Extremum, const MAX: bool>(
    n: usize,
    mut fetch: impl FnMut(usize, usize) -> &'a [T],
) -> (T, usize) {
    let (mut best, mut at) = (T::default(), 0);
    let mut done = 0;
    while done < n {
        let tile = fetch(done, (n - done).min(TILE));
        // First how large, in lanes; then where, if it is the largest so far.
        let mut lanes = [tile[0]; 16];
        let mut chunks = tile.chunks_exact(16);
        for chunk in &mut chunks {
            for (lane, &x) in lanes.iter_mut().zip(chunk) {
                *lane = if MAX { lane.larger(x) } else { lane.smaller(x) };
            }
        }
        let pick = |a: T, &x: &T| if MAX { a.larger(x) } else { a.smaller(x) };
        let top = lanes.iter().chain(chunks.remainder()).fold(tile[0], pick);
        if done == 0 || beats::<T, MAX>(top, best) {
            let place = tile.iter().position(|&x| x == top || (x.is_nan() && top.is_nan()));
            (best, at) = (top, done + place.unwrap_or(0));
            if best.is_nan() {
                break;
            }
        }
        done += tile.len();
    }
    (best, at)
}
