//! What operators share: delivery to `out=` and in place, device and cast checks, sums of gradients.

use crate::autograd::{self, grad_enabled};
use crate::schema::{Arg, Call, Ret, Target};
use crate::{Tensor, ops};
use flambeau_core::{Array, DType, Device, Dims, Result, bail, dispatch, show};
use flambeau_cpu::pointwise::Operand;
use smallvec::SmallVec;

/// An array as kernels see it.
pub fn operand(a: &Array) -> Operand {
    assert!(!a.device().is_meta(), "a kernel was called on a tensor without data");
    Operand { pointer: a.data_ptr(), dtype: a.dtype, strides: flambeau_core::dims_of(&a.strides) }
}

/// The device that all tensors are on; zero-dim CPU tensors may join any.
pub fn common_device(tensors: &[&Tensor]) -> Result<Device> {
    let mut found: Option<(Device, usize)> = None;
    for t in tensors {
        let (device, rank) = (t.device(), t.dim());
        match found {
            None => found = Some((device, rank)),
            Some((d, _)) if d == device => {}
            Some((d, 0)) if d.is_cpu() => found = Some((device, rank)),
            Some(_) if rank == 0 && device.is_cpu() => {}
            Some((d, _)) => {
                bail!("Tensor on device {device} is not on the expected device {d}!")
            }
        }
    }
    Ok(found.map_or(Device::CPU, |f| f.0))
}

/// Fails where the operands of a call are not all on the device of the first; zero-dim CPU tensors may join any.
pub fn check_devices(call: &Call) -> Result<()> {
    let mut first = None;
    let mut check = |t: &Tensor| -> Result<()> {
        let (device, rank) = match t.is_sparse() {
            true => (t.visible_device(), t.dim()),
            false => (t.device(), t.dim()),
        };
        let expected = *first.get_or_insert(device);
        if device != expected && !(rank == 0 && device.is_cpu()) {
            bail!("Tensor on device {device} is not on the expected device {expected}!");
        }
        Ok(())
    };
    for arg in call.args {
        match arg {
            Arg::Tensor(t) => check(t)?,
            Arg::Owned(t) => check(t)?,
            Arg::Tensors(list) => list.iter().try_for_each(&mut check)?,
            Arg::OptTensors(list) => list.iter().flatten().try_for_each(&mut check)?,
            _ => {}
        }
    }
    Ok(())
}

/// Fails where a result may not be written to a tensor of dtype `to`.
pub fn check_castable(result: DType, to: DType) -> Result<()> {
    if !result.can_cast(to) {
        bail!("result type {} can't be cast to the desired output type {}", result.cpp_name(), to.cpp_name());
    }
    Ok(())
}

/// Fails where writing `out` while reading `inputs` has no defined result.
pub fn check_writable(out: &Array, inputs: &[Array]) -> Result<()> {
    if out.numel() == 0 {
        return Ok(());
    }
    out.storage.make_writable()?;
    if out.sizes.iter().zip(&out.strides).any(|(&size, &stride)| size > 1 && stride == 0) {
        bail!(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory location. Please clone() the tensor before performing the operation."
        );
    }
    for input in inputs {
        if flambeau_core::Shared::ptr_eq(&input.storage, &out.storage)
            && out.overlaps(input)
            && !out.same_view(input)
            && !interleaved(out, input)
            && !apart(out, input)
        {
            bail!(
                "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single memory location. Please clone() the tensor before performing the operation."
            );
        }
    }
    Ok(())
}

