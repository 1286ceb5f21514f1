//! Untyped memory shared by tensors. One of the few modules with unsafe code.

use crate::memory::{check_memory, out_of_memory};
use crate::{Device, Result, Shared, bail, blocks};
use parking_lot::Mutex;
use std::any::Any;
use std::cell::UnsafeCell;
use std::fmt;
use std::mem::MaybeUninit;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};

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
    /// The bytes behind `pointer` that were allocated here; a smaller storage keeps them, for tensors that still
    /// have elements there.
    capacity: AtomicUsize,
    device: Device,
    owner: Owner,
    /// How many others were given a pointer to the memory (NumPy, a buffer, DLPack); it must stay where it is.
    exports: AtomicUsize,
    /// Memory of another owner that may not be written; the first write moves the contents, see `make_writable`.
    read_only: AtomicBool,
    /// Whether the memory is shared between processes.
    shared: AtomicBool,
    /// Serialises what moves the memory; holds the owner of memory that it was moved to.
    lock: Mutex<Option<Box<dyn Any + Send + Sync>>>,
    /// The memory of small blocks: `pointer` points here. A storage never moves, it is only made within a `Shared`.
    small: Small,
}

// SAFETY: `small` is reached through `pointer` alone, under the same rules as memory of the allocator: those who
// write see to it that nobody else reads.
unsafe impl Sync for Storage {}

