"""Functions of the ``torch`` namespace that take Python arguments of several shapes."""

from . import _C
from ._C import Tensor

_native_broadcast_tensors = _C._functions("torch")["broadcast_tensors"]

__all__ = ["broadcast_tensors", "einsum", "tensordot", "chain_matmul", "broadcast_shapes", "is_floating_point", "is_complex", "is_nonzero"]


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
    return _C._einsum(equation, list(operands))


def tensordot(a, b, dims=2, out=None):
    """Contraction of ``a`` and ``b`` over the last ``dims`` of ``a`` and the first of ``b``, or over two lists."""
    if isinstance(dims, Tensor):
        dims = dims.tolist() if dims.numel() > 1 else int(dims.item())
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a.dim(), b.dim()):
            raise RuntimeError(
                f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}"
            )
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
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tensors[0]
    return _native_broadcast_tensors(list(tensors))


def chain_matmul(*matrices, out=None):
    """Product of a chain of matrices in the cheapest order."""
    from .linalg import multi_dot

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
                raise RuntimeError(
                    f"Trying to create tensor with negative dimension ({shape[i]}): ({shape[i]})"
                )
            if shape[i] in (1, out[i]):
                continue
            if out[i] != 1:
                raise RuntimeError(
                    "Shape mismatch: objects cannot be broadcast to a single shape: "
                    f"{tuple(out)} and {shape}"
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
