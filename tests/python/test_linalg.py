"""Decompositions, solutions, products and transforms: what defines them, gradients, and errors."""

import math

import pytest

import flambeau as torch
from flambeau import linalg
from flambeau.autograd import gradcheck, gradgradcheck

DTYPES = [torch.float64, torch.complex128]


def make(*shape, dtype=torch.float64, grad=False):
    torch.manual_seed(sum(shape) + 7)
    return torch.randn(*shape, dtype=dtype).requires_grad_(grad)


def positive(*shape, dtype=torch.float64):
    a = make(*shape, dtype=dtype)
    return a @ a.mH + torch.eye(shape[-1], dtype=dtype)


def near(a, b):
    torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4), (2, 3, 3), (0, 3), (3, 0), (2, 0, 0)])
def test_lu(dtype, shape):
    a = make(*shape, dtype=dtype)
    p, lower, upper = linalg.lu(a)
    near(p @ lower @ upper, a)
    near(p @ p.mT, torch.eye(shape[-2], dtype=dtype).expand_as(p))
    lu, pivots, info = linalg.lu_factor_ex(a)
    assert info.shape == a.shape[:-2] and not info.any()
    for mine, same in zip(torch.lu_unpack(lu, pivots), (p, lower, upper)):
        near(mine, same)
    assert torch.lu_unpack(lu, pivots, unpack_data=False).L.numel() == 0
    if shape[-1] == shape[-2] > 0:
        b = make(*shape[:-1], 2, dtype=dtype)
        near(a @ linalg.lu_solve(lu, pivots, b), b)
        near(a.mH @ linalg.lu_solve(lu, pivots, b, adjoint=True), b)
        near(linalg.lu_solve(lu, pivots, b.mT, left=False) @ a, b.mT)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 3), (4, 2), (2, 4)])
def test_lu_gradients(dtype, shape):
    a = make(*shape, dtype=dtype, grad=True)
    assert gradcheck(lambda a: linalg.lu_factor(a)[0], (a,))
    assert gradcheck(lambda a: linalg.lu(a)[1:], (a,))
    assert gradgradcheck(lambda a: linalg.lu_factor(a)[0], (a,))
    if shape == (3, 3):
        b = make(3, 2, dtype=dtype, grad=True)
        for adjoint in (False, True):
            assert gradcheck(lambda a, b: linalg.lu_solve(*linalg.lu_factor(a), b, adjoint=adjoint), (a, b))


def test_lu_errors():
    with pytest.raises(RuntimeError, match=r"U\[1,1\] is zero"):
        linalg.lu_factor(torch.zeros(2, 2))
    assert linalg.lu_factor_ex(torch.zeros(2, 2)).info.item() == 1
    with pytest.raises(RuntimeError, match="without pivoting"):
        linalg.lu(torch.eye(2), pivot=False)
    lu = torch.eye(2)
    for pivots in ([0, 1], [1, 3], [-1, 1]):
        with pytest.raises(RuntimeError, match="must be between 1"):
            torch.lu_unpack(lu, torch.tensor(pivots, dtype=torch.int32))
        with pytest.raises(RuntimeError, match="Pivots given to lu_solve"):
            linalg.lu_solve(lu, torch.tensor(pivots, dtype=torch.int32), lu)
    with pytest.raises(ValueError, match="LU_pivots to have shape"):
        torch.lu_unpack(lu, torch.tensor([1], dtype=torch.int32))
    lu, pivots = torch.lu(torch.eye(2))
    assert lu.lu(get_infos=True)[2].item() == 0 and pivots.tolist() == [1, 2]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("driver", ["gels", "gelsy", "gelsd", "gelss", None])
def test_lstsq(dtype, driver):
    a, b = make(2, 5, 3, dtype=dtype), make(2, 5, 2, dtype=dtype)
    x, residuals, rank, values = linalg.lstsq(a, b, driver=driver)
    near(x, linalg.pinv(a) @ b)
    if driver in ("gelsy", None):
        assert residuals.shape == (0,)
    else:
        near(residuals, (a @ x - b).abs().square().sum(-2))
    assert rank.shape == ((0,) if driver == "gels" else (2,))
    if driver in ("gelsd", "gelss"):
        near(values, linalg.svdvals(a))
    wide = make(3, 5, dtype=dtype)
    near(linalg.lstsq(wide, b[0, :3], driver=driver).solution, linalg.pinv(wide) @ b[0, :3])
    assert linalg.lstsq(a, b[..., 0], driver=driver).solution.shape == (2, 3)


