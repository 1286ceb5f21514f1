"""Tensors without data, by which PyTorch's compiler follows a program: nothing here makes any."""

from .. import Tensor

__all__ = ["FakeTensor", "is_fake"]


class FakeTensor(Tensor):
    """The class of tensors without data, of which there are none."""

    def __new__(cls, *args, **kwargs):
        """Refuses: programs are not traced."""
        raise NotImplementedError("flambeau has no fake tensors: programs are not traced")


def is_fake(x):
    """Whether `x` is a tensor without data: False."""
    return isinstance(x, FakeTensor)
