//! Counted handles, as `Arc` and `Weak`, with both counts in one number: who holds the only handle sees that by looking
//! at it, and frees what it names without an atomic change. Most tensors die that way. One of the modules with unsafe code.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU64, Ordering, fence};

/// A strong handle, in the lower bits, and a weak one, in the upper; all strong handles together hold a weak one.
const STRONG: u64 = 1;
const WEAK: u64 = 1 << 36;
/// Far more handles than memory holds; beyond, a count could run into its neighbour.
const MOST_STRONG: u64 = 1 << 35;
const MOST_WEAK: u64 = 1 << 27;

fn strong(counts: u64) -> u64 {
    counts & (WEAK - 1)
}

struct Block<T> {
    counts: AtomicU64,
    value: T,
}

/// A handle that keeps what it names alive. Cloning it names the same.
pub struct Shared<T>(NonNull<Block<T>>, PhantomData<Block<T>>);

/// A handle that does not keep what it names alive.
pub struct WeakShared<T>(NonNull<Block<T>>);

// SAFETY: as for `Arc`: handles in several threads give shared access, and any of them may be the one that drops the value.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}
// SAFETY: as above, after `upgrade`.
unsafe impl<T: Send + Sync> Send for WeakShared<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for WeakShared<T> {}

impl<T> Shared<T> {
    #[inline]
    pub fn new(value: T) -> Shared<T> {
        Self::new_with(|| value)
    }

    /// A handle to what `make` gives, which is called when its place is there: large values need not be moved.
    #[inline(always)]
    pub fn new_with(make: impl FnOnce() -> T) -> Shared<T> {
        // SAFETY: a place for a value.
        unsafe { Self::new_in_place(|place| place.write(make())) }
    }

    /// A handle to a value that `fill` writes in its place.
    ///
    /// # Safety
    /// `fill` must initialise what it is given a pointer to.
    #[inline(always)]
    pub unsafe fn new_in_place(fill: impl FnOnce(*mut T)) -> Shared<T> {
        let block = Box::leak(Box::<Block<T>>::new_uninit());
        let block = NonNull::from(block).cast::<Block<T>>();
        // SAFETY: memory of our own for a block; the caller's function writes the value.
        unsafe {
            (&raw mut (*block.as_ptr()).counts).write(AtomicU64::new(STRONG | WEAK));
            fill(&raw mut (*block.as_ptr()).value);
        }
        Shared(block, PhantomData)
    }

    #[inline]
    fn counts(&self) -> &AtomicU64 {
        // SAFETY: a handle keeps the block.
        unsafe { &self.0.as_ref().counts }
    }

    /// Whether both handles name the same.
    #[inline]
    pub fn ptr_eq(a: &Shared<T>, b: &Shared<T>) -> bool {
        a.0 == b.0
    }

    /// Where the value is.
    #[inline]
    pub fn as_ptr(this: &Shared<T>) -> *const T {
        // SAFETY: a handle keeps the block.
        unsafe { &raw const (*this.0.as_ptr()).value }
    }

    /// The number of handles that keep it alive.
    #[inline]
    pub fn strong_count(this: &Shared<T>) -> usize {
        strong(this.counts().load(Ordering::Relaxed)) as usize
    }

    /// The value, if no other handle names it.
    #[inline]
    pub fn get_mut(this: &mut Shared<T>) -> Option<&mut T> {
        // What others did with their handles comes before what is done now.
        if this.counts().load(Ordering::Acquire) == STRONG | WEAK {
            // SAFETY: this is the only handle, and borrowed for as long as the value is.
            return Some(unsafe { &mut this.0.as_mut().value });
        }
        None
    }

    pub fn downgrade(this: &Shared<T>) -> WeakShared<T> {
        let old = this.counts().fetch_add(WEAK, Ordering::Relaxed);
        if old / WEAK > MOST_WEAK {
            too_many();
        }
        WeakShared(this.0)
    }

    /// # Safety
    /// No handle may use the value any more.
    #[cold]
    #[inline(never)]
    unsafe fn drop_with_weak(&mut self) {
        // SAFETY: the last strong handle drops the value; the weak handle of all strong ones goes after it.
        unsafe {
            let weak = WeakShared(self.0);
            std::ptr::drop_in_place(&raw mut (*self.0.as_ptr()).value);
            drop(weak);
        }
    }
}

#[cold]
fn too_many() -> ! {
    // As `Arc` does: no program that keeps its handles gets here, its memory would not hold them.
    std::process::abort()
}

