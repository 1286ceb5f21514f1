//! Untyped memory shared by tensors. One of the few modules with unsafe code.

use crate::{Device, Result, bail};
use parking_lot::Mutex;
use std::any::Any;
use std::cell::UnsafeCell;
use std::fmt;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

const ALIGNMENT: usize = 64;

/// Blocks up to this size live in the storage itself, which saves an allocation.
const SMALL: usize = 64;

#[repr(align(16))]
struct Small(UnsafeCell<[MaybeUninit<u8>; SMALL]>);

/// A block of bytes: allocated here, borrowed from another owner (a NumPy array), or absent (`meta`).
///
/// Reading and writing go through raw pointers: several tensors share a storage, as PyTorch's do, and the
/// callers that write (kernels) check bounds against [`Storage::nbytes`] first.
pub struct Storage {
    pointer: AtomicPtr<u8>,
    nbytes: AtomicUsize,
    device: Device,
    owner: Owner,
    /// Serialises `resize`.
    lock: Mutex<()>,
    /// The memory of small blocks: `pointer` points here. A storage never moves, it is only made within an `Arc`.
    small: Small,
}

// SAFETY: `small` is reached through `pointer` alone, under the same rules as memory of the allocator: those who
// write see to it that nobody else reads.
unsafe impl Sync for Storage {}

enum Owner {
    Allocator,
    /// Keeps the memory of another library alive.
    Foreign(#[allow(dead_code)] Box<dyn Any + Send + Sync>),
    Meta,
}

/// How fresh memory is filled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Init {
    /// Whatever the allocator returns; the caller writes every byte before any is read.
    Uninit,
    Zero,
}

impl Storage {
    /// Allocates `nbytes` on the device. Zero-size storages own no memory.
    pub fn new(nbytes: usize, device: Device, init: Init) -> Result<Arc<Storage>> {
        if device.is_meta() {
            return Ok(Self::place(std::ptr::null_mut(), nbytes, device, Owner::Meta));
        }
        if nbytes == 0 || nbytes > SMALL {
            return Ok(Self::place(allocate(nbytes, init)?, nbytes, device, Owner::Allocator));
        }
        let storage = Self::place(std::ptr::null_mut(), nbytes, device, Owner::Allocator);
        let inside = storage.small.0.get().cast::<u8>();
        if init == Init::Zero {
            // SAFETY: the block has room for `nbytes`, and nobody else knows of it yet.
            unsafe { std::ptr::write_bytes(inside, 0, nbytes) };
        }
        storage.pointer.store(inside, Ordering::Relaxed);
        Ok(storage)
    }

    /// Wraps memory that `owner` keeps alive.
    ///
    /// # Safety
    /// `pointer` must be valid for reads and writes of `nbytes` bytes as long as `owner` lives.
    pub unsafe fn foreign(
        pointer: *mut u8,
        nbytes: usize,
        owner: Box<dyn Any + Send + Sync>,
    ) -> Arc<Storage> {
        Self::place(pointer, nbytes, Device::CPU, Owner::Foreign(owner))
    }

    /// A storage with its small block left uninitialised.
    fn place(pointer: *mut u8, nbytes: usize, device: Device, owner: Owner) -> Arc<Storage> {
        let memory = Arc::<Storage>::new_uninit();
        // SAFETY: the allocation is ours alone; every field but `small`, which may be uninitialised, is written.
        unsafe {
            let storage = Arc::as_ptr(&memory).cast_mut().cast::<Storage>();
            (&raw mut (*storage).pointer).write(AtomicPtr::new(pointer));
            (&raw mut (*storage).nbytes).write(AtomicUsize::new(nbytes));
            (&raw mut (*storage).device).write(device);
            (&raw mut (*storage).owner).write(owner);
            (&raw mut (*storage).lock).write(Mutex::new(()));
            memory.assume_init()
        }
    }

    /// Frees a block that `pointer` held.
    fn release(&self, pointer: *mut u8, nbytes: usize) {
        if pointer != self.small.0.get().cast() {
            release(pointer, nbytes);
        }
    }

    /// The first byte; null for empty and for `meta` storages.
    #[inline]
    pub fn as_ptr(&self) -> *mut u8 {
        self.pointer.load(Ordering::Relaxed)
    }
    #[inline]
    pub fn nbytes(&self) -> usize {
        self.nbytes.load(Ordering::Relaxed)
    }
    #[inline]
    pub fn device(&self) -> Device {
        self.device
    }
    /// Whether `resize` may move it: memory of other libraries may not.
    pub fn resizable(&self) -> bool {
        !matches!(self.owner, Owner::Foreign(_))
    }

