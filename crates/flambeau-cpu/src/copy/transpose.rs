//! Transposed matrices by tiles that stay in vector registers, and a few rows (the colours of an image) merged into one. One of the
//! modules with unsafe code.

use super::strided::Plane;
use crate::wide::wide;

/// Bytes of result rows that are written together: the lines of the source that they share stay in the L1 cache.
const PANEL: usize = 512;
/// Rows of results that are written together.
const ROWS: usize = 8;

/// Copies a plane whose result is dense along the first dimension and whose source is along the second.
///
/// # Safety
/// Both places must be valid for these elements of `size` bytes, `to` for writing; they must not overlap.
pub(super) unsafe fn transpose(plane: &Plane, to: *mut u8, from: *const u8, size: usize) {
    // SAFETY: passed on from the caller.
    unsafe {
        match size {
            1 => each::<u8, 8>(plane, to, from),
            2 => each::<u16, 8>(plane, to, from),
            4 => each::<u32, 8>(plane, to, from),
            8 => each::<u64, 4>(plane, to, from),
            _ => each::<[u64; 2], 4>(plane, to, from),
        }
    }
}

/// One tile: `to[j][k] = from[k][j]`, rows at these distances in bytes.
type Tile = unsafe fn(to: *mut u8, to_step: isize, from: *const u8, from_step: isize);

unsafe fn each<E: Copy, const N: usize>(plane: &Plane, to: *mut u8, from: *const u8) {
    // SAFETY: passed on from the caller.
    unsafe {
        match plane.sizes[0] {
            2 => return merge::<E, 2>(*plane, to, from),
            3 => return merge::<E, 3>(*plane, to, from),
            4 => return merge::<E, 4>(*plane, to, from),
            _ => {}
        }
    }
    let size = size_of::<E>();
    let [n, rows] = plane.sizes;
    let (to_step, from_step) = (plane.to[1], plane.from[0]);
    let tile: Tile = tile_of::<E, N>();
    let panel = PANEL / size;
    for first in (0..n).step_by(panel) {
        let width = panel.min(n - first);
        for j in (0..rows).step_by(ROWS) {
            let height = ROWS.min(rows - j);
            let source = from.wrapping_offset(first as isize * from_step).wrapping_add(j * size);
            let target = to.wrapping_offset(j as isize * to_step).wrapping_add(first * size);
            // SAFETY: rows and columns of the plane, which the caller vouches for.
            unsafe { piece::<E, N>(tile, target, to_step, source, from_step, width, height) };
        }
    }
}

/// Results of rows of `C` elements, one from each stretch of the source.
unsafe fn merge<E: Copy, const C: usize>(plane: Plane, to: *mut u8, from: *const u8) {
    let rows = plane.sizes[1];
    let sources: [*const E; C] =
        std::array::from_fn(|c| from.wrapping_offset(c as isize * plane.from[0]).cast::<E>());
    if plane.to[1] == (C * size_of::<E>()) as isize {
        let to = to.cast::<E>();
        return wide(move || {
            for i in 0..rows {
                for (c, source) in sources.iter().enumerate() {
                    // SAFETY: elements that the caller vouches for.
                    unsafe { to.add(i * C + c).write_unaligned(source.add(i).read_unaligned()) };
                }
            }
        });
    }
    for i in 0..rows {
        let to = to.wrapping_offset(i as isize * plane.to[1]).cast::<E>();
        for (c, source) in sources.iter().enumerate() {
            // SAFETY: as above.
            unsafe { to.add(c).write_unaligned(source.add(i).read_unaligned()) };
        }
    }
}

/// `height` rows of `width` elements, by tiles and what is left of them one by one.
#[inline(always)]
unsafe fn piece<E: Copy, const N: usize>(
    tile: Tile,
    to: *mut u8,
    to_step: isize,
    from: *const u8,
    from_step: isize,
    width: usize,
    height: usize,
) {
    let size = size_of::<E>();
    let place = |j: usize, k: usize| {
        (
            to.wrapping_offset(j as isize * to_step).wrapping_add(k * size),
            from.wrapping_offset(k as isize * from_step).wrapping_add(j * size),
        )
    };
    let (across, down) = (width / N * N, height / N * N);
    // SAFETY: elements that the caller vouches for.
    unsafe {
        for k in (0..across).step_by(N) {
            for j in (0..down).step_by(N) {
                let (to, from) = place(j, k);
                tile(to, to_step, from, from_step);
            }
        }
        for j in 0..height {
            for k in if j < down { across } else { 0 }..width {
                let (to, from) = place(j, k);
                to.cast::<E>().write_unaligned(from.cast::<E>().read_unaligned());
            }
        }
    }
}

