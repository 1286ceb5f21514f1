//! Operators called from the binding itself, found by name once.

use crate::errors::IntoPy;
use flambeau::Tensor;
use flambeau::schema::{Arg, Call, Overload, Ret, Target};
use pyo3::exceptions::PyNotImplementedError;
use pyo3::prelude::*;

/// The first overload of an operator, or the one of a name, looked up once for each place in the source.
macro_rules! native {
    ($name:literal) => {{
        static FOUND: std::sync::OnceLock<Option<&'static flambeau::schema::Overload>> =
            std::sync::OnceLock::new();
        *FOUND.get_or_init(|| $crate::number::find($name).and_then(|op| op.overloads.first()))
    }};
    ($name:literal, $overload:literal) => {{
        static FOUND: std::sync::OnceLock<Option<&'static flambeau::schema::Overload>> =
            std::sync::OnceLock::new();
        *FOUND.get_or_init(|| {
            $crate::number::find($name).and_then(|op| op.overloads.iter().find(|o| o.name == $overload))
        })
    }};
}
pub(crate) use native;

/// Calls an overload that returns one tensor.
pub fn call_ret(overload: Option<&'static Overload>, args: &[Arg]) -> PyResult<Tensor> {
    let Some(overload) = overload else {
        return Err(PyNotImplementedError::new_err("an operator that this needs is missing"));
    };
    let _span = crate::profile::called(overload, args, &Target::Fresh);
    match (overload.call)(&Call { args, target: Target::Fresh }).py()? {
        Ret::Tensor(t) => Ok(t),
        _ => Err(PyNotImplementedError::new_err("an operator did not return a tensor")),
    }
}
