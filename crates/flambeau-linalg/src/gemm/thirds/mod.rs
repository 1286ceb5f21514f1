//! Products of `f32` matrices on processors with a unit for products of `bfloat16` matrices (Henry, Tang and Heinecke:
//! Leveraging the bfloat16 artificial intelligence datatype for higher-precision computations, 2019). One of the modules with
//! unsafe code.
//!
//! A number of 24 significant bits is the sum of three of 8, exactly. Of the nine products of such parts the three smallest
//! are left out, which are below 2^-25 of the whole; the unit multiplies exactly, and adds up 16 products before they meet a sum of `f32`, so
//! that errors are those of a sum in `f32`, or less. The unit takes subnormal numbers for zeros: operands with numbers
//! so small that a part or a product might be one are not multiplied here, and neither are numbers so large that a sum might
//! pass the largest one, infinities and NaNs.

mod packed;
mod shifted;
#[cfg(target_arch = "x86_64")]
mod vectors;

pub(super) use packed::Packed;
pub use shifted::{PairLines, PairRows, Piece};

use super::amx::{self, ROW, SIDE, THIRDS, TILE, Thirds};
use super::blocked::Scratch;
use super::{Shape, Shared, divided};
use crate::level::{Level, level};
use flambeau_core::{Result, Room};
use std::sync::atomic::{AtomicU32, Ordering};

/// Elements of a step in each row, and rows and columns of a block.
const STEP: usize = 32;
const BLOCK: usize = 2 * SIDE;
/// Floats of a step in an operand.
const STRIDE: usize = THIRDS / size_of::<f32>();
/// Products of a block between two visits to its sums.
const DEPTH: usize = 512;
/// Rows and columns of the packed operands.
const ROWS: usize = 256;
const COLUMNS: usize = 1024;

/// Whether a product of these sizes is computed by the matrix unit where its numbers allow it.
pub(super) fn pays(s: &Shape) -> bool {
    let (steps, elements) = (s.k.div_ceil(STEP), (s.m + s.n).saturating_mul(s.k));
    s.m.min(s.n) >= BLOCK && available() && is_faster((s.m, s.n, s.k), steps, elements)
}

/// Whether the unit takes less time than the tile kernel for `m` packed rows and `n` columns that are read where they are: `k` products
/// for each, in so many steps, and so many elements to be brought in parts.
pub fn pairs_pay((m, n, k): (usize, usize, usize), steps: usize, elements: usize) -> bool {
    available() && is_faster((m, n, k), steps, elements)
}

/// Whether there is a unit, and leave to use it.
fn available() -> bool {
    level() == Level::Avx512 && amx::available()
}

/// Whether the unit takes less time than the tile kernel, for so many steps, and elements to be packed. Measured on a Sapphire Rapids: 93
/// multiplications in a nanosecond by the tile kernel; by the unit 102 nanoseconds for a step of a block, 100 for a visit to
/// its sums, and one for 4 elements in parts.
fn is_faster((m, n, k): (usize, usize, usize), steps: usize, elements: usize) -> bool {
    let [x, y, z, elements] = [m, n, k, elements].map(|of| of as f64);
    let blocks = (m.div_ceil(BLOCK) * n.div_ceil(BLOCK)) as f64;
    let block = 102.0 * steps as f64 + 100.0 * k.div_ceil(DEPTH) as f64;
    x * y * z / 93.0 > 300.0 + blocks * block + elements / 4.0
}

/// Memory that begins with a cache line.
struct Aligned {
    memory: Room<f32>,
}
impl Aligned {
    fn new(length: usize) -> Result<Aligned> {
        let Some(length) = length.checked_add(ROW / size_of::<f32>()) else {
            flambeau_core::bail!("gemm: sizes overflow")
        };
        Ok(Aligned { memory: Room::new(length)? })
    }
    fn start(&self) -> *mut f32 {
        let own = self.memory.as_ptr().cast_mut();
        own.wrapping_add(own.align_offset(ROW))
    }
}

/// Bits of the least magnitude above zero, less one, and of the greatest.
#[derive(Clone, Copy)]
pub(super) struct Range {
    least: u32,
    most: u32,
}
impl Range {
    const NOTHING: Range = Range { least: u32::MAX, most: 0 };
    const ONE: Range = Range { least: 1f32.to_bits() - 1, most: 1f32.to_bits() };
    /// The range of these numbers.
    #[cfg(test)]
    pub(super) fn of(x: &[f32]) -> Range {
        let sizes = x.iter().map(|x| x.abs().to_bits());
        sizes.fold(Range::NOTHING, |all, x| all.and(Range { least: x.wrapping_sub(1), most: x }))
    }
    fn and(self, other: Range) -> Range {
        Range { least: self.least.min(other.least), most: self.most.max(other.most) }
    }
    /// Powers of two at or below the least and the greatest number.
    fn powers(self) -> (i32, i32) {
        let power = |bits: u32| (bits >> 23) as i32 - 127;
        (power(self.least.saturating_add(1)), power(self.most))
    }
    /// Whether products of such numbers, `k` at a time, can be added up in parts: no part of a number or product is subnormal,
    /// and no sum reaches infinity.
    pub(super) fn suits(a: Range, b: Range, k: usize) -> bool {
        let ((a0, a1), (b0, b1)) = (a.powers(), b.powers());
        let sums = (usize::BITS - k.leading_zeros()) as i32;
        a0 >= -102 && b0 >= -102 && a0 + b0 >= -102 && a1.max(b1) < 120 && a1 + b1 + sums < 124
    }
}

