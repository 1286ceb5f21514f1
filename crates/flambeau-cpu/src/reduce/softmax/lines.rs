//! Where the lines of a dimension lie, and how they are read and written. One of the modules with unsafe code.

use super::{FEW, SHORT, TILE, WIDTH};
use crate::gemm::{GemmElement, turn};
use crate::pointwise::{Compute, Operand, load, store};
use crate::reduce::plan::advance;
use smallvec::SmallVec;

/// How lines that are worked on together lie in memory.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Way {
    /// Side by side.
    Side,
    /// One after the other, and so short that they are read and written as if they lay side by side.
    Short,
    /// One after the other, without gaps.
    Block,
    /// Each by itself.
    Single,
}

impl Way {
    /// Whether lines are read and written as rows of neighbours.
    pub fn is_side(self) -> bool {
        matches!(self, Way::Side | Way::Short)
    }
}

/// The lines along one dimension, several of which are worked on together.
pub(super) struct Lines {
    pub n: usize,
    pub way: Way,
    /// For each operand: stride along the line, stride between lines of a group.
    pub strides: SmallVec<[(isize, isize); 3]>,
    count: usize,
    /// Lines of a group.
    pub together: usize,
    outer: SmallVec<[(usize, SmallVec<[isize; 3]>); 4]>,
}

impl Lines {
    /// The last operands may have `numbers`, one for each line.
    pub fn new(operands: &[&Operand], sizes: &[i64], dim: usize, numbers: bool) -> Lines {
        let n = sizes.get(dim).map_or(1, |&n| n as usize);
        let along = |o: &Operand| o.strides.get(dim).map_or(0, |&s| s as isize);
        let mut outer: SmallVec<[(usize, SmallVec<[isize; 3]>); 4]> = (0..sizes.len())
            .filter(|&d| d != dim && sizes[d] != 1)
            .map(|d| (sizes[d] as usize, operands.iter().map(|o| o.strides[d] as isize).collect()))
            .collect();
        // Outermost dimensions first, as one where they follow each other.
        outer.sort_by_key(|d| std::cmp::Reverse(d.1[0].unsigned_abs()));
        outer.dedup_by(|inner, outer| {
            let size = inner.0 as isize;
            let joins = outer.1.iter().zip(&inner.1).all(|(&a, &b)| a == size.wrapping_mul(b));
            if joins {
                *outer = (outer.0 * inner.0, inner.1.clone());
            }
            joins
        });
        let whole = if numbers { 1 } else { operands.len() };
        let way = match outer.last() {
            Some((_, steps)) if steps[0].unsigned_abs() < along(operands[0]).unsigned_abs() => Way::Side,
            Some((count, _)) if n <= SHORT && *count >= FEW => Way::Short,
            Some((_, steps))
                if operands.iter().zip(steps).take(whole).all(|(o, &s)| along(o) == 1 && s == n as isize) =>
            {
                Way::Block
            }
            _ => Way::Single,
        };
        let beside = if way == Way::Single { None } else { outer.pop() };
        let (count, steps) = beside.unwrap_or_else(|| (1, operands.iter().map(|_| 0).collect()));
        Lines {
            n,
            way,
            strides: operands.iter().zip(steps).map(|(o, step)| (along(o), step)).collect(),
            count,
            together: count.min(if way.is_side() { WIDTH } else { (TILE / n).clamp(1, WIDTH) }),
            outer,
        }
    }

    /// Calls `work(offsets, width)` for each group of lines, with the element offset of its first line in each operand.
    pub fn each(&self, mut work: impl FnMut(&[isize], usize)) {
        let mut index: SmallVec<[usize; 4]> = SmallVec::from_elem(0, self.outer.len());
        loop {
            let mut first = 0;
            while first < self.count {
                let width = (self.count - first).min(self.together);
                let offsets: SmallVec<[isize; 3]> = (0..self.strides.len())
                    .map(|i| {
                        let outer: isize =
                            self.outer.iter().zip(&index).map(|(d, &j)| d.1[i] * j as isize).sum();
                        outer + first as isize * self.strides[i].1
                    })
                    .collect();
                work(&offsets, width);
                first += width;
            }
            if !advance(&mut index, self.outer.iter().map(|d| d.0)) {
                return;
            }
        }
    }
}

