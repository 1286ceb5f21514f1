"""Batching rules of products and of operators on matrices."""

import string

import flambeau as torch

from ._batched import Batched
from ._operators import Unbatchable, bound, full_value, method, rule
from ._pointwise import aligned
from ._shape import wrapped

Tensor = torch.Tensor
_linear = torch._C._functions("nn.functional")["linear"]


def _has(tensor, level):
    return type(tensor) is Batched and tensor.level is level


class _SharedProduct(torch.autograd.Function):
    """`x @ w.T` of the samples' matrices and one matrix that all have a variable of their own of.

    The matrix is read once, not once for each sample, and yet has a gradient for each.
    """

    @staticmethod
    def forward(ctx, x, weights):
        ctx.save_for_backward(x, weights)
        return _linear(x, weights[0])

    @staticmethod
    def backward(ctx, gradient):
        x, weights = ctx.saved_tensors
        of_x = of_weights = None
        if ctx.needs_input_grad[0]:
            of_x = _SharedProduct.apply(gradient, weights.mT)
        if ctx.needs_input_grad[1]:
            if x.ndim == 2:
                of_weights = gradient.unsqueeze(2) @ x.unsqueeze(1)
            else:
                of_weights = gradient.flatten(1, -2).mT @ x.flatten(1, -2)
        return of_x, of_weights


_SHARED_FROM = 4096
"""Elements of a matrix from which it pays to read it once."""


def shared(value):
    """Whether all samples have the same plain matrix, by a stride of 0."""
    return type(value) is not Batched and value.ndim > 1 and value.shape[0] > 1 and value.stride()[0] == 0


def _one(tensor, level):
    """A batched tensor of which all samples are the same and no gradient is asked for, as what all have."""
    if _has(tensor, level) and shared(tensor.value) and not tensor.value.requires_grad:
        return tensor.value[0]
    return tensor


def product(level, a, b):
    """`a @ b` with the hidden dimension in front."""
    if not a.ndim or not b.ndim:
        raise Unbatchable
    a, b = _one(a, level), _one(b, level)
    if not _has(a, level) and not _has(b, level):
        return (a @ b).expand(level.size, *torch.broadcast_shapes((a @ b).shape))
    one, two = a.ndim == 1, b.ndim == 1
    rank = max(a.ndim, b.ndim)
    if _has(a, level) and _has(b, level):
        left, right = a.value, b.value
        if one and two:
            return (left * right).sum(-1)
        if b.ndim == 2 and shared(right) and right[0].numel() >= _SHARED_FROM:
            return _SharedProduct.apply(left, right.mT)
        if two and a.ndim == 2 and shared(left) and left[0].numel() >= _SHARED_FROM:
            return _SharedProduct.apply(right, left)
        left = left.unsqueeze(1) if one else left
        right = right.unsqueeze(2) if two else right
        result = aligned(left, rank) @ aligned(right, rank)
        return result.squeeze(-2) if one else result.squeeze(-1) if two else result
    if _has(a, level):
        left = a.value
        if b.ndim <= 2:
            return left @ b
        if one:
            return (aligned(left.unsqueeze(1), rank) @ b).squeeze(-2)
        return aligned(left, rank) @ b
    right = b.value
    if two:
        if a.ndim <= 2:
            return right @ (a if one else a.mT)
        return (a @ aligned(right.unsqueeze(2), rank)).squeeze(-1)
    return a @ (right if a.ndim <= 2 else aligned(right, rank))


_RANKS = {"mm": (2, 2), "bmm": (3, 3), "mv": (2, 1), "dot": (1, 1), "matmul": None}


@rule("matmul", "mm", "bmm", "mv", "dot")
def matmul(op, level, args, kwargs):
    """Products of two operands."""
    call = op.bind(level, args, kwargs)
    if call is None:
        raise Unbatchable
    a, b = list(call.given.values())[:2]
    if _RANKS[op.name] not in (None, (a.ndim, b.ndim)) or op.name == "bmm" and a.shape[0] != b.shape[0]:
        raise Unbatchable
    return Batched(product(level, a, b), level)


