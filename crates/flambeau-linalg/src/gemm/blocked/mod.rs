//! Blocked products of `f32` and `f64` matrices.
//!
//! Tiles of the result are computed in registers (`kernel.rs`) from operands copied into the order of reading (`pack.rs`);
//! a tile's rows stay in the first-level cache, a block of `b` in the second (after Goto and van de Geijn, 2008). Every element
//! is the sum of blocks of at most `DEPTH` products, each added up in order, whatever its place in the result.

mod columns;
mod kernel;
mod lanes;
mod pack;
mod rows;

pub use columns::Columns;
pub use kernel::Kernel;
pub(super) use kernel::{double, single};
pub use rows::{Base, Lines, Rows, turn};

use super::{GemmElement, Shape};
use kernel::Tile;
use pack::Part;
use std::cell::Cell;

/// Products that are added up in registers.
const DEPTH: usize = 384;
/// Elements of a block of `a`.
const BLOCK: usize = 1 << 15;
/// Columns of a block of `b`.
const COLUMNS: usize = 1024;
/// Elements of `b` that are read where they are: packing does not pay while all of it stays in the second-level cache.
const NEAR: usize = 1 << 15;

/// One cache line.
#[repr(align(64))]
struct Line {
    _bytes: [u8; 64],
}

/// Memory that the blocks of a thread's products are packed into, kept from product to product.
#[derive(Default)]
struct Scratch {
    memory: Vec<Line>,
}
thread_local! {
    static SCRATCH: Cell<Scratch> = const { Cell::new(Scratch { memory: Vec::new() }) };
}
impl Scratch {
    /// At most this many cache lines are kept.
    const KEPT: usize = 1 << 17;

    /// Calls `work` with memory for so many elements, on a cache line's boundary.
    fn with<T, R>(elements: usize, work: impl FnOnce(*mut T) -> R) -> R {
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
    let mut row = 0;
    for i in 0..tiles {
        let count = height + (i < higher) as usize;
        // SAFETY: rows row..row + count.
        unsafe {
            (kernel.pack)(&Part { count, ..x }, from.add(row * x.apart), to.add(row * x.depth), count, 0)
        };
        row += count;
    }
}

/// `c = alpha * a @ b + beta * c` in blocks.
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
) {
    // Columns of the result are the lanes: contiguous ones.
    if s.c_cs != 1 && s.c_rs == 1 {
        // SAFETY: the transposed product reaches the same addresses.
        return unsafe { multiply(kernel, &s.transposed(), alpha, b, a, beta, c) };
    }
    if beta != T::ZERO {
        // SAFETY: passed on.
        unsafe { s.scale(beta, c) };
    }
    let width = kernel.width();
    let (depth, blocks) = {
        let blocks = s.k.div_ceil(DEPTH);
        (s.k.div_ceil(blocks), blocks)
    };
    debug_assert!(blocks * depth >= s.k);
    let most_rows = (BLOCK / depth / kernel.rows * kernel.rows).max(kernel.rows);
    let rows = s.m.min(most_rows);
    let columns = s.n.min(COLUMNS).next_multiple_of(width);
    // Where columns of `b` are contiguous and few rows see them, or all stays near, only the last panel is copied.
    let in_place = s.b_cs == 1 && (s.m <= 2 * kernel.rows || s.k.saturating_mul(s.n) <= NEAR);
    let packed = if in_place { width } else { columns } * depth;
    let left = rows * depth;
    let side = kernel.rows * width;
    let align = |n: usize| n.next_multiple_of(16);
    let lines = align(2 * depth * (size_of::<usize>() / size_of::<T>()).max(1));
    Scratch::with(align(packed) + align(left) + align(side) + lines, |memory: *mut T| {
        // SAFETY: the four pieces lie in the scratch memory; offsets below stay inside the operands.
        unsafe {
            let (right, left) = (memory, memory.add(align(packed)));
            let side = left.add(align(rows * depth));
            let lines = side.add(align(kernel.rows * width)).cast::<usize>();
            let near = lines.add(depth);
            for p in 0..depth {
                *lines.add(p) = p * width;
                *near.add(p) = p * s.b_rs;
            }
            for (n0, n) in parts(s.n, COLUMNS, width) {
                for (k0, k) in parts(s.k, depth, 1) {
                    let column = Part { count: width, depth: k, apart: s.b_cs, step: s.b_rs };
                    let from = b.add(k0 * s.b_rs + n0 * s.b_cs);
                    let whole = n / width * width;
                    if !in_place {
                        for j in (0..whole).step_by(width) {
                            (kernel.pack)(&column, from.add(j * s.b_cs), right.add(j * k), width, 0);
                        }
                    }
                    let tail = if in_place { right } else { right.add(whole * k) };
                    if whole < n {
                        let part = Part { count: n - whole, ..column };
                        let zeros = (n - whole).next_multiple_of(kernel.lanes);
                        (kernel.pack)(&part, from.add(whole * s.b_cs), tail, width, zeros);
                    }
                    for (m0, m) in parts(s.m, most_rows, kernel.rows) {
                        let row = Part { count: m, depth: k, apart: s.a_rs, step: s.a_cs };
                        pack_rows(kernel, row, a.add(m0 * s.a_rs + k0 * s.a_cs), left);
                        let (tiles, height, higher) = heights(m, kernel.rows);
                        let mut i = 0;
                        for tile in 0..tiles {
                            let high = height + (tile < higher) as usize;
                            for j in (0..n).step_by(width) {
                                let wide = width.min(n - j);
                                let (b, lines) = match (j == whole, in_place) {
                                    (true, _) => (tail.cast_const(), lines),
                                    (false, true) => (from.add(j), near),
                                    (false, false) => (right.add(j * k).cast_const(), lines),
                                };
                                let at = c.add((m0 + i) * s.c_rs + (n0 + j) * s.c_cs);
                                let old = k0 > 0 || beta != T::ZERO;
                                let direct = wide == width && s.c_cs == 1;
                                let base = match old && direct {
                                    true => kernel::Base::Matrix(at.cast_const(), s.c_rs),
                                    false => kernel::Base::Nothing,
                                };
                                let (to, stride) = if direct { (at, s.c_rs) } else { (side, width) };
                                let t = Tile {
                                    depth: k,
                                    a: left.add(i * k).cast_const(),
                                    b,
                                    lines: lines.cast_const(),
                                    alpha,
                                    base,
                                    c: to,
                                    c_rs: stride,
                                    keep: u64::MAX,
                                };
                                (kernel.run)(high, wide.div_ceil(kernel.lanes), &t);
                                if !direct {
                                    for r in 0..high {
                                        for l in 0..wide {
                                            let (x, at) =
                                                (*side.add(r * width + l), at.add(r * s.c_rs + l * s.c_cs));
                                            *at = if old { x.add(*at) } else { x };
                                        }
                                    }
                                }
                            }
                            i += high;
                        }
                    }
                }
            }
        }
    })
}

#[cfg(test)]
mod tests;
