"""Storages: the memory that tensors share, as bytes or as elements of one dtype."""

from ._typed_storage import (
    _TYPE_NAMES,
    TypedStorage,
    _legacy_class,
)
from ._untyped_storage import UntypedStorage

__all__ = ["TypedStorage", "UntypedStorage"]


def __getattr__(name):
    if name in _TYPE_NAMES.values():
        return _legacy_class(name)
    raise AttributeError(f"module 'flambeau.storage' has no attribute '{name}'")
