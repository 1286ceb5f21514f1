"""Sparse tensors in coordinate form: what they are, what is computed with them, and how they are learned."""

import copy
import io
import warnings

import numpy as np
import pytest

import flambeau as torch
from flambeau import nn
from flambeau.autograd import gradcheck, gradgradcheck

I, V = [[0, 1, 1], [2, 0, 2]], [3.0, 4.0, 5.0]


def sample(**more):
    return torch.sparse_coo_tensor(I, V, (2, 3), **more)


def random(shape, nnz, sparse_dim=None, seed=0, dtype=torch.float64):
    """Entries at random places, some of them repeated."""
    g = np.random.default_rng(seed)
    sparse_dim = len(shape) if sparse_dim is None else sparse_dim
    indices = np.stack([g.integers(0, n, nnz) for n in shape[:sparse_dim]])
    values = g.standard_normal((nnz, *shape[sparse_dim:]))
    return torch.sparse_coo_tensor(torch.from_numpy(indices), torch.from_numpy(values).to(dtype), shape)


def dense_of(s):
    out = torch.zeros(s.shape, dtype=s.dtype)
    return out.index_put_(tuple(s._indices()), s._values(), accumulate=True)


def test_parts():
    s = sample()
    assert s.is_sparse and s.layout is torch.sparse_coo and s.device.type == "cpu" and not s.is_meta
    assert (s.sparse_dim(), s.dense_dim(), s._nnz(), s.shape, s.numel(), len(s)) == (2, 0, 3, (2, 3), 6, 2)
    assert not s.is_coalesced() and s.coalesce().is_coalesced()
    assert s._indices().tolist() == I and s._values().tolist() == V
    assert s.to_dense().tolist() == [[0, 0, 3], [4, 0, 5]]
    for method in (s.indices, s.values):
        with pytest.raises(RuntimeError, match="on an uncoalesced tensor, please call .coalesce\\(\\) first"):
            method()
    twice = torch.sparse_coo_tensor([[0, 0, 1], [2, 2, 2]], V, (2, 3)).coalesce()
    assert twice.indices().tolist() == [[0, 1], [2, 2]] and twice.values().tolist() == [7, 5]
    dense = torch.ones(2)
    assert not dense.is_sparse and dense.sparse_dim() == 0 and dense.dense_dim() == 1 and dense.to_dense() is not None
    with pytest.raises(RuntimeError, match="expected sparse coordinate tensor layout but got Strided"):
        dense.coalesce()


def test_printed_forms():
    s = sample()
    text = (
        "tensor(indices=tensor([[0, 1, 1],\n                       [2, 0, 2]]),\n       values=tensor([3., 4., 5.]),\n"
        "       size=(2, 3), nnz=3, layout=torch.sparse_coo)"
    )
    assert repr(s) == text
    assert repr(torch.sparse_coo_tensor((2, 3))) == (
        "tensor(indices=tensor([], size=(2, 0)),\n       values=tensor([], size=(0,)),\n"
        "       size=(2, 3), nnz=0, layout=torch.sparse_coo)"
    )
    assert repr(s.double()).endswith("size=(2, 3), nnz=3, dtype=torch.float64, layout=torch.sparse_coo)")
    made = torch.sparse_coo_tensor(I, torch.tensor(V, requires_grad=True), (2, 3))
    assert repr(made).endswith("layout=torch.sparse_coo,\n       grad_fn=<SparseCooTensorWithDimsAndTensorsBackward0>)")
    assert repr(nn.Parameter(s)).startswith("Parameter containing:\ntensor(indices=")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (([[0, -1]], [1.0, 2.0]), "found negative index -1 for dim 0"),
        (([[0, 1]], [1.0, 2.0, 3.0], (3,)), "indices and values must have same nnz, but got nnz from indices: 2"),
        (([[0, 1]], [1.0, 2.0], (3, 3)), "len\\(size\\) = 2, sparse_dim = 1, dense_dim = 0"),
        (([[0, 1]], [[1.0], [2.0]], (3, 3)), "values has incorrect size, expected \\[2, 3\\], got \\[2, 1\\]"),
        (([[0, 5]], [1.0, 2.0], (3,)), "size is inconsistent with indices: for dim 0, size is 3 but found index 5"),
        (([[0, 2**45]], [1.0, 2.0], (2**45 + 1,)), None),
    ],
)
def test_bad_parts(arguments, text):
    if text is None:  # enormous, but of few entries
        s = torch.sparse_coo_tensor(*arguments)
        assert s._nnz() == 2
        with pytest.raises(RuntimeError):
            s.to_dense()
        return
    with pytest.raises(RuntimeError, match=text):
        torch.sparse_coo_tensor(*arguments)


