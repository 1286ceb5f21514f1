"""Helpers shared by the distributions: parameter broadcasting, probabilities and logits, lazy attributes."""

import functools

import flambeau as fl

__all__ = [
    "broadcast_all",
    "logits_to_probs",
    "clamp_probs",
    "probs_to_logits",
    "lazy_property",
    "tril_matrix_to_vec",
    "vec_to_tril_matrix",
]

euler_constant = 0.57721566490153286060
_NOT_NUMBERS = (
    "Input arguments must all be instances of Number, torch.Tensor or objects implementing __torch_function__."
)


def _as_number(value):
    """A Python number for a number, a NumPy scalar or a zero-dimensional array; None for anything else."""
    if isinstance(value, (bool, int, float)):
        return value
    # NumPy itself need not be imported for this
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        value = value.item()
        if isinstance(value, (bool, int, float)):
            return value
    return None


def broadcast_all(*values):
    """Tensors of one common shape for tensors and numbers.

    Numbers (NumPy scalars and zero-dimensional arrays included) take the dtype and device of the first tensor,
    or the default dtype when there is none. Raises ValueError for other kinds of arguments.
    """
    first = None
    complete = True
    for value in values:
        if isinstance(value, fl.Tensor):
            if first is None:
                first = value
        else:
            complete = False
    if not complete:
        if first is None:
            options = {"dtype": fl.get_default_dtype()}
        else:
            options = {"dtype": first.dtype, "device": first.device}
        tensors = []
        for value in values:
            if not isinstance(value, fl.Tensor) and not hasattr(value, "__torch_function__"):
                value = _as_number(value)
                if value is None:
                    raise ValueError(_NOT_NUMBERS)
                value = fl.tensor(value, **options)
            tensors.append(value)
        values = tensors
        first = values[0]
    shape = first.shape
    for value in values:
        if value.shape != shape:
            return fl.broadcast_tensors(*values)
    return tuple(values)


def _standard_normal(shape, dtype, device):
    """Draws of the standard normal distribution."""
    return fl.empty(shape, dtype=dtype, device=device).normal_()


def _sum_rightmost(value, dim):
    """`value` summed over its last `dim` dimensions."""
    if dim == 0:
        return value
    return value.reshape(value.shape[:-dim] + (-1,)).sum(-1)


def logits_to_probs(logits, is_binary=False):
    """Probabilities of logits: their sigmoid if `is_binary`, otherwise their softmax over the last dimension."""
    return fl.sigmoid(logits) if is_binary else fl.softmax(logits, dim=-1)


def clamp_probs(probs):
    """`probs` moved at least one rounding error away from 0 and 1, where logarithms are infinite."""
    eps = fl.finfo(probs.dtype).eps
    return probs.clamp(min=eps, max=1 - eps)


def probs_to_logits(probs, is_binary=False):
    """Logits of probabilities: log-odds if `is_binary`, otherwise logarithms."""
    probs = clamp_probs(probs)
    logits = fl.log(probs)
    return logits - fl.log1p(-probs) if is_binary else logits


class _LazyClassProperty(property):
    """What a `lazy_property` is on the class: a property that computes anew for each access."""

    def __init__(self, compute):
        super().__init__(compute)


class lazy_property:
    """Decorator for a method without arguments: its result, computed at first use, becomes an attribute.

    Gradients are recorded while it is computed, whatever the mode of the first access.
    """

    def __init__(self, wrapped):
        self.wrapped = wrapped
        functools.update_wrapper(self, wrapped)

    def __get__(self, instance, owner=None):
        if instance is None:
            return _LazyClassProperty(self.wrapped)
        with fl.enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value


def _tril_mask(size, diag, device):
    row = fl.arange(size, device=device)
    return row < row.view(-1, 1) + (diag + 1)


def tril_matrix_to_vec(mat, diag=0):
    """The entries of a batch of `D x D` matrices on and below diagonal `diag`, row by row, as vectors."""
    size = mat.shape[-1]
    if not isinstance(size, int) or diag < -size or diag >= size:
        raise ValueError(f"diag ({diag}) provided is outside [{-size}, {size - 1}].")
    return mat[..., _tril_mask(size, diag, mat.device)]


def vec_to_tril_matrix(vec, diag=0):
    """Batch of square matrices whose entries on and below diagonal `diag` are those of vectors, otherwise 0.

    Raises ValueError when no matrix has as many such entries as the vectors.
    """
    # the side n solves n(n+1)/2 + diag n - diag(diag+1)/2 = length, without the last term for diag < 0
    length = vec.shape[-1]
    offset = 1 + 2 * diag
    corner = 4 * diag * (diag + 1) if diag > 0 else offset**2 - 1
    size = ((offset**2 + 8 * length + (corner if diag > 0 else -corner)) ** 0.5 - offset) / 2
    eps = fl.finfo(vec.dtype).eps
    if not round(size) - eps <= size <= round(size) + eps:
        raise ValueError(
            f"The size of last dimension is {length} which cannot be expressed as "
            "the lower triangular part of a square D x D matrix."
        )
    size = round(size)
    mat = vec.new_zeros(vec.shape[:-1] + (size, size))
    mat[..., _tril_mask(size, diag, vec.device)] = vec
    return mat
