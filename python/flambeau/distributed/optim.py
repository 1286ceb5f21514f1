"""Optimizers over several processes, which need a process group."""

from . import get_rank

__all__ = ["ZeroRedundancyOptimizer"]


class ZeroRedundancyOptimizer:
    """An optimizer whose state is spread over a group's processes; without a group a ValueError."""

    def __init__(self, params, optimizer_class, process_group=None, *args, **kwargs):
        get_rank(process_group)
