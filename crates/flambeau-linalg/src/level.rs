//! Which instructions kernels may use on this processor.

use std::sync::atomic::{AtomicU8, Ordering};

/// The instructions that loops are compiled for, each level with those below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Level {
    /// What every processor of the architecture has (with NEON on ARM).
    Baseline = 1,
    /// AVX2, FMA and F16C.
    Avx2,
    /// AVX-512 F, VL, DQ and BW.
    Avx512,
}

/// The level in use; 0 before the first question.
static LEVEL: AtomicU8 = AtomicU8::new(0);

/// The highest level of this processor, or what the environment variable `FLAMBEAU_ISA` (`baseline`, `avx2`, `avx512`)
/// lowers it to.
#[inline(always)]
pub fn level() -> Level {
    match LEVEL.load(Ordering::Relaxed) {
        1 => Level::Baseline,
        2 => Level::Avx2,
        3 => Level::Avx512,
        _ => choose(),
    }
}

#[cold]
fn choose() -> Level {
    let wanted = match std::env::var("FLAMBEAU_ISA").as_deref() {
        Ok("baseline") => Level::Baseline,
        Ok("avx2") => Level::Avx2,
        _ => Level::Avx512,
    };
    let level = wanted.min(highest());
    LEVEL.store(level as u8, Ordering::Relaxed);
    level
}

/// The highest level of this processor.
pub fn highest() -> Level {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::is_x86_feature_detected as has;
        if has!("avx2") && has!("fma") && has!("f16c") {
            if has!("avx512f") && has!("avx512vl") && has!("avx512dq") && has!("avx512bw") {
                return Level::Avx512;
            }
            return Level::Avx2;
        }
    }
    Level::Baseline
}
