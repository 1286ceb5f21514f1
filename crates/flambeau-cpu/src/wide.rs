//! Loops compiled for wider vector registers. One of the modules with unsafe code.

pub(crate) use flambeau_linalg::level::{Level, highest, level};
pub(crate) use flambeau_linalg::prefetch::{ahead, ahead_to_write, soon};

/// Work that is compiled for each level. Closures are one kind; what is long implements the trait with
/// `#[inline(always)]`, as the compiler does not inline long closures into three functions.
pub(crate) trait Body {
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
pub(crate) fn wide<B: Body>(body: B) -> B::Output {
    wide_at(level(), body)
}

/// [`wide`] at a level of this processor.
#[inline(always)]
pub(crate) fn wide_at<B: Body>(level: Level, body: B) -> B::Output {
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
