//! Where an array lives.

use crate::{Result, bail};
use std::fmt;

/// The kinds of device that the API knows. `Cuda` and `Mps` exist for their names and their errors until
/// a backend for them is linked in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DeviceType {
    Cpu,
    Cuda,
    Mps,
    /// Shapes and dtypes without data.
    Meta,
}

/// A device and, where it has several, its index.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Device {
    pub kind: DeviceType,
    pub index: Option<u8>,
}

impl Device {
    pub const CPU: Device = Device { kind: DeviceType::Cpu, index: None };
    pub const META: Device = Device { kind: DeviceType::Meta, index: None };

    pub fn is_cpu(self) -> bool {
        self.kind == DeviceType::Cpu
    }
    pub fn is_meta(self) -> bool {
        self.kind == DeviceType::Meta
    }
    /// The device as tensors name it: there is one processor and one `meta` only, whatever index was given.
    pub fn canonical(self) -> Device {
        match self.kind {
            DeviceType::Cpu => Device::CPU,
            DeviceType::Meta => Device::META,
            _ => self,
        }
    }
    /// The device as a number of 11 bits, for places that are read without a lock.
    #[inline]
    pub fn code(self) -> u32 {
        self.kind as u32 | self.index.map_or(0, |i| i as u32 + 1) << 2
    }
    /// The device of a number that [`Device::code`] gave.
    #[inline]
    pub fn from_code(code: u32) -> Device {
        let kind = match code & 3 {
            0 => DeviceType::Cpu,
            1 => DeviceType::Cuda,
            2 => DeviceType::Mps,
            _ => DeviceType::Meta,
        };
        Device { kind, index: (code >> 2 & 0x1ff).checked_sub(1).map(|i| i as u8) }
    }
    pub fn type_name(self) -> &'static str {
        match self.kind {
            DeviceType::Cpu => "cpu",
            DeviceType::Cuda => "cuda",
            DeviceType::Mps => "mps",
            DeviceType::Meta => "meta",
        }
    }
    /// Parses `cpu`, `cuda`, `cuda:1`, `mps`, `meta`.
    pub fn parse(text: &str) -> Result<Device> {
        let (kind, index) = match text.split_once(':') {
            Some((kind, index)) => (kind, Some(index)),
            None => (text, None),
        };
        let kind = match kind {
            "cpu" => DeviceType::Cpu,
            "cuda" => DeviceType::Cuda,
            "mps" => DeviceType::Mps,
            "meta" => DeviceType::Meta,
            _ if text.is_empty() || kind.is_empty() => bail!("Device string must not be empty"),
            _ => bail!(
                "Expected one of cpu, cuda, ipu, xpu, mkldnn, opengl, opencl, ideep, hip, ve, fpga, maia, xla, lazy, \
                 vulkan, mps, meta, hpu, mtia, privateuseone device type at start of device string: {kind}"
            ),
        };
        let index = match index {
            None => None,
            Some(digits) => match digits.parse::<u8>() {
                Ok(n)
                    if n < 128 && (digits == "0" || !digits.starts_with('0')) && !digits.starts_with('+') =>
                {
                    Some(n)
                }
                _ => bail!("Invalid device string: '{text}'"),
            },
        };
        Ok(Device { kind, index })
    }
    /// Fails for devices without a backend, as PyTorch built without them does.
    pub fn check_available(self) -> Result<()> {
        match self.kind {
            DeviceType::Cpu | DeviceType::Meta => Ok(()),
            DeviceType::Cuda => bail!(Assertion, "Torch not compiled with CUDA enabled"),
            DeviceType::Mps => bail!("PyTorch is not linked with support for mps devices"),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.type_name())?;
        match self.index {
            Some(index) => write!(f, ":{index}"),
            None => Ok(()),
        }
    }
}

/// Storage layouts; only `strided` is served so far.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Layout {
    Strided,
    SparseCoo,
    SparseCsr,
    SparseCsc,
    SparseBsr,
    SparseBsc,
    Mkldnn,
    Jagged,
}

/// `torch.memory_format`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum MemoryFormat {
    Contiguous,
    Preserve,
    ChannelsLast,
    ChannelsLast3d,
}

impl MemoryFormat {
    /// Its dimensions from the innermost to the outermost, for a format that has an order of its own at this rank.
    pub fn order(self, rank: usize) -> Option<&'static [usize]> {
        match (self, rank) {
            (MemoryFormat::ChannelsLast, 4) => Some(&[1, 3, 2, 0]),
            (MemoryFormat::ChannelsLast3d, 5) => Some(&[1, 4, 3, 2, 0]),
            _ => None,
        }
    }
    /// The format with channels last of tensors of this rank; `Contiguous` where there is none.
    pub fn channels_last(rank: usize) -> MemoryFormat {
        match rank {
            4 => MemoryFormat::ChannelsLast,
            5 => MemoryFormat::ChannelsLast3d,
            _ => MemoryFormat::Contiguous,
        }
    }
}
