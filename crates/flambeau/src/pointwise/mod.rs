//! Pointwise operators: declared expressions, their derivatives, and their execution over broadcast operands.

pub mod checks;
mod dag;
mod derive;
pub mod expr;
mod flat;
mod gradient;
mod promote;
mod resolve;
mod variant;

pub use expr::PointwiseDef;
pub use promote::{common_dtype, result_type};
pub use variant::ParamValue;

use crate::autograd;
use crate::schema::{Arg, Call, Ret, Target};
use crate::{Tensor, ops};
use expr::Promote;
use flambeau_core::{Array, DType, Dims, Init, Result, Scalar, bail, broadcast_shapes, show};
use flambeau_cpu::pointwise::{Operand, Operation, Prim, Source};
use gradient::Plan;
use parking_lot::RwLockReadGuard;
use resolve::Resolved;
use smallvec::SmallVec;
use std::cmp::Ordering;
use variant::Variant;

/// Where the result goes.
#[derive(Clone, Copy)]
enum Dest<'a> {
    Fresh,
    InPlace,
    Out(&'a Tensor),
}

impl Dest<'_> {
    fn is_inplace(&self) -> bool {
        matches!(self, Dest::InPlace)
    }
}

type Params = SmallVec<[Scalar; 2]>;

/// Runs a declared operator on parsed arguments.
pub fn call(def: &'static PointwiseDef, call: &Call) -> Result<Ret> {
    let mut tensors: SmallVec<[&Tensor; 4]> = SmallVec::new();
    for &i in def.tensors {
        tensors.push(call.tensor(i as usize)?);
    }
    let mut few = [ParamValue::None; 4];
    let mut many = Vec::new();
    let params = match def.params.len() {
        n @ 0..=4 => &mut few[..n],
        n => {
            many.resize(n, ParamValue::None);
            &mut many[..]
        }
    };
    for (to, &i) in params.iter_mut().zip(def.params) {
        *to = match &call.args[i as usize] {
            Arg::None => ParamValue::None,
            Arg::Str(s) => ParamValue::Str(s),
            Arg::Bool(b) => ParamValue::Scalar(Scalar::Bool(*b)),
            _ => ParamValue::Scalar(call.scalar(i as usize)?),
        };
    }
    let dest = match call.target {
        Target::Fresh => Dest::Fresh,
        Target::InPlace => Dest::InPlace,
        Target::Out([out]) => Dest::Out(out),
        Target::Out(outs) => bail!("expected one out tensor, got {}", outs.len()),
    };
    apply(def, &tensors, params, dest).map(Ret::Tensor)
}

/// Runs a declared operator: the Rust functions are thin wrappers of this.
pub fn run(def: &'static PointwiseDef, tensors: &[&Tensor], params: &[ParamValue]) -> Result<Tensor> {
    apply(def, tensors, &mut SmallVec::<[ParamValue; 4]>::from_slice(params), Dest::Fresh)
}

/// The in-place form, writing to the first tensor.
pub fn run_(def: &'static PointwiseDef, tensors: &[&Tensor], params: &[ParamValue]) -> Result<Tensor> {
    apply(def, tensors, &mut SmallVec::<[ParamValue; 4]>::from_slice(params), Dest::InPlace)
}

/// As [`run`] or [`run_`], on parameters that may be changed: numbers among them become what meets the tensors.
pub fn run_on(
    def: &'static PointwiseDef,
    tensors: &[&Tensor],
    params: &mut [ParamValue],
    inplace: bool,
) -> Result<Tensor> {
    apply(def, tensors, params, if inplace { Dest::InPlace } else { Dest::Fresh })
}