/// Whether two views are windows on a common grid of rows, rows of rows, …, that have no element in common.
fn apart(a: &Array, b: &Array) -> bool {
    type Steps = SmallVec<[(i64, i64); 5]>;
    if a.dtype != b.dtype {
        return false;
    }
    let steps = |a: &Array| {
        let mut steps: Steps =
            a.strides.iter().copied().zip(a.sizes.iter().copied()).filter(|s| s.1 > 1 && s.0 != 0).collect();
        steps.sort_unstable_by_key(|&(stride, _)| std::cmp::Reverse(stride));
        steps
    };
    let (mut a, mut b) = ((steps(a), a.offset), (steps(b), b.offset));
    loop {
        let Some(row) = [&a, &b].into_iter().filter_map(|view| view.0.first().map(|s| s.0)).max() else {
            return a.1 != b.1;
        };
        // The rows that each has, and what it has of them; a window that runs over the end of a row is none.
        let mut rows = [(0, 0); 2];
        for (view, rows) in [&mut a, &mut b].into_iter().zip(&mut rows) {
            let count = match view.0.first() {
                Some(&(stride, size)) if stride == row => {
                    view.0.remove(0);
                    size
                }
                _ => 1,
            };
            *rows = (view.1.div_euclid(row), count);
            view.1 = view.1.rem_euclid(row);
            let inner = view.0.iter().try_fold(view.1, |end, &(stride, size)| {
                stride.checked_mul(size - 1).and_then(|extent| end.checked_add(extent))
            });
            if inner.is_none_or(|end| end >= row) {
                return false;
            }
        }
        let [(first, count), (other, others)] = rows;
        if first >= other + others || other >= first + count {
            return true;
        }
    }
}

/// Whether two views walk their common memory in steps that never meet.
fn interleaved(a: &Array, b: &Array) -> bool {
    let gcd = |x: i64, y: i64| {
        let (mut x, mut y) = (x.abs(), y.abs());
        while y != 0 {
            (x, y) = (y, x % y);
        }
        x
    };
    if a.dtype != b.dtype {
        return false;
    }
    let mut step = 0;
    for view in [a, b] {
        for (&size, &stride) in view.sizes.iter().zip(&view.strides) {
            if size > 1 {
                step = gcd(step, stride);
            }
        }
    }
    step > 1 && (a.offset - b.offset) % step != 0
}

/// Makes `out` ready for a result of the given sizes: resizes it if it has another shape.
pub fn prepare_out(out: &Tensor, sizes: &[i64]) -> Result<()> {
    let current = out.array();
    if current.sizes[..] == *sizes {
        return Ok(());
    }
    if current.numel() != 0 {
        crate::warn(&format!(
            "An output with one or more elements was resized since it had shape {}, which does not match the required output shape {}. This behavior is deprecated, and in a future PyTorch release outputs will not be resized unless they have zero elements. You can explicitly reuse an out tensor t by resizing it, inplace, to zero elements with t.resize_(0).",
            show(&current.sizes),
            show(sizes)
        ));
    }
    ops::shape::resize_raw(out, sizes)
}

/// Runs `compute` and delivers its result as the call asks: fresh, written to the first argument, or to `out=`.
#[inline]
pub fn deliver(call: &Call, compute: impl Fn(&Call) -> Result<Ret>) -> Result<Ret> {
    deliver_strictly(call, false, Overlap::Any, compute)
}

/// A function that makes a fresh result. What is done with the result is compiled once for all operators.
type Compute<'a> = &'a dyn Fn(&Call) -> Result<Ret>;

/// How `out=` may share memory with an operand of the same call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    Any,
    /// Only as the very same view.
    Same,
    None,
}

/// `deliver` where the tensor written to must have the dtype of the result (`exact`), or `out=` may share no memory
/// with the operands beyond `overlap`.
#[inline]
pub fn deliver_strictly(
    call: &Call,
    exact: bool,
    overlap: Overlap,
    compute: impl Fn(&Call) -> Result<Ret>,
) -> Result<Ret> {
    match &call.target {
        Target::Fresh => compute(call),
        _ => deliver_to(call, exact, overlap, &compute),
    }
}

