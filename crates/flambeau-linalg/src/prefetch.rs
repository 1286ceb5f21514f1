//! Asking for memory before it is needed. One of the modules with unsafe code.

/// Asks for the cache line at an address, which need not be valid.
#[inline(always)]
pub fn ahead<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: nothing is read; every processor of the architecture has the instruction.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(at.cast())
    };
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// [`ahead`], for a line that will be written.
#[inline(always)]
pub fn ahead_to_write<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: as above.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_ET0 }>(at.cast())
    };
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Asks for the cache lines of so many elements, to write or to read them.
#[inline(always)]
pub fn soon<F>(from: *const F, count: usize, write: bool) {
    for at in (0..count * size_of::<F>()).step_by(64) {
        let at = from.cast::<u8>().wrapping_add(at);
        match write {
            true => ahead_to_write(at),
            false => ahead(at),
        }
    }
}
