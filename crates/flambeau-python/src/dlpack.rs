//! Memory shared through DLPack capsules (https://dmlc.github.io/dlpack), both ways and in both of the protocol's
//! forms, the one without and the one with a version. One of the modules with unsafe code.

use crate::errors::{IntoPy, owned_ptr};
use crate::object;
use flambeau::{Array, DType, Dims, Tensor};
use flambeau_core::{Loan, Storage};
use pyo3::exceptions::{PyBufferError, PyRuntimeError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use std::ffi::{CStr, c_void};

const MAJOR: u32 = 1;
const MINOR: u32 = 1;
const CPU: i32 = 1;
const CUDA: i32 = 2;
const READ_ONLY: u64 = 1;
const IS_COPIED: u64 = 2;

#[repr(C)]
struct DLDevice {
    device_type: i32,
    device_id: i32,
}
#[repr(C)]
struct DLDataType {
    code: u8,
    bits: u8,
    lanes: u16,
}
#[repr(C)]
struct DLTensor {
    data: *mut c_void,
    device: DLDevice,
    ndim: i32,
    dtype: DLDataType,
    shape: *mut i64,
    strides: *mut i64,
    byte_offset: u64,
}

type Deleter<M> = Option<unsafe extern "C" fn(*mut M)>;

/// `DLManagedTensor`
#[repr(C)]
struct Legacy {
    tensor: DLTensor,
    context: *mut c_void,
    deleter: Deleter<Legacy>,
}
/// `DLManagedTensorVersioned`
#[repr(C)]
struct Versioned {
    major: u32,
    minor: u32,
    context: *mut c_void,
    deleter: Deleter<Versioned>,
    flags: u64,
    tensor: DLTensor,
}

/// What the two forms have in common.
trait Managed: Sized + 'static {
    /// The name of a capsule that nobody has taken yet, and that of one whose tensor has an owner.
    const NAME: &'static CStr;
    const USED: &'static CStr;
    fn new(tensor: DLTensor, context: *mut c_void, deleter: Deleter<Self>, flags: u64) -> Self;
    fn tensor(&self) -> &DLTensor;
    fn context(&self) -> *mut c_void;
    fn deleter(&self) -> Deleter<Self>;
    fn flags(&self) -> u64;
    fn check_version(&self) -> PyResult<()>;
}

/// What both structs have under the same name.
macro_rules! fields {
    () => {
        fn tensor(&self) -> &DLTensor {
            &self.tensor
        }
        fn context(&self) -> *mut c_void {
            self.context
        }
        fn deleter(&self) -> Deleter<Self> {
            self.deleter
        }
    };
}

impl Managed for Legacy {
    const NAME: &'static CStr = c"dltensor";
    const USED: &'static CStr = c"used_dltensor";
    fn new(tensor: DLTensor, context: *mut c_void, deleter: Deleter<Self>, _: u64) -> Self {
        Legacy { tensor, context, deleter }
    }
    fields!();
    fn flags(&self) -> u64 {
        0
    }
    fn check_version(&self) -> PyResult<()> {
        Ok(())
    }
}

impl Managed for Versioned {
    const NAME: &'static CStr = c"dltensor_versioned";
    const USED: &'static CStr = c"used_dltensor_versioned";
    fn new(tensor: DLTensor, context: *mut c_void, deleter: Deleter<Self>, flags: u64) -> Self {
        Versioned { major: MAJOR, minor: MINOR, context, deleter, flags, tensor }
    }
    fields!();
    fn flags(&self) -> u64 {
        self.flags
    }
    fn check_version(&self) -> PyResult<()> {
        if self.major > MAJOR {
            return Err(PyRuntimeError::new_err(format!(
                "unsupported DLPack capsule major version: {}. Maximum supported version: {MAJOR}",
                self.major
            )));
        }
        Ok(())
    }
}

const INVALID: &str = "from_dlpack received an invalid capsule. Note that DLTensor capsules can be consumed only once, so you might have already constructed a tensor from it once.";

// out

/// What a capsule of ours keeps alive.
struct Exported {
    shape: Vec<i64>,
    strides: Vec<i64>,
    _loan: Loan,
}

unsafe extern "C" fn delete<M: Managed>(managed: *mut M) {
    if managed.is_null() {
        return;
    }
    // SAFETY: called once, by the capsule or by the consumer, with what `export` leaked.
    unsafe {
        let managed = Box::from_raw(managed);
        drop(Box::from_raw(managed.context().cast::<Exported>()));
    }
}

/// Runs when a capsule is freed; the tensor of one that was consumed belongs to the consumer.
unsafe extern "C" fn destroy<M: Managed>(capsule: *mut ffi::PyObject) {
    // SAFETY: called by the interpreter on a capsule that `export` made.
    unsafe {
        if ffi::PyCapsule_IsValid(capsule, M::NAME.as_ptr()) != 0 {
            delete(ffi::PyCapsule_GetPointer(capsule, M::NAME.as_ptr()).cast::<M>());
        }
    }
}

