//! Where a recorded operation stood in the program, for anomaly detection.

use super::Node;

impl Node {
    /// Keeps where the program is, if anomaly detection is on.
    pub(crate) fn keep_place(&self) {
        if crate::autograd::anomaly_enabled()
            && let Some(place) = crate::context::WHERE.get()
        {
            self.hooks_mut(|h| h.recorded_at = Some(place()));
        }
    }
    /// Tells where an operation whose gradient failed was recorded.
    pub(crate) fn tell_place(&self) {
        let place = self.hooks.lock().as_deref().and_then(|h| h.recorded_at.clone());
        crate::context::warn(&match place {
            Some(place) => format!(
                "Error detected in {}. Traceback of forward call that caused the error:\n{place}",
                self.name
            ),
            None => format!(
                "Error detected in {}. No forward pass information available. Enable detect anomaly during forward pass for more information.",
                self.name
            ),
        });
    }
}
