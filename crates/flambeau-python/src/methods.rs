//! Methods of Tensor that are no operators: facts about it, and its way to Python's and NumPy's values. Method
//! tables of the C API: one of the modules with unsafe code.

use crate::class::{keywords, plain, positional};
use crate::errors::{IntoPy, guard};
use crate::{dispatch, lists, numpy, object, parse};
use flambeau::Tensor;
use pyo3::Borrowed;
use pyo3::exceptions::{PyAttributeError, PyRuntimeError, PyTypeError};
use pyo3::ffi::{self, PyObject, PyObject_VectorcallMethod};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use std::collections::HashSet;
use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, Ordering};

/// Runs `f` on the tensor of `me`; gives a new reference.
///
/// # Safety
/// `me` must be a live object, and the GIL held.
unsafe fn on_tensor(
    me: *mut PyObject,
    f: impl FnOnce(Python<'_>, &Tensor) -> PyResult<*mut PyObject>,
) -> *mut PyObject {
    guard(std::ptr::null_mut(), || {
        // SAFETY: as promised by the caller.
        let (py, tensor) = unsafe { (Python::assume_attached(), object::borrow(me)) };
        match tensor {
            Some(t) => f(py, t),
            None => Err(PyTypeError::new_err("expected a Tensor")),
        }
    })
}

macro_rules! facts {
    ($($f:ident: |$py:ident, $t:ident| $value:expr;)*) => { $(
        unsafe extern "C" fn $f(me: *mut PyObject, _: *mut PyObject) -> *mut PyObject {
            // SAFETY: called by the interpreter with a live object.
            unsafe { on_tensor(me, |$py, $t| $value) }
        }
    )* };
}

fn int(v: i64) -> PyResult<*mut PyObject> {
    // SAFETY: called with the GIL.
    Ok(unsafe { ffi::PyLong_FromLongLong(v) })
}

facts! {
    item: |py, t| Ok(dispatch::scalar_to_py(py, t.item().py()?)?.into_ptr());
    tolist: |py, t| Ok(lists::list_of(py, t)?.into_ptr());
    data_ptr: |_py, t| {
        if t.is_sparse() {
            return Err(PyRuntimeError::new_err(
                "Cannot access data pointer of Tensor that doesn't have storage",
            ));
        }
        int(if t.numel() == 0 { 0 } else { t.with_array(|a| a.data_ptr()) as i64 })
    };
    dim: |_py, t| int(t.dim() as i64);
    storage_offset: |_py, t| int(t.storage_offset());
    numel: |_py, t| int(t.numel() as i64);
    element_size: |_py, t| int(t.dtype().size() as i64);
    is_inference: |py, t| Ok(t.is_inference().into_pyobject(py)?.to_owned().into_any().into_ptr());
}

/// The arguments of a fast call: at most `names.len()` of them, by position or by name.
///
/// # Safety
/// The arguments must be those that the interpreter passed, with the GIL held.
unsafe fn fast_args<'py, const N: usize>(
    py: Python<'py>,
    function: &str,
    names: [&str; N],
    args: *const *mut PyObject,
    n: ffi::Py_ssize_t,
    kwnames: *mut PyObject,
) -> PyResult<[Option<Borrowed<'py, 'py, PyAny>>; N]> {
    let n = n as usize;
    if n > N {
        return Err(PyTypeError::new_err(format!(
            "{function}() takes from 1 to {} positional arguments but {} were given",
            N + 1,
            n + 1
        )));
    }
    let mut found = [None; N];
    // SAFETY: as promised by the caller: n arguments, then a value for each name.
    unsafe {
        for (i, slot) in found.iter_mut().enumerate().take(n) {
            *slot = Some(Borrowed::from_ptr(py, *args.add(i)));
        }
        if !kwnames.is_null() {
            let keywords = Borrowed::from_ptr(py, kwnames);
            for (i, key) in keywords.cast::<PyTuple>()?.iter_borrowed().enumerate() {
                let key = key.to_string();
                let Some(at) = names.iter().position(|&name| name == key) else {
                    return Err(PyTypeError::new_err(format!(
                        "{function}() got an unexpected keyword argument '{key}'"
                    )));
                };
                if found[at].is_some() {
                    return Err(PyTypeError::new_err(format!(
                        "{function}() got multiple values for argument '{key}'"
                    )));
                }
                found[at] = Some(Borrowed::from_ptr(py, *args.add(n + i)));
            }
        }
    }
    Ok(found)
}

