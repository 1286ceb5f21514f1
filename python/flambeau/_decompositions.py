"""Decompositions of matrices that are compositions of operators."""

from . import _C
from ._C import Tensor

__all__ = ["lobpcg", "lu", "pca_lowrank", "svd_lowrank"]

# Functions that PyTorch has removed, whose names raise, and what takes their place.
_REMOVED = {"eig": "eig", "lstsq": "lstsq", "matrix_rank": "matrix_rank", "solve": "solve", "symeig": "eigh"}
__all__ += _REMOVED

_native = _C._functions("torch")


def lu(A, pivot=True, get_infos=False, out=None):
    """LU factors in one matrix and pivots, and for `get_infos` the place of the first zero pivot of each matrix."""
    results = _native["_lu_with_info"](A, pivot=pivot, check_errors=not get_infos)
    if not get_infos:
        results = tuple(results[:2])
    if out is None:
        return results
    if len(out) != len(results):
        raise TypeError(f"expected tuple of {len(results)} elements but got {len(out)}")
    for target, result in zip(out, results):
        target.resize_as_(result).copy_(result)
    return out


def _tensor_lu(self, pivot=True, get_infos=False):
    """As `torch.lu`."""
    return lu(self, pivot=pivot, get_infos=get_infos)


_tensor_lu.__name__, _tensor_lu.__qualname__ = "lu", "Tensor.lu"
Tensor.lu = _tensor_lu


def _range_basis(A, q, rounds):
    """Orthonormal columns that nearly span the range of A (Halko, Martinsson and Tropp, SIAM Review 53, 2011)."""
    from .linalg import qr

    basis = qr(A @ _native["randn"](A.shape[-1], q, dtype=A.dtype, device=A.device)).Q
    for _ in range(rounds):
        basis = qr(A.mH @ basis).Q
        basis = qr(A @ basis).Q
    return basis


def svd_lowrank(A, q=6, niter=2, M=None):
    """`U, S, V` with `A - M` near `U @ diag(S) @ V.mH`, of rank `q`, after `niter` rounds of subspace iteration."""
    from .linalg import svd

    q = 6 if q is None else q
    if M is not None:
        A = A - M.broadcast_to(A.shape)
    wide = A.shape[-2] < A.shape[-1]
    if wide:
        A = A.mH
    Q = _range_basis(A, q, 2 if niter is None else niter)
    U, S, Vh = svd(Q.mH @ A, full_matrices=False)
    U, V = Q @ U, Vh.mH
    return (V, S, U) if wide else (U, S, V)


def pca_lowrank(A, q=None, center=True, niter=2):
    """Principal components of the rows of A: `svd_lowrank` of A without the means of its columns if `center`."""
    m, n = A.shape[-2:]
    if q is None:
        q = min(6, m, n)
    elif not 0 <= q <= min(m, n):
        raise ValueError(f"q(={q}) must be non-negative integer and not greater than min(m, n)={min(m, n)}")
    if niter < 0:
        raise ValueError(f"niter(={niter}) must be non-negative integer")
    if not (A.dtype.is_floating_point or A.dtype.is_complex):
        A = A.to(_C.get_default_dtype())
    return svd_lowrank(A - A.mean(dim=-2, keepdim=True) if center else A, q, niter=niter)


def lobpcg(
    A, k=None, B=None, X=None, n=None, iK=None, niter=None, tol=None, largest=None, method=None, tracker=None,
    ortho_iparams=None, ortho_fparams=None, ortho_bparams=None,
):  # fmt: skip
    """The `k` largest (or smallest) eigenvalues of Hermitian matrices and their eigenvectors: `A @ X = B @ X @ diag(E)`.

    Matrices are dense, so all eigenvalues are computed directly; nothing is iterated, and the parameters of the
    iteration (`iK`, `niter`, `tol`, `method`, `tracker` and the last three) have no effect.
    """
    from . import linalg

    if A.dim() < 2 or A.shape[-1] != A.shape[-2]:
        raise AssertionError(f"A must be square, got shape {A.shape}")
    m = A.shape[-1]
    k = (1 if X is None else X.shape[-1]) if k is None else k
    n = k if n is None else n
    if k < 1:
        raise ValueError(f"the number of requested eigenpairs must be positive, got {k}")
    if m < 3 * max(n, k):
        raise ValueError(
            f"LOBPCG algorithm is not applicable when the number of A rows (={m}) is smaller than 3 x the number of "
            f"requested eigenpairs (={n})"
        )
    if method not in (None, "basic", "ortho"):
        raise ValueError(f"method must be 'basic' or 'ortho', got {method!r}")
    if B is None:
        E, V = linalg.eigh(A)
    else:
        L = linalg.cholesky(B)
        half = linalg.solve_triangular(L, A, upper=False)
        E, V = linalg.eigh(linalg.solve_triangular(L.mH, half, upper=True, left=False))
        V = linalg.solve_triangular(L.mH, V, upper=True)
    if largest is None or largest:
        return E[..., -k:].flip(-1), V[..., -k:].flip(-1)
    return E[..., :k], V[..., :k]


def _removed(name):
    def function(*args, **kwargs):
        raise RuntimeError(
            "This function was deprecated since version 1.9 and is now removed. "
            f"`torch.{name}` is deprecated in favor of `torch.linalg.{_REMOVED[name]}`."
        )

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Removed; `linalg.{_REMOVED[name]}` takes its place."
    return function


for _name in _REMOVED:
    globals()[_name] = _removed(_name)
    if _name != "matrix_rank":
        setattr(Tensor, _name, globals()[_name])
