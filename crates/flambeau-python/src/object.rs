//! The Python object of a tensor. A tensor has one object while anything refers to it: the object owns a
//! handle to the tensor; when Python lets go of an object that carries state (attributes, a subclass) while the
//! graph still holds the tensor, ownership turns around and the tensor keeps the object until it is asked for
//! again. Raw type object: one of the modules with unsafe code.

use crate::class::{self, Class};
use crate::errors::owned_ptr;
use flambeau::{HOST_DROP, Tensor};
use pyo3::ffi::{self, PyObject, PyTypeObject};
use pyo3::prelude::*;
use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::mem::ManuallyDrop;
use std::sync::OnceLock;

/// The layout of a tensor object.
#[repr(C)]
pub struct PyTensor {
    ob_base: PyObject,
    dict: *mut PyObject,
    weaklist: *mut PyObject,
    tensor: ManuallyDrop<Tensor>,
    owner: Owner,
    /// The `Size` that `shape` gave last, or null, and the array that it was of.
    shape: *mut PyObject,
    shape_stamp: u32,
}

#[repr(u8)]
#[derive(Clone, Copy, PartialEq)]
enum Owner {
    /// The object holds a reference to the tensor.
    Object,
    /// The tensor holds a reference to the object, whose handle is borrowed.
    Tensor,
    /// The tensor is gone.
    Nobody,
}

static TYPE: OnceLock<usize> = OnceLock::new();

/// `flambeau.Tensor`
#[inline]
pub fn tensor_type() -> *mut PyTypeObject {
    TYPE.get().copied().unwrap_or(0) as *mut PyTypeObject
}

/// Memory of dead tensor objects for the next ones, as CPython keeps that of tuples and floats.
struct Spare(UnsafeCell<(usize, [*mut PyTensor; MOST_SPARE])>);
const MOST_SPARE: usize = 64;

// SAFETY: only used with the GIL held.
unsafe impl Sync for Spare {}
static SPARE: Spare = Spare(UnsafeCell::new((0, [std::ptr::null_mut(); MOST_SPARE])));

impl Spare {
    /// # Safety
    /// The GIL must be held.
    #[inline]
    unsafe fn take(&self) -> Option<*mut PyTensor> {
        // SAFETY: the GIL is held, and nothing in here lets go of it.
        let (n, list) = unsafe { &mut *self.0.get() };
        *n = n.checked_sub(1)?;
        Some(list[*n % MOST_SPARE])
    }
    /// Whether there was room for it.
    ///
    /// # Safety
    /// The GIL must be held; `object` must be memory of a dead object of the class itself, with an unmarked header.
    #[inline]
    unsafe fn give(&self, object: *mut PyTensor) -> bool {
        // SAFETY: as above.
        let (n, list) = unsafe { &mut *self.0.get() };
        let room = *n < MOST_SPARE;
        if room {
            list[*n] = object;
            *n += 1;
        }
        room
    }
}