fn apply(
    def: &'static PointwiseDef,
    tensors: &[&Tensor],
    params: &mut [ParamValue],
    dest: Dest,
) -> Result<Tensor> {
    if ops::sparse::any(tensors) {
        return match dest {
            Dest::Out(_) => bail!(NotImplemented, "{}(): out= is not supported for sparse tensors", def.name),
            dest => ops::sparse::pointwise(def, tensors, params, dest.is_inplace()),
        };
    }
    let tracked = autograd::needs_grad(tensors);
    let arrays = held(tensors);
    let to = resolve::resolve(def, tensors, &arrays, params)?;
    if dest.is_inplace() && to.result != to.compute && to.compute.is_complex() && def.promote == Promote::Real
    {
        bail!("In-place {} is not supported for complex tensors.", def.name);
    }
    let record = tracked && !def.detached && to.result.is_differentiable();
    if matches!(dest, Dest::Fresh) || (dest.is_inplace() && !tracked) {
        let consts = |out: &mut _| to.variant.fill(out, |i| params.get(i).and_then(resolve::value));
        if let Some(out) = flat::run(&to, tensors, &arrays, consts, dest.is_inplace())? {
            drop(arrays);
            if record {
                let plan = Plan::new(to.variant, tensors);
                let node = plan.node(&to, def.backward_name, tensors, &out, resolve::values(params))?;
                return Ok(out.computed_by(node));
            }
            return Ok(out);
        }
    }
    drop(arrays);
    execute(&to, def.backward_name, tensors, resolve::values(params), record, dest, def.name)
}

/// An array that nobody changes meanwhile.
pub(crate) type Held<'a> = RwLockReadGuard<'a, Array>;

/// The arrays of tensors, held in place.
pub(crate) fn held<'a>(tensors: &[&'a Tensor]) -> SmallVec<[Held<'a>; 3]> {
    let mut out = SmallVec::new();
    for t in tensors {
        out.push(t.read());
    }
    out
}

/// Computes, delivers and records one expression of operands of any shape and layout.
fn execute(
    to: &Resolved,
    backward_name: &'static str,
    tensors: &[&Tensor],
    params: Params,
    record: bool,
    dest: Dest,
    name: &str,
) -> Result<Tensor> {
    let Resolved { variant, compute, result } = *to;
    let arrays: SmallVec<[Array; 3]> = tensors.iter().map(|t| t.array()).collect();
    let mut sizes: Dims = match arrays.first() {
        Some(a) => a.sizes.clone(),
        None => Dims::new(),
    };
    for a in arrays.iter().skip(1) {
        if a.sizes != sizes {
            sizes = broadcast_shapes(&sizes, &a.sizes)?;
        }
    }
    let device = ops::common_device(tensors)?;
    if !sizes.contains(&0) {
        check_divisors(variant, compute, &arrays, &params)?;
    }
    let out = match dest {
        Dest::Fresh => {
            let strides = result_strides(&sizes, &arrays);
            Tensor::from_array(match strides {
                Some(strides) => Array::empty_strided(&sizes, strides, result, device, Init::Uninit)?,
                None => Array::empty(&sizes, result, device, Init::Uninit)?,
            })
        }
        Dest::InPlace => {
            let target = tensors[0];
            if arrays[0].sizes != sizes {
                bail!(
                    "output with shape {} doesn't match the broadcast shape {}",
                    show(&arrays[0].sizes),
                    show(&sizes)
                );
            }
            ops::check_castable(result, arrays[0].dtype)?;
            autograd::check_inplace(target, record)?;
            target.clone()
        }
        Dest::Out(out) => {
            if autograd::grad_enabled() && (out.requires_grad() || record) {
                bail!(
                    "{name}(): functions with out=... arguments don't support automatic differentiation, but one of the arguments requires grad."
                );
            }
            ops::check_castable(result, out.dtype())?;
            if out.device() != device {
                bail!(
                    "Expected all tensors to be on the same device, but found at least two devices, {} and {}!",
                    out.device(),
                    device
                );
            }
            ops::prepare_out(out, &sizes)?;
            out.clone()
        }
    };
    let target = out.array();
    let inplace = !matches!(dest, Dest::Fresh);
    if inplace {
        ops::check_writable(&target, &arrays)?;
    }
    // What the gradient needs of the old value is copied before it is overwritten.
    let mut kept: SmallVec<[Tensor; 3]> = SmallVec::new();
    let plan = if record { Some(Plan::new(variant, tensors)) } else { None };
    if let (Some(plan), true) = (&plan, matches!(dest, Dest::InPlace)) {
        for (i, t) in tensors.iter().enumerate() {
            let overwritten = i == 0 || t.is_same(&out);
            kept.push(if overwritten && plan.saves.contains(&(i as u8)) {
                ops::shape::clone_dense(&t.alias())?
            } else {
                (*t).clone()
            });
        }
    }
    if !device.is_meta() {
        let operand = |a: &Array| Operand {
            pointer: a.data_ptr(),
            dtype: a.dtype,
            strides: expanded_strides(a, &sizes),
        };
        let inputs: SmallVec<[Operand; 4]> = arrays.iter().map(operand).collect();
        let consts = variant.constants(|i| params.get(i).copied());
        let to = operand(&target);
        // SAFETY: arrays are in bounds of their storages by construction, sizes were broadcast to `sizes`,
        // and overlapping outputs were rejected or are the very same view.
        unsafe {
            flambeau_cpu::pointwise::run(&variant.program, compute, &sizes, &to, &inputs, &consts)?;
        }
    }
    if inplace {
        out.bump_version();
    }
    if let Some(plan) = plan {
        let saved_from: SmallVec<[&Tensor; 3]> =
            if kept.is_empty() { tensors.iter().copied().collect() } else { kept.iter().collect() };
        let node = plan.node(to, backward_name, &saved_from, &out, params)?;
        match dest {
            Dest::InPlace => autograd::rebase_history(&out, node)?,
            _ => return Ok(out.computed_by(node)),
        }
    }
    Ok(out)
}

