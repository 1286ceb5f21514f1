"""Functions of the ``torch`` namespace and methods of Tensor that are compositions of operators."""

from . import _C
from ._C import Tensor

__all__ = ["OutOfMemoryError", "asarray", "frombuffer", "is_storage", "nonzero", "range", "unravel_index", "vmap"]

_WINDOWS = ("bartlett_window", "blackman_window", "hamming_window", "hann_window", "kaiser_window")
__all__ += _WINDOWS

_native = _C._functions("torch")
_native_nonzero = _native["nonzero"]
_method_nonzero = Tensor.nonzero


class OutOfMemoryError(RuntimeError):
    """A device ran out of memory."""


def is_storage(obj, /):
    """False: memory is not handed out as storage objects."""
    return False


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
        source = None
        shared = hasattr(obj, "__array_interface__") or (_is_buffer(obj) and not isinstance(obj, (list, tuple)))
        if shared and copy is not True:
            if hasattr(obj, "__array_interface__"):
                import numpy

                out = source = _C.from_numpy(numpy.asarray(obj))
            else:
                out = source = frombuffer(obj, dtype=_C.get_default_dtype() if dtype is None else dtype)
        elif copy is False:
            raise ValueError("can't alias arbitrary sequence into a tensor.")
        elif shared and not hasattr(obj, "__array_interface__"):
            out = frombuffer(obj, dtype=_C.get_default_dtype() if dtype is None else dtype).clone()
        else:
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


def _is_buffer(obj):
    try:
        memoryview(obj)
    except TypeError:
        return False
    return True


def frombuffer(buffer, *, dtype, count=-1, offset=0, requires_grad=False):
    """A vector over the memory of an object with Python's buffer protocol, from byte `offset` on.

    `count` elements, or with -1 all that fit a buffer whose remaining bytes are a multiple of the element size.
    """
    import numpy

    view = memoryview(buffer)
    if view.nbytes == 0 or count == 0:
        raise ValueError(f"both buffer length ({view.nbytes}) and count ({count}) must not be 0")
    if not 0 <= offset < view.nbytes:
        raise ValueError(
            f"offset ({offset} bytes) must be non-negative and no greater than buffer length ({view.nbytes} bytes) - 1"
        )
    size = dtype.itemsize
    left = view.nbytes - offset
    if count < 0:
        if left % size:
            raise ValueError(
                f"buffer length ({left} bytes) after offset ({offset} bytes) must be a multiple of element size "
                f"({size})"
            )
        count = left // size
    if count * size > left:
        raise ValueError(
            f"requested buffer length ({count} * {size} bytes) after offset ({offset} bytes) must not be greater than "
            f"actual buffer length ({view.nbytes} bytes)"
        )
    if view.readonly:
        import warnings

        warnings.warn(
            "The given buffer is not writable; writing to the tensor is undefined, so it is a copy.",
            UserWarning,
            stacklevel=2,
        )
    # Elements that NumPy has no type for travel as bytes.
    raw = numpy.frombuffer(view.cast("B") if view.contiguous else bytes(view), dtype=numpy.uint8, count=count * size,
                           offset=offset)  # fmt: skip
    raw = _C.from_numpy(raw.copy() if view.readonly else raw)
    out = raw if dtype == _C.uint8 else _typed_view(raw, dtype)
    return out.requires_grad_(True) if requires_grad else out


def _typed_view(raw, dtype):
    if raw.data_ptr() % dtype.itemsize:
        raise ValueError(f"the buffer's memory is not aligned for elements of {dtype}")
    return raw.view(dtype)


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


def is_set_to(self, tensor):
    """Whether both tensors have the same memory, sizes and strides."""
    return (
        self.data_ptr() == tensor.data_ptr()
        and self.storage_offset() == tensor.storage_offset()
        and self.shape == tensor.shape
        and self.stride() == tensor.stride()
    )


def to_dense(self, dtype=None, *, masked_grad=True):
    """This tensor, dense as all are, in another dtype if one is given."""
    return self if dtype is None else self.to(dtype)


def dense_dim(self):
    """The number of dense dimensions: all."""
    return self.dim()


def sparse_dim(self):
    """The number of sparse dimensions: 0."""
    return 0


_tensor_nonzero.__name__ = "nonzero"
for _f in (
    _tensor_nonzero, new_tensor, apply_, map_, map2_, is_set_to, to_dense, dense_dim, sparse_dim,
):  # fmt: skip
    if _f is _tensor_nonzero or not hasattr(Tensor, _f.__name__):
        _f.__qualname__, _f.__module__ = "Tensor." + _f.__name__, "flambeau"
        setattr(Tensor, _f.__name__, _f)
