//! Signatures that PyTorch had before keywords for scale factors, and still takes: `a.add(2, b)` for
//! `a.add(b, alpha=2)`, `torch.addmm(2, m, 3, a, b)` for `torch.addmm(m, a, b, beta=2, alpha=3)`.

use super::Given;
use crate::object;
use pyo3::ffi::PyObject;
use pyo3::prelude::*;
use pyo3::types::{PyComplex, PyFloat, PyInt, PyString};
use smallvec::SmallVec;

/// A call in today's form.
pub struct Rewritten<'py> {
    py: Python<'py>,
    positional: SmallVec<[*mut PyObject; 4]>,
    names: SmallVec<[*mut PyObject; 4]>,
    values: SmallVec<[*mut PyObject; 4]>,
    /// Keeps the added names.
    _added: Vec<Bound<'py, PyString>>,
}

impl Rewritten<'_> {
    pub fn given(&self) -> Given<'_> {
        Given { py: self.py, positional: &self.positional, names: &self.names, values: &self.values }
    }
}

/// The keywords that the numbers of an old signature stand for, in order, and the number of its tensors.
fn keywords(name: &str) -> Option<(&'static [&'static str], usize)> {
    match name.trim_end_matches('_') {
        "add" | "sub" => Some((&["alpha"], 2)),
        "addcmul" | "addcdiv" => Some((&["value"], 3)),
        "addmm" | "addmv" | "addr" | "addbmm" | "baddbmm" => Some((&["beta", "alpha"], 3)),
        _ => None,
    }
}

/// The call of `name` in today's form, if it has an old one; warns.
#[cold]
pub fn rewrite<'py>(name: &str, method: bool, given: &Given<'py>) -> Option<Rewritten<'py>> {
    let (words, tensors) = keywords(name)?;
    let (py, old) = (given.py, given.positional);
    let mut pattern = String::new();
    let (mut positional, mut numbers) = (SmallVec::new(), SmallVec::<[*mut PyObject; 4]>::new());
    for &argument in old {
        let bound = given.bound(argument);
        if object::extract(&bound).is_some() {
            pattern.push('t');
            positional.push(argument);
        } else if bound.is_instance_of::<PyFloat>()
            || bound.is_instance_of::<PyInt>()
            || bound.is_instance_of::<PyComplex>()
        {
            pattern.push('n');
            numbers.push(argument);
        } else {
            return None;
        }
    }
    let fits = match (words.len(), tensors, method) {
        (1, 2, _) => pattern == "tnt",
        (1, _, _) => pattern == "tntt",
        (_, _, true) => pattern == "tntt" || pattern == "tnntt",
        (_, _, false) => pattern == "nttt" || pattern == "ntntt",
    };
    if !fits {
        return None;
    }
    let added: Vec<Bound<'py, PyString>> =
        words.iter().zip(&numbers).map(|(word, _)| PyString::new(py, word)).collect();
    let names = added.iter().map(|name| name.as_ptr()).chain(given.names.iter().copied()).collect();
    let values = numbers.into_iter().chain(given.values.iter().copied()).collect();
    flambeau::warn(&format!(
        "This overload of {name} is deprecated: numbers before the tensors that they multiply.\nConsider using the keyword{} {} instead.",
        if words.len() > 1 { "s" } else { "" },
        words.join(" and ")
    ));
    Some(Rewritten { py, positional, names, values, _added: added })
}
