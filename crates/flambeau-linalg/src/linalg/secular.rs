//! Roots and vectors of a diagonal matrix changed by one of rank one, many side by side.
//!
//! The eigenvalues of `D + rho z z'` are the roots of `1/rho + sum(z[i]^2 / (p[i] - x))`, one between each pair of
//! neighbouring poles; the poles are the diagonal `d`, or its squares, of which only `d` is known. A root is kept as its
//! distance from the nearer pole, so that differences between it and the poles have all their digits (Gu and Eisenstat,
//! "A divide-and-conquer algorithm for the symmetric tridiagonal eigenproblem", SIAM J. Matrix Anal. Appl. 16, 1995).
//! Each lane of a register looks for one root.

use super::element::Real;
use crate::level::{Body, wide};
use std::marker::PhantomData;

/// The poles of a sum: numbers, or their squares.
pub(super) trait Poles<R> {
    /// The pole of `d` less that of `other`.
    fn apart(d: R, other: R) -> R;
}
pub(super) struct Plain;
impl<R: Real> Poles<R> for Plain {
    #[inline(always)]
    fn apart(d: R, other: R) -> R {
        d - other
    }
}
pub(super) struct Squares;
impl<R: Real> Poles<R> for Squares {
    #[inline(always)]
    fn apart(d: R, other: R) -> R {
        (d - other) * (d + other)
    }
}

/// Where the roots are: root `j` is the pole of `origin[j]` and `offset[j]` more.
pub(super) struct Roots<R> {
    pub origin: Vec<R>,
    pub offset: Vec<R>,
}

/// Lanes of a search for roots: a register of 64 bytes, or two.
pub(super) const LANES: usize = 16;

impl<R: Real> Roots<R> {
    /// The roots between the ascending poles of `d`; `z` becomes the one to which they belong exactly.
    pub fn find<P: Poles<R>>(d: &[R], z: &mut [R], rho: R) -> Roots<R> {
        let mut roots = Roots { origin: vec![R::ZERO; d.len()], offset: vec![R::ZERO; d.len()] };
        let poles = PhantomData::<P>;
        wide(Search::<_, _, LANES> { d, z, rho, roots: &mut roots, poles });
        wide(Refit::<_, _, LANES> { d, z, roots: &roots, poles });
        roots
    }
}

/// Looks for the roots between the ascending poles `d`; `z` has no zeros and `rho` is positive.
struct Search<'a, R, P, const L: usize> {
    pub d: &'a [R],
    pub z: &'a [R],
    pub rho: R,
    pub roots: &'a mut Roots<R>,
    pub poles: PhantomData<P>,
}

/// The parts of the function at one point a lane: terms of the poles up to the root's own, and of those above.
struct Sums<R, const L: usize> {
    below: [R; L],
    below_slope: [R; L],
    above: [R; L],
    above_slope: [R; L],
    /// What rounding may have changed, in units of the last place.
    doubt: [R; L],
}

/// Steps by interpolation; from there on every other one halves the interval.
const TRUSTED: usize = 12;
const STEPS: usize = 160;

impl<R: Real, P: Poles<R>, const L: usize> Body for Search<'_, R, P, L> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let k = self.d.len();
        let mut first = 0;
        while first < k {
            let (origin, offset) = self.group(first);
            let count = L.min(k - first);
            self.roots.origin[first..first + count].copy_from_slice(&origin[..count]);
            self.roots.offset[first..first + count].copy_from_slice(&offset[..count]);
            first += L;
        }
    }
}

