"""`DistributedDataParallel` under the name of its module."""

from . import DistributedDataParallel

__all__ = ["DistributedDataParallel"]
