//! From a call to what it runs: the dtype of the computation, that of the result, and the compiled expression.
//! All three follow from the declaration and from the kinds of the operands, so they are remembered.

use super::expr::{PointwiseDef, Promote};
use super::promote::{common_dtype, converted};
use super::variant::{Variant, category_bit, fixed, variant};
use super::{ParamValue, Params};
use crate::Tensor;
use flambeau_core::{Array, DType, Error, Result, Scalar};
use parking_lot::RwLock;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::ops::Deref;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicPtr, Ordering};

/// What a call runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resolved {
    pub variant: &'static Variant,
    pub compute: DType,
    pub result: DType,
}

/// A remembered resolution and what it is for.
struct Entry {
    def: usize,
    signature: u64,
    resolved: Resolved,
    common: DType,
}

/// The slots of the front table; a power of two.
const SLOTS: usize = 1024;
/// The latest entry of each slot: found without a lock.
static FRONT: [AtomicPtr<Entry>; SLOTS] = [const { AtomicPtr::new(std::ptr::null_mut()) }; SLOTS];
/// All entries. There are as many as declarations and kinds of operands in use; they are never freed.
static ENTRIES: LazyLock<RwLock<HashMap<(usize, u64), &'static Entry>>> = LazyLock::new(Default::default);

/// Everything that a resolution depends on beside the declaration, packed; none where it does not fit. Only for the
/// compute types in which numbers are used as they are given.
fn signature(
    tensors: &[&Tensor],
    arrays: &[impl Deref<Target = Array>],
    params: &[ParamValue],
) -> Option<u64> {
    if tensors.len() > 3 || params.len() > 4 {
        return None;
    }
    let mut bits = crate::default_dtype() as u64;
    for (t, a) in tensors.iter().zip(arrays) {
        bits = bits << 6
            | (a.dtype as u64) << 2
            | (a.sizes.is_empty() as u64) << 1
            | t.is_wrapped_number() as u64;
    }
    for p in params {
        let kind = match p {
            ParamValue::None => 0,
            ParamValue::Str(_) => return None,
            ParamValue::Scalar(Scalar::Bool(b)) => 1 + *b as u64,
            ParamValue::Scalar(Scalar::Int(_)) => 3,
            ParamValue::Scalar(Scalar::UInt(_)) => 4,
            ParamValue::Scalar(Scalar::Float(_)) => 5,
            ParamValue::Scalar(Scalar::Complex(_)) => 6,
        };
        let value = match fixed(p) {
            None => 15,
            Some(twice) => (twice + 6) as u64, // from -3 to 4: 0 to 14
        };
        bits = bits << 7 | kind << 4 | value;
    }
    Some(bits)
}

fn slot(def: usize, signature: u64) -> &'static AtomicPtr<Entry> {
    let hash = (signature ^ (def as u64).rotate_left(20)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    &FRONT[(hash >> 54) as usize % SLOTS]
}

/// The remembered resolution of a call.
fn remembered(def: usize, signature: u64) -> Option<&'static Entry> {
    let slot = slot(def, signature);
    // SAFETY: the table holds null or entries that are never freed.
    if let Some(entry) = unsafe { slot.load(Ordering::Acquire).as_ref() }
        && entry.def == def
        && entry.signature == signature
    {
        return Some(entry);
    }
    let entry = *ENTRIES.read().get(&(def, signature))?;
    slot.store(entry as *const Entry as *mut Entry, Ordering::Release);
    Some(entry)
}

/// Whether numbers meet tensors of this compute type unchanged.
fn takes_numbers_as_they_are(compute: DType) -> bool {
    use DType::*;
    matches!(compute, Bool | Int64 | Float32 | Float64 | Complex64 | Complex128)
}

/// The dtypes and the expression of a call, after the checks of the declaration; numbers among `params` are
/// converted to what meets the tensors.
pub(super) fn resolve(
    def: &'static PointwiseDef,
    tensors: &[&Tensor],
    arrays: &[impl Deref<Target = Array>],
    params: &mut [ParamValue],
) -> Result<Resolved> {
    let address = def as *const PointwiseDef as usize;
    let signature = signature(tensors, arrays, params);
    if let Some(entry) = signature.and_then(|s| remembered(address, s)) {
        if let Some(check) = def.check {
            check(tensors, params, entry.common)?;
        }
        let mut resolved = entry.resolved;
        if resolved.variant.decided
            && let Some(variant) = variant(def, params, resolved.compute)
        {
            resolved.variant = variant;
        }
        return Ok(resolved);
    }
    let numbers = def.promoting.iter().filter_map(|&i| match params[i as usize] {
        ParamValue::Scalar(s) => Some(s),
        _ => None,
    });
    let common = if def.promote == Promote::First {
        tensors[0].dtype()
    } else if def.conditions.is_empty() {
        common_dtype(tensors, numbers)
    } else {
        let values = tensors.iter().enumerate().filter(|(i, _)| !def.conditions.contains(&(*i as u8)));
        common_dtype(&values.map(|v| *v.1).collect::<SmallVec<[&Tensor; 2]>>(), numbers)
    };
    if let Some(check) = def.check {
        check(tensors, params, common)?;
    }
    let to_float = matches!(def.promote, Promote::Float | Promote::FloatReal) && common.is_integral_or_bool();
    let compute = if to_float { crate::default_dtype() } else { common };
    if def.dtypes & (1 << compute as u16) == 0 {
        return Err(refuse(def, compute));
    }
    let result = match def.promote {
        Promote::Bool => DType::Bool,
        Promote::Real | Promote::FloatReal => compute.to_real(),
        _ => compute,
    };
    for &i in def.promoting {
        if let ParamValue::Scalar(s) = &mut params[i as usize] {
            *s = converted(*s, compute, def);
        }
    }
    let Some(variant) = variant(def, params, compute) else { return Err(refuse(def, compute)) };
    let resolved = Resolved { variant, compute, result };
    if let Some(signature) = signature.filter(|_| takes_numbers_as_they_are(compute)) {
        ENTRIES
            .write()
            .entry((address, signature))
            .or_insert_with(|| Box::leak(Box::new(Entry { def: address, signature, resolved, common })));
    }
    Ok(resolved)
}

/// The value of a parameter that is a number.
pub(super) fn value(param: &ParamValue) -> Option<Scalar> {
    match param {
        ParamValue::Scalar(s) => Some(*s),
        _ => None,
    }
}

/// The values of the parameters, zero for those that are no numbers.
pub(super) fn values(params: &[ParamValue]) -> Params {
    let mut out = Params::new();
    for p in params {
        out.push(value(p).unwrap_or(Scalar::Int(0)));
    }
    out
}

/// The error for a dtype that an operator does not serve.
#[cold]
fn refuse(def: &PointwiseDef, dtype: DType) -> Error {
    match def.refusals.iter().find(|r| r.0 & category_bit(dtype) != 0) {
        Some((_, kind, text)) => Error::new(*kind, *text),
        None => Error::not_implemented(format!(
            "\"{}\" not implemented for '{}'",
            def.kernel_name,
            dtype.cpp_name()
        )),
    }
}
