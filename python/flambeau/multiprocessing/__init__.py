"""Python's `multiprocessing`, whose queues and pipes pass the memory of tensors instead of copies."""

import multiprocessing as _standard
from multiprocessing import *  # noqa: F403

from . import reductions as _reductions
from .spawn import (
    ProcessContext,
    ProcessExitedException,
    ProcessRaisedException,
    SpawnContext,
    spawn,
    start_processes,
)

__all__ = ["get_all_sharing_strategies", "get_sharing_strategy", "set_sharing_strategy", "spawn", "start_processes"]
__all__ += _standard.__all__

_reductions.register()


def get_all_sharing_strategies():
    """The ways in which memory is handed over: by file descriptor."""
    return {"file_descriptor"}


def get_sharing_strategy():
    """The way in which memory is handed over."""
    return "file_descriptor"


def set_sharing_strategy(new_strategy):
    """Sets the way in which memory is handed over, of which there is one."""
    if new_strategy not in get_all_sharing_strategies():
        raise AssertionError(
            f"invalid sharing strategy: {new_strategy!r}; available: {sorted(get_all_sharing_strategies())}"
        )
