"""Which devices have operators on lists of tensors, and lists cut up for them."""

from .. import _C
from .._private import _group_tensors_by_device_and_dtype as _group
from ..nn.parameter import Parameter

__all__ = []

_foreach_supported_types = [_C.Tensor, Parameter]


def _get_foreach_kernels_supported_devices():
    """The devices on which optimizers take operators on lists by default."""
    return ["cuda"]


def _get_fused_kernels_supported_devices():
    """The devices on which optimizers have fused steps."""
    return ["cuda", "cpu"]


def _group_tensors_by_device_and_dtype(tensorlistlist, with_indices=False):
    """`{(device, dtype): (lists, indices)}`: lists of equal length cut up by the tensors of the first."""
    return _group(tensorlistlist, with_indices)


def _device_has_foreach_support(device):
    """Whether the operators on lists run on a device."""
    return device.type in [*_get_foreach_kernels_supported_devices(), "cpu"]


def _has_foreach_support(tensors, device):
    """Whether the operators on lists take these tensors."""
    return _device_has_foreach_support(device) and all(
        t is None or type(t) in _foreach_supported_types for t in tensors
    )
