//! Copies of elements as they are: rows as blocks of bytes, transposed matrices by tiles, other strides in plain loops.
//! One of the modules with unsafe code.

use super::transpose::transpose;
use crate::pointwise::{Operand, Plan};
use crate::wide::wide;
use smallvec::SmallVec;

/// Two dimensions of a copy and the strides of both sides in bytes; the first one is the inner.
#[derive(Clone, Copy)]
pub(super) struct Plane {
    pub sizes: [usize; 2],
    pub to: [isize; 2],
    pub from: [isize; 2],
}

/// Matrices whose results have fewer rows are not worth tiles.
const NARROW: usize = 4;
/// Rows from this length on (in bytes) are left to the system's copy.
const LONG: usize = 512;

/// Copies elements of `size` bytes as `plan` walks `to` and `from`.
///
/// # Safety
/// Both operands must be valid at every index of the plan, `to` for writing; they must not overlap.
pub(super) unsafe fn copy(plan: &Plan, to: &Operand, from: &Operand, size: usize) {
    let [t, f] = [0, 1].map(|i| plan.strides[i].iter().map(|s| s * size as isize));
    let (t, f): (SmallVec<[isize; 5]>, SmallVec<[isize; 5]>) = (t.collect(), f.collect());
    let unit = size as isize;
    let rank = plan.sizes.len();
    // The dimension along which the source is dense, where that is another than the result's.
    let across = (1..rank).find(|&d| {
        t[0] == unit
            && f[d] == unit
            && f[0] != unit
            && f[0] != 0
            && plan.sizes[d] >= NARROW
            && plan.sizes[0] > 1
    });
    let second = across.unwrap_or(1);
    let pair = |strides: &[isize]| [strides[0], strides.get(second).copied().unwrap_or(0)];
    let plane = Plane {
        sizes: [plan.sizes[0], plan.sizes.get(second).copied().unwrap_or(1)],
        to: pair(&t),
        from: pair(&f),
    };
    let outer: SmallVec<[usize; 5]> = (1..rank).filter(|&d| d != second).collect();
    let mut index: SmallVec<[usize; 5]> = SmallVec::from_elem(0, outer.len());
    let (mut at, mut source) = (to.pointer, from.pointer.cast_const());
    loop {
        // SAFETY: the caller vouches for these elements.
        unsafe {
            if across.is_some() {
                transpose(&plane, at, source, size);
            } else {
                copy_plane(&plane, at, source, size);
            }
        }
        let mut d = 0;
        loop {
            if d == outer.len() {
                return;
            }
            let dim = outer[d];
            index[d] += 1;
            at = at.wrapping_offset(t[dim]);
            source = source.wrapping_offset(f[dim]);
            if index[d] < plan.sizes[dim] {
                break;
            }
            at = at.wrapping_offset(-t[dim] * index[d] as isize);
            source = source.wrapping_offset(-f[dim] * index[d] as isize);
            index[d] = 0;
            d += 1;
        }
    }
}

/// Copies `n` bytes, at least `W`, in blocks of `W`, the last of which may begin within the one before.
#[inline(always)]
unsafe fn blocks<const W: usize>(to: *mut u8, from: *const u8, n: usize) {
    // SAFETY: the caller vouches for n bytes, and blocks end within them.
    unsafe {
        let block = |i: usize| {
            to.add(i).cast::<[u8; W]>().write_unaligned(from.add(i).cast::<[u8; W]>().read_unaligned())
        };
        let mut i = 0;
        while i + W < n {
            block(i);
            i += W;
        }
        block(n - W);
    }
}

/// Copies a plane: rows of bytes where both sides are dense along the first dimension, else elements of `size` bytes.
///
/// # Safety
/// Both places must be valid for these elements, `to` for writing; they must not overlap.
pub(super) unsafe fn copy_plane(plane: &Plane, to: *mut u8, from: *const u8, size: usize) {
    let unit = size as isize;
    // SAFETY: passed on from the caller.
    unsafe {
        if plane.sizes[0] == 1 || plane.to[0] == unit && plane.from[0] == unit {
            return copy_rows(*plane, to, from, plane.sizes[0] * size);
        }
        match size {
            1 => lines::<u8>(*plane, to, from),
            2 => lines::<u16>(*plane, to, from),
            4 => lines::<u32>(*plane, to, from),
            8 => lines::<u64>(*plane, to, from),
            _ => lines::<[u64; 2]>(*plane, to, from),
        }
    }
}

// What the loops below capture is moved into them: they could not be vectorised if it might change as they write.

/// Copies rows of `n` bytes.
unsafe fn copy_rows(plane: Plane, to: *mut u8, from: *const u8, n: usize) {
    let place =
        move |i: isize| (to.wrapping_offset(i * plane.to[1]), from.wrapping_offset(i * plane.from[1]));
    macro_rules! by {
        ($w:literal) => {
            wide(move || {
                for i in 0..plane.sizes[1] as isize {
                    let (to, from) = place(i);
                    // SAFETY: a row, which the caller vouches for.
                    unsafe { blocks::<$w>(to, from, n) }
                }
            })
        };
    }
    match n {
        0 => {}
        LONG.. => {
            for i in 0..plane.sizes[1] as isize {
                let (to, from) = place(i);
                // SAFETY: a row, which the caller vouches for.
                unsafe { std::ptr::copy_nonoverlapping(from, to, n) }
            }
        }
        32.. => by!(32),
        16.. => by!(16),
        8.. => by!(8),
        4.. => by!(4),
        2.. => by!(2),
        1 => by!(1),
    }
}

/// Copies lines of elements at any strides.
unsafe fn lines<E: Copy>(plane: Plane, to: *mut u8, from: *const u8) {
    let unit = size_of::<E>() as isize;
    let [n, rows] = plane.sizes;
    let (step, from_step) = (plane.to[0] / unit, plane.from[0] / unit);
    macro_rules! each {
        (|$t:ident, $f:ident, $k:ident| $body:expr) => {
            wide(move || {
                for i in 0..rows as isize {
                    let $t = to.wrapping_offset(i * plane.to[1]).cast::<E>();
                    let $f = from.wrapping_offset(i * plane.from[1]).cast::<E>();
                    for $k in 0..n {
                        // SAFETY: elements that the caller vouches for.
                        unsafe { $body }
                    }
                }
            })
        };
    }
    match (step, from_step) {
        (1, 0) => wide(move || {
            for i in 0..rows as isize {
                let t = to.wrapping_offset(i * plane.to[1]).cast::<E>();
                // SAFETY: elements that the caller vouches for.
                unsafe {
                    let v = from.wrapping_offset(i * plane.from[1]).cast::<E>().read_unaligned();
                    for k in 0..n {
                        t.add(k).write_unaligned(v);
                    }
                }
            }
        }),
        (1, 2) => each!(|t, f, k| t.add(k).write_unaligned(f.add(2 * k).read_unaligned())),
        (1, -1) => each!(|t, f, k| t.add(k).write_unaligned(f.sub(k).read_unaligned())),
        (1, _) => {
            each!(|t, f, k| t.add(k).write_unaligned(f.offset(k as isize * from_step).read_unaligned()))
        }
        _ => each!(|t, f, k| {
            t.offset(k as isize * step).write_unaligned(f.offset(k as isize * from_step).read_unaligned())
        }),
    }
}