fn data_type(dtype: DType) -> DLDataType {
    let code = match dtype {
        DType::Int8 | DType::Int16 | DType::Int32 | DType::Int64 => 0,
        DType::UInt8 | DType::UInt16 | DType::UInt32 | DType::UInt64 => 1,
        DType::Float16 | DType::Float32 | DType::Float64 => 2,
        DType::BFloat16 => 4,
        DType::Complex64 | DType::Complex128 => 5,
        DType::Bool => 6,
    };
    DLDataType { code, bits: (dtype.size() * 8) as u8, lanes: 1 }
}

fn export<M: Managed>(py: Python<'_>, array: Array, flags: u64) -> PyResult<Py<PyAny>> {
    let empty = array.numel() == 0;
    // The stride of a dimension that is never stepped along carries no meaning; consumers like it to be 1.
    let strides = array.strides.iter().zip(&array.sizes).map(|(&s, &n)| if n < 2 { 1 } else { s }).collect();
    let mut kept = Box::new(Exported { shape: array.sizes.to_vec(), strides, _loan: array.storage.lend() });
    let tensor = DLTensor {
        data: if empty { std::ptr::null_mut() } else { array.data_ptr().cast() },
        device: DLDevice { device_type: CPU, device_id: 0 },
        ndim: kept.shape.len() as i32,
        dtype: data_type(array.dtype),
        shape: kept.shape.as_mut_ptr(),
        strides: kept.strides.as_mut_ptr(),
        byte_offset: 0,
    };
    let managed =
        Box::into_raw(Box::new(M::new(tensor, Box::into_raw(kept).cast(), Some(delete::<M>), flags)));
    // SAFETY: the capsule takes over the managed tensor; if it cannot be made, it is freed here.
    unsafe {
        let capsule = ffi::PyCapsule_New(managed.cast(), M::NAME.as_ptr(), Some(destroy::<M>));
        if capsule.is_null() {
            delete(managed);
            return Err(PyErr::fetch(py));
        }
        Ok(owned_ptr(py, capsule))
    }
}

/// A capsule over the memory of a tensor, in the protocol's form with a version or without.
#[pyfunction]
#[pyo3(signature = (t, versioned, copied=false, read_only=false))]
pub fn _to_dlpack(
    t: &Bound<'_, PyAny>,
    versioned: bool,
    copied: bool,
    read_only: bool,
) -> PyResult<Py<PyAny>> {
    let Some(tensor) = object::extract(t) else {
        return Err(PyTypeError::new_err(format!(
            "_to_dlpack(): argument 'data' (position 1) must be Tensor, not {}",
            crate::types::type_name(t)
        )));
    };
    let array = tensor.array();
    if !array.device().is_cpu() {
        return Err(PyBufferError::new_err(format!("Cannot pack tensors on {}", array.device())));
    }
    if versioned {
        let fixed = read_only || array.storage.is_read_only();
        let flags = if fixed { READ_ONLY } else { 0 } | if copied { IS_COPIED } else { 0 };
        return export::<Versioned>(t.py(), array, flags);
    }
    // Without a version there is no way to say that the memory may not be written.
    array.storage.make_writable().py()?;
    export::<Legacy>(t.py(), array, 0)
}

// in

/// The managed tensor of another library; letting go of it calls its deleter.
struct Owner<M: Managed>(*mut M);
// SAFETY: the protocol lets a deleter be called from any thread.
unsafe impl<M: Managed> Send for Owner<M> {}
// SAFETY: the pointer is only used when the owner is dropped.
unsafe impl<M: Managed> Sync for Owner<M> {}

impl<M: Managed> Drop for Owner<M> {
    fn drop(&mut self) {
        // SAFETY: taken from a capsule that was renamed, hence ours; after the interpreter's end deleters written
        // against it could crash, so the memory is left to the process's end.
        unsafe {
            if ffi::Py_IsInitialized() != 0
                && let Some(deleter) = (*self.0).deleter()
            {
                Python::attach(|_| deleter(self.0));
            }
        }
    }
}

fn element_type(t: &DLDataType) -> PyResult<DType> {
    if t.lanes != 1 {
        return Err(PyBufferError::new_err(format!(
            "ATen does not support lanes != 1 for dtype code{}",
            t.code
        )));
    }
    let kind = match t.code {
        0 => "kInt",
        1 => "kUInt",
        2 => "kFloat",
        4 => "kDLBfloat",
        5 => "kDLComplex",
        6 => "kDLBool",
        code => return Err(PyBufferError::new_err(format!("Unsupported code {code}"))),
    };
    DType::ALL
        .into_iter()
        .find(|&d| {
            let own = data_type(d);
            (own.code, own.bits) == (t.code, t.bits)
        })
        .ok_or_else(|| PyBufferError::new_err(format!("Unsupported {kind} bits {}", t.bits)))
}