fn deliver_to(call: &Call, exact: bool, overlap: Overlap, compute: Compute) -> Result<Ret> {
    if ops::sparse::in_use() && !matches!(call.target, Target::Fresh) {
        let target = match &call.target {
            Target::Out(outs) => outs.first(),
            _ => Some(call.tensor(0)?),
        };
        if target.is_some_and(Tensor::is_sparse) {
            bail!(
                NotImplemented,
                "results can't be written to sparse tensors here; use the form that returns a new tensor"
            );
        }
    }
    match &call.target {
        Target::Fresh => compute(call),
        Target::InPlace => {
            let record = grad_enabled() && call.args.iter().any(arg_requires_grad);
            inplace(call.tensor(0)?, record, exact, &|old| {
                let mut args: SmallVec<[Arg; 8]> = call.args.iter().map(reborrow).collect();
                args[0] = Arg::Tensor(old);
                compute(&Call { args: &args, target: Target::Fresh })
            })
        }
        Target::Out(outs) => {
            for out in outs.iter() {
                if grad_enabled() && out.requires_grad() {
                    bail!(
                        "functions with out=... arguments don't support automatic differentiation, but one of the arguments requires grad."
                    );
                }
            }
            if grad_enabled() && call.args.iter().any(arg_requires_grad) {
                bail!(
                    "functions with out=... arguments don't support automatic differentiation, but one of the arguments requires grad."
                );
            }
            let result = {
                let _guard = autograd::GradMode::no_grad();
                compute(&Call { args: call.args, target: Target::Fresh })?
            };
            let mut listed = false;
            let results: SmallVec<[Tensor; 4]> = match result {
                Ret::Tensor(t) => smallvec::smallvec![t],
                Ret::Tuple(list) => list,
                Ret::Tensors(list) => {
                    listed = true;
                    list.into_iter().collect()
                }
                _ => bail!("the result is no tensor"),
            };
            if results.len() != outs.len() {
                bail!("expected an out= argument of size {}, got size {}", results.len(), outs.len());
            }
            let mut operands: SmallVec<[&Tensor; 4]> = SmallVec::new();
            for arg in call.args.iter().filter(|_| overlap != Overlap::Any) {
                match arg {
                    Arg::Tensor(t) => operands.push(t),
                    Arg::Tensors(list) => operands.extend(list.iter()),
                    _ => {}
                }
            }
            let arrays: SmallVec<[Array; 4]> = operands.iter().map(|t| t.array()).collect();
            for (i, out) in outs.iter().enumerate() {
                if outs[..i].iter().any(|o| o.is_same(out) || o.array().overlaps(&out.array())) {
                    return Err(flambeau_core::Error::value("the out= tensors must not overlap."));
                }
            }
            for (result, out) in results.iter().zip(outs.iter()) {
                if exact && result.dtype() != out.dtype() {
                    bail!(
                        "Expected out tensor to have dtype {}, but got {} instead",
                        result.dtype().cpp_type(),
                        out.dtype().cpp_type()
                    );
                }
                check_castable(result.dtype(), out.dtype())?;
                if result.device() != out.device() {
                    bail!(
                        "Expected all tensors to be on the same device, but found at least two devices, {} and {}!",
                        out.device(),
                        result.device()
                    );
                }
            }
            // Everything that can fail comes before the first change.
            for (result, out) in results.iter().zip(outs.iter()) {
                let target = ops::shape::resized(out, &result.sizes())?;
                if overlap == Overlap::None {
                    check_writable(&out.array(), &[])?;
                    // An operand that is the very tensor written to changes its size with it.
                    let shared = operands
                        .iter()
                        .zip(&arrays)
                        .any(|(t, a)| a.overlaps(&target) || (t.is_same(out) && target.numel() > 0));
                    if shared {
                        bail!(
                            "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single memory location. Please clone() the tensor before performing the operation."
                        );
                    }
                }
                check_writable(&target, &arrays)?;
            }
            for (result, out) in results.iter().zip(outs.iter()) {
                prepare_out(out, &result.sizes())?;
            }
            for (result, out) in results.iter().zip(outs.iter()) {
                copy_data(out, result)?;
                out.bump_version();
            }
            Ok(match outs {
                _ if listed => Ret::None,
                [out] => Ret::Tensor(out.clone()),
                _ => Ret::Tuple(outs.iter().cloned().collect()),
            })
        }
    }
}

