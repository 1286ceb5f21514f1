//! Eigenvalues and vectors of symmetric tridiagonal matrices by divide and conquer (Cuppen, "A divide and conquer
//! method for the symmetric tridiagonal eigenproblem", Numer. Math. 36, 1981; deflation as LAPACK documents it).

use super::leaf::{LEAF, ql};
use super::secular::{Refit, Roots, Search, Vectors};
use crate::gemm::gemm;
use crate::level::wide;
use crate::linalg::element::Real;
use flambeau_core::{Result, ensure};
use std::ops::Range;

/// Lanes of a search for roots: a register of 64 bytes, or two.
const LANES: usize = 16;

/// Eigenvalues, ascending, in place of the diagonal `d`; `e` (one shorter) is lost. The rows of `vectors` (n x n) become
/// their eigenvectors. False when an iteration did not converge.
pub(super) fn tridiagonal<R: Real>(d: &mut [R], e: &mut [R], vectors: Option<&mut [R]>) -> Result<bool> {
    let n = d.len();
    ensure!(e.len() + 1 == n, "eigh: expected {} elements beside the diagonal", n.saturating_sub(1));
    let largest =
        d.iter().chain(&*e).fold(R::ZERO, |m, x| if x.abs() > m || x.is_nan() { x.abs() } else { m });
    if !largest.is_finite() {
        return Ok(false);
    }
    let scale = if largest > R::ZERO { largest } else { R::ONE };
    d.iter_mut().chain(&mut *e).for_each(|x| *x /= scale);
    // Without vectors the first and last component of each go along, which is all that the division asks for.
    let full = vectors.is_some();
    let mut ends;
    let rows = match vectors {
        Some(rows) => rows,
        None => {
            ends = vec![R::ZERO; 2 * n];
            &mut ends[..]
        }
    };
    ensure!(rows.len() == n * if full { n } else { 2 }, "eigh: expected {n} eigenvectors");
    rows.fill(R::ZERO);
    let mut solver = Solver {
        d,
        e,
        rows,
        pitch: if full { n } else { 2 },
        full,
        order: vec![0; n],
        factors: Vec::new(),
        old: Vec::new(),
    };
    let converged = solver.solve(0, n)?;
    if converged {
        solver.sort();
        d.iter_mut().for_each(|x| *x *= scale);
    }
    Ok(converged)
}

struct Solver<'a, R> {
    d: &'a mut [R],
    e: &'a mut [R],
    /// Components of the eigenvectors found so far, a vector in each row.
    rows: &'a mut [R],
    pitch: usize,
    full: bool,
    /// For each part of the diagonal that is solved, its eigenvalues' places in it, ascending.
    order: Vec<usize>,
    factors: Vec<R>,
    old: Vec<R>,
}

/// Which parts of a row two neighbouring blocks fill, and the columns of the components next to the cut.
struct Halves {
    parts: [Range<usize>; 2],
    beside: [usize; 2],
}

