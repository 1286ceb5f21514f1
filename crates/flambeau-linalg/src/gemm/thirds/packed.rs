//! A right operand in three parts, for many products.

use super::{Aligned, BLOCK, Block, Lines, Range, SIDES, STEP, STRIDE, Start, available, is_faster, split};
use crate::gemm::amx::{self, ROW, THIRDS, TILE, Thirds};
use crate::gemm::blocked::Scratch;
use flambeau_core::Result;

/// The columns of a matrix as the matrix unit reads them.
pub(in crate::gemm) struct Packed {
    memory: Aligned,
    /// Bytes from a panel's start to its steps.
    places: Vec<usize>,
    depth: usize,
    count: usize,
    range: Range,
}

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
        if !available() || !Packed::pays(m, depth, count) {
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
        let mut packed =
            Packed { memory: Aligned::new(length)?, places, depth, count, range: Range::NOTHING };
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

    /// `c = a @ b`, or what is added to `c`, for `m` rows of `a` and `c`, `apart` and `stride` elements apart; false, and nothing
    /// written, where this does not pay or the numbers do not allow it.
    ///
    /// # Safety
    /// The rows are valid.
    pub unsafe fn product(
        &self,
        m: usize,
        a: *const f32,
        apart: usize,
        more: bool,
        c: *mut f32,
        stride: usize,
    ) -> bool {
        // SAFETY: passed on; there is a unit if there is an operand for it.
        Packed::pays(m, self.depth, self.count)
            && unsafe { amx::with_tiles(|| self.product_by(m, a, apart, more, c, stride, amx::add_thirds)) }
    }

    /// [`Packed::product`] with [`amx::add_thirds`] or what stands in for it.
    ///
    /// # Safety
    /// The rows are valid, and `add` callable.
    pub(super) unsafe fn product_by(
        &self,
        m: usize,
        a: *const f32,
        apart: usize,
        more: bool,
        c: *mut f32,
        stride: usize,
        add: unsafe fn(&Thirds),
    ) -> bool {
        let each = self.places.len() * STRIDE;
        let own = m.div_ceil(BLOCK) * each;
        Scratch::with(own + SIDES, |memory: *mut f32| {
            let mut range = Range::NOTHING;
            for i in (0..m).step_by(BLOCK) {
                let part = Lines { count: BLOCK.min(m - i), apart, k: self.depth, step: 1 };
                // SAFETY: a panel of the memory; the rest is passed on.
                let of =
                    unsafe { split::<false>(&part, a.wrapping_add(i * apart), memory.add(i / BLOCK * each)) };
                range = range.and(of);
            }
            if !Range::suits(range, self.range, self.depth) {
                return false;
            }
            for j in (0..self.count).step_by(BLOCK) {
                for i in (0..m).step_by(BLOCK) {
                    // SAFETY: panels of the memory and of this; the rest is passed on.
                    unsafe {
                        let c = c.add(i * stride + j);
                        let block = Block {
                            b: self.memory.start().add(j / BLOCK * each).cast(),
                            b_row: ROW,
                            b_right: TILE,
                            b_part: 2 * TILE,
                            steps: &self.places,
                            c,
                            c_rs: stride,
                            high: BLOCK.min(m - i),
                            wide: BLOCK.min(self.count - j),
                            side: memory.add(own),
                            soon: c.wrapping_add(if i + BLOCK < m { BLOCK * stride } else { BLOCK }),
                        };
                        let start = if more { Start::Result } else { Start::Zero };
                        block.compute(memory.add(i / BLOCK * each).cast(), start, add);
                    }
                }
            }
            true
        })
    }
}
