//! Products of packed rows with columns that are read where they are, at any place of lines in three parts: what convolutions are
//! made of.

use super::{Aligned, BLOCK, Block, Lines, Range, SIDES, STEP, STRIDE, Start, available, split};
use crate::gemm::amx::{self, ROW, SIDE, THIRDS, Thirds};
use crate::gemm::blocked::{Base, Scratch};
use crate::gemm::check;
use flambeau_core::{Result, ensure};

/// Lines of pairs of numbers, all in three parts. Sixteen lines hold 32 elements of each of many columns: those of line `p` are
/// elements `p` and `p + 16`.
pub struct PairLines {
    memory: Aligned,
    lines: usize,
    length: usize,
    /// Floats from one line to the next.
    pitch: usize,
    range: Range,
}

impl PairLines {
    /// Elements of a step, half of them in each place of the pairs, and columns of a piece.
    pub const STEP: usize = STEP;

    /// Room for so many lines, zeros at first; none where there is no unit to multiply them.
    pub fn new(lines: usize, length: usize) -> Result<Option<PairLines>> {
        if available() { PairLines::with(lines, length).map(Some) } else { Ok(None) }
    }

    /// [`PairLines::new`] with or without a unit.
    pub(super) fn with(lines: usize, length: usize) -> Result<PairLines> {
        // An odd number of cache lines, so that lines do not meet in few sets of the first-level cache.
        let pitch = (length.div_ceil(SIDE) | 1) * SIDE;
        let all = lines.checked_mul(pitch).and_then(|all| all.checked_mul(3)?.checked_add(BLOCK));
        let Some(all) = all else { flambeau_core::bail!("gemm: sizes overflow") };
        Ok(PairLines { memory: Aligned::new(all)?, lines, length, pitch, range: Range::NOTHING })
    }

    /// Floats from one line to the next.
    pub fn pitch(&self) -> usize {
        self.pitch
    }

    /// Forgets which numbers were seen.
    pub fn restart(&mut self) {
        self.range = Range::NOTHING;
    }

    /// Writes a line: pairs of the elements of `low` and those of `high`, which are as many or none (zeros).
    pub fn fill(&mut self, line: usize, low: &[f32], high: &[f32]) -> Result<()> {
        let fits = line < self.lines && low.len() <= self.length;
        ensure!(fits && (high.is_empty() || high.len() == low.len()), "gemm: no such line of pairs");
        #[cfg(target_arch = "x86_64")]
        {
            let to = self.memory.start().wrapping_add(line * self.pitch);
            // SAFETY: there is AVX-512, as lines are only made where there is; a line of each part.
            let range = unsafe { super::vectors::pairs(low, high, to, self.lines * self.pitch) };
            self.range = self.range.and(range);
        }
        Ok(())
    }
}

/// Up to 32 columns that are computed together.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// The first of them in the lines.
    pub at: usize,
    /// Which of them belong to the result.
    pub keep: u32,
    /// Columns of the result before these.
    pub done: usize,
}
impl Piece {
    fn columns(&self) -> u32 {
        u32::BITS - self.keep.leading_zeros()
    }
}

/// Rows in three parts, in steps of 32 elements.
pub struct PairRows {
    memory: Aligned,
    count: usize,
    steps: usize,
    range: Range,
}

impl PairRows {
    /// Packs `count` rows of `depth` elements, filled up with zeros to whole steps; none where there is no unit.
    pub fn new(count: usize, depth: usize, a: &[f32], rs: usize, cs: usize) -> Result<Option<PairRows>> {
        if !available() {
            return Ok(None);
        }
        PairRows::with(count, depth, a, rs, cs).map(Some)
    }

    /// [`PairRows::new`] with or without a unit.
    pub(super) fn with(count: usize, depth: usize, a: &[f32], rs: usize, cs: usize) -> Result<PairRows> {
        let mut rows = PairRows { memory: Aligned::new(0)?, count: 0, steps: 0, range: Range::NOTHING };
        rows.fill(count, depth, a, rs, cs)?;
        Ok(rows)
    }

    /// Packs other rows into the same memory.
    pub fn fill(&mut self, count: usize, depth: usize, a: &[f32], rs: usize, cs: usize) -> Result<()> {
        check("rows", a.len(), count, rs, depth, cs)?;
        let steps = depth.div_ceil(STEP);
        let Some(all) = count.div_ceil(BLOCK).checked_mul(steps).and_then(|n| n.checked_mul(STRIDE)) else {
            flambeau_core::bail!("gemm: sizes overflow")
        };
        if self.memory.memory.len() < all + ROW / size_of::<f32>() {
            self.memory = Aligned::new(all)?;
        }
        (self.count, self.steps, self.range) = (count, steps, Range::NOTHING);
        for i in (0..count).step_by(BLOCK) {
            let part = Lines { count: BLOCK.min(count - i), apart: rs, k: depth, step: cs };
            let to = self.memory.start().wrapping_add(i / BLOCK * steps * STRIDE);
            // SAFETY: rows that were checked, and their place in the memory; there is AVX-512, as rows are only made where there is.
            let range = unsafe { split::<false>(&part, a.as_ptr().wrapping_add(i * rs), to) };
            self.range = self.range.and(range);
        }
        Ok(())
    }

