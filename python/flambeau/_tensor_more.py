"""Methods of Tensor that few programs call: those of other layouts, of devices and of old."""

import warnings

from ._C import Tensor
from ._tensor import _method


@_method
def const_data_ptr(self):
    """The address of the first element."""
    return self.data_ptr()


@property
def _cuda_array_interface(self):
    if not self.is_cuda:
        raise AttributeError(
            f"Can't get __cuda_array_interface__ on non-CUDA tensor type: {self.type()} If CUDA data is required use "
            "tensor.cuda() to copy tensor to device memory."
        )


Tensor.__cuda_array_interface__ = _cuda_array_interface


@property
def _grad_dtype(self):
    """The dtype that gradients of the tensor have: its own."""
    return self.dtype


Tensor.grad_dtype = _grad_dtype


@_method
def __rdiv__(self, other):
    """`other / self`, as Python 2 called it."""
    return self.reciprocal() * other


@_method
def record_stream(self, stream):
    """Raises: there is no device with streams."""
    raise RuntimeError("Cannot access accelerator device when none is available.")


def _deprecated_resize(self, shape, name):
    warnings.warn(f"non-inplace {name} is deprecated", UserWarning, stacklevel=3)
    count = 1
    for n in shape:
        count *= n
    if count != self.numel():
        raise RuntimeError(
            f"requested resize to {' x '.join(map(str, shape))} ({count} elements in total), but the given tensor has a "
            f"size of {' x '.join(map(str, self.shape))} ({self.numel()} elements). autograd's resize can only change the "
            "shape of a given tensor, while preserving the number of elements. "
        )
    return self.contiguous().view(tuple(shape))


@_method
def resize(self, *sizes):
    """The tensor in another shape. Deprecated: use `reshape`."""
    shape = tuple(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes
    return _deprecated_resize(self, shape, "resize")


@_method
def resize_as(self, tensor):
    """The tensor in the shape of another. Deprecated: use `reshape_as`."""
    return _deprecated_resize(self, tuple(tensor.shape), "resize_as")


@_method
def fill_diagonal_(self, fill_value, wrap=False):
    """Fills the main diagonal; with `wrap` it starts again below each square of a tall matrix."""
    if self.dim() < 2:
        raise RuntimeError("dimensions must larger than 1")
    if self.dim() > 2 and any(n != self.shape[0] for n in self.shape):
        raise RuntimeError("all dimensions of input must be of equal length")
    rows, columns = self.shape[0], self.shape[1]
    period = columns + 1 if wrap and self.dim() == 2 else max(rows, 1)
    for start in range(0, rows, period):
        part = self.narrow(0, start, min(period, rows - start))
        n = min(part.shape)
        part.as_strided((n,), (sum(part.stride()),), part.storage_offset()).fill_(fill_value)
    return self


# There are no compressed layouts: what asks for their parts is told so.
_LAYOUT_PARTS = {
    "crow_indices": "crow_indices expected sparse row compressed tensor layout but got Strided",
    "col_indices": "col_indices expected sparse row compressed tensor layout but got Strided",
    "ccol_indices": "ccol_indices expected sparse column compressed tensor layout but got Strided",
    "row_indices": "row_indices expected sparse column compressed tensor layout but got Strided",
}


def _part_of_layout(name, text):
    def method(self):
        raise RuntimeError(text)

    method.__name__, method.__doc__ = name, "Raises: the tensor is strided."
    _method(method)


for _name, _text in _LAYOUT_PARTS.items():
    _part_of_layout(_name, _text)


def get_device(input):
    """The index of a tensor's device; -1 for the CPU."""
    return input.get_device()


def is_inference(input):
    """Whether a tensor was made in inference mode."""
    return input.is_inference()


__all__ = ["get_device", "is_inference"]


def _goes_after(tensor, a, b):
    """Positive where dimension `a` is outside dimension `b` in memory, negative where it is inside, 0 where unknown."""
    first, second = tensor.stride(a), tensor.stride(b)
    if 0 in (first, second) or 1 in (tensor.shape[a], tensor.shape[b]) or first == second:
        return 0
    return 1 if first > second else -1


@_method
def dim_order(self, ambiguity_check=False):
    """The dimensions from the outermost in memory to the innermost."""
    strides = [stride for stride, size in zip(self.stride(), self.shape) if size != 0]
    if ambiguity_check is True and len(set(strides)) < len(strides):
        raise RuntimeError(
            "The tensor does not have unique dim order, or cannot map to exact one of the given memory formats."
        )
    order = list(reversed(range(self.dim())))
    for start in range(1, len(order)):
        place = start
        for other in reversed(range(start)):
            after = _goes_after(self, order[other], order[place])
            if after > 0:
                order[other], order[place] = order[place], order[other]
                place = other
            elif after < 0:
                break
    return tuple(reversed(order))
