//! Elements that masks name: bytes that are not zero. One of the modules with unsafe code.

use crate::wide::wide;
use smallvec::SmallVec;

/// How many bytes are not zero.
pub fn count_nonzero(mask: &[u8]) -> usize {
    // Counts of bytes in bytes, as long as these can't overflow.
    let part = |bytes: &[u8]| wide(|| bytes.iter().fold(0u8, |n, &b| n + (b != 0) as u8)) as usize;
    mask.chunks(128).map(part).sum()
}

/// Calls `visit` with the position of each byte that is not zero.
#[inline(always)]
fn each_nonzero(mask: &[u8], mut visit: impl FnMut(usize)) {
    let (words, rest) = mask.as_chunks::<8>();
    for (k, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        // The highest bit of each byte that is not zero: of its own or carried from the lower seven.
        let low = 0x7F7F_7F7F_7F7F_7F7F;
        let mut set = (((word & low) + low) | word) & !low;
        while set != 0 {
            visit(k * 8 + (set.trailing_zeros() / 8) as usize);
            set &= set - 1;
        }
    }
    for (k, _) in rest.iter().enumerate().filter(|(_, b)| **b != 0) {
        visit(words.len() * 8 + k);
    }
}

/// Copies the elements of `item` bytes where the mask is not zero to a row of their own.
///
/// # Safety
/// `from` must be valid for as many elements as the mask has bytes, `to` for writing [`count_nonzero`] of them; they must
/// not overlap.
pub unsafe fn select(mask: &[u8], item: usize, from: *const u8, to: *mut u8) {
    macro_rules! copy {
        ($T:ty) => {{
            let mut to = to.cast::<$T>();
            each_nonzero(mask, |i| {
                // SAFETY: an element of the mask's, and one place for each.
                unsafe {
                    to.write_unaligned(from.cast::<$T>().add(i).read_unaligned());
                    to = to.add(1);
                }
            });
        }};
    }
    match item {
        1 => copy!(u8),
        2 => copy!(u16),
        4 => copy!(u32),
        8 => copy!(u64),
        _ => copy!([u64; 2]),
    }
}

/// Writes the coordinates of the elements that are not zero, one row of `sizes.len()` for each, in row-major order;
/// `out` has room for [`count_nonzero`] rows.
pub fn nonzero(mask: &[u8], sizes: &[i64], out: &mut [i64]) {
    let rank = sizes.len();
    let mut places = out.iter_mut();
    match rank {
        0 => {}
        1 => each_nonzero(mask, |i| {
            if let Some(place) = places.next() {
                *place = i as i64;
            }
        }),
        _ => {
            let last = sizes[rank - 1].max(1) as usize;
            let mut index: SmallVec<[i64; 5]> = SmallVec::from_elem(0, rank - 1);
            for row in mask.chunks_exact(last) {
                each_nonzero(row, |j| {
                    let coordinates = index.iter().copied().chain([j as i64]);
                    coordinates.zip(&mut places).for_each(|(c, p)| *p = c);
                });
                for d in (0..rank - 1).rev() {
                    index[d] += 1;
                    if index[d] < sizes[d] {
                        break;
                    }
                    index[d] = 0;
                }
            }
        }
    }
}
