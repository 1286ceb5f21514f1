//! What is asked of a tensor most often, beside its array: read without a lock.

use flambeau_core::{Array, DType, Device, DeviceType};
use std::sync::atomic::{AtomicU32, Ordering};

/// The dtype, the device and the rank of the array that a tensor refers to: four bits of dtype, two of the kind of device,
/// from the eighth on nine of its index plus one (or 0), from the 24th on the rank.
pub(super) struct Facts(AtomicU32);

impl Facts {
    /// Of no array yet.
    #[inline]
    pub fn none() -> Facts {
        Facts(AtomicU32::new(0))
    }

    #[inline]
    fn bits(a: &Array) -> u32 {
        let Device { kind, index } = a.device();
        let kind = match kind {
            DeviceType::Cpu => 0,
            DeviceType::Cuda => 1,
            DeviceType::Mps => 2,
            DeviceType::Meta => 3,
        };
        let index = index.map_or(0, |i| i as u32 + 1);
        // Arrays have at most 64 dimensions.
        a.dtype as u32 | kind << 4 | index << 8 | (a.dim() as u32) << 24
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
        let bits = self.get();
        let kind = match bits >> 4 & 3 {
            0 => return Device::CPU,
            1 => DeviceType::Cuda,
            2 => DeviceType::Mps,
            _ => DeviceType::Meta,
        };
        let index = bits >> 8 & 0x1ff;
        Device { kind, index: index.checked_sub(1).map(|i| i as u8) }
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
