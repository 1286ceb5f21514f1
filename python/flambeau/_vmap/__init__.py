"""``vmap``: a function mapped over a dimension of its arguments.

The function runs once, on tensors that hide the dimension (`_batched`); every operator has a rule for them, or runs for
each sample (`_operators`). Rules by subject: `_pointwise`, `_shape`, `_reduce`, `_index`, `_matrix`, `_nn`, `_random`.
"""

from ._interface import vmap

__all__ = ["vmap"]
