"""Tensors that are spread over several processes, which need a process group."""

from ... import _C
from .. import get_rank
from .._placements import Partial, Placement, Replicate, Shard
from ..device_mesh import DeviceMesh, init_device_mesh

__all__ = [
    "DTensor", "DeviceMesh", "Partial", "Placement", "Replicate", "Shard", "distribute_module", "distribute_tensor", "init_device_mesh",
]  # fmt: skip


class DTensor(_C.Tensor):
    """The class of tensors spread over a group's processes, of which there are none; without a group a ValueError."""

    def __new__(cls, *args, **kwargs):
        get_rank()

    @staticmethod
    def from_local(local_tensor, device_mesh=None, placements=None, **settings):
        """Makes one from the part that this process has; without a group a ValueError."""
        get_rank()


def distribute_tensor(tensor, device_mesh=None, placements=None, *, src_data_rank=0):
    """Spreads a tensor over a group's processes; without a group a ValueError."""
    get_rank()


def distribute_module(module, device_mesh=None, partition_fn=None, input_fn=None, output_fn=None):
    """Spreads a module's parameters over a group's processes; without a group a ValueError."""
    get_rank()
