//! Products of packed rows with lines found by a table: what convolutions are made of.

use super::kernel::{self, Kernel, Tile};
use super::pack::Part;
use super::{heights, pack_rows};
use crate::gemm::{GemmElement, check};
use flambeau_core::{Result, Room, ensure};
use std::ops::Range;

/// Rows in the order in which the tile kernel reads them.
pub struct Rows<T: 'static> {
    kernel: &'static Kernel<T>,
    packed: Room<T>,
    count: usize,
    depth: usize,
}

/// Where the lines of a right operand begin, relative to its first one.
pub struct Lines {
    /// With [`kernel::AHEAD`] more at the end.
    offsets: Vec<usize>,
    last: usize,
}
impl Lines {
    pub fn new(mut offsets: Vec<usize>) -> Lines {
        let last = offsets.iter().copied().max().unwrap_or(0);
        offsets.extend([offsets.last().copied().unwrap_or(0); kernel::AHEAD]);
        Lines { offsets, last }
    }
    /// Number of lines.
    pub fn count(&self) -> usize {
        self.offsets.len() - kernel::AHEAD
    }
}

/// What is added to the products.
#[derive(Clone, Copy)]
pub enum Base<'a, T> {
    Nothing,
    /// What the result holds.
    Result,
    /// One number for each row.
    Rows(&'a [T]),
}

impl<T: GemmElement> Rows<T> {
    /// Packs `count` rows of `depth` elements. None for types without a kernel.
    pub fn new(count: usize, depth: usize, a: &[T], rs: usize, cs: usize) -> Result<Option<Rows<T>>> {
        T::kernel().map(|kernel| Rows::with(kernel, count, depth, a, rs, cs)).transpose()
    }

    /// [`Rows::new`] for a kernel.
    pub(super) fn with(
        kernel: &'static Kernel<T>,
        count: usize,
        depth: usize,
        a: &[T],
        rs: usize,
        cs: usize,
    ) -> Result<Rows<T>> {
        let mut rows = Rows { kernel, packed: Room::default(), count: 0, depth: 0 };
        rows.fill(count, depth, a, rs, cs)?;
        Ok(rows)
    }

    /// Packs other rows into the same memory.
    pub fn fill(&mut self, count: usize, depth: usize, a: &[T], rs: usize, cs: usize) -> Result<()> {
        check("rows", a.len(), count, rs, depth, cs)?;
        if self.packed.len() < count * depth {
            self.packed = Room::new(count * depth)?;
        }
        (self.count, self.depth) = (count, depth);
        if count > 0 {
            let part = Part { count, depth, apart: rs, step: cs };
            // SAFETY: the rows were checked, and the buffer has an element for each of theirs.
            unsafe { pack_rows(self.kernel, part, a.as_ptr(), self.packed.as_mut_ptr()) };
        }
        Ok(())
    }

    /// The most columns of one call of [`Rows::multiply`].
    pub fn width(&self) -> usize {
        self.kernel.width()
    }

    /// The tiles in parts of at most so many elements, or of one tile.
    pub fn parts(&self, elements: usize) -> impl Iterator<Item = Range<usize>> + use<T> {
        let tiles = if self.count == 0 { 0 } else { heights(self.count, self.kernel.rows).0 };
        let each = (elements / (self.depth * self.kernel.rows).max(1)).max(1);
        (0..tiles).step_by(each).map(move |first| first..(first + each).min(tiles))
    }

    /// For each row of the tiles, the products of its elements with the `depth` lines, added up for each of `columns` columns,
    /// [`Rows::width`] at most; columns without a bit in `keep` are left out. Row `r` of the result is written to
    /// `out[r * stride..]`. Lines must be readable to the end of the widest tile.
    pub fn multiply(
        &self,
        tiles: Range<usize>,
        b: &[T],
        lines: &Lines,
        columns: usize,
        keep: u64,
        base: Base<T>,
        out: &mut [T],
        stride: usize,
    ) -> Result<()> {
        let kernel = self.kernel;
        let (number, height, higher) = heights(self.count.max(1), kernel.rows);
        let whole = columns == kernel.width() && keep.trailing_ones() as usize >= columns;
        let keep = if whole { u64::MAX } else { keep & ((1u64 << columns.min(63)) - 1) };
        let written = if whole { columns } else { keep.count_ones() as usize };
        let fits = columns <= kernel.width()
            && tiles.end <= number
            && lines.count() == self.depth
            && lines.last.checked_add(kernel.width()).is_some_and(|end| end <= b.len())
            && !(matches!(base, Base::Result) && !whole && keep.trailing_ones() as usize != written)
            && !matches!(base, Base::Rows(rows) if rows.len() < self.count);
        ensure!(fits, "rows: an operand is out of bounds for its storage");
        if columns == 0 || self.count == 0 || tiles.is_empty() || written == 0 {
            return Ok(());
        }
        let mut first = tiles.start * height + tiles.start.min(higher);
        let end = tiles.end * height + tiles.end.min(higher);
        let vectors = columns.div_ceil(kernel.lanes);
        // The kernel reads whole vectors of the base.
        let reach = if matches!(base, Base::Result) { vectors * kernel.lanes } else { written };
        let last = (end - 1).checked_mul(stride).and_then(|x| x.checked_add(reach));
        ensure!(last.is_some_and(|last| last <= out.len()), "rows: the result is too short");
        for tile in tiles {
            let high = height + (tile < higher) as usize;
            // SAFETY: rows first..first + high were packed, and lie in `out` with `stride` between them; the ends of lines and of
            // the last row's were checked.
            unsafe {
                let c = out.as_mut_ptr().add(first * stride);
                let t = Tile {
                    depth: self.depth,
                    a: self.packed.as_ptr().add(first * self.depth),
                    b: b.as_ptr(),
                    a_rs: 0,
                    lines: lines.offsets.as_ptr(),
                    alpha: T::ONE,
                    base: match base {
                        Base::Nothing => kernel::Base::Nothing,
                        Base::Result => kernel::Base::Matrix(c.cast_const(), stride),
                        Base::Rows(rows) => kernel::Base::Rows(rows.as_ptr().add(first)),
                    },
                    c,
                    c_rs: stride,
                    keep,
                };
                (kernel.run)(high, vectors, &t);
            }
            first += high;
        }
        Ok(())
    }
}

/// `to[p * line + r] = from[r * apart + p * step]` for `count` values of `r` and `depth` of `p`. Only for types with a kernel.
pub fn turn<T: GemmElement>(
    count: usize,
    depth: usize,
    from: &[T],
    apart: usize,
    step: usize,
    to: &mut [T],
    line: usize,
) -> Result<()> {
    check("turn", from.len(), count, apart, depth, step)?;
    check("turn", to.len(), depth, line, count, 1)?;
    if let Some(kernel) = T::kernel()
        && count > 0
        && depth > 0
    {
        // SAFETY: both sides were checked.
        unsafe {
            (kernel.pack)(&Part { count, depth, apart, step }, from.as_ptr(), to.as_mut_ptr(), line, 0)
        };
    }
    Ok(())
}
