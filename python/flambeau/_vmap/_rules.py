"""All batching rules: read when a function is first mapped."""

from . import _index, _matrix, _methods, _nn, _pointwise, _reduce, _shape
from . import _random as random

__all__ = ["random"]

_MODULES = (_index, _matrix, _methods, _nn, _pointwise, _reduce, _shape)
