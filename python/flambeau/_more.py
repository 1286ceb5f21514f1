"""Functions of the ``torch`` namespace and methods of Tensor that are compositions of operators."""

from . import _C
from ._C import Tensor

__all__ = [
    "OutOfMemoryError", "_assert", "_assert_async", "asarray", "dsmm", "from_file", "frombuffer", "is_storage", "nonzero", "range", "spmm",
    "triplet_margin_loss", "unravel_index", "vmap",
]  # fmt: skip

_WINDOWS = ("bartlett_window", "blackman_window", "hamming_window", "hann_window", "kaiser_window")
__all__ += _WINDOWS

_native = _C._functions("torch")
_native_nonzero = _native["nonzero"]
_method_nonzero = Tensor.nonzero


class OutOfMemoryError(RuntimeError):
    """A device ran out of memory."""


def _assert(condition, message):
    """Raises an `AssertionError` with `message` unless `condition` is true."""
    if not condition:
        raise AssertionError(message)


def _assert_async(input, assert_msg="Expected Tensor with single nonzero value, but got zero"):
    """Raises a `RuntimeError` where a tensor of one value is zero, at once."""
    if not isinstance(input, Tensor):
        raise TypeError(f"_assert_async(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
    if not bool(input):
        if input.numel() == 0:
            raise RuntimeError("Boolean value of Tensor with no values is ambiguous")
        raise RuntimeError(assert_msg)


def is_storage(obj, /):
    """Whether an object is a storage, typed or untyped."""
    from ._untyped_storage import _Common

    return isinstance(obj, _Common)


def nonzero(input, *, out=None, as_tuple=False):
    """The indices of the non-zero elements, one row each; with `as_tuple` one vector for each dimension."""
    if as_tuple:
        if out is not None:
            raise TypeError("nonzero(): argument 'out' cannot be used with as_tuple=True")
        return _index_vectors(input)
    return _native_nonzero(input) if out is None else _native_nonzero(input, out=out)


def _index_vectors(input):
    indices = _native_nonzero(input if input.dim() else input.unsqueeze(0))
    return tuple(indices.unbind(1))


def _tensor_nonzero(self, *, as_tuple=False):
    """The indices of the non-zero elements, as `torch.nonzero` gives them."""
    return _index_vectors(self) if as_tuple else _method_nonzero(self)


def range(start, end=None, step=1, *, out=None, dtype=None, layout=_C.strided, device=None, requires_grad=False):
    """The numbers from `start` to `end`, `end` included; `arange` is the one that leaves it out."""
    import warnings

    warnings.warn(
        "torch.range is deprecated and will be removed in a future release because its behavior is inconsistent with "
        "Python's range builtin. Instead, use torch.arange, which produces values in [start, end).",
        UserWarning,
        stacklevel=2,
    )
    if end is None:
        start, end = 0, start
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) * step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    count = int((end - start) / step) + 1
    if out is not None:
        dtype = out.dtype
    elif dtype is None:
        dtype = _C.get_default_dtype()
    work = _C.float64 if dtype.is_floating_point else dtype
    values = _native["arange"](count, dtype=work, device=device) * step + start
    values = values.to(dtype)
    if out is not None:
        out.resize_(values.shape)
        return out.copy_(values)
    return values.requires_grad_(requires_grad)


def unravel_index(indices, shape):
    """The coordinates, in an array of `shape`, of positions in its flattened form: a tensor for each dimension."""
    if not isinstance(indices, Tensor):
        raise TypeError(f"Expected torch.Tensor for indices, but got {type(indices)}")
    if indices.dtype.is_floating_point or indices.dtype.is_complex or indices.dtype == _C.bool:
        raise ValueError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    shape = (shape,) if isinstance(shape, int) else tuple(int(n) for n in shape)
    if any(n < 0 for n in shape):
        raise ValueError(f"'shape' cannot have negative values, but got {shape}")
    coordinates, indices = [], indices.to(_C.int64)
    for size in reversed(shape):
        coordinates.append(indices.remainder(size) if size else indices)
        indices = indices.div(size, rounding_mode="floor") if size else indices
    return tuple(reversed(coordinates))