impl<R: Real, P: Poles<R>, const L: usize> Search<'_, R, P, L> {
    /// Roots `first..first + L`; lanes beyond the last root repeat it.
    #[inline(always)]
    fn group(&self, first: usize) -> ([R; L], [R; L]) {
        let (d, z, k) = (self.d, self.z, self.d.len());
        let (zero, one, two) = (R::ZERO, R::ONE, R::ONE + R::ONE);
        let half = one / two;
        let flat = one / self.rho;
        let length = z.iter().fold(zero, |sum, &z| sum + z * z);
        let root: [usize; L] = std::array::from_fn(|l| (first + l).min(k - 1));
        let low: [R; L] = root.map(|j| d[j]);
        // Above the last pole there is none: the root's bound takes its place, without a weight.
        let width: [R; L] =
            root.map(|j| if j + 1 < k { P::apart(d[j + 1], d[j]) } else { self.rho * length });
        let own: [R; L] = root.map(|j| z[j] * z[j]);
        let other: [R; L] = root.map(|j| if j + 1 < k { z[j + 1] * z[j + 1] } else { zero });
        let last: [bool; L] = root.map(|j| j + 1 == k);

        // The half of the interval follows from the sign in the middle, the start from the two poles beside it.
        let middle: [R; L] = std::array::from_fn(|l| width[l] * half);
        let rest = self.rest(first, &root, &low, &middle, flat);
        let (mut origin, mut tau, mut lower, mut upper) = (low, [zero; L], [zero; L], [zero; L]);
        for l in 0..L {
            let (c, gap) = (rest[l], width[l]);
            let at_middle = c + (other[l] - own[l]) / middle[l];
            let left = at_middle > zero;
            let from_left = left || last[l];
            (lower[l], upper[l]) = match (left, last[l]) {
                (true, _) => (zero, middle[l]),
                (false, false) => (-middle[l], zero),
                (false, true) => (middle[l], gap),
            };
            origin[l] = if from_left { low[l] } else { d[(root[l] + 1).min(k - 1)] };
            let (far, b) = if from_left { (c * gap, own[l] * gap) } else { (-c * gap, -other[l] * gap) };
            tau[l] = inside(smaller(c, far + own[l] + other[l], b), lower[l], upper[l], half);
        }

        let mut done = [false; L];
        for step in 0..STEPS {
            let sums = self.sums(first, &root, &origin, &tau);
            let mut left = 0;
            for l in 0..L {
                let value = flat + sums.below[l] + sums.above[l];
                let slope = sums.below_slope[l] + sums.above_slope[l];
                let doubt = sums.doubt[l] + flat + tau[l].abs() * slope;
                done[l] |= value.abs() <= R::epsilon() * doubt;
                if value <= zero {
                    lower[l] = if tau[l] > lower[l] { tau[l] } else { lower[l] };
                } else {
                    upper[l] = if tau[l] < upper[l] { tau[l] } else { upper[l] };
                }
                // Both parts are replaced by a constant and the nearest pole, with their values and slopes here.
                let near = P::apart(low[l], origin[l]) - tau[l];
                let far = if last[l] {
                    width[l] + width[l]
                } else {
                    P::apart(low[l], origin[l]) + width[l] - tau[l]
                };
                let c = value - near * sums.below_slope[l] - far * sums.above_slope[l];
                let a = (near + far) * value - near * far * slope;
                let mut change = smaller(c, a, near * far * value);
                if value * change >= zero {
                    change = -value / slope;
                }
                let next = tau[l] + change;
                let halved = (lower[l] + upper[l]) * half;
                let trusted = step < TRUSTED || step % 2 == 0;
                let next = if trusted { inside(next, lower[l], upper[l], half) } else { halved };
                done[l] |= next == tau[l];
                tau[l] = if done[l] { tau[l] } else { next };
                left += !done[l] as usize;
            }
            if left == 0 {
                break;
            }
        }
        (origin, tau)
    }

    /// `1/rho` and all terms but those of the poles beside each root.
    #[inline(always)]
    fn rest(&self, first: usize, root: &[usize; L], origin: &[R; L], tau: &[R; L], flat: R) -> [R; L] {
        let mut sum = [flat; L];
        for (i, (&d, &z)) in self.d.iter().zip(self.z).enumerate() {
            let mut next = sum;
            for l in 0..L {
                next[l] = sum[l] + z * (z / (P::apart(d, origin[l]) - tau[l]));
            }
            if i >= first && i <= first + L {
                for l in 0..L {
                    next[l] = if i == root[l] || i == root[l] + 1 { sum[l] } else { next[l] };
                }
            }
            sum = next;
        }
        sum
    }

    #[inline(always)]
    fn sums(&self, first: usize, root: &[usize; L], origin: &[R; L], tau: &[R; L]) -> Sums<R, L> {
        let k = self.d.len();
        let below = self.part(0..first.min(k), origin, tau);
        let above = self.part((first + L).min(k)..k, origin, tau);
        let mut sums = Sums {
            below: below.0,
            below_slope: below.1,
            above: above.0,
            above_slope: above.1,
            doubt: below.2,
        };
        for l in 0..L {
            sums.doubt[l] += above.2[l];
        }
        for i in first..(first + L).min(k) {
            let (d, z) = (self.d[i], self.z[i]);
            for l in 0..L {
                let t = z / (P::apart(d, origin[l]) - tau[l]);
                let own = i <= root[l];
                let (term, slope) = (z * t, t * t);
                let none = R::ZERO;
                sums.below[l] += if own { term } else { none };
                sums.below_slope[l] += if own { slope } else { none };
                sums.above[l] += if own { none } else { term };
                sums.above_slope[l] += if own { none } else { slope };
            }
        }
        let eight = R::of(8.0);
        for l in 0..L {
            sums.doubt[l] += eight * (sums.above[l] - sums.below[l]);
        }
        sums
    }

    /// Terms, slopes, and the sum of all partial sums (what each addition may round by) of some poles.
    #[inline(always)]
    fn part(&self, poles: std::ops::Range<usize>, origin: &[R; L], tau: &[R; L]) -> ([R; L], [R; L], [R; L]) {
        let (origin, tau) = (*origin, *tau);
        let (mut sum, mut slopes, mut doubt) = ([R::ZERO; L], [R::ZERO; L], [R::ZERO; L]);
        for (&d, &z) in self.d[poles.clone()].iter().zip(&self.z[poles]) {
            for l in 0..L {
                let t = z / (P::apart(d, origin[l]) - tau[l]);
                sum[l] += z * t;
                slopes[l] += t * t;
                doubt[l] += sum[l].abs();
            }
        }
        (sum, slopes, doubt)
    }
}

