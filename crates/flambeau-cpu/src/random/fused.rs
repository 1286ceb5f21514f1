//! `x * scale + shift` with one rounding, which the compiler vectorises where the processor has fused operations.

macro_rules! scale_add { ($($name:ident, $t:ty);*) => { $(
    /// Replaces each element by `x * scale + shift`, rounded once.
    pub(super) fn $name(x: &mut [$t], scale: $t, shift: $t) {
        #[inline(always)]
        fn any(x: &mut [$t], scale: $t, shift: $t) {
            for x in x {
                *x = x.mul_add(scale, shift);
            }
        }
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        #[target_feature(enable = "avx2,fma")]
        fn fma(x: &mut [$t], scale: $t, shift: $t) {
            any(x, scale, shift);
        }
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        if std::is_x86_feature_detected!("avx2") && std::is_x86_feature_detected!("fma") {
            // SAFETY: the processor has the features of the function.
            return unsafe { fma(x, scale, shift) };
        }
        any(x, scale, shift);
    }
)* } }
scale_add!(scale_add_f32, f32; scale_add_f64, f64);
