//! Element types that hold random numbers, with the conversions of a C++ cast.

use flambeau_core::{C32, C64, Element, bf16, f16};

/// The real numbers of a slice, complex elements as pairs.
pub(super) enum Reals<'a> {
    F32(&'a mut [f32]),
    F64(&'a mut [f64]),
    F16(&'a mut [f16]),
    BF16(&'a mut [bf16]),
    /// An integral type.
    None,
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
