//! Work on several threads, over rayon's pool (well kept, and part of most Rust programs).
//!
//! How work is cut into pieces depends on the work alone, so that results do not depend on the number of threads. The
//! pool is made by the first work that is large enough; a forked child, in which no thread of its parent's pool lives,
//! makes one of its own. One of the modules with unsafe code.

use crate::Result;
use parking_lot::Mutex;
use rayon_core::ThreadPool;
use std::cell::Cell;
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// The number of threads that one piece of work may use; 0 before the first question.
static THREADS: AtomicUsize = AtomicUsize::new(0);
/// The most threads that are worth asking for.
const MOST: usize = 1024;

thread_local! {
    /// Whether this thread is at work on a part of something: parts are not divided further.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
    /// Whether the next sweep that this thread begins goes backwards.
    static BACKWARDS: Cell<bool> = const { Cell::new(false) };
}

/// Sweeps of fewer pieces always go forwards.
const FEW: usize = 4;
/// Pieces that a sweep backwards on one thread takes together.
const TOGETHER: usize = 2;

/// Whether a sweep over so many pieces goes backwards.
fn turn(pieces: usize) -> bool {
    pieces >= FEW && turns()
}

/// Whether work on one thread that passes over more memory than the first-level cache holds, too little for [`sweep`],
/// goes backwards: every other one does.
#[inline(always)]
pub fn turns() -> bool {
    BACKWARDS.replace(!BACKWARDS.get())
}

struct Pool {
    threads: ThreadPool,
    /// How many threads it has.
    size: usize,
    process: u32,
}

/// The pool in use. Pools are never freed: others may be at work in one that was replaced, and dropping one in a forked
/// child would wait for threads that do not exist.
static POOL: AtomicPtr<Pool> = AtomicPtr::new(std::ptr::null_mut());

/// The number of threads that an operator may use: what was set, else what the environment says (`OMP_NUM_THREADS`,
/// `MKL_NUM_THREADS`), else the processors of this process.
pub fn num_threads() -> usize {
    match THREADS.load(Ordering::Relaxed) {
        0 => {
            let asked = |name: &str| std::env::var(name).ok()?.trim().parse::<usize>().ok();
            let here = || std::thread::available_parallelism().map_or(1, |n| n.get());
            let n = asked("OMP_NUM_THREADS").or_else(|| asked("MKL_NUM_THREADS")).filter(|&n| n > 0);
            let n = n.unwrap_or_else(here).min(MOST);
            THREADS.store(n, Ordering::Relaxed);
            n
        }
        n => n,
    }
}

/// Sets the number of threads that an operator may use, at least 1.
pub fn set_num_threads(n: usize) {
    THREADS.store(n.clamp(1, MOST), Ordering::Relaxed);
}

/// Sets the flag as long as it lives.
struct Inside(bool);

impl Inside {
    fn enter() -> Self {
        Inside(INSIDE.replace(true))
    }
}
impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(self.0);
    }
}

/// A pool of at least `size` threads in this process; none where threads can't be had.
fn pool(size: usize) -> Option<&'static ThreadPool> {
    let present = POOL.load(Ordering::Acquire);
    // SAFETY: null, or a pool that is never freed.
    if let Some(pool) = unsafe { present.as_ref() }
        && pool.process == std::process::id()
        && pool.size >= size
    {
        return Some(&pool.threads);
    }
    let threads = rayon_core::ThreadPoolBuilder::new()
        .num_threads(size)
        .thread_name(|i| format!("flambeau-{i}"))
        .build()
        .ok()?;
    let made = Box::into_raw(Box::new(Pool { threads, size, process: std::process::id() }));
    // Where two threads make one at once, each uses its own this time.
    POOL.store(made, Ordering::Release);
    // SAFETY: never freed.
    Some(unsafe { &(*made).threads })
}

/// Calls `body` with ranges that cover `0..n`, on several threads if there is more than `grain` to do for each. Ranges
/// start at multiples of `grain`, but may be longer: what `body` computes for an item must not depend on its range.
///
/// A grain is worth some tens of microseconds, which is what waking a thread may cost.
pub fn parallel(n: usize, grain: usize, body: impl Fn(Range<usize>) + Sync) {
    share(n, grain.max(1), false, body);
}

/// As [`parallel`], for work that passes over memory once. Every other sweep goes backwards: what the one before touched
/// last, often what this one reads, is then still in the caches.
pub fn sweep(n: usize, grain: usize, body: impl Fn(Range<usize>) + Sync) {
    let grain = grain.max(1);
    let backwards = !INSIDE.get() && turn(n.div_ceil(grain));
    share(n, grain, backwards, body);
}

