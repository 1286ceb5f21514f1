"""Batching rules of operators with dimensions and sizes among their arguments."""

import math

import flambeau as torch

from ._operators import Unbatchable, bound, full_value, method, rule

# Parameters that name dimensions. Counted from the end they are the same with a hidden dimension in front.
_DIMS = {
    "dim": """log_softmax softmin softmax cumsum cumprod cummax cummin logcumsumexp sort argsort topk glu unbind split
        chunk tensor_split split_with_sizes unsafe_split unsafe_chunk unsafe_split_with_sizes select narrow squeeze
        squeeze_ diff unflatten cumulative_trapezoid trapezoid trapz fft_fft fft_ifft fft_rfft fft_irfft fft_hfft
        fft_ihfft fft_fft2 fft_ifft2 fft_rfft2 fft_irfft2 fft_hfft2 fft_ihfft2 normalize repeat_interleave unbind_copy
        slice slice_copy select_copy split_copy split_with_sizes_copy narrow_copy squeeze_copy""",
    "dims": "flip permute rot90 permute_copy",
    "dim0 dim1": "transpose transpose_ transpose_copy",
    "axis0 axis1": "swapaxes swapaxes_",
    "source destination": "movedim",
    "dim1 dim2": "diagonal diagonal_copy linalg_diagonal",
    "dimension": "unfold unfold_copy",
    "start_dim end_dim": "flatten",
}
# On scalars they change nothing.
_SCALARS = ("transpose", "swapaxes", "movedim")
_NEW_DIMS = {"dim": "unsqueeze unsqueeze_ unsqueeze_copy"}


def wrapped(dim, rank):
    """A dimension, or several, counted from the end."""
    if isinstance(dim, (tuple, list)):
        return [wrapped(item, rank) for item in dim]
    if not -rank <= dim < rank:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-rank}, {rank - 1}], but got {dim})"
        )  # fmt: skip
    return dim - rank if dim >= 0 else dim


def _dimensional(names, extra):
    def run(call):
        call.only("self", "x", "y", "input", "A", "prepend", "append")
        first = next(iter(call.given))
        others = [name for name in ("x", "y", "prepend", "append") if name != first and call.has(name)]
        rank = call[first].ndim + extra
        if not rank and call.op.name in _SCALARS:
            wrapped([call[name] for name in names], 1)
            return call[first].view(()).value
        if not rank or not call.batched(first):
            raise Unbatchable
        changes = {first: call.value(first)}
        for name in others:
            if call[name] is not None:
                if call[name].ndim != rank:
                    raise Unbatchable
                changes[name] = call.value(name)
        for name in names:
            if call[name] is None:
                raise Unbatchable
            changes[name] = wrapped(call[name], rank)
        return call.run(**changes)

    return run


for _table, _extra in ((_DIMS, 0), (_NEW_DIMS, 1)):
    for _params, _names in _table.items():
        bound(*_names.split())(_dimensional(_params.split(), _extra))


@rule("swapdims", "swapdims_")
def swapdims(op, level, args, kwargs):
    """Another name of `transpose`."""
    return method("transpose_" if op.inplace else "transpose")(*args, **kwargs)


@bound("permute", "permute_copy")
def permute(call):
    """The hidden dimension stays in front."""
    rank = call["self"].ndim
    dims = wrapped(list(call["dims"]), rank)
    if len(dims) != rank:
        raise Unbatchable
    return call.run(self=call["self"].value, dims=[0, *[dim + rank + 1 for dim in dims]])


@bound("squeeze", "squeeze_", "squeeze_copy")
def squeeze(call):
    """Of all dimensions only those that the user sees."""
    x = call["self"]
    if call.has("dim"):
        dims = call["dim"] if isinstance(call["dim"], (tuple, list)) else [call["dim"]]
        wrapped(list(dims), max(x.ndim, 1))
        dims = wrapped(list(dims), x.ndim) if x.ndim else []
    else:
        dims = [place - x.ndim for place, size in enumerate(x.shape) if size == 1]
    return method(call.op.name.replace("_copy", ""))(x.value, tuple(dims))