@pytest.mark.parametrize("dtype", DTYPES)
def test_lstsq_gradients(dtype):
    for shape in ((5, 3), (3, 5), (3, 3)):
        a, b = make(*shape, dtype=dtype, grad=True), make(shape[0], 2, dtype=dtype, grad=True)
        assert gradcheck(lambda a, b: linalg.lstsq(a, b).solution, (a, b))
    a, b = make(5, 3, dtype=dtype, grad=True), make(5, 2, dtype=dtype, grad=True)
    assert gradcheck(lambda a, b: linalg.lstsq(a, b, driver="gelsd")[:2], (a, b))
    assert gradgradcheck(lambda a, b: linalg.lstsq(a, b, driver="gelsd")[:2], (a, b))


def test_lstsq_ranks_and_errors():
    a = torch.tensor([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]])
    x, residuals, rank, _ = linalg.lstsq(a, torch.ones(3), driver="gelsd")
    assert rank.item() == 1 and residuals.numel() == 0
    torch.testing.assert_close(x, torch.tensor([6 / 70, 12 / 70]))
    empty = linalg.lstsq(torch.ones(3, 0), torch.ones(3, 2), driver="gelsd")
    assert empty.solution.shape == (0, 2) and empty.residuals.tolist() == [3, 3]
    assert linalg.lstsq(torch.ones(0, 3), torch.ones(0, 2), driver="gelsd").solution.tolist() == [[0, 0]] * 3
    with pytest.raises(RuntimeError, match="driver"):
        linalg.lstsq(a, torch.ones(3), driver="other")
    with pytest.raises(RuntimeError, match="illegal value"):
        linalg.lstsq(torch.full((3, 2), math.nan), torch.ones(3))
    with pytest.raises(RuntimeError, match="should match"):
        linalg.lstsq(a, torch.ones(4, 2))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("hermitian", [False, True])
def test_ldl(dtype, hermitian):
    a = make(2, 5, 5, dtype=dtype)
    a = a + (a.mH if hermitian else a.mT)
    ld, pivots = linalg.ldl_factor(a, hermitian=hermitian)
    b = make(2, 5, 3, dtype=dtype)
    near(a @ linalg.ldl_solve(ld, pivots, b, hermitian=hermitian), b)
    assert linalg.ldl_factor_ex(torch.zeros(2, 2)).info.item() > 0
    with pytest.raises(RuntimeError):
        linalg.ldl_factor(torch.zeros(2, 2))
    with pytest.raises(RuntimeError, match="pivots"):
        linalg.ldl_solve(ld[0], torch.tensor([0, 9, 1, 2, 3], dtype=torch.int32), b[0], hermitian=hermitian)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("transpose", [True, False])
def test_reflections(dtype, left, transpose):
    a = make(4, 3, dtype=dtype)
    factors, tau = torch.geqrf(a)
    full = torch.zeros(4, 4, dtype=dtype)
    full[:, :3] = factors
    q = linalg.householder_product(full, tau)
    near(q[:, :3] @ factors[:3].triu(), a)
    c = make(4, 2, dtype=dtype) if left else make(2, 4, dtype=dtype)
    q = q.mH if transpose else q
    near(torch.ormqr(factors, tau, c, left, transpose), q @ c if left else c @ q)
    tracked = [t.clone().requires_grad_() for t in (factors, tau, c)]
    assert gradcheck(lambda a, t, c: torch.ormqr(a, t, c, left, transpose), tracked)
    with pytest.raises(RuntimeError, match="ormqr"):
        torch.ormqr(factors, tau, torch.ones(5, 5, dtype=dtype), left, transpose)


@pytest.mark.parametrize("dtype", DTYPES)
def test_polar_and_roots(dtype):
    a = make(2, 4, 3, dtype=dtype, grad=True)
    u, h = linalg.polar(a)
    near(u @ h, a)
    near(u.mH @ u, torch.eye(3, dtype=dtype).expand(2, 3, 3))
    assert gradcheck(linalg.polar, (a,)) and gradgradcheck(linalg.polar, (a,))
    p = positive(3, 3, dtype=dtype)
    near(linalg.matrix_sqrth(p) @ linalg.matrix_sqrth(p), p)
    assert linalg.matrix_sqrth(-torch.ones(1, 1)).item() == 0
    p.requires_grad_()
    even = lambda p: linalg.matrix_sqrth((p + p.mH) / 2)  # noqa: E731
    assert gradcheck(even, (p,)) and gradgradcheck(even, (p,))
    # Equal eigenvalues are no trouble.
    one = torch.eye(3, dtype=dtype).requires_grad_()
    assert gradcheck(even, (one,)) and gradcheck(linalg.polar, (one,))
    with pytest.raises(RuntimeError, match="at least as many rows"):
        linalg.polar(torch.ones(2, 3))


