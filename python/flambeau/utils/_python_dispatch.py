"""What programs ask about subclasses of tensors that consist of others."""

import flambeau as torch

__all__ = ["is_traceable_wrapper_subclass"]


def is_traceable_wrapper_subclass(t):
    """Whether an object is of a subclass of Tensor that says which tensors it consists of."""
    inside = isinstance(t, torch.Tensor) and type(t) is not torch.Tensor
    return inside and hasattr(t, "__tensor_flatten__") and hasattr(t, "__tensor_unflatten__")