    /// Changes the size, keeping the bytes that both sizes have; growth is zero-filled.
    pub fn resize(&self, nbytes: usize) -> Result<()> {
        let _guard = self.lock.lock();
        let old = self.nbytes();
        if nbytes == old {
            return Ok(());
        }
        match self.owner {
            Owner::Foreign(_) => bail!("Trying to resize storage that is not resizable"),
            Owner::Meta => self.nbytes.store(nbytes, Ordering::Relaxed),
            Owner::Allocator => {
                let fresh = allocate(nbytes, Init::Zero)?;
                let stale = self.as_ptr();
                if !stale.is_null() && !fresh.is_null() {
                    // SAFETY: both blocks hold at least `min` bytes and are distinct allocations.
                    unsafe { std::ptr::copy_nonoverlapping(stale, fresh, old.min(nbytes)) };
                }
                self.pointer.store(fresh, Ordering::Relaxed);
                self.nbytes.store(nbytes, Ordering::Relaxed);
                self.release(stale, old);
            }
        }
        Ok(())
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        if let Owner::Allocator = self.owner {
            let (pointer, nbytes) = (*self.pointer.get_mut(), *self.nbytes.get_mut());
            self.release(pointer, nbytes);
        }
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Storage({} bytes on {})", self.nbytes(), self.device)
    }
}

fn layout(nbytes: usize) -> Option<std::alloc::Layout> {
    // Small blocks take the allocator's own alignment, which is cheaper; large ones start on a cache line.
    let alignment = if nbytes <= 256 { 16 } else { ALIGNMENT };
    std::alloc::Layout::from_size_align(nbytes, alignment).ok()
}

fn allocate(nbytes: usize, init: Init) -> Result<*mut u8> {
    if nbytes == 0 {
        return Ok(std::ptr::null_mut());
    }
    let block = layout(nbytes).and_then(|layout| {
        // SAFETY: the layout has a size above zero.
        NonNull::new(unsafe {
            match init {
                Init::Uninit => std::alloc::alloc(layout),
                Init::Zero => std::alloc::alloc_zeroed(layout),
            }
        })
    });
    match block {
        Some(block) => Ok(block.as_ptr()),
        None => bail!(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to \
             allocate {nbytes} bytes. Error code 12 (Cannot allocate memory)"
        ),
    }
}

fn release(pointer: *mut u8, nbytes: usize) {
    if let (false, Some(layout)) = (pointer.is_null(), layout(nbytes)) {
        // SAFETY: `pointer` came from `allocate` with this size, hence with this layout.
        unsafe { std::alloc::dealloc(pointer, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(storage: &Storage) -> Vec<u8> {
        // SAFETY: a storage holds as many bytes as it says, written by the tests.
        (0..storage.nbytes()).map(|i| unsafe { storage.as_ptr().add(i).read() }).collect()
    }

    #[test]
    fn small_blocks_live_inside_and_move_out_when_they_grow() {
        let storage = Storage::new(SMALL, Device::CPU, Init::Zero).unwrap();
        assert_eq!(bytes(&storage), [0; SMALL]);
        assert_eq!(storage.as_ptr() as usize % 16, 0);
        // SAFETY: within the block.
        unsafe { storage.as_ptr().write(7) };
        for size in [SMALL + 1, 3, 1000, 0, 5] {
            storage.resize(size).unwrap();
            assert_eq!(storage.nbytes(), size);
            let kept = bytes(&storage);
            assert!(kept.iter().skip(1).all(|&b| b == 0));
            assert!(size == 0 || size == 5 || kept[0] == 7);
        }
    }

    #[test]
    fn blocks_of_every_size_are_zeroed_and_freed() {
        for size in [0, 1, SMALL - 1, SMALL, SMALL + 1, 4096] {
            let storage = Storage::new(size, Device::CPU, Init::Zero).unwrap();
            assert_eq!(bytes(&storage), vec![0; size]);
            assert_eq!(storage.as_ptr().is_null(), size == 0);
        }
        let meta = Storage::new(8, Device::META, Init::Uninit).unwrap();
        assert!(meta.as_ptr().is_null());
        meta.resize(100).unwrap();
        assert_eq!(meta.nbytes(), 100);
    }
}
