//! Eigenvalues and vectors of symmetric tridiagonal matrices by divide and conquer (Cuppen, "A divide and conquer
//! method for the symmetric tridiagonal eigenproblem", Numer. Math. 36, 1981; deflation as LAPACK documents it).

use super::leaf::{LEAF, Leaf};
use crate::level::wide;
use crate::linalg::basis::{Basis, Side, Sorted, merged, merged_from, sort};
use crate::linalg::element::Real;
use crate::linalg::secular::{LANES, Plain, Roots, Vectors};
use flambeau_core::{Result, ensure};
use std::marker::PhantomData;
use std::ops::Range;

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
        vectors: Basis::new(rows, if full { n } else { 2 }),
        full,
        order: vec![0; n],
        factors: Vec::new(),
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
    /// Components of the eigenvectors found so far: all of them, or the first and last.
    vectors: Basis<'a, R>,
    full: bool,
    /// For each part of the diagonal that is solved, its eigenvalues' places in it, ascending.
    order: Vec<usize>,
    factors: Vec<R>,
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
        let Some(found) = wide(Leaf { d, e: &mut self.e[at..at + n - 1] }) else {
            return false;
        };
        for (j, found) in found[..n].iter().enumerate() {
            let row = self.vectors.row(at + j);
            if self.full {
                row[at..at + n].copy_from_slice(&found[..n]);
            } else {
                row.copy_from_slice(&[found[0], found[n - 1]]);
            }
        }
        let order = &mut self.order[at..at + n];
        order.copy_from_slice(&merged_from(0, d));
        true
    }

    /// The eigenvalues and vectors of two solved parts of `n1` and `n - n1` rows and the `coupling` between them.
    fn join(&mut self, at: usize, n1: usize, n: usize, coupling: R) -> Result<()> {
        let halves = self.halves(at, n1, n);
        let d = &mut self.d[at..at + n];
        let two = R::ONE + R::ONE;
        // The matrix of rank one that was taken off: rho z z', with a vector of length 1.
        let rho = coupling.abs() * two;
        let unit = R::ONE / two.sqrt();
        let z: Vec<R> = (0..n)
            .map(|j| match j < n1 {
                true => self.vectors.row(at + j)[halves.beside[0]] * unit,
                false => self.vectors.row(at + j)[halves.beside[1]] * unit.copysign(coupling),
            })
            .collect();
        if !self.full {
            (0..n).for_each(|j| self.vectors.row(at + j)[(j < n1) as usize] = R::ZERO);
        }
        let order = &mut self.order[at..at + n];
        order[n1..].iter_mut().for_each(|j| *j += n1);
        let sorted = merged(&order[..n1], &order[n1..], d);
        let whole = halves.parts[0].start..halves.parts[1].end;
        let turn = |p, j, c, s| self.vectors.rotate(&whole, [at + p, at + j], c, s);
        let mut split = deflate(d, z, rho, &sorted, n1, turn);
        if split.kept.is_empty() {
            sort(&mut split.gone, d);
            order.copy_from_slice(&split.gone);
            return Ok(());
        }

        let k = split.kept.len();
        let poles: Vec<R> = split.kept.iter().map(|&j| d[j]).collect();
        let mut weights: Vec<R> = split.kept.iter().map(|&j| split.z[j]).collect();
        let roots = Roots::find::<Plain>(&poles, &mut weights, rho);
        let sides: Vec<Side> = split.kept.iter().map(|&j| split.side[j]).collect();
        let sorted = Sorted::new(&sides);
        let pitch = k.next_multiple_of(LANES);
        self.factors.resize(self.factors.len().max(k * pitch), R::ZERO);
        let factors = &mut self.factors[..k * pitch];
        wide(Vectors::<_, _, _, LANES> {
            d: &poles,
            weights: &weights,
            roots: &roots,
            fixed: None,
            place: &sorted.place,
            pitch,
            to: factors,
            poles: PhantomData::<Plain>,
        });
        self.vectors.combine(at, &split.kept, &split.gone, &sorted, &halves.parts, factors, pitch)?;
        let gone: Vec<R> = split.gone.iter().map(|&j| d[j]).collect();
        for (j, d) in d.iter_mut().enumerate() {
            *d = if j < k { roots.origin[j] + roots.offset[j] } else { gone[j - k] };
        }
        order.copy_from_slice(&merged_from(k, d));
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
            self.vectors.reorder(&self.order);
        }
    }
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
