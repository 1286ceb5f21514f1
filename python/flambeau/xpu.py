"""Intel's devices. No backend is linked in: there are none."""

__all__ = ["device_count", "empty_cache", "is_available", "is_initialized", "manual_seed", "manual_seed_all"]


def is_available():
    """False."""
    return False


def is_initialized():
    """False."""
    return False


def device_count():
    """0."""
    return 0


def manual_seed(seed):
    """Nothing: seeds of absent devices are ignored."""


def manual_seed_all(seed):
    """Nothing: seeds of absent devices are ignored."""


def empty_cache():
    """Nothing to empty."""


def synchronize(device=None):
    """Raises: there is no such device."""
    raise AssertionError("Torch not compiled with XPU enabled")


current_device = current_stream = get_device_name = set_device = synchronize
