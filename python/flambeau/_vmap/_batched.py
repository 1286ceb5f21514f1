"""Tensors with a hidden dimension, as functions under `vmap` see them."""

import flambeau as torch

Tensor = torch.Tensor


class Batched:
    """A tensor whose first dimension is hidden: `value` has it, the user sees the rest.

    Not a tensor to the native code, which therefore refuses it wherever it was not unwrapped, but an instance of Tensor
    for `isinstance`. `value` may itself be batched, at a level further out.
    """

    __class__ = Tensor
    __slots__ = ("__dict__", "__weakref__", "level", "value")
    __hash__ = object.__hash__

    def __init__(self, value, level):
        self.value = value
        self.level = level


def wrap(level, result):
    """Results of an operator on values with the hidden dimension, as the user sees them."""
    if isinstance(result, Tensor):
        return Batched(result, level)
    if isinstance(result, (tuple, list)):
        items = [wrap(level, item) for item in result]
        return type(result)(*items) if hasattr(result, "_fields") else type(result)(items)
    return result


def values_at(tree, level, index):
    """Arguments as one sample has them: the part at `index` of every tensor with the level's dimension."""
    if type(tree) is Batched:
        return tree.value.select(0, index) if tree.level is level else tree
    if type(tree) in (tuple, list):
        return type(tree)([values_at(item, level, index) for item in tree])
    if type(tree) is dict:
        return {name: values_at(item, level, index) for name, item in tree.items()}
    return tree


def physical(tensor):
    """The plain tensor behind a batched one, all hidden dimensions in front, outermost first."""
    while type(tensor) is Batched:
        tensor = tensor.value
    return tensor


def first_part(tensor):
    """The first sample of a tensor that was left batched by a call of `vmap` that is over; others as they are."""
    if type(tensor) is Batched:
        if not tensor.level.alive:
            return tensor.value.select(0, 0)
        return Batched(first_part(tensor.value), tensor.level)
    return tensor


def levels_of(tensor):
    """The levels whose dimension a tensor has, innermost first."""
    levels = []
    while type(tensor) is Batched:
        levels.append(tensor.level)
        tensor = tensor.value
    return levels


def like(tensor, plain):
    """`plain` with the hidden dimensions of `tensor`, whose physical value it replaces."""
    for level in reversed(levels_of(tensor)):
        plain = Batched(plain, level)
    return plain
