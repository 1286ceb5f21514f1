//! Binary search.

use super::SortElement;
use flambeau_core::{Result, ensure};
use std::hint::select_unpredictable;

/// For each value the place in a sorted sequence where it would be inserted: before equal elements, or after
/// them when `right`.
///
/// `sequence` is one row of `n` elements for all values, or one row for each `per_row` values. `sorter` has the
/// shape of `sequence` and gives the order of each row. Errors when a sorter index is out of range.
pub fn searchsorted<T: SortElement>(
    sequence: &[T],
    n: usize,
    sorter: Option<&[i64]>,
    values: &[T],
    per_row: usize,
    right: bool,
    output: &mut [i64],
) -> Result<()> {
    ensure!(output.len() == values.len(), "searchsorted: the output must have one element for each value");
    if values.is_empty() {
        return Ok(());
    }
    let shared = sequence.len() == n;
    let fits = shared
        || (per_row > 0
            && values.len().is_multiple_of(per_row)
            && (values.len() / per_row).checked_mul(n) == Some(sequence.len()));
    ensure!(fits, "searchsorted: sequence and values have different numbers of rows");
    if let Some(sorter) = sorter {
        ensure!(
            sorter.len() == sequence.len(),
            "torch.searchsorted(): boundary and sorter must have the same size"
        );
        ensure!(
            sorter.iter().all(|&i| i >= 0 && (i as usize) < n),
            "torch.searchsorted(): sorter index out of range"
        );
    }
    if shared && sorter.is_none() {
        let row = &sequence[..n];
        let (blocks, rest) = values.as_chunks::<TOGETHER>();
        let (places, last) = output.as_chunks_mut::<TOGETHER>();
        for (values, places) in blocks.iter().zip(places) {
            *places = match right {
                false => bounds(n, |k, l| row[k] >= values[l]),
                true => bounds(n, |k, l| row[k] > values[l]),
            };
        }
        for (&value, place) in rest.iter().zip(last) {
            *place = bound(n, |k| if right { row[k] > value } else { row[k] >= value }) as i64;
        }
        return Ok(());
    }
    for (i, (&value, place)) in values.iter().zip(output).enumerate() {
        let start = if shared { 0 } else { i / per_row * n };
        let row = &sequence[start..start + n];
        *place = match (sorter, right) {
            (None, false) => bound(n, |k| row[k] >= value),
            (None, true) => bound(n, |k| row[k] > value),
            (Some(sorter), false) => bound(n, |k| row[sorter[start + k] as usize] >= value),
            (Some(sorter), true) => bound(n, |k| row[sorter[start + k] as usize] > value),
        } as i64;
    }
    Ok(())
}

/// Values that are sought side by side, so that none waits for another's memory.
const TOGETHER: usize = 16;

/// [`bound`] for several values, given by their numbers.
#[inline(always)]
fn bounds(n: usize, beyond: impl Fn(usize, usize) -> bool) -> [i64; TOGETHER] {
    let mut start = [0; TOGETHER];
    let mut rest = n;
    while rest > 1 {
        let half = rest / 2;
        for (l, start) in start.iter_mut().enumerate() {
            // Not a branch, which compilers make of what waits for memory.
            *start = select_unpredictable(beyond(*start + half - 1, l), *start, *start + half);
        }
        rest -= half;
    }
    std::array::from_fn(|l| (start[l] + usize::from(rest == 1 && !beyond(start[l], l))) as i64)
}

/// The first place below `n` that is beyond the value, for a sequence that once beyond stays beyond.
#[inline(always)]
fn bound(n: usize, beyond: impl Fn(usize) -> bool) -> usize {
    // Branches would be mispredicted every other time.
    let (mut start, mut rest) = (0, n);
    while rest > 1 {
        let half = rest / 2;
        start = select_unpredictable(beyond(start + half - 1), start, start + half);
        rest -= half;
    }
    start + usize::from(rest == 1 && !beyond(start))
}
