//! How much memory there is. One of the few modules with unsafe code.

use crate::{Error, Result};

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
