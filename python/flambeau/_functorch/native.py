"""What programs ask PyTorch's core about tensors under transforms: `torch._C._functorch`."""

from flambeau._vmap._batched import Batched

__all__ = [
    "get_unwrapped", "is_batchedtensor", "is_functorch_wrapped_tensor", "is_gradtrackingtensor", "maybe_get_bdim",
]  # fmt: skip


def is_batchedtensor(tensor):
    """Whether a tensor has a dimension that some `vmap` hides."""
    return type(tensor) is Batched


is_functorch_wrapped_tensor = is_batchedtensor


def is_gradtrackingtensor(tensor):
    """False: derivatives are taken of ordinary tensors."""
    return False


def maybe_get_bdim(tensor):
    """The place of the hidden dimension, which is 0; -1 where there is none."""
    return 0 if is_batchedtensor(tensor) else -1


def get_unwrapped(tensor):
    """The tensor behind one with a hidden dimension, with that dimension in front."""
    if not is_batchedtensor(tensor):
        raise RuntimeError("No wrappers present!")
    return tensor.value


def _refused(*args):
    raise NotImplementedError(
        "flambeau's levels of vmap have no numbers: hidden dimensions are made by torch.vmap alone"
    )


_add_batch_dim = _remove_batch_dim = _vmap_increment_nesting = _vmap_decrement_nesting = _refused
