//! The one place that touches the collector's header.

use pyo3::ffi;

/// Forgets that the object was finalized, so that its finalizer runs again when it dies again.
///
/// # Safety
/// `object` must be a live object of a class that takes part in garbage collection.
pub unsafe fn clear_finalized(object: *mut ffi::PyObject) {
    // The header of two words lies before the object; bit 0 of the second says "finalized" (CPython 3.9-3.13).
    // SAFETY: such objects are allocated with that header.
    unsafe {
        let header = object.cast::<usize>().sub(2);
        *header.add(1) &= !1;
    }
}

/// Whether the object's header is as in fresh memory: the collector does not look at it, nor did it finalize it.
///
/// # Safety
/// As for [`clear_finalized`].
#[inline]
pub unsafe fn is_unmarked(object: *mut ffi::PyObject) -> bool {
    // SAFETY: such objects are allocated with a header of two words.
    unsafe {
        let header = object.cast::<usize>().sub(2);
        *header == 0 && *header.add(1) == 0
    }
}

/// Sets the reference count of an object that is being revived to one.
///
/// # Safety
/// `object` must be an object whose count has just reached zero.
pub unsafe fn revive(object: *mut ffi::PyObject) {
    // SAFETY: as promised; from zero one increment gives one.
    unsafe { ffi::Py_INCREF(object) }
}
