//! Products with one packed right operand, again and again: what recurrent layers are made of.

use super::kernel::{self, Kernel, Tile};
use super::pack::Part;
use super::{Scratch, heights, pack_rows};
use crate::gemm::{GemmElement, check};
use flambeau_core::{Result, buffer, ensure};

/// The columns of a matrix in the order in which the tile kernel reads them.
pub struct Columns<T: 'static> {
    kernel: &'static Kernel<T>,
    packed: Vec<T>,
    lines: Vec<usize>,
    count: usize,
}

impl<T: GemmElement> Columns<T> {
    /// Packs `count` columns of `depth` elements. None for types without a kernel.
    pub fn new(depth: usize, count: usize, b: &[T], rs: usize, cs: usize) -> Result<Option<Columns<T>>> {
        let Some(kernel) = T::kernel() else { return Ok(None) };
        check("columns", b.len(), depth, rs, count, cs)?;
        let width = kernel.width();
        let Some(len) = count.checked_next_multiple_of(width).and_then(|n| n.checked_mul(depth)) else {
            flambeau_core::bail!("columns: sizes overflow")
        };
        let mut packed: Vec<T> = buffer(len)?;
        for j in (0..count).step_by(width) {
            let part = Part { count: width.min(count - j), depth, apart: cs, step: rs };
            // SAFETY: the columns were checked, and each panel has `depth` lines of `width` elements.
            unsafe {
                let to = packed.as_mut_ptr().add(j * depth);
                (kernel.pack)(&part, b.as_ptr().wrapping_add(j * cs), to, width, width)
            };
        }
        Ok(Some(Columns { kernel, packed, lines: (0..depth).map(|p| p * width).collect(), count }))
    }

    /// Adds `a @ columns` for `m` contiguous rows of `a` to the rows of `c`, `stride` elements apart.
    pub fn add_product(&self, m: usize, a: &[T], c: &mut [T], stride: usize) -> Result<()> {
        let (kernel, depth, width) = (self.kernel, self.lines.len(), self.kernel.width());
        check("columns", a.len(), m, depth, depth, 1)?;
        check("columns", c.len(), m, stride, self.count, 1)?;
        ensure!(m <= 1 || stride >= self.count, "columns: rows overlap");
        if m == 0 || self.count == 0 || depth == 0 {
            return Ok(());
        }
        let (tiles, height, higher) = heights(m, kernel.rows);
        let own = (m * depth).next_multiple_of(16);
        Scratch::with(own + kernel.rows * width, |rows: *mut T| {
            // SAFETY: the scratch memory holds the packed rows and one tile; the operands were checked.
            unsafe {
                let side = rows.add(own);
                pack_rows(kernel, Part { count: m, depth, apart: depth, step: 1 }, a.as_ptr(), rows);
                for j in (0..self.count).step_by(width) {
                    let wide = width.min(self.count - j);
                    let mut i = 0;
                    for tile in 0..tiles {
                        let high = height + (tile < higher) as usize;
                        let at = c.as_mut_ptr().add(i * stride + j);
                        let whole = wide == width;
                        let t = Tile {
                            depth,
                            a: rows.add(i * depth).cast_const(),
                            b: self.packed.as_ptr().add(j * depth),
                            lines: self.lines.as_ptr(),
                            alpha: T::ONE,
                            base: match whole {
                                true => kernel::Base::Matrix(at.cast_const(), stride),
                                false => kernel::Base::Nothing,
                            },
                            c: if whole { at } else { side },
                            c_rs: if whole { stride } else { width },
                            keep: u64::MAX,
                        };
                        (kernel.run)(high, wide.div_ceil(kernel.lanes), &t);
                        if !whole {
                            for r in 0..high {
                                for l in 0..wide {
                                    let at = at.add(r * stride + l);
                                    *at = (*side.add(r * width + l)).add(*at);
                                }
                            }
                        }
                        i += high;
                    }
                }
            }
        });
        Ok(())
    }
}
