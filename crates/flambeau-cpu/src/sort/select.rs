//! `topk`, `kthvalue`, `median` and `mode`.

use super::standard::{self, Pair};
use super::{SortElement, rows};
use crate::wide::wide;
use flambeau_core::{Result, ensure};

/// The `k` largest (or smallest) elements of each row of `n`, with their positions; `values` and `indices` hold
/// `k` a row. `sorted` asks for them in order. NaN is the greatest element.
pub fn topk<T: SortElement>(
    input: &[T],
    n: usize,
    k: usize,
    largest: bool,
    sorted: bool,
    values: &mut [T],
    indices: &mut [i64],
) -> Result<()> {
    ensure!(k <= n, "selected index k out of range");
    if k == 0 {
        return Ok(());
    }
    rows("topk", input.len(), n, [(values.len(), k), (indices.len(), k)])?;
    if input.is_empty() {
        return Ok(());
    }
    // Reversed keys turn the largest into the smallest without a second comparison function.
    let mask = if largest { u64::MAX } else { 0 };
    let less = |a: Pair, b: Pair| a.0 < b.0;
    let mut queue: Vec<Pair> = Vec::new();
    let outputs = values.chunks_exact_mut(k).zip(indices.chunks_exact_mut(k));
    let mut keys = vec![0; n];
    for (row, (values, indices)) in input.chunks_exact(n).zip(outputs) {
        let all = keys.iter_mut().zip(row);
        wide(move || all.for_each(|(key, x)| *key = x.key() ^ mask));
        let pairs = keys.iter().enumerate().map(|(i, &key)| (key, i));
        if k.saturating_mul(64) <= n {
            queue = standard::partial_sort(k, pairs, &less);
        } else {
            queue.clear();
            queue.extend(pairs);
            standard::nth_element(&mut queue, k - 1, &less);
            if sorted {
                standard::sort(&mut queue[..k - 1], &less);
            }
        }
        for ((value, index), &(_, from)) in values.iter_mut().zip(indices).zip(&queue) {
            *value = row[from];
            *index = from as i64;
        }
    }
    Ok(())
}

/// The `k`-th smallest element (from 1) of each row of `n`, and its position. NaN is the greatest element.
pub fn kthvalue<T: SortElement>(
    input: &[T],
    n: usize,
    k: usize,
    values: &mut [T],
    indices: &mut [i64],
) -> Result<()> {
    ensure!(k >= 1 && k <= n, "kthvalue(): selected number k out of range for dimension 0");
    rows("kthvalue", input.len(), n, [(values.len(), 1), (indices.len(), 1)])?;
    let mut pairs: Vec<Pair> = Vec::new();
    for (row, (value, index)) in input.chunks_exact(n).zip(values.iter_mut().zip(indices)) {
        pairs.clear();
        pairs.extend(row.iter().enumerate().map(|(i, x)| (x.key(), i)));
        let from = quick_select(&mut pairs, k - 1);
        *value = row[from];
        *index = from as i64;
    }
    Ok(())
}

/// Position of the element that a sort would put at `k`, by the selection of "Numerical Recipes" (section 8.5),
/// whose choice among equal elements is the one that PyTorch shows.
fn quick_select(a: &mut [Pair], k: usize) -> usize {
    let (mut left, mut right) = (0, a.len() - 1);
    while right > left + 1 {
        a.swap((left + right) / 2, left + 1);
        if a[left + 1].0 > a[right].0 {
            a.swap(left + 1, right);
        }
        if a[left].0 > a[right].0 {
            a.swap(left, right);
        }
        if a[left + 1].0 > a[left].0 {
            a.swap(left + 1, left);
        }
        let (mut i, mut j) = (left + 1, right);
        let pivot = a[left].0;
        loop {
            i += 1;
            while pivot > a[i].0 {
                i += 1;
            }
            j -= 1;
            while a[j].0 > pivot {
                j -= 1;
            }
            if j < i {
                break;
            }
            a.swap(i, j);
        }
        a.swap(left, j);
        if j >= k {
            // j is at least 1 here: the smallest of the three samples lies left of the pivot.
            right = j - 1;
        }
        if j <= k {
            left = i;
        }
        if right <= left {
            return a[k].1;
        }
    }
    if right == left + 1 && a[left].0 > a[right].0 {
        a.swap(left, right);
    }
    a[k].1
}

/// The lower median of each row of `n` and its position.
///
/// A row with NaN has the median NaN, at its first NaN, unless `ignore_nan` (then only a row of nothing but NaN).
/// Among equal elements the position is the one of a stable sort.
pub fn median<T: SortElement>(
    input: &[T],
    n: usize,
    ignore_nan: bool,
    values: &mut [T],
    indices: &mut [i64],
) -> Result<()> {
    ensure!(n > 0, Index, "median(): Expected reduction dim 0 to have non-zero size.");
    rows("median", input.len(), n, [(values.len(), 1), (indices.len(), 1)])?;
    let mut pairs: Vec<Pair> = Vec::new();
    for (row, (value, index)) in input.chunks_exact(n).zip(values.iter_mut().zip(indices)) {
        let nans = row.iter().filter(|x| x.is_nan()).count();
        let from = if nans == n {
            0
        } else if nans > 0 && !ignore_nan {
            row.iter().position(|x| x.is_nan()).unwrap_or(0)
        } else {
            pairs.clear();
            pairs.extend(row.iter().enumerate().map(|(i, x)| (x.key(), i)));
            pairs.select_nth_unstable((n - nans - 1) / 2).1.1
        };
        *value = row[from];
        *index = from as i64;
    }
    Ok(())
}

/// The most frequent element of each row of `n` (the smallest of several) and one of its positions.
pub fn mode<T: SortElement>(input: &[T], n: usize, values: &mut [T], indices: &mut [i64]) -> Result<()> {
    ensure!(n > 0, Index, "mode(): Expected reduction dim 0 to have non-zero size.");
    rows("mode", input.len(), n, [(values.len(), 1), (indices.len(), 1)])?;
    let mut pairs: Vec<Pair> = Vec::new();
    for (row, (value, index)) in input.chunks_exact(n).zip(values.iter_mut().zip(indices)) {
        pairs.clear();
        pairs.extend(row.iter().enumerate().map(|(i, x)| (x.key(), i)));
        let unordered = |i: usize| row[i].is_nan();
        if n <= 16 {
            // NaN compares false with everything, so short rows keep it where it stands.
            standard::sort(&mut pairs, &|a, b| a.0 < b.0 && !unordered(a.1) && !unordered(b.1));
        } else {
            standard::sort(&mut pairs, &|a, b| a.0 < b.0);
        }
        let (mut best, mut run, mut from) = (0, 0, 0);
        for (i, &(key, position)) in pairs.iter().enumerate() {
            run += 1;
            let ends = pairs.get(i + 1).is_none_or(|next| next.0 != key || unordered(position));
            if ends {
                if run > best {
                    (best, from) = (run, position);
                }
                run = 0;
            }
        }
        *value = row[from];
        *index = from as i64;
    }
    Ok(())
}
