//! Blocked products of `f32` and `f64` matrices.
//!
//! Tiles of the result are computed in registers (`kernel.rs`) from operands copied into the order of reading (`pack.rs`):
//! a block of `a`, which stays in the second-level cache, goes over panels of `b` (after Goto and van de Geijn, 2008). Every element is the
//! sum of blocks of at most `DEPTH` products, each added up in order, whatever its place in the result.

mod columns;
mod kernel;
mod lanes;
mod pack;
mod rows;

pub use columns::Columns;
pub use kernel::Kernel;
pub(super) use kernel::{double, single};
pub use rows::{Base, Lines, Rows, turn};

use super::{GemmElement, Shape, Shared, divided};
use kernel::Tile;
pub(super) use pack::{Part, pack};
use std::cell::Cell;

/// Products that are added up in registers.
const DEPTH: usize = 384;
/// Bytes of a block of `a`, and the most tiles in it.
const BLOCK: usize = 1 << 18;
const TILES: usize = 16;
/// Columns of a block of `b`.
const COLUMNS: usize = 2048;
/// Elements of a block of `b` that are read where they are: packing does not pay while it stays in the second-level cache.
const NEAR: usize = 1 << 15;
/// Tiles of rows for which contiguous columns of `b` are read where they are: in general, and where its rows are so many bytes
/// apart at most, so that a panel has its place in the caches.
const SEEN: usize = 5;
const SEEN_CLOSE: usize = 20;
const CLOSE: usize = 4096;
/// Panels of `b` for which contiguous rows of `a` are read where they are.
const PANELS: usize = 4;
/// Bytes between rows whose elements meet in few sets of the first-level cache.
const CROWDED: usize = 2048;
/// Lines that are copied to all tiles before the next ones, where rows or columns are next to each other in memory.
const LINES: usize = 16;

/// One cache line.
#[repr(align(64))]
struct Line {
    _bytes: [u8; 64],
}

/// Memory that the blocks of a thread's products are packed into, kept from product to product.
#[derive(Default)]
pub(super) struct Scratch {
    memory: Vec<Line>,
}
thread_local! {
    static SCRATCH: Cell<Scratch> = const { Cell::new(Scratch { memory: Vec::new() }) };
}
impl Scratch {
    /// At most this many cache lines are kept.
    const KEPT: usize = 1 << 17;

    /// Calls `work` with memory for so many elements, on a cache line's boundary.
    pub(super) fn with<T, R>(elements: usize, work: impl FnOnce(*mut T) -> R) -> R {
        let mut own = SCRATCH.take();
        let lines = (elements * size_of::<T>()).div_ceil(64);
        if own.memory.capacity() < lines {
            own.memory = Vec::new();
            own.memory.reserve_exact(lines.next_power_of_two());
        }
        let result = work(own.memory.as_mut_ptr().cast());
        if own.memory.capacity() <= Self::KEPT {
            SCRATCH.set(own);
        }
        result
    }
}

/// Heights of tiles that make up `count` rows, as equal as possible: `(tiles, height, how many are one higher)`.
fn heights(count: usize, most: usize) -> (usize, usize, usize) {
    let tiles = count.div_ceil(most);
    (tiles, count / tiles, count % tiles)
}

/// Steps through `0..count` in nearly equal parts of at most `most`, multiples of `of` but for the last.
fn parts(count: usize, most: usize, of: usize) -> impl Iterator<Item = (usize, usize)> {
    let number = count.div_ceil(most);
    let each = count.div_ceil(number).next_multiple_of(of);
    (0..count).step_by(each).map(move |start| (start, each.min(count - start)))
}

/// Writes rows for the kernel, tile after tile: a tile begins `depth` times its first row from `to`.
///
/// # Safety
/// The elements and `count * depth` elements of `to` are valid.
unsafe fn pack_rows<T>(kernel: &Kernel<T>, x: Part, from: *const T, to: *mut T) {
    let (tiles, height, higher) = heights(x.count, kernel.rows);
    let each = if x.apart == 1 { LINES } else { x.depth.max(1) };
    for p in (0..x.depth).step_by(each) {
        let mut row = 0;
        for i in 0..tiles {
            let count = height + (i < higher) as usize;
            let part = Part { count, depth: each.min(x.depth - p), ..x };
            // SAFETY: rows row..row + count.
            unsafe {
                let from = from.add(row * x.apart + p * x.step);
                (kernel.pack)(&part, from, to.add(row * x.depth + p * count), count, 0)
            };
            row += count;
        }
    }
}

