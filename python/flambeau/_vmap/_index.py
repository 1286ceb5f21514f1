"""Batching rules of indexing: `x[...]`, `x[...] = value`, gathering and scattering."""

import numbers

import flambeau as torch

from ._batched import Batched
from ._methods import SLOTS, slot
from ._operators import Unbatchable, bound, full_value, refuse_inplace, rule
from ._pointwise import aligned
from ._shape import wrapped

Tensor = torch.Tensor
_native_get = Tensor.__dict__["__getitem__"]
_native_set = Tensor.__dict__["__setitem__"]

_MASK = (
    "vmap: We do not support batching operators that can support dynamic shape. Attempting to batch over indexing with "
    "a boolean mask."
)


def get(tensor, key):
    """`tensor[key]`, of batched tensors too."""
    return (SLOTS["__getitem__"] if _involved(tensor, key) else _native_get)(tensor, key)


def set_(tensor, key, value):
    """`tensor[key] = value`, of batched tensors too."""
    slots = _involved(tensor, key) or type(value) is Batched
    (SLOTS["__setitem__"] if slots else _native_set)(tensor, key, value)


def _involved(tensor, key):
    if type(tensor) is Batched or type(key) is Batched:
        return True
    return type(key) in (tuple, list) and any(_involved(None, item) for item in key)


class _Key:
    """An index expression: the part that gives views, and index tensors by the dimension of the view they stand for."""

    def __init__(self, key, rank):
        items = list(key) if isinstance(key, tuple) else [key]
        items = [_as_index(item) for item in items]
        used = sum(_width(item) for item in items)
        if Ellipsis not in [item for item in items if not isinstance(item, Tensor)]:
            items.append(Ellipsis)
        if used > rank:
            raise Unbatchable
        self.basic, self.tensors, place = [], {}, 0
        for item in items:
            if item is Ellipsis:
                self.basic += [slice(None)] * (rank - used)
                place += rank - used
            elif isinstance(item, Tensor):
                for part in _integers(item):
                    self.basic.append(slice(None))
                    self.tensors[place] = part
                    place += 1
            else:
                self.basic.append(item)
                place += not isinstance(item, numbers.Integral)
        self.rank = place

    def adjacent(self):
        """Whether the index tensors stand side by side, so that the dimensions that they give stay in their place."""
        places = sorted(self.tensors)
        return places[-1] - places[0] == len(places) - 1


def _as_index(item):
    if item is None or item is Ellipsis or isinstance(item, (slice, Tensor)):
        if isinstance(item, slice) and any(type(part) is Batched for part in (item.start, item.stop, item.step)):
            raise RuntimeError(_item())
        return item
    if isinstance(item, bool):
        raise Unbatchable
    if isinstance(item, numbers.Integral):
        return int(item)
    if isinstance(item, (list, tuple)):
        if any(isinstance(part, Tensor) for part in item):
            raise Unbatchable
        return torch.tensor(item)
    if type(item).__module__ == "numpy":
        return torch.as_tensor(item)
    raise Unbatchable


def _item():
    from ._methods import ITEM

    return ITEM


def _width(item):
    """How many dimensions an index stands for."""
    if item is None or item is Ellipsis:
        return 0
    if isinstance(item, Tensor) and item.dtype in (torch.bool, torch.uint8):
        return item.ndim
    return 1


def _integers(item):
    """A mask as the positions of what it selects."""
    if item.dtype not in (torch.bool, torch.uint8):
        return [item]
    if type(item) is Batched:
        raise RuntimeError(_MASK)
    if not item.ndim:
        raise Unbatchable
    return list(item.nonzero().unbind(1))


def _has(tensor, level):
    return type(tensor) is Batched and tensor.level is level


