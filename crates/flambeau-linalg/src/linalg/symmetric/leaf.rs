//! Eigenvalues and vectors of a small symmetric tridiagonal matrix by the implicit QL method (Martin and Wilkinson,
//! "The implicit QL algorithm", Numer. Math. 12, 1968).

use crate::level::Body;
use crate::linalg::element::Real;
use num_traits::Float;

/// Rows of the largest matrix.
pub(super) const LEAF: usize = 16;

/// Eigenvectors, one in each row.
pub(super) type Rows<R> = [[R; LEAF]; LEAF];

/// Sweeps for an eigenvalue: as many as look for one relative to its neighbours, and as many more to the matrix.
const SWEEPS: usize = 20;

/// Replaces the diagonal `d` by the eigenvalues, in no order, and returns their vectors; `e` is lost. Nothing when it
/// does not converge. The numbers are at most 1.
pub(super) struct Leaf<'a, R> {
    pub d: &'a mut [R],
    pub e: &'a mut [R],
}
impl<R: Real> Body for Leaf<'_, R> {
    type Output = Option<Rows<R>>;
    #[inline(always)]
    fn run(self) -> Option<Rows<R>> {
        ql(self.d, self.e)
    }
}

#[inline(always)]
fn ql<R: Real>(d: &mut [R], e: &mut [R]) -> Option<Rows<R>> {
    let n = d.len();
    let mut rows = [[R::ZERO; LEAF]; LEAF];
    // Small numbers first: sweeps go towards them.
    let turned = d[0].abs() > d[n - 1].abs();
    if turned {
        d.reverse();
        e.reverse();
    }
    for (i, row) in rows.iter_mut().enumerate().take(n) {
        row[if turned { n - 1 - i } else { i }] = R::ONE;
    }
    let two = R::ONE + R::ONE;
    for low in 0..n {
        for sweep in 0.. {
            let floor = if sweep < SWEEPS { R::min_positive_value() } else { <R as Float>::epsilon() };
            let mut end = low;
            while end + 1 < n && !negligible(e[end], d[end], d[end + 1], floor) {
                end += 1;
            }
            if end == low {
                break;
            }
            if sweep == 2 * SWEEPS {
                return None;
            }
            let slope = (d[low + 1] - d[low]) / (two * e[low]);
            let mut g = d[end] - d[low] + e[low] / (slope + length(slope, R::ONE).copysign(slope));
            let (mut s, mut c, mut p) = (R::ONE, R::ONE, R::ZERO);
            let mut whole = true;
            for i in (low..end).rev() {
                let (f, b) = (s * e[i], c * e[i]);
                let r = length(f, g);
                if i + 1 < end {
                    e[i + 1] = r;
                }
                if r == R::ZERO {
                    d[i + 1] -= p;
                    whole = false;
                    break;
                }
                (s, c) = (f / r, g / r);
                g = d[i + 1] - p;
                let t = (d[i] - g) * s + two * c * b;
                p = s * t;
                d[i + 1] = g + p;
                g = c * t - b;
                let (x, y) = (rows[i], rows[i + 1]);
                for l in 0..LEAF {
                    rows[i + 1][l] = s * x[l] + c * y[l];
                    rows[i][l] = c * x[l] - s * y[l];
                }
            }
            if whole {
                d[low] -= p;
                e[low] = g;
            }
        }
    }
    Some(rows)
}

#[inline(always)]
fn negligible<R: Real>(e: R, a: R, b: R, floor: R) -> bool {
    e.abs() <= R::epsilon() * (a.abs() * b.abs()).sqrt() || e.abs() <= floor
}

/// The length of (x, y), whose squares don't overflow here but may vanish.
#[inline(always)]
fn length<R: Real>(x: R, y: R) -> R {
    let squares = x * x + y * y;
    if squares > R::min_positive_value() / R::epsilon() / R::epsilon() && squares < R::max_value() {
        squares.sqrt()
    } else {
        x.hypot(y)
    }
}
