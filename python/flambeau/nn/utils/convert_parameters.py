"""Parameters as one vector, and back."""

import flambeau as torch

from ..modules.module import _typename

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def _check_device(parameter, device):
    """The device that all parameters share; TypeError if there are two."""
    if device is not None and parameter.device != device:
        raise TypeError("Found two parameters on different devices, this is currently not supported.")
    return parameter.device


def parameters_to_vector(parameters):
    """All parameters, flattened, one after the other."""
    device, pieces = None, []
    for parameter in parameters:
        device = _check_device(parameter, device)
        pieces.append(parameter.view(-1))
    return torch.cat(pieces)


def vector_to_parameters(vec, parameters):
    """Makes the parameters views of consecutive parts of a vector."""
    if not isinstance(vec, torch.Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {_typename(vec)}")
    device, start = None, 0
    for parameter in parameters:
        device = _check_device(parameter, device)
        count = parameter.numel()
        parameter.data = vec[start : start + count].view_as(parameter).data
        start += count
