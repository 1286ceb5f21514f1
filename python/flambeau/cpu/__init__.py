"""The CPU as a device among others."""

import contextlib as _contextlib

from . import amp

__all__ = [
    "Stream", "StreamContext", "current_device", "current_stream", "device_count", "is_available", "is_initialized",
    "set_device", "stream", "synchronize",
]  # fmt: skip


class Stream:
    """The order in which the CPU works: there is one."""

    def __init__(self, priority=-1):
        pass

    def wait_stream(self, stream):
        """Nothing to wait for."""


_stream = Stream()
StreamContext = _contextlib.nullcontext


def is_available():
    """True."""
    return True


def is_initialized():
    """True."""
    return True


def device_count():
    """1."""
    return 1


def current_device():
    """ "cpu"."""
    return "cpu"


def set_device(device):
    """Nothing to choose."""


def synchronize(device=None):
    """Nothing to wait for: operators are done when they return."""


def current_stream(device=None):
    """The only stream."""
    return _stream


def stream(stream):
    """A context in which nothing is different."""
    return _contextlib.nullcontext(stream)
