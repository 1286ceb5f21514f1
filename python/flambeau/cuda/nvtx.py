"""Marks for NVIDIA's profilers, which are not linked in."""

from contextlib import contextmanager

__all__ = ["mark", "range", "range_end", "range_pop", "range_push", "range_start"]


def _absent(name):
    def function(*args, **kwargs):
        raise RuntimeError("NVTX functions not installed. Are you sure you have a CUDA build?")

    function.__name__ = function.__qualname__ = name
    function.__doc__ = "Raises: there is no NVTX."
    return function


mark = _absent("mark")
range_end = _absent("range_end")
range_pop = _absent("range_pop")
range_push = _absent("range_push")
range_start = _absent("range_start")


@contextmanager
def range(msg, *args, **kwargs):
    """A block under a name."""
    range_push(msg.format(*args, **kwargs))
    yield
