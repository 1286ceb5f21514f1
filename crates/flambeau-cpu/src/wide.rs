//! Loops compiled for wider vector registers, and what they ask for ahead.

pub(crate) use flambeau_linalg::level::{Body, Level, level, wide};
#[cfg(test)]
pub(crate) use flambeau_linalg::level::{highest, wide_at};
pub(crate) use flambeau_linalg::prefetch::{ahead, ahead_to_write, soon};
