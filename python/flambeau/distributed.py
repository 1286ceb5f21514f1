"""Whether processes work together: they don't, as this library runs in one process on one machine."""

import os

__all__ = [
    "get_rank", "get_world_size", "is_available", "is_backend_available", "is_gloo_available", "is_initialized",
    "is_mpi_available", "is_nccl_available", "is_torchelastic_launched", "is_ucc_available", "is_xccl_available",
]  # fmt: skip


def is_available():
    """Whether this build can communicate with other processes: it can't."""
    return False


def is_initialized():
    """Whether a process group exists."""
    return False


def is_backend_available(backend):
    """Whether there is a backend of this name."""
    return False


def is_gloo_available():
    """Whether there is the Gloo backend."""
    return False


def is_mpi_available():
    """Whether there is the MPI backend."""
    return False


def is_nccl_available():
    """Whether there is the NCCL backend."""
    return False


def is_ucc_available():
    """Whether there is the UCC backend."""
    return False


def is_xccl_available():
    """Whether there is the XCCL backend."""
    return False


def is_torchelastic_launched():
    """Whether the process was started by TorchElastic."""
    return os.environ.get("TORCHELASTIC_RUN_ID") is not None


def _no_group(group):
    if group is None:
        raise ValueError("Default process group has not been initialized, please make sure to call init_process_group.")
    return -1


def get_rank(group=None):
    """This process's number in a group; without one a ValueError."""
    return _no_group(group)


def get_world_size(group=None):
    """The number of processes in a group; without one a ValueError."""
    return _no_group(group)