def test_sizes_are_inferred():
    assert torch.sparse_coo_tensor(I, V).shape == (2, 3)
    assert torch.sparse_coo_tensor([[0, 4]], torch.ones(2, 7)).shape == (5, 7)
    assert torch.sparse_coo_tensor(torch.zeros(2, 0, dtype=torch.long), torch.zeros(0)).shape == (0, 0)
    assert torch.sparse_coo_tensor([[0, 1]], [1, 2]).dtype == torch.int64
    assert torch.sparse_coo_tensor([[0, 1]], [1, 2], dtype=torch.float64).dtype == torch.float64


SHAPES = [((5, 4), 9, 2), ((5, 4), 9, 1), ((3, 4, 2), 12, 2), ((6,), 5, 1), ((4, 4), 0, 2)]


@pytest.mark.parametrize(("shape", "nnz", "dims"), SHAPES)
def test_to_and_from_dense(shape, nnz, dims):
    s = random(shape, nnz, dims)
    d = dense_of(s)
    assert torch.allclose(s.to_dense(), d)
    assert torch.allclose(s.coalesce().to_dense(), d)
    assert d.to_sparse(dims).is_coalesced() and d.to_sparse(dims).to_dense().equal(d)
    assert d.to_sparse().to_dense().equal(d)
    keys = s.coalesce().indices()
    assert keys.shape[1] == len({tuple(k) for k in s._indices().t().tolist()})
    mask = d.sparse_mask(s)
    assert mask._nnz() == nnz and torch.allclose(mask._values(), d[tuple(s._indices())])


@pytest.mark.parametrize(("shape", "nnz", "dims"), SHAPES)
def test_arithmetic_is_that_of_dense_tensors(shape, nnz, dims):
    a, b = random(shape, nnz, dims), random(shape, nnz + 2, dims, seed=1)
    x, y = dense_of(a), dense_of(b)
    factor = torch.full((), 2.5, dtype=torch.float64)
    for have, want in [
        (a + b, x + y), (a - b, x - y), (a.add(b, alpha=3), x + 3 * y), (a * b, x * y), (a * 2, x * 2), (a / 4, x / 4),
        (a * factor, x * factor), (a / factor, x / factor), (-a, -x), (a * y, x * y), (y * a, x * y), (a**2, x**2),
        (a.abs(), x.abs()), (a.sin(), x.sin()), (a.relu(), x.relu()), (a.expm1(), x.expm1()), (a.sign(), x.sign()),
    ]:  # fmt: skip
        assert have.is_sparse and torch.allclose(have.to_dense(), want)
    assert torch.allclose(y + a, y + x) and not (y + a).is_sparse
    assert torch.allclose(torch.add(y, a, alpha=-2), y - 2 * x)
    assert torch.allclose(a.sum(), x.sum()) and torch.allclose(a.norm(), x.norm())
    for d in range(len(shape)):
        part = torch.sparse.sum(a, d)
        assert torch.allclose(part.to_dense(), x.sum(d))
        assert torch.allclose(a.sum(d, keepdim=True).to_dense(), x.sum(d, keepdim=True))
    z = y.clone()
    assert z.add_(a, alpha=2) is z and torch.allclose(z, y + 2 * x)
    c = a.clone()
    c.mul_(3).add_(b).neg_()
    assert torch.allclose(c.to_dense(), -(3 * x + y)) and torch.allclose(a.to_dense(), x)
    c.zero_()
    assert c._nnz() == 0 and c.to_dense().equal(torch.zeros_like(x))


