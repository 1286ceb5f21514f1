//! How much memory there is. One of the few modules with unsafe code.

use crate::storage::Init;
use crate::{Element, Error, Result, blocks};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Requests below this are left to the allocator.
const SMALL: usize = 1 << 27;

/// Bytes that this process could get at most: the machine's, or what its limits leave. Systems that promise more
/// memory than they have end a process that uses it, so that a failed allocation is not what it sees.
#[cfg(unix)]
fn limit() -> usize {
    // SAFETY: both calls only fill in numbers.
    unsafe {
        let pages = libc::sysconf(libc::_SC_PHYS_PAGES).max(0) as usize;
        let page = libc::sysconf(libc::_SC_PAGESIZE).max(0) as usize;
        let mut total = pages.saturating_mul(page);
        if total == 0 {
            total = usize::MAX;
        }
        let mut allowed = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        if libc::getrlimit(libc::RLIMIT_AS, &mut allowed) == 0 {
            total = total.min(usize::try_from(allowed.rlim_cur).unwrap_or(usize::MAX));
        }
        total
    }
}
#[cfg(not(unix))]
fn limit() -> usize {
    isize::MAX as usize
}

/// PyTorch's error where `nbytes` can't be had.
pub(crate) fn out_of_memory(nbytes: usize) -> Error {
    Error::runtime(format!(
        "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate \
         {nbytes} bytes. Error code 12 (Cannot allocate memory)"
    ))
}

/// Fails where `count` items of `size` bytes can't be had, before any is made.
pub fn check_memory(count: usize, size: usize) -> Result<()> {
    let nbytes = count.saturating_mul(size);
    if nbytes > SMALL && nbytes > limit() {
        return Err(out_of_memory(nbytes));
    }
    Ok(())
}

/// A buffer of default elements, or an error where there is not that much memory.
pub fn buffer<T: Copy + Default>(len: usize) -> Result<Vec<T>> {
    check_memory(len, size_of::<T>())?;
    let mut out = Vec::new();
    out.try_reserve_exact(len).map_err(|_| out_of_memory(len.saturating_mul(size_of::<T>())))?;
    out.resize(len, T::default());
    Ok(out)
}

/// Numbers that an operator needs besides its results, zeros at first, in memory that is kept for reuse (`blocks.rs`): the
/// allocator of the system gives large buffers back to the system at once, and a fresh page costs more than most work on it.
pub struct Room<T> {
    pointer: NonNull<T>,
    len: usize,
    /// Of the block; 0 where there is none.
    size: usize,
}

impl<T: Element> Room<T> {
    /// Room for so many numbers, or an error where there is not that much memory.
    pub fn new(len: usize) -> Result<Room<T>> {
        check_memory(len, size_of::<T>())?;
        let Some(nbytes) = len.checked_mul(size_of::<T>()).filter(|&nbytes| nbytes > 0) else {
            return if len == 0 { Ok(Room::default()) } else { Err(out_of_memory(usize::MAX)) };
        };
        let block = blocks::allocate(nbytes, Init::Uninit).ok_or_else(|| out_of_memory(nbytes))?;
        let pointer = block.pointer.cast::<T>();
        for i in 0..len {
            // SAFETY: an element of the fresh block, which is aligned for every type of elements.
            unsafe { pointer.add(i).write(T::default()) };
        }
        Ok(Room { pointer, len, size: block.size })
    }
}

impl<T> Default for Room<T> {
    fn default() -> Self {
        Room { pointer: NonNull::dangling(), len: 0, size: 0 }
    }
}

impl<T> Drop for Room<T> {
    fn drop(&mut self) {
        if self.size > 0 {
            // SAFETY: the block came with this size, and nothing refers to it any more. Elements are plain numbers.
            unsafe { blocks::release(self.pointer.cast(), self.size) }
        }
    }
}

impl<T> Deref for Room<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: so many elements, all of them written; or none.
        unsafe { std::slice::from_raw_parts(self.pointer.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Room<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as above, and the room is the block's only owner.
        unsafe { std::slice::from_raw_parts_mut(self.pointer.as_ptr(), self.len) }
    }
}

impl<T: fmt::Debug> fmt::Debug for Room<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

// SAFETY: a room owns its elements as a vector does.
unsafe impl<T: Send> Send for Room<T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Room<T> {}

/// Makes fresh memory count as written, with arbitrary bytes.
///
/// # Safety
/// `nbytes` from `pointer` on must be writable.
pub unsafe fn settle(pointer: *mut u8, nbytes: usize) {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    // SAFETY: no instructions; as far as the compiler knows they wrote the bytes that are there.
    unsafe {
        std::arch::asm!("/* {} */", in(reg) pointer, options(nostack, preserves_flags))
    };
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    let _ = nbytes;
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    // SAFETY: as promised by the caller.
    unsafe {
        std::ptr::write_bytes(pointer, 0, nbytes)
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_start_as_zeros() {
        for len in [0, 1, 100, 5000, 100_000] {
            for _ in 0..2 {
                let mut room = Room::<f64>::new(len).unwrap();
                assert!(room.len() == len && room.iter().all(|&x| x == 0.0));
                room.fill(f64::NAN);
            }
        }
        assert!(Room::<f64>::new(usize::MAX / 4).is_err());
        assert!(Room::<u8>::default().is_empty());
    }
}