fn tile_of<E: Copy, const N: usize>() -> Tile {
    #[cfg(target_arch = "x86_64")]
    if crate::wide::level() >= crate::wide::Level::Avx2 {
        match size_of::<E>() {
            4 => {
                return |to, to_step, from, from_step| {
                    // SAFETY: the processor has AVX2; the rest is promised by the caller.
                    unsafe { avx2::tile4(to, to_step, from, from_step) }
                };
            }
            8 => {
                return |to, to_step, from, from_step| {
                    // SAFETY: as above.
                    unsafe { avx2::tile8(to, to_step, from, from_step) }
                };
            }
            _ => {}
        }
    }
    plain::<E, N>
}

unsafe fn plain<E: Copy, const N: usize>(to: *mut u8, to_step: isize, from: *const u8, from_step: isize) {
    // SAFETY: N rows of N elements on both sides, promised by the caller.
    unsafe {
        let rows: [[E; N]; N] = std::array::from_fn(|k| {
            from.wrapping_offset(k as isize * from_step).cast::<[E; N]>().read_unaligned()
        });
        for j in 0..N {
            let column: [E; N] = std::array::from_fn(|k| rows[k][j]);
            to.wrapping_offset(j as isize * to_step).cast::<[E; N]>().write_unaligned(column);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    /// Eight rows of eight elements of four bytes.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn tile4(to: *mut u8, to_step: isize, from: *const u8, from_step: isize) {
        // SAFETY: rows that the caller vouches for.
        let a: [__m256i; 8] = std::array::from_fn(|k| unsafe {
            _mm256_loadu_si256(from.wrapping_offset(k as isize * from_step).cast())
        });
        let pair = |i: usize| (_mm256_unpacklo_epi32(a[i], a[i + 1]), _mm256_unpackhi_epi32(a[i], a[i + 1]));
        let ((b0, b1), (b2, b3), (b4, b5), (b6, b7)) = (pair(0), pair(2), pair(4), pair(6));
        // Each with columns j and j + 4 of four rows.
        let upper = [
            _mm256_unpacklo_epi64(b0, b2),
            _mm256_unpackhi_epi64(b0, b2),
            _mm256_unpacklo_epi64(b1, b3),
            _mm256_unpackhi_epi64(b1, b3),
        ];
        let lower = [
            _mm256_unpacklo_epi64(b4, b6),
            _mm256_unpackhi_epi64(b4, b6),
            _mm256_unpacklo_epi64(b5, b7),
            _mm256_unpackhi_epi64(b5, b7),
        ];
        for j in 0..4 {
            let (first, second) = (
                _mm256_permute2x128_si256::<0x20>(upper[j], lower[j]),
                _mm256_permute2x128_si256::<0x31>(upper[j], lower[j]),
            );
            let row = |j: usize| to.wrapping_offset(j as isize * to_step);
            // SAFETY: as above.
            unsafe {
                _mm256_storeu_si256(row(j).cast(), first);
                _mm256_storeu_si256(row(j + 4).cast(), second);
            }
        }
    }

    /// Four rows of four elements of eight bytes.
    #[target_feature(enable = "avx2")]
    pub(super) unsafe fn tile8(to: *mut u8, to_step: isize, from: *const u8, from_step: isize) {
        // SAFETY: rows that the caller vouches for.
        let a: [__m256i; 4] = std::array::from_fn(|k| unsafe {
            _mm256_loadu_si256(from.wrapping_offset(k as isize * from_step).cast())
        });
        let (b0, b1) = (_mm256_unpacklo_epi64(a[0], a[1]), _mm256_unpackhi_epi64(a[0], a[1]));
        let (b2, b3) = (_mm256_unpacklo_epi64(a[2], a[3]), _mm256_unpackhi_epi64(a[2], a[3]));
        let columns = [
            _mm256_permute2x128_si256::<0x20>(b0, b2),
            _mm256_permute2x128_si256::<0x20>(b1, b3),
            _mm256_permute2x128_si256::<0x31>(b0, b2),
            _mm256_permute2x128_si256::<0x31>(b1, b3),
        ];
        for (j, column) in columns.into_iter().enumerate() {
            // SAFETY: as above.
            unsafe { _mm256_storeu_si256(to.wrapping_offset(j as isize * to_step).cast(), column) };
        }
    }
}
