"""The gradients of convolutions with respect to their inputs and weights, as functions."""

import flambeau as torch

from . import functional as F

__all__ = ["conv1d_input", "conv1d_weight", "conv2d_input", "conv2d_weight", "conv3d_input", "conv3d_weight"]


def _gradient(convolve, wanted, shape, other, grad_output, settings):
    # The convolution is linear in each of its two factors: any values of the wanted one have the same gradient.
    with torch.enable_grad():
        variable = torch.zeros(shape, dtype=other.dtype, device=other.device, requires_grad=True)
        pair = (variable, other.detach()) if wanted == "input" else (other.detach(), variable)
        output = convolve(*pair, None, *settings)
    return torch.autograd.grad(output, variable, grad_output)[0]


def conv1d_input(input_size, weight, grad_output, stride=1, padding=0, dilation=1, groups=1):
    """The gradient of `conv1d` with respect to its input, of shape `input_size`."""
    settings = stride, padding, dilation, groups
    return _gradient(F.conv1d, "input", input_size, weight, grad_output, settings)


def conv1d_weight(input, weight_size, grad_output, stride=1, padding=0, dilation=1, groups=1):
    """The gradient of `conv1d` with respect to its weight, of shape `weight_size`."""
    settings = stride, padding, dilation, groups
    return _gradient(F.conv1d, "weight", weight_size, input, grad_output, settings)


def conv2d_input(input_size, weight, grad_output, stride=1, padding=0, dilation=1, groups=1):
    """The gradient of `conv2d` with respect to its input, of shape `input_size`."""
    settings = stride, padding, dilation, groups
    return _gradient(F.conv2d, "input", input_size, weight, grad_output, settings)


def conv2d_weight(input, weight_size, grad_output, stride=1, padding=0, dilation=1, groups=1):
    """The gradient of `conv2d` with respect to its weight, of shape `weight_size`."""
    settings = stride, padding, dilation, groups
    return _gradient(F.conv2d, "weight", weight_size, input, grad_output, settings)


def conv3d_input(input_size, weight, grad_output, stride=1, padding=0, dilation=1, groups=1):
    """The gradient of `conv3d` with respect to its input, of shape `input_size`."""
    settings = stride, padding, dilation, groups
    return _gradient(F.conv3d, "input", input_size, weight, grad_output, settings)


def conv3d_weight(input, weight_size, grad_output, stride=1, padding=0, dilation=1, groups=1):
    """The gradient of `conv3d` with respect to its weight, of shape `weight_size`."""
    settings = stride, padding, dilation, groups
    return _gradient(F.conv3d, "weight", weight_size, input, grad_output, settings)