impl<R: Real> Solver<'_, R> {
    fn halves(&self, at: usize, n1: usize, n: usize) -> Halves {
        if self.full {
            Halves { parts: [at..at + n1, at + n1..at + n], beside: [at + n1 - 1, at + n1] }
        } else {
            Halves { parts: [0..1, 1..2], beside: [1, 0] }
        }
    }

    /// Solves rows and columns `at..at + n`.
    fn solve(&mut self, at: usize, n: usize) -> Result<bool> {
        if n <= LEAF {
            return Ok(self.leaf(at, n));
        }
        let n1 = n / 2;
        let coupling = self.e[at + n1 - 1];
        for i in [at + n1 - 1, at + n1] {
            self.d[i] -= coupling.abs();
        }
        if !(self.solve(at, n1)? && self.solve(at + n1, n - n1)?) {
            return Ok(false);
        }
        self.join(at, n1, n, coupling)?;
        Ok(true)
    }

    fn leaf(&mut self, at: usize, n: usize) -> bool {
        let d = &mut self.d[at..at + n];
        let Some(found) = ql(d, &mut self.e[at..at + n - 1]) else {
            return false;
        };
        for (row, found) in self.rows[at * self.pitch..].chunks_exact_mut(self.pitch).zip(&found[..n]) {
            if self.full {
                row[at..at + n].copy_from_slice(&found[..n]);
            } else {
                row.copy_from_slice(&[found[0], found[n - 1]]);
            }
        }
        let order = &mut self.order[at..at + n];
        order.iter_mut().enumerate().for_each(|(i, order)| *order = i);
        order.sort_by(|&i, &j| d[i].partial_cmp(&d[j]).unwrap_or(std::cmp::Ordering::Equal));
        true
    }

    /// The eigenvalues and vectors of two solved parts of `n1` and `n - n1` rows and the `coupling` between them.
    fn join(&mut self, at: usize, n1: usize, n: usize, coupling: R) -> Result<()> {
        let halves = self.halves(at, n1, n);
        let pitch = self.pitch;
        let rows = &mut self.rows[at * pitch..(at + n) * pitch];
        let d = &mut self.d[at..at + n];
        let two = R::ONE + R::ONE;
        // The matrix of rank one that was taken off: rho z z', with a vector of length 1.
        let rho = coupling.abs() * two;
        let unit = R::ONE / two.sqrt();
        let z: Vec<R> = (0..n)
            .map(|j| match j < n1 {
                true => rows[j * pitch + halves.beside[0]] * unit,
                false => rows[j * pitch + halves.beside[1]] * unit.copysign(coupling),
            })
            .collect();
        if !self.full {
            for (j, row) in rows.chunks_exact_mut(2).enumerate() {
                row[(j < n1) as usize] = R::ZERO;
            }
        }
        let (first, second) = self.order[at..at + n].split_at(n1);
        let sorted = merged(first, second, n1, d);
        let whole = halves.parts[0].start..halves.parts[1].end;
        let split = deflate(d, z, rho, &sorted, n1, |p, j, c, s| rotate(rows, pitch, &whole, [p, j], c, s));
        if split.kept.is_empty() {
            let mut gone = split.gone;
            gone.sort_by(|&i, &j| d[i].partial_cmp(&d[j]).unwrap_or(std::cmp::Ordering::Equal));
            self.order[at..at + n].copy_from_slice(&gone);
            return Ok(());
        }

        let k = split.kept.len();
        let poles: Vec<R> = split.kept.iter().map(|&j| d[j]).collect();
        let mut weights: Vec<R> = split.kept.iter().map(|&j| split.z[j]).collect();
        let mut roots = Roots { origin: vec![R::ZERO; k], offset: vec![R::ZERO; k] };
        wide(Search::<R, LANES> { d: &poles, z: &weights, rho, roots: &mut roots });
        wide(Refit::<R, LANES> { d: &poles, z: &mut weights, roots: &roots });

        // Poles in the order: of the first part, of both (turned together), of the second. A part's product skips the rest.
        let mut place = vec![0; k];
        let mut bounds = [0; 4];
        for side in [Side::First, Side::Both, Side::Second] {
            let mut next = bounds[side as usize];
            for (place, &j) in place.iter_mut().zip(&split.kept) {
                if split.side[j] == side {
                    *place = next;
                    next += 1;
                }
            }
            bounds[side as usize + 1] = next;
        }
        let used = [0..bounds[2], bounds[1]..k];
        let width = k.next_multiple_of(LANES);
        self.factors.resize(self.factors.len().max(k * width), R::ZERO);
        let factors = &mut self.factors[..k * width];
        wide(Vectors::<R, LANES> {
            d: &poles,
            z: &weights,
            roots: &roots,
            place: &place,
            pitch: width,
            to: factors,
        });

        // The old rows leave their place: for each part those used in its product, then the whole deflated ones.
        self.old.clear();
        let mut from = vec![0; k];
        place.iter().zip(&split.kept).for_each(|(&place, &j)| from[place] = j);
        for (used, part) in used.iter().zip(&halves.parts) {
            for &j in &from[used.clone()] {
                self.old.extend_from_slice(&rows[j * pitch..][part.clone()]);
            }
        }
        let products = self.old.len();
        for &j in &split.gone {
            self.old.extend_from_slice(&rows[j * pitch..][whole.clone()]);
        }
        let mut start = 0;
        for (used, part) in used.iter().zip(&halves.parts) {
            let (deep, wide) = (used.len(), part.len());
            gemm(
                k,
                wide,
                deep,
                R::ONE,
                factors.get(used.start * width..).unwrap_or(&[]),
                1,
                width,
                &self.old[start..start + deep * wide],
                wide,
                1,
                R::ZERO,
                &mut rows[part.start..],
                pitch,
                1,
            )?;
            start += deep * wide;
        }
        for (i, old) in self.old[products..].chunks_exact(whole.len()).enumerate() {
            rows[(k + i) * pitch..][whole.clone()].copy_from_slice(old);
        }
        let gone: Vec<R> = split.gone.iter().map(|&j| d[j]).collect();
        for (j, d) in d.iter_mut().enumerate() {
            *d = if j < k { roots.origin[j] + roots.offset[j] } else { gone[j - k] };
        }
        let mut last: Vec<usize> = (k..n).collect();
        last.sort_by(|&i, &j| d[i].partial_cmp(&d[j]).unwrap_or(std::cmp::Ordering::Equal));
        let found: Vec<usize> = (0..k).collect();
        let order = merged(&found, &last, 0, d);
        self.order[at..at + n].copy_from_slice(&order);
        Ok(())
    }

    /// Brings values and vectors into ascending order.
    fn sort(&mut self) {
        if self.order.iter().enumerate().all(|(i, &j)| i == j) {
            return;
        }
        let values: Vec<R> = self.order.iter().map(|&j| self.d[j]).collect();
        self.d.copy_from_slice(&values);
        if self.full {
            self.old.clear();
            for &j in &self.order {
                self.old.extend_from_slice(&self.rows[j * self.pitch..][..self.pitch]);
            }
            self.rows.copy_from_slice(&self.old);
        }
    }
}

