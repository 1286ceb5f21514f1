"""Custom functions (`autograd.Function`) with batched arguments."""

from typing import NamedTuple

import flambeau as torch
from flambeau._levels import Level, state

from ._batched import Batched, values_at, wrap
from ._operators import full_value, innermost, stack

Tensor = torch.Tensor


class VmapInfo(NamedTuple):
    """What a function's own `vmap` learns."""

    batch_size: int
    randomness: str


class _Running:
    """A level while a function's code runs, which may be after the `vmap` that it belongs to."""

    def __init__(self, size, randomness):
        self.level = Level(len(state.stack) + 1, size, randomness)

    def __enter__(self):
        from ._places import enter

        self.before = state.stack
        state.stack = (*self.before, self.level)
        enter()
        return self.level

    def __exit__(self, *error):
        from ._places import leave

        leave()
        state.stack = self.before
        self.level.alive = False


def apply(cls, args, kwargs):
    """`cls.apply` where some arguments are batched."""
    level = innermost(args)
    name = cls.__name__
    custom = cls.vmap is not torch.autograd.Function.vmap
    if custom and cls.generate_vmap_rule:
        raise RuntimeError(
            f"You tried to vmap over {name}, but it has both generate_vmap_rule=True and an overriden vmap staticmethod. "
            "Please set generate_vmap_rule=False or delete the overriden vmap staticmethod to avoid ambiguity. For more "
            "information, please see https://pytorch.org/docs/main/notes/extending.func.html"
        )
    hidden = tuple(type(arg) is Batched and arg.level is level for arg in args)
    if custom:
        return _own_rule(cls, level, hidden, args)
    if cls.generate_vmap_rule and cls.setup_context is not torch.autograd.Function.setup_context:
        values = tuple(arg.value if mine else arg for arg, mine in zip(args, hidden))
        result = _generated(cls, level, hidden).apply(*values)
        return wrap(level, result)
    results = [cls.apply(*values_at(args, level, index), **kwargs) for index in range(level.size)]
    return stack(name, level, results)


def _own_rule(cls, level, hidden, args):
    running = state.stack
    state.stack = tuple(other for other in running if other is not level)
    try:
        values = [arg.value if mine else arg for arg, mine in zip(args, hidden)]
        dims = tuple(0 if mine else None for mine in hidden)
        result = cls.vmap(VmapInfo(level.size, level.randomness), dims, *values)
    finally:
        state.stack = running
    if not isinstance(result, tuple) or len(result) != 2:
        raise RuntimeError(f"vmap staticmethod of {cls.__name__}: expected to have two returns, got {result!r}")
    outputs, dims = result
    if not isinstance(outputs, tuple):
        return _placed(outputs, dims, level)
    dims = dims if isinstance(dims, (tuple, list)) else (dims,) * len(outputs)
    if len(dims) != len(outputs):
        raise RuntimeError(
            f"The vmap staticmethod of {cls.__name__} returned {len(outputs)} outputs and {len(dims)} dims"
        )
    return tuple(_placed(output, dim, level) for output, dim in zip(outputs, dims))


def _placed(output, dim, level):
    if dim is None or not isinstance(output, Tensor):
        return output
    return Batched(output.movedim(dim, 0), level)


class _Context:
    """The context that the function sees: what it keeps is batched again when it is asked for."""

    def __init__(self):
        self._kept = ()
        self.needs_input_grad = ()

    def save_for_backward(self, *tensors):
        """Keeps tensors for ``saved_tensors``."""
        self._kept = tensors

    def save_for_forward(self, *tensors):
        """Forward mode needs nothing kept: it goes by the backward pass."""

    def mark_non_differentiable(self, *args):
        """Outputs without gradients."""
        self._fixed = args

    def mark_dirty(self, *args):
        """Refused: the rule could not see the change."""
        raise RuntimeError("mark_dirty is not supported with generate_vmap_rule=True")

    def set_materialize_grads(self, value):
        """Gradients that are missing are zeros."""

    @property
    def saved_tensors(self):
        """The tensors kept."""
        return self._kept


def _generated(cls, level, hidden):
    """The function on values with the hidden dimension: its code runs under a level of its own."""
    size, randomness = level.size, level.randomness

    def batch(values, marks, inner):
        return [Batched(value, inner) if mark else value for value, mark in zip(values, marks)]

    def forward(*values):
        with _Running(size, randomness) as inner:
            result = cls.forward(*batch(values, hidden, inner))
            if isinstance(result, tuple):
                return tuple(full_value(out, inner) if isinstance(out, Tensor) else out for out in result)
            return full_value(result, inner)

    def setup_context(ctx, inputs, output):
        own = ctx.own = _Context()
        with _Running(size, randomness) as inner:
            outs = output if isinstance(output, tuple) else (output,)
            shown = batch(outs, [isinstance(out, Tensor) for out in outs], inner)
            cls.setup_context(
                own, tuple(batch(inputs, hidden, inner)), tuple(shown) if isinstance(output, tuple) else shown[0]
            )
            ctx.marks = [type(kept) is Batched and kept.level is inner for kept in own._kept]
            ctx.save_for_backward(*[k.value if mark else k for k, mark in zip(own._kept, ctx.marks)])
            fixed = getattr(own, "_fixed", ())
            ctx.mark_non_differentiable(*[out for out, s in zip(outs, shown) if any(s is f for f in fixed)])
        own._kept = ()

    def backward(ctx, *gradients):
        own = ctx.own
        own.needs_input_grad = ctx.needs_input_grad
        with _Running(size, randomness) as inner:
            own._kept = tuple(batch(ctx.saved_tensors, ctx.marks, inner))
            found = cls.backward(own, *batch(gradients, [g is not None for g in gradients], inner))
            own._kept = ()
            found = found if isinstance(found, tuple) else (found,)
            results = []
            for place, gradient in enumerate(found):
                if gradient is not None and place < len(hidden):
                    gradient = full_value(gradient, inner)
                    gradient = gradient if hidden[place] else gradient.sum(0)
                results.append(gradient)
        return tuple(results)

    methods = {"forward": forward, "setup_context": setup_context, "backward": backward}
    methods = {name: staticmethod(method) for name, method in methods.items()}
    return type(cls.__name__, (torch.autograd.Function,), {**methods, "generate_vmap_rule": True})
