"""Modes that PyTorch's operators ask, and what programs ask about subclasses of tensors that consist of others."""

import flambeau as torch

__all__ = ["TorchDispatchMode", "is_traceable_wrapper_subclass"]


def is_traceable_wrapper_subclass(t):
    """Whether an object is of a subclass of Tensor that says which tensors it consists of."""
    inside = isinstance(t, torch.Tensor) and type(t) is not torch.Tensor
    return inside and hasattr(t, "__tensor_flatten__") and hasattr(t, "__tensor_unflatten__")


class TorchDispatchMode:
    """A region, `with mode:`, whose `__torch_dispatch__` would be asked by every operator, which operators here do not do."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        raise NotImplementedError

    def __enter__(self):
        raise NotImplementedError(
            f"{type(self).__name__}: flambeau's operators do not call __torch_dispatch__ of a mode"
        )

    def __exit__(self, exc_type, exc_val, exc_tb):
        return None
