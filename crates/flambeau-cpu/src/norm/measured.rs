//! Normalisation of groups that lie one after the other by their own moments: each is measured and normalised while it is
//! in the cache.

use super::{GRAIN, Real, at, line, number, quick_moments, size_product};
use crate::wide::{Body, wide};
use flambeau_core::parallel::each;
use flambeau_core::{Result, buffer, ensure};

/// What weight and bias of a group go with.
#[derive(Clone, Copy, Debug)]
pub enum Affine {
    /// One element for each of the group.
    Elements,
    /// One element for each of `channels` planes of `inner` elements: a group has some of them.
    Channels { channels: usize, inner: usize },
}

/// `(x - mean) * scale * weight + bias` for groups of `size` elements, `scale` being `1 / sqrt(variance + eps)`; gives the
/// means and the scales.
pub fn normalise_groups<F: Real>(
    size: usize,
    affine: Affine,
    eps: f64,
    x: &[F],
    [weight, bias]: [Option<&[F]>; 2],
    out: &mut [F],
) -> Result<[Vec<f64>; 2]> {
    let length = match affine {
        Affine::Elements => size,
        Affine::Channels { channels, inner } => {
            ensure!(inner > 0 && size.is_multiple_of(inner), "norm: sizes don't match");
            ensure!(size_product(&[channels, inner])?.is_multiple_of(size), "norm: sizes don't match");
            channels
        }
    };
    let fits = [weight, bias].into_iter().flatten().all(|list| list.len() == length);
    ensure!(
        fits && size > 0 && x.len() == out.len() && x.len().is_multiple_of(size),
        "norm: sizes don't match"
    );
    let (mut mean, mut scale) = (buffer(x.len() / size)?, buffer(x.len() / size)?);
    let groups = GRAIN.div_ceil(size);
    let moments = mean.chunks_mut(groups).zip(scale.chunks_mut(groups));
    let blocks = x.chunks(groups * size).zip(out.chunks_mut(groups * size));
    each(blocks.zip(moments).enumerate(), 1, |(i, ((x, out), moments))| {
        let affine = (affine, [weight, bias]);
        wide(Measured { size, first: i * groups, affine, eps, x, out, moments });
        Ok(())
    })?;
    Ok([mean, scale])
}

/// Bytes of groups that stay in the second-level cache together with their results and the next group.
const NEAR: usize = 1 << 18;

/// Groups from the `first` one on.
struct Measured<'a, F> {
    size: usize,
    first: usize,
    affine: (Affine, [Option<&'a [F]>; 2]),
    eps: f64,
    x: &'a [F],
    out: &'a mut [F],
    moments: (&'a mut [f64], &'a mut [f64]),
}
impl<F: Real> Body for Measured<'_, F> {
    type Output = ();
    #[inline(always)]
    fn run(self) {
        let Measured { size, first, affine: (affine, [weight, bias]), eps, x, out, moments } = self;
        let all = x;
        let groups = x.chunks_exact(size).zip(out.chunks_exact_mut(size));
        let moments = moments.0.iter_mut().zip(moments.1);
        let near = size * size_of::<F>() <= NEAR;
        for (g, ((x, out), (mean, scale))) in groups.zip(moments).enumerate() {
            // The group's results and the next group are asked for while it is measured.
            let following = all[(g + 1) * size..].get(..size).unwrap_or(&[]);
            let (middle, variance) = match near {
                true => quick_moments::<F, true>(x, out, following),
                false => quick_moments::<F, false>(x, &[], &[]),
            };
            (*mean, *scale) = (middle, 1.0 / (variance + eps).sqrt());
            let (m, r) = (number::<F>(*mean), number::<F>(*scale));
            let Affine::Channels { channels, inner } = affine else {
                match (weight, bias) {
                    (Some(weight), Some(bias)) => {
                        line(out, [x, weight, bias], |x, w, b| (x - m) * r * w + b);
                    }
                    (Some(weight), None) => line(out, [x, weight, x], |x, w, _| (x - m) * r * w),
                    (None, Some(bias)) => line(out, [x, bias, x], |x, b, _| (x - m) * r + b),
                    (None, None) => line(out, [x, x, x], |x, _, _| (x - m) * r),
                }
                continue;
            };
            let plane = (first + g) * (size / inner);
            for (p, (x, out)) in x.chunks_exact(inner).zip(out.chunks_exact_mut(inner)).enumerate() {
                let c = (plane + p) % channels;
                let (a, b) = (number::<F>(*scale * at(weight, c, 1.0)), number::<F>(at(bias, c, 0.0)));
                line(out, [x, x, x], |x, _, _| (x - m) * a + b);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::norm::{Groups, Planes, moments, normalise_planes};

    /// Groups of planes are as planes that are normalised by given moments.
    #[test]
    fn groups_of_planes() {
        let (channels, inner, groups) = (6, 35, 3);
        let size = channels / groups * inner;
        let x: Vec<f32> = (0..4 * channels * inner).map(|i| (i * 7919 % 101) as f32 / 50.0).collect();
        let weight: Vec<f32> = (0..channels).map(|i| i as f32 / 9.0 - 1.0).collect();
        let s = Groups { outer: 1, stats: x.len() / size, inner: size };
        let (mean, var) = moments(s, &x).unwrap();
        let scale: Vec<f64> = var.iter().map(|v| 1.0 / (v + 1e-5).sqrt()).collect();
        let (planes, sharing) = (4 * channels, channels / groups);
        let planes = Planes { channels, inner, planes, sharing, stats: planes / sharing, count: Some(size) };
        for affine in [[None, None], [Some(&weight[..]), None], [Some(&weight), Some(&weight)]] {
            let mut expected = vec![0.0; x.len()];
            normalise_planes(&planes, &x, [&mean, &scale], affine, &mut expected).unwrap();
            let mut out = vec![0.0; x.len()];
            let with = Affine::Channels { channels, inner };
            let own = normalise_groups(size, with, 1e-5, &x, affine, &mut out).unwrap();
            let near = |a: f64, b: f64| (a - b).abs() < 1e-6 * b.abs().max(1.0);
            assert!(own[0].iter().zip(&mean).all(|(&a, &b)| near(a, b)));
            assert!(own[1].iter().zip(&scale).all(|(&a, &b)| near(a, b)));
            assert!(out.iter().zip(&expected).all(|(&a, &b)| near(a.into(), b.into())));
        }
        assert!(normalise_groups(size + 1, Affine::Elements, 0.0, &x, [None, None], &mut x.clone()).is_err());
        let uneven = Affine::Channels { channels: 4, inner };
        assert!(normalise_groups(size, uneven, 0.0, &x, [Some(&weight), None], &mut x.clone()).is_err());
    }
}
