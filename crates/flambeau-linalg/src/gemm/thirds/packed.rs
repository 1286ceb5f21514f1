//! A right operand in three parts, for many products.

use super::{Aligned, BLOCK, Block, Lines, Range, SIDES, STEP, STRIDE, Start, available, is_faster, split};
use crate::gemm::Shape;
use crate::gemm::amx::{self, ROW, THIRDS, TILE, Thirds};
use crate::gemm::blocked::Scratch;
use flambeau_core::Result;

/// The columns of a matrix as the matrix unit reads them.
pub(in crate::gemm) struct Packed {
    memory: Aligned,
    /// Bytes from a panel's start to its steps.
    places: Vec<usize>,
    range: Range,
}

/// Elements from which on an operand is packed for the unit too: smaller ones gain less than that takes.
const WORTH: usize = 1 << 14;

impl Packed {
    /// Packs `count` columns of `depth` elements; none if there is no unit, products of `m` rows do not pay, or the unit does not serve
    /// the numbers.
    ///
    /// # Safety
    /// The elements are valid.
    pub unsafe fn new(
        m: usize,
        depth: usize,
        count: usize,
        b: *const f32,
        rs: usize,
        cs: usize,
    ) -> Result<Option<Packed>> {
        if count.saturating_mul(depth) < WORTH || !available() || !Packed::pays(m, depth, count) {
            return Ok(None);
        }
        // SAFETY: passed on; there is AVX-512.
        let packed = unsafe { Packed::with(depth, count, b, rs, cs)? };
        Ok(Range::suits(packed.range, Range::ONE, depth).then_some(packed))
    }

    /// [`Packed::new`] with or without a unit.
    ///
    /// # Safety
    /// The elements are valid, and there is AVX-512.
    pub(super) unsafe fn with(
        depth: usize,
        count: usize,
        b: *const f32,
        rs: usize,
        cs: usize,
    ) -> Result<Packed> {
        let each = depth.div_ceil(STEP) * STRIDE;
        let length = count.div_ceil(BLOCK).checked_mul(each);
        let Some(length) = length else { flambeau_core::bail!("columns: sizes overflow") };
        let places = (0..depth.div_ceil(STEP)).map(|step| step * THIRDS).collect();
        let mut packed = Packed { memory: Aligned::new(length)?, places, range: Range::NOTHING };
        let to = packed.memory.start();
        for j in (0..count).step_by(BLOCK) {
            let part = Lines { count: BLOCK.min(count - j), apart: cs, k: depth, step: rs };
            // SAFETY: a panel of the memory; the rest is passed on.
            let range = unsafe { split::<true>(&part, b.wrapping_add(j * cs), to.add(j / BLOCK * each)) };
            packed.range = packed.range.and(range);
        }
        Ok(packed)
    }

    /// Whether products of `m` rows are computed by the unit.
    fn pays(m: usize, depth: usize, count: usize) -> bool {
        is_faster((m, count, depth), depth.div_ceil(STEP), m.saturating_mul(depth))
    }

    /// `c = a @ b`, or what is added to `c` (`more`), where `b` is the first `s.k` elements of the first `s.n` columns; rows of `a`
    /// and `c` are contiguous. False, and nothing written, where this does not pay or the numbers do not allow it.
    ///
    /// # Safety
    /// The rows are valid, and there are so many columns and elements.
    pub unsafe fn product(&self, s: &Shape, a: *const f32, more: bool, c: *mut f32) -> bool {
        // SAFETY: passed on; there is a unit if there is an operand for it.
        Packed::pays(s.m, s.k, s.n)
            && unsafe { amx::with_tiles(|| self.product_by(s, a, more, c, amx::add_thirds)) }
    }

    /// [`Packed::product`] with [`amx::add_thirds`] or what stands in for it.
    ///
    /// # Safety
    /// As for [`Packed::product`], and `add` callable.
    pub(super) unsafe fn product_by(
        &self,
        s: &Shape,
        a: *const f32,
        more: bool,
        c: *mut f32,
        add: unsafe fn(&Thirds),
    ) -> bool {
        let Shape { m, n: count, k: depth, a_rs: apart, c_rs: stride, .. } = *s;
        // Elements of the last step beyond `depth` meet zeros.
        let steps = depth.div_ceil(STEP);
        let own = m.div_ceil(BLOCK) * steps * STRIDE;
        Scratch::with(own + SIDES, |memory: *mut f32| {
            let mut range = Range::NOTHING;
            for i in (0..m).step_by(BLOCK) {
                let part = Lines { count: BLOCK.min(m - i), apart, k: depth, step: 1 };
                let to = memory.wrapping_add(i / BLOCK * steps * STRIDE);
                // SAFETY: a panel of the memory; the rest is passed on.
                range = range.and(unsafe { split::<false>(&part, a.wrapping_add(i * apart), to) });
            }
            if !Range::suits(range, self.range, depth) {
                return false;
            }
            let panel = self.places.len() * STRIDE;
            for j in (0..count).step_by(BLOCK) {
                for i in (0..m).step_by(BLOCK) {
                    // SAFETY: panels of the memory and of this; the rest is passed on.
                    unsafe {
                        let c = c.add(i * stride + j);
                        let block = Block {
                            b: self.memory.start().add(j / BLOCK * panel).cast(),
                            b_row: ROW,
                            b_right: TILE,
                            b_part: 2 * TILE,
                            steps: &self.places[..steps],
                            c,
                            c_rs: stride,
                            high: BLOCK.min(m - i),
                            wide: BLOCK.min(count - j),
                            side: memory.add(own),
                            soon: c.wrapping_add(if i + BLOCK < m { BLOCK * stride } else { BLOCK }),
                        };
                        let start = if more { Start::Result } else { Start::Zero };
                        block.compute(memory.add(i / BLOCK * steps * STRIDE).cast(), start, add);
                    }
                }
            }
            true
        })
    }
}
