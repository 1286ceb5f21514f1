"""CUDA devices. No backend is linked in: there are none, and using one raises the error that PyTorch raises."""

_MISSING = "Torch not compiled with CUDA enabled"


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


def _needs_cuda(name):
    def function(*args, **kwargs):
        raise AssertionError(_MISSING)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = "Raises: there is no CUDA."
    return function


for _name in (
    "current_device", "get_device_name", "get_device_properties", "get_device_capability", "synchronize",
    "current_stream", "default_stream", "mem_get_info", "get_rng_state", "set_rng_state", "set_device",
    "stream", "seed", "seed_all", "initial_seed", "memory_summary",
):  # fmt: skip
    globals()[_name] = _needs_cuda(_name)


def get_rng_state_all():
    """The states of all devices' generators: none."""
    return []


def set_rng_state_all(new_states):
    """Gives each device its generator's state: with no devices there must be no states."""
    for state in new_states:
        set_rng_state(state)  # noqa: F821


def manual_seed(seed):
    """Nothing: seeds of absent devices are ignored."""


def manual_seed_all(seed):
    """Nothing: seeds of absent devices are ignored."""


def empty_cache():
    """Nothing to empty."""


def memory_allocated(device=None):
    """0."""
    return 0


def max_memory_allocated(device=None):
    """0."""
    return 0


def memory_reserved(device=None):
    """0."""
    return 0


def max_memory_reserved(device=None):
    """0."""
    return 0


def reset_peak_memory_stats(device=None):
    """Nothing to reset."""


def memory_stats(device=None):
    """An empty dictionary."""
    return {}


class OutOfMemoryError(RuntimeError):
    """A device ran out of memory."""


class device:
    """Selects a device for a block; without CUDA it does nothing for None and negative indices."""

    def __init__(self, device):
        self.idx = -1 if device is None else device

    def __enter__(self):
        if self.idx != -1:
            raise AssertionError(_MISSING)

    def __exit__(self, *_):
        return False


class Stream:
    """A queue of work on a device."""

    def __init__(self, *args, **kwargs):
        raise RuntimeError("Tried to instantiate dummy base class Stream")


class Event:
    """A point in a stream."""

    def __init__(self, *args, **kwargs):
        raise RuntimeError("Tried to instantiate dummy base class Event")


def __getattr__(name):
    if name == "amp":
        from importlib import import_module

        return import_module("flambeau.cuda.amp")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
