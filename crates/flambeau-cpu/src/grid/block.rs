//! Blocks of positions: places and weights once for all channels, in tables that vector loops read. One of the modules
//! with unsafe code.

use super::line::{keys, nearest, normalised, placed};
use super::{GridShape, Interpolation, Padding};
use crate::wide::Body;
use flambeau_core::Element;
use num_traits::Float;

/// What images and positions are made of.
pub trait Real: Float + Element {
    /// Without its fraction, limited to the integers; 0 for NaN.
    fn truncated(self) -> i32;
}
macro_rules! real {
    ($($t:ty),*) => { $(impl Real for $t {
        #[inline(always)]
        fn truncated(self) -> i32 {
            let fits = (-2147483648.0..2147483648.0).contains(&self);
            // SAFETY: in range; the checked conversion would not be vectorised.
            let n = unsafe { (if fits { self } else { 0.0 }).to_int_unchecked::<i32>() };
            let limit = if self > 0.0 { i32::MAX } else { i32::MIN };
            if fits | self.is_nan() { n } else { limit }
        }
    })* };
}
real!(f32, f64);

/// Positions that are computed together.
const BLOCK: usize = 64;
/// The place of what lies outside the image.
const OUTSIDE: i32 = -1;

type Row<T> = [T; BLOCK];

/// A row that begins with a cache line: registers that lie in two are read and written at half the speed.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Table<T>(Row<T>);

/// One coordinate of each position.
#[inline(always)]
fn coordinates<F: Real, const DIMS: usize>(positions: &[F], d: usize) -> Row<F> {
    let mut x = [F::zero(); BLOCK];
    for (x, position) in x.iter_mut().zip(positions.as_chunks::<DIMS>().0) {
        // Each is read: the loop is one over all elements.
        *x = (1..DIMS).fold(position[0], |x, i| if i == d { position[i] } else { x });
    }
    x
}

/// What the positions of a block see along one dimension: places, factors, and these ones' derivatives.
#[repr(C, align(64))]
struct Lines<F> {
    at: [Row<i32>; 4],
    factors: [Row<F>; 4],
    slopes: [Row<F>; 4],
    count: usize,
}

/// A whole coordinate as an integer. Those far outside stay there, also after one is added.
#[inline(always)]
fn whole<F: Real>(x: F) -> i32 {
    if x >= -F::one() { x.truncated() } else { -100 }
}

#[inline(always)]
fn inside(at: i32, size: i32) -> i32 {
    if (at as u32) < size as u32 { at } else { OUTSIDE }
}

impl<F: Real> Lines<F> {
    fn new() -> Self {
        let zeros = [[F::zero(); BLOCK]; 4];
        // As of a dimension that there is not.
        let mut lines = Lines { count: 1, at: [[0; BLOCK]; 4], factors: zeros, slopes: zeros };
        lines.factors[0] = [F::one(); BLOCK];
        lines
    }

    /// The lines of normalised coordinates along a dimension of `size` elements.
    #[inline(always)]
    fn fill(&mut self, x: &Row<F>, size: usize, s: &GridShape) {
        let limit = F::one() + F::one() / (F::one() + F::one());
        // A loop of its own for each way.
        match s.padding {
            Padding::Zeros => self.fill_padded(x, size, s, Padding::Zeros, true),
            Padding::Border => self.fill_padded(x, size, s, Padding::Border, true),
            // Positions and their neighbours that are less than twice the image's length from its start.
            Padding::Reflection if size >= 8 && x.iter().fold(true, |near, x| near & (x.abs() <= limit)) => {
                self.fill_padded(x, size, s, Padding::Reflection, true);
            }
            Padding::Reflection => self.fill_padded(x, size, s, Padding::Reflection, false),
        }
    }

