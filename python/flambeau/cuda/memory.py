"""Memory of CUDA devices: there is none."""

import warnings

from ._absent import needs_cuda

_ZERO = ["max_memory_allocated", "max_memory_reserved", "memory_allocated", "memory_reserved"]
_NEEDING = [
    "caching_allocator_alloc", "caching_allocator_delete", "mem_get_info", "memory_summary",
    "set_per_process_memory_fraction",
]  # fmt: skip
__all__ = [
    *_ZERO, *_NEEDING, "MemPool", "empty_cache", "max_memory_cached", "memory_cached", "memory_snapshot",
    "memory_stats", "reset_accumulated_memory_stats", "reset_max_memory_allocated", "reset_max_memory_cached",
    "reset_peak_memory_stats",
]  # fmt: skip

for _name in _NEEDING:
    globals()[_name] = needs_cuda(_name)


def _zero(name):
    def function(device=None):
        return 0

    function.__name__ = function.__qualname__ = name
    function.__doc__ = "0."
    return function


for _name in _ZERO:
    globals()[_name] = _zero(_name)


def _renamed(old, new, returned):
    def function(device=None):
        warnings.warn(f"`torch.cuda.{old}` has been renamed to `torch.cuda.{new}`", FutureWarning, stacklevel=2)
        return returned

    function.__name__ = function.__qualname__ = old
    function.__doc__ = f"`{new}` under its earlier name."
    return function


memory_cached = _renamed("memory_cached", "memory_reserved", 0)
max_memory_cached = _renamed("max_memory_cached", "max_memory_reserved", 0)
reset_max_memory_allocated = _renamed("reset_max_memory_allocated", "reset_peak_memory_stats", None)
reset_max_memory_cached = _renamed("reset_max_memory_cached", "reset_peak_memory_stats", None)


def empty_cache():
    """Nothing to empty."""


def memory_stats(device=None):
    """An empty dictionary."""
    return {}


def memory_snapshot(mempool_id=None):
    """An empty list."""
    return []


def reset_peak_memory_stats(device=None):
    """Nothing to reset."""


def reset_accumulated_memory_stats(device=None):
    """Nothing to reset."""


class MemPool:
    """Memory that is lent from a pool of its own."""

    def __init__(self, *args, **kwargs):
        raise RuntimeError("Tried to instantiate dummy base class MemPool")
