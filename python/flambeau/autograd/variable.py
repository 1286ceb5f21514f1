"""`Variable`, what tensors with gradients were before every tensor could have them."""

import flambeau as fl

__all__ = ["Variable"]


class VariableMeta(type):
    """Makes every tensor an instance of `Variable`, and its call return a tensor."""

    def __instancecheck__(cls, other):
        return isinstance(other, fl.Tensor)

    def __call__(cls, data=None, requires_grad=False, volatile=False, *, name=None):
        if volatile:
            import warnings

            warnings.warn(
                "volatile was removed and now has no effect. Use `with torch.no_grad():` instead.", stacklevel=2
            )
            if requires_grad:
                raise ValueError("Variable can't be volatile and require_grad at the same time!")
        if data is None:
            result = fl.empty(0)
        elif isinstance(data, fl.Tensor):
            result = data.data
        else:
            module, qualname = type(data).__module__, type(data).__qualname__
            kind = qualname if module == "builtins" else f"{module}.{qualname}"
            raise TypeError(f"Variable data has to be a tensor, but got {kind}")
        if requires_grad:
            if not (result.is_floating_point() or result.is_complex()):
                raise RuntimeError("Only Tensors of floating point and complex dtype can require gradients")
            result.requires_grad_()
        return result


class Variable(metaclass=VariableMeta):
    """`Variable(data, requires_grad=False)`: a tensor that shares `data`'s memory, without its history.

    `volatile` and `name` have no effect.
    """