@bound("softmax", "log_softmax", "softmin")
def softmax(call):
    """As `nn.functional` has it too, where the dimension may be left out."""
    first = next(iter(call.given))
    call.only(first)
    x, dim = call[first], call["dim"]
    if dim is None:
        dim = 0 if x.ndim in (0, 1, 3) else 1
    if x.ndim:
        return call.run(**{first: x.value, "dim": wrapped(dim, x.ndim)})
    wrapped(dim, 1)
    return call.run(**{first: x.value.unsqueeze(-1), "dim": -1}).squeeze(-1)


@bound("flatten")
def flatten(call):
    """Also of scalars, which become vectors."""
    x = call["self"]
    if not x.ndim:
        return x.value.unsqueeze(-1)
    start, end = (dim + x.ndim for dim in wrapped([call["start_dim"], call["end_dim"]], x.ndim))
    return call.run(self=x.value, start_dim=start + 1, end_dim=end + 1)


@bound("roll", "fft_fftshift", "fft_ifftshift")
def roll(call):
    """Along dimensions; a roll without any goes through all elements in order."""
    x, name = call["self"], "dims" if call.has("dims") else "dim"
    dims = call[name]
    if not x.ndim:
        raise Unbatchable
    if dims is None or (isinstance(dims, (tuple, list)) and not dims):
        if name == "dim":
            return call.run(self=x.value, dim=list(range(-x.ndim, 0)))
        flat = call.run(self=x.value.reshape(len(x.value), -1), dims=[-1])
        return flat.reshape(x.value.shape)
    return call.run(**{"self": x.value, name: wrapped(list(dims) if isinstance(dims, tuple) else dims, x.ndim)})


@bound(
    "fft_fftn", "fft_ifftn", "fft_rfftn", "fft_irfftn", "fft_hfftn", "fft_ihfftn",
)  # fmt: skip
def transform(call):
    """Over the last dimensions where sizes say how many, or over all."""
    x, dim, sizes = call["self"], call["dim"], call["s"]
    if dim is None:
        count = x.ndim if sizes is None else len([sizes] if isinstance(sizes, int) else sizes)
        dim = list(range(-count, 0))
    return call.run(self=x.value, dim=wrapped(list(dim) if isinstance(dim, (tuple, list)) else dim, x.ndim))


@bound("repeat_interleave")
def repeat_interleave(call):
    """A number of times each; other forms have results of sizes that depend on elements."""
    if call.has("repeats") and isinstance(call["repeats"], torch.Tensor):
        if call.batched("repeats"):
            if call["output_size"] is None:
                raise RuntimeError(
                    "repeat_interleave: vmapping over the `repeats` tensor requires the `output_size` argument to be "
                    "specified, because the size of the output equals the sum of `repeats`, which is data-dependent and "
                    "may differ between batch elements. Please pass output_size, e.g. "
                    "output_size=int(repeats.sum(-1).max())."
                )
            raise Unbatchable
        if call["dim"] is None:
            raise Unbatchable
    x, dim = call["self"], call["dim"]
    if dim is None:
        return call.run(self=x.value.reshape(len(x.value), -1) if x.numel() else x.value.flatten(1), dim=1)
    return call.run(self=x.value, dim=wrapped(dim, x.ndim))


# Sizes


def _resolved(sizes, numel):
    """Sizes with the one that is -1 computed, which an empty hidden dimension would leave open."""
    sizes = list(sizes) if isinstance(sizes, (tuple, list)) else [sizes]
    if sizes.count(-1) == 1:
        rest = math.prod(size for size in sizes if size != -1)
        if not rest or numel % rest:
            raise Unbatchable
        sizes[sizes.index(-1)] = numel // rest
    return sizes


@bound("view", "reshape", "view_copy")
def view(call):
    """The hidden dimension stays in front; other dtypes go through the last one."""
    x = call["self"]
    if call.has("dtype"):
        if not x.ndim:
            raise Unbatchable
        return call.run(self=x.value)
    name = "shape" if call.has("shape") else "size"
    return call.run(**{"self": x.value, name: [call.level.size, *_resolved(call[name], x.numel())]})


@bound("expand", "broadcast_to", "expand_copy")
def expand(call):
    """New dimensions come after the hidden one."""
    x, sizes = call["self"], call["size"]
    sizes = list(sizes) if isinstance(sizes, (tuple, list)) else [sizes]
    if len(sizes) < x.ndim:
        raise Unbatchable
    from ._pointwise import aligned

    return call.run(self=aligned(x.value, len(sizes)), size=[call.level.size, *sizes])