/// `size(dim=None)`: the sizes, or the size of one dimension.
unsafe extern "C" fn size(
    me: *mut PyObject,
    args: *const *mut PyObject,
    n: ffi::Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    guard(std::ptr::null_mut(), || {
        // SAFETY: called by the interpreter.
        unsafe {
            let py = Python::assume_attached();
            let [dim] = fast_args(py, "size", ["dim"], args, n, kwnames)?;
            let Some(dim) = dim.filter(|d| !d.is_none()) else {
                // Through the attribute, which subclasses may define anew.
                let shape = Borrowed::from_ptr(py, me).getattr(pyo3::intern!(py, "shape"))?;
                return Ok(shape.into_ptr());
            };
            let Some(t) = object::borrow(me) else { return Err(PyTypeError::new_err("expected a Tensor")) };
            if !parse::is_int(&dim) {
                return Err(PyTypeError::new_err(format!(
                    "size(): argument 'dim' must be int, not {}",
                    crate::types::type_name(&dim)
                )));
            }
            int(t.size(parse::int_value(&dim)?).py()?)
        }
    })
}

/// `numpy(*, force=False)`: an array over the same memory.
unsafe extern "C" fn to_numpy(
    me: *mut PyObject,
    args: *const *mut PyObject,
    n: ffi::Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    guard(std::ptr::null_mut(), || {
        // SAFETY: called by the interpreter.
        unsafe {
            let py = Python::assume_attached();
            if n > 0 {
                return Err(PyTypeError::new_err(format!(
                    "numpy() takes 1 positional argument but {} were given",
                    n + 1
                )));
            }
            let [force] = fast_args(py, "numpy", ["force"], args, n, kwnames)?;
            let force = force.map_or(Ok(false), |f| f.is_truthy())?;
            Ok(numpy::_to_numpy(&Borrowed::from_ptr(py, me), force)?.into_ptr())
        }
    })
}

/// `requires_grad_(requires_grad=True)`: sets it and returns the tensor.
unsafe extern "C" fn requires_grad_(
    me: *mut PyObject,
    args: *const *mut PyObject,
    n: ffi::Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    guard(std::ptr::null_mut(), || {
        // SAFETY: called by the interpreter.
        unsafe {
            let py = Python::assume_attached();
            let [on] = fast_args(py, "requires_grad_", ["requires_grad"], args, n, kwnames)?;
            let on = match on {
                Some(on) => on
                    .extract::<bool>()
                    .map_err(|_| PyRuntimeError::new_err("requires_grad must be a bool"))?,
                None => true,
            };
            let Some(t) = object::borrow(me) else { return Err(PyTypeError::new_err("expected a Tensor")) };
            t.set_requires_grad(on).py()?;
            ffi::Py_INCREF(me);
            Ok(me)
        }
    })
}

/// Whether any module has had a hook: until then a call looks for none.
static HOOKED: AtomicBool = AtomicBool::new(false);

/// Says that calls of modules have to look for hooks from now on.
#[pyfunction]
pub fn _mark_hooked() {
    HOOKED.store(true, Ordering::Relaxed);
}

/// `Module.__call__`: `forward`, or where hooks may have to run `_call_impl`.
unsafe extern "C" fn call_module(
    me: *mut PyObject,
    args: *const *mut PyObject,
    n: ffi::Py_ssize_t,
    kwnames: *mut PyObject,
) -> *mut PyObject {
    guard(std::ptr::null_mut(), || {
        // SAFETY: called by the interpreter with `n` arguments and a value for each name.
        unsafe {
            let py = Python::assume_attached();
            let keywords = if kwnames.is_null() { 0 } else { ffi::PyTuple_GET_SIZE(kwnames) };
            let mut stack: smallvec::SmallVec<[*mut PyObject; 8]> = smallvec::smallvec![me];
            if n + keywords > 0 {
                stack.extend_from_slice(std::slice::from_raw_parts(args, (n + keywords) as usize));
            }
            let name = if HOOKED.load(Ordering::Relaxed)
                && Borrowed::from_ptr(py, me).getattr(pyo3::intern!(py, "_hooked"))?.is_truthy()?
            {
                pyo3::intern!(py, "_call_impl")
            } else {
                pyo3::intern!(py, "forward")
            };
            let result = PyObject_VectorcallMethod(name.as_ptr(), stack.as_ptr(), n as usize + 1, kwnames);
            if result.is_null() { Err(PyErr::fetch(py)) } else { Ok(result) }
        }
    })
}

