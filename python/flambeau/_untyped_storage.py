"""The memory that tensors share as storages of bytes: `UntypedStorage`."""

import threading
import weakref

from . import _C
from ._C import StorageBase

_UINT8 = _C.uint8
# The object of each storage that Python refers to, so that a storage has one object.
_LIVE = weakref.WeakValueDictionary()
_LOCK = threading.Lock()


def _storage_of(tensor):
    """The storage of a tensor: always the same object while one refers to it."""
    if tensor.is_sparse:
        raise NotImplementedError("Cannot access storage of SparseTensorImpl")
    key = _C._storage_id(tensor)
    with _LOCK:
        found = _LIVE.get(key)
        if found is None:
            found = _LIVE[key] = StorageBase.__new__(UntypedStorage, tensor)
        return found


def _device(device):
    return None if device is None else _C.device(device)


class _Common:
    """What both kinds of storage have."""

    __hash__ = object.__hash__
    is_sparse = is_sparse_csr = False
    filename = None

    @property
    def is_cuda(self):
        return self.device.type == "cuda"

    @property
    def is_hpu(self):
        return False

    def get_device(self):
        """The index of the device, if it has one."""
        return self.device.index

    def is_pinned(self, device=None):
        """False: there is no accelerator to pin memory for."""
        return False

    def pin_memory(self, device=None):
        """Page-locked memory, for which there is no accelerator."""
        raise RuntimeError("Cannot access accelerator device when none is available.")

    def cuda(self, device=None, non_blocking=False):
        """This storage on a CUDA device."""
        raise AssertionError("Torch not compiled with CUDA enabled")

    def hpu(self, device=None, non_blocking=False):
        """This storage on an HPU."""
        raise AssertionError("HPU device module is not loaded")

    def cpu(self):
        """This storage on the CPU: itself."""
        return self.to(device="cpu")

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __copy__(self):
        return self.clone()