/// [`Range`]s of both operands as all threads find them.
struct Seen([AtomicU32; 4]);
impl Seen {
    fn new() -> Seen {
        Seen([u32::MAX, 0, u32::MAX, 0].map(AtomicU32::new))
    }
    fn add(&self, ranges: [Range; 2]) {
        for (i, range) in ranges.into_iter().enumerate() {
            self.0[2 * i].fetch_min(range.least, Ordering::Relaxed);
            self.0[2 * i + 1].fetch_max(range.most, Ordering::Relaxed);
        }
    }
    fn suits(&self, k: usize) -> bool {
        let at = |i: usize| self.0[i].load(Ordering::Relaxed);
        let [a, b] = [0, 2].map(|i| Range { least: at(i), most: at(i + 1) });
        Range::suits(a, b, k)
    }
}

/// `c = a @ b`, with a `bias` for each column if there is one; false, and anything in `c`, where the numbers do not allow it.
///
/// # Safety
/// Every address that the sizes and strides reach must be valid; [`pays`] was true; columns of `c` are next to each other.
pub(super) unsafe fn multiply(
    s: &Shape,
    a: *const f32,
    b: *const f32,
    bias: Option<*const f32>,
    c: *mut f32,
) -> bool {
    let by_rows = s.m >= s.n;
    let (count, other) = if by_rows { (s.m, s.n) } else { (s.n, s.m) };
    let (a, b, c) = (Shared(a), Shared(b), Shared(c));
    let bias = bias.map(Shared);
    let seen = Seen::new();
    divided(count.div_ceil(BLOCK), BLOCK * other * s.k / 2, |units| {
        let first = units.start * BLOCK;
        let count = (units.end * BLOCK).min(count) - first;
        let (rows, columns) = if by_rows { (first, 0) } else { (0, first) };
        let part = if by_rows { Shape { m: count, ..*s } } else { Shape { n: count, ..*s } };
        // SAFETY: parts have no element of `c` in common; the rest is passed on.
        unsafe {
            let a = a.get().wrapping_add(rows * s.a_rs);
            let b = b.get().wrapping_add(columns * s.b_cs);
            let c = c.get().add(rows * s.c_rs + columns);
            let bias = bias.as_ref().map(|bias| bias.get().add(columns));
            seen.add(amx::with_tiles(|| serial(&part, a, b, bias, c, amx::add_thirds)));
        }
    });
    seen.suits(s.k)
}

/// [`multiply`] of a part on this thread, with [`amx::add_thirds`] or what stands in for it.
///
/// # Safety
/// As for [`multiply`], and `add` callable.
pub(super) unsafe fn serial(
    s: &Shape,
    a: *const f32,
    b: *const f32,
    bias: Option<*const f32>,
    c: *mut f32,
    add: unsafe fn(&Thirds),
) -> [Range; 2] {
    let most = |count: usize, most: usize| count.min(most).div_ceil(BLOCK);
    let steps = s.k.min(DEPTH).div_ceil(STEP);
    let (left, right) = (most(s.m, ROWS) * steps * STRIDE, most(s.n, COLUMNS) * steps * STRIDE);
    let mut ranges = [Range::NOTHING; 2];
    Scratch::with(left + right + SIDES, |memory: *mut f32| {
        let (left, right, side) = (memory, memory.wrapping_add(left), memory.wrapping_add(left + right));
        let places: [usize; DEPTH / STEP] = std::array::from_fn(|step| step * THIRDS);
        for n0 in (0..s.n).step_by(COLUMNS) {
            let n = COLUMNS.min(s.n - n0);
            for k0 in (0..s.k).step_by(DEPTH) {
                let k = DEPTH.min(s.k - k0);
                let steps = k.div_ceil(STEP);
                for m0 in (0..s.m).step_by(ROWS) {
                    let m = ROWS.min(s.m - m0);
                    // SAFETY: the pieces lie in the memory; the rest is a part of what the caller vouches for.
                    unsafe {
                        if m0 == 0 {
                            for j in (0..n).step_by(BLOCK) {
                                let from = b.wrapping_add(k0 * s.b_rs + (n0 + j) * s.b_cs);
                                let to = right.add(j / BLOCK * steps * STRIDE);
                                let part = Lines { count: BLOCK.min(n - j), apart: s.b_cs, k, step: s.b_rs };
                                ranges[1] = ranges[1].and(split::<true>(&part, from, to));
                            }
                        }
                        for i in (0..m).step_by(BLOCK) {
                            let from = a.wrapping_add((m0 + i) * s.a_rs + k0 * s.a_cs);
                            let to = left.add(i / BLOCK * steps * STRIDE);
                            let part = Lines { count: BLOCK.min(m - i), apart: s.a_rs, k, step: s.a_cs };
                            ranges[0] = ranges[0].and(split::<false>(&part, from, to));
                        }
                        for j in (0..n).step_by(BLOCK) {
                            let b = right.add(j / BLOCK * steps * STRIDE).cast();
                            for i in (0..m).step_by(BLOCK) {
                                let at = |i: usize, j: usize| c.wrapping_add((m0 + i) * s.c_rs + n0 + j);
                                let block = Block {
                                    b,
                                    b_row: ROW,
                                    b_right: TILE,
                                    b_part: 2 * TILE,
                                    steps: &places[..steps],
                                    c: at(i, j),
                                    c_rs: s.c_rs,
                                    high: BLOCK.min(m - i),
                                    wide: BLOCK.min(n - j),
                                    side,
                                    soon: if i + BLOCK < m { at(i + BLOCK, j) } else { at(0, j + BLOCK) },
                                };
                                let start = match bias {
                                    _ if k0 > 0 => Start::Result,
                                    Some(bias) => Start::Row(bias.add(n0 + j)),
                                    None => Start::Zero,
                                };
                                block.compute(left.add(i / BLOCK * steps * STRIDE).cast(), start, add);
                            }
                        }
                    }
                }
            }
        }
    });
    ranges
}

