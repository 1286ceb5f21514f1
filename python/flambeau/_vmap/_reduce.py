"""Batching rules of reductions."""

import flambeau as torch

from ._batched import wrap
from ._operators import Call, Unbatchable, bound
from ._shape import wrapped
from ._tree import map_leaves

# Reductions over several dimensions, and over one.
_SEVERAL = """sum mean nansum nanmean amax amin all any std var std_mean var_mean logsumexp norm vector_norm
    count_nonzero frobenius_norm"""
_ONE = "prod argmax argmin median nanmedian mode kthvalue quantile nanquantile aminmax"


def _inner(rank):
    return tuple(range(1, rank + 1))


def _check_scalar(call):
    """The dimensions that a reduction of scalars may name."""
    dim = call.given.get("dim")
    for item in dim if isinstance(dim, (tuple, list)) else [dim]:
        if item is not None:
            wrapped(item, 1)


def _with_dim(call):
    """The call as one of the overload that takes a dimension, which is None."""
    for overload in call.op.overloads:
        names = [param[0] for param in overload]
        if "dim" in names and all(name in names for name in call.given):
            given = {name: call.given.get(name, None if name == "dim" else default) for name, _, _, default in overload}
            return Call(call.op, call.level, overload, given)
    raise Unbatchable


@bound(*_SEVERAL.split())
def reduce(call):
    """Over dimensions counted from the end, or over all but the hidden one."""
    first = next(iter(call.given))
    call.only(first)
    x = call[first]
    if not call.has("dim"):
        call = _with_dim(call)
    dim = call["dim"]
    if call.has("p") and call["p"] == "nuc":
        raise Unbatchable
    if x.ndim == 0:
        _check_scalar(call)
        changes = {"keepdim": False} if call.has("keepdim") else {}
        return call.run(**{first: x.value.unsqueeze(-1), "dim": (1,)}, **changes)
    if dim is None or isinstance(dim, (tuple, list)) and not dim:
        return call.run(**{first: x.value, "dim": _inner(x.ndim)})
    return call.run(**{first: x.value, "dim": wrapped(dim if isinstance(dim, int) else list(dim), x.ndim)})


@bound(*_ONE.split())
def reduce_one(call):
    """Over one dimension, or over all but the hidden one as one."""
    call.only("self")
    x = call["self"]
    if not call.has("dim"):
        if call.op.name in ("median", "nanmedian"):
            return _over(call, x, True)[0]
        call = _with_dim(call)
    dim = call["dim"]
    if dim is None:
        result = _over(call, x, True)
    elif x.ndim == 0:
        _check_scalar(call)
        result = _over(call, x, False)
    else:
        result = call.run(self=x.value, dim=wrapped(dim, x.ndim))
    if call.op.name.endswith("quantile") and isinstance(call["q"], torch.Tensor) and call["q"].ndim:
        return result.transpose(0, 1)
    return result


def _over(call, x, everything):
    """Over all elements of each sample."""
    value = x.value.reshape(call.level.size, x.numel()) if x.ndim != 1 else x.value
    if not call.has("dim"):
        return call.op(value, 1)
    keep = call.has("keepdim") and call["keepdim"]
    result = call.run(self=value, dim=1, **({"keepdim": False} if call.has("keepdim") else {}))
    if keep and everything:
        return map_leaves(lambda part: part.reshape([*part.shape, *[1] * x.ndim]), result)
    return result


def extreme_of_one(op, level, args, kwargs):
    """`max` and `min` of one tensor: of all elements, or along a dimension with indices."""
    call = op.bind(level, args, kwargs)
    if call is None:
        raise Unbatchable
    x = call["self"]
    if not call.has("dim"):
        return (x.amax if op.name == "max" else x.amin)(tuple(range(x.ndim)))
    if x.ndim == 0:
        wrapped(call["dim"], 1)
        return wrap(level, call.run(self=x.value.unsqueeze(-1), dim=1, keepdim=False))
    return wrap(level, call.run(self=x.value, dim=wrapped(call["dim"], x.ndim)))


@bound("linalg_norm", "nuclear_norm", "linalg_matrix_norm", "linalg_vector_norm", "hash_tensor")
def matrix_norm(call):
    """Norms whose meaning depends on the number of dimensions."""
    x = call["self"]
    dim = call.given.get("dim")
    if call.op.name == "linalg_matrix_norm" and x.ndim >= 2:
        return call.run(self=x.value, dim=wrapped(list(dim), x.ndim))
    if call.op.name == "linalg_norm" and x.ndim:
        if dim is not None:
            return call.run(self=x.value, dim=wrapped(dim if isinstance(dim, int) else list(dim), x.ndim))
        if call["ord"] is None:
            changes = {"ord": 2} if x.ndim == 1 else {}
            flat = x.value.reshape(call.level.size, x.numel())
            result = call.run(self=flat, dim=1, keepdim=False, **changes)
            return result.reshape([call.level.size] + [1] * x.ndim) if call["keepdim"] else result
        if x.ndim == 1:
            return call.run(self=x.value, dim=(1,))
        if x.ndim == 2:
            return call.run(self=x.value, dim=(1, 2))
    raise Unbatchable


@bound("trace")
def trace(call):
    """The sum of a diagonal."""
    if call["self"].ndim != 2:
        raise Unbatchable
    return call["self"].value.diagonal(0, 1, 2).sum(-1)


@bound("dist")
def dist(call):
    """The norm of a difference."""
    difference = call["self"] - call["other"]
    return torch.linalg.vector_norm(difference, call["p"]).value
