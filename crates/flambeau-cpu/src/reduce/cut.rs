//! Reductions on several threads: cut along a dimension that is kept, where no result depends on the cut. One of the
//! modules with unsafe code.

use crate::pieces::{Piece, along, distinct};
use crate::pointwise::Operand;
use flambeau_core::Result;
use flambeau_core::parallel::num_threads;

/// Elements that are worth a thread.
const GRAIN: usize = 1 << 15;
/// Lines side by side are worked on in groups of up to so many, which stay whole.
const GROUP: usize = 64;
/// Up to so many elements of a line, lines that do not lie side by side are worked on together too.
const SHORT: usize = 16;

/// Whether there is so little to do that it is not cut.
pub(super) fn is_whole(sizes: &[i64]) -> bool {
    let total = sizes.iter().fold(1usize, |total, &size| total.saturating_mul(size as usize));
    total < 2 * GRAIN
}

/// Calls `body` with pieces of the operands, the first of which is read and the others have results for each line, or
/// with all of them. A line goes along the dimensions that are `reduced`, and so do its results where they are `many`; lines
/// are cut from each other only.
pub(super) fn pieces(
    operands: &[&Operand],
    sizes: &[i64],
    reduced: impl Fn(usize) -> bool + Copy,
    many: bool,
    body: Piece<'_>,
) -> Result<()> {
    if is_whole(sizes) {
        return body(operands, sizes);
    }
    let apart = operands[1..].iter().all(|o| distinct(o, sizes, |d| many || !reduced(d)));
    // Lines side by side are short stretches of memory when they are cut from each other: worth it for other threads alone.
    let fits = |&(_, unit): &(usize, usize)| apart && (unit == 1 || num_threads() > 1);
    let Some((dim, unit)) = place(operands[0], sizes, reduced).filter(fits) else {
        return body(operands, sizes);
    };
    let each =
        (0..sizes.len()).filter(|&d| d != dim).fold(1, |n: usize, d| n.saturating_mul(sizes[d] as usize));
    // SAFETY: results of different lines lie at different places.
    unsafe { along(operands, sizes, dim, unit, (GRAIN / unit).div_ceil(each), body) }
}

/// The dimension to cut, and the multiples at which it may be cut.
fn place(src: &Operand, sizes: &[i64], reduced: impl Fn(usize) -> bool + Copy) -> Option<(usize, usize)> {
    let stride = |d: usize| src.strides[d].unsigned_abs();
    let moving = |d: &usize| sizes[*d] > 1;
    let kept = || (0..sizes.len()).filter(moving).filter(|&d| !reduced(d));
    let along = || (0..sizes.len()).filter(moving).filter(|&d| reduced(d));
    let last = kept().min_by_key(|&d| stride(d))?;
    let count = along().fold(1usize, |count, d| count.saturating_mul(sizes[d] as usize));
    // Lines one after the other, each by itself.
    let rows = count > SHORT && along().map(stride).min() < Some(stride(last));
    // Dimensions that follow each other in memory are walked as one, which is cut along the outer one.
    let follows = |outer: usize, d: usize| stride(outer) == sizes[d] as u64 * stride(d);
    let outer = |d: &usize| rows || !kept().any(|o| follows(o, *d));
    let alone = |d: usize| !kept().any(|o| follows(d, o));
    let whole = (sizes[last] as usize).is_multiple_of(GROUP);
    let unit = |d: usize| if rows || (d != last && (whole || alone(d))) { 1 } else { GROUP };
    let fits = |d: &usize| sizes[*d] as usize >= 2 * unit(*d);
    kept().filter(fits).filter(outer).max_by_key(|&d| stride(d)).map(|d| (d, unit(d)))
}
