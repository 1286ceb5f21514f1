"""Storages seen as elements of one dtype: `TypedStorage`, ``FloatStorage`` and its kin."""

import copy as _copy
import io
import warnings
import weakref

from . import _C
from ._C import StorageBase
from ._untyped_storage import UntypedStorage, _Common, _named, _storage_of


class TypedStorage(_Common):
    """A storage seen as elements of one dtype. Deprecated in favour of tensors and `UntypedStorage`."""

    __module__ = "flambeau.storage"

    def __init__(self, *args, device=None, dtype=None, wrap_storage=None, _internal=False):
        cls = type(self)
        own = getattr(cls, "_legacy_dtype", None)
        if not _internal:
            _warn_deprecated()
        if own is not None:
            if dtype is not None:
                raise RuntimeError(f"{_named(cls)}.__new__ received an invalid combination of arguments: 'dtype'")
            dtype = own
        if len(args) > 1 or (wrap_storage is not None and args):
            raise RuntimeError(_BAD_ARGUMENTS + f"\nToo many positional arguments given ({len(args)})")
        if wrap_storage is not None:
            if not isinstance(wrap_storage, UntypedStorage):
                raise TypeError(
                    _BAD_ARGUMENTS + f"\nArgument 'wrap_storage' must be UntypedStorage, but got {type(wrap_storage)}"
                )
            if dtype is None:
                raise RuntimeError(_BAD_ARGUMENTS + "\nArgument 'dtype' must be specified")
        dtype = _C.get_default_dtype() if dtype is None else dtype
        if not isinstance(dtype, _C.dtype):
            raise TypeError(f"argument 'dtype' must be of type torch.dtype, but got {type(dtype)}")
        self.dtype = dtype
        if wrap_storage is not None:
            self._untyped_storage = wrap_storage
            return
        source = args[0] if args else 0
        if isinstance(source, int):
            self._untyped_storage = UntypedStorage(source * dtype.itemsize, device=device)
        elif isinstance(source, StorageBase):
            raise TypeError(_BAD_ARGUMENTS + "\nArgument type not recognized: UntypedStorage")
        elif hasattr(source, "__len__") and hasattr(source, "__getitem__"):
            device = "cpu" if device is None else device
            self._untyped_storage = _storage_of(_C.tensor(list(source), dtype=dtype, device=device))
        else:
            raise RuntimeError(_BAD_ARGUMENTS + f"\nArgument type not recognized: {type(source)}")

    @property
    def device(self):
        return self._untyped_storage.device

    @property
    def filename(self):
        return self._untyped_storage.filename

    @property
    def _cdata(self):
        return self._untyped_storage._cdata

    def _values(self):
        return self._untyped_storage._elements(self.dtype)

    def _wrap(self, storage):
        out = TypedStorage.__new__(type(self))
        out.dtype, out._untyped_storage = self.dtype, storage
        return out

    def untyped(self):
        """The bytes."""
        return self._untyped_storage

    def nbytes(self):
        """The number of bytes."""
        return self._untyped_storage.nbytes()

    def element_size(self):
        """Bytes of one element."""
        return self.dtype.itemsize

    def size(self):
        """The number of elements."""
        return self.nbytes() // self.dtype.itemsize

    __len__ = size

    def data_ptr(self):
        """The address of the first byte."""
        return self._untyped_storage.data_ptr()

    def resizable(self):
        """Whether `resize_` may change the number of elements."""
        return self._untyped_storage.resizable()

    def _index(self, i):
        if isinstance(i, slice):
            raise RuntimeError("slices are only supported in UntypedStorage.__getitem__")
        if not isinstance(i, int):
            raise RuntimeError(f"can't index a {_named(type(self))} with {type(i).__name__}")
        n = len(self)
        if not -n <= i < n:
            raise IndexError(f"index {i} out of range for storage of size {n}")
        return i

    def __getitem__(self, i):
        return self._values()[self._index(i)].item()

    def __setitem__(self, i, value):
        if isinstance(i, slice):
            self._values()[i] = value
        else:
            self._values()[self._index(i)] = value

    def tolist(self):
        """The elements as a list."""
        return self._values().tolist()

    def fill_(self, value):
        """Sets every element."""
        self._values().fill_(value)
        return self

    def copy_(self, source, non_blocking=None):
        """Copies the elements of another storage of the same size, converted if it is of another dtype."""
        if isinstance(source, TypedStorage):
            if len(source) != len(self):
                raise RuntimeError(
                    f"size does not match, self was {self.nbytes()} bytes but src was {source.nbytes()} bytes"
                )
            self._values().copy_(source._values())
        else:
            self._untyped_storage.copy_(source)
        return self

    def clone(self):
        """A copy."""
        return self._wrap(self._untyped_storage.clone())

    def resize_(self, size):
        """Changes the number of elements."""
        self._untyped_storage.resize_(size * self.dtype.itemsize)
        return self

    def to(self, *, device, non_blocking=False):
        """This storage on another device."""
        moved = self._untyped_storage.to(device=device)
        return self if moved is self._untyped_storage else self._wrap(moved)

    def type(self, dtype=None, non_blocking=False):
        """The name of the class for this dtype, or the elements converted to another."""
        if dtype is None:
            return "torch." + self.pickle_storage_type() if self.dtype in _TYPE_NAMES else _named(type(self))
        if isinstance(dtype, str):
            dtype = _dtype_of_name(dtype.rsplit(".", 1)[-1])
        return self._to(dtype)

    def _to(self, dtype):
        return TypedStorage(wrap_storage=_storage_of(self._values().to(dtype).clone()), dtype=dtype, _internal=True)

    def pickle_storage_type(self):
        """The name that files have for this dtype: ``FloatStorage``."""
        if self.dtype not in _TYPE_NAMES:
            raise KeyError(f"dtype {self.dtype} is not recognized")
        return _TYPE_NAMES[self.dtype]

    _pickle_storage_type = pickle_storage_type

    def is_shared(self):
        """Whether processes share the memory."""
        return self._untyped_storage.is_shared()

    def share_memory_(self):
        """Moves the memory to where forked processes share it."""
        self._untyped_storage.share_memory_()
        return self

    @classmethod
    def from_file(cls, filename, shared=False, size=0):
        """Elements mapped from a file, of the class's dtype or the default one."""
        dtype = getattr(cls, "_legacy_dtype", None) or _C.get_default_dtype()
        untyped = UntypedStorage.from_file(filename, shared, size * dtype.itemsize)
        return TypedStorage(wrap_storage=untyped, dtype=dtype, _internal=True)

    @classmethod
    def from_buffer(cls, *args, dtype=None, **kwargs):
        """A copy of the elements of an object with Python's buffer protocol."""
        dtype = getattr(cls, "_legacy_dtype", None) or dtype or _C.get_default_dtype()
        untyped = UntypedStorage.from_buffer(*args, dtype=dtype, **kwargs)
        return TypedStorage(wrap_storage=untyped, dtype=dtype, _internal=True)

    def __eq__(self, other):
        same = isinstance(other, TypedStorage) and self.dtype == other.dtype
        return same and self.data_ptr() == other.data_ptr() and self.nbytes() == other.nbytes()

    __hash__ = _Common.__hash__

    def __deepcopy__(self, memo):
        return self._wrap(_copy.deepcopy(self._untyped_storage, memo))

    def __reduce__(self):
        return _reduced(self) or (_typed_from_untyped, (self._untyped_storage, self.dtype))

    def __sizeof__(self):
        return object.__sizeof__(self) + self.nbytes()

    def __repr__(self):
        info = f"[{_named(TypedStorage)}(dtype={self.dtype}, device={self.device}) of size {len(self)}]"
        if self.device.type == "meta":
            return "...\n" + info
        return " " + "\n ".join(map(str, self.tolist())) + "\n" + info

    __str__ = __repr__


