//! Plans, kept between calls, and real lines seen as pairs. One of the modules with unsafe code.

use super::kernel::{self, Kernel};
use super::lanes::Lanes;
use super::square::Square;
use crate::wide::{Level, wide};
use num_complex::Complex;
use rustfft::{Fft, FftDirection, FftNum, FftPlanner};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A transform of one length and direction.
pub struct Plan<F: FftElement> {
    pub(super) fft: Arc<dyn Fft<F>>,
    /// Whether `fft` is of half the length, for real lines of even length.
    pub(super) halved: bool,
    /// `exp(-2 pi i k / n)` (forward) or its conjugate for k < n / 2, when halved.
    pub(super) twiddles: Vec<Complex<F>>,
    /// The same for several lines side by side, always forward.
    pub(super) lanes: Option<Lanes<F>>,
    /// The same for one line, where its length allows.
    pub(super) square: Option<Square<F>>,
}

impl<F: FftElement> Plan<F> {
    pub(super) fn scratch(&self) -> Vec<Complex<F>> {
        let length = if self.square.is_some() { 0 } else { self.fft.get_immutable_scratch_len() };
        vec![Complex::new(F::zero(), F::zero()); length]
    }

    /// How lines are transformed side by side, where that is the best for them: not where each is on its own.
    pub(super) fn side_by_side(&self, inner: usize) -> Option<&Lanes<F>> {
        self.lanes.as_ref().filter(|_| inner != 1 || self.square.is_none())
    }

    /// The transforms of lines that follow each other, times `scale`.
    pub(super) fn process(
        &self,
        from: &[Complex<F>],
        to: &mut [Complex<F>],
        scratch: &mut [Complex<F>],
        scale: F,
    ) {
        match &self.square {
            Some(square) => {
                square.run(from, to, self.fft.fft_direction() == FftDirection::Inverse, scale);
            }
            None => {
                self.fft.process_immutable_with_scratch(from, to, scratch);
                if scale != F::one() {
                    wide(move || to.iter_mut().for_each(|x| *x = *x * scale));
                }
            }
        }
    }
}

type Key = (usize, bool, bool);
#[doc(hidden)]
pub type Cache<F> = Mutex<Option<HashMap<Key, Arc<Plan<F>>>>>;

/// `f32` or `f64`.
pub trait FftElement: FftNum + num_traits::Float + Default {
    #[doc(hidden)]
    fn cache() -> &'static Cache<Self>;
    /// A transform of any length. Not generic, so that rustfft's algorithms are compiled in this crate alone.
    #[doc(hidden)]
    fn algorithm(length: usize, forward: bool) -> Arc<dyn Fft<Self>>;
    /// The loops for lines side by side.
    #[doc(hidden)]
    fn kernel(level: Level) -> Option<&'static Kernel<Self>>;
}
macro_rules! element {
    ($f:ty, $kernel:path) => {
        impl FftElement for $f {
            fn cache() -> &'static Cache<$f> {
                static CACHE: Cache<$f> = Mutex::new(None);
                &CACHE
            }
            fn algorithm(length: usize, forward: bool) -> Arc<dyn Fft<$f>> {
                let mut planner = FftPlanner::new();
                if forward { planner.plan_fft_forward(length) } else { planner.plan_fft_inverse(length) }
            }
            fn kernel(level: Level) -> Option<&'static Kernel<$f>> {
                $kernel(level)
            }
        }
    };
}
element!(f32, kernel::single);
element!(f64, kernel::double);

/// Plans kept at most, and the longest length worth keeping: memory must not grow with the lengths that were used.
const KEPT: usize = 32;
const LONGEST: usize = 1 << 21;

/// The plan of length `n`; `halved` for real lines of even length.
pub(super) fn plan<F: FftElement>(n: usize, forward: bool, halved: bool) -> Arc<Plan<F>> {
    let key = (n, forward, halved);
    // A panic elsewhere leaves at worst a missing plan behind.
    let lock = || F::cache().lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(plan) = lock().as_ref().and_then(|plans| plans.get(&key)) {
        return plan.clone();
    }
    let length = if halved { n / 2 } else { n };
    let fft = F::algorithm(length, forward);
    let twiddle = |k: usize| {
        let angle = std::f64::consts::TAU * k as f64 / n as f64;
        let (sin, cos) = if forward { (-angle).sin_cos() } else { angle.sin_cos() };
        let part = |x: f64| <F as num_traits::NumCast>::from(x).unwrap_or_else(F::nan);
        Complex::new(part(cos), part(sin))
    };
    let twiddles = (0..if halved { length } else { 0 }).map(twiddle).collect();
    let plan =
        Arc::new(Plan { fft, halved, twiddles, lanes: Lanes::new(length), square: Square::new(length) });
    if n <= LONGEST {
        let mut plans = lock();
        let plans = plans.get_or_insert_default();
        if plans.len() >= KEPT {
            plans.clear();
        }
        plans.insert(key, plan.clone());
    }
    plan
}

/// Real numbers as complex ones, two by two.
pub(super) fn pairs<F: FftElement>(line: &[F]) -> &[Complex<F>] {
    // SAFETY: a complex number is two real ones (`repr(C)`), with their alignment; the length is rounded down.
    unsafe { std::slice::from_raw_parts(line.as_ptr().cast(), line.len() / 2) }
}

/// [`pairs`], to write.
pub(super) fn pairs_mut<F: FftElement>(line: &mut [F]) -> &mut [Complex<F>] {
    // SAFETY: as in `pairs`; the borrow is passed on.
    unsafe { std::slice::from_raw_parts_mut(line.as_mut_ptr().cast(), line.len() / 2) }
}
