"""Shapes and dtypes of the values of a captured program."""

from typing import Any, NamedTuple

import flambeau as torch

from ..interpreter import Interpreter
from ..node import map_aggregate

__all__ = ["ShapeProp", "TensorMetadata"]


class TensorMetadata(NamedTuple):
    """What is noted of a tensor."""

    shape: torch.Size
    dtype: torch.dtype
    requires_grad: bool
    stride: tuple
    memory_format: Any
    is_quantized: bool
    qparams: dict


def _extract_tensor_metadata(result, include_contiguity=True):
    form = None
    if include_contiguity:
        for form in (torch.contiguous_format, torch.channels_last, torch.channels_last_3d, None):
            wanted = {torch.channels_last: 4, torch.channels_last_3d: 5}.get(form)
            if form is None or (wanted in (None, result.dim()) and result.is_contiguous(memory_format=form)):
                break
    return TensorMetadata(result.shape, result.dtype, result.requires_grad, result.stride(), form, False, {})


class ShapeProp(Interpreter):
    """Runs a program and notes at its nodes, in `meta`, the type of each value, and what tensors are like."""

    def __init__(self, gm, fake_mode=None):
        super().__init__(gm)
        if fake_mode is not None:
            raise NotImplementedError("ShapeProp: flambeau runs programs with real tensors only")

    def run_node(self, n):
        """A node's value, of which notes are taken."""
        result = super().run_node(n)
        found = []

        def note(item):
            if not isinstance(item, torch.Tensor):
                return item
            found.append(item)
            return _extract_tensor_metadata(item)

        noted = map_aggregate(result, note)
        if found:
            n.meta["tensor_meta"] = noted
        n.meta["type"] = type(result)
        return result

    def propagate(self, *args):
        """Runs the program with these inputs."""
        return super().run(*args)
