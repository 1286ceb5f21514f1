"""Sparse tensors in coordinate form: ``torch.sparse``.

A sparse tensor holds the indices ``(sparse_dim, nnz)`` of some elements and their values ``(nnz, *dense sizes)``;
``torch.sparse_coo_tensor`` makes one, ``Tensor.to_sparse`` and ``Tensor.to_dense`` convert. Compressed layouts (CSR and
its kin) are not there.
"""

import flambeau as torch

from . import _C

__all__ = [
    "addmm",
    "as_sparse_gradcheck",
    "check_sparse_tensor_invariants",
    "log_softmax",
    "mm",
    "softmax",
    "spdiags",
    "sum",
]


def sparse_coo_tensor(
    indices,
    values=None,
    size=None,
    *,
    dtype=None,
    device=None,
    pin_memory=False,
    requires_grad=False,
    check_invariants=None,
    is_coalesced=None,
):
    """The sparse tensor with `values` ``(nnz, *dense sizes)`` at `indices` ``(sparse_dim, nnz)``; other elements are zero.

    Values at the same index add up. Without `size` it has the least that holds every index. With sizes alone
    (``sparse_coo_tensor((2, 3))``) it has no entries. RuntimeError where an index lies outside: PyTorch looks only
    with ``check_invariants=True``, here it is always checked.
    """
    if values is None:
        if size is None:
            size = indices
        size = tuple(size)
        indices = torch.zeros(len(size), 0, dtype=torch.int64)
        values = torch.zeros(0, dtype=dtype)
    indices = torch.as_tensor(indices)
    if indices.dtype != torch.int64:
        indices = indices.to(torch.int64)
    values = torch.as_tensor(values, dtype=dtype)
    if device is not None and torch.device(device).type != "cpu":
        raise NotImplementedError("sparse tensors exist on the CPU only")
    if indices.dim() == 1:  # one number for each dimension: a single entry
        indices = indices.unsqueeze(1)
    if values.dim() == 0:
        values = values.expand(indices.shape[1])
    if requires_grad:
        values = values.detach()
    size = None if size is None else [int(n) for n in size]
    out = _C._sparse_coo_tensor(indices, values, size, bool(is_coalesced))
    return out.requires_grad_(True) if requires_grad else out


def _to_sparse(self, sparse_dim=None, *, layout=None, blocksize=None, dense_dim=None):
    """The sparse form of a tensor: of the elements that are not zero, or of slices over `sparse_dim` dimensions."""
    if isinstance(sparse_dim, _C.layout):
        sparse_dim, layout = None, sparse_dim
    if layout is not None and layout is not torch.sparse_coo:
        raise NotImplementedError(f"to_sparse: the layout {layout} is not supported, only torch.sparse_coo is")
    if blocksize is not None or dense_dim is not None:
        raise RuntimeError("to_sparse: blocksize and dense_dim belong to compressed layouts")
    return _C._to_sparse(self, sparse_dim)


def mm(input, mat2, reduce=None):
    """The product of two matrices, of which `input` may be sparse; of two sparse ones the product is sparse."""
    if reduce not in (None, "sum"):
        raise NotImplementedError("torch.sparse.mm: reduce is for compressed layouts")
    return torch.mm(input, mat2)


def addmm(input, mat1, mat2, *, beta=1.0, alpha=1.0):
    """``beta * input + alpha * (mat1 @ mat2)`` with a sparse `mat1`."""
    return torch.addmm(input, mat1, mat2, beta=beta, alpha=alpha)


def sum(input, dim=None, dtype=None):
    """The sum over dimensions: sparse as long as one of its sparse dimensions is left, else dense."""
    if dim is None:
        return input.sum(dtype=dtype)
    return input.sum(dim, dtype=dtype)


def _softmax(input, dim, dtype, logarithm):
    """Over the entries alone: elements that are not there count as minus infinity."""
    if not input.is_sparse:
        raise NotImplementedError("sparse softmax expects a sparse tensor")
    if dtype is not None:
        input = input.to(dtype)
    rank = input.dim()
    if not -max(rank, 1) <= dim < max(rank, 1):
        raise IndexError(f"Dimension out of range (expected to be in range of [{-rank}, {rank - 1}], but got {dim})")
    dim %= rank
    input = input.coalesce()
    indices, values, sizes = input.indices(), input.values(), input.shape
    count = input.sparse_dim()
    if dim >= count:
        function = torch.log_softmax if logarithm else torch.softmax
        return _made(indices, function(values, dim - count + 1), sizes)
    # Entries that differ in this dimension alone compete.
    groups = torch.zeros(values.shape[0], dtype=torch.int64)
    for row in range(count):
        if row != dim:
            groups = groups * sizes[row] + indices[row]
    _, groups = torch.unique(groups, return_inverse=True)
    number = int(groups.max()) + 1 if groups.numel() else 0
    shape = (number, *values.shape[1:])
    place = groups.reshape(-1, *[1] * (values.dim() - 1)).expand_as(values)
    top = torch.full(shape, float("-inf"), dtype=values.dtype)
    top = top.scatter_reduce(0, place, values.detach(), "amax", include_self=False)
    shifted = values - top[groups]
    total = torch.zeros(shape, dtype=values.dtype).index_add(0, groups, shifted.exp())
    result = shifted - total.log()[groups] if logarithm else shifted.exp() / total[groups]
    return _made(indices, result, sizes)