def test_products():
    a, b = random((5, 4), 9), random((4, 3), 7, seed=1)
    x, y = dense_of(a), dense_of(b)
    v = torch.arange(4.0, dtype=torch.float64)
    for have, want in [
        (a @ y, x @ y), (torch.mm(a, y), x @ y), (torch.sparse.mm(a, y), x @ y), (a @ v, x @ v), (torch.mv(a, v), x @ v),
        (y.t() @ a.t(), y.t() @ x.t()), (v @ b, v @ y),
        (torch.addmm(torch.ones(5, 3, dtype=torch.float64), a, y, beta=2, alpha=3), 2 + 3 * x @ y),
    ]:  # fmt: skip
        assert not have.is_sparse and torch.allclose(have, want)
    product = a @ b
    assert product.is_sparse and product.is_coalesced() and torch.allclose(product.to_dense(), x @ y)
    batch = torch.bmm(torch.stack([a, a]), torch.stack([y, 2 * y]))
    assert torch.allclose(batch, torch.stack([x @ y, 2 * x @ y]))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        a @ y.t()
    with pytest.raises(RuntimeError, match="same dtype"):
        a @ y.float()


def test_shapes_and_indices():
    s, h = random((5, 4), 9), random((3, 4, 2), 12, 2)
    x, y = dense_of(s), dense_of(h)
    for have, want in [
        (s.t(), x.t()), (s.T, x.T), (s.transpose(0, 1), x.t()), (s.permute(1, 0), x.t()), (h.transpose(0, 1), y.transpose(0, 1)),
        (s.unsqueeze(1), x.unsqueeze(1)), (h.unsqueeze(-1), y.unsqueeze(-1)), (s[1], x[1]), (s[:, 2], x[:, 2]), (h[0], y[0]),
        (s[-1], x[-1]), (h[..., 1], y[..., 1]), (s.select(1, 3), x.select(1, 3)),
        (torch.cat([s, s * 2]), torch.cat([x, x * 2])), (torch.cat([s, s], 1), torch.cat([x, x], 1)),
        (torch.cat([h, h], 2), torch.cat([y, y], 2)), (torch.stack([s, s], 1), torch.stack([x, x], 1)),
        (s.index_select(0, torch.tensor([3, 0, 3])), x[[3, 0, 3]]), (s.index_select(1, torch.tensor([2])), x[:, [2]]),
        (h.index_select(2, torch.tensor([1, 1])), y[..., [1, 1]]), (s.clone(), x), (s.detach(), x), (copy.deepcopy(s), x),
        (s.float().double(), x.float().double()), (torch.zeros_like(s), x * 0), (s.to("cpu"), x),
    ]:  # fmt: skip
        assert have.is_sparse and have.shape == want.shape and torch.allclose(have.to_dense(), want)
    assert torch.allclose(s[1, 2], x[1, 2]) and not s[1, 2].is_sparse
    with pytest.raises(RuntimeError, match="a dense tensor was found at position 1"):
        torch.cat([s, x])
    with pytest.raises(IndexError):
        s[7]


def test_softmax_is_over_the_entries():
    s = sample().coalesce()
    assert np.allclose(torch.sparse.softmax(s, 1).values(), [1.0, 0.26894142, 0.73105858])
    assert np.allclose(torch.sparse.log_softmax(s, 0).values(), [-2.12692801, 0.0, -0.12692801])
    h = random((3, 4, 2), 12, 2).coalesce()
    assert torch.allclose(torch.sparse.softmax(h, 2).values(), torch.softmax(h.values(), 1))


