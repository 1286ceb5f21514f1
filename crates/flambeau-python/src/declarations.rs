//! The operator table as Python data, for tests that run over all declarations.

use flambeau::schema::{Default, Overload, Param};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

fn default_of<'py>(py: Python<'py>, param: &Param) -> PyResult<Option<Bound<'py, PyAny>>> {
    Ok(Some(match param.default {
        Default::Required => return Ok(None),
        Default::None => py.None().into_bound(py),
        Default::Bool(b) => b.into_pyobject(py)?.to_owned().into_any(),
        Default::Int(i) => i.into_pyobject(py)?.into_any(),
        Default::Float(f) => f.into_pyobject(py)?.into_any(),
        Default::Str(s) => s.into_pyobject(py)?.into_any(),
        Default::Ints(list) => PyList::new(py, list.iter().copied())?.into_any(),
        Default::Format(_) => py.None().into_bound(py),
    }))
}

fn overload<'py>(py: Python<'py>, o: &Overload) -> PyResult<Bound<'py, PyDict>> {
    let out = PyDict::new(py);
    let params = PyList::empty(py);
    for p in o.params {
        let entry = PyDict::new(py);
        entry.set_item("name", p.name)?;
        entry.set_item("kind", format!("{:?}", p.kind))?;
        entry.set_item("keyword_only", p.keyword_only)?;
        if let Some(value) = default_of(py, p)? {
            entry.set_item("default", value)?;
        }
        params.append(entry)?;
    }
    out.set_item("name", o.name)?;
    out.set_item("params", params)?;
    out.set_item("inplace", o.inplace)?;
    out.set_item("out", o.out)?;
    out.set_item("only", PyList::new(py, o.only)?)?;
    out.set_item("pointwise", o.pointwise.is_some())?;
    Ok(out)
}

/// Every declaration: name, places, aliases and overloads with their parameters (`kind` as in the schema module;
/// no `default` where the argument is required).
#[pyfunction]
pub fn _declarations(py: Python<'_>) -> PyResult<Py<PyList>> {
    let out = PyList::empty(py);
    for op in flambeau::generated::OPS {
        let entry = PyDict::new(py);
        entry.set_item("name", op.name)?;
        entry.set_item("places", PyList::new(py, op.places)?)?;
        entry.set_item("aliases", PyList::new(py, op.aliases)?)?;
        let overloads = PyList::empty(py);
        for o in op.overloads {
            overloads.append(overload(py, o)?)?;
        }
        entry.set_item("overloads", overloads)?;
        out.append(entry)?;
    }
    Ok(out.unbind())
}