/// See [`parallel`] and [`sweep`].
fn share(n: usize, grain: usize, backwards: bool, body: impl Fn(Range<usize>) + Sync) {
    let pieces = n.div_ceil(grain);
    let threads = if pieces <= 1 || INSIDE.get() { 1 } else { num_threads().min(pieces) };
    let Some(pool) = (if threads > 1 { pool(threads - 1) } else { None }) else {
        let together = if backwards { TOGETHER * grain } else { n.max(1) };
        // Forwards, all there is at once.
        (0..n).step_by(together).rev().for_each(|start| body(start..n.min(start + together)));
        return;
    };
    let next = AtomicUsize::new(0);
    let work = || {
        let _inside = Inside::enter();
        loop {
            let piece = next.fetch_add(1, Ordering::Relaxed);
            if piece >= pieces {
                break;
            }
            let piece = if backwards { pieces - 1 - piece } else { piece };
            body(piece * grain..n.min((piece + 1) * grain));
        }
    };
    // A panic in `body` is carried to the caller.
    pool.in_place_scope(|scope| {
        (1..threads).for_each(|_| scope.spawn(|_| work()));
        work();
    });
}

/// Calls `body` with every part, on several threads if there are more than `grain` for each: for parts that own what they
/// write to. Their order is that of a [`sweep`]. The first error is returned; which of the other parts were done is then
/// open.
pub fn each<P: Send>(
    mut parts: impl ExactSizeIterator<Item = P> + DoubleEndedIterator,
    grain: usize,
    body: impl Fn(P) -> Result<()> + Sync,
) -> Result<()> {
    if parts.len() <= grain || INSIDE.get() || num_threads() == 1 {
        let backwards = !INSIDE.get() && turn(parts.len());
        return if backwards { parts.rev().try_for_each(body) } else { parts.try_for_each(body) };
    }
    let parts: Vec<Mutex<Option<P>>> = parts.map(|part| Mutex::new(Some(part))).collect();
    let failed = OnceLock::new();
    sweep(parts.len(), grain, |range| {
        for part in &parts[range] {
            let part = part.lock().take();
            if let Some(Err(error)) = part.map(&body) {
                let _ = failed.set(error);
            }
        }
    });
    failed.into_inner().map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn every_item_once_on_any_number_of_threads() {
        for threads in [1, 2, 3, 8] {
            set_num_threads(threads);
            for (n, grain) in [(0, 5), (1, 1), (7, 0), (1000, 7), (64, 64), (65, 64)] {
                let seen: Vec<AtomicU32> = (0..n).map(|_| AtomicU32::new(0)).collect();
                parallel(n, grain, |range| {
                    assert!(range.start.is_multiple_of(grain.max(1)));
                    for i in range {
                        // Work within work is done, and does not wait for other parts.
                        let inner = AtomicUsize::new(0);
                        parallel(3, 1, |range| {
                            inner.fetch_add(range.len(), Ordering::Relaxed);
                        });
                        assert_eq!(inner.into_inner(), 3);
                        seen[i].fetch_add(1, Ordering::Relaxed);
                    }
                });
                assert!(seen.iter().all(|s| s.load(Ordering::Relaxed) == 1));
            }
        }
        assert_eq!(num_threads(), 8);
        set_num_threads(0);
        assert_eq!(num_threads(), 1);
    }

    #[test]
    fn sweeps_turn() {
        for threads in [1, 3] {
            set_num_threads(threads);
            for (n, grain) in [(0, 5), (3, 1), (1000, 7), (64, 16), (65, 16), (999, 333)] {
                for _ in 0..2 {
                    let order = Mutex::new(Vec::new());
                    sweep(n, grain, |range| {
                        assert!(range.start.is_multiple_of(grain));
                        order.lock().push(range);
                    });
                    let mut order = order.into_inner();
                    if threads == 1 && n.div_ceil(grain) >= FEW {
                        // One of two in succession begins at the end.
                        assert_eq!(order[0].start == 0, BACKWARDS.get());
                    }
                    order.sort_by_key(|range| range.start);
                    let items: Vec<usize> = order.into_iter().flatten().collect();
                    assert!(items.into_iter().eq(0..n));
                }
            }
        }
        set_num_threads(1);
        let mut seen = [[0; 8]; 2];
        for seen in &mut seen {
            let next = AtomicUsize::new(0);
            each(seen.iter_mut(), 1, |x| {
                *x = next.fetch_add(1, Ordering::Relaxed);
                Ok(())
            })
            .unwrap();
        }
        seen[1].reverse();
        assert_eq!(seen[0], seen[1]);
    }

    #[test]
    fn each_part_once() {
        for threads in [1, 4] {
            set_num_threads(threads);
            let mut x = [0u32; 1000];
            each(x.chunks_mut(7).enumerate(), 3, |(i, part)| {
                part.iter_mut().for_each(|x| *x += i as u32);
                Ok(())
            })
            .unwrap();
            assert!(x.iter().enumerate().all(|(i, &x)| x == i as u32 / 7));
            let error = each(0..100, 1, |i| if i == 50 { crate::bail!("fifty") } else { Ok(()) });
            assert!(error.unwrap_err().to_string().contains("fifty"));
        }
    }

    #[test]
    fn panics_reach_the_caller_and_leave_the_pool_usable() {
        set_num_threads(2);
        let caught = std::panic::catch_unwind(|| {
            parallel(100, 1, |range| assert!(!range.contains(&50), "fifty"));
        });
        assert!(caught.is_err());
        let total = AtomicUsize::new(0);
        parallel(100, 1, |range| {
            total.fetch_add(range.sum(), Ordering::Relaxed);
        });
        assert_eq!(total.into_inner(), 4950);
    }
}