def test_spdiags():
    have = torch.sparse.spdiags(torch.ones(2, 3), torch.tensor([0, 1]), (3, 3))
    assert have.to_dense().tolist() == [[1, 1, 0], [0, 1, 1], [0, 0, 1]] and have._nnz() == 5


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.exp(), lambda s: s.max(), lambda s: s == s, lambda s: s > 0, lambda s: s.view(3, 2), lambda s: s[0:1],
        lambda s: s[torch.tensor([0])], lambda s: torch.where(s, s, s), lambda s: s.reshape(3, 2), lambda s: s.squeeze(),
        lambda s: torch.equal(s, s), lambda s: s.numpy(), lambda s: s.tolist(), lambda s: s.data_ptr(), lambda s: s.storage(),
        lambda s: s.untyped_storage(), lambda s: bool(s), lambda s: s.item(), lambda s: s.resize_(3), lambda s: s + torch.ones(2, 3),
        lambda s: s / torch.ones(2, 3), lambda s: torch.ones(2, 3).copy_(s), lambda s: s.fill_(1), lambda s: s.uniform_(),
        lambda s: s.__setitem__(0, 1.0), lambda s: s.__setitem__((0, 2), 1.0), lambda s: torch.fft.fft(s), lambda s: torch.linalg.inv(s),
        lambda s: torch.exp(torch.ones(2, 3), out=s), lambda s: torch.mm(torch.ones(2, 2), torch.ones(2, 3), out=s), lambda s: s.cumsum(0),
        lambda s: nn.functional.linear(s, torch.ones(4, 3)), lambda s: s.as_strided((1,), (1,)), lambda s: s.expand(4, 2, 3),
        lambda s: torch.utils.dlpack.to_dlpack(s), lambda s: memoryview(s), lambda s: s.set_(torch.ones(2)), lambda s: s.t_(),
        lambda s: torch._foreach_add_([s], 1), lambda s: np.asarray(s), lambda s: s.masked_fill(torch.ones(2, 3, dtype=torch.bool), 0),
        lambda s: torch.einsum("ij,ij->i", s, s), lambda s: nn.functional.softmax(s, 0), lambda s: s.sort(), lambda s: s.repeat(2, 2),
        lambda s: torch.nn.Linear(3, 2)(s), lambda s: s.share_memory_(), lambda s: s.new_tensor(s).exp(), lambda s: list(s.split(1)),
        lambda s: s.apply_(abs), lambda s: torch.save(s.exp(), io.BytesIO()), lambda s: s.lerp_(s, 0.5), lambda s: s.chunk(2),
    ],
)  # fmt: skip
def test_what_is_not_there_is_refused(call):
    s = sample()
    with pytest.raises((NotImplementedError, RuntimeError, TypeError, ValueError, BufferError)):
        call(s)
    assert s.is_sparse and s._nnz() == 3 and s.to_dense().tolist() == [[0, 0, 3], [4, 0, 5]]


FUNCTIONS = [
    lambda v, s, d: s(v).to_dense() * d,
    lambda v, s, d: s(v) @ d.t(),
    lambda v, s, d: d.t() @ s(v),
    lambda v, s, d: (s(v) @ s(v * 2).t()).to_dense(),
    lambda v, s, d: (s(v) * d).to_dense(),
    lambda v, s, d: (s(v) + s(v * v)).to_dense() * d,
    lambda v, s, d: d + s(v),
    lambda v, s, d: s(v).sin().sum(1).to_dense(),
    lambda v, s, d: torch.sparse.softmax(s(v), 1).to_dense() * d,
    lambda v, s, d: s(v)[1].to_dense() * d[1],
    lambda v, s, d: s(v).coalesce().values() ** 2,
    lambda v, s, d: torch.cat([s(v), s(v)]).index_select(0, torch.tensor([1, 2])).to_dense() * d,
]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_gradients(function):
    g = np.random.default_rng(0)
    indices = torch.tensor([[0, 1, 1, 0], [2, 0, 2, 2]])  # the first and the last are at one place
    values = torch.from_numpy(g.standard_normal(4)).requires_grad_()
    dense = torch.from_numpy(g.standard_normal((2, 3))).requires_grad_()

    def of(values, dense):
        return function(values, lambda v: torch.sparse_coo_tensor(indices, v, (2, 3)), dense)

    assert gradcheck(of, (values, dense))
    assert gradgradcheck(of, (values, dense))


