//! The error function.

use super::coefficients::{ERF, ERF_SHORT, ERFC};
use super::exp::{parts, power};
use super::polynomial;

#[inline(always)]
pub(super) fn erf_single(x: f32) -> f32 {
    let z = (x as f64).abs();
    // From 3.93 on the result is 1.
    let z = if z > 4.0 { 4.0 } else { z };
    (z * polynomial(&ERF_SHORT, z.mul_add(z, -8.0))).copysign(x as f64) as f32
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
