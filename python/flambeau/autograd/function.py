"""Custom differentiable functions."""

import functools

import flambeau as fl
from flambeau.autograd._function import Function, FunctionCtx

__all__ = ["Function", "FunctionCtx", "InplaceFunction", "once_differentiable"]


class InplaceFunction(Function):
    """A `Function` that may be told to work in place."""

    def __init__(self, inplace=False):
        super().__init__()
        self.inplace = inplace


class _Delayed(Function):
    """The identity, whose own derivative is an error."""

    @staticmethod
    def forward(ctx, *tensors):
        return tuple(None if tensor is None else tensor.view_as(tensor) for tensor in tensors)

    @staticmethod
    def backward(ctx, *gradients):
        raise RuntimeError("trying to differentiate twice a function that was marked with @once_differentiable")


def once_differentiable(fn):
    """Decorator for a `backward` that isn't itself differentiable: a second derivative raises RuntimeError."""

    @functools.wraps(fn)
    def wrapper(ctx, *gradients):
        with fl.no_grad():
            outputs = fn(ctx, *gradients)
        if not fl.is_grad_enabled() or not any(isinstance(g, fl.Tensor) and g.requires_grad for g in gradients):
            return outputs
        single = not isinstance(outputs, tuple)
        marked = []
        for output in (outputs,) if single else outputs:
            if output is not None:
                output = output.detach()
                output.requires_grad = True
            marked.append(output)
        results = _Delayed.apply(*marked)
        return results[0] if single else results

    return wrapper
