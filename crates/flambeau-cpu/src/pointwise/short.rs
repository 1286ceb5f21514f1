//! Short rows of broadcast and strided operands: several go through a tile together, as if they were one longer row. One of
//! the modules with unsafe code.

use super::kernels::Compute;
use super::plan::Plan;
use super::transfer::load;
use crate::wide::{Body, wide};
use flambeau_core::DType;
use smallvec::SmallVec;
use std::mem::MaybeUninit;

/// The longest rows that are worked on together: longer ones cost less than copies of what stands for them.
const LONGEST: usize = 128;

/// The rows of a plan whose first two dimensions count as one.
pub(super) struct Short {
    /// Elements of a row.
    pub inner: usize,
    /// The strides of each input within a row and from row to row, where the dimensions are no single one.
    pub strides: SmallVec<[Option<(isize, isize)>; 4]>,
}

impl Short {
    /// The plan with rows together, where they are short and those of the output follow each other.
    pub fn new(plan: &Plan) -> Option<(Plan, Short)> {
        let [inner, rows, ..] = plan.sizes[..] else { return None };
        let joined = |strides: &[isize]| strides[0].wrapping_mul(inner as isize) == strides[1];
        if inner > LONGEST || plan.strides[0][0] != 1 || !joined(&plan.strides[0]) {
            return None;
        }
        let apart = |strides: &SmallVec<[isize; 5]>| (!joined(strides)).then(|| (strides[0], strides[1]));
        let strides = plan.strides[1..].iter().map(apart).collect();
        let mut plan = plan.clone();
        plan.sizes.remove(0);
        plan.sizes[0] = inner * rows;
        for strides in &mut plan.strides {
            let one = joined(strides);
            let within = strides.remove(0);
            strides[0] = if one { within } else { 0 };
        }
        Some((plan, Short { inner, strides }))
    }

    /// The strides of an input whose rows do not follow each other.
    pub fn of(short: Option<&Short>, input: usize) -> Option<(isize, isize)> {
        short.and_then(|short| short.strides[input])
    }
}

/// Reads `rows` rows of `inner` elements with strides within a row and from row to row, one after the other.
///
/// # Safety
/// `from` must be valid for these elements, `to` for as many writes; they do not overlap.
pub(super) unsafe fn read<T: Compute>(
    from: *const u8,
    dtype: DType,
    (within, between): (isize, isize),
    [inner, rows]: [usize; 2],
    to: *mut T,
) {
    let size = dtype.size() as isize;
    let row = |r: usize| from.wrapping_offset(r as isize * between * size);
    // SAFETY: as promised by the caller.
    unsafe {
        if between == 0 {
            load(from, dtype, within, to, inner);
            // As much again as there is.
            let (mut have, all) = (inner, inner * rows);
            while have < all {
                let more = have.min(all - have);
                std::ptr::copy_nonoverlapping(to, to.add(have), more);
                have += more;
            }
        } else if within == 0 {
            let mut numbers = [const { MaybeUninit::<T>::uninit() }; LONGEST];
            for first in (0..rows).step_by(LONGEST) {
                let n = LONGEST.min(rows - first);
                load(row(first), dtype, between, numbers.as_mut_ptr().cast::<T>(), n);
                let numbers = std::slice::from_raw_parts(numbers.as_ptr().cast::<T>(), n);
                let to = std::slice::from_raw_parts_mut(to.add(first * inner), n * inner);
                wide(Repeated { numbers, inner, to });
            }
        } else if dtype == T::DTYPE && within == 1 && from.cast::<T>().is_aligned() {
            wide(Rows { from: from.cast(), between, inner, rows, to });
        } else {
            (0..rows).for_each(|r| load(row(r), dtype, within, to.add(r * inner), inner));
        }
    }
}

/// Each number so many times.
struct Repeated<'a, T> {
    numbers: &'a [T],
    inner: usize,
    to: &'a mut [T],
}

impl<T: Copy> Body for Repeated<'_, T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        /// Elements that are written at once; those beyond a row are written again by the next one.
        const BLOCK: usize = 16;
        let Repeated { numbers, inner, to } = self;
        let whole = inner.next_multiple_of(BLOCK);
        for (r, &number) in numbers.iter().enumerate() {
            match to[r * inner..].get_mut(..whole) {
                Some(to) => to.as_chunks_mut::<BLOCK>().0.iter_mut().for_each(|to| *to = [number; BLOCK]),
                None => to[r * inner..][..inner].fill(number),
            }
        }
    }
}

/// Rows of `inner` elements that begin `between` apart; all valid.
struct Rows<T> {
    from: *const T,
    between: isize,
    inner: usize,
    rows: usize,
    to: *mut T,
}

impl<T: Copy> Body for Rows<T> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Rows { from, between, inner, rows, to } = self;
        for r in 0..rows {
            // SAFETY: a row of each.
            let (from, to) = unsafe {
                (
                    std::slice::from_raw_parts(from.wrapping_offset(r as isize * between), inner),
                    std::slice::from_raw_parts_mut(to.add(r * inner), inner),
                )
            };
            // A loop: calls that copy take longer than short rows.
            to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
        }
    }
}
