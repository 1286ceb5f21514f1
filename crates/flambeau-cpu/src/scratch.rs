//! Memory for intermediate results.

use flambeau_core::{Result, bail};

/// A buffer of default elements, or PyTorch's error where there is not that much memory.
pub(crate) fn buffer<T: Copy + Default>(len: usize) -> Result<Vec<T>> {
    let mut out = Vec::new();
    if out.try_reserve_exact(len).is_err() {
        bail!(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to allocate {} bytes. Error code 12 (Cannot allocate memory)",
            len.saturating_mul(size_of::<T>())
        );
    }
    out.resize(len, T::default());
    Ok(out)
}
