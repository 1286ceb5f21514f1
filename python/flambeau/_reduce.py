"""Copying and pickling of tensors."""

from . import _C


def storage_copy(tensor, memo):
    """A deep copy: same class, strides, flag and gradient, and memory of its own."""
    with _no_grad():
        out = tensor.detach().clone() if tensor.numel() or tensor.dim() else tensor.detach().clone()
    if type(tensor) is not _C.Tensor:
        out = _C._make_subclass(type(tensor), out, False)
    if tensor.requires_grad:
        out.requires_grad_(True)
    if tensor.is_leaf and tensor._grad is not None:
        out.grad = tensor._grad.__deepcopy__(memo)
    _copy_attributes(tensor, out, memo)
    return out


def _copy_attributes(tensor, out, memo):
    attributes = _attributes(tensor)
    if attributes:
        from copy import deepcopy

        for name, value in attributes.items():
            setattr(out, name, deepcopy(value, memo))


def _attributes(tensor):
    """What Python code has set on the tensor; plain tensors may have no room for it."""
    return getattr(tensor, "__dict__", {})


def _no_grad():
    from ._grad_mode import no_grad

    return no_grad()


def reduce_tensor(tensor, protocol):
    """The pickle form: raw bytes of the elements in row-major order, with dtype and sizes."""
    if tensor.is_meta:
        return _rebuild_meta, (type(tensor), tuple(tensor.shape), tensor.dtype, tensor.requires_grad)
    if not tensor.is_leaf:
        from warnings import warn

        warn("Pickling a tensor that is not a leaf loses its history.", stacklevel=3)
    dense = tensor.detach().contiguous()
    state = dict(_attributes(tensor))
    return (
        _rebuild,
        (type(tensor), _C._to_bytes(dense), tuple(tensor.shape), tensor.dtype, tensor.requires_grad, state),
    )


def _rebuild(cls, data, shape, dtype, requires_grad, state):
    out = _C._from_bytes(data, list(shape), dtype)
    if cls is not _C.Tensor:
        out = _C._make_subclass(cls, out, False)
    if requires_grad:
        out.requires_grad_(True)
    for name, value in state.items():
        setattr(out, name, value)
    return out


def _rebuild_meta(cls, shape, dtype, requires_grad):
    from . import empty

    out = empty(shape, dtype=dtype, device="meta")
    if cls is not _C.Tensor:
        out = _C._make_subclass(cls, out, False)
    return out.requires_grad_(True) if requires_grad else out


def set_state(tensor, state):
    """Attributes of an unpickled tensor."""
    if isinstance(state, dict):
        for name, value in state.items():
            setattr(tensor, name, value)
