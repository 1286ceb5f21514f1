"""Batching rules of operators that work element by element."""

import flambeau as torch

from ._batched import Batched
from ._operators import EXPRESSION, Unbatchable, bound, rule

Tensor = torch.Tensor

_MORE = """isclose float_power nextafter complex polar square nan_to_num clamp where max min logaddexp positive conj real
    imag clone contiguous alias detach resolve_conj resolve_neg frexp to bool byte char short int long half float double
    bfloat16 cfloat cdouble zeros_like ones_like empty_like full_like zero_ copy_ detach_ detach_copy alias_copy
    type_as view_as_real_copy isreal polygamma mvlgamma masked_fill dropout alpha_dropout div"""
"""Names besides those whose declaration is an expression."""


def aligned(value, rank):
    """A value whose logical dimensions broadcast with `rank` others from the right."""
    missing = rank + 1 - value.ndim
    if missing <= 0:
        return value
    shape = value.shape
    return value.reshape((shape[0],) + (1,) * missing + tuple(shape[1:]))


def _category(dtype):
    return 3 if dtype.is_complex else 2 if dtype.is_floating_point else 0 if dtype is torch.bool else 1


def _common_type(tensors):
    """The dtype that operands promote to by their logical dimensions."""
    whole, single = None, None
    for tensor in tensors:
        if tensor.ndim:
            whole = tensor.dtype if whole is None else torch.promote_types(whole, tensor.dtype)
        else:
            single = tensor.dtype if single is None else torch.promote_types(single, tensor.dtype)
    if whole is None or single is None:
        return whole or single
    return torch.promote_types(whole, single) if _category(single) > _category(whole) else whole


def align(level, args, skip=0, promote=True):
    """Operands with the hidden dimension in front, padded so that they broadcast as what the user sees does.

    Numbers of dimensions decide how dtypes promote, so that operands of several dtypes are cast first; the first `skip`
    of them keep theirs.
    """
    rank, dtypes, single = 0, set(), False
    for place, arg in enumerate(args):
        if isinstance(arg, Tensor):
            rank = max(rank, arg.ndim)
            if place >= skip:
                dtypes.add(arg.dtype)
                single = single or (not arg.ndim and type(arg) is Batched)
    if promote and single and len(dtypes) > 1:
        dtype = _common_type([arg for arg in args[skip:] if isinstance(arg, Tensor)])
        args = [a.to(dtype) if place >= skip and isinstance(a, Tensor) else a for place, a in enumerate(args)]
    return [
        aligned(arg.value, rank) if type(arg) is Batched and arg.level is level else arg for arg in args
    ]  # fmt: skip


_SKIP = {"where": 1}
_LAYOUTS = (torch.channels_last, torch.channels_last_3d)


def pointwise(op, level, args, kwargs):
    """The operator on operands that are made to broadcast."""
    if kwargs:
        if kwargs.get("memory_format") in _LAYOUTS:
            # One of so many dimensions; what is behind has another number.
            kwargs = {name: value for name, value in kwargs.items() if name != "memory_format"}
        if "other" in kwargs and len(args) == 1:
            # Operands may come by name; the rest of the keywords are settings.
            kwargs = dict(kwargs)
            args = (*args, kwargs.pop("other"))
        elif any(isinstance(value, Tensor) for value in kwargs.values()):
            call = op.bind(level, args, kwargs)
            if call is None:
                raise Unbatchable
            names = [name for name, value in call.given.items() if isinstance(value, Tensor)]
            values = align(level, [call[name] for name in names], _SKIP.get(op.name, 0), not op.inplace)
            result = call.run(**dict(zip(names, values)))
            return args[0] if op.inplace else Batched(result, level)
    if len(args) == 1:
        result = op(args[0].value, **kwargs)
    else:
        result = op(*align(level, args, _SKIP.get(op.name, 0), not op.inplace), **kwargs)
    if op.inplace:
        return args[0]
    if isinstance(result, Tensor):
        return Batched(result, level)
    return type(result)([Batched(item, level) for item in result])


rule(EXPRESSION, *_MORE.split())(pointwise)


@rule("where")
def where(op, level, args, kwargs):
    """Chooses elements; the form with only a condition has results of different sizes."""
    if len(args) + len(kwargs) < 3:
        raise RuntimeError(_dynamic("where"))
    if op.method:
        # x.where(condition, other)
        from ._methods import function

        x, *rest = args
        condition = rest.pop(0) if rest else kwargs["condition"]
        return function("where")(condition, x, rest[0] if rest else kwargs["other"])
    return pointwise(op, level, args, kwargs)


def _dynamic(name):
    return (
        "vmap: We do not support batching operators that can output dynamic shape. Attempted to vmap over "
        f"aten::{name}. Please file an issue at https://github.com/pytorch/pytorch/issues if you need this feature."
    )


@rule("nonzero", "argwhere", "unique", "unique_consecutive")
def dynamic(op, level, args, kwargs):
    """Results of sizes that depend on the elements."""
    raise RuntimeError(_dynamic({"unique": "_unique2", "argwhere": "nonzero"}.get(op.name, op.name)))