def test_tensors_as_matrices():
    a = make(2, 3, 6)
    near(torch.tensordot(linalg.tensorinv(a, ind=2), a, 2), torch.eye(6, dtype=a.dtype))
    b = make(2, 3)
    near(torch.tensordot(a, linalg.tensorsolve(a, b), 1), b)
    for ind in (0, -1, 9):
        with pytest.raises(RuntimeError):
            linalg.tensorinv(a, ind=ind)
    assert linalg.vander(torch.tensor([2, 3])).tolist() == [[1, 2], [1, 3]]
    assert linalg.vander(torch.tensor([[2, 3]]), N=4).tolist() == [[[1, 2, 4, 8], [1, 3, 9, 27]]]
    with pytest.raises(RuntimeError, match="greater than 1"):
        linalg.vander(torch.ones(2), N=1)


def test_bounds_for_each_matrix():
    s = torch.diag_embed(torch.tensor([[3.0, 1.0, 0.1]] * 2, dtype=torch.float64))
    assert linalg.matrix_rank(s, atol=torch.tensor([0.5, 2.0])).tolist() == [2, 1]
    assert linalg.matrix_rank(s, rtol=torch.tensor([0.5, 0.0])).tolist() == [1, 3]
    assert linalg.matrix_rank(s, tol=2.0).tolist() == [1, 1]
    assert linalg.matrix_rank(s, torch.tensor([2.0, 0.5]), hermitian=True).tolist() == [1, 2]
    inverse = linalg.pinv(s, rtol=torch.tensor([0.5, 0.0]))
    near(inverse.diagonal(dim1=-2, dim2=-1), torch.tensor([[1 / 3, 0, 0], [1 / 3, 1, 10]], dtype=s.dtype))
    with pytest.raises(RuntimeError, match="complex"):
        linalg.pinv(s, torch.ones(2) * 1j)


def test_norms():
    a = make(2, 3)
    values = linalg.svdvals(a)
    near(torch.norm(a, "nuc"), values.sum())
    near(torch.nuclear_norm(a), values.sum())
    near(torch.norm(a, "fro"), a.square().sum().sqrt())
    near(torch.norm(a, "nuc", dim=(0, 1), keepdim=True), values.sum().reshape(1, 1))
    near(torch.norm_except_dim(a, 2, 1), a.square().sum(0, keepdim=True).sqrt())
    with pytest.raises(RuntimeError, match="2-tuple"):
        torch.norm(a, "nuc", dim=0)


@pytest.mark.parametrize("p", [0.5, 1, 1.5, 2, 3.5, math.inf])
def test_derivatives_of_norms_at_zero(p):
    from flambeau.autograd import forward_ad

    x = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    (g,) = torch.autograd.grad(linalg.vector_norm(x, p), x, create_graph=True)
    assert g.tolist() == [0, 0, 0]
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x.detach(), torch.ones(3, dtype=torch.float64))
        assert forward_ad.unpack_dual(linalg.vector_norm(dual, p)).tangent.item() == 0


def test_exponential():
    a = torch.tensor([[0.0, 1.0], [-1.0, 0.0]]) * 20
    want = torch.tensor([[math.cos(20), math.sin(20)], [-math.sin(20), math.cos(20)]])
    torch.testing.assert_close(linalg.matrix_exp(a), want, rtol=1e-6, atol=1e-6)
    assert linalg.matrix_exp(torch.eye(2).bfloat16()).dtype == torch.bfloat16
    assert linalg.matrix_exp(torch.full((1, 1), math.inf)).item() == math.inf