_BAD_ARGUMENTS = """TypedStorage.__init__ received an invalid combination of arguments. Expected one of:
 * (*, torch.device device, torch.dtype dtype)
 * (int size, *, torch.device device, torch.dtype dtype)
 * (Sequence data, *, torch.device device, torch.dtype dtype)
 * (*, UntypedStorage wrap_storage, torch.dtype dtype)"""


def _reduced(storage):
    """The pickle form that PyTorch gives storages: a file of one, as bytes. None where there are no contents."""
    if storage.device.type == "meta":
        return None
    from .serialization import save
    from .storage import _load_from_bytes

    file = io.BytesIO()
    save(storage, file, _use_new_zipfile_serialization=False)
    return _load_from_bytes, (file.getvalue(),)


def _typed_from_untyped(storage, dtype):
    return TypedStorage(wrap_storage=storage, dtype=dtype, _internal=True)


# By storage and dtype: a pickler keeps the object, and writes the memory that tensors share once.
_SEEN = weakref.WeakValueDictionary()


def _typed_storage_of(tensor):
    storage, dtype = _storage_of(tensor), tensor.dtype
    found = _SEEN.get((id(storage), dtype))
    if found is None or found._untyped_storage is not storage:
        found = TypedStorage(wrap_storage=storage, dtype=dtype, _internal=True)
        _SEEN[id(storage), dtype] = found
    return found


