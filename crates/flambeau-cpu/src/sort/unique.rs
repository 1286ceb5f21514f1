//! Distinct elements and rows.

use super::{Order, SortElement, rows};
use flambeau_core::Result;
use std::cmp::Ordering;

/// Distinct elements, for each input element the place of its value among them, and how often each occurs.
#[derive(Debug, Clone, PartialEq)]
pub struct Unique<T> {
    pub values: Vec<T>,
    pub inverse: Vec<i64>,
    pub counts: Vec<i64>,
}

/// [`Unique`] of whole rows: `first[k]` is an input row that has the `k`-th distinct value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UniqueRows {
    pub first: Vec<usize>,
    pub inverse: Vec<i64>,
    pub counts: Vec<i64>,
}

/// The distinct elements in ascending order. Every NaN is distinct from every other.
pub fn unique<T: SortElement>(input: &[T]) -> Unique<T> {
    let mut result = Unique { values: Vec::new(), inverse: vec![0; input.len()], counts: Vec::new() };
    Order::new(input.len()).compute(input, false, |_, from| {
        let x = input[from];
        // Elements equal in order are equal, but for NaN.
        if result.values.last() != Some(&x) {
            result.values.push(x);
            result.counts.push(0);
        }
        let last = result.values.len() - 1;
        result.counts[last] += 1;
        result.inverse[from] = last as i64;
    });
    result
}

/// The elements without repetitions of the one before. Every NaN is distinct from every other.
pub fn unique_consecutive<T: SortElement>(input: &[T]) -> Unique<T> {
    let mut result = Unique { values: Vec::new(), inverse: vec![0; input.len()], counts: Vec::new() };
    for (x, inverse) in input.iter().zip(&mut result.inverse) {
        if result.values.last() != Some(x) {
            result.values.push(*x);
            result.counts.push(0);
        }
        let last = result.values.len() - 1;
        result.counts[last] += 1;
        *inverse = last as i64;
    }
    result
}

fn group<T: SortElement>(
    input: &[T],
    n: usize,
    order: impl Iterator<Item = usize>,
    count: usize,
) -> UniqueRows {
    let row = |i: usize| &input[i * n..(i + 1) * n];
    let mut result = UniqueRows { first: Vec::new(), inverse: vec![0; count], counts: Vec::new() };
    let mut previous = None;
    for i in order {
        if previous.is_none_or(|p| row(p) != row(i)) {
            result.first.push(i);
            result.counts.push(0);
        }
        previous = Some(i);
        let last = result.first.len() - 1;
        result.counts[last] += 1;
        result.inverse[i] = last as i64;
    }
    result
}

/// The distinct rows among `count` rows of `n` elements, in lexicographic order.
pub fn unique_rows<T: SortElement>(input: &[T], count: usize, n: usize) -> Result<UniqueRows> {
    rows("unique", input.len(), n, [(count, 1), (count, 1)])?;
    let row = |i: usize| &input[i * n..(i + 1) * n];
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|&a, &b| {
        let differing = row(a).iter().zip(row(b)).map(|(x, y)| x.key().cmp(&y.key()));
        differing.into_iter().find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
    });
    Ok(group(input, n, order.into_iter(), count))
}

/// The rows without repetitions of the one before, among `count` rows of `n` elements.
pub fn unique_consecutive_rows<T: SortElement>(input: &[T], count: usize, n: usize) -> Result<UniqueRows> {
    rows("unique_consecutive", input.len(), n, [(count, 1), (count, 1)])?;
    Ok(group(input, n, 0..count, count))
}
