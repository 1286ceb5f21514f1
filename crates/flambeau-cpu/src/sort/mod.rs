//! Sorting, selection, uniqueness and search along contiguous rows.
//!
//! The functions take `rows * n` elements and work on each run of `n`; the caller transposes other dimensions.

mod count;
mod key;
mod radix;
mod search;
mod select;
mod standard;
mod unique;

pub use count::{bincount, bincount_size, bincount_weighted, histc, histogram};
pub use key::SortElement;
pub use search::searchsorted;
pub use select::{kthvalue, median, mode, topk};
pub use unique::{Unique, UniqueRows, unique, unique_consecutive, unique_consecutive_rows, unique_rows};

use flambeau_core::{Result, ensure};
use radix::{Item, sort_items};

/// Checks that `input` and each output hold the same whole number of rows.
fn rows(what: &str, len: usize, n: usize, outputs: [(usize, usize); 2]) -> Result<usize> {
    let rows = len.checked_div(n).unwrap_or(outputs[0].0 / outputs[0].1.max(1));
    ensure!(len == rows.saturating_mul(n), "{what}: {len} elements are no whole number of rows of {n}");
    for (have, per_row) in outputs {
        ensure!(
            rows.checked_mul(per_row) == Some(have),
            "{what}: expected an output of {rows} rows of {per_row}"
        );
    }
    Ok(rows)
}

/// Sorts each row of `n` elements, stably, into `values`, with the positions they came from in `indices`.
///
/// NaN is the greatest element: last in ascending, first in descending order. Equal elements keep their order in
/// both directions.
pub fn sort_rows<T: SortElement>(
    input: &[T],
    n: usize,
    descending: bool,
    values: &mut [T],
    indices: &mut [i64],
) -> Result<()> {
    if n == 0 {
        return Ok(());
    }
    rows("sort", input.len(), n, [(values.len(), n), (indices.len(), n)])?;
    let outputs = values.chunks_exact_mut(n).zip(indices.chunks_exact_mut(n));
    let mut order = Order::new(n);
    for (row, (values, indices)) in input.chunks_exact(n).zip(outputs) {
        order.compute(row, descending, |place, from| {
            values[place] = row[from];
            indices[place] = from as i64;
        });
    }
    Ok(())
}

/// The positions that would sort each row of `n` elements; as [`sort_rows`].
pub fn argsort_rows<T: SortElement>(
    input: &[T],
    n: usize,
    descending: bool,
    indices: &mut [i64],
) -> Result<()> {
    if n == 0 {
        return Ok(());
    }
    rows("argsort", input.len(), n, [(indices.len(), n), (indices.len(), n)])?;
    let mut order = Order::new(n);
    for (row, indices) in input.chunks_exact(n).zip(indices.chunks_exact_mut(n)) {
        order.compute(row, descending, |place, from| indices[place] = from as i64);
    }
    Ok(())
}

/// Scratch of the stable orders of rows of one length.
struct Order {
    narrow: Vec<u64>,
    wide: Vec<u128>,
    fits: bool,
}

impl Order {
    fn new(n: usize) -> Order {
        Order { narrow: Vec::new(), wide: Vec::new(), fits: n <= u32::MAX as usize }
    }

    /// Calls `place(k, i)` for each `k`: element `i` of the row is the `k`-th in order.
    fn compute<T: SortElement>(&mut self, row: &[T], descending: bool, place: impl FnMut(usize, usize)) {
        if T::BITS <= 32 && self.fits {
            order_as(&mut self.narrow, row, descending, place);
        } else {
            order_as(&mut self.wide, row, descending, place);
        }
    }
}

fn order_as<I: Item, T: SortElement>(
    items: &mut Vec<I>,
    row: &[T],
    descending: bool,
    mut place: impl FnMut(usize, usize),
) {
    let mask = if descending { u64::MAX >> (64 - T::BITS) } else { 0 };
    items.clear();
    // The position under the key makes all items distinct, so any order of them is the stable order.
    items.extend(row.iter().enumerate().map(|(i, x)| I::pack(x.key() ^ mask, i)));
    sort_items(items, T::BITS);
    for (k, item) in items.iter().enumerate() {
        place(k, item.position());
    }
}

#[cfg(test)]
mod tests;