enum Owner {
    Allocator,
    /// Keeps the memory of another library alive.
    Foreign(#[allow(dead_code)] Box<dyn Any + Send + Sync>),
    /// As above, by an address and the function that lets go of it: without an allocation.
    Lent(#[allow(dead_code)] Lease),
    Meta,
}

/// Something that is let go of when a storage dies: an address, and what to call with it.
pub struct Lease(usize, fn(usize));

impl Lease {
    pub fn new(address: usize, release: fn(usize)) -> Lease {
        Lease(address, release)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        (self.1)(self.0)
    }
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
    pub fn new(nbytes: usize, device: Device, init: Init) -> Result<Shared<Storage>> {
        let device = device.canonical();
        if device.is_meta() {
            return Ok(Self::place(std::ptr::null_mut(), nbytes, 0, device, Owner::Meta));
        }
        if nbytes == 0 || nbytes > SMALL {
            let (pointer, capacity) = allocate(nbytes, init)?;
            return Ok(Self::place(pointer, nbytes, capacity, device, Owner::Allocator));
        }
        let storage = Self::place(std::ptr::null_mut(), nbytes, SMALL, device, Owner::Allocator);
        let inside = storage.small.0.get().cast::<u8>();
        if init == Init::Zero {
            // SAFETY: the block has room for `nbytes`, and nobody else knows of it yet.
            unsafe { std::ptr::write_bytes(inside, 0, nbytes) };
        }
        storage.pointer.store(inside, Ordering::Relaxed);
        Ok(storage)
    }

    /// A storage with its small block left uninitialised.
    fn place(
        pointer: *mut u8,
        nbytes: usize,
        capacity: usize,
        device: Device,
        owner: Owner,
    ) -> Shared<Storage> {
        let fill = |storage: *mut Storage| {
            // SAFETY: a fresh place; every field but `small`, which may be uninitialised, is written.
            unsafe {
                (&raw mut (*storage).pointer).write(AtomicPtr::new(pointer));
                (&raw mut (*storage).nbytes).write(AtomicUsize::new(nbytes));
                (&raw mut (*storage).capacity).write(AtomicUsize::new(capacity));
                (&raw mut (*storage).device).write(device);
                (&raw mut (*storage).owner).write(owner);
                (&raw mut (*storage).exports).write(AtomicUsize::new(0));
                (&raw mut (*storage).read_only).write(AtomicBool::new(false));
                (&raw mut (*storage).shared).write(AtomicBool::new(false));
                (&raw mut (*storage).lock).write(Mutex::new(None));
            }
        };
        // SAFETY: see above.
        unsafe { Shared::new_in_place(fill) }
    }

    /// Frees a block that `pointer` held.
    fn release(&self, pointer: *mut u8, nbytes: usize) {
        if pointer != self.small.0.get().cast() {
            release(pointer, nbytes);
        }
    }

    /// Wraps memory that `owner` keeps alive.
    ///
    /// # Safety
    /// `pointer` must be valid for reads and writes of `nbytes` bytes as long as `owner` lives.
    pub unsafe fn foreign(
        pointer: *mut u8,
        nbytes: usize,
        owner: Box<dyn Any + Send + Sync>,
    ) -> Shared<Storage> {
        Self::place(pointer, nbytes, 0, Device::CPU, Owner::Foreign(owner))
    }

    /// Wraps memory that `owner` keeps alive and that may only be read.
    ///
    /// # Safety
    /// `pointer` must be valid for reads of `nbytes` bytes as long as `owner` lives.
    pub unsafe fn foreign_read_only(
        pointer: *mut u8,
        nbytes: usize,
        owner: Box<dyn Any + Send + Sync>,
    ) -> Shared<Storage> {
        let storage = Self::place(pointer, nbytes, 0, Device::CPU, Owner::Foreign(owner));
        storage.read_only.store(true, Ordering::Relaxed);
        storage
    }

    /// As [`Storage::foreign`] or, where it may only be read, as [`Storage::foreign_read_only`].
    ///
    /// # Safety
    /// As for these, until the lease ends.
    pub unsafe fn lent(pointer: *mut u8, nbytes: usize, lease: Lease, read_only: bool) -> Shared<Storage> {
        let storage = Self::place(pointer, nbytes, 0, Device::CPU, Owner::Lent(lease));
        storage.read_only.store(read_only, Ordering::Relaxed);
        storage
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
    /// Whether `resize` may move it: memory of other libraries, or known to them, may not.
    pub fn resizable(&self) -> bool {
        !matches!(self.owner, Owner::Foreign(_) | Owner::Lent(_))
            && self.exports.load(Ordering::Relaxed) == 0
            && !self.is_shared()
    }
    /// Whether it was moved to memory that processes share.
    pub fn is_shared(&self) -> bool {
        self.shared.load(Ordering::Relaxed)
    }
    /// Notes that processes share the memory, which another owner brought along.
    pub fn mark_shared(&self) {
        self.shared.store(true, Ordering::Relaxed);
    }
    /// Moves the contents to memory that processes share.
    ///
    /// # Safety
    /// `pointer` must be valid for reads and writes of `nbytes()` bytes as long as `owner` lives, and distinct from
    /// the present memory.
    pub unsafe fn share(&self, pointer: *mut u8, owner: Box<dyn Any + Send + Sync>) -> Result<()> {
        let mut guard = self.lock.lock();
        if self.exports.load(Ordering::Relaxed) > 0 {
            bail!("Trying to share storage while other libraries hold pointers into it");
        }
        if self.is_shared() || !self.device.is_cpu() {
            return Ok(());
        }
        let stale = self.as_ptr();
        if !stale.is_null() {
            // SAFETY: as promised by the caller.
            unsafe { std::ptr::copy_nonoverlapping(stale, pointer, self.nbytes()) };
        }
        self.pointer.store(pointer, Ordering::Release);
        self.release(stale, self.capacity.swap(0, Ordering::Relaxed));
        self.read_only.store(false, Ordering::Relaxed);
        self.shared.store(true, Ordering::Relaxed);
        *guard = Some(owner);
        Ok(())
    }
    /// Notes that others hold a pointer into it: from now on it stays where it is.
    pub fn export(&self) {
        self.exports.fetch_add(1, Ordering::Relaxed);
    }
    /// Whether its memory belongs to another owner who forbids writing.
    #[inline]
    pub fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::Relaxed)
    }
    /// Called before a write: moves the contents of read-only memory to memory of its own, once.
    #[inline]
    pub fn make_writable(&self) -> Result<()> {
        if self.is_read_only() { self.take_over() } else { Ok(()) }
    }
    #[cold]
    fn take_over(&self) -> Result<()> {
        let _guard = self.lock.lock();
        if self.is_read_only() {
            let nbytes = self.nbytes();
            let (fresh, capacity) = allocate(nbytes, Init::Uninit)?;
            if !fresh.is_null() {
                // SAFETY: the owner keeps `nbytes` readable bytes; the fresh block has as many.
                unsafe { std::ptr::copy_nonoverlapping(self.as_ptr(), fresh, nbytes) };
            }
            self.pointer.store(fresh, Ordering::Release);
            self.capacity.store(capacity, Ordering::Relaxed);
            self.read_only.store(false, Ordering::Release);
        }
        Ok(())
    }

    /// Changes the size, keeping the bytes that both sizes have; growth is zero-filled.
    pub fn resize(&self, nbytes: usize) -> Result<()> {
        let _guard = self.lock.lock();
        let old = self.nbytes();
        if nbytes == old {
            return Ok(());
        }
        if !self.resizable() {
            bail!("Trying to resize storage that is not resizable");
        }
        if self.device.is_meta() {
            self.nbytes.store(nbytes, Ordering::Relaxed);
            return Ok(());
        }
        let capacity = self.capacity.load(Ordering::Relaxed);
        let stale = self.as_ptr();
        if nbytes <= capacity {
            if nbytes > old {
                // SAFETY: within the allocation.
                unsafe { std::ptr::write_bytes(stale.add(old), 0, nbytes - old) };
            }
        } else {
            let (fresh, larger) = allocate(nbytes, Init::Zero)?;
            if !stale.is_null() {
                // SAFETY: both blocks hold at least `old` bytes and are distinct allocations.
                unsafe { std::ptr::copy_nonoverlapping(stale, fresh, old) };
            }
            self.pointer.store(fresh, Ordering::Relaxed);
            self.capacity.store(larger, Ordering::Relaxed);
            self.release(stale, capacity);
        }
        self.nbytes.store(nbytes, Ordering::Relaxed);
        Ok(())
    }
}

impl Shared<Storage> {
    /// Keeps the memory alive and where it is until the loan ends.
    pub fn lend(&self) -> Loan {
        self.export();
        Loan(self.clone())
    }
    /// A storage over a part of the bytes, which stay where they are while it lives.
    pub fn slice(&self, start: usize, nbytes: usize) -> Result<Shared<Storage>> {
        if start.checked_add(nbytes).is_none_or(|end| end > self.nbytes()) {
            bail!(
                "slice of {nbytes} bytes from {start} is out of bounds for storage of size {}",
                self.nbytes()
            );
        }
        if self.device.is_meta() {
            return Storage::new(nbytes, self.device, Init::Uninit);
        }
        let (first, loan) = (self.as_ptr().wrapping_add(start), Box::new(self.lend()));
        // SAFETY: within this storage, whose memory the loan keeps in place.
        Ok(unsafe {
            if self.is_read_only() {
                Storage::foreign_read_only(first, nbytes, loan)
            } else {
                Storage::foreign(first, nbytes, loan)
            }
        })
    }
}

/// A pointer into a storage that another library holds for a time.
pub struct Loan(Shared<Storage>);

impl Drop for Loan {
    fn drop(&mut self) {
        self.0.exports.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        let (pointer, capacity) = (*self.pointer.get_mut(), *self.capacity.get_mut());
        self.release(pointer, capacity);
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Storage({} bytes on {})", self.nbytes(), self.device)
    }
}

/// A block and the bytes behind its pointer; null for no bytes.
fn allocate(nbytes: usize, init: Init) -> Result<(*mut u8, usize)> {
    if nbytes == 0 {
        return Ok((std::ptr::null_mut(), 0));
    }
    check_memory(nbytes, 1)?;
    let block = blocks::allocate(nbytes, init).ok_or_else(|| out_of_memory(nbytes))?;
    Ok((block.pointer.as_ptr(), block.size))
}

fn release(pointer: *mut u8, capacity: usize) {
    if let (Some(pointer), true) = (NonNull::new(pointer), capacity > 0) {
        // SAFETY: `pointer` came from `allocate` with this capacity.
        unsafe { blocks::release(pointer, capacity) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resize_keeps_contents_and_zeroes_growth() {
        let s = Storage::new(4, Device::CPU, Init::Zero).unwrap();
        let bytes = |s: &Storage| {
            // SAFETY: a storage has its bytes, which nothing else writes here.
            unsafe { std::slice::from_raw_parts(s.as_ptr(), s.nbytes()) }.to_vec()
        };
        // SAFETY: 4 bytes of one's own.
        unsafe { s.as_ptr().write_bytes(7, 4) };
        let before = s.as_ptr();
        s.resize(2).unwrap();
        assert_eq!((s.as_ptr(), bytes(&s)), (before, vec![7, 7]));
        s.resize(4).unwrap();
        assert_eq!(bytes(&s), [7, 7, 0, 0]);
        s.resize(6).unwrap();
        assert_eq!(bytes(&s), [7, 7, 0, 0, 0, 0]);
        let loan = s.lend();
        assert!(!s.resizable() && s.resize(1000).is_err());
        let part = s.slice(1, 3).unwrap();
        // SAFETY: the first of 3 bytes.
        unsafe { part.as_ptr().write(8) };
        assert_eq!((part.nbytes(), bytes(&s)[1]), (3, 8));
        assert!(s.slice(4, 3).is_err() && s.slice(usize::MAX, 2).is_err());
        drop((loan, part));
        assert!(s.resizable() && s.resize(1000).is_ok());
    }

    #[test]
    fn the_first_write_to_read_only_memory_moves_it() {
        static DATA: [u8; 3] = [1, 2, 3];
        // SAFETY: static bytes, which are not written to before they have moved.
        let s = unsafe { Storage::foreign_read_only(DATA.as_ptr().cast_mut(), 3, Box::new(())) };
        assert!(s.is_read_only() && !s.resizable());
        s.make_writable().unwrap();
        // SAFETY: the storage has memory of its own by now.
        unsafe { s.as_ptr().write(9) };
        assert!(!s.is_read_only() && s.as_ptr().cast_const() != DATA.as_ptr() && DATA == [1, 2, 3]);
        // SAFETY: 3 bytes.
        assert_eq!(unsafe { std::slice::from_raw_parts(s.as_ptr(), 3) }, [9, 2, 3]);
    }
}
