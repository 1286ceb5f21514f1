"""How pickles and checkpoints put tensors together again. The names and parameters are part of PyTorch's file format."""

from collections import OrderedDict

from . import _C
from ._C import StorageBase


def _untyped(storage):
    return storage if isinstance(storage, StorageBase) else storage._untyped_storage


def _listed(sizes):
    """Sizes or strides, in nothing that could grow when it is walked through."""
    if not isinstance(sizes, (tuple, list)):
        raise TypeError(f"sizes and strides must be tuples, not {type(sizes).__name__}")
    return list(sizes)


def _rebuild_tensor(storage, storage_offset, size, stride):
    """A tensor over a typed storage; what does not lie within it is refused."""
    size, stride, raw = _listed(size), _listed(stride), _untyped(storage)
    if raw.device.type == "meta":
        # There is nothing to lie within: PyTorch makes such a storage as large as is asked for.
        last = sum((n - 1) * step for n, step in zip(size, stride)) + 1 if all(size) else 0
        whole = _C.Tensor([]).to(device="meta", dtype=storage.dtype).new_empty(storage_offset + last)
        return whole.as_strided(size, stride, storage_offset)
    return raw._tensor(storage.dtype, storage_offset, size, stride)


def _rebuild_tensor_v2(storage, storage_offset, size, stride, requires_grad, backward_hooks, metadata=None):
    """As `_rebuild_tensor`; `metadata` may say that elements are stored conjugated or negated."""
    out = _finish(_rebuild_tensor(storage, storage_offset, size, stride), metadata)
    return out.requires_grad_(True) if requires_grad else out


def _rebuild_tensor_v3(storage, storage_offset, size, stride, requires_grad, backward_hooks, dtype, metadata=None):
    """As `_rebuild_tensor_v2` for dtypes that no typed storage has."""
    out = _finish(_untyped(storage)._tensor(dtype, storage_offset, _listed(size), _listed(stride)), metadata)
    return out.requires_grad_(True) if requires_grad else out