/// The geometry of a foreign tensor, checked: (dtype, sizes, strides, first byte, number of bytes).
///
/// # Safety
/// `shape` and `strides` must be null or point to `ndim` numbers.
unsafe fn geometry(t: &DLTensor) -> PyResult<(DType, Dims, Dims, *mut u8, usize)> {
    match t.device.device_type {
        CPU => {}
        CUDA => flambeau::Device::parse("cuda").and_then(|d| d.check_available()).py()?,
        other => return Err(PyBufferError::new_err(format!("Unsupported device_type: {other}"))),
    }
    let dtype = element_type(&t.dtype)?;
    let rank = match usize::try_from(t.ndim) {
        Ok(rank) if rank <= 64 => rank,
        _ => return Err(PyBufferError::new_err(format!("unsupported number of dimensions {}", t.ndim))),
    };
    if rank > 0 && t.shape.is_null() {
        return Err(PyBufferError::new_err("the capsule's tensor has dimensions but no shape"));
    }
    // SAFETY: as promised by the caller.
    let list = |p: *mut i64| -> Dims { (0..rank).map(|d| unsafe { p.add(d).read_unaligned() }).collect() };
    let sizes = list(t.shape);
    flambeau_core::check_sizes(&sizes).py()?;
    let numel = flambeau_core::numel(&sizes).py()?;
    let strides =
        if t.strides.is_null() { flambeau_core::contiguous_strides(&sizes) } else { list(t.strides) };
    if numel == 0 {
        return Ok((
            dtype,
            sizes.clone(),
            flambeau_core::contiguous_strides(&sizes),
            std::ptr::null_mut(),
            0,
        ));
    }
    if strides.iter().zip(&sizes).any(|(&s, &n)| s < 0 && n > 1) {
        return Err(PyRuntimeError::new_err(format!(
            "Storage size calculation overflowed with sizes={} and strides={}",
            flambeau_core::show(&sizes),
            flambeau_core::show(&strides)
        )));
    }
    let strides: Dims = strides.iter().zip(&sizes).map(|(&s, &n)| if n < 2 { s.max(0) } else { s }).collect();
    let nbytes = flambeau_core::required_bytes(&sizes, &strides, 0, dtype.size()).py()?;
    let first = usize::try_from(t.byte_offset)
        .ok()
        .and_then(|offset| (t.data as usize).checked_add(offset))
        .filter(|first| first.checked_add(nbytes).is_some());
    match first {
        Some(first) if !t.data.is_null() => Ok((dtype, sizes, strides, first as *mut u8, nbytes)),
        _ => Err(PyBufferError::new_err("the capsule's tensor has elements but no memory")),
    }
}

fn import<M: Managed>(capsule: &Bound<'_, PyAny>) -> PyResult<Tensor> {
    // SAFETY: a capsule of this name holds a managed tensor that lives until the capsule goes or is renamed.
    unsafe {
        let managed = ffi::PyCapsule_GetPointer(capsule.as_ptr(), M::NAME.as_ptr()).cast::<M>();
        if managed.is_null() {
            return Err(PyErr::fetch(capsule.py()));
        }
        (*managed).check_version()?;
        let (dtype, sizes, strides, pointer, nbytes) = geometry((*managed).tensor())?;
        let read_only = (*managed).flags() & READ_ONLY != 0;
        // Everything is in order: from here on the tensor is ours, and so is its deleter's call.
        if ffi::PyCapsule_SetName(capsule.as_ptr(), M::USED.as_ptr()) != 0 {
            return Err(PyErr::fetch(capsule.py()));
        }
        let owner = Box::new(Owner(managed));
        let storage = if read_only {
            Storage::foreign_read_only(pointer, nbytes, owner)
        } else {
            Storage::foreign(pointer, nbytes, owner)
        };
        Ok(Tensor::from_array(Array { storage, dtype, sizes, strides, offset: 0 }))
    }
}

/// The tensor of a capsule, which is used up.
#[pyfunction]
pub fn _from_dlpack(capsule: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    let named = |name: &CStr| {
        // SAFETY: a live object; a name that lives for ever.
        unsafe { ffi::PyCapsule_IsValid(capsule.as_ptr(), name.as_ptr()) != 0 }
    };
    let tensor = if named(Versioned::NAME) {
        import::<Versioned>(capsule)?
    } else if named(Legacy::NAME) {
        import::<Legacy>(capsule)?
    } else {
        return Err(PyRuntimeError::new_err(INVALID));
    };
    Ok(object::wrap(capsule.py(), tensor))
}
