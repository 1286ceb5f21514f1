"""Whether processes work together: they don't, as this library runs in one process on one machine."""

import os

__all__ = [
    "ProcessGroup", "ReduceOp", "Store", "Work", "destroy_process_group", "get_backend", "get_rank", "get_world_size",
    "group", "init_process_group", "is_available", "is_backend_available", "is_gloo_available", "is_initialized",
    "is_mpi_available", "is_nccl_available", "is_torchelastic_launched", "is_ucc_available", "is_xccl_available",
    "new_group",
]  # fmt: skip
_COLLECTIVES = """all_gather all_gather_into_tensor all_gather_object all_reduce all_to_all all_to_all_single barrier
    broadcast broadcast_object_list gather gather_object irecv isend monitored_barrier recv reduce reduce_scatter
    reduce_scatter_tensor scatter scatter_object_list send""".split()
__all__ += _COLLECTIVES


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


def get_backend(group=None):
    """The name of a group's backend; without one a ValueError."""
    return _no_group(group)


def init_process_group(*args, **kwargs):
    """Processes do not work together here."""
    raise NotImplementedError("torch.distributed.init_process_group: flambeau runs in one process on one machine")


def new_group(*args, **kwargs):
    """A group of some processes; without a default group a ValueError."""
    return _no_group(None)


def destroy_process_group(group=None):
    """Takes a group apart; there is none."""
    raise AssertionError("Process group cannot be None")


class ReduceOp:
    """How values of several processes become one."""

    SUM, AVG, PRODUCT, MIN, MAX, BAND, BOR, BXOR = range(8)


class ProcessGroup:
    """The class of groups of processes, of which there are none."""


class Work:
    """The class of communication under way, of which there is none."""


class Store:
    """The class of tables that processes share, of which there are none."""


class group:
    """Where PyTorch keeps the default group: there is none."""

    WORLD = None


def _collective(name):
    def communicate(*args, group=None, **kwargs):
        return _no_group(group)

    communicate.__name__ = communicate.__qualname__ = name
    communicate.__doc__ = "Communication within a group; without one a ValueError."
    return communicate


for _name in _COLLECTIVES:
    globals()[_name] = _collective(_name)


def __getattr__(name):
    if name in ("DeviceMesh", "device_mesh", "init_device_mesh"):
        from importlib import import_module

        found = import_module("flambeau.distributed.device_mesh")
        return found if name == "device_mesh" else getattr(found, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