/// What sums of products begin with.
#[derive(Clone, Copy)]
enum Start {
    Zero,
    /// What the result holds.
    Result,
    /// A number for each column.
    Row(*const f32),
}

/// Floats of [`Block::side`].
const SIDES: usize = BLOCK * BLOCK + TILE / size_of::<f32>();

/// A block of up to 32 rows and columns of a result.
struct Block<'a> {
    /// As in [`Thirds`].
    b: *const u8,
    b_row: usize,
    b_right: usize,
    b_part: usize,
    steps: &'a [usize],
    c: *mut f32,
    /// Elements between rows of the result.
    c_rs: usize,
    high: usize,
    wide: usize,
    /// Memory for a whole block, and for what is written over.
    side: *mut f32,
    /// Where the next block is.
    soon: *const f32,
}
impl Block<'_> {
    /// Writes the products of packed rows and the columns. Inlined, as reading what was just written of a block in other pieces would
    /// wait for all of the result that is on its way to memory.
    ///
    /// # Safety
    /// All addresses are valid, and `add` callable.
    #[inline(always)]
    unsafe fn compute(&self, a: *const u8, start: Start, add: unsafe fn(&Thirds)) {
        let line = size_of::<f32>();
        let whole = self.wide == BLOCK && self.high == BLOCK;
        let row = |r: usize| self.c.wrapping_add(r * self.c_rs);
        let side = |r: usize| self.side.wrapping_add(r * BLOCK);
        let (base, base_row) = match start {
            Start::Zero => (std::ptr::null(), 0),
            Start::Result if whole => (self.c.cast_const(), self.c_rs * line),
            Start::Row(bias) if self.wide == BLOCK => (bias, 0),
            start => {
                for r in 0..self.high {
                    let from = if let Start::Row(bias) = start { bias } else { row(r).cast_const() };
                    // SAFETY: a row of the result or the biases, and one of the memory beside.
                    unsafe { std::ptr::copy_nonoverlapping(from, side(r), self.wide) };
                }
                (self.side.cast_const(), BLOCK * line)
            }
        };
        let operands = Thirds {
            a,
            b: self.b,
            b_row: self.b_row,
            b_right: self.b_right,
            b_part: self.b_part,
            steps: self.steps,
            base,
            base_row,
            sums: if whole { self.c } else { self.side },
            sums_row: if whole { self.c_rs * line } else { BLOCK * line },
            spare: self.side.wrapping_add(BLOCK * BLOCK),
            soon: self.soon,
        };
        // SAFETY: passed on.
        unsafe {
            add(&operands);
            for r in 0..if whole { 0 } else { self.high } {
                std::ptr::copy_nonoverlapping(side(r), row(r), self.wide);
            }
        }
    }
}

/// Up to 32 lines of `k` elements of an operand.
struct Lines {
    count: usize,
    apart: usize,
    k: usize,
    step: usize,
}

/// Writes the three parts of the elements of up to 32 lines for the unit, zero where there are none: lines of `a` are rows of
/// tiles, those of `b` (where they are `COLUMNS`) columns of them. Elements `p` and `p + 16` of a step are neighbours in both.
///
/// # Safety
/// The elements and the steps' tiles are valid; there is AVX-512.
unsafe fn split<const COLUMNS: bool>(x: &Lines, from: *const f32, to: *mut f32) -> Range {
    // SAFETY: passed on.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        match x.apart == 1 && x.step != 1 {
            true => vectors::split::<false, COLUMNS>(x, from, to),
            false => vectors::split::<true, COLUMNS>(x, from, to),
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = (x, from, to);
        Range::NOTHING
    }
}

#[cfg(test)]
mod tests;