def _warn_deprecated(stacklevel=3):
    warnings.warn(
        "TypedStorage is deprecated. It will be removed in the future and UntypedStorage will be the only storage "
        "class. This should only matter to you if you are using storages directly.  To access UntypedStorage directly, "
        "use tensor.untyped_storage() instead of tensor.storage()",
        UserWarning,
        stacklevel=stacklevel,
    )


_TYPE_NAMES = {
    _C.float64: "DoubleStorage", _C.float32: "FloatStorage", _C.float16: "HalfStorage", _C.int64: "LongStorage",
    _C.int32: "IntStorage", _C.int16: "ShortStorage", _C.int8: "CharStorage", _C.uint8: "ByteStorage",
    _C.bool: "BoolStorage", _C.bfloat16: "BFloat16Storage", _C.complex128: "ComplexDoubleStorage",
    _C.complex64: "ComplexFloatStorage",
}  # fmt: skip


def _dtype_of_name(name):
    for dtype, known in _TYPE_NAMES.items():
        if known == name:
            return dtype
    raise KeyError(f"pickle storage type {name!r} is not recognized")


class _LegacyMeta(type):
    """`isinstance(s, FloatStorage)` holds for every typed storage of that dtype."""

    def __instancecheck__(cls, instance):
        own = cls.__dict__.get("_legacy_dtype")
        return type.__instancecheck__(cls, instance) or (
            own is not None and isinstance(instance, TypedStorage) and instance.dtype == own
        )

    @property
    def dtype(cls):
        return cls._legacy_dtype

    def __repr__(cls):
        return f"<class 'torch.{cls.__name__}'>"


_LEGACY = {}


def _legacy_class(name):
    """The class ``FloatStorage`` and its kin, made when first asked for."""
    if name not in _LEGACY:
        dtype = _dtype_of_name(name)

        def new(cls, *args, **kwargs):
            return TypedStorage(*args, dtype=cls._legacy_dtype, _internal=True, **kwargs)

        body = {"__module__": __name__.partition(".")[0], "__new__": new, "_legacy_dtype": dtype,
                "__doc__": f"A storage of {dtype} elements."}  # fmt: skip
        _LEGACY[name] = _LegacyMeta(name, (TypedStorage,), body)
    return _LEGACY[name]


_CONVERSIONS = {
    "double": _C.float64, "float": _C.float32, "half": _C.float16, "long": _C.int64, "int": _C.int32,
    "short": _C.int16, "char": _C.int8, "byte": _C.uint8, "bool": _C.bool, "bfloat16": _C.bfloat16,
    "complex_double": _C.complex128, "complex_float": _C.complex64,
}  # fmt: skip


def _conversion(name, dtype):
    def untyped(self):
        return self._as(dtype)

    def typed(self):
        return self._to(dtype)

    for cls, function in ((UntypedStorage, untyped), (TypedStorage, typed)):
        function.__name__, function.__qualname__ = name, f"{cls.__name__}.{name}"
        function.__doc__ = f"The elements as a `TypedStorage` of {dtype}."
        setattr(cls, name, function)


def _as(self, dtype):
    """Each byte as an element of a dtype."""
    return TypedStorage(wrap_storage=_storage_of(self._bytes().to(dtype).clone()), dtype=dtype, _internal=True)


UntypedStorage._as = _as
for _name, _dtype in _CONVERSIONS.items():
    _conversion(_name, _dtype)
