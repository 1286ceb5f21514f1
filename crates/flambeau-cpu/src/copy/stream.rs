//! Writes that pass the caches by, for results too large to be there when they are read again. One of the modules with
//! unsafe code.

/// Copies `n` bytes; whole cache lines pass the caches by.
///
/// # Safety
/// `from` must be valid for `n` bytes, `to` for writing as many; they must not overlap. Other threads may read them
/// after [`settle`].
#[inline]
pub(super) unsafe fn stream(from: *const u8, to: *mut u8, n: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_stream_si128};
        const LINE: usize = 64;
        let head = to.align_offset(LINE).min(n);
        let end = n - (n - head) % LINE;
        // SAFETY: lines lie within the n bytes, aligned at `to`; every processor of the architecture has SSE2.
        unsafe {
            if head > 0 {
                std::ptr::copy_nonoverlapping(from, to, head);
            }
            for line in (head..end).step_by(LINE) {
                for i in (line..line + LINE).step_by(16) {
                    let part = _mm_loadu_si128(from.add(i).cast::<__m128i>());
                    _mm_stream_si128(to.add(i).cast::<__m128i>(), part);
                }
            }
            if end < n {
                std::ptr::copy_nonoverlapping(from.add(end), to.add(end), n - end);
            }
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
