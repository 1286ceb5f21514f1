//! Windows next to each other in registers: where they take their elements from.

use super::{PoolElement, PoolShape};

/// Windows of a row that are worked on side by side.
pub(super) const WIDE: usize = 16;

/// How much of a padded row windows see.
#[derive(Clone, Copy)]
pub(super) struct PaddedRows {
    /// Elements, with those that windows beyond the last one would see, up to a multiple of [`WIDE`].
    pub length: usize,
    /// Of all rows of a plane.
    plane: usize,
    /// Whether windows see what lies before or behind a row.
    beyond: bool,
}
impl PaddedRows {
    /// None where strides are long, or that is much more than the row has.
    pub fn new(s: &PoolShape) -> Option<PaddedRows> {
        let stride = s.stride[2];
        let reach = (s.kernel[2] - 1).checked_mul(s.dilation[2])?.checked_add(1)?;
        let length = s.output[2].next_multiple_of(WIDE).checked_mul(stride)?.checked_add(reach)?;
        let most = s.input[2].checked_mul(4)?.checked_add(8 * WIDE)?;
        let plane = s.input[0].checked_mul(s.input[1])?.checked_mul(length)?;
        let beyond =
            s.padding[2] > 0 || (s.output[2] - 1).checked_mul(stride)?.checked_add(reach)? > s.input[2];
        (stride <= 4 && length <= most).then_some(PaddedRows { length, plane, beyond })
    }

    /// The rows of a plane and how far they are apart: those of `image`, which begins with the plane, where that has all that is
    /// read; else those of a copy, which is empty or that of another plane, with `outside` around them.
    #[inline(always)]
    pub fn of<'a, T: PoolElement>(
        self,
        s: &PoolShape,
        image: &'a [T],
        outside: T,
        copy: &'a mut Vec<T>,
    ) -> (&'a [T], usize) {
        let [.., width] = s.input;
        if !self.beyond && image.len() + width >= s.input_plane() + self.length {
            return (image, width);
        }
        self.copy(s, image, outside, copy);
        (&copy[..], self.length)
    }

    #[inline(always)]
    fn copy<T: PoolElement>(self, s: &PoolShape, image: &[T], outside: T, copy: &mut Vec<T>) {
        let ([.., width], [.., padding]) = (s.input, s.padding);
        copy.resize(self.plane, outside);
        let seen = width.min(self.length.saturating_sub(padding));
        for (to, from) in copy.chunks_exact_mut(self.length).zip(image.chunks_exact(width)) {
            to[padding..padding + seen].copy_from_slice(&from[..seen]);
        }
    }
}

/// The first element, and those in steps of `STRIDE` (at most 4) after it.
#[inline(always)]
pub(super) fn taken<T: PoolElement, const STRIDE: usize>(from: &[T]) -> [T; WIDE] {
    let groups = from[..STRIDE * WIDE].as_chunks::<STRIDE>().0;
    let mut x = [T::LOWEST; WIDE];
    for l in 0..WIDE {
        x[l] = groups[l][0];
    }
    x
}

/// Writes the first `n` of the elements, and the others where there is room: what stands there is written after them.
#[inline(always)]
pub(super) fn put<T: Copy>(to: &mut [T], x: [T; WIDE], n: usize) {
    match to.first_chunk_mut() {
        Some(to) => *to = x,
        None => to[..n].copy_from_slice(&x[..n]),
    }
}
