//! How much memory there is. One of the few modules with unsafe code.

use crate::{Result, bail};

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

/// Fails where `count` items of `size` bytes can't be had, before any is made.
pub fn check_memory(count: usize, size: usize) -> Result<()> {
    let nbytes = count.saturating_mul(size);
    if nbytes > SMALL && nbytes > limit() {
        bail!(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to \
             allocate {nbytes} bytes. Error code 12 (Cannot allocate memory)"
        );
    }
    Ok(())
}
