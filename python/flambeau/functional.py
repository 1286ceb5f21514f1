"""Functions that PyTorch writes in Python, by the module that it has them in; all are functions of `torch` too."""

import flambeau as _torch

_NAMES = """align_tensors atleast_1d atleast_2d atleast_3d block_diag broadcast_shapes broadcast_tensors cartesian_prod
    cdist chain_matmul einsum lu meshgrid norm split stft tensordot unique unique_consecutive unravel_index""".split()
__all__ = [_name for _name in _NAMES if hasattr(_torch, _name)]
globals().update({_name: getattr(_torch, _name) for _name in __all__})
