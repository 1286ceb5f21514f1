"""The mixed precision of `torch.amp` for the CPU, under its older names."""

from .. import amp as _amp
from .._C import bfloat16

__all__ = ["GradScaler", "autocast"]


class autocast(_amp.autocast):
    """`torch.amp.autocast` for the CPU."""

    def __init__(self, enabled=True, dtype=bfloat16, cache_enabled=True):
        super().__init__("cpu", enabled=enabled, dtype=dtype, cache_enabled=cache_enabled)


class GradScaler(_amp.GradScaler):
    """`torch.amp.GradScaler` for the CPU."""

    def __init__(self, init_scale=65536.0, growth_factor=2.0, backoff_factor=0.5, growth_interval=2000, enabled=True):
        super().__init__("cpu", init_scale, growth_factor, backoff_factor, growth_interval, enabled)
