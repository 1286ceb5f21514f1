"""Mapping a function over a dimension. Hidden dimensions are not made by hand here, so that what does it refuses."""

import functools

from flambeau import Tensor
from flambeau.utils._pytree import _broadcast_to_and_flatten, tree_flatten, tree_unflatten

from ..func import vmap
from .native import _refused

__all__ = ["Tensor", "_broadcast_to_and_flatten", "tree_flatten", "tree_unflatten", "vmap"]

_add_batch_dim = _maybe_remove_batch_dim = _refused


def _get_name(func):
    """A function's name, for messages."""
    if hasattr(func, "__name__"):
        return func.__name__
    return f"functools.partial({_get_name(func.func)}, ...)" if isinstance(func, functools.partial) else repr(func)