@rule("vdot", "inner", "outer", "linalg_multi_dot", "multi_dot")
def products(op, level, args, kwargs):
    """Products in terms of others."""
    call = op.bind(level, args, kwargs)
    if call is None:
        raise Unbatchable
    values = list(call.given.values())
    if op.name.endswith("multi_dot"):
        result = values[0][0]
        for factor in values[0][1:]:
            result = result @ factor
        return result
    a, b = values[:2]
    if op.name == "outer":
        if a.ndim != 1 or b.ndim != 1:
            raise Unbatchable
        return a.unsqueeze(1) * b.unsqueeze(0)
    if op.name == "vdot":
        if a.ndim != 1 or b.ndim != 1:
            raise Unbatchable
        return method("dot")(a.conj() if a.is_complex() else a, b)
    if not a.ndim or not b.ndim:
        return a * b
    if b.ndim == 1:
        return a @ b
    if b.ndim == 2:
        return a @ b.mT
    raise Unbatchable


@bound("linear")
def linear(call):
    """Layers with weights for all, or for each sample."""
    level, x, weight, bias = call.level, call["input"], _one(call["weight"], call.level), call["bias"]
    bias = _one(bias, level) if bias is not None else None
    if not x.ndim or weight.ndim > 2:
        raise Unbatchable
    if not _has(weight, level) and not _has(bias, level):
        return call.run(input=call.value("input"), weight=weight, bias=bias)
    result = product(level, x, weight.mT if weight.ndim == 2 else weight)
    if bias is None:
        return result
    return result + (aligned(bias.value, result.ndim - 1) if _has(bias, level) else bias)


@rule("addmm", "addmv", "addr", "baddbmm", "addbmm")
def sums(op, level, args, kwargs):
    """A product and a sum."""
    call = op.bind(level, args, kwargs)
    if call is None:
        raise Unbatchable
    x, a, b = list(call.given.values())[:3]
    name = {"addmm": "mm", "addmv": "mv", "addr": "outer", "baddbmm": "bmm", "addbmm": "bmm"}[op.name]
    made = method(name)(a, b)
    if op.name == "addbmm":
        made = made.sum(0)
    alpha, beta = call["alpha"], call["beta"]
    made = made if alpha == 1 else made * alpha
    if beta == 0:
        result = made if op.inplace else made.expand(torch.broadcast_shapes(made.shape, x.shape))
    else:
        result = made + (x if beta == 1 else x * beta)
    return x.copy_(result) if op.inplace else result


@bound("_einsum")
def einsum(call):
    """The hidden dimension is one more letter."""
    equation = call["equation"].replace(" ", "")
    free = next((letter for letter in string.ascii_letters if letter not in equation), None)
    if free is None:
        raise Unbatchable
    inputs, arrow, output = equation.partition("->")
    inputs = inputs.split(",")
    tensors = list(call["tensors"])
    if len(inputs) != len(tensors):
        raise Unbatchable
    if not arrow:
        letters = "".join(inputs).replace(".", "")
        output = ("..." if "..." in equation else "") + "".join(
            sorted(letter for letter in set(letters) if letters.count(letter) == 1)
        )
    values = []
    for place, tensor in enumerate(tensors):
        tensor = _one(tensor, call.level)
        if _has(tensor, call.level):
            inputs[place] = free + inputs[place]
            tensor = tensor.value
        values.append(tensor)
    if not any(text.startswith(free) for text in inputs):
        inputs[0], values[0] = free + inputs[0], full_value(values[0], call.level)
    return call.run(equation=",".join(inputs) + "->" + free + output, tensors=values)


