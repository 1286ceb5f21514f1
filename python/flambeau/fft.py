"""Operators of ``torch.fft``."""

from . import _C

globals().update(_C._functions("fft"))
