//! Which instructions kernels may use on this processor, and loops compiled for each. One of the modules with unsafe code.

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

/// Work that is compiled for each level. Closures are one kind; what is long implements the trait with
/// `#[inline(always)]`, as the compiler does not inline long closures into three functions.
pub trait Body {
    type Output;
    fn run(self) -> Self::Output;
}
impl<R, F: FnOnce() -> R> Body for F {
    type Output = R;
    #[inline(always)]
    fn run(self) -> R {
        self()
    }
}

/// Runs `body` compiled for the level in use. What `body` calls must be inlined into it to gain. Results are the same
/// on all levels: nothing is contracted or reordered.
#[inline(always)]
pub fn wide<B: Body>(body: B) -> B::Output {
    wide_at(level(), body)
}

/// [`wide`] at a level of this processor.
#[inline(always)]
pub fn wide_at<B: Body>(level: Level, body: B) -> B::Output {
    debug_assert!(level <= highest());
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,fma,f16c")]
        fn avx2<B: Body>(body: B) -> B::Output {
            body.run()
        }
        #[target_feature(enable = "avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,f16c")]
        fn avx512<B: Body>(body: B) -> B::Output {
            body.run()
        }
        match level {
            // SAFETY: no level is above the highest of this processor.
            Level::Avx512 => return unsafe { avx512(body) },
            // SAFETY: as above.
            Level::Avx2 => return unsafe { avx2(body) },
            Level::Baseline => {}
        }
    }
    body.run()
}
