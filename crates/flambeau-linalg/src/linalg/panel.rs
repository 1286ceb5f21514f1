//! LU factors of a few long columns. One of the modules with unsafe code.

use super::LinalgElement;
use crate::gemm::blocked::pack::Turn;
use num_traits::Float;

/// Rows from which columns are copied.
pub(super) const TALL: usize = 32;
/// Rows that are worked on together, which begin with a cache line.
const LINE: usize = 16;
const BYTES: usize = 64;

type Line<T> = [T; LINE];

/// LU with partial pivoting on a copy in columns: pivots are looked for, and columns updated, in long vectors, and the rows of
/// matrices whose sizes are powers of two do not compete for few sets of the cache.
///
/// # Safety
/// `a` must be valid for m rows of n elements, `lda` apart; `FMA` only where the processor has AVX2.
#[inline(always)]
pub(super) unsafe fn factor<T: LinalgElement, const FMA: bool>(
    m: usize,
    n: usize,
    a: *mut T,
    lda: usize,
    pivots: &mut [i32],
) -> i32 {
    let size = m.min(n);
    let safe = <T::R as Float>::min_positive_value();
    // What stands behind the rows is computed with them and never looked at: zeros, or NaN.
    let step = m.next_multiple_of(LINE) + LINE;
    let mut copy = vec![T::ZERO; n * step + LINE];
    let first = copy.as_ptr().align_offset(BYTES).min(LINE);
    let copy = &mut copy[first..first + n * step];
    // SAFETY: as many rows and columns on both sides.
    unsafe { turned::<T, FMA>(m, n, a, lda, copy.as_mut_ptr(), step) };
    let mut info = 0;
    for j in 0..size {
        let (left, right) = copy.split_at_mut((j + 1) * step);
        let (earlier, column) = left.split_at_mut(j * step);
        let (best, largest) = largest(&column[..m], j);
        pivots[j] = best as i32 + 1;
        let pivot = column[best];
        if pivot == T::ZERO {
            if info == 0 {
                info = j as i32 + 1;
            }
            continue;
        }
        let divide = (size <= 4 && j + 2 == size) || largest < safe;
        let reciprocal = T::ONE.divide(pivot);
        column.swap(j, best);
        // From the line of row `j` on, of which the rows up to it stay.
        let (top, own) = (j / LINE * LINE, j % LINE);
        let Some((head, rest)) = lines(&mut column[top..]).split_first_mut() else { return info };
        let factor = |x: T| if divide { x.divide(pivot) } else { x * reciprocal };
        for l in own + 1..LINE {
            head[l] = factor(head[l]);
        }
        if divide {
            rest.iter_mut().flatten().for_each(|x| *x = x.divide(pivot));
        } else {
            for line in &mut *rest {
                for l in 0..LINE {
                    line[l] *= reciprocal;
                }
            }
        }
        for other in right.chunks_exact_mut(step) {
            other.swap(j, best);
            let upper = other[j];
            let Some((first, others)) = lines(&mut other[top..]).split_first_mut() else { return info };
            let old = *first;
            for l in 0..LINE {
                let new = (-head[l]).mul_add::<FMA>(upper, old[l]);
                first[l] = if l > own { new } else { old[l] };
            }
            for (y, x) in others.iter_mut().zip(&*rest) {
                for l in 0..LINE {
                    y[l] = (-x[l]).mul_add::<FMA>(upper, y[l]);
                }
            }
        }
        if best != j {
            for column in earlier.chunks_exact_mut(step) {
                column.swap(j, best);
            }
        }
    }
    // SAFETY: as above.
    unsafe { turned::<T, FMA>(n, m, copy.as_ptr(), step, a, lda) };
    info
}

#[inline(always)]
fn lines<T>(column: &mut [T]) -> &mut [Line<T>] {
    column.as_chunks_mut().0
}

/// Writes rows as columns: `to[c * line + r] = from[r * apart + c]`.
///
/// # Safety
/// `from` is valid for `rows` rows of `columns` elements, `to` for as many the other way round; `FMA` as for [`factor`].
#[inline(always)]
unsafe fn turned<T: LinalgElement, const FMA: bool>(
    rows: usize,
    columns: usize,
    from: *const T,
    apart: usize,
    to: *mut T,
    line: usize,
) {
    // Blocks by their bits, whatever they are of.
    let side = match size_of::<T>() {
        4 if FMA => <f32 as Turn>::SIDE,
        8 if FMA => <f64 as Turn>::SIDE,
        _ => 1,
    };
    let whole = (rows / side * side, columns / side * side);
    for r in (0..rows).step_by(side) {
        for c in (0..columns).step_by(side) {
            // SAFETY: elements of the rows.
            unsafe {
                let (from, to) = (from.add(r * apart + c), to.add(c * line + r));
                if side != 1 && r < whole.0 && c < whole.1 {
                    match size_of::<T>() {
                        4 => f32::turn(from.cast(), apart, to.cast(), line),
                        _ => f64::turn(from.cast(), apart, to.cast(), line),
                    }
                    continue;
                }
                for r in 0..side.min(rows - r) {
                    for c in 0..side.min(columns - c) {
                        *to.add(c * line + r) = *from.add(r * apart + c);
                    }
                }
            }
        }
    }
}

/// The first of the largest elements from `j` on, and its size; `j` where its element is not a number.
#[inline(always)]
fn largest<T: LinalgElement>(column: &[T], j: usize) -> (usize, T::R) {
    let first = column[j].abs1();
    if Float::is_nan(first) {
        return (j, first);
    }
    let rest = &column[j + 1..];
    let mut lanes = [first; LINE];
    let (whole, tail) = rest.as_chunks::<LINE>();
    for x in whole {
        for l in 0..LINE {
            let size = x[l].abs1();
            lanes[l] = if size > lanes[l] { size } else { lanes[l] };
        }
    }
    let mut most = first;
    for size in lanes {
        most = if size > most { size } else { most };
    }
    for x in tail {
        let size = x.abs1();
        most = if size > most { size } else { most };
    }
    // Whole lines first, without a branch for each element.
    let column = &column[j..];
    let mut at = 0;
    for line in column.as_chunks::<LINE>().0 {
        let mut found = false;
        for x in line {
            found |= x.abs1() == most;
        }
        if found {
            break;
        }
        at += LINE;
    }
    let within = column[at..].iter().position(|x| x.abs1() == most);
    (j + within.map_or(0, |within| at + within), most)
}