impl<T> Clone for Shared<T> {
    #[inline]
    fn clone(&self) -> Shared<T> {
        // The handle at hand keeps the value: nothing else has to be seen.
        let old = self.counts().fetch_add(STRONG, Ordering::Relaxed);
        if strong(old) > MOST_STRONG {
            too_many();
        }
        Shared(self.0, PhantomData)
    }
}

impl<T> Drop for Shared<T> {
    #[inline]
    fn drop(&mut self) {
        // The only handle of either kind: nobody is left who could make another.
        if self.counts().load(Ordering::Acquire) == STRONG | WEAK {
            // SAFETY: the block was made as a box, and nobody else knows of it.
            drop(unsafe { Box::from_raw(self.0.as_ptr()) });
            return;
        }
        if strong(self.counts().fetch_sub(STRONG, Ordering::Release)) == 1 {
            fence(Ordering::Acquire);
            // SAFETY: the last strong handle.
            unsafe { self.drop_with_weak() }
        }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: a strong handle keeps the value.
        unsafe { &self.0.as_ref().value }
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> WeakShared<T> {
    fn counts(&self) -> &AtomicU64 {
        // SAFETY: a weak handle keeps the block, if not its value. The reference is to the counts alone.
        unsafe { &(*self.0.as_ptr()).counts }
    }

    /// A handle that keeps it alive, if another one still does.
    pub fn upgrade(&self) -> Option<Shared<T>> {
        let counts = self.counts();
        let mut old = counts.load(Ordering::Relaxed);
        loop {
            if strong(old) == 0 {
                return None;
            }
            if strong(old) > MOST_STRONG {
                too_many();
            }
            match counts.compare_exchange_weak(old, old + STRONG, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(Shared(self.0, PhantomData)),
                Err(now) => old = now,
            }
        }
    }
}

impl<T> Clone for WeakShared<T> {
    fn clone(&self) -> WeakShared<T> {
        let old = self.counts().fetch_add(WEAK, Ordering::Relaxed);
        if old / WEAK > MOST_WEAK {
            too_many();
        }
        WeakShared(self.0)
    }
}

impl<T> Drop for WeakShared<T> {
    fn drop(&mut self) {
        if self.counts().fetch_sub(WEAK, Ordering::Release) / WEAK == 1 {
            fence(Ordering::Acquire);
            // SAFETY: the last handle of all; the value is gone, as strong handles hold a weak one while it is there.
            drop(unsafe { Box::from_raw(self.0.as_ptr().cast::<std::mem::MaybeUninit<Block<T>>>()) });
        }
    }
}

impl<T> fmt::Debug for WeakShared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(WeakShared)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    /// Counts how often it is dropped.
    struct Noted(Arc<AtomicUsize>);
    impl Drop for Noted {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn dropped_once_by_the_last_strong_handle() {
        let drops = Arc::new(AtomicUsize::new(0));
        let count = || drops.load(Ordering::SeqCst);
        let mut a = Shared::new(Noted(drops.clone()));
        assert!(Shared::get_mut(&mut a).is_some() && Shared::strong_count(&a) == 1);
        let b = a.clone();
        assert!(Shared::ptr_eq(&a, &b) && Shared::as_ptr(&a) == Shared::as_ptr(&b));
        assert!(Shared::get_mut(&mut a).is_none() && Shared::strong_count(&a) == 2);
        drop(b);
        let weak = Shared::downgrade(&a);
        assert!(Shared::get_mut(&mut a).is_none() && Shared::strong_count(&a) == 1);
        let again = weak.clone();
        assert!(Shared::ptr_eq(&weak.upgrade().unwrap(), &a));
        assert_eq!(count(), 0);
        drop(a);
        assert!(count() == 1 && weak.upgrade().is_none());
        drop(weak);
        drop(again);
        assert_eq!(count(), 1);
        // SAFETY: the value is written.
        drop(unsafe { Shared::new_in_place(|p| std::ptr::write(p, Noted(drops.clone()))) });
        assert_eq!(count(), 2);
    }

    #[test]
    fn threads_take_and_drop_handles() {
        for _ in 0..200 {
            let drops = Arc::new(AtomicUsize::new(0));
            let first = Shared::new(Noted(drops.clone()));
            std::thread::scope(|scope| {
                for _ in 0..3 {
                    let (mine, weak) = (first.clone(), Shared::downgrade(&first));
                    scope.spawn(move || {
                        for _ in 0..50 {
                            drop(mine.clone());
                            drop(weak.upgrade());
                        }
                        drop(mine);
                        drop(weak.upgrade());
                    });
                }
                drop(first);
            });
            assert_eq!(drops.load(Ordering::SeqCst), 1);
        }
    }
}