/// `Module.__getattr__`, for names that are no ordinary attributes: what is registered under them.
unsafe extern "C" fn registered(
    me: *mut PyObject,
    args: *mut *mut PyObject,
    n: ffi::Py_ssize_t,
) -> *mut PyObject {
    guard(std::ptr::null_mut(), || {
        // SAFETY: called by the interpreter on a module with `n` arguments.
        unsafe {
            let py = Python::assume_attached();
            if n != 1 {
                return Err(PyTypeError::new_err(format!(
                    "__getattr__() takes exactly one argument ({n} given)"
                )));
            }
            let name = Borrowed::from_ptr(py, *args);
            let own =
                Bound::from_owned_ptr_or_err(py, ffi::PyObject_GenericGetDict(me, std::ptr::null_mut()))?;
            let own = own.cast::<PyDict>()?;
            let (parameters, buffers) = (pyo3::intern!(py, "_parameters"), pyo3::intern!(py, "_buffers"));
            for table in [parameters, buffers, pyo3::intern!(py, "_modules")] {
                let Some(table) = own.get_item(table)? else { continue };
                let found = match table.cast_exact::<PyDict>() {
                    Ok(table) => table.get_item(name)?,
                    Err(_) if table.contains(name)? => Some(table.get_item(name)?),
                    Err(_) => None,
                };
                if let Some(found) = found {
                    return Ok(found.into_ptr());
                }
            }
            let class = crate::types::type_name(&Borrowed::from_ptr(py, me));
            Err(PyAttributeError::new_err(format!("'{class}' object has no attribute '{}'", &*name)))
        }
    })
}

/// What a class or its bases define under a name, unbound; None if nothing. Quicker than `getattr`, and silent.
#[pyfunction]
pub fn _type_lookup(
    class: &Bound<'_, pyo3::types::PyType>,
    name: &Bound<'_, pyo3::types::PyString>,
) -> Py<PyAny> {
    let py = class.py();
    // SAFETY: a live type and string; the result is borrowed from the type.
    unsafe {
        let found = _PyType_Lookup(class.as_ptr().cast(), name.as_ptr());
        if found.is_null() { py.None() } else { Bound::from_borrowed_ptr(py, found).unbind() }
    }
}

/// Addresses that were met: a few are looked through, more of them hashed.
#[derive(Default)]
struct Seen {
    few: smallvec::SmallVec<[usize; 32]>,
    many: HashSet<usize>,
}

impl Seen {
    /// Whether the address is new.
    fn insert(&mut self, address: usize) -> bool {
        if self.few.contains(&address) {
            return false;
        }
        if self.few.len() < 32 {
            self.few.push(address);
            return true;
        }
        self.many.insert(address)
    }
}

/// The parameters of a module and of all below it, each once, in the order of `named_modules`; None where a class has
/// a walk of its own (another `named_modules` than `walk`, its own equality or tables), which only Python code can
/// follow, and where the modules nest too deeply.
#[pyfunction]
pub fn _module_parameters<'py>(
    module: &Bound<'py, PyAny>,
    walk: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyList>>> {
    let found = PyList::empty(module.py());
    let (mut modules, mut parameters) = (Seen::default(), Seen::default());
    Ok(collect(module, walk, 0, &mut modules, &mut parameters, &found)?.then_some(found))
}