def test_sparse_leaves():
    s = sample(requires_grad=True)
    assert s.is_leaf and s.requires_grad
    (s @ torch.ones(3, 2)).sum().backward()
    assert s.grad.is_sparse and s.grad.to_dense().tolist() == [[0, 0, 2], [2, 0, 2]]
    (s * 3).sum().backward()
    assert s.grad.to_dense().tolist() == [[0, 0, 5], [5, 0, 5]]
    weight = torch.ones(2, 3, requires_grad=True)
    weight.to_sparse().sum().backward()
    assert weight.grad.tolist() == [[1, 1, 1]] * 2


def test_saved_and_loaded():
    model = {"s": sample(), "c": sample().coalesce(), "h": random((3, 4, 2), 12, 2), "p": nn.Parameter(sample())}
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    back = torch.load(file)
    for name, s in model.items():
        assert back[name]._indices().equal(s._indices()) and back[name]._values().equal(s._values())
        assert back[name].is_coalesced() == s.is_coalesced() and back[name].shape == s.shape


# Sums of the tables of an embedding and of a bag after four steps, as PyTorch has them.
STEPS = {
    "SGD": (dict(lr=0.1), -0.29522329568862915, 4.096813201904297),
    "momentum": (dict(lr=0.1, momentum=0.9), -2.7002015113830566, -7.02224588394165),
    "Adagrad": (dict(lr=0.1), 2.7506778240203857, -11.996665000915527),
    "SparseAdam": (dict(lr=0.01), 5.35456657409668, 3.8784306049346924),
}


def test_tables_learn_from_sparse_gradients():
    torch.manual_seed(0)
    for name, (settings, of_table, of_bag) in STEPS.items():
        table = nn.Embedding(10, 3, padding_idx=0, sparse=True)
        bag = nn.EmbeddingBag(8, 3, sparse=True, mode="mean")
        parameters = [*table.parameters(), *bag.parameters()]
        optimizer = getattr(torch.optim, "SGD" if name == "momentum" else name)(parameters, **settings)
        for step in range(4):
            optimizer.zero_grad()
            x, y = torch.randint(0, 10, (4, 5)), torch.randint(0, 8, (3, 4))
            (table(x).pow(2).sum() + bag(y).sin().sum()).backward()
            grad = table.weight.grad
            assert grad.is_sparse and not grad.is_coalesced() and grad._nnz() == (x != 0).sum()
            if step == 3 and name != "momentum":
                nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
        assert abs(table.weight.sum().item() - of_table) < 2e-5 and abs(bag.weight.sum().item() - of_bag) < 2e-5
        assert table.weight[0].equal(torch.zeros(3))


def test_gradients_of_both_layouts_add_up():
    table = nn.Embedding(5, 2, sparse=True)
    (table(torch.tensor([1, 1, 3])).sum() + (table.weight * 2).sum()).backward()
    assert table.weight.grad.tolist() == [[2, 2], [4, 4], [2, 2], [3, 3], [2, 2]]
    table.zero_grad(set_to_none=False)
    table(torch.tensor([0])).sum().backward()
    assert table.weight.grad.tolist() == [[1, 1]] + [[0, 0]] * 4
    for name in ("Adam", "AdamW", "RMSprop", "Adamax", "NAdam", "RAdam", "Rprop", "ASGD", "Adadelta"):
        table.weight.grad = torch.sparse_coo_tensor([[1]], [[1.0, 2.0]], (5, 2))
        before = table.weight.detach().clone()
        with pytest.raises(RuntimeError, match="sparse gradients"):
            getattr(torch.optim, name)([table.weight]).step()
        assert before.equal(table.weight.detach())


def test_programs_turn_the_checks_on_and_off():
    checks = torch.sparse.check_sparse_tensor_invariants
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with checks():
            assert checks.is_enabled()
        checks.disable()
    assert not checks.is_enabled()


def test_products_by_other_names():
    sparse, dense = torch.tensor([[0.0, 2.0], [3.0, 0.0]]).to_sparse(), torch.tensor([[1.0, 4.0], [5.0, 6.0]])
    for name in ("dsmm", "spmm"):
        assert getattr(torch, name)(sparse, dense).tolist() == [[10.0, 12.0], [3.0, 12.0]]
