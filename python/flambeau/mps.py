"""Metal devices. No backend is linked in."""


def is_available():
    """False."""
    return False


def device_count():
    """0."""
    return 0


def manual_seed(seed):
    """Nothing: there is no device."""


def synchronize():
    """Raises: there is no Metal."""
    raise RuntimeError("PyTorch is not linked with support for mps devices")


def empty_cache():
    """Nothing to empty."""


def _without(call):
    raise RuntimeError(f"Cannot execute {call} without MPS backend.")


def current_allocated_memory():
    """Raises: there is no Metal."""
    _without("getCurrentAllocatedMemory()")


def driver_allocated_memory():
    """Raises: there is no Metal."""
    _without("getDriverAllocatedMemory()")


def recommended_max_memory():
    """Raises: there is no Metal."""
    _without("getRecommendedMaxMemory()")


def set_per_process_memory_fraction(fraction):
    """Raises: there is no Metal."""
    if not isinstance(fraction, float):
        raise TypeError("Invalid type for fraction argument, must be `float`")
    if not 0 <= fraction <= 2:
        raise ValueError(f"Invalid fraction value: {fraction}. Allowed range: 0~2")
    _without("setMemoryFraction()")


def get_rng_state(device="mps"):
    """Raises: there is no Metal."""
    _without("getDefaultGenerator()")


def set_rng_state(new_state, device="mps"):
    """Raises: there is no Metal."""
    _without("getDefaultGenerator()")


def seed():
    """Raises: there is no Metal."""
    _without("getDefaultGenerator()")


class Event:
    """A point in a device's work. Making one raises: there is no Metal."""

    def __init__(self, enable_timing=False):
        _without("acquireEvent()")


def compile_shader(source):
    """Raises: there is no Metal."""
    raise RuntimeError("MPS is not available")


def load_metallib(source):
    """Raises: there is no Metal."""
    raise RuntimeError("MPS is not available")