/// `deliver` for tensor factories, whose dtype and device (arguments `at` and `at + 2`) follow `out=`.
#[inline]
pub fn deliver_factory(call: &Call, at: usize, compute: impl Fn(&Call) -> Result<Ret>) -> Result<Ret> {
    match &call.target {
        Target::Out([out]) => factory_to(call, at, out, &compute),
        _ => compute(call),
    }
}

fn factory_to(call: &Call, at: usize, out: &Tensor, compute: Compute) -> Result<Ret> {
    let (dtype, device) = (out.dtype(), out.device());
    if let Arg::DType(given) = call.args[at]
        && given != dtype
    {
        bail!("dtype {} does not match dtype of out parameter ({})", given.cpp_name(), dtype.cpp_name());
    }
    if let Arg::Device(given) = call.args[at + 2]
        && given.kind != device.kind
    {
        bail!("device {given} does not match device of out parameter ({device})");
    }
    let mut args: SmallVec<[Arg; 8]> = call.args.iter().map(reborrow).collect();
    args[at] = Arg::DType(dtype);
    args[at + 2] = Arg::Device(device);
    args[at + 4] = Arg::Bool(false);
    let call = Call { args: &args, target: Target::Out(std::slice::from_ref(out)) };
    deliver_to(&call, false, Overlap::Any, compute)
}

fn arg_requires_grad(arg: &Arg) -> bool {
    match arg {
        Arg::Tensor(t) => t.requires_grad(),
        Arg::Owned(t) => t.requires_grad(),
        Arg::Tensors(list) => list.iter().any(|t| t.requires_grad()),
        Arg::OptTensors(list) => list.iter().flatten().any(|t| t.requires_grad()),
        _ => false,
    }
}

/// The in-place form of an operator that changes some elements of its first operand: `make(t, true)` changes those of
/// `t` (and nothing where it fails), `make(t, false)` those of a copy. Copies are made where the graph needs the old
/// value and where `others` share memory with it.
pub fn change(
    self_: &Tensor,
    others: &[&Tensor],
    make: impl Fn(&Tensor, bool) -> Result<Tensor>,
) -> Result<Tensor> {
    let all: SmallVec<[&Tensor; 4]> = [self_].into_iter().chain(others.iter().copied()).collect();
    let array = self_.array();
    if autograd::needs_grad(&all) || others.iter().any(|t| t.with_array(|a| a.overlaps(&array))) {
        let record = grad_enabled() && all.iter().any(|t| t.requires_grad());
        inplace(self_, record, false, &|t| Ok(Ret::Tensor(make(t, false)?)))?;
        return Ok(self_.clone());
    }
    autograd::check_inplace(self_, false)?;
    check_writable(&array, &[])?;
    make(self_, true)?;
    self_.bump_version();
    Ok(self_.clone())
}

/// The in-place form of any operator: computed on the old value, then written over it, taking over the history.
fn inplace(
    target: &Tensor,
    record: bool,
    exact: bool,
    compute: &dyn Fn(&Tensor) -> Result<Ret>,
) -> Result<Ret> {
    autograd::check_inplace(target, record)?;
    let array = target.array();
    check_writable(&array, &[])?;
    let result = if record {
        // The graph must see the old value, which is about to be overwritten.
        let old = ops::shape::clone_dense(&target.alias())?;
        if let Some(edge) = target.gradient_edge() {
            old.meta_mut(|m| {
                m.grad_fn = Some(edge.node);
                m.output_nr = edge.input;
            });
        }
        compute(&old)?
    } else {
        compute(target)?
    };
    let Ret::Tensor(result) = result else { bail!("the operator has no in-place form") };
    let sizes = result.sizes();
    if sizes != array.sizes {
        bail!("output with shape {} doesn't match the broadcast shape {}", show(&array.sizes), show(&sizes));
    }
    if exact && result.dtype() != array.dtype {
        bail!(
            "the tensor to change has dtype {} but the operation's result requires dtype {}",
            array.dtype.cpp_name(),
            result.dtype().cpp_name()
        );
    }
    check_castable(result.dtype(), array.dtype)?;
    copy_data(target, &result)?;
    target.bump_version();
    if record && let Some(node) = result.grad_fn() {
        autograd::rebase_history(target, node)?;
    }
    Ok(Ret::Tensor(target.clone()))
}

