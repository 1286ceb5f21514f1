"""Pickling with PyTorch's names: ``flambeau.nn`` is written as ``torch.nn`` and found again under either name."""

import pickle
import sys
import types
from collections import OrderedDict

from .._typed_storage import TypedStorage, _legacy_class
from .._untyped_storage import _Common
from ._places import location_tag


def public_module(name):
    """The name in files of a module."""
    return "torch" + name[len("flambeau") :] if name == "flambeau" or name.startswith("flambeau.") else name


def own_module(name):
    """The module of flambeau that a name in a file stands for."""
    return "flambeau" + name[len("torch") :] if name == "torch" or name.startswith("torch.") else name


def brief(value):
    """What an error says of a value in a file, whose `repr` may have no end."""
    if value is None or isinstance(value, (bool, float, complex, type)):
        return repr(value)
    if isinstance(value, (str, bytes)):
        return repr(value[:100])
    if isinstance(value, int):
        return repr(value) if value.bit_length() < 1000 else "a large number"
    return repr(value) if isinstance(value, types.FunctionType) else f"a {type(value).__name__}"


# Classes that are in another module there.
_MOVED = {("flambeau.nn.modules.attention", "MultiheadAttention"): "torch.nn.modules.activation"}
_MOVED_BACK = {(there, name): here for (here, name), there in _MOVED.items()}


def _state_of_module(module, state):
    """The state of a module with the tables of hooks that PyTorch's modules always have."""
    from ..nn.modules._hooks import TABLES

    full = {name: None if name == "_is_full_backward_hook" else OrderedDict() for name in TABLES}
    full.update(state)
    for name in ("_flat_weights_names", "_flat_weights"):
        if isinstance(getattr(type(module), name, None), property):
            full[name] = getattr(module, name)
    return full


class _Pickler(pickle._Pickler):
    """Python's pickler with names of flambeau's modules written as PyTorch's."""

    dispatch = dict(pickle._Pickler.dispatch)

    def __init__(self, file, protocol, persistent_id):
        super().__init__(file, protocol)
        self._persistent_id = persistent_id
        # No object can be a module before the class is there.
        modules = sys.modules.get("flambeau.nn.modules.module")
        self._module_class = modules.Module if modules is not None else ()

    def persistent_id(self, obj):
        return self._persistent_id(obj)

    def reducer_override(self, obj):
        if not isinstance(obj, self._module_class):
            return NotImplemented
        reduced = obj.__reduce_ex__(self.proto)
        if isinstance(reduced, tuple) and len(reduced) > 2 and isinstance(reduced[2], dict):
            reduced = (*reduced[:2], _state_of_module(obj, reduced[2]), *reduced[3:])
        return reduced

    def save_pers(self, pid):
        # In the form that carries any object, whatever the protocol.
        self.save(pid, save_persistent_id=False)
        self.write(pickle.BINPERSID)

    def save_global(self, obj, name=None):
        own = name or getattr(obj, "__qualname__", None) or obj.__name__
        if "<locals>" in own:
            raise AttributeError(f"Can't pickle local object {own!r}")
        module = pickle.whichmodule(obj, own)
        public = _MOVED.get((module, own)) or public_module(module)
        if public == module or "." in own:
            return super().save_global(obj, name)
        if self.proto >= 4:
            self.save(public)
            self.save(own)
            self.write(pickle.STACK_GLOBAL)
        else:
            self.write(pickle.GLOBAL + f"{public}\n{own}\n".encode())
        self.memoize(obj)

    dispatch[types.FunctionType] = save_global


def pickler(pickle_module, file, protocol, persistent_id):
    """A pickler of a module that gives storages to `persistent_id`."""
    if pickle_module is pickle:
        return _Pickler(file, protocol, persistent_id)

    class Pickler(pickle_module.Pickler):
        def persistent_id(self, obj):
            return persistent_id(obj)

    return Pickler(file, protocol=protocol)


def trusted_unpickler(pickle_module, file, persistent_load, options):
    """An unpickler that runs what a file asks it to run."""

    class Unpickler(pickle_module.Unpickler):
        def find_class(self, module, name):
            return super().find_class(_MOVED_BACK.get((module, name)) or own_module(module), name)

        def persistent_load(self, saved_id):
            return persistent_load(saved_id)

    return Unpickler(file, **options)


class StorageIds:
    """The persistent ids of storages: one key for each piece of memory."""

    def __init__(self, key):
        self.storages = {}
        self._dtypes = {}
        self._key = key

    def of(self, obj):
        """``("storage", class, key, tag, number of elements)`` of a storage; None for other objects."""
        if not isinstance(obj, _Common):
            return None
        if isinstance(obj, TypedStorage):
            untyped, dtype, count = obj._untyped_storage, obj.dtype, obj.size()
            kind = _legacy_class(obj.pickle_storage_type())
        else:
            untyped, dtype, count, kind = obj, None, obj.nbytes(), type(obj)
        address = untyped._cdata
        if untyped.nbytes():
            if self._dtypes.setdefault(address, dtype) != dtype:
                raise RuntimeError(
                    "Cannot save multiple tensors or storages that view the same data as different types"
                )
        key, _ = self.storages.setdefault(address, (self._key(len(self.storages), untyped), untyped))
        return "storage", kind, key, location_tag(untyped), count


def dtype_of_class(kind):
    """The dtype of the class of storages that a file names; None for untyped storages."""
    from .._untyped_storage import UntypedStorage

    if kind is UntypedStorage:
        return None
    dtype = getattr(kind, "_legacy_dtype", None)
    if dtype is None:
        raise pickle.UnpicklingError(f"the file names {brief(kind)} where a class of storages must be")
    return dtype


def checked_id(saved_id):
    """(class, key, tag, number of elements) of a persistent id, which must be a storage's."""
    if not isinstance(saved_id, tuple) or not 5 <= len(saved_id) <= 6:
        raise RuntimeError(f"Unknown saved id: {brief(saved_id)}")
    # A file of Python 2 may have bytes for text.
    parts = [part.decode("latin1") if isinstance(part, bytes) else part for part in saved_id[:5]]
    if parts[0] != "storage":
        raise RuntimeError(f"Unknown saved id type: {brief(parts[0])}")
    _, kind, key, tag, count = parts
    if not isinstance(key, str) or not isinstance(tag, str) or type(count) is not int or count < 0:
        raise pickle.UnpicklingError("the file has a malformed reference to a storage")
    return kind, key, tag, count
