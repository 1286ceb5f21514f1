"""Queues of work on a CUDA device, and points in them: none can be made."""

from .._streams import Event as _Event
from .._streams import Stream as _Stream

__all__ = ["Event", "ExternalStream", "Stream"]


class Stream(_Stream):
    """A queue of work on a device."""


class ExternalStream(Stream):
    """A queue of work that another library made."""


class Event(_Event):
    """A point in a stream."""


class StreamContext:
    """Puts work in a stream for a block; with None it does nothing."""

    def __init__(self, stream):
        self.stream = stream

    def __enter__(self):
        if self.stream is not None:
            from ._absent import MISSING

            raise AssertionError(MISSING)

    def __exit__(self, *_):
        return None


def stream(stream):
    """The context that puts work in a stream."""
    return StreamContext(stream)
