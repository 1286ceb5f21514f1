//! Normalisation of channels with few elements in a plane, or one: samples are rows, along which all loops go.

use super::{GRAIN, Planes, Real, at, double, number};
use crate::wide::{Body, wide};
use flambeau_core::Result;
use flambeau_core::parallel::each;

/// Planes of so many elements are worth a loop of their own.
const WIDE: usize = 32;

/// Rows that are added up in the type of the elements before sums go on in double precision.
const FEW: usize = 64;

/// Whether all samples share the moments of a channel, and planes are small.
pub(super) fn serves(s: &Planes) -> bool {
    let whole = s.channels > 0 && s.planes.is_multiple_of(s.channels);
    whole && s.planes > 0 && s.sharing == 1 && s.stats == s.channels && (1..WIDE).contains(&s.inner)
}

/// A number for each channel, for each element of a row.
fn spread<F: Real>(s: &Planes, of: impl Fn(usize) -> f64) -> Vec<F> {
    (0..s.channels).flat_map(|c| std::iter::repeat_n(number(of(c)), s.inner)).collect()
}

/// [`super::normalise_planes`]
pub(super) fn normalise<F: Real>(
    s: &Planes,
    x: &[F],
    [mean, scale]: [&[f64]; 2],
    [weight, bias]: [Option<&[F]>; 2],
    out: &mut [F],
) -> Result<()> {
    let factors: [Vec<F>; 3] = [
        spread(s, |c| mean[c]),
        spread(s, |c| scale[c] * at(weight, c, 1.0)),
        spread(s, |c| at(bias, c, 0.0)),
    ];
    let factors = [&factors[0][..], &factors[1], &factors[2]];
    let size = GRAIN.next_multiple_of(s.channels * s.inner);
    each(x.chunks(size).zip(out.chunks_mut(size)), 1, |(x, out)| {
        wide(Normalise { x, factors, out });
        Ok(())
    })
}

/// Rows less means, times scales, and biases.
struct Normalise<'a, F> {
    x: &'a [F],
    factors: [&'a [F]; 3],
    out: &'a mut [F],
}
impl<F: Real> Body for Normalise<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Normalise { x, factors: [m, a, b], out } = self;
        let width = m.len();
        for (x, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
            let (m, a, b) = (&m[..width], &a[..width], &b[..width]);
            for k in 0..width {
                out[k] = (x[k] - m[k]) * a[k] + b[k];
            }
        }
    }
}

/// [`super::normalise_planes_backward`]
pub(super) fn backward<F: Real>(
    s: &Planes,
    [grad, x]: [&[F]; 2],
    [mean, scale]: [&[f64]; 2],
    weight: Option<&[F]>,
    out: &mut [F],
) -> Result<[Vec<F>; 2]> {
    let width = s.channels * s.inner;
    let means: Vec<F> = spread(s, |c| mean[c]);
    let mut sums = [vec![0.0; width], vec![0.0; width]];
    wide(Sums { both: [grad, x], means: &means, sums: sums.each_mut().map(|list| &mut list[..]) });
    let count = s.count.map_or(f64::INFINITY, |n| n as f64);
    let total = |list: &[f64], c: usize| list[c * s.inner..][..s.inner].iter().sum::<f64>();
    let (mut by_weight, mut by_bias): (Vec<F>, Vec<F>) = (Vec::new(), Vec::new());
    let mut parts = (Vec::new(), Vec::new());
    for c in 0..s.channels {
        let plain = total(&sums[0], c);
        // With what the rounding of the mean takes away.
        let moved = total(&sums[1], c) - (mean[c] - double(means[c * s.inner])) * plain;
        by_weight.push(number(moved * scale[c]));
        by_bias.push(number(plain));
        let w = at(weight, c, 1.0);
        parts.0.push(w * plain / count);
        parts.1.push(scale[c] * (w * moved * scale[c] / count));
    }
    let factors: [Vec<F>; 5] = [
        means,
        spread(s, |c| at(weight, c, 1.0)),
        spread(s, |c| parts.0[c]),
        spread(s, |c| parts.1[c]),
        spread(s, |c| scale[c]),
    ];
    let factors = factors.each_ref().map(|list| &list[..]);
    let size = GRAIN.next_multiple_of(width);
    each(grad.chunks(size).zip(x.chunks(size)).zip(out.chunks_mut(size)), 1, |((grad, x), out)| {
        wide(Gradients { both: [grad, x], factors, out });
        Ok(())
    })?;
    Ok([by_weight, by_bias])
}

/// For each element of a row the sums over rows of `grad` and of `grad (x - mean)`; in the elements' own type for [`FEW`] rows.
struct Sums<'a, F> {
    both: [&'a [F]; 2],
    means: &'a [F],
    sums: [&'a mut [f64]; 2],
}
impl<F: Real> Body for Sums<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Sums { both: [grad, x], means, sums: [plain, moved] } = self;
        let width = means.len();
        let (mut p, mut q) = (vec![F::zero(); width], vec![F::zero(); width]);
        for (grad, x) in grad.chunks(FEW * width).zip(x.chunks(FEW * width)) {
            p.fill(F::zero());
            q.fill(F::zero());
            for (g, x) in grad.chunks_exact(width).zip(x.chunks_exact(width)) {
                let (p, q, means) = (&mut p[..width], &mut q[..width], &means[..width]);
                for k in 0..width {
                    p[k] = p[k] + g[k];
                    q[k] = q[k] + g[k] * (x[k] - means[k]);
                }
            }
            for k in 0..width {
                plain[k] += double(p[k]);
                moved[k] += double(q[k]);
            }
        }
    }
}

/// `(grad * weight - first - (x - mean) * second) * scale`, the differences first: what is left of them must not drown in the
/// rounding of large terms.
struct Gradients<'a, F> {
    both: [&'a [F]; 2],
    /// Means, weights, `first`, `second`, scales.
    factors: [&'a [F]; 5],
    out: &'a mut [F],
}
impl<F: Real> Body for Gradients<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Gradients { both: [grad, x], factors, out } = self;
        let width = factors[0].len();
        let rows = grad.chunks_exact(width).zip(x.chunks_exact(width)).zip(out.chunks_exact_mut(width));
        for ((g, x), out) in rows {
            let [m, w, d, b, r] = factors.map(|list| &list[..width]);
            for k in 0..width {
                out[k] = (g[k] * w[k] - d[k] - (x[k] - m[k]) * b[k]) * r[k];
            }
        }
    }
}