@bound("_tensordot")
def tensordot(call):
    """The hidden dimension is kept, or matched where both operands have it."""
    a, b = call["self"], call["other"]
    first, second = wrapped(list(call["dims_self"]), a.ndim), wrapped(list(call["dims_other"]), b.ndim)
    if not call.batched("other"):
        return call.run(self=a.value, dims_self=first)
    if not call.batched("self"):
        return call.run(other=b.value, dims_other=second).movedim(a.ndim - len(first), 0)
    letters = iter(string.ascii_letters)
    one, two = [next(letters) for _ in range(a.ndim)], [next(letters) for _ in range(b.ndim)]
    for i, j in zip(first, second):
        two[j] = one[i]
    kept = [x for i, x in enumerate(one) if i - a.ndim not in first]
    kept += [x for j, x in enumerate(two) if j - b.ndim not in second]
    return torch.einsum(f"{''.join(one)},{''.join(two)}->{''.join(kept)}", a, b).value


# Operators on the last two dimensions, or the last one, whatever stands before them.
_TRAILING = {
    2: """tril triu adjoint mT mH det inverse logdet slogdet cholesky cholesky_inverse qr svd pinverse matrix_exp
        matrix_power geqrf linalg_cholesky linalg_cholesky_ex linalg_cond linalg_det linalg_eig linalg_eigh
        linalg_eigvals linalg_eigvalsh linalg_inv linalg_inv_ex linalg_ldl_factor linalg_ldl_factor_ex linalg_lu
        linalg_lu_factor linalg_lu_factor_ex linalg_matrix_exp linalg_matrix_power linalg_matrix_rank linalg_pinv
        linalg_qr linalg_slogdet linalg_svd linalg_svdvals linalg_matrix_sqrth linalg_polar _lu_with_info""",
    1: "linalg_vander view_as_complex",
    0: "view_as_real",
}


def _trailing(least):
    def run(call):
        first = next(iter(call.given))
        call.only(first)
        if call[first].ndim < least:
            raise Unbatchable
        return call.run(**{first: call[first].value})

    return run


for _least, _names in _TRAILING.items():
    bound(*_names.split())(_trailing(_least))


@bound("tril_", "triu_")
def triangle(call):
    """In place."""
    if call["self"].ndim < 2:
        raise Unbatchable
    return call.run(self=call["self"].value)


# Operators on pairs of matrices.
_PAIRS = """linalg_solve_triangular cholesky_solve triangular_solve linalg_ldl_solve linalg_lu_solve lu_solve cdist linalg_householder_product"""


@bound(*_PAIRS.split())
def pairs(call):
    """All operands with the hidden dimension in front of as many others."""
    names = [name for name, value in call.given.items() if isinstance(value, Tensor)]
    ranks = [call[name].ndim for name in names]
    want = max(ranks)
    small = {"LU_pivots", "pivots", "tau"}
    if any(call[name].ndim < (1 if name in small else 2) for name in names):
        raise Unbatchable
    if any(call[name].ndim != want - (name in small) for name in names):
        raise Unbatchable
    return call.run(**{name: call.value(name) for name in names})


@bound("linalg_solve", "linalg_solve_ex")
def solve(call):
    """Systems with one right side, or with several as columns."""
    a, b = call["A"], call["B"]
    left = call["left"]
    if a.ndim < 2 or not left:
        raise Unbatchable
    if b.ndim == 1 or (b.ndim == a.ndim - 1 and b.shape == a.shape[:-1]):
        if call.op.name.endswith("_ex") or b.ndim != a.ndim - 1:
            raise Unbatchable
        return call.run(A=call.value("A"), B=call.value("B").unsqueeze(-1)).squeeze(-1)
    rank = max(a.ndim, b.ndim)
    return call.run(A=aligned(call.value("A"), rank), B=aligned(call.value("B"), rank))


@bound("linalg_cross", "vecdot", "cosine_similarity", "cross", "pairwise_distance")
def along(call):
    """Operands that broadcast, along a dimension of what they broadcast to."""
    one, two = list(call.given)[:2]
    rank = max(call[one].ndim, call[two].ndim)
    if not min(call[one].ndim, call[two].ndim):
        raise Unbatchable
    changes = {name: aligned(call.value(name), rank) for name in (one, two)}
    if call.has("dim"):
        if call["dim"] is None:
            raise Unbatchable
        changes["dim"] = wrapped(call["dim"], rank)
    return call.run(**changes)