/// Makes the type object; `init` methods are added by the caller through attributes.
pub fn create_type(py: Python<'_>) -> PyResult<Py<PyAny>> {
    let class = Class::new(c"flambeau.Tensor", size_of::<PyTensor>())
        .flags(ffi::Py_TPFLAGS_BASETYPE | ffi::Py_TPFLAGS_HAVE_GC)
        .doc(c"A multi-dimensional array of one dtype.")
        .members(vec![
            class::member(c"__dictoffset__", std::mem::offset_of!(PyTensor, dict)),
            class::member(c"__weaklistoffset__", std::mem::offset_of!(PyTensor, weaklist)),
        ])
        .properties(crate::properties::table())
        .methods(crate::methods::table())
        .slots([
            (ffi::Py_tp_dealloc, dealloc as *mut c_void),
            (ffi::Py_tp_finalize, finalize as *mut c_void),
            (ffi::Py_tp_traverse, traverse as *mut c_void),
            (ffi::Py_tp_clear, clear as *mut c_void),
            (ffi::Py_tp_new, crate::construct::tensor_new as *mut c_void),
            (ffi::Py_tp_init, init as *mut c_void),
            (ffi::Py_tp_setattro, setattro as *mut c_void),
            (ffi::Py_nb_add, crate::number::add as *mut c_void),
            (ffi::Py_nb_subtract, crate::number::sub as *mut c_void),
            (ffi::Py_nb_multiply, crate::number::mul as *mut c_void),
            (ffi::Py_nb_true_divide, crate::number::div as *mut c_void),
            (ffi::Py_nb_floor_divide, crate::number::floor_divide as *mut c_void),
            (ffi::Py_nb_remainder, crate::number::remainder as *mut c_void),
            (ffi::Py_nb_matrix_multiply, crate::number::matmul as *mut c_void),
            (ffi::Py_nb_and, crate::number::and as *mut c_void),
            (ffi::Py_nb_or, crate::number::or as *mut c_void),
            (ffi::Py_nb_xor, crate::number::xor as *mut c_void),
            (ffi::Py_nb_lshift, crate::number::lshift as *mut c_void),
            (ffi::Py_nb_rshift, crate::number::rshift as *mut c_void),
            (ffi::Py_nb_inplace_add, crate::number::iadd as *mut c_void),
            (ffi::Py_nb_inplace_subtract, crate::number::isub as *mut c_void),
            (ffi::Py_nb_inplace_multiply, crate::number::imul as *mut c_void),
            (ffi::Py_nb_inplace_true_divide, crate::number::idiv as *mut c_void),
            (ffi::Py_nb_inplace_floor_divide, crate::number::ifloor_divide as *mut c_void),
            (ffi::Py_nb_inplace_remainder, crate::number::iremainder as *mut c_void),
            (ffi::Py_nb_inplace_and, crate::number::iand as *mut c_void),
            (ffi::Py_nb_inplace_or, crate::number::ior as *mut c_void),
            (ffi::Py_nb_inplace_xor, crate::number::ixor as *mut c_void),
            (ffi::Py_nb_inplace_lshift, crate::number::ilshift as *mut c_void),
            (ffi::Py_nb_inplace_rshift, crate::number::irshift as *mut c_void),
            (ffi::Py_nb_power, crate::number::power as *mut c_void),
            (ffi::Py_nb_inplace_power, crate::number::ipower as *mut c_void),
            (ffi::Py_nb_negative, crate::number::negative as *mut c_void),
            (ffi::Py_nb_positive, crate::number::positive as *mut c_void),
            (ffi::Py_nb_absolute, crate::number::absolute as *mut c_void),
            (ffi::Py_nb_invert, crate::number::invert as *mut c_void),
            (ffi::Py_nb_float, crate::number::to_float as *mut c_void),
            (ffi::Py_nb_int, crate::number::to_int as *mut c_void),
            (ffi::Py_nb_index, crate::number::to_index as *mut c_void),
            (ffi::Py_mp_length, length as *mut c_void),
            (ffi::Py_tp_repr, crate::text::repr as *mut c_void),
            (ffi::Py_nb_bool, crate::number::truth as *mut c_void),
            (ffi::Py_mp_subscript, crate::indexing::subscript as *mut c_void),
            (ffi::Py_mp_ass_subscript, crate::indexing::assign_subscript as *mut c_void),
            (ffi::Py_tp_richcompare, crate::number::richcompare as *mut c_void),
            (ffi::Py_tp_hash, hash as *mut c_void),
            (ffi::Py_bf_getbuffer, crate::buffer::get as *mut c_void),
            (ffi::Py_bf_releasebuffer, crate::buffer::release as *mut c_void),
        ]);
    // SAFETY: the functions are those of their slots and of this layout.
    let class = unsafe { class.create(py, std::ptr::null_mut()) }?;
    let _ = TYPE.set(class.as_ptr() as usize);
    let _ = HOST_DROP.set(drop_host);
    Ok(class.unbind())
}

/// Whether the object is a tensor of any class.
///
/// # Safety
/// `object` must be a live Python object.
#[inline]
pub unsafe fn is_tensor(object: *mut PyObject) -> bool {
    // SAFETY: both are live objects.
    unsafe {
        let class = ffi::Py_TYPE(object);
        class == tensor_type() || ffi::PyType_IsSubtype(class, tensor_type()) != 0
    }
}

/// Whether the object's class is exactly Tensor.
///
/// # Safety
/// `object` must be a live Python object.
#[inline]
pub unsafe fn is_exact(object: *mut PyObject) -> bool {
    // SAFETY: a live object.
    unsafe { ffi::Py_TYPE(object) == tensor_type() }
}

/// Lends the tensor of an object.
///
/// # Safety
/// `object` must be a live Python object, and stay so for `'a`.
#[inline]
pub unsafe fn borrow<'a>(object: *mut PyObject) -> Option<&'a Tensor> {
    // SAFETY: a tensor object has this layout; its handle is valid while the object lives.
    unsafe { if is_tensor(object) { Some(&(*object.cast::<PyTensor>()).tensor) } else { None } }
}

/// The tensor of a bound object.
pub fn extract(object: &Bound<'_, PyAny>) -> Option<Tensor> {
    // SAFETY: a live object; the handle is cloned at once.
    unsafe { borrow(object.as_ptr()).cloned() }
}

/// The object of a tensor: the one that it has, or a fresh one.
#[inline]
pub fn wrap(py: Python<'_>, tensor: Tensor) -> Py<PyAny> {
    // SAFETY: `wrap_raw` returns a new reference to a live object.
    unsafe { owned_ptr(py, wrap_raw(tensor)) }
}

