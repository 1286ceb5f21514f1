//! Loops compiled for wider vector registers. One of the modules with unsafe code.

/// Runs `body` compiled for AVX2 and FMA where the processor has them. What `body` calls must be inlined into it to
/// gain. Results are the same: nothing is contracted or reordered.
#[inline]
pub(crate) fn wide<R>(body: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma")]
        fn run<R>(body: impl FnOnce() -> R) -> R {
            body()
        }
        if std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma") {
            // SAFETY: the features were detected.
            return unsafe { run(body) };
        }
    }
    body()
}
