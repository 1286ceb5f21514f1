"""Queues of work on an accelerator, and points in them: there is no accelerator."""

__all__ = ["AcceleratorError", "Event", "Stream"]


class AcceleratorError(RuntimeError):
    """An accelerator reported an error."""


class Stream:
    """A queue of work on an accelerator."""

    def __init__(self, *args, **kwargs):
        raise RuntimeError(f"Tried to instantiate dummy base class {type(self).__name__}: there is no accelerator")


class Event:
    """A point in a stream."""

    def __init__(self, *args, **kwargs):
        raise RuntimeError(f"Tried to instantiate dummy base class {type(self).__name__}: there is no accelerator")
