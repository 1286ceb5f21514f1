//! Slices of `float16` to and from `float32`, and of `float32` to `bfloat16`, by the processor's conversions, which compilers do
//! not find in arithmetic on bits; the same bits without them. One of the modules with unsafe code.

use super::convert::{narrow_bf16, narrow_f16, widen_f16};
use crate::wide::wide;
#[cfg(target_arch = "x86_64")]
use crate::wide::{Level, level};
use flambeau_core::{bf16, f16};

/// Writes `n` numbers as `float32`.
///
/// # Safety
/// `from` must be valid for `n` elements, at any address, `to` for as many writes; they do not overlap.
pub(super) unsafe fn widen(from: *const f16, to: *mut f32, n: usize) {
    // SAFETY: as promised by the caller; no level is above the highest of this processor.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        match level() {
            Level::Avx512 => return x86::widen_16(from, to, n),
            Level::Avx2 => return x86::widen_8(from, to, n),
            Level::Baseline => {}
        }
        widen_rest(from, to, 0..n);
    }
}

/// Writes `n` numbers as `float16`, rounded to the nearest.
///
/// # Safety
/// As for [`widen`], `to` at any address.
pub(super) unsafe fn narrow(from: *const f32, to: *mut f16, n: usize) {
    // SAFETY: as above.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        match level() {
            Level::Avx512 => return x86::narrow_16(from, to, n),
            Level::Avx2 => return x86::narrow_8(from, to, n),
            Level::Baseline => {}
        }
        narrow_rest(from, to, 0..n);
    }
}

/// Writes `n` numbers as `bfloat16`, rounded to the nearest.
///
/// # Safety
/// As for [`narrow`].
pub(super) unsafe fn narrow_brain(from: *const f32, to: *mut bf16, n: usize) {
    // SAFETY: as above; the instructions are there.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        if level() == Level::Avx512 && is_x86_feature_detected!("avx512bf16") {
            return x86::narrow_32(from, to, n);
        }
        wide(move || (0..n).for_each(|i| to.add(i).write_unaligned(narrow_bf16(from.add(i).read()))));
    }
}

/// # Safety
/// As for [`widen`], of the elements of the range.
#[inline(always)]
unsafe fn widen_rest(from: *const f16, to: *mut f32, range: std::ops::Range<usize>) {
    // SAFETY: as promised by the caller.
    range.for_each(|i| unsafe { to.add(i).write(widen_f16(from.add(i).read_unaligned())) });
}

/// # Safety
/// As for [`narrow`], of the elements of the range.
#[inline(always)]
unsafe fn narrow_rest(from: *const f32, to: *mut f16, range: std::ops::Range<usize>) {
    // SAFETY: as promised by the caller.
    range.for_each(|i| unsafe { to.add(i).write_unaligned(narrow_f16(from.add(i).read())) });
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{narrow_bf16, narrow_rest, widen_rest};
    use flambeau_core::{bf16, f16};
    use std::arch::x86_64::*;

    macro_rules! conversions {
        ($widen:ident, $narrow:ident, $features:literal, $n:literal, $load_half:ident, $to_single:ident, $put:ident,
            $load:ident, $to_half:ident, $put_half:ident) => {
            /// # Safety
            /// As for [`super::widen`]; the processor has the instructions.
            #[target_feature(enable = $features)]
            pub unsafe fn $widen(from: *const f16, to: *mut f32, n: usize) {
                let whole = n / $n * $n;
                // SAFETY: elements below `n`.
                unsafe {
                    for i in (0..whole).step_by($n) {
                        $put(to.add(i), $to_single($load_half(from.add(i).cast())));
                    }
                    widen_rest(from, to, whole..n);
                }
            }
            /// # Safety
            /// As for [`super::narrow`]; the processor has the instructions.
            #[target_feature(enable = $features)]
            pub unsafe fn $narrow(from: *const f32, to: *mut f16, n: usize) {
                let whole = n / $n * $n;
                // SAFETY: elements below `n`.
                unsafe {
                    for i in (0..whole).step_by($n) {
                        let half = $to_half::<_MM_FROUND_TO_NEAREST_INT>($load(from.add(i)));
                        $put_half(to.add(i).cast(), half);
                    }
                    narrow_rest(from, to, whole..n);
                }
            }
        };
    }
    conversions!(
        widen_16,
        narrow_16,
        "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,f16c",
        16,
        _mm256_loadu_si256,
        _mm512_cvtph_ps,
        _mm512_storeu_ps,
        _mm512_loadu_ps,
        _mm512_cvtps_ph,
        _mm256_storeu_si256
    );
    conversions!(
        widen_8,
        narrow_8,
        "avx2,fma,f16c",
        8,
        _mm_loadu_si128,
        _mm256_cvtph_ps,
        _mm256_storeu_ps,
        _mm256_loadu_ps,
        _mm256_cvtps_ph,
        _mm_storeu_si128
    );

    /// # Safety
    /// As for [`super::narrow_brain`]; the processor has the instructions.
    #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx512bf16,avx2,fma")]
    pub unsafe fn narrow_32(from: *const f32, to: *mut bf16, n: usize) {
        const SUBNORMAL: i32 = 0x20;
        let whole = n / 32 * 32;
        // SAFETY: elements below `n`.
        unsafe {
            let rest = |range: std::ops::Range<usize>| {
                range.for_each(|i| to.add(i).write_unaligned(narrow_bf16(from.add(i).read())))
            };
            for i in (0..whole).step_by(32) {
                let (low, high) = (_mm512_loadu_ps(from.add(i)), _mm512_loadu_ps(from.add(i + 16)));
                // The conversion takes subnormal numbers for zeros.
                let least =
                    _mm512_fpclass_ps_mask::<SUBNORMAL>(low) | _mm512_fpclass_ps_mask::<SUBNORMAL>(high);
                if least != 0 {
                    rest(i..i + 32);
                    continue;
                }
                let halves = _mm512_cvtne2ps_pbh(high, low);
                to.add(i).cast::<__m512bh>().write_unaligned(halves);
            }
            rest(whole..n);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_number_by_number() {
        let halves: Vec<f16> = (0..=u16::MAX).map(f16::from_bits).collect();
        let mut singles: Vec<f32> = (0..1 << 20).map(|i: u32| f32::from_bits(i << 12 | i >> 8)).collect();
        singles.extend((0..1 << 18).map(|i: u32| f32::from_bits(i.wrapping_mul(2654435761))));
        for less in 0..3 {
            let (n, m) = (halves.len() - less, singles.len() - less);
            let (mut wide, mut short) = (vec![0f32; n], vec![f16::ZERO; m]);
            let mut brain = vec![bf16::ZERO; m];
            // SAFETY: so many elements.
            unsafe {
                widen(halves.as_ptr(), wide.as_mut_ptr(), n);
                narrow(singles.as_ptr(), short.as_mut_ptr(), m);
                narrow_brain(singles.as_ptr(), brain.as_mut_ptr(), m);
            }
            assert!(wide.iter().zip(&halves).all(|(w, &h)| w.to_bits() == widen_f16(h).to_bits()));
            for ((s, b), &v) in short.iter().zip(&brain).zip(&singles) {
                assert_eq!(s.to_bits(), narrow_f16(v).to_bits(), "{:x}", v.to_bits());
                assert_eq!(b.to_bits(), narrow_bf16(v).to_bits(), "{:x}", v.to_bits());
            }
        }
    }
}
