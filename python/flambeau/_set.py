"""`Tensor.set_`, whose source may be a storage."""

from ._untyped_storage import StorageBase, _Common

_FORMS = """set_() received an invalid combination of arguments - got ({}), but expected one of:
 * ()
 * (torch.Storage source)
 * (torch.Storage source, int storage_offset, tuple of ints size, tuple of ints stride = None)
 * (Tensor source)
 * (Tensor source, int storage_offset, tuple of ints size, tuple of ints stride = None)
"""


def refer(tensor, set_to_tensor, source, storage_offset, size, stride):
    """Makes `tensor` refer to `source`; `set_to_tensor` does it for tensors."""
    if not isinstance(source, _Common):
        given = [a for a in (source, storage_offset, size, stride) if a is not None]
        if len(given) == 2:
            raise TypeError(_FORMS.format(", ".join(type(a).__name__ for a in given)))
        return set_to_tensor(tensor, *given)
    if (storage_offset is None) != (size is None):
        given = [a for a in (source, storage_offset, size, stride) if a is not None]
        raise TypeError(_FORMS.format(", ".join(f"{type(a).__module__}.{type(a).__name__}" for a in given)))
    if not isinstance(source, StorageBase):
        if source.dtype != tensor.dtype:
            raise RuntimeError(
                f"Expected a Storage of type {_name(tensor.dtype)} or an UntypedStorage, but got type "
                f"{source.type().removeprefix('torch.').removesuffix('Storage')} for argument 1 'storage'"
            )
        source = source.untyped()
    if source.device.type != tensor.device.type:
        raise RuntimeError(
            f'Attempted to set the storage of a tensor on device "{tensor.device}" to a storage on different device '
            f'"{source.device}".  This is no longer allowed; the devices must match.'
        )
    if size is None:
        return set_to_tensor(tensor, source._elements(tensor.dtype))
    size = [size] if isinstance(size, int) else list(size)
    if not stride:
        stride = _row_major(size)
    stride = [stride] if isinstance(stride, int) else list(stride)
    return set_to_tensor(tensor, source._tensor(tensor.dtype, storage_offset, size, stride, True))


def _name(dtype):
    return str(dtype).removeprefix("torch.")


def _row_major(size):
    strides, step = [], 1
    for n in reversed(size):
        strides.append(step)
        step *= max(n, 1)
    return strides[::-1]