@bound("repeat", "tile")
def repeat(call):
    """The hidden dimension is not repeated."""
    x, name = call["self"], "repeats" if call.has("repeats") else "dims"
    counts = call[name]
    counts = list(counts) if isinstance(counts, (tuple, list)) else [counts]
    if name == "dims":
        counts = [1] * (x.ndim - len(counts)) + counts
    elif len(counts) < x.ndim:
        raise Unbatchable
    from ._pointwise import aligned

    return call.run(**{"self": aligned(x.value, len(counts)), name: [1, *counts]})


@bound("new_zeros", "new_ones", "new_empty", "new_full")
def new(call):
    """Fresh tensors have a part for each sample, so that they can be changed in place."""
    call.only("self")
    size = call["size"]
    size = list(size) if isinstance(size, (tuple, list)) else [size]
    return call.run(self=call["self"].value, size=[call.level.size, *size])


@bound("unflatten")
def unflatten(call):
    """One dimension into several."""
    x = call["self"]
    if not x.ndim:
        raise Unbatchable
    return call.run(self=x.value, dim=wrapped(call["dim"], x.ndim))


@bound("as_strided", "as_strided_copy", "as_strided_scatter")
def as_strided(call):
    """Each sample's own memory: an offset counts from where it begins."""
    call.only("self", "src")
    if not call.batched("self"):
        raise Unbatchable
    value, size = call.value("self"), call.level.size
    changes = {"src": call.value("src")} if call.has("src") else {}
    return call.run(
        self=value, size=[size, *call["size"]], stride=[value.stride()[0], *call["stride"]], **changes
    )  # fmt: skip


@bound("sum_to_size")
def sum_to_size(call):
    """The hidden dimension is not summed."""
    from ._pointwise import aligned

    size = list(call["size"]) if isinstance(call["size"], (tuple, list)) else [call["size"]]
    x = call["self"].value
    while x.ndim - 1 > len(size):
        x = x.sum(1)
    return call.run(self=aligned(x, len(size)), size=[call.level.size, *size])


@bound("diag_embed")
def diag_embed(call):
    """Dimensions of the result, which has one more."""
    x = call["self"]
    rank = x.ndim + 1
    if rank < 2:
        raise Unbatchable
    return call.run(self=x.value, dim1=wrapped(call["dim1"], rank), dim2=wrapped(call["dim2"], rank))


@rule("diag")
def diag(op, level, args, kwargs):
    """The diagonal of a matrix, or the matrix with one."""
    call = op.bind(level, args, kwargs)
    if call is None or call["self"].ndim not in (1, 2):
        raise Unbatchable
    x = call["self"]
    return (x.diag_embed if x.ndim == 1 else x.diagonal)(call["diagonal"])


@rule("t", "t_", "t_copy")
def t(op, level, args, kwargs):
    """Matrices turned; the rest as it is."""
    x = args[0]
    if x.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {x.ndim}D")
    if op.inplace:
        return x.transpose_(0, 1) if x.ndim == 2 else x
    return x.transpose(0, 1) if x.ndim == 2 else x.view(x.shape)


@rule("fliplr", "flipud")
def flip_matrix(op, level, args, kwargs):
    """Names of `flip` for fixed dimensions."""
    x, dim = args[0], 1 if op.name == "fliplr" else 0
    if x.ndim <= dim:
        raise Unbatchable
    return x.flip(dim)


@rule("numpy_T")
def numpy_t(op, level, args, kwargs):
    """All dimensions in reverse."""
    return args[0].permute(*range(args[0].ndim - 1, -1, -1))


@bound("atleast_1d", "atleast_2d", "atleast_3d")
def atleast(call):
    """Dimensions of size 1 where NumPy has them."""
    if call.has("tensors"):
        raise Unbatchable
    x, want = call["self"], int(call.op.name[8])
    if x.ndim >= want:
        return x.value
    shape = [call.level.size, *x.shape]
    if x.ndim == 0:
        shape += [1] * want
    elif want == 2:
        shape.insert(1, 1)
    elif x.ndim == 1:
        shape = [shape[0], 1, shape[1], 1]
    else:
        shape.append(1)
    return x.value.reshape(shape)


@rule("matrix_H")
def matrix_h(op, level, args, kwargs):
    """The conjugate of a turned matrix."""
    return args[0].H