@rule("masked_select")
def masked_select(op, level, args, kwargs):
    """As `dynamic`, in its own words."""
    raise RuntimeError(
        "vmap: Attempted to vmap over `mask` in torch.masked_select(self, mask) We cannot support this because for each "
        "batch this would return a differently shaped Tensor. Please file an issue at "
        "https://github.com/pytorch/pytorch/issues if you need this feature."
    )


@rule("allclose")
def allclose(op, level, args, kwargs):
    """One truth value cannot stand for all samples."""
    raise RuntimeError(
        "vmap over torch.allclose isn't supported yet. Please file an issue at "
        "https://github.com/pytorch/pytorch/issues if you need this feature."
    )


@rule("is_complex", "is_floating_point", "is_signed", "is_conj", "is_neg", "numel", "is_same_size", "result_type")
def facts(op, level, args, kwargs):
    """Facts that are the same for every sample."""
    return op(*[arg.value.select(0, 0) if level.size and type(arg) is Batched else arg for arg in args], **kwargs)


@rule("item", "is_nonzero", "bool_value")
def item(op, level, args, kwargs):
    """A number cannot stand for all samples."""
    from ._methods import ITEM

    raise RuntimeError(ITEM)


@bound("masked_fill")
def masked_fill(call):
    """Where a value is a batched scalar, a choice."""
    level, value = call.level, call["value"]
    if call.batched("value"):
        if call.op.inplace:
            call["self"].copy_(torch.where(call["mask"], value.to(call["self"].dtype), call["self"]))
            return None
        return torch.where(call["mask"], value.to(call["self"].dtype), call["self"]).value
    return call.run(**dict(zip(("self", "mask"), align(level, [call["self"], call["mask"]], promote=False))))


@rule("max", "min")
def extreme(op, level, args, kwargs):
    """Of two tensors by element; of one a reduction."""
    if len(args) == 2 and isinstance(args[1], Tensor) or "other" in kwargs:
        return pointwise(op, level, args, kwargs)
    from ._reduce import extreme_of_one

    return extreme_of_one(op, level, args, kwargs)


@rule("div", "true_divide")
def div(op, level, args, kwargs):
    """Division, rounded or not."""
    return pointwise(op, level, args, kwargs)


@rule("clamp")
def clamp(op, level, args, kwargs):
    """Limits are numbers or operands."""
    if not kwargs and not any(isinstance(arg, Tensor) for arg in args[1:]):
        return pointwise(op, level, args, kwargs)
    call = op.bind(level, args, kwargs)
    if call is None:
        raise Unbatchable
    names = ("self", "min", "max")
    result = call.run(**dict(zip(names, align(level, [call[name] for name in names], promote=not op.inplace))))
    return args[0] if op.inplace else Batched(result, level)


@rule("to", "type_as")
def convert(op, level, args, kwargs):
    """Another tensor in the arguments only lends its dtype and device."""
    lend = [a.dtype if place and isinstance(a, Tensor) else a for place, a in enumerate(args)]
    kwargs = {("dtype" if k == "other" else k): (v.dtype if isinstance(v, Tensor) else v) for k, v in kwargs.items()}
    if not _batched_at(args[0], level):
        return (op if op.name == "to" else _to())(*lend, **kwargs)
    lend[0] = args[0].value
    return Batched((op if op.name == "to" else _to())(*lend, **kwargs), level)


def _to():
    from ._operators import method

    return method("to")


def _batched_at(arg, level):
    return type(arg) is Batched and arg.level is level


@rule("expand_as", "view_as", "reshape_as")
def as_other(op, level, args, kwargs):
    """Another tensor in the arguments only lends its shape."""
    other = args[1] if len(args) > 1 else kwargs["other"]
    from ._operators import method

    return method({"expand_as": "expand", "view_as": "view", "reshape_as": "reshape"}[op.name])(args[0], other.shape)


@bound("fill", "fill_")
def fill(call):
    """With a number, or with a number for each sample."""
    x, value = call["self"], call["value"]
    if isinstance(value, Tensor) and value.ndim:
        raise Unbatchable
    if not call.batched("value"):
        return call.run(self=x.value)
    if call.op.inplace:
        return x.copy_(value.clone())
    return value.to(x.dtype).expand(x.shape).clone().value


@rule("as_strided_", "resize_", "resize_as_", "set_")
def geometry(op, level, args, kwargs):
    """Other memory in the place of a tensor's own cannot have a part for each sample."""
    raise RuntimeError(
        f"Batching rule not implemented for aten::{op.name}; the fallback path doesn't work on out= or view ops."
    )


@rule("prelu")
def prelu(op, level, args, kwargs):
    """One slope, or one for each channel."""
    call = op.bind(level, args, kwargs)
    if call is None:
        raise Unbatchable
    x, weight = call["self"], call["weight"]
    if weight.numel() > 1 and x.ndim > 2:
        weight = weight.reshape(-1, *(1,) * (x.ndim - 2))
    elif weight.numel() == 1:
        weight = weight.reshape(())
    return torch.where(x >= 0, x, weight * x)