/// The same argument, borrowed.
pub fn reborrow<'a>(arg: &'a Arg) -> Arg<'a> {
    match arg {
        Arg::None => Arg::None,
        Arg::Tensor(t) => Arg::Tensor(t),
        Arg::Owned(t) => Arg::Tensor(t),
        Arg::Tensors(v) => Arg::Tensors(v.clone()),
        Arg::OptTensors(v) => Arg::OptTensors(v.clone()),
        Arg::Scalar(s) => Arg::Scalar(*s),
        Arg::Scalars(s) => Arg::Scalars(s.clone()),
        Arg::Int(i) => Arg::Int(*i),
        Arg::Ints(i) => Arg::Ints(i.clone()),
        Arg::Float(f) => Arg::Float(*f),
        Arg::Floats(f) => Arg::Floats(f.clone()),
        Arg::Bool(b) => Arg::Bool(*b),
        Arg::Bools(b) => Arg::Bools(b.clone()),
        Arg::Str(s) => Arg::Str(std::borrow::Cow::Borrowed(s)),
        Arg::DType(d) => Arg::DType(*d),
        Arg::Device(d) => Arg::Device(*d),
        Arg::Layout(d) => Arg::Layout(*d),
        Arg::MemoryFormat(d) => Arg::MemoryFormat(*d),
        Arg::Generator(g) => Arg::Generator(g),
    }
}

/// Writes the elements of `src` to `dst`, to whose sizes they broadcast, converting; nothing is recorded.
pub fn copy_data(dst: &Tensor, src: &Tensor) -> Result<()> {
    copy_array(&dst.array(), &src.array())
}

/// As [`copy_data`], for arrays.
pub fn copy_array(d: &Array, s: &Array) -> Result<()> {
    let n = d.numel();
    if d.device().is_meta() || s.device().is_meta() || n == 0 {
        return Ok(());
    }
    if d.dtype == s.dtype && d.sizes == s.sizes && d.is_contiguous() && s.is_contiguous() {
        // SAFETY: both are blocks of n elements within their storages.
        unsafe { flambeau_cpu::copy::bytes(d.data_ptr(), s.data_ptr(), n * d.dtype.size()) };
        return Ok(());
    }
    let source = Operand {
        pointer: s.data_ptr(),
        dtype: s.dtype,
        strides: crate::pointwise::expanded_strides(s, &d.sizes),
    };
    if d.overlaps(s) && !d.same_view(s) {
        let copy = ops::shape::clone_dense(&Tensor::from_array(s.clone()))?;
        return copy_array(d, &copy.array());
    }
    // SAFETY: arrays lie within their storages; overlapping ones were copied first.
    unsafe { flambeau_cpu::copy::copy(&operand(d), &source, &d.sizes) }
}

/// Parts of a result that are copied by one thread, in bytes.
const JOINED: usize = 1 << 18;

