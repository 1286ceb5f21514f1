"""Questions about tensors that PyTorch asks of traced ones too."""

from .._C import Tensor

__all__ = ["is_contiguous", "is_contiguous_or_false"]


def is_contiguous(a):
    """Whether the elements lie one after the other."""
    return a.is_contiguous()


is_contiguous_or_false = is_contiguous
TensorLikeType = TensorLike = Tensor
