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
