//! What is asked of a tensor most often, beside its array: read without a lock.

use flambeau_core::{Array, DType, Device};
use std::sync::atomic::{AtomicU32, Ordering};

/// The dtype, the device and the rank of the array that a tensor refers to: four bits of dtype, eleven of the
/// device's code, from the 24th on the rank.
pub(super) struct Facts(AtomicU32);

impl Facts {
    /// Of no array yet.
    #[inline]
    pub fn none() -> Facts {
        Facts(AtomicU32::new(0))
    }

    #[inline]
    fn bits(a: &Array) -> u32 {
        // Arrays have at most 64 dimensions.
        a.dtype as u32 | a.device().code() << 4 | (a.dim() as u32) << 24
    }

    /// Those of another array.
    #[inline]
    pub fn set(&self, a: &Array) {
        self.0.store(Self::bits(a), Ordering::Release);
    }

    #[inline]
    fn get(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }
    #[inline]
    pub fn dtype(&self) -> DType {
        DType::ALL[(self.get() & 15) as usize % DType::ALL.len()]
    }
    #[inline]
    pub fn device(&self) -> Device {
        match self.get() >> 4 & 0x7ff {
            0 => Device::CPU,
            code => Device::from_code(code),
        }
    }
    #[inline]
    pub fn rank(&self) -> usize {
        (self.get() >> 24) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flambeau_core::Init;

    #[test]
    fn every_dtype_device_and_rank() {
        for (i, &dtype) in DType::ALL.iter().enumerate() {
            assert_eq!(dtype as usize, i);
            for device in [Device::CPU, Device::META] {
                for rank in [0, 1, 5, 64] {
                    let a = Array::empty(&vec![1; rank], dtype, device, Init::Zero).unwrap();
                    let facts = Facts::none();
                    facts.set(&a);
                    assert_eq!((facts.dtype(), facts.device(), facts.rank()), (dtype, device, rank));
                }
            }
        }
    }
}
