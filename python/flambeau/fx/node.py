"""Parts of captured programs."""

from . import Node

__all__ = ["Node"]