@slot("__getitem__")
def getitem(level, x, key):
    """Views, and elements at positions that may differ from sample to sample."""
    if isinstance(key, int) and not isinstance(key, bool):
        if _has(x, level) and x.ndim:
            wrapped_index(x, key)
            return Batched(x.value.select(1, key), level)
    parts = _Key(key, x.ndim)
    tensors = parts.tensors
    hidden = _has(x, level)
    value = x.value if hidden else x
    lead = (slice(None),) if hidden else ()
    if not tensors:
        return Batched(get(value, lead + tuple(parts.basic)), level)
    value = get(value, lead + tuple(parts.basic))
    count = torch.broadcast_shapes(*[tensor.shape for tensor in tensors.values()])
    mixed = any(_has(tensor, level) for tensor in tensors.values())
    first = min(tensors) if parts.adjacent() else 0
    index = [slice(None)] * parts.rank
    for place, tensor in tensors.items():
        index[place] = aligned(tensor.value, len(count)) if _has(tensor, level) else tensor
    if not mixed:
        # The hidden dimension is sliced. Positions that are not side by side put their dimensions before it.
        result = get(value, (slice(None), *index))
        if not parts.adjacent():
            result = result.movedim(len(count), 0)
        return Batched(result, level)
    if not hidden:
        # The dimensions of positions begin with the hidden one.
        result = get(value, tuple(index))
        return Batched(result.movedim(first, 0) if first else result, level)
    samples = torch.arange(level.size).reshape(level.size, *[1] * len(count))
    result = get(value, (samples, *index))
    if first:
        places = list(range(1, 1 + len(count)))
        result = result.movedim(places, [place + first for place in places])
    return Batched(result, level)


def wrapped_index(x, index):
    """IndexError for an index beyond the first dimension."""
    size = x.shape[0]
    if not -size <= index < size:
        raise IndexError(f"index {index} is out of bounds for dimension 0 with size {size}")


@slot("__setitem__")
def setitem(level, x, key, value):
    """Changes the parts of the samples in place."""
    if not _has(x, level):
        refuse_inplace("copy_")
    if isinstance(key, Tensor) and key.dtype is torch.bool and (
        not isinstance(value, Tensor) or value.ndim == 0
    ):  # fmt: skip
        mask = key
        if mask.ndim > x.ndim or mask.shape != x.shape[: mask.ndim]:
            raise Unbatchable
        mask = mask.reshape(*mask.shape, *[1] * (x.ndim - mask.ndim))
        if not isinstance(value, Tensor):
            value = torch.tensor(value, dtype=x.dtype)
        x.copy_(torch.where(mask, value.to(x.dtype), x))
        return
    parts = _Key(key, x.ndim)
    tensors = parts.tensors
    if not tensors:
        part = get(x.value, (slice(None), *parts.basic))
        set_(part, (), _fitted(value, level, part.ndim - 1))
        return
    mixed = any(_has(tensor, level) for tensor in tensors.values())
    if not parts.adjacent() or (mixed and min(tensors)):
        raise Unbatchable
    count = torch.broadcast_shapes(*[tensor.shape for tensor in tensors.values()])
    view = get(x.value, (slice(None), *parts.basic))
    index = [slice(None)] * parts.rank
    for place, tensor in tensors.items():
        index[place] = aligned(tensor.value, len(count)) if _has(tensor, level) else tensor
    samples = torch.arange(level.size).reshape(level.size, *[1] * len(count)) if mixed else slice(None)
    rank = parts.rank - len(tensors) + len(count)
    set_(view, (samples, *index), _fitted(value, level, rank))


def _fitted(value, level, rank):
    """A value to assign, which broadcasts with `rank` dimensions of each sample."""
    if not _has(value, level):
        return value
    value = value.value
    while value.ndim - 1 > rank and value.shape[1] == 1:
        value = value.squeeze(1)
    if value.ndim - 1 > rank:
        raise Unbatchable
    return aligned(value, rank)


# Operators


@bound("gather", "scatter", "scatter_", "scatter_add", "scatter_add_", "scatter_reduce", "scatter_reduce_")
def gather(call):
    """All operands with the hidden dimension, which takes part like any other."""
    rank = call["self"].ndim
    names = [name for name in ("self", "index", "src") if isinstance(call.given.get(name), Tensor)]
    if not rank or any(call[name].ndim != rank for name in names) or call.batched("value"):
        raise Unbatchable
    return call.run(**{name: call.value(name) for name in names}, dim=wrapped(call["dim"], rank))


