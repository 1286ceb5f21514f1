//! Python's operators on tensors: `a + b`, `a < b`, `-a`, `bool(a)`. Number slots, called by the interpreter.

use crate::errors::{IntoPy, guard};
use crate::object;
use crate::parse::{Args, scalar_of, wrapped_number};
use flambeau::pointwise;
use flambeau::schema::{Arg, Call, Default, Kind, OpDef, Overload, Ret, Target};
use flambeau::{ParamValue, Scalar, Tensor};
use pyo3::Borrowed;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::ffi::{self, PyObject};
use pyo3::prelude::*;
use smallvec::SmallVec;
use std::ffi::c_int;
use std::sync::OnceLock;

/// The overloads of an operator by what its operands are.
pub struct Binary {
    /// tensor, tensor
    tensors: Option<&'static Overload>,
    /// tensor, number
    right: Option<&'static Overload>,
    /// number, tensor
    left: Option<&'static Overload>,
}

/// Finds an operator by name.
pub fn find(name: &str) -> Option<&'static OpDef> {
    flambeau::generated::OPS
        .binary_search_by(|op| op.name.cmp(name))
        .ok()
        .map(|i| &flambeau::generated::OPS[i])
}

impl Binary {
    fn new(name: &'static str) -> Option<Binary> {
        let op = find(name)?;
        let pick = |a: Kind, b: Kind| {
            op.overloads.iter().find(|o| {
                o.params.len() >= 2
                    && o.params[0].kind == a
                    && o.params[1].kind == b
                    && o.params[2..].iter().all(|p| p.default != Default::Required)
            })
        };
        Some(Binary {
            tensors: pick(Kind::Tensor, Kind::Tensor),
            right: pick(Kind::Tensor, Kind::Scalar),
            left: pick(Kind::Scalar, Kind::Tensor),
        })
    }
}

enum Side<'a> {
    Tensor(&'a Tensor),
    Number(Scalar),
}

/// The operand that an object is, or none if operators do not take it.
unsafe fn side<'a>(py: Python<'_>, object: *mut PyObject) -> PyResult<Option<Side<'a>>> {
    // SAFETY: the interpreter keeps operands alive during the call.
    unsafe {
        if let Some(t) = object::borrow(object) {
            return Ok(Some(Side::Tensor(t)));
        }
        Ok(scalar_of(&Borrowed::from_ptr(py, object))?.map(Side::Number))
    }
}

/// The value of a parameter that is not given.
fn default_value(default: Default) -> ParamValue<'static> {
    match default {
        Default::Int(v) => ParamValue::Scalar(Scalar::Int(v)),
        Default::Bool(v) => ParamValue::Scalar(Scalar::Bool(v)),
        Default::Float(v) => ParamValue::Scalar(Scalar::Float(v)),
        Default::Str(s) => ParamValue::Str(s),
        _ => ParamValue::None,
    }
}

/// Runs an overload on two operands, the first of which may be a number, or the second.
fn run(overload: &'static Overload, a: Side, b: Side, inplace: bool) -> PyResult<Tensor> {
    // Straight from the operands where they are what the declaration says: parsed arguments are large to move.
    if let Some(def) = overload.pointwise
        && def.params.len() <= 4
        && !flambeau::profile::on()
    {
        let operands: Option<([&Tensor; 2], _)> = match (def.tensors, &a, &b) {
            ([0, 1], Side::Tensor(x), Side::Tensor(y)) => Some(([x, y], None)),
            ([0], Side::Tensor(x), Side::Number(s)) => Some(([x, x], Some((1, *s)))),
            ([1], Side::Number(s), Side::Tensor(y)) => Some(([y, y], Some((0, *s)))),
            _ => None,
        };
        if let Some((tensors, number)) = operands {
            let mut params = [ParamValue::None; 4];
            for (to, &i) in params.iter_mut().zip(def.params) {
                *to = match number {
                    Some((at, s)) if i == at => ParamValue::Scalar(s),
                    _ => default_value(overload.params[i as usize].default),
                };
            }
            let (tensors, params) = (&tensors[..def.tensors.len()], &mut params[..def.params.len()]);
            return pointwise::run_on(def, tensors, params, inplace).py();
        }
    }
    run_args(overload, a, b, inplace)
}

