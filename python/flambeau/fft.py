"""Operators of ``torch.fft``."""

from . import _C
from ._C import Tensor  # noqa: F401

globals().update(_C._functions("fft"))
