//! The profiler's recordings for Python.

use flambeau::profile::{self, Kind, Span};
use flambeau::schema::{Arg, Overload, Target};
use pyo3::prelude::*;

/// A span for the call of an operator, if events are recorded.
#[inline(always)]
pub fn called(overload: &'static Overload, args: &[Arg], target: &Target) -> Option<Span> {
    profile::span(Kind::Operator, || {
        let of = |op: &&flambeau::schema::OpDef| {
            op.overloads.as_ptr_range().contains(&std::ptr::from_ref(overload))
        };
        let name = flambeau::generated::OPS.iter().find(of).map_or("operator", |op| op.name);
        let sizes = |arg: &Arg| match arg {
            Arg::Tensor(t) => t.sizes(),
            _ => flambeau::Dims::new(),
        };
        let mark = if matches!(target, Target::InPlace) { "_" } else { "" };
        (format!("aten::{name}{mark}").into(), args.iter().map(sizes).collect())
    })
}

/// Begins to record calls of operators and gradients.
#[pyfunction]
pub fn _profiler_start() {
    profile::start();
}

/// `(name, kind, start, end, thread, shapes)` of an event; times in nanoseconds.
type Recorded = (String, &'static str, u64, u64, u64, Vec<Vec<i64>>);

/// Ends recording; the events in the order of their ends.
#[pyfunction]
pub fn _profiler_stop() -> Vec<Recorded> {
    let kind = |k| match k {
        Kind::Operator => "operator",
        Kind::Backward => "backward",
        Kind::Range => "range",
    };
    profile::stop()
        .into_iter()
        .map(|e| {
            let shapes = e.shapes.iter().map(|s| s.to_vec()).collect();
            (e.name.into_owned(), kind(e.kind), e.start, e.end, e.thread, shapes)
        })
        .collect()
}

/// Whether events are recorded.
#[pyfunction]
pub fn _profiler_enabled() -> bool {
    profile::on()
}

/// The time on the clock of recorded events, in nanoseconds.
#[pyfunction]
pub fn _profiler_now() -> u64 {
    profile::now()
}

/// Records a named range that began at `start` and ends now.
#[pyfunction]
pub fn _profiler_record(name: String, start: u64) {
    if profile::on() {
        profile::record(name.into(), Kind::Range, start, Vec::new());
    }
}