/// Dense arrays of one dtype, one after the other along dimension `d` of a result of the given sizes; none where they
/// differ, or are worth another way.
pub fn joined(
    arrays: &[impl std::ops::Deref<Target = Array>],
    sizes: &[i64],
    d: usize,
    dtype: DType,
) -> Result<Option<Tensor>> {
    let item = dtype.size();
    let mut bytes = 0usize;
    for a in arrays {
        let (n, dense) = a.extent();
        if !dense || a.dtype != dtype || !a.device().is_cpu() {
            return Ok(None);
        }
        bytes = bytes.saturating_add(n.saturating_mul(item));
    }
    let outer = flambeau_core::count(&sizes[..d]) as usize;
    let whole = (flambeau_core::count(sizes) as usize).saturating_mul(item);
    if bytes == 0 || bytes > JOINED || whole != bytes {
        return Ok(None);
    }
    let (out, to) = Tensor::empty_at(sizes, dtype, Device::CPU)?;
    let mut at = 0;
    for i in 0..outer {
        for a in arrays {
            let block = a.numel() * item / outer;
            // SAFETY: the blocks of an array lie within it, as it is dense; all together, they are as long as the result.
            unsafe { std::ptr::copy_nonoverlapping(a.data_ptr().add(i * block), to.add(at), block) };
            at += block;
        }
    }
    Ok(Some(out))
}

/// The sum of two gradients.
pub fn grad_add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    if ops::sparse::any(&[a, b]) {
        return ops::sparse::add_into(a, b);
    }
    crate::generated::functions::add(a, b, 1i64.into())
}

/// Adds to a gradient in place.
pub fn grad_add_(a: &Tensor, b: &Tensor) -> Result<()> {
    crate::pointwise::run_(&crate::generated::defs::ADD, &[a, b], &[crate::ParamValue::Scalar(1i64.into())])
        .map(|_| ())
}

/// Sums the dimensions that were broadcast from `sizes`; differentiable.
pub fn sum_to_size(t: &Tensor, sizes: &[i64]) -> Result<Tensor> {
    let from = t.sizes();
    if from[..] == *sizes {
        return Ok(t.clone());
    }
    let lead = from.len() - sizes.len();
    let dims: Dims = (0..from.len())
        .filter(|&d| d < lead || (sizes[d - lead] == 1 && from[d] != 1))
        .map(|d| d as i64)
        .collect();
    let out = ops::reduce::sum_dim(t, Some(&dims), true, None)?;
    if lead > 0 { ops::shape::view(&out, sizes) } else { Ok(out) }
}

/// A gradient in the dtype of the tensor that it belongs to: complex to real takes the real part.
pub fn convert_grad(grad: &Tensor, dtype: DType) -> Result<Tensor> {
    ops::shape::to_dtype(grad, dtype)
}

/// Whether any element is NaN.
pub fn any_nan(t: &Tensor) -> Result<bool> {
    if !t.dtype().is_differentiable() || t.is_meta() {
        return Ok(false);
    }
    let dense = ops::shape::clone_dense(&t.alias())?.array();
    let n = dense.numel();
    Ok(dispatch!(compute dense.dtype, T => {
        let mut tile: Vec<T> = vec![Default::default(); n];
        // SAFETY: a dense array of n elements.
        unsafe { flambeau_cpu::pointwise::load(dense.data_ptr(), dense.dtype, 1, tile.as_mut_ptr(), n) };
        #[allow(clippy::eq_op)]
        tile.iter().any(|v| v != v)
    }))
}

/// Whether any element of an integer array is zero.
pub fn any_zero(a: &Array) -> Result<bool> {
    if a.numel() == 0 || a.device().is_meta() {
        return Ok(false);
    }
    let t = ops::shape::clone_dense(&Tensor::from_array(a.clone()))?.array();
    let n = t.numel();
    let mut values = vec![0i64; n];
    // SAFETY: a dense array of n elements.
    unsafe { flambeau_cpu::pointwise::load(t.data_ptr(), t.dtype, 1, values.as_mut_ptr(), n) };
    Ok(values.contains(&0))
}

/// A tensor times a number; differentiable.
pub fn scale(t: &Tensor, factor: flambeau_core::Scalar) -> Result<Tensor> {
    crate::generated::functions::mul_scalar(t, factor)
}

/// Zeros of given sizes in the dtype and on the device of a gradient.
pub fn zeros_like_grad(grad: &Tensor, sizes: &[i64]) -> Result<Tensor> {
    let (dtype, device) = (grad.dtype(), grad.device());
    Tensor::zeros_raw(sizes, dtype, device)
}