#[inline(never)]
fn run_args(overload: &'static Overload, a: Side, b: Side, inplace: bool) -> PyResult<Tensor> {
    let target = if inplace { Target::InPlace } else { Target::Fresh };
    let mut args = Args::default();
    for side in [a, b] {
        match side {
            Side::Tensor(t) => args.put(Arg::Tensor(t)),
            Side::Number(s) => args.put(Arg::Scalar(s)),
        }
    }
    for param in overload.params.get(2..).unwrap_or_default() {
        match param.default {
            Default::Int(v) => args.put(Arg::Int(v)),
            Default::Bool(v) => args.put(Arg::Bool(v)),
            Default::Float(v) => args.put(Arg::Float(v)),
            Default::Str(s) => args.put(Arg::Str(s.into())),
            _ => args.put(Arg::None),
        }
    }
    let args = args.as_slice();
    let _span = crate::profile::called(overload, &args[..2], &target);
    match (overload.call)(&Call { args, target }).py()? {
        Ret::Tensor(t) => Ok(t),
        _ => Err(PyRuntimeError::new_err("an operator did not return a tensor")),
    }
}

/// Applies an operator with two operands, of which at least one is a tensor.
fn apply(binary: &Binary, a: Side, b: Side, inplace: bool) -> PyResult<Option<Tensor>> {
    Ok(Some(match (a, b) {
        (a @ Side::Tensor(_), b @ Side::Tensor(_)) => match binary.tensors {
            Some(o) => run(o, a, b, inplace)?,
            None => return Ok(None),
        },
        (a @ Side::Tensor(_), Side::Number(s)) => match (binary.right, binary.tensors) {
            (Some(o), _) => run(o, a, Side::Number(s), inplace)?,
            (None, Some(o)) => run(o, a, Side::Tensor(&wrapped_number(s)?), inplace)?,
            _ => return Ok(None),
        },
        (Side::Number(s), b @ Side::Tensor(_)) => match (binary.left, binary.tensors) {
            (Some(o), _) => run(o, Side::Number(s), b, inplace)?,
            (None, Some(o)) => run(o, Side::Tensor(&wrapped_number(s)?), b, inplace)?,
            _ => return Ok(None),
        },
        _ => return Ok(None),
    }))
}

unsafe fn not_implemented() -> *mut PyObject {
    // SAFETY: the singleton lives for ever.
    unsafe {
        let object = ffi::Py_NotImplemented();
        ffi::Py_INCREF(object);
        object
    }
}

/// The function by which overrides and modes know a binary operator, and whether its operands are exchanged: methods of the
/// tensor have PyTorch's names.
fn asked_as(dunder: &'static str, reflected: bool) -> (&'static str, bool) {
    match (dunder, reflected) {
        ("__add__", _) => ("add", reflected),
        ("__mul__", _) => ("mul", reflected),
        ("__and__", true) => ("bitwise_and", true),
        ("__or__", true) => ("bitwise_or", true),
        ("__xor__", true) => ("bitwise_xor", true),
        ("__sub__", true) => ("__rsub__", true),
        ("__truediv__", true) => ("__rtruediv__", true),
        ("__mod__", true) => ("__rmod__", true),
        ("__pow__", true) => ("__rpow__", true),
        ("__floordiv__", true) => ("__rfloordiv__", true),
        ("__matmul__", true) => ("__rmatmul__", true),
        ("__lshift__", true) => ("__rlshift__", true),
        ("__rshift__", true) => ("__rrshift__", true),
        ("__sub__", _) => ("sub", false),
        ("__truediv__", _) => ("div", false),
        ("__mod__", _) => ("remainder", false),
        ("__pow__", _) => ("pow", false),
        ("__matmul__", _) => ("matmul", false),
        ("__lt__", _) => ("lt", false),
        ("__le__", _) => ("le", false),
        ("__gt__", _) => ("gt", false),
        ("__ge__", _) => ("ge", false),
        ("__iadd__", _) => ("add_", false),
        ("__isub__", _) => ("sub_", false),
        ("__imul__", _) => ("mul_", false),
        ("__itruediv__", _) => ("div_", false),
        ("__imod__", _) => ("remainder_", false),
        _ => (dunder, false),
    }
}