@bound("index_select")
def index_select(call):
    """One list of positions for all, or one for each sample."""
    x, index = call["self"], call["index"]
    if not x.ndim or index.ndim > 1:
        raise Unbatchable
    dim = wrapped(call["dim"], x.ndim)
    if not call.batched("index"):
        return call.run(self=x.value, dim=dim)
    return x[(slice(None),) * (dim + x.ndim) + (index.reshape(-1),)].value


@bound("index_add", "index_add_", "index_copy", "index_copy_", "index_fill", "index_fill_", "index_reduce")
def index_change(call):
    """One list of positions for all."""
    x = call["self"]
    call.only("self", "source")
    if not x.ndim:
        raise Unbatchable
    changes = {"self": call.value("self"), "dim": wrapped(call["dim"], x.ndim)}
    if call.has("source"):
        if call["source"].ndim != x.ndim:
            raise Unbatchable
        changes["source"] = call.value("source")
    return call.run(**changes)


@bound("select", "narrow", "select_copy", "narrow_copy")
def select(call):
    """Positions are the same for all."""
    x = call["self"]
    call.only("self")
    if not x.ndim:
        raise Unbatchable
    return call.run(self=x.value, dim=wrapped(call["dim"], x.ndim))


@bound("select_scatter", "slice_scatter", "diagonal_scatter")
def part_scatter(call):
    """A copy with one part replaced."""
    x = call["self"]
    names = [name for name in ("dim", "dim1", "dim2") if call.has(name)]
    source = call["src"].ndim - x.ndim + {"select_scatter": 1, "slice_scatter": 0, "diagonal_scatter": 1}[call.op.name]
    if not x.ndim or source:
        raise Unbatchable
    dims = {name: wrapped(call[name], x.ndim) for name in names}
    return call.run(self=call.value("self"), src=call.value("src"), **dims)


@bound("take")
def take(call):
    """Elements of each sample as one line."""
    x, index = call["self"], call["index"]
    return x.reshape(-1)[index].value


@bound("take_along_dim")
def take_along_dim(call):
    """As `gather`, of operands that broadcast."""
    x, index, dim = call["self"], call["indices"], call["dim"]
    if dim is None:
        return x.reshape(-1).gather(0, index.reshape(-1)).value
    if x.ndim != index.ndim or not x.ndim:
        raise Unbatchable
    dim = wrapped(dim, x.ndim) + x.ndim
    index = index % x.shape[dim]
    shape = list(torch.broadcast_shapes(*[[1 if d == dim else n for d, n in enumerate(t.shape)] for t in (x, index)]))
    x, index = (t.expand([t.shape[d] if d == dim else n for d, n in enumerate(shape)]) for t in (x, index))
    return x.gather(dim, index).value


@rule("index_put", "index_put_")
def index_put(op, level, args, kwargs):
    """As the assignment to `x[...]`."""
    call = op.bind(level, args, kwargs)
    if call is None or call["accumulate"]:
        raise Unbatchable
    x = call["self"] if op.inplace else Batched(full_value(call["self"], level).clone(), level)
    setitem_or_loop(x, tuple(slice(None) if item is None else item for item in call["indices"]), call["values"])
    return x


def setitem_or_loop(x, key, value):
    """`x[key] = value`"""
    SLOTS["__setitem__"](x, key, value)


@bound("embedding")
def embedding(call):
    """Rows of one table, or of one for each sample."""
    weight, indices = call["weight"], call["indices"]
    if not call.batched("weight"):
        return call.run(indices=call.value("indices"))
    if call["scale_grad_by_freq"]:
        raise Unbatchable
    rows = weight[indices]
    padding = call["padding_idx"]
    if padding >= 0:
        rows = torch.where((indices == padding).unsqueeze(-1), rows.detach(), rows)
    return rows.value


@bound("one_hot")
def one_hot(call):
    """With the number of classes given; otherwise it depends on elements."""
    if call["num_classes"] < 0:
        raise Unbatchable
    return call.run(self=call["self"].value)


@bound("isin")
def isin(call):
    """Elements against one list."""
    call.only("elements")
    return call.run(elements=call["elements"].value)


@rule("index")
def index(op, level, args, kwargs):
    """The native form of `x[...]`."""
    call = op.bind(level, args, kwargs)
    if call is None:
        raise Unbatchable
    return get(call["self"], tuple(slice(None) if item is None else item for item in call["indices"]))
