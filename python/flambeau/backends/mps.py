"""The Metal backend: not linked in."""


def is_built():
    """False."""
    return False


def is_available():
    """False."""
    return False


def is_macos_or_newer(major, minor):
    """False."""
    return False