    /// The number of blocks of 32 rows, and of steps of 32 elements.
    pub fn sizes(&self) -> (usize, usize) {
        (self.count.div_ceil(BLOCK), self.steps)
    }

    /// Whether the unit serves the numbers of these rows and lines.
    pub fn suits(&self, b: &PairLines) -> bool {
        Range::suits(self.range, b.range, (self.steps * STEP).max(1))
    }

    /// For each row of block `block`, the products of its elements with columns of `b`, added up for each column of the pieces.
    /// Step `t` multiplies 16 lines of pairs from column `at + places[t]` of the memory on (what a piece does not keep may lie beyond a
    /// line's end). Row `r` of the block is
    /// written to `out[r * stride..]`; the base's rows are the block's.
    pub fn multiply(
        &self,
        block: usize,
        b: &PairLines,
        places: &[usize],
        pieces: &[Piece],
        base: Base<f32>,
        out: &mut [f32],
        stride: usize,
    ) -> Result<()> {
        ensure!(available(), "gemm: no unit for products of pairs");
        // SAFETY: there is a unit.
        unsafe {
            amx::with_tiles(|| self.multiply_by(block, b, places, pieces, base, out, stride, amx::add_thirds))
        }
    }

    /// [`PairRows::multiply`] with [`amx::add_thirds`] or what stands in for it.
    ///
    /// # Safety
    /// `add` is callable, and there is AVX-512.
    pub(super) unsafe fn multiply_by(
        &self,
        block: usize,
        b: &PairLines,
        places: &[usize],
        pieces: &[Piece],
        base: Base<f32>,
        out: &mut [f32],
        stride: usize,
        add: unsafe fn(&Thirds),
    ) -> Result<()> {
        let high = BLOCK.min(self.count.saturating_sub(block * BLOCK));
        let last = places.iter().max().copied().unwrap_or(0);
        let fits = high > 0
            && self.steps > 0
            && places.len() == self.steps
            && !matches!(base, Base::Rows(rows) if rows.len() < high)
            && pieces.iter().all(|piece| {
                let (columns, kept) = (piece.columns(), piece.keep.count_ones());
                let reach =
                    last.checked_add(piece.at).and_then(|x| x.checked_add((SIDE - 1) * b.pitch + BLOCK));
                let end = (high - 1)
                    .checked_mul(stride)
                    .and_then(|x| x.checked_add(piece.done)?.checked_add(kept as usize));
                reach.is_some_and(|reach| reach <= b.lines * b.pitch + BLOCK)
                    && end.is_some_and(|end| end <= out.len())
                    && (!matches!(base, Base::Result) || columns == kept)
            });
        ensure!(fits, "rows: an operand is out of bounds for its storage");
        Scratch::with(SIDES + places.len() * 2, |side: *mut f32| {
            // SAFETY: blocks of the memory of rows and lines that were checked, the result's rows, and the memory beside.
            unsafe {
                let bytes = side.add(SIDES).cast::<usize>();
                for (i, place) in places.iter().enumerate() {
                    bytes.add(i).write(place * size_of::<f32>());
                }
                for (i, piece) in pieces.iter().enumerate() {
                    let whole = high == BLOCK && piece.keep == u32::MAX;
                    let to = out.as_mut_ptr().add(piece.done);
                    let own = if whole { to } else { side };
                    let own_row = if whole { stride } else { BLOCK };
                    let start = match base {
                        Base::Nothing => Start::Zero,
                        Base::Result if whole => Start::Result,
                        Base::Result => {
                            for r in 0..high {
                                let from = to.cast_const().add(r * stride);
                                std::ptr::copy_nonoverlapping(
                                    from,
                                    side.add(r * BLOCK),
                                    piece.columns() as usize,
                                );
                            }
                            Start::Result
                        }
                        Base::Rows(rows) => {
                            for (r, &x) in rows[..high].iter().enumerate() {
                                std::slice::from_raw_parts_mut(own.add(r * own_row), BLOCK).fill(x);
                            }
                            Start::Result
                        }
                    };
                    let next = pieces
                        .get(i + 1)
                        .map_or(side.cast_const(), |next| out.as_ptr().wrapping_add(next.done));
                    let product = Block {
                        b: b.memory.start().wrapping_add(piece.at).cast(),
                        b_row: b.pitch * size_of::<f32>(),
                        b_right: ROW,
                        b_part: b.lines * b.pitch * size_of::<f32>(),
                        steps: std::slice::from_raw_parts(bytes, places.len()),
                        c: own,
                        c_rs: own_row,
                        high: BLOCK,
                        wide: BLOCK,
                        side,
                        soon: next,
                    };
                    product.compute(self.memory.start().add(block * self.steps * STRIDE).cast(), start, add);
                    #[cfg(target_arch = "x86_64")]
                    if !whole {
                        super::vectors::kept(side, high, piece.keep, to, stride);
                    }
                }
            }
            Ok(())
        })
    }
}

const _: () = assert!(STEP == BLOCK && THIRDS == STRIDE * size_of::<f32>());
