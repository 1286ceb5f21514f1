//! The error function.

use super::coefficients::{ERF, ERF_NEAR, ERFC, ERFC_FAR, EXP2_SINGLE};
use super::exp::{MAGIC_SINGLE, parts, power, power_single};
use super::{polynomial, polynomial_single};

/// Near zero a product with few rounding errors, beyond it `1 - erfc(z)`, whose errors are small against 1.
#[inline(always)]
pub(super) fn erf_single(x: f32) -> f32 {
    let z = x.abs();
    // From 3.93 on the result is 1.
    let z = if z > 4.0 { 4.0 } else { z };
    let near = z.mul_add(polynomial_single(&ERF_NEAR, z * z), z);
    // erfc(7/8 + t) = erfc(7/8) 2^(t FAR(t)), with small errors where erfc is large.
    let t = z - 0.875;
    let log = t * polynomial_single(&ERFC_FAR, t);
    let k = log + MAGIC_SINGLE;
    let r = log - (k - MAGIC_SINGLE);
    let s = power_single(k) * 0.215_924_94;
    let far = 1.0 - s.mul_add(r * polynomial_single(&EXP2_SINGLE, r), s);
    (if z < 0.875 { near } else { far }).copysign(x)
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
