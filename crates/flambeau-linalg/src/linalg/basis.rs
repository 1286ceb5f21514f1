//! Orthonormal vectors of a matrix that is put together from two parts.

use super::element::Real;
use crate::gemm::gemm;
use flambeau_core::Result;
use std::ops::Range;

/// Vectors, one in each row of `pitch` numbers.
pub(super) struct Basis<'a, R> {
    pub rows: &'a mut [R],
    pub pitch: usize,
    old: Vec<R>,
}

/// Which part's columns a vector has: only the first's, both (as it was turned with one of the other part), or only the
/// second's.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Side {
    First,
    Both,
    Second,
}

/// Vectors in the order of their sides, so that those with columns in a part are neighbours.
pub(super) struct Sorted {
    /// The place of each in this order, and the other way around.
    pub place: Vec<usize>,
    pub from: Vec<usize>,
    /// The places of those with columns in the first and in the second part.
    pub used: [Range<usize>; 2],
}
impl Sorted {
    pub fn new(sides: &[Side]) -> Sorted {
        let k = sides.len();
        let (mut place, mut from, mut bounds) = (vec![0; k], Vec::with_capacity(k), [0; 3]);
        for (bound, side) in bounds.iter_mut().zip([Side::First, Side::Both, Side::Second]) {
            for i in (0..k).filter(|&i| sides[i] == side) {
                place[i] = from.len();
                from.push(i);
            }
            *bound = from.len();
        }
        Sorted { place, from, used: [0..bounds[1], bounds[0]..k] }
    }
}

impl<'a, R: Real> Basis<'a, R> {
    pub fn new(rows: &'a mut [R], pitch: usize) -> Self {
        Basis { rows, pitch, old: Vec::new() }
    }

    pub fn row(&mut self, j: usize) -> &mut [R] {
        &mut self.rows[j * self.pitch..(j + 1) * self.pitch]
    }

    /// In some columns, rows `p` and `j` become `c p + s j` and `c j - s p`.
    pub fn rotate(&mut self, columns: &Range<usize>, [p, j]: [usize; 2], c: R, s: R) {
        for column in columns.clone() {
            let (x, y) = (self.rows[p * self.pitch + column], self.rows[j * self.pitch + column]);
            self.rows[p * self.pitch + column] = c * x + s * y;
            self.rows[j * self.pitch + column] = c * y - s * x;
        }
    }

    /// Puts combinations of the rows `kept` (numbers from `at` on) in the place of the first ones from `at` on, and the
    /// rows `gone` behind them. `factors` has a row of `pitch` numbers for each place in the order `sorted`, with a
    /// column for each combination; `parts` are the columns of the two parts.
    pub fn combine(
        &mut self,
        at: usize,
        kept: &[usize],
        gone: &[usize],
        sorted: &Sorted,
        parts: &[Range<usize>; 2],
        factors: &[R],
        pitch: usize,
    ) -> Result<()> {
        let (k, columns) = (kept.len(), self.pitch);
        let rows = &mut self.rows[at * columns..];
        self.old.clear();
        for (used, part) in sorted.used.iter().zip(parts) {
            for &i in &sorted.from[used.clone()] {
                self.old.extend_from_slice(&rows[kept[i] * columns..][part.clone()]);
            }
        }
        let products = self.old.len();
        let whole = parts[0].start..parts[1].end;
        for &j in gone {
            self.old.extend_from_slice(&rows[j * columns..][whole.clone()]);
        }
        let mut start = 0;
        for (used, part) in sorted.used.iter().zip(parts) {
            let (deep, wide) = (used.len(), part.len());
            gemm(
                k,
                wide,
                deep,
                R::ONE,
                factors.get(used.start * pitch..).unwrap_or(&[]),
                1,
                pitch,
                &self.old[start..start + deep * wide],
                wide,
                1,
                R::ZERO,
                &mut rows[part.start..],
                columns,
                1,
            )?;
            start += deep * wide;
        }
        for (i, old) in self.old[products..].chunks_exact(whole.len()).enumerate() {
            rows[(k + i) * columns..][whole.clone()].copy_from_slice(old);
        }
        Ok(())
    }

    /// Brings the first rows into an order.
    pub fn reorder(&mut self, order: &[usize]) {
        self.old.clear();
        for &j in order {
            self.old.extend_from_slice(&self.rows[j * self.pitch..(j + 1) * self.pitch]);
        }
        self.rows[..self.old.len()].copy_from_slice(&self.old);
    }
}

/// Places in ascending order of `d`, from two such lists.
pub(super) fn merged<R: Real>(first: &[usize], second: &[usize], d: &[R]) -> Vec<usize> {
    let mut out = Vec::with_capacity(first.len() + second.len());
    let (mut i, mut j) = (0, 0);
    while i < first.len() || j < second.len() {
        if j == second.len() || (i < first.len() && d[first[i]] <= d[second[j]]) {
            out.push(first[i]);
            i += 1;
        } else {
            out.push(second[j]);
            j += 1;
        }
    }
    out
}

/// Places in ascending order of `d`, the first `k` of which are in order.
pub(super) fn merged_from<R: Real>(k: usize, d: &[R]) -> Vec<usize> {
    let (first, mut rest): (Vec<usize>, Vec<usize>) = ((0..k).collect(), (k..d.len()).collect());
    sort(&mut rest, d);
    merged(&first, &rest, d)
}

/// Sorts places by `d`, ascending.
pub(super) fn sort<R: Real>(places: &mut [usize], d: &[R]) {
    places.sort_by(|&i, &j| d[i].partial_cmp(&d[j]).unwrap_or(std::cmp::Ordering::Equal));
}
