"""Mapping a function over a dimension."""

from ..func import vmap

__all__ = ["vmap"]
