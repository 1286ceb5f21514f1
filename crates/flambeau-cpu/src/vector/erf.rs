//! The error function.

use super::MAGIC;
use super::coefficients::{ERF, ERF_NEAR, ERF_PIECES, ERFC, GELU_PIECES};
use super::erf_pieces::ERF_DOUBLE;
use super::exp::{MAGIC_SINGLE, parts, power};
use super::lane::{Double, Single, piece, pieces, series, single};
use super::polynomial;

/// Polynomials about multiples of 1/4.
static PIECES: [[f32; 16]; 8] = pieces(&ERF_PIECES);

#[inline(always)]
pub(super) fn erf_single<L: Single>(x: L) -> L {
    // From 3.92 on the result is 1.
    let z = x.magnitude().at_most(3.925);
    let k = z.fused(L::of(4.0), L::of(MAGIC_SINGLE)).at_most(MAGIC_SINGLE + 15.0);
    let t = k.minus(L::of(MAGIC_SINGLE)).fused(L::of(-0.25), z);
    let (first, tail) = piece::<0, _, _>(k, t, &PIECES);
    // Near zero a product with few rounding errors.
    z.fused(series(&ERF_NEAR, z.times(z)), z).or_from(z, 0.40625, first.plus(tail)).with_sign(x)
}

static GELU: [[f32; 16]; 6] = {
    let mut out = [[0.0; 16]; 6];
    let mut k = 0;
    while k < 6 {
        out[k] = single(&GELU_PIECES[k]);
        k += 1;
    }
    out
};

/// `x / 2 * (1 + erf(x / sqrt(2)))`
#[inline(always)]
pub(super) fn gelu_single<L: Single>(x: L) -> L {
    // From 5.55 on the integral is 1.
    let z = x.magnitude().at_most(5.6);
    let k = z.fused(L::of(8.0 / 3.0), L::of(MAGIC_SINGLE));
    let t = k.minus(L::of(MAGIC_SINGLE)).fused(L::of(-0.375), z);
    // Not a fold: closures would not be compiled for the registers' instructions.
    let mut half = k.pick(&GELU[5]);
    for j in (0..5).rev() {
        half = half.fused(t, k.pick(&GELU[j]));
    }
    x.times(L::of(0.5).plus(half.with_sign(x)))
}

#[inline(always)]
pub(super) fn erf_double(x: f64) -> f64 {
    let z = x.abs();
    let z = if z > 6.0 { 6.0 } else { z };
    let u = z * z;
    let near = z.mul_add(polynomial(&ERF, u), z);
    // exp(-z^2) times what is left of erfc(z), a smooth function of a fraction of z.
    let (k, h, l) = parts(-u);
    let scaled = power(k) * polynomial(&ERFC, (z - 2.0) / (z + 2.0));
    let far = 1.0 - scaled.mul_add(h + l, scaled);
    (if z < 1.0 { near } else { far }).copysign(x)
}

/// Faster than [`erf_double`] where tables of 16 `f64` fit two registers; within 1.1 units in the last place.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn erf_by_pieces<L: Double>(x: L) -> L {
    // From 5.922 on the result is 1.
    let z = x.magnitude().at_most(5.925);
    let k = z.fused(L::of(8.0 / 3.0), L::of(MAGIC)).at_most(MAGIC + 15.0);
    let t = k.minus(L::of(MAGIC)).fused(L::of(-0.375), z);
    // Not a fold: closures would not be compiled for the registers' instructions.
    let mut y = k.pick(&ERF_DOUBLE[13]);
    for j in (0..13).rev() {
        y = y.fused(t, k.pick(&ERF_DOUBLE[j]));
    }
    y.with_sign(x)
}
