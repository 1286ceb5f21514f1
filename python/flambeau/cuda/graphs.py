"""Recorded work of a CUDA device: there is none to record."""

from ._absent import needs_cuda

__all__ = ["CUDAGraph", "graph", "graph_pool_handle", "is_current_stream_capturing", "make_graphed_callables"]


class CUDAGraph:
    """Work of a device, recorded to be done again."""

    def __init__(self, *args, **kwargs):
        raise RuntimeError("Tried to instantiate dummy base class CUDAGraph")


class graph:
    """A context that records work in a `CUDAGraph`."""

    def __init__(self, *args, **kwargs):
        raise RuntimeError("Tried to instantiate dummy base class CUDAGraph")


def is_current_stream_capturing():
    """False: nothing is recorded."""
    return False


graph_pool_handle = needs_cuda("graph_pool_handle")
make_graphed_callables = needs_cuda("make_graphed_callables")
