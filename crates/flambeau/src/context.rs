//! Process-wide settings: default dtype and device, warnings.

use flambeau_core::{DType, Device};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

static DEFAULT_DTYPE: AtomicU8 = AtomicU8::new(DType::Float32 as u8);
/// The code of the default device; that of the processor is 0.
static DEFAULT_DEVICE: AtomicU32 = AtomicU32::new(0);

/// The dtype of tensors made of Python floats.
pub fn default_dtype() -> DType {
    let code = DEFAULT_DTYPE.load(Ordering::Relaxed);
    DType::ALL[code as usize]
}
/// Sets the default dtype, which must be a real floating-point type.
pub fn set_default_dtype(dtype: DType) -> flambeau_core::Result<()> {
    if !dtype.is_floating_point() {
        flambeau_core::bail!(Type, "only floating-point types are supported as the default type");
    }
    DEFAULT_DTYPE.store(dtype as u8, Ordering::Relaxed);
    Ok(())
}
/// Where factories put tensors.
pub fn default_device() -> Device {
    Device::from_code(DEFAULT_DEVICE.load(Ordering::Relaxed))
}
pub fn set_default_device(device: Device) {
    DEFAULT_DEVICE.store(device.code(), Ordering::Relaxed);
}

/// Receives warnings; the Python package turns them into `UserWarning`s.
pub static WARN: OnceLock<fn(&str)> = OnceLock::new();

/// Says where the program is, line by line: what anomaly detection keeps of a recorded operation.
pub static WHERE: OnceLock<fn() -> String> = OnceLock::new();

/// As [`warn`], once in the life of the program for each place that says it.
#[macro_export]
macro_rules! warn_once {
    ($message:expr $(,)?) => {{
        static SAID: std::sync::Once = std::sync::Once::new();
        SAID.call_once(|| $crate::warn($message));
    }};
}

/// Gives a warning to whoever listens, else to standard error.
pub fn warn(message: &str) {
    match WARN.get() {
        Some(f) => f(message),
        None => eprintln!("Warning: {message}"),
    }
}
