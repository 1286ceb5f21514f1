//! `bfloat16` as the upper half of a `float32`, in a form that compilers vectorise.

use crate::bf16;

/// The same number.
#[inline(always)]
pub fn widen_bf16(v: bf16) -> f32 {
    f32::from_bits((v.to_bits() as u32) << 16)
}

/// To the nearest, ties to even; NaN becomes quiet.
#[inline(always)]
pub fn narrow_bf16(v: f32) -> bf16 {
    let bits = v.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    bf16::from_bits(if v.is_nan() { bits >> 16 | 0x40 } else { rounded } as u16)
}