@rule("ravel")
def ravel(op, level, args, kwargs):
    """One contiguous dimension."""
    return args[0].contiguous().reshape(-1)


# Joins


def _listed(call):
    tensors = list(call["tensors"])
    if not tensors:
        raise Unbatchable
    return tensors


@bound("cat")
def cat(call):
    """Along a dimension that all have; vectors without elements may be among others."""
    tensors = _listed(call)
    rank = max(tensor.ndim for tensor in tensors)
    tensors = [tensor for tensor in tensors if tensor.ndim == rank or tensor.shape != (0,)]
    if not rank or any(tensor.ndim != rank for tensor in tensors):
        raise Unbatchable
    return call.run(
        tensors=[full_value(tensor, call.level) for tensor in tensors], dim=wrapped(call["dim"], rank)
    )  # fmt: skip


@bound("stack")
def stack(call):
    """Along a new dimension."""
    tensors = _listed(call)
    if len({tuple(tensor.shape) for tensor in tensors}) > 1:
        raise RuntimeError(
            f"stack expects each tensor to be equal size, but got {list(tensors[0].shape)} at entry 0 and "
            f"{list(next(t.shape for t in tensors if t.shape != tensors[0].shape))} at entry "
            f"{next(i for i, t in enumerate(tensors) if t.shape != tensors[0].shape)}"
        )
    return call.run(
        tensors=[full_value(tensor, call.level) for tensor in tensors],
        dim=wrapped(call["dim"], tensors[0].ndim + 1),
    )


@rule("hstack", "vstack", "dstack", "column_stack")
def stack_along(op, level, args, kwargs):
    """NumPy's ways to say `cat`."""
    call = op.bind(level, args, kwargs)
    if call is None:
        raise Unbatchable
    tensors = _listed(call)
    from ._methods import function

    if op.name == "hstack":
        tensors = [function("atleast_1d")(tensor) for tensor in tensors]
        return function("cat")(tensors, 0 if tensors[0].ndim == 1 else 1)
    if op.name == "column_stack":
        tensors = [tensor.reshape(-1, 1) if tensor.ndim < 2 else tensor for tensor in tensors]
        return function("cat")(tensors, 1)
    want, dim = ("atleast_2d", 0) if op.name == "vstack" else ("atleast_3d", 2)
    return function("cat")([function(want)(tensor) for tensor in tensors], dim)


@rule("broadcast_tensors")
def broadcast_tensors(op, level, args, kwargs):
    """Views of one shape."""
    tensors = args[0]
    shape = torch.broadcast_shapes(*[tensor.shape for tensor in tensors])
    return tuple(tensor.expand(shape) for tensor in tensors)


@rule("meshgrid")
def meshgrid(op, level, args, kwargs):
    """Grids as views of vectors."""
    tensors = [tensor.reshape(-1) for tensor in args[0]]
    indexing = kwargs.get("indexing", args[1] if len(args) > 1 else "ij")
    if indexing not in ("ij", "xy"):
        raise Unbatchable
    shape = [tensor.shape[0] for tensor in tensors]
    grids = []
    for place, tensor in enumerate(tensors):
        sizes = [1] * len(shape)
        sizes[place] = -1
        grids.append(tensor.reshape(sizes).expand(shape))
    if indexing == "xy" and len(grids) > 1:
        grids = [grid.transpose(0, 1) for grid in grids]
    return tuple(grids)


@bound("split", "unsafe_split", "split_copy")
def split(call):
    """By size or by sizes."""
    x = call["self"]
    if not x.ndim:
        raise Unbatchable
    return call.run(self=x.value, dim=wrapped(call["dim"], x.ndim))


@bound("hsplit", "vsplit", "dsplit")
def split_along(call):
    """Names of `tensor_split` for fixed dimensions."""
    x = call["self"]
    dim = {"hsplit": 0 if x.ndim == 1 else 1, "vsplit": 0, "dsplit": 2}[call.op.name]
    if x.ndim < {"hsplit": 1, "vsplit": 2, "dsplit": 3}[call.op.name]:
        raise Unbatchable
    parts = call["sections"] if call.has("sections") else call["indices"]
    if isinstance(parts, int) and (parts <= 0 or x.shape[dim] % parts):
        raise Unbatchable
    return method("tensor_split")(x.value, parts, dim + 1)
