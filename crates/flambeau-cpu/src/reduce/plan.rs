//! The iteration space of a reduction: dimensions sorted by stride and merged where they follow each other.

use crate::pointwise::Operand;
use smallvec::SmallVec;

/// A dimension that is kept: its size, and the strides of the input and of each output.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    pub size: usize,
    pub stride: isize,
    pub out: SmallVec<[isize; 2]>,
}

/// Rows of fewer elements are narrow.
const NARROW: usize = 64;

/// Outermost dimensions first, those of size 1 left out.
#[derive(Debug)]
pub(super) struct Plan {
    pub kept: SmallVec<[Kept; 4]>,
    /// Sizes and strides of the reduced dimensions.
    pub reduced: SmallVec<[(usize, isize); 4]>,
    /// Number of elements that share an output element.
    pub count: usize,
}

impl Plan {
    /// None where there is no output element.
    pub fn new(sizes: &[i64], mask: &[bool], src: &Operand, outs: &[&Operand]) -> Option<Plan> {
        let mut plan = Plan { kept: SmallVec::new(), reduced: SmallVec::new(), count: 1 };
        for (d, &size) in sizes.iter().enumerate() {
            let (size, stride) = (size as usize, src.strides[d] as isize);
            if mask[d] {
                plan.count *= size;
            } else if size == 0 {
                return None;
            }
            if size == 1 {
                continue;
            }
            if mask[d] {
                plan.reduced.push((size, stride));
            } else {
                plan.kept.push(Kept {
                    size,
                    stride,
                    out: outs.iter().map(|o| o.strides[d] as isize).collect(),
                });
            }
        }
        // Equal strides (expanded dimensions) keep their order. Where there are no elements, strides may be of any size.
        plan.reduced.sort_by_key(|d| std::cmp::Reverse(d.1.unsigned_abs()));
        plan.kept.sort_by_key(|d| std::cmp::Reverse(d.stride.unsigned_abs()));
        plan.reduced.dedup_by(|inner, outer| {
            let joins = outer.1 == (inner.0 as isize).wrapping_mul(inner.1);
            if joins {
                *outer = (outer.0 * inner.0, inner.1);
            }
            joins
        });
        plan.kept.dedup_by(|inner, outer| {
            let n = inner.size as isize;
            let joins = outer.stride == n.wrapping_mul(inner.stride)
                && outer.out.iter().zip(&inner.out).all(|(&a, &b)| a == n.wrapping_mul(b));
            if joins {
                *outer = Kept { size: outer.size * inner.size, stride: inner.stride, out: inner.out.clone() };
            }
            joins
        });
        Some(plan)
    }

    /// How many rows of the last kept dimension lie in a row for vector steps across outputs to be the faster
    /// way, if they are: the reduction then walks rows of `size * group` elements.
    pub fn columns(&self, width: usize) -> Option<usize> {
        let kept = self.kept.last()?;
        let Some(&(n, stride)) = self.reduced.last() else { return Some(1) };
        // Narrow rows without gaps between them are taken several at a time.
        let dense = kept.stride == 1 && stride == kept.size as isize;
        if dense && (kept.size < 8 || (kept.size < NARROW && n >= 2 * width / kept.size)) {
            return Some((width / kept.size).min(n));
        }
        let side = self.count <= 16 || kept.stride.unsigned_abs() < stride.unsigned_abs();
        (kept.size >= 8 && side).then_some(1)
    }
}

/// Calls `visit` at each index of kept dimensions, with the places in the input and in the first output.
#[inline(always)]
pub(super) fn each_kept(kept: &[Kept], mut visit: impl FnMut(isize, isize)) {
    let mut index: SmallVec<[usize; 4]> = SmallVec::from_elem(0, kept.len());
    loop {
        let (mut from, mut to) = (0isize, 0isize);
        for (k, &i) in kept.iter().zip(&index) {
            from += k.stride * i as isize;
            to += k.out[0] * i as isize;
        }
        visit(from, to);
        if !advance(&mut index, kept.iter().map(|k| k.size)) {
            return;
        }
    }
}

/// Steps an odometer over `sizes`, last digit fastest; false after the last index.
pub(super) fn advance(index: &mut [usize], sizes: impl DoubleEndedIterator<Item = usize>) -> bool {
    for (i, size) in index.iter_mut().rev().zip(sizes.rev()) {
        *i += 1;
        if *i < size {
            return true;
        }
        *i = 0;
    }
    false
}
