"""Storages: the memory that tensors share, as bytes or as elements of one dtype."""

from ._typed_storage import (
    _TYPE_NAMES,
    TypedStorage,
    _legacy_class,
)
from ._untyped_storage import UntypedStorage

__all__ = ["TypedStorage", "UntypedStorage"]


def _load_from_bytes(data):
    """The storage that pickles hold as a file."""
    import io

    from .serialization import load

    return load(io.BytesIO(data), weights_only=False)


def __getattr__(name):
    if name in _TYPE_NAMES.values():
        return _legacy_class(name)
    raise AttributeError(f"module {__name__!r} has no attribute '{name}'")
