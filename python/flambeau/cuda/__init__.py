"""CUDA devices. No backend is linked in: there are none, and using one raises the error that PyTorch raises."""

from .._more import OutOfMemoryError  # noqa: F401
from . import graphs, memory, nvtx, random, streams  # noqa: F401
from ._absent import MISSING as _MISSING
from ._absent import needs_cuda as _needs_cuda
from ._tensors import *  # noqa: F403
from .graphs import CUDAGraph, graph, graph_pool_handle, is_current_stream_capturing, make_graphed_callables  # noqa: F401
from .memory import *  # noqa: F403
from .random import *  # noqa: F403
from .streams import Event, ExternalStream, Stream, StreamContext, stream  # noqa: F401

default_generators = ()


def is_available():
    """False."""
    return False


def is_initialized():
    """False."""
    return False


def is_bf16_supported(including_emulation=True):
    """False."""
    return False


def device_count():
    """0."""
    return 0


def init():
    """Raises: there is no CUDA."""
    raise AssertionError(_MISSING)


for _name in (
    "current_device", "get_device_name", "get_device_properties", "get_device_capability", "synchronize",
    "current_stream", "default_stream", "set_device", "set_stream", "ipc_collect", "can_device_access_peer", "cudart",
    "current_blas_handle", "get_sync_debug_mode", "set_sync_debug_mode",
):  # fmt: skip
    globals()[_name] = _needs_cuda(_name)


def is_tf32_supported():
    """False."""
    return False


def get_arch_list():
    """An empty list: nothing is compiled for any."""
    return []


def get_gencode_flags():
    """An empty string: nothing is compiled for any device."""
    return ""


def _is_compiled():
    return False


class device:
    """Selects a device for a block; without CUDA it does nothing for None and negative indices."""

    def __init__(self, device):
        self.idx = -1 if device is None else device

    def __enter__(self):
        if self.idx != -1:
            raise AssertionError(_MISSING)

    def __exit__(self, *_):
        return False


class device_of(device):
    """Selects the device of a tensor for a block; of tensors elsewhere it does nothing."""

    def __init__(self, obj):
        super().__init__(obj.get_device() if obj.is_cuda else -1)


def __getattr__(name):
    if name == "amp":
        from importlib import import_module

        return import_module("flambeau.cuda.amp")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