fn place(o: &Operand, offset: isize) -> *mut u8 {
    o.pointer.wrapping_offset(offset * o.dtype.size() as isize)
}

/// Reads `width` lines of `n` into `buffer`, with the lines side by side.
///
/// # Safety
/// The lines must be readable, the buffer hold `n * width` elements.
pub(super) unsafe fn read<T: Compute + GemmElement>(
    o: &Operand,
    offset: isize,
    (along, step): (isize, isize),
    n: usize,
    width: usize,
    buffer: &mut [T],
) {
    if let (Some(first), Ok(apart @ 1..)) = (own::<T>(o, offset, (along, step)), usize::try_from(step)) {
        // SAFETY: from the first element of the lines to the last.
        let lines = unsafe { std::slice::from_raw_parts(first, (width - 1) * apart + n) };
        if turn(width, n, lines, apart, 1, buffer, width).is_ok() {
            return;
        }
    }
    for (k, row) in buffer.chunks_exact_mut(width).enumerate().take(n) {
        // SAFETY: as promised by the caller.
        unsafe { load(place(o, offset + k as isize * along), o.dtype, step, row.as_mut_ptr(), width) };
    }
}

/// The reverse of [`read`].
///
/// # Safety
/// As for [`read`], with writable lines.
pub(super) unsafe fn write<T: Compute + GemmElement>(
    o: &Operand,
    offset: isize,
    (along, step): (isize, isize),
    n: usize,
    width: usize,
    buffer: &[T],
) {
    if let (Some(first), true) = (own::<T>(o, offset, (along, step)), usize::try_from(step) == Ok(n)) {
        // SAFETY: the lines follow each other.
        let lines = unsafe { std::slice::from_raw_parts_mut(first, width * n) };
        if turn(n, width, buffer, width, 1, lines, n).is_ok() {
            return;
        }
    }
    for (k, row) in buffer.chunks_exact(width).enumerate().take(n) {
        // SAFETY: as promised by the caller.
        unsafe { store(row.as_ptr(), place(o, offset + k as isize * along), o.dtype, step, width) };
    }
}

/// Lines of `n` elements together that follow each other as a slice: their own memory where the elements do too, else what
/// is read into `buffer`.
///
/// # Safety
/// The line must be readable, and nothing write to it while the slice is in use; the buffer holds `n` elements.
pub(super) unsafe fn line<'a, T: Compute>(
    o: &Operand,
    offset: isize,
    strides: (isize, isize),
    n: usize,
    buffer: &'a mut [T],
) -> &'a [T] {
    // SAFETY: as promised by the caller.
    unsafe {
        match own(o, offset, strides) {
            Some(first) => std::slice::from_raw_parts(first, n),
            None => {
                load(place(o, offset), o.dtype, strides.0, buffer.as_mut_ptr(), n);
                buffer
            }
        }
    }
}

/// Where a line lies whose elements follow each other in memory and are of type `T`.
fn own<T: Compute>(o: &Operand, offset: isize, strides: (isize, isize)) -> Option<*mut T> {
    let first = place(o, offset).cast::<T>();
    (o.dtype == T::DTYPE && strides.0 == 1 && first.is_aligned()).then_some(first)
}

/// Gives `work` lines of `out` to write as [`line`] gives those to read.
///
/// # Safety
/// The line must be writable, and nothing else refer to it meanwhile; the buffer holds `n` elements.
pub(super) unsafe fn fill_line<T: Compute>(
    o: &Operand,
    offset: isize,
    strides: (isize, isize),
    n: usize,
    buffer: &mut [T],
    work: impl FnOnce(&mut [T]),
) {
    // SAFETY: as promised by the caller.
    unsafe {
        match own(o, offset, strides) {
            Some(first) => work(std::slice::from_raw_parts_mut(first, n)),
            None => {
                work(buffer);
                store(buffer.as_ptr(), place(o, offset), o.dtype, strides.0, n);
            }
        }
    }
}
