//! One dimension of a sampling: which elements a coordinate sees, and with which factors.

use super::GridShape;
use num_traits::Float;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interpolation {
    Linear,
    Nearest,
    /// Keys' kernel with a = -0.75.
    Cubic,
}

/// What lies outside the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    Zeros,
    Border,
    Reflection,
}

/// The elements seen along one dimension; those outside the image have no place.
pub(super) struct Line<F> {
    count: usize,
    at: [Option<usize>; 4],
    /// Each element's factor and its first two derivatives by the normalised coordinate.
    pub factors: [[F; 3]; 4],
}

#[inline(always)]
fn to<F: Float>(x: f64) -> F {
    F::from(x).unwrap_or_else(F::nan)
}

/// A coordinate limited to [0, last], and the derivative of that.
#[inline(always)]
fn clip<F: Float>(x: F, last: F) -> (F, F) {
    if x <= F::zero() {
        (F::zero(), F::zero())
    } else if x >= last {
        (last, F::zero())
    } else {
        (x, F::one())
    }
}

/// A coordinate mirrored into [low / 2, high / 2], and the sign of that; if `near`, less than two such lengths from there.
#[inline(always)]
fn mirror<F: Float>(x: F, low: F, high: F, near: bool) -> (F, F) {
    if low == high {
        return (F::zero(), F::zero());
    }
    let two = to::<F>(2.0);
    let (start, span) = (low / two, (high - low) / two);
    let (distance, sign) = if x < start { (start - x, -F::one()) } else { (x - start, F::one()) };
    // Near the image the remainder is known without a division, to the same bits.
    let (extra, even) = if distance < span {
        (distance, true)
    } else if near {
        (distance - span, false)
    } else {
        (distance % span, (distance / span).floor() % two == F::zero())
    };
    if even { (extra + start, sign) } else { (span - extra + start, -sign) }
}

/// A coordinate in elements, brought into the image as the padding says, and its derivative; `near` as in [`mirror`].
#[inline(always)]
pub(super) fn placed<F: Float>(
    x: F,
    size: usize,
    padding: Padding,
    align_corners: bool,
    near: bool,
) -> (F, F) {
    let size = to::<F>(size as f64);
    let last = size - F::one();
    match padding {
        Padding::Zeros => (x, F::one()),
        Padding::Border => clip(x, last),
        Padding::Reflection => {
            let two = to::<F>(2.0);
            let (low, high) =
                if align_corners { (F::zero(), two * last) } else { (-F::one(), two * size - F::one()) };
            let (x, sign) = mirror(x, low, high, near);
            let (x, slope) = clip(x, last);
            (x, sign * slope)
        }
    }
}

/// A normalised coordinate in elements, and the derivative of that.
#[inline(always)]
pub(super) fn normalised<F: Float>(x: F, size: usize, align_corners: bool) -> (F, F) {
    let (one, two, count) = (F::one(), to::<F>(2.0), to::<F>(size as f64));
    if align_corners {
        ((x + one) / two * (count - one), (count - one) / two)
    } else {
        (((x + one) * count - one) / two, count / two)
    }
}

/// Whole coordinates as integers; NaN and those far outside come to lie outside.
fn whole<F: Float>(x: F) -> isize {
    x.to_f64().filter(|x| x.abs() < 1e15).map_or(-100, |x| x as isize)
}

/// Round half to even.
#[inline(always)]
pub(super) fn nearest<F: Float>(x: F) -> F {
    let (floor, half) = (x.floor(), to::<F>(0.5));
    let rest = x - floor;
    let odd = (floor * half).floor() != floor * half;
    if rest > half || (rest == half && odd) { floor + F::one() } else { floor }
}

/// Keys' weights of the four neighbours at fraction `t`, with their first and second derivatives.
#[inline(always)]
pub(super) fn keys<F: Float>(t: F) -> [[F; 3]; 4] {
    let a = to::<F>(-0.75);
    let c = |x: f64| to::<F>(x);
    // At a distance below one, and from one to two.
    let near = |x: F| {
        [
            ((a + c(2.0)) * x - (a + c(3.0))) * x * x + F::one(),
            (c(3.0) * (a + c(2.0)) * x - c(2.0) * (a + c(3.0))) * x,
            c(6.0) * (a + c(2.0)) * x - c(2.0) * (a + c(3.0)),
        ]
    };
    let far = |x: F| {
        [
            ((a * x - c(5.0) * a) * x + c(8.0) * a) * x - c(4.0) * a,
            (c(3.0) * a * x - c(10.0) * a) * x + c(8.0) * a,
            c(6.0) * a * x - c(10.0) * a,
        ]
    };
    // Distances to the right shrink as t grows.
    let turned = |[value, first, second]: [F; 3]| [value, -first, second];
    let rest = F::one() - t;
    [far(t + F::one()), near(t), turned(near(rest)), turned(far(rest + F::one()))]
}

impl<F: Float> Line<F> {
    /// The line of a dimension that there is not.
    pub fn single() -> Self {
        let zero = [F::zero(); 3];
        let one = [F::one(), F::zero(), F::zero()];
        Line { count: 1, at: [Some(0), None, None, None], factors: [one, zero, zero, zero] }
    }

    /// The line of a normalised coordinate along a dimension of `size` elements.
    pub fn new(x: F, size: usize, s: &GridShape) -> Self {
        let (zero, one) = (F::zero(), F::one());
        let (place, scale) = normalised(x, size, s.align_corners);
        let inside = |i: isize| usize::try_from(i).ok().filter(|&i| i < size);
        let mut line = Line { count: 0, at: [None; 4], factors: [[zero; 3]; 4] };
        let mut push = |at: Option<usize>, factor: [F; 3], slope: F| {
            line.at[line.count] = at;
            line.factors[line.count] = [factor[0], factor[1] * slope, factor[2] * slope * slope];
            line.count += 1;
        };
        match s.interpolation {
            Interpolation::Nearest => {
                let (place, _) = placed(place, size, s.padding, s.align_corners, false);
                push(inside(whole(nearest(place))), [one, zero, zero], zero);
            }
            Interpolation::Linear => {
                let (place, slope) = placed(place, size, s.padding, s.align_corners, false);
                let floor = place.floor();
                let at = whole(floor);
                push(inside(at), [floor + one - place, -one, zero], scale * slope);
                push(inside(at.saturating_add(1)), [place - floor, one, zero], scale * slope);
            }
            Interpolation::Cubic => {
                let floor = place.floor();
                for (i, factor) in keys(place - floor).into_iter().enumerate() {
                    // Each neighbour is brought into the image by itself.
                    let (at, _) = placed(floor + to(i as f64 - 1.0), size, s.padding, s.align_corners, false);
                    push(inside(whole(at)), factor, scale);
                }
            }
        }
        line
    }

    /// The elements inside the image: number on the line and place.
    pub fn places(&self) -> impl Iterator<Item = (usize, usize)> + use<F> {
        let (count, at) = (self.count, self.at);
        (0..count).filter_map(move |i| Some((i, at[i]?)))
    }
}
