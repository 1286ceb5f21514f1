//! Singular values of a small bidiagonal matrix by rotations of its rows (one-sided Jacobi; Demmel and Veselic, "Jacobi's
//! method is more accurate than QR", SIAM J. Matrix Anal. Appl. 13, 1992).

use crate::level::Body;

/// Rows of the largest matrix, and the numbers that are kept of each.
pub(super) const LEAF: usize = 8;
const WIDTH: usize = 16;
pub(super) type Row = [f64; WIDTH];

/// The matrix with `d` on its diagonal and `e` above it, which has a column more than rows if `e` is as long as `d`.
pub(super) struct Leaf<'a> {
    pub d: &'a [f64],
    pub e: &'a [f64],
}

/// Singular values in no order, left vectors, and right vectors with that of the null space as the last if there is one.
pub(super) struct Found {
    pub values: [f64; LEAF],
    pub left: [Row; LEAF],
    pub right: [Row; LEAF + 1],
}

const SWEEPS: usize = 40;
/// What products of rows at right angles may be rounded by.
const NEGLIGIBLE: f64 = 5.0 * f64::EPSILON;
/// Squares of rows that say nothing about a direction: what is left of dependent rows shrinks with each sweep.
const VANISHED: f64 = 1e-200;

impl Body for Leaf<'_> {
    type Output = Option<Found>;
    #[inline(always)]
    fn run(self) -> Option<Found> {
        let n = self.d.len();
        let columns = self.e.len().max(n - 1) + 1;
        let largest = self.d.iter().chain(self.e).fold(0.0, |m: f64, x| m.max(x.abs()));
        let scale = if largest > 0.0 { largest } else { 1.0 };
        let mut left = [[0.0; WIDTH]; LEAF];
        let mut right = [[0.0; WIDTH]; LEAF + 1];
        for i in 0..n {
            left[i][i] = 1.0;
            right[i][i] = self.d[i] / scale;
            if i + 1 < columns {
                right[i][i + 1] = self.e[i] / scale;
            }
        }
        let mut turned = true;
        for _ in 0..SWEEPS {
            turned = false;
            for p in 0..n {
                for q in p + 1..n {
                    let (x, y) = (right[p], right[q]);
                    let (xx, yy, xy) = (dot(&x, &x), dot(&y, &y), dot(&x, &y));
                    if xy.abs() <= NEGLIGIBLE * xx.sqrt() * yy.sqrt() || xx.min(yy) < VANISHED {
                        continue;
                    }
                    turned = true;
                    let slope = (yy - xx) / (2.0 * xy);
                    let t = 1f64.copysign(slope) / (slope.abs() + (1.0 + slope * slope).sqrt());
                    let c = 1.0 / (1.0 + t * t).sqrt();
                    (right[p], right[q]) = rotated(&x, &y, c, c * t);
                    (left[p], left[q]) = rotated(&left[p], &left[q], c, c * t);
                }
            }
            if !turned {
                break;
            }
        }
        if turned {
            return None;
        }
        let mut values = [0.0; LEAF];
        for i in 0..n {
            values[i] = dot(&right[i], &right[i]).sqrt();
        }
        let known = |i: usize| i < n && values[i] * values[i] >= VANISHED;
        for i in 0..columns {
            if known(i) {
                right[i] = right[i].map(|x| x / values[i]);
            } else {
                right[i] = [0.0; WIDTH];
            }
        }
        for i in (0..columns).filter(|&i| !known(i)) {
            right[i] = completed(&right[..columns], columns);
        }
        Some(Found { values: values.map(|x| x * scale), left, right })
    }
}

/// A direction at right angles to some (rows of zeros are none).
#[inline(always)]
fn completed(rows: &[Row], columns: usize) -> Row {
    let mut best = [0.0; WIDTH];
    for column in 0..columns {
        let mut row = [0.0; WIDTH];
        row[column] = 1.0;
        for _ in 0..2 {
            for other in rows {
                let share = dot(&row, other);
                for l in 0..WIDTH {
                    row[l] -= share * other[l];
                }
            }
        }
        // One of them has at least an even share outside.
        if dot(&row, &row) * columns as f64 >= 0.9 {
            best = row;
            break;
        }
    }
    let length = dot(&best, &best).sqrt();
    best.map(|x| x / length)
}

#[inline(always)]
fn dot(x: &Row, y: &Row) -> f64 {
    let mut lanes = [0.0; 8];
    for l in 0..8 {
        lanes[l] = x[l] * y[l] + x[l + 8] * y[l + 8];
    }
    ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]))
}

/// `c x - s y` and `s x + c y`.
#[inline(always)]
fn rotated(x: &Row, y: &Row, c: f64, s: f64) -> (Row, Row) {
    let (mut first, mut second) = ([0.0; WIDTH], [0.0; WIDTH]);
    for l in 0..WIDTH {
        first[l] = c * x[l] - s * y[l];
        second[l] = s * x[l] + c * y[l];
    }
    (first, second)
}
