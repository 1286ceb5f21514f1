"""Forward-mode differentiation: dual tensors carry a tangent through every operation.

with forward_ad.dual_level():
    dual = forward_ad.make_dual(x, v)
    value, jvp = forward_ad.unpack_dual(f(dual))
"""

from typing import NamedTuple

import flambeau as fl
from flambeau import _C

__all__ = [
    "UnpackedDualTensor",
    "dual_level",
    "enter_dual_level",
    "exit_dual_level",
    "make_dual",
    "unpack_dual",
]

_current_level = -1


class UnpackedDualTensor(NamedTuple):
    """What `unpack_dual` returns; `tangent` is None for a tensor that is not dual."""

    primal: "fl.Tensor"
    tangent: "fl.Tensor | None"


def enter_dual_level():
    """Begins a level in which dual tensors live, and returns its number. Levels do not nest."""
    global _current_level
    _C._enter_dual_level()
    _current_level = 0
    return 0


def exit_dual_level(*, level=None):
    """Ends a level: its dual tensors lose their tangents."""
    global _current_level
    level = _current_level if level is None else level
    if level != _current_level or level < 0:
        raise RuntimeError(
            "Trying to exit a forward AD level that was not the last one that was created. This is not supported."
        )
    _C._exit_dual_level()
    _current_level = -1


def make_dual(tensor, tangent, *, level=None):
    """A dual tensor: the elements of `tensor`, and `tangent` (of the same shape and dtype) as their derivative."""
    if (_current_level if level is None else level) < 0:
        raise RuntimeError(
            "Trying to create a dual Tensor for forward AD but no level exists, make sure to enter_dual_level() first."
        )
    for name, value in (("primal", tensor), ("tangent", tangent)):
        if not (value.is_floating_point() or value.is_complex()):
            raise ValueError(f"Expected {name} to be floating point or complex, but got: {value.dtype}")
    return _C._make_dual(tensor, tangent)


def unpack_dual(tensor, *, level=None):
    """The value of a tensor and its tangent, `(primal, tangent)`."""
    if (_current_level if level is None else level) < 0:
        return UnpackedDualTensor(tensor, None)
    tangent = _C._tangent(tensor)
    return UnpackedDualTensor(tensor if tangent is None or tensor.requires_grad else tensor.detach(), tangent)


class dual_level:
    """A context in which dual tensors live."""

    def __enter__(self):
        return enter_dual_level()

    def __exit__(self, *error):
        exit_dual_level()
