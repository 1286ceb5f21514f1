"""Operators of ``torch.special``."""

from . import _C

globals().update(_C._functions("special"))
