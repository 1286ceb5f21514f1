//! Elements taken in pieces, on several threads. One of the modules with unsafe code.

use super::{Walk, take_part, within};
use crate::pointwise::Operand;
use flambeau_core::parallel::sweep;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// Elements that are worth a thread.
const GRAIN: usize = 1 << 15;

/// A walk that threads share.
struct Shared<'a>(&'a Walk);
// SAFETY: pieces write to places of their own and read what nobody writes to.
unsafe impl Sync for Shared<'_> {}

impl Walk {
    /// The dimension that is cut, and how many of its indices make a piece.
    fn outermost(&self) -> Option<(usize, usize)> {
        let dim = self.sizes.iter().position(|&n| n != 1)?;
        let each = self.sizes[dim + 1..].iter().fold(1, |n: usize, &size| n.saturating_mul(size as usize));
        Some((dim, GRAIN.div_ceil(each.max(1))))
    }

    /// The part for a range of indices of a dimension.
    fn part(&self, dim: usize, range: &Range<usize>) -> Walk {
        let start = range.start as isize;
        let moved = |o: &Operand| {
            let by = start * o.strides[dim] as isize * o.dtype.size() as isize;
            Operand { pointer: o.pointer.wrapping_offset(by), ..o.clone() }
        };
        let mut part = Walk { plain: moved(&self.plain), indexed: moved(&self.indexed), ..self.clone() };
        part.sizes[dim] = range.len() as i64;
        for index in &mut part.indices {
            index.values = index.values.wrapping_offset(start * index.strides[dim] as isize);
        }
        part
    }
}

/// `plain[i] = indexed[place(i)]`
///
/// # Safety
/// Both operands have one dtype and are valid at every position of the walk, `plain` for writing, where different
/// positions are different elements; index arrays are valid at every position, and their values within bounds.
pub unsafe fn take(walk: &Walk) {
    let Some((dim, grain)) = walk.outermost() else {
        // SAFETY: passed on from the caller.
        return unsafe { take_part(walk) };
    };
    let shared = Shared(walk);
    sweep(walk.sizes[dim] as usize, grain, |range| {
        let walk = &shared;
        // SAFETY: a part of what the caller vouches for.
        unsafe { take_part(&walk.0.part(dim, &range)) }
    });
}

/// [`take`] by one index array whose values lie row by row, one for each position of the walk, and are looked at while they
/// are in the cache. False where one does not lie in `0..size` of its dimension; what of `plain` was written is then open.
///
/// # Safety
/// As for [`take`], but for the bounds of the values.
pub unsafe fn take_within(walk: &Walk) -> bool {
    let ([index], Some((dim, grain))) = (&walk.indices[..], walk.outermost()) else {
        // SAFETY: passed on from the caller; a value, if there is one.
        return unsafe {
            let inside = walk.sizes.contains(&0)
                || walk.indices.iter().all(|index| (0..index.size).contains(&index.values.read()));
            if inside {
                take_part(walk);
            }
            inside
        };
    };
    let each = walk.sizes[dim + 1..].iter().product::<i64>() as usize;
    let (shared, size, outside) = (Shared(walk), index.size, AtomicBool::new(false));
    sweep(walk.sizes[dim] as usize, grain, |range| {
        let walk = &shared;
        // Also where a sweep takes all there is at once.
        for start in range.clone().step_by(grain) {
            let part = walk.0.part(dim, &(start..range.end.min(start + grain)));
            let count = part.sizes[dim] as usize * each;
            // SAFETY: as many values in a row by the caller's promise.
            let values = unsafe { std::slice::from_raw_parts(part.indices[0].values, count) };
            if within(values, 0, size) {
                // SAFETY: passed on from the caller, and the values were checked.
                unsafe { take_part(&part) };
            } else {
                outside.store(true, Ordering::Relaxed);
            }
        }
    });
    !outside.into_inner()
}
