//! Blocks of memory, kept for reuse: pages that the system has just handed out cost more than most arithmetic on them.
//! One of the few modules with unsafe code.
//!
//! Sizes from [`KEPT`] on are rounded up to classes, eight for each power of two. A freed block waits in its class for
//! the next request of about its size. Blocks in use and waiting together stay near the most that was in use at once,
//! so that keeping them costs no peak memory; beyond that the oldest go back to the system, and so does everything
//! before a request fails. Large blocks ask for huge pages.

use parking_lot::Mutex;
use std::alloc::Layout;
use std::collections::VecDeque;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::parallel::each;
use crate::storage::Init;

/// Blocks from this size on are kept; the allocator of the system is quick with smaller ones.
const KEPT: usize = 1 << 14;
/// Blocks from this size on are mapped on their own, in huge pages.
const MAPPED: usize = 1 << 22;
/// The size of a huge page.
const HUGE: usize = 1 << 21;
/// The most bytes that wait.
const MOST: usize = 1 << 30;
/// Bytes that may wait beside the most that was ever in use, and a quarter of that.
const SLACK: usize = 1 << 24;
/// Classes above its own in which a request looks for a block: it may be up to 3/8 larger.
const NEAR: usize = 3;
/// Classes to the largest size that is kept; larger blocks are not.
const CLASSES: usize = 8 * 22;

const ALIGNMENT: usize = 64;

struct Waiting {
    pointer: NonNull<u8>,
    /// When it was freed.
    time: u64,
}

// SAFETY: a waiting block belongs to the list alone.
unsafe impl Send for Waiting {}

struct Lists {
    /// The waiting blocks of each class, the oldest first.
    classes: [VecDeque<Waiting>; CLASSES],
    bytes: usize,
    time: u64,
}

static LISTS: Mutex<Lists> =
    Mutex::new(Lists { classes: [const { VecDeque::new() }; CLASSES], bytes: 0, time: 0 });
/// Bytes of kept sizes in use, and the most there were.
static USED: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// The class of a size from `KEPT` on, if it is one that is kept.
fn class_of(nbytes: usize) -> Option<usize> {
    if nbytes < KEPT {
        return None;
    }
    let eighth = (nbytes - 1).ilog2() as usize - 3;
    // 9 to 16 eighths of a power of two
    let eighths = ((nbytes - 1) >> eighth) + 1;
    let class = (eighth + 4 - KEPT.ilog2() as usize) * 8 + eighths - 16;
    (class < CLASSES).then_some(class)
}

/// The bytes of a class's blocks.
fn size_of_class(class: usize) -> usize {
    let power = KEPT.ilog2() as usize + class.div_ceil(8);
    let eighths = if class.is_multiple_of(8) { 16 } else { 8 + class % 8 };
    (eighths << (power - 4)).max(KEPT)
}

fn layout(nbytes: usize) -> Option<Layout> {
    // Small blocks take the allocator's own alignment, which is cheaper; large ones start on a cache line.
    Layout::from_size_align(nbytes, if nbytes <= 256 { 16 } else { ALIGNMENT }).ok()
}

/// Memory from the system.
fn obtain(nbytes: usize, init: Init) -> Option<NonNull<u8>> {
    #[cfg(target_os = "linux")]
    if nbytes >= MAPPED {
        return map(nbytes);
    }
    let layout = layout(nbytes)?;
    // SAFETY: the layout has a size above zero.
    NonNull::new(unsafe {
        match init {
            Init::Uninit => std::alloc::alloc(layout),
            Init::Zero => std::alloc::alloc_zeroed(layout),
        }
    })
}

/// Gives memory of [`obtain`] back.
///
/// # Safety
/// `pointer` came from `obtain` with this size and is not used any more.
unsafe fn give_back(pointer: NonNull<u8>, nbytes: usize) {
    #[cfg(target_os = "linux")]
    if nbytes >= MAPPED {
        // SAFETY: a mapping of `map`, whose length is this size in whole pages.
        unsafe { libc::munmap(pointer.as_ptr().cast(), nbytes.next_multiple_of(PAGE)) };
        return;
    }
    if let Some(layout) = layout(nbytes) {
        // SAFETY: the layout that it was allocated with.
        unsafe { std::alloc::dealloc(pointer.as_ptr(), layout) }
    }
}

#[cfg(target_os = "linux")]
const PAGE: usize = 1 << 16;

/// Zeroed pages that start where a huge page may.
#[cfg(target_os = "linux")]
fn map(nbytes: usize) -> Option<NonNull<u8>> {
    let length = nbytes.checked_next_multiple_of(PAGE)?;
    let room = length.checked_add(HUGE)?;
    // SAFETY: a fresh private mapping; what lies before and after the aligned part is given back at once.
    unsafe {
        let start = libc::mmap(
            std::ptr::null_mut(),
            room,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        );
        if start == libc::MAP_FAILED {
            return None;
        }
        let before = (start as usize).next_multiple_of(HUGE) - start as usize;
        let block = start.cast::<u8>().add(before);
        if before > 0 {
            libc::munmap(start, before);
        }
        if before < HUGE {
            libc::munmap(block.add(length).cast(), HUGE - before);
        }
        // A wish: systems without huge pages refuse it.
        libc::madvise(block.cast(), length, libc::MADV_HUGEPAGE);
        NonNull::new(block)
    }
}

impl Lists {
    /// A waiting block for a request of `class`, and the class it is of.
    fn take(&mut self, class: usize) -> Option<(NonNull<u8>, usize)> {
        for near in class..CLASSES.min(class + NEAR + 1) {
            // The newest is the likeliest to be in a cache.
            if let Some(block) = self.classes[near].pop_back() {
                self.bytes -= size_of_class(near);
                return Some((block.pointer, near));
            }
        }
        None
    }

