//! `flambeau.Generator`.

use flambeau::Generator;
use pyo3::prelude::*;

/// A source of random numbers.
#[pyclass(name = "Generator", module = "flambeau", subclass, frozen)]
pub struct PyGenerator(pub Generator);

/// The generator of an object, if it is one.
pub fn generator_of<'a>(object: &Bound<'_, PyAny>) -> Option<&'a Generator> {
    let g = object.cast::<PyGenerator>().ok()?;
    // SAFETY: the argument keeps its object alive during the call that borrows it, and the object is frozen.
    Some(unsafe { &*(&g.get().0 as *const Generator) })
}