/// Writes `count` columns for the kernel, whole panels of the part's size, one after the other.
///
/// # Safety
/// The elements and `count * depth` elements of `to` are valid.
unsafe fn pack_columns<T>(kernel: &Kernel<T>, x: Part, count: usize, from: *const T, to: *mut T) {
    let each = if x.apart == 1 { LINES } else { x.depth };
    for p in (0..x.depth).step_by(each) {
        let part = Part { depth: each.min(x.depth - p), ..x };
        for j in (0..count).step_by(x.count) {
            // SAFETY: columns j..j + x.count.
            unsafe {
                let from = from.add(j * x.apart + p * x.step);
                (kernel.pack)(&part, from, to.add(j * x.depth + p * x.count), x.count, 0)
            };
        }
    }
}

/// `c = alpha * a @ b + beta * c` in blocks, on several threads if it is large: each takes rows or whole panels of columns, on
/// which the order of no element's sum depends. A `bias` has one element for each column, is added to the first products, and
/// goes with a result of contiguous rows and a `beta` of zero.
///
/// # Safety
/// Every address that the sizes and strides reach must be valid; the sizes are nonzero.
pub(super) unsafe fn multiply<T: GemmElement>(
    kernel: &Kernel<T>,
    s: &Shape,
    alpha: T,
    a: *const T,
    b: *const T,
    beta: T,
    c: *mut T,
    bias: Option<*const T>,
) {
    // Columns of the result are the lanes: contiguous ones.
    if s.c_cs != 1 && s.c_rs == 1 && bias.is_none() {
        // SAFETY: the transposed product reaches the same addresses.
        return unsafe { multiply(kernel, &s.transposed(), alpha, b, a, beta, c, None) };
    }
    let by_rows = s.m >= s.n;
    let (unit, count) = if by_rows { (kernel.rows, s.m) } else { (kernel.width(), s.n) };
    let work = unit.saturating_mul(if by_rows { s.n } else { s.m }).saturating_mul(s.k);
    let [a, b, c] = [a, b, c.cast_const()].map(Shared);
    let bias = bias.map(Shared);
    divided(count.div_ceil(unit), work, |units| {
        let first = units.start * unit;
        let count = (units.end * unit).min(count) - first;
        let (a, b, c) = (a.get(), b.get(), c.get().cast_mut());
        let bias = bias.as_ref().map(Shared::get);
        // SAFETY: a part of the product; parts have no element of `c` in common.
        unsafe {
            match by_rows {
                true => serial(
                    kernel,
                    &Shape { m: count, ..*s },
                    alpha,
                    a.add(first * s.a_rs),
                    b,
                    beta,
                    c.add(first * s.c_rs),
                    bias,
                ),
                false => serial(
                    kernel,
                    &Shape { n: count, ..*s },
                    alpha,
                    a,
                    b.add(first * s.b_cs),
                    beta,
                    c.add(first * s.c_cs),
                    bias.map(|bias| bias.add(first)),
                ),
            }
        }
    });
}

