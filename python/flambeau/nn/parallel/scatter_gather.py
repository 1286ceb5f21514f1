"""Giving parts of inputs to devices, and joining outputs."""

from . import gather, scatter

__all__ = ["gather", "scatter", "scatter_kwargs"]


def scatter_kwargs(inputs, kwargs, target_gpus, dim=0):
    """Positional and keyword inputs for each device, as many of one kind as of the other."""
    inputs = scatter(inputs, target_gpus, dim) if inputs else []
    kwargs = scatter(kwargs, target_gpus, dim) if kwargs else []
    count = max(len(inputs), len(kwargs))
    return (*inputs, *[()] * (count - len(inputs))), (*kwargs, *[{}] * (count - len(kwargs)))
