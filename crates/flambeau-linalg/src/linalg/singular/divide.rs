//! Singular values and vectors of bidiagonal matrices by divide and conquer (Gu and Eisenstat, "A divide-and-conquer
//! algorithm for the bidiagonal SVD", SIAM J. Matrix Anal. Appl. 16, 1995; deflation as LAPACK documents it).
//!
//! A row in the middle is taken out; what is above it has a column more than rows, and so a right vector that belongs to
//! no value. Values are computed in `f64`, vectors in their own type.

use super::leaf::{LEAF, Leaf};
use crate::level::wide;
use crate::linalg::basis::{Basis, Side, Sorted, merged, merged_from, sort};
use crate::linalg::element::Real;
use crate::linalg::secular::{LANES, Roots, Squares, Vectors};
use flambeau_core::{Result, ensure};
use std::marker::PhantomData;
use std::ops::Range;

/// Numbers that count as zero beside those of the whole matrix, which are at most 1.
const VANISHED: f64 = 1e-280;

/// Singular values, descending, in place of the diagonal `d` of an upper bidiagonal matrix; `e`, above it, is lost. The
/// rows of `vectors` (two of n x n) become the left and right singular vectors. False when an iteration did not
/// converge.
pub(super) fn bidiagonal<R: Real>(
    d: &mut [R],
    e: &[R],
    vectors: Option<(&mut [R], &mut [R])>,
) -> Result<bool> {
    let n = d.len();
    ensure!(e.len() + 1 == n, "svd: expected {} elements above the diagonal", n.saturating_sub(1));
    let largest = d
        .iter()
        .chain(e)
        .fold(0.0, |m: f64, x| if x.wide().abs() > m || x.is_nan() { x.wide().abs() } else { m });
    if !largest.is_finite() {
        return Ok(false);
    }
    let scale = if largest > 0.0 { largest } else { 1.0 };
    let mut values: Vec<f64> = d.iter().map(|x| x.wide() / scale).collect();
    let above: Vec<f64> = e.iter().map(|x| x.wide() / scale).collect();
    // Without vectors the first and last component of the right ones go along, which is all that the division asks for.
    let mut ends;
    let (left, right) = match vectors {
        Some((left, right)) => {
            ensure!(left.len() == n * n && right.len() == n * n, "svd: expected {n} vectors");
            left.fill(R::ZERO);
            right.fill(R::ZERO);
            (Some(Basis::new(left, n)), Basis::new(right, n))
        }
        None => {
            ends = vec![R::ZERO; 2 * n];
            (None, Basis::new(&mut ends, 2))
        }
    };
    let mut solver =
        Solver { d: &mut values, e: &above, left, right, order: vec![0; n], factors: Vec::new() };
    if !solver.solve(0, n, false)? {
        return Ok(false);
    }
    solver.sort();
    for (to, x) in d.iter_mut().zip(values) {
        *to = R::of(x * scale);
    }
    Ok(true)
}

struct Solver<'a, R> {
    d: &'a mut [f64],
    e: &'a [f64],
    /// Vectors found so far, of the right ones without the left perhaps the first and last component alone.
    left: Option<Basis<'a, R>>,
    right: Basis<'a, R>,
    /// For each part of the diagonal that is solved, its values' places in it, ascending.
    order: Vec<usize>,
    factors: Vec<R>,
}

