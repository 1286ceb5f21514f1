"""What programs ask a compiler about itself. Nothing is compiled here."""

__all__ = ["is_compile_supported"]


def is_compile_supported(device_type):
    """Whether programs for a type of device are compiled: False."""
    return False
