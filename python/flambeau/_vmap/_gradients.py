"""Derivatives where tensors are batched."""

import flambeau as torch
from flambeau._levels import state
from flambeau.autograd import _passes

from ._batched import Batched, like, physical
from ._operators import full_value, innermost

Tensor = torch.Tensor


def lift(tensor, levels=None):
    """A tensor with the hidden dimensions of all running `vmap`s, as a view that repeats it along those it lacks."""
    levels = state.stack if levels is None else levels
    if not levels:
        return tensor
    level = levels[-1]
    return Batched(lift(full_value(tensor, level), levels[:-1]), level)


def leaf(tensor):
    """A leaf with the value of a tensor: the tensor, and the plain tensor behind it."""
    plain = physical(tensor).detach().requires_grad_(True)
    return like(tensor, plain), plain


def run(outputs, gradients, retain, create, inputs):
    """Gradients of `outputs` by `inputs` as the engine gives them, for tensors of which some are batched."""
    level = innermost((outputs, inputs, gradients))
    if level is None:
        return _passes.run(outputs, gradients, retain, create, inputs, True, False)
    for place, gradient in enumerate(gradients):
        if gradient is None:
            raise RuntimeError(f"element {place} of tensors does not require grad and does not have a grad_fn")
    own = [_has(output, level) for output in outputs]
    rest = [place for place, mine in enumerate(own) if not mine]
    results = [None] * len(inputs)
    if any(own):
        if not all(_has(value, level) for value in inputs):
            raise RuntimeError("element 0 of tensors does not require grad and does not have a grad_fn")
        found = run(
            [output.value for output, mine in zip(outputs, own) if mine],
            [full_value(gradient, level) for gradient, mine in zip(gradients, own) if mine],
            retain or bool(rest),
            create,
            [value.value for value in inputs],
        )
        results = [None if gradient is None else Batched(gradient, level) for gradient in found]
    places = [place for place, value in enumerate(inputs) if not _has(value, level)]
    for hidden in (True, False):
        part = [place for place in rest if _has(gradients[place], level) is hidden]
        if not part or not places:
            continue
        given = [gradients[place].value if hidden else gradients[place] for place in part]
        function = rows if hidden else run
        found = function([outputs[p] for p in part], given, True, create, [inputs[p] for p in places])
        for place, gradient in zip(places, found):
            if gradient is not None:
                gradient = Batched(gradient, level) if hidden else gradient
                results[place] = gradient if results[place] is None else results[place] + gradient
    return tuple(results)


def _has(tensor, level):
    return type(tensor) is Batched and tensor.level is level


def rows(outputs, gradients, retain, create, inputs):
    """A backward pass for each index of the first dimension of `gradients`, the results stacked."""
    size = gradients[0].shape[0]
    if not size:
        return tuple(value.new_zeros((0, *value.shape)) for value in inputs)
    found = []
    plain = innermost((outputs, inputs, gradients)) is None
    for index, row in enumerate(zip(*[gradient.unbind(0) for gradient in gradients])):
        keep = retain or index + 1 < size
        if plain:
            found.append(_passes.run(outputs, row, keep, create, inputs, True, False))
        else:
            found.append(run(outputs, row, keep, create, inputs))
    return tuple(None if column[0] is None else torch.stack(column) for column in zip(*found))
