"""Conditions that programs check, and arithmetic that takes traced numbers in PyTorch: here all are Python's."""

import importlib
import math

from . import _C

__all__ = [
    "_check", "_check_index", "_check_not_implemented", "_check_tensor_all", "_check_tensor_all_with", "_check_type",
    "_check_value", "_check_with", "_softmax_backward_data", "get_device_module", "sym_float", "sym_int", "sym_ite",
    "sym_max", "sym_min", "sym_not", "sym_sqrt", "sym_sum",
]  # fmt: skip

_DEFAULT = (
    "Expected cond to be True, but got False. (Could this error message be improved? If so, please report an "
    "enhancement request to PyTorch.)"
)


def _check_with(error_type, cond, message=None):
    """Raises an error of a given type unless a condition holds; `message` is a function."""
    if not isinstance(cond, bool):
        if isinstance(cond, _C.Tensor):
            raise TypeError(
                "cond must be a bool, but got a Tensor. For tensor conditions, use torch._check_tensor_all() to assert "
                "that all elements are true."
            )
        raise TypeError(f"cond must be a bool, but got {type(cond)}")
    if cond:
        return
    if message is None:
        raise error_type(_DEFAULT)
    if not callable(message):
        raise TypeError("message must be a callable")
    raise error_type(str(message()))


def _check(cond, message=None):
    """Raises a RuntimeError unless a condition holds."""
    _check_with(RuntimeError, cond, message)


def _check_index(cond, message=None):
    """Raises an IndexError unless a condition holds."""
    _check_with(IndexError, cond, message)


def _check_value(cond, message=None):
    """Raises a ValueError unless a condition holds."""
    _check_with(ValueError, cond, message)


def _check_type(cond, message=None):
    """Raises a TypeError unless a condition holds."""
    _check_with(TypeError, cond, message)


def _check_not_implemented(cond, message=None):
    """Raises a NotImplementedError unless a condition holds."""
    _check_with(NotImplementedError, cond, message)


def _check_tensor_all_with(error_type, cond, message=None):
    """Raises an error of a given type unless all elements of a tensor are true."""
    if not isinstance(cond, _C.Tensor):
        raise TypeError(f"cond must be a tensor, but got {type(cond)}")
    if cond.dtype != _C.bool:
        raise TypeError(f"cond tensor must have dtype torch.bool, but got {cond.dtype}")
    _check_with(error_type, cond.all().item(), message)


def _check_tensor_all(cond, message=None):
    """Raises a RuntimeError unless all elements of a tensor are true."""
    _check_tensor_all_with(RuntimeError, cond, message)


def sym_int(a):
    """A number without its fraction."""
    return math.trunc(a)


def sym_float(a):
    """A number as a float."""
    return float(a)


def sym_not(a):
    """Whether a value is false."""
    return not a


def sym_ite(b, t, f):
    """`t` if a condition holds, else `f`."""
    return t if b else f


def _of_one_kind(function, a, b):
    found = function(a, b)
    return float(found) if isinstance(a, float) or isinstance(b, float) else found


def sym_max(a, b):
    """The greater of two numbers; a float if one of them is."""
    return _of_one_kind(max, a, b)


def sym_min(a, b):
    """The smaller of two numbers; a float if one of them is."""
    return _of_one_kind(min, a, b)


def sym_sqrt(a):
    """The square root of a number."""
    return math.sqrt(a)


def sym_sum(args):
    """The sum of numbers."""
    return sum(args)


def _softmax_backward_data(grad_output, output, dim, input_dtype):
    """The gradient of `softmax` from its result and the result's gradient."""
    product = grad_output * output
    return (product - output * product.sum(dim, keepdim=True)).to(input_dtype)


def get_device_module(device=None):
    """The module of a type of device: `torch.cpu` or `torch.cuda`."""
    if device is not None and not isinstance(device, (str, _C.device)):
        raise RuntimeError(f"Invalid value of device '{device}', expect torch.device, str, or None")
    kind = "cpu" if device is None else _C.device(device).type
    if kind not in ("cpu", "cuda", "mps", "xpu"):
        raise RuntimeError(f"Device '{kind}' does not have a corresponding module registered as 'torch.{kind}'.")
    return importlib.import_module("flambeau." + kind)
