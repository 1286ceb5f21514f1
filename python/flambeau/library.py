"""Operators that programs define themselves, with gradients and shapes of their own: `torch.library`."""

from ._library.definitions import CustomOpDef, Library, define, find, impl
from ._library.schema import infer_schema

__all__ = [
    "CustomOpDef", "Library", "custom_op", "define", "impl", "impl_abstract", "infer_schema", "register_autograd",
    "register_fake", "register_kernel",
]  # fmt: skip


def custom_op(name, fn=None, /, *, mutates_args, device_types=None, schema=None, tags=None):
    """Makes a function the operator `namespace::name`; without `fn` a decorator."""

    def make(function):
        text = infer_schema(function, mutates_args=mutates_args) if schema is None else schema
        return CustomOpDef(name, text, function, device_types)

    return make if fn is None else make(fn)


def register_fake(op, func=None, /, *, lib=None, _stacklevel=1, allow_override=False):
    """Says what an operator gives for tensors without elements; without `func` a decorator."""

    def register(function):
        find(op).fake = function
        return function

    return register if func is None else register(func)


impl_abstract = register_fake


def register_autograd(op, backward, /, *, setup_context=None, lib=None):
    """Gives an operator a gradient: `backward(ctx, *grads)`, for which `setup_context(ctx, inputs, output)` saves."""
    found = find(op)
    found.backward, found.setup_context = backward, setup_context


def register_kernel(op, device_types, func=None, /, *, lib=None):
    """Gives an operator an implementation for some types of devices, or with None for all; without `func` a decorator."""

    def register(function):
        find(op).implement(device_types, function)
        return function

    return register if func is None else register(func)
