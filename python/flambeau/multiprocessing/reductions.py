"""How the memory of tensors goes from process to process: as the descriptor of a file in memory that both map."""

import copyreg
import mmap
import os
import weakref
from multiprocessing import reduction

from .. import _C
from .._typed_storage import TypedStorage, _typed_from_untyped
from .._untyped_storage import UntypedStorage, _storage_of

# The mapping behind each shared storage, by the address of its memory.
_MAPPINGS = weakref.WeakValueDictionary()


class Mapping(mmap.mmap):
    """A file in memory, mapped; keeps the descriptor to hand it on."""

    def __new__(cls, fd, nbytes):
        self = super().__new__(cls, fd, nbytes)
        self.fd = fd
        return self

    def __del__(self, close=os.close):
        close(self.fd)


def new_mapping(nbytes):
    """Fresh memory that other processes can map."""
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("flambeau")
    else:
        import tempfile

        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, nbytes)
    return Mapping(fd, nbytes)


def share(storage):
    """Moves a storage to memory that other processes can map, if it is not there; returns the descriptor."""
    mapping = _MAPPINGS.get(storage.data_ptr())
    if mapping is None:
        mapping = new_mapping(storage.nbytes())
        storage._share(mapping)
        _MAPPINGS[storage.data_ptr()] = mapping
    return mapping.fd


def _rebuild_storage(duplicate, nbytes):
    mapping = Mapping(duplicate.detach(), nbytes)
    storage = _storage_of(_C._frombuffer(mapping, _C.uint8, nbytes, 0))
    storage._mark_shared()
    _MAPPINGS[storage.data_ptr()] = mapping
    return storage


def reduce_storage(storage):
    """The message form of a storage."""
    if storage.device.type != "cpu" or not storage.nbytes():
        return storage.__reduce__()
    if storage.is_shared() and storage.data_ptr() not in _MAPPINGS:
        # Shared by inheritance only, without a descriptor that could be handed on.
        return storage.__reduce__()
    if not storage.is_shared() and not storage.resizable():
        # Memory that another library points to cannot be moved.
        return storage.__reduce__()
    return _rebuild_storage, (reduction.DupFd(share(storage)), storage.nbytes())


def reduce_typed_storage(storage):
    """The message form of a storage of one dtype: that of its bytes, which are passed by memory."""
    return _typed_from_untyped, (storage._untyped_storage, storage.dtype)


def reduce_tensor(tensor):
    """The message form of a tensor."""
    if tensor.requires_grad and not tensor.is_leaf:
        raise RuntimeError(
            "Cowardly refusing to serialize non-leaf tensor which requires_grad, since autograd does not support crossing "
            "process boundaries.  If you just want to transfer the data, call detach() on the tensor before serializing "
            "(e.g., putting it on the queue)."
        )
    return tensor.__reduce_ex__(2)


def register():
    """Makes queues and pipes of `multiprocessing` pass tensors by memory."""
    if not hasattr(reduction, "DupFd"):
        return  # no descriptors to pass: tensors are copied
    from ..nn.parameter import Parameter

    reduction.ForkingPickler.register(UntypedStorage, reduce_storage)
    reduction.ForkingPickler.register(TypedStorage, reduce_typed_storage)
    for cls in (_C.Tensor, Parameter):
        reduction.ForkingPickler.register(cls, reduce_tensor)
    for cls in (_C.layout, _C.Generator):
        reduction.ForkingPickler.register(cls, copyreg.dispatch_table[cls])
