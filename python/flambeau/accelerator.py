"""Whatever accelerator the machine has. None is linked in: the answers are PyTorch's on a machine without one."""

from collections import OrderedDict

__all__ = [
    "Graph",
    "current_accelerator",
    "current_device_idx",
    "current_device_index",
    "current_stream",
    "device_count",
    "device_index",
    "empty_cache",
    "empty_host_cache",
    "get_device_capability",
    "get_memory_info",
    "is_available",
    "max_memory_allocated",
    "max_memory_reserved",
    "memory_allocated",
    "memory_reserved",
    "memory_stats",
    "reset_accumulated_memory_stats",
    "reset_peak_memory_stats",
    "set_device_idx",
    "set_device_index",
    "set_stream",
    "synchronize",
]


def _absent():
    raise RuntimeError("Cannot access accelerator device when none is available.")


def device_count():
    """0."""
    return 0


def is_available():
    """False."""
    return False


def current_accelerator(check_available=False):
    """None: there is no accelerator."""
    return None


def get_device_capability(device=None, /):
    """Raises: there is no accelerator to ask."""
    _absent()


def current_device_index():
    """Raises: there is no accelerator."""
    _absent()


def current_device_idx():
    """Raises: there is no accelerator."""
    _absent()


def set_device_index(device, /):
    """Raises, except for None: there is no accelerator to choose."""
    if device is not None:
        _absent()


def set_device_idx(device, /):
    """Raises, except for None: there is no accelerator to choose."""
    set_device_index(device)


def current_stream(device=None, /):
    """Raises: there is no accelerator."""
    _absent()


def set_stream(stream):
    """Raises: there is no accelerator."""
    _absent()


def synchronize(device=None, /):
    """Raises: there is no accelerator to wait for."""
    _absent()


class device_index:
    """A context that would choose a device; with None it does nothing."""

    def __init__(self, device, /):
        self.idx = device

    def __enter__(self):
        if self.idx is not None:
            _absent()

    def __exit__(self, *_):
        pass


class Graph:
    """Work recorded on an accelerator. There is none: making one raises."""

    def __init__(self, keep_graph=False, *, pool=None, capture_error_mode="default"):
        _absent()


def empty_cache():
    """Nothing to empty."""


def empty_host_cache():
    """Nothing to empty."""


def memory_stats(device_index=None, /):
    """Nothing to tell."""
    return OrderedDict()


def memory_allocated(device_index=None, /):
    """0."""
    return 0


def max_memory_allocated(device_index=None, /):
    """0."""
    return 0


def memory_reserved(device_index=None, /):
    """0."""
    return 0


def max_memory_reserved(device_index=None, /):
    """0."""
    return 0


def reset_accumulated_memory_stats(device_index=None, /):
    """Nothing to reset."""


def reset_peak_memory_stats(device_index=None, /):
    """Nothing to reset."""


def get_memory_info(device_index=None, /):
    """Raises: there is no accelerator."""
    _absent()
