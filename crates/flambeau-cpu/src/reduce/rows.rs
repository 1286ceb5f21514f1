//! Reductions of contiguous rows by kernels of their own, where the rows lie. One of the modules with unsafe code.

use super::cut::{is_whole, pieces};
use super::plan::{Kept, Plan, advance, each_kept};
use crate::pointwise::Operand;
use crate::wide::{Body, wide};
use flambeau_core::Element;
use flambeau_core::parallel::each;
use smallvec::SmallVec;

/// Rows from this length on are worked on in parts, which several threads may share.
const LONG: usize = 1 << 16;
/// Elements of a part.
const PART: usize = 1 << 15;

/// What is made of a row.
pub(super) trait Row: Copy + Sync {
    type In: Element;
    type Acc: Copy + Send;
    type Out: Element;
    /// Rows are never worked on in parts.
    const WHOLE: bool = false;
    fn part(&self, x: &[Self::In]) -> Self::Acc;
    /// Of a part and the one behind it.
    fn merge(&self, a: Self::Acc, b: Self::Acc) -> Self::Acc;
    fn finish(&self, acc: Self::Acc) -> Self::Out;
}

/// Reduces contiguous rows. False where nothing was done: for other types and layouts.
///
/// # Safety
/// As for [`reduce`](super::reduce).
pub(super) unsafe fn rows<R: Row>(r: &R, src: &Operand, out: &Operand, sizes: &[i64], mask: &[bool]) -> bool {
    if src.dtype != R::In::DTYPE || out.dtype != R::Out::DTYPE {
        return false;
    }
    let Some(plan) = Plan::new(sizes, mask, src, &[out]) else { return true };
    let n = match plan.reduced[..] {
        _ if plan.count == 0 => return false,
        [] if plan.kept.is_empty() => 1,
        [(n, 1)] => n,
        _ => return false,
    };
    if !src.pointer.cast::<R::In>().is_aligned() || !out.pointer.cast::<R::Out>().is_aligned() {
        return false;
    }
    let work = |kept: &[Kept], src: &Operand, out: &Operand| {
        wide(Rows { r, n, kept, x: src.pointer.cast_const().cast(), out: out.pointer.cast() });
    };
    if n >= LONG && !R::WHOLE {
        // SAFETY: rows of elements, and their results.
        each_kept(&plan.kept, |from, to| unsafe {
            let x = std::slice::from_raw_parts(src.pointer.cast::<R::In>().cast_const().offset(from), n);
            *out.pointer.cast::<R::Out>().offset(to) = long(r, x);
        });
        return true;
    }
    if is_whole(sizes) {
        work(&plan.kept, src, out);
        return true;
    }
    let done = pieces(&[src, out], sizes, |d| mask[d], false, &|operands, sizes| {
        if let Some(plan) = Plan::new(sizes, mask, operands[0], &operands[1..]) {
            work(&plan.kept, operands[0], operands[1]);
        }
        Ok(())
    });
    done.is_ok()
}

/// A row in parts; which there are depends on its length alone.
fn long<R: Row>(r: &R, x: &[R::In]) -> R::Out {
    let parts = x.chunks(PART);
    let mut accs: Vec<Option<R::Acc>> = vec![None; parts.len()];
    let done = each(accs.iter_mut().zip(parts), 1, |(acc, x)| {
        *acc = Some(wide(Part(r, x)));
        Ok(())
    });
    debug_assert!(done.is_ok());
    let acc = accs.into_iter().flatten().reduce(|a, b| r.merge(a, b));
    r.finish(acc.unwrap_or_else(|| r.part(&[])))
}

struct Part<'a, R: Row>(&'a R, &'a [R::In]);
impl<R: Row> Body for Part<'_, R> {
    type Output = R::Acc;
    #[inline(always)]
    fn run(self) -> R::Acc {
        self.0.part(self.1)
    }
}

/// Rows of `n` elements, aligned and valid at each index of `kept`, as are their results.
struct Rows<'a, R: Row> {
    r: &'a R,
    n: usize,
    kept: &'a [Kept],
    x: *const R::In,
    out: *mut R::Out,
}

impl<R: Row> Body for Rows<'_, R> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Rows { r, n, kept, x, out } = self;
        let (count, apart, step) =
            kept.last().map_or((1, 0, 0), |last| (last.size, last.stride, last.out[0]));
        let outer = &kept[..kept.len().saturating_sub(1)];
        let mut index: SmallVec<[usize; 4]> = SmallVec::from_elem(0, outer.len());
        // Loops: a closure would be compiled for the baseline.
        loop {
            let (mut from, mut to) = (x, out);
            for (k, &i) in outer.iter().zip(&index) {
                from = from.wrapping_offset(k.stride * i as isize);
                to = to.wrapping_offset(k.out[0] * i as isize);
            }
            for _ in 0..count {
                // SAFETY: a row of elements, and its result.
                unsafe { *to = r.finish(r.part(std::slice::from_raw_parts(from, n))) };
                from = from.wrapping_offset(apart);
                to = to.wrapping_offset(step);
            }
            if !advance(&mut index, outer.iter().map(|k| k.size)) {
                return;
            }
        }
    }
}