def test_products_of_integers():
    a, v = torch.tensor([[1, 2], [3, 4]]), torch.tensor([1, 2])
    assert torch.addmv(v, a, v, beta=2.7, alpha=1.6).tolist() == [7, 15]
    assert torch.baddbmm(a[None], a[None], a[None], beta=0.6).tolist() == [[[7, 10], [15, 22]]]
    with pytest.raises(RuntimeError, match="floating point"):
        torch.addr(a, v, v, beta=0.5)
    with pytest.raises(RuntimeError, match="overflow"):
        torch.addmm(a, a, a, beta=1j)
    near(torch.tensordot(torch.ones(1, 2), torch.ones(3, 4), ([0], [0])), torch.full((2, 4), 3.0))
    t = torch.ones(())
    assert t.addbmm_(a[None].float(), a[None].float()).shape == (2, 2) and t.shape == (2, 2)


def test_sizes_out_of_range():
    wide = torch.empty(2**40, 0, 2**40)
    for call in (
        lambda: torch.tensordot(wide, torch.empty(0, 2), ([1], [0])),
        lambda: torch.einsum("abc,bd->acd", wide, torch.empty(0, 2)),
        lambda: torch.matmul(wide, torch.empty(2**40, 2)),
        lambda: torch.empty(2**40, 2**40, 0),
        lambda: torch.kron(torch.empty(2**40, 0), torch.empty(2**40, 0)),
    ):
        try:
            assert call().numel() == 0
        except RuntimeError as error:
            assert "internal" not in str(error)
    assert torch.vander(torch.ones(0), 2**40).shape == (0, 2**40)


def test_argument_lists():
    x, y = torch.tensor([1, 2]), torch.tensor([3, 4])
    assert torch.cartesian_prod(x, y).tolist() == [[1, 3], [1, 4], [2, 3], [2, 4]]
    assert torch.block_diag(x, y).tolist() == [[1, 2, 0, 0], [0, 0, 3, 4]]
    assert torch.meshgrid(x, y, indexing="ij")[0].tolist() == [[1, 1], [2, 2]]
    assert torch.meshgrid([x, y], indexing="xy")[0].tolist() == [[1, 2], [1, 2]]


@pytest.mark.parametrize("p", [1, -1, math.inf, "fro", "nuc"])
def test_condition_numbers(p):
    a = make(2, 3, 3)
    near(linalg.cond(a, p), linalg.matrix_norm(a, p) * linalg.matrix_norm(linalg.inv(a), p))
    if p != "nuc":
        assert linalg.cond(torch.zeros(2, 2), p).item() == math.inf
    assert linalg.cond(torch.empty(2, 3, 0), p).tolist() == [0, 0]
    with pytest.raises(RuntimeError):
        linalg.cond(torch.ones(2, 3), p)


def test_removed_functions():
    for name in ("eig", "lstsq", "matrix_rank", "solve", "symeig", "cholesky"):
        with pytest.raises(RuntimeError, match="removed"):
            getattr(torch, name)(torch.eye(2))


def test_low_rank():
    a = make(8, 2) @ make(2, 6)
    for x in (a, a.mT):
        u, s, v = torch.svd_lowrank(x, q=2)
        near(u @ s.diag() @ v.mT, x)
    u, s, v = torch.pca_lowrank(a, q=2)
    near(u @ s.diag() @ v.mT, a - a.mean(-2, keepdim=True))
    with pytest.raises(ValueError):
        torch.pca_lowrank(a, q=7)


def test_some_eigenpairs():
    a, b = positive(9, 9), torch.arange(1, 10, dtype=torch.float64).diag()
    e, x = torch.lobpcg(a, k=2, B=b)
    near(a @ x, b @ x * e)
    assert e[0] > e[1]
    near(torch.lobpcg(a, k=3, largest=False)[0], linalg.eigvalsh(a)[:3])
    with pytest.raises(ValueError):
        torch.lobpcg(a, k=4)


@pytest.mark.parametrize("name", ["lu_factor", "lu", "ldl_factor", "polar", "matrix_sqrth", "svd", "qr", "eigh", "inv", "matrix_exp"])  # fmt: skip
def test_bad_matrices(name):
    function = getattr(linalg, name)
    for bad in (torch.ones(3), torch.ones(()), torch.ones(2, 2).int(), torch.ones(2, 2).half()):
        if name == "matrix_exp" and bad.dtype == torch.half:
            continue
        with pytest.raises(RuntimeError):
            function(bad)
    empty = function(torch.empty(2, 0, 0))
    for t in empty if isinstance(empty, tuple) else [empty]:
        assert t.numel() == 0 or name in ("lu", "qr")
