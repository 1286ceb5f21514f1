//! Writes that pass the caches by, for results too large to be there when they are read again. One of the modules with
//! unsafe code.

/// Results from this size on (in bytes) pass the caches by.
pub(super) const STREAM: usize = 1 << 25;

/// Copies `n` bytes.
///
/// # Safety
/// `from` must be valid for `n` bytes, `to` for writing as many; they must not overlap. Other threads may read them
/// after [`settle`].
pub(super) unsafe fn stream(from: *const u8, to: *mut u8, n: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_stream_si128};
        let head = to.align_offset(16).min(n);
        let blocks = (n - head) / 16;
        // SAFETY: blocks lie within the n bytes, aligned at `to`; every processor of the architecture has SSE2.
        unsafe {
            std::ptr::copy_nonoverlapping(from, to, head);
            let (source, target) = (from.add(head).cast::<__m128i>(), to.add(head).cast::<__m128i>());
            for i in 0..blocks {
                _mm_stream_si128(target.add(i), _mm_loadu_si128(source.add(i)));
            }
            let done = head + blocks * 16;
            std::ptr::copy_nonoverlapping(from.add(done), to.add(done), n - done);
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: as promised by the caller.
    unsafe {
        std::ptr::copy_nonoverlapping(from, to, n)
    }
}

/// Orders what [`stream`] wrote before what this thread writes next.
pub(super) fn settle() {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every processor of the architecture has it.
    unsafe {
        std::arch::x86_64::_mm_sfence()
    }
}
