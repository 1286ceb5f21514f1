//! Element types that hold random numbers, with the conversions of a C++ cast.

use flambeau_core::{C32, C64, DType, Element, bf16, f16};

/// The real numbers of a slice, complex elements as pairs.
pub(super) enum Reals<'a> {
    F32(&'a mut [f32]),
    F64(&'a mut [f64]),
    F16(&'a mut [f16]),
    BF16(&'a mut [bf16]),
    /// An integral type.
    None,
}

/// Elements of any type that fillers write: one form of each filler serves all of them.
pub trait Numbers {
    /// The number of elements.
    fn count(&self) -> usize;
    /// Replaces the elements from `at` on.
    fn set(&mut self, at: usize, from: &[f64]);
    /// Replaces the elements from `at` on.
    fn set_integers(&mut self, at: usize, from: &[i64]);
    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn reals(&mut self) -> Reals<'_>;
}

#[allow(private_interfaces)]
impl<T: Sample> Numbers for &mut [T] {
    fn count(&self) -> usize {
        self.len()
    }
    fn set(&mut self, at: usize, from: &[f64]) {
        for (o, &x) in self[at..at + from.len()].iter_mut().zip(from) {
            *o = T::from_f64(x);
        }
    }
    fn set_integers(&mut self, at: usize, from: &[i64]) {
        for (o, &x) in self[at..at + from.len()].iter_mut().zip(from) {
            *o = T::from_i64(x);
        }
    }
    fn reals(&mut self) -> Reals<'_> {
        T::reals(self)
    }
}

/// Elements of any type as parameters.
pub trait Parameters {
    /// The number of elements.
    fn count(&self) -> usize;
    /// Reads the real parts of the elements from `at` on.
    fn get(&self, at: usize, out: &mut [f64]);
}

impl<T: Sample> Parameters for &[T] {
    fn count(&self) -> usize {
        self.len()
    }
    fn get(&self, at: usize, out: &mut [f64]) {
        for (o, x) in out.iter_mut().zip(&self[at..]) {
            *o = x.to_f64();
        }
    }
}

/// A number as an element of a floating dtype holds it.
pub(super) fn rounded(dtype: DType, x: f64) -> f64 {
    match dtype {
        DType::Float16 => <f16 as Sample>::from_f64(x).to_f64(),
        DType::BFloat16 => <bf16 as Sample>::from_f64(x).to_f64(),
        DType::Float32 => x as f32 as f64,
        _ => x,
    }
}

/// Elements made at a time.
pub(super) const BATCH: usize = 512;

/// Fills with what `make` leaves in batches, which is given the place of their first element.
pub(super) fn in_batches<N: Copy + Default>(
    count: usize,
    mut make: impl FnMut(usize, &mut [N]),
    mut set: impl FnMut(usize, &[N]),
) {
    let mut batch = [N::default(); BATCH];
    for at in (0..count).step_by(BATCH) {
        let batch = &mut batch[..BATCH.min(count - at)];
        make(at, batch);
        set(at, batch);
    }
}

/// Fills with the numbers that `make` leaves in batches.
pub(super) fn fill(out: &mut dyn Numbers, make: impl FnMut(usize, &mut [f64])) {
    in_batches(out.count(), make, |at, batch| out.set(at, batch));
}

/// Fills with the integers that `make` leaves in batches.
pub(super) fn fill_integers(out: &mut dyn Numbers, make: impl FnMut(usize, &mut [i64])) {
    in_batches(out.count(), make, |at, batch| out.set_integers(at, batch));
}

/// A storage type that fillers accept; `bool` tensors come as `u8`.
pub trait Sample: Element {
    #[doc(hidden)]
    fn from_f64(x: f64) -> Self;
    #[doc(hidden)]
    fn from_i64(x: i64) -> Self;
    /// The real part.
    #[doc(hidden)]
    fn to_f64(self) -> f64;
    #[doc(hidden)]
    #[allow(private_interfaces)]
    fn reals(out: &mut [Self]) -> Reals<'_>;
}

macro_rules! integers { ($($t:ty)*) => { $(
    #[allow(private_interfaces)]
    impl Sample for $t {
        #[inline(always)]
        fn from_f64(x: f64) -> Self {
            x as i64 as $t
        }
        #[inline(always)]
        fn from_i64(x: i64) -> Self {
            x as $t
        }
        #[inline(always)]
        fn to_f64(self) -> f64 {
            self as f64
        }
        fn reals(_: &mut [Self]) -> Reals<'_> {
            Reals::None
        }
    }
)* } }
integers!(u8 i8 i16 i32 i64 u16 u32 u64);

macro_rules! floats { ($($t:ty, $variant:ident, $from_f64:expr, $from_i64:expr, $to_f64:expr);*) => { $(
    #[allow(private_interfaces)]
    impl Sample for $t {
        #[inline(always)]
        fn from_f64(x: f64) -> Self {
            $from_f64(x)
        }
        #[inline(always)]
        fn from_i64(x: i64) -> Self {
            $from_i64(x)
        }
        #[inline(always)]
        fn to_f64(self) -> f64 {
            $to_f64(self)
        }
        fn reals(out: &mut [Self]) -> Reals<'_> {
            Reals::$variant(out)
        }
    }
)* } }
// Halves are rounded by way of f32, as in PyTorch.
floats!(
    f32, F32, |x: f64| x as f32, |x: i64| x as f32, |x: f32| x as f64;
    f64, F64, |x: f64| x, |x: i64| x as f64, |x: f64| x;
    f16, F16, |x: f64| f16::from_f32(x as f32), |x: i64| f16::from_f32(x as f32), |x: f16| x.to_f32() as f64;
    bf16, BF16, |x: f64| bf16::from_f32(x as f32), |x: i64| bf16::from_f32(x as f32), |x: bf16| x.to_f32() as f64
);

macro_rules! complex { ($($t:ty, $real:ty, $variant:ident);*) => { $(
    #[allow(private_interfaces)]
    impl Sample for $t {
        fn from_f64(x: f64) -> Self {
            Self::new(x as $real, 0.0)
        }
        fn from_i64(x: i64) -> Self {
            Self::new(x as $real, 0.0)
        }
        fn to_f64(self) -> f64 {
            self.re as f64
        }
        fn reals(out: &mut [Self]) -> Reals<'_> {
            // SAFETY: `Complex` is `repr(C)` of two reals, so the slice is one of twice as many reals, and the
            // borrow of `out` is kept.
            Reals::$variant(unsafe { std::slice::from_raw_parts_mut(out.as_mut_ptr().cast(), out.len() * 2) })
        }
    }
)* } }
complex!(C32, f32, F32; C64, f64, F64);
