"""Choosing the implementation of scaled dot-product attention."""

import enum
from contextlib import contextmanager

__all__ = ["SDPBackend", "WARN_FOR_UNFUSED_KERNELS", "sdpa_kernel"]

# Whether to say why a fused kernel was not used.
WARN_FOR_UNFUSED_KERNELS = False


class SDPBackend(enum.Enum):
    """The implementations that PyTorch knows. On the CPU there is one, which all of them stand for."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4

    def __int__(self):
        return self.value

    __index__ = __int__


_enabled = list(SDPBackend)


@contextmanager
def sdpa_kernel(backends, set_priority=False):
    """Within the context, attention may use these backends only."""
    global _enabled
    if isinstance(backends, SDPBackend):
        backends = [backends]
    if not isinstance(backends, (list, tuple)) or not all(isinstance(item, SDPBackend) for item in backends):
        raise AssertionError("Backend must be an instance of SDPBackend or a list of SDPBackend instances")
    before, _enabled = _enabled, list(dict.fromkeys(backends))
    try:
        yield {}
    finally:
        _enabled = before


def _cur_sdpa_kernel_backends(with_priority=False):
    """The backends that attention may use."""
    return list(_enabled)