def asarray(obj, *, dtype=None, device=None, copy=None, requires_grad=False):
    """A tensor of `obj` that shares its memory where that is possible.

    `copy` True always copies, False raises where a copy is needed, None copies where needed. Tensors keep their
    history if `requires_grad`, and are detached otherwise.
    """
    if isinstance(obj, Tensor):
        out = obj if requires_grad or not obj.requires_grad else obj.detach()
        source = obj
    else:
        source = out = _shared(obj, dtype)
        if source is None:
            if copy is False:
                raise ValueError("can't alias arbitrary sequence into a tensor.")
            out = _C.tensor(obj, dtype=dtype, device=device)
    converted = out.to(device=out.device if device is None else device, dtype=out.dtype if dtype is None else dtype)
    if source is not None:
        if copy is False and converted is not out:
            raise ValueError(
                f"can't alias tensor with dtype '{out.dtype}' into dtype '{converted.dtype}'."
                if converted.dtype != out.dtype
                else f"can't alias tensor from device '{out.device}' to '{converted.device}'."
            )
        if copy and converted is out:
            converted = out.clone()
    if requires_grad and not converted.requires_grad:
        converted.requires_grad_(True)
    return converted


def _shared(obj, dtype):
    """A tensor over the memory of an array, of a DLPack tensor or of a buffer; None for other objects."""
    if hasattr(obj, "__array_interface__"):
        import numpy

        return _C.from_numpy(numpy.asarray(obj))
    if hasattr(obj, "__dlpack__"):
        from .utils.dlpack import from_dlpack

        return from_dlpack(obj)
    if isinstance(obj, (list, tuple)) or not _is_buffer(obj):
        return None
    return frombuffer(obj, dtype=_C.get_default_dtype() if dtype is None else dtype)


def _is_buffer(obj):
    try:
        memoryview(obj)
    except TypeError:
        return False
    return True


def from_file(
    filename, shared=None, size=0, *, dtype=None, layout=_C.strided, device=None, pin_memory=False, requires_grad=False
):
    """A vector of `size` elements mapped from a file; `shared` writes go to the file, which is made long enough."""
    from ._untyped_storage import UntypedStorage

    dtype = _C.get_default_dtype() if dtype is None else dtype
    storage = UntypedStorage.from_file(filename, bool(shared), size * dtype.itemsize)
    out = storage._tensor(dtype, 0, [size], [1])
    return out.requires_grad_(True) if requires_grad else out


def frombuffer(buffer, *, dtype, count=-1, offset=0, requires_grad=False):
    """A vector over the memory of an object with Python's buffer protocol, from byte `offset` on.

    `count` elements, or with a negative one all that fit a buffer whose remaining bytes are a multiple of the element
    size. Memory that may not be written is copied when the tensor is first written to.
    """
    if not isinstance(dtype, _C.dtype):
        raise TypeError(f"frombuffer(): argument 'dtype' must be torch.dtype, not {type(dtype).__name__}")
    if requires_grad and not (dtype.is_floating_point or dtype.is_complex):
        raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
    out = _C._frombuffer(buffer, dtype, count, offset)
    return out.requires_grad_(True) if requires_grad else out


def dsmm(input, mat2):
    """`mm` by the name it has for a sparse matrix times a dense one."""
    return _native["mm"](input, mat2)


def spmm(input, mat2):
    """`mm` by another name that it has for a sparse matrix."""
    return _native["mm"](input, mat2)


def triplet_margin_loss(anchor, positive, negative, margin=1.0, p=2, eps=1e-06, swap=False, reduction=1):
    """As `nn.functional.triplet_margin_loss`, the reduction by its number: 0 none, 1 mean, 2 sum."""
    from .nn.functional import triplet_margin_loss

    name = ("none", "mean", "sum")[reduction]
    return triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, reduction=name)