/// [`multiply`] on this thread.
///
/// # Safety
/// As for [`multiply`].
unsafe fn serial<T: GemmElement>(
    kernel: &Kernel<T>,
    s: &Shape,
    alpha: T,
    a: *const T,
    b: *const T,
    beta: T,
    c: *mut T,
    bias: Option<*const T>,
) {
    if beta != T::ZERO {
        // SAFETY: passed on.
        unsafe { s.scale(beta, c) };
    }
    let width = kernel.width();
    let depth = {
        let blocks = s.k.div_ceil(DEPTH);
        s.k.div_ceil(blocks)
    };
    let most_rows = (BLOCK / size_of::<T>() / depth / kernel.rows).clamp(1, TILES) * kernel.rows;
    let rows = s.m.min(most_rows);
    let columns = s.n.min(COLUMNS).next_multiple_of(width);
    // Where columns of `b` are contiguous and few rows see them, or a block stays near with its vectors in one cache line each, only
    // the last panel is copied.
    let few = if s.b_rs * size_of::<T>() <= CLOSE { SEEN_CLOSE } else { SEEN };
    let in_place = s.b_cs == 1
        && (s.m <= few * kernel.rows
            || depth.saturating_mul(s.n) <= NEAR && s.b_rs.is_multiple_of(kernel.lanes));
    // So are contiguous rows that few panels see, but where their elements would meet in few sets of the first-level cache.
    let apart = s.a_rs * size_of::<T>() % CROWDED;
    let far = s.a_cs == 1 && s.a_rs > 0 && s.n <= PANELS * width && apart != 0;
    let packed = if in_place { width } else { columns } * depth;
    let align = |n: usize| n.next_multiple_of(16);
    let [packed, left, side] = [packed, if far { 0 } else { rows * depth }, kernel.rows * width].map(align);
    let lines = (depth + kernel::AHEAD) * 2 * (size_of::<usize>() / size_of::<T>()).max(1);
    // Biases in whole vectors.
    let added = if bias.is_some() { align(columns) } else { 0 };
    let room = packed + left + side;
    Scratch::with(room + added + lines, |memory: *mut T| {
        // SAFETY: the five pieces lie in the scratch memory; offsets below stay inside the operands.
        unsafe {
            let (right, left, side) = (memory, memory.add(packed), memory.add(packed + left));
            let lines = memory.add(room + added).cast::<usize>();
            let near = lines.add(depth + kernel::AHEAD);
            for p in 0..depth + kernel::AHEAD {
                *lines.add(p) = p * width;
                *near.add(p) = p.min(depth - 1) * s.b_rs;
            }
            let biases = memory.add(room);
            for (n0, n) in parts(s.n, COLUMNS, width) {
                if let Some(bias) = bias {
                    std::ptr::copy_nonoverlapping(bias.add(n0), biases, n);
                    (n..n.next_multiple_of(width)).for_each(|j| *biases.add(j) = T::ZERO);
                }
                for (k0, k) in parts(s.k, depth, 1) {
                    let from = b.add(k0 * s.b_rs + n0 * s.b_cs);
                    let whole = n / width * width;
                    let column = Part { count: width, depth: k, apart: s.b_cs, step: s.b_rs };
                    if !in_place {
                        pack_columns(kernel, column, whole, from, right);
                    }
                    let tail = if in_place { right } else { right.add(whole * k) };
                    if whole < n {
                        let part = Part { count: n - whole, ..column };
                        let zeros = (n - whole).next_multiple_of(kernel.lanes);
                        (kernel.pack)(&part, from.add(whole * s.b_cs), tail, width, zeros);
                    }
                    let old = k0 > 0 || beta != T::ZERO;
                    for (m0, m) in parts(s.m, most_rows, kernel.rows) {
                        let row = Part { count: m, depth: k, apart: s.a_rs, step: s.a_cs };
                        let from_row = a.add(m0 * s.a_rs + k0 * s.a_cs);
                        if !far {
                            pack_rows(kernel, row, from_row, left);
                        }
                        let (tiles, height, higher) = heights(m, kernel.rows);
                        let run = |tile: usize, j: usize| {
                            let wide = width.min(n - j);
                            let (b, lines) = match (j == whole, in_place) {
                                (true, _) => (tail.cast_const(), lines),
                                (false, true) => (from.add(j), near),
                                (false, false) => (right.add(j * k).cast_const(), lines),
                            };
                            let i = tile * height + tile.min(higher);
                            let high = height + (tile < higher) as usize;
                            let at = c.add((m0 + i) * s.c_rs + (n0 + j) * s.c_cs);
                            let direct = s.c_cs == 1 && (wide == width || !old);
                            let t = Tile {
                                depth: k,
                                a: if far { from_row.add(i * s.a_rs) } else { left.add(i * k).cast_const() },
                                a_rs: if far { s.a_rs } else { 0 },
                                b,
                                lines: lines.cast_const(),
                                alpha,
                                base: match (old && direct, bias) {
                                    (true, _) => kernel::Base::Matrix(at.cast_const(), s.c_rs),
                                    (_, Some(_)) if k0 == 0 => {
                                        kernel::Base::Matrix(biases.add(j).cast_const(), 0)
                                    }
                                    _ => kernel::Base::Nothing,
                                },
                                c: if direct { at } else { side },
                                c_rs: if direct { s.c_rs } else { width },
                                keep: match direct && wide < width {
                                    true => (1 << wide) - 1,
                                    false => u64::MAX,
                                },
                            };
                            (kernel.run)(high, wide.div_ceil(kernel.lanes), &t);
                            for r in 0..if direct { 0 } else { high } {
                                for l in 0..wide {
                                    let (x, at) = (*side.add(r * width + l), at.add(r * s.c_rs + l * s.c_cs));
                                    *at = if old { x.add(*at) } else { x };
                                }
                            }
                        };
                        // A small `b` stays near while the tiles' rows pass once; else a panel of it does.
                        if k * n <= NEAR {
                            (0..tiles).for_each(|tile| (0..n).step_by(width).for_each(|j| run(tile, j)));
                        } else {
                            (0..n).step_by(width).for_each(|j| (0..tiles).for_each(|tile| run(tile, j)));
                        }
                    }
                }
            }
        }
    })
}

#[cfg(test)]
mod tests;
