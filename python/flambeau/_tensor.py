"""Methods of Tensor that belong to Python's object model: hooks, pickling, NumPy's protocols, iteration."""

import copyreg

from . import _C
from ._C import Tensor

Tensor.__name__ = "Tensor"  # Python's own errors then say 'Tensor', as of any class written in Python.


def _method(function):
    function.__qualname__ = "Tensor." + function.__name__
    function.__module__ = "flambeau"
    setattr(Tensor, function.__name__, function)
    return function


@classmethod
def _init_subclass(cls, **kwargs):
    from ._asking import prepare

    super(Tensor, cls).__init_subclass__(**kwargs)
    prepare(cls)


Tensor.__init_subclass__ = _init_subclass


@_method
def backward(self, gradient=None, retain_graph=None, create_graph=False, inputs=None):
    """Accumulates in the leaves the gradient of this tensor with respect to them."""
    from . import autograd

    if gradient is None and inputs is None and type(self) is Tensor and not autograd._passes.tracking:
        if _C._backward(self, create_graph if retain_graph is None else retain_graph, create_graph):
            return
    autograd.backward(self, gradient, retain_graph, create_graph, inputs=inputs)


def _handle(remove):
    from .utils.hooks import handle_of

    return handle_of(remove)


@_method
def register_hook(self, hook):
    """Calls ``hook(grad)`` whenever the gradient of this tensor is computed; it may return another gradient."""
    key = _C._register_tensor_hook(self, hook)
    return _handle(lambda: _C._remove_tensor_hook(self, key))


@_method
def register_post_accumulate_grad_hook(self, hook):
    """Calls ``hook(tensor)`` after a gradient has been added to ``tensor.grad``."""
    key = _C._register_post_accumulate_hook(self, hook)
    return _handle(lambda: _C._remove_tensor_hook(self, key))


@_method
def _is_view(self):
    """Whether the tensor is a view of another, in whose history its own changes are."""
    return self._base is not None


@_method
def retain_grad(self):
    """Keeps the gradient of a tensor that is not a leaf in its ``grad``."""
    _C._retain_grad(self)


@_method
def stride(self, dim=None):
    """The strides in elements, or that of one dimension."""
    strides = _C._strides(self)
    if dim is None:
        return strides
    n = len(strides)
    if not -max(n, 1) <= dim < max(n, 1):
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-max(n, 1)}, {max(n, 1) - 1}], but got {dim})"
        )
    if n == 0:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    return strides[dim]


@_method
def is_contiguous(self, memory_format=_C.contiguous_format):
    """Whether elements follow each other in the order of the memory format."""
    return _C._is_contiguous(self, memory_format)


@_method
def get_device(self):
    """The index of the device; -1 for the CPU."""
    return -1 if self.device.index is None else self.device.index


@_method
def as_subclass(self, cls):
    """This tensor as an object of a subclass, with its history."""
    return _C._as_subclass(cls, self)


@_method
def is_conj(self):
    """False: conjugates are computed at once."""
    return False


@_method
def is_neg(self):
    """False: negations are computed at once."""
    return False


@_method
def has_names(self):
    """False: dimensions have no names."""
    return False


@_method
def new(self, *args):
    """A fresh tensor of this dtype, as the legacy constructors make it."""
    return _C._legacy_new(self.dtype, "tensor", args)


@_method
def untyped_storage(self):
    """The bytes that this tensor and others may share."""
    from ._untyped_storage import _storage_of

    return _storage_of(self)


@_method
def _typed_storage(self):
    from ._typed_storage import _typed_storage_of

    return _typed_storage_of(self)


@_method
def storage(self):
    """The storage as elements of this dtype. Deprecated: use `untyped_storage`."""
    from ._typed_storage import _warn_deprecated

    _warn_deprecated()
    return self._typed_storage()


@_method
def storage_type(self):
    """The class of `storage()`, such as `FloatStorage`."""
    return _type_of_storage(self)


def _type_of_storage(tensor):
    from ._typed_storage import _TYPE_NAMES, _legacy_class

    return _legacy_class(_TYPE_NAMES[tensor.dtype])


_set_to_tensor = Tensor.set_


@_method
def set_(self, source=None, storage_offset=None, size=None, stride=None):
    """Makes the tensor refer to the memory of another tensor or storage, all of it or a window, or to none."""
    from ._set import refer

    return refer(self, _set_to_tensor, source, storage_offset, size, stride)


@_method
def is_set_to(self, tensor):
    """Whether both tensors have the same memory, sizes and strides."""
    return (
        _C._storage_id(self) == _C._storage_id(tensor)
        and self.storage_offset() == tensor.storage_offset()
        and self.shape == tensor.shape
        and self.stride() == tensor.stride()
    )


