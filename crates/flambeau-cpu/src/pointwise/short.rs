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

/// Sizes of dimensions and an operand's strides along them, innermost first, as one where they follow each other.
type Levels = SmallVec<[(usize, isize); 4]>;

/// The rows of a plan whose first dimensions count as one.
pub(super) struct Short {
    /// Elements of what the last of these dimensions counts.
    pub inner: usize,
    /// For each input its stride along the last of these dimensions, and the levels of an index of it, unless the dimensions
    /// are a single one.
    inputs: SmallVec<[Option<(isize, Levels)>; 4]>,
}

impl Short {
    /// The plan with rows together, where they are short and those of the output follow each other.
    pub fn new(plan: &Plan) -> Option<(Plan, Short)> {
        let (mut count, mut inner) = (1, *plan.sizes.first()?);
        let follows = |strides: &[isize], d: usize| {
            strides[d - 1].wrapping_mul(plan.sizes[d - 1] as isize) == strides[d]
        };
        let (out, mut total) = (&plan.strides[0], inner);
        while count < plan.sizes.len() && total <= LONGEST && out[0] == 1 && follows(out, count) {
            inner = total;
            total *= plan.sizes[count];
            count += 1;
        }
        if count == 1 {
            return None;
        }
        let joined = |strides: &[isize]| (1..count).all(|d| follows(strides, d));
        let apart = |strides: &SmallVec<[isize; 5]>| {
            let mut levels = Levels::new();
            for d in 0..count {
                // The last level is that of one index: several are put together as they are read.
                match levels.last_mut() {
                    Some((n, _)) if d + 1 < count && follows(strides, d) => *n *= plan.sizes[d],
                    _ => levels.push((if d + 1 < count { plan.sizes[d] } else { 1 }, strides[d])),
                }
            }
            (!joined(strides)).then(|| (strides[count - 1], levels))
        };
        let inputs = plan.strides[1..].iter().map(apart).collect();
        let mut merged = plan.clone();
        merged.sizes.drain(..count - 1);
        merged.sizes[0] = total;
        for strides in &mut merged.strides {
            let within = if joined(strides) { strides[0] } else { 0 };
            strides.drain(..count - 1);
            strides[0] = within;
        }
        Some((merged, Short { inner, inputs }))
    }

    /// The stride from row to row of an input whose rows do not follow each other.
    pub fn between(short: Option<&Short>, input: usize) -> Option<isize> {
        short.and_then(|short| short.inputs[input].as_ref()).map(|(between, _)| *between)
    }

    /// Reads `n` elements of such an input from the beginning of a row on.
    ///
    /// # Safety
    /// `from` must be valid for these elements, `to` for as many writes; they do not overlap.
    pub unsafe fn read<T: Compute>(&self, input: usize, from: *const u8, dtype: DType, to: *mut T, n: usize) {
        let Some((_, levels)) = &self.inputs[input] else { return };
        let mut levels = levels.clone();
        if let Some((rows, _)) = levels.last_mut() {
            *rows = n / self.inner;
        }
        // The last level may follow the one before after all.
        if let [.., (size, stride), (rows, between)] = levels[..]
            && levels.len() > 2
            && stride.wrapping_mul(size as isize) == between
        {
            levels.pop();
            levels.pop();
            levels.push((size * rows, stride));
        }
        // SAFETY: passed on from the caller.
        unsafe { read(from, dtype, &levels, to) }
    }
}

/// Reads elements of these sizes and strides, one after the other.
///
/// # Safety
/// `from` must be valid for these elements, `to` for as many writes; they do not overlap.
unsafe fn read<T: Compute>(from: *const u8, dtype: DType, levels: &[(usize, isize)], to: *mut T) {
    let size = dtype.size() as isize;
    let Some((&(rows, between), within)) = levels.split_last() else { return };
    let inner = within.iter().map(|level| level.0).product::<usize>();
    let row = |r: usize| from.wrapping_offset(r as isize * between * size);
    // SAFETY: as promised by the caller.
    unsafe {
        match *within {
            [] => load(from, dtype, between, to, rows),
            _ if between == 0 => {
                read(from, dtype, within, to);
                // As much again as there is.
                let (mut have, all) = (inner, inner * rows);
                while have < all {
                    let more = have.min(all - have);
                    std::ptr::copy_nonoverlapping(to, to.add(have), more);
                    have += more;
                }
            }
            [(_, 0)] => {
                let mut numbers = [const { MaybeUninit::<T>::uninit() }; LONGEST];
                for first in (0..rows).step_by(LONGEST) {
                    let n = LONGEST.min(rows - first);
                    load(row(first), dtype, between, numbers.as_mut_ptr().cast::<T>(), n);
                    let numbers = std::slice::from_raw_parts(numbers.as_ptr().cast::<T>(), n);
                    let to = std::slice::from_raw_parts_mut(to.add(first * inner), n * inner);
                    wide(Repeated { numbers, inner, to });
                }
            }
            [(_, 1)] if dtype == T::DTYPE && from.cast::<T>().is_aligned() => {
                wide(Rows { from: from.cast(), between, inner, rows, to });
            }
            _ => (0..rows).for_each(|r| read(row(r), dtype, within, to.add(r * inner))),
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
