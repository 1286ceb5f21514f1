//! The tensor: an array with a version, autograd metadata and at most one object of a host language.

mod facts;

use crate::autograd::{AutogradMeta, Edge, Node, ViewMeta};
use crate::ops::sparse::Coo;
use facts::Facts;
use flambeau_core::{
    Array, DType, Device, Dims, Init, Result, Shared, Storage, WeakShared, bail, dims_of, required_bytes,
};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use std::fmt;
use std::sync::atomic::{AtomicPtr, AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// A multi-dimensional array that can take part in a graph. Cloning a handle names the same tensor.
///
/// ```
/// use flambeau::{DType, arange};
/// let t = arange(0, 6, 1, ())?.view(&[2, 3])?;
/// assert_eq!((t.dtype(), &t.sizes()[..], t.dim()), (DType::Int64, &[2, 3][..], 2));
/// let column = t.select(1, 0)?; // a view: it shares the memory
/// column.mul_scalar_(10)?;
/// assert_eq!(t.to_string(), "tensor([[ 0,  1,  2],\n        [30,  4,  5]])");
/// assert_eq!(t.sum_dim(Some(&[0]), false)?.to_vec::<i64>()?, [30, 5, 7]);
/// assert_eq!((&t + 0.5).dtype(), DType::Float32); // as PyTorch promotes
/// let error = t.matmul(&t).unwrap_err();
/// assert_eq!(error.message(), "mm: mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)");
/// # Ok::<(), flambeau::Error>(())
/// ```
#[derive(Clone)]
pub struct Tensor(Shared<TensorImpl>);

/// A handle that does not keep the tensor alive.
#[derive(Clone, Debug)]
pub struct WeakTensor(WeakShared<TensorImpl>);

pub(crate) struct TensorImpl {
    array: RwLock<Array>,
    facts: Facts,
    /// Shared by a base, its views and detached aliases once one of them exists.
    version: Version,
    flags: AtomicU8,
    /// Counts the arrays that it has referred to, for those who keep what they read of one.
    arrays: AtomicU32,
    meta: Mutex<Option<Box<AutogradMeta>>>,
    host: AtomicPtr<()>,
}

/// A counter of in-place changes: that of another tensor, or one of its own, made when it is first needed.
#[derive(Default)]
struct Version {
    shared: Option<Shared<AtomicU64>>,
    own: OnceLock<Shared<AtomicU64>>,
}

impl Version {
    #[inline]
    fn get(&self) -> Option<&Shared<AtomicU64>> {
        self.shared.as_ref().or_else(|| self.own.get())
    }
    #[inline]
    fn get_or_make(&self) -> &Shared<AtomicU64> {
        self.shared.as_ref().unwrap_or_else(|| self.own.get_or_init(|| Shared::new(AtomicU64::new(0))))
    }
}

/// The tensor requires a gradient itself (a leaf).
const REQUIRES_GRAD: u8 = 1;
/// `meta` is filled.
const HAS_META: u8 = 2;
/// Made in inference mode.
const INFERENCE: u8 = 4;
/// A Python number given for a tensor: promotes as numbers do.
const WRAPPED_NUMBER: u8 = 8;
/// The host object belongs to this tensor (see `host`).
const OWNS_HOST: u8 = 16;
/// `sparse` of the metadata is filled: entries instead of memory.
const SPARSE: u8 = 32;

/// Called with the host object when a tensor that owns one is freed.
pub static HOST_DROP: OnceLock<fn(*mut ())> = OnceLock::new();

impl Drop for TensorImpl {
    fn drop(&mut self) {
        if *self.flags.get_mut() & OWNS_HOST != 0
            && let Some(release) = HOST_DROP.get()
        {
            release(*self.host.get_mut());
        }
        if let Some(meta) = self.meta.get_mut().take() {
            crate::autograd::bury_meta(meta);
        }
    }
}

impl Tensor {
    /// A tensor of an array, without history.
    #[inline]
    pub fn from_array(array: Array) -> Tensor {
        let flags = if crate::autograd::inference_enabled() { INFERENCE } else { 0 };
        Self::with_parts(array, flags, None, None)
    }

    #[inline(always)]
    fn with_parts(
        array: Array,
        flags: u8,
        shared: Option<Shared<AtomicU64>>,
        meta: Option<Box<AutogradMeta>>,
    ) -> Tensor {
        let Array { storage, dtype, sizes, strides, offset } = array;
        let mut out = Self::without_geometry(storage, dtype, flags, shared, meta);
        if let Some(inner) = Shared::get_mut(&mut out.0) {
            let array = inner.array.get_mut();
            array.take_geometry(&sizes, &strides, offset);
            inner.facts.set(array);
        }
        out
    }

    /// A tensor whose array and facts are completed where they are.
    #[inline(always)]
    fn without_geometry(
        storage: Shared<Storage>,
        dtype: DType,
        flags: u8,
        shared: Option<Shared<AtomicU64>>,
        meta: Option<Box<AutogradMeta>>,
    ) -> Tensor {
        Tensor(Shared::new_with(|| TensorImpl {
            facts: Facts::none(),
            array: RwLock::new(Array::scalar(storage, dtype)),
            version: Version { shared, own: OnceLock::new() },
            flags: AtomicU8::new(flags),
            arrays: AtomicU32::new(0),
            meta: Mutex::new(meta),
            host: AtomicPtr::new(std::ptr::null_mut()),
        }))
    }

    /// A fresh row-major tensor of elements that take `nbytes`, more than 0, and where they go. Its description is written
    /// in its place.
    #[inline]
    pub(crate) fn dense(
        sizes: &[i64],
        nbytes: usize,
        dtype: DType,
        device: Device,
        init: Init,
    ) -> Result<(Tensor, *mut u8)> {
        let storage = Storage::new(nbytes, device, init)?;
        let pointer = storage.as_ptr();
        let flags = if crate::autograd::inference_enabled() { INFERENCE } else { 0 };
        let mut out = Self::without_geometry(storage, dtype, flags, None, None);
        if let Some(inner) = Shared::get_mut(&mut out.0) {
            let array = inner.array.get_mut();
            array.lay_out(sizes);
            inner.facts.set(array);
        }
        Ok((out, pointer))
    }

    fn fresh(sizes: &[i64], dtype: DType, device: Device, init: Init) -> Result<(Tensor, *mut u8)> {
        let item = dtype.size() as i64;
        let bytes = sizes.iter().try_fold(item, |n, &size| if size > 0 { n.checked_mul(size) } else { None });
        match bytes {
            Some(bytes) => Self::dense(sizes, bytes as usize, dtype, device, init),
            // Empty, or an error.
            None => {
                let array = Array::empty(sizes, dtype, device, init)?;
                let pointer = array.data_ptr();
                Ok((Self::from_array(array), pointer))
            }
        }
    }

    /// A fresh tensor with undefined contents, which the caller overwrites.
    pub fn empty_raw(sizes: &[i64], dtype: DType, device: Device) -> Result<Tensor> {
        Ok(Self::empty_at(sizes, dtype, device)?.0)
    }

    /// As [`Tensor::empty_raw`], and where the contents go.
    pub(crate) fn empty_at(sizes: &[i64], dtype: DType, device: Device) -> Result<(Tensor, *mut u8)> {
        Self::fresh(sizes, dtype, device, Init::Uninit)
    }

    /// A fresh tensor of zeros.
    pub fn zeros_raw(sizes: &[i64], dtype: DType, device: Device) -> Result<Tensor> {
        Ok(Self::fresh(sizes, dtype, device, Init::Zero)?.0)
    }

    /// A copy of what the tensor refers to (shares the storage).
    #[inline]
    pub fn array(&self) -> Array {
        self.0.array.read_recursive().clone()
    }
    /// Looks at the array without copying its description.
    #[inline]
    pub fn with_array<R>(&self, f: impl FnOnce(&Array) -> R) -> R {
        f(&self.0.array.read_recursive())
    }
    /// Holds the array in place for the duration of an operation, which may look at it several times.
    #[inline]
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Array> {
        self.0.array.read_recursive()
    }
    /// Makes the tensor refer to another array (`set_`, `.data = `, `resize_`, `t_`).
    pub fn set_array(&self, array: Array) {
        let mut slot = self.0.array.write();
        self.0.arrays.fetch_add(1, Ordering::Release);
        self.0.facts.set(&array);
        *slot = array;
    }
    /// Changes whenever the tensor comes to refer to another array: as long as it is the same, so are the sizes.
    #[inline]
    pub fn array_stamp(&self) -> u32 {
        self.0.arrays.load(Ordering::Acquire)
    }
    #[inline]
    pub fn dtype(&self) -> DType {
        self.0.facts.dtype()
    }
    #[inline]
    pub fn device(&self) -> Device {
        self.0.facts.device()
    }
    #[inline]
    pub fn sizes(&self) -> Dims {
        dims_of(&self.0.array.read_recursive().sizes)
    }
    #[inline]
    pub fn strides(&self) -> Dims {
        dims_of(&self.0.array.read_recursive().strides)
    }
    /// The size of a dimension, negative ones counted from the end.
    pub fn size(&self, dim: i64) -> Result<i64> {
        let sizes = self.sizes();
        Ok(sizes[self.wrap_nonscalar(dim, sizes.len())?])
    }
    fn wrap_nonscalar(&self, dim: i64, rank: usize) -> Result<usize> {
        if rank == 0 {
            bail!(Index, "Dimension specified as {dim} but tensor has no dimensions");
        }
        flambeau_core::wrap_dim(dim, rank)
    }
    #[inline]
    pub fn dim(&self) -> usize {
        self.0.facts.rank()
    }
    #[inline]
    pub fn numel(&self) -> usize {
        self.0.array.read_recursive().numel()
    }
    pub fn storage_offset(&self) -> i64 {
        self.0.array.read_recursive().offset
    }
    pub fn storage(&self) -> Shared<Storage> {
        self.0.array.read_recursive().storage.clone()
    }
    pub fn is_contiguous(&self) -> bool {
        self.0.array.read_recursive().is_contiguous()
    }
    pub fn is_complex(&self) -> bool {
        self.dtype().is_complex()
    }
    pub fn is_floating_point(&self) -> bool {
        self.dtype().is_floating_point()
    }
    pub fn is_meta(&self) -> bool {
        self.device().is_meta()
    }
    /// Whether both handles name the same tensor.
    pub fn is_same(&self, other: &Tensor) -> bool {
        Shared::ptr_eq(&self.0, &other.0)
    }
    /// An address that identifies the tensor while it lives.
    pub fn id(&self) -> usize {
        Shared::as_ptr(&self.0) as usize
    }
    pub fn downgrade(&self) -> WeakTensor {
        WeakTensor(Shared::downgrade(&self.0))
    }
    /// The number of handles to it.
    pub fn use_count(&self) -> usize {
        Shared::strong_count(&self.0)
    }

    // versions

    /// Counts the in-place changes of the tensor and everything that shares its version.
    pub fn version(&self) -> u64 {
        self.0.version.get().map_or(0, |v| v.load(Ordering::Relaxed))
    }
    /// Notes an in-place change.
    pub fn bump_version(&self) {
        if !self.is_inference() {
            self.shared_version().fetch_add(1, Ordering::Relaxed);
        }
    }
    fn shared_version(&self) -> &Shared<AtomicU64> {
        self.0.version.get_or_make()
    }
    /// An alias of the same array without history that shares the version (`detach`).
    pub fn alias(&self) -> Tensor {
        let (flags, shared) = self.passed_on();
        let out = {
            let array = self.read();
            Self::with_parts(array.clone(), flags, shared, None)
        };
        self.with_entries(out)
    }
    /// A tensor over a part or a reinterpretation of this tensor's storage, sharing the version.
    pub fn alias_as(&self, array: Array) -> Tensor {
        let (flags, shared) = self.passed_on();
        Self::with_parts(array, flags, shared, None)
    }
    /// As [`Tensor::alias_as`], with metadata.
    pub(crate) fn alias_with(&self, array: Array, meta: Box<AutogradMeta>) -> Tensor {
        let (flags, shared) = self.passed_on();
        Self::with_parts(array, flags | HAS_META, shared, Some(meta))
    }
    /// The flags and the version of its aliases.
    #[inline]
    fn passed_on(&self) -> (u8, Option<Shared<AtomicU64>>) {
        match self.is_inference() {
            true => (INFERENCE, None),
            false => (0, Some(self.shared_version().clone())),
        }
    }
    /// An alias with a version of its own (`.data`).
    pub fn data(&self) -> Tensor {
        self.with_entries(Tensor::from_array(self.array()))
    }

    // sparse tensors

    /// Whether it is made of indices and values (see [`crate::ops::sparse`]).
    #[inline]
    pub fn is_sparse(&self) -> bool {
        self.flag(SPARSE)
    }
    /// The indices and values of a sparse tensor.
    pub(crate) fn coo(&self) -> Option<Arc<Coo>> {
        if !self.is_sparse() {
            return None;
        }
        self.meta(|m| m.sparse.clone()).flatten()
    }
    /// Makes the tensor consist of these entries.
    pub(crate) fn set_coo(&self, coo: Coo) {
        crate::ops::sparse::note_use();
        let old = self.meta_mut(|m| m.sparse.replace(Arc::new(coo)));
        self.set_flag(SPARSE, true);
        drop(old); // outside the lock
    }
    /// `other`, an alias of this tensor's array, with its entries if there are any.
    #[inline]
    fn with_entries(&self, other: Tensor) -> Tensor {
        if self.is_sparse() {
            other.meta_mut(|m| m.sparse = self.coo());
            other.set_flag(SPARSE, true);
        }
        other
    }
    /// Makes the tensor refer to what `other` refers to (`.data = `), which may be sparse where this was not.
    pub fn set_data(&self, other: &Tensor) {
        self.set_array(other.array());
        if self.is_sparse() || other.is_sparse() {
            let old = self.meta_mut(|m| std::mem::replace(&mut m.sparse, other.coo()));
            self.set_flag(SPARSE, other.is_sparse());
            drop(old); // outside the lock
        }
    }
    /// What a tensor lies on for its user: the device of a sparse tensor's values, whose array has no memory.
    pub fn visible_device(&self) -> Device {
        self.coo().map_or_else(|| self.device(), |coo| coo.values.device())
    }

    // flags

    #[inline]
    fn flag(&self, bit: u8) -> bool {
        self.0.flags.load(Ordering::Relaxed) & bit != 0
    }
    fn set_flag(&self, bit: u8, on: bool) {
        if self.flag(bit) == on {
            return;
        }
        if on {
            self.0.flags.fetch_or(bit, Ordering::Relaxed);
        } else {
            self.0.flags.fetch_and(!bit, Ordering::Relaxed);
        }
    }
    /// Whether it was made in inference mode.
    #[inline]
    pub fn is_inference(&self) -> bool {
        self.flag(INFERENCE)
    }
    /// Whether it stands for a Python number in promotion.
    #[inline]
    pub fn is_wrapped_number(&self) -> bool {
        self.flag(WRAPPED_NUMBER)
    }
    /// Marks it as standing for a Python number.
    pub fn wrap_number(self) -> Tensor {
        self.set_flag(WRAPPED_NUMBER, true);
        self
    }
    /// Marks an ordinary tensor made in inference mode as not being one.
    pub fn clear_inference(&self) {
        self.set_flag(INFERENCE, false);
    }

    // autograd metadata

    #[inline]
    pub(crate) fn has_meta(&self) -> bool {
        self.flag(HAS_META)
    }
    /// Reads the autograd metadata, if there is any.
    pub(crate) fn meta<R>(&self, f: impl FnOnce(&AutogradMeta) -> R) -> Option<R> {
        if !self.has_meta() {
            return None;
        }
        self.0.meta.lock().as_deref().map(f)
    }
    /// Changes the autograd metadata, making it first if need be.
    #[inline]
    pub(crate) fn meta_mut<R>(&self, f: impl FnOnce(&mut AutogradMeta) -> R) -> R {
        let mut guard = self.0.meta.lock();
        let meta = guard.get_or_insert_with(|| {
            self.set_flag(HAS_META, true);
            Box::default()
        });
        f(meta)
    }
    /// Whether the tensor itself was told to require a gradient (not through its history).
    #[inline]
    pub(crate) fn leaf_requires_grad(&self) -> bool {
        self.flag(REQUIRES_GRAD)
    }
    pub(crate) fn set_leaf_requires_grad(&self, on: bool) {
        self.set_flag(REQUIRES_GRAD, on);
    }
    /// Whether gradients flow to it: as a leaf or through its history.
    #[inline]
    pub fn requires_grad(&self) -> bool {
        self.flag(REQUIRES_GRAD) || (self.has_meta() && self.has_history())
    }
    fn has_history(&self) -> bool {
        self.meta(|m| {
            m.grad_fn.is_some()
                || m.view
                    .as_ref()
                    .is_some_and(|v| v.tracks && v.base.requires_grad() && self.dtype().is_differentiable())
        })
        .unwrap_or(false)
    }
    /// Sets `requires_grad` of a leaf.
    pub fn set_requires_grad(&self, on: bool) -> Result<()> {
        if on && !self.dtype().is_differentiable() {
            bail!("only Tensors of floating point and complex dtype can require gradients");
        }
        if self.grad_fn().is_some() {
            if on {
                return Ok(());
            }
            bail!(
                "you can only change requires_grad flags of leaf variables. If you want to use a computed variable in a subgraph that doesn't require differentiation use var_no_grad = var.detach()."
            );
        }
        if on && self.is_inference() && !crate::autograd::inference_enabled() {
            bail!("Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.");
        }
        self.set_flag(REQUIRES_GRAD, on);
        Ok(())
    }
    /// A fresh result with its history; nobody else knows of it, which saves the lock.
    #[inline]
    pub(crate) fn computed_by(mut self, node: Shared<Node>) -> Tensor {
        if !self.dtype().is_differentiable() {
            return self;
        }
        match Shared::get_mut(&mut self.0) {
            Some(inner) => {
                inner.meta.get_mut().get_or_insert_default().grad_fn = Some(node);
                *inner.flags.get_mut() |= HAS_META;
            }
            None => crate::autograd::set_history(&[&self], &node),
        }
        self
    }
    /// The node that computed it; none for leaves.
    #[inline]
    pub fn grad_fn(&self) -> Option<Shared<Node>> {
        if !self.has_meta() {
            return None;
        }
        crate::autograd::view::grad_fn(self)
    }
    /// Whether it has no history that requires a gradient.
    pub fn is_leaf(&self) -> bool {
        self.grad_fn().is_none()
    }
    /// Where its gradient goes: its node, or the accumulator of a leaf that requires a gradient.
    pub fn gradient_edge(&self) -> Option<Edge> {
        if self.has_meta() {
            // Only a view has to ask its base first.
            let plain = self.meta(|m| match &m.view {
                Some(_) => None,
                None => Some(m.grad_fn.as_ref().map(|f| Edge { node: f.clone(), input: m.output_nr })),
            });
            match plain.flatten() {
                Some(Some(edge)) => return Some(edge),
                Some(None) => {}
                None => {
                    if let Some(node) = self.grad_fn() {
                        return Some(Edge { node, input: self.output_nr() });
                    }
                }
            }
        }
        if self.flag(REQUIRES_GRAD) {
            return Some(Edge { node: crate::autograd::accumulator(self), input: 0 });
        }
        None
    }
    /// Which output of its node it is.
    pub fn output_nr(&self) -> u32 {
        self.meta(|m| m.output_nr).unwrap_or(0)
    }
    /// The accumulated gradient.
    pub fn grad(&self) -> Option<Tensor> {
        self.meta(|m| m.grad.clone()).flatten()
    }
    /// Replaces the accumulated gradient, without checks.
    pub fn set_grad(&self, grad: Option<Tensor>) {
        if grad.is_none() && !self.has_meta() {
            return;
        }
        let old = self.meta_mut(|m| std::mem::replace(&mut m.grad, grad));
        drop(old); // outside the lock
    }
    /// The tensor that this one is a view of.
    pub fn base(&self) -> Option<Tensor> {
        self.meta(|m| m.view.as_ref().map(|v| v.base.clone())).flatten()
    }
    pub(crate) fn view_meta(&self) -> Option<ViewMeta> {
        self.meta(|m| m.view.clone()).flatten()
    }

    // the host object

    /// The object of a host language that stands for the tensor, or null.
    #[inline]
    pub fn host(&self) -> *mut () {
        self.0.host.load(Ordering::Acquire)
    }
    /// Registers the host object; `owned` means that freeing the tensor frees the object.
    #[inline]
    pub fn set_host(&self, object: *mut (), owned: bool) {
        self.0.host.store(object, Ordering::Release);
        self.set_flag(OWNS_HOST, owned);
    }
    #[inline]
    pub fn owns_host(&self) -> bool {
        self.flag(OWNS_HOST)
    }
    /// Fails where the storage does not hold every element, which foreign memory and `set_` could bring about.
    pub fn check_bounds(&self) -> Result<()> {
        self.with_array(|a| {
            let need = required_bytes(&a.sizes, &a.strides, a.offset, a.dtype.size())?;
            if !a.in_bounds() {
                bail!(
                    "setStorage: sizes {}, strides {}, storage offset {}, and itemsize {} requiring a storage size of {need} are out of bounds for storage of size {}",
                    flambeau_core::show(&a.sizes), flambeau_core::show(&a.strides), a.offset, a.dtype.size(), a.storage.nbytes()
                );
            }
            Ok(())
        })
    }
}

impl WeakTensor {
    pub fn upgrade(&self) -> Option<Tensor> {
        self.0.upgrade().map(Tensor)
    }
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let a = self.0.array.read_recursive();
        write!(f, "Tensor({:?}, {}, {})", a.sizes, a.dtype.name(), a.device())
    }
}
