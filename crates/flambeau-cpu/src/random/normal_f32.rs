//! Box–Muller in `float32` with the polynomials of Moshier's Cephes library (`logf`, `sinf`, `cosf`), rounded as
//! PyTorch's AVX2 build rounds them: a product and the sum that takes it are one fused operation.

use super::normal::BLOCK;

const PAIRS: usize = BLOCK / 2;
/// Blocks computed side by side: enough for loops that the compiler turns into vector code.
pub(super) const GROUP: usize = 16;
const LANES: usize = PAIRS * GROUP;

/// Turns blocks of 16 uniforms into normals in place: radii from the first eight, angles from the last eight; cosines
/// first, sines last.
pub(super) fn transform(blocks: &mut [[f32; BLOCK]], mean: f32, std: f32) {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
        // SAFETY: the processor has the features of the function.
        return unsafe { transform_fma(blocks, mean, std) };
    }
    transform_any(blocks, mean, std);
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
#[target_feature(enable = "avx2,fma")]
fn transform_fma(blocks: &mut [[f32; BLOCK]], mean: f32, std: f32) {
    transform_any(blocks, mean, std);
}

#[inline(always)]
fn transform_any(blocks: &mut [[f32; BLOCK]], mean: f32, std: f32) {
    let (mut radius, mut theta, mut sin, mut cos) = ([0.0; LANES], [0.0; LANES], [0.0; LANES], [0.0; LANES]);
    for group in blocks.chunks_mut(GROUP) {
        for (i, block) in group.iter().enumerate() {
            let (first, last) = block.split_at(PAIRS);
            radius[i * PAIRS..][..PAIRS].copy_from_slice(first);
            theta[i * PAIRS..][..PAIRS].copy_from_slice(last);
        }
        let lanes = group.len() * PAIRS;
        for radius in &mut radius[..lanes] {
            *radius = (-2.0 * log(1.0 - *radius)).sqrt();
        }
        for ((sin, cos), theta) in sin[..lanes].iter_mut().zip(&mut cos[..lanes]).zip(&theta) {
            (*sin, *cos) = sin_cos_turn(*theta);
        }
        for ((sin, cos), radius) in sin[..lanes].iter_mut().zip(&mut cos[..lanes]).zip(&radius) {
            *cos = (radius * *cos).mul_add(std, mean);
            *sin = (radius * *sin).mul_add(std, mean);
        }
        for (i, block) in group.iter_mut().enumerate() {
            let (first, last) = block.split_at_mut(PAIRS);
            first.copy_from_slice(&cos[i * PAIRS..][..PAIRS]);
            last.copy_from_slice(&sin[i * PAIRS..][..PAIRS]);
        }
    }
}

/// The logarithm of a number in [2^-24, 1].
#[inline(always)]
fn log(x: f32) -> f32 {
    const P: [f32; 9] = [
        7.037_683_6e-2,
        -1.151_461e-1,
        1.167_699_84e-1,
        -1.242_014_1e-1,
        1.424_932_3e-1,
        -1.666_805_8e-1,
        2.000_071_4e-1,
        -2.499_999_4e-1,
        3.333_333e-1,
    ];
    // x = m * 2^e with sqrt(1/2) <= m < sqrt(2); then a polynomial in t = m - 1.
    let bits = x.to_bits();
    let m = f32::from_bits(bits & 0x007f_ffff | 0x3f00_0000);
    let e = ((bits >> 23) as i32 - 126) as f32;
    let low = m < std::f32::consts::FRAC_1_SQRT_2;
    let e = if low { e - 1.0 } else { e };
    let t = (m - 1.0) + if low { m } else { 0.0 };
    let square = t * t;
    let mut y = P[0];
    for p in &P[1..] {
        y = y.mul_add(t, *p);
    }
    y *= t;
    // ln 2 in two parts, the small one added first.
    y = y.mul_add(square, e * -2.121_944_4e-4);
    y = square.mul_add(-0.5, y);
    e.mul_add(0.693_359_4, t + y)
}

/// The sine and cosine of 2 pi times a fraction in [0, 1].
#[inline(always)]
// `clamp` would let a NaN through to the conversion below.
#[allow(clippy::manual_clamp)]
fn sin_cos_turn(fraction: f32) -> (f32, f32) {
    let x = (2.0 * std::f64::consts::PI) as f32 * fraction.max(0.0).min(1.0);
    // The even octant index nearest to x / (pi/4); pi/4 is subtracted in three parts.
    // SAFETY: the product is finite and in the range of i32; a checked cast would keep the loop from being vectorised.
    let below: i32 = unsafe { (x * (4.0 / std::f64::consts::PI) as f32).to_int_unchecked() };
    let octant = below.wrapping_add(1) & !1;
    let k = octant as f32;
    let mut r = k.mul_add(-0.785_156_25, x);
    r = k.mul_add(-2.418_756_5e-4, r);
    r = k.mul_add(-3.774_895e-8, r);
    let z = r * r;
    let mut c = 2.443_315_7e-5f32;
    c = c.mul_add(z, -1.388_731_6e-3);
    c = c.mul_add(z, 4.166_664_6e-2);
    c *= z;
    c = c.mul_add(z, -(z * 0.5)) + 1.0;
    let mut s = -1.951_529_6e-4f32;
    s = s.mul_add(z, 8.332_161e-3);
    s = s.mul_add(z, -1.666_665_5e-1);
    s *= z;
    s = s.mul_add(r, r);
    // Choices and signs by bits, which keeps the loop free of branches, and zeros keep their signs.
    let (s, c) = (s.to_bits(), c.to_bits());
    let swap = (s ^ c) & ((octant as u32 >> 1) & 1).wrapping_neg();
    let sin = s ^ swap ^ ((octant & 4) as u32) << 29;
    let cos = c ^ swap ^ ((!octant.wrapping_sub(2) & 4) as u32) << 29;
    (f32::from_bits(sin), f32::from_bits(cos))
}