    #[inline(always)]
    fn fill_padded(&mut self, x: &Row<F>, size: usize, s: &GridShape, padding: Padding, near: bool) {
        let (count, corners, one) = (size as i32, s.align_corners, F::one());
        let [f0, f1, f2, f3] = &mut self.factors;
        let [s0, s1, s2, s3] = &mut self.slopes;
        let [a0, a1, a2, a3] = &mut self.at;
        match s.interpolation {
            Interpolation::Nearest => {
                self.count = 1;
                for p in 0..BLOCK {
                    let (place, _) = normalised(x[p], size, corners);
                    let (place, _) = placed(place, size, padding, corners, near);
                    a0[p] = inside(whole(nearest(place)), count);
                    (f0[p], s0[p]) = (one, F::zero());
                }
            }
            Interpolation::Linear => {
                self.count = 2;
                for p in 0..BLOCK {
                    let (place, scale) = normalised(x[p], size, corners);
                    let (place, slope) = placed(place, size, padding, corners, near);
                    let floor = place.floor();
                    let at = whole(floor);
                    (a0[p], a1[p]) = (inside(at, count), inside(at.wrapping_add(1), count));
                    (f0[p], f1[p]) = (floor + one - place, place - floor);
                    (s0[p], s1[p]) = (-one * (scale * slope), scale * slope);
                }
            }
            Interpolation::Cubic => {
                self.count = 4;
                for p in 0..BLOCK {
                    let (place, scale) = normalised(x[p], size, corners);
                    let floor = place.floor();
                    // Each neighbour is brought into the image by itself.
                    let at = |by: F| inside(whole(placed(floor + by, size, padding, corners, near).0), count);
                    (a0[p], a1[p]) = (at(-one), at(F::zero()));
                    (a2[p], a3[p]) = (at(one), at(one + one));
                    let keys = keys(place - floor);
                    (f0[p], f1[p], f2[p], f3[p]) = (keys[0][0], keys[1][0], keys[2][0], keys[3][0]);
                    (s0[p], s1[p]) = (keys[0][1] * scale, keys[1][1] * scale);
                    (s2[p], s3[p]) = (keys[2][1] * scale, keys[3][1] * scale);
                }
            }
        }
    }
}

/// The neighbours of a block's positions: place in the plane, weight, and the weight's derivatives by each dimension from
/// the last on.
struct Taps<F> {
    lines: [Lines<F>; 3],
    at: Vec<Table<i32>>,
    weights: Vec<Table<F>>,
    slopes: Vec<[Table<F>; 3]>,
}

impl<F: Real> Taps<F> {
    fn new(s: &GridShape, slopes: bool) -> Self {
        let each: usize = match s.interpolation {
            Interpolation::Nearest => 1,
            Interpolation::Linear => 2,
            Interpolation::Cubic => 4,
        };
        let count = each.pow(s.dims as u32);
        let zeros = Table([F::zero(); BLOCK]);
        Taps {
            lines: std::array::from_fn(|_| Lines::new()),
            at: vec![Table([OUTSIDE; BLOCK]); count],
            weights: vec![zeros; count],
            slopes: vec![[zeros; 3]; if slopes { count } else { 0 }],
        }
    }

    /// For at most `BLOCK` positions; what stands behind these in the tables is arbitrary, but lies inside the image or
    /// counts as outside.
    #[inline(always)]
    fn fill(&mut self, positions: &[F], s: &GridShape) {
        for d in 0..s.dims {
            let x = match s.dims {
                2 => coordinates::<F, 2>(positions, d),
                _ => coordinates::<F, 3>(positions, d),
            };
            self.lines[d].fill(&x, s.input[2 - d], s);
        }
        let [x, y, z] = &self.lines;
        let (rows, columns) = (s.input[1] as i32, s.input[2] as i32);
        let places = (0..z.count).flat_map(|k| (0..y.count).map(move |j| (k, j)));
        let places = places.flat_map(|(k, j)| (0..x.count).map(move |i| (k, j, i)));
        for (t, (k, j, i)) in places.enumerate() {
            let (fx, fy, fz) = (&x.factors[i], &y.factors[j], &z.factors[k]);
            let (ax, ay, az) = (&x.at[i], &y.at[j], &z.at[k]);
            let (at, weights) = (&mut self.at[t].0, &mut self.weights[t].0);
            if s.dims == 2 {
                for p in 0..BLOCK {
                    let place = ay[p].wrapping_mul(columns).wrapping_add(ax[p]);
                    at[p] = if ax[p] | ay[p] < 0 { OUTSIDE } else { place };
                    weights[p] = fx[p] * fy[p];
                }
            } else {
                for p in 0..BLOCK {
                    let place = az[p].wrapping_mul(rows).wrapping_add(ay[p]);
                    let place = place.wrapping_mul(columns).wrapping_add(ax[p]);
                    at[p] = if ax[p] | ay[p] | az[p] < 0 { OUTSIDE } else { place };
                    weights[p] = fx[p] * fy[p] * fz[p];
                }
            }
            if let Some([Table(sx), Table(sy), Table(sz)]) = self.slopes.get_mut(t) {
                let (dx, dy, dz) = (&x.slopes[i], &y.slopes[j], &z.slopes[k]);
                for p in 0..BLOCK {
                    sx[p] = dx[p] * fy[p] * fz[p];
                    sy[p] = fx[p] * dy[p] * fz[p];
                    sz[p] = fx[p] * fy[p] * dz[p];
                }
            }
        }
    }
}