/// Strides of an operand seen at the broadcast sizes.
pub(crate) fn expanded_strides(a: &Array, sizes: &[i64]) -> Dims {
    if a.sizes[..] == *sizes {
        return a.strides.clone();
    }
    let lead = sizes.len() - a.sizes.len();
    (0..sizes.len())
        .map(|d| if d < lead || (a.sizes[d - lead] == 1 && sizes[d] != 1) { 0 } else { a.strides[d - lead] })
        .collect()
}

/// The strides of a fresh result: its dimensions are in the order of the operands' strides, so that layouts such as
/// channels_last survive. `None` means row-major.
pub(crate) fn result_strides(sizes: &[i64], arrays: &[Array]) -> Option<Dims> {
    if sizes.len() < 2 || arrays.iter().all(|a| a.is_contiguous()) {
        return None;
    }
    if let [first, rest @ ..] = arrays
        && first.sizes[..] == *sizes
        && first.is_non_overlapping_and_dense()
        && rest.iter().all(|a| a.sizes == first.sizes && a.strides == first.strides)
    {
        return Some(first.strides.clone());
    }
    let expanded: SmallVec<[Dims; 4]> = arrays.iter().map(|a| expanded_strides(a, sizes)).collect();
    // Whether a dimension should be outside another; the first operand in which both have strides decides.
    let outside = |d: usize, other: usize| {
        for strides in &expanded {
            let (a, b) = (strides[d], strides[other]);
            if a == 0 || b == 0 {
                continue;
            }
            match a.cmp(&b) {
                Ordering::Equal if sizes[d] > sizes[other] => return Ordering::Greater,
                Ordering::Equal => {}
                decided => return decided,
            }
        }
        Ordering::Equal
    };
    // The innermost first. Sorting by insertion gives an order although not all dimensions can be compared.
    let mut order: SmallVec<[usize; 5]> = (0..sizes.len()).rev().collect();
    for i in 1..order.len() {
        let mut at = i;
        for k in (0..i).rev() {
            match outside(order[k], order[at]) {
                Ordering::Greater => {
                    order.swap(k, at);
                    at = k;
                }
                Ordering::Less => break,
                Ordering::Equal => {}
            }
        }
    }
    let mut strides: Dims = SmallVec::from_elem(1, sizes.len());
    let mut stride = 1;
    for &d in &order {
        strides[d] = stride;
        stride *= sizes[d].max(1);
    }
    Some(strides)
}

/// Integer division by zero is an error, found before anything is written.
fn check_divisors(variant: &Variant, compute: DType, arrays: &[Array], params: &[Scalar]) -> Result<()> {
    if compute.compute() != DType::Int64 {
        return Ok(());
    }
    for step in &variant.program.steps {
        if let Operation::Prim(Prim::Div | Prim::FloorDiv | Prim::Fmod | Prim::Remainder) = step.operation {
            let zero = match step.args[1] {
                Source::Input(i) => ops::any_zero(&arrays[i as usize])?,
                Source::Const(i) => variant.constants(|i| params.get(i).copied())[i as usize].to_i64() == 0,
                Source::Register(_) => false,
            };
            if zero {
                bail!("ZeroDivisionError");
            }
        }
    }
    Ok(())
}
