//! Plans, kept between calls, and real lines seen as pairs. One of the modules with unsafe code.

use num_complex::Complex;
use rustfft::{Fft, FftNum, FftPlanner};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A transform of one length and direction.
pub struct Plan<F: FftNum> {
    pub(super) fft: Arc<dyn Fft<F>>,
    /// Whether `fft` is of half the length, for real lines of even length.
    pub(super) halved: bool,
    /// `exp(-2 pi i k / n)` (forward) or its conjugate for k < n / 2, when halved.
    pub(super) twiddles: Vec<Complex<F>>,
}

impl<F: FftNum + num_traits::Zero> Plan<F> {
    pub(super) fn scratch(&self) -> Vec<Complex<F>> {
        vec![Complex::new(F::zero(), F::zero()); self.fft.get_immutable_scratch_len()]
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
}
macro_rules! element {
    ($f:ty) => {
        impl FftElement for $f {
            fn cache() -> &'static Cache<$f> {
                static CACHE: Cache<$f> = Mutex::new(None);
                &CACHE
            }
            fn algorithm(length: usize, forward: bool) -> Arc<dyn Fft<$f>> {
                let mut planner = FftPlanner::new();
                if forward { planner.plan_fft_forward(length) } else { planner.plan_fft_inverse(length) }
            }
        }
    };
}
element!(f32);
element!(f64);

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
    let plan = Arc::new(Plan { fft, halved, twiddles });
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
