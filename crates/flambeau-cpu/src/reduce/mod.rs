//! Reductions over any set of dimensions, scans, and the normalising exponentials.

mod arg;
mod cascade;
mod cut;
mod distance;
mod distance_backward;
mod engine;
mod norm;
mod plan;
mod reducers;
mod rows;
mod scan;
mod softmax;
#[cfg(test)]
mod tests;

pub use arg::extreme_with_index;
pub use distance::distances;
pub use distance_backward::{Order, Pairs, distances_backward};
pub use engine::{Reducer, reduce};
pub use norm::{Norm, norm};
pub use reducers::{Extremum, Truth, minmax, moments, prod, sum, truth};
pub use scan::{Scan, scan};
pub use softmax::{logsumexp, softmax, softmax_backward};

use crate::pointwise::Compute;
use flambeau_core::{C32, C64};
use std::ops::{Add, Mul};

/// Arithmetic of the compute types; integers wrap.
pub trait Arith: Compute {
    const ONE: Self;
    fn plus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
    fn is_nan(self) -> bool;
}

macro_rules! arith {
    ($($t:ty, $one:expr, $plus:ident, $times:ident, $nan:expr;)*) => { $(impl Arith for $t {
        const ONE: $t = $one;
        #[inline(always)]
        fn plus(self, other: $t) -> $t {
            self.$plus(other)
        }
        #[inline(always)]
        fn times(self, other: $t) -> $t {
            self.$times(other)
        }
        #[inline(always)]
        fn is_nan(self) -> bool {
            $nan(self)
        }
    })* };
}
arith!(
    f32, 1.0, add, mul, f32::is_nan;
    f64, 1.0, add, mul, f64::is_nan;
    i64, 1, wrapping_add, wrapping_mul, |_| false;
    C32, C32 { re: 1.0, im: 0.0 }, add, mul, |c: C32| c.re.is_nan() || c.im.is_nan();
    C64, C64 { re: 1.0, im: 0.0 }, add, mul, |c: C64| c.re.is_nan() || c.im.is_nan();
);