/// Places in ascending order of `d`, from two such lists, the second counted from `shift`.
fn merged<R: Real>(first: &[usize], second: &[usize], shift: usize, d: &[R]) -> Vec<usize> {
    let mut out = Vec::with_capacity(first.len() + second.len());
    let (mut i, mut j) = (0, 0);
    while i < first.len() || j < second.len() {
        let take_first = j == second.len() || (i < first.len() && d[first[i]] <= d[second[j] + shift]);
        if take_first {
            out.push(first[i]);
            i += 1;
        } else {
            out.push(second[j] + shift);
            j += 1;
        }
    }
    out
}

/// Which part's columns a vector has.
#[derive(Clone, Copy, PartialEq)]
enum Side {
    First,
    Both,
    Second,
}

/// Eigenvalues that the coupling changes (`kept`, ascending and apart from each other) and those that it does not.
struct Split<R> {
    kept: Vec<usize>,
    gone: Vec<usize>,
    side: Vec<Side>,
    z: Vec<R>,
}

/// Where a component of `z` is negligible the coupling does not reach an eigenvalue; where two eigenvalues are close, a
/// rotation of their vectors (`rotate`) makes one component vanish.
fn deflate<R: Real>(
    d: &mut [R],
    mut z: Vec<R>,
    rho: R,
    sorted: &[usize],
    n1: usize,
    mut rotate: impl FnMut(usize, usize, R, R),
) -> Split<R> {
    let n = d.len();
    let largest = |v: &[R]| v.iter().fold(R::ZERO, |m, x| if x.abs() > m { x.abs() } else { m });
    let tolerance = R::of(8.0) * R::epsilon() * largest(d).max(largest(&z));
    let mut side: Vec<Side> = (0..n).map(|j| if j < n1 { Side::First } else { Side::Second }).collect();
    let (mut kept, mut gone) = (Vec::with_capacity(n), Vec::new());
    let mut waiting: Option<usize> = None;
    for &j in sorted {
        if rho * z[j].abs() <= tolerance {
            gone.push(j);
            continue;
        }
        if let Some(p) = waiting {
            let length = z[j].hypot(z[p]);
            let (c, s) = (z[j] / length, -z[p] / length);
            if ((d[j] - d[p]) * c * s).abs() <= tolerance {
                (z[j], z[p]) = (length, R::ZERO);
                if side[p] != side[j] {
                    (side[p], side[j]) = (Side::Both, Side::Both);
                }
                rotate(p, j, c, s);
                let (a, b) = (d[p], d[j]);
                d[p] = a * c * c + b * s * s;
                d[j] = a * s * s + b * c * c;
                gone.push(p);
            } else {
                kept.push(p);
            }
        }
        waiting = Some(j);
    }
    kept.extend(waiting);
    Split { kept, gone, side, z }
}

/// In some columns, rows `p` and `j` become `c p + s j` and `c j - s p`.
fn rotate<R: Real>(rows: &mut [R], pitch: usize, columns: &Range<usize>, [p, j]: [usize; 2], c: R, s: R) {
    for column in columns.clone() {
        let (x, y) = (rows[p * pitch + column], rows[j * pitch + column]);
        rows[p * pitch + column] = c * x + s * y;
        rows[j * pitch + column] = c * y - s * x;
    }
}