def _made(indices, values, sizes):
    return _C._sparse_coo_tensor(indices, values, list(sizes), True)


def softmax(input, dim, *, dtype=None):
    """Softmax over the entries along a dimension; elements without an entry count as minus infinity."""
    return _softmax(input, dim, dtype, False)


def log_softmax(input, dim, *, dtype=None):
    """The logarithm of `softmax`."""
    return _softmax(input, dim, dtype, True)


def spdiags(diagonals, offsets, shape, layout=None):
    """The sparse matrix with the rows of `diagonals` on the diagonals `offsets`; column j takes element j of a row."""
    if layout is not None and layout is not torch.sparse_coo:
        raise NotImplementedError(f"spdiags: the layout {layout} is not supported, only torch.sparse_coo is")
    diagonals, offsets = torch.atleast_2d(diagonals), torch.atleast_1d(offsets)
    if offsets.dtype != torch.int64:
        raise RuntimeError(f"Offset Tensor must have dtype Long but got {offsets.dtype}")
    if len(offsets) != diagonals.shape[0]:
        raise RuntimeError(
            f"Number of diagonals ({diagonals.shape[0]}) does not match the number of offsets ({len(offsets)})"
        )
    if len(set(offsets.tolist())) != len(offsets):
        raise RuntimeError("Offset tensor contains duplicate values")
    height, width = shape
    rows, columns, taken = [], [], []
    for place, offset in enumerate(offsets.tolist()):
        first, last = max(0, offset), min(width, height + offset, diagonals.shape[1])
        column = torch.arange(first, max(first, last))
        rows.append(column - offset)
        columns.append(column)
        taken.append(diagonals[place, first : max(first, last)])
    indices = torch.stack([torch.cat(rows), torch.cat(columns)])
    return sparse_coo_tensor(indices, torch.cat(taken), (height, width))


class check_sparse_tensor_invariants:
    """Turns checks of sparse tensors' indices on; they are always on here, so that this changes only what it reports."""

    _enabled = False

    def __init__(self, enable=True):
        self._wanted, self._saved = enable, []

    @staticmethod
    def is_enabled():
        """Whether they were asked for."""
        return check_sparse_tensor_invariants._enabled

    @staticmethod
    def enable():
        """Asks for checks."""
        check_sparse_tensor_invariants._enabled = True

    @staticmethod
    def disable():
        """Asks for no checks, which are made all the same."""
        check_sparse_tensor_invariants._enabled = False

    def __enter__(self):
        self._saved.append(self.is_enabled())
        check_sparse_tensor_invariants._enabled = self._wanted

    def __exit__(self, *error):
        check_sparse_tensor_invariants._enabled = self._saved.pop()

    def __call__(self, function):
        import functools

        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            with type(self)(self._wanted):
                return function(*args, **kwargs)

        return wrapped


def as_sparse_gradcheck(gradcheck):
    """`gradcheck` for functions of sparse tensors: they are given as functions of their values."""
    import functools

    @functools.wraps(gradcheck)
    def wrapped(function, inputs, **kwargs):
        kwargs.pop("masked", None)
        inputs = inputs if isinstance(inputs, (list, tuple)) else (inputs,)
        sparse = [isinstance(x, torch.Tensor) and x.is_sparse for x in inputs]
        plain = [
            x.detach().coalesce()._values().requires_grad_(x.requires_grad) if is_sparse else x
            for x, is_sparse in zip(inputs, sparse)
        ]
        forms = [x.detach().coalesce() if is_sparse else None for x, is_sparse in zip(inputs, sparse)]

        def of_values(*values):
            out = function(*(v if f is None else _made(f._indices(), v, f.shape) for v, f in zip(values, forms)))
            outs = out if isinstance(out, (list, tuple)) else (out,)
            dense = tuple(x.to_dense() if isinstance(x, torch.Tensor) and x.is_sparse else x for x in outs)
            return dense if isinstance(out, (list, tuple)) else dense[0]

        return gradcheck(of_values, plain, **kwargs)

    return wrapped
