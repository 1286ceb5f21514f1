//! Products with one packed right operand, again and again: what recurrent layers are made of.

use super::kernel::{self, Kernel, Tile};
use super::pack::Part;
use super::{CROWDED, PANELS, Scratch, heights, pack_rows};
use crate::gemm::thirds::Packed;
use crate::gemm::{GemmElement, Shape, check};
use flambeau_core::{Result, Room, ensure};

/// The columns of a matrix in the order in which the tile kernel reads them.
pub struct Columns<T: 'static> {
    kernel: &'static Kernel<T>,
    packed: Room<T>,
    /// With [`kernel::AHEAD`] more at the end.
    lines: Vec<usize>,
    depth: usize,
    count: usize,
    /// The same for the matrix unit, where that pays.
    thirds: Option<Packed>,
}

impl<T: GemmElement> Columns<T> {
    /// Packs `count` columns of `depth` elements, for products of about `m` rows each. Fails for types without a kernel.
    pub fn new(m: usize, depth: usize, count: usize, b: &[T], rs: usize, cs: usize) -> Result<Columns<T>> {
        let Some(kernel) = T::kernel() else { flambeau_core::bail!("columns: no kernel") };
        check("columns", b.len(), depth, rs, count, cs)?;
        let thirds = match T::SINGLE {
            // SAFETY: elements that were checked, of `f32`.
            true => unsafe { Packed::new(m, depth, count, b.as_ptr().cast(), rs, cs)? },
            false => None,
        };
        let width = kernel.width();
        let Some(len) = count.checked_next_multiple_of(width).and_then(|n| n.checked_mul(depth)) else {
            flambeau_core::bail!("columns: sizes overflow")
        };
        let mut packed = Room::<T>::new(len)?;
        for j in (0..count).step_by(width) {
            let part = Part { count: width.min(count - j), depth, apart: cs, step: rs };
            // SAFETY: the columns were checked, and each panel has `depth` lines of `width` elements.
            unsafe {
                let to = packed.as_mut_ptr().add(j * depth);
                (kernel.pack)(&part, b.as_ptr().wrapping_add(j * cs), to, width, width)
            };
        }
        Ok(Columns {
            kernel,
            packed,
            lines: (0..depth + kernel::AHEAD).map(|p| p * width).collect(),
            depth,
            count,
            thirds,
        })
    }

    /// Number of columns, and of elements in each.
    pub fn sizes(&self) -> (usize, usize) {
        (self.count, self.depth)
    }

    /// [`Columns::product`] of all columns with contiguous rows, added to `c`.
    pub fn add_product(&self, m: usize, a: &[T], c: &mut [T], stride: usize) -> Result<()> {
        self.product(m, a, self.depth, [self.count, self.depth], T::ONE, true, c, stride)
    }

    /// `c = alpha * a @ b`, or what is added to `c`, where `b` is the first `depth` elements of the first `count` columns: `m` rows
    /// of `a` and `c`, `apart` and `stride` elements apart.
    pub fn product(
        &self,
        m: usize,
        a: &[T],
        apart: usize,
        [count, depth]: [usize; 2],
        alpha: T,
        add: bool,
        c: &mut [T],
        stride: usize,
    ) -> Result<()> {
        let (kernel, width) = (self.kernel, self.kernel.width());
        check("columns", a.len(), m, apart, depth, 1)?;
        check("columns", c.len(), m, stride, count, 1)?;
        let fits = (m <= 1 || stride >= count) && count <= self.count && depth <= self.depth;
        ensure!(fits, "columns: an operand is out of bounds");
        if m == 0 || count == 0 {
            return Ok(());
        }
        if let Some(thirds) = &self.thirds
            && (alpha == T::ONE || !add)
        {
            let s = Shape {
                m,
                n: count,
                k: depth,
                a_rs: apart,
                a_cs: 1,
                b_rs: 0,
                b_cs: 0,
                c_rs: stride,
                c_cs: 1,
            };
            let (from, to) = (a.as_ptr().cast(), c.as_mut_ptr());
            // SAFETY: operands that were checked, of `f32`.
            unsafe {
                if thirds.product(&s, from, add, to.cast()) {
                    s.scale(alpha, to);
                    return Ok(());
                }
            }
        }
        let (tiles, height, higher) = heights(m, kernel.rows);
        // Contiguous rows that few panels see are read where they are, but where their elements would meet in few sets of the cache.
        let crowded = (apart * size_of::<T>()).is_multiple_of(CROWDED);
        let far = count <= PANELS * width && !crowded;
        let own = if far { 0 } else { (m * depth).next_multiple_of(16) };
        Scratch::with(own + kernel.rows * width, |rows: *mut T| {
            // SAFETY: the scratch memory holds the packed rows and one tile; the operands were checked.
            unsafe {
                let side = rows.add(own);
                if !far {
                    pack_rows(kernel, Part { count: m, depth, apart, step: 1 }, a.as_ptr(), rows);
                }
                for j in (0..count).step_by(width) {
                    let wide = width.min(count - j);
                    let mut i = 0;
                    for tile in 0..tiles {
                        let high = height + (tile < higher) as usize;
                        let at = c.as_mut_ptr().add(i * stride + j);
                        let whole = wide == width;
                        let t = Tile {
                            depth,
                            a: if far { a.as_ptr().add(i * apart) } else { rows.add(i * depth).cast_const() },
                            b: self.packed.as_ptr().add(j * self.depth),
                            a_rs: if far { apart } else { 0 },
                            lines: self.lines.as_ptr(),
                            alpha,
                            base: match whole && add {
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
                                    let (x, at) = (*side.add(r * width + l), at.add(r * stride + l));
                                    *at = if add { x.add(*at) } else { x };
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
