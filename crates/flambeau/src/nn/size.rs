//! Sizes of windows: one number for all dimensions, or one for each.

use super::repr::Python;

/// A size for each of `N` dimensions, given as one number or as `N` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size<const N: usize> {
    All(i64),
    Each([i64; N]),
}

impl<const N: usize> Size<N> {
    /// One number for each dimension.
    pub fn each(self) -> [i64; N] {
        match self {
            Size::All(n) => [n; N],
            Size::Each(list) => list,
        }
    }
}
impl<const N: usize> From<i64> for Size<N> {
    fn from(n: i64) -> Self {
        Size::All(n)
    }
}
impl<const N: usize> From<[i64; N]> for Size<N> {
    fn from(list: [i64; N]) -> Self {
        Size::Each(list)
    }
}
impl<const N: usize> Python for Size<N> {
    fn python(&self) -> String {
        match self {
            Size::All(n) => n.python(),
            Size::Each(list) => list[..].python(),
        }
    }
}
