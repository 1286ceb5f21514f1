"""Reductions that leave masked elements out: ``torch.masked``."""

from . import _C

globals().update(_C._functions("masked"))