/// As [`wrap`], as a new reference.
///
/// # Safety
/// The GIL must be held.
#[inline]
pub unsafe fn wrap_raw(tensor: Tensor) -> *mut PyObject {
    let host = tensor.host().cast::<PyObject>();
    // SAFETY: a registered host is a live object of this layout.
    unsafe {
        if !host.is_null() {
            if tensor.owns_host() {
                // The object comes back to Python and owns the tensor again, through the handle it still has.
                tensor.set_host(host.cast(), false);
                (*host.cast::<PyTensor>()).owner = Owner::Object;
                std::mem::forget(tensor);
                return host;
            }
            ffi::Py_INCREF(host);
            return host;
        }
        let object = match SPARE.take() {
            Some(object) => ffi::PyObject_Init(object.cast(), tensor_type()).cast::<PyTensor>(),
            None => ffi::PyObject_GC_New::<PyTensor>(tensor_type()),
        };
        if object.is_null() {
            return std::ptr::null_mut();
        }
        fill(object, tensor);
        object.cast()
    }
}

/// A fresh object of a subclass around a tensor that has no object yet.
///
/// # Safety
/// `class` must be Tensor or a subclass; the GIL must be held.
pub unsafe fn wrap_as(class: *mut PyTypeObject, tensor: Tensor) -> *mut PyObject {
    // SAFETY: as promised; a generic allocation of the class has our layout at its start.
    unsafe {
        let tensor = if tensor.host().is_null() { tensor } else { alias_for_new_object(&tensor) };
        if class == tensor_type() {
            return wrap_raw(tensor);
        }
        let alloc = (*class).tp_alloc.unwrap_or(ffi::PyType_GenericAlloc);
        let object = alloc(class, 0).cast::<PyTensor>();
        if object.is_null() {
            return std::ptr::null_mut();
        }
        fill(object, tensor);
        object.cast()
    }
}

/// A tensor over the same data for a second object, such as `Parameter(x)`.
fn alias_for_new_object(tensor: &Tensor) -> Tensor {
    tensor.alias()
}

unsafe fn fill(object: *mut PyTensor, tensor: Tensor) {
    tensor.set_host(object.cast(), false);
    // SAFETY: fresh memory of this layout.
    unsafe {
        (*object).dict = std::ptr::null_mut();
        (*object).weaklist = std::ptr::null_mut();
        std::ptr::write(&mut (*object).tensor, ManuallyDrop::new(tensor));
        (*object).owner = Owner::Object;
        (*object).shape = std::ptr::null_mut();
    }
}

/// The shape of a tensor object, made once for each array that it refers to.
pub unsafe extern "C" fn shape(object: *mut PyObject, _: *mut c_void) -> *mut PyObject {
    crate::errors::guard(std::ptr::null_mut(), || {
        // SAFETY: called by the interpreter on a tensor, with the GIL.
        unsafe {
            let Some(t) = borrow(object) else {
                return Err(pyo3::exceptions::PyTypeError::new_err("expected a Tensor"));
            };
            let slot = object.cast::<PyTensor>();
            let stamp = t.array_stamp();
            if (*slot).shape.is_null() || (*slot).shape_stamp != stamp {
                let fresh = crate::size::object(Python::assume_attached(), &t.sizes())?.into_ptr();
                let old = std::mem::replace(&mut (*slot).shape, fresh);
                (*slot).shape_stamp = stamp;
                ffi::Py_XDECREF(old);
            }
            ffi::Py_INCREF((*slot).shape);
            Ok((*slot).shape)
        }
    })
}

/// Hands an object that carries state over to its tensor, if that lives on.
unsafe fn preserve(object: *mut PyTensor) -> bool {
    // SAFETY: called from dealloc or finalize on a live object.
    unsafe {
        let slot = &mut *object;
        if slot.owner != Owner::Object || slot.tensor.use_count() < 2 {
            return false;
        }
        slot.tensor.set_host(object.cast(), true);
        slot.owner = Owner::Tensor;
        // The handle stays in place, but no longer counts.
        let counted = std::ptr::read(&slot.tensor);
        crate::gc::revive(object.cast());
        drop(ManuallyDrop::into_inner(counted));
        true
    }
}

/// Called when a tensor that owns its object is freed.
fn drop_host(object: *mut ()) {
    // SAFETY: the interpreter may be gone at exit; then the object is leaked.
    unsafe {
        if ffi::Py_IsInitialized() == 0 {
            return;
        }
    }
    Python::attach(|_| {
        let object = object.cast::<PyTensor>();
        // SAFETY: the tensor owned one reference to this live object.
        unsafe {
            (*object).owner = Owner::Nobody;
            ffi::Py_DECREF(object.cast());
        }
    });
}