def vmap(func, in_dims=0, out_dims=0, randomness="error", *, chunk_size=None):
    """`func` mapped over a dimension of its arguments; see `torch.func.vmap`."""
    from .func import vmap as run

    return run(func, in_dims, out_dims, randomness, chunk_size=chunk_size)


def _window_function(name):
    def function(window_length, *args, **kwargs):
        from .signal import _legacy

        return getattr(_legacy, name)(window_length, *args, **kwargs)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"``{name}(window_length, periodic=True, ...)``: see `torch.signal.windows`."
    return function


for _name in _WINDOWS:
    globals()[_name] = _window_function(_name)


def new_tensor(self, data, *, dtype=None, device=None, requires_grad=False, layout=_C.strided, pin_memory=False):
    """A tensor of `data`, a copy, by default of this tensor's dtype and device."""
    dtype = self.dtype if dtype is None else dtype
    device = self.device if device is None else device
    if isinstance(data, Tensor):
        import warnings

        warnings.warn(
            "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
            "sourceTensor.detach().clone().requires_grad_(True), rather than tensor.new_tensor(sourceTensor).",
            UserWarning,
            stacklevel=2,
        )
        copied = data.detach().to(device=device, dtype=dtype)
        copied = copied.clone() if copied.data_ptr() == data.data_ptr() else copied
        return copied.requires_grad_(requires_grad)
    return _C.tensor(data, dtype=dtype, device=device, requires_grad=requires_grad)


def _elementwise_inplace(self, function, name, *others):
    if self.requires_grad and (self.is_leaf is False or _C.is_grad_enabled()):
        raise RuntimeError(f"Can't call {name}() on Variable that requires grad. Use var.detach().{name}() instead.")
    operands = [self.tolist() if self.dim() == 0 else self.detach().reshape(-1).tolist()]
    for other in others:
        if not isinstance(other, Tensor):
            raise TypeError(f"{name}(): expected Tensor operands, but got {type(other).__name__}")
        if other.dtype != self.dtype:
            raise TypeError(f"{name}(): expected operands of {self.dtype}, but got {other.dtype}")
        other = other.detach().expand(self.shape)
        operands.append(other.tolist() if self.dim() == 0 else other.reshape(-1).tolist())
    if self.dim() == 0:
        operands = [[value] for value in operands]
    values = [function(*row) for row in zip(*operands)]
    if values:
        self.copy_(_C.tensor(values, dtype=self.dtype).reshape(self.shape))
    return self


def apply_(self, callable):
    """Replaces each element by `callable(element)`, one by one in Python."""
    return _elementwise_inplace(self, callable, "apply_")


def map_(self, tensor, callable):
    """Replaces each element by `callable(element, other)` with the elements of `tensor`, which is broadcast."""
    return _elementwise_inplace(self, callable, "map_", tensor)


def map2_(self, x, y, callable):
    """`map_` with the elements of two tensors."""
    return _elementwise_inplace(self, callable, "map2_", x, y)


def to_sparse(self, sparse_dim=None, *, layout=None, blocksize=None, dense_dim=None):
    """The sparse form of a tensor: of the elements that are not zero, or of slices over `sparse_dim` dimensions."""
    from .sparse import _to_sparse

    return _to_sparse(self, sparse_dim, layout=layout, blocksize=blocksize, dense_dim=dense_dim)


_tensor_nonzero.__name__ = "nonzero"
for _f in (
    _tensor_nonzero, new_tensor, apply_, map_, map2_, to_sparse,
):  # fmt: skip
    if _f is _tensor_nonzero or not hasattr(Tensor, _f.__name__):
        _f.__qualname__, _f.__module__ = "Tensor." + _f.__name__, "flambeau"
        setattr(Tensor, _f.__name__, _f)
