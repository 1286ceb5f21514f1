"""Modules whose parameters are spread over the processes of a group, which there is none of."""

import dataclasses
from typing import Any

from flambeau.nn import Module

from . import get_rank

__all__ = ["FSDPModule", "FullyShardedDataParallel", "MixedPrecisionPolicy", "OffloadPolicy", "fully_shard"]


class FSDPModule:
    """The class that a module is given when its parameters are spread: there is never one."""


class FullyShardedDataParallel(Module):
    """Spreads a module's parameters over a group's processes; without a group a ValueError."""

    def __init__(self, module, *args, **settings):
        super().__init__()
        get_rank()


@dataclasses.dataclass(frozen=True)
class MixedPrecisionPolicy:
    """The dtypes in which spread parameters are gathered, gradients added up and outputs returned."""

    param_dtype: Any = None
    reduce_dtype: Any = None
    output_dtype: Any = None
    cast_forward_inputs: bool = True


@dataclasses.dataclass
class OffloadPolicy:
    """That parameters stay on the device."""


def fully_shard(module, *, mesh=None, **settings):
    """Spreads a module's parameters over a group's processes; without a group a ValueError."""
    get_rank()
