//! Primitives whose functions live in `math`, on `f32` (computed in `f64`) and `f64`.

use super::Prim;
use super::kernels::{Compute, Kernel};

pub(super) fn kernel<T: Compute>(_p: Prim) -> Option<Kernel<T>> {
    None
}
