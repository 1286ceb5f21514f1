//! Order-preserving integer keys.

use flambeau_core::{Element, bf16, f16};

/// An element with PyTorch's sort order: NaN is greater than everything and equal to itself, and `-0.0 == 0.0`.
/// `bool` is sorted as `u8`; complex numbers have no order.
pub trait SortElement: Element + PartialOrd {
    /// Number of low bits that a key occupies.
    const BITS: u32;
    /// An unsigned integer of `BITS` bits with the same order as the elements.
    fn key(self) -> u64;
    fn is_nan(self) -> bool;
}

macro_rules! unsigned {
    ($($t:ty),*) => { $(impl SortElement for $t {
        const BITS: u32 = <$t>::BITS;
        #[inline(always)]
        fn key(self) -> u64 {
            self as u64
        }
        #[inline(always)]
        fn is_nan(self) -> bool {
            false
        }
    })* };
}
unsigned!(u8, u16, u32, u64);

macro_rules! signed {
    ($($t:ty => $u:ty),*) => { $(impl SortElement for $t {
        const BITS: u32 = <$t>::BITS;
        #[inline(always)]
        fn key(self) -> u64 {
            ((self as $u) ^ (1 << (<$t>::BITS - 1))) as u64
        }
        #[inline(always)]
        fn is_nan(self) -> bool {
            false
        }
    })* };
}
signed!(i8 => u8, i16 => u16, i32 => u32, i64 => u64);

macro_rules! float {
    ($($t:ty => $u:ty),*) => { $(impl SortElement for $t {
        const BITS: u32 = <$u>::BITS;
        #[inline(always)]
        fn key(self) -> u64 {
            const SIGN: $u = 1 << (<$u>::BITS - 1);
            let bits = self.to_bits();
            // Negative numbers count downwards; both zeros get the key of +0.
            let ordered = if bits & SIGN == 0 { bits | SIGN } else { (!bits).wrapping_add(1) };
            (if self.is_nan() { <$u>::MAX } else { ordered }) as u64
        }
        #[inline(always)]
        fn is_nan(self) -> bool {
            <$t>::is_nan(self)
        }
    })* };
}
float!(f32 => u32, f64 => u64, f16 => u16, bf16 => u16);
