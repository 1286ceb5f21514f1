//! Random generators.

/// A source of random numbers.
#[derive(Clone, Debug, Default)]
pub struct Generator {}