unsafe fn overridden(
    py: Python<'_>,
    name: &'static str,
    a: *mut PyObject,
    b: *mut PyObject,
) -> PyResult<Option<*mut PyObject>> {
    use crate::overrides::{Answer, ask, may_override, modes};
    // SAFETY: live operands.
    unsafe {
        if !may_override(a) && !may_override(b) && !modes() {
            return Ok(None);
        }
        let (name, exchanged) = asked_as(name, !object::is_tensor(a));
        let operands = if exchanged { [b, a] } else { [a, b] };
        let tensor = Bound::from_borrowed_ptr(py, object::tensor_type().cast());
        let Ok(function) = tensor.getattr(name) else { return Ok(None) };
        Ok(match ask(py, &function, &operands, std::ptr::null_mut(), &[])? {
            Answer::None => None,
            Answer::Result(result) => Some(result.into_ptr()),
            // The interpreter goes on to the other operand, and says which operator it was.
            Answer::Refused(_) => Some(not_implemented()),
        })
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Form {
    Plain,
    /// Swaps operands for number - tensor.
    Rsub,
    /// number / tensor is reciprocal * number.
    Rdiv,
    InPlace,
}

unsafe fn slot(
    cache: &'static OnceLock<Option<Binary>>,
    name: &'static str,
    dunder: &'static str,
    form: Form,
    a: *mut PyObject,
    b: *mut PyObject,
) -> *mut PyObject {
    guard(std::ptr::null_mut(), || {
        // SAFETY: called by the interpreter, which holds the GIL and keeps the operands alive.
        unsafe {
            let py = Python::assume_attached();
            let Some(binary) = cache.get_or_init(|| Binary::new(name)).as_ref() else {
                return Ok(not_implemented());
            };
            let exact = object::is_exact(a) && object::is_exact(b);
            // Two tensors first, which all forms treat alike.
            if exact
                && !crate::overrides::modes()
                && let (Some(overload), Some(x), Some(y)) =
                    (binary.tensors, object::borrow(a), object::borrow(b))
            {
                let inplace = form == Form::InPlace;
                let result = run(overload, Side::Tensor(x), Side::Tensor(y), inplace)?;
                if inplace {
                    ffi::Py_INCREF(a);
                    return Ok(a);
                }
                return Ok(object::wrap_raw(result));
            }
            if (!exact || crate::overrides::modes())
                && let Some(result) = overridden(py, dunder, a, b)?
            {
                return Ok(result);
            }
            // Arrays take part in `==` and as the right operand of arithmetic.
            let array = if !object::is_tensor(b)
                && ffi::PyFloat_CheckExact(b) == 0
                && matches!(name, "eq" | "add" | "sub" | "mul" | "div")
            {
                let right = Bound::from_borrowed_ptr(py, b);
                if crate::parse::is_numpy(&right) && right.hasattr("__len__")? {
                    crate::numpy::from_array_like(&right)?
                } else {
                    None
                }
            } else {
                None
            };
            let right = match &array {
                Some(t) => Some(Side::Tensor(t)),
                None => side(py, b)?,
            };
            let (Some(x), Some(y)) = (side(py, a)?, right) else { return Ok(not_implemented()) };
            let result = match (form, &x, &y) {
                (Form::Rsub, Side::Number(_), Side::Tensor(t)) => {
                    static RSUB: OnceLock<Option<Binary>> = OnceLock::new();
                    let Some(rsub) = RSUB.get_or_init(|| Binary::new("rsub")).as_ref() else {
                        return Ok(not_implemented());
                    };
                    apply(rsub, Side::Tensor(t), x, false)?
                }
                (Form::Rdiv, Side::Number(s), Side::Tensor(t)) => {
                    let r = call_unary("reciprocal", t)?;
                    static MUL: OnceLock<Option<Binary>> = OnceLock::new();
                    let Some(mul) = MUL.get_or_init(|| Binary::new("mul")).as_ref() else {
                        return Ok(not_implemented());
                    };
                    apply(mul, Side::Tensor(&r), Side::Number(*s), false)?
                }
                (Form::InPlace, ..) => {
                    if apply(binary, x, y, true)?.is_none() {
                        return Ok(not_implemented());
                    }
                    ffi::Py_INCREF(a);
                    return Ok(a);
                }
                // Addition and multiplication commute: the graph sees the tensor first.
                (_, Side::Number(_), Side::Tensor(_))
                    if matches!(name, "add" | "mul" | "bitwise_and" | "bitwise_or" | "bitwise_xor") =>
                {
                    apply(binary, y, x, false)?
                }
                _ => apply(binary, x, y, false)?,
            };
            Ok(match result {
                Some(t) => object::wrap_raw(t),
                None => not_implemented(),
            })
        }
    })
}

macro_rules! slots {
    ($($(#[$m:meta])* $f:ident: $op:literal, $dunder:literal, $form:ident;)*) => { $(
        pub unsafe extern "C" fn $f(a: *mut PyObject, b: *mut PyObject) -> *mut PyObject {
            static CACHE: OnceLock<Option<Binary>> = OnceLock::new();
            // SAFETY: passed on from the interpreter.
            unsafe { slot(&CACHE, $op, $dunder, Form::$form, a, b) }
        }
    )* };
}
slots! {
    add: "add", "__add__", Plain;
    sub: "sub", "__sub__", Rsub;
    mul: "mul", "__mul__", Plain;
    div: "div", "__truediv__", Rdiv;
    floor_divide: "floor_divide", "__floordiv__", Plain;
    remainder: "remainder", "__mod__", Plain;
    matmul: "matmul", "__matmul__", Plain;
    and: "bitwise_and", "__and__", Plain;
    or: "bitwise_or", "__or__", Plain;
    xor: "bitwise_xor", "__xor__", Plain;
    lshift: "bitwise_left_shift", "__lshift__", Plain;
    rshift: "bitwise_right_shift", "__rshift__", Plain;
    iadd: "add", "__iadd__", InPlace;
    isub: "sub", "__isub__", InPlace;
    imul: "mul", "__imul__", InPlace;
    idiv: "div", "__itruediv__", InPlace;
    ifloor_divide: "floor_divide", "__ifloordiv__", InPlace;
    iremainder: "remainder", "__imod__", InPlace;
    iand: "bitwise_and", "__iand__", InPlace;
    ior: "bitwise_or", "__ior__", InPlace;
    ixor: "bitwise_xor", "__ixor__", InPlace;
    ilshift: "bitwise_left_shift", "__ilshift__", InPlace;
    irshift: "bitwise_right_shift", "__irshift__", InPlace;
}

pub unsafe extern "C" fn power(a: *mut PyObject, b: *mut PyObject, _modulus: *mut PyObject) -> *mut PyObject {
    static CACHE: OnceLock<Option<Binary>> = OnceLock::new();
    // SAFETY: passed on from the interpreter.
    unsafe { slot(&CACHE, "pow", "__pow__", Form::Plain, a, b) }
}
pub unsafe extern "C" fn ipower(
    a: *mut PyObject,
    b: *mut PyObject,
    _modulus: *mut PyObject,
) -> *mut PyObject {
    static CACHE: OnceLock<Option<Binary>> = OnceLock::new();
    // SAFETY: passed on from the interpreter.
    unsafe { slot(&CACHE, "pow", "__ipow__", Form::InPlace, a, b) }
}

/// Calls an operator of one tensor by name.
pub fn call_unary(name: &'static str, t: &Tensor) -> PyResult<Tensor> {
    let overload = find(name)
        .and_then(|op| op.overloads.iter().find(|o| o.params.first().is_some_and(|p| p.kind == Kind::Tensor)))
        .ok_or_else(|| PyRuntimeError::new_err(format!("operator {name} is missing")))?;
    let mut args: SmallVec<[Arg; 4]> = SmallVec::new();
    args.push(Arg::Tensor(t));
    args.extend(overload.params[1..].iter().map(|_| Arg::None));
    let _span = crate::profile::called(overload, &args, &Target::Fresh);
    match overload.run(name, &Call { args: &args, target: Target::Fresh }).py()? {
        Ret::Tensor(t) => Ok(t),
        _ => Err(PyRuntimeError::new_err("an operator did not return a tensor")),
    }
}

macro_rules! unary_slots {
    ($($f:ident: $op:literal;)*) => { $(
        pub unsafe extern "C" fn $f(a: *mut PyObject) -> *mut PyObject {
            guard(std::ptr::null_mut(), || {
                // SAFETY: called by the interpreter on a tensor.
                unsafe {
                    if crate::overrides::modes() || crate::overrides::asks(a) {
                        let py = Python::assume_attached();
                        let name = if $op == "bitwise_not" { "__invert__" } else { $op };
                        if let Some(r) = crate::overrides::call_method(py, name, &[a])? {
                            return Ok(r.into_ptr());
                        }
                    }
                    match object::borrow(a) {
                        Some(t) => Ok(object::wrap_raw(call_unary($op, t)?)),
                        None => Ok(not_implemented()),
                    }
                }
            })
        }
    )* };
}
unary_slots! {
    negative: "neg";
    absolute: "abs";
    invert_integers: "bitwise_not";
}

pub unsafe extern "C" fn invert(a: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by the interpreter on a tensor.
    if unsafe { object::borrow(a) }.is_some_and(|t| !t.dtype().is_integral_or_bool()) {
        return guard(std::ptr::null_mut(), || {
            Err(pyo3::exceptions::PyTypeError::new_err(
                "~ (operator.invert) is only implemented on integer and Boolean-type tensors",
            ))
        });
    }
    // SAFETY: passed on.
    unsafe { invert_integers(a) }
}

pub unsafe extern "C" fn positive(a: *mut PyObject) -> *mut PyObject {
    // SAFETY: called by the interpreter on a tensor.
    unsafe { ffi::Py_INCREF(a) };
    a
}

/// The single element of a tensor as a number of Python's, for `int()` and `float()`.
fn number(object: *mut PyObject) -> PyResult<Scalar> {
    // SAFETY: called by the interpreter on a tensor.
    if let Some(t) = unsafe { object::borrow(object) } {
        if t.requires_grad() {
            flambeau::warn_once!(
                "Converting a tensor with requires_grad=True to a scalar may lead to unexpected behavior.\n\
                     Consider using tensor.detach() first.",
            );
        }
        if t.numel() != 1 {
            return Err(PyValueError::new_err("only one element tensors can be converted to Python scalars"));
        }
    }
    element(object)
}

/// The single element of a tensor, for `bool()`.
fn element(object: *mut PyObject) -> PyResult<Scalar> {
    // SAFETY: called by the interpreter on a tensor.
    let Some(t) = (unsafe { object::borrow(object) }) else {
        return Err(PyRuntimeError::new_err("not a tensor"));
    };
    t.item().py()
}

pub unsafe extern "C" fn truth(a: *mut PyObject) -> c_int {
    guard(-1, || {
        // SAFETY: called by the interpreter on a tensor.
        if let Some(t) = unsafe { object::borrow(a) } {
            let n = t.numel();
            if n != 1 {
                return Err(PyRuntimeError::new_err(if n == 0 {
                    "Boolean value of Tensor with no values is ambiguous"
                } else {
                    "Boolean value of Tensor with more than one value is ambiguous"
                }));
            }
        }
        Ok(element(a)?.to_bool() as c_int)
    })
}

pub unsafe extern "C" fn to_float(a: *mut PyObject) -> *mut PyObject {
    guard(std::ptr::null_mut(), || {
        let v = number(a)?;
        if let Scalar::Complex(c) = v
            && c.im != 0.0
        {
            return Err(PyRuntimeError::new_err("value cannot be converted to type double without overflow"));
        }
        // SAFETY: the GIL is held by the calling interpreter.
        Ok(unsafe { ffi::PyFloat_FromDouble(v.to_f64()) })
    })
}

pub unsafe extern "C" fn to_int(a: *mut PyObject) -> *mut PyObject {
    guard(std::ptr::null_mut(), || {
        // SAFETY: the GIL is held by the calling interpreter.
        unsafe {
            match number(a)? {
                Scalar::Float(f) => {
                    let object = ffi::PyLong_FromDouble(f);
                    if object.is_null() { Err(PyErr::fetch(Python::assume_attached())) } else { Ok(object) }
                }
                Scalar::Complex(c) if c.im != 0.0 => {
                    Err(PyRuntimeError::new_err("value cannot be converted to type int64_t without overflow"))
                }
                Scalar::UInt(v) => Ok(ffi::PyLong_FromUnsignedLongLong(v)),
                other => Ok(ffi::PyLong_FromLongLong(other.to_i64())),
            }
        }
    })
}

pub unsafe extern "C" fn to_index(a: *mut PyObject) -> *mut PyObject {
    guard(std::ptr::null_mut(), || {
        // SAFETY: called by the interpreter on a tensor, with the GIL.
        unsafe {
            match object::borrow(a) {
                Some(t) if t.dtype().is_integral_or_bool() && t.numel() == 1 => {
                    Ok(ffi::PyLong_FromLongLong(element(a)?.to_i64()))
                }
                _ => Err(pyo3::exceptions::PyTypeError::new_err(
                    "only integer tensors of a single element can be converted to an index",
                )),
            }
        }
    })
}

pub unsafe extern "C" fn richcompare(a: *mut PyObject, b: *mut PyObject, op: c_int) -> *mut PyObject {
    static EQ: OnceLock<Option<Binary>> = OnceLock::new();
    static NE: OnceLock<Option<Binary>> = OnceLock::new();
    static LT: OnceLock<Option<Binary>> = OnceLock::new();
    static LE: OnceLock<Option<Binary>> = OnceLock::new();
    static GT: OnceLock<Option<Binary>> = OnceLock::new();
    static GE: OnceLock<Option<Binary>> = OnceLock::new();
    let (cache, name, dunder): (&'static OnceLock<Option<Binary>>, _, _) = match op {
        ffi::Py_EQ => (&EQ, "eq", "__eq__"),
        ffi::Py_NE => (&NE, "ne", "__ne__"),
        ffi::Py_LT => (&LT, "lt", "__lt__"),
        ffi::Py_LE => (&LE, "le", "__le__"),
        ffi::Py_GT => (&GT, "gt", "__gt__"),
        _ => (&GE, "ge", "__ge__"),
    };
    // SAFETY: passed on from the interpreter.
    unsafe { slot(cache, name, dunder, Form::Plain, a, b) }
}