@_method
def __dlpack__(self, *, stream=-1, max_version=None, dl_device=None, copy=None, read_only=False):
    from .utils.dlpack import export

    return export(self, stream, max_version, dl_device, copy, read_only)


@_method
def __dlpack_device__(self):
    from .utils.dlpack import device_of_tensor

    return device_of_tensor(self)


@_method
def __bytes__(self):
    from operator import index

    # As Python does it for objects that are a number or can be iterated over.
    if self.numel() == 1 and not (self.is_floating_point() or self.is_complex()):
        return bytes(index(self))
    return bytes([index(item) for item in self])


@_method
def __array__(self, dtype=None, copy=None):
    array = _C._to_numpy(self)
    if dtype is not None:
        array = array.astype(dtype, copy=False)
    return array.copy() if copy else array


Tensor.__array_priority__ = 1000
Tensor._make_subclass = staticmethod(_C._make_subclass)


@_method
def __array_wrap__(self, array, context=None, return_scalar=False):
    if array.dtype == bool:
        array = array.astype("uint8")
    return _C.from_numpy(array)


@_method
def __iter__(self):
    if self.dim() == 0:
        raise TypeError("iteration over a 0-d tensor")
    return iter(self.unbind(0))


@_method
def __reversed__(self):
    return self if self.dim() == 0 else self.flip(0)


@_method
def __contains__(self, element):
    if isinstance(element, (Tensor, int, float, complex, bool)):
        return bool((element == self).any().item())
    raise RuntimeError(f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {element.__class__}.")


@_method
def __format__(self, spec):
    if self.dim() == 0 and not self.is_meta and self.__class__ is Tensor:
        return self.item().__format__(spec)
    return object.__format__(self, spec)


@_method
def __complex__(self):
    if self.numel() != 1:
        raise ValueError("only one element tensors can be converted to Python scalars")
    return complex(self.item())


@_method
def cpu(self, memory_format=_C.preserve_format):
    """This tensor on the CPU: itself."""
    return self.to("cpu")


@_method
def cuda(self, device=None, non_blocking=False, memory_format=_C.preserve_format):
    """This tensor on a CUDA device."""
    raise AssertionError("Torch not compiled with CUDA enabled")


@_method
def type(self, dtype=None, non_blocking=False, **kwargs):
    """The legacy type name, or this tensor converted to another dtype."""
    from ._legacy import type_name, typed

    if dtype is None:
        return type_name(self.dtype)
    return self.to(typed(dtype))


@_method
def is_pinned(self, device=None):
    """False: there is no accelerator to pin memory for."""
    return False


@_method
def pin_memory(self, device=None):
    """Page-locked memory, for which there is no accelerator."""
    raise RuntimeError("Cannot access accelerator device when none is available.")


@_method
def share_memory_(self):
    """Moves the memory to where forked processes share it."""
    self.untyped_storage().share_memory_()
    return self


@_method
def is_shared(self):
    """Whether processes share the memory."""
    return self.untyped_storage().is_shared()


@_method
def __deepcopy__(self, memo):
    if id(self) in memo:
        return memo[id(self)]
    if not self.is_leaf:
        raise RuntimeError(
            "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment.  "
            "If you were attempting to deepcopy a module, this may be because of a torch.nn.utils.weight_norm usage, "
            "see https://github.com/pytorch/pytorch/pull/103001"
        )
    from ._utils import deep_copy

    return deep_copy(self, memo)


@_method
def __reduce_ex__(self, protocol):
    from ._utils import reduce_tensor

    return reduce_tensor(self, protocol)


@_method
def __setstate__(self, state):
    from ._utils import _set_state

    _set_state(self, state)


def _rebuild_from_type_v2(func, new_type, args, state):
    """A tensor of a subclass, or with attributes, from one that `func` puts together."""
    out = func(*args)
    if type(out) is not new_type:
        out = out.as_subclass(new_type)
    out.__setstate__(state)
    return out


def _reduce_layout(layout):
    from .serialization import _get_layout

    return _get_layout, (str(layout),)


def _reduce_generator(generator):
    return _C.Generator, (generator.device,), (generator.initial_seed(), None, generator.get_state())


def _restore_generator(generator, state):
    seed, _, state = state
    generator.manual_seed(seed)
    generator.set_state(state)


copyreg.pickle(_C.layout, _reduce_layout)
copyreg.pickle(_C.Generator, _reduce_generator)
_C.Generator.__setstate__ = _restore_generator


@_method
def __dir__(self):
    return sorted(set(dir(self.__class__)) | set(getattr(self, "__dict__", ())))


@classmethod
def _default_torch_function(cls, func, types, args=(), kwargs=None):
    from .overrides import default_torch_function

    return default_torch_function(cls, func, types, args, kwargs or {})


Tensor.__torch_function__ = _default_torch_function
Tensor.__module__ = "flambeau"