    /// Gives the oldest blocks back to the system until at most `most` bytes wait.
    fn shrink(&mut self, most: usize) {
        while self.bytes > most {
            let oldest = (0..CLASSES)
                .filter_map(|c| self.classes[c].front().map(|b| (b.time, c)))
                .min()
                .and_then(|(_, c)| self.classes[c].pop_front().map(|b| (b.pointer, size_of_class(c))));
            let Some((pointer, size)) = oldest else { return };
            self.bytes -= size;
            // SAFETY: blocks of a class are obtained with its size, and this one waited.
            unsafe { give_back(pointer, size) };
        }
    }

    fn allowed(&self, used: usize) -> usize {
        let peak = PEAK.load(Ordering::Relaxed);
        (peak + peak / 4 + SLACK).saturating_sub(used).min(MOST)
    }
}

/// The bytes that a request of a kept size gets, and that go with its block to [`release`]; 0 for none.
pub(crate) struct Block {
    pub pointer: NonNull<u8>,
    /// What it was obtained with.
    pub size: usize,
}

/// A block of at least `nbytes` (above zero), or none where there is no such memory.
pub(crate) fn allocate(nbytes: usize, init: Init) -> Option<Block> {
    let Some(class) = class_of(nbytes) else {
        return Some(Block { pointer: obtain(nbytes, init)?, size: nbytes });
    };
    let size = size_of_class(class);
    let used = USED.fetch_add(size, Ordering::Relaxed) + size;
    PEAK.fetch_max(used, Ordering::Relaxed);
    // Not waited for: in a forked child the lock may be held by a thread that does not exist there.
    let mut lists = LISTS.try_lock();
    if let Some((pointer, found)) = lists.as_mut().and_then(|lists| lists.take(class)) {
        let found = size_of_class(found);
        USED.fetch_add(found - size, Ordering::Relaxed);
        drop(lists);
        if init == Init::Zero {
            // SAFETY: the block is ours, of at least `nbytes`.
            zero(unsafe { std::slice::from_raw_parts_mut(pointer.as_ptr().cast(), nbytes) });
        }
        return Some(Block { pointer, size: found });
    }
    if let Some(lists) = lists.as_mut() {
        let most = lists.allowed(used);
        lists.shrink(most);
    }
    let pointer = obtain(size, init).or_else(|| {
        lists.as_mut()?.shrink(0);
        obtain(size, init)
    });
    if pointer.is_none() {
        USED.fetch_sub(size, Ordering::Relaxed);
    }
    Some(Block { pointer: pointer?, size })
}

/// Takes a block back.
///
/// # Safety
/// `pointer` came from [`allocate`] with this `size` and is not used any more.
pub(crate) unsafe fn release(pointer: NonNull<u8>, size: usize) {
    if let Some(class) = class_of(size) {
        let used = USED.fetch_sub(size, Ordering::Relaxed) - size;
        if let Some(mut lists) = LISTS.try_lock() {
            let most = lists.allowed(used);
            if size <= most {
                lists.shrink(most - size);
                lists.time += 1;
                let time = lists.time;
                lists.bytes += size;
                lists.classes[class].push_back(Waiting { pointer, time });
                return;
            }
        }
    }
    // SAFETY: passed on from the caller.
    unsafe { give_back(pointer, size) }
}

/// Writes zeros.
fn zero(bytes: &mut [MaybeUninit<u8>]) {
    // Bytes that are worth a thread.
    const GRAIN: usize = 1 << 18;
    // No part fails.
    let _ = each(bytes.chunks_mut(GRAIN), 1, |part| {
        part.fill(MaybeUninit::new(0));
        Ok(())
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_hold_their_sizes() {
        for nbytes in (KEPT..KEPT * 9).chain([1 << 22, (1 << 22) + 1, 80_000_000, (1 << 30) + 5]) {
            let class = class_of(nbytes).unwrap();
            let size = size_of_class(class);
            assert!(size >= nbytes && size <= nbytes + nbytes / 8 + 1, "{nbytes} in {size}");
            assert_eq!(class_of(size), Some(class));
            assert!(class == 0 || size_of_class(class - 1) < nbytes);
        }
        assert_eq!(class_of(KEPT - 1), None);
        assert_eq!(class_of(usize::MAX), None);
    }

    #[test]
    fn freed_blocks_come_back_within_bounds_and_zeroed_ones_are_zero() {
        for nbytes in [KEPT, 100_000, MAPPED + 1] {
            let block = allocate(nbytes, Init::Uninit).unwrap();
            // SAFETY: the block has as many bytes, and goes back once.
            unsafe {
                block.pointer.as_ptr().write_bytes(7, nbytes);
                release(block.pointer, block.size);
            }
            let again = allocate(nbytes, Init::Zero).unwrap();
            assert_eq!(again.pointer.as_ptr() as usize % ALIGNMENT, 0);
            // SAFETY: as above.
            unsafe {
                assert!(std::slice::from_raw_parts(again.pointer.as_ptr(), nbytes).iter().all(|&b| b == 0));
                release(again.pointer, again.size);
            }
        }

        // What waits stays near what was in use.
        let blocks: Vec<Block> = (1..200).map(|i| allocate(i * 50_000, Init::Uninit).unwrap()).collect();
        for block in blocks {
            // SAFETY: each goes back once.
            unsafe { release(block.pointer, block.size) };
        }
        let lists = LISTS.lock();
        assert!(lists.bytes <= lists.allowed(0));
        drop(lists);
        LISTS.lock().shrink(0);
        assert_eq!(LISTS.lock().classes.iter().map(VecDeque::len).sum::<usize>(), 0);
    }
}