impl<R: Real> Solver<'_, R> {
    /// Solves `n` rows from `at` on; with `open` there is a column more.
    fn solve(&mut self, at: usize, n: usize, open: bool) -> Result<bool> {
        if n <= LEAF {
            return Ok(self.leaf(at, n, open));
        }
        let n1 = (n - 1) / 2;
        Ok(self.solve(at, n1, true)?
            && self.solve(at + n1 + 1, n - n1 - 1, open)?
            && self.join(at, n1, n, open).map(|()| true)?)
    }

    fn leaf(&mut self, at: usize, n: usize, open: bool) -> bool {
        let columns = n + open as usize;
        let leaf = Leaf { d: &self.d[at..at + n], e: &self.e[at..at + columns - 1] };
        let Some(found) = wide(leaf) else {
            return false;
        };
        self.d[at..at + n].copy_from_slice(&found.values[..n]);
        if let Some(left) = &mut self.left {
            for (j, found) in found.left[..n].iter().enumerate() {
                for (to, &x) in left.row(at + j)[at..at + n].iter_mut().zip(found) {
                    *to = R::of(x);
                }
            }
        }
        for (j, found) in found.right[..columns].iter().enumerate() {
            let row = self.right.row(at + j);
            if self.left.is_some() {
                for (to, &x) in row[at..at + columns].iter_mut().zip(found) {
                    *to = R::of(x);
                }
            } else {
                row.copy_from_slice(&[R::of(found[0]), R::of(found[columns - 1])]);
            }
        }
        let order = &mut self.order[at..at + n];
        order.copy_from_slice(&merged_from(0, &self.d[at..at + n]));
        true
    }

    /// The values and vectors of `n` rows, of which the first `n1` and those after the next one are solved.
    fn join(&mut self, at: usize, n1: usize, n: usize, open: bool) -> Result<()> {
        let columns = n + open as usize;
        let full = self.left.is_some();
        // Columns of the right vectors' parts, and those next to the row that was taken out.
        let (parts, beside) = match full {
            true => ([at..at + n1 + 1, at + n1 + 1..at + columns], [at + n1, at + n1 + 1]),
            false => ([0..1, 1..2], [1, 0]),
        };
        let whole = parts[0].start..parts[1].end;
        let d = &mut self.d[at..at + n];
        let (alpha, beta) = (d[n1], self.e[at + n1]);
        // That row in terms of the right vectors; its own place takes what belongs to no value.
        let mut z: Vec<f64> = (0..n)
            .map(|j| match j <= n1 {
                true => alpha * self.right.row(at + j)[beside[0]].wide(),
                false => beta * self.right.row(at + j)[beside[1]].wide(),
            })
            .collect();
        let rest = if open { beta * self.right.row(at + n)[beside[1]].wide() } else { 0.0 };
        if !full {
            (0..columns).for_each(|j| self.right.row(at + j)[(j <= n1) as usize] = R::ZERO);
        }
        if open {
            let length = z[n1].hypot(rest);
            let (c, s) = if length > 0.0 { (z[n1] / length, rest / length) } else { (1.0, 0.0) };
            self.right.rotate(&whole, [at + n1, at + n], R::of(c), R::of(s));
            z[n1] = length;
        }
        if let Some(left) = &mut self.left {
            left.row(at + n1)[at + n1] = R::ONE;
        }
        d[n1] = 0.0;
        let order = &mut self.order[at..at + n];
        order[n1 + 1..].iter_mut().for_each(|j| *j += n1 + 1);
        order.copy_within(..n1, 1);
        order[0] = n1;
        // All numbers here are relative to the largest, whose square may be too small for a number.
        let largest = d.iter().fold(alpha.abs().max(beta.abs()), |m, &x| m.max(x));
        if largest < VANISHED {
            sort(order, d);
            return Ok(());
        }
        d.iter_mut().chain(&mut z).for_each(|x| *x /= largest);
        let tolerance = 8.0 * <R as num_traits::Float>::epsilon().wide();
        if z[n1].abs() <= tolerance {
            z[n1] = tolerance;
        }

        let ascending = merged(&order[1..n1 + 1], &order[n1 + 1..], d);
        let mut sides: Vec<Side> = (0..n).map(|j| if j < n1 { Side::First } else { Side::Second }).collect();
        let (mut kept, mut gone) = (vec![n1], Vec::new());
        let mut waiting: Option<usize> = None;
        for &j in &ascending {
            if z[j].abs() <= tolerance {
                gone.push(j);
                continue;
            }
            match waiting {
                Some(p) if d[j] - d[p] <= tolerance => {
                    // A rotation of vectors of equal values makes one component vanish.
                    let length = z[j].hypot(z[p]);
                    let (c, s) = (R::of(z[j] / length), R::of(-z[p] / length));
                    (z[j], z[p]) = (length, 0.0);
                    if sides[p] != sides[j] {
                        (sides[p], sides[j]) = (Side::Both, Side::Both);
                    }
                    self.right.rotate(&whole, [at + p, at + j], c, s);
                    if let Some(left) = &mut self.left {
                        left.rotate(&(at..at + n), [at + p, at + j], c, s);
                    }
                    gone.push(p);
                }
                Some(p) => kept.push(p),
                None => {}
            }
            waiting = Some(j);
        }
        kept.extend(waiting);
        if let Some(&j) = kept.get(1) {
            // Apart from zero, which stands first.
            d[j] = d[j].max(tolerance / 2.0);
        }
        let k = kept.len();
        let poles: Vec<f64> = kept.iter().map(|&j| d[j]).collect();
        let mut weights: Vec<f64> = kept.iter().map(|&j| z[j]).collect();
        let roots = Roots::find::<Squares>(&poles, &mut weights, 1.0);
        let pitch = k.next_multiple_of(LANES);
        self.factors.resize(self.factors.len().max(k * pitch), R::ZERO);
        let factors = &mut self.factors[..k * pitch];
        let mut combine = |basis: &mut Basis<'_, R>,
                           sides: &[Side],
                           parts: &[Range<usize>; 2],
                           weights: &[f64],
                           fixed: Option<(usize, f64)>| {
            let sorted = Sorted::new(&kept.iter().map(|&j| sides[j]).collect::<Vec<_>>());
            wide(Vectors::<_, _, _, LANES> {
                d: &poles,
                weights,
                roots: &roots,
                fixed,
                place: &sorted.place,
                pitch,
                to: &mut *factors,
                poles: PhantomData::<Squares>,
            });
            basis.combine(at, &kept, &gone, &sorted, parts, factors, pitch)
        };
        // The vector of the row that was taken out has columns of both parts on the right, its own on the left.
        sides[n1] = Side::Both;
        combine(&mut self.right, &sides, &parts, &weights, None)?;
        if let Some(left) = &mut self.left {
            sides[n1] = Side::First;
            weights.iter_mut().zip(&poles).for_each(|(z, d)| *z *= d);
            combine(left, &sides, &[at..at + n1 + 1, at + n1 + 1..at + n], &weights, Some((0, -1.0)))?;
        }
        let gone: Vec<f64> = gone.iter().map(|&j| d[j]).collect();
        for (j, d) in d.iter_mut().enumerate() {
            *d = if j < k {
                let (origin, offset) = (roots.origin[j], roots.offset[j]);
                origin + offset / (origin + (origin * origin + offset).sqrt())
            } else {
                gone[j - k]
            };
        }
        order.copy_from_slice(&merged_from(k, d));
        d.iter_mut().for_each(|x| *x *= largest);
        Ok(())
    }

    /// Brings values and vectors into descending order.
    fn sort(&mut self) {
        self.order.reverse();
        let values: Vec<f64> = self.order.iter().map(|&j| self.d[j]).collect();
        self.d.copy_from_slice(&values);
        if let Some(left) = &mut self.left {
            left.reorder(&self.order);
            self.right.reorder(&self.order);
        }
    }
}
