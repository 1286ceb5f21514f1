//! Running sums and products whose results have the type of the elements: lines where they lie, without tiles. One of
//! the modules with unsafe code.

use super::super::Arith;
use super::super::plan::{Kept, Plan, each_kept};
use super::{Prod, Scan, Scanner, Sum};
use crate::pointwise::{Convert, Operand};
use crate::wide::{Body, wide};
use flambeau_core::{C64, DType, bf16, f16};
use smallvec::SmallVec;
use std::marker::PhantomData;

/// Columns whose sums are kept side by side.
const PANEL: usize = 256;

/// Elements in memory, and what they are added up in.
trait Cell: Copy {
    type Acc: Arith + Convert<Self>;
    /// Whether results are rounded so much that the last bits of accumulators don't matter.
    const COARSE: bool;
}
macro_rules! cell {
    ($($T:ty, $Acc:ty, $coarse:literal;)*) => { $(impl Cell for $T {
        type Acc = $Acc;
        const COARSE: bool = $coarse;
    })* };
}
cell! {
    f32, f64, true;
    f64, f64, false;
    bf16, f64, true;
    f16, f64, true;
    i64, i64, true;
    C64, C64, false;
}

/// What runs along a line in memory.
trait Running<T: Cell>: Scanner<In = T::Acc, Acc = T::Acc, Out = T::Acc> {
    #[inline(always)]
    fn line_of(&self, x: &[T], out: &mut [T]) {
        self.last_of(self.start(), x, out);
    }
    /// The elements of a line from one on.
    #[inline(always)]
    fn last_of(&self, mut acc: T::Acc, x: &[T], out: &mut [T]) {
        for (out, &x) in out.iter_mut().zip(x) {
            acc = self.step(acc, T::Acc::from_storage(x), 0);
            *out = acc.into_storage();
        }
    }
}
impl<T: Cell> Running<T> for Prod<T::Acc> {}
impl<T: Cell> Running<T> for Sum<T::Acc> {
    #[inline(always)]
    fn line_of(&self, x: &[T], out: &mut [T]) {
        let mut acc = self.start();
        if !T::COARSE {
            return self.last_of(acc, x, out);
        }
        let (fours, rest) = x.as_chunks::<4>();
        let (outs, last) = out.as_chunks_mut::<4>();
        // Sums within four elements don't wait for those before them.
        for (out, x) in outs.iter_mut().zip(fours) {
            let [a, b, c, d] = x.map(T::Acc::from_storage);
            let (two, after) = (a.plus(b), c.plus(d));
            let next = acc.plus(two.plus(after));
            *out = [acc.plus(a), acc.plus(two), acc.plus(two.plus(c)), next].map(Convert::into_storage);
            acc = next;
        }
        self.last_of(acc, rest, last);
    }
}

/// Running sums or products of all lines. False where nothing was done.
///
/// # Safety
/// As for `scan`.
pub(super) unsafe fn direct(
    what: Scan,
    src: &Operand,
    out: &Operand,
    sizes: &[i64],
    dim: usize,
    reverse: bool,
) -> bool {
    macro_rules! each {
        ($T:ty) => {
            // SAFETY: passed on from the caller.
            unsafe {
                match what {
                    Scan::Sum => lines::<$T, Sum<_>>(Sum(PhantomData), src, out, sizes, dim, reverse),
                    Scan::Prod => lines::<$T, Prod<_>>(Prod(PhantomData), src, out, sizes, dim, reverse),
                    _ => false,
                }
            }
        };
    }
    if src.dtype != out.dtype {
        return false;
    }
    match src.dtype {
        DType::Float32 => each!(f32),
        DType::Float64 => each!(f64),
        DType::BFloat16 => each!(bf16),
        DType::Float16 => each!(f16),
        DType::Int64 => each!(i64),
        DType::Complex128 => each!(C64),
        _ => false,
    }
}

/// # Safety
/// As for `scan`, of operands of `T`.
unsafe fn lines<T: Cell, S: Running<T>>(
    s: S,
    src: &Operand,
    out: &Operand,
    sizes: &[i64],
    dim: usize,
    reverse: bool,
) -> bool {
    let aligned = |o: &Operand| o.pointer.cast::<T>().is_aligned();
    if !aligned(src) || !aligned(out) {
        return false;
    }
    let stride = |o: &Operand| o.strides.get(dim).map_or(1, |&s| s as isize);
    let (n, along) = (sizes.get(dim).map_or(1, |&n| n as usize), (stride(src), stride(out)));
    let mask: SmallVec<[bool; 6]> = (0..sizes.len()).map(|d| d == dim).collect();
    let Some(plan) = Plan::new(sizes, &mask, src, &[out]) else { return true };
    let inner = plan.kept.last().cloned();
    let inner = inner.unwrap_or(Kept { size: 1, stride: 0, out: SmallVec::from_elem(0, 1) });
    let between = (inner.stride, inner.out[0]);
    let side = between == (1, 1) && along.0.unsigned_abs() >= inner.size;
    if !side && (reverse || along != (1, 1)) {
        return false;
    }
    let outer = &plan.kept[..plan.kept.len().saturating_sub(1)];
    // From the end on, backwards.
    let (start, along) = match reverse {
        true => ((n - 1) as isize, (-along.0, -along.1)),
        false => (0, along),
    };
    each_kept(outer, |from, to| {
        let x = src.pointer.cast::<T>().cast_const().wrapping_offset(from - start * along.0);
        let out = out.pointer.cast::<T>().wrapping_offset(to - start * along.1);
        let count = inner.size;
        match side {
            true => wide(Columns { s, x, out, n, along, count }),
            false => wide(Rows { s, x, out, n, between, count }),
        }
    });
    true
}

/// `count` contiguous lines of `n` elements, all valid and those of `out` writable; `between` is from each to the next.
struct Rows<T, S> {
    s: S,
    x: *const T,
    out: *mut T,
    n: usize,
    between: (isize, isize),
    count: usize,
}

impl<T: Cell, S: Running<T>> Body for Rows<T, S> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for i in 0..self.count as isize {
            // SAFETY: a line of each, which do not overlap.
            let (x, out) = unsafe {
                (
                    std::slice::from_raw_parts(self.x.offset(i * self.between.0), self.n),
                    std::slice::from_raw_parts_mut(self.out.offset(i * self.between.1), self.n),
                )
            };
            self.s.line_of(x, out);
        }
    }
}

/// `count` lines side by side of `n` elements, `along` from one to the next, all valid and those of `out` writable.
struct Columns<T, S> {
    s: S,
    x: *const T,
    out: *mut T,
    n: usize,
    along: (isize, isize),
    count: usize,
}

impl<T: Cell, S: Running<T>> Body for Columns<T, S> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        for first in (0..self.count).step_by(PANEL) {
            let mut accs = [self.s.start(); PANEL];
            let accs = &mut accs[..PANEL.min(self.count - first)];
            for k in 0..self.n as isize {
                // SAFETY: a stretch of row `k` of each, which do not overlap.
                let (x, out) = unsafe {
                    (
                        std::slice::from_raw_parts(self.x.offset(k * self.along.0).add(first), accs.len()),
                        std::slice::from_raw_parts_mut(
                            self.out.offset(k * self.along.1).add(first),
                            accs.len(),
                        ),
                    )
                };
                for ((acc, out), &x) in accs.iter_mut().zip(out).zip(x) {
                    *acc = self.s.step(*acc, T::Acc::from_storage(x), 0);
                    *out = self.s.value(*acc).into_storage();
                }
            }
        }
    }
}