/// The elements of a plane at places of a table; arbitrary ones where these are outside.
#[derive(Clone, Copy)]
struct Plane<'a, F>(&'a [F]);

impl<F: Real> Plane<'_, F> {
    /// # Safety
    /// The place is negative or lies within the plane, which is not empty.
    #[inline(always)]
    unsafe fn at(self, place: i32) -> F {
        // SAFETY: as promised.
        unsafe { *self.0.get_unchecked(place.max(0) as usize) }
    }
}

/// The samples of one batch entry. No buffer is empty, planes have less than 2^31 elements, and sizes fit.
pub(super) struct Forward<'a, F> {
    pub s: &'a GridShape,
    pub input: &'a [F],
    pub grid: &'a [F],
    pub out: &'a mut [F],
}

impl<F: Real> Body for Forward<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Forward { s, input, grid, out } = self;
        let (plane, mut taps) = (s.plane(), Taps::new(s, false));
        assert!(plane > 0 && plane <= i32::MAX as usize);
        for (block, positions) in grid.chunks(BLOCK * s.dims).enumerate() {
            taps.fill(positions, s);
            let (start, n) = (block * BLOCK, positions.len() / s.dims);
            for (image, out) in input.chunks_exact(plane).zip(out.chunks_exact_mut(s.points)) {
                let (image, mut sums) = (Plane(image), [F::zero(); BLOCK]);
                for (Table(at), Table(weights)) in taps.at.iter().zip(&taps.weights) {
                    for p in 0..BLOCK {
                        // SAFETY: places that are not negative lie inside all dimensions, whose product the plane's size is.
                        let value = unsafe { image.at(at[p]) } * weights[p];
                        sums[p] = sums[p] + if at[p] < 0 { F::zero() } else { value };
                    }
                }
                out[start..start + n].copy_from_slice(&sums[..n]);
            }
        }
    }
}

/// The gradients of [`Forward`], on the same terms; `grad_input` starts as zeros.
pub(super) struct Backward<'a, F> {
    pub s: &'a GridShape,
    pub grad: &'a [F],
    pub input: &'a [F],
    pub grid: &'a [F],
    pub grad_input: &'a mut [F],
    pub grad_grid: &'a mut [F],
}

impl<F: Real> Body for Backward<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Backward { s, grad, input, grid, grad_input, grad_grid } = self;
        let (plane, mut taps) = (s.plane(), Taps::new(s, true));
        assert!(plane > 0 && plane <= i32::MAX as usize);
        let mut sums = vec![Table([F::zero(); BLOCK]); taps.at.len()];
        let blocks = grid.chunks(BLOCK * s.dims).zip(grad_grid.chunks_mut(BLOCK * s.dims));
        for (block, (positions, grad_grid)) in blocks.enumerate() {
            taps.fill(positions, s);
            let (start, n) = (block * BLOCK, (positions.len() / s.dims).min(BLOCK));
            sums.fill(Table([F::zero(); BLOCK]));
            let images = input.chunks_exact(plane).zip(grad_input.chunks_exact_mut(plane));
            for ((image, to), grad) in images.zip(grad.chunks_exact(s.points)) {
                let (image, mut g) = (Plane(image), [F::zero(); BLOCK]);
                g[..n].copy_from_slice(&grad[start..start + n]);
                for (Table(at), Table(sums)) in taps.at.iter().zip(&mut sums) {
                    for p in 0..BLOCK {
                        // SAFETY: as in `Forward`.
                        sums[p] = sums[p] + g[p] * unsafe { image.at(at[p]) };
                    }
                }
                for p in 0..n {
                    for (Table(at), Table(weights)) in taps.at.iter().zip(&taps.weights) {
                        // Negative places are beyond any plane.
                        if let Some(to) = to.get_mut(at[p] as usize) {
                            *to = *to + g[p] * weights[p];
                        }
                    }
                }
            }
            for d in 0..s.dims {
                let mut total = [F::zero(); BLOCK];
                for ((Table(at), Table(sums)), slopes) in taps.at.iter().zip(&sums).zip(&taps.slopes) {
                    for p in 0..BLOCK {
                        let term = sums[p] * slopes[d].0[p];
                        total[p] = total[p] + if at[p] < 0 { F::zero() } else { term };
                    }
                }
                for (to, &total) in grad_grid.chunks_exact_mut(s.dims).zip(&total) {
                    to[d] = total;
                }
            }
        }
    }
}