/// The root of `c x^2 - a x + b` that the secular equation's steps take, without cancellation.
#[inline(always)]
fn smaller<R: Real>(c: R, a: R, b: R) -> R {
    let two = R::ONE + R::ONE;
    let root = (a * a - two * two * b * c).abs().sqrt();
    let (over, under) = if a <= R::ZERO { (a - root, two * c) } else { (two * b, a + root) };
    over / under
}

/// `x` if it lies between the bounds, else their mean.
#[inline(always)]
fn inside<R: Real>(x: R, lower: R, upper: R, half: R) -> R {
    if x > lower && x < upper { x } else { (lower + upper) * half }
}

/// Replaces `z` by the one whose roots are exactly those found (Gu and Eisenstat), so that the vectors are orthogonal.
struct Refit<'a, R, P, const L: usize> {
    pub d: &'a [R],
    pub z: &'a mut [R],
    pub roots: &'a Roots<R>,
    pub poles: PhantomData<P>,
}
impl<R: Real, P: Poles<R>, const L: usize> Body for Refit<'_, R, P, L> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let k = self.d.len();
        let (origin, offset) = (&self.roots.origin[..k], &self.roots.offset[..k]);
        let mut first = 0;
        while first < k {
            let pole: [usize; L] = std::array::from_fn(|l| (first + l).min(k - 1));
            let own = pole.map(|i| self.d[i]);
            let mut product: [R; L] = pole.map(|i| P::apart(origin[i], self.d[i]) + offset[i]);
            for j in 0..k {
                let (d, origin, offset) = (self.d[j], origin[j], offset[j]);
                let mut next = product;
                for l in 0..L {
                    next[l] = product[l] * ((P::apart(own[l], origin) - offset) / P::apart(own[l], d));
                }
                if j >= first && j < first + L {
                    for l in 0..L {
                        next[l] = if j == pole[l] { product[l] } else { next[l] };
                    }
                }
                product = next;
            }
            for l in 0..L.min(k - first) {
                let z = &mut self.z[first + l];
                *z = product[l].abs().sqrt().copysign(*z);
            }
            first += L;
        }
    }
}

/// Writes the vectors: `to[place[i] * pitch + j]` is component `i` of the one of root `j`, of length 1, which is
/// `weights[i]` over the distance of pole `i` from the root, or the same for all roots. Rows are as long as `pitch`, a
/// multiple of the lanes.
pub(super) struct Vectors<'a, R, W, P, const L: usize> {
    pub d: &'a [R],
    pub weights: &'a [R],
    pub roots: &'a Roots<R>,
    /// A component that does not depend on the root, and the number it is.
    pub fixed: Option<(usize, R)>,
    pub place: &'a [usize],
    pub pitch: usize,
    pub to: &'a mut [W],
    pub poles: PhantomData<P>,
}
impl<R: Real, W: Real, P: Poles<R>, const L: usize> Body for Vectors<'_, R, W, P, L> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let k = self.d.len();
        let mut first = 0;
        while first < k {
            let root: [usize; L] = std::array::from_fn(|l| (first + l).min(k - 1));
            let origin = root.map(|j| self.roots.origin[j]);
            let offset = root.map(|j| self.roots.offset[j]);
            let mut squares = [R::ZERO; L];
            for i in 0..k {
                let (d, weight) = (self.d[i], self.weights[i]);
                let at = self.place[i] * self.pitch + first;
                let mut row = [R::ZERO; L];
                for l in 0..L {
                    row[l] = weight / (P::apart(d, origin[l]) - offset[l]);
                }
                if let Some((fixed, value)) = self.fixed
                    && fixed == i
                {
                    row = [value; L];
                }
                for l in 0..L {
                    squares[l] += row[l] * row[l];
                }
                self.to[at..at + L].copy_from_slice(&row.map(|x| W::of(x.wide())));
            }
            let scale = squares.map(|x| W::of((R::ONE / x.sqrt()).wide()));
            for i in 0..k {
                let row = &mut self.to[i * self.pitch + first..][..L];
                for l in 0..L {
                    row[l] *= scale[l];
                }
            }
            first += L;
        }
    }
}
