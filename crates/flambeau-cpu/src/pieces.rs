//! Work on strided operands in pieces, on several threads. One of the modules with unsafe code.

use crate::pointwise::Operand;
use flambeau_core::Result;
use flambeau_core::parallel::sweep;
use smallvec::SmallVec;
use std::ops::Range;
use std::sync::OnceLock;

/// The operands of pieces.
struct Shared<'a>(&'a [&'a Operand]);
// SAFETY: pieces read the same elements, and each writes to elements of its own: callers of `along` vouch for it.
unsafe impl Sync for Shared<'_> {}

impl Shared<'_> {
    /// The operands along `range` of a dimension.
    fn piece(&self, dim: usize, range: &Range<usize>) -> SmallVec<[Operand; 3]> {
        let moved = |o: &&Operand| {
            let by = range.start as isize * o.strides[dim] as isize * o.dtype.size() as isize;
            Operand { pointer: o.pointer.wrapping_offset(by), ..(*o).clone() }
        };
        self.0.iter().map(moved).collect()
    }
}

/// What is done with the operands of a piece and its sizes.
pub(crate) type Piece<'a> = &'a (dyn Fn(&[&Operand], &[i64]) -> Result<()> + Sync);

/// Calls `body` with pieces along dimension `dim`, cut at multiples of `unit`; the last one takes what is left. A piece has
/// `grain` units unless it is the last one.
///
/// # Safety
/// Pieces must not write to what others read or write.
pub(crate) unsafe fn along(
    operands: &[&Operand],
    sizes: &[i64],
    dim: usize,
    unit: usize,
    grain: usize,
    body: Piece<'_>,
) -> Result<()> {
    let size = sizes[dim] as usize;
    let units = size / unit;
    let shared = Shared(operands);
    let failed = OnceLock::new();
    sweep(units, grain, |range| {
        let end = if range.end == units { size } else { range.end * unit };
        let range = range.start * unit..end;
        let operands = shared.piece(dim, &range);
        let operands: SmallVec<[&Operand; 3]> = operands.iter().collect();
        let mut sizes: SmallVec<[i64; 6]> = SmallVec::from_slice(sizes);
        sizes[dim] = range.len() as i64;
        if let Err(error) = body(&operands, &sizes) {
            let _ = failed.set(error);
        }
    });
    failed.into_inner().map_or(Ok(()), Err)
}

/// Whether different indices of the dimensions that count surely are different elements.
pub(crate) fn distinct(o: &Operand, sizes: &[i64], counts: impl Fn(usize) -> bool) -> bool {
    let moving = (0..sizes.len()).filter(|&d| sizes[d] > 1 && counts(d));
    let mut dims: SmallVec<[(u64, u64); 6]> =
        moving.map(|d| (o.strides[d].unsigned_abs(), sizes[d] as u64)).collect();
    dims.sort_unstable();
    // How far the dimensions so far reach.
    let mut reach = 1u64;
    dims.iter().all(|&(stride, size)| {
        let beyond = stride >= reach;
        reach = stride.saturating_mul(size);
        beyond
    })
}
