"""Functions of the ``torch`` namespace that take Python arguments of several shapes."""

from . import _C
from ._C import Tensor

_native = _C._functions("torch")

__all__ = [
    "block_diag",
    "cartesian_prod",
    "meshgrid",
    "broadcast_tensors",
    "einsum",
    "tensordot",
    "chain_matmul",
    "broadcast_shapes",
    "is_floating_point",
    "is_complex",
    "is_nonzero",
]


def _asked(tensors):
    """Whether a tensor among these is of a subclass, which may override functions."""
    if all(type(tensor) is Tensor for tensor in tensors):
        return False
    from .overrides import has_torch_function

    return has_torch_function([t for t in tensors if Tensor in type(t).__mro__])


def _ask(function, tensors, *args, **kwargs):
    from .overrides import handle_torch_function

    return handle_torch_function(function, tensors, *args, **kwargs)


def einsum(*args):
    """Sum of products over named dimensions: ``einsum("ij,jk->ik", a, b)``.

    Operands may also be given as ``einsum(a, [0, 1], b, [1, 2], [0, 2])`` with numbers for the dimensions.
    """
    if len(args) < 2:
        raise ValueError(
            "einsum(): must specify the equation string and at least one operand, "
            "or at least one operand and its subscripts list"
        )
    if isinstance(args[0], Tensor):

        def letter(n):
            if n is Ellipsis:
                return "..."
            if 0 <= n < 26:
                return chr(ord("A") + n)
            if n < 52:
                return chr(ord("a") + n - 26)
            raise ValueError("einsum(): subscript in subscript list is not within the valid range [0, 52)")

        equation = ",".join("".join(letter(n) for n in subscripts) for subscripts in args[1::2])
        if len(args) % 2:
            operands = args[:-1:2]
            equation = ",".join("".join(letter(n) for n in s) for s in args[1:-1:2])
            equation += "->" + "".join(letter(n) for n in args[-1])
        else:
            operands = args[::2]
        return einsum(equation, *operands)
    equation, operands = args[0], args[1:]
    if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
        operands = operands[0]
    if _asked(operands):
        return _ask(einsum, operands, equation, *operands)
    return _C._einsum(equation, list(operands))


def tensordot(a, b, dims=2, out=None):
    """Contraction of ``a`` and ``b`` over the last ``dims`` of ``a`` and the first of ``b``, or over two lists."""
    if isinstance(dims, Tensor):
        dims = dims.tolist() if dims.numel() > 1 else int(dims.item())
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a.dim(), b.dim()):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        first, second = list(range(-dims, 0)), list(range(dims))
    else:
        first, second = dims
        first = [first] if isinstance(first, int) else list(first)
        second = [second] if isinstance(second, int) else list(second)
    if out is None:
        return _C._tensordot(a, b, first, second)
    return _C._tensordot(a, b, first, second, out=out)


def broadcast_tensors(*tensors):
    """Views of the tensors, broadcast to one shape."""
    tensors = _listed(tensors)
    if _asked(tensors):
        return _ask(broadcast_tensors, tensors, *tensors)
    return _native["broadcast_tensors"](tensors)


def _listed(tensors):
    """The list of tensors given one by one or as one list."""
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tensors[0]
    return list(tensors)


def block_diag(*tensors):
    """A matrix with the given ones along its diagonal."""
    if _asked(tensors):
        return _ask(block_diag, tensors, *tensors)
    return _native["block_diag"](list(tensors))


def cartesian_prod(*tensors):
    """All tuples of elements of the given vectors, one row each."""
    if _asked(tensors):
        return _ask(cartesian_prod, tensors, *tensors)
    return _native["cartesian_prod"](list(tensors))


def meshgrid(*tensors, indexing=None):
    """Grids of coordinates: element `i, j, ...` of the k-th is the element of the k-th vector at that index.

    The first two dimensions are exchanged for `indexing="xy"`.
    """
    tensors = _listed(tensors)
    if _asked(tensors):
        return _ask(meshgrid, tensors, *tensors, indexing=indexing)
    if indexing is None:
        return _native["meshgrid"](tensors)
    return _native["meshgrid"](tensors, indexing=indexing)


def chain_matmul(*matrices, out=None):
    """Product of a chain of matrices in the cheapest order."""
    import warnings

    from .linalg import multi_dot

    warnings.warn(
        "torch.chain_matmul is deprecated and will be removed in a future PyTorch release. Use torch.linalg.multi_dot "
        "instead, which accepts a list of two or more tensors rather than multiple parameters.",
        stacklevel=2,
    )
    if not matrices:
        raise RuntimeError("chain_matmul(): Expected one or more matrices")
    if len(matrices) == 1:
        matrix = matrices[0]
        if matrix.dim() != 2:
            raise RuntimeError(f"Tensor dimension is {matrix.dim()}, expected 2 instead.")
        return matrix if out is None else out.resize_(matrix.shape).copy_(matrix)
    return multi_dot(matrices) if out is None else multi_dot(matrices, out=out)


def broadcast_shapes(*shapes):
    """The shape that all shapes broadcast to."""
    from ._classes import Size

    shapes = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    rank = max((len(s) for s in shapes), default=0)
    out = [1] * rank
    for shape in shapes:
        for i in range(-1, -1 - len(shape), -1):
            if shape[i] < 0:
                raise RuntimeError(f"Trying to create tensor with negative dimension ({shape[i]}): ({shape[i]})")
            if shape[i] in (1, out[i]):
                continue
            if out[i] != 1:
                raise RuntimeError(
                    f"Shape mismatch: objects cannot be broadcast to a single shape: {tuple(out)} and {shape}"
                )
            out[i] = shape[i]
    return Size(out)


def is_floating_point(input):
    """Whether the dtype is a real floating-point type."""
    return input.dtype.is_floating_point


def is_complex(input):
    """Whether the dtype is complex."""
    return input.dtype.is_complex


def is_nonzero(input):
    """The truth of a tensor of one element."""
    n = input.numel()
    if n != 1:
        raise RuntimeError(
            "Boolean value of Tensor with " + ("no values" if n == 0 else "more than one value") + " is ambiguous"
        )
    return bool(input)
