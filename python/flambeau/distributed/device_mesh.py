"""Meshes of devices over several processes, which need a process group."""

from . import get_rank

__all__ = ["DeviceMesh", "init_device_mesh"]


class DeviceMesh:
    """The class of arrangements of a group's devices, of which there are none; without a group a ValueError."""

    def __init__(self, *args, **kwargs):
        get_rank()


def init_device_mesh(device_type, mesh_shape, *, mesh_dim_names=None, backend_override=None):
    """Arranges a group's devices; without a group a ValueError."""
    get_rank()