def _finish(tensor, metadata):
    """The tensor whose elements are stored conjugated or negated: the same window on a storage with the elements themselves."""
    if not metadata:
        return tensor
    if not isinstance(metadata, dict):
        raise TypeError(f"the metadata of a tensor must be a dictionary, not {type(metadata).__name__}")
    storage = tensor.untyped_storage()
    whole = storage._tensor(tensor.dtype, 0, [storage.nbytes() // tensor.dtype.itemsize], [1])
    if metadata.get("conj"):
        whole = whole.conj()
    if metadata.get("neg"):
        whole = whole.neg()
    return whole.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())


def _rebuild_sparse_tensor(layout, data):
    """A sparse tensor of ``(indices, values, size)`` or ``(indices, values, size, is_coalesced)``."""
    if layout is not _C.sparse_coo or not isinstance(data, tuple) or len(data) not in (3, 4):
        raise NotImplementedError(f"rebuilding sparse tensor for layout {layout}")
    indices, values, size = data[:3]
    return _C._sparse_coo_tensor(indices, values, _listed(size), len(data) == 4 and bool(data[3]))


def _rebuild_parameter(data, requires_grad, backward_hooks):
    """A parameter. Hooks are not kept; the argument is part of the file format."""
    from .nn.parameter import Parameter

    return Parameter(data, requires_grad)


def _rebuild_parameter_with_state(data, requires_grad, backward_hooks, state):
    """A parameter with attributes."""
    return _set_state(_rebuild_parameter(data, requires_grad, backward_hooks), state)


def _rebuild_meta_tensor_no_storage(dtype, size, stride, requires_grad):
    """A tensor on the meta device."""
    from . import empty_strided

    return empty_strided(_listed(size), _listed(stride), dtype=dtype, device="meta", requires_grad=requires_grad)


def _set_state(obj, state):
    """Gives an object the attributes of a pickle: a dictionary, or one with another for slots."""
    slots = None
    if isinstance(state, tuple) and len(state) == 2:
        state, slots = state
    if state:
        obj.__dict__.update(state)
    for name, value in (slots or {}).items():
        setattr(obj, name, value)
    return obj


def reduce_tensor(tensor, protocol):
    """The pickle form of a tensor: its storage and its window on it, as PyTorch's files have them."""
    cls = type(tensor)
    if cls is _C.Tensor:
        state = getattr(tensor, "__dict__", None) or None
        if state is None:
            return _reduce_plain(tensor)
    else:
        state = _state_of(tensor)
    from ._tensor import _rebuild_from_type_v2

    rebuild, args = _reduce_plain(tensor)
    return _rebuild_from_type_v2, (rebuild, cls, args, state)


def _state_of(tensor):
    get = getattr(type(tensor), "__getstate__", None)
    if get is not None and get is not getattr(object, "__getstate__", None):
        return tensor.__getstate__()
    return dict(getattr(tensor, "__dict__", {})) or None


def _reduce_plain(tensor):
    from ._typed_storage import _TYPE_NAMES, _typed_storage_of
    from ._untyped_storage import _storage_of

    if tensor.is_sparse:
        parts = (tensor._indices(), tensor._values(), tensor.size(), tensor.is_coalesced())
        return _rebuild_sparse_tensor, (tensor.layout, parts)
    if tensor.is_meta:
        return _rebuild_meta_tensor_no_storage, (
            tensor.dtype, tuple(tensor.shape), tensor.stride(), tensor.requires_grad,
        )  # fmt: skip
    window = (tensor.storage_offset(), tuple(tensor.shape), tensor.stride(), tensor.requires_grad, OrderedDict())
    if tensor.dtype in _TYPE_NAMES:
        return _rebuild_tensor_v2, (_typed_storage_of(tensor), *window)
    return _rebuild_tensor_v3, (_storage_of(tensor), *window, tensor.dtype)


def deep_copy(tensor, memo):
    """A deep copy: same class, geometry, flag, gradient and attributes, over a copy of the whole storage."""
    from copy import deepcopy

    from ._untyped_storage import _storage_of

    if tensor.is_sparse:
        out = tensor.detach().clone()
    elif tensor.is_meta:
        out = _rebuild_meta_tensor_no_storage(tensor.dtype, tensor.shape, tensor.stride(), False)
    else:
        storage = deepcopy(_storage_of(tensor), memo)
        out = storage._tensor(tensor.dtype, tensor.storage_offset(), list(tensor.shape), list(tensor.stride()))
    if type(tensor) is not _C.Tensor:
        out = _C._make_subclass(type(tensor), out, False)
    memo[id(tensor)] = out
    if tensor.requires_grad:
        out.requires_grad_(True)
    if tensor._grad is not None:
        out.grad = deepcopy(tensor._grad, memo)
    attributes = getattr(tensor, "__dict__", None)
    if attributes:
        out.__dict__.update(deepcopy(attributes, memo))
    return out


def _element_size(dtype):
    """The bytes of one element."""
    if not isinstance(dtype, _C.dtype):
        raise RuntimeError(f"expected torch.dtype, but got {type(dtype)}")
    return dtype.itemsize


def _get_device_index(device, optional=False, allow_cpu=False):
    """The number of a device; -1 for the CPU if allowed, the current device's if `optional` and none is named."""
    given = device
    if isinstance(device, str):
        device = _C.device(device)
    if isinstance(device, _C.device):
        if device.type == "cpu":
            if not allow_cpu:
                raise ValueError(f"Expected a non cpu device, but got: {given}")
            return -1
        device = device.index
    if isinstance(device, int):
        return device
    if not optional:
        raise ValueError(f"Expected a torch.device with a specified index or an integer, but got:{given}")
    from . import accelerator

    return accelerator.current_device_index() if accelerator.is_available() else None


def _get_available_device_type():
    """The kind of accelerator that there is: None."""
    return None


def _get_device_module(device_type):
    """The module of a kind of device, as `torch.cpu`."""
    import flambeau

    found = getattr(flambeau, device_type, None)
    if found is None:
        raise RuntimeError(
            f"Device '{device_type}' does not have a corresponding module registered as 'torch.{device_type}'."
        )
    return found