unsafe extern "C" fn dealloc(object: *mut PyObject) {
    // SAFETY: called by the interpreter on an object of this layout whose count reached zero.
    unsafe {
        let slot = object.cast::<PyTensor>();
        let exact = is_exact(object);
        if exact && !(*slot).dict.is_null() && preserve(slot) {
            return;
        }
        let unmarked = crate::gc::is_unmarked(object);
        if !unmarked {
            ffi::PyObject_GC_UnTrack(object.cast());
        }
        if (*slot).owner == Owner::Object {
            (*slot).tensor.set_host(std::ptr::null_mut(), false);
        }
        if exact && !(*slot).weaklist.is_null() {
            ffi::PyObject_ClearWeakRefs(object);
        }
        let dict = std::mem::replace(&mut (*slot).dict, std::ptr::null_mut());
        if exact {
            ffi::Py_XDECREF(dict);
        }
        ffi::Py_XDECREF(std::mem::replace(&mut (*slot).shape, std::ptr::null_mut()));
        if (*slot).owner == Owner::Object {
            (*slot).owner = Owner::Nobody;
            drop(ManuallyDrop::take(&mut (*slot).tensor));
        }
        let class = ffi::Py_TYPE(object);
        if !(exact && unmarked && SPARE.give(slot)) {
            match (*class).tp_free {
                Some(free) => free(object.cast()),
                None => ffi::PyObject_GC_Del(object.cast()),
            }
        }
        ffi::Py_DECREF(class.cast());
    }
}

/// Runs before an object of a subclass dies: the only place where such an object can be kept.
unsafe extern "C" fn finalize(object: *mut PyObject) {
    // SAFETY: called by the interpreter on an object of this layout. A count of one means that it comes from
    // deallocation, not from the cycle collector.
    unsafe {
        if ffi::Py_REFCNT(object) == 1 && !is_exact(object) {
            let slot = object.cast::<PyTensor>();
            if (*slot).owner == Owner::Object && (*slot).tensor.use_count() > 1 {
                ffi::Py_INCREF(object);
                let tensor = &(*slot).tensor;
                tensor.set_host(object.cast(), true);
                (*slot).owner = Owner::Tensor;
                let counted = std::ptr::read(&(*slot).tensor);
                drop(ManuallyDrop::into_inner(counted));
                crate::gc::clear_finalized(object);
            }
        }
    }
}

unsafe extern "C" fn traverse(object: *mut PyObject, visit: ffi::visitproc, arg: *mut c_void) -> c_int {
    // SAFETY: called by the collector on an object of this layout.
    unsafe {
        let slot = object.cast::<PyTensor>();
        for held in
            [(*slot).dict, if is_exact(object) { ffi::Py_TYPE(object).cast() } else { std::ptr::null_mut() }]
        {
            if !held.is_null() {
                let stop = visit(held, arg);
                if stop != 0 {
                    return stop;
                }
            }
        }
    }
    0
}

unsafe extern "C" fn clear(object: *mut PyObject) -> c_int {
    // SAFETY: called by the collector on an object of this layout.
    unsafe {
        let slot = object.cast::<PyTensor>();
        let dict = std::mem::replace(&mut (*slot).dict, std::ptr::null_mut());
        ffi::Py_XDECREF(dict);
    }
    0
}

unsafe extern "C" fn init(_: *mut PyObject, _: *mut PyObject, _: *mut PyObject) -> c_int {
    0
}

/// Attributes make an object part of possible cycles: from then on the collector looks at it.
unsafe extern "C" fn setattro(object: *mut PyObject, name: *mut PyObject, value: *mut PyObject) -> c_int {
    // SAFETY: called by the interpreter.
    unsafe {
        let result = ffi::PyObject_GenericSetAttr(object, name, value);
        let slot = object.cast::<PyTensor>();
        if is_exact(object) && !(*slot).dict.is_null() && ffi::PyObject_GC_IsTracked(object) == 0 {
            ffi::PyObject_GC_Track(object.cast());
        }
        result
    }
}

unsafe extern "C" fn hash(object: *mut PyObject) -> ffi::Py_hash_t {
    // As CPython hashes addresses.
    let address = object as usize;
    let h = address.rotate_right(4) as ffi::Py_hash_t;
    if h == -1 { -2 } else { h }
}

unsafe extern "C" fn length(object: *mut PyObject) -> ffi::Py_ssize_t {
    crate::errors::guard(-1, || {
        // SAFETY: called by the interpreter on a tensor.
        match unsafe { borrow(object) }.map(|t| t.sizes()) {
            Some(sizes) if !sizes.is_empty() => Ok(sizes[0] as ffi::Py_ssize_t),
            _ => Err(pyo3::exceptions::PyTypeError::new_err("len() of a 0-d tensor")),
        }
    })
}
