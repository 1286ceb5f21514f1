//! Records what operators, gradients and named ranges took, for `torch.profiler`.

use flambeau_core::Dims;
use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Instant;

/// What an event stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Operator,
    /// The evaluation of a node of the graph.
    Backward,
    /// A range that the program named.
    Range,
}

/// Something that took time. Times are nanoseconds since [`now`]'s beginning.
#[derive(Clone, Debug)]
pub struct Event {
    pub name: Cow<'static, str>,
    pub kind: Kind,
    pub start: u64,
    pub end: u64,
    /// A number for the thread, from 1 in the order of first events.
    pub thread: u64,
    /// The sizes of tensor operands.
    pub shapes: Vec<Dims>,
}

static ON: AtomicBool = AtomicBool::new(false);
static EVENTS: Mutex<Vec<Event>> = Mutex::new(Vec::new());

/// Whether events are recorded.
#[inline(always)]
pub fn on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Nanoseconds since some moment of this process, which never go back.
pub fn now() -> u64 {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    BEGIN.get_or_init(Instant::now).elapsed().as_nanos() as u64
}

/// Begins to record; what was recorded before is dropped.
pub fn start() {
    let mut events = EVENTS.lock().unwrap_or_else(|e| e.into_inner());
    events.clear();
    ON.store(true, Ordering::Relaxed);
}

/// Ends recording and hands over the events, in the order of their ends.
pub fn stop() -> Vec<Event> {
    ON.store(false, Ordering::Relaxed);
    std::mem::take(&mut *EVENTS.lock().unwrap_or_else(|e| e.into_inner()))
}

/// Records an event that began at `start` and ends now.
pub fn record(name: Cow<'static, str>, kind: Kind, start: u64, shapes: Vec<Dims>) {
    static THREADS: AtomicU64 = AtomicU64::new(1);
    thread_local!(static THREAD: u64 = THREADS.fetch_add(1, Ordering::Relaxed));
    let event = Event { name, kind, start, end: now(), thread: THREAD.with(|t| *t), shapes };
    EVENTS.lock().unwrap_or_else(|e| e.into_inner()).push(event);
}

/// An event that lasts until it is dropped.
#[derive(Debug)]
pub struct Span {
    name: Cow<'static, str>,
    kind: Kind,
    start: u64,
    shapes: Vec<Dims>,
}

impl Drop for Span {
    fn drop(&mut self) {
        if on() {
            record(std::mem::take(&mut self.name), self.kind, self.start, std::mem::take(&mut self.shapes));
        }
    }
}

/// A span, if events are recorded; `describe` names it and its operands.
#[inline(always)]
pub fn span(kind: Kind, describe: impl FnOnce() -> (Cow<'static, str>, Vec<Dims>)) -> Option<Span> {
    if on() { Some(begin(kind, describe())) } else { None }
}

#[cold]
fn begin(kind: Kind, (name, shapes): (Cow<'static, str>, Vec<Dims>)) -> Span {
    Span { name, kind, start: now(), shapes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_nest() {
        assert!(span(Kind::Range, || unreachable!()).is_none());
        start();
        {
            let _outer = span(Kind::Range, || ("outer".into(), Vec::new()));
            let _inner = span(Kind::Operator, || ("inner".into(), vec![Dims::from_slice(&[2, 3])]));
        }
        let events: Vec<Event> =
            stop().into_iter().filter(|e| e.name == "inner" || e.name == "outer").collect();
        let [inner, outer] = &events[..] else { panic!("{events:?}") };
        assert!(outer.start <= inner.start && inner.end <= outer.end && inner.thread == outer.thread);
        assert_eq!(inner.shapes[0][..], [2, 3]);
        assert!(!on());
    }
}
