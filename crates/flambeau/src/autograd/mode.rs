//! Thread-local switches: whether operations are recorded, inference mode, anomaly detection.

use std::cell::Cell;

thread_local! {
    static GRAD: Cell<bool> = const { Cell::new(true) };
    static INFERENCE: Cell<bool> = const { Cell::new(false) };
    static ANOMALY: Cell<(bool, bool)> = const { Cell::new((false, true)) };
}

/// Whether operations on tensors that require a gradient are recorded.
#[inline]
pub fn grad_enabled() -> bool {
    GRAD.get()
}
/// Switches recording; returns the previous setting.
pub fn set_grad_enabled(on: bool) -> bool {
    GRAD.replace(on)
}
#[inline]
pub fn inference_enabled() -> bool {
    INFERENCE.get()
}
/// Switches inference mode; returns the previous setting.
pub fn set_inference_enabled(on: bool) -> bool {
    INFERENCE.replace(on)
}
/// Whether backward passes name the forward call that led to an error.
pub fn anomaly_enabled() -> bool {
    ANOMALY.get().0
}
pub fn anomaly_check_nan() -> bool {
    ANOMALY.get().1
}
pub fn set_anomaly(on: bool, check_nan: bool) {
    ANOMALY.set((on, check_nan));
}

/// Sets the grad mode until dropped: `let _guard = GradMode::set(false);` is `torch.no_grad()`.
#[derive(Debug)]
#[must_use]
pub struct GradMode(bool);

impl GradMode {
    pub fn set(on: bool) -> GradMode {
        GradMode(set_grad_enabled(on))
    }
    /// Turns recording off until dropped.
    pub fn no_grad() -> GradMode {
        Self::set(false)
    }
}
impl Drop for GradMode {
    fn drop(&mut self) {
        set_grad_enabled(self.0);
    }
}

/// Sets inference mode until dropped; it turns recording off too.
#[derive(Debug)]
#[must_use]
pub struct InferenceMode(bool, #[allow(dead_code)] GradMode);

impl InferenceMode {
    pub fn set(on: bool) -> InferenceMode {
        let grad = GradMode::set(if on { false } else { grad_enabled() || inference_enabled() });
        InferenceMode(set_inference_enabled(on), grad)
    }
}
impl Drop for InferenceMode {
    fn drop(&mut self) {
        set_inference_enabled(self.0);
    }
}