class UntypedStorage(_Common, StorageBase):
    """A number of bytes: `UntypedStorage(nbytes)`, or of a sequence of them."""

    __module__ = "flambeau.storage"

    def __new__(cls, *args, device=None):
        if len(args) > 1:
            raise RuntimeError(f"{_named(cls)}(): only 0 or 1 positional arguments are allowed, but got {len(args)}")
        device = _device(device)
        source = args[0] if args else 0
        if isinstance(source, int):
            found = StorageBase.__new__(cls, source, device)
        elif hasattr(source, "__len__") and hasattr(source, "__getitem__"):
            for item in source:
                if not isinstance(item, int):
                    raise RuntimeError(
                        f"{_named(cls)}(): tried to construct a storage from a sequence ({type(source).__name__}), but "
                        f"one of the items was of type {type(item).__name__} instead of int"
                    )
            data = bytes(item & 255 for item in source)
            found = StorageBase.__new__(cls, len(data), device)
            if data and found.device.type != "meta":
                memoryview(found._elements(_UINT8))[:] = data
        else:
            raise TypeError(f"{_named(cls)}(): argument must be an int or a sequence, not {type(source).__name__}")
        _LIVE[found._cdata] = found
        return found

    @staticmethod
    def from_file(filename, shared=False, nbytes=0):
        """Memory mapped from a file; `shared` writes go to the file, which is made long enough."""
        return _mapped_file(filename, shared, nbytes)

    @classmethod
    def from_buffer(cls, buffer, byte_order=None, dtype=None, *, count=-1, offset=0):
        """A copy of the bytes of an object with Python's buffer protocol, elements swapped to the native order."""
        import sys

        view = memoryview(buffer).cast("B")[offset:]
        data = bytes(view if count < 0 else view[: count * (dtype.itemsize if dtype else 1)])
        out = cls(len(data))
        if data:
            memoryview(out._elements(_UINT8))[:] = data
        if dtype is not None and byte_order not in (None, "native", sys.byteorder):
            out.byteswap(dtype)
        return out

    def _bytes(self):
        return self._elements(_UINT8)

    def size(self):
        """The number of bytes."""
        return self.nbytes()

    __len__ = size

    def element_size(self):
        """1: elements are bytes."""
        return 1

    def _index(self, i):
        if not isinstance(i, int):
            raise TypeError(f"can't index a {_named(type(self))} with {type(i).__name__}")
        n = len(self)
        if not -n <= i < n:
            raise IndexError(f"index {i} out of range for storage of size {n}")
        return i

    def __getitem__(self, key):
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step != 1:
                raise RuntimeError(f"Trying to slice with a step of {step}, but only a step of 1 is supported")
            part = StorageBase.__new__(type(self), (self, start, max(stop - start, 0)))
            _LIVE[part._cdata] = part
            return part
        return self._bytes()[self._index(key)].item()

    def __setitem__(self, key, value):
        if not isinstance(value, int):
            raise RuntimeError(f"can only set storage content with a int types, but got {type(value).__name__} instead")
        if isinstance(key, slice):
            if key.step not in (None, 1):
                raise RuntimeError(f"Trying to slice with a step of {key.step}, but only a step of 1 is supported")
            self._bytes()[key] = value & 255
        else:
            self._bytes()[self._index(key)] = value & 255

    def tolist(self):
        """The bytes as a list."""
        return self._bytes().tolist()

    def fill_(self, value):
        """Sets every byte."""
        self._bytes().fill_(value)
        return self

    def copy_(self, source, non_blocking=None):
        """Copies the bytes of another storage of the same size."""
        source = source.untyped()
        if source.nbytes() != self.nbytes():
            raise RuntimeError(
                f"size does not match, self was {self.nbytes()} bytes but src was {source.nbytes()} bytes"
            )
        self._bytes().copy_(source._bytes())
        return self

    def clone(self):
        """A copy."""
        return type(self)(self.nbytes(), device=self.device).copy_(self)

    def new(self):
        """An empty storage on the same device."""
        return type(self)(device=self.device)

    def resize_(self, nbytes):
        """Changes the number of bytes, keeping those that both sizes have."""
        self._resize(nbytes)
        return self

    def untyped(self):
        """This storage."""
        return self

    def type(self, dtype=None, non_blocking=False):
        """The name of the class, or this storage as one of a dtype or of a class's name."""
        if dtype is None:
            return _named(type(self))
        from ._typed_storage import _dtype_of_name, _typed_from_untyped

        if isinstance(dtype, str):
            dtype = _dtype_of_name(dtype.rsplit(".", 1)[-1])
        return _typed_from_untyped(self, dtype)

    def to(self, *, device, non_blocking=False):
        """This storage on another device; itself if it is there."""
        device = _C.device(device)
        if device.type == self.device.type:
            return self
        if device.type == "meta":
            return type(self)(self.nbytes(), device=device)
        return StorageBase.__new__(type(self), self._bytes().to(device))

    def mps(self):
        """This storage on an MPS device."""
        return type(self)(self.nbytes(), device="mps").copy_(self)

    def byteswap(self, dtype):
        """Swaps the bytes of each element of a dtype (of each part of complex ones) in place."""
        width = dtype.itemsize // (2 if dtype.is_complex else 1)
        if width > 1 and self.nbytes():
            rows = self._bytes()[: self.nbytes() // width * width].view(-1, width)
            rows.copy_(rows.flip(1))

    def share_memory_(self, *args, **kwargs):
        """Moves the bytes to memory that processes share: those forked from this one, and those it is sent to."""
        if self.device.type == "cpu" and not self.is_shared() and self.nbytes():
            from .multiprocessing.reductions import share

            share(self)
        return self

    def __deepcopy__(self, memo):
        # The storage is kept with its copy: its address must not be used again before the deep copy is done.
        copies = memo.setdefault("flambeau.storages", {})
        found = copies.get(self._cdata)
        if found is None:
            found = copies[self._cdata] = (self.clone(), self)
        return found[0]

    def __reduce__(self):
        return _untyped_from_bytes, (self._raw(), str(self.device))

    def _raw(self):
        """The bytes as a bytes object; nothing for memory without contents."""
        if self.device.type == "meta" or not self.nbytes():
            return self.nbytes() if self.device.type == "meta" else b""
        return memoryview(self._bytes()).tobytes()

    def __bytes__(self):
        return self._raw()

    def __sizeof__(self):
        return object.__sizeof__(self) + self.nbytes()

    def __repr__(self):
        info = f"[{_named(type(self))}(device={self.device}) of size {len(self)}]"
        if self.device.type == "meta":
            return "...\n" + info
        return " " + "\n ".join(map(str, self.tolist())) + "\n" + info

    __str__ = __repr__


def _named(cls):
    module = cls.__module__
    if module == "flambeau" or module.startswith("flambeau."):
        module = "torch" + module[len("flambeau") :]
    return module + "." + cls.__name__


def _untyped_from_bytes(data, device):
    """Unpickles a storage; `data` is the number of bytes where there are no contents."""
    if isinstance(data, int):
        return UntypedStorage(data, device=device)
    out = UntypedStorage(len(data))
    if data:
        memoryview(out._bytes())[:] = data
    return out


def _mapped_file(filename, shared, nbytes):
    import mmap
    import os

    with open(filename, "r+b" if shared else "rb") as file:
        present = os.fstat(file.fileno()).st_size
        if not nbytes:
            nbytes = present
        if present < nbytes:
            if not shared:
                raise RuntimeError(
                    f"file <{filename}> size <{present}> is smaller than the required mapping size <{nbytes}>"
                )
            file.truncate(nbytes)
        if not nbytes:
            return UntypedStorage(0)
        mapped = mmap.mmap(file.fileno(), nbytes, access=mmap.ACCESS_WRITE if shared else mmap.ACCESS_COPY)
    out = _storage_of(_C._frombuffer(mapped, _UINT8, nbytes, 0))
    if shared:
        out.filename = str(filename)
    return out
