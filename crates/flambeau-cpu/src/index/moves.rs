//! Elements and rows that are copied by their bits. One of the modules with unsafe code.

use super::{AHEAD, AHEAD_BYTES, Along, Visit};
use crate::wide::{Body, ahead, wide};

/// Bytes of rows that are copied without asking for the next ones, as two blocks at most.
const SHORT: usize = 64;

/// Copies `n` bytes, which may overlap: few of them as two blocks, both read before they are written.
///
/// # Safety
/// `from` is readable and `to` writable for them.
#[inline(always)]
unsafe fn move_bytes(from: *const u8, to: *mut u8, n: usize) {
    macro_rules! two {
        ($t:ty) => {{
            let last = n - size_of::<$t>();
            // SAFETY: blocks within the `n` bytes.
            unsafe {
                let (a, b) =
                    (from.cast::<$t>().read_unaligned(), from.add(last).cast::<$t>().read_unaligned());
                to.cast::<$t>().write_unaligned(a);
                to.add(last).cast::<$t>().write_unaligned(b);
            }
        }};
    }
    match n {
        // SAFETY: passed on from the caller.
        0..4 | 65.. => unsafe { std::ptr::copy(from, to, n) },
        4..8 => two!(u32),
        8..16 => two!(u64),
        16..32 => two!(u128),
        _ => two!([u128; 2]),
    }
}

/// Copies a block of `SHORT` bytes.
///
/// # Safety
/// It is there on both sides.
#[inline(always)]
unsafe fn copy_block(from: *const u8, to: *mut u8) {
    // SAFETY: as promised.
    unsafe {
        to.cast::<[u128; SHORT / 16]>().write_unaligned(from.cast::<[u128; SHORT / 16]>().read_unaligned())
    }
}

/// Bytes of rows that are copied by the system.
const LONG: usize = 1 << 12;

/// Copies rows of more than a block of `bytes`, as `Visit::rows` has them.
struct MoveRows<const PUT: bool> {
    plain: *mut u8,
    apart: isize,
    indexed: *mut u8,
    bytes: usize,
    index: Along,
    count: usize,
}

impl<const PUT: bool> Body for MoveRows<PUT> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let MoveRows { plain, apart, indexed, bytes, index, count } = self;
        let asked = bytes.min(AHEAD_BYTES);
        for i in 0..count {
            let plain = plain.wrapping_offset(i as isize * apart);
            // SAFETY: rows as promised where it was made; blocks lie within the rows, which do not overlap.
            unsafe {
                if i + (AHEAD as usize) < count {
                    let soon = indexed.wrapping_offset(index.offset(i + AHEAD as usize));
                    for line in (0..asked).step_by(64) {
                        ahead(soon.wrapping_add(line));
                    }
                }
                let indexed = indexed.wrapping_offset(index.offset(i));
                let (from, to) = if PUT { (plain, indexed) } else { (indexed, plain) };
                if bytes > LONG || (from as usize).abs_diff(to as usize) < bytes {
                    std::ptr::copy(from, to, bytes);
                    continue;
                }
                let mut at = 0;
                while at + SHORT <= bytes {
                    copy_block(from.add(at), to.add(at));
                    at += SHORT;
                }
                if at < bytes {
                    copy_block(from.add(bytes - SHORT), to.add(bytes - SHORT));
                }
            }
        }
    }
}

/// Copies elements of type `U` by their bits, to the plain or to the indexed operand.
pub(super) struct Mover<U, const PUT: bool>(pub std::marker::PhantomData<U>);

impl<U: Copy, const PUT: bool> Mover<U, PUT> {
    /// # Safety
    /// Both pointers are valid for the element.
    #[inline(always)]
    unsafe fn one(plain: *mut u8, indexed: *mut u8) {
        let (from, to) = if PUT { (plain, indexed) } else { (indexed, plain) };
        // SAFETY: valid by the caller's promise; elements may be unaligned in memory of others.
        unsafe { to.cast::<U>().write_unaligned(from.cast::<U>().read_unaligned()) }
    }
}

impl<U: Copy, const PUT: bool> Visit for Mover<U, PUT> {
    unsafe fn many(&self, plain: *mut u8, step: isize, indexed: *mut u8, by: &[isize]) {
        for (i, &by) in by.iter().enumerate() {
            // SAFETY: passed on from the caller.
            unsafe { Self::one(plain.wrapping_offset(i as isize * step), indexed.wrapping_offset(by)) }
        }
    }
    unsafe fn along(&self, plain: *mut u8, indexed: *mut u8, n: usize, index: Along) {
        for i in 0..n {
            // SAFETY: passed on from the caller.
            unsafe {
                let by = index.offset(i);
                Self::one(plain.cast::<U>().add(i).cast(), indexed.wrapping_offset(by));
            }
        }
    }
    unsafe fn run(&self, plain: *mut u8, indexed: *mut u8, n: usize, steps: (isize, isize)) {
        let size = size_of::<U>() as isize;
        let (from, to) = if PUT { (plain, indexed) } else { (indexed, plain) };
        if steps == (size, size) {
            // SAFETY: n consecutive elements on both sides.
            unsafe { move_bytes(from, to, n * size as usize) };
            return;
        }
        for i in 0..n as isize {
            // SAFETY: passed on from the caller.
            unsafe { Self::one(plain.wrapping_offset(i * steps.0), indexed.wrapping_offset(i * steps.1)) }
        }
    }
    unsafe fn rows(
        &self,
        plain: *mut u8,
        apart: isize,
        indexed: *mut u8,
        n: usize,
        index: Along,
        count: usize,
    ) -> bool {
        let bytes = n * size_of::<U>();
        if bytes > SHORT {
            wide(MoveRows::<PUT> { plain, apart, indexed, bytes, index, count });
            return true;
        }
        for i in 0..count {
            let plain = plain.wrapping_offset(i as isize * apart);
            // SAFETY: passed on from the caller.
            unsafe {
                let indexed = indexed.wrapping_offset(index.offset(i));
                let (from, to) = if PUT { (plain, indexed) } else { (indexed, plain) };
                move_bytes(from, to, bytes);
            }
        }
        true
    }
}