fn collect<'py>(
    module: &Bound<'py, PyAny>,
    walk: &Bound<'py, PyAny>,
    depth: usize,
    modules: &mut Seen,
    parameters: &mut Seen,
    found: &Bound<'py, PyList>,
) -> PyResult<bool> {
    let py = module.py();
    // SAFETY: live objects; what the class defines is compared, not kept.
    let plain = unsafe {
        let class = ffi::Py_TYPE(module.as_ptr());
        let hash = pyo3::intern!(py, "__hash__").as_ptr();
        _PyType_Lookup(class, pyo3::intern!(py, "named_modules").as_ptr()) == walk.as_ptr()
            && _PyType_Lookup(class, hash) == _PyType_Lookup(&raw mut ffi::PyBaseObject_Type, hash)
    };
    if !plain || depth > 500 {
        return Ok(false);
    }
    if !modules.insert(module.as_ptr() as usize) {
        return Ok(true);
    }
    let own = module.getattr(pyo3::intern!(py, "_parameters"))?;
    let children = module.getattr(pyo3::intern!(py, "_modules"))?;
    let (Ok(own), Ok(children)) = (own.cast_exact::<PyDict>(), children.cast_exact::<PyDict>()) else {
        return Ok(false);
    };
    for parameter in own.values() {
        if !parameter.is_none() && parameters.insert(parameter.as_ptr() as usize) {
            found.append(parameter)?;
        }
    }
    for child in children.values() {
        if !child.is_none() && !collect(&child, walk, depth + 1, modules, parameters, found)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The method `__getattr__` for the class of modules.
#[pyfunction]
pub fn _module_getattr(py: Python<'_>, class: &Bound<'_, pyo3::types::PyType>) -> PyResult<Py<PyAny>> {
    let doc = c"__getattr__($self, name, /)\n--\n\nWhat is registered under a name.";
    descriptor(py, class, positional(c"__getattr__", registered, doc))
}

/// The method `__call__` for the class of modules.
#[pyfunction]
pub fn _module_call(py: Python<'_>, class: &Bound<'_, pyo3::types::PyType>) -> PyResult<Py<PyAny>> {
    let definition = keywords(
        c"__call__",
        call_module,
        c"__call__($self, /, *args, **kwargs)\n--\n\nCalls `forward`, and the hooks if there are any.",
    );
    descriptor(py, class, definition)
}

fn descriptor(
    py: Python<'_>,
    class: &Bound<'_, pyo3::types::PyType>,
    definition: ffi::PyMethodDef,
) -> PyResult<Py<PyAny>> {
    // SAFETY: the definition lives for ever; the result is a new reference.
    unsafe {
        let object = ffi::PyDescr_NewMethod(class.as_ptr().cast(), Box::leak(Box::new(definition)));
        if object.is_null() { Err(PyErr::fetch(py)) } else { Ok(crate::errors::owned_ptr(py, object)) }
    }
}

/// The table for the type object.
pub fn table() -> Vec<ffi::PyMethodDef> {
    vec![
        plain(c"item", item, c"item($self, /)\n--\n\nThe single element as a Python number."),
        plain(c"tolist", tolist, c"tolist($self, /)\n--\n\nThe elements as a nested list, or as a number."),
        plain(c"data_ptr", data_ptr, c"data_ptr($self, /)\n--\n\nThe address of the first element."),
        plain(c"dim", dim, c"dim($self, /)\n--\n\nThe number of dimensions."),
        plain(c"ndimension", dim, c"ndimension($self, /)\n--\n\nThe number of dimensions."),
        plain(
            c"storage_offset",
            storage_offset,
            c"storage_offset($self, /)\n--\n\nThe place of the first element in the storage.",
        ),
        plain(c"numel", numel, c"numel($self, /)\n--\n\nThe number of elements."),
        plain(c"nelement", numel, c"nelement($self, /)\n--\n\nThe number of elements."),
        plain(c"element_size", element_size, c"element_size($self, /)\n--\n\nThe size of an element in bytes."),
        plain(
            c"is_inference",
            is_inference,
            c"is_inference($self, /)\n--\n\nWhether the tensor was made in inference mode.",
        ),
        keywords(c"size", size, c"size($self, /, dim=None)\n--\n\nThe sizes, or the size of one dimension."),
        keywords(c"numpy", to_numpy, c"numpy($self, /, *, force=False)\n--\n\nAn array over the same memory."),
        keywords(
            c"requires_grad_",
            requires_grad_,
            c"requires_grad_($self, /, requires_grad=True)\n--\n\nSets `requires_grad` and returns the tensor.",
        ),
    ]
}

/// The names of the methods in the table.
pub fn names() -> impl Iterator<Item = &'static str> {
    // SAFETY: the names are static strings.
    table().into_iter().map(|d| unsafe { CStr::from_ptr(d.ml_name) }.to_str().unwrap_or_default())
}

unsafe extern "C" {
    /// CPython's look-up of an attribute of a class, which its own `object.__getattribute__` uses.
    fn _PyType_Lookup(class: *mut ffi::PyTypeObject, name: *mut PyObject) -> *mut PyObject;
}
